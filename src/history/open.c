/*-------------------------------------------------------------------------
 *
 * open.c
 *	  Which explicit migration is open.
 *
 * A migration is open while a session holds a share lock on its id; one that
 * nobody holds is abandoned, without anybody having to notice a crash.  DISCARD
 * ALL, which poolers run between two clients, gives the lock up too: what the
 * next client does is not part of it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lock.h"

#include "compat.h"
#include "history/history.h"

/*
 * Advisory locks of ours: four letters of the name, then the id.  The last
 * field is 1 or 2 for what pg_advisory_lock() takes, so nobody else can.
 */
static void
open_lock_tag(LOCKTAG *tag, int64 id)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, 0x53464d47, (uint32) id, 3);
}

void
open_lock_take(int64 id)
{
	LOCKTAG		tag;

	open_lock_tag(&tag, id);
	(void) LockAcquire(&tag, ShareLock, true, false);
}

void
open_lock_release(int64 id)
{
	LOCKTAG		tag;

	open_lock_tag(&tag, id);
	(void) LockRelease(&tag, ShareLock, true);
}

/* Until then the transaction may fail, and leave the migration open. */
void
open_lock_release_at_commit(int64 id)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	int64	   *ended = palloc(sizeof(int64));

	*ended = id;
	state_save();
	safemig_state.ended = lappend(list_copy(safemig_state.ended), ended);
	MemoryContextSwitchTo(old);
}

static bool
is_among(const List *ended, int64 id)
{
	ListCell   *lc;

	foreach(lc, ended)
	{
		if (*(int64 *) lfirst(lc) == id)
			return true;
	}
	return false;
}

/*
 * What is rolled back goes back to where these had ended and that one was
 * open.  A session's lock outlasts the abort; what it stood for, begun since,
 * does not.
 */
void
open_locks_restore(const List *ended, int64 open)
{
	ListCell   *lc;

	if (safemig_state.explicit_id && safemig_state.explicit_id != open)
		open_lock_release(safemig_state.explicit_id);
	foreach(lc, safemig_state.ended)
	{
		int64		id = *(int64 *) lfirst(lc);

		if (id != open && !is_among(ended, id))
			open_lock_release(id);
	}
}

void
open_locks_commit(void)
{
	ListCell   *lc;

	foreach(lc, safemig_state.ended)
		open_lock_release(*(int64 *) lfirst(lc));
	safemig_state.ended = NIL;
}

bool
migration_is_abandoned(int64 id)
{
	LOCKTAG		tag;

	open_lock_tag(&tag, id);
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	(void) LockRelease(&tag, ExclusiveLock, false);
	return true;
}

bool
migration_is_open(const Migration *migration)
{
	return strcmp(migration->state, "open") == 0 &&
		(migration->id == open_migration_id() || !migration_is_abandoned(migration->id));
}

/* The one that this session has open, or 0. */
int64
open_migration_id(void)
{
	LOCKTAG		tag;

	if (safemig_state.explicit_id == 0)
		return 0;
	open_lock_tag(&tag, safemig_state.explicit_id);
	if (!LockHeldByMe(&tag, ShareLock, false))
	{
		state_save();
		safemig_state.explicit_id = 0;
	}
	return safemig_state.explicit_id;
}
