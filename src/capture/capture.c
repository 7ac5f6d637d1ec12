/*-------------------------------------------------------------------------
 *
 * capture.c
 *	  The stack of commands that are being captured.
 *
 * Commands nest: a function called by a command may run DDL, and so does a
 * rollback's step.  Each has its frame, made at its start, and ended by its
 * end or by the abort of the (sub)transaction that it ran in; an error needs
 * no handler here.
 *
 * While a command runs, the object-access hook notes what PostgreSQL creates
 * and drops for it.  That list is more complete than
 * pg_event_trigger_ddl_commands(): it has the indexes and constraints of
 * partitions, and costs nothing to read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_largeobject.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "capture/capture.h"
#include "capture/written.h"
#include "history/history.h"

static Command *stack = NULL;
static object_access_hook_type next_object_access_hook = NULL;
static List **rehearsal_sink = NULL;
static MemoryContext rehearsal_context = NULL;

/* ---- the hook ---- */

static ObjectAddress *
copy_address(Oid class_id, Oid object_id, int sub_id)
{
	ObjectAddress *address = palloc(sizeof(ObjectAddress));

	ObjectAddressSubSet(*address, class_id, object_id, sub_id);
	return address;
}

/* Appends to a list that lives as long as the command. */
static void
note(List **list, MemoryContext context, Oid class_id, Oid object_id, int sub_id)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	*list = lappend(*list, copy_address(class_id, object_id, sub_id));
	MemoryContextSwitchTo(old);
}

/* Remembers a relation or column that holds rows, before it is deleted. */
static void
note_lost_data(Command *command, Oid relid, int sub_id)
{
	char		relkind = get_rel_relkind(relid);
	LostData   *lost;
	MemoryContext old;

	if ((relkind != RELKIND_RELATION && relkind != RELKIND_MATVIEW) ||
		isAnyTempNamespace(get_rel_namespace(relid)))
		return;
	old = MemoryContextSwitchTo(command->context);
	lost = palloc(sizeof(LostData));
	ObjectAddressSubSet(lost->address, RelationRelationId, relid, sub_id);
	lost->description = getObjectDescription(&lost->address, false);
	lost->from_vault = vault_is_schema(get_rel_namespace(relid));
	command->dropped = lappend(command->dropped, lost);
	MemoryContextSwitchTo(old);
}

/*
 * An array type is being renamed, and what it is the array of is none of what
 * the command is about: its name was wanted for something else.  The catalogs
 * still show it as it was.
 */
static void
look_at_array_type(Oid typid)
{
	Oid			element = get_element_type(typid);
	ObjectAddress object;
	Frame		frame;

	if (!OidIsValid(element) || get_array_type(element) != typid)
		return;
	type_object(element, &object);
	if (hash_search(stack->images, &object, HASH_FIND, NULL) ||
		address_in_vault(&object) || address_is_temporary(&object))
		return;
	own_work_begin();
	frame_become_owner(&frame);
	command_add_root(stack, &object);
	command_look(stack);
	frame_unpin(&frame);
	own_work_end();
}

static void
on_object_access(ObjectAccessType access, Oid class_id, Oid object_id,
				 int sub_id, void *arg)
{
	if (next_object_access_hook)
		next_object_access_hook(access, class_id, object_id, sub_id, arg);

	waits_look();
	if (rehearsal_sink)
	{
		if (access == OAT_DROP)
			note(rehearsal_sink, rehearsal_context, class_id, object_id, sub_id);
		return;
	}
	if (access == OAT_TRUNCATE && safemig_state.own_depth == 0)
		data_keep_truncated(object_id);
	if (stack == NULL || safemig_state.own_depth > 0)
		return;
	/* large objects are found with what else was written */
	if (access == OAT_POST_CREATE && class_id != LargeObjectRelationId)
		note(&stack->created, stack->context, class_id, object_id, sub_id);
	else if (access == OAT_DROP && class_id == RelationRelationId)
		note_lost_data(stack, object_id, sub_id);
	else if (access == OAT_POST_ALTER && class_id == TypeRelationId)
		look_at_array_type(object_id);
}

/*
 * Makes the hook report deletions to sink, allocated in context, instead of
 * to the command; or no longer (NULL).  An abort ends it too.
 */
void
capture_divert_drops(List **sink, MemoryContext context)
{
	rehearsal_sink = sink;
	rehearsal_context = context;
}

void
capture_init(void)
{
	next_object_access_hook = object_access_hook;
	object_access_hook = on_object_access;
	utility_init();
	failure_init();
	positions_init();
	written_init();
	framework_init();
}

/* ---- the stack ---- */

Command *
command_top(void)
{
	return stack;
}

Command *
command_push(Node *parsetree, const char *tag)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "safemig command",
												  ALLOCSET_DEFAULT_SIZES);
	Command    *command = MemoryContextAllocZero(context, sizeof(Command));
	HASHCTL		ctl = {.keysize = sizeof(ObjectAddress),
	.entrysize = sizeof(ObjectAddress) + sizeof(Image *),.hcxt = context};

	command->context = context;
	command->outer = stack;
	command->nest_level = GetCurrentTransactionNestLevel();
	command->parsetree = parsetree;
	command->tag = MemoryContextStrdup(context, tag);
	command->started = GetCurrentTimestamp();
	INSTR_TIME_SET_CURRENT(command->start);
	command->search_path = MemoryContextStrdup(context,
											   GetConfigOption("search_path", false, false));
	command->images = hash_create("safemig images", 64, &ctl,
								  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	stack = command;
	return command;
}

