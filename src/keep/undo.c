/*-------------------------------------------------------------------------
 *
 * undo.c
 *	  Takes back what a migration did to the rows of a table.
 *
 * Rows that it inserted go; columns that it changed get their values back; rows
 * that it deleted come back.  What was written since stays: of an updated row
 * only the columns are looked at that the migration changed.  If those, or an
 * inserted row, were changed again, or a place in a unique index is taken by
 * now, that is a conflict: it is counted, and the row is overwritten, or under
 * on_conflict = keep left alone, in this part of the migration and in all others
 * (net.c).  Under refuse it is overwritten too, in a transaction that is going
 * to be given up: so what is found later is what there would be without it.
 *
 * A row that is left alone has nothing in columns that are there again because
 * the migration had dropped them; there it gets what it held before.
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

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "keep/undo.h"
#include "point.h"
#include "progress.h"

void
undo_take_snapshot(Undo *undo)
{
	if (undo->snapshot)
		UnregisterSnapshot(undo->snapshot);
	CommandCounterIncrement();
	undo->snapshot = RegisterSnapshot(GetLatestSnapshot());
}

/* ---- rows that are to be found ---- */

/*
 * The columns of an updated row that get their values back: all that changed,
 * or, if it is left alone, those that it does not have now; NULL: none.
 */
static bytea *
columns_to_put_back(Undo *undo)
{
	bytea	   *changed = undo_changed_of(undo->kept);
	NetChain   *chain = undo_chain(undo);
	bytea	   *reduced;
	bool		any = false;

	if (chain == NULL || chain->overwritten)
		return changed;
	if (chain->inserted)
		return NULL;
	reduced = writes_no_columns(&undo->shape);
	for (int i = 0; i < undo->shape.row.ncolumns; i++)
	{
		if (!writes_is_changed(changed, i) ||
			bms_is_member(undo->shape.row.columns[i].attnum, undo->table->columns))
			continue;
		VARDATA(reduced)[i / 8] |= 1 << (i % 8);
		any = true;
	}
	if (!any)
		return NULL;
	chain->reduced = true;
	return reduced;
}

static void
put_back_columns(Undo *undo, ItemPointer tid)
{
	bytea	   *changed = columns_to_put_back(undo);

	if (changed == NULL)
		return;
	if (undo_moves_in_unique_index(undo, changed))
	{
		undo_delete_present(undo, tid);
		undo_put_place(undo->again, &undo->kept->tts_tid, tid);
		return;
	}
	undo_form_fresh(undo, changed, undo->present);
	if (undo_fresh_fits(undo))
		undo_update_fresh(undo, tid);
	else if (!undo_is_left_alone(undo))
	{
		undo_note_problem(undo, UNDO_UNFIT, false);
		undo_tell_row(undo, undo->present);
		put_back_columns(undo, tid);
	}
}

/* Known to be left alone: what it is that is in the way is told again. */
static void
leave_alone(Undo *undo, ItemPointer tid)
{
	NetChain   *chain = undo_chain(undo);
	bool		updated = undo_action_of(undo->kept) == ROW_UPDATED;

	if (undo_is_origin(undo, chain))
	{
		undo_count(undo, chain);
		/* it goes, since it was inserted; it only had to be known as such */
		if (tid && updated && undo_is_no_problem(chain))
		{
			undo_delete_present(undo, tid);
			undo->restored++;
			return;
		}
		if (tid && chain->problem == UNDO_TAKEN)
		{
			undo_form_fresh(undo, undo_changed_of(undo->kept), undo->present);
			undo_tell_what_has_place(undo);
		}
		else if (tid)
			undo_tell_row(undo, undo->present);
	}
	if (tid && updated)
		put_back_columns(undo, tid);
}

static void
undo_present(Undo *undo, ItemPointer tid)
{
	NetChain   *chain = undo_chain(undo);

	if ((chain == NULL || undo_is_origin(undo, chain)) &&
		!undo_holds_what_was_written(undo, undo_changed_of(undo->kept)))
	{
		undo_note_problem(undo, UNDO_CHANGED, undo_overwrites());
		undo_tell_row(undo, undo->present);
	}
	if (undo_action_of(undo->kept) == ROW_UPDATED)
		put_back_columns(undo, tid);
	else if (!undo_is_left_alone(undo))
	{
		undo_delete_present(undo, tid);
		undo->restored++;
	}
}

static void
undo_row(Undo *undo, ItemPointer kept, ItemPointer present)
{
	undo_fetch(undo->copy, kept, undo->snapshot, undo->kept);
	if (present)
		undo_fetch(undo->rel, present, undo->snapshot, undo->present);
	if (undo_is_left_alone(undo))
		leave_alone(undo, present);
	else if (present)
		undo_present(undo, present);
	else if (undo_action_of(undo->kept) == ROW_UPDATED)
		undo_note_problem(undo, UNDO_GONE, false);
	/* one that was inserted is gone already, as it should be */
}

