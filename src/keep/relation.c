/*-------------------------------------------------------------------------
 *
 * relation.c
 *	  Dropped relations: moved out of the way, and back.
 *
 * A relation in the vault is an ordinary table.  It is moved, not copied, so
 * this takes the same time at any size, and it comes back under its own OID.
 *
 * Whoever vaults a whole family (a partitioned table, an inheritance tree)
 * passes the parents before their children: a child whose parent is in the
 * vault keeps its link, any other one is detached first.  Materialized views
 * go before the tables that they read, because their query is taken down as
 * it names those tables now.  What depends on a relation from outside may be
 * removed before or after; vault_check_untied() proves that it was.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/tablecmds.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/bufmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "history/history.h"
#include "keep/limit.h"
#include "keep/vault.h"
#include "point.h"

PG_FUNCTION_INFO_V1(safemig_restore_relation);

/* ---- extended statistics, which ALTER TABLE SET SCHEMA leaves behind ---- */

/*
 * Puts one statistics object elsewhere, and takes down (keeping) or reads
 * (restoring) where it was.  Details carry its name.
 */
static void
keep_statistics(Oid statid, Kept *kept)
{
	HeapTuple	tuple = SearchSysCache1(STATEXTOID, ObjectIdGetDatum(statid));
	Form_pg_statistic_ext form;
	char	   *name;
	Oid			source;
	Oid			vault;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for statistics object %u", statid);
	form = (Form_pg_statistic_ext) GETSTRUCT(tuple);
	name = pstrdup(NameStr(form->stxname));
	source = form->stxnamespace;
	kept_add_detail(kept, psprintf("statistics schema %s", name),
					get_namespace_name(source));
	kept_add_detail(kept, psprintf("statistics owner %s", name),
					GetUserNameFromId(form->stxowner, false));
	ReleaseSysCache(tuple);

	vault = vault_schema_for(kept->migration, kept->command, source);
	object_move(StatisticExtRelationId, statid, vault, vault_role());
}

static void
restore_statistics(Oid statid, const Kept *kept)
{
	HeapTuple	tuple = SearchSysCache1(STATEXTOID, ObjectIdGetDatum(statid));
	Form_pg_statistic_ext form;
	const char *schema;
	const char *owner;
	char	   *name;
	Oid			vault;
	Oid			target;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for statistics object %u", statid);
	form = (Form_pg_statistic_ext) GETSTRUCT(tuple);
	name = pstrdup(NameStr(form->stxname));
	vault = form->stxnamespace;
	ReleaseSysCache(tuple);
	/* made on the vaulted table by somebody: not ours to move */
	schema = kept_detail(kept, psprintf("statistics schema %s", name));
	if (schema == NULL)
		return;

	owner = kept_need_detail(kept, psprintf("statistics owner %s", name));
	target = restore_namespace(kept, schema);
	if (OidIsValid(GetSysCacheOid2(STATEXTNAMENSP, Anum_pg_statistic_ext_oid,
								   CStringGetDatum(name),
								   ObjectIdGetDatum(target))))
		report_name_taken(kept, "statistics object", name, target);
	object_move(StatisticExtRelationId, statid, target, restore_owner(kept, owner));
	vault_drop_if_empty(vault);
}

/* ---- moving ---- */

/*
 * The relation with its row type, indexes, owned sequences, toast table.
 * "Recursing" is what makes ATExecChangeOwner take the caller's word for the
 * right to do it.
 */
static void
move_relation(Oid relid, Oid namespace, Oid owner)
{
	Relation	rel = relation_open(relid, AccessExclusiveLock);
	ObjectAddresses *moved = new_object_addresses();

	make_array_name_free(rel->rd_rel->reltype, namespace);
	AlterTableNamespaceInternal(rel, RelationGetNamespace(rel), namespace, moved);
	free_object_addresses(moved);
	relation_close(rel, NoLock);
	CommandCounterIncrement();
	ATExecChangeOwner(relid, owner, true, AccessExclusiveLock);
	CommandCounterIncrement();
}

