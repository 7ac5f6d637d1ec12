--
-- What is recorded, and what is not.
--
SET safemig.notices = off;
CREATE SCHEMA cap;
SET search_path = cap;

-- one transaction, one migration
BEGIN;
CREATE TABLE a (id int PRIMARY KEY);
CREATE TABLE b (id int PRIMARY KEY);
COMMIT;
SELECT tag, reverse_steps FROM safemig.commands WHERE migration = safemig_last() ORDER BY seq;

-- what fails or is rolled back leaves nothing
SELECT safemig_mark() AS mark \gset
BEGIN;
CREATE TABLE gone (id int);
ROLLBACK;
CREATE TABLE a (id int);
SELECT safemig_mark() = :mark AS unchanged;
BEGIN;
SAVEPOINT s;
CREATE TABLE gone (id int);
ROLLBACK TO s;
CREATE TABLE c (id int);
COMMIT;
SELECT object FROM safemig.changes WHERE migration = safemig_last();
SELECT tag, sqlstate, message FROM safemig.failures ORDER BY id;

-- nothing done, nothing recorded
SELECT safemig_mark() AS mark \gset
CREATE TABLE IF NOT EXISTS c (id int);
DROP TABLE IF EXISTS nothing;
CREATE TEMP TABLE t (id int);
DROP TABLE t;
SELECT safemig_mark() = :mark AS unchanged;

-- DDL inside a function, in DO, as replica
DO $$ BEGIN EXECUTE 'drop table a'; DROP TABLE cap.b; END $$;
SELECT tag, reverse_steps > 0 AS reversible FROM safemig.commands WHERE migration = safemig_last() ORDER BY seq;
SET session_replication_role = replica;
CREATE TABLE d (id int);
RESET session_replication_role;
SELECT object FROM safemig.changes WHERE migration = safemig_last();

-- an explicit migration over several transactions
SELECT safemig_begin('explicit') IS NOT NULL AS begun;
SELECT safemig_begin('another');
CREATE TABLE e1 (id int);
CREATE TABLE e2 (id int);
BEGIN;
SELECT safemig_end() IS NOT NULL AS ended;
ROLLBACK;
SELECT safemig_current() IS NOT NULL AS open;
SELECT safemig_end() IS NOT NULL AS ended;
SELECT safemig_end();
SELECT label, state, commands FROM safemig.migrations WHERE label = 'explicit';

-- one that is given up
SELECT safemig_begin('given up') IS NOT NULL AS begun;
CREATE TABLE e3 (id int);
SELECT safemig_abort() IS NOT NULL AS aborted;
SELECT to_regclass('cap.e3') IS NULL AS gone;

-- a script
SELECT safemig_run('script', 'CREATE TABLE cap.r1 (id int); ALTER TABLE cap.r1 ADD v text') IS NOT NULL AS run;
SELECT label, state, commands FROM safemig.migrations WHERE label = 'script';
SELECT safemig_run('broken', 'CREATE TABLE cap.r2 (id int); SELECT 1/0');
SELECT count(*) FROM safemig.migrations WHERE label = 'broken';

-- the labels of one session
SET safemig.label = 'two transactions';
CREATE TABLE l1 (id int);
CREATE TABLE l2 (id int);
RESET safemig.label;
SELECT label, commands FROM safemig.migrations WHERE label = 'two transactions';

-- all in one transaction, as pgTAP does it
BEGIN;
SELECT safemig_begin('in one') IS NOT NULL AS begun;
ALTER TABLE l1 ADD v int;
SELECT safemig_end() IS NOT NULL AS ended;
SELECT safemig_rollback('in one') IS NOT NULL AS rolled_back;
SELECT attname FROM pg_attribute WHERE attrelid = 'cap.l1'::regclass AND attnum > 0 AND NOT attisdropped;
ROLLBACK;

-- what is temporary is not recorded
SELECT safemig_mark() AS mark \gset
CREATE TEMPORARY TABLE short (a int);
CREATE INDEX short_a ON short (a);
DROP INDEX CONCURRENTLY short_a;
SELECT safemig_mark() = :mark AS nothing;
SET client_min_messages = warning;
DROP SCHEMA cap CASCADE;
