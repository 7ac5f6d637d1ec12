/*-------------------------------------------------------------------------
 *
 * changes.c
 *	  What a command has changed: the images before it against those after.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/dependency.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_subscription.h"
#include "commands/defrem.h"

#include "capture/capture.h"
#include "history/history.h"

static Change *
add_change(List **changes, char action, Image *before, Image *after)
{
	Change	   *change = palloc0(sizeof(Change));

	change->action = action;
	change->before = before;
	change->after = after;
	*changes = lappend(*changes, change);
	return change;
}

/* The cast and the constructors of a range come and go with it. */
static bool
is_made_along(const ObjectAddress *address)
{
	return (address->classId == ProcedureRelationId ||
			address->classId == CastRelationId) &&
		object_depends_by(address, DEPENDENCY_INTERNAL);
}

/* Nothing was done on the publisher of a subscription made so. */
static bool
is_made_unconnected(const Command *command)
{
	ListCell   *lc;

	if (command->parsetree == NULL || !IsA(command->parsetree, CreateSubscriptionStmt))
		return false;
	foreach(lc, ((CreateSubscriptionStmt *) command->parsetree)->options)
	{
		DefElem    *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, "connect") == 0)
			return !defGetBoolean(option);
	}
	return false;
}

/*
 * Images of what the command made, from the access hook's list and from what
 * lives in the roots now.  In the order of creation, so that the last made
 * can go first.
 */
static List *
created_images(Command *command)
{
	List	   *addresses = list_copy(command->created);
	List	   *images = NIL;
	HTAB	   *known = address_set();
	ListCell   *lc;

	if (!command->spares_contents)
	{
		foreach(lc, command->roots)
			addresses = list_concat(addresses, object_contents(lfirst(lc)));
	}
	/* a root may itself be back from the vault */
	addresses = list_concat(list_copy(command->roots), addresses);
	foreach(lc, addresses)
	{
		ObjectAddress owner;
		Image	   *image;

		if (((ObjectAddress *) lfirst(lc))->objectSubId != 0 ||
			!object_owner_address(lfirst(lc), &owner) ||
			command_find_before(command, &owner) != NULL ||
			address_is_temporary(&owner) || address_in_vault(&owner) ||
			is_made_along(&owner))
			continue;
		if (address_set_has(known, &owner))
			continue;
		address_set_add(known, &owner);
		image = image_take(&owner);
		if (image == NULL)
			continue;
		if (owner.classId == SubscriptionRelationId && is_made_unconnected(command))
			image_add(image, "", "@unconnected", "true");
		images = lappend(images, image);
	}
	return images;
}

static Image *
take_by_identity(List **created, const Image *before)
{
	ListCell   *lc;

	foreach(lc, *created)
	{
		Image	   *image = lfirst(lc);

		if (strcmp(image->type, before->type) == 0 &&
			strcmp(image->identity, before->identity) == 0)
		{
			*created = foreach_delete_current(*created, lc);
			return image;
		}
	}
	return NULL;
}

static bool
is_root(Command *command, const Image *image)
{
	ListCell   *lc;

	foreach(lc, command->roots)
	{
		if (same_address(lfirst(lc), &image->address))
			return true;
	}
	return false;
}

/* Values of a column were kept although it is not dropped: its type changes. */
static bool
has_kept_values(const Image *image)
{
	ListCell   *lc;

	foreach(lc, image->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (facet->part[0] && strcmp(facet->name, "@kept") == 0)
			return true;
	}
	return false;
}

/*
 * A position is no facet of a sequence.  It is another one also where another
 * sequence takes the place: DROP IDENTITY and ADD IDENTITY, in one command.
 */
bool
position_may_differ(const Command *command, const Image *before, const Image *after)
{
	return command->moves_sequence ||
		(strcmp(before->type, "sequence") == 0 &&
		 before->address.objectId != after->address.objectId);
}

/*
 * ALTER COLUMN TYPE reads indexes, constraints and statistics anew from their
 * text, in which a cast to the new type is no longer there: that text need not
 * mean anything to the old type.  Such are made anew on the way back, but for
 * the indexes of a partitioned table, which hang together.
 */
static bool
is_read_otherwise(const Command *command, const Image *before, const Image *after)
{
	if (!command->retypes || !facet_differs(before, after, "", "definition"))
		return false;
	if (strcmp(before->type, "index") == 0)
		return image_get(after, "", "@partitioned") == NULL &&
			image_get(after, "", "partition of") == NULL;
	return strcmp(before->type, "table constraint") == 0 ||
		strcmp(before->type, "statistics object") == 0;
}

