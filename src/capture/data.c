/*-------------------------------------------------------------------------
 *
 * data.c
 *	  The rows that a migration writes, as commands of it.
 *
 * Before each command that changes the schema, and before the transaction
 * ends, the rows that were written since the last look are found and kept
 * (keep/versions.c, keep/writes.c), as one command for all tables: so what it
 * does is taken back at the state of the schema in which it was done.
 *
 * TRUNCATE leaves no versions behind; its rows are kept before it runs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_largeobject.h"
#include "catalog/namespace.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "capture/data.h"
#include "compat.h"
#include "keep/large_object.h"
#include "point.h"

/* ---- when ---- */

static bool
is_wanted(void)
{
	return safemig_enabled && safemig_state.record_id == 0 &&
		!creating_extension && !IsBinaryUpgrade;
}

/*
 * The library may be loaded, and a label set, where the extension is not.  The
 * rows of a dump are no migration's; a parallel restore begins with TRUNCATE.
 */
bool
data_is_on(void)
{
	return is_wanted() && OidIsValid(get_extension_oid("safemig", true)) &&
		(safemig_state.own_depth > 0 || !in_restore_session());
}

/* Has the user said that he writes a migration? */
bool
data_is_named(void)
{
	return open_migration_id() != 0 || (safemig_label && safemig_label[0]);
}

/*
 * May what this transaction writes be recorded?  A session that has written a
 * migration before may be about to write the next one, and begin it with rows.
 * Asked before every statement, so it looks no further than a cache goes.
 */
bool
data_is_being_captured(void)
{
	return (safemig_state.written_id != 0 || safemig_state.explicit_id != 0 ||
			safemig_state.last_id != 0 || (safemig_label && safemig_label[0]) ||
			safemig_state.framework_seen != 0 ||
			safemig_capture_data == CAPTURE_DATA_TRANSACTION) &&
		safemig_state.own_depth == 0 && IsTransactionState() && is_wanted() &&
		OidIsValid(get_namespace_oid(SAFEMIG_SCHEMA, true));
}

/* ---- whose they are ---- */

static const char *
row_label(void)
{
	return safemig_state.row_label ? safemig_state.row_label : "";
}

/*
 * The migration that what was written since the last look belongs to.  What a
 * transaction writes before it has a label belongs to what it labels then.
 */
int64
data_migration_of_rows(void)
{
	if (safemig_state.written_id == 0 || safemig_state.relabelled)
	{
		state_save();
		safemig_state.written_id = history_migration_under(row_label()[0] ? row_label() : safemig_label);
		safemig_state.relabelled = false;
	}
	return safemig_state.written_id;
}

/* Rows of that migration may have been written by this transaction. */
void
data_note_writer(int64 migration)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	int64	   *id = palloc(sizeof(int64));
	ListCell   *lc;

	*id = migration;
	foreach(lc, safemig_state.writers)
	{
		if (*(int64 *) lfirst(lc) == migration)
			break;
	}
	if (lc == NULL)
	{
		state_save();
		safemig_state.writers = lappend(list_copy(safemig_state.writers), id);
	}
	MemoryContextSwitchTo(old);
}

/* ---- what was written since the last look ---- */

/* What they held before was written by the same migration, unseen. */
static Versions *
as_new_rows(Versions *versions)
{
	Versions   *fresh = versions_begin();
	TupleTableSlot *pair = MakeSingleTupleTableSlot(versions->desc, &TTSOpsMinimalTuple);
	ItemPointerData before;
	ItemPointerData after;

	while (versions_next(versions, pair, &before, &after))
	{
		if (ItemPointerIsValid(&after))
			versions_put(fresh, NULL, &after);
	}
	fresh->seen = versions->seen;
	ExecDropSingleTupleTableSlot(pair);
	versions_close(versions);
	return fresh;
}

static Versions *
written_rows(Relation rel, CommandId since)
{
	Versions   *versions = versions_find(rel, since, safemig_state.seen,
										 in_midst_of_statement());

	return RelationGetRelid(rel) == safemig_state.row_unseen_in ?
		as_new_rows(versions) : versions;
}

