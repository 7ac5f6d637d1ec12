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

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_default_acl.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_publication.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_shdepend.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/policy.h"
#include "commands/tablecmds.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "parser/parse_type.h"
#include "rewrite/rewriteSupport.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "capture/capture.h"
#include "compat.h"

static void
add_root(Command *command, Oid class_id, Oid object_id)
{
	ObjectAddress address;

	if (!OidIsValid(object_id))
		return;
	ObjectAddressSet(address, class_id, object_id);
	if (!address_is_temporary(&address))
		command_add_root(command, &address);
}

/* As core: nobody makes others wait for a table that is not theirs. */
static void
check_owns_before_locking(const RangeVar *relation, Oid relid, Oid oldrelid,
						  void *arg)
{
	if (OidIsValid(relid) && relid != oldrelid &&
		!object_ownercheck(RelationRelationId, relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER,
					   get_relkind_objtype(get_rel_relkind(relid)),
					   relation->relname);
}

/* A relation that the command will lock in that mode; owned if asked. */
static Oid
resolve_relation(RangeVar *relation, LOCKMODE lockmode, bool owned)
{
	return RangeVarGetRelidExtended(relation, lockmode, RVR_MISSING_OK,
									owned ? check_owns_before_locking : NULL,
									NULL);
}

static void
add_relation(Command *command, RangeVar *relation, LOCKMODE lockmode,
			 bool owned)
{
	if (relation)
		add_root(command, RelationRelationId,
				 resolve_relation(relation, lockmode, owned));
}

/* The relation and everything that inherits from it, as ALTER TABLE recurses. */
static void
add_tree(Command *command, Oid relid, LOCKMODE lockmode, bool recurse)
{
	ListCell   *lc;

	if (!OidIsValid(relid))
		return;
	if (!recurse)
	{
		add_root(command, RelationRelationId, relid);
		return;
	}
	foreach(lc, find_all_inheritors(relid, lockmode, NULL))
		add_root(command, RelationRelationId, lfirst_oid(lc));
}

/* A trigger of a partitioned table has copies on the partitions. */
static void
add_with_partitions(Command *command, RangeVar *relation, LOCKMODE lockmode)
{
	Oid			relid = resolve_relation(relation, lockmode, false);

	add_tree(command, relid, lockmode,
			 get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE);
}

/* Any object that SQL names in COMMENT ON, ALTER … OWNER TO and the like. */
static void
add_named(Command *command, ObjectType type, Node *object, LOCKMODE lockmode)
{
	ObjectAddress address;
	ObjectAddress owner;
	Relation	relation = NULL;

	/* the grammar has a type's name as a bare list in some commands */
	if ((type == OBJECT_TYPE || type == OBJECT_DOMAIN) && IsA(object, List))
		object = (Node *) makeTypeNameFromNameList((List *) object);
	address = get_object_address(type, object, &relation, lockmode, true);
	if (relation)
		relation_close(relation, NoLock);
	if (OidIsValid(address.objectId) && object_owner_address(&address, &owner))
		add_root(command, owner.classId, owner.objectId);
}

/* A type by its name; InvalidOid if there is none. */
static Oid
add_type(Command *command, List *name)
{
	Type		type = LookupTypeName(NULL, makeTypeNameFromNameList(name),
									  NULL, true);
	Oid			oid;

	if (type == NULL)
		return InvalidOid;
	oid = typeTypeId(type);
	add_root(command, TypeRelationId, oid);
	ReleaseSysCache(type);
	return oid;
}

/*
 * What is described with the help of the object's name: views over a table,
 * constraints that refer to it.  Their descriptions change with the name and
 * change back with it; they are looked at so that nobody takes that for drift.
 */
static void
add_referring(Command *command, Oid class_id, Oid object_id)
{
	Relation	rel = table_open(DependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(class_id));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(object_id));
	scan = systable_beginscan(rel, DependReferenceIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);
		ObjectAddress address;
		ObjectAddress owner;

		ObjectAddressSet(address, form->classid, form->objid);
		if (object_owner_address(&address, &owner) &&
			!address_is_temporary(&owner))
			command_add_referring(command, &owner);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	/* a type's array is called after it */
	if (class_id == TypeRelationId && OidIsValid(get_array_type(object_id)))
		add_referring(command, TypeRelationId, get_array_type(object_id));
}

/* ---- ALTER TABLE and its like ---- */

