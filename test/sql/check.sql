--
-- What is in the way of a rollback, before anybody tries it.
--
SET safemig.notices = off;
SET client_min_messages = warning;
CREATE SCHEMA checked;
SET search_path = checked;
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers, note text UNIQUE);
INSERT INTO customers VALUES (1, 'Sato'), (2, 'Suzuki');
INSERT INTO orders VALUES (1, 1, 'first'), (2, 2, 'second');
SET safemig.label = 'checked';
BEGIN;
ALTER TABLE orders DROP CONSTRAINT orders_note_key;
UPDATE orders SET customer = 2;
DROP TABLE customers CASCADE;
COMMIT;
RESET safemig.label;
SELECT safemig_last() AS id \gset

-- nothing
SELECT * FROM safemig_check(:id);

-- rows: all that is in the way, as the rollback would say it
INSERT INTO orders VALUES (3, 9, 'first');
UPDATE orders SET customer = 8 WHERE id = 1;
SELECT severity, object, problem, rows FROM safemig_check(:id);
SELECT hint FROM safemig_check(:id) WHERE object = 'checked.orders';
SELECT regexp_replace(regexp_replace(safemig_rolls_back_ok('checked'), 'migration [0-9]+', 'migration …'), E'\n# SELECT.*', '');
DELETE FROM orders WHERE id = 3;
UPDATE orders SET customer = 2 WHERE id = 1;
SELECT * FROM safemig_check(:id);

-- drift, and a name that is taken
SET safemig.enabled = off;
ALTER TABLE orders ALTER COLUMN note SET NOT NULL;
CREATE VIEW customers AS SELECT 1 AS x;
SET safemig.enabled = on;
SELECT severity, object, problem, rows, regexp_replace(hint, '\(\d+\)', '(…)') AS hint FROM safemig_check(:id) ORDER BY object COLLATE "C";
SET safemig.enabled = off;
ALTER TABLE orders ALTER COLUMN note DROP NOT NULL;
DROP VIEW customers;
SET safemig.enabled = on;

-- rows that keys, NOT NULLs and foreign keys refuse: how many they are
CREATE TABLE kinds (id int PRIMARY KEY);
CREATE TABLE parts (id int CONSTRAINT parts_key PRIMARY KEY, kind int NOT NULL CONSTRAINT parts_kind REFERENCES kinds, price int CONSTRAINT dear CHECK (price > 10), name text CONSTRAINT named UNIQUE);
INSERT INTO kinds VALUES (1);
INSERT INTO parts VALUES (1, 1, 11, 'one'), (2, 1, 12, 'two');
SET safemig.label = 'constraints';
ALTER TABLE parts DROP CONSTRAINT parts_key, DROP CONSTRAINT parts_kind, DROP CONSTRAINT dear, DROP CONSTRAINT named, ALTER kind DROP NOT NULL;
RESET safemig.label;
INSERT INTO parts VALUES (1, 1, 13, 'one'), (1, NULL, 1, 'two'), (3, 7, 2, 'three'), (4, 8, 3, 'four'), (5, 9, 14, 'five');
SELECT severity, object, problem, rows, hint FROM safemig_check(safemig_last()) ORDER BY object COLLATE "C", problem COLLATE "C";
CREATE TEMP TABLE told AS SELECT rows, hint FROM safemig_check(safemig_last());
-- as many rows as the hint shows
DO $$
DECLARE told record; shown bigint;
BEGIN
	FOR told IN SELECT * FROM told LOOP
		EXECUTE format(CASE WHEN told.hint LIKE '%HAVING%' THEN 'SELECT sum(count) FROM (%s) q' ELSE 'SELECT count(*) FROM (%s) q' END, rtrim(told.hint, ';')) INTO shown;
		IF shown IS DISTINCT FROM told.rows THEN RAISE '% shows %, not %', told.hint, shown, told.rows; END IF;
	END LOOP;
END $$;
DROP TABLE told;
DELETE FROM parts WHERE id > 1 OR price <> 11;
SELECT * FROM safemig_check(safemig_last());

