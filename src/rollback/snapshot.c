/*-------------------------------------------------------------------------
 *
 * snapshot.c
 *	  safemig_snapshot: the rows of some tables as they are now, and
 *	  safemig.restore_rows, which is its reverse.
 *
 * A snapshot is one command whose reverse is one step for all its tables.
 * That step keeps the rows that it finds the same way, before it puts back
 * the others: so its own reverse is the same call, and a rollback is redone
 * like any other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "keep/rows.h"
#include "point.h"
#include "rollback/rollback.h"

PG_FUNCTION_INFO_V1(safemig_snapshot);
PG_FUNCTION_INFO_V1(safemig_restore_rows);

/* ---- which tables ---- */

static void
check_can_be_kept(Oid relid)
{
	char		relkind = get_rel_relkind(relid);
	Oid			namespace = get_rel_namespace(relid);
	const char *name = get_rel_name(relid);

	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot keep the rows of \"%s\"", name),
				 errdetail_relkind_not_supported(relkind)));
	if (IsCatalogNamespace(namespace) || vault_is_schema(namespace) ||
		namespace == get_namespace_oid(SAFEMIG_SCHEMA, false) ||
		isAnyTempNamespace(namespace))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot keep the rows of \"%s\"", name),
				 errdetail("Temporary tables, system catalogs and what belongs to safemig cannot be in a snapshot.")));
}

/* With what inherits from them, locked, each once, in the order of OIDs. */
static List *
with_children(List *roots, LOCKMODE lockmode)
{
	List	   *all = NIL;
	ListCell   *lc;

	foreach(lc, roots)
	{
		/* what follows locks only those below */
		LockRelationOid(lfirst_oid(lc), lockmode);
		if (get_rel_name(lfirst_oid(lc)) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("relation with OID %u does not exist", lfirst_oid(lc))));
		all = list_concat_unique_oid(all, find_all_inheritors(lfirst_oid(lc), lockmode, NULL));
	}
	list_sort(all, list_oid_cmp);
	return all;
}

static List *
tables_argument(ArrayType *array, Oid user)
{
	Datum	   *elems;
	bool	   *nulls;
	int			nelems;
	List	   *roots = NIL;

	deconstruct_array(array, REGCLASSOID, sizeof(Oid), true, TYPALIGN_INT,
					  &elems, &nulls, &nelems);
	if (nelems == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a snapshot needs at least one table")));
	for (int i = 0; i < nelems; i++)
	{
		Oid			relid = DatumGetObjectId(elems[i]);

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a table must not be null")));
		if (get_rel_name(relid) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("relation with OID %u does not exist", relid)));
		check_can_be_kept(relid);
		if (!is_administrator(user) &&
			!object_ownercheck(RelationRelationId, relid, user))
			aclcheck_error(ACLCHECK_NOT_OWNER,
						   get_relkind_objtype(get_rel_relkind(relid)),
						   get_rel_name(relid));
		roots = list_append_unique_oid(roots, relid);
	}
	return roots;
}

/* ---- the command ---- */

/*
 * Keeps the rows of these tables, those of partitioned tables being in their
 * partitions, as a command with the reverse that puts them back.
 */
