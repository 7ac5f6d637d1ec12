/*
 * The public face of the history.
 */
/*
 * Who sees what: an administrator everything, a role what it did, an owner what
 * was done to his objects.  The text of a statement may hold anything: it is
 * for administrators and the role that ran it.
 */
CREATE FUNCTION safemig.administers()
RETURNS boolean STABLE LANGUAGE C
AS 'MODULE_PATHNAME', 'safemig_administers';
COMMENT ON FUNCTION safemig.administers() IS
'Whether the current role administers safemig.';

CREATE FUNCTION safemig.acts_as(role text)
RETURNS boolean STABLE STRICT LANGUAGE C
AS 'MODULE_PATHNAME', 'safemig_acts_as';
COMMENT ON FUNCTION safemig.acts_as(text) IS
'Whether the current role has the rights of that one, which need not exist.';

CREATE FUNCTION safemig.owns_change(before text[], after text[])
RETURNS boolean STABLE LANGUAGE C COST 100
AS 'MODULE_PATHNAME', 'safemig_owns_change';
COMMENT ON FUNCTION safemig.owns_change(text[], text[]) IS
'Whether the object of a row of change_log belonged to the current role before or after the change; for what has no owner, whether the relation that it lives in does.';

CREATE FUNCTION safemig.unseen_rows(OUT migration bigint, OUT framework text, OUT label text, OUT version text)
RETURNS SETOF record STABLE LANGUAGE C ROWS 1
AS 'MODULE_PATHNAME', 'safemig_unseen_rows';
COMMENT ON FUNCTION safemig.unseen_rows() IS
'What frameworks that write their history from another session have called migrations which do not have a name yet; of those that a role ran, to that role, of all to administrators. The next call that looks for a migration, and may write, gives them the name.';

CREATE VIEW safemig.migrations WITH (security_barrier) AS
SELECT m.id, m.kind, COALESCE(m.label, u.label) AS label, COALESCE(u.framework, m.framework) AS framework, COALESCE(m.version, u.version) AS version,
	CASE WHEN m.state = 'open' AND NOT EXISTS (
		SELECT FROM pg_catalog.pg_locks l
		WHERE l.locktype = 'advisory' AND l.objsubid = 3 AND l.granted
			AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d
							  WHERE d.datname = pg_catalog.current_database())
			AND l.classid::bigint = 1397116231 AND l.objid::bigint = m.id)
		THEN 'abandoned' ELSE m.state END AS state,
	m.kind IN ('migration', 'snapshot') AND m.state <> 'rolled_back' AND i.why IS NULL AND p.why IS NULL AS restorable,
	CASE WHEN m.state = 'rolled_back' THEN 'rolled back'
		WHEN m.kind = 'baseline' THEN 'a baseline changes nothing' ELSE COALESCE(i.why, p.why) END AS why_not,
	m.session_role AS role, m.client, m.application, m.reason,
	LEAST(m.started_at, c.started_at) AS started_at,
	COALESCE(m.finished_at, c.finished_at) AS finished_at,
	COALESCE(c.commands, 0) AS commands,
	COALESCE(k.kept_bytes, 0) AS kept_bytes,
	m.rolled_back_by, m.rolls_back,
	(SELECT x.until FROM safemig.pin_log x
	 WHERE x.migration = m.id AND x.until > pg_catalog.clock_timestamp()) AS kept_until,
	(SELECT r.id FROM safemig.migration_log r
	 WHERE r.id = m.reverted_by AND r.state <> 'rolled_back') AS reverted_by
FROM safemig.migration_log m
LEFT JOIN safemig.unseen_rows() u ON u.migration = m.id
LEFT JOIN LATERAL (
	SELECT pg_catalog.count(*) AS commands,
		pg_catalog.min(x.started_at) AS started_at,
		pg_catalog.max(x.started_at + x.ms * interval '1 millisecond') AS finished_at
	FROM safemig.command_log x WHERE x.migration = m.id) c ON true
