/*-------------------------------------------------------------------------
 *
 * function.c
 *	  Takes names and defaults of a function's arguments away; stores settings.
 *
 * CREATE OR REPLACE FUNCTION gives an argument a name or a default, and never
 * takes one away, since somebody may call the function by it.  Its reverse has
 * to, and what hangs on the function shall stay.  So here the names of input
 * arguments and all defaults are forgotten; the CREATE OR REPLACE that follows
 * sets those that shall be.
 *
 * A stored call holds its arguments by position, but not the defaults of those
 * that it leaves out: what counts on a default that shall not be any more is
 * a conflict.
 *
 * Settings that PostgreSQL lets nobody set under another identity than his own
 * are stored as they were.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_index.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "nodes/readfuncs.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "keep/vault.h"

PG_FUNCTION_INFO_V1(safemig_forget_function_arguments);
PG_FUNCTION_INFO_V1(safemig_set_function_settings);

/* as many as an error about conflicts lists elsewhere */
#define MAX_CALLERS_SHOWN 20

typedef struct CallSearch
{
	Oid			function;
	int			needed;			/* so many arguments have no default */
	List	   *callers;		/* of ObjectAddress* */
} CallSearch;

/* ---- who counts on a default ---- */

static bool
call_walker(Node *node, CallSearch *search)
{
	if (node == NULL)
		return false;
	if (IsA(node, FuncExpr) &&
		((FuncExpr *) node)->funcid == search->function &&
		list_length(((FuncExpr *) node)->args) < search->needed)
		return true;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, call_walker, search, 0);
	return expression_tree_walker(node, call_walker, search);
}

/* All the expressions in a row of whatever catalog. */
static bool
row_has_call(CallSearch *search, Relation catalog, HeapTuple tuple)
{
	TupleDesc	desc = RelationGetDescr(catalog);

	for (int i = 0; i < desc->natts; i++)
	{
		Datum		value;
		bool		isnull;

		if (TupleDescAttr(desc, i)->atttypid != PG_NODE_TREEOID)
			continue;
		value = heap_getattr(tuple, i + 1, desc, &isnull);
		if (!isnull &&
			call_walker(stringToNode(TextDatumGetCString(value)), search))
			return true;
	}
	return false;
}

/* The row of a catalog whose first or given column holds that OID. */
static bool
catalog_has_call(CallSearch *search, Oid catalogid, Oid indexid,
				 AttrNumber key, Oid value)
{
	Relation	catalog = table_open(catalogid, AccessShareLock);
	ScanKeyData skey;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&skey, key, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(value));
	scan = systable_beginscan(catalog, indexid, OidIsValid(indexid), NULL, 1,
							  &skey);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = row_has_call(search, catalog, tuple);
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return found;
}

/* An index and a partitioned table keep theirs beside pg_class. */
static bool
object_has_call(CallSearch *search, const ObjectAddress *address)
{
	if (address->classId == RelationRelationId)
		return catalog_has_call(search, IndexRelationId, IndexRelidIndexId,
								Anum_pg_index_indexrelid, address->objectId) ||
			catalog_has_call(search, PartitionedRelationId,
							 PartitionedRelidIndexId,
							 Anum_pg_partitioned_table_partrelid,
							 address->objectId);
	/* the first column of every other catalog with expressions is the OID */
	return catalog_has_call(search, address->classId,
							is_objectclass_supported(address->classId) ?
							get_object_oid_index(address->classId) : InvalidOid,
							1, address->objectId);
}

static void
find_callers(CallSearch *search)
{
	ListCell   *lc;

	foreach(lc, dependencies_on(ProcedureRelationId, search->function))
	{
		Form_pg_depend depend = lfirst(lc);
		ObjectAddress *address = palloc(sizeof(ObjectAddress));

		ObjectAddressSet(*address, depend->classid, depend->objid);
		if (object_has_call(search, address))
			search->callers = lappend(search->callers, address);
	}
}

static void
check_no_callers(CallSearch *search)
{
	StringInfoData detail;
	ListCell   *lc;

	find_callers(search);
	if (search->callers == NIL)
		return;
	initStringInfo(&detail);
	foreach(lc, search->callers)
	{
		if (foreach_current_index(lc) == MAX_CALLERS_SHOWN)
		{
			appendStringInfo(&detail, "\nand %d more",
							 list_length(search->callers) - MAX_CALLERS_SHOWN);
			break;
		}
		if (detail.len > 0)
			appendStringInfoChar(&detail, '\n');
		appendStringInfoString(&detail,
							   getObjectDescription(lfirst(lc), false));
	}
	ereport(ERROR,
			(errcode(ERRCODE_SAFEMIG_CONFLICT),
			 errmsg("cannot remove the default of an argument of function %s: it is in use",
					format_procedure_qualified(search->function)),
			 errdetail_internal("%s", detail.data),
			 errhint("Take these back first, or drop them and create them again after the rollback.")));
}

/* ---- forgetting ---- */

/*
 * The names with those of input arguments blank.  Output arguments keep theirs,
 * which are part of the result and which no statement changes.  The result is
 * null when no name is left.
 */
