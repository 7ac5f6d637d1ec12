/*-------------------------------------------------------------------------
 *
 * undo_row.c
 *	  One row that is taken back: formed, looked at, and written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "keep/undo.h"

/* ---- one row ---- */

void
undo_put_place(Tuplestorestate *store, ItemPointer first, ItemPointer second)
{
	TupleDesc	desc = match_descriptor();
	Datum		values[2] = {PointerGetDatum(first), PointerGetDatum(second)};
	bool		nulls[2] = {false, second == NULL};

	tuplestore_putvalues(store, desc, values, nulls);
}

bytea *
undo_changed_of(TupleTableSlot *kept)
{
	bool		isnull;
	Datum		value = slot_getattr(kept, WRITTEN_CHANGED, &isnull);

	return isnull ? NULL : DatumGetByteaPP(value);
}

char
undo_action_of(TupleTableSlot *kept)
{
	bool		isnull;

	return DatumGetChar(slot_getattr(kept, WRITTEN_ACTION, &isnull));
}

void
undo_fetch(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot)
{
	if (!table_tuple_fetch_row_version(rel, tid, snapshot, slot))
		elog(ERROR, "a row of \"%s\" has vanished", RelationGetRelationName(rel));
}

/* Does the row still hold, in these columns, what the migration put there? */
bool
undo_holds_what_was_written(Undo *undo, bytea *changed)
{
	int			ncolumns = undo->shape.row.ncolumns;
	Datum	   *values = palloc0(Max(ncolumns, 1) * sizeof(Datum));
	bool	   *nulls = palloc0(Max(ncolumns, 1) * sizeof(bool));
	RowHash		hash;
	bool		isnull;

	/* without a key it was found by just that */
	if (undo->shape.nkeys == 0)
		return true;
	for (int i = 0; i < ncolumns; i++)
	{
		StoredColumn *column = &undo->shape.row.columns[i];

		if (!writes_is_changed(changed, i))
			continue;
		values[i] = slot_getattr(undo->present, column->attnum, &nulls[i]);
		if (!nulls[i])
			values[i] = stored_from_value(column, values[i]);
	}
	hash = writes_hash(&undo->shape, changed, values, nulls);
	return hash.first == (uint64) DatumGetInt64(slot_getattr(undo->kept, WRITTEN_FIRST, &isnull)) &&
		hash.second == (uint64) DatumGetInt64(slot_getattr(undo->kept, WRITTEN_SECOND, &isnull));
}

/* The row with the kept values in the columns that changed, ours or all. */
void
undo_form_fresh(Undo *undo, bytea *changed, TupleTableSlot *present)
{
	TupleTableSlot *slot = undo->fresh;
	int			natts = slot->tts_tupleDescriptor->natts;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, natts * sizeof(bool));
	/*
	 * What is left of dropped columns stays, unless it may not be this row's:
	 * without a key, of rows that hold the same one was taken.
	 */
	for (int i = 0; present && i < natts; i++)
	{
		if (undo->shape.nkeys > 0 ||
			!TupleDescAttr(slot->tts_tupleDescriptor, i)->attisdropped)
			slot->tts_values[i] = slot_getattr(present, i + 1, &slot->tts_isnull[i]);
	}
	for (int i = 0; i < undo->shape.row.ncolumns; i++)
	{
		StoredColumn *column = &undo->shape.row.columns[i];
		int			at = column->attnum - 1;
		Datum		value;

		if (!writes_is_changed(changed, i))
			continue;
		value = slot_getattr(undo->kept, WRITTEN_FIXED + undo->shape.nkeys + i + 1,
							 &slot->tts_isnull[at]);
		slot->tts_values[at] = slot->tts_isnull[at] ? (Datum) 0 : stored_to_value(column, value);
	}
	ExecStoreVirtualTuple(slot);
	slot->tts_tableOid = RelationGetRelid(undo->rel);
	if (RelationGetDescr(undo->rel)->constr &&
		RelationGetDescr(undo->rel)->constr->has_generated_stored)
		ExecComputeStoredGenerated(undo->target, undo->estate, slot, CMD_INSERT);
}

/* CHECKs that are not validated do not hold for every row that was there. */
void
undo_prepare_checks(Undo *undo)
{
	TupleConstr *constr = RelationGetDescr(undo->rel)->constr;

	for (int i = 0; constr && i < constr->num_check; i++)
	{
		if (constr->check[i].ccvalid && check_is_enforced(&constr->check[i]))
			undo->checks = lappend(undo->checks,
								   ExecPrepareExpr(stringToNode(constr->check[i].ccbin),
												   undo->estate));
	}
}

/* May the row be as it comes to be? */
bool
undo_fresh_fits(Undo *undo)
{
	ExprContext *context = GetPerTupleExprContext(undo->estate);
	TupleDesc	desc = RelationGetDescr(undo->rel);
	bool		fits = true;
	ListCell   *lc;

	context->ecxt_scantuple = undo->fresh;
	for (int i = 0; i < desc->natts; i++)
		fits &= !TupleDescAttr(desc, i)->attnotnull ||
			TupleDescAttr(desc, i)->attisdropped || !slot_attisnull(undo->fresh, i + 1);
	foreach(lc, undo->checks)
		fits = fits && ExecCheck(lfirst(lc), context);
	if (fits && undo->rel->rd_rel->relispartition)
		fits = ExecPartitionCheck(undo->target, undo->fresh, undo->estate, false);
	return fits;
}

/* ---- writing ---- */

void
undo_insert_fresh(Undo *undo)
{
	table_tuple_insert(undo->rel, undo->fresh, GetCurrentCommandId(true), 0, NULL);
	if (undo->target->ri_NumIndices > 0)
		list_free(insert_index_tuples(undo->target, undo->fresh, undo->estate));
	if (undo->written)
		undo_put_place(undo->written, &undo->fresh->tts_tid, &undo->kept->tts_tid);
	undo->restored++;
}

/* A publication may not let rows of the table be updated or deleted. */
static void
check_replica_identity(Undo *undo, CmdType what, bool *checked)
{
	if (!*checked)
		CheckCmdReplicaIdentity(undo->rel, what);
	*checked = true;
}

void
undo_update_fresh(Undo *undo, ItemPointer tid)
{
	bool		in_all;

	check_replica_identity(undo, CMD_UPDATE, &undo->may_update);
	if (update_row(undo->rel, tid, undo->fresh, undo->snapshot, &in_all))
		list_free(update_index_tuples(undo->target, undo->fresh, undo->estate, in_all));
	undo->restored++;
}

void
undo_delete_present(Undo *undo, ItemPointer tid)
{
	check_replica_identity(undo, CMD_DELETE, &undo->may_delete);
	simple_table_tuple_delete(undo->rel, tid, undo->snapshot);
}
