/*-------------------------------------------------------------------------
 *
 * kepttables.c
 *	  The tables that a step about kept rows is called with.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "history/history.h"
#include "keep/vault.h"
#include "rollback/rollback.h"

static KeptTable *
find_table(int64 id, const char *kind)
{
	KeptTable  *table = palloc0(sizeof(KeptTable));
	RangeVar   *name;

	table->kept = kept_of_kind(id, kind);
	name = makeRangeVarFromNameList(qualified_name_list(table->kept->identity));
	table->relid = RangeVarGetRelid(name, AccessExclusiveLock, true);
	if (!OidIsValid(table->relid) ||
		get_rel_relkind(table->relid) != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("%s %s is not there", table->kept->object_type,
						table->kept->identity)));
	return table;
}

/* of KeptTable*, locked: the array has ids of what is kept, all of this kind */
List *
kept_tables_argument(ArrayType *array, const char *kind)
{
	Datum	   *elems;
	int			nelems;
	List	   *list = NIL;

	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("kept data must not be null")));
	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &elems, NULL, &nelems);
	for (int i = 0; i < nelems; i++)
		list = lappend(list, find_table(DatumGetInt64(elems[i]), kind));
	return list;
}
