/*-------------------------------------------------------------------------
 *
 * keeping.c
 *	  What a command would destroy, and how each part of it is kept.
 *
 * What can be moved goes to the vault (moving.c), the values of columns are
 * copied (copying.c), positions of sequences noted.  Then the names of what
 * was moved are taken out of the statement, and PostgreSQL runs the rest.
 * (Since PostgreSQL 14 the statement is a copy of its own, never the cached
 * one.)
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_am.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"

#include "capture/capture.h"
#include "compat.h"
#include "image/classes.h"
#include "keep/vault.h"
#include "point.h"

/* ---- images of the closure ---- */

/*
 * An array's type, a multirange, the row type of a table come and go with what
 * they hang on.  What was set on them has to be put back.
 */
static void
take_dependent_image(Command *command, const ObjectAddress *address)
{
	Image	   *image;
	ListCell   *lc;

	if (address->classId != TypeRelationId || address->objectSubId != 0 ||
		!type_is_dependent(address->objectId) || address_is_temporary(address))
		return;
	image = image_take(address);
	foreach(lc, image ? image->facets : NIL)
	{
		const char *name = ((Facet *) lfirst(lc))->name;

		if (facet_is_common(name) && strcmp(name, "owner") != 0)
		{
			(void) command_add_before(command, address);
			return;
		}
	}
}

/*
 * Images of everything that goes, and of everything that stays but loses a
 * part.  Each gets its place in the deletion order.
 */
static void
take_images(Command *command, Closure *closure)
{
	int			place = list_length(closure->deleted);
	ListCell   *lc;

	foreach(lc, closure->deleted)
	{
		ObjectAddress *address = lfirst(lc);
		ObjectAddress owner;
		Image	   *image;

		place--;
		if (!object_owner_address(address, &owner))
			take_dependent_image(command, address);
		if (!object_owner_address(address, &owner) ||
			address_is_temporary(&owner))
			continue;
		if (address->classId == OperatorRelationId)
			target_add_linked_operators(command, address->objectId);
		if (address->objectSubId != 0 || owner.objectId != address->objectId)
		{
			command_add_root(command, &owner);
			command_look(command);
		}
		image = command_add_before(command, &owner);
		if (image && image->seq == 0 && owner.objectId == address->objectId &&
			address->objectSubId == 0)
			image->seq = place + 1;
	}
	order_tables_and_types(command, closure);
	command_look(command);
}

/* Takes what was moved out of the statement; PostgreSQL drops the rest. */
static void
cut_from_statement(DropStmt *stmt, List *named, HTAB *moved)
{
	MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(stmt));
	List	   *rest = NIL;
	ListCell   *object;
	ListCell   *address;

	forboth(object, stmt->objects, address, named)
	{
		if (!address_set_has(moved, lfirst(address)))
			rest = lappend(rest, lfirst(object));
	}
	stmt->objects = rest;
	MemoryContextSwitchTo(old);
}

/* Positions of sequences that go for good; those of moved tables go along. */
static void
keep_positions(Command *command, Closure *closure, HTAB *moved)
{
	ListCell   *lc;

	foreach(lc, closure->deleted)
	{
		ObjectAddress *address = lfirst(lc);
		Image	   *image;

		if (address->classId != RelationRelationId || address->objectSubId != 0 ||
			get_rel_relkind(address->objectId) != RELKIND_SEQUENCE ||
			is_part_of(command, address, moved))
			continue;
		image = command_find_before(command, address);
		if (image == NULL)
			continue;
		command_identify(command);
		image->kept = sequence_keep_position(address->objectId,
											 command->migration, command->seq);
	}
}

/* The row type of a view or foreign table: those are made anew. */
static bool
goes_with_relation(Oid typid, HTAB *moved)
{
	ObjectAddress relation;

	ObjectAddressSet(relation, RelationRelationId, get_typ_typrelid(typid));
	return OidIsValid(relation.objectId) && !address_set_has(moved, &relation);
}

/*
 * Types that the command has moved to the vault, and that are made of those
 * which go for good: what has them outside goes first.
 */
static List *
moved_containers(Closure *closure, HTAB *moved, List *types)
{
	List	   *containers = types ? type_containers(types) : NIL;
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, closure->deleted)
	{
		ObjectAddress *address = lfirst(lc);

		if (address->classId == TypeRelationId && address_set_has(moved, address) &&
			list_member_oid(containers, address->objectId))
			result = lappend_oid(result, address->objectId);
	}
	return result;
}

/*
 * What goes for good, such as an extension's type, leaves the rows in the
 * vault that need it in another form.  Returns the types in the vault that are
 * to follow when it is their turn.
 */
