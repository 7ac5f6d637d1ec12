/*
 * How it goes, in numbers.
 */
CREATE VIEW safemig.stats WITH (security_barrier) AS
WITH reader AS (
	SELECT safemig.administers() OR pg_catalog.pg_has_role('pg_monitor', 'USAGE') AS sees_all
), records AS (
	SELECT m.id, m.kind, m.state, m.effective, m.rolls_back, m.started_at::date AS day, m.started_at,
		COALESCE(m.finished_at, (SELECT pg_catalog.max(c.started_at + c.ms * interval '1 millisecond')
								 FROM safemig.command_log c WHERE c.migration = m.id), m.started_at) AS finished_at
	FROM safemig.migration_log m
	WHERE (SELECT sees_all FROM reader) OR safemig.acts_as(m.session_role) OR safemig.acts_as(m.role)
), facts (day, what, amount, took, at) AS (
	SELECT r.day, 'migration', NULL::numeric, NULL::interval, NULL::timestamptz FROM records r
	WHERE r.kind = 'migration' AND r.state <> 'open'
	UNION ALL
	SELECT f.failed_at::date, 'failure', NULL, NULL, NULL FROM safemig.failure_log f
	WHERE (SELECT sees_all FROM reader) OR safemig.acts_as(f.role)
	UNION ALL
	SELECT r.day, r.kind, NULL, CASE WHEN r.kind = 'rollback' THEN r.finished_at - (
			SELECT m.finished_at FROM records m WHERE m.id = ANY (r.rolls_back) ORDER BY m.id DESC LIMIT 1) END, NULL
	FROM records r WHERE r.kind IN ('rollback', 'redo')
	UNION ALL
	SELECT d.drilled_at::date, CASE WHEN d.outcome = 'passed' THEN 'drill passed' ELSE 'drill' END, NULL, NULL, NULL
	FROM safemig.drill_log d
	WHERE (SELECT sees_all FROM reader) OR safemig.acts_as(d.role)
	UNION ALL
	SELECT g.started_at::date, CASE WHEN g.state IN ('alarm', 'failed') THEN 'guard in alarm' ELSE 'guard fired' END, NULL, NULL, NULL
	FROM safemig.guard_log g
	WHERE g.state IN ('alarm', 'failed', 'rolled_back') AND ((SELECT sees_all FROM reader) OR safemig.acts_as(g.role))
	UNION ALL
	SELECT r.day, 'irreversible', NULL, NULL, NULL FROM records r
	WHERE r.kind IN ('migration', 'snapshot') AND r.state <> 'rolled_back'
		AND NOT EXISTS (SELECT FROM safemig.note_log n WHERE n.migration = r.id AND n.key = 'resolved')
		AND (EXISTS (SELECT FROM safemig.command_log c WHERE c.migration = r.effective AND c.irreversible IS NOT NULL)
			OR EXISTS (SELECT FROM safemig.kept_log k WHERE k.migration = r.effective AND k.state = 'pruned'))
	UNION ALL
	SELECT r.day, 'kept', k.bytes, NULL, r.started_at
	FROM records r JOIN safemig.kept_log k ON k.migration = r.id
	WHERE k.state = 'kept' AND k.vault_name IS NOT NULL
	UNION ALL
	SELECT r.day, 'capture', c.own_ms, NULL, NULL
	FROM records r JOIN safemig.command_log c ON c.migration = r.id
	WHERE r.kind = 'migration' AND c.own_ms IS NOT NULL
), counted AS (
	SELECT f.day,
		pg_catalog.count(*) FILTER (WHERE f.what = 'migration') AS migrations,
		pg_catalog.count(*) FILTER (WHERE f.what = 'failure') AS failures,
		pg_catalog.count(*) FILTER (WHERE f.what = 'rollback') AS rollbacks,
		pg_catalog.count(*) FILTER (WHERE f.what = 'redo') AS redos,
		pg_catalog.avg(f.took) FILTER (WHERE f.what = 'rollback') AS recovery_mean,
		pg_catalog.max(f.took) FILTER (WHERE f.what = 'rollback') AS recovery_worst,
		pg_catalog.count(*) FILTER (WHERE f.what IN ('drill', 'drill passed')) AS drills,
		pg_catalog.count(*) FILTER (WHERE f.what = 'drill passed') AS drills_passed,
		pg_catalog.count(*) FILTER (WHERE f.what = 'guard fired') AS guards_fired,
		pg_catalog.count(*) FILTER (WHERE f.what = 'guard in alarm') AS guards_failed,
		pg_catalog.count(*) FILTER (WHERE f.what = 'irreversible') AS irreversible_open,
		COALESCE(pg_catalog.sum(f.amount) FILTER (WHERE f.what = 'kept'), 0)::bigint AS kept_bytes,
		pg_catalog.min(f.at) FILTER (WHERE f.what = 'kept') AS oldest_kept,
		pg_catalog.count(*) FILTER (WHERE f.what = 'capture') AS commands,
		(pg_catalog.avg(f.amount) FILTER (WHERE f.what = 'capture'))::double precision AS capture_ms_mean,
		(pg_catalog.max(f.amount) FILTER (WHERE f.what = 'capture'))::double precision AS capture_ms_worst
	FROM facts f
	GROUP BY GROUPING SETS ((f.day), ())
)
SELECT c.day, c.migrations, c.failures,
	CASE WHEN c.migrations + c.failures > 0 THEN c.migrations::double precision / (c.migrations + c.failures) END AS success_rate,
	c.rollbacks, CASE WHEN c.migrations > 0 THEN c.rollbacks::double precision / c.migrations END AS rollback_rate, c.redos,
	c.drills, c.drills_passed, c.guards_fired, c.guards_failed, c.irreversible_open, c.commands,
	c.kept_bytes, c.recovery_mean, c.recovery_worst, c.capture_ms_mean, c.capture_ms_worst, c.oldest_kept
