/*-------------------------------------------------------------------------
 *
 * drift.c
 *	  What has changed without having been seen.
 *
 * The newest record of an object says how it was left.  If it is otherwise
 * now, somebody changed it while safemig did not look: its event triggers were
 * disabled, its library was missing, or the change raises no event.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "rollback/rollback.h"

PG_FUNCTION_INFO_V1(safemig_drift);

typedef struct Drift
{
	ReturnSetInfo *result;
	const char *object;
} Drift;

static void
put(void *arg, const char *part, const char *name, const char *expected,
	const char *actual)
{
	Drift	   *drift = arg;
	Datum		values[4];
	bool		nulls[4] = {false};

	values[0] = CStringGetTextDatum(drift->object);
	values[1] = CStringGetTextDatum(part[0] ? psprintf("column %s %s", part, name) : name);
	nulls[2] = expected == NULL;
	values[2] = expected ? CStringGetTextDatum(expected) : (Datum) 0;
	nulls[3] = actual == NULL;
	values[3] = actual ? CStringGetTextDatum(actual) : (Datum) 0;
	tuplestore_putvalues(drift->result->setResult, drift->result->setDesc, values, nulls);
}

/*
 * The newest record of each name: what has it now, or that it is free.  Of one
 * object, if it is given by type and identity.
 */
static List *
newest_records(const char *type, const char *identity)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *states = NIL;
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		args[2] = {0, 0};

	if (type)
	{
		args[0] = CStringGetTextDatum(type);
		args[1] = CStringGetTextDatum(identity);
	}
	SPI_connect();
	if (SPI_execute_with_args("SELECT DISTINCT ON (n.type, n.identity) n.present, n.before, n.after, n.server FROM ("
					" SELECT c.command, c.ord, c.type, c.identity_after AS identity, true AS present, c.before, c.after, c.server"
					" FROM safemig.change_log c WHERE c.after IS NOT NULL"
					" AND ($1 IS NULL OR (c.type OPERATOR(pg_catalog.=) $1 AND c.identity_after OPERATOR(pg_catalog.=) $2))"
					" UNION ALL"
					" SELECT c.command, c.ord, c.type, c.identity_before, false, c.before, NULL, c.server"
					" FROM safemig.change_log c WHERE c.before IS NOT NULL"
					" AND c.identity_after IS DISTINCT FROM c.identity_before"
					" AND ($1 IS NULL OR (c.type OPERATOR(pg_catalog.=) $1 AND c.identity_before OPERATOR(pg_catalog.=) $2))) n"
					" ORDER BY n.type, n.identity, n.command DESC, n.present DESC, n.ord DESC",
					2, types, args, type ? NULL : "nn", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read change_log");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		MemoryContext old = MemoryContextSwitchTo(context);
		ObjectState *state = palloc0(sizeof(ObjectState));
		Image	   *before;
		Image	   *after;
		bool		isnull;

		history_read_images(tuple, 2, &before, &after);
		state->present = DatumGetBool(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull));
		state->image = state->present ? after : before;
		states = lappend(states, state);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return states;
}

static void
note_difference(void *arg, const char *part, const char *name, const char *expected,
				const char *actual)
{
	*(bool *) arg = true;
}

static void
compare(const ObjectState *state, const Image *now, FacetDifference report, void *arg)
{
	char	   *why;

	image_compare_meaning(image_reworded(state->image, now, &why), now, report, arg);
}

bool
object_has_drifted(const ObjectAddress *address)
{
	Image	   *now;
	bool		drifted = false;
	Frame		frame;
	ListCell   *lc;

	frame_become_owner(&frame);
	now = image_take(address);
	if (now)
	{
		foreach(lc, newest_records(now->type, now->identity))
		{
			const ObjectState *state = lfirst(lc);

			if (state->present)
				compare(state, now, note_difference, &drifted);
		}
	}
	frame_unpin(&frame);
	return drifted;
}

/* safemig.drift() */
Datum
safemig_drift(PG_FUNCTION_ARGS)
{
	Drift		drift = {(ReturnSetInfo *) fcinfo->resultinfo, NULL};
	Frame		frame;
	ListCell   *lc;

	if (!is_administrator(GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to look at objects of others"),
				 errhint("SELECT * FROM safemig_verify(id); does for a migration whose objects one owns.")));
	InitMaterializedSRF(fcinfo, 0);
	frame_become_owner(&frame);
	foreach(lc, newest_records(NULL, NULL))
	{
		ObjectState *state = lfirst(lc);
		Image	   *now = image_now(state->image);

		CHECK_FOR_INTERRUPTS();
		drift.object = image_address_key(state->image);
		if (state->present && now)
			compare(state, now, put, &drift);
		/* an application unlinks large objects as it deletes rows */
		else if (state->present && state->image->address.classId != LargeObjectRelationId)
			put(&drift, "", "object", "present", NULL);
		else if (!state->present && now)
			put(&drift, "", "object", NULL, "present");
	}
	frame_unpin(&frame);
	return (Datum) 0;
}
