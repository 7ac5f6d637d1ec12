/*-------------------------------------------------------------------------
 *
 * shape.c
 *	  Rules about the transaction and the session, not about one statement:
 *	  what is held while something else is done, and for how long one waits.
 *
 * A script without BEGIN is a transaction for each statement.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

#include "advise/advise.h"
#include "capture/target.h"
#include "capture/capture.h"
#include "compat.h"
#include "rollback/rollback.h"

#define MANY_TABLES		3
#define LONG_LOCK_TIMEOUT	10000	/* ms */

/* ---- the transaction ---- */

static void
transaction_ends(Assessment *a)
{
	a->in_transaction = a->wide = false;
	a->exclusive = a->not_valid = NIL;
}

static void
follow_transaction(Assessment *a, TransactionStmt *stmt)
{
	switch (stmt->kind)
	{
		case TRANS_STMT_BEGIN:
		case TRANS_STMT_START:
			transaction_ends(a);
			a->in_transaction = true;
			break;
		case TRANS_STMT_COMMIT:
		case TRANS_STMT_ROLLBACK:
		case TRANS_STMT_PREPARE:
			transaction_ends(a);
			a->in_transaction = stmt->chain;
			break;
		default:
			break;
	}
}

/* Commands that PostgreSQL refuses in a transaction because of one word. */
bool
is_concurrently(Node *node)
{
	ListCell   *lc;

	switch (nodeTag(node))
	{
		case T_IndexStmt:
			return ((IndexStmt *) node)->concurrent;
		case T_DropStmt:
			return ((DropStmt *) node)->concurrent;
		case T_ReindexStmt:
			return reindex_is_concurrent((ReindexStmt *) node);
		case T_AlterTableStmt:
			foreach(lc, ((AlterTableStmt *) node)->cmds)
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

/* ---- settings ---- */

static void
follow_setting(Assessment *a, VariableSetStmt *stmt)
{
	static const char *const followed[] = {"search_path", "lock_timeout", "statement_timeout",
		"idle_in_transaction_session_timeout", "timezone", "default_table_access_method",
	"default_tablespace"};

	if (stmt->name == NULL || (stmt->kind != VAR_SET_VALUE && stmt->kind != VAR_SET_DEFAULT &&
							   stmt->kind != VAR_RESET))
		return;
	for (size_t i = 0; i < lengthof(followed); i++)
	{
		if (pg_strcasecmp(stmt->name, followed[i]) != 0)
			continue;
		(void) set_config_option(followed[i],
								 stmt->kind == VAR_SET_VALUE ? ExtractSetVariableArgs(stmt) : NULL,
								 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, DEBUG1, false);
	}
	if (pg_strcasecmp(stmt->name, "lock_timeout") != 0)
		return;
	a->no_lock_timeout = false;
	if (LockTimeout == 0)
		(void) fire_named(a, RULE_LOCK_TIMEOUT_ZERO, "lock_timeout");
	else if (LockTimeout > LONG_LOCK_TIMEOUT)
		(void) fire_named(a, RULE_LOCK_TIMEOUT_LONG, "lock_timeout");
}

/* ---- names ---- */

static void
check_name_lengths(Assessment *a, const char *sql)
{
	for (const char *c = sql; c && *c; c++)
	{
		const char *start = c;

		if (*c == '\'')
		{
			for (c++; *c && *c != '\''; c++)
				;
			if (*c == '\0')
				return;
			continue;
		}
		if (*c == '"')
		{
			for (c++; *c && *c != '"'; c++)
				;
			start++;
		}
		else if (isalpha((unsigned char) *c) || *c == '_' || IS_HIGHBIT_SET(*c))
		{
			while (isalnum((unsigned char) c[1]) || c[1] == '_' || c[1] == '$' || IS_HIGHBIT_SET(c[1]))
				c++;
			c++;
		}
		else
			continue;
		if (c - start >= NAMEDATALEN)
			(void) fire_named(a, RULE_NAME_TOO_LONG, pnstrdup(start, c - start));
		if (*c == '\0')
			return;
		if (*c != '"')
			c--;
	}
}

void
shape_begin(Assessment *a, Node *node)
{
	if (IsA(node, TransactionStmt))
		follow_transaction(a, (TransactionStmt *) node);
	else if (IsA(node, VariableSetStmt))
		follow_setting(a, (VariableSetStmt *) node);
	if (a->in_transaction && is_concurrently(node))
		(void) fire_named(a, RULE_CONCURRENTLY_IN_TX, a->now->tag);
	if (!IsA(node, SelectStmt) && !IsA(node, DoStmt) && !IsA(node, CreateFunctionStmt))
		check_name_lengths(a, a->now->sql);
	if (is_outside_command(node))
	{
		Finding    *finding = fire_named(a, RULE_IRREVERSIBLE, a->now->tag);

		finding->why = "It is done outside of transactions: no transaction takes it back.";
	}
}

/* ---- who is in the way ---- */

/* Process ids of who holds what this lock waits for, or NULL. */
char *
lock_holders(const TakenLock *lock)
{
	static const char *const conflicting[] = {
		[ShareUpdateExclusiveLock] = "'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'",
		[ShareLock] = "'RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'",
		[ShareRowExclusiveLock] = "'RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'",
		[ExclusiveLock] = "'RowShareLock', 'RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'",
		[AccessExclusiveLock] = "'AccessShareLock', 'RowShareLock', 'RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'",
	};

	if (lock->mode < ShareUpdateExclusiveLock)
		return NULL;
	return facts_text(psprintf("SELECT string_agg(DISTINCT l.pid::text, ', ') FROM pg_locks l"
							   " WHERE l.locktype = 'relation' AND l.relation = $1 AND l.granted"
							   " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
							   " AND l.pid <> pg_backend_pid() AND $2 = 0 AND l.mode IN (%s)",
							   conflicting[lock->mode]), lock->target->relid, 0);
}

static void
who_is_in_the_way(Assessment *a)
{
	ListCell   *lc;

	foreach(lc, a->now->locks)
	{
		const TakenLock *lock = lfirst(lc);
		char	   *pids = lock_holders(lock);
		Finding    *finding;

		if (pids == NULL)
			continue;
		finding = fire(a, RULE_LONG_TRANSACTION, lock->target);
		set_safer(finding, rules[RULE_LONG_TRANSACTION].safer, lock->target, NULL, pids);
	}
}

/* ---- the state that it was written for ---- */

static bool
by_another_migration(const Target *target)
{
	Frame		frame;
	bool		result;

	frame_become_owner(&frame);
	result = facts_number(psprintf("SELECT count(*) FROM safemig.migrations m WHERE m.state = 'open'"
								   " AND m.id <> " INT64_FORMAT " AND EXISTS (SELECT FROM safemig.change_log c"
								   " WHERE c.migration = m.id AND c.classid = 'pg_class'::regclass AND c.objid = $1 AND $2 = 0)",
								   open_migration_id()), target->relid, 0) > 0;
	frame_unpin(&frame);
	return result;
}

static void
is_as_recorded(Assessment *a)
{
	ListCell   *lc;

	foreach(lc, a->now->locks)
	{
		const Target *target = ((TakenLock *) lfirst(lc))->target;
		ObjectAddress address;
		Finding    *finding;

		if (list_member_oid(a->compared, target->relid))
			continue;
		a->compared = lappend_oid(a->compared, target->relid);
		ObjectAddressSet(address, RelationRelationId, target->relid);
		if (object_has_drifted(&address))
		{
			finding = fire(a, RULE_DRIFT, target);
			set_safer(finding, rules[RULE_DRIFT].safer, target, NULL, finding->object);
		}
		if (by_another_migration(target))
			(void) fire(a, RULE_NON_LINEAR, target);
	}
}

/* ---- what is held, and for how long ---- */

static bool
goes_through_rows(const Statement *statement)
{
	ListCell   *lc;

	foreach(lc, statement->findings)
	{
		const Finding *finding = lfirst(lc);

		if (finding->target && !finding->target->made && finding->cost &&
			strcmp(finding->cost, "catalog") != 0)
			return true;
	}
	return false;
}

static LOCKMODE
strongest(const Statement *statement, const Target **target)
{
	LOCKMODE	mode = NoLock;
	ListCell   *lc;

	foreach(lc, statement->locks)
	{
		const TakenLock *lock = lfirst(lc);

		if (lock->mode <= mode)
			continue;
		mode = lock->mode;
		*target = lock->target;
	}
	return mode;
}

static bool
once(bool *said)
{
	if (*said)
		return false;
	*said = true;
	return true;
}

static void
check_timeouts(Assessment *a, const Target *target, LOCKMODE mode, bool slow)
{
	if (mode >= ShareLock && LockTimeout == 0 && once(&a->no_lock_timeout))
		(void) fire(a, RULE_NO_LOCK_TIMEOUT, target);
	if (slow && StatementTimeout == 0 && once(&a->no_statement_timeout))
		(void) fire_named(a, RULE_NO_STATEMENT_TIMEOUT, "statement_timeout");
	if (a->in_transaction && mode >= ShareLock && IdleInTransactionSessionTimeout == 0 &&
		once(&a->no_idle_timeout))
		(void) fire_named(a, RULE_NO_IDLE_TIMEOUT, "idle_in_transaction_session_timeout");
	if ((mode >= ShareLock || slow) && !window_is_open() && once(&a->outside_window))
		(void) fire_named(a, RULE_OUTSIDE_WINDOW, "safemig.change_window");
}

static void
note_exclusive(Assessment *a)
{
	ListCell   *lc;

	foreach(lc, a->now->locks)
	{
		const TakenLock *lock = lfirst(lc);

		if (lock->mode >= ShareRowExclusiveLock &&
			!list_member_oid(a->exclusive, lock->target->relid))
			a->exclusive = lappend_oid(a->exclusive, lock->target->relid);
	}
}

static void
note_changed(Assessment *a)
{
	ListCell   *lc;

	foreach(lc, a->now->locks)
	{
		const Target *changed = ((TakenLock *) lfirst(lc))->target;

		if (!list_has_name(a->changed, changed->name))
			a->changed = lappend(a->changed, changed->name);
	}
}

static void
check_lock_window(Assessment *a, bool slow)
{
	if (slow && a->exclusive != NIL)
		(void) fire_named(a, RULE_STATEMENT_AFTER_LOCK, a->now->tag);
	note_exclusive(a);
	if (list_length(a->exclusive) >= MANY_TABLES && once(&a->wide))
		(void) fire_named(a, RULE_WIDE_LOCK_WINDOW,
						  psprintf("%d relations", list_length(a->exclusive)));
}

static void
check_many(Assessment *a)
{
	int			objects = list_length(a->changed) + list_length(a->made) + a->made_before;

	if (objects > safemig_max_objects && once(&a->many))
		(void) fire_named(a, RULE_TOO_MANY_OBJECTS, psprintf("%d objects", objects));
}

void
shape_end(Assessment *a, Node *node)
{
	const Target *target = NULL;
	LOCKMODE	mode = strongest(a->now, &target);
	bool		slow = goes_through_rows(a->now);

	note_changed(a);
	check_timeouts(a, target, mode, slow);
	is_as_recorded(a);
	who_is_in_the_way(a);
	if (a->in_transaction)
		check_lock_window(a, slow);
}

void
shape_of_script(Assessment *a)
{
	if (a->now == NULL)
		return;
	if (a->in_transaction)
		(void) fire_named(a, RULE_UNCLOSED_TX, "transaction");
	check_many(a);
}

/* ---- a command that is about to run ---- */

/* What the commands of this transaction have done by now. */
typedef struct Shape
{
	List	   *exclusive;		/* as in Assessment, in the transaction's memory */
	List	   *altered;
	List	   *changed;
	List	   *not_valid;
	int			made;
	bool		wide;
	bool		many;
} Shape;

static List *
names_copied(List *names)
{
	List	   *copy = NIL;
	ListCell   *lc;

	foreach(lc, names)
		copy = lappend(copy, pstrdup(lfirst(lc)));
	return copy;
}

void
shape_recall(Assessment *a)
{
	const Shape *shape = safemig_state.shape;

	a->in_transaction = IsTransactionBlock();
	if (shape == NULL)
		return;
	a->exclusive = list_copy(shape->exclusive);
	a->altered = list_copy(shape->altered);
	a->changed = list_copy(shape->changed);
	a->not_valid = list_copy(shape->not_valid);
	a->made_before = shape->made;
	a->wide = shape->wide;
	a->many = shape->many;
}

/* A command that fails takes it back with what it did. */
void
shape_remember(const Assessment *a)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Shape	   *shape = palloc(sizeof(Shape));

	shape->exclusive = list_copy(a->exclusive);
	shape->altered = list_copy(a->altered);
	shape->changed = names_copied(a->changed);
	shape->not_valid = names_copied(a->not_valid);
	shape->made = a->made_before + list_length(a->made);
	shape->wide = a->wide;
	shape->many = a->many;
	state_save();
	safemig_state.shape = shape;
	MemoryContextSwitchTo(old);
}

void
shape_of_command(Assessment *a)
{
	const Target *target = NULL;
	LOCKMODE	mode = strongest(a->now, &target);
	bool		slow = goes_through_rows(a->now);

	note_changed(a);
	check_timeouts(a, target, mode, slow);
	check_lock_window(a, slow);
	check_many(a);
}
