/*-------------------------------------------------------------------------
 *
 * progress.c
 *	  How far long work is, for other sessions: safemig.progress.
 *
 * It is written where PostgreSQL's own commands write theirs, the backend's
 * entry in shared memory, under a command that is none of PostgreSQL's: that
 * is there without preloading, costs a few stores, and is wiped at the end of
 * a transaction or of a subtransaction that fails.  So whoever works keeps
 * what is to be shown, and every report shows all of it.
 *
 * A command of PostgreSQL's that reports has the entry for itself: nothing is
 * shown over it.  Building an index counts without having begun, so the
 * numbers used here are those that it leaves alone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/acl.h"
#include "utils/backend_progress.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "progress.h"
#include "safemig.h"

PG_FUNCTION_INFO_V1(safemig_progress_entries);

#define PROGRESS_COMMAND_SAFEMIG	((ProgressCommandType) 0x534D)

/* of Progress.values, and where they stand in the backend's entry */
enum
{
	WHAT,						/* command and phase */
	DONE,						/* -1: not known */
	TOTAL,						/* likewise */
	SINCE,
	STEP,						/* number and how many there are */
	RELATION
};

static const int places[PROGRESS_VALUES] = {1, 2, 7, 17, 18, 19};

#define PACK(high, low)		(((int64) (high) << 32) | (uint32) (low))
#define HIGH(value)			((int32) ((value) >> 32))
#define LOW(value)			((uint32) (value))

/* ---- writing ---- */

static bool
is_ours(void)
{
	return MyBEEntry && MyBEEntry->st_progress_command == PROGRESS_COMMAND_SAFEMIG;
}

static void
show(const int64 *values)
{
	if (!is_ours())
		pgstat_progress_start_command(PROGRESS_COMMAND_SAFEMIG, InvalidOid);
	pgstat_progress_update_multi_param(PROGRESS_VALUES, places, values);
}

static void
report(Progress *progress)
{
	if (!progress->off)
		show(progress->values);
}

static void
begin(Progress *progress)
{
	memset(progress, 0, sizeof(Progress));
	progress->block = InvalidBlockNumber;
	progress->inner = is_ours() || safemig_state.progress;
	progress->off = MyBEEntry == NULL ||
		(!is_ours() && MyBEEntry->st_progress_command != PROGRESS_COMMAND_INVALID);
	if (is_ours())
	{
		for (int i = 0; i < PROGRESS_VALUES; i++)
			progress->outer[i] = MyBEEntry->st_progress_param[places[i]];
	}
	else if (progress->inner)
		memcpy(progress->outer, safemig_state.progress->values, sizeof(progress->outer));
	else
	{
		progress->values[WHAT] = PACK(PROGRESS_KEEPING, 0);
		progress->values[SINCE] = GetCurrentTimestamp();
		return;
	}
	memcpy(progress->values, progress->outer, sizeof(progress->outer));
}

static void
set_phase(Progress *progress, ProgressPhase phase, Oid relid, int64 total)
{
	progress->values[WHAT] = PACK(HIGH(progress->values[WHAT]), phase);
	progress->values[DONE] = 0;
	progress->values[TOTAL] = total;
	progress->values[RELATION] = relid;
}

void
progress_begin_command(Progress *progress, ProgressCommand command, TimestampTz since,
					   ProgressPhase phase)
{
	begin(progress);
	progress->values[WHAT] = PACK(command, 0);
	progress->values[SINCE] = since;
	/* a subtransaction that fails on the way wipes it */
	state_save();
	safemig_state.progress = progress;
	progress_phase(progress, phase);
}

/* Of which nobody knows how far it is. */
void
progress_phase(Progress *progress, ProgressPhase phase)
{
	set_phase(progress, phase, InvalidOid, -1);
	progress->values[DONE] = -1;
	report(progress);
}

void
progress_begin(Progress *progress, ProgressPhase phase, Relation rel, int64 total)
{
	begin(progress);
	set_phase(progress, phase, RelationGetRelid(rel), total);
	report(progress);
}

void
progress_begin_scan(Progress *progress, ProgressPhase phase, Relation rel)
{
	progress_begin(progress, phase, rel, RelationGetNumberOfBlocks(rel));
}