/* The new type means what it means under the user's search_path. */
static void
add_type_change(Command *command, AlterTableCmd *cmd)
{
	ColumnDef  *def = castNode(ColumnDef, cmd->def);
	MemoryContext old = MemoryContextSwitchTo(command->context);
	TypeChange *change = palloc(sizeof(TypeChange));

	change->column = pstrdup(cmd->name);
	typenameTypeIdAndMod(NULL, def->typeName, &change->type, &change->typmod);
	change->using_expression = def->raw_default != NULL;
	command->type_changes = lappend(command->type_changes, change);
	MemoryContextSwitchTo(old);
}

/*
 * ENABLE and DISABLE TRIGGER reach the triggers of constraints, also of those
 * that other tables have and that refer to this one.
 */
static void
add_constraints_by_trigger(Command *command, Oid relid)
{
	Relation	rel = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);

		if (form->tgisinternal)
			add_root(command, ConstraintRelationId, form->tgconstraint);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* Children lose a parent's column or CHECK, even if ONLY the parent drops it. */
static void
add_children(Command *command, Oid relid, LOCKMODE lockmode)
{
	ListCell   *lc;

	foreach(lc, find_inheritance_children(relid, lockmode))
		add_root(command, RelationRelationId, lfirst_oid(lc));
}

/* A partitioned index gets valid with the last of its partitions. */
static void
add_ancestors_of_index(Command *command, Oid relid)
{
	ListCell   *lc;

	if (get_rel_relkind(relid) != RELKIND_PARTITIONED_INDEX ||
		!get_rel_relispartition(relid))
		return;
	foreach(lc, get_partition_ancestors(relid))
		add_root(command, RelationRelationId, lfirst_oid(lc));
}

/*
 * What subcommands concern beside the tree that is altered, which the roots
 * from first on are.
 */
static void
add_others(Command *command, AlterTableStmt *stmt, Oid relid,
		   LOCKMODE lockmode, int first)
{
	int			last = list_length(command->roots);
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		switch (cmd->subtype)
		{
			case AT_AttachPartition:
			case AT_DetachPartition:
			case AT_DetachPartitionFinalize:
				{
					PartitionCmd *partition = castNode(PartitionCmd, cmd->def);
					Oid			other = resolve_relation(partition->name,
														 AccessExclusiveLock, true);

					add_tree(command, other, AccessExclusiveLock, true);
					add_ancestors_of_index(command, relid);
					break;
				}
			case AT_DropColumn:
			case AT_DropConstraint:
				if (!stmt->relation->inh)
					add_children(command, relid, lockmode);
				break;
			case AT_EnableTrig:
			case AT_EnableAlwaysTrig:
			case AT_EnableReplicaTrig:
			case AT_DisableTrig:
			case AT_EnableTrigAll:
			case AT_DisableTrigAll:
				for (int i = first; i < last; i++)
					add_constraints_by_trigger(command,
											   ((ObjectAddress *) list_nth(command->roots, i))->objectId);
				break;
			case AT_AlterColumnType:
				add_type_change(command, cmd);
				command->restates = true;
				break;
			case AT_SetAccessMethod:
			case AT_ChangeOwner:
				/* changes, or rebuilds under new OIDs, what lives in the table */
				command->restates = true;
				break;
			default:
				break;
		}
	}
}

/*
 * DETACH PARTITION ... CONCURRENTLY waits for others between its transactions:
 * it gets no locks but its own.
 */
static void
add_detached_concurrently(Command *command, AlterTableStmt *stmt)
{
	ListCell   *lc;

	add_relation(command, stmt->relation, NoLock, false);
	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_DetachPartition)
			add_relation(command, castNode(PartitionCmd, cmd->def)->name,
						 NoLock, false);
	}
}

static void
targets_alter_table(Command *command, AlterTableStmt *stmt)
{
	LOCKMODE	lockmode = AlterTableGetLockLevel(stmt->cmds);
	Oid			relid = AlterTableLookupRelation(stmt, lockmode);
	int			first = list_length(command->roots);

	if (!OidIsValid(relid))
		return;
	if (command->concurrent)
	{
		add_detached_concurrently(command, stmt);
		return;
	}
	if (get_rel_relkind(relid) == RELKIND_COMPOSITE_TYPE)
		add_root(command, TypeRelationId, get_rel_type_id(relid));
	else
		add_tree(command, relid, lockmode, stmt->relation->inh);
	add_others(command, stmt, relid, lockmode, first);
	/* the foreign keys of other tables are rebuilt with the key they refer to */
	if (command->type_changes != NIL)
		add_referring(command, RelationRelationId, relid);
}

/* ---- renaming and the like ---- */

