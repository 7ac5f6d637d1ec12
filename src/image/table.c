/*-------------------------------------------------------------------------
 *
 * table.c
 *	  Images of tables, partitioned tables and foreign tables.
 *
 * A table's rows are not in its image.  A table that was kept comes back from
 * the vault; one that was not can be made again, empty, and the reverse says
 * so.  What lives in a table (constraints, indexes, triggers, sequences) has
 * images of its own.
 *
 * Every relation of an inheritance tree has its own image, so whatever SQL
 * lets one set for one relation alone (ONLY) is set so; the rest of an
 * inherited column comes from the parent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/partition.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/tablespace.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "classes.h"
#include "compat.h"
#include "table.h"

/* ---- small things that the files of tables share ---- */

/*
 * Whether both images are of one incarnation of an object.  What PostgreSQL
 * cannot change without making the object anew is then the same, however
 * differently it may read since something in it was renamed.
 */
bool
image_same_object(const Image *a, const Image *b)
{
	return OidIsValid(a->address.objectId) &&
		a->address.classId == b->address.classId &&
		a->address.objectId == b->address.objectId;
}

bool
value_is(const char *value, const char *expected)
{
	return value != NULL && strcmp(value, expected) == 0;
}

/* NULL equals NULL only. */
bool
texts_equal(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a, b) == 0;
}

/* ---- reading ---- */

