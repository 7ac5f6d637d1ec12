/*-------------------------------------------------------------------------
 *
 * target.c
 *	  Which objects a command names: raw parse tree → addresses.
 *
 * At ddl_command_start nothing is resolved, checked or locked yet.  What a
 * name means is found out here the way the command itself will find it, under
 * the lock that the command will take, so that nothing changes in between
 * and no lock is raised later.  Where core checks ownership before it locks,
 * so does this; a name that means nothing is left to core to complain about.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "parser/parse_func.h"
#include "utils/lsyscache.h"

#include "capture/target.h"
#include "compat.h"

/* ---- functions ---- */

static void
targets_create_function(Command *command, CreateFunctionStmt *stmt)
{
	Oid			oid = replaced_function(stmt);

	if (OidIsValid(oid) && object_ownercheck(ProcedureRelationId, oid, GetUserId()))
		target_add_root(command, ProcedureRelationId, oid);
}

/* ---- the whole ---- */

/* Commands on what lives in a table: the table is the root. */
static bool
targets_in_table(Command *command, Node *parsetree)
{
	switch (nodeTag(parsetree))
	{
		case T_CreateTrigStmt:
			command->spares_contents = !((CreateTrigStmt *) parsetree)->replace;
			target_add_with_partitions(command, ((CreateTrigStmt *) parsetree)->relation,
								ShareRowExclusiveLock);
			return true;
		case T_RuleStmt:
			/* ON SELECT may make a view of a table */
			command->spares_contents = !((RuleStmt *) parsetree)->replace &&
				((RuleStmt *) parsetree)->event != CMD_SELECT;
			target_add_relation(command, ((RuleStmt *) parsetree)->relation,
						 AccessExclusiveLock, true);
			return true;
		case T_CreatePolicyStmt:
			command->spares_contents = true;
			target_add_relation(command, ((CreatePolicyStmt *) parsetree)->table,
						 AccessExclusiveLock, true);
			return true;
		case T_AlterPolicyStmt:
			target_add_relation(command, ((AlterPolicyStmt *) parsetree)->table,
						 AccessExclusiveLock, true);
			return true;
		case T_IndexStmt:
			{
				IndexStmt  *stmt = (IndexStmt *) parsetree;
				LOCKMODE	lockmode = stmt->concurrent ? ShareUpdateExclusiveLock : ShareLock;
				Oid			relid = target_resolve_relation(stmt->relation, lockmode, true);

				target_add_tree(command, relid, lockmode,
						 stmt->relation->inh && !stmt->concurrent && OidIsValid(relid) &&
						 get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE);
				/* an index of a partition may be attached */
				command->spares_contents = !stmt->concurrent &&
					get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE;
				return true;
			}
		case T_ReindexStmt:
			target_reindex(command, (ReindexStmt *) parsetree);
			return true;
		case T_ViewStmt:
			if (((ViewStmt *) parsetree)->replace)
				target_add_relation(command, ((ViewStmt *) parsetree)->view,
							 AccessExclusiveLock, true);
			return true;
		case T_RefreshMatViewStmt:
			command->data_only = true;
			target_add_relation(command, ((RefreshMatViewStmt *) parsetree)->relation,
						 ((RefreshMatViewStmt *) parsetree)->concurrent ?
						 ExclusiveLock : AccessExclusiveLock,
						 true);
			return true;
		case T_AlterSeqStmt:
			command->moves_sequence = true;
			target_add_relation(command, ((AlterSeqStmt *) parsetree)->sequence,
						 ShareRowExclusiveLock, true);
			return true;
		default:
			return false;
	}
}

