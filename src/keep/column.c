/*-------------------------------------------------------------------------
 *
 * column.c
 *	  Copies the values of a column that a command is about to take away or
 *	  to convert.
 *
 * The copy (copy.c) is made by a scan in C under the caller's lock on the
 * table.  What is needed to make the column again is noted beside it.
 *
 * A row is found again by its key.  A table without one is copied with the
 * ordinals of its rows (place.c) and what they hold besides (content.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/reloptions.h"
#include "access/syncscan.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "rewrite/rewriteHandler.h"
#include "storage/bufmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "compat.h"
#include "history/history.h"
#include "keep/limit.h"
#include "keep/vault.h"
#include "keep/writes.h"
#include "point.h"

/* Settings that decide what a conversion between types gives. */
static const char *const conversion_settings[] = {
	"TimeZone", "DateStyle", "IntervalStyle", "extra_float_digits",
	"bytea_output", "lc_monetary", "xmlbinary", "xmloption"
};

/* ---- the key ---- */

static bool
index_is_key(Relation rel, HeapTuple tuple, const Bitmapset *without)
{
	Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);
	bool		isnull;
	oidvector  *classes;

	if (!index->indisunique || !index->indimmediate || !index->indisvalid ||
		!index->indisready || !index->indislive ||
		!heap_attisnull(tuple, Anum_pg_index_indpred, NULL) ||
		!heap_attisnull(tuple, Anum_pg_index_indexprs, NULL))
		return false;
	classes = (oidvector *) DatumGetPointer(SysCacheGetAttr(INDEXRELID, tuple,
															Anum_pg_index_indclass,
															&isnull));
	for (int i = 0; i < index->indnkeyatts; i++)
	{
		AttrNumber	attnum = index->indkey.values[i];

		/* rows are matched by the equality of built-in operator classes */
		if (attnum <= 0 || bms_is_member(attnum, without) ||
			!TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attnotnull ||
			(!IsPinnedObject(OperatorClassRelationId, classes->values[i]) &&
			 IsPinnedObject(TypeRelationId,
							TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atttypid)))
			return false;
	}
	return true;
}

/*
 * Fills shape's keys from the primary key, or the narrowest unique index that
 * identifies a row as well (a replica identity is one of those).  Columns in
 * without do not stay what they are.
 */
static void
find_key(Relation rel, const Bitmapset *without, CopyShape *shape)
{
	AttrNumber	best[INDEX_MAX_KEYS];
	int			nbest = 0;
	bool		primary = false;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID,
											ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_index index;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for index %u", lfirst_oid(lc));
		index = (Form_pg_index) GETSTRUCT(tuple);
		if (index_is_key(rel, tuple, without) && !primary &&
			(nbest == 0 || index->indisprimary || index->indnkeyatts < nbest))
		{
			primary = index->indisprimary;
			nbest = index->indnkeyatts;
			memcpy(best, index->indkey.values, nbest * sizeof(AttrNumber));
		}
		ReleaseSysCache(tuple);
	}
	shape->nkeys = nbest;
	for (int i = 0; i < nbest; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), best[i] - 1);

		shape->keys[i].attnum = best[i];
		shape->keys[i].name = pstrdup(NameStr(att->attname));
		stored_column_init(&shape->keys[i], att->atttypid, att->atttypmod);
	}
}

/* The key by which rows are matched; 0 if there is none. */
int
relation_key(Relation rel, StoredColumn **keys)
{
	CopyShape  *shape = palloc0(sizeof(CopyShape));

	find_key(rel, NULL, shape);
	*keys = shape->keys;
	return shape->nkeys;
}

/* ---- what is written down beside the copy ---- */

void
kept_set_detailf(Kept *kept, const char *name, const char *fmt,...)
{
	StringInfoData value;
	va_list		args;
	int			needed;

	initStringInfo(&value);
	for (;;)
	{
		va_start(args, fmt);
		needed = appendStringInfoVA(&value, fmt, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&value, needed);
	}
	for (int i = 0; i + 1 < list_length(kept->details); i += 2)
	{
		if (strcmp(list_nth(kept->details, i), name) == 0)
		{
			lfirst(list_nth_cell(kept->details, i + 1)) = value.data;
			return;
		}
	}
	kept_add_detail(kept, name, value.data);
}

