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
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "capture/capture.h"
#include "image/classes.h"
#include "keep/writes.h"
#include "point.h"
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
 * Does the error say nothing about the state?  Cancelled, out of memory, lost
 * connection: such go out as they are.
 */
bool
plan_error_is_no_reason(const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_OPERATOR_INTERVENTION ||
		category == ERRCODE_INSUFFICIENT_RESOURCES ||
		category == ERRCODE_TRANSACTION_ROLLBACK ||
		error->sqlerrcode == ERRCODE_INTERNAL_ERROR;
}

/*
 * An error of a step is a reason why the rollback cannot be exact; the user
 * gets it with the statement.  Our own conflicts have all that in them.
 */
static List *
conflict_of_error(const ErrorData *error, const RecordedCommand *command, const Step *step)
{
	List	   *conflicts = NIL;
	Conflict   *conflict = add_conflict(&conflicts, error->sqlerrcode, step->object,
										pstrdup(error->message), error->hint);
	char	   *query;

	conflict->message = pstrdup(error->message);
	conflict->detail = error->detail;
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TO_CATEGORY(ERRCODE_SAFEMIG_CONFLICT))
		return conflicts;
	conflict->sqlstate = ERRCODE_SAFEMIG_CONFLICT;
	conflict->message = psprintf(said("migration %lld cannot be rolled back exactly: %s"),
								 (long long) command->migration, error->message);
	conflict->detail = psprintf(said("%s%sStatement: %s"), error->detail ? error->detail : "",
								error->detail ? "\n" : "", step->sql);
	conflict->of_step = true;
	query = misfit_query(command, step, error->sqlerrcode);
	if (query)
	{
		conflict->command = query;
		conflict->hint = psprintf(said("%s shows the rows."), query);
	}
	return conflicts;
}

static void
execute(const Step *step)
{
	SPI_connect();
	if (SPI_execute(step->sql, false, 0) < 0)
		elog(ERROR, "could not run \"%s\"", step->sql);
	SPI_finish();
}

static void
run_once(const Step *step)
{
	Runner		runner = step_runner(step);
	Frame		frame;

	SAFEMIG_POINT("step.begins");
	frame_become_runner(&frame, &runner);
	execute(step);
	SAFEMIG_POINT("step.done");
	frame_unpin(&frame);
}

/* An error that says nothing about the state is none. */
static ErrorData *
attempt_step(bool (*run) (void *step), const Step *step)
{
	ErrorData  *error = attempt(run, (void *) step);

	if (error && plan_error_is_no_reason(error))
		ReThrowError(error);
	return error;
}

static bool
try_once(void *step)
{
	run_once(step);
	return true;
}

static void
run_step(const Step *step)
{
	Node	   *stmt = parse_statement(step->sql);
	List	   *lifted;

	if (!step_may_have_lapsed(stmt))
		run_once(step);
	else if (attempt_step(try_once, step))
	{
		lifted = lapsed_lift(stmt);
		run_once(step);
		lapsed_put_back(lifted);
	}
}

void
plan_run_step(const RecordedCommand *command, const Step *step)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		run_step(step);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (plan_error_is_no_reason(error) ||
			ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TO_CATEGORY(ERRCODE_SAFEMIG_CONFLICT))
			PG_RE_THROW();
		FlushErrorState();
		conflicts_raise(NULL, conflict_of_error(error, command, step));
	}
	PG_END_TRY();
	CommandCounterIncrement();
}

/* ---- going on after a conflict, to find the others ---- */

/* May these have rows that break a constraint only because of going on? */
static bool
any_is_doubtful(List *tables)
{
	ListCell   *lc;

	foreach(lc, tables)
	{
		Oid			relid = lfirst_oid(lc);

		if (net_is_doubtful(safemig_state.net, has_subclass(relid) ? InvalidOid : relid))
			return true;
	}
	return false;
}

