--
-- What a rollback is going to do: how much, and for how long.
--
SET safemig.notices = off;
SET client_min_messages = warning;
CREATE SCHEMA planned;
SET search_path = planned;
DELETE FROM safemig.step_log;
CREATE TABLE orders (id int PRIMARY KEY, note text, amount int);
INSERT INTO orders SELECT i, 'note ' || i, i FROM generate_series(1, 1000) i;
CREATE INDEX orders_amount ON orders (amount);
CREATE TABLE items (id int, at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE items_1 PARTITION OF items FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE items_2 PARTITION OF items FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
INSERT INTO items SELECT i, date '2026-01-01' + i % 59 FROM generate_series(0, 589) i;
CREATE INDEX items_id ON items (id);
CREATE TABLE log AS SELECT i AS id FROM generate_series(1, 300) i;
CREATE TABLE unknown WITH (autovacuum_enabled = off) AS SELECT i AS id FROM generate_series(1, 300) i;
ANALYZE orders, items, log;
SET safemig.label = 'planned';
BEGIN;
UPDATE orders SET amount = amount + 1 WHERE id <= 10;
DROP INDEX orders_amount, items_id;
ALTER TABLE orders DROP COLUMN note;
ALTER TABLE log ADD COLUMN extra int;
ALTER TABLE unknown ADD COLUMN extra int;
ALTER TABLE orders RENAME TO old_orders;
ALTER TABLE old_orders ALTER amount TYPE text USING 'x' || amount;
DROP TABLE log;
COMMENT ON TABLE old_orders IS 'old';
COMMIT;
RESET safemig.label;
SELECT safemig_last() AS id \gset

-- rows as counted when they were kept, or by the statistics; not known without any
SELECT step, cost, rows, ms_estimate, regexp_replace(statement, '\d+', '…', 'g') AS statement FROM safemig_plan(:id);

-- time is that of earlier ones: of a rehearsal ...
SELECT count(*) FILTER (WHERE outcome <> 'done') AS not_done FROM safemig_rehearse(:id);
SELECT count(*) FILTER (WHERE rows IS NULL) AS without_rows, count(*) FILTER (WHERE cost <> 'catalog' AND bytes IS NULL) AS without_bytes,
	count(*) FILTER (WHERE cost <> 'catalog') = (SELECT count(*) FROM safemig_plan(:id) WHERE cost <> 'catalog') AS every_step,
	count(*) FILTER (WHERE cost = 'catalog') = count(DISTINCT kind) FILTER (WHERE cost = 'catalog') AS one_of_each_kind FROM safemig.step_log;
SELECT count(*) AS not_told FROM safemig_plan(:id) WHERE ms_estimate IS NULL OR ms_estimate < 0;
-- ... that of a kind that was never measured by its class; nothing by another class
DELETE FROM safemig.step_log WHERE kind <> 'fill_column';
SELECT cost, count(*), count(ms_estimate) AS told FROM safemig_plan(:id) GROUP BY cost ORDER BY cost;
-- what is much larger than all that was measured is not told
UPDATE safemig.step_log SET bytes = 1;
SET safemig.enabled = off;
INSERT INTO old_orders (id, amount) SELECT i, repeat('z', 100) FROM generate_series(1001, 20000) i;
SET safemig.enabled = on;
SELECT ms_estimate FROM safemig_plan(:id) WHERE statement LIKE '%fill_column%';
SET safemig.enabled = off;
DELETE FROM old_orders WHERE id > 1000;
VACUUM old_orders;
SET safemig.enabled = on;
-- ... and of a rollback
DELETE FROM safemig.step_log;
SELECT safemig_rollback(:id) IS NOT NULL AS rolled_back;
SELECT count(*) > 0 AS measured, min(ms) >= 0 AS plausible FROM safemig.step_log;
-- a check measures nothing
DELETE FROM safemig.step_log;
SELECT safemig_redo(:id) IS NOT NULL AS redone;
DELETE FROM safemig.step_log;
SELECT * FROM safemig_check(:id);
SELECT count(*) FROM safemig.step_log;
-- of each kind only the newest are kept
INSERT INTO safemig.step_log SELECT timestamptz '2026-01-01' + i * interval '1 minute', kind, cost, 1, 1, 1
	FROM generate_series(1, 150) i, (VALUES ('fill_column', 'scan'), ('ALTER TABLE', 'catalog')) v (kind, cost);
SELECT safemig_rollback(:id) IS NOT NULL AS rolled_back;
SELECT kind, cost, count(*), max(measured_at) > '2026-01-02' AS newest, count(*) FILTER (WHERE measured_at = timestamptz '2026-01-01' + interval '150 minutes') AS next
	FROM safemig.step_log GROUP BY kind, cost HAVING count(*) > 20 ORDER BY kind, cost;

DROP SCHEMA planned CASCADE;
