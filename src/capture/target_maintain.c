/*-------------------------------------------------------------------------
 *
 * target_maintain.c
 *	  What REINDEX concerns: whether indexes are valid; and CLUSTER: which one
 *	  is marked.
 *
 * An index that was invalid is valid when it is rebuilt.  REINDEX CONCURRENTLY
 * builds another one, which takes the place of the first; when it fails, one
 * of the two is left over.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"

#include "capture/target.h"
#include "compat.h"

bool
reindex_is_concurrent(const ReindexStmt *stmt)
{
	bool		concurrent = false;
	ListCell   *lc;

	foreach(lc, stmt->params)
	{
		DefElem    *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, "concurrently") == 0)
			concurrent = defGetBoolean(option);
	}
	return concurrent && reindex_is_looked_at(stmt);
}

/*
 * Partitions, and all tables of a schema or database, are done in transactions
 * of their own.
 */
bool
reindex_is_looked_at(const ReindexStmt *stmt)
{
	Oid			relid = stmt->relation ? RangeVarGetRelid(stmt->relation, NoLock, true) : InvalidOid;
	char		relkind = OidIsValid(relid) ? get_rel_relkind(relid) : '\0';

	return relkind == RELKIND_INDEX || relkind == RELKIND_RELATION ||
		relkind == RELKIND_MATVIEW;
}

/* The table is locked first, as the command does it. */
void
target_reindex(Command *command, ReindexStmt *stmt)
{
	Oid			relid;
	Oid			table;

	if (!reindex_is_looked_at(stmt))
		return;
	relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	table = get_rel_relkind(relid) == RELKIND_INDEX ? IndexGetRelation(relid, true) : relid;
	if (!OidIsValid(table) || !object_ownercheck(RelationRelationId, table, GetUserId()))
		return;
	LockRelationOid(table, command->concurrent ? ShareUpdateExclusiveLock : ShareLock);
	waits_look();
	/* somebody may have dropped it while we waited */
	if (get_rel_relkind(relid) != '\0')
		target_add_root(command, RelationRelationId, relid);
}

/* ---- CLUSTER ---- */

/* Each partition is clustered, and marked so, in a transaction of its own. */
bool
cluster_is_of_partitions(const ClusterStmt *stmt)
{
	Oid			relid = stmt->relation ? RangeVarGetRelid(stmt->relation, NoLock, true) : InvalidOid;

	return OidIsValid(relid) && get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE;
}

void
target_cluster(Command *command, ClusterStmt *stmt)
{
	if (command->concurrent)
		target_add_tree(command, target_resolve_relation(stmt->relation, AccessShareLock, true),
						AccessShareLock, true);
	else
		target_add_relation(command, stmt->relation, AccessExclusiveLock, true);
}
