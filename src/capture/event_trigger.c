/*-------------------------------------------------------------------------
 *
 * event_trigger.c
 *	  Where PostgreSQL enters: the four event triggers.
 *
 * They run as whoever issues the command.  Nothing here resolves a name
 * through the user's search_path except what the command itself names.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "tcop/cmdtag.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"

#include "capture/restore.h"
#include "advise/advise.h"
#include "capture/target.h"
#include "capture/written.h"
#include "compat.h"
#include "history/history.h"
#include "point.h"

PG_FUNCTION_INFO_V1(safemig_on_event);

static bool
names_safemig(List *objects)
{
	ListCell   *lc;

	foreach(lc, objects)
	{
		if (strcmp(strVal(lfirst(lc)), "safemig") == 0)
			return true;
	}
	return false;
}

/* CREATE, ALTER, DROP EXTENSION safemig are not ours to record. */
static bool
concerns_safemig(Node *parsetree)
{
	switch (nodeTag(parsetree))
	{
		case T_CreateExtensionStmt:
			return strcmp(((CreateExtensionStmt *) parsetree)->extname, "safemig") == 0;
		case T_AlterExtensionStmt:
			return strcmp(((AlterExtensionStmt *) parsetree)->extname, "safemig") == 0;
		case T_AlterExtensionContentsStmt:
			return strcmp(((AlterExtensionContentsStmt *) parsetree)->extname, "safemig") == 0;
		case T_DropStmt:
			return ((DropStmt *) parsetree)->removeType == OBJECT_EXTENSION &&
				names_safemig(((DropStmt *) parsetree)->objects);
		default:
			return false;
	}
}

bool
capture_is_silent(Node *parsetree)
{
	return !safemig_enabled || safemig_state.own_depth > 0 ||
		IsBinaryUpgrade || creating_extension || IsParallelWorker() ||
		in_restore_session() || concerns_safemig(parsetree) ||
		framework_drops_helpers(parsetree) || repack_is_at_work(parsetree);
}

/* Commands that commit in the middle of themselves. */
static bool
is_concurrent(Node *parsetree)
{
	ListCell   *lc;

	switch (nodeTag(parsetree))
	{
		case T_IndexStmt:
			return ((IndexStmt *) parsetree)->concurrent;
		case T_DropStmt:
			return ((DropStmt *) parsetree)->concurrent;
		case T_ReindexStmt:
			return reindex_is_concurrent((ReindexStmt *) parsetree);
		case T_ClusterStmt:
			return cluster_is_of_partitions((ClusterStmt *) parsetree);
		case T_AlterTableStmt:
			foreach(lc, ((AlterTableStmt *) parsetree)->cmds)
			{
				AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

				if (cmd->subtype == AT_DetachPartition &&
					castNode(PartitionCmd, cmd->def)->concurrent)
					return true;
			}
			return false;
		default:
			return false;
	}
}

/* Also by what goes with its owner; what is the bootstrap superuser's does not. */
static bool
drops_safemig(Node *parsetree)
{
	DropStmt   *stmt = (DropStmt *) parsetree;
	ListCell   *lc;

	if (IsA(parsetree, DropStmt))
		return stmt->removeType == OBJECT_EXTENSION && names_safemig(stmt->objects);
	if (!IsA(parsetree, DropOwnedStmt) || extension_owner() == BOOTSTRAP_SUPERUSERID)
		return false;
	foreach(lc, ((DropOwnedStmt *) parsetree)->roles)
	{
		if (get_rolespec_oid(lfirst(lc), true) == extension_owner())
			return true;
	}
	return false;
}

/*
 * Not while it holds what nobody else has; or else on purpose: then what it
 * keeps is an ordinary schema's from here on.
 */
static void
check_drop_extension(Node *parsetree)
{
	if (IsBinaryUpgrade || !drops_safemig(parsetree))
		return;
	state_save();
	safemig_state.touched = NULL;
	if (!safemig_allow_drop)
		history_refuse_drop_while_kept();
	else
		vault_give_up();
}

/* Nobody's tool takes the vault away. */
static void
check_not_vault(Node *parsetree)
{
	DropStmt   *stmt = (DropStmt *) parsetree;
	ListCell   *lc;

	if (!IsA(parsetree, DropStmt) || stmt->removeType != OBJECT_SCHEMA)
		return;
	foreach(lc, stmt->objects)
	{
		Oid			namespace = get_namespace_oid(strVal(lfirst(lc)), true);

		if (OidIsValid(namespace) && vault_is_schema(namespace))
			ereport(ERROR,
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("schema \"%s\" holds data kept by safemig",
							strVal(lfirst(lc))),
					 errhint("It goes when the migration is rolled back or pruned.")));
	}
}

static void
drop_index_concurrently_targets(Command *command, DropStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->objects)
	{
		Oid			relid = RangeVarGetRelid(makeRangeVarFromNameList(lfirst(lc)),
											 NoLock, true);

		target_add_root(command, RelationRelationId, relid);
	}
}

