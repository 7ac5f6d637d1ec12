/*-------------------------------------------------------------------------
 *
 * enum.c
 *	  Takes a label away from an enum type, which PostgreSQL cannot.
 *
 * That is the reverse of ALTER TYPE ... ADD VALUE.  A stored value is the OID
 * of its label, so first it is proved that nothing holds it: no row, no
 * stored expression, no kept value (enum_use.c, enum_expression.c); and what
 * may go on mentioning it unseen is cleaned up (enum_leftover.c).  Tables that
 * a rollback took away are kept without values of the type.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "keep/enum_use.h"
#include "keep/vault.h"

PG_FUNCTION_INFO_V1(safemig_remove_enum_label);

/* as many as an error about conflicts lists elsewhere */
#define MAX_USES_SHOWN 20

static Oid
find_enum_type(const char *name)
{
	Oid			typid = type_named(name);

	if (get_typtype(typid) != TYPTYPE_ENUM)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is not an enum", format_type_be_qualified(typid))));
	/* as ALTER TYPE ... ADD VALUE does, and RENAME VALUE */
	LockDatabaseObject(TypeRelationId, typid, 0, ExclusiveLock);
	if (!SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(typid)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("type \"%s\" does not exist", name)));
	return typid;
}

static Oid
find_label(Oid typid, const char *label)
{
	HeapTuple	tuple = NULL;
	Oid			result;

	/* what does not fit into a name would only be cut off by it */
	if (strlen(label) < NAMEDATALEN)
		tuple = SearchSysCache2(ENUMTYPOIDNAME, ObjectIdGetDatum(typid),
								CStringGetDatum(label));
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("enum %s has no label \"%s\"",
						format_type_be_qualified(typid), label)));
	result = ((Form_pg_enum) GETSTRUCT(tuple))->oid;
	ReleaseSysCache(tuple);
	return result;
}

static void
check_unused(LabelSearch *search)
{
	StringInfoData detail;
	ListCell   *lc;

	if (search->uses == NIL)
		return;
	initStringInfo(&detail);
	foreach(lc, search->uses)
	{
		if (foreach_current_index(lc) == MAX_USES_SHOWN)
		{
			appendStringInfo(&detail, "\nand %d more",
							 list_length(search->uses) - MAX_USES_SHOWN);
			break;
		}
		if (detail.len > 0)
			appendStringInfoChar(&detail, '\n');
		appendStringInfoString(&detail, lfirst(lc));
	}
	ereport(ERROR,
			(errcode(ERRCODE_SAFEMIG_CONFLICT),
			 errmsg("cannot remove label \"%s\" of enum %s: it is in use",
					search->name, format_type_be_qualified(search->enumtype)),
			 errdetail_internal("%s", detail.data),
			 errhint("Give these another value, or prune the migration that keeps them. What the rollback itself would keep for a redo it does not keep after SET safemig.keep_undone = off.")));
}

/* Tables that are kept for a redo hold it as text from now on. */
static void
freeze_label(LabelSearch *search)
{
	if (!search->for_redo)
		return;
	check_unused(search);
	vault_freeze_rows(list_make1_oid(search->enumtype));
	search->frozen = true;
	find_in_tables(search);
}

static void
delete_label(Oid label)
{
	Relation	catalog = table_open(EnumRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCache1(ENUMOID, ObjectIdGetDatum(label));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for enum label %u", label);
	CatalogTupleDelete(catalog, &tuple->t_self);
	ReleaseSysCache(tuple);
	table_close(catalog, RowExclusiveLock);
	CommandCounterIncrement();
}

/* safemig.remove_enum_label(type_name text, label text) */
Datum
safemig_remove_enum_label(PG_FUNCTION_ARGS)
{
	LabelSearch search = {0};
	ObjectAddress address;
	Frame		frame;

	check_is_extension_owner();
	frame_become_owner(&frame);
	search.name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	search.enumtype = find_enum_type(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	search.label = find_label(search.enumtype, search.name);
	search.types = type_containers(list_make1_oid(search.enumtype));

	ObjectAddressSet(address, TypeRelationId, search.enumtype);
	capture_internal_begin("ALTER TYPE", list_make1(&address));
	find_in_tables(&search);
	freeze_label(&search);
	find_in_expressions(&search);
	find_in_kept(&search);
	check_unused(&search);
	clean_indexes(&search);
	check_unused(&search);
	forget_statistics(&search);
	delete_label(search.label);
	capture_internal_end();
	frame_unpin(&frame);
	PG_RETURN_VOID();
}
