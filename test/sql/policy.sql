--
-- Policy: rules that a command has to keep before it may run.
--
SET safemig.notices = off;
SET lock_timeout = '5s';
CREATE SCHEMA governed;
CREATE SCHEMA playground;
SET search_path = governed;
CREATE TABLE orders (id int PRIMARY KEY, customer int, note text);
INSERT INTO orders SELECT i, i, 'note' FROM generate_series(1, 100) i;
CREATE TABLE playground.toy (a int);
CREATE ROLE safemig_test_releaser;
GRANT ALL ON SCHEMA governed TO safemig_test_releaser;
CREATE TABLE theirs (a int);
CREATE INDEX theirs_a ON theirs (a);
ALTER TABLE theirs OWNER TO safemig_test_releaser;

-- off: nothing is asked
DROP TABLE playground.toy;
CREATE TABLE playground.toy (a int);

-- warn: it runs, and is told what it met
SET safemig.policy = warn;
CREATE INDEX orders_customer ON orders (customer);

-- block: it does not begin
SET safemig.policy = block;
DROP TABLE orders;
ALTER TABLE orders ALTER COLUMN customer SET NOT NULL;
ALTER TABLE orders ADD CONSTRAINT positive CHECK (customer > 0);
TRUNCATE orders;
VACUUM FULL orders;
DO $$ BEGIN EXECUTE 'DROP TABLE governed.orders'; END $$;
SELECT count(*) FROM orders;
-- the hint is what does
ALTER TABLE orders ADD CONSTRAINT positive CHECK (customer > 0) NOT VALID;
ALTER TABLE orders VALIDATE CONSTRAINT positive;
CREATE INDEX CONCURRENTLY orders_online ON orders (note);
DROP INDEX CONCURRENTLY orders_online;
-- what the transaction itself made is nobody's
BEGIN;
CREATE TABLE made (a int);
ALTER TABLE made ALTER COLUMN a SET NOT NULL;
DROP TABLE made;
COMMIT;
-- a rule below the severity that is asked for
ALTER TABLE orders ALTER COLUMN customer SET DEFAULT 0;
SET safemig.policy_severity = low;
ALTER TABLE orders ALTER COLUMN customer SET DEFAULT 1;
RESET safemig.policy_severity;
-- how long one waits
SET lock_timeout = 0;
ALTER TABLE orders ADD COLUMN more int;
SET lock_timeout = '5s';

-- the override is explicit, has a reason, and is noted with the migration
SET safemig.policy_override = 'ticket 4711: nobody uses it';
DROP TABLE orders;
RESET safemig.policy_override;
SELECT key, value, role = session_user AS by_me FROM safemig.notes WHERE migration = safemig_last() AND key LIKE 'override drop-table:%';
-- the way back is open
SELECT safemig_rollback(safemig_last()) IS NOT NULL;
SELECT count(*) FROM orders;

-- exceptions, the most particular first: by rule, role, schema, size
INSERT INTO safemig.policies (schema_name, action, reason) VALUES ('playground', 'off', 'for trying things');
DROP TABLE playground.toy;
INSERT INTO safemig.policies (rule, below, action, reason) VALUES ('index-not-concurrent', 1000000, 'off', 'quickly built');
CREATE INDEX orders_note ON orders (note);
INSERT INTO safemig.policies (rule, action, reason) VALUES ('create-trigger', 'block', 'no triggers here');
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touched BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch();
INSERT INTO safemig.policies (role, action, reason) VALUES ('safemig_test_releaser', 'warn', 'they know');
SET ROLE safemig_test_releaser;
DROP INDEX theirs_a;
-- neither the policy nor its override is theirs
SET safemig.policy = off;
SET safemig.policy_override = 'because';
RESET ROLE;
INSERT INTO safemig.policies (rule, action, reason) VALUES ('no-such-rule', 'off', 'a mistake');

