/*-------------------------------------------------------------------------
 *
 * altertable.c
 *	  ALTER TABLE: what it locks, and what each subcommand is about.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "commands/tablespace.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "advise/advise.h"
#include "compat.h"

/* ---- locks ---- */

void
takes_relations(Assessment *a, List *relids, LOCKMODE mode)
{
	ListCell   *lc;

	foreach(lc, relids)
		takes(a, target_of_relation(lfirst_oid(lc)), mode);
}

/* Does it go down to partitions and tables that inherit? */
static bool
recurses(const AlterTableCmd *cmd)
{
	switch (cmd->subtype)
	{
		case AT_AddColumn:
		case AT_DropColumn:
		case AT_ColumnDefault:
		case AT_DropNotNull:
		case AT_SetNotNull:
		case AT_SetStatistics:
		case AT_SetStorage:
		case AT_AlterColumnType:
		case AT_AddConstraint:
		case AT_DropConstraint:
		case AT_ValidateConstraint:
		case AT_EnableTrig:
		case AT_EnableAlwaysTrig:
		case AT_EnableReplicaTrig:
		case AT_EnableTrigAll:
		case AT_EnableTrigUser:
		case AT_DisableTrig:
		case AT_DisableTrigAll:
		case AT_DisableTrigUser:
			return true;
		default:
			return false;
	}
}

static void
take_locks(Assessment *a, const AlterTableStmt *stmt, const Target *target)
{
	LOCKMODE	mode = AlterTableGetLockLevel(stmt->cmds);
	ListCell   *lc;

	takes(a, target, mode);
	if (target->made)
		return;
	takes_relations(a, facts_typed_tables(target->relid), mode);
	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		/* ONLY: the column becomes the children's own */
		if (!recurses(cmd) || (!stmt->relation->inh && cmd->subtype != AT_DropColumn))
			continue;
		takes_relations(a, facts_below(target->relid), mode);
		break;
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

	if (target->made || get_rel_persistence(target->relid) == wanted)
		return;
	(void) fire(a, logged ? RULE_SET_LOGGED : RULE_SET_UNLOGGED, target);
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

static void
attach_partition(Assessment *a, const Target *parent, PartitionCmd *cmd)
{
	Target	   *child = target_of(a, cmd->name);
	Oid			other = parent->made ? InvalidOid : facts_default_partition(parent->relid);
	Finding    *finding;

	takes(a, child, AccessExclusiveLock);
	if (!child->made)
		takes_relations(a, facts_below(child->relid), AccessExclusiveLock);
	/* not by PostgreSQL: the whole tree is looked at, to be recorded */
	if (!parent->made)
		takes_relations(a, facts_below(parent->relid), ShareUpdateExclusiveLock);
	if (parent->relkind == RELKIND_PARTITIONED_INDEX)
		return;
	if (!parent->made)
		takes_relations(a, facts_referenced_by(parent->relid, 0), ShareRowExclusiveLock);
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

		takes(a, rest, AccessExclusiveLock);
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
	/* not by PostgreSQL: the whole tree is looked at, to be recorded */
	if (!parent->made)
		takes_relations(a, facts_below(parent->relid), AccessExclusiveLock);
	if (!parent->made)
		takes_relations(a, facts_referenced_by(parent->relid, 0), ShareRowExclusiveLock);
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
