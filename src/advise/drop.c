/*-------------------------------------------------------------------------
 *
 * drop.c
 *	  What goes, and what goes with it.
 *
 * What depends on it is read in pg_depend, not asked of PostgreSQL by a trial:
 * that would take the locks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "nodes/makefuncs.h"
#include "parser/parse_type.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "advise/advise.h"
#include "compat.h"

/* ---- what goes with a relation ---- */

/* undo: exact, if only definitions go, such as foreign keys, which are checked */
static void
fire_cascade(Assessment *a, List *relids, const char *undo)
{
	ListCell   *lc;

	foreach(lc, relids)
	{
		Target	   *target = target_of_relation(lfirst_oid(lc));
		Finding    *finding;

		takes(a, target, AccessExclusiveLock);
		finding = fire(a, RULE_DROP_CASCADE, target);
		finding->undo = target->relkind == RELKIND_VIEW ? "exact" : undo;
		if (target->relkind != RELKIND_VIEW && strcmp(undo, "exact") == 0)
			finding->undo_cost = "scan";
	}
}

/* It is written to or read: somebody will miss it. */
static void
destructive_without_expand(Assessment *a, const Target *target, const char *column)
{
	AttrNumber	attnum = column ? get_attnum(target->relid, column) : 0;
	double		reads;

	if (target->made || (column && attnum <= 0))
		return;
	/* of a column nobody counts the reads: what depends on it has to do */
	if (column)
		reads = facts_number("SELECT count(*) FROM pg_depend d WHERE d.refclassid = 'pg_class'::regclass"
							 " AND d.refobjid = $1 AND d.refobjsubid = $2 AND d.deptype = 'n'"
							 " AND d.classid IN ('pg_rewrite'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass, 'pg_proc'::regclass)",
							 target->relid, attnum);
	else
		reads = facts_number("SELECT coalesce(seq_scan, 0) + coalesce(idx_scan, 0) FROM pg_stat_all_tables"
							 " WHERE relid = $1 AND $2 = 0", target->relid, 0);
	if (reads <= 0)
		return;
	if (column)
		(void) fire_part(a, RULE_DESTRUCTIVE_WITHOUT_EXPAND, target, "column", column);
	else
		(void) fire(a, RULE_DESTRUCTIVE_WITHOUT_EXPAND, target);
}

/* ---- columns ---- */

void
assess_drop_column(Assessment *a, const Target *target, const char *column, bool cascade)
{
	AttrNumber	attnum = target->made ? 0 : get_attnum(target->relid, column);
	Finding    *finding;

	if (list_has_name(a->made_columns, psprintf("%s.%s", target->name, quote_identifier(column))))
		return;
	finding = fire_part(a, RULE_DROP_COLUMN, target, "column", column);
	if (attnum <= 0)
		return;
	finding->kept = psprintf("values of column %s, copied", quote_identifier(column));
	finding->kept_bytes = facts_kept_bytes(target->relid, attnum);
	takes_relations(a, facts_referenced_by(target->relid, attnum), AccessExclusiveLock);
	destructive_without_expand(a, target, column);
	if (!cascade)
		return;
	fire_cascade(a, facts_views_over(target->relid, attnum), "kept");
	fire_cascade(a, facts_checks_elsewhere(target->relid, attnum), "exact");
	fire_cascade(a, facts_referring_to(target->relid, attnum), "exact");
}

/* ---- relations ---- */

static void
drop_table(Assessment *a, const Target *target, bool cascade)
{
	List	   *below = target->made ? NIL : facts_below(target->relid);
	Finding    *finding;
	ListCell   *lc;

	takes(a, target, AccessExclusiveLock);
	finding = fire(a, RULE_DROP_TABLE, target);
	if (target->made)
		return;
	finding->kept = pstrdup("the table, moved");
	finding->kept_bytes = 0;
	/* foreign keys are checked again, and a partition is attached */
	if (get_rel_relispartition(target->relid) || facts_referenced_by(target->relid, 0) != NIL ||
		(cascade && facts_referring_to(target->relid, 0) != NIL))
		finding->undo_cost = "scan";
	destructive_without_expand(a, target, NULL);
	if (get_rel_relispartition(target->relid))
	{
		Oid			parent = get_partition_parent(target->relid, true);
		Oid			other = facts_default_partition(parent);

		takes(a, target_of_relation(parent), AccessExclusiveLock);
		if (OidIsValid(other))
			takes(a, target_of_relation(other), AccessExclusiveLock);
		(void) fire(a, RULE_DROP_TABLE, target_of_relation(parent));
	}
	foreach(lc, lcons_oid(target->relid, below))
	{
		List	   *others = facts_referenced_by(lfirst_oid(lc), 0);
		ListCell   *inner;

		foreach(inner, others)
		{
			Target	   *other = target_of_relation(lfirst_oid(inner));

			takes(a, other, AccessExclusiveLock);
			finding = fire(a, RULE_DROP_TABLE, other);
			finding->why = "A foreign key of the dropped table refers to it: it is locked as well.";
			finding->safer = NULL;
		}
	}
	if (target->relkind == RELKIND_PARTITIONED_TABLE)
		takes_relations(a, below, AccessExclusiveLock);
	else if (cascade)
		fire_cascade(a, below, "kept");
	if (!cascade)
		return;
	fire_cascade(a, facts_views_over(target->relid, 0), "kept");
	fire_cascade(a, facts_policies_over(target->relid), "exact");
	fire_cascade(a, facts_referring_to(target->relid, 0), "exact");
}

