/*-------------------------------------------------------------------------
 *
 * index.c
 *	  Images of indexes.
 *
 * An index that belongs to a constraint lives in that and comes and goes with
 * it; only its settings (statistics targets, CLUSTER, replica identity) are
 * then this file's.  Keys, expressions and predicate cannot change under an
 * index's OID, so a definition that reads differently there only names
 * something that was renamed.
 *
 * The index of a partitioned table is made on that table alone; those of the
 * partitions have images of their own and are attached to it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/partition.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "commands/tablespace.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "classes.h"
#include "compat.h"
#include "table.h"

/* ---- reading ---- */

/*
 * PostgreSQL's own command for the index, from USING on: keys, INCLUDE, NULLS
 * NOT DISTINCT, options, tablespace, predicate.
 */
static void
read_definition(Image *image, Form_pg_index form)
{
	char	   *text = pg_get_indexdef_string(form->indexrelid);
	char	   *schema = get_namespace_name_or_temp(get_rel_namespace(form->indrelid));
	char	   *prefix = psprintf("CREATE %sINDEX %s ON %s ",
								  form->indisunique ? "UNIQUE " : "",
								  quote_identifier(image->name),
								  quote_qualified_identifier(schema, get_rel_name(form->indrelid)));

	if (strncmp(text, prefix, strlen(prefix)) != 0)
		elog(ERROR, "unexpected index definition: %s", text);
	image_add(image, "", "definition", text + strlen(prefix));
	if (form->indisunique)
		image_add(image, "", "unique", "UNIQUE");
}

/* Targets of columns that are expressions; others take the table's. */
static void
read_statistics(Image *image)
{
	Relation	rel = table_open(AttributeRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_attribute_attrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(image->address.objectId));
	scan = systable_beginscan(rel, AttributeRelidNumIndexId, true, NULL, 1,
							  &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		int			target = attribute_statistics_target(tuple, RelationGetDescr(rel));

		if (target >= 0)
			image_addf(image, "",
					   psprintf("statistics %d",
								((Form_pg_attribute) GETSTRUCT(tuple))->attnum),
					   "%d", target);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static bool
has_foreign_partition(Oid relid)
{
	ListCell   *lc;

	foreach(lc, find_inheritance_children(relid, NoLock))
	{
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_FOREIGN_TABLE)
			return true;
	}
	return false;
}

/* The constraint it belongs to, else the table or materialized view. */
static void
read_home(Image *image, Oid relid)
{
	Oid			constraint = get_index_constraint(image->address.objectId);
	char		relkind = get_rel_relkind(relid);
	HeapTuple	tuple;

	if (OidIsValid(constraint))
	{
		image_set_parent(image, ConstraintRelationId, constraint);
		image_add(image, "", "of constraint", "true");
	}
	else
		image_set_parent(image, RelationRelationId, relid);
	if (relkind == RELKIND_MATVIEW)
		image->rank = RANK_VIEW_INDEX;
	else if (relkind == RELKIND_PARTITIONED_TABLE)
	{
		image_add(image, "", "@partitioned", "true");
		if (has_foreign_partition(relid))
			image_add(image, "", "@has foreign partition", "true");
	}
	image_add(image, "", "@table", qualified_relation_name(relid));

	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	image_add(image, "", "@owner",
			  GetUserNameFromId(loan_owner(relid, ((Form_pg_class) GETSTRUCT(tuple))->relowner),
								false));
	if (((Form_pg_class) GETSTRUCT(tuple))->relispartition)
		image_add(image, "", "@on partition", "true");
	ReleaseSysCache(tuple);
}

static void
read_marks(Image *image, HeapTuple tuple)
{
	Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);

	if (!form->indisvalid)
		image_add(image, "", "valid", "false");
	if (!form->indisready)
		image_add(image, "", "@unbuilt", "true");
	if (form->indisclustered)
		image_add(image, "", "clustered", "true");
	if (form->indisreplident)
		image_add(image, "", "replica identity", "true");
	/* such an index runs code, so the vault does not keep it */
	if (!heap_attisnull(tuple, Anum_pg_index_indexprs, NULL))
	{
		image_add(image, "", "@expressions", "true");
		read_statistics(image);
	}
	if (!heap_attisnull(tuple, Anum_pg_index_indpred, NULL))
		image_add(image, "", "@predicate", "true");
}