/* What a RENAME names within a relation, if that has an image of its own. */
static void
add_renamed_part(Command *command, RenameStmt *stmt, Oid relid)
{
	switch (stmt->renameType)
	{
		case OBJECT_TABCONSTRAINT:
			add_root(command, ConstraintRelationId,
					 get_relation_constraint_oid(relid, stmt->subname, true));
			break;
		case OBJECT_TRIGGER:
			add_root(command, TriggerRelationId,
					 get_trigger_oid(relid, stmt->subname, true));
			break;
		case OBJECT_RULE:
			add_root(command, RewriteRelationId,
					 get_rewrite_oid(relid, stmt->subname, true));
			break;
		case OBJECT_POLICY:
			add_root(command, PolicyRelationId,
					 get_relation_policy_oid(relid, stmt->subname, true));
			break;
		case OBJECT_INDEX:
			/* its constraint has the same name, and is the one renamed back */
			add_root(command, ConstraintRelationId, get_index_constraint(relid));
			break;
		default:
			break;
	}
}

static void
rename_relation(Command *command, RenameStmt *stmt)
{
	LOCKMODE	lockmode = stmt->renameType == OBJECT_INDEX ?
	ShareUpdateExclusiveLock : AccessExclusiveLock;
	Oid			relid = resolve_relation(stmt->relation, lockmode, true);

	if (!OidIsValid(relid))
		return;
	if (get_rel_relkind(relid) == RELKIND_COMPOSITE_TYPE)
	{
		add_root(command, TypeRelationId, get_rel_type_id(relid));
		return;
	}
	add_tree(command, relid, lockmode,
			 stmt->renameType == OBJECT_COLUMN ||
			 stmt->renameType == OBJECT_TABCONSTRAINT);
	add_renamed_part(command, stmt, relid);
	add_referring(command, RelationRelationId, relid);
	add_referring(command, TypeRelationId, get_rel_type_id(relid));
}

/* Everything in the schema, and everything that refers to something in it. */
static void
rename_schema(Command *command, Oid namespace)
{
	int			had = list_length(command->referring);
	int			inside;

	if (!OidIsValid(namespace))
		return;
	add_root(command, NamespaceRelationId, namespace);
	add_referring(command, NamespaceRelationId, namespace);
	inside = list_length(command->referring);
	for (int i = had; i < inside; i++)
	{
		ObjectAddress *address = list_nth(command->referring, i);

		add_referring(command, address->classId, address->objectId);
		if (address->classId == RelationRelationId)
			add_referring(command, TypeRelationId,
						  get_rel_type_id(address->objectId));
	}
}

static void
targets_rename(Command *command, RenameStmt *stmt)
{
	int			had = list_length(command->roots);
	ListCell   *lc;

	command->restates = true;
	if (stmt->relation)
		rename_relation(command, stmt);
	else if (stmt->renameType == OBJECT_SCHEMA)
		rename_schema(command, get_namespace_oid(stmt->subname, true));
	else if (stmt->renameType == OBJECT_DOMCONSTRAINT)
	{
		Oid			domain = add_type(command, (List *) stmt->object);

		if (OidIsValid(domain))
			add_root(command, ConstraintRelationId,
					 get_domain_constraint_oid(domain, stmt->subname, true));
	}
	else if (stmt->object)
	{
		add_named(command, stmt->renameType, stmt->object, AccessExclusiveLock);
		for_each_from(lc, command->roots, had)
		{
			ObjectAddress *root = lfirst(lc);

			add_referring(command, root->classId, root->objectId);
		}
	}
}

/* ALTER … OWNER TO, SET SCHEMA, DEPENDS ON EXTENSION */
static void
targets_named(Command *command, RangeVar *relation, ObjectType type,
			  Node *object)
{
	if (relation)
	{
		Oid			relid = resolve_relation(relation, AccessExclusiveLock, true);

		add_tree(command, relid, AccessExclusiveLock, false);
		if (OidIsValid(relid) && command->restates)
			add_referring(command, RelationRelationId, relid);
	}
	else if (object)
	{
		int			had = list_length(command->roots);
		ListCell   *lc;

		add_named(command, type, object, AccessExclusiveLock);
		if (!command->restates)
			return;
		for_each_from(lc, command->roots, had)
		{
			ObjectAddress *root = lfirst(lc);

			add_referring(command, root->classId, root->objectId);
		}
	}
}

/* ---- functions ---- */

