/*-------------------------------------------------------------------------
 *
 * constraint.c
 *	  Images of table constraints.
 *
 * CHECKs and foreign keys come back NOT VALID, which evaluates nothing, and
 * are validated as the table's owner; a CHECK on a table that nobody could
 * write meanwhile, since it was in the vault, is simply marked valid again.
 *
 * What a constraint says cannot change under its OID but for its validity and
 * deferrability: a definition that reads differently then only names
 * something that was renamed.
 *
 * Constraints that come with another object carry the hint '@child': those
 * inherited from a parent table, clones of a partitioned table's foreign key,
 * the row of a constraint trigger.  NOT NULL is a facet of its column.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "classes.h"
#include "compat.h"
#include "keep/column.h"
#include "table.h"

static const char *
type_name(char contype)
{
	switch (contype)
	{
		case CONSTRAINT_CHECK:
			return "CHECK";
		case CONSTRAINT_FOREIGN:
			return "FOREIGN KEY";
		case CONSTRAINT_PRIMARY:
			return "PRIMARY KEY";
		case CONSTRAINT_UNIQUE:
			return "UNIQUE";
		case CONSTRAINT_EXCLUSION:
			return "EXCLUDE";
		case CONSTRAINT_TRIGGER:
			return "TRIGGER";
		default:
			elog(ERROR, "unexpected constraint type '%c'", contype);
			return NULL;
	}
}

/* ---- reading ---- */

static bool
cut_suffix(char *text, const char *suffix)
{
	size_t		len = strlen(text);
	size_t		suffix_len = strlen(suffix);

	if (len < suffix_len || strcmp(text + len - suffix_len, suffix) != 0)
		return false;
	text[len - suffix_len] = '\0';
	return true;
}

/*
 * PostgreSQL's own command for the constraint says all of it, indexes' options
 * and tablespace included.  Its beginning names table and constraint, its end
 * the attributes that are facets of their own; neither end of a definition
 * can be mistaken for one, since definitions end in a parenthesis, a key word
 * or a quoted name.
 */
static void
read_definition(Image *image, Form_pg_constraint form)
{
	char	   *text = pg_get_constraintdef_command(form->oid);
	char	   *prefix = psprintf("ALTER TABLE %s ADD CONSTRAINT %s ",
								  qualified_relation_name(form->conrelid),
								  quote_identifier(NameStr(form->conname)));

	if (strncmp(text, prefix, strlen(prefix)) != 0)
		elog(ERROR, "unexpected constraint definition: %s", text);
	text += strlen(prefix);
	cut_suffix(text, " NOT VALID");
	if (cut_suffix(text, " NOT ENFORCED"))
		image_add(image, "", "enforced", "false");
	cut_suffix(text, " INITIALLY DEFERRED");
	cut_suffix(text, " DEFERRABLE");
	image_add(image, "", "definition", text);
}

static bool
is_passed_on(Oid check)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(check));
	Form_pg_constraint form;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_constraint) GETSTRUCT(tuple);
	result = form->contype == CONSTRAINT_CHECK && !form->connoinherit;
	ReleaseSysCache(tuple);
	return result;
}

/* The parents that have a CHECK, too. */
static int
count_parents(Form_pg_constraint form)
{
	int			parents = 0;
	ListCell   *lc;

	foreach(lc, relation_parents(form->conrelid))
		parents += is_passed_on(get_relation_constraint_oid(lfirst_oid(lc),
															NameStr(form->conname),
															true));
	return parents;
}

/*
 * From how many parents it comes: those that have it, with one exception.  DROP
 * COLUMN of a parent leaves the number as it was in a child that has the column
 * by itself.
 */
static void
read_parents(Image *image, Form_pg_constraint form)
{
	int			parents;

	if (form->coninhcount == 0)
		return;
	image_addf(image, "", "inhcount", "%d", form->coninhcount);
	if (form->contype != CONSTRAINT_CHECK)
		return;
	parents = count_parents(form);
	if (parents != form->coninhcount)
		image_addf(image, "", "parents", "%d", parents);
	if (parents > 0 && !form->conislocal)
		image_add(image, "", "@child", "true");
}

