/*-------------------------------------------------------------------------
 *
 * conflict.c
 *	  What stands in the way of a rollback, and the one error that tells it all.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "rollback/rollback.h"

/* of them no more are told */
#define CONFLICTS_TOLD 20

Conflict *
add_conflict(List **conflicts, int sqlstate, const char *object,
			 char *problem, const char *hint)
{
	Conflict   *conflict = palloc0(sizeof(Conflict));

	conflict->sqlstate = sqlstate;
	conflict->object = pstrdup(object);
	conflict->problem = problem;
	conflict->rows = -1;
	conflict->hint = hint ? pstrdup(hint) : NULL;
	*conflicts = lappend(*conflicts, conflict);
	return conflict;
}

/* ---- in words ---- */

static const char *
policy_hint(const char *rows)
{
	return psprintf(said("safemig_rollback(..., on_conflict => 'keep') leaves %s as they are, 'restore' overwrites them."),
					rows);
}

static bool
all_of_policy(List *conflicts)
{
	ListCell   *lc;

	foreach(lc, conflicts)
	{
		if (!((Conflict *) lfirst(lc))->of_policy)
			return false;
	}
	return true;
}

static void
raise_one(const Conflict *conflict)
{
	ereport(ERROR,
			(errcode(conflict->sqlstate),
			 errmsg_internal("%s", conflict->message),
			 errdetail_internal("%s", conflict->detail ? conflict->detail : conflict->problem),
			 conflict->of_policy ?
			 errhint("%s%s", conflict->hint ? conflict->hint : "", policy_hint(said("these rows"))) :
			 conflict->of_step ?
			 errhint("Nothing has been changed.%s%s", conflict->hint ? " " : "",
					 conflict->hint ? conflict->hint : "") :
			 conflict->hint ? errhint("%s", conflict->hint) : 0));
}

static char *
lines(List *conflicts, const char *between)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, conflicts)
	{
		Conflict   *conflict = lfirst(lc);

		if (foreach_current_index(lc) == CONFLICTS_TOLD)
		{
			appendStringInfo(&buf, said("\n... and %d more"),
							 list_length(conflicts) - CONFLICTS_TOLD);
			break;
		}
		appendStringInfo(&buf, "%s%s%s%s", buf.len ? "\n" : "", conflict->object,
						 conflict->message ? ": " : between, conflict->problem);
	}
	return buf.data;
}

static char *
hints(List *conflicts)
{
	StringInfoData buf;
	bool		policy = false;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, conflicts)
	{
		Conflict   *conflict = lfirst(lc);

		policy |= conflict->of_policy;
		if (conflict->hint && conflict->hint[0] &&
			foreach_current_index(lc) < CONFLICTS_TOLD)
			appendStringInfo(&buf, "%s%s", buf.len && buf.data[buf.len - 1] != ' ' ? " " : "",
							 conflict->hint);
	}
	if (policy)
		appendStringInfo(&buf, "%s%s", buf.len && buf.data[buf.len - 1] != ' ' ? " " : "",
						 policy_hint(all_of_policy(conflicts) ? said("these rows") :
									 said("rows that were written again")));
	return buf.len ? buf.data : NULL;
}

static char *
copy(const char *text)
{
	return text ? pstrdup(text) : NULL;
}

/* For whoever rehearses, and wants them one by one. */
static void
note_all(Rehearsal *rehearsal, List *conflicts)
{
	MemoryContext old = MemoryContextSwitchTo(rehearsal->context);
	ListCell   *lc;

	foreach(lc, conflicts)
	{
		const Conflict *conflict = lfirst(lc);
		Conflict   *noted = add_conflict(&rehearsal->conflicts, conflict->sqlstate,
										 conflict->object, copy(conflict->problem),
										 conflict->hint);

		noted->rows = conflict->rows;
		noted->of_policy = conflict->of_policy;
		noted->of_step = conflict->of_step;
		noted->message = copy(conflict->message);
		noted->detail = copy(conflict->detail);
		noted->command = copy(conflict->command);
	}
	MemoryContextSwitchTo(old);
}

/* One ERROR with a line for each conflict, twenty at most. */
void
conflicts_raise(const RollbackPlan *plan, List *conflicts)
{
	const Conflict *first = linitial(conflicts);
	int64		migration = plan ? ((Migration *) linitial(plan->migrations))->id : 0;
	bool		met_on_the_way = first->message != NULL;
	char	   *hint = met_on_the_way ? hints(conflicts) : first->hint;

	if (plan && plan->rehearsal)
		note_all(plan->rehearsal, conflicts);
	if (list_length(conflicts) == 1 && first->message)
		raise_one(first);
	ereport(ERROR,
			(errcode(first->sqlstate),
			 first->sqlstate == ERRCODE_SAFEMIG_IRREVERSIBLE ?
			 errmsg("migration %lld cannot be rolled back: it is irreversible", (long long) migration) :
			 met_on_the_way && all_of_policy(conflicts) ?
			 errmsg("rows of %d tables were written again after the migration",
					list_length(conflicts)) :
			 met_on_the_way ?
			 errmsg("migration %lld cannot be rolled back exactly: %d things are in the way",
					(long long) migration, list_length(conflicts)) :
			 errmsg("migration %lld cannot be rolled back exactly", (long long) migration),
			 errdetail_internal("%s", lines(conflicts, " ")),
			 hint ? errhint("%s", hint) : 0));
}
