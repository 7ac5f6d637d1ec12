/*-------------------------------------------------------------------------
 *
 * altertable.c
 *	  ALTER TABLE: what it locks, and what each subcommand is about.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "commands/tablespace.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "advise/advise.h"
#include "capture/target.h"
#include "compat.h"

/* ---- locks ---- */

void
takes_relations(Assessment *a, List *relids, LOCKMODE mode)
{
	ListCell   *lc;

	foreach(lc, relids)
		takes(a, target_of_relation(lfirst_oid(lc)), mode);
}

/* Are the partitions looked at, whether their columns may hold NULL? */
static bool
adds_key_to_partitions(const AlterTableCmd *cmd, Oid relid)
{
	return cmd->subtype == AT_AddConstraint && get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE &&
		castNode(Constraint, cmd->def)->contype == CONSTR_PRIMARY;
}

/* ONLY: what children have as well becomes their own. */
static bool
reaches_children(const AlterTableCmd *cmd, Oid relid)
{
	return cmd->subtype == AT_DropColumn || adds_key_to_partitions(cmd, relid) ||
		(cmd->subtype == AT_DropConstraint && constraint_is_inherited(relid, cmd->name));
}

static void
take_locks(Assessment *a, const AlterTableStmt *stmt, const Target *target)
{
	LOCKMODE	mode = AlterTableGetLockLevel(stmt->cmds);
	ListCell   *lc;

	takes(a, target, mode);
	if (target->made)
		return;
	foreach(lc, facts_typed_tables(target->relid))
		takes_tree(a, lfirst_oid(lc), mode);
	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (stmt->relation->inh)
			takes_relations(a, facts_below(target->relid),
							subcommand_locks_below(cmd, target->relid, mode));
		else if (reaches_children(cmd, target->relid))
			takes_relations(a, facts_children(target->relid), mode);
	}
}

/* ---- what it is stored in, and how ---- */

static void
set_tablespace(Assessment *a, const Target *target, const char *name)
{
	Oid			tablespace = get_tablespace_oid(name, true);
	Oid			now;

	if (target->made)
		return;
	now = (Oid) facts_number("SELECT reltablespace FROM pg_class WHERE oid = $1 AND $2 = 0",
							 target->relid, 0);
	if (OidIsValid(now) ? tablespace != now : tablespace != MyDatabaseTableSpace)
		(void) fire(a, RULE_SET_TABLESPACE, target);
}

static void
set_access_method(Assessment *a, const Target *target, const char *name)
{
	if (target->made ||
		get_table_am_oid(name ? name : default_table_access_method, true) == get_rel_relam(target->relid))
		return;
	(void) fire(a, RULE_SET_ACCESS_METHOD, target);
}

static void
set_persistence(Assessment *a, const Target *target, bool logged)
{
	char		wanted = logged ? RELPERSISTENCE_PERMANENT : RELPERSISTENCE_UNLOGGED;
	Finding    *finding;

	if (target->made || get_rel_persistence(target->relid) == wanted)
		return;
	finding = fire(a, logged ? RULE_SET_LOGGED : RULE_SET_UNLOGGED, target);
	if (target->relkind == RELKIND_SEQUENCE)
		finding->cost = "catalog";
}

/* ---- triggers ---- */

static void
disable_triggers(Assessment *a, const Target *target, const char *name, const char *which)
{
	if (name)
		(void) fire_part(a, RULE_DISABLE_TRIGGER, target, "trigger", name);
	else
		fire(a, RULE_DISABLE_TRIGGER, target)->why = which;
}

/* ---- partitions ---- */

/*
 * With the last of its partitions an index gets valid, and so may the one that
 * it is itself a partition of: the tables of those are locked for that.
 */
