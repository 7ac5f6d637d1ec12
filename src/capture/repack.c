/*-------------------------------------------------------------------------
 *
 * repack.c
 *	  pg_repack at work.
 *
 * It writes a table anew beside the old one and swaps their files.  What it
 * makes for that, and drops again, is no migration: kept, each run of it would
 * leave the old files in the vault, and its trigger in the way of rollbacks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "commands/extension.h"
#include "nodes/parsenodes.h"

#include "capture/capture.h"

#define REPACK_SCHEMA	"repack"
#define REPACK_TRIGGER	"repack_trigger"

/* Anybody may make a schema of that name; pg_repack's is its extension's. */
static bool
is_installed(void)
{
	Oid			namespace = get_namespace_oid(REPACK_SCHEMA, true);
	Oid			extension = OidIsValid(namespace) ? get_extension_oid("pg_repack", true) : InvalidOid;

	return OidIsValid(extension) &&
		getExtensionOfObject(NamespaceRelationId, namespace) == extension;
}

static bool
is_in_schema(const RangeVar *relation)
{
	return relation && relation->schemaname && strcmp(relation->schemaname, REPACK_SCHEMA) == 0;
}

static bool
name_is_in_schema(List *name)
{
	return list_length(name) == 2 && strcmp(strVal(linitial(name)), REPACK_SCHEMA) == 0;
}

static bool
drops_own(const DropStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->objects)
	{
		Node	   *object = lfirst(lc);

		if (stmt->removeType == OBJECT_TABLE && name_is_in_schema((List *) object))
			continue;
		if (stmt->removeType == OBJECT_TYPE && name_is_in_schema(castNode(TypeName, object)->names))
			continue;
		if (stmt->removeType == OBJECT_TRIGGER && strcmp(strVal(llast((List *) object)), REPACK_TRIGGER) == 0)
			continue;
		return false;
	}
	return true;
}

static bool
alters_own(const AlterTableStmt *stmt)
{
	ListCell   *lc;

	if (is_in_schema(stmt->relation))
		return true;
	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype != AT_EnableAlwaysTrig || cmd->name == NULL ||
			strcmp(cmd->name, REPACK_TRIGGER) != 0)
			return false;
	}
	return true;
}

/* Is this about what pg_repack makes for itself, and nothing else? */
bool
repack_is_at_work(Node *parsetree)
{
	bool		own;

	switch (nodeTag(parsetree))
	{
		case T_CreateStmt:
			own = is_in_schema(((CreateStmt *) parsetree)->relation);
			break;
		case T_CreateTableAsStmt:
			own = is_in_schema(((CreateTableAsStmt *) parsetree)->into->rel);
			break;
		case T_CompositeTypeStmt:
			own = is_in_schema(((CompositeTypeStmt *) parsetree)->typevar);
			break;
		case T_IndexStmt:
			own = is_in_schema(((IndexStmt *) parsetree)->relation);
			break;
		case T_CreateTrigStmt:
			own = name_is_in_schema(((CreateTrigStmt *) parsetree)->funcname);
			break;
		case T_AlterTableStmt:
			own = alters_own((AlterTableStmt *) parsetree);
			break;
		case T_DropStmt:
			own = drops_own((DropStmt *) parsetree);
			break;
		default:
			own = false;
			break;
	}
	return own && is_installed();
}
