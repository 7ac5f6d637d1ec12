/*-------------------------------------------------------------------------
 *
 * keeping.c
 *	  What a command would destroy, and how each part of it is kept.
 *
 * A closure is walked in deletion order, dependants first.  Tables,
 * materialized views, types and collations are moved to the vault instead of
 * being deleted; what hangs on them from outside is deleted here, since
 * PostgreSQL, which will no longer delete the table, would not reach it.  Then
 * the names of what was moved are taken out of the statement, and PostgreSQL
 * runs the rest.  (Since PostgreSQL 14 the statement is a copy of its own,
 * never the cached one.)
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "capture/capture.h"
#include "compat.h"
#include "keep/vault.h"

static bool is_movable(const ObjectAddress *address);

/* ---- images of the closure ---- */

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

/* ---- columns and positions: copies ---- */

static void
hint_kept(Command *command, Image *image, const char *part, int64 kept)
{
	MemoryContext old = MemoryContextSwitchTo(command->context);

	image_addf(image, part, "@kept", INT64_FORMAT, kept);
	MemoryContextSwitchTo(old);
}

/* A copy that was not proved to give the value back is none. */
static void
note_unproved(Command *command, Image *image, int64 id)
{
	const char *column = kept_detail(history_get_kept(id), "unproved");
	MemoryContext old;

	if (column == NULL || command->unproved)
		return;
	old = MemoryContextSwitchTo(command->context);
	command->unproved = psprintf("values of column \"%s\" of %s cannot be copied exactly",
								 column, image->identity);
	MemoryContextSwitchTo(old);
}

static void
keep_column(Command *command, Oid relid, AttrNumber attnum, const char *kind)
{
	char		relkind = get_rel_relkind(relid);
	ObjectAddress address;
	Image	   *image;
	int64		kept;

	/* a foreign table has no values, but its column had a place */
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE &&
		!(relkind == RELKIND_FOREIGN_TABLE && strcmp(kind, "column") == 0))
		return;
	ObjectAddressSet(address, RelationRelationId, relid);
	image = command_find_before(command, &address);
	if (image == NULL)
		return;
	command_identify(command);
	kept = early_take(command, relid, attnum);
	if (kept == 0)
		kept = column_keep(relid, attnum, kind, command->migration, command->seq);
	hint_kept(command, image, get_attname(relid, attnum, false), kept);
	note_unproved(command, image, kept);
	if (strcmp(kind, "column") != 0)
	{
		MemoryContext old = MemoryContextSwitchTo(command->context);
		int64	   *id = palloc(sizeof(int64));

		*id = kept;
		command->values = lappend(command->values, id);
		MemoryContextSwitchTo(old);
	}
}

/* Types that are not moved to the vault, and what is made of them. */
static List *
types_that_go(Closure *closure)
{
	List	   *types = NIL;
	ListCell   *lc;

	foreach(lc, closure->deleted)
	{
		ObjectAddress *address = lfirst(lc);
		ObjectAddress owner;

		if (address->classId == TypeRelationId && !is_movable(address) &&
			object_owner_address(address, &owner) &&
			!OidIsValid(get_typ_typrelid(address->objectId)))
			types = lappend_oid(types, address->objectId);
	}
	return types ? type_containers(types) : NIL;
}

/*
 * Without a key the rows are known by what they still hold in the dropped
 * column, which nothing can read when its type is gone.
 */
static void
note_unreadable(Command *command, const ObjectAddress *column)
{
	ObjectAddress table;
	Image	   *image;
	const char *name = get_attname(column->objectId, column->objectSubId, false);
	const char *id;
	Kept	   *kept;
	MemoryContext old;

	ObjectAddressSet(table, RelationRelationId, column->objectId);
	image = command_find_before(command, &table);
	id = image ? image_get(image, name, "@kept") : NULL;
	kept = id ? history_get_kept(strtoll(id, NULL, 10)) : NULL;
	if (kept == NULL || kept->vault_name == NULL ||
		kept_detail(kept, "keyless") == NULL || command->unproved)
		return;
	old = MemoryContextSwitchTo(command->context);
	command->unproved = psprintf("%s has no key, and the type of its column \"%s\" goes for good",
								 image->identity, name);
	MemoryContextSwitchTo(old);
}

