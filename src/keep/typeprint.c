/*-------------------------------------------------------------------------
 *
 * typeprint.c
 *	  Is a type still what it was?
 *
 * While a column is dropped nothing in pg_depend holds its type, so the type
 * can be altered under the stored bytes.  The fingerprint of a type covers
 * everything that decides what the bytes mean and which values are allowed,
 * followed through arrays, domains, ranges and row types.  Names are not in
 * it: a renamed type has the same values.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/indexing.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_range.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "keep/column.h"

static void describe_type(StringInfo out, Oid typid, List **seen);

/* Rows of a catalog in the order of an index on one OID column. */
static SysScanDesc
scan_by_oid(Relation catalog, Oid index, AttrNumber attnum, Oid value)
{
	ScanKeyData key;

	ScanKeyInit(&key, attnum, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(value));
	return systable_beginscan(catalog, index, true, NULL, 1, &key);
}

static void
describe_enum(StringInfo out, Oid typid)
{
	Relation	catalog = table_open(EnumRelationId, AccessShareLock);
	SysScanDesc scan = scan_by_oid(catalog, EnumTypIdSortOrderIndexId,
								   Anum_pg_enum_enumtypid, typid);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_enum label = (Form_pg_enum) GETSTRUCT(tuple);

		appendStringInfo(out, " %u %s", label->oid, NameStr(label->enumlabel));
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
}

static int
compare_texts(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

/* The checks of a domain as text: one that was taken back counts as the same. */
static void
describe_domain_checks(StringInfo out, Oid typid)
{
	Relation	catalog = table_open(ConstraintRelationId, AccessShareLock);
	SysScanDesc scan = scan_by_oid(catalog, ConstraintTypidIndexId,
								   Anum_pg_constraint_contypid, typid);
	HeapTuple	tuple;
	List	   *checks = NIL;
	ListCell   *lc;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Oid			check = ((Form_pg_constraint) GETSTRUCT(tuple))->oid;
		Datum		definition = OidFunctionCall1(F_PG_GET_CONSTRAINTDEF_OID,
												  ObjectIdGetDatum(check));

		checks = lappend(checks, TextDatumGetCString(definition));
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	list_sort(checks, compare_texts);
	foreach(lc, checks)
		appendStringInfo(out, " %s", (char *) lfirst(lc));
}

/* The version that PostgreSQL gave an attribute, or "". */
static const char *
attribute_version(HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	Datum		options = heap_getattr(tuple, Anum_pg_attribute_attoptions,
									   desc, &isnull);
	ListCell   *lc;

	if (isnull)
		return "";
	foreach(lc, untransformRelOptions(options))
	{
		DefElem    *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, ATTRIBUTE_VERSION_KEY) == 0)
			return defGetString(option);
	}
	return "";
}

/*
 * Without dropped ones at the end: nothing that was stored before they were
 * added has them.
 */
static void
describe_attributes(StringInfo out, Oid typid, List **seen)
{
	StringInfoData pending;
	Relation	catalog = table_open(AttributeRelationId, AccessShareLock);
	SysScanDesc scan = scan_by_oid(catalog, AttributeRelidNumIndexId,
								   Anum_pg_attribute_attrelid,
								   get_typ_typrelid(typid));
	HeapTuple	tuple;

	initStringInfo(&pending);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_attribute att = (Form_pg_attribute) GETSTRUCT(tuple);

		if (att->attnum < 0)
			continue;
		appendStringInfo(&pending, " %d %d %c %d %u %s", att->attnum, att->attlen,
						 att->attalign, att->atttypmod, att->attcollation,
						 attribute_version(tuple, RelationGetDescr(catalog)));
		if (att->attisdropped)
			continue;
		appendStringInfoString(out, pending.data);
		resetStringInfo(&pending);
		describe_type(out, att->atttypid, seen);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
}

static void
describe_range(StringInfo out, Oid typid, List **seen)
{
	HeapTuple	tuple = SearchSysCache1(RANGETYPE, ObjectIdGetDatum(typid));
	FormData_pg_range range;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for range type %u", typid);
	memcpy(&range, GETSTRUCT(tuple), sizeof(range));
	ReleaseSysCache(tuple);
	appendStringInfo(out, " %u %u %u", range.rngcollation, range.rngsubopc,
					 range.rngcanonical);
	describe_type(out, range.rngsubtype, seen);
}

static void
describe_type(StringInfo out, Oid typid, List **seen)
{
	HeapTuple	tuple;
	FormData_pg_type type;

	appendStringInfo(out, " (%u", typid);
	if (IsPinnedObject(TypeRelationId, typid) || list_member_oid(*seen, typid))
	{
		appendStringInfoChar(out, ')');
		return;
	}
	*seen = lappend_oid(*seen, typid);
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(typid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", typid);
	memcpy(&type, GETSTRUCT(tuple), sizeof(type));
	ReleaseSysCache(tuple);

	appendStringInfo(out, " %c %d %d %c %u %u %u %d %d", type.typtype,
					 type.typlen, type.typbyval, type.typalign, type.typinput,
					 type.typreceive, type.typbasetype, type.typtypmod,
					 type.typnotnull);
	if (IsTrueArrayType(&type))
		describe_type(out, type.typelem, seen);
	switch (type.typtype)
	{
		case TYPTYPE_ENUM:
			describe_enum(out, typid);
			break;
		case TYPTYPE_DOMAIN:
			describe_domain_checks(out, typid);
			describe_type(out, type.typbasetype, seen);
			break;
		case TYPTYPE_COMPOSITE:
			describe_attributes(out, typid, seen);
			break;
		case TYPTYPE_RANGE:
			describe_range(out, typid, seen);
			break;
		case TYPTYPE_MULTIRANGE:
			describe_type(out, get_multirange_range(typid), seen);
			break;
		default:
			break;
	}
	appendStringInfoChar(out, ')');
}

/* 128 bits, so that a table with large enums does not bloat the history. */
char *
type_fingerprint(Oid typid)
{
	StringInfoData text;
	List	   *seen = NIL;

	initStringInfo(&text);
	describe_type(&text, typid, &seen);
	return psprintf("%016llx%016llx",
					(unsigned long long) hash_bytes_extended((unsigned char *) text.data,
															 text.len, 1),
					(unsigned long long) hash_bytes_extended((unsigned char *) text.data,
															 text.len, 2));
}
