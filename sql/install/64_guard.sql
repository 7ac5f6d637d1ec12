/*
 * Guards: migrations that are watched after they have run.
 */
CREATE SEQUENCE safemig.guard_id;
CREATE TABLE safemig.guard_log (
	id			bigint PRIMARY KEY,
	migration	bigint NOT NULL,
	state		text NOT NULL,
	session_role text NOT NULL,
	role		text NOT NULL,
	check_query	text,
	search_path	text NOT NULL,
	every		interval NOT NULL,
	within		interval NOT NULL,
	failures	int NOT NULL,
	confirm		boolean NOT NULL,
	on_conflict	text NOT NULL,
	reason		text,
	incarnation	text NOT NULL,
	started_at	timestamptz NOT NULL,
	deadline	timestamptz NOT NULL,
	checked_at	timestamptz,
	checks		bigint NOT NULL,
	failed		int NOT NULL,
	tries		int NOT NULL,
	problem		text,
	confirmed_at timestamptz,
	rollback	bigint,
	ended_at	timestamptz,
	ended_by	text,
	end_reason	text
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX guard_log_watching ON safemig.guard_log (migration) WHERE state IN ('watching', 'alarm');
CREATE INDEX guard_log_migration ON safemig.guard_log (migration);
SELECT pg_catalog.pg_extension_config_dump('safemig.guard_id', '');
SELECT pg_catalog.pg_extension_config_dump('safemig.guard_log', 'WHERE state NOT IN (''watching'', ''alarm'')');

CREATE FUNCTION safemig.attend_guards()
RETURNS int LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_attend_guards';
COMMENT ON FUNCTION safemig.attend_guards() IS
'Starts a worker for each guard of this database that watches and has none, as after a restart of a server that does not preload the library; returns how many. The caller must administer safemig. Errors: 42501; 53400 no background worker is free (max_worker_processes).';

CREATE VIEW safemig.guards WITH (security_barrier) AS
SELECT g.id, g.migration, g.state, g.role, g.check_query, g.every, g.within, g.failures, g.confirm, g.on_conflict, g.reason,
	g.failed, g.tries, g.problem, g.rollback, g.end_reason, g.ended_by,
	CASE WHEN g.state IN ('watching', 'alarm') THEN EXISTS (
		SELECT FROM pg_catalog.pg_locks l
		WHERE l.locktype = 'advisory' AND l.objsubid = 4 AND l.granted
			AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d
							  WHERE d.datname = pg_catalog.current_database())
			AND l.classid::bigint = 1397116231 AND l.objid::bigint = g.id) END AS attended,
	g.checks, g.started_at, g.deadline, g.checked_at, g.confirmed_at, g.ended_at
FROM safemig.guard_log g
WHERE EXISTS (SELECT FROM safemig.migrations m WHERE m.id = g.migration);
GRANT SELECT ON safemig.guards TO PUBLIC;
COMMENT ON VIEW safemig.guards IS
'What safemig_guard was called for, and what became of it. state: watching; alarm (the rollback was refused, problem says why, and is tried again); passed (the time is over); confirmed; rolled_back; failed (refused for the last time); removed (safemig_unguard); over (the migration does not stand any more). failed: checks in a row; tries: refused rollbacks; attended: a worker watches, null when it is over. Whoever sees the migration in safemig.migrations sees it here.';

CREATE FUNCTION pg_catalog.safemig_guard(id bigint, check_query text DEFAULT NULL, every interval DEFAULT '30 seconds', within interval DEFAULT '5 minutes',
	failures int DEFAULT 5, confirm boolean DEFAULT false, on_conflict text DEFAULT 'refuse', reason text DEFAULT NULL)
