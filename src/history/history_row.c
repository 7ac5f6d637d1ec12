/*-------------------------------------------------------------------------
 *
 * history_row.c
 *	  What do the rows of a history table say?
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "history/framework.h"

/* ---- one row ---- */

/* SELECT of the three expressions; its parameters are the columns there. */
static char *
row_query(const Framework *framework, TupleDesc desc, Oid *types, int *ntypes)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT (%s)::pg_catalog.text, (%s)::pg_catalog.text,"
					 " COALESCE((%s)::pg_catalog.bool, false) FROM (SELECT ",
					 framework->label, framework->version, framework->applied);
	*ntypes = 0;
	foreach(lc, framework->columns)
	{
		FrameworkColumn *column = lfirst(lc);
		Form_pg_attribute att = desc ? framework_attribute(desc, column->name) : NULL;

		if (foreach_current_index(lc) > 0)
			appendStringInfoString(&buf, ", ");
		if (att)
		{
			types[(*ntypes)++] = att->atttypid;
			appendStringInfo(&buf, "$%d", *ntypes);
		}
		else
			appendStringInfo(&buf, "NULL::%s", (char *) linitial(column->types));
		appendStringInfo(&buf, " AS %s", quote_identifier(column->name));
	}
	appendStringInfoString(&buf, ") r");
	return buf.data;
}

static char *
whole_name(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
									  RelationGetRelationName(rel));
}

static char *
line_of_row(const Framework *framework, Relation rel, TupleTableSlot *slot)
{
	TupleDesc	desc = RelationGetDescr(rel);
	StringInfoData buf;
	ListCell   *lc;

	if (!framework->linear)
		return NULL;
	initStringInfo(&buf);
	appendStringInfoString(&buf, whole_name(rel));
	foreach(lc, framework->linear_by)
	{
		Form_pg_attribute att = framework_attribute(desc, lfirst(lc));
		bool		isnull = true;
		Datum		value = att ? slot_getattr(slot, att->attnum, &isnull) : (Datum) 0;
		Oid			output;
		bool		varlena;

		if (isnull)
			continue;
		getTypeOutputInfo(att->atttypid, &output, &varlena);
		appendStringInfo(&buf, " %s=%s", NameStr(att->attname),
						 OidOutputFunctionCall(output, value));
	}
	return buf.data;
}

