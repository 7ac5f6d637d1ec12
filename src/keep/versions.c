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
 * A table that got new storage in this transaction is read whole: COPY FREEZE
 * may have put rows there as if they had been there for ever.
 *
 * A chain of versions has one head: the version that was there before, or the
 * first one of a row that was inserted.  Its end tells what came of the row.
 * "since" is the first command of the transaction that counts.  A statement in
 * the middle of which the table was looked at goes on under its old command id:
 * until it is through, what was found is noted version by version (Seen), and
 * counts as having been there before.
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
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "keep/writes.h"
#include "progress.h"

/* What decides which versions count. */
typedef struct Finder
{
	Relation	rel;
	CommandId	since;
	bool		fresh;			/* the storage is this transaction's own */
	List	   *seen;			/* of Seen*, see there */
	Versions   *versions;
	Buffer		head_page;		/* pinned: the next version that is asked for ... */
	Buffer		later_page;		/* ... mostly stands where the last one did */
} Finder;

/* ---- versions that were found before ---- */

static int
compare_seen(const void *a, const void *b)
{
	const SeenVersion *x = a;
	const SeenVersion *y = b;
	int			order = ItemPointerCompare((ItemPointer) &x->tid, (ItemPointer) &y->tid);

	if (order != 0)
		return order;
	if (x->gone != y->gone)
		return x->gone ? 1 : -1;
	return x->command < y->command ? -1 : x->command > y->command ? 1 : 0;
}

static bool
is_seen(const Finder *finder, ItemPointer tid, bool gone, CommandId command)
{
	SeenVersion wanted = {*tid, gone, command};
	ListCell   *lc;

	foreach(lc, finder->seen)
	{
		const Seen *seen = lfirst(lc);

		if (seen->relid == RelationGetRelid(finder->rel) &&
			bsearch(&wanted, seen->versions, seen->nversions,
					sizeof(SeenVersion), compare_seen))
			return true;
	}
	return false;
}

static void
note_seen(Finder *finder, ItemPointer tid, bool gone, CommandId command)
{
	Seen	   *seen = finder->versions->seen;

	if (seen == NULL)
		return;
	if (seen->nversions == seen->space)
	{
		seen->space *= 2;
		seen->versions = repalloc_huge(seen->versions,
									   seen->space * sizeof(SeenVersion));
	}
	seen->versions[seen->nversions++] = (SeenVersion) {*tid, gone, command};
}

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
made_by_us(const Finder *finder, HeapTupleHeader header)
{
	/* in old storage a frozen row's transaction may be ours of an age ago */
	return !HeapTupleHeaderXminInvalid(header) &&
		(finder->fresh || !HeapTupleHeaderXminFrozen(header)) &&
		TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetRawXmin(header));
}

/* Of a frozen row PostgreSQL's own macro does not tell. */
static CommandId
made_by_command(HeapTupleHeader header)
{
	return HeapTupleHeaderXminFrozen(header) ?
		HeapTupleHeaderGetRawCommandId(header) : HeapTupleHeaderGetCmin(header);
}

static bool
made_since(const Finder *finder, HeapTupleHeader header, ItemPointer tid)
{
	return made_by_us(finder, header) &&
		made_by_command(header) >= finder->since &&
		!is_seen(finder, tid, false, made_by_command(header));
}

/* Was it there before, and is gone or replaced now? */
static bool
is_old(const Finder *finder, HeapTupleHeader header, ItemPointer tid)
{
	return gone_by_us(header) &&
		HeapTupleHeaderGetCmax(header) >= finder->since &&
		!is_seen(finder, tid, true, HeapTupleHeaderGetCmax(header)) &&
		!made_since(finder, header, tid);
}

/* Is it the first version of a row that was inserted? */
static bool
is_inserted(const Finder *finder, HeapTupleHeader header, ItemPointer tid)
{
	return (header->t_infomask & HEAP_UPDATED) == 0 &&
		made_since(finder, header, tid);
}

/* ---- chains ---- */

/* A copy of the version's header, taken while nobody can change it. */
static void
read_header(Relation rel, ItemPointer tid, Buffer *pinned, HeapTupleHeader header)
{
	Page		page;
	ItemId		item;

	*pinned = ReleaseAndReadBuffer(*pinned, rel, ItemPointerGetBlockNumber(tid));
	LockBuffer(*pinned, BUFFER_LOCK_SHARE);
	page = BufferGetPage(*pinned);
	item = PageGetItemId(page, ItemPointerGetOffsetNumber(tid));
	if (!ItemIdIsNormal(item))
		elog(ERROR, "a row version of \"%s\" has vanished", RelationGetRelationName(rel));
	memcpy(header, PageGetItem(page, item), SizeofHeapTupleHeader);
	LockBuffer(*pinned, BUFFER_LOCK_UNLOCK);
}