/* Parents in their order, which pg_dump shows. */
static void
read_inheritance(Image *image, Oid relid)
{
	Relation	rel = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			n = 0;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, InheritsRelidSeqnoIndexId, true, NULL, 1,
							  &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_inherits form = (Form_pg_inherits) GETSTRUCT(tuple);

		n++;
		image_add(image, "", psprintf("inherits %d", n),
				  qualified_relation_name(form->inhparent));
		image_addf(image, "", psprintf("@inherits %d", n), "%u",
				   form->inhparent);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static char *
relation_owner_name(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	name = GetUserNameFromId(loan_owner(relid, ((Form_pg_class) GETSTRUCT(tuple))->relowner),
							 false);
	ReleaseSysCache(tuple);
	return name;
}

/* ATTACH PARTITION takes none that is not valid, but makes another. */
static bool
has_fitting_index(Oid relid, Oid parent_index)
{
	ListCell   *lc;

	foreach(lc, find_inheritance_children(parent_index, NoLock))
	{
		if (IndexGetRelation(lfirst_oid(lc), false) == relid)
			return get_index_isvalid(lfirst_oid(lc));
	}
	return false;
}

/*
 * Attaching a partition makes it every index of the parent.  One ON ONLY the
 * parent, which is not valid before every partition has it, some may not have,
 * or have one that is not valid either, which is attached afterwards.
 */
static void
read_missing_indexes(Image *image, Oid relid, Oid parent)
{
	Relation	rel = table_open(IndexRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			n = 0;

	ScanKeyInit(&key, Anum_pg_index_indrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(parent));
	scan = systable_beginscan(rel, IndexIndrelidIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);

		if (!form->indisvalid && !has_fitting_index(relid, form->indexrelid))
			image_add(image, "", psprintf("@without index %d", ++n),
					  qualified_relation_name(form->indexrelid));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static void
read_partition(Image *image, HeapTuple tuple)
{
	Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
	Oid			parent = get_partition_parent(form->oid, true);
	bool		isnull;
	Datum		bound;

	image_add(image, "", "partition of", qualified_relation_name(parent));
	image_addf(image, "", "@partition of", "%u", parent);
	image_add(image, "", "@partition of owner", relation_owner_name(parent));
	read_missing_indexes(image, form->oid, parent);
	bound = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relpartbound,
							&isnull);
	if (!isnull)
		image_add(image, "", "bound",
				  deparse_expression(stringToNode(TextDatumGetCString(bound)),
									 NIL, false, false));
	/* set from the first transaction of DETACH ... CONCURRENTLY on */
	if (PartitionHasPendingDetach(form->oid))
		image_add(image, "", "detach pending", "true");
}

static void
read_foreign(Image *image, Oid relid)
{
	ForeignTable *table = GetForeignTable(relid);
	HeapTuple	tuple = SearchSysCache1(FOREIGNTABLEREL, ObjectIdGetDatum(relid));
	Datum		options;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for foreign table %u", relid);
	image_add(image, "", "server",
			  quote_identifier(GetForeignServer(table->serverid)->servername));
	options = SysCacheGetAttr(FOREIGNTABLEREL, tuple,
							  Anum_pg_foreign_table_ftoptions, &isnull);
	options_read(image, "", "fdw option ", options, isnull);
	ReleaseSysCache(tuple);
}

static void
read_storage_options(Image *image, HeapTuple tuple)
{
	Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
	bool		isnull;
	Datum		options = SysCacheGetAttr(RELOID, tuple,
										  Anum_pg_class_reloptions, &isnull);

	options_read(image, "", "option ", options, isnull);
	if (!OidIsValid(form->reltoastrelid))
		return;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(form->reltoastrelid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", form->reltoastrelid);
	options = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_reloptions,
							  &isnull);
	options_read(image, "", "option toast.", options, isnull);
	ReleaseSysCache(tuple);
}

static void
read_placement(Image *image, HeapTuple tuple)
{
	Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);

	if (form->relpersistence != RELPERSISTENCE_PERMANENT)
		image_add(image, "", "persistence",
				  form->relpersistence == RELPERSISTENCE_UNLOGGED ? "UNLOGGED" : "TEMPORARY");
	if (OidIsValid(form->relam))
		image_add(image, "", "access method",
				  quote_identifier(get_am_name(form->relam)));
	if (OidIsValid(form->reltablespace))
		image_add(image, "", "tablespace",
				  quote_identifier(get_tablespace_name(form->reltablespace)));
	if (OidIsValid(form->reloftype))
	{
		image_add(image, "", "of type", type_name_at_home(form->reloftype, -1));
		image_addf(image, "", "@of type", "%u", form->reloftype);
	}
	if (form->relkind == RELKIND_PARTITIONED_TABLE)
		image_add(image, "", "partition key",
				  TextDatumGetCString(DirectFunctionCall1(pg_get_partkeydef,
														  ObjectIdGetDatum(form->oid))));
	if (form->relkind == RELKIND_FOREIGN_TABLE)
		read_foreign(image, form->oid);
	if (form->relispartition)
		read_partition(image, tuple);
	else
		read_inheritance(image, form->oid);
	read_storage_options(image, tuple);
}

static void
read_protection(Image *image, Form_pg_class form)
{
	if (form->relrowsecurity)
		image_add(image, "", "row security", "ENABLE");
	if (form->relforcerowsecurity)
		image_add(image, "", "force row security", "FORCE");
	/* foreign tables bear NOTHING, which nobody can set */
	if (form->relkind == RELKIND_FOREIGN_TABLE)
		return;
	/* which index identifies the rows is a facet of that index */
	switch (form->relreplident)
	{
		case REPLICA_IDENTITY_NOTHING:
			image_add(image, "", "replica identity", "NOTHING");
			break;
		case REPLICA_IDENTITY_FULL:
			image_add(image, "", "replica identity", "FULL");
			break;
		case REPLICA_IDENTITY_INDEX:
			image_add(image, "", "replica identity", "INDEX");
			break;
	}
}

static bool
table_read(Image *image)
{
	Oid			relid = image->address.objectId;
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	Datum		acl;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_class) GETSTRUCT(tuple);
	image->schema = get_namespace_name(form->relnamespace);
	image->name = pstrdup(NameStr(form->relname));
	image_add_owner(image, loan_owner(form->oid, form->relowner));
	image_addf(image, "", "@relkind", "%c", form->relkind);
	image_addf(image, "", "@filenode", "%u", form->relfilenode);
	read_placement(image, tuple);
	read_protection(image, form);
	acl = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relacl, &isnull);
	image_add_acl(image, "", acl, isnull, OBJECT_TABLE,
				  loan_owner(form->oid, form->relowner));
	columns_read(image, form);
	ReleaseSysCache(tuple);
	return true;
}

