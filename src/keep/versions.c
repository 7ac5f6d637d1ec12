/*-------------------------------------------------------------------------
 *
 * versions.c
 *	  The rows of a table that this transaction replaced, deleted and made.
 *
 * As long as a transaction runs, nothing removes the row versions that it has
 * replaced, and each points to the version that came after it.  So what a
 * statement did needs not be watched: not by triggers, which others would see,
 * nor in the executor, which COPY goes past.  The table is read once, when it
 * has to be known, and whatever way the rows were written (MERGE, ON CONFLICT,
 * COPY, a cascade, a trigger's own statements, code in C) they are found.
 *
 * Pages of which all rows are visible to everybody hold nothing of a running
 * transaction; the visibility map says which these are, and they are not read.
 *
 * A chain of versions has one head: the version that was there before, or the
 * first one of a row that was inserted.  Its end tells what came of the row.
 * "since" is the first command of the transaction that counts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/visibilitymap.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "keep/writes.h"

/* ---- one version ---- */

/* Has this transaction deleted or replaced it? */
static bool
gone_by_us(HeapTupleHeader header)
{
	return (header->t_infomask & HEAP_XMAX_INVALID) == 0 &&
		!HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask) &&
		TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(header));
}

static bool
made_by_us(HeapTupleHeader header)
{
	return !HeapTupleHeaderXminInvalid(header) &&
		TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(header));
}

static bool
made_since(HeapTupleHeader header, CommandId since)
{
	return made_by_us(header) && HeapTupleHeaderGetCmin(header) >= since;
}

/* Was it there before, and is gone or replaced now? */
static bool
is_old(HeapTupleHeader header, CommandId since)
{
	return gone_by_us(header) && HeapTupleHeaderGetCmax(header) >= since &&
		!made_since(header, since);
}

/* Is it the first version of a row that was inserted? */
static bool
is_inserted(HeapTupleHeader header, CommandId since)
{
	return made_since(header, since) && (header->t_infomask & HEAP_UPDATED) == 0;
}

/* ---- chains ---- */

/* A copy of the version's header, taken while nobody can change it. */
static void
read_header(Relation rel, ItemPointer tid, HeapTupleHeader header)
{
	Buffer		buffer = ReadBuffer(rel, ItemPointerGetBlockNumber(tid));
	Page		page;
	ItemId		item;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	item = PageGetItemId(page, ItemPointerGetOffsetNumber(tid));
	if (!ItemIdIsNormal(item))
		elog(ERROR, "a row version of \"%s\" has vanished", RelationGetRelationName(rel));
	memcpy(header, PageGetItem(page, item), SizeofHeapTupleHeader);
	UnlockReleaseBuffer(buffer);
}

/* Goes to the version that is there now; false if the row was deleted. */
static bool
follow_chain(Relation rel, ItemPointer tid)
{
	for (;;)
	{
		union
		{
			HeapTupleHeaderData header;
			char		space[sizeof(HeapTupleHeaderData)];
		}			version;
		ItemPointerData next;

		CHECK_FOR_INTERRUPTS();
		read_header(rel, tid, &version.header);
		if (!gone_by_us(&version.header))
			return true;
		next = version.header.t_ctid;
		if (ItemPointerEquals(&next, tid) ||
			HeapTupleHeaderIndicatesMovedPartitions(&version.header))
			return false;
		*tid = next;
	}
}

/* ---- the table ---- */

typedef struct Heads
{
	int			n;
	OffsetNumber offsets[MaxHeapTuplesPerPage];
	bool		old[MaxHeapTuplesPerPage];
} Heads;

static void
heads_of_page(Relation rel, BlockNumber block, CommandId since,
			  BufferAccessStrategy strategy, Heads *heads)
{
	Buffer		buffer = ReadBufferExtended(rel, MAIN_FORKNUM, block, RBM_NORMAL,
											strategy);
	Page		page;
	OffsetNumber max;

	heads->n = 0;
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	max = PageIsNew(page) ? InvalidOffsetNumber : PageGetMaxOffsetNumber(page);
	for (OffsetNumber offset = FirstOffsetNumber; offset <= max; offset++)
	{
		ItemId		item = PageGetItemId(page, offset);
		HeapTupleHeader header;
		bool		old;

		if (!ItemIdIsNormal(item))
			continue;
		header = (HeapTupleHeader) PageGetItem(page, item);
		old = is_old(header, since);
		if (!old && !is_inserted(header, since))
			continue;
		heads->offsets[heads->n] = offset;
		heads->old[heads->n++] = old;
	}
	UnlockReleaseBuffer(buffer);
}

