/*-------------------------------------------------------------------------
 *
 * lock.c
 *	  The locks of a rollback.
 *
 * All are taken first, in one order and within a time, so that what is seen
 * afterwards stays so.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "parser/parser.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "rollback/rollback.h"

#define LOCK_TRIES 3

/* A relation that a rollback locks. */
typedef struct Wanted
{
	Oid			relid;
	LOCKMODE	mode;
	int			rank;			/* in the order of locks */
} Wanted;

static int
compare_wanted(const ListCell *a, const ListCell *b)
{
	const Wanted *x = lfirst(a);
	const Wanted *y = lfirst(b);

	return lock_order(x->rank, x->relid, y->rank, y->relid);
}

static void
want(List **wanted, Oid relid, LOCKMODE mode)
{
	Wanted	   *entry;
	ListCell   *lc;

	foreach(lc, *wanted)
	{
		entry = lfirst(lc);
		if (entry->relid == relid)
		{
			entry->mode = Max(entry->mode, mode);
			return;
		}
	}
	entry = palloc(sizeof(Wanted));
	entry->relid = relid;
	entry->mode = mode;
	entry->rank = lock_rank(relid);
	*wanted = lappend(*wanted, entry);
}

/* InvalidOid: it is not there, or it is no table, view or sequence. */
static Oid
lockable_relation(const char *identity)
{
	Oid			relid = RangeVarGetRelid(makeRangeVarFromNameList(qualified_name_list(identity)),
										 NoLock, true);
	char		relkind = OidIsValid(relid) ? get_rel_relkind(relid) : '\0';

	return relkind == '\0' || relkind == RELKIND_INDEX ||
		relkind == RELKIND_PARTITIONED_INDEX ? InvalidOid : relid;
}

static void
want_of_foreign_key(List **wanted, const AlterTableStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);
		Oid			relid;

		if (cmd->subtype != AT_AddConstraint ||
			castNode(Constraint, cmd->def)->pktable == NULL)
			continue;
		relid = RangeVarGetRelid(castNode(Constraint, cmd->def)->pktable, NoLock, true);
		if (OidIsValid(relid))
			want(wanted, relid, ShareRowExclusiveLock);
	}
}

/* What detaches or marks an index locks the index's table before it. */
static void
want_of_call(List **wanted, const Step *step)
{
	List	   *parsed = raw_parser(step->sql, RAW_PARSE_DEFAULT);
	SelectStmt *stmt = (SelectStmt *) linitial_node(RawStmt, parsed)->stmt;
	FuncCall   *call = (FuncCall *) linitial_node(ResTarget, stmt->targetList)->val;
	const char *index = strVal(&castNode(A_Const, linitial(call->args))->val);
	Oid			indexid = RangeVarGetRelid(makeRangeVarFromNameList(qualified_name_list(index)),
										   NoLock, true);
	Oid			relid = OidIsValid(indexid) ? IndexGetRelation(indexid, true) : InvalidOid;

	if (OidIsValid(relid))
		want(wanted, relid, AccessExclusiveLock);
}

/* ALTER TABLE without ONLY goes down the tree. */
static void
want_of_step(List **wanted, const Step *step)
{
	List	   *parsed;
	AlterTableStmt *stmt;
	Oid			relid;
	ListCell   *lc;

	if (strncmp(step->sql, "SELECT safemig.detach_index(", 28) == 0 ||
		strncmp(step->sql, "SELECT safemig.set_index_valid(", 31) == 0)
		want_of_call(wanted, step);
	if (strncmp(step->sql, "ALTER TABLE ", 12) != 0)
		return;
	parsed = raw_parser(step->sql, RAW_PARSE_DEFAULT);
	stmt = (AlterTableStmt *) linitial_node(RawStmt, parsed)->stmt;
	if (!IsA(stmt, AlterTableStmt))
		return;
	want_of_foreign_key(wanted, stmt);
	relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	if (!stmt->relation->inh || !OidIsValid(relid) || !has_subclass(relid))
		return;
	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
		want(wanted, lfirst_oid(lc), AccessExclusiveLock);
}

/*
 * A foreign key that goes takes its triggers from the table it refers to; if
 * that is a partition another one, to the whole, takes its place or loses it.
 */
