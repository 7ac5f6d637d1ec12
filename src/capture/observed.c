/*-------------------------------------------------------------------------
 *
 * observed.c
 *	  What a command takes: time, waits, locks, WAL, files, and what it goes
 *	  through for it.
 *
 * All of it is read from this process's own counters and its own entries in
 * the table of locks, before the command and after it.  What safemig does
 * before the command, and after it, is told apart; the locks are those of
 * both, since safemig takes the command's before the command does.
 *
 * The steps of a rollback hold its locks before they begin: theirs are not
 * looked at.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/catalog.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/storage.h"
#include "executor/instrument.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

#include "advise/advise.h"
#include "capture/capture.h"
#include "compat.h"
#include "history/history.h"

/* A session that holds more is not searched for each command. */
#define LOCKS_SEARCHED	1000

/* The strongest ones are written down. */
#define LOCKS_WRITTEN	100

#define SCANS_COUNTED	100

/* Below that what a command takes is not what its rows take. */
#define WORTH_MEASURING	(128 * BLCKSZ)

typedef struct OwnLock
{
	Oid			relid;
	LOCKMODE	mode;			/* the strongest */
} OwnLock;

typedef struct ScanCount
{
	Oid			relid;
	int64		scans;
} ScanCount;

typedef struct Observed
{
	/* when it began */
	double		waited;
	uint64		wal;
	int			nbefore;		/* locks; -1: too many, or not to be looked at */
	OwnLock    *before;
	/* when it came to run */
	bool		runs;
	double		own_ms;			/* up to then, and from its end on */
	uint64		own_wal;
	int			files;
	int			nscans;
	ScanCount  *scans;
	int64		rewritten;		/* bytes of what it writes anew */
	/* when it had run */
	bool		ended;
	double		ran_ms;			/* from its beginning to there */
	uint64		ran_wal;
	int			ntaken;
	OwnLock    *taken;
	int64		written;
	const char *cost;
	int64		table_bytes;
} Observed;

/* ---- locks ---- */

static int
by_relation(const void *a, const void *b)
{
	const OwnLock *first = a;
	const OwnLock *second = b;

	if (first->relid != second->relid)
		return first->relid < second->relid ? -1 : 1;
	return second->mode - first->mode;
}

static void
note_modes(OwnLock *locks, int *n, Oid relid, LOCKMASK modes)
{
	if (relid < FirstNormalObjectId || modes == 0)
		return;
	if (*n < LOCKS_SEARCHED)
	{
		locks[*n].relid = relid;
		locks[*n].mode = pg_leftmost_one_pos32(modes);
	}
	(*n)++;
}

static void
read_fast_path(OwnLock *locks, int *n)
{
	LWLockAcquire(&MyProc->fpInfoLock, LW_SHARED);
	for (int slot = 0; slot < fast_path_slots(); slot++)
		note_modes(locks, n, MyProc->fpRelId[slot], fast_path_modes(slot) << 1);
	LWLockRelease(&MyProc->fpInfoLock);
}

/*
 * Nobody but this process adds to its lists, except what is moved there from
 * the fast path: an empty one need not be locked.
 */
static void
read_partition(OwnLock *locks, int *n, int partition)
{
	LWLock	   *lock = LockHashPartitionLockByIndex(partition);

	if (next_lock_of_mine(partition, NULL) == NULL)
		return;
	LWLockAcquire(lock, LW_SHARED);
	for (PROCLOCK *mine = next_lock_of_mine(partition, NULL); mine && *n <= LOCKS_SEARCHED;
		 mine = next_lock_of_mine(partition, mine))
	{
		const LOCKTAG *tag = &mine->tag.myLock->tag;

		if (tag->locktag_type == LOCKTAG_RELATION && tag->locktag_field1 == MyDatabaseId)
			note_modes(locks, n, tag->locktag_field2, mine->holdMask);
	}
	LWLockRelease(lock);
}

