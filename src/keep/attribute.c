/*-------------------------------------------------------------------------
 *
 * attribute.c
 *	  Brings a dropped attribute of a composite type back in place.
 *
 * DROP ATTRIBUTE rewrites nothing: the row in pg_attribute stays, and so does
 * what each stored value of the type has in that place.  Made live again, the
 * attribute stands where it stood, and values that were not made since have
 * what they had; those made since have NULL.
 *
 * What was sorted by values of the type meanwhile was sorted without the
 * attribute: indexes on such values are built anew.
 *
 * Tables OF the type have columns of their own and are not concerned.
 *
 * A database that was reloaded from a dump has no dropped attributes.  There
 * the attribute is added, if it was the last and nothing has values of the
 * type.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "compat.h"
#include "keep/column.h"
#include "keep/vault.h"

PG_FUNCTION_INFO_V1(revive_attribute);

typedef struct Attribute
{
	char	   *composite;		/* the type it belongs to, as SQL */
	Oid			composite_type;
	Oid			relid;
	char	   *name;
	AttrNumber	attnum;			/* where it was ... */
	int			position;		/* ... counting only those that there were */
	Oid			recorded_type;	/* the OID of its type when it was dropped */
	Oid			type;
	int32		typmod;
	Oid			collation;
} Attribute;

/* ---- can it be? ---- */

static void
cannot(const Attribute *attribute, const char *reason)
{
	ereport(ERROR,
			(errcode(ERRCODE_SAFEMIG_CONFLICT),
			 errmsg("attribute \"%s\" of type %s cannot be brought back: %s",
					attribute->name, attribute->composite, reason)));
}

/* Why the place cannot be made live again, or NULL. */
static const char *
why_not_in_slot(const Attribute *attribute)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM,
										ObjectIdGetDatum(attribute->relid),
										Int16GetDatum(attribute->attnum));
	FormData_pg_attribute att;
	int16		typlen;
	bool		typbyval;
	char		typalign;

	if (!HeapTupleIsValid(tuple))
		return "its place is gone";
	memcpy(&att, GETSTRUCT(tuple), ATTRIBUTE_FIXED_PART_SIZE);
	ReleaseSysCache(tuple);
	if (!att.attisdropped)
		return "its place is taken";
	if (attribute->type != attribute->recorded_type)
		return "its type is not the one that it had";
	get_typlenbyvalalign(attribute->type, &typlen, &typbyval, &typalign);
	if (typlen != att.attlen || typalign != att.attalign)
		return "its place has another layout";
	return NULL;
}

static bool
type_has_values(Oid composite_type)
{
	ListCell   *lc;

	foreach(lc, type_columns(type_containers(list_make1_oid(composite_type))))
	{
		char		relkind = get_rel_relkind(((ObjectAddress *) lfirst(lc))->objectId);

		if (RELKIND_HAS_STORAGE(relkind) || RELKIND_HAS_PARTITIONS(relkind))
			return true;
	}
	return false;
}

static int
count_attributes(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	int			count = 0;

	for (int i = 0; i < RelationGetDescr(rel)->natts; i++)
		count += !TupleDescAttr(RelationGetDescr(rel), i)->attisdropped;
	relation_close(rel, NoLock);
	return count;
}

/* ---- the surgery ---- */

static void
record_dependencies(const Attribute *attribute)
{
	ObjectAddress self,
				referenced;

	ObjectAddressSubSet(self, RelationRelationId, attribute->relid,
						attribute->attnum);
	ObjectAddressSet(referenced, TypeRelationId, attribute->type);
	recordDependencyOn(&self, &referenced, DEPENDENCY_NORMAL);
	if (OidIsValid(attribute->collation) &&
		attribute->collation != DEFAULT_COLLATION_OID)
	{
		ObjectAddressSet(referenced, CollationRelationId, attribute->collation);
		recordDependencyOn(&self, &referenced, DEPENDENCY_NORMAL);
	}
}

