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
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/resowner.h"

#include "advise/observe.h"
#include "capture/target.h"
#include "capture/capture.h"
#include "compat.h"
#include "rollback/rollback.h"

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

/* Who holds what the statement would have to wait for, as a clause. */
static char *
in_the_way_of(const Statement *statement)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, statement->locks)
	{
		const TakenLock *lock = lfirst(lc);
		char	   *pids = lock_holders(lock);

		if (pids)
			appendStringInfo(&buf, "%s%s by process %s", buf.len ? "; " : ", in its way: ",
							 lock->target->name, pids);
	}
	return buf.data;
}

static bool
was_held_up(const ErrorData *error, bool spent)
{
	return spent || error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED;
}

static void
note_end(Observation *observation, char *outcome, bool held_up)
{
	ListCell   *lc;

	if (observation->running && held_up)
		outcome = psprintf("%s%s", outcome, in_the_way_of(observation->running));

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
		note_end(observation, outcome_of(error, spent, budget), was_held_up(error, spent));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
}
