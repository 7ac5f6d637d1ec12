/*-------------------------------------------------------------------------
 *
 * rehearse.c
 *	  safemig_rehearse: the rollback itself, proved, and undone.
 *
 * It runs in a subtransaction that is always rolled back.  Whatever error the
 * rollback meets is an outcome and not an error.  It takes the locks of the
 * rollback and gives them back when it ends, and it ends itself when they
 * have been held for as long as the caller allows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/resowner.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "capture/capture.h"
#include "compat.h"
#include "rollback/rollback.h"

PG_FUNCTION_INFO_V1(safemig_rehearse);

/* ---- the budget ---- */

static TimeoutId budget_timeout = MAX_TIMEOUTS;
static volatile sig_atomic_t budget_spent = false;

/* In a signal handler: as if the user cancelled. */
static void
on_budget_spent(void)
{
	budget_spent = true;
	QueryCancelPending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

void
hold_clock_start(int budget)
{
	if (budget_timeout == MAX_TIMEOUTS)
		budget_timeout = RegisterTimeout(USER_TIMEOUT, on_budget_spent);
	enable_timeout_after(budget_timeout, budget);
}

void
rehearsal_start_clock(Rehearsal *rehearsal)
{
	hold_clock_start(rehearsal->budget);
}

/* Was it the clock that cancelled?  Then nobody is cancelled any more. */
bool
hold_clock_stop(void)
{
	if (budget_timeout == MAX_TIMEOUTS)
		return false;
	disable_timeout(budget_timeout, false);
	if (!budget_spent)
		return false;
	budget_spent = false;
	QueryCancelPending = false;
	return true;
}

int
hold_budget_argument(FunctionCallInfo fcinfo, int n)
{
	Interval   *budget;
	double		ms;

	check_not_null(fcinfo, n, "hold_budget");
	budget = PG_GETARG_INTERVAL_P(n);
	ms = budget->time / 1000.0 +
		(budget->day + (double) DAYS_PER_MONTH * budget->month) * SECS_PER_DAY * 1000.0;
	if (ms < 1 || ms > INT_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("hold_budget must be from 1 ms to 24 days")));
	return (int) ms;
}

/* ---- the steps ---- */

void
rehearsal_step_begin(Rehearsal *rehearsal, int number, const char *statement)
{
	StepOutcome *step = NULL;
	ListCell   *lc;

	foreach(lc, rehearsal->outcomes)
	{
		StepOutcome *planned = lfirst(lc);

		if (number != 0 && planned->number == number)
			step = planned;
	}
	if (step == NULL)
	{
		/* where it was found necessary: before what has not been reached */
		int			position = 0;

		foreach(lc, rehearsal->outcomes)
		{
			if (((StepOutcome *) lfirst(lc))->outcome)
				position = foreach_current_index(lc) + 1;
		}
		step = palloc0(sizeof(StepOutcome));
		step->number = number;
		step->statement = pstrdup(statement);
		rehearsal->outcomes = list_insert_nth(rehearsal->outcomes, position, step);
	}
	step->outcome = "running";
	rehearsal->running = step;
	rehearsal->rows_before = safemig_state.rows_restored;
	rehearsal->since = GetCurrentTimestamp();
}

static void
end_step(Rehearsal *rehearsal, char *outcome)
{
	StepOutcome *step = rehearsal->running;

	step->outcome = outcome;
	step->ms = (GetCurrentTimestamp() - rehearsal->since) / 1000.0;
	rehearsal->running = NULL;
}

/* A conflict is told when all have been found. */
void
rehearsal_step_end(Rehearsal *rehearsal, bool conflict)
{
	rehearsal->running->rows = safemig_state.rows_restored - rehearsal->rows_before;
	end_step(rehearsal, conflict ? "in the way" : REHEARSED);
}

static void
list_steps(Rehearsal *rehearsal, RollbackPlan *plan)
{
	int			number = 0;
	ListCell   *lc;
	ListCell   *inner;

	foreach(lc, plan->commands)
	{
		foreach(inner, ((RecordedCommand *) lfirst(lc))->steps)
		{
			StepOutcome *step = palloc0(sizeof(StepOutcome));

			step->number = ++number;
			step->statement = ((Step *) lfirst(inner))->sql;
			rehearsal->outcomes = lappend(rehearsal->outcomes, step);
		}
	}
}

/* ---- the rehearsal ---- */