/* By relation, in context; -1: there are too many. */
static int
locks_now(OwnLock **result, MemoryContext context)
{
	OwnLock		locks[LOCKS_SEARCHED];
	int			n = 0;
	int			different = 0;

	read_fast_path(locks, &n);
	for (int partition = 0; partition < NUM_LOCK_PARTITIONS && n <= LOCKS_SEARCHED; partition++)
		read_partition(locks, &n, partition);
	if (n > LOCKS_SEARCHED)
		return -1;
	qsort(locks, n, sizeof(OwnLock), by_relation);
	for (int i = 0; i < n; i++)
	{
		if (i == 0 || locks[i].relid != locks[i - 1].relid)
			locks[different++] = locks[i];
	}
	*result = MemoryContextAlloc(context, Max(different, 1) * sizeof(OwnLock));
	memcpy(*result, locks, different * sizeof(OwnLock));
	return different;
}

static LOCKMODE
mode_in(const OwnLock *locks, int n, Oid relid)
{
	OwnLock		key = {relid, NoLock};

	for (int low = 0, high = n - 1; low <= high;)
	{
		int			middle = (low + high) / 2;

		if (locks[middle].relid == key.relid)
			return locks[middle].mode;
		if (locks[middle].relid < key.relid)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return NoLock;
}

/* What is held now and was not before, or not so strongly. */
static void
look_at_locks(Command *command)
{
	Observed   *observed = command->observed;
	OwnLock    *now;
	int			n;
	OwnLock    *all;
	int			nall = observed->ntaken;

	if (observed->nbefore < 0)
		return;
	n = locks_now(&now, command->context);
	if (n < 0)
	{
		observed->nbefore = -1;
		return;
	}
	all = MemoryContextAlloc(command->context, (nall + n + 1) * sizeof(OwnLock));
	if (nall > 0)
		memcpy(all, observed->taken, nall * sizeof(OwnLock));
	for (int i = 0; i < n; i++)
	{
		if (now[i].mode > AccessShareLock &&
			now[i].mode > mode_in(observed->before, observed->nbefore, now[i].relid) &&
			now[i].mode > mode_in(observed->taken, observed->ntaken, now[i].relid))
			all[nall++] = now[i];
	}
	qsort(all, nall, sizeof(OwnLock), by_relation);
	observed->taken = all;
	observed->ntaken = 0;
	for (int i = 0; i < nall; i++)
	{
		if (i == 0 || all[i].relid != all[observed->ntaken - 1].relid)
			all[observed->ntaken++] = all[i];
	}
}

/* ---- files ---- */

/* Those that it made, newest first, are before those that there were. */
static int
files_made(FileLocator **files)
{
	return smgrGetPendingDeletes(false, files);
}

static int64
bytes_in_new_files(int before)
{
	FileLocator *files;
	int			n = files_made(&files) - before;
	int64		bytes = 0;

	for (int i = 0; i < n; i++)
	{
		SMgrRelation file = open_file(files[i]);

		if (smgrexists(file, MAIN_FORKNUM))
			bytes += (int64) smgrnblocks(file, MAIN_FORKNUM) * BLCKSZ;
	}
	return bytes;
}

/* Of a command that commits in between, and so is none of the transaction's. */
static int64
bytes_in_created(const Command *command)
{
	ListCell   *lc;
	int64		bytes = 0;

	foreach(lc, command->created)
	{
		const ObjectAddress *address = lfirst(lc);

		if (address->classId == RelationRelationId && address->objectSubId == 0 &&
			get_rel_relkind(address->objectId) == RELKIND_INDEX)
			bytes += DatumGetInt64(DirectFunctionCall2(pg_relation_size,
													   ObjectIdGetDatum(address->objectId),
													   PointerGetDatum(cstring_to_text("main"))));
	}
	return bytes;
}

/* ---- what it goes through ---- */

static int64
table_bytes(Oid relid)
{
	char		relkind = get_rel_relkind(relid);

	if (relkind != RELKIND_RELATION && relkind != RELKIND_MATVIEW)
		return 0;
	return DatumGetInt64(DirectFunctionCall1(pg_table_size, ObjectIdGetDatum(relid)));
}

static int64
scans_of(Oid relid)
{
	PgStat_TableStatus *status = find_tabstat_entry(relid);

	return status ? table_status_scans(status) : 0;
}

static void
count_scans(Command *command)
{
	Observed   *observed = command->observed;
	ListCell   *lc;

	foreach(lc, command->before)
	{
		const Image *image = lfirst(lc);

		if (image->address.classId != RelationRelationId || strcmp(image->type, "table") != 0)
			continue;
		if (observed->scans == NULL)
			observed->scans = MemoryContextAlloc(command->context,
												 SCANS_COUNTED * sizeof(ScanCount));
		if (observed->nscans == SCANS_COUNTED)
			break;
		observed->scans[observed->nscans].relid = image->address.objectId;
		observed->scans[observed->nscans++].scans = scans_of(image->address.objectId);
	}
}

static int64
bytes_scanned(const Observed *observed)
{
	int64		bytes = 0;

	for (int i = 0; i < observed->nscans; i++)
	{
		if (scans_of(observed->scans[i].relid) > observed->scans[i].scans)
			bytes += table_bytes(observed->scans[i].relid);
	}
	return bytes;
}

static bool
is_created(const Command *command, Oid relid)
{
	ListCell   *lc;

	foreach(lc, command->created)
	{
		const ObjectAddress *address = lfirst(lc);

		if (address->classId == RelationRelationId && address->objectId == relid)
			return true;
	}
	return false;
}

/* Of tables that were there before it made an index. */
static bool
bytes_indexed(const Command *command, int64 *bytes)
{
	List	   *tables = NIL;
	ListCell   *lc;

	*bytes = 0;
	foreach(lc, command->created)
	{
		const ObjectAddress *address = lfirst(lc);
		Oid			table;

		if (address->classId != RelationRelationId ||
			get_rel_relkind(address->objectId) != RELKIND_INDEX)
			continue;
		table = IndexGetRelation(address->objectId, true);
		if (!OidIsValid(table) || list_member_oid(tables, table) || is_created(command, table))
			continue;
		tables = lappend_oid(tables, table);
		*bytes += table_bytes(table);
	}
	return tables != NIL;
}

static int64
bytes_of_roots(const Command *command)
{
	ListCell   *lc;
	int64		bytes = 0;

	foreach(lc, command->roots)
	{
		const ObjectAddress *root = lfirst(lc);

		if (root->classId == RelationRelationId)
			bytes += table_bytes(root->objectId);
	}
	return bytes;
}

/* Commands that write files anew, and tell no event trigger of it. */
static bool
writes_anew(const Command *command)
{
	ListCell   *lc;

	switch (nodeTag(command->parsetree))
	{
		case T_RefreshMatViewStmt:
		case T_ClusterStmt:
			return true;
		case T_AlterTableStmt:
			foreach(lc, ((AlterTableStmt *) command->parsetree)->cmds)
			{
				if (lfirst_node(AlterTableCmd, lc)->subtype == AT_SetTableSpace)
					return true;
			}
			return false;
		default:
			return false;
	}
}

static void
classify(Command *command)
{
	Observed   *observed = command->observed;

	if (command->rewritten != NIL)
	{
		observed->cost = "rewrite";
		observed->table_bytes = observed->rewritten;
	}
	else if (writes_anew(command) && observed->written > 0)
	{
		observed->cost = "rewrite";
		observed->table_bytes = bytes_of_roots(command);
	}
	else if (IsA(command->parsetree, ReindexStmt))
	{
		observed->cost = "index";
		observed->table_bytes = bytes_of_roots(command);
	}
	else if (bytes_indexed(command, &observed->table_bytes))
		observed->cost = "index";
	else if (IsA(command->parsetree, CreateTableAsStmt))
	{
		observed->cost = "scan";
		observed->table_bytes = -1;
	}
	else
	{
		observed->table_bytes = bytes_scanned(observed);
		observed->cost = observed->table_bytes > 0 ? "scan" : "catalog";
	}
}

/* ---- from its beginning to its end ---- */

static double
ms_since(const Command *command)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, command->start);
	return INSTR_TIME_GET_MILLISEC(now);
}

