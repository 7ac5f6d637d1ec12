/*-------------------------------------------------------------------------
 *
 * writes.c
 *	  safemig.policy for rows: an UPDATE or DELETE of a migration that has no
 *	  condition, before it runs.
 *
 * Its plan is what is looked at, since that is what all forms have in common
 * that a statement may come in: sent, prepared, in a WITH, in a function.  No
 * condition is left in a plan that takes every row there is, whatever the text
 * says.  Who writes rows outside of a migration is an application, and free.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "executor/execdesc.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"

#include "advise/advise.h"
#include "capture/capture.h"
#include "history/framework.h"

/* ---- does it take every row? ---- */

static bool any_chooses(List *plans);

/* Does the plan choose among rows, or is that not to be seen? */
static bool
chooses(const Plan *plan)
{
	if (plan == NULL)
		return false;
	if (plan->qual != NIL)
		return true;
	switch (nodeTag(plan))
	{
		case T_SeqScan:
		case T_Material:
		case T_Sort:
			break;
		case T_Result:
			if (((const Result *) plan)->resconstantqual)
				return true;
			break;
		case T_IndexScan:
			if (((const IndexScan *) plan)->indexqual != NIL)
				return true;
			break;
		case T_IndexOnlyScan:
			if (((const IndexOnlyScan *) plan)->indexqual != NIL)
				return true;
			break;
		case T_Append:
			return any_chooses(((const Append *) plan)->appendplans);
		case T_MergeAppend:
			return any_chooses(((const MergeAppend *) plan)->mergeplans);
		case T_NestLoop:
			if (((const NestLoop *) plan)->join.joinqual != NIL)
				return true;
			break;
		default:
			return true;
	}
	return chooses(plan->lefttree) || chooses(plan->righttree);
}

static bool
any_chooses(List *plans)
{
	ListCell   *lc;

	foreach(lc, plans)
	{
		if (chooses(lfirst(lc)))
			return true;
	}
	return false;
}

/* ---- what is to be asked ---- */

/* The statement as it would be without a condition; NULL: nobody's business. */
static Node *
without_condition(const ModifyTable *plan, List *range_table)
{
	Oid			relid = rt_fetch(plan->nominalRelation, range_table)->relid;
	char	   *schema = get_namespace_name(get_rel_namespace(relid));
	FrameworkTable history;
	RangeVar   *relation;

	if (schema == NULL || strcmp(schema, SAFEMIG_SCHEMA) == 0 ||
		get_rel_persistence(relid) == RELPERSISTENCE_TEMP || framework_of(relid, &history))
		return NULL;
	relation = makeRangeVar(schema, get_rel_name(relid), -1);
	if (plan->operation == CMD_DELETE)
	{
		DeleteStmt *delete = makeNode(DeleteStmt);

		delete->relation = relation;
		return (Node *) delete;
	}
	else
	{
		UpdateStmt *update = makeNode(UpdateStmt);

		update->relation = relation;
		return (Node *) update;
	}
}

static void
check_plan(const Plan *plan, List *range_table)
{
	const ModifyTable *modify = (const ModifyTable *) plan;
	Node	   *statement;

	if (plan == NULL || !IsA(plan, ModifyTable) ||
		(modify->operation != CMD_UPDATE && modify->operation != CMD_DELETE) ||
		chooses(outerPlan(plan)))
		return;
	statement = without_condition(modify, range_table);
	if (statement)
		policy_check(statement);
}

void
policy_check_writes(const QueryDesc *query, int eflags)
{
	const PlannedStmt *planned = query->plannedstmt;
	ListCell   *lc;

	if ((eflags & EXEC_FLAG_EXPLAIN_ONLY) || !policy_is_on() ||
		(planned->commandType == CMD_SELECT && !planned->hasModifyingCTE) ||
		!data_is_of_migration())
		return;
	check_plan(planned->planTree, planned->rtable);
	foreach(lc, planned->subplans)
		check_plan(lfirst(lc), planned->rtable);
}
