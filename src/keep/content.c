/*-------------------------------------------------------------------------
 *
 * content.c
 *	  Rows without a key, known by what they hold.
 *
 * Where the place of a row does not tell any more which one it is (place.c),
 * what it holds in all other columns does: the copy has a hash of that.  Rows
 * that are the same in all of them are one as good as the other.  Generated
 * columns do not count, nor those that the migration itself has added.  Of those that go or change by the same command some do,
 * see below; where others are left out, rows that are the same otherwise may be
 * different ones, and are only known if all have the same value.
 *
 * A row that was written since, but by a rollback, is not asked what it holds:
 * that may be what another one held.  It cannot be told from a new one, nor its
 * kept value from that of a row that was deleted; so where both are left over
 * nothing is put back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "history/history.h"
#include "keep/rows.h"

static StoredColumn *
add_content(CopyShape *shape, Form_pg_attribute att)
{
	StoredColumn *column = &shape->content[shape->ncontent++];

	column->attnum = att->attnum;
	column->name = pstrdup(NameStr(att->attname));
	stored_column_init(column, att->atttypid, att->atttypmod);
	return column;
}

/*
 * Before the command: the columns that stay.  Of a conversion all that change
 * with it are added afterwards, by what they are then.
 */
void
content_choose(Kept *kept, Relation rel, AttrNumber attnum,
			   const Together *together, CopyShape *shape)
{
	TupleDesc	desc = RelationGetDescr(rel);
	bool		dropped = strcmp(kept->kind, "column") == 0;
	bool		partial = false;
	int			nchanged = 0;

	shape->has_content = true;
	shape->ncontent = 0;
	shape->content = palloc0(Max(desc->natts, 1) * sizeof(StoredColumn));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped || att->attgenerated ||
			bms_is_member(att->attnum, together->passing))
			continue;
		if (bms_is_member(att->attnum, together->dropped))
			partial |= !dropped;
		else if (!bms_is_member(att->attnum, together->all))
		{
			if (att->attnum != attnum)
				(void) add_content(shape, att);
		}
		else if (dropped)
			partial = true;
		else
			kept_add_detail(kept, psprintf("changed%d", ++nchanged),
							NameStr(att->attname));
	}
	kept_set_detailf(kept, "changed", "%d", nchanged);
	if (partial)
		kept_add_detail(kept, "content partial", "true");
}

/* After a conversion. */
void
content_complete(Kept *kept, Relation rel, CopyShape *shape)
{
	int			nchanged = (int) kept_number(kept, "changed");
	StoredColumn *before;

	if (!content_recall(kept, rel, shape))
		return;
	before = shape->content;
	shape->content = palloc0((shape->ncontent + nchanged + 1) * sizeof(StoredColumn));
	memcpy(shape->content, before, shape->ncontent * sizeof(StoredColumn));
	for (int i = 0; i < nchanged; i++)
	{
		const char *name = kept_detail(kept, psprintf("changed%d", i + 1));
		AttrNumber	attnum = get_attnum(RelationGetRelid(rel), name);

		if (attnum > 0)
			(void) add_content(shape, TupleDescAttr(RelationGetDescr(rel), attnum - 1));
	}
	content_add_details(kept, shape);
}

void
content_add_details(Kept *kept, const CopyShape *shape)
{
	if (!shape->has_content)
		return;
	kept_set_detailf(kept, "content", "%s", copy_content_name(shape));
	kept_set_detailf(kept, "contents", "%d", shape->ncontent);
	for (int i = 0; i < shape->ncontent; i++)
	{
		char	   *prefix = psprintf("content%d", i + 1);

		kept_set_detailf(kept, prefix, "%s", shape->content[i].name);
		kept_set_detailf(kept, psprintf("%s.stored", prefix), "%c",
						 shape->content[i].form);
	}
}

/* False if the copy has none, or one of its columns is not there any more. */
bool
content_recall(const Kept *kept, Relation rel, CopyShape *shape)
{
	int			ncontent;

	if (kept_detail(kept, "content") == NULL)
		return false;
	ncontent = (int) kept_number(kept, "contents");
	shape->ncontent = 0;
	shape->content = palloc0(Max(ncontent, 1) * sizeof(StoredColumn));
	for (int i = 0; i < ncontent; i++)
	{
		char	   *prefix = psprintf("content%d", i + 1);
		StoredColumn *column = &shape->content[i];
		Form_pg_attribute att;

		column->name = pstrdup(kept_detail(kept, prefix));
		column->attnum = get_attnum(RelationGetRelid(rel), column->name);
		if (column->attnum <= 0)
			return false;
		att = TupleDescAttr(RelationGetDescr(rel), column->attnum - 1);
		stored_column_init(column, att->atttypid, att->atttypmod);
		stored_column_set_form(column,
							   (StoredForm) kept_detail(kept, psprintf("%s.stored", prefix))[0]);
		shape->ncontent++;
	}
	shape->has_content = true;
	return true;
}

