/*-------------------------------------------------------------------------
 *
 * data_command.c
 *	  Rows that were written, as one command of a migration: what is kept of
 *	  each table, and the step that takes them back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "advise/advise.h"
#include "capture/data.h"
#include "point.h"

/* ---- one command ---- */

RecordedCommand *
data_begin_command(const char *tag, int64 migration)
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
const char *
data_keep_table(RecordedCommand *command, Oid relid, FindVersions find,
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

void
data_add_steps(RecordedCommand *command, StringInfo ids)
{
	DataSteps	data = {command};

	add_row_step(&data, ids);
	positions_record(command->migration, command->seq, restore_position, &data);
	command->steps = data.steps.list;
}

void
data_end_command(RecordedCommand *command, const char *text, TimestampTz start)
{
	if (command->changes == NIL)
		return;
	policy_note_overrides(command->migration);
	history_write_command(command, command_text(command->tag, text),
						  GetConfigOption("search_path", false, false), start, 0, NIL);
}

/* ---- what another session wrote ---- */

/* writer: what find is to be called with */
void
data_record_rows(int64 migration, List *relids, FindVersions find, uint32 writer)
{
	RecordedCommand *command = data_begin_command("DATA", migration);
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
	data_note_writer(migration);
}
