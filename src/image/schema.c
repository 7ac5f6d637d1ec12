/*-------------------------------------------------------------------------
 *
 * schema.c
 *	  Images of schemas.  What is in a schema has images of its own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_namespace.h"
#include "utils/builtins.h"
#include "utils/syscache.h"
#include "access/htup_details.h"

#include "image/classes.h"

static bool
schema_read(Image *image)
{
	HeapTuple	row = SearchSysCache1(NAMESPACEOID,
									  ObjectIdGetDatum(image->address.objectId));
	Form_pg_namespace form;
	Datum		acl;
	bool		isnull;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_namespace) GETSTRUCT(row);
	image->name = pstrdup(NameStr(form->nspname));
	image_add_owner(image, form->nspowner);
	acl = SysCacheGetAttr(NAMESPACEOID, row, Anum_pg_namespace_nspacl, &isnull);
	image_add_acl(image, "", acl, isnull, OBJECT_SCHEMA, form->nspowner);
	ReleaseSysCache(row);
	return true;
}

static void
schema_create(const Image *image, Steps *steps)
{
	step_add(steps, RANK_SCHEMA, RUN_CATALOG, NULL, "catalog",
			 "CREATE SCHEMA %s", image_qualified_name(image));
}

static void
schema_drop(const Image *image, Steps *steps)
{
	step_add(steps, RANK_SCHEMA, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
			 "DROP SCHEMA %s", image_qualified_name(image));
}

const ImageClass image_class_schema = {
	.catalog = NamespaceRelationId,
	.type = "schema",
	.keyword = "SCHEMA",
	.rank = RANK_SCHEMA,
	.read = schema_read,
	.create = schema_create,
	.drop = schema_drop,
};
