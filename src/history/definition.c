/*-------------------------------------------------------------------------
 *
 * definition.c
 *	  safemig.frameworks: how each framework keeps its history.
 *
 * It is read when it is first needed, and again when it has changed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "compat.h"
#include "history/framework.h"

PG_FUNCTION_INFO_V1(safemig_on_frameworks_change);

#define FRAMEWORKS	"frameworks"

static MemoryContext definitions_context = NULL;
static List *definitions = NIL; /* of Framework* */
static Oid	definitions_relid = InvalidOid;
static bool definitions_valid = false;
static uint64 definitions_read = 0;
static bool callback_registered = false;

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
		definitions_valid = false;
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
	definitions_read++;
	definitions = NIL;
	definitions_relid = relid;
	/* news that come while it is read are not to be lost */
	definitions_valid = true;
	if (OidIsValid(relid))
		definitions = read_definitions();
	MemoryContextSwitchTo(old);
}

/* In the order in which they are tried: of Framework* */
List *
frameworks_known(void)
{
	load_definitions();
	return definitions;
}

/* Changes when what frameworks_known gave does not count any more. */
uint64
frameworks_version(void)
{
	load_definitions();
	return definitions_read;
}

/* ---- changing them ---- */

/* What is wrong in one would be so for everybody who writes any row. */
static void
check_definition(const Framework *framework)
{
	ListCell   *lc;

	framework_check_names(framework);
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
	framework_check_expressions(framework);
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