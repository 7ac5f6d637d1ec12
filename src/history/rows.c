/*-------------------------------------------------------------------------
 *
 * rows.c
 *	  Rows into the history's tables, without SPI.
 *
 * Every command writes some; planning an INSERT for each would cost more
 * than the row.  The tables have plain unique indexes and nothing else, which
 * is what CatalogTupleInsert needs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "commands/sequence.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "history/history.h"

static Oid
own_relation(const char *name)
{
	Oid			relid = get_relname_relid(name, get_namespace_oid(SAFEMIG_SCHEMA, false));

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s.%s\" does not exist", SAFEMIG_SCHEMA, name),
				 errhint("The extension safemig is damaged: see safemig_doctor().")));
	return relid;
}

Relation
history_open(const char *table, LOCKMODE lockmode)
{
	return table_open(own_relation(table), lockmode);
}

void
history_insert(const char *table, Datum *values, bool *nulls, int natts)
{
	Relation	rel = history_open(table, RowExclusiveLock);
	HeapTuple	tuple;

	if (RelationGetDescr(rel)->natts != natts)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CAPTURE),
				 errmsg("table %s.%s has %d columns, and the library wants %d",
						SAFEMIG_SCHEMA, table, RelationGetDescr(rel)->natts, natts),
				 errdetail("The library and the extension are of different versions."),
				 errhint("ALTER EXTENSION safemig UPDATE; makes them the same, where the library is the newer one.")));
	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);
	CatalogTupleInsert(rel, tuple);
	heap_freetuple(tuple);
	table_close(rel, RowExclusiveLock);
}

/* The largest key that there is, of a table with one of a single number. */
static int64
highest_key(const char *table)
{
	Relation	rel = history_open(table, AccessShareLock);
	Relation	index;
	SysScanDesc scan;
	HeapTuple	tuple;
	int64		key = 0;
	bool		isnull;

	/* which finds rd_pkindex */
	list_free(RelationGetIndexList(rel));
	index = index_open(rel->rd_pkindex, AccessShareLock);
	scan = systable_beginscan_ordered(rel, index, NULL, 0, NULL);
	tuple = systable_getnext_ordered(scan, BackwardScanDirection);
	if (HeapTupleIsValid(tuple))
		key = DatumGetInt64(heap_getattr(tuple, index->rd_index->indkey.values[0],
										 RelationGetDescr(rel), &isnull));
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
	return key;
}

/*
 * A dump that is restored into a database with a history of its own sets the
 * sequences back, though its rows are refused: their numbers are passed over.
 */
int64
history_nextval(const char *sequence)
{
	static const struct
	{
		const char *sequence;
		const char *table;
	}			tables[] = {
		{"migration_id", "migration_log"},
		{"command_seq", "command_log"},
		{"kept_id", "kept_log"},
		{"failure_id", "failure_log"},
	};
	Oid			seqid = own_relation(sequence);
	int64		number = nextval_internal(seqid, false);

	for (size_t i = 0; i < lengthof(tables); i++)
	{
		int64		highest;

		if (strcmp(tables[i].sequence, sequence) != 0)
			continue;
		highest = highest_key(tables[i].table);
		while (number <= highest)
			number = nextval_internal(seqid, false);
	}
	return number;
}