static void
put_pair(Versions *versions, ItemPointer before, ItemPointer after)
{
	Datum		values[2] = {PointerGetDatum(before), PointerGetDatum(after)};
	bool		nulls[2] = {before == NULL, after == NULL};

	tuplestore_putvalues(versions->store, versions->desc, values, nulls);
	if (before == NULL)
		versions->inserted++;
	else if (after == NULL)
		versions->deleted++;
	else
		versions->updated++;
}

static void
put_heads(Relation rel, BlockNumber block, const Heads *heads, Versions *versions)
{
	for (int i = 0; i < heads->n; i++)
	{
		ItemPointerData head;
		ItemPointerData end;
		bool		there;

		ItemPointerSet(&head, block, heads->offsets[i]);
		end = head;
		there = follow_chain(rel, &end);
		if (there || heads->old[i])
			put_pair(versions, heads->old[i] ? &head : NULL, there ? &end : NULL);
	}
}

static TupleDesc
pair_descriptor(void)
{
	TupleDesc	desc = CreateTemplateTupleDesc(2);

	TupleDescInitEntry(desc, 1, "before", TIDOID, -1, 0);
	TupleDescInitEntry(desc, 2, "after", TIDOID, -1, 0);
	return desc;
}

/* What became of the rows: pairs of places, before (or NULL) and after (or NULL). */
Versions *
versions_find(Relation rel, CommandId since)
{
	Versions   *versions = palloc0(sizeof(Versions));
	BlockNumber blocks = RelationGetNumberOfBlocks(rel);
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	Buffer		map = InvalidBuffer;
	Heads	   *heads = palloc(sizeof(Heads));

	versions->store = tuplestore_begin_heap(false, false, work_mem);
	versions->desc = pair_descriptor();
	for (BlockNumber block = 0; block < blocks; block++)
	{
		CHECK_FOR_INTERRUPTS();
		if (visibilitymap_get_status(rel, block, &map) & VISIBILITYMAP_ALL_VISIBLE)
			continue;
		heads_of_page(rel, block, since, strategy, heads);
		put_heads(rel, block, heads, versions);
	}
	if (BufferIsValid(map))
		ReleaseBuffer(map);
	FreeAccessStrategy(strategy);
	pfree(heads);
	return versions;
}

/* All rows that are there now, as deleted: TRUNCATE is about to take them. */
Versions *
versions_of_all(Relation rel)
{
	Versions   *versions = palloc0(sizeof(Versions));
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Snapshot	snapshot;
	TableScanDesc scan = plain_scan_begin(rel, &snapshot);

	versions->store = tuplestore_begin_heap(false, false, work_mem);
	versions->desc = pair_descriptor();
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		put_pair(versions, &slot->tts_tid, NULL);
	}
	plain_scan_end(scan, snapshot);
	ExecDropSingleTupleTableSlot(slot);
	return versions;
}

bool
versions_next(Versions *versions, TupleTableSlot *slot, ItemPointer before,
			  ItemPointer after)
{
	bool		isnull;
	Datum		value;

	if (!tuplestore_gettupleslot(versions->store, true, false, slot))
		return false;
	value = slot_getattr(slot, 1, &isnull);
	if (isnull)
		ItemPointerSetInvalid(before);
	else
		*before = *(ItemPointer) DatumGetPointer(value);
	value = slot_getattr(slot, 2, &isnull);
	if (isnull)
		ItemPointerSetInvalid(after);
	else
		*after = *(ItemPointer) DatumGetPointer(value);
	return true;
}

void
versions_again(Versions *versions)
{
	tuplestore_rescan(versions->store);
}

void
versions_close(Versions *versions)
{
	tuplestore_end(versions->store);
}
