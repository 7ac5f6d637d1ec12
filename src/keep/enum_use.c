/*-------------------------------------------------------------------------
 *
 * enum_use.c
 *	  Rows that hold an enum label, wherever in a value it is.
 *
 * Values are taken apart, not printed or compared: so nothing runs that a
 * user has written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/tupdesc.h"
#include "catalog/dependency.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/multirangetypes.h"
#include "utils/rangetypes.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "history/history.h"
#include "keep/enum_use.h"
#include "keep/frozen.h"
#include "progress.h"

/* ---- inside a value ---- */

static bool
array_has_label(LabelSearch *search, Oid elemtype, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	Datum	   *elems;
	bool	   *nulls;
	int			nelems;
	int16		typlen;
	bool		typbyval;
	char		typalign;

	get_typlenbyvalalign(elemtype, &typlen, &typbyval, &typalign);
	deconstruct_array(array, elemtype, typlen, typbyval, typalign,
					  &elems, &nulls, &nelems);
	for (int i = 0; i < nelems; i++)
		if (!nulls[i] && value_has_label(search, elemtype, elems[i]))
			return true;
	return false;
}

static bool
bound_has_label(LabelSearch *search, TypeCacheEntry *range, RangeBound *bound)
{
	return !bound->infinite &&
		value_has_label(search, range->rngelemtype->type_id, bound->val);
}

static bool
range_has_label(LabelSearch *search, Oid typid, Datum value)
{
	TypeCacheEntry *range = lookup_type_cache(typid, TYPECACHE_RANGE_INFO);
	RangeBound	lower;
	RangeBound	upper;
	bool		empty;

	range_deserialize(range, DatumGetRangeTypeP(value), &lower, &upper, &empty);
	return !empty && (bound_has_label(search, range, &lower) ||
					  bound_has_label(search, range, &upper));
}

static bool
multirange_has_label(LabelSearch *search, Oid typid, Datum value)
{
	TypeCacheEntry *range = lookup_type_cache(typid, TYPECACHE_MULTIRANGE_INFO)->rngtype;
	MultirangeType *multirange = DatumGetMultirangeTypeP(value);

	for (uint32 i = 0; i < multirange->rangeCount; i++)
	{
		RangeBound	lower;
		RangeBound	upper;

		multirange_get_bounds(range, multirange, i, &lower, &upper);
		if (bound_has_label(search, range, &lower) ||
			bound_has_label(search, range, &upper))
			return true;
	}
	return false;
}

static bool
row_has_label(LabelSearch *search, Datum value)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(value);
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header),
											  HeapTupleHeaderGetTypMod(header));
	Datum	   *values = palloc(desc->natts * sizeof(Datum));
	bool	   *nulls = palloc(desc->natts * sizeof(bool));
	bool		found = false;
	HeapTupleData tuple;

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	heap_deform_tuple(&tuple, desc, values, nulls);
	for (int i = 0; i < desc->natts && !found; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		found = !att->attisdropped && !nulls[i] &&
			value_has_label(search, att->atttypid, values[i]);
	}
	ReleaseTupleDesc(desc);
	return found;
}

bool
value_has_label(LabelSearch *search, Oid typid, Datum value)
{
	check_stack_depth();
	if (typid == search->enumtype)
		return DatumGetObjectId(value) == search->label;
	if (!list_member_oid(search->types, typid))
		return false;
	switch (get_typtype(typid))
	{
		case TYPTYPE_DOMAIN:
			return value_has_label(search, getBaseType(typid), value);
		case TYPTYPE_RANGE:
			return range_has_label(search, typid, value);
		case TYPTYPE_MULTIRANGE:
			return multirange_has_label(search, typid, value);
		case TYPTYPE_COMPOSITE:
			return row_has_label(search, value);
		default:
			if (type_is_array(typid))
				return array_has_label(search, get_element_type(typid), value);
			return false;
	}
}

/* ---- in tables ---- */

typedef struct TableColumns
{
	Oid			relid;
	List	   *columns;		/* attribute numbers */
} TableColumns;

static int
compare_tables(const ListCell *a, const ListCell *b)
{
	const TableColumns *one = lfirst(a);
	const TableColumns *other = lfirst(b);

	return one->relid < other->relid ? -1 : one->relid > other->relid;
}

