/*-------------------------------------------------------------------------
 *
 * prove.c
 *	  safemig_prove: is a script that has not been run yet exactly reversible?
 *
 * It is run, taken back, redone, taken back, and run again, all in a
 * subtransaction that is rolled back.  What is compared is not what the
 * rollback compares, but every object of the database and the rows of every
 * table that the script had a hand in.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/tuplestore.h"

#include "capture/capture.h"
#include "compat.h"
#include "rollback/rollback.h"

PG_FUNCTION_INFO_V1(safemig_prove);

typedef struct Proof
{
	const char *script;
	List	   *migrations;		/* of Migration*, newest first: the last run */
	List	   *tables;			/* of char*: identities of those it had a hand in */
	List	   *items;			/* of ProofItem* */
} Proof;

/* ---- what is found ---- */

static void
add_item(Proof *proof, const char *item, const char *outcome, const char *detail)
{
	ProofItem  *found = palloc(sizeof(ProofItem));

	found->item = item;
	found->outcome = outcome;
	found->detail = detail;
	proof->items = lappend(proof->items, found);
}

/* ---- trying ---- */

/* Cancelled, or out of something: says nothing about the script. */
static bool
is_no_answer(int sqlstate)
{
	int			category = ERRCODE_TO_CATEGORY(sqlstate);

	return category == ERRCODE_OPERATOR_INTERVENTION ||
		category == ERRCODE_INSUFFICIENT_RESOURCES;
}

typedef struct Trial
{
	void		(*what) (Proof *proof, void *arg);
	Proof	   *proof;
	void	   *arg;
	bool		undo;
} Trial;

static bool
run_trial(void *arg)
{
	Trial	   *trial = arg;

	trial->what(trial->proof, trial->arg);
	return !trial->undo;
}

/* The error with which it failed, or NULL; undone if it failed, or in any case. */
static ErrorData *
try_out(void (*what) (Proof *proof, void *arg), Proof *proof, void *arg, bool undo)
{
	Trial		trial = {what, proof, arg, undo};
	ErrorData  *error = attempt(run_trial, &trial);

	if (error && is_no_answer(error->sqlerrcode))
		ReThrowError(error);
	return error;
}

static char *
error_in_words(const ErrorData *error)
{
	return error->detail ? psprintf("%s %s\n%s", unpack_sql_state(error->sqlerrcode),
									error->message, error->detail) :
		psprintf("%s %s", unpack_sql_state(error->sqlerrcode), error->message);
}

/* ---- the script ---- */

/* What cannot run inside a transaction, or only in several. */
static bool
is_not_provable(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_ACTIVE_SQL_TRANSACTION ||
		error->sqlerrcode == ERRCODE_INVALID_TRANSACTION_TERMINATION ||
		error->sqlerrcode == ERRCODE_UNSAFE_NEW_ENUM_VALUE_USAGE;
}

static void
execute(const char *script)
{
	int			result;

	SPI_connect();
	result = SPI_execute(script, false, 0);
	if (result == SPI_ERROR_TRANSACTION)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("the script begins or ends a transaction")));
	if (result < 0)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("the script contains a command that needs a client: %s",
						SPI_result_code_string(result))));
	SPI_finish();
}