void
observed_begins(Command *command)
{
	Observed   *observed = MemoryContextAllocZero(command->context, sizeof(Observed));

	observed->waited = waits_ms();
	observed->wal = pgWalUsage.wal_bytes;
	observed->nbefore = safemig_state.record_id ? -1 :
		locks_now(&observed->before, command->context);
	command->observed = observed;
}

void
observed_runs(Command *command)
{
	Observed   *observed = command->observed;
	FileLocator *files;

	if (observed == NULL)
		return;
	observed->own_ms = Max(ms_since(command) - (waits_ms() - observed->waited), 0);
	observed->own_wal = pgWalUsage.wal_bytes - observed->wal;
	observed->files = files_made(&files);
	count_scans(command);
	observed->runs = true;
}

/* As it is before. */
void
observed_rewrites(Command *command, Oid relid)
{
	if (command->observed)
		command->observed->rewritten += table_bytes(relid);
}

void
observed_commits(Command *command)
{
	waits_look();
	if (command->observed)
		look_at_locks(command);
}

void
observed_ends(Command *command)
{
	Observed   *observed = command->observed;

	if (observed == NULL || !observed->runs)
		return;
	observed->ran_ms = ms_since(command);
	observed->ran_wal = pgWalUsage.wal_bytes - observed->wal;
	observed->written = command->concurrent ? bytes_in_created(command) :
		bytes_in_new_files(observed->files);
	look_at_locks(command);
	classify(command);
	observed->ended = true;
}

