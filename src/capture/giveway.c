/*-------------------------------------------------------------------------
 *
 * giveway.c
 *	  Kept rows out of the way of a command.
 *
 * PostgreSQL does not change a composite type, or rewrite a table, whose rows
 * are stored in a column of another table, and ALTER DOMAIN looks at all the
 * rows that there are.  Tables that were dropped are none of the user's any
 * more: those in the vault that would be in the way are frozen before the
 * command.  When they come back their values are read as what the type is by
 * then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "capture/capture.h"

/*
 * Does it restrict the domain?  A constraint that is NOT VALID will be validated
 * later, when values that it forbids cannot be read from their text any more.
 * Where a rollback gives a domain back what it had, the rows that come back with
 * it satisfy that.
 */
static bool
domain_is_restricted(const AlterDomainStmt *stmt)
{
	if (safemig_state.record_id)
		return false;
	return stmt->subtype == 'C' || stmt->subtype == 'O' || stmt->subtype == 'V';
}

/* May it rewrite the table, or change values of its row type? */
static bool
table_may_be_rewritten(const AlterTableStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		switch (lfirst_node(AlterTableCmd, lc)->subtype)
		{
			case AT_AddColumn:
			case AT_AlterColumnType:
			case AT_SetAccessMethod:
			case AT_SetLogged:
			case AT_SetUnLogged:
				return true;
			default:
				break;
		}
	}
	return false;
}

/*
 * The row types that change with this relation's: those of the tables below.
 * What a cascade takes may be gone already.
 */
static List *
row_types(Oid relid)
{
	List	   *types = NIL;
	ListCell   *lc;

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		return NIL;
	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
	{
		Oid			rowtype = get_rel_type_id(lfirst_oid(lc));

		if (OidIsValid(rowtype))
			types = lappend_oid(types, rowtype);
	}
	return types;
}

/* Likewise those of the tables OF a type. */
static List *
types_that_change(const ObjectAddress *root)
{
	List	   *types;
	Oid			typid;
	ListCell   *lc;

	if (root->classId == RelationRelationId)
	{
		types = row_types(root->objectId);
		typid = get_rel_type_id(root->objectId);
	}
	else if (root->classId == TypeRelationId)
	{
		types = list_make1_oid(root->objectId);
		typid = root->objectId;
	}
	else
		return NIL;
	foreach(lc, OidIsValid(typid) ? type_tables(typid) : NIL)
		types = list_concat(types, row_types(lfirst_oid(lc)));
	return types;
}

void
give_way(Command *command, Node *parsetree)
{
	List	   *types = NIL;
	ListCell   *lc;

	if (!(IsA(parsetree, AlterDomainStmt) &&
		  domain_is_restricted((AlterDomainStmt *) parsetree)) &&
		!(IsA(parsetree, AlterTableStmt) &&
		  table_may_be_rewritten((AlterTableStmt *) parsetree)))
		return;
	foreach(lc, command->roots)
		types = list_concat_unique_oid(types, types_that_change(lfirst(lc)));
	if (types != NIL)
		vault_freeze_rows(types);
}
