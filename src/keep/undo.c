/*-------------------------------------------------------------------------
 *
 * undo.c
 *	  Takes back what a migration did to the rows of a table.
 *
 * Rows that it inserted go; columns that it changed get their values back; rows
 * that it deleted come back.  What was written since stays: of an updated row
 * only the columns are looked at that the migration changed.  If those, or an
 * inserted row, were changed again, or a place in a unique index is taken by
 * now, that is a conflict: it is counted, and the row is left alone, or under
 * on_conflict = restore overwritten.
 *
 * Deletions come first, and what changes in a unique index is deleted and
 * inserted anew, so that rows do not collide on the way.  Rows are written
 * below the executor, as in putback.c: no trigger, rule or policy sees it;
 * foreign keys are checked when all tables are done (references.c).  An
 * updated row may never have been there as it comes to be now, so its CHECKs
 * are looked at, and its partition's bound.
 *
 * To be called as the table's owner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "keep/writes.h"

typedef struct Undo
{
	Relation	rel;
	Relation	copy;
	WritesShape shape;
	EState	   *estate;
	ResultRelInfo *target;
	Snapshot	snapshot;
	TupleTableSlot *kept;		/* a row of the copy */
	TupleTableSlot *present;	/* a row of the table */
	TupleTableSlot *fresh;		/* what it is to be */
	Bitmapset  *unique;			/* columns that unique indexes look at */
	List	   *arbiters;		/* indexes that can say beforehand that a place
								 * is taken */
	List	   *deferred;		/* indexes that look only at the end */
	List	   *checks;			/* of ExprState* */
	Tuplestorestate *written;	/* places of rows for them, or NULL */
	Tuplestorestate *again;		/* deleted, to be inserted as they should be */
	UndoConflicts *conflicts;
	OtherWrites *others;
	int64		restored;
	bool		may_update;		/* known to be let */
	bool		may_delete;
} Undo;

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

static void
look_at_indexes(Undo *undo)
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
static bool
moves_in_unique_index(Undo *undo, bytea *changed)
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

/* ---- one row ---- */

static void
put_place(Tuplestorestate *store, ItemPointer first, ItemPointer second)
{
	TupleDesc	desc = match_descriptor();
	Datum		values[2] = {PointerGetDatum(first), PointerGetDatum(second)};
	bool		nulls[2] = {false, second == NULL};

	tuplestore_putvalues(store, desc, values, nulls);
}

static bytea *
changed_of(TupleTableSlot *kept)
{
	bool		isnull;
	Datum		value = slot_getattr(kept, WRITTEN_CHANGED, &isnull);

	return isnull ? NULL : DatumGetByteaPP(value);
}

static char
action_of(TupleTableSlot *kept)
{
	bool		isnull;

	return DatumGetChar(slot_getattr(kept, WRITTEN_ACTION, &isnull));
}

static void
fetch(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot)
{
	if (!table_tuple_fetch_row_version(rel, tid, snapshot, slot))
		elog(ERROR, "a row of \"%s\" has vanished", RelationGetRelationName(rel));
}

/* Does the row still hold, in these columns, what the migration put there? */
static bool
holds_what_was_written(Undo *undo, bytea *changed)
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
static void
form_fresh(Undo *undo, bytea *changed, TupleTableSlot *present)
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
static void
prepare_checks(Undo *undo)
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

/* May the row be as it comes to be?  If not, it is counted. */
static bool
fresh_fits(Undo *undo)
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
	undo->conflicts->unfit += !fits;
	return fits;
}

/* ---- writing ---- */

