/*-------------------------------------------------------------------------
 *
 * framework.c
 *	  Migrations that a framework runs: where each begins and ends, and what
 *	  it is called.
 *
 * A framework writes a row into its history table for each migration.  When it
 * does so in the session that has run the commands, all that this session has
 * done since its last such row is that migration, whether in one transaction or
 * in many: the implicit migrations of these transactions become one, the row
 * is recorded in it as any other row is, and what follows is the next one.
 * So a rollback takes the row back as that migration wrote it, and a redo
 * writes it again.
 *
 * A row that disappears, or names an older migration, is the framework's own
 * way back.  A row that says that its migration has only begun (Prisma) gathers
 * what follows it.  Where another session writes the row (Sqitch) the one
 * other session that has done anything is meant; of two, none.
 *
 * Who has given his migration a name, or opened one, has said where it begins
 * and ends: then framework and version are noted, and nothing else.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "capture/capture.h"
#include "capture/reading.h"
#include "capture/written.h"
#include "compat.h"
#include "history/framework.h"
#include "keep/vault.h"
#include "keep/writes.h"

static ExecutorFinish_hook_type next_executor_finish_hook = NULL;

/*
 * Rows that a framework writes in transactions without any DDL are a migration
 * only if its row follows.  So many milliseconds after it was seen at its
 * history table, a session is taken to be still at it.
 */
#define AT_WORK_MS	10000

/* ---- small tools ---- */

static bool
is_wanted(void)
{
	return safemig_enabled && safemig_state.own_depth == 0 &&
		safemig_state.record_id == 0 && !creating_extension &&
		!IsBinaryUpgrade && !IsParallelWorker() && IsTransactionState() &&
		OidIsValid(get_namespace_oid(SAFEMIG_SCHEMA, true));
}

static bool
is_named(void)
{
	return open_migration_id() != 0 || (safemig_label && safemig_label[0]);
}

/* ---- a framework at work ---- */

static void
note_seen(const Framework *framework)
{
	safemig_state.framework_rows = framework->by_statement ||
		framework->row_written == ROW_AFTER || framework->row_written == ROW_BEFORE;
	safemig_state.framework_seen = GetCurrentTimestamp();
}

/* Whoever looks at a history may be anybody; who makes one or writes it is not. */
static void
note_at_work(const Framework *framework)
{
	note_seen(framework);
	if (safemig_state.framework && strcmp(safemig_state.framework, framework->name) == 0)
		return;
	state_save();
	safemig_state.framework = MemoryContextStrdup(TopMemoryContext, framework->name);
}

/* Are rows that are written without any DDL likely to be a migration's? */
bool
framework_writes_rows(void)
{
	return safemig_state.framework_rows && safemig_state.framework_seen != 0 &&
		!TimestampDifferenceExceeds(safemig_state.framework_seen,
									GetCurrentTimestamp(), AT_WORK_MS);
}

/* ---- what is done about it ---- */

/* What is recorded now belongs to that one. */
static void
write_to(int64 id)
{
	state_save();
	safemig_state.xact_id = safemig_state.written_id = id;
	safemig_state.relabelled = false;
}

static void
what_follows_is_another(int64 id)
{
	state_save();
	safemig_state.xact_id = safemig_state.written_id = 0;
	safemig_state.begun_id = safemig_state.reverted_id = 0;
	safemig_state.framework_done = Max(safemig_state.last_id, id);
}

static void
mark_reverted(List *ids, int64 by)
{
	ListCell   *lc;

	foreach(lc, ids)
	{
		if (*(int64 *) lfirst(lc) != by)
			migration_mark_reverted(*(int64 *) lfirst(lc), by);
	}
}

/* Where rows of a migration that was redone are to be recorded. */
static int64
record_of(int64 id)
{
	return history_get_migration(id, false)->effective;
}

/*
 * What Alembic does to a branch when it merges it with another looks like the
 * way back until the row of the other one is written.
 */
static int64
revert_that_goes_on(const Framework *framework)
{
	int64		id = safemig_state.reverted_id;

	if (!framework->one_row || id == 0 || safemig_state.xact_id != 0 ||
		safemig_state.written_id != 0)
		return 0;
	migration_mark_reverted(0, id);
	migration_forget_name(id);
	return id;
}

