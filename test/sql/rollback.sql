--
-- One migration does harm, one call takes it back.
--
SET safemig.notices = off;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE TABLE customers (
	id int PRIMARY KEY,
	name text NOT NULL,
	email text CHECK (email LIKE '%@%')
);
CREATE TABLE orders (
	id int PRIMARY KEY,
	customer int NOT NULL REFERENCES customers,
	amount numeric(10,2) NOT NULL DEFAULT 0,
	note text
);
CREATE VIEW totals AS
	SELECT customer, sum(amount) AS total FROM orders GROUP BY customer;
INSERT INTO customers VALUES (1, 'Sato', 'sato@example.com'), (2, 'Suzuki', 'suzuki@example.com');
INSERT INTO orders VALUES (1, 1, 10.55, 'first'), (2, 2, 20.45, NULL);

-- the migration
SET safemig.label = 'harm';
BEGIN;
DROP TABLE customers CASCADE;
ALTER TABLE orders DROP COLUMN customer CASCADE;
ALTER TABLE orders ALTER COLUMN amount TYPE int;
ALTER TABLE orders RENAME COLUMN note TO remark;
COMMIT;
RESET safemig.label;

-- what it did
SELECT object, facet, before, after FROM safemig_diff(safemig_last())
ORDER BY object COLLATE "C", facet COLLATE "C";
SELECT action, type, object FROM safemig.changes
WHERE migration = safemig_last()
ORDER BY command, action, type COLLATE "C", object COLLATE "C";

-- meanwhile the application writes
INSERT INTO orders VALUES (3, 99, 'later');
UPDATE orders SET remark = 'changed' WHERE id = 2;

-- an order without a customer cannot come back; which statement says so
-- depends on the version
\set VERBOSITY terse
SELECT safemig_rollback('harm') IS NOT NULL AS rolled_back;
\set VERBOSITY default
DELETE FROM orders WHERE id = 3;
SELECT safemig_rollback('harm') IS NOT NULL AS rolled_back;

\d customers
\d orders
SELECT * FROM customers ORDER BY id;
SELECT * FROM orders ORDER BY id;
SELECT * FROM totals ORDER BY customer;
SELECT label, kind, state, commands >= 4 AS complete FROM safemig.migrations
WHERE label = 'harm' ORDER BY id;
SELECT count(*) AS drift FROM safemig_verify(safemig_last());

-- rolling back twice, and what is not there
SELECT safemig_rollback('harm');
SELECT safemig_rollback('no such label');
SELECT safemig_rollback(NULL::bigint);
SELECT safemig_rollback('harm', on_conflict => 'hope');

-- and again
SELECT safemig_redo(safemig_last()) IS NOT NULL AS redone;
SELECT * FROM orders ORDER BY id;
SELECT safemig_rollback('harm') IS NOT NULL AS rolled_back;
SELECT * FROM orders ORDER BY id;

-- values that USING takes away for all rows, and their absence on redo
CREATE TABLE gone (id int PRIMARY KEY, v text);
INSERT INTO gone VALUES (1, 'x'), (2, NULL);
SET safemig.label = 'using';
ALTER TABLE gone ALTER v TYPE text USING NULL;
RESET safemig.label;
SELECT safemig_rollback('using') IS NOT NULL AS rolled_back;
SELECT * FROM gone ORDER BY id;
SELECT safemig_redo(safemig_last()) IS NOT NULL AS redone;
SELECT * FROM gone ORDER BY id;

-- a sequence that was used since is not put back below what it gave out
CREATE TABLE numbered (id serial PRIMARY KEY, v int);
INSERT INTO numbered (v) VALUES (1), (2);
SET safemig.label = 'wider';
ALTER TABLE numbered ALTER id TYPE bigint;
ALTER SEQUENCE numbered_id_seq AS bigint;
RESET safemig.label;
INSERT INTO numbered (v) VALUES (3);
SELECT safemig_rollback('wider') IS NOT NULL AS rolled_back;
INSERT INTO numbered (v) VALUES (4) RETURNING id;

-- what is set of several columns of one table is one statement
CREATE TABLE wide (a int DEFAULT 1, b int DEFAULT 2, c text DEFAULT 'c', d int);
ALTER TABLE wide ALTER c SET STORAGE EXTERNAL, ALTER d SET STATISTICS 10;
SET safemig.label = 'wide';
ALTER TABLE wide ALTER a DROP DEFAULT, ALTER b SET DEFAULT 3, ALTER c DROP DEFAULT,
	ALTER c SET STORAGE MAIN, ALTER d SET DEFAULT 4, ALTER d SET STATISTICS 20;
RESET safemig.label;
SELECT step, lock_mode, statement FROM safemig_plan(safemig_last());
SELECT safemig_rollback('wide') IS NOT NULL AS rolled_back;
SELECT a.attname, pg_get_expr(d.adbin, d.adrelid) AS expr, a.attstorage, NULLIF(a.attstattarget, -1) AS target
FROM pg_attribute a LEFT JOIN pg_attrdef d ON (adrelid, adnum) = (attrelid, attnum)
WHERE attrelid = 'wide'::regclass AND attnum > 0 ORDER BY attnum;
SET client_min_messages = warning;
DROP SCHEMA shop CASCADE;
