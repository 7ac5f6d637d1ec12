/*-------------------------------------------------------------------------
 *
 * undo_problem.c
 *	  Rows that are in the way of a rollback: noted, counted, and named.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "keep/undo.h"

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

void
undo_tell_row(Undo *undo, TupleTableSlot *slot)
{
	UndoConflicts *conflicts = &undo->table->conflicts;
	MemoryContext old;
	StringInfoData buf;

	if (list_length(conflicts->rows) >= UNDO_ROWS_TOLD)
		return;
	old = MemoryContextSwitchTo(GetMemoryChunkContext(undo->table));
	initStringInfo(&buf);
	for (int i = 0; i < undo->shape.nkeys; i++)
		append_value(&buf, slot, undo->shape.keys[i].attnum);
	if (undo->shape.nkeys == 0)
		appendStringInfo(&buf, "'(%u,%u)'", ItemPointerGetBlockNumber(&slot->tts_tid),
						 ItemPointerGetOffsetNumber(&slot->tts_tid));
	if (conflicts->rows == NIL)
		conflicts->key = key_columns(undo);
	conflicts->rows = lappend(conflicts->rows,
							  undo->shape.nkeys > 1 ? psprintf("(%s)", buf.data) : buf.data);
	MemoryContextSwitchTo(old);
}

void
undo_tell_taker(Undo *undo, ItemPointer tid)
{
	TupleTableSlot *slot = table_slot_create(undo->rel, NULL);

	if (table_tuple_fetch_row_version(undo->rel, tid, SnapshotAny, slot))
		undo_tell_row(undo, slot);
	ExecDropSingleTupleTableSlot(slot);
}

/* ---- what is in the way ---- */

bool
undo_overwrites(void)
{
	return safemig_state.on_conflict != CONFLICT_KEEP;
}

/* What is known of the row from other parts, or from an earlier attempt. */
NetChain *
undo_chain(Undo *undo)
{
	return net_chain(undo->net, undo->what, &undo->kept->tts_tid);
}

/* Was it here that the row was found to be in the way? */
bool
undo_is_origin(Undo *undo, const NetChain *chain)
{
	return chain->kept == undo->what->id &&
		ItemPointerEquals((ItemPointer) &chain->copied, &undo->kept->tts_tid);
}

bool
undo_is_left_alone(Undo *undo)
{
	NetChain   *chain = undo_chain(undo);

	return chain && !chain->overwritten;
}

/*
 * Nothing is missing, and no place is needed, of a row that the migration
 * inserted in the first place.
 */
bool
undo_is_no_problem(const NetChain *chain)
{
	return chain->inserted &&
		(chain->problem == UNDO_GONE || chain->problem == UNDO_TAKEN);
}

void
undo_count(Undo *undo, NetChain *chain)
{
	if (!undo_is_no_problem(chain) && net_count(undo->net, chain))
		undo->table->conflicts.count[chain->problem]++;
}

/* The row of the copy is in the way; it is counted when its other parts are known. */
void
undo_note_problem(Undo *undo, UndoProblem problem, bool overwritten)
{
	NetChain   *chain = undo_chain(undo);
	MemoryContext old;

	if (chain == NULL)
	{
		chain = net_note(undo->net, undo->what, &undo->shape, undo->kept, problem, overwritten);
		old = MemoryContextSwitchTo(undo->estate->es_query_cxt);
		undo->found = lappend(undo->found, chain);
		MemoryContextSwitchTo(old);
		return;
	}
	if (undo_is_origin(undo, chain) && !list_member_ptr(undo->found, chain))
		undo_count(undo, chain);
	/* as one that was inserted it goes, whatever it is like */
	if (chain->overwritten && !overwritten &&
		!(problem == UNDO_UNFIT && chain->inserted))
	{
		chain->overwritten = false;
		/* newer parts have overwritten it */
		net_do_again(undo->net);
	}
}

void
undo_link_found(Undo *undo)
{
	ListCell   *lc;

	net_link(undo->net, undo->what, &undo->shape);
	foreach(lc, undo->found)
	{
		NetChain   *chain = lfirst(lc);

		/* one that was inserted goes, whatever it is like */
		if (chain->problem == UNDO_UNFIT && chain->inserted && undo_overwrites())
			chain->overwritten = true;
		/* what has its place is none of the migration's */
		if (undo_is_no_problem(chain))
			chain->overwritten = false;
		undo_count(undo, chain);
	}
	undo->found = NIL;
}
