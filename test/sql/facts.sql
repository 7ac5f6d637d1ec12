--
-- What commands took: seen, not foretold.  No figures here, only what must
-- hold of them.
--
SET safemig.notices = off;
DELETE FROM safemig.step_log;
CREATE SCHEMA facts;
SET search_path = facts;
-- nobody is to be waited for
CREATE TABLE big (id int PRIMARY KEY, note text) WITH (autovacuum_enabled = off);
INSERT INTO big SELECT g, repeat('x', 100) FROM generate_series(1, 20000) g;
CREATE TABLE small (id int, big int) WITH (autovacuum_enabled = off);

CREATE VIEW seen AS
SELECT f.tag, f.cost, f.rewrote, f.strongest_lock AS lock, f.locks, f.locked,
	f.ms > 0 AS ms, f.own_ms BETWEEN 0 AND f.ms AS own, f.waited_ms AS waited,
	f.wal_bytes >= f.own_wal_bytes AND f.own_wal_bytes >= 0 AS wal,
	f.written_bytes > 0 AS written, f.table_bytes >= 1024 * 1024 AS large
FROM safemig.command_facts f JOIN safemig.migrations m ON m.id = f.migration
WHERE m.label = 'facts'
ORDER BY f.command DESC;

SET safemig.label = 'facts';
ALTER TABLE small ALTER id SET DEFAULT 1;
SELECT * FROM seen LIMIT 1;
ALTER TABLE small ADD FOREIGN KEY (big) REFERENCES big;
SELECT * FROM seen LIMIT 1;
ALTER TABLE big ALTER note SET NOT NULL;
SELECT * FROM seen LIMIT 1;
CREATE INDEX big_note ON big (note);
SELECT * FROM seen LIMIT 1;
ALTER TABLE big ALTER note TYPE varchar(200);
SELECT * FROM seen LIMIT 1;
ALTER TABLE small ADD w float8 DEFAULT random();
SELECT * FROM seen LIMIT 1;
CREATE TABLE made (id int PRIMARY KEY);
SELECT * FROM seen LIMIT 1;
CREATE MATERIALIZED VIEW m WITH (autovacuum_enabled = off) AS SELECT * FROM big;
REFRESH MATERIALIZED VIEW m;
SELECT * FROM seen LIMIT 1;
DROP MATERIALIZED VIEW m;
SELECT * FROM seen LIMIT 1;
-- its index goes with it, and says which table it is of
DROP INDEX big_note;
SELECT * FROM seen LIMIT 1;
-- what commits in the middle of itself
CREATE INDEX CONCURRENTLY big_note ON big (note);
SELECT tag, cost, lock, locks, locked, written, large FROM seen LIMIT 1;
DROP INDEX CONCURRENTLY big_note;
SELECT tag, cost, lock, locks FROM seen LIMIT 1;
-- a lock that the transaction has already is none of this command's
BEGIN;
LOCK small;
ALTER TABLE small ALTER id SET DEFAULT 2;
COMMIT;
SELECT tag, lock, locks, locked FROM seen LIMIT 1;
-- what a command calls has a line of its own
CREATE FUNCTION adds() RETURNS int LANGUAGE plpgsql AS
$$BEGIN ALTER TABLE facts.small ADD z int; ALTER TABLE facts.made ADD z int; RETURN 1; END$$;
CREATE TABLE outer_one AS SELECT adds() AS one;
SELECT tag, cost, locks FROM seen LIMIT 3;
DO $$BEGIN EXECUTE 'ALTER TABLE facts.small DROP z'; END$$;
SELECT tag, cost, locks FROM seen LIMIT 1;
-- what fails leaves nothing, what it held in a subtransaction neither
BEGIN;
SAVEPOINT s;
ALTER TABLE small ADD y int;
ROLLBACK TO s;
ALTER TABLE small ADD x int;
COMMIT;
SELECT tag, locks FROM seen LIMIT 1;
-- of rows that were written nothing is told but what they are
INSERT INTO small VALUES (1, 1);
SELECT tag, cost, locks, locked, waited FROM seen LIMIT 1;
-- what belongs to nobody: temporary tables
CREATE TEMP TABLE passing (id int);
ALTER TABLE passing ADD x int;
SELECT count(*) FROM safemig.command_facts f WHERE f.locks::text LIKE '%passing%';
-- a session that holds more than a thousand locks is not searched
SET safemig.enabled = off;
CREATE SCHEMA facts_many;
DO $$BEGIN FOR i IN 1..1001 LOOP EXECUTE format('CREATE TABLE facts_many.t%s ()', i); END LOOP; END$$;
RESET safemig.enabled;
BEGIN;
DO $$BEGIN FOR i IN 1..1001 LOOP EXECUTE format('LOCK facts_many.t%s', i); END LOOP; END$$;
ALTER TABLE small ADD y int;
COMMIT;
SELECT tag, cost, locks, locked, ms FROM seen LIMIT 1;
SET safemig.enabled = off;
SET client_min_messages = warning;
DROP SCHEMA facts_many CASCADE;
RESET client_min_messages;
RESET safemig.enabled;
RESET safemig.label;

