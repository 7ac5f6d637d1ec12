/*-------------------------------------------------------------------------
 *
 * copying.c
 *	  The columns whose values a command destroys: dropped, or of another type.
 *
 * Their values are copied before PostgreSQL runs the command; the image that
 * the copy belongs to says which one it is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "capture/capture.h"
#include "compat.h"
#include "keep/vault.h"

/* ---- which ---- */

/* of ObjectAddress* */
void
columns_go(Command *command, List *columns)
{
	MemoryContext old = MemoryContextSwitchTo(command->context);
	ListCell   *lc;

	command->going = NIL;
	foreach(lc, columns)
	{
		ObjectAddress *address = palloc(sizeof(ObjectAddress));

		*address = *(ObjectAddress *) lfirst(lc);
		command->going = lappend(command->going, address);
	}
	MemoryContextSwitchTo(old);
}

static bool
is_lossless(Oid relid, AttrNumber attnum, const TypeChange *change)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
										Int16GetDatum(attnum));
	Form_pg_attribute att;
	bool		lossless;

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
	return lossless;
}

/* The columns of the relation that do not stay as they are. */
Together
columns_changed_together(Command *command, Oid relid)
{
	Together	together = {.passing = columns_of_migration(command->migration, relid)};
	ListCell   *lc;

	foreach(lc, command->going)
	{
		ObjectAddress *address = lfirst(lc);

		if (address->objectId == relid)
			together.dropped = bms_add_member(together.dropped, address->objectSubId);
	}
	together.all = bms_copy(together.dropped);
	together.lossy = bms_copy(together.dropped);
	foreach(lc, command->type_changes)
	{
		const TypeChange *change = lfirst(lc);
		AttrNumber	attnum = get_attnum(relid, change->column);

		if (attnum <= 0)
			continue;
		together.all = bms_add_member(together.all, attnum);
		if (!is_lossless(relid, attnum, change))
			together.lossy = bms_add_member(together.lossy, attnum);
	}
	return together;
}

/* ---- columns that go ---- */

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
	const Kept *kept = history_get_kept(id);
	const char *column = kept_detail(kept, "unproved");
	const char *too_much = kept_detail(kept, "over limit");
	MemoryContext old;

	if ((column == NULL && too_much == NULL) || command->unproved)
		return;
	old = MemoryContextSwitchTo(command->context);
	command->unproved = too_much ?
		psprintf("values of column \"%s\" of %s are more than safemig.max_kept_bytes allows to keep",
				 too_much, image->identity) :
		psprintf("values of column \"%s\" of %s cannot be copied exactly",
				 column, image->identity);
	MemoryContextSwitchTo(old);
}

static void
keep_column(Command *command, Oid relid, AttrNumber attnum, const char *kind)
{
	char		relkind = get_rel_relkind(relid);
	ObjectAddress address;
	Together	together;
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
	together = columns_changed_together(command, relid);
	if (kept == 0)
		kept = column_keep(relid, attnum, &together, kind, command->migration,
						   command->seq);
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

void
keep_columns(Command *command, Closure *closure)
{
	HTAB	   *deleted = address_set();
	ListCell   *lc;

	if (closure->columns == NIL)
		return;
	columns_go(command, closure->columns);
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

	if (attnum <= 0 || is_kept_already(command, relid, change->column) ||
		is_lossless(relid, attnum, change) ||
		get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE)
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
