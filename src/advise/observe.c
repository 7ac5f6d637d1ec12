/*-------------------------------------------------------------------------
 *
 * observe.c
 *	  The script itself, run and undone: the locks that it really takes, what
 *	  it writes anew, which rows it would refuse.
 *
 * It runs in one subtransaction that is always rolled back, with the caller's
 * rights, and ends itself when locks have been held as long as the caller
 * allows.  What cannot run so is passed over, and said.  What safemig records
 * and keeps of it goes as well.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"

#include "advise/advise.h"
#include "capture/target.h"
#include "capture/capture.h"
#include "compat.h"
#include "rollback/rollback.h"

/* A relation as it was before the statement that is being run. */
typedef struct Seen
{
	Oid			relid;			/* the key */
	Oid			filenode;
	Oid			table;			/* of an index */
	int64		scans;
	LOCKMODE	held;
	bool		old;			/* was there before the script */
	char		relkind;
	char	   *name;			/* NULL of what is not told of */
} Seen;

typedef struct Observation
{
	Assessment *a;
	HTAB	   *seen;
	Statement  *running;
	int64		last_command;	/* of the history, before it */
} Observation;

/* ---- what cannot be tried ---- */

static const char *
cannot_be_tried(Node *node)
{
	static const char *const outside = "not tried: it cannot run inside a transaction";

	if (is_concurrently(node) || is_outside_command(node))
		return outside;
	switch (nodeTag(node))
	{
		case T_TransactionStmt:
			return "not tried: the script is run in one transaction";
		case T_VacuumStmt:
			return ((VacuumStmt *) node)->is_vacuumcmd ? outside : NULL;
		case T_ReindexStmt:
			return ((ReindexStmt *) node)->relation == NULL ? outside : NULL;
		case T_ClusterStmt:
			return ((ClusterStmt *) node)->relation == NULL ||
				cluster_is_of_partitions((ClusterStmt *) node) ? outside : NULL;
		case T_DiscardStmt:
			return outside;
		case T_CopyStmt:
			return ((CopyStmt *) node)->filename == NULL && ((CopyStmt *) node)->relation ?
				"not tried: it needs a client" : NULL;
		case T_CreateSubscriptionStmt:
		case T_AlterSubscriptionStmt:
		case T_DropSubscriptionStmt:
			return "not tried: it changes another server";
		default:
			return NULL;
	}
}

/* ---- looking ---- */

static Oid
oid_at(HeapTuple tuple, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, SPI_tuptable->tupdesc, column, &isnull);

	return isnull ? InvalidOid : DatumGetObjectId(value);
}

/* What belongs to users, with the number of times that it was read. */
static void
ask_relations(void)
{
	if (SPI_execute("SELECT c.oid, c.relfilenode, i.indrelid, c.relkind::text, c.relname, n.nspname,"
					" CASE WHEN c.relkind IN ('r', 'm') THEN pg_stat_get_xact_numscans(c.oid) END"
					" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
					" LEFT JOIN pg_index i ON i.indexrelid = c.oid"
					" WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm', 'v', 'f', 'i', 'I', 'S', 'c')"
					" AND c.relpersistence <> 't' AND n.nspname NOT LIKE 'safemig%'"
					" AND n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema')",
					false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read pg_class");
}

static int64
scans_at(HeapTuple tuple)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, SPI_tuptable->tupdesc, 7, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static void
look_at_relations(HTAB *seen, MemoryContext context, bool old)
{
	Frame		frame;

	frame_pin(&frame);
	own_work_begin();
	SPI_connect();
	ask_relations();
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		Oid			relid = oid_at(tuple, 1);
		bool		found;
		Seen	   *relation = hash_search(seen, &relid, HASH_ENTER, &found);

		if (!found)
		{
			relation->old = old;
			relation->held = NoLock;
			relation->relkind = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 4)[0];
			relation->name = MemoryContextStrdup(context,
												 quote_qualified_identifier(SPI_getvalue(tuple, SPI_tuptable->tupdesc, 6),
																			SPI_getvalue(tuple, SPI_tuptable->tupdesc, 5)));
		}
		relation->filenode = oid_at(tuple, 2);
		relation->table = oid_at(tuple, 3);
		relation->scans = scans_at(tuple);
	}
	SPI_finish();
	own_work_end();
	frame_unpin(&frame);
}

static LOCKMODE
lock_mode_at(HeapTuple tuple, int column)
{
	char	   *name = SPI_getvalue(tuple, SPI_tuptable->tupdesc, column);

	for (LOCKMODE mode = AccessShareLock; mode <= AccessExclusiveLock; mode++)
	{
		if (strcmp(GetLockmodeName(DEFAULT_LOCKMETHOD, mode), name) == 0)
			return mode;
	}
	return NoLock;
}

