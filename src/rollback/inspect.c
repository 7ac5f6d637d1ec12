/*-------------------------------------------------------------------------
 *
 * inspect.c
 *	  safemig_check: everything that is in the way of a rollback now.
 *
 * What the catalogs and the history tell is read without a lock.  If nothing
 * of that is in the way, the rollback is rehearsed, since only that knows what
 * rows do to it: but only where no lock has to be waited for, and for a second
 * at most.  So in a database at rest the answer is that of the rollback.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "rollback/rollback.h"

PG_FUNCTION_INFO_V1(safemig_check);

/* Milliseconds for which others may have to wait for an answer. */
#define CHECK_BUDGET	1000

static void
put_row(ReturnSetInfo *result, const char *severity, const char *object,
		const char *problem, int64 rows, const char *hint)
{
	Datum		values[5];
	bool		nulls[5] = {false, false, false, rows < 0, hint == NULL || hint[0] == '\0'};

	values[0] = CStringGetTextDatum(severity);
	values[1] = CStringGetTextDatum(object);
	values[2] = CStringGetTextDatum(problem);
	values[3] = Int64GetDatum(rows);
	values[4] = nulls[4] ? (Datum) 0 : CStringGetTextDatum(hint);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
put_conflicts(ReturnSetInfo *result, const char *severity, List *conflicts)
{
	ListCell   *lc;

	foreach(lc, conflicts)
	{
		const Conflict *conflict = lfirst(lc);

		put_row(result, severity, conflict->object, conflict->problem, conflict->rows,
				conflict->of_policy ?
				psprintf("%ssafemig_rollback(..., on_conflict => 'keep') leaves these rows as they are, 'restore' overwrites them.",
						 conflict->hint ? conflict->hint : "") : conflict->hint);
	}
}

/* ---- rights ---- */

/* Who may look need not be somebody who may run all of it. */
static bool
put_missing_rights(ReturnSetInfo *result, RollbackPlan *plan)
{
	bool		missing = false;
	ListCell   *lc;
	ListCell   *inner;

	if (is_administrator(GetUserId()))
		return false;
	foreach(lc, plan->commands)
	{
		foreach(inner, ((RecordedCommand *) lfirst(lc))->steps)
		{
			Step	   *step = lfirst(inner);

			if (step->mode != RUN_SUPERUSER)
				continue;
			put_row(result, "error", step->object,
					"can be restored by a superuser, or who administers safemig, only", -1,
					"GRANT EXECUTE ON FUNCTION safemig_administer() to the role, or let a superuser do it.");
			missing = true;
		}
	}
	return missing;
}

/* ---- others whom it concerns ---- */

static void
put_replication(ReturnSetInfo *result, RollbackPlan *plan)
{
	ListCell   *lc;

	foreach(lc, plan_locked(plan))
	{
		Oid			type = OIDOID;
		Datum		arg = ObjectIdGetDatum(lfirst_oid(lc));

		SPI_connect();
		if (SPI_execute_with_args("SELECT $1::pg_catalog.regclass::pg_catalog.text, 'is published by ' || pg_catalog.string_agg(pg_catalog.quote_ident(x.pubname), ', ' ORDER BY x.pubname),"
								  " 'What the rollback does to its columns has to be done on the subscribers too.'"
								  " FROM pg_catalog.pg_publication p CROSS JOIN LATERAL"
								  "  (SELECT p.pubname FROM pg_catalog.pg_get_publication_tables(p.pubname) t WHERE t.relid OPERATOR(pg_catalog.=) $1) x"
								  " HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 0"
								  " UNION ALL SELECT $1::pg_catalog.regclass::pg_catalog.text, 'is filled by subscription ' || pg_catalog.quote_ident(s.subname),"
								  " 'ALTER SUBSCRIPTION ' || pg_catalog.quote_ident(s.subname) || ' DISABLE; lets it wait until the rollback is done.'"
								  " FROM pg_catalog.pg_subscription_rel r JOIN pg_catalog.pg_subscription s ON s.oid OPERATOR(pg_catalog.=) r.srsubid"
								  " WHERE r.srrelid OPERATOR(pg_catalog.=) $1",
								  1, &type, &arg, NULL, true, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not read pg_publication");
		for (uint64 i = 0; i < SPI_processed; i++)
			put_row(result, "info",
					SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1),
					SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2), -1,
					SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 3));
		SPI_finish();
	}
}