/* A CHECK: see read_parents. */
static bool
comes_with_another(Form_pg_constraint form)
{
	switch (form->contype)
	{
		case CONSTRAINT_FOREIGN:
			return OidIsValid(form->conparentid);
		case CONSTRAINT_TRIGGER:
			return true;
		default:
			return false;
	}
}

/* Hints that making it and validating it need; is the table partitioned? */
static bool
read_table(Image *image, Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	bool		partitioned;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	form = (Form_pg_class) GETSTRUCT(tuple);
	image_add(image, "", "@owner", GetUserNameFromId(loan_owner(relid, form->relowner), false));
	partitioned = form->relkind == RELKIND_PARTITIONED_TABLE;
	if (partitioned)
		image_add(image, "", "@partitioned", "true");
	if (form->relispartition)
		image_add(image, "", "@partition", "true");
	ReleaseSysCache(tuple);
	return partitioned;
}

/* Has it, or any that it is a part of, another name? */
static bool
is_called_otherwise(Oid constraint, const char *name)
{
	HeapTuple	tuple;
	bool		differs;
	Oid			up;

	if (!OidIsValid(constraint))
		return false;
	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for constraint %u", constraint);
	differs = strcmp(NameStr(((Form_pg_constraint) GETSTRUCT(tuple))->conname), name) != 0;
	up = ((Form_pg_constraint) GETSTRUCT(tuple))->conparentid;
	ReleaseSysCache(tuple);
	return differs || is_called_otherwise(up, name);
}

/* A partition's foreign key is made with the topmost table's, by its name. */
static void
read_other_name(Image *image, Form_pg_constraint form, Form_pg_constraint up)
{
	if (form->contype != CONSTRAINT_FOREIGN || up->conrelid == form->conrelid ||
		!is_called_otherwise(up->oid, NameStr(form->conname)))
		return;
	image_add(image, "", "@parent constraint", NameStr(up->conname));
	image_add(image, "", "@parent table", qualified_relation_name(up->conrelid));
}

/*
 * A key of a partition that belongs to the partitioned table's key; a foreign
 * key that is copied to a partition of the table that has it, or of the table
 * that it refers to.
 */
static void
read_original(Image *image, Form_pg_constraint form)
{
	Oid			oid = form->conparentid;
	char	   *original = NULL;

	if (OidIsValid(oid))
		image_addf(image, "", "@partition of", "%u", oid);
	/* up to the one that is written on this same table */
	while (OidIsValid(oid))
	{
		HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(oid));
		Form_pg_constraint up;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for constraint %u", oid);
		up = (Form_pg_constraint) GETSTRUCT(tuple);
		if (oid == form->conparentid)
			read_other_name(image, form, up);
		oid = InvalidOid;
		if (up->conrelid == form->conrelid)
		{
			original = pstrdup(NameStr(up->conname));
			oid = up->conparentid;
		}
		ReleaseSysCache(tuple);
	}
	if (original == NULL)
		return;
	image_add(image, "", "@original", original);
	image_add(image, "", "@referenced", qualified_relation_name(form->confrelid));
}

static bool
constraint_read(Image *image)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(image->address.objectId));
	Form_pg_constraint form;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_constraint) GETSTRUCT(tuple);
	image->name = pstrdup(NameStr(form->conname));
	image_set_parent(image, RelationRelationId, form->conrelid);
	image->rank = form->contype == CONSTRAINT_FOREIGN ? RANK_FOREIGN_KEY : RANK_CONSTRAINT;
	image_add(image, "", "type", type_name(form->contype));
	if (form->contype != CONSTRAINT_TRIGGER)
		read_definition(image, form);
	if (form->condeferrable)
		image_add(image, "", "deferrable", "DEFERRABLE");
	if (form->condeferred)
		image_add(image, "", "deferred", "INITIALLY DEFERRED");
	if (!form->convalidated)
		image_add(image, "", "valid", "false");
	if (!form->conislocal)
		image_add(image, "", "islocal", "false");
	read_parents(image, form);
	if (comes_with_another(form))
		image_add(image, "", "@child", "true");
	read_original(image, form);
	constraint_marks_read(image, form, read_table(image, form->conrelid));
	ReleaseSysCache(tuple);
	return true;
}

