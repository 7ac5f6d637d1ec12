/*-------------------------------------------------------------------------
 *
 * compare.c
 *	  Two images of one object: what differs, and the steps that turn one
 *	  into the other.
 *
 * The comparison knows no object class.  A class's alter is asked for its own
 * facets; owner, privileges, comments, name and schema are handled here.  If
 * a class cannot change a facet in place the object is made anew.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_language.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "image/classes.h"
#include "image/facets.h"

/* Before every other step of a command: the others use the wanted names. */
#define ORDER_RENAME 1000

static bool
is_hint(const Facet *facet)
{
	return facet->name[0] == '@';
}

/* A security label, of the provider that is named behind it. */
#define LABEL "label "

static bool
is_label(const char *name)
{
	return strncmp(name, LABEL, strlen(LABEL)) == 0;
}

/* Privileges on a system column, which is no part of the image. */
static bool
is_system_acl(const char *name)
{
	return strncmp(name, SYSTEM_ACL, strlen(SYSTEM_ACL)) == 0;
}

bool
facet_is_common(const char *name)
{
	return strcmp(name, "owner") == 0 || strcmp(name, "acl") == 0 ||
		strcmp(name, "comment") == 0 || strcmp(name, "extension") == 0 ||
		strcmp(name, ARRAY_TYPE) == 0 || is_label(name) || is_system_acl(name);
}

/* Facets that a stored tree is described by: a view's, a rule's, a function's. */
static bool
facet_is_tree(const char *name)
{
	return strcmp(name, "query") == 0 || strcmp(name, "definition") == 0 ||
		strcmp(name, "body") == 0;
}

static bool
same(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a, b) == 0;
}

/*
 * What is stored as a tree is described by the names that its tables have now:
 * a column added elsewhere can give a view's join aliases that nobody wrote.
 * Where the tree is the recorded one, nobody has changed it.
 */
static bool
same_tree(const Image *a, const Image *b, const char *part, const char *name)
{
	const char *tree;

	if (part[0] != '\0' || !facet_is_tree(name) || a->elsewhere || b->elsewhere ||
		a->server != b->server)
		return false;
	tree = image_get(a, "", TREE);
	return tree && same(tree, image_get(b, "", TREE));
}

bool
facet_differs(const Image *a, const Image *b, const char *part,
			  const char *name)
{
	return !same(image_get(a, part, name), image_get(b, part, name)) &&
		!same_tree(a, b, part, name);
}

/*
 * Facets stand in the same order in most pairs of images, so the one wanted
 * is most often where it was left off.
 */
static const char *
find_from(const Image *image, int *position, const Facet *facet)
{
	int			place;

	if (*position < list_length(image->facets))
	{
		const Facet *here = list_nth(image->facets, *position);

		if (strcmp(here->name, facet->name) == 0 &&
			strcmp(here->part, facet->part) == 0)
		{
			(*position)++;
			return here->value;
		}
	}
	place = image_find(image, facet->part, facet->name);
	if (place < 0)
		return NULL;
	*position = place + 1;
	return ((Facet *) list_nth(image->facets, place))->value;
}

/*
 * Does a sequence belong to columns of two tables?  The columns may have one
 * name, and a table that was renamed, or made anew under its name, is itself.
 * After a restore from a dump nobody can tell.
 */
bool
image_has_other_table(const Image *a, const Image *b)
{
	const char *table_a = image_get(a, "", "@owned by");
	const char *table_b = image_get(b, "", "@owned by");

	return table_a && table_b && !a->elsewhere && !b->elsewhere &&
		strtoul(table_a, NULL, 10) != strtoul(table_b, NULL, 10) &&
		!same(a->parent_identity, b->parent_identity);
}

