--
-- How much a migration may copy.
--
SET client_min_messages = warning;
CREATE TABLE public.big (id int PRIMARY KEY, a text, n int, s text);
INSERT INTO public.big SELECT g, repeat('x', 100), g, g::text FROM generate_series(1, 5000) g;
CREATE TABLE public.small (id int PRIMARY KEY, a text);
INSERT INTO public.small VALUES (1, 'one');
ANALYZE public.big;
SET safemig.max_kept_bytes = '200kB';
SHOW safemig.max_kept_bytes;
\set VERBOSITY terse

-- too much by far is refused before it is copied, and what is less is kept
ALTER TABLE public.big DROP COLUMN a;
ALTER TABLE public.big ALTER COLUMN s TYPE int USING length(s);
UPDATE public.big SET a = 'y' WHERE id = 1;
BEGIN;
CREATE TABLE public.marker (id int);
DELETE FROM public.big;
COMMIT;
BEGIN;
CREATE TABLE public.marker (id int);
TRUNCATE public.big;
ROLLBACK;
SELECT safemig_snapshot('everything', 'public.big');
SELECT count(*), count(a), min(a), max(s) FROM public.big;
SET safemig.label = 'l small';
ALTER TABLE public.small DROP COLUMN a;
RESET safemig.label;

-- what is moved does not count, and takes nothing
SET safemig.label = 'l drop';
DROP TABLE public.big;
RESET safemig.label;
DO $$ BEGIN PERFORM safemig_rollback('l drop'); END $$;
SELECT count(*), count(a) FROM public.big;

-- what a rollback keeps for the redo is not limited
SET safemig.label = 'l add';
ALTER TABLE public.big ADD COLUMN more text DEFAULT repeat('z', 100);
RESET safemig.label;
DO $$ BEGIN PERFORM safemig_rollback('l add'); PERFORM safemig_redo((SELECT id FROM safemig.migrations WHERE label = 'l add' AND kind = 'migration')); END $$;
SELECT count(more) FROM public.big;

-- or the command runs, and says at once that there is no way back
SET safemig.on_limit = 'irreversible';
SET safemig.label = 'l column';
ALTER TABLE public.big DROP COLUMN a;
SET safemig.label = 'l type';
ALTER TABLE public.big ALTER COLUMN s TYPE int USING length(s);
SET safemig.label = 'l delete';
BEGIN;
CREATE TABLE public.marker (id int);
DELETE FROM public.big WHERE id > 10;
COMMIT;
SET safemig.label = 'l truncate';
INSERT INTO public.big (id) SELECT g FROM generate_series(11, 20000) g;
BEGIN;
CREATE TABLE public.marker2 (id int);
TRUNCATE public.big;
COMMIT;
RESET safemig.label;
SELECT label, restorable, why_not FROM safemig.migrations WHERE label LIKE 'l %' AND kind = 'migration' ORDER BY id;
SELECT label, kind, unkept FROM safemig.commands c JOIN safemig.migrations m ON m.id = c.migration WHERE label LIKE 'l %' AND unkept IS NOT NULL ORDER BY seq;
\set VERBOSITY sqlstate
SELECT safemig_rollback('l column');
SET safemig.require_reversible = on;
ALTER TABLE public.big DROP COLUMN more;
BEGIN;
INSERT INTO public.big (id) SELECT g FROM generate_series(1, 20000) g;
CREATE TABLE public.marker3 (id int);
UPDATE public.big SET n = 1;
COMMIT;
\set VERBOSITY terse
RESET safemig.require_reversible;

-- an owner does not choose it
CREATE ROLE regress_l;
SET SESSION AUTHORIZATION regress_l;
SET safemig.max_kept_bytes = -1;
SET safemig.on_limit = 'refuse';
RESET SESSION AUTHORIZATION;
DROP ROLE regress_l;

RESET safemig.on_limit;
RESET safemig.max_kept_bytes;
SET safemig.enabled = off;
DROP TABLE public.big, public.small, public.marker, public.marker2;
