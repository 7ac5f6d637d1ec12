/*-------------------------------------------------------------------------
 *
 * acl.c
 *	  Privileges written as they were, and the validity of constraints.
 *
 * GRANT and REVOKE cannot bring back every list: they put a new item at the
 * end, where the old one stood in the middle, and name the grantor only if he
 * is the one who runs them.  So the list is written as a whole.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_database.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_language.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_largeobject_metadata.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_tablespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "keep/vault.h"

PG_FUNCTION_INFO_V1(safemig_set_acl);
PG_FUNCTION_INFO_V1(safemig_set_constraint_valid);

/* ---- finding the object ---- */

static void
address_from_names(FunctionCallInfo fcinfo, ObjectAddress *address)
{
	static const char query[] =
		"SELECT classid, objid, objsubid"
		" FROM pg_catalog.pg_get_object_address($1, $2, $3)";
	Oid			types[3] = {TEXTOID, TEXTARRAYOID, TEXTARRAYOID};
	Datum		values[3];
	int32		parts[3];
	bool		isnull;

	for (int i = 0; i < 3; i++)
		values[i] = PG_GETARG_DATUM(i);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(query, 3, types, values, NULL, true, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "pg_get_object_address returned nothing");
	for (int i = 0; i < 3; i++)
		parts[i] = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0],
											   SPI_tuptable->tupdesc, i + 1,
											   &isnull));
	SPI_finish();
	ObjectAddressSubSet(*address, (Oid) parts[0], (Oid) parts[1], parts[2]);
}

static void
check_no_nulls(FunctionCallInfo fcinfo, int nargs)
{
	for (int i = 0; i < nargs; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument %d must not be null", i + 1)));
}

/* ---- privileges ---- */

/* Where each class has its list. */
static const struct
{
	Oid			class;			/* as in an address */
	Oid			catalog;		/* as it is stored */
	AttrNumber	oid;
	AttrNumber	owner;
	AttrNumber	acl;
}			acl_columns[] = {
	{RelationRelationId, RelationRelationId,
	Anum_pg_class_oid, Anum_pg_class_relowner, Anum_pg_class_relacl},
	{ProcedureRelationId, ProcedureRelationId,
	Anum_pg_proc_oid, Anum_pg_proc_proowner, Anum_pg_proc_proacl},
	{NamespaceRelationId, NamespaceRelationId,
	Anum_pg_namespace_oid, Anum_pg_namespace_nspowner, Anum_pg_namespace_nspacl},
	{TypeRelationId, TypeRelationId,
	Anum_pg_type_oid, Anum_pg_type_typowner, Anum_pg_type_typacl},
	{LanguageRelationId, LanguageRelationId,
	Anum_pg_language_oid, Anum_pg_language_lanowner, Anum_pg_language_lanacl},
	{ForeignServerRelationId, ForeignServerRelationId,
	Anum_pg_foreign_server_oid, Anum_pg_foreign_server_srvowner, Anum_pg_foreign_server_srvacl},
	{ForeignDataWrapperRelationId, ForeignDataWrapperRelationId,
		Anum_pg_foreign_data_wrapper_oid, Anum_pg_foreign_data_wrapper_fdwowner,
	Anum_pg_foreign_data_wrapper_fdwacl},
	{DatabaseRelationId, DatabaseRelationId,
	Anum_pg_database_oid, Anum_pg_database_datdba, Anum_pg_database_datacl},
	{TableSpaceRelationId, TableSpaceRelationId,
	Anum_pg_tablespace_oid, Anum_pg_tablespace_spcowner, Anum_pg_tablespace_spcacl},
	{LargeObjectRelationId, LargeObjectMetadataRelationId,
		Anum_pg_largeobject_metadata_oid, Anum_pg_largeobject_metadata_lomowner,
	Anum_pg_largeobject_metadata_lomacl}
};

Acl *
acl_from_text(const char *text)
{
	Oid			input;
	Oid			param;
	Acl		   *acl;

	getTypeInputInfo(ACLITEMARRAYOID, &input, &param);
	acl = DatumGetAclPCopy(OidInputFunctionCall(input, pstrdup(text), param, -1));
	/* "{}" has no dimensions, which the functions for lists refuse */
	if (ARR_NDIM(acl) == 0)
		return make_empty_acl();
	if (ARR_NDIM(acl) > 1 || ARR_HASNULL(acl))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("privileges must be a one-dimensional array without nulls: %s",
						text)));
	return acl;
}

/* Puts a list into a catalog row. */
static void
update_acl(Relation catalog, HeapTuple tuple, AttrNumber column, Acl *acl,
		   const ObjectAddress *address, Oid owner)
{
	TupleDesc	desc = RelationGetDescr(catalog);
	Datum	   *values = palloc0(desc->natts * sizeof(Datum));
	bool	   *nulls = palloc0(desc->natts * sizeof(bool));
	bool	   *replaces = palloc0(desc->natts * sizeof(bool));
	Oid		   *before = NULL;
	Oid		   *after = NULL;
	int			nbefore = 0;
	int			nafter = 0;
	Datum		old;
	bool		isnull;

	old = heap_getattr(tuple, column, desc, &isnull);
	if (isnull && acl == NULL)
		return;
	if (!isnull)
		nbefore = aclmembers(DatumGetAclPCopy(old), &before);
	if (acl)
		nafter = aclmembers(acl, &after);
	values[column - 1] = PointerGetDatum(acl);
	nulls[column - 1] = acl == NULL;
	replaces[column - 1] = true;
	tuple = heap_modify_tuple(tuple, desc, values, nulls, replaces);
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	updateAclDependencies(address->classId, address->objectId,
						  address->objectSubId, owner,
						  nbefore, before, nafter, after);
	CommandCounterIncrement();
}

