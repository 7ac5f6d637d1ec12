/*-------------------------------------------------------------------------
 *
 * rollback.c
 *	  The calls that take migrations back: safemig_rollback and its family.
 *
 * All in one transaction: lock, check, apply, verify, record.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"

#include "history/framework.h"
#include "point.h"
#include "rollback/rollback.h"

PG_FUNCTION_INFO_V1(safemig_rollback_id);
PG_FUNCTION_INFO_V1(safemig_rollback_label);
PG_FUNCTION_INFO_V1(safemig_rollback_to_id);
PG_FUNCTION_INFO_V1(safemig_rollback_to_label);
PG_FUNCTION_INFO_V1(safemig_rollback_last);
PG_FUNCTION_INFO_V1(safemig_redo);
PG_FUNCTION_INFO_V1(safemig_plan_hash);

/* ---- arguments ---- */

char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* On a standby, or in a transaction that only reads: before anything is locked. */
void
check_can_write(const char *call)
{
	PreventCommandDuringRecovery(call);
	PreventCommandIfReadOnly(call);
}

void
check_not_null(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
}

static ConflictPolicy
policy_argument(FunctionCallInfo fcinfo, int n)
{
	char	   *policy = text_argument(fcinfo, n);

	if (policy && strcmp(policy, "refuse") == 0)
		return CONFLICT_REFUSE;
	if (policy && strcmp(policy, "keep") == 0)
		return CONFLICT_KEEP;
	if (policy && strcmp(policy, "restore") == 0)
		return CONFLICT_RESTORE;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unrecognized conflict policy: \"%s\"", policy ? policy : "(null)"),
			 errhint("The policies are \"refuse\", \"keep\" and \"restore\".")));
	return CONFLICT_REFUSE;
}

/* ---- which migrations ---- */

static bool
is_kind(const Migration *migration, const char *kind)
{
	return strcmp(migration->kind, kind) == 0;
}

static Conflict *
obstacle(const Migration *migration, char *problem, char *detail, char *command, char *hint)
{
	List	   *list = NIL;
	Conflict   *conflict = add_conflict(&list, ERRCODE_SAFEMIG_WRONG_STATE,
										psprintf(said("migration %lld"), (long long) migration->id),
										problem, hint);

	conflict->detail = detail;
	conflict->command = command;
	return conflict;
}

Conflict *
migration_obstacle(const Migration *migration)
{
	char	   *redo = psprintf("SELECT safemig_redo(" INT64_FORMAT ");", migration->id);

	if (is_kind(migration, "rollback") || is_kind(migration, "redo"))
		return obstacle(migration, is_kind(migration, "redo") ? said("is a redo") : said("is a rollback"),
						NULL, redo, psprintf(said("%s applies again what it took back."), redo));
	if (is_kind(migration, "baseline"))
		return obstacle(migration, said("is a baseline"),
						said("It changed nothing that could be taken back."),
						psprintf("SELECT * FROM safemig_verify(" INT64_FORMAT ");", migration->id),
						psprintf(said("SELECT * FROM safemig_verify(%lld); lists what differs from it now. SELECT safemig_rollback_to(%lld); takes back what came after it."),
								 (long long) migration->id, (long long) migration->id));
	if (strcmp(migration->state, "rolled_back") == 0)
		return obstacle(migration, psprintf(said("has been rolled back already, by %lld"),
											(long long) migration->rolled_back_by), NULL, redo,
						psprintf(said("%s applies it again."), redo));
	if (migration_is_open(migration))
		return obstacle(migration, said("is still open"), NULL, NULL,
						said("Its session has to call safemig_end() or safemig_abort() first."));
	return NULL;
}

static void
check_can_be_rolled_back(const Migration *migration)
{
	Conflict   *conflict = migration_obstacle(migration);

	if (conflict)
		ereport(ERROR,
				(errcode(conflict->sqlstate),
				 errmsg_internal("%s %s", conflict->object, conflict->problem),
				 conflict->detail ? errdetail_internal("%s", conflict->detail) : 0,
				 errhint("%s", conflict->hint)));
}

#define MIGRATIONS_CALLED(what) \
	what " OPERATOR(pg_catalog.=) $1" \
	" AND m.kind OPERATOR(pg_catalog.=) ANY (ARRAY['migration', 'snapshot'])"

