/*-------------------------------------------------------------------------
 *
 * follow.c
 *	  Kept values of a table without a key, through rewrites of the table.
 *
 * Such values are put back by the place of their row, which is proved by what
 * the rewrite that followed the keeping stamped on every row.  Another rewrite
 * (the next change of a type, or the way back of one) leaves the order of the
 * rows, but stamps them anew.  If everything is in place when it begins, it
 * still is when it is done, and the values get the new stamp.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "keep/retype.h"

/* Ids of what may be such values of the relation; the array is flat. */
static List *
candidates(Oid relid)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			type = TEXTOID;
	Datum		arg = CStringGetTextDatum(psprintf("%u", relid));
	List	   *ids = NIL;

	SPI_connect();
	if (SPI_execute_with_args("SELECT id FROM safemig.kept_log"
							  " WHERE kind OPERATOR(pg_catalog.=) 'values'"
							  " AND state OPERATOR(pg_catalog.<>) 'pruned'"
							  " AND details OPERATOR(pg_catalog.@>) ARRAY['keyless', 'relation', $1]"
							  " ORDER BY id",
							  1, &type, &arg, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kept_log");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		int64	   *id = MemoryContextAlloc(context, sizeof(int64));
		MemoryContext old;
		bool		isnull;

		*id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i],
										  SPI_tuptable->tupdesc, 1, &isnull));
		old = MemoryContextSwitchTo(context);
		ids = lappend(ids, id);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return ids;
}

List *
column_keep_follow(Oid relid)
{
	Relation	rel = relation_open(relid, NoLock);
	List	   *ids = candidates(relid);
	ListCell   *lc;

	foreach(lc, ids)
	{
		Kept	   *kept = history_get_kept(*(int64 *) lfirst(lc));
		int64		untouched;

		if (!kept_is_same_relation(kept, relid) ||
			kept_detail(kept, "restored") != NULL ||
			kept_detail(kept, "stamp") == NULL ||
			!retyped_rows_in_place(rel, kept, &untouched))
			ids = foreach_delete_current(ids, lc);
	}
	/* the order in which the rewrite reads is that of the rows */
	if (ids != NIL)
		reset_scan_start(rel);
	relation_close(rel, NoLock);
	return ids;
}
