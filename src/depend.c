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

static SysScanDesc
scan_begin(Relation depend, const ObjectAddress *address)
{
	ScanKeyData key[2];

	ScanKeyInit(&key[0], Anum_pg_depend_classid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(address->classId));
	ScanKeyInit(&key[1], Anum_pg_depend_objid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(address->objectId));
	return systable_beginscan(depend, DependDependerIndexId, true, NULL, 2, key);
}

/* Has it a dependency of that type on anything? */
bool
object_depends_by(const ObjectAddress *address, char deptype)
{
	Relation	rel = table_open(DependRelationId, AccessShareLock);
	SysScanDesc scan = scan_begin(rel, address);
	HeapTuple	tuple;
	bool		found = false;

	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = ((Form_pg_depend) GETSTRUCT(tuple))->deptype == deptype;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* What it depends on itself, of ObjectAddress*: columns one by one. */
List *
address_needs(const ObjectAddress *address)
{
	Relation	rel = table_open(DependRelationId, AccessShareLock);
	SysScanDesc scan = scan_begin(rel, address);
	HeapTuple	tuple;
	List	   *needs = NIL;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);
		ObjectAddress *needed = palloc(sizeof(ObjectAddress));

		ObjectAddressSubSet(*needed, form->refclassid, form->refobjid, form->refobjsubid);
		needs = lappend(needs, needed);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return needs;
}
