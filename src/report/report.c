/*-------------------------------------------------------------------------
 *
 * report.c
 *	  safemig_report: what there is to say about a migration, on one page.
 *
 * Everything is read through the views and calls that the caller could use
 * himself, as the caller: so the page has what he may see, and says so where
 * that is less.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "history/history.h"
#include "report/report.h"
#include "rollback/rollback.h"

PG_FUNCTION_INFO_V1(safemig_report);

/* No more lines are in a table of the page. */
#define MOST_ROWS	500

/* ---- reading ---- */

typedef struct Reading
{
	const char *text;
	int64		id;
	int			ncolumns;
	List	   *rows;			/* of char** */
	MemoryContext context;
} Reading;

static bool
run(void *arg)
{
	Reading	   *query = arg;
	Oid			type = INT8OID;
	Datum		arg_id = Int64GetDatum(query->id);

	SPI_connect();
	if (SPI_execute_with_args(query->text, 1, &type, &arg_id, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the history");
	query->ncolumns = SPI_tuptable->tupdesc->natts;
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(query->context);
		char	  **cells = palloc(query->ncolumns * sizeof(char *));

		for (int n = 0; n < query->ncolumns; n++)
			cells[n] = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, n + 1);
		query->rows = lappend(query->rows, cells);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return true;
}

/* of char** */
static List *
read_rows(const char *text, int64 id)
{
	Reading		query = {text, id, 0, NIL, CurrentMemoryContext};

	(void) run(&query);
	return query.rows;
}

/* Likewise, of what may be refused to the caller or not be had now. */
static List *
try_to_read(const char *text, int64 id, char **problem)
{
	Reading		query = {text, id, 0, NIL, CurrentMemoryContext};
	ErrorData  *error = attempt(run, &query);

	*problem = NULL;
	if (error == NULL)
		return query.rows;
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	*problem = psprintf("%s.%s%s", error->message, error->detail ? " " : "",
						error->detail ? error->detail : "");
	return NIL;
}

/* ---- a part of the page ---- */

/* Nothing at all where there is none of it. */
static void
put_table(Report *page, const char *heading, int ncolumns, const char *const *headings,
		  const char *code, List *rows, const char *all)
{
	int			more = list_length(rows) - MOST_ROWS;

	if (rows == NIL)
		return;
	page_heading(page, heading);
	page_table(page, ncolumns, headings, code,
			   more > 0 ? list_truncate(list_copy(rows), MOST_ROWS) : rows);
	if (more > 0)
		page_text(page, psprintf("There are %d more: %s", more, all));
}

/* In place of a table that could not be read. */
static void
put_problem(Report *page, const char *heading, const char *problem)
{
	if (problem == NULL)
		return;
	page_heading(page, heading);
	page_text(page, problem);
}

#define NAMES(...) (const char *const[]) {__VA_ARGS__}

static void
put_summary(Report *page, char **m)
{
	const char *names[] = {"Kind", "State", "Framework", "Version", "Run by", "Client", "Application", "Reason",
	"Began", "Ended", "Took", "Commands", "Kept", "Kept at least until", "Can be rolled back", "Takes back", "Rolled back by"};

	for (size_t i = 0; i < lengthof(names); i++)
		page_fact(page, names[i], m[2 + i]);
}

static void
put_commands(Report *page, int64 id)
{
	put_table(page, "Commands", 5, NAMES("Command", "Run by", "ms", "Text", "Remarks"), "10110",
			  read_rows("SELECT c.tag, c.role, pg_catalog.round(c.ms::numeric, 1), pg_catalog.btrim(c.query, E' \\n\\t\\r;'),"
						" pg_catalog.concat_ws('; ', 'irreversible: ' OPERATOR(pg_catalog.||) c.irreversible,"
						" 'not kept: ' OPERATOR(pg_catalog.||) c.unkept,"
						" 'wrote anew: ' OPERATOR(pg_catalog.||) pg_catalog.array_to_string(c.rewrote, ', '))"
						" FROM safemig.commands c WHERE c.migration OPERATOR(pg_catalog.=) $1 ORDER BY c.seq", id),
			  psprintf("SELECT * FROM safemig.commands WHERE migration = " INT64_FORMAT, id));
}

static void
put_changes(Report *page, int64 id)
{
	char	   *problem;
	List	   *rows = try_to_read("SELECT object, facet, before, after FROM pg_catalog.safemig_diff($1)", id, &problem);

	put_table(page, "What it changed", 4, NAMES("Object", "What", "Before", "After"), "1011", rows,
			  psprintf("SELECT * FROM safemig_diff(" INT64_FORMAT ")", id));
	put_problem(page, "What it changed", problem);
}

static void
put_kept(Report *page, int64 id)
{
	put_table(page, "What was kept", 6, NAMES("Object", "Column", "As", "State", "Rows", "Size"), "110011",
			  read_rows("SELECT k.object_type OPERATOR(pg_catalog.||) ' ' OPERATOR(pg_catalog.||) k.identity, k.part,"
						" CASE k.kind WHEN 'relation' THEN 'moved to the vault' WHEN 'column' THEN 'values of a dropped column'"
						" WHEN 'values' THEN 'values of before a change of type' WHEN 'rows' THEN 'all rows'"
						" WHEN 'writes' THEN 'rows that were written' WHEN 'position' THEN 'position' ELSE k.kind END,"
						" k.state, NULLIF(k.rows, -1), pg_catalog.pg_size_pretty(k.bytes)"
						" FROM safemig.kept k WHERE k.migration OPERATOR(pg_catalog.=) $1 ORDER BY k.id", id),
			  psprintf("SELECT * FROM safemig.kept WHERE migration = " INT64_FORMAT, id));
}

/* What speaks against it, as far as it is written down. */
static void
put_risk(Report *page, int64 id)
{
	put_table(page, "Risk", 2, NAMES("What", "Why"), "00",
			  read_rows("SELECT w.what, w.why FROM ("
						"SELECT 1 AS ord, x.seq, x.tag OPERATOR(pg_catalog.||) ' cannot be taken back' AS what, x.irreversible AS why FROM safemig.commands x"
						" WHERE x.migration OPERATOR(pg_catalog.=) $1 AND x.irreversible IS NOT NULL"
						" UNION ALL SELECT 2, x.seq, x.tag OPERATOR(pg_catalog.||) ' is taken back in part', x.unkept FROM safemig.commands x"
						" WHERE x.migration OPERATOR(pg_catalog.=) $1 AND x.unkept IS NOT NULL AND x.irreversible IS NULL"
						" UNION ALL SELECT 3, x.seq, x.tag OPERATOR(pg_catalog.||) ' wrote tables anew', pg_catalog.array_to_string(x.rewrote, ', ')"
						" FROM safemig.commands x WHERE x.migration OPERATOR(pg_catalog.=) $1 AND x.rewrote IS NOT NULL"
						" UNION ALL SELECT 4, x.id, 'what it kept was pruned', x.object_type OPERATOR(pg_catalog.||) ' ' OPERATOR(pg_catalog.||) x.identity"
						" OPERATOR(pg_catalog.||) ', by ' OPERATOR(pg_catalog.||) x.role OPERATOR(pg_catalog.||) COALESCE(': ' OPERATOR(pg_catalog.||) x.reason, '')"
						" FROM safemig.pruned x WHERE x.record OPERATOR(pg_catalog.=) $1"
						" UNION ALL SELECT 5, 0, 'a policy was overridden: ' OPERATOR(pg_catalog.||) x.key, x.value FROM safemig.notes x"
						" WHERE x.migration OPERATOR(pg_catalog.=) $1 AND x.key OPERATOR(pg_catalog.~) '^override '"
						" UNION ALL SELECT 6, 0, 'its rollback was rehearsed, and did not pass', x.outcome FROM ("
						"SELECT d.* FROM safemig.drills d WHERE d.migration OPERATOR(pg_catalog.=) $1 ORDER BY d.drilled_at DESC LIMIT 1) x"
						" WHERE NOT x.passed) w ORDER BY w.ord, w.seq, w.what", id), "");
}

static void
put_plan(Report *page, int64 id)
{
	char	   *problem;
	List	   *rows = try_to_read("SELECT step, object, lock_mode, cost, rows, pg_catalog.round(ms_estimate::numeric, 1), note, statement"
								   " FROM pg_catalog.safemig_plan($1) ORDER BY step", id, &problem);

	put_table(page, "How it would be taken back now", 8,
			  NAMES("Step", "Object", "Lock", "Cost", "Rows", "ms, estimated", "Note", "Statement"), "11001101", rows,
			  psprintf("SELECT * FROM safemig_plan(" INT64_FORMAT ")", id));
	put_problem(page, "How it would be taken back now", problem);
}

static void
put_timeline(Report *page, int64 id)
{
	put_table(page, "Timeline", 3, NAMES("When", "What", "Who"), "000",
			  read_rows("SELECT pg_catalog.to_char(e.at, 'YYYY-MM-DD HH24:MI:SS TZ'), e.what, e.who FROM ("
						"SELECT c.started_at AS at, 1 AS ord, c.seq AS n, c.tag AS what, c.role AS who"
						" FROM safemig.commands c WHERE c.migration OPERATOR(pg_catalog.=) $1"
						" UNION ALL SELECT f.failed_at, 2, f.id, pg_catalog.concat_ws(' ', 'failed:', f.tag, f.sqlstate, f.message), f.role"
						" FROM safemig.failures f WHERE f.migration OPERATOR(pg_catalog.=) $1"
						" UNION ALL SELECT n.noted_at, 3, 0, 'noted: ' OPERATOR(pg_catalog.||) n.key, n.role"
						" FROM safemig.notes n WHERE n.migration OPERATOR(pg_catalog.=) $1"
						" UNION ALL SELECT d.drilled_at, 4, 0, pg_catalog.format('rollback rehearsed in %s ms: %s', pg_catalog.round(d.ms::numeric, 1), d.outcome), d.role"
						" FROM safemig.drills d WHERE d.migration OPERATOR(pg_catalog.=) $1"
						" UNION ALL SELECT g.started_at, 5, g.id, 'guarded', g.role FROM safemig.guards g WHERE g.migration OPERATOR(pg_catalog.=) $1"
						" UNION ALL SELECT g.ended_at, 6, g.id, pg_catalog.concat_ws(': ', 'guard ' OPERATOR(pg_catalog.||) g.state, g.end_reason), g.ended_by"
						" FROM safemig.guards g WHERE g.migration OPERATOR(pg_catalog.=) $1 AND g.ended_at IS NOT NULL"
						" UNION ALL SELECT r.started_at, 7, r.id, pg_catalog.concat_ws(', ', CASE r.kind WHEN 'redo' THEN 'redone as ' ELSE 'rolled back as ' END"
						" OPERATOR(pg_catalog.||) r.id, r.reason), r.role"
						" FROM safemig.migrations r WHERE $1 OPERATOR(pg_catalog.=) ANY (r.rolls_back) OR (r.kind OPERATOR(pg_catalog.=) 'redo'"
						" AND EXISTS (SELECT FROM safemig.migrations u WHERE u.id OPERATOR(pg_catalog.=) ANY (r.rolls_back) AND $1 OPERATOR(pg_catalog.=) ANY (u.rolls_back)))"
						" UNION ALL SELECT p.pruned_at, 8, p.id, pg_catalog.concat_ws(': ', pg_catalog.format('pruned: %s %s', p.object_type, p.identity), p.reason), p.role"
						" FROM safemig.pruned p WHERE p.record OPERATOR(pg_catalog.=) $1"
						" UNION ALL SELECT x.erased_at, 9, x.kept, pg_catalog.concat_ws(': ', pg_catalog.format('erased: %s rows or texts', x.rows), x.reason), x.role"
						" FROM safemig.erased x WHERE x.migration OPERATOR(pg_catalog.=) $1"
						" UNION ALL SELECT x.prune_after, 10, 0, 'is to be pruned', NULL FROM safemig.expiring x WHERE x.migration OPERATOR(pg_catalog.=) $1"
						") e ORDER BY e.at, e.ord, e.n", id),
			  psprintf("SELECT * FROM safemig.commands WHERE migration = " INT64_FORMAT, id));
}

static void
put_certificate(Report *page, int64 id, const char *kind, const char *state)
{
	char	   *problem;
	List	   *rows;

	if (strcmp(state, "rolled_back") != 0 && strcmp(kind, "rollback") != 0 && strcmp(kind, "redo") != 0)
		return;
	rows = try_to_read("SELECT pg_catalog.safemig_certificate($1)", id, &problem);
	page_heading(page, "Certificate");
	if (problem)
		page_text(page, problem);
	else
		page_code(page, ((char **) linitial(rows))[0]);
}

/* ---- the page ---- */

/* The row of safemig.migrations, as texts; what comes first is not shown. */
static char **
migration_row(int64 id)
{
	List	   *rows = read_rows("SELECT m.kind, m.state, m.kind, m.state, m.framework, m.version, m.role, m.client, m.application, m.reason,"
								 " pg_catalog.to_char(m.started_at, 'YYYY-MM-DD HH24:MI:SS TZ'), pg_catalog.to_char(m.finished_at, 'YYYY-MM-DD HH24:MI:SS TZ'),"
								 " pg_catalog.round(EXTRACT(epoch FROM m.finished_at OPERATOR(pg_catalog.-) m.started_at), 3) OPERATOR(pg_catalog.||) ' s',"
								 " m.commands, pg_catalog.pg_size_pretty(m.kept_bytes), m.kept_until,"
								 " CASE WHEN m.restorable THEN 'yes' WHEN m.why_not IS NOT NULL THEN 'no: ' OPERATOR(pg_catalog.||) m.why_not END,"
								 " pg_catalog.array_to_string(m.rolls_back, ', '), m.rolled_back_by, m.label"
								 " FROM safemig.migrations m WHERE m.id OPERATOR(pg_catalog.=) $1", id);

	if (rows == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_UNKNOWN),
				 errmsg("migration %lld does not exist, or is not yours to see", (long long) id),
				 errhint("SELECT id, label, state, started_at FROM safemig.migrations ORDER BY id DESC;")));
	return linitial(rows);
}

