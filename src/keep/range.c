/*-------------------------------------------------------------------------
 *
 * range.c
 *	  What a range type has beside other types: functions and a multirange.
 *
 * ALTER TYPE SET SCHEMA leaves its constructor functions behind, and in some
 * versions the multirange; DROP SCHEMA of where those are would take the
 * range along.  Its canonical and subtype_diff functions belong to a user,
 * who may replace or drop them: so a range in the vault has none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_range.h"
#include "catalog/pg_shdepend.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "keep/vault.h"

PG_FUNCTION_INFO_V1(safemig_set_range_functions);

/* The row of pg_range for a range or multirange type, or NULL. */
static HeapTuple
range_tuple(Oid typid)
{
	HeapTuple	tuple = SearchSysCacheCopy1(RANGETYPE, ObjectIdGetDatum(typid));

	if (!HeapTupleIsValid(tuple) && type_is_multirange(typid))
		tuple = SearchSysCacheCopy1(RANGETYPE,
									ObjectIdGetDatum(get_multirange_range(typid)));
	return tuple;
}

bool
type_analyze_runs_user_code(Oid typid)
{
	HeapTuple	tuple = range_tuple(getBaseType(typid));
	Form_pg_range form;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_range) GETSTRUCT(tuple);
	return form->rngsubdiff >= FirstUnpinnedObjectId ||
		form->rngcanonical >= FirstUnpinnedObjectId;
}

/* ---- ranges: their functions and their multirange ---- */

static char *
function_name(Oid function)
{
	return OidIsValid(function) ? format_procedure_qualified(function) : pstrdup("");
}

/* Replaces the functions of a range type, and what it depends on. */
static void
store_range_functions(Oid typid, Oid canonical, Oid subdiff)
{
	Relation	catalog = table_open(RangeRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(RANGETYPE, ObjectIdGetDatum(typid));
	Form_pg_range form;
	Oid			functions[2] = {canonical, subdiff};
	ObjectAddress type;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for range type %u", typid);
	form = (Form_pg_range) GETSTRUCT(tuple);
	ObjectAddressSet(type, TypeRelationId, typid);
	if (OidIsValid(form->rngcanonical))
		(void) deleteDependencyRecordsForSpecific(TypeRelationId, typid, DEPENDENCY_NORMAL,
												  ProcedureRelationId, form->rngcanonical);
	if (OidIsValid(form->rngsubdiff))
		(void) deleteDependencyRecordsForSpecific(TypeRelationId, typid, DEPENDENCY_NORMAL,
												  ProcedureRelationId, form->rngsubdiff);
	form->rngcanonical = canonical;
	form->rngsubdiff = subdiff;
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	for (int i = 0; i < 2; i++)
	{
		ObjectAddress function;

		if (!OidIsValid(functions[i]))
			continue;
		ObjectAddressSet(function, ProcedureRelationId, functions[i]);
		recordDependencyOn(&type, &function, DEPENDENCY_NORMAL);
	}
	heap_freetuple(tuple);
	table_close(catalog, RowExclusiveLock);
	CommandCounterIncrement();
}

static void
add_constructor(Form_pg_depend form, List **result)
{
	if (form->classid == ProcedureRelationId && form->deptype == DEPENDENCY_INTERNAL)
		*result = list_append_unique_oid(*result, form->objid);
}

static List *
constructors_of(Oid typid)
{
	List	   *functions = NIL;

	each_type_dependant(typid, add_constructor, &functions);
	return functions;
}

/* "range constructor 2 schema": by what tells it from the others of its type. */
static char *
constructor_detail(Oid typid, Form_pg_proc form, const char *what)
{
	return psprintf("%s constructor %d%s %s", type_is_multirange(typid) ? "multirange" : "range",
					form->pronargs, OidIsValid(form->provariadic) ? " variadic" : "", what);
}

static HeapTuple
function_tuple(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	return tuple;
}

/*
 * The constructor functions of a range belong to it, but do not move with it,
 * and each can be moved and given away by itself: DROP SCHEMA of where they
 * are would take the type along.
 */
static void
keep_constructors(Oid typid, Oid vault, Kept *kept)
{
	ListCell   *lc;

	foreach(lc, constructors_of(typid))
	{
		HeapTuple	tuple = function_tuple(lfirst_oid(lc));
		Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);

		kept_add_detail(kept, constructor_detail(typid, form, "schema"),
						get_namespace_name(form->pronamespace));
		kept_add_detail(kept, constructor_detail(typid, form, "owner"),
						GetUserNameFromId(form->proowner, false));
		ReleaseSysCache(tuple);
		object_move(ProcedureRelationId, lfirst_oid(lc), vault, vault_role());
	}
}

static void
restore_constructors(Oid typid, const Kept *kept)
{
	ListCell   *lc;

	foreach(lc, constructors_of(typid))
	{
		HeapTuple	tuple = function_tuple(lfirst_oid(lc));
		Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);
		const char *schema = kept_need_detail(kept, constructor_detail(typid, form, "schema"));
		const char *owner = kept_need_detail(kept, constructor_detail(typid, form, "owner"));

		ReleaseSysCache(tuple);
		object_move(ProcedureRelationId, lfirst_oid(lc),
					restore_namespace(kept, schema), restore_owner(kept, owner));
	}
}

