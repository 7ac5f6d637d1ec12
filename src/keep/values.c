/*-------------------------------------------------------------------------
 *
 * values.c
 *	  Finds the value that each row gets when its column takes an old type
 *	  back.
 *
 * It is the kept one, if the value was not changed since the conversion: the
 * row is as the conversion wrote it (its transaction says so), or its value is
 * the one that the conversion gave.  Otherwise it is the row's value, cast
 * back; and this must lose nothing (convert.c).
 *
 * The values of a relation are put into a tuplestore in the order of the
 * rows' places, in which ALTER TABLE will ask for them (retype.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "keep/column.h"
#include "keep/convert.h"
#include "keep/retype.h"
#include "progress.h"

#define FETCH_ROWS	1000

/* ---- the rows ---- */

static RestoredRows *
add_relation(Retyped *column, Oid relid)
{
	RestoredRows *rows = palloc0(sizeof(RestoredRows));

	rows->relid = relid;
	rows->desc = CreateTemplateTupleDesc(2);
	TupleDescInitEntry(rows->desc, 1, "place", TIDOID, -1, 0);
	TupleDescInitEntry(rows->desc, 2, "value", getBaseType(column->typid), -1, 0);
	rows->store = tuplestore_begin_heap(false, false, work_mem);
	rows->slot = MakeSingleTupleTableSlot(rows->desc, &TTSOpsMinimalTuple);
	column->relations = lappend(column->relations, rows);
	return rows;
}

/* Is the row's value what the conversion gave, as far as that is on record? */
static bool
is_as_converted(CopyShape *shape, const ConvertedRow *row, Datum converted,
				bool isnull)
{
	int16		typlen;
	bool		typbyval;

	if (isnull || row->now_isnull)
		return isnull && row->now_isnull;
	get_typlenbyval(stored_column_type(&shape->converted), &typlen, &typbyval);
	return datum_image_eq(stored_from_value(&shape->converted, row->now),
						  converted, typbyval, typlen);
}

static void
read_row(ConvertedRow *row, HeapTuple tuple, TupleDesc desc, const Stamp *stamp,
		 CopyShape *shape)
{
	bool		isnull;
	TransactionId xmin = DatumGetTransactionId(SPI_getbinval(tuple, desc, 2, &isnull));
	CommandId	cmin = DatumGetCommandId(SPI_getbinval(tuple, desc, 3, &isnull));
	Datum		converted;

	memset(row, 0, sizeof(ConvertedRow));
	row->place = (ItemPointer) DatumGetPointer(SPI_getbinval(tuple, desc, 1, &isnull));
	row->now = SPI_getbinval(tuple, desc, 4, &row->now_isnull);
	row->has_kept = DatumGetBool(SPI_getbinval(tuple, desc, 5, &isnull));
	if (!row->has_kept)
		return;
	row->untouched = stamp_is(stamp, xmin, cmin);
	row->kept = SPI_getbinval(tuple, desc, 6, &row->kept_isnull);
	if (!row->kept_isnull)
		row->kept = stored_to_value(&shape->value, row->kept);
	row->computable = !shape->has_converted;
	if (shape->has_converted && !row->untouched)
	{
		converted = SPI_getbinval(tuple, desc, 7, &isnull);
		row->untouched = is_as_converted(shape, row, converted, isnull);
	}
}

/*
 * Casts run under the settings that the change of type ran under; a key's
 * text is made under the pinned ones.
 */
static int64
convert_under_settings(Conversion *conversion, ConvertedRow *rows, int nrows,
					   const Kept *kept)
{
	int			level = NewGUCNestLevel();
	int64		misfits;

	if (kept)
		kept_set_conversion_settings(kept);
	misfits = convert_rows(conversion, rows, nrows);
	AtEOXact_GUC(false, level);
	return misfits;
}

/* One batch, from the query to the store. */
static int64
find_batch(RestoredRows *rows, Conversion *conversion,
		   const Stamp *stamp, CopyShape *shape, const Kept *kept)
{
	bool		by_content = shape->by_content;
	SPITupleTable *fetched = SPI_tuptable;
	int			nrows = (int) fetched->numvals;
	ConvertedRow *batch = palloc(nrows * sizeof(ConvertedRow));
	int64		misfits;

	for (int i = 0; i < nrows; i++)
	{
		read_row(&batch[i], fetched->vals[i], fetched->tupdesc, stamp, shape);
		if (safemig_state.on_conflict == CONFLICT_RESTORE && batch[i].has_kept)
			batch[i].untouched = true;
		/* in a column that is back, what has no value gets its kept one */
		if (kept && strcmp(kept->kind, "column") == 0)
			batch[i].untouched = batch[i].has_kept && batch[i].now_isnull;
	}
	misfits = convert_under_settings(conversion, batch, nrows, kept);
	for (int i = 0; i < nrows; i++)
	{
		Datum		values[2] = {PointerGetDatum(batch[i].place), batch[i].result};
		bool		nulls[2] = {false, batch[i].result_isnull || batch[i].misfit};

		tuplestore_putvalues(rows->store, rows->desc, values, nulls);
		if (batch[i].is_kept)
			rows->restored++;
		else
			rows->later++;
		rows->unkept += !batch[i].has_kept;
		rows->found += batch[i].has_kept && (by_content || !batch[i].kept_isnull);
	}
	return misfits;
}