/* What proves later that this is still the same relation with the same rows. */
static Kept *
describe_relation(Relation rel, int64 migration, int64 command)
{
	Oid			relid = RelationGetRelid(rel);
	ObjectAddress address;
	Kept	   *kept;
	char		relkind[2] = {rel->rd_rel->relkind, '\0'};

	ObjectAddressSet(address, RelationRelationId, relid);
	kept = kept_start(&address, "relation", migration, command);
	kept_add_detail(kept, "relkind", relkind);
	kept_add_detail(kept, "schema", get_namespace_name(RelationGetNamespace(rel)));
	kept_add_detail(kept, "name", RelationGetRelationName(rel));
	kept_add_detail(kept, "owner",
					GetUserNameFromId(rel->rd_rel->relowner, false));
	kept_add_detail_oid(kept, "filenode", rel->rd_rel->relfilenode);
	kept_add_detail(kept, "reltuples", psprintf("%.0f", rel->rd_rel->reltuples));
	kept_add_detail(kept, "relpages", psprintf("%d", rel->rd_rel->relpages));
	if (RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
	{
		kept_add_detail(kept, "blocks",
						psprintf("%u", RelationGetNumberOfBlocks(rel)));
		kept->bytes = DatumGetInt64(DirectFunctionCall1(pg_total_relation_size,
														ObjectIdGetDatum(relid)));
	}
	if (rel->rd_rel->relkind == RELKIND_MATVIEW)
		matview_describe(rel, kept);
	return kept;
}

/*
 * Moves a relation into the vault.  The caller has locked it ACCESS EXCLUSIVE
 * in the top transaction, taken its images, and removed what depends on it.
 */
static Kept *
keep_relation(Relation rel, int64 migration, int64 command)
{
	Oid			relid = RelationGetRelid(rel);
	bool		matview = rel->rd_rel->relkind == RELKIND_MATVIEW;
	Kept	   *kept = describe_relation(rel, migration, command);
	Oid			vault = vault_schema_for(migration, command,
										 RelationGetNamespace(rel));
	List	   *statistics;
	ListCell   *lc;

	kept->vault_schema = get_namespace_name(vault);
	kept->vault_name = pstrdup(RelationGetRelationName(rel));
	/* what follows changes the entry's kind: do not hold on to it */
	relation_close(rel, NoLock);

	SAFEMIG_POINT("vault.schema");
	strip_relation(relid, kept);
	if (matview)
		matview_to_table(relid);
	rel = relation_open(relid, NoLock);
	statistics = RelationGetStatExtList(rel);
	relation_close(rel, NoLock);
	foreach(lc, statistics)
		keep_statistics(lfirst_oid(lc), kept);
	SAFEMIG_POINT("vault.stripped");
	move_relation(relid, vault, vault_role());
	return kept;
}

int64
vault_keep_relation(Oid relid, int64 migration, int64 command)
{
	bool		save_creating = creating_extension;
	Kept	   *volatile kept = NULL;
	Relation	rel;
	Frame		frame;
	int64		id;

	rel = relation_open(relid, AccessExclusiveLock);
	if (rel->rd_rel->relkind != RELKIND_RELATION &&
		rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE &&
		rel->rd_rel->relkind != RELKIND_MATVIEW)
		elog(ERROR, "relation \"%s\" of kind '%c' cannot be kept",
			 RelationGetRelationName(rel), rel->rd_rel->relkind);
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP ||
		IsCatalogRelation(rel))
		elog(ERROR, "relation \"%s\" is temporary or a catalog and cannot be kept",
			 RelationGetRelationName(rel));
	CheckTableNotInUse(rel, "DROP TABLE");
	limit_check_published(psprintf("table %s", quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
																		  RelationGetRelationName(rel))));

	own_work_begin();
	frame_become_owner(&frame);
	creating_extension = false;
	PG_TRY();
	{
		kept = keep_relation(rel, migration, command);
	}
	PG_FINALLY();
	{
		creating_extension = save_creating;
	}
	PG_END_TRY();
	SAFEMIG_POINT("vault.moved");
	id = history_add_kept(kept);
	frame_unpin(&frame);
	own_work_end();
	return id;
}

