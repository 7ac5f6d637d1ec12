/*-------------------------------------------------------------------------
 *
 * content.c
 *	  Rows without a key, known by what they hold.
 *
 * Where the place of a row does not tell any more which one it is (place.c),
 * what it holds in all other columns does: the copy has a hash of that.  Rows
 * that are the same in all of them are one as good as the other.  Generated
 * columns do not count, nor those that go or change by the same command; where
 * there are such, rows that are the same otherwise may be different ones, and
 * are only known if all have the same value.
 *
 * A row whose other columns were written since cannot be told from a new one,
 * nor its kept value from that of a row that was deleted; so where both are
 * left over nothing is put back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "keep/rows.h"

/* All columns but the copy's own and those in together. */
void
content_choose(Relation rel, AttrNumber attnum, const Bitmapset *together,
			   CopyShape *shape)
{
	TupleDesc	desc = RelationGetDescr(rel);

	shape->has_content = true;
	shape->content_partial = false;
	shape->ncontent = 0;
	shape->content = palloc0(Max(desc->natts, 1) * sizeof(StoredColumn));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		StoredColumn *column = &shape->content[shape->ncontent];

		if (att->attisdropped || att->attgenerated || att->attnum == attnum)
			continue;
		if (bms_is_member(att->attnum, together))
		{
			shape->content_partial = true;
			continue;
		}
		column->attnum = att->attnum;
		column->name = pstrdup(NameStr(att->attname));
		stored_column_init(column, att->atttypid, att->atttypmod);
		shape->ncontent++;
	}
}

void
content_add_details(Kept *kept, const CopyShape *shape)
{
	if (!shape->has_content)
		return;
	kept_add_detail(kept, "content", copy_content_name(shape));
	if (shape->content_partial)
		kept_add_detail(kept, "content partial", "true");
	kept_set_detailf(kept, "contents", "%d", shape->ncontent);
	for (int i = 0; i < shape->ncontent; i++)
	{
		char	   *prefix = psprintf("content%d", i + 1);

		kept_add_detail(kept, prefix, shape->content[i].name);
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

/*
 * Of a row of the table, in the current memory context.  What a conversion
 * made of the value is part of it: a row whose value was changed since is
 * another one.
 */
Datum
content_of_row(CopyShape *shape, TupleTableSlot *slot)
{
	RowHash		hash = row_hash_begin();
	pg_uuid_t  *content = palloc(sizeof(pg_uuid_t));

	for (int i = 0; i < shape->ncontent; i++)
		add_column(&hash, &shape->content[i], slot);
	if (shape->has_converted)
		add_column(&hash, &shape->converted, slot);
	memcpy(content->data, &hash.first, sizeof(hash.first));
	memcpy(content->data + sizeof(hash.first), &hash.second, sizeof(hash.second));
	return UUIDPGetDatum(content);
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
 * Which rows are which cannot be told by the place; can it by this?  To be
 * called as the extension's owner, connected to SPI.
 */
bool
content_is_known(const Kept *kept, Relation rel, CopyShape *shape)
{
	shape->by_content = content_recall(kept, rel, shape) &&
		(kept_detail(kept, "content partial") == NULL ||
		 has_one_value_each(kept, shape));
	return shape->by_content;
}
