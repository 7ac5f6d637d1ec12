/*-------------------------------------------------------------------------
 *
 * domain_constraint.c
 *	  Images of a domain's CHECKs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/syscache.h"

#include "image/classes.h"

static bool
domain_constraint_read(Image *image)
{
	HeapTuple	row = SearchSysCache1(CONSTROID,
									  ObjectIdGetDatum(image->address.objectId));
	Form_pg_constraint form;
	char	   *definition;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_constraint) GETSTRUCT(row);
	image->name = pstrdup(NameStr(form->conname));
	image_set_parent(image, TypeRelationId, form->contypid);
	definition = describe_object(F_PG_GET_CONSTRAINTDEF_OID, form->oid);
	if (definition == NULL)
		elog(ERROR, "constraint %u has no definition", form->oid);
	if (form->convalidated)
		image_add(image, "", "valid", "true");
	else
		definition = before_suffix(definition, " NOT VALID");
	image_add(image, "", "definition", definition);
	ReleaseSysCache(row);
	return true;
}

/*
 * A valid CHECK becomes so again without a look at the rows if nobody could
 * write any meanwhile: the domain was in the vault.  Else kept rows that do not
 * satisfy it give way before it is there.
 */
static void
domain_constraint_create(const Image *image, Steps *steps)
{
	char	   *sql = psprintf("ALTER DOMAIN %s ADD CONSTRAINT %s %s NOT VALID",
							   image_parent_name(image), quote_identifier(image->name),
							   image_get(image, "", "definition"));

	if (image_get(image, "", "valid") && !image->kept)
		sql = psprintf("SELECT safemig.alter_domain(%s)", quote_literal_cstr(sql));
	step_add(steps, RANK_DOMAIN_CONSTRAINT, RUN_CATALOG, NULL, "catalog", "%s", sql);
	if (image_get(image, "", "valid") == NULL)
		return;
	if (image->kept)
		step_add(steps, RANK_DOMAIN_CONSTRAINT, RUN_CATALOG, NULL, "catalog",
				 "SELECT safemig.set_constraint_valid(%s, %s, %s, true)",
				 quote_literal_cstr(image->type), image->names_sql,
				 image->args_sql);
	else
		step_add(steps, RANK_DEFAULT, RUN_CATALOG, "SHARE", "scan",
				 "SELECT safemig.alter_domain(%s)",
				 quote_literal_cstr(psprintf("ALTER DOMAIN %s VALIDATE CONSTRAINT %s",
											 image_parent_name(image),
											 quote_identifier(image->name))));
}

static void
domain_constraint_drop(const Image *image, Steps *steps)
{
	step_add(steps, RANK_DOMAIN_CONSTRAINT, RUN_CATALOG, NULL, "catalog",
			 "ALTER DOMAIN %s DROP CONSTRAINT %s",
			 image_parent_name(image), quote_identifier(image->name));
}

static bool
domain_constraint_alter(const Image *have, const Image *want, Steps *steps)
{
	if (facet_differs(have, want, "", "definition"))
		return false;
	if (facet_differs(have, want, "", "valid"))
		step_add(steps, RANK_DOMAIN_CONSTRAINT, RUN_CATALOG, NULL, "catalog",
				 "SELECT safemig.set_constraint_valid(%s, %s, %s, %s)",
				 quote_literal_cstr(want->type), want->names_sql, want->args_sql,
				 image_get(want, "", "valid") ? "true" : "false");
	return true;
}

static bool
domain_constraint_rename(const Image *have, const Image *want, Steps *steps)
{
	step_add(steps, RANK_RENAME, RUN_CATALOG, NULL, "catalog",
			 "ALTER DOMAIN %s RENAME CONSTRAINT %s TO %s",
			 image_parent_name(have), quote_identifier(have->name),
			 quote_identifier(want->name));
	return true;
}

const ImageClass image_class_domain_constraint = {
	.catalog = ConstraintRelationId,
	.type = "domain constraint",
	.keyword = "CONSTRAINT",
	.rank = RANK_DOMAIN_CONSTRAINT,
	.read = domain_constraint_read,
	.create = domain_constraint_create,
	.drop = domain_constraint_drop,
	.alter = domain_constraint_alter,
	.rename = domain_constraint_rename,
};