static void
add_column(RowHash *hash, StoredColumn *column, TupleTableSlot *slot)
{
	FormData_pg_attribute att = {.atttypid = stored_column_type(column)};
	bool		isnull;
	Datum		value = slot_getattr(slot, column->attnum, &isnull);

	get_typlenbyvalalign(att.atttypid, &att.attlen, &att.attbyval, &att.attalign);
	if (!isnull)
		value = stored_from_value(column, value);
	row_hash_add(hash, &att, value, isnull);
}

/* Of a row of the table, in the current memory context. */
Datum
content_of_row(CopyShape *shape, TupleTableSlot *slot)
{
	RowHash		hash = row_hash_begin();
	pg_uuid_t  *content = palloc(sizeof(pg_uuid_t));

	for (int i = 0; i < shape->ncontent; i++)
		add_column(&hash, &shape->content[i], slot);
	memcpy(content->data, &hash.first, sizeof(hash.first));
	memcpy(content->data + sizeof(hash.first), &hash.second, sizeof(hash.second));
	return UUIDPGetDatum(content);
}

/* ---- which rows may be matched ---- */

/*
 * A row that an application wrote since may hold what another one held: it is
 * none of the copy.  What a rollback wrote is what was there, and so is what a
 * migration wrote that is taken back, if it is there still: nothing was changed
 * by it.
 */
Writers *
content_writers(const Kept *kept, Oid relid)
{
	MemoryContext context = CurrentMemoryContext;
	Writers    *writers = palloc0(sizeof(Writers));
	uint64		next = U64FromFullTransactionId(ReadNextFullTransactionId());
	Oid			type = INT8OID;
	Datum		record = Int64GetDatum(safemig_state.record_id);
	Frame		frame;

	/* in another cluster other transactions have the numbers */
	if (!kept_is_same_relation(kept, relid))
		return writers;
	writers->snapshot = place_recall_snapshot(kept_detail(kept, "kept at"));
	writers->before = place_recall_snapshot(kept_detail(kept, "held at"));
	writers->stamp = stamp_read(kept);
	/* whoever reads the rows is their owner, who does not see the history */
	frame_become_owner(&frame);
	SPI_connect();
	if (SPI_execute_with_args("WITH gone AS (SELECT m.id, m.effective FROM safemig.migration_log m"
							  "  WHERE m.state OPERATOR(pg_catalog.=) 'rolled_back'"
							  "  OR m.id OPERATOR(pg_catalog.=) ANY"
							  "   (SELECT pg_catalog.unnest(r.rolls_back) FROM safemig.migration_log r"
							  "    WHERE r.id OPERATOR(pg_catalog.=) $1)),"
							  " past AS (SELECT id FROM gone UNION ALL SELECT effective FROM gone"
							  "  UNION ALL SELECT m.id FROM safemig.migration_log m"
							  "   WHERE m.kind OPERATOR(pg_catalog.=) 'rollback')"
							  " SELECT pg_catalog.unnest(w.xids) FROM safemig.writer_log w"
							  " WHERE w.migration OPERATOR(pg_catalog.=) ANY (SELECT id FROM past)"
							  /* one transaction may have written several migrations */
							  " EXCEPT SELECT pg_catalog.unnest(w.xids) FROM safemig.writer_log w"
							  " JOIN safemig.migration_log m ON m.id OPERATOR(pg_catalog.=) w.migration"
							  " WHERE m.kind OPERATOR(pg_catalog.=) 'migration'"
							  " AND m.id OPERATOR(pg_catalog.<>) ALL (SELECT p.id FROM past p WHERE p.id IS NOT NULL)",
							  1, &type, &record, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read migration_log");
	writers->xids = MemoryContextAlloc(context,
									   (SPI_processed + 1) * sizeof(TransactionId));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		uint64		xid = (uint64) DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i],
															   SPI_tuptable->tupdesc,
															   1, &isnull));

		/* 32 bits of an older one may be those of somebody else by now */
		if (xid < next && next - xid < PG_UINT32_MAX / 2)
			writers->xids[writers->nxids++] = (TransactionId) xid;
	}
	SPI_finish();
	frame_unpin(&frame);
	qsort(writers->xids, writers->nxids, sizeof(TransactionId), xidComparator);
	return writers;
}

