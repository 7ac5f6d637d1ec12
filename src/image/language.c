/*-------------------------------------------------------------------------
 *
 * language.c
 *	  Images of procedural languages, and of transforms for them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_transform.h"
#include "catalog/pg_type.h"
#include "commands/proclang.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "image/classes.h"

/* ---- languages ---- */

static bool
language_read(Image *image)
{
	HeapTuple	row = SearchSysCache1(LANGOID,
									  ObjectIdGetDatum(image->address.objectId));
	Form_pg_language form;
	Datum		acl;
	bool		isnull;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_language) GETSTRUCT(row);
	image->name = pstrdup(NameStr(form->lanname));
	image_add_owner(image, form->lanowner);
	if (form->lanpltrusted)
		image_add(image, "", "trusted", "TRUSTED ");
	/* "internal", "c" and "sql" have none */
	if (OidIsValid(form->lanplcallfoid))
		image_add(image, "", "handler", function_name_sql(form->lanplcallfoid));
	if (OidIsValid(form->laninline))
		image_add(image, "", "inline", function_name_sql(form->laninline));
	if (OidIsValid(form->lanvalidator))
		image_add(image, "", "validator", function_name_sql(form->lanvalidator));
	acl = SysCacheGetAttr(LANGOID, row, Anum_pg_language_lanacl, &isnull);
	image_add_acl(image, "", acl, isnull, OBJECT_LANGUAGE, form->lanowner);
	ReleaseSysCache(row);
	return true;
}

static void
language_define(const Image *image, Steps *steps, const char *create)
{
	const char *trusted = image_get(image, "", "trusted");
	const char *code = image_get(image, "", "inline");
	const char *validator = image_get(image, "", "validator");

	step_add(steps, RANK_LANGUAGE, RUN_SUPERUSER, NULL, "catalog",
			 "%s %sLANGUAGE %s HANDLER %s%s%s%s%s", create,
			 trusted ? trusted : "", image_qualified_name(image),
			 image_get(image, "", "handler"),
			 code ? " INLINE " : "", code ? code : "",
			 validator ? " VALIDATOR " : "", validator ? validator : "");
}

static void
language_create(const Image *image, Steps *steps)
{
	language_define(image, steps, "CREATE");
}

static void
language_drop(const Image *image, Steps *steps)
{
	step_add(steps, RANK_LANGUAGE, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
			 "DROP LANGUAGE %s", image_qualified_name(image));
}

static bool
language_alter(const Image *have, const Image *want, Steps *steps)
{
	language_define(want, steps, "CREATE OR REPLACE");
	return true;
}

const ImageClass image_class_language = {
	.catalog = LanguageRelationId,
	.type = "language",
	.keyword = "LANGUAGE",
	.rank = RANK_LANGUAGE,
	.read = language_read,
	.create = language_create,
	.drop = language_drop,
	.alter = language_alter,
};

/* ---- transforms ---- */

static void
add_function(Image *image, const char *name, Oid function)
{
	if (OidIsValid(function))
		image_add(image, "", name, object_identity(ProcedureRelationId, function));
}

static bool
transform_read(Image *image)
{
	HeapTuple	row = catalog_row(TransformRelationId, Anum_pg_transform_oid,
								  image->address.objectId);
	Form_pg_transform form;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_transform) GETSTRUCT(row);
	image_belongs_to(image, type_owner(form->trftype));
	image_add(image, "", "type", format_type_be_qualified(form->trftype));
	image_add(image, "", "language",
			  quote_identifier(get_language_name(form->trflang, false)));
	add_function(image, "from sql", form->trffromsql);
	add_function(image, "to sql", form->trftosql);
	return true;
}

static char *
transform_reference(const Image *image)
{
	return psprintf("TRANSFORM FOR %s LANGUAGE %s",
					image_get(image, "", "type"),
					image_get(image, "", "language"));
}

static void
transform_define(const Image *image, Steps *steps, const char *create)
{
	const char *from = image_get(image, "", "from sql");
	const char *to = image_get(image, "", "to sql");

	step_add(steps, RANK_FUNCTION, RUN_CATALOG, NULL, "catalog",
			 "%s %s (%s%s%s%s%s)", create, transform_reference(image),
			 from ? "FROM SQL WITH FUNCTION " : "", from ? from : "",
			 from && to ? ", " : "",
			 to ? "TO SQL WITH FUNCTION " : "", to ? to : "");
}

static void
transform_create(const Image *image, Steps *steps)
{
	transform_define(image, steps, "CREATE");
}

static void
transform_drop(const Image *image, Steps *steps)
{
	step_add(steps, RANK_FUNCTION, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
			 "DROP %s", image_reference(image));
}

static bool
transform_alter(const Image *have, const Image *want, Steps *steps)
{
	transform_define(want, steps, "CREATE OR REPLACE");
	return true;
}

const ImageClass image_class_transform = {
	.catalog = TransformRelationId,
	.type = "transform",
	.keyword = "TRANSFORM",
	.rank = RANK_FUNCTION,
	.read = transform_read,
	.create = transform_create,
	.drop = transform_drop,
	.alter = transform_alter,
	.reference = transform_reference,
};
