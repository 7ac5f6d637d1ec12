/*-------------------------------------------------------------------------
 *
 * support.c
 *	  What a partition key is made of, moved into the vault and out.
 *
 * A table that stays partitioned in the vault needs the functions, operator
 * classes and so on of its key.  A command that drops one would reach the
 * table and its rows through it; so it is moved too, like the type of a
 * column.  Nobody can call it there: it belongs to the powerless role and has
 * no privileges.  Which are needed says capture/support.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_proc.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "keep/vault.h"

PG_FUNCTION_INFO_V1(safemig_restore_support);

bool
is_support(Oid class_id)
{
	return class_id == ProcedureRelationId || class_id == OperatorRelationId ||
		class_id == OperatorClassRelationId ||
		class_id == OperatorFamilyRelationId;
}

/* One column of the object's row in its catalog. */
static Datum
read_column(const ObjectAddress *address, AttrNumber column)
{
	HeapTuple	tuple = SearchSysCache1(get_object_catcache_oid(address->classId),
										ObjectIdGetDatum(address->objectId));
	Datum		value;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for object %u of catalog %u",
			 address->objectId, address->classId);
	value = SysCacheGetAttr(get_object_catcache_oid(address->classId), tuple,
							column, &isnull);
	if (column == get_object_attnum_name(address->classId))
		value = CStringGetDatum(pstrdup(NameStr(*DatumGetName(value))));
	ReleaseSysCache(tuple);
	return value;
}

static Oid
namespace_of(const ObjectAddress *address)
{
	return DatumGetObjectId(read_column(address, get_object_attnum_namespace(address->classId)));
}

static char *
name_of(const ObjectAddress *address)
{
	return DatumGetCString(read_column(address, get_object_attnum_name(address->classId)));
}

static Oid
owner_of(const ObjectAddress *address)
{
	return DatumGetObjectId(read_column(address, get_object_attnum_owner(address->classId)));
}

static Kept *
keep_support(const ObjectAddress *address, int64 migration, int64 command)
{
	Oid			home = namespace_of(address);
	Oid			vault = vault_schema_for(migration, command, home);
	Kept	   *kept = kept_start(address, "support", migration, command);

	kept->vault_schema = get_namespace_name(vault);
	kept->vault_name = name_of(address);
	kept_add_detail_oid(kept, "catalog", address->classId);
	kept_add_detail(kept, "schema", get_namespace_name(home));
	kept_add_detail(kept, "owner", GetUserNameFromId(owner_of(address), false));
	object_move(address->classId, address->objectId, vault, vault_role());
	if (address->classId == ProcedureRelationId)
		strip_acl(address->classId, address->objectId, 0);
	return kept;
}

/* Moves it into the vault.  The caller has taken its image. */
int64
vault_keep_support(const ObjectAddress *address, int64 migration, int64 command)
{
	bool		save_creating = creating_extension;
	Kept	   *volatile kept = NULL;
	Frame		frame;
	int64		id;

	LockDatabaseObject(address->classId, address->objectId, 0, AccessExclusiveLock);
	own_work_begin();
	frame_become_owner(&frame);
	creating_extension = false;
	PG_TRY();
	{
		kept = keep_support(address, migration, command);
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

/* What follows the name in an identity: "(integer)", " USING btree". */
static const char *
behind_name(Oid class_id, const char *identity, const char *schema,
			const char *name)
{
	size_t		length = strlen(quote_identifier(schema)) + 1 +
	strlen(class_id == OperatorRelationId ? name : quote_identifier(name));

	return strlen(identity) > length ? identity + length : "";
}

/*
 * Under one name there may be several: then it is the one that is told from
 * the others as what was kept.  InvalidOid: it cannot be told.
 */
static Oid
find_by_name(const Kept *kept, Oid class_id, Oid namespace)
{
	const char *wanted = behind_name(class_id, kept->identity,
									 kept_need_detail(kept, "schema"),
									 kept->vault_name);
	Relation	catalog = table_open(class_id, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			found = InvalidOid;
	int			n = 0;

	ScanKeyInit(&key[0], get_object_attnum_namespace(class_id),
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(namespace));
	ScanKeyInit(&key[1], get_object_attnum_name(class_id),
				BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum(kept->vault_name));
	scan = systable_beginscan(catalog, InvalidOid, false, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		ObjectAddress address;
		bool		isnull;

		ObjectAddressSet(address, class_id,
						 DatumGetObjectId(heap_getattr(tuple, get_object_attnum_oid(class_id),
													   RelationGetDescr(catalog), &isnull)));
		n++;
		if (strcmp(behind_name(class_id, getObjectIdentity(&address, false),
							   kept->vault_schema, kept->vault_name), wanted) == 0)
		{
			found = address.objectId;
			n = 1;
			break;
		}
		found = address.objectId;
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return n == 1 ? found : InvalidOid;
}

/* Its OID counts as long as the database is the same. */
bool
support_find(const Kept *kept, ObjectAddress *address)
{
	Oid			class_id = kept_detail_oid(kept, "catalog");
	Oid			vault = get_namespace_oid(kept->vault_schema, true);

	if (!OidIsValid(vault) || !vault_is_schema(vault))
		return false;
	ObjectAddressSet(*address, class_id, kept_detail_oid(kept, "oid"));
	if (kept_same_incarnation(kept) &&
		SearchSysCacheExists1(get_object_catcache_oid(class_id),
							  ObjectIdGetDatum(address->objectId)) &&
		namespace_of(address) == vault &&
		strcmp(name_of(address), kept->vault_name) == 0)
		return true;
	address->objectId = find_by_name(kept, class_id, vault);
	return OidIsValid(address->objectId);
}

/* safemig.restore_support(kept bigint): takes it out of the vault */
Datum
safemig_restore_support(PG_FUNCTION_ARGS)
{
	bool		save_creating = creating_extension;
	ObjectAddress address;
	Frame		frame;
	Kept	   *kept;
	Oid			vault;

	check_is_extension_owner();
	kept = kept_to_restore(PG_GETARG_INT64(0), "support");
	if (!support_find(kept, &address))
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("cannot restore %s %s: %s does not exist",
						kept->object_type, kept->identity,
						quote_qualified_identifier(kept->vault_schema, kept->vault_name)),
				 errdetail("It has been removed from the vault by other means than safemig.")));
	LockDatabaseObject(address.classId, address.objectId, 0, AccessExclusiveLock);
	capture_internal_begin("RESTORE SUPPORT", list_make1(&address));
	frame_become_owner(&frame);
	creating_extension = false;
	PG_TRY();
	{
		vault = namespace_of(&address);
		object_move(address.classId, address.objectId,
					restore_namespace(kept, kept_need_detail(kept, "schema")),
					restore_owner(kept, kept_need_detail(kept, "owner")));
		vault_drop_if_empty(vault);
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
