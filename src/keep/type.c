/*-------------------------------------------------------------------------
 *
 * type.c
 *	  Types in the vault, and what uses a type.
 *
 * A dropped enum, composite, domain or range type is moved, never deleted:
 * columns in the vault and columns that can still be revived hold values of
 * it, which mean nothing under another OID.  Like a relation it leaves behind
 * what hangs on other objects: checks and default of a domain, the functions
 * of a range type.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_range.h"
#include "catalog/pg_type.h"
#include "commands/alter.h"
#include "commands/extension.h"
#include "commands/typecmds.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "keep/vault.h"
#include "point.h"

PG_FUNCTION_INFO_V1(safemig_restore_type);

/* ---- names ---- */

char *
get_type_name(Oid typid)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(typid));
	char	   *result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", typid);
	result = pstrdup(NameStr(((Form_pg_type) GETSTRUCT(tuple))->typname));
	ReleaseSysCache(tuple);
	return result;
}

Oid
get_type_namespace(Oid typid)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(typid));
	Oid			result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", typid);
	result = ((Form_pg_type) GETSTRUCT(tuple))->typnamespace;
	ReleaseSysCache(tuple);
	return result;
}

Oid
get_type_owner(Oid typid)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(typid));
	Oid			result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", typid);
	result = ((Form_pg_type) GETSTRUCT(tuple))->typowner;
	ReleaseSysCache(tuple);
	return result;
}

/* ---- what a domain leaves behind ---- */

static void
strip_domain_constraints(Oid typid)
{
	Relation	catalog = table_open(ConstraintRelationId, AccessShareLock);
	List	   *constraints = NIL;
	ListCell   *lc;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_constraint_contypid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(typid));
	scan = systable_beginscan(catalog, ConstraintTypidIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);

		/* NOT NULL runs nobody's code */
		if (form->contype == CONSTRAINT_CHECK)
			constraints = lappend_oid(constraints, form->oid);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	foreach(lc, constraints)
	{
		ObjectAddress address;

		ObjectAddressSet(address, ConstraintRelationId, lfirst_oid(lc));
		performDeletion(&address, DROP_RESTRICT,
						PERFORM_DELETION_INTERNAL | PERFORM_DELETION_QUIETLY);
	}
	CommandCounterIncrement();
}

