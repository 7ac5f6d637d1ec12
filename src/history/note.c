/*-------------------------------------------------------------------------
 *
 * note.c
 *	  What people and tools note about a migration: approver, ticket, commit,
 *	  cause.
 *
 * A note is one value under one key; noting the key again replaces it, with
 * who did so and when.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "history/history.h"

PG_FUNCTION_INFO_V1(safemig_note);

void
history_write_note(int64 migration, const char *key, const char *value)
{
	Oid			types[5] = {INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TEXTOID};
	Datum		args[5] = {Int64GetDatum(migration), CStringGetTextDatum(key),
		CStringGetTextDatum(value), TimestampTzGetDatum(GetCurrentTimestamp()),
	CStringGetTextDatum(GetUserNameFromId(GetOuterUserId(), false))};

	SPI_connect();
	if (SPI_execute_with_args("INSERT INTO safemig.note_log AS n"
							  " (migration, key, value, noted_at, role)"
							  " VALUES ($1, $2, $3, $4, $5)"
							  " ON CONFLICT (migration, key) DO UPDATE"
							  " SET value = EXCLUDED.value, noted_at = EXCLUDED.noted_at,"
							  " role = EXCLUDED.role",
							  5, types, args, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write note_log");
	SPI_finish();
}

static void
remove_note(int64 migration, const char *key)
{
	Oid			types[2] = {INT8OID, TEXTOID};
	Datum		args[2] = {Int64GetDatum(migration), CStringGetTextDatum(key)};

	SPI_connect();
	if (SPI_execute_with_args("DELETE FROM safemig.note_log"
							  " WHERE migration OPERATOR(pg_catalog.=) $1"
							  " AND key OPERATOR(pg_catalog.=) $2",
							  2, types, args, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not remove a note");
	SPI_finish();
}

/* Whoever ran the migration, or can be that role, or administers. */
static void
check_may_note(const Migration *migration, Oid user)
{
	Oid			role = get_role_oid(migration->session_role, true);

	if (is_administrator(user) ||
		(OidIsValid(role) && has_privs_of_role(user, role)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to note something about migration %lld",
					(long long) migration->id),
			 errdetail("It was run by \"%s\".", migration->session_role)));
}

static char *
key_argument(FunctionCallInfo fcinfo)
{
	char	   *key;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("id must not be null")));
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("key must not be null")));
	key = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (key[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the key of a note must not be empty")));
	return key;
}

Datum
safemig_note(PG_FUNCTION_ARGS)
{
	char	   *key = key_argument(fcinfo);
	Oid			user = GetUserId();
	Migration  *migration;
	Frame		frame;

	frame_become_owner(&frame);
	own_work_begin();
	migration = history_get_migration(PG_GETARG_INT64(0), false);
	check_may_note(migration, user);
	if (PG_ARGISNULL(2))
		remove_note(migration->id, key);
	else
		history_write_note(migration->id, key,
						   text_to_cstring(PG_GETARG_TEXT_PP(2)));
	own_work_end();
	frame_unpin(&frame);
	PG_RETURN_VOID();
}
