/*-------------------------------------------------------------------------
 *
 * composite.c
 *	  Images of composite types: the attributes in their order.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

#include "image/classes.h"
#include "keep/vault.h"

static void
composite_read(Image *image, HeapTuple row)
{
	Oid			relid = ((Form_pg_type) GETSTRUCT(row))->typrelid;
	Relation	rel = relation_open(relid, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	int			position = 0;

	/* its attributes may be of the others, which come first */
	image->rank = RANK_TYPE + 1;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const char *name = NameStr(att->attname);

		if (att->attisdropped)
			continue;
		image_addf(image, name, "position", "%d", ++position);
		image_addf(image, name, "@attnum", "%d", att->attnum);
		image_addf(image, name, "@typid", "%u", att->atttypid);
		image_add(image, name, "type",
				  type_name_at_home(att->atttypid, att->atttypmod));
		if (att->attcollation != get_typcollation(att->atttypid))
			image_add(image, name, "collation",
					  collation_name_at_home(att->attcollation));
		image_add_part_comment(image, name, RelationRelationId, relid, att->attnum);
	}
	relation_close(rel, AccessShareLock);
}

static char *
attribute_definition(const Image *image, const char *part)
{
	const char *collation = image_get(image, part, "collation");

	return psprintf("%s %s%s%s", quote_identifier(part),
					image_get(image, part, "type"),
					collation ? " COLLATE " : "", collation ? collation : "");
}

static void
composite_create(const Image *image, Steps *steps)
{
	StringInfoData attributes;
	ListCell   *lc;

	initStringInfo(&attributes);
	foreach(lc, image_parts(image))
		appendStringInfo(&attributes, "%s%s", attributes.len ? ", " : "",
						 attribute_definition(image, lfirst(lc)));
	step_add(steps, image->rank, RUN_CATALOG, NULL, "catalog",
			 "CREATE TYPE %s AS (%s)", image->identity, attributes.data);
}

static bool
same_definition(const Image *have, const char *now, const Image *want,
				const char *part)
{
	const char *a = image_get(have, now, "collation");
	const char *b = image_get(want, part, "collation");

	return strcmp(image_get(have, now, "type"), image_get(want, part, "type")) == 0 &&
		(a && b ? strcmp(a, b) == 0 : a == b);
}

static bool
is_wanted(const Image *have, const Image *want, const char *part)
{
	ListCell   *lc;

	foreach(lc, image_parts(want))
	{
		const char *now = part_now(have, want, lfirst(lc));

		if (now && strcmp(now, part) == 0)
			return true;
	}
	return false;
}

/*
 * What holds values of a type, at whatever remove: a column does, and so do
 * the types that are made of it, whose OIDs are added to the list.  A table OF
 * the type hangs on it as a whole; and a type in the vault counts, which is not
 * to be made anew.
 */
static bool
dependant_holds_values(Form_pg_depend depend, List **types)
{
	char		relkind;

	if (depend->classid == TypeRelationId)
	{
		*types = list_append_unique_oid(*types, depend->objid);
		return vault_is_schema(get_type_namespace(depend->objid));
	}
	if (depend->classid != RelationRelationId)
		return false;
	relkind = get_rel_relkind(depend->objid);
	if (depend->objsubid == 0)
		return depend->deptype == DEPENDENCY_NORMAL &&
			(relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE);
	/* a view's rows are rows of the type as well, but are not stored */
	*types = list_append_unique_oid(*types, get_rel_type_id(depend->objid));
	return RELKIND_HAS_STORAGE(relkind) || RELKIND_HAS_PARTITIONS(relkind);
}

static bool
type_is_held(Oid type, List **types)
{
	ListCell   *lc;

	foreach(lc, dependencies_on(TypeRelationId, type))
	{
		if (dependant_holds_values(lfirst(lc), types))
			return true;
	}
	return false;
}

static bool
is_used(Oid type)
{
	List	   *types = list_make1_oid(type);
	bool		used = false;

	/* the list grows while it is walked */
	for (int i = 0; i < list_length(types) && !used; i++)
		used = type_is_held(list_nth_oid(types, i), &types);
	return used;
}

/*
 * Without CASCADE: a table OF the type lets go of it while it is changed (see
 * table_alter.c), and one made since is not to be changed along unseen.
 */
