/*-------------------------------------------------------------------------
 *
 * copy.c
 *	  The narrow table that holds the values of a column: written, and proved.
 *
 * It is made by PostgreSQL's own functions, not by SQL: that fires no event
 * trigger, asks for no privilege, and runs no user code but the functions of
 * types.  Those run as the owner of the table that is copied.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/dependency.h"
#include "catalog/heap.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "catalog/toasting.h"
#include "commands/extension.h"
#include "commands/tablecmds.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "keep/column.h"
#include "point.h"
#include "progress.h"

/* The name of a keyless copy's first column, which must not be the value's. */
char *
copy_ordinal_name(const char *value_name)
{
	return strcmp(value_name, "ordinal") == 0 ? "row_ordinal" : "ordinal";
}

/* The name of its second one. */
char *
copy_content_name(const CopyShape *shape)
{
	return strcmp(shape->value.name, "content") == 0 ? "row_content" : "content";
}

/* How many columns say which row it is. */
int
copy_fixed_columns(const CopyShape *shape)
{
	if (shape->nkeys > 0)
		return shape->nkeys;
	return shape->has_content ? 2 : 1;
}

/* This name, or one like it that no other column of the copy has. */
char *
copy_spare_name(const CopyShape *shape, const char *name)
{
	bool		taken = strcmp(name, shape->value.name) == 0;

	for (int i = 0; i < shape->nkeys; i++)
		taken |= strcmp(name, shape->keys[i].name) == 0;
	if (shape->nkeys == 0)
		taken |= strcmp(name, copy_ordinal_name(shape->value.name)) == 0 ||
			strcmp(name, copy_content_name(shape)) == 0;
	return taken ? copy_spare_name(shape, psprintf("%s_", name)) : pstrdup(name);
}

static void
describe_stored(TupleDesc desc, AttrNumber number, const StoredColumn *column)
{
	TupleDescInitEntry(desc, number, column->name, stored_column_type(column),
					   column->form == STORED_TYPED ? column->typmod : -1, 0);
}

static TupleDesc
copy_descriptor(const CopyShape *shape)
{
	int			natts = copy_fixed_columns(shape) + (shape->has_converted ? 2 : 1);
	TupleDesc	desc = CreateTemplateTupleDesc(natts);

	if (shape->nkeys == 0)
		TupleDescInitEntry(desc, 1, copy_ordinal_name(shape->value.name),
						   INT8OID, -1, 0);
	if (shape->nkeys == 0 && shape->has_content)
		TupleDescInitEntry(desc, 2, copy_content_name(shape), UUIDOID, -1, 0);
	for (int i = 0; i < shape->nkeys; i++)
		describe_stored(desc, i + 1, &shape->keys[i]);
	if (shape->has_converted)
		describe_stored(desc, natts - 1, &shape->converted);
	describe_stored(desc, natts, &shape->value);
	return desc;
}

/*
 * An empty table for the copy.  It fires no event trigger and, if an
 * extension's script runs just now, becomes no member of that extension.
 */
Oid
copy_create(const char *name, Oid namespace, TupleDesc desc)
{
	bool		was_creating_extension = creating_extension;
	Oid			relid = InvalidOid;

	creating_extension = false;
	PG_TRY();
	{
		relid = heap_create_with_catalog(name, namespace, InvalidOid, InvalidOid,
										 InvalidOid, InvalidOid, vault_role(),
										 HEAP_TABLE_AM_OID,
										 desc, NIL,
										 RELKIND_RELATION,
										 RELPERSISTENCE_PERMANENT, false, false,
										 ONCOMMIT_NOOP, (Datum) 0, false, false,
										 true, InvalidOid, NULL);
		CommandCounterIncrement();
		NewRelationCreateToastTable(relid, (Datum) 0);
	}
	PG_FINALLY();
	{
		creating_extension = was_creating_extension;
	}
	PG_END_TRY();
	CommandCounterIncrement();
	return relid;
}

void
copy_drop(Oid relid)
{
	ObjectAddress address;

	ObjectAddressSet(address, RelationRelationId, relid);
	performDeletion(&address, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	CommandCounterIncrement();
}

static void
mark_as_rewrite(Oid relid)
{
	Relation	catalog = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(relid));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	((Form_pg_class) GETSTRUCT(tuple))->relrewrite = relid;
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	heap_freetuple(tuple);
	table_close(catalog, RowExclusiveLock);
}

