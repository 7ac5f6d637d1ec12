/*-------------------------------------------------------------------------
 *
 * constraint_marks.c
 *	  What a constraint has beside what it says: the states of the triggers
 *	  that enforce it, and traces of how it came to be.
 *
 * ALTER TABLE ... DISABLE TRIGGER ALL reaches the internal triggers of foreign
 * keys and of deferrable keys, on both tables.  A constraint made anew has
 * them enabled, and no statement names them by names that last.
 *
 * A partition's constraint that was there before the partition was attached
 * differs from one that attaching made: in whether its triggers depend on
 * those of the partitioned table, and in a flag that says whether tables that
 * inherit get it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "classes.h"
#include "table.h"

/* After keys, foreign keys and attaching: what makes them sets the marks. */
#define RANK_MARKS	(RANK_FOREIGN_KEY + 1)

/* ---- reading ---- */

/* Does the trigger depend on that of the partitioned table? */
static bool
trigger_is_tied(Oid trigger)
{
	ObjectAddress address;

	ObjectAddressSet(address, TriggerRelationId, trigger);
	return object_depends_by(&address, DEPENDENCY_PARTITION_PRI);
}

static int
compare_texts(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

/*
 * "RI_FKey_check_ins D, ...": each trigger that is not simply enabled, known
 * by its function, which no two triggers of one constraint share.
 */
static void
read_triggers(Image *image, Form_pg_constraint form)
{
	Relation	rel = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *states = NIL;
	bool		tied = false;
	StringInfoData buf;
	ListCell   *lc;

	ScanKeyInit(&key, Anum_pg_trigger_tgconstraint, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(form->oid));
	scan = systable_beginscan(rel, TriggerConstraintIndexId, true, NULL, 1,
							  &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT(tuple);

		if (trigger->tgenabled != TRIGGER_FIRES_ON_ORIGIN)
			states = lappend(states, psprintf("%s %c",
											  get_func_name(trigger->tgfoid),
											  trigger->tgenabled));
		if (OidIsValid(trigger->tgparentid))
			tied |= trigger_is_tied(trigger->oid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	if (tied)
		image_add(image, "", "triggers tied", "true");
	if (states == NIL)
		return;
	list_sort(states, compare_texts);
	initStringInfo(&buf);
	foreach(lc, states)
		appendStringInfo(&buf, "%s%s", buf.len ? ", " : "", (char *) lfirst(lc));
	image_add(image, "", "triggers", buf.data);
}

/* partitioned: the constraint's table is. */
void
constraint_marks_read(Image *image, Form_pg_constraint form, bool partitioned)
{
	bool		inherits = partitioned || OidIsValid(form->conparentid);

	/* a CHECK says so itself; a constraint trigger has an image of its own */
	if (form->contype != CONSTRAINT_FOREIGN &&
		form->contype != CONSTRAINT_PRIMARY &&
		form->contype != CONSTRAINT_UNIQUE &&
		form->contype != CONSTRAINT_EXCLUSION)
		return;
	if (form->connoinherit == inherits)
		image_add(image, "", "no inherit", form->connoinherit ? "true" : "false");
	read_triggers(image, form);
}

/* ---- setting ---- */

/* What a constraint is made with, when have is NULL, has no marks. */
void
constraint_marks_steps(const Image *have, const Image *want, Steps *steps)
{
	static const char *const of_triggers[] = {"triggers", "triggers tied"};
	bool		set = false;

	for (size_t i = 0; i < lengthof(of_triggers); i++)
		set |= have ? facet_differs(have, want, "", of_triggers[i]) :
			image_get(want, "", of_triggers[i]) != NULL;
	if (set)
	{
		const char *states = image_get(want, "", "triggers");

		step_add(steps, RANK_MARKS, RUN_CATALOG, SHARE_ROW_EXCLUSIVE, "catalog",
				 "SELECT safemig.set_constraint_triggers(%s, %s, %s, %s)",
				 quote_literal_cstr(image_parent_name(want)),
				 quote_literal_cstr(want->name),
				 quote_literal_cstr(states ? states : ""),
				 image_get(want, "", "triggers tied") ? "true" : "false");
	}
	if (have ? facet_differs(have, want, "", "no inherit") :
		image_get(want, "", "no inherit") != NULL)
	{
		const char *value = image_get(want, "", "no inherit");
		bool		inherits = image_get(want, "", "@partitioned") ||
			image_get(want, "", "@partition of");

		step_add(steps, RANK_MARKS, RUN_CATALOG, ACCESS_EXCLUSIVE, "catalog",
				 "SELECT safemig.set_constraint_no_inherit(%s, %s, %s)",
				 quote_literal_cstr(image_parent_name(want)),
				 quote_literal_cstr(want->name),
				 value ? value : inherits ? "false" : "true");
	}
}