static void
read_relation(Image *image, HeapTuple tuple)
{
	Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
	bool		isnull;
	Datum		options;

	image->schema = get_namespace_name(form->relnamespace);
	image->name = pstrdup(NameStr(form->relname));
	if (OidIsValid(form->reltablespace))
		image_add(image, "", "tablespace",
				  quote_identifier(get_tablespace_name(form->reltablespace)));
	options = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_reloptions,
							  &isnull);
	options_read(image, "", "option ", options, isnull);
	if (form->relispartition)
	{
		Oid			parent = get_partition_parent(form->oid, true);

		image_add(image, "", "partition of", qualified_relation_name(parent));
		image_addf(image, "", "@partition of", "%u", parent);
		if (get_rel_relispartition(parent))
			image_add(image, "", "@below another", "true");
	}
}

static bool
index_read(Image *image)
{
	Oid			indexid = image->address.objectId;
	HeapTuple	class_tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(indexid));
	HeapTuple	index_tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(indexid));
	bool		found = HeapTupleIsValid(class_tuple) &&
		HeapTupleIsValid(index_tuple);

	if (found)
	{
		Form_pg_index form = (Form_pg_index) GETSTRUCT(index_tuple);

		read_relation(image, class_tuple);
		read_definition(image, form);
		read_home(image, form->indrelid);
		read_marks(image, index_tuple);
		image_add_extension_dependencies(image);
	}
	if (HeapTupleIsValid(class_tuple))
		ReleaseSysCache(class_tuple);
	if (HeapTupleIsValid(index_tuple))
		ReleaseSysCache(index_tuple);
	return found;
}

/* ---- making and changing ---- */

static bool
of_constraint(const Image *image)
{
	return image_get(image, "", "of constraint") != NULL;
}

/* After indexes and keys are there; a materialized view's come later. */
static int
settings_rank(const Image *image)
{
	return image->rank == RANK_VIEW_INDEX ? RANK_VIEW_INDEX + 1 : RANK_TABLE_AFTER;
}

static void
alter_statistics(const Image *have, const Image *want, Steps *steps)
{
	ListCell   *lc;
	char	   *name = image_qualified_name(want);

	foreach(lc, want->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (strncmp(facet->name, "statistics ", 11) == 0 &&
			(have == NULL || facet_differs(have, want, "", facet->name)))
			step_add(steps, settings_rank(want), RUN_CATALOG,
					 SHARE_UPDATE_EXCLUSIVE, "catalog",
					 "ALTER INDEX %s ALTER COLUMN %s SET STATISTICS %s",
					 name, facet->name + 11, facet->value);
	}
	if (have == NULL)
		return;
	foreach(lc, have->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (strncmp(facet->name, "statistics ", 11) == 0 &&
			image_get(want, "", facet->name) == NULL)
			step_add(steps, settings_rank(want), RUN_CATALOG,
					 SHARE_UPDATE_EXCLUSIVE, "catalog",
					 "ALTER INDEX %s ALTER COLUMN %s SET STATISTICS -1",
					 name, facet->name + 11);
	}
}

static bool
gains(const Image *have, const Image *want, const char *mark)
{
	return image_get(want, "", mark) &&
		(have == NULL || image_get(have, "", mark) == NULL);
}

static bool
loses(const Image *have, const Image *want, const char *mark)
{
	return have && gains(want, have, mark);
}

/*
 * Marks that at most one index of a table has.  Taking one away comes before
 * another index gets it; a table's replica identity, where no index has it any
 * more, is the table's to set.
 */
static void
alter_marks(const Image *have, const Image *want, Steps *steps)
{
	const char *table = image_get(want, "", "@table");

	if (loses(have, want, "clustered"))
		step_add(steps, RANK_INDEX, RUN_CATALOG, ACCESS_EXCLUSIVE, "catalog",
				 "ALTER TABLE %s SET WITHOUT CLUSTER", table);
	if (gains(have, want, "clustered"))
		step_add(steps, settings_rank(want), RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "ALTER TABLE %s CLUSTER ON %s", table,
				 quote_identifier(want->name));
	if (gains(have, want, "replica identity"))
		step_add(steps, settings_rank(want), RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "ALTER TABLE %s REPLICA IDENTITY USING INDEX %s",
				 table, quote_identifier(want->name));
}

