--
-- Is everything in place?
--
SET client_min_messages = warning;
CREATE VIEW complaints AS SELECT item, status, detail, hint FROM safemig_doctor()
WHERE status <> 'ok' AND item NOT IN ('preloading', 'irreversible migrations', 'abandoned migrations');
-- but for what depends on the server, and on earlier tests
SELECT item, status, hint FROM safemig_doctor()
WHERE item NOT IN ('preloading', 'irreversible migrations', 'abandoned migrations', 'drift');
SELECT item, status IN ('ok', 'warning') AS known, (hint IS NULL) = (status = 'ok') AS helped FROM safemig_doctor()
WHERE item IN ('preloading', 'irreversible migrations', 'abandoned migrations', 'drift');

-- what was done while nobody looked
CREATE SCHEMA ds;
CREATE TABLE ds.t (id int PRIMARY KEY, a text DEFAULT 'x');
CREATE VIEW ds.v AS SELECT id FROM ds.t;
CREATE FUNCTION ds.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TABLE ds.gone (id int);
DROP TABLE ds.gone;
CREATE TABLE ds.old (id int);
ALTER TABLE ds.old RENAME TO new;
ALTER TABLE ds.t RENAME TO moved;
SELECT safemig_rollback(safemig_last()) > 0;
SELECT * FROM safemig.drift() WHERE object ~ ' ds[. ]';
SET safemig.enabled = off;
ALTER TABLE ds.t ADD COLUMN b int NOT NULL DEFAULT 3, ALTER a DROP DEFAULT;
DROP VIEW ds.v;
CREATE OR REPLACE FUNCTION ds.f() RETURNS int LANGUAGE sql AS 'SELECT 2';
CREATE TABLE ds.gone (id int);
SELECT item, status FROM complaints;
RESET safemig.enabled;
SELECT * FROM safemig.drift() WHERE object ~ ' ds[. ]' ORDER BY object, facet;

-- switches that let things go by unseen
ALTER EVENT TRIGGER "!safemig_end" ENABLE REPLICA;
ALTER EVENT TRIGGER "!safemig_drop" DISABLE;
SELECT * FROM complaints WHERE item = 'event triggers';
ALTER EVENT TRIGGER "!safemig_end" ENABLE ALWAYS;
ALTER EVENT TRIGGER "!safemig_drop" ENABLE ALWAYS;
SELECT * FROM complaints WHERE item = 'event triggers';
CREATE ROLE regress_doctor;
ALTER ROLE regress_doctor SET safemig.enabled = off;
SET safemig.on_capture_failure = warn;
SET track_counts = off;
SET client_min_messages = error;
CREATE PUBLICATION regress_everything FOR ALL TABLES;
SELECT item, status, detail FROM complaints WHERE item NOT IN ('drift');
DROP PUBLICATION regress_everything;
SET client_min_messages = warning;
RESET track_counts;
RESET safemig.on_capture_failure;
ALTER ROLE regress_doctor RESET safemig.enabled;
SELECT item, status, detail FROM complaints WHERE item NOT IN ('drift');

-- who is no administrator
GRANT SELECT ON complaints TO regress_doctor;
SET ROLE regress_doctor;
SELECT item, status, detail FROM safemig_doctor() WHERE item IN ('drift', 'preloading');
SELECT * FROM safemig.drift();
RESET ROLE;

SET safemig.enabled = off;
DROP SCHEMA ds CASCADE;
DROP VIEW complaints;
DROP ROLE regress_doctor;

-- one that was begun and broken off is not meant by the label
SELECT safemig_begin('twice') IS NOT NULL AS begun;
DISCARD ALL;
SET safemig.notices = off;
SELECT safemig_begin('twice') IS NOT NULL AS begun;
CREATE TABLE twice (id int);
SELECT safemig_end() IS NOT NULL AS ended;
SELECT safemig_rollback('twice') IS NOT NULL AS rolled_back;
SELECT state, commands FROM safemig.migrations WHERE label = 'twice' AND kind = 'migration' ORDER BY id;
SELECT safemig_rollback(min(id)) IS NOT NULL AS rolled_back FROM safemig.migrations WHERE label = 'twice';