#define SET_ATTRIBUTE(field, value) \
	(values[Anum_pg_attribute_##field - 1] = (value), \
	 replaces[Anum_pg_attribute_##field - 1] = true)

static void
revive_slot(const Attribute *attribute)
{
	Relation	rel = relation_open(attribute->relid, AccessExclusiveLock);
	Relation	catalog = table_open(AttributeRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy2(ATTNUM,
											ObjectIdGetDatum(attribute->relid),
											Int16GetDatum(attribute->attnum));
	Datum		values[Natts_pg_attribute];
	bool		nulls[Natts_pg_attribute] = {false};
	bool		replaces[Natts_pg_attribute] = {false};
	NameData	name;

	CheckTableNotInUse(rel, "revive an attribute of");
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for attribute %d of relation %u",
			 attribute->attnum, attribute->relid);
	namestrcpy(&name, attribute->name);
	SET_ATTRIBUTE(attname, NameGetDatum(&name));
	SET_ATTRIBUTE(attisdropped, BoolGetDatum(false));
	SET_ATTRIBUTE(atttypid, ObjectIdGetDatum(attribute->type));
	SET_ATTRIBUTE(atttypmod, Int32GetDatum(attribute->typmod));
	SET_ATTRIBUTE(attcollation, ObjectIdGetDatum(attribute->collation));
	/* pg_upgrade makes dummies of dropped columns: never trust these there */
	SET_ATTRIBUTE(attbyval, BoolGetDatum(get_typbyval(attribute->type)));
	SET_ATTRIBUTE(attstorage, CharGetDatum(get_typstorage(attribute->type)));
	reset_statistics_target(values, nulls, replaces);
	tuple = heap_modify_tuple(tuple, RelationGetDescr(catalog), values, nulls,
							  replaces);
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	record_dependencies(attribute);
	CacheInvalidateRelcache(rel);
	table_close(catalog, RowExclusiveLock);
	relation_close(rel, NoLock);
	CommandCounterIncrement();
}

/* Indexes that sort values with one of the type inside, at whatever depth. */
static void
rebuild_indexes(Oid composite_type)
{
	List	   *types = type_containers(list_make1_oid(composite_type));
	Datum	   *elems = palloc(list_length(types) * sizeof(Datum));
	Oid			argtype = OIDARRAYOID;
	Datum		arg;
	List	   *indexes = NIL;
	ListCell   *lc;

	for (int i = 0; i < list_length(types); i++)
		elems[i] = ObjectIdGetDatum(list_nth_oid(types, i));
	arg = PointerGetDatum(construct_array(elems, list_length(types), OIDOID,
										  sizeof(Oid), true, TYPALIGN_INT));
	if (SPI_execute_with_args("SELECT DISTINCT c.oid FROM pg_catalog.pg_attribute a"
							  " JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) a.attrelid"
							  " WHERE c.relkind OPERATOR(pg_catalog.=) 'i'"
							  " AND a.atttypid OPERATOR(pg_catalog.=) ANY ($1) ORDER BY 1",
							  1, &argtype, &arg, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read pg_attribute");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;

		indexes = lappend_oid(indexes,
							  DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i],
															 SPI_tuptable->tupdesc,
															 1, &isnull)));
	}
	foreach(lc, indexes)
	{
		char	   *sql = psprintf("REINDEX INDEX %s",
								   quote_qualified_identifier(get_namespace_name(get_rel_namespace(lfirst_oid(lc))),
															  get_rel_name(lfirst_oid(lc))));

		if (SPI_execute(sql, false, 0) != SPI_OK_UTILITY)
			elog(ERROR, "could not run \"%s\"", sql);
	}
}

static void
add_at_end(const Attribute *attribute)
{
	char	   *sql = psprintf("ALTER TYPE %s ADD ATTRIBUTE %s %s%s%s",
							   attribute->composite,
							   quote_identifier(attribute->name),
							   format_type_with_typemod(attribute->type,
														attribute->typmod),
							   OidIsValid(attribute->collation) ? " COLLATE " : "",
							   OidIsValid(attribute->collation) ?
							   collation_name(attribute->collation) : "");

	if (SPI_execute(sql, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not run \"%s\"", sql);
}

static void
revive_in_slot(const Attribute *attribute)
{
	List	   *stale = stale_queries_take(attribute->relid, attribute->attnum);

	revive_slot(attribute);
	stale_queries_remake(stale);
	rebuild_indexes(attribute->composite_type);
}

static void
bring_back(const Attribute *attribute)
{
	const char *reason = why_not_in_slot(attribute);
	ObjectAddress address;

	if (get_attnum(attribute->relid, attribute->name) != InvalidAttrNumber)
		cannot(attribute, "the name is taken");
	if (reason && (count_attributes(attribute->relid) != attribute->position - 1 ||
				   type_has_values(attribute->composite_type)))
		cannot(attribute, reason);
	ObjectAddressSet(address, TypeRelationId, attribute->composite_type);
	capture_internal_begin("REVIVE ATTRIBUTE", list_make1(&address));
	if (reason)
		add_at_end(attribute);
	else
		revive_in_slot(attribute);
	capture_internal_end();
}

static Oid
find_type(const char *name, int32 *typmod)
{
	Oid			type;
	int32		mod;

	if (!type_from_string(name, &type, &mod) || !OidIsValid(type))
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("type %s does not exist", name)));
	if (typmod)
		*typmod = mod;
	return type;
}

/*
 * safemig.revive_attribute(type_name text, attribute_name text, attnum int,
 *		"position" int, attribute_type text, type_oid oid, collation_name text)
 */
Datum
revive_attribute(PG_FUNCTION_ARGS)
{
	Attribute	attribute = {0};
	Frame		frame;

	check_own_call("revive_attribute");
	frame_become_owner(&frame);
	SPI_connect();
	attribute.composite = text_to_cstring(PG_GETARG_TEXT_PP(0));
	attribute.name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	attribute.attnum = (AttrNumber) PG_GETARG_INT32(2);
	attribute.position = PG_GETARG_INT32(3);
	attribute.recorded_type = PG_GETARG_OID(5);
	attribute.composite_type = find_type(attribute.composite, NULL);
	attribute.relid = get_typ_typrelid(attribute.composite_type);
	attribute.type = find_type(text_to_cstring(PG_GETARG_TEXT_PP(4)),
							   &attribute.typmod);
	attribute.collation = get_typcollation(attribute.type);
	if (VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(6)) > 0)
		attribute.collation = get_collation_oid(textToQualifiedNameList(PG_GETARG_TEXT_PP(6)),
												false);
	if (get_rel_relkind(attribute.relid) != RELKIND_COMPOSITE_TYPE)
		cannot(&attribute, "it is no composite type");
	bring_back(&attribute);
	SPI_finish();
	frame_unpin(&frame);
	PG_RETURN_VOID();
}