static int64
newest_id(void)
{
	bool		isnull;
	int64		id;

	SPI_connect();
	if (SPI_execute("SELECT COALESCE(pg_catalog.max(id), 0) FROM safemig.migration_log", false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read migration_log");
	id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return id;
}

/* As one labelled migration of its own, or as several if it says so itself. */
static void
run_script(Proof *proof, void *arg)
{
	Oid			type = INT8OID;
	Datum		mark;
	Frame		frame;
	int			level;

	frame_become_owner(&frame);
	mark = Int64GetDatum(newest_id());
	frame_unpin(&frame);

	state_save();
	safemig_state.explicit_id = safemig_state.xact_id = safemig_state.labelled_id = 0;
	safemig_state.written_id = 0;
	safemig_state.relabelled = false;
	safemig_state.row_label = NULL;
	safemig_state.labelled = NULL;
	level = NewGUCNestLevel();
	(void) set_config_option("safemig.label", "safemig_prove", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	execute(proof->script);
	if (open_migration_id())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("the script leaves a migration open")));
	data_record_pending();
	AtEOXact_GUC(false, level);

	frame_become_owner(&frame);
	proof->migrations = history_migrations("m.id OPERATOR(pg_catalog.>) $1"
										   " AND m.xid OPERATOR(pg_catalog.=) pg_catalog.pg_current_xact_id()::pg_catalog.text"
										   " AND m.kind OPERATOR(pg_catalog.=) ANY (ARRAY['migration', 'snapshot'])",
										   1, &type, &mark);
	frame_unpin(&frame);
}

/* ---- what is asked ---- */

static RollbackPlan *
plan_of_run(Proof *proof)
{
	Frame		frame;
	RollbackPlan *plan;

	frame_become_owner(&frame);
	plan = plan_build(proof->migrations);
	frame_unpin(&frame);
	return plan;
}

/* Tables that the plan's objects are, or live in. */
static void
note_tables(Proof *proof, RollbackPlan *plan)
{
	ListCell   *lc;
	ListCell   *inner;
	ListCell   *known;

	foreach(lc, plan->commands)
	{
		foreach(inner, ((RecordedCommand *) lfirst(lc))->changes)
		{
			Change	   *change = lfirst(inner);
			Image	   *images[] = {change->before, change->after};

			for (size_t i = 0; i < lengthof(images); i++)
			{
				bool		found = false;

				if (images[i] == NULL || images[i]->address.classId != RelationRelationId)
					continue;
				foreach(known, proof->tables)
				{
					if (strcmp(lfirst(known), images[i]->identity) == 0)
						found = true;
				}
				if (!found)
					proof->tables = lappend(proof->tables, images[i]->identity);
			}
		}
	}
}

/* The reasons, a line each; NULL: nothing is irreversible. */
static char *
irreversible_reasons(RollbackPlan *plan)
{
	StringInfoData reasons;
	ListCell   *lc;

	initStringInfo(&reasons);
	foreach(lc, plan->commands)
	{
		RecordedCommand *command = lfirst(lc);

		if (command->irreversible)
			appendStringInfo(&reasons, "%s%s: %s", reasons.len ? "\n" : "",
							 command->tag, command->irreversible);
	}
	return reasons.len ? reasons.data : NULL;
}

typedef struct FirstRun
{
	char	   *irreversible;
	DatabaseState *after;
} FirstRun;

static void
first_run(Proof *proof, void *arg)
{
	FirstRun   *first = arg;
	RollbackPlan *plan;

	run_script(proof, NULL);
	plan = plan_of_run(proof);
	note_tables(proof, plan);
	first->irreversible = irreversible_reasons(plan);
	first->after = database_now(proof->tables);
}

static void
take_back_run(Proof *proof, void *arg)
{
	RollbackOptions options = {.on_conflict = CONFLICT_REFUSE};

	*(int64 *) arg = proof->migrations ?
		rollback_migrations(proof->migrations, &options) : 0;
}

static void
redo_run(Proof *proof, void *arg)
{
	if (*(int64 *) arg)
		(void) redo_one(*(int64 *) arg, NULL);
}

/* One more item: what was attempted, and whether it led to that state. */
static bool
add_attempt(Proof *proof, const char *item, const char *good, const char *bad,
			ErrorData *error, const DatabaseState *wanted)
{
	char	   *differences;

	if (error)
	{
		add_item(proof, item, bad, error_in_words(error));
		return false;
	}
	differences = database_differences(wanted, database_now(proof->tables));
	add_item(proof, item, differences ? "differs" : good, differences);
	return differences == NULL;
}

/* What they are now is in the history. */
static void
reload_migrations(Proof *proof)
{
	ListCell   *lc;

	foreach(lc, proof->migrations)
		lfirst(lc) = resolve_id(((Migration *) lfirst(lc))->id);
}

/* Rolled back, redone, and rolled back again; what comes first decides. */
static void
add_ways_back(Proof *proof, const DatabaseState *before, const DatabaseState *after)
{
	int64		rollback = 0;

	if (!add_attempt(proof, "rollback", "exact", "refused",
					 try_out(take_back_run, proof, &rollback, false), before) ||
		!add_attempt(proof, "redo", "exact", "refused",
					 try_out(redo_run, proof, &rollback, false), after))
		return;
	reload_migrations(proof);
	(void) add_attempt(proof, "rollback of the redo", "exact", "refused",
					   try_out(take_back_run, proof, &rollback, false), before);
}

static void
there_and_back(Proof *proof, void *arg)
{
	DatabaseState *before = database_now(proof->tables);

	run_script(proof, NULL);
	add_ways_back(proof, before, database_now(proof->tables));
}

/* Does it lead to the same state again, and is it harmless there? */
static void
twice(Proof *proof, void *arg)
{
	const DatabaseState *after = ((FirstRun *) arg)->after;

	if (add_attempt(proof, "second run", "same", "failed",
					try_out(run_script, proof, NULL, false), after))
		(void) add_attempt(proof, "run on top of itself", "harmless", "failed",
						   try_out(run_script, proof, NULL, false), after);
}

static void
prove(Proof *proof)
{
	FirstRun	first = {0};
	ErrorData  *error = try_out(first_run, proof, &first, true);

	if (error)
	{
		add_item(proof, "run", is_not_provable(error) ? "not provable" : "failed",
				 error_in_words(error));
		return;
	}
	add_item(proof, "run", "done", NULL);
	if (first.irreversible)
		add_item(proof, "rollback", "irreversible", first.irreversible);
	else if ((error = try_out(there_and_back, proof, NULL, true)) != NULL)
		add_item(proof, "run", "failed", error_in_words(error));
	if ((error = try_out(twice, proof, &first, true)) != NULL)
		add_item(proof, "second run", "failed", error_in_words(error));
}

List *
script_prove(const char *script)
{
	Proof		proof = {.script = script};
	int			level = NewGUCNestLevel();

	/* what the transaction wrote up to now is to stay recorded */
	data_record_pending();
	/* its rollbacks are nobody's */
	(void) set_config_option("safemig.notices", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	prove(&proof);
	AtEOXact_GUC(false, level);
	return proof.items;
}

Datum
safemig_prove(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	check_not_null(fcinfo, 0, "script");
	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, script_prove(text_argument(fcinfo, 0)))
	{
		ProofItem  *item = lfirst(lc);
		Datum		values[3];
		bool		nulls[3] = {false, false, item->detail == NULL};

		values[0] = CStringGetTextDatum(item->item);
		values[1] = CStringGetTextDatum(item->outcome);
		values[2] = item->detail ? CStringGetTextDatum(item->detail) : (Datum) 0;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