static void
strip_domain_default(Oid typid)
{
	Relation	catalog = table_open(TypeRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(TYPEOID, ObjectIdGetDatum(typid));
	Datum		values[Natts_pg_type] = {0};
	bool		nulls[Natts_pg_type] = {false};
	bool		replaces[Natts_pg_type] = {false};

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", typid);
	if (!heap_attisnull(tuple, Anum_pg_type_typdefaultbin, NULL) ||
		!heap_attisnull(tuple, Anum_pg_type_typdefault, NULL))
	{
		nulls[Anum_pg_type_typdefaultbin - 1] = true;
		replaces[Anum_pg_type_typdefaultbin - 1] = true;
		nulls[Anum_pg_type_typdefault - 1] = true;
		replaces[Anum_pg_type_typdefault - 1] = true;
		tuple = heap_modify_tuple(tuple, RelationGetDescr(catalog),
								  values, nulls, replaces);
		CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
		/* those of the expression are not told apart from the others */
		GenerateTypeDependencies(tuple, catalog, NULL, NULL, 0,
								 false, false, false, true);
		CommandCounterIncrement();
	}
	table_close(catalog, RowExclusiveLock);
}

/* ---- moving ---- */

static void
move_type(Oid typid, Oid namespace, Oid owner)
{
	ObjectAddresses *moved = new_object_addresses();

	make_array_name_free(typid, namespace);
	AlterObjectNamespace_oid(TypeRelationId, typid, namespace, moved);
	free_object_addresses(moved);
	CommandCounterIncrement();
	AlterTypeOwner_oid(typid, owner, true);
	CommandCounterIncrement();
}

static void
lock_type(Oid typid)
{
	LockDatabaseObject(TypeRelationId, typid, 0, AccessExclusiveLock);
	if (get_typtype(typid) == TYPTYPE_COMPOSITE)
		LockRelationOid(get_typ_typrelid(typid), AccessExclusiveLock);
}

static Kept *
keep_type(Oid typid, int64 migration, int64 command)
{
	char		typtype[2] = {get_typtype(typid), '\0'};
	Oid			source = get_type_namespace(typid);
	Oid			vault = vault_schema_for(migration, command, source);
	ObjectAddress address;
	Kept	   *kept;

	ObjectAddressSet(address, TypeRelationId, typid);
	kept = kept_start(&address, "type", migration, command);
	kept->vault_schema = get_namespace_name(vault);
	kept->vault_name = get_type_name(typid);
	kept_add_detail(kept, "typtype", typtype);
	kept_add_detail(kept, "schema", get_namespace_name(source));
	kept_add_detail(kept, "name", kept->vault_name);
	kept_add_detail(kept, "owner", GetUserNameFromId(get_type_owner(typid), false));

	if (typtype[0] == TYPTYPE_DOMAIN)
	{
		strip_domain_constraints(typid);
		strip_domain_default(typid);
	}
	strip_acl(TypeRelationId, typid, 0);
	if (typtype[0] == TYPTYPE_RANGE)
		range_keep(typid, vault, kept);
	move_type(typid, vault, vault_role());
	SAFEMIG_POINT("vault.type_moved");
	return kept;
}

/*
 * Moves a type into the vault.  The caller has taken its image; functions
 * and other things that use it are the command's to drop.
 */
int64
vault_keep_type(Oid typid, int64 migration, int64 command)
{
	bool		save_creating = creating_extension;
	Kept	   *volatile kept = NULL;
	Frame		frame;
	int64		id;
	char		typtype;

	lock_type(typid);
	typtype = get_typtype(typid);
	if (!(typtype == TYPTYPE_ENUM || typtype == TYPTYPE_DOMAIN ||
		  typtype == TYPTYPE_RANGE ||
		  (typtype == TYPTYPE_COMPOSITE &&
		   get_rel_relkind(get_typ_typrelid(typid)) == RELKIND_COMPOSITE_TYPE)))
		elog(ERROR, "type %u of kind '%c' cannot be kept", typid, typtype);

	own_work_begin();
	frame_become_owner(&frame);
	creating_extension = false;
	PG_TRY();
	{
		kept = keep_type(typid, migration, command);
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

/* Found by name, and proved to be what was kept. */
static Oid
find_kept_type(const Kept *kept)
{
	Oid			vault = get_namespace_oid(kept->vault_schema, true);
	Oid			typid = InvalidOid;

	if (OidIsValid(vault))
		typid = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
								CStringGetDatum(kept->vault_name),
								ObjectIdGetDatum(vault));
	if (!OidIsValid(typid))
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("cannot restore %s %s: type %s does not exist",
						kept->object_type, kept->identity,
						quote_qualified_identifier(kept->vault_schema, kept->vault_name)),
				 errdetail("It has been removed from the vault by other means than safemig.")));
	lock_type(typid);
	if (get_typtype(typid) != kept_need_detail(kept, "typtype")[0] ||
		get_type_owner(typid) != vault_role() || !vault_is_schema(vault) ||
		(kept_same_incarnation(kept) && typid != kept_detail_oid(kept, "oid")))
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("cannot restore %s %s: type %s is not what was kept",
						kept->object_type, kept->identity,
						quote_qualified_identifier(kept->vault_schema, kept->vault_name))));
	return typid;
}

static void
restore_type(Oid typid, const Kept *kept)
{
	Oid			vault = get_type_namespace(typid);
	Oid			target = restore_namespace(kept, kept_need_detail(kept, "schema"));
	Oid			owner = restore_owner(kept, kept_need_detail(kept, "owner"));

	check_type_name_free(kept, kept->vault_name, target);
	if (get_typtype(typid) == TYPTYPE_COMPOSITE)
		check_relation_name_free(kept, kept->vault_name, target);
	move_type(typid, target, owner);
	SAFEMIG_POINT("vault.type_back");
	if (get_typtype(typid) == TYPTYPE_RANGE)
		range_restore(typid, owner, kept);
	vault_drop_if_empty(vault);
}

/* safemig.restore_type(kept bigint): takes it out of the vault */
Datum
safemig_restore_type(PG_FUNCTION_ARGS)
{
	bool		save_creating = creating_extension;
	ObjectAddress address;
	Frame		frame;
	Kept	   *kept;
	Oid			typid;

	check_is_extension_owner();
	kept = kept_to_restore(PG_GETARG_INT64(0), "type");
	vault_thaw_type(kept);
	typid = find_kept_type(kept);
	ObjectAddressSet(address, TypeRelationId, typid);
	capture_internal_begin("RESTORE TYPE", list_make1(&address));
	frame_become_owner(&frame);
	creating_extension = false;
	PG_TRY();
	{
		restore_type(typid, kept);
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