LEFT JOIN LATERAL (
	SELECT x.tag || ' is irreversible: ' || x.irreversible AS why
	FROM safemig.command_log x
	WHERE x.migration = m.effective AND x.irreversible IS NOT NULL
	ORDER BY x.seq LIMIT 1) i ON true
LEFT JOIN LATERAL (
	SELECT 'what it kept of ' || x.object_type || ' ' || x.identity || ' was pruned' AS why
	FROM safemig.kept_log x
	WHERE x.migration = m.effective AND x.state = 'pruned'
	ORDER BY x.id LIMIT 1) p ON true
LEFT JOIN LATERAL (
	SELECT pg_catalog.sum(x.bytes)::bigint AS kept_bytes
	FROM safemig.kept_log x WHERE x.migration = m.id AND x.state = 'kept') k ON true
WHERE (SELECT safemig.administers()) OR safemig.acts_as(m.session_role) OR safemig.acts_as(m.role)
	OR EXISTS (SELECT FROM safemig.change_log x
			   WHERE x.migration = m.id AND safemig.owns_change(x.before, x.after));
GRANT SELECT ON safemig.migrations TO PUBLIC;
COMMENT ON VIEW safemig.migrations IS
'One row per migration, snapshot, baseline, rollback and redo. kept_bytes is in bytes; kept_until is what safemig_keep asked for; times are those of the first and the last command. framework and version are what a migration framework wrote into its history table, and label as well where it was not set; reverted_by is the migration in which the framework itself took this one back.';

CREATE VIEW safemig.commands WITH (security_barrier) AS
SELECT c.seq, c.migration, c.tag, c.role, c.irreversible, c.unkept, c.rewrote,
	pg_catalog.cardinality(c.reverse) / 7 AS reverse_steps,
	CASE WHEN (SELECT safemig.administers()) OR safemig.acts_as(c.role) THEN c.query END AS query,
	c.search_path, c.started_at, c.ms
FROM safemig.command_log c
WHERE (SELECT safemig.administers()) OR safemig.acts_as(c.role)
	OR EXISTS (SELECT FROM safemig.change_log x
			   WHERE x.command = c.seq AND safemig.owns_change(x.before, x.after));
GRANT SELECT ON safemig.commands TO PUBLIC;
COMMENT ON VIEW safemig.commands IS
'One row per captured command, in the order in which they took effect (seq). ms is the time the command took, in milliseconds, with what safemig did for it; irreversible is the reason why it has no exact reverse, or NULL; query is for the role that ran it and administrators, and NULL if it holds a password; for tag DATA it is the statement that wrote last, if that is known, and started_at its start; unkept tells, for tag DATA, how many rows of which table the migration wrote without their having been kept, for others what a rollback leaves as it is.';

CREATE FUNCTION safemig.lock_strength(lock_mode text)
RETURNS int IMMUTABLE LANGUAGE sql PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$SELECT COALESCE(pg_catalog.array_position(ARRAY['ACCESS SHARE', 'ROW SHARE', 'ROW EXCLUSIVE', 'SHARE UPDATE EXCLUSIVE', 'SHARE',
	'SHARE ROW EXCLUSIVE', 'EXCLUSIVE', 'ACCESS EXCLUSIVE'], lock_mode), 0)$$;
COMMENT ON FUNCTION safemig.lock_strength(text) IS
'Orders the modes of locks, as safemig_plan spells them: 1 is ACCESS SHARE, 8 ACCESS EXCLUSIVE, 0 anything else and NULL.';

CREATE VIEW safemig.command_facts WITH (security_barrier) AS
SELECT c.seq AS command, c.migration, c.tag, c.cost, c.rewrote, c.locks[2] AS strongest_lock,
	pg_catalog.jsonb_object(c.locks) AS locks, c.locked,
	c.ms, c.own_ms, c.waited_ms, c.wal_bytes, c.own_wal_bytes, c.written_bytes, c.table_bytes