/* The options of a column but PostgreSQL's own version of it, as an array. */
static char *
options_text(HeapTuple tuple)
{
	bool		isnull;
	Datum		options = SysCacheGetAttr(ATTNUM, tuple,
										  Anum_pg_attribute_attoptions, &isnull);
	List	   *user = NIL;
	ListCell   *lc;

	if (isnull)
		return NULL;
	foreach(lc, untransformRelOptions(options))
		if (strcmp(lfirst_node(DefElem, lc)->defname, ATTRIBUTE_VERSION_KEY) != 0)
			user = lappend(user, lfirst(lc));
	if (user == NIL)
		return NULL;
	options = transformRelOptions((Datum) 0, user, NULL, NULL, false, false);
	return OidOutputFunctionCall(F_ARRAY_OUT, options);
}

/* The value that rows older than the column have, as text. */
static char *
missing_text(HeapTuple tuple, Form_pg_attribute att)
{
	bool		isnull;
	Datum		array = SysCacheGetAttr(ATTNUM, tuple,
										Anum_pg_attribute_attmissingval, &isnull);
	int			first = 1;
	Datum		value;
	Oid			output;
	bool		varlena;

	if (isnull)
		return NULL;
	value = array_get_element(array, 1, &first, -1, att->attlen, att->attbyval,
							  att->attalign, &isnull);
	if (isnull)
		return NULL;
	getTypeOutputInfo(getBaseType(att->atttypid), &output, &varlena);
	return OidOutputFunctionCall(output, value);
}

/*
 * What rows written since would have got: they come through the root of the
 * partition tree, whose default counts there, whatever the partition's is.
 */
static void
add_root_default(Kept *kept, Oid relid, const char *name)
{
	Oid			root = llast_oid(get_partition_ancestors(relid));
	AttrNumber	attnum = get_attnum(root, name);
	Relation	rel;
	Form_pg_attribute att;

	if (attnum == InvalidAttrNumber)
		return;
	rel = relation_open(root, AccessShareLock);
	att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	if (!att->attgenerated)
		kept_add_detail(kept, "root default",
						att->atthasdef ?
						deparse_expression(build_column_default(rel, attnum),
										   NIL, false, false) : "");
	relation_close(rel, NoLock);
}

static void
add_attribute(Kept *kept, Relation rel, AttrNumber attnum)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM,
										ObjectIdGetDatum(RelationGetRelid(rel)),
										Int16GetDatum(attnum));
	Form_pg_attribute att;
	char	   *text;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for attribute %d of relation %u",
			 attnum, RelationGetRelid(rel));
	att = (Form_pg_attribute) GETSTRUCT(tuple);
	kept_set_detailf(kept, "attnum", "%d", attnum);
	kept_set_detailf(kept, "type", "%u", att->atttypid);
	kept_add_detail(kept, "type_name",
					format_type_with_typemod(att->atttypid, att->atttypmod));
	kept_add_detail(kept, "type_image", type_fingerprint(att->atttypid));
	kept_set_detailf(kept, "typmod", "%d", att->atttypmod);
	kept_set_detailf(kept, "ndims", "%d", att->attndims);
	kept_set_detailf(kept, "collation", "%u", att->attcollation);
	if (OidIsValid(att->attcollation) &&
		att->attcollation != get_typcollation(att->atttypid))
		kept_add_detail(kept, "collation_name",
						collation_name(att->attcollation));
	kept_set_detailf(kept, "storage", "%c", att->attstorage);
	if (att->attcompression)
		kept_set_detailf(kept, "compression", "%c", att->attcompression);
	kept_set_detailf(kept, "islocal", "%d", att->attislocal);
	kept_set_detailf(kept, "inhcount", "%d", att->attinhcount);
	if (att->attgenerated)
		kept_set_detailf(kept, "generated", "%c", att->attgenerated);
	if ((text = options_text(tuple)) != NULL)
		kept_add_detail(kept, "options", text);
	if (rel->rd_rel->relispartition)
		add_root_default(kept, RelationGetRelid(rel), NameStr(att->attname));
	if (att->atthasmissing && (text = missing_text(tuple, att)) != NULL)
		kept_add_detail(kept, "missing", text);
	ReleaseSysCache(tuple);
}

