/*-------------------------------------------------------------------------
 *
 * run.c
 *	  One rollback: lock, check, apply, verify, record, in one transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_largeobject.h"
#include "miscadmin.h"

#include "capture/capture.h"
#include "capture/written.h"
#include "keep/writes.h"
#include "point.h"
#include "rollback/rollback.h"

static void
announce(const RollbackPlan *plan)
{
	Migration  *first = linitial(plan->migrations);
	char	   *steps = psprintf(said_of("%d step", "%d steps", plan->steps), plan->steps);
	char	   *lock;

	if (!safemig_notices || plan->rehearsal)
		return;
	if (plan->strongest_lock)
		lock = psprintf(said("strongest lock %s on %s"), plan->strongest_lock, plan->strongest_object);
	else
		lock = said("no lock that anybody would notice");
	if (list_length(plan->migrations) > 1)
		ereport(NOTICE,
				(errmsg("rolling back %d migrations: %s, %s",
						list_length(plan->migrations), steps, lock)));
	else if (first->label)
		ereport(NOTICE,
				(errmsg("rolling back migration %lld \"%s\": %s, %s",
						(long long) first->id, first->label, steps, lock)));
	else
		ereport(NOTICE,
				(errmsg("rolling back migration %lld: %s, %s",
						(long long) first->id, steps, lock)));
}

static void
report_done(const RollbackPlan *plan, int64 record, int objects)
{
	Migration  *first = linitial(plan->migrations);
	int			n = list_length(plan->migrations);
	char	   *what;
	char	   *tables = "";

	if (!safemig_notices || plan->rehearsal)
		return;
	what = n > 1 ? psprintf(said_of("%d migration", "%d migrations", n), n) :
		psprintf(said("migration %lld"), (long long) first->id);
	if (safemig_state.tables_restored > 0)
		tables = psprintf(said_of("%lld table put back, ", "%lld tables put back, ", safemig_state.tables_restored),
						  (long long) safemig_state.tables_restored);
	ereport(NOTICE,
			(errmsg("%s rolled back as %lld: %s, %s%s, %s, verified",
					what, (long long) record,
					psprintf(said_of("%d object", "%d objects", objects), objects),
					tables,
					psprintf(said_of("%lld row restored", "%lld rows restored", safemig_state.rows_restored),
							 (long long) safemig_state.rows_restored),
					psprintf(said_of("%lld later write kept", "%lld later writes kept", safemig_state.rows_later),
							 (long long) safemig_state.rows_later)),
			 errhint("SELECT safemig_redo(%lld); applies it again.", (long long) record)));
}

List *
migration_ids(List *migrations)
{
	List	   *ids = NIL;
	ListCell   *lc;

	foreach(lc, migrations)
		ids = lappend(ids, &((Migration *) lfirst(lc))->id);
	return ids;
}

static ProgressCommand
progress_command(const RollbackOptions *options, const char *kind)
{
	if (options->rehearsal)
		return options->rehearsal->quiet ? PROGRESS_CHECK : PROGRESS_REHEARSAL;
	return strcmp(kind, "redo") == 0 ? PROGRESS_REDO : PROGRESS_ROLLBACK;
}

static void
progress_begin_part(RollbackPlan *plan, Progress *progress, ProgressPhase phase)
{
	plan->progress = progress;
	progress_begin_command(progress, plan->progress_command, plan->since, phase);
}

static void
progress_end_part(RollbackPlan *plan)
{
	progress_end(plan->progress);
	plan->progress = NULL;
}

static RollbackPlan *
prepare(List *migrations, RollbackOptions *options, const char *kind)
{
	Frame		frame;
	RollbackPlan *plan;
	List	   *conflicts;
	Progress	progress;

	frame_become_owner(&frame);
	own_work_begin();
	plan = plan_build(migrations);
	plan->on_conflict = options->on_conflict;
	plan->rehearsal = options->rehearsal;
	plan->progress_command = progress_command(options, kind);
	plan->since = GetCurrentTimestamp();
	own_work_end();
	frame_unpin(&frame);

	SAFEMIG_POINT("rollback.planned");
	plan_check_rights(plan);

	frame_become_owner(&frame);
	own_work_begin();
	if (plan->rehearsal)
		rehearsal_start_clock(plan->rehearsal);
	progress_begin_part(plan, &progress, PROGRESS_LOCKING);
	plan_lock(plan);
	SAFEMIG_POINT("rollback.locked");
	check_still_as_planned(migrations);
	progress_phase(&progress, PROGRESS_CHECKING);
	if (options->plan_hash && strcmp(options->plan_hash, plan_hash(plan)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_STALE_PLAN),
				 errmsg("the plan is stale"),
				 errdetail("The objects or the plan have changed since it was made."),
				 errhint("SELECT * FROM safemig_plan(%lld);",
						 (long long) ((Migration *) linitial(migrations))->id)));
	conflicts = plan_check(plan);
	if (conflicts == NIL && plan->rehearsal == NULL && strcmp(kind, "rollback") == 0)
		plan_warn_of_leaving(plan);
	SAFEMIG_POINT("rollback.checked");
	progress_end_part(plan);
	own_work_end();
	frame_unpin(&frame);
	if (conflicts != NIL)
		conflicts_raise(plan, conflicts);
	return plan;
}

/*
 * Our own steps may have rewritten rows after a column of theirs changed its
 * type.  Nobody else could write meanwhile: as they are now they count as
 * untouched since.  Not so where the stamp also says which row is which, unless
 * the column is generated, whose values are computed again in any case.
 */