static void
want_of_going(List **wanted, ObjectState *state, List *before)
{
	ObjectAddress address;
	HeapTuple	tuple;
	Oid			confrelid;
	ListCell   *lc;

	if (state->image->address.classId != ConstraintRelationId ||
		!state_is_to_go(state, before) || !address_find(state->image, &address))
		return;
	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(address.objectId));
	if (!HeapTupleIsValid(tuple))
		return;
	confrelid = ((Form_pg_constraint) GETSTRUCT(tuple))->confrelid;
	if (OidIsValid(confrelid))
		want(wanted, confrelid, AccessExclusiveLock);
	if (OidIsValid(confrelid) && get_rel_relispartition(confrelid))
	{
		foreach(lc, get_partition_ancestors(confrelid))
			want(wanted, lfirst_oid(lc), ShareRowExclusiveLock);
	}
	ReleaseSysCache(tuple);
}

/* The table of an index that comes or goes. */
static void
want_of_index(List **wanted, ObjectState *state, List *before)
{
	const char *table = image_get(state->image, "", "@table");
	Oid			relid = table ? lockable_relation(table) : InvalidOid;

	if (!OidIsValid(relid))
		return;
	if (state_is_to_go(state, before))
		want(wanted, relid, AccessExclusiveLock);
	else if (!state->present)
		want(wanted, relid, ShareLock);
}

/*
 * The relations that the plan's statements are about, those they live in, what
 * is below them, and the tables that foreign keys refer to: everything that a
 * step would lock later, so that none of them has to wait for anybody.
 */
static List *
plan_wanted(RollbackPlan *plan)
{
	List	   *wanted = NIL;
	List	   *before = states_before(plan->commands);
	ListCell   *lc;
	ListCell   *inner;

	foreach(lc, states_after(plan->commands))
	{
		Image	   *image = ((ObjectState *) lfirst(lc))->image;
		const char *identity = image->address.classId == RelationRelationId ?
		image->identity : image->parent_identity;
		Oid			relid = InvalidOid;

		if (identity && strcmp(image->type, "domain constraint") != 0)
			relid = lockable_relation(identity);
		if (OidIsValid(relid))
			want(&wanted, relid, AccessExclusiveLock);
		/* a partition does not go without its table */
		if (OidIsValid(relid) && get_rel_relispartition(relid) && state_is_to_go(lfirst(lc), before))
			want(&wanted, get_partition_parent(relid, true), AccessExclusiveLock);
		want_of_going(&wanted, lfirst(lc), before);
		if (strcmp(image->type, "index") == 0)
			want_of_index(&wanted, lfirst(lc), before);
	}
	foreach(lc, plan->commands)
	{
		foreach(inner, ((RecordedCommand *) lfirst(lc))->steps)
			want_of_step(&wanted, lfirst(inner));
	}
	list_sort(wanted, compare_wanted);
	return wanted;
}

List *
plan_locked_names(RollbackPlan *plan)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, plan_wanted(plan))
	{
		const Wanted *wanted = lfirst(lc);

		if (wanted->mode == AccessExclusiveLock)
			names = lappend(names, quote_qualified_identifier(get_namespace_name(get_rel_namespace(wanted->relid)),
															  get_rel_name(wanted->relid)));
	}
	return names;
}

static void
lock_all(List *wanted, Progress *progress)
{
	ListCell   *lc;

	foreach(lc, wanted)
	{
		const Wanted *one = lfirst(lc);

		if (progress)
			progress_lock(progress, foreach_current_index(lc), list_length(wanted), one->relid);
		LockRelationOid(one->relid, one->mode);
	}
}

typedef struct Locking
{
	List	   *wanted;
	Progress   *progress;
} Locking;

