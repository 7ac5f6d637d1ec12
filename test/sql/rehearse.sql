--
-- Know before: the rehearsal of a rollback, the proof of a script, and the
-- assertions that test suites make of both.
--
SET safemig.notices = off;
CREATE SCHEMA rehearsed;
SET search_path = rehearsed;
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers, note text);
INSERT INTO customers VALUES (1, 'Sato'), (2, 'Suzuki');
INSERT INTO orders VALUES (1, 1, 'first'), (2, 2, NULL);
SET safemig.label = 'to be rehearsed';
BEGIN;
ALTER TABLE orders DROP COLUMN note;
UPDATE orders SET customer = 2;
DROP TABLE customers CASCADE;
COMMIT;
RESET safemig.label;
SELECT safemig_last() AS id \gset

SELECT step, outcome, rows, regexp_replace(statement, '[0-9]+[,)}].*', '…') AS statement FROM safemig_rehearse(:id);
-- it changed nothing
SELECT * FROM orders ORDER BY id;
SELECT state FROM safemig.migrations WHERE id = :id;
SELECT to_regclass('customers');

-- what would stand in the way is an outcome, and what comes after is not reached
UPDATE orders SET customer = 7 WHERE id = 1;
SELECT step, regexp_replace(outcome, 'migration [0-9]+', 'migration …') AS outcome, rows IS NULL AS unreached FROM safemig_rehearse(:id);
UPDATE orders SET customer = 2 WHERE id = 1;
SET safemig.enabled = off;
ALTER TABLE orders ADD COLUMN note text;
SET safemig.enabled = on;
SELECT step, regexp_replace(outcome, 'migration [0-9]+', 'migration …') AS outcome FROM safemig_rehearse(:id) LIMIT 1;
SET safemig.enabled = off;
ALTER TABLE orders DROP COLUMN note;
SET safemig.enabled = on;

-- the budget is how long it may hold its locks
CREATE FUNCTION slow(int) RETURNS boolean LANGUAGE sql AS 'SELECT pg_sleep(30) IS NOT NULL';
CREATE TABLE waiting (id int);
INSERT INTO waiting VALUES (1);
SET safemig.enabled = off;
CREATE OR REPLACE FUNCTION slow(int) RETURNS boolean LANGUAGE sql AS 'SELECT true';
ALTER TABLE waiting ADD CONSTRAINT slow CHECK (slow(id));
SET safemig.enabled = on;
SET safemig.label = 'slow';
ALTER TABLE waiting DROP CONSTRAINT slow;
RESET safemig.label;
SET safemig.enabled = off;
CREATE OR REPLACE FUNCTION slow(int) RETURNS boolean LANGUAGE sql AS 'SELECT pg_sleep(30) IS NOT NULL';
SET safemig.enabled = on;
SELECT outcome FROM safemig_rehearse(safemig_last(), '500 ms') WHERE outcome NOT IN ('done', 'not reached');
-- the session is not cancelled with it
SELECT 'goes on' AS session;

-- the rows that a rehearsal put into a kept table leave nothing but space there
CREATE TABLE filled (id int PRIMARY KEY, note text);
INSERT INTO filled SELECT i, repeat('n', 100) FROM generate_series(1, 1000) i;
SET safemig.label = 'filled';
BEGIN;
TRUNCATE filled;
DROP TABLE filled;
COMMIT;
RESET safemig.label;
SELECT outcome FROM safemig_rehearse(safemig_last()) WHERE outcome <> 'done';
SELECT safemig_rollback('filled') IS NOT NULL AS rolled_back;
SELECT count(*) FROM filled;
-- rows that somebody else put there are no such thing
SET safemig.label = 'written to';
DROP TABLE filled;
RESET safemig.label;
SELECT 'safemig_vault_' || max(id) || '.filled' AS kept FROM safemig.migrations WHERE label = 'written to' \gset
SET safemig.enabled = off;
INSERT INTO :kept SELECT i, repeat('n', 100) FROM generate_series(1001, 2000) i;
SET safemig.enabled = on;
SELECT outcome ~ 'is not what was kept' AS refused FROM safemig_rehearse(safemig_last()) WHERE outcome NOT IN ('done', 'not reached');

-- arguments
SELECT * FROM safemig_rehearse(NULL);
SELECT * FROM safemig_rehearse(:id, '0 s');
SELECT * FROM safemig_rehearse(:id, NULL);
SELECT * FROM safemig_rehearse(0);

-- scripts that have not been run
SELECT * FROM safemig_prove($$
	CREATE TABLE items (id serial PRIMARY KEY, n int);
	INSERT INTO items (n) VALUES (1), (2);
	ALTER TABLE orders ADD COLUMN at date DEFAULT '2026-01-01';
	UPDATE orders SET customer = customer + 1$$);
SELECT * FROM safemig_prove('ALTER TABLE orders ADD IF NOT EXISTS at date');
SELECT * FROM safemig_prove('ALTER TABLE orders ADD at timestamptz DEFAULT clock_timestamp()');
SELECT * FROM safemig_prove('CREATE INDEX CONCURRENTLY ON orders (customer)');
SELECT * FROM safemig_prove('VACUUM orders');
SELECT * FROM safemig_prove('BEGIN; DROP TABLE orders; COMMIT');
SELECT * FROM safemig_prove('COPY orders FROM stdin');
SELECT * FROM safemig_prove($$CREATE TYPE mood AS ENUM ('ok')$$);
SELECT * FROM safemig_prove('DROP TABLE nowhere');
SELECT * FROM safemig_prove(NULL);
SELECT to_regclass('items'), count(*) FROM orders;
SELECT count(*) AS recorded FROM safemig.migrations WHERE label = 'safemig_prove';
-- a lock that the script took for the session does not outlast it
SELECT outcome FROM safemig_prove($$SELECT safemig_begin('inner'); DROP TABLE orders; SELECT safemig_end()$$);
SELECT * FROM safemig_prove($$SELECT safemig_begin('inner')$$);
SELECT count(*) AS locks FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();

-- assertions
SELECT safemig_is_reversible('DROP TABLE orders');
SELECT safemig_is_reversible('VACUUM orders', 'housekeeping is reversible');
SELECT safemig_rolls_back_ok('to be rehearsed');
SELECT safemig_rolls_back_ok(:id, 'the old one rolls back');
UPDATE orders SET customer = 7 WHERE id = 1;
SELECT regexp_replace(safemig_rolls_back_ok('to be rehearsed'), 'migration [0-9]+', 'migration …');
SELECT safemig_rolls_back_ok('nothing of that name');
