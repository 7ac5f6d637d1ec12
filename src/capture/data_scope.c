/*-------------------------------------------------------------------------
 *
 * data_scope.c
 *	  Of which tables and columns the rows that a migration writes are kept.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "capture/capture.h"
#include "capture/written.h"
#include "compat.h"
#include "history/framework.h"
#include "keep/limit.h"
#include "keep/vault.h"

/* ---- tables ---- */

/* The table's name if its rows are somebody's, else NULL. */
char *
data_table_name(Oid relid)
{
	Oid			namespace = get_rel_namespace(relid);
	FrameworkTable table;

	if (relid < FirstNormalObjectId || !OidIsValid(namespace) ||
		get_rel_relkind(relid) != RELKIND_RELATION ||
		isAnyTempNamespace(namespace) || vault_is_schema(namespace) ||
		namespace == get_namespace_oid(SAFEMIG_SCHEMA, true))
		return NULL;
	(void) framework_of(relid, &table);
	if (table == FRAMEWORK_HELPER)
		return NULL;
	return quote_qualified_identifier(get_namespace_name(namespace),
									  get_rel_name(relid));
}

/*
 * Rows of a table that the migration made go and come with the table, and the
 * position of a sequence with the sequence.
 */
bool
data_made_by_migration(int64 migration, Oid relid)
{
	Oid			types[2] = {INT8OID, OIDOID};
	Datum		args[2] = {Int64GetDatum(migration), ObjectIdGetDatum(relid)};
	bool		made;

	if (command_is_making(relid))
		return true;
	SPI_connect();
	if (SPI_execute_with_args("SELECT FROM safemig.change_log"
							  " WHERE migration OPERATOR(pg_catalog.=) $1"
							  " AND action OPERATOR(pg_catalog.=) 'c'"
							  " AND objid OPERATOR(pg_catalog.=) $2"
							  " AND type OPERATOR(pg_catalog.=) ANY (ARRAY['table', 'sequence']) LIMIT 1",
							  2, types, args, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read change_log");
	made = SPI_processed > 0;
	SPI_finish();
	return made;
}

/* ---- columns ---- */

/*
 * Columns that the migration itself has added: they go when it is taken back,
 * whatever they hold.
 */
Bitmapset *
columns_of_migration(int64 migration, Oid relid)
{
	Oid			types[2] = {INT8OID, OIDOID};
	Datum		args[2] = {Int64GetDatum(migration), ObjectIdGetDatum(relid)};
	MemoryContext context = CurrentMemoryContext;
	Bitmapset  *columns = NULL;
	bool		isnull;

	SPI_connect();
	if (SPI_execute_with_args("SELECT before FROM safemig.change_log"
							  " WHERE migration OPERATOR(pg_catalog.=) $1"
							  " AND objid OPERATOR(pg_catalog.=) $2"
							  " AND type OPERATOR(pg_catalog.=) 'table'"
							  " AND action OPERATOR(pg_catalog.<>) 'w'"
							  " AND before IS NOT NULL"
							  " ORDER BY command LIMIT 1",
							  2, types, args, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read change_log");
	if (SPI_processed > 0)
	{
		Datum		before = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
										   1, &isnull);
		Image	   *image = image_from_array(DatumGetArrayTypeP(before), NULL);
		Bitmapset  *old = NULL;
		ListCell   *lc;

		foreach(lc, image->facets)
		{
			Facet	   *facet = lfirst(lc);

			if (strcmp(facet->name, "@attnum") == 0)
				old = bms_add_member(old, atoi(facet->value));
		}
		MemoryContextSwitchTo(context);
		for (int i = 1; SearchSysCacheExists2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(i)); i++)
		{
			if (!bms_is_member(i, old))
				columns = bms_add_member(columns, i);
		}
	}
	SPI_finish();
	MemoryContextSwitchTo(context);
	return columns;
}

/* ---- rows that cannot be kept ---- */

static bool
has_dropped_attribute(Oid typid)
{
	Oid			relid = get_typ_typrelid(typid);
	Relation	rel;
	bool		has = false;

	if (!OidIsValid(relid) || get_rel_relkind(relid) != RELKIND_COMPOSITE_TYPE)
		return false;
	rel = relation_open(relid, AccessShareLock);
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
		has |= TupleDescAttr(RelationGetDescr(rel), i)->attisdropped;
	relation_close(rel, AccessShareLock);
	return has;
}

/*
 * Does the table hold values of a type that lost an attribute in the same
 * migration?  A value that is written then is made anew without it.
 */
static bool
lost_attribute(int64 migration, Oid relid)
{
	Oid			type = INT8OID;
	Datum		arg = Int64GetDatum(migration);
	List	   *types = NIL;
	ListCell   *lc;

	SPI_connect();
	if (SPI_execute_with_args("SELECT DISTINCT objid FROM safemig.change_log"
							  " WHERE migration OPERATOR(pg_catalog.=) $1"
							  " AND classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass"
							  " AND action OPERATOR(pg_catalog.<>) 'c'",
							  1, &type, &arg, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read change_log");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Oid			typid = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i],
														   SPI_tuptable->tupdesc, 1,
														   &isnull));

		if (has_dropped_attribute(typid))
			types = lappend_oid(types, typid);
	}
	foreach(lc, types ? type_columns(type_containers(types)) : NIL)
	{
		if (((ObjectAddress *) lfirst(lc))->objectId == relid)
			break;
	}
	SPI_finish();
	return lc != NULL;
}

#define DATA_EXPLICIT_ONLY "safemig.capture_data is explicit"

/* Bytes that keeping what was written may take; without counts, all rows. */
static double
rows_to_keep(Oid relid, const Written *written)
{
	double		rows = written->inserted + written->updated + written->deleted;
	Relation	rel = table_open(relid, AccessShareLock);
	double		bytes = limit_estimate(rel, 0, rows > 0 ? rows : -1);

	table_close(rel, NoLock);
	return bytes;
}

/* NULL: its rows are to be kept. */
/* Whose they are is asked of each. */
const char *
data_why_no_large_objects(int64 migration, const Written *written)
{
	if (safemig_capture_data == CAPTURE_DATA_EXPLICIT && !data_is_named())
		return DATA_EXPLICIT_ONLY;
	if (is_discarding() && (written->updated || written->deleted))
		return discard_reason();
	if (limit_forbids(migration, rows_to_keep(LargeObjectRelationId, written),
					  "large objects"))
		return DATA_OVER_LIMIT;
	return NULL;
}

const char *
data_why_not_kept(int64 migration, Oid relid, const Written *written)
{
	if (is_discarding() && (written->updated || written->deleted || written->truncated))
		return discard_reason();
	if (written->truncated)
		return "truncated before safemig could see it";
	if (safemig_capture_data == CAPTURE_DATA_EXPLICIT && !data_is_named())
		return DATA_EXPLICIT_ONLY;
	if (get_rel_relam(relid) != HEAP_TABLE_AM_OID)
		return "the table has an access method of its own";
	if ((written->updated || written->deleted) && lost_attribute(migration, relid))
		return "a type of its columns lost an attribute in the same migration";
	/* he could not take it back: an audit log that he may only write, say */
	if (!has_privs_of_role(GetOuterUserId(), relation_owner(relid)) &&
		!is_administrator(GetOuterUserId()))
		return "the table belongs to somebody else";
	if (limit_forbids(migration, rows_to_keep(relid, written), data_table_name(relid)))
		return DATA_OVER_LIMIT;
	return NULL;
}
