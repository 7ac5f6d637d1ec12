/*-------------------------------------------------------------------------
 *
 * guard_start.c
 *	  The workers of guards, and who starts them.
 *
 * Each guard has a worker of its own, which connects as who made it, so that
 * whatever it runs is what that role could run.  It waits for the transaction
 * that made the guard; PostgreSQL starts it again if it dies, also after all
 * others had to go because of that.  A server that was stopped has forgotten
 * it: where the library is preloaded by the server, a launcher asks every
 * database then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "guard/guard.h"
#include "history/history.h"
#include "safemig.h"

PGDLLEXPORT void safemig_guard_launcher(Datum arg);
PGDLLEXPORT void safemig_guard_starter(Datum arg);

/* Seconds after which PostgreSQL starts one again that died. */
#define RESTART_AFTER	5

#define WORKER_TYPE		"safemig guard"

StaticAssertDecl(sizeof(GuardOrder) <= BGW_EXTRALEN, "an order must fit");

/* ---- one worker for each ---- */

/* As that of open migrations (open.c), with another last field. */
static void
guard_lock_tag(LOCKTAG *tag, int64 id)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, 0x53464d47, (uint32) id, 4);
}

bool
guard_hold(int64 id)
{
	LOCKTAG		tag;

	guard_lock_tag(&tag, id);
	return LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
}

bool
guard_is_attended(int64 id)
{
	LOCKTAG		tag;

	guard_lock_tag(&tag, id);
	if (LockAcquire(&tag, ShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	(void) LockRelease(&tag, ShareLock, false);
	return false;
}

/* ---- starting one ---- */

void
guard_start(const Guard *guard)
{
	GuardOrder	order = {guard->id, guard->migration, MyDatabaseId, MyDatabaseTableSpace,
		get_role_oid(guard->session_role, true), GetTopTransactionIdIfAny()};
	BackgroundWorker worker;

	if (!OidIsValid(order.session_role))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\" of the guard of migration %lld does not exist",
						guard->session_role, (long long) guard->migration)));
	worker_describe(&worker, "safemig_guard_worker",
					psprintf("safemig guard of migration " INT64_FORMAT, guard->migration), WORKER_TYPE);
	worker.bgw_restart_time = RESTART_AFTER;
	memcpy(worker.bgw_extra, &order, sizeof(order));
	if (!RegisterDynamicBackgroundWorker(&worker, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no background worker is free for the guard of migration %lld", (long long) guard->migration),
				 errhint("Increase max_worker_processes.")));
}

/* ---- after the server was started ---- */

/* Of this database: those whose creator may not be there any more are told. */
static bool
start_one(void *arg)
{
	guard_start(arg);
	return true;
}

static void
start_all_here(void)
{
	List	   *guards;
	ListCell   *lc;
	Frame		frame;

	frame_become_owner(&frame);
	guards = guards_watching();
	frame_unpin(&frame);
	foreach(lc, guards)
	{
		ErrorData  *error = attempt(start_one, lfirst(lc));

		if (error)
			ereport(WARNING,
					(errcode(error->sqlerrcode), errmsg_internal("%s", error->message)));
	}
}

/* In a database, as whoever made the cluster; it runs nothing of anybody's. */
void
safemig_guard_starter(Datum arg)
{
	Oid			namespace;

	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	namespace = get_namespace_oid(SAFEMIG_SCHEMA, true);
	if (OidIsValid(namespace) && OidIsValid(get_relname_relid("guard_log", namespace)))
		start_all_here();
	PopActiveSnapshot();
	CommitTransactionCommand();
	proc_exit(0);
}

static void
not_started(Oid database)
{
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("no background worker is free to start the guards of database %u", database),
			 errhint("Increase max_worker_processes, and call safemig.attend_guards() in that database.")));
}

void
safemig_guard_launcher(Datum arg)
{
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	MemoryContextSwitchTo(TopMemoryContext);
	worker_in_each_database("safemig_guard_starter", "safemig guard starter", WORKER_TYPE, not_started);
	proc_exit(0);
}

/* When the library is loaded. */
void
guard_init(void)
{
	BackgroundWorker worker;

	if (!process_shared_preload_libraries_in_progress)
		return;
	worker_describe(&worker, "safemig_guard_launcher", "safemig guard launcher", WORKER_TYPE);
	RegisterBackgroundWorker(&worker);
}
