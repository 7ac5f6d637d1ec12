/*-------------------------------------------------------------------------
 *
 * domain.c
 *	  Images of domains; their CHECKs have images of their own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "image/classes.h"

static void
domain_read(Image *image, HeapTuple row)
{
	Form_pg_type form = (Form_pg_type) GETSTRUCT(row);
	Datum		value;
	bool		isnull;

	image_add(image, "", "base",
			  format_type_with_typemod(form->typbasetype, form->typtypmod));
	if (form->typcollation != get_typcollation(form->typbasetype))
		image_add(image, "", "collation",
				  generate_collation_name(form->typcollation));
	if (form->typnotnull)
		image_add(image, "", "notnull", "true");
	value = SysCacheGetAttr(TYPEOID, row, Anum_pg_type_typdefaultbin, &isnull);
	if (!isnull)
		image_add(image, "", "default",
				  deparse_expression(stringToNode(TextDatumGetCString(value)),
									 NIL, false, false));
}

/* A default may call a function that takes the domain. */
static void
set_default(const Image *image, Steps *steps)
{
	const char *value = image_get(image, "", "default");

	step_add(steps, RANK_DOMAIN_CONSTRAINT, RUN_CATALOG, NULL, "catalog",
			 "ALTER DOMAIN %s %s%s", image->identity,
			 value ? "SET DEFAULT " : "DROP DEFAULT", value ? value : "");
}

/* SET NOT NULL looks at every row of every column of the domain. */
static void
set_not_null(const Image *image, Steps *steps)
{
	if (image_get(image, "", "notnull"))
		step_add(steps, RANK_DOMAIN_CONSTRAINT, RUN_OWNER, "SHARE", "scan",
				 "ALTER DOMAIN %s SET NOT NULL", image->identity);
	else
		step_add(steps, RANK_DOMAIN_CONSTRAINT, RUN_CATALOG, NULL, "catalog",
				 "ALTER DOMAIN %s DROP NOT NULL", image->identity);
}

static void
domain_create(const Image *image, Steps *steps)
{
	const char *collation = image_get(image, "", "collation");

	step_add(steps, RANK_TYPE, RUN_CATALOG, NULL, "catalog",
			 "CREATE DOMAIN %s AS %s%s%s%s", image->identity,
			 image_get(image, "", "base"),
			 collation ? " COLLATE " : "", collation ? collation : "",
			 image_get(image, "", "notnull") ? " NOT NULL" : "");
	if (image_get(image, "", "default"))
		set_default(image, steps);
}

static bool
domain_alter(const Image *have, const Image *want, Steps *steps)
{
	/* what the same domain is made from can be called otherwise, not changed */
	if (have->address.objectId != want->address.objectId &&
		(facet_differs(have, want, "", "base") ||
		 facet_differs(have, want, "", "collation")))
		return false;
	if (facet_differs(have, want, "", "default"))
		set_default(want, steps);
	if (facet_differs(have, want, "", "notnull"))
		set_not_null(want, steps);
	return true;
}

const TypeKind type_kind_domain = {
	.kind = "domain",
	.read = domain_read,
	.create = domain_create,
	.alter = domain_alter,
};
