/*-------------------------------------------------------------------------
 *
 * access_method.c
 *	  Images of access methods.  They have no owner: only a superuser makes
 *	  or drops one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_am.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "image/classes.h"

static bool
access_method_read(Image *image)
{
	HeapTuple	row = SearchSysCache1(AMOID,
									  ObjectIdGetDatum(image->address.objectId));
	Form_pg_am	form;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_am) GETSTRUCT(row);
	image->name = pstrdup(NameStr(form->amname));
	image_add(image, "", "type", form->amtype == AMTYPE_INDEX ? "INDEX" : "TABLE");
	image_add(image, "", "handler", function_name_sql(form->amhandler));
	ReleaseSysCache(row);
	return true;
}

static void
access_method_create(const Image *image, Steps *steps)
{
	step_add(steps, RANK_LANGUAGE, RUN_SUPERUSER, NULL, "catalog",
			 "CREATE ACCESS METHOD %s TYPE %s HANDLER %s",
			 image_qualified_name(image), image_get(image, "", "type"),
			 image_get(image, "", "handler"));
}

static void
access_method_drop(const Image *image, Steps *steps)
{
	step_add(steps, RANK_LANGUAGE, RUN_SUPERUSER, "ACCESS EXCLUSIVE", "catalog",
			 "DROP ACCESS METHOD %s", image_qualified_name(image));
}

const ImageClass image_class_access_method = {
	.catalog = AccessMethodRelationId,
	.type = "access method",
	.keyword = "ACCESS METHOD",
	.rank = RANK_LANGUAGE,
	.read = access_method_read,
	.create = access_method_create,
	.drop = access_method_drop,
};