static void
insert_fresh(Undo *undo)
{
	table_tuple_insert(undo->rel, undo->fresh, GetCurrentCommandId(true), 0, NULL);
	if (undo->target->ri_NumIndices > 0)
		list_free(insert_index_tuples(undo->target, undo->fresh, undo->estate));
	if (undo->written)
		put_place(undo->written, &undo->fresh->tts_tid, NULL);
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

static void
update_fresh(Undo *undo, ItemPointer tid)
{
	bool		in_all;

	check_replica_identity(undo, CMD_UPDATE, &undo->may_update);
	if (update_row(undo->rel, tid, undo->fresh, undo->snapshot, &in_all))
		list_free(update_index_tuples(undo->target, undo->fresh, undo->estate, in_all));
	undo->restored++;
}

static void
delete_present(Undo *undo, ItemPointer tid)
{
	check_replica_identity(undo, CMD_DELETE, &undo->may_delete);
	simple_table_tuple_delete(undo->rel, tid, undo->snapshot);
}

/* ---- what is in the way, by name ---- */

/* Rows without a key are named by their place. */
static char *
key_columns(Undo *undo)
{
	StringInfoData buf;

	if (undo->shape.nkeys == 0)
		return pstrdup("ctid");
	initStringInfo(&buf);
	for (int i = 0; i < undo->shape.nkeys; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "",
						 quote_identifier(undo->shape.keys[i].name));
	return undo->shape.nkeys == 1 ? buf.data : psprintf("(%s)", buf.data);
}

static void
append_value(StringInfo buf, TupleTableSlot *slot, AttrNumber attnum)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, attnum, &isnull);
	Oid			output;
	bool		varlena;

	getTypeOutputInfo(TupleDescAttr(slot->tts_tupleDescriptor, attnum - 1)->atttypid,
					  &output, &varlena);
	appendStringInfo(buf, "%s%s", buf->len ? ", " : "",
					 isnull ? "NULL" : quote_literal_cstr(OidOutputFunctionCall(output, value)));
}

static void
note_in_the_way(Undo *undo, TupleTableSlot *slot)
{
	MemoryContext old;
	StringInfoData buf;

	if (list_length(undo->conflicts->rows) >= UNDO_ROWS_TOLD)
		return;
	old = MemoryContextSwitchTo(GetMemoryChunkContext(undo->conflicts));
	initStringInfo(&buf);
	for (int i = 0; i < undo->shape.nkeys; i++)
		append_value(&buf, slot, undo->shape.keys[i].attnum);
	if (undo->shape.nkeys == 0)
		appendStringInfo(&buf, "'(%u,%u)'", ItemPointerGetBlockNumber(&slot->tts_tid),
						 ItemPointerGetOffsetNumber(&slot->tts_tid));
	if (undo->conflicts->rows == NIL)
		undo->conflicts->key = key_columns(undo);
	undo->conflicts->rows = lappend(undo->conflicts->rows,
									undo->shape.nkeys > 1 ? psprintf("(%s)", buf.data) : buf.data);
	MemoryContextSwitchTo(old);
}

static void
note_place_taken(Undo *undo, ItemPointer tid)
{
	TupleTableSlot *slot = table_slot_create(undo->rel, NULL);

	if (table_tuple_fetch_row_version(undo->rel, tid, SnapshotAny, slot))
		note_in_the_way(undo, slot);
	ExecDropSingleTupleTableSlot(slot);
}

/* May the fresh row be put there?  What has its place may have to go for it. */
static bool
place_is_free(Undo *undo)
{
	ItemPointerData taken_by;
	bool		was_free = true;

	while (undo->arbiters &&
		   !index_places_are_free(undo->target, undo->fresh, undo->estate,
								  &taken_by, undo->arbiters))
	{
		CHECK_FOR_INTERRUPTS();
		/* nothing is missing where the migration had inserted it itself */
		if (action_of(undo->kept) == ROW_DELETED &&
			other_writes_inserted(undo->others, undo->kept))
			return false;
		if (was_free)
		{
			undo->conflicts->taken++;
			note_place_taken(undo, &taken_by);
		}
		was_free = false;
		if (safemig_state.on_conflict != CONFLICT_RESTORE)
			return false;
		delete_present(undo, &taken_by);
	}
	return true;
}

/* ---- rows that are to be found ---- */

