/*-------------------------------------------------------------------------
 *
 * writes.c
 *	  Keeps what a migration did to the rows of a table.
 *
 * Of an updated row the columns that changed are kept, with what they held
 * before and a hash of what they hold now: so a rollback can tell whether the
 * row was written again, column by column, and leaves alone what it did not
 * change itself.  Of a deleted row all is kept, of an inserted one nothing
 * but its key and its hash.
 *
 * Columns that the migration itself added go when it is taken back: what it
 * writes there is not kept, nor compared.
 *
 * A row is known again by its key as it is now, which the migration may have
 * changed.  A row of a table without a key is known by all that it holds.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/tupmacs.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "history/framework.h"
#include "keep/limit.h"
#include "keep/vault.h"
#include "keep/writes.h"
#include "point.h"
#include "progress.h"

/* The header with its bits, what is fixed, and a key. */
#define MAX_WIDTH_OF_OURS	1024

/* ---- the copy ---- */

static bool
name_is_free(const WritesShape *shape, const char *name)
{
	for (int i = 0; i < shape->row.ncolumns; i++)
	{
		if (strcmp(shape->row.columns[i].name, name) == 0)
			return false;
	}
	return true;
}

/* The row's own columns keep their names; ours give way. */
static void
describe_ours(TupleDesc desc, AttrNumber number, const WritesShape *shape,
			  const char *name, Oid type, int32 typmod)
{
	char	   *free = pstrdup(name);

	while (!name_is_free(shape, free))
		free = psprintf("%s_", free);
	TupleDescInitEntry(desc, number, free, type, typmod, 0);
}

static void
describe_stored(TupleDesc desc, AttrNumber number, const StoredColumn *column)
{
	TupleDescInitEntry(desc, number, column->name, stored_column_type(column),
					   column->form == STORED_TYPED ? column->typmod : -1, 0);
}

static TupleDesc
describe_row(const WritesShape *shape)
{
	TupleDesc	desc = CreateTemplateTupleDesc(shape->row.ncolumns);

	for (int i = 0; i < shape->row.ncolumns; i++)
		describe_stored(desc, i + 1, &shape->row.columns[i]);
	return desc;
}

static TupleDesc
describe_copy(const WritesShape *shape)
{
	int			natts = WRITTEN_FIXED + shape->nkeys + shape->row.ncolumns;
	TupleDesc	desc = CreateTemplateTupleDesc(natts);
	AttrNumber	number = WRITTEN_FIXED;

	describe_ours(desc, WRITTEN_ACTION, shape, "safemig_action", CHAROID, -1);
	describe_ours(desc, WRITTEN_FIRST, shape, "safemig_hash_1", INT8OID, -1);
	describe_ours(desc, WRITTEN_SECOND, shape, "safemig_hash_2", INT8OID, -1);
	describe_ours(desc, WRITTEN_CHANGED, shape, "safemig_changed", BYTEAOID, -1);
	for (int i = 0; i < shape->nkeys; i++)
		describe_ours(desc, ++number, shape, psprintf("safemig_key_%d", i + 1),
					  stored_column_type(&shape->keys[i]),
					  shape->keys[i].form == STORED_TYPED ? shape->keys[i].typmod : -1);
	for (int i = 0; i < shape->row.ncolumns; i++)
		describe_stored(desc, ++number, &shape->row.columns[i]);
	return desc;
}

/* ---- one row ---- */

bool
writes_is_changed(bytea *changed, int column)
{
	return changed == NULL ||
		(VARDATA_ANY(changed)[column / 8] & (1 << (column % 8))) != 0;
}

bytea *
writes_no_columns(const WritesShape *shape)
{
	Size		size = VARHDRSZ + (shape->row.ncolumns + 7) / 8;
	bytea	   *bits = palloc0(size);

	SET_VARSIZE(bits, size);
	return bits;
}

