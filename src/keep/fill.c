/*-------------------------------------------------------------------------
 *
 * fill.c
 *	  Puts values into a column that is back: what the revival could not bring.
 *
 * A row that was written while the column was dropped shows NULL.  If its key
 * is in the copy, it gets the kept value; if not, it is a row written since,
 * and gets the column's default.
 *
 * What is to be done is asked by one query (present.c).  The rows are written
 * one by one as logical replication writes them, as the table's owner,
 * restricted, since that evaluates the table's checks and index expressions: no
 * trigger fires, no rule applies, no policy looks, and generated columns are
 * computed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_class.h"
#include "commands/tablecmds.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/typcache.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "history/history.h"
#include "keep/retype.h"
#include "keep/rowwriter.h"
#include "keep/vault.h"
#include "point.h"
#include "progress.h"

PG_FUNCTION_INFO_V1(fill_column);

#define FETCH_ROWS	1000

/* What becomes of the rows whose value is NULL. */
typedef enum FillWhich
{
	FILL_ALL,					/* kept value, or, without one, the expression */
	FILL_ONLY_NEW,				/* only those without one, the expression */
	FILL_AS_NEW					/* all are known to be new: the expression */
} FillWhich;

/* ---- the rows ---- */

/*
 * For a generated column that stands where it stood: the snapshot that tells
 * the rows which still hold what was computed for them, if only NULL, from
 * those written since.  Else 0.
 */
static Datum
snapshot_of_drop(Relation rel, const Kept *kept, AttrNumber attnum)
{
	const char *text = kept_detail(kept, "snapshot");

	if (text == NULL || !kept_is_same_relation(kept, RelationGetRelid(rel)) ||
		rel->rd_rel->relfilenode != (Oid) kept_number(kept, "relfilenode") ||
		attnum != (AttrNumber) kept_number(kept, "attnum"))
		return (Datum) 0;
	return place_recall_snapshot(text);
}

typedef struct FillCounts
{
	int64		found;			/* rows of the copy */
	int64		written;		/* ... that got their value */
	int64		later;			/* rows that are none */
	int64		valued;			/* not looked at, since they have a value */
} FillCounts;

/* Does the row hold the kept value? */
static bool
holds_kept(StoredColumn *stored, HeapTuple row, TupleDesc desc)
{
	bool		isnull,
				kept_isnull;
	Datum		value = SPI_getbinval(row, desc, 4, &isnull);
	Datum		kept = SPI_getbinval(row, desc, 6, &kept_isnull);
	Form_pg_attribute att = TupleDescAttr(desc, 6 - 1);

	if (isnull || kept_isnull)
		return isnull && kept_isnull;
	return datum_image_eq(stored_from_value(stored, value), kept,
						  att->attbyval, att->attlen);
}

/* One row of the query; true if it was one of the copy. */
static bool
fill_row(RowWriter *writer, StoredColumn *stored, HeapTuple row, TupleDesc desc,
		 FillCounts *counts)
{
	bool		isnull;
	bool		kept = DatumGetBool(SPI_getbinval(row, desc, 5, &isnull));
	ItemPointer place = (ItemPointer) DatumGetPointer(SPI_getbinval(row, desc, 1,
																	&isnull));
	Datum		value;

	(void) SPI_getbinval(row, desc, 4, &isnull);
	if (!kept && (writer->text == NULL || !isnull))
		return false;
	if (kept && (writer->only_new || holds_kept(stored, row, desc)))
		return true;
	if (writer->snapshot &&
		place_row_is_seen(writer->snapshot,
						  DatumGetTransactionId(SPI_getbinval(row, desc, 2, &isnull))))
		return false;
	writer_fetch(writer, place);
	if (kept)
	{
		value = SPI_getbinval(row, desc, 6, &isnull);
		writer_put(writer, isnull ? value : stored_to_value(stored, value), isnull);
		counts->written++;
		return true;
	}
	value = writer_evaluate(writer, &isnull);
	if (!isnull)
		writer_put(writer, value, false);
	return false;
}

/*
 * The rows whose value is NULL: those of the copy get the kept value, others
 * that of the expression, if there is one.  If they are known by what they
 * hold, all rows.
 */
