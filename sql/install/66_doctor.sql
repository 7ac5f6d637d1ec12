/*
 * Is everything in place?
 */
CREATE FUNCTION safemig.drift()
RETURNS TABLE(object text, facet text, expected text, actual text) LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_drift';
COMMENT ON FUNCTION safemig.drift() IS
'Objects that are otherwise now than the newest record of them says: somebody changed them while safemig did not look. Objects that have no record are not known to it: safemig_baseline makes one of all. Reads the whole history and looks at every object in it; takes no locks. The caller must administer safemig.';

CREATE FUNCTION safemig.framework_gaps(OUT framework text, OUT history text, OUT label text, OUT migration bigint, OUT problem text)
RETURNS SETOF record LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_framework_gaps';
COMMENT ON FUNCTION safemig.framework_gaps() IS
'Where the history of a migration framework and that of safemig do not agree: rows written since safemig is there of whose migration nothing is recorded, and migrations that stand whose row is not there. Reads every history table, except one that is locked. To who does not administer safemig it says nothing.';

CREATE FUNCTION pg_catalog.safemig_doctor()
RETURNS TABLE(item text, status text, detail text, hint text) LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	WITH preloaded AS (
		SELECT COALESCE(bool_or(btrim(l, ' "') ~ '(^|/)safemig$'), false) AS loaded, count(*) > 0 AS known
		FROM pg_settings s, string_to_table(s.setting || ',', ',') AS l
		WHERE s.name IN ('shared_preload_libraries', 'session_preload_libraries')
	), missing AS (
		SELECT string_agg(w.name || CASE WHEN t.oid IS NULL THEN ' is missing' ELSE ' is not ENABLE ALWAYS' END, ', ' ORDER BY w.name) AS what,
			string_agg(CASE WHEN t.oid IS NOT NULL THEN 'ALTER EVENT TRIGGER ' || quote_ident(w.name) || ' ENABLE ALWAYS;' END, ' ' ORDER BY w.name) AS how
		FROM unnest(ARRAY['!safemig_drop', '!safemig_end', '!safemig_rewrite', '!safemig_start']) AS w(name)
			LEFT JOIN pg_event_trigger t ON t.evtname = w.name
		WHERE t.oid IS NULL OR t.evtenabled <> 'A'
	), switched AS (
		SELECT string_agg(DISTINCT COALESCE('role ' || r.rolname, 'every role') || COALESCE(' in database ' || d.datname, ''), ', ') AS whom
		FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
		WHERE (s.setdatabase = 0 OR d.datname = current_database())
			AND EXISTS (SELECT FROM unnest(s.setconfig) AS c WHERE c ~ '^safemig[.]enabled=(off|false|no|0)$')
	), versions AS (
		SELECT e.extversion AS installed, a.default_version AS available
		FROM pg_extension e LEFT JOIN pg_available_extensions a ON a.name = e.extname WHERE e.extname = 'safemig'
	), vault AS (
		SELECT r.oid, r.rolcanlogin OR r.rolsuper OR r.rolcreaterole OR r.rolbypassrls
			OR EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = r.oid OR m.member = r.oid) AS open
		FROM (SELECT 1) AS one LEFT JOIN pg_roles r ON r.rolname = 'safemig_vault'
	), lost AS (
		SELECT count(*) AS n, min(k.identity) AS example FROM safemig.kept k
		WHERE k.query IS NOT NULL AND to_regclass(substr(k.query, length('SELECT * FROM ') + 1)) IS NULL
	), published AS (
		SELECT string_agg(p.pubname, ', ' ORDER BY p.pubname) AS names FROM pg_publication p WHERE p.puballtables
	), migrations AS (
		SELECT count(*) FILTER (WHERE m.state = 'abandoned') AS abandoned,
			(SELECT count(DISTINCT l.migration) FROM safemig.ledger l WHERE NOT l.resolved) AS irreversible,
			COALESCE(sum(m.kept_bytes), 0)::bigint AS bytes
		FROM safemig.migrations m
	), gaps AS (
		SELECT count(*) AS n, min(g.framework || ' ' || g.label || ': ' || g.problem) AS example FROM safemig.framework_gaps() g
	), guards AS (
		SELECT count(*) FILTER (WHERE state = 'alarm') AS alarms, count(*) FILTER (WHERE NOT attended) AS alone, count(*) AS n,
			min(format('migration %s: %s', migration, problem)) FILTER (WHERE state = 'alarm') AS example
		FROM safemig.guards WHERE state IN ('watching', 'alarm')
	), expiring AS (
		SELECT count(*) AS expired, count(*) FILTER (WHERE e.prune_after < now() - interval '1 day') AS overdue FROM safemig.expiring e
	), differing AS (
		SELECT count(DISTINCT d.object) AS n, min(d.object) AS example
		FROM safemig.drift() d WHERE (SELECT safemig.administers())
	), found (ord, item, fine, status, detail, hint) AS (
		SELECT 1, 'event triggers', what IS NULL, 'error', COALESCE(what, 'all four are enabled, also for replication roles'),
			COALESCE(how, 'DROP EXTENSION safemig and CREATE EXTENSION safemig make them again; what is kept stays as plain schemas.')
		FROM missing
		UNION ALL
		SELECT 2, 'event triggers of the server', COALESCE(current_setting('event_triggers', true), 'on') = 'on', 'error',
			'event_triggers is ' || COALESCE(current_setting('event_triggers', true), 'on'), 'SET event_triggers = on;'
		UNION ALL
		SELECT 3, 'preloading', loaded OR NOT known, 'warning',
			CASE WHEN NOT known THEN 'is for members of pg_read_all_settings to look at'
				WHEN loaded THEN 'the library is loaded when a session begins'
				ELSE 'the first DDL of a session loads the library: TRUNCATE, EXPLAIN ANALYZE of CREATE TABLE AS, CLUSTER, REASSIGN OWNED, event triggers, roles, databases and tablespaces are not seen before it' END,
			format('ALTER DATABASE %I SET session_preload_libraries = safemig;', current_database())
		FROM preloaded
		UNION ALL
		SELECT 4, 'recording', current_setting('safemig.enabled', true) IS DISTINCT FROM 'off' AND whom IS NULL, 'warning',
			CASE WHEN current_setting('safemig.enabled', true) = 'off' THEN 'safemig.enabled is off in this session'
				ELSE COALESCE('safemig.enabled is off for ' || whom, 'safemig.enabled is on, for everybody') END,
			'What runs meanwhile is not recorded. ALTER ROLE ... RESET safemig.enabled;'
		FROM switched
		UNION ALL
		SELECT 5, 'failure of capture', COALESCE(current_setting('safemig.on_capture_failure', true), 'error') = 'error', 'warning',
			'safemig.on_capture_failure is ' || COALESCE(current_setting('safemig.on_capture_failure', true), 'error'),
			'A command that cannot be recorded runs all the same, without a way back.'
		UNION ALL
		SELECT 6, 'counters', current_setting('track_counts')::boolean, 'warning', 'track_counts is ' || current_setting('track_counts'),
			'Without them rows that a migration writes are not kept. SET track_counts = on;'
		UNION ALL
		SELECT 7, 'vault role', oid IS NOT NULL AND NOT open, 'error',
			CASE WHEN oid IS NULL THEN 'role safemig_vault does not exist' WHEN open THEN 'somebody can be role safemig_vault, or it has rights'
				ELSE 'nobody can be role safemig_vault' END,
			CASE WHEN oid IS NULL THEN 'CREATE ROLE safemig_vault NOLOGIN NOINHERIT;' ELSE 'Take its members, its memberships and its attributes away.' END
		FROM vault
		UNION ALL
		SELECT 8, 'kept data', n = 0, 'error',
			CASE WHEN n = 0 THEN 'all that is said to be kept is there' ELSE format('%s kept things are not there, such as of %s', n, example) END,
			'Only a backup has them: rollbacks that need them are refused with SM007.'
		FROM lost
		UNION ALL
		SELECT 9, 'publications', names IS NULL, 'warning',
			COALESCE(names || ' publishes all tables, the history and kept rows with them', 'none publishes the history or kept rows'),
			'Publish schemas or tables by name. Until then SET safemig.on_published = ''refuse''; keeps what migrations would keep from being published.'
		FROM published
		UNION ALL
		SELECT 10, 'abandoned migrations', abandoned = 0, 'warning', abandoned::text,
			'SELECT id, label FROM safemig.migrations WHERE state = ''abandoned''; safemig_rollback takes them back.'
		FROM migrations
		UNION ALL
		SELECT 11, 'irreversible migrations', irreversible = 0, 'warning', irreversible::text,
			'SELECT * FROM safemig.ledger WHERE NOT resolved; SELECT safemig_note(id, ''resolved'', ''how''); for what is dealt with.'
		FROM migrations
		UNION ALL
		SELECT 12, 'drift', n = 0, 'warning',
			CASE WHEN NOT (SELECT safemig.administers()) THEN 'is for administrators to look at'
				WHEN n = 0 THEN 'all objects are as their newest record says'
				ELSE format('%s objects are otherwise than recorded, such as %s', n, example) END,
			'SELECT * FROM safemig.drift();'
		FROM differing
		UNION ALL
		SELECT 13, 'frameworks', n = 0, 'warning',
			CASE WHEN NOT (SELECT safemig.administers()) THEN 'are for administrators to look at'
				WHEN n = 0 THEN 'their histories agree with that of safemig'
				ELSE format('%s migrations are otherwise in their histories, such as %s', n, example) END,
			'SELECT * FROM safemig.framework_gaps();'
		FROM gaps
		UNION ALL
		SELECT 14, 'guards', alarms = 0 AND alone = 0, 'error',
			CASE WHEN alarms > 0 THEN format('%s could not roll back, such as that of %s', alarms, example)
				WHEN alone > 0 THEN format('%s have no worker', alone)
				ELSE format('%s watch', n) END,
			CASE WHEN alarms > 0 THEN 'SELECT * FROM safemig.guards WHERE state = ''alarm''; SELECT safemig_unguard(id); ends one.'
				ELSE 'SELECT safemig.attend_guards(); starts them. With shared_preload_libraries = safemig a restart does so.' END
		FROM guards
		UNION ALL
		SELECT 15, 'version', installed IS NOT DISTINCT FROM available, 'warning',
			CASE WHEN available IS NULL THEN 'the files of the extension are not there'
				ELSE format('the extension is of version %s', installed) || CASE WHEN installed <> available THEN format(', and the library of version %s', available) ELSE '' END END,
			CASE WHEN available IS NULL THEN 'Install the package again.' ELSE 'ALTER EXTENSION safemig UPDATE;' END
		FROM versions
		UNION ALL
		SELECT 16, 'space', overdue = 0, 'warning', format('%s bytes are kept', bytes)
				|| CASE WHEN expired > 0 THEN format(', those of %s migrations have expired', expired) ELSE '' END
				|| CASE WHEN overdue > 0 THEN ', and nobody prunes them' ELSE '' END,
			'SELECT safemig_prune_expired(); prunes them, and so does a worker with shared_preload_libraries = safemig.'
		FROM migrations, expiring
	)
	SELECT f.item, CASE WHEN f.fine THEN 'ok' ELSE f.status END, f.detail, CASE WHEN NOT f.fine THEN f.hint END
	FROM found f ORDER BY f.ord;
END;
COMMENT ON FUNCTION pg_catalog.safemig_doctor() IS
'Is everything in place? One row per item; status is ok, warning or error, detail says what was found, hint what to do, NULL where nothing. Looks at the whole history and at every object in it for drift, so it takes its time where there are many; takes no locks. Whoever does not administer safemig sees what concerns him, and no drift.';