static void
stamp_values(int64 record)
{
	Oid			type = INT8OID;
	Datum		arg = Int64GetDatum(record);
	List	   *values = history_kept_where("k.migration OPERATOR(pg_catalog.=) $1"
											" AND k.kind OPERATOR(pg_catalog.=) ANY (ARRAY['values', 'cast'])"
											" AND (NOT k.details OPERATOR(pg_catalog.@>) ARRAY['keyless']"
											"  OR EXISTS (SELECT FROM pg_catalog.pg_attribute a"
											"   WHERE a.attrelid::pg_catalog.text OPERATOR(pg_catalog.=)"
											"    k.details[pg_catalog.array_position(k.details, 'relation') + 1]"
											"   AND a.attnum::pg_catalog.text OPERATOR(pg_catalog.=)"
											"    k.details[pg_catalog.array_position(k.details, 'attnum') + 1]"
											"   AND a.attgenerated OPERATOR(pg_catalog.<>) ''))",
											1, &type, &arg, NULL);
	ListCell   *lc;

	foreach(lc, values)
		column_keep_finish(((Kept *) lfirst(lc))->id);
}

static bool
has_part(List *parts, int64 id)
{
	ListCell   *lc;

	foreach(lc, parts)
	{
		if (((Kept *) lfirst(lc))->id == id)
			return true;
	}
	return false;
}

/* Of Kept*: what the plan's commands wrote, newest first. */
static List *
written_parts(const RollbackPlan *plan)
{
	List	   *parts = NIL;
	ListCell   *lc;
	ListCell   *inner;

	foreach(lc, plan->commands)
	{
		foreach(inner, ((RecordedCommand *) lfirst(lc))->changes)
		{
			const Change *change = lfirst(inner);
			const Image *before = change->before;
			Kept	   *kept;

			/* the pages of all large objects that a command had are one part */
			if (before == NULL || before->kept == 0 ||
				(change->action != 'w' && before->address.classId != LargeObjectRelationId))
				continue;
			kept = history_get_kept(before->kept);
			if (strcmp(kept->kind, WRITES_KIND) == 0 && !has_part(parts, kept->id))
				parts = lappend(parts, kept);
		}
	}
	return parts;
}

/*
 * Everything but the steps themselves, which take_back runs at once and a
 * script one by one: from here on what is done is recorded as the rollback.
 */
RollbackRun *
run_open(List *migrations, RollbackOptions *options, const char *kind)
{
	RollbackRun *run = palloc0(sizeof(RollbackRun));
	Migration  *first = linitial(migrations);
	Caller	   *caller = caller_now();
	Frame		frame;

	if (safemig_state.record_id)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("a rollback is under way in this transaction already")));
	/* what the transaction wrote up to now is not the rollback's */
	data_record_pending();
	run->plan = prepare(migrations, options, kind);
	announce(run->plan);
	frame_become_owner(&frame);
	state_save();
	safemig_state.tables_restored = 0;
	safemig_state.rows_restored = safemig_state.rows_later = 0;
	safemig_state.later = safemig_state.astray = NIL;
	safemig_state.caller = caller;
	safemig_state.on_conflict = options->on_conflict;
	safemig_state.broken_references = NIL;
	own_work_begin();
	run->parts = written_parts(run->plan);
	safemig_state.net = net_begin(run->parts);
	SAFEMIG_POINT("rollback.begins");
	run->contents = plan_contents(run->plan);
	run->named = plan_named_rows(run->plan);
	run->record = history_open_record(kind, first->label, migration_ids(migrations),
									  options->reason);
	own_work_end();
	frame_unpin(&frame);
	return run;
}

