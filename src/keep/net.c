/*-------------------------------------------------------------------------
 *
 * net.c
 *	  Rows that a rollback meets more than once.
 *
 * What a migration writes before and after a DDL command of its own is kept
 * apart, and taken back one after the other, newest first.  To an application
 * that writes in between only the net effect is there: a row that the migration
 * inserted and then changed is one that it inserted, one that it inserted and
 * deleted has never been there, and one that is in the way in one part is so in
 * all of them.
 *
 * So what is found of a row is noted for the same row in the other parts.  They
 * are looked for by the key, from part to part, as each part has it before and
 * after; for all rows of a part at once, and only if some were in the way, so
 * that what has to be remembered is as many as these are.
 *
 * A newer part may have been taken back when an older one finds that the row is
 * to be left alone.  Then all is to be done again, with that known.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "history/history.h"
#include "keep/vault.h"
#include "keep/writes.h"

/* each leaves alone rows that the one before did not */
#define MAX_ATTEMPTS	100

/* A row of a copy; without padding, since it is hashed as it lies there. */
typedef struct NetRowKey
{
	int64		kept;
	uint32		block;
	uint32		offset;
} NetRowKey;

typedef struct NetRow
{
	NetRowKey	key;
	NetChain   *chain;
} NetRow;

/* Where the search for the other parts of a chain has come to. */
typedef struct Link
{
	RowHash		key;
	NetChain   *chain;
	bool		found;			/* in the part that is looked through */
} Link;

/* A row that was noted, and whose other parts have not been looked for yet. */
typedef struct Pending
{
	NetChain   *chain;
	RowHash		before;
	RowHash		after;
	bool		has_before;
	bool		has_after;
} Pending;

struct NetWrites
{
	MemoryContext context;
	List	   *parts;			/* of Kept*, newest first */
	List	   *tables;			/* of NetTable* */
	List	   *pending;		/* of Pending* */
	HTAB	   *rows;			/* of NetRow, or NULL: none yet */
	List	   *misfits;		/* of Misfit* */
	int			attempt;
	bool		again;
};

/* ---- the tables ---- */

static Bitmapset *
columns_now(Oid relid)
{
	Bitmapset  *columns = NULL;
	HeapTuple	tuple;

	for (AttrNumber attnum = 1;
		 HeapTupleIsValid(tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
												  Int16GetDatum(attnum)));
		 attnum++)
	{
		if (!((Form_pg_attribute) GETSTRUCT(tuple))->attisdropped)
			columns = bms_add_member(columns, attnum);
		ReleaseSysCache(tuple);
	}
	return columns;
}

static NetTable *
table_of(NetWrites *net, Oid relid)
{
	MemoryContext old;
	NetTable   *table;
	ListCell   *lc;

	foreach(lc, net->tables)
	{
		table = lfirst(lc);
		if (table->relid == relid)
			return table;
	}
	old = MemoryContextSwitchTo(net->context);
	table = palloc0(sizeof(NetTable));
	table->relid = relid;
	table->columns = columns_now(relid);
	net->tables = lappend(net->tables, table);
	MemoryContextSwitchTo(old);
	return table;
}

NetTable *
net_table(NetWrites *net, Relation rel, const Kept *kept)
{
	NetTable   *table = table_of(net, RelationGetRelid(rel));

	if (table->identity == NULL)
	{
		table->type = MemoryContextStrdup(net->context, kept->object_type);
		table->identity = MemoryContextStrdup(net->context, kept->identity);
	}
	return table;
}

/* Not as it should be by now: what is found there would say nothing. */
void
net_unsettle(NetWrites *net, Oid relid)
{
	table_of(net, relid)->unsettled = true;
}

bool
net_any_is_unsettled(const NetWrites *net)
{
	ListCell   *lc;

	foreach(lc, net->tables)
	{
		if (((const NetTable *) lfirst(lc))->unsettled)
			return true;
	}
	return false;
}

bool
net_is_unsettled(const NetWrites *net, Oid relid)
{
	ListCell   *lc;

	foreach(lc, net->tables)
	{
		const NetTable *table = lfirst(lc);

		if (table->relid == relid && table->unsettled)
			return true;
	}
	return false;
}

/*
 * May a constraint be broken in the table only because the rollback went on
 * after a conflict?  What was in the place of a row is gone, what does not fit is
 * left alone.  InvalidOid: in any table.
 */
