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

/* What became of one row of a history table, in one statement. */
typedef struct RowChange
{
	HistoryRow *before;			/* NULL: it was not there */
	HistoryRow *after;			/* NULL: it is not there any more */
} RowChange;

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

/* ---- which migrations are still without a row ---- */

/* Of this session since its last row, oldest first. */
static List *
unfinished_here(const Framework *framework)
{
	Oid			types[3] = {TEXTOID, TEXTOID, INT8OID};
	Datum		args[3] = {CStringGetTextDatum(framework->name),
		CStringGetTextDatum(history_session()),
	Int64GetDatum(safemig_state.framework_done)};

	return migration_ids_of("SELECT m.id FROM safemig.migration_log m WHERE" MIGRATION_WITHOUT_A_ROW
				  " AND m.session OPERATOR(pg_catalog.=) $2"
				  " AND m.id OPERATOR(pg_catalog.>) $3 ORDER BY m.id", 3, types, args);
}

/*
 * Of the one other session of the same role that did anything since this one
 * began and since the framework's last row.  Of two nobody knows which is meant.
 */
static List *
unfinished_elsewhere(const Framework *framework)
{
	Oid			types[4] = {TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Datum		args[4] = {CStringGetTextDatum(framework->name),
		CStringGetTextDatum(history_session()),
		CStringGetTextDatum(GetUserNameFromId(GetSessionUserId(), false)),
	TimestampTzGetDatum(MyStartTimestamp)};

	return migration_ids_of("WITH open AS (SELECT m.id, m.session FROM safemig.migration_log m"
							" WHERE" MIGRATION_WITHOUT_A_ROW
							" AND m.session OPERATOR(pg_catalog.<>) $2"
							" AND m.session_role OPERATOR(pg_catalog.=) $3"
							" AND m.started_at OPERATOR(pg_catalog.>=) $4"
							" AND m.id OPERATOR(pg_catalog.>) COALESCE((SELECT pg_catalog.max(x.id)"
							" FROM safemig.migration_log x WHERE x.framework OPERATOR(pg_catalog.=) $1"
							" AND x.version IS NOT NULL), 0))"
							" SELECT o.id FROM open o"
							" WHERE (SELECT pg_catalog.count(DISTINCT l.session) FROM open l) OPERATOR(pg_catalog.=) 1"
							" ORDER BY o.id",
							4, types, args);
}

/* ---- the migrations that rows name ---- */

#define STANDS \
	" m.kind OPERATOR(pg_catalog.=) 'migration'" \
	" AND m.state OPERATOR(pg_catalog.<>) 'rolled_back'" \
	" AND m.framework OPERATOR(pg_catalog.=) $1" \
	" AND m.history OPERATOR(pg_catalog.=) $2" \
	" AND NOT EXISTS (SELECT FROM safemig.migration_log r" \
	"  WHERE r.id OPERATOR(pg_catalog.=) m.reverted_by" \
	"  AND r.state OPERATOR(pg_catalog.<>) 'rolled_back')" \
	" AND m.label NOT LIKE 'revert of %'"

static List *
list_of_id(int64 id)
{
	int64	   *copy = palloc(sizeof(int64));

	*copy = id;
	return list_make1(copy);
}

static int64
one_of(List *ids)
{
	return ids ? *(int64 *) llast(ids) : 0;
}

/* The migration that stands under that label, or 0. */
static int64
standing(const Framework *framework, const HistoryRow *row)
{
	Oid			types[3] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		args[3] = {CStringGetTextDatum(framework->name),
	CStringGetTextDatum(row->history), CStringGetTextDatum(row->label)};

	return one_of(migration_ids_of("SELECT m.id FROM safemig.migration_log m WHERE" STANDS
								   " AND m.label OPERATOR(pg_catalog.=) $3 ORDER BY m.id",
								   3, types, args));
}

/* Those that stand in the row's line and are newer. */
static List *
newer_in_line(const Framework *framework, const HistoryRow *row, int64 than)
{
	Oid			types[4] = {TEXTOID, TEXTOID, TEXTOID, INT8OID};
	Datum		args[4] = {CStringGetTextDatum(framework->name),
		CStringGetTextDatum(row->history), CStringGetTextDatum(row->line),
	Int64GetDatum(than)};

	return migration_ids_of("SELECT m.id FROM safemig.migration_log m WHERE" STANDS
							" AND m.line OPERATOR(pg_catalog.=) $3"
							" AND m.id OPERATOR(pg_catalog.>) $4 ORDER BY m.id",
							4, types, args);
}

/* Did the migration that the row before names put the row after in its place? */
static int64
that_came_after(const Framework *framework, const HistoryRow *before, const HistoryRow *after)
{
	Oid			types[4] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		args[4] = {CStringGetTextDatum(framework->name),
		CStringGetTextDatum(after->history), CStringGetTextDatum(before->label),
	CStringGetTextDatum(after->label)};

	return one_of(migration_ids_of("SELECT m.id FROM safemig.migration_log m WHERE" STANDS
								   " AND m.label OPERATOR(pg_catalog.=) $3"
								   " AND m.previous OPERATOR(pg_catalog.=) $4 ORDER BY m.id",
								   4, types, args));
}

static void
mark_reverted(List *ids, int64 by)
{
	ListCell   *lc;

	foreach(lc, ids)
	{
		Oid			types[2] = {INT8OID, INT8OID};
		Datum		args[2] = {Int64GetDatum(*(int64 *) lfirst(lc)), Int64GetDatum(by)};

		SPI_connect();
		if (SPI_execute_with_args("UPDATE safemig.migration_log SET reverted_by = $2"
								  " WHERE id OPERATOR(pg_catalog.=) $1",
								  2, types, args, NULL, false, 0) != SPI_OK_UPDATE)
			elog(ERROR, "could not update migration_log");
		SPI_finish();
	}
}

/* ---- what the rows say ---- */

typedef enum Meaning
{
	MEANS_NOTHING,
	MEANS_BEGUN,				/* its migration is about to run */
	MEANS_MORE,					/* said of one that is known */
	MEANS_DONE,
	MEANS_REVERTED
} Meaning;

typedef struct Reading
{
	Meaning		meaning;
	HistoryRow *row;			/* of the migration that it is about */
	char	   *previous;		/* what the row said before */
	List	   *about;			/* ids: known ones that it is about */
	bool		was_unseen;		/* nobody saw the row come */
} Reading;

/* The row names another migration than it did, or a new row does. */
static void
read_done(const Framework *framework, const RowChange *change, Reading *reading)
{
	int64		known = standing(framework, change->after);
	int64		undone = change->before && change->before->applied ?
		that_came_after(framework, change->before, change->after) : 0;

	reading->meaning = MEANS_DONE;
	reading->row = change->after;
	if (change->before && change->before->applied)
		reading->previous = change->before->label;
	if (known && change->after->line)
		reading->about = newer_in_line(framework, change->after, known);
	if (reading->about != NIL || undone)
	{
		reading->meaning = MEANS_REVERTED;
		if (reading->about == NIL)
			reading->about = list_of_id(undone);
		if (change->before)
			reading->row = change->before;
	}
	else if (known && known != safemig_state.begun_id)
	{
		reading->meaning = MEANS_MORE;
		reading->about = list_of_id(known);
	}
}

static void
read_reverted(const Framework *framework, HistoryRow *row, Reading *reading)
{
	int64		known = standing(framework, row);

	reading->meaning = MEANS_REVERTED;
	reading->row = row;
	if (known)
		reading->about = list_of_id(known);
}

static Reading
read_change(const Framework *framework, const RowChange *change)
{
	Reading		reading = {MEANS_NOTHING};
	bool		was_done = change->before && change->before->applied;
	bool		is_done = change->after && change->after->applied;
	bool		same = change->before && change->after &&
		strcmp(change->before->label, change->after->label) == 0;

	if (same && was_done && is_done)
	{
		int64		known = standing(framework, change->after);

		if (known)
		{
			reading.meaning = MEANS_MORE;
			reading.about = list_of_id(known);
		}
	}
	else if (is_done)
		read_done(framework, change, &reading);
	else if (was_done)
		read_reverted(framework, change->before, &reading);
	else if (change->after && framework->row_written == ROW_BEFORE)
	{
		reading.meaning = MEANS_BEGUN;
		reading.row = change->after;
	}
	else if (change->before && safemig_state.begun_id)
		reading.meaning = MEANS_BEGUN;
	/* its own session had not loaded the library when it wrote the row first */
	reading.was_unseen = same && !was_done && safemig_state.begun_id == 0 &&
		framework->row_written == ROW_BEFORE;
	return reading;
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
	safemig_state.begun_id = 0;
	safemig_state.framework_done = Max(safemig_state.last_id, id);
}

/* All that has no row yet, as one; a new one where there is nothing.  0: unknown. */
static int64
gather(const Framework *framework, const char *label)
{
	List	   *ids = NIL;
	int64		id;

	if (framework->row_written == ROW_ELSEWHERE)
		ids = unfinished_elsewhere(framework);
	if (ids == NIL)
		ids = unfinished_here(framework);
	if (safemig_state.begun_id)
		ids = lcons(&safemig_state.begun_id, ids);
	id = migrations_merge(ids);
	/* a row whose commands nobody knows must not promise to take them back */
	if (id == 0 && framework->row_written != ROW_ELSEWHERE)
		id = history_new_migration("migration", label, "applied", NULL);
	return id;
}

static void
begin(const Framework *framework, const Reading *reading)
{
	int64		known = reading->row ? standing(framework, reading->row) : 0;
	bool		back = known && reading->row->line;
	const char *label = reading->row && !back ? reading->row->label : NULL;
	int64		id = safemig_state.begun_id;

	if (id == 0)
	{
		/* what it says of itself counts when it is done */
		HistoryRow	begun = {.history = reading->row ? reading->row->history : NULL};

		id = gather(framework, label);
		migration_name(id, framework, label, &begun, NULL);
		state_save();
		safemig_state.begun_id = id;
	}
	write_to(id);
	data_record_for_command();
}

static void
more(const Reading *reading)
{
	int64		xact_id = safemig_state.xact_id;
	int64		written_id = safemig_state.written_id;

	write_to(*(int64 *) linitial(reading->about));
	data_record_for_command();
	safemig_state.xact_id = xact_id;
	safemig_state.written_id = written_id;
}

static void
done(const Framework *framework, const Reading *reading)
{
	int64		id = gather(framework, reading->row->label);

	if (id == 0)
	{
		written_look();
		return;
	}
	write_to(id);
	data_record_for_command();
	migration_name(id, framework, reading->row->label, reading->row, reading->previous);
	what_follows_is_another(id);
}

static void
reverted(const Framework *framework, const Reading *reading)
{
	char	   *label = psprintf("revert of %s", reading->row->label);
	int64		id = gather(framework, label);

	if (id == 0)
	{
		written_look();
		return;
	}
	write_to(id);
	data_record_for_command();
	migration_name(id, framework, label, reading->row, NULL);
	mark_reverted(reading->about, id);
	what_follows_is_another(id);
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
	if (id && reading->meaning == MEANS_REVERTED)
		mark_reverted(reading->about, id);
}

static void
act(const Framework *framework, Oid relid, const Reading *reading)
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
			more(reading);
			break;
		case MEANS_DONE:
			done(framework, reading);
			break;
		case MEANS_REVERTED:
			reverted(framework, reading);
			break;
	}
	safemig_state.row_unseen_in = InvalidOid;
}

