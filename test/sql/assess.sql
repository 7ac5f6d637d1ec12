--
-- Risk before a migration runs: what a script locks, costs and loses.
--
SET safemig.notices = off;
CREATE SCHEMA assessed;
SET search_path = assessed;
CREATE TABLE customers (id int PRIMARY KEY, name varchar(20), email text);
CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers, note text, paid boolean);
CREATE VIEW notes AS SELECT note FROM orders;
INSERT INTO customers SELECT i, 'name ' || i, NULLIF('mail ' || i, 'mail 3') FROM generate_series(1, 100) i;
INSERT INTO orders SELECT i, i, 'note', true FROM generate_series(1, 50) i;
ANALYZE customers, orders;

-- each statement: the rules that it meets, and what it locks beside
SELECT statement, rule, severity, object, lock_mode, cost, undo, undo_lock_mode, undo_cost
FROM safemig_assess($$
SET lock_timeout = '2s';
ALTER TABLE customers ALTER COLUMN email SET NOT NULL;
ALTER TABLE orders DROP COLUMN paid;
ALTER TABLE orders ALTER COLUMN id TYPE bigint;
DROP TABLE orders CASCADE;
$$) WHERE coalesce(rule, '') NOT IN ('destructive-without-expand', 'long-running-transaction');

-- what the script itself makes has no rows, and nobody waits for it
SELECT statement, command, rule, object, lock_mode
FROM safemig_assess($$
CREATE TABLE IF NOT EXISTS assessed.made (id bigint PRIMARY KEY, customer int REFERENCES customers);
ALTER TABLE made ALTER COLUMN customer SET NOT NULL;
CREATE INDEX IF NOT EXISTS made_customer ON made (customer);
DROP TABLE made;
$$) WHERE severity IS DISTINCT FROM 'low' AND coalesce(rule, '') <> 'long-running-transaction';

-- a safer form, to be pasted
SELECT rule, safer FROM safemig_assess('ALTER TABLE customers ALTER COLUMN email SET NOT NULL') WHERE rule = 'set-not-null';
SELECT rule, safer FROM safemig_assess('ALTER TABLE customers ADD CONSTRAINT named CHECK (length(name) < 20 AND id > 0)') WHERE rule = 'add-check';
SELECT rule, safer FROM safemig_assess('ALTER TABLE orders ADD FOREIGN KEY (id) REFERENCES customers (id) ON DELETE CASCADE') WHERE rule = 'add-foreign-key' AND safer IS NOT NULL;
SELECT rule, safer FROM safemig_assess('CREATE INDEX customers_name ON customers (name)') WHERE rule = 'index-not-concurrent';
-- and once it has been pasted, there is nothing left to be safer
ALTER TABLE customers ADD CONSTRAINT customers_name_not_null CHECK (name IS NOT NULL) NOT VALID;
ALTER TABLE customers VALIDATE CONSTRAINT customers_name_not_null;
SELECT rule, lock_mode FROM safemig_assess('SET lock_timeout = 1000; ALTER TABLE customers ALTER COLUMN name SET NOT NULL') WHERE coalesce(rule, '') <> 'long-running-transaction';

-- why, and what is kept of it
SELECT rule, why, kept FROM safemig_assess('DROP TABLE orders') WHERE rule = 'drop-table';

-- observed: the script is run and undone, and what it really locked is told
SELECT statement, rule, object, lock_mode, observed_lock_mode, observed_cost, outcome
FROM safemig_assess($$
SET lock_timeout = '2s';
CREATE INDEX customers_email ON customers (email);
CREATE INDEX CONCURRENTLY customers_name ON customers (name);
ALTER TABLE orders ALTER COLUMN id TYPE bigint;
ALTER TABLE orders ALTER COLUMN note TYPE varchar(10);
DROP TABLE customers;
$$, observe => true) WHERE severity IS DISTINCT FROM 'low' AND coalesce(rule, '') NOT LIKE 'no-%timeout'
AND coalesce(rule, '') NOT IN ('destructive-without-expand', 'long-running-transaction');
SELECT pg_typeof(id) FROM orders LIMIT 1;
SELECT count(*) FROM safemig.migrations WHERE label = 'safemig_assess';

-- rows that it would refuse, with the query that shows them
SELECT rule, refused_rows, query FROM safemig_assess('ALTER TABLE customers ALTER COLUMN email SET NOT NULL', true) WHERE rule = 'set-not-null';
INSERT INTO customers VALUES (101, 'name 1');
SELECT rule, refused_rows, query FROM safemig_assess('ALTER TABLE customers ADD UNIQUE (name)', true) WHERE rule = 'add-unique';
SELECT rule, refused_rows, query FROM safemig_assess('ALTER TABLE customers ADD CHECK (id < 100)', true) WHERE rule = 'add-check';
ALTER TABLE orders ADD COLUMN parent int;
UPDATE orders SET parent = 1000 + id WHERE id <= 7;
SELECT rule, refused_rows, query FROM safemig_assess('ALTER TABLE orders ADD FOREIGN KEY (parent) REFERENCES customers', true) WHERE query IS NOT NULL;

-- the budget is how long it may hold its locks
SELECT statement, outcome FROM safemig_assess('DROP VIEW notes; SELECT pg_sleep(30); SELECT 1', true, '1 s') WHERE rule IS NULL;

-- the rules
SELECT severity, count(*) FROM safemig.rules GROUP BY severity ORDER BY min(array_position(ARRAY['critical', 'high', 'medium', 'low'], severity));
SELECT * FROM safemig.rules WHERE name = 'drop-not-null';

-- what is refused
SELECT * FROM safemig_assess(NULL);
SELECT * FROM safemig_assess('ALTER TABEL orders');
SELECT * FROM safemig_assess('SELECT 1', true, '0 ms');

DROP SCHEMA assessed CASCADE;
