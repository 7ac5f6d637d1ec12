/*-------------------------------------------------------------------------
 *
 * lapsed.c
 *	  Statements that made what is there, and that would be refused now.
 *
 * Options stay when their wrapper gets a validator that does not take them,
 * and an owner stays who is no superuser any more.  They come back all the
 * same: the statement is tried as it is, and where that fails, once more with
 * the condition lifted.  Only for a superuser, since a validator may be what
 * keeps others from setting an option.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "rollback/rollback.h"

/* What a condition hangs on: a row of a catalog as it is without it. */
typedef struct Lifted
{
	Oid			catalog;
	HeapTuple	row;			/* as it was */
} Lifted;

static bool
sets_foreign_options(const Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_CreateForeignServerStmt:
		case T_AlterForeignServerStmt:
		case T_CreateUserMappingStmt:
		case T_AlterUserMappingStmt:
		case T_CreateForeignTableStmt:
			return true;
		case T_AlterTableStmt:
			return ((const AlterTableStmt *) stmt)->objtype == OBJECT_FOREIGN_TABLE;
		default:
			return false;
	}
}

static bool
wants_superuser(const Node *stmt)
{
	const AlterOwnerStmt *alter = (const AlterOwnerStmt *) stmt;

	return IsA(stmt, AlterOwnerStmt) &&
		(alter->objectType == OBJECT_FDW || alter->objectType == OBJECT_EVENT_TRIGGER);
}

bool
step_may_have_lapsed(const Node *stmt)
{
	return (sets_foreign_options(stmt) || wants_superuser(stmt)) &&
		superuser_arg(safemig_state.caller->userid);
}

static void
change(List **lifted, Relation catalog, HeapTuple row, AttrNumber column, Datum value)
{
	Datum		values[Max(Natts_pg_authid, Natts_pg_foreign_data_wrapper)] = {0};
	bool		nulls[lengthof(values)] = {0};
	bool		replace[lengthof(values)] = {0};
	Lifted	   *old = palloc(sizeof(Lifted));

	old->catalog = RelationGetRelid(catalog);
	old->row = heap_copytuple(row);
	*lifted = lappend(*lifted, old);
	values[column - 1] = value;
	replace[column - 1] = true;
	CatalogTupleUpdate(catalog, &row->t_self,
					   heap_modify_tuple(row, RelationGetDescr(catalog),
										 values, nulls, replace));
}

static void
take_validators_off(List **lifted)
{
	Relation	catalog = table_open(ForeignDataWrapperRelationId, RowExclusiveLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	row;

	while (HeapTupleIsValid(row = systable_getnext(scan)))
	{
		if (OidIsValid(((Form_pg_foreign_data_wrapper) GETSTRUCT(row))->fdwvalidator))
			change(lifted, catalog, row, Anum_pg_foreign_data_wrapper_fdwvalidator,
				   ObjectIdGetDatum(InvalidOid));
	}
	systable_endscan(scan);
	table_close(catalog, RowExclusiveLock);
}

static void
make_superuser(List **lifted, const RoleSpec *role)
{
	Relation	catalog = table_open(AuthIdRelationId, RowExclusiveLock);
	HeapTuple	row = get_rolespec_tuple(role);

	change(lifted, catalog, row, Anum_pg_authid_rolsuper, BoolGetDatum(true));
	ReleaseSysCache(row);
	table_close(catalog, RowExclusiveLock);
}

/* Nobody else sees it: it is put back in this transaction. */
List *
lapsed_lift(const Node *stmt)
{
	List	   *lifted = NIL;

	if (wants_superuser(stmt))
		make_superuser(&lifted, ((const AlterOwnerStmt *) stmt)->newowner);
	else
		take_validators_off(&lifted);
	CommandCounterIncrement();
	return lifted;
}

void
lapsed_put_back(List *lifted)
{
	ListCell   *lc;

	CommandCounterIncrement();
	foreach(lc, lifted)
	{
		Lifted	   *old = lfirst(lc);
		Relation	catalog = table_open(old->catalog, RowExclusiveLock);
		Oid			oid = ((Form_pg_authid) GETSTRUCT(old->row))->oid;
		HeapTuple	now = SearchSysCache1(old->catalog == AuthIdRelationId ?
										  AUTHOID : FOREIGNDATAWRAPPEROID,
										  ObjectIdGetDatum(oid));

		if (!HeapTupleIsValid(now))
			elog(ERROR, "cache lookup failed for %u in catalog %u", oid, old->catalog);
		CatalogTupleUpdate(catalog, &now->t_self, old->row);
		ReleaseSysCache(now);
		table_close(catalog, RowExclusiveLock);
	}
	CommandCounterIncrement();
}
