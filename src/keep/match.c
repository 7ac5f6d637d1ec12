/*-------------------------------------------------------------------------
 *
 * match.c
 *	  Finds the rows that a migration wrote in the table as it is now.
 *
 * Few rows of a large table are looked up in the index of the key.  Otherwise
 * both sides are hashed by what a row is known by (its key, or all that it
 * holds), sorted, and merged; rows that are there several times are counted.
 * What comes out is sorted once more, by the place in the table: whoever writes
 * the rows then goes through the table, and mostly through the copy, once.
 *
 * A statement leaves the rows that it writes in the order in which they are
 * kept.  So both sides are first walked through in step, and only the rows that
 * did not meet each other there are sorted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplesort.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "keep/writes.h"
#include "progress.h"

/* A lookup costs about as much as reading this many pages in a scan. */
#define LOOKUP_PAGES	4

/* So many rows of the table are passed over for one that is kept. */
#define STEP_ROWS	100

TupleDesc
match_descriptor(void)
{
	TupleDesc	desc = CreateTemplateTupleDesc(2);

	TupleDescInitEntry(desc, 1, "kept", TIDOID, -1, 0);
	TupleDescInitEntry(desc, 2, "present", TIDOID, -1, 0);
	return desc;
}

typedef struct Matching
{
	Relation	rel;
	Relation	copy;
	WritesShape *shape;
	TupleTableSlot *pair;
	Tuplestorestate *store;		/* in the order of the table ... */
	Tuplesortstate *sort;		/* ... and what does not come in that order */
} Matching;

static void
begin_matches(Matching *matching)
{
	TupleDesc	desc = match_descriptor();
	AttrNumber	column = 2;
	Oid			less = TIDLessOperator;
	Oid			collation = InvalidOid;
	bool		nulls_first = false;

	matching->pair = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	matching->sort = tuplesort_begin_heap(desc, 1, &column, &less, &collation,
										  &nulls_first, work_mem, NULL, TUPLESORT_NONE);
	matching->store = tuplestore_begin_heap(false, false, work_mem);
}

static TupleTableSlot *
form_match(Matching *matching, ItemPointer kept, ItemPointer present)
{
	TupleTableSlot *slot = matching->pair;

	ExecClearTuple(slot);
	slot->tts_values[0] = PointerGetDatum(kept);
	slot->tts_values[1] = PointerGetDatum(present);
	slot->tts_isnull[0] = false;
	slot->tts_isnull[1] = present == NULL;
	ExecStoreVirtualTuple(slot);
	return slot;
}

static void
put_match(Matching *matching, ItemPointer kept, ItemPointer present)
{
	tuplesort_puttupleslot(matching->sort, form_match(matching, kept, present));
}

static Tuplestorestate *
end_matches(Matching *matching)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(matching->pair->tts_tupleDescriptor,
													&TTSOpsMinimalTuple);

	tuplesort_performsort(matching->sort);
	while (tuplesort_gettupleslot(matching->sort, true, false, slot, NULL))
		tuplestore_puttupleslot(matching->store, slot);
	ExecDropSingleTupleTableSlot(slot);
	ExecDropSingleTupleTableSlot(matching->pair);
	tuplesort_end(matching->sort);
	return matching->store;
}

/* A row that was deleted is not to be found. */
static bool
is_to_be_found(TupleTableSlot *kept)
{
	bool		isnull;

	return DatumGetChar(slot_getattr(kept, WRITTEN_ACTION, &isnull)) != ROW_DELETED;
}

/* Calls what for each row of the copy that is to be found. */
static void
each_kept(Matching *matching, MemoryContext context,
		  void (*what) (Matching *matching, TupleTableSlot *kept, void *arg), void *arg)
{
	TupleTableSlot *slot = table_slot_create(matching->copy, NULL);
	Snapshot	snapshot;
	TableScanDesc scan = plain_scan_begin(matching->copy, &snapshot);
	Progress	progress;

	progress_begin_scan(&progress, PROGRESS_READING, matching->copy);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		CHECK_FOR_INTERRUPTS();
		progress_row(&progress, slot);
		if (is_to_be_found(slot))
			what(matching, slot, arg);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	progress_end(&progress);
	plain_scan_end(scan, snapshot);
	ExecDropSingleTupleTableSlot(slot);
}

/* ---- by the index ---- */

static bool
index_is_of_key(Relation index, const WritesShape *shape)
{
	Form_pg_index form = index->rd_index;

	if (!form->indisunique || !form->indimmediate || !form->indisvalid ||
		index->rd_rel->relam != BTREE_AM_OID ||
		form->indnkeyatts != shape->nkeys ||
		RelationGetIndexPredicate(index) != NIL)
		return false;
	for (int i = 0; i < shape->nkeys; i++)
	{
		if (form->indkey.values[i] != shape->keys[i].attnum)
			return false;
	}
	return true;
}

