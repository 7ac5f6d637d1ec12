/*-------------------------------------------------------------------------
 *
 * adopt.c
 *	  Rows of history tables that were written where nobody saw it.
 *
 * Some frameworks write the row from another session than the one that runs
 * the migration, and that session may never have loaded the library.  So
 * history tables of these are read before migrations are looked for: a row that
 * names none was written by the first transaction after those of its migration.
 * These are the unnamed ones, of one session, between the row before it and it.
 *
 * Nothing waits for a lock here: who holds one may be waiting for us.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "capture/written.h"
#include "compat.h"
#include "history/framework.h"
#include "keep/writes.h"
#include "point.h"

PG_FUNCTION_INFO_V1(safemig_unseen_rows);

/* A row that names no migration, and those that it is taken to name. */
typedef struct Unseen
{
	const Framework *framework;
	Oid			relid;
	HistoryRow *row;
	TransactionId xmin;
	List	   *migrations;		/* of int64*, oldest first */
} Unseen;

/* ---- history tables ---- */

static List *
add_relations_named(List *list, Relation rel, const char *name)
{
	NameData	key_name;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	namestrcpy(&key_name, name);
	ScanKeyInit(&key, Anum_pg_class_relname, BTEqualStrategyNumber, F_NAMEEQ,
				NameGetDatum(&key_name));
	scan = systable_beginscan(rel, ClassNameNspIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		list = lappend_oid(list, ((Form_pg_class) GETSTRUCT(tuple))->oid);
	systable_endscan(scan);
	return list;
}

/* Of the names between the |; a pattern that is more than that finds nothing. */
static List *
relations_named(const char *names)
{
	Relation	rel = table_open(RelationRelationId, AccessShareLock);
	List	   *list = NIL;
	char	   *name;

	while ((name = framework_next_name(&names)) != NULL)
		list = add_relations_named(list, rel, name);
	table_close(rel, AccessShareLock);
	return list;
}

/* Of this framework, by that role among tables. */
static List *
tables_of(const Framework *framework, FrameworkTable wanted, List *relids)
{
	List	   *found = NIL;
	ListCell   *lc;

	foreach(lc, relids)
	{
		FrameworkTable table;

		if (framework_of(lfirst_oid(lc), &table) == framework && table == wanted)
			found = lappend_oid(found, lfirst_oid(lc));
	}
	return found;
}

/* ---- its rows ---- */

static int
compare_age(const ListCell *a, const ListCell *b)
{
	const FoundRow *x = lfirst(a);
	const FoundRow *y = lfirst(b);

	if (x->xmin == y->xmin)
		return 0;
	return TransactionIdPrecedes(x->xmin, y->xmin) ? -1 : 1;
}

/* As migration_log writes it. */
static int64
full_xid(TransactionId xid)
{
	FullTransactionId next = ReadNextFullTransactionId();
	uint32		epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return (int64) U64FromFullTransactionId(FullTransactionIdFromEpochAndXid(epoch, xid));
}

bool
framework_row_is_recorded(const Framework *framework, const HistoryRow *row)
{
	Oid			types[3] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		args[3] = {CStringGetTextDatum(framework->name),
	CStringGetTextDatum(row->history), CStringGetTextDatum(row->label)};

	return migration_ids_of("SELECT m.id FROM safemig.migration_log m"
							" WHERE m.framework OPERATOR(pg_catalog.=) $1"
							" AND m.history OPERATOR(pg_catalog.=) $2"
							" AND m.label OPERATOR(pg_catalog.=) $3"
							" AND m.kind OPERATOR(pg_catalog.=) 'migration'"
							" AND m.state OPERATOR(pg_catalog.<>) 'rolled_back'"
							" AND NOT EXISTS (SELECT FROM safemig.migration_log r"
							"  WHERE r.id OPERATOR(pg_catalog.=) m.reverted_by"
							"  AND r.state OPERATOR(pg_catalog.<>) 'rolled_back') LIMIT 1",
							3, types, args) != NIL;
}

/*
 * Unnamed ones after that transaction and before this one, if they are of one
 * session: of two nobody knows which is meant.
 */
static List *
between(const Framework *framework, int64 after, int64 before)
{
	Oid			types[3] = {TEXTOID, INT8OID, INT8OID};
	Datum		args[3] = {CStringGetTextDatum(framework->name), Int64GetDatum(after),
	Int64GetDatum(before)};

	return migration_ids_of("WITH open AS (SELECT m.id, m.session FROM safemig.migration_log m"
							" WHERE" MIGRATION_WITHOUT_A_ROW
							" AND m.xid::pg_catalog.int8 OPERATOR(pg_catalog.>) $2"
							" AND m.xid::pg_catalog.int8 OPERATOR(pg_catalog.<) $3)"
							" SELECT o.id FROM open o"
							" WHERE (SELECT pg_catalog.count(DISTINCT l.session) FROM open l) OPERATOR(pg_catalog.=) 1"
							" ORDER BY o.id",
							3, types, args);
}

/*
 * Anybody can make such a table: it names migrations of those alone to whom it
 * belongs, directly or as members.
 */
static bool
are_of_owner(List *migrations, Oid owner)
{
	ListCell   *lc;

	foreach(lc, migrations)
	{
		Migration  *migration = history_get_migration(*(int64 *) lfirst(lc), false);
		Oid			role = get_role_oid(migration->session_role, true);

		if (!OidIsValid(role) || !is_member_of_role_nosuper(role, owner))
			return false;
	}
	return true;
}

static List *
unseen_of_table(const Framework *framework, Oid relid)
{
	Relation	rel;
	List	   *rows;
	List	   *unseen = NIL;
	int64		last = 0;
	Oid			owner;
	ListCell   *lc;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return NIL;
	rel = try_relation_open(relid, NoLock);
	if (rel == NULL)
		return NIL;
	rows = framework_read_rows(framework, rel);
	owner = rel->rd_rel->relowner;
	table_close(rel, NoLock);
	list_sort(rows, compare_age);
	foreach(lc, rows)
	{
		FoundRow   *found = lfirst(lc);
		int64		xid = full_xid(found->xmin);
		List	   *migrations = NIL;

		if (found->row.applied && !framework_row_is_recorded(framework, &found->row))
			migrations = between(framework, last, xid);
		last = xid;
		if (migrations != NIL && are_of_owner(migrations, owner))
		{
			Unseen	   *one = palloc0(sizeof(Unseen));

			one->framework = framework;
			one->relid = relid;
			one->row = &found->row;
			one->xmin = found->xmin;
			one->migrations = migrations;
			unseen = lappend(unseen, one);
		}
	}
	return unseen;
}

/* Of HistoryRow*: rows that will name migrations when somebody asks for one. */
List *
framework_rows_to_adopt(const Framework *framework, Oid relid)
{
	List	   *rows = NIL;
	ListCell   *lc;

	if (framework->row_written != ROW_ELSEWHERE)
		return NIL;
	foreach(lc, unseen_of_table(framework, relid))
		rows = lappend(rows, ((Unseen *) lfirst(lc))->row);
	return rows;
}

static List *
unseen_rows(void)
{
	List	   *unseen = NIL;
	ListCell   *lc;
	ListCell   *inner;

	foreach(lc, frameworks_known())
	{
		const Framework *framework = lfirst(lc);

		if (framework->row_written != ROW_ELSEWHERE || framework->table_name == NULL)
			continue;
		foreach(inner, tables_of(framework, FRAMEWORK_HISTORY,
								 relations_named(framework->table_name)))
			unseen = list_concat(unseen, unseen_of_table(framework, lfirst_oid(inner)));
	}
	return unseen;
}

/* ---- they become part of their migration ---- */

/* What that transaction inserted. */
static Versions *
rows_of_transaction(Relation rel, uint32 writer)
{
	Versions   *versions = versions_begin();
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Snapshot	snapshot;
	TableScanDesc scan = plain_scan_begin(rel, &snapshot);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		TransactionId xmin = DatumGetTransactionId(slot_getsysattr(slot, MinTransactionIdAttributeNumber,
																  &isnull));

		if (xmin == writer)
			versions_put(versions, NULL, &slot->tts_tid);
	}
	plain_scan_end(scan, snapshot);
	ExecDropSingleTupleTableSlot(slot);
	return versions;
}

