/*-------------------------------------------------------------------------
 *
 * postpone.c
 *	  Foreign keys that rows break until an older command is taken back.
 *
 * A transaction may write a row that breaks a deferred foreign key, and drop
 * the key or what it refers to before it would be checked.  The key comes back
 * before the row goes.  So a validation that fails is tried again when the
 * commands before it have been taken back; by the key's OID, since these may
 * rename it, or drop it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_constraint.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "rollback/rollback.h"

/*
 * Is the step, which failed with that error, to be tried at the end of the
 * plan?  Not if there is nothing left that could make the rows fit.
 */
bool
validation_postpone(RollbackPlan *plan, const RecordedCommand *command,
					const Step *step, int sqlstate, List *conflicts)
{
	Postponed  *postponed;
	Oid			constraint;

	if (sqlstate != ERRCODE_FOREIGN_KEY_VIOLATION || command == llast(plan->commands))
		return false;
	constraint = misfit_validated(step);
	if (!OidIsValid(constraint))
		return false;
	postponed = palloc(sizeof(Postponed));
	postponed->command = command;
	postponed->step = step;
	postponed->constraint = constraint;
	postponed->conflicts = conflicts;
	plan->postponed = lappend(plan->postponed, postponed);
	return true;
}

bool
validation_is_postponed(const RollbackPlan *plan, Oid constraint)
{
	ListCell   *lc;

	foreach(lc, plan->postponed)
	{
		if (((Postponed *) lfirst(lc))->constraint == constraint)
			return true;
	}
	return false;
}

/* The step under the names that table and key have now; NULL: not needed. */
Step *
validation_now(const Postponed *postponed)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(postponed->constraint));
	Form_pg_constraint form;
	Step	   *step = NULL;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	form = (Form_pg_constraint) GETSTRUCT(tuple);
	if (!form->convalidated)
	{
		char	   *table = quote_qualified_identifier(get_namespace_name(get_rel_namespace(form->conrelid)),
													   get_rel_name(form->conrelid));

		step = palloc(sizeof(Step));
		*step = *postponed->step;
		step->sql = psprintf("SELECT safemig.validate_constraint(%s, %s)",
							 quote_literal_cstr(table),
							 quote_literal_cstr(NameStr(form->conname)));
	}
	ReleaseSysCache(tuple);
	return step;
}
