/*-------------------------------------------------------------------------
 *
 * rowwriter.c
 *	  Writes one column of a table, row by row.
 *
 * As logical replication writes, as the table's owner, restricted, since that
 * evaluates the table's checks and index expressions: no trigger fires, no rule
 * applies, no policy looks, and generated columns are computed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "keep/column.h"
#include "keep/rowwriter.h"
#include "progress.h"

void
writer_begin(RowWriter *writer, Relation rel, AttrNumber attnum)
{
	memset(writer, 0, sizeof(RowWriter));
	writer->rel = rel;
	writer->attnum = attnum;
	writer->estate = estate_for_update(rel, attnum);
	writer->estate->es_snapshot = RegisterSnapshot(GetLatestSnapshot());
	writer->estate->es_output_cid = GetCurrentCommandId(true);
	writer->target = makeNode(ResultRelInfo);
	InitResultRelInfo(writer->target, rel, 1, NULL, 0);
	writer->target->ri_TrigDesc = NULL;
	writer->estate->es_opened_result_relations = list_make1(writer->target);
	ExecOpenIndices(writer->target, false);
	writer->old = table_slot_create(rel, NULL);
	writer->new = ExecInitExtraTupleSlot(writer->estate, RelationGetDescr(rel),
										 &TTSOpsVirtual);
	writer->context = AllocSetContextCreate(CurrentMemoryContext,
											"safemig fill", ALLOCSET_DEFAULT_SIZES);
}

void
writer_end(RowWriter *writer)
{
	ExecCloseIndices(writer->target);
	ExecDropSingleTupleTableSlot(writer->old);
	ExecResetTupleTable(writer->estate->es_tupleTable, false);
	UnregisterSnapshot(writer->estate->es_snapshot);
	FreeExecutorState(writer->estate);
	MemoryContextDelete(writer->context);
	CommandCounterIncrement();
}

void
writer_fetch(RowWriter *writer, ItemPointer place)
{
	if (!table_tuple_fetch_row_version(writer->rel, place,
									   writer->estate->es_snapshot, writer->old))
		elog(ERROR, "could not find row (%u,%u) of \"%s\"",
			 ItemPointerGetBlockNumber(place), ItemPointerGetOffsetNumber(place),
			 RelationGetRelationName(writer->rel));
}

/* Gives the fetched row its value. */
void
writer_put(RowWriter *writer, Datum value, bool isnull)
{
	int			natts = RelationGetDescr(writer->rel)->natts;

	slot_getallattrs(writer->old);
	ExecClearTuple(writer->new);
	memcpy(writer->new->tts_values, writer->old->tts_values, natts * sizeof(Datum));
	memcpy(writer->new->tts_isnull, writer->old->tts_isnull, natts * sizeof(bool));
	writer->new->tts_values[writer->attnum - 1] = value;
	writer->new->tts_isnull[writer->attnum - 1] = isnull;
	ExecStoreVirtualTuple(writer->new);
	ExecSimpleRelationUpdate(writer->target, writer->estate, &writer->epq,
							 writer->old, writer->new);
	ResetPerTupleExprContext(writer->estate);
}

/*
 * Planning alone may raise an error: it parses the bodies of SQL functions,
 * which may not be made for our search_path.
 */
static void
prepare_expression(RowWriter *writer)
{
	MemoryContext old = MemoryContextSwitchTo(writer->estate->es_query_cxt);
	Node	   *cooked = cook_column_expression(writer->rel, writer->attnum,
												writer->text, writer->generated);

	writer->expression = ExecPrepareExpr((Expr *) cooked, writer->estate);
	MemoryContextSwitchTo(old);
}

Datum
writer_evaluate(RowWriter *writer, bool *isnull)
{
	ExprContext *econtext = GetPerTupleExprContext(writer->estate);

	if (writer->expression == NULL)
		prepare_expression(writer);
	econtext->ecxt_scantuple = writer->old;
	return ExecEvalExpr(writer->expression, econtext, isnull);
}

/* Gives every row whose value is another one that of the expression. */
int64
writer_compute_all(RowWriter *writer)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(writer->rel), writer->attnum - 1);
	int64		written = 0;
	Snapshot	snapshot;
	TableScanDesc scan = plain_scan_begin(writer->rel, &snapshot);
	Progress	progress;

	progress_begin_scan(&progress, PROGRESS_PUTTING_BACK, writer->rel);
	while (table_scan_getnextslot(scan, ForwardScanDirection, writer->old))
	{
		MemoryContext old = MemoryContextSwitchTo(writer->context);
		bool		isnull;
		bool		had_none;
		Datum		value;
		Datum		now;

		CHECK_FOR_INTERRUPTS();
		progress_row(&progress, writer->old);
		value = writer_evaluate(writer, &isnull);
		now = slot_getattr(writer->old, writer->attnum, &had_none);
		if (isnull != had_none ||
			(!isnull && !datum_image_eq(value, now, att->attbyval, att->attlen)))
		{
			writer_put(writer, value, isnull);
			written++;
		}
		ResetPerTupleExprContext(writer->estate);
		MemoryContextSwitchTo(old);
		MemoryContextReset(writer->context);
	}
	progress_end(&progress);
	plain_scan_end(scan, snapshot);
	return written;
}