static Oid
get_rewrite_relation(Oid ruleid)
{
	Relation	catalog = table_open(RewriteRelationId, AccessShareLock);
	HeapTuple	tuple = get_catalog_object_by_oid(catalog, Anum_pg_rewrite_oid, ruleid);
	Oid			result = InvalidOid;

	if (HeapTupleIsValid(tuple))
		result = ((Form_pg_rewrite) GETSTRUCT(tuple))->ev_class;
	table_close(catalog, AccessShareLock);
	return result;
}

static Oid
get_constraint_relation(Oid constraint)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	Oid			result = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		result = ((Form_pg_constraint) GETSTRUCT(tuple))->conrelid;
		ReleaseSysCache(tuple);
	}
	return result;
}

/* A view, a foreign key or a function outside of the vault. */
static bool
is_outside_tie(Form_pg_depend form, Oid relid)
{
	Oid			other = InvalidOid;

	if (form->deptype != DEPENDENCY_NORMAL)
		return false;
	if (form->classid == ProcedureRelationId)
		return true;
	if (form->classid == RewriteRelationId)
		other = get_rewrite_relation(form->objid);
	else if (form->classid == ConstraintRelationId)
		other = get_constraint_relation(form->objid);
	return OidIsValid(other) && other != relid &&
		!vault_is_schema(get_rel_namespace(other));
}

/*
 * To be called when everything that depended on a vaulted relation has been
 * removed: an object left over would go on reading kept rows.
 */
void
vault_check_untied(Oid relid)
{
	Oid			rowtype = get_rel_type_id(relid);
	ObjectAddress referenced[] = {
		{RelationRelationId, relid, 0},
		{TypeRelationId, rowtype, 0},
		{TypeRelationId, get_array_type(rowtype), 0}
	};

	for (size_t i = 0; i < lengthof(referenced); i++)
	{
		ListCell   *lc;

		foreach(lc, dependencies_on(referenced[i].classId, referenced[i].objectId))
		{
			Form_pg_depend form = lfirst(lc);
			ObjectAddress dependant;

			ObjectAddressSet(dependant, form->classid, form->objid);
			if (is_outside_tie(form, relid))
				elog(ERROR, "%s still depends on %s, which is in the vault",
					 getObjectDescription(&dependant, false),
					 getObjectDescription(&referenced[i], false));
		}
	}
}

/* ---- and back ---- */

static void
report_not_the_same(const Kept *kept, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_SAFEMIG_CONFLICT),
			 errmsg("cannot restore %s %s: %s is not what was kept",
					kept->object_type, kept->identity,
					quote_qualified_identifier(kept->vault_schema, kept->vault_name)),
			 errdetail_internal("%s", detail)));
}

/* Is there a row in this block or behind it? */
static bool
has_rows_from(Relation rel, BlockNumber block)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	ItemPointerData first;
	ItemPointerData last;
	TableScanDesc scan;
	bool		found;

	ItemPointerSet(&first, block, FirstOffsetNumber);
	ItemPointerSet(&last, MaxBlockNumber, MaxOffsetNumber);
	scan = table_beginscan_tidrange(rel, snapshot, &first, &last);
	found = table_scan_getnextslot_tidrange(scan, ForwardScanDirection, slot);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	return found;
}

/*
 * Nobody could write to the relation in between: proved by its being the same
 * one, with the same storage, in the hands of the same role.  Blocks may have
 * become fewer, since VACUUM gives back empty ones at the end, or more, where
 * a rehearsal or a rollback that failed had put rows in; but a row in those
 * would mean that somebody wrote.  After a restore from a dump there is no
 * storage to compare, and the OIDs are others.
 */