/* Of the changed columns of a row in its stored form. */
RowHash
writes_hash(const WritesShape *shape, bytea *changed, const Datum *values,
			const bool *nulls)
{
	RowHash		hash = row_hash_begin();

	for (int i = 0; i < shape->row.ncolumns; i++)
	{
		if (writes_is_changed(changed, i) && !shape->passing[i])
			row_hash_add(&hash, TupleDescAttr(shape->row_desc, i), values[i], nulls[i]);
	}
	return hash;
}

/* Datums of a table's column; toasted ones are equal if they are the same. */
static bool
column_is_same(TupleTableSlot *before, TupleTableSlot *after, AttrNumber attnum)
{
	Form_pg_attribute att = TupleDescAttr(before->tts_tupleDescriptor, attnum - 1);
	bool		first_null,
				second_null;
	Datum		first = slot_getattr(before, attnum, &first_null);
	Datum		second = slot_getattr(after, attnum, &second_null);

	if (first_null || second_null)
		return first_null && second_null;
	if (datumIsEqual(first, second, att->attbyval, att->attlen))
		return true;
	return att->attlen == -1 &&
		datum_image_eq(first, second, att->attbyval, att->attlen);
}

/* One row of the copy that is being written. */
typedef struct WrittenRow
{
	Datum	   *values;			/* of the copy */
	bool	   *nulls;
	Datum	   *now;			/* the row as it is, in stored form */
	bool	   *now_null;
	StoredColumn *unfit;		/* whose form does not give its value back */
} WrittenRow;

static bool
store(WrittenRow *row, StoredColumn *column, TupleTableSlot *slot, Datum *value,
	  bool *isnull)
{
	if (copy_store_column(column, slot, value, isnull))
		return true;
	row->unfit = column;
	return false;
}

static void
store_hash(WrittenRow *row, RowHash hash)
{
	row->values[WRITTEN_FIRST - 1] = Int64GetDatum((int64) hash.first);
	row->values[WRITTEN_SECOND - 1] = Int64GetDatum((int64) hash.second);
	row->nulls[WRITTEN_FIRST - 1] = row->nulls[WRITTEN_SECOND - 1] = false;
}

/* What the row held before, of the columns that changed. */
static bool
store_before(WritesShape *shape, WrittenRow *row, TupleTableSlot *before,
			 bytea *changed)
{
	for (int i = 0; i < shape->row.ncolumns; i++)
	{
		int			at = WRITTEN_FIXED + shape->nkeys + i;

		if (writes_is_changed(changed, i) &&
			!store(row, &shape->row.columns[i], before, &row->values[at], &row->nulls[at]))
			return false;
	}
	return true;
}

/* By what the row is to be found: its key, and a hash of what it holds. */
static bool
store_after(WritesShape *shape, WrittenRow *row, TupleTableSlot *after,
			bytea *changed)
{
	bytea	   *hashed = shape->nkeys > 0 ? changed : NULL;

	for (int i = 0; i < shape->nkeys; i++)
	{
		int			at = WRITTEN_FIXED + i;

		if (!store(row, &shape->keys[i], after, &row->values[at], &row->nulls[at]))
			return false;
	}
	for (int i = 0; i < shape->row.ncolumns; i++)
	{
		if (writes_is_changed(hashed, i) &&
			!store(row, &shape->row.columns[i], after, &row->now[i], &row->now_null[i]))
			return false;
	}
	store_hash(row, writes_hash(shape, hashed, row->now, row->now_null));
	return true;
}

/* NULL: nothing did. */
static bytea *
changed_columns(WritesShape *shape, TupleTableSlot *before, TupleTableSlot *after)
{
	bytea	   *changed = writes_no_columns(shape);
	bool		any = false;

	for (int i = 0; i < shape->row.ncolumns; i++)
	{
		if (shape->passing[i] ||
			column_is_same(before, after, shape->row.columns[i].attnum))
			continue;
		VARDATA(changed)[i / 8] |= 1 << (i % 8);
		any = true;
		for (int k = 0; k < shape->nkeys; k++)
			shape->moves_keys |= shape->keys[k].attnum == shape->row.columns[i].attnum;
	}
	return any ? changed : NULL;
}