/* Or else it is a conflict; is it to be overwritten? */
static bool
is_to_be_undone(Undo *undo, bytea *changed)
{
	if (holds_what_was_written(undo, changed))
		return true;
	/* somebody else's, in the place of one that the migration has deleted */
	if (action_of(undo->kept) == ROW_INSERTED &&
		other_writes_deleted(undo->others, undo->kept))
		return false;
	undo->conflicts->changed++;
	note_in_the_way(undo, undo->present);
	return safemig_state.on_conflict == CONFLICT_RESTORE;
}

static void
undo_insertion(Undo *undo, ItemPointer tid)
{
	if (is_to_be_undone(undo, NULL))
	{
		delete_present(undo, tid);
		undo->restored++;
	}
}

static void
undo_update(Undo *undo, ItemPointer tid)
{
	bytea	   *changed = changed_of(undo->kept);

	if (!is_to_be_undone(undo, changed))
		return;
	if (moves_in_unique_index(undo, changed))
	{
		delete_present(undo, tid);
		put_place(undo->again, &undo->kept->tts_tid, tid);
		return;
	}
	form_fresh(undo, changed, undo->present);
	if (fresh_fits(undo))
		update_fresh(undo, tid);
}

static void
undo_row(Undo *undo, ItemPointer kept, ItemPointer present)
{
	fetch(undo->copy, kept, undo->snapshot, undo->kept);
	if (present)
		fetch(undo->rel, present, undo->snapshot, undo->present);
	if (action_of(undo->kept) == ROW_INSERTED)
	{
		/* gone already, as it should be */
		if (present)
			undo_insertion(undo, present);
	}
	else if (present)
		undo_update(undo, present);
	else if (!other_writes_inserted(undo->others, undo->kept))
		undo->conflicts->gone++;
}

/* Calls what for each pair of places, in a context of its own. */
static void
each_pair(Undo *undo, Tuplestorestate *store,
		  void (*what) (Undo *undo, ItemPointer first, ItemPointer second))
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(match_descriptor(), &TTSOpsMinimalTuple);

	tuplestore_rescan(store);
	while (tuplestore_gettupleslot(store, true, false, slot))
	{
		MemoryContext old;
		bool		isnull;
		ItemPointerData first = *(ItemPointer) DatumGetPointer(slot_getattr(slot, 1, &isnull));
		Datum		value = slot_getattr(slot, 2, &isnull);
		ItemPointerData second = isnull ? first : *(ItemPointer) DatumGetPointer(value);

		CHECK_FOR_INTERRUPTS();
		ResetPerTupleExprContext(undo->estate);
		old = MemoryContextSwitchTo(GetPerTupleMemoryContext(undo->estate));
		what(undo, &first, isnull ? NULL : &second);
		MemoryContextSwitchTo(old);
	}
	ExecDropSingleTupleTableSlot(slot);
}

/* ---- rows that are to be there again ---- */

/*
 * What was deleted just now, because a unique index looks at what changes.  If
 * it may not be so, or its place is taken, it comes back as it was.
 */
static void
insert_again(Undo *undo, ItemPointer kept, ItemPointer present)
{
	fetch(undo->copy, kept, undo->snapshot, undo->kept);
	fetch(undo->rel, present, SnapshotAny, undo->present);
	form_fresh(undo, changed_of(undo->kept), undo->present);
	if (fresh_fits(undo) && place_is_free(undo))
	{
		insert_fresh(undo);
		return;
	}
	ExecCopySlot(undo->fresh, undo->present);
	insert_fresh(undo);
	undo->restored--;
}

static void
insert_deleted(Undo *undo)
{
	form_fresh(undo, NULL, NULL);
	if (place_is_free(undo))
		insert_fresh(undo);
}

static void
insert_all_deleted(Undo *undo)
{
	Snapshot	snapshot;
	TableScanDesc scan = plain_scan_begin(undo->copy, &snapshot);

	while (table_scan_getnextslot(scan, ForwardScanDirection, undo->kept))
	{
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		if (action_of(undo->kept) != ROW_DELETED)
			continue;
		ResetPerTupleExprContext(undo->estate);
		old = MemoryContextSwitchTo(GetPerTupleMemoryContext(undo->estate));
		insert_deleted(undo);
		MemoryContextSwitchTo(old);
	}
	ExecClearTuple(undo->kept);
	plain_scan_end(scan, snapshot);
}

