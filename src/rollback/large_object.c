/*-------------------------------------------------------------------------
 *
 * large_object.c
 *	  safemig.undo_large_objects: the step that takes back what a migration
 *	  did to large objects.
 *
 * Those that it made are unlinked, those that it unlinked are made, and then
 * the pages of both kinds, and of those that it wrote, are taken back like
 * rows.  What that does is recorded the same way: its reverse is this step.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_largeobject.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "keep/large_object.h"
#include "rollback/rollback.h"

PG_FUNCTION_INFO_V1(safemig_undo_large_objects);

static bool
is_large_object(const Change *change)
{
	const Image *image = change->before ? change->before : change->after;

	return image->class == registry_find("large object");
}

/* One that it made may be gone already, as it should be. */
static void
unlink_made(List *changes)
{
	ListCell   *lc;

	foreach(lc, changes)
	{
		Change	   *change = lfirst(lc);

		if (change->action != 'w' && change->after &&
			LargeObjectExists(large_object_oid(change->after)))
			large_object_unlink(large_object_oid(change->after));
	}
}

static void
make_unlinked(List *changes)
{
	ListCell   *lc;

	foreach(lc, changes)
	{
		Change	   *change = lfirst(lc);

		if (change->action == 'w' || change->before == NULL)
			continue;
		if (LargeObjectExists(large_object_oid(change->before)))
			ereport(ERROR,
					(errcode(ERRCODE_SAFEMIG_CONFLICT),
					 errmsg("cannot restore large object %s: there is one of that number",
							change->before->identity)));
		large_object_make(change->before);
	}
}

/* All pages that one command wrote are kept together. */
static void
undo_pages(List *changes)
{
	KeptTable	table = {NULL, LargeObjectRelationId};
	ListCell   *lc;

	foreach(lc, changes)
	{
		Change	   *change = lfirst(lc);

		if (change->before && change->before->kept)
			table.kept = history_get_kept(change->before->kept);
	}
	if (table.kept == NULL)
		return;
	undo_table(&table);
	writes_refuse();
}

static void
record(List *changes, CommandId since, TimestampTz started)
{
	RecordedCommand *command = palloc0(sizeof(RecordedCommand));
	LargeObjectLook look = {.since = since,.whoever = true};
	List	   *seen = NIL;

	command->seq = history_next_command();
	command->migration = safemig_state.record_id;
	command->tag = "UNDO LARGE OBJECTS";
	if (safemig_keep_undone)
		(void) large_objects_keep(command, &look, &seen);
	else
	{
		command->changes = changes;
		command->irreversible = "what was in large objects was not kept";
	}
	history_write_command(command, NULL,
						  GetConfigOption("search_path", false, false), started,
						  (GetCurrentTimestamp() - started) / 1000.0, NIL);
}

/* What the command did, the other way round, and without what it kept. */
static List *
turned_round(List *changes)
{
	List	   *list = NIL;
	ListCell   *lc;

	foreach(lc, changes)
	{
		Change	   *change = lfirst(lc);
		Change	   *turned = palloc0(sizeof(Change));

		turned->action = change->action == 'c' ? 'd' : change->action == 'd' ? 'c' : change->action;
		turned->before = change->after;
		turned->after = change->before;
		list = lappend(list, turned);
	}
	return list;
}

Datum
safemig_undo_large_objects(PG_FUNCTION_ARGS)
{
	TimestampTz started = GetCurrentTimestamp();
	List	   *changes = NIL;
	CommandId	since;
	Frame		frame;
	ListCell   *lc;

	check_own_call("undo_large_objects");
	if (safemig_state.record_id == 0)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("undo_large_objects() is a step of a rollback"),
				 errhint("SELECT safemig_rollback(id);")));
	frame_become_owner(&frame);
	own_work_begin();
	foreach(lc, history_changes(PG_GETARG_INT64(0)))
	{
		if (is_large_object(lfirst(lc)))
			changes = lappend(changes, lfirst(lc));
	}
	LockRelationOid(LargeObjectRelationId, ShareRowExclusiveLock);
	CommandCounterIncrement();
	since = GetCurrentCommandId(false);
	unlink_made(changes);
	make_unlinked(changes);
	undo_pages(changes);
	record(turned_round(changes), since, started);
	own_work_end();
	frame_unpin(&frame);
	PG_RETURN_VOID();
}
