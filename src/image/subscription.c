/*-------------------------------------------------------------------------
 *
 * subscription.c
 *	  Images of subscriptions.
 *
 * Their connection may hold a password: what the history stores of it nobody
 * but its owner can read.  What happens on the publisher is not undone: a
 * replication slot that was made there stays, one that was dropped is gone,
 * with the place in the stream that it held.  Such commands are irreversible.
 * Where no slot is concerned a subscription comes back as it was; one made with
 * connect = false has made none, whatever its name for it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_subscription.h"
#include "catalog/pg_subscription_rel.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "image/classes.h"

/* Columns and what WITH (...) calls them; later versions have more of them. */
static const struct
{
	const char *column;
	const char *option;
}			options[] = {
	{"subsynccommit", "synchronous_commit"},
	{"subbinary", "binary"},
	{"substream", "streaming"},
	{"subtwophasestate", "two_phase"},
	{"subdisableonerr", "disable_on_error"},
	{"subpasswordrequired", "password_required"},
	{"subrunasowner", "run_as_owner"},
	{"subfailover", "failover"},
	{"suborigin", "origin"},
};

/* ---- reading ---- */

static int
find_column(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
	{
		if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
			return i + 1;
	}
	return 0;
}

/* What a state is called in WITH (...); text is its own name. */
static char *
option_value(const char *option, Datum value, Oid type)
{
	char		state;

	if (type == TEXTOID)
		return TextDatumGetCString(value);
	if (type == BOOLOID)
		return pstrdup(DatumGetBool(value) ? "true" : "false");
	state = DatumGetChar(value);
	if (strcmp(option, "two_phase") == 0)
		return pstrdup(state == 'd' ? "false" : "true");
	return pstrdup(state == 'p' ? "parallel" : state == 't' ? "on" : "off");
}

static void
read_options(Image *image, HeapTuple row, TupleDesc desc)
{
	for (size_t i = 0; i < lengthof(options); i++)
	{
		int			column = find_column(desc, options[i].column);
		bool		isnull;
		Datum		value;

		if (column == 0)
			continue;
		value = heap_getattr(row, column, desc, &isnull);
		if (!isnull)
			image_add(image, "", psprintf("option %s", options[i].option),
					  quote_literal_cstr(option_value(options[i].option, value,
													  TupleDescAttr(desc, column - 1)->atttypid)));
	}
}

/* "a", "b" */
static char *
name_list(Datum names)
{
	Datum	   *elems;
	int			n;
	StringInfoData buf;

	deconstruct_array(DatumGetArrayTypeP(names), TEXTOID, -1, false, TYPALIGN_INT,
					  &elems, NULL, &n);
	initStringInfo(&buf);
	for (int i = 0; i < n; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "",
						 quote_identifier(TextDatumGetCString(elems[i])));
	return buf.data;
}

