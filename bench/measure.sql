--
-- The measurements, side against side: called by bench/run.
--
\set QUIET on
DO $$
DECLARE
	rounds int := current_setting('bench.rounds')::int;
BEGIN
	-- what comes first pays for the caches of all
	CALL bench.series('warm up', '', false, 20, 'ALTER TABLE bench.ten ALTER c3 SET DEFAULT %L');
	CALL bench.series('warm up', '', true, 20, 'ALTER TABLE bench.ten ALTER c3 SET DEFAULT %L');
	CALL bench.series('warm up', '', true, 20, 'ALTER TABLE bench.dependants ALTER c3 SET DEFAULT %L');

	FOR i IN 1..3 * rounds LOOP
		CALL bench.series('command', 'bare', false, 400, 'ALTER TABLE bench.ten ALTER c3 SET DEFAULT %L');
		CALL bench.series('command', 'captured', true, 400, 'ALTER TABLE bench.ten ALTER c3 SET DEFAULT %L');
		CALL bench.series('dependants', 'bare', false, 50, 'ALTER TABLE bench.dependants ALTER c2 SET STATISTICS %s, SET WITHOUT CLUSTER');
		CALL bench.series('dependants', 'captured', true, 50, 'ALTER TABLE bench.dependants ALTER c2 SET STATISTICS %s, SET WITHOUT CLUSTER');
		CALL bench.series('spared dependants', 'bare', false, 50, 'ALTER TABLE bench.dependants ALTER c3 SET DEFAULT %L');
		CALL bench.series('spared dependants', 'captured', true, 50, 'ALTER TABLE bench.dependants ALTER c3 SET DEFAULT %L');
	END LOOP;
	FOR i IN 1..2 * rounds LOOP
		CALL bench.chain('chain, committed', 'bare', false, true);
		CALL bench.chain('chain, committed', 'captured', true, true);
		CALL bench.chain('chain, one transaction', 'bare', false, false);
		CALL bench.chain('chain, one transaction', 'captured', true, false);
	END LOOP;
	FOR i IN 1..2 * rounds LOOP
		CALL bench.once('drop table', 'small', true, '{}', 'DROP TABLE bench.small');
		CALL bench.once('drop table', 'big', true, '{}', 'DROP TABLE bench.big');
		CALL bench.once('drop table, back', 'big', true, ARRAY['DROP TABLE bench.big'],
			'SELECT safemig_rollback(safemig_last())');
	END LOOP;
	FOR i IN 1..rounds LOOP
		CALL bench.once('drop column', 'copy', false, '{}', 'CREATE TABLE bench.copy AS SELECT id, t FROM bench.rows');
		CALL bench.once('drop column', 'kept', true, '{}', 'ALTER TABLE bench.rows DROP COLUMN t');
		CALL bench.once('drop column, back', 'by hand', false,
			ARRAY['CREATE TABLE bench.copy AS SELECT id, t FROM bench.rows',
				'ALTER TABLE bench.rows DROP COLUMN t', 'ALTER TABLE bench.copy ADD PRIMARY KEY (id)',
				'ALTER TABLE bench.rows ADD COLUMN t text'],
			'UPDATE bench.rows r SET t = c.t FROM bench.copy c WHERE c.id = r.id');
		CALL bench.once('drop column, back', 'rollback', true,
			ARRAY['ALTER TABLE bench.rows DROP COLUMN t', 'UPDATE bench.rows SET v = -v WHERE id % 1000 = 0'],
			'SELECT safemig_rollback(safemig_last())');
	END LOOP;
	FOR i IN 1..rounds LOOP
		CALL bench.once('type', 'bare', false, '{}', 'ALTER TABLE bench.rows ALTER v TYPE int USING v / 2');
		CALL bench.once('type', 'kept', true, '{}', 'ALTER TABLE bench.rows ALTER v TYPE int USING v / 2');
		CALL bench.once('type, narrow', 'bare', false, '{}', 'ALTER TABLE bench.narrow ALTER v TYPE int USING v / 2');
		CALL bench.once('type, narrow', 'kept', true, '{}', 'ALTER TABLE bench.narrow ALTER v TYPE int USING v / 2');
		CALL bench.once('type, lossless', 'bare', false, '{}', 'ALTER TABLE bench.rows ALTER v TYPE bigint');
		CALL bench.once('type, lossless', 'kept', true, '{}', 'ALTER TABLE bench.rows ALTER v TYPE bigint');
		CALL bench.once('type', 'by hand', false, '{}',
			'CREATE TABLE bench.copy AS SELECT id, v FROM bench.rows; ALTER TABLE bench.rows ALTER v TYPE int USING v / 2');
	END LOOP;
	-- rows are looked for when the next command comes: a COMMENT, on each side
	FOR i IN 1..rounds LOOP
		CALL bench.written('update', 'UPDATE bench.big SET t = t || ''!''',
			'CREATE TABLE bench.copy AS SELECT id, t FROM bench.big; ',
			'UPDATE bench.big b SET t = c.t FROM bench.copy c WHERE c.id = b.id', 'UPDATE ON bench.big');
		CALL bench.written('delete', 'DELETE FROM bench.big',
			'CREATE TABLE bench.copy AS SELECT * FROM bench.big; ',
			'INSERT INTO bench.big SELECT * FROM bench.copy', 'DELETE ON bench.big');
		CALL bench.written('copy', format('COPY bench.filled FROM %L', current_setting('bench.file')),
			'', 'DELETE FROM bench.filled WHERE id > 0', 'INSERT ON bench.filled');
	END LOOP;
	FOR i IN 1..rounds LOOP
		CALL bench.once('drop schema', 'bare', false, '{}', 'DROP SCHEMA many CASCADE');
		CALL bench.once('drop schema', 'captured', true, '{}', 'DROP SCHEMA many CASCADE');
		CALL bench.once('drop schema', 'rollback', true, ARRAY['DROP SCHEMA many CASCADE'],
			'SELECT safemig_rollback(safemig_last())');
	END LOOP;
