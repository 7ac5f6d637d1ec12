/*-------------------------------------------------------------------------
 *
 * range.c
 *	  Images of range types.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_range.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "image/classes.h"

static char *
operator_class_name(Oid opclass)
{
	HeapTuple	row = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
	Form_pg_opclass form;
	char	   *name;

	if (!HeapTupleIsValid(row))
		elog(ERROR, "cache lookup failed for operator class %u", opclass);
	form = (Form_pg_opclass) GETSTRUCT(row);
	name = quote_qualified_identifier(get_namespace_name(form->opcnamespace),
									  NameStr(form->opcname));
	ReleaseSysCache(row);
	return name;
}

static void
add_function(Image *image, const char *facet, Oid function)
{
	if (OidIsValid(function))
		image_add(image, "", facet, object_identity(ProcedureRelationId, function));
}

static void
range_read(Image *image, HeapTuple type)
{
	HeapTuple	row = SearchSysCache1(RANGETYPE,
									  ObjectIdGetDatum(image->address.objectId));
	Form_pg_range form;

	if (!HeapTupleIsValid(row))
		elog(ERROR, "cache lookup failed for range type %u",
			 image->address.objectId);
	form = (Form_pg_range) GETSTRUCT(row);
	image_add(image, "", "subtype", type_name_at_home(form->rngsubtype, -1));
	image_add(image, "", "operator class", operator_class_name(form->rngsubopc));
	if (OidIsValid(form->rngcollation))
		image_add(image, "", "collation", collation_name_at_home(form->rngcollation));
	add_function(image, "canonical", form->rngcanonical);
	add_function(image, "subtype_diff", form->rngsubdiff);
	image_add(image, "", "@multirange",
			  object_identity(TypeRelationId, form->rngmultitypid));
	ReleaseSysCache(row);
}

static const char *
literal_or_null(const char *value)
{
	return value ? quote_literal_cstr(value) : "NULL";
}

static void
set_functions(const Image *image, Steps *steps)
{
	step_add(steps, RANK_DOMAIN_CONSTRAINT, RUN_CATALOG, NULL, "catalog",
			 "SELECT safemig.set_range_functions(%s, %s, %s)",
			 quote_literal_cstr(image->identity),
			 literal_or_null(image_get(image, "", "canonical")),
			 literal_or_null(image_get(image, "", "subtype_diff")));
}

static void
range_create(const Image *image, Steps *steps)
{
	const char *collation = image_get(image, "", "collation");

	step_add(steps, RANK_TYPE, RUN_CATALOG, NULL, "catalog",
			 "CREATE TYPE %s AS RANGE (SUBTYPE = %s, SUBTYPE_OPCLASS = %s%s%s, MULTIRANGE_TYPE_NAME = %s)",
			 image->identity, image_get(image, "", "subtype"),
			 image_get(image, "", "operator class"),
			 collation ? ", COLLATION = " : "", collation ? collation : "",
			 image_get(image, "", "@multirange"));
	if (image_get(image, "", "canonical") || image_get(image, "", "subtype_diff"))
		set_functions(image, steps);
}

static bool
range_alter(const Image *have, const Image *want, Steps *steps)
{
	static const char *const settable[] = {"canonical", "subtype_diff", NULL};

	/* what the same range is made from can be called otherwise, not changed */
	if (have->address.objectId != want->address.objectId &&
		image_differs_beyond(have, want, settable))
		return false;
	if (facet_differs(have, want, "", "canonical") ||
		facet_differs(have, want, "", "subtype_diff"))
		set_functions(want, steps);
	return true;
}

const TypeKind type_kind_range = {
	.kind = "range",
	.read = range_read,
	.create = range_create,
	.alter = range_alter,
};
