/*-------------------------------------------------------------------------
 *
 * collation.c
 *	  Collations in the vault.
 *
 * A dropped collation is moved, as a type is: columns, domains and indexes in
 * the vault go on using it, and come back under the same OID.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "keep/column.h"
#include "keep/vault.h"

PG_FUNCTION_INFO_V1(safemig_restore_collation);

static FormData_pg_collation
read_collation(Oid collation)
{
	HeapTuple	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	FormData_pg_collation form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for collation %u", collation);
	memcpy(&form, GETSTRUCT(tuple), sizeof(form));
	ReleaseSysCache(tuple);
	return form;
}

/* A collation as SQL, as it is called when it is out of the vault. */
char *
collation_name_at_home(Oid collation)
{
	FormData_pg_collation form = read_collation(collation);
	Kept	   *kept;
	Frame		frame;

	if (!vault_is_schema(form.collnamespace))
		return collation_name(collation);
	frame_become_owner(&frame);
	kept = history_kept_in_vault("collation", get_namespace_name(form.collnamespace),
								 NameStr(form.collname));
	frame_unpin(&frame);
	if (kept == NULL)
		return collation_name(collation);
	return quote_qualified_identifier(kept_need_detail(kept, "schema"),
									  NameStr(form.collname));
}

static Kept *
keep_collation(Oid collation, int64 migration, int64 command)
{
	FormData_pg_collation form = read_collation(collation);
	Oid			vault = vault_schema_for(migration, command, form.collnamespace);
	ObjectAddress address;
	Kept	   *kept;

	ObjectAddressSet(address, CollationRelationId, collation);
	kept = kept_start(&address, "collation", migration, command);
	kept->vault_schema = get_namespace_name(vault);
	kept->vault_name = pstrdup(NameStr(form.collname));
	kept_add_detail(kept, "schema", get_namespace_name(form.collnamespace));
	kept_add_detail(kept, "name", kept->vault_name);
	kept_add_detail(kept, "owner", GetUserNameFromId(form.collowner, false));
	object_move(CollationRelationId, collation, vault, vault_role());
	return kept;
}

/* Moves a collation into the vault.  The caller has taken its image. */
int64
vault_keep_collation(Oid collation, int64 migration, int64 command)
{
	bool		save_creating = creating_extension;
	Kept	   *volatile kept = NULL;
	Frame		frame;
	int64		id;

	LockDatabaseObject(CollationRelationId, collation, 0, AccessExclusiveLock);
	own_work_begin();
	frame_become_owner(&frame);
	creating_extension = false;
	PG_TRY();
	{
		kept = keep_collation(collation, migration, command);
	}
	PG_FINALLY();
	{
		creating_extension = save_creating;
	}
	PG_END_TRY();
	id = history_add_kept(kept);
	frame_unpin(&frame);
	own_work_end();
	return id;
}

/* ---- and back ---- */

/* Found by name: pg_upgrade gives collations new OIDs. */
static Oid
find_kept_collation(const Kept *kept)
{
	Oid			vault = get_namespace_oid(kept->vault_schema, true);
	Oid			collation = InvalidOid;

	if (OidIsValid(vault))
		collation = get_collation_oid(list_make2(makeString(kept->vault_schema),
												 makeString(kept->vault_name)), true);
	if (!OidIsValid(collation))
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("cannot restore %s %s: collation %s does not exist",
						kept->object_type, kept->identity,
						quote_qualified_identifier(kept->vault_schema, kept->vault_name)),
				 errdetail("It has been removed from the vault by other means than safemig.")));
	LockDatabaseObject(CollationRelationId, collation, 0, AccessExclusiveLock);
	if (read_collation(collation).collowner != vault_role() || !vault_is_schema(vault))
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("cannot restore %s %s: collation %s is not what was kept",
						kept->object_type, kept->identity,
						quote_qualified_identifier(kept->vault_schema, kept->vault_name))));
	return collation;
}

static bool
name_is_taken(const char *name, int encoding, Oid namespace)
{
	return SearchSysCacheExists3(COLLNAMEENCNSP, CStringGetDatum(name),
								 Int32GetDatum(encoding),
								 ObjectIdGetDatum(namespace));
}

static void
restore_collation(Oid collation, const Kept *kept)
{
	Oid			vault = read_collation(collation).collnamespace;
	Oid			target = restore_namespace(kept, kept_need_detail(kept, "schema"));
	Oid			owner = restore_owner(kept, kept_need_detail(kept, "owner"));

	if (name_is_taken(kept->vault_name, GetDatabaseEncoding(), target) ||
		name_is_taken(kept->vault_name, -1, target))
		report_name_taken(kept, "collation", kept->vault_name, target);
	object_move(CollationRelationId, collation, target, owner);
	vault_drop_if_empty(vault);
}

/* safemig.restore_collation(kept bigint): takes it out of the vault */
Datum
safemig_restore_collation(PG_FUNCTION_ARGS)
{
	bool		save_creating = creating_extension;
	ObjectAddress address;
	Frame		frame;
	Kept	   *kept;
	Oid			collation;

	check_is_extension_owner();
	kept = kept_to_restore(PG_GETARG_INT64(0), "collation");
	collation = find_kept_collation(kept);
	ObjectAddressSet(address, CollationRelationId, collation);
	capture_internal_begin("RESTORE COLLATION", list_make1(&address));
	frame_become_owner(&frame);
	creating_extension = false;
	PG_TRY();
	{
		restore_collation(collation, kept);
	}
	PG_FINALLY();
	{
		creating_extension = save_creating;
	}
	PG_END_TRY();
	history_set_kept_state(kept->id, "restored");
	frame_unpin(&frame);
	capture_internal_end();
	PG_RETURN_VOID();
}