/* False: the row is as it was, or a form is unfit. */
static bool
form_row(WritesShape *shape, WrittenRow *row, TupleTableSlot *before,
		 TupleTableSlot *after)
{
	bytea	   *changed = NULL;
	char		action = TupIsNull(before) ? ROW_INSERTED :
	TupIsNull(after) ? ROW_DELETED : ROW_UPDATED;

	memset(row->nulls, true, (WRITTEN_FIXED + shape->nkeys + shape->row.ncolumns) * sizeof(bool));
	row->values[WRITTEN_ACTION - 1] = CharGetDatum(action);
	row->nulls[WRITTEN_ACTION - 1] = false;
	if (action == ROW_UPDATED)
	{
		changed = changed_columns(shape, before, after);
		if (changed == NULL)
			return false;
		row->values[WRITTEN_CHANGED - 1] = PointerGetDatum(changed);
		row->nulls[WRITTEN_CHANGED - 1] = false;
	}
	return (action == ROW_INSERTED || store_before(shape, row, before, changed)) &&
		(action == ROW_DELETED || store_after(shape, row, after, changed));
}

/* ---- all rows ---- */

static void
fetch(Relation rel, ItemPointer tid, TupleTableSlot *slot)
{
	if (ItemPointerIsValid(tid))
		versions_fetch(rel, tid, slot);
	else
		ExecClearTuple(slot);
}

static void
row_init(WrittenRow *row, const WritesShape *shape)
{
	int			natts = WRITTEN_FIXED + shape->nkeys + shape->row.ncolumns;

	row->values = palloc0(natts * sizeof(Datum));
	row->nulls = palloc0(natts * sizeof(bool));
	row->now = palloc0(Max(shape->row.ncolumns, 1) * sizeof(Datum));
	row->now_null = palloc0(Max(shape->row.ncolumns, 1) * sizeof(bool));
	row->unfit = NULL;
}

/* NULL, or the column whose form proved unfit: then the copy is thrown away. */
static StoredColumn *
copy_writes(Relation rel, Versions *versions, WritesShape *shape, Oid copy,
			RowsProof *proof)
{
	CopyWriter	writer;
	TupleTableSlot *pair = MakeSingleTupleTableSlot(versions->desc, &TTSOpsMinimalTuple);
	TupleTableSlot *before = table_slot_create(rel, NULL);
	TupleTableSlot *after = table_slot_create(rel, NULL);
	WrittenRow	row;
	Progress	progress;
	ItemPointerData old_tid,
				new_tid;

	row_init(&row, shape);
	progress_begin(&progress, PROGRESS_COPYING_WRITTEN, rel, -1);
	copy_writer_open(&writer, copy);
	memset(proof, 0, sizeof(RowsProof));
	versions_again(versions);
	while (row.unfit == NULL && versions_next(versions, pair, &old_tid, &new_tid))
	{
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		fetch(rel, &old_tid, before);
		fetch(rel, &new_tid, after);
		old = MemoryContextSwitchTo(writer.context);
		if (form_row(shape, &row, before, after))
		{
			rows_proof_add(proof, row_hash(RelationGetDescr(writer.copy), row.values, row.nulls));
			copy_writer_put(&writer, row.values, row.nulls);
		}
		MemoryContextSwitchTo(old);
		progress_count(&progress);
	}
	progress_end(&progress);
	ExecDropSingleTupleTableSlot(pair);
	ExecDropSingleTupleTableSlot(before);
	ExecDropSingleTupleTableSlot(after);
	copy_writer_close(&writer);
	return row.unfit;
}