/*
 * A publication FOR ALL TABLES has the copy too, and subscribers, who have no
 * such table, would stop at its first row.  So while it is written it is
 * marked like a heap that a rewrite fills, which logical decoding passes over.
 */
static void
hide_from_decoding(Relation copy, bool hide)
{
	Oid			relids[2] = {RelationGetRelid(copy), copy->rd_rel->reltoastrelid};

	if (!XLogLogicalInfoActive())
		return;
	for (int i = 0; i < 2; i++)
	{
		if (!OidIsValid(relids[i]))
			continue;
		if (hide)
			mark_as_rewrite(relids[i]);
		else
			ResetRelRewrite(relids[i]);
	}
	CommandCounterIncrement();
}

void
copy_writer_open(CopyWriter *writer, Oid relid)
{
	writer->copy = table_open(relid, RowExclusiveLock);
	hide_from_decoding(writer->copy, true);
	writer->bulk = GetBulkInsertState();
	writer->cid = GetCurrentCommandId(true);
	writer->context = AllocSetContextCreate(CurrentMemoryContext,
											"safemig kept rows",
											ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < COPY_BATCH_ROWS; i++)
		writer->slots[i] = MakeSingleTupleTableSlot(RelationGetDescr(writer->copy),
													&TTSOpsHeapTuple);
	writer->nslots = 0;
	writer->bytes = 0;
}

static void
writer_flush(CopyWriter *writer)
{
	MemoryContext old;

	if (writer->nslots == 0)
		return;
	old = MemoryContextSwitchTo(writer->context);
	table_multi_insert(writer->copy, writer->slots, writer->nslots, writer->cid,
					   TABLE_INSERT_SKIP_FSM, writer->bulk);
	MemoryContextSwitchTo(old);
	for (int i = 0; i < writer->nslots; i++)
		ExecClearTuple(writer->slots[i]);
	writer->nslots = 0;
	writer->bytes = 0;
	MemoryContextReset(writer->context);
}

/* To be called in the writer's context: the row lives until the flush. */
void
copy_writer_put(CopyWriter *writer, Datum *values, bool *nulls)
{
	HeapTuple	tuple = heap_form_tuple(RelationGetDescr(writer->copy), values,
										nulls);

	ExecStoreHeapTuple(tuple, writer->slots[writer->nslots++], false);
	writer->bytes += tuple->t_len;
	if (writer->nslots == COPY_BATCH_ROWS || writer->bytes > COPY_BATCH_BYTES)
		writer_flush(writer);
}

void
copy_writer_close(CopyWriter *writer)
{
	writer_flush(writer);
	for (int i = 0; i < COPY_BATCH_ROWS; i++)
		ExecDropSingleTupleTableSlot(writer->slots[i]);
	FreeBulkInsertState(writer->bulk);
	table_finish_bulk_insert(writer->copy, TABLE_INSERT_SKIP_FSM);
	hide_from_decoding(writer->copy, false);
	table_close(writer->copy, NoLock);
	MemoryContextDelete(writer->context);
	CommandCounterIncrement();
}

/* All rows, in the order of their places: no joining a scan that is under way. */
TableScanDesc
plain_scan_begin(Relation rel, Snapshot *snapshot)
{
	*snapshot = RegisterSnapshot(GetLatestSnapshot());
	return table_beginscan_strat(rel, *snapshot, 0, NULL, true, false);
}

void
plain_scan_end(TableScanDesc scan, Snapshot snapshot)
{
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
}

/*
 * The stored form of one column of a row.  False if it does not give the
 * value back; a column known to be unproved is not asked any more.
 */
bool
copy_store_column(StoredColumn *column, TupleTableSlot *slot, Datum *stored,
			 bool *isnull)
{
	Datum		value = slot_getattr(slot, column->attnum, isnull);

	if (*isnull)
	{
		*stored = (Datum) 0;
		return true;
	}
	*stored = stored_from_value(column, value);
	return column->unproved || stored_gives_back(column, value, *stored);
}

/*
 * Copies the table's rows.  Returns NULL, or the column of shape whose form
 * proved unfit; then the copy is to be thrown away.
 */
