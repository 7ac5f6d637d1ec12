/*-------------------------------------------------------------------------
 *
 * measure.c
 *	  What things took on this server: safemig.step_log.
 *
 * Rollbacks and rehearsals write down their steps, commands that go through
 * many rows themselves.  The newest of each kind and class stay.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "history/history.h"

/* Of each kind and class; older ones say less about the server of now. */
#define MEASURES_REMEMBERED 100

/* columns of step_log */
enum
{
	STEP_LOG_KIND = 2,
	STEP_LOG_COST = 3
};

/* rows and bytes: -1 where they are not known */
void
history_write_measure(TimestampTz since, const char *kind, const char *cost,
					  int64 rows, int64 bytes, double ms)
{
	Datum		values[6];
	bool		nulls[6] = {false};

	values[0] = TimestampTzGetDatum(since);
	values[1] = CStringGetTextDatum(kind);
	values[2] = CStringGetTextDatum(cost);
	values[3] = Int64GetDatum(rows);
	nulls[3] = rows < 0;
	values[4] = Int64GetDatum(bytes);
	nulls[4] = bytes < 0;
	values[5] = Float8GetDatum(ms);
	history_insert("step_log", values, nulls, lengthof(values));
}

/*
 * One at a time, since a rehearsal has given its locks back by now; who comes
 * meanwhile leaves it to the next one.
 */
bool
history_forgets_measures(void)
{
	Relation	rel = history_open("step_log", RowExclusiveLock);
	bool		alone = ConditionalLockRelation(rel, ShareUpdateExclusiveLock);

	table_close(rel, NoLock);
	if (alone)
		CommandCounterIncrement();
	return alone;
}

void
history_forget_measures(const char *kind, const char *cost)
{
	Relation	rel = history_open("step_log", RowExclusiveLock);
	Relation	index = index_open(get_relname_relid("step_log_kind",
													 RelationGetNamespace(rel)),
								   AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	int			found = 0;

	ScanKeyInit(&key[0], STEP_LOG_KIND, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(kind));
	ScanKeyInit(&key[1], STEP_LOG_COST, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(cost));
	scan = systable_beginscan_ordered(rel, index, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, BackwardScanDirection)))
	{
		if (++found > MEASURES_REMEMBERED)
			CatalogTupleDelete(rel, &tuple->t_self);
	}
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(rel, RowExclusiveLock);
}
