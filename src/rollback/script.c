/*-------------------------------------------------------------------------
 *
 * script.c
 *	  safemig_script: the plan of a rollback as a file for psql.
 *
 * Run against the very database it does what safemig_rollback does.  The
 * statements stand there as they are; between script_begin and script_end
 * (scriptrun.c) they are recorded as the rollback, and script_end proves it.
 * A statement is handed to script_run instead where it has to run as the owner
 * of an object, or where its effect cannot be seen in the images, so that
 * nobody can leave it out unnoticed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "rollback/rollback.h"

PG_FUNCTION_INFO_V1(safemig_script);

/* For a comment: a line break in a name must not end it. */
static char *
one_line(const char *text)
{
	char	   *line = pstrdup(text);

	for (char *c = line; *c; c++)
	{
		if ((unsigned char) *c < ' ' || *c == 0x7f)
			*c = ' ';
	}
	return line;
}

static void
append_header(StringInfo buf, RollbackPlan *plan, const char *hash)
{
	Migration  *migration = linitial(plan->migrations);

	appendStringInfo(buf, "--\n-- Rolls back migration " INT64_FORMAT, migration->id);
	if (migration->label)
		appendStringInfo(buf, " \"%s\"", one_line(migration->label));
	appendStringInfo(buf, ".  Made by safemig_script(" INT64_FORMAT ").\n--\n", migration->id);
	appendStringInfo(buf, "-- Database: %s\n", one_line(get_database_name(MyDatabaseId)));
	appendStringInfo(buf, "-- Server:   PostgreSQL %s, system identifier " UINT64_FORMAT "\n",
					 PG_VERSION, GetSystemIdentifier());
	appendStringInfo(buf, "-- Plan:     %s\n", hash);
	appendStringInfo(buf, "-- Steps:    %d", plan->steps);
	if (plan->strongest_lock)
		appendStringInfo(buf, ", strongest lock %s on %s", plan->strongest_lock,
						 one_line(plan->strongest_object));
	appendStringInfoString(buf,
						   "\n--\n"
						   "-- To be run by psql, as a superuser or the owner of extension safemig:\n"
						   "--     psql -X -f FILE DATABASE\n"
						   "-- It refuses any other database, and any other state than the one it was made\n"
						   "-- for.  On a copy of the database (pg_dump | psql) it is tried by\n"
						   "--     psql -X -v safemig_copy=on -f FILE COPY\n"
						   "-- What is done between script_begin and script_end is recorded as the rollback\n"
						   "-- and proved before it is committed.\n"
						   "--\n");
}

static void
append_beginning(StringInfo buf, int64 id, const char *hash)
{
	appendStringInfo(buf,
					 "\\set ON_ERROR_STOP on\n"
					 "\\set ON_ERROR_ROLLBACK off\n"
					 "\\encoding %s\n"
					 "\\if :{?safemig_copy}\n"
					 "\\else\n"
					 "\\set safemig_copy off\n"
					 "\\endif\n\n"
					 "BEGIN;\n"
					 "SET LOCAL lock_timeout = %d;\n"
					 "SELECT safemig.script_begin(id => " INT64_FORMAT ",\n"
					 "\tplan_hash => %s,\n"
					 "\tdatabase => %s,\n"
					 "\tcopy => :'safemig_copy') AS safemig_owner \\gset\n"
					 "SET LOCAL ROLE :\"safemig_owner\";\n",
					 pg_get_client_encoding_name(), safemig_lock_timeout, id,
					 quote_literal_cstr(hash),
					 quote_literal_cstr(history_incarnation()));
}

static char *
dollar_quote(const char *text)
{
	char	   *tag = pstrdup("$safemig$");

	for (int n = 1; strstr(text, tag); n++)
		tag = psprintf("$safemig%d$", n);
	return psprintf("%s%s%s", tag, text, tag);
}

static void
append_step(StringInfo buf, int number, const Step *step)
{
	appendStringInfo(buf, "\n-- %d. %s", number, one_line(step->object));
	if (step->lock_mode)
		appendStringInfo(buf, ", %s", step->lock_mode);
	if (step->cost)
		appendStringInfo(buf, ", %s", step->cost);
	if (step->cost && strcmp(step->cost, "index") == 0)
		appendStringInfoString(buf, " (CONCURRENTLY cannot be part of a transaction)");
	if (step_needs_runner(step))
		appendStringInfoString(buf, "; run as the owner");
	if (step->note)
		appendStringInfo(buf, "; %s", one_line(step->note));
	if (step_stands_alone(step))
		appendStringInfo(buf, "\n%s;\n", step->sql);
	else
		appendStringInfo(buf, "\nSELECT safemig.script_run(%d, %s);\n", number,
						 dollar_quote(step->sql));
}

static void
append_commands(StringInfo buf, RollbackPlan *plan)
{
	ListCell   *lc;
	ListCell   *inner;
	int			number = 0;

	foreach(lc, plan->commands)
	{
		RecordedCommand *command = lfirst(lc);

		appendStringInfo(buf, "\n-- Takes back command " INT64_FORMAT ", %s.\n",
						 command->seq, command->tag);
		if (command->unkept)
			appendStringInfo(buf, "-- What stays as it is: %s.\n",
							 one_line(command->unkept));
		foreach(inner, command->steps)
			append_step(buf, ++number, lfirst(inner));
		appendStringInfo(buf, "\n-- whatever still differs from the state before the command\n"
						 "SELECT safemig.script_settle(" INT64_FORMAT ");\n",
						 command->seq);
	}
}

Datum
safemig_script(PG_FUNCTION_ARGS)
{
	int64		id = PG_GETARG_INT64(0);
	RollbackPlan *plan = rollback_plan_for_script(id);
	StringInfoData buf;
	Frame		frame;
	char	   *hash;

	initStringInfo(&buf);
	frame_become_owner(&frame);
	hash = plan_hash(plan);
	append_header(&buf, plan, hash);
	append_beginning(&buf, id, hash);
	append_commands(&buf, plan);
	frame_unpin(&frame);
	appendStringInfoString(&buf, "\nSELECT safemig.script_end() AS record;\nCOMMIT;\n");
	PG_RETURN_TEXT_P(cstring_to_text_with_len(buf.data, buf.len));
}
