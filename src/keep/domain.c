/*-------------------------------------------------------------------------
 *
 * domain.c
 *	  What a domain says of values that are stored inside of others.
 *
 * ALTER DOMAIN ... VALIDATE CONSTRAINT and SET NOT NULL look at the columns of
 * the domain, and refuse to if it is stored inside of an array, a row or a
 * range.  For the statement such uses are hidden, that is, their dependencies
 * are taken out of pg_depend and put back.  Then every value of a column that
 * has the domain anywhere inside is read from its text, which asks the domain:
 * as the owner of the table, who had it asked when he wrote the value.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "parser/parse_type.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "keep/column.h"
#include "keep/vault.h"
#include "progress.h"

PG_FUNCTION_INFO_V1(safemig_alter_domain);

/* ---- uses that PostgreSQL does not look into ---- */

/* Are rows of the relation stored in a column? */
static bool
row_is_stored(Oid relid)
{
	Oid			rowtype = get_rel_type_id(relid);

	if (get_rel_relkind(relid) == RELKIND_COMPOSITE_TYPE)
		return true;
	return OidIsValid(rowtype) &&
		type_columns(type_containers(list_make1_oid(rowtype))) != NIL;
}

static bool
is_use_inside(Form_pg_depend form)
{
	if (form->classid == TypeRelationId)
		return get_typtype(form->objid) != TYPTYPE_DOMAIN;
	return form->classid == RelationRelationId && form->objsubid > 0 &&
		row_is_stored(form->objid);
}

/* Takes them out of pg_depend; returns what was taken. */
static List *
hide_uses(List *domains)
{
	Relation	depend = table_open(DependRelationId, RowExclusiveLock);
	List	   *hidden = NIL;
	ListCell   *lc;

	foreach(lc, domains)
	{
		ScanKeyData key[2];
		SysScanDesc scan;
		HeapTuple	tuple;

		ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber,
					F_OIDEQ, ObjectIdGetDatum(TypeRelationId));
		ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber,
					F_OIDEQ, ObjectIdGetDatum(lfirst_oid(lc)));
		scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, key);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			if (!is_use_inside((Form_pg_depend) GETSTRUCT(tuple)))
				continue;
			hidden = lappend(hidden, heap_copytuple(tuple));
			CatalogTupleDelete(depend, &tuple->t_self);
		}
		systable_endscan(scan);
	}
	table_close(depend, RowExclusiveLock);
	CommandCounterIncrement();
	return hidden;
}

static void
show_uses(List *hidden)
{
	Relation	depend = table_open(DependRelationId, RowExclusiveLock);
	ListCell   *lc;

	foreach(lc, hidden)
		CatalogTupleInsert(depend, lfirst(lc));
	table_close(depend, RowExclusiveLock);
	CommandCounterIncrement();
}

/* ---- the values ---- */

typedef struct ReadBack
{
	AttrNumber	attnum;
	int32		typmod;
	Oid			ioparam;
	FmgrInfo	output;
	FmgrInfo	input;
} ReadBack;

static void
read_back_init(ReadBack *column, Form_pg_attribute att)
{
	Oid			output;
	Oid			input;
	bool		is_varlena;

	getTypeOutputInfo(att->atttypid, &output, &is_varlena);
	getTypeInputInfo(att->atttypid, &input, &column->ioparam);
	fmgr_info(output, &column->output);
	fmgr_info(input, &column->input);
	column->attnum = att->attnum;
	column->typmod = att->atttypmod;
}

static void
read_back(ReadBack *column, TupleTableSlot *slot)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, column->attnum, &isnull);
	char	   *text = isnull ? NULL : OutputFunctionCall(&column->output, value);

	(void) InputFunctionCall(&column->input, text, column->ioparam, column->typmod);
}

static void
read_rows(Relation rel, ReadBack *columns, int ncolumns)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "safemig domain",
												  ALLOCSET_DEFAULT_SIZES);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Progress	progress;

	progress_begin_scan(&progress, PROGRESS_READING, rel);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		CHECK_FOR_INTERRUPTS();
		progress_row(&progress, slot);
		for (int i = 0; i < ncolumns; i++)
			read_back(&columns[i], slot);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	progress_end(&progress);
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	MemoryContextDelete(context);
}

static void
check_relation(Oid relid, List *types)
{
	Relation	rel = table_open(relid, ShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	ReadBack   *columns = palloc0(sizeof(ReadBack) * desc->natts);
	int			ncolumns = 0;
	Frame		frame;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && list_member_oid(types, att->atttypid))
			read_back_init(&columns[ncolumns++], att);
	}
	frame_become(&frame, rel->rd_rel->relowner);
	read_rows(rel, columns, ncolumns);
	frame_unpin(&frame);
	table_close(rel, NoLock);
}

static void
check_values(List *types)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, type_columns(types))
	{
		Oid			relid = ((ObjectAddress *) lfirst(lc))->objectId;
		char		relkind = get_rel_relkind(relid);

		if (relkind == RELKIND_RELATION || relkind == RELKIND_MATVIEW)
			relids = list_append_unique_oid(relids, relid);
	}
	foreach(lc, relids)
		check_relation(lfirst_oid(lc), types);
}

/* ---- the statement ---- */

static Oid
type_owner(Oid typid)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(typid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", typid);
	owner = ((Form_pg_type) GETSTRUCT(tuple))->typowner;
	ReleaseSysCache(tuple);
	return owner;
}

static bool
looks_at_rows(const AlterDomainStmt *stmt)
{
	return stmt->subtype != 'C' || !IsA(stmt->def, Constraint) ||
		!((Constraint *) stmt->def)->skip_validation;
}

/* safemig.alter_domain(statement text) */
Datum
safemig_alter_domain(PG_FUNCTION_ARGS)
{
	char	   *sql = text_to_cstring(PG_GETARG_TEXT_PP(0));
	AlterDomainStmt *stmt;
	ObjectAddress domain;
	List	   *types;
	List	   *domains = NIL;
	List	   *hidden;
	ListCell   *lc;

	check_own_call("alter_domain");
	stmt = (AlterDomainStmt *) parse_statement(sql);
	if (!IsA(stmt, AlterDomainStmt))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("\"%s\" does not alter a domain", sql)));
	ObjectAddressSet(domain, TypeRelationId,
					 typenameTypeId(NULL, makeTypeNameFromNameList(stmt->typeName)));
	capture_internal_begin("ALTER DOMAIN", list_make1(&domain));
	vault_freeze_rows(list_make1_oid(domain.objectId));
	types = type_containers(list_make1_oid(domain.objectId));
	foreach(lc, types)
	{
		if (get_typtype(lfirst_oid(lc)) == TYPTYPE_DOMAIN)
			domains = lappend_oid(domains, lfirst_oid(lc));
	}
	hidden = hide_uses(domains);
	run_statement(sql, type_owner(domain.objectId));
	CommandCounterIncrement();
	show_uses(hidden);
	if (hidden != NIL && looks_at_rows(stmt))
		check_values(types);
	capture_internal_end();
	PG_RETURN_VOID();
}