/* NULL: nothing was done to any. */
static Written *
large_objects_written(List *tables)
{
	Written    *all = NULL;
	ListCell   *lc;

	foreach(lc, tables)
	{
		Written    *written = lfirst(lc);

		if (!written_is_large_objects(written->relid))
			continue;
		if (all == NULL)
			all = palloc0(sizeof(Written));
		all->relid = LargeObjectRelationId;
		all->inserted += written->inserted;
		all->updated += written->updated;
		all->deleted += written->deleted;
		all->since = Max(all->since, written->since);
	}
	return all;
}

static void
record_large_objects(RecordedCommand *command, const Written *written)
{
	const char *reason = data_why_no_large_objects(command->migration, written);
	LargeObjectLook look = {written->since, safemig_state.seen, in_midst_of_statement()};
	Written		others = {.relid = LargeObjectRelationId};
	List	   *seen = NIL;
	ListCell   *lc;

	if (reason)
	{
		unkept_record(command->migration, written, "large objects", reason);
		return;
	}
	others.updated = large_objects_keep(command, &look, &seen);
	foreach(lc, seen)
		written_note_seen(lfirst(lc));
	if (others.updated > 0)
		unkept_record(command->migration, &others, "large objects",
					  "they belong to somebody else");
}

static void
record_written(int64 migration, List *tables)
{
	RecordedCommand *command = data_begin_command("DATA", migration);
	StringInfoData ids;
	Written    *large_objects;
	const char *text;
	TimestampTz start;
	ListCell   *lc;

	initStringInfo(&ids);
	foreach(lc, tables)
	{
		Written    *written = lfirst(lc);
		char	   *table = data_table_name(written->relid);
		const char *reason;

		if (table == NULL || data_made_by_migration(migration, written->relid))
			continue;
		reason = data_why_not_kept(migration, written->relid, written);
		if (reason == NULL)
			reason = data_keep_table(command, written->relid, written_rows,
												written->since, &ids);
		if (reason)
			unkept_record(migration, written, table, reason);
	}
	data_add_steps(command, &ids);
	large_objects = large_objects_written(tables);
	if (large_objects)
		record_large_objects(command, large_objects);
	text = written_statement(&start);
	data_end_command(command, text, start);
	written_forget_statement();
}

static void
record_foreign(int64 migration)
{
	ListCell   *lc;

	foreach(lc, safemig_state.foreign_written)
	{
		Written		written = {.relid = lfirst_oid(lc), .elsewhere = "a foreign table"};
		Oid			namespace = get_rel_namespace(written.relid);

		if (OidIsValid(namespace))
			unkept_record(migration, &written,
						  quote_qualified_identifier(get_namespace_name(namespace),
													 get_rel_name(written.relid)),
						  NULL);
	}
	state_save();
	safemig_state.foreign_written = NIL;
}

/* Is any of these a table whose rows are somebody's? */
static bool
any_of_interest(List *tables)
{
	ListCell   *lc;

	foreach(lc, tables)
	{
		Oid			relid = ((Written *) lfirst(lc))->relid;

		if (data_table_name(relid) || written_is_large_objects(relid))
			return true;
	}
	return false;
}

void
data_record_since_look(void)
{
	List	   *tables = written_since_look();
	int64		last_id = safemig_state.last_id;
	bool		truncated = safemig_state.truncation != NULL;
	Frame		frame;
	int64		migration;

	if (!truncated && safemig_state.foreign_written == NIL &&
		!any_of_interest(tables) && !positions_moved())
		return;
	own_work_begin();
	PushActiveSnapshot(GetTransactionSnapshot());
	frame_become_owner(&frame);
	migration = data_migration_of_rows();
	SAFEMIG_POINT("data.looks");
	data_end_truncation(migration);
	record_written(migration, tables);
	record_foreign(migration);
	SAFEMIG_POINT("data.recorded");
	written_look();
	/* a TRUNCATE of what was empty has begun one before this look */
	if ((migration > last_id || truncated) && history_forget_if_empty(migration))
	{
		safemig_state.written_id = safemig_state.xact_id = 0;
		safemig_state.last_id = last_id;
	}
	else
		data_note_writer(migration);
	frame_unpin(&frame);
	PopActiveSnapshot();
	own_work_end();
}

void
data_record_for_command(void)
{
	if (data_is_on())
		data_record_since_look();
}

