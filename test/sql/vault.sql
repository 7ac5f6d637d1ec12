--
-- What is kept is out of everybody's reach, and reaches nobody.
--
SET safemig.notices = off;
SET client_min_messages = warning;
CREATE ROLE regress_mal;
CREATE ROLE regress_eve;
CREATE SCHEMA ms AUTHORIZATION regress_mal;
CREATE TABLE public.calls (who text);
GRANT INSERT ON public.calls TO PUBLIC;

SET SESSION AUTHORIZATION regress_mal;
CREATE FUNCTION ms.f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE TYPE ms.mood AS ENUM ('sad', 'ok');
CREATE TABLE ms.t (id int PRIMARY KEY, a int DEFAULT ms.f(1), m ms.mood, CHECK (ms.f(a) < 1000));
CREATE INDEX ON ms.t (ms.f(a));
CREATE STATISTICS ms.st ON (ms.f(a)), id FROM ms.t;
INSERT INTO ms.t SELECT g, g, 'ok' FROM generate_series(1, 100) g;
SET safemig.label = 'vaulted';
DROP TABLE ms.t;
RESET safemig.label;

-- the former owner gives the function another body, and waits for ANALYZE
CREATE OR REPLACE FUNCTION ms.f(int) RETURNS int LANGUAGE plpgsql VOLATILE AS
$$ BEGIN INSERT INTO public.calls VALUES (current_user); RETURN $1; END $$;
RESET SESSION AUTHORIZATION;
SELECT format('%I.%I', vault_schema, vault_name) AS kept FROM safemig.kept_log
WHERE identity = 'ms.t' AND state = 'kept' \gset
ANALYZE :kept;
VACUUM FULL :kept;
REINDEX TABLE :kept;
SELECT * FROM public.calls;
SELECT rolname, rolcanlogin, rolsuper FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
WHERE c.oid = :'kept'::regclass;

-- nobody reads it, and nobody writes the history
SET SESSION AUTHORIZATION regress_mal;
\set VERBOSITY sqlstate
SELECT count(*) FROM :kept;
SELECT count(*) FROM safemig.kept_log;
DELETE FROM safemig.migration_log;
SELECT safemig.restore_relation(1);
SELECT safemig.set_acl('table', '{public,calls}', '{}', '', NULL);
\set VERBOSITY default
RESET SESSION AUTHORIZATION;

-- nobody else rolls it back, or looks into it
SET SESSION AUTHORIZATION regress_eve;
SELECT safemig_rollback('vaulted');
SELECT * FROM safemig_plan(1) LIMIT 0;
RESET SESSION AUTHORIZATION;

-- neither the schema nor the owner's other things are a way to it
DO $$ BEGIN EXECUTE 'DROP SCHEMA ' || split_part((SELECT vault_schema FROM safemig.kept_log WHERE identity = 'ms.t'), ';', 1) || ' CASCADE';
EXCEPTION WHEN OTHERS THEN RAISE WARNING '%', regexp_replace(SQLERRM, '\d+', 'N'); END $$;
SET safemig.label = 'surroundings';
DROP FUNCTION ms.f(int) CASCADE;
DROP TYPE ms.mood CASCADE;
DROP OWNED BY regress_mal CASCADE;
RESET safemig.label;
SELECT count(*) FROM :kept;
SELECT to_regnamespace('ms') AS gone;

-- and back it comes, with all of it
SELECT safemig_rollback('surroundings') IS NOT NULL AS rolled_back;
SET SESSION AUTHORIZATION regress_mal;
-- the body as it was then is the one that the index and the default call
CREATE OR REPLACE FUNCTION ms.f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
SELECT safemig_rollback('vaulted') IS NOT NULL AS rolled_back;
\d ms.t
SELECT count(*), min(m), max(a) FROM ms.t;
RESET SESSION AUTHORIZATION;
SELECT * FROM public.calls;

DROP SCHEMA ms CASCADE;
DROP TABLE public.calls;
SET safemig.enabled = off;
DROP OWNED BY regress_mal, regress_eve CASCADE;
DROP ROLE regress_mal, regress_eve;
RESET safemig.enabled;
