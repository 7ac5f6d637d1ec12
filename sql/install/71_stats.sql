/*
 * How it goes, in numbers.
 */
CREATE VIEW safemig.stats WITH (security_barrier) AS
WITH reader AS (
	SELECT safemig.administers() OR pg_catalog.pg_has_role('pg_monitor', 'USAGE') AS sees_all
), records AS (
	SELECT m.id, m.kind, m.state, m.effective, m.rolls_back, m.started_at::date AS day, m.started_at
	FROM safemig.migration_log m
	WHERE (SELECT sees_all FROM reader) OR safemig.acts_as(m.session_role) OR safemig.acts_as(m.role)
), facts (day, what, n, total, worst, first) AS (
	SELECT r.day, 'migration', pg_catalog.count(*), NULL::double precision, NULL::double precision, NULL::timestamptz FROM records r
	WHERE r.kind = 'migration' AND r.state <> 'open' GROUP BY r.day
	UNION ALL
	SELECT f.failed_at::date, 'failure', pg_catalog.count(*), NULL, NULL, NULL FROM safemig.failure_log f
	WHERE (SELECT sees_all FROM reader) OR safemig.acts_as(f.role) GROUP BY 1
	UNION ALL
	SELECT r.day, r.kind, pg_catalog.count(*), pg_catalog.sum(t.seconds), pg_catalog.max(t.seconds), NULL
	FROM records r
	LEFT JOIN LATERAL (
		SELECT EXTRACT(epoch FROM recovered.at - ended.at)::double precision AS seconds
		FROM (SELECT COALESCE(m.finished_at, pg_catalog.max(c.started_at + c.ms * interval '1 millisecond'), m.started_at) AS at
			FROM safemig.migration_log m LEFT JOIN safemig.command_log c ON c.migration = m.id
			WHERE m.id = r.id GROUP BY m.id) recovered,
			(SELECT COALESCE(m.finished_at, pg_catalog.max(c.started_at + c.ms * interval '1 millisecond'), m.started_at) AS at
			FROM safemig.migration_log m LEFT JOIN safemig.command_log c ON c.migration = m.id
			WHERE m.id = (SELECT pg_catalog.max(x.id) FROM pg_catalog.unnest(r.rolls_back) AS x(id)) GROUP BY m.id) ended
		WHERE r.kind = 'rollback') t ON true
	WHERE r.kind IN ('rollback', 'redo') GROUP BY r.day, r.kind
	UNION ALL
	SELECT d.drilled_at::date, CASE WHEN d.outcome = 'passed' THEN 'drill passed' ELSE 'drill' END, pg_catalog.count(*), NULL, NULL, NULL
	FROM safemig.drill_log d
	WHERE (SELECT sees_all FROM reader) OR safemig.acts_as(d.role) GROUP BY 1, 2
	UNION ALL
	SELECT g.started_at::date, CASE WHEN g.state = 'rolled_back' THEN 'guard fired' ELSE 'guard failed' END, pg_catalog.count(*), NULL, NULL, NULL
	FROM safemig.guard_log g
	WHERE g.state IN ('alarm', 'failed', 'rolled_back') AND ((SELECT sees_all FROM reader) OR safemig.acts_as(g.role)) GROUP BY 1, 2
	UNION ALL
	SELECT r.day, 'irreversible', pg_catalog.count(*), NULL, NULL, NULL FROM records r
	WHERE r.kind IN ('migration', 'snapshot') AND r.state <> 'rolled_back'
		AND NOT EXISTS (SELECT FROM safemig.note_log n WHERE n.migration = r.id AND n.key = 'resolved')
		AND (EXISTS (SELECT FROM safemig.command_log c WHERE c.migration = r.effective AND c.irreversible IS NOT NULL)
			OR EXISTS (SELECT FROM safemig.kept_log k WHERE k.migration = r.effective AND k.state = 'pruned'))
	GROUP BY r.day
	UNION ALL
	SELECT r.day, 'kept', pg_catalog.count(*), pg_catalog.sum(k.bytes)::double precision, NULL, pg_catalog.min(r.started_at)
	FROM records r JOIN safemig.kept_log k ON k.migration = r.id
	WHERE k.state = 'kept' AND k.vault_name IS NOT NULL GROUP BY r.day
	UNION ALL
	SELECT c.started_at::date, 'capture', pg_catalog.count(*), pg_catalog.sum(c.own_ms), pg_catalog.max(c.own_ms), NULL
	FROM safemig.command_log c
	WHERE c.own_ms IS NOT NULL AND ((SELECT sees_all FROM reader) OR safemig.acts_as(c.role)) GROUP BY 1
), counted AS (
	SELECT f.day,
		COALESCE(pg_catalog.sum(f.n) FILTER (WHERE f.what = 'migration'), 0)::bigint AS migrations,
		COALESCE(pg_catalog.sum(f.n) FILTER (WHERE f.what = 'failure'), 0)::bigint AS failures,
		COALESCE(pg_catalog.sum(f.n) FILTER (WHERE f.what = 'rollback'), 0)::bigint AS rollbacks,
		COALESCE(pg_catalog.sum(f.n) FILTER (WHERE f.what = 'redo'), 0)::bigint AS redos,
		pg_catalog.sum(f.total) FILTER (WHERE f.what = 'rollback') AS recovery_total,
		pg_catalog.max(f.worst) FILTER (WHERE f.what = 'rollback') AS recovery_worst,
		COALESCE(pg_catalog.sum(f.n) FILTER (WHERE f.what IN ('drill', 'drill passed')), 0)::bigint AS drills,
		COALESCE(pg_catalog.sum(f.n) FILTER (WHERE f.what = 'drill passed'), 0)::bigint AS drills_passed,
		COALESCE(pg_catalog.sum(f.n) FILTER (WHERE f.what = 'guard fired'), 0)::bigint AS guards_fired,
		COALESCE(pg_catalog.sum(f.n) FILTER (WHERE f.what = 'guard failed'), 0)::bigint AS guards_failed,
		COALESCE(pg_catalog.sum(f.n) FILTER (WHERE f.what = 'irreversible'), 0)::bigint AS irreversible_open,
		COALESCE(pg_catalog.sum(f.total) FILTER (WHERE f.what = 'kept'), 0)::bigint AS kept_bytes,
		pg_catalog.min(f.first) FILTER (WHERE f.what = 'kept') AS oldest_kept,
		COALESCE(pg_catalog.sum(f.n) FILTER (WHERE f.what = 'capture'), 0)::bigint AS commands,
		pg_catalog.sum(f.total) FILTER (WHERE f.what = 'capture') AS capture_ms_total,
		pg_catalog.max(f.worst) FILTER (WHERE f.what = 'capture') AS capture_ms_worst
	FROM facts f
	GROUP BY GROUPING SETS ((f.day), ())
)
SELECT c.day, c.migrations, c.failures,
	CASE WHEN c.migrations + c.failures > 0 THEN c.migrations::double precision / (c.migrations + c.failures) END AS success_rate,
	c.rollbacks, CASE WHEN c.migrations > 0 THEN c.rollbacks::double precision / c.migrations END AS rollback_rate, c.redos,
	c.drills, c.drills_passed, c.guards_fired, c.guards_failed, c.irreversible_open, c.commands, c.kept_bytes,
	c.recovery_total / NULLIF(c.rollbacks, 0) * interval '1 second' AS recovery_mean, c.recovery_worst * interval '1 second' AS recovery_worst,
	c.capture_ms_total / NULLIF(c.commands, 0) AS capture_ms_mean, c.capture_ms_worst, c.oldest_kept
FROM counted c;
GRANT SELECT ON safemig.stats TO PUBLIC;
COMMENT ON VIEW safemig.stats IS
'How it goes: a row for each day (in the time zone of the session), and one, with day NULL, for all. failures are commands that failed, as far as safemig knows (safemig.failures): a lower bound, so that success_rate = migrations / (migrations + failures), from 0 to 1, is an upper one. rollback_rate = rollbacks / migrations. recovery: from the end of the newest migration that a rollback took back to the end of the rollback. guards_failed: in alarm, or given up; guards_fired: rolled back. irreversible_open: migrations of that day that cannot be taken back and have no note ''resolved''. kept_bytes: what migrations, rollbacks and redos of that day still keep in the vault, in bytes; oldest_kept: when the oldest of them began. capture_ms: what recording a command cost beside the command, until it was written down, in milliseconds, of so many commands, those of rollbacks included. Administrators and members of pg_monitor see all, others what they ran.';

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