static List *
freeze_what_stays(Closure *closure, HTAB *moved)
{
	List	   *types = NIL;
	List	   *opclasses = NIL;
	List	   *methods = NIL;
	List	   *later;
	ListCell   *lc;

	foreach(lc, closure->deleted)
	{
		ObjectAddress *address = lfirst(lc);
		ObjectAddress owner;

		if (address_set_has(moved, address))
			continue;
		if (address->classId == TypeRelationId &&
			SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(address->objectId)) &&
			(object_owner_address(address, &owner) ||
			 goes_with_relation(address->objectId, moved)))
			types = lappend_oid(types, address->objectId);
		else if (address->classId == OperatorClassRelationId)
			opclasses = lappend_oid(opclasses, address->objectId);
		else if (address->classId == AccessMethodRelationId)
			methods = lappend_oid(methods, address->objectId);
	}
	later = moved_containers(closure, moved, types);
	vault_freeze(types, opclasses, methods, later);
	return later;
}

/*
 * To discard is to give up rows: a type or a collation by itself has none, and
 * what is kept may need it.
 */
static bool
is_discarded(Closure *closure)
{
	ListCell   *lc;

	if (!is_discarding() || safemig_state.record_id || closure->columns != NIL)
		return is_discarding();
	foreach(lc, closure->deleted)
	{
		ObjectAddress *address = lfirst(lc);

		if (address->classId == RelationRelationId && is_movable(address))
			return true;
	}
	return false;
}

/*
 * A column of a table without rows of its own loses nothing but its place;
 * what loses rows is found when they are gone (record.c).
 */
static void
note_discarded_places(Command *command, Closure *closure)
{
	ListCell   *lc;

	foreach(lc, closure->columns)
	{
		ObjectAddress *address = lfirst(lc);
		char		relkind = get_rel_relkind(address->objectId);

		if (command->unproved == NULL &&
			(relkind == RELKIND_PARTITIONED_TABLE || relkind == RELKIND_FOREIGN_TABLE))
			command->unproved = MemoryContextStrdup(command->context,
													psprintf("the place of %s was not kept (%s)",
															 getObjectDescription(address, false),
															 discard_reason()));
	}
}

/*
 * Keeps what a dropping command destroys.  The caller has become the
 * extension's owner; rights were checked by the rehearsal.
 */
void
keep_dropped(Command *command, Closure *closure, Node *parsetree)
{
	HTAB	   *moved = address_set();
	List	   *later;
	ListCell   *lc;

	command->altered = list_length(command->roots);
	take_images(command, closure);
	SAFEMIG_POINT("keep.images");
	if (is_discarded(closure))
	{
		/* a position is no room */
		if (safemig_state.record_id == 0)
		{
			keep_positions(command, closure, moved);
			note_discarded_places(command, closure);
		}
		support_check(closure, moved);
		(void) freeze_what_stays(closure, moved);
		return;
	}
	foreach(lc, closure->deleted)
	{
		if (is_movable(lfirst(lc)))
			address_set_add(moved, lfirst(lc));
	}
	support_add_needed(closure, moved);
	support_check(closure, moved);
	keep_columns(command, closure);
	SAFEMIG_POINT("keep.columns");
	keep_positions(command, closure, moved);
	if (hash_get_num_entries(moved) > 0)
	{
		SAFEMIG_POINT("keep.positions");
		closure_report(closure);
		move_closure(command, closure, parsetree, moved);
		SAFEMIG_POINT("keep.moved");
	}
	later = freeze_what_stays(closure, moved);
	SAFEMIG_POINT("keep.frozen");
	if (hash_get_num_entries(moved) > 0)
	{
		delete_rest(command, closure, parsetree, moved, later);
		SAFEMIG_POINT("keep.deleted");
		if (IsA(parsetree, DropStmt))
			cut_from_statement((DropStmt *) parsetree, closure->named, moved);
	}
}

/*
 * ALTER SEQUENCE may move the position, by RESTART or by other bounds.  A
 * position is no facet of the image, so the command is recorded whether the
 * image differs afterwards or not.
 */
void
keep_moved_positions(Command *command)
{
	ListCell   *lc;

	if (!command->moves_sequence)
		return;
	foreach(lc, command->roots)
	{
		Image	   *image = command_find_before(command, lfirst(lc));

		if (image == NULL || strcmp(image->type, "sequence") != 0)
			continue;
		command_identify(command);
		image->kept = sequence_keep_position(image->address.objectId,
											 command->migration, command->seq);
	}
}