static StoredColumn *
copy_rows(Relation rel, CopyShape *shape, Oid copy, CopyProof *proof)
{
	CopyWriter	writer;
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Snapshot	snapshot;
	TableScanDesc scan = plain_scan_begin(rel, &snapshot);
	Datum		values[INDEX_MAX_KEYS + 1];
	bool		nulls[INDEX_MAX_KEYS + 1] = {false};
	int			last = copy_fixed_columns(shape);
	StoredColumn *unfit = NULL;
	Progress	progress;

	copy_writer_open(&writer, copy);
	memset(proof, 0, sizeof(CopyProof));
	progress_begin_scan(&progress, PROGRESS_COPYING, rel);
	while (unfit == NULL && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(writer.context);

		CHECK_FOR_INTERRUPTS();
		progress_row(&progress, slot);
		if (shape->nkeys == 0)
			values[0] = Int64GetDatum(proof->rows + 1);
		if (shape->has_content)
			values[1] = content_of_row(shape, slot);
		for (int i = 0; i < shape->nkeys && unfit == NULL; i++)
			if (!copy_store_column(&shape->keys[i], slot, &values[i], &nulls[i]))
				unfit = &shape->keys[i];
		if (unfit == NULL &&
			!copy_store_column(&shape->value, slot, &values[last], &nulls[last]))
			unfit = &shape->value;
		if (unfit == NULL)
		{
			proof_add_row(proof, RelationGetDescr(writer.copy), values, nulls);
			copy_writer_put(&writer, values, nulls);
		}
		MemoryContextSwitchTo(old);
	}
	progress_end(&progress);
	plain_scan_end(scan, snapshot);
	ExecDropSingleTupleTableSlot(slot);
	copy_writer_close(&writer);
	return unfit;
}

static bool
has_binary_form(const StoredColumn *column)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(column->typid));
	Form_pg_type type;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", column->typid);
	type = (Form_pg_type) GETSTRUCT(tuple);
	result = OidIsValid(type->typsend) && OidIsValid(type->typreceive);
	ReleaseSysCache(tuple);
	return result;
}

/*
 * Text that does not give the value back makes way for the binary form, and
 * where that fails too, for text with the flaw on record.
 */
void
copy_change_form(StoredColumn *unfit)
{
	if (unfit->form == STORED_TEXT && has_binary_form(unfit))
		stored_column_set_form(unfit, STORED_BINARY);
	else
	{
		stored_column_set_form(unfit, STORED_TEXT);
		unfit->unproved = true;
	}
}

/* Copies the column; a form that proves unfit is changed, and all done again. */
Oid
copy_make(Relation rel, CopyShape *shape, const char *name, Oid namespace,
		  CopyProof *proof)
{
	for (;;)
	{
		Oid			copy = copy_create(name, namespace, copy_descriptor(shape));
		StoredColumn *unfit;
		Frame		frame;

		frame_become(&frame, rel->rd_rel->relowner);
		SAFEMIG_POINT("copy.made");
		unfit = copy_rows(rel, shape, copy, proof);
		SAFEMIG_POINT("copy.filled");
		frame_unpin(&frame);
		if (unfit == NULL)
			return copy;
		copy_drop(copy);
		copy_change_form(unfit);
	}
}

/* ---- with what a conversion made of the values ---- */

/* The copy's row and the table's are the same one. */
static void
check_pair(const CopyShape *shape, TupleTableSlot *kept, TupleTableSlot *row)
{
	for (int i = 0; i < shape->nkeys; i++)
	{
		const StoredColumn *key = &shape->keys[i];
		Form_pg_attribute att = TupleDescAttr(row->tts_tupleDescriptor,
											  key->attnum - 1);
		bool		isnull;

		/* a key may have got another type by the same command */
		if (key->form != STORED_TYPED ||
			TupleDescAttr(kept->tts_tupleDescriptor, i)->atttypid != getBaseType(att->atttypid))
			continue;
		if (!datum_image_eq(slot_getattr(kept, i + 1, &isnull),
							slot_getattr(row, key->attnum, &isnull),
							att->attbyval, att->attlen))
			elog(ERROR, "rows of \"%s\" are not in the order in which they were copied",
				 NameStr(att->attname));
	}
}

