/*-------------------------------------------------------------------------
 *
 * framework.c
 *	  Whose history table is this?
 *
 * A history table is told by its columns and, where these are not enough, by
 * its name; so it does not matter when it was made, nor by whom.  What was
 * found out about a relation is remembered until it changes, but for those that
 * are somebody else's once another table stands beside them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/varlena.h"

#include "compat.h"
#include "history/framework.h"


/* What is known about a relation. */
typedef struct KnownTable
{
	Oid			relid;
	const Framework *framework; /* NULL: it is none's */
	FrameworkTable table;
} KnownTable;
static HTAB *known_tables = NULL;
static bool known_valid = false;
static uint64 known_version = 0;	/* of the definitions */
static bool callback_registered = false;

/* ---- names ---- */

/* Names with | between them need no machine. */
static bool
is_plain(const char *regex)
{
	return strspn(regex, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_|") == strlen(regex);
}

/* Of names with | between them; NULL after the last. */
char *
framework_next_name(const char **names)
{
	size_t		length = strcspn(*names, "|");
	char	   *name;

	if (**names == '\0')
		return NULL;
	name = pnstrdup(*names, length);
	*names += length + ((*names)[length] == '|' ? 1 : 0);
	return name;
}

static bool
is_among(const char *names, const char *name)
{
	size_t		length = strlen(name);

	while (*names)
	{
		size_t		next = strcspn(names, "|");

		if (next == length && strncmp(names, name, length) == 0)
			return true;
		names += next + (names[next] == '|' ? 1 : 0);
	}
	return false;
}

static bool
matches(const char *regex, const char *name)
{
	if (is_plain(regex))
		return is_among(regex, name);
	return DatumGetBool(DirectFunctionCall2Coll(textregexeq, C_COLLATION_OID,
												CStringGetTextDatum(name),
												CStringGetTextDatum(psprintf("^(?:%s)$", regex))));
}

static bool
matches_any(List *regexes, const char *name)
{
	ListCell   *lc;

	foreach(lc, regexes)
	{
		if (matches(lfirst(lc), name))
			return true;
	}
	return false;
}

/* Expressions that are none are told at once. */
void
framework_check_names(const Framework *framework)
{
	if (framework->table_name)
		(void) matches(framework->table_name, "");
	(void) matches_any(framework->parts, "");
	(void) matches_any(framework->helpers, "");
}

/* ---- whose table is it? ---- */

static bool
has_type(const FrameworkColumn *column, Oid type)
{
	char	   *name = format_type_be(type);
	ListCell   *lc;

	foreach(lc, column->types)
	{
		if (strcmp(lfirst(lc), name) == 0)
			return true;
	}
	return false;
}

/* NULL: it has none. */
Form_pg_attribute
framework_attribute(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return att;
	}
	return NULL;
}

/* Dropped ones count. */
#define MAX_HISTORY_ATTRIBUTES 64

static bool
has_columns(const Framework *framework, TupleDesc desc)
{
	int			expected = 0;
	int			there = 0;
	ListCell   *lc;

	if (desc->natts > MAX_HISTORY_ATTRIBUTES)
		return false;
	foreach(lc, framework->columns)
	{
		FrameworkColumn *column = lfirst(lc);
		Form_pg_attribute att = framework_attribute(desc, column->name);

		if (att == NULL && !column->optional)
			return false;
		if (att == NULL)
			continue;
		if (!has_type(column, att->atttypid))
			return false;
		expected++;
	}
	for (int i = 0; i < desc->natts; i++)
		there += !TupleDescAttr(desc, i)->attisdropped;
	return there == expected;
}

static bool
is_history(const Framework *framework, Relation rel)
{
	return has_columns(framework, RelationGetDescr(rel)) &&
		(framework->table_name == NULL ||
		 matches(framework->table_name, RelationGetRelationName(rel))) &&
		(framework->beside == NULL ||
		 OidIsValid(get_relname_relid(framework->beside, RelationGetNamespace(rel))));
}

/* In its own schema, or by a name that nobody else would give. */
static FrameworkTable
beside_history(const Framework *framework, Relation rel, const char *schema)
{
	const char *name = RelationGetRelationName(rel);

	if (framework->schema_name && strcmp(framework->schema_name, schema) != 0)
		return FRAMEWORK_NOTHING;
	return matches_any(framework->parts, name) ? FRAMEWORK_PART :
		matches_any(framework->helpers, name) ? FRAMEWORK_HELPER : FRAMEWORK_NOTHING;
}

