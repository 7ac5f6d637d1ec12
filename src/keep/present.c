/*-------------------------------------------------------------------------
 *
 * present.c
 *	  The rows of a table as they are now, to be joined to a copy.
 *
 * The rows are read by a scan in C into a tuplestore, with their keys in the
 * form in which the copy has them, and only that is shown to SQL, under the
 * name "present".  A query over the table itself would not do: planning it
 * may evaluate the table's index expressions, which is anybody's code, as the
 * extension's owner, for nobody else may read the copy.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "keep/column.h"
#include "progress.h"

#define PRESENT			"present"
#define FIXED_COLUMNS	4		/* place, xid, cid, value */

/*
 * Keys follow as k1, k2 ...; for a keyless copy k1 is the row's ordinal, or what
 * it holds.  Then "held" is whether it has its value still, v this value as
 * text, and s1, s2 ... are those of columns that are back already.  After a
 * rewrite only the rows that it wrote have an ordinal.
 */
static TupleDesc
present_descriptor(Relation rel, const CopyShape *shape, AttrNumber attnum)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	int			natts = FIXED_COLUMNS + Max(shape->nkeys, 1) +
	(shape->by_content ? 2 + shape->nsiblings : 0);
	TupleDesc	desc = CreateTemplateTupleDesc(natts);

	TupleDescInitEntry(desc, 1, "place", TIDOID, -1, 0);
	TupleDescInitEntry(desc, 2, "xid", XIDOID, -1, 0);
	TupleDescInitEntry(desc, 3, "cid", CIDOID, -1, 0);
	TupleDescInitEntry(desc, 4, "value", att->atttypid, att->atttypmod, 0);
	if (shape->nkeys == 0)
		TupleDescInitEntry(desc, FIXED_COLUMNS + 1, "k1",
						   shape->by_content ? UUIDOID : INT8OID, -1, 0);
	for (int i = 0; i < shape->nkeys; i++)
		TupleDescInitEntry(desc, FIXED_COLUMNS + 1 + i, psprintf("k%d", i + 1),
						   stored_column_type(&shape->keys[i]), -1, 0);
	if (!shape->by_content)
		return desc;
	TupleDescInitEntry(desc, FIXED_COLUMNS + 2, "held", BOOLOID, -1, 0);
	TupleDescInitEntry(desc, FIXED_COLUMNS + 3, "v", TEXTOID, -1, 0);
	for (int i = 0; i < shape->nsiblings; i++)
		TupleDescInitEntry(desc, FIXED_COLUMNS + 4 + i, psprintf("s%d", i + 1),
						   TEXTOID, -1, 0);
	return desc;
}

static Datum
value_as_text(StoredColumn *column, TupleTableSlot *slot, bool *isnull)
{
	Datum		value = slot_getattr(slot, column->attnum, isnull);
	Oid			output;
	bool		varlena;

	if (*isnull)
		return (Datum) 0;
	getTypeOutputInfo(stored_column_type(column), &output, &varlena);
	return CStringGetTextDatum(OidOutputFunctionCall(output,
													 stored_from_value(column, value)));
}

static void
put_content(Datum *values, bool *nulls, TupleTableSlot *slot, CopyShape *shape)
{
	nulls[0] = !content_may_match(shape->writers, slot);
	if (!nulls[0])
		values[0] = content_of_row(shape, slot);
	values[1] = BoolGetDatum(shape->holds_values &&
							 content_is_untouched(shape->writers, slot));
	nulls[1] = false;
	nulls[2] = true;
	if (DatumGetBool(values[1]))
		values[2] = value_as_text(&shape->value, slot, &nulls[2]);
	for (int i = 0; i < shape->nsiblings; i++)
		values[3 + i] = value_as_text(&shape->siblings[i], slot, &nulls[3 + i]);
}

static void
put_row(Tuplestorestate *store, TupleDesc desc, TupleTableSlot *slot,
		CopyShape *shape, AttrNumber attnum, int64 ordinal)
{
	Datum	   *values = palloc(desc->natts * sizeof(Datum));
	bool	   *nulls = palloc(desc->natts * sizeof(bool));

	values[0] = PointerGetDatum(&slot->tts_tid);
	nulls[0] = false;
	values[1] = slot_getsysattr(slot, MinTransactionIdAttributeNumber, &nulls[1]);
	values[2] = slot_getsysattr(slot, MinCommandIdAttributeNumber, &nulls[2]);
	values[3] = slot_getattr(slot, attnum, &nulls[3]);
	values[4] = Int64GetDatum(ordinal);
	nulls[4] = ordinal == 0;
	for (int i = 0; i < shape->nkeys; i++)
	{
		StoredColumn *key = &shape->keys[i];
		int			at = FIXED_COLUMNS + i;

		values[at] = slot_getattr(slot, key->attnum, &nulls[at]);
		if (!nulls[at])
			values[at] = stored_from_value(key, values[at]);
	}
	if (shape->by_content)
		put_content(values + FIXED_COLUMNS, nulls + FIXED_COLUMNS, slot, shape);
	tuplestore_putvalues(store, desc, values, nulls);
}