void
image_compare(const Image *a, const Image *b, FacetDifference report,
			  void *arg)
{
	ListCell   *lc;
	int			position = 0;

	if (!same(a->schema, b->schema))
		report(arg, "", "schema", a->schema, b->schema);
	if (!same(a->name, b->name))
		report(arg, "", "name", a->name, b->name);
	if (image_has_other_table(a, b))
		report(arg, "", "table of the owning column", a->parent_identity,
			   b->parent_identity);
	foreach(lc, a->facets)
	{
		Facet	   *facet = lfirst(lc);
		const char *other;

		other = find_from(b, &position, facet);
		if (is_hint(facet))
			continue;
		if (!same(facet->value, other))
			report(arg, facet->part, facet->name, facet->value, other);
	}
	position = 0;
	foreach(lc, b->facets)
	{
		Facet	   *facet = lfirst(lc);
		bool		absent = find_from(a, &position, facet) == NULL;

		if (!is_hint(facet) && absent)
			report(arg, facet->part, facet->name, NULL, facet->value);
	}
}

typedef struct Meaning
{
	const Image *a;
	const Image *b;
	FacetDifference report;
	void	   *arg;
} Meaning;

static void
report_meaning(void *arg, const char *part, const char *name,
			   const char *a, const char *b)
{
	Meaning    *meaning = arg;

	if (!a || !b || !(spelled_alike(a, b) ||
					  same_tree(meaning->a, meaning->b, part, name)))
		meaning->report(meaning->arg, part, name, a, b);
}

void
image_compare_meaning(const Image *a, const Image *b, FacetDifference report,
					  void *arg)
{
	Meaning		meaning = {a, b, report, arg};

	image_compare(a, b, report_meaning, &meaning);
}

static void
note_difference(void *arg, const char *part, const char *name,
				const char *a, const char *b)
{
	*(bool *) arg = true;
}

bool
image_equal(const Image *a, const Image *b)
{
	bool		differs = false;

	image_compare(a, b, note_difference, &differs);
	return !differs;
}

/*
 * Is a column, or attribute, another one than the one that had its name?  It
 * may look the same: DROP COLUMN c, ADD COLUMN c, in one command.
 */
bool
image_has_other_parts(const Image *a, const Image *b)
{
	ListCell   *lc;

	if (a->address.classId != b->address.classId ||
		a->address.objectId != b->address.objectId)
		return false;
	foreach(lc, a->facets)
	{
		Facet	   *facet = lfirst(lc);
		const char *attnum;

		if (strcmp(facet->name, "@attnum") != 0)
			continue;
		attnum = image_get(b, facet->part, "@attnum");
		if (attnum && strcmp(attnum, facet->value) != 0)
			return true;
	}
	return false;
}

typedef struct OwnDifference
{
	const Image *have;
	const Image *want;
	bool		found;
} OwnDifference;

static void
note_own_difference(void *arg, const char *part, const char *name,
					const char *a, const char *b)
{
	OwnDifference *own = arg;

	if (!facet_is_common(name) && strcmp(name, "schema") != 0 &&
		!(strcmp(name, "name") == 0 && part[0] == '\0') &&
		!same_tree(own->have, own->want, part, name))
		own->found = true;
}

static bool
own_facets_differ(const Image *have, const Image *want)
{
	OwnDifference own = {have, want, false};

	image_compare(have, want, note_own_difference, &own);
	return own.found || image_has_other_parts(have, want);
}

/* ---- common facets ---- */

/* Publications, collations, statistics have an owner, but no privileges. */
static bool
has_privileges(const Image *image)
{
	switch (image->class->catalog)
	{
		case RelationRelationId:
		case ProcedureRelationId:
		case NamespaceRelationId:
		case TypeRelationId:
		case LanguageRelationId:
		case ForeignDataWrapperRelationId:
		case ForeignServerRelationId:
			return true;
		default:
			return false;
	}
}

static void
set_owner(const Image *image, int made_at, Steps *steps)
{
	int			rank = RANK_COMMON;

	/* at once: what has just been made must not run with our rights */
	if (made_at)
		rank = made_at;
	else if (image->rank == RANK_TABLE)
		rank = RANK_TABLE + 1;
	/* a sequence that a column owns follows its table */
	if (image_get(image, "", "owner") == NULL ||
		(image->parent_identity && strcmp(image->type, "sequence") == 0))
		return;
	step_add(steps, rank, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
			 "ALTER %s OWNER TO %s", image_reference(image),
			 quote_identifier(image->owner));
}

static void
set_acl(const Image *image, const char *part, const char *acl, Steps *steps)
{
	step_add(steps, RANK_COMMON, RUN_CATALOG, NULL, "catalog",
			 "SELECT safemig.set_acl(%s, %s, %s, %s, %s)",
			 quote_literal_cstr(image->type), image->names_sql,
			 image->args_sql, quote_literal_cstr(part),
			 acl ? quote_literal_cstr(acl) : "NULL");
}