/*
 * Has nobody written the row since it was copied?  Then it still holds the
 * dropped column's value, if it stands where it stood.
 */
bool
content_is_untouched(const Writers *writers, TupleTableSlot *slot)
{
	bool		isnull;

	return writers->before &&
		place_row_is_seen(writers->before,
						  DatumGetTransactionId(slot_getsysattr(slot, MinTransactionIdAttributeNumber,
																&isnull)));
}

bool
content_may_match(const Writers *writers, TupleTableSlot *slot)
{
	bool		isnull;
	TransactionId xmin = DatumGetTransactionId(slot_getsysattr(slot, MinTransactionIdAttributeNumber,
															   &isnull));

	if (TransactionIdIsCurrentTransactionId(xmin) ||
		stamp_is_on(&writers->stamp, slot) ||
		(writers->snapshot && place_row_is_seen(writers->snapshot, xmin)))
		return true;
	return bsearch(&xmin, writers->xids, writers->nxids, sizeof(TransactionId),
				   xidComparator) != NULL;
}

/* Do all rows of the copy that hold the same have the same value? */
static bool
has_one_value_each(const Kept *kept, const CopyShape *shape)
{
	const char *value = quote_identifier(kept->part);
	char	   *sql = psprintf("SELECT FROM %s GROUP BY %s"
							   " HAVING pg_catalog.min(%s::pg_catalog.text COLLATE pg_catalog.\"C\")"
							   "  OPERATOR(pg_catalog.<>) pg_catalog.max(%s::pg_catalog.text COLLATE pg_catalog.\"C\")"
							   " OR (pg_catalog.count(%s) OPERATOR(pg_catalog.>) 0"
							   "  AND pg_catalog.count(%s) OPERATOR(pg_catalog.<) pg_catalog.count(*))"
							   " LIMIT 1",
							   copy_name(kept), copy_content_name(shape),
							   value, value, value, value);

	if (SPI_execute(sql, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read %s", copy_name(kept));
	return SPI_processed == 0;
}

/*
 * Columns that were dropped together come back one by one.  Rows that hold the
 * same are told apart by those that are back already, so that each row gets its
 * values from one row of the copies.
 */
static void
find_siblings(const Kept *kept, Relation rel, CopyShape *shape)
{
	List	   *all = history_find_kept(kept->migration, kept->command, kept->kind,
										NULL);
	ListCell   *lc;

	shape->siblings = palloc0((list_length(all) + 1) * sizeof(StoredColumn));
	shape->sibling_copies = palloc0((list_length(all) + 1) * sizeof(char *));
	foreach(lc, all)
	{
		Kept	   *sibling = lfirst(lc);
		StoredColumn *column = &shape->siblings[shape->nsiblings];
		CopyShape	of_sibling;

		if (sibling->id == kept->id || sibling->vault_name == NULL ||
			strcmp(sibling->identity, kept->identity) != 0 ||
			kept_detail(sibling, "restored") == NULL)
			continue;
		kept_shape(sibling, rel, kept_live_column(sibling, rel), &of_sibling);
		*column = of_sibling.value;
		shape->sibling_copies[shape->nsiblings++] = copy_name(sibling);
	}
}

/*
 * Which rows are which cannot be told by the place; can it by this?  To be
 * called as the extension's owner, connected to SPI.
 */
bool
content_is_known(const Kept *kept, Relation rel, CopyShape *shape)
{
	shape->by_content = content_recall(kept, rel, shape) &&
		(strcmp(kept->kind, "column") == 0 || shape->has_converted) &&
		(kept_detail(kept, "content partial") == NULL ||
		 has_one_value_each(kept, shape));
	if (shape->by_content)
	{
		shape->writers = content_writers(kept, RelationGetRelid(rel));
		if (strcmp(kept->kind, "column") == 0)
		{
			const char *revived = kept_detail(kept, "revived");

			find_siblings(kept, rel, shape);
			/* not if it came back as another column, which has none */
			shape->holds_values = revived && atoi(revived) == shape->value.attnum &&
				shape->value.attnum == (AttrNumber) kept_number(kept, "attnum") &&
				kept_is_same_relation(kept, RelationGetRelid(rel)) &&
				rel->rd_rel->relfilenode == (Oid) kept_number(kept, "relfilenode");
		}
	}
	return shape->by_content;
}
