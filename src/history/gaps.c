/*-------------------------------------------------------------------------
 *
 * gaps.c
 *	  Where the history of a framework and that of safemig do not agree.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "history/framework.h"

PG_FUNCTION_INFO_V1(safemig_framework_gaps);

typedef struct Gaps
{
	ReturnSetInfo *result;
	const Framework *framework;
	char	   *history;		/* the table's name */
} Gaps;

static void
put_gap(Gaps *gaps, const char *label, int64 migration, const char *problem)
{
	Datum		values[5] = {CStringGetTextDatum(gaps->framework->name),
		CStringGetTextDatum(gaps->history), CStringGetTextDatum(label),
	Int64GetDatum(migration), CStringGetTextDatum(problem)};
	bool		nulls[5] = {false, false, false, migration == 0, false};

	tuplestore_putvalues(gaps->result->setResult, gaps->result->setDesc, values, nulls);
}

/* One that stood and was not the framework's way back, or taken back by it. */
#define STANDS(m) \
	m ".kind OPERATOR(pg_catalog.=) 'migration'" \
	" AND " m ".state OPERATOR(pg_catalog.<>) 'rolled_back'" \
	" AND " m ".framework OPERATOR(pg_catalog.=) $1" \
	" AND " m ".history OPERATOR(pg_catalog.=) $3" \
	" AND " m ".version IS NOT NULL AND " m ".label NOT LIKE 'revert of %'" \
	" AND NOT EXISTS (SELECT FROM safemig.migration_log r" \
	"  WHERE r.id OPERATOR(pg_catalog.=) " m ".reverted_by" \
	"  AND r.state OPERATOR(pg_catalog.<>) 'rolled_back')" \
	" AND NOT EXISTS (SELECT FROM safemig.migration_log r" \
	"  WHERE r.reverted_by OPERATOR(pg_catalog.=) " m ".id)"

/*
 * Migrations of the framework that stand without a row, as far as rows could
 * tell of them: one row tells of the last alone.
 */
static List *
without_row(const Framework *framework, char *history, List *rows)
{
	Oid			types[4] = {TEXTOID, TEXTARRAYOID, TEXTOID, BOOLOID};
	Datum		args[4] = {CStringGetTextDatum(framework->name), (Datum) 0,
	CStringGetTextDatum(history), BoolGetDatum(framework->one_row)};
	Datum	   *labels = palloc(sizeof(Datum) * Max(1, list_length(rows)));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, rows)
	{
		FoundRow   *found = lfirst(lc);

		if (found->row.applied)
			labels[n++] = CStringGetTextDatum(found->row.label);
	}
	args[1] = PointerGetDatum(construct_array(labels, n, TEXTOID, -1, false, TYPALIGN_INT));
	return migration_ids_of("SELECT m.id FROM safemig.migration_log m WHERE " STANDS("m")
							" AND m.label OPERATOR(pg_catalog.<>) ALL ($2)"
							" AND NOT ($4 AND EXISTS (SELECT FROM safemig.migration_log l WHERE " STANDS("l")
							"  AND l.id OPERATOR(pg_catalog.>) m.id"
							"  AND l.line OPERATOR(pg_catalog.=) m.line))"
							" ORDER BY m.id", 4, types, args);
}

bool
framework_row_is_missing(const Framework *framework, Relation rel, int64 migration)
{
	ListCell   *lc;

	foreach(lc, without_row(framework, history_name(RelationGetRelid(rel)),
							framework_read_rows(framework, rel)))
	{
		if (*(int64 *) lfirst(lc) == migration)
			return true;
	}
	return false;
}

/* Rows that are older than all that is recorded say nothing. */
static TransactionId
first_recorded(void)
{
	TransactionId xid = InvalidTransactionId;
	bool		isnull;

	SPI_connect();
	if (SPI_execute("SELECT m.xid::pg_catalog.int8 FROM safemig.migration_log m"
					" WHERE m.xid IS NOT NULL ORDER BY m.id LIMIT 1", true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read migration_log");
	if (SPI_processed > 0)
		xid = (TransactionId) DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
														  SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return xid;
}

static bool
is_listed(List *rows, const HistoryRow *row)
{
	ListCell   *lc;

	foreach(lc, rows)
	{
		if (strcmp(((HistoryRow *) lfirst(lc))->label, row->label) == 0)
			return true;
	}
	return false;
}

static void
look_at(Gaps *gaps, Relation rel, TransactionId first)
{
	List	   *rows = framework_read_rows(gaps->framework, rel);
	List	   *to_adopt = framework_rows_to_adopt(gaps->framework, RelationGetRelid(rel));
	ListCell   *lc;

	foreach(lc, rows)
	{
		FoundRow   *found = lfirst(lc);

		if (!found->row.applied)
			continue;
		if (TransactionIdIsNormal(first) && TransactionIdIsNormal(found->xmin) &&
			TransactionIdFollowsOrEquals(found->xmin, first) &&
			!framework_row_is_recorded(gaps->framework, &found->row) &&
			!is_listed(to_adopt, &found->row))
			put_gap(gaps, found->row.label, 0, "nothing is recorded of it");
	}
	foreach(lc, without_row(gaps->framework, gaps->history, rows))
	{
		int64		id = *(int64 *) lfirst(lc);

		put_gap(gaps, history_get_migration(id, false)->label, id, "its row is not there");
	}
}

/* safemig.framework_gaps(): for administrators */
Datum
safemig_framework_gaps(PG_FUNCTION_ARGS)
{
	Gaps		gaps = {(ReturnSetInfo *) fcinfo->resultinfo};
	TransactionId first;
	Frame		frame;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	if (!is_administrator(GetUserId()))
		return (Datum) 0;
	frame_become_owner(&frame);
	own_work_begin();
	first = first_recorded();
	foreach(lc, framework_tables())
	{
		FrameworkTable table;
		Relation	rel;

		gaps.framework = framework_of(lfirst_oid(lc), &table);
		/* who holds it locked may take his time */
		if (!ConditionalLockRelationOid(lfirst_oid(lc), AccessShareLock))
			continue;
		rel = try_table_open(lfirst_oid(lc), NoLock);
		if (rel == NULL)
			continue;
		gaps.history = history_name(lfirst_oid(lc));
		look_at(&gaps, rel, first);
		table_close(rel, NoLock);
	}
	own_work_end();
	frame_unpin(&frame);
	return (Datum) 0;
}