typedef struct HeldLock
{
	Seen	   *relation;
	LOCKMODE	mode;
} HeldLock;

/* Of HeldLock*: of each relation that was there before, every mode it is held in. */
static List *
locks_held(HTAB *seen)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *locks = NIL;
	Frame		frame;

	frame_pin(&frame);
	SPI_connect();
	if (SPI_execute("SELECT l.relation, l.mode FROM pg_locks l WHERE l.pid = pg_backend_pid()"
					" AND l.locktype = 'relation' AND l.granted AND l.relation >= 16384",
					false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read pg_locks");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		Oid			relid = oid_at(tuple, 1);
		Seen	   *relation = hash_search(seen, &relid, HASH_FIND, NULL);
		LOCKMODE	mode = lock_mode_at(tuple, 2);
		MemoryContext old = MemoryContextSwitchTo(context);
		HeldLock   *lock = palloc(sizeof(HeldLock));

		lock->relation = relation;
		lock->mode = mode;
		if (relation && relation->old)
			locks = lappend(locks, lock);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	frame_unpin(&frame);
	return locks;
}

static void
note_held(HTAB *seen)
{
	ListCell   *lc;

	foreach(lc, locks_held(seen))
	{
		HeldLock   *lock = lfirst(lc);

		lock->relation->held = Max(lock->relation->held, lock->mode);
	}
}

/* ---- telling ---- */

static bool
is_told_of(const Statement *statement, const char *name, Finding **first)
{
	ListCell   *lc;

	foreach(lc, statement->findings)
	{
		Finding    *finding = lfirst(lc);

		if (finding->target == NULL || strcmp(finding->target->name, name) != 0)
			continue;
		*first = finding;
		return true;
	}
	return false;
}

/* Locks that nobody foretold are told of relations that hold data or show it. */
static bool
is_worth_telling(const Seen *relation, LOCKMODE mode)
{
	return mode >= ShareUpdateExclusiveLock && relation->relkind != RELKIND_INDEX &&
		relation->relkind != RELKIND_PARTITIONED_INDEX && relation->relkind != RELKIND_SEQUENCE &&
		relation->relkind != RELKIND_COMPOSITE_TYPE;
}

static void
set_observed(Statement *statement, const char *name, const char *lock, const char *cost)
{
	ListCell   *lc;

	foreach(lc, statement->findings)
	{
		Finding    *finding = lfirst(lc);

		if (finding->target == NULL || finding->target->made ||
			strcmp(finding->target->name, name) != 0)
			continue;
		if (lock)
			finding->observed_lock = lock;
		if (cost)
			finding->observed_cost = cost;
	}
}

static void
tell_lock(Observation *observation, Seen *relation, LOCKMODE mode)
{
	Statement  *statement = observation->running;
	Finding    *finding;

	/* whether it was asked for once more cannot be seen */
	if (mode <= relation->held)
		return;
	if (!is_told_of(statement, relation->name, &finding))
	{
		Target	   *target;

		if (!is_worth_telling(relation, mode))
			return;
		target = palloc0(sizeof(Target));
		target->relid = relation->relid;
		target->relkind = relation->relkind;
		target->name = relation->name;
		finding = add_finding(observation->a, statement, target);
	}
	if (mode > AccessShareLock && lock_from_words(finding->observed_lock) < mode)
		set_observed(statement, relation->name, lock_in_words(mode), NULL);
}

static int
by_name(const ListCell *a, const ListCell *b)
{
	return strcmp(((HeldLock *) lfirst(a))->relation->name, ((HeldLock *) lfirst(b))->relation->name);
}

static void
tell_locks(Observation *observation)
{
	List	   *locks = locks_held(observation->seen);
	ListCell   *lc;

	list_sort(locks, by_name);
	foreach(lc, locks)
	{
		HeldLock   *lock = lfirst(lc);

		tell_lock(observation, lock->relation, lock->mode);
	}
}

/* What became of the files since the statement began. */
static void
tell_cost(Observation *observation)
{
	HASH_SEQ_STATUS walk;
	Seen	   *before;
	HASHCTL		control = {.keysize = sizeof(Oid),.entrysize = sizeof(Seen),
	.hcxt = CurrentMemoryContext};
	HTAB	   *now = hash_create("relations now", 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	Seen	   *relation;

	look_at_relations(now, CurrentMemoryContext, false);
	/* cheapest first: what comes later is stronger */
	hash_seq_init(&walk, observation->seen);
	while ((before = hash_seq_search(&walk)) != NULL)
	{
		relation = hash_search(now, &before->relid, HASH_FIND, NULL);
		if (before->old && relation && relation->scans > before->scans)
			set_observed(observation->running, before->name, NULL, "scan");
		else if (before->old && OidIsValid(before->filenode))
			set_observed(observation->running, before->name, NULL, "catalog");
	}
	hash_seq_init(&walk, now);
	while ((relation = hash_seq_search(&walk)) != NULL)
	{
		Seen	   *table;

		before = hash_search(observation->seen, &relation->relid, HASH_FIND, NULL);
		if (relation->relkind != RELKIND_INDEX || (before && before->filenode == relation->filenode))
			continue;
		table = hash_search(observation->seen, &relation->table, HASH_FIND, NULL);
		if (table && table->old)
			set_observed(observation->running, table->name, NULL, "index");
		if (before && before->old)
			set_observed(observation->running, before->name, NULL, "index");
	}
	hash_seq_init(&walk, now);
	while ((relation = hash_seq_search(&walk)) != NULL)
	{
		before = hash_search(observation->seen, &relation->relid, HASH_FIND, NULL);
		if (before && before->old && before->filenode != relation->filenode &&
			relation->relkind != RELKIND_INDEX && relation->relkind != RELKIND_SEQUENCE &&
			!IsA(observation->running->node, TruncateStmt))
			set_observed(observation->running, before->name, NULL, "rewrite");
	}
	hash_destroy(now);
}

/* ---- rows that would be refused ---- */

typedef struct Counting
{
	const char *query;
	double		rows;
} Counting;

static bool
count_rows(void *arg)
{
	Counting   *counting = arg;
	bool		isnull;

	SPI_connect();
	if (SPI_execute(psprintf("SELECT pg_catalog.count(*) FROM (%s) q", counting->query),
					true, 0) == SPI_OK_SELECT)
		counting->rows = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return false;
}

/* An error is no answer: the statement itself will meet it. */
static void
count_refused(Statement *statement)
{
	ListCell   *lc;

	foreach(lc, statement->findings)
	{
		Finding    *finding = lfirst(lc);
		Counting	counting = {finding->query, -1};
		ErrorData  *error;

		if (finding->query == NULL)
			continue;
		error = attempt(count_rows, &counting);
		if (error && ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
			ReThrowError(error);
		finding->refused = counting.rows;
	}
}

/* ---- what safemig records of it ---- */

static int64
last_command(void)
{
	return (int64) facts_number("SELECT coalesce(max(seq), 0) FROM safemig.command_log WHERE $1 = 0::oid AND $2 = 0",
								InvalidOid, 0);
}

static char *
irreversible_since(int64 seq)
{
	return facts_text(psprintf("SELECT string_agg(irreversible, E'\n' ORDER BY seq) FROM safemig.command_log"
							   " WHERE seq > " INT64_FORMAT " AND irreversible IS NOT NULL AND $1 = 0::oid AND $2 = 0", seq),
					  InvalidOid, 0);
}

/* Of what was copied of the relation, not moved; -1: nothing. */
static double
kept_since(int64 seq, const char *name)
{
	return facts_number(psprintf("SELECT sum(bytes) FROM safemig.kept_log WHERE command > " INT64_FORMAT
								 " AND kind NOT IN ('relation', 'type', 'collation', 'support', 'position')"
								 " AND identity = %s AND $1 = 0::oid AND $2 = 0",
								 seq, quote_literal_cstr(name)), InvalidOid, 0);
}

static void
tell_recorded(Observation *observation, Statement *statement)
{
	char	   *reason;
	Frame		frame;
	ListCell   *lc;
	double		bytes;

	data_record_pending();
	frame_become_owner(&frame);
	reason = irreversible_since(observation->last_command);
	foreach(lc, statement->findings)
	{
		Finding    *finding = lfirst(lc);

		if (finding->target == NULL || finding->kept == NULL)
			continue;
		bytes = kept_since(observation->last_command, finding->target->name);
		if (bytes >= 0)
			finding->kept_bytes = bytes;
	}
	observation->last_command = last_command();
	frame_unpin(&frame);
	if (reason)
	{
		observation->a->now = statement;
		fire_named(observation->a, RULE_IRREVERSIBLE, statement->tag)->why = reason;
	}
}

/* ---- statements that name what goes ---- */

static bool
takes_a_name_away(const Rule *rule)
{
	return rule == &rules[RULE_DROP_TABLE] || rule == &rules[RULE_DROP_COLUMN] ||
		rule == &rules[RULE_DROP_VIEW] || rule == &rules[RULE_DROP_MATVIEW] ||
		rule == &rules[RULE_RENAME_TABLE] || rule == &rules[RULE_RENAME_COLUMN] ||
		rule == &rules[RULE_SET_SCHEMA];
}

/* Where the view is, or NULL where the extension is not. */
static char *
statements_view(void)
{
	return facts_text("SELECT format('%I.pg_stat_statements', n.nspname) FROM pg_extension e"
					  " JOIN pg_namespace n ON n.oid = e.extnamespace"
					  " WHERE e.extname = 'pg_stat_statements' AND $1 = 0::oid AND $2 = 0", InvalidOid, 0);
}

static char *
statements_query(const char *view, const Finding *finding)
{
	const char *name = finding->part ? finding->part : get_rel_name(finding->target->relid);

	return psprintf("SELECT s.calls, s.query FROM %s s JOIN pg_catalog.pg_database d ON d.oid = s.dbid"
					" WHERE d.datname = pg_catalog.current_database() AND s.query ~* %s"
					" AND s.query ~* '^[[:space:]]*(select|insert|update|delete|with|merge)'",
					view, quote_literal_cstr(psprintf("\\m%s\\M", name)));
}

static void
who_names_it(Observation *observation, Statement *statement)
{
	char	   *view = statements_view();
	ListCell   *lc;

	if (view == NULL)
		return;
	foreach(lc, list_copy(statement->findings))
	{
		Finding    *finding = lfirst(lc);
		Counting	counting = {NULL, -1};
		Finding    *use;

		if (finding->target == NULL || finding->target->made || finding->rule == NULL ||
			!takes_a_name_away(finding->rule))
			continue;
		counting.query = statements_query(view, finding);
		(void) attempt(count_rows, &counting);
		if (counting.rows <= 0)
			continue;
		observation->a->now = statement;
		use = fire(observation->a, RULE_NAMED_BY_STATEMENTS, finding->target);
		use->object = finding->object;
		use->lock = finding->lock;
		use->query = pstrdup(counting.query);
		use->refused = counting.rows;
	}
}

/* ---- running ---- */

static void
execute(const char *sql)
{
	int			result;

	SPI_connect();
	result = SPI_execute(sql, false, 0);
	if (result < 0)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("the command needs a client: %s", SPI_result_code_string(result))));
	SPI_finish();
}

static void
run_statement_observed(Observation *observation, Statement *statement)
{
	const char *why_not = cannot_be_tried(statement->node);

	if (why_not)
	{
		statement->outcome = pstrdup(why_not);
		return;
	}
	observation->running = statement;
	look_at_relations(observation->seen, CurrentMemoryContext, false);
	count_refused(statement);
	who_names_it(observation, statement);
	note_held(observation->seen);
	execute(statement->sql);
	statement->outcome = "done";
	tell_locks(observation);
	tell_cost(observation);
	tell_recorded(observation, statement);
}

static void
run_all(Observation *observation)
{
	int			level = NewGUCNestLevel();
	Frame		frame;
	ListCell   *lc;

	state_save();
	safemig_state.explicit_id = safemig_state.xact_id = safemig_state.labelled_id = 0;
	safemig_state.written_id = 0;
	safemig_state.relabelled = false;
	safemig_state.row_label = NULL;
	safemig_state.labelled = NULL;
	(void) set_config_option("safemig.policy", "off", PGC_SUSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	/* what PostgreSQL says of it is nobody's */
	(void) set_config_option("client_min_messages", "error", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("safemig.label", "safemig_assess", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	look_at_relations(observation->seen, CurrentMemoryContext, true);
	frame_become_owner(&frame);
	observation->last_command = last_command();
	frame_unpin(&frame);
	foreach(lc, observation->a->statements)
		run_statement_observed(observation, lfirst(lc));
	AtEOXact_GUC(false, level);
}

static char *
outcome_of(const ErrorData *error, bool spent, int budget)
{
	if (spent)
		return psprintf("ended: locks had been held, or waited for, for %d ms", budget);
	return psprintf("failed: %s %s", unpack_sql_state(error->sqlerrcode), error->message);
}

static void
note_end(Observation *observation, char *outcome)
{
	ListCell   *lc;

	if (observation->running)
		observation->running->outcome = outcome;
	foreach(lc, observation->a->statements)
	{
		Statement  *statement = lfirst(lc);

		if (statement->outcome == NULL)
			statement->outcome = "not reached";
	}
}

void
observe_script(Assessment *a, int budget)
{
	HASHCTL		control = {.keysize = sizeof(Oid),.entrysize = sizeof(Seen),
	.hcxt = CurrentMemoryContext};
	/* in memory, for what is in registers is lost by an error */
	Observation *observation = palloc0(sizeof(Observation));
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	/* what the transaction wrote up to now is to stay recorded */
	data_record_pending();
	observation->a = a;
	observation->seen = hash_create("relations", 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		hold_clock_start(budget);
		run_all(observation);
		(void) hold_clock_stop();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;
		bool		spent = hold_clock_stop();

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED && !spent)
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		note_end(observation, outcome_of(error, spent, budget));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
}
