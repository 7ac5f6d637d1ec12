/*-------------------------------------------------------------------------
 *
 * transform.c
 *	  The transforms that a function hangs on.
 *
 * A function that is created hangs on the transforms that there are for the
 * types of its arguments and its result, be they used or not; on one that was
 * made later it does not.  Whoever drops the transform notices.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_transform.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "nodes/parsenodes.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "compat.h"
#include "keep/vault.h"

PG_FUNCTION_INFO_V1(safemig_set_function_transforms);

static void
hang_on(const ObjectAddress *function, Oid transform, bool shall)
{
	ObjectAddress needed;

	ObjectAddressSet(needed, TransformRelationId, transform);
	if (shall)
		recordDependencyOn(function, &needed, DEPENDENCY_NORMAL);
	else
		deleteDependencyRecordsForSpecific(function->classId, function->objectId,
										   DEPENDENCY_NORMAL, needed.classId,
										   needed.objectId);
}

static List *
transforms_for(ArrayType *types, Oid language)
{
	List	   *transforms = NIL;
	Datum	   *elems;
	int			nelems;

	deconstruct_array(types, TEXTOID, -1, false, TYPALIGN_INT, &elems, NULL, &nelems);
	for (int i = 0; i < nelems; i++)
	{
		Oid			typid;
		int32		typmod;

		if (!type_from_string(TextDatumGetCString(elems[i]), &typid, &typmod))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("type \"%s\" does not exist", TextDatumGetCString(elems[i]))));
		transforms = lappend_oid(transforms, get_transform_oid(typid, language, false));
	}
	return transforms;
}

/* safemig.set_function_transforms(signature text, types text[]) */
Datum
safemig_set_function_transforms(PG_FUNCTION_ARGS)
{
	ObjectAddress address;
	HeapTuple	row;
	List	   *shall;
	List	   *does;
	ListCell   *lc;
	Frame		frame;

	check_is_extension_owner();
	frame_become_owner(&frame);
	ObjectAddressSet(address, ProcedureRelationId, function_of_signature(PG_GETARG_TEXT_PP(0)));
	capture_internal_begin("ALTER FUNCTION", list_make1(&address));
	row = SearchSysCache1(PROCOID, ObjectIdGetDatum(address.objectId));
	if (!HeapTupleIsValid(row))
		elog(ERROR, "cache lookup failed for function %u", address.objectId);
	shall = transforms_for(PG_GETARG_ARRAYTYPE_P(1),
						   ((Form_pg_proc) GETSTRUCT(row))->prolang);
	does = function_transforms(address.objectId);
	foreach(lc, function_possible_transforms(row))
	{
		Oid			transform = lfirst_oid(lc);

		if (list_member_oid(shall, transform) != list_member_oid(does, transform))
			hang_on(&address, transform, list_member_oid(shall, transform));
	}
	ReleaseSysCache(row);
	capture_internal_end();
	frame_unpin(&frame);
	PG_RETURN_VOID();
}
