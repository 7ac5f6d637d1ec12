/*-------------------------------------------------------------------------
 *
 * index.c
 *	  An index that was never built.
 *
 * CREATE INDEX CONCURRENTLY that fails leaves an index that is in the catalogs
 * and nowhere else: nothing reads it, nothing writes to it.  Most often it
 * could not be built, so that it cannot be put back by building it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "parser/parse_utilcmd.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "keep/column.h"

PG_FUNCTION_INFO_V1(safemig_create_unbuilt_index);

static void
mark_unbuilt(Oid indexid)
{
	Relation	rel = table_open(IndexRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(INDEXRELID, ObjectIdGetDatum(indexid));
	Form_pg_index form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u", indexid);
	form = (Form_pg_index) GETSTRUCT(tuple);
	form->indisvalid = false;
	form->indisready = false;
	CatalogTupleUpdate(rel, &tuple->t_self, tuple);
	CacheInvalidateRelcacheByRelid(form->indrelid);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
}

static IndexStmt *
parse_index(const char *sql)
{
	List	   *parsed = raw_parser(sql, RAW_PARSE_DEFAULT);
	RawStmt    *raw = list_length(parsed) == 1 ? linitial_node(RawStmt, parsed) : NULL;

	if (raw == NULL || !IsA(raw->stmt, IndexStmt))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("\"%s\" does not make an index", sql)));
	return (IndexStmt *) raw->stmt;
}

/* safemig.create_unbuilt_index(definition text) */
Datum
safemig_create_unbuilt_index(PG_FUNCTION_ARGS)
{
	char	   *sql = text_to_cstring(PG_GETARG_TEXT_PP(0));
	IndexStmt  *stmt;
	Oid			relid;
	ObjectAddress table;
	ObjectAddress index;
	Frame		frame;

	check_own_call("create_unbuilt_index");
	stmt = parse_index(sql);
	stmt->concurrent = false;
	relid = RangeVarGetRelid(stmt->relation, ShareLock, false);
	ObjectAddressSet(table, RelationRelationId, relid);
	capture_internal_begin("CREATE INDEX", list_make1(&table));
	frame_become_for(&frame, relation_owner(relid), (Node *) stmt, InvalidOid, 0);
	stmt = transformIndexStmt(relid, stmt, sql);
	frame_unpin(&frame);
	index = define_index_unbuilt(relid, stmt);
	CommandCounterIncrement();
	mark_unbuilt(index.objectId);
	capture_internal_end();
	PG_RETURN_VOID();
}