RETURNS void LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_guard';
COMMENT ON FUNCTION pg_catalog.safemig_guard(bigint, text, interval, interval, int, boolean, text, text) IS
'Has a background worker watch a migration that has run: every so often, until within is over, it evaluates check_query, which yields one boolean; after so many failures in a row (false, null, no row or several, an error, or more time than safemig.guard_timeout) it rolls the migration back, with on_conflict as for safemig_rollback. confirm: it also does so when nobody has called safemig_confirm before within is over. The worker is a session of the caller, with the role and the search_path that he has now; the query runs in a read-only transaction. It begins when the transaction commits, and is started again after it died; after a restart of the server if that preloads the library (shared_preload_libraries), else safemig.attend_guards does it. A rollback that is refused is an alarm: a WARNING in the log of the server, NOTIFY safemig, state alarm in safemig.guards; it is tried again every so often, safemig.guard_retries times. The caller must own every object concerned, or administer safemig, now and when it fires. The query is run once by this call. Errors: 22023 the check does not hold now, or a wrong argument; 42804 it does not yield one boolean; whatever the query raises; SM001 unknown; SM002 open, rolled back or guarded already; SM004, SM007 cannot be rolled back; 53400 no background worker is free (max_worker_processes); 42501.';

CREATE FUNCTION pg_catalog.safemig_unguard(id bigint, reason text DEFAULT NULL)
RETURNS void LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_unguard';
COMMENT ON FUNCTION pg_catalog.safemig_unguard(bigint, text) IS
'Ends the guard of a migration; a rollback by it that is under way is waited for. The caller must own every object concerned, or administer safemig. Errors: SM001 unknown; SM002 not guarded; 42501.';

CREATE FUNCTION pg_catalog.safemig_confirm(id bigint, reason text DEFAULT NULL)
RETURNS void LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_confirm';
COMMENT ON FUNCTION pg_catalog.safemig_confirm(bigint, text) IS
'Says to a guard that waits for it that all is well: it ends, or goes on with its query alone. The caller must own every object concerned, or administer safemig. Errors: SM001 unknown; SM002 not guarded, confirmed already, or not waiting for it; 42501.';

CREATE FUNCTION pg_catalog.safemig_expect(query text, message text DEFAULT NULL)
RETURNS void LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_expect';
COMMENT ON FUNCTION pg_catalog.safemig_expect(text, text) IS
'Fails, with that message, unless the query yields one row of one boolean that is true: as the last statement of a migration it keeps what went wrong from being committed. Runs as the caller, and must not write. Errors: SM011 it does not hold; 42804 it does not yield one boolean; 22004 null; whatever the query raises.';

/*
 * Drills: what may be needed next, rehearsed.
 */
CREATE TABLE safemig.drill_log (
	migration	bigint NOT NULL,
	outcome		text NOT NULL,
	steps		int NOT NULL,
	rows		bigint NOT NULL,
	ms			double precision NOT NULL,
	role		text NOT NULL,
	drilled_at	timestamptz NOT NULL,
	label		text
);
CREATE INDEX drill_log_migration ON safemig.drill_log (migration);
ALTER TABLE safemig.drill_log REPLICA IDENTITY FULL;
SELECT pg_catalog.pg_extension_config_dump('safemig.drill_log', '');

CREATE VIEW safemig.drills WITH (security_barrier) AS
SELECT d.migration, d.label, d.outcome = 'passed' AS passed, d.outcome, d.steps, d.rows, d.role, d.ms, d.drilled_at
FROM safemig.drill_log d
WHERE EXISTS (SELECT FROM safemig.migrations m WHERE m.id = d.migration);
GRANT SELECT ON safemig.drills TO PUBLIC;
COMMENT ON VIEW safemig.drills IS
'What safemig_drill found about taking back a migration and all that are newer: outcome is passed, or why not; steps and rows are those that the rehearsal got through, ms is how long the rollback took, in milliseconds. Whoever sees the migration in safemig.migrations sees it here.';

CREATE FUNCTION pg_catalog.safemig_drill(n int DEFAULT 1, hold_budget interval DEFAULT '5s')
RETURNS TABLE(migration bigint, label text, outcome text, steps int, rows bigint, ms double precision) LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_drill';
COMMENT ON FUNCTION pg_catalog.safemig_drill(int, interval) IS
'Rehearses, as safemig_rehearse does, the rollback of the newest migration, then that of the newest two together, as safemig_rollback_last(2) would do it, and so on to n; writes the results into safemig.drills: to be called by a schedule. A row has the oldest migration that was taken back in it. outcome is passed, or refused, failed or ended with the reason; steps and rows are those that it got through, ms milliseconds. Takes the locks of each rollback, for hold_budget at most, and gives them back when that one ends. The caller must own every object concerned, or administer safemig. Errors: 22023 n below 1, or a budget below 1 ms or above 24 days; 42501.';