/* What takes another one back has that one's version, and is not meant by it. */
#define IS_NO_REVERT \
	" AND NOT EXISTS (SELECT FROM safemig.migration_log x" \
	"  WHERE x.reverted_by OPERATOR(pg_catalog.=) m.id)"

#define IS_REVERTED \
	"EXISTS (SELECT FROM safemig.migration_log x" \
	" WHERE x.id OPERATOR(pg_catalog.=) m.reverted_by" \
	" AND x.state OPERATOR(pg_catalog.<>) 'rolled_back')"

/* Of a run that failed and the one that did not, the latter is meant. */
#define IS_FINISHED \
	" AND m.state OPERATOR(pg_catalog.<>) 'rolled_back'" \
	" AND (m.framework IS NULL OR m.version IS NOT NULL)"

/*
 * By the label, or else by the version that a framework gave.  What a framework
 * has taken back itself, and run again, is not meant.
 */
static List *
migrations_called(const char *name)
{
	static const char *const conditions[] = {
		MIGRATIONS_CALLED("m.label") IS_FINISHED " AND NOT " IS_REVERTED,
		MIGRATIONS_CALLED("m.label") " AND NOT " IS_REVERTED,
		MIGRATIONS_CALLED("m.label"),
		MIGRATIONS_CALLED("m.version") IS_NO_REVERT " AND NOT " IS_REVERTED,
		MIGRATIONS_CALLED("m.version") IS_NO_REVERT
	};
	Oid			type = TEXTOID;
	Datum		arg = CStringGetTextDatum(name);
	List	   *found = NIL;

	for (size_t i = 0; found == NIL && i < lengthof(conditions); i++)
		found = history_migrations(conditions[i], 1, &type, &arg);
	return found;
}

/* Those that did something; one that was begun and broken off did not. */
static List *
with_commands(List *migrations)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, migrations)
	{
		Migration  *migration = lfirst(lc);

		if (history_commands(list_make1(&migration->effective)) != NIL)
			result = lappend(result, migration);
	}
	return result;
}

/* Those under the label that could be rolled back. */
static Migration *
migration_by_label(const char *label)
{
	List	   *found = migrations_called(label);
	List	   *applied = NIL;
	ListCell   *lc;
	StringInfoData candidates;
	char	   *end;
	int64		id;

	foreach(lc, found)
	{
		if (strcmp(((Migration *) lfirst(lc))->state, "rolled_back") != 0)
			applied = lappend(applied, lfirst(lc));
	}
	if (list_length(applied) > 1)
		applied = with_commands(applied);
	if (list_length(applied) == 1)
		return linitial(applied);
	if (applied == NIL && found != NIL)
		return linitial(found); /* rolled back: the caller says so */
	if (found == NIL)
	{
		/* what drivers send for a number may be a text */
		errno = 0;
		id = strtoll(label, &end, 10);
		if (label[0] && *end == '\0' && errno == 0)
			return history_get_migration(id, false);
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_UNKNOWN),
				 errmsg("migration \"%s\" does not exist", label),
				 errhint("SELECT id, label, state, started_at FROM safemig.migrations ORDER BY id DESC;")));
	}
	initStringInfo(&candidates);
	foreach(lc, applied)
		appendStringInfo(&candidates, "%s" INT64_FORMAT,
						 candidates.len ? ", " : "",
						 ((Migration *) lfirst(lc))->id);
	ereport(ERROR,
			(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
			 errmsg("several applied migrations are called \"%s\"", label),
			 errdetail("Candidates are %s.", candidates.data),
			 errhint("Name it by its id, or use safemig_rollback_last().")));
	return NULL;
}

/* The whole history reads the same to everybody: as the extension's owner. */
Migration *
resolve_id(int64 id)
{
	Frame		frame;
	Migration  *migration;

	frame_become_owner(&frame);
	frameworks_adopt();
	migration = history_get_migration(id, false);
	frame_unpin(&frame);
	return migration;
}

Migration *
resolve_label(const char *label)
{
	Frame		frame;
	Migration  *migration;

	frame_become_owner(&frame);
	frameworks_adopt();
	migration = migration_by_label(label);
	frame_unpin(&frame);
	return migration;
}

/* ---- the rollback ---- */

