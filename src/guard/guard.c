/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  safemig_guard() and what ends a guard by hand.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guard/guard.h"
#include "history/history.h"
#include "rollback/rollback.h"
#include "safemig.h"

PG_FUNCTION_INFO_V1(safemig_guard);
PG_FUNCTION_INFO_V1(safemig_unguard);
PG_FUNCTION_INFO_V1(safemig_confirm);
PG_FUNCTION_INFO_V1(safemig_attend_guards);

/* To look more often costs more than it tells. */
#define SHORTEST_PERIOD		100000	/* microseconds */

/* ---- what was asked for ---- */

static int64
period_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	Interval   *interval;

	check_not_null(fcinfo, n, name);
	interval = PG_GETARG_INTERVAL_P(n);
	if (interval->month != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be given in days and less, not in months", name)));
	if (interval->time + interval->day * USECS_PER_DAY < SHORTEST_PERIOD)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be at least %d milliseconds", name, SHORTEST_PERIOD / 1000)));
	return interval->time + interval->day * USECS_PER_DAY;
}

static void
check_policy(const char *policy)
{
	if (policy == NULL ||
		(strcmp(policy, "refuse") != 0 && strcmp(policy, "keep") != 0 && strcmp(policy, "restore") != 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized conflict policy: \"%s\"", policy ? policy : "(null)"),
				 errhint("The policies are \"refuse\", \"keep\" and \"restore\".")));
}

static Guard *
guard_asked_for(FunctionCallInfo fcinfo, int64 *within)
{
	Guard	   *guard = palloc0(sizeof(Guard));

	check_not_null(fcinfo, 0, "id");
	guard->check_query = text_argument(fcinfo, 1);
	guard->every = period_argument(fcinfo, 2, "every");
	*within = period_argument(fcinfo, 3, "within");
	check_not_null(fcinfo, 4, "failures");
	guard->failures = PG_GETARG_INT32(4);
	guard->confirm = !PG_ARGISNULL(5) && PG_GETARG_BOOL(5);
	guard->on_conflict = text_argument(fcinfo, 6);
	check_policy(guard->on_conflict);
	if (guard->failures < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be greater than zero", "failures")));
	if (guard->check_query == NULL && !guard->confirm)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is nothing to watch"),
				 errhint("Give check_query a query that yields true as long as all is well, or call it with confirm => true.")));
	if (guard->check_query && guard->every * guard->failures > *within)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%d checks take longer than the guard lasts", guard->failures),
				 errhint("Make \"within\" longer, or \"every\" or \"failures\" less.")));
	return guard;
}

/* A health check that does not hold to begin with would undo anything. */
static void
check_holds_now(const Guard *guard)
{
	Verdict		verdict;

	if (guard->check_query == NULL)
		return;
	verdict = query_verdict(guard->check_query);
	if (!verdict.holds)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the check does not hold now: %s", verdict.problem),
				 errdetail("A guard on it would take the migration back at once."),
				 errhint("SELECT safemig_rollback(%lld); does that.", (long long) guard->migration)));
}

/* ---- whose it is ---- */

static void
check_rights(const Migration *migration)
{
	List	   *commands;
	Frame		frame;

	frame_become_owner(&frame);
	commands = history_commands(list_make1(unconstify(int64 *, &migration->effective)));
	frame_unpin(&frame);
	commands_check_rights(commands);
}

static Migration *
migration_argument(FunctionCallInfo fcinfo)
{
	Migration  *migration;

	check_not_null(fcinfo, 0, "id");
	migration = resolve_id(PG_GETARG_INT64(0));
	check_rights(migration);
	return migration;
}

/* ---- the calls ---- */

/* Its worker is no function, and cannot become what one is. */
static void
check_acts_for_himself(void)
{
	if (GetUserId() != GetOuterUserId())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot guard a migration within a security-definer function")));
}

static void
check_can_be_guarded(Migration *migration)
{
	if (migration_is_open(migration))
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("migration %lld is still open", (long long) migration->id),
				 errhint("Its session has to call safemig_end() first.")));
	check_can_all_be_rolled_back(list_make1(migration));
}

static void
check_is_not_guarded(const Migration *migration)
{
	if (guard_of_migration(migration->id))
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("migration %lld is guarded already", (long long) migration->id),
				 errhint("SELECT safemig_unguard(%lld); ends that.", (long long) migration->id)));
}

Datum
safemig_guard(PG_FUNCTION_ARGS)
{
	int64		within;
	Guard	   *guard = guard_asked_for(fcinfo, &within);
	Migration  *migration = migration_argument(fcinfo);
	Frame		frame;

	check_acts_for_himself();
	check_can_be_guarded(migration);
	guard->migration = migration->id;
	guard->session_role = GetUserNameFromId(GetSessionUserId(), false);
	guard->role = GetUserNameFromId(GetUserId(), false);
	guard->search_path = pstrdup(GetConfigOption("search_path", false, false));
	guard->deadline = GetCurrentTimestamp() + within;
	check_holds_now(guard);

	frame_become_owner(&frame);
	own_work_begin();
	check_is_not_guarded(migration);
	guard->id = guard_insert(guard, within, text_argument(fcinfo, 7));
	own_work_end();
	frame_unpin(&frame);
	guard_start(guard);
	PG_RETURN_VOID();
}

static Guard *
guard_to_change(const Migration *migration)
{
	Guard	   *guard = guard_of_migration(migration->id);

	if (guard == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("migration %lld is not guarded", (long long) migration->id),
				 errhint("safemig.guards says which are, and how others ended.")));
	return guard;
}

Datum
safemig_unguard(PG_FUNCTION_ARGS)
{
	Migration  *migration = migration_argument(fcinfo);
	Guard	   *guard;
	Frame		frame;

	frame_become_owner(&frame);
	own_work_begin();
	guard = guard_to_change(migration);
	guard_end(guard, GUARD_REMOVED, 0, text_argument(fcinfo, 1));
	own_work_end();
	frame_unpin(&frame);
	PG_RETURN_VOID();
}

/* What is checked besides is checked until its time is over. */
Datum
safemig_confirm(PG_FUNCTION_ARGS)
{
	Migration  *migration = migration_argument(fcinfo);
	Guard	   *guard;
	Frame		frame;

	frame_become_owner(&frame);
	own_work_begin();
	guard = guard_to_change(migration);
	if (!guard->confirm || guard->confirmed)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 guard->confirmed ?
				 errmsg("migration %lld has been confirmed already", (long long) migration->id) :
				 errmsg("migration %lld does not wait to be confirmed", (long long) migration->id)));
	guard_confirm(guard, text_argument(fcinfo, 1));
	if (guard->check_query == NULL)
		guard_end(guard, GUARD_CONFIRMED, 0, NULL);
	own_work_end();
	frame_unpin(&frame);
	PG_RETURN_VOID();
}

/* Starts the workers that are missing; how many. */
Datum
safemig_attend_guards(PG_FUNCTION_ARGS)
{
	List	   *guards;
	int			started = 0;
	ListCell   *lc;
	Frame		frame;

	if (!is_administrator(GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to start the workers of guards"),
				 errhint("GRANT EXECUTE ON FUNCTION safemig_administer() to the role.")));
	frame_become_owner(&frame);
	guards = guards_watching();
	frame_unpin(&frame);
	foreach(lc, guards)
	{
		Guard	   *guard = lfirst(lc);

		if (guard_is_attended(guard->id))
			continue;
		guard_start(guard);
		started++;
	}
	PG_RETURN_INT32(started);
}