void
progress_step(Progress *progress, int number, int steps, Oid relid)
{
	set_phase(progress, PROGRESS_STEPS, relid, steps);
	progress->values[DONE] = number - 1;
	progress->values[STEP] = PACK(number, steps);
	report(progress);
}

void
progress_lock(Progress *progress, int number, int total, Oid relid)
{
	set_phase(progress, PROGRESS_LOCKING, relid, total);
	progress->values[DONE] = number;
	report(progress);
}

void
progress_at(Progress *progress, int64 done)
{
	progress->values[DONE] = done;
	report(progress);
}

void
progress_end(Progress *progress)
{
	if (safemig_state.progress == progress)
	{
		state_save();
		safemig_state.progress = NULL;
	}
	if (progress->off)
		return;
	if (progress->inner)
		show(progress->outer);
	else if (is_ours())
		pgstat_progress_end_command();
}

/* ---- reading ---- */

static const char *const commands[] = {
	[PROGRESS_KEEPING] = "keeping",
	[PROGRESS_ROLLBACK] = "rollback",
	[PROGRESS_REDO] = "redo",
	[PROGRESS_REHEARSAL] = "rehearsal",
	[PROGRESS_CHECK] = "check"
};

static const char *const phases[] = {
	[PROGRESS_LOCKING] = "taking locks",
	[PROGRESS_CHECKING] = "checking",
	[PROGRESS_STEPS] = "running steps",
	[PROGRESS_PROVING] = "proving",
	[PROGRESS_LOOKING] = "looking for written rows",
	[PROGRESS_COPYING] = "copying rows",
	[PROGRESS_READING] = "reading rows",
	[PROGRESS_PROVING_ROWS] = "proving kept rows",
	[PROGRESS_COPYING_WRITTEN] = "copying written rows",
	[PROGRESS_TAKING_AWAY] = "taking rows away",
	[PROGRESS_PUTTING_BACK] = "putting rows back",
	[PROGRESS_MATCHING] = "matching rows"
};

/* The name, or NULL for what another version of the library may have written. */
static Datum
name_datum(const char *const *names, int n, int i, bool *isnull)
{
	*isnull = i <= 0 || i >= n;
	return *isnull ? (Datum) 0 : CStringGetTextDatum(names[i]);
}

/* As pg_stat_activity shows queries. */
static bool
may_see(const PgBackendStatus *entry)
{
	return has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS) ||
		has_privs_of_role(GetUserId(), entry->st_userid);
}

static void
put_entry(ReturnSetInfo *result, const PgBackendStatus *entry)
{
	int64		shown[PROGRESS_VALUES];
	Datum		values[9];
	bool		nulls[9] = {false};

	for (int i = 0; i < PROGRESS_VALUES; i++)
		shown[i] = entry->st_progress_param[places[i]];
	values[0] = Int32GetDatum(entry->st_procpid);
	values[1] = name_datum(commands, lengthof(commands), HIGH(shown[WHAT]), &nulls[1]);
	values[2] = name_datum(phases, lengthof(phases), LOW(shown[WHAT]), &nulls[2]);
	values[3] = ObjectIdGetDatum((Oid) shown[RELATION]);
	nulls[3] = shown[RELATION] == InvalidOid || !may_see(entry);
	values[4] = Int64GetDatum(shown[DONE]);
	values[5] = Int64GetDatum(shown[TOTAL]);
	nulls[4] = shown[DONE] < 0;
	nulls[5] = shown[TOTAL] < 0;
	values[6] = Int32GetDatum(HIGH(shown[STEP]));
	values[7] = Int32GetDatum(LOW(shown[STEP]));
	nulls[6] = nulls[7] = HIGH(shown[STEP]) == 0;
	values[8] = TimestampTzGetDatum(shown[SINCE]);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Of the sessions of this database. */
Datum
safemig_progress_entries(PG_FUNCTION_ARGS)
{
	int			n = pgstat_fetch_stat_numbackends();

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 1; i <= n; i++)
	{
		const LocalPgBackendStatus *local = backend_status_by_index(i);

		if (local && local->backendStatus.st_databaseid == MyDatabaseId &&
			local->backendStatus.st_progress_command == PROGRESS_COMMAND_SAFEMIG)
			put_entry((ReturnSetInfo *) fcinfo->resultinfo, &local->backendStatus);
	}
	return (Datum) 0;
}