/* Calls what for each pair of places, in a context of its own. */
static void
each_pair(Undo *undo, Tuplestorestate *store,
		  void (*what) (Undo *undo, ItemPointer first, ItemPointer second))
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(match_descriptor(), &TTSOpsMinimalTuple);
	Progress	progress;

	progress_begin(&progress, PROGRESS_PUTTING_BACK, undo->rel, -1);
	tuplestore_rescan(store);
	while (stored_tuple_next(store, slot))
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
		progress_count(&progress);
	}
	progress_end(&progress);
	ExecDropSingleTupleTableSlot(slot);
}

/* ---- rows that are to be there again ---- */

/*
 * What was deleted just now comes back as it was.  If something has its place
 * by now, it must not be deleted in the first place.
 */
static void
insert_as_it_was(Undo *undo)
{
	ItemPointerData taken_by;

	ExecCopySlot(undo->fresh, undo->present);
	if (undo_place_is_taken(undo, &taken_by))
	{
		net_do_again(undo->net);
		return;
	}
	undo_insert_fresh(undo);
	undo->restored--;
	if (undo->deferred)
	{
		MemoryContext old = MemoryContextSwitchTo(undo->estate->es_query_cxt);
		ItemPointer place = palloc(sizeof(ItemPointerData));

		*place = undo->fresh->tts_tid;
		undo->as_they_were = lappend(undo->as_they_were, place);
		MemoryContextSwitchTo(old);
	}
}

/* What was deleted just now, because a unique index looks at what changes. */
static void
insert_again(Undo *undo, ItemPointer kept, ItemPointer present)
{
	bytea	   *changed;
	ItemPointerData taken_by;

	undo_fetch(undo->copy, kept, undo->snapshot, undo->kept);
	undo_fetch(undo->rel, present, SnapshotAny, undo->present);
	while ((changed = columns_to_put_back(undo)) != NULL)
	{
		bool		left_alone = undo_is_left_alone(undo);
		bool		fits;

		undo_form_fresh(undo, changed, undo->present);
		fits = undo_fresh_fits(undo);
		if (fits && !undo_place_is_taken(undo, &taken_by))
		{
			undo_insert_fresh(undo);
			return;
		}
		if (left_alone)
			break;
		if (fits)
		{
			undo_note_problem(undo, UNDO_TAKEN, undo_overwrites());
			undo_put_place(undo->blocked, kept, present);
			return;
		}
		undo_note_problem(undo, UNDO_UNFIT, false);
		undo_tell_row(undo, undo->present);
	}
	insert_as_it_was(undo);
}

static void
insert_deleted(Undo *undo)
{
	NetChain   *chain = undo_chain(undo);
	ItemPointerData taken_by;

	undo_form_fresh(undo, NULL, NULL);
	if (undo_is_left_alone(undo))
	{
		if (!undo_is_origin(undo, chain))
			return;
		undo_count(undo, chain);
		if (!undo_is_no_problem(chain))
			undo_tell_what_has_place(undo);
	}
	else if (!undo_place_is_taken(undo, &taken_by))
		undo_insert_fresh(undo);
	else
	{
		undo_note_problem(undo, UNDO_TAKEN, undo_overwrites());
		undo_put_place(undo->blocked, &undo->kept->tts_tid, NULL);
	}
}

static void
insert_all_deleted(Undo *undo)
{
	Snapshot	snapshot;
	TableScanDesc scan = plain_scan_begin(undo->copy, &snapshot);
	Progress	progress;

	progress_begin(&progress, PROGRESS_PUTTING_BACK, undo->rel, -1);
	while (table_scan_getnextslot(scan, ForwardScanDirection, undo->kept))
	{
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		progress_count(&progress);
		if (undo_action_of(undo->kept) != ROW_DELETED)
			continue;
		ResetPerTupleExprContext(undo->estate);
		old = MemoryContextSwitchTo(GetPerTupleMemoryContext(undo->estate));
		insert_deleted(undo);
		MemoryContextSwitchTo(old);
	}
	progress_end(&progress);
	ExecClearTuple(undo->kept);
	plain_scan_end(scan, snapshot);
}