static void
column_acl_store(const ObjectAddress *address, Acl *acl)
{
	Relation	catalog;
	HeapTuple	relation;
	HeapTuple	tuple;
	Oid			owner;

	relation = SearchSysCache1(RELOID, ObjectIdGetDatum(address->objectId));
	if (!HeapTupleIsValid(relation))
		elog(ERROR, "cache lookup failed for relation %u", address->objectId);
	owner = ((Form_pg_class) GETSTRUCT(relation))->relowner;
	ReleaseSysCache(relation);

	catalog = table_open(AttributeRelationId, RowExclusiveLock);
	tuple = SearchSysCacheCopy2(ATTNUM, ObjectIdGetDatum(address->objectId),
								Int16GetDatum(address->objectSubId));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for attribute %d of relation %u",
			 address->objectSubId, address->objectId);
	/* the relation's cached description has no privileges of columns */
	update_acl(catalog, tuple, Anum_pg_attribute_attacl, acl, address, owner);
	table_close(catalog, RowExclusiveLock);
}

static void
object_acl_store(const ObjectAddress *address, size_t which, Acl *acl)
{
	Relation	catalog = table_open(acl_columns[which].catalog, RowExclusiveLock);
	HeapTuple	tuple = get_catalog_object_by_oid(catalog, acl_columns[which].oid,
												  address->objectId);
	Oid			owner;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for object %u of catalog %u",
			 address->objectId, address->classId);
	tuple = heap_copytuple(tuple);
	owner = DatumGetObjectId(heap_getattr(tuple, acl_columns[which].owner,
										  RelationGetDescr(catalog), &isnull));
	update_acl(catalog, tuple, acl_columns[which].acl, acl, address, owner);
	table_close(catalog, RowExclusiveLock);
}

/*
 * A relation is locked against VACUUM, which updates pg_class in place and
 * would lose against an ordinary update of the row.
 */
void
acl_store(const ObjectAddress *address, Acl *acl)
{
	if (address->classId == RelationRelationId)
		LockRelationOid(address->objectId, ShareUpdateExclusiveLock);
	if (address->classId == RelationRelationId && address->objectSubId != 0)
	{
		column_acl_store(address, acl);
		return;
	}
	for (size_t i = 0; i < lengthof(acl_columns); i++)
	{
		if (acl_columns[i].class == address->classId)
		{
			object_acl_store(address, i, acl);
			return;
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("%s has no privileges of its own",
					getObjectDescription(address, false))));
}

/* safemig.set_acl(type text, names text[], args text[], part text, acl text) */
Datum
safemig_set_acl(PG_FUNCTION_ARGS)
{
	ObjectAddress address;
	ObjectAddress object;
	char	   *part;
	Acl		   *acl = NULL;
	Frame		frame;

	check_is_extension_owner();
	check_no_nulls(fcinfo, 3);
	part = PG_ARGISNULL(3) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(3));
	if (!PG_ARGISNULL(4))
		acl = acl_from_text(text_to_cstring(PG_GETARG_TEXT_PP(4)));

	frame_become_owner(&frame);
	address_from_names(fcinfo, &address);
	ObjectAddressSet(object, address.classId, address.objectId);
	if (part[0] != '\0')
	{
		address.objectSubId = get_attnum(address.objectId, part);
		if (address.classId != RelationRelationId ||
			address.objectSubId == InvalidAttrNumber)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("%s has no column \"%s\"",
							getObjectDescription(&object, false), part)));
	}
	capture_internal_begin("SET ACL", list_make1(&object));
	acl_store(&address, acl);
	capture_internal_end();
	frame_unpin(&frame);
	PG_RETURN_VOID();
}

/* ---- validity ---- */

/*
 * Says of a constraint that it was checked, or was not.  Whether that is true
 * is the caller's to know: nobody could write to what comes out of the vault.
 */
static void
store_validity(const ObjectAddress *address, bool valid)
{
	Relation	catalog = table_open(ConstraintRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(CONSTROID,
											ObjectIdGetDatum(address->objectId));
	Form_pg_constraint form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for constraint %u", address->objectId);
	form = (Form_pg_constraint) GETSTRUCT(tuple);
	if (form->contype != CONSTRAINT_CHECK && form->contype != CONSTRAINT_FOREIGN &&
		form->contype != CONSTRAINT_NOTNULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is always valid", getObjectDescription(address, false))));
	if (OidIsValid(form->conrelid))
		LockRelationOid(form->conrelid, ShareRowExclusiveLock);
	if (form->convalidated != valid)
	{
		form->convalidated = valid;
		CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
		/* a domain's users notice by the change of pg_constraint itself */
		if (OidIsValid(form->conrelid))
			CacheInvalidateRelcacheByRelid(form->conrelid);
		CommandCounterIncrement();
	}
	heap_freetuple(tuple);
	table_close(catalog, RowExclusiveLock);
}

/*
 * safemig.set_constraint_valid(type text, names text[], args text[],
 * valid boolean)
 */
Datum
safemig_set_constraint_valid(PG_FUNCTION_ARGS)
{
	ObjectAddress address;
	Frame		frame;

	check_is_extension_owner();
	check_no_nulls(fcinfo, 4);
	frame_become_owner(&frame);
	address_from_names(fcinfo, &address);
	if (address.classId != ConstraintRelationId)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is not a constraint",
						getObjectDescription(&address, false))));
	capture_internal_begin("SET CONSTRAINT VALID", list_make1(&address));
	store_validity(&address, PG_GETARG_BOOL(3));
	capture_internal_end();
	frame_unpin(&frame);
	PG_RETURN_VOID();
}
