/*-------------------------------------------------------------------------
 *
 * assess.c
 *	  safemig_assess: what a script will lock, cost and lose, and what its way
 *	  back will, before anybody runs it.
 *
 * The script is parsed, not run.  Each statement is looked at with what the
 * catalogs say now; what the script itself makes is followed by name, since
 * it has no rows yet and nobody waits for it.  Settings that decide what
 * names mean, and how long one waits, are followed as well.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "parser/parser.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "tcop/cmdtag.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/tuplestore.h"

#include "advise/advise.h"
#include "compat.h"
#include "rollback/rollback.h"

PG_FUNCTION_INFO_V1(safemig_assess);

/* ---- locks ---- */

static const char *const lock_names[] = {
	[AccessShareLock] = "ACCESS SHARE",
	[RowShareLock] = "ROW SHARE",
	[RowExclusiveLock] = "ROW EXCLUSIVE",
	[ShareUpdateExclusiveLock] = "SHARE UPDATE EXCLUSIVE",
	[ShareLock] = "SHARE",
	[ShareRowExclusiveLock] = "SHARE ROW EXCLUSIVE",
	[ExclusiveLock] = "EXCLUSIVE",
	[AccessExclusiveLock] = "ACCESS EXCLUSIVE",
};

const char *
lock_in_words(LOCKMODE mode)
{
	return mode == NoLock ? NULL : lock_names[mode];
}

LOCKMODE
lock_from_words(const char *words)
{
	for (LOCKMODE mode = AccessShareLock; words && mode <= AccessExclusiveLock; mode++)
	{
		if (strcmp(lock_names[mode], words) == 0)
			return mode;
	}
	return NoLock;
}

/* That the statement takes on it, as far as is known by now. */
static LOCKMODE
taken_on(const Statement *statement, const Target *target)
{
	ListCell   *lc;

	foreach(lc, statement->locks)
	{
		const TakenLock *lock = lfirst(lc);

		if (strcmp(lock->target->name, target->name) == 0)
			return lock->mode;
	}
	return NoLock;
}

/*
 * Of two locks on one relation the stronger one is said; ACCESS SHARE, which
 * whoever reads it has, is not.
 */
void
takes(Assessment *a, const Target *target, LOCKMODE mode)
{
	TakenLock  *lock;
	ListCell   *lc;

	if (target->made || mode <= AccessShareLock)
		return;
	foreach(lc, a->now->locks)
	{
		lock = lfirst(lc);
		if (strcmp(lock->target->name, target->name) != 0)
			continue;
		lock->mode = Max(lock->mode, mode);
		return;
	}
	lock = palloc(sizeof(TakenLock));
	lock->target = target;
	lock->mode = mode;
	a->now->locks = lappend(a->now->locks, lock);
}

/* ---- findings ---- */

static const char *
kind_in_words(char relkind)
{
	switch (relkind)
	{
		case RELKIND_VIEW:
			return "view";
		case RELKIND_MATVIEW:
			return "materialized view";
		case RELKIND_INDEX:
		case RELKIND_PARTITIONED_INDEX:
			return "index";
		case RELKIND_SEQUENCE:
			return "sequence";
		case RELKIND_FOREIGN_TABLE:
			return "foreign table";
		case RELKIND_COMPOSITE_TYPE:
			return "composite type";
		default:
			return "table";
	}
}

static Finding *
new_finding(Assessment *a, const Rule *rule, const Target *target)
{
	Finding    *finding = palloc0(sizeof(Finding));

	finding->statement = a->now->number;
	finding->rule = rule;
	finding->target = target;
	finding->rows = finding->bytes = finding->kept_bytes = finding->ms = -1;
	finding->refused = -1;
	if (target)
	{
		finding->object = psprintf("%s %s", kind_in_words(target->relkind), target->name);
		if (OidIsValid(target->relid))
			facts_size(target->relid, &finding->rows, &finding->bytes);
	}
	if (rule)
	{
		finding->cost = rule->cost;
		finding->undo = rule->undo;
		finding->undo_lock = rule->undo_lock;
		finding->undo_cost = rule->undo_cost;
		finding->why = rule->why;
	}
	return finding;
}

/* An object that is locked, and that no rule is about. */
Finding *
add_finding(Assessment *a, Statement *statement, const Target *target)
{
	Finding    *finding;

	a->now = statement;
	finding = new_finding(a, NULL, target);
	statement->findings = lappend(statement->findings, finding);
	return finding;
}