/* All that has no row yet, as one; a new one where there is nothing.  0: unknown. */
static int64
gather(const Framework *framework, const Reading *reading, const char *label)
{
	List	   *ids = NIL;
	int64		goes_on = reading->meaning == MEANS_DONE ? revert_that_goes_on(framework) : 0;
	int64		id;

	if (framework->row_written == ROW_ELSEWHERE)
		ids = unfinished_elsewhere(framework);
	if (ids == NIL)
		ids = unfinished_here(framework);
	if (safemig_state.begun_id)
		ids = lcons(&safemig_state.begun_id, ids);
	if (reading->begun)
		ids = lcons(unconstify(int64 *, &reading->begun), ids);
	if (goes_on)
		ids = lcons(&goes_on, ids);
	id = migrations_merge(ids);
	/* a row whose commands nobody knows must not promise to take them back */
	if (id == 0 && framework->row_written != ROW_ELSEWHERE)
		id = history_new_migration("migration", label, "applied", NULL);
	return id;
}

static void
begin(const Framework *framework, const Reading *reading)
{
	bool		back = reading->row && reading_is_back(framework, reading->row);
	const char *label = reading->row && !back ? reading->row->label : NULL;
	int64		id = safemig_state.begun_id;

	if (id == 0)
	{
		/* what it says of itself counts when it is done */
		HistoryRow	begun = {.history = reading->row ? reading->row->history : NULL};

		id = gather(framework, reading, label);
		migration_name(id, framework, label, &begun, NULL);
		state_save();
		safemig_state.begun_id = id;
	}
	write_to(id);
	data_record_for_command();
}

/* A new row of one that is known; with what was done to the table before it. */
static void
more_rows(const Framework *framework, const Reading *reading)
{
	int64		id = record_of(*(int64 *) linitial(reading->about));
	List	   *ids = unfinished_here(framework);
	ListCell   *lc;
	bool		merged = false;
	int64		xact_id = safemig_state.xact_id;
	int64		written_id = safemig_state.written_id;

	if (safemig_state.truncation != NULL)
	{
		foreach(lc, ids)
			merged |= *(int64 *) lfirst(lc) == xact_id;
		(void) migrations_merge(lcons(&id, ids));
	}
	write_to(id);
	data_record_for_command();
	safemig_state.xact_id = merged ? 0 : xact_id;
	safemig_state.written_id = merged ? 0 : written_id;
}

/* Of the statement that is looked at. */
static List *readings_now = NIL;

static bool
is_about(const Reading *reading, int64 id)
{
	return reading->meaning == MEANS_MORE && *(int64 *) linitial(reading->about) == id;
}

static bool
is_first_about(int64 id, int index)
{
	for (int i = 0; i < index; i++)
	{
		if (is_about(list_nth(readings_now, i), id))
			return false;
	}
	return true;
}

static Versions *
versions_about(Relation rel, uint32 which)
{
	int64		id = *(int64 *) linitial(((Reading *) list_nth(readings_now, which))->about);
	Versions   *versions = versions_begin();
	ListCell   *lc;

	foreach(lc, readings_now)
	{
		Reading    *reading = lfirst(lc);

		if (is_about(reading, id))
			versions_put(versions, &reading->before,
						 ItemPointerIsValid(&reading->after) ? &reading->after : NULL);
	}
	return versions;
}

/* Rows that were there are changed: each belongs to its own migration. */
static void
more_of_each(Oid relid, List *readings)
{
	ListCell   *lc;

	readings_now = readings;
	foreach(lc, readings)
	{
		Reading    *reading = lfirst(lc);
		int64		id;

		if (reading->meaning != MEANS_MORE)
			continue;
		id = *(int64 *) linitial(reading->about);
		if (reading->renamed)
			migration_rename(id, reading->row);
		if (is_first_about(id, foreach_current_index(lc)))
			data_record_versions(record_of(id), relid, versions_about,
								 foreach_current_index(lc));
	}
	readings_now = NIL;
	written_look_at(relid);
}

static void
more(const Framework *framework, Oid relid, const Reading *reading, List *readings)
{
	ListCell   *lc;

	foreach(lc, readings)
	{
		Reading    *one = lfirst(lc);

		if (one->meaning == MEANS_MORE && !ItemPointerIsValid(&one->before))
		{
			more_rows(framework, reading);
			return;
		}
	}
	more_of_each(relid, readings);
}

static void
done(const Framework *framework, const Reading *reading)
{
	int64		id = gather(framework, reading, reading->row->label);

	if (id == 0)
	{
		written_look();
		return;
	}
	write_to(id);
	data_record_for_command();
	migration_name(id, framework, reading->row->label, reading->row, reading->previous);
	mark_reverted(reading->about, id);
	what_follows_is_another(id);
}

