/*-------------------------------------------------------------------------
 *
 * failure.c
 *	  Commands that fail.
 *
 * Whatever a failed command wrote is gone with its transaction, a note about
 * the failure too.  So the message is remembered in the session when it is
 * reported, and written by the next command that is recorded and committed:
 * what is noted is a lower bound.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "capture/capture.h"
#include "history/history.h"

#define MAX_PENDING 100
#define MAX_QUERY 8192

typedef struct Failure
{
	int64		migration;		/* 0: none was open */
	char	   *tag;
	char	   *query;
	char		sqlstate[6];
	char	   *message;
	TimestampTz failed_at;
	bool		written;		/* by the transaction that runs */
} Failure;

static List *pending = NIL;
static MemoryContext failure_context = NULL;
static emit_log_hook_type next_emit_log_hook = NULL;

static void
remember(const ErrorData *edata, const Command *command)
{
	MemoryContext old = MemoryContextSwitchTo(failure_context);
	Failure    *failure = palloc0(sizeof(Failure));
	const char *text = command_text(command->tag, debug_query_string);

	failure->migration = safemig_state.explicit_id;
	failure->tag = pstrdup(command->tag);
	if (text)
		failure->query = pnstrdup(text, pg_mbcliplen(text, strlen(text), MAX_QUERY));
	strlcpy(failure->sqlstate, unpack_sql_state(edata->sqlerrcode),
			sizeof(failure->sqlstate));
	failure->message = pstrdup(edata->message ? edata->message : "");
	failure->failed_at = GetCurrentTimestamp();
	pending = lappend(pending, failure);
	MemoryContextSwitchTo(old);
}

static void
on_emit_log(ErrorData *edata)
{
	const Command *command = command_top();

	if (next_emit_log_hook)
		next_emit_log_hook(edata);
	if (edata->elevel == ERROR && command && command->parsetree &&
		safemig_state.record_id == 0 && list_length(pending) < MAX_PENDING)
		remember(edata, command);
}

void
failure_init(void)
{
	failure_context = AllocSetContextCreate(TopMemoryContext,
											"safemig failures",
											ALLOCSET_SMALL_SIZES);
	next_emit_log_hook = emit_log_hook;
	emit_log_hook = on_emit_log;
}

void
failures_write(void)
{
	ListCell   *lc;

	if (pending == NIL)
		return;
	foreach(lc, pending)
	{
		Failure    *failure = lfirst(lc);
		Datum		values[8];
		bool		nulls[8] = {false};

		if (failure->written)
			continue;
		failure->written = true;

		values[0] = Int64GetDatum(history_nextval("failure_id"));
		values[1] = Int64GetDatum(failure->migration);
		nulls[1] = failure->migration == 0;
		values[2] = CStringGetTextDatum(failure->tag);
		nulls[3] = failure->query == NULL;
		if (failure->query)
			values[3] = CStringGetTextDatum(failure->query);
		values[4] = CStringGetTextDatum(GetUserNameFromId(GetSessionUserId(), false));
		values[5] = CStringGetTextDatum(failure->sqlstate);
		values[6] = CStringGetTextDatum(failure->message);
		values[7] = TimestampTzGetDatum(failure->failed_at);
		history_insert("failure_log", values, nulls, lengthof(values));
	}
	CommandCounterIncrement();
}

/* Written for good. */
void
failures_commit(void)
{
	ListCell   *lc;

	foreach(lc, pending)
	{
		if (((Failure *) lfirst(lc))->written)
			pending = foreach_delete_current(pending, lc);
	}
	if (pending == NIL)
		MemoryContextReset(failure_context);
}

/* What was written may be gone: it is written again. */
void
failures_abort(void)
{
	ListCell   *lc;

	foreach(lc, pending)
		((Failure *) lfirst(lc))->written = false;
}
