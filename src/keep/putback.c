/*-------------------------------------------------------------------------
 *
 * putback.c
 *	  Makes a table hold the rows of a copy again.
 *
 * The rows of the table and those of the copy are hashed in the form of the
 * copy, sorted, and merged: what is only in the table is deleted, what is only
 * in the copy is inserted, and every other row is left alone.  So no key is
 * needed, and rows that are there several times are counted.  Deletions come
 * first, so that nothing collides in a unique index.
 *
 * The rows are written below the executor: no trigger, no rule and no policy
 * sees it, an identity takes the value that was kept, and foreign keys do
 * nothing by themselves: they are checked when all tables are done
 * (references.c).  Expressions of indexes and generated columns run as the
 * owner of the table.  CHECKs need not be looked at, since these rows were in
 * this table, which has the constraints that it had then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "keep/rows.h"
#include "point.h"
#include "progress.h"

/* Places of rows, in the order in which they were added. */
typedef struct Places
{
	ItemPointerData *tids;
	int64		n;
	int64		size;
} Places;

static void
places_add(Places *places, ItemPointer tid)
{
	if (places->n == places->size)
	{
		places->size = Max(1024, places->size * 2);
		places->tids = places->tids ?
			repalloc_huge(places->tids, places->size * sizeof(ItemPointerData)) :
			MemoryContextAllocHuge(CurrentMemoryContext,
								   places->size * sizeof(ItemPointerData));
	}
	places->tids[places->n++] = *tid;
}

/* ---- the rows of one side, by what they hold ---- */

/* The row of the table in the form of the copy. */
static RowHash
hash_in_copy_form(RowShape *shape, TupleDesc copy_desc, TupleTableSlot *slot,
				  Datum *values, bool *nulls)
{
	for (int i = 0; i < shape->ncolumns; i++)
	{
		values[i] = slot_getattr(slot, shape->columns[i].attnum, &nulls[i]);
		if (!nulls[i])
			values[i] = stored_from_value(&shape->columns[i], values[i]);
	}
	return row_hash(copy_desc, values, nulls);
}

/*
 * Adds all rows of rel to sort, or, if that is NULL, only to the proof.
 * shape is NULL for the copy itself.
 */
static void
hash_rows(Relation rel, RowShape *shape, TupleDesc copy_desc,
		  HashSort *sort, RowsProof *proof)
{
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "safemig rows",
												  ALLOCSET_DEFAULT_SIZES);
	Datum	   *values = palloc0(Max(copy_desc->natts, 1) * sizeof(Datum));
	bool	   *nulls = palloc0(Max(copy_desc->natts, 1) * sizeof(bool));
	Snapshot	snapshot;
	TableScanDesc scan = plain_scan_begin(rel, &snapshot);
	Progress	progress;

	progress_begin_scan(&progress, PROGRESS_READING, rel);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		RowHash		hash;

		CHECK_FOR_INTERRUPTS();
		progress_row(&progress, slot);
		if (shape)
			hash = hash_in_copy_form(shape, copy_desc, slot, values, nulls);
		else
		{
			slot_getallattrs(slot);
			hash = row_hash(copy_desc, slot->tts_values, slot->tts_isnull);
		}
		MemoryContextSwitchTo(old);
		rows_proof_add(proof, hash);
		if (sort)
			hash_sort_put(sort, hash, &slot->tts_tid);
		MemoryContextReset(context);
	}
	progress_end(&progress);
	plain_scan_end(scan, snapshot);
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextDelete(context);
}

/* ---- the difference ---- */

/* One side of the merge: the row that comes next. */
typedef struct Side
{
	HashSort   *sort;
	HashSortRow row;
	bool		there;
} Side;

static void
side_next(Side *side)
{
	side->there = hash_sort_next(side->sort, &side->row);
}

static int
side_compare(const Side *a, const Side *b)
{
	if (!a->there || !b->there)
		return a->there ? -1 : 1;
	return hash_sort_compare(&a->row, &b->row);
}

static void
merge(Side *table, Side *copy, Places *gone, Places *missing)
{
	side_next(table);
	side_next(copy);
	while (table->there || copy->there)
	{
		int			order = side_compare(table, copy);

		CHECK_FOR_INTERRUPTS();
		if (order < 0)
			places_add(gone, &table->row.tid);
		else if (order > 0)
			places_add(missing, &copy->row.tid);
		if (order <= 0)
			side_next(table);
		if (order >= 0)
			side_next(copy);
	}
}

static void
find_difference(Relation rel, Relation copy, RowShape *shape, Places *gone,
				Places *missing)
{
	Side		table = {hash_sort_begin()};
	Side		kept = {hash_sort_begin()};
	RowsProof	proof = {0};

	hash_rows(rel, shape, RelationGetDescr(copy), table.sort, &proof);
	hash_rows(copy, NULL, RelationGetDescr(copy), kept.sort, &proof);
	hash_sort_perform(table.sort);
	hash_sort_perform(kept.sort);
	merge(&table, &kept, gone, missing);
	hash_sort_end(table.sort);
	hash_sort_end(kept.sort);
}

