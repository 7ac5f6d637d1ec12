/*-------------------------------------------------------------------------
 *
 * plan.c
 *	  What a rollback would do: the recorded commands, newest first, with the
 *	  reverse that each was recorded with.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "rollback/rollback.h"

static int
lock_strength(const char *mode)
{
	static const char *const modes[] = {
		"ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE",
		"SHARE UPDATE EXCLUSIVE", "SHARE", "SHARE ROW EXCLUSIVE",
		"EXCLUSIVE", "ACCESS EXCLUSIVE"
	};

	if (mode == NULL)
		return -1;
	for (int i = 0; i < (int) lengthof(modes); i++)
	{
		if (strcmp(mode, modes[i]) == 0)
			return i;
	}
	return -1;
}

static void
note_strongest_lock(RollbackPlan *plan)
{
	ListCell   *lc;
	ListCell   *step_cell;

	foreach(lc, plan->commands)
	{
		RecordedCommand *command = lfirst(lc);

		plan->steps += list_length(command->steps);
		foreach(step_cell, command->steps)
		{
			Step	   *step = lfirst(step_cell);

			if (lock_strength(step->lock_mode) > lock_strength(plan->strongest_lock))
			{
				plan->strongest_lock = step->lock_mode;
				plan->strongest_object = registry_identity(step->object);
			}
		}
	}
}

static Change *
find_change(const RecordedCommand *command, const char *key, Oid oid)
{
	ListCell   *lc;

	foreach(lc, command->changes)
	{
		Change	   *change = lfirst(lc);
		Image	   *image = change->before ? change->before : change->after;

		if (key ? strcmp(image_address_key(image), key) == 0 :
			image->address.objectId == oid)
			return change;
	}
	return NULL;
}

static bool
is_touched_before(RollbackPlan *plan, int command, Oid oid)
{
	for (int i = command + 1; i < list_length(plan->commands); i++)
	{
		if (find_change(list_nth(plan->commands, i), NULL, oid))
			return true;
	}
	return false;
}

/*
 * A materialized view is filled with what its query gives, by rights and from
 * tables as they were before the migrations: so when all of them are back.  One
 * that an earlier command made or changed is filled in between.
 */
static void
postpone_refreshes(RollbackPlan *plan)
{
	RecordedCommand *last = plan->commands ? llast(plan->commands) : NULL;

	for (int i = 0; i < list_length(plan->commands) - 1; i++)
	{
		RecordedCommand *command = list_nth(plan->commands, i);
		List	   *kept = NIL;
		ListCell   *lc;

		foreach(lc, command->steps)
		{
			Step	   *step = lfirst(lc);
			Change	   *change = NULL;

			if (strncmp(step->sql, "REFRESH MATERIALIZED VIEW ", 26) == 0)
				change = find_change(command, step->object, InvalidOid);
			if (change && change->before &&
				!is_touched_before(plan, i, change->before->address.objectId))
			{
				command->refreshes_later = true;
				last->steps = lappend(last->steps, step);
			}
			else
				kept = lappend(kept, step);
		}
		command->steps = kept;
	}
}

RollbackPlan *
plan_build(List *migrations)
{
	RollbackPlan *plan = palloc0(sizeof(RollbackPlan));
	ListCell   *lc;
	ListCell   *other;

	plan->migrations = migrations;
	foreach(lc, migrations)
	{
		Migration  *migration = lfirst(lc);
		bool		known = false;

		/* several that were redone together share one record */
		foreach(other, plan->records)
		{
			if (*(int64 *) lfirst(other) == migration->effective)
				known = true;
		}
		if (!known)
			plan->records = lappend(plan->records, &migration->effective);
	}
	plan->commands = history_commands(plan->records);
	postpone_refreshes(plan);
	note_strongest_lock(plan);
	return plan;
}

/*
 * Names the state that the plan is for: its statements, and the objects that
 * they will meet.
 */
char *
plan_hash(RollbackPlan *plan)
{
	StringInfoData buf;
	ListCell   *lc;
	ListCell   *inner;

	initStringInfo(&buf);
	foreach(lc, plan->commands)
	{
		foreach(inner, ((RecordedCommand *) lfirst(lc))->steps)
			appendStringInfo(&buf, "%s\n", ((Step *) lfirst(inner))->sql);
	}
	foreach(lc, states_after(plan->commands))
	{
		ObjectState *state = lfirst(lc);
		Image	   *now = image_now(state->image);

		appendStringInfo(&buf, "%s\t%s\n", state->key, now ? image_fingerprint(now) : "");
	}
	return text_fingerprint(&buf);
}
