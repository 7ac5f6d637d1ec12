/*-------------------------------------------------------------------------
 *
 * rules.c
 *	  The one list of rules, and safemig.rules(), which shows it.
 *
 * What a rule says stands in rules.h; when it fires is decided by the file
 * that knows the statement.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "advise/advise.h"
#include "compat.h"

PG_FUNCTION_INFO_V1(safemig_rules);

const Rule	rules[RULE_COUNT] = {
#define RULE(id, name, severity, lock, cost, undo, undo_lock, undo_cost, of_new, why, safer) \
	[id] = {name, severity, lock, cost, undo, undo_lock, undo_cost, why, safer, of_new},
#include "advise/rules.h"
#undef RULE
};

const Rule *
rule_find(const char *name)
{
	for (int i = 0; i < RULE_COUNT; i++)
	{
		if (strcmp(rules[i].name, name) == 0)
			return &rules[i];
	}
	return NULL;
}

const char *
severity_name(Severity severity)
{
	static const char *const names[] = {"low", "medium", "high", "critical"};

	return names[severity];
}

/* What the rule rests on. */
static const char *
rule_source(const Rule *rule)
{
	if (rule - rules >= RULE_IRREVERSIBLE)
		return "safemig";
	/* what is locked, and what that costs, can be measured, and was */
	return rule->cost ? "measured" : "practice";
}

static void
put_text(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column] = text == NULL;
	values[column] = text ? CStringGetTextDatum(text) : (Datum) 0;
}

Datum
safemig_rules(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < RULE_COUNT; i++)
	{
		const Rule *rule = &rules[i];
		Datum		values[10];
		bool		nulls[10] = {false};

		put_text(values, nulls, 0, rule->name);
		put_text(values, nulls, 1, severity_name(rule->severity));
		put_text(values, nulls, 2, rule->lock);
		put_text(values, nulls, 3, rule->cost);
		put_text(values, nulls, 4, rule->undo);
		put_text(values, nulls, 5, rule->undo_lock);
		put_text(values, nulls, 6, rule->undo_cost);
		put_text(values, nulls, 7, rule->why);
		put_text(values, nulls, 8, rule->safer);
		put_text(values, nulls, 9, rule_source(rule));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
