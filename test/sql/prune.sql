--
-- What is kept goes on purpose, or not at all.
--
SET client_min_messages = warning;
CREATE ROLE regress_keeper;
CREATE ROLE regress_other;
CREATE SCHEMA ps AUTHORIZATION regress_keeper;
-- what a call says, without the numbers
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
-- what is in the vault of the migrations of this test
CREATE VIEW in_vault AS
SELECT label, c.relkind, c.relname ~ 'copy|column|values|rows|writes' AS copy
FROM safemig.migrations m JOIN pg_namespace n ON n.nspname ~ ('^safemig_vault_' || m.id || '(_|$)')
	JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind NOT IN ('i', 't') WHERE label LIKE 'p %' ORDER BY label, relkind, copy;
GRANT SELECT ON in_vault TO PUBLIC;

SET SESSION AUTHORIZATION regress_keeper;
CREATE TYPE ps.mood AS ENUM ('sad', 'ok');
CREATE TABLE ps.t (id int PRIMARY KEY, a text, m ps.mood, n int);
INSERT INTO ps.t SELECT g, 'a' || g, 'ok', g FROM generate_series(1, 100) g;
CREATE TABLE ps.u (id serial PRIMARY KEY, m ps.mood[]);
CREATE STATISTICS ps.st ON id, m FROM ps.u;
INSERT INTO ps.u (m) VALUES ('{sad,ok}');
SET safemig.label = 'p column';
ALTER TABLE ps.t DROP COLUMN a;
SET safemig.label = 'p table';
DROP TABLE ps.u;
SET safemig.label = 'p type';
DROP TYPE ps.mood CASCADE;
SET safemig.label = 'p index';
CREATE INDEX later ON ps.t (n);
RESET safemig.label;
SELECT * FROM in_vault;

-- a prune that is taken back is none
BEGIN;
SELECT safemig_prune(id_of('p column'), 'disk is full') > 0 AS freed;
SELECT label, restorable, why_not, kept_bytes > 0 AS keeps FROM safemig.migrations WHERE label = 'p column';
ROLLBACK;
SELECT label, restorable, why_not, kept_bytes > 0 AS keeps FROM safemig.migrations WHERE label = 'p column';

-- nobody else prunes it, or keeps it
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_other;
SELECT said($$SELECT safemig_prune_older('0')::text$$);
RESET SESSION AUTHORIZATION;
SELECT id_of('p column') AS id \gset
SET SESSION AUTHORIZATION regress_other;
SELECT said('SELECT safemig_prune(' || :id || ')::text');
SELECT said('SELECT safemig_keep(' || :id || $$, 'infinity')::text$$);
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_keeper;

-- not what is still asked for, nor what that needs
SELECT safemig_keep(id_of('p table'), 'infinity', 'audit');
SELECT label, kept_until FROM safemig.migrations WHERE label LIKE 'p %' AND kind = 'migration' ORDER BY label;
SELECT said($$SELECT safemig_prune(id_of('p table'))::text$$);
SELECT said($$SELECT safemig_prune(id_of('p type'))::text$$);
RESET SESSION AUTHORIZATION;
SET client_min_messages = error;
SELECT safemig_prune_older('0') > 0 AS freed;
SET client_min_messages = warning;
SELECT * FROM in_vault;
SET SESSION AUTHORIZATION regress_keeper;
SELECT said($$SELECT safemig_keep(id_of('p table'), NULL)::text$$);
SELECT label, kept_until FROM safemig.migrations WHERE label = 'p table';

-- the newest, which needs nothing that was kept, rolls back; then not one more
DO $$ BEGIN PERFORM safemig_rollback('p index'); END $$;
SELECT said($$SELECT safemig_rollback('p column')::text$$);

