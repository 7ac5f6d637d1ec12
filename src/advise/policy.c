/*-------------------------------------------------------------------------
 *
 * policy.c
 *	  safemig.policy: rules that a command has to keep before it may run.
 *
 * The command is looked at as safemig_assess would look at it, alone, when it
 * is captured: before it takes a lock.  What a rollback runs is not asked, nor
 * what an extension's script does: the way back stays open.
 *
 * What is to be done is said by the most particular row of safemig.policies
 * that fits: one that names the rule before one that names a role, that before
 * one that names a schema, that before one about the size; else by
 * safemig.policy, for rules from safemig.policy_severity on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "parser/parser.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "advise/advise.h"
#include "history/history.h"

typedef enum PolicyAction
{
	POLICY_OFF,
	POLICY_WARN,
	POLICY_BLOCK
} PolicyAction;

static int	safemig_policy = POLICY_OFF;
static int	safemig_policy_severity = SEVERITY_HIGH;
static char *safemig_policy_override = NULL;

static const struct config_enum_entry policy_options[] = {
	{"off", POLICY_OFF, false},
	{"warn", POLICY_WARN, false},
	{"block", POLICY_BLOCK, false},
	{NULL, 0, false}
};

static const struct config_enum_entry severity_options[] = {
	{"low", SEVERITY_LOW, false},
	{"medium", SEVERITY_MEDIUM, false},
	{"high", SEVERITY_HIGH, false},
	{"critical", SEVERITY_CRITICAL, false},
	{NULL, 0, false}
};

void
policy_define(void)
{
	DefineCustomEnumVariable("safemig.policy",
							 "What happens to a command that meets a rule of safemig.rules.",
							 NULL, &safemig_policy, POLICY_OFF, policy_options,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("safemig.policy_severity",
							 "From which severity on safemig.policy goes.",
							 "Rows of safemig.policies go for whatever they name.",
							 &safemig_policy_severity, SEVERITY_HIGH, severity_options,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("safemig.policy_override",
							   "The reason why commands run although safemig.policy blocks them.",
							   "It is logged, and noted with the migration.",
							   &safemig_policy_override, "",
							   PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("safemig.change_window",
							   "When the schema may be changed, for the rule outside-window.",
							   "\"22:00-04:00\" or \"Sat,Sun 22:00-04:00\", by log_timezone; empty: at any time.",
							   &safemig_change_window, "",
							   PGC_SUSET, 0, window_check, NULL, NULL);
	DefineCustomIntVariable("safemig.max_objects",
							"How many objects a script may change, for the rule too-many-objects.",
							NULL, &safemig_max_objects, 20, 1, INT_MAX,
							PGC_SUSET, 0, NULL, NULL, NULL);
}

/* ---- exceptions ---- */

static char *
schema_of(const Finding *finding)
{
	if (finding->target && OidIsValid(finding->target->relid))
		return get_namespace_name(get_rel_namespace(finding->target->relid));
	return NULL;
}

static PolicyAction
action_named(const char *name)
{
	for (int i = 0; policy_options[i].name; i++)
	{
		if (strcmp(policy_options[i].name, name) == 0)
			return policy_options[i].val;
	}
	elog(ERROR, "unknown action of a policy: %s", name);
}

