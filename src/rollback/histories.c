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

		if (strcmp(migration->kind, "migration") != 0 || migration->history == NULL ||
			migration->version == NULL || migration->label == NULL)
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
					 psprintf("would still have the row of \"%s\"", rows->label),
					 "It was changed without safemig having seen it. safemig_rollback(..., on_conflict => 'keep') leaves it.")->command =
			psprintf("SELECT * FROM %s;", rows->history);
	}
	PopActiveSnapshot();
}

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

	if (strcmp(migration->kind, "migration") != 0 || migration->history == NULL ||
		migration->version == NULL || migration->label == NULL)
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
