/*-------------------------------------------------------------------------
 *
 * framework.c
 *	  safemig.frameworks: whose history table is this, and what does a row of
 *	  it say?
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
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

#include "compat.h"
#include "history/framework.h"

PG_FUNCTION_INFO_V1(safemig_on_frameworks_change);

#define FRAMEWORKS	"frameworks"

typedef struct FrameworkColumn
{
	char	   *name;
	List	   *types;			/* of char*, as format_type spells them */
	bool		optional;
} FrameworkColumn;

/* What is known about a relation. */
typedef struct KnownTable
{
	Oid			relid;
	const Framework *framework; /* NULL: it is none's */
	FrameworkTable table;
} KnownTable;

static MemoryContext definitions_context = NULL;
static List *definitions = NIL; /* of Framework* */
static Oid	definitions_relid = InvalidOid;
static bool definitions_valid = false;
static HTAB *known_tables = NULL;
static bool known_valid = false;
static bool callback_registered = false;

/* ---- the definitions ---- */

enum
{
	COLUMN_NAME = 1,
	COLUMN_TABLE_NAME,
	COLUMN_COLUMNS,
	COLUMN_BESIDE,
	COLUMN_LABEL,
	COLUMN_VERSION,
	COLUMN_APPLIED,
	COLUMN_ROW_WRITTEN,
	COLUMN_TRANSACTIONS,
	COLUMN_LINEAR_BY,
	COLUMN_PARTS,
	COLUMN_HELPERS,
	COLUMN_SCHEMA_NAME,
	COLUMN_TAKEN_BACK,
	COLUMN_ONE_ROW,
	COLUMN_SEEDED
};

static char *
text_of(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, column, desc, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* NULL elements do not count. */
static List *
texts_of(HeapTuple tuple, TupleDesc desc, int column, bool *absent)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, column, desc, &isnull);
	Datum	   *elems;
	bool	   *nulls;
	int			nelems;
	List	   *list = NIL;

	if (absent)
		*absent = isnull;
	if (isnull)
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT,
					  &elems, &nulls, &nelems);
	for (int i = 0; i < nelems; i++)
	{
		if (!nulls[i])
			list = lappend(list, TextDatumGetCString(elems[i]));
	}
	return list;
}

/* "name type|type?" */
static FrameworkColumn *
parse_column(const char *spec)
{
	FrameworkColumn *column = palloc0(sizeof(FrameworkColumn));
	char	   *copy = pstrdup(spec);
	char	   *rest = strchr(copy, ' ');
	size_t		length = strlen(copy);

	if (length > 0 && copy[length - 1] == '?')
	{
		column->optional = true;
		copy[length - 1] = '\0';
	}
	if (rest)
		*rest++ = '\0';
	column->name = copy;
	while (rest)
	{
		char	   *next = strchr(rest, '|');

		if (next)
			*next++ = '\0';
		column->types = lappend(column->types, rest);
		rest = next;
	}
	return column;
}

static RowWritten
parse_row_written(const char *word)
{
	return strcmp(word, "with the migration") == 0 ? ROW_WITH :
		strcmp(word, "after the migration") == 0 ? ROW_AFTER :
		strcmp(word, "before the migration") == 0 ? ROW_BEFORE : ROW_ELSEWHERE;
}

static Framework *
read_definition(HeapTuple tuple, TupleDesc desc)
{
	Framework  *framework = palloc0(sizeof(Framework));
	bool		absent;
	bool		isnull;
	ListCell   *lc;

	framework->name = text_of(tuple, desc, COLUMN_NAME);
	framework->table_name = text_of(tuple, desc, COLUMN_TABLE_NAME);
	foreach(lc, texts_of(tuple, desc, COLUMN_COLUMNS, NULL))
		framework->columns = lappend(framework->columns, parse_column(lfirst(lc)));
	framework->beside = text_of(tuple, desc, COLUMN_BESIDE);
	framework->label = text_of(tuple, desc, COLUMN_LABEL);
	framework->version = text_of(tuple, desc, COLUMN_VERSION);
	framework->applied = text_of(tuple, desc, COLUMN_APPLIED);
	framework->row_written = parse_row_written(text_of(tuple, desc, COLUMN_ROW_WRITTEN));
	framework->by_statement = strcmp(text_of(tuple, desc, COLUMN_TRANSACTIONS), "statement") == 0;
	framework->linear_by = texts_of(tuple, desc, COLUMN_LINEAR_BY, &absent);
	framework->linear = !absent;
	framework->parts = texts_of(tuple, desc, COLUMN_PARTS, NULL);
	framework->helpers = texts_of(tuple, desc, COLUMN_HELPERS, NULL);
	framework->schema_name = text_of(tuple, desc, COLUMN_SCHEMA_NAME);
	framework->one_row = DatumGetBool(heap_getattr(tuple, COLUMN_ONE_ROW, desc, &isnull));
	framework->seeded = DatumGetBool(heap_getattr(tuple, COLUMN_SEEDED, desc, &isnull));
	return framework;
}