static void
drop_attributes(const Image *have, const Image *want, Steps *steps)
{
	bool		dropping = steps->dropping;
	ListCell   *lc;

	steps->dropping = true;
	foreach(lc, image_parts(have))
	{
		if (!is_wanted(have, want, lfirst(lc)))
			step_add(steps, RANK_TYPE, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
					 "ALTER TYPE %s DROP ATTRIBUTE %s", want->identity,
					 quote_identifier(lfirst(lc)));
	}
	steps->dropping = dropping;
}

/* An attribute may be of the row type of a table that has to be back first. */
static int
attribute_rank(const Image *want)
{
	return want->rank == RANK_TABLE ? RANK_TABLE + 1 : want->rank;
}

/*
 * An attribute of the same type comes back in place, with what values of the
 * type have there.
 */
static void
revive_attribute(const Image *want, const char *part, Steps *steps)
{
	const char *collation = image_get(want, part, "collation");

	step_add(steps, attribute_rank(want), RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
			 "SELECT safemig.revive_attribute(%s, %s, %s, %s, %s, %s, %s)",
			 quote_literal_cstr(want->identity), quote_literal_cstr(part),
			 image_get(want, part, "@attnum"), image_get(want, part, "position"),
			 quote_literal_cstr(image_get(want, part, "type")),
			 image_get(want, part, "@typid"),
			 collation ? quote_literal_cstr(collation) : "''");
}

/*
 * ADD ATTRIBUTE adds a new one, last; what the values of the type held of the
 * dropped one does not come back with it.
 */
static void
add_attribute(const Image *have, const Image *want, const char *part,
			  bool last, Steps *steps)
{
	if (have->address.objectId == want->address.objectId &&
		image_get(want, part, "@typid"))
	{
		revive_attribute(want, part, steps);
		return;
	}
	if (!last)
		steps_irreversible(steps, "attribute \"%s\" of type %s would come back as the last one",
						   part, want->identity);
	else if (is_used(have->address.objectId))
		steps_irreversible(steps, "the values of attribute \"%s\" of type %s are not kept",
						   part, want->identity);
	step_add(steps, attribute_rank(want), RUN_CATALOG, "ACCESS EXCLUSIVE",
			 "catalog", "ALTER TYPE %s ADD ATTRIBUTE %s",
			 want->identity, attribute_definition(want, part));
}

static void
alter_attribute(const Image *want, const char *part, Steps *steps)
{
	const char *collation = image_get(want, part, "collation");

	step_add(steps, attribute_rank(want), RUN_CATALOG, "ACCESS EXCLUSIVE",
			 "catalog", "ALTER TYPE %s ALTER ATTRIBUTE %s TYPE %s%s%s",
			 want->identity, quote_identifier(part),
			 image_get(want, part, "type"),
			 collation ? " COLLATE " : "", collation ? collation : "");
}

/* How many of the first attributes there are without a gap. */
static int
present_before_gap(const Image *have, const Image *want, List *parts)
{
	int			count = 0;

	while (count < list_length(parts) &&
		   part_now(have, want, list_nth(parts, count)))
		count++;
	return count;
}

static bool
composite_alter(const Image *have, const Image *want, Steps *steps)
{
	List	   *parts = image_parts(want);
	int			present = 0;
	bool		last;
	ListCell   *lc;

	foreach(lc, parts)
		present += part_now(have, want, lfirst(lc)) != NULL;
	/* those that come back stand where they stood if they all were last */
	last = present == present_before_gap(have, want, parts);
	if (!last && !is_used(have->address.objectId))
		return false;

	rename_parts(have, want, steps, "ATTRIBUTE", RANK_RENAME_ATTRIBUTE);
	drop_attributes(have, want, steps);
	foreach(lc, parts)
	{
		const char *part = lfirst(lc);
		const char *now = part_now(have, want, part);

		if (now == NULL)
			add_attribute(have, want, part, last, steps);
		else if (!same_definition(have, now, want, part))
			alter_attribute(want, part, steps);
	}
	return true;
}

const TypeKind type_kind_composite = {
	.kind = "composite",
	.read = composite_read,
	.create = composite_create,
	.alter = composite_alter,
};
