/*-------------------------------------------------------------------------
 *
 * framework.c
 *	  Migrations that a framework runs: when it looks at its history table,
 *	  and when it writes it.
 *
 * A framework writes a row into its history table for each migration: what the
 * statement says that wrote it is read here, and assign.c does the rest.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "capture/capture.h"
#include "capture/reading.h"
#include "capture/written.h"
#include "compat.h"
#include "history/framework.h"

static ExecutorFinish_hook_type next_executor_finish_hook = NULL;

/*
 * Rows that a framework writes in transactions without any DDL are a migration
 * only if its row follows.  So many milliseconds after it was seen at its
 * history table, a session is taken to be still at it.
 */
#define AT_WORK_MS	10000

bool
framework_is_wanted(void)
{
	return safemig_enabled && safemig_state.own_depth == 0 &&
		safemig_state.record_id == 0 && !creating_extension &&
		!IsBinaryUpgrade && !IsParallelWorker() && IsTransactionState() &&
		OidIsValid(get_namespace_oid(SAFEMIG_SCHEMA, true));
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
void
framework_note_at_work(const Framework *framework)
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
	framework_forget_begun_that_is_gone();
	readings = read_statement(framework, relid);
	reading = readings_meaning(readings);
	if (reading.meaning != MEANS_NOTHING)
		framework_note_at_work(framework);
	framework_history_written(relid);
	framework_act(framework, relid, &reading, readings);
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

	if (!framework_is_wanted())
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
	if (query->plannedstmt->resultRelations != NIL && framework_is_wanted() &&
		!in_midst_of_statement())
		statement_ends(query);
}

void
framework_init(void)
{
	next_executor_finish_hook = ExecutorFinish_hook;
	ExecutorFinish_hook = on_executor_finish;
}

/* COPY does not run in the executor. */
void
framework_rows_copied(const CopyStmt *stmt)
{
	const Framework *framework;
	FrameworkTable table;
	Oid			relid;

	if (!stmt->is_from || stmt->relation == NULL || !framework_is_wanted() || in_midst_of_statement())
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

	if (!IsA(parsetree, CreateStmt) || !stmt->if_not_exists || !framework_is_wanted())
		return;
	relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	framework = OidIsValid(relid) ? framework_of(relid, &table) : NULL;
	if (framework && table == FRAMEWORK_HISTORY)
		framework_note_at_work(framework);
}
