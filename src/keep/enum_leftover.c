/*-------------------------------------------------------------------------
 *
 * enum_leftover.c
 *	  What would go on naming an enum label after it was removed.
 *
 * A label is stored by its OID.  A planner statistic with a removed one can
 * no longer be printed.  And as soon as a type has a label that was added
 * between others, values are compared with the help of the catalog: then a
 * removed label in an index, be it in a dead entry or as a separator, is an
 * error to whoever comes across it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/heap.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_statistic_ext.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "nodes/execnodes.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "keep/enum_use.h"
#include "keep/vault.h"

/* ---- statistics ---- */

static bool
statistics_have_label(LabelSearch *search, HeapTuple tuple, TupleDesc desc)
{
	for (int slot = 0; slot < STATISTIC_NUM_SLOTS; slot++)
	{
		bool		isnull;
		Datum		values = heap_getattr(tuple, Anum_pg_statistic_stavalues1 + slot,
										  desc, &isnull);
		ArrayType  *array;
		Datum	   *elems;
		bool	   *nulls;
		int			nelems;
		int16		typlen;
		bool		typbyval;
		char		typalign;

		if (isnull)
			continue;
		array = DatumGetArrayTypeP(values);
		if (!list_member_oid(search->types, ARR_ELEMTYPE(array)))
			continue;
		get_typlenbyvalalign(ARR_ELEMTYPE(array), &typlen, &typbyval, &typalign);
		deconstruct_array(array, ARR_ELEMTYPE(array), typlen, typbyval, typalign,
						  &elems, &nulls, &nelems);
		for (int i = 0; i < nelems; i++)
			if (!nulls[i] && value_has_label(search, ARR_ELEMTYPE(array), elems[i]))
				return true;
	}
	return false;
}

static void
forget_column_statistics(LabelSearch *search)
{
	Relation	catalog = table_open(StatisticRelationId, RowExclusiveLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_statistic form = (Form_pg_statistic) GETSTRUCT(tuple);

		/* an index column has statistics of its own if it is an expression */
		if (list_member_oid(search->types, get_atttype(form->starelid, form->staattnum)) &&
			statistics_have_label(search, tuple, RelationGetDescr(catalog)))
			CatalogTupleDelete(catalog, &tuple->t_self);
	}
	systable_endscan(scan);
	table_close(catalog, RowExclusiveLock);
}

/* Lists of common values of a statistics object are one sealed value. */
static void
forget_statistics_objects(LabelSearch *search)
{
	List	   *columns = type_columns(search->types);
	ListCell   *lc;

	foreach(lc, columns)
	{
		ObjectAddress *column = lfirst(lc);
		Relation	rel = try_relation_open(column->objectId, NoLock);
		List	   *statistics;
		ListCell   *stat;

		if (rel == NULL)
			continue;
		statistics = RelationGetStatExtList(rel);
		foreach(stat, statistics)
		{
			RemoveStatisticsDataById(lfirst_oid(stat), false);
			RemoveStatisticsDataById(lfirst_oid(stat), true);
		}
		relation_close(rel, NoLock);
		/* the next column of the same table would delete them again */
		CommandCounterIncrement();
	}
}

void
forget_statistics(LabelSearch *search)
{
	forget_column_statistics(search);
	forget_statistics_objects(search);
	CommandCounterIncrement();
}

/* ---- indexes ---- */

static char *
index_name(Oid indexid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(indexid)),
									  get_rel_name(indexid));
}

/* Does the index compare values of the searched types? */
static bool
index_compares(LabelSearch *search, Oid indexid, bool *computes)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(indexid));
	Form_pg_index form;
	bool		result = false;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u", indexid);
	form = (Form_pg_index) GETSTRUCT(tuple);
	*computes = false;
	for (int i = 0; i < form->indnkeyatts; i++)
	{
		if (!list_member_oid(search->types, get_atttype(indexid, i + 1)))
			continue;
		result = true;
		if (form->indkey.values[i] == 0)
			*computes = true;
	}
	ReleaseSysCache(tuple);
	return result;
}

static int
index_natts(Oid indexid)
{
	Relation	index = relation_open(indexid, AccessShareLock);
	int			natts = RelationGetNumberOfAttributes(index);

	relation_close(index, NoLock);
	return natts;
}