/* ---- writing ---- */

static void
delete_rows(Relation rel, Places *places)
{
	Snapshot	snapshot;
	Progress	progress;

	if (places->n == 0)
		return;
	progress_begin(&progress, PROGRESS_TAKING_AWAY, rel, places->n);
	CheckCmdReplicaIdentity(rel, CMD_DELETE);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	for (int64 i = 0; i < places->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		simple_table_tuple_delete(rel, &places->tids[i], snapshot);
		progress_count(&progress);
	}
	progress_end(&progress);
	UnregisterSnapshot(snapshot);
	CommandCounterIncrement();
}

static void
fill_slot(TupleTableSlot *slot, RowShape *shape, TupleTableSlot *kept)
{
	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, slot->tts_tupleDescriptor->natts * sizeof(bool));
	for (int i = 0; i < shape->ncolumns; i++)
	{
		StoredColumn *column = &shape->columns[i];
		bool		isnull;
		Datum		value = slot_getattr(kept, i + 1, &isnull);

		if (isnull)
			continue;
		slot->tts_isnull[column->attnum - 1] = false;
		slot->tts_values[column->attnum - 1] = stored_to_value(column, value);
	}
	ExecStoreVirtualTuple(slot);
}

static void
insert_row(ResultRelInfo *target, EState *estate, TupleTableSlot *slot,
		   BulkInsertState bulk)
{
	Relation	rel = target->ri_RelationDesc;
	TupleConstr *constraints = RelationGetDescr(rel)->constr;

	if (constraints && constraints->has_generated_stored)
		ExecComputeStoredGenerated(target, estate, slot, CMD_INSERT);
	slot->tts_tableOid = RelationGetRelid(rel);
	table_tuple_insert(rel, slot, GetCurrentCommandId(true), 0, bulk);
	if (target->ri_NumIndices > 0)
		list_free(insert_index_tuples(target, slot, estate));
}

static void
insert_rows(Relation rel, Relation copy, RowShape *shape, Places *places)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *target = makeNode(ResultRelInfo);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	TupleTableSlot *kept = table_slot_create(copy, NULL);
	BulkInsertState bulk = GetBulkInsertState();
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	Progress	progress;

	progress_begin(&progress, PROGRESS_PUTTING_BACK, rel, places->n);
	InitResultRelInfo(target, rel, 1, NULL, 0);
	ExecOpenIndices(target, false);
	for (int64 i = 0; i < places->n; i++)
	{
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		ResetPerTupleExprContext(estate);
		old = MemoryContextSwitchTo(GetPerTupleMemoryContext(estate));
		if (!table_tuple_fetch_row_version(copy, &places->tids[i], snapshot, kept))
			elog(ERROR, "a kept row of \"%s\" has vanished", RelationGetRelationName(rel));
		fill_slot(slot, shape, kept);
		insert_row(target, estate, slot, bulk);
		MemoryContextSwitchTo(old);
		progress_count(&progress);
	}
	progress_end(&progress);
	ExecCloseIndices(target);
	UnregisterSnapshot(snapshot);
	FreeBulkInsertState(bulk);
	ExecDropSingleTupleTableSlot(slot);
	ExecDropSingleTupleTableSlot(kept);
	FreeExecutorState(estate);
	CommandCounterIncrement();
}

/* ---- the whole ---- */

/* The table now holds what was kept, or nothing has happened. */
static void
prove_table(Relation rel, Relation copy, RowShape *shape, const Kept *kept)
{
	RowsProof	proof = {0};

	hash_rows(rel, shape, RelationGetDescr(copy), NULL, &proof);
	if (proof.rows != kept->rows || strcmp(rows_checksum(&proof), kept->checksum) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("the rows of %s %s did not come back as they were kept",
						kept->object_type, kept->identity),
				 errdetail("It has %lld rows with checksum %s; %lld with %s were kept.",
						   (long long) proof.rows, rows_checksum(&proof),
						   (long long) kept->rows, kept->checksum)));
}

void
rows_put_back(Relation rel, const Kept *kept, int64 *inserted, int64 *deleted)
{
	Relation	copy = rows_open_copy(kept);
	RowShape	shape;
	Places		gone = {0};
	Places		missing = {0};
	Frame		frame;

	rows_shape_of_copy(rel, copy, kept, &shape);
	frame_become(&frame, rel->rd_rel->relowner);
	frame_lend_for_rows(&frame, rel->rd_rel->relowner, rel);
	find_difference(rel, copy, &shape, &gone, &missing);
	SAFEMIG_POINT("putback.compared");
	delete_rows(rel, &gone);
	SAFEMIG_POINT("putback.deleted");
	insert_rows(rel, copy, &shape, &missing);
	SAFEMIG_POINT("putback.inserted");
	prove_table(rel, copy, &shape, kept);
	frame_unpin(&frame);
	table_close(copy, AccessShareLock);
	*deleted = gone.n;
	*inserted = missing.n;
}
