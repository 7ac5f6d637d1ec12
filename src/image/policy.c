/*-------------------------------------------------------------------------
 *
 * policy.c
 *	  Images of row security policies.
 *
 * Inside a sub-select a policy names its own table's columns by the table's
 * name.  The facets have them under another, fixed name, so that renaming the
 * table changes none; a hint then has the expression as SQL can read it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/indexing.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_policy.h"
#include "miscadmin.h"
#include "nodes/nodes.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

#include "image/classes.h"

#define TABLE_ITSELF "this_table"

static const char *
policy_command(char command)
{
	switch (command)
	{
		case '*':
			return "ALL";
		case ACL_SELECT_CHR:
			return "SELECT";
		case ACL_INSERT_CHR:
			return "INSERT";
		case ACL_UPDATE_CHR:
			return "UPDATE";
		case ACL_DELETE_CHR:
			return "DELETE";
		default:
			elog(ERROR, "unexpected command of policy: %c", command);
			return NULL;		/* keep compiler quiet */
	}
}

static char *
policy_roles(Datum roles)
{
	Datum	   *elems;
	int			nelems;
	StringInfoData buf;

	initStringInfo(&buf);
	deconstruct_array(DatumGetArrayTypeP(roles), OIDOID, sizeof(Oid), true,
					  TYPALIGN_INT, &elems, NULL, &nelems);
	for (int i = 0; i < nelems; i++)
	{
		Oid			role = DatumGetObjectId(elems[i]);

		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "",
						 OidIsValid(role) ?
						 quote_identifier(GetUserNameFromId(role, false)) :
						 "PUBLIC");
	}
	return buf.data;
}

static void
read_expression(Image *image, HeapTuple row, AttrNumber column,
				const char *facet, Oid relid)
{
	bool		isnull;
	Datum		value = catalog_value(PolicyRelationId, row, column, &isnull);
	Node	   *expr;
	char	   *sql;

	if (isnull)
		return;
	expr = stringToNode(TextDatumGetCString(value));
	sql = deparse_expression(expr, deparse_context_for(TABLE_ITSELF, relid),
							 false, false);
	image_add(image, "", facet, sql);
	if (strstr(sql, TABLE_ITSELF))
		image_add(image, "", psprintf("@%s", facet),
				  deparse_expression(expr,
									 deparse_context_for(get_rel_name(relid), relid),
									 false, false));
}

/*
 * By its name the table would hide itself in a query, so that the query gets
 * an alias which it does not have: only where the query names the row's table.
 */
static const char *
expression_text(const Image *image, const char *facet)
{
	const char *named = image_get(image, "", psprintf("@%s", facet));

	return named ? named : image_get(image, "", facet);
}

static bool
policy_read(Image *image)
{
	HeapTuple	row = catalog_row(PolicyRelationId, Anum_pg_policy_oid,
								  image->address.objectId);
	Form_pg_policy form;
	bool		isnull;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_policy) GETSTRUCT(row);
	image->name = pstrdup(NameStr(form->polname));
	image_set_parent(image, RelationRelationId, form->polrelid);
	image_addf(image, "", "permissive", "%s",
			   form->polpermissive ? "PERMISSIVE" : "RESTRICTIVE");
	image_add(image, "", "command", policy_command(form->polcmd));
	image_add(image, "", "roles",
			  policy_roles(catalog_value(PolicyRelationId, row,
										 Anum_pg_policy_polroles, &isnull)));
	read_expression(image, row, Anum_pg_policy_polqual, "using",
					form->polrelid);
	read_expression(image, row, Anum_pg_policy_polwithcheck, "with check",
					form->polrelid);
	return true;
}

/* "TO roles USING (...) WITH CHECK (...)", which CREATE and ALTER share */
static char *
policy_body(const Image *image)
{
	const char *qual = expression_text(image, "using");
	const char *check = expression_text(image, "with check");
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "TO %s", image_get(image, "", "roles"));
	if (qual)
		appendStringInfo(&buf, " USING (%s)", qual);
	if (check)
		appendStringInfo(&buf, " WITH CHECK (%s)", check);
	return buf.data;
}

static void
policy_create(const Image *image, Steps *steps)
{
	step_add(steps, RANK_POLICY, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
			 "CREATE POLICY %s ON %s AS %s FOR %s %s",
			 quote_identifier(image->name), image_parent_name(image),
			 image_get(image, "", "permissive"),
			 image_get(image, "", "command"), policy_body(image));
}

static void
policy_drop(const Image *image, Steps *steps)
{
	step_add(steps, RANK_POLICY, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
			 "DROP POLICY %s ON %s", quote_identifier(image->name),
			 image_parent_name(image));
}

/* ALTER POLICY can change an expression, but not take one away. */
static bool
policy_alter(const Image *have, const Image *want, Steps *steps)
{
	static const char *const expressions[] = {"using", "with check"};

	if (facet_differs(have, want, "", "permissive") ||
		facet_differs(have, want, "", "command"))
		return false;
	for (size_t i = 0; i < lengthof(expressions); i++)
	{
		if (image_get(have, "", expressions[i]) &&
			image_get(want, "", expressions[i]) == NULL)
			return false;
	}
	step_add(steps, RANK_POLICY, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
			 "ALTER POLICY %s ON %s %s", quote_identifier(want->name),
			 image_parent_name(want), policy_body(want));
	return true;
}

const ImageClass image_class_policy = {
	.catalog = PolicyRelationId,
	.type = "policy",
	.keyword = "POLICY",
	.rank = RANK_POLICY,
	.read = policy_read,
	.create = policy_create,
	.drop = policy_drop,
	.alter = policy_alter,
};
