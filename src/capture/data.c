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

#include "advise/advise.h"
#include "capture/capture.h"
#include "capture/written.h"
#include "compat.h"
#include "history/history.h"
#include "keep/large_object.h"
#include "keep/writes.h"
#include "point.h"

static void end_truncation(int64 migration);

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
static bool
is_on(void)
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
static int64
migration_of_rows(void)
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
static void
note_writer(int64 migration)
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

/* ---- one command ---- */

static RecordedCommand *
begin_command(const char *tag, int64 migration)
{
	RecordedCommand *command = palloc0(sizeof(RecordedCommand));

	command->seq = history_next_command();
	command->migration = migration;
	command->tag = pstrdup(tag);
	return command;
}

static void
keep_table(RecordedCommand *command, Oid relid, FindVersions find, uint32 since,
		   StringInfo ids)
{
	Relation	rel = table_open(relid, AccessShareLock);
	Versions   *versions = find(rel, since);
	Kept	   *kept = writes_keep(rel, versions, columns_of_migration(command->migration, relid),
								   command->migration, command->seq);

	if (versions->seen)
		written_note_seen(versions->seen);
	versions_close(versions);
	table_close(rel, NoLock);
	if (kept == NULL)
		return;
	SAFEMIG_POINT("data.kept");
	history_add_table(command, relid, 'w', kept);
	appendStringInfo(ids, "%s" INT64_FORMAT, ids->len ? "," : "", kept->id);
}

typedef struct KeptTable
{
	RecordedCommand *command;
	Oid			relid;
	FindVersions find;
	uint32		since;
	StringInfo	ids;
} KeptTable;

static bool
try_to_keep(void *arg)
{
	KeptTable  *table = arg;

	keep_table(table->command, table->relid, table->find, table->since, table->ids);
	return true;
}

/* NULL, or why not: the copy of a table needs more columns than the table has. */
static const char *
keep_table_unless_too_wide(RecordedCommand *command, Oid relid, FindVersions find,
						   uint32 since, StringInfo ids)
{
	KeptTable	table = {command, relid, find, since, ids};
	Relation	rel = table_open(relid, AccessShareLock);
	bool		may_fail = writes_may_be_too_wide(rel);
	ErrorData  *error;

	table_close(rel, NoLock);
	error = may_fail ? attempt(try_to_keep, &table) : NULL;
	if (!may_fail)
		(void) try_to_keep(&table);
	if (error && error->sqlerrcode != ERRCODE_TOO_MANY_COLUMNS &&
		error->sqlerrcode != ERRCODE_PROGRAM_LIMIT_EXCEEDED)
		ReThrowError(error);
	return error ? "its rows are too wide for a copy with more columns" : NULL;
}

typedef struct DataSteps
{
	RecordedCommand *command;
	Steps		steps;
} DataSteps;

/* A command without rows is about the table that was to have some, if any. */
static void
restore_position(void *arg, const NotedPosition *noted, const Kept *kept)
{
	DataSteps  *data = arg;
	Step	   *step;

	if (data->command->changes == NIL)
		history_add_table(data->command,
						  OidIsValid(get_rel_namespace(noted->relid)) ? noted->relid : noted->seqid,
						  'w', NULL);
	data->steps.image = ((Change *) linitial(data->command->changes))->before;
	step = step_add(&data->steps, RANK_COMMON, RUN_CATALOG, "SHARE ROW EXCLUSIVE", "scan",
					"SELECT safemig.restore_position(" INT64_FORMAT ")", kept->id);
	step->object = psprintf("sequence %s", kept->identity);
	step->note = pstrdup("not below a value that is in use");
}

/* The changes up to now are those of tables. */
static void
add_row_step(DataSteps *data, StringInfo ids)
{
	int			tables = list_length(data->command->changes);

	steps_init(&data->steps);
	if (tables == 0)
		return;
	data->steps.image = ((Change *) linitial(data->command->changes))->before;
	step_add(&data->steps, RANK_COMMON, RUN_CATALOG, "ACCESS EXCLUSIVE", "scan",
			 "SELECT safemig.undo_writes('{%s}')", ids->data)->note =
		psprintf("takes back what was written in %d table%s", tables, tables == 1 ? "" : "s");
}

