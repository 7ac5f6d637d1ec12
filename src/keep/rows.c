/*-------------------------------------------------------------------------
 *
 * rows.c
 *	  Copies the rows of a table as they are now.
 *
 * The copy is made by a scan in C (copy.c), under one snapshot for all tables
 * that are kept together, as pg_dump reads them: nobody has to stop writing.
 * A value that no form gives back exactly is an error, so that a copy is
 * always a whole one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

#include "compat.h"
#include "history/history.h"
#include "keep/limit.h"
#include "keep/rows.h"
#include "keep/vault.h"
#include "point.h"
#include "progress.h"

#define FIRST_SEED	UINT64CONST(0)
#define SECOND_SEED UINT64CONST(0x9e3779b97f4a7c15)

/* ---- what a row looks like ---- */

void
rows_shape_of_table(Relation rel, RowShape *shape)
{
	TupleDesc	desc = RelationGetDescr(rel);

	shape->ncolumns = 0;
	shape->columns = palloc0(Max(desc->natts, 1) * sizeof(StoredColumn));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		StoredColumn *column = &shape->columns[shape->ncolumns];

		if (att->attisdropped || att->attgenerated)
			continue;
		column->attnum = att->attnum;
		column->name = pstrdup(NameStr(att->attname));
		stored_column_init(column, att->atttypid, att->atttypmod);
		shape->ncolumns++;
	}
}

static TupleDesc
descriptor_of_shape(const RowShape *shape)
{
	TupleDesc	desc = CreateTemplateTupleDesc(shape->ncolumns);

	for (int i = 0; i < shape->ncolumns; i++)
	{
		const StoredColumn *column = &shape->columns[i];

		TupleDescInitEntry(desc, i + 1, column->name, stored_column_type(column),
						   column->form == STORED_TYPED ? column->typmod : -1, 0);
	}
	return desc;
}

RowHash
row_hash_begin(void)
{
	RowHash		hash = {FIRST_SEED, SECOND_SEED};

	return hash;
}

void
row_hash_add(RowHash *hash, Form_pg_attribute att, Datum value, bool isnull)
{
	hash->first = stored_hash(att, value, isnull, hash->first);
	hash->second = stored_hash(att, value, isnull, hash->second);
}

RowHash
row_hash(TupleDesc desc, const Datum *values, const bool *nulls)
{
	RowHash		hash = row_hash_begin();

	for (int i = 0; i < desc->natts; i++)
		row_hash_add(&hash, TupleDescAttr(desc, i), values[i], nulls[i]);
	return hash;
}

/* Sums, since a row that is there twice would vanish from an exclusive or. */
void
rows_proof_add(RowsProof *proof, RowHash hash)
{
	proof->rows++;
	proof->sum.first += hash.first;
	proof->sum.second += hash.second;
}

char *
rows_checksum(const RowsProof *proof)
{
	return psprintf("%016llx%016llx", (unsigned long long) proof->sum.first,
					(unsigned long long) proof->sum.second);
}

/* ---- keeping ---- */

static bool
store_row(CopyWriter *writer, RowShape *shape, TupleTableSlot *slot,
		  Datum *values, bool *nulls, StoredColumn **unfit)
{
	for (int i = 0; i < shape->ncolumns; i++)
	{
		if (!copy_store_column(&shape->columns[i], slot, &values[i], &nulls[i]))
		{
			*unfit = &shape->columns[i];
			return false;
		}
	}
	return true;
}

/* NULL, or the column whose form proved unfit: then the copy is thrown away. */
static StoredColumn *
copy_rows(Relation rel, Snapshot snapshot, RowShape *shape, Oid copy,
		  RowsProof *proof)
{
	CopyWriter	writer;
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = table_beginscan_strat(rel, snapshot, 0, NULL, true, false);
	Datum	   *values = palloc0(Max(shape->ncolumns, 1) * sizeof(Datum));
	bool	   *nulls = palloc0(Max(shape->ncolumns, 1) * sizeof(bool));
	StoredColumn *unfit = NULL;
	Progress	progress;

	copy_writer_open(&writer, copy);
	memset(proof, 0, sizeof(RowsProof));
	progress_begin_scan(&progress, PROGRESS_COPYING, rel);
	while (unfit == NULL && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(writer.context);

		CHECK_FOR_INTERRUPTS();
		progress_row(&progress, slot);
		if (store_row(&writer, shape, slot, values, nulls, &unfit))
		{
			rows_proof_add(proof, row_hash(RelationGetDescr(writer.copy), values, nulls));
			copy_writer_put(&writer, values, nulls);
		}
		MemoryContextSwitchTo(old);
	}
	progress_end(&progress);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	copy_writer_close(&writer);
	return unfit;
}