static Datum
names_without_input(HeapTuple tuple, bool *isnull)
{
	Datum		value = SysCacheGetAttr(PROCOID, tuple,
										Anum_pg_proc_proargnames, isnull);
	Datum	   *names;
	Datum	   *modes = NULL;
	int			nnames;
	int			nmodes = 0;
	bool		no_modes;
	bool		any = false;

	if (*isnull)
		return (Datum) 0;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false,
					  TYPALIGN_INT, &names, NULL, &nnames);
	value = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proargmodes,
							&no_modes);
	if (!no_modes)
		deconstruct_array(DatumGetArrayTypeP(value), CHAROID, 1, true,
						  TYPALIGN_CHAR, &modes, NULL, &nmodes);
	for (int i = 0; i < nnames; i++)
	{
		char		mode = modes ? DatumGetChar(modes[i]) : FUNC_PARAM_IN;

		if (mode == FUNC_PARAM_IN || mode == FUNC_PARAM_VARIADIC)
			names[i] = CStringGetTextDatum("");
		else
			any = true;
	}
	*isnull = !any;
	return any ? PointerGetDatum(construct_array(names, nnames, TEXTOID, -1,
												 false, TYPALIGN_INT)) :
		(Datum) 0;
}

static void
forget_arguments(Oid function)
{
	Relation	catalog = table_open(ProcedureRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Datum		values[Natts_pg_proc] = {0};
	bool		nulls[Natts_pg_proc] = {0};
	bool		replaces[Natts_pg_proc] = {0};
	HeapTuple	changed;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	values[Anum_pg_proc_proargnames - 1] =
		names_without_input(tuple, &nulls[Anum_pg_proc_proargnames - 1]);
	values[Anum_pg_proc_pronargdefaults - 1] = Int16GetDatum(0);
	nulls[Anum_pg_proc_proargdefaults - 1] = true;
	replaces[Anum_pg_proc_proargnames - 1] = true;
	replaces[Anum_pg_proc_pronargdefaults - 1] = true;
	replaces[Anum_pg_proc_proargdefaults - 1] = true;
	changed = heap_modify_tuple(tuple, RelationGetDescr(catalog), values,
								nulls, replaces);
	CatalogTupleUpdate(catalog, &changed->t_self, changed);
	heap_freetuple(changed);
	ReleaseSysCache(tuple);
	table_close(catalog, RowExclusiveLock);
	CommandCounterIncrement();
}

/* regtypein() takes a number as it is, and the sign for none. */
Oid
type_named(const char *name)
{
	Oid			typid = DatumGetObjectId(DirectFunctionCall1(regtypein, CStringGetDatum(name)));

	if (!SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(typid)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("type \"%s\" does not exist", name)));
	return typid;
}

Oid
function_of_signature(text *signature)
{
	char	   *name = text_to_cstring(signature);
	Oid			function = DatumGetObjectId(DirectFunctionCall1(regprocedurein,
																CStringGetDatum(name)));

	/* it takes a number as it is, too */
	if (!SearchSysCacheExists1(PROCOID, ObjectIdGetDatum(function)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function %s does not exist", name)));
	LockDatabaseObject(ProcedureRelationId, function, 0, AccessExclusiveLock);
	return function;
}

/*
 * safemig.forget_function_arguments(signature text, defaults int)
 *
 * defaults is how many of the last arguments will have one again.
 */
Datum
safemig_forget_function_arguments(PG_FUNCTION_ARGS)
{
	CallSearch	search = {0};
	ObjectAddress address;
	Frame		frame;

	check_is_extension_owner();
	frame_become_owner(&frame);
	search.function = function_of_signature(PG_GETARG_TEXT_PP(0));
	search.needed = get_func_nargs(search.function) - PG_GETARG_INT32(1);

	ObjectAddressSet(address, ProcedureRelationId, search.function);
	capture_internal_begin("ALTER FUNCTION", list_make1(&address));
	check_no_callers(&search);
	forget_arguments(search.function);
	capture_internal_end();
	frame_unpin(&frame);
	PG_RETURN_VOID();
}

/* ---- settings ---- */

static void
store_settings(Oid function, Datum settings)
{
	Relation	catalog = table_open(ProcedureRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Datum		values[Natts_pg_proc] = {0};
	bool		nulls[Natts_pg_proc] = {0};
	bool		replaces[Natts_pg_proc] = {0};
	HeapTuple	changed;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	values[Anum_pg_proc_proconfig - 1] = settings;
	replaces[Anum_pg_proc_proconfig - 1] = true;
	changed = heap_modify_tuple(tuple, RelationGetDescr(catalog), values,
								nulls, replaces);
	CatalogTupleUpdate(catalog, &changed->t_self, changed);
	heap_freetuple(changed);
	ReleaseSysCache(tuple);
	table_close(catalog, RowExclusiveLock);
	CommandCounterIncrement();
}

/* safemig.set_function_settings(signature text, settings text) */
Datum
safemig_set_function_settings(PG_FUNCTION_ARGS)
{
	Datum		settings = OidInputFunctionCall(F_ARRAY_IN,
												text_to_cstring(PG_GETARG_TEXT_PP(1)),
												TEXTOID, -1);
	ObjectAddress address;
	Frame		frame;

	check_is_extension_owner();
	frame_become_owner(&frame);
	ObjectAddressSet(address, ProcedureRelationId,
					 function_of_signature(PG_GETARG_TEXT_PP(0)));
	capture_internal_begin("ALTER FUNCTION", list_make1(&address));
	store_settings(address.objectId, settings);
	capture_internal_end();
	frame_unpin(&frame);
	PG_RETURN_VOID();
}
