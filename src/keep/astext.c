/*-------------------------------------------------------------------------
 *
 * astext.c
 *	  Columns of kept tables turned into text, and back.
 *
 * A value goes through its type's output function and comes back through the
 * input function, under the pinned settings; that the one is the reverse of
 * the other is proved for every value before anything is changed.  It all runs
 * as the vault's role, restricted: reading a row value may run the CHECK of a
 * domain.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_inherits.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "keep/column.h"
#include "keep/frozen.h"
#include "progress.h"

/*
 * Is every value of the column what its text gives back?  And, the other way
 * (typid is then what the column is to be), every text what its value gives?
 */
static bool
relation_is_proved(Oid relid, const char *name, Oid typid, bool thaw)
{
	Relation	rel = relation_open(relid, NoLock);
	TupleTableSlot *slot;
	MemoryContext context;
	StoredColumn column;
	Snapshot	snapshot;
	TableScanDesc scan;
	Progress	progress;
	bool		proved = true;

	if (!RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
	{
		relation_close(rel, NoLock);
		return true;
	}
	stored_column_init(&column, typid, -1);
	stored_column_set_form(&column, STORED_TEXT);
	column.attnum = get_attnum(relid, name);
	slot = table_slot_create(rel, NULL);
	context = AllocSetContextCreate(CurrentMemoryContext, "safemig freeze",
									ALLOCSET_DEFAULT_SIZES);
	scan = plain_scan_begin(rel, &snapshot);
	progress_begin_scan(&progress, PROGRESS_PROVING_ROWS, rel);
	while (proved && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		bool		isnull;
		Datum		value = slot_getattr(slot, column.attnum, &isnull);

		CHECK_FOR_INTERRUPTS();
		progress_row(&progress, slot);
		if (!isnull && !thaw)
			proved = stored_gives_back(&column, value, stored_from_value(&column, value));
		else if (!isnull)
			proved = DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, value,
														  stored_from_value(&column, stored_to_value(&column, value))));
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	progress_end(&progress);
	plain_scan_end(scan, snapshot);
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextDelete(context);
	relation_close(rel, NoLock);
	return proved;
}

bool
column_is_proved(Oid relid, const char *name, Oid typid, bool thaw)
{
	bool		proved = true;
	Frame		frame;
	ListCell   *lc;

	frame_become(&frame, vault_role());
	foreach(lc, find_all_inheritors(relid, AccessExclusiveLock, NULL))
		proved = proved && relation_is_proved(lfirst_oid(lc), name, typid, thaw);
	frame_unpin(&frame);
	return proved;
}

/*
 * ALTER COLUMN ... TYPE through the type's output and input functions.  The
 * expression is given as a tree, so no name has to be found and no right to
 * call is asked for.
 */
AlterTableCmd *
type_change(Oid relid, AttrNumber attnum, Oid typid, int32 typmod, Oid collation,
			int ndims)
{
	AlterTableCmd *cmd = makeNode(AlterTableCmd);
	ColumnDef  *def = makeNode(ColumnDef);
	CoerceViaIO *through = makeNode(CoerceViaIO);
	Oid			now;
	int32		now_typmod;
	Oid			now_collation;

	get_atttypetypmodcoll(relid, attnum, &now, &now_typmod, &now_collation);
	through->arg = (Expr *) makeVar(1, attnum, now, now_typmod, now_collation, 0);
	through->resulttype = getBaseType(typid);
	through->resultcollid = get_typcollation(through->resulttype);
	through->coerceformat = COERCE_EXPLICIT_CAST;
	through->location = -1;

	def->typeName = makeTypeNameFromOid(typid, typmod);
	for (int i = 0; i < ndims; i++)
		def->typeName->arrayBounds = lappend(def->typeName->arrayBounds, makeInteger(-1));
	def->collOid = collation;
	def->cooked_default = (Node *) through;
	cmd->subtype = AT_AlterColumnType;
	cmd->name = get_attname(relid, attnum, false);
	cmd->def = (Node *) def;
	return cmd;
}

/* As the vault's role, restricted; kept values are followed through it. */
void
change_table(Oid relid, List *cmds, bool recurse)
{
	List	   *relids = recurse ? find_all_inheritors(relid, AccessExclusiveLock, NULL) :
	list_make1_oid(relid);
	List	   *followed = NIL;
	ListCell   *lc;
	Frame		frame;

	foreach(lc, relids)
	{
		if (RELKIND_HAS_STORAGE(get_rel_relkind(lfirst_oid(lc))))
			followed = list_concat(followed, column_keep_follow(lfirst_oid(lc), NULL));
	}
	frame_become(&frame, vault_role());
	relation_alter_all(relid, cmds, recurse);
	frame_unpin(&frame);
	foreach(lc, followed)
		column_keep_finish(*(int64 *) lfirst(lc));
}

/* A rewrite gave the tables of the tree other storage. */
void
note_storage(Oid root)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(root, AccessExclusiveLock, NULL))
	{
		Kept	   *kept = kept_of_relation(lfirst_oid(lc));
		Relation	rel = relation_open(lfirst_oid(lc), NoLock);

		if (kept && RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
		{
			kept_add_detail_oid(kept, "filenode", rel->rd_rel->relfilenode);
			kept_add_detail(kept, "blocks",
							psprintf("%u", RelationGetNumberOfBlocks(rel)));
			kept->bytes = DatumGetInt64(DirectFunctionCall1(pg_total_relation_size,
															ObjectIdGetDatum(lfirst_oid(lc))));
			history_update_kept(kept);
		}
		relation_close(rel, NoLock);
	}
}
