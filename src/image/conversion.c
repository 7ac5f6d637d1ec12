/*-------------------------------------------------------------------------
 *
 * conversion.c
 *	  Images of encoding conversions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_conversion.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "image/classes.h"

static bool
conversion_read(Image *image)
{
	HeapTuple	row = SearchSysCache1(CONVOID,
									  ObjectIdGetDatum(image->address.objectId));
	Form_pg_conversion form;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_conversion) GETSTRUCT(row);
	image->schema = get_namespace_name(form->connamespace);
	image->name = pstrdup(NameStr(form->conname));
	image_add_owner(image, form->conowner);
	if (form->condefault)
		image_add(image, "", "default", "DEFAULT ");
	image_add(image, "", "from",
			  quote_literal_cstr(pg_encoding_to_char(form->conforencoding)));
	image_add(image, "", "to",
			  quote_literal_cstr(pg_encoding_to_char(form->contoencoding)));
	image_add(image, "", "function", function_name_sql(form->conproc));
	ReleaseSysCache(row);
	return true;
}

static void
conversion_create(const Image *image, Steps *steps)
{
	const char *is_default = image_get(image, "", "default");

	step_add(steps, RANK_FUNCTION, RUN_CATALOG, NULL, "catalog",
			 "CREATE %sCONVERSION %s FOR %s TO %s FROM %s",
			 is_default ? is_default : "", image_qualified_name(image),
			 image_get(image, "", "from"), image_get(image, "", "to"),
			 image_get(image, "", "function"));
}

static void
conversion_drop(const Image *image, Steps *steps)
{
	step_add(steps, RANK_FUNCTION, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
			 "DROP CONVERSION %s", image_qualified_name(image));
}

const ImageClass image_class_conversion = {
	.catalog = ConversionRelationId,
	.type = "conversion",
	.keyword = "CONVERSION",
	.rank = RANK_FUNCTION,
	.read = conversion_read,
	.create = conversion_create,
	.drop = conversion_drop,
};
