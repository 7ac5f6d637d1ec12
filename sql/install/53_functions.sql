/*
 * Beside those in the vault's and the columns' files: see there.
 */
CREATE FUNCTION safemig.forget_function_arguments(signature text, defaults int)
	RETURNS void LANGUAGE C STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_forget_function_arguments';
REVOKE EXECUTE ON FUNCTION safemig.forget_function_arguments(text, int) FROM PUBLIC;
COMMENT ON FUNCTION safemig.forget_function_arguments(text, int) IS
	'takes the names of input arguments and the defaults away from a function, for a CREATE OR REPLACE that gives so many defaults again; SM003 if a stored call counts on one that is no more';
