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

#define PRESENT			"present"
#define FIXED_COLUMNS	4		/* place, xid, cid, value */

/*
 * Keys follow as k1, k2 ...; for a keyless copy k1 is the row's ordinal, or what
 * it holds, and s1, s2 ... are values of columns that are back already, as text.
 * After a rewrite only the rows that it wrote have an ordinal.
 */
static TupleDesc
present_descriptor(Relation rel, const CopyShape *shape, AttrNumber attnum)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	TupleDesc	desc = CreateTemplateTupleDesc(FIXED_COLUMNS + Max(shape->nkeys, 1) +
												   shape->nsiblings);

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
	for (int i = 0; i < shape->nsiblings; i++)
		TupleDescInitEntry(desc, FIXED_COLUMNS + 2 + i, psprintf("s%d", i + 1),
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
	nulls[4] = shape->by_content ? !content_may_match(shape->writers, slot) :
		ordinal == 0;
	values[4] = shape->by_content && !nulls[4] ? content_of_row(shape, slot) :
		Int64GetDatum(ordinal);
	for (int i = 0; i < shape->nkeys; i++)
	{
		StoredColumn *key = &shape->keys[i];
		int			at = FIXED_COLUMNS + i;

		values[at] = slot_getattr(slot, key->attnum, &nulls[at]);
		if (!nulls[at])
			values[at] = stored_from_value(key, values[at]);
	}
	for (int i = 0; i < shape->nsiblings; i++)
		values[FIXED_COLUMNS + 1 + i] = value_as_text(&shape->siblings[i], slot,
													  &nulls[FIXED_COLUMNS + 1 + i]);
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

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old;
		bool		counts = !stamp.valid || stamp_is_on(&stamp, slot);

		CHECK_FOR_INTERRUPTS();
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

/* The siblings' values as the copy's query has them: s1, s2 ... */
static char *
sibling_names(const CopyShape *shape)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < shape->nsiblings; i++)
		appendStringInfo(&sql, ", s%d.%s::pg_catalog.text COLLATE pg_catalog.\"C\" AS s%d",
						 i + 1, quote_identifier(shape->siblings[i].name), i + 1);
	return sql.data;
}

/*
 * The same for a copy whose rows are known by what they hold: of rows that are
 * the same the first is the first.
 */
static char *
content_query(const Kept *kept, const CopyShape *shape)
{
	const char *ordinal = copy_ordinal_name(kept->part);
	StringInfoData present;		/* of the rows of now: s1, s2 ... */
	StringInfoData copied;		/* of those of the copy */
	StringInfoData copies;
	StringInfoData same;

	initStringInfo(&present);
	initStringInfo(&copied);
	initStringInfo(&copies);
	initStringInfo(&same);
	for (int i = 0; i < shape->nsiblings; i++)
	{
		const char *name = shape->siblings[i].name;

		appendStringInfo(&present, ", s%d", i + 1);
		appendStringInfo(&copied, ", s%d.%s::pg_catalog.text", i + 1,
						 quote_identifier(name));
		appendStringInfo(&copies, " LEFT JOIN %s s%d ON s%d.%s OPERATOR(pg_catalog.=) k.%s",
						 shape->sibling_copies[i], i + 1, i + 1,
						 copy_ordinal_name(name), ordinal);
		appendStringInfo(&same, " AND t.s%d COLLATE pg_catalog.\"C\" IS NOT DISTINCT FROM c.s%d",
						 i + 1, i + 1);
	}
	return psprintf("SELECT t.place, t.xid, t.cid, t.value, c.o IS NOT NULL, c.v, c.w"
					" FROM (SELECT *,"
					"  pg_catalog.row_number() OVER (PARTITION BY k1%s ORDER BY place) AS n"
					"  FROM " PRESENT ") t"
					" LEFT JOIN (SELECT k.%s AS o, k.%s AS k, k.%s AS v, %s AS w,"
					"  pg_catalog.row_number() OVER (PARTITION BY k.%s%s ORDER BY k.%s) AS n%s"
					"  FROM %s k%s) c"
					" ON t.k1 OPERATOR(pg_catalog.=) c.k AND t.n OPERATOR(pg_catalog.=) c.n%s"
					" ORDER BY t.place",
					present.data,
					ordinal, copy_content_name(shape), quote_identifier(kept->part),
					shape->has_converted ?
					psprintf("k.%s", quote_identifier(shape->converted.name)) :
					"NULL::pg_catalog.text",
					copy_content_name(shape), copied.data, ordinal,
					sibling_names(shape), copy_name(kept), copies.data, same.data);
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
