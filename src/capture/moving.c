/*-------------------------------------------------------------------------
 *
 * moving.c
 *	  What a drop moves to the vault, and what it deletes for that.
 *
 * A closure is walked in deletion order, dependants first.  Tables,
 * materialized views, types and collations are moved; what hangs on them from
 * outside is deleted here, since PostgreSQL, which will no longer delete the
 * table, would not reach it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/event_trigger.h"
#include "utils/memutils.h"

#include "capture/capture.h"
#include "compat.h"
#include "point.h"

bool
is_movable(const ObjectAddress *address)
{
	if (address->objectSubId != 0 || address_is_temporary(address) ||
		object_depends_by(address, DEPENDENCY_EXTENSION))
		return false;
	if (address->classId == RelationRelationId)
	{
		char		relkind = get_rel_relkind(address->objectId);

		return relkind == RELKIND_RELATION ||
			relkind == RELKIND_PARTITIONED_TABLE ||
			relkind == RELKIND_MATVIEW;
	}
	if (address->classId == CollationRelationId)
		return true;
	if (address->classId == TypeRelationId)
	{
		ObjectAddress owner;
		char		typtype = get_typtype(address->objectId);

		return object_owner_address(address, &owner) &&
			(typtype == TYPTYPE_ENUM || typtype == TYPTYPE_COMPOSITE ||
			 typtype == TYPTYPE_DOMAIN || typtype == TYPTYPE_RANGE);
	}
	return false;
}

/* Lives in one of these, at whatever remove: moves with it, or is stripped. */
bool
is_part_of(Command *command, const ObjectAddress *address, HTAB *moved)
{
	ObjectAddress at;

	if (!object_owner_address(address, &at))
		return true;
	for (;;)
	{
		Image	   *image;

		if (address_set_has(moved, &at))
			return true;
		image = command_find_before(command, &at);
		if (image == NULL || !OidIsValid(image->parent.objectId))
			return false;
		at = image->parent;
	}
}

/* The column or constraint of the very table that ALTER TABLE names. */
static bool
is_altered_itself(Command *command, Node *parsetree,
				  const ObjectAddress *address)
{
	ObjectAddress owner;
	Image	   *image;

	if (!IsA(parsetree, AlterTableStmt) && !IsA(parsetree, AlterDomainStmt))
		return false;
	if (!object_owner_address(address, &owner))
		return true;
	image = command_find_before(command, &owner);
	for (int i = 0; i < command->altered; i++)
	{
		ObjectAddress *root = list_nth(command->roots, i);

		if ((root->classId == owner.classId && root->objectId == owner.objectId) ||
			(image && image->parent.classId == root->classId &&
			 image->parent.objectId == root->objectId))
			return true;
	}
	return false;
}

static void
move_object(Command *command, ObjectAddress *address)
{
	Image	   *image = command_find_before(command, address);
	int64		kept;

	if (address->classId == RelationRelationId)
		kept = vault_keep_relation(address->objectId, command->migration, command->seq);
	else if (address->classId == CollationRelationId)
		kept = vault_keep_collation(address->objectId, command->migration, command->seq);
	else if (is_support(address->classId))
		kept = vault_keep_support(address, command->migration, command->seq);
	else
		kept = vault_keep_type(address->objectId, command->migration, command->seq);
	if (image)
		image->kept = kept;
	CommandCounterIncrement();
}

static bool
still_exists(const ObjectAddress *address)
{
	List	   *names = NIL;
	List	   *args = NIL;

	return getObjectIdentityParts(address, &names, &args, true) != NULL;
}

static void
delete_object(const ObjectAddress *address)
{
	if (!still_exists(address))
		return;
	performDeletion(address, DROP_CASCADE, PERFORM_DELETION_QUIETLY);
	CommandCounterIncrement();
}

static bool
is_matview(const ObjectAddress *address)
{
	return address->classId == RelationRelationId &&
		get_rel_relkind(address->objectId) == RELKIND_MATVIEW;
}

/*
 * Materialized views first, dependants before what they are made from; then
 * tables and types, what others hang on first, so that a partition finds its
 * parent in the vault.  From then on nothing that is deleted can reach a row.
 */