static void
reverted(const Framework *framework, const Reading *reading)
{
	char	   *label = psprintf("revert of %s", reading->row->label);
	int64		id = gather(framework, reading, label);

	if (id == 0)
	{
		written_look();
		return;
	}
	write_to(id);
	data_record_for_command();
	if (id == safemig_state.begun_id)
		migration_forget_name(id);
	migration_name(id, framework, label, reading->row, NULL);
	mark_reverted(reading->about, id);
	what_follows_is_another(id);
	safemig_state.reverted_id = id;
}

/* Who has said himself what his migration is. */
static void
note_in_named(const Framework *framework, const Reading *reading)
{
	int64		id;

	data_record_for_command();
	id = safemig_state.written_id;
	if (id && reading->meaning == MEANS_DONE)
		migration_name(id, framework, NULL, reading->row, reading->previous);
	if (id && reading->meaning >= MEANS_REVERTED)
		mark_reverted(reading->about, id);
}

static void
act(const Framework *framework, Oid relid, const Reading *reading, List *readings)
{
	if (reading->was_unseen)
	{
		state_save();
		safemig_state.row_unseen_in = relid;
	}
	if (is_named())
	{
		note_in_named(framework, reading);
		safemig_state.row_unseen_in = InvalidOid;
		return;
	}
	switch (reading->meaning)
	{
		case MEANS_NOTHING:
			/* a row of the framework's own, as for a version 0: no migration's */
			if (safemig_state.written_id == 0)
				written_look();
			break;
		case MEANS_BEGUN:
			begin(framework, reading);
			break;
		case MEANS_MORE:
			more(framework, relid, reading, readings);
			break;
		case MEANS_REVERTED:
			reverted(framework, reading);
			break;
		case MEANS_DONE:
			done(framework, reading);
			break;
	}
	safemig_state.row_unseen_in = InvalidOid;
}

/*
 * The last row that means most: a statement that writes several at once (a
 * schema that is loaded as a whole) is one migration, by the last's name.  It
 * reverts whatever any of them says to be gone.
 */
static Reading
meaning_of(List *readings)
{
	Reading		whole = {MEANS_NOTHING};
	List	   *gone = NIL;
	ListCell   *lc;

	foreach(lc, readings)
	{
		const Reading *reading = lfirst(lc);

		if (reading->meaning == MEANS_REVERTED)
			gone = list_concat(gone, reading->about);
		if (reading->meaning >= whole.meaning)
			whole = *reading;
	}
	if (whole.meaning >= MEANS_REVERTED)
		whole.about = gone;
	return whole;
}

/* What was begun here may have been rolled back elsewhere. */
static void
forget_begun_that_is_gone(void)
{
	Migration  *begun = safemig_state.begun_id ?
		history_get_migration(safemig_state.begun_id, true) : NULL;

	if (begun && strcmp(begun->state, "applied") == 0 && begun->effective == begun->id)
		return;
	state_save();
	safemig_state.begun_id = 0;
}

/* In the memory of the transaction; the list of an outer level stays as it is. */
static void
set_emptied(List *relids)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

	state_save();
	safemig_state.emptied = list_copy(relids);
	MemoryContextSwitchTo(old);
}

static void
look_at_history(const Framework *framework, Oid relid)
{
	List	   *readings;
	Reading		reading;
	Frame		frame;

	/* what is restored was done before */
	if (in_restore_session())
		return;
	/* the row as it is now is to be seen */
	CommandCounterIncrement();
	own_work_begin();
	PushActiveSnapshot(GetTransactionSnapshot());
	frame_become_owner(&frame);
	forget_begun_that_is_gone();
	readings = read_statement(framework, relid);
	reading = meaning_of(readings);
	if (reading.meaning != MEANS_NOTHING)
		note_at_work(framework);
	if (list_member_oid(safemig_state.emptied, relid))
		set_emptied(list_delete_oid(list_copy(safemig_state.emptied), relid));
	act(framework, relid, &reading, readings);
	frame_unpin(&frame);
	PopActiveSnapshot();
	own_work_end();
}

/* ---- where PostgreSQL comes by ---- */

static Oid
relation_at(const QueryDesc *query, int index)
{
	RangeTblEntry *entry = list_nth(query->plannedstmt->rtable, index - 1);

	return entry->rtekind == RTE_RELATION ? entry->relid : InvalidOid;
}