bool
net_is_doubtful(const NetWrites *net, Oid relid)
{
	ListCell   *lc;

	foreach(lc, net->tables)
	{
		const NetTable *table = lfirst(lc);

		if ((!OidIsValid(relid) || table->relid == relid) &&
			(table->unsettled || table->conflicts.count[UNDO_UNFIT] > 0 ||
			 table->conflicts.count[UNDO_TAKEN] > 0))
			return true;
	}
	return false;
}

List *
net_tables(const NetWrites *net)
{
	return net->tables;
}

/*
 * For the rollback that begins: what its commands wrote, of Kept*, newest first.
 * It has to outlast what is done again.
 */
NetWrites *
net_begin(List *parts)
{
	MemoryContext context = AllocSetContextCreate(TopTransactionContext, "safemig net",
												  ALLOCSET_SMALL_SIZES);
	NetWrites  *net = MemoryContextAllocZero(context, sizeof(NetWrites));
	ListCell   *lc;

	net->context = context;
	foreach(lc, parts)
	{
		const Kept *kept = lfirst(lc);

		if (history_oids_hold(kept_need_detail(kept, "incarnation")))
			(void) table_of(net, (Oid) kept_number(kept, "oid"));
	}
	net->parts = parts;
	net->attempt = 1;
	return net;
}

void
net_add_misfits(NetWrites *net, List *misfits)
{
	MemoryContext old = MemoryContextSwitchTo(net->context);
	ListCell   *lc;

	foreach(lc, misfits)
	{
		const Misfit *misfit = lfirst(lc);
		Misfit	   *copy = palloc(sizeof(Misfit));

		copy->rows = misfit->rows;
		copy->table = pstrdup(misfit->table);
		copy->message = pstrdup(misfit->message);
		copy->detail = pstrdup(misfit->detail);
		copy->hint = pstrdup(misfit->hint);
		copy->command = misfit->command ? pstrdup(misfit->command) : NULL;
		net->misfits = lappend(net->misfits, copy);
	}
	MemoryContextSwitchTo(old);
}

List *
net_misfits(const NetWrites *net)
{
	return net->misfits;
}

/* ---- what is known of a row ---- */

static NetRowKey
row_key(const Kept *kept, ItemPointer copied)
{
	NetRowKey	key = {kept->id, ItemPointerGetBlockNumber(copied),
	ItemPointerGetOffsetNumber(copied)};

	return key;
}

/* What is known of this row of the copy, or NULL. */
NetChain *
net_chain(const NetWrites *net, const Kept *kept, ItemPointer copied)
{
	NetRowKey	key;
	NetRow	   *row;

	if (net->rows == NULL)
		return NULL;
	key = row_key(kept, copied);
	row = hash_search(net->rows, &key, HASH_FIND, NULL);
	return row ? row->chain : NULL;
}

/* False: it was known, and that counts for more. */
static bool
put_row(NetWrites *net, const Kept *kept, ItemPointer copied, NetChain *chain)
{
	NetRowKey	key = row_key(kept, copied);
	NetRow	   *row;
	bool		known;

	if (net->rows == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(NetRowKey),.entrysize = sizeof(NetRow),
		.hcxt = net->context};

		net->rows = hash_create("safemig rows in the way", 256, &ctl,
								HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	row = hash_search(net->rows, &key, HASH_ENTER, &known);
	if (known && (!row->chain->overwritten || chain->overwritten))
		return false;
	row->chain = chain;
	return true;
}

static bool
column_changed(TupleTableSlot *row, int column)
{
	bool		isnull;
	Datum		changed = slot_getattr(row, WRITTEN_CHANGED, &isnull);

	return isnull || writes_is_changed(DatumGetByteaPP(changed), column);
}

/* Where the copy has the row's key: as it came to be, or as it was before. */
static AttrNumber
key_attnum(const WritesShape *shape, TupleTableSlot *row, int key, char action, bool before)
{
	TupleDesc	desc = row->tts_tupleDescriptor;
	int			first = WRITTEN_FIXED + shape->nkeys;

	for (int i = first; before && i < desc->natts; i++)
	{
		if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), shape->keys[key].name) == 0)
			return action == ROW_DELETED || column_changed(row, i - first) ?
				i + 1 : WRITTEN_FIXED + key + 1;
	}
	return before ? InvalidAttrNumber : WRITTEN_FIXED + key + 1;
}

