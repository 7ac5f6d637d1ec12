/*-------------------------------------------------------------------------
 *
 * parts.c
 *	  What a type is made of: the other way round than uses.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "keep/vault.h"

static Oid
domain_base(Oid typid)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(typid));
	Oid			base;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", typid);
	base = ((Form_pg_type) GETSTRUCT(tuple))->typbasetype;
	ReleaseSysCache(tuple);
	return base;
}

/* The types of a relation's columns. */
List *
relation_types(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	List	   *types = NIL;

	for (int i = 0; i < desc->natts; i++)
	{
		if (!TupleDescAttr(desc, i)->attisdropped)
			types = list_append_unique_oid(types, TupleDescAttr(desc, i)->atttypid);
	}
	if (OidIsValid(rel->rd_rel->reloftype))
		types = list_append_unique_oid(types, rel->rd_rel->reloftype);
	relation_close(rel, NoLock);
	return types;
}

/* The types that a type is directly made of. */
List *
type_parts(Oid typid)
{
	Oid			element = get_element_type(typid);

	if (OidIsValid(element))
		return list_make1_oid(element);
	switch (get_typtype(typid))
	{
		case TYPTYPE_DOMAIN:
			return list_make1_oid(domain_base(typid));
		case TYPTYPE_RANGE:
			return list_make1_oid(get_range_subtype(typid));
		case TYPTYPE_MULTIRANGE:
			return list_make1_oid(get_multirange_range(typid));
		case TYPTYPE_COMPOSITE:
			return relation_types(get_typ_typrelid(typid));
		default:
			return NIL;
	}
}

/* The relation whose row type it is, if that is not just a composite type. */
Oid
type_row_relation(Oid typid)
{
	Oid			relid = get_typ_typrelid(typid);

	return OidIsValid(relid) && get_rel_relkind(relid) != RELKIND_COMPOSITE_TYPE ?
		relid : InvalidOid;
}

/* A base type that is not an extension's comes back later than other types. */
static bool
is_own_base_type(Oid typid)
{
	return typid >= FirstNormalObjectId && get_typtype(typid) == TYPTYPE_BASE &&
		!OidIsValid(get_element_type(typid)) &&
		!OidIsValid(getExtensionOfObject(TypeRelationId, typid));
}

/* Can it be made only when some table, or such a type, is there? */
bool
type_needs_table(Oid typid)
{
	ListCell   *lc;

	foreach(lc, type_parts(typid))
	{
		if (OidIsValid(type_row_relation(lfirst_oid(lc))) ||
			is_own_base_type(lfirst_oid(lc)) ||
			type_needs_table(lfirst_oid(lc)))
			return true;
	}
	return false;
}
