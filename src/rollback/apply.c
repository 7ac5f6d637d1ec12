/*-------------------------------------------------------------------------
 *
 * apply.c
 *	  Running a plan, command by command, newest first.
 *
 * The steps run with capture on, as commands of the rollback's own record;
 * that is how a rollback can itself be taken back.  After the steps of a
 * command its objects are looked at again, and what still differs from the
 * recorded state (a CHECK that PostgreSQL spells otherwise after a type
 * change) is settled by steps made for the state that is there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "capture/capture.h"
#include "image/classes.h"
#include "rollback/rollback.h"

/* Rows of one table that were written since. */
typedef struct LaterWrites
{
	Oid			relid;
	int64		rows;
} LaterWrites;

static LaterWrites *
later_writes(Oid relid)
{
	MemoryContext old;
	LaterWrites *writes;
	ListCell   *lc;

	foreach(lc, safemig_state.later)
	{
		writes = lfirst(lc);
		if (writes->relid == relid)
			return writes;
	}
	old = MemoryContextSwitchTo(TopTransactionContext);
	writes = palloc0(sizeof(LaterWrites));
	writes->relid = relid;
	safemig_state.later = lappend(safemig_state.later, writes);
	MemoryContextSwitchTo(old);
	return writes;
}

/*
 * Counts what a step did to the rows of a table.  A row that was written since
 * is met once for each column that comes back, and counts once: by the column
 * that meets the most of them.
 */
void
rollback_count(Oid relid, int64 restored, int64 later)
{
	LaterWrites *writes;

	state_save();
	safemig_state.rows_restored += restored;
	if (later == 0)
		return;
	writes = later_writes(relid);
	if (later > writes->rows)
	{
		safemig_state.rows_later += later - writes->rows;
		writes->rows = later;
	}
}

/*
 * An error of a step is a reason why the rollback cannot be exact; the user
 * gets it with the statement.  Errors that say nothing about the state
 * (cancelled, out of memory, lost connection) go out as they are.
 */
static void
raise_step_error(const RecordedCommand *command, const Step *step)
{
	ErrorData  *error = CopyErrorData();
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);
	char	   *query;

	if (category == ERRCODE_OPERATOR_INTERVENTION ||
		category == ERRCODE_INSUFFICIENT_RESOURCES ||
		category == ERRCODE_TRANSACTION_ROLLBACK ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_SAFEMIG_CONFLICT) ||
		error->sqlerrcode == ERRCODE_INTERNAL_ERROR)
		PG_RE_THROW();
	FlushErrorState();
	query = misfit_query(command, step, error->sqlerrcode);
	ereport(ERROR,
			(errcode(ERRCODE_SAFEMIG_CONFLICT),
			 errmsg("migration " INT64_FORMAT " cannot be rolled back exactly: %s",
					command->migration, error->message),
			 errdetail_internal("%s%sStatement: %s",
								error->detail ? error->detail : "",
								error->detail ? "\n" : "", step->sql),
			 query ? errhint("Nothing has been changed. %s shows the rows.", query) :
			 error->hint ? errhint("%s", error->hint) :
			 errhint("Nothing has been changed.")));
}

static void
execute(const Step *step)
{
	SPI_connect();
	if (SPI_execute(step->sql, false, 0) < 0)
		elog(ERROR, "could not run \"%s\"", step->sql);
	SPI_finish();
}

void
plan_run_step(const RecordedCommand *command, const Step *step)
{
	MemoryContext context = CurrentMemoryContext;
	Frame		frame;

	PG_TRY();
	{
		Runner		runner = step_runner(step);

		frame_become_runner(&frame, &runner);
		execute(step);
		frame_unpin(&frame);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		raise_step_error(command, step);
	}
	PG_END_TRY();
	CommandCounterIncrement();
}

/* number: that of the first step in the plan; 0: they are not in it */
static void
run_steps(RollbackPlan *plan, const RecordedCommand *command, List *steps,
		  int number)
{
	ListCell   *lc;

	foreach(lc, steps)
	{
		Step	   *step = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		if (plan->rehearsal)
			rehearsal_step_begin(plan->rehearsal, number, step->sql);
		plan_run_step(command, step);
		if (plan->rehearsal)
			rehearsal_step_end(plan->rehearsal);
		if (number)
			number++;
	}
}

/* What still keeps an object from being as it was before the command. */
static void
settle_change(const RecordedCommand *command, Change *change, Steps *steps)
{
	static const char *const by_refresh[] = {"populated", NULL};
	Image	   *recorded = change->before ? change->before : change->after;
	Image	   *now;

	if (recorded->class == NULL)
		return;
	if (change->action == 'w')
		return;
	if (change->before == NULL)
		return;					/* it has been dropped, or that step failed */
	now = image_now(change->before);
	if (now && command->refreshes_later &&
		change->before->class == &image_class_materialized_view &&
		!image_differs_beyond(now, change->before, by_refresh))
		return;
	if (now == NULL || !image_equal(now, change->before))
		compare_to_steps(now, change->before, steps);
}

void
plan_settle(RollbackPlan *plan, RecordedCommand *command)
{
	Steps		steps;
	Frame		frame;
	ListCell   *lc;

	steps_init(&steps);
	steps.around_replacement = replace_dependants;
	frame_become_owner(&frame);
	foreach(lc, command->changes)
		settle_change(command, lfirst(lc), &steps);
	frame_unpin(&frame);
	steps_sort(&steps);
	run_steps(plan, command, steps.list, 0);
}

void
plan_warn_unkept(const RecordedCommand *command)
{
	if (command->unkept)
		ereport(WARNING,
				(errmsg("what migration " INT64_FORMAT " did stays as it is: %s",
						command->migration, command->unkept)));
}

void
plan_apply(RollbackPlan *plan)
{
	int			number = 1;
	ListCell   *lc;

	foreach(lc, plan->commands)
	{
		RecordedCommand *command = lfirst(lc);

		plan_warn_unkept(command);
		run_steps(plan, command, command->steps, number);
		plan_settle(plan, command);
		number += list_length(command->steps);
	}
}
