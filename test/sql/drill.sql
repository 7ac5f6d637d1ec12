--
-- Drills: would the newest migrations go back, one after the other?
--
SET safemig.notices = off;
CREATE SCHEMA drilled;
SET search_path = drilled;
CREATE TABLE orders (id int PRIMARY KEY, total int NOT NULL, note text);
INSERT INTO orders SELECT i, i, 'n' || i FROM generate_series(1, 10) i;
SELECT safemig_mark() AS mark \gset
SET safemig.label = 'drilled: nullable';
ALTER TABLE orders ALTER total DROP NOT NULL;
SET safemig.label = 'drilled: no note';
ALTER TABLE orders DROP COLUMN note;
RESET safemig.label;

-- row k: the newest k together
SELECT label, outcome, steps, rows, ms > 0 AS took FROM safemig_drill(2);

-- the rows that the application writes meanwhile stand in the way
INSERT INTO orders VALUES (11, NULL);
SELECT label, outcome LIKE 'passed' AS passed, substring(outcome FROM '^\w+: SM\d+|column .* contains null values|passed') AS outcome FROM safemig_drill(2);
DELETE FROM orders WHERE total IS NULL;

-- what was found stays; nothing else does
SELECT label, passed, steps, rows, role = current_user AS mine FROM safemig.drills
WHERE label LIKE 'drilled%' ORDER BY drilled_at;
SELECT * FROM orders WHERE id = 1;
SELECT label, state FROM safemig.migrations WHERE label LIKE 'drilled%' ORDER BY id;

-- who may not roll back may not try, and sees nothing
CREATE ROLE regress_driller;
GRANT USAGE ON SCHEMA drilled TO regress_driller;
SET ROLE regress_driller;
SELECT label, outcome FROM safemig_drill();
SELECT count(*) FROM safemig.drills;
RESET ROLE;
SELECT safemig_drill(0);
SELECT safemig_drill(NULL);
SELECT safemig_drill(1, '0');

SELECT safemig_rollback_to(:mark) IS NOT NULL AS back;
SET safemig.enabled = off;
DROP SCHEMA drilled CASCADE;
