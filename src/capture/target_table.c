/*-------------------------------------------------------------------------
 *
 * target_table.c
 *	  What ALTER TABLE and its like concern.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_sequence.h"
#include "catalog/pg_trigger.h"
#include "commands/tablecmds.h"
#include "commands/tablespace.h"
#include "commands/user.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "capture/target.h"
#include "compat.h"

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
			target_add_root(command, ConstraintRelationId, form->tgconstraint);
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
		target_add_root(command, RelationRelationId, lfirst_oid(lc));
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
		target_add_root(command, RelationRelationId, lfirst_oid(lc));
}

/*
 * A partition that is detached takes the parts along that other tables' foreign
 * keys have for it; they have names of their own.
 */
static void
add_key_parts(Command *command, Oid relid)
{
	ListCell   *lc;

	foreach(lc, dependencies_on(RelationRelationId, relid))
	{
		Form_pg_depend form = lfirst(lc);
		HeapTuple	constraint;

		if (form->classid != ConstraintRelationId)
			continue;
		constraint = SearchSysCache1(CONSTROID, ObjectIdGetDatum(form->objid));
		if (!HeapTupleIsValid(constraint))
			continue;
		if (((Form_pg_constraint) GETSTRUCT(constraint))->confrelid == relid &&
			OidIsValid(((Form_pg_constraint) GETSTRUCT(constraint))->conparentid))
			target_add_root(command, ConstraintRelationId, form->objid);
		ReleaseSysCache(constraint);
	}
}

/* RESTART moves it. */
static void
add_identity_sequence(Command *command, Oid relid, const char *column)
{
	ListCell   *lc;

	foreach(lc, getOwnedSequences(relid))
	{
		Oid			table;
		int32		attnum;

		if (sequenceIsOwned(lfirst_oid(lc), DEPENDENCY_INTERNAL, &table, &attnum) &&
			attnum == get_attnum(relid, column))
		{
			target_add_root(command, RelationRelationId, lfirst_oid(lc));
			command->moves_sequence = true;
		}
	}
}

/* No error: the command itself is to raise it. */
static Oid
sequence_named(const char *text)
{
	List	   *names;
	Oid			namespace;
	Oid			relid;

	if (!SplitIdentifierString(pstrdup(text), '.', &names) || names == NIL)
		return InvalidOid;
	if (list_length(names) == 1)
		relid = RelnameGetRelid(linitial(names));
	else
	{
		namespace = get_namespace_oid(list_nth(names, list_length(names) - 2), true);
		relid = OidIsValid(namespace) ? get_relname_relid(llast(names), namespace) : InvalidOid;
	}
	return OidIsValid(relid) && get_rel_relkind(relid) == RELKIND_SEQUENCE ? relid : InvalidOid;
}

/* The sequence of nextval('name'), with or without a cast. */
static Oid
sequence_of_call(const FuncCall *call)
{
	Node	   *arg = list_length(call->args) == 1 ? linitial(call->args) : NULL;

	if (strcmp(strVal(llast(call->funcname)), "nextval") != 0)
		return InvalidOid;
	while (arg && IsA(arg, TypeCast))
		arg = ((TypeCast *) arg)->arg;
	if (arg == NULL || !IsA(arg, A_Const) || ((A_Const *) arg)->isnull ||
		!IsA(&((A_Const *) arg)->val, String))
		return InvalidOid;
	return sequence_named(strVal(&((A_Const *) arg)->val));
}

/*
 * Of a sequence with a cache sessions may hold numbers, and give them to rows
 * without moving it: nobody could tell whether it may go back.
 */
static bool
is_cached(Oid sequence)
{
	HeapTuple	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sequence));
	bool		cached;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for sequence %u", sequence);
	cached = ((Form_pg_sequence) GETSTRUCT(tuple))->seqcache > 1;
	ReleaseSysCache(tuple);
	return cached;
}

/* A column that is filled from a sequence moves it. */
static bool
add_sequences_that_fill(Node *node, Command *command)
{
	ListCell   *lc;
	Oid			sequence;

	if (node == NULL)
		return false;
	if (IsA(node, ColumnDef))
	{
		foreach(lc, ((ColumnDef *) node)->constraints)
			(void) add_sequences_that_fill(lfirst_node(Constraint, lc)->raw_expr, command);
	}
	sequence = IsA(node, FuncCall) ? sequence_of_call((FuncCall *) node) : InvalidOid;
	if (OidIsValid(sequence) && get_rel_persistence(sequence) != RELPERSISTENCE_TEMP &&
		!is_cached(sequence))
	{
		target_add_root(command, RelationRelationId, sequence);
		command->moves_sequence = true;
	}
	return raw_expression_tree_walker(node, add_sequences_that_fill, command);
}

