/*-------------------------------------------------------------------------
 *
 * place.c
 *	  Rows without a key, known by their place.
 *
 * The copy of a column of such a table has the ordinals of its rows.  They
 * say which row is which in two cases.  After a rewrite of the table, as long
 * as all rows that it wrote still bear its stamp: a row that was written
 * since has another transaction or a later command.  Before any rewrite, as
 * long as the rows hold, one by one, what the copy has.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/xid8.h"

#include "keep/column.h"
#include "progress.h"

/* ---- the stamp of a rewrite ---- */

/*
 * The transaction id in a row has 32 bits; after as many transactions it may
 * be another one.
 */
Stamp
stamp_read(const Kept *kept)
{
	const char *text = kept ? kept_detail(kept, "stamp") : NULL;
	Stamp		stamp = {false};
	uint64		full;

	if (text == NULL)
		return stamp;
	full = strtoull(text, NULL, 10);
	stamp.valid = U64FromFullTransactionId(ReadNextFullTransactionId()) - full < PG_UINT32_MAX;
	stamp.xid = (TransactionId) full;
	stamp.command = (CommandId) kept_number(kept, "stamp_command");
	return stamp;
}

/* Later commands of the same transaction have higher command ids. */
bool
stamp_is(const Stamp *stamp, TransactionId xmin, CommandId cmin)
{
	return stamp->valid && xmin == stamp->xid && cmin <= stamp->command;
}

bool
stamp_is_on(const Stamp *stamp, TupleTableSlot *slot)
{
	bool		isnull;

	return stamp_is(stamp,
					DatumGetTransactionId(slot_getsysattr(slot, MinTransactionIdAttributeNumber,
														  &isnull)),
					DatumGetCommandId(slot_getsysattr(slot, MinCommandIdAttributeNumber,
													  &isnull)));
}

/*
 * Are all rows of the copy still where the rewrite put them?  Then ordinals
 * count the rows with its stamp, whatever others there are between them.  The
 * rewrite may have found, behind the rows of the copy, some more.
 */
bool
place_rows_bear_stamp(Relation rel, const Kept *kept, StampedRows *places)
{
	Stamp		stamp = stamp_read(kept);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Snapshot	snapshot;
	TableScanDesc scan = plain_scan_begin(rel, &snapshot);
	Progress	progress;

	places->stamped = places->rows = 0;
	places->appended = true;
	progress_begin_scan(&progress, PROGRESS_READING, rel);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		progress_row(&progress, slot);
		if (stamp_is_on(&stamp, slot))
		{
			places->appended &= places->stamped == places->rows;
			places->stamped++;
		}
		places->rows++;
	}
	progress_end(&progress);
	plain_scan_end(scan, snapshot);
	ExecDropSingleTupleTableSlot(slot);
	return places->stamped == kept->rows + kept_number(kept, "stamp_more") &&
		rel->rd_rel->relfilenode == (Oid) kept_number(kept, "stamp_relfilenode");
}

/* ---- rows as old as something else ---- */

/* The whole transaction id of one that is not older than two billion others. */
static uint64
full_xid(TransactionId xid)
{
	FullTransactionId next = ReadNextFullTransactionId();
	uint32		epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return U64FromFullTransactionId(FullTransactionIdFromEpochAndXid(epoch, xid));
}

static int
compare_xids(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

/*
 * What is committed now, to be put on record as a pg_snapshot; with our own
 * transaction among it, or not.  Unlike pg_current_snapshot() it has
 * subtransactions too: whoever is in it may yet write.
 */
char *
place_snapshot(bool with_own)
{
	Snapshot	snapshot = GetLatestSnapshot();
	TransactionId next = ReadNextTransactionId();
	TransactionId own = GetTopTransactionIdIfAny();
	TransactionId first = snapshot->xmax;
	uint64	   *others;
	int			nothers = 0;
	StringInfoData text;

	/* too many of them to be known: none that is as young counts */
	if (snapshot->suboverflowed)
		return psprintf(UINT64_FORMAT ":" UINT64_FORMAT ":",
						full_xid(snapshot->xmin), full_xid(snapshot->xmin));
	/* a snapshot leaves out our own, and what came after it */
	if (!with_own && TransactionIdIsValid(own) && TransactionIdPrecedes(own, first))
		first = own;
	others = palloc((snapshot->xcnt + snapshot->subxcnt + (next - first) + 1) *
					sizeof(uint64));
	for (uint32 i = 0; i < snapshot->xcnt; i++)
		others[nothers++] = full_xid(snapshot->xip[i]);
	for (int32 i = 0; i < snapshot->subxcnt; i++)
		others[nothers++] = full_xid(snapshot->subxip[i]);
	while (TransactionIdPrecedes(first, next))
	{
		TransactionId xid = first;
		bool		is_own = TransactionIdIsCurrentTransactionId(xid);

		TransactionIdAdvance(first);

		if (is_own ? !with_own :
			TransactionIdFollowsOrEquals(xid, snapshot->xmax))
			others[nothers++] = full_xid(xid);
	}
	qsort(others, nothers, sizeof(uint64), compare_xids);
	initStringInfo(&text);
	appendStringInfo(&text, UINT64_FORMAT ":" UINT64_FORMAT ":",
					 nothers > 0 ? others[0] : full_xid(next), full_xid(next));
	for (int i = 0; i < nothers; i++)
	{
		if (i == 0 || others[i] != others[i - 1])
			appendStringInfo(&text, "%s" UINT64_FORMAT, i > 0 ? "," : "", others[i]);
	}
	return text.data;
}

/* As it was put on record; 0 if it was not. */
Datum
place_recall_snapshot(const char *text)
{
	if (text == NULL)
		return (Datum) 0;
	return OidInputFunctionCall(F_PG_SNAPSHOT_IN, pstrdup(text), InvalidOid, -1);
}

/*
 * Did that snapshot see the transaction that wrote the row?  After four
 * billion transactions an old row may be taken for a new one.
 */
bool
place_row_is_seen(Datum snapshot, TransactionId xmin)
{
	if (!TransactionIdIsNormal(xmin))
		return true;
	return DatumGetBool(OidFunctionCall2(F_PG_VISIBLE_IN_SNAPSHOT,
										 UInt64GetDatum(full_xid(xmin)), snapshot));
}

/* ---- values that are still in the rows ---- */

/* The column's type, if the values in the rows can still be read by it. */
static bool
readable_type(const Kept *kept, Oid *typid)
{
	*typid = (Oid) kept_number(kept, "type");
	return SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(*typid)) &&
		strcmp(type_fingerprint(*typid), kept_detail(kept, "type_image")) == 0;
}