/*
 * REINDEX CONCURRENTLY that failed after it exchanged the names: the new index
 * stands for the old one, and what is left of that is what the command made.
 */
static Image *
take_exchanged(const Command *command, const Image *before, Image *after, List **created)
{
	Image	   *stands_for_it;

	if (command->parsetree == NULL || !IsA(command->parsetree, ReindexStmt) ||
		strcmp(before->identity, after->identity) == 0)
		return after;
	stands_for_it = take_by_identity(created, before);
	if (stands_for_it == NULL)
		return after;
	*created = lappend(*created, after);
	return stands_for_it;
}

static void
note_before(Command *command, Image *before, List **created, List **changes)
{
	Image	   *after = NULL;
	Image	   *vaulted = NULL;

	if (address_in_vault(&before->address))
		vaulted = image_take(&before->address);
	else
		after = image_take(&before->address);
	if (after && image_has_other_parts(before, after))
		command->replaces_parts = true;
	/*
	 * Rebuilt under another OID: ALTER COLUMN TYPE does so to indexes.  Not so
	 * where a column is another one under the same name (its table comes
	 * before what lives in it): with that, what has it comes and goes.
	 */
	if (after == NULL && vaulted == NULL && !command->replaces_parts)
		after = take_by_identity(created, before);
	else if (after)
		after = take_exchanged(command, before, after, created);
	/* that it is unlinked is found with what else was written */
	if (after == NULL && before->address.classId == LargeObjectRelationId)
	{
		command_identify(command);
		return;
	}
	if (after == NULL)
	{
		Change	   *change = add_change(changes, 'd', before, NULL);

		change->vaulted = vaulted;
		/* in the vault, but not itself kept: it went with its parent */
		change->covered = vaulted != NULL && before->kept == 0 &&
			!type_image_is_dependent(before);
		return;
	}
	if (before->class == NULL)
	{
		/* nobody can tell whether it changed */
		if (is_root(command, before))
			add_change(changes, 'a', before, after);
		return;
	}
	if (image_equal(before, after) && !image_has_other_parts(before, after))
	{
		if ((before->kept && position_may_differ(command, before, after)) ||
			(command->values && has_kept_values(before)))
			add_change(changes, 'a', before, after);
		/* "c on public.t" is another identity once t has another name */
		if (strcmp(before->identity, after->identity) != 0)
			add_change(changes, 'r', before, after);
		return;
	}
	add_change(changes,
			   command->restates && !is_root(command, before) &&
			   !is_read_otherwise(command, before, after) ? 'r' : 'a',
			   before, after);
}

static bool
made_by_command(List *changes, const ObjectAddress *address)
{
	ListCell   *lc;

	if (!OidIsValid(address->objectId))
		return false;
	foreach(lc, changes)
	{
		Change	   *change = lfirst(lc);

		if (change->action == 'c' &&
			same_address(&change->after->address, address))
			return true;
	}
	return false;
}

/*
 * Members of an extension, and what lives in them, are made, changed and
 * dropped by the extension.  A user may put something of his own into a
 * member: it is the extension's only if a command of the extension did it.
 */
static bool
belongs_to_extension(Change *change, List *changes)
{
	const Image *image = change->before ? change->before : change->after;
	const char *extension = image_get(image, "", "@extension");
	ListCell   *lc;

	if (extension && change->action == 'c')
		return true;
	if (extension == NULL)
		extension = image_get(image, "", "@parent extension");
	if (extension == NULL)
		return false;
	foreach(lc, changes)
	{
		Change	   *other = lfirst(lc);
		const Image *owner = other->before ? other->before : other->after;

		if (owner->address.classId == ExtensionRelationId &&
			owner->address.objectId == (Oid) strtoul(extension, NULL, 10))
			return true;
	}
	return false;
}

/* An index or a constraint made together with the partitioned table's. */
static bool
original_made_by_command(List *changes, const Image *image)
{
	const char *original = image_get(image, "", "@partition of");
	ObjectAddress address;

	if (original == NULL || (strcmp(image->type, "index") != 0 &&
							 strcmp(image->type, "table constraint") != 0))
		return false;
	ObjectAddressSet(address, image->address.classId,
					 (Oid) strtoul(original, NULL, 10));
	return made_by_command(changes, &address);
}

