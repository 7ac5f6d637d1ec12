/*-------------------------------------------------------------------------
 *
 * array_type.c
 *	  Names of array types.
 *
 * The array type of t is called _t.  If that is taken when it is made it gets
 * more underscores; and if something else is to be called so later, it gives
 * way and is renamed, by a command that is not about t at all (see
 * capture/capture.c).  pg_dump does not show it; whoever names such a type does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"

#include "capture/capture.h"
#include "image/classes.h"
#include "keep/column.h"
#include "keep/vault.h"

PG_FUNCTION_INFO_V1(safemig_set_array_type_name);

/* What it is called if nothing else has that name. */
static char *
array_type_name(const char *type)
{
	return makeObjectName("", type, NULL);
}

/*
 * An array type gives its name up to whatever else is to have it, and does not
 * take it back.
 */
void
array_type_read(Image *image)
{
	Oid			typid = InvalidOid;
	Oid			array;
	char	   *name;

	if (image->address.classId == RelationRelationId)
		typid = get_rel_type_id(image->address.objectId);
	else if (image->address.classId == TypeRelationId && !type_is_dependent(image->address.objectId))
		typid = image->address.objectId;
	array = OidIsValid(typid) ? get_array_type(typid) : InvalidOid;
	if (!OidIsValid(array))
		return;
	name = get_type_name(array);
	if (strcmp(name, array_type_name(get_type_name(typid))) != 0)
		image_add(image, "", ARRAY_TYPE, name);
}

/* The object that a type is the type of. */
void
type_object(Oid typid, ObjectAddress *object)
{
	Oid			relid = get_typ_typrelid(typid);

	if (OidIsValid(relid) && get_rel_relkind(relid) != RELKIND_COMPOSITE_TYPE)
		ObjectAddressSet(*object, RelationRelationId, relid);
	else
		ObjectAddressSet(*object, TypeRelationId, typid);
}

Datum
safemig_set_array_type_name(PG_FUNCTION_ARGS)
{
	Oid			typid;
	Oid			array;
	char	   *name;
	ObjectAddress object;

	check_own_call("set_array_type_name");
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("type must not be null")));
	typid = type_named(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	array = get_array_type(typid);
	if (!OidIsValid(array))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("type %s has no array type", format_type_be(typid))));
	name = PG_ARGISNULL(1) ? array_type_name(get_type_name(typid)) :
		text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (strcmp(get_type_name(array), name) == 0)
		PG_RETURN_VOID();
	type_object(typid, &object);
	capture_internal_begin("ALTER TYPE", list_make1(&object));
	RenameTypeInternal(array, name, get_type_namespace(array));
	CommandCounterIncrement();
	capture_internal_end();
	PG_RETURN_VOID();
}