static bool
lock_under_timeout(void *arg)
{
	Locking    *locking = arg;
	int			level = NewGUCNestLevel();
	char		timeout[16];

	snprintf(timeout, sizeof(timeout), "%d", safemig_lock_timeout);
	(void) set_config_option("lock_timeout", timeout, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	lock_all(locking->wanted, locking->progress);
	AtEOXact_GUC(false, level);
	return true;
}

/*
 * One try; false if somebody else holds a lock.  Then what was held is free
 * again, so that the other one can go on.
 */
static bool
try_lock_all(List *wanted, Progress *progress)
{
	Locking		locking = {wanted, progress};
	ErrorData  *error = attempt(lock_under_timeout, &locking);

	if (error && error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE &&
		error->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED)
		ReThrowError(error);
	return error == NULL;
}

/* The strongest mode that is not in the way of this one. */
static int
harmless_up_to(LOCKMODE mode)
{
	switch (mode)
	{
		case AccessExclusiveLock:
			return NoLock;
		case ShareLock:
		case ShareRowExclusiveLock:
			return RowShareLock;
		default:
			Assert(mode == ShareUpdateExclusiveLock);
			return RowExclusiveLock;
	}
}

/* Who else has a lock there that is in the way, in words. */
static char *
lock_holders(List *wanted)
{
	Oid			types[2] = {OIDARRAYOID, INT4ARRAYOID};
	Datum		args[2];
	Datum	   *elems = palloc(sizeof(Datum) * Max(1, list_length(wanted)));
	Datum	   *harmless = palloc(sizeof(Datum) * Max(1, list_length(wanted)));
	MemoryContext context = CurrentMemoryContext;
	char	   *holders = NULL;
	ListCell   *lc;
	int			n = 0;

	foreach(lc, wanted)
	{
		elems[n] = ObjectIdGetDatum(((Wanted *) lfirst(lc))->relid);
		harmless[n++] = Int32GetDatum(harmless_up_to(((Wanted *) lfirst(lc))->mode));
	}
	args[0] = PointerGetDatum(construct_array(elems, n, OIDOID, sizeof(Oid),
											  true, TYPALIGN_INT));
	args[1] = PointerGetDatum(construct_array(harmless, n, INT4OID, sizeof(int32),
											  true, TYPALIGN_INT));
	SPI_connect();
	if (SPI_execute_with_args("SELECT pg_catalog.string_agg(pg_catalog.format('Process %s holds %s on %s.',"
							  " l.pid, l.mode, l.relation::pg_catalog.regclass), ' ' ORDER BY l.relation, l.pid)"
							  " FROM pg_catalog.pg_locks l JOIN ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS w(relation, harmless)"
							  " ON l.relation OPERATOR(pg_catalog.=) w.relation"
							  " WHERE l.locktype OPERATOR(pg_catalog.=) 'relation' AND l.granted"
							  " AND l.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()"
							  " AND l.database OPERATOR(pg_catalog.=) (SELECT d.oid FROM pg_catalog.pg_database d"
							  " WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())"
							  " AND COALESCE(pg_catalog.array_position(ARRAY['AccessShareLock', 'RowShareLock', 'RowExclusiveLock'],"
							  "  l.mode), 8) OPERATOR(pg_catalog.>) w.harmless",
							  2, types, args, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read pg_locks");
	if (SPI_processed == 1)
	{
		char	   *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

		holders = value ? MemoryContextStrdup(context, value) : NULL;
	}
	SPI_finish();
	return holders;
}

List *
plan_locked(RollbackPlan *plan)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, plan_wanted(plan))
		relids = lappend_oid(relids, ((Wanted *) lfirst(lc))->relid);
	return relids;
}

/* One rollback at a time; readers of the history are not in the way. */
static Wanted
wanted_of_rollbacks(void)
{
	Wanted		wanted = {get_relname_relid("incarnation",
											get_namespace_oid(SAFEMIG_SCHEMA, false)),
	ShareUpdateExclusiveLock, 0};

	return wanted;
}

/*
 * A session ends its transaction some time; a prepared one waits for somebody
 * to do so.
 */
List *
plan_lock_holders(RollbackPlan *plan)
{
	List	   *conflicts = NIL;
	MemoryContext context = CurrentMemoryContext;
	Wanted		own = wanted_of_rollbacks();
	ListCell   *lc;

	foreach(lc, lcons(&own, plan_wanted(plan)))
	{
		const Wanted *wanted = lfirst(lc);
		const char *object = wanted == &own ? "the lock of rollbacks" : NULL;
		Oid			types[2] = {OIDOID, INT4OID};
		Datum		args[2] = {ObjectIdGetDatum(wanted->relid), Int32GetDatum(harmless_up_to(wanted->mode))};

		SPI_connect();
		if (SPI_execute_with_args("SELECT l.relation::pg_catalog.regclass,"
								  " CASE WHEN p.gid IS NOT NULL THEN pg_catalog.format('is locked by prepared transaction %L in %s', p.gid, l.mode)"
								  " ELSE pg_catalog.format('is locked by process %s in %s%s, in a transaction for %s s', l.pid, l.mode,"
								  "  COALESCE(' (' || NULLIF(a.application_name, '') || ')', ''),"
								  "  COALESCE(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) a.xact_start)::pg_catalog.int8::pg_catalog.text, '?')) END,"
								  " CASE WHEN p.gid IS NOT NULL THEN pg_catalog.format('COMMIT PREPARED %L; -- or ROLLBACK PREPARED %1$L;', p.gid)"
								  " ELSE pg_catalog.format('SELECT pg_terminate_backend(%s); -- or wait until it ends', l.pid) END"
								  " FROM pg_catalog.pg_locks l"
								  " LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid OPERATOR(pg_catalog.=) l.pid"
								  " LEFT JOIN pg_catalog.pg_locks x ON l.pid IS NULL AND x.pid IS NULL"
								  "  AND x.locktype OPERATOR(pg_catalog.=) 'transactionid' AND x.virtualtransaction OPERATOR(pg_catalog.=) l.virtualtransaction"
								  " LEFT JOIN pg_catalog.pg_prepared_xacts p ON p.transaction OPERATOR(pg_catalog.=) x.transactionid"
								  " WHERE l.locktype OPERATOR(pg_catalog.=) 'relation' AND l.granted"
								  " AND l.relation OPERATOR(pg_catalog.=) $1"
								  " AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()"
								  " AND l.database OPERATOR(pg_catalog.=) (SELECT d.oid FROM pg_catalog.pg_database d"
								  " WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())"
								  " AND COALESCE(pg_catalog.array_position(ARRAY['AccessShareLock', 'RowShareLock', 'RowExclusiveLock'],"
								  "  l.mode), 8) OPERATOR(pg_catalog.>) $2"
								  " ORDER BY l.pid, l.mode",
								  2, types, args, NULL, true, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not read pg_locks");
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			MemoryContext old = MemoryContextSwitchTo(context);

			add_conflict(&conflicts, ERRCODE_SAFEMIG_LOCK,
						 object ? object :
						 SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1),
						 SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2),
						 NULL)->command =
				SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 3);
			MemoryContextSwitchTo(old);
		}
		SPI_finish();
	}
	return conflicts;
}