FROM safemig.command_log c
WHERE (SELECT safemig.administers()) OR safemig.acts_as(c.role)
	OR EXISTS (SELECT FROM safemig.change_log x
			   WHERE x.command = c.seq AND safemig.owns_change(x.before, x.after));
GRANT SELECT ON safemig.command_facts TO PUBLIC;
COMMENT ON VIEW safemig.command_facts IS
'What each command of safemig.commands (command is its seq) took when it ran: what PostgreSQL does for it and what safemig does, told apart. NULL where nobody looked: rows that were written, acts of safemig itself.';
COMMENT ON COLUMN safemig.command_facts.command IS 'seq in safemig.commands.';
COMMENT ON COLUMN safemig.command_facts.migration IS 'The migration, rollback or redo that it is of.';
COMMENT ON COLUMN safemig.command_facts.tag IS 'Its command tag.';
COMMENT ON COLUMN safemig.command_facts.cost IS 'catalog, scan, index or rewrite, as it was seen: the most that it did to a table that was there before it.';
COMMENT ON COLUMN safemig.command_facts.rewrote IS 'Tables that ALTER TABLE wrote anew; NULL: none.';
COMMENT ON COLUMN safemig.command_facts.strongest_lock IS 'The strongest of locks; NULL: none.';
COMMENT ON COLUMN safemig.command_facts.locks IS 'The strongest lock on each relation of users that the command left held and that was not held so strongly before it, with those of safemig for it; without ACCESS SHARE, and what it made itself. The hundred strongest. NULL: none, or not looked at.';
COMMENT ON COLUMN safemig.command_facts.locked IS 'How many relations these are; NULL: not looked at (a step of a rollback, whose locks are taken before; more than 1000 locks held).';
COMMENT ON COLUMN safemig.command_facts.ms IS 'Milliseconds from its start to its end, with what safemig did.';
COMMENT ON COLUMN safemig.command_facts.own_ms IS 'Of these, what safemig did before and after it, without waiting for locks.';
COMMENT ON COLUMN safemig.command_facts.waited_ms IS 'Of these, waiting for locks: up to the moment at which it was noticed, which is at once for those that safemig takes for the command; of several waits between two such moments the last one.';
COMMENT ON COLUMN safemig.command_facts.wal_bytes IS 'Bytes of WAL that it wrote, with what safemig wrote up to its record.';
COMMENT ON COLUMN safemig.command_facts.own_wal_bytes IS 'Of these, before and after the command itself.';
COMMENT ON COLUMN safemig.command_facts.written_bytes IS 'Bytes in the files of tables and indexes that the command itself made, when it ended.';
COMMENT ON COLUMN safemig.command_facts.table_bytes IS 'Bytes of the tables that it went through, as pg_table_size() has them, before a rewrite; 0: none, NULL: not known.';

CREATE VIEW safemig.migration_facts WITH (security_barrier) AS
SELECT m.id AS migration, m.kind, m.label, m.state, m.restorable, m.why_not,
	u.undo_steps, u.undo_lock, u.undo_lock_on, m.kept_bytes,
	c.cost, s.lock_mode AS strongest_lock, s.object AS strongest_lock_on, c.rewrote,
	COALESCE(z.ms, c.ms) AS ms, c.own_ms, c.waited_ms, c.wal_bytes, c.written_bytes
FROM safemig.migrations m
JOIN safemig.migration_log l ON l.id = m.id
LEFT JOIN safemig.certificate_log z ON z.record = m.id
LEFT JOIN LATERAL (
	SELECT (pg_catalog.array_agg(x.cost ORDER BY pg_catalog.array_position(ARRAY['rewrite', 'index', 'scan', 'catalog'], x.cost))
			FILTER (WHERE x.cost IS NOT NULL))[1] AS cost,
		NULLIF(pg_catalog.sum(pg_catalog.cardinality(x.rewrote)), 0)::int AS rewrote,
		pg_catalog.sum(x.ms) AS ms, pg_catalog.sum(x.own_ms) AS own_ms, pg_catalog.sum(x.waited_ms) AS waited_ms,
		pg_catalog.sum(x.wal_bytes)::bigint AS wal_bytes, pg_catalog.sum(x.written_bytes)::bigint AS written_bytes
	FROM safemig.command_log x WHERE x.migration = m.id) c ON true