/* Before a statement: does it look at a history table? */
void
framework_statement_starts(const QueryDesc *query)
{
	ListCell   *lc;

	if (!is_wanted())
		return;
	foreach(lc, query->plannedstmt->rtable)
	{
		RangeTblEntry *entry = lfirst(lc);
		const Framework *framework;
		FrameworkTable table;

		if (entry->rtekind != RTE_RELATION || entry->relkind != RELKIND_RELATION ||
			!rte_is_named(entry))
			continue;
		framework = framework_of(entry->relid, &table);
		if (table == FRAMEWORK_HISTORY)
			note_seen(framework);
	}
}

/* Is one of them a history table that is to be written? */
bool
framework_writes_history(List *range_table)
{
	ListCell   *lc;

	foreach(lc, range_table)
	{
		RangeTblEntry *entry = lfirst(lc);
		FrameworkTable table;

		if (entry->rtekind != RTE_RELATION || entry->rellockmode < RowExclusiveLock)
			continue;
		(void) framework_of(entry->relid, &table);
		if (table == FRAMEWORK_HISTORY)
			return true;
	}
	return false;
}

static void
statement_ends(const QueryDesc *query)
{
	ListCell   *lc;

	foreach(lc, query->plannedstmt->resultRelations)
	{
		Oid			relid = relation_at(query, lfirst_int(lc));
		FrameworkTable table;
		const Framework *framework = OidIsValid(relid) ? framework_of(relid, &table) : NULL;

		if (framework == NULL)
			continue;
		if (table == FRAMEWORK_HISTORY)
			look_at_history(framework, relid);
		/* a lock that is given back: the run is over */
		else if (table == FRAMEWORK_HELPER && safemig_state.begun_id == 0)
			safemig_state.framework_seen = 0;
	}
}

static void
on_executor_finish(QueryDesc *query)
{
	if (next_executor_finish_hook)
		next_executor_finish_hook(query);
	else
		standard_ExecutorFinish(query);
	if (query->plannedstmt->resultRelations != NIL && is_wanted() &&
		!in_midst_of_statement())
		statement_ends(query);
}

void
framework_init(void)
{
	next_executor_finish_hook = ExecutorFinish_hook;
	ExecutorFinish_hook = on_executor_finish;
}

/* ---- its own tables are no migration ---- */

/* The relation that the object is, or is part of; InvalidOid: neither. */
static Oid
relation_of(const Image *image)
{
	const ObjectAddress *address = &image->address;
	Oid			index_of;

	if (image->parent.classId == RelationRelationId && OidIsValid(image->parent.objectId))
		return image->parent.objectId;
	if (address->classId != RelationRelationId)
		return InvalidOid;
	index_of = IndexGetRelation(address->objectId, true);
	return OidIsValid(index_of) ? index_of : address->objectId;
}

static const Framework *
framework_of_image(const Image *image)
{
	FrameworkTable table;
	Oid			relid = relation_of(image);

	if (image->address.classId == NamespaceRelationId)
		return framework_of_schema(image->name);
	return OidIsValid(relid) ? framework_of(relid, &table) : NULL;
}

static bool
renames_history(const Change *change)
{
	FrameworkTable table;

	if (change->before == NULL || change->after == NULL ||
		change->after->address.classId != RelationRelationId ||
		strcmp(change->before->identity, change->after->identity) == 0)
		return false;
	(void) framework_of(change->after->address.objectId, &table);
	return table == FRAMEWORK_HISTORY;
}

/* A command, or its being taken back, has: what they name goes on. */
void
framework_histories_renamed(List *changes)
{
	ListCell   *lc;

	foreach(lc, changes)
	{
		const Change *change = lfirst(lc);

		if (renames_history(change))
			migrations_of_history_move(change->before->identity, change->after->identity);
	}
}

/*
 * Has a command done nothing but make, or change, what a framework keeps its
 * history in?  That is not taken back with the migration that comes first.
 * What it drops or renames, or what changes values, is: as anything else.
 */
bool
framework_owns_all(const Command *command, List *changes)
{
	const Framework *framework = NULL;
	ListCell   *lc;

	if (changes == NIL || command->values != NIL || command->dropped != NIL ||
		command->data_only || command->failed || safemig_state.record_id != 0)
		return false;
	foreach(lc, changes)
	{
		const Change *change = lfirst(lc);

		if (change->after == NULL || (change->before && change->before->kept) ||
			renames_history(change))
			return false;
		framework = framework_of_image(change->after);
		if (framework == NULL)
			return false;
	}
	note_at_work(framework);
	return true;
}

