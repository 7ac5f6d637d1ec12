/*-------------------------------------------------------------------------
 *
 * early.c
 *	  Copies columns that are about to be dropped while others still read.
 *
 * DROP COLUMN wants ACCESS EXCLUSIVE, and the copy of a large table takes a
 * while.  So the copy is made first, under SHARE ROW EXCLUSIVE, which keeps
 * writers out, but not readers; then the command goes on as any other, takes
 * its lock, asks again what it drops, and finds the copies made.
 *
 * What will be dropped is rehearsed before any lock is held.  From then on
 * somebody who has read the table in a transaction that is still open and now
 * wants to write to it waits for us, and we for him: a deadlock, which
 * PostgreSQL resolves.  Small tables, whose copy keeps nobody waiting, are
 * left to be copied under the command's own lock, where there is none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "capture/target.h"
#include "compat.h"

#define EARLY_BLOCKS	64		/* pages of a table that is worth it */

typedef struct EarlyCopy
{
	Oid			relid;
	AttrNumber	attnum;
	int64		kept;
	bool		used;
} EarlyCopy;

static bool
drops_column(AlterTableStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		if (lfirst_node(AlterTableCmd, lc)->subtype == AT_DropColumn)
			return stmt->objtype == OBJECT_TABLE;
	}
	return false;
}

/* The lock of this look is given back: nobody shall upgrade one. */
static bool
is_large(Oid relid)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);
	bool		large;

	if (rel == NULL)
		return false;
	large = RELKIND_HAS_STORAGE(rel->rd_rel->relkind) &&
		!RelationUsesLocalBuffers(rel) &&
		RelationGetNumberOfBlocks(rel) >= EARLY_BLOCKS;
	relation_close(rel, AccessShareLock);
	return large;
}

static bool
is_locked(Oid relid, LOCKMODE lockmode)
{
	Relation	rel = try_relation_open(relid, NoLock);
	bool		locked;

	if (rel == NULL)
		return false;
	locked = CheckRelationLockedByMe(rel, lockmode, true);
	relation_close(rel, NoLock);
	return locked;
}

static bool
is_worth_it(AlterTableStmt *stmt)
{
	Oid			relid = target_resolve_relation(stmt->relation, AccessShareLock, true);
	List	   *tree;
	ListCell   *lc;
	bool		worth = false;

	if (!OidIsValid(relid))
		return false;
	tree = find_all_inheritors(relid, NoLock, NULL);
	/* unless an earlier command of this transaction has the lock already */
	if (!is_locked(relid, AccessExclusiveLock))
	{
		foreach(lc, tree)
			worth = worth || is_large(lfirst_oid(lc));
	}
	UnlockRelationOid(relid, AccessShareLock);
	return worth;
}

static int
compare_addresses(const ListCell *a, const ListCell *b)
{
	const ObjectAddress *x = lfirst(a);
	const ObjectAddress *y = lfirst(b);

	if (x->objectId != y->objectId)
		return x->objectId < y->objectId ? -1 : 1;
	return x->objectSubId - y->objectSubId;
}

/* The columns that the statement would drop, in OID order. */
static List *
doomed_columns(Node *parsetree)
{
	List	   *columns = NIL;
	ListCell   *lc;

	foreach(lc, closure_rehearse(parsetree))
	{
		ObjectAddress *address = lfirst(lc);

		if (address->classId == RelationRelationId && address->objectSubId > 0 &&
			!address_is_temporary(address))
			columns = lappend(columns, address);
	}
	list_sort(columns, compare_addresses);
	return columns;
}

/* Whatever happened since the rehearsal: is there still such a column? */
static bool
lock_column(const ObjectAddress *address)
{
	LockRelationOid(address->objectId, ShareRowExclusiveLock);
	waits_look();
	return get_rel_relkind(address->objectId) == RELKIND_RELATION &&
		OidIsValid(get_atttype(address->objectId, address->objectSubId));
}

static void
copy_column(Command *command, const ObjectAddress *address, AlterTableStmt *stmt)
{
	Together	together;
	MemoryContext old;
	EarlyCopy  *copy;
	int64		kept;

	ListCell   *lc;

	command_identify(command);
	together = columns_changed_together(command, address->objectId);
	/* what else the statement does is not looked at yet */
	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);
		AttrNumber	attnum = cmd->subtype == AT_AlterColumnType ?
			get_attnum(address->objectId, cmd->name) : InvalidAttrNumber;

		if (attnum <= 0)
			continue;
		together.all = bms_add_member(together.all, attnum);
		together.lossy = bms_add_member(together.lossy, attnum);
	}
	kept = column_keep(address->objectId, address->objectSubId, &together,
					   "column", command->migration, command->seq);
	old = MemoryContextSwitchTo(command->context);
	copy = palloc0(sizeof(EarlyCopy));
	copy->relid = address->objectId;
	copy->attnum = address->objectSubId;
	copy->kept = kept;
	command->early = lappend(command->early, copy);
	MemoryContextSwitchTo(old);
}

/* To be called first of all, as the user. */
void
early_keep(Command *command, Node *parsetree)
{
	List	   *columns;
	ListCell   *lc;
	Frame		frame;

	if (!IsA(parsetree, AlterTableStmt) ||
		!drops_column((AlterTableStmt *) parsetree) ||
		is_discarding() ||
		!is_worth_it((AlterTableStmt *) parsetree))
		return;
	columns = doomed_columns(parsetree);
	columns_go(command, columns);
	frame_become_owner(&frame);
	own_work_begin();
	foreach(lc, columns)
	{
		if (lock_column(lfirst(lc)))
			copy_column(command, lfirst(lc), (AlterTableStmt *) parsetree);
	}
	own_work_end();
	frame_unpin(&frame);
}

/* The copy of that column that was made early, or 0. */
int64
early_take(Command *command, Oid relid, AttrNumber attnum)
{
	ListCell   *lc;

	foreach(lc, command->early)
	{
		EarlyCopy  *copy = lfirst(lc);

		if (copy->relid == relid && copy->attnum == attnum)
		{
			copy->used = true;
			return copy->kept;
		}
	}
	return 0;
}

/* A copy of what will not be dropped after all would be taken for a loss. */
void
early_check(Command *command)
{
	ListCell   *lc;

	foreach(lc, command->early)
	{
		EarlyCopy  *copy = lfirst(lc);

		if (!copy->used)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("what %s drops changed while it was being copied",
							command->tag),
					 errhint("Try the command again.")));
	}
}
