/*-------------------------------------------------------------------------
 *
 * retype.c
 *	  Takes a change of columns' types back without losing what the new types
 *	  could not hold.
 *
 * All columns that one command changed go back in one ALTER TABLE: a rewrite
 * makes every row a new one, and by that the next column would no longer see
 * which rows were written since.  All values are found before anything is
 * rewritten (values.c); if one does not fit, nothing is done.
 *
 * ALTER TABLE runs as the table's owner, since the rewrite evaluates the
 * table's checks and generation expressions, and is recorded like any command.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "storage/itemptr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "compat.h"
#include "keep/retype.h"
#include "keep/vault.h"
#include "keep/writes.h"

PG_FUNCTION_INFO_V1(restore_column_type);
PG_FUNCTION_INFO_V1(revert_column_type);
PG_FUNCTION_INFO_V1(restored_value);

/* ---- the columns ---- */

static const Kept *
kept_of(const Retyped *column, Oid relid)
{
	ListCell   *lc;

	foreach(lc, column->kept)
	{
		if (kept_relation(lfirst(lc), AccessExclusiveLock) == relid)
			return lfirst(lc);
	}
	return NULL;
}

/* ALTER TABLE has to start where the column is not inherited. */
static Oid
find_root(Oid relid, const char *column)
{
	HeapTuple	tuple = SearchSysCacheAttName(relid, column);
	bool		inherited;
	ListCell   *lc;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("column \"%s\" of relation \"%s\" does not exist",
						column, get_rel_name(relid))));
	inherited = ((Form_pg_attribute) GETSTRUCT(tuple))->attinhcount > 0;
	ReleaseSysCache(tuple);
	if (!inherited)
		return relid;
	foreach(lc, relation_parents(relid))
	{
		if (get_attnum(lfirst_oid(lc), column) > 0)
			return find_root(lfirst_oid(lc), column);
	}
	return relid;
}

static Retyped *
retyped_column(const Kept *kept)
{
	Retyped    *column = palloc0(sizeof(Retyped));

	column->name = kept->part;
	column->type = kept_type(kept, &column->typid);
	column->typmod = (int32) kept_number(kept, "typmod");
	column->collation = kept_detail(kept, "collation_name");
	if (column->type == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("column \"%s\" of %s %s cannot go back to type %s, which does not exist",
						kept->part, kept->object_type, kept->identity,
						kept_detail(kept, "type_name"))));
	return column;
}

/* The columns that the command changed in the tree below root. */
static List *
find_columns(const Kept *kept, Oid root)
{
	List	   *columns = NIL;
	ListCell   *lc;

	foreach(lc, history_find_kept(kept->migration, kept->command, "values", NULL))
	{
		Kept	   *one = lfirst(lc);
		Oid			relid = kept_relation(one, AccessExclusiveLock);
		Retyped    *column = NULL;
		ListCell   *known;

		if (find_root(relid, one->part) != root)
			continue;
		foreach(known, columns)
		{
			if (strcmp(((Retyped *) lfirst(known))->name, one->part) == 0)
				column = lfirst(known);
		}
		if (column == NULL)
		{
			column = retyped_column(one);
			columns = lappend(columns, column);
		}
		column->kept = lappend(column->kept, one);
	}
	return columns;
}

/* ---- the rewrite ---- */

static Misfit *
describe_misfit(Oid root, const Retyped *column)
{
	Misfit	   *misfit = palloc0(sizeof(Misfit));

	misfit->rows = column->misfits;
	misfit->table = quote_qualified_identifier(get_namespace_name(get_rel_namespace(root)),
											   get_rel_name(root));
	misfit->message = psprintf(said_of("column \"%s\" of table \"%s\" cannot go back to type %s: %lld row does not fit",
									   "column \"%s\" of table \"%s\" cannot go back to type %s: %lld rows do not fit",
									   column->misfits),
							   column->name, get_rel_name(root), column->type,
							   (long long) column->misfits);
	misfit->detail = pstrdup(said("They were written since the type was changed."));
	misfit->hint = misfit->command = psprintf("%s;", column->misfit_query);
	return misfit;
}