static void
add_steps(RecordedCommand *command, StringInfo ids)
{
	DataSteps	data = {command};

	add_row_step(&data, ids);
	positions_record(command->migration, command->seq, restore_position, &data);
	command->steps = data.steps.list;
}

static void
end_command(RecordedCommand *command)
{
	if (command->changes == NIL)
		return;
	policy_note_overrides(command->migration);
	history_write_command(command, command_text(command->tag),
						  GetConfigOption("search_path", false, false),
						  GetCurrentTimestamp(), 0, NIL);
}

/* ---- what another session wrote ---- */

/* writer: what find is to be called with */
void
data_record_rows(int64 migration, List *relids, FindVersions find, uint32 writer)
{
	RecordedCommand *command = begin_command("DATA", migration);
	DataSteps	data = {command};
	StringInfoData ids;
	ListCell   *lc;

	initStringInfo(&ids);
	foreach(lc, relids)
		keep_table(command, lfirst_oid(lc), find, writer, &ids);
	add_row_step(&data, &ids);
	command->steps = data.steps.list;
	if (command->changes != NIL)
		history_write_command(command, NULL, GetConfigOption("search_path", false, false),
							  GetCurrentTimestamp(), 0, NIL);
}

/* Of the rows that this transaction wrote into that table: those of that one. */
void
data_record_versions(int64 migration, Oid relid, FindVersions find, uint32 which)
{
	data_record_rows(migration, list_make1_oid(relid), find, which);
	note_writer(migration);
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
	RecordedCommand *command = begin_command("DATA", migration);
	StringInfoData ids;
	Written    *large_objects;
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
			reason = keep_table_unless_too_wide(command, written->relid, written_rows,
												written->since, &ids);
		if (reason)
			unkept_record(migration, written, table, reason);
	}
	add_steps(command, &ids);
	large_objects = large_objects_written(tables);
	if (large_objects)
		record_large_objects(command, large_objects);
	end_command(command);
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

static void
record_since_look(void)
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
	migration = migration_of_rows();
	SAFEMIG_POINT("data.looks");
	end_truncation(migration);
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
		note_writer(migration);
	frame_unpin(&frame);
	PopActiveSnapshot();
	own_work_end();
}

void
data_record_for_command(void)
{
	if (is_on())
		record_since_look();
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

	command = begin_command("DATA", migration);
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
		is_of_migration() && is_on();
}

void
data_record_pending(void)
{
	ListCell   *lc;

	if ((safemig_state.undone_id == 0 && !is_of_migration()) || !is_on())
		return;
	record_since_look();
	if (safemig_state.undone_id != 0)
		as_owner(history_note_writer, safemig_state.undone_id);
	if (safemig_state.written_id != 0 && !pgstat_track_counts)
		as_owner(record_blindness, safemig_state.written_id);
	/* a command may have written rows anew without any of the user's */
	if (safemig_state.written_id != 0 && safemig_state.written != NIL)
		note_writer(safemig_state.written_id);
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
		record_since_look();
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
	if (is_on())
		part();
	state_save();
	safemig_state.written_id = 0;
}

/* What follows it goes on with what was before. */
void
data_explicit_ends(void)
{
	if (is_on())
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
	if ((safemig_state.written_id != 0 || row_label()[0]) && is_on())
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

	if (!is_on() ||
		(!anything_written_since_look() && safemig_state.foreign_written == NIL &&
		 !positions_moved()))
		return;
	foreach(lc, command->roots)
		lasting = lasting || !address_is_temporary(lfirst(lc));
	foreach(lc, dropped)
		lasting = lasting || !address_is_temporary(lfirst(lc));
	if (lasting)
		record_since_look();
}

