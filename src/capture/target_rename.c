/*-------------------------------------------------------------------------
 *
 * target_rename.c
 *	  What is renamed or moved, and what is described by its name.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_trigger.h"
#include "commands/policy.h"
#include "commands/trigger.h"
#include "parser/parse_func.h"
#include "rewrite/rewriteSupport.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"

#include "capture/target.h"
#include "compat.h"

/* What a RENAME names within a relation, if that has an image of its own. */
static void
add_renamed_part(Command *command, RenameStmt *stmt, Oid relid)
{
	switch (stmt->renameType)
	{
		case OBJECT_TABCONSTRAINT:
			target_add_root(command, ConstraintRelationId,
					 get_relation_constraint_oid(relid, stmt->subname, true));
			break;
		case OBJECT_TRIGGER:
			target_add_root(command, TriggerRelationId,
					 get_trigger_oid(relid, stmt->subname, true));
			break;
		case OBJECT_RULE:
			target_add_root(command, RewriteRelationId,
					 get_rewrite_oid(relid, stmt->subname, true));
			break;
		case OBJECT_POLICY:
			target_add_root(command, PolicyRelationId,
					 get_relation_policy_oid(relid, stmt->subname, true));
			break;
		case OBJECT_INDEX:
			/* its constraint has the same name, and is the one renamed back */
			target_add_root(command, ConstraintRelationId, get_index_constraint(relid));
			break;
		default:
			break;
	}
}

/* Does it go down to partitions, or to tables that inherit? */
bool
renames_below(const RenameStmt *stmt, Oid relid)
{
	switch (stmt->renameType)
	{
		case OBJECT_COLUMN:
			return stmt->relation->inh;
		case OBJECT_TABCONSTRAINT:
			return stmt->relation->inh && constraint_is_inherited(relid, stmt->subname);
		case OBJECT_TRIGGER:
			return get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE;
		default:
			return false;
	}
}

/* ALTER INDEX may rename a table: what it is decides about the lock. */
static Oid
lock_renamed(RenameStmt *stmt, LOCKMODE *lockmode)
{
	for (;;)
	{
		Oid			seen = RangeVarGetRelid(stmt->relation, NoLock, true);
		char		relkind = OidIsValid(seen) ? get_rel_relkind(seen) : '\0';
		Oid			relid;

		*lockmode = stmt->renameType == OBJECT_INDEX &&
			(relkind == RELKIND_INDEX || relkind == RELKIND_PARTITIONED_INDEX) ?
			ShareUpdateExclusiveLock : AccessExclusiveLock;
		relid = target_resolve_relation(stmt->relation, *lockmode, true);
		if (relid == seen)
			return relid;
		if (OidIsValid(relid))
			UnlockRelationOid(relid, *lockmode);
	}
}

static void
rename_relation(Command *command, RenameStmt *stmt)
{
	LOCKMODE	lockmode;
	Oid			relid = lock_renamed(stmt, &lockmode);
	ListCell   *lc;

	if (!OidIsValid(relid))
		return;
	if (get_rel_relkind(relid) == RELKIND_COMPOSITE_TYPE)
	{
		target_composite(command, get_rel_type_id(relid), lockmode);
		target_add_referring_to_relation(command, relid);
		return;
	}
	target_add_tree(command, relid, lockmode, renames_below(stmt, relid));
	add_renamed_part(command, stmt, relid);
	target_add_referring_to_relation(command, relid);
	if (stmt->renameType != OBJECT_COLUMN || !stmt->relation->inh || !has_subclass(relid))
		return;
	/* locked with the tree */
	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
	{
		if (lfirst_oid(lc) != relid)
			target_add_referring_to_relation(command, lfirst_oid(lc));
	}
}

/*
 * What is in a schema, or a member of an extension, and everything that refers
 * to something of it.
 */
static void
add_referring_to_members(Command *command, Oid class_id, Oid object_id)
{
	int			had = list_length(command->referring);
	int			inside;

	target_add_referring(command, class_id, object_id);
	inside = list_length(command->referring);
	for (int i = had; i < inside; i++)
	{
		ObjectAddress *address = list_nth(command->referring, i);

		target_add_referring(command, address->classId, address->objectId);
		if (address->classId == RelationRelationId)
			target_add_referring(command, TypeRelationId,
						  get_rel_type_id(address->objectId));
	}
}

void
target_rename(Command *command, RenameStmt *stmt)
{
	int			had = list_length(command->roots);
	ListCell   *lc;

	command->restates = true;
	if (stmt->relation)
		rename_relation(command, stmt);
	else if (stmt->renameType == OBJECT_SCHEMA)
	{
		Oid			namespace = get_namespace_oid(stmt->subname, true);

		target_add_root(command, NamespaceRelationId, namespace);
		if (OidIsValid(namespace))
			add_referring_to_members(command, NamespaceRelationId, namespace);
	}
	else if (stmt->renameType == OBJECT_DOMCONSTRAINT)
	{
		Oid			domain = target_add_type(command, (List *) stmt->object);

		if (OidIsValid(domain))
			target_add_root(command, ConstraintRelationId,
					 get_domain_constraint_oid(domain, stmt->subname, true));
	}
	else if (stmt->object)
	{
		target_add_named(command, stmt->renameType, stmt->object, AccessExclusiveLock);
		for_each_from(lc, command->roots, had)
		{
			ObjectAddress *root = lfirst(lc);

			target_add_referring(command, root->classId, root->objectId);
		}
	}
}

/* ALTER … OWNER TO, SET SCHEMA, DEPENDS ON EXTENSION */
void
target_named(Command *command, RangeVar *relation, ObjectType type,
			  Node *object)
{
	if (relation)
	{
		Oid			relid = target_resolve_relation(relation, AccessExclusiveLock, true);

		target_add_tree(command, relid, AccessExclusiveLock, false);
		if (OidIsValid(relid) && command->restates)
			target_add_referring_to_relation(command, relid);
	}
	else if (object)
	{
		int			had = list_length(command->roots);
		ListCell   *lc;

		target_add_named(command, type, object, AccessExclusiveLock);
		if (!command->restates)
			return;
		for_each_from(lc, command->roots, had)
		{
			ObjectAddress *root = lfirst(lc);

			/* SET SCHEMA of an extension takes its members along */
			if (root->classId == ExtensionRelationId)
				add_referring_to_members(command, root->classId, root->objectId);
			else
				target_add_referring(command, root->classId, root->objectId);
		}
	}
}
