/*-------------------------------------------------------------------------
 *
 * runner.c
 *	  Who runs a step.
 *
 * A statement that holds an expression or a query of the user's is never run
 * by the extension's owner, not even if it only stores it: PostgreSQL converts
 * literals while it parses, and that runs the CHECKs of domains inside arrays
 * and row types as whoever parses.  Which statements those are is told by
 * their parse trees, whatever mode the class gave them, so that a step
 * recorded by any version is covered.  They run as the owner of the object,
 * security-restricted.
 *
 * The owner may lack rights on the schema that he needs for it: somebody else
 * made the table there and gave it to him.  Whether the rollback may happen
 * was decided before; so the right is lent (loan.c) for the one statement.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/makefuncs.h"
#include "parser/parser.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "safemig.h"

/* ---- what a statement holds ---- */

static bool
index_has_expression(const IndexStmt *stmt)
{
	ListCell   *lc;

	if (stmt->whereClause)
		return true;
	foreach(lc, stmt->indexParams)
	{
		if (lfirst_node(IndexElem, lc)->expr)
			return true;
	}
	return false;
}

static bool
subcommand_has_expression(const AlterTableCmd *cmd)
{
	switch (cmd->subtype)
	{
		case AT_ColumnDefault:
			return cmd->def != NULL;
		case AT_AddConstraint:
			return castNode(Constraint, cmd->def)->contype == CONSTR_CHECK ||
				castNode(Constraint, cmd->def)->contype == CONSTR_EXCLUSION;
		case AT_AddColumn:
		case AT_AlterColumnType:
		case AT_ValidateConstraint:
			return true;
		default:
			return false;
	}
}

/* ATTACH PARTITION compares them, and evaluates what is constant in them. */
static bool
index_stores_expression(const RangeVar *name)
{
	Oid			indexid = RangeVarGetRelid(name, NoLock, true);
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(indexid));
	bool		stores;

	if (!HeapTupleIsValid(tuple))
		return false;
	stores = !heap_attisnull(tuple, Anum_pg_index_indexprs, NULL) ||
		!heap_attisnull(tuple, Anum_pg_index_indpred, NULL);
	ReleaseSysCache(tuple);
	return stores;
}

static bool
alter_table_has_expression(const AlterTableStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		/* the bound of a partition, or what is indexed */
		if (lfirst_node(AlterTableCmd, lc)->subtype == AT_AttachPartition &&
			(stmt->objtype == OBJECT_TABLE || index_stores_expression(stmt->relation)))
			return true;
		if (subcommand_has_expression(lfirst(lc)))
			return true;
	}
	return false;
}

/* ---- whose it is ---- */

Oid
relation_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

static void
runner_of_relation(Runner *runner, const RangeVar *name)
{
	Oid			relid = RangeVarGetRelid(name, NoLock, true);

	runner->namespace = get_namespace_oid(name->schemaname, true);
	if (OidIsValid(relid))
		runner->role = relation_owner(relid);
}

static void
runner_of_type(Runner *runner, List *names)
{
	HeapTuple	tuple;

	runner->namespace = get_namespace_oid(strVal(linitial(names)), true);
	if (!OidIsValid(runner->namespace) || list_length(names) != 2)
		return;
	tuple = SearchSysCache2(TYPENAMENSP, CStringGetDatum(strVal(lsecond(names))),
							ObjectIdGetDatum(runner->namespace));
	if (!HeapTupleIsValid(tuple))
		return;
	runner->role = ((Form_pg_type) GETSTRUCT(tuple))->typowner;
	ReleaseSysCache(tuple);
}

/* The role stays invalid where the object is only being made. */
static bool
find_runner(Node *stmt, Runner *runner)
{
	switch (nodeTag(stmt))
	{
		case T_ViewStmt:
			runner->namespace = get_namespace_oid(((ViewStmt *) stmt)->view->schemaname, true);
			return true;
		case T_CreateTableAsStmt:
			runner->namespace = get_namespace_oid(((CreateTableAsStmt *) stmt)->into->rel->schemaname, true);
			return true;
		case T_CreateFunctionStmt:
			runner->namespace = get_namespace_oid(strVal(linitial(((CreateFunctionStmt *) stmt)->funcname)), true);
			return true;
		case T_CreateDomainStmt:
			runner->namespace = get_namespace_oid(strVal(linitial(((CreateDomainStmt *) stmt)->domainname)), true);
			return true;
		case T_AlterDomainStmt:
			runner_of_type(runner, ((AlterDomainStmt *) stmt)->typeName);
			return true;
		case T_CreatePolicyStmt:
			runner_of_relation(runner, ((CreatePolicyStmt *) stmt)->table);
			return true;
		case T_AlterPolicyStmt:
			runner_of_relation(runner, ((AlterPolicyStmt *) stmt)->table);
			return true;
		case T_RuleStmt:
			runner_of_relation(runner, ((RuleStmt *) stmt)->relation);
			return true;
		case T_CreateTrigStmt:
			if (((CreateTrigStmt *) stmt)->whenClause == NULL)
				return false;
			runner_of_relation(runner, ((CreateTrigStmt *) stmt)->relation);
			return true;
		case T_CreateStatsStmt:
			runner_of_relation(runner, linitial(((CreateStatsStmt *) stmt)->relations));
			/* they may stand in another schema than the table */
			runner->namespace = get_namespace_oid(strVal(linitial(((CreateStatsStmt *) stmt)->defnames)), true);
			return true;
		case T_IndexStmt:
			if (!index_has_expression((IndexStmt *) stmt))
				return false;
			runner_of_relation(runner, ((IndexStmt *) stmt)->relation);
			return true;
		case T_UpdateStmt:
			runner_of_relation(runner, ((UpdateStmt *) stmt)->relation);
			return true;
		case T_AlterTableStmt:
			if (!alter_table_has_expression((AlterTableStmt *) stmt))
				return false;
			runner_of_relation(runner, ((AlterTableStmt *) stmt)->relation);
			return true;
		default:
			return false;
	}
}