/* ---- indexes that look only at the end ---- */

static void
check_deferred(Undo *undo, ItemPointer place, ItemPointer unused)
{
	ExprContext *context = GetPerTupleExprContext(undo->estate);
	TupleTableSlot *slot = undo->present;

	if (!table_tuple_fetch_row_version(undo->rel, place, undo->snapshot, slot))
		return;
	context->ecxt_scantuple = slot;
	for (int i = 0; i < undo->target->ri_NumIndices; i++)
	{
		Relation	index = undo->target->ri_IndexRelationDescs[i];
		IndexInfo  *info = undo->target->ri_IndexRelationInfo[i];
		Datum		values[INDEX_MAX_KEYS];
		bool		nulls[INDEX_MAX_KEYS];

		if (!list_member_oid(undo->deferred, RelationGetRelid(index)))
			continue;
		if (info->ii_Predicate != NIL &&
			!ExecQual(ExecPrepareQual(info->ii_Predicate, undo->estate), context))
			continue;
		FormIndexDatum(info, slot, undo->estate, values, nulls);
		if (info->ii_ExclusionOps)
			check_exclusion_constraint(undo->rel, index, info, place, values, nulls,
									   undo->estate, false);
		else
			(void) index_insert(index, values, nulls, place, undo->rel,
								UNIQUE_CHECK_EXISTING, false, info);
	}
}

/* ---- the whole ---- */

static void
undo_open(Undo *undo, Relation rel, const Kept *kept, UndoConflicts *conflicts)
{
	memset(undo, 0, sizeof(Undo));
	undo->rel = rel;
	undo->conflicts = conflicts;
	undo->copy = rows_open_copy(kept);
	writes_shape_of_copy(rel, undo->copy, kept, &undo->shape);
	undo->others = other_writes_open(kept, &undo->shape);
	undo->estate = CreateExecutorState();
	undo->target = makeNode(ResultRelInfo);
	InitResultRelInfo(undo->target, rel, 0, NULL, 0);
	/* so that it can be asked whether a place is free */
	ExecOpenIndices(undo->target, true);
	look_at_indexes(undo);
	prepare_checks(undo);
	undo->kept = table_slot_create(undo->copy, NULL);
	undo->present = table_slot_create(rel, NULL);
	undo->fresh = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	undo->again = tuplestore_begin_heap(false, false, work_mem);
	if (undo->deferred)
		undo->written = tuplestore_begin_heap(false, false, work_mem);
}

static void
undo_close(Undo *undo)
{
	ExecDropSingleTupleTableSlot(undo->kept);
	ExecDropSingleTupleTableSlot(undo->present);
	ExecDropSingleTupleTableSlot(undo->fresh);
	tuplestore_end(undo->again);
	if (undo->written)
		tuplestore_end(undo->written);
	ExecCloseIndices(undo->target);
	FreeExecutorState(undo->estate);
	table_close(undo->copy, AccessShareLock);
}

static void
take_snapshot(Undo *undo)
{
	if (undo->snapshot)
		UnregisterSnapshot(undo->snapshot);
	CommandCounterIncrement();
	undo->snapshot = RegisterSnapshot(GetLatestSnapshot());
}

/* Returns how many rows are as they were before; the others are counted. */
int64
writes_undo(Relation rel, const Kept *kept, UndoConflicts *conflicts)
{
	Undo		undo;
	Tuplestorestate *matches;

	undo_open(&undo, rel, kept, conflicts);
	take_snapshot(&undo);
	matches = writes_match(rel, undo.copy, &undo.shape, kept);
	each_pair(&undo, matches, undo_row);
	tuplestore_end(matches);
	take_snapshot(&undo);
	each_pair(&undo, undo.again, insert_again);
	insert_all_deleted(&undo);
	if (undo.written)
	{
		take_snapshot(&undo);
		each_pair(&undo, undo.written, check_deferred);
	}
	UnregisterSnapshot(undo.snapshot);
	undo_close(&undo);
	CommandCounterIncrement();
	return undo.restored;
}