/* A column whose form proved unfit gets another one, if there is one. */
void
rows_change_form(Relation rel, StoredColumn *unfit)
{
	copy_change_form(unfit);
	if (unfit->unproved)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CAPTURE),
				 errmsg("values of column \"%s\" of table \"%s\" cannot be copied exactly",
						unfit->name, RelationGetRelationName(rel)),
				 errdetail("Neither text nor binary output of their type gives the value back.")));
}

static Oid
make_copy(Relation rel, Snapshot snapshot, const char *name, Oid namespace,
		  RowShape *shape, RowsProof *proof)
{
	for (;;)
	{
		Oid			copy = copy_create(name, namespace, descriptor_of_shape(shape));
		StoredColumn *unfit;
		Frame		frame;

		frame_become(&frame, rel->rd_rel->relowner);
		unfit = copy_rows(rel, snapshot, shape, copy, proof);
		frame_unpin(&frame);
		if (unfit == NULL)
			return copy;
		copy_drop(copy);
		rows_change_form(rel, unfit);
	}
}

static void
append_row_type(StringInfo buf, Oid typid)
{
	Oid			element = get_element_type(getBaseType(typid));
	Oid			type = getBaseType(OidIsValid(element) ? element : typid);
	TupleDesc	desc;

	check_stack_depth();
	if (get_typtype(type) != TYPTYPE_COMPOSITE)
		return;
	desc = lookup_rowtype_tupdesc(type, -1);
	appendStringInfoChar(buf, '(');
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped)
			continue;
		appendStringInfo(buf, "%s;", format_type_with_typemod(att->atttypid, att->atttypmod));
		append_row_type(buf, att->atttypid);
	}
	appendStringInfoChar(buf, ')');
	ReleaseTupleDesc(desc);
}

/*
 * The types that text of a row type is read as, or "".  If they are others
 * now, it would read as another value.
 */
static char *
row_type(Oid typid)
{
	StringInfoData buf;

	initStringInfo(&buf);
	append_row_type(&buf, typid);
	return buf.data;
}

void
rows_note_row_types(Kept *kept, const RowShape *shape)
{
	for (int i = 0; i < shape->ncolumns; i++)
	{
		char	   *type = row_type(shape->columns[i].typid);

		if (type[0])
			kept_add_detail(kept, psprintf("type of %s", shape->columns[i].name), type);
	}
}

Kept *
rows_keep(Relation rel, Snapshot snapshot, int64 migration, int64 command)
{
	ObjectAddress address;
	Kept	   *kept;
	RowShape	shape;
	RowsProof	proof;
	Oid			namespace;
	Oid			copy;

	ObjectAddressSet(address, RelationRelationId, RelationGetRelid(rel));
	kept = kept_start(&address, ROWS_KIND, migration, command);
	kept->id = history_nextval("kept_id");
	namespace = vault_schema_for(migration, command, RelationGetNamespace(rel));
	kept->vault_schema = get_namespace_name(namespace);
	kept->vault_name = psprintf("rows_" INT64_FORMAT, kept->id);
	rows_shape_of_table(rel, &shape);
	if (limit_forbids(migration, limit_estimate(rel, 0, -1),
					  psprintf("%s %s", kept->object_type, kept->identity)))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("the rows of %s are more than safemig.max_kept_bytes allows to keep",
						kept->identity)));
	copy = make_copy(rel, snapshot, kept->vault_name, namespace, &shape, &proof);
	SAFEMIG_POINT("snapshot.copied");
	kept->rows = proof.rows;
	kept->bytes = DatumGetInt64(DirectFunctionCall1(pg_total_relation_size,
													ObjectIdGetDatum(copy)));
	kept->checksum = rows_checksum(&proof);
	rows_note_row_types(kept, &shape);
	limit_check(kept);
	history_add_kept(kept);
	return kept;
}

