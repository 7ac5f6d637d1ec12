/*-------------------------------------------------------------------------
 *
 * make.c
 *	  Tables and indexes that are made.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "nodes/nodeFuncs.h"
#include "nodes/primnodes.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "advise/advise.h"
#include "compat.h"

/* ---- names ---- */

/* Can it be written without quotes? */
static bool
is_plain_name(const char *name)
{
	return strcmp(quote_identifier(name), name) == 0;
}

static void
assess_name(Assessment *a, const Target *target, const char *type, const char *name)
{
	if (!is_plain_name(name))
		(void) fire_part(a, RULE_NAMING, target, type, name);
}

/* ---- tables ---- */

static bool
is_key(const ColumnDef *column, List *constraints)
{
	ListCell   *lc;
	ListCell   *key;

	foreach(lc, column->constraints)
	{
		Constraint *constraint = lfirst(lc);

		if (IsA(constraint, Constraint) && constraint->contype == CONSTR_PRIMARY)
			return true;
	}
	foreach(lc, constraints)
	{
		Constraint *constraint = lfirst(lc);

		if (!IsA(constraint, Constraint) || constraint->contype != CONSTR_PRIMARY)
			continue;
		foreach(key, constraint->keys)
		{
			if (strcmp(strVal(lfirst(key)), column->colname) == 0)
				return true;
		}
	}
	return false;
}

/* Nobody writes to what its foreign keys refer to. */
static void
lock_referenced(Assessment *a, const Target *target, List *constraints)
{
	ListCell   *lc;

	foreach(lc, constraints)
	{
		Constraint *constraint = lfirst(lc);

		if (IsA(constraint, Constraint) && constraint->contype == CONSTR_FOREIGN)
			takes_for_new_key(a, target, target_of(a, constraint->pktable), constraint);
	}
}

static void
assess_elements(Assessment *a, CreateStmt *stmt, const Target *target)
{
	ListCell   *lc;

	foreach(lc, stmt->tableElts)
	{
		ColumnDef  *column = lfirst(lc);

		if (IsA(column, TableLikeClause))
		{
			TableLikeClause *like = (TableLikeClause *) column;

			takes(a, target_of(a, like->relation), AccessShareLock);
			if (like->options != CREATE_TABLE_LIKE_ALL)
				(void) fire(a, RULE_CREATE_TABLE_LIKE, target);
		}
		if (!IsA(column, ColumnDef))
			continue;
		assess_name(a, target, "column", column->colname);
		assess_column_types(a, target, column, is_key(column, stmt->tableElts));
		lock_referenced(a, target, column->constraints);
	}
	lock_referenced(a, target, stmt->tableElts);
}

static void
assess_partition(Assessment *a, CreateStmt *stmt)
{
	Target	   *parent = target_of(a, linitial_node(RangeVar, stmt->inhRelations));
	Oid			other;
	Finding    *finding;

	takes(a, parent, AccessExclusiveLock);
	if (parent->made)
		return;
	takes_for_new_partition(a, parent->relid, InvalidOid);
	other = facts_default_partition(parent->relid);
	if (!OidIsValid(other))
		return;
	takes_tree(a, other, AccessExclusiveLock);
	finding = fire(a, RULE_PARTITION_WITH_DEFAULT, target_of_relation(other));
	if (facts_bound_is_implied(parent->relid, other, stmt->partbound, true))
		finding->cost = "catalog";
	set_safer(finding, rules[RULE_PARTITION_WITH_DEFAULT].safer, parent, stmt->relation->relname,
			  a->now->sql ? "FOR VALUES ..." : NULL);
}

/* Others do not see it, but its parents are changed. */
static void
assess_temporary(Assessment *a, CreateStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->inhRelations)
		takes(a, target_of(a, lfirst_node(RangeVar, lc)),
			  stmt->partbound ? AccessExclusiveLock : ShareUpdateExclusiveLock);
}