-- space
CREATE TABLE large AS SELECT i, repeat('x', 1900) AS x FROM generate_series(1, 10000) i;
ANALYZE large;
SET safemig.label = 'large';
ALTER TABLE large ADD COLUMN y int;
RESET safemig.label;
SELECT severity, regexp_replace(problem, '[0-9]+', '…') AS problem, rows, regexp_replace(hint, '[0-9]+', '…') AS hint FROM safemig_check(safemig_last());
DROP TABLE large;

-- others
SELECT count(*) AS made FROM pg_create_physical_replication_slot('regress_checked');
SELECT * FROM safemig_check(:id);
SELECT pg_drop_replication_slot('regress_checked');
SET client_min_messages = error;
CREATE PUBLICATION regress_checked FOR TABLE orders;
SET client_min_messages = warning;
SELECT severity, object, problem FROM safemig_check(:id);
DROP PUBLICATION regress_checked;
SELECT severity, problem FROM safemig_check(:id);

-- later migrations, with their ids
SET safemig.label = 'later';
ALTER TABLE orders ADD COLUMN extra int;
RESET safemig.label;
SELECT severity, object, regexp_replace(problem, '[0-9]+', '…') AS problem FROM safemig_check(:id);
SELECT safemig_rollback('later') IS NOT NULL AS rolled_back;

-- what is irreversible
SET safemig.on_limit = irreversible;
SET safemig.max_kept_bytes = 0;
SET safemig.label = 'not kept';
ALTER TABLE orders DROP COLUMN note;
RESET safemig.label;
RESET safemig.max_kept_bytes;
RESET safemig.on_limit;
SELECT severity, problem FROM safemig_check(safemig_last());

-- the current migration has an id under a label too
BEGIN;
SET LOCAL safemig.label = 'current';
CREATE TABLE made (i int);
SELECT safemig_current() = safemig_last() AS current;
ROLLBACK;
SELECT safemig_current() IS NULL AS none;

-- states
SELECT severity, regexp_replace(problem, '[0-9]+', '…') AS problem FROM safemig_check((SELECT min(id) FROM safemig.migrations WHERE label = 'later'));
SELECT severity, problem FROM safemig_check((SELECT max(id) FROM safemig.migrations WHERE kind = 'rollback'));
SELECT safemig_begin('open') IS NOT NULL AS begun;
SELECT severity, problem, hint FROM safemig_check(safemig_current());
SELECT safemig_end() IS NOT NULL AS ended;

-- rows that go with a partition, out of a table that stays
CREATE TABLE whole (id int, note text) PARTITION BY RANGE (id);
CREATE TABLE lower PARTITION OF whole FOR VALUES FROM (0) TO (10);
CREATE TABLE upper PARTITION OF whole FOR VALUES FROM (10) TO (20);
INSERT INTO whole SELECT i, 'before' FROM generate_series(0, 19) i;
SET safemig.label = 'merged';
BEGIN;
CREATE TABLE merged (LIKE whole);
SAVEPOINT a;
INSERT INTO merged SELECT * FROM whole;
RELEASE a;
DROP TABLE lower, upper;
ALTER TABLE whole ATTACH PARTITION merged FOR VALUES FROM (0) TO (20);
COMMIT;
RESET safemig.label;
SELECT id AS merged FROM safemig.migrations WHERE label = 'merged' \gset
SELECT * FROM safemig_check(:merged);
INSERT INTO whole VALUES (5, 'later');
UPDATE whole SET note = 'later' WHERE id = 12;
SELECT * FROM safemig_check(:merged);
SET client_min_messages = warning;
\set VERBOSITY terse
SELECT safemig_rollback(:merged) > 0 AS rolled_back;
\set VERBOSITY default
SELECT count(*) FROM whole;
SELECT safemig_redo(max(id)) > 0 AS redone FROM safemig.migrations WHERE kind = 'rollback';
SELECT * FROM whole WHERE note = 'later' ORDER BY id;
RESET client_min_messages;

-- who may ask
SELECT * FROM safemig_check(NULL);
SELECT * FROM safemig_check(0);
CREATE ROLE regress_checker;
SET ROLE regress_checker;
SELECT * FROM safemig_check(:id);
RESET ROLE;
DROP ROLE regress_checker;