/* ---- making ---- */

/* What of a column stands in CREATE TABLE; the rest is set like a change. */
static void
append_columns(StringInfo buf, List *columns, bool with_inherited)
{
	ListCell   *lc;
	const char *separator = "";

	foreach(lc, columns)
	{
		Column	   *column = lfirst(lc);

		if (!with_inherited && value_is(column_get(column, "islocal"), "false"))
			continue;
		appendStringInfo(buf, "%s%s", separator, column_definition(column));
		separator = ", ";
	}
}

static void
append_parents(StringInfo buf, const Image *image)
{
	const char *parent;

	for (int i = 1; (parent = image_get(image, "", psprintf("inherits %d", i))) != NULL; i++)
		appendStringInfo(buf, "%s%s", i == 1 ? " INHERITS (" : ", ", parent);
	if (image_get(image, "", "inherits 1"))
		appendStringInfoChar(buf, ')');
}

static void
append_placement(StringInfo buf, const Image *image)
{
	List	   *facets = image_own_facets(image);
	const char *value;
	char	   *options;

	if ((value = facet_value(facets, "partition key")) != NULL)
		appendStringInfo(buf, " PARTITION BY %s", value);
	if ((value = facet_value(facets, "server")) != NULL)
		appendStringInfo(buf, " SERVER %s", value);
	if ((options = options_list(facets, "fdw option", " ")) != NULL)
		appendStringInfo(buf, " OPTIONS (%s)", options);
	if ((value = facet_value(facets, "access method")) != NULL)
		appendStringInfo(buf, " USING %s", value);
	if ((options = options_list(facets, "option", "=")) != NULL)
		appendStringInfo(buf, " WITH (%s)", options);
	if ((value = facet_value(facets, "tablespace")) != NULL)
		appendStringInfo(buf, " TABLESPACE %s", value);
}

/*
 * A partition that is no foreign table is made like its parent, with the
 * parent's CHECKs, and attached when its own indexes and keys are there: those
 * that PARTITION OF would make have other names.
 */
static bool
is_attached_later(const Image *image)
{
	return image_get(image, "", "partition of") &&
		!value_is(image_get(image, "", "@relkind"), "f");
}

/* Whether create_table_sql leaves this facet to what follows. */
static bool
is_set_later(const Image *want, const Facet *facet)
{
	static const char *const later[] = {
		"row security", "force row security", "replica identity", "of type",
		"storage", "compression", "statistics"
	};
	static const char *const later_in_partition[] = {
		"default", "@default oid", "identity"
	};

	for (size_t i = 0; i < lengthof(later); i++)
	{
		if (strcmp(facet->name, later[i]) == 0)
			return true;
	}
	if (facet->part[0] == '\0')
		return is_attached_later(want) &&
			(strcmp(facet->name, "partition of") == 0 ||
			 strcmp(facet->name, "bound") == 0);
	if (strncmp(facet->name, "option ", 7) == 0)
		return true;
	if (strncmp(facet->name, "notnull", 7) == 0)
		return notnull_is_set_later(want, facet);
	for (size_t i = 0; i < lengthof(later_in_partition); i++)
	{
		if (image_get(want, "", "partition of") &&
			strcmp(facet->name, later_in_partition[i]) == 0)
			return true;
	}
	return false;
}

/* The image of what create_table_sql makes, which is another relation. */
static Image *
image_as_created(const Image *want)
{
	Image	   *bare = palloc(sizeof(Image));
	ListCell   *lc;

	*bare = *want;
	bare->address.objectId = InvalidOid;
	bare->facets = NIL;
	foreach(lc, want->facets)
	{
		if (!is_set_later(want, lfirst(lc)))
			bare->facets = lappend(bare->facets, lfirst(lc));
	}
	return bare;
}

