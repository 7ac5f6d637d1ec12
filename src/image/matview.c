/*-------------------------------------------------------------------------
 *
 * matview.c
 *	  Images of materialized views.
 *
 * A dropped one comes back from the vault with its rows and with all that is
 * set on it and its columns.  One that has to be made anew is filled by
 * REFRESH, after it has its owner and he his privileges, as whom the query
 * then runs.
 *
 * Nothing replaces the query of a materialized view.  Its text changes with
 * the names of its columns and of what it reads, and changes back with them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "commands/tablespace.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "image/classes.h"
#include "image/table.h"

/* ---- reading ---- */

/* As a table's, and by position: no statement adds or removes one. */
static void
read_columns(Image *image, Form_pg_class form)
{
	ListCell   *lc;

	columns_read(image, form);
	foreach(lc, columns_of(image))
	{
		Column	   *column = lfirst(lc);

		image_addf(image, column->name, "position", "%d", column->attnum);
	}
}

static void
read_toast_options(Image *image, Oid toast)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(toast));
	Datum		value;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return;
	value = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_reloptions, &isnull);
	options_read(image, "", "option toast.", value, isnull);
	ReleaseSysCache(tuple);
}

static void
read_settings(Image *image, HeapTuple tuple)
{
	Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
	Datum		value;
	bool		isnull;

	value = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_reloptions, &isnull);
	options_read(image, "", "option ", value, isnull);
	read_toast_options(image, form->reltoastrelid);
	image_add(image, "", "access method",
			  quote_identifier(get_am_name(form->relam)));
	if (OidIsValid(form->reltablespace))
		image_add(image, "", "tablespace",
				  quote_identifier(get_tablespace_name(form->reltablespace)));
	if (form->relispopulated)
		image_add(image, "", "populated", "true");
	if (form->relreplident == REPLICA_IDENTITY_FULL)
		image_add(image, "", "replica identity", "FULL");
	else if (form->relreplident == REPLICA_IDENTITY_NOTHING)
		image_add(image, "", "replica identity", "NOTHING");
}

static bool
matview_read(Image *image)
{
	HeapTuple	tuple = SearchSysCache1(RELOID,
										ObjectIdGetDatum(image->address.objectId));
	Form_pg_class form;
	Relation	rel;
	Datum		value;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_class) GETSTRUCT(tuple);
	image->schema = get_namespace_name(form->relnamespace);
	image->name = pstrdup(NameStr(form->relname));
	image_add_owner(image, form->relowner);
	value = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relacl, &isnull);
	image_add_acl(image, "", value, isnull, OBJECT_TABLE, form->relowner);
	read_settings(image, tuple);
	read_columns(image, form);
	ReleaseSysCache(tuple);
	rel = relation_open(image->address.objectId, AccessShareLock);
	view_read_query(image, rel);
	relation_close(rel, AccessShareLock);
	image_add_extension_dependencies(image);
	return true;
}

/* ---- steps ---- */

static void
alter(const Image *image, Steps *steps, const char *lock_mode,
	  const char *action)
{
	step_add(steps, RANK_VIEW, RUN_CATALOG, lock_mode, "catalog",
			 "ALTER MATERIALIZED VIEW %s %s", image_qualified_name(image), action);
}

static void
alter_column(const Image *image, Steps *steps, const char *part,
			 const char *lock_mode, const char *action)
{
	alter(image, steps, lock_mode,
		  psprintf("ALTER COLUMN %s %s", quote_identifier(part), action));
}

/* All facets of one column, or of the view itself (""). */
static List *
part_facets(const Image *image, const char *part)
{
	List	   *facets = NIL;
	ListCell   *lc;

	foreach(lc, image->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (strcmp(facet->part, part) == 0)
			facets = lappend(facets, facet);
	}
	return facets;
}

/* have is NIL for a column just made */
static void
column_steps(List *have, const Image *want, const char *part, Steps *steps)
{
	List	   *facets = part_facets(want, part);
	const char *target = facet_value(facets, "statistics");
	const char *compression = facet_value(facets, "compression");
	char	   *text;

	if (!texts_equal(facet_value(have, "storage"), facet_value(facets, "storage")))
		alter_column(want, steps, part, ACCESS_EXCLUSIVE,
					 psprintf("SET STORAGE %s", facet_value(facets, "@storage")));
	if (!texts_equal(facet_value(have, "compression"), compression))
		alter_column(want, steps, part, ACCESS_EXCLUSIVE,
					 psprintf("SET COMPRESSION %s",
							  compression ? quote_identifier(compression) : "DEFAULT"));
	if (!texts_equal(facet_value(have, "statistics"), target))
		alter_column(want, steps, part, SHARE_UPDATE_EXCLUSIVE,
					 psprintf("SET STATISTICS %s", target ? target : "-1"));
	if ((text = options_to_reset(have, facets, "option")) != NULL)
		alter_column(want, steps, part, SHARE_UPDATE_EXCLUSIVE,
					 psprintf("RESET (%s)", text));
	if ((text = options_to_set(have, facets, "option")) != NULL)
		alter_column(want, steps, part, SHARE_UPDATE_EXCLUSIVE,
					 psprintf("SET (%s)", text));
}

