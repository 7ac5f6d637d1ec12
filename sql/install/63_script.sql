/*
 * The plan as a file for psql, and what that file calls.
 */
CREATE FUNCTION pg_catalog.safemig_script(id bigint)
RETURNS text LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_script';
COMMENT ON FUNCTION pg_catalog.safemig_script(bigint) IS
'The plan of a rollback as a file for psql, to be read, and run instead of safemig_rollback, with the same result: recorded as the rollback of the migration, proved before it is committed. It refuses another database than the one it was made in, and another state; with psql -v safemig_copy=on it runs on a copy made by pg_dump. To be run by a superuser or the extension''s owner; made for who owns every object concerned, or administers safemig. Takes no locks; the file does, as safemig_rollback. Errors: those of safemig_rollback.';

CREATE FUNCTION safemig.script_begin(id bigint, plan_hash text, database text, copy boolean)
	RETURNS text LANGUAGE C STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_script_begin';
REVOKE EXECUTE ON FUNCTION safemig.script_begin(bigint, text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION safemig.script_begin(bigint, text, text, boolean) IS
	'first call of a script: checks, takes the locks, and records what follows as the rollback; returns the role that it has to run as';

CREATE FUNCTION safemig.script_run(step int, statement text)
	RETURNS void LANGUAGE C STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_script_run';
REVOKE EXECUTE ON FUNCTION safemig.script_run(int, text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.script_run(int, text) IS
	'runs one statement of the plan as the role that safemig_rollback would run it as; SM005 if it is not that of the plan';

CREATE FUNCTION safemig.script_settle(command bigint)
	RETURNS void LANGUAGE C STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_script_settle';
REVOKE EXECUTE ON FUNCTION safemig.script_settle(bigint) FROM PUBLIC;
COMMENT ON FUNCTION safemig.script_settle(bigint) IS
	'after the steps of one command: changes what still differs from the state before it';

CREATE FUNCTION safemig.script_end()
	RETURNS bigint LANGUAGE C STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_script_end';
REVOKE EXECUTE ON FUNCTION safemig.script_end() FROM PUBLIC;
COMMENT ON FUNCTION safemig.script_end() IS
	'last call of a script: proves the state and marks the migration as rolled back; returns the record''s id';