/* Reads the rows, or those whose value is NULL; as the table's owner. */
static int64
read_rows(Relation rel, const Kept *kept, CopyShape *shape, AttrNumber attnum,
		  bool only_null, TupleDesc desc, Present *present)
{
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "safemig present rows",
												  ALLOCSET_DEFAULT_SIZES);
	Snapshot	snapshot;
	TableScanDesc scan = plain_scan_begin(rel, &snapshot);
	Stamp		stamp = stamp_read(kept);
	int64		ordinal = 0;
	int64		rows = 0;
	Progress	progress;

	progress_begin_scan(&progress, PROGRESS_READING, rel);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old;
		bool		counts = !stamp.valid || stamp_is_on(&stamp, slot);

		CHECK_FOR_INTERRUPTS();
		progress_row(&progress, slot);
		ordinal += counts;
		if (only_null && !slot_attisnull(slot, attnum))
		{
			present->valued++;
			continue;
		}
		old = MemoryContextSwitchTo(context);
		put_row(present->store, desc, slot, shape, attnum,
				counts ? ordinal : 0);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
		rows++;
	}
	progress_end(&progress);
	plain_scan_end(scan, snapshot);
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextDelete(context);
	return rows;
}

/*
 * "Row c of the copy is of row t", as a condition.  The key may have another
 * type by now, to which the cast is lossless (lossless.c).  Text is compared
 * byte by byte: the key's own collation may not exist any more, and what it
 * calls equal may not be the same row.
 */
static char *
match_condition(const Kept *kept, const CopyShape *shape)
{
	StringInfoData sql;

	initStringInfo(&sql);
	if (shape->nkeys == 0)
		appendStringInfo(&sql, "t.k1 OPERATOR(pg_catalog.=) c.%s",
						 copy_ordinal_name(kept->part));
	for (int i = 0; i < shape->nkeys; i++)
	{
		Oid			type = stored_column_type(&shape->keys[i]);
		const char *collate = "";

		if (OidIsValid(get_typcollation(type)))
			collate = " COLLATE pg_catalog.\"C\"";
		appendStringInfo(&sql, "%st.k%d%s OPERATOR(pg_catalog.=) c.%s::%s%s",
						 i > 0 ? " AND " : "", i + 1, collate,
						 quote_identifier(shape->keys[i].name),
						 format_type_be_qualified(type), collate);
	}
	return sql.data;
}

/*
 * The same for a copy whose rows are known by what they hold.  A row that still
 * has its value takes a row of the copy with that value; of the others that are
 * the same the first is the first.
 */