static void
takes_for_valid_index(Assessment *a, Oid index, Oid last)
{
	double		missing = facts_number("SELECT (SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
									   " WHERE i.inhparent = x.indrelid AND c.relkind IN ('r', 'p'))"
									   " - (SELECT count(*) FROM pg_inherits i JOIN pg_index y ON y.indexrelid = i.inhrelid"
									   " WHERE i.inhparent = x.indexrelid AND y.indisvalid AND i.inhrelid <> $2::oid)"
									   " FROM pg_index x WHERE x.indexrelid = $1 AND NOT x.indisvalid",
									   index, last);
	Oid			above;

	if (missing != 1 || !get_rel_relispartition(index))
		return;
	above = get_partition_parent(index, true);
	takes(a, target_of_relation(IndexGetRelation(above, false)), AccessExclusiveLock);
	takes_for_valid_index(a, above, index);
}

static void
attach_partition(Assessment *a, const Target *parent, PartitionCmd *cmd)
{
	Target	   *child = target_of(a, cmd->name);
	Oid			other = parent->made ? InvalidOid : facts_default_partition(parent->relid);
	Finding    *finding;

	takes(a, child, AccessExclusiveLock);
	if (!child->made)
		takes_relations(a, facts_below(child->relid), AccessExclusiveLock);
	if (parent->relkind == RELKIND_PARTITIONED_INDEX)
	{
		if (!parent->made && !child->made && get_index_isvalid(child->relid))
			takes_for_valid_index(a, parent->relid, child->relid);
		return;
	}
	if (!parent->made)
		takes_for_new_partition(a, parent->relid, child->made ? InvalidOid : child->relid);
	finding = fire(a, RULE_ATTACH_PARTITION, child);
	if (!child->made && !parent->made &&
		facts_bound_is_implied(parent->relid, child->relid, cmd->bound, false))
	{
		finding->cost = "catalog";
		finding->why = "A validated constraint says what the bound says, so no row of the table is read.";
		finding->safer = NULL;
	}
	if (OidIsValid(other))
	{
		Target	   *rest = target_of_relation(other);

		takes_tree(a, other, AccessExclusiveLock);
		finding = fire(a, RULE_ATTACH_PARTITION, rest);
		if (facts_bound_is_implied(parent->relid, other, cmd->bound, true))
			finding->cost = "catalog";
		finding->why = "All rows of the default partition are read while nobody reads or writes it, for none of them may belong into the new partition.";
	}
}

static void
detach_partition(Assessment *a, const Target *parent, PartitionCmd *cmd)
{
	Target	   *child = target_of(a, cmd->name);
	Oid			other = parent->made ? InvalidOid : facts_default_partition(parent->relid);

	if (cmd->concurrent)
	{
		takes(a, child, AccessExclusiveLock);
		return;
	}
	takes(a, child, AccessExclusiveLock);
	if (OidIsValid(other))
		takes(a, target_of_relation(other), AccessExclusiveLock);
	if (!child->made)
		takes_relations(a, facts_below(child->relid), AccessExclusiveLock);
	if (!parent->made && !child->made)
		takes_for_lost_partition(a, parent->relid, child->relid);
	(void) fire_part(a, RULE_DETACH_PARTITION, parent, "partition", cmd->name->relname);
	if (OidIsValid(other))
		(void) fire(a, RULE_DETACH_PARTITION, target_of_relation(other));
}

/* ---- subcommands ---- */

/* Columns and constraints. */
static bool
change_column(Assessment *a, const Target *target, AlterTableCmd *cmd)
{
	bool		cascade = cmd->behavior == DROP_CASCADE;

	switch (cmd->subtype)
	{
		case AT_AddColumn:
			if (cmd->missing_ok && !target->made &&
				get_attnum(target->relid, castNode(ColumnDef, cmd->def)->colname) != InvalidAttrNumber)
				break;
			assess_new_column(a, target, castNode(ColumnDef, cmd->def));
			break;
		case AT_DropColumn:
			assess_drop_column(a, target, cmd->name, cascade);
			break;
		case AT_AlterColumnType:
			assess_type_change(a, target, cmd);
			break;
		case AT_SetNotNull:
			assess_set_not_null(a, target, cmd->name);
			break;
		case AT_DropNotNull:
			(void) fire_part(a, RULE_DROP_NOT_NULL, target, "column", cmd->name);
			break;
		case AT_ColumnDefault:
			(void) fire_part(a, cmd->def ? RULE_SET_DEFAULT : RULE_DROP_DEFAULT, target,
							 "column", cmd->name);
			break;
		case AT_AddConstraint:
			assess_constraint(a, target, castNode(Constraint, cmd->def));
			break;
		case AT_ValidateConstraint:
			assess_validate(a, target, cmd->name);
			break;
		case AT_DropConstraint:
			assess_drop_constraint(a, target, cmd->name, cascade);
			break;
		default:
			return false;
	}
	return true;
}

