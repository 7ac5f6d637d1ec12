/*-------------------------------------------------------------------------
 *
 * support.c
 *	  Which functions, operator classes ... partition keys in the vault need.
 *
 * A partitioned table depends on what its key is made of, in the vault as
 * elsewhere.  What a command drops of that would take the table with its rows
 * along, or be refused because of a table that the user dropped long ago.  So
 * it goes to the vault too (keep/support.c), with what it is itself made of
 * and goes as well: an operator class needs its functions.  What cannot be
 * moved, an extension's, keeps the command from running.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/dependency.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_opclass.h"
#include "utils/lsyscache.h"

#include "capture/capture.h"

/*
 * What stands for one row of pg_depend on such an object: a partitioned table,
 * or another one of them.  False if the row does not matter here.
 */
bool
support_dependant(const ObjectAddress *depender, ObjectAddress *dependant)
{
	if (depender->classId == AccessMethodOperatorRelationId ||
		depender->classId == AccessMethodProcedureRelationId)
	{
		ObjectAddressSet(*dependant, OperatorClassRelationId,
						 operator_class_of_member(depender->classId, depender->objectId));
		return OidIsValid(dependant->objectId);
	}
	ObjectAddressSet(*dependant, depender->classId, depender->objectId);
	if (depender->classId == RelationRelationId)
		return get_rel_relkind(depender->objectId) == RELKIND_PARTITIONED_TABLE;
	return is_support(depender->classId);
}

/* The first in the vault, or about to be moved there, that needs it. */
static bool
is_needed(const ObjectAddress *address, HTAB *moved, ObjectAddress *by)
{
	ListCell   *lc;

	foreach(lc, dependencies_on(address->classId, address->objectId))
	{
		Form_pg_depend form = lfirst(lc);
		ObjectAddress depender;

		ObjectAddressSet(depender, form->classid, form->objid);
		if (support_dependant(&depender, by) &&
			(address_set_has(moved, by) || address_in_vault(by)))
			return true;
	}
	return false;
}

static bool
can_be_moved(const ObjectAddress *address)
{
	return is_support(address->classId) && address->objectSubId == 0 &&
		!address_is_temporary(address) && !address_in_vault(address) &&
		!object_depends_by(address, DEPENDENCY_EXTENSION) &&
		!object_depends_by(address, DEPENDENCY_INTERNAL);
}

/* What one of them needs may come before or after it: until there is no more. */
void
support_add_needed(Closure *closure, HTAB *moved)
{
	bool		again = true;

	while (again)
	{
		ListCell   *lc;

		again = false;
		foreach(lc, closure->deleted)
		{
			ObjectAddress by;

			if (!can_be_moved(lfirst(lc)) || address_set_has(moved, lfirst(lc)) ||
				!is_needed(lfirst(lc), moved, &by))
				continue;
			address_set_add(moved, lfirst(lc));
			again = true;
		}
	}
}

static bool
holds_kept_rows(const ObjectAddress *address)
{
	char		relkind;

	if (address->classId != RelationRelationId || address->objectSubId != 0)
		return false;
	relkind = get_rel_relkind(address->objectId);
	return (relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE) &&
		address_in_vault(address);
}

/* Nothing that goes may reach a row that is kept, or is about to be. */
void
support_check(Closure *closure, HTAB *moved)
{
	static const char hint[] = "SELECT * FROM safemig.kept WHERE state = 'kept'; shows it. Roll those migrations back first.";
	ListCell   *lc;

	foreach(lc, closure->deleted)
	{
		ObjectAddress *address = lfirst(lc);
		ObjectAddress by;

		if (is_support(address->classId) && !address_set_has(moved, address) &&
			is_needed(address, moved, &by))
			ereport(ERROR,
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("%s is needed by data that safemig keeps",
							getObjectDescription(address, false)),
					 errdetail("%s would be dropped with it.",
							   getObjectDescription(&by, false)),
					 errhint("%s", hint)));
		if (holds_kept_rows(address))
			ereport(ERROR,
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("%s would be dropped, whose rows safemig keeps",
							getObjectDescription(address, false)),
					 errhint("%s", hint)));
	}
}