/*
 * What was made together with the object it lives in goes with it: a
 * constraint with its table, an index with its constraint, a sequence with
 * the column that owns it, a partition's index with the partitioned table's.
 */
static void
mark_covered(Command *command, List *changes)
{
	ListCell   *lc;

	foreach(lc, changes)
	{
		Change	   *change = lfirst(lc);
		const char *column;
		Image	   *parent;

		if (belongs_to_extension(change, changes))
			change->covered = true;
		if (change->action != 'c')
			continue;
		if (made_by_command(changes, &change->after->parent) ||
			original_made_by_command(changes, change->after))
			change->covered = true;
		column = image_get(change->after, "", "@column");
		parent = command_find_before(command, &change->after->parent);
		if (strcmp(change->after->type, "sequence") == 0 && column && parent &&
			image_get(parent, column, "type") == NULL)
			change->covered = true;
	}
}

/* OIDs of the tables that this one inherits from, in the vault as elsewhere. */
static List *
parent_relations(const Image *table)
{
	List	   *parents = NIL;
	ListCell   *lc;

	foreach(lc, table->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (facet->part[0] == '\0' &&
			(strcmp(facet->name, "@partition of") == 0 ||
			 strncmp(facet->name, "@inherits ", 10) == 0))
			parents = lappend_oid(parents, (Oid) strtoul(facet->value, NULL, 10));
	}
	return parents;
}

/* Is a CHECK of that name to come back on one of these tables? */
static bool
comes_back_on(List *changes, List *tables, const Image *check)
{
	ListCell   *lc;

	foreach(lc, changes)
	{
		Change	   *change = lfirst(lc);

		if (change->action == 'd' &&
			strcmp(change->before->type, check->type) == 0 &&
			strcmp(change->before->name, check->name) == 0 &&
			list_member_oid(tables, change->before->parent.objectId))
			return true;
	}
	return false;
}

/*
 * The CHECKs of a table that nobody could write, or of a domain that was in
 * the vault, are valid without a scan.
 * Those that it inherits from a table which is in the vault with it come back
 * together with that table's.
 */
static void
mark_vaulted_parts(List *changes)
{
	ListCell   *lc;
	ListCell   *other;

	foreach(lc, changes)
	{
		Change	   *part = lfirst(lc);

		if (part->action != 'd' || part->covered || part->before->kept != 0 ||
			(strcmp(part->before->type, "table constraint") != 0 &&
			 strcmp(part->before->type, "domain constraint") != 0))
			continue;
		foreach(other, changes)
		{
			Change	   *whole = lfirst(other);

			if (whole->action != 'd' || whole->before->kept == 0 ||
				!same_address(&whole->before->address, &part->before->parent))
				continue;
			part->before->kept = whole->before->kept;
			if (whole->vaulted &&
				comes_back_on(changes, parent_relations(whole->vaulted), part->before))
				image_add(part->before, "", "@with parent", "true");
		}
	}
}

/* A constraint of a table's own that is its parent's as well. */
static bool
is_merged(const Image *image)
{
	return strcmp(image->type, "table constraint") == 0 &&
		image_get(image, "", "inhcount") && image_get(image, "", "islocal") == NULL;
}

/*
 * Made anew, a constraint would be added to the tables below too: where one of
 * those has it for its own, all are left to be read from their text.
 */
static void
restate_merged(const Command *command, List *changes)
{
	ListCell   *lc;
	ListCell   *inner;

	foreach(lc, changes)
	{
		const Change *merged = lfirst(lc);

		if (merged->before == NULL || merged->after == NULL || !is_merged(merged->after) ||
			!is_read_otherwise(command, merged->before, merged->after))
			continue;
		foreach(inner, changes)
		{
			Change	   *change = lfirst(inner);

			if (change->action == 'a' && strcmp(change->before->type, "table constraint") == 0 &&
				strcmp(change->before->name, merged->before->name) == 0)
				change->action = 'r';
		}
	}
}

List *
command_changes(Command *command)
{
	List	   *created = created_images(command);
	List	   *changes = NIL;
	ListCell   *lc;
	int			n;

	foreach(lc, command->before)
		note_before(command, lfirst(lc), &created, &changes);
	n = list_length(created);
	foreach(lc, created)
	{
		Image	   *image = lfirst(lc);

		image->seq = n--;
		add_change(&changes, 'c', NULL, image);
	}
	restate_merged(command, changes);
	mark_covered(command, changes);
	mark_vaulted_parts(changes);
	return changes;
}
