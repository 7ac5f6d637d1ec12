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

DROP SCHEMA app, closed CASCADE;
DROP TABLE public.runs;
SET safemig.enabled = off;
DROP OWNED BY regress_bob, regress_eve CASCADE;
DROP ROLE regress_bob, regress_eve;
RESET safemig.enabled;
