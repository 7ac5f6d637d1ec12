/*-------------------------------------------------------------------------
 *
 * histories.c
 *	  The tables of frameworks themselves: made, renamed, emptied, dropped.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "nodes/parsenodes.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "capture/capture.h"
#include "capture/reading.h"
#include "compat.h"
#include "history/framework.h"

/* ---- its own tables are no migration ---- */

/* The relation that the object is, or is part of; InvalidOid: neither. */
static Oid
relation_of(const Image *image)
{
	const ObjectAddress *address = &image->address;
	Oid			index_of;

	if (image->parent.classId == RelationRelationId && OidIsValid(image->parent.objectId))
		return image->parent.objectId;
	if (address->classId != RelationRelationId)
		return InvalidOid;
	index_of = IndexGetRelation(address->objectId, true);
	return OidIsValid(index_of) ? index_of : address->objectId;
}

static const Framework *
framework_of_image(const Image *image)
{
	FrameworkTable table;
	Oid			relid = relation_of(image);

	if (image->address.classId == NamespaceRelationId)
		return framework_of_schema(image->name);
	return OidIsValid(relid) ? framework_of(relid, &table) : NULL;
}

static bool
renames_history(const Change *change)
{
	FrameworkTable table;

	if (change->before == NULL || change->after == NULL ||
		change->after->address.classId != RelationRelationId ||
		strcmp(change->before->identity, change->after->identity) == 0)
		return false;
	(void) framework_of(change->after->address.objectId, &table);
	return table == FRAMEWORK_HISTORY;
}

/* A command, or its being taken back, has: what they name goes on. */
void
framework_histories_renamed(List *changes)
{
	ListCell   *lc;

	foreach(lc, changes)
	{
		const Change *change = lfirst(lc);

		if (renames_history(change))
			migrations_of_history_move(change->before->identity, change->after->identity);
	}
}

/*
 * Has a command done nothing but make, or change, what a framework keeps its
 * history in?  That is not taken back with the migration that comes first.
 * What it drops or renames, or what changes values, is: as anything else.
 */
bool
framework_owns_all(const Command *command, List *changes)
{
	const Framework *framework = NULL;
	ListCell   *lc;

	if (changes == NIL || command->values != NIL || command->dropped != NIL ||
		command->data_only || command->failed || safemig_state.record_id != 0)
		return false;
	foreach(lc, changes)
	{
		const Change *change = lfirst(lc);

		if (change->after == NULL || (change->before && change->before->kept) ||
			renames_history(change))
			return false;
		framework = framework_of_image(change->after);
		if (framework == NULL)
			return false;
	}
	framework_note_at_work(framework);
	return true;
}

/* Is all that it drops a framework's lock, or table to try something with? */
bool
framework_drops_helpers(Node *parsetree)
{
	DropStmt   *stmt = (DropStmt *) parsetree;
	ListCell   *lc;

	if (!IsA(parsetree, DropStmt) || stmt->removeType != OBJECT_TABLE || !framework_is_wanted())
		return false;
	foreach(lc, stmt->objects)
	{
		Oid			relid = RangeVarGetRelid(makeRangeVarFromNameList(lfirst(lc)), NoLock, true);
		FrameworkTable table = FRAMEWORK_NOTHING;

		if (OidIsValid(relid))
			(void) framework_of(relid, &table);
		if (table != FRAMEWORK_HELPER)
			return false;
	}
	return true;
}

/* ---- a history that goes as a whole ---- */

/* They stand no more: what follows under their names is new. */
static void
revert_all_of(const char *history, int64 by)
{
	migrations_mark_reverted(standing_in(history), by);
}

/* What of that the command drops is a history table? */
void
framework_histories_go(Command *command, List *addresses)
{
	ListCell   *lc;

	foreach(lc, addresses)
	{
		const ObjectAddress *address = lfirst(lc);
		FrameworkTable table;
		MemoryContext old;

		if (address->classId != RelationRelationId || address->objectSubId != 0)
			continue;
		(void) framework_of(address->objectId, &table);
		if (table != FRAMEWORK_HISTORY)
			continue;
		old = MemoryContextSwitchTo(command->context);
		command->histories = lappend(command->histories, history_name(address->objectId));
		MemoryContextSwitchTo(old);
	}
}

/* A command has dropped them. */
void
framework_histories_gone(const Command *command)
{
	ListCell   *lc;

	if (safemig_state.record_id != 0 || command->migration == 0)
		return;
	foreach(lc, command->histories)
		revert_all_of(lfirst(lc), command->migration);
}

/* ---- one that is emptied ---- */

/* In the memory of the transaction; the list of an outer level stays as it is. */
static void
set_emptied(List *relids)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

	state_save();
	safemig_state.emptied = list_copy(relids);
	MemoryContextSwitchTo(old);
}

/* Before it is truncated. */
void
framework_table_emptied(Oid relid)
{
	FrameworkTable table;

	(void) framework_of(relid, &table);
	if (table == FRAMEWORK_HISTORY)
		set_emptied(list_append_unique_oid(list_copy(safemig_state.emptied), relid));
}

/* It has a row again. */
void
framework_history_written(Oid relid)
{
	if (list_member_oid(safemig_state.emptied, relid))
		set_emptied(list_delete_oid(list_copy(safemig_state.emptied), relid));
}

/* golang-migrate, back to before the first: the row does not come again. */
static void
stays_empty(Oid relid)
{
	FrameworkTable table;
	const Framework *framework = framework_of(relid, &table);
	List	   *about = framework ? standing_in(history_name(relid)) : NIL;
	Reading		reading = {MEANS_REVERTED};
	HistoryRow	row = {.history = history_name(relid)};
	ListCell   *lc;

	foreach(lc, about)
	{
		Migration  *migration = history_get_migration(*(int64 *) lfirst(lc), false);

		if (migration->id == safemig_state.begun_id ||
			migration->id == safemig_state.written_id)
			continue;
		reading.about = lappend(reading.about, lfirst(lc));
		if (migration->label == NULL)
			continue;
		row.label = migration->label;
		row.version = migration->version;
	}
	if (row.label == NULL)
		return;
	reading.row = &row;
	framework_act(framework, relid, &reading, NIL);
}

/* Before a transaction ends. */
void
framework_transaction_ends(void)
{
	Frame		frame;
	ListCell   *lc;

	if (safemig_state.emptied == NIL || !framework_is_wanted())
		return;
	own_work_begin();
	PushActiveSnapshot(GetTransactionSnapshot());
	frame_become_owner(&frame);
	framework_forget_begun_that_is_gone();
	foreach(lc, safemig_state.emptied)
		stays_empty(lfirst_oid(lc));
	safemig_state.emptied = NIL;
	frame_unpin(&frame);
	PopActiveSnapshot();
	own_work_end();
}
