/*-------------------------------------------------------------------------
 *
 * domain.c
 *	  Images of domains; their CHECKs have images of their own.
 *
 * NOT NULL is a constraint with a name since PostgreSQL 17, yet a facet of the
 * domain.  A name that PostgreSQL would choose is only a hint, since it holds
 * the name of the domain.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "commands/comment.h"
#include "commands/defrem.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "compat.h"
#include "image/classes.h"

static void
read_not_null(Image *image, const char *domain)
{
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	image_add(image, "", "notnull", "true");
	if (!domain_not_null_is_constraint())
		return;
	rel = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_constraint_contypid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(image->address.objectId));
	scan = systable_beginscan(rel, ConstraintTypidIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);
		const char *name = NameStr(form->conname);
		char	   *comment;

		if (form->contype != CONSTRAINT_NOTNULL)
			continue;
		image_add(image, "", "@notnull name", name);
		if (strcmp(name, makeObjectName(domain, NULL, "not_null")) != 0)
			image_add(image, "", "notnull name", quote_identifier(name));
		comment = GetComment(form->oid, ConstraintRelationId, 0);
		if (comment)
			image_add(image, "", "notnull comment", comment);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static void
domain_read(Image *image, HeapTuple row)
{
	Form_pg_type form = (Form_pg_type) GETSTRUCT(row);
	Datum		value;
	bool		isnull;

	image_add(image, "", "base",
			  type_name_at_home(form->typbasetype, form->typtypmod));
	if (form->typcollation != get_typcollation(form->typbasetype))
		image_add(image, "", "collation",
				  collation_name_at_home(form->typcollation));
	if (form->typnotnull)
		read_not_null(image, NameStr(form->typname));
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

/* As CREATE DOMAIN and ADD have it; NULL if it is nullable. */
static const char *
not_null_sql(const Image *image)
{
	const char *name = image_get(image, "", "@notnull name");

	if (image_get(image, "", "notnull") == NULL)
		return NULL;
	return name ? psprintf("CONSTRAINT %s NOT NULL", quote_identifier(name)) : "NOT NULL";
}

/* SET NOT NULL looks at every row of every column of the domain. */
static void
set_not_null(const Image *image, Steps *steps)
{
	const char *sql = not_null_sql(image);

	if (sql)
		step_add(steps, RANK_DOMAIN_CONSTRAINT, RUN_CATALOG, "SHARE", "scan",
				 "SELECT safemig.alter_domain(%s)",
				 quote_literal_cstr(psprintf("ALTER DOMAIN %s %s %s", image->identity,
											 image_get(image, "", "@notnull name") ? "ADD" : "SET", sql)));
	else
		step_add(steps, RANK_DOMAIN_CONSTRAINT, RUN_CATALOG, NULL, "catalog",
				 "ALTER DOMAIN %s DROP NOT NULL", image->identity);
}

/* Name and comment of the constraint, where it is one. */
static void
describe_not_null(const Image *have, const Image *want, Steps *steps)
{
	const char *old_name = have ? image_get(have, "", "@notnull name") : NULL;
	const char *name = image_get(want, "", "@notnull name");
	const char *comment = image_get(want, "", "notnull comment");
	const char *old_comment = have ? image_get(have, "", "notnull comment") : NULL;

	if (name == NULL)
		return;
	if (old_name && strcmp(old_name, name) != 0)
		step_add(steps, RANK_DOMAIN_CONSTRAINT, RUN_CATALOG, NULL, "catalog",
				 "ALTER DOMAIN %s RENAME CONSTRAINT %s TO %s", want->identity,
				 quote_identifier(old_name), quote_identifier(name));
	if (comment == NULL ? old_comment != NULL :
		old_comment == NULL || strcmp(comment, old_comment) != 0)
		step_add(steps, RANK_COMMON, RUN_CATALOG, NULL, "catalog",
				 "COMMENT ON CONSTRAINT %s ON DOMAIN %s IS %s",
				 quote_identifier(name), want->identity,
				 comment ? quote_literal_cstr(comment) : "NULL");
}

static void
domain_create(const Image *image, Steps *steps)
{
	const char *collation = image_get(image, "", "collation");
	const char *not_null = not_null_sql(image);

	step_add(steps, RANK_TYPE, RUN_CATALOG, NULL, "catalog",
			 "CREATE DOMAIN %s AS %s%s%s%s%s", image->identity,
			 image_get(image, "", "base"),
			 collation ? " COLLATE " : "", collation ? collation : "",
			 not_null ? " " : "", not_null ? not_null : "");
	describe_not_null(NULL, image, steps);
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
	describe_not_null(have, want, steps);
	return true;
}

const TypeKind type_kind_domain = {
	.kind = "domain",
	.read = domain_read,
	.create = domain_create,
	.alter = domain_alter,
};