static void
update_marks(const char *query, List *ids, int64 record)
{
	Datum	   *elems = palloc(sizeof(Datum) * list_length(ids));
	Oid			types[2] = {INT8ARRAYOID, INT8OID};
	Datum		args[2];
	ListCell   *lc;
	int			n = 0;

	foreach(lc, ids)
		elems[n++] = Int64GetDatum(*(int64 *) lfirst(lc));
	args[0] = PointerGetDatum(construct_array(elems, n, INT8OID, sizeof(int64),
											  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	args[1] = Int64GetDatum(record);
	SPI_connect();
	if (SPI_execute_with_args(query, 2, types, args, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not update migration_log");
	SPI_finish();
}

/* Several that were redone in one act have one record: all or none. */
void
check_shares_record(List *migrations)
{
	ListCell   *lc;
	ListCell   *other;

	foreach(lc, migrations)
	{
		Migration  *migration = lfirst(lc);
		Oid			type = INT8OID;
		Datum		arg = Int64GetDatum(migration->effective);
		List	   *sharing = history_migrations("m.effective OPERATOR(pg_catalog.=) $1"
												 " AND m.kind OPERATOR(pg_catalog.=) ANY (ARRAY['migration', 'snapshot'])",
												 1, &type, &arg);

		foreach(other, sharing)
		{
			Migration  *one = lfirst(other);
			ListCell   *in;
			bool		listed = false;

			foreach(in, migrations)
			{
				if (((Migration *) lfirst(in))->id == one->id)
					listed = true;
			}
			if (!listed)
				ereport(ERROR,
						(errcode(ERRCODE_SAFEMIG_LATER),
						 errmsg("migration %lld was redone together with %lld",
								(long long) migration->id, (long long) one->id),
						 errhint("safemig_rollback_to() takes them back together.")));
		}
	}
}

void
check_can_all_be_rolled_back(List *migrations)
{
	Frame		frame;
	ListCell   *lc;

	frame_become_owner(&frame);
	foreach(lc, migrations)
		check_can_be_rolled_back(lfirst(lc));
	check_shares_record(migrations);
	frame_unpin(&frame);
}

/* The rollback that a redo takes back, while that waited. */
static void
check_rollback_stands(const Migration *rollback)
{
	if (strcmp(rollback->state, "applied") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("rollback %lld has been redone already, by %lld",
						(long long) rollback->id, (long long) rollback->rolled_back_by)));
}

/*
 * With the locks held: what others did while they were waited for may be what
 * was to be done, and leave nothing in the way of doing it once more.
 */
void
check_still_as_planned(List *migrations)
{
	ListCell   *lc;

	foreach(lc, migrations)
	{
		const Migration *planned = lfirst(lc);
		const Migration *now = history_get_migration(planned->id, false);

		if (strcmp(now->state, planned->state) == 0 && now->effective == planned->effective)
			continue;
		if (is_kind(now, "rollback"))
			check_rollback_stands(now);
		else
			check_can_be_rolled_back(now);
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("migration %lld was rolled back and redone in the meantime", (long long) now->id),
				 errhint("Try again.")));
	}
}

static void
mark_rolled_back(List *migrations, int64 record)
{
	Frame		frame;

	frame_become_owner(&frame);
	own_work_begin();
	update_marks("UPDATE safemig.migration_log SET state = 'rolled_back', rolled_back_by = $2"
				 " WHERE id OPERATOR(pg_catalog.=) ANY ($1)", migration_ids(migrations), record);
	own_work_end();
	frame_unpin(&frame);
}

int64
rollback_migrations(List *migrations, RollbackOptions *options)
{
	int64		record;

	check_can_all_be_rolled_back(migrations);
	record = take_back(migrations, options, "rollback");
	SAFEMIG_POINT("rollback.to_mark");
	mark_rolled_back(migrations, record);
	SAFEMIG_POINT("rollback.marked");
	return record;
}

/* ---- for a script: its plan, its beginning and its end ---- */

RollbackPlan *
rollback_plan_for_script(int64 id)
{
	List	   *migrations = list_make1(resolve_id(id));
	RollbackPlan *plan;
	List	   *conflicts;
	Frame		frame;

	check_can_all_be_rolled_back(migrations);
	frame_become_owner(&frame);
	plan = plan_build(migrations);
	frame_unpin(&frame);
	plan_check_rights(plan);
	frame_become_owner(&frame);
	conflicts = plan_check(plan);
	frame_unpin(&frame);
	if (conflicts != NIL)
		conflicts_raise(plan, conflicts);
	return plan;
}

RollbackRun *
rollback_begin_script(int64 id, char *plan_hash)
{
	RollbackOptions		options = {CONFLICT_REFUSE, plan_hash, NULL};
	List	   *migrations = list_make1(resolve_id(id));

	check_can_all_be_rolled_back(migrations);
	return run_open(migrations, &options, "rollback");
}

int64
rollback_end_script(RollbackRun *run)
{
	int64		record = run_close(run);

	mark_rolled_back(run->plan->migrations, record);
	return record;
}

int64
rollback_one(int64 id, char *reason)
{
	RollbackOptions		options = {CONFLICT_REFUSE, NULL, reason};

	return rollback_migrations(list_make1(resolve_id(id)), &options);
}

/* ---- SQL: one ---- */

Datum
safemig_rollback_id(PG_FUNCTION_ARGS)
{
	RollbackOptions		options = {policy_argument(fcinfo, 1), text_argument(fcinfo, 2),
	text_argument(fcinfo, 3)};

	check_not_null(fcinfo, 0, "id");
	check_can_write("safemig_rollback()");
	PG_RETURN_INT64(rollback_migrations(list_make1(resolve_id(PG_GETARG_INT64(0))),
										&options));
}

Datum
safemig_rollback_label(PG_FUNCTION_ARGS)
{
	RollbackOptions		options = {policy_argument(fcinfo, 1), text_argument(fcinfo, 2),
	text_argument(fcinfo, 3)};

	check_not_null(fcinfo, 0, "label");
	check_can_write("safemig_rollback()");
	PG_RETURN_INT64(rollback_migrations(list_make1(resolve_label(text_argument(fcinfo, 0))),
										&options));
}

/* ---- SQL: several ---- */

/* Applied migrations whose last command came after seq; newest first. */
List *
migrations_newer_than(int64 seq)
{
	Oid			type = INT8OID;
	Datum		arg = Int64GetDatum(seq);

	return history_migrations("m.kind OPERATOR(pg_catalog.=) ANY (ARRAY['migration', 'snapshot'])"
							  " AND m.state OPERATOR(pg_catalog.=) ANY (ARRAY['applied', 'abandoned', 'open'])"
							  " AND EXISTS (SELECT FROM safemig.command_log c"
							  " WHERE c.migration OPERATOR(pg_catalog.=) m.effective"
							  " AND c.seq OPERATOR(pg_catalog.>) $1)",
							  1, &type, &arg);
}

static int64
last_command_of(const Migration *migration)
{
	List	   *commands = history_commands(list_make1((void *) &migration->effective));

	return commands ? ((RecordedCommand *) linitial(commands))->seq : 0;
}

static Datum
rollback_to(FunctionCallInfo fcinfo, Migration *named)
{
	RollbackOptions		options = {policy_argument(fcinfo, 1), text_argument(fcinfo, 2),
	text_argument(fcinfo, 3)};
	Frame		frame;
	List	   *newer;

	frame_become_owner(&frame);
	frameworks_adopt();
	newer = migrations_newer_than(named ? last_command_of(named) : 0);
	frame_unpin(&frame);
	if (newer == NIL)
	{
		if (safemig_notices)
			ereport(NOTICE, (errmsg("there is nothing to roll back")));
		PG_RETURN_NULL();
	}
	PG_RETURN_INT64(rollback_migrations(newer, &options));
}

Datum
safemig_rollback_to_id(PG_FUNCTION_ARGS)
{
	check_not_null(fcinfo, 0, "id");
	check_can_write("safemig_rollback_to()");
	return rollback_to(fcinfo, PG_GETARG_INT64(0) == 0 ? NULL :
					   resolve_id(PG_GETARG_INT64(0)));
}

Datum
safemig_rollback_to_label(PG_FUNCTION_ARGS)
{
	char	   *label;

	check_not_null(fcinfo, 0, "label");
	check_can_write("safemig_rollback_to()");
	label = text_argument(fcinfo, 0);
	return rollback_to(fcinfo, strcmp(label, "0") == 0 ? NULL : resolve_label(label));
}

Datum
safemig_rollback_last(PG_FUNCTION_ARGS)
{
	RollbackOptions		options = {policy_argument(fcinfo, 3), text_argument(fcinfo, 4),
	text_argument(fcinfo, 5)};
	bool		anyone = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
	char	   *session = GetUserNameFromId(GetSessionUserId(), false);
	Frame		frame;
	List	   *newer;
	List	   *wanted = NIL;
	ListCell   *lc;

	check_not_null(fcinfo, 0, "n");
	check_can_write("safemig_rollback_last()");
	if (PG_GETARG_INT32(0) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("n must be greater than zero")));
	frame_become_owner(&frame);
	frameworks_adopt();
	newer = migrations_newer_than(0);
	frame_unpin(&frame);
	foreach(lc, newer)
	{
		Migration  *migration = lfirst(lc);

		if (list_length(wanted) >= PG_GETARG_INT32(0))
			break;
		if (!PG_ARGISNULL(1) &&
			(migration->framework == NULL ||
			 strcmp(migration->framework, text_argument(fcinfo, 1)) != 0))
			continue;
		if (!anyone && strcmp(migration->session_role, session) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
					 errmsg("migration %lld was run by \"%s\", not by \"%s\"",
							(long long) migration->id, migration->session_role, session),
					 errhint("safemig_rollback_last(anyone => true) takes it back all the same.")));
		wanted = lappend(wanted, migration);
	}
	if (wanted == NIL)
	{
		if (safemig_notices)
			ereport(NOTICE, (errmsg("there is nothing to roll back")));
		PG_RETURN_NULL();
	}
	PG_RETURN_INT64(rollback_migrations(wanted, &options));
}