static FillCounts
fill_rows(Relation rel, const Kept *kept, CopyShape *shape,
		  const char *expression, FillWhich which)
{
	const char *generated = kept_detail(kept, "generated");
	Present		present = present_open(rel, shape->value.attnum,
									   which == FILL_AS_NEW ? NULL : kept,
									   shape, !shape->by_content);
	RowWriter	writer;
	FillCounts	counts = {0};
	Frame		frame;
	Progress	progress;

	frame_become(&frame, rel->rd_rel->relowner);
	frame_lend_for_rows(&frame, rel->rd_rel->relowner, rel);
	writer_begin(&writer, rel, shape->value.attnum);
	writer.text = expression;
	writer.snapshot = snapshot_of_drop(rel, kept, shape->value.attnum);
	writer.only_new = which == FILL_ONLY_NEW;
	writer.generated = generated ? generated[0] : '\0';
	progress_begin(&progress, PROGRESS_PUTTING_BACK, rel, kept->rows);
	for (;;)
	{
		SPITupleTable *rows;

		SPI_cursor_fetch(present.portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		rows = SPI_tuptable;
		for (uint64 i = 0; i < rows->numvals; i++)
		{
			MemoryContext old = MemoryContextSwitchTo(writer.context);

			CHECK_FOR_INTERRUPTS();
			if (fill_row(&writer, &shape->value, rows->vals[i], rows->tupdesc,
						 &counts))
				counts.found++;
			else
				counts.later++;
			MemoryContextSwitchTo(old);
			MemoryContextReset(writer.context);
			progress_count(&progress);
		}
		SPI_freetuptable(rows);
	}
	progress_end(&progress);
	writer_end(&writer);
	frame_unpin(&frame);
	counts.valued = present.valued;
	present_close(&present);
	return counts;
}

/* ---- without a key ---- */

/* The values that are there, hashed as the copy's were. */
static void
prove_column(Relation rel, StoredColumn *column, CopyProof *proof)
{
	TupleDesc	desc = CreateTemplateTupleDesc(1);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "safemig proof",
												  ALLOCSET_DEFAULT_SIZES);
	Snapshot	snapshot;
	TableScanDesc scan = plain_scan_begin(rel, &snapshot);
	Progress	progress;

	TupleDescInitEntry(desc, 1, "value", stored_column_type(column), -1, 0);
	memset(proof, 0, sizeof(CopyProof));
	progress_begin_scan(&progress, PROGRESS_PROVING_ROWS, rel);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		bool		isnull;
		Datum		value = slot_getattr(slot, column->attnum, &isnull);

		CHECK_FOR_INTERRUPTS();
		progress_row(&progress, slot);
		proof->rows++;
		if (!isnull)
			proof_add_value(proof, TupleDescAttr(desc, 0),
							stored_from_value(column, value), false);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	progress_end(&progress);
	plain_scan_end(scan, snapshot);
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextDelete(context);
}

static void
refuse_keyless(const Kept *kept, char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_SAFEMIG_CONFLICT),
			 errmsg("the values of column \"%s\" of %s %s cannot be put back into their rows",
					kept->part, kept->object_type, kept->identity),
			 errdetail_internal("%s", detail),
			 errhint("The kept rows are in %s, in the order that they had.",
					 copy_name(kept))));
}

/*
 * The rows are not in their places: gives each what the copy has for one that
 * holds the same otherwise.  Of such rows one may have its value still and the
 * other not: all are looked at.  why says what is wrong with the places.
 */
static void
fill_by_content(Relation rel, Kept *kept, CopyShape *shape,
				const char *expression, char *why)
{
	FillCounts	counts;

	if (!content_is_known(kept, rel, shape))
		refuse_keyless(kept, why);
	counts = fill_rows(rel, kept, shape, expression, FILL_ALL);
	if (counts.found < kept->rows && counts.later > 0)
		refuse_keyless(kept,
					   psprintf("The table has no key, and was written since: %lld of %lld rows are as they were.",
								(long long) counts.found, (long long) kept->rows));
	astray_note(kept, rel, shape, kept->rows - counts.found, counts.later);
	rollback_count(RelationGetRelid(rel), counts.written, counts.later);
	kept_add_detail(kept, "by content", "true");
	history_update_kept(kept);
}

/*
 * The table was not rewritten: the revival must have brought every value.
 * What is left is the expression for the rows written since, if they can be
 * told from those that had no value before.
 */