/* Does the row, dropped column or not, have what its row of the copy has? */
static bool
row_has_kept(StoredColumn *column, TupleTableSlot *row, TupleTableSlot *kept,
			 bool had_missing)
{
	int			last = kept->tts_tupleDescriptor->natts;
	Form_pg_attribute att = TupleDescAttr(kept->tts_tupleDescriptor, last - 1);
	bool		isnull,
				kept_isnull;
	Datum		value = slot_getattr(row, column->attnum, &isnull);
	Datum		stored = slot_getattr(kept, last, &kept_isnull);

	/* what rows older than the column show went with the column's drop */
	if (isnull && had_missing &&
		HeapTupleHeaderGetNatts(ExecFetchSlotHeapTuple(row, false, NULL)->t_data) < column->attnum)
		return true;
	if (isnull || kept_isnull)
		return isnull && kept_isnull;
	return datum_image_eq(stored_from_value(column, value), stored,
						  att->attbyval, att->attlen);
}

static bool
pair_rows(Relation rel, TupleDesc desc, Relation copy, StoredColumn *column,
		  const Kept *kept_column, int64 *more)
{
	Writers    *writers = content_writers(kept_column, RelationGetRelid(rel));
	bool		had_missing = kept_detail(kept_column, "missing") != NULL;
	TupleTableSlot *row = MakeSingleTupleTableSlot(desc, table_slot_callbacks(rel));
	TupleTableSlot *kept = table_slot_create(copy, NULL);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "safemig places",
												  ALLOCSET_DEFAULT_SIZES);
	Snapshot	snapshot,
				kept_snapshot;
	TableScanDesc scan = plain_scan_begin(rel, &snapshot);
	TableScanDesc kept_scan = plain_scan_begin(copy, &kept_snapshot);
	bool		same = true;
	Progress	progress;

	*more = 0;
	progress_begin_scan(&progress, PROGRESS_READING, rel);
	while (same && table_scan_getnextslot(scan, ForwardScanDirection, row))
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		CHECK_FOR_INTERRUPTS();
		progress_row(&progress, row);
		if (*more == 0 && table_scan_getnextslot(kept_scan, ForwardScanDirection, kept))
			same = content_may_match(writers, row) &&
				row_has_kept(column, row, kept, had_missing);
		else
			(*more)++;
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	progress_end(&progress);
	if (same && *more == 0)
		same = !table_scan_getnextslot(kept_scan, ForwardScanDirection, kept);
	plain_scan_end(scan, snapshot);
	plain_scan_end(kept_scan, kept_snapshot);
	ExecDropSingleTupleTableSlot(row);
	ExecDropSingleTupleTableSlot(kept);
	MemoryContextDelete(context);
	return same;
}

/*
 * Do the rows hold in attnum, one by one, what a keyless copy has, and is none
 * of them an application's since?  There may be more rows after them.  False,
 * too, if it cannot be told.  desc is what the rows were written by, which
 * inside ALTER TABLE is not rel's any more.
 */
bool
place_rows_as_copied(Relation rel, TupleDesc desc, const Kept *kept,
					 AttrNumber attnum, int64 *more)
{
	Oid			namespace = get_namespace_oid(kept->vault_schema, true);
	Oid			relid = OidIsValid(namespace) ?
	get_relname_relid(kept->vault_name, namespace) : InvalidOid;
	StoredColumn column = {.attnum = attnum};
	Relation	copy;
	Oid			typid;
	Frame		frame;
	bool		same;

	if (!OidIsValid(relid) || !readable_type(kept, &typid))
		return false;
	stored_column_init(&column, typid, (int32) kept_number(kept, "typmod"));
	stored_column_set_form(&column, (StoredForm) kept_detail(kept, "value.stored")[0]);
	copy = table_open(relid, AccessShareLock);
	frame_become(&frame, rel->rd_rel->relowner);
	same = pair_rows(rel, desc, copy, &column, kept, more);
	frame_unpin(&frame);
	table_close(copy, NoLock);
	return same;
}
