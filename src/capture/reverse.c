/*-------------------------------------------------------------------------
 *
 * reverse.c
 *	  The reverse of a command: the steps that take its changes back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"

#include "capture/capture.h"
#include "history/history.h"

/* The old name of a table that went to the vault with this one, or NULL. */
static const char *
name_before(List *changes, const char *oid)
{
	ObjectAddress address;
	ListCell   *lc;

	if (oid == NULL)
		return NULL;
	ObjectAddressSet(address, RelationRelationId, (Oid) strtoul(oid, NULL, 10));
	foreach(lc, changes)
	{
		Change	   *change = lfirst(lc);

		if (change->vaulted && same_address(&change->before->address, &address))
			return change->before->identity;
	}
	return NULL;
}

/*
 * A thing in the vault comes back as it is there, under its old name and
 * owner; what was stripped from it is then put back.  The parents that are in
 * the vault with it are back by then.
 */
static void
restore_to_steps(List *changes, Image *vaulted, Image *before, Steps *steps)
{
	Image		back = *vaulted;
	ListCell   *lc;

	back.schema = before->schema;
	back.name = before->name;
	back.identity = before->identity;
	back.facets = NIL;
	foreach(lc, vaulted->facets)
	{
		Facet	   *facet = lfirst(lc);
		const char *value = facet->value;

		if (strcmp(facet->name, "owner") == 0)
			value = before->owner;
		else if (facet->part[0] == '\0' &&
				 (strcmp(facet->name, "partition of") == 0 ||
				  strncmp(facet->name, "inherits ", 9) == 0))
		{
			const char *name = name_before(changes, image_get(vaulted, "", psprintf("@%s", facet->name)));

			if (name)
				value = name;
		}
		image_add(&back, facet->part, facet->name, value);
	}
	make_steps(before, steps);
	if (vaulted->address.classId == RelationRelationId &&
		OidIsValid(get_relation_constraint_oid(vaulted->address.objectId,
											   SAFEMIG_BOUND_CHECK, true)))
		step_add(steps, RANK_TABLE_AFTER + 1, RUN_CATALOG, "ACCESS EXCLUSIVE",
				 "catalog", "ALTER TABLE %s DROP CONSTRAINT %s",
				 before->identity, SAFEMIG_BOUND_CHECK);
	if (strcmp(before->type, vaulted->type) == 0 &&
		!is_support(before->address.classId))
		compare_to_steps(&back, before, steps);
	else
	{
		/*
		 * A materialized view stands there as a table, and a function may be
		 * described by types that are there too: only common facets.
		 */
		back.facets = NIL;
		compare_common_to_steps(&back, before, steps);
	}
}

/* TYPE int USING v / 100 changes the values, and no facet. */
static void
restore_values(const Image *before, const Image *after, Steps *steps)
{
	ListCell   *lc;

	steps->image = before;
	foreach(lc, before->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (facet->part[0] && strcmp(facet->name, "@kept") == 0 &&
			!facet_differs(before, after, facet->part, "@attnum") &&
			!facet_differs(before, after, facet->part, "type") &&
			!facet_differs(before, after, facet->part, "collation") &&
			image_get(before, facet->part, "inhcount") == NULL)
			step_add(steps, RANK_COLUMN_TYPE, RUN_CATALOG, "ACCESS EXCLUSIVE",
					 "rewrite", "SELECT safemig.restore_column_type(%s)",
					 facet->value);
	}
}

/*
 * The rows of a materialized view are derived: what REFRESH replaced is not
 * kept.  One that is not populated any more is filled by being so again.
 */
static void
refresh_again(const Image *before, Steps *steps)
{
	Step	   *step;

	if (image_get(before, "", "populated") == NULL)
		return;
	steps->image = before;
	step = step_add(steps, RANK_COMMON, RUN_INDEX, "ACCESS EXCLUSIVE", "rewrite",
					"REFRESH MATERIALIZED VIEW %s", before->identity);
	step->note = pstrdup("the rows that it had before the migration's REFRESH are not kept: filled with what its query gives at that time");
}

static bool
is_emptied(List *changes, const Image *before)
{
	ListCell   *lc;

	foreach(lc, changes)
	{
		Change	   *change = lfirst(lc);

		if (change->before && change->after &&
			change->before->address.objectId == before->address.objectId)
			return image_get(change->after, "", "populated") == NULL;
	}
	return false;
}

void
command_reverse(Command *command, List *changes, Steps *steps)
{
	ListCell   *lc;

	foreach(lc, changes)
	{
		Change	   *change = lfirst(lc);

		if (change->covered || change->action == 'r')
			continue;
		if (change->vaulted && change->before->class)
			restore_to_steps(changes, change->vaulted, change->before, steps);
		else
			compare_to_steps(change->after, change->before, steps);
		if (command->values && change->before && change->after)
			restore_values(change->before, change->after, steps);
		if (change->before && change->after && change->before->kept &&
			position_may_differ(command, change->before, change->after) &&
			image_equal(change->before, change->after))
		{
			steps->image = change->before;
			step_add(steps, RANK_COMMON, RUN_CATALOG, NULL, "catalog",
					 "SELECT safemig.restore_position(" INT64_FORMAT ")",
					 change->before->kept);
		}
	}
	if (command->data_only)
	{
		foreach(lc, command->roots)
		{
			Image	   *before = command_find_before(command, lfirst(lc));

			if (before && !is_emptied(changes, before))
				refresh_again(before, steps);
		}
	}
	steps_sort(steps);
}
