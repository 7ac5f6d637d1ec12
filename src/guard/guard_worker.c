/*-------------------------------------------------------------------------
 *
 * guard_worker.c
 *	  The worker of a guard: looks, counts, and takes the migration back.
 *
 * Each look, each note of it and each rollback is a transaction of its own.
 * What the query does cannot last: its transaction is read only.  The rollback
 * is one with the note that it happened, so that a worker that dies in between
 * has done neither; it is whoever made the guard who calls it, with the rights
 * that this role has by then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/relpath.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guard/guard.h"
#include "history/history.h"
#include "safemig.h"

PGDLLEXPORT void safemig_guard_worker(Datum arg);

/* ---- transactions ---- */

typedef void (*Work) (Guard *guard, void *arg);

/* NULL, or why it was undone; in the memory of the loop. */
static char *
in_transaction(Work work, Guard *guard, void *arg, int timeout)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *volatile problem = NULL;

	PG_TRY();
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		if (timeout > 0)
			enable_timeout_after(STATEMENT_TIMEOUT, timeout);
		work(guard, arg);
		disable_timeout(STATEMENT_TIMEOUT, false);
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		disable_timeout(STATEMENT_TIMEOUT, false);
		QueryCancelPending = false;
		AbortCurrentTransaction();
		problem = psprintf("%s: %s", unpack_sql_state(error->sqlerrcode), error->message);
		if (error->detail)
			problem = psprintf("%s (%s)", problem, error->detail);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
	return problem;
}

/* What must not fail for anything that a user could do. */
static void
for_certain(Work work, Guard *guard, void *arg)
{
	char	   *problem = in_transaction(work, guard, arg, 0);

	/* the next worker tries again */
	if (problem)
		ereport(FATAL,
				(errmsg("the guard of migration %lld cannot go on: %s", (long long) guard->migration, problem)));
}

/* ---- what is done in them ---- */

