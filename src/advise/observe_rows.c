/*-------------------------------------------------------------------------
 *
 * observe_rows.c
 *	  Before a statement is run: the rows that it would refuse, and who else
 *	  names what it takes away.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "advise/observe.h"

/* ---- rows that would be refused ---- */

typedef struct Counting
{
	const char *query;
	double		rows;
} Counting;

static bool
count_rows(void *arg)
{
	Counting   *counting = arg;
	bool		isnull;

	SPI_connect();
	if (SPI_execute(psprintf("SELECT pg_catalog.count(*) FROM (%s) q", counting->query),
					true, 0) == SPI_OK_SELECT)
		counting->rows = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return false;
}

/* An error is no answer: the statement itself will meet it. */
void
count_refused(Statement *statement)
{
	ListCell   *lc;

	foreach(lc, statement->findings)
	{
		Finding    *finding = lfirst(lc);
		Counting	counting = {finding->query, -1};
		ErrorData  *error;

		if (finding->query == NULL)
			continue;
		error = attempt(count_rows, &counting);
		if (error && ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
			ReThrowError(error);
		finding->refused = counting.rows;
	}
}

/* ---- statements that name what goes ---- */

static bool
takes_a_name_away(const Rule *rule)
{
	return rule == &rules[RULE_DROP_TABLE] || rule == &rules[RULE_DROP_COLUMN] ||
		rule == &rules[RULE_DROP_VIEW] || rule == &rules[RULE_DROP_MATVIEW] ||
		rule == &rules[RULE_RENAME_TABLE] || rule == &rules[RULE_RENAME_COLUMN] ||
		rule == &rules[RULE_SET_SCHEMA];
}

/* Where the view is, or NULL where the extension is not. */
static char *
statements_view(void)
{
	return facts_text("SELECT format('%I.pg_stat_statements', n.nspname) FROM pg_extension e"
					  " JOIN pg_namespace n ON n.oid = e.extnamespace"
					  " WHERE e.extname = 'pg_stat_statements' AND $1 = 0::oid AND $2 = 0", InvalidOid, 0);
}

static char *
statements_query(const char *view, const Finding *finding)
{
	const char *name = finding->part ? finding->part : get_rel_name(finding->target->relid);

	return psprintf("SELECT s.calls, s.query FROM %s s JOIN pg_catalog.pg_database d ON d.oid = s.dbid"
					" WHERE d.datname = pg_catalog.current_database() AND s.query ~* %s"
					" AND s.query ~* '^[[:space:]]*(select|insert|update|delete|with|merge)'",
					view, quote_literal_cstr(psprintf("\\m%s\\M", name)));
}

void
who_names_it(Observation *observation, Statement *statement)
{
	char	   *view = statements_view();
	ListCell   *lc;

	if (view == NULL)
		return;
	foreach(lc, list_copy(statement->findings))
	{
		Finding    *finding = lfirst(lc);
		Counting	counting = {NULL, -1};
		Finding    *use;

		if (finding->target == NULL || finding->target->made || finding->rule == NULL ||
			!takes_a_name_away(finding->rule))
			continue;
		counting.query = statements_query(view, finding);
		(void) attempt(count_rows, &counting);
		if (counting.rows <= 0)
			continue;
		observation->a->now = statement;
		use = fire(observation->a, RULE_NAMED_BY_STATEMENTS, finding->target);
		use->object = finding->object;
		use->lock = finding->lock;
		use->query = pstrdup(counting.query);
		use->refused = counting.rows;
	}
}