/* A value inside of another may be compressed: its bytes tell nothing. */
static bool
index_is_nested(LabelSearch *search, Oid indexid)
{
	int			natts = index_natts(indexid);

	for (AttrNumber attnum = 1; attnum <= natts; attnum++)
	{
		Oid			typid = get_atttype(indexid, attnum);

		if (list_member_oid(search->types, typid) &&
			getBaseType(typid) != search->enumtype)
			return true;
	}
	return false;
}

/* Indexes that have values of the searched types in their keys. */
static List *
comparing_indexes(LabelSearch *search)
{
	Relation	catalog = table_open(IndexRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	List	   *indexes = NIL;
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);
		bool		computes;

		if (form->indrelid < FirstNormalObjectId ||
			get_rel_relkind(form->indexrelid) != RELKIND_INDEX ||
			!index_compares(search, form->indexrelid, &computes))
			continue;
		if (computes)
			search->uses = lappend(search->uses,
								   psprintf("index %s computes values of the type",
											index_name(form->indexrelid)));
		else
			indexes = lappend_oid(indexes, form->indexrelid);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return indexes;
}

/*
 * Do its pages have the label's OID anywhere?  More often than not the answer
 * is no, and then the index need not be built again.  A yes may be chance,
 * which does no harm.
 */
static bool
index_mentions_label(LabelSearch *search, Oid indexid)
{
	Relation	index = relation_open(indexid, AccessShareLock);
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	BlockNumber nblocks = RelationGetNumberOfBlocks(index);
	bool		found = index_is_nested(search, indexid);

	if (index->rd_rel->relam == HASH_AM_OID)
	{
		nblocks = 0;
		found = false;
	}
	for (BlockNumber block = 0; block < nblocks && !found; block++)
	{
		Buffer		buffer = ReadBufferExtended(index, MAIN_FORKNUM, block,
												RBM_NORMAL, strategy);
		const char *page = BufferGetPage(buffer);

		CHECK_FOR_INTERRUPTS();
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		for (int i = SizeOfPageHeaderData; !found && i <= BLCKSZ - (int) sizeof(Oid); i++)
			found = memcmp(page + i, &search->label, sizeof(Oid)) == 0;
		UnlockReleaseBuffer(buffer);
	}
	FreeAccessStrategy(strategy);
	relation_close(index, NoLock);
	return found;
}

/*
 * Transactions that began before may still want rows that the new index has
 * not: PostgreSQL keeps them from using it.
 */
static void
mark_index_new(Relation heap, Oid indexid)
{
	Relation	catalog = table_open(IndexRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(INDEXRELID, ObjectIdGetDatum(indexid));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u", indexid);
	((Form_pg_index) GETSTRUCT(tuple))->indcheckxmin = true;
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	heap_freetuple(tuple);
	table_close(catalog, RowExclusiveLock);
	CacheInvalidateRelcache(heap);
	CommandCounterIncrement();
}

/*
 * REINDEX takes in rows that were deleted a moment ago, by this transaction
 * for one.  CREATE INDEX CONCURRENTLY does not, and so its way of scanning is
 * used, under a lock that lets nobody write.
 */
static void
rebuild_index(Oid indexid)
{
	Oid			heapid = IndexGetRelation(indexid, false);
	Relation	heap = table_open(heapid, ShareLock);
	Relation	index = index_open(indexid, AccessExclusiveLock);
	IndexInfo  *info;
	Frame		frame;

	CheckTableNotInUse(index, "REINDEX INDEX");
	/* another column of it may call a function */
	frame_become(&frame, heap->rd_rel->relowner);
	TransferPredicateLocksToHeapRelation(index);
	info = BuildIndexInfo(index);
	info->ii_Concurrent = true;
	relation_set_new_storage(index);
	index_build(heap, index, info, true, true);
	frame_unpin(&frame);
	index_close(index, NoLock);
	mark_index_new(heap, indexid);
	table_close(heap, NoLock);
}

void
clean_indexes(LabelSearch *search)
{
	List	   *indexes = comparing_indexes(search);
	ListCell   *lc;

	foreach(lc, indexes)
	{
		Oid			indexid = lfirst_oid(lc);

		if (!index_mentions_label(search, indexid))
			continue;
		/* whose snapshot may be older than the lock on the table */
		if (IsolationUsesXactSnapshot())
			search->uses = lappend(search->uses,
								   psprintf("index %s has entries of deleted rows, which only READ COMMITTED can clean up",
											index_name(indexid)));
		else if (search->uses == NIL)
			rebuild_index(indexid);
	}
}
