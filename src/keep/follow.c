/*-------------------------------------------------------------------------
 *
 * follow.c
 *	  Kept values of a table without a key, through rewrites of the table.
 *
 * Such values are put back by the place of their row (place.c).  A rewrite
 * leaves the order of the rows, but stamps them anew, and what rows held in a
 * dropped column is gone with it.  If everything is in place when it begins,
 * it still is when it is done, and the values get the new stamp.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "keep/column.h"

/* Of Kept*: what may be such values of the relation; the array is flat. */
static List *
candidates(Oid relid)
{
	Oid			type = TEXTOID;
	Datum		arg = CStringGetTextDatum(psprintf("%u", relid));

	return history_kept_where("k.kind OPERATOR(pg_catalog.=) ANY (ARRAY['values', 'column'])"
							  " AND k.state OPERATOR(pg_catalog.<>) 'pruned'"
							  " AND k.details OPERATOR(pg_catalog.@>) ARRAY['keyless', 'relation', $1]",
							  1, &type, &arg, NULL);
}

/*
 * What the rows were written by.  A rewrite is announced when the catalogs
 * have the new types already.
 */
static TupleDesc
descriptor_before(Relation rel, const Image *before)
{
	TupleDesc	desc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	ListCell   *lc;

	foreach(lc, before->facets)
	{
		Facet	   *facet = lfirst(lc);
		Form_pg_attribute att;
		Oid			typid;

		if (strcmp(facet->name, "@attnum") != 0)
			continue;
		att = TupleDescAttr(desc, atoi(facet->value) - 1);
		typid = (Oid) strtoul(image_get(before, facet->part, "@typid"), NULL, 10);
		if (att->attisdropped || att->atttypid == typid)
			continue;
		att->atttypid = typid;
		get_typlenbyvalalign(typid, &att->attlen, &att->attbyval, &att->attalign);
	}
	forget_attribute_offsets(desc);
	return desc;
}

/*
 * Is every row of the copy where its ordinal says?  Rows that are no rows of
 * the copy must come after them: how many?
 */
static bool
is_in_place(Relation rel, TupleDesc desc, const Kept *kept, int64 *more)
{
	const char *revived = kept_detail(kept, "revived");
	StampedRows		places;

	if (!kept_is_same_relation(kept, RelationGetRelid(rel)) ||
		kept->vault_name == NULL || kept_detail(kept, "restored"))
		return false;
	if (kept_detail(kept, "stamp"))
	{
		bool		in_place = place_rows_bear_stamp(rel, kept, &places);

		*more = places.rows - kept->rows;
		return in_place && (places.appended || places.rows == places.stamped);
	}
	return strcmp(kept->kind, "column") == 0 &&
		place_rows_as_copied(rel, desc, kept,
							 revived ? (AttrNumber) atoi(revived) :
							 (AttrNumber) kept_number(kept, "attnum"), more);
}

/*
 * To be called before a rewrite, under its lock: what is to be given to
 * column_keep_finish() after it.  before is the table's image from before the
 * command; NULL: the table is still as it was.
 */
List *
column_keep_follow(Oid relid, const Image *before)
{
	Relation	rel = relation_open(relid, NoLock);
	TupleDesc	desc = before ? descriptor_before(rel, before) : RelationGetDescr(rel);
	List	   *all = candidates(relid);
	List	   *ids = NIL;
	ListCell   *lc;

	foreach(lc, all)
	{
		Kept	   *kept = lfirst(lc);
		int64		more;

		if (!is_in_place(rel, desc, kept, &more))
			continue;
		ids = lappend(ids, &kept->id);
		if (more != kept_number(kept, "more"))
		{
			kept_set_detailf(kept, "more", INT64_FORMAT, more);
			history_update_kept(kept);
		}
	}
	/* the order in which the rewrite reads is that of the rows */
	if (ids != NIL)
		reset_scan_start(rel);
	relation_close(rel, NoLock);
	return ids;
}

/* Rows that came after those of the copy have lost the stamp, by our doing. */
void
column_keep_recount(Relation rel, int64 id)
{
	Kept	   *kept = history_get_kept(id);
	StampedRows		places;

	if (kept_detail(kept, "stamp") == NULL)
		return;
	(void) place_rows_bear_stamp(rel, kept, &places);
	kept_set_detailf(kept, "stamp_more", INT64_FORMAT, places.stamped - kept->rows);
	history_update_kept(kept);
}
