/*-------------------------------------------------------------------------
 *
 * role.c
 *	  What no statement gives back to a role.
 *
 * ALTER ROLE ... SET checks values that may not be valid here and now, and
 * splits lists, whose spelling and order it changes.  So settings are written
 * as they were.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_db_role_setting.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "capture/capture.h"
#include "keep/vault.h"

PG_FUNCTION_INFO_V1(safemig_set_role_settings);
PG_FUNCTION_INFO_V1(safemig_unset_valid_until);

static void
store_settings(Oid role, Oid database, Datum settings, bool none)
{
	Relation	rel = table_open(DbRoleSettingRelationId, RowExclusiveLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	Datum		values[Natts_pg_db_role_setting];
	bool		nulls[Natts_pg_db_role_setting] = {false};

	ScanKeyInit(&key[0], Anum_pg_db_role_setting_setdatabase, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(database));
	ScanKeyInit(&key[1], Anum_pg_db_role_setting_setrole, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(role));
	scan = systable_beginscan(rel, DbRoleSettingDatidRolidIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		CatalogTupleDelete(rel, &tuple->t_self);
	systable_endscan(scan);
	if (!none)
	{
		values[Anum_pg_db_role_setting_setdatabase - 1] = ObjectIdGetDatum(database);
		values[Anum_pg_db_role_setting_setrole - 1] = ObjectIdGetDatum(role);
		values[Anum_pg_db_role_setting_setconfig - 1] = settings;
		CatalogTupleInsert(rel, heap_form_tuple(RelationGetDescr(rel), values, nulls));
	}
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

/*
 * safemig.set_role_settings(role_name text, database text, settings text)
 *
 * Those of everybody are in the image of the database.
 */
Datum
safemig_set_role_settings(PG_FUNCTION_ARGS)
{
	char	   *name;
	char	   *database;
	Oid			role = InvalidOid;
	Oid			database_id = InvalidOid;
	ObjectAddress address;
	Datum		settings = (Datum) 0;

	check_is_extension_owner();
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument %d must not be null", PG_ARGISNULL(0) ? 1 : 2)));
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (name[0])
		role = get_role_oid(name, false);
	database = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (database[0])
		database_id = get_database_oid(database, false);
	if (!PG_ARGISNULL(2))
		settings = OidInputFunctionCall(F_ARRAY_IN, text_to_cstring(PG_GETARG_TEXT_PP(2)),
										TEXTOID, -1);
	if (OidIsValid(role))
		ObjectAddressSet(address, AuthIdRelationId, role);
	else
		ObjectAddressSet(address, DatabaseRelationId,
						 OidIsValid(database_id) ? database_id : MyDatabaseId);
	capture_internal_begin(OidIsValid(role) ? "ALTER ROLE" : "ALTER DATABASE",
						   list_make1(&address));
	store_settings(role, database_id, settings, PG_ARGISNULL(2));
	capture_internal_end();
	PG_RETURN_VOID();
}

/* safemig.unset_valid_until(role_name text) */
Datum
safemig_unset_valid_until(PG_FUNCTION_ARGS)
{
	Datum		values[Natts_pg_authid] = {0};
	bool		nulls[Natts_pg_authid] = {false};
	bool		replaces[Natts_pg_authid] = {false};
	ObjectAddress address;
	Relation	rel;
	HeapTuple	tuple;
	Oid			role;

	check_is_extension_owner();
	role = get_role_oid(text_to_cstring(PG_GETARG_TEXT_PP(0)), false);
	ObjectAddressSet(address, AuthIdRelationId, role);
	capture_internal_begin("ALTER ROLE", list_make1(&address));
	rel = table_open(AuthIdRelationId, RowExclusiveLock);
	tuple = SearchSysCacheCopy1(AUTHOID, ObjectIdGetDatum(role));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for role %u", role);
	nulls[Anum_pg_authid_rolvaliduntil - 1] = true;
	replaces[Anum_pg_authid_rolvaliduntil - 1] = true;
	tuple = heap_modify_tuple(tuple, RelationGetDescr(rel), values, nulls, replaces);
	CatalogTupleUpdate(rel, &tuple->t_self, tuple);
	table_close(rel, NoLock);
	CommandCounterIncrement();
	capture_internal_end();
	PG_RETURN_VOID();
}
