/*-------------------------------------------------------------------------
 *
 * publication.c
 *	  Images of publications.
 *
 * The tables and schemas in a publication are parts of it, "table public.t"
 * and "schema public".  They are added one by one, each for itself (ONLY), as
 * the catalogs have them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_publication.h"
#include "catalog/pg_publication_namespace.h"
#include "catalog/pg_publication_rel.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "image/classes.h"

/* ---- reading ---- */

static void
read_options(Image *image, Form_pg_publication form)
{
	const struct
	{
		bool		published;
		const char *name;
	}			actions[] = {
		{form->pubinsert, "insert"},
		{form->pubupdate, "update"},
		{form->pubdelete, "delete"},
		{form->pubtruncate, "truncate"},
	};
	const char *generated = publication_generated_columns(form);
	StringInfoData publish;

	initStringInfo(&publish);
	for (size_t i = 0; i < lengthof(actions); i++)
	{
		if (actions[i].published)
			appendStringInfo(&publish, "%s%s", publish.len ? ", " : "",
							 actions[i].name);
	}
	image_add(image, "", "publish", publish.data);
	image_add(image, "", "publish_via_partition_root",
			  form->pubviaroot ? "true" : "false");
	if (generated)
		image_add(image, "", "publish_generated_columns", generated);
	if (form->puballtables)
		image_add(image, "", "all tables", "true");
}

/* "(a, b)", of the attribute numbers of prattrs */
static char *
column_list(Oid relid, const int2vector *attnums)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < attnums->dim1; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "(",
						 quote_identifier(get_attname(relid, attnums->values[i], false)));
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

static void
read_table(Image *image, HeapTuple tuple, TupleDesc desc)
{
	Oid			relid = ((Form_pg_publication_rel) GETSTRUCT(tuple))->prrelid;
	char	   *part = psprintf("table %s", qualified_relation_name(relid));
	Datum		value;
	bool		isnull;

	image_add(image, part, "member", "true");
	value = heap_getattr(tuple, Anum_pg_publication_rel_prattrs, desc, &isnull);
	if (!isnull)
		image_add(image, part, "columns",
				  column_list(relid, (int2vector *) DatumGetPointer(value)));
	value = heap_getattr(tuple, Anum_pg_publication_rel_prqual, desc, &isnull);
	if (!isnull)
		image_add(image, part, "where",
				  TextDatumGetCString(DirectFunctionCall2(pg_get_expr, value,
														  ObjectIdGetDatum(relid))));
}