/* A script's statements cannot be tried one by one: it has no list of conflicts. */
static void
check_references(const RollbackPlan *plan)
{
	List	   *conflicts;

	references_add_broken();
	conflicts = misfit_conflicts();
	if (conflicts != NIL)
		conflicts_raise(plan, conflicts);
}

/* The proof; returns the record's id. */
int64
run_close(RollbackRun *run)
{
	Frame		frame;
	List	   *verified;
	Progress	progress;

	frame_become_owner(&frame);
	own_work_begin();
	progress_begin_part(run->plan, &progress, PROGRESS_PROVING);
	SAFEMIG_POINT("rollback.applied");
	if (!safemig_state.collects)
		check_references(run->plan);
	verified = plan_verify(run->plan, run->contents);
	SAFEMIG_POINT("rollback.verified");
	if (!run->stamped)
		stamp_values(run->record);
	certificate_write(run->record, verified, run->plan->since);
	measures_write(run->plan->measures);
	history_set_state(run->record, "applied");
	SAFEMIG_POINT("rollback.certified");
	progress_end_part(run->plan);
	own_work_end();
	if (safemig_state.on_conflict != CONFLICT_REFUSE)
		writes_warn();
	safemig_state.record_id = 0;
	safemig_state.caller = NULL;
	safemig_state.net = NULL;
	safemig_state.collects = false;
	/* nor is what it wrote the transaction's */
	written_look();
	astray_report();
	frame_unpin(&frame);
	report_done(run->plan, run->record, list_length(verified));
	return run->record;
}

/*
 * False: a row that had been taken back in a newer part of the migration proved
 * to be in the way in an older one, and all is to be done again.
 */
static bool
apply_once(RollbackRun *run)
{
	List	   *conflicts = plan_try(run->plan);

	if (safemig_state.on_conflict != CONFLICT_KEEP)
		named_rows_check(run->named, &conflicts);
	/* under refuse the first conflict decides, and is told as it is */
	if (safemig_state.on_conflict != CONFLICT_REFUSE &&
		net_is_to_be_done_again(safemig_state.net))
		return false;
	if (conflicts != NIL)
		conflicts_raise(run->plan, conflicts);
	own_work_begin();
	/* in the subtransaction whose rows these are */
	stamp_values(run->record);
	own_work_end();
	run->stamped = true;
	return true;
}

typedef struct Applying
{
	RollbackRun *run;
	bool		done;
} Applying;

static bool
apply_attempt(void *arg)
{
	Applying   *applying = arg;

	applying->done = apply_once(applying->run);
	return applying->done;
}

/* The same, where what was done can be undone. */
static bool
try_to_apply(RollbackRun *run)
{
	Applying	applying = {run};
	ErrorData  *error = attempt(apply_attempt, &applying);

	/* rows with values from the middle may have been the reason */
	if (error && (plan_error_is_no_reason(error) ||
				  !net_is_to_be_done_again(safemig_state.net)))
		ReThrowError(error);
	return applying.done;
}

static void
apply(RollbackRun *run)
{
	if (safemig_state.on_conflict == CONFLICT_REFUSE || run->parts == NIL)
	{
		if (!apply_once(run))
			elog(ERROR, "a rollback without kept rows is to be done again");
		return;
	}
	while (!try_to_apply(run))
		CHECK_FOR_INTERRUPTS();
}

/* Takes back a list of migrations, newest first; returns the record's id. */
int64
take_back(List *migrations, RollbackOptions *options, const char *kind)
{
	RollbackRun *run = run_open(migrations, options, kind);
	Progress	progress;
	int64		record;
	Frame		frame;
	ListCell   *lc;

	frame_become_owner(&frame);
	safemig_state.collects = true;
	foreach(lc, run->plan->commands)
		plan_warn_unkept(lfirst(lc));
	progress_begin_part(run->plan, &progress, PROGRESS_STEPS);
	apply(run);
	progress_end_part(run->plan);
	frame_unpin(&frame);
	if (options->rehearsal)
		rehearsal_step_begin(options->rehearsal, 0, "-- the proof");
	record = run_close(run);
	if (options->rehearsal)
		rehearsal_step_end(options->rehearsal, false);
	return record;
}