void
command_pop(Command *command)
{
	Assert(command == stack);
	stack = command->outer;
	MemoryContextDelete(command->context);
}

/* Drops the frames of a (sub)transaction that is rolled back; 0: all. */
void
command_stack_abort(int nest_level)
{
	rehearsal_sink = NULL;
	while (stack && stack->nest_level >= nest_level)
		command_pop(stack);
}

void
command_stack_commit(void)
{
	while (stack && !stack->concurrent)
		command_pop(stack);
}

/* Is the relation the doing of a command that has not come to its end? */
bool
command_is_making(Oid relid)
{
	ListCell   *lc;

	for (Command *command = stack; command; command = command->outer)
	{
		foreach(lc, command->created)
		{
			ObjectAddress *address = lfirst(lc);

			if (address->classId == RelationRelationId && address->objectId == relid)
				return true;
		}
	}
	return false;
}

/* ---- what a command concerns ---- */

typedef struct ImageEntry
{
	ObjectAddress address;
	Image	   *image;
} ImageEntry;

Image *
command_find_before(Command *command, const ObjectAddress *address)
{
	ObjectAddress key;
	ImageEntry *entry;

	ObjectAddressSet(key, address->classId, address->objectId);
	entry = hash_search(command->images, &key, HASH_FIND, NULL);
	return entry ? entry->image : NULL;
}

/* The before image of one object, taken once. */
Image *
command_add_before(Command *command, const ObjectAddress *address)
{
	MemoryContext old;
	ObjectAddress key;
	ImageEntry *entry;
	bool		found;

	ObjectAddressSet(key, address->classId, address->objectId);
	entry = hash_search(command->images, &key, HASH_ENTER, &found);
	if (found)
		return entry->image;
	entry->image = NULL;
	old = MemoryContextSwitchTo(command->context);
	/* what is in the vault counts as not there */
	if (!address_in_vault(&key))
		entry->image = image_take(&key);
	if (entry->image)
		command->before = lappend(command->before, entry->image);
	MemoryContextSwitchTo(old);
	return entry->image;
}

/* An object to be looked at with what lives in it, now and again at the end. */
void
command_add_root(Command *command, const ObjectAddress *address)
{
	ObjectAddress root = *address;

	/* NOT NULL is the table's */
	if (address->classId == ConstraintRelationId)
		(void) object_owner_address(address, &root);
	note(&command->roots, command->context, root.classId, root.objectId, 0);
}

void
command_add_referring(Command *command, const ObjectAddress *address)
{
	note(&command->referring, command->context, address->classId,
		 address->objectId, 0);
}

/*
 * Takes the images of what was added since the last look.  Names have been
 * resolved under the user's settings; images are taken under the pinned ones.
 */
void
command_look(Command *command)
{
	ListCell   *lc;
	ListCell   *content;

	for_each_from(lc, command->roots, command->looked_at)
	{
		(void) command_add_before(command, lfirst(lc));
		if (command->spares_contents)
			continue;
		foreach(content, object_contents(lfirst(lc)))
			(void) command_add_before(command, lfirst(content));
	}
	command->looked_at = list_length(command->roots);
	foreach(lc, command->referring)
	{
		(void) command_add_before(command, lfirst(lc));
		foreach(content, object_contents(lfirst(lc)))
			(void) command_add_before(command, lfirst(content));
	}
}

void
command_note_rewrite(Command *command, Oid relid)
{
	MemoryContext old = MemoryContextSwitchTo(command->context);
	char	   *name = get_rel_name(relid);

	command->rewritten = lappend_oid(command->rewritten, relid);
	if (name)
		command->rewrote = lappend(command->rewrote,
								   quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
															  name));
	MemoryContextSwitchTo(old);
}

/* Gives the command its migration and its place in the order of commands. */
void
command_identify(Command *command)
{
	if (command->seq)
		return;
	command->migration = history_current_migration();
	if (safemig_state.record_id == 0)
	{
		state_save();
		safemig_state.written_id = command->migration;
		safemig_state.relabelled = false;
		/* what was written before it comes before it */
		data_record_for_command();
	}
	command->seq = history_next_command();
}

/* ---- acts of our own that are recorded like commands ---- */

void
capture_internal_begin(const char *tag, List *addresses)
{
	Command    *command = command_push(NULL, tag);
	Frame		frame;
	ListCell   *lc;

	frame_pin(&frame);
	foreach(lc, addresses)
		command_add_root(command, lfirst(lc));
	command_look(command);
	frame_unpin(&frame);
	own_work_begin();
}

void
capture_internal_moves_sequence(void)
{
	stack->moves_sequence = true;
	keep_moved_positions(stack);
}

void
capture_internal_made(Oid class_id, Oid object_id)
{
	note(&stack->created, stack->context, class_id, object_id, 0);
}

void
capture_internal_end(void)
{
	Command    *command = stack;

	own_work_end();
	command_record(command);
	command_pop(command);
}
