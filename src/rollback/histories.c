/*-------------------------------------------------------------------------
 *
 * histories.c
 *	  Rows by which frameworks know the migrations of a plan.
 *
 * A row of a table without any key is known by what it holds.  Where that has
 * been changed unseen, it cannot be told from one that is gone; but a rollback
 * that leaves the migration's name in the history is none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "history/framework.h"
#include "rollback/rollback.h"

/* The rows under a migration's name, before the rollback. */
typedef struct NamedRows
{
	const char *history;
	const char *label;
	List	   *tids;			/* of ItemPointer */
} NamedRows;

/* Has a framework said of it that it is done? */
static bool
is_by_row(const Migration *migration)
{
	return strcmp(migration->kind, "migration") == 0 && migration->history &&
		migration->version && migration->label;
}

/* ---- rows that would stay ---- */

static List *
rows_called(const char *history, const char *label)
{
	Oid			relid = history_relid(history);
	FrameworkTable table;
	const Framework *framework;
	Relation	rel;
	List	   *tids = NIL;
	ListCell   *lc;

	if (!OidIsValid(relid) || !ConditionalLockRelationOid(relid, AccessShareLock))
		return NIL;
	framework = framework_of(relid, &table);
	rel = try_table_open(relid, NoLock);
	if (rel == NULL)
		return NIL;
	if (framework && table == FRAMEWORK_HISTORY && RelationGetIndexList(rel) == NIL)
	{
		foreach(lc, framework_read_rows(framework, rel))
		{
			FoundRow   *found = lfirst(lc);

			if (found->row.applied && strcmp(found->row.label, label) == 0)
				tids = lappend(tids, &found->tid);
		}
	}
	table_close(rel, NoLock);
	return tids;
}

/* Of NamedRows* */
List *
plan_named_rows(const RollbackPlan *plan)
{
	List	   *named = NIL;
	ListCell   *lc;

	foreach(lc, plan->migrations)
	{
		const Migration *migration = lfirst(lc);
		NamedRows  *rows = palloc0(sizeof(NamedRows));

		if (!is_by_row(migration))
			continue;
		rows->history = migration->history;
		rows->label = migration->label;
		rows->tids = rows_called(rows->history, rows->label);
		if (rows->tids != NIL)
			named = lappend(named, rows);
	}
	return named;
}

static bool
are_the_same(List *a, List *b)
{
	ListCell   *x;
	ListCell   *y;

	if (list_length(a) != list_length(b))
		return false;
	forboth(x, a, y, b)
	{
		if (!ItemPointerEquals(lfirst(x), lfirst(y)))
			return false;
	}
	return true;
}

/* With the steps done: those that nothing has been done to. */
void
named_rows_check(List *named, List **conflicts)
{
	ListCell   *lc;

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(lc, named)
	{
		const NamedRows *rows = lfirst(lc);

		if (!are_the_same(rows->tids, rows_called(rows->history, rows->label)))
			continue;
		add_conflict(conflicts, ERRCODE_SAFEMIG_CONFLICT, pstrdup(rows->history),
					 psprintf(said("would still have the row of \"%s\""), rows->label),
					 said("It was changed without safemig having seen it. safemig_rollback(..., on_conflict => 'keep') leaves it."))->command =
			psprintf("SELECT * FROM %s;", rows->history);
	}
	PopActiveSnapshot();
}

/* ---- rows that are newer ---- */

static bool
is_of_plan(const RollbackPlan *plan, const HistoryRow *row)
{
	ListCell   *lc;

	foreach(lc, plan->migrations)
	{
		const Migration *migration = lfirst(lc);

		if (migration->history && strcmp(migration->history, row->history) == 0 &&
			migration->label && strcmp(migration->label, row->label) == 0)
			return true;
	}
	return false;
}

static void
check_rows_newer(const RollbackPlan *plan, const Migration *migration,
				 const Framework *framework, List *rows, List **conflicts)
{
	const FoundRow *own = NULL;
	ListCell   *lc;

	foreach(lc, rows)
	{
		const FoundRow *found = lfirst(lc);

		if (found->row.applied && strcmp(found->row.label, migration->label) == 0 &&
			(own == NULL || TransactionIdPrecedes(own->xmin, found->xmin)))
			own = found;
	}
	foreach(lc, own && own->row.line ? rows : NIL)
	{
		const FoundRow *found = lfirst(lc);

		if (!found->row.applied || strcmp(found->row.line, own->row.line) != 0 ||
			!TransactionIdIsNormal(own->xmin) || !TransactionIdFollows(found->xmin, own->xmin) ||
			is_of_plan(plan, &found->row) || framework_row_is_recorded(framework, &found->row))
			continue;
		add_conflict(conflicts, ERRCODE_SAFEMIG_LATER,
					 psprintf(said("row \"%s\" of %s"), found->row.label, migration->history),
					 psprintf(said("is newer than migration %lld \"%s\", and the order of migrations is binding for %s"),
							  (long long) migration->id, migration->label, framework->name),
					 psprintf(said("Nothing is recorded of it: %s has to take it back itself."), framework->name));
	}
}

/*
 * Migrations whose order is binding do not go while rows are there that came
 * after theirs, and of which nothing is recorded: nobody could take them back.
 */
void
plan_check_rows_newer(const RollbackPlan *plan, List **conflicts)
{
	ListCell   *lc;

	foreach(lc, plan->migrations)
	{
		const Migration *migration = lfirst(lc);
		Oid			relid;
		FrameworkTable table;
		const Framework *framework;
		Relation	rel;

		if (!is_by_row(migration))
			continue;
		relid = history_relid(migration->history);
		framework = OidIsValid(relid) ? framework_of(relid, &table) : NULL;
		if (framework == NULL || table != FRAMEWORK_HISTORY || !framework->linear ||
			framework->one_row || !ConditionalLockRelationOid(relid, AccessShareLock))
			continue;
		rel = try_table_open(relid, NoLock);
		if (rel == NULL)
			continue;
		check_rows_newer(plan, migration, framework, framework_read_rows(framework, rel), conflicts);
		table_close(rel, NoLock);
	}
}

/* ---- rows that are gone ---- */

/*
 * A migration that stands, while its framework does not know it any more.
 * NULL: it does, or it has none.
 */
char *
migration_row_is_missing(const Migration *migration)
{
	Oid			relid;
	FrameworkTable table;
	const Framework *framework;
	Relation	rel;
	bool		missing;

	if (!is_by_row(migration))
		return NULL;
	relid = history_relid(migration->history);
	if (!OidIsValid(relid))
		return "is not there: nothing tells its framework of the migration";
	/* who holds it locked may take his time */
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return NULL;
	framework = framework_of(relid, &table);
	rel = try_table_open(relid, NoLock);
	if (rel == NULL)
		return NULL;
	missing = framework && table == FRAMEWORK_HISTORY &&
		framework_row_is_missing(framework, rel, migration->id);
	table_close(rel, NoLock);
	return missing ? psprintf("has no row \"%s\" any more: to %s the migration is pending",
							  migration->label, framework->name) : NULL;
}
