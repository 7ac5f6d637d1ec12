/*-------------------------------------------------------------------------
 *
 * session.c
 *	  Explicit migrations: begin, end, abort, attach, run; and which one is
 *	  current.
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

#include "capture/capture.h"
#include "point.h"
#include "rollback/rollback.h"

PG_FUNCTION_INFO_V1(safemig_begin);
PG_FUNCTION_INFO_V1(safemig_end);
PG_FUNCTION_INFO_V1(safemig_abort);
PG_FUNCTION_INFO_V1(safemig_attach);
PG_FUNCTION_INFO_V1(safemig_run);
PG_FUNCTION_INFO_V1(safemig_current);
PG_FUNCTION_INFO_V1(safemig_last);
PG_FUNCTION_INFO_V1(safemig_mark);

/* ---- opening and closing ---- */

static int64
open_migration(const char *label, const char *reason)
{
	Frame		frame;
	int64		id;

	if (open_migration_id())
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("this session has migration %lld open already",
						(long long) safemig_state.explicit_id),
				 errhint("SELECT safemig_end(); or SELECT safemig_abort();")));
	if (label[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the label of a migration must not be empty")));
	data_explicit_begins();
	frame_become_owner(&frame);
	own_work_begin();
	id = history_new_migration("migration", label, "open", reason);
	SAFEMIG_POINT("begin.recorded");
	own_work_end();
	frame_unpin(&frame);
	SAFEMIG_POINT("begin.to_lock");
	open_lock_take(id);
	safemig_state.explicit_id = id;
	return id;
}

static int64
close_migration(const char *state)
{
	int64		id = open_migration_id();
	Frame		frame;

	if (id == 0)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("this session has no migration open"),
				 errhint("SELECT safemig_begin('label');")));
	data_explicit_ends();
	frame_become_owner(&frame);
	own_work_begin();
	history_set_state(id, state);
	SAFEMIG_POINT("end.recorded");
	own_work_end();
	frame_unpin(&frame);
	open_lock_release_at_commit(id);
	safemig_state.explicit_id = 0;
	safemig_state.last_id = id;
	return id;
}

static int64
end_migration(void)
{
	int64		id = close_migration("applied");

	migration_report(id);
	return id;
}

static char *
label_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("label must not be null")));
	return text_to_cstring(PG_GETARG_TEXT_PP(0));
}

static char *
reason_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

Datum
safemig_begin(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(open_migration(label_argument(fcinfo),
								   reason_argument(fcinfo, 1)));
}

Datum
safemig_end(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(end_migration());
}

static bool
has_commands(int64 id)
{
	Frame		frame;
	bool		result;

	frame_become_owner(&frame);
	result = history_commands(list_make1(&id)) != NIL;
	frame_unpin(&frame);
	return result;
}

Datum
safemig_abort(PG_FUNCTION_ARGS)
{
	int64		id = close_migration("abandoned");

	if (!has_commands(id))
		PG_RETURN_NULL();
	PG_RETURN_INT64(rollback_one(id, NULL));
}

Datum
safemig_attach(PG_FUNCTION_ARGS)
{
	int64		id = PG_GETARG_INT64(0);
	Migration  *migration;
	Frame		frame;

	if (open_migration_id())
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("this session has migration %lld open already",
						(long long) safemig_state.explicit_id)));
	frame_become_owner(&frame);
	migration = history_get_migration(id, false);
	frame_unpin(&frame);
	if (strcmp(migration->state, "open") != 0 || migration_is_abandoned(id))
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("migration %lld is not open", (long long) id)));
	if (strcmp(migration->session_role,
			   GetUserNameFromId(GetSessionUserId(), false)) != 0 &&
		!is_administrator(GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to join migration %lld", (long long) id),
				 errdetail("It was opened by \"%s\".", migration->session_role)));
	data_explicit_begins();
	open_lock_take(id);
	safemig_state.explicit_id = id;
	PG_RETURN_VOID();
}

/* A script as one migration, in this transaction. */
Datum
safemig_run(PG_FUNCTION_ARGS)
{
	char	   *label = label_argument(fcinfo);
	char	   *script;

	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("script must not be null")));
	script = text_to_cstring(PG_GETARG_TEXT_PP(1));
	(void) open_migration(label, reason_argument(fcinfo, 2));
	SPI_connect();
	if (SPI_execute(script, false, 0) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the script contains a command that cannot run inside a function"),
				 errhint("Run it between safemig_begin() and safemig_end().")));
	SPI_finish();
	PG_RETURN_INT64(end_migration());
}

/* ---- which one ---- */

static Datum
id_or_null(FunctionCallInfo fcinfo, int64 id)
{
	if (id == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(id);
}

Datum
safemig_current(PG_FUNCTION_ARGS)
{
	int64		id = open_migration_id();

	return id_or_null(fcinfo, id ? id : safemig_state.xact_id ? safemig_state.xact_id :
					  safemig_state.written_id);
}

Datum
safemig_last(PG_FUNCTION_ARGS)
{
	return id_or_null(fcinfo, safemig_state.last_id);
}

Datum
safemig_mark(PG_FUNCTION_ARGS)
{
	Frame		frame;
	List	   *found;

	frame_become_owner(&frame);
	found = history_migrations("m.kind OPERATOR(pg_catalog.=) 'migration'"
							   " AND m.state OPERATOR(pg_catalog.=) 'applied'"
							   " AND m.id OPERATOR(pg_catalog.=) (SELECT pg_catalog.max(x.id)"
							   " FROM safemig.migration_log x WHERE x.kind OPERATOR(pg_catalog.=) 'migration'"
							   " AND x.state OPERATOR(pg_catalog.=) 'applied')",
							   0, NULL, NULL);
	frame_unpin(&frame);
	return id_or_null(fcinfo, found ? ((Migration *) linitial(found))->id : 0);
}
