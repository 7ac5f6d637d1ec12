/*-------------------------------------------------------------------------
 *
 * written.c
 *	  Which tables this transaction has written since the last look, and who did.
 *
 * PostgreSQL's own statistics counters tell, for every table and level of
 * subtransactions, also for what was written before this library was loaded.
 * What was seen at a look is remembered beside the command counter of that
 * moment; both are part of safemig_state, so that a subtransaction that is
 * rolled back takes its look with it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_largeobject_metadata.h"
#include "executor/executor.h"
#include "tcop/tcopprot.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/pgstat_internal.h"

#include "advise/advise.h"
#include "capture/capture.h"
#include "capture/written.h"
#include "compat.h"

static Written *
find_written(List *list, Oid relid)
{
	ListCell   *lc;

	foreach(lc, list)
	{
		Written    *written = lfirst(lc);

		if (written->relid == relid)
			return written;
	}
	return NULL;
}

/* ---- the counters ---- */

/* Large objects are rows of the system's own tables. */
bool
written_is_large_objects(Oid relid)
{
	return relid == LargeObjectRelationId || relid == LargeObjectMetadataRelationId;
}

static void
add_counts(Written *to, const PgStat_TableXactStatus *counts)
{
	to->inserted += counts->tuples_inserted + counts->inserted_pre_truncdrop;
	to->updated += counts->tuples_updated + counts->updated_pre_truncdrop;
	to->deleted += counts->tuples_deleted + counts->deleted_pre_truncdrop;
	to->truncated = to->truncated || counts->truncdropped;
}

/* What the transaction has done up to now to tables that are not the system's. */
static List *
counts_now(void)
{
	PgStat_SubXactStatus *level = pgstat_get_xact_stack_level(GetCurrentTransactionNestLevel());
	List	   *list = NIL;

	for (; level; level = level->prev)
	{
		const PgStat_TableXactStatus *counts;

		for (counts = level->first; counts; counts = counts->next)
		{
			Oid			relid = table_status_oid(counts->parent);
			Written    *written;

			if (relid < FirstNormalObjectId && !written_is_large_objects(relid))
				continue;
			written = find_written(list, relid);
			if (written == NULL)
			{
				written = palloc0(sizeof(Written));
				written->relid = relid;
				list = lappend(list, written);
			}
			add_counts(written, counts);
		}
	}
	return list;
}

/* ---- statements ---- */

static ExecutorStart_hook_type next_executor_start_hook = NULL;
static ExecutorRun_hook_type next_executor_run_hook = NULL;
static int	writing_statements = 0;

static void
run_next(EXECUTOR_RUN_PARAMETERS)
{
	if (next_executor_run_hook)
		next_executor_run_hook(EXECUTOR_RUN_ARGUMENTS);
	else
		standard_ExecutorRun(EXECUTOR_RUN_ARGUMENTS);
}

/* How many statements that write are running, one inside the other? */
static void
on_executor_run(EXECUTOR_RUN_PARAMETERS)
{
	if (query->operation == CMD_SELECT && !query->plannedstmt->hasModifyingCTE)
	{
		run_next(EXECUTOR_RUN_ARGUMENTS);
		return;
	}
	writing_statements++;
	PG_TRY();
	{
		run_next(EXECUTOR_RUN_ARGUMENTS);
	}
	PG_FINALLY();
	{
		writing_statements--;
	}
	PG_END_TRY();
}

/* Before the statement takes its command id. */
static void
on_executor_start(QueryDesc *query, int eflags)
{
	data_follow_label();
	framework_statement_starts(query);
	policy_check_writes(query, eflags);
	if (next_executor_start_hook)
		next_executor_start_hook(query, eflags);
	else
		standard_ExecutorStart(query, eflags);
}

void
written_init(void)
{
	next_executor_start_hook = ExecutorStart_hook;
	ExecutorStart_hook = on_executor_start;
	next_executor_run_hook = ExecutorRun_hook;
	ExecutorRun_hook = on_executor_run;
}

/*
 * What the client sent that wrote last, and when: by the time the rows are
 * looked for it has gone on to something else.
 */
static char *statement = NULL;	/* in TopTransactionContext */
static TimestampTz statement_start;
static int	statement_level;

void
written_forget_statement(void)
{
	if (statement)
		pfree(statement);
	statement = NULL;
}

void
written_note_statement(void)
{
	statement_start = GetCurrentStatementStartTimestamp();
	statement_level = GetCurrentTransactionNestLevel();
	if (statement && debug_query_string && strcmp(statement, debug_query_string) == 0)
		return;
	written_forget_statement();
	if (debug_query_string)
		statement = MemoryContextStrdup(TopTransactionContext, debug_query_string);
}

void
written_subtransaction_ends(int level, bool aborted)
{
	if (statement_level < level)
		return;
	if (aborted)
		written_forget_statement();
	else
		statement_level = level - 1;
}