static bool
put_lock_holders(ReturnSetInfo *result, RollbackPlan *plan)
{
	List	   *holders;
	ListCell   *lc;
	Frame		frame;

	frame_become_owner(&frame);
	holders = plan_lock_holders(plan);
	put_replication(result, plan);
	frame_unpin(&frame);
	foreach(lc, holders)
	{
		const Conflict *holder = lfirst(lc);
		bool		prepared = strstr(holder->problem, "prepared transaction") != NULL;

		/* nothing but a person ends a prepared one */
		put_row(result, prepared ? "error" : "warning", holder->object, holder->problem,
				-1, holder->hint);
	}
	return holders != NIL;
}

/* ---- rows ---- */

static void
put_rehearsed(ReturnSetInfo *result, Migration *migration)
{
	Rehearsal	rehearsal = {.budget = CHECK_BUDGET,.quiet = true};
	const char *object = psprintf("migration " INT64_FORMAT, migration->id);
	int			level = NewGUCNestLevel();

	/* never wait, so that nobody waits behind it */
	(void) set_config_option("safemig.lock_timeout", "1", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	migration_rehearse(migration, &rehearsal);
	AtEOXact_GUC(false, level);
	if (rehearsal.conflicts != NIL)
		put_conflicts(result, "error", rehearsal.conflicts);
	else if (rehearsal.spent)
		put_row(result, "warning", object, "was not proved to the end: that takes more than a second", -1,
				psprintf("SELECT * FROM safemig_rehearse(" INT64_FORMAT ", '1 min');", migration->id));
	else if (rehearsal.error && rehearsal.error->sqlerrcode == ERRCODE_SAFEMIG_LOCK)
		put_row(result, "warning", object, rehearsal.error->message, -1,
				"What rows do to it was not looked at: that takes the locks of the rollback.");
	else if (rehearsal.error)
		put_row(result, "error", object,
				rehearsal.error->detail ? psprintf("%s\n%s", rehearsal.error->message, rehearsal.error->detail) :
				rehearsal.error->message, -1, rehearsal.error->hint);
}

Datum
safemig_check(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Migration  *migration;
	Conflict   *obstacle;
	RollbackPlan *plan;
	List	   *conflicts;
	Frame		frame;

	check_not_null(fcinfo, 0, "id");
	migration = resolve_id(PG_GETARG_INT64(0));
	frame_become_owner(&frame);
	plan = plan_build(list_make1(migration));
	frame_unpin(&frame);
	commands_check_rights(plan->commands);
	InitMaterializedSRF(fcinfo, 0);

	frame_become_owner(&frame);
	obstacle = migration_obstacle(migration);
	conflicts = obstacle ? list_make1(obstacle) : plan_check(plan);
	frame_unpin(&frame);
	put_conflicts(result, "error", conflicts);
	if (obstacle)
		return (Datum) 0;
	/* the locks of others are told in any case */
	if (put_missing_rights(result, plan) || conflicts != NIL)
		(void) put_lock_holders(result, plan);
	else if (!put_lock_holders(result, plan))
		put_rehearsed(result, migration);
	else
		put_row(result, "warning", psprintf("migration " INT64_FORMAT, migration->id),
				"was not proved: its tables are in use", -1,
				psprintf("SELECT * FROM safemig_rehearse(" INT64_FORMAT "); waits for them.",
						 migration->id));
	return (Datum) 0;
}
