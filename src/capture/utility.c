/*-------------------------------------------------------------------------
 *
 * utility.c
 *	  Commands that PostgreSQL tells no event trigger of.
 *
 * Where the library is loaded (session_preload_libraries, or any DDL command
 * of the session before), a hook sees them and treats them like the others:
 * commands on event triggers, roles, databases and tablespaces, REASSIGN OWNED,
 * CLUSTER as far as it marks an index, and REINDEX where it fires no event.  Whether this database has safemig, and wants it to look, is what
 * its own event trigger says.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_event_trigger.h"
#include "commands/defrem.h"
#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "advise/advise.h"
#include "capture/capture.h"
#include "capture/target.h"
#include "compat.h"

#define OUR_TRIGGER		"!safemig_start"

static ProcessUtility_hook_type next_utility_hook = NULL;

static bool
is_on_duty(void)
{
	HeapTuple	tuple = SearchSysCache1(EVENTTRIGGERNAME, CStringGetDatum(OUR_TRIGGER));
	Form_pg_event_trigger form;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_event_trigger) GETSTRUCT(tuple);
	result = form->evtenabled != TRIGGER_DISABLED &&
		get_func_namespace(form->evtfoid) == get_namespace_oid(SAFEMIG_SCHEMA, true);
	ReleaseSysCache(tuple);
	return result;
}

/* By what it belongs to: anybody may give one such a name. */
static bool
is_ours(const char *trigger)
{
	Oid			oid = get_event_trigger_oid(trigger, true);

	return OidIsValid(oid) && getExtensionOfObject(EventTriggerRelationId, oid) ==
		get_extension_oid("safemig", true);
}

/* Not of what is stored out of line: nobody sees that mark. */
static bool
marks_index(const ClusterStmt *stmt)
{
	Oid			relid;

	if (stmt->relation == NULL || stmt->indexname == NULL)
		return false;
	relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	return OidIsValid(relid) && get_rel_relkind(relid) != RELKIND_TOASTVALUE;
}

static bool
names_event_trigger(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_CreateEventTrigStmt:
			return true;
		case T_AlterEventTrigStmt:
			return !is_ours(((AlterEventTrigStmt *) stmt)->trigname);
		case T_DropStmt:
			return ((DropStmt *) stmt)->removeType == OBJECT_EVENT_TRIGGER;
		case T_RenameStmt:
			return ((RenameStmt *) stmt)->renameType == OBJECT_EVENT_TRIGGER;
		case T_AlterOwnerStmt:
			return ((AlterOwnerStmt *) stmt)->objectType == OBJECT_EVENT_TRIGGER;
		case T_CommentStmt:
			return ((CommentStmt *) stmt)->objtype == OBJECT_EVENT_TRIGGER;
		case T_SecLabelStmt:
			return ((SecLabelStmt *) stmt)->objtype == OBJECT_EVENT_TRIGGER;
		default:
			return false;
	}
}

/* What EXPLAIN ANALYZE makes a relation of, and tells no event trigger; or NULL. */
static Node *
explained(ExplainStmt *stmt)
{
	Query	   *query = (Query *) stmt->query;
	bool		analyze = false;
	ListCell   *lc;

	foreach(lc, stmt->options)
	{
		DefElem    *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, "analyze") == 0)
			analyze = defGetBoolean(option);
	}
	if (!analyze || !IsA(query, Query) || query->commandType != CMD_UTILITY ||
		!IsA(query->utilityStmt, CreateTableAsStmt))
		return NULL;
	return query->utilityStmt;
}

static bool
is_seen_here_only(Node *stmt)
{
	return IsA(stmt, ReassignOwnedStmt) || names_event_trigger(stmt) ||
		is_role_command(stmt) || is_cluster_command(stmt) ||
		(IsA(stmt, ReindexStmt) && !reindex_fires_events() &&
		 reindex_is_looked_at((ReindexStmt *) stmt)) ||
		(IsA(stmt, ClusterStmt) && marks_index((ClusterStmt *) stmt));
}

/* No event trigger fires for these, and nothing is recorded of them here. */
static bool
is_asked_of_policy(Node *stmt)
{
	return IsA(stmt, TruncateStmt) || IsA(stmt, VacuumStmt) || IsA(stmt, ClusterStmt) ||
		(IsA(stmt, ReindexStmt) && !reindex_fires_events());
}

static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *environment, DestReceiver *dest,
				QueryCompletion *completion)
{
	Node	   *stmt = pstmt->utilityStmt;
	Node	   *made = IsA(stmt, ExplainStmt) ? explained((ExplainStmt *) stmt) : NULL;
	bool		outside = is_outside_command(stmt);
	bool		seen;

	if (!IsA(stmt, TransactionStmt))
		data_follow_label();
	seen = IsTransactionState() && (made || outside || is_seen_here_only(stmt)) && is_on_duty();

	if (made)
		stmt = made;
	if (!seen && is_asked_of_policy(stmt) && IsTransactionState() && is_on_duty() &&
		!capture_is_silent(stmt))
		policy_check(stmt);
	if (seen && outside)
		outside_command_starts(stmt, CreateCommandTag(stmt));
	else if (seen)
		capture_command_starts(stmt, CreateCommandTag(stmt));
	if (next_utility_hook)
		next_utility_hook(pstmt, query, read_only, context, params,
						  environment, dest, completion);
	else
		standard_ProcessUtility(pstmt, query, read_only, context, params,
								environment, dest, completion);
	if (seen && outside)
		outside_command_ends(stmt, CreateCommandTag(stmt));
	else if (seen)
	{
		CommandCounterIncrement();
		capture_command_ends(stmt);
	}
	else if (IsA(stmt, VariableSetStmt))
		data_follow_label();
	else if (IsA(stmt, CopyStmt))
		framework_rows_copied((CopyStmt *) stmt);
}

void
utility_init(void)
{
	next_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