/* The function that CREATE OR REPLACE would replace. */
static void
targets_create_function(Command *command, CreateFunctionStmt *stmt)
{
	ObjectWithArgs *name = makeNode(ObjectWithArgs);
	ListCell   *lc;
	Oid			oid;

	if (!stmt->replace)
		return;
	name->objname = stmt->funcname;
	foreach(lc, stmt->parameters)
	{
		FunctionParameter *parameter = lfirst_node(FunctionParameter, lc);
		Type		type;

		if (parameter->mode == FUNC_PARAM_TABLE ||
			parameter->mode == FUNC_PARAM_OUT)
			continue;
		/* a type that is not there cannot be in a function that is */
		type = LookupTypeName(NULL, parameter->argType, NULL, true);
		if (type == NULL)
			return;
		ReleaseSysCache(type);
		name->objargs = lappend(name->objargs, parameter->argType);
	}
	oid = LookupFuncWithArgs(stmt->is_procedure ? OBJECT_PROCEDURE : OBJECT_FUNCTION,
							 name, true);
	if (OidIsValid(oid) &&
		!object_ownercheck(ProcedureRelationId, oid, GetUserId()))
		return;
	add_root(command, ProcedureRelationId, oid);
}

/* ---- privileges ---- */

/* Every object of the wanted kind in a schema, as GRANT … ON ALL … means it. */
static void
add_all_in_schema(Command *command, ObjectType type, Oid namespace)
{
	bool		routines = type == OBJECT_FUNCTION || type == OBJECT_PROCEDURE ||
	type == OBJECT_ROUTINE;
	Oid			catalog = routines ? ProcedureRelationId : RelationRelationId;
	AttrNumber	namespace_attnum = routines ? Anum_pg_proc_pronamespace :
	Anum_pg_class_relnamespace;
	Relation	rel = table_open(catalog, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, namespace_attnum, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(namespace));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (routines)
			add_root(command, catalog, ((Form_pg_proc) GETSTRUCT(tuple))->oid);
		else
		{
			Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
			bool		wanted = type == OBJECT_SEQUENCE ?
			form->relkind == RELKIND_SEQUENCE :
			strchr("rvmfp", form->relkind) != NULL;

			if (wanted)
				add_root(command, catalog, form->oid);
		}
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static void
targets_grant(Command *command, GrantStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->objects)
	{
		Node	   *object = lfirst(lc);

		if (stmt->targtype == ACL_TARGET_ALL_IN_SCHEMA)
		{
			Oid			namespace = get_namespace_oid(strVal(object), true);

			if (OidIsValid(namespace))
				add_all_in_schema(command, stmt->objtype, namespace);
		}
		else if (IsA(object, RangeVar))
			add_relation(command, (RangeVar *) object, AccessShareLock, false);
		else
			add_named(command, stmt->objtype, object, AccessShareLock);
	}
}

