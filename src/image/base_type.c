/*-------------------------------------------------------------------------
 *
 * base_type.c
 *	  Images of base types, and of the shells that they are made from.
 *
 * A base type needs its input and output functions and they need the type:
 * first there is a shell, then there are the functions, then the shell is
 * filled.  Each is a command of its own, and has its own way back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "image/classes.h"
#include "image/table.h"

/* When its functions are there: before tables, most often. */
#define RANK_DEFINITION (RANK_CAST - 1)
#define RANK_EARLY_DEFINITION (RANK_HANDLER + 1)

/* Parameters of CREATE TYPE that ALTER TYPE SET can change. */
static const char *const settable[] = {
	"RECEIVE", "SEND", "TYPMOD_IN", "TYPMOD_OUT", "ANALYZE", "SUBSCRIPT", "STORAGE", NULL
};

/* ---- shells ---- */

static void
shell_read(Image *image, HeapTuple row)
{
}

static void
shell_create(const Image *image, Steps *steps)
{
	step_add(steps, RANK_TYPE, RUN_SUPERUSER, NULL, "catalog", "CREATE TYPE %s",
			 image->identity);
}

static bool
shell_to_shell(const Image *have, const Image *want, Steps *steps)
{
	return true;
}

const TypeKind type_kind_shell = {
	.kind = "shell",
	.read = shell_read,
	.create = shell_create,
	.alter = shell_to_shell,
};

/* ---- base types ---- */

static void
add_function(Image *image, const char *parameter, Oid function, bool *early)
{
	if (!OidIsValid(function))
		return;
	image_add(image, "", parameter, function_name_sql(function));
	*early = *early && function_needs_nothing(function);
}

static void
base_read(Image *image, HeapTuple row)
{
	Form_pg_type form = (Form_pg_type) GETSTRUCT(row);
	bool		early = true;
	bool		isnull;
	Datum		value;

	add_function(image, "INPUT", form->typinput, &early);
	add_function(image, "OUTPUT", form->typoutput, &early);
	add_function(image, "RECEIVE", form->typreceive, &early);
	add_function(image, "SEND", form->typsend, &early);
	add_function(image, "TYPMOD_IN", form->typmodin, &early);
	add_function(image, "TYPMOD_OUT", form->typmodout, &early);
	add_function(image, "ANALYZE", form->typanalyze, &early);
	add_function(image, "SUBSCRIPT", form->typsubscript, &early);
	if (early)
		image_add(image, "", "@early", "true");
	if (form->typlen < 0)
		image_add(image, "", "INTERNALLENGTH", "VARIABLE");
	else
		image_addf(image, "", "INTERNALLENGTH", "%d", form->typlen);
	if (form->typbyval)
		image_add(image, "", "PASSEDBYVALUE", "true");
	image_add(image, "", "ALIGNMENT",
			  form->typalign == TYPALIGN_CHAR ? "char" :
			  form->typalign == TYPALIGN_SHORT ? "int2" :
			  form->typalign == TYPALIGN_DOUBLE ? "double" : "int4");
	image_add(image, "", "STORAGE", storage_name(form->typstorage));
	image_add(image, "", "CATEGORY", quote_literal_cstr(psprintf("%c", form->typcategory)));
	if (form->typispreferred)
		image_add(image, "", "PREFERRED", "true");
	value = SysCacheGetAttr(TYPEOID, row, Anum_pg_type_typdefault, &isnull);
	if (!isnull)
		image_add(image, "", "DEFAULT", quote_literal_cstr(TextDatumGetCString(value)));
	if (OidIsValid(form->typelem))
		image_add(image, "", "ELEMENT", type_name_at_home(form->typelem, -1));
	image_add(image, "", "DELIMITER", quote_literal_cstr(psprintf("%c", form->typdelim)));
	if (OidIsValid(form->typcollation))
		image_add(image, "", "COLLATABLE", "true");
}

static void
define(const Image *image, Steps *steps)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, image_own_facets(image))
	{
		Facet	   *facet = lfirst(lc);

		/* the others are called as CREATE TYPE calls them */
		if (!facet_is_common(facet->name) && facet->name[0] != '@' &&
			strcmp(facet->name, "kind") != 0)
			appendStringInfo(&buf, "%s%s = %s", buf.len ? ", " : "", facet->name,
							 facet->value);
	}
	step_add(steps,
			 image_get(image, "", "@early") ? RANK_EARLY_DEFINITION : RANK_DEFINITION,
			 RUN_SUPERUSER, NULL, "catalog", "CREATE TYPE %s (%s)",
			 image->identity, buf.data);
}

static void
base_create(const Image *image, Steps *steps)
{
	shell_create(image, steps);
	define(image, steps);
}

static bool
base_alter(const Image *have, const Image *want, Steps *steps)
{
	if (have->address.objectId != want->address.objectId &&
		image_differs_beyond(have, want, settable))
		return false;
	for (int i = 0; settable[i]; i++)
	{
		const char *value = image_get(want, "", settable[i]);

		if (!facet_differs(have, want, "", settable[i]))
			continue;
		if (value && strcmp(value, "PLAIN") == 0)
			steps_irreversible(steps, "the storage of type %s cannot be PLAIN again",
							   want->identity);
		step_add(steps, RANK_DEFINITION, RUN_SUPERUSER, "ACCESS EXCLUSIVE", "catalog",
				 "ALTER TYPE %s SET (%s = %s)", want->identity, settable[i],
				 value ? value : "NONE");
	}
	return true;
}

const TypeKind type_kind_base = {
	.kind = "base",
	.read = base_read,
	.create = base_create,
	.alter = base_alter,
};

/* One kind becomes another one; false if it has to be made anew. */
bool
shell_alter(const Image *have, const Image *want, Steps *steps)
{
	const char *now = image_get(have, "", "kind");
	const char *then = image_get(want, "", "kind");

	if (strcmp(now, "base") == 0 && strcmp(then, "shell") == 0)
		step_add(steps, RANK_DEFINITION, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
				 "SELECT safemig.empty_type(%s)", quote_literal_cstr(want->identity));
	else if (strcmp(now, "shell") == 0 && strcmp(then, "base") == 0)
		define(want, steps);
	else if (strcmp(then, "shell") == 0)
		steps_irreversible(steps, "type %s cannot become a shell again", want->identity);
	else
		return false;
	return true;
}