/* As who made the guard, who may have lost the membership since. */
static void
become_creator(const Guard *guard)
{
	if (strcmp(guard->role, guard->session_role) != 0)
		(void) set_config_option("role", guard->role, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
	(void) set_config_option("search_path", guard->search_path, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
}

/* In the memory that is current. */
typedef struct Reading
{
	MemoryContext context;
	Guard	   *guard;			/* NULL: it is not there */
	bool		stands;			/* the migration does */
} Reading;

static void
read_state(Guard *guard, void *arg)
{
	Reading    *reading = arg;
	Migration  *migration;
	MemoryContext old;
	Frame		frame;

	frame_become_owner(&frame);
	old = MemoryContextSwitchTo(reading->context);
	reading->guard = guard_get(guard->id, false);
	if (reading->guard)
	{
		migration = history_get_migration(reading->guard->migration, true);
		reading->stands = migration && strcmp(migration->state, "rolled_back") != 0;
	}
	MemoryContextSwitchTo(old);
	frame_unpin(&frame);
}

static void
check(Guard *guard, void *arg)
{
	Verdict    *verdict = arg;

	become_creator(guard);
	pgstat_report_activity(STATE_RUNNING, guard->check_query);
	*verdict = query_verdict(guard->check_query);
}

/*
 * The guard, locked; NULL if somebody has ended it since it was read, which
 * nothing that the worker notes may undo.
 */
static Guard *
lock_unless_over(const Guard *guard)
{
	Guard	   *now = guard_get(guard->id, true);

	return now && !guard_is_over(now) ? now : NULL;
}

static void
note_check(Guard *guard, void *arg)
{
	Frame		frame;

	frame_become_owner(&frame);
	own_work_begin();
	if (lock_unless_over(guard))
		guard_note_check(guard, arg);
	own_work_end();
	frame_unpin(&frame);
}

static void
end(Guard *guard, void *arg)
{
	const char *state = arg;
	Guard	   *now;
	Frame		frame;

	frame_become_owner(&frame);
	own_work_begin();
	now = lock_unless_over(guard);
	if (now)
	{
		guard_end(now, state, 0, NULL);
		guard_notify(now, state, 0);
	}
	own_work_end();
	frame_unpin(&frame);
}

static int64
call_rollback(const Guard *guard, const char *why)
{
	Oid			types[3] = {INT8OID, TEXTOID, TEXTOID};
	Datum		args[3] = {Int64GetDatum(guard->migration), CStringGetTextDatum(guard->on_conflict),
	CStringGetTextDatum(psprintf("guard: %s", why))};
	bool		isnull;
	int64		rollback;

	SPI_connect();
	if (SPI_execute_with_args("SELECT pg_catalog.safemig_rollback($1, $2, NULL, $3)",
							  3, types, args, NULL, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not call safemig_rollback()");
	rollback = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return rollback;
}

/* Whoever ends the guard meanwhile comes first, or waits for this. */
static void
take_back(Guard *guard, void *arg)
{
	const char *why = arg;
	Guard	   *now;
	int64		rollback;
	Frame		frame;

	frame_become_owner(&frame);
	now = lock_unless_over(guard);
	frame_unpin(&frame);
	if (now == NULL || (now->confirmed && guard->check_query == NULL))
		return;
	become_creator(guard);
	pgstat_report_activity(STATE_RUNNING, "safemig_rollback");
	rollback = call_rollback(now, why);

	frame_become_owner(&frame);
	own_work_begin();
	guard_end(now, GUARD_ROLLED_BACK, rollback, why);
	guard_notify(now, GUARD_ROLLED_BACK, rollback);
	own_work_end();
	frame_unpin(&frame);
	ereport(LOG,
			(errmsg("migration %lld was rolled back by its guard: %s", (long long) guard->migration, why)));
}

static void
note_refusal(Guard *guard, void *arg)
{
	char	   *problem = arg;
	Frame		frame;

	frame_become_owner(&frame);
	own_work_begin();
	if (lock_unless_over(guard))
	{
		guard_note_refusal(guard, problem);
		guard->problem = problem;
		guard_notify(guard, GUARD_ALARM, 0);
	}
	own_work_end();
	frame_unpin(&frame);
}

/* ---- when ---- */

static const char *
reason_to_act(const Guard *guard)
{
	if (guard->failed >= guard->failures)
		return psprintf("%d checks in a row failed, the last: %s", guard->failed,
						guard->problem ? guard->problem : "");
	if (guard->confirm && !guard->confirmed && GetCurrentTimestamp() >= guard->deadline)
		return "nobody confirmed it in time";
	return NULL;
}

/* False: it was refused for the last time. */
static bool
act(Guard *guard, const char *why)
{
	char	   *problem = in_transaction(take_back, guard, unconstify(char *, why), 0);

	if (problem == NULL)
		return true;
	ereport(WARNING,
			(errmsg("the guard of migration %lld could not roll it back: %s", (long long) guard->migration, problem),
			 errdetail("%s", why)));
	for_certain(note_refusal, guard, problem);
	if (guard->tries + 1 <= safemig_guard_retries)
		return true;
	for_certain(end, guard, GUARD_FAILED);
	return false;
}

static void
look(Guard *guard)
{
	Verdict		verdict = {false, NULL};
	char	   *error = in_transaction(check, guard, &verdict, safemig_guard_timeout);

	if (error)
	{
		verdict.holds = false;
		verdict.problem = error;
	}
	for_certain(note_check, guard, &verdict);
	guard->failed = verdict.holds ? 0 : guard->failed + 1;
	guard->problem = verdict.problem;
}

/* False: there is nothing more to do. */
static bool
watch(Guard *guard, bool stands)
{
	const char *why;

	if (guard_is_over(guard))
		return false;
	if (!stands)
	{
		for_certain(end, guard, GUARD_OVER);
		return false;
	}
	/* also before a rollback that was refused is tried again */
	if (guard->check_query &&
		(GetCurrentTimestamp() < guard->deadline || guard->failed >= guard->failures))
		look(guard);
	why = reason_to_act(guard);
	if (why)
		return act(guard, why);
	if (GetCurrentTimestamp() < guard->deadline)
		return true;
	for_certain(end, guard, guard->confirmed ? GUARD_CONFIRMED : GUARD_PASSED);
	return false;
}

/* Until the next look; what is due before is not missed. */
static void
wait_for_next(const Guard *guard)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		wait = guard->every;

	if (guard->deadline > now)
		wait = Min(wait, guard->deadline - now);
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 (long) Max(wait / 1000, 1), PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/* ---- from the beginning ---- */

/* A database that was dropped by force would have it started for ever. */
static bool
database_is_there(const GuardOrder *order)
{
	char	   *path = GetDatabasePath(order->database, order->tablespace);
	struct stat st;

	return stat(path, &st) == 0;
}

static void
wait_for_creator(Guard *guard, void *arg)
{
	TransactionId xid = *(TransactionId *) arg;

	if (TransactionIdIsInProgress(xid))
		XactLockTableWait(xid, NULL, NULL, XLTW_None);
}

static void
hold(Guard *guard, void *arg)
{
	*(bool *) arg = guard_hold(guard->id);
}

void
safemig_guard_worker(Datum arg)
{
	GuardOrder	order;
	Guard		guard = {0};
	bool		held = false;
	MemoryContext context;

	memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof(order));
	if (!database_is_there(&order))
		proc_exit(0);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(order.database, order.session_role, 0);
	SetConfigOption("application_name", "safemig guard", PGC_USERSET, PGC_S_SESSION);

	context = AllocSetContextCreate(TopMemoryContext, "safemig guard", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	guard.id = order.guard;
	guard.migration = order.migration;
	if (TransactionIdIsValid(order.xid))
		for_certain(wait_for_creator, &guard, &order.xid);
	for_certain(hold, &guard, &held);
	while (held)
	{
		Reading		reading = {context, NULL, false};

		for_certain(read_state, &guard, &reading);
		if (reading.guard == NULL || !watch(reading.guard, reading.stands))
			break;
		wait_for_next(reading.guard);
		MemoryContextReset(context);
	}
	proc_exit(0);
}
