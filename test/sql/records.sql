--
-- Notes, the history of one table, baselines.
--
SET safemig.notices = off;
CREATE SCHEMA rec;
SET search_path = rec;
CREATE ROLE regress_ann;
CREATE ROLE regress_tom;
GRANT ALL ON SCHEMA rec TO regress_ann;

-- A baseline is what drift is told from.  Other tests have left objects
-- behind, so only those of this schema are shown.
CREATE TABLE old (id int);
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT safemig_baseline('rec: base') > 0 AS recorded;
SELECT id AS base FROM safemig.migrations WHERE label = 'rec: base' \gset
SELECT kind, state, restorable, why_not, commands FROM safemig.migrations WHERE id = :base;
SELECT action, type, object FROM safemig.changes
WHERE migration = :base AND object ~ '\mrec\M' ORDER BY type, object;
SELECT * FROM safemig_verify(:base);
ALTER TABLE old ADD note text;
DROP FUNCTION f();
CREATE VIEW new AS SELECT id FROM old;
SELECT * FROM safemig_verify(:base) ORDER BY object COLLATE "C";
SELECT count(*) AS changed_by_it FROM safemig_diff(:base);
\set VERBOSITY sqlstate
SELECT safemig_rollback(:base);
\set VERBOSITY default
-- but what came after it can be taken back
SELECT safemig_rollback_to(:base) > 0 AS rolled_back;
SELECT * FROM safemig_verify(:base);
SELECT safemig_baseline('');
SELECT safemig_baseline(NULL);
SET ROLE regress_ann;
SELECT safemig_baseline('mine');
RESET ROLE;

-- Who changed this table?  Through renames, and under one name through drops.
SET SESSION AUTHORIZATION regress_ann;
SET safemig.label = 'rec: make';
CREATE TABLE orders (id int PRIMARY KEY, total numeric);
SET safemig.label = 'rec: change';
CREATE INDEX orders_total ON orders (total);
ALTER TABLE orders ADD note text, ALTER total SET NOT NULL, ALTER total TYPE numeric(10,2);
ALTER TABLE orders RENAME note TO remark;
RESET SESSION AUTHORIZATION;
SET safemig.label = 'rec: rename';
ALTER TABLE orders RENAME TO sales;
COMMENT ON TABLE sales IS 'x';
DROP INDEX orders_total;
-- not the same one
CREATE TABLE orders (other int);
SET safemig.label = 'rec: drop';
DROP TABLE sales;
SELECT safemig_rollback('rec: drop') > 0 AS rolled_back;
RESET safemig.label;
SELECT tag, object_name, what, role = current_user AS mine, label, kind, state
FROM safemig_history('sales');
SELECT tag, object_name, what, label FROM safemig_history('orders');
SELECT tag, object_name, what, label FROM safemig_history('orders_pkey');
SELECT seq > lead(seq) OVER () AS newest_first FROM safemig_history('sales') LIMIT 1;
SELECT * FROM safemig_history(0);
SET ROLE regress_ann;
SELECT count(*) > 0 AS may_look FROM safemig_history('sales');
RESET ROLE;
SELECT 'sales'::regclass::oid AS sales \gset
SET ROLE regress_tom;
SELECT * FROM safemig_history(:sales);
RESET ROLE;

-- Notes
SELECT id AS made FROM safemig.migrations WHERE label = 'rec: make' \gset
SELECT safemig_note(:made, 'ticket', 'X-1');
SELECT safemig_note(:made, 'ticket', 'X-2');
SELECT safemig_note(:made, 'approver', 'tom');
SELECT safemig_note(:made, 'approver', NULL);
SET ROLE regress_ann;
SELECT safemig_note(:made, 'cause', 'requested by sales');
RESET ROLE;
SELECT key, value, role = current_user AS mine FROM safemig.notes
WHERE migration = :made ORDER BY key;
SET ROLE regress_tom;
\set VERBOSITY sqlstate
SELECT safemig_note(:made, 'cause', 'none of his business');
\set VERBOSITY default
RESET ROLE;
SELECT safemig_note(0, 'a', 'b');
SELECT safemig_note(NULL, 'a', 'b');
SELECT safemig_note(:made, NULL, 'b');
SELECT safemig_note(:made, '', 'b');
-- the setting is noted with whatever is recorded next, rollbacks too
SET safemig.notes = 'commit 4f2a';
CREATE TABLE noted (id int);
SELECT safemig_rollback(safemig_last()) > 0 AS rolled_back;
RESET safemig.notes;
SELECT m.kind, n.key, n.value FROM safemig.notes n JOIN safemig.migrations m ON m.id = n.migration
WHERE n.key = 'notes' ORDER BY m.id;

-- the text is that of what wrote the rows, not of what came after it
CREATE TABLE written (id int);
SET safemig.label = 'rows';
BEGIN;
INSERT INTO written VALUES (1), (2);
COMMENT ON TABLE written IS 'some';
COPY written FROM STDIN;
3
\.
COMMENT ON TABLE written IS 'more';
DO $$BEGIN DELETE FROM written WHERE id = 1; END$$;
TRUNCATE written;
SAVEPOINT a;
INSERT INTO written VALUES (4);
RELEASE a;
COMMIT;
INSERT INTO written VALUES (5);
RESET safemig.label;
SELECT c.tag, c.query FROM safemig.commands c JOIN safemig.migrations m ON m.id = c.migration
WHERE m.label = 'rows' ORDER BY c.seq;

SET client_min_messages = warning;
DROP SCHEMA rec CASCADE;
DROP ROLE regress_ann, regress_tom;
