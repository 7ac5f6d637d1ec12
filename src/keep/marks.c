/*-------------------------------------------------------------------------
 *
 * marks.c
 *	  Marks in the catalogs that a rollback has to set and no statement can.
 *
 * Leaving a parent table makes inherited columns and constraints local ones,
 * and inheriting again leaves them so; an index that a failed build left
 * invalid cannot be made invalid again.  Each function changes one flag in one
 * row, under the lock that PostgreSQL takes for such a change, and is recorded
 * like a command.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "compat.h"
#include "keep/column.h"

PG_FUNCTION_INFO_V1(safemig_set_column_local);
PG_FUNCTION_INFO_V1(safemig_set_constraint_local);
PG_FUNCTION_INFO_V1(safemig_set_index_valid);

static Oid
lock_relation(text *name, LOCKMODE lockmode)
{
	RangeVar   *relation = makeRangeVarFromNameList(textToQualifiedNameList(name));

	return RangeVarGetRelid(relation, lockmode, false);
}

/* What happens in between is recorded as one command on that object. */
static void
begin_mark(ObjectAddress *address, Oid classid, Oid objid)
{
	ObjectAddressSet(*address, classid, objid);
	capture_internal_begin("ALTER TABLE", list_make1(address));
}

Datum
safemig_set_column_local(PG_FUNCTION_ARGS)
{
	Oid			relid;
	char	   *column = text_to_cstring(PG_GETARG_TEXT_PP(1));
	ObjectAddress address;
	Relation	rel;
	HeapTuple	tuple;

	check_own_call("set_column_local");
	relid = lock_relation(PG_GETARG_TEXT_PP(0), AccessExclusiveLock);
	begin_mark(&address, RelationRelationId, relid);
	rel = table_open(AttributeRelationId, RowExclusiveLock);
	tuple = SearchSysCacheCopyAttName(relid, column);
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist",
						column, get_rel_name(relid))));
	((Form_pg_attribute) GETSTRUCT(tuple))->attislocal = PG_GETARG_BOOL(2);
	CatalogTupleUpdate(rel, &tuple->t_self, tuple);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
	capture_internal_end();
	PG_RETURN_VOID();
}

Datum
safemig_set_constraint_local(PG_FUNCTION_ARGS)
{
	Oid			relid;
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Oid			constraint;
	ObjectAddress address;
	Relation	rel;
	HeapTuple	tuple;

	check_own_call("set_constraint_local");
	relid = lock_relation(PG_GETARG_TEXT_PP(0), AccessExclusiveLock);
	constraint = get_relation_constraint_oid(relid, name, false);
	begin_mark(&address, ConstraintRelationId, constraint);
	rel = table_open(ConstraintRelationId, RowExclusiveLock);
	tuple = SearchSysCacheCopy1(CONSTROID, ObjectIdGetDatum(constraint));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for constraint %u", constraint);
	((Form_pg_constraint) GETSTRUCT(tuple))->conislocal = PG_GETARG_BOOL(2);
	CatalogTupleUpdate(rel, &tuple->t_self, tuple);
	table_close(rel, RowExclusiveLock);
	CacheInvalidateRelcacheByRelid(relid);
	CommandCounterIncrement();
	capture_internal_end();
	PG_RETURN_VOID();
}

/* The table first, as whoever plans with the index locks it. */
static Oid
lock_index(text *name)
{
	Oid			indexid = lock_relation(name, NoLock);
	Oid			relid = IndexGetRelation(indexid, true);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an index", get_rel_name(indexid))));
	LockRelationOid(relid, AccessExclusiveLock);
	LockRelationOid(indexid, AccessExclusiveLock);
	return indexid;
}

Datum
safemig_set_index_valid(PG_FUNCTION_ARGS)
{
	Oid			indexid;
	ObjectAddress address;
	Relation	rel;
	HeapTuple	tuple;

	check_own_call("set_index_valid");
	indexid = lock_index(PG_GETARG_TEXT_PP(0));
	begin_mark(&address, RelationRelationId, indexid);
	rel = table_open(IndexRelationId, RowExclusiveLock);
	tuple = SearchSysCacheCopy1(INDEXRELID, ObjectIdGetDatum(indexid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u", indexid);
	((Form_pg_index) GETSTRUCT(tuple))->indisvalid = PG_GETARG_BOOL(1);
	CatalogTupleUpdate(rel, &tuple->t_self, tuple);
	CacheInvalidateRelcacheByRelid(((Form_pg_index) GETSTRUCT(tuple))->indrelid);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
	capture_internal_end();
	PG_RETURN_VOID();
}
