/*-------------------------------------------------------------------------
 *
 * uses.c
 *	  What uses a type: other types, columns.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "keep/vault.h"

/* ---- what uses a type ---- */

/* Rows of pg_depend that refer to a type, one at a time. */
void
each_type_dependant(Oid typid, TypeDependant visit, List **result)
{
	ListCell   *lc;

	foreach(lc, dependencies_on(TypeRelationId, typid))
		visit(lfirst(lc), result);
}

/*
 * Arrays, domains and ranges depend on the type itself, a row type on it
 * through a column of its relation.
 */
static void
add_container(Form_pg_depend form, List **result)
{
	if (form->classid == TypeRelationId)
		*result = list_append_unique_oid(*result, form->objid);
	else if (form->classid == RelationRelationId && form->objsubid > 0)
	{
		Oid			rowtype = get_rel_type_id(form->objid);

		if (OidIsValid(rowtype))
			*result = list_append_unique_oid(*result, rowtype);
	}
}

List *
type_containers(List *typids)
{
	List	   *result = list_copy(typids);

	/* the list grows while it is walked */
	for (int i = 0; i < list_length(result); i++)
	{
		Oid			typid = list_nth_oid(result, i);
		Oid			arrayid = get_array_type(typid);

		/* row types and their arrays depend on the relation instead */
		if (OidIsValid(arrayid))
			result = list_append_unique_oid(result, arrayid);
		each_type_dependant(typid, add_container, &result);
	}
	return result;
}

static void
add_column(Form_pg_depend form, List **result)
{
	ObjectAddress *column;

	if (form->classid != RelationRelationId || form->objsubid <= 0)
		return;
	column = palloc(sizeof(ObjectAddress));
	ObjectAddressSubSet(*column, form->classid, form->objid, form->objsubid);
	*result = lappend(*result, column);
}

List *
type_columns(List *typids)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, typids)
		each_type_dependant(lfirst_oid(lc), add_column, &result);
	return result;
}

static void
add_typed_table(Form_pg_depend form, List **result)
{
	char		relkind = get_rel_relkind(form->objid);

	if (form->classid == RelationRelationId && form->objsubid == 0 &&
		form->deptype == DEPENDENCY_NORMAL &&
		(relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE))
		*result = lappend_oid(*result, form->objid);
}

List *
type_tables(Oid typid)
{
	List	   *result = NIL;

	each_type_dependant(typid, add_typed_table, &result);
	return result;
}
