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
SELECT * FROM safemig_check(:id) ORDER BY object COLLATE "C";
SET safemig.enabled = off;
ALTER TABLE orders ALTER COLUMN note DROP NOT NULL;
DROP VIEW customers;
SET safemig.enabled = on;

-- others
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

-- who may ask
SELECT * FROM safemig_check(NULL);
SELECT * FROM safemig_check(0);
CREATE ROLE regress_checker;
SET ROLE regress_checker;
SELECT * FROM safemig_check(:id);
RESET ROLE;
DROP ROLE regress_checker;
