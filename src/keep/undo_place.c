/*-------------------------------------------------------------------------
 *
 * undo_place.c
 *	  The places in unique indexes that rows come back to.
 *
 * An index that is not deferrable can say beforehand whether a place is free.  In
 * the others rows may be twice for a while; they are asked when all are there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "utils/rel.h"

#include "compat.h"
#include "keep/undo.h"

/* ---- the indexes ---- */

/* The columns of the index; a generated one may come from any. */
static void
add_index_columns(Undo *undo, const IndexInfo *info)
{
	List	   *expressions = list_concat_copy(info->ii_Expressions, info->ii_Predicate);

	for (int i = 0; i < info->ii_NumIndexKeyAttrs; i++)
	{
		AttrNumber	attnum = info->ii_IndexAttrNumbers[i];

		if (attnum > 0)
			undo->unique = bms_add_member(undo->unique,
										  attnum - FirstLowInvalidHeapAttributeNumber);
	}
	pull_varattnos((Node *) expressions, 1, &undo->unique);
}

void
undo_look_at_indexes(Undo *undo)
{
	for (int i = 0; i < undo->target->ri_NumIndices; i++)
	{
		Relation	index = undo->target->ri_IndexRelationDescs[i];
		const IndexInfo *info = undo->target->ri_IndexRelationInfo[i];

		if (!info->ii_Unique && info->ii_ExclusionOps == NULL)
			continue;
		add_index_columns(undo, info);
		if (!info->ii_ReadyForInserts)
			continue;
		if (index->rd_index->indimmediate)
			undo->arbiters = lappend_oid(undo->arbiters, RelationGetRelid(index));
		else
			undo->deferred = lappend_oid(undo->deferred, RelationGetRelid(index));
	}
}

/* Do unique indexes look at a column that changed? */
bool
undo_moves_in_unique_index(Undo *undo, bytea *changed)
{
	TupleDesc	desc = RelationGetDescr(undo->rel);

	for (int i = 0; i < undo->shape.row.ncolumns; i++)
	{
		AttrNumber	attnum = undo->shape.row.columns[i].attnum;

		if (writes_is_changed(changed, i) &&
			bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber, undo->unique))
			return true;
	}
	for (int i = 0; i < desc->natts; i++)
	{
		if (TupleDescAttr(desc, i)->attgenerated &&
			bms_is_member(i + 1 - FirstLowInvalidHeapAttributeNumber, undo->unique))
			return true;
	}
	return false;
}

/* ---- indexes that look only at the end ---- */

/* Does the other row keep this one out?  What an index finds may have to be asked. */
static bool
excludes(Undo *undo, const IndexInfo *info, Relation index, TupleTableSlot *other,
		 const Datum *values)
{
	Datum		others[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	if (info->ii_ExclusionOps == NULL)
		return true;
	GetPerTupleExprContext(undo->estate)->ecxt_scantuple = other;
	FormIndexDatum((IndexInfo *) info, other, undo->estate, others, nulls);
	for (int i = 0; i < info->ii_NumIndexKeyAttrs; i++)
	{
		if (nulls[i] ||
			!DatumGetBool(OidFunctionCall2Coll(info->ii_ExclusionProcs[i],
											   index->rd_indcollation[i],
											   others[i], values[i])))
			return false;
	}
	return true;
}

/* A row, not self, that the index does not let be beside the one in the slot. */
static bool
find_rival(Undo *undo, int number, TupleTableSlot *slot, ItemPointer self,
		   TupleTableSlot *rival)
{
	Relation	index = undo->target->ri_IndexRelationDescs[number];
	IndexInfo  *info = undo->target->ri_IndexRelationInfo[number];
	Oid		   *procs = info->ii_ExclusionOps ? info->ii_ExclusionProcs : info->ii_UniqueProcs;
	uint16	   *strategies = info->ii_ExclusionOps ? info->ii_ExclusionStrats : info->ii_UniqueStrats;
	int			nkeys = info->ii_NumIndexKeyAttrs;
	ExprContext *context = GetPerTupleExprContext(undo->estate);
	ScanKeyData keys[INDEX_MAX_KEYS];
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	IndexScanDesc scan;
	bool		found = false;

	context->ecxt_scantuple = slot;
	if (info->ii_Predicate != NIL &&
		!ExecQual(ExecPrepareQual(info->ii_Predicate, undo->estate), context))
		return false;
	FormIndexDatum(info, slot, undo->estate, values, nulls);
	for (int i = 0; i < nkeys; i++)
	{
		if (nulls[i] && (info->ii_ExclusionOps || !info->ii_NullsNotDistinct))
			return false;
		ScanKeyEntryInitialize(&keys[i], nulls[i] ? SK_ISNULL | SK_SEARCHNULL : 0, i + 1,
							   nulls[i] ? InvalidStrategy : strategies[i], InvalidOid,
							   index->rd_indcollation[i],
							   nulls[i] ? InvalidOid : procs[i], values[i]);
	}
	scan = begin_index_scan(undo->rel, index, undo->snapshot, nkeys);
	index_rescan(scan, keys, nkeys, NULL, 0);
	while (!found && index_getnext_slot(scan, ForwardScanDirection, rival))
		found = !(self && ItemPointerEquals(&rival->tts_tid, self)) &&
			excludes(undo, info, index, rival, values);
	index_endscan(scan);
	return found;
}

bool
undo_find_rival(Undo *undo, TupleTableSlot *slot, ItemPointer self, TupleTableSlot *rival)
{
	for (int i = 0; i < undo->target->ri_NumIndices; i++)
	{
		if (list_member_oid(undo->deferred,
							RelationGetRelid(undo->target->ri_IndexRelationDescs[i])) &&
			find_rival(undo, i, slot, self, rival))
			return true;
	}
	return false;
}

/* Put there by this step, as the migration left it at that point? */
bool
undo_is_recorded(Undo *undo, TupleTableSlot *rival)
{
	bool		should_free;
	HeapTupleHeader header = ExecFetchSlotHeapTuple(rival, false, &should_free)->t_data;
	ListCell   *lc;

	foreach(lc, undo->as_they_were)
	{
		if (ItemPointerEquals(lfirst(lc), &rival->tts_tid))
			return false;
	}
	return !HeapTupleHeaderXminFrozen(header) &&
		TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetRawXmin(header)) &&
		HeapTupleHeaderGetCmin(header) >= undo->since;
}

/* ---- places in unique indexes ---- */

/* Does something have the fresh row's place? */
bool
undo_place_is_taken(Undo *undo, ItemPointer taken_by)
{
	TupleTableSlot *rival;
	bool		taken;

	if (undo->arbiters &&
		!index_places_are_free(undo->target, undo->fresh, undo->estate,
							   taken_by, undo->arbiters))
		return true;
	if (!undo->at_end)
		return false;
	rival = table_slot_create(undo->rel, NULL);
	taken = undo_find_rival(undo, undo->fresh, NULL, rival);
	*taken_by = rival->tts_tid;
	ExecDropSingleTupleTableSlot(rival);
	return taken;
}

void
undo_tell_what_has_place(Undo *undo)
{
	ItemPointerData taken_by;

	if (undo_place_is_taken(undo, &taken_by))
		undo_tell_taker(undo, &taken_by);
}

void
undo_make_place(Undo *undo)
{
	ItemPointerData taken_by;

	while (undo_place_is_taken(undo, &taken_by))
	{
		CHECK_FOR_INTERRUPTS();
		undo_delete_present(undo, &taken_by);
		undo_take_snapshot(undo);
	}
}