/* The table does not become what it was; nor does what hangs on it. */
static void
unsettle(const RecordedCommand *command)
{
	ListCell   *lc;

	foreach(lc, command->changes)
	{
		Change	   *change = lfirst(lc);
		Image	   *image = change->before ? change->before : change->after;
		ObjectAddress address;

		if (image->class && image->class->catalog == RelationRelationId &&
			address_find(image, &address))
			net_unsettle(safemig_state.net, address.objectId);
	}
}

static bool
is_about_unsettled(const RecordedCommand *command)
{
	ListCell   *lc;

	if (!net_any_is_unsettled(safemig_state.net))
		return false;
	foreach(lc, command->changes)
	{
		Change	   *change = lfirst(lc);
		Image	   *image = change->before ? change->before : change->after;
		ObjectAddress address;

		/* that step looks at each table */
		if (change->action == 'w')
			return false;
		if (image->class && image->class->catalog == RelationRelationId &&
			address_find(image, &address) &&
			net_is_unsettled(safemig_state.net, address.objectId))
			return true;
	}
	return false;
}

static bool
try_step(void *step)
{
	run_step(step);
	return true;
}

/* What is told of it; nothing if it may be the first conflict's consequence. */
static List *
conflicts_of_step(RollbackPlan *plan, const RecordedCommand *command, const Step *step,
				  const ErrorData *error, bool doubtful)
{
	List	   *found;

	if (doubtful)
		return NIL;
	found = conflict_of_error(error, command, step);
	/* who only looks has the time */
	if (plan->rehearsal)
		((Conflict *) linitial(found))->rows = misfit_count(command, step, error->sqlerrcode);
	return found;
}

/* Runs the step; true: it met a conflict, which is noted. */
static bool
find_conflict(RollbackPlan *plan, const RecordedCommand *command, const Step *step)
{
	List	   *tables = misfit_tables(step);
	bool		doubtful = any_is_doubtful(tables);
	List	   *found;
	ErrorData  *error;

	if (tables == NIL)
	{
		plan_run_step(command, step);
		return false;
	}
	error = attempt_step(try_step, step);
	if (error == NULL)
	{
		CommandCounterIncrement();
		return false;
	}
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION)
		conflicts_raise(NULL, conflict_of_error(error, command, step));
	found = conflicts_of_step(plan, command, step, error, doubtful);
	if (validation_postpone(plan, command, step, error->sqlerrcode, found))
		return false;
	plan->doomed = true;
	plan->conflicts = list_concat(plan->conflicts, found);
	return true;
}

/* At the end of the plan. */
static void
run_postponed(RollbackPlan *plan)
{
	while (plan->postponed != NIL)
	{
		const Postponed *postponed = linitial(plan->postponed);
		const Step *step = validation_now(postponed);

		/* whatever comes, it has been tried */
		plan->postponed = list_delete_first(plan->postponed);
		if (step && attempt_step(try_step, step))
		{
			plan->doomed = true;
			plan->conflicts = list_concat(plan->conflicts, postponed->conflicts);
		}
		CommandCounterIncrement();
	}
}

/*
 * What comes after a type that could not return would be about another table.
 * number: that of the first step in the plan.
 */
static void
run_steps(RollbackPlan *plan, const RecordedCommand *command, int number)
{
	HTAB	   *changes = changes_by_object(command);
	ListCell   *lc;

	foreach(lc, command->steps)
	{
		Step	   *step = lfirst(lc);
		Measure    *measure;
		bool		found;

		CHECK_FOR_INTERRUPTS();
		if (is_about_unsettled(command))
		{
			plan->doomed = true;
			unsettle(command);
			break;
		}
		progress_step(plan->progress, number, plan->steps, step_relation(changes, step));
		if (plan->rehearsal)
			rehearsal_step_begin(plan->rehearsal, number, step->sql);
		number++;
		measure = measure_begin(plan, step);
		found = find_conflict(plan, command, step);
		if (!found)
			measure_end(plan, measure);
		if (plan->rehearsal)
			rehearsal_step_end(plan->rehearsal, found);
	}
}