/* Commands that name an object of whatever class. */
static bool
targets_any_class(Command *command, Node *parsetree)
{
	switch (nodeTag(parsetree))
	{
		case T_AlterObjectSchemaStmt:
			{
				AlterObjectSchemaStmt *stmt = (AlterObjectSchemaStmt *) parsetree;

				command->restates = true;
				target_named(command, stmt->relation, stmt->objectType, stmt->object);
				return true;
			}
		case T_AlterOwnerStmt:
			{
				AlterOwnerStmt *stmt = (AlterOwnerStmt *) parsetree;

				command->restates = true;
				target_named(command, stmt->relation, stmt->objectType, stmt->object);
				return true;
			}
		case T_AlterObjectDependsStmt:
			{
				AlterObjectDependsStmt *stmt = (AlterObjectDependsStmt *) parsetree;

				target_named(command, stmt->relation, stmt->objectType, stmt->object);
				return true;
			}
		case T_CommentStmt:
			{
				CommentStmt *stmt = (CommentStmt *) parsetree;

				command->spares_contents = stmt->objtype == OBJECT_TABLE ||
					stmt->objtype == OBJECT_COLUMN;
				target_add_owned(command, stmt->objtype, stmt->object, ShareUpdateExclusiveLock);
				return true;
			}
		case T_SecLabelStmt:
			{
				SecLabelStmt *stmt = (SecLabelStmt *) parsetree;

				target_add_owned(command, stmt->objtype, stmt->object, ShareUpdateExclusiveLock);
				return true;
			}
		default:
			return false;
	}
}

/*
 * Makes roots of the objects that the command names.  Commands that only
 * create need none; what they make is seen by the access hook.
 */
void
targets_resolve(Command *command, Node *parsetree)
{
	ListCell   *lc;

	if (targets_role(command, parsetree) ||
		targets_cluster(command, parsetree) ||
		targets_in_table(command, parsetree) ||
		targets_any_class(command, parsetree) ||
		targets_other(command, parsetree))
		return;
	switch (nodeTag(parsetree))
	{
		case T_AlterTableStmt:
			target_alter_table(command, (AlterTableStmt *) parsetree);
			break;
		case T_AlterTableMoveAllStmt:
			target_move_all(command, (AlterTableMoveAllStmt *) parsetree);
			break;
		case T_RenameStmt:
			target_rename(command, (RenameStmt *) parsetree);
			break;
		case T_AlterFunctionStmt:
			{
				AlterFunctionStmt *stmt = (AlterFunctionStmt *) parsetree;

				target_add_owned(command, stmt->objtype, (Node *) stmt->func, AccessShareLock);
				break;
			}
		case T_CreateFunctionStmt:
			targets_create_function(command, (CreateFunctionStmt *) parsetree);
			break;
		case T_AlterEnumStmt:
			{
				AlterEnumStmt *stmt = (AlterEnumStmt *) parsetree;
				Oid			type = target_add_type(command, stmt->typeName);

				/* a label renamed: defaults and queries that have it read otherwise */
				if (OidIsValid(type) && stmt->oldVal)
				{
					command->restates = true;
					target_add_referring(command, TypeRelationId, type);
				}
				break;
			}
		case T_AlterDomainStmt:
			(void) target_add_type(command, ((AlterDomainStmt *) parsetree)->typeName);
			break;
		case T_AlterTypeStmt:
			(void) target_add_type(command, ((AlterTypeStmt *) parsetree)->typeName);
			break;
		case T_AlterStatsStmt:
			target_add_named(command, OBJECT_STATISTIC_EXT,
					  (Node *) ((AlterStatsStmt *) parsetree)->defnames,
					  ShareUpdateExclusiveLock);
			break;
		case T_AlterPublicationStmt:
			target_add_root(command, PublicationRelationId,
					 get_publication_oid(((AlterPublicationStmt *) parsetree)->pubname, true));
			break;
		case T_GrantStmt:
			command->spares_contents = true;
			target_grant(command, (GrantStmt *) parsetree);
			break;
		case T_AlterDefaultPrivilegesStmt:
			target_default_privileges(command);
			break;
		case T_AlterExtensionStmt:
			target_add_root(command, ExtensionRelationId,
					 get_extension_oid(((AlterExtensionStmt *) parsetree)->extname, true));
			break;
		case T_AlterExtensionContentsStmt:
			{
				AlterExtensionContentsStmt *stmt = (AlterExtensionContentsStmt *) parsetree;

				target_add_root(command, ExtensionRelationId,
						 get_extension_oid(stmt->extname, true));
				target_add_named(command, stmt->objtype, stmt->object, AccessShareLock);
				break;
			}
		case T_DropOwnedStmt:
			foreach(lc, ((DropOwnedStmt *) parsetree)->roles)
			{
				Oid			role = get_rolespec_oid(lfirst(lc), true);

				if (OidIsValid(role))
					target_add_granted_to(command, role);
			}
			break;
		default:
			break;
	}
}
