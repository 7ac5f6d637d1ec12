/*-------------------------------------------------------------------------
 *
 * depend.c
 *	  What pg_depend says of an object.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_depend.h"
#include "utils/fmgroids.h"

#include "safemig.h"

/* The two columns that say which object are the first ones of the index. */
static SysScanDesc
scan_begin(Relation depend, Oid index, AttrNumber class_column, Oid classid, Oid objid)
{
	ScanKeyData key[2];

	ScanKeyInit(&key[0], class_column, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(classid));
	ScanKeyInit(&key[1], class_column + 1, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(objid));
	return systable_beginscan(depend, index, true, NULL, lengthof(key), key);
}

/* Copies, so that the catalog may be written while they are looked at. */
static List *
rows(Oid index, AttrNumber class_column, Oid classid, Oid objid)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	SysScanDesc scan = scan_begin(depend, index, class_column, classid, objid);
	HeapTuple	tuple;
	List	   *rows = NIL;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend row = palloc(sizeof(FormData_pg_depend));

		memcpy(row, GETSTRUCT(tuple), sizeof(FormData_pg_depend));
		rows = lappend(rows, row);
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return rows;
}

/* What the object, or one of its columns, depends on; of Form_pg_depend. */
List *
dependencies_of(Oid classid, Oid objid)
{
	return rows(DependDependerIndexId, Anum_pg_depend_classid, classid, objid);
}

/* What depends on the object, or on one of its columns; of Form_pg_depend. */
List *
dependencies_on(Oid classid, Oid objid)
{
	return rows(DependReferenceIndexId, Anum_pg_depend_refclassid, classid, objid);
}

bool
has_dependants(Oid classid, Oid objid)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	SysScanDesc scan = scan_begin(depend, DependReferenceIndexId,
								  Anum_pg_depend_refclassid, classid, objid);
	bool		found = HeapTupleIsValid(systable_getnext(scan));

	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return found;
}

/* Has it a dependency of that type on anything? */
bool
object_depends_by(const ObjectAddress *address, char deptype)
{
	ListCell   *lc;

	foreach(lc, dependencies_of(address->classId, address->objectId))
	{
		if (((Form_pg_depend) lfirst(lc))->deptype == deptype)
			return true;
	}
	return false;
}

/* What it depends on itself, of ObjectAddress*: columns one by one. */
List *
address_needs(const ObjectAddress *address)
{
	List	   *needs = NIL;
	ListCell   *lc;

	foreach(lc, dependencies_of(address->classId, address->objectId))
	{
		Form_pg_depend form = lfirst(lc);
		ObjectAddress *needed = palloc(sizeof(ObjectAddress));

		ObjectAddressSubSet(*needed, form->refclassid, form->refobjid, form->refobjsubid);
		needs = lappend(needs, needed);
	}
	return needs;
}
