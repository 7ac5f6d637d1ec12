/*-------------------------------------------------------------------------
 *
 * prune.c
 *	  The end of what is kept: safemig_prune, safemig_prune_kept, and
 *	  safemig_keep, which puts it off.  What is old is for expire.c.
 *
 * What is pruned cannot be put back by anything but a backup.  So nothing is
 * pruned that is pinned, or that another migration's kept data needs; and who
 * pruned what, when and why stays in the history.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guard/guard.h"
#include "point.h"
#include "rollback/rollback.h"

PG_FUNCTION_INFO_V1(safemig_prune);
PG_FUNCTION_INFO_V1(safemig_prune_kept);
PG_FUNCTION_INFO_V1(safemig_keep);

/* ---- which records, and what they keep ---- */

static bool
is_migration(const Migration *migration)
{
	return strcmp(migration->kind, "migration") == 0 ||
		strcmp(migration->kind, "snapshot") == 0;
}

/*
 * A migration that was redone is kept by the record of the redo; what it kept
 * itself, before, is left over.
 */
static List *
records_of(Migration *migration)
{
	List	   *records = list_make1(&migration->id);

	if (is_migration(migration) && migration->effective != migration->id)
	{
		check_shares_record(list_make1(migration));
		records = lappend(records, &migration->effective);
	}
	return records;
}

/* What of them lies in the vault; positions of sequences do not. */
static List *
kept_by(List *records)
{
	Oid			type = INT8OID;
	List	   *all = NIL;
	ListCell   *lc;
	ListCell   *one;

	foreach(lc, records)
	{
		Datum		arg = Int64GetDatum(*(int64 *) lfirst(lc));
		List	   *kept = history_kept_where("k.migration OPERATOR(pg_catalog.=) $1"
											  " AND k.state OPERATOR(pg_catalog.=) 'kept'"
											  " AND k.vault_schema IS NOT NULL AND k.vault_name IS NOT NULL",
											  1, &type, &arg, NULL);
		List	   *newest_first = NIL;

		foreach(one, kept)
			newest_first = lcons(lfirst(one), newest_first);
		all = list_concat(all, newest_first);
	}
	return all;
}

/* ---- whether ---- */

static void
check_not_open(const Migration *migration)
{
	if (migration_is_open(migration))
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("migration %lld is still open", (long long) migration->id),
				 errhint("Its session has to call safemig_end() or safemig_abort() first.")));
}

static void
check_not_pinned(const Migration *migration)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			type = INT8OID;
	Datum		arg = Int64GetDatum(migration->id);
	char	   *role = NULL;
	int64		pinned = 0;

	SPI_connect();
	if (SPI_execute_with_args("SELECT p.role, p.migration" PINS("$1"),
							  1, &type, &arg, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read pin_log");
	if (SPI_processed > 0)
	{
		role = MemoryContextStrdup(context,
								   SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
		pinned = strtoll(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2), NULL, 10);
	}
	SPI_finish();
	if (role)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("what migration %lld keeps may not be pruned yet",
						(long long) migration->id),
				 errdetail("\"%s\" has asked to keep migration %lld: see kept_until in safemig.migrations.",
						   role, (long long) pinned),
				 errhint("SELECT safemig_keep(%lld, NULL); allows it.", (long long) pinned)));
}

/* A guard is about to need it, or not; also where a redo keeps it. */
static void
check_not_guarded(const Migration *migration)
{
	ListCell   *lc;

	foreach(lc, guards_watching())
	{
		int64		id = ((Guard *) lfirst(lc))->migration;
		const Migration *guarded = history_get_migration(id, true);

		if (guarded == NULL ||
			(id != migration->id && guarded->effective != migration->id))
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("what migration %lld keeps may not be pruned yet",
						(long long) migration->id),
				 errdetail("Migration %lld is guarded: see safemig.guards.", (long long) id),
				 errhint("SELECT safemig_unguard(%lld); ends that.", (long long) id)));
	}
}