/*
 * The rule is met; on what the script itself makes most are not.  Always
 * returns something to be filled in, whether it counts or not.
 */
Finding *
fire(Assessment *a, RuleId id, const Target *target)
{
	const Rule *rule = &rules[id];
	Finding    *finding = new_finding(a, rule, target);

	set_safer(finding, rule->safer, target, NULL, NULL);
	if (target && target->made && !rule->of_new)
		return finding;
	a->now->findings = lappend(a->now->findings, finding);
	return finding;
}

Finding *
fire_part(Assessment *a, RuleId id, const Target *target, const char *type,
		  const char *part)
{
	Finding    *finding = fire(a, id, target);

	finding->part = part;
	finding->object = psprintf("%s %s of %s", type, quote_identifier(part), finding->object);
	set_safer(finding, rules[id].safer, target, part, NULL);
	return finding;
}

Finding *
fire_named(Assessment *a, RuleId id, const char *object)
{
	Finding    *finding = fire(a, id, NULL);

	finding->object = pstrdup(object);
	return finding;
}

/* ---- the safer form ---- */

/* The statement with CONCURRENTLY behind INDEX, or whatever it is about. */
static char *
made_concurrent(const char *sql)
{
	static const char *const words[] = {"INDEX", "TABLE", "SCHEMA", "DATABASE", "VIEW"};

	for (size_t i = 0; i < lengthof(words); i++)
	{
		const char *found = sql;
		size_t		length = strlen(words[i]);

		while (*found && pg_strncasecmp(found, words[i], length) != 0)
			found++;
		if (*found)
			return psprintf("%.*s CONCURRENTLY%s", (int) (found - sql + length), sql,
							found + length);
	}
	return pstrdup(sql);
}

typedef struct Placeholder
{
	const char *name;
	const char *value;
} Placeholder;

/* NULL where something of it is not known: half a statement helps nobody. */
static char *
filled_in(const char *template, const Placeholder *known, int n)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (const char *c = template; *c; c++)
	{
		const char *value = NULL;
		int			i;

		for (i = 0; i < n; i++)
		{
			if (strncmp(c, known[i].name, strlen(known[i].name)) == 0)
				break;
		}
		if (i == n)
		{
			appendStringInfoChar(&buf, *c);
			continue;
		}
		value = known[i].value;
		appendStringInfoString(&buf, value ? value : "...");
		c += strlen(known[i].name) - 1;
	}
	return buf.data;
}

/*
 * {object} is the target, {part} what is in it (without one, its own name),
 * {clause} and {type} a part of the statement's text; names that have to be
 * found are made of table and part.
 */
void
set_safer(Finding *finding, const char *template, const Target *target,
		  const char *part, const char *clause)
{
	char	   *schema = target && OidIsValid(target->relid) ?
	get_namespace_name(get_rel_namespace(target->relid)) : NULL;
	char	   *name = target && OidIsValid(target->relid) ?
	get_rel_name(target->relid) : NULL;
	const char *inner = part ? part : name;
	Placeholder known[] = {
		{"{object}", target ? target->name : finding->object},
		{"{part}_to_be_dropped", inner ? quote_identifier(psprintf("%s_to_be_dropped", inner)) : NULL},
		{"{part}_new", inner ? quote_identifier(psprintf("%s_new", inner)) : NULL},
		{"{part}_fits", inner ? quote_identifier(psprintf("%s_fits", inner)) : NULL},
		{"{part}_check", inner ? quote_identifier(psprintf("%s_check", inner)) : NULL},
		{"{part}_1", inner ? quote_identifier(psprintf("%s_1", inner)) : NULL},
		{"{part}", inner ? quote_identifier(inner) : NULL},
		{"{schema}", schema ? quote_identifier(schema) : NULL},
		{"{constraint}", inner && name ? quote_identifier(psprintf("%s_%s_not_null", name, inner)) : NULL},
		{"{index}", inner && name ? quote_identifier(psprintf("%s_%s_idx", name, inner)) : NULL},
		{"{sequence}", inner && name ? quote_qualified_identifier(schema, psprintf("%s_%s_seq", name, inner)) : NULL},
		{"{clause}", clause},
		{"{type}", clause},
	};

	finding->safer = template ? filled_in(template, known, lengthof(known)) : NULL;
}