END
$$;

-- A plan in a short history, and in a long one, made by multiplying the short;
-- by processor time, since it takes less than a millisecond.
SET safemig.enabled = on;
CREATE TABLE bench.planned (id int);
SELECT max(id) AS planned FROM safemig.migrations \gset
SET safemig.enabled = off;
CREATE PROCEDURE bench.plan(side text, id bigint, rounds int) LANGUAGE plpgsql AS
$$
DECLARE
	since float8;
	steps int;
BEGIN
	FOR i IN 1..rounds LOOP
		since := bench.spent();
		FOR j IN 1..200 LOOP
			SELECT count(*) INTO steps FROM safemig_plan(id);
			COMMIT;
		END LOOP;
		INSERT INTO bench.sample VALUES ('plan', side, (bench.spent() - since) / 200);
		COMMIT;
	END LOOP;
END
$$;
CALL bench.plan('warm up', :planned, 1);
CALL bench.plan('short', :planned, 10);
SELECT pg_catalog.nextval('safemig.command_seq') AS seq \gset
INSERT INTO safemig.migration_log
SELECT (jsonb_populate_record(m, jsonb_build_object('id', m.id + i, 'effective', m.id + i))).*
FROM safemig.migration_log m, generate_series(1, current_setting('bench.migrations')::int) i
WHERE m.id = :planned;
INSERT INTO safemig.command_log
SELECT (jsonb_populate_record(c, jsonb_build_object('seq', :seq + i, 'migration', c.migration + i))).*
FROM safemig.command_log c, generate_series(1, current_setting('bench.migrations')::int) i
WHERE c.migration = :planned;
INSERT INTO safemig.change_log
SELECT (jsonb_populate_record(c, jsonb_build_object('command', :seq + i, 'migration', c.migration + i,
	'identity_after', 'bench.other' || i, 'identity_before', null))).*
FROM safemig.change_log c, generate_series(1, current_setting('bench.migrations')::int) i
WHERE c.migration = :planned;
VACUUM ANALYZE;
CALL bench.plan('warm up', :planned, 1);
CALL bench.plan('long', :planned, 10);
