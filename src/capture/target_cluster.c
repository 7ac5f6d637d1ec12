/*-------------------------------------------------------------------------
 *
 * target_cluster.c
 *	  What commands on databases and tablespaces concern, as far as they run
 *	  within a transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_database.h"
#include "catalog/pg_tablespace.h"
#include "commands/dbcommands.h"
#include "commands/tablespace.h"
#include "miscadmin.h"

#include "capture/target.h"

static void
add_database(Command *command, const char *name)
{
	target_add_root(command, DatabaseRelationId, get_database_oid(name, true));
}

static void
add_tablespace(Command *command, const char *name)
{
	target_add_root(command, TableSpaceRelationId, get_tablespace_oid(name, true));
}

static void
add_named(Command *command, ObjectType type, const char *name)
{
	if (type == OBJECT_DATABASE)
		add_database(command, name);
	else
		add_tablespace(command, name);
}

static bool
is_cluster_type(ObjectType type)
{
	return type == OBJECT_DATABASE || type == OBJECT_TABLESPACE;
}

bool
is_cluster_command(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_AlterDatabaseStmt:
		case T_AlterDatabaseSetStmt:
		case T_AlterTableSpaceOptionsStmt:
			return true;
		case T_AlterRoleSetStmt:
			return ((AlterRoleSetStmt *) stmt)->role == NULL;
		case T_GrantStmt:
			return is_cluster_type(((GrantStmt *) stmt)->objtype);
		case T_RenameStmt:
			return is_cluster_type(((RenameStmt *) stmt)->renameType);
		case T_AlterOwnerStmt:
			return is_cluster_type(((AlterOwnerStmt *) stmt)->objectType);
		case T_CommentStmt:
			return is_cluster_type(((CommentStmt *) stmt)->objtype);
		case T_SecLabelStmt:
			return is_cluster_type(((SecLabelStmt *) stmt)->objtype);
		default:
			return false;
	}
}

/* True if the command is one of these. */
bool
targets_cluster(Command *command, Node *stmt)
{
	ListCell   *lc;

	if (!is_cluster_command(stmt))
		return false;
	switch (nodeTag(stmt))
	{
		case T_AlterDatabaseStmt:
			add_database(command, ((AlterDatabaseStmt *) stmt)->dbname);
			break;
		case T_AlterDatabaseSetStmt:
			add_database(command, ((AlterDatabaseSetStmt *) stmt)->dbname);
			break;
		case T_AlterTableSpaceOptionsStmt:
			add_tablespace(command, ((AlterTableSpaceOptionsStmt *) stmt)->tablespacename);
			break;
		case T_AlterRoleSetStmt:
			/* ALTER ROLE ALL: what everybody has in all databases is in ours */
			if (((AlterRoleSetStmt *) stmt)->database)
				add_database(command, ((AlterRoleSetStmt *) stmt)->database);
			else
				target_add_root(command, DatabaseRelationId, MyDatabaseId);
			break;
		case T_GrantStmt:
			foreach(lc, ((GrantStmt *) stmt)->objects)
				add_named(command, ((GrantStmt *) stmt)->objtype, strVal(lfirst(lc)));
			break;
		case T_RenameStmt:
			add_named(command, ((RenameStmt *) stmt)->renameType, ((RenameStmt *) stmt)->subname);
			break;
		case T_AlterOwnerStmt:
			add_named(command, ((AlterOwnerStmt *) stmt)->objectType,
					  strVal(((AlterOwnerStmt *) stmt)->object));
			break;
		case T_SecLabelStmt:
			add_named(command, ((SecLabelStmt *) stmt)->objtype,
					  strVal(((SecLabelStmt *) stmt)->object));
			break;
		default:
			add_named(command, ((CommentStmt *) stmt)->objtype,
					  strVal(((CommentStmt *) stmt)->object));
			break;
	}
	return true;
}
