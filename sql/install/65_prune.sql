/*
 * The end of what is kept.
 */
CREATE FUNCTION pg_catalog.safemig_prune(id bigint, reason text DEFAULT NULL)
RETURNS bigint LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_prune';
COMMENT ON FUNCTION pg_catalog.safemig_prune(bigint, text) IS
'Takes out of the vault for good what a migration keeps (for one that was redone, what its redo keeps too); for a rollback or a redo, by its id, what that keeps. Returns how many bytes that was when it was kept. Afterwards a migration that needs it cannot be rolled back: SM007. Positions of sequences stay. What was pruned, by whom and why is in safemig.pruned. Takes ACCESS EXCLUSIVE on relations of the vault alone; waits for no rollback longer than safemig.lock_timeout, three times. The caller must own every object concerned, or administer safemig. Errors: SM001 unknown; SM002 open, or safemig_keep has asked to keep it; SM006 redone together with others; SM009 a rollback is under way; 2BP01 what another migration keeps needs it.';

CREATE FUNCTION pg_catalog.safemig_prune_older(older_than interval, reason text DEFAULT NULL)
RETURNS bigint LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_prune_older';
COMMENT ON FUNCTION pg_catalog.safemig_prune_older(interval, text) IS
'Prunes, as safemig_prune does, what every migration, rollback and redo keeps that ended longer ago than this, oldest first; returns the bytes. What safemig_keep has asked to keep stays, and what it needs, with a WARNING. The caller must administer safemig. Takes the locks of safemig_prune. Errors: 42501, SM009, 22023 for a negative interval.';

CREATE FUNCTION pg_catalog.safemig_prune_expired(reason text DEFAULT NULL)
RETURNS bigint LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_prune_expired';
COMMENT ON FUNCTION pg_catalog.safemig_prune_expired(text) IS
'safemig_prune_older(safemig.retention), for a job that runs every night; nothing, with a NOTICE, while that is never. Locks, rights and errors are those of safemig_prune_older.';

CREATE FUNCTION pg_catalog.safemig_keep(id bigint, until timestamptz, reason text DEFAULT NULL)
RETURNS void LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_keep';
COMMENT ON FUNCTION pg_catalog.safemig_keep(bigint, timestamptz, text) IS
'Forbids, until then, to prune what a migration keeps, and what its rollback and its redo keep; infinity: for ever, NULL: not any more. The newest call counts; it is kept_until in safemig.migrations. The caller must own every object concerned, or administer safemig. Errors: SM001 unknown; 22023 in the past.';