static Datum
plain_datum(TupleTableSlot *slot, int attnum, bool *isnull)
{
	Form_pg_attribute att = TupleDescAttr(slot->tts_tupleDescriptor, attnum - 1);
	Datum		value = slot_getattr(slot, attnum, isnull);

	if (!*isnull && att->attlen == -1 && VARATT_IS_EXTERNAL(DatumGetPointer(value)))
		return PointerGetDatum(detoast_external_attr((struct varlena *) DatumGetPointer(value)));
	return value;
}

/* As copy_rows, from the copy that was made before and the table as it is now. */
static StoredColumn *
pair_rows(Relation rel, Relation before, CopyShape *shape, Oid copy,
		  CopyProof *proof)
{
	CopyWriter	writer;
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TupleTableSlot *kept = table_slot_create(before, NULL);
	Snapshot	snapshot,
				kept_snapshot;
	TableScanDesc scan = plain_scan_begin(rel, &snapshot);
	TableScanDesc kept_scan = plain_scan_begin(before, &kept_snapshot);
	int			nkeys = copy_fixed_columns(shape);
	Datum		values[INDEX_MAX_KEYS + 2];
	bool		nulls[INDEX_MAX_KEYS + 2];
	StoredColumn *unfit = NULL;
	Progress	progress;

	copy_writer_open(&writer, copy);
	memset(proof, 0, sizeof(CopyProof));
	progress_begin_scan(&progress, PROGRESS_COPYING, rel);
	while (unfit == NULL && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(writer.context);

		CHECK_FOR_INTERRUPTS();
		progress_row(&progress, slot);
		if (!table_scan_getnextslot(kept_scan, ForwardScanDirection, kept))
			elog(ERROR, "\"%s\" has more rows than were copied",
				 RelationGetRelationName(rel));
		check_pair(shape, kept, slot);
		for (int i = 0; i < nkeys; i++)
			values[i] = plain_datum(kept, i + 1, &nulls[i]);
		if (shape->has_content)
			values[1] = content_of_row(shape, slot);
		values[nkeys + 1] = plain_datum(kept, nkeys + 1, &nulls[nkeys + 1]);
		if (copy_store_column(&shape->converted, slot, &values[nkeys], &nulls[nkeys]))
		{
			proof_add_row(proof, RelationGetDescr(writer.copy), values, nulls);
			copy_writer_put(&writer, values, nulls);
		}
		else
			unfit = &shape->converted;
		MemoryContextSwitchTo(old);
	}
	progress_end(&progress);
	if (unfit == NULL && table_scan_getnextslot(kept_scan, ForwardScanDirection, kept))
		elog(ERROR, "\"%s\" has fewer rows than were copied",
			 RelationGetRelationName(rel));
	plain_scan_end(scan, snapshot);
	plain_scan_end(kept_scan, kept_snapshot);
	ExecDropSingleTupleTableSlot(slot);
	ExecDropSingleTupleTableSlot(kept);
	copy_writer_close(&writer);
	return unfit;
}

/* The keys stay what they are in the copy: the command may have changed them. */
static void
keep_key_types(CopyShape *shape, Relation before)
{
	for (int i = 0; i < shape->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(before), i);

		if (shape->keys[i].form != STORED_TYPED)
			continue;
		shape->keys[i].typid = att->atttypid;
		shape->keys[i].typmod = att->atttypmod;
	}
}

/*
 * Makes the copy over.  The conversion went through the rows in the order in
 * which they were copied, so the two are read side by side.
 */
Oid
copy_make_with_converted(Relation rel, CopyShape *shape, const Kept *kept,
						 CopyProof *proof)
{
	Oid			namespace = get_namespace_oid(kept->vault_schema, false);
	Oid			old = get_relname_relid(kept->vault_name, namespace);
	char	   *name = psprintf("%s_converted", kept->vault_name);
	Oid			copy;

	for (;;)
	{
		Relation	before = table_open(old, AccessExclusiveLock);
		StoredColumn *unfit;
		Frame		frame;

		keep_key_types(shape, before);
		copy = copy_create(name, namespace, copy_descriptor(shape));
		frame_become(&frame, rel->rd_rel->relowner);
		unfit = pair_rows(rel, before, shape, copy, proof);
		frame_unpin(&frame);
		table_close(before, NoLock);
		if (unfit == NULL)
			break;
		copy_drop(copy);
		copy_change_form(unfit);
	}
	copy_drop(old);
	RenameRelationInternal(copy, kept->vault_name, true, false);
	CommandCounterIncrement();
	return copy;
}