static void
add_stored(Kept *kept, const char *prefix, const StoredColumn *column)
{
	kept_set_detailf(kept, psprintf("%s.stored", prefix), "%c", column->form);
	if (column->unproved)
		kept_add_detail(kept, "unproved", column->name);
}

static void
add_shape(Kept *kept, const CopyShape *shape)
{
	if (shape->nkeys == 0)
		kept_add_detail(kept, "keyless", "true");
	kept_set_detailf(kept, "keys", "%d", shape->nkeys);
	for (int i = 0; i < shape->nkeys; i++)
	{
		char	   *prefix = psprintf("key%d", i + 1);

		kept_add_detail(kept, prefix, shape->keys[i].name);
		kept_set_detailf(kept, psprintf("%s.attnum", prefix), "%d",
					shape->keys[i].attnum);
		add_stored(kept, prefix, &shape->keys[i]);
	}
	content_add_details(kept, shape);
	add_stored(kept, "value", &shape->value);
}

/* ---- keeping ---- */

static bool
new_rows_get_value(const Kept *kept, Form_pg_attribute att)
{
	const char *root_default = kept_detail(kept, "root default");

	return att->atthasdef || (root_default && root_default[0]) ||
		get_typdefault(att->atttypid) != NULL;
}

/* Makes the copy, unless the column holds nothing that could get lost. */
static void
keep_values(Kept *kept, Relation rel, AttrNumber attnum,
			const Together *together)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	CopyShape	shape;
	CopyProof	proof;
	Bitmapset  *without;
	Oid			namespace,
				copy;
	int64		rows;

	if (!RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
		return;
	/* a generated column is computed again, in rows written since */
	if (att->attgenerated)
	{
		kept_set_detailf(kept, "snapshot", "%s", place_snapshot(false));
		return;
	}

	/*
	 * A column without values needs no copy; but if it has a default, rows
	 * that are written later would get that, and the rows of now must be
	 * told from them.  And USING may make something of nothing.
	 */
	if (strcmp(kept->kind, "values") != 0 &&
		column_has_no_value(rel, attnum, &rows) &&
		(!new_rows_get_value(kept, att) || rows == 0))
	{
		kept_set_detailf(kept, "rows", INT64_FORMAT, rows);
		return;
	}

	memset(&shape, 0, sizeof(shape));
	shape.value.attnum = attnum;
	shape.value.name = pstrdup(NameStr(att->attname));
	stored_column_init(&shape.value, att->atttypid, att->atttypmod);
	without = bms_add_member(bms_copy(together->lossy), attnum);
	find_key(rel, without, &shape);
	if (shape.nkeys == 0)
	{
		kept_set_detailf(kept, "kept at", "%s", place_snapshot(true));
		kept_set_detailf(kept, "held at", "%s", place_snapshot(false));
		content_choose(kept, rel, attnum, together, &shape);
	}
	if (limit_forbids(kept->migration, limit_estimate(rel, attnum, -1),
					  psprintf("%s %s", kept->object_type, kept->identity)))
	{
		kept_add_detail(kept, "over limit", kept->part);
		return;
	}
	namespace = vault_schema_for(kept->migration, kept->command,
								 RelationGetNamespace(rel));
	kept->vault_schema = get_namespace_name(namespace);
	kept->vault_name = psprintf("column_" INT64_FORMAT, kept->id);
	copy = copy_make(rel, &shape, kept->vault_name, namespace, &proof);
	kept->rows = proof.rows;
	kept->bytes = DatumGetInt64(DirectFunctionCall1(pg_total_relation_size,
													ObjectIdGetDatum(copy)));
	kept->checksum = psprintf("%016llx", (unsigned long long) proof.checksum);
	kept_set_detailf(kept, "rows", INT64_FORMAT, proof.rows);
	kept_set_detailf(kept, "values", INT64_FORMAT, proof.values);
	kept_set_detailf(kept, "value_checksum", "%016llx",
				(unsigned long long) proof.value_checksum);
	add_shape(kept, &shape);
	limit_check(kept);
}

