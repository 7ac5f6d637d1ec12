/*-------------------------------------------------------------------------
 *
 * expire.c
 *	  What is old goes: safemig_prune_older at once; safemig_prune_expired, and
 *	  the worker of retention.c, what safemig.retention says has expired, in
 *	  two steps.
 *
 * What has expired is marked first, and pruned when it has been marked for
 * safemig.retention_grace: so there is a time in which anybody can see what is
 * about to go, and say that it is to stay.  What is pinned or guarded
 * meanwhile, or no longer old because the setting is another one, loses its
 * mark.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guard/guard.h"
#include "rollback/rollback.h"

PG_FUNCTION_INFO_V1(safemig_prune_older);
PG_FUNCTION_INFO_V1(safemig_prune_expired);

/*
 * Oldest first: a table in the vault may have a column of a type that was
 * dropped, and is kept, later.
 */
static List *
older_than(Interval *interval)
{
	Oid			type = INTERVALOID;
	Datum		arg = IntervalPGetDatum(interval);
	List	   *found = history_migrations("COALESCE(m.finished_at, m.started_at) OPERATOR(pg_catalog.<)"
										   " (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) $1)"
										   " AND EXISTS (SELECT FROM safemig.kept_log k"
										   " WHERE k.migration OPERATOR(pg_catalog.=) m.id"
										   " AND k.state OPERATOR(pg_catalog.=) 'kept' AND k.vault_name IS NOT NULL)"
										   " AND NOT EXISTS (SELECT" PINS("m.id") ")"
										   " AND NOT EXISTS (SELECT FROM safemig.guard_log g"
										   " JOIN safemig.migration_log x ON x.id OPERATOR(pg_catalog.=) g.migration"
										   " WHERE" GUARD_WATCHES("g.state")
										   " AND (x.id OPERATOR(pg_catalog.=) m.id OR x.effective OPERATOR(pg_catalog.=) m.id))",
										   1, &type, &arg);
	List	   *oldest_first = NIL;
	ListCell   *lc;

	foreach(lc, found)
	{
		Migration  *migration = lfirst(lc);

		if (!migration_is_open(migration))
			oldest_first = lcons(migration, oldest_first);
	}
	return oldest_first;
}

typedef struct Pruning
{
	Migration  *migration;
	const char *reason;
	int64		bytes;
} Pruning;

static bool
prune_one(void *arg)
{
	Pruning    *pruning = arg;

	pruning->bytes = prune_records(pruning->migration, list_make1(&pruning->migration->id),
								   pruning->reason);
	return true;
}

/* What something pinned still needs stays, and that is said: -1. */
static int64
prune_unless_needed(Migration *migration, const char *reason)
{
	Pruning		pruning = {migration, reason, 0};
	ErrorData  *error = attempt(prune_one, &pruning);

	if (error == NULL)
		return pruning.bytes;
	if (error->sqlerrcode != ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST)
		ReThrowError(error);
	ereport(WARNING,
			(errmsg("migration %lld was not pruned: %s",
					(long long) migration->id, error->message)));
	return -1;
}

/* ---- at once ---- */

