/*-------------------------------------------------------------------------
 *
 * assert.c
 *	  Assertions for test suites: safemig_is_reversible and
 *	  safemig_rolls_back_ok.
 *
 * Where pgTAP is installed they are its ok(), so that its plan counts them;
 * elsewhere they return a line of the Test Anything Protocol themselves.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "rollback/rollback.h"

PG_FUNCTION_INFO_V1(safemig_is_reversible);
PG_FUNCTION_INFO_V1(safemig_rolls_back_ok_id);
PG_FUNCTION_INFO_V1(safemig_rolls_back_ok_label);

/* A suite has the database to itself. */
#define ASSERTION_BUDGET	(10 * 60 * 1000)

/* ---- a line of the protocol ---- */

/* Quoted; NULL: it is not installed. */
static char *
pgtap_schema(void)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *schema = NULL;

	SPI_connect();
	if (SPI_execute("SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension e"
					" JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace"
					" WHERE e.extname OPERATOR(pg_catalog.=) 'pgtap'", true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read pg_extension");
	if (SPI_processed == 1)
		schema = MemoryContextStrdup(context, SPI_getvalue(SPI_tuptable->vals[0],
														   SPI_tuptable->tupdesc, 1));
	SPI_finish();
	return schema;
}

static char *
ask_pgtap(const char *schema, bool passed, const char *description, const char *detail)
{
	Oid			types[] = {BOOLOID, TEXTOID, TEXTOID};
	Datum		values[3];
	char		nulls[] = "   ";
	MemoryContext context = CurrentMemoryContext;
	char	   *query = psprintf("SELECT %1$s.ok($1, $2) || CASE WHEN $1 OR $3 IS NULL THEN '' ELSE E'\\n' || %1$s.diag($3) END",
								 schema);
	char	   *line;

	values[0] = BoolGetDatum(passed);
	values[1] = CStringGetTextDatum(description);
	values[2] = detail ? CStringGetTextDatum(detail) : (Datum) 0;
	nulls[2] = detail ? ' ' : 'n';
	SPI_connect();
	if (SPI_execute_with_args(query, 3, types, values, nulls, false, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not call ok() of pgTAP");
	line = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	line = line ? MemoryContextStrdup(context, line) : NULL;
	SPI_finish();
	return line;
}

/* Each line of a text as a comment. */
static void
append_comment(StringInfo buf, const char *text)
{
	appendStringInfoString(buf, "\n# ");
	for (; *text; text++)
	{
		appendStringInfoChar(buf, *text);
		if (*text == '\n')
			appendStringInfoString(buf, "# ");
	}
}

static Datum
assertion(bool passed, const char *description, const char *detail)
{
	char	   *schema = pgtap_schema();
	StringInfoData line;

	if (schema)
		return CStringGetTextDatum(ask_pgtap(schema, passed, description, detail));
	initStringInfo(&line);
	appendStringInfo(&line, "%s - %s", passed ? "ok" : "not ok", description);
	if (!passed && detail)
		append_comment(&line, detail);
	return CStringGetTextDatum(line.data);
}

/* ---- a script ---- */

Datum
safemig_is_reversible(PG_FUNCTION_ARGS)
{
	const char *description = text_argument(fcinfo, 1);
	bool		passed = false;
	StringInfoData detail;
	ListCell   *lc;

	check_not_null(fcinfo, 0, "script");
	initStringInfo(&detail);
	foreach(lc, script_prove(text_argument(fcinfo, 0)))
	{
		ProofItem  *item = lfirst(lc);

		if (strcmp(item->item, "rollback") == 0)
			passed = strcmp(item->outcome, "exact") == 0;
		if (item->detail)
			appendStringInfo(&detail, "%s%s: %s: %s", detail.len ? "\n" : "",
							 item->item, item->outcome, item->detail);
	}
	return assertion(passed, description ? description : "the script is reversible",
					 detail.len ? detail.data : NULL);
}

/* ---- a migration ---- */

static Datum
rolls_back_ok(Migration *migration, const char *description)
{
	/* ids would make the output another one each time */
	Rehearsal	rehearsal = {.budget = ASSERTION_BUDGET,.quiet = true};
	const char *failure = NULL;
	ListCell   *lc;

	migrations_rehearse(list_make1(migration), &rehearsal);
	foreach(lc, rehearsal.outcomes)
	{
		StepOutcome *step = lfirst(lc);

		/* what comes last has all that was met */
		if (step->outcome && strcmp(step->outcome, REHEARSED) != 0)
			failure = psprintf("%s\n%s", step->statement, step->outcome);
	}
	if (description == NULL)
		description = migration->label ?
			psprintf("migration \"%s\" rolls back", migration->label) :
			"the migration rolls back";
	return assertion(failure == NULL, description, failure);
}

Datum
safemig_rolls_back_ok_id(PG_FUNCTION_ARGS)
{
	check_not_null(fcinfo, 0, "id");
	return rolls_back_ok(resolve_id(PG_GETARG_INT64(0)), text_argument(fcinfo, 1));
}

Datum
safemig_rolls_back_ok_label(PG_FUNCTION_ARGS)
{
	check_not_null(fcinfo, 0, "label");
	return rolls_back_ok(resolve_label(text_argument(fcinfo, 0)), text_argument(fcinfo, 1));
}
