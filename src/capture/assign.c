/*-------------------------------------------------------------------------
 *
 * assign.c
 *	  A framework has written its history: what was done until then is that
 *	  migration.
 *
 * Where the session has run the commands that writes the row, all that it has
 * done since its last such row is that migration, whether in one transaction or
 * in many: the implicit migrations of these transactions become
 * one, the row is recorded in it as any other row is, and what follows is the
 * next one.  So a rollback takes the row back as that migration wrote it, and a
 * redo writes it again.
 *
 * A row that disappears, or names an older migration, is the framework's own
 * way back.  A row that says that its migration has only begun (Prisma) gathers
 * what follows it.  Where another session writes the row (Sqitch) the one
 * other session that has done anything is meant; of two, none.
 *
 * Who has given his migration a name, or opened one, has said where it begins
 * and ends: then framework and version are noted, and nothing else.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"


#include "capture/capture.h"
#include "capture/reading.h"
#include "capture/written.h"
#include "compat.h"
#include "history/framework.h"
#include "keep/writes.h"
#include "point.h"

/* ---- where it is recorded ---- */

static bool
is_named(void)
{
	return open_migration_id() != 0 || (safemig_label && safemig_label[0]);
}

/* What is recorded now belongs to that one. */
static void
write_to(int64 id)
{
	state_save();
	safemig_state.xact_id = safemig_state.written_id = id;
	safemig_state.relabelled = false;
}

static void
what_follows_is_another(int64 id)
{
	state_save();
	safemig_state.xact_id = safemig_state.written_id = 0;
	safemig_state.begun_id = safemig_state.reverted_id = 0;
	safemig_state.framework_done = Max(safemig_state.last_id, id);
}

/* Where rows of a migration that was redone are to be recorded. */
static int64
record_of(int64 id)
{
	return history_get_migration(id, false)->effective;
}

/*
 * What Alembic does to a branch when it merges it with another looks like the
 * way back until the row of the other one is written.
 */
static int64
revert_that_goes_on(const Framework *framework)
{
	int64		id = safemig_state.reverted_id;

	if (!framework->one_row || id == 0 || safemig_state.xact_id != 0 ||
		safemig_state.written_id != 0)
		return 0;
	migration_mark_reverted(0, id);
	migration_forget_name(id);
	return id;
}

/* All that has no row yet, as one; a new one where there is nothing.  0: unknown. */
static int64
gather(const Framework *framework, const Reading *reading, const char *label)
{
	List	   *ids = NIL;
	int64		goes_on = reading->meaning == MEANS_DONE ? revert_that_goes_on(framework) : 0;
	int64		id;

	if (framework->row_written == ROW_ELSEWHERE)
		ids = unfinished_elsewhere(framework);
	if (ids == NIL)
		ids = unfinished_here(framework);
	if (safemig_state.begun_id)
		ids = lcons(&safemig_state.begun_id, ids);
	if (reading->begun)
		ids = lcons(unconstify(int64 *, &reading->begun), ids);
	if (goes_on)
		ids = lcons(&goes_on, ids);
	id = migrations_merge(ids);
	/* a row whose commands nobody knows must not promise to take them back */
	if (id == 0 && framework->row_written != ROW_ELSEWHERE)
		id = history_new_migration("migration", label, "applied", NULL);
	return id;
}

static void
begin(const Framework *framework, const Reading *reading)
{
	bool		back = reading->row && reading_is_back(framework, reading->row);
	const char *label = reading->row && !back ? reading->row->label : NULL;
	int64		id = safemig_state.begun_id;

	if (id == 0)
	{
		/* what it says of itself counts when it is done */
		HistoryRow	begun = {.history = reading->row ? reading->row->history : NULL};

		id = gather(framework, reading, label);
		migration_name(id, framework, label, &begun, NULL);
		state_save();
		safemig_state.begun_id = id;
	}
	write_to(id);
	data_record_for_command();
}

/* A new row of one that is known; with what was done to the table before it. */
static void
more_rows(const Framework *framework, const Reading *reading)
{
	int64		id = record_of(*(int64 *) linitial(reading->about));
	List	   *ids = unfinished_here(framework);
	ListCell   *lc;
	bool		merged = false;
	int64		xact_id = safemig_state.xact_id;
	int64		written_id = safemig_state.written_id;

	if (safemig_state.truncation != NULL)
	{
		foreach(lc, ids)
			merged |= *(int64 *) lfirst(lc) == xact_id;
		(void) migrations_merge(lcons(&id, ids));
	}
	write_to(id);
	data_record_for_command();
	safemig_state.xact_id = merged ? 0 : xact_id;
	safemig_state.written_id = merged ? 0 : written_id;
}

/* Of the statement that is looked at. */
static List *readings_now = NIL;

static bool
is_about(const Reading *reading, int64 id)
{
	return reading->meaning == MEANS_MORE && *(int64 *) linitial(reading->about) == id;
}

static bool
is_first_about(int64 id, int index)
{
	for (int i = 0; i < index; i++)
	{
		if (is_about(list_nth(readings_now, i), id))
			return false;
	}
	return true;
}

