/*
 * What a rollback proved; and where to go when there is none.
 */
CREATE FUNCTION safemig.certificate_text(record bigint)
RETURNS text LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT concat_ws(E'\n',
		format('Certificate of %s %s', r.kind, r.id),
		'',
		(SELECT string_agg(format('takes back     %s %s', m.kind, concat_ws(' ', m.id, quote_ident(m.label))), E'\n' ORDER BY m.id DESC)
			FROM safemig.migration_log m WHERE m.id = ANY (r.rolls_back)),
		'by             ' || concat_ws(', ', r.role, 'session user ' || nullif(r.session_role, r.role),
			'client ' || r.client, 'application ' || nullif(r.application, '')),
		'reason         ' || r.reason,
		'on_conflict    ' || c.on_conflict,
		'verified at    ' || c.verified_at,
		format('put back       tables: %s, rows: %s, later writes kept: %s', c.tables_put_back, c.rows_restored, c.later_writes),
		format('verified       objects: %s, each as it was recorded before%s', array_length(c.objects, 1),
			CASE WHEN r.kind = 'redo' THEN ' the rollback' END),
		(SELECT string_agg(format('  %s  %s', COALESCE('sha256 ' || c.objects[n][2], 'not there'), c.objects[n][1]), E'\n' ORDER BY n)
			FROM generate_series(1, array_length(c.objects, 1)) AS n),
		'from what was kept:' || E'\n' || (
			SELECT string_agg(format('  %s  %s: %s', COALESCE('checksum ' || k.checksum, 'as it was'),
					concat_ws(' ', k.object_type, k.identity, 'column ' || nullif(k.part, '')), COALESCE(nullif(k.rows, -1) || ' rows', 'not counted')), E'\n' ORDER BY k.id)
			FROM safemig.kept_log k
			WHERE k.migration IN (SELECT m.effective FROM safemig.migration_log m WHERE m.id = ANY (r.rolls_back))))
	FROM safemig.migration_log r JOIN safemig.certificate_log c ON c.record = r.id
	WHERE r.id = certificate_text.record;
END;
REVOKE ALL ON FUNCTION safemig.certificate_text(bigint) FROM PUBLIC;
COMMENT ON FUNCTION safemig.certificate_text(bigint) IS
'The text of safemig_certificate, without asking who reads it.';

CREATE FUNCTION pg_catalog.safemig_certificate(id bigint)
RETURNS text LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_certificate';
COMMENT ON FUNCTION pg_catalog.safemig_certificate(bigint) IS
'What a rollback proved, as text to be kept with a ticket: what it took back, who did it, when and why; each object that it concerned, with the SHA-256 of its description (by names, without OIDs: the same in a copy of the database), or that it is not there, as before the migration; rows put back and later writes kept; and the kept data that it used, with rows and checksums as they were when they were kept. id is that of the rollback, or of a migration that is rolled back; or that of a redo, which is proved the same way: then before means before the rollback. To be seen by whoever sees the rollback in safemig.migrations. Takes no locks. Errors: SM001; SM002 it is not rolled back, or has no certificate.';

CREATE FUNCTION safemig.recovery_target_text(id bigint)
RETURNS text LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT concat_ws(E'\n',
		format('# before %s %s, which began at %s in transaction %s', m.kind, concat_ws(' ', m.id, quote_ident(m.label)), m.started_at, m.xid),
		format('recovery_target_lsn = %L', m.lsn),
		'recovery_target_inclusive = off',
		'recovery_target_action = ''pause''')
	FROM safemig.migration_log m
	WHERE m.id = recovery_target_text.id;
END;
REVOKE ALL ON FUNCTION safemig.recovery_target_text(bigint) FROM PUBLIC;
COMMENT ON FUNCTION safemig.recovery_target_text(bigint) IS
'The text of safemig_recovery_target, without asking who reads it.';

CREATE FUNCTION pg_catalog.safemig_recovery_target(id bigint)
RETURNS text LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_recovery_target';
COMMENT ON FUNCTION pg_catalog.safemig_recovery_target(bigint) IS
'The lines of postgresql.conf with which a point-in-time recovery from a base backup and the archived WAL stops before a migration: for what a rollback cannot bring back. The position is that of the WAL when the first command of the migration was recorded, so that its transaction is not there yet; everything that committed later is lost as well. To be seen by whoever sees the migration in safemig.migrations. Takes no locks. Errors: SM001; SM002 it was not run in this database, whose history came with a dump.';