static void
check_is_the_same(Relation rel, const Kept *kept)
{
	char		kept_kind = kept_need_detail(kept, "relkind")[0];
	const char *blocks = kept_detail(kept, "blocks");
	char		expected = kept_kind == RELKIND_MATVIEW ? RELKIND_RELATION : kept_kind;

	if (rel->rd_rel->relkind != expected)
		report_not_the_same(kept, "It is a relation of another kind.");
	if (rel->rd_rel->relowner != vault_role() ||
		!vault_is_schema(RelationGetNamespace(rel)))
		report_not_the_same(kept, "It belongs to another role than when it was kept.");
	if (!kept_same_incarnation(kept))
		return;
	if (RelationGetRelid(rel) != kept_detail_oid(kept, "oid"))
		report_not_the_same(kept, "It is another relation of the same name.");
	if (blocks == NULL || !RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
		return;
	if (RelationGetNumberOfBlocks(rel) > (BlockNumber) strtoul(blocks, NULL, 10) &&
		has_rows_from(rel, (BlockNumber) strtoul(blocks, NULL, 10)))
		report_not_the_same(kept, "It has grown since it was kept.");

	/*
	 * VACUUM FULL of a whole database writes it anew, row for row; TRUNCATE,
	 * which only a superuser can have done, leaves nothing.
	 */
	if (rel->rd_rel->relfilenode != kept_detail_oid(kept, "filenode") &&
		RelationGetNumberOfBlocks(rel) == 0 && strtoul(blocks, NULL, 10) > 0)
		report_not_the_same(kept, "It has been emptied since it was kept.");
}

static void
check_names_free(Relation rel, const Kept *kept, Oid namespace)
{
	List	   *others = list_concat_copy(RelationGetIndexList(rel),
										  getOwnedSequences(RelationGetRelid(rel)));
	ListCell   *lc;

	check_relation_name_free(kept, RelationGetRelationName(rel), namespace);
	foreach(lc, others)
		check_relation_name_free(kept, get_rel_name(lfirst_oid(lc)), namespace);
	check_type_name_free(kept, RelationGetRelationName(rel), namespace);
}

static Oid
find_kept_relation(const Kept *kept)
{
	RangeVar   *name = makeRangeVar(kept->vault_schema, kept->vault_name, -1);
	Oid			relid = RangeVarGetRelid(name, AccessExclusiveLock, true);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("cannot restore %s %s: relation %s does not exist",
						kept->object_type, kept->identity,
						quote_qualified_identifier(kept->vault_schema, kept->vault_name)),
				 errdetail("It has been removed from the vault by other means than safemig.")));
	return relid;
}

static void
restore_relation(Oid relid, const Kept *kept)
{
	Relation	rel = relation_open(relid, NoLock);
	Oid			vault = RelationGetNamespace(rel);
	Oid			target = restore_namespace(kept, kept_need_detail(kept, "schema"));
	Oid			owner = restore_owner(kept, kept_need_detail(kept, "owner"));
	List	   *statistics;
	ListCell   *lc;

	check_names_free(rel, kept, target);
	statistics = RelationGetStatExtList(rel);
	relation_close(rel, NoLock);

	foreach(lc, statistics)
		restore_statistics(lfirst_oid(lc), kept);
	move_relation(relid, target, owner);
	SAFEMIG_POINT("vault.moved_back");
	if (kept_need_detail(kept, "relkind")[0] == RELKIND_MATVIEW)
		matview_from_table(relid, kept);
	strip_undo(relid, kept);
	vault_drop_if_empty(vault);
}

/* safemig.restore_relation(kept bigint): takes it out of the vault */
Datum
safemig_restore_relation(PG_FUNCTION_ARGS)
{
	bool		save_creating = creating_extension;
	ObjectAddress address;
	Relation	rel;
	Frame		frame;
	Kept	   *kept;
	Oid			relid;

	check_is_extension_owner();
	kept = kept_to_restore(PG_GETARG_INT64(0), "relation");
	relid = find_kept_relation(kept);
	rel = relation_open(relid, NoLock);
	CheckTableNotInUse(rel, "RESTORE TABLE");
	check_is_the_same(rel, kept);
	relation_close(rel, NoLock);

	ObjectAddressSet(address, RelationRelationId, relid);
	capture_internal_begin("RESTORE TABLE", list_make1(&address));
	frame_become_owner(&frame);
	creating_extension = false;
	PG_TRY();
	{
		vault_thaw_relation(relid, kept);
		SAFEMIG_POINT("vault.thawed");
		restore_relation(relid, kept);
	}
	PG_FINALLY();
	{
		creating_extension = save_creating;
	}
	PG_END_TRY();
	history_set_kept_state(kept->id, "restored");
	safemig_state.tables_restored++;
	SAFEMIG_POINT("vault.restored");
	frame_unpin(&frame);
	capture_internal_end();
	PG_RETURN_VOID();
}