static LOCKMODE
locks_below(const AlterTableStmt *stmt, Oid relid, LOCKMODE lockmode)
{
	LOCKMODE	below = NoLock;
	ListCell   *lc;

	if (!stmt->relation->inh)
		return NoLock;
	foreach(lc, stmt->cmds)
		below = Max(below, subcommand_locks_below(lfirst_node(AlterTableCmd, lc), relid, lockmode));
	return below;
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
	ListCell   *inner;

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
					Oid			other = target_resolve_relation(partition->name,
														 AccessExclusiveLock, true);

					target_add_tree(command, other, AccessExclusiveLock, true);
					/* an index that is attached takes its constraint along */
					target_add_root(command, ConstraintRelationId,
									get_index_constraint(other));
					if (OidIsValid(other) && cmd->subtype != AT_AttachPartition)
						foreach(inner, find_all_inheritors(other, NoLock, NULL))
							add_key_parts(command, lfirst_oid(inner));
					add_ancestors_of_index(command, relid);
					break;
				}
			case AT_DropColumn:
				if (!stmt->relation->inh)
					add_children(command, relid, lockmode);
				break;
			case AT_DropConstraint:
				if (!stmt->relation->inh && constraint_is_inherited(relid, cmd->name))
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
			case AT_SetIdentity:
				add_identity_sequence(command, relid, cmd->name);
				break;
			case AT_AddColumn:
				(void) add_sequences_that_fill(cmd->def, command);
				break;
			case AT_AlterColumnType:
				(void) add_sequences_that_fill(cmd->def, command);
				add_type_change(command, cmd);
				command->restates = command->retypes = true;
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

/* Neither partitioned nor a partition, and without a parent. */
static bool
stands_alone(Oid relid)
{
	return get_rel_relkind(relid) == RELKIND_RELATION && !has_superclass(relid);
}

/* Then no index, constraint or trigger need be described twice to find that out. */
static bool
spares_contents(AlterTableStmt *stmt, bool alone)
{
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		if (!subcommand_spares_contents(lfirst_node(AlterTableCmd, lc), alone))
			return false;
	}
	return true;
}

/*
 * DETACH PARTITION ... CONCURRENTLY waits for others between its transactions:
 * it gets no locks but its own.
 */
static void
add_detached_concurrently(Command *command, AlterTableStmt *stmt)
{
	ListCell   *lc;

	target_add_relation(command, stmt->relation, NoLock, false);
	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_DetachPartition)
			target_add_relation(command, castNode(PartitionCmd, cmd->def)->name,
						 NoLock, false);
	}
}

/* A type, with the tables OF it, which CASCADE reaches. */
void
target_composite(Command *command, Oid typid, LOCKMODE lockmode)
{
	ListCell   *lc;

	target_add_root(command, TypeRelationId, typid);
	foreach(lc, type_tables(typid))
	{
		LockRelationOid(lfirst_oid(lc), lockmode);
		target_add_tree(command, lfirst_oid(lc), lockmode, true);
	}
}

/* Likewise: what refers to the relation, or to its rows. */
void
target_add_referring_to_relation(Command *command, Oid relid)
{
	Oid			rowtype = get_rel_type_id(relid);
	ListCell   *lc;

	target_add_referring(command, RelationRelationId, relid);
	/* an index has no rows */
	if (!OidIsValid(rowtype))
		return;
	target_add_referring(command, TypeRelationId, rowtype);
	foreach(lc, type_tables(rowtype))
		target_add_referring_to_relation(command, lfirst_oid(lc));
}

/* A constraint is described with the parameters of its index. */
static void
add_constraint_of_index(Command *command, Oid relid)
{
	Oid			constraint = get_index_constraint(relid);
	ObjectAddress address;

	if (!OidIsValid(constraint))
		return;
	ObjectAddressSet(address, ConstraintRelationId, constraint);
	command->restates = true;
	command_add_referring(command, &address);
}

/* Is it one that ALTER TABLE ALL IN TABLESPACE would move? */
static bool
is_moved(AlterTableMoveAllStmt *stmt, Form_pg_class form, List *roles)
{
	Oid			tablespace = get_tablespace_oid(stmt->orig_tablespacename, true);

	if (tablespace == MyDatabaseTableSpace)
		tablespace = InvalidOid;
	if (form->reltablespace != tablespace || form->relisshared ||
		IsCatalogNamespace(form->relnamespace) ||
		isAnyTempNamespace(form->relnamespace) ||
		IsToastNamespace(form->relnamespace) ||
		(roles != NIL && !list_member_oid(roles, form->relowner)))
		return false;
	switch (stmt->objtype)
	{
		case OBJECT_TABLE:
			return form->relkind == RELKIND_RELATION ||
				form->relkind == RELKIND_PARTITIONED_TABLE;
		case OBJECT_INDEX:
			return form->relkind == RELKIND_INDEX ||
				form->relkind == RELKIND_PARTITIONED_INDEX;
		default:
			return form->relkind == RELKIND_MATVIEW;
	}
}

/* Unlocked: PostgreSQL locks them all at once, or fails if told not to wait. */
void
target_move_all(Command *command, AlterTableMoveAllStmt *stmt)
{
	Relation	rel = table_open(RelationRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	List	   *roles = roleSpecsToIds(stmt->roles);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);

		if (is_moved(stmt, form, roles))
			target_add_root(command, RelationRelationId, form->oid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	command->spares_contents = true;
}

void
target_alter_table(Command *command, AlterTableStmt *stmt)
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
		target_composite(command, get_rel_type_id(relid), lockmode);
	else
	{
		LOCKMODE	below = locks_below(stmt, relid, lockmode);

		target_add_tree(command, relid, below, below != NoLock);
	}
	command->spares_contents = spares_contents(stmt, list_length(command->roots) == first + 1 &&
											   stands_alone(relid));
	add_others(command, stmt, relid, lockmode, first);
	/* the foreign keys of other tables are rebuilt with the key they refer to */
	if (command->type_changes != NIL)
		target_add_referring_to_relation(command, relid);
	add_constraint_of_index(command, relid);
}