/* The history table and those beside it that have more about a migration. */
static List *
tables_with_rows(const Unseen *unseen)
{
	List	   *tables = list_make1_oid(unseen->relid);
	Oid			namespace = get_rel_namespace(unseen->relid);
	ListCell   *lc;
	ListCell   *inner;

	foreach(lc, unseen->framework->parts)
	{
		foreach(inner, tables_of(unseen->framework, FRAMEWORK_PART, relations_named(lfirst(lc))))
		{
			if (get_rel_namespace(lfirst_oid(inner)) == namespace)
				tables = lappend_oid(tables, lfirst_oid(inner));
		}
	}
	return tables;
}

static void
adopt(const Unseen *unseen)
{
	List	   *tables = tables_with_rows(unseen);
	int64		id;
	ListCell   *lc;

	foreach(lc, tables)
	{
		if (!ConditionalLockRelationOid(lfirst_oid(lc), AccessShareLock))
			return;
	}
	SAFEMIG_POINT("adopt.begins");
	id = migrations_merge(unseen->migrations);
	data_record_rows(id, tables, rows_of_transaction, unseen->xmin);
	SAFEMIG_POINT("adopt.recorded");
	migration_name(id, unseen->framework, unseen->row->label, unseen->row, NULL);
	history_note_writer_xid(id, full_xid(unseen->xmin));
	SAFEMIG_POINT("adopt.done");
}