static char *
content_query(const Kept *kept, const CopyShape *shape)
{
	const char *ordinal = copy_ordinal_name(kept->part);
	StringInfoData names;		/* , s1, s2 ... */
	StringInfoData texts;		/* the same, of the copies */
	StringInfoData copies;
	StringInfoData same;		/* AND t.s1 is c.s1 ... */

	initStringInfo(&names);
	initStringInfo(&texts);
	initStringInfo(&copies);
	initStringInfo(&same);
	for (int i = 0; i < shape->nsiblings; i++)
	{
		const char *name = shape->siblings[i].name;

		appendStringInfo(&names, ", s%d", i + 1);
		appendStringInfo(&texts, ", s%d.%s::pg_catalog.text COLLATE pg_catalog.\"C\" AS s%d",
						 i + 1, quote_identifier(name), i + 1);
		appendStringInfo(&copies, " LEFT JOIN %s s%d ON s%d.%s OPERATOR(pg_catalog.=) k.%s",
						 shape->sibling_copies[i], i + 1, i + 1,
						 copy_ordinal_name(name), ordinal);
		appendStringInfo(&same, " AND t.s%d COLLATE pg_catalog.\"C\" IS NOT DISTINCT FROM c.s%d",
						 i + 1, i + 1);
	}
	return psprintf("WITH t AS (SELECT *, pg_catalog.row_number() OVER"
					"  (PARTITION BY held, k1, v%s ORDER BY place) AS n FROM " PRESENT "),"
					" k AS (SELECT k.%s AS o, k.%s AS k, k.%s AS value, %s AS w,"
					"  k.%s::pg_catalog.text COLLATE pg_catalog.\"C\" AS v%s FROM %s k%s),"
					" c AS (SELECT *, pg_catalog.row_number() OVER"
					"  (PARTITION BY k, v%s ORDER BY o) AS n FROM k),"
					" held AS (SELECT t.place, c.o, c.value, c.w FROM t JOIN c"
					"  ON t.held AND t.k1 OPERATOR(pg_catalog.=) c.k"
					"  AND t.n OPERATOR(pg_catalog.=) c.n"
					"  AND t.v COLLATE pg_catalog.\"C\" IS NOT DISTINCT FROM c.v%s),"
					" rest AS (SELECT o, k, value, w%s, pg_catalog.row_number() OVER"
					"  (PARTITION BY k%s ORDER BY o) AS n FROM k"
					"  WHERE NOT EXISTS (SELECT FROM held"
					"   WHERE held.o OPERATOR(pg_catalog.=) k.o))"
					" SELECT t.place, t.xid, t.cid, t.value,"
					"  held.o IS NOT NULL OR c.o IS NOT NULL,"
					"  CASE WHEN held.o IS NULL THEN c.value ELSE held.value END,"
					"  CASE WHEN held.o IS NULL THEN c.w ELSE held.w END"
					" FROM t LEFT JOIN held ON held.place OPERATOR(pg_catalog.=) t.place"
					" LEFT JOIN rest c ON NOT t.held AND t.k1 OPERATOR(pg_catalog.=) c.k"
					"  AND t.n OPERATOR(pg_catalog.=) c.n%s"
					" ORDER BY t.place",
					names.data,
					ordinal, copy_content_name(shape), quote_identifier(kept->part),
					shape->has_converted ?
					psprintf("k.%s", quote_identifier(shape->converted.name)) :
					"NULL::pg_catalog.text",
					quote_identifier(kept->part), texts.data, copy_name(kept), copies.data,
					names.data, same.data, names.data, names.data, same.data);
}

/*
 * Place, transaction, command, present value, whether the copy has the row,
 * kept value, what a conversion made of it.
 */
static char *
present_query(const Kept *kept, const CopyShape *shape, bool only_null)
{
	const char *value;

	if (kept == NULL || kept->vault_name == NULL)
		return "SELECT t.place, t.xid, t.cid, t.value, false,"
			" NULL::pg_catalog.text, NULL::pg_catalog.text"
			" FROM " PRESENT " t ORDER BY t.place";
	if (shape->by_content)
		return content_query(kept, shape);
	value = quote_identifier(kept->part);
	return psprintf("SELECT t.place, t.xid, t.cid, t.value,"
					" c.tableoid IS NOT NULL, c.%s, %s%s"
					" FROM " PRESENT " t LEFT JOIN %s c ON %s%s%s%s ORDER BY t.place",
					value,
					shape->has_converted ? "c." : "NULL::pg_catalog.text",
					shape->has_converted ? quote_identifier(shape->converted.name) : "",
					copy_name(kept), match_condition(kept, shape),
					only_null ? " WHERE c.tableoid IS NULL OR c." : "",
					only_null ? value : "", only_null ? " IS NOT NULL" : "");
}

/*
 * Opens a cursor over the present rows in the order of their places, each with
 * its row of the copy (kept may be NULL: there is none).  only_null: of rows
 * whose value is NULL, those that the copy does not have or has a value for.
 */
Present
present_open(Relation rel, AttrNumber attnum, const Kept *kept,
			 CopyShape *shape, bool only_null)
{
	EphemeralNamedRelation named = palloc0(sizeof(EphemeralNamedRelationData));
	TupleDesc	desc = present_descriptor(rel, shape, attnum);
	Present		present;
	Frame		frame;

	present.store = tuplestore_begin_heap(true, false, work_mem);
	present.valued = 0;
	frame_become(&frame, rel->rd_rel->relowner);
	named->md.enrtuples = read_rows(rel, kept, shape, attnum, only_null,
									desc, &present);
	frame_unpin(&frame);
	named->md.name = PRESENT;
	named->md.reliddesc = InvalidOid;
	named->md.tupdesc = desc;
	named->md.enrtype = ENR_NAMED_TUPLESTORE;
	named->reldata = present.store;
	if (SPI_register_relation(named) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register the present rows");

	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	present.portal = SPI_cursor_open_with_args("safemig present",
											   present_query(kept, shape, only_null),
											   0, NULL, NULL, NULL, true, 0);
	PopActiveSnapshot();
	return present;
}

void
present_close(Present *present)
{
	SPI_cursor_close(present->portal);
	if (SPI_unregister_relation(PRESENT) != SPI_OK_REL_UNREGISTER)
		elog(ERROR, "could not unregister the present rows");
	tuplestore_end(present->store);
}