/* ---- rows of a statement ---- */

static HistoryRow *
row_at(const Framework *framework, Relation rel, ItemPointer tid, TupleTableSlot *slot)
{
	if (!ItemPointerIsValid(tid))
		return NULL;
	versions_fetch(rel, tid, slot);
	return framework_read_row(framework, rel, slot);
}

static CommandId
written_from(Oid relid)
{
	ListCell   *lc;

	foreach(lc, written_since_look())
	{
		if (((Written *) lfirst(lc))->relid == relid)
			return ((Written *) lfirst(lc))->since;
	}
	return safemig_state.written_since;
}

/*
 * The last row that means anything: a statement that writes several at once
 * (a schema that is loaded as a whole) is one migration, by the last's name.
 * A new row counts before one that is gone: together they are an update.
 */
static Reading
read_statement(const Framework *framework, Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	Versions   *versions = versions_find(rel, written_from(relid), safemig_state.seen, false);
	TupleTableSlot *pair = MakeSingleTupleTableSlot(versions->desc, &TTSOpsMinimalTuple);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	ItemPointerData before;
	ItemPointerData after;
	Reading		last = {MEANS_NOTHING};

	versions_again(versions);
	while (versions_next(versions, pair, &before, &after))
	{
		RowChange	change;
		Reading		reading;

		change.before = row_at(framework, rel, &before, slot);
		change.after = row_at(framework, rel, &after, slot);
		reading = read_change(framework, &change);
		if (reading.meaning >= last.meaning)
			last = reading;
	}
	ExecDropSingleTupleTableSlot(pair);
	ExecDropSingleTupleTableSlot(slot);
	versions_close(versions);
	table_close(rel, NoLock);
	return last;
}

static void
look_at_history(const Framework *framework, Oid relid)
{
	Reading		reading;
	Frame		frame;

	/* the row as it is now is to be seen */
	CommandCounterIncrement();
	own_work_begin();
	PushActiveSnapshot(GetTransactionSnapshot());
	frame_become_owner(&frame);
	reading = read_statement(framework, relid);
	if (reading.meaning != MEANS_NOTHING)
		note_at_work(framework);
	act(framework, relid, &reading);
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

/*
 * Has a command done nothing but make, or change, what a framework keeps its
 * history in?  That is not taken back with the migration that comes first.
 * What it drops, or what changes values, is: as anything else.
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

		if (change->after == NULL || (change->before && change->before->kept))
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