/*
 * False: there are none.  A rollback that goes on to find what else is in its
 * way leaves the tree as it is.
 */
static bool
report_misfits(Oid root, List *columns)
{
	List	   *misfits = NIL;
	ListCell   *lc;
	bool		doubtful = false;

	foreach(lc, columns)
	{
		if (((Retyped *) lfirst(lc))->misfits > 0)
			misfits = lappend(misfits, describe_misfit(root, lfirst(lc)));
	}
	if (misfits == NIL)
		return false;
	if (!safemig_state.collects)
	{
		const Misfit *misfit = linitial(misfits);

		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg_internal("%s", misfit->message),
				 errdetail_internal("%s", misfit->detail),
				 errhint("%s", misfit->hint)));
	}
	foreach(lc, find_all_inheritors(root, AccessExclusiveLock, NULL))
	{
		doubtful |= net_is_doubtful(safemig_state.net, lfirst_oid(lc));
		net_unsettle(safemig_state.net, lfirst_oid(lc));
	}
	if (!doubtful)
		net_add_misfits(safemig_state.net, misfits);
	return true;
}

/* Of such a tree PostgreSQL changes no column USING anything. */
static bool
has_foreign_member(Oid root)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(root, NoLock, NULL))
	{
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_FOREIGN_TABLE)
			return true;
	}
	return false;
}

static bool
has_copy(const Retyped *column)
{
	ListCell   *lc;

	foreach(lc, column->kept)
	{
		if (((Kept *) lfirst(lc))->vault_name)
			return true;
	}
	return false;
}

/*
 * Where no value was kept, the cast gives what it gave when the misfits were
 * looked for.
 */
static char *
alter_statement(Relation rel, List *columns)
{
	bool		cast_only = has_foreign_member(RelationGetRelid(rel));
	StringInfoData sql;
	ListCell   *lc;

	initStringInfo(&sql);
	appendStringInfo(&sql, "ALTER TABLE %s",
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
												RelationGetRelationName(rel)));
	foreach(lc, columns)
	{
		Retyped    *column = lfirst(lc);

		appendStringInfo(&sql, "%s ALTER COLUMN %s TYPE %s",
						 foreach_current_index(lc) > 0 ? "," : "",
						 quote_identifier(column->name), column->type);
		if (column->collation)
			appendStringInfo(&sql, " COLLATE %s", column->collation);
		if (cast_only && !has_copy(column))
			continue;
		/* NULL of a domain may be an error */
		appendStringInfo(&sql, " USING " SAFEMIG_SCHEMA ".restored_value(tableoid, ctid, %d, NULL::%s)",
						 foreach_current_index(lc),
						 format_type_be(getBaseType(column->typid)));
	}
	return sql.data;
}

