/*-------------------------------------------------------------------------
 *
 * history.c
 *	  Migrations: which one a command belongs to, and their rows.
 *
 * In this order: the record of a rollback that runs; the explicit migration
 * that the session has open; the one under safemig.label; the one that this
 * transaction has begun by its first command.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"

#include "history/history.h"

/* ---- small tools ---- */

static Datum
optional_text(const char *value, bool *isnull)
{
	*isnull = value == NULL || value[0] == '\0';
	return *isnull ? (Datum) 0 : CStringGetTextDatum(value);
}

static Datum
id_array(List *ids)
{
	Datum	   *elems = palloc(sizeof(Datum) * Max(1, list_length(ids)));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, ids)
		elems[n++] = Int64GetDatum(*(int64 *) lfirst(lc));
	return PointerGetDatum(construct_array(elems, n, INT8OID, sizeof(int64),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * The database's present life: the row that CREATE EXTENSION made, the
 * cluster, the database.  A restore makes another row, pg_upgrade another
 * cluster, a copy by CREATE DATABASE another database.
 */
char *
history_incarnation(void)
{
	Relation	rel = history_open("incarnation", AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple = systable_getnext(scan);
	char	   *marker;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CAPTURE),
				 errmsg("table safemig.incarnation is empty")));
	marker = psprintf("%s/" UINT64_FORMAT "/%u",
					  TextDatumGetCString(heap_getattr(tuple, 1, RelationGetDescr(rel), &isnull)),
					  GetSystemIdentifier(), MyDatabaseId);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return marker;
}

/*
 * Do OIDs of relations, types and enum labels, and places of attributes and
 * rows, that were written down in that life hold now?  pg_upgrade and CREATE
 * DATABASE ... TEMPLATE take them along, and the row with the marker; a restore
 * makes a marker of its own.
 */
bool
history_oids_hold(const char *incarnation)
{
	char	   *now = history_incarnation();
	size_t		marker = strcspn(now, "/");

	return strcspn(incarnation, "/") == marker &&
		strncmp(incarnation, now, marker) == 0;
}

/* ---- new migrations ---- */

static const char *
client_address(void)
{
	LOCAL_FCINFO(fcinfo, 0);
	FmgrInfo	function;
	Datum		address;

	fmgr_info(F_INET_CLIENT_ADDR, &function);
	InitFunctionCallInfoData(*fcinfo, &function, 0, InvalidOid, NULL, NULL);
	address = FunctionCallInvoke(fcinfo);
	return fcinfo->isnull ? NULL :
		TextDatumGetCString(DirectFunctionCall1(network_host, address));
}

static char *
current_xid(void)
{
	return psprintf(UINT64_FORMAT, U64FromFullTransactionId(GetTopFullTransactionId()));
}

/* This session, told from others and from later ones with the same pid. */
char *
history_session(void)
{
	return psprintf("%d/" INT64_FORMAT, MyProcPid, (int64) MyStartTimestamp);
}

static int64
insert_migration(const char *kind, const char *label, const char *state,
				 List *rolls_back, const char *reason)
{
	int64		id = history_nextval("migration_id");
	Datum		values[24];
	bool		nulls[24] = {false};
	Oid			outer = GetOuterUserId();

	values[0] = Int64GetDatum(id);
	values[1] = CStringGetTextDatum(kind);
	values[2] = optional_text(label, &nulls[2]);
	values[3] = optional_text(strcmp(kind, "migration") == 0 ? safemig_state.framework : NULL,
							  &nulls[3]);
	nulls[4] = true;			/* version */
	values[5] = CStringGetTextDatum(state);
	values[6] = CStringGetTextDatum(GetUserNameFromId(outer, false));
	values[7] = CStringGetTextDatum(GetUserNameFromId(GetSessionUserId(), false));
	values[8] = optional_text(client_address(), &nulls[8]);
	values[9] = optional_text(application_name, &nulls[9]);
	values[10] = optional_text(reason, &nulls[10]);
	values[11] = TimestampTzGetDatum(GetCurrentTimestamp());
	nulls[12] = true;			/* finished_at */
	values[13] = CStringGetTextDatum(current_xid());
	values[14] = LSNGetDatum(RecoveryInProgress() ? InvalidXLogRecPtr : GetXLogInsertRecPtr());
	nulls[15] = true;			/* rolled_back_by */
	values[16] = id_array(rolls_back);
	nulls[16] = rolls_back == NIL;
	values[17] = Int64GetDatum(id);
	values[18] = CStringGetTextDatum(history_incarnation());
	values[19] = CStringGetTextDatum(history_session());
	/* history, line, previous, reverted_by */
	nulls[20] = nulls[21] = nulls[22] = nulls[23] = true;
	history_insert("migration_log", values, nulls, lengthof(values));
	CommandCounterIncrement();
	if (safemig_notes && safemig_notes[0])
		history_write_note(id, "notes", safemig_notes);
	return id;
}

