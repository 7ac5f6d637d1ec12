/*-------------------------------------------------------------------------
 *
 * retention.c
 *	  The worker that prunes what has expired, where the server preloads the
 *	  library.
 *
 * A launcher without a database sleeps for safemig.retention_every, and then
 * starts one short worker in each database after the other, which looks at
 * what safemig.retention is there: it may be set for a database.  Each worker
 * prunes a few records a transaction, so that it holds locks, on relations of
 * the vault alone, for a moment only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "rollback/rollback.h"

PGDLLEXPORT void safemig_retention_launcher(Datum arg);
PGDLLEXPORT void safemig_retention_worker(Datum arg);

#define WORKER_TYPE		"safemig retention"

/* So many records are pruned by one transaction. */
#define RECORDS			20

/* ---- in a database ---- */

static bool
history_is_here(void)
{
	Oid			namespace = get_namespace_oid(SAFEMIG_SCHEMA, true);

	return OidIsValid(namespace) && OidIsValid(get_relname_relid("expiry_log", namespace));
}

/* Records that were pruned. */
static int
prune_some(void)
{
	Expiry		expiry = {0};
	Frame		frame;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, "safemig_prune_expired");
	if (history_is_here())
	{
		frame_become_owner(&frame);
		own_work_begin();
		expiry = expire(RECORDS, "safemig.retention");
		own_work_end();
		frame_unpin(&frame);
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
	if (expiry.pruned > 0)
		ereport(LOG,
				(errmsg("pruned what %d migrations kept: %lld bytes had expired by safemig.retention",
						expiry.pruned, (long long) expiry.bytes)));
	return expiry.pruned;
}

/* As whoever made the cluster; an error ends it, and comes again next time. */
void
safemig_retention_worker(Datum arg)
{
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	SetConfigOption("application_name", WORKER_TYPE, PGC_USERSET, PGC_S_SESSION);
	while (prune_some() == RECORDS)
		CHECK_FOR_INTERRUPTS();
	proc_exit(0);
}

/* ---- in all of them ---- */

static void
not_started(Oid database)
{
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("no background worker is free to prune what has expired in database %u", database),
			 errhint("Increase max_worker_processes.")));
}

/* Another interval counts from the last time on. */
static void
wait_for(TimestampTz since)
{
	for (;;)
	{
		/* without an interval it waits to be told of one */
		long		timeout = safemig_retention_every == 0 ? -1 :
		TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
										since + safemig_retention_every * INT64CONST(1000000));

		if (timeout == 0)
			return;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (timeout > 0 ? WL_TIMEOUT : 0),
						 timeout, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
}

void
safemig_retention_launcher(Datum arg)
{
	MemoryContext context;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	context = AllocSetContextCreate(TopMemoryContext, WORKER_TYPE, ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		TimestampTz since = GetCurrentTimestamp();

		wait_for(since);
		MemoryContextSwitchTo(context);
		worker_in_each_database("safemig_retention_worker", WORKER_TYPE " worker", WORKER_TYPE, not_started);
		MemoryContextReset(context);
	}
}

/* When the library is loaded. */
void
retention_init(void)
{
	BackgroundWorker worker;

	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	worker_describe(&worker, "safemig_retention_launcher", WORKER_TYPE " launcher", WORKER_TYPE);
	worker.bgw_restart_time = 60;
	RegisterBackgroundWorker(&worker);
}
