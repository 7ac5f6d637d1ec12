/*
 * The calls.  They check rights for themselves, so EXECUTE stays with PUBLIC.
 */

CREATE FUNCTION pg_catalog.safemig_begin(label text, reason text DEFAULT NULL)
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_begin';
COMMENT ON FUNCTION pg_catalog.safemig_begin(text, text) IS
'Opens a migration in this session; everything until safemig_end() belongs to it, over any number of transactions. Returns its id. Errors: SM002 if one is open already. With a pooler that assigns connections by transaction, use SET LOCAL safemig.label instead.';

CREATE FUNCTION pg_catalog.safemig_end()
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_end';
COMMENT ON FUNCTION pg_catalog.safemig_end() IS
'Closes the migration that this session has open and returns its id. Errors: SM002 if none is open.';

CREATE FUNCTION pg_catalog.safemig_abort()
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_abort';
COMMENT ON FUNCTION pg_catalog.safemig_abort() IS
'Closes the migration that this session has open and takes back what it did so far. Returns the id of the rollback, or NULL if there was nothing to take back. Errors: as safemig_rollback.';

CREATE FUNCTION pg_catalog.safemig_attach(id bigint)
RETURNS void LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_attach';
COMMENT ON FUNCTION pg_catalog.safemig_attach(bigint) IS
'Joins a migration that another session of the same role has open. Errors: SM001 unknown, SM002 not open.';

CREATE FUNCTION pg_catalog.safemig_run(label text, script text, reason text DEFAULT NULL)
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_run';
COMMENT ON FUNCTION pg_catalog.safemig_run(text, text, text) IS
'Runs a script as one migration, in this transaction, with the caller''s rights. Returns the migration''s id. Commands that cannot run inside a transaction (CREATE INDEX CONCURRENTLY, VACUUM) cannot run here.';

CREATE FUNCTION pg_catalog.safemig_current()
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_current';
COMMENT ON FUNCTION pg_catalog.safemig_current() IS
'The migration that this transaction writes, or NULL.';

CREATE FUNCTION pg_catalog.safemig_last()
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_last';
COMMENT ON FUNCTION pg_catalog.safemig_last() IS
'The last migration of this session, or NULL.';

CREATE FUNCTION pg_catalog.safemig_mark()
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_mark';
COMMENT ON FUNCTION pg_catalog.safemig_mark() IS
'The newest applied migration of all, or NULL: a mark for safemig_rollback_to.';

CREATE FUNCTION pg_catalog.safemig_rollback(id bigint, on_conflict text DEFAULT 'refuse', plan_hash text DEFAULT NULL, reason text DEFAULT NULL)
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_rollback_id';
COMMENT ON FUNCTION pg_catalog.safemig_rollback(bigint, text, text, text) IS
'Takes a migration back and proves it; returns the id of the rollback''s record. on_conflict, for rows that were written again since: refuse (default); keep: they stay as they are, and so do rows that were not kept; restore: they become what the migration found, and redo brings back what that overwrites. plan_hash: from safemig_plan_hash, refuses if the state is another now. Takes the locks of safemig_plan up front, in one order, each try under safemig.lock_timeout, three tries. The caller must own every object concerned, or administer safemig. Errors: SM001 unknown, SM002 wrong state, SM003 conflict, SM004 irreversible, SM005 stale plan, SM006 later migrations, SM007 pruned, SM009 lock not available; nothing is changed then.';

CREATE FUNCTION pg_catalog.safemig_rollback(label text, on_conflict text DEFAULT 'refuse', plan_hash text DEFAULT NULL, reason text DEFAULT NULL)
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_rollback_label';
COMMENT ON FUNCTION pg_catalog.safemig_rollback(text, text, text, text) IS
'As safemig_rollback(bigint), by label; exactly one applied migration must have it. A text that is no label is tried as an id. Takes the locks of safemig_plan up front, in one order, each try under safemig.lock_timeout, three tries. The caller must own every object concerned, or administer safemig. Errors: SM001 unknown, SM002 wrong state, SM003 conflict, SM004 irreversible, SM005 stale plan, SM006 later migrations, SM007 pruned, SM009 lock not available; nothing is changed then.';

CREATE FUNCTION pg_catalog.safemig_rollback_to(id bigint, on_conflict text DEFAULT 'refuse', plan_hash text DEFAULT NULL, reason text DEFAULT NULL)
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_rollback_to_id';
COMMENT ON FUNCTION pg_catalog.safemig_rollback_to(bigint, text, text, text) IS
'Takes back every migration newer than this one, which stays; 0: all. Returns the id of the one record, or NULL if there is nothing to do. Takes the locks of safemig_plan up front, in one order, each try under safemig.lock_timeout, three tries. The caller must own every object concerned, or administer safemig. Errors: SM001 unknown, SM002 wrong state, SM003 conflict, SM004 irreversible, SM005 stale plan, SM006 later migrations, SM007 pruned, SM009 lock not available; nothing is changed then.';

