/*-------------------------------------------------------------------------
 *
 * subcommand.c
 *	  What each subcommand of ALTER TABLE reaches and spares.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "capture/target.h"
#include "compat.h"

/* Does a table that inherits from it have the constraint, too? */
bool
constraint_is_inherited(Oid relid, const char *name)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID,
										ObjectIdGetDatum(get_relation_constraint_oid(relid, name, true)));
	Form_pg_constraint form;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_constraint) GETSTRUCT(tuple);
	result = (form->contype == CONSTRAINT_CHECK || form->contype == CONSTRAINT_NOTNULL) &&
		!form->connoinherit;
	ReleaseSysCache(tuple);
	return result;
}

/* A CHECK has every child; a key's index, or a foreign key, partitions alone. */
static LOCKMODE
new_constraint_locks_below(const Constraint *constraint, bool partitioned, LOCKMODE lockmode)
{
	if (constraint_locks_all_below())
		return lockmode;
	switch (constraint->contype)
	{
		case CONSTR_UNIQUE:
		case CONSTR_EXCLUSION:
			return partitioned ? ShareLock : NoLock;
		case CONSTR_FOREIGN:
			return partitioned ? lockmode : NoLock;
		default:
			return lockmode;
	}
}

/*
 * The lock that PostgreSQL takes on the tables that inherit, unless told ONLY,
 * where it takes lockmode on the table itself.  What is not known never to go
 * down is taken to.
 */
LOCKMODE
subcommand_locks_below(const AlterTableCmd *cmd, Oid relid, LOCKMODE lockmode)
{
	bool		partitioned = get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE;

	switch (cmd->subtype)
	{
		case AT_AddColumn:
			return cmd->missing_ok &&
				get_attnum(relid, castNode(ColumnDef, cmd->def)->colname) != InvalidAttrNumber ?
				NoLock : lockmode;
		case AT_AddConstraint:
			return new_constraint_locks_below(castNode(Constraint, cmd->def), partitioned, lockmode);
		case AT_DropConstraint:
			return partitioned || constraint_is_inherited(relid, cmd->name) ? lockmode : NoLock;
		case AT_AddIdentity:
		case AT_SetIdentity:
		case AT_DropIdentity:
			return partitions_inherit_identity() ? lockmode : NoLock;
		case AT_SetOptions:
		case AT_ResetOptions:
		case AT_SetCompression:
		case AT_AddIndexConstraint:
		case AT_AlterColumnGenericOptions:
		case AT_ChangeOwner:
		case AT_ClusterOn:
		case AT_DropCluster:
		case AT_SetLogged:
		case AT_SetUnLogged:
		case AT_SetAccessMethod:
		case AT_SetTableSpace:
		case AT_SetRelOptions:
		case AT_ResetRelOptions:
		case AT_ReplaceRelOptions:
		case AT_EnableRule:
		case AT_EnableAlwaysRule:
		case AT_EnableReplicaRule:
		case AT_DisableRule:
		case AT_AddInherit:
		case AT_DropInherit:
		case AT_AddOf:
		case AT_DropOf:
		case AT_ReplicaIdentity:
		case AT_EnableRowSecurity:
		case AT_DisableRowSecurity:
		case AT_ForceRowSecurity:
		case AT_NoForceRowSecurity:
		case AT_GenericOptions:
		case AT_AttachPartition:
		case AT_DetachPartition:
		case AT_DetachPartitionFinalize:
			return NoLock;
		default:
			return lockmode;
	}
}

/* A column and what at most the table itself has of it. */
static bool
is_plain_column(ColumnDef *column)
{
	ListCell   *lc;

	foreach(lc, column->constraints)
	{
		Constraint *constraint = lfirst_node(Constraint, lc);

		if (constraint->contype != CONSTR_DEFAULT &&
			constraint->contype != CONSTR_NOTNULL &&
			constraint->contype != CONSTR_NULL)
			return false;
	}
	return true;
}

/*
 * Does the subcommand change nothing that lives in the table?  Without a
 * default, so that the compiler names what a newer PostgreSQL has.
 * A constraint is merged with one that a parent or a child has, so it is told
 * whether the table stands alone.
 */
bool
subcommand_spares_contents(AlterTableCmd *cmd, bool alone)
{
	switch (cmd->subtype)
	{
		case AT_AddColumn:
			return is_plain_column(castNode(ColumnDef, cmd->def));
		case AT_AddConstraint:
			/* an index that becomes a constraint's is renamed */
			return alone && castNode(Constraint, cmd->def)->indexname == NULL;
		case AT_ColumnDefault:
		case AT_SetNotNull:
		case AT_DropNotNull:
		case AT_SetStatistics:
		case AT_SetOptions:
		case AT_ResetOptions:
		case AT_SetRelOptions:
		case AT_ResetRelOptions:
		case AT_SetStorage:
		case AT_SetCompression:
		case AT_EnableRowSecurity:
		case AT_DisableRowSecurity:
		case AT_ForceRowSecurity:
		case AT_NoForceRowSecurity:
		case AT_GenericOptions:
		case AT_AlterColumnGenericOptions:
			return true;
		case AT_AddColumnToView:
		case AT_CookedColumnDefault:
		case AT_DropExpression:
		case AT_DropColumn:
		case AT_AddIndex:
		case AT_ReAddIndex:
		case AT_ReAddConstraint:
		case AT_ReAddDomainConstraint:
		case AT_AlterConstraint:
		case AT_ValidateConstraint:
		case AT_AddIndexConstraint:
		case AT_DropConstraint:
		case AT_ReAddComment:
		case AT_AlterColumnType:
		case AT_ChangeOwner:
		case AT_ClusterOn:
		case AT_DropCluster:
		case AT_SetLogged:
		case AT_SetUnLogged:
		case AT_DropOids:
		case AT_SetAccessMethod:
		case AT_SetTableSpace:
		case AT_ReplaceRelOptions:
		case AT_EnableTrig:
		case AT_EnableAlwaysTrig:
		case AT_EnableReplicaTrig:
		case AT_DisableTrig:
		case AT_EnableTrigAll:
		case AT_DisableTrigAll:
		case AT_EnableTrigUser:
		case AT_DisableTrigUser:
		case AT_EnableRule:
		case AT_EnableAlwaysRule:
		case AT_EnableReplicaRule:
		case AT_DisableRule:
		case AT_AddInherit:
		case AT_DropInherit:
		case AT_AddOf:
		case AT_DropOf:
		case AT_ReplicaIdentity:
		case AT_AttachPartition:
		case AT_DetachPartition:
		case AT_DetachPartitionFinalize:
		case AT_AddIdentity:
		case AT_SetIdentity:
		case AT_DropIdentity:
		case AT_ReAddStatistics:
		VERSION_SUBCOMMANDS
			return false;
	}
	return false;
}
