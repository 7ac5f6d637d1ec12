/*-------------------------------------------------------------------------
 *
 * operator.c
 *	  Images of operators.
 *
 * Two operators that are each other's commutator or negator name each other:
 * making the one ties the other to it, dropping it unties it, so what only
 * differs in that needs no step of its own.  An operator that has been named,
 * but not made, is a shell; it comes with the one that names it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "image/classes.h"

static void
add_operator(Image *image, const char *name, Oid operator)
{
	if (OidIsValid(operator))
		image_add(image, "", name, operator_name_sql(operator));
}

static void
add_function(Image *image, const char *name, Oid function)
{
	if (OidIsValid(function))
		image_add(image, "", name, function_name_sql(function));
}

static void
add_type(Image *image, const char *name, Oid type)
{
	if (OidIsValid(type))
		image_add(image, "", name, format_type_be_qualified(type));
}

static bool
operator_read(Image *image)
{
	HeapTuple	row = SearchSysCache1(OPEROID,
									  ObjectIdGetDatum(image->address.objectId));
	Form_pg_operator form;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_operator) GETSTRUCT(row);
	image->schema = get_namespace_name(form->oprnamespace);
	image->name = pstrdup(NameStr(form->oprname));
	image_add_owner(image, form->oprowner);
	add_type(image, "leftarg", form->oprleft);
	add_type(image, "rightarg", form->oprright);
	if (OidIsValid(form->oprcode))
		add_function(image, "function", form->oprcode);
	else
		image_add(image, "", "shell", "true");
	/* of itself it is known only once it is there */
	add_operator(image, "commutator", form->oprcom);
	add_operator(image, "negator", form->oprnegate);
	add_function(image, "restrict", form->oprrest);
	add_function(image, "join", form->oprjoin);
	if (form->oprcanhash)
		image_add(image, "", "hashes", "true");
	if (form->oprcanmerge)
		image_add(image, "", "merges", "true");
	ReleaseSysCache(row);
	return true;
}

static char *
literal_or_null(const char *text)
{
	return text ? quote_literal_cstr(text) : pstrdup("NULL");
}

static void
make_shell(const Image *image, Steps *steps)
{
	step_add(steps, RANK_FUNCTION, RUN_CATALOG, NULL, "catalog",
			 "SELECT safemig.make_operator_shell(%s, %s, %s, %s)",
			 quote_literal_cstr(image->schema), quote_literal_cstr(image->name),
			 literal_or_null(image_get(image, "", "leftarg")),
			 literal_or_null(image_get(image, "", "rightarg")));
}

static void
operator_create(const Image *image, Steps *steps)
{
	static const char *const clauses[] = {"function", "leftarg", "rightarg",
	"commutator", "negator", "restrict", "join"};
	StringInfoData buf;

	if (image_get(image, "", "shell"))
	{
		make_shell(image, steps);
		return;
	}
	initStringInfo(&buf);
	for (size_t i = 0; i < lengthof(clauses); i++)
	{
		const char *value = image_get(image, "", clauses[i]);

		if (value)
			appendStringInfo(&buf, "%s%s = %s", buf.len ? ", " : "",
							 clauses[i], value);
	}
	if (image_get(image, "", "hashes"))
		appendStringInfoString(&buf, ", hashes");
	if (image_get(image, "", "merges"))
		appendStringInfoString(&buf, ", merges");
	step_add(steps, RANK_FUNCTION, RUN_CATALOG, NULL, "catalog",
			 "CREATE OPERATOR %s.%s (%s)", quote_identifier(image->schema),
			 image->name, buf.data);
}

static void
operator_drop(const Image *image, Steps *steps)
{
	step_add(steps, RANK_FUNCTION, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
			 "DROP OPERATOR %s", image->identity);
}

/* Between a shell and the operator that it is to be. */
static void
alter_shell(const Image *want, Steps *steps)
{
	if (image_get(want, "", "shell"))
	{
		make_shell(want, steps);
		return;
	}
	operator_create(want, steps);
	/* who makes it whole becomes its owner */
	step_add(steps, RANK_FUNCTION, RUN_CATALOG, NULL, "catalog",
			 "ALTER OPERATOR %s OWNER TO %s", want->identity,
			 quote_identifier(want->owner));
}

static bool
operator_alter(const Image *have, const Image *want, Steps *steps)
{
	static const char *const in_place[] = {"restrict", "join", "commutator",
	"negator", NULL};
	const char *restriction = image_get(want, "", "restrict");
	const char *join = image_get(want, "", "join");

	if (facet_differs(have, want, "", "shell"))
	{
		alter_shell(want, steps);
		return true;
	}
	if (image_differs_beyond(have, want, in_place))
		return false;
	if (facet_differs(have, want, "", "restrict") ||
		facet_differs(have, want, "", "join"))
		step_add(steps, RANK_FUNCTION, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
				 "ALTER OPERATOR %s SET (restrict = %s, join = %s)",
				 want->identity, restriction ? restriction : "NONE",
				 join ? join : "NONE");
	return true;
}

const ImageClass image_class_operator = {
	.catalog = OperatorRelationId,
	.type = "operator",
	.keyword = "OPERATOR",
	.rank = RANK_FUNCTION,
	.read = operator_read,
	.create = operator_create,
	.drop = operator_drop,
	.alter = operator_alter,
};
