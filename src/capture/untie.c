/*-------------------------------------------------------------------------
 *
 * untie.c
 *	  Rehearsing a drop as if the vault were not there.
 *
 * Columns in the vault still have their types.  PostgreSQL would therefore
 * refuse DROP TYPE because of a table that the user dropped long ago, or take
 * its column along.  In the rehearsal's subtransaction, which is undone, the
 * dependencies of vaulted objects on what may be dropped are deleted first.
 * The type itself is then moved to the vault instead of being dropped.
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
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "capture/capture.h"

/* Deletes the dependencies of vaulted objects on one object. */
static void
untie_from(Relation depend, Oid class_id, Oid object_id)
{
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!OidIsValid(object_id))
		return;
	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(class_id));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(object_id));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);
		ObjectAddress address;

		ObjectAddressSet(address, form->classid, form->objid);
		if (form->deptype == DEPENDENCY_NORMAL && address_in_vault(&address))
			CatalogTupleDelete(depend, &tuple->t_self);
	}
	systable_endscan(scan);
}

static void
untie_from_type(Relation depend, Oid type)
{
	untie_from(depend, TypeRelationId, type);
	untie_from(depend, TypeRelationId, get_array_type(type));
}

static void
untie_from_named(Relation depend, const ObjectAddress *address)
{
	if (address->classId == TypeRelationId)
		untie_from_type(depend, address->objectId);
	else if (address->classId == RelationRelationId)
		untie_from_type(depend, get_rel_type_id(address->objectId));
	else if (address->classId == CollationRelationId)
		untie_from(depend, CollationRelationId, address->objectId);
}

/* Deletes every dependency of what is in one vault schema on types. */
static void
untie_schema(Relation depend, Oid namespace)
{
	Relation	rel = table_open(RelationRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_class_relnamespace, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(namespace));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		ScanKeyData depend_key[2];
		SysScanDesc depend_scan;
		HeapTuple	depend_tuple;

		ScanKeyInit(&depend_key[0], Anum_pg_depend_classid, BTEqualStrategyNumber,
					F_OIDEQ, ObjectIdGetDatum(RelationRelationId));
		ScanKeyInit(&depend_key[1], Anum_pg_depend_objid, BTEqualStrategyNumber,
					F_OIDEQ, ObjectIdGetDatum(((Form_pg_class) GETSTRUCT(tuple))->oid));
		depend_scan = systable_beginscan(depend, DependDependerIndexId, true,
										 NULL, 2, depend_key);
		while (HeapTupleIsValid(depend_tuple = systable_getnext(depend_scan)))
		{
			Form_pg_depend form = (Form_pg_depend) GETSTRUCT(depend_tuple);

			if (form->deptype == DEPENDENCY_NORMAL &&
				(form->refclassid == TypeRelationId ||
				 form->refclassid == CollationRelationId))
				CatalogTupleDelete(depend, &depend_tuple->t_self);
		}
		systable_endscan(depend_scan);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static void
untie_all(Relation depend)
{
	Relation	rel = table_open(NamespaceRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Oid			namespace = ((Form_pg_namespace) GETSTRUCT(tuple))->oid;

		if (vault_is_schema(namespace))
			untie_schema(depend, namespace);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

void
untie_vault(Node *parsetree, List *named)
{
	Relation	depend = table_open(DependRelationId, RowExclusiveLock);
	ObjectType	type = IsA(parsetree, DropStmt) ?
	((DropStmt *) parsetree)->removeType : OBJECT_SCHEMA;
	ListCell   *lc;

	if (type == OBJECT_SCHEMA || type == OBJECT_EXTENSION)
		untie_all(depend);
	else
	{
		foreach(lc, named)
			untie_from_named(depend, lfirst(lc));
	}
	table_close(depend, RowExclusiveLock);
	CommandCounterIncrement();
}
