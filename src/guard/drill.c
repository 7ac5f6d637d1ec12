/*-------------------------------------------------------------------------
 *
 * drill.c
 *	  safemig_drill: the rollbacks that may be needed next, rehearsed, and how
 *	  long each took written down.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "history/history.h"
#include "rollback/rollback.h"
#include "safemig.h"

PG_FUNCTION_INFO_V1(safemig_drill);

#define PASSED	"passed"

typedef struct Drill
{
	List	   *migrations;		/* of Migration*, newest first */
	Migration  *migration;		/* the oldest of them */
	Rehearsal	rehearsal;
	TimestampTz began;
	char	   *outcome;
	int			steps;			/* that were done */
	int64		rows;
	double		ms;
} Drill;

static bool
rehearse(void *arg)
{
	Drill	   *drill = arg;

	migrations_rehearse(drill->migrations, &drill->rehearsal);
	return true;
}

/* What comes last has all that was met. */
static void
sum_up(Drill *drill)
{
	ListCell   *lc;

	drill->outcome = PASSED;
	foreach(lc, drill->rehearsal.outcomes)
	{
		StepOutcome *step = lfirst(lc);

		if (step->outcome == NULL)
			continue;
		if (strcmp(step->outcome, REHEARSED) != 0)
		{
			drill->outcome = step->outcome;
			continue;
		}
		drill->steps += step->number != 0;
		drill->rows += step->rows;
	}
}

/* Whoever may not roll it back is told so; what else is in the way is an outcome. */
static void
run_drill(Drill *drill)
{
	ErrorData  *error;

	drill->began = GetCurrentTimestamp();
	error = attempt(rehearse, drill);
	drill->ms = (GetCurrentTimestamp() - drill->began) / 1000.0;
	if (error == NULL)
	{
		sum_up(drill);
		return;
	}
	if (error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE ||
		ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	drill->outcome = psprintf("refused: %s", error->message);
}

static void
write_drill(const Drill *drill)
{
	Datum		values[8];
	bool		nulls[8] = {false};
	Frame		frame;

	values[0] = Int64GetDatum(drill->migration->id);
	values[1] = CStringGetTextDatum(drill->outcome);
	values[2] = Int32GetDatum(drill->steps);
	values[3] = Int64GetDatum(drill->rows);
	values[4] = Float8GetDatum(drill->ms);
	values[5] = CStringGetTextDatum(GetUserNameFromId(GetOuterUserId(), false));
	values[6] = TimestampTzGetDatum(drill->began);
	values[7] = CStringGetTextDatum(drill->migration->label ? drill->migration->label : "");
	nulls[7] = drill->migration->label == NULL;
	frame_become_owner(&frame);
	own_work_begin();
	history_insert("drill_log", values, nulls, lengthof(values));
	own_work_end();
	frame_unpin(&frame);
}

static void
put_drill(ReturnSetInfo *result, const Drill *drill)
{
	Datum		values[6];
	bool		nulls[6] = {false};

	values[0] = Int64GetDatum(drill->migration->id);
	values[1] = CStringGetTextDatum(drill->migration->label ? drill->migration->label : "");
	nulls[1] = drill->migration->label == NULL;
	values[2] = CStringGetTextDatum(drill->outcome);
	values[3] = Int32GetDatum(drill->steps);
	values[4] = Int64GetDatum(drill->rows);
	values[5] = Float8GetDatum(drill->ms);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
safemig_drill(PG_FUNCTION_ARGS)
{
	int			budget;
	List	   *newest;
	Frame		frame;

	check_not_null(fcinfo, 0, "n");
	budget = hold_budget_argument(fcinfo, 1);
	if (PG_GETARG_INT32(0) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("n must be greater than zero")));
	frame_become_owner(&frame);
	newest = migrations_newer_than(0);
	frame_unpin(&frame);
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < Min(PG_GETARG_INT32(0), list_length(newest)); i++)
	{
		Drill		drill = {.migrations = list_truncate(list_copy(newest), i + 1),
			.migration = list_nth(newest, i),.rehearsal = {.budget = budget}};

		CHECK_FOR_INTERRUPTS();
		run_drill(&drill);
		write_drill(&drill);
		put_drill((ReturnSetInfo *) fcinfo->resultinfo, &drill);
	}
	return (Datum) 0;
}