static void
keep_columns(Command *command, Closure *closure)
{
	HTAB	   *deleted = address_set();
	List	   *going;
	ListCell   *lc;

	if (closure->columns == NIL)
		return;
	going = types_that_go(closure);
	foreach(lc, closure->deleted)
		address_set_add(deleted, lfirst(lc));
	foreach(lc, closure->columns)
	{
		ObjectAddress *address = lfirst(lc);
		ObjectAddress table;

		ObjectAddressSet(table, RelationRelationId, address->objectId);
		if (address_set_has(deleted, &table))
			continue;
		keep_column(command, address->objectId, address->objectSubId, "column");
		if (list_member_oid(going, get_atttype(address->objectId, address->objectSubId)))
			note_unreadable(command, address);
	}
}

/* ---- what is moved, what is deleted ---- */

static bool
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
static bool
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
	ListCell   *lc;
	Image	   *image;

	if (!IsA(parsetree, AlterTableStmt) && !IsA(parsetree, AlterDomainStmt))
		return false;
	if (!object_owner_address(address, &owner))
		return true;
	image = command_find_before(command, &owner);
	foreach(lc, command->roots)
	{
		ObjectAddress *root = lfirst(lc);

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

	command_identify(command);
	if (address->classId == RelationRelationId)
		kept = vault_keep_relation(address->objectId, command->migration, command->seq);
	else if (address->classId == CollationRelationId)
		kept = vault_keep_collation(address->objectId, command->migration, command->seq);
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
	foreach(lc, order)
	{
		bool		original = address_set_has(named, lfirst(lc));

		EventTriggerSQLDropAddObject(lfirst(lc), original, !original);
		move_object(command, lfirst(lc));
	}
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

/* What hangs on the moved from outside: PostgreSQL no longer reaches it. */
static void
delete_dependants(Command *command, Closure *closure, Node *parsetree,
				  HTAB *moved, HTAB *named)
{
	ListCell   *lc;

	foreach(lc, closure->deleted)
	{
		ObjectAddress *address = lfirst(lc);
		ObjectAddress owner;

		if (object_owner_address(address, &owner) &&
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

static void
move_and_delete(Command *command, Closure *closure, Node *parsetree,
				HTAB *moved)
{
	HTAB	   *named = address_set();
	ListCell   *lc;

	foreach(lc, closure->named)
		address_set_add(named, lfirst(lc));
	delete_references(command, closure, parsetree, moved, named);
	move_all(command, closure, moved, named);
	delete_dependants(command, closure, parsetree, moved, named);
	foreach(lc, closure->deleted)
	{
		ObjectAddress *address = lfirst(lc);

		if (address_set_has(moved, address) &&
			address->classId == RelationRelationId)
			vault_check_untied(address->objectId);
	}
}

/*
 * What goes for good, such as an extension's type, leaves the rows in the
 * vault that need it in another form.
 */
static void
freeze_what_stays(Closure *closure, HTAB *moved)
{
	List	   *types = NIL;
	List	   *opclasses = NIL;
	ListCell   *lc;

	foreach(lc, closure->deleted)
	{
		ObjectAddress *address = lfirst(lc);
		ObjectAddress owner;

		if (address_set_has(moved, address))
			continue;
		if (address->classId == TypeRelationId &&
			object_owner_address(address, &owner) &&
			SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(address->objectId)))
			types = lappend_oid(types, address->objectId);
		else if (address->classId == OperatorClassRelationId)
			opclasses = lappend_oid(opclasses, address->objectId);
	}
	vault_freeze(types, opclasses);
}

/*
 * A table goes with its access method, wherever it stands: the vault is no
 * place that it could be kept in.
 */
static void
note_access_methods(Command *command, Closure *closure)
{
	const ObjectAddress *method = NULL;
	ListCell   *lc;

	foreach(lc, closure->deleted)
	{
		if (((ObjectAddress *) lfirst(lc))->classId == AccessMethodRelationId)
			method = lfirst(lc);
	}
	foreach(lc, closure->deleted)
	{
		ObjectAddress *address = lfirst(lc);
		MemoryContext old;

		if (method == NULL || address->classId != RelationRelationId ||
			get_rel_relkind(address->objectId) != RELKIND_RELATION)
			continue;
		if (address_in_vault(address))
			ereport(ERROR,
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("%s is needed by data that safemig keeps",
							getObjectDescription(method, false)),
					 errdetail("%s would be dropped with it.",
							   getObjectDescription(address, false)),
					 errhint("SELECT * FROM safemig.kept WHERE state = 'kept'; shows it. Roll those migrations back first.")));
		old = MemoryContextSwitchTo(command->context);
		command->unproved = psprintf("the rows of %s go with %s",
									 getObjectDescription(address, false),
									 getObjectDescription(method, false));
		MemoryContextSwitchTo(old);
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
	ListCell   *lc;

	take_images(command, closure);
	if (safemig_state.record_id && !safemig_keep_undone)
	{
		freeze_what_stays(closure, moved);
		return;
	}
	foreach(lc, closure->deleted)
	{
		if (is_movable(lfirst(lc)))
			address_set_add(moved, lfirst(lc));
	}
	note_access_methods(command, closure);
	keep_columns(command, closure);
	keep_positions(command, closure, moved);
	if (hash_get_num_entries(moved) > 0)
	{
		closure_report(closure);
		move_and_delete(command, closure, parsetree, moved);
		if (IsA(parsetree, DropStmt))
			cut_from_statement((DropStmt *) parsetree, closure->named, moved);
	}
	freeze_what_stays(closure, moved);
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

/* ---- type changes ---- */

/* They would come back USING them, which PostgreSQL refuses in such a tree. */
static void
note_foreign_tree(Command *command, const TypeChange *change)
{
	ListCell   *lc;

	foreach(lc, command->roots)
	{
		ObjectAddress *address = lfirst(lc);
		MemoryContext old;

		if (address->classId != RelationRelationId || command->unproved ||
			get_rel_relkind(address->objectId) != RELKIND_FOREIGN_TABLE)
			continue;
		old = MemoryContextSwitchTo(command->context);
		command->unproved = psprintf("values of column \"%s\" cannot be put back into a tree with foreign table %s",
									 change->column,
									 quote_qualified_identifier(get_namespace_name(get_rel_namespace(address->objectId)),
																get_rel_name(address->objectId)));
		MemoryContextSwitchTo(old);
	}
}

/* A table is a root once for itself and once for each part that it loses. */
static bool
is_kept_already(Command *command, Oid relid, const char *column)
{
	ObjectAddress address;
	Image	   *image;

	ObjectAddressSet(address, RelationRelationId, relid);
	image = command_find_before(command, &address);
	return image && image_get(image, column, "@kept") != NULL;
}

static void
keep_values_of(Command *command, Oid relid, TypeChange *change)
{
	AttrNumber	attnum = get_attnum(relid, change->column);
	HeapTuple	tuple;
	Form_pg_attribute att;
	bool		lossless;

	if (attnum <= 0 || is_kept_already(command, relid, change->column))
		return;
	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(attnum));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for attribute %d of relation %u",
			 attnum, relid);
	att = (Form_pg_attribute) GETSTRUCT(tuple);
	/* a generated column is computed again */
	lossless = att->attgenerated ||
		(!change->using_expression &&
		 type_change_is_lossless(att->atttypid, att->atttypmod,
								 change->type, change->typmod));
	ReleaseSysCache(tuple);
	if (lossless || get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE)
		return;
	keep_column(command, relid, attnum,
				change->using_expression ? "values" : "cast");
	if (command->values != NIL &&
		history_get_kept(*(int64 *) llast(command->values))->vault_name)
		note_foreign_tree(command, change);
}

/*
 * Keeps the values of columns whose type ALTER TABLE changes, unless casting
 * back is known to give them again.
 */
void
keep_changed_values(Command *command)
{
	ListCell   *lc;
	ListCell   *root;

	if (safemig_state.record_id && !safemig_keep_undone)
		return;
	foreach(lc, command->type_changes)
	{
		foreach(root, command->roots)
		{
			ObjectAddress *address = lfirst(root);

			if (address->classId == RelationRelationId)
				keep_values_of(command, address->objectId, lfirst(lc));
		}
	}
}
