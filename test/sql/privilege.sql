--
-- A rollback runs nobody's code with rights that he has not got.
--
SET safemig.notices = off;
SET client_min_messages = warning;
CREATE ROLE regress_bob;
CREATE ROLE regress_eve;
CREATE SCHEMA app AUTHORIZATION regress_bob;
CREATE TABLE public.runs (who text, what text);
GRANT INSERT ON public.runs TO PUBLIC;

SET SESSION AUTHORIZATION regress_bob;
-- notes as whom it runs, if not as bob
CREATE FUNCTION app.spy(what text) RETURNS boolean LANGUAGE plpgsql AS
$$ BEGIN IF current_user <> 'regress_bob' THEN INSERT INTO public.runs VALUES (current_user, what); END IF; RETURN true; END $$;
CREATE FUNCTION app.ok(what text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS
$$ BEGIN RETURN app.spy(what); END $$;
CREATE FUNCTION app.definer(int) RETURNS boolean IMMUTABLE SECURITY DEFINER LANGUAGE plpgsql AS
$$ BEGIN RETURN app.spy('definer'); END $$;
CREATE DOMAIN app.d AS int CHECK (app.ok('domain'));
CREATE DOMAIN app.e AS int CONSTRAINT c CHECK (app.ok('check of a domain'));
CREATE TABLE app.t (id int CHECK (app.definer(id)), a app.d[] DEFAULT '{1}', e app.e,
	g int GENERATED ALWAYS AS (cardinality('{1}'::app.d[])) STORED,
	CONSTRAINT lit CHECK (a <> '{2}'::app.d[]));
CREATE INDEX ON app.t ((a = '{3}'::app.d[]));
CREATE INDEX part ON app.t (id) WHERE app.definer(id);
CREATE VIEW app.v AS SELECT '{1}'::app.d[] AS a;
CREATE MATERIALIZED VIEW app.m AS SELECT '{1}'::app.d[] AS a, id FROM app.t;
CREATE POLICY p ON app.t USING (a <> '{4}'::app.d[]);
CREATE RULE r AS ON DELETE TO app.t WHERE old.a = '{5}'::app.d[] DO INSTEAD NOTHING;
CREATE FUNCTION app.f(a app.d[] DEFAULT '{1}') RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT cardinality('{1}'::app.d[]); END;
CREATE STATISTICS app.st ON (a = '{6}'::app.d[]), id FROM app.t;
INSERT INTO app.t VALUES (1, '{7}', 1);
REFRESH MATERIALIZED VIEW app.m;
SET safemig.label = 'all of it';
DROP FUNCTION app.definer(int) CASCADE;
DROP VIEW app.v;
DROP MATERIALIZED VIEW app.m;
DROP POLICY p ON app.t;
DROP RULE r ON app.t;
DROP FUNCTION app.f(app.d[]);
DROP STATISTICS app.st;
ALTER TABLE app.t ALTER a DROP DEFAULT;
ALTER TABLE app.t DROP CONSTRAINT lit;
ALTER TABLE app.t DROP COLUMN g;
ALTER DOMAIN app.e DROP CONSTRAINT c;
ALTER TABLE app.t DROP COLUMN a CASCADE;
DROP TABLE app.t;
DROP DOMAIN app.d CASCADE;
RESET safemig.label;
RESET SESSION AUTHORIZATION;

-- the superuser takes it back, and does it again
SELECT safemig_rollback('all of it') IS NOT NULL AS rolled_back;
SELECT safemig_redo(safemig_last()) IS NOT NULL AS redone;
SET SESSION AUTHORIZATION regress_bob;
SELECT safemig_rollback('all of it') IS NOT NULL AS rolled_back;
RESET SESSION AUTHORIZATION;
SELECT * FROM public.runs;
SELECT p.proname, p.proowner::regrole FROM pg_proc p WHERE p.proname = 'definer';

-- a stranger takes back nothing, not even what has no owner of its own
SET safemig.label = 'of a domain';
COMMENT ON CONSTRAINT c ON DOMAIN app.e IS 'x';
RESET safemig.label;
SET SESSION AUTHORIZATION regress_eve;
SELECT safemig_rollback('of a domain');
RESET SESSION AUTHORIZATION;

-- an owner who may not create in the schema gets his things back all the same
CREATE SCHEMA closed;
CREATE TABLE closed.t (id int, CHECK (id > 0));
CREATE INDEX ON closed.t ((id + 1));
CREATE VIEW closed.v AS SELECT id FROM closed.t;
ALTER TABLE closed.t OWNER TO regress_bob;
ALTER VIEW closed.v OWNER TO regress_bob;
SET safemig.label = 'closed';
DROP TABLE closed.t CASCADE;
RESET safemig.label;
SELECT safemig_rollback('closed') IS NOT NULL AS rolled_back;
SELECT nspacl IS NULL AS untouched FROM pg_namespace WHERE nspname = 'closed';
SELECT relname, relowner::regrole FROM pg_class WHERE relnamespace = 'closed'::regnamespace ORDER BY 1;

-- what comes of a rollback, without the numbers
CREATE FUNCTION public.attempt(label text) RETURNS text LANGUAGE plpgsql AS
$$ BEGIN PERFORM safemig_rollback(label); RETURN 'rolled back'; EXCEPTION WHEN OTHERS THEN RETURN regexp_replace(SQLERRM, '\d+', 'N'); END $$;

-- nor does he need to see the schemas that his things name
CREATE SCHEMA beside;
CREATE FUNCTION beside.seven() RETURNS int LANGUAGE sql AS 'SELECT 7';
CREATE FUNCTION beside.positive(int) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT $1 > 0';
CREATE SEQUENCE beside.ids;
CREATE DOMAIN closed.d AS int NOT NULL CONSTRAINT positive CHECK (beside.positive(VALUE));
CREATE TABLE closed.filled (id int PRIMARY KEY, a int DEFAULT beside.seven(), g boolean GENERATED ALWAYS AS (beside.positive(id)) STORED);
CREATE TABLE closed.typed (id int PRIMARY KEY, kept numeric, cast_back int, d closed.d, CHECK (beside.positive(id) AND cast_back > 0));
CREATE TABLE closed.whole (id int PRIMARY KEY, a int) PARTITION BY RANGE (id);
CREATE TABLE beside.part PARTITION OF closed.whole FOR VALUES FROM (1) TO (10);
CREATE TABLE closed.other (id int PRIMARY KEY);
CREATE TABLE beside.mine (id int PRIMARY KEY);
CREATE TABLE closed.refers (id int CONSTRAINT k REFERENCES closed.other, m int CONSTRAINT m REFERENCES beside.mine) PARTITION BY RANGE (id);
CREATE TABLE closed.refers_1 PARTITION OF closed.refers FOR VALUES FROM (1) TO (10);
CREATE VIEW closed.seen AS SELECT m.id, beside.positive(m.id) AS p, nextval('beside.ids'::regclass) AS n FROM beside.mine m;
INSERT INTO closed.filled VALUES (1), (2);
INSERT INTO closed.typed VALUES (1, 1.5, 1, 1), (2, 2.5, 2, 2);
INSERT INTO closed.whole VALUES (1, 1), (2, 2);
INSERT INTO closed.other VALUES (1);
INSERT INTO beside.mine VALUES (1);
INSERT INTO closed.refers VALUES (1, 1);
DO $$ DECLARE r regclass; BEGIN
	FOREACH r IN ARRAY '{closed.filled, closed.typed, closed.whole, beside.part, beside.mine, closed.refers, closed.refers_1, closed.seen}'::regclass[]
	LOOP EXECUTE format('ALTER TABLE %s OWNER TO regress_bob', r); END LOOP;
END $$;
ALTER DOMAIN closed.d OWNER TO regress_bob;
SET safemig.label = 'beside';
ALTER TABLE closed.filled DROP COLUMN a, DROP COLUMN g;
ALTER TABLE closed.typed ALTER kept TYPE int, ALTER cast_back TYPE bigint;
ALTER TABLE closed.whole DETACH PARTITION beside.part;
ALTER TABLE closed.refers DROP CONSTRAINT k, DROP CONSTRAINT m;
ALTER DOMAIN closed.d DROP NOT NULL;
ALTER DOMAIN closed.d DROP CONSTRAINT positive;
DROP VIEW closed.seen;
RESET safemig.label;
INSERT INTO closed.filled VALUES (3);
SELECT safemig_rollback('beside') IS NOT NULL AS rolled_back;
SELECT * FROM closed.filled ORDER BY id;
SELECT * FROM closed.typed ORDER BY id;
SELECT tableoid::regclass, * FROM closed.whole ORDER BY id;
SELECT conrelid::regclass, conname, convalidated FROM pg_constraint
	WHERE contype = 'f' AND conrelid IN ('closed.refers'::regclass, 'closed.refers_1'::regclass) ORDER BY 1, 2;
SELECT nspname, nspacl IS NULL AS untouched FROM pg_namespace WHERE nspname IN ('beside', 'closed') ORDER BY 1;
-- rows that break the key of a partitioned table are found, partition by partition
SET safemig.label = 'broken key';
ALTER TABLE closed.refers DROP CONSTRAINT k;
RESET safemig.label;
INSERT INTO closed.refers VALUES (9, NULL);
SELECT attempt('broken key');
DELETE FROM closed.refers WHERE id = 9;
SELECT attempt('broken key');

-- what is lent for a statement is of no use to code that runs inside it
CREATE FUNCTION closed.grab() RETURNS void LANGUAGE plpgsql AS
$$ BEGIN
	IF current_user = 'regress_bob' AND has_schema_privilege('closed', 'USAGE') THEN
		EXECUTE current_setting('regress.grab');
	END IF;
END $$;
CREATE FUNCTION closed.grabs(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
$$ BEGIN PERFORM closed.grab(); RETURN $1; END $$;
CREATE DOMAIN closed.grabbing AS int CHECK (closed.grabs(VALUE) > 0);
CREATE TABLE closed.greedy (id int PRIMARY KEY, a int GENERATED ALWAYS AS (closed.grabs(id)) STORED,
	b closed.grabbing[] DEFAULT '{1}', CONSTRAINT c CHECK (b <> '{5}'::closed.grabbing[]));
INSERT INTO closed.greedy VALUES (1);
ALTER FUNCTION closed.grab() OWNER TO regress_bob;
ALTER FUNCTION closed.grabs(int) OWNER TO regress_bob;
ALTER TABLE closed.greedy OWNER TO regress_bob;
SET safemig.label = 'in an update';
ALTER TABLE closed.greedy ALTER a DROP EXPRESSION;
RESET safemig.label;
UPDATE closed.greedy SET a = 5;
SET safemig.label = 'in a default';
ALTER TABLE closed.greedy ALTER b DROP DEFAULT;
RESET safemig.label;
SET safemig.label = 'in a check';
ALTER TABLE closed.greedy DROP CONSTRAINT c;
RESET safemig.label;
GRANT SET ON PARAMETER session_replication_role TO regress_bob;
SET SESSION AUTHORIZATION regress_bob;
SET regress.grab = 'CREATE TABLE closed.grabbed ()';
SELECT attempt('in a check');
SET regress.grab = 'GRANT USAGE ON SCHEMA closed TO regress_eve';
SELECT attempt('in a check');
SET session_replication_role = replica;
SELECT attempt('in a check');
RESET session_replication_role;
SET regress.grab = 'SELECT 1';
SELECT attempt('in a check');
SET regress.grab = 'REVOKE ALL ON SCHEMA closed FROM regress_bob';
SELECT attempt('in a default');
SET regress.grab = 'SELECT 1';
SELECT attempt('in a default'), attempt('in an update');
RESET SESSION AUTHORIZATION;
SELECT relname, nspacl FROM pg_namespace n LEFT JOIN pg_class c ON relnamespace = n.oid AND relname = 'grabbed' WHERE nspname = 'closed';
SELECT * FROM closed.greedy;
REVOKE SET ON PARAMETER session_replication_role FROM regress_bob;

-- row security that binds the owner too hides no row from a rollback
CREATE SCHEMA forced AUTHORIZATION regress_bob;
SET SESSION AUTHORIZATION regress_bob;
CREATE TABLE forced.t (id int PRIMARY KEY, a text DEFAULT 'new', g int GENERATED ALWAYS AS (id * 2) STORED, n numeric NOT NULL CHECK (n > 0));
INSERT INTO forced.t (id, a, n) VALUES (1, 'one', 1.5), (2, 'two', 2.5);
CREATE TABLE forced.r (id int REFERENCES forced.t);
INSERT INTO forced.r VALUES (1);
CREATE MATERIALIZED VIEW forced.m AS SELECT id FROM forced.t WITH NO DATA;
CREATE POLICY odd ON forced.t USING (id % 2 = 1) WITH CHECK (true);
ALTER TABLE forced.t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SET safemig.label = 'forced';
ALTER TABLE forced.t DROP COLUMN a;
ALTER TABLE forced.t ALTER g DROP EXPRESSION;
ALTER TABLE forced.t ALTER n DROP NOT NULL, DROP CONSTRAINT t_n_check;
ALTER TABLE forced.t ALTER n TYPE int;
ALTER TABLE forced.r DROP CONSTRAINT r_id_fkey;
RESET safemig.label;
RESET SESSION AUTHORIZATION;
UPDATE forced.t SET g = 0 WHERE id = 2;
INSERT INTO forced.t (id, n) VALUES (4, 4);
SET SESSION AUTHORIZATION regress_bob;
SELECT safemig_rollback('forced') IS NOT NULL AS rolled_back;
SELECT count(*) AS seen_by_owner FROM forced.t;
SET safemig.label = 'refreshed';
REFRESH MATERIALIZED VIEW forced.m;
RESET safemig.label;
SELECT safemig_rollback('refreshed') IS NOT NULL AS rolled_back;
SELECT safemig_redo(safemig_last()) IS NOT NULL AS redone;
SELECT * FROM forced.m;
RESET SESSION AUTHORIZATION;
SELECT * FROM forced.t ORDER BY id;

-- event triggers run as they would for the caller's own statement
CREATE TABLE public.seen (who text, path text, event text, tag text);
GRANT INSERT ON public.seen TO PUBLIC;
CREATE SCHEMA bobs AUTHORIZATION regress_bob;
CREATE FUNCTION public.note() RETURNS event_trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO seen VALUES (current_user, current_setting('search_path'), tg_event, tg_tag); END $$;
CREATE FUNCTION public.note_definer() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS
$$ BEGIN INSERT INTO seen VALUES ('definer ' || (current_user = session_user), current_setting('search_path'), tg_event, tg_tag); END $$;
CREATE EVENT TRIGGER a_note ON ddl_command_start EXECUTE FUNCTION public.note();
CREATE EVENT TRIGGER z_note ON ddl_command_end EXECUTE FUNCTION public.note();
CREATE EVENT TRIGGER z_drop ON sql_drop EXECUTE FUNCTION public.note();
CREATE EVENT TRIGGER z_rewrite ON table_rewrite EXECUTE FUNCTION public.note();
CREATE EVENT TRIGGER z_definer ON ddl_command_end EXECUTE FUNCTION public.note_definer();
SET SESSION AUTHORIZATION regress_bob;
SET search_path = bobs, public;
CREATE TABLE t (id int PRIMARY KEY, a numeric);
CREATE VIEW v AS SELECT id FROM t;
SET safemig.label = 'noted';
ALTER TABLE t ALTER a TYPE int;
DROP VIEW v;
CREATE TABLE made (a int);
RESET safemig.label;
SET client_min_messages = error;
RESET SESSION AUTHORIZATION;
TRUNCATE public.seen;
SET SESSION AUTHORIZATION regress_bob;
SELECT attempt('noted');
SHOW search_path;
RESET search_path;
SET client_min_messages = warning;
RESET SESSION AUTHORIZATION;
SELECT * FROM public.seen;
DROP EVENT TRIGGER a_note;
DROP EVENT TRIGGER z_note;
DROP EVENT TRIGGER z_drop;
DROP EVENT TRIGGER z_rewrite;
DROP EVENT TRIGGER z_definer;
DROP FUNCTION public.note(), public.note_definer();
DROP TABLE public.seen;

-- what is cancelled is not a failure of safemig that may be passed over
SET safemig.on_capture_failure = 'warn';
CREATE TABLE public.slow (id int PRIMARY KEY, a int);
INSERT INTO public.slow SELECT g, g FROM generate_series(1, 100000) g;
-- wherever it strikes
\set SHOW_CONTEXT never
SET statement_timeout = '5ms';
ALTER TABLE public.slow DROP COLUMN a;
RESET statement_timeout;
\set SHOW_CONTEXT errors
SELECT count(*) FROM pg_attribute WHERE attrelid = 'public.slow'::regclass AND attname = 'a' AND NOT attisdropped;
RESET safemig.on_capture_failure;
DROP TABLE public.slow;

-- what a user puts first in the search_path means nothing to safemig
SET client_min_messages = error;
SET SESSION AUTHORIZATION regress_bob;
CREATE FUNCTION app.eq(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN app.spy('= of bigint'); END $$;
CREATE FUNCTION app.eq(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN app.spy('= of text'); END $$;
CREATE FUNCTION app.eq(oid, oid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN app.spy('= of oid'); END $$;
CREATE FUNCTION app.joined(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM app.spy('||'); RETURN ''; END $$;
CREATE FUNCTION app.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM app.spy('now'); RETURN NULL; END $$;
CREATE FUNCTION app.format(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM app.spy('format'); RETURN ''; END $$;
CREATE OPERATOR app.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = app.eq);
CREATE OPERATOR app.= (LEFTARG = text, RIGHTARG = text, FUNCTION = app.eq);
CREATE OPERATOR app.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = app.eq);
CREATE OPERATOR app.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = app.joined);
CREATE TABLE app.plain (id bigint PRIMARY KEY, a numeric, b app.e[], c text DEFAULT 'x');
INSERT INTO app.plain VALUES (1, 1.5, '{1}');
CREATE INDEX ON app.plain ((app.ok('index')));
SET search_path = app, pg_catalog, public;
SET safemig.label = 'first in path';
ALTER TABLE app.plain ALTER a TYPE int;
ALTER TABLE app.plain DROP COLUMN b, DROP COLUMN c;
DROP TABLE app.plain;
RESET safemig.label;
RESET SESSION AUTHORIZATION;
ANALYZE;
SELECT count(*) > 0 AS planned FROM safemig_plan(safemig_last());
SELECT count(*) > 0 AS differs FROM safemig_diff(safemig_last());
SELECT count(*) AS drifted FROM safemig_verify(safemig_last());
SELECT count(*) > 0 AS seen FROM safemig.migrations;
SELECT attempt('first in path');
RESET search_path;
SET client_min_messages = warning;
SELECT * FROM public.runs;
SET SESSION AUTHORIZATION regress_bob;
SELECT * FROM app.plain;
RESET SESSION AUTHORIZATION;

-- everybody may look at what he did and what was done to his things
CREATE SCHEMA seen;
CREATE TABLE seen.bobs (id int PRIMARY KEY, a text);
CREATE TABLE seen.others (id int PRIMARY KEY, a text);
INSERT INTO seen.bobs VALUES (1, 'kept');
INSERT INTO seen.others VALUES (1, 'kept');
ALTER TABLE seen.bobs OWNER TO regress_bob;
GRANT USAGE, CREATE ON SCHEMA seen TO regress_bob;
SET safemig.label = 'seen: both';
ALTER TABLE seen.bobs DROP COLUMN a;
ALTER TABLE seen.others DROP COLUMN a;
SET safemig.label = 'seen: others';
ALTER TABLE seen.others ADD COLUMN b int;
RESET safemig.label;
SET SESSION AUTHORIZATION regress_bob;
SET safemig.label = 'seen: own';
CREATE INDEX bobs_index ON seen.bobs (id);
DO $$ BEGIN PERFORM 'ALTER ROLE x PASSWORD ''secret'''; CREATE TABLE seen.made (password text); END $$;
CREATE TABLE seen.users (password text, connection text);
RESET safemig.label;
CREATE VIEW seen.recent AS SELECT m.label, c.seq, c.tag, c.query FROM safemig.migrations m JOIN safemig.commands c ON c.migration = m.id WHERE m.label LIKE 'seen: %';
SELECT label, tag, query FROM seen.recent ORDER BY seq;
SELECT m.label, c.action, c.type, c.object FROM safemig.changes c JOIN safemig.migrations m ON m.id = c.migration
	WHERE m.label LIKE 'seen: %' ORDER BY c.command, c.ord;
SELECT k.identity, k.part, k.rows FROM safemig.kept k JOIN safemig.migrations m ON m.id = k.migration WHERE m.label LIKE 'seen: %';
SELECT query AS read_kept FROM safemig.kept k JOIN safemig.migrations m ON m.id = k.migration WHERE m.label LIKE 'seen: %' \gset
\set VERBOSITY sqlstate
:read_kept;
TABLE safemig.command_log;
\set VERBOSITY default
SET SESSION AUTHORIZATION regress_eve;
SELECT count(*) FROM safemig.migrations;
SELECT count(*) FROM safemig.commands;
SELECT count(*) FROM safemig.changes;
SELECT count(*) FROM safemig.kept;
SELECT count(*) FROM safemig.failures;
RESET SESSION AUTHORIZATION;
SELECT label, tag, query FROM safemig.migrations m JOIN safemig.commands c ON c.migration = m.id WHERE m.label LIKE 'seen: %' ORDER BY seq;

-- what PostgreSQL makes along with a type belongs to a superuser, and to the type
SET SESSION AUTHORIZATION regress_bob;
SET safemig.label = 'a range';
CREATE TYPE app.span AS RANGE (subtype = float8);
RESET safemig.label;
SELECT safemig_rollback('a range') IS NOT NULL AS back, safemig_redo((SELECT id FROM safemig.migrations WHERE label = 'a range' AND kind = 'migration')) IS NOT NULL AS again, safemig_rollback('a range') IS NOT NULL AS back_again;
RESET SESSION AUTHORIZATION;

SET client_min_messages = error;
DROP SCHEMA app, closed, beside, forced, bobs, seen CASCADE;
DROP TABLE public.runs;
DROP FUNCTION public.attempt(text);
SET safemig.enabled = off;
DROP OWNED BY regress_bob, regress_eve CASCADE;
DROP ROLE regress_bob, regress_eve;
RESET safemig.enabled;