/*
 * Attached after the tables are, which attaches fitting indexes by itself (the
 * statement then does nothing).  It is detached with its table; where that
 * stays a partition there is no statement for it.
 */
static void
alter_attachment(const Image *have, const Image *want, Steps *steps)
{
	bool		saved = steps->dropping;

	/* the index above must be valid before its own table is attached */
	if (gains(have, want, "partition of") &&
		image_get(want, "", "@below another"))
		step_add(steps, RANK_CONSTRAINT + 1, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "SELECT safemig.attach_index(%s, %s)",
				 quote_literal_cstr(image_get(want, "", "partition of")),
				 quote_literal_cstr(image_qualified_name(want)));
	if (gains(have, want, "partition of"))
		step_add(steps, RANK_TABLE_AFTER + 1, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "ALTER INDEX %s ATTACH PARTITION %s",
				 image_get(want, "", "partition of"), image_qualified_name(want));
	else if (loses(have, want, "partition of") &&
			 image_get(want, "", "@on partition"))
	{
		steps->dropping = true;
		step_add(steps, RANK_TABLE_AFTER + 1, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "SELECT safemig.detach_index(%s)",
				 quote_literal_cstr(image_qualified_name(want)));
		steps->dropping = saved;
	}
}

/* What a statement that makes the index does not say. */
static void
make_settings(const Image *want, Steps *steps)
{
	alter_statistics(NULL, want, steps);
	alter_marks(NULL, want, steps);
	alter_attachment(NULL, want, steps);
	extension_dependency_steps(NULL, want, steps, settings_rank(want));
	if (image_get(want, "", "valid") &&
		image_get(want, "", "@unbuilt") == NULL &&
		image_get(want, "", "@partitioned") == NULL)
		step_add(steps, settings_rank(want), RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "SELECT safemig.set_index_valid(%s, false)",
				 quote_literal_cstr(image_qualified_name(want)));
	/* made ON ONLY the table it would wait for that partition's, which has none */
	if (image_get(want, "", "valid") == NULL && image_get(want, "", "@has foreign partition"))
		step_add(steps, RANK_TABLE_AFTER + 2, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "SELECT safemig.set_index_valid(%s, true)",
				 quote_literal_cstr(image_qualified_name(want)));
}

/* EXCLUDE is the one constraint whose definition leaves the tablespace out. */
static void
alter_tablespace(const Image *want, Steps *steps)
{
	const char *tablespace = image_get(want, "", "tablespace");
	bool		has_rows = image_get(want, "", "@partitioned") == NULL;

	if (tablespace == NULL)
		tablespace = quote_identifier(get_tablespace_name(MyDatabaseTableSpace));
	step_add(steps, settings_rank(want), RUN_CATALOG, ACCESS_EXCLUSIVE,
			 has_rows ? "rewrite" : "catalog",
			 "ALTER INDEX %s SET TABLESPACE %s", image_qualified_name(want),
			 tablespace);
}

static char *
create_sql(const Image *image)
{
	return psprintf("CREATE %sINDEX %s ON %s%s %s",
					image_get(image, "", "unique") ? "UNIQUE " : "",
					quote_identifier(image->name),
					image_get(image, "", "@partitioned") ? "ONLY " : "",
					image_get(image, "", "@table"),
					image_get(image, "", "definition"));
}

static void
index_create(const Image *image, Steps *steps)
{
	if (of_constraint(image))
	{
		if (image_get(image, "", "tablespace"))
			alter_tablespace(image, steps);
	}
	else if (image_get(image, "", "@unbuilt"))
		step_add(steps, image->rank, RUN_INDEX, "SHARE", "catalog",
				 "SELECT safemig.create_unbuilt_index(%s)",
				 quote_literal_cstr(create_sql(image)));
	else
		step_add(steps, image->rank, RUN_INDEX, "SHARE", "index", "%s",
				 create_sql(image));
	make_settings(image, steps);
}

/*
 * A constraint's goes with that.  One that was made together with the index of
 * the partitioned table goes with that too and does not get here; any other
 * was made by attaching the partition, and stays when it is detached.
 */
static void
index_drop(const Image *image, Steps *steps)
{
	if (of_constraint(image))
		return;
	step_add(steps, image->rank, RUN_CATALOG, ACCESS_EXCLUSIVE, "catalog",
			 "DROP INDEX %s", image_qualified_name(image));
}

