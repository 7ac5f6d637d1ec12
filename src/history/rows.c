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
		elog(ERROR, "table %s has %d columns, not %d", table,
			 RelationGetDescr(rel)->natts, natts);
	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);
	CatalogTupleInsert(rel, tuple);
	heap_freetuple(tuple);
	table_close(rel, RowExclusiveLock);
}

int64
history_nextval(const char *sequence)
{
	return nextval_internal(own_relation(sequence), false);
}