/* False: it could not be looked at, or it may become another one's. */
static bool
find_out(KnownTable *known)
{
	Relation	rel;
	char	   *schema;
	bool		lasting = true;
	List	   *definitions = frameworks_known();
	ListCell   *lc;

	/* only to look at its columns: not worth waiting for who rewrites it */
	if (!ConditionalLockRelationOid(known->relid, AccessShareLock))
		return false;
	rel = try_relation_open(known->relid, NoLock);
	if (rel == NULL)
		return false;
	schema = get_namespace_name(RelationGetNamespace(rel));

	foreach(lc, definitions)
	{
		const Framework *framework = lfirst(lc);

		if (is_history(framework, rel))
		{
			known->framework = framework;
			known->table = FRAMEWORK_HISTORY;
			break;
		}
		lasting &= framework->beside == NULL || !has_columns(framework, RelationGetDescr(rel));
	}
	foreach(lc, known->framework ? NIL : definitions)
	{
		known->table = beside_history(lfirst(lc), rel, schema);
		if (known->table != FRAMEWORK_NOTHING)
		{
			known->framework = lfirst(lc);
			break;
		}
	}
	relation_close(rel, AccessShareLock);
	return lasting;
}

static bool
may_be_history(Oid relid)
{
	Oid			namespace;

	if (relid < FirstNormalObjectId || get_rel_relkind(relid) != RELKIND_RELATION)
		return false;
	namespace = get_rel_namespace(relid);
	return !isAnyTempNamespace(namespace) && namespace != PG_CATALOG_NAMESPACE &&
		namespace != get_namespace_oid(SAFEMIG_SCHEMA, true);
}

static void
on_relation_change(Datum arg, Oid relid)
{
	if (!OidIsValid(relid))
		known_valid = false;
	else if (known_valid)
		(void) hash_search(known_tables, &relid, HASH_REMOVE, NULL);
}

static void
prepare_known_tables(void)
{
	HASHCTL		info = {.keysize = sizeof(Oid), .entrysize = sizeof(KnownTable)};
	uint64		version = frameworks_version();

	if (known_valid && version == known_version)
		return;
	if (!callback_registered)
		CacheRegisterRelcacheCallback(on_relation_change, (Datum) 0);
	callback_registered = true;
	if (known_tables)
		hash_destroy(known_tables);
	info.hcxt = TopMemoryContext;
	known_tables = hash_create("safemig framework tables", 64, &info,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	known_version = version;
	known_valid = true;
}

/* NULL: it is none's. */
const Framework *
framework_of(Oid relid, FrameworkTable *table)
{
	KnownTable	known = {relid, NULL, FRAMEWORK_NOTHING};
	KnownTable *entry;
	uint64		version;
	bool		found;

	*table = FRAMEWORK_NOTHING;
	if (!may_be_history(relid))
		return NULL;
	prepare_known_tables();
	version = known_version;
	entry = hash_search(known_tables, &relid, HASH_FIND, &found);
	if (found)
		known = *entry;
	else if (frameworks_known() != NIL && find_out(&known))
	{
		/* to open it may have brought news that make what is known void */
		prepare_known_tables();
		if (version == known_version)
		{
			entry = hash_search(known_tables, &relid, HASH_ENTER, NULL);
			*entry = known;
		}
	}
	*table = known.table;
	return known.framework;
}

/* As migration_log has it. */
char *
history_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

/* InvalidOid: it is not there. */
Oid
history_relid(const char *name)
{
	List	   *names = textToQualifiedNameList(cstring_to_text(name));

	return RangeVarGetRelid(makeRangeVarFromNameList(names), NoLock, true);
}

/* All history tables of the database. */
List *
framework_tables(void)
{
	Relation	rel = table_open(RelationRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	List	   *relids = NIL;
	List	   *tables = NIL;
	ListCell   *lc;
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (((Form_pg_class) GETSTRUCT(tuple))->relkind == RELKIND_RELATION)
			relids = lappend_oid(relids, ((Form_pg_class) GETSTRUCT(tuple))->oid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	foreach(lc, relids)
	{
		FrameworkTable table;

		(void) framework_of(lfirst_oid(lc), &table);
		if (table == FRAMEWORK_HISTORY)
			tables = lappend_oid(tables, lfirst_oid(lc));
	}
	return tables;
}

/* Whose own schema has that name?  NULL: nobody's. */
const Framework *
framework_of_schema(const char *name)
{
	ListCell   *lc;

	foreach(lc, frameworks_known())
	{
		Framework  *framework = lfirst(lc);

		if (framework->schema_name && strcmp(framework->schema_name, name) == 0)
			return framework;
	}
	return NULL;
}
