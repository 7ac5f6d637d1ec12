/*-------------------------------------------------------------------------
 *
 * astray.c
 *	  Kept values that find no row, and rows that find no kept value.
 *
 * A row is known by its key.  Kept values whose key no row has any more
 * belonged to rows that were deleted since; rows whose key the copy does not
 * have were inserted since.  A row whose key was changed is one of each, and
 * nothing in the table tells the two apart: so where there are both, it is
 * said.  A row without a key that was written at all is one of each, so there
 * it is an error.
 *
 * A row of a partitioned table may have changed its partition together with
 * its key, so the members of a tree are counted together.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "compat.h"
#include "history/history.h"
#include "keep/column.h"
#include "progress.h"

#define FETCH_ROWS	1000

/* What one command kept of one column of one tree. */
typedef struct Astray
{
	int64		command;
	Oid			root;
	bool		dropped;		/* the column was; else it was converted */
	bool		keyless;		/* rows are known by what they hold */
	char	   *table;
	char	   *column;
	int64		values;			/* that belong to no row */
	int64		rows;			/* that have no kept value */
	char	   *query;			/* that shows those values, or NULL */
} Astray;

static Oid
topmost(Oid relid)
{
	List	   *parents;

	while ((parents = relation_parents(relid)) != NIL)
		relid = linitial_oid(parents);
	return relid;
}

/* ---- during a rollback ---- */

/* A condition that ties the row k of the copy to a row t of the table. */
static void
append_match(StringInfo sql, const CopyShape *shape, Relation rel)
{
	for (int i = 0; i < shape->nkeys; i++)
	{
		const StoredColumn *key = &shape->keys[i];
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel),
											  key->attnum - 1);

		appendStringInfo(sql, "%st.%s%s = k.%s", i > 0 ? " AND " : "",
						 quote_identifier(NameStr(att->attname)),
						 key->form == STORED_TEXT ? "::text" : "",
						 quote_identifier(key->name));
	}
}

static char *
query_for(const Kept *kept, const CopyShape *shape, Relation rel)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT * FROM %s k", copy_name(kept));
	if (shape->nkeys == 0)
		return sql.data;
	for (int i = 0; i < shape->nkeys; i++)
	{
		/* what is stored as bytes cannot be compared by hand */
		if (shape->keys[i].form == STORED_BINARY)
			return sql.data;
	}
	appendStringInfo(&sql, " WHERE NOT EXISTS (SELECT FROM ONLY %s t WHERE ",
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
												RelationGetRelationName(rel)));
	append_match(&sql, shape, rel);
	appendStringInfoString(&sql, ")");
	return sql.data;
}

static Astray *
find_astray(const Kept *kept, Oid root)
{
	ListCell   *lc;

	foreach(lc, safemig_state.astray)
	{
		Astray	   *one = lfirst(lc);

		if (one->command == kept->command && one->root == root &&
			strcmp(one->column, kept->part) == 0)
			return one;
	}
	return NULL;
}

/*
 * Notes for one relation how many kept values found no row, and how many rows
 * no kept value.
 */
void
astray_note(const Kept *kept, Relation rel, const CopyShape *shape,
			int64 values, int64 rows)
{
	MemoryContext old;
	Oid			root;
	Astray	   *astray;

	if (values <= 0 && rows <= 0)
		return;
	root = topmost(RelationGetRelid(rel));
	old = MemoryContextSwitchTo(TopTransactionContext);
	state_save();
	astray = find_astray(kept, root);
	if (astray == NULL)
	{
		astray = palloc0(sizeof(Astray));
		astray->command = kept->command;
		astray->root = root;
		astray->dropped = strcmp(kept->kind, "column") == 0;
		astray->keyless = shape->nkeys == 0;
		astray->table = quote_qualified_identifier(get_namespace_name(get_rel_namespace(root)),
												   get_rel_name(root));
		astray->column = pstrdup(kept->part);
		safemig_state.astray = lappend(safemig_state.astray, astray);
	}
	astray->values += Max(values, 0);
	astray->rows += rows;
	if (values > 0)
	{
		char	   *query = query_for(kept, shape, rel);

		astray->query = astray->query ?
			psprintf("%s;\n%s", astray->query, query) : query;
	}
	MemoryContextSwitchTo(old);
}

