/*-------------------------------------------------------------------------
 *
 * record.c
 *	  The end of a command: images again, compared, and written down with the
 *	  reverse.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "tcop/tcopprot.h"
#include "utils/lsyscache.h"

#include "capture/capture.h"
#include "history/history.h"

/* ---- which changes ---- */

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

static bool
same_address(const ObjectAddress *a, const ObjectAddress *b)
{
	return a->classId == b->classId && a->objectId == b->objectId;
}

/* The cast and the constructors of a range come and go with it. */
static bool
is_made_along(const ObjectAddress *address)
{
	return (address->classId == ProcedureRelationId ||
			address->classId == CastRelationId) &&
		object_depends_by(address, DEPENDENCY_INTERNAL);
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
		if (image)
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

static void
note_before(Command *command, Image *before, List **created, List **changes)
{
	Image	   *after = NULL;
	Image	   *vaulted = NULL;

	if (address_in_vault(&before->address))
		vaulted = image_take(&before->address);
	else
		after = image_take(&before->address);
	/* rebuilt under another OID: ALTER COLUMN TYPE does so to indexes */
	if (after == NULL && vaulted == NULL)
		after = take_by_identity(created, before);
	if (after == NULL)
	{
		Change	   *change = add_change(changes, 'd', before, NULL);

		change->vaulted = vaulted;
		/* in the vault, but not itself kept: it went with its parent */
		change->covered = vaulted != NULL && before->kept == 0;
		return;
	}
	if (before->class == NULL)
	{
		/* nobody can tell whether it changed */
		if (is_root(command, before))
			add_change(changes, 'a', before, after);
		return;
	}
	if (image_equal(before, after))
	{
		if ((command->moves_sequence && before->kept) ||
			(command->values && has_kept_values(before)))
			add_change(changes, 'a', before, after);
		/* "c on public.t" is another identity once t has another name */
		if (strcmp(before->identity, after->identity) != 0)
			add_change(changes, 'r', before, after);
		return;
	}
	add_change(changes,
			   command->restates && !is_root(command, before) ? 'r' : 'a',
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

static List *
find_changes(Command *command)
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
	mark_covered(command, changes);
	mark_vaulted_parts(changes);
	return changes;
}

/* ---- the reverse ---- */

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
	steps->image = before;
	before->class->create(before, steps);
	if (vaulted->address.classId == RelationRelationId &&
		OidIsValid(get_relation_constraint_oid(vaulted->address.objectId,
											   SAFEMIG_BOUND_CHECK, true)))
		step_add(steps, RANK_TABLE_AFTER + 1, RUN_CATALOG, "ACCESS EXCLUSIVE",
				 "catalog", "ALTER TABLE %s DROP CONSTRAINT %s",
				 before->identity, SAFEMIG_BOUND_CHECK);
	if (strcmp(before->type, vaulted->type) == 0)
		compare_to_steps(&back, before, steps);
	else
	{
		/* a materialized view stands there as a table: only common facets */
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
 * kept.
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

static void
find_steps(Command *command, List *changes, Steps *steps)
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
		if (command->moves_sequence && change->before && change->before->kept &&
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

			if (before)
				refresh_again(before, steps);
		}
	}
	steps_sort(steps);
}

/* ---- checks ---- */

static bool
was_created(Command *command, Oid relid)
{
	ListCell   *lc;

	foreach(lc, command->created)
	{
		ObjectAddress *address = lfirst(lc);

		if (address->classId == RelationRelationId && address->objectId == relid)
			return true;
	}
	return false;
}

static bool
was_kept(Command *command, const LostData *lost)
{
	Image	   *image = command_find_before(command, &lost->address);
	ListCell   *lc;

	if (image == NULL)
		return false;
	if (image->kept != 0)
		return true;
	if (lost->address.objectSubId == 0)
		return false;
	foreach(lc, image->facets)
	{
		Facet	   *facet = lfirst(lc);
		const char *attnum = image_get(image, facet->part, "@attnum");

		if (strcmp(facet->name, "@kept") == 0 && attnum &&
			atoi(attnum) == lost->address.objectSubId)
			return true;
	}
	return false;
}

/*
 * Rows or values that PostgreSQL deleted without their having been kept:
 * somebody else added to what the command takes along, between the look at
 * it and the command itself.
 */
static void
check_nothing_lost(Command *command, Steps *steps)
{
	ListCell   *lc;

	foreach(lc, command->dropped)
	{
		LostData   *lost = lfirst(lc);

		if (was_created(command, lost->address.objectId) ||
			was_kept(command, lost))
			continue;
		if (command->concurrent ||
			(safemig_state.record_id && !safemig_keep_undone) ||
			(command->parsetree && IsA(command->parsetree, DropStmt) &&
			 ((DropStmt *) command->parsetree)->removeType == OBJECT_EXTENSION))
			steps_irreversible(steps, "the rows of %s were not kept",
							   lost->description);
		else
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("%s appeared while it was being determined what the command drops",
							lost->description),
					 errdetail("Its rows have not been kept."),
					 errhint("Try the command again.")));
	}
}

