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

#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/tuplestore.h"

#include "capture/capture.h"
#include "compat.h"
#include "keep/rows.h"
#include "rollback/rollback.h"

PG_FUNCTION_INFO_V1(safemig_prove);

#define DIFFERENCES_TOLD	20

typedef struct Proof
{
	const char *script;
	List	   *migrations;		/* of Migration*, newest first: the last run */
	List	   *tables;			/* of char*: identities of those it had a hand in */
	List	   *items;			/* of ProofItem* */
} Proof;

/* ---- the state of the database ---- */

typedef struct TableRows
{
	char	   *identity;
	RowsProof	rows;
} TableRows;

typedef struct DatabaseState
{
	List	   *images;
	HTAB	   *by_key;
	List	   *tables;			/* of TableRows* */
} DatabaseState;

typedef struct ImageEntry
{
	char		key[NAMEDATALEN * 8];
	Image	   *image;
} ImageEntry;

static void
index_images(DatabaseState *state)
{
	HASHCTL		ctl = {.keysize = NAMEDATALEN * 8,.entrysize = sizeof(ImageEntry),
	.hcxt = CurrentMemoryContext};
	ListCell   *lc;

	state->by_key = hash_create("safemig images", 1024, &ctl,
								HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	foreach(lc, state->images)
	{
		ImageEntry *entry = hash_search(state->by_key, image_address_key(lfirst(lc)),
										HASH_ENTER, NULL);

		entry->image = lfirst(lc);
	}
}

/*
 * All rows of a table, as SELECT * shows them.  What a type of the user's
 * stores may be numbers of catalog rows that another run makes anew: its text
 * counts.
 */
static void
prove_rows(Relation rel, RowsProof *proof)
{
	TupleDesc	desc = RelationGetDescr(rel);
	TupleDesc	text_desc = CreateTemplateTupleDesc(1);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "safemig proof",
												  ALLOCSET_DEFAULT_SIZES);
	Snapshot	snapshot;
	TableScanDesc scan = plain_scan_begin(rel, &snapshot);

	TupleDescInitEntry(text_desc, 1, "value", TEXTOID, -1, 0);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		RowHash		hash = row_hash_begin();

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < desc->natts; i++)
		{
			Form_pg_attribute att = TupleDescAttr(desc, i);
			bool		isnull;
			Datum		value;

			if (att->attisdropped)
				continue;
			value = slot_getattr(slot, i + 1, &isnull);
			if (!isnull && att->atttypid >= FirstNormalObjectId)
			{
				Oid			output;
				bool		varlena;

				getTypeOutputInfo(att->atttypid, &output, &varlena);
				value = CStringGetTextDatum(OidOutputFunctionCall(output, value));
				att = TupleDescAttr(text_desc, 0);
			}
			row_hash_add(&hash, att, value, isnull);
		}
		rows_proof_add(proof, hash);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	plain_scan_end(scan, snapshot);
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextDelete(context);
}

static DatabaseState *
state_now(const Proof *proof)
{
	DatabaseState *state = palloc0(sizeof(DatabaseState));
	Frame		frame;
	ListCell   *lc;

	frame_become_owner(&frame);
	own_work_begin();
	state->images = baseline_images();
	index_images(state);
	foreach(lc, proof->tables)
	{
		Oid			relid = RangeVarGetRelid(makeRangeVarFromNameList(qualified_name_list(lfirst(lc))),
											 NoLock, true);
		char		relkind = OidIsValid(relid) ? get_rel_relkind(relid) : '\0';
		TableRows  *table;
		Relation	rel;

		if (relkind != RELKIND_RELATION && relkind != RELKIND_MATVIEW)
			continue;
		table = palloc0(sizeof(TableRows));
		table->identity = lfirst(lc);
		rel = table_open(relid, AccessShareLock);
		prove_rows(rel, &table->rows);
		table_close(rel, NoLock);
		state->tables = lappend(state->tables, table);
	}
	own_work_end();
	frame_unpin(&frame);
	return state;
}

typedef struct Differences
{
	StringInfo	told;
	int			number;
	const char *object;
} Differences;

static void
tell(Differences *differences, const char *object, const char *what)
{
	if (differences->number++ < DIFFERENCES_TOLD)
		appendStringInfo(differences->told, "%s%s: %s",
						 differences->told->len ? "\n" : "", object, what);
}