/* Is all that it drops a framework's lock, or table to try something with? */
bool
framework_drops_helpers(Node *parsetree)
{
	DropStmt   *stmt = (DropStmt *) parsetree;
	ListCell   *lc;

	if (!IsA(parsetree, DropStmt) || stmt->removeType != OBJECT_TABLE || !is_wanted())
		return false;
	foreach(lc, stmt->objects)
	{
		Oid			relid = RangeVarGetRelid(makeRangeVarFromNameList(lfirst(lc)), NoLock, true);
		FrameworkTable table = FRAMEWORK_NOTHING;

		if (OidIsValid(relid))
			(void) framework_of(relid, &table);
		if (table != FRAMEWORK_HELPER)
			return false;
	}
	return true;
}

/* COPY does not run in the executor. */
void
framework_rows_copied(const CopyStmt *stmt)
{
	const Framework *framework;
	FrameworkTable table;
	Oid			relid;

	if (!stmt->is_from || stmt->relation == NULL || !is_wanted() || in_midst_of_statement())
		return;
	relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	framework = OidIsValid(relid) ? framework_of(relid, &table) : NULL;
	if (framework && table == FRAMEWORK_HISTORY)
		look_at_history(framework, relid);
}

/* CREATE TABLE IF NOT EXISTS of what is there: a run begins. */
void
framework_command_ends(Node *parsetree)
{
	CreateStmt *stmt = (CreateStmt *) parsetree;
	FrameworkTable table;
	const Framework *framework;
	Oid			relid;

	if (!IsA(parsetree, CreateStmt) || !stmt->if_not_exists || !is_wanted())
		return;
	relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	framework = OidIsValid(relid) ? framework_of(relid, &table) : NULL;
	if (framework && table == FRAMEWORK_HISTORY)
		note_at_work(framework);
}

/* ---- a history that goes as a whole ---- */

/* They stand no more: what follows under their names is new. */
static void
revert_all_of(const char *history, int64 by)
{
	mark_reverted(standing_in(history), by);
}

/* What of that the command drops is a history table? */
void
framework_histories_go(Command *command, List *addresses)
{
	ListCell   *lc;

	foreach(lc, addresses)
	{
		const ObjectAddress *address = lfirst(lc);
		FrameworkTable table;
		MemoryContext old;

		if (address->classId != RelationRelationId || address->objectSubId != 0)
			continue;
		(void) framework_of(address->objectId, &table);
		if (table != FRAMEWORK_HISTORY)
			continue;
		old = MemoryContextSwitchTo(command->context);
		command->histories = lappend(command->histories, history_name(address->objectId));
		MemoryContextSwitchTo(old);
	}
}

/* A command has dropped them. */
void
framework_histories_gone(const Command *command)
{
	ListCell   *lc;

	if (safemig_state.record_id != 0 || command->migration == 0)
		return;
	foreach(lc, command->histories)
		revert_all_of(lfirst(lc), command->migration);
}

/* Before it is truncated. */
void
framework_table_emptied(Oid relid)
{
	FrameworkTable table;

	(void) framework_of(relid, &table);
	if (table == FRAMEWORK_HISTORY)
		set_emptied(list_append_unique_oid(list_copy(safemig_state.emptied), relid));
}

/* golang-migrate, back to before the first: the row does not come again. */
static void
stays_empty(Oid relid)
{
	FrameworkTable table;
	const Framework *framework = framework_of(relid, &table);
	List	   *about = framework ? standing_in(history_name(relid)) : NIL;
	Reading		reading = {MEANS_REVERTED};
	HistoryRow	row = {.history = history_name(relid)};
	ListCell   *lc;

	foreach(lc, about)
	{
		Migration  *migration = history_get_migration(*(int64 *) lfirst(lc), false);

		if (migration->id == safemig_state.begun_id ||
			migration->id == safemig_state.written_id)
			continue;
		reading.about = lappend(reading.about, lfirst(lc));
		if (migration->label == NULL)
			continue;
		row.label = migration->label;
		row.version = migration->version;
	}
	if (row.label == NULL)
		return;
	reading.row = &row;
	if (is_named())
		note_in_named(framework, &reading);
	else
		reverted(framework, &reading);
}

/* Before a transaction ends. */
void
framework_transaction_ends(void)
{
	Frame		frame;
	ListCell   *lc;

	if (safemig_state.emptied == NIL || !is_wanted())
		return;
	own_work_begin();
	PushActiveSnapshot(GetTransactionSnapshot());
	frame_become_owner(&frame);
	forget_begun_that_is_gone();
	foreach(lc, safemig_state.emptied)
		stays_empty(lfirst_oid(lc));
	safemig_state.emptied = NIL;
	frame_unpin(&frame);
	PopActiveSnapshot();
	own_work_end();
}
