--
-- What grows with what: called by bench/run after the measurements.
--
\set QUIET on

-- rows: ten columns
CREATE PROCEDURE bench.make_sized(n bigint) LANGUAGE plpgsql AS
$$
BEGIN
	INSERT INTO bench.sized SELECT i, i, md5(i::text), repeat('w', 60), i, current_date,
		md5((-i)::text), i, now(), 'h' FROM generate_series(1, n) i;
END
$$;
CREATE PROCEDURE bench.sizes(n bigint) LANGUAGE plpgsql AS
$$
DECLARE
	last constant text := 'SELECT safemig_rollback(safemig_last())';
	copied constant text := 'CREATE TABLE bench.copy AS SELECT id, t FROM bench.sized';
	written constant text := '; COMMENT ON SCHEMA bench IS ''written''';
BEGIN
	FOR i IN 1..current_setting('bench.rounds')::int LOOP
		CALL bench.once('DROP TABLE', 'bare', false, '{}', 'DROP TABLE bench.sized', n);
		CALL bench.once('DROP TABLE', 'captured', true, '{}', 'DROP TABLE bench.sized', n);
		CALL bench.once('DROP TABLE', 'rollback', true, ARRAY['DROP TABLE bench.sized'], last, n);
		CALL bench.once('DROP TABLE', 'by hand', false, '{}',
			'CREATE TABLE bench.copy AS TABLE bench.sized; DROP TABLE bench.sized', n);
		CALL bench.once('DROP TABLE', 'back by hand', false,
			ARRAY['CREATE TABLE bench.copy AS TABLE bench.sized', 'DROP TABLE bench.sized'],
			'CREATE TABLE bench.sized AS TABLE bench.copy; ALTER TABLE bench.sized ADD PRIMARY KEY (id)', n);

		CALL bench.once('DROP COLUMN', 'bare', false, '{}', 'ALTER TABLE bench.sized DROP COLUMN t', n);
		CALL bench.once('DROP COLUMN', 'captured', true, '{}', 'ALTER TABLE bench.sized DROP COLUMN t', n);
		CALL bench.once('DROP COLUMN', 'rollback', true, ARRAY['ALTER TABLE bench.sized DROP COLUMN t'], last, n);
		CALL bench.once('DROP COLUMN', 'by hand', false, '{}', copied || '; ALTER TABLE bench.sized DROP COLUMN t', n);
		CALL bench.once('DROP COLUMN', 'back by hand', false,
			ARRAY[copied, 'ALTER TABLE bench.sized DROP COLUMN t', 'ALTER TABLE bench.copy ADD PRIMARY KEY (id)'],
			'ALTER TABLE bench.sized ADD COLUMN t text; UPDATE bench.sized s SET t = c.t FROM bench.copy c WHERE c.id = s.id', n);

		CALL bench.once('ALTER COLUMN TYPE', 'bare', false, '{}', 'ALTER TABLE bench.sized ALTER v TYPE int USING v / 2', n);
		CALL bench.once('ALTER COLUMN TYPE', 'captured', true, '{}', 'ALTER TABLE bench.sized ALTER v TYPE int USING v / 2', n);
		CALL bench.once('ALTER COLUMN TYPE', 'rollback', true,
			ARRAY['ALTER TABLE bench.sized ALTER v TYPE int USING v / 2'], last, n);
		CALL bench.once('ALTER COLUMN TYPE', 'by hand', false, '{}', 'CREATE TABLE bench.copy AS SELECT id, v FROM bench.sized;'
			'ALTER TABLE bench.sized ALTER v TYPE int USING v / 2', n);
		CALL bench.once('ALTER COLUMN TYPE', 'back by hand', false,
			ARRAY['CREATE TABLE bench.copy AS SELECT id, v FROM bench.sized', 'ALTER TABLE bench.copy ADD PRIMARY KEY (id)',
				'ALTER TABLE bench.sized ALTER v TYPE int USING v / 2'],
			'UPDATE bench.sized s SET v = c.v FROM bench.copy c WHERE c.id = s.id', n);

		CALL bench.once('UPDATE', 'bare', false, '{}', 'UPDATE bench.sized SET t = t || ''!''' || written, n);
		CALL bench.once('UPDATE', 'captured', true, '{}', 'UPDATE bench.sized SET t = t || ''!''' || written, n);
		CALL bench.once('UPDATE', 'rollback', true, ARRAY['UPDATE bench.sized SET t = t || ''!''' || written], last, n);
		CALL bench.once('UPDATE', 'by hand', false, '{}', copied || '; UPDATE bench.sized SET t = t || ''!''' || written, n);
		CALL bench.once('UPDATE', 'back by hand', false,
			ARRAY[copied, 'ALTER TABLE bench.copy ADD PRIMARY KEY (id)', 'UPDATE bench.sized SET t = t || ''!'''],
			'UPDATE bench.sized s SET t = c.t FROM bench.copy c WHERE c.id = s.id', n);
	END LOOP;
