--
-- How it goes, in numbers, and what became of the tables.
--
SET client_min_messages = warning;
CREATE ROLE regress_ops;
CREATE ROLE regress_idle;
CREATE ROLE regress_watch IN ROLE pg_monitor;
CREATE SCHEMA ss AUTHORIZATION regress_ops;

-- who has done nothing has no days, and a total of nothing
SET SESSION AUTHORIZATION regress_idle;
SELECT day, migrations, failures, success_rate, rollbacks, rollback_rate, irreversible_open, kept_bytes, recovery_worst, oldest_kept FROM safemig.stats;
RESET SESSION AUTHORIZATION;

SET SESSION AUTHORIZATION regress_ops;
CREATE TABLE ss.customer (id int PRIMARY KEY, name text);
CREATE TABLE ss.item (id int PRIMARY KEY, customer int REFERENCES ss.customer, "a b" int, n int);
INSERT INTO ss.customer SELECT g, 'c' || g FROM generate_series(1, 50) g;
INSERT INTO ss.item SELECT g, g % 50 + 1, g, g FROM generate_series(1, 500) g;
SET safemig.label = 's one';
CREATE INDEX item_n ON ss.item (n);
CREATE INDEX item_ab ON ss.item ("a b");
SET safemig.label = 's two';
ALTER TABLE ss.customer DROP COLUMN name;
SET safemig.label = 's three';
SET safemig.discard = 'no use';
CREATE TABLE ss.useless (id int);
DROP TABLE ss.useless;
RESET safemig.discard;
RESET safemig.label;
ALTER TABLE ss.nowhere ADD COLUMN a int;
CREATE TABLE ss.after_failure (id int);
SELECT safemig_rollback('s two') > 0 AS back;
SELECT safemig_redo((SELECT id FROM safemig.migrations WHERE label = 's two' AND kind = 'migration')) > 0 AS again;
SELECT outcome FROM safemig_drill(1);
SELECT day IS NULL AS total, migrations, failures, round(success_rate::numeric, 3) AS success_rate, rollbacks, round(rollback_rate::numeric, 3) AS rollback_rate,
	redos, drills, drills_passed, guards_fired, guards_failed, irreversible_open, commands, kept_bytes > 0 AS keeps,
	recovery_mean > '0' AS recovery, recovery_worst >= recovery_mean AS worst, capture_ms_mean > 0 AS captured, capture_ms_worst >= capture_ms_mean AS capture_worst, oldest_kept <= now() AS oldest
FROM safemig.stats WHERE day IS NULL OR day = current_date ORDER BY day NULLS LAST;
-- what is settled is not open any more
DO $$ BEGIN PERFORM safemig_note((SELECT id FROM safemig.migrations WHERE label = 's three'), 'resolved', 'it was of no use'); END $$;
SELECT irreversible_open FROM safemig.stats WHERE day IS NULL;
RESET SESSION AUTHORIZATION;

-- who monitors sees all of the numbers, and nothing else
SELECT migrations, rollbacks, irreversible_open, kept_bytes FROM safemig.stats WHERE day IS NULL \gset
SET SESSION AUTHORIZATION regress_watch;
SELECT migrations = :migrations AS migrations, rollbacks = :rollbacks AS rollbacks, irreversible_open = :irreversible_open AS irreversible, kept_bytes = :kept_bytes AS kept FROM safemig.stats WHERE day IS NULL;
SELECT count(*) FROM safemig.migrations;
SELECT count(*) FROM safemig.impact;
RESET SESSION AUTHORIZATION;

-- the tables since then
SET SESSION AUTHORIZATION regress_ops;
SELECT pg_stat_force_next_flush();
SELECT count(*) FROM ss.item WHERE n + 0 > 100;
SET enable_seqscan = off;
SELECT count(*) FROM ss.item WHERE n = 7;
RESET enable_seqscan;
UPDATE ss.item SET n = n + 1 WHERE id = 1;
SELECT pg_stat_force_next_flush();
SELECT label, object, unused_indexes, missing_indexes, reset, seq_scans >= 1 AS scanned, seq_rows >= 500 AS read, idx_scans >= 1 AS by_index, updated FROM safemig.impact WHERE label = 's one';
SELECT label, kind, object, missing_indexes FROM safemig.impact WHERE label = 's two' ORDER BY since;
SELECT label, object FROM safemig.impact WHERE label = 's three';
-- an index that has the columns first, whatever their order, is one for the key
CREATE TABLE ss.pair (a int, b int, PRIMARY KEY (a, b));
CREATE TABLE ss.of_pair (b int, a int, c int, FOREIGN KEY (a, b) REFERENCES ss.pair);
SELECT missing_indexes FROM safemig.impact WHERE object = 'ss.of_pair';
CREATE INDEX ON ss.of_pair (b, a, c);
SELECT DISTINCT missing_indexes FROM safemig.impact WHERE object = 'ss.of_pair';
RESET SESSION AUTHORIZATION;
SELECT pg_stat_reset_single_table_counters('ss.item'::regclass);
SELECT label, object, reset FROM safemig.impact WHERE label = 's one';
SELECT migration, object FROM safemig.impact WHERE object ~ '^safemig';

SET safemig.enabled = off;
DROP SCHEMA ss CASCADE;
DROP ROLE regress_ops, regress_idle, regress_watch;
