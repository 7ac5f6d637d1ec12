/*-------------------------------------------------------------------------
 *
 * reading.c
 *	  What a statement that wrote a history table says about migrations.
 *
 * A row for each migration comes with it and goes with it; another one under a
 * name that is there already, with commands before it, is the same migration
 * run again (Flyway's and Liquibase's repeatable ones, or a history that was
 * lost).  One row for all (Alembic, golang-migrate) names the last: where it
 * names an older one, those after that are reverted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "capture/capture.h"
#include "capture/reading.h"
#include "capture/written.h"
#include "history/history.h"
#include "keep/writes.h"

/* What became of one row of a history table, in one statement. */
typedef struct RowChange
{
	HistoryRow *before;			/* NULL: it was not there */
	HistoryRow *after;			/* NULL: it is not there any more */
} RowChange;

/* ---- which migrations are still without a row ---- */

#define UNFINISHED_HERE \
	"SELECT m.id FROM safemig.migration_log m WHERE" MIGRATION_WITHOUT_A_ROW \
	" AND m.session OPERATOR(pg_catalog.=) $2" \
	" AND m.id OPERATOR(pg_catalog.>) $3"

static List *
of_this_session(const Framework *framework, const char *query)
{
	Oid			types[3] = {TEXTOID, TEXTOID, INT8OID};
	Datum		args[3] = {CStringGetTextDatum(framework->name),
		CStringGetTextDatum(history_session()),
	Int64GetDatum(safemig_state.framework_done)};

	return migration_ids_of(query, 3, types, args);
}

/* Of this session since its last row, oldest first. */
List *
unfinished_here(const Framework *framework)
{
	return of_this_session(framework, UNFINISHED_HERE " ORDER BY m.id");
}

/*
 * Of the one other session of the same role that did anything since this one
 * began and since the framework's last row.  Of two nobody knows which is meant.
 */