static RecordedCommand *
keep_tables(const char *tag, int64 migration, List *relids, Snapshot snapshot)
{
	RecordedCommand *command = palloc0(sizeof(RecordedCommand));
	StringInfoData ids;
	StringInfoData trees;
	Steps		steps;
	ListCell   *lc;

	command->seq = history_next_command();
	command->migration = migration;
	command->tag = pstrdup(tag);
	initStringInfo(&ids);
	initStringInfo(&trees);
	foreach(lc, relids)
	{
		Relation	rel = table_open(lfirst_oid(lc), NoLock);
		Kept	   *kept = NULL;

		if (RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
		{
			kept = rows_keep(rel, snapshot, migration, command->seq);
			appendStringInfo(&ids, "%s" INT64_FORMAT, ids.len ? "," : "", kept->id);
		}
		table_close(rel, NoLock);
		history_add_table(command, lfirst_oid(lc), 'a', kept);
		if (has_subclass(lfirst_oid(lc)))
			appendStringInfo(&trees, "%s%s", trees.len ? ", " : "",
							 quote_literal_cstr(((Change *) llast(command->changes))->before->identity));
	}
	steps_init(&steps);
	steps.image = ((Change *) linitial(command->changes))->before;
	step_add(&steps, RANK_COMMON, RUN_CATALOG, "ACCESS EXCLUSIVE", "scan",
			 "SELECT safemig.restore_rows('{%s}'%s%s)", ids.data,
			 trees.len ? ", " : "", trees.data)->note =
		psprintf("puts back the rows of %d tables", list_length(relids));
	command->steps = steps.list;
	return command;
}

static void
write_command(RecordedCommand *command, TimestampTz started)
{
	history_write_command(command, NULL,
						  GetConfigOption("search_path", false, false), started,
						  (GetCurrentTimestamp() - started) / 1000.0, NIL);
}

/* ---- taking ---- */

static char *
label_argument(FunctionCallInfo fcinfo)
{
	char	   *label;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", PG_ARGISNULL(0) ? "label" : "tables")));
	label = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (label[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the label of a snapshot must not be empty")));
	return label;
}

Datum
safemig_snapshot(PG_FUNCTION_ARGS)
{
	TimestampTz started = GetCurrentTimestamp();
	char	   *label = label_argument(fcinfo);
	List	   *relids = with_children(tables_argument(PG_GETARG_ARRAYTYPE_P(1), GetUserId()),
									   AccessShareLock);
	Snapshot	snapshot;
	Frame		frame;
	ListCell   *lc;
	int64		id;

	foreach(lc, relids)
		check_can_be_kept(lfirst_oid(lc));
	frame_become_owner(&frame);
	own_work_begin();
	/* with the tables locked, so that it sees what they hold */
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	SAFEMIG_POINT("snapshot.begins");
	id = history_new_migration("snapshot", label, "applied", NULL);
	write_command(keep_tables("SNAPSHOT", id, relids, snapshot), started);
	history_set_state(id, "applied");
	UnregisterSnapshot(snapshot);
	own_work_end();
	frame_unpin(&frame);
	PG_RETURN_INT64(id);
}

/* ---- putting back ---- */

static void
put_back(KeptTable *restored)
{
	Relation	rel = table_open(restored->relid, NoLock);
	int64		inserted;
	int64		deleted;

	CheckTableNotInUse(rel, "safemig_rollback");
	rows_put_back(rel, restored->kept, &inserted, &deleted);
	rollback_count(restored->relid, inserted, 0);
	if (safemig_notices && (inserted || deleted))
		ereport(NOTICE,
				(errmsg("%s %s: %lld rows put back, %lld taken away",
						restored->kept->object_type, restored->kept->identity,
						(long long) inserted, (long long) deleted)));
	table_close(rel, NoLock);
}

static RecordedCommand *
keep_what_is_there(List *relids)
{
	RecordedCommand *command;
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());

	command = keep_tables("RESTORE ROWS", safemig_state.record_id, relids, snapshot);
	UnregisterSnapshot(snapshot);
	return command;
}

/*
 * The tables that rows come back to, and the partitioned ones above them.
 * Rows may stand in a partition that was not there then: that is a conflict.
 */
static List *
with_trees(List *relids, ArrayType *trees)
{
	Datum	   *elems;
	int			nelems;
	List	   *all = list_copy(relids);
	ListCell   *lc;

	deconstruct_array(trees, TEXTOID, -1, false, TYPALIGN_INT, &elems, NULL, &nelems);
	for (int i = 0; i < nelems; i++)
	{
		char	   *name = TextDatumGetCString(elems[i]);
		Oid			root = RangeVarGetRelid(makeRangeVarFromNameList(qualified_name_list(name)),
											AccessExclusiveLock, false);

		foreach(lc, find_all_inheritors(root, AccessExclusiveLock, NULL))
		{
			if (!list_member_oid(relids, lfirst_oid(lc)) &&
				get_rel_relkind(lfirst_oid(lc)) != RELKIND_PARTITIONED_TABLE)
				ereport(ERROR,
						(errcode(ERRCODE_SAFEMIG_CONFLICT),
						 errmsg("table \"%s\" was added to %s after its rows were kept",
								get_rel_name(lfirst_oid(lc)), name),
						 errhint("Roll back the migration that added it first.")));
			all = list_append_unique_oid(all, lfirst_oid(lc));
		}
	}
	list_sort(all, list_oid_cmp);
	return all;
}

/* What is taken away is not kept, and that is on record. */
static RecordedCommand *
keep_nothing(List *relids)
{
	RecordedCommand *command = palloc0(sizeof(RecordedCommand));
	ListCell   *lc;

	command->seq = history_next_command();
	command->migration = safemig_state.record_id;
	command->tag = "RESTORE ROWS";
	foreach(lc, relids)
		history_add_table(command, lfirst_oid(lc), 'a', NULL);
	command->irreversible = psprintf("the rows of %s were not kept",
									 ((Change *) linitial(command->changes))->before->identity);
	return command;
}

Datum
safemig_restore_rows(PG_FUNCTION_ARGS)
{
	TimestampTz started = GetCurrentTimestamp();
	List	   *list;
	List	   *relids = NIL;
	List	   *references;
	RecordedCommand *command;
	Frame		frame;
	ListCell   *lc;

	check_own_call("restore_rows");
	if (safemig_state.record_id == 0)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("restore_rows() is a step of a rollback"),
				 errhint("SELECT safemig_rollback(id);")));
	frame_become_owner(&frame);
	own_work_begin();
	list = kept_tables_argument(PG_GETARG_ARRAYTYPE_P(0), ROWS_KIND);
	foreach(lc, list)
		relids = lappend_oid(relids, ((KeptTable *) lfirst(lc))->relid);
	relids = with_trees(relids, PG_GETARG_ARRAYTYPE_P(1));
	command = safemig_keep_undone ? keep_what_is_there(relids) : keep_nothing(relids);
	references = references_find(relids);
	foreach(lc, list)
		put_back(lfirst(lc));
	SAFEMIG_POINT("putback.done");
	references_check(references);
	write_command(command, started);
	own_work_end();
	frame_unpin(&frame);
	PG_RETURN_VOID();
}