/* ---- as it is written down ---- */

/* NULL: what is told to nobody. */
static char *
name_of(Command *command, Oid relid)
{
	ObjectAddress address;
	Image	   *image;
	Oid			namespace;
	char	   *schema;

	ObjectAddressSet(address, RelationRelationId, relid);
	image = command_find_before(command, &address);
	if (image)
		return image->identity;
	namespace = get_rel_namespace(relid);
	if (!OidIsValid(namespace) || isAnyTempNamespace(namespace) || vault_is_schema(namespace) ||
		IsCatalogNamespace(namespace) || IsToastNamespace(namespace) || is_created(command, relid))
		return NULL;
	schema = get_namespace_name(namespace);
	return strcmp(schema, SAFEMIG_SCHEMA) == 0 ? NULL :
		quote_qualified_identifier(schema, get_rel_name(relid));
}

static int
by_strength(const void *a, const void *b)
{
	const OwnLock *first = a;
	const OwnLock *second = b;

	if (first->mode != second->mode)
		return second->mode - first->mode;
	return first->relid < second->relid ? -1 : first->relid > second->relid;
}

static void
write_locks(Command *command, Facts *facts)
{
	Observed   *observed = command->observed;

	facts->locked = observed->nbefore < 0 ? -1 : 0;
	if (observed->nbefore < 0)
		return;
	qsort(observed->taken, observed->ntaken, sizeof(OwnLock), by_strength);
	for (int i = 0; i < observed->ntaken; i++)
	{
		char	   *name = name_of(command, observed->taken[i].relid);

		if (name == NULL)
			continue;
		if (++facts->locked <= LOCKS_WRITTEN)
			facts->locks = lappend(lappend(facts->locks, name),
								   unconstify(char *, lock_in_words(observed->taken[i].mode)));
	}
}

/* What it took is what such a command will take again. */
static void
learn(const Command *command, const Facts *facts, double ms)
{
	if (safemig_state.record_id != 0 || command->outer ||
		strcmp(facts->cost, "catalog") == 0 || facts->table_bytes < WORTH_MEASURING)
		return;
	history_write_measure(command->started, command->tag, facts->cost, -1,
						  facts->table_bytes, ms - facts->waited_ms);
	if (history_forgets_measures())
		history_forget_measures(command->tag, facts->cost);
}

const Facts *
observed_facts(Command *command, double ms)
{
	Observed   *observed = command->observed;
	Facts	   *facts;

	if (observed == NULL || !observed->ended)
		return NULL;
	facts = palloc0(sizeof(Facts));
	facts->waited_ms = waits_ms() - observed->waited;
	facts->own_ms = observed->own_ms + Max(ms - observed->ran_ms, 0);
	facts->wal_bytes = pgWalUsage.wal_bytes - observed->wal;
	facts->own_wal_bytes = observed->own_wal + facts->wal_bytes - observed->ran_wal;
	facts->written_bytes = observed->written;
	facts->cost = observed->cost;
	facts->table_bytes = observed->table_bytes;
	write_locks(command, facts);
	learn(command, facts, ms);
	return facts;
}
