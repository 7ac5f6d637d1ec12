/*-------------------------------------------------------------------------
 *
 * naming.c
 *	  Migrations get the names that a framework gave them, and what it did in
 *	  several transactions becomes one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "history/framework.h"
#include "keep/vault.h"
#include "point.h"

static Datum
text_or_null(const char *value, char *null)
{
	*null = value ? ' ' : 'n';
	return value ? CStringGetTextDatum(value) : (Datum) 0;
}

List *
migration_ids_of(const char *query, int nargs, Oid *types, Datum *args)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *ids = NIL;

	SPI_connect();
	if (SPI_execute_with_args(query, nargs, types, args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read migration_log");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		bool		isnull;
		int64	   *id = palloc(sizeof(int64));

		*id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
										  1, &isnull));
		ids = lappend(ids, id);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return ids;
}

/* ---- several become one ---- */

static void
move_rows(const char *table, int64 to, int64 from)
{
	Oid			types[2] = {INT8OID, INT8OID};
	Datum		args[2] = {Int64GetDatum(to), Int64GetDatum(from)};
	char	   *query = psprintf("UPDATE safemig.%s SET migration = $1"
								 " WHERE migration OPERATOR(pg_catalog.=) $2", table);

	if (SPI_execute_with_args(query, 2, types, args, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not update %s", table);
}

static void
merge(int64 to, int64 from)
{
	static const char *const tables[] = {"command_log", "change_log", "kept_log",
	"writer_log", "failure_log"};
	Oid			types[2] = {INT8OID, INT8OID};
	Datum		args[2] = {Int64GetDatum(to), Int64GetDatum(from)};

	vault_take_over(from, to);
	SAFEMIG_POINT("framework.vault_taken");
	SPI_connect();
	for (size_t i = 0; i < lengthof(tables); i++)
		move_rows(tables[i], to, from);
	if (SPI_execute_with_args("UPDATE safemig.migration_log SET reverted_by = $1"
							  " WHERE reverted_by OPERATOR(pg_catalog.=) $2",
							  2, types, args, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not update migration_log");
	if (SPI_execute_with_args("WITH gone AS (DELETE FROM safemig.note_log n"
							  " WHERE n.migration OPERATOR(pg_catalog.=) $2 RETURNING n.*)"
							  " INSERT INTO safemig.note_log SELECT $1, g.key, g.value, g.noted_at, g.role FROM gone g"
							  " ON CONFLICT (migration, key) DO UPDATE SET value = EXCLUDED.value",
							  2, types, args, NULL, false, 0) != SPI_OK_INSERT ||
		SPI_execute_with_args("DELETE FROM safemig.migration_log"
							  " WHERE id OPERATOR(pg_catalog.=) $2 AND $1 IS NOT NULL",
							  2, types, args, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not update migration_log");
	SPI_finish();
	SAFEMIG_POINT("framework.merged");
}

/* 0: there was none. */
int64
migrations_merge(List *ids)
{
	int64		first = ids ? *(int64 *) linitial(ids) : 0;
	ListCell   *lc;

	foreach(lc, ids)
	{
		if (*(int64 *) lfirst(lc) != first)
			merge(first, *(int64 *) lfirst(lc));
	}
	return first;
}

/* ---- names ---- */

void
migration_name(int64 id, const Framework *framework, const char *label,
			   const HistoryRow *row, const char *previous)
{
	Oid			types[7] = {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		args[7];
	char		nulls[8] = "       ";

	args[0] = Int64GetDatum(id);
	args[1] = text_or_null(label, &nulls[1]);
	args[2] = CStringGetTextDatum(framework->name);
	args[3] = text_or_null(row ? row->version : NULL, &nulls[3]);
	args[4] = text_or_null(row ? row->line : NULL, &nulls[4]);
	args[5] = text_or_null(previous, &nulls[5]);
	args[6] = text_or_null(row ? row->history : NULL, &nulls[6]);
	SPI_connect();
	if (SPI_execute_with_args("UPDATE safemig.migration_log SET"
							  " label = COALESCE(label, $2), framework = CASE"
							  "  WHEN history IS NULL THEN $3 ELSE COALESCE(framework, $3) END,"
							  " version = COALESCE(version, $4), line = COALESCE(line, $5),"
							  " previous = COALESCE(previous, $6), history = COALESCE(history, $7)"
							  " WHERE id OPERATOR(pg_catalog.=) $1",
							  7, types, args, nulls, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not update migration_log");
	SPI_finish();
}

static void
update_log(const char *query, int nargs, Oid *types, Datum *args, const char *nulls)
{
	SPI_connect();
	if (SPI_execute_with_args(query, nargs, types, args, nulls, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not update migration_log");
	SPI_finish();
}

/* What it was called by the row turned out to be wrong. */
void
migration_forget_name(int64 id)
{
	Oid			type = INT8OID;
	Datum		arg = Int64GetDatum(id);

	update_log("UPDATE safemig.migration_log SET label = NULL, version = NULL,"
			   " line = NULL, previous = NULL, history = NULL"
			   " WHERE id OPERATOR(pg_catalog.=) $1", 1, &type, &arg, NULL);
}

/* Its row has another name now. */
void
migration_rename(int64 id, const HistoryRow *row)
{
	Oid			types[4] = {INT8OID, TEXTOID, TEXTOID, TEXTOID};
	char		nulls[5] = "    ";
	Datum		args[4];

	args[0] = Int64GetDatum(id);
	args[1] = text_or_null(row->label, &nulls[1]);
	args[2] = text_or_null(row->version, &nulls[2]);
	args[3] = text_or_null(row->line, &nulls[3]);
	update_log("UPDATE safemig.migration_log SET label = $2, version = $3, line = $4"
			   " WHERE id OPERATOR(pg_catalog.=) $1", 4, types, args, nulls);
}

/* The table has another name now. */
void
migrations_of_history_move(const char *from, const char *to)
{
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		args[2] = {CStringGetTextDatum(from), CStringGetTextDatum(to)};

	update_log("UPDATE safemig.migration_log SET history = $2, line ="
			   " $2 OPERATOR(pg_catalog.||) pg_catalog.substr(line, 1 OPERATOR(pg_catalog.+) pg_catalog.length($1))"
			   " WHERE history OPERATOR(pg_catalog.=) $1", 2, types, args, NULL);
}

/* id 0: that one has reverted nothing */
void
migration_mark_reverted(int64 id, int64 by)
{
	Oid			types[2] = {INT8OID, INT8OID};
	Datum		args[2] = {Int64GetDatum(id), Int64GetDatum(by)};

	if (id == 0)
		update_log("UPDATE safemig.migration_log SET reverted_by = NULL"
				   " WHERE reverted_by OPERATOR(pg_catalog.=) $2 AND $1 IS NOT NULL",
				   2, types, args, NULL);
	else
		update_log("UPDATE safemig.migration_log SET reverted_by = $2"
				   " WHERE id OPERATOR(pg_catalog.=) $1", 2, types, args, NULL);
}

/* Of int64*; but for itself. */
void
migrations_mark_reverted(List *ids, int64 by)
{
	ListCell   *lc;

	foreach(lc, ids)
	{
		if (*(int64 *) lfirst(lc) != by)
			migration_mark_reverted(*(int64 *) lfirst(lc), by);
	}
}