/* ---- the whole ---- */

static Oid
named_role(const Step *step)
{
	Oid			role;

	if (step->role == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg_internal("nobody can be found to run \"%s\"", step->sql)));
	role = get_role_oid(step->role, true);
	if (!OidIsValid(role))
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("role \"%s\" does not exist", step->role),
				 errdetail("%s belonged to it.", step->object),
				 errhint("CREATE ROLE %s;", quote_identifier(step->role))));
	return role;
}

Node *
parse_statement(const char *sql)
{
	List	   *parsed = raw_parser(spell_exactly(sql), RAW_PARSE_DEFAULT);

	if (list_length(parsed) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("a step is one statement: \"%s\"", sql)));
	return linitial_node(RawStmt, parsed)->stmt;
}

/* SELECT safemig.function(...), or NULL. */
FuncCall *
parsed_own_call(Node *parsed)
{
	SelectStmt *stmt = (SelectStmt *) parsed;
	FuncCall   *call;

	if (!IsA(parsed, SelectStmt) || list_length(stmt->targetList) != 1)
		return NULL;
	call = (FuncCall *) linitial_node(ResTarget, stmt->targetList)->val;
	return IsA(call, FuncCall) && list_length(call->funcname) == 2 &&
		strcmp(strVal(linitial(call->funcname)), SAFEMIG_SCHEMA) == 0 ? call : NULL;
}

/* Commands fire event triggers, other statements do not. */
static int
commands_in(Node *parsed)
{
	return parsed && (IsA(parsed, UpdateStmt) || IsA(parsed, SelectStmt)) ? 0 : 1;
}

void
frame_become_runner(Frame *frame, const Runner *runner)
{
	if (OidIsValid(runner->role))
		frame_become_for(frame, runner->role, runner->parsed, runner->namespace,
						 commands_in(runner->parsed));
	else
		frame_become_owner(frame);
	/* what the view's owner may see, as when he says so himself */
	if (runner->refreshes)
		(void) set_config_option("row_security", "on", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

void
run_statement(const char *description, Oid owner)
{
	char	   *sql = spell_exactly(description);
	Runner		runner = {0};
	Node	   *parsed = parse_statement(sql);
	Frame		frame;

	if (find_runner(parsed, &runner))
		runner.parsed = parsed;
	if (!OidIsValid(runner.role))
		runner.role = owner;
	frame_become_runner(&frame, &runner);
	SPI_connect();
	if (SPI_execute(sql, false, 0) < 0)
		elog(ERROR, "could not run \"%s\"", sql);
	SPI_finish();
	frame_unpin(&frame);
}

/*
 * The role is InvalidOid for the extension's owner.  Steps that only a
 * superuser could have made (a function in C) were checked against the caller.
 */
Runner
step_runner(const Step *step)
{
	Runner		runner = {0};
	Node	   *parsed;
	bool		found;

	if (step->mode == RUN_SUPERUSER)
		return runner;
	parsed = parse_statement(step->sql);
	found = find_runner(parsed, &runner);
	if (found || IsA(parsed, AlterTableStmt))
		runner.parsed = parsed;
	runner.refreshes = IsA(parsed, RefreshMatViewStmt);
	if ((found || step->mode == RUN_OWNER) && !OidIsValid(runner.role))
		runner.role = named_role(step);
	return runner;
}

/* Does it hold what only its owner may run?  Asked before it can be told who. */
bool
step_needs_runner(const Step *step)
{
	Runner		runner = {0};

	return step->mode == RUN_OWNER ||
		(step->mode != RUN_SUPERUSER && find_runner(parse_statement(step->sql), &runner));
}
