/*
 * Long work, as others see it.
 */
CREATE FUNCTION safemig.progress_entries()
RETURNS TABLE(pid int, command text, phase text, relation oid, done bigint, total bigint, step int, steps int, since timestamptz)
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_progress_entries';
COMMENT ON FUNCTION safemig.progress_entries() IS
'What the sessions of this database say of the work that they do; relation is NULL for sessions whose queries the current role may not see.';

/* PostgreSQL's own report of an index that is built is in the place of ours. */
CREATE VIEW safemig.progress WITH (security_barrier) AS
SELECT p.pid, p.command, p.phase,
	COALESCE(k.identity, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)) AS object,
	p.done, p.total, p.step, p.steps, p.since
FROM (
	SELECT e.pid, e.command, e.phase, e.relation, e.done, e.total, e.step, e.steps, e.since
	FROM safemig.progress_entries() e
	UNION ALL
	SELECT i.pid, 'rollback', 'building an index', i.relid, i.blocks_done, i.blocks_total, NULL, NULL, a.xact_start
	FROM pg_catalog.pg_stat_progress_create_index i
	JOIN pg_catalog.pg_stat_activity a ON a.pid = i.pid
	WHERE i.datname = pg_catalog.current_database()
		AND EXISTS (SELECT FROM pg_catalog.pg_locks l
					WHERE l.pid = i.pid AND l.granted AND l.locktype = 'relation' AND l.mode = 'ShareUpdateExclusiveLock'
						AND l.database = i.datid AND l.relation = 'safemig.incarnation'::pg_catalog.regclass)
) p
LEFT JOIN pg_catalog.pg_class c ON c.oid = p.relation
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN safemig.kept_log k ON k.vault_schema = n.nspname AND k.vault_name = c.relname AND k.state <> 'pruned';
GRANT SELECT ON safemig.progress TO PUBLIC;
COMMENT ON VIEW safemig.progress IS
'One row per session of this database that keeps rows for a migration (command keeping), takes one back (rollback, redo), rehearses or checks that. phase says what it does just now; done and total are counted in what the phase goes through: relations, steps, blocks or rows (total NULL: not known); step of steps is the step of safemig_plan; since is when the command began. object is the table, under the name that it has out of the vault; NULL where pg_stat_activity would not show the query. Seen while the work goes on, whatever becomes of its transaction; empty for sessions with track_activities off.';