CREATE FUNCTION pg_catalog.safemig_rollback_to(label text, on_conflict text DEFAULT 'refuse', plan_hash text DEFAULT NULL, reason text DEFAULT NULL)
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_rollback_to_label';
COMMENT ON FUNCTION pg_catalog.safemig_rollback_to(text, text, text, text) IS
'As safemig_rollback_to(bigint), by label. Takes the locks of safemig_plan up front, in one order, each try under safemig.lock_timeout, three tries. The caller must own every object concerned, or administer safemig. Errors: SM001 unknown, SM002 wrong state, SM003 conflict, SM004 irreversible, SM005 stale plan, SM006 later migrations, SM007 pruned, SM009 lock not available; nothing is changed then.';

CREATE FUNCTION pg_catalog.safemig_rollback_last(n int DEFAULT 1, framework text DEFAULT NULL, anyone boolean DEFAULT false, on_conflict text DEFAULT 'refuse', plan_hash text DEFAULT NULL, reason text DEFAULT NULL)
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_rollback_last';
COMMENT ON FUNCTION pg_catalog.safemig_rollback_last(int, text, boolean, text, text, text) IS
'Takes back the newest n migrations. Refuses those of another session user unless anyone is true. Returns the id of the one record, or NULL if there is nothing to do. Takes the locks of safemig_plan up front, in one order, each try under safemig.lock_timeout, three tries. The caller must own every object concerned, or administer safemig. Errors: SM001 unknown, SM002 wrong state, SM003 conflict, SM004 irreversible, SM005 stale plan, SM006 later migrations, SM007 pruned, SM009 lock not available; nothing is changed then.';

CREATE FUNCTION pg_catalog.safemig_redo(id bigint, reason text DEFAULT NULL)
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_redo';
COMMENT ON FUNCTION pg_catalog.safemig_redo(bigint, text) IS
'Applies a rolled-back migration again, with what the rollback took away. Takes the id of the migration or of its rollback; returns the id of the record. Takes the locks of safemig_plan up front, in one order, each try under safemig.lock_timeout, three tries. The caller must own every object concerned, or administer safemig. Errors: SM001 unknown, SM002 wrong state, SM003 conflict, SM004 irreversible, SM005 stale plan, SM006 later migrations, SM007 pruned, SM009 lock not available; nothing is changed then.';

CREATE FUNCTION pg_catalog.safemig_plan(id bigint)
RETURNS TABLE(step int, object text, lock_mode text, cost text, rows bigint, note text, statement text, ms_estimate double precision) LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_plan';
COMMENT ON FUNCTION pg_catalog.safemig_plan(bigint) IS
'The statements that a rollback would run, in order, with the lock that each takes as pg_locks names it in words, and its cost class: catalog, scan, index or rewrite. rows: how many it brings back, takes away or goes through, as counted when they were kept or by the table''s statistics; NULL: it is not about rows, or not known. ms_estimate: milliseconds, from what such steps took in earlier rollbacks and rehearsals in this database, for as many bytes; NULL where none was run, or none of nearly that size. The caller must own every object concerned, or administer safemig. Takes no locks. Errors: SM001.';

CREATE FUNCTION pg_catalog.safemig_plan_hash(id bigint)
RETURNS text LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_plan_hash';
COMMENT ON FUNCTION pg_catalog.safemig_plan_hash(bigint) IS
'Names the plan and the state that it is for. Errors: SM001.';

CREATE FUNCTION pg_catalog.safemig_diff(id bigint)
RETURNS TABLE(object text, facet text, before text, after text) LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_diff';
COMMENT ON FUNCTION pg_catalog.safemig_diff(bigint) IS
'What a migration changed, facet by facet; NULL: absent. Errors: SM001.';

CREATE FUNCTION pg_catalog.safemig_verify(id bigint)
RETURNS TABLE(object text, facet text, expected text, actual text) LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_verify';
COMMENT ON FUNCTION pg_catalog.safemig_verify(bigint) IS
'Differences between the recorded state of the objects of a migration and their present one; no rows: none. A migration without commands gives one row, "recorded state: none". Errors: SM001.';

CREATE FUNCTION pg_catalog.safemig_administer()
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS '';
REVOKE EXECUTE ON FUNCTION pg_catalog.safemig_administer() FROM PUBLIC;
COMMENT ON FUNCTION pg_catalog.safemig_administer() IS
'Who may execute this administers safemig: may look into and roll back migrations on objects of others. It does nothing by itself.';
