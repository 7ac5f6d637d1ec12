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

#include "catalog/namespace.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "rollback/rollback.h"

#define LOCK_TRIES 3

static int
compare_oids(const ListCell *a, const ListCell *b)
{
	Oid			x = lfirst_oid(a);
	Oid			y = lfirst_oid(b);

	return x < y ? -1 : (x > y ? 1 : 0);
}

/* The relations that the plan's statements are about, and those they live in. */
static List *
plan_relations(RollbackPlan *plan)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, states_after(plan->commands))
	{
		ObjectState *state = lfirst(lc);
		const char *identity = state->image->address.classId == RelationRelationId ?
		state->image->identity : state->image->parent_identity;
		Oid			relid;
		char		relkind;

		if (identity == NULL || strcmp(state->image->type, "domain constraint") == 0)
			continue;
		relid = RangeVarGetRelid(makeRangeVarFromNameList(qualified_name_list(identity)),
								 NoLock, true);
		relkind = OidIsValid(relid) ? get_rel_relkind(relid) : '\0';
		if (relkind != '\0' && relkind != RELKIND_INDEX &&
			relkind != RELKIND_PARTITIONED_INDEX)
			relids = list_append_unique_oid(relids, relid);
	}
	list_sort(relids, compare_oids);
	return relids;
}

List *
plan_locked_names(RollbackPlan *plan)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, plan_relations(plan))
		names = lappend(names, quote_qualified_identifier(get_namespace_name(get_rel_namespace(lfirst_oid(lc))),
														  get_rel_name(lfirst_oid(lc))));
	return names;
}

static void
lock_all(List *relids, LOCKMODE mode)
{
	ListCell   *lc;

	foreach(lc, relids)
		LockRelationOid(lfirst_oid(lc), mode);
}

/* One try, under lock_timeout; false if somebody else holds a lock. */
static bool
try_lock_all(List *relids, LOCKMODE mode)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool locked = true;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		int			level = NewGUCNestLevel();
		char		timeout[16];

		snprintf(timeout, sizeof(timeout), "%d", safemig_lock_timeout);
		(void) set_config_option("lock_timeout", timeout, PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
		lock_all(relids, mode);
		AtEOXact_GUC(false, level);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		int			sqlstate = geterrcode();

		MemoryContextSwitchTo(context);
		RollbackAndReleaseCurrentSubTransaction();
		CurrentResourceOwner = owner;
		if (sqlstate != ERRCODE_LOCK_NOT_AVAILABLE)
			PG_RE_THROW();
		FlushErrorState();
		locked = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return locked;
}

/* Who else has a lock there that this mode conflicts with, in words. */
static char *
lock_holders(List *relids, LOCKMODE mode)
{
	Oid			types[2] = {OIDARRAYOID, BOOLOID};
	Datum		args[2];
	Datum	   *elems = palloc(sizeof(Datum) * Max(1, list_length(relids)));
	MemoryContext context = CurrentMemoryContext;
	char	   *holders = NULL;
	ListCell   *lc;
	int			n = 0;

	foreach(lc, relids)
		elems[n++] = ObjectIdGetDatum(lfirst_oid(lc));
	args[0] = PointerGetDatum(construct_array(elems, n, OIDOID, sizeof(Oid),
											  true, TYPALIGN_INT));
	args[1] = BoolGetDatum(mode == AccessExclusiveLock);
	SPI_connect();
	if (SPI_execute_with_args("SELECT pg_catalog.string_agg(pg_catalog.format('Process %s holds %s on %s.',"
							  " l.pid, l.mode, l.relation::pg_catalog.regclass), ' ' ORDER BY l.relation, l.pid)"
							  " FROM pg_catalog.pg_locks l WHERE l.locktype OPERATOR(pg_catalog.=) 'relation'"
							  " AND l.granted AND l.relation OPERATOR(pg_catalog.=) ANY ($1)"
							  " AND l.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()"
							  " AND l.database OPERATOR(pg_catalog.=) (SELECT d.oid FROM pg_catalog.pg_database d"
							  " WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())"
							  " AND ($2 OR l.mode OPERATOR(pg_catalog.<>) ALL"
							  " (ARRAY['AccessShareLock', 'RowShareLock', 'RowExclusiveLock']))",
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

static void
lock_within_tries(List *relids, LOCKMODE mode, const char *what)
{
	char	   *holders;
	int			tries = 0;

	while (!try_lock_all(relids, mode))
	{
		if (++tries < LOCK_TRIES)
			continue;
		holders = lock_holders(relids, mode);
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_LOCK),
				 errmsg("could not lock %s within %d tries of %d ms", what,
						LOCK_TRIES, safemig_lock_timeout),
				 errdetail_internal("%s%s", holders ? holders : "",
									holders ? " Nothing has been changed." : "Nothing has been changed."),
				 errhint("SELECT pid, query FROM pg_stat_activity WHERE state <> 'idle'; or raise safemig.lock_timeout.")));
	}
}

void
rollback_lock(void)
{
	Oid			own = get_relname_relid("incarnation",
										get_namespace_oid(SAFEMIG_SCHEMA, false));

	/* one rollback at a time; readers of the history are not in the way */
	lock_within_tries(list_make1_oid(own), ShareUpdateExclusiveLock,
					  "out other rollbacks");
}

void
plan_lock(RollbackPlan *plan)
{
	rollback_lock();
	lock_within_tries(plan_relations(plan), AccessExclusiveLock,
					  "the tables of the rollback");
}
