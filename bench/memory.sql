--
-- The memory of a session that writes :rows rows, captured, and takes that
-- back: called by bench/run, which starts a session for each number.  The table
-- is made in a session of its own: VACUUM takes memory by the size of a table.
--
\set QUIET on
CREATE TABLE bench.written (id bigint PRIMARY KEY, v int, t text);
INSERT INTO bench.written SELECT i, i, i FROM generate_series(1, :rows) i;
VACUUM ANALYZE bench.written;
\connect
SET jit = off;
SET safemig.enabled = on;

-- once, so that what is loaded and cached is not counted
BEGIN;
UPDATE bench.written SET v = 0 WHERE id = 1;
COMMENT ON TABLE bench.written IS 'written';
COMMIT;
SELECT safemig_rollback(safemig_last()) \g /dev/null
SELECT bench.memory('VmSize') AS before \gset

BEGIN;
UPDATE bench.written SET v = -v, t = t || '!' WHERE id % 2 = 0;
DELETE FROM bench.written WHERE id % 4 = 1;
INSERT INTO bench.written SELECT -i, i, i FROM generate_series(1, :rows / 4) i;
COMMENT ON TABLE bench.written IS 'written';
COMMIT;
INSERT INTO bench.sample SELECT 'memory, captured', :'rows', bench.memory('VmPeak') - :before;
SELECT safemig_rollback(safemig_last()) \g /dev/null
INSERT INTO bench.sample SELECT 'memory, back', :'rows', bench.memory('VmPeak') - :before;

SET safemig.enabled = off;
DROP TABLE bench.written;
