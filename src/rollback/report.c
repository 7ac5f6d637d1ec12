/*-------------------------------------------------------------------------
 *
 * report.c
 *	  safemig.report_at_end: what a migration leaves for the day on which it
 *	  is to be taken back, said when it ends.
 *
 * An explicit migration ends with safemig_end(), what is none with its
 * transaction, just before that commits.  It is a report and no more: whatever
 * goes wrong with it, the transaction commits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "rollback/rollback.h"

typedef struct Reported
{
	int64		id;
	char	   *label;			/* may be NULL */
	char	   *why_not;		/* NULL: it can be taken back */
	char	   *kept;			/* in words */
	RollbackPlan *plan;
	double		ms;				/* that it may take; -1: not known */
} Reported;

/* False: there is no such migration, or it has not ended. */
static bool
read_migration(Reported *reported, MemoryContext context)
{
	Oid			type = INT8OID;
	Datum		arg = Int64GetDatum(reported->id);
	bool		found;

	SPI_connect();
	if (SPI_execute_with_args("SELECT m.label, m.why_not, pg_catalog.pg_size_pretty(m.kept_bytes)"
							  " FROM safemig.migrations m WHERE m.id OPERATOR(pg_catalog.=) $1"
							  " AND m.state OPERATOR(pg_catalog.=) 'applied'"
							  " AND m.kind OPERATOR(pg_catalog.=) ANY (ARRAY['migration', 'snapshot'])"
							  " AND m.commands OPERATOR(pg_catalog.>) 0",
							  1, &type, &arg, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read migrations");
	found = SPI_processed > 0;
	if (found)
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];
		MemoryContext old = MemoryContextSwitchTo(context);

		reported->label = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 1);
		reported->why_not = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 2);
		reported->kept = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 3);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return found;
}

/* Milliseconds, or -1 if that of one step is not known. */
static double
plan_estimate(RollbackPlan *plan)
{
	List	   *rates = rates_read();
	double		all = 0;
	ListCell   *lc;
	ListCell   *inner;

	foreach(lc, plan->commands)
	{
		foreach(inner, ((RecordedCommand *) lfirst(lc))->steps)
		{
			const Step *step = lfirst(inner);
			Extent		extent = step_extent(plan, step);
			double		ms = step_estimate(rates, step, &extent);

			if (ms < 0)
				return -1;
			all += ms;
		}
	}
	return all;
}

static char *
in_words(const Reported *reported)
{
	const RollbackPlan *plan = reported->plan;

	return psprintf("%d step%s, %s", plan->steps, plan->steps == 1 ? "" : "s",
					plan->strongest_lock == NULL ? "no lock that anybody would notice" :
					psprintf("strongest lock %s on %s", plan->strongest_lock,
							 plan->strongest_object));
}

static void
say(const Reported *reported)
{
	char	   *name = psprintf(INT64_FORMAT "%s%s%s", reported->id, reported->label ? " \"" : "",
								reported->label ? reported->label : "",
								reported->label ? "\"" : "");

	if (reported->why_not)
		ereport(NOTICE,
				(errmsg("migration %s cannot be taken back: %s", name, reported->why_not),
				 errdetail("Kept: %s.", reported->kept)));
	else
		ereport(NOTICE,
				(errmsg("migration %s can be taken back: %s", name, in_words(reported)),
				 reported->ms < 0 ?
				 errdetail("Kept: %s. How long it may take is not known yet.", reported->kept) :
				 errdetail("Kept: %s. It may take %.0f ms.", reported->kept, reported->ms),
				 errhint("SELECT safemig_rollback(%lld);", (long long) reported->id)));
}

static bool
look(void *arg)
{
	Reported   *reported = arg;
	MemoryContext context = CurrentMemoryContext;
	Frame		frame;
	bool		found;

	frame_become_owner(&frame);
	own_work_begin();
	found = read_migration(reported, context);
	if (found)
	{
		reported->plan = plan_build(list_make1(history_get_migration(reported->id, false)));
		reported->ms = plan_estimate(reported->plan);
	}
	own_work_end();
	frame_unpin(&frame);
	if (found)
		say(reported);
	return true;
}

void
migration_report(int64 id)
{
	Reported	reported = {.id = id};
	ErrorData  *error;

	if (!safemig_report_at_end || id == 0)
		return;
	error = attempt(look, &reported);
	if (error && ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	if (error)
		ereport(WARNING,
				(errcode(ERRCODE_SAFEMIG_CAPTURE),
				 errmsg("safemig could not report on migration %lld: %s", (long long) id,
						error->message)));
}

/* The transaction is about to commit. */
void
migration_report_at_commit(void)
{
	int64		id = safemig_state.written_id;

	if (!safemig_report_at_end || id == 0 || id == open_migration_id() ||
		!OidIsValid(get_extension_oid("safemig", true)))
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	migration_report(id);
	PopActiveSnapshot();
}