/* A query that lists the rows whose values do not fit. */
static char *
misfit_query(Relation rel, AttrNumber attnum, const Retyped *column,
			 const Stamp *stamp)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT * FROM ONLY %s WHERE NOT " SAFEMIG_SCHEMA ".value_fits(%s, %s)",
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
												RelationGetRelationName(rel)),
					 quote_identifier(get_attname(RelationGetRelid(rel), attnum, false)),
					 quote_literal_cstr(format_type_with_typemod(column->typid,
																 column->typmod)));
	if (stamp->valid)
		appendStringInfo(&sql, " AND xmin <> '%u'", stamp->xid);
	return sql.data;
}

static void
refuse_keyless(const Kept *kept, int64 rows)
{
	ereport(ERROR,
			(errcode(ERRCODE_SAFEMIG_CONFLICT),
			 errmsg("the old values of column \"%s\" of %s %s cannot be put back into their rows",
					kept->part, kept->object_type, kept->identity),
			 errdetail("The table has no key, and was written since: %lld of %lld rows are as they were.",
					   (long long) rows, (long long) kept->rows),
			 errhint("The kept rows are in %s, in the order that they had.",
					 copy_name(kept))));
}

static void
find_values(Retyped *column, Relation rel, AttrNumber attnum, const Kept *kept,
			CopyShape *shape)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	RestoredRows *rows = add_relation(column, RelationGetRelid(rel));
	Stamp		stamp = stamp_read(kept);
	Present		present = present_open(rel, attnum, kept, shape, false);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "safemig restore",
												  ALLOCSET_DEFAULT_SIZES);
	Conversion *conversion;
	Progress	progress;
	int64		done = 0;
	int64		misfits = 0;
	Frame		frame;

	progress_begin(&progress, PROGRESS_MATCHING, rel, -1);
	frame_become(&frame, rel->rd_rel->relowner);
	frame_lend_for_rows(&frame, rel->rd_rel->relowner, rel);
	conversion = conversion_make(column->typid, column->typmod, att->atttypid,
								 att->atttypmod);
	for (;;)
	{
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(present.portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		progress_at(&progress, done += SPI_processed);
		old = MemoryContextSwitchTo(context);
		misfits += find_batch(rows, conversion, &stamp, shape, kept);
		MemoryContextSwitchTo(old);
		SPI_freetuptable(SPI_tuptable);
		MemoryContextReset(context);
	}
	frame_unpin(&frame);
	progress_end(&progress);
	present_close(&present);
	MemoryContextDelete(context);
	if (misfits > 0 && column->misfits == 0)
		column->misfit_query = misfit_query(rel, attnum, column, &stamp);
	column->misfits += misfits;
	if (shape->by_content)
	{
		if (rows->found < kept->rows && rows->unkept > 0)
			refuse_keyless(kept, rows->found);
		astray_note(kept, rel, shape, kept->rows - rows->found, rows->unkept);
	}
	else if (shape->nkeys > 0 && strcmp(kept->kind, "values") == 0)
		astray_note(kept, rel, shape,
					kept_number(kept, "values") - rows->found, rows->unkept);
}

/* Rows are known by their places, or else by what they hold. */
static void
check_keyless(Relation rel, const Kept *kept, CopyShape *shape)
{
	StampedRows places;

	if (!place_rows_bear_stamp(rel, kept, &places) &&
		!content_is_known(kept, rel, shape))
		refuse_keyless(kept, places.stamped);
}

/*
 * Finds the values of one relation.  kept may be NULL: then all rows are
 * cast.
 */
void
retyped_find_values(Retyped *column, Relation rel, const Kept *kept)
{
	AttrNumber	attnum = get_attnum(RelationGetRelid(rel), column->name);
	CopyShape	shape;

	memset(&shape, 0, sizeof(shape));
	if (kept && kept->vault_name)
	{
		copy_prove(kept);
		kept_shape(kept, rel, attnum, &shape);
		/* what the copy holds is of the old type */
		stored_column_init(&shape.value, column->typid, column->typmod);
		stored_column_set_form(&shape.value,
							   (StoredForm) kept_detail(kept, "value.stored")[0]);
		if (shape.nkeys == 0)
			check_keyless(rel, kept, &shape);
	}
	find_values(column, rel, attnum, kept, &shape);
}