/* Without a key it is known by all that it holds; of an updated row not all is kept. */
static bool
content_hash(const WritesShape *shape, TupleTableSlot *row, char action, bool before,
			 RowHash *hash)
{
	int			ncolumns = shape->row.ncolumns;
	Datum	   *values = palloc0(Max(ncolumns, 1) * sizeof(Datum));
	bool	   *nulls = palloc0(Max(ncolumns, 1) * sizeof(bool));
	bool		isnull;

	if (!before)
	{
		hash->first = (uint64) DatumGetInt64(slot_getattr(row, WRITTEN_FIRST, &isnull));
		hash->second = (uint64) DatumGetInt64(slot_getattr(row, WRITTEN_SECOND, &isnull));
		return true;
	}
	if (action != ROW_DELETED || row->tts_tupleDescriptor->natts != WRITTEN_FIXED + ncolumns)
		return false;
	for (int i = 0; i < ncolumns; i++)
		values[i] = slot_getattr(row, WRITTEN_FIXED + i + 1, &nulls[i]);
	*hash = writes_hash(shape, NULL, values, nulls);
	return true;
}

/* false: there was no such row then, or its key is not to be found */
static bool
key_hash(const WritesShape *shape, TupleTableSlot *row, bool before, RowHash *hash)
{
	bool		isnull;
	char		action = DatumGetChar(slot_getattr(row, WRITTEN_ACTION, &isnull));

	if (action == (before ? ROW_INSERTED : ROW_DELETED))
		return false;
	if (shape->nkeys == 0)
		return content_hash(shape, row, action, before, hash);
	*hash = row_hash_begin();
	for (int i = 0; i < shape->nkeys; i++)
	{
		AttrNumber	attnum = key_attnum(shape, row, i, action, before);
		Datum		value;

		if (attnum == InvalidAttrNumber)
			return false;
		value = slot_getattr(row, attnum, &isnull);
		row_hash_add(hash, TupleDescAttr(row->tts_tupleDescriptor, attnum - 1), value, isnull);
	}
	return true;
}

/*
 * This row of the copy is in the way, and is left alone or overwritten; the
 * other parts are looked for by net_link().
 */
NetChain *
net_note(NetWrites *net, const Kept *kept, const WritesShape *shape,
		 TupleTableSlot *row, UndoProblem problem, bool overwritten)
{
	MemoryContext old = MemoryContextSwitchTo(net->context);
	NetChain   *chain = palloc0(sizeof(NetChain));
	Pending    *pending = palloc0(sizeof(Pending));
	bool		isnull;

	chain->kept = kept->id;
	chain->copied = row->tts_tid;
	chain->problem = problem;
	chain->overwritten = overwritten;
	chain->inserted = DatumGetChar(slot_getattr(row, WRITTEN_ACTION, &isnull)) == ROW_INSERTED;
	(void) put_row(net, kept, &row->tts_tid, chain);
	pending->chain = chain;
	pending->has_before = key_hash(shape, row, true, &pending->before);
	pending->has_after = key_hash(shape, row, false, &pending->after);
	net->pending = lappend(net->pending, pending);
	MemoryContextSwitchTo(old);
	return chain;
}

/* A row counts once, whatever is wrong with it in how many parts. */
bool
net_count(const NetWrites *net, NetChain *chain)
{
	if (chain->counted == net->attempt)
		return false;
	chain->counted = net->attempt;
	return true;
}

/* What is done by now cannot be mended any more. */
void
net_do_again(NetWrites *net)
{
	net->again = true;
}

/* Is all to be done again?  Then what was counted does not count. */
bool
net_is_to_be_done_again(NetWrites *net)
{
	ListCell   *lc;

	if (!net->again)
		return false;
	if (net->attempt == MAX_ATTEMPTS)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("rows that were written again are in each other's way"),
				 errdetail("Each of %d attempts found others that have to be left alone.",
						   MAX_ATTEMPTS),
				 errhint("on_conflict => 'refuse' lists those to begin with.")));
	net->again = false;
	net->attempt++;
	net->misfits = NIL;
	net->pending = NIL;
	foreach(lc, net->tables)
	{
		NetTable   *table = lfirst(lc);

		memset(&table->conflicts, 0, sizeof(UndoConflicts));
		table->unsettled = false;
	}
	return true;
}

/* ---- the other parts ---- */

static bool
is_same_table(const Kept *one, const Kept *other)
{
	if (strcmp(kept_need_detail(one, "incarnation"), kept_need_detail(other, "incarnation")) == 0)
		return kept_number(one, "oid") == kept_number(other, "oid");
	return strcmp(one->identity, other->identity) == 0;
}