static void
shape_of_relation(Relation rel, const Bitmapset *passing, WritesShape *shape)
{
	shape->nkeys = relation_key(rel, &shape->keys);
	rows_shape_of_table(rel, &shape->row);
	shape->passing = palloc0(Max(shape->row.ncolumns, 1) * sizeof(bool));
	for (int i = 0; i < shape->row.ncolumns; i++)
		shape->passing[i] = bms_is_member(shape->row.columns[i].attnum, passing);
	shape->row_desc = describe_row(shape);
	shape->moves_keys = false;
}

static Oid
make_copy(Relation rel, Versions *versions, WritesShape *shape, const char *name,
		  Oid namespace, RowsProof *proof)
{
	for (;;)
	{
		Oid			copy = copy_create(name, namespace, describe_copy(shape));
		StoredColumn *unfit;
		Frame		frame;

		frame_become(&frame, rel->rd_rel->relowner);
		unfit = copy_writes(rel, versions, shape, copy, proof);
		frame_unpin(&frame);
		if (unfit == NULL)
			return copy;
		copy_drop(copy);
		rows_change_form(rel, unfit);
		shape->row_desc = describe_row(shape);
	}
}

/*
 * May a row of the copy, which has more columns than the table, not fit where
 * the table's own does?  What is wide may be elsewhere, but for a pointer to it.
 */
bool
writes_may_be_too_wide(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Size		width = MAX_WIDTH_OF_OURS;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped)
			width = att_align_nominal(width, att->attalign) +
				(att->attlen > 0 ? (Size) att->attlen : TOAST_POINTER_SIZE);
	}
	return desc->natts > MaxHeapAttributeNumber - WRITTEN_FIXED - INDEX_MAX_KEYS ||
		width > MaxHeapTupleSize;
}

/*
 * Keeps what the transaction did to these rows; NULL if in the end none of
 * them is another one.  passing: columns that go with the migration.
 */
Kept *
writes_keep(Relation rel, Versions *versions, const Bitmapset *passing,
			int64 migration, int64 command)
{
	ObjectAddress address;
	Kept	   *kept;
	WritesShape shape;
	RowsProof	proof;
	Oid			namespace;
	Oid			copy;

	if (versions->inserted + versions->updated + versions->deleted == 0)
		return NULL;
	ObjectAddressSet(address, RelationRelationId, RelationGetRelid(rel));
	kept = kept_start(&address, WRITES_KIND, migration, command);
	kept->id = history_nextval("kept_id");
	namespace = vault_schema_for(migration, command, RelationGetNamespace(rel));
	kept->vault_schema = get_namespace_name(namespace);
	kept->vault_name = psprintf("writes_" INT64_FORMAT, kept->id);
	shape_of_relation(rel, passing, &shape);
	copy = make_copy(rel, versions, &shape, kept->vault_name, namespace, &proof);
	SAFEMIG_POINT("data.copied");
	if (proof.rows == 0)
	{
		copy_drop(copy);
		vault_drop_if_empty(namespace);
		return NULL;
	}
	kept->rows = proof.rows;
	kept->bytes = DatumGetInt64(DirectFunctionCall1(pg_total_relation_size,
													ObjectIdGetDatum(copy)));
	kept->checksum = rows_checksum(&proof);
	rows_note_row_types(kept, &shape.row);
	for (int i = 0; i < shape.row.ncolumns; i++)
	{
		if (shape.passing[i])
			kept_add_detail(kept, psprintf("passing %d", i), shape.row.columns[i].name);
	}
	/* rows that an earlier migration wrote have another key by now */
	if (shape.moves_keys)
		kept_add_detail(kept, "moves keys", "true");
	kept_set_detailf(kept, "keys", "%d", shape.nkeys);
	for (int i = 0; i < shape.nkeys; i++)
		kept_add_detail(kept, psprintf("key %d", i + 1), shape.keys[i].name);
	limit_check(kept);
	history_add_kept(kept);
	return kept;
}