/* The tables that it has got so far; only the publisher can give it others. */
static void
read_tables(Image *image)
{
	Relation	rel = table_open(SubscriptionRelRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_subscription_rel_srsubid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(image->address.objectId));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		image_add(image, object_identity(RelationRelationId,
										 ((Form_pg_subscription_rel) GETSTRUCT(tuple))->srrelid),
				  "table", "true");
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static bool
subscription_read(Image *image)
{
	HeapTuple	row = SearchSysCache1(SUBSCRIPTIONOID,
									  ObjectIdGetDatum(image->address.objectId));
	Relation	rel;
	Form_pg_subscription form;
	Datum		value;
	bool		isnull;

	if (!HeapTupleIsValid(row))
		return false;
	rel = table_open(SubscriptionRelationId, AccessShareLock);
	form = (Form_pg_subscription) GETSTRUCT(row);
	image->name = pstrdup(NameStr(form->subname));
	image_add_owner(image, form->subowner);
	image_add(image, "", "enabled", form->subenabled ? "ENABLE" : "DISABLE");
	if (!XLogRecPtrIsInvalid(form->subskiplsn))
		image_addf(image, "", "skip", "%X/%X", LSN_FORMAT_ARGS(form->subskiplsn));
	value = SysCacheGetAttr(SUBSCRIPTIONOID, row, Anum_pg_subscription_subconninfo, &isnull);
	image_add(image, "", "connection", quote_literal_cstr(TextDatumGetCString(value)));
	value = SysCacheGetAttr(SUBSCRIPTIONOID, row, Anum_pg_subscription_subslotname, &isnull);
	if (!isnull)
		image_add(image, "", "slot", quote_literal_cstr(NameStr(*DatumGetName(value))));
	value = SysCacheGetAttr(SUBSCRIPTIONOID, row, Anum_pg_subscription_subpublications, &isnull);
	image_add(image, "", "publications", name_list(value));
	read_options(image, row, RelationGetDescr(rel));
	read_tables(image);
	table_close(rel, AccessShareLock);
	ReleaseSysCache(row);
	return true;
}

/* ---- steps ---- */

static bool
has_tables(const Image *image)
{
	ListCell   *lc;

	foreach(lc, image->facets)
	{
		if (strcmp(((Facet *) lfirst(lc))->name, "table") == 0)
			return true;
	}
	return false;
}

/* Has a some table that b has not? */
static bool
tables_differ(const Image *a, const Image *b)
{
	ListCell   *lc;

	foreach(lc, a->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (strcmp(facet->name, "table") == 0 && facet_differs(a, b, facet->part, "table"))
			return true;
	}
	return false;
}

static void
add_step(const Image *image, Steps *steps, const char *action)
{
	step_add(steps, RANK_PUBLICATION, RUN_SUPERUSER, NULL, "catalog",
			 "ALTER SUBSCRIPTION %s %s", image_qualified_name(image), action);
}

static void
set_slot(const Image *image, Steps *steps)
{
	const char *slot = image_get(image, "", "slot");

	add_step(image, steps, psprintf("SET (slot_name = %s)", slot ? slot : "NONE"));
}

static void
skip(const Image *image, Steps *steps)
{
	const char *lsn = image_get(image, "", "skip");

	add_step(image, steps, lsn ? psprintf("SKIP (lsn = '%s')", lsn) : "SKIP (lsn = NONE)");
}

static void
subscription_create(const Image *image, Steps *steps)
{
	StringInfoData with;
	ListCell   *lc;

	if (image_get(image, "", "slot"))
		steps_irreversible(steps, "the replication slot of subscription %s on the publisher does not come back",
						   image->identity);
	if (has_tables(image))
		steps_irreversible(steps, "how far subscription %s has copied its tables is not kept",
						   image->identity);
	initStringInfo(&with);
	foreach(lc, image->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (strncmp(facet->name, "option ", 7) == 0)
			appendStringInfo(&with, ", %s = %s", facet->name + 7, facet->value);
	}
	step_add(steps, RANK_PUBLICATION, RUN_SUPERUSER, NULL, "catalog",
			 "CREATE SUBSCRIPTION %s CONNECTION %s PUBLICATION %s WITH (connect = false, slot_name = NONE%s)",
			 image_qualified_name(image), image_get(image, "", "connection"),
			 image_get(image, "", "publications"), with.data);
	if (image_get(image, "", "skip"))
		skip(image, steps);
}

static void
subscription_drop(const Image *image, Steps *steps)
{
	/* a slot that it has not made is none of its business */
	if (image_get(image, "", "slot") && image_get(image, "", "@unconnected"))
		add_step(image, steps, "SET (slot_name = NONE)");
	else if (image_get(image, "", "slot"))
		steps_irreversible(steps, "the replication slot of subscription %s on the publisher would stay",
						   image->identity);
	step_add(steps, RANK_PUBLICATION, RUN_SUPERUSER, "ACCESS EXCLUSIVE", "catalog",
			 "DROP SUBSCRIPTION %s", image_qualified_name(image));
}

static void
alter_options(const Image *have, const Image *want, Steps *steps)
{
	for (size_t i = 0; i < lengthof(options); i++)
	{
		char	   *name = psprintf("option %s", options[i].option);

		if (!facet_differs(have, want, "", name))
			continue;
		if (strcmp(options[i].option, "two_phase") == 0)
			steps_irreversible(steps, "two_phase of subscription %s cannot be set",
							   want->identity);
		add_step(want, steps, psprintf("SET (%s = %s)", options[i].option,
									   image_get(want, "", name)));
	}
}

/* One without a slot cannot be enabled, and one that is enabled keeps its slot. */
static bool
subscription_alter(const Image *have, const Image *want, Steps *steps)
{
	bool		enables = strcmp(image_get(want, "", "enabled"), "ENABLE") == 0;

	if (!enables && facet_differs(have, want, "", "enabled"))
		add_step(want, steps, "DISABLE");
	if (facet_differs(have, want, "", "slot"))
		set_slot(want, steps);
	if (enables && facet_differs(have, want, "", "enabled"))
		add_step(want, steps, "ENABLE");
	if (facet_differs(have, want, "", "connection"))
		add_step(want, steps, psprintf("CONNECTION %s", image_get(want, "", "connection")));
	if (facet_differs(have, want, "", "publications"))
		add_step(want, steps, psprintf("SET PUBLICATION %s WITH (refresh = false)",
									   image_get(want, "", "publications")));
	alter_options(have, want, steps);
	if (facet_differs(have, want, "", "skip"))
		skip(want, steps);
	if (tables_differ(have, want) || tables_differ(want, have))
		steps_irreversible(steps, "the tables of subscription %s come from the publisher",
						   want->identity);
	return true;
}

const ImageClass image_class_subscription = {
	.catalog = SubscriptionRelationId,
	.type = "subscription",
	.keyword = "SUBSCRIPTION",
	.rank = RANK_PUBLICATION,
	.read = subscription_read,
	.create = subscription_create,
	.drop = subscription_drop,
	.alter = subscription_alter,
};
