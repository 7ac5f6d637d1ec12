/*-------------------------------------------------------------------------
 *
 * show.c
 *	  Looking without touching: safemig_plan, safemig_diff, safemig_verify.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "rollback/rollback.h"

PG_FUNCTION_INFO_V1(safemig_plan);
PG_FUNCTION_INFO_V1(safemig_diff);
PG_FUNCTION_INFO_V1(safemig_verify);

static RollbackPlan *
plan_of_argument(FunctionCallInfo fcinfo)
{
	Frame		frame;
	RollbackPlan *plan;

	frame_become_owner(&frame);
	plan = plan_build(list_make1(history_get_migration(PG_GETARG_INT64(0), false)));
	frame_unpin(&frame);
	plan_check_rights(plan);
	return plan;
}

static Datum
text_datum(const char *value, bool *isnull)
{
	*isnull = value == NULL;
	return value ? CStringGetTextDatum(value) : (Datum) 0;
}

/* ---- safemig_plan ---- */

/* The step's own remark, or what is to be said of the rows it is about. */
static char *
note_of(const RecordedCommand *command, const Step *step)
{
	static const char *const calls[] = {
		"SELECT safemig.fill_column(", "SELECT safemig.restore_column_type("
	};
	char	   *note = NULL;
	Frame		frame;

	if (command->irreversible)
		return command->irreversible;
	frame_become_owner(&frame);
	for (size_t i = 0; i < lengthof(calls) && note == NULL; i++)
	{
		if (strncmp(step->sql, calls[i], strlen(calls[i])) == 0)
			note = astray_forecast(strtoll(step->sql + strlen(calls[i]), NULL, 10));
	}
	frame_unpin(&frame);
	return note ? note : step->note;
}

static void
put_step(ReturnSetInfo *result, RollbackPlan *plan, int number,
		 const RecordedCommand *command, const Step *step, List *rates)
{
	Datum		values[8];
	bool		nulls[8] = {false};
	Extent		extent;
	double		ms;
	Frame		frame;

	frame_become_owner(&frame);
	extent = step_extent(plan, step);
	ms = step_estimate(rates, step, &extent);
	frame_unpin(&frame);
	values[0] = Int32GetDatum(number);
	values[1] = text_datum(step->object, &nulls[1]);
	values[2] = text_datum(step->lock_mode, &nulls[2]);
	values[3] = text_datum(step->cost, &nulls[3]);
	values[4] = Int64GetDatum(extent.rows);
	nulls[4] = extent.rows < 0;
	values[5] = text_datum(note_of(command, step), &nulls[5]);
	values[6] = text_datum(step->sql, &nulls[6]);
	values[7] = Float8GetDatum(ms);
	nulls[7] = ms < 0;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
safemig_plan(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	RollbackPlan *plan = plan_of_argument(fcinfo);
	ListCell   *lc;
	ListCell   *inner;
	List	   *rates;
	Frame		frame;
	int			n = 0;

	InitMaterializedSRF(fcinfo, 0);
	frame_become_owner(&frame);
	rates = rates_read();
	frame_unpin(&frame);
	foreach(lc, plan->commands)
	{
		RecordedCommand *command = lfirst(lc);

		foreach(inner, command->steps)
			put_step(result, plan, ++n, command, lfirst(inner), rates);
	}
	return (Datum) 0;
}

/* ---- safemig_diff and safemig_verify ---- */

typedef struct Rows
{
	ReturnSetInfo *result;
	const char *object;
} Rows;

static void
put_row(void *arg, const char *part, const char *name, const char *a,
		const char *b)
{
	Rows	   *rows = arg;
	Datum		values[4];
	bool		nulls[4] = {false};

	values[0] = CStringGetTextDatum(rows->object);
	values[1] = CStringGetTextDatum(part[0] ? psprintf("column %s %s", part, name) : name);
	values[2] = text_datum(a, &nulls[2]);
	values[3] = text_datum(b, &nulls[3]);
	tuplestore_putvalues(rows->result->setResult, rows->result->setDesc,
						 values, nulls);
}

static void
put_difference(Rows *rows, const Image *a, const Image *b)
{
	if (a && b)
		image_compare(a, b, put_row, rows);
	else if (a)
		put_row(rows, "", "object", "present", NULL);
	else if (b)
		put_row(rows, "", "object", NULL, "present");
}

static ObjectState *
find_state(List *states, const char *key)
{
	ListCell   *lc;

	foreach(lc, states)
	{
		if (strcmp(((ObjectState *) lfirst(lc))->key, key) == 0)
			return lfirst(lc);
	}
	return NULL;
}

static bool
is_baseline(const RollbackPlan *plan)
{
	return strcmp(((Migration *) linitial(plan->migrations))->kind, "baseline") == 0;
}

Datum
safemig_diff(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	RollbackPlan *plan = plan_of_argument(fcinfo);
	List	   *after = states_after(plan->commands);
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	/* it changed nothing */
	if (is_baseline(plan))
		return (Datum) 0;
	foreach(lc, states_before(plan->commands))
	{
		ObjectState *before = lfirst(lc);
		ObjectState *then = find_state(after, before->key);
		Rows		rows = {result, image_address_key(before->image)};

		put_difference(&rows, before->present ? before->image : NULL,
					   then && then->present ? then->image : NULL);
	}
	return (Datum) 0;
}

typedef struct StateKey
{
	char		key[sizeof(((ObjectState *) 0)->key)];
} StateKey;

/* What is there now and was not when the baseline was recorded. */
static void
put_newcomers(ReturnSetInfo *result, List *states)
{
	HASHCTL		ctl = {.keysize = sizeof(StateKey),.entrysize = sizeof(StateKey),
	.hcxt = CurrentMemoryContext};
	HTAB	   *known = hash_create("safemig baseline", 1024, &ctl,
									HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	ListCell   *lc;

	foreach(lc, states)
		(void) hash_search(known, ((ObjectState *) lfirst(lc))->key, HASH_ENTER, NULL);
	foreach(lc, baseline_images())
	{
		char	   *key = image_address_key(lfirst(lc));
		Rows		rows = {result, key};
		StateKey	cut;

		strlcpy(cut.key, key, sizeof(cut.key));
		if (hash_search(known, cut.key, HASH_FIND, NULL) == NULL)
			put_difference(&rows, NULL, lfirst(lc));
	}
}

Datum
safemig_verify(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	RollbackPlan *plan = plan_of_argument(fcinfo);
	Migration  *migration = linitial(plan->migrations);
	bool		undone = strcmp(migration->state, "rolled_back") == 0;
	List	   *states;
	Frame		frame;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	if (plan->commands == NIL)
	{
		Rows		rows = {result, "migration"};

		put_row(&rows, "", "recorded state", "none", NULL);
	}
	frame_become_owner(&frame);
	states = undone ? states_before(plan->commands) : states_after(plan->commands);
	foreach(lc, states)
	{
		ObjectState *state = lfirst(lc);
		Rows		rows = {result, image_address_key(state->image)};
		Image	   *now = image_now(state->image);
		char	   *why;

		put_difference(&rows, state->present ? image_reworded(state->image, now, &why) : NULL,
					   now);
	}
	if (is_baseline(plan))
		put_newcomers(result, states);
	frame_unpin(&frame);
	return (Datum) 0;
}
