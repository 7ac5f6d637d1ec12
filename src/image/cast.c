/*-------------------------------------------------------------------------
 *
 * cast.c
 *	  Images of casts.
 *
 * A cast has no name and no owner: it is called by its two types, and belongs
 * to the owner of the one that a user made.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/catalog.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "image/classes.h"

#define WITHOUT_FUNCTION	"WITHOUT FUNCTION"

static const char *
context_sql(char context)
{
	switch (context)
	{
		case COERCION_CODE_EXPLICIT:
			return "";
		case COERCION_CODE_ASSIGNMENT:
			return " AS ASSIGNMENT";
		case COERCION_CODE_IMPLICIT:
			return " AS IMPLICIT";
		default:
			elog(ERROR, "unexpected cast context '%c'", context);
			return NULL;		/* keep compiler quiet */
	}
}

static char *
method_sql(Form_pg_cast form)
{
	switch (form->castmethod)
	{
		case COERCION_METHOD_FUNCTION:
			return psprintf("WITH FUNCTION %s",
							object_identity(ProcedureRelationId, form->castfunc));
		case COERCION_METHOD_INOUT:
			return "WITH INOUT";
		case COERCION_METHOD_BINARY:
			return WITHOUT_FUNCTION;
		default:
			elog(ERROR, "unexpected cast method '%c'", form->castmethod);
			return NULL;		/* keep compiler quiet */
	}
}

static bool
cast_read(Image *image)
{
	HeapTuple	tuple = catalog_row(CastRelationId, Anum_pg_cast_oid,
									image->address.objectId);
	Form_pg_cast form;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_cast) GETSTRUCT(tuple);
	/* that of a range to its multirange comes and goes with the range */
	if (get_range_multirange(form->castsource) == form->casttarget)
		return false;
	image_belongs_to(image,
					 type_owner(IsPinnedObject(TypeRelationId, form->castsource) ?
								form->casttarget : form->castsource));
	image_add(image, "", "method", method_sql(form));
	image_add(image, "", "context", context_sql(form->castcontext));
	return true;
}

static void
cast_create(const Image *image, Steps *steps)
{
	const char *method = image_get(image, "", "method");

	/* only a superuser may say that two types look the same inside */
	step_add(steps, RANK_CAST,
			 strcmp(method, WITHOUT_FUNCTION) == 0 ? RUN_SUPERUSER : RUN_CATALOG,
			 NULL, "catalog", "CREATE CAST %s %s%s", image->identity, method,
			 image_get(image, "", "context"));
}

static void
cast_drop(const Image *image, Steps *steps)
{
	step_add(steps, RANK_CAST, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
			 "DROP CAST %s", image->identity);
}

const ImageClass image_class_cast = {
	.catalog = CastRelationId,
	.type = "cast",
	.keyword = "CAST",
	.rank = RANK_CAST,
	.read = cast_read,
	.create = cast_create,
	.drop = cast_drop,
};