/* Goes to the version that is there now; false if the row was deleted. */
static bool
follow_chain(Finder *finder, ItemPointer tid)
{
	Buffer	   *pinned = &finder->head_page;

	for (;;)
	{
		union
		{
			HeapTupleHeaderData header;
			char		space[sizeof(HeapTupleHeaderData)];
		}			version;
		ItemPointerData next;

		CHECK_FOR_INTERRUPTS();
		read_header(finder->rel, tid, pinned, &version.header);
		if (made_since(finder, &version.header, tid))
			note_seen(finder, tid, false, made_by_command(&version.header));
		if (!gone_by_us(&version.header))
			return true;
		note_seen(finder, tid, true, HeapTupleHeaderGetCmax(&version.header));
		next = version.header.t_ctid;
		if (ItemPointerEquals(&next, tid) ||
			HeapTupleHeaderIndicatesMovedPartitions(&version.header))
			return false;
		*tid = next;
		pinned = &finder->later_page;
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
heads_of_page(const Finder *finder, BlockNumber block,
			  BufferAccessStrategy strategy, Heads *heads)
{
	Buffer		buffer = ReadBufferExtended(finder->rel, MAIN_FORKNUM, block,
											RBM_NORMAL, strategy);
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
		ItemPointerData tid;
		bool		old;

		if (!ItemIdIsNormal(item))
			continue;
		header = (HeapTupleHeader) PageGetItem(page, item);
		ItemPointerSet(&tid, block, offset);
		old = is_old(finder, header, &tid);
		if (!old && !is_inserted(finder, header, &tid))
			continue;
		heads->offsets[heads->n] = offset;
		heads->old[heads->n++] = old;
	}
	UnlockReleaseBuffer(buffer);
}

void
versions_put(Versions *versions, ItemPointer before, ItemPointer after)
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
put_heads(Finder *finder, BlockNumber block, const Heads *heads)
{
	for (int i = 0; i < heads->n; i++)
	{
		ItemPointerData head;
		ItemPointerData end;
		bool		there;

		ItemPointerSet(&head, block, heads->offsets[i]);
		end = head;
		there = follow_chain(finder, &end);
		if (there || heads->old[i])
			versions_put(finder->versions, heads->old[i] ? &head : NULL, there ? &end : NULL);
	}
}

static Seen *
seen_begin(Oid relid)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Seen	   *seen = palloc0(sizeof(Seen));

	seen->relid = relid;
	seen->space = 64;
	seen->versions = palloc(seen->space * sizeof(SeenVersion));
	MemoryContextSwitchTo(old);
	return seen;
}

static TupleDesc
pair_descriptor(void)
{
	TupleDesc	desc = CreateTemplateTupleDesc(2);

	TupleDescInitEntry(desc, 1, "before", TIDOID, -1, 0);
	TupleDescInitEntry(desc, 2, "after", TIDOID, -1, 0);
	return desc;
}

/* None yet. */
Versions *
versions_begin(void)
{
	Versions   *versions = palloc0(sizeof(Versions));

	versions->store = tuplestore_begin_heap(false, false, work_mem);
	versions->desc = pair_descriptor();
	return versions;
}

/*
 * What became of the rows: pairs of places, before (or NULL) and after (or NULL).
 * Versions in seen are known already; with note those that are found now are
 * noted, in the memory of the transaction.
 */
Versions *
versions_find(Relation rel, CommandId since, List *seen, bool note)
{
	Versions   *versions = versions_begin();
	Finder		finder = {rel, since, storage_is_fresh(rel), seen, versions,
	InvalidBuffer, InvalidBuffer};
	BlockNumber blocks = RelationGetNumberOfBlocks(rel);
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	Buffer		map = InvalidBuffer;
	Heads	   *heads = palloc(sizeof(Heads));
	Progress	progress;

	progress_begin(&progress, PROGRESS_LOOKING, rel, blocks);
	if (note)
		versions->seen = seen_begin(RelationGetRelid(rel));
	for (BlockNumber block = 0; block < blocks; block++)
	{
		CHECK_FOR_INTERRUPTS();
		if (block % PROGRESS_ROWS == 0)
			progress_at(&progress, block);
		if (!finder.fresh &&
			(visibilitymap_get_status(rel, block, &map) & VISIBILITYMAP_ALL_VISIBLE))
			continue;
		heads_of_page(&finder, block, strategy, heads);
		put_heads(&finder, block, heads);
	}
	progress_end(&progress);
	if (versions->seen)
		qsort(versions->seen->versions, versions->seen->nversions,
			  sizeof(SeenVersion), compare_seen);
	if (BufferIsValid(finder.head_page))
		ReleaseBuffer(finder.head_page);
	if (BufferIsValid(finder.later_page))
		ReleaseBuffer(finder.later_page);
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
	Versions   *versions = versions_begin();
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Snapshot	snapshot;
	TableScanDesc scan = plain_scan_begin(rel, &snapshot);
	Progress	progress;

	progress_begin_scan(&progress, PROGRESS_LOOKING, rel);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		progress_row(&progress, slot);
		versions_put(versions, &slot->tts_tid, NULL);
	}
	progress_end(&progress);
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

	if (!stored_tuple_next(versions->store, slot))
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

/*
 * Puts a version into a slot of the table's.  The page of the version that the
 * slot had, which it holds a pin on, is not looked for again.
 */
void
versions_fetch(Relation rel, ItemPointer tid, TupleTableSlot *slot)
{
	BufferHeapTupleTableSlot *buffer_slot = (BufferHeapTupleTableSlot *) slot;
	HeapTuple	tuple = &buffer_slot->base.tupdata;
	Buffer		buffer = buffer_slot->buffer;
	Page		page;
	ItemId		item;

	Assert(TTS_IS_BUFFERTUPLE(slot));
	if (BufferIsValid(buffer))
		IncrBufferRefCount(buffer);
	ExecClearTuple(slot);
	buffer = ReleaseAndReadBuffer(buffer, rel, ItemPointerGetBlockNumber(tid));
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	item = PageGetItemId(page, ItemPointerGetOffsetNumber(tid));
	if (!ItemIdIsNormal(item))
		elog(ERROR, "a row version of \"%s\" has vanished", RelationGetRelationName(rel));
	tuple->t_self = *tid;
	tuple->t_tableOid = RelationGetRelid(rel);
	tuple->t_data = (HeapTupleHeader) PageGetItem(page, item);
	tuple->t_len = ItemIdGetLength(item);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	(void) ExecStorePinnedBufferHeapTuple(tuple, slot, buffer);
}

void
versions_close(Versions *versions)
{
	tuplestore_end(versions->store);
}
