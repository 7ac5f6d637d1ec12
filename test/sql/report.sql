--
-- All that there is to say about a migration, on one page.
--
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE ROLE regress_author;
CREATE ROLE regress_reader;
CREATE SCHEMA rep AUTHORIZATION regress_author;
-- without what is another one each time
CREATE FUNCTION page(id bigint, format text DEFAULT 'markdown') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	page text := safemig_report(id, format);
	what text[];
BEGIN
	FOREACH what SLICE 1 IN ARRAY ARRAY[
		['\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?( UTC|\+00)', '(time)'], ['\*\* [\d.]+ s\M', '** (duration)'],
		['`\d+\.\d` |<code><bdi>\d+\.\d</bdi></code>', ''], ['(safemig[._]\w+\()\d+', '\1N'],
		['\m(Migration|Rollback|Redo|migration|rollback|redo|rolled back as|redone as|by:\*\*|back:\*\*) \d+', '\1 N'],
		['\m(sha256|checksum) [0-9a-f]+', '\1 (hash)'], ['\d+ (kB|bytes)\M', '(size)'], ['(application|Application:\*\*) \S*', '\1 (name)']] LOOP
		page := regexp_replace(page, what[1], what[2], 'g');
	END LOOP;
	RETURN page;
END $$;
SET SESSION AUTHORIZATION regress_author;
CREATE TABLE rep."a|b" (id int PRIMARY KEY, name text DEFAULT '</td><script>alert("x")</script>', "two
lines" int);
INSERT INTO rep."a|b" SELECT g, 'n' || g, g FROM generate_series(1, 20) g;
SET safemig.label = 'rep: 2024|01 *add* <b>users</b> & "more"';
SET safemig.reason = E'# no heading\n- no list';
BEGIN;
ALTER TABLE rep."a|b" ALTER name TYPE varchar(10) USING upper(name);
ALTER TABLE rep."a|b" DROP COLUMN "two
lines";
CREATE VIEW rep."ends with `" AS SELECT id FROM rep."a|b";
COMMIT;
RESET safemig.label;
RESET safemig.reason;
SELECT safemig_last() AS id \gset
SELECT safemig_note(:id, 'ticket', 'OPS-42'), safemig_note(:id, 'approver', '[Sato](javascript:alert(1))');
\pset format unaligned
\pset tuples_only on
SELECT page(:id);
SELECT safemig_rollback(:id, reason => 'slow `queries`') AS rollback \gset
SELECT page(:id);
SELECT page(:rollback);
SELECT safemig_redo(:id) AS redo \gset
SELECT page(:id);
RESET SESSION AUTHORIZATION;

-- HTML: nothing that was written is markup, and nothing depends on an encoding
SET SESSION AUTHORIZATION regress_author;
SELECT regexp_replace(page(:id, 'html'), '<style>.*</style>', '<style>...</style>') AS html \gset
SELECT line FROM string_to_table(:'html', E'\n') line WHERE line ~ 'script|Content-Security|title|two|<h1>|javascript';
SELECT :'html' ~ '^[\x01-\x7f]*$' AS ascii, :'html' !~* '<(script|img|a|b|i|link|iframe)[ >]' AS plain;
SELECT count(*) FILTER (WHERE tag = '<' || name) = count(*) FILTER (WHERE tag = '</' || name) AS closed, name
FROM (SELECT m[1] AS tag, ltrim(m[1], '</') AS name FROM regexp_matches(:'html', '(</?[a-z0-9]+)', 'g') m) t WHERE name NOT IN ('meta', 'br') GROUP BY name ORDER BY name;

-- directions and what cannot be seen are shown
CREATE TABLE rep.hidden (id int);
COMMENT ON TABLE rep.hidden IS U&'a\202Eb\2066c\200Bd \05D0\05D1 e';
SELECT line FROM string_to_table(safemig_report(safemig_last()), E'\n') line WHERE line ~ 'comment';
SELECT line FROM string_to_table(safemig_report(safemig_last(), 'html'), E'\n') line WHERE line ~ '>comment';
SELECT safemig_note(safemig_last(), 'code', E'``` ends\n| no | table');
SELECT line FROM string_to_table(safemig_report(safemig_last()), E'\n') line WHERE line ~ 'no table|ends';
-- it is called under any path
SET search_path = '';
SELECT pg_catalog.length(safemig_report(safemig_last())) > 100;
RESET search_path;
RESET SESSION AUTHORIZATION;

-- irreversible, pruned, baseline, open
\pset tuples_only off
SET SESSION AUTHORIZATION regress_author;
SET safemig.label = 'rep gone';
BEGIN;
CREATE TABLE rep.t (id int);
SET LOCAL safemig.discard = 'no | use';
DROP TABLE rep.t;
COMMIT;
SET safemig.label = 'rep pruned';
CREATE TABLE rep.u AS SELECT 1 AS id;
SET safemig.label = 'rep pruned 2';
DROP TABLE rep.u;
RESET safemig.label;
SELECT safemig_prune(safemig_last(), 'no <room>') > 0 AS freed;
\pset tuples_only on
SELECT page(id) FROM safemig.migrations WHERE label = 'rep gone';
SELECT page(id) FROM safemig.migrations WHERE label = 'rep pruned 2';
RESET SESSION AUTHORIZATION;
SELECT page(safemig_baseline('rep baseline')) ~ '^# Baseline';

-- who ran it, and does not own it any more, sees what he did
SET safemig.enabled = off;
ALTER TABLE rep."a|b" OWNER TO regress_reader;
RESET safemig.enabled;
SET SESSION AUTHORIZATION regress_author;
SELECT line FROM string_to_table(safemig_report(:id), E'\n') WITH ORDINALITY AS l(line, n) WHERE line ~ '^##|must be owner' ORDER BY n;
RESET SESSION AUTHORIZATION;

-- nobody else
SELECT set_config('rep.last', max(id)::text, false) IS NOT NULL FROM safemig.migrations WHERE label = 'rep pruned 2';
SET SESSION AUTHORIZATION regress_reader;
DO $$ BEGIN PERFORM safemig_report(current_setting('rep.last')::bigint); EXCEPTION WHEN OTHERS THEN RAISE WARNING '%: %', SQLSTATE, regexp_replace(SQLERRM, '\d+', 'N'); END $$;
RESET SESSION AUTHORIZATION;
SELECT safemig_report(999999);
SELECT safemig_report(NULL);
SELECT safemig_report(1, NULL);
SELECT safemig_report(1, 'pdf');

SET safemig.enabled = off;
DROP SCHEMA rep CASCADE;
DROP FUNCTION page(bigint, text);
DROP ROLE regress_author, regress_reader;
