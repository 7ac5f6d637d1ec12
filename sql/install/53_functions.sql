/*
 * Beside those in the vault's and the columns' files: see there.
 */
CREATE FUNCTION safemig.forget_function_arguments(signature text, defaults int)
	RETURNS void LANGUAGE C STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_forget_function_arguments';
REVOKE EXECUTE ON FUNCTION safemig.forget_function_arguments(text, int) FROM PUBLIC;
COMMENT ON FUNCTION safemig.forget_function_arguments(text, int) IS
	'takes the names of input arguments and the defaults away from a function, for a CREATE OR REPLACE that gives so many defaults again; SM003 if a stored call counts on one that is no more';

CREATE FUNCTION safemig.set_function_settings(signature text, settings text)
	RETURNS void LANGUAGE C STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_set_function_settings';
REVOKE EXECUTE ON FUNCTION safemig.set_function_settings(text, text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.set_function_settings(text, text) IS
	'gives a function the settings that it is called under; settings: an array as pg_proc.proconfig has it; a step of a rollback, lock: the function';

CREATE FUNCTION safemig.set_function_transforms(signature text, types text[])
	RETURNS void LANGUAGE C STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_set_function_transforms';
REVOKE EXECUTE ON FUNCTION safemig.set_function_transforms(text, text[]) FROM PUBLIC;
COMMENT ON FUNCTION safemig.set_function_transforms(text, text[]) IS
	'makes a function hang on the transforms for these types, and on no others; a step of a rollback, lock: the function';

CREATE FUNCTION safemig.make_operator_shell(schema text, name text, leftarg text, rightarg text)
	RETURNS void LANGUAGE C VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_make_operator_shell';
REVOKE EXECUTE ON FUNCTION safemig.make_operator_shell(text, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.make_operator_shell(text, text, text, text) IS
	'makes an operator that is only named yet by another one, or makes one of an operator that is there; leftarg, rightarg: types, NULL: none; a step of a rollback, lock: row of pg_operator';
