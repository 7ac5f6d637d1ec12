/*-------------------------------------------------------------------------
 *
 * rebuilt.c
 *	  What ALTER TABLE states anew when it changes the type of a column.
 *
 * PostgreSQL puts the constraints, indexes and statistics of the column into
 * words and reads them again, as whoever alters the table: who lacks USAGE of
 * a schema that they name could not.  All of the table and those below are
 * taken, which is simpler to say than the column's own, and lends no more
 * than their owner had when they were made.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

#include "compat.h"
#include "keep/retype.h"

static List *
add_constraints(List *statements, AttrNumber column, Oid index, Oid relid)
{
	Relation	rel = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, column, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, index, OidIsValid(index), NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);

		/* those that only PostgreSQL makes have no words */
		if (form->contype == CONSTRAINT_CHECK || form->contype == CONSTRAINT_FOREIGN ||
			form->contype == CONSTRAINT_EXCLUSION)
			statements = lappend(statements,
								 parse_statement(pg_get_constraintdef_command(form->oid)));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return statements;
}

static List *
add_indexes_and_statistics(List *statements, Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
		statements = lappend(statements,
							 parse_statement(pg_get_indexdef_string(lfirst_oid(lc))));
	foreach(lc, RelationGetStatExtList(rel))
		statements = lappend(statements,
							 parse_statement(pg_get_statisticsobjdef_string(lfirst_oid(lc))));
	table_close(rel, NoLock);
	return statements;
}

List *
rebuilt_with_type(Oid root)
{
	List	   *statements = NIL;
	ListCell   *lc;

	foreach(lc, find_all_inheritors(root, AccessExclusiveLock, NULL))
	{
		Oid			relid = lfirst_oid(lc);

		statements = add_constraints(statements, Anum_pg_constraint_conrelid,
									 ConstraintRelidTypidNameIndexId, relid);
		statements = add_constraints(statements, Anum_pg_constraint_confrelid,
									 InvalidOid, relid);
		statements = add_indexes_and_statistics(statements, relid);
	}
	return statements;
}