END
$$;
SELECT 'CREATE TABLE bench.sized (id bigint PRIMARY KEY, v int NOT NULL, t text, w text, n numeric, d date, e text, f int, g timestamptz, h text)',
	format('CALL bench.make_sized(%s)', n), 'VACUUM ANALYZE bench.sized', 'CHECKPOINT', format('CALL bench.sizes(%s)', n), 'DROP TABLE bench.sized'
FROM (VALUES (1000), (10000), (100000), (:scale * 1000000)) v (n) \gexec

-- tables in a schema, partitions of a table
CREATE PROCEDURE bench.make_partitions(n bigint) LANGUAGE plpgsql AS
$$
BEGIN
	CREATE TABLE bench.parted (id bigint, v int) PARTITION BY RANGE (id);
	FOR i IN 1..n LOOP
		EXECUTE format('CREATE TABLE bench.p%s PARTITION OF bench.parted FOR VALUES FROM (%1$s) TO (%s)', i, i + 1);
		IF i % 100 = 0 THEN
			COMMIT;
		END IF;
	END LOOP;
END
$$;
CREATE PROCEDURE bench.objects(n bigint) LANGUAGE plpgsql AS
$$
DECLARE
	last constant text := 'SELECT safemig_rollback(safemig_last())';
BEGIN
	FOR i IN 1..current_setting('bench.rounds')::int LOOP
		CALL bench.once('DROP SCHEMA', 'bare', false, '{}', 'DROP SCHEMA counted CASCADE', n);
		CALL bench.once('DROP SCHEMA', 'captured', true, '{}', 'DROP SCHEMA counted CASCADE', n);
		CALL bench.once('DROP SCHEMA', 'rollback', true, ARRAY['DROP SCHEMA counted CASCADE'], last, n);
		CALL bench.once('ADD COLUMN to partitions', 'bare', false, '{}', 'ALTER TABLE bench.parted ADD COLUMN t text', n);
		CALL bench.once('ADD COLUMN to partitions', 'captured', true, '{}', 'ALTER TABLE bench.parted ADD COLUMN t text', n);
		CALL bench.once('ADD COLUMN to partitions', 'rollback', true, ARRAY['ALTER TABLE bench.parted ADD COLUMN t text'], last, n);
	END LOOP;
END
$$;
-- not in one transaction: too many locks
CREATE PROCEDURE bench.drop_objects(n bigint) LANGUAGE plpgsql AS
$$
BEGIN
	FOR i IN 1..n LOOP
		EXECUTE format('DROP TABLE counted.t%s, bench.p%1$s', i);
		IF i % 100 = 0 THEN
			COMMIT;
		END IF;
	END LOOP;
	DROP SCHEMA counted;
	DROP TABLE bench.parted;
