/*-------------------------------------------------------------------------
 *
 * state.c
 *	  The module's mutable state, and how it survives errors.
 *
 * Everything that a transaction may undo lives in safemig_state.  Whoever is
 * about to change it calls state_save(): the values are put on a stack tagged
 * with the current subtransaction level, and come back when that level is
 * rolled back.  So a migration that was begun inside a savepoint is forgotten
 * with it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "capture/capture.h"
#include "capture/written.h"
#include "history/history.h"
#include "point.h"
#include "safemig.h"

State		safemig_state;

typedef struct SavedState
{
	struct SavedState *outer;
	int			nest_level;
	State		state;
} SavedState;

static SavedState *saved = NULL;

void
state_save(void)
{
	int			level = GetCurrentTransactionNestLevel();
	SavedState *save;

	if (saved && saved->nest_level >= level)
		return;
	save = MemoryContextAlloc(TopMemoryContext, sizeof(SavedState));
	save->outer = saved;
	save->nest_level = level;
	save->state = safemig_state;
	saved = save;
}

/*
 * Between these two nothing is recorded as a command.  An error in between
 * needs no handler: the abort brings the depth back.
 */
void
own_work_begin(void)
{
	state_save();
	safemig_state.own_depth++;
}

void
own_work_end(void)
{
	safemig_state.own_depth--;
}

static void
pop_saved(bool restore)
{
	SavedState *save = saved;

	if (restore)
	{
		open_locks_restore(save->state.ended, save->state.explicit_id);
		safemig_state = save->state;
	}
	saved = save->outer;
	pfree(save);
}

static void
on_subxact(SubXactEvent event, SubTransactionId my_subid,
		   SubTransactionId parent_subid, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		while (saved && saved->nest_level >= level)
			pop_saved(true);
		command_stack_abort(level);
		written_subtransaction_ends(level, true);
		failures_abort();
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		written_subtransaction_ends(level, false);
		/* what was saved for this level now stands for the one outside */
		if (saved && saved->nest_level >= level)
		{
			if (saved->outer && saved->outer->nest_level >= level - 1)
				pop_saved(false);
			else
				saved->nest_level = level - 1;
		}
	}
}

static void
on_xact(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			SAFEMIG_POINT("commit.begins");
			script_refuse_commit();
			command_record_unfinished();
			framework_transaction_ends();
			data_record_pending();
			migration_report_at_commit();
			/* not in the middle of a command, which comes to its end itself */
			if (command_top() == NULL)
				history_transaction_ends(event == XACT_EVENT_PRE_COMMIT);
			SAFEMIG_POINT("commit.recorded");
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
			while (saved)
				pop_saved(true);
			command_stack_abort(0);
			failures_abort();
			safemig_state.own_depth = 0;
			safemig_state.xact_id = 0;
			safemig_state.written_id = safemig_state.undone_id = 0;
			safemig_state.relabelled = false;
			safemig_state.row_label = NULL;
			safemig_state.writers = NIL;
			safemig_state.lent = false;
			safemig_state.record_id = 0;
			safemig_state.caller = NULL;
			safemig_state.net = NULL;
			safemig_state.broken_references = NIL;
			bystander_forget();
			safemig_state.written = safemig_state.seen = NIL;
			safemig_state.positions = safemig_state.positions_of = safemig_state.foreign_written = NIL;
			safemig_state.positions_recorded = 0;
			positions_forget();
			written_forget_statement();
			safemig_state.truncation = NULL;
			safemig_state.touched = NULL;
			safemig_state.emptied = safemig_state.overrides = NIL;
			safemig_state.shape = NULL;
			safemig_state.reverted_id = 0;
			safemig_state.written_since = 0;
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PREPARE:
			while (saved)
				pop_saved(false);
			open_locks_commit();
			safemig_state.xact_id = 0;
			safemig_state.written_id = safemig_state.undone_id = 0;
			safemig_state.relabelled = false;
			safemig_state.row_label = NULL;
			safemig_state.writers = NIL;
			safemig_state.written = safemig_state.seen = NIL;
			safemig_state.positions = safemig_state.positions_of = safemig_state.foreign_written = NIL;
			safemig_state.positions_recorded = 0;
			positions_forget();
			written_forget_statement();
			safemig_state.truncation = NULL;
			safemig_state.touched = NULL;
			safemig_state.emptied = safemig_state.overrides = NIL;
			safemig_state.shape = NULL;
			safemig_state.reverted_id = 0;
			safemig_state.written_since = 0;
			failures_commit();
			SAFEMIG_POINT_COMMITTED("commit.done");
			/* a CONCURRENTLY command commits in the middle of itself */
			command_stack_commit();
			break;
		default:
			break;
	}
}

void
state_init(void)
{
	RegisterXactCallback(on_xact, NULL);
	RegisterSubXactCallback(on_subxact, NULL);
}
