/*-------------------------------------------------------------------------
 *
 * scriptrun.c
 *	  A rollback whose steps a script sends one by one: what the file that
 *	  safemig_script makes calls.
 *
 * script_begin does what a rollback does before its first step: it checks,
 * takes the locks and opens the record.  From then on every command of the
 * transaction is part of that record.  script_end does what a rollback does
 * after its last step: it proves the state and marks the migration.  A
 * transaction that began one and did not end it cannot be committed.
 *
 * The images prove what a DDL statement did, whoever sent it.  They do not
 * show rows: so statements that put back rows or values are run by
 * script_run, which takes nothing but the statement of the plan, and
 * script_end knows whether all of them were.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "capture/capture.h"
#include "keep/column.h"
#include "rollback/rollback.h"

PG_FUNCTION_INFO_V1(safemig_script_begin);
PG_FUNCTION_INFO_V1(safemig_script_run);
PG_FUNCTION_INFO_V1(safemig_script_settle);
PG_FUNCTION_INFO_V1(safemig_script_end);

/* In TopTransactionContext. */
typedef struct Script
{
	RollbackRun *run;
	int			last;			/* number of the step that was run last, by
								 * script_run */
} Script;

/* ---- which statements may stand in the file as they are ---- */

/* psql would take it for one of its variables or commands. */
static bool
psql_reads_it_otherwise(const char *sql)
{
	for (const char *c = sql; *c; c++)
	{
		if (*c == '\\')
			return true;
		if (*c != ':')
			continue;
		if (c[1] == ':')
			c++;
		else if (c[1] != '\0' && strchr(" =\t\n", c[1]) == NULL)
			return true;
	}
	return false;
}

/* Is what it does seen in the images? */
static bool
images_show(const char *sql)
{
	List	   *parsed = raw_parser(sql, RAW_PARSE_DEFAULT);

	switch (nodeTag(linitial_node(RawStmt, parsed)->stmt))
	{
		case T_SelectStmt:
		case T_InsertStmt:
		case T_UpdateStmt:
		case T_DeleteStmt:
		case T_RefreshMatViewStmt:
			return false;
		default:
			return true;
	}
}

bool
step_stands_alone(const Step *step)
{
	return images_show(step->sql) && !step_needs_runner(step) &&
		!psql_reads_it_otherwise(step->sql);
}

/* ---- the beginning ---- */

static void
check_database(const char *made_for, bool copy)
{
	Frame		frame;
	bool		same;

	frame_become_owner(&frame);
	same = strcmp(made_for, history_incarnation()) == 0;
	frame_unpin(&frame);
	if (!same && !copy)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("the script was made for another database"),
				 errdetail("A database that was restored, copied or upgraded is another one."),
				 errhint("Make a new script here; or try this one on a copy with psql -v safemig_copy=on.")));
	if (same && copy)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("this is not a copy"),
				 errdetail("It is the very database that the script was made for."),
				 errhint("Leave out -v safemig_copy=on.")));
}

/* Returns the role that the statements have to run as. */
Datum
safemig_script_begin(PG_FUNCTION_ARGS)
{
	MemoryContext old;
	Script	   *script;
	ListCell   *lc;

	check_own_call("script_begin");
	if (!IsTransactionBlock())
		ereport(ERROR,
				(errcode(ERRCODE_NO_ACTIVE_SQL_TRANSACTION),
				 errmsg("script_begin() can only be used in transaction blocks")));
	check_database(text_to_cstring(PG_GETARG_TEXT_PP(2)), PG_GETARG_BOOL(3));
	old = MemoryContextSwitchTo(TopTransactionContext);
	script = palloc0(sizeof(Script));
	script->run = rollback_begin_script(PG_GETARG_INT64(0),
										text_to_cstring(PG_GETARG_TEXT_PP(1)));
	MemoryContextSwitchTo(old);
	state_save();
	safemig_state.script = script;
	foreach(lc, script->run->plan->commands)
		plan_warn_unkept(lfirst(lc));
	pin_until_commit();
	PG_RETURN_TEXT_P(cstring_to_text(GetUserNameFromId(extension_owner(), false)));
}

static Script *
script_under_way(void)
{
	if (safemig_state.script == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("no script of a rollback is under way"),
				 errhint("SELECT safemig_script(id); makes one.")));
	return safemig_state.script;
}

/* ---- the steps ---- */

static const Step *
find_step(RollbackPlan *plan, int number, const RecordedCommand **command)
{
	ListCell   *lc;

	foreach(lc, plan->commands)
	{
		*command = lfirst(lc);
		if (number <= list_length((*command)->steps))
			return number < 1 ? NULL : list_nth((*command)->steps, number - 1);
		number -= list_length((*command)->steps);
	}
	return NULL;
}

/* The first step after this one that script_run has to run, or 0. */
static int
next_to_run(RollbackPlan *plan, int after)
{
	const RecordedCommand *command;
	const Step *step;

	for (int number = after + 1; (step = find_step(plan, number, &command)) != NULL; number++)
	{
		if (!step_stands_alone(step))
			return number;
	}
	return 0;
}

Datum
safemig_script_run(PG_FUNCTION_ARGS)
{
	int			number = PG_GETARG_INT32(0);
	char	   *sql = text_to_cstring(PG_GETARG_TEXT_PP(1));
	const RecordedCommand *command = NULL;
	Script	   *script;
	const Step *step;

	check_own_call("script_run");
	script = script_under_way();
	step = find_step(script->run->plan, number, &command);
	if (step == NULL || strcmp(step->sql, sql) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_STALE_PLAN),
				 errmsg("the statement is not step %d of the plan", number),
				 errdetail("A script can be read and run, but not be changed.")));
	if (number != next_to_run(script->run->plan, script->last))
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("step %d is out of order", number)));
	plan_run_step(command, step);
	script->last = number;
	PG_RETURN_VOID();
}

Datum
safemig_script_settle(PG_FUNCTION_ARGS)
{
	Script	   *script;
	Frame		frame;
	ListCell   *lc;

	check_own_call("script_settle");
	script = script_under_way();
	foreach(lc, script->run->plan->commands)
	{
		RecordedCommand *command = lfirst(lc);

		if (command->seq != PG_GETARG_INT64(0))
			continue;
		frame_become_owner(&frame);
		plan_settle(script->run->plan, command);
		frame_unpin(&frame);
		PG_RETURN_VOID();
	}
	ereport(ERROR,
			(errcode(ERRCODE_SAFEMIG_STALE_PLAN),
			 errmsg("command %lld is not part of the plan", (long long) PG_GETARG_INT64(0))));
	PG_RETURN_VOID();
}

/* ---- the end ---- */

Datum
safemig_script_end(PG_FUNCTION_ARGS)
{
	Script	   *script;
	int			missing;
	int64		record;

	check_own_call("script_end");
	script = script_under_way();
	missing = next_to_run(script->run->plan, script->last);
	if (missing)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("step %d has not been run", missing)));
	record = rollback_end_script(script->run);
	state_save();
	safemig_state.script = NULL;
	PG_RETURN_INT64(record);
}

void
script_refuse_commit(void)
{
	if (safemig_state.script)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("the script of the rollback has not come to its end"),
				 errdetail("What it did has not been proved; nothing has been changed."),
				 errhint("SELECT safemig.script_end(); before COMMIT.")));
}
