/*-------------------------------------------------------------------------
 *
 * writes.c
 *	  safemig.undo_writes: the step that takes back what a migration did to
 *	  the rows of tables.
 *
 * What it does itself is found and kept the same way as what a migration
 * does: so its own reverse is the same call.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "commands/tablecmds.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "keep/writes.h"
#include "rollback/rollback.h"

PG_FUNCTION_INFO_V1(safemig_undo_writes);

static void
append_conflict(StringInfo buf, int64 rows, const char *one, const char *many)
{
	if (rows > 0)
	{
		if (buf->len)
			appendStringInfoString(buf, "; ");
		appendStringInfo(buf, said_of(one, many, rows), (long long) rows);
	}
}

/* The query that shows them, or the first of them; or NULL. */
static char *
show_query(const NetTable *table)
{
	const UndoConflicts *conflicts = &table->conflicts;
	StringInfoData buf;
	ListCell   *lc;

	if (conflicts->rows == NIL)
		return NULL;
	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT * FROM %s WHERE %s IN (", table->identity, conflicts->key);
	foreach(lc, conflicts->rows)
		appendStringInfo(&buf, "%s%s", foreach_current_index(lc) > 0 ? ", " : "",
						 (char *) lfirst(lc));
	appendStringInfoString(&buf, ");");
	return buf.data;
}

static char *
show_hint(const NetTable *table)
{
	char	   *query = show_query(table);

	return query == NULL ? "" :
		psprintf(list_length(table->conflicts.rows) < UNDO_ROWS_TOLD ?
				 said("%s shows those that are there. ") :
				 said("%s shows some that are there. "), query);
}

/* What stands in the way in one table, in words; empty: nothing. */
static char *
conflicts_in_words(const UndoConflicts *conflicts)
{
	StringInfoData detail;

	initStringInfo(&detail);
	append_conflict(&detail, conflicts->count[UNDO_CHANGED],
					"%lld row that the migration wrote was changed since",
					"%lld rows that the migration wrote were changed since");
	append_conflict(&detail, conflicts->count[UNDO_GONE],
					"%lld row that it changed is no longer there",
					"%lld rows that it changed are no longer there");
	append_conflict(&detail, conflicts->count[UNDO_UNFIT],
					"%lld row with what was written since, would break a CHECK, a NOT NULL or a partition's bound",
					"%lld rows with what was written since, would break a CHECK, a NOT NULL or a partition's bound");
	if (safemig_state.on_conflict == CONFLICT_RESTORE)
		append_conflict(&detail, conflicts->count[UNDO_TAKEN],
						"%lld row took the place of one that it deleted or moved",
						"%lld rows took the place of those that it deleted or moved");
	else
		append_conflict(&detail, conflicts->count[UNDO_TAKEN],
						"%lld row that it deleted or moved cannot come back beside rows with the same key",
						"%lld rows that it deleted or moved cannot come back beside rows with the same key");
	return detail.data;
}

static int64
all_conflicts(const UndoConflicts *conflicts)
{
	int64		all = 0;

	for (int i = 0; i < UNDO_PROBLEMS; i++)
		all += conflicts->count[i];
	return all;
}

/* The policy was told: so is what it did. */
void
writes_warn(void)
{
	ListCell   *lc;

	foreach(lc, net_tables(safemig_state.net))
	{
		const NetTable *table = lfirst(lc);

		if (all_conflicts(&table->conflicts) == 0)
			continue;
		ereport(WARNING,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("rows of %s %s were written again after the migration",
						table->type, table->identity),
				 errdetail_internal("%s.", conflicts_in_words(&table->conflicts)),
				 safemig_state.on_conflict == CONFLICT_KEEP ?
				 errhint("%sThese rows stay as they are.", show_hint(table)) :
				 errhint("What the migration found is there again, but for rows that it only changed and that are gone; safemig_redo() brings back what was overwritten.")));
	}
}

/* Of Conflict*: what all parts met up to now. */
List *
writes_conflicts(void)
{
	List	   *conflicts = NIL;
	ListCell   *lc;

	foreach(lc, net_tables(safemig_state.net))
	{
		const NetTable *table = lfirst(lc);
		Conflict   *conflict;

		if (all_conflicts(&table->conflicts) == 0)
			continue;
		conflict = add_conflict(&conflicts, ERRCODE_SAFEMIG_CONFLICT, table->identity,
								psprintf("%s.", conflicts_in_words(&table->conflicts)),
								show_hint(table));
		conflict->command = show_query(table);
		conflict->rows = all_conflicts(&table->conflicts);
		conflict->of_policy = true;
		conflict->message = psprintf(said("rows of %s %s were written again after the migration"),
									 table->type, table->identity);
	}
	return conflicts;
}

