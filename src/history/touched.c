/*-------------------------------------------------------------------------
 *
 * touched.c
 *	  What a transaction did to which migration, when it commits: those who
 *	  LISTEN are told, and the counters of the tables that it changed are
 *	  written down, for safemig.impact.
 *
 * Notes are only put in front of each other, so that the state that a savepoint
 * saved still stands when what came after it is undone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "history/history.h"
#include "point.h"

typedef struct TouchedKey
{
	int64		migration;
	int64		relid;			/* 0: of the migration itself */
} TouchedKey;

typedef struct Touched
{
	struct Touched *next;
	TouchedKey	key;
} Touched;

/* ---- while the transaction runs ---- */

static void
note(int64 migration, Oid relid)
{
	Touched    *touched = MemoryContextAlloc(TopTransactionContext, sizeof(Touched));

	state_save();
	touched->next = safemig_state.touched;
	touched->key.migration = migration;
	touched->key.relid = relid;
	safemig_state.touched = touched;
}

/* The table that was changed, or in which something was. */
static Oid
table_of(const Change *change)
{
	const Image *image = change->before ? change->before : change->after;

	if (change->action == 'n' || change->action == 'r')
		return InvalidOid;
	if (image->parent.classId == RelationRelationId && OidIsValid(image->parent.objectId))
		return image->parent.objectId;
	return image->address.classId == RelationRelationId ? image->address.objectId : InvalidOid;
}

void
history_note_touched(const RecordedCommand *command)
{
	Oid			last = InvalidOid;
	ListCell   *lc;

	note(command->migration, InvalidOid);
	foreach(lc, command->changes)
	{
		Oid			relid = table_of(lfirst(lc));

		if (!OidIsValid(relid) || relid == last)
			continue;
		note(command->migration, relid);
		last = relid;
	}
}

/* ---- its end: counters ---- */

/* Those of pg_stat_user_tables, in that order. */
#define NCOUNTERS	7

static int64
counter(PGFunction function, Oid relid)
{
	return DatumGetInt64(DirectFunctionCall1(function, ObjectIdGetDatum(relid)));
}

static void
read_counters(Relation rel, int64 *counters)
{
	Oid			relid = RelationGetRelid(rel);
	ListCell   *lc;

	counters[0] = counter(pg_stat_get_numscans, relid);
	counters[1] = counter(pg_stat_get_tuples_returned, relid);
	counters[2] = 0;
	counters[3] = counter(pg_stat_get_tuples_fetched, relid);
	counters[4] = counter(pg_stat_get_tuples_inserted, relid);
	counters[5] = counter(pg_stat_get_tuples_updated, relid);
	counters[6] = counter(pg_stat_get_tuples_deleted, relid);
	foreach(lc, RelationGetIndexList(rel))
		counters[2] += counter(pg_stat_get_numscans, lfirst_oid(lc));
}

static void
write_counters(const TouchedKey *key)
{
	int64		counters[NCOUNTERS];
	Datum		values[NCOUNTERS + 3];
	bool		nulls[NCOUNTERS + 3] = {false};
	char		relkind = get_rel_relkind(key->relid);
	Relation	rel;

	if ((relkind != RELKIND_RELATION && relkind != RELKIND_MATVIEW) ||
		vault_is_schema(get_rel_namespace(key->relid)))
		return;
	rel = relation_open_now(key->relid);
	if (rel == NULL)
		return;
	read_counters(rel, counters);
	values[0] = Int64GetDatum(key->migration);
	values[1] = ObjectIdGetDatum((Oid) key->relid);
	for (int i = 0; i < NCOUNTERS; i++)
		values[2 + i] = Int64GetDatum(counters[i]);
	values[2 + NCOUNTERS] = TimestampTzGetDatum(GetCurrentTimestamp());
	history_insert("counter_log", values, nulls, lengthof(values));
	relation_close(rel, NoLock);
}

/* ---- its end: those who listen ---- */

/* A payload has less than 8000 bytes. */
static void
tell(int64 migration)
{
	Oid			types[2] = {INT8OID, BOOLOID};
	Datum		args[2] = {Int64GetDatum(migration), BoolGetDatum(safemig_notify == NOTIFY_ALL)};

	SPI_connect();
	if (SPI_execute_with_args("SELECT pg_catalog.json_build_object('event', m.kind, 'migration', m.id,"
							  " 'label', pg_catalog.\"left\"(m.label, 300),"
							  " 'role', m.session_role, 'rolls_back', m.rolls_back[1:100],"
							  " 'reason', pg_catalog.\"left\"(m.reason, 300))::text"
							  " FROM safemig.migration_log m WHERE m.id OPERATOR(pg_catalog.=) $1"
							  " AND ($2 OR m.kind OPERATOR(pg_catalog.=) ANY (ARRAY['rollback', 'redo']))",
							  2, types, args, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read migration_log");
	if (SPI_processed > 0)
		Async_Notify(SAFEMIG_CHANNEL,
					 SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	SPI_finish();
}

/* ---- its end ---- */

/* Each once, in the order in which they came. */
static List *
distinct_keys(void)
{
	HASHCTL		ctl = {.keysize = sizeof(TouchedKey),.entrysize = sizeof(TouchedKey),.hcxt = CurrentMemoryContext};
	HTAB	   *known = hash_create("safemig touched", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	List	   *keys = NIL;

	for (Touched *at = safemig_state.touched; at; at = at->next)
	{
		bool		found;
		TouchedKey *key = hash_search(known, &at->key, HASH_ENTER, &found);

		if (!found)
			keys = lappend(keys, key);
	}
	for (int i = 0, j = list_length(keys) - 1; i < j; i++, j--)
	{
		void	   *first = list_nth(keys, i);

		lfirst(list_nth_cell(keys, i)) = list_nth(keys, j);
		lfirst(list_nth_cell(keys, j)) = first;
	}
	return keys;
}

/* A transaction that is prepared may not notify: who listens hears nothing. */
void
history_transaction_ends(bool commits)
{
	bool		tells = commits && (safemig_notify == NOTIFY_ALL ||
									(safemig_notify == NOTIFY_ROLLBACKS && safemig_state.undone_id != 0));
	List	   *keys;
	ListCell   *lc;
	Frame		frame;

	/* the extension may have gone since, with all that it wrote */
	if (safemig_state.touched == NULL || !OidIsValid(get_extension_oid("safemig", true)))
		return;
	own_work_begin();
	PushActiveSnapshot(GetTransactionSnapshot());
	frame_become_owner(&frame);
	keys = distinct_keys();
	foreach(lc, keys)
	{
		const TouchedKey *key = lfirst(lc);

		if (key->relid != InvalidOid)
			write_counters(key);
		else if (tells)
			tell(key->migration);
	}
	safemig_state.touched = NULL;
	frame_unpin(&frame);
	PopActiveSnapshot();
	own_work_end();
	SAFEMIG_POINT("commit.told");
}