static void
move_all(Command *command, Closure *closure, HTAB *moved, HTAB *named)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext,
												  "safemig moving",
												  ALLOCSET_DEFAULT_SIZES);
	List	   *order = NIL;
	ListCell   *lc;

	foreach(lc, closure->deleted)
	{
		if (address_set_has(moved, lfirst(lc)) && is_matview(lfirst(lc)))
			order = lappend(order, lfirst(lc));
	}
	for (int i = list_length(closure->deleted) - 1; i >= 0; i--)
	{
		ObjectAddress *address = list_nth(closure->deleted, i);

		if (address_set_has(moved, address) && !is_matview(address))
			order = lappend(order, address);
	}
	if (order != NIL)
		command_identify(command);
	foreach(lc, order)
	{
		bool		original = address_set_has(named, lfirst(lc));
		MemoryContext old = MemoryContextSwitchTo(scratch);

		EventTriggerSQLDropAddObject(lfirst(lc), original, !original);
		move_object(command, lfirst(lc));
		SAFEMIG_POINT("keep.moved_one");
		MemoryContextSwitchTo(old);
		MemoryContextReset(scratch);
	}
	MemoryContextDelete(scratch);
}

/* It goes, as a whole, with what it belongs to. */
static bool
goes_with_another(const ObjectAddress *address)
{
	return address->objectSubId == 0 &&
		(object_depends_by(address, DEPENDENCY_INTERNAL) ||
		 object_depends_by(address, DEPENDENCY_PARTITION_PRI) ||
		 object_depends_by(address, DEPENDENCY_EXTENSION));
}

/*
 * What hangs on the moved from outside: PostgreSQL no longer reaches it.  When
 * the turn comes to a moved type, what had it outside of the vault has gone,
 * and what it is made of has not.
 */
static void
delete_dependants(Command *command, Closure *closure, Node *parsetree,
				  HTAB *moved, HTAB *named, List *later)
{
	ListCell   *lc;

	foreach(lc, closure->deleted)
	{
		ObjectAddress *address = lfirst(lc);
		ObjectAddress owner;

		if (address->classId == TypeRelationId && list_member_oid(later, address->objectId))
			vault_freeze_type(address->objectId);
		else if (object_owner_address(address, &owner) &&
				 !address_set_has(named, address) &&
				 !is_part_of(command, address, moved) &&
				 !is_altered_itself(command, parsetree, address) &&
				 !goes_with_another(address))
			delete_object(address);
	}
}

/* A foreign key, not a clone of one, to a whole partition tree. */
static bool
refers_to_tree(const ObjectAddress *address)
{
	HeapTuple	tuple;
	Form_pg_constraint form;
	bool		result;

	if (address->classId != ConstraintRelationId)
		return false;
	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(address->objectId));
	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_constraint) GETSTRUCT(tuple);
	result = form->contype == CONSTRAINT_FOREIGN &&
		!OidIsValid(form->conparentid) &&
		get_rel_relkind(form->confrelid) == RELKIND_PARTITIONED_TABLE;
	ReleaseSysCache(tuple);
	return result;
}

/*
 * Foreign keys that go with a partition go before it is cut off, which would
 * be refused as long as rows refer to it.  DROP asks for no such check.
 */
static void
delete_references(Command *command, Closure *closure, Node *parsetree,
				  HTAB *moved, HTAB *named)
{
	ListCell   *lc;

	foreach(lc, closure->deleted)
	{
		ObjectAddress *address = lfirst(lc);

		if (!refers_to_tree(address) || address_set_has(named, address))
			continue;
		if (is_part_of(command, address, moved))
		{
			performDeletion(address, DROP_CASCADE,
							PERFORM_DELETION_INTERNAL | PERFORM_DELETION_QUIETLY);
			CommandCounterIncrement();
		}
		else if (!is_altered_itself(command, parsetree, address))
			delete_object(address);
	}
}

static HTAB *
named_set(Closure *closure)
{
	HTAB	   *named = address_set();
	ListCell   *lc;

	foreach(lc, closure->named)
		address_set_add(named, lfirst(lc));
	return named;
}

void
move_closure(Command *command, Closure *closure, Node *parsetree, HTAB *moved)
{
	HTAB	   *named = named_set(closure);

	delete_references(command, closure, parsetree, moved, named);
	move_all(command, closure, moved, named);
}

/* When no row in the vault needs any more what is to be deleted. */
void
delete_rest(Command *command, Closure *closure, Node *parsetree, HTAB *moved,
			List *later)
{
	ListCell   *lc;

	delete_dependants(command, closure, parsetree, moved, named_set(closure), later);
	foreach(lc, closure->deleted)
	{
		ObjectAddress *address = lfirst(lc);

		if (address_set_has(moved, address) &&
			address->classId == RelationRelationId)
			vault_check_untied(address->objectId);
	}
}