/* Its text may contain a password: it is not stored. */
static bool
command_holds_secrets(const char *tag)
{
	return strstr(tag, "USER MAPPING") != NULL ||
		strstr(tag, "SUBSCRIPTION") != NULL || strstr(tag, "SERVER") != NULL;
}

/* Is there a literal right behind the word, as in PASSWORD 'x'? */
static bool
literal_follows(const char *text, const char *word)
{
	size_t		len = strlen(word);

	for (; *text; text++)
	{
		const char *after = text + len;

		if (pg_strncasecmp(text, word, len) != 0)
			continue;
		while (isspace((unsigned char) *after) || *after == '"')
			after++;
		if (*after != '\0' && strchr("'$=", *after))
			return true;
		/* E'x', U&'x' */
		if ((after[0] == 'E' || after[0] == 'e') && after[1] == '\'')
			return true;
		if ((after[0] == 'U' || after[0] == 'u') && after[1] == '&')
			return true;
	}
	return false;
}

/*
 * The text that a client sent may hold more than the command: what else is in
 * a string of several, or in a DO block.  NULL if it is not to be stored.
 */
const char *
command_text(const char *tag)
{
	if (debug_query_string == NULL || command_holds_secrets(tag) ||
		literal_follows(debug_query_string, "password") ||
		literal_follows(debug_query_string, "connection"))
		return NULL;
	return debug_query_string;
}

static void
report_irreversible(const Command *command, const char *reason)
{
	if (safemig_require_reversible)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_IRREVERSIBLE),
				 errmsg("%s is irreversible: %s", command->tag, reason),
				 errhint("SET safemig.require_reversible = off to run it all the same.")));
	/* not to keep what a rollback takes away was asked for */
	if (safemig_state.record_id && !safemig_keep_undone)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_SAFEMIG_IRREVERSIBLE),
			 errmsg("%s is irreversible: %s", command->tag, reason)));
}

/* ---- the whole ---- */

static void
write_down(Command *command, List *changes, Steps *steps)
{
	RecordedCommand record = {0};
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, command->start);
	if (command->unfinished)
		history_forget_command(command->seq);
	command_identify(command);
	record.seq = command->seq;
	record.migration = command->migration;
	record.tag = pstrdup(command->tag);
	record.irreversible = steps->irreversible;
	record.steps = steps->list;
	record.changes = changes;
	history_write_command(&record,
						  command_text(command->tag),
						  command->search_path, command->started,
						  INSTR_TIME_GET_MILLISEC(now), command->rewrote);
}

static void
note_positions_after(Command *command)
{
	ListCell   *lc;

	foreach(lc, command->roots)
	{
		Image	   *image = command_find_before(command, lfirst(lc));

		if (image && image->kept && strcmp(image->type, "sequence") == 0 &&
			OidIsValid(get_rel_namespace(image->address.objectId)))
			sequence_note_after(image->kept, image->address.objectId);
	}
}

void
command_record(Command *command)
{
	MemoryContext old = MemoryContextSwitchTo(command->context);
	Frame		frame;
	Steps		steps;
	List	   *changes = NIL;
	ListCell   *lc;

	frame_become_owner(&frame);
	own_work_begin();
	steps_init(&steps);
	steps.around_replacement = replace_dependants;
	foreach(lc, command->values)
		column_keep_finish(*(int64 *) lfirst(lc));
	if (command->moves_sequence)
		note_positions_after(command);
	if (command->failed == NULL)
	{
		check_nothing_lost(command, &steps);
		if (command->unproved)
			steps_irreversible(&steps, "%s", command->unproved);
		changes = find_changes(command);
	}
	if (command->failed)
	{
		steps_irreversible(&steps, "it could not be captured: %s", command->failed);
		write_down(command, NIL, &steps);
	}
	else if (changes != NIL || command->data_only || command->seq)
	{
		find_steps(command, changes, &steps);
		write_down(command, changes, &steps);
		failures_write();
	}
	own_work_end();
	frame_unpin(&frame);
	MemoryContextSwitchTo(old);
	if (steps.irreversible)
		report_irreversible(command, steps.irreversible);
}

/*
 * Has a command that commits in the middle of itself done something by now
 * that a failure would leave behind?
 */
static bool
leaves_something(const Command *command)
{
	/* an index that is there will not be there in another way */
	if (IsA(command->parsetree, IndexStmt))
		return command->created != NIL && !command->unfinished;
	return true;
}

/*
 * Called before a commit.  CREATE INDEX CONCURRENTLY commits the index before
 * it builds it, DROP INDEX CONCURRENTLY and DETACH PARTITION CONCURRENTLY mark
 * what is to go, and wait: the command is on record from there on, since one
 * that fails then leaves that, and comes to no end event.
 */
void
command_record_unfinished(void)
{
	Command    *command = command_top();

	if (command == NULL || !command->concurrent ||
		(command->seq != 0 && !command->unfinished) ||
		!leaves_something(command))
		return;
	/* what was done last is not visible to our own look at it yet */
	CommandCounterIncrement();
	command_record(command);
	command->unfinished = command->seq != 0;
}