/* ---- and away with it ---- */

static void
note_pruned(List *kept, int64 migration, const char *reason)
{
	Datum		values[6];
	bool		nulls[6] = {false};
	ListCell   *lc;

	foreach(lc, kept)
	{
		Kept	   *one = lfirst(lc);

		history_set_kept_state(one->id, "pruned");
		values[0] = Int64GetDatum(one->id);
		values[1] = Int64GetDatum(migration);
		values[2] = Int64GetDatum(one->bytes);
		values[3] = CStringGetTextDatum(GetUserNameFromId(GetOuterUserId(), false));
		nulls[4] = reason == NULL;
		values[4] = reason ? CStringGetTextDatum(reason) : (Datum) 0;
		values[5] = TimestampTzGetDatum(GetCurrentTimestamp());
		history_insert("prune_log", values, nulls, lengthof(values));
	}
	CommandCounterIncrement();
}

static void
report_pruned(const Migration *migration, List *kept)
{
	const char *lost = "";

	if (!safemig_notices)
		return;
	if (kept == NIL)
	{
		ereport(NOTICE,
				(errmsg("migration %lld keeps nothing that could be pruned", (long long) migration->id)));
		return;
	}
	if (is_migration(migration) && strcmp(migration->state, "rolled_back") != 0)
		lost = said(", it can no longer be rolled back");
	else if (strcmp(migration->kind, "rollback") == 0 && strcmp(migration->state, "applied") == 0)
		lost = said(", what it took back can no longer be redone");
	ereport(NOTICE,
			(errmsg_plural("pruned %d thing kept by migration %lld%s",
						   "pruned %d things kept by migration %lld%s",
						   list_length(kept), list_length(kept),
						   (long long) migration->id, lost)));
}

/* Returns the bytes that lay there. */
int64
prune_records(Migration *migration, List *records, const char *reason)
{
	List	   *kept = kept_by(records);
	int64		bytes = 0;
	ListCell   *lc;

	vault_discard(kept);
	SAFEMIG_POINT("prune.discarded");
	note_pruned(kept, migration->id, reason);
	SAFEMIG_POINT("prune.noted");
	foreach(lc, kept)
		bytes += ((Kept *) lfirst(lc))->bytes;
	report_pruned(migration, kept);
	return bytes;
}

static void
check_rights(Migration *migration)
{
	List	   *commands;
	Frame		frame;

	frame_become_owner(&frame);
	commands = history_commands(list_make1(&migration->id));
	frame_unpin(&frame);
	commands_check_rights(commands);
}

Datum
safemig_prune(PG_FUNCTION_ARGS)
{
	char	   *reason = text_argument(fcinfo, 1);
	Migration  *migration;
	Frame		frame;
	int64		bytes;

	check_not_null(fcinfo, 0, "id");
	check_can_write("safemig_prune()");
	migration = resolve_id(PG_GETARG_INT64(0));
	check_rights(migration);
	frame_become_owner(&frame);
	own_work_begin();
	rollback_lock();
	check_not_open(migration);
	check_not_pinned(migration);
	check_not_guarded(migration);
	bytes = prune_records(migration, records_of(migration), reason);
	own_work_end();
	frame_unpin(&frame);
	PG_RETURN_INT64(bytes);
}

/* ---- one thing ---- */

/* A partition goes with its table, a sequence with what owns it. */
static List *
gone_from(List *kept)
{
	List	   *gone = NIL;
	ListCell   *lc;

	foreach(lc, kept)
	{
		if (!vault_holds(lfirst(lc)))
			gone = lappend(gone, lfirst(lc));
	}
	return gone;
}