static void
drop_index(Assessment *a, const Target *target, bool concurrent)
{
	LOCKMODE	mode = concurrent ? ShareUpdateExclusiveLock : AccessExclusiveLock;
	Target	   *table;

	if (target->made)
		return;
	table = target_of_relation(IndexGetRelation(target->relid, false));
	takes(a, target, mode);
	takes(a, table, mode);
	if (concurrent)
		return;
	if (target->relkind == RELKIND_PARTITIONED_INDEX)
		takes_relations(a, facts_below(table->relid), mode);
	(void) fire(a, RULE_DROP_INDEX, target);
	fire(a, RULE_DROP_INDEX, table)->safer = NULL;
}

static void
drop_relation(Assessment *a, DropStmt *stmt, RuleId id, const Target *target)
{
	Finding    *finding;

	takes(a, target, AccessExclusiveLock);
	finding = fire(a, id, target);
	if (target->made)
		return;
	if (id == RULE_DROP_MATVIEW)
	{
		finding->kept = pstrdup("the materialized view, moved");
		finding->kept_bytes = 0;
	}
	else if (id == RULE_DROP_SEQUENCE)
		finding->kept = pstrdup("the position");
	else
		destructive_without_expand(a, target, NULL);
	if (stmt->behavior != DROP_CASCADE)
		return;
	fire_cascade(a, facts_views_over(target->relid, 0), "kept");
	fire_cascade(a, facts_policies_over(target->relid), "exact");
}

static void
drop_relations(Assessment *a, DropStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->objects)
	{
		Target	   *target = target_of(a, makeRangeVarFromNameList(lfirst(lc)));

		switch (stmt->removeType)
		{
			case OBJECT_TABLE:
			case OBJECT_FOREIGN_TABLE:
				drop_table(a, target, stmt->behavior == DROP_CASCADE);
				break;
			case OBJECT_INDEX:
				drop_index(a, target, stmt->concurrent);
				break;
			case OBJECT_VIEW:
				drop_relation(a, stmt, RULE_DROP_VIEW, target);
				break;
			case OBJECT_MATVIEW:
				drop_relation(a, stmt, RULE_DROP_MATVIEW, target);
				break;
			default:
				drop_relation(a, stmt, RULE_DROP_SEQUENCE, target);
		}
		if (!target->made)
			a->changed = lappend(a->changed, target->name);
		a->made = list_delete_name(a->made, target->name);
	}
}

/* ---- what lives in a relation ---- */

static void
drop_part(Assessment *a, DropStmt *stmt, RuleId id, const char *type)
{
	ListCell   *lc;

	foreach(lc, stmt->objects)
	{
		List	   *names = lfirst(lc);
		Target	   *target = target_of(a, makeRangeVarFromNameList(list_truncate(list_copy(names),
																				 list_length(names) - 1)));

		takes(a, target, AccessExclusiveLock);
		/* triggers of a partitioned table have copies */
		if (stmt->removeType == OBJECT_TRIGGER && !target->made &&
			target->relkind == RELKIND_PARTITIONED_TABLE)
			takes_relations(a, facts_below(target->relid), AccessExclusiveLock);
		if (id < RULE_COUNT)
			(void) fire_part(a, id, target, type, strVal(llast(names)));
	}
}

/* ---- types ---- */

/* Relations with columns of the type, or of one made of it. */
static List *
relations_with(Oid type)
{
	return facts_oids("WITH RECURSIVE t (oid) AS (SELECT $1 UNION"
					  " SELECT p.oid FROM t JOIN pg_type p ON p.typbasetype = t.oid OR (p.typelem = t.oid AND p.typsubscript = 'array_subscript_handler'::regproc))"
					  " SELECT DISTINCT c.oid FROM t JOIN pg_attribute a ON a.atttypid = t.oid AND NOT a.attisdropped"
					  " JOIN pg_class c ON c.oid = a.attrelid WHERE c.relkind IN ('r', 'm', 'p', 'f', 'v') AND $2 = 0"
					  " UNION SELECT c.oid FROM pg_class c WHERE c.reloftype = $1 ORDER BY 1",
					  type, 0);
}