static void
lock_within_tries(List *wanted, const char *what, Progress *progress)
{
	char	   *holders;
	int			tries = 0;

	while (!try_lock_all(wanted, progress))
	{
		if (++tries < LOCK_TRIES)
			continue;
		holders = lock_holders(wanted);
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_LOCK),
				 errmsg("could not lock %s within %d tries of %d ms", what,
						LOCK_TRIES, safemig_lock_timeout),
				 errdetail_internal("%s%s", holders ? holders : "",
									holders ? " Nothing has been changed." : "Nothing has been changed."),
				 errhint("SELECT pid, query FROM pg_stat_activity WHERE state <> 'idle'; or raise safemig.lock_timeout.")));
	}
}

static void
lock_out_others(Progress *progress)
{
	Wanted		wanted = wanted_of_rollbacks();

	lock_within_tries(list_make1(&wanted), "out other rollbacks", progress);
}

void
rollback_lock(void)
{
	lock_out_others(NULL);
}

static bool
concerns_large_objects(RollbackPlan *plan)
{
	ListCell   *lc;

	foreach(lc, states_after(plan->commands))
	{
		if (((ObjectState *) lfirst(lc))->image->address.classId == LargeObjectRelationId)
			return true;
	}
	return false;
}

void
plan_lock(RollbackPlan *plan)
{
	lock_out_others(plan->progress);
	lock_within_tries(plan_wanted(plan), "the tables of the rollback", plan->progress);
	if (concerns_large_objects(plan))
	{
		Wanted		objects = {LargeObjectRelationId, ShareRowExclusiveLock, 0};

		lock_within_tries(list_make1(&objects), "large objects against writing", plan->progress);
	}
}