static void
evaluate(const char *query, int ntypes, Oid *types, Datum *values, const char *nulls,
		 MemoryContext context, HistoryRow *row)
{
	TupleDesc	desc;
	HeapTuple	tuple;
	MemoryContext old;

	SPI_connect();
	if (SPI_execute_with_args(query, ntypes, types, values, nulls, true, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not read a row of a history table");
	desc = SPI_tuptable->tupdesc;
	tuple = SPI_tuptable->vals[0];
	old = MemoryContextSwitchTo(context);
	row->label = SPI_getvalue(tuple, desc, 1);
	row->version = SPI_getvalue(tuple, desc, 2);
	row->applied = DatumGetBool(heap_getattr(tuple, 3, desc, &(bool) {false}));
	MemoryContextSwitchTo(old);
	SPI_finish();
	if (row->label == NULL)
		row->label = pstrdup(row->version ? row->version : "");
}

HistoryRow *
framework_read_row(const Framework *framework, Relation rel, TupleTableSlot *slot)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			n = list_length(framework->columns);
	Oid		   *types = palloc(n * sizeof(Oid));
	Datum	   *values = palloc(n * sizeof(Datum));
	char	   *nulls = palloc(n + 1);
	HistoryRow *row = palloc0(sizeof(HistoryRow));
	int			ntypes;
	char	   *query = row_query(framework, desc, types, &ntypes);
	int			i = 0;
	Frame		frame;
	ListCell   *lc;

	foreach(lc, framework->columns)
	{
		Form_pg_attribute att = framework_attribute(desc, ((FrameworkColumn *) lfirst(lc))->name);
		bool		isnull;

		if (att == NULL)
			continue;
		values[i] = slot_getattr(slot, att->attnum, &isnull);
		nulls[i++] = isnull ? 'n' : ' ';
	}
	nulls[i] = '\0';
	frame_become(&frame, rel->rd_rel->relowner);
	evaluate(query, ntypes, types, values, nulls, CurrentMemoryContext, row);
	frame_unpin(&frame);
	row->history = whole_name(rel);
	row->line = line_of_row(framework, rel, slot);
	return row;
}

/* An expression that cannot be evaluated is an error. */
void
framework_check_expressions(const Framework *framework)
{
	int			ntypes;
	char	   *query = row_query(framework, NULL, NULL, &ntypes);
	HistoryRow	row;

	evaluate(query, 0, NULL, NULL, NULL, CurrentMemoryContext, &row);
}

/* ---- all rows ---- */

/* Nobody has run more migrations; a table that has more rows is somebody's joke. */
#define ROWS_READ	100000

/* What they say, and which transaction wrote each, as a number. */
static char *
rows_query(const Framework *framework, Relation rel)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT (%s)::pg_catalog.text, (%s)::pg_catalog.text,"
					 " COALESCE((%s)::pg_catalog.bool, false), safemig_xmin::text::bigint, safemig_ctid"
					 " FROM (SELECT xmin AS safemig_xmin, ctid AS safemig_ctid",
					 framework->label, framework->version, framework->applied);
	foreach(lc, framework->columns)
	{
		FrameworkColumn *column = lfirst(lc);
		const char *name = quote_identifier(column->name);

		if (framework_attribute(RelationGetDescr(rel), column->name))
			appendStringInfo(&buf, ", %s", name);
		else
			appendStringInfo(&buf, ", NULL::%s AS %s", (char *) linitial(column->types), name);
	}
	appendStringInfo(&buf, " FROM ONLY %s LIMIT %d) r", whole_name(rel), ROWS_READ);
	return buf.data;
}

typedef struct ReadRows
{
	const Framework *framework;
	Relation	rel;
	List	   *rows;			/* of FoundRow* */
} ReadRows;

static bool
read_rows(void *arg)
{
	ReadRows   *read = arg;
	const Framework *framework = read->framework;
	Relation	rel = read->rel;
	MemoryContext context = CurrentMemoryContext;
	char	   *query = rows_query(framework, rel);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Frame		frame;

	frame_become(&frame, rel->rd_rel->relowner);
	SPI_connect();
	if (SPI_execute(query, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read \"%s\"", RelationGetRelationName(rel));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		MemoryContext old = MemoryContextSwitchTo(context);
		FoundRow   *row = palloc0(sizeof(FoundRow));
		bool		isnull;

		row->row.label = SPI_getvalue(tuple, desc, 1);
		row->row.version = SPI_getvalue(tuple, desc, 2);
		row->row.applied = DatumGetBool(heap_getattr(tuple, 3, desc, &isnull));
		row->xmin = (TransactionId) DatumGetInt64(heap_getattr(tuple, 4, desc, &isnull));
		row->tid = *(ItemPointer) DatumGetPointer(heap_getattr(tuple, 5, desc, &isnull));
		if (row->row.label == NULL)
			row->row.label = pstrdup(row->row.version ? row->row.version : "");
		row->row.history = whole_name(rel);
		if (framework->linear &&
			table_tuple_fetch_row_version(rel, &row->tid, GetActiveSnapshot(), slot))
			row->row.line = line_of_row(framework, rel, slot);
		read->rows = lappend(read->rows, row);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	frame_unpin(&frame);
	ExecDropSingleTupleTableSlot(slot);
	return true;
}

/*
 * Of the rows that are there, in no order: of FoundRow*.  A table that its owner
 * has made unreadable (row security that is forced) is in nobody's way.
 */
List *
framework_read_rows(const Framework *framework, Relation rel)
{
	ReadRows	read = {framework, rel};
	ErrorData  *error = attempt(read_rows, &read);

	if (error && ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	return error ? NIL : read.rows;
}