static char *
create_table_sql(const Image *image, List *columns)
{
	StringInfoData buf;
	const char *partition_of = image_get(image, "", "partition of");
	const char *persistence = image_get(image, "", "persistence");

	initStringInfo(&buf);
	appendStringInfo(&buf, "CREATE %s%s%s %s",
					 persistence ? persistence : "", persistence ? " " : "",
					 image->class->keyword, image_qualified_name(image));
	if (is_attached_later(image))
		appendStringInfo(&buf, " (LIKE %s INCLUDING CONSTRAINTS INCLUDING GENERATED)",
						 partition_of);
	else if (partition_of)
		appendStringInfo(&buf, " PARTITION OF %s %s", partition_of,
						 image_get(image, "", "bound"));
	else
	{
		appendStringInfoString(&buf, " (");
		append_columns(&buf, columns, image_get(image, "", "inherits 1") == NULL);
		appendStringInfoChar(&buf, ')');
		append_parents(&buf, image);
	}
	append_placement(&buf, image);
	return buf.data;
}

static bool
has_expression(List *columns)
{
	ListCell   *lc;

	foreach(lc, columns)
	{
		if (column_get(lfirst(lc), "default") || column_get(lfirst(lc), "generated"))
			return true;
	}
	return false;
}

/*
 * A kept table is restored with all that the vault leaves on it.  Any other is
 * made anew and set like a change; expressions in it may need functions and
 * sequences, hence the later rank.
 */
static void
table_create(const Image *image, Steps *steps)
{
	List	   *columns;

	if (image->kept != 0)
	{
		step_add(steps, RANK_TABLE, RUN_CATALOG, ACCESS_EXCLUSIVE, "catalog",
				 "SELECT safemig.restore_relation(" INT64_FORMAT ")",
				 image->kept);
		return;
	}
	if (value_is(image_get(image, "", "@relkind"), "r"))
		steps_irreversible(steps, "the rows of table %s were not kept",
						   image->identity);
	columns = columns_of(image);
	step_add(steps, has_expression(columns) ? RANK_DEFAULT : RANK_TABLE,
			 RUN_CATALOG, NULL, "catalog", "%s",
			 create_table_sql(image, columns));
	table_alter(image_as_created(image), image, steps);
}

static bool
has_referencing_constraint(Oid relid)
{
	Relation	rel = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	bool		found;

	ScanKeyInit(&key[0], Anum_pg_constraint_confrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relid));
	ScanKeyInit(&key[1], Anum_pg_constraint_contype, BTEqualStrategyNumber,
				F_CHAREQ, CharGetDatum(CONSTRAINT_FOREIGN));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 2, key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/*
 * A partition of a table that foreign keys refer to is referred to as well,
 * by a part of each key that cannot be dropped.  It goes with DETACH, which
 * makes sure that no row needs the partition.
 */
static void
detach_if_referenced(const Image *image, Steps *steps)
{
	const char *parent = image_get(image, "", "partition of");

	if (parent && has_referencing_constraint(image->address.objectId))
		step_add(steps, RANK_TABLE, RUN_CATALOG, ACCESS_EXCLUSIVE, "scan",
				 "ALTER TABLE %s DETACH PARTITION %s", parent,
				 image_qualified_name(image));
}

static void
table_drop(const Image *image, Steps *steps)
{
	detach_if_referenced(image, steps);
	step_add(steps, RANK_TABLE, RUN_CATALOG, ACCESS_EXCLUSIVE, "catalog",
			 "DROP %s %s", image->class->keyword,
			 image_qualified_name(image));
}

const ImageClass image_class_table = {
	.catalog = RelationRelationId,
	.type = "table",
	.keyword = "TABLE",
	.rank = RANK_TABLE,
	.read = table_read,
	.create = table_create,
	.drop = table_drop,
	.alter = table_alter,
};

const ImageClass image_class_foreign_table = {
	.catalog = RelationRelationId,
	.type = "foreign table",
	.keyword = "FOREIGN TABLE",
	.rank = RANK_TABLE,
	.read = table_read,
	.create = table_create,
	.drop = table_drop,
	.alter = table_alter,
};