/* ---- proving ---- */

static void
prove_copy(Relation copy, RowsProof *proof)
{
	TupleTableSlot *slot = table_slot_create(copy, NULL);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "safemig proof",
												  ALLOCSET_DEFAULT_SIZES);
	Snapshot	snapshot;
	TableScanDesc scan = plain_scan_begin(copy, &snapshot);
	Progress	progress;

	memset(proof, 0, sizeof(RowsProof));
	progress_begin_scan(&progress, PROGRESS_PROVING_ROWS, copy);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		CHECK_FOR_INTERRUPTS();
		progress_row(&progress, slot);
		slot_getallattrs(slot);
		rows_proof_add(proof, row_hash(RelationGetDescr(copy), slot->tts_values,
									   slot->tts_isnull));
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	progress_end(&progress);
	plain_scan_end(scan, snapshot);
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextDelete(context);
}

/* What is in it now is what was kept. */
void
rows_reprove(Kept *kept, Relation copy)
{
	RowsProof	proof;

	prove_copy(copy, &proof);
	kept->rows = proof.rows;
	kept->checksum = rows_checksum(&proof);
}

Relation
rows_open_copy(const Kept *kept)
{
	Oid			namespace = get_namespace_oid(kept->vault_schema, true);
	Oid			relid = OidIsValid(namespace) ?
		get_relname_relid(kept->vault_name, namespace) : InvalidOid;
	Relation	copy;
	RowsProof	proof;

	if (!OidIsValid(relid) || get_rel_relkind(relid) != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_PRUNED),
				 errmsg("the kept rows of %s %s are gone", kept->object_type, kept->identity),
				 errdetail("Table %s does not exist.", copy_name(kept))));
	copy = table_open(relid, AccessShareLock);
	prove_copy(copy, &proof);
	if (proof.rows != kept->rows || kept->checksum == NULL ||
		strcmp(rows_checksum(&proof), kept->checksum) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_PRUNED),
				 errmsg("the kept rows of %s %s are not what was kept",
						kept->object_type, kept->identity),
				 errdetail("Table %s has %lld rows with checksum %s; %lld with %s were kept.",
						   copy_name(kept), (long long) proof.rows,
						   rows_checksum(&proof), (long long) kept->rows,
						   kept->checksum ? kept->checksum : "none")));
	return copy;
}

/* The form that the column has in the copy. */
StoredForm
rows_form_in_copy(Form_pg_attribute att, const StoredColumn *column)
{
	return column->form == STORED_TEXT && att->atttypid == BYTEAOID ?
		STORED_BINARY : column->form;
}

void
rows_check_column(const Kept *kept, Form_pg_attribute att, StoredColumn *column)
{
	const char *type = kept_detail(kept, psprintf("type of %s", column->name));

	stored_column_set_form(column, rows_form_in_copy(att, column));
	if (strcmp(NameStr(att->attname), column->name) != 0 ||
		stored_column_type(column) != att->atttypid ||
		strcmp(type ? type : "", row_type(column->typid)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("column \"%s\" of %s %s is not the one whose values were kept",
						column->name, kept->object_type, kept->identity),
				 errdetail("Its name or its type was changed.")));
}

void
rows_shape_of_copy(Relation rel, Relation copy, const Kept *kept, RowShape *shape)
{
	rows_shape_of_table(rel, shape);
	if (shape->ncolumns != RelationGetDescr(copy)->natts)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("%s %s has %d columns to fill, but %d were kept",
						kept->object_type, kept->identity, shape->ncolumns,
						RelationGetDescr(copy)->natts)));
	for (int i = 0; i < shape->ncolumns; i++)
		rows_check_column(kept, TupleDescAttr(RelationGetDescr(copy), i), &shape->columns[i]);
}