static void
alter_options(const Image *have, const Image *want, Steps *steps)
{
	List	   *old = image_own_facets(have);
	List	   *new = image_own_facets(want);
	char	   *name = image_qualified_name(want);
	char	   *text;

	if ((text = options_to_reset(old, new, "option")) != NULL)
		step_add(steps, want->rank, RUN_CATALOG, SHARE_UPDATE_EXCLUSIVE,
				 "catalog", "ALTER INDEX %s RESET (%s)", name, text);
	if ((text = options_to_set(old, new, "option")) != NULL)
		step_add(steps, want->rank, RUN_CATALOG, SHARE_UPDATE_EXCLUSIVE,
				 "catalog", "ALTER INDEX %s SET (%s)", name, text);
	if (facet_differs(have, want, "", "tablespace"))
		alter_tablespace(want, steps);
}

/* An invalid index stays so until it is rebuilt, and the other way round. */
static void
alter_validity(const Image *have, const Image *want, Steps *steps)
{
	char	   *name = image_qualified_name(want);

	if (gains(have, want, "valid"))
		step_add(steps, want->rank, RUN_CATALOG, ACCESS_EXCLUSIVE, "catalog",
				 "SELECT safemig.set_index_valid(%s, false%s)",
				 quote_literal_cstr(name),
				 image_get(want, "", "@unbuilt") ? ", built => false" : "");
	/* a partitioned index is when all its partitions are attached */
	else if (loses(have, want, "valid") && image_get(want, "", "@partitioned"))
		step_add(steps, RANK_TABLE_AFTER + 2, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "SELECT safemig.set_index_valid(%s, true)",
				 quote_literal_cstr(name));
	else if (loses(have, want, "valid"))
		step_add(steps, want->rank, RUN_INDEX, ACCESS_EXCLUSIVE, "index",
				 "SELECT safemig.set_index_valid(%s, true)",
				 quote_literal_cstr(name));
}

/*
 * The index becomes a constraint's or ceases to be one: the constraint takes
 * its index along both ways.  Such an index is not renamed (index_rename), so
 * what is dropped bears the name that have knows.
 */
static void
alter_home(const Image *have, const Image *want, Steps *steps)
{
	bool		saved = steps->dropping;

	if (of_constraint(want))
	{
		steps->dropping = true;
		step_add(steps, RANK_INDEX, RUN_CATALOG, ACCESS_EXCLUSIVE, "catalog",
				 "DROP INDEX %s",
				 quote_qualified_identifier(want->schema, have->name));
		steps->dropping = saved;
	}
	index_create(want, steps);
}

static bool
index_alter(const Image *have, const Image *want, Steps *steps)
{
	if (of_constraint(have) != of_constraint(want))
	{
		alter_home(have, want, steps);
		return true;
	}
	if (!image_same_object(have, want) &&
		(facet_differs(have, want, "", "definition") ||
		 facet_differs(have, want, "", "unique")))
	{
		if (!of_constraint(want))
			return false;
		/* the constraint is made anew, and its index with it */
		make_settings(want, steps);
		return true;
	}
	alter_options(have, want, steps);
	alter_statistics(have, want, steps);
	alter_marks(have, want, steps);
	alter_attachment(have, want, steps);
	alter_validity(have, want, steps);
	extension_dependency_steps(have, want, steps, settings_rank(want));
	return true;
}

/* The schema is the table's; a constraint's index is renamed with that. */
static bool
index_rename(const Image *have, const Image *want, Steps *steps)
{
	if (!of_constraint(have) && !of_constraint(want) &&
		strcmp(have->name, want->name) != 0)
		step_add(steps, ORDER_INNER_RENAME, RUN_CATALOG,
				 SHARE_UPDATE_EXCLUSIVE, "catalog",
				 "ALTER INDEX %s RENAME TO %s",
				 quote_qualified_identifier(want->schema, have->name),
				 quote_identifier(want->name));
	return true;
}

const ImageClass image_class_index = {
	.catalog = RelationRelationId,
	.type = "index",
	.keyword = "INDEX",
	.rank = RANK_INDEX,
	.read = index_read,
	.create = index_create,
	.drop = index_drop,
	.alter = index_alter,
	.rename = index_rename,
};