static void
fill_around_values(Relation rel, Kept *kept, CopyShape *shape,
				   const char *expression)
{
	CopyProof	proof;
	int64		values = kept_number(kept, "values");
	int64		later;
	int64		more;

	prove_column(rel, &shape->value, &proof);
	if (proof.values != values ||
		strcmp(psprintf("%016llx", (unsigned long long) proof.value_checksum),
			   kept_detail(kept, "value_checksum")) != 0)
	{
		fill_by_content(rel, kept, shape, expression,
						psprintf("The table has no key, and was written since: %lld of %lld values are in their places.",
								 (long long) proof.values, (long long) values));
		return;
	}
	later = Max(proof.rows - kept->rows, 0);
	if (expression)
	{
		FillWhich	which = FILL_AS_NEW;

		if (values != kept->rows)
		{
			which = FILL_ONLY_NEW;
			if (!place_rows_as_copied(rel, RelationGetDescr(rel), kept,
									  shape->value.attnum, &more))
			{
				fill_by_content(rel, kept, shape, expression,
								psprintf("The table has no key, and was written since: which of the rows without a value get the default %s cannot be told.",
										 expression));
				return;
			}
		}
		later = fill_rows(rel, kept, shape, expression, which).later;
	}
	astray_note(kept, rel, shape, 0, later);
	rollback_count(RelationGetRelid(rel), 0, later);
}

/*
 * The table was rewritten without the column: the rows that the rewrite wrote
 * will get their values by another one.  Before it the others, which bear no
 * stamp, get theirs.  False if there is nothing to be rewritten: if the rows
 * are not in their places any more, they are known by what they hold.
 */
static bool
prepare_refill(Relation rel, Kept *kept, CopyShape *shape,
			  const char *expression)
{
	StampedRows places;
	List	   *others;
	ListCell   *lc;

	if (!place_rows_bear_stamp(rel, kept, &places))
	{
		fill_by_content(rel, kept, shape, expression,
						psprintf("The table has no key, and was written since: %lld of %lld rows are as they were.",
								 (long long) places.stamped, (long long) kept->rows));
		return false;
	}
	if (expression == NULL || places.rows == kept->rows)
		return true;
	/* the new rows are moved: other copies do not miss them */
	others = list_append_unique_ptr(column_keep_follow(RelationGetRelid(rel), NULL),
									&kept->id);
	(void) fill_rows(rel, kept, shape, expression, FILL_ONLY_NEW);
	foreach(lc, others)
		column_keep_recount(rel, *(int64 *) lfirst(lc));
	return true;
}

/*
 * Then it has to be so for this column too: of rows that hold the same one may
 * have got the other column's value, and this one must not have kept its own.
 */
static bool
sibling_went_by_content(const Kept *kept)
{
	ListCell   *lc;

	foreach(lc, history_find_kept(kept->migration, kept->command, kept->kind, NULL))
	{
		Kept	   *sibling = lfirst(lc);

		if (strcmp(sibling->identity, kept->identity) == 0 &&
			kept_detail(sibling, "by content"))
			return true;
	}
	return false;
}

/* The copy has done its service: a later rewrite need not follow it. */
static void
note_filled(int64 id)
{
	Kept	   *kept = history_get_kept(id);

	if (kept_detail(kept, "restored"))
		return;
	kept_add_detail(kept, "restored", "true");
	history_update_kept(kept);
}

/* ---- domains ---- */

/* What a row gets that says nothing of a column of the type, or NULL. */
static char *
default_of_type(Oid typid)
{
	Node	   *expression = get_typdefault(typid);

	return expression ? deparse_expression(expression, NIL, false, false) : NULL;
}

static bool
check_null(void *arg)
{
	void	   *extra = NULL;

	domain_check((Datum) 0, true, *(Oid *) arg, &extra, CurrentMemoryContext);
	return true;
}

static int64
count_nulls(Relation rel, AttrNumber attnum)
{
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Snapshot	snapshot;
	TableScanDesc scan = plain_scan_begin(rel, &snapshot);
	int64		nulls = 0;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		nulls += slot_attisnull(slot, attnum);
	}
	plain_scan_end(scan, snapshot);
	ExecDropSingleTupleTableSlot(slot);
	return nulls;
}

/* Rows written since have no value; the column's domain may want one. */
static void
check_domain_allows_null(const Kept *kept, Oid relid)
{
	Relation	rel = relation_open(relid, NoLock);
	AttrNumber	attnum = kept_live_column(kept, rel);
	Oid			typid = get_atttype(relid, attnum);
	ErrorData  *error;
	int64		nulls;
	Frame		frame;

	if (RELKIND_HAS_STORAGE(rel->rd_rel->relkind) && DomainHasConstraints(typid))
	{
		frame_become(&frame, rel->rd_rel->relowner);
		error = attempt(check_null, &typid);
		frame_unpin(&frame);
		nulls = error ? count_nulls(rel, attnum) - (kept->rows - kept_number(kept, "values")) : 0;
		if (nulls > 0)
			ereport(ERROR,
					(errcode(ERRCODE_SAFEMIG_CONFLICT),
					 errmsg("column \"%s\" of %s %s cannot come back: rows that were written since have no value for it",
							kept->part, kept->object_type, kept->identity),
					 errdetail("%lld rows: %s", (long long) nulls, error->message),
					 errhint("Give type %s a default, or take these rows away, before the rollback.",
							 format_type_be(typid))));
	}
	relation_close(rel, NoLock);
}

