/*-------------------------------------------------------------------------
 *
 * outside.c
 *	  Commands that PostgreSQL runs outside of transactions: databases and
 *	  tablespaces made, dropped and moved, ALTER SYSTEM.
 *
 * What they do to files no transaction takes back, a rollback neither: so they
 * are recorded as irreversible.  By the time that they can be, it is done, and
 * an error would leave a catalog that says otherwise: what goes wrong then is
 * said, not raised, and they are refused before they begin or not at all.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "advise/advise.h"
#include "capture/capture.h"
#include "point.h"

/* The option that moves a database, or NULL. */
static DefElem *
moving_option(AlterDatabaseStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->options)
	{
		if (strcmp(lfirst_node(DefElem, lc)->defname, "tablespace") == 0)
			return lfirst(lc);
	}
	return NULL;
}

bool
is_outside_command(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_CreatedbStmt:
		case T_DropdbStmt:
		case T_CreateTableSpaceStmt:
		case T_DropTableSpaceStmt:
		case T_AlterSystemStmt:
			return true;
		case T_AlterDatabaseStmt:
			return moving_option((AlterDatabaseStmt *) stmt) != NULL;
		default:
			return false;
	}
}

/* What is as the command has left it, also after a rollback. */
static char *
what_stays(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_CreatedbStmt:
			return psprintf("database %s", quote_identifier(((CreatedbStmt *) stmt)->dbname));
		case T_DropdbStmt:
			return psprintf("database %s", quote_identifier(((DropdbStmt *) stmt)->dbname));
		case T_AlterDatabaseStmt:
			return psprintf("database %s", quote_identifier(((AlterDatabaseStmt *) stmt)->dbname));
		case T_CreateTableSpaceStmt:
			return psprintf("tablespace %s",
							quote_identifier(((CreateTableSpaceStmt *) stmt)->tablespacename));
		case T_DropTableSpaceStmt:
			return psprintf("tablespace %s",
							quote_identifier(((DropTableSpaceStmt *) stmt)->tablespacename));
		default:
			return pstrdup("the server's configuration file");
	}
}

static char *
reason_of(Node *stmt)
{
	return psprintf("%s is changed outside of transactions", what_stays(stmt));
}

void
outside_command_starts(Node *stmt, CommandTag tag)
{
	if (!capture_is_silent(stmt))
		policy_check(stmt);
	if (safemig_require_reversible && !capture_is_silent(stmt))
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_IRREVERSIBLE),
				 errmsg("%s is irreversible: %s", GetCommandTagName(tag), reason_of(stmt)),
				 errhint("SET safemig.require_reversible = off to run it all the same.")));
}

typedef struct Outside
{
	Node	   *stmt;
	CommandTag	tag;
} Outside;

static bool
write_down(void *arg)
{
	Outside    *outside = arg;
	Command    *command = command_push(outside->stmt, GetCommandTagName(outside->tag));
	MemoryContext old = MemoryContextSwitchTo(command->context);

	command->data_only = true;
	command->unproved = reason_of(outside->stmt);
	command->stays = what_stays(outside->stmt);
	MemoryContextSwitchTo(old);
	SAFEMIG_POINT("outside.done");
	command_record(command);
	command_pop(command);
	return true;
}

static void
try_to_write_down(Node *stmt, CommandTag tag)
{
	Outside		outside = {stmt, tag};
	ErrorData  *error = attempt(write_down, &outside);

	if (error)
		ereport(WARNING,
				(errcode(ERRCODE_SAFEMIG_CAPTURE),
				 errmsg("safemig could not record %s: %s", GetCommandTagName(tag),
						error->message),
				 errdetail("It has been done and is not in the history.")));
}

/* A database that was moved has committed in the middle of it. */
void
outside_command_ends(Node *stmt, CommandTag tag)
{
	bool		push = !ActiveSnapshotSet();

	if (capture_is_silent(stmt) || RecoveryInProgress())
		return;
	if (push)
		PushActiveSnapshot(GetTransactionSnapshot());
	try_to_write_down(stmt, tag);
	if (push)
		PopActiveSnapshot();
}
