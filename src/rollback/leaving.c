/*-------------------------------------------------------------------------
 *
 * leaving.c
 *	  Rows that go with a table that the migration made, out of a tree that stays.
 *
 * Whoever writes to a partitioned table does not know which partition the rows
 * come into.  One that the migration made goes with them, so they are missing
 * from the tree afterwards; the redo brings them back.  That is told.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "history/history.h"
#include "keep/column.h"
#include "rollback/rollback.h"

typedef struct Writing
{
	TransactionId *xids;		/* of the migration, sorted */
	int			nxids;
} Writing;

/* The transactions of the plan's migrations; false if not all are known. */
static bool
find_writers(RollbackPlan *plan, Writing *writing)
{
	MemoryContext context = CurrentMemoryContext;
	ArrayBuildState *ids = NULL;
	Oid			types[2] = {INT8ARRAYOID, TEXTOID};
	Datum		args[2];
	bool		known = true;
	ListCell   *lc;

	foreach(lc, plan->migrations)
	{
		const Migration *migration = lfirst(lc);

		ids = accumArrayResult(ids, Int64GetDatum(migration->id), false, INT8OID, context);
		ids = accumArrayResult(ids, Int64GetDatum(migration->effective), false, INT8OID, context);
	}
	args[0] = makeArrayResult(ids, context);
	args[1] = CStringGetTextDatum(history_incarnation());
	SPI_connect();
	if (SPI_execute_with_args("SELECT m.xid::pg_catalog.int8 FROM safemig.migration_log m"
							  " WHERE m.id OPERATOR(pg_catalog.=) ANY ($1) AND m.incarnation OPERATOR(pg_catalog.=) $2"
							  " UNION SELECT pg_catalog.unnest(w.xids) FROM safemig.writer_log w"
							  " WHERE w.migration OPERATOR(pg_catalog.=) ANY ($1)"
							  " UNION ALL SELECT NULL WHERE EXISTS (SELECT FROM safemig.migration_log m"
							  "  WHERE m.id OPERATOR(pg_catalog.=) ANY ($1) AND m.incarnation OPERATOR(pg_catalog.<>) $2)",
							  2, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read migration_log");
	writing->xids = MemoryContextAlloc(context, (SPI_processed + 1) * sizeof(TransactionId));
	writing->nxids = 0;
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Datum		xid = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);

		known &= !isnull;
		if (!isnull)
			writing->xids[writing->nxids++] = (TransactionId) DatumGetInt64(xid);
	}
	SPI_finish();
	qsort(writing->xids, writing->nxids, sizeof(TransactionId), xidComparator);
	return known;
}

/* How many rows others wrote; no more than one is looked for if that is enough. */
static int64
count_rows(Oid relid, const Writing *writing, bool one)
{
	Relation	rel = table_open(relid, NoLock);
	int64		rows = 0;

	if (RELKIND_HAS_STORAGE(rel->rd_rel->relkind) && rel->rd_rel->relam == HEAP_TABLE_AM_OID)
	{
		TupleTableSlot *slot = table_slot_create(rel, NULL);
		Snapshot	snapshot;
		TableScanDesc scan = plain_scan_begin(rel, &snapshot);

		while (!(one && rows > 0) && table_scan_getnextslot(scan, ForwardScanDirection, slot))
		{
			bool		isnull;
			TransactionId xmin = DatumGetTransactionId(slot_getsysattr(slot, MinTransactionIdAttributeNumber,
																	   &isnull));

			CHECK_FOR_INTERRUPTS();
			if (bsearch(&xmin, writing->xids, writing->nxids, sizeof(TransactionId), xidComparator) == NULL)
				rows++;
		}
		plain_scan_end(scan, snapshot);
		ExecDropSingleTupleTableSlot(slot);
	}
	table_close(rel, NoLock);
	return rows;
}

/* The parent that stays while the relation goes, or InvalidOid. */
static Oid
parent_that_stays(Oid relid, List *going)
{
	ListCell   *lc;

	foreach(lc, relation_parents(relid))
	{
		if (!list_member_oid(going, lfirst_oid(lc)))
			return lfirst_oid(lc);
	}
	return InvalidOid;
}

/* Tables that the plan takes away. */
static List *
going_tables(RollbackPlan *plan)
{
	List	   *before = states_before(plan->commands);
	List	   *going = NIL;
	ListCell   *lc;

	foreach(lc, states_after(plan->commands))
	{
		ObjectState *state = lfirst(lc);
		ObjectAddress address;
		char		relkind;

		if (state->image->address.classId != RelationRelationId ||
			!state_is_to_go(state, before) || !address_find(state->image, &address))
			continue;
		relkind = get_rel_relkind(address.objectId);
		if (relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE)
			going = lappend_oid(going, address.objectId);
	}
	return going;
}

static char *
relation_words(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
}

/*
 * Of Leaving*.  If one row is enough the rows are not counted.  What is locked
 * by somebody else is not waited for, and not told.
 */
List *
plan_leaving(RollbackPlan *plan, bool one)
{
	List	   *going = going_tables(plan);
	List	   *result = NIL;
	Writing		writing;
	bool		asked = false;
	ListCell   *lc;
	ListCell   *inner;

	foreach(lc, going)
	{
		Oid			parent = parent_that_stays(lfirst_oid(lc), going);
		Leaving    *leaving;

		if (!OidIsValid(parent))
			continue;
		if (!asked && !find_writers(plan, &writing))
			return NIL;
		asked = true;
		leaving = palloc0(sizeof(Leaving));
		leaving->table = relation_words(lfirst_oid(lc));
		leaving->parent = relation_words(parent);
		foreach(inner, find_all_inheritors(lfirst_oid(lc), NoLock, NULL))
		{
			if (one && leaving->rows > 0)
				break;
			if (list_member_oid(going, lfirst_oid(inner)) &&
				ConditionalLockRelationOid(lfirst_oid(inner), AccessShareLock))
				leaving->rows += count_rows(lfirst_oid(inner), &writing, one);
		}
		if (leaving->rows > 0)
			result = lappend(result, leaving);
	}
	return result;
}

void
plan_warn_of_leaving(RollbackPlan *plan)
{
	ListCell   *lc;

	foreach(lc, plan_leaving(plan, true))
	{
		const Leaving *leaving = lfirst(lc);

		ereport(WARNING,
				(errmsg("rows that were written since go with table %s, out of %s",
						leaving->table, leaving->parent),
				 errdetail("The migration made the table."),
				 errhint("safemig_redo brings them back.")));
	}
}