static void
announce(RollbackPlan *plan, const Rehearsal *rehearsal)
{
	int			n = list_length(plan->migrations);
	char	   *what = n == 1 ?
		psprintf("migration " INT64_FORMAT, ((Migration *) linitial(plan->migrations))->id) :
		psprintf("%d migrations", n);
	List	   *names = plan_locked_names(plan);
	StringInfoData locks;
	ListCell   *lc;

	if (!safemig_notices)
		return;
	initStringInfo(&locks);
	foreach(lc, names)
	{
		if (foreach_current_index(lc) == 20)
		{
			appendStringInfo(&locks, " and %d more", list_length(names) - 20);
			break;
		}
		appendStringInfo(&locks, "%s%s", locks.len ? ", " : "", (char *) lfirst(lc));
	}
	if (names == NIL)
		ereport(NOTICE,
				(errmsg("rehearsing the rollback of %s, which locks no table", what)));
	else
		ereport(NOTICE,
				(errmsg("rehearsing the rollback of %s: ACCESS EXCLUSIVE on %s, held for %d ms at most",
						what, locks.data, rehearsal->budget)));
}

/* The error of the rollback, in one text. */
static char *
error_in_words(const char *what, const ErrorData *error)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s: %s %s", what, unpack_sql_state(error->sqlerrcode),
					 error->message);
	if (error->detail)
		appendStringInfo(&buf, "\n%s", error->detail);
	if (error->hint)
		appendStringInfo(&buf, "\n%s", error->hint);
	return buf.data;
}

static void
note_failure(Rehearsal *rehearsal, char *outcome)
{
	StepOutcome *refused;
	bool		begun = false;
	ListCell   *lc;

	if (rehearsal->running)
	{
		end_step(rehearsal, outcome);
		return;
	}
	foreach(lc, rehearsal->outcomes)
		begun |= ((StepOutcome *) lfirst(lc))->outcome != NULL;
	refused = palloc0(sizeof(StepOutcome));
	refused->statement = begun ? "-- all that was met" : "-- before the first step";
	refused->outcome = outcome;
	rehearsal->outcomes = begun ? lappend(rehearsal->outcomes, refused) :
		lcons(refused, rehearsal->outcomes);
}

static void
rehearse(List *migrations, Rehearsal *rehearsal)
{
	RollbackOptions options = {.on_conflict = CONFLICT_REFUSE,.rehearsal = rehearsal};
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		(void) take_back(migrations, &options, "rollback");
		(void) hold_clock_stop();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;
		bool		spent = hold_clock_stop();

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		/* no error may leave a subtransaction that nobody can leave */
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED && !spent)
			ReThrowError(error);
		rehearsal->error = error;
		rehearsal->spent = spent;
		if (spent)
			note_failure(rehearsal, psprintf("ended: locks had been held, or waited for, for %d ms",
											 rehearsal->budget));
		else
			note_failure(rehearsal, error_in_words(rehearsal->running ? "failed" : "refused", error));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
}

static void
put_outcomes(ReturnSetInfo *result, const Rehearsal *rehearsal)
{
	ListCell   *lc;

	foreach(lc, rehearsal->outcomes)
	{
		StepOutcome *step = lfirst(lc);
		Datum		values[5];
		bool		nulls[5] = {false};

		values[0] = Int32GetDatum(step->number);
		nulls[0] = step->number == 0;
		values[1] = CStringGetTextDatum(step->outcome ? step->outcome : "not reached");
		values[2] = Int64GetDatum(step->rows);
		values[3] = CStringGetTextDatum(step->statement);
		values[4] = Float8GetDatum(step->ms);
		nulls[2] = nulls[4] = step->outcome == NULL;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* Together; newest first. */
void
migrations_rehearse(List *migrations, Rehearsal *rehearsal)
{
	RollbackPlan *plan;
	Frame		frame;

	rehearsal->context = CurrentMemoryContext;
	check_can_all_be_rolled_back(migrations);
	/* what the transaction wrote up to now is to stay recorded */
	data_record_pending();
	frame_become_owner(&frame);
	plan = plan_build(migrations);
	frame_unpin(&frame);
	plan_check_rights(plan);
	list_steps(rehearsal, plan);
	frame_become_owner(&frame);
	if (!rehearsal->quiet)
		announce(plan, rehearsal);
	frame_unpin(&frame);
	rehearse(migrations, rehearsal);
	if (rehearsal->quiet)
		return;
	frame_become_owner(&frame);
	measures_write(rehearsal->measures);
	frame_unpin(&frame);
}

Datum
safemig_rehearse(PG_FUNCTION_ARGS)
{
	Rehearsal	rehearsal = {0};

	check_not_null(fcinfo, 0, "id");
	check_can_write("safemig_rehearse()");
	rehearsal.budget = hold_budget_argument(fcinfo, 1);
	migrations_rehearse(list_make1(resolve_id(PG_GETARG_INT64(0))), &rehearsal);
	InitMaterializedSRF(fcinfo, 0);
	put_outcomes((ReturnSetInfo *) fcinfo->resultinfo, &rehearsal);
	return (Datum) 0;
}