FROM counted c;
GRANT SELECT ON safemig.stats TO PUBLIC;
COMMENT ON VIEW safemig.stats IS
'How it goes: a row for each day (in the time zone of the session), and one, with day NULL, for all. failures are commands that failed, as far as safemig knows (safemig.failures): a lower bound, so that success_rate = migrations / (migrations + failures), from 0 to 1, is an upper one. rollback_rate = rollbacks / migrations. recovery: from the end of the newest migration that a rollback took back to the end of the rollback. guards_failed: in alarm, or given up; guards_fired: rolled back. irreversible_open: migrations of that day that cannot be taken back and have no note ''resolved''. kept_bytes: what migrations, rollbacks and redos of that day still keep in the vault, in bytes; oldest_kept: when the oldest of them began. capture_ms: what recording a command cost beside the command, until it was written down, in milliseconds, of so many commands. Administrators and members of pg_monitor see all, others what they ran.';

CREATE VIEW safemig.impact WITH (security_barrier) AS
SELECT c.migration, m.label, m.kind, m.state,
	pg_catalog.quote_ident(s.schemaname) || '.' || pg_catalog.quote_ident(s.relname) AS object,
	u.names AS unused_indexes, f.statements AS missing_indexes,
	COALESCE(pg_catalog.pg_stat_get_db_stat_reset_time((SELECT d.oid FROM pg_catalog.pg_database d
		WHERE d.datname = pg_catalog.current_database())) > c.counted_at, false)
		OR s.seq_scan < c.seq_scan OR s.n_tup_ins < c.n_tup_ins OR COALESCE(s.idx_scan, 0) < c.idx_scan AS reset,
	s.seq_scan - c.seq_scan AS seq_scans, s.seq_tup_read - c.seq_tup_read AS seq_rows,
	COALESCE(s.idx_scan, 0) - c.idx_scan AS idx_scans, COALESCE(s.idx_tup_fetch, 0) - c.idx_tup_fetch AS idx_rows,
	s.n_tup_ins - c.n_tup_ins AS inserted, s.n_tup_upd - c.n_tup_upd AS updated, s.n_tup_del - c.n_tup_del AS deleted,
	c.seq_scan AS seq_scans_before, c.seq_tup_read AS seq_rows_before, c.idx_scan AS idx_scans_before, c.idx_tup_fetch AS idx_rows_before,
	c.counted_at AS since
FROM (
	SELECT DISTINCT ON (x.migration, x.relid) x.*
	FROM safemig.counter_log x ORDER BY x.migration, x.relid, x.counted_at DESC
) c
JOIN safemig.migrations m ON m.id = c.migration
JOIN pg_catalog.pg_stat_user_tables s ON s.relid = c.relid AND s.schemaname !~ '^safemig_vault_'
LEFT JOIN LATERAL (
	SELECT pg_catalog.array_agg(pg_catalog.quote_ident(i.schemaname) || '.' || pg_catalog.quote_ident(i.indexrelname) ORDER BY i.indexrelname) AS names
	FROM pg_catalog.pg_stat_user_indexes i JOIN pg_catalog.pg_index x ON x.indexrelid = i.indexrelid
	WHERE i.relid = s.relid AND i.idx_scan = 0 AND NOT x.indisunique AND NOT x.indisexclusion) u ON true
LEFT JOIN LATERAL (
	SELECT pg_catalog.array_agg(pg_catalog.format('CREATE INDEX CONCURRENTLY ON %I.%I (%s);', s.schemaname, s.relname, (
			SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY k.n)
			FROM pg_catalog.unnest(o.conkey) WITH ORDINALITY AS k(attnum, n)
			JOIN pg_catalog.pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.attnum)) ORDER BY o.conname) AS statements
	FROM pg_catalog.pg_constraint o
	WHERE o.conrelid = s.relid AND o.contype = 'f'
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_index x
						WHERE x.indrelid = o.conrelid AND x.indisvalid AND x.indpred IS NULL
							AND (x.indkey::int2[])[0:pg_catalog.cardinality(o.conkey) - 1] @> o.conkey)) f ON true;
GRANT SELECT ON safemig.impact TO PUBLIC;
COMMENT ON VIEW safemig.impact IS
'What became of the tables that a migration changed: the counters of pg_stat_user_tables since its last transaction committed (since), and, in the columns _before, what they were then; one row for each migration and table that is still there. reset: counters of the database were set back since, so that the differences may say nothing. unused_indexes: indexes of the table that no query has used since the counters began, but those that are there for a constraint; missing_indexes: statements for foreign keys of the table without an index. Many seq_rows for few seq_scans of a large table, or idx_scans that have stopped, are worth a look. Whoever sees the migration in safemig.migrations sees it here.';
