/*-------------------------------------------------------------------------
 *
 * index.c
 *	  What a rollback has to do to an index and no statement can.
 *
 * CREATE INDEX CONCURRENTLY that fails leaves an index that is in the catalogs
 * and nowhere else: nothing reads it, nothing writes to it.  Most often it
 * could not be built, so that it cannot be put back by building it.  Nor can an
 * index that was built be made invalid again.
 *
 * A table that is attached as a partition gets every index of the partitioned
 * table, whether it had one or not; only a valid index is taken for one of
 * these; and an index once attached stays so.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "parser/parse_utilcmd.h"
#include "parser/parser.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "compat.h"
#include "keep/column.h"

PG_FUNCTION_INFO_V1(safemig_create_unbuilt_index);
PG_FUNCTION_INFO_V1(safemig_set_index_valid);
PG_FUNCTION_INFO_V1(safemig_attach_index);
PG_FUNCTION_INFO_V1(safemig_detach_index);
PG_FUNCTION_INFO_V1(safemig_set_index_live);

static RangeVar *
index_name(text *name)
{
	return makeRangeVarFromNameList(textToQualifiedNameList(name));
}

static Oid
table_of_index(Oid indexid)
{
	Oid			relid = IndexGetRelation(indexid, true);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an index", get_rel_name(indexid))));
	return relid;
}

/* The table first, as whoever plans with the index locks it. */
static Oid
lock_index(text *name)
{
	Oid			indexid = RangeVarGetRelid(index_name(name), NoLock, false);
	Oid			relid = table_of_index(indexid);

	LockRelationOid(relid, AccessExclusiveLock);
	LockRelationOid(indexid, AccessExclusiveLock);
	return indexid;
}