LEFT JOIN LATERAL (
	SELECT x.locks[2] AS lock_mode, x.locks[1] AS object
	FROM safemig.command_log x WHERE x.migration = m.id AND x.locks IS NOT NULL
	ORDER BY safemig.lock_strength(x.locks[2]) DESC, x.seq LIMIT 1) s ON true
LEFT JOIN LATERAL (
	SELECT pg_catalog.count(*) AS undo_steps,
		(pg_catalog.array_agg(NULLIF(x.reverse[i + 3], '') ORDER BY safemig.lock_strength(x.reverse[i + 3]) DESC, x.seq DESC, i))[1] AS undo_lock,
		(pg_catalog.array_agg(CASE WHEN x.reverse[i + 3] <> '' THEN x.reverse[i + 2] END ORDER BY safemig.lock_strength(x.reverse[i + 3]) DESC, x.seq DESC, i))[1] AS undo_lock_on
	FROM safemig.command_log x
	CROSS JOIN LATERAL pg_catalog.generate_series(1, pg_catalog.cardinality(x.reverse), 7) i
	WHERE x.migration = l.effective) u ON true;
GRANT SELECT ON safemig.migration_facts TO PUBLIC;
COMMENT ON VIEW safemig.migration_facts IS
'One row for each of safemig.migrations: what it took, and what taking it back would. Whoever sees it there sees it here. safemig_plan(migration) has the steps of the way back and what each may take.';
COMMENT ON COLUMN safemig.migration_facts.migration IS 'id in safemig.migrations.';
COMMENT ON COLUMN safemig.migration_facts.kind IS 'As there.';
COMMENT ON COLUMN safemig.migration_facts.label IS 'As there.';
COMMENT ON COLUMN safemig.migration_facts.state IS 'As there.';
COMMENT ON COLUMN safemig.migration_facts.restorable IS 'As there: can it be taken back?';
COMMENT ON COLUMN safemig.migration_facts.why_not IS 'As there.';
COMMENT ON COLUMN safemig.migration_facts.undo_steps IS 'Steps of the way back.';
COMMENT ON COLUMN safemig.migration_facts.undo_lock IS 'The strongest lock of these; NULL: none.';
COMMENT ON COLUMN safemig.migration_facts.undo_lock_on IS 'The object on which.';
COMMENT ON COLUMN safemig.migration_facts.kept_bytes IS 'As there: what is kept for it, in bytes.';
COMMENT ON COLUMN safemig.migration_facts.cost IS 'The dearest of its commands: catalog, scan, index or rewrite; NULL: nobody looked.';
COMMENT ON COLUMN safemig.migration_facts.strongest_lock IS 'The strongest lock that one of its commands took; NULL: none, or nobody looked.';
COMMENT ON COLUMN safemig.migration_facts.strongest_lock_on IS 'The relation on which.';
COMMENT ON COLUMN safemig.migration_facts.rewrote IS 'How often a table was written anew.';
COMMENT ON COLUMN safemig.migration_facts.ms IS 'Milliseconds: of a rollback or redo from its plan to its proof, of others the sum of their commands.';
COMMENT ON COLUMN safemig.migration_facts.own_ms IS 'Of the commands, what safemig did.';
COMMENT ON COLUMN safemig.migration_facts.waited_ms IS 'Of the commands, waiting for locks.';
COMMENT ON COLUMN safemig.migration_facts.wal_bytes IS 'Bytes of WAL that the commands wrote.';
COMMENT ON COLUMN safemig.migration_facts.written_bytes IS 'Bytes in files that they made.';