/* The settings in force that decide what casts give: name, value, ... */
List *
conversion_settings_now(void)
{
	List	   *settings = NIL;

	for (size_t i = 0; i < lengthof(conversion_settings); i++)
	{
		settings = lappend(settings, pstrdup(conversion_settings[i]));
		settings = lappend(settings,
						   pstrdup(GetConfigOption(conversion_settings[i],
												   false, false)));
	}
	return settings;
}

/* Casts of kept values are to give what they gave then. */
void
kept_set_conversion_settings(const Kept *kept)
{
	for (size_t i = 0; i < lengthof(conversion_settings); i++)
	{
		const char *value = kept_detail(kept, conversion_settings[i]);

		if (value)
			(void) set_config_option(conversion_settings[i], value, PGC_USERSET,
									 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	}
}

/*
 * A conversion reads the table from its first page on, unless it joins a scan
 * that others have begun.  Only in the former case are the new rows in the
 * order of the copy's, so the place to join at is set to the first page; the
 * caller's lock keeps everybody else from moving it.
 */
void
reset_scan_start(Relation rel)
{
	while (ss_get_location(rel, RelationGetNumberOfBlocks(rel) + 1) != 0)
	{
		CHECK_FOR_INTERRUPTS();
		ss_report_location(rel, 0);
	}
}

/*
 * Keeps the values of a column that is about to be dropped (kind "column"),
 * to get another type ("values"), or that without USING ("cast").  The caller
 * holds a lock on the table that lets nobody write, and for a change of type
 * nobody read; it calls this for every relation concerned, children and
 * partitions too, before the command runs.  Columns in together go or change
 * by the same command.  Returns the id of the kept row,
 * or 0 if the relation is of a kind whose columns are not kept.
 */
int64
column_keep(Oid relid, AttrNumber attnum, const Together *together,
			const char *kind, int64 migration, int64 command)
{
	Relation	rel = relation_open(relid, NoLock);
	char		relkind = rel->rd_rel->relkind;
	bool		dropped = strcmp(kind, "column") == 0;
	Frame		frame;
	Kept	   *kept;
	ObjectAddress address;

	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE &&
		relkind != RELKIND_COMPOSITE_TYPE &&
		!(relkind == RELKIND_FOREIGN_TABLE && dropped))
	{
		relation_close(rel, NoLock);
		return 0;
	}
	kept = palloc0(sizeof(Kept));
	kept->id = history_nextval("kept_id");
	kept->migration = migration;
	kept->command = command;
	kept->kind = dropped ? "column" : "values";
	kept->state = "kept";
	kept->part = pstrdup(NameStr(TupleDescAttr(RelationGetDescr(rel),
											   attnum - 1)->attname));
	kept->details = list_concat(kept->details,
								safemig_state.conversion_settings ?
								safemig_state.conversion_settings :
								conversion_settings_now());
	if (strcmp(kind, "cast") == 0)
		kept_add_detail(kept, "cast", "true");

	frame_become_owner(&frame);
	ObjectAddressSet(address, RelationRelationId, relid);
	kept->object_type = getObjectTypeDescription(&address, false);
	kept->identity = getObjectIdentity(&address, false);
	kept_add_detail(kept, "incarnation", history_incarnation());
	kept_set_detailf(kept, "relation", "%u", relid);
	kept_set_detailf(kept, "relfilenode", "%u", rel->rd_rel->relfilenode);
	add_attribute(kept, rel, attnum);
	keep_values(kept, rel, attnum, together);
	SAFEMIG_POINT("copy.proved");
	history_add_kept(kept);
	frame_unpin(&frame);

	if (!dropped && RELKIND_HAS_STORAGE(relkind))
		reset_scan_start(rel);
	relation_close(rel, NoLock);
	return kept->id;
}

