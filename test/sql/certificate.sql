--
-- What a rollback proved, what cannot be taken back, and where to go then.
--
SET safemig.notices = off;
SET client_min_messages = error;
CREATE SCHEMA certified;
SET search_path = certified;
CREATE ROLE regress_certified_owner;
CREATE ROLE regress_certified_other;
CREATE TABLE t (id int PRIMARY KEY, a text, n int);
INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 2);
CREATE TABLE u (id int);
GRANT USAGE ON SCHEMA certified TO regress_certified_owner;
ALTER TABLE t OWNER TO regress_certified_owner;

SET safemig.label = 'certified';
BEGIN;
ALTER TABLE t DROP COLUMN a;
UPDATE t SET n = n * 10;
DROP TABLE u;
CREATE TABLE made (id int);
COMMIT;
RESET safemig.label;
SELECT safemig_last() AS id \gset
UPDATE t SET n = 7 WHERE id = 2;
SELECT safemig_rollback(:id, on_conflict => 'keep', reason => 'ticket 12') AS record \gset

-- without what is another each time
CREATE FUNCTION masked(text) RETURNS text LANGUAGE sql AS $$
	SELECT regexp_replace(regexp_replace(regexp_replace(regexp_replace($1,
		'((rollback|redo|migration) )[0-9]+', '\1N', 'g'),
		'(\nby +)[^\n]*', '\1…'),
		'(verified at +)[^\n]*', '\1…'),
		'(checksum|sha256) [0-9a-f]+', '\1 …', 'g')
$$;
CREATE FUNCTION error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RETURN 'none';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ': ' || certified.masked(SQLERRM);
END $$;
GRANT USAGE ON SCHEMA certified TO regress_certified_other;
\pset tuples_only on
\pset format unaligned
SELECT masked(safemig_certificate(:record));
\pset format aligned
\pset tuples_only off
SELECT safemig_certificate(:id) = safemig_certificate(:record) AS by_either_id;
SELECT on_conflict, objects, tables_put_back, rows_restored, later_writes FROM safemig.certificates WHERE rollback = :record;

-- the same description has the same fingerprint, wherever it is
SELECT (regexp_match(safemig_certificate(:record), 'sha256 (\w+)  table certified.t'))[1] AS print \gset
SELECT safemig_redo(:id) AS redone \gset
-- a redo has one too
\pset tuples_only on
\pset format unaligned
SELECT masked(safemig_certificate(:redone));
\pset format aligned
\pset tuples_only off
SELECT on_conflict, objects, tables_put_back, rows_restored, later_writes FROM safemig.certificates WHERE rollback = :redone;
SELECT safemig_rollback(:id, on_conflict => 'keep') AS record \gset
SELECT (regexp_match(safemig_certificate(:record), 'sha256 (\w+)  table certified.t'))[1] = :'print' AS same_again;

-- whoever sees the rollback sees it
SET ROLE regress_certified_owner;
SELECT safemig_certificate(:record) IS NOT NULL AS owner;
SET ROLE regress_certified_other;
SELECT error_of(format('SELECT safemig_certificate(%s)', :record));
SELECT error_of(format('SELECT safemig_recovery_target(%s)', :id));
SELECT error_of(format('SELECT safemig.certificate_text(%s)', :record));
SELECT error_of(format('SELECT safemig.recovery_target_text(%s)', :id));
SELECT error_of('SELECT FROM safemig.certificate_log');
SELECT count(*) FROM safemig.certificates;
SELECT count(*) FROM safemig.ledger;
RESET ROLE;

-- nothing to certify
SELECT safemig_certificate(0);
SELECT safemig_certificate(NULL) IS NULL AS nothing;
SET safemig.label = 'stands';
CREATE TABLE stands (id int);
RESET safemig.label;
SELECT error_of('SELECT safemig_certificate(safemig_last())');

-- where to go when there is no way back
SET safemig.max_kept_bytes = 0;
SET safemig.on_limit = irreversible;
SET safemig.label = 'lost';
ALTER TABLE t DROP COLUMN a;
RESET safemig.label;
RESET safemig.max_kept_bytes;
RESET safemig.on_limit;
SELECT safemig_last() AS lost \gset
SELECT regexp_replace(hint, '[0-9]+', 'N') AS hint FROM safemig_check(:lost) WHERE severity = 'error';
SELECT regexp_replace(line, '((# before|lsn =) ).*', '\1…') AS line
FROM regexp_split_to_table(safemig_recovery_target(:lost), '\n') AS line;
SELECT label, tag, reason, state, resolved, note FROM safemig.ledger WHERE migration = :lost;
SELECT safemig_note(:lost, 'resolved', 'restored from the nightly dump');
SELECT label, resolved, note FROM safemig.ledger WHERE migration = :lost;

SELECT count(*) > 0 AS taken_back FROM safemig.ledger l WHERE l.migration = :id;
DROP SCHEMA certified CASCADE;
DROP ROLE regress_certified_owner, regress_certified_other;