int64
history_new_migration(const char *kind, const char *label, const char *state,
					  const char *reason)
{
	int64		id = insert_migration(kind, label, state, NIL,
									  reason ? reason : safemig_reason);

	state_save();
	safemig_state.last_id = id;
	return id;
}

/* The record of a rollback or a redo. */
int64
history_open_record(const char *kind, const char *label, List *rolls_back,
					const char *reason)
{
	int64		id = insert_migration(kind, label, "applied", rolls_back,
									  reason ? reason : safemig_reason);

	state_save();
	safemig_state.record_id = safemig_state.undone_id = id;
	safemig_state.last_id = id;
	return id;
}

/* ---- the current one ---- */

static bool
labelled_can_go_on(const char *label)
{
	Migration  *migration;

	if (safemig_state.labelled_id == 0 ||
		strcmp(safemig_state.labelled, label) != 0)
		return false;
	migration = history_get_migration(safemig_state.labelled_id, true);
	return migration && strcmp(migration->state, "applied") == 0 &&
		migration->effective == migration->id;
}

static bool
is_applied(int64 id)
{
	Migration  *migration = history_get_migration(id, true);

	return migration && strcmp(migration->state, "applied") == 0 &&
		migration->effective == id;
}

/* The one that something done now, under that label, is part of. */
int64
history_migration_under(const char *label)
{
	int64		id;

	if (safemig_state.record_id)
		return safemig_state.record_id;
	if (open_migration_id())
		return safemig_state.explicit_id;
	if (label && label[0])
	{
		if (labelled_can_go_on(label))
			return safemig_state.labelled_id;
		id = history_new_migration("migration", label, "applied", NULL);
		safemig_state.labelled_id = id;
		safemig_state.labelled = MemoryContextStrdup(TopMemoryContext, label);
		return id;
	}
	if (safemig_state.begun_id && is_applied(safemig_state.begun_id))
		return safemig_state.begun_id;
	if (safemig_state.xact_id)
	{
		Migration  *migration = history_get_migration(safemig_state.xact_id, true);

		/* taken back within this very transaction: what follows is new */
		if (migration && strcmp(migration->state, "applied") == 0)
			return safemig_state.xact_id;
	}
	id = history_new_migration("migration", NULL, "applied", NULL);
	safemig_state.xact_id = id;
	return id;
}

int64
history_current_migration(void)
{
	return history_migration_under(safemig_label);
}

int64
history_next_command(void)
{
	return history_nextval("command_seq");
}

/* ---- reading ---- */

/* The columns of migration_log that are read. */
enum
{
	MIGRATION_ID = 1,
	MIGRATION_KIND = 2,
	MIGRATION_LABEL = 3,
	MIGRATION_FRAMEWORK = 4,
	MIGRATION_VERSION = 5,
	MIGRATION_STATE = 6,
	MIGRATION_SESSION_ROLE = 8,
	MIGRATION_ROLLED_BACK_BY = 16,
	MIGRATION_ROLLS_BACK = 17,
	MIGRATION_EFFECTIVE = 18,
	MIGRATION_HISTORY = 21
};