static void
drop_types(Assessment *a, DropStmt *stmt)
{
	RuleId		id = stmt->removeType == OBJECT_DOMAIN ? RULE_DROP_DOMAIN : RULE_DROP_TYPE;
	ListCell   *lc;
	ListCell   *inner;

	foreach(lc, stmt->objects)
	{
		TypeName   *name = lfirst_node(TypeName, lc);
		Type		tuple = LookupTypeName(NULL, name, NULL, true);
		List	   *relations;

		(void) fire_named(a, id, psprintf("%s %s", id == RULE_DROP_DOMAIN ? "domain" : "type",
										  TypeNameToString(name)));
		if (tuple == NULL)
			continue;
		relations = relations_with(typeTypeId(tuple));
		ReleaseSysCache(tuple);
		if (stmt->behavior != DROP_CASCADE)
			continue;
		foreach(inner, relations)
		{
			Target	   *target = target_of_relation(lfirst_oid(inner));
			Finding    *finding;

			takes(a, target, AccessExclusiveLock);
			finding = fire(a, RULE_DROP_CASCADE, target);
			finding->why = "Its columns of the type go with their values, without being named.";
			finding->kept = pstrdup("values of the columns, copied");
			finding->undo_cost = "scan";
		}
	}
}

/* ---- the rest ---- */

static void
drop_statistics(Assessment *a, DropStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->objects)
	{
		Oid			statistics = get_statistics_object_oid(lfirst(lc), true);

		takes_relations(a, facts_oids("SELECT stxrelid FROM pg_statistic_ext WHERE oid = $1 AND $2 = 0",
									  statistics, 0), ShareUpdateExclusiveLock);
	}
}

/* Of a server, or of all of a wrapper. */
static void
drop_foreign(Assessment *a, DropStmt *stmt)
{
	ListCell   *lc;

	if (stmt->behavior != DROP_CASCADE)
		return;
	foreach(lc, stmt->objects)
	{
		const char *column = stmt->removeType == OBJECT_FDW ? "w.fdwname" : "s.srvname";

		fire_cascade(a, facts_oids(psprintf("SELECT t.ftrelid FROM pg_foreign_table t"
											" JOIN pg_foreign_server s ON s.oid = t.ftserver"
											" JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw"
											" WHERE %s = %s AND $1 = 0::oid AND $2 = 0 ORDER BY 1",
											column, quote_literal_cstr(strVal(lfirst(lc)))),
								   InvalidOid, 0), "kept");
	}
}

static void
drop_schemas(Assessment *a, DropStmt *stmt)
{
	ListCell   *lc;

	if (stmt->behavior != DROP_CASCADE)
		return;
	foreach(lc, stmt->objects)
	{
		const char *name = strVal(lfirst(lc));
		Oid			schema = get_namespace_oid(name, true);
		Finding    *finding = fire_named(a, RULE_DROP_SCHEMA_CASCADE,
										 psprintf("schema %s", quote_identifier(name)));

		finding->safer = psprintf("ALTER SCHEMA %s RENAME TO %s;", quote_identifier(name),
								  quote_identifier(psprintf("%s_to_be_dropped", name)));
		if (!OidIsValid(schema))
			continue;
		finding->kept = pstrdup("its tables, moved");
		finding->rows = facts_number("SELECT sum(greatest(reltuples, 0)) FROM pg_class"
									 " WHERE relnamespace = $1 AND relkind IN ('r', 'm') AND $2 = 0", schema, 0);
		finding->bytes = facts_number("SELECT sum(pg_table_size(oid)) FROM pg_class"
									  " WHERE relnamespace = $1 AND relkind IN ('r', 'm') AND $2 = 0", schema, 0);
		/* with views over it, and what inherits from it, that are elsewhere */
		fire_cascade(a, facts_oids("WITH RECURSIVE g (oid) AS (SELECT oid FROM pg_class WHERE relnamespace = $1"
								   " AND relkind IN ('r', 'p', 'v', 'm', 'f') AND $2 = 0"
								   " UNION SELECT n.oid FROM g, LATERAL (SELECT r.ev_class FROM pg_depend d"
								   " JOIN pg_rewrite r ON r.oid = d.objid WHERE d.classid = 'pg_rewrite'::regclass"
								   " AND d.refclassid = 'pg_class'::regclass AND d.refobjid = g.oid"
								   " UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = g.oid) n (oid))"
								   " SELECT oid FROM g JOIN pg_class c USING (oid) WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')"
								   " ORDER BY c.relnamespace <> $1, c.relnamespace::regnamespace::text COLLATE \"C\","
								   " relname COLLATE \"C\"", schema, 0), "kept");
		takes_relations(a, facts_oids("SELECT DISTINCT p.oid FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid"
									  " JOIN pg_class p ON p.oid = i.inhparent WHERE c.relnamespace = $1 AND $2 = 0"
									  " AND c.relispartition AND c.relkind IN ('r', 'p', 'f') AND p.relnamespace <> $1"
									  " ORDER BY 1", schema, 0), AccessExclusiveLock);
	}
}