/* The most particular row that fits, or NULL. */
static char *
exception_for(const Finding *finding, Oid user)
{
	Oid			types[4] = {TEXTOID, OIDOID, TEXTOID, INT8OID};
	char	   *schema = schema_of(finding);
	Datum		args[4] = {CStringGetTextDatum(finding->rule->name), ObjectIdGetDatum(user),
		schema ? CStringGetTextDatum(schema) : (Datum) 0,
	Int64GetDatum(finding->bytes < 0 ? 0 : (int64) finding->bytes)};
	char		nulls[5] = {' ', ' ', schema ? ' ' : 'n', finding->bytes < 0 ? 'n' : ' ', '\0'};
	MemoryContext context = CurrentMemoryContext;
	char	   *action = NULL;

	SPI_connect();
	/* a superuser is a member of what he was made a member of, no more */
	if (SPI_execute_with_args("WITH RECURSIVE his (oid) AS (SELECT $2 UNION"
							  "  SELECT m.roleid FROM his JOIN pg_catalog.pg_auth_members m"
							  "  ON m.member OPERATOR(pg_catalog.=) his.oid)"
							  " SELECT p.action FROM safemig.policies p"
							  " WHERE (p.rule IS NULL OR p.rule OPERATOR(pg_catalog.=) $1)"
							  " AND (p.role IS NULL OR EXISTS (SELECT FROM his JOIN pg_catalog.pg_roles r USING (oid)"
							  "  WHERE r.rolname::text OPERATOR(pg_catalog.=) p.role))"
							  " AND (p.schema_name IS NULL OR p.schema_name OPERATOR(pg_catalog.=) $3)"
							  " AND (p.below IS NULL OR $4 OPERATOR(pg_catalog.<) p.below)"
							  " ORDER BY p.rule IS NULL, p.role IS NULL, p.schema_name IS NULL, p.below,"
							  " p.action OPERATOR(pg_catalog.=) 'block' DESC, p.action OPERATOR(pg_catalog.=) 'warn' DESC LIMIT 1",
							  4, types, args, nulls, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read policies");
	if (SPI_processed > 0)
		action = MemoryContextStrdup(context, SPI_getvalue(SPI_tuptable->vals[0],
														   SPI_tuptable->tupdesc, 1));
	SPI_finish();
	return action;
}

static PolicyAction
action_for(const Finding *finding)
{
	Oid			user = GetUserId();
	char	   *exception;
	Frame		frame;

	frame_become_owner(&frame);
	own_work_begin();
	exception = exception_for(finding, user);
	own_work_end();
	frame_unpin(&frame);
	if (exception)
		return action_named(exception);
	return (int) finding->rule->severity >= safemig_policy_severity ? safemig_policy : POLICY_OFF;
}

/* ---- what happens ---- */

static char *
override_key(const Finding *finding)
{
	return psprintf("override %s: %s", finding->rule->name,
					finding->object ? finding->object : "");
}

/* To be noted with the migration, once that is known. */
static void
note_override(const Finding *finding)
{
	MemoryContext old;

	state_save();
	old = MemoryContextSwitchTo(TopTransactionContext);
	safemig_state.overrides = lappend(list_copy(safemig_state.overrides),
									  list_make2(override_key(finding),
												 pstrdup(safemig_policy_override)));
	MemoryContextSwitchTo(old);
}

void
policy_note_overrides(int64 migration)
{
	ListCell   *lc;

	if (safemig_state.overrides == NIL)
		return;
	foreach(lc, safemig_state.overrides)
	{
		List	   *override = lfirst(lc);

		history_write_note(migration, linitial(override), lsecond(override));
	}
	state_save();
	safemig_state.overrides = NIL;
}

static char *
hint_of(const Finding *finding)
{
	return psprintf("%s%sTo run it all the same, a superuser, or a role with the right to, does: SET safemig.policy_override = 'reason';",
					finding->safer ? finding->safer : "", finding->safer ? "\n" : "");
}

static void
apply_policy(const Finding *finding)
{
	PolicyAction action = action_for(finding);
	const char *object = finding->object ? finding->object : "it";
	bool		overridden = action == POLICY_BLOCK && safemig_policy_override &&
	safemig_policy_override[0];

	if (overridden)
	{
		ereport(LOG,
				(errmsg("policy of safemig overridden by \"%s\": %s, %s",
						GetUserNameFromId(GetUserId(), false), finding->rule->name, object),
				 errdetail("Reason: %s", safemig_policy_override)));
		note_override(finding);
	}
	else if (action == POLICY_BLOCK)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_POLICY),
				 errmsg("safemig.policy blocks it: %s, %s", finding->rule->name, object),
				 errdetail("%s", finding->why),
				 errhint("%s", hint_of(finding))));
	else if (action == POLICY_WARN)
		ereport(WARNING,
				(errcode(ERRCODE_SAFEMIG_POLICY),
				 errmsg("%s: %s", finding->rule->name, object),
				 errdetail("%s", finding->why),
				 finding->safer ? errhint("%s", finding->safer) : 0));
}

/* The gravest decides, and is the one that is told. */
static int
by_severity(const ListCell *a, const ListCell *b)
{
	const Finding *first = lfirst(a);
	const Finding *second = lfirst(b);

	if (first->rule->severity != second->rule->severity)
		return first->rule->severity > second->rule->severity ? -1 : 1;
	return first->rule < second->rule ? -1 : first->rule > second->rule ? 1 : 0;
}

/* Its text, if it is what the client sent, and all that it sent. */
static void
find_text(Statement *statement, Node *parsetree)
{
	List	   *parsed = debug_query_string ? raw_parser(debug_query_string, RAW_PARSE_DEFAULT) : NIL;

	if (list_length(parsed) == 1 && equal(linitial_node(RawStmt, parsed)->stmt, parsetree))
		*statement = *(Statement *) linitial(statements_of(debug_query_string));
	else
		statement->node = copyObject(parsetree);
}

bool
policy_is_on(void)
{
	return safemig_policy != POLICY_OFF && safemig_state.record_id == 0;
}

/* A command is about to run; nothing has been locked for it yet. */
void
policy_check(Node *parsetree)
{
	Assessment	a = {.of_policy = true};
	Statement	statement = {.number = 1};
	List	   *met = NIL;
	ListCell   *lc;

	if (!policy_is_on())
		return;
	find_text(&statement, parsetree);
	a.statements = list_make1(&statement);
	shape_recall(&a);
	assess_statement(&a, &statement);
	shape_remember(&a);
	foreach(lc, statement.findings)
	{
		if (((Finding *) lfirst(lc))->rule)
			met = lappend(met, lfirst(lc));
	}
	list_sort(met, by_severity);
	foreach(lc, met)
		apply_policy(lfirst(lc));
}
