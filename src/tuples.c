/*-------------------------------------------------------------------------
 *
 * tuples.c
 *	  Reading a tuplestore.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/tuptable.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "safemig.h"

/*
 * A tuple that comes from disk is allocated where the caller is, and freed
 * when the slot gets the next one; so it must live as long as the slot does,
 * whatever context is reset in between.
 */
bool
stored_tuple_next(Tuplestorestate *store, TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(slot->tts_mcxt);
	bool		found = tuplestore_gettupleslot(store, true, false, slot);

	MemoryContextSwitchTo(old);
	return found;
}