static void
drop_extensions(Assessment *a, DropStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->objects)
		(void) fire_named(a, RULE_DROP_EXTENSION,
						  psprintf("extension %s", quote_identifier(strVal(lfirst(lc)))));
}

static void
drop_functions(Assessment *a, DropStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->objects)
		(void) fire_named(a, RULE_DROP_FUNCTION,
						  psprintf("function %s", joined_name(lfirst_node(ObjectWithArgs, lc)->objname)));
}

void
assess_drop(Assessment *a, DropStmt *stmt)
{
	switch (stmt->removeType)
	{
		case OBJECT_TABLE:
		case OBJECT_FOREIGN_TABLE:
		case OBJECT_INDEX:
		case OBJECT_VIEW:
		case OBJECT_MATVIEW:
		case OBJECT_SEQUENCE:
			drop_relations(a, stmt);
			break;
		case OBJECT_TRIGGER:
			drop_part(a, stmt, RULE_DROP_TRIGGER, "trigger");
			break;
		case OBJECT_POLICY:
			drop_part(a, stmt, RULE_POLICY_DROP, "policy");
			break;
		case OBJECT_RULE:
			drop_part(a, stmt, RULE_COUNT, "rule");
			break;
		case OBJECT_TYPE:
		case OBJECT_DOMAIN:
			drop_types(a, stmt);
			break;
		case OBJECT_STATISTIC_EXT:
			drop_statistics(a, stmt);
			break;
		case OBJECT_FDW:
		case OBJECT_FOREIGN_SERVER:
			drop_foreign(a, stmt);
			break;
		case OBJECT_SCHEMA:
			drop_schemas(a, stmt);
			break;
		case OBJECT_EXTENSION:
			drop_extensions(a, stmt);
			break;
		case OBJECT_FUNCTION:
		case OBJECT_PROCEDURE:
		case OBJECT_ROUTINE:
		case OBJECT_AGGREGATE:
			drop_functions(a, stmt);
			break;
		default:
			break;
	}
}

void
assess_truncate(Assessment *a, TruncateStmt *stmt)
{
	ListCell   *lc;
	ListCell   *inner;

	foreach(lc, stmt->relations)
	{
		RangeVar   *name = lfirst_node(RangeVar, lc);
		Target	   *target = target_of(a, name);
		Finding    *finding;

		takes(a, target, AccessExclusiveLock);
		finding = fire(a, RULE_TRUNCATE, target);
		if (target->made)
			continue;
		finding->kept = pstrdup("all rows, copied");
		finding->kept_bytes = facts_kept_bytes(target->relid, 0);
		if (name->inh)
			takes_relations(a, facts_below(target->relid), AccessExclusiveLock);
		if (stmt->behavior != DROP_CASCADE)
			continue;
		foreach(inner, facts_all_referring_to(target->relid))
		{
			Target	   *child = target_of_relation(lfirst_oid(inner));

			takes(a, child, AccessExclusiveLock);
			finding = fire(a, RULE_TRUNCATE_CASCADE, child);
			finding->safer = psprintf("TRUNCATE %s, %s;", target->name, child->name);
			finding->kept = pstrdup("all rows, copied");
			finding->kept_bytes = facts_kept_bytes(child->relid, 0);
			takes_relations(a, facts_below(child->relid), AccessExclusiveLock);
		}
	}
}

/* What the roles own here, and the tables whose policies name them. */
void
assess_drop_owned(Assessment *a, DropOwnedStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->roles)
	{
		Oid			role = get_rolespec_oid(lfirst_node(RoleSpec, lc), true);

		if (!OidIsValid(role))
			continue;
		takes_relations(a, facts_oids("SELECT c.oid FROM pg_shdepend s JOIN pg_class c ON c.oid = s.objid"
									  " WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = $1 AND $2 = 0"
									  " AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
									  " AND s.classid = 'pg_class'::regclass AND s.deptype = 'o'"
									  " AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'"
									  " UNION SELECT p.polrelid FROM pg_shdepend s JOIN pg_policy p ON p.oid = s.objid"
									  " WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = $1"
									  " AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
									  " AND s.classid = 'pg_policy'::regclass ORDER BY 1", role, 0),
						AccessExclusiveLock);
	}
}