/* The index of the key, opened; or NULL. */
static Relation
open_key_index(Relation rel, const WritesShape *shape)
{
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (index_is_of_key(index, shape))
			return index;
		index_close(index, AccessShareLock);
	}
	return NULL;
}

typedef struct Lookup
{
	Relation	index;
	IndexScanDesc scan;
	MemoryContext context;		/* of the scan, which allocates as it goes on */
	TupleTableSlot *slot;
	ScanKeyData keys[INDEX_MAX_KEYS];
} Lookup;

static void
lookup_init_key(Lookup *lookup, int number)
{
	Oid			family = lookup->index->rd_opfamily[number];
	Oid			type = lookup->index->rd_opcintype[number];
	Oid			operator = get_opfamily_member(family, type, type,
											   BTEqualStrategyNumber);

	if (!OidIsValid(operator))
		elog(ERROR, "operator family %u has no equality", family);
	ScanKeyEntryInitialize(&lookup->keys[number], 0, number + 1,
						   BTEqualStrategyNumber, InvalidOid,
						   lookup->index->rd_indcollation[number],
						   get_opcode(operator), (Datum) 0);
}

static void
look_up(Matching *matching, TupleTableSlot *kept, void *arg)
{
	Lookup	   *lookup = arg;
	MemoryContext old;
	bool		found;
	bool		isnull;

	for (int i = 0; i < matching->shape->nkeys; i++)
		lookup->keys[i].sk_argument =
			stored_to_value(&matching->shape->keys[i],
							slot_getattr(kept, WRITTEN_FIXED + 1 + i, &isnull));
	old = MemoryContextSwitchTo(lookup->context);
	index_rescan(lookup->scan, lookup->keys, matching->shape->nkeys, NULL, 0);
	found = index_getnext_slot(lookup->scan, ForwardScanDirection, lookup->slot);
	MemoryContextSwitchTo(old);
	put_match(matching, &kept->tts_tid, found ? &lookup->slot->tts_tid : NULL);
	ExecClearTuple(lookup->slot);
}

static void
match_by_index(Matching *matching, Relation index, MemoryContext context)
{
	Lookup		lookup = {.index = index,.context = CurrentMemoryContext};
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());

	for (int i = 0; i < matching->shape->nkeys; i++)
		lookup_init_key(&lookup, i);
	lookup.slot = table_slot_create(matching->rel, NULL);
	lookup.scan = begin_index_scan(matching->rel, index, snapshot,
								   matching->shape->nkeys);
	each_kept(matching, context, look_up, &lookup);
	index_endscan(lookup.scan);
	ExecDropSingleTupleTableSlot(lookup.slot);
	UnregisterSnapshot(snapshot);
}

/* ---- by merging ---- */

/* What a row of the table is known by, in the form of the copy. */
static RowHash
hash_of_row(const Matching *matching, TupleTableSlot *slot)
{
	WritesShape *shape = matching->shape;
	TupleDesc	copy_desc = RelationGetDescr(matching->copy);
	StoredColumn *columns = shape->nkeys > 0 ? shape->keys : shape->row.columns;
	int			ncolumns = shape->nkeys > 0 ? shape->nkeys : shape->row.ncolumns;
	RowHash		hash = row_hash_begin();

	for (int i = 0; i < ncolumns; i++)
	{
		Form_pg_attribute att = shape->nkeys > 0 ?
		TupleDescAttr(copy_desc, WRITTEN_FIXED + i) : TupleDescAttr(shape->row_desc, i);
		bool		isnull;
		Datum		value;

		if (shape->nkeys == 0 && shape->passing[i])
			continue;
		value = slot_getattr(slot, columns[i].attnum, &isnull);
		if (!isnull)
			value = stored_from_value(&columns[i], value);
		row_hash_add(&hash, att, value, isnull);
	}
	return hash;
}

static RowHash
hash_of_kept(const Matching *matching, TupleTableSlot *kept)
{
	const WritesShape *shape = matching->shape;
	RowHash		hash = row_hash_begin();
	bool		isnull;

	if (shape->nkeys == 0)
	{
		hash.first = (uint64) DatumGetInt64(slot_getattr(kept, WRITTEN_FIRST, &isnull));
		hash.second = (uint64) DatumGetInt64(slot_getattr(kept, WRITTEN_SECOND, &isnull));
		return hash;
	}
	for (int i = 0; i < shape->nkeys; i++)
	{
		Datum		value = slot_getattr(kept, WRITTEN_FIXED + 1 + i, &isnull);

		row_hash_add(&hash, TupleDescAttr(kept->tts_tupleDescriptor, WRITTEN_FIXED + i),
					 value, isnull);
	}
	return hash;
}

