/*-------------------------------------------------------------------------
 *
 * observe_record.c
 *	  What safemig has recorded of a statement that was run: what it keeps,
 *	  what cannot be taken back, and the steps of the way back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "advise/observe.h"
#include "capture/capture.h"

/* ---- what safemig records of it ---- */

int64
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

/* ---- the way back ---- */

/* Of Step*: of what was recorded since. */
static List *
steps_since(int64 seq)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			type = INT8OID;
	Datum		arg = Int64GetDatum(seq);
	List	   *steps = NIL;

	SPI_connect();
	if (SPI_execute_with_args("SELECT c.reverse FROM safemig.command_log c"
							  " WHERE c.seq OPERATOR(pg_catalog.>) $1 AND c.reverse IS NOT NULL",
							  1, &type, &arg, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read command_log");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Datum		reverse = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);
		MemoryContext old = MemoryContextSwitchTo(context);

		steps = list_concat(steps, steps_from_array(DatumGetArrayTypePCopy(reverse)));
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return steps;
}

static int
dearness(const char *cost)
{
	static const char *const costs[] = {"catalog", "scan", "index", "rewrite"};

	for (int i = 0; cost && i < (int) lengthof(costs); i++)
	{
		if (strcmp(costs[i], cost) == 0)
			return i;
	}
	return -1;
}

/* Is the step about a relation that another finding is about? */
static bool
is_of_another(const Step *step, const Statement *statement, const Finding *finding)
{
	const char *identity = registry_identity(step->object);
	ListCell   *lc;

	if (strcmp(identity, finding->target->name) == 0)
		return false;
	foreach(lc, statement->findings)
	{
		const Target *target = ((Finding *) lfirst(lc))->target;

		if (target && strcmp(identity, target->name) == 0)
			return true;
	}
	return false;
}

/* Of the steps of the finding's relation, and what is of none. */
static void
tell_undo(Statement *statement, List *steps)
{
	ListCell   *lc;
	ListCell   *inner;

	foreach(lc, statement->findings)
	{
		Finding    *finding = lfirst(lc);
		LOCKMODE	mode = NoLock;
		const char *cost = NULL;

		if (finding->undo_cost == NULL || finding->target == NULL || finding->target->made)
			continue;
		foreach(inner, steps)
		{
			const Step *step = lfirst(inner);

			if (is_of_another(step, statement, finding))
				continue;
			mode = Max(mode, lock_from_words(step->lock_mode));
			if (dearness(step->cost) > dearness(cost))
				cost = step->cost;
		}
		if (cost == NULL)
			continue;
		finding->undo_lock = mode > AccessShareLock ? lock_in_words(mode) : NULL;
		finding->undo_cost = cost;
	}
}

void
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
	tell_undo(statement, steps_since(observation->last_command));
	observation->last_command = last_command();
	frame_unpin(&frame);
	if (reason)
	{
		observation->a->now = statement;
		fire_named(observation->a, RULE_IRREVERSIBLE, statement->tag)->why = reason;
	}
}
