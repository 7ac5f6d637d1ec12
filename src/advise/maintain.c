/*-------------------------------------------------------------------------
 *
 * maintain.c
 *	  Commands that write a relation anew as it is, and commands on databases.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "advise/advise.h"
#include "capture/target.h"
#include "compat.h"

static void
assess_cluster(Assessment *a, ClusterStmt *stmt)
{
	Target	   *target;

	if (stmt->relation == NULL)
		return;
	target = target_of(a, stmt->relation);
	takes(a, target, AccessExclusiveLock);
	(void) fire(a, RULE_CLUSTER, target);
}

static void
assess_vacuum(Assessment *a, VacuumStmt *stmt)
{
	bool		full = false;
	ListCell   *lc;

	foreach(lc, stmt->options)
	{
		DefElem    *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, "full") == 0)
			full = defGetBoolean(option);
	}
	foreach(lc, stmt->rels)
	{
		VacuumRelation *relation = lfirst_node(VacuumRelation, lc);
		Target	   *target = target_of(a, relation->relation);

		takes(a, target, full ? AccessExclusiveLock : ShareUpdateExclusiveLock);
		/* each is gone through */
		if (!target->made && target->relkind == RELKIND_PARTITIONED_TABLE)
			takes_relations(a, facts_below(target->relid),
							full ? AccessExclusiveLock : ShareUpdateExclusiveLock);
		if (full)
			(void) fire(a, RULE_VACUUM_FULL, target);
	}
	if (full && stmt->rels == NIL)
		(void) fire_named(a, RULE_VACUUM_FULL, "all tables");
}

static void
assess_reindex(Assessment *a, ReindexStmt *stmt)
{
	bool		concurrent = reindex_is_concurrent(stmt);
	Target	   *target;

	if (stmt->relation == NULL)
	{
		if (!concurrent)
			(void) fire_named(a, RULE_REINDEX, psprintf("%s %s", stmt->kind == REINDEX_OBJECT_SCHEMA ? "schema" : "database",
														stmt->name ? quote_identifier(stmt->name) : ""));
		return;
	}
	target = target_of(a, stmt->relation);
	if (target->made)
		return;
	if (stmt->kind == REINDEX_OBJECT_INDEX && target->relkind == RELKIND_INDEX)
	{
		takes(a, target, concurrent ? ShareUpdateExclusiveLock : AccessExclusiveLock);
		target = target_of_relation(IndexGetRelation(target->relid, false));
	}
	else if (!concurrent)
		takes_relations(a, facts_oids("SELECT indexrelid FROM pg_index WHERE indrelid = $1 AND $2 = 0 ORDER BY 1",
									  target->relid, 0), AccessExclusiveLock);
	takes(a, target, concurrent ? ShareUpdateExclusiveLock : ShareLock);
	if (!concurrent)
		(void) fire(a, RULE_REINDEX, target);
}

static bool
has_unique_index(const Target *target)
{
	return facts_number("SELECT count(*) FROM pg_index WHERE indrelid = $1 AND indisunique"
						" AND indisvalid AND indpred IS NULL AND 0 <> ALL (indkey) AND $2 = 0",
						target->relid, 0) > 0;
}

static void
assess_refresh(Assessment *a, RefreshMatViewStmt *stmt)
{
	Target	   *target = target_of(a, stmt->relation);
	Finding    *finding;

	takes(a, target, stmt->concurrent ? ExclusiveLock : AccessExclusiveLock);
	if (target->made)
		return;
	finding = fire(a, RULE_MATVIEW_REFRESH, target);
	if (stmt->concurrent)
	{
		finding->cost = "scan";
		finding->why = "Nobody refreshes or changes it meanwhile; readers go on, and it takes several times as long.";
		finding->safer = NULL;
	}
	else if (!has_unique_index(target))
		finding->safer = psprintf("CREATE UNIQUE INDEX ON %s (...);\n%s", target->name, finding->safer);
}

bool
assess_maintenance(Assessment *a, Node *node)
{
	switch (nodeTag(node))
	{
		case T_ClusterStmt:
			assess_cluster(a, (ClusterStmt *) node);
			return true;
		case T_VacuumStmt:
			assess_vacuum(a, (VacuumStmt *) node);
			return true;
		case T_ReindexStmt:
			assess_reindex(a, (ReindexStmt *) node);
			return true;
		case T_RefreshMatViewStmt:
			assess_refresh(a, (RefreshMatViewStmt *) node);
			return true;
		case T_DropdbStmt:
			(void) fire_named(a, RULE_DROP_DATABASE,
							  psprintf("database %s", quote_identifier(((DropdbStmt *) node)->dbname)));
			return true;
		default:
			return false;
	}
}