static void
read_tables(Image *image)
{
	Relation	rel = table_open(PublicationRelRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_publication_rel_prpubid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(image->address.objectId));
	scan = systable_beginscan(rel, PublicationRelPrpubidIndexId, true, NULL,
							  1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		read_table(image, tuple, RelationGetDescr(rel));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static void
read_schemas(Image *image)
{
	ListCell   *lc;

	foreach(lc, GetPublicationSchemas(image->address.objectId))
		image_add(image,
				  psprintf("schema %s",
						   quote_identifier(get_namespace_name(lfirst_oid(lc)))),
				  "member", "true");
}

static bool
publication_read(Image *image)
{
	HeapTuple	tuple = SearchSysCache1(PUBLICATIONOID,
										ObjectIdGetDatum(image->address.objectId));
	Form_pg_publication form;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_publication) GETSTRUCT(tuple);
	image->name = pstrdup(NameStr(form->pubname));
	image_add_owner(image, form->pubowner);
	read_options(image, form);
	ReleaseSysCache(tuple);
	read_tables(image);
	read_schemas(image);
	return true;
}

/* ---- steps ---- */

static char *
options_sql(const Image *image)
{
	const char *generated = image_get(image, "", "publish_generated_columns");

	return psprintf("publish = %s, publish_via_partition_root = %s%s%s",
					quote_literal_cstr(image_get(image, "", "publish")),
					image_get(image, "", "publish_via_partition_root"),
					generated ? ", publish_generated_columns = " : "",
					generated ? generated : "");
}

static bool
is_schema(const char *part)
{
	return strncmp(part, "schema ", strlen("schema ")) == 0;
}

/* Only a superuser may publish what will be there. */
static StepMode
mode_of(const Image *image, const char *part)
{
	return image_get(image, "", "all tables") || (part && is_schema(part)) ?
		RUN_SUPERUSER : RUN_CATALOG;
}

/* "TABLE ONLY public.t (a, b) WHERE (a > 1)", "TABLES IN SCHEMA public" */
static char *
member_sql(const Image *image, const char *part, bool with_details)
{
	const char *columns = image_get(image, part, "columns");
	const char *where = image_get(image, part, "where");
	StringInfoData buf;

	if (is_schema(part))
		return psprintf("TABLES IN SCHEMA %s", after_prefix(part, "schema "));
	initStringInfo(&buf);
	appendStringInfo(&buf, "TABLE ONLY %s", after_prefix(part, "table "));
	if (with_details && columns)
		appendStringInfo(&buf, " %s", columns);
	if (with_details && where)
		appendStringInfo(&buf, " WHERE (%s)", where);
	return buf.data;
}

/* The member is as member_of has it. */
static void
member_step(const Image *image, const Image *member_of, const char *part,
			bool add, Steps *steps)
{
	step_add(steps, RANK_PUBLICATION, mode_of(image, part),
			 is_schema(part) ? NULL : "SHARE UPDATE EXCLUSIVE", "catalog",
			 "ALTER PUBLICATION %s %s %s", image_qualified_name(image),
			 add ? "ADD" : "DROP", member_sql(member_of, part, add));
}

static void
publication_create(const Image *image, Steps *steps)
{
	ListCell   *lc;

	step_add(steps, RANK_PUBLICATION, mode_of(image, NULL), NULL, "catalog",
			 "CREATE PUBLICATION %s%s WITH (%s)", image_qualified_name(image),
			 image_get(image, "", "all tables") ? " FOR ALL TABLES" : "",
			 options_sql(image));
	foreach(lc, image->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (strcmp(facet->name, "member") == 0)
			member_step(image, image, facet->part, true, steps);
	}
}

static void
publication_drop(const Image *image, Steps *steps)
{
	step_add(steps, RANK_PUBLICATION, RUN_CATALOG, "ACCESS EXCLUSIVE",
			 "catalog", "DROP PUBLICATION %s", image_qualified_name(image));
}

static bool
member_differs(const Image *have, const Image *want, const char *part)
{
	return facet_differs(have, want, part, "member") ||
		facet_differs(have, want, part, "columns") ||
		facet_differs(have, want, part, "where");
}

/* Those first that go, or come again with other columns or rows. */
static void
alter_members(const Image *have, const Image *want, Steps *steps)
{
	ListCell   *lc;

	foreach(lc, have->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (strcmp(facet->name, "member") == 0 &&
			member_differs(have, want, facet->part))
			member_step(want, have, facet->part, false, steps);
	}
	foreach(lc, want->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (strcmp(facet->name, "member") == 0 &&
			member_differs(have, want, facet->part))
			member_step(want, want, facet->part, true, steps);
	}
}

static bool
publication_alter(const Image *have, const Image *want, Steps *steps)
{
	if (facet_differs(have, want, "", "all tables"))
		return false;
	if (strcmp(options_sql(have), options_sql(want)) != 0)
		step_add(steps, RANK_PUBLICATION, mode_of(want, NULL), NULL, "catalog",
				 "ALTER PUBLICATION %s SET (%s)", image_qualified_name(want),
				 options_sql(want));
	alter_members(have, want, steps);
	return true;
}

const ImageClass image_class_publication = {
	.catalog = PublicationRelationId,
	.type = "publication",
	.keyword = "PUBLICATION",
	.rank = RANK_PUBLICATION,
	.read = publication_read,
	.create = publication_create,
	.drop = publication_drop,
	.alter = publication_alter,
};