/* ---- SQL: redo ---- */

/*
 * A redo is the rollback of a rollback.  What it did is from now on the form
 * in which the migrations are applied: their effective record.
 */
int64
redo_one(int64 id, char *reason)
{
	RollbackOptions options = {CONFLICT_REFUSE, NULL, reason};
	Frame		frame;
	Migration  *rollback;
	int64		record;

	rollback = resolve_id(id);
	if ((is_kind(rollback, "migration") || is_kind(rollback, "snapshot")) &&
		rollback->rolled_back_by)
		rollback = resolve_id(rollback->rolled_back_by);
	if (!is_kind(rollback, "rollback") || strcmp(rollback->state, "applied") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("migration %lld has not been rolled back",
						(long long) id),
				 errhint("safemig_redo() takes the id of a migration that is rolled back, or of its rollback.")));

	record = take_back(list_make1(rollback), &options, "redo");
	SAFEMIG_POINT("redo.to_mark");

	frame_become_owner(&frame);
	own_work_begin();
	update_marks("UPDATE safemig.migration_log SET state = 'rolled_back', rolled_back_by = $2"
				 " WHERE id OPERATOR(pg_catalog.=) ANY ($1)",
				 list_make1(&rollback->id), record);
	SAFEMIG_POINT("redo.half_marked");
	update_marks("UPDATE safemig.migration_log SET state = 'applied', rolled_back_by = NULL, effective = $2"
				 " WHERE id OPERATOR(pg_catalog.=) ANY ($1)",
				 rollback->rolls_back, record);
	own_work_end();
	frame_unpin(&frame);
	return record;
}

Datum
safemig_redo(PG_FUNCTION_ARGS)
{
	check_not_null(fcinfo, 0, "id");
	check_can_write("safemig_redo()");
	PG_RETURN_INT64(redo_one(PG_GETARG_INT64(0), text_argument(fcinfo, 1)));
}

Datum
safemig_plan_hash(PG_FUNCTION_ARGS)
{
	Migration  *migration = resolve_id(PG_GETARG_INT64(0));
	RollbackPlan *plan;
	Frame		frame;
	char	   *hash;

	frame_become_owner(&frame);
	plan = plan_build(list_make1(migration));
	frame_unpin(&frame);
	plan_check_rights(plan);
	frame_become_owner(&frame);
	hash = plan_hash(plan);
	frame_unpin(&frame);
	PG_RETURN_TEXT_P(cstring_to_text(hash));
}
