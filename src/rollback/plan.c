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
	refreshes_postpone(plan);
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
