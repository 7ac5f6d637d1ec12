/*-------------------------------------------------------------------------
 *
 * hashsort.c
 *	  Rows in the order of what they hold: hashes with places, sorted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/tuplesort.h"

#include "compat.h"
#include "keep/rows.h"

struct HashSort
{
	Tuplesortstate *sort;
	TupleTableSlot *in;
	TupleTableSlot *out;
};

static TupleDesc
sorted_descriptor(void)
{
	TupleDesc	desc = CreateTemplateTupleDesc(3);

	TupleDescInitEntry(desc, 1, "first", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 2, "second", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 3, "place", TIDOID, -1, 0);
	return desc;
}

HashSort *
hash_sort_begin(void)
{
	HashSort   *sort = palloc(sizeof(HashSort));
	TupleDesc	desc = sorted_descriptor();
	AttrNumber	columns[2] = {1, 2};
	Oid			operators[2] = {Int8LessOperator, Int8LessOperator};
	Oid			collations[2] = {InvalidOid, InvalidOid};
	bool		nulls_first[2] = {false, false};

	sort->sort = tuplesort_begin_heap(desc, 2, columns, operators, collations,
									  nulls_first, work_mem, NULL, TUPLESORT_NONE);
	sort->in = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	sort->out = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	return sort;
}

void
hash_sort_put(HashSort *sort, RowHash hash, ItemPointer tid)
{
	TupleTableSlot *slot = sort->in;

	ExecClearTuple(slot);
	slot->tts_values[0] = Int64GetDatum((int64) hash.first);
	slot->tts_values[1] = Int64GetDatum((int64) hash.second);
	slot->tts_values[2] = PointerGetDatum(tid);
	memset(slot->tts_isnull, 0, 3 * sizeof(bool));
	ExecStoreVirtualTuple(slot);
	tuplesort_puttupleslot(sort->sort, slot);
}

void
hash_sort_perform(HashSort *sort)
{
	tuplesort_performsort(sort->sort);
}

bool
hash_sort_next(HashSort *sort, HashSortRow *row)
{
	bool		isnull;

	if (!tuplesort_gettupleslot(sort->sort, true, false, sort->out, NULL))
		return false;
	row->first = DatumGetInt64(slot_getattr(sort->out, 1, &isnull));
	row->second = DatumGetInt64(slot_getattr(sort->out, 2, &isnull));
	row->tid = *(ItemPointer) DatumGetPointer(slot_getattr(sort->out, 3, &isnull));
	return true;
}

int
hash_sort_compare(const HashSortRow *a, const HashSortRow *b)
{
	if (a->first != b->first)
		return a->first < b->first ? -1 : 1;
	if (a->second != b->second)
		return a->second < b->second ? -1 : 1;
	return 0;
}

void
hash_sort_end(HashSort *sort)
{
	ExecDropSingleTupleTableSlot(sort->in);
	ExecDropSingleTupleTableSlot(sort->out);
	tuplesort_end(sort->sort);
	pfree(sort);
}