CREATE VIEW safemig.changes WITH (security_barrier) AS
SELECT c.migration, c.command, c.ord,
	CASE c.action WHEN 'c' THEN 'created' WHEN 'd' THEN 'dropped'
		WHEN 'a' THEN 'altered' WHEN 'n' THEN 'noted' WHEN 'w' THEN 'rows written' ELSE 'restated' END AS action,
	c.type, COALESCE(c.identity_before, c.identity_after) AS object,
	c.identity_before, c.identity_after, c.parent, c.kept
FROM safemig.change_log c
WHERE (SELECT safemig.administers()) OR safemig.owns_change(c.before, c.after)
	OR EXISTS (SELECT FROM safemig.command_log x WHERE x.seq = c.command AND safemig.acts_as(x.role));
GRANT SELECT ON safemig.changes TO PUBLIC;
COMMENT ON VIEW safemig.changes IS
'One row per object that a command created, dropped, altered restated (what changes its description only because another object changed its name or type, and changes back with it) or, for a baseline, noted.';

CREATE VIEW safemig.kept WITH (security_barrier) AS
SELECT k.id, k.migration, k.command, k.kind, k.object_type, k.identity,
	NULLIF(k.part, '') AS part, k.state, k.rows, k.bytes,
	CASE WHEN k.state = 'kept' AND k.vault_name IS NOT NULL AND k.kind NOT IN ('type', 'collation', 'support')
		THEN pg_catalog.format('SELECT * FROM %I.%I', k.vault_schema, k.vault_name) END AS query
FROM safemig.kept_log k
WHERE (SELECT safemig.administers())
	OR EXISTS (SELECT FROM safemig.command_log x WHERE x.seq = k.command AND safemig.acts_as(x.role))
	OR EXISTS (SELECT FROM safemig.change_log x
			   WHERE x.command = k.command AND k.identity IN (x.identity_before, x.identity_after)
				   AND safemig.owns_change(x.before, x.after));
GRANT SELECT ON safemig.kept TO PUBLIC;
COMMENT ON VIEW safemig.kept IS
'One row per kept thing: relations, types, collations and what partition keys need that were moved to the vault, values of columns, rows of a snapshot, positions of sequences. rows is -1 for what was moved and not counted; bytes is the size of a copy, or of the relation when it was moved; query reads the rows.';

CREATE VIEW safemig.pruned WITH (security_barrier) AS
SELECT p.kept AS id, p.migration, k.migration AS record, k.kind, k.object_type, k.identity,
	NULLIF(k.part, '') AS part, k.rows, p.role, p.reason, p.bytes, p.pruned_at
FROM safemig.prune_log p JOIN safemig.kept_log k ON k.id = p.kept
WHERE (SELECT safemig.administers()) OR safemig.acts_as(p.role)
	OR EXISTS (SELECT FROM safemig.change_log x
			   WHERE x.command = k.command AND k.identity IN (x.identity_before, x.identity_after)
				   AND safemig.owns_change(x.before, x.after));
GRANT SELECT ON safemig.pruned TO PUBLIC;
COMMENT ON VIEW safemig.pruned IS
'One row per thing that was kept and that safemig_prune or safemig_prune_older took out of the vault for good: for which migration it was pruned, which record (the migration itself, its rollback or its redo) had kept it, by whom, why and when. bytes is its size when it was kept.';

CREATE VIEW safemig.expiring WITH (security_barrier) AS
SELECT m.id AS migration, m.kind, m.label, m.kept_bytes, e.marked_at, e.prune_after
FROM safemig.expiry_log e JOIN safemig.migrations m ON m.id = e.migration;
GRANT SELECT ON safemig.expiring TO PUBLIC;
COMMENT ON VIEW safemig.expiring IS
'What has expired by safemig.retention and is marked: from prune_after on the next safemig_prune_expired(), or the worker, prunes it, unless safemig_keep has asked to keep it by then. kept_bytes is in bytes. Whoever sees the migration in safemig.migrations sees it here.';

