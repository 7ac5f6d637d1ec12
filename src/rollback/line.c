/*-------------------------------------------------------------------------
 *
 * line.c
 *	  Migrations whose order is binding for the framework that ran them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"

#include "rollback/rollback.h"

static Datum
plan_ids(RollbackPlan *plan)
{
	Datum	   *elems = palloc(sizeof(Datum) * Max(1, list_length(plan->migrations)));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, plan->migrations)
		elems[n++] = Int64GetDatum(((Migration *) lfirst(lc))->id);
	return PointerGetDatum(construct_array(elems, n, INT8OID, sizeof(int64),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static char *
called(char *id, char *label)
{
	return label ? psprintf("migration %s \"%s\"", id, label) : psprintf("migration %s", id);
}

static void
find(RollbackPlan *plan, const char *query,
	 void (*report) (List **conflicts, char *of, char *other, char *other_id, char *framework),
	 List **conflicts)
{
	Oid			type = INT8ARRAYOID;
	Datum		arg = plan_ids(plan);
	MemoryContext context = CurrentMemoryContext;

	SPI_connect();
	if (SPI_execute_with_args(query, 1, &type, &arg, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read migration_log");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		MemoryContext old = MemoryContextSwitchTo(context);
		char	   *id = SPI_getvalue(tuple, desc, 3);

		report(conflicts, called(SPI_getvalue(tuple, desc, 1), SPI_getvalue(tuple, desc, 2)),
			   called(id, SPI_getvalue(tuple, desc, 4)), id, SPI_getvalue(tuple, desc, 5));
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
}

static void
report_newer(List **conflicts, char *of, char *newer, char *newer_id, char *framework)
{
	add_conflict(conflicts, ERRCODE_SAFEMIG_LATER, newer,
				 psprintf(said("is newer than %s, and the order of migrations is binding for %s"),
						  of, framework),
				 said("SELECT safemig_rollback_to(...) takes the later ones back too."))->command =
		psprintf("SELECT safemig_rollback(%s);", newer_id);
}

static void
report_reverted(List **conflicts, char *of, char *by, char *by_id, char *framework)
{
	add_conflict(conflicts, ERRCODE_SAFEMIG_LATER, of,
				 psprintf(said("was reverted by %s itself, in %s"), framework, by),
				 psprintf(said("SELECT safemig_rollback(%s); takes that back."), by_id))->command =
		psprintf("SELECT safemig_rollback(%s);", by_id);
}

/*
 * Of the plan's migrations: those that the framework itself has taken back, and
 * those that are not the newest of their line.  What it has taken back, and how
 * it did that, does not count among the newer ones.
 */
void
line_check(RollbackPlan *plan, List **conflicts)
{
	find(plan, "SELECT m.id, m.label, r.id, r.label, m.framework"
		 " FROM safemig.migration_log m"
		 " JOIN safemig.migration_log r ON r.id OPERATOR(pg_catalog.=) m.reverted_by"
		 " WHERE m.id OPERATOR(pg_catalog.=) ANY ($1)"
		 " AND r.state OPERATOR(pg_catalog.<>) 'rolled_back'"
		 " AND r.id OPERATOR(pg_catalog.<>) ALL ($1) ORDER BY m.id",
		 report_reverted, conflicts);
	find(plan, "SELECT m.id, m.label, n.id, n.label, m.framework"
		 " FROM safemig.migration_log m"
		 " JOIN safemig.migration_log n ON n.line OPERATOR(pg_catalog.=) m.line"
		 " AND n.framework OPERATOR(pg_catalog.=) m.framework"
		 " AND n.id OPERATOR(pg_catalog.>) m.id"
		 " WHERE m.id OPERATOR(pg_catalog.=) ANY ($1)"
		 " AND n.state OPERATOR(pg_catalog.<>) 'rolled_back'"
		 " AND n.label NOT LIKE 'revert of %'"
		 " AND n.id OPERATOR(pg_catalog.<>) ALL ($1)"
		 " AND NOT EXISTS (SELECT FROM safemig.migration_log r"
		 "  WHERE r.id OPERATOR(pg_catalog.=) n.reverted_by"
		 "  AND r.state OPERATOR(pg_catalog.<>) 'rolled_back')"
		 " AND NOT EXISTS (SELECT FROM safemig.migration_log r"
		 "  WHERE r.reverted_by OPERATOR(pg_catalog.=) n.id)"
		 " ORDER BY n.id",
		 report_newer, conflicts);
	plan_check_rows_newer(plan, conflicts);
}