static int64
int64_or_zero(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, column, desc, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static char *
text_or_null(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, column, desc, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static List *
ids_from_datum(Datum array)
{
	Datum	   *elems;
	int			nelems;
	List	   *ids = NIL;

	deconstruct_array(DatumGetArrayTypeP(array), INT8OID, sizeof(int64),
					  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elems, NULL, &nelems);
	for (int i = 0; i < nelems; i++)
	{
		int64	   *id = palloc(sizeof(int64));

		*id = DatumGetInt64(elems[i]);
		ids = lappend(ids, id);
	}
	return ids;
}

static Migration *
read_migration(HeapTuple tuple, TupleDesc desc)
{
	Migration  *migration = palloc0(sizeof(Migration));
	bool		isnull;
	Datum		rolls_back = heap_getattr(tuple, MIGRATION_ROLLS_BACK, desc, &isnull);

	migration->id = int64_or_zero(tuple, desc, MIGRATION_ID);
	migration->kind = text_or_null(tuple, desc, MIGRATION_KIND);
	migration->label = text_or_null(tuple, desc, MIGRATION_LABEL);
	migration->state = text_or_null(tuple, desc, MIGRATION_STATE);
	migration->session_role = text_or_null(tuple, desc, MIGRATION_SESSION_ROLE);
	migration->rolled_back_by = int64_or_zero(tuple, desc, MIGRATION_ROLLED_BACK_BY);
	migration->effective = int64_or_zero(tuple, desc, MIGRATION_EFFECTIVE);
	migration->framework = text_or_null(tuple, desc, MIGRATION_FRAMEWORK);
	migration->version = text_or_null(tuple, desc, MIGRATION_VERSION);
	migration->history = text_or_null(tuple, desc, MIGRATION_HISTORY);
	if (!isnull)
		migration->rolls_back = ids_from_datum(rolls_back);
	return migration;
}

/* Migrations for which the condition over migration_log m holds, newest first. */
List *
history_migrations(const char *where, int nargs, Oid *types, Datum *args)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *list = NIL;
	char	   *query = psprintf("SELECT m.* FROM safemig.migration_log m WHERE %s"
								 " ORDER BY m.id DESC", where);

	SPI_connect();
	if (SPI_execute_with_args(query, nargs, types, args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read migration_log");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		list = lappend(list, read_migration(SPI_tuptable->vals[i], SPI_tuptable->tupdesc));
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return list;
}

/* Asked by every command of a transaction but the first: without a query. */
Migration *
history_get_migration(int64 id, bool missing_ok)
{
	Migration  *migration = NULL;
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	/* what was done last is to be seen */
	CommandCounterIncrement();
	rel = history_open("migration_log", AccessShareLock);
	ScanKeyInit(&key, MIGRATION_ID, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	scan = systable_beginscan(rel, get_relname_relid("migration_log_pkey", RelationGetNamespace(rel)),
							  true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		migration = read_migration(tuple, RelationGetDescr(rel));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (migration == NULL && !missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_UNKNOWN),
				 errmsg("migration %lld does not exist", (long long) id),
				 errhint("SELECT id, label, state, started_at FROM safemig.migrations ORDER BY id DESC;")));
	return migration;
}

/* ---- changing ---- */

void
history_set_state(int64 id, const char *state)
{
	Oid			types[3] = {INT8OID, TEXTOID, TIMESTAMPTZOID};
	Datum		args[3] = {Int64GetDatum(id), CStringGetTextDatum(state),
	TimestampTzGetDatum(GetCurrentTimestamp())};

	SPI_connect();
	if (SPI_execute_with_args("UPDATE safemig.migration_log SET state = $2, finished_at = $3"
							  " WHERE id OPERATOR(pg_catalog.=) $1",
							  3, types, args, NULL, false, 0) != SPI_OK_UPDATE ||
		SPI_processed != 1)
		elog(ERROR, "could not update migration_log");
	SPI_finish();
}

/* Of a migration that was begun for rows which came to nothing. */
bool
history_forget_if_empty(int64 id)
{
	Oid			type = INT8OID;
	Datum		arg = Int64GetDatum(id);
	bool		forgotten;

	SPI_connect();
	if (SPI_execute_with_args("DELETE FROM safemig.migration_log"
							  " WHERE id OPERATOR(pg_catalog.=) $1 AND label IS NULL"
							  " AND state OPERATOR(pg_catalog.=) 'applied'"
							  " AND NOT EXISTS (SELECT FROM safemig.command_log c"
							  "  WHERE c.migration OPERATOR(pg_catalog.=) $1)",
							  1, &type, &arg, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not update migration_log");
	forgotten = SPI_processed > 0;
	SPI_finish();
	return forgotten;
}

static void
insert_writer(int64 migration, Datum *xids, int nxids)
{
	Oid			types[2] = {INT8OID, INT8ARRAYOID};
	Datum		args[2] = {Int64GetDatum(migration)};

	args[1] = PointerGetDatum(construct_array(xids, nxids, INT8OID, sizeof(int64),
											  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	SPI_connect();
	if (SPI_execute_with_args("INSERT INTO safemig.writer_log VALUES ($1, $2)",
							  2, types, args, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write writer_log");
	SPI_finish();
}

/* Another transaction, which has committed, wrote rows of it. */
void
history_note_writer_xid(int64 migration, int64 xid)
{
	Datum		xids[1] = {Int64GetDatum(xid)};

	insert_writer(migration, xids, 1);
}

/* To be called when the transaction is about to commit. */
void
history_note_writer(int64 migration)
{
	FullTransactionId next = ReadNextFullTransactionId();
	TransactionId *children;
	int			nchildren = xactGetCommittedChildren(&children);
	Datum	   *xids = palloc((nchildren + 1) * sizeof(Datum));

	xids[0] = UInt64GetDatum(U64FromFullTransactionId(GetTopFullTransactionId()));
	for (int i = 0; i < nchildren; i++)
	{
		uint32		epoch = EpochFromFullTransactionId(next);

		if (children[i] > XidFromFullTransactionId(next))
			epoch--;
		xids[i + 1] = UInt64GetDatum(U64FromFullTransactionId(FullTransactionIdFromEpochAndXid(epoch, children[i])));
	}
	insert_writer(migration, xids, nchildren + 1);
}

/* DROP EXTENSION would leave the vault without the history that explains it. */
void
history_refuse_drop_while_kept(void)
{
	int64		kept;
	bool		isnull;

	SPI_connect();
	if (SPI_execute("SELECT pg_catalog.count(*) FROM safemig.kept_log"
					" WHERE state OPERATOR(pg_catalog.=) 'kept' AND vault_schema IS NOT NULL",
					true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read kept_log");
	kept = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
									   SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	if (kept > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("extension \"safemig\" keeps data of %lld dropped or changed objects",
						(long long) kept),
				 errdetail("Without the extension it could no longer be put back."),
				 errhint("SET safemig.allow_drop = on to drop it all the same; the schemas %s* then stay as plain schemas.",
						 SAFEMIG_VAULT_PREFIX)));
}
