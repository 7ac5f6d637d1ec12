/*-------------------------------------------------------------------------
 *
 * recall.c
 *	  A kept column as it is on record, found again in the database of now.
 *
 * OIDs on record hold in the database in which they were written, and where
 * pg_upgrade takes it; elsewhere everything is found by name.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "compat.h"
#include "history/history.h"
#include "keep/column.h"

/* These functions act without looking at privileges again. */
void
check_own_call(const char *function)
{
	if (!superuser() && GetUserId() != extension_owner())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for function %s.%s",
						SAFEMIG_SCHEMA, function),
				 errdetail("It is a step of a rollback.")));
}

int64
kept_number(const Kept *kept, const char *name)
{
	const char *value = kept_detail(kept, name);

	return value ? (int64) strtoll(value, NULL, 10) : 0;
}

static bool
same_incarnation(const Kept *kept)
{
	const char *marker = kept_detail(kept, "incarnation");

	return marker && history_oids_hold(marker);
}

/* The relation by name, locked. */
Oid
kept_relation(const Kept *kept, LOCKMODE lockmode)
{
	List	   *names = textToQualifiedNameList(cstring_to_text(kept->identity));
	Oid			relid = RangeVarGetRelid(makeRangeVarFromNameList(names),
										 lockmode, true);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("%s %s does not exist", kept->object_type, kept->identity),
				 errdetail("The kept values of its column \"%s\" have no place to go.",
						   kept->part)));
	return relid;
}

/* Is it the very relation that had the column, not one of the same name? */
bool
kept_is_same_relation(const Kept *kept, Oid relid)
{
	return relid == (Oid) kept_number(kept, "relation") && same_incarnation(kept);
}

/* The live column of that name, or 0. */
AttrNumber
kept_live_column(const Kept *kept, Relation rel)
{
	AttrNumber	attnum = get_attnum(RelationGetRelid(rel), kept->part);

	return attnum > 0 ? attnum : InvalidAttrNumber;
}

List *
relation_parents(Oid relid)
{
	Relation	rel = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *parents = NIL;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		parents = lappend_oid(parents,
							  ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return parents;
}

/* All that the command kept for this column: one for each relation of a tree. */
List *
kept_family(const Kept *kept)
{
	return history_find_kept(kept->migration, kept->command, kept->kind,
							 kept->part);
}

/* A collation as SQL. */
char *
collation_name(Oid collation)
{
	HeapTuple	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	Form_pg_collation form;
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for collation %u", collation);
	form = (Form_pg_collation) GETSTRUCT(tuple);
	name = quote_qualified_identifier(get_namespace_name(form->collnamespace),
									  NameStr(form->collname));
	ReleaseSysCache(tuple);
	return name;
}

/*
 * The column's type as SQL, and its OID.  NULL if there is no such type now.
 */
char *
kept_type(const Kept *kept, Oid *typid)
{
	int32		typmod = (int32) kept_number(kept, "typmod");

	*typid = (Oid) kept_number(kept, "type");
	if (!same_incarnation(kept) ||
		!SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(*typid)))
	{
		if (!type_from_string(kept_detail(kept, "type_name"), typid, &typmod))
			return NULL;
	}
	return format_type_with_typemod(*typid, typmod);
}

/*
 * The column's collation; InvalidOid also if there is no such one now.
 * pg_upgrade gives collations new OIDs.
 */
Oid
kept_collation(const Kept *kept, Oid typid)
{
	Oid			collation = (Oid) kept_number(kept, "collation");
	const char *name = kept_detail(kept, "collation_name");

	if (!OidIsValid(collation))
		return InvalidOid;
	if (name == NULL)
		return get_typcollation(typid);
	if (strcmp(kept_detail(kept, "incarnation"), history_incarnation()) == 0 &&
		SearchSysCacheExists1(COLLOID, ObjectIdGetDatum(collation)))
		return collation;
	return get_collation_oid(textToQualifiedNameList(cstring_to_text(name)), true);
}

static void
recall_stored(const Kept *kept, const char *prefix, StoredColumn *column,
			  Relation rel)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel),
										  column->attnum - 1);
	const char *form = kept_detail(kept, psprintf("%s.stored", prefix));

	if (form == NULL)
		elog(ERROR, "kept column " INT64_FORMAT " does not say how \"%s\" is stored",
			 kept->id, prefix);
	stored_column_init(column, att->atttypid, att->atttypmod);
	stored_column_set_form(column, (StoredForm) form[0]);
}

/*
 * The keys of the copy, tied to the columns of now.  False if one of them,
 * then the last of shape, does not exist any more.
 */
bool
kept_keys(const Kept *kept, Relation rel, CopyShape *shape)
{
	bool		same = kept_is_same_relation(kept, RelationGetRelid(rel));
	int			nkeys = (int) kept_number(kept, "keys");

	memset(shape, 0, sizeof(CopyShape));
	for (int i = 0; i < nkeys; i++)
	{
		char	   *prefix = psprintf("key%d", i + 1);
		StoredColumn *key = &shape->keys[i];

		shape->nkeys = i + 1;
		key->name = pstrdup(kept_detail(kept, prefix));
		key->attnum = same ?
			(AttrNumber) kept_number(kept, psprintf("%s.attnum", prefix)) :
			get_attnum(RelationGetRelid(rel), key->name);
		if (key->attnum <= 0 ||
			TupleDescAttr(RelationGetDescr(rel), key->attnum - 1)->attisdropped)
			return false;
		recall_stored(kept, prefix, key, rel);
	}
	return true;
}

/*
 * The shape of the copy, tied to the columns of now: attnum is the column
 * that holds, or is to hold, the values.
 */
void
kept_shape(const Kept *kept, Relation rel, AttrNumber attnum, CopyShape *shape)
{
	if (!kept_keys(kept, rel, shape))
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("the kept values of column \"%s\" of %s %s cannot be put back",
						kept->part, kept->object_type, kept->identity),
				 errdetail("The rows were known by column \"%s\", which does not exist any more.",
						   shape->keys[shape->nkeys - 1].name)));
	shape->value.name = kept->part;
	shape->value.attnum = attnum;
	recall_stored(kept, "value", &shape->value, rel);
	if (kept_detail(kept, "converted"))
	{
		shape->has_converted = true;
		shape->converted.name = pstrdup(kept_detail(kept, "converted"));
		shape->converted.attnum = attnum;
		recall_stored(kept, "converted", &shape->converted, rel);
	}
}
