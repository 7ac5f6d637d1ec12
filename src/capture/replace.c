/*-------------------------------------------------------------------------
 *
 * replace.c
 *	  An object that has to be made anew although others hang on it.
 *
 * CREATE OR REPLACE VIEW adds columns, but cannot take them away again; a
 * function's result type cannot be changed.  Then whatever hangs on the
 * object is taken away before it, in PostgreSQL's deletion order, and made
 * anew after it, in the reverse of that order.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"

#include "capture/capture.h"

/* Before every other step but renames; among each other in deletion order. */
#define ORDER_REPLACE 900

/* Later than the object itself, among the objects of its rank. */
#define SEQ_DEPENDANTS 1000000

static bool
listed(List *images, const ObjectAddress *address)
{
	ListCell   *lc;

	foreach(lc, images)
	{
		Image	   *image = lfirst(lc);

		if (image->address.classId == address->classId &&
			image->address.objectId == address->objectId)
			return true;
	}
	return false;
}

/*
 * An index of a view goes with the view, a trigger with its table, a
 * partition's index with the partitioned table's.
 */
static bool
goes_with_listed(List *images, const Image *image)
{
	const char *original = image_get(image, "", "@partition of");
	ObjectAddress address;

	if (listed(images, &image->parent))
		return true;
	if (original == NULL)
		return false;
	ObjectAddressSet(address, image->address.classId,
					 (Oid) strtoul(original, NULL, 10));
	return listed(images, &address);
}

/* Images of what hangs on the object, in deletion order, without itself. */
static List *
dependant_images(const Image *have, Steps *steps)
{
	List	   *images = NIL;
	ListCell   *lc;

	foreach(lc, dependants_of(&have->address))
	{
		ObjectAddress *address = lfirst(lc);
		ObjectAddress owner;
		Image	   *image;

		if (!object_owner_address(address, &owner) || listed(images, &owner) ||
			(owner.classId == have->address.classId &&
			 owner.objectId == have->address.objectId))
			continue;
		image = image_take(&owner);
		if (image == NULL)
			continue;
		/* it would lose a part, a column say, and that part's rows */
		if (owner.objectId != address->objectId || address->objectSubId != 0)
		{
			steps_irreversible(steps, "%s %s hangs on %s, which has to be made anew",
							   image->type, image->identity, have->identity);
			continue;
		}
		images = lappend(images, image);
	}
	return images;
}

/* Steps of one object, placed by hand among those of the command. */
static void
place(Steps *steps, int from, int order, int seq)
{
	for (int i = from; i < list_length(steps->list); i++)
	{
		Step	   *step = list_nth(steps->list, i);

		if (order)
			step->order = -order;
		step->seq = seq;
	}
}

void
replace_dependants(const Image *have, const Image *want, Steps *steps)
{
	List	   *images = dependant_images(have, steps);
	int			n = list_length(images);

	for (int i = 0; i < n; i++)
	{
		Image	   *image = list_nth(images, i);
		int			from = list_length(steps->list);

		if (goes_with_listed(images, image))
		{
			compare_to_steps(NULL, image, steps);
			place(steps, from, 0, SEQ_DEPENDANTS + n - i);
			continue;
		}
		compare_to_steps(image, NULL, steps);
		place(steps, from, ORDER_REPLACE, i);
		from = list_length(steps->list);
		compare_to_steps(NULL, image, steps);
		place(steps, from, 0, SEQ_DEPENDANTS + n - i);
	}
	steps->image = want;
}