/* ---- making ---- */

static void
validate(const Image *image, Steps *steps)
{
	step_add(steps, image->rank, RUN_CATALOG, SHARE_UPDATE_EXCLUSIVE, "scan",
			 "SELECT safemig.validate_constraint(%s, %s)",
			 quote_literal_cstr(image_parent_name(image)),
			 quote_literal_cstr(image->name));
}

static void
set_valid(const Image *image, int rank, bool valid, Steps *steps)
{
	step_add(steps, rank, RUN_CATALOG, ACCESS_EXCLUSIVE, "catalog",
			 "SELECT safemig.set_constraint_valid(%s, %s, %s, %s)",
			 quote_literal_cstr(image->type), image->names_sql,
			 image->args_sql, valid ? "true" : "false");
}

static char *
constraint_sql(const Image *image)
{
	const char *deferrable = image_get(image, "", "deferrable");
	const char *deferred = image_get(image, "", "deferred");

	return psprintf("ADD CONSTRAINT %s %s%s%s%s%s%s",
					quote_identifier(image->name),
					image_get(image, "", "definition"),
					deferrable ? " " : "", deferrable ? deferrable : "",
					deferred ? " " : "", deferred ? deferred : "",
					image_get(image, "", "enforced") ? " NOT ENFORCED" : "");
}

/*
 * A key of a partitioned table is made on it alone (its partitions' keys have
 * images of their own and are attached, see index.c); on a plain table ONLY
 * makes no difference.
 */
static void
create_with_index(const Image *image, Steps *steps)
{
	step_add(steps, RANK_CONSTRAINT, RUN_INDEX, ACCESS_EXCLUSIVE, "index",
			 "ALTER TABLE ONLY %s %s", image_parent_name(image),
			 constraint_sql(image));
}

static void
create_check(const Image *image, Steps *steps)
{
	bool		valid = image_get(image, "", "valid") == NULL;

	step_add(steps, RANK_CONSTRAINT, RUN_CATALOG, ACCESS_EXCLUSIVE, "catalog",
			 "ALTER TABLE %s %s NOT VALID", image_parent_name(image),
			 constraint_sql(image));
	if (!valid)
		return;
	if (image->kept != 0)
		set_valid(image, image->rank, true, steps);
	else
		validate(image, steps);
}

/* A partitioned table's foreign key cannot be added NOT VALID before 18. */
static void
create_foreign_key(const Image *image, Steps *steps)
{
	if (image_get(image, "", "enforced"))
		step_add(steps, RANK_FOREIGN_KEY, RUN_CATALOG, SHARE_ROW_EXCLUSIVE,
				 "catalog", "ALTER TABLE %s %s", image_parent_name(image),
				 constraint_sql(image));
	else if (image_get(image, "", "@partitioned") &&
			 image_get(image, "", "valid") == NULL)
		step_add(steps, RANK_FOREIGN_KEY, RUN_CATALOG, SHARE_ROW_EXCLUSIVE,
				 "scan", "SELECT safemig.add_partitioned_foreign_key(%s)",
				 quote_literal_cstr(psprintf("ALTER TABLE %s %s",
											 image_parent_name(image),
											 constraint_sql(image))));
	else
	{
		step_add(steps, RANK_FOREIGN_KEY, RUN_CATALOG, SHARE_ROW_EXCLUSIVE,
				 "catalog", "ALTER TABLE %s %s NOT VALID",
				 image_parent_name(image), constraint_sql(image));
		if (image_get(image, "", "valid") == NULL)
			validate(image, steps);
	}
}

