/*-------------------------------------------------------------------------
 *
 * guard_query.c
 *	  Does a query of the user's hold?
 *
 * It yields one row of one boolean.  Nothing that it calls may write.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "guard/guard.h"
#include "rollback/rollback.h"
#include "safemig.h"

PG_FUNCTION_INFO_V1(safemig_expect);

static void
check_is_select(const char *query)
{
	List	   *parsed = raw_parser(query, RAW_PARSE_DEFAULT);
	Node	   *stmt = list_length(parsed) == 1 ? linitial_node(RawStmt, parsed)->stmt : NULL;

	if (stmt == NULL || !IsA(stmt, SelectStmt) || ((SelectStmt *) stmt)->intoClause)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("what is to be checked is not one SELECT"),
				 errhint("Write it as in: SELECT count(*) = 0 FROM orders WHERE total < 0")));
}

static void
check_yields_boolean(void)
{
	if (SPI_tuptable == NULL || SPI_tuptable->tupdesc->natts != 1 ||
		TupleDescAttr(SPI_tuptable->tupdesc, 0)->atttypid != BOOLOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the query does not yield one boolean column"),
				 errhint("Write it as in: SELECT count(*) = 0 FROM orders WHERE total < 0")));
}

/* In the memory of the caller; what goes wrong while it runs is raised. */
Verdict
query_verdict(const char *query)
{
	Verdict		verdict = {false, NULL};
	bool		was_read_only = XactReadOnly;
	bool		isnull;
	Datum		value;

	check_is_select(query);
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());

	/* functions that it calls are bound by that, the query by the other */
	XactReadOnly = true;
	PG_TRY();
	{
		if (SPI_execute(query, true, 2) != SPI_OK_SELECT)
			elog(ERROR, "could not run \"%s\"", query);
		check_yields_boolean();
	}
	PG_FINALLY();
	{
		XactReadOnly = was_read_only;
	}
	PG_END_TRY();
	PopActiveSnapshot();

	if (SPI_processed != 1)
		verdict.problem = SPI_processed == 0 ? "the query yields no row" : "the query yields more than one row";
	else
	{
		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
		verdict.holds = !isnull && DatumGetBool(value);
		if (!verdict.holds)
			verdict.problem = isnull ? "the query yields null" : "the query yields false";
	}
	SPI_finish();
	return verdict;
}

Datum
safemig_expect(PG_FUNCTION_ARGS)
{
	char	   *query;
	char	   *message;
	Verdict		verdict;

	check_not_null(fcinfo, 0, "query");
	query = text_argument(fcinfo, 0);
	message = text_argument(fcinfo, 1);
	verdict = query_verdict(query);
	if (!verdict.holds)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_UNEXPECTED),
				 message ? errmsg_internal("%s", message) : errmsg("what is expected of the migration does not hold"),
				 errdetail("%s: %s", verdict.problem, query)));
	PG_RETURN_VOID();
}
