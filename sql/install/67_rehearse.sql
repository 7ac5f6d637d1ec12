/*
 * Know before.
 */
CREATE FUNCTION pg_catalog.safemig_rehearse(id bigint, hold_budget interval DEFAULT '5s')
RETURNS TABLE(step int, outcome text, rows bigint, statement text, ms double precision) LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_rehearse';
COMMENT ON FUNCTION pg_catalog.safemig_rehearse(bigint, interval) IS
'Runs the rollback of a migration in a subtransaction, proves it, and undoes it. A row for each step of safemig_plan (step NULL: a statement that the state made necessary, and the proof): outcome is done, not reached, in the way, or failed, refused or ended with the reason; rows are those put back; ms are milliseconds. Takes the locks of the rollback and gives them back when it ends; a NOTICE names them before. It ends itself hold_budget after it began to take them. On standbys the locks are held as on the primary. The caller must own every object concerned, or administer safemig. Errors: SM001, SM002 as safemig_rollback; 22023 a budget below 1 ms or above 24 days.';

CREATE FUNCTION pg_catalog.safemig_prove(script text)
RETURNS TABLE(item text, outcome text, detail text) LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_prove';
COMMENT ON FUNCTION pg_catalog.safemig_prove(text) IS
'Is a script that has not been run yet exactly reversible? Runs it with the caller''s rights in a subtransaction, takes it back, redoes it, takes it back again, runs it again, and once more on top of itself; then undoes all that. After each the whole database is compared: every object, and the rows of every table that the script had a hand in. Items: run (done; failed; not provable: what cannot run inside one transaction), rollback (exact; irreversible; refused; differs), redo and rollback of the redo (exact; refused; differs), second run (same; failed; differs), run on top of itself (harmless; failed; differs). detail has the reason, or what differs. Takes the locks of the script and of its rollback, and holds them to the end of the transaction at most. What no transaction takes back (sequence positions, files, other servers) stays. Errors: 22004 script is null; those that say nothing about the script (cancelled, out of memory).';

CREATE FUNCTION pg_catalog.safemig_is_reversible(script text, description text DEFAULT NULL)
RETURNS text LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_is_reversible';
COMMENT ON FUNCTION pg_catalog.safemig_is_reversible(text, text) IS
'Assertion for test suites: the rollback of a script is exact, by safemig_prove. Where pgTAP is installed it is its ok(), so that its plan counts it; elsewhere it returns "ok - description" or "not ok - description" with the reasons as comments. Locks and errors as safemig_prove.';

CREATE FUNCTION pg_catalog.safemig_rolls_back_ok(id bigint, description text DEFAULT NULL)
RETURNS text LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_rolls_back_ok_id';
COMMENT ON FUNCTION pg_catalog.safemig_rolls_back_ok(bigint, text) IS
'Assertion for test suites: a migration can be rolled back, by safemig_rehearse with a budget of 10 minutes. Where pgTAP is installed it is its ok(), so that its plan counts it; elsewhere it returns "ok - description" or "not ok - description" with the reason as a comment. Locks, privileges and errors as safemig_rehearse.';

CREATE FUNCTION pg_catalog.safemig_rolls_back_ok(label text, description text DEFAULT NULL)
RETURNS text LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_rolls_back_ok_label';
COMMENT ON FUNCTION pg_catalog.safemig_rolls_back_ok(text, text) IS
'As safemig_rolls_back_ok(bigint), by label; exactly one applied migration must have it. Locks, privileges and errors as safemig_rehearse.';

CREATE FUNCTION pg_catalog.safemig_check(id bigint)
RETURNS TABLE(severity text, object text, problem text, rows bigint, hint text) LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_check';
COMMENT ON FUNCTION pg_catalog.safemig_check(bigint) IS
'Everything that is in the way of a rollback now; no row: nothing. severity is error (safemig_rollback refuses), warning (it may have to wait, was not proved, or finds too little space), or info; rows are those concerned; hint is a query or command to be pasted, or a comment. Drift, later migrations, names taken, kept data that is gone, missing rights, sessions and prepared transactions with conflicting locks, publications, subscriptions and replication slots, space of 16 MB and more, or more than is free; and what rows do to it, by a rehearsal, which takes the locks of the rollback where they are free, waits for none, and ends after a second. The caller must own every object concerned, or administer safemig. Errors: SM001; 42501.';