/* ---- after a conversion ---- */

/*
 * By what a row is known that was not written since.  The rewrite gave every
 * row the transaction (or savepoint) that we are in, and a command id that no
 * later command of it gets.
 */
static void
add_stamp(Kept *kept, Relation rel)
{
	FullTransactionId next = ReadNextFullTransactionId();
	TransactionId xid = GetCurrentTransactionId();
	uint32		epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	kept_set_detailf(kept, "stamp", "%llu",
				(unsigned long long) FullTransactionIdFromEpochAndXid(epoch, xid).value);
	kept_set_detailf(kept, "stamp_command", "%u", GetCurrentCommandId(true));
	kept_set_detailf(kept, "stamp_relfilenode", "%u", rel->rd_rel->relfilenode);
}

/*
 * The stamp does not outlive another rewrite, and says nothing of rows whose
 * other columns were written.  Without USING, the kept value cast tells
 * whether the value was changed since; with USING nobody can compute again
 * what it gave, so that is kept as well.  So is it for a table without a key,
 * where it is part of what a row is known by.
 */
static void
keep_converted(Kept *kept, Relation rel, AttrNumber attnum)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	CopyShape	shape;
	CopyProof	proof;
	Oid			copy;

	kept_shape(kept, rel, attnum, &shape);
	if (shape.nkeys == 0)
		content_complete(kept, rel, &shape);
	stored_column_init(&shape.value, (Oid) kept_number(kept, "type"),
					   (int32) kept_number(kept, "typmod"));
	stored_column_set_form(&shape.value,
						   (StoredForm) kept_detail(kept, "value.stored")[0]);
	shape.has_converted = true;
	shape.converted.attnum = attnum;
	shape.converted.name = copy_spare_name(&shape, "converted");
	stored_column_init(&shape.converted, att->atttypid, att->atttypmod);
	copy = copy_make_with_converted(rel, &shape, kept, &proof);
	kept->bytes = DatumGetInt64(DirectFunctionCall1(pg_total_relation_size,
													ObjectIdGetDatum(copy)));
	kept->checksum = psprintf("%016llx", (unsigned long long) proof.checksum);
	kept_add_detail(kept, "converted", shape.converted.name);
	add_stored(kept, "converted", &shape.converted);
}

/*
 * A change of type that writes no row anew leaves the values as they are,
 * whatever USING says: casting back gives each of them again.
 */
static void
forget_values(Kept *kept)
{
	Oid			vault = get_namespace_oid(kept->vault_schema, false);

	copy_drop(get_relname_relid(kept->vault_name, vault));
	vault_drop_if_empty(vault);
	kept->vault_schema = NULL;
	kept->vault_name = NULL;
	kept->rows = 0;
	kept->bytes = 0;
	kept->checksum = NULL;
}

/*
 * To be called after the command, in its transaction and savepoint; and again
 * if more was done there that is to count as part of it.
 */
void
column_keep_finish(int64 kept_id)
{
	Frame		frame;
	Kept	   *kept;
	Relation	rel;

	frame_become_owner(&frame);
	SAFEMIG_POINT("copy.finished");
	kept = history_get_kept(kept_id);
	rel = relation_open((Oid) kept_number(kept, "relation"), NoLock);
	if (kept->vault_name &&
		rel->rd_rel->relfilenode != (Oid) kept_number(kept, "relfilenode"))
	{
		add_stamp(kept, rel);
		kept_set_detailf(kept, "stamp_more", INT64_FORMAT,
						 kept_number(kept, "more"));
		if (strcmp(kept->kind, "values") == 0 &&
			(kept_detail(kept, "cast") == NULL || kept_detail(kept, "keyless")) &&
			kept_detail(kept, "converted") == NULL)
			keep_converted(kept, rel, (AttrNumber) kept_number(kept, "attnum"));
		history_update_kept(kept);
	}
	else if (kept->vault_name && strcmp(kept->kind, "column") != 0)
	{
		forget_values(kept);
		history_update_kept(kept);
	}
	relation_close(rel, NoLock);
	frame_unpin(&frame);
}