/* A row whose place is taken, now that its other parts are known. */
static void
settle_blocked(Undo *undo, ItemPointer kept, ItemPointer present)
{
	NetChain   *chain;

	undo_fetch(undo->copy, kept, undo->snapshot, undo->kept);
	if (present)
		undo_fetch(undo->rel, present, SnapshotAny, undo->present);
	chain = undo_chain(undo);
	if (undo_is_no_problem(chain))
		return;
	undo_form_fresh(undo, undo_changed_of(undo->kept), present ? undo->present : NULL);
	if (undo_is_origin(undo, chain))
		undo_tell_what_has_place(undo);
	if (undo_overwrites())
	{
		undo_make_place(undo);
		undo_insert_fresh(undo);
	}
	else if (present)
		insert_as_it_was(undo);
}

/* ---- indexes that look only at the end ---- */

/*
 * Two rows in one place, both recorded: the migration had them so for a while,
 * which the table cannot have now.
 */
static void
refuse_both(Undo *undo)
{
	ereport(ERROR,
			(errcode(ERRCODE_SAFEMIG_CONFLICT),
			 errmsg("rows of table \"%s\" would be twice in a unique index for a while",
					RelationGetRelationName(undo->rel)),
			 errdetail("The migration wrote them under a deferred constraint, before and after a command on something else.")));
}

static void
check_deferred(Undo *undo, ItemPointer place, ItemPointer kept)
{
	TupleTableSlot *rival = table_slot_create(undo->rel, NULL);

	if (table_tuple_fetch_row_version(undo->rel, place, undo->snapshot, undo->present) &&
		undo_find_rival(undo, undo->present, place, rival))
	{
		undo_fetch(undo->copy, kept, undo->snapshot, undo->kept);
		if (undo_is_recorded(undo, rival))
			refuse_both(undo);
		undo_note_problem(undo, UNDO_TAKEN, undo_overwrites());
		undo_delete_present(undo, place);
		undo->restored--;
		if (undo_action_of(undo->kept) == ROW_DELETED)
			undo_put_place(undo->blocked, kept, NULL);
		else
		{
			undo_put_place(undo->blocked, kept, place);
			/* what it was is not known here any more */
			if (!undo_overwrites())
				net_do_again(undo->net);
		}
	}
	ExecDropSingleTupleTableSlot(rival);
}

/* ---- the whole ---- */

static void
undo_open(Undo *undo, Relation rel, const Kept *kept)
{
	memset(undo, 0, sizeof(Undo));
	undo->rel = rel;
	undo->what = kept;
	undo->net = safemig_state.net;
	undo->table = net_table(undo->net, rel, kept);
	undo->since = GetCurrentCommandId(true);
	undo->copy = rows_open_copy(kept);
	writes_shape_of_copy(rel, undo->copy, kept, &undo->shape);
	undo->estate = CreateExecutorState();
	undo->target = makeNode(ResultRelInfo);
	InitResultRelInfo(undo->target, rel, 0, NULL, 0);
	/* so that it can be asked whether a place is free */
	ExecOpenIndices(undo->target, true);
	undo_look_at_indexes(undo);
	undo_prepare_checks(undo);
	undo->kept = table_slot_create(undo->copy, NULL);
	undo->present = table_slot_create(rel, NULL);
	undo->fresh = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	undo->again = tuplestore_begin_heap(false, false, work_mem);
	undo->blocked = tuplestore_begin_heap(false, false, work_mem);
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
	tuplestore_end(undo->blocked);
	if (undo->written)
		tuplestore_end(undo->written);
	ExecCloseIndices(undo->target);
	FreeExecutorState(undo->estate);
	table_close(undo->copy, AccessShareLock);
}

/* Rows whose place is taken are looked at when the others are all there. */
static void
settle_all_blocked(Undo *undo)
{
	undo_link_found(undo);
	undo_take_snapshot(undo);
	each_pair(undo, undo->blocked, settle_blocked);
	tuplestore_clear(undo->blocked);
}

/*
 * Returns how many rows are as they were before; those that are in the way are
 * counted with the table.
 */
int64
writes_undo(Relation rel, const Kept *kept)
{
	Undo		undo;
	Tuplestorestate *matches;

	undo_open(&undo, rel, kept);
	undo_take_snapshot(&undo);
	matches = writes_match(rel, undo.copy, &undo.shape, kept);
	SAFEMIG_POINT("undo.matched");
	each_pair(&undo, matches, undo_row);
	tuplestore_end(matches);
	undo_take_snapshot(&undo);
	SAFEMIG_POINT("undo.deleted");
	each_pair(&undo, undo.again, insert_again);
	insert_all_deleted(&undo);
	SAFEMIG_POINT("undo.inserted");
	settle_all_blocked(&undo);
	if (undo.written)
	{
		undo_take_snapshot(&undo);
		undo.at_end = true;
		each_pair(&undo, undo.written, check_deferred);
		settle_all_blocked(&undo);
	}
	UnregisterSnapshot(undo.snapshot);
	undo_close(&undo);
	CommandCounterIncrement();
	return undo.restored;
}
