/*-------------------------------------------------------------------------
 *
 * estimate.c
 *	  How long a step may take, from how long such steps took here.
 *
 * Rollbacks and rehearsals write down what each step had to do with and how
 * long it took: safemig.step_log.  What a step takes is then what any change
 * of the catalogs takes, and for what goes through rows as much more as its
 * kind took per byte.  What this server has never done is not estimated, nor
 * what is more than a hundred times as large as what it did.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "rollback/rollback.h"

#define EXTRAPOLATED 100

/* measures */
#define FOUNDED_BY 3

struct Measure
{
	const char *kind;
	const char *cost;
	Extent		extent;
	double		ms;
	int			steps;			/* that this is about */
	TimestampTz since;
};

/* What is known of the steps of one kind and class. */
struct Rate
{
	char	   *kind;
	char	   *cost;
	double		steps;
	double		typical;		/* ms, the median */
	double		ms;				/* in all, and bytes */
	double		bytes;
	double		largest;
};

static bool
is_catalog(const char *cost)
{
	return strcmp(cost, "catalog") == 0;
}

static const char *
kind_of(const Step *step)
{
	Node	   *parsed = parse_statement(step->sql);
	FuncCall   *call = parsed_own_call(parsed);

	return call ? strVal(llast(call->funcname)) : CreateCommandName(parsed);
}

/* ---- measuring ---- */

Measure *
measure_begin(RollbackPlan *plan, const Step *step)
{
	Measure    *measure = palloc0(sizeof(Measure));

	measure->kind = kind_of(step);
	measure->cost = step->cost;
	measure->steps = 1;
	if (is_catalog(step->cost))
		measure->extent.rows = measure->extent.bytes = -1;
	else
		measure->extent = step_extent(plan, step);
	measure->since = GetCurrentTimestamp();
	return measure;
}

void
measure_end(RollbackPlan *plan, Measure *measure)
{
	List	  **measures = plan->rehearsal ? &plan->rehearsal->measures : &plan->measures;

	measure->ms = (GetCurrentTimestamp() - measure->since) / 1000.0;
	*measures = lappend(*measures, measure);
}

static Measure *
find_measure(List *measures, const char *kind, const char *cost)
{
	ListCell   *lc;

	foreach(lc, measures)
	{
		Measure    *measure = lfirst(lc);

		if (strcmp(measure->kind, kind) == 0 && strcmp(measure->cost, cost) == 0)
			return measure;
	}
	return NULL;
}

/*
 * Changes of the catalogs are one for all of a kind: a schema has thousands,
 * which would drive out what is known of rows.
 */
static List *
together(List *measures)
{
	List	   *of_catalogs = NIL;
	List	   *others = NIL;
	ListCell   *lc;

	foreach(lc, measures)
	{
		Measure    *measure = lfirst(lc);
		Measure    *same = find_measure(of_catalogs, measure->kind, measure->cost);

		if (same)
		{
			same->ms += measure->ms;
			same->steps++;
		}
		else if (is_catalog(measure->cost))
			of_catalogs = lappend(of_catalogs, measure);
		else
			others = lappend(others, measure);
	}
	return list_concat(of_catalogs, others);
}

void
measures_write(List *measures)
{
	List	   *kinds = NIL;
	ListCell   *lc;

	measures = together(measures);
	foreach(lc, measures)
	{
		const Measure *measure = lfirst(lc);

		history_write_measure(measure->since, measure->kind, measure->cost,
							  measure->extent.rows, measure->extent.bytes,
							  measure->ms / measure->steps);
		if (find_measure(kinds, measure->kind, measure->cost) == NULL)
			kinds = lappend(kinds, unconstify(Measure *, measure));
	}
	if (!history_forgets_measures())
		return;
	foreach(lc, kinds)
		history_forget_measures(((Measure *) lfirst(lc))->kind, ((Measure *) lfirst(lc))->cost);
}

/* ---- estimating ---- */

static double
number(HeapTuple tuple, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, SPI_tuptable->tupdesc, column, &isnull);

	return isnull ? 0 : DatumGetFloat8(value);
}