static Versions *
versions_about(Relation rel, uint32 which)
{
	int64		id = *(int64 *) linitial(((Reading *) list_nth(readings_now, which))->about);
	Versions   *versions = versions_begin();
	ListCell   *lc;

	foreach(lc, readings_now)
	{
		Reading    *reading = lfirst(lc);

		if (is_about(reading, id))
			versions_put(versions, &reading->before,
						 ItemPointerIsValid(&reading->after) ? &reading->after : NULL);
	}
	return versions;
}

/* Rows that were there are changed: each belongs to its own migration. */
static void
more_of_each(Oid relid, List *readings)
{
	ListCell   *lc;

	readings_now = readings;
	foreach(lc, readings)
	{
		Reading    *reading = lfirst(lc);
		int64		id;

		if (reading->meaning != MEANS_MORE)
			continue;
		id = *(int64 *) linitial(reading->about);
		if (reading->renamed)
			migration_rename(id, reading->row);
		if (is_first_about(id, foreach_current_index(lc)))
			data_record_versions(record_of(id), relid, versions_about,
								 foreach_current_index(lc));
	}
	readings_now = NIL;
	written_look_at(relid);
}

static void
more(const Framework *framework, Oid relid, const Reading *reading, List *readings)
{
	ListCell   *lc;

	foreach(lc, readings)
	{
		Reading    *one = lfirst(lc);

		if (one->meaning == MEANS_MORE && !ItemPointerIsValid(&one->before))
		{
			more_rows(framework, reading);
			return;
		}
	}
	more_of_each(relid, readings);
}

static void
done(const Framework *framework, const Reading *reading)
{
	int64		id = gather(framework, reading, reading->row->label);

	if (id == 0)
	{
		written_look();
		return;
	}
	write_to(id);
	data_record_for_command();
	migration_name(id, framework, reading->row->label, reading->row, reading->previous);
	migrations_mark_reverted(reading->about, id);
	what_follows_is_another(id);
}

static void
reverted(const Framework *framework, const Reading *reading)
{
	char	   *label = psprintf("revert of %s", reading->row->label);
	int64		id = gather(framework, reading, label);

	if (id == 0)
	{
		written_look();
		return;
	}
	write_to(id);
	data_record_for_command();
	if (id == safemig_state.begun_id)
		migration_forget_name(id);
	migration_name(id, framework, label, reading->row, NULL);
	migrations_mark_reverted(reading->about, id);
	what_follows_is_another(id);
	safemig_state.reverted_id = id;
}

/* Who has said himself what his migration is. */
static void
note_in_named(const Framework *framework, const Reading *reading)
{
	int64		id;

	data_record_for_command();
	id = safemig_state.written_id;
	if (id && reading->meaning == MEANS_DONE)
		migration_name(id, framework, NULL, reading->row, reading->previous);
	if (id && reading->meaning >= MEANS_REVERTED)
		migrations_mark_reverted(reading->about, id);
}

void
framework_act(const Framework *framework, Oid relid, const Reading *reading, List *readings)
{
	if (reading->was_unseen)
	{
		state_save();
		safemig_state.row_unseen_in = relid;
	}
	if (is_named())
	{
		note_in_named(framework, reading);
		safemig_state.row_unseen_in = InvalidOid;
		return;
	}
	SAFEMIG_POINT("framework.row");
	switch (reading->meaning)
	{
		case MEANS_NOTHING:
			/* a row of the framework's own, as for a version 0: no migration's */
			if (safemig_state.written_id == 0)
				written_look();
			break;
		case MEANS_BEGUN:
			begin(framework, reading);
			break;
		case MEANS_MORE:
			more(framework, relid, reading, readings);
			break;
		case MEANS_REVERTED:
			reverted(framework, reading);
			break;
		case MEANS_DONE:
			done(framework, reading);
			break;
	}
	safemig_state.row_unseen_in = InvalidOid;
}

/*
 * The last row that means most: a statement that writes several at once (a
 * schema that is loaded as a whole) is one migration, by the last's name.  It
 * reverts whatever any of them says to be gone.
 */
Reading
readings_meaning(List *readings)
{
	Reading		whole = {MEANS_NOTHING};
	List	   *gone = NIL;
	ListCell   *lc;

	foreach(lc, readings)
	{
		const Reading *reading = lfirst(lc);

		if (reading->meaning == MEANS_REVERTED)
			gone = list_concat(gone, reading->about);
		if (reading->meaning >= whole.meaning)
			whole = *reading;
	}
	if (whole.meaning >= MEANS_REVERTED)
		whole.about = gone;
	return whole;
}

/* What was begun here may have been rolled back elsewhere. */
void
framework_forget_begun_that_is_gone(void)
{
	Migration  *begun = safemig_state.begun_id ?
		history_get_migration(safemig_state.begun_id, true) : NULL;

	if (begun && strcmp(begun->state, "applied") == 0 && begun->effective == begun->id)
		return;
	state_save();
	safemig_state.begun_id = 0;
}