static void
set_local(const Image *image, Steps *steps)
{
	step_add(steps, RANK_TABLE_AFTER + 1, RUN_CATALOG, ACCESS_EXCLUSIVE,
			 "catalog", "SELECT safemig.set_constraint_local(%s, %s, %s)",
			 quote_literal_cstr(image_parent_name(image)),
			 quote_literal_cstr(image->name),
			 image_get(image, "", "islocal") ? "false" : "true");
}

/* Once the parents have it again, or no more. */
static void
set_parents(const Image *image, Steps *steps)
{
	const char *count = image_get(image, "", "inhcount");

	step_add(steps, RANK_TABLE_AFTER + 1, RUN_CATALOG, ACCESS_EXCLUSIVE,
			 "catalog", "SELECT safemig.set_constraint_parents(%s, %s, %s)",
			 quote_literal_cstr(image_parent_name(image)),
			 quote_literal_cstr(image->name), count ? count : "0");
}

/*
 * An inherited CHECK comes with the parent's, unless the table itself comes
 * back from the vault: then it must be there before the table inherits again.
 * If the parent comes back from there too, still its parent, adding the CHECK
 * to the parent adds it here, not yet valid.
 */
static void
create_inherited_check(const Image *image, Steps *steps)
{
	if (image->kept == 0)
		return;
	if (image_get(image, "", "@with parent") == NULL)
	{
		create_check(image, steps);
		if (image_get(image, "", "@partition") == NULL)
			set_local(image, steps);
	}
	else if (image_get(image, "", "valid") == NULL)
		set_valid(image, RANK_CONSTRAINT + 1, true, steps);
}

/*
 * The copies of a foreign key for the partitions that it refers to are made
 * with it, under names in an order of PostgreSQL's choice.  Validating the
 * original looks at the rows of all of them.
 */
static void
settle_copy(const Image *image, Steps *steps)
{
	step_add(steps, RANK_FOREIGN_KEY + 1, RUN_CATALOG, ACCESS_EXCLUSIVE,
			 "catalog", "SELECT safemig.name_constraint_copy(%s, %s, %s, %s)",
			 quote_literal_cstr(image_parent_name(image)),
			 quote_literal_cstr(image_get(image, "", "@original")),
			 quote_literal_cstr(image_get(image, "", "@referenced")),
			 quote_literal_cstr(image->name));
	if (image_get(image, "", "valid") == NULL)
		set_valid(image, RANK_FOREIGN_KEY + 1, true, steps);
}

static void
constraint_create(const Image *image, Steps *steps)
{
	const char *type = image_get(image, "", "type");

	if (image_get(image, "", "@child"))
	{
		if (value_is(type, "CHECK"))
			create_inherited_check(image, steps);
		else if (image_get(image, "", "@referenced"))
			settle_copy(image, steps);
		else if (image_get(image, "", "@parent constraint"))
			step_add(steps, RANK_FOREIGN_KEY + 1, RUN_CATALOG, ACCESS_EXCLUSIVE,
					 "catalog", "SELECT safemig.name_constraint_part(%s, %s, %s, %s)",
					 quote_literal_cstr(image_parent_name(image)),
					 quote_literal_cstr(image_get(image, "", "@parent table")),
					 quote_literal_cstr(image_get(image, "", "@parent constraint")),
					 quote_literal_cstr(image->name));
	}
	else if (value_is(type, "CHECK"))
	{
		create_check(image, steps);
		/* a parent had it once */
		if (image_get(image, "", "islocal"))
		{
			set_local(image, steps);
			set_parents(image, steps);
		}
	}
	else if (value_is(type, "FOREIGN KEY"))
		create_foreign_key(image, steps);
	else
		create_with_index(image, steps);
	constraint_marks_steps(NULL, image, steps);
}

/*
 * A CHECK that belongs to a parent's goes with that.  So do keys and foreign
 * keys that were made together with the partitioned table's; what is left of
 * these was made by attaching the partition, and stays when it is detached.
 */
