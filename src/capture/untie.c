/*-------------------------------------------------------------------------
 *
 * untie.c
 *	  Rehearsing a drop as if the vault were not there.
 *
 * Columns in the vault still have their types.  PostgreSQL would therefore
 * refuse DROP TYPE because of a table that the user dropped long ago, or take
 * its column along.  In the rehearsal's subtransaction, which is undone, the
 * dependencies of vaulted objects on what may be dropped are deleted first.
 * The type itself is then moved to the vault instead of being dropped, or, if
 * it goes for good, kept rows are put in another form (keep/freeze.c).
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
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "capture/capture.h"
#include "keep/vault.h"

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
		ObjectAddress dependant;

		ObjectAddressSet(address, form->classid, form->objid);
		if (is_support(class_id) ?
			support_dependant(&address, &dependant) && address_in_vault(&dependant) :
			form->deptype == DEPENDENCY_NORMAL && address_in_vault(&address))
			CatalogTupleDelete(depend, &tuple->t_self);
	}
	systable_endscan(scan);
}

/* What is made of the type goes or is moved with it. */
static void
untie_from_type(Relation depend, Oid type)
{
	ListCell   *lc;

	if (!OidIsValid(type))
		return;
	foreach(lc, type_containers(list_make1_oid(type)))
		untie_from(depend, TypeRelationId, lfirst_oid(lc));
}

static void
untie_from_named(Relation depend, const ObjectAddress *address)
{
	if (address->classId == TypeRelationId)
		untie_from_type(depend, address->objectId);
	else if (address->classId == RelationRelationId)
		untie_from_type(depend, get_rel_type_id(address->objectId));
	else if (address->classId == CollationRelationId ||
			 address->classId == AccessMethodRelationId ||
			 is_support(address->classId))
		untie_from(depend, address->classId, address->objectId);
}

/* Deletes what one object in the vault depends on of what is frozen or moved. */
static void
untie_object(Relation depend, Oid class_id, Oid object_id)
{
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_depend_classid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(class_id));
	ScanKeyInit(&key[1], Anum_pg_depend_objid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(object_id));
	scan = systable_beginscan(depend, DependDependerIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if ((form->deptype == DEPENDENCY_NORMAL ||
			 (form->deptype == DEPENDENCY_AUTO &&
			  form->refclassid == OperatorFamilyRelationId)) &&
			(form->refclassid == TypeRelationId ||
			 form->refclassid == CollationRelationId ||
			 form->refclassid == AccessMethodRelationId ||
			 /* a partition key's; a domain has the functions of its base type */
			 is_support(form->refclassid)))
			CatalogTupleDelete(depend, &tuple->t_self);
	}
	systable_endscan(scan);
}

/* What is in one vault schema and has dependencies. */
static void
untie_schema(Relation depend, Oid namespace)
{
	static const struct
	{
		Oid			catalog;
		AttrNumber	namespace;
		AttrNumber	oid;
	}			kinds[] = {
		{RelationRelationId, Anum_pg_class_relnamespace, Anum_pg_class_oid},
		{TypeRelationId, Anum_pg_type_typnamespace, Anum_pg_type_oid},
		{ProcedureRelationId, Anum_pg_proc_pronamespace, Anum_pg_proc_oid},
		{OperatorRelationId, Anum_pg_operator_oprnamespace, Anum_pg_operator_oid},
		{OperatorClassRelationId, Anum_pg_opclass_opcnamespace, Anum_pg_opclass_oid},
		{OperatorFamilyRelationId, Anum_pg_opfamily_opfnamespace, Anum_pg_opfamily_oid}
	};

	for (size_t i = 0; i < lengthof(kinds); i++)
	{
		Relation	rel = table_open(kinds[i].catalog, AccessShareLock);
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tuple;

		ScanKeyInit(&key, kinds[i].namespace, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(namespace));
		scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			bool		isnull;

			untie_object(depend, kinds[i].catalog,
						 DatumGetObjectId(heap_getattr(tuple, kinds[i].oid,
													   RelationGetDescr(rel),
													   &isnull)));
		}
		systable_endscan(scan);
		table_close(rel, AccessShareLock);
	}
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
