/*-------------------------------------------------------------------------
 *
 * observe_locks.c
 *	  What a statement that was run locked, and what became of files.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "storage/lock.h"
#include "utils/builtins.h"

#include "advise/observe.h"

/* ---- looking ---- */

static Oid
oid_at(HeapTuple tuple, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, SPI_tuptable->tupdesc, column, &isnull);

	return isnull ? InvalidOid : DatumGetObjectId(value);
}

/* What belongs to users, with the number of times that it was read. */
static void
ask_relations(void)
{
	if (SPI_execute("SELECT c.oid, c.relfilenode, i.indrelid, c.relkind::text, c.relname, n.nspname,"
					" CASE WHEN c.relkind IN ('r', 'm') THEN pg_stat_get_xact_numscans(c.oid) END"
					" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
					" LEFT JOIN pg_index i ON i.indexrelid = c.oid"
					" WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm', 'v', 'f', 'i', 'I', 'S', 'c')"
					" AND c.relpersistence <> 't' AND n.nspname NOT LIKE 'safemig%'"
					" AND n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema')",
					false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read pg_class");
}

static int64
scans_at(HeapTuple tuple)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, SPI_tuptable->tupdesc, 7, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

void
look_at_relations(HTAB *seen, MemoryContext context, bool old)
{
	Frame		frame;

	frame_pin(&frame);
	own_work_begin();
	SPI_connect();
	ask_relations();
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		Oid			relid = oid_at(tuple, 1);
		bool		found;
		Seen	   *relation = hash_search(seen, &relid, HASH_ENTER, &found);

		if (!found)
		{
			relation->old = old;
			relation->held = NoLock;
			relation->relkind = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 4)[0];
			relation->name = MemoryContextStrdup(context,
												 quote_qualified_identifier(SPI_getvalue(tuple, SPI_tuptable->tupdesc, 6),
																			SPI_getvalue(tuple, SPI_tuptable->tupdesc, 5)));
		}
		relation->filenode = oid_at(tuple, 2);
		relation->table = oid_at(tuple, 3);
		relation->scans = scans_at(tuple);
	}
	SPI_finish();
	own_work_end();
	frame_unpin(&frame);
}

static LOCKMODE
lock_mode_at(HeapTuple tuple, int column)
{
	char	   *name = SPI_getvalue(tuple, SPI_tuptable->tupdesc, column);

	for (LOCKMODE mode = AccessShareLock; mode <= AccessExclusiveLock; mode++)
	{
		if (strcmp(GetLockmodeName(DEFAULT_LOCKMETHOD, mode), name) == 0)
			return mode;
	}
	return NoLock;
}

typedef struct HeldLock
{
	Seen	   *relation;
	LOCKMODE	mode;
} HeldLock;