/* One side: the table, or the copy without the rows that were deleted. */
typedef struct Side
{
	Relation	rel;
	RowHash		(*hash_of) (const Matching *matching, TupleTableSlot *slot);
	bool		(*wanted) (TupleTableSlot *slot);
	MemoryContext context;		/* of one row */
	TupleTableSlot *slot;
	Snapshot	snapshot;
	TableScanDesc scan;
	Progress   *progress;		/* of the scan, where it is shown */
	RowHash		hash;			/* of the row that it stands at ... */
	bool		there;			/* ... if there is one */
	HashSort   *rest;			/* rows that were passed over */
	HashSortRow row;			/* of these, once they are sorted */
} Side;

static void
side_next(Side *side, const Matching *matching)
{
	MemoryContext old = MemoryContextSwitchTo(side->context);

	MemoryContextReset(side->context);
	do
	{
		CHECK_FOR_INTERRUPTS();
		side->there = table_scan_getnextslot(side->scan, ForwardScanDirection, side->slot);
	} while (side->there && side->wanted && !side->wanted(side->slot));
	if (side->there)
		side->hash = side->hash_of(matching, side->slot);
	if (side->there && side->progress)
		progress_row(side->progress, side->slot);
	MemoryContextSwitchTo(old);
}

static void
side_begin(Side *side, const Matching *matching, MemoryContext context)
{
	side->context = context;
	side->slot = table_slot_create(side->rel, NULL);
	side->scan = plain_scan_begin(side->rel, &side->snapshot);
	side->rest = hash_sort_begin();
	if (side->progress)
		progress_begin_scan(side->progress, PROGRESS_READING, side->rel);
	side_next(side, matching);
}

static void
side_pass_over(Side *side, const Matching *matching)
{
	hash_sort_put(side->rest, side->hash, &side->slot->tts_tid);
	side_next(side, matching);
}

/* The scan is over: on to what was passed over, in order. */
static void
side_turn_to_rest(Side *side, const Matching *matching)
{
	while (side->there)
		side_pass_over(side, matching);
	if (side->progress)
		progress_end(side->progress);
	plain_scan_end(side->scan, side->snapshot);
	ExecDropSingleTupleTableSlot(side->slot);
	hash_sort_perform(side->rest);
	side->there = hash_sort_next(side->rest, &side->row);
}

/* Until the first rows meet, all of the table may have to be passed over. */
static void
match_in_step(Matching *matching, Side *kept, Side *table)
{
	bool		met = false;
	int			passed = 0;

	while (kept->there && table->there)
	{
		if (kept->hash.first == table->hash.first &&
			kept->hash.second == table->hash.second)
		{
			tuplestore_puttupleslot(matching->store,
									form_match(matching, &kept->slot->tts_tid,
											   &table->slot->tts_tid));
			side_next(kept, matching);
			side_next(table, matching);
			met = true;
			passed = 0;
		}
		else if (!met || passed++ < STEP_ROWS)
			side_pass_over(table, matching);
		else
			side_pass_over(kept, matching);
	}
}

static void
match_by_merging(Matching *matching, MemoryContext context)
{
	Side		kept = {.rel = matching->copy,.hash_of = hash_of_kept,.wanted = is_to_be_found};
	Progress	progress;
	Side		table = {.rel = matching->rel,.hash_of = hash_of_row,.progress = &progress};

	side_begin(&kept, matching, context);
	side_begin(&table, matching, context);
	match_in_step(matching, &kept, &table);
	side_turn_to_rest(&kept, matching);
	side_turn_to_rest(&table, matching);
	while (kept.there)
	{
		int			order = table.there ?
		hash_sort_compare(&table.row, &kept.row) : 1;

		CHECK_FOR_INTERRUPTS();
		if (order >= 0)
		{
			put_match(matching, &kept.row.tid, order == 0 ? &table.row.tid : NULL);
			kept.there = hash_sort_next(kept.rest, &kept.row);
		}
		if (order <= 0)
			table.there = hash_sort_next(table.rest, &table.row);
	}
	hash_sort_end(kept.rest);
	hash_sort_end(table.rest);
}

/* ---- either ---- */

Tuplestorestate *
writes_match(Relation rel, Relation copy, WritesShape *shape, const Kept *kept)
{
	Matching	matching = {rel, copy, shape};
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "safemig matching",
												  ALLOCSET_DEFAULT_SIZES);
	Relation	index = NULL;

	begin_matches(&matching);
	if (shape->nkeys > 0 &&
		kept->rows < RelationGetNumberOfBlocks(rel) / LOOKUP_PAGES)
		index = open_key_index(rel, shape);
	if (index)
	{
		match_by_index(&matching, index, context);
		index_close(index, NoLock);
	}
	else
		match_by_merging(&matching, context);
	MemoryContextDelete(context);
	return end_matches(&matching);
}