CREATE VIEW safemig.erased WITH (security_barrier) AS
SELECT e.migration, e.kept, e.rows, e.role, e.reason, e.erased_at
FROM safemig.erase_log e
WHERE EXISTS (SELECT FROM safemig.migrations m WHERE m.id = e.migration);
GRANT SELECT ON safemig.erased TO PUBLIC;
COMMENT ON VIEW safemig.erased IS
'How many rows safemig_erase took out of something that is kept (kept is its id in safemig.kept), or from how many commands safemig_erase_text took the text (kept is NULL), by whom, why and when. The condition is not written down, since it names whom it was about. Whoever sees the migration in safemig.migrations sees it here.';

CREATE VIEW safemig.failures WITH (security_barrier) AS
SELECT f.id, f.migration, f.tag, f.role, f.sqlstate, f.message, f.query, f.failed_at
FROM safemig.failure_log f
WHERE (SELECT safemig.administers()) OR safemig.acts_as(f.role);
GRANT SELECT ON safemig.failures TO PUBLIC;
COMMENT ON VIEW safemig.failures IS
'Commands that failed. What fails leaves no trace in the transaction that it fails in; it is noted by the next command of the same session that is recorded. So these are a lower bound.';

CREATE VIEW safemig.notes WITH (security_barrier) AS
SELECT n.migration, n.key, n.value, n.role, n.noted_at FROM safemig.note_log n
WHERE EXISTS (SELECT FROM safemig.migrations m WHERE m.id = n.migration);
GRANT SELECT ON safemig.notes TO PUBLIC;
COMMENT ON VIEW safemig.notes IS
'What was noted about migrations: approver, ticket, commit, cause.';

CREATE VIEW safemig.ledger WITH (security_barrier) AS
SELECT m.id AS migration, m.label, w.tag, w.reason, m.state, n.key IS NOT NULL AS resolved, n.value AS note, m.role, m.started_at
FROM safemig.migrations m
JOIN safemig.migration_log l ON l.id = m.id
JOIN LATERAL (
	SELECT c.seq, c.tag, c.irreversible AS reason
	FROM safemig.command_log c WHERE c.migration = l.effective AND c.irreversible IS NOT NULL
	UNION ALL
	SELECT k.command, c.tag, pg_catalog.format('what it kept of %s %s was pruned', k.object_type, k.identity)
	FROM safemig.kept_log k JOIN safemig.command_log c ON c.seq = k.command
	WHERE k.migration = l.effective AND k.state = 'pruned') w ON true
LEFT JOIN safemig.note_log n ON n.migration = m.id AND n.key = 'resolved'
WHERE m.kind IN ('migration', 'snapshot') AND m.state <> 'rolled_back';
GRANT SELECT ON safemig.ledger TO PUBLIC;
COMMENT ON VIEW safemig.ledger IS
'What cannot be taken back: one row per command that is irreversible, or whose kept data was pruned, of a migration that stands, with the reason. resolved: safemig_note(migration, ''resolved'', ''how'') was called, and note is what it said; safemig_doctor() counts the others. Whoever sees the migration in safemig.migrations sees it here.';

CREATE VIEW safemig.certificates WITH (security_barrier) AS
SELECT c.record AS rollback, c.on_conflict, pg_catalog.array_length(c.objects, 1) AS objects, c.tables_put_back, c.rows_restored, c.later_writes, c.verified_at
FROM safemig.certificate_log c
WHERE EXISTS (SELECT FROM safemig.migrations m WHERE m.id = c.record);
GRANT SELECT ON safemig.certificates TO PUBLIC;
COMMENT ON VIEW safemig.certificates IS
'One row per rollback and redo (column rollback is its id): how many objects its proof found as they were recorded, tables and rows put back, later writes kept. safemig_certificate(rollback) is the whole of it.';