/* ---- TRUNCATE ---- */

static Versions *
all_rows(Relation rel, CommandId since)
{
	return versions_of_all(rel);
}

static Oid
relation_storage(Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	Oid			storage = rel->rd_rel->relfilenode;

	table_close(rel, NoLock);
	return storage;
}

/* One statement truncates several tables; they are one command. */
typedef struct Truncation
{
	RecordedCommand command;
	StringInfoData ids;
} Truncation;

/* The one under way, as a copy that an outer level does not share; or a new one. */
static Truncation *
open_truncation(int64 migration)
{
	Truncation *before = safemig_state.truncation;
	Truncation *truncation = palloc0(sizeof(Truncation));

	initStringInfo(&truncation->ids);
	if (before)
	{
		truncation->command = before->command;
		truncation->command.changes = list_copy(before->command.changes);
		appendStringInfoString(&truncation->ids, before->ids.data);
	}
	else
		truncation->command = *begin_command("TRUNCATE", migration);
	state_save();
	safemig_state.truncation = truncation;
	return truncation;
}

/* NULL, or why not. */
static const char *
keep_truncated(int64 migration, Oid relid)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Truncation *truncation = open_truncation(migration);
	const char *reason;

	positions_note(relid);
	reason = keep_table_unless_too_wide(&truncation->command, relid, all_rows, 0,
										&truncation->ids);
	if (reason == NULL)
		written_truncation_kept(relid, relation_storage(relid));
	MemoryContextSwitchTo(old);
	return reason;
}

/* The migration may have become part of another one since. */
static void
end_truncation(int64 migration)
{
	Truncation *truncation = safemig_state.truncation;

	if (truncation == NULL)
		return;
	state_save();
	safemig_state.truncation = NULL;
	truncation->command.migration = migration;
	add_steps(&truncation->command, &truncation->ids);
	end_command(&truncation->command);
}

static bool
rows_were_written(void)
{
	ListCell   *lc;

	foreach(lc, written_since_look())
	{
		Written    *written = lfirst(lc);

		if (written_counts_differ(written) && data_table_name(written->relid))
			return true;
	}
	return false;
}

/*
 * What is not kept for another reason than its size is found when the rows are
 * looked for, and not there.
 */
static void
truncate_table(int64 migration, Oid relid)
{
	Written		all = {.relid = relid};
	const char *reason = data_why_not_kept(migration, relid, &all);

	if (reason == NULL)
		reason = keep_truncated(migration, relid);
	else if (strcmp(reason, DATA_OVER_LIMIT) != 0)
		return;
	if (reason)
	{
		all.truncated = true;
		unkept_record(migration, &all, data_table_name(relid), reason);
		written_truncation_kept(relid, relation_storage(relid));
	}
}

/*
 * Called for each table before it is truncated, but before it is locked.  It is
 * no row's change but the table's: like DDL it is a migration by itself.
 */
void
data_keep_truncated(Oid relid)
{
	Frame		frame;
	int64		migration;

	if ((safemig_state.written_id == 0 && !data_is_named() &&
		 safemig_capture_data == CAPTURE_DATA_EXPLICIT) || !is_on() ||
		data_table_name(relid) == NULL ||
		pg_class_aclcheck(relid, GetUserId(), ACL_TRUNCATE) != ACLCHECK_OK)
		return;
	LockRelationOid(relid, AccessExclusiveLock);
	/* PostgreSQL asks twice for what the statement names */
	if (written_is_truncation_kept(relid, relation_storage(relid)))
		return;
	own_work_begin();
	frame_become_owner(&frame);
	migration = migration_of_rows();
	if (rows_were_written())
		record_since_look();
	SAFEMIG_POINT("truncate.begins");
	if (!data_made_by_migration(migration, relid))
		truncate_table(migration, relid);
	SAFEMIG_POINT("truncate.kept");
	framework_table_emptied(relid);
	frame_unpin(&frame);
	own_work_end();
}