/* What still keeps an object from being as it was before the command. */
static void
settle_change(RollbackPlan *plan, const RecordedCommand *command, Change *change, Steps *steps)
{
	static const char *const by_refresh[] = {"populated", NULL};
	static const char *const by_validation[] = {"valid", NULL};
	Image	   *recorded = change->before ? change->before : change->after;
	const Image *want;
	Image	   *now;
	char	   *why;

	if (recorded->class == NULL)
		return;
	if (change->action == 'w')
		return;
	if (change->before == NULL)
		return;					/* it has been dropped, or that step failed */
	now = image_now(change->before);
	want = image_reworded(change->before, now, &why);
	if (now && command->refreshes_later &&
		want->class == &image_class_materialized_view &&
		!image_differs_beyond(now, want, by_refresh))
		return;
	if (now && now->address.classId == ConstraintRelationId &&
		validation_is_postponed(plan, now->address.objectId) &&
		!image_differs_beyond(now, want, by_validation))
		return;
	if (now == NULL || !image_equal(now, want))
		compare_to_steps(now, want, steps);
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
	SAFEMIG_POINT("rollback.settles");
	foreach(lc, command->changes)
		settle_change(plan, command, lfirst(lc), &steps);
	frame_unpin(&frame);
	steps_sort(&steps);
	foreach(lc, steps.list)
	{
		Step	   *step = lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		if (plan->rehearsal)
			rehearsal_step_begin(plan->rehearsal, 0, step->sql);
		plan_run_step(command, step);
		if (plan->rehearsal)
			rehearsal_step_end(plan->rehearsal, false);
	}
}

void
plan_warn_unkept(const RecordedCommand *command)
{
	if (command->unkept)
		ereport(WARNING,
				(errmsg("what migration %lld did stays as it is: %s",
						(long long) command->migration, command->unkept)));
}

static List *
all_conflicts(RollbackPlan *plan)
{
	List	   *conflicts = NIL;
	ListCell   *lc;

	if (safemig_state.on_conflict == CONFLICT_REFUSE)
		conflicts = writes_conflicts();
	conflicts = list_concat(conflicts, plan->conflicts);
	/* what was in the way when the plan broke off */
	foreach(lc, plan->postponed)
		conflicts = list_concat(conflicts, ((Postponed *) lfirst(lc))->conflicts);
	return list_concat(conflicts, misfit_conflicts());
}

static void
apply(RollbackPlan *plan)
{
	int			number = 1;
	ListCell   *lc;

	foreach(lc, plan->commands)
	{
		RecordedCommand *command = lfirst(lc);

		run_steps(plan, command, number);
		number += list_length(command->steps);
		/* what could not be run would be tried once more */
		if (!plan->doomed)
			plan_settle(plan, command);
	}
	SAFEMIG_POINT("rollback.stepped");
	run_postponed(plan);
	references_add_broken();
}

/*
 * Runs the plan to its end, whatever it meets, and returns that, of Conflict*.
 * If there is anything the transaction has to be given up.  What fails after a
 * conflict, and is none itself, is taken for its consequence.
 */
List *
plan_try(RollbackPlan *plan)
{
	MemoryContext context = CurrentMemoryContext;

	plan->conflicts = NIL;
	plan->doomed = false;
	plan->postponed = NIL;
	plan->measures = NIL;
	PG_TRY();
	{
		apply(plan);
	}
	PG_CATCH();
	{
		ErrorData  *error;
		List	   *conflicts;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		conflicts = all_conflicts(plan);
		if (conflicts == NIL || plan_error_is_no_reason(error))
			PG_RE_THROW();
		FlushErrorState();
		conflicts_raise(plan, conflicts);
	}
	PG_END_TRY();
	return all_conflicts(plan);
}