/* Of Rate*; a kind NULL stands for all of the class. */
List *
rates_read(void)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *rates = NIL;

	SPI_connect();
	if (SPI_execute("SELECT s.kind, s.cost, pg_catalog.count(*)::pg_catalog.float8,"
					" pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY s.ms),"
					" pg_catalog.sum(s.ms), pg_catalog.sum(s.bytes)::pg_catalog.float8, pg_catalog.max(s.bytes)::pg_catalog.float8"
					" FROM safemig.step_log s"
					" WHERE s.cost OPERATOR(pg_catalog.=) 'catalog' OR s.bytes IS NOT NULL"
					" GROUP BY GROUPING SETS ((s.kind, s.cost), (s.cost))",
					false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read step_log");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		MemoryContext old = MemoryContextSwitchTo(context);
		Rate	   *rate = palloc(sizeof(Rate));

		rate->kind = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 1);
		rate->cost = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 2);
		rate->steps = number(tuple, 3);
		rate->typical = number(tuple, 4);
		rate->ms = number(tuple, 5);
		rate->bytes = number(tuple, 6);
		rate->largest = number(tuple, 7);
		rates = lappend(rates, rate);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return rates;
}

static const Rate *
find_rate(List *rates, const char *kind, const char *cost)
{
	ListCell   *lc;

	foreach(lc, rates)
	{
		const Rate *rate = lfirst(lc);

		if (strcmp(rate->cost, cost) == 0 &&
			(kind ? rate->kind && strcmp(rate->kind, kind) == 0 : rate->kind == NULL))
			return rate;
	}
	return NULL;
}

static bool
is_within_reach(const Rate *rate, int64 bytes)
{
	return rate && (double) bytes <= Max(rate->largest, BLCKSZ) * EXTRAPOLATED;
}

/* Was enough of it measured here to speak of what such a step takes? */
bool
step_estimate_is_founded(List *rates, const Step *step)
{
	const Rate *rate = find_rate(rates, kind_of(step), step->cost);

	if (rate == NULL || rate->steps < FOUNDED_BY)
		rate = find_rate(rates, NULL, step->cost);
	return rate && rate->steps >= FOUNDED_BY;
}

/*
 * What an ordinary server of these years takes, where nothing was measured;
 * milliseconds, or -1: the size is not known.
 */
double
step_estimate_assumed(const char *cost, int64 bytes)
{
	static const struct
	{
		const char *cost;
		double		ms_per_megabyte;
	}			assumed[] = {{"scan", 2}, {"index", 10}, {"rewrite", 25}};
	double		fixed = 2;

	if (is_catalog(cost))
		return fixed;
	for (size_t i = 0; i < lengthof(assumed) && bytes >= 0; i++)
	{
		if (strcmp(assumed[i].cost, cost) == 0)
			return fixed + assumed[i].ms_per_megabyte * bytes / (1024.0 * 1024.0);
	}
	return -1;
}

/* Milliseconds, or -1: nothing is known. */
double
step_estimate(List *rates, const Step *step, const Extent *extent)
{
	const Rate *catalog = find_rate(rates, NULL, "catalog");
	const char *kind = kind_of(step);
	const Rate *rate = find_rate(rates, kind, step->cost);
	double		fixed = catalog ? catalog->typical : 0;

	if (is_catalog(step->cost))
		return rate ? rate->typical : catalog ? catalog->typical : -1;
	if (extent->bytes < 0)
		return -1;
	if (!is_within_reach(rate, extent->bytes))
		rate = find_rate(rates, NULL, step->cost);
	if (!is_within_reach(rate, extent->bytes))
		return -1;
	/* what is nearly empty takes what it takes to begin */
	if (rate->bytes <= 0 || extent->bytes == 0)
		return Max(rate->bytes <= 0 ? rate->typical : 0, fixed);
	return fixed + Max(rate->ms - rate->steps * fixed, 0) / rate->bytes * extent->bytes;
}