/* No statement sets it for a materialized view but ALTER TABLE. */
static void
set_replica_identity(const Image *image, Steps *steps)
{
	const char *identity = image_get(image, "", "replica identity");

	step_add(steps, RANK_VIEW, RUN_CATALOG, ACCESS_EXCLUSIVE, "catalog",
			 "ALTER TABLE %s REPLICA IDENTITY %s", image_qualified_name(image),
			 identity ? identity : "DEFAULT");
}

static void
refresh(const Image *image, Steps *steps)
{
	Step	   *step;

	if (image_get(image, "", "populated") == NULL)
	{
		step_add(steps, RANK_AFTER_COMMON, RUN_INDEX, ACCESS_EXCLUSIVE,
				 "catalog", "REFRESH MATERIALIZED VIEW %s WITH NO DATA",
				 image_qualified_name(image));
		return;
	}
	step = step_add(steps, RANK_AFTER_COMMON, RUN_INDEX, ACCESS_EXCLUSIVE,
					"rewrite", "REFRESH MATERIALIZED VIEW %s",
					image_qualified_name(image));
	step->note = pstrdup("filled with what its query gives at that time");
}

static char *
create_sql(const Image *image)
{
	List	   *facets = part_facets(image, "");
	const char *options = options_list(facets, "option", "=");
	const char *tablespace = image_get(image, "", "tablespace");
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "CREATE MATERIALIZED VIEW %s%s USING %s",
					 image_qualified_name(image), view_columns_sql(image),
					 image_get(image, "", "access method"));
	if (options)
		appendStringInfo(&buf, " WITH (%s)", options);
	if (tablespace)
		appendStringInfo(&buf, " TABLESPACE %s", tablespace);
	appendStringInfo(&buf, " AS %s WITH NO DATA", view_query_sql(image));
	return buf.data;
}

static void
matview_create(const Image *image, Steps *steps)
{
	ListCell   *lc;

	if (image->kept != 0)
	{
		step_add(steps, RANK_VIEW, RUN_CATALOG, ACCESS_EXCLUSIVE, "catalog",
				 "SELECT safemig.restore_relation(" INT64_FORMAT ")",
				 image->kept);
		return;
	}
	step_add(steps, RANK_VIEW, RUN_CATALOG, NULL, "catalog", "%s",
			 create_sql(image));
	foreach(lc, image_parts(image))
		column_steps(NIL, image, lfirst(lc), steps);
	if (image_get(image, "", "replica identity"))
		set_replica_identity(image, steps);
	extension_dependency_steps(NULL, image, steps, RANK_VIEW);
	if (image_get(image, "", "populated"))
		refresh(image, steps);
}

static void
matview_drop(const Image *image, Steps *steps)
{
	step_add(steps, RANK_VIEW, RUN_CATALOG, ACCESS_EXCLUSIVE, "catalog",
			 "DROP MATERIALIZED VIEW %s", image_qualified_name(image));
}

static void
alter_settings(const Image *have, const Image *want, Steps *steps)
{
	List	   *now = part_facets(have, "");
	List	   *then = part_facets(want, "");
	char	   *text;

	if ((text = options_to_reset(now, then, "option")) != NULL)
		alter(want, steps, SHARE_UPDATE_EXCLUSIVE, psprintf("RESET (%s)", text));
	if ((text = options_to_set(now, then, "option")) != NULL)
		alter(want, steps, SHARE_UPDATE_EXCLUSIVE, psprintf("SET (%s)", text));
	if (facet_differs(have, want, "", "replica identity"))
		set_replica_identity(want, steps);
	if (facet_differs(have, want, "", "access method"))
		step_add(steps, RANK_VIEW, RUN_CATALOG, ACCESS_EXCLUSIVE, "rewrite",
				 "ALTER MATERIALIZED VIEW %s SET ACCESS METHOD %s",
				 image_qualified_name(want), image_get(want, "", "access method"));
	if (facet_differs(have, want, "", "tablespace"))
	{
		const char *tablespace = image_get(want, "", "tablespace");

		/* no tablespace of its own: the database's */
		step_add(steps, RANK_VIEW, RUN_CATALOG, ACCESS_EXCLUSIVE, "rewrite",
				 "ALTER MATERIALIZED VIEW %s SET TABLESPACE %s",
				 image_qualified_name(want),
				 tablespace ? tablespace : quote_identifier(get_tablespace_name(MyDatabaseTableSpace)));
	}
}

static bool
matview_alter(const Image *have, const Image *want, Steps *steps)
{
	ListCell   *lc;

	if (!image_same_object(have, want) &&
		(facet_differs(have, want, "", "query") ||
		 list_length(image_parts(have)) != list_length(image_parts(want)) ||
		 !view_columns_extend(have, want)))
		return false;
	rename_parts(have, want, steps, "COLUMN", RANK_RENAME);
	alter_settings(have, want, steps);
	foreach(lc, image_parts(want))
	{
		const char *part = lfirst(lc);
		const char *now = part_now(have, want, part);

		column_steps(part_facets(have, now ? now : part), want, part, steps);
	}
	extension_dependency_steps(have, want, steps, RANK_VIEW);
	if (facet_differs(have, want, "", "populated"))
		refresh(want, steps);
	return true;
}

const ImageClass image_class_materialized_view = {
	.catalog = RelationRelationId,
	.type = "materialized view",
	.keyword = "MATERIALIZED VIEW",
	.rank = RANK_VIEW,
	.read = matview_read,
	.create = matview_create,
	.drop = matview_drop,
	.alter = matview_alter,
};