/* In the order in which they are tried. */
static int
compare_definitions(const ListCell *a, const ListCell *b)
{
	const Framework *x = lfirst(a);
	const Framework *y = lfirst(b);

	if (x->seeded != y->seeded)
		return x->seeded ? 1 : -1;
	if ((x->beside == NULL) != (y->beside == NULL))
		return x->beside == NULL ? 1 : -1;
	return strcmp(x->name, y->name);
}

static List *
read_definitions(void)
{
	Relation	rel = history_open(FRAMEWORKS, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	List	   *list = NIL;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		list = lappend(list, read_definition(tuple, RelationGetDescr(rel)));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	list_sort(list, compare_definitions);
	return list;
}

static Oid
frameworks_relid(void)
{
	Oid			namespace = get_namespace_oid(SAFEMIG_SCHEMA, true);

	return OidIsValid(namespace) ? get_relname_relid(FRAMEWORKS, namespace) : InvalidOid;
}

static void
on_relation_change(Datum arg, Oid relid)
{
	if (!OidIsValid(relid) || relid == definitions_relid)
		definitions_valid = known_valid = false;
	else if (known_valid)
		(void) hash_search(known_tables, &relid, HASH_REMOVE, NULL);
}

static void
load_definitions(void)
{
	Oid			relid = frameworks_relid();
	MemoryContext old;

	if (definitions_valid && relid == definitions_relid)
		return;
	if (!callback_registered)
		CacheRegisterRelcacheCallback(on_relation_change, (Datum) 0);
	callback_registered = true;
	/* somebody may still hold what was read before */
	if (definitions_context)
		MemoryContextSetParent(definitions_context, TopTransactionContext);
	definitions_context = AllocSetContextCreate(TopMemoryContext, "safemig frameworks",
												ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(definitions_context);
	known_valid = false;
	definitions = NIL;
	definitions_relid = relid;
	/* news that come while it is read are not to be lost */
	definitions_valid = true;
	if (OidIsValid(relid))
		definitions = read_definitions();
	MemoryContextSwitchTo(old);
}

List *
frameworks_known(void)
{
	load_definitions();
	return definitions;
}

/* ---- whose table is it? ---- */

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

static Form_pg_attribute
attribute_by_name(TupleDesc desc, const char *name)
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
		Form_pg_attribute att = attribute_by_name(desc, column->name);

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
prepare_known_tables(void)
{
	HASHCTL		info = {.keysize = sizeof(Oid), .entrysize = sizeof(KnownTable)};

	load_definitions();
	if (known_valid)
		return;
	if (known_tables)
		hash_destroy(known_tables);
	info.hcxt = TopMemoryContext;
	known_tables = hash_create("safemig framework tables", 64, &info,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	known_valid = true;
}

/* NULL: it is none's. */
const Framework *
framework_of(Oid relid, FrameworkTable *table)
{
	KnownTable	known = {relid, NULL, FRAMEWORK_NOTHING};
	KnownTable *entry;
	bool		found;

	*table = FRAMEWORK_NOTHING;
	if (!may_be_history(relid))
		return NULL;
	prepare_known_tables();
	entry = hash_search(known_tables, &relid, HASH_FIND, &found);
	if (found)
		known = *entry;
	/* to open it may bring news that make the table of all others void */
	else if (definitions != NIL && find_out(&known))
	{
		prepare_known_tables();
		entry = hash_search(known_tables, &relid, HASH_ENTER, NULL);
		*entry = known;
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

/* ---- what a row says ---- */

/* SELECT of the three expressions; its parameters are the columns there. */
static char *
row_query(const Framework *framework, TupleDesc desc, Oid *types, int *ntypes)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT (%s)::pg_catalog.text, (%s)::pg_catalog.text,"
					 " COALESCE((%s)::pg_catalog.bool, false) FROM (SELECT ",
					 framework->label, framework->version, framework->applied);
	*ntypes = 0;
	foreach(lc, framework->columns)
	{
		FrameworkColumn *column = lfirst(lc);
		Form_pg_attribute att = desc ? attribute_by_name(desc, column->name) : NULL;

		if (foreach_current_index(lc) > 0)
			appendStringInfoString(&buf, ", ");
		if (att)
		{
			types[(*ntypes)++] = att->atttypid;
			appendStringInfo(&buf, "$%d", *ntypes);
		}
		else
			appendStringInfo(&buf, "NULL::%s", (char *) linitial(column->types));
		appendStringInfo(&buf, " AS %s", quote_identifier(column->name));
	}
	appendStringInfoString(&buf, ") r");
	return buf.data;
}

static char *
whole_name(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
									  RelationGetRelationName(rel));
}

static char *
line_of_row(const Framework *framework, Relation rel, TupleTableSlot *slot)
{
	TupleDesc	desc = RelationGetDescr(rel);
	StringInfoData buf;
	ListCell   *lc;

	if (!framework->linear)
		return NULL;
	initStringInfo(&buf);
	appendStringInfoString(&buf, whole_name(rel));
	foreach(lc, framework->linear_by)
	{
		Form_pg_attribute att = attribute_by_name(desc, lfirst(lc));
		bool		isnull = true;
		Datum		value = att ? slot_getattr(slot, att->attnum, &isnull) : (Datum) 0;
		Oid			output;
		bool		varlena;

		if (isnull)
			continue;
		getTypeOutputInfo(att->atttypid, &output, &varlena);
		appendStringInfo(&buf, " %s=%s", NameStr(att->attname),
						 OidOutputFunctionCall(output, value));
	}
	return buf.data;
}

static void
evaluate(const char *query, int ntypes, Oid *types, Datum *values, const char *nulls,
		 MemoryContext context, HistoryRow *row)
{
	TupleDesc	desc;
	HeapTuple	tuple;
	MemoryContext old;

	SPI_connect();
	if (SPI_execute_with_args(query, ntypes, types, values, nulls, true, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not read a row of a history table");
	desc = SPI_tuptable->tupdesc;
	tuple = SPI_tuptable->vals[0];
	old = MemoryContextSwitchTo(context);
	row->label = text_of(tuple, desc, 1);
	row->version = text_of(tuple, desc, 2);
	row->applied = DatumGetBool(heap_getattr(tuple, 3, desc, &(bool) {false}));
	MemoryContextSwitchTo(old);
	SPI_finish();
	if (row->label == NULL)
		row->label = pstrdup(row->version ? row->version : "");
}

HistoryRow *
framework_read_row(const Framework *framework, Relation rel, TupleTableSlot *slot)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			n = list_length(framework->columns);
	Oid		   *types = palloc(n * sizeof(Oid));
	Datum	   *values = palloc(n * sizeof(Datum));
	char	   *nulls = palloc(n + 1);
	HistoryRow *row = palloc0(sizeof(HistoryRow));
	int			ntypes;
	char	   *query = row_query(framework, desc, types, &ntypes);
	int			i = 0;
	Frame		frame;
	ListCell   *lc;

	foreach(lc, framework->columns)
	{
		Form_pg_attribute att = attribute_by_name(desc, ((FrameworkColumn *) lfirst(lc))->name);
		bool		isnull;

		if (att == NULL)
			continue;
		values[i] = slot_getattr(slot, att->attnum, &isnull);
		nulls[i++] = isnull ? 'n' : ' ';
	}
	nulls[i] = '\0';
	frame_become(&frame, rel->rd_rel->relowner);
	evaluate(query, ntypes, types, values, nulls, CurrentMemoryContext, row);
	frame_unpin(&frame);
	row->history = whole_name(rel);
	row->line = line_of_row(framework, rel, slot);
	return row;
}

/* ---- all rows ---- */

/* Nobody has run more migrations; a table that has more rows is somebody's joke. */
#define ROWS_READ	100000

/* What they say, and which transaction wrote each, as a number. */
static char *
rows_query(const Framework *framework, Relation rel)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT (%s)::pg_catalog.text, (%s)::pg_catalog.text,"
					 " COALESCE((%s)::pg_catalog.bool, false), safemig_xmin::text::bigint, safemig_ctid"
					 " FROM (SELECT xmin AS safemig_xmin, ctid AS safemig_ctid",
					 framework->label, framework->version, framework->applied);
	foreach(lc, framework->columns)
	{
		FrameworkColumn *column = lfirst(lc);
		const char *name = quote_identifier(column->name);

		if (attribute_by_name(RelationGetDescr(rel), column->name))
			appendStringInfo(&buf, ", %s", name);
		else
			appendStringInfo(&buf, ", NULL::%s AS %s", (char *) linitial(column->types), name);
	}
	appendStringInfo(&buf, " FROM ONLY %s LIMIT %d) r", whole_name(rel), ROWS_READ);
	return buf.data;
}

typedef struct ReadRows
{
	const Framework *framework;
	Relation	rel;
	List	   *rows;			/* of FoundRow* */
} ReadRows;

static bool
read_rows(void *arg)
{
	ReadRows   *read = arg;
	const Framework *framework = read->framework;
	Relation	rel = read->rel;
	MemoryContext context = CurrentMemoryContext;
	char	   *query = rows_query(framework, rel);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Frame		frame;

	frame_become(&frame, rel->rd_rel->relowner);
	SPI_connect();
	if (SPI_execute(query, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read \"%s\"", RelationGetRelationName(rel));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		MemoryContext old = MemoryContextSwitchTo(context);
		FoundRow   *row = palloc0(sizeof(FoundRow));
		bool		isnull;

		row->row.label = text_of(tuple, desc, 1);
		row->row.version = text_of(tuple, desc, 2);
		row->row.applied = DatumGetBool(heap_getattr(tuple, 3, desc, &isnull));
		row->xmin = (TransactionId) DatumGetInt64(heap_getattr(tuple, 4, desc, &isnull));
		row->tid = *(ItemPointer) DatumGetPointer(heap_getattr(tuple, 5, desc, &isnull));
		if (row->row.label == NULL)
			row->row.label = pstrdup(row->row.version ? row->row.version : "");
		row->row.history = whole_name(rel);
		if (framework->linear &&
			table_tuple_fetch_row_version(rel, &row->tid, GetActiveSnapshot(), slot))
			row->row.line = line_of_row(framework, rel, slot);
		read->rows = lappend(read->rows, row);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	frame_unpin(&frame);
	ExecDropSingleTupleTableSlot(slot);
	return true;
}

/*
 * Of the rows that are there, in no order: of FoundRow*.  A table that its owner
 * has made unreadable (row security that is forced) is in nobody's way.
 */
List *
framework_read_rows(const Framework *framework, Relation rel)
{
	ReadRows	read = {framework, rel};
	ErrorData  *error = attempt(read_rows, &read);

	if (error && ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	return error ? NIL : read.rows;
}

/* ---- changing the definitions ---- */

/* What is wrong in one would be so for everybody who writes any row. */
static void
check_definition(const Framework *framework)
{
	int			ntypes;
	char	   *query = row_query(framework, NULL, NULL, &ntypes);
	HistoryRow	row;
	ListCell   *lc;

	if (framework->table_name)
		(void) matches(framework->table_name, "");
	(void) matches_any(framework->parts, "");
	(void) matches_any(framework->helpers, "");
	foreach(lc, framework->columns)
	{
		FrameworkColumn *column = lfirst(lc);

		if (column->types == NIL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("column \"%s\" of framework \"%s\" has no type",
							column->name, framework->name),
					 errhint("Each element of columns is a name, a space and a type, as in \"id bigint\".")));
	}
	evaluate(query, 0, NULL, NULL, NULL, CurrentMemoryContext, &row);
}

/* safemig.on_frameworks_change(): after each statement that changes them */
Datum
safemig_on_frameworks_change(PG_FUNCTION_ARGS)
{
	ListCell   *lc;
	Frame		frame;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function %s was not called by a trigger",
						"safemig_on_frameworks_change")));
	CommandCounterIncrement();
	frame_become(&frame, GetUserId());
	foreach(lc, read_definitions())
		check_definition(lfirst(lc));
	frame_unpin(&frame);
	CacheInvalidateRelcacheByRelid(frameworks_relid());
	PG_RETURN_POINTER(NULL);
}
