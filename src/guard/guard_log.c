/*-------------------------------------------------------------------------
 *
 * guard_log.c
 *	  safemig.guard_log: what is watched, and how it ended.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guard/guard.h"
#include "history/history.h"
#include "safemig.h"

#define COLUMNS \
	"g.id, g.migration, g.state, g.session_role, g.role, g.check_query, g.search_path," \
	" (EXTRACT(epoch FROM g.every) * 1000000)::pg_catalog.int8, g.failures, g.confirm," \
	" g.confirmed_at IS NOT NULL, g.on_conflict, g.deadline, g.checked_at, g.failed, g.tries, g.problem"

static char *
text_of(HeapTuple tuple, TupleDesc desc, int column)
{
	return SPI_getvalue(tuple, desc, column);
}

static int64
int64_of(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, desc, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static int
int32_of(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;

	return DatumGetInt32(SPI_getbinval(tuple, desc, column, &isnull));
}

static bool
bool_of(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;

	return DatumGetBool(SPI_getbinval(tuple, desc, column, &isnull));
}

static Guard *
read_guard(HeapTuple tuple, TupleDesc desc)
{
	Guard	   *guard = palloc0(sizeof(Guard));
	int			column = 1;

	guard->id = int64_of(tuple, desc, column++);
	guard->migration = int64_of(tuple, desc, column++);
	guard->state = text_of(tuple, desc, column++);
	guard->session_role = text_of(tuple, desc, column++);
	guard->role = text_of(tuple, desc, column++);
	guard->check_query = text_of(tuple, desc, column++);
	guard->search_path = text_of(tuple, desc, column++);
	guard->every = int64_of(tuple, desc, column++);
	guard->failures = int32_of(tuple, desc, column++);
	guard->confirm = bool_of(tuple, desc, column++);
	guard->confirmed = bool_of(tuple, desc, column++);
	guard->on_conflict = text_of(tuple, desc, column++);
	guard->deadline = int64_of(tuple, desc, column++);
	guard->checked_at = int64_of(tuple, desc, column++);
	guard->failed = int32_of(tuple, desc, column++);
	guard->tries = int32_of(tuple, desc, column++);
	guard->problem = text_of(tuple, desc, column++);
	return guard;
}

/* In the memory of the caller. */
static List *
read_guards(const char *query, int nargs, Oid *types, Datum *args)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *guards = NIL;

	SPI_connect();
	if (SPI_execute_with_args(query, nargs, types, args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read guard_log");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		guards = lappend(guards, read_guard(SPI_tuptable->vals[i], SPI_tuptable->tupdesc));
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return guards;
}

Guard *
guard_get(int64 id, bool for_update)
{
	Oid			type = INT8OID;
	Datum		arg = Int64GetDatum(id);
	List	   *guards = read_guards(for_update ?
									 "SELECT " COLUMNS " FROM safemig.guard_log g WHERE g.id OPERATOR(pg_catalog.=) $1 FOR UPDATE" :
									 "SELECT " COLUMNS " FROM safemig.guard_log g WHERE g.id OPERATOR(pg_catalog.=) $1",
									 1, &type, &arg);

	return guards ? linitial(guards) : NULL;
}

/* Locked, as whoever asks is about to end it, or to make another one. */
Guard *
guard_of_migration(int64 migration)
{
	Oid			type = INT8OID;
	Datum		arg = Int64GetDatum(migration);
	List	   *guards = read_guards("SELECT " COLUMNS " FROM safemig.guard_log g"
									 " WHERE g.migration OPERATOR(pg_catalog.=) $1 AND" GUARD_WATCHES("g.state") " FOR UPDATE",
									 1, &type, &arg);

	return guards ? linitial(guards) : NULL;
}

List *
guards_watching(void)
{
	Oid			type = TEXTOID;
	Datum		arg = CStringGetTextDatum(history_incarnation());

	/* a copy of the database is nobody's to watch */
	return read_guards("SELECT " COLUMNS " FROM safemig.guard_log g WHERE" GUARD_WATCHES("g.state")
					   " AND g.incarnation OPERATOR(pg_catalog.=) $1 ORDER BY g.id",
					   1, &type, &arg);
}

bool
guard_is_over(const Guard *guard)
{
	return strcmp(guard->state, GUARD_WATCHING) != 0 && strcmp(guard->state, GUARD_ALARM) != 0;
}

static Datum
text_or_null(const char *text, char *null)
{
	*null = text ? ' ' : 'n';
	return text ? CStringGetTextDatum(text) : (Datum) 0;
}

static Datum
interval_of(int64 microseconds)
{
	Interval   *interval = palloc0(sizeof(Interval));

	interval->time = microseconds;
	return IntervalPGetDatum(interval);
}

/* By SPI: the table has an index with a condition. */
int64
guard_insert(const Guard *guard, int64 within, const char *reason)
{
	Oid			types[15] = {INT8OID, INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INTERVALOID, INTERVALOID,
	INT4OID, BOOLOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		args[15];
	char		nulls[15];
	int64		id = history_nextval("guard_id");
	int			n = 0;

	memset(nulls, ' ', sizeof(nulls));
	args[n++] = Int64GetDatum(id);
	args[n++] = Int64GetDatum(guard->migration);
	args[n++] = CStringGetTextDatum(guard->session_role);
	args[n++] = CStringGetTextDatum(guard->role);
	args[n] = text_or_null(guard->check_query, &nulls[n]);
	n++;
	args[n++] = CStringGetTextDatum(guard->search_path);
	args[n++] = interval_of(guard->every);
	args[n++] = interval_of(within);
	args[n++] = Int32GetDatum(guard->failures);
	args[n++] = BoolGetDatum(guard->confirm);
	args[n++] = CStringGetTextDatum(guard->on_conflict);
	args[n] = text_or_null(reason, &nulls[n]);
	n++;
	args[n++] = CStringGetTextDatum(history_incarnation());
	args[n++] = TimestampTzGetDatum(GetCurrentTimestamp());
	args[n++] = TimestampTzGetDatum(guard->deadline);
	SPI_connect();
	if (SPI_execute_with_args("INSERT INTO safemig.guard_log (id, migration, state, session_role, role,"
							  " check_query, search_path, every, within, failures, confirm,"
							  " on_conflict, reason, incarnation, started_at, deadline, checks, failed, tries)"
							  " VALUES ($1, $2, '" GUARD_WATCHING "', $3, $4, $5, $6, $7, $8, $9, $10,"
							  " $11, $12, $13, $14, $15, 0, 0, 0)",
							  lengthof(args), types, args, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write guard_log");
	SPI_finish();
	return id;
}

static void
update_guard(const char *command, int nargs, Oid *types, Datum *args, const char *nulls)
{
	SPI_connect();
	if (SPI_execute_with_args(command, nargs, types, args, nulls, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not update guard_log");
	SPI_finish();
}

void
guard_note_check(const Guard *guard, const Verdict *verdict)
{
	Oid			types[4] = {INT8OID, TIMESTAMPTZOID, BOOLOID, TEXTOID};
	Datum		args[4] = {Int64GetDatum(guard->id), TimestampTzGetDatum(GetCurrentTimestamp()),
	BoolGetDatum(verdict->holds), verdict->problem ? CStringGetTextDatum(verdict->problem) : (Datum) 0};

	update_guard("UPDATE safemig.guard_log SET checked_at = $2, checks = checks OPERATOR(pg_catalog.+) 1,"
				 " state = CASE WHEN $3 THEN '" GUARD_WATCHING "' ELSE state END,"
				 " failed = CASE WHEN $3 THEN 0 ELSE failed OPERATOR(pg_catalog.+) 1 END, problem = $4"
				 " WHERE id OPERATOR(pg_catalog.=) $1",
				 4, types, args, verdict->problem ? NULL : "   n");
}

void
guard_note_refusal(const Guard *guard, const char *problem)
{
	Oid			types[3] = {INT8OID, TEXTOID, TEXTOID};
	Datum		args[3] = {Int64GetDatum(guard->id), CStringGetTextDatum(GUARD_ALARM),
	CStringGetTextDatum(problem)};

	update_guard("UPDATE safemig.guard_log SET state = $2, tries = tries OPERATOR(pg_catalog.+) 1, problem = $3"
				 " WHERE id OPERATOR(pg_catalog.=) $1",
				 3, types, args, NULL);
}

void
guard_confirm(const Guard *guard, const char *reason)
{
	Oid			types[3] = {INT8OID, TIMESTAMPTZOID, TEXTOID};
	Datum		args[3] = {Int64GetDatum(guard->id), TimestampTzGetDatum(GetCurrentTimestamp()),
	reason ? CStringGetTextDatum(reason) : (Datum) 0};

	update_guard("UPDATE safemig.guard_log SET confirmed_at = $2, end_reason = $3"
				 " WHERE id OPERATOR(pg_catalog.=) $1",
				 3, types, args, reason ? NULL : "  n");
}

void
guard_end(const Guard *guard, const char *state, int64 rollback, const char *reason)
{
	Oid			types[6] = {INT8OID, TEXTOID, INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID};
	Datum		args[6] = {Int64GetDatum(guard->id), CStringGetTextDatum(state), Int64GetDatum(rollback),
		TimestampTzGetDatum(GetCurrentTimestamp()),
		CStringGetTextDatum(GetUserNameFromId(GetOuterUserId(), false)),
	reason ? CStringGetTextDatum(reason) : (Datum) 0};

	update_guard("UPDATE safemig.guard_log SET state = $2, rollback = NULLIF($3, 0), ended_at = $4, ended_by = $5,"
				 " end_reason = COALESCE($6, end_reason) WHERE id OPERATOR(pg_catalog.=) $1",
				 6, types, args, reason ? NULL : "     n");
}

/* When the transaction commits. */
void
guard_notify(const Guard *guard, const char *event, int64 rollback)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "{\"event\": \"guard %s\", \"migration\": " INT64_FORMAT, event, guard->migration);
	if (rollback)
		appendStringInfo(&buf, ", \"rollback\": " INT64_FORMAT, rollback);
	if (guard->problem)
	{
		/* a payload has less than 8000 bytes */
		char	   *problem = pnstrdup(guard->problem,
									   pg_mbcliplen(guard->problem, strlen(guard->problem), 2000));

		appendStringInfoString(&buf, ", \"problem\": ");
		escape_json(&buf, problem);
	}
	appendStringInfoChar(&buf, '}');
	Async_Notify(SAFEMIG_CHANNEL, buf.data);
}