static void
check_interval(Interval *interval, const char *what)
{
	Interval	zero = {0};

	if (DatumGetBool(DirectFunctionCall2(interval_lt, IntervalPGetDatum(interval),
										 IntervalPGetDatum(&zero))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be negative", what)));
}

static void
check_may_prune_all(void)
{
	if (!is_administrator(GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to prune what others keep"),
				 errhint("safemig_prune(id) prunes one migration. GRANT EXECUTE ON FUNCTION safemig_administer() allows all.")));
}

static int64
prune_older(Interval *interval, const char *reason)
{
	Frame		frame;
	int64		bytes = 0;
	List	   *old;
	ListCell   *lc;

	check_interval(interval, "older_than");
	check_may_prune_all();
	frame_become_owner(&frame);
	own_work_begin();
	rollback_lock();
	old = older_than(interval);
	if (old == NIL && safemig_notices)
		ereport(NOTICE, (errmsg("there is nothing to prune")));
	foreach(lc, old)
	{
		int64		freed = prune_unless_needed(lfirst(lc), reason);

		bytes += freed > 0 ? freed : 0;
	}
	own_work_end();
	frame_unpin(&frame);
	return bytes;
}

Datum
safemig_prune_older(PG_FUNCTION_ARGS)
{
	check_not_null(fcinfo, 0, "older_than");
	check_can_write("safemig_prune_older()");
	PG_RETURN_INT64(prune_older(PG_GETARG_INTERVAL_P(0), text_argument(fcinfo, 1)));
}

/* ---- marked first ---- */

static Interval *
interval_setting(const char *value)
{
	return DatumGetIntervalP(DirectFunctionCall3(interval_in, CStringGetDatum(value),
												 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

static Datum
ids_of(List *migrations)
{
	Datum	   *ids = palloc(sizeof(Datum) * Max(1, list_length(migrations)));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, migrations)
		ids[n++] = Int64GetDatum(((Migration *) lfirst(lc))->id);
	return PointerGetDatum(construct_array(ids, n, INT8OID, sizeof(int64),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static void
change_marks(const char *command, int expected, int nargs, Oid *types, Datum *args)
{
	SPI_connect();
	if (SPI_execute_with_args(command, nargs, types, args, NULL, false, 0) != expected)
		elog(ERROR, "could not write expiry_log");
	SPI_finish();
}

/* These and no others are marked from now on. */
static void
mark(List *expired)
{
	Oid			types[2] = {INT8ARRAYOID, INTERVALOID};
	Datum		args[2] = {ids_of(expired), (Datum) 0};

	change_marks("DELETE FROM safemig.expiry_log e WHERE e.migration OPERATOR(pg_catalog.<>) ALL ($1)",
				 SPI_OK_DELETE, 1, types, args);
	if (expired == NIL)
		return;
	args[1] = IntervalPGetDatum(interval_setting(safemig_retention_grace));
	change_marks("INSERT INTO safemig.expiry_log (migration, marked_at, prune_after)"
				 " SELECT i, t.now, t.now OPERATOR(pg_catalog.+) $2"
				 " FROM pg_catalog.unnest($1) AS i, (SELECT pg_catalog.clock_timestamp() AS now) AS t"
				 " ON CONFLICT (migration) DO NOTHING",
				 SPI_OK_INSERT, 2, types, args);
}

static bool
is_due(const Migration *migration)
{
	Oid			type = INT8OID;
	Datum		arg = Int64GetDatum(migration->id);
	bool		due;

	SPI_connect();
	if (SPI_execute_with_args("SELECT FROM safemig.expiry_log e WHERE e.migration OPERATOR(pg_catalog.=) $1"
							  " AND e.prune_after OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp()",
							  1, &type, &arg, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read expiry_log");
	due = SPI_processed > 0;
	SPI_finish();
	return due;
}

static void
unmark(const Migration *migration)
{
	Oid			type = INT8OID;
	Datum		arg = Int64GetDatum(migration->id);

	change_marks("DELETE FROM safemig.expiry_log e WHERE e.migration OPERATOR(pg_catalog.=) $1",
				 SPI_OK_DELETE, 1, &type, &arg);
}

/* In the owner's frame. */
Expiry
expire(int limit, const char *reason)
{
	Expiry		result = {0};
	List	   *expired = NIL;
	ListCell   *lc;

	rollback_lock();
	if (strcmp(safemig_retention, "never") != 0)
	{
		Interval   *retention = interval_setting(safemig_retention);

		check_interval(retention, "safemig.retention");
		expired = older_than(retention);
	}
	mark(expired);
	result.marked = list_length(expired);
	foreach(lc, expired)
	{
		int64		bytes;

		if (!is_due(lfirst(lc)))
			continue;
		if (limit != 0 && result.pruned == limit)
			break;
		bytes = prune_unless_needed(lfirst(lc), reason);
		if (bytes < 0)
			continue;
		unmark(lfirst(lc));
		result.bytes += bytes;
		result.pruned++;
		result.marked--;
	}
	return result;
}

static void
report_expiry(const Expiry *expiry)
{
	if (!safemig_notices)
		return;
	if (strcmp(safemig_retention, "never") == 0)
		ereport(NOTICE,
				(errmsg("nothing expires: safemig.retention is never")));
	else if (expiry->marked > 0)
		ereport(NOTICE,
				(errmsg("what %d of the migrations keep has expired, and is marked", expiry->marked),
				 errhint("SELECT * FROM safemig.expiring; says when it is pruned. safemig_keep(id, until) keeps it.")));
	else if (expiry->pruned == 0)
		ereport(NOTICE, (errmsg("there is nothing to prune")));
}

/* For a job that runs every night. */
Datum
safemig_prune_expired(PG_FUNCTION_ARGS)
{
	Expiry		expiry;
	Frame		frame;

	check_can_write("safemig_prune_expired()");
	check_may_prune_all();
	frame_become_owner(&frame);
	own_work_begin();
	expiry = expire(0, text_argument(fcinfo, 0));
	own_work_end();
	frame_unpin(&frame);
	report_expiry(&expiry);
	PG_RETURN_INT64(expiry.bytes);
}