/* What only the whole statement can say. */
static void
finish_safer(Statement *statement, Finding *finding)
{
	Placeholder known[] = {
		{"{statement}", statement->sql},
		{"{concurrently}", statement->sql ? made_concurrent(statement->sql) : NULL},
	};

	if (finding->safer)
		finding->safer = filled_in(finding->safer, known, lengthof(known));
}

/* ---- one statement ---- */

/* Locked beside what rules are about; or the statement, if none is met. */
static void
add_plain(Assessment *a)
{
	Statement  *statement = a->now;
	ListCell   *lc;
	ListCell   *inner;

	foreach(lc, statement->locks)
	{
		const TakenLock *lock = lfirst(lc);
		bool		told = false;

		foreach(inner, statement->findings)
		{
			const Finding *finding = lfirst(inner);

			told |= finding->target && finding->rule && finding->rule->cost &&
				strcmp(finding->target->name, lock->target->name) == 0;
		}
		if (!told)
			statement->findings = lappend(statement->findings,
										  new_finding(a, NULL, lock->target));
	}
	if (statement->findings == NIL)
		statement->findings = list_make1(new_finding(a, NULL, NULL));
}

static void
dispatch(Assessment *a, Node *node)
{
	switch (nodeTag(node))
	{
		case T_AlterTableStmt:
			assess_alter_table(a, (AlterTableStmt *) node);
			break;
		case T_CreateStmt:
		case T_CreateForeignTableStmt:	/* begins with a CreateStmt */
			assess_create_table(a, (CreateStmt *) node);
			break;
		case T_IndexStmt:
			assess_index(a, (IndexStmt *) node);
			break;
		case T_DropStmt:
			assess_drop(a, (DropStmt *) node);
			break;
		case T_TruncateStmt:
			assess_truncate(a, (TruncateStmt *) node);
			break;
		case T_DropOwnedStmt:
			assess_drop_owned(a, (DropOwnedStmt *) node);
			break;
		case T_AlterDomainStmt:
			assess_domain(a, (AlterDomainStmt *) node);
			break;
		default:
			if (!assess_maintenance(a, node))
				(void) assess_other(a, node);
	}
}

static void
estimate(Assessment *a, Finding *finding)
{
	Step		step = {.sql = a->now->sql,.cost = unconstify(char *, finding->cost)};
	Extent		extent = {finding->rows, finding->bytes};

	if (finding->cost == NULL || a->of_policy)
		return;
	finding->ms_source = "measured";
	if (step_estimate_is_founded(a->rates, &step))
		finding->ms = step_estimate(a->rates, &step, &extent);
	if (finding->ms >= 0)
		return;
	finding->ms = step_estimate_assumed(finding->cost, extent.bytes);
	finding->ms_source = finding->ms >= 0 ? "assumed" : NULL;
}

void
assess_statement(Assessment *a, Statement *statement)
{
	ListCell   *lc;

	a->now = statement;
	statement->tag = CreateCommandName(statement->node);
	if (!a->of_policy)
		shape_begin(a, statement->node);
	dispatch(a, statement->node);
	if (a->of_policy)
		shape_of_command(a);
	else
		shape_end(a, statement->node);
	add_plain(a);
	foreach(lc, statement->findings)
	{
		Finding    *finding = lfirst(lc);

		finding->lock = finding->target ?
			lock_in_words(taken_on(statement, finding->target)) : NULL;
		if (finding->rule && finding->lock == NULL &&
			(finding->target == NULL || finding->target->relkind == RELKIND_SEQUENCE))
			finding->lock = finding->rule->lock;
		finish_safer(statement, finding);
		estimate(a, finding);
	}
}

/* ---- the script ---- */

/* Where it is wrong is told by the script, not by the query that it came in. */
static void
error_in_script(void *script)
{
	int			position = geterrposition();

	if (position <= 0)
		return;
	errposition(0);
	internalerrposition(position);
	internalerrquery(script);
}

static List *
parse_script(const char *script)
{
	ErrorContextCallback callback = {error_context_stack, error_in_script,
	unconstify(char *, script)};
	List	   *parsed;

	error_context_stack = &callback;
	parsed = raw_parser(script, RAW_PARSE_DEFAULT);
	error_context_stack = callback.previous;
	return parsed;
}