static char *
write_report(int64 id, bool html)
{
	char	  **m = migration_row(id);
	const char *label = m[19];
	char	   *title = psprintf("%c%s " INT64_FORMAT "%s%s", pg_toupper(m[0][0]), m[0] + 1, id,
								 label ? ": " : "", label ? label : "");
	Report	   *page = page_begin(html, title);

	put_summary(page, m);
	put_table(page, "Notes", 3, NAMES("Key", "Note", "By"), "000",
			  read_rows("SELECT n.key, n.value, n.role FROM safemig.notes n"
						" WHERE n.migration OPERATOR(pg_catalog.=) $1 ORDER BY n.key COLLATE \"C\"", id), "");
	put_risk(page, id);
	put_changes(page, id);
	put_commands(page, id);
	put_kept(page, id);
	if ((strcmp(m[0], "migration") == 0 || strcmp(m[0], "snapshot") == 0) &&
		strcmp(m[1], "rolled_back") != 0)
		put_plan(page, id);
	put_timeline(page, id);
	put_certificate(page, id, m[0], m[1]);
	return page_end(page);
}

Datum
safemig_report(PG_FUNCTION_ARGS)
{
	char	   *format = text_argument(fcinfo, 1);

	check_not_null(fcinfo, 0, "id");
	check_not_null(fcinfo, 1, "format");
	if (strcmp(format, "markdown") != 0 && strcmp(format, "html") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown format \"%s\"", format),
				 errhint("It is \"markdown\" or \"html\".")));
	PG_RETURN_TEXT_P(cstring_to_text(write_report(PG_GETARG_INT64(0), strcmp(format, "html") == 0)));
}