/* ---- the shape of a copy that is there ---- */

static StoredColumn *
column_by_name(RowShape *row, const char *name)
{
	for (int i = 0; i < row->ncolumns; i++)
	{
		if (strcmp(row->columns[i].name, name) == 0)
			return &row->columns[i];
	}
	return NULL;
}

static void
raise_other_columns(const Kept *kept)
{
	ereport(ERROR,
			(errcode(ERRCODE_SAFEMIG_CONFLICT),
			 errmsg("%s %s does not have the columns whose values were kept",
					kept->object_type, kept->identity)));
}

/* What a framework adds to its history, when it is a newer one, is no migration. */
static bool
may_have_more_columns(Relation rel)
{
	FrameworkTable table;

	(void) framework_of(RelationGetRelid(rel), &table);
	return table == FRAMEWORK_HISTORY || table == FRAMEWORK_PART;
}

/*
 * The columns of the table in the order of the copy: a column that could not
 * be revived in its place stands elsewhere.
 */
static void
order_as_copied(Relation rel, RowShape *row, Relation copy, int first, const Kept *kept)
{
	TupleDesc	desc = RelationGetDescr(copy);
	int			ncolumns = desc->natts - first;
	StoredColumn *columns = palloc0(Max(ncolumns, 1) * sizeof(StoredColumn));

	if (ncolumns != row->ncolumns &&
		(ncolumns > row->ncolumns || !may_have_more_columns(rel)))
		raise_other_columns(kept);
	row->ncolumns = ncolumns;
	for (int i = 0; i < ncolumns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, first + i);
		StoredColumn *column = column_by_name(row, NameStr(att->attname));

		if (column == NULL)
			raise_other_columns(kept);
		columns[i] = *column;
		rows_check_column(kept, att, &columns[i]);
	}
	row->columns = columns;
}

static void
key_of_copy(Relation rel, const char *name, Form_pg_attribute in_copy,
			StoredColumn *key, const Kept *kept)
{
	Form_pg_attribute att;

	key->attnum = get_attnum(RelationGetRelid(rel), name);
	if (key->attnum <= 0)
		raise_other_columns(kept);
	att = TupleDescAttr(RelationGetDescr(rel), key->attnum - 1);
	key->name = pstrdup(name);
	stored_column_init(key, att->atttypid, att->atttypmod);
	stored_column_set_form(key, rows_form_in_copy(in_copy, key));
	if (stored_column_type(key) != in_copy->atttypid)
		raise_other_columns(kept);
}

static void
recall_passing(WritesShape *shape, const Kept *kept)
{
	shape->passing = palloc0(Max(shape->row.ncolumns, 1) * sizeof(bool));
	for (int i = 0; i + 1 < list_length(kept->details); i += 2)
	{
		if (strncmp(list_nth(kept->details, i), "passing", strlen("passing")) != 0)
			continue;
		for (int j = 0; j < shape->row.ncolumns; j++)
			shape->passing[j] |= strcmp(shape->row.columns[j].name,
										list_nth(kept->details, i + 1)) == 0;
	}
}

void
writes_shape_of_copy(Relation rel, Relation copy, const Kept *kept,
					 WritesShape *shape)
{
	shape->nkeys = (int) kept_number(kept, "keys");
	shape->keys = palloc0(Max(shape->nkeys, 1) * sizeof(StoredColumn));
	rows_shape_of_table(rel, &shape->row);
	order_as_copied(rel, &shape->row, copy, WRITTEN_FIXED + shape->nkeys, kept);
	for (int i = 0; i < shape->nkeys; i++)
		key_of_copy(rel, kept_need_detail(kept, psprintf("key %d", i + 1)),
					TupleDescAttr(RelationGetDescr(copy), WRITTEN_FIXED + i),
					&shape->keys[i], kept);
	recall_passing(shape, kept);
	shape->row_desc = describe_row(shape);
}
