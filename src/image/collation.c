/*-------------------------------------------------------------------------
 *
 * collation.c
 *	  Images of collations.
 *
 * Nothing in a collation can be changed but its name and owner; the version
 * of the library is what ALTER COLLATION ... REFRESH VERSION takes note of,
 * and is given to a collation that is made anew.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "image/classes.h"

/* The options of CREATE COLLATION: a facet's name is the option's. */
static const char *const option_names[] = {
	"provider", "locale", "lc_collate", "lc_ctype", "rules", "deterministic"
};

static const char *
provider_name(char provider)
{
	switch (provider)
	{
		case COLLPROVIDER_LIBC:
			return "libc";
		case COLLPROVIDER_ICU:
			return "icu";
		case COLLPROVIDER_BUILTIN:
			return "builtin";
		default:
			elog(ERROR, "unexpected collation provider '%c'", provider);
			return NULL;		/* keep compiler quiet */
	}
}

static void
read_text(Image *image, HeapTuple tuple, AttrNumber attnum, const char *name)
{
	bool		isnull;
	Datum		value = SysCacheGetAttr(COLLOID, tuple, attnum, &isnull);

	if (!isnull)
		image_add(image, "", name, quote_literal_cstr(TextDatumGetCString(value)));
}

static bool
collation_read(Image *image)
{
	HeapTuple	tuple = SearchSysCache1(COLLOID,
										ObjectIdGetDatum(image->address.objectId));
	Form_pg_collation form;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_collation) GETSTRUCT(tuple);
	image->schema = get_namespace_name(form->collnamespace);
	image->name = pstrdup(NameStr(form->collname));
	image_add_owner(image, form->collowner);
	image_add(image, "", "provider", provider_name(form->collprovider));
	read_text(image, tuple, Anum_pg_collation_collcollate, "lc_collate");
	read_text(image, tuple, Anum_pg_collation_collctype, "lc_ctype");
	read_text(image, tuple, collation_locale_column(), "locale");
	if (collation_rules_column() != InvalidAttrNumber)
		read_text(image, tuple, collation_rules_column(), "rules");
	image_add(image, "", "deterministic",
			  form->collisdeterministic ? "true" : "false");
	read_text(image, tuple, Anum_pg_collation_collversion, "@version");
	ReleaseSysCache(tuple);
	return true;
}

static void
collation_create(const Image *image, Steps *steps)
{
	const char *version = image_get(image, "", "@version");
	StringInfoData buf;

	if (image->kept)
	{
		step_add(steps, RANK_COLLATION, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
				 "SELECT safemig.restore_collation(" INT64_FORMAT ")", image->kept);
		return;
	}
	initStringInfo(&buf);
	for (size_t i = 0; i < lengthof(option_names); i++)
	{
		const char *value = image_get(image, "", option_names[i]);

		if (value)
			appendStringInfo(&buf, "%s%s = %s", buf.len ? ", " : "",
							 option_names[i], value);
	}
	if (version)
		appendStringInfo(&buf, ", version = %s", version);
	step_add(steps, RANK_COLLATION, RUN_CATALOG, NULL, "catalog",
			 "CREATE COLLATION %s (%s)", image_qualified_name(image), buf.data);
}

static void
collation_drop(const Image *image, Steps *steps)
{
	step_add(steps, RANK_COLLATION, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
			 "DROP COLLATION %s", image_qualified_name(image));
}

const ImageClass image_class_collation = {
	.catalog = CollationRelationId,
	.type = "collation",
	.keyword = "COLLATION",
	.rank = RANK_COLLATION,
	.read = collation_read,
	.create = collation_create,
	.drop = collation_drop,
};