/* ---- the call ---- */

static bool
fills_every_row(const Kept *kept)
{
	return kept->vault_name == NULL &&
		(kept_detail(kept, "generated") != NULL || kept_number(kept, "rows") == 0);
}

/*
 * Fills row by row.  If values of other columns are known by the places of the
 * rows, only what hangs on no copy; then the rest is left to a rewrite, which
 * *refill asks for.
 */
static int64
fill_keyed(Relation rel, Kept *kept, CopyShape *shape, const char *expression,
		   bool *refill)
{
	FillCounts	counts;

	*refill = kept->vault_name && kept_detail(kept, "restored") == NULL &&
		column_keep_follow(RelationGetRelid(rel), NULL) != NIL;
	counts = fill_rows(rel, kept, shape, expression,
					   *refill ? FILL_ONLY_NEW : FILL_ALL);
	*refill = *refill && counts.found > 0;
	rollback_count(RelationGetRelid(rel), *refill ? 0 : counts.found,
				   kept_detail(kept, "generated") == NULL ? counts.later : 0);
	/* what has a value was not written since, so the copy has it */
	if (shape->nkeys > 0)
		astray_note(kept, rel, shape,
					kept_number(kept, "values") - counts.valued - counts.found,
					counts.later);
	return counts.found;
}

static int64
fill_relation(Relation rel, Kept *kept, const char *expression, bool *refill)
{
	AttrNumber	attnum = kept_live_column(kept, rel);
	CopyShape	shape;

	if (attnum == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("column \"%s\" of %s %s does not exist",
						kept->part, kept->object_type, kept->identity)));
	memset(&shape, 0, sizeof(shape));
	shape.value.attnum = attnum;
	if (kept->vault_name)
		kept_shape(kept, rel, attnum, &shape);
	else if (!fills_every_row(kept) || expression == NULL)
		return 0;
	if (kept->vault_name == NULL || shape.nkeys > 0)
		return fill_keyed(rel, kept, &shape, expression, refill);
	*refill = kept_detail(kept, "stamp") != NULL;
	if (sibling_went_by_content(kept))
	{
		*refill = false;
		fill_by_content(rel, kept, &shape, expression,
						"The table has no key, and other columns of the same rows were found by what they hold.");
	}
	else if (*refill)
		*refill = prepare_refill(rel, kept, &shape, expression);
	else
		fill_around_values(rel, kept, &shape, expression);
	return 0;
}

/*
 * safemig.fill_column(kept bigint, default_expression text) returns bigint:
 * rows that got a kept value.
 */
Datum
fill_column(PG_FUNCTION_ARGS)
{
	char	   *expression = NULL;
	const char *root_default;
	Kept	   *kept;
	Relation	rel;
	Oid			relid;
	bool		keyless;
	bool		refill = false;
	int64		filled = 0;
	Frame		frame;

	check_own_call("fill_column");
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	frame_become_owner(&frame);
	SPI_connect();
	if (!PG_ARGISNULL(1))
		expression = text_to_cstring(PG_GETARG_TEXT_PP(1));
	kept = kept_of_kind(PG_GETARG_INT64(0), "column");
	root_default = kept_detail(kept, "root default");
	if (root_default)
		expression = root_default[0] ? pstrdup(root_default) : NULL;
	relid = kept_relation(kept, AccessExclusiveLock);
	rel = relation_open(relid, NoLock);
	if (expression == NULL && kept_live_column(kept, rel) != InvalidAttrNumber)
		expression = default_of_type(get_atttype(relid, kept_live_column(kept, rel)));
	keyless = kept->vault_name && kept_detail(kept, "keyless");
	if (keyless && kept_detail(kept, "restored"))
		keyless = false;		/* done together with another one of its tree */
	else if (RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
	{
		CheckTableNotInUse(rel, "fill a column of");
		copy_prove(kept);
		SAFEMIG_POINT("fill.proved");
		filled = fill_relation(rel, kept, expression, &refill);
		SAFEMIG_POINT("fill.done");
	}
	relation_close(rel, NoLock);
	if (refill)
		retyped_refill(kept);
	if (keyless)
		note_filled(kept->id);
	if (expression == NULL)
		check_domain_allows_null(kept, relid);
	SPI_finish();
	frame_unpin(&frame);
	PG_RETURN_INT64(filled);
}
