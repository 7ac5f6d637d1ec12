/*
 * The end of what is kept.
 */
CREATE FUNCTION pg_catalog.safemig_prune(id bigint, reason text DEFAULT NULL)
RETURNS bigint LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_prune';
COMMENT ON FUNCTION pg_catalog.safemig_prune(bigint, text) IS
'Takes out of the vault for good what a migration keeps (for one that was redone, what its redo keeps too); for a rollback or a redo, by its id, what that keeps. Returns how many bytes that was when it was kept. Afterwards a migration that needs it cannot be rolled back: SM007. Positions of sequences stay. What was pruned, by whom and why is in safemig.pruned. Takes ACCESS EXCLUSIVE on relations of the vault alone; waits for no rollback longer than safemig.lock_timeout, three times. The caller must own every object concerned, or administer safemig. Errors: SM001 unknown; SM002 open, or safemig_keep has asked to keep it; SM006 redone together with others; SM009 a rollback is under way; 2BP01 what another migration keeps needs it.';

CREATE FUNCTION pg_catalog.safemig_prune_kept(kept bigint, reason text DEFAULT NULL)
RETURNS bigint LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_prune_kept';
COMMENT ON FUNCTION pg_catalog.safemig_prune_kept(bigint, text) IS
'Takes one thing that is kept, by its id in safemig.kept, out of the vault for good, with what cannot be there without it (the partitions of a table); returns its bytes. The rest of the migration stays kept, but the migration cannot be rolled back any more: SM007. Locks, rights and errors are those of safemig_prune; SM007 is also: there is no such thing, or it was pruned already.';

CREATE FUNCTION pg_catalog.safemig_prune_older(older_than interval, reason text DEFAULT NULL)
RETURNS bigint LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_prune_older';
COMMENT ON FUNCTION pg_catalog.safemig_prune_older(interval, text) IS
'Prunes, as safemig_prune does, what every migration, rollback and redo keeps that ended longer ago than this, oldest first; returns the bytes. What safemig_keep has asked to keep stays, and what it needs, with a WARNING. The caller must administer safemig. Takes the locks of safemig_prune. Errors: 42501, SM009, 22023 for a negative interval.';

CREATE FUNCTION pg_catalog.safemig_prune_expired(reason text DEFAULT NULL)
RETURNS bigint LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_prune_expired';
COMMENT ON FUNCTION pg_catalog.safemig_prune_expired(text) IS
'Prunes what has expired by safemig.retention, for a job that runs every night; the worker does the same where the server preloads the library. What has expired is marked first (safemig.expiring), and pruned by a call that comes when it has been marked for safemig.retention_grace; returns the bytes that were pruned. What safemig_keep or a guard asks to keep is not marked, and loses its mark. Nothing, with a NOTICE, while safemig.retention is never. Locks, rights and errors are those of safemig_prune_older.';

CREATE FUNCTION pg_catalog.safemig_keep(id bigint, until timestamptz, reason text DEFAULT NULL)
RETURNS void LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_keep';
COMMENT ON FUNCTION pg_catalog.safemig_keep(bigint, timestamptz, text) IS
'Forbids, until then, to prune what a migration keeps, and what its rollback and its redo keep; infinity: for ever, NULL: not any more. The newest call counts; it is kept_until in safemig.migrations. The caller must own every object concerned, or administer safemig. Errors: SM001 unknown; 22023 in the past.';

/*
 * Rows of one person, out of what is kept.
 */
CREATE FUNCTION pg_catalog.safemig_erase(kept bigint, condition text, reason text DEFAULT NULL)
RETURNS bigint LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_erase';
COMMENT ON FUNCTION pg_catalog.safemig_erase(bigint, text, text) IS
'Deletes the rows for which a condition is true from something that is kept, by its id in safemig.kept, whose column query shows its rows; returns how many. The migration can still be rolled back: a table comes back without these rows, a row that was deleted or changed stays as it is, a value of a dropped column comes back as for a row that was inserted since. The condition is evaluated as the role safemig_vault, under search_path pg_catalog. Values of a dropped column also stand in the rows of their table, until these are written again: erase the person there first. For who administers safemig. Takes ROW EXCLUSIVE on that relation of the vault, and the lock of rollbacks. What it leaves on disk goes with the next VACUUM of that relation. Errors: 42501; SM001 unknown, SM002 open; SM007 pruned; 0A000 the values of a column that were kept without a key, which safemig_prune_kept takes as a whole; 22004; what the condition raises.';

CREATE FUNCTION pg_catalog.safemig_erase_text(id bigint, reason text DEFAULT NULL)
RETURNS bigint LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_erase_text';
COMMENT ON FUNCTION pg_catalog.safemig_erase_text(bigint, text) IS
'Removes the texts of the commands of a migration, and of those that failed in it with their messages, from the history: an UPDATE may name whom it was about. Returns how many had one. What is needed to roll it back stays. For who administers safemig. Locks rows of safemig''s own tables alone. Errors: 42501; SM001 unknown.';
