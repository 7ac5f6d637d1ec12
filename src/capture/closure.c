/*-------------------------------------------------------------------------
 *
 * closure.c
 *	  What a drop would take along.
 *
 * PostgreSQL itself is asked: the statement is run in a subtransaction while
 * the object-access hook collects what is deleted, and then undone.  So the
 * errors are core's own (ownership, RESTRICT), and the list is exact and in
 * deletion order, which read backwards is an order of dependency.
 *
 * The locks of the rehearsal go with its subtransaction.  Therefore the
 * relations of the closure are then locked in the outer transaction, in one
 * order, and if anything changed elsewhere meanwhile it is rehearsed again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "commands/event_trigger.h"
#include "commands/tablecmds.h"
#include "commands/typecmds.h"
#include "commands/user.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "storage/sinval.h"
#include "tcop/utility.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "capture/capture.h"
#include "compat.h"
#include "safemig.h"

/* Subcommands of ALTER TABLE that may take other objects along. */
static bool
subcommand_drops(AlterTableCmd *cmd)
{
	return cmd->subtype == AT_DropColumn || cmd->subtype == AT_DropConstraint ||
		cmd->subtype == AT_DropIdentity;
}

static bool
alter_table_drops(AlterTableStmt *stmt)
{
	ListCell   *lc;

	if (stmt->objtype != OBJECT_TABLE &&
		stmt->objtype != OBJECT_FOREIGN_TABLE && stmt->objtype != OBJECT_TYPE)
		return false;
	foreach(lc, stmt->cmds)
	{
		if (subcommand_drops(lfirst(lc)))
			return true;
	}
	return false;
}

/* Does the statement delete what it names, so that rehearsing it tells more? */
bool
statement_drops(Node *parsetree)
{
	switch (nodeTag(parsetree))
	{
		case T_DropStmt:
			return !((DropStmt *) parsetree)->concurrent;
		case T_DropOwnedStmt:
			return true;
		case T_AlterTableStmt:
			return alter_table_drops((AlterTableStmt *) parsetree);
		case T_AlterDomainStmt:
			return ((AlterDomainStmt *) parsetree)->subtype == 'X';
		default:
			return false;
	}
}

/* Only the subcommands that drop: the others might rewrite the table. */
static void
run_alter_table(AlterTableStmt *stmt)
{
	AlterTableUtilityContext context = {0};
	List	   *drops = NIL;
	ListCell   *lc;
	LOCKMODE	lockmode;
	Oid			relid;

	foreach(lc, stmt->cmds)
	{
		if (subcommand_drops(lfirst(lc)))
			drops = lappend(drops, lfirst(lc));
	}
	stmt->cmds = drops;
	lockmode = AlterTableGetLockLevel(drops);
	relid = AlterTableLookupRelation(stmt, lockmode);
	if (!OidIsValid(relid))
		return;
	context.relid = relid;
	context.queryString = "";
	context.pstmt = makeNode(PlannedStmt);
	context.pstmt->commandType = CMD_UTILITY;
	context.pstmt->utilityStmt = (Node *) stmt;
	EventTriggerAlterTableStart((Node *) stmt);
	EventTriggerAlterTableRelid(relid);
	AlterTable(stmt, lockmode, &context);
	EventTriggerAlterTableEnd();
}

/* The objects that the statement names: PostgreSQL deletes those itself. */
static List *
named_objects(Node *parsetree)
{
	DropStmt   *stmt = (DropStmt *) parsetree;
	List	   *named = NIL;
	ListCell   *lc;

	if (!IsA(parsetree, DropStmt))
		return NIL;
	foreach(lc, stmt->objects)
	{
		ObjectAddress *address = palloc(sizeof(ObjectAddress));
		Relation	relation = NULL;

		if (stmt->removeType == OBJECT_TABLE || stmt->removeType == OBJECT_MATVIEW ||
			stmt->removeType == OBJECT_VIEW || stmt->removeType == OBJECT_SEQUENCE ||
			stmt->removeType == OBJECT_INDEX || stmt->removeType == OBJECT_FOREIGN_TABLE)
		{
			RangeVar   *name = makeRangeVarFromNameList(lfirst(lc));

			ObjectAddressSet(*address, RelationRelationId,
							 RangeVarGetRelid(name, NoLock, true));
		}
		else
		{
			*address = get_object_address(stmt->removeType, lfirst(lc),
										  &relation, AccessShareLock, true);
			if (relation)
				table_close(relation, NoLock);
		}
		named = lappend(named, address);
	}
	return named;
}

static void
run_drop(void *arg)
{
	Node	   *parsetree = copyObject((Node *) arg);

	if (IsA(parsetree, DropStmt) || IsA(parsetree, DropOwnedStmt))
		untie_vault(parsetree, named_objects(parsetree));
	switch (nodeTag(parsetree))
	{
		case T_DropStmt:
			{
				DropStmt   *stmt = (DropStmt *) parsetree;

				switch (stmt->removeType)
				{
					case OBJECT_TABLE:
					case OBJECT_SEQUENCE:
					case OBJECT_VIEW:
					case OBJECT_MATVIEW:
					case OBJECT_FOREIGN_TABLE:
					case OBJECT_INDEX:
						RemoveRelations(stmt);
						break;
					default:
						RemoveObjects(stmt);
						break;
				}
				break;
			}
		case T_DropOwnedStmt:
			DropOwnedObjects((DropOwnedStmt *) parsetree);
			break;
		case T_AlterTableStmt:
			run_alter_table((AlterTableStmt *) parsetree);
			break;
		case T_AlterDomainStmt:
			{
				AlterDomainStmt *stmt = (AlterDomainStmt *) parsetree;

				AlterDomainDropConstraint(stmt->typeName, stmt->name,
										  stmt->behavior, stmt->missing_ok);
				break;
			}
		default:
			elog(ERROR, "unexpected statement: %d", (int) nodeTag(parsetree));
	}
}