void
assess_create_table(Assessment *a, CreateStmt *stmt)
{
	Target	   *target;
	ListCell   *lc;

	if (stmt->relation->relpersistence == RELPERSISTENCE_TEMP)
	{
		assess_temporary(a, stmt);
		return;
	}
	if (!stmt->if_not_exists)
		(void) fire(a, RULE_NOT_IDEMPOTENT, target_made(a, stmt->relation));
	target = target_made(a, stmt->relation);
	if (stmt->relation->schemaname == NULL)
		(void) fire(a, RULE_UNQUALIFIED, target);
	assess_name(a, target, "table", stmt->relation->relname);
	assess_elements(a, stmt, target);
	if (stmt->partbound)
		assess_partition(a, stmt);
	else if (stmt->inhRelations)
	{
		foreach(lc, stmt->inhRelations)
		{
			Target	   *parent = target_of(a, lfirst_node(RangeVar, lc));

			takes(a, parent, ShareUpdateExclusiveLock);
			(void) fire(a, RULE_INHERITS, parent);
		}
	}
}

/* ---- indexes ---- */

/* The name of an index that begins with the same columns, or NULL. */
static char *
index_alike(const Target *target, const IndexStmt *stmt)
{
	StringInfoData names;
	ListCell   *lc;
	const char *last = "";

	if (stmt->whereClause || stmt->unique)
		return NULL;
	initStringInfo(&names);
	foreach(lc, stmt->indexParams)
	{
		IndexElem  *element = lfirst_node(IndexElem, lc);

		if (element->name == NULL)
			return NULL;
		appendStringInfo(&names, "%s%d", last, get_attnum(target->relid, element->name));
		last = " ";
	}
	return facts_text(psprintf("SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
							   " JOIN pg_am m ON m.oid = c.relam"
							   " WHERE i.indrelid = $1 AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts >= $2"
							   " AND m.amname = %s AND i.indkey::text || ' ' LIKE '%s %%' ORDER BY 1",
							   quote_literal_cstr(stmt->accessMethod), names.data),
					  target->relid, list_length(stmt->indexParams));
}

static void
invalid_indexes(Assessment *a, const Target *target)
{
	char	   *index = facts_text("SELECT i.indexrelid::regclass FROM pg_index i WHERE i.indrelid = $1"
								   " AND NOT i.indisvalid AND $2 = 0 AND i.indisready IS NOT NULL ORDER BY 1",
								   target->relid, 0);

	if (index && target->relkind != RELKIND_PARTITIONED_TABLE)
	{
		Finding    *finding = fire(a, RULE_INVALID_INDEX, target);

		finding->safer = psprintf("DROP INDEX CONCURRENTLY %s;", index);
	}
}

/* What follows the table's name. */
static char *
index_words(Assessment *a)
{
	char	   *open = a->now->sql ? strchr(a->now->sql, '(') : NULL;

	return open ? pstrdup(open) : NULL;
}

void
assess_index(Assessment *a, IndexStmt *stmt)
{
	Target	   *target = target_of(a, stmt->relation);
	Finding    *finding;
	char	   *alike;

	takes(a, target, stmt->concurrent ? ShareUpdateExclusiveLock : ShareLock);
	if (list_length(stmt->indexParams) > 3 && !stmt->unique)
		(void) fire(a, RULE_WIDE_INDEX, target);
	if (stmt->idxname && !stmt->if_not_exists)
		(void) fire(a, RULE_NOT_IDEMPOTENT, target);
	if (target->made)
		return;
	invalid_indexes(a, target);
	alike = index_alike(target, stmt);
	if (alike)
		fire(a, RULE_REDUNDANT_INDEX, target)->safer = psprintf("-- there is %s", quote_identifier(alike));
	if (target->relkind == RELKIND_PARTITIONED_TABLE)
	{
		ListCell   *lc;
		List	   *below = facts_below(target->relid);

		if (!stmt->relation->inh)
			return;
		takes_relations(a, below, ShareLock);
		finding = fire(a, RULE_INDEX_ON_PARTITIONED, target);
		set_safer(finding, rules[RULE_INDEX_ON_PARTITIONED].safer, target, stmt->idxname, index_words(a));
		foreach(lc, below)
			fire(a, RULE_INDEX_ON_PARTITIONED, target_of_relation(lfirst_oid(lc)))->safer = NULL;
	}
	else if (!stmt->concurrent)
		(void) fire(a, RULE_INDEX_NOT_CONCURRENT, target);
}
