/*-------------------------------------------------------------------------
 *
 * operator.c
 *	  Shells of operators.
 *
 * An operator that another one names as its commutator or negator before it
 * is made stands as a shell; CREATE OPERATOR makes it whole.  The reverse of
 * that cannot drop it, since the other one would forget it, and SQL has no
 * word for making a shell.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_operator.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "keep/vault.h"

PG_FUNCTION_INFO_V1(safemig_make_operator_shell);

/* Ties to others stay: they were what made a shell of it. */
static void
make_shell(Oid operator)
{
	Relation	catalog = table_open(OperatorRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	form->oprcanmerge = false;
	form->oprcanhash = false;
	form->oprresult = InvalidOid;
	form->oprcode = InvalidOid;
	form->oprrest = InvalidOid;
	form->oprjoin = InvalidOid;
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	(void) makeOperatorDependencies(tuple, false, true);
	heap_freetuple(tuple);
	table_close(catalog, RowExclusiveLock);
	CommandCounterIncrement();
}

static Oid
create_shell(const char *name, Oid namespace, Oid left, Oid right)
{
	Relation	catalog = table_open(OperatorRelationId, RowExclusiveLock);
	Oid			oid = GetNewOidWithIndex(catalog, OperatorOidIndexId,
										 Anum_pg_operator_oid);
	Datum		values[Natts_pg_operator] = {0};
	bool		nulls[Natts_pg_operator] = {false};
	NameData	oprname;
	HeapTuple	tuple;

	namestrcpy(&oprname, name);
	values[Anum_pg_operator_oid - 1] = ObjectIdGetDatum(oid);
	values[Anum_pg_operator_oprname - 1] = NameGetDatum(&oprname);
	values[Anum_pg_operator_oprnamespace - 1] = ObjectIdGetDatum(namespace);
	values[Anum_pg_operator_oprowner - 1] = ObjectIdGetDatum(GetUserId());
	values[Anum_pg_operator_oprkind - 1] = CharGetDatum(OidIsValid(left) ? 'b' : 'l');
	values[Anum_pg_operator_oprleft - 1] = ObjectIdGetDatum(left);
	values[Anum_pg_operator_oprright - 1] = ObjectIdGetDatum(right);
	tuple = heap_form_tuple(RelationGetDescr(catalog), values, nulls);
	CatalogTupleInsert(catalog, tuple);
	(void) makeOperatorDependencies(tuple, false, false);
	heap_freetuple(tuple);
	InvokeObjectPostCreateHook(OperatorRelationId, oid, 0);
	table_close(catalog, RowExclusiveLock);
	CommandCounterIncrement();
	return oid;
}

static Oid
type_argument(FunctionCallInfo fcinfo, int argument)
{
	if (PG_ARGISNULL(argument))
		return InvalidOid;
	return type_named(text_to_cstring(PG_GETARG_TEXT_PP(argument)));
}

/*
 * safemig.make_operator_shell(schema text, name text, leftarg text,
 * rightarg text)
 */
Datum
safemig_make_operator_shell(PG_FUNCTION_ARGS)
{
	char	   *name;
	Oid			namespace;
	Oid			left;
	Oid			right;
	Oid			operator;
	ObjectAddress address;
	Frame		frame;

	check_is_extension_owner();
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("schema and name of the operator must not be null")));
	frame_become_owner(&frame);
	namespace = get_namespace_oid(text_to_cstring(PG_GETARG_TEXT_PP(0)), false);
	name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	left = type_argument(fcinfo, 2);
	right = type_argument(fcinfo, 3);
	operator = GetSysCacheOid4(OPERNAMENSP, Anum_pg_operator_oid,
							   CStringGetDatum(name), ObjectIdGetDatum(left),
							   ObjectIdGetDatum(right),
							   ObjectIdGetDatum(namespace));
	if (OidIsValid(operator))
	{
		ObjectAddressSet(address, OperatorRelationId, operator);
		capture_internal_begin("MAKE OPERATOR SHELL", list_make1(&address));
		make_shell(operator);
	}
	else
	{
		capture_internal_begin("MAKE OPERATOR SHELL", NIL);
		operator = create_shell(name, namespace, left, right);
		capture_internal_made(OperatorRelationId, operator);
	}
	capture_internal_end();
	frame_unpin(&frame);
	PG_RETURN_VOID();
}