/* ---- what PostgreSQL says meanwhile ---- */

static emit_log_hook_type next_emit_log_hook = NULL;
static List *heard = NIL;
static MemoryContext hearing = NULL;

/*
 * The notices of a rehearsal ("drop cascades to ...") are held back: if the
 * objects are then taken away by us, they are what the user gets to read;
 * otherwise PostgreSQL will say it all again itself.
 */
static void
hold_back(ErrorData *edata)
{
	if (edata->elevel == NOTICE && hearing)
	{
		MemoryContext old = MemoryContextSwitchTo(hearing);

		heard = lappend(heard, list_make2(pstrdup(edata->message),
										  edata->detail ? pstrdup(edata->detail) : NULL));
		MemoryContextSwitchTo(old);
		edata->output_to_server = false;
	}
	if (next_emit_log_hook)
		next_emit_log_hook(edata);
}

void
closure_report(Closure *closure)
{
	ListCell   *lc;

	foreach(lc, closure->notices)
	{
		List	   *notice = lfirst(lc);
		char	   *detail = lsecond(notice);

		ereport(NOTICE,
				(errmsg_internal("%s", (char *) linitial(notice)),
				 detail ? errdetail_internal("%s", detail) : 0));
	}
}

static void
quiet(const char *name, const char *level)
{
	(void) set_config_option(name, level, PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Runs the statement and takes it back; returns what was deleted.  An error
 * goes out to the user as PostgreSQL's own.
 */
static List *
rehearse(void (*run) (void *arg), void *arg, List **notices)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	List	   *collected = NIL;
	ErrorData  *volatile error = NULL;
	bool		needs_cleanup = EventTriggerBeginCompleteQuery();
	int			guc_level = NewGUCNestLevel();

	next_emit_log_hook = emit_log_hook;
	heard = NIL;
	hearing = context;
	quiet("client_min_messages", "error");
	quiet("log_min_messages", "notice");
	own_work_begin();
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		emit_log_hook = hold_back;
		capture_divert_drops(&collected, context);
		run(arg);
		capture_divert_drops(NULL, NULL);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	emit_log_hook = next_emit_log_hook;
	hearing = NULL;
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	own_work_end();
	if (needs_cleanup)
		EventTriggerEndCompleteQuery();
	AtEOXact_GUC(false, guc_level);
	if (error)
		ReThrowError(error);
	*notices = heard;
	return collected;
}

typedef struct Lockable
{
	Oid			relid;
	int			rank;			/* in the order of locks */
} Lockable;

static int
compare_lockables(const ListCell *a, const ListCell *b)
{
	const Lockable *x = lfirst(a);
	const Lockable *y = lfirst(b);

	return lock_order(x->rank, x->relid, y->rank, y->relid);
}

/*
 * What goes of tables, views and sequences, what a partition is one of, and
 * what loses a part.
 */
static List *
lockable(List *deleted)
{
	List	   *relids = NIL;
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, deleted)
	{
		ObjectAddress *address = lfirst(lc);
		Oid			relid = relation_of_part(address);
		char		relkind;

		if (!OidIsValid(relid) && address->classId == RelationRelationId)
			relid = address->objectId;
		relkind = OidIsValid(relid) ? get_rel_relkind(relid) : '\0';
		if (relkind == '\0' || relkind == RELKIND_COMPOSITE_TYPE || relkind == RELKIND_TOASTVALUE)
			continue;
		relids = lappend_oid(relids, relid);
		if (relid == address->objectId && address->objectSubId == 0 && get_rel_relispartition(relid))
			relids = lappend_oid(relids, get_partition_parent(relid, true));
	}
	list_sort(relids, list_oid_cmp);
	list_deduplicate_oid(relids);
	foreach(lc, relids)
	{
		Lockable   *one = palloc(sizeof(Lockable));

		one->relid = lfirst_oid(lc);
		one->rank = lock_rank(one->relid);
		result = lappend(result, one);
	}
	return result;
}

static void
lock_relations(List *deleted)
{
	List	   *relations = lockable(deleted);
	ListCell   *lc;

	list_sort(relations, compare_lockables);
	foreach(lc, relations)
	{
		LockRelationOid(((Lockable *) lfirst(lc))->relid, AccessExclusiveLock);
		waits_look();
	}
}

/* What the statement would delete as things are now; no lock remains. */
List *
closure_rehearse(Node *parsetree)
{
	List	   *notices;

	return rehearse(run_drop, parsetree, &notices);
}

Closure *
closure_of(Node *parsetree)
{
	Closure    *closure = palloc0(sizeof(Closure));
	uint64		counter;
	ListCell   *lc;

	do
	{
		counter = SharedInvalidMessageCounter;
		closure->deleted = rehearse(run_drop, parsetree, &closure->notices);
		lock_relations(closure->deleted);
		AcceptInvalidationMessages();
	} while (counter != SharedInvalidMessageCounter);

	closure->named = named_objects(parsetree);
	foreach(lc, closure->deleted)
	{
		ObjectAddress *address = lfirst(lc);

		if (address->classId == RelationRelationId && address->objectSubId > 0)
			closure->columns = lappend(closure->columns, address);
	}
	return closure;
}

static void
run_deletion(void *arg)
{
	performDeletion(arg, DROP_CASCADE, 0);
}

List *
dependants_of(const ObjectAddress *address)
{
	List	   *notices;

	return rehearse(run_deletion, (void *) address, &notices);
}