static void
look_before(Command *command)
{
	Node	   *parsetree = command->parsetree;
	Closure    *closure = NULL;
	Frame		frame;

	/* casts do what they do to the user ... */
	state_save();
	safemig_state.conversion_settings = conversion_settings_now();
	early_keep(command, parsetree);
	waits_look();
	SAFEMIG_POINT("capture.early");

	/* ... names mean what they mean to the user ... */
	if (IsA(parsetree, DropStmt) && command->concurrent)
		drop_index_concurrently_targets(command, (DropStmt *) parsetree);
	else
		targets_resolve(command, parsetree);
	waits_look();
	if (!command->concurrent && statement_drops(parsetree))
		closure = closure_of(parsetree);
	waits_look();
	if (closure && closure->deleted != NIL)
		restore_warn_of_keeping(closure->deleted);
	SAFEMIG_POINT("capture.targets");
	if (!command->concurrent)
		data_before_command(command, closure ? closure->deleted : NIL);

	/* ... but images do not depend on who looks, or how */
	frame_become_owner(&frame);
	own_work_begin();
	SAFEMIG_POINT("capture.images");
	command_look(command);
	if (closure)
		framework_histories_go(command, closure->deleted);
	if (closure && closure->deleted != NIL)
		keep_dropped(command, closure, parsetree);
	SAFEMIG_POINT("capture.kept");
	give_way(command, parsetree);
	SAFEMIG_POINT("capture.gave_way");
	keep_changed_values(command);
	keep_moved_positions(command);
	early_check(command);
	SAFEMIG_POINT("capture.looked");
	own_work_end();
	safemig_state.conversion_settings = NIL;
	frame_unpin(&frame);
}

static bool
try_before(void *command)
{
	look_before(command);
	return true;
}

static bool
try_after(void *command)
{
	command_record(command);
	return true;
}

/*
 * Under safemig.on_capture_failure = warn an error of ours, and what it did,
 * is undone; the user's command goes on and is recorded as irreversible.  An
 * error that is PostgreSQL's own comes again when PostgreSQL runs the command.
 */
static char *
try_to(bool (*look) (void *command), Command *command)
{
	ErrorData  *error = attempt(look, command);

	if (error == NULL)
		return NULL;
	/* to be cancelled is not a failure of ours */
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	ereport(WARNING,
			(errcode(ERRCODE_SAFEMIG_CAPTURE),
			 errmsg("safemig could not capture %s: %s", command->tag, error->message)));
	return MemoryContextStrdup(command->context, error->message);
}

static bool
failures_are_tolerated(const Command *command)
{
	return safemig_on_capture_failure == CAPTURE_FAILURE_WARN &&
		!command->concurrent;
}

void
capture_command_starts(Node *parsetree, CommandTag tag)
{
	Command    *command;

	check_drop_extension(parsetree);
	restore_check_command(parsetree);
	check_no_loan_is_used();
	if (capture_is_silent(parsetree))
		return;
	check_not_vault(parsetree);
	policy_check(parsetree);
	positions_look_again();

	command = command_push(parsetree, GetCommandTagName(tag));
	command->concurrent = is_concurrent(parsetree);
	observed_begins(command);
	SAFEMIG_POINT("capture.begins");
	if (failures_are_tolerated(command))
		command->failed = try_to(try_before, command);
	else
		look_before(command);
	observed_runs(command);
}

/* Their rows are all new, and none is the user's doing. */
static void
look_at_rewritten(Command *command)
{
	ListCell   *lc;

	foreach(lc, command->rewritten)
		written_anew(lfirst_oid(lc));
}

void
capture_command_ends(Node *parsetree)
{
	Command    *command = command_top();

	/* a frame that is not this command's: its start was silent */
	if (command == NULL || command->parsetree != parsetree ||
		safemig_state.own_depth > 0)
		return;
	SAFEMIG_POINT("capture.ends");
	observed_ends(command);
	look_at_rewritten(command);
	framework_command_ends(parsetree);
	if (failures_are_tolerated(command) && !command->failed)
	{
		command->failed = try_to(try_after, command);
		if (command->failed)
			command_record(command);
	}
	else
		command_record(command);
	command_pop(command);
}

/* Values that an earlier command kept of this relation are still its own. */
static void
follow_rewrite(Command *command, Oid relid)
{
	MemoryContext old = MemoryContextSwitchTo(command->context);
	ObjectAddress address;
	Image	   *before;
	Frame		frame;

	ObjectAddressSet(address, RelationRelationId, relid);
	before = command_find_before(command, &address);
	frame_become_owner(&frame);
	own_work_begin();
	if (before)
		command->values = list_concat(command->values,
									  column_keep_follow(relid, before));
	own_work_end();
	frame_unpin(&frame);
	MemoryContextSwitchTo(old);
}

static void
on_rewrite(void)
{
	Command    *command = command_top();
	Oid			relid;

	if (command == NULL || safemig_state.own_depth > 0)
		return;
	relid = DatumGetObjectId(OidFunctionCall0(F_PG_EVENT_TRIGGER_TABLE_REWRITE_OID));
	command_note_rewrite(command, relid);
	observed_rewrites(command, relid);
	follow_rewrite(command, relid);
	SAFEMIG_POINT("capture.rewrite");
}

Datum
safemig_on_event(PG_FUNCTION_ARGS)
{
	EventTriggerData *data;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function %s was not called by an event trigger",
						"safemig_on_event")));
	data = (EventTriggerData *) fcinfo->context;
	if (strcmp(data->event, "ddl_command_start") == 0)
		capture_command_starts(data->parsetree, data->tag);
	else if (strcmp(data->event, "table_rewrite") == 0)
		on_rewrite();
	/* what others run at either event comes after the command */
	else if (strcmp(data->event, "sql_drop") == 0 || strcmp(data->event, "ddl_command_end") == 0)
		capture_command_ends(data->parsetree);
	PG_RETURN_NULL();
}
