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

/* ---- from one list of labels to another ---- */

typedef struct Label
{
	const char *text;
	const char *oid;
} Label;

static List *
labels_of(const Image *image)
{
	List	   *labels = NIL;
	ListCell   *lc;

	foreach(lc, image_parts(image))
	{
		Label	   *label = palloc(sizeof(Label));

		label->text = lfirst(lc);
		label->oid = image_get(image, label->text, "@oid");
		labels = lappend(labels, label);
	}
	return labels;
}

static Label *
label_with_text(List *labels, const char *text)
{
	ListCell   *lc;

	foreach(lc, labels)
	{
		Label	   *label = lfirst(lc);

		if (strcmp(label->text, text) == 0)
			return label;
	}
	return NULL;
}

static Label *
label_with_oid(List *labels, const char *oid)
{
	ListCell   *lc;

	foreach(lc, labels)
	{
		Label	   *label = lfirst(lc);

		if (strcmp(label->oid, oid) == 0)
			return label;
	}
	return NULL;
}

static void
rename_label(const Image *type, Steps *steps, Label *label, const char *to)
{
	step_add(steps, RANK_TYPE, RUN_CATALOG, NULL, "catalog",
			 "ALTER TYPE %s RENAME VALUE %s TO %s",
			 type->identity, quote_literal_cstr(label->text),
			 quote_literal_cstr(to));
	label->text = to;
}

/*
 * A label is known by its OID as long as the type is the same one: what has
 * another text then was renamed.  A text that is still taken is reached
 * through one that nobody has.
 */
static void
rename_labels(const Image *want, List *labels, List *wanted, Steps *steps)
{
	ListCell   *lc;

	for (int round = 0; round < 2; round++)
	{
		foreach(lc, wanted)
		{
			Label	   *wish = lfirst(lc);
			Label	   *label = label_with_oid(labels, wish->oid);

			if (label == NULL || strcmp(label->text, wish->text) == 0)
				continue;
			if (round == 0 && label_with_text(labels, wish->text))
				rename_label(want, steps, label,
							 psprintf("safemig_label_%s", wish->oid));
			else
				rename_label(want, steps, label, wish->text);
		}
	}
}

static List *
remove_labels(const Image *want, List *labels, List *wanted, Steps *steps)
{
	ListCell   *lc;

	foreach(lc, labels)
	{
		Label	   *label = lfirst(lc);

		if (label_with_text(wanted, label->text))
			continue;
		step_add(steps, RANK_TYPE, RUN_CATALOG, "SHARE", "scan",
				 "SELECT safemig.remove_enum_label(%s, %s)",
				 quote_literal_cstr(want->identity),
				 quote_literal_cstr(label->text));
		labels = foreach_delete_current(labels, lc);
	}
	return labels;
}

static int
place_of(List *labels, const char *text)
{
	ListCell   *lc;

	foreach(lc, labels)
	{
		if (strcmp(((Label *) lfirst(lc))->text, text) == 0)
			return foreach_current_index(lc);
	}
	return -1;
}

/* PostgreSQL cannot move a label: those that stay must stand as wanted. */
static bool
same_order(List *labels, List *wanted)
{
	int			last = -1;
	ListCell   *lc;

	foreach(lc, wanted)
	{
		int			place = place_of(labels, ((Label *) lfirst(lc))->text);

		if (place < 0)
			continue;
		if (place < last)
			return false;
		last = place;
	}
	return true;
}

static void
add_labels(const Image *want, List *labels, List *wanted, Steps *steps)
{
	const char *previous = NULL;
	ListCell   *lc;

	foreach(lc, wanted)
	{
		Label	   *wish = lfirst(lc);

		if (label_with_text(labels, wish->text) == NULL)
		{
			/* the first one stands before whichever is first now */
			const char *neighbour = previous ? previous :
				labels ? ((Label *) linitial(labels))->text : NULL;

			step_add(steps, RANK_TYPE, RUN_CATALOG, NULL, "catalog",
					 "ALTER TYPE %s ADD VALUE %s%s%s",
					 want->identity, quote_literal_cstr(wish->text),
					 neighbour == NULL ? "" : previous ? " AFTER " : " BEFORE ",
					 neighbour ? quote_literal_cstr(neighbour) : "");
		}
		previous = wish->text;
	}
}

static bool
enum_alter(const Image *have, const Image *want, Steps *steps)
{
	List	   *labels = labels_of(have);
	List	   *wanted = labels_of(want);

	/* what the database was reloaded from has labels of other OIDs */
	if (have->address.objectId == want->address.objectId)
		rename_labels(want, labels, wanted, steps);
	labels = remove_labels(want, labels, wanted, steps);
	if (!same_order(labels, wanted))
		return false;
	add_labels(want, labels, wanted, steps);
	return true;
}

const TypeKind type_kind_enum = {
	.kind = "enum",
	.read = enum_read,
	.create = enum_create,
	.alter = enum_alter,
};
