/*-------------------------------------------------------------------------
 *
 * undo.h
 *	  What the files share that take back what was done to rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_UNDO_H
#define SAFEMIG_UNDO_H

#include "nodes/execnodes.h"

#include "keep/writes.h"

/* One part of one table. */
typedef struct Undo
{
	Relation	rel;
	Relation	copy;
	const Kept *what;
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
	CommandId	since;			/* rows of this command and later ones are ours */
	bool		at_end;			/* when they are looked at, too */
	Tuplestorestate *written;	/* places of rows for them, or NULL */
	List	   *as_they_were;	/* places of those that came back as they were */
	Tuplestorestate *again;		/* deleted, to be inserted as they should be */
	Tuplestorestate *blocked;	/* rows of the copy whose place is taken */
	NetWrites  *net;
	NetTable   *table;
	List	   *found;			/* of NetChain*, not counted yet */
	int64		restored;
	bool		may_update;		/* known to be let */
	bool		may_delete;
} Undo;

/* ---- undo_place.c ---- */
extern void undo_look_at_indexes(Undo *undo);
extern bool undo_moves_in_unique_index(Undo *undo, bytea *changed);
extern bool undo_find_rival(Undo *undo, TupleTableSlot *slot, ItemPointer self, TupleTableSlot *rival);
extern bool undo_is_recorded(Undo *undo, TupleTableSlot *rival);
extern bool undo_place_is_taken(Undo *undo, ItemPointer taken_by);
extern void undo_tell_what_has_place(Undo *undo);
extern void undo_make_place(Undo *undo);

/* ---- undo_row.c ---- */
extern void undo_put_place(Tuplestorestate *store, ItemPointer first, ItemPointer second);
extern bytea *undo_changed_of(TupleTableSlot *kept);
extern char undo_action_of(TupleTableSlot *kept);
extern void undo_fetch(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot);
extern bool undo_holds_what_was_written(Undo *undo, bytea *changed);
extern void undo_form_fresh(Undo *undo, bytea *changed, TupleTableSlot *present);
extern void undo_prepare_checks(Undo *undo);
extern bool undo_fresh_fits(Undo *undo);
extern void undo_insert_fresh(Undo *undo);
extern void undo_update_fresh(Undo *undo, ItemPointer tid);
extern void undo_delete_present(Undo *undo, ItemPointer tid);

/* ---- undo_problem.c ---- */
extern void undo_tell_row(Undo *undo, TupleTableSlot *slot);
extern void undo_tell_taker(Undo *undo, ItemPointer tid);
extern bool undo_overwrites(void);
extern NetChain *undo_chain(Undo *undo);
extern bool undo_is_origin(Undo *undo, const NetChain *chain);
extern bool undo_is_left_alone(Undo *undo);
extern bool undo_is_no_problem(const NetChain *chain);
extern void undo_count(Undo *undo, NetChain *chain);
extern void undo_note_problem(Undo *undo, UndoProblem problem, bool overwritten);
extern void undo_link_found(Undo *undo);

/* ---- undo.c ---- */
extern void undo_take_snapshot(Undo *undo);

#endif							/* SAFEMIG_UNDO_H */