-- rows: what a migration would write without a condition, however it is put
CREATE TABLE items (id int PRIMARY KEY, note text);
INSERT INTO items SELECT i, 'note' FROM generate_series(1, 10) i;
CREATE TABLE parts (id int) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (100);
CREATE TABLE above (id int);
CREATE TABLE below (note text) INHERITS (above);
-- an application's, of no migration
BEGIN;
UPDATE items SET note = 'theirs';
ROLLBACK;
SET safemig.label = 'governed: rows';
DELETE FROM items;
UPDATE items SET note = 'x';
DELETE FROM items WHERE 1 = 1;
DELETE FROM items WHERE id IS NOT NULL OR true;
DELETE FROM parts;
UPDATE above SET id = 1;
WITH gone AS (DELETE FROM items RETURNING id) SELECT count(*) FROM gone;
PREPARE all_of_it AS DELETE FROM items;
EXECUTE all_of_it;
DEALLOCATE all_of_it;
DO $$ BEGIN UPDATE governed.items SET note = 'x'; END $$;
UPDATE items SET note = o.note FROM orders o;
EXPLAIN (COSTS off) DELETE FROM items;
SELECT count(*) AS there, count(*) FILTER (WHERE note = 'x') AS changed FROM items;
-- with a condition
DELETE FROM items WHERE id = 1;
UPDATE items SET note = 'y' WHERE note = 'note' AND id < 5;
DELETE FROM items USING orders o WHERE o.id = items.id AND o.id = 2;
DELETE FROM parts WHERE id < 5;
UPDATE above SET id = 1 WHERE id = 2;
UPDATE above SET id = 1 WHERE false;
DELETE FROM items WHERE id IN (SELECT id FROM orders WHERE id = 3);
-- what passes, or was made by the transaction itself
CREATE TEMP TABLE passing (id int);
DELETE FROM passing;
BEGIN;
CREATE TABLE fresh (id int);
DELETE FROM fresh;
DROP TABLE fresh;
COMMIT;
-- warned of, and overridden
SET safemig.policy = warn;
UPDATE items SET note = 'z' WHERE true;
SET safemig.policy = block;
SET safemig.policy_override = 'ticket 4712: they are empty';
DELETE FROM items;
RESET safemig.policy_override;
SELECT key, value FROM safemig.notes WHERE migration = safemig_last() AND key LIKE 'override %without%';
SELECT safemig_rollback('governed: rows') IS NOT NULL;
SELECT count(*) AS there, count(*) FILTER (WHERE note = 'note') AS unchanged FROM items;
RESET safemig.label;

-- the shape of a transaction: what is held while something else takes long
BEGIN;
ALTER TABLE orders ADD CONSTRAINT again CHECK (customer > -1) NOT VALID;
SAVEPOINT s;
ALTER TABLE orders VALIDATE CONSTRAINT again;
ROLLBACK TO s;
COMMIT;
BEGIN;
ALTER TABLE items ADD COLUMN more int;
SAVEPOINT s;
CREATE INDEX orders_shape ON orders (note, id);
ROLLBACK;
-- what was taken back is held no more
BEGIN;
SAVEPOINT s;
ALTER TABLE items ADD COLUMN more int;
ROLLBACK TO s;
CREATE INDEX orders_shape ON orders (note, id);
COMMIT;
ALTER TABLE orders DROP CONSTRAINT again;
-- and how many it changes
SET safemig.policy_severity = medium;
SET safemig.max_objects = 2;
BEGIN;
COMMENT ON TABLE orders IS 'one';
COMMENT ON TABLE items IS 'two';
SAVEPOINT s;
COMMENT ON TABLE parts IS 'three';
ROLLBACK TO s;
-- what was taken back is none of them
COMMENT ON TABLE orders IS 'one again';
COMMIT;
-- nor is what another transaction did
COMMENT ON TABLE parts IS 'three';
RESET safemig.max_objects;
RESET safemig.policy_severity;

-- outside of the window nothing is changed
SELECT set_config('safemig.change_window', to_char(t, 'HH24:MI-') || to_char(t + '1 minute', 'HH24:MI'), false) IS NOT NULL
FROM (SELECT clock_timestamp() AT TIME ZONE current_setting('log_timezone') + '12 hours') w (t);
DROP VIEW IF EXISTS governed.none;
ALTER TABLE orders ADD COLUMN more int;
SET safemig.change_window = '00:00-24:00';
ALTER TABLE orders ADD COLUMN more int;
SET safemig.change_window = 'at night';
RESET safemig.change_window;

RESET safemig.policy;
DELETE FROM safemig.policies;
DROP SCHEMA governed, playground CASCADE;
DROP ROLE safemig_test_releaser;
RESET lock_timeout;