List *
statements_of(const char *script)
{
	List	   *statements = NIL;
	ListCell   *lc;

	foreach(lc, parse_script(script))
	{
		RawStmt    *raw = lfirst_node(RawStmt, lc);
		Statement  *statement = palloc0(sizeof(Statement));
		const char *start = script + raw->stmt_location;
		int			length = raw->stmt_len ? raw->stmt_len : (int) strlen(start);

		while (length > 0 && isspace((unsigned char) *start))
			start++, length--;
		while (length > 0 && isspace((unsigned char) start[length - 1]))
			length--;
		statement->number = list_length(statements) + 1;
		statement->sql = pnstrdup(start, length);
		statements = lappend(statements, statement);
	}
	/* locations are to be those in the text of each statement */
	foreach(lc, statements)
	{
		Statement  *statement = lfirst(lc);

		statement->node = linitial_node(RawStmt, raw_parser(statement->sql, RAW_PARSE_DEFAULT))->stmt;
	}
	return statements;
}

static void
put_text(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column] = text == NULL;
	values[column] = text ? CStringGetTextDatum(text) : (Datum) 0;
}

static void
put_count(Datum *values, bool *nulls, int column, double count)
{
	nulls[column] = count < 0;
	values[column] = Int64GetDatum((int64) count);
}

static void
put_finding(ReturnSetInfo *result, const Statement *statement, const Finding *finding)
{
	Datum		values[24];
	bool		nulls[24] = {false};
	int			n = 0;

	values[n++] = Int32GetDatum(finding->statement);
	put_text(values, nulls, n++, statement->tag);
	put_text(values, nulls, n++, finding->rule ? finding->rule->name : NULL);
	put_text(values, nulls, n++, finding->rule ? severity_name(finding->rule->severity) : NULL);
	put_text(values, nulls, n++, finding->object);
	put_text(values, nulls, n++, finding->lock);
	put_text(values, nulls, n++, finding->cost);
	put_text(values, nulls, n++, finding->undo);
	put_text(values, nulls, n++, finding->undo_lock);
	put_text(values, nulls, n++, finding->undo_cost);
	put_text(values, nulls, n++, finding->kept);
	put_text(values, nulls, n++, finding->why);
	put_text(values, nulls, n++, finding->safer);
	put_text(values, nulls, n++, statement->sql);
	put_text(values, nulls, n++, statement->outcome ? statement->outcome : "not tried");
	put_text(values, nulls, n++, finding->observed_lock);
	put_text(values, nulls, n++, finding->observed_cost);
	put_text(values, nulls, n++, finding->query);
	put_count(values, nulls, n++, finding->refused);
	put_count(values, nulls, n++, finding->rows);
	put_count(values, nulls, n++, finding->bytes);
	put_count(values, nulls, n++, finding->kept_bytes);
	nulls[n] = finding->ms < 0;
	values[n++] = Float8GetDatum(finding->ms);
	put_text(values, nulls, n++, finding->ms_source);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
put_all(ReturnSetInfo *result, const Assessment *a)
{
	ListCell   *lc;
	ListCell   *inner;

	foreach(lc, a->statements)
	{
		const Statement *statement = lfirst(lc);

		foreach(inner, statement->findings)
			put_finding(result, statement, lfirst(inner));
	}
}

Datum
safemig_assess(PG_FUNCTION_ARGS)
{
	Assessment	a = {0};
	Frame		frame;
	ListCell   *lc;
	int			level;
	int			budget;

	check_not_null(fcinfo, 0, "script");
	check_not_null(fcinfo, 1, "observe");
	budget = hold_budget_argument(fcinfo, 2);
	a.statements = statements_of(text_argument(fcinfo, 0));
	frame_become_owner(&frame);
	a.rates = rates_read();
	frame_unpin(&frame);

	/* SET in the script is followed, and undone */
	level = NewGUCNestLevel();
	foreach(lc, a.statements)
	{
		CHECK_FOR_INTERRUPTS();
		assess_statement(&a, lfirst(lc));
	}
	shape_of_script(&a);
	AtEOXact_GUC(false, level);
	if (PG_GETARG_BOOL(1))
		observe_script(&a, budget);
	InitMaterializedSRF(fcinfo, 0);
	put_all((ReturnSetInfo *) fcinfo->resultinfo, &a);
	return (Datum) 0;
}