/* Columns of the searched types by table, in the order of locking. */
static List *
tables_to_scan(LabelSearch *search)
{
	List	   *tables = NIL;
	List	   *columns = type_columns(search->types);
	ListCell   *lc;

	foreach(lc, columns)
	{
		ObjectAddress *column = lfirst(lc);
		TableColumns *table = NULL;
		ListCell   *known;

		foreach(known, tables)
			if (((TableColumns *) lfirst(known))->relid == column->objectId)
				table = lfirst(known);
		if (table == NULL)
		{
			table = palloc0(sizeof(TableColumns));
			table->relid = column->objectId;
			tables = lappend(tables, table);
		}
		table->columns = list_append_unique_int(table->columns, column->objectSubId);
	}
	list_sort(tables, compare_tables);
	return tables;
}

static void
report_rows(LabelSearch *search, Relation rel, AttrNumber attnum, int64 rows)
{
	char	   *table = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
												   RelationGetRelationName(rel));
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	const char *column = quote_identifier(NameStr(att->attname));
	char	   *condition;

	if (getBaseType(att->atttypid) == search->enumtype)
		condition = psprintf("%s = %s", column, quote_literal_cstr(search->name));
	else
		condition = psprintf("pg_catalog.strpos(%s::pg_catalog.text, %s) > 0",
							 column, quote_literal_cstr(search->name));
	search->uses = lappend(search->uses,
						   psprintf(INT64_FORMAT " rows: SELECT * FROM %s WHERE %s",
									rows, table, condition));
}

/*
 * The value that rows written before ADD COLUMN have: it is stored once, and
 * read by pg_upgrade even if no row shows it any more.
 */
static bool
missing_value_has_label(LabelSearch *search, Relation rel, AttrNumber attnum)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(RelationGetRelid(rel)),
										Int16GetDatum(attnum));
	Datum		missing;
	bool		isnull;
	bool		found = false;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for attribute %d of relation %u",
			 attnum, RelationGetRelid(rel));
	missing = SysCacheGetAttr(ATTNUM, tuple, Anum_pg_attribute_attmissingval, &isnull);
	if (!isnull)
		found = array_has_label(search, att->atttypid, missing);
	ReleaseSysCache(tuple);
	return found;
}

static void
report_missing_value(LabelSearch *search, Relation rel, AttrNumber attnum)
{
	char	   *table = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
												   RelationGetRelationName(rel));
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);

	search->uses = lappend(search->uses,
						   psprintf("value of column %s for rows older than it: VACUUM FULL %s",
									quote_identifier(NameStr(att->attname)), table));
}

/*
 * What a rollback kept comes back by its redo, which brings the label back
 * before it needs it.
 */
static bool
is_kept_for_redo(Oid relid)
{
	Kept	   *kept = is_vaulted_table(relid) ?
	kept_of_relation(topmost_relation(relid)) : NULL;
	Oid			type = INT8OID;
	Datum		arg;

	if (kept == NULL)
		return false;
	arg = Int64GetDatum(kept->migration);
	return history_migrations("m.id OPERATOR(pg_catalog.=) $1"
							  " AND m.kind OPERATOR(pg_catalog.=) 'rollback'",
							  1, &type, &arg) != NIL;
}

/* How many rows have it in each of the columns. */
static int64 *
scan_table(LabelSearch *search, Relation rel, List *columns)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "safemig enum value",
												  ALLOCSET_DEFAULT_SIZES);
	int64	   *rows = palloc0(list_length(columns) * sizeof(int64));
	Progress	progress;
	ListCell   *lc;

	progress_begin_scan(&progress, PROGRESS_READING, rel);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		CHECK_FOR_INTERRUPTS();
		progress_row(&progress, slot);
		foreach(lc, columns)
		{
			AttrNumber	attnum = lfirst_int(lc);
			bool		isnull;
			Datum		value = slot_getattr(slot, attnum, &isnull);

			if (!isnull &&
				value_has_label(search, TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atttypid,
								value))
				rows[foreach_current_index(lc)]++;
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	progress_end(&progress);
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	MemoryContextDelete(context);
	return rows;
}

static void
find_in_table(LabelSearch *search, Relation rel, List *columns)
{
	int64	   *rows = scan_table(search, rel, columns);
	bool		for_redo = is_kept_for_redo(RelationGetRelid(rel));
	ListCell   *lc;

	foreach(lc, columns)
	{
		AttrNumber	attnum = lfirst_int(lc);
		int64		found = rows[foreach_current_index(lc)];
		bool		missing = found == 0 && missing_value_has_label(search, rel, attnum);

		if (for_redo)
			search->for_redo |= found > 0 || missing;
		else if (found > 0)
			report_rows(search, rel, attnum, found);
		else if (missing)
			report_missing_value(search, rel, attnum);
	}
}

