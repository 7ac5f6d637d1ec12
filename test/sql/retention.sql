--
-- What is kept expires, is taken out one by one, or is not kept at all.
--
SET client_min_messages = warning;
CREATE ROLE regress_keeper;
CREATE SCHEMA rs AUTHORIZATION regress_keeper;
CREATE FUNCTION said(call text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE message text; detail text; hint text;
BEGIN
	RETURN QUERY EXECUTE call;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN NEXT SQLSTATE || ': ' || regexp_replace(message, '\d+', 'N', 'g');
	RETURN NEXT regexp_replace(detail, '\d+', 'N', 'g');
	RETURN NEXT regexp_replace(hint, '\d+', 'N', 'g');
END $$;
CREATE FUNCTION id_of(wanted text) RETURNS bigint LANGUAGE sql AS
$$ SELECT id FROM safemig.migrations WHERE label = wanted AND kind = 'migration' $$;
CREATE FUNCTION kept_of(wanted text, what text) RETURNS bigint LANGUAGE sql AS
$$ SELECT id FROM safemig.kept WHERE migration = id_of(wanted) AND kind = what $$;
-- what earlier tests have left is not ours to expire
DO $$ BEGIN PERFORM safemig_prune_older('0'); END $$;

-- whoever drops a table is told where its space is
SET SESSION AUTHORIZATION regress_keeper;
SET client_min_messages = notice;
\set VERBOSITY terse
CREATE TABLE rs.one (id int);
DROP TABLE rs.one;
CREATE TABLE rs.p (id int) PARTITION BY LIST (id);
CREATE TABLE rs.p1 PARTITION OF rs.p FOR VALUES IN (1);
SET safemig.label = 'r tree';
DROP TABLE rs.p;
RESET safemig.label;
SET safemig.notices = off;
CREATE TABLE rs.one (id int);
DROP TABLE rs.one;
RESET safemig.notices;
CREATE TEMP TABLE one (id int);
DROP TABLE one;
SET client_min_messages = warning;

-- what has expired is marked, and goes when the time of grace is over
RESET SESSION AUTHORIZATION;
SHOW safemig.retention_grace;
SET safemig.retention_grace = 'never';
SET safemig.retention = '0';
SET client_min_messages = notice;
SELECT safemig_prune_expired();
SET client_min_messages = warning;
SELECT count(*) AS marked, count(*) FILTER (WHERE prune_after - marked_at = '1 day') AS for_a_day, bool_and(kept_bytes >= 0) AS kept FROM safemig.expiring;
SELECT status, regexp_replace(detail, '^\d+ ', 'N ') AS detail FROM safemig_doctor() WHERE item = 'space';
BEGIN;
SET LOCAL safemig.enabled = off;
UPDATE safemig.expiry_log SET prune_after = now() - interval '25 hours' WHERE migration = id_of('r tree');
SELECT status, regexp_replace(detail, '^\d+ ', 'N ') AS detail, hint FROM safemig_doctor() WHERE item = 'space';
ROLLBACK;
-- who owns it sees it, and may keep it
SET SESSION AUTHORIZATION regress_keeper;
SELECT count(*) FROM safemig.expiring;
SELECT safemig_keep(id_of('r tree'), 'infinity');
SELECT said('SELECT safemig_prune_expired()::text');
RESET SESSION AUTHORIZATION;
SELECT safemig_prune_expired();
SELECT count(*) FROM safemig.expiring;
SELECT count(*) FROM safemig.expiring WHERE label = 'r tree';
-- as it may be kept by another setting
SET safemig.retention = '1 year';
SELECT safemig_prune_expired();
SELECT count(*) FROM safemig.expiring;
SET safemig.retention = 'never';
SELECT safemig_prune_expired();
SET safemig.retention = '0';
SET safemig.retention_grace = '0';
SELECT safemig_prune_expired('every night');
SELECT count(*) FROM safemig.expiring;
SELECT DISTINCT identity, reason FROM safemig.pruned WHERE reason = 'every night';
RESET safemig.retention;
RESET safemig.retention_grace;

-- one thing of several, with what cannot be without it
SET SESSION AUTHORIZATION regress_keeper;
SELECT safemig_keep(id_of('r tree'), NULL);
SELECT safemig_prune_kept((SELECT id FROM safemig.kept WHERE migration = id_of('r tree') AND identity = 'rs.p')) AS bytes;
SELECT identity, state FROM safemig.kept WHERE migration = id_of('r tree') ORDER BY identity;
SELECT identity, role FROM safemig.pruned WHERE migration = id_of('r tree') ORDER BY identity;
CREATE TABLE rs.a (id int PRIMARY KEY, name text);
CREATE TABLE rs.b (id int PRIMARY KEY, name text);
INSERT INTO rs.a VALUES (1, 'a');
SET safemig.label = 'r two';
BEGIN;
DROP TABLE rs.a;
ALTER TABLE rs.b DROP COLUMN name;
COMMIT;
RESET safemig.label;
SELECT safemig_prune_kept(kept_of('r two', 'relation'), 'too large') > 0 AS freed;
SELECT kind, identity, state FROM safemig.kept WHERE migration = id_of('r two') ORDER BY id;
SELECT said($$SELECT safemig_rollback('r two')::text$$);
SELECT said($$SELECT safemig_prune_kept(kept_of('r two', 'relation'))::text$$);
SELECT said('SELECT safemig_prune_kept(999999)::text');
SELECT said('SELECT safemig_prune_kept(NULL)::text');
RESET SESSION AUTHORIZATION;
CREATE ROLE regress_nosy;
SELECT kept_of('r two', 'column') AS kept \gset
SET SESSION AUTHORIZATION regress_nosy;
SELECT said('SELECT safemig_prune_kept(' || :kept || ')::text');
RESET SESSION AUTHORIZATION;

-- what somebody has taken out of the vault without asking is pruned as well
SET SESSION AUTHORIZATION regress_keeper;
CREATE TABLE rs.lost (id int);
SET safemig.label = 'r lost';
DROP TABLE rs.lost;
RESET safemig.label;
RESET SESSION AUTHORIZATION;
SET safemig.enabled = off;
DO $$ BEGIN EXECUTE (SELECT replace(query, 'SELECT * FROM', 'DROP TABLE') FROM safemig.kept WHERE migration = id_of('r lost')); END $$;
RESET safemig.enabled;
SELECT safemig_erase(kept_of('r lost', 'relation'), 'true');
SELECT safemig_prune_kept(kept_of('r lost', 'relation'));
SELECT identity, state FROM safemig.kept WHERE migration = id_of('r lost');

-- one person, out of everything that is kept
SET SESSION AUTHORIZATION regress_keeper;
CREATE TABLE rs.person (id int PRIMARY KEY, email text, city text);
CREATE TABLE rs.visit (person int, page text);
INSERT INTO rs.person SELECT g, 'p' || g || '@example.org', 'c' || g FROM generate_series(1, 5) g;
INSERT INTO rs.visit SELECT g % 5 + 1, 'x' FROM generate_series(1, 20) g;
SELECT safemig_snapshot('r snapshot', 'rs.person', 'rs.visit') > 0 AS taken;
SET safemig.label = 'r email';
ALTER TABLE rs.person DROP COLUMN email;
SET safemig.label = 'r city';
BEGIN;
UPDATE rs.person SET city = 'Tokyo';
COMMENT ON TABLE rs.person IS 'moved: p3@example.org';
COMMIT;
SET safemig.label = 'r visit';
DROP TABLE rs.visit;
RESET safemig.label;
-- he is erased where he lives first: the row is gone, and with it what the dropped column held
DELETE FROM rs.person WHERE id = 3;
SELECT said($$SELECT safemig_erase(kept_of('r city', 'writes'), 'true')::text$$);
RESET SESSION AUTHORIZATION;
SELECT label, k.kind, identity, part, safemig_erase(k.id, CASE identity WHEN 'rs.visit' THEN 'person = 3' ELSE 'id = 3' END, 'article 17') AS rows
FROM safemig.kept k JOIN safemig.migrations m ON m.id = k.migration WHERE label IN ('r email', 'r city', 'r visit', 'r snapshot') ORDER BY k.id;
SELECT label, e.rows, e.role = session_user AS by_me, e.reason FROM safemig.erased e JOIN safemig.migrations m ON m.id = e.migration WHERE label ~ '^r ' ORDER BY e.kept;
SELECT safemig_erase_text(id_of('r city'), 'article 17');
SELECT count(*) FROM safemig.commands WHERE migration = id_of('r city') AND query IS NOT NULL;
-- all that is not his still comes back, and is proved
SET SESSION AUTHORIZATION regress_keeper;
SELECT safemig_rollback('r visit') > 0 AS back;
SELECT count(*), count(*) FILTER (WHERE person = 3) AS his FROM rs.visit;
SELECT safemig_rollback('r city') > 0 AS back;
SELECT safemig_rollback('r email') > 0 AS back;
TABLE rs.person ORDER BY id;
DELETE FROM rs.person;
SELECT safemig_rollback('r snapshot') > 0 AS back;
TABLE rs.person ORDER BY id;
SELECT count(*), count(*) FILTER (WHERE person = 3) AS his FROM rs.visit;
-- what is no condition, or has no rows
CREATE TABLE rs.nokey (a text, b text);
INSERT INTO rs.nokey VALUES ('x', 'y');
SET safemig.label = 'r nokey';
ALTER TABLE rs.nokey DROP COLUMN b;
RESET safemig.label;
RESET SESSION AUTHORIZATION;
SELECT said($$SELECT safemig_erase(kept_of('r nokey', 'column'), 'true')::text$$);
CREATE FUNCTION erase(condition text) RETURNS SETOF text LANGUAGE sql AS
$$ SELECT said(format('SELECT safemig_erase((SELECT min(id) FROM safemig.kept WHERE kind = ''rows'' AND identity = ''rs.visit''), %L)::text', condition)) $$;
SELECT erase('person = 3) OR (true');
SELECT regexp_replace(erase('true); DROP TABLE rs.person; SELECT (true'), '".*"', '"..."');
SELECT erase('true RETURNING 1');
SELECT erase('nothing = 1');
SELECT erase('(SELECT count(*) FROM rs.person) > 0');
-- also to who administers and is no superuser, and as nobody who could do more
GRANT EXECUTE ON FUNCTION safemig_administer() TO regress_nosy;
SET SESSION AUTHORIZATION regress_nosy;
SELECT erase('person = 4');
SELECT erase('(SELECT count(*) FROM safemig.command_log) > 0');
SELECT erase('pg_read_file(''PG_VERSION'') IS NOT NULL');
SELECT erase('set_config(''role'', ''postgres'', false) IS NOT NULL');
RESET SESSION AUTHORIZATION;
REVOKE EXECUTE ON FUNCTION safemig_administer() FROM regress_nosy;
SELECT erase(NULL);
SELECT erase('person = 3 -- nobody');
SELECT said('SELECT safemig_erase(999999, ''true'')::text');
SELECT said('SELECT safemig_erase_text(999999)::text');

-- what is not to be kept, and why
SET SESSION AUTHORIZATION regress_keeper;
CREATE TABLE rs.scratch (id int PRIMARY KEY, a int, b text);
INSERT INTO rs.scratch SELECT g, g, 'b' FROM generate_series(1, 10) g;
SET safemig.discard = 'test data';
SET safemig.label = 'r column';
ALTER TABLE rs.scratch DROP COLUMN b;
SET safemig.label = 'r truncate';
TRUNCATE rs.scratch;
SET safemig.label = 'r insert';
BEGIN;
INSERT INTO rs.scratch VALUES (1, 1);
COMMENT ON TABLE rs.scratch IS 'two things';
COMMIT;
SET safemig.label = 'r type';
ALTER TABLE rs.scratch ALTER a TYPE int USING a % 2;
SET safemig.label = 'r drop';
DROP TABLE rs.scratch;
RESET safemig.label;
SET safemig.require_reversible = on;
CREATE TABLE rs.scratch (id int);
DROP TABLE rs.scratch;
RESET safemig.require_reversible;
RESET safemig.discard;
-- another column of that name does not stand for the one that is gone, nor a table without rows for none
SET safemig.discard = 'test data';
CREATE TABLE rs.swap (id int, a int, b int);
SET safemig.label = 'r swap';
ALTER TABLE rs.swap DROP COLUMN a, ADD COLUMN a int;
CREATE TABLE rs.norows (id int, a int, b int) PARTITION BY LIST (id);
SET safemig.label = 'r norows';
ALTER TABLE rs.norows DROP COLUMN a;
-- what has no rows is kept all the same: a type that kept rows need, the position of a sequence
RESET safemig.discard;
CREATE TYPE rs.en AS ENUM ('a');
CREATE COLLATION rs.co (provider = libc, locale = 'C');
CREATE SEQUENCE rs.sq;
SELECT nextval('rs.sq'), nextval('rs.sq');
CREATE TABLE rs.needs (e rs.en, c text COLLATE rs.co);
INSERT INTO rs.needs VALUES ('a', 'c');
SET safemig.label = 'r needs';
DROP TABLE rs.needs;
SET safemig.discard = 'test data';
SET safemig.label = 'r things';
BEGIN;
DROP TYPE rs.en;
DROP COLLATION rs.co;
DROP SEQUENCE rs.sq;
COMMIT;
RESET safemig.discard;
RESET safemig.label;
SELECT label, restorable, why_not FROM safemig.migrations WHERE label IN ('r swap', 'r norows', 'r things') AND NOT restorable ORDER BY id;
SELECT safemig_rollback('r things') > 0 AS back;
SELECT safemig_rollback('r needs') > 0 AS back;
SELECT *, nextval('rs.sq') FROM rs.needs;
SELECT label, restorable, why_not, (SELECT string_agg(k.kind, ', ') FROM safemig.kept k WHERE k.migration = m.id AND k.query IS NOT NULL) AS keeps
FROM safemig.migrations m WHERE label IN ('r column', 'r truncate', 'r insert', 'r type', 'r drop') ORDER BY id;
RESET SESSION AUTHORIZATION;

SET safemig.enabled = off;
DROP SCHEMA rs CASCADE;
DROP FUNCTION said(text), id_of(text), kept_of(text, text), erase(text) CASCADE;
DROP ROLE regress_keeper, regress_nosy;