static void
run_alter(Oid root, List *columns)
{
	Relation	rel = relation_open(root, NoLock);
	char	   *sql = alter_statement(rel, columns);
	List	   *named = lcons(parse_statement(sql), rebuilt_with_type(root));
	struct RestoredValues values = {columns};
	Frame		frame;
	ListCell   *lc;

	frame_become_for(&frame, rel->rd_rel->relowner, (Node *) named, InvalidOid, 1);
	relation_close(rel, NoLock);
	/* a foreign key may depend on them, and so may casts when it is redone */
	foreach(lc, ((Retyped *) linitial(columns))->kept)
		kept_set_conversion_settings(lfirst(lc));
	state_save();
	safemig_state.restored_values = &values;
	if (SPI_execute(sql, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not run \"%s\"", sql);
	safemig_state.restored_values = NULL;
	frame_unpin(&frame);
}

static void
finish_column(Retyped *column)
{
	ListCell   *lc;

	foreach(lc, column->relations)
	{
		RestoredRows *rows = lfirst(lc);
		const Kept *kept = kept_of(column, rows->relid);

		/* where nothing was kept, nothing was to be found again */
		rollback_count(rows->relid, rows->restored,
					   kept && kept->vault_name ? rows->later : 0);
		ExecDropSingleTupleTableSlot(rows->slot);
		tuplestore_end(rows->store);
	}
	/* so that the calls for the others of the command know */
	foreach(lc, column->kept)
	{
		kept_add_detail(lfirst(lc), "restored", "true");
		history_update_kept(lfirst(lc));
	}
}

static void
retype(Oid root, List *columns)
{
	ListCell   *lc;
	ListCell   *relation;

	if (safemig_state.net && net_is_unsettled(safemig_state.net, root))
		return;
	foreach(relation, find_all_inheritors(root, AccessExclusiveLock, NULL))
	{
		Relation	rel = relation_open(lfirst_oid(relation), NoLock);

		CheckTableNotInUse(rel, "change the type of a column of");
		foreach(lc, columns)
		{
			if (RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
				retyped_find_values(lfirst(lc), rel,
									kept_of(lfirst(lc), RelationGetRelid(rel)));
		}
		relation_close(rel, NoLock);
	}
	if (report_misfits(root, columns))
		return;
	run_alter(root, columns);
	foreach(lc, columns)
		finish_column(lfirst(lc));
}

/* ---- a column that is back ---- */

/* What the command kept of it and the rows do not hold, below root. */
static List *
left_behind(const Kept *kept, Oid root)
{
	List	   *left = NIL;
	ListCell   *lc;

	foreach(lc, kept_family(kept))
	{
		Kept	   *one = lfirst(lc);

		if (one->vault_name &&
			(kept_detail(one, "keyless") == NULL || kept_detail(one, "stamp")) &&
			find_root(kept_relation(one, AccessExclusiveLock), one->part) == root)
			left = lappend(left, one);
	}
	return left;
}

/* New rows of a member that has not had its turn would lose their default. */
static void
check_no_rows_since(const Kept *self, List *members)
{
	ListCell   *lc;

	foreach(lc, members)
	{
		Kept	   *kept = lfirst(lc);
		Relation	rel = relation_open(kept_relation(kept, AccessExclusiveLock), NoLock);
		StampedRows		places;

		if (kept->id != self->id && kept_detail(kept, "keyless") &&
			place_rows_bear_stamp(rel, kept, &places) && places.rows > kept->rows)
			ereport(ERROR,
					(errcode(ERRCODE_SAFEMIG_CONFLICT),
					 errmsg("the values of column \"%s\" of %s %s cannot be put back into their rows",
							kept->part, kept->object_type, kept->identity),
					 errdetail("The table has no key, is one of a tree, and has %lld rows that were written since.",
							   (long long) (places.rows - kept->rows)),
					 errhint("The kept rows are in %s, in the order that they had.",
							 copy_name(kept))));
		relation_close(rel, NoLock);
	}
}

/*
 * Puts values into a column that is back, in the whole tree, by a rewrite: it
 * leaves every row in its place, for values that are known by that, of this
 * column or of another.  It is part of the revival, not a change of type.
 */
void
retyped_refill(const Kept *kept)
{
	Oid			root = find_root(kept_relation(kept, AccessExclusiveLock), kept->part);
	Retyped    *column = retyped_column(kept);
	List	   *ids = NIL;
	ListCell   *lc;

	column->kept = left_behind(kept, root);
	check_no_rows_since(kept, column->kept);
	own_work_begin();
	foreach(lc, find_all_inheritors(root, AccessExclusiveLock, NULL))
		ids = list_concat(ids, column_keep_follow(lfirst_oid(lc), NULL));
	retype(root, list_make1(column));
	foreach(lc, ids)
		column_keep_finish(*(int64 *) lfirst(lc));
	own_work_end();
}

/* ---- the calls ---- */

/*
 * safemig.restore_column_type(kept bigint): all columns that the command
 * changed together with this one go back.
 */
Datum
restore_column_type(PG_FUNCTION_ARGS)
{
	Kept	   *kept;
	Oid			root;
	Frame		frame;

	check_own_call("restore_column_type");
	frame_become_owner(&frame);
	SPI_connect();
	kept = kept_of_kind(PG_GETARG_INT64(0), "values");
	if (kept_detail(kept, "restored") == NULL)
	{
		root = find_root(kept_relation(kept, AccessExclusiveLock), kept->part);
		retype(root, find_columns(kept, root));
	}
	SPI_finish();
	frame_unpin(&frame);
	PG_RETURN_VOID();
}

/*
 * safemig.revert_column_type(table_name, column_name, type_name,
 * collation_name): for a change of which nothing was kept, because the cast
 * back gives every value again: but rows written since may not fit.
 */
Datum
revert_column_type(PG_FUNCTION_ARGS)
{
	Retyped    *column;
	List	   *names;
	Oid			root;
	Frame		frame;

	check_own_call("revert_column_type");
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("table, column and type must not be null")));
	frame_become_owner(&frame);
	SPI_connect();
	column = palloc0(sizeof(Retyped));
	names = textToQualifiedNameList(PG_GETARG_TEXT_PP(0));
	column->name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	column->type = text_to_cstring(PG_GETARG_TEXT_PP(2));
	if (!PG_ARGISNULL(3))
		column->collation = text_to_cstring(PG_GETARG_TEXT_PP(3));
	if (!type_from_string(column->type, &column->typid, &column->typmod))
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("type %s does not exist", column->type)));
	root = RangeVarGetRelid(makeRangeVarFromNameList(names),
							AccessExclusiveLock, false);
	retype(find_root(root, column->name), list_make1(column));
	SPI_finish();
	frame_unpin(&frame);
	PG_RETURN_VOID();
}