List *
unfinished_elsewhere(const Framework *framework)
{
	Oid			types[4] = {TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Datum		args[4] = {CStringGetTextDatum(framework->name),
		CStringGetTextDatum(history_session()),
		CStringGetTextDatum(GetUserNameFromId(GetSessionUserId(), false)),
	TimestampTzGetDatum(MyStartTimestamp)};

	return migration_ids_of("WITH open AS (SELECT m.id, m.session FROM safemig.migration_log m"
							" WHERE" MIGRATION_WITHOUT_A_ROW
							" AND m.session OPERATOR(pg_catalog.<>) $2"
							" AND m.session_role OPERATOR(pg_catalog.=) $3"
							" AND m.started_at OPERATOR(pg_catalog.>=) $4"
							" AND m.id OPERATOR(pg_catalog.>) COALESCE((SELECT pg_catalog.max(x.id)"
							" FROM safemig.migration_log x WHERE x.framework OPERATOR(pg_catalog.=) $1"
							" AND x.version IS NOT NULL), 0))"
							" SELECT o.id FROM open o"
							" WHERE (SELECT pg_catalog.count(DISTINCT l.session) FROM open l) OPERATOR(pg_catalog.=) 1"
							" ORDER BY o.id",
							4, types, args);
}

/* Has anything been done that is waiting for a row? */
static bool
is_work_waiting(const Framework *framework)
{
	if (safemig_state.begun_id)
		return true;
	/* a TRUNCATE of the history itself is not written down before the row is */
	if (of_this_session(framework, UNFINISHED_HERE
						" AND EXISTS (SELECT FROM safemig.command_log c"
						"  WHERE c.migration OPERATOR(pg_catalog.=) m.id) LIMIT 1") != NIL)
		return true;
	return framework->row_written == ROW_ELSEWHERE &&
		unfinished_elsewhere(framework) != NIL;
}

/* ---- the migrations that rows name ---- */

#define IS_NOT_REVERTED \
	" AND NOT EXISTS (SELECT FROM safemig.migration_log r" \
	"  WHERE r.id OPERATOR(pg_catalog.=) m.reverted_by" \
	"  AND r.state OPERATOR(pg_catalog.<>) 'rolled_back')" \
	" AND NOT EXISTS (SELECT FROM safemig.migration_log r" \
	"  WHERE r.reverted_by OPERATOR(pg_catalog.=) m.id)" \
	" AND COALESCE(m.label, '') NOT LIKE 'revert of %'"

#define STANDS \
	" m.kind OPERATOR(pg_catalog.=) 'migration'" \
	" AND m.state OPERATOR(pg_catalog.<>) 'rolled_back'" \
	" AND m.framework OPERATOR(pg_catalog.=) $1" \
	" AND m.history OPERATOR(pg_catalog.=) $2" \
	" AND m.version IS NOT NULL" IS_NOT_REVERTED

static List *
list_of_id(int64 id)
{
	int64	   *copy = palloc(sizeof(int64));

	*copy = id;
	return list_make1(copy);
}

static int64
one_of(List *ids)
{
	return ids ? *(int64 *) llast(ids) : 0;
}

/* The migration that stands under that label, or 0. */
int64
standing(const Framework *framework, const HistoryRow *row)
{
	Oid			types[3] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		args[3] = {CStringGetTextDatum(framework->name),
	CStringGetTextDatum(row->history), CStringGetTextDatum(row->label)};

	return one_of(migration_ids_of("SELECT m.id FROM safemig.migration_log m WHERE" STANDS
								   " AND m.label OPERATOR(pg_catalog.=) $3 ORDER BY m.id",
								   3, types, args));
}

/* All that stand by rows of that table, oldest first, begun ones too. */
List *
standing_in(const char *history)
{
	Oid			type = TEXTOID;
	Datum		arg = CStringGetTextDatum(history);

	return migration_ids_of("SELECT m.id FROM safemig.migration_log m"
							" WHERE m.kind OPERATOR(pg_catalog.=) 'migration'"
							" AND m.state OPERATOR(pg_catalog.<>) 'rolled_back'"
							" AND m.history OPERATOR(pg_catalog.=) $1" IS_NOT_REVERTED
							" ORDER BY m.id",
							1, &type, &arg);
}

/* Those that stand in the row's line and are newer. */
static List *
newer_in_line(const Framework *framework, const HistoryRow *row, int64 than)
{
	Oid			types[4] = {TEXTOID, TEXTOID, TEXTOID, INT8OID};
	Datum		args[4] = {CStringGetTextDatum(framework->name),
		CStringGetTextDatum(row->history), CStringGetTextDatum(row->line),
	Int64GetDatum(than)};

	return migration_ids_of("SELECT m.id FROM safemig.migration_log m WHERE" STANDS
							" AND m.line OPERATOR(pg_catalog.=) $3"
							" AND m.id OPERATOR(pg_catalog.>) $4 ORDER BY m.id",
							4, types, args);
}

/* Did the migration that the row before names put the row after in its place? */
static int64
that_came_after(const Framework *framework, const HistoryRow *before, const HistoryRow *after)
{
	Oid			types[4] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		args[4] = {CStringGetTextDatum(framework->name),
		CStringGetTextDatum(after->history), CStringGetTextDatum(before->label),
	CStringGetTextDatum(after->label)};

	return one_of(migration_ids_of("SELECT m.id FROM safemig.migration_log m WHERE" STANDS
								   " AND m.label OPERATOR(pg_catalog.=) $3"
								   " AND m.previous OPERATOR(pg_catalog.=) $4 ORDER BY m.id",
								   4, types, args));
}

/*
 * What another session began, and did not come to the end of, or 0: under that
 * name, or under any where one row names the last one alone.
 */
static int64
begun_elsewhere(const Framework *framework, const HistoryRow *row, int64 after)
{
	Oid			types[4] = {TEXTOID, TEXTOID, TEXTOID, INT8OID};
	Datum		args[4] = {CStringGetTextDatum(framework->name),
		CStringGetTextDatum(row->history), CStringGetTextDatum(row->label),
	Int64GetDatum(framework->one_row ? after : PG_INT64_MAX)};

	if (framework->row_written != ROW_BEFORE || safemig_state.begun_id)
		return 0;
	return one_of(migration_ids_of("SELECT m.id FROM safemig.migration_log m"
								   " WHERE m.kind OPERATOR(pg_catalog.=) 'migration'"
								   " AND m.state OPERATOR(pg_catalog.=) 'applied'"
								   " AND m.framework OPERATOR(pg_catalog.=) $1"
								   " AND m.history OPERATOR(pg_catalog.=) $2"
								   " AND m.version IS NULL" IS_NOT_REVERTED
								   " AND (m.label OPERATOR(pg_catalog.=) $3"
								   "  OR m.id OPERATOR(pg_catalog.>) $4) ORDER BY m.id",
								   4, types, args));
}

/* ---- what the rows say ---- */

static bool
is_number(const char *text)
{
	return text && *text && strspn(text, "0123456789") == strlen(text);
}

/*
 * Those that stand, and are newer than what the row says: recorded after the
 * migration that it names, or, where that is not known, by their number.
 */
static List *
newer_than_row(const Framework *framework, const HistoryRow *row, int64 known)
{
	Oid			types[4] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		args[4];

	if (row->line == NULL)
		return NIL;
	if (known)
		return newer_in_line(framework, row, known);
	if (framework->row_written != ROW_BEFORE || !is_number(row->version))
		return NIL;
	args[0] = CStringGetTextDatum(framework->name);
	args[1] = CStringGetTextDatum(row->history);
	args[2] = CStringGetTextDatum(row->line);
	args[3] = CStringGetTextDatum(row->version);
	return migration_ids_of("SELECT m.id FROM safemig.migration_log m WHERE" STANDS
							" AND m.line OPERATOR(pg_catalog.=) $3"
							" AND CASE WHEN m.version OPERATOR(pg_catalog.~) '^[0-9]+$'"
							"  THEN m.version::pg_catalog.numeric OPERATOR(pg_catalog.>) $4::pg_catalog.numeric"
							"  ELSE false END ORDER BY m.id",
							4, types, args);
}

/* Does the row say that the framework goes back? */
bool
reading_is_back(const Framework *framework, const HistoryRow *row)
{
	int64		known = framework->one_row ? standing(framework, row) : 0;

	return known || (framework->one_row && newer_than_row(framework, row, 0) != NIL);
}

static bool
is_called(int64 id, const char *label)
{
	Migration  *migration = history_get_migration(id, false);

	return migration->label && strcmp(migration->label, label) == 0;
}

/* How many rows name an applied migration?  Alembic has one for each branch. */
static int
rows_applied(const Framework *framework, Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	int			n = 0;
	ListCell   *lc;

	foreach(lc, framework_read_rows(framework, rel))
		n += ((FoundRow *) lfirst(lc))->row.applied;
	table_close(rel, NoLock);
	return n;
}

/* The newest that stands by another row of the table than this, or 0. */
static int64
newest_beside(const Framework *framework, Oid relid, const HistoryRow *row)
{
	Relation	rel = table_open(relid, NoLock);
	int64		newest = 0;
	ListCell   *lc;

	foreach(lc, framework_read_rows(framework, rel))
	{
		const FoundRow *found = lfirst(lc);

		if (found->row.applied && strcmp(found->row.label, row->label) != 0)
			newest = Max(newest, standing(framework, &found->row));
	}
	table_close(rel, NoLock);
	return newest;
}

/* Those that the row says to be taken back: it names an older one again. */
static List *
taken_back_to(const Framework *framework, Oid relid, const RowChange *change,
			  int64 known, bool waiting)
{
	int64		undone = change->before && change->before->applied ?
		that_came_after(framework, change->before, change->after) : 0;

	/* beside others it is a branch: a new one, or that of a merge taken back */
	if (change->before == NULL && rows_applied(framework, relid) > 1)
		undone = known && waiting ? newest_beside(framework, relid, change->after) : 0;
	else if (undone == 0)
		return newer_than_row(framework, change->after, known);
	return undone > known ? list_of_id(undone) : NIL;
}

/* What the row said that is taken back, where the statement does not show it. */
static HistoryRow *
row_of(const HistoryRow *row, int64 id)
{
	Migration  *migration = history_get_migration(id, false);
	HistoryRow *copy = palloc(sizeof(HistoryRow));

	*copy = *row;
	copy->label = migration->label;
	copy->version = migration->version;
	return copy;
}

/* What a migration does to rows of others is part of that migration. */
static bool
is_within_migration(void)
{
	return safemig_state.xact_id != 0 || safemig_state.written_id != 0;
}

/* Is this one more row of the merge that the last statement took back? */
static bool
goes_on_with_revert(const Framework *framework, Oid relid, const RowChange *change)
{
	Oid			types[3] = {TEXTOID, TEXTOID, INT8OID};
	Datum		args[3] = {CStringGetTextDatum(change->after->history), (Datum) 0,
	Int64GetDatum(safemig_state.reverted_id)};

	if (safemig_state.reverted_id == 0 || is_within_migration())
		return false;
	if (change->before == NULL)
		return rows_applied(framework, relid) > 1;
	args[1] = CStringGetTextDatum(change->before->label);
	return migration_ids_of("SELECT m.id FROM safemig.migration_log m"
							" WHERE m.history OPERATOR(pg_catalog.=) $1"
							" AND m.label OPERATOR(pg_catalog.=) $2"
							" AND m.reverted_by OPERATOR(pg_catalog.=) $3", 3, types, args) != NIL;
}

/* One row names the last migration: a new one, or an older one again. */
static void
read_last(const Framework *framework, Oid relid, const RowChange *change, Reading *reading)
{
	bool		replaces = change->before && change->before->applied;
	int64		known = standing(framework, change->after);
	int64		begun = begun_elsewhere(framework, change->after, known);
	bool		waiting = is_work_waiting(framework);

	if (known && goes_on_with_revert(framework, relid, change))
	{
		reading->meaning = MEANS_MORE;
		reading->about = list_of_id(safemig_state.reverted_id);
		return;
	}
	reading->about = taken_back_to(framework, relid, change, known, waiting);
	/* to what is known it may also come back from what is not */
	if (reading->about != NIL || (known && waiting))
	{
		reading->meaning = MEANS_REVERTED;
		if (replaces)
			reading->row = change->before;
		else if (reading->about != NIL)
			reading->row = row_of(change->after, one_of(reading->about));
	}
	else if (waiting)
		;
	else if (begun && !known && is_called(begun, change->after->label))
		reading->begun = begun;
	else if (begun || known)
	{
		reading->meaning = MEANS_MORE;
		reading->about = list_of_id(begun ? begun : known);
	}
}

/* A new row, or one that says of its migration that it is done. */
static void
read_new(const Framework *framework, const RowChange *change, Reading *reading)
{
	int64		known = standing(framework, change->after);

	/* with commands before it, it is run again */
	if (is_work_waiting(framework))
		return;
	if (known)
	{
		reading->meaning = MEANS_MORE;
		reading->about = list_of_id(known);
	}
	else
		reading->begun = begun_elsewhere(framework, change->after, 0);
}

static void
read_more(const Framework *framework, HistoryRow *row, Reading *reading)
{
	int64		known = is_within_migration() ? 0 : standing(framework, row);

	if (known == 0)
		return;
	reading->meaning = MEANS_MORE;
	reading->about = list_of_id(known);
}

static void
read_reverted(const Framework *framework, Oid relid, const RowChange *change, Reading *reading)
{
	int64		known = standing(framework, change->before);

	reading->meaning = MEANS_REVERTED;
	reading->row = change->before;
	/* back to before the first one, at once */
	if (framework->one_row && change->before->line &&
		(change->after || rows_applied(framework, relid) == 0))
		reading->about = newer_in_line(framework, change->before, 0);
	else if (known)
		reading->about = list_of_id(known);
}

static void
read_begun(const Framework *framework, const RowChange *change, Reading *reading)
{
	HistoryRow *row = change->after ? change->after : change->before;
	int64		begun = change->before && row->history && !is_work_waiting(framework) ?
		begun_elsewhere(framework, row, PG_INT64_MAX) : 0;

	if (begun)
	{
		reading->meaning = MEANS_MORE;
		reading->about = list_of_id(begun);
		return;
	}
	if (change->after == NULL && safemig_state.begun_id == 0)
		return;
	reading->meaning = MEANS_BEGUN;
	reading->row = change->after;
	/* its own session had not loaded the library when it wrote the row first */
	reading->was_unseen = change->before && safemig_state.begun_id == 0;
}

static void
read_change(const Framework *framework, Oid relid, const RowChange *change, Reading *reading)
{
	bool		was_done = change->before && change->before->applied;
	bool		is_done = change->after && change->after->applied;
	bool		same = change->before && change->after &&
		strcmp(change->before->label, change->after->label) == 0;

	if (is_done)
	{
		reading->meaning = MEANS_DONE;
		reading->row = change->after;
		if (was_done)
			reading->previous = change->before->label;
	}
	if (was_done && is_done && same)
	{
		/* run again: the row follows in a transaction of its own */
		if (framework->row_written == ROW_AFTER && !is_within_migration() &&
			is_work_waiting(framework))
			return;
		reading->meaning = MEANS_NOTHING;
		read_more(framework, change->after, reading);
	}
	else if (is_done && framework->one_row)
		read_last(framework, relid, change, reading);
	else if (was_done && is_done)
	{
		reading->meaning = MEANS_NOTHING;
		reading->renamed = true;
		read_more(framework, change->before, reading);
	}
	else if (is_done)
	{
		reading->was_unseen = same && safemig_state.begun_id == 0 &&
			framework->row_written == ROW_BEFORE;
		read_new(framework, change, reading);
		reading->was_unseen &= reading->meaning == MEANS_DONE && reading->begun == 0;
	}
	else if (was_done)
		read_reverted(framework, relid, change, reading);
	else if (framework->row_written == ROW_BEFORE)
		read_begun(framework, change, reading);
}

/* ---- rows of a statement ---- */

static HistoryRow *
row_at(const Framework *framework, Relation rel, ItemPointer tid, TupleTableSlot *slot)
{
	if (!ItemPointerIsValid(tid))
		return NULL;
	versions_fetch(rel, tid, slot);
	return framework_read_row(framework, rel, slot);
}

static CommandId
written_from(Oid relid)
{
	ListCell   *lc;

	foreach(lc, written_since_look())
	{
		if (((Written *) lfirst(lc))->relid == relid)
			return ((Written *) lfirst(lc))->since;
	}
	return safemig_state.written_since;
}

/* Of its rows, in the order in which they stand. */
List *
read_statement(const Framework *framework, Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	Versions   *versions = versions_find(rel, written_from(relid), safemig_state.seen, false);
	TupleTableSlot *pair = MakeSingleTupleTableSlot(versions->desc, &TTSOpsMinimalTuple);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	List	   *readings = NIL;
	ItemPointerData before;
	ItemPointerData after;

	versions_again(versions);
	while (versions_next(versions, pair, &before, &after))
	{
		Reading    *reading = palloc0(sizeof(Reading));
		RowChange	change;

		change.before = row_at(framework, rel, &before, slot);
		change.after = row_at(framework, rel, &after, slot);
		reading->before = before;
		reading->after = after;
		read_change(framework, relid, &change, reading);
		if (reading->renamed)
			reading->row = change.after;
		readings = lappend(readings, reading);
	}
	ExecDropSingleTupleTableSlot(pair);
	ExecDropSingleTupleTableSlot(slot);
	versions_close(versions);
	table_close(rel, NoLock);
	return readings;
}