-- Migrations, with the way back.
SELECT label, state, restorable, undo_steps > 10 AS steps, undo_lock, kept_bytes > 0 AS kept, cost, strongest_lock,
	rewrote, ms > 0 AS ms, own_ms > 0 AS own, waited_ms AS waited, wal_bytes > 0 AS wal, written_bytes > 0 AS written
FROM safemig.migration_facts WHERE label = 'facts';
SET safemig.label = 'facts: drop';
DROP TABLE small;
RESET safemig.label;
SELECT undo_steps, undo_lock, undo_lock_on, cost, strongest_lock, strongest_lock_on FROM safemig.migration_facts WHERE label = 'facts: drop';
SELECT safemig_rollback('facts: drop') AS record \gset
SELECT kind, cost, strongest_lock, ms > 0 AS ms, ms >= (SELECT sum(c.ms) FROM safemig.commands c WHERE c.migration = f.migration) AS whole
FROM safemig.migration_facts f WHERE migration = :record;

-- What rewrites, scans and index builds took is what the next ones are
-- estimated by.
SELECT kind, cost, count(*) > 0 AS some, bool_and(bytes >= 1024 * 1024 AND ms > 0) AS plausible
FROM safemig.step_log WHERE kind IN ('CREATE INDEX', 'REFRESH MATERIALIZED VIEW') OR (kind = 'ALTER TABLE' AND cost = 'scan')
GROUP BY 1, 2 ORDER BY 1, 2;

-- What was measured three times here is told as such, the rest as assumed.
DELETE FROM safemig.step_log;
SELECT rule, cost, ms_estimate > 0 AS told, estimate_source FROM safemig_assess(
'CREATE INDEX ON facts.big (note); ALTER TABLE facts.big ALTER note SET NOT NULL; ALTER TABLE facts.big ALTER id TYPE bigint') WHERE cost <> 'catalog';
CREATE INDEX big_1 ON big (note);
CREATE INDEX big_2 ON big (note);
SELECT estimate_source FROM safemig_assess('CREATE INDEX ON facts.big (note)') WHERE cost = 'index';
CREATE INDEX big_3 ON big (note);
SELECT estimate_source FROM safemig_assess('CREATE INDEX ON facts.big (note)') WHERE cost = 'index';

-- The way back as it was recorded, where the statement was run: here there is
-- no foreign key any more that would have to be validated.
SELECT statement, rule, undo_lock_mode, undo_cost FROM safemig_assess(
'ALTER TABLE facts.small DROP CONSTRAINT small_big_fkey; DROP TABLE facts.small') WHERE rule IN ('drop-table', 'drop-constraint') AND object LIKE '%small';
SELECT statement, rule, undo_lock_mode, undo_cost, outcome FROM safemig_assess(
'ALTER TABLE facts.small DROP CONSTRAINT small_big_fkey; DROP TABLE facts.small', true) WHERE rule IN ('drop-table', 'drop-constraint') AND object LIKE '%small';

SET client_min_messages = warning;
DROP SCHEMA facts CASCADE;