static Datum
next_value(RestoredRows *rows, ItemPointer place, Oid type, bool *isnull)
{
	if (TupleDescAttr(rows->desc, 1)->atttypid != type)
		elog(ERROR, "restored value is not of type %u", type);
	while (stored_tuple_next(rows->store, rows->slot))
	{
		ItemPointer next = (ItemPointer) DatumGetPointer(slot_getattr(rows->slot,
																	  1, isnull));

		if (ItemPointerEquals(place, next))
			return slot_getattr(rows->slot, 2, isnull);
	}
	elog(ERROR, "no restored value for row (%u,%u) of relation %u",
		 ItemPointerGetBlockNumber(place), ItemPointerGetOffsetNumber(place),
		 rows->relid);
}

/*
 * safemig.restored_value(relation oid, place tid, number int, type anyelement):
 * the value of that row.  Anybody may call it, since ALTER TABLE does so as
 * the table's owner, but it answers only during that command.
 */
Datum
restored_value(PG_FUNCTION_ARGS)
{
	struct RestoredValues *values = safemig_state.restored_values;
	int			number = PG_ARGISNULL(2) ? -1 : PG_GETARG_INT32(2);
	ListCell   *lc;

	if (values == NULL || PG_ARGISNULL(0) || PG_ARGISNULL(1) || number < 0 ||
		number >= list_length(values->columns))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s.restored_value can only be used by a rollback",
						SAFEMIG_SCHEMA)));
	foreach(lc, ((Retyped *) list_nth(values->columns, number))->relations)
	{
		RestoredRows *rows = lfirst(lc);
		bool		isnull;
		Datum		value;

		if (rows->relid != PG_GETARG_OID(0))
			continue;
		value = next_value(rows, (ItemPointer) PG_GETARG_POINTER(1),
						   get_fn_expr_rettype(fcinfo->flinfo), &isnull);
		if (isnull)
			PG_RETURN_NULL();
		PG_RETURN_DATUM(value);
	}
	elog(ERROR, "no restored values for relation %u", PG_GETARG_OID(0));
}