/* At the end of a rollback, when all members of every tree are done. */
void
astray_report(void)
{
	ListCell   *lc;

	foreach(lc, safemig_state.astray)
	{
		Astray	   *astray = lfirst(lc);

		if (astray->values == 0 || astray->rows == 0)
			continue;
		if (astray->keyless)
			ereport(ERROR,
					(errcode(ERRCODE_SAFEMIG_CONFLICT),
					 errmsg("the values of column \"%s\" of table %s cannot be put back into their rows",
							astray->column, astray->table),
					 errdetail("Its tables have no key, and were written since: kept rows left over: %lld, rows that have none: %lld.",
							   (long long) astray->values, (long long) astray->rows),
					 errhint("%s;", astray->query)));
		ereport(WARNING,
				(errmsg("column \"%s\" of table %s: kept values left over: %lld, rows that got none: %lld",
						astray->column, astray->table,
						(long long) astray->values, (long long) astray->rows),
				 astray->dropped ?
				 errdetail("Rows were deleted and others inserted, or keys were changed: afterwards the two look the same. A row whose key was changed has the column's default, or the value of the row whose key it took.") :
				 errdetail("Rows were deleted and others inserted, or keys were changed: afterwards the two look the same. A row whose key was changed has the value that it had, cast back."),
				 errhint("%s;", astray->query)));
	}
	state_save();
	safemig_state.astray = NIL;
}

/* ---- before one ---- */

Relation
relation_open_now(Oid relid)
{
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return NULL;
	return try_relation_open(relid, NoLock);
}

static Relation
open_now(const Kept *kept)
{
	List	   *names = qualified_name_list(kept->identity);
	Oid			relid = RangeVarGetRelid(makeRangeVarFromNameList(names), NoLock,
										 true);

	if (!OidIsValid(relid) || get_rel_relkind(relid) != RELKIND_RELATION)
		return NULL;
	return relation_open_now(relid);
}

static void
count_relation(Relation rel, const Kept *kept, CopyShape *shape,
			   int64 *values, int64 *rows)
{
	Present		present = present_open(rel, shape->keys[0].attnum, kept, shape,
									   false);
	Progress	progress;
	int64		done = 0;

	*values += kept_number(kept, "values");
	progress_begin(&progress, PROGRESS_MATCHING, rel, -1);
	for (;;)
	{
		SPITupleTable *fetched;

		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(present.portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		fetched = SPI_tuptable;
		progress_at(&progress, done += fetched->numvals);
		for (uint64 i = 0; i < fetched->numvals; i++)
		{
			bool		isnull;

			if (!DatumGetBool(SPI_getbinval(fetched->vals[i], fetched->tupdesc,
											5, &isnull)))
				(*rows)++;
			(void) SPI_getbinval(fetched->vals[i], fetched->tupdesc, 6, &isnull);
			*values -= !isnull;
		}
		SPI_freetuptable(fetched);
	}
	progress_end(&progress);
	present_close(&present);
}

/* Adds what there is of one relation; false if it cannot be told now. */
static bool
count_member(const Kept *kept, int64 *values, int64 *rows)
{
	Relation	rel = open_now(kept);
	bool		known = false;
	CopyShape	shape;

	if (rel == NULL)
		return false;
	if (kept_keys(kept, rel, &shape))
	{
		known = true;
		if (shape.nkeys > 0)
			count_relation(rel, kept, &shape, values, rows);
	}
	relation_close(rel, NoLock);
	return known;
}

/*
 * What a rollback is to say, for the plan: NULL, or a remark in the caller's
 * memory.  It reads the tables, but waits for nobody's lock.
 */
char *
astray_forecast(int64 kept_id)
{
	Kept	   *kept = history_get_kept(kept_id);
	List	   *family = kept_family(kept);
	int64		values = 0;
	int64		rows = 0;
	char	   *remark = NULL;
	ListCell   *lc;

	/* once for the whole tree */
	if (((Kept *) linitial(family))->id != kept->id)
		return NULL;
	SPI_connect();
	foreach(lc, family)
	{
		Kept	   *member = lfirst(lc);

		if (member->vault_name && !count_member(member, &values, &rows))
			break;
	}
	SPI_finish();
	if (lc == NULL && values > 0 && rows > 0)
		remark = psprintf("kept values left over: %lld, rows that get none: %lld: keys may have been changed since",
						  (long long) values, (long long) rows);
	return remark;
}