static void
constraint_drop(const Image *image, Steps *steps)
{
	bool		attached = image_get(image, "", "@partition of") != NULL;

	if (image_get(image, "", "@referenced") ||
		(!attached && (image_get(image, "", "@child") ||
					   image_get(image, "", "inhcount"))))
		return;
	step_add(steps, attached ? RANK_TABLE_AFTER - 1 : image->rank, RUN_CATALOG, ACCESS_EXCLUSIVE, "catalog",
			 "ALTER TABLE %s DROP CONSTRAINT %s", image_parent_name(image),
			 quote_identifier(image->name));
}

/* ---- changing ---- */

/*
 * A partition's own foreign key that became a part of one on the partitioned
 * table goes when that is dropped.  (When the partition is detached, it stays.)
 */
static bool
goes_with_another(const Image *have, const Image *want)
{
	return value_is(image_get(want, "", "type"), "FOREIGN KEY") &&
		image_get(have, "", "@child") && image_get(want, "", "@child") == NULL &&
		image_get(have, "", "@partition") && image_get(want, "", "@partition");
}

static void
create_again(const Image *want, Steps *steps)
{
	Image		bare = *want;

	create_foreign_key(want, steps);
	constraint_marks_steps(NULL, want, steps);
	bare.facets = NIL;
	compare_common_to_steps(&bare, want, steps);
}

static bool
constraint_alter(const Image *have, const Image *want, Steps *steps)
{
	bool		same = image_same_object(have, want);
	bool		child = image_get(want, "", "@child") != NULL;
	bool		foreign = value_is(image_get(want, "", "type"), "FOREIGN KEY");
	bool		deferral = facet_differs(have, want, "", "deferrable") ||
		facet_differs(have, want, "", "deferred");

	if (goes_with_another(have, want))
	{
		create_again(want, steps);
		return true;
	}
	if (!child && !same && (facet_differs(have, want, "", "type") ||
							facet_differs(have, want, "", "definition")))
		return false;
	if (!child && (facet_differs(have, want, "", "enforced") ||
				   (deferral && !foreign)))
		return false;
	if (deferral && !child)
		step_add(steps, RANK_FOREIGN_KEY, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "ALTER TABLE %s ALTER CONSTRAINT %s %s %s",
				 image_parent_name(want), quote_identifier(want->name),
				 image_get(want, "", "deferrable") ? "DEFERRABLE" : "NOT DEFERRABLE",
				 image_get(want, "", "deferred") ? "INITIALLY DEFERRED" : "INITIALLY IMMEDIATE");
	if (facet_differs(have, want, "", "valid"))
	{
		bool		valid = image_get(want, "", "valid") == NULL;

		if (!valid || image_get(want, "", "@referenced"))
			set_valid(want, want->rank, valid, steps);
		else
			validate(want, steps);
	}
	/* a partition's constraints follow ATTACH and DETACH */
	if (facet_differs(have, want, "", "islocal") &&
		value_is(image_get(want, "", "type"), "CHECK") &&
		image_get(have, "", "@partition") == NULL &&
		image_get(want, "", "@partition") == NULL)
		set_local(want, steps);
	if (facet_differs(have, want, "", "parents") ||
		(image_get(want, "", "parents") && facet_differs(have, want, "", "inhcount")))
		set_parents(want, steps);
	constraint_marks_steps(have, want, steps);
	return true;
}

static bool
constraint_rename(const Image *have, const Image *want, Steps *steps)
{
	bool		inherited = image_get(want, "", "inhcount") &&
		value_is(image_get(want, "", "type"), "CHECK");

	if (!inherited)
		step_add(steps, ORDER_INNER_RENAME, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "ALTER TABLE %s RENAME CONSTRAINT %s TO %s",
				 image_parent_name(want), quote_identifier(have->name),
				 quote_identifier(want->name));
	return true;
}

const ImageClass image_class_constraint = {
	.catalog = ConstraintRelationId,
	.type = "table constraint",
	.keyword = "CONSTRAINT",
	.rank = RANK_CONSTRAINT,
	.read = constraint_read,
	.create = constraint_create,
	.drop = constraint_drop,
	.alter = constraint_alter,
	.rename = constraint_rename,
};
