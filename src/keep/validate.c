/*-------------------------------------------------------------------------
 *
 * validate.c
 *	  Checks of a table's rows against what the table says of them.
 *
 * They evaluate what the table's owner wrote, so they run as the owner.  But
 * the owner may lack USAGE on the table's schema (a table that was made for
 * somebody else), with which PostgreSQL would not let a statement name it.
 * So the name is resolved as the extension's owner, and the rest goes by OID.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "commands/event_trigger.h"
#include "commands/tablecmds.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/varlena.h"

#include "keep/column.h"

PG_FUNCTION_INFO_V1(safemig_validate_constraint);
PG_FUNCTION_INFO_V1(safemig_set_not_null);

/* One ALTER TABLE subcommand, by OID, as the table's owner. */
static void
alter_as_owner(Oid relid, AlterTableCmd *cmd, bool recurse)
{
	AlterTableStmt *stmt = makeNode(AlterTableStmt);
	Relation	rel = RelationIdGetRelation(relid);
	Oid			owner;
	Frame		frame;

	if (!RelationIsValid(rel))
		elog(ERROR, "could not open relation with OID %u", relid);
	owner = rel->rd_rel->relowner;
	RelationClose(rel);

	cmd->behavior = DROP_RESTRICT;
	stmt->cmds = list_make1(cmd);
	stmt->objtype = OBJECT_TABLE;
	frame_become(&frame, owner);
	/* in a rollback that a DDL command calls, PostgreSQL collects this too */
	EventTriggerAlterTableStart((Node *) stmt);
	AlterTableInternal(relid, stmt->cmds, recurse);
	EventTriggerAlterTableEnd();
	CommandCounterIncrement();
	frame_unpin(&frame);
}

/* Recorded as one command on the table and, if it recurses, those below it. */
static void
alter_recorded(Oid relid, AlterTableCmd *cmd, bool recurse, LOCKMODE lockmode)
{
	List	   *relids = recurse ? find_all_inheritors(relid, lockmode, NULL) :
	list_make1_oid(relid);
	List	   *addresses = NIL;
	ListCell   *lc;

	foreach(lc, relids)
	{
		ObjectAddress *address = palloc(sizeof(ObjectAddress));

		ObjectAddressSet(*address, RelationRelationId, lfirst_oid(lc));
		addresses = lappend(addresses, address);
	}
	capture_internal_begin("ALTER TABLE", addresses);
	alter_as_owner(relid, cmd, recurse);
	capture_internal_end();
}

static Oid
lock_table(text *name, LOCKMODE lockmode)
{
	return RangeVarGetRelid(makeRangeVarFromNameList(textToQualifiedNameList(name)),
							lockmode, false);
}

/* safemig.validate_constraint(relation text, constraint_name text) */
Datum
safemig_validate_constraint(PG_FUNCTION_ARGS)
{
	AlterTableCmd *cmd = makeNode(AlterTableCmd);
	Oid			relid;

	check_own_call("validate_constraint");
	relid = lock_table(PG_GETARG_TEXT_PP(0), ShareUpdateExclusiveLock);
	cmd->subtype = AT_ValidateConstraint;
	cmd->name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	alter_recorded(relid, cmd, true, ShareUpdateExclusiveLock);
	PG_RETURN_VOID();
}

/* safemig.set_not_null(relation text, column_name text, this_only boolean) */
Datum
safemig_set_not_null(PG_FUNCTION_ARGS)
{
	AlterTableCmd *cmd = makeNode(AlterTableCmd);
	Oid			relid;

	check_own_call("set_not_null");
	relid = lock_table(PG_GETARG_TEXT_PP(0), AccessExclusiveLock);
	cmd->subtype = AT_SetNotNull;
	cmd->name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	alter_recorded(relid, cmd, !PG_GETARG_BOOL(2), AccessExclusiveLock);
	PG_RETURN_VOID();
}