/* Nothing but NULL there?  Stops at the first value.  Counts the rows. */
bool
column_has_no_value(Relation rel, AttrNumber attnum, int64 *rows)
{
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Snapshot	snapshot;
	TableScanDesc scan = plain_scan_begin(rel, &snapshot);
	bool		empty = true;
	Progress	progress;

	*rows = 0;
	progress_begin_scan(&progress, PROGRESS_READING, rel);
	while (empty && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		progress_row(&progress, slot);
		empty = slot_attisnull(slot, attnum);
		(*rows)++;
	}
	progress_end(&progress);
	plain_scan_end(scan, snapshot);
	ExecDropSingleTupleTableSlot(slot);
	return empty;
}

/* The shape of a row as it was proved when it was kept. */
static void
prove_rows(Relation copy, CopyProof *proof)
{
	TupleTableSlot *slot = table_slot_create(copy, NULL);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "safemig proof",
												  ALLOCSET_DEFAULT_SIZES);
	Snapshot	snapshot;
	TableScanDesc scan = plain_scan_begin(copy, &snapshot);
	Progress	progress;

	memset(proof, 0, sizeof(CopyProof));
	progress_begin_scan(&progress, PROGRESS_PROVING_ROWS, copy);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		CHECK_FOR_INTERRUPTS();
		progress_row(&progress, slot);
		slot_getallattrs(slot);
		proof_add_row(proof, RelationGetDescr(copy), slot->tts_values,
					  slot->tts_isnull);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	progress_end(&progress);
	plain_scan_end(scan, snapshot);
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextDelete(context);
}

/*
 * Is the copy there, with the rows that were put into it?  A kept column
 * without a copy had nothing to lose and passes.
 */
void
copy_prove(const Kept *kept)
{
	Oid			namespace;
	Oid			relid;
	Relation	copy;
	CopyProof	proof;

	if (kept->vault_name == NULL)
		return;
	namespace = get_namespace_oid(kept->vault_schema, true);
	relid = OidIsValid(namespace) ?
		get_relname_relid(kept->vault_name, namespace) : InvalidOid;
	if (!OidIsValid(relid) || get_rel_relkind(relid) != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_PRUNED),
				 errmsg("the kept values of column \"%s\" of %s %s are gone",
						kept->part, kept->object_type, kept->identity),
				 errdetail("Table %s does not exist.", copy_name(kept))));
	copy = table_open(relid, AccessShareLock);
	prove_rows(copy, &proof);
	if (proof.rows != kept->rows ||
		strcmp(psprintf("%016llx", (unsigned long long) proof.checksum),
			   kept->checksum ? kept->checksum : "") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_PRUNED),
				 errmsg("the kept values of column \"%s\" of %s %s are not what was kept",
						kept->part, kept->object_type, kept->identity),
				 errdetail("Table %s has %lld rows; %lld were kept. Its checksum is %016llx; %s was recorded.",
						   copy_name(kept), (long long) proof.rows,
						   (long long) kept->rows,
						   (unsigned long long) proof.checksum,
						   kept->checksum ? kept->checksum : "none")));
	table_close(copy, AccessShareLock);
}

/* What is in it now is what was kept. */
void
copy_reprove(Kept *kept, Relation copy)
{
	CopyProof	proof;

	prove_rows(copy, &proof);
	kept->rows = proof.rows;
	kept->checksum = psprintf("%016llx", (unsigned long long) proof.checksum);
	kept_add_detail(kept, "rows", psprintf(INT64_FORMAT, proof.rows));
	kept_add_detail(kept, "values", psprintf(INT64_FORMAT, proof.values));
	kept_add_detail(kept, "value_checksum",
					psprintf("%016llx", (unsigned long long) proof.value_checksum));
}

/* The copy as SQL names it. */
char *
copy_name(const Kept *kept)
{
	return quote_qualified_identifier(kept->vault_schema, kept->vault_name);
}