/* NULL if that is not known; then it is now. */
const char *
written_statement(TimestampTz *start)
{
	*start = statement ? statement_start : GetCurrentTimestamp();
	return statement;
}

/* COPY does not run in the executor, but its triggers know that they are ones. */
bool
in_midst_of_statement(void)
{
	return writing_statements > 0 ||
		DatumGetInt32(OidFunctionCall0(F_PG_TRIGGER_DEPTH)) > 0;
}

/* ---- looks ---- */

/* Did the counters move?  They stand still within one TRUNCATE. */
bool
written_counts_differ(const Written *written)
{
	return written->inserted || written->updated || written->deleted ||
		written->truncated;
}

/*
 * Tables written since the last look, with what was done since; the first
 * command whose rows are to be looked for is in since.  TRUNCATE takes what was
 * written before it off the counters: after that a table may have been.
 */
List *
written_since_look(void)
{
	List	   *list = NIL;
	ListCell   *lc;

	foreach(lc, counts_now())
	{
		Written    *written = lfirst(lc);
		Written    *seen = find_written(safemig_state.written, written->relid);

		written->since = safemig_state.written_since;
		if (seen)
		{
			written->inserted -= seen->inserted;
			written->updated -= seen->updated;
			written->deleted -= seen->deleted;
			written->truncated = written->truncated && !seen->truncated;
			written->since = Max(written->since, seen->since);
		}
		if (written_counts_differ(written) || (seen && seen->storage))
			list = lappend(list, written);
	}
	return list;
}

bool
anything_written_since_look(void)
{
	return written_since_look() != NIL;
}

static List *
copy_in_transaction(List *list)
{
	List	   *copy = NIL;
	ListCell   *lc;

	foreach(lc, list)
	{
		Written    *written = palloc(sizeof(Written));

		*written = *(Written *) lfirst(lc);
		copy = lappend(copy, written);
	}
	return copy;
}

/* Those versions have been found, in the middle of a statement. */
void
written_note_seen(struct Seen *seen)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

	state_save();
	safemig_state.seen = lappend(list_copy(safemig_state.seen), seen);
	MemoryContextSwitchTo(old);
}

/*
 * Remembers what has been written up to now as seen.  In the middle of a
 * statement what is seen is noted version by version, since the statement goes
 * on to write under a command id that is lower than ours.
 */
void
written_look(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	List	   *now;
	ListCell   *lc;

	CommandCounterIncrement();
	now = counts_now();
	foreach(lc, now)
	{
		Written    *seen = find_written(safemig_state.written,
										((Written *) lfirst(lc))->relid);

		if (seen == NULL)
			continue;
		((Written *) lfirst(lc))->since = seen->since;
		((Written *) lfirst(lc))->storage = seen->storage;
		((Written *) lfirst(lc))->truncated |= seen->truncated;
	}
	foreach(lc, safemig_state.written)
	{
		if (find_written(now, ((Written *) lfirst(lc))->relid) == NULL)
			now = lappend(now, lfirst(lc));
	}
	state_save();
	safemig_state.written = now;
	if (!in_midst_of_statement())
	{
		safemig_state.written_since = GetCurrentCommandId(false);
		safemig_state.seen = NIL;
	}
	MemoryContextSwitchTo(old);
}

static Written *
seen_of(Oid relid)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Written    *seen;

	/* the list that an outer level will have again must stay as it is */
	state_save();
	safemig_state.written = copy_in_transaction(safemig_state.written);
	seen = find_written(safemig_state.written, relid);
	if (seen == NULL)
	{
		seen = palloc0(sizeof(Written));
		seen->relid = relid;
		safemig_state.written = lappend(safemig_state.written, seen);
	}
	MemoryContextSwitchTo(old);
	return seen;
}

/* What has been written into that table up to now, between statements, is seen. */
void
written_look_at(Oid relid)
{
	Written    *now;
	Written    *seen;

	CommandCounterIncrement();
	now = find_written(counts_now(), relid);
	seen = seen_of(relid);
	if (now)
	{
		seen->inserted = now->inserted;
		seen->updated = now->updated;
		seen->deleted = now->deleted;
		seen->truncated |= now->truncated;
	}
	seen->since = GetCurrentCommandId(false);
}

/* All rows of the table were written anew, by a command, not by the user. */
void
written_anew(Oid relid)
{
	CommandCounterIncrement();
	seen_of(relid)->since = GetCurrentCommandId(false);
}

/* The rows that TRUNCATE is about to take away are kept. */
void
written_truncation_kept(Oid relid, Oid storage)
{
	Written    *seen = seen_of(relid);

	seen->truncated = true;
	seen->storage = storage;
}

/*
 * Are the rows in that storage kept?  What came into it since is this
 * transaction's own, and is gone again without having been there before.
 */
bool
written_is_truncation_kept(Oid relid, Oid storage)
{
	Written    *seen = find_written(safemig_state.written, relid);

	return seen && seen->storage == storage;
}