static void
mark_index(Oid indexid, bool valid)
{
	Relation	rel = table_open(IndexRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(INDEXRELID, ObjectIdGetDatum(indexid));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u", indexid);
	((Form_pg_index) GETSTRUCT(tuple))->indisvalid = valid;
	CatalogTupleUpdate(rel, &tuple->t_self, tuple);
	CacheInvalidateRelcacheByRelid(((Form_pg_index) GETSTRUCT(tuple))->indrelid);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
}

/*
 * One of a partitioned table is valid when every partition has a valid one,
 * but for foreign tables, which have no indexes.  ALTER INDEX ATTACH PARTITION says so,
 * also of what is attached already, but there need not be any.
 */
static bool
validate_partitioned(Oid indexid)
{
	List	   *partitions = find_inheritance_children(IndexGetRelation(indexid, false), NoLock);
	int			wanted = 0;
	int			valid = 0;
	ListCell   *lc;

	foreach(lc, partitions)
	{
		if (get_rel_relkind(lfirst_oid(lc)) != RELKIND_FOREIGN_TABLE)
			wanted++;
	}
	foreach(lc, find_inheritance_children(indexid, AccessExclusiveLock))
	{
		if (get_index_isvalid(lfirst_oid(lc)) ||
			(get_rel_relkind(lfirst_oid(lc)) == RELKIND_PARTITIONED_INDEX &&
			 validate_partitioned(lfirst_oid(lc))))
			valid++;
	}
	if (valid < wanted)
		return false;
	if (!get_index_isvalid(indexid))
		mark_index(indexid, true);
	return true;
}

/* Nobody has kept an invalid index up to date.  The table's owner builds it. */
static void
rebuild_index(Oid indexid)
{
	char	   *sql = psprintf("REINDEX INDEX %s",
							   quote_qualified_identifier(get_namespace_name(get_rel_namespace(indexid)),
														  get_rel_name(indexid)));

	SPI_connect();
	if (SPI_execute(sql, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not run \"%s\"", sql);
	SPI_finish();
}

/* In the catalogs, and neither read nor written. */
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

Datum
safemig_set_index_valid(PG_FUNCTION_ARGS)
{
	Oid			indexid;
	ObjectAddress address;

	check_own_call("set_index_valid");
	indexid = lock_index(PG_GETARG_TEXT_PP(0));
	ObjectAddressSet(address, RelationRelationId, indexid);
	capture_internal_begin("ALTER TABLE", list_make1(&address));
	if (!PG_GETARG_BOOL(1) && !PG_GETARG_BOOL(2))
		mark_unbuilt(indexid);
	else if (!PG_GETARG_BOOL(1))
		mark_index(indexid, false);
	else if (get_rel_relkind(indexid) == RELKIND_PARTITIONED_INDEX)
		(void) validate_partitioned(indexid);
	else
		rebuild_index(indexid);
	capture_internal_end();
	PG_RETURN_VOID();
}

/* ---- never built ---- */

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

/* ---- partitions ---- */

/*
 * Attaches the index of a partition if its table is attached already, so that
 * the index above it is valid in time for ATTACH PARTITION to take it.
 * Otherwise the statement that follows does it.
 */
Datum
safemig_attach_index(PG_FUNCTION_ARGS)
{
	Oid			parent;
	Oid			child;
	Oid			table;

	check_own_call("attach_index");
	parent = RangeVarGetRelid(index_name(PG_GETARG_TEXT_PP(0)), NoLock, false);
	child = RangeVarGetRelid(index_name(PG_GETARG_TEXT_PP(1)), NoLock, false);
	table = table_of_index(child);
	if (!get_rel_relispartition(table) ||
		get_partition_parent(table, true) != table_of_index(parent))
		PG_RETURN_VOID();
	run_statement(psprintf("ALTER INDEX %s ATTACH PARTITION %s",
						   text_to_cstring(PG_GETARG_TEXT_PP(0)),
						   text_to_cstring(PG_GETARG_TEXT_PP(1))),
				  relation_owner(parent));
	PG_RETURN_VOID();
}

/* A key of the partition's own may have an index that belongs to no key above. */
static Oid
get_constraint_parent(Oid constraint)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	Oid			parent;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for constraint %u", constraint);
	parent = ((Form_pg_constraint) GETSTRUCT(tuple))->conparentid;
	ReleaseSysCache(tuple);
	return parent;
}

/* Which PostgreSQL does only together with the partition. */
Datum
safemig_detach_index(PG_FUNCTION_ARGS)
{
	Oid			indexid;
	Oid			constraint;
	ObjectAddress address;
	ObjectAddress key;
	Relation	index;

	check_own_call("detach_index");
	indexid = lock_index(PG_GETARG_TEXT_PP(0));
	constraint = get_index_constraint(indexid);
	ObjectAddressSet(address, RelationRelationId, indexid);
	ObjectAddressSet(key, ConstraintRelationId, constraint);
	capture_internal_begin("ALTER INDEX",
						   OidIsValid(constraint) ? list_make2(&address, &key) :
						   list_make1(&address));
	index = relation_open(indexid, NoLock);
	IndexSetParentIndex(index, InvalidOid);
	if (OidIsValid(constraint) && OidIsValid(get_constraint_parent(constraint)))
		ConstraintSetParentConstraint(constraint, InvalidOid, InvalidOid);
	relation_close(index, NoLock);
	CommandCounterIncrement();
	capture_internal_end();
	PG_RETURN_VOID();
}

/*
 * A partitioned index that is not live is one that ATTACH PARTITION passes
 * over.  It is so for no longer than that statement, and nothing shows it;
 * an index that has gone, or goes by another name now, asks for nothing.
 */
Datum
safemig_set_index_live(PG_FUNCTION_ARGS)
{
	Oid			indexid;
	Relation	rel;
	HeapTuple	tuple;

	check_own_call("set_index_live");
	indexid = RangeVarGetRelid(index_name(PG_GETARG_TEXT_PP(0)), NoLock, true);
	if (!OidIsValid(indexid) || get_rel_relkind(indexid) != RELKIND_PARTITIONED_INDEX)
		PG_RETURN_VOID();
	indexid = lock_index(PG_GETARG_TEXT_PP(0));
	rel = table_open(IndexRelationId, RowExclusiveLock);
	tuple = SearchSysCacheCopy1(INDEXRELID, ObjectIdGetDatum(indexid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u", indexid);
	((Form_pg_index) GETSTRUCT(tuple))->indislive = PG_GETARG_BOOL(1);
	CatalogTupleUpdate(rel, &tuple->t_self, tuple);
	CacheInvalidateRelcacheByRelid(((Form_pg_index) GETSTRUCT(tuple))->indrelid);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
	PG_RETURN_VOID();
}