static void
set_comment(const Image *image, const char *part, const char *comment,
			Steps *steps)
{
	const char *text = comment ? quote_literal_cstr(comment) : "NULL";

	if (part[0])
		step_add(steps, RANK_COMMON, RUN_CATALOG, "SHARE UPDATE EXCLUSIVE",
				 "catalog", "COMMENT ON COLUMN %s.%s IS %s",
				 image->identity, quote_identifier(part), text);
	else
		step_add(steps, RANK_COMMON, RUN_CATALOG, "SHARE UPDATE EXCLUSIVE",
				 "catalog", "COMMENT ON %s IS %s",
				 image_reference(image), text);
}

static void
set_label(const Image *image, const char *part, const char *facet,
		  const char *label, Steps *steps)
{
	step_add(steps, RANK_COMMON, RUN_CATALOG, "SHARE UPDATE EXCLUSIVE", "catalog",
			 "SECURITY LABEL FOR %s ON %s IS %s",
			 quote_identifier(facet + strlen(LABEL)),
			 part[0] ? psprintf("COLUMN %s.%s", image->identity, quote_identifier(part)) :
			 image_reference(image), label ? quote_literal_cstr(label) : "NULL");
}

/* An object of its own can only become a member after it was made. */
static void
set_extension(const Image *image, const char *action, const char *extension,
			  Steps *steps)
{
	step_add(steps, RANK_COMMON, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
			 "ALTER EXTENSION %s %s %s", extension, action,
			 image_reference(image));
}

/* After what had taken the name it comes back to is gone. */
static void
set_array_type(const Image *image, const char *name, Steps *steps)
{
	step_add(steps, RANK_COMMON, RUN_CATALOG, NULL, "catalog",
			 "SELECT safemig.set_array_type_name(%s, %s)",
			 quote_literal_cstr(image->identity),
			 name ? quote_literal_cstr(name) : "NULL");
}

/*
 * Owner first: changing it rewrites the privileges.  have is NULL for an
 * object that has just been made by the extension's owner, under whose
 * default privileges it may have got some.
 */
static void
common_steps(const Image *have, const Image *want, int made_at, Steps *steps)
{
	ListCell   *lc;

	if (have ? facet_differs(have, want, "", "owner") : !type_image_is_dependent(want))
		set_owner(want, made_at, steps);
	if (have == NULL && want->owner != NULL && has_privileges(want) &&
		image_get(want, "", "acl") == NULL &&
		!(want->parent_identity && want->schema == NULL))
		set_acl(want, "", NULL, steps);
	foreach(lc, want->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (!facet_is_common(facet->name) ||
			(have && same(image_get(have, facet->part, facet->name),
						  facet->value)))
			continue;
		if (strcmp(facet->name, "acl") == 0)
			set_acl(want, facet->part, facet->value, steps);
		else if (is_system_acl(facet->name))
			set_acl(want, facet->name + strlen(SYSTEM_ACL), facet->value, steps);
		else if (strcmp(facet->name, "comment") == 0)
			set_comment(want, facet->part, facet->value, steps);
		else if (is_label(facet->name))
			set_label(want, facet->part, facet->name, facet->value, steps);
		else if (strcmp(facet->name, "extension") == 0)
			set_extension(want, "ADD", facet->value, steps);
		else if (strcmp(facet->name, ARRAY_TYPE) == 0)
			set_array_type(want, facet->value, steps);
	}
	if (have == NULL)
		return;
	foreach(lc, have->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (!facet_is_common(facet->name) ||
			image_get(want, facet->part, facet->name))
			continue;
		/* what belongs to a part that goes away goes with it */
		if (facet->part[0] && image_get(want, facet->part, "type") == NULL)
			continue;
		if (strcmp(facet->name, "acl") == 0)
			set_acl(want, facet->part, NULL, steps);
		else if (is_system_acl(facet->name))
			set_acl(want, facet->name + strlen(SYSTEM_ACL), NULL, steps);
		else if (strcmp(facet->name, "comment") == 0)
			set_comment(want, facet->part, NULL, steps);
		else if (is_label(facet->name))
			set_label(want, facet->part, facet->name, NULL, steps);
		else if (strcmp(facet->name, "extension") == 0)
			set_extension(want, "DROP", facet->value, steps);
		else if (strcmp(facet->name, ARRAY_TYPE) == 0)
			set_array_type(want, NULL, steps);
	}
}