/* Of Conflict*: what no policy is about. */
List *
misfit_conflicts(void)
{
	List	   *conflicts = NIL;
	ListCell   *lc;

	foreach(lc, net_misfits(safemig_state.net))
	{
		const Misfit *misfit = lfirst(lc);
		Conflict   *conflict = add_conflict(&conflicts, ERRCODE_SAFEMIG_CONFLICT, misfit->table,
											misfit->message, misfit->hint);

		conflict->rows = misfit->rows;
		conflict->command = misfit->command;
		conflict->message = misfit->message;
		conflict->detail = misfit->detail;
	}
	return conflicts;
}

void
writes_refuse(void)
{
	List	   *conflicts = writes_conflicts();

	if (safemig_state.on_conflict == CONFLICT_REFUSE && !safemig_state.collects &&
		conflicts != NIL)
		conflicts_raise(NULL, conflicts);
}

/* Large objects that the session has open are no reason not to. */
void
undo_table(const KeptTable *table)
{
	Relation	rel = table_open(table->relid, NoLock);
	int64		before;
	int64		restored;
	Frame		frame;

	if (table->relid != LargeObjectRelationId)
		CheckTableNotInUse(rel, "safemig_rollback");
	before = all_conflicts(&net_table(safemig_state.net, rel, table->kept)->conflicts);
	frame_become(&frame, rel->rd_rel->relowner);
	frame_lend_for_rows(&frame, rel->rd_rel->relowner, rel);
	restored = writes_undo(rel, table->kept);
	frame_unpin(&frame);
	rollback_count(table->relid, restored,
				   all_conflicts(&net_table(safemig_state.net, rel, table->kept)->conflicts) - before);
	table_close(rel, NoLock);
}

/* ---- what the step itself did ---- */

static void
keep_own_writes(RecordedCommand *command, List *tables, CommandId since)
{
	StringInfoData ids;
	Steps		steps;
	ListCell   *lc;

	initStringInfo(&ids);
	foreach(lc, tables)
	{
		Oid			relid = ((KeptTable *) lfirst(lc))->relid;
		Relation	rel = table_open(relid, NoLock);
		Versions   *versions = versions_find(rel, since, NIL, false);
		Kept	   *kept = writes_keep(rel, versions, NULL, command->migration,
								   command->seq);

		versions_close(versions);
		table_close(rel, NoLock);
		history_add_table(command, relid, 'w', kept);
		if (kept)
			appendStringInfo(&ids, "%s" INT64_FORMAT, ids.len ? "," : "", kept->id);
	}
	if (ids.len == 0)
		return;
	steps_init(&steps);
	steps.image = ((Change *) linitial(command->changes))->before;
	step_add(&steps, RANK_COMMON, RUN_CATALOG, "ACCESS EXCLUSIVE", "scan",
			 "SELECT safemig.undo_writes('{%s}')", ids.data)->note =
		psprintf("writes again in %d table%s", list_length(tables),
				 list_length(tables) == 1 ? "" : "s");
	command->steps = steps.list;
}

static void
keep_nothing(RecordedCommand *command, List *tables)
{
	ListCell   *lc;

	foreach(lc, tables)
		history_add_table(command, ((KeptTable *) lfirst(lc))->relid, 'w', NULL);
	command->irreversible = psprintf("the rows of %s were not kept",
									 ((Change *) linitial(command->changes))->before->identity);
}

static void
record(List *tables, CommandId since, TimestampTz started)
{
	RecordedCommand *command = palloc0(sizeof(RecordedCommand));

	command->seq = history_next_command();
	command->migration = safemig_state.record_id;
	command->tag = "UNDO WRITES";
	if (safemig_keep_undone)
		keep_own_writes(command, tables, since);
	else
		keep_nothing(command, tables);
	history_write_command(command, NULL,
						  GetConfigOption("search_path", false, false), started,
						  (GetCurrentTimestamp() - started) / 1000.0, NIL);
}

Datum
safemig_undo_writes(PG_FUNCTION_ARGS)
{
	TimestampTz started = GetCurrentTimestamp();
	List	   *tables;
	List	   *relids = NIL;
	List	   *references;
	CommandId	since;
	Frame		frame;
	ListCell   *lc;

	check_own_call("undo_writes");
	if (safemig_state.record_id == 0)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("undo_writes() is a step of a rollback"),
				 errhint("SELECT safemig_rollback(id);")));
	frame_become_owner(&frame);
	own_work_begin();
	tables = kept_tables_argument(PG_GETARG_ARRAYTYPE_P(0), WRITES_KIND);
	foreach(lc, tables)
	{
		/* what is wrong with it is told, and what that leads to is not */
		if (net_is_unsettled(safemig_state.net, ((KeptTable *) lfirst(lc))->relid))
			tables = foreach_delete_current(tables, lc);
		else
			relids = lappend_oid(relids, ((KeptTable *) lfirst(lc))->relid);
	}
	CommandCounterIncrement();
	since = GetCurrentCommandId(false);
	references = references_find(relids);
	foreach(lc, tables)
		undo_table(lfirst(lc));
	writes_refuse();
	references_note_broken(references);
	record(tables, since, started);
	own_work_end();
	frame_unpin(&frame);
	PG_RETURN_VOID();
}