/* As the extension's owner, before migrations are looked for. */
void
frameworks_adopt(void)
{
	List	   *unseen;
	ListCell   *lc;

	if (RecoveryInProgress() || XactReadOnly || IsolationUsesXactSnapshot() ||
		safemig_state.record_id != 0)
		return;
	unseen = unseen_rows();
	if (unseen == NIL)
		return;
	own_work_begin();
	foreach(lc, unseen)
		adopt(lfirst(lc));
	own_work_end();
}

static bool
may_see(int64 id, Oid user)
{
	Migration  *migration = history_get_migration(id, true);
	Oid			role = migration ? get_role_oid(migration->session_role, true) : InvalidOid;

	return is_administrator(user) || (OidIsValid(role) && has_privs_of_role(user, role));
}

/*
 * safemig.unseen_rows(): what migrations will be called once somebody asks for
 * one of them by a call that may write
 */
Datum
safemig_unseen_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			caller = GetUserId();
	Frame		frame;
	ListCell   *lc;
	ListCell   *inner;

	InitMaterializedSRF(fcinfo, 0);
	frame_become_owner(&frame);
	own_work_begin();
	foreach(lc, unseen_rows())
	{
		const Unseen *unseen = lfirst(lc);

		foreach(inner, unseen->migrations)
		{
			int64		id = *(int64 *) lfirst(inner);
			Datum		values[4] = {Int64GetDatum(id),
				CStringGetTextDatum(unseen->framework->name),
			CStringGetTextDatum(unseen->row->label)};
			bool		nulls[4] = {false};

			if (!may_see(id, caller))
				continue;
			nulls[3] = unseen->row->version == NULL;
			if (!nulls[3])
				values[3] = CStringGetTextDatum(unseen->row->version);
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		}
	}
	own_work_end();
	frame_unpin(&frame);
	return (Datum) 0;
}