/* There are few of these: all of them are looked at. */
static void
targets_default_privileges(Command *command)
{
	Relation	rel = table_open(DefaultAclRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		add_root(command, DefaultAclRelationId,
				 ((Form_pg_default_acl) GETSTRUCT(tuple))->oid);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/*
 * DROP OWNED takes the role out of privileges and policies; those objects
 * stay, changed.  What it drops is found by the rehearsal.
 */
static void
add_granted_to(Command *command, Oid role)
{
	Relation	rel = table_open(SharedDependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_shdepend_refclassid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(AuthIdRelationId));
	ScanKeyInit(&key[1], Anum_pg_shdepend_refobjid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(role));
	scan = systable_beginscan(rel, SharedDependReferenceIndexId, true,
							  NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_shdepend form = (Form_pg_shdepend) GETSTRUCT(tuple);

		if (form->dbid == MyDatabaseId &&
			(form->deptype == SHARED_DEPENDENCY_ACL ||
			 form->deptype == SHARED_DEPENDENCY_POLICY))
			add_root(command, form->classid, form->objid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* ---- the whole ---- */

/* Commands on what lives in a table: the table is the root. */
static bool
targets_in_table(Command *command, Node *parsetree)
{
	switch (nodeTag(parsetree))
	{
		case T_CreateTrigStmt:
			add_with_partitions(command, ((CreateTrigStmt *) parsetree)->relation,
								ShareRowExclusiveLock);
			return true;
		case T_RuleStmt:
			add_relation(command, ((RuleStmt *) parsetree)->relation,
						 AccessExclusiveLock, true);
			return true;
		case T_CreatePolicyStmt:
			add_relation(command, ((CreatePolicyStmt *) parsetree)->table,
						 AccessExclusiveLock, true);
			return true;
		case T_AlterPolicyStmt:
			add_relation(command, ((AlterPolicyStmt *) parsetree)->table,
						 AccessExclusiveLock, true);
			return true;
		case T_IndexStmt:
			{
				IndexStmt  *stmt = (IndexStmt *) parsetree;
				LOCKMODE	lockmode = stmt->concurrent ? ShareUpdateExclusiveLock : ShareLock;
				Oid			relid = resolve_relation(stmt->relation, lockmode, true);

				add_tree(command, relid, lockmode,
						 stmt->relation->inh && !stmt->concurrent);
				return true;
			}
		case T_ViewStmt:
			if (((ViewStmt *) parsetree)->replace)
				add_relation(command, ((ViewStmt *) parsetree)->view,
							 AccessExclusiveLock, true);
			return true;
		case T_RefreshMatViewStmt:
			command->data_only = true;
			add_relation(command, ((RefreshMatViewStmt *) parsetree)->relation,
						 command->concurrent ? ExclusiveLock : AccessExclusiveLock,
						 true);
			return true;
		case T_AlterSeqStmt:
			command->moves_sequence = true;
			add_relation(command, ((AlterSeqStmt *) parsetree)->sequence,
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
				targets_named(command, stmt->relation, stmt->objectType, stmt->object);
				return true;
			}
		case T_AlterOwnerStmt:
			{
				AlterOwnerStmt *stmt = (AlterOwnerStmt *) parsetree;

				command->restates = true;
				targets_named(command, stmt->relation, stmt->objectType, stmt->object);
				return true;
			}
		case T_AlterObjectDependsStmt:
			{
				AlterObjectDependsStmt *stmt = (AlterObjectDependsStmt *) parsetree;

				targets_named(command, stmt->relation, stmt->objectType, stmt->object);
				return true;
			}
		case T_CommentStmt:
			{
				CommentStmt *stmt = (CommentStmt *) parsetree;

				add_named(command, stmt->objtype, stmt->object, ShareUpdateExclusiveLock);
				return true;
			}
		case T_SecLabelStmt:
			{
				SecLabelStmt *stmt = (SecLabelStmt *) parsetree;

				add_named(command, stmt->objtype, stmt->object, ShareUpdateExclusiveLock);
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

	if (targets_in_table(command, parsetree) ||
		targets_any_class(command, parsetree))
		return;
	switch (nodeTag(parsetree))
	{
		case T_AlterTableStmt:
			targets_alter_table(command, (AlterTableStmt *) parsetree);
			break;
		case T_RenameStmt:
			targets_rename(command, (RenameStmt *) parsetree);
			break;
		case T_AlterFunctionStmt:
			{
				AlterFunctionStmt *stmt = (AlterFunctionStmt *) parsetree;

				add_named(command, stmt->objtype, (Node *) stmt->func, AccessShareLock);
				break;
			}
		case T_CreateFunctionStmt:
			targets_create_function(command, (CreateFunctionStmt *) parsetree);
			break;
		case T_AlterEnumStmt:
			{
				AlterEnumStmt *stmt = (AlterEnumStmt *) parsetree;
				Oid			type = add_type(command, stmt->typeName);

				/* a label renamed: defaults and queries that have it read otherwise */
				if (OidIsValid(type) && stmt->oldVal)
				{
					command->restates = true;
					add_referring(command, TypeRelationId, type);
				}
				break;
			}
		case T_AlterDomainStmt:
			(void) add_type(command, ((AlterDomainStmt *) parsetree)->typeName);
			break;
		case T_AlterTypeStmt:
			(void) add_type(command, ((AlterTypeStmt *) parsetree)->typeName);
			break;
		case T_AlterStatsStmt:
			add_named(command, OBJECT_STATISTIC_EXT,
					  (Node *) ((AlterStatsStmt *) parsetree)->defnames,
					  ShareUpdateExclusiveLock);
			break;
		case T_AlterPublicationStmt:
			add_root(command, PublicationRelationId,
					 get_publication_oid(((AlterPublicationStmt *) parsetree)->pubname, true));
			break;
		case T_GrantStmt:
			targets_grant(command, (GrantStmt *) parsetree);
			break;
		case T_AlterDefaultPrivilegesStmt:
			targets_default_privileges(command);
			break;
		case T_AlterExtensionStmt:
			add_root(command, ExtensionRelationId,
					 get_extension_oid(((AlterExtensionStmt *) parsetree)->extname, true));
			break;
		case T_AlterExtensionContentsStmt:
			{
				AlterExtensionContentsStmt *stmt = (AlterExtensionContentsStmt *) parsetree;

				add_root(command, ExtensionRelationId,
						 get_extension_oid(stmt->extname, true));
				add_named(command, stmt->objtype, stmt->object, AccessShareLock);
				break;
			}
		case T_DropOwnedStmt:
			foreach(lc, ((DropOwnedStmt *) parsetree)->roles)
			{
				Oid			role = get_rolespec_oid(lfirst(lc), true);

				if (OidIsValid(role))
					add_granted_to(command, role);
			}
			break;
		default:
			break;
	}
}
