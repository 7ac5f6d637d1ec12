/*-------------------------------------------------------------------------
 *
 * shell.c
 *	  A base type becomes the shell again that it was made from.
 *
 * PostgreSQL fills a shell under its OID but never empties one: DROP TYPE
 * would take the functions along that were made for it.  What else uses the
 * type by now is in the way.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "capture/capture.h"
#include "keep/vault.h"

PG_FUNCTION_INFO_V1(safemig_empty_type);

static void
add_user(Form_pg_depend form, List **result)
{
	ObjectAddress *user = palloc(sizeof(ObjectAddress));

	if (form->classid == ProcedureRelationId)
		return;
	ObjectAddressSubSet(*user, form->classid, form->objid, form->objsubid);
	*result = lappend(*result, user);
}

static void
check_only_functions_use(Oid typid, Oid array)
{
	List	   *users = NIL;
	ListCell   *lc;

	each_type_dependant(typid, add_user, &users);
	foreach(lc, users)
	{
		ObjectAddress *user = lfirst(lc);

		if (user->classId == TypeRelationId && user->objectId == array)
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("type %s cannot become a shell again: %s uses it",
						format_type_be(typid), getObjectDescription(user, false)),
				 errhint("Drop what uses it first.")));
	}
}

/* Its array type goes; to whom that belongs is no more of interest. */
static void
drop_array_type(Oid array)
{
	ObjectAddress address;

	if (!OidIsValid(array))
		return;
	(void) deleteDependencyRecordsForClass(TypeRelationId, array, TypeRelationId,
										   DEPENDENCY_INTERNAL);
	CommandCounterIncrement();
	ObjectAddressSet(address, TypeRelationId, array);
	performDeletion(&address, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
}

/* The row as a new shell has it. */
static void
make_shell(HeapTuple tuple, Relation catalog)
{
	Form_pg_type form = (Form_pg_type) GETSTRUCT(tuple);
	Datum		values[Natts_pg_type] = {0};
	bool		nulls[Natts_pg_type] = {false};
	bool		replaces[Natts_pg_type] = {false};
	HeapTuple	shell;

	form->typlen = sizeof(int32);
	form->typbyval = true;
	form->typtype = TYPTYPE_PSEUDO;
	form->typcategory = TYPCATEGORY_PSEUDOTYPE;
	form->typispreferred = false;
	form->typisdefined = false;
	form->typdelim = ',';
	form->typsubscript = form->typelem = form->typarray = InvalidOid;
	form->typinput = F_SHELL_IN;
	form->typoutput = F_SHELL_OUT;
	form->typreceive = form->typsend = InvalidOid;
	form->typmodin = form->typmodout = form->typanalyze = InvalidOid;
	form->typalign = TYPALIGN_INT;
	form->typstorage = TYPSTORAGE_PLAIN;
	form->typcollation = InvalidOid;
	replaces[Anum_pg_type_typdefault - 1] = nulls[Anum_pg_type_typdefault - 1] = true;
	replaces[Anum_pg_type_typdefaultbin - 1] = nulls[Anum_pg_type_typdefaultbin - 1] = true;
	shell = heap_modify_tuple(tuple, RelationGetDescr(catalog), values, nulls, replaces);
	CatalogTupleUpdate(catalog, &shell->t_self, shell);
	CommandCounterIncrement();
}

static void
empty_type(Oid typid)
{
	Relation	catalog = table_open(TypeRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(TYPEOID, ObjectIdGetDatum(typid));
	Form_pg_type form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", typid);
	form = (Form_pg_type) GETSTRUCT(tuple);
	if (form->typtype != TYPTYPE_BASE || !form->typisdefined || type_is_dependent(typid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a base type", NameStr(form->typname))));
	vault_freeze(list_make1_oid(typid), NIL, NIL, NIL);
	check_only_functions_use(typid, form->typarray);
	drop_array_type(form->typarray);
	/* a member of an extension stays one */
	(void) deleteDependencyRecordsForClass(TypeRelationId, typid, ProcedureRelationId,
										   DEPENDENCY_NORMAL);
	(void) deleteDependencyRecordsForClass(TypeRelationId, typid, TypeRelationId,
										   DEPENDENCY_NORMAL);
	make_shell(tuple, catalog);
	table_close(catalog, RowExclusiveLock);
}

/* safemig.empty_type(type_name text) */
Datum
safemig_empty_type(PG_FUNCTION_ARGS)
{
	ObjectAddress address;
	Oid			typid;
	Frame		frame;

	check_is_extension_owner();
	own_work_begin();
	frame_become_owner(&frame);
	typid = type_named(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	LockDatabaseObject(TypeRelationId, typid, 0, AccessExclusiveLock);
	ObjectAddressSet(address, TypeRelationId, typid);
	capture_internal_begin("EMPTY TYPE", list_make1(&address));
	empty_type(typid);
	capture_internal_end();
	frame_unpin(&frame);
	own_work_end();
	PG_RETURN_VOID();
}