/* ---- renaming ---- */

static void
rename_steps(const Image *have, const Image *want, Steps *steps)
{
	bool		renamed = !same(have->name, want->name);
	bool		moved = !same(have->schema, want->schema);
	bool		dropping = steps->dropping;

	steps->dropping = true;		/* renames sort with what goes first */
	steps->image = have;
	if ((renamed || moved) &&
		!(have->class->rename && have->class->rename(have, want, steps)))
	{
		if (moved)
			step_add(steps, ORDER_RENAME, RUN_CATALOG, "ACCESS EXCLUSIVE",
					 "catalog", "ALTER %s SET SCHEMA %s",
					 image_reference(have), quote_identifier(want->schema));
		if (renamed)
		{
			Image		moved_have = *have;

			if (moved && have->schema)
			{
				/* arguments, if any, stay behind the name */
				const char *rest = have->identity + strlen(image_qualified_name(have));

				moved_have.schema = want->schema;
				moved_have.identity = psprintf("%s%s", image_qualified_name(&moved_have), rest);
			}
			step_add(steps, ORDER_RENAME, RUN_CATALOG, "ACCESS EXCLUSIVE",
					 "catalog", "ALTER %s RENAME TO %s",
					 image_reference(&moved_have),
					 quote_identifier(want->name));
		}
	}
	steps->dropping = dropping;
}

/* ---- the whole ---- */

static void
drop_steps(const Image *have, Steps *steps)
{
	bool		dropping = steps->dropping;

	steps->dropping = true;
	steps->image = have;
	have->class->drop(have, steps);
	steps->dropping = dropping;
}

/* What was kept for a partition key is not made anew. */
void
make_steps(const Image *want, Steps *steps)
{
	steps->image = want;
	if (want->kept != 0 && is_support(want->class->catalog))
		step_add(steps, RANK_SUPPORT, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
				 "SELECT safemig.restore_support(" INT64_FORMAT ")", want->kept);
	else
		want->class->create(want, steps);
}

static void
create_steps(const Image *want, Steps *steps)
{
	int			made_at = want->rank;
	int			from;

	steps->image = want;
	if (want->class->create == NULL)
	{
		steps_irreversible(steps, "%s %s cannot be made from its description",
						   want->type, want->identity);
		return;
	}
	from = list_length(steps->list);
	make_steps(want, steps);
	if (list_length(steps->list) > from)
		made_at = ((Step *) list_nth(steps->list, from))->order;
	common_steps(NULL, want, made_at, steps);
}

/* Owner, privileges and comments only. */
void
compare_common_to_steps(const Image *have, const Image *want, Steps *steps)
{
	steps->image = want;
	common_steps(have, want, 0, steps);
}

void
compare_to_steps(const Image *have, const Image *want, Steps *steps)
{
	const Image *image = have ? have : want;

	if (image->class == NULL)
	{
		steps_irreversible(steps, "object class \"%s\" of %s is not covered",
						   image->type, image->identity);
		return;
	}
	if (want == NULL)
	{
		drop_steps(have, steps);
		return;
	}
	if (have == NULL)
	{
		create_steps(want, steps);
		return;
	}

	rename_steps(have, want, steps);
	steps->image = want;
	/* until 15 a rule makes a view of a table */
	if (have->class != want->class ||
		(own_facets_differ(have, want) &&
		 (have->class->alter == NULL ||
		  !have->class->alter(have, want, steps))))
	{
		Image		renamed = *have;

		/* by its new name: renames come first */
		renamed.schema = want->schema;
		renamed.name = want->name;
		renamed.identity = want->identity;
		if (steps->around_replacement)
			steps->around_replacement(have, want, steps);
		drop_steps(&renamed, steps);
		create_steps(want, steps);
		return;
	}
	steps->image = want;
	common_steps(have, want, 0, steps);
}