/* Of HeldLock*: of each relation that was there before, every mode it is held in. */
static List *
locks_held(HTAB *seen)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *locks = NIL;
	Frame		frame;

	frame_pin(&frame);
	SPI_connect();
	if (SPI_execute("SELECT l.relation, l.mode FROM pg_locks l WHERE l.pid = pg_backend_pid()"
					" AND l.locktype = 'relation' AND l.granted AND l.relation >= 16384",
					false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read pg_locks");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		Oid			relid = oid_at(tuple, 1);
		Seen	   *relation = hash_search(seen, &relid, HASH_FIND, NULL);
		LOCKMODE	mode = lock_mode_at(tuple, 2);
		MemoryContext old = MemoryContextSwitchTo(context);
		HeldLock   *lock = palloc(sizeof(HeldLock));

		lock->relation = relation;
		lock->mode = mode;
		if (relation && relation->old)
			locks = lappend(locks, lock);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	frame_unpin(&frame);
	return locks;
}

void
note_held(HTAB *seen)
{
	ListCell   *lc;

	foreach(lc, locks_held(seen))
	{
		HeldLock   *lock = lfirst(lc);

		lock->relation->held = Max(lock->relation->held, lock->mode);
	}
}

/* ---- telling ---- */

static bool
is_told_of(const Statement *statement, const char *name, Finding **first)
{
	ListCell   *lc;

	foreach(lc, statement->findings)
	{
		Finding    *finding = lfirst(lc);

		if (finding->target == NULL || strcmp(finding->target->name, name) != 0)
			continue;
		*first = finding;
		return true;
	}
	return false;
}

/* Locks that nobody foretold are told of relations that hold data or show it. */
static bool
is_worth_telling(const Seen *relation, LOCKMODE mode)
{
	return mode >= ShareUpdateExclusiveLock && relation->relkind != RELKIND_INDEX &&
		relation->relkind != RELKIND_PARTITIONED_INDEX && relation->relkind != RELKIND_SEQUENCE &&
		relation->relkind != RELKIND_COMPOSITE_TYPE;
}

static void
set_observed(Statement *statement, const char *name, const char *lock, const char *cost)
{
	ListCell   *lc;

	foreach(lc, statement->findings)
	{
		Finding    *finding = lfirst(lc);

		if (finding->target == NULL || finding->target->made ||
			strcmp(finding->target->name, name) != 0)
			continue;
		if (lock)
			finding->observed_lock = lock;
		if (cost)
			finding->observed_cost = cost;
	}
}

static void
tell_lock(Observation *observation, Seen *relation, LOCKMODE mode)
{
	Statement  *statement = observation->running;
	Finding    *finding;

	/* whether it was asked for once more cannot be seen */
	if (mode <= relation->held)
		return;
	if (!is_told_of(statement, relation->name, &finding))
	{
		Target	   *target;

		if (!is_worth_telling(relation, mode))
			return;
		target = palloc0(sizeof(Target));
		target->relid = relation->relid;
		target->relkind = relation->relkind;
		target->name = relation->name;
		finding = add_finding(observation->a, statement, target);
	}
	if (mode > AccessShareLock && lock_from_words(finding->observed_lock) < mode)
		set_observed(statement, relation->name, lock_in_words(mode), NULL);
}

static int
by_name(const ListCell *a, const ListCell *b)
{
	return strcmp(((HeldLock *) lfirst(a))->relation->name, ((HeldLock *) lfirst(b))->relation->name);
}

void
tell_locks(Observation *observation)
{
	List	   *locks = locks_held(observation->seen);
	ListCell   *lc;

	list_sort(locks, by_name);
	foreach(lc, locks)
	{
		HeldLock   *lock = lfirst(lc);

		tell_lock(observation, lock->relation, lock->mode);
	}
}

/* What became of the files since the statement began. */
void
tell_cost(Observation *observation)
{
	HASH_SEQ_STATUS walk;
	Seen	   *before;
	HASHCTL		control = {.keysize = sizeof(Oid),.entrysize = sizeof(Seen),
	.hcxt = CurrentMemoryContext};
	HTAB	   *now = hash_create("relations now", 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	Seen	   *relation;

	look_at_relations(now, CurrentMemoryContext, false);
	/* cheapest first: what comes later is stronger */
	hash_seq_init(&walk, observation->seen);
	while ((before = hash_seq_search(&walk)) != NULL)
	{
		relation = hash_search(now, &before->relid, HASH_FIND, NULL);
		if (before->old && relation && relation->scans > before->scans)
			set_observed(observation->running, before->name, NULL, "scan");
		else if (before->old && OidIsValid(before->filenode))
			set_observed(observation->running, before->name, NULL, "catalog");
	}
	hash_seq_init(&walk, now);
	while ((relation = hash_seq_search(&walk)) != NULL)
	{
		Seen	   *table;

		before = hash_search(observation->seen, &relation->relid, HASH_FIND, NULL);
		if (relation->relkind != RELKIND_INDEX || (before && before->filenode == relation->filenode))
			continue;
		table = hash_search(observation->seen, &relation->table, HASH_FIND, NULL);
		if (table && table->old)
			set_observed(observation->running, table->name, NULL, "index");
		if (before && before->old)
			set_observed(observation->running, before->name, NULL, "index");
	}
	hash_seq_init(&walk, now);
	while ((relation = hash_seq_search(&walk)) != NULL)
	{
		before = hash_search(observation->seen, &relation->relid, HASH_FIND, NULL);
		if (before && before->old && before->filenode != relation->filenode &&
			relation->relkind != RELKIND_INDEX && relation->relkind != RELKIND_SEQUENCE &&
			!IsA(observation->running->node, TruncateStmt))
			set_observed(observation->running, before->name, NULL, "rewrite");
	}
	hash_destroy(now);
}