END
$$;
SELECT format('CALL bench.make_schema(''counted'', %s)', n), format('CALL bench.make_partitions(%s)', n), 'VACUUM ANALYZE', format('CALL bench.objects(%s)', n), format('CALL bench.drop_objects(%s)', n)
FROM (VALUES (10), (100), (:scale * 1000)) v (n) \gexec

-- kinds of DDL, each on a table of ten columns
CREATE VIEW bench.seen AS SELECT id, c3 FROM bench.ten;
CREATE TYPE bench.mood AS ENUM ('sad', 'ok');
CREATE FUNCTION bench.twice(int) RETURNS int LANGUAGE sql AS 'SELECT 2 * $1';
CREATE SEQUENCE bench.numbers;
CREATE TABLE bench.referred (id bigint PRIMARY KEY);
DO $$
DECLARE
	one text;
BEGIN
	FOR i IN 1..4 * current_setting('bench.rounds')::int LOOP
		FOREACH one IN ARRAY ARRAY[
			'CREATE TABLE bench.made (id bigint PRIMARY KEY, v int NOT NULL DEFAULT 0, t text)',
			'DROP TABLE bench.referred',
			'ALTER TABLE bench.ten ADD COLUMN more int',
			'ALTER TABLE bench.ten DROP COLUMN c10',
			'ALTER TABLE bench.ten RENAME COLUMN c10 TO ten',
			'ALTER TABLE bench.ten ALTER c10 TYPE varchar(10)',
			'ALTER TABLE bench.ten ALTER c3 SET DEFAULT ''x''',
			'ALTER TABLE bench.ten ALTER c3 SET NOT NULL',
			'ALTER TABLE bench.ten ADD CHECK (c2 > 0)',
			'ALTER TABLE bench.ten ADD FOREIGN KEY (id) REFERENCES bench.referred',
			'ALTER TABLE bench.ten RENAME TO eleven',
			'ALTER TABLE bench.ten SET SCHEMA many',
			'CREATE INDEX made ON bench.ten (c3)',
			'DROP INDEX bench.made_before',
			'CREATE VIEW bench.made AS SELECT * FROM bench.ten',
			'CREATE OR REPLACE VIEW bench.seen AS SELECT id, c3, c4 FROM bench.ten',
			'DROP VIEW bench.seen',
			'CREATE OR REPLACE FUNCTION bench.twice(int) RETURNS int LANGUAGE sql AS ''SELECT $1 + $1''',
			'DROP FUNCTION bench.twice(int)',
			'ALTER TYPE bench.mood ADD VALUE ''better''',
			'ALTER SEQUENCE bench.numbers INCREMENT 2',
			'GRANT SELECT ON bench.ten TO PUBLIC',
			'COMMENT ON TABLE bench.ten IS ''ten''',
			'CREATE SCHEMA made',
			'TRUNCATE bench.ten']
		LOOP
			CALL bench.once('kind', one, false,
				CASE WHEN one LIKE '%made_before' THEN ARRAY['CREATE INDEX made_before ON bench.ten (c3)'] ELSE '{}' END, one, 1);
			CALL bench.once('kind', one, true,
				CASE WHEN one LIKE '%made_before' THEN ARRAY['CREATE INDEX made_before ON bench.ten (c3)'] ELSE '{}' END, one, 2);
		END LOOP;
	END LOOP;
END
$$;

-- what the history takes
SET safemig.enabled = on;
SELECT sum(pg_total_relation_size(c.oid)) AS before FROM pg_class c WHERE relnamespace = 'safemig'::regnamespace AND relkind = 'r' \gset
DO $$
BEGIN
	FOR i IN 1..500 LOOP
		EXECUTE format('ALTER TABLE bench.ten ALTER c3 SET DEFAULT %L', i);
		COMMIT;
	END LOOP;
END
$$;
INSERT INTO bench.sample SELECT 'history', 'bytes', (sum(pg_total_relation_size(c.oid)) - :before) / 500
FROM pg_class c WHERE relnamespace = 'safemig'::regnamespace AND relkind = 'r';
SET safemig.enabled = off;