/* An array has none, nor has a multirange that followed its range to an owner. */
static bool
has_owner_entry(Oid typid)
{
	Relation	rel = table_open(SharedDependRelationId, AccessShareLock);
	ScanKeyData key[3];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&key[0], Anum_pg_shdepend_dbid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(MyDatabaseId));
	ScanKeyInit(&key[1], Anum_pg_shdepend_classid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(TypeRelationId));
	ScanKeyInit(&key[2], Anum_pg_shdepend_objid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(typid));
	scan = systable_beginscan(rel, SharedDependDependerIndexId, true, NULL, 3, key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = ((Form_pg_shdepend) GETSTRUCT(tuple))->deptype == SHARED_DEPENDENCY_OWNER;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/*
 * Sets schema and owner of a type that SET SCHEMA may not know: a multirange,
 * and its array.
 */
static void
move_type_row(Oid typid, Oid namespace, Oid owner)
{
	Relation	catalog = table_open(TypeRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(TYPEOID, ObjectIdGetDatum(typid));
	Form_pg_type form;
	Oid			source;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", typid);
	form = (Form_pg_type) GETSTRUCT(tuple);
	source = form->typnamespace;
	form->typnamespace = namespace;
	form->typowner = owner;
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	/* an array has no such dependency, a multirange not in every version */
	(void) changeDependencyFor(TypeRelationId, typid, NamespaceRelationId,
							   source, namespace);
	if (has_owner_entry(typid))
		changeDependencyOnOwner(TypeRelationId, typid, owner);
	heap_freetuple(tuple);
	table_close(catalog, RowExclusiveLock);
	CommandCounterIncrement();
}

static void
move_multirange(Oid multirange, Oid namespace, Oid owner)
{
	make_array_name_free(multirange, namespace);
	move_type_row(multirange, namespace, owner);
	if (OidIsValid(get_array_type(multirange)))
		move_type_row(get_array_type(multirange), namespace, owner);
}

/* ---- on the way in and out ---- */

/*
 * Takes down what range_keep() is about to change.  The multirange may stand
 * in another schema than the range, and then goes into another vault schema.
 */
void
range_keep(Oid typid, Oid vault, Kept *kept)
{
	HeapTuple	tuple = range_tuple(typid);
	Form_pg_range form;
	Oid			multirange = get_range_multirange(typid);
	Oid			source = get_type_namespace(multirange);
	Oid			vault_source;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for range type %u", typid);
	form = (Form_pg_range) GETSTRUCT(tuple);
	kept_add_detail(kept, "canonical", function_name(form->rngcanonical));
	kept_add_detail(kept, "subtype_diff", function_name(form->rngsubdiff));
	kept_add_detail(kept, "multirange schema", get_namespace_name(source));
	/* which ALTER TYPE of the range need not have changed */
	kept_add_detail(kept, "multirange owner",
					GetUserNameFromId(get_type_owner(multirange), false));

	strip_acl(TypeRelationId, multirange, 0);
	store_range_functions(typid,
						  form->rngcanonical < FirstUnpinnedObjectId ? form->rngcanonical : InvalidOid,
						  form->rngsubdiff < FirstUnpinnedObjectId ? form->rngsubdiff : InvalidOid);
	keep_constructors(typid, vault, kept);
	vault_source = vault_schema_for(kept->migration, kept->command, source);
	move_multirange(multirange, vault_source, vault_role());
	keep_constructors(multirange, vault_source, kept);
}

/* A function that is not there yet is left to safemig.set_range_functions(). */
static Oid
find_function(const char *name)
{
	LOCAL_FCINFO(fcinfo, 1);
	Datum		result;

	if (name[0] == '\0')
		return InvalidOid;
	InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = CStringGetTextDatum(name);
	fcinfo->args[0].isnull = false;
	result = to_regprocedure(fcinfo);
	return fcinfo->isnull ? InvalidOid : DatumGetObjectId(result);
}

void
range_restore(Oid typid, Oid owner, const Kept *kept)
{
	Oid			multirange = get_range_multirange(typid);
	Oid			vault = get_type_namespace(multirange);
	Oid			other = restore_namespace(kept, kept_need_detail(kept, "multirange schema"));
	const char *multirange_owner = kept_detail(kept, "multirange owner");

	check_type_name_free(kept, get_type_name(multirange), other);
	make_array_name_free(multirange, other);
	move_multirange(multirange, other, multirange_owner ?
					restore_owner(kept, multirange_owner) : owner);
	restore_constructors(multirange, kept);
	restore_constructors(typid, kept);
	store_range_functions(typid, find_function(kept_need_detail(kept, "canonical")),
						  find_function(kept_need_detail(kept, "subtype_diff")));
	vault_drop_if_empty(vault);
}

/*
 * safemig.set_range_functions(type_name text, canonical text, subtype_diff text)
 *
 * For a rollback whose order is: the range, then the functions that take it
 * as an argument, then this.  NULL: none.
 */
Datum
safemig_set_range_functions(PG_FUNCTION_ARGS)
{
	ObjectAddress address;
	Oid			functions[2] = {InvalidOid, InvalidOid};
	Frame		frame;
	Oid			typid;

	check_is_extension_owner();
	frame_become_owner(&frame);
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument 1 must not be null")));
	typid = type_named(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (get_typtype(typid) != TYPTYPE_RANGE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is not a range type", format_type_be_qualified(typid))));
	for (int i = 0; i < 2; i++)
		if (!PG_ARGISNULL(i + 1))
			functions[i] = DatumGetObjectId(DirectFunctionCall1(regprocedurein,
																CStringGetDatum(text_to_cstring(PG_GETARG_TEXT_PP(i + 1)))));
	LockDatabaseObject(TypeRelationId, typid, 0, AccessExclusiveLock);
	ObjectAddressSet(address, TypeRelationId, typid);
	capture_internal_begin("SET RANGE FUNCTIONS", list_make1(&address));
	store_range_functions(typid, functions[0], functions[1]);
	capture_internal_end();
	frame_unpin(&frame);
	PG_RETURN_VOID();
}
