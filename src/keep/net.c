/*-------------------------------------------------------------------------
 *
 * net.c
 *	  Rows that a migration wrote more than once.
 *
 * What a migration writes before and after a DDL command of its own is kept
 * apart, and taken back one after the other.  To an application that writes in
 * between only the net effect is there: a row that the migration inserted and
 * then changed is one that it inserted, and one that it inserted and deleted
 * has never been there.  When a row is not found as it was left, the other
 * parts are asked; which is rare, so the answer is prepared only then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "keep/column.h"
#include "keep/vault.h"
#include "keep/writes.h"

struct OtherWrites
{
	const Kept *kept;
	const WritesShape *shape;
	HTAB	   *inserted;		/* of RowHash, or NULL: not asked yet */
	HTAB	   *deleted;
};

OtherWrites *
other_writes_open(const Kept *kept, const WritesShape *shape)
{
	OtherWrites *others;

	if (shape->nkeys == 0)
		return NULL;
	others = palloc0(sizeof(OtherWrites));
	others->kept = kept;
	others->shape = shape;
	return others;
}

/*
 * What the same migration wrote in the table before this, or after it.  The
 * owner of the table, as whom rows are taken back, may not read the history.
 */
static List *
find_others(const Kept *kept, bool before)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			types[3] = {INT8OID, TEXTOID, INT8OID};
	Datum		args[3] = {Int64GetDatum(kept->migration), CStringGetTextDatum(kept->identity),
	Int64GetDatum(kept->command)};
	List	   *ids = NIL;
	List	   *found = NIL;
	ListCell   *lc;
	Frame		frame;

	frame_become_owner(&frame);
	SPI_connect();
	if (SPI_execute_with_args(psprintf("SELECT id FROM safemig.kept_log"
									   " WHERE migration OPERATOR(pg_catalog.=) $1"
									   " AND kind OPERATOR(pg_catalog.=) '" WRITES_KIND "'"
									   " AND state OPERATOR(pg_catalog.=) 'kept'"
									   " AND identity OPERATOR(pg_catalog.=) $2"
									   " AND command OPERATOR(pg_catalog.%s) $3 ORDER BY id",
									   before ? "<" : ">"),
							  3, types, args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kept_log");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		int64	   *id = palloc(sizeof(int64));

		*id = strtoll(SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1), NULL, 10);
		ids = lappend(ids, id);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	foreach(lc, ids)
		found = lappend(found, history_get_kept(*(int64 *) lfirst(lc)));
	frame_unpin(&frame);
	return found;
}

/* Does the other copy know rows by the same columns, in the same form? */
static bool
has_same_key(const OtherWrites *others, const Kept *other, Relation copy)
{
	if (kept_number(other, "keys") != others->shape->nkeys)
		return false;
	for (int i = 0; i < others->shape->nkeys; i++)
	{
		const StoredColumn *key = &others->shape->keys[i];
		const char *name = kept_detail(other, psprintf("key %d", i + 1));

		if (name == NULL || strcmp(name, key->name) != 0 ||
			TupleDescAttr(RelationGetDescr(copy), WRITTEN_FIXED + i)->atttypid != stored_column_type(key))
			return false;
	}
	return true;
}

/* The column of the copy that the row has its key in. */
static AttrNumber
key_attnum(const OtherWrites *others, TupleTableSlot *slot, int key, bool deleted)
{
	TupleDesc	desc = slot->tts_tupleDescriptor;

	if (!deleted)
		return WRITTEN_FIXED + key + 1;
	/* a row that is not there any more has no key but its old one */
	for (int i = WRITTEN_FIXED + others->shape->nkeys; i < desc->natts; i++)
	{
		if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), others->shape->keys[key].name) == 0)
			return i + 1;
	}
	return InvalidAttrNumber;
}

/* false: its key is not to be found */
static bool
key_hash(const OtherWrites *others, TupleTableSlot *slot, RowHash *hash)
{
	bool		isnull;
	bool		deleted = DatumGetChar(slot_getattr(slot, WRITTEN_ACTION, &isnull)) == ROW_DELETED;

	*hash = row_hash_begin();
	for (int i = 0; i < others->shape->nkeys; i++)
	{
		AttrNumber	attnum = key_attnum(others, slot, i, deleted);
		Datum		value;

		if (attnum == InvalidAttrNumber)
			return false;
		value = slot_getattr(slot, attnum, &isnull);
		row_hash_add(hash, TupleDescAttr(slot->tts_tupleDescriptor, attnum - 1), value, isnull);
	}
	return true;
}

static void
add_keys(const OtherWrites *others, const Kept *other, char action, HTAB *keys)
{
	Relation	copy = rows_open_copy(other);
	TupleTableSlot *slot = table_slot_create(copy, NULL);
	Snapshot	snapshot;
	TableScanDesc scan;
	bool		isnull;

	if (has_same_key(others, other, copy))
	{
		scan = plain_scan_begin(copy, &snapshot);
		while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
		{
			RowHash		hash;

			CHECK_FOR_INTERRUPTS();
			if (DatumGetChar(slot_getattr(slot, WRITTEN_ACTION, &isnull)) != action)
				continue;
			if (key_hash(others, slot, &hash))
				(void) hash_search(keys, &hash, HASH_ENTER, NULL);
		}
		ExecClearTuple(slot);
		plain_scan_end(scan, snapshot);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_close(copy, AccessShareLock);
}

static HTAB *
keys_of_others(OtherWrites *others, bool before, char action)
{
	HASHCTL		ctl = {.keysize = sizeof(RowHash),.entrysize = sizeof(RowHash),
	.hcxt = GetMemoryChunkContext(others)};
	MemoryContext old = MemoryContextSwitchTo(ctl.hcxt);
	HTAB	   *keys = hash_create("safemig keys of rows", 256, &ctl,
								   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	ListCell   *lc;

	foreach(lc, find_others(others->kept, before))
		add_keys(others, lfirst(lc), action, keys);
	MemoryContextSwitchTo(old);
	return keys;
}

static bool
has_key(const OtherWrites *others, HTAB *keys, TupleTableSlot *kept)
{
	RowHash		hash;

	return key_hash(others, kept, &hash) &&
		hash_search(keys, &hash, HASH_FIND, NULL) != NULL;
}

/* Another row had that key before: of an updated row only what changed is kept. */
static bool
key_was_changed(const OtherWrites *others, TupleTableSlot *kept)
{
	bool		isnull;

	if (DatumGetChar(slot_getattr(kept, WRITTEN_ACTION, &isnull)) != ROW_UPDATED)
		return false;
	for (int i = 0; i < others->shape->nkeys; i++)
	{
		AttrNumber	attnum = key_attnum(others, kept, i, true);

		if (attnum == InvalidAttrNumber)
			return true;
		(void) slot_getattr(kept, attnum, &isnull);
		if (!isnull)
			return true;
	}
	return false;
}

bool
other_writes_inserted(OtherWrites *others, TupleTableSlot *kept)
{
	if (others == NULL || key_was_changed(others, kept))
		return false;
	if (others->inserted == NULL)
		others->inserted = keys_of_others(others, true, ROW_INSERTED);
	return has_key(others, others->inserted, kept);
}

bool
other_writes_deleted(OtherWrites *others, TupleTableSlot *kept)
{
	if (others == NULL)
		return false;
	if (others->deleted == NULL)
		others->deleted = keys_of_others(others, false, ROW_DELETED);
	return has_key(others, others->deleted, kept);
}