static int64
prune_kept(Kept *kept, const Migration *migration, const char *reason)
{
	List	   *others = kept_by(list_make1(&kept->migration));
	List	   *before = gone_from(others);
	List	   *gone;
	int64		bytes = 0;
	ListCell   *lc;

	if (strcmp(kept->state, "kept") != 0 || kept->vault_name == NULL)
	{
		report_pruned(migration, NIL);
		return 0;
	}
	vault_discard(list_make1(kept));
	gone = gone_from(others);
	/* what was lost before is not of this call, but for what it asks for */
	foreach(lc, before)
	{
		if (((Kept *) lfirst(lc))->id != kept->id)
			gone = list_delete_ptr(gone, lfirst(lc));
	}
	note_pruned(gone, migration->id, reason);
	foreach(lc, gone)
		bytes += ((Kept *) lfirst(lc))->bytes;
	report_pruned(migration, gone);
	return bytes;
}

Datum
safemig_prune_kept(PG_FUNCTION_ARGS)
{
	char	   *reason = text_argument(fcinfo, 1);
	Migration  *migration;
	Kept	   *kept;
	Frame		frame;
	int64		bytes;

	check_not_null(fcinfo, 0, "kept");
	check_can_write("safemig_prune_kept()");
	frame_become_owner(&frame);
	kept = history_get_kept(PG_GETARG_INT64(0));
	frame_unpin(&frame);
	migration = resolve_id(kept->migration);
	check_rights(migration);
	frame_become_owner(&frame);
	own_work_begin();
	rollback_lock();
	/* somebody may have been quicker */
	kept = history_get_kept(PG_GETARG_INT64(0));
	check_not_open(migration);
	check_not_pinned(migration);
	check_not_guarded(migration);
	bytes = prune_kept(kept, migration, reason);
	own_work_end();
	frame_unpin(&frame);
	PG_RETURN_INT64(bytes);
}

/* ---- not yet ---- */

static void
pin(int64 migration, TimestampTz until, const char *reason)
{
	Oid			types[5] = {INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Datum		args[5] = {Int64GetDatum(migration), TimestampTzGetDatum(until),
		CStringGetTextDatum(GetUserNameFromId(GetOuterUserId(), false)),
	reason ? CStringGetTextDatum(reason) : (Datum) 0, TimestampTzGetDatum(GetCurrentTimestamp())};
	char		nulls[5] = {' ', ' ', ' ', reason ? ' ' : 'n', ' '};

	SPI_connect();
	if (SPI_execute_with_args("INSERT INTO safemig.pin_log AS p (migration, until, role, reason, pinned_at)"
							  " VALUES ($1, $2, $3, $4, $5)"
							  " ON CONFLICT (migration) DO UPDATE SET until = EXCLUDED.until,"
							  " role = EXCLUDED.role, reason = EXCLUDED.reason, pinned_at = EXCLUDED.pinned_at",
							  5, types, args, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write pin_log");
	SPI_finish();
}

static void
unpin(int64 migration)
{
	Oid			type = INT8OID;
	Datum		arg = Int64GetDatum(migration);

	SPI_connect();
	if (SPI_execute_with_args("DELETE FROM safemig.pin_log WHERE migration OPERATOR(pg_catalog.=) $1",
							  1, &type, &arg, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not remove from pin_log");
	SPI_finish();
}

Datum
safemig_keep(PG_FUNCTION_ARGS)
{
	char	   *reason = text_argument(fcinfo, 2);
	Migration  *migration;
	Frame		frame;

	check_not_null(fcinfo, 0, "id");
	if (!PG_ARGISNULL(1) && PG_GETARG_TIMESTAMPTZ(1) <= GetCurrentTimestamp())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("until must be in the future"),
				 errhint("NULL ends what was asked for before.")));
	migration = resolve_id(PG_GETARG_INT64(0));
	check_rights(migration);
	frame_become_owner(&frame);
	own_work_begin();
	rollback_lock();
	if (PG_ARGISNULL(1))
		unpin(migration->id);
	else
		pin(migration->id, PG_GETARG_TIMESTAMPTZ(1), reason);
	own_work_end();
	frame_unpin(&frame);
	PG_RETURN_VOID();
}
