/*-------------------------------------------------------------------------
 *
 * run.c
 *	  One rollback: lock, check, apply, verify, record, in one transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"

#include "capture/capture.h"
#include "capture/written.h"
#include "rollback/rollback.h"

static char *
counted(int64 n, const char *thing)
{
	return psprintf(INT64_FORMAT " %s%s", n, thing, n == 1 ? "" : "s");
}

static void
announce(const RollbackPlan *plan)
{
	Migration  *first = linitial(plan->migrations);
	char	   *lock = "no lock that anybody would notice";

	if (!safemig_notices || plan->rehearsal)
		return;
	if (plan->strongest_lock)
		lock = psprintf("strongest lock %s on %s", plan->strongest_lock, plan->strongest_object);
	if (list_length(plan->migrations) > 1)
		ereport(NOTICE,
				(errmsg("rolling back %d migrations: %s, %s",
						list_length(plan->migrations), counted(plan->steps, "step"), lock)));
	else
		ereport(NOTICE,
				(errmsg("rolling back migration " INT64_FORMAT "%s%s%s: %s, %s",
						first->id, first->label ? " \"" : "",
						first->label ? first->label : "", first->label ? "\"" : "",
						counted(plan->steps, "step"), lock)));
}

static void
report_done(const RollbackPlan *plan, int64 record, int objects)
{
	Migration  *first = linitial(plan->migrations);
	char	   *what = list_length(plan->migrations) > 1 ?
	psprintf("%d migrations", list_length(plan->migrations)) :
	psprintf("migration " INT64_FORMAT, first->id);

	if (!safemig_notices || plan->rehearsal)
		return;
	ereport(NOTICE,
			(errmsg("%s rolled back as " INT64_FORMAT ": %s%s, %s restored, %s kept, verified",
					what, record, counted(objects, "object"),
					safemig_state.tables_restored == 0 ? "" :
					psprintf(", %s put back", counted(safemig_state.tables_restored, "table")),
					counted(safemig_state.rows_restored, "row"),
					counted(safemig_state.rows_later, "later write")),
			 errhint("SELECT safemig_redo(" INT64_FORMAT "); applies it again.", record)));
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

static RollbackPlan *
prepare(List *migrations, RollbackOptions *options)
{
	Frame		frame;
	RollbackPlan *plan;
	List	   *conflicts;

	frame_become_owner(&frame);
	own_work_begin();
	plan = plan_build(migrations);
	plan->on_conflict = options->on_conflict;
	plan->rehearsal = options->rehearsal;
	own_work_end();
	frame_unpin(&frame);

	plan_check_rights(plan);

	frame_become_owner(&frame);
	own_work_begin();
	if (plan->rehearsal)
		rehearsal_start_clock(plan->rehearsal);
	plan_lock(plan);
	if (options->plan_hash && strcmp(options->plan_hash, plan_hash(plan)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_STALE_PLAN),
				 errmsg("the plan is stale"),
				 errdetail("The objects or the plan have changed since it was made."),
				 errhint("SELECT * FROM safemig_plan(" INT64_FORMAT ");",
						 ((Migration *) linitial(migrations))->id)));
	conflicts = plan_check(plan);
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
	List	   *ids = NIL;
	MemoryContext context = CurrentMemoryContext;
	ListCell   *lc;

	SPI_connect();
	if (SPI_execute_with_args(
							  "SELECT id FROM safemig.kept_log"
							  " WHERE migration OPERATOR(pg_catalog.=) $1"
							  " AND kind OPERATOR(pg_catalog.=) ANY (ARRAY['values', 'cast'])"
							  " AND (NOT details OPERATOR(pg_catalog.@>) ARRAY['keyless']"
							  "  OR EXISTS (SELECT FROM pg_catalog.pg_attribute a"
							  "   WHERE a.attrelid::pg_catalog.text OPERATOR(pg_catalog.=)"
							  "    details[pg_catalog.array_position(details, 'relation') + 1]"
							  "   AND a.attnum::pg_catalog.text OPERATOR(pg_catalog.=)"
							  "    details[pg_catalog.array_position(details, 'attnum') + 1]"
							  "   AND a.attgenerated OPERATOR(pg_catalog.<>) ''))"
							  " ORDER BY id",
							  1, &type, &arg, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kept_log");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		int64	   *id = palloc(sizeof(int64));
		bool		isnull;

		*id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i],
										  SPI_tuptable->tupdesc, 1, &isnull));
		ids = lappend(ids, id);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	foreach(lc, ids)
		column_keep_finish(*(int64 *) lfirst(lc));
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
	run->plan = prepare(migrations, options);
	announce(run->plan);
	frame_become_owner(&frame);
	state_save();
	safemig_state.tables_restored = 0;
	safemig_state.rows_restored = safemig_state.rows_later = 0;
	safemig_state.later = safemig_state.astray = NIL;
	safemig_state.caller = caller;
	safemig_state.on_conflict = options->on_conflict;
	own_work_begin();
	run->contents = plan_contents(run->plan);
	run->record = history_open_record(kind, first->label, migration_ids(migrations),
									  options->reason);
	own_work_end();
	frame_unpin(&frame);
	return run;
}

/* The proof; returns the record's id. */
int64
run_close(RollbackRun *run)
{
	Frame		frame;
	int			objects;

	frame_become_owner(&frame);
	own_work_begin();
	objects = plan_verify(run->plan, run->contents);
	stamp_values(run->record);
	history_set_state(run->record, "applied");
	own_work_end();
	safemig_state.record_id = 0;
	safemig_state.caller = NULL;
	/* nor is what it wrote the transaction's */
	written_look();
	astray_report();
	frame_unpin(&frame);
	report_done(run->plan, run->record, objects);
	return run->record;
}

/* Takes back a list of migrations, newest first; returns the record's id. */
int64
take_back(List *migrations, RollbackOptions *options, const char *kind)
{
	RollbackRun *run = run_open(migrations, options, kind);
	int64		record;
	Frame		frame;

	frame_become_owner(&frame);
	plan_apply(run->plan);
	frame_unpin(&frame);
	if (options->rehearsal)
		rehearsal_step_begin(options->rehearsal, 0, "-- the proof");
	record = run_close(run);
	if (options->rehearsal)
		rehearsal_step_end(options->rehearsal);
	return record;
}
