/*-------------------------------------------------------------------------
 *
 * enum.c
 *	  Images of enum types: the labels in their order.
 *
 * A label is known by its OID, which is what rows hold: a renamed label keeps
 * it.  SQL cannot take a label away again; safemig.remove_enum_label does,
 * after proving that nothing uses it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_enum.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"

#include "image/classes.h"

static void
enum_read(Image *image, HeapTuple row)
{
	Relation	rel = table_open(EnumRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			position = 0;
	Relation	index = index_open(EnumTypIdSortOrderIndexId, AccessShareLock);

	ScanKeyInit(&key, Anum_pg_enum_enumtypid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(image->address.objectId));
	scan = systable_beginscan_ordered(rel, index, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		Form_pg_enum form = (Form_pg_enum) GETSTRUCT(tuple);

		image_addf(image, NameStr(form->enumlabel), "position", "%d", ++position);
		image_addf(image, NameStr(form->enumlabel), "@oid", "%u", form->oid);
	}
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
}

static void
enum_create(const Image *image, Steps *steps)
{
	StringInfoData labels;
	ListCell   *lc;

	initStringInfo(&labels);
	foreach(lc, image_parts(image))
		appendStringInfo(&labels, "%s%s", labels.len ? ", " : "",
						 quote_literal_cstr(lfirst(lc)));
	step_add(steps, RANK_TYPE, RUN_CATALOG, NULL, "catalog",
			 "CREATE TYPE %s AS ENUM (%s)", image->identity, labels.data);
}

/* What a label of the wanted image is called now; NULL: it is not there. */
static const char *
label_now(const Image *have, const Image *want, const char *label)
{
	const char *oid = image_get(want, label, "@oid");
	ListCell   *lc;

	if (have->address.objectId != want->address.objectId)
		return image_get(have, label, "position") ? label : NULL;
	foreach(lc, have->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (strcmp(facet->name, "@oid") == 0 && strcmp(facet->value, oid) == 0)
			return facet->part;
	}
	return image_get(have, label, "position") ? label : NULL;
}

static bool
is_wanted(const Image *have, const Image *want, const char *label)
{
	ListCell   *lc;

	foreach(lc, image_parts(want))
	{
		const char *now = label_now(have, want, lfirst(lc));

		if (now && strcmp(now, label) == 0)
			return true;
	}
	return false;
}

static bool
enum_alter(const Image *have, const Image *want, Steps *steps)
{
	const char *before = NULL;
	ListCell   *lc;

	foreach(lc, image_parts(have))
	{
		if (!is_wanted(have, want, lfirst(lc)))
			step_add(steps, RANK_TYPE, RUN_CATALOG, "SHARE", "scan",
					 "SELECT safemig.remove_enum_label(%s, %s)",
					 quote_literal_cstr(want->identity),
					 quote_literal_cstr(lfirst(lc)));
	}
	foreach(lc, image_parts(want))
	{
		const char *label = lfirst(lc);
		const char *now = label_now(have, want, label);

		if (now == NULL)
			step_add(steps, RANK_TYPE, RUN_CATALOG, NULL, "catalog",
					 before ? "ALTER TYPE %s ADD VALUE %s AFTER %s" :
					 "ALTER TYPE %s ADD VALUE %s",
					 want->identity, quote_literal_cstr(label),
					 before ? quote_literal_cstr(before) : "");
		else if (strcmp(now, label) != 0)
			step_add(steps, RANK_TYPE, RUN_CATALOG, NULL, "catalog",
					 "ALTER TYPE %s RENAME VALUE %s TO %s", want->identity,
					 quote_literal_cstr(now), quote_literal_cstr(label));
		before = label;
	}
	return true;
}

const TypeKind type_kind_enum = {
	.kind = "enum",
	.read = enum_read,
	.create = enum_create,
	.alter = enum_alter,
};