/* How it is stored, and logged. */
static bool
change_storage(Assessment *a, const Target *target, AlterTableCmd *cmd)
{
	switch (cmd->subtype)
	{
		case AT_SetStorage:
			(void) fire_part(a, RULE_SET_STORAGE, target, "column", cmd->name);
			break;
		case AT_SetCompression:
			(void) fire_part(a, RULE_SET_COMPRESSION, target, "column", cmd->name);
			break;
		case AT_SetRelOptions:
		case AT_ResetRelOptions:
			if (target->relkind != RELKIND_VIEW)
				(void) fire(a, RULE_STORAGE_PARAMS, target);
			break;
		case AT_SetLogged:
		case AT_SetUnLogged:
			set_persistence(a, target, cmd->subtype == AT_SetLogged);
			break;
		case AT_SetTableSpace:
			set_tablespace(a, target, cmd->name);
			break;
		case AT_SetAccessMethod:
			set_access_method(a, target, cmd->name);
			break;
		case AT_ReplicaIdentity:
			(void) fire(a, RULE_REPLICA_IDENTITY, target);
			break;
		default:
			return false;
	}
	return true;
}

/* Triggers, row security, owner, partitions and parents. */
static bool
change_behaviour(Assessment *a, const Target *target, AlterTableCmd *cmd)
{
	switch (cmd->subtype)
	{
		case AT_DisableTrig:
			disable_triggers(a, target, cmd->name, NULL);
			break;
		case AT_DisableTrigAll:
			disable_triggers(a, target, NULL, "What all triggers saw to is not seen to, and foreign keys are not checked.");
			break;
		case AT_DisableTrigUser:
			disable_triggers(a, target, NULL, "What its triggers saw to is not seen to.");
			break;
		case AT_EnableRowSecurity:
			(void) fire(a, RULE_RLS_ENABLE, target);
			break;
		case AT_DisableRowSecurity:
			(void) fire(a, RULE_RLS_DISABLE, target);
			break;
		case AT_ForceRowSecurity:
		case AT_NoForceRowSecurity:
			(void) fire(a, RULE_RLS_FORCE, target);
			break;
		case AT_ChangeOwner:
			(void) fire(a, RULE_OWNER, target);
			break;
		case AT_AttachPartition:
			attach_partition(a, target, castNode(PartitionCmd, cmd->def));
			break;
		case AT_DetachPartition:
			detach_partition(a, target, castNode(PartitionCmd, cmd->def));
			break;
		case AT_AddInherit:
		case AT_DropInherit:
			takes(a, target_of(a, castNode(RangeVar, cmd->def)),
				  cmd->subtype == AT_AddInherit ? ShareUpdateExclusiveLock : AccessShareLock);
			break;
		default:
			return false;
	}
	return true;
}

static void
assess_subcommand(Assessment *a, const Target *target, AlterTableCmd *cmd)
{
	(void) (change_column(a, target, cmd) || change_storage(a, target, cmd) ||
			change_behaviour(a, target, cmd));
}

void
assess_alter_table(Assessment *a, AlterTableStmt *stmt)
{
	Target	   *target = target_of(a, stmt->relation);
	ListCell   *lc;

	take_locks(a, stmt, target);
	foreach(lc, stmt->cmds)
		assess_subcommand(a, target, lfirst_node(AlterTableCmd, lc));
	if (target->made || stmt->objtype != OBJECT_TABLE)
		return;
	if (list_member_oid(a->altered, target->relid))
		(void) fire(a, RULE_MERGEABLE, target);
	else
		a->altered = lappend_oid(a->altered, target->relid);
}