/* Does the other copy know rows by the same columns, in the same form? */
static bool
has_same_key(const WritesShape *shape, const Kept *other, Relation copy)
{
	if (kept_number(other, "keys") != shape->nkeys)
		return false;
	for (int i = 0; i < shape->nkeys; i++)
	{
		const StoredColumn *key = &shape->keys[i];
		const char *name = kept_detail(other, psprintf("key %d", i + 1));

		if (name == NULL || strcmp(name, key->name) != 0 ||
			TupleDescAttr(RelationGetDescr(copy), WRITTEN_FIXED + i)->atttypid != stored_column_type(key))
			return false;
	}
	return true;
}

static HTAB *
make_links(void)
{
	HASHCTL		ctl = {.keysize = sizeof(RowHash),.entrysize = sizeof(Link),
	.hcxt = CurrentMemoryContext};

	return hash_create("safemig links", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static void
put_link(HTAB *links, const RowHash *key, NetChain *chain)
{
	bool		known;
	Link	   *link = hash_search(links, key, HASH_ENTER, &known);

	if (known)
		return;
	link->chain = chain;
	link->found = false;
}

/*
 * The chain has this row in another part.  A newer one has been taken back by
 * now; of one that inserted it the older ones say nothing.
 */
static void
note_link(NetWrites *net, const Kept *other, TupleTableSlot *row, NetChain *chain, bool newer)
{
	bool		isnull;
	bool		was_known = !put_row(net, other, &row->tts_tid, chain);

	if (newer)
		net->again |= !was_known && !chain->overwritten;
	else if (DatumGetChar(slot_getattr(row, WRITTEN_ACTION, &isnull)) == ROW_INSERTED)
	{
		chain->inserted = true;
		/* columns of it were put back as if it had been there before */
		net->again |= chain->reduced;
	}
}

/* Goes on through one part, to the links as that leaves them. */
static HTAB *
follow_links(NetWrites *net, const WritesShape *shape, const Kept *other,
			 HTAB *links, bool newer)
{
	Relation	copy = rows_open_copy(other);
	TupleTableSlot *slot = table_slot_create(copy, NULL);
	HTAB	   *next = links;
	HASH_SEQ_STATUS all;
	Link	   *link;

	if (has_same_key(shape, other, copy))
	{
		Snapshot	snapshot;
		TableScanDesc scan = plain_scan_begin(copy, &snapshot);

		next = make_links();
		while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
		{
			RowHash		hash;

			CHECK_FOR_INTERRUPTS();
			if (!key_hash(shape, slot, newer, &hash) ||
				(link = hash_search(links, &hash, HASH_FIND, NULL)) == NULL)
				continue;
			link->found = true;
			note_link(net, other, slot, link->chain, newer);
			if (key_hash(shape, slot, !newer, &hash))
				put_link(next, &hash, link->chain);
		}
		ExecClearTuple(slot);
		plain_scan_end(scan, snapshot);
		hash_seq_init(&all, links);
		while ((link = hash_seq_search(&all)) != NULL)
		{
			if (!link->found)
				put_link(next, &link->key, link->chain);
		}
		hash_destroy(links);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_close(copy, AccessShareLock);
	return next;
}

/* In the parts of the table before this one, or after it, nearest first. */
static void
link_one_way(NetWrites *net, const Kept *kept, const WritesShape *shape, bool newer)
{
	HTAB	   *links = make_links();
	List	   *others = NIL;
	ListCell   *lc;

	foreach(lc, net->pending)
	{
		Pending    *pending = lfirst(lc);

		if (newer && pending->has_after)
			put_link(links, &pending->after, pending->chain);
		if (!newer && pending->has_before)
			put_link(links, &pending->before, pending->chain);
	}
	foreach(lc, net->parts)
	{
		Kept	   *other = lfirst(lc);

		if (!is_same_table(kept, other) ||
			!(newer ? other->command > kept->command : other->command < kept->command))
			continue;
		others = newer ? lcons(other, others) : lappend(others, other);
	}
	foreach(lc, others)
	{
		if (hash_get_num_entries(links) > 0)
			links = follow_links(net, shape, lfirst(lc), links, newer);
	}
	hash_destroy(links);
}

/* Looks for the other parts of what was noted in this one. */
void
net_link(NetWrites *net, const Kept *kept, const WritesShape *shape)
{
	if (net->pending == NIL)
		return;
	link_one_way(net, kept, shape, false);
	/* what other parts hold of a row is not known in this one's shape */
	if (shape->nkeys > 0)
		link_one_way(net, kept, shape, true);
	net->pending = NIL;
}