static void
tell_facet(void *arg, const char *part, const char *name, const char *a, const char *b)
{
	Differences *differences = arg;

	if (a && b && spelled_alike(a, b))
		return;
	tell(differences, differences->object, psprintf("%s%s%s", part, part[0] ? " " : "", name));
}

static TableRows *
rows_of(const DatabaseState *state, const char *identity)
{
	ListCell   *lc;

	foreach(lc, state->tables)
	{
		TableRows  *table = lfirst(lc);

		if (strcmp(table->identity, identity) == 0)
			return table;
	}
	return NULL;
}

/* In words; NULL: there is none. */
static char *
differences_between(const DatabaseState *a, const DatabaseState *b)
{
	StringInfoData told;
	Differences differences = {&told};
	ListCell   *lc;

	initStringInfo(&told);
	foreach(lc, a->images)
	{
		const char *key = image_address_key(lfirst(lc));
		ImageEntry *entry = hash_search(b->by_key, key, HASH_FIND, NULL);

		differences.object = key;
		if (entry == NULL)
			tell(&differences, key, "is gone");
		else
			image_compare(lfirst(lc), entry->image, tell_facet, &differences);
	}
	foreach(lc, b->images)
	{
		const char *key = image_address_key(lfirst(lc));

		if (hash_search(a->by_key, key, HASH_FIND, NULL) == NULL)
			tell(&differences, key, "is new");
	}
	foreach(lc, a->tables)
	{
		TableRows  *table = lfirst(lc);
		TableRows  *other = rows_of(b, table->identity);

		if (other && (other->rows.rows != table->rows.rows ||
					  other->rows.sum.first != table->rows.sum.first ||
					  other->rows.sum.second != table->rows.sum.second))
			tell(&differences, table->identity, "rows");
	}
	if (differences.number > DIFFERENCES_TOLD)
		appendStringInfo(&told, "\n... and %d more", differences.number - DIFFERENCES_TOLD);
	return told.len ? told.data : NULL;
}

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

/*
 * Calls what in a subtransaction, which is rolled back if it fails, and then
 * gives the error; or in any case.
 */
static ErrorData *
attempt(void (*what) (Proof *proof, void *arg), Proof *proof, void *arg, bool undo)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		what(proof, arg);
		if (undo)
			RollbackAndReleaseCurrentSubTransaction();
		else
			ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (is_no_answer(error->sqlerrcode))
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
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
	first->after = state_now(proof);
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
	differences = differences_between(wanted, state_now(proof));
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
					 attempt(take_back_run, proof, &rollback, false), before) ||
		!add_attempt(proof, "redo", "exact", "refused",
					 attempt(redo_run, proof, &rollback, false), after))
		return;
	reload_migrations(proof);
	(void) add_attempt(proof, "rollback of the redo", "exact", "refused",
					   attempt(take_back_run, proof, &rollback, false), before);
}

static void
there_and_back(Proof *proof, void *arg)
{
	DatabaseState *before = state_now(proof);

	run_script(proof, NULL);
	add_ways_back(proof, before, state_now(proof));
}

/* Does it lead to the same state again, and is it harmless there? */
static void
twice(Proof *proof, void *arg)
{
	const DatabaseState *after = ((FirstRun *) arg)->after;

	if (add_attempt(proof, "second run", "same", "failed",
					attempt(run_script, proof, NULL, false), after))
		(void) add_attempt(proof, "run on top of itself", "harmless", "failed",
						   attempt(run_script, proof, NULL, false), after);
}

static void
prove(Proof *proof)
{
	FirstRun	first = {0};
	ErrorData  *error = attempt(first_run, proof, &first, true);

	if (error)
	{
		add_item(proof, "run", is_not_provable(error) ? "not provable" : "failed",
				 error_in_words(error));
		return;
	}
	add_item(proof, "run", "done", NULL);
	if (first.irreversible)
		add_item(proof, "rollback", "irreversible", first.irreversible);
	else if ((error = attempt(there_and_back, proof, NULL, true)) != NULL)
		add_item(proof, "run", "failed", error_in_words(error));
	if ((error = attempt(twice, proof, &first, true)) != NULL)
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
