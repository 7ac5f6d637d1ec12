/*-------------------------------------------------------------------------
 *
 * written.c
 *	  Which tables this transaction has written since the last look.
 *
 * PostgreSQL's own statistics counters tell, for every table and level of
 * subtransactions, also for what was written before this library was loaded.
 * What was seen at a look is remembered beside the command counter of that
 * moment; both are part of safemig_state, so that a subtransaction that is
 * rolled back takes its look with it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/pgstat_internal.h"

#include "capture/written.h"
#include "compat.h"

static Written *
find_written(List *list, Oid relid)
{
	ListCell   *lc;

	foreach(lc, list)
	{
		Written    *written = lfirst(lc);

		if (written->relid == relid)
			return written;
	}
	return NULL;
}

/* ---- the counters ---- */

static void
add_counts(Written *to, const PgStat_TableXactStatus *counts)
{
	to->inserted += counts->tuples_inserted + counts->inserted_pre_truncdrop;
	to->updated += counts->tuples_updated + counts->updated_pre_truncdrop;
	to->deleted += counts->tuples_deleted + counts->deleted_pre_truncdrop;
	to->truncated = to->truncated || counts->truncdropped;
}

/* What the transaction has done up to now to tables that are not the system's. */
static List *
counts_now(void)
{
	PgStat_SubXactStatus *level = pgstat_get_xact_stack_level(GetCurrentTransactionNestLevel());
	List	   *list = NIL;

	for (; level; level = level->prev)
	{
		const PgStat_TableXactStatus *counts;

		for (counts = level->first; counts; counts = counts->next)
		{
			Oid			relid = table_status_oid(counts->parent);
			Written    *written;

			if (relid < FirstNormalObjectId)
				continue;
			written = find_written(list, relid);
			if (written == NULL)
			{
				written = palloc0(sizeof(Written));
				written->relid = relid;
				list = lappend(list, written);
			}
			add_counts(written, counts);
		}
	}
	return list;
}

/* ---- looks ---- */

/* Did the counters move?  They stand still within one TRUNCATE. */
bool
written_counts_differ(const Written *written)
{
	return written->inserted || written->updated || written->deleted ||
		written->truncated;
}

/*
 * Tables written since the last look, with what was done since; the first
 * command whose rows are to be looked for is in since.  TRUNCATE takes what was
 * written before it off the counters: after that a table may have been.
 */
List *
written_since_look(void)
{
	List	   *list = NIL;
	ListCell   *lc;

	foreach(lc, counts_now())
	{
		Written    *written = lfirst(lc);
		Written    *seen = find_written(safemig_state.written, written->relid);

		written->since = safemig_state.written_since;
		if (seen)
		{
			written->inserted -= seen->inserted;
			written->updated -= seen->updated;
			written->deleted -= seen->deleted;
			written->truncated = written->truncated && !seen->truncated;
			written->since = Max(written->since, seen->since);
		}
		if (written_counts_differ(written) || (seen && seen->storage))
			list = lappend(list, written);
	}
	return list;
}

bool
anything_written_since_look(void)
{
	return written_since_look() != NIL;
}

static List *
copy_in_transaction(List *list)
{
	List	   *copy = NIL;
	ListCell   *lc;

	foreach(lc, list)
	{
		Written    *written = palloc(sizeof(Written));

		*written = *(Written *) lfirst(lc);
		copy = lappend(copy, written);
	}
	return copy;
}

/* Remembers what has been written up to now as seen. */
void
written_look(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	List	   *now;
	ListCell   *lc;

	CommandCounterIncrement();
	now = counts_now();
	foreach(lc, now)
	{
		Written    *seen = find_written(safemig_state.written,
										((Written *) lfirst(lc))->relid);

		if (seen == NULL)
			continue;
		((Written *) lfirst(lc))->since = seen->since;
		((Written *) lfirst(lc))->storage = seen->storage;
		((Written *) lfirst(lc))->truncated |= seen->truncated;
	}
	foreach(lc, safemig_state.written)
	{
		if (find_written(now, ((Written *) lfirst(lc))->relid) == NULL)
			now = lappend(now, lfirst(lc));
	}
	state_save();
	safemig_state.written = now;
	safemig_state.written_since = GetCurrentCommandId(false);
	MemoryContextSwitchTo(old);
}

static Written *
seen_of(Oid relid)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Written    *seen;

	/* the list that an outer level will have again must stay as it is */
	state_save();
	safemig_state.written = copy_in_transaction(safemig_state.written);
	seen = find_written(safemig_state.written, relid);
	if (seen == NULL)
	{
		seen = palloc0(sizeof(Written));
		seen->relid = relid;
		safemig_state.written = lappend(safemig_state.written, seen);
	}
	MemoryContextSwitchTo(old);
	return seen;
}

/* All rows of the table were written anew, by a command, not by the user. */
void
written_anew(Oid relid)
{
	CommandCounterIncrement();
	seen_of(relid)->since = GetCurrentCommandId(false);
}

/* The rows that TRUNCATE is about to take away are kept. */
void
written_truncation_kept(Oid relid, Oid storage)
{
	Written    *seen = seen_of(relid);

	seen->truncated = true;
	seen->storage = storage;
}

/*
 * Are the rows in that storage kept?  What came into it since is this
 * transaction's own, and is gone again without having been there before.
 */
bool
written_is_truncation_kept(Oid relid, Oid storage)
{
	Written    *seen = find_written(safemig_state.written, relid);

	return seen && seen->storage == storage;
}