/* SHARE: nobody writes to a table from here to the end of the transaction. */
void
find_in_tables(LabelSearch *search)
{
	ListCell   *lc;

	foreach(lc, tables_to_scan(search))
	{
		TableColumns *table = lfirst(lc);
		char		relkind = get_rel_relkind(table->relid);
		Relation	rel;

		if (relkind != RELKIND_RELATION && relkind != RELKIND_MATVIEW)
			continue;
		rel = try_table_open(table->relid, ShareLock);
		if (rel == NULL)
			continue;
		if (RELATION_IS_OTHER_TEMP(rel))
			search->uses = lappend(search->uses,
								   psprintf("temporary table %s of another session has a column of the type",
											RelationGetRelationName(rel)));
		else
			find_in_table(search, rel, table->columns);
		table_close(rel, NoLock);
	}
}

/* ---- in copies of columns ---- */

/*
 * A copy holds text (or what the type sends).  What a rollback kept is for
 * its redo, which brings the label back before it needs it; what has been put
 * back is not needed any more.
 */
static const char kept_query[] =
"SELECT k.identity, k.part, k.vault_schema, k.vault_name,"
" k.details[pg_catalog.array_position(k.details, 'value.stored') + 1],"
" k.details[pg_catalog.array_position(k.details, 'type') + 1],"
" k.details[pg_catalog.array_position(k.details, 'missing') + 1]"
" FROM safemig.kept_log k"
" JOIN safemig.migration_log m ON m.id OPERATOR(pg_catalog.=) k.migration"
" JOIN safemig.incarnation i ON i.marker OPERATOR(pg_catalog.=)"
" pg_catalog.split_part(k.details[pg_catalog.array_position(k.details, 'incarnation') + 1], '/', 1)"
" WHERE k.state OPERATOR(pg_catalog.=) 'kept'"
" AND k.kind IN ('column', 'values')"
" AND m.kind OPERATOR(pg_catalog.<>) 'rollback'"
" AND k.details[pg_catalog.array_position(k.details, 'restored') + 1] IS DISTINCT FROM 'true'";

typedef struct KeptColumn
{
	char	   *identity;
	char	   *part;
	char	   *table;			/* NULL: no value was kept */
	bool		binary;
	Oid			typid;
	char	   *missing;
} KeptColumn;

/* Copies of columns of the searched types. */
static List *
kept_columns(LabelSearch *search)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *columns = NIL;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute(kept_query, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kept_log");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		char	   *fields[7];
		KeptColumn *column = palloc0(sizeof(KeptColumn));

		for (int f = 0; f < 7; f++)
			fields[f] = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, f + 1);
		column->identity = fields[0];
		column->part = fields[1];
		if (fields[2] && fields[3] && fields[4])
			column->table = quote_qualified_identifier(fields[2], fields[3]);
		column->binary = fields[4] && fields[4][0] == 'b';
		column->typid = fields[5] ? atooid(fields[5]) : InvalidOid;
		column->missing = fields[6];
		if (list_member_oid(search->types, column->typid))
			columns = lappend(columns, column);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return columns;
}

static int64
count_rows(const char *query)
{
	bool		isnull;
	int64		result;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute(query, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not count: %s", query);
	result = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
										 SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return result;
}

static char *
kept_condition(LabelSearch *search, KeptColumn *column)
{
	const char *name = quote_identifier(column->part);
	const char *label = quote_literal_cstr(search->name);

	if (column->binary)
		return psprintf("pg_catalog.position(%s, pg_catalog.convert_to(%s, pg_catalog.getdatabaseencoding())) OPERATOR(pg_catalog.>) 0",
						name, label);
	if (getBaseType(column->typid) == search->enumtype)
		return psprintf("%s OPERATOR(pg_catalog.=) %s", name, label);
	return psprintf("pg_catalog.strpos(%s, %s) OPERATOR(pg_catalog.>) 0", name, label);
}

/* Values that a later rollback would want to put back. */
void
find_in_kept(LabelSearch *search)
{
	ListCell   *lc;

	foreach(lc, kept_columns(search))
	{
		KeptColumn *column = lfirst(lc);
		char	   *from;
		int64		rows;

		if (column->missing && strstr(column->missing, search->name))
			search->uses = lappend(search->uses,
								   psprintf("kept default of column %s of %s",
											quote_identifier(column->part), column->identity));
		if (column->table == NULL)
			continue;
		from = psprintf("FROM %s WHERE %s", column->table,
						kept_condition(search, column));
		rows = count_rows(psprintf("SELECT pg_catalog.count(*) %s", from));
		if (rows > 0)
			search->uses = lappend(search->uses,
								   psprintf(INT64_FORMAT " kept values of column %s of %s: SELECT * %s",
											rows, quote_identifier(column->part),
											column->identity, from));
	}
}