-- in the order in which they were dropped, both go; what was not pruned still comes back
SELECT safemig_prune(id_of('p table'), 'no room') > 0 AS freed;
BEGIN;
SELECT safemig_rollback('p type') > 0 AS back;
TABLE in_vault;
SELECT count(*), count(m) FROM ps.t;
ROLLBACK;
SELECT safemig_prune(id_of('p type')) > 0 AS freed;
SELECT * FROM in_vault;
SELECT nspname FROM pg_namespace n JOIN safemig.migrations m ON n.nspname ~ ('^safemig_vault_' || m.id || '(_|$)') WHERE label LIKE 'p %';
SELECT label, p.kind, object_type, identity, part, p.role, p.reason, p.bytes > 0 AS bytes
FROM safemig.pruned p JOIN safemig.migrations m ON m.id = p.migration WHERE label LIKE 'p %' ORDER BY p.id;
SELECT label, state, restorable, why_not FROM safemig.migrations WHERE label LIKE 'p %' AND kind = 'migration' ORDER BY id;

-- what a rollback keeps for the redo
SET safemig.label = 'p added';
ALTER TABLE ps.t ADD COLUMN b int DEFAULT 1;
RESET safemig.label;
UPDATE ps.t SET b = 2;
DO $$ BEGIN PERFORM safemig_rollback('p added'); END $$;
SELECT safemig_prune(id_of('p added')) > 0 AS freed;
SELECT safemig_prune((SELECT rolled_back_by FROM safemig.migrations WHERE id = id_of('p added'))) > 0 AS freed;
SELECT said($$SELECT safemig_redo(id_of('p added'))::text$$);

-- and what a redo keeps
SET safemig.label = 'p gone';
ALTER TABLE ps.t DROP COLUMN n;
RESET safemig.label;
DO $$ BEGIN PERFORM safemig_rollback('p gone'); PERFORM safemig_redo(id_of('p gone')); END $$;
SELECT safemig_keep(id_of('p gone'), 'infinity');
SELECT said($$SELECT safemig_prune((SELECT max(id) FROM safemig.migrations WHERE kind = 'redo'))::text$$);
SELECT safemig_keep(id_of('p gone'), NULL);
SELECT safemig_prune(id_of('p gone')) > 0 AS freed;
SELECT said($$SELECT safemig_rollback('p gone')::text$$);
SELECT * FROM in_vault;

-- wrong arguments
SELECT said('SELECT safemig_prune(999999)::text');
SELECT said('SELECT safemig_prune(NULL)::text');
SELECT said('SELECT safemig_prune_older(NULL)::text');
SELECT said('SELECT safemig_keep(999999, NULL)::text');
SELECT said($$SELECT safemig_keep(id_of('p gone'), 'yesterday')::text$$);
SELECT safemig_prune(id_of('p gone'));
SELECT safemig_begin('p open') > 0 AS begun;
CREATE TABLE ps.o AS SELECT 1 AS id;
DROP TABLE ps.o;
SELECT said($$SELECT safemig_prune(id_of('p open'))::text$$);
SELECT safemig_end() > 0 AS ended;
RESET SESSION AUTHORIZATION;
SELECT said($$SELECT safemig_prune_older('-1 day')::text$$);
SELECT safemig_prune_older('1 day');
SELECT * FROM in_vault;

-- what is said to be old, without a time of grace
SET safemig.retention_grace = '0';
SHOW safemig.retention;
SELECT safemig_prune_expired();
SET safemig.retention = 'for ever';
SET safemig.retention = '-1 week';
SELECT said($$SELECT safemig_prune_expired()::text$$);
SET safemig.retention = '1 week 2 days 3:00';
SELECT safemig_prune_expired();
SET safemig.retention = '0';
SELECT safemig_prune_expired('nightly') > 0 AS freed;
RESET safemig.retention;
RESET safemig.retention_grace;
SELECT * FROM in_vault;

SET safemig.enabled = off;
DROP SCHEMA ps CASCADE;
DROP FUNCTION said(text), id_of(text) CASCADE;
DROP VIEW in_vault;
DROP ROLE regress_keeper, regress_other;