/* In a frame of our own, where the transaction may have none any more. */
static void
as_owner(void (*what) (int64 migration), int64 migration)
{
	Frame		frame;

	own_work_begin();
	PushActiveSnapshot(GetTransactionSnapshot());
	frame_become_owner(&frame);
	what(migration);
	frame_unpin(&frame);
	PopActiveSnapshot();
	own_work_end();
}

/* Without the counters nobody can tell which tables were written. */
static void
record_blindness(int64 migration)
{
	RecordedCommand *command;

	command = data_begin_command("DATA", migration);
	command->unkept = "not known, since track_counts is off";
	command->irreversible = "the rows that it wrote were not kept: track_counts is off";
	history_write_command(command, NULL,
						  GetConfigOption("search_path", false, false),
						  GetCurrentTimestamp(), 0, NIL);
	ereport(WARNING,
			(errcode(ERRCODE_SAFEMIG_IRREVERSIBLE),
			 errmsg("the migration is irreversible: %s", command->irreversible),
			 errhint("SET track_counts = on before a migration.")));
}

/* Does what was written since the last look belong to a migration? */
static bool
is_of_migration(void)
{
	return safemig_state.written_id != 0 || data_is_named() || row_label()[0] ||
		safemig_capture_data == CAPTURE_DATA_TRANSACTION ||
		safemig_state.begun_id != 0 || framework_writes_rows();
}

bool
data_is_of_migration(void)
{
	return safemig_state.own_depth == 0 && !IsParallelWorker() && IsTransactionState() &&
		is_of_migration() && data_is_on();
}

void
data_record_pending(void)
{
	ListCell   *lc;

	if ((safemig_state.undone_id == 0 && !is_of_migration()) || !data_is_on())
		return;
	data_record_since_look();
	if (safemig_state.undone_id != 0)
		as_owner(history_note_writer, safemig_state.undone_id);
	if (safemig_state.written_id != 0 && !pgstat_track_counts)
		as_owner(record_blindness, safemig_state.written_id);
	/* a command may have written rows anew without any of the user's */
	if (safemig_state.written_id != 0 && safemig_state.written != NIL)
		data_note_writer(safemig_state.written_id);
	foreach(lc, safemig_state.writers)
		as_owner(history_note_writer, *(int64 *) lfirst(lc));
}

/*
 * What comes now belongs to another migration than what was written up to now.
 * That belongs to none where nobody had said so.
 */
static void
part(void)
{
	if (is_of_migration())
		data_record_since_look();
	else if (anything_written_since_look())
		written_look();
	if (safemig_state.written_id != 0 && !pgstat_track_counts)
		as_owner(record_blindness, safemig_state.written_id);
	positions_recorded();
}

/* An explicit migration begins. */
void
data_explicit_begins(void)
{
	if (data_is_on())
		part();
	state_save();
	safemig_state.written_id = 0;
}

/* What follows it goes on with what was before. */
void
data_explicit_ends(void)
{
	if (data_is_on())
		part();
	state_save();
	safemig_state.written_id = safemig_state.xact_id;
	safemig_state.relabelled = safemig_label && safemig_label[0];
}

/* Called before each statement. */
void
data_follow_label(void)
{
	const char *now = safemig_label ? safemig_label : "";

	/* a label may be set where the extension is not: no further than a cache */
	if (strcmp(row_label(), now) == 0 || safemig_state.own_depth > 0 ||
		!IsTransactionState() || IsParallelWorker() || !is_wanted() ||
		!OidIsValid(get_namespace_oid(SAFEMIG_SCHEMA, true)))
		return;
	if ((safemig_state.written_id != 0 || row_label()[0]) && data_is_on())
	{
		part();
		safemig_state.relabelled = now[0] != '\0';
	}
	state_save();
	safemig_state.row_label = MemoryContextStrdup(TopTransactionContext, now);
}

/*
 * Before a command that is about something that is there already: its rows are
 * looked for while their table is as it was.
 */
void
data_before_command(Command *command, List *dropped)
{
	ListCell   *lc;
	bool		lasting = safemig_state.written_id != 0;

	if (!data_is_on() ||
		(!anything_written_since_look() && safemig_state.foreign_written == NIL &&
		 !positions_moved()))
		return;
	foreach(lc, command->roots)
		lasting = lasting || !address_is_temporary(lfirst(lc));
	foreach(lc, dropped)
		lasting = lasting || !address_is_temporary(lfirst(lc));
	if (lasting)
		data_record_since_look();
}

