/*-------------------------------------------------------------------------
 *
 * table_column.c
 *	  The columns of a table's image: taking them, and their SQL.
 *
 * Every live column is one part of the table's image, in the order of
 * attribute numbers.  Its attribute number, its type's OID and the OID of its
 * default are hints: within one relation they tell a column or an expression
 * that merely reads differently (since something was renamed) from one that
 * was replaced.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/toast_compression.h"
#include "catalog/indexing.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_description.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "classes.h"
#include "compat.h"
#include "table.h"

/* What the columns of one relation need beside pg_attribute. */
typedef struct ColumnTexts
{
	Oid			relid;
	List	   *defaults;		/* of DefaultText*, read at the first need */
	bool		defaults_read;
	List	   *context;		/* for deparsing what is generated */
	List	   *comments;		/* of CommentText* */
	List	   *notnulls;		/* of NotNullRow* */
	const char *table;			/* its name */
} ColumnTexts;

typedef struct DefaultText
{
	AttrNumber	attnum;
	Oid			oid;
	char	   *bin;
} DefaultText;

typedef struct CommentText
{
	AttrNumber	attnum;
	char	   *text;
} CommentText;

/* ---- reading ---- */

static void
read_defaults(ColumnTexts *texts)
{
	Relation	rel = table_open(AttrDefaultRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_attrdef_adrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(texts->relid));
	scan = systable_beginscan(rel, AttrDefaultIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_attrdef form = (Form_pg_attrdef) GETSTRUCT(tuple);
		DefaultText *item = palloc(sizeof(DefaultText));
		bool		isnull;
		Datum		bin = heap_getattr(tuple, Anum_pg_attrdef_adbin,
									   RelationGetDescr(rel), &isnull);

		item->attnum = form->adnum;
		item->oid = form->oid;
		item->bin = TextDatumGetCString(bin);
		texts->defaults = lappend(texts->defaults, item);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	texts->defaults_read = true;
}

/* One scan for all columns; most tables have no comment at all. */
static void
read_comments(ColumnTexts *texts)
{
	Relation	rel = table_open(DescriptionRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_description_objoid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(texts->relid));
	ScanKeyInit(&keys[1], Anum_pg_description_classoid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(RelationRelationId));
	scan = systable_beginscan(rel, DescriptionObjIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_description form = (Form_pg_description) GETSTRUCT(tuple);
		CommentText *item;
		bool		isnull;
		Datum		description;

		if (form->objsubid == 0)
			continue;
		description = heap_getattr(tuple, Anum_pg_description_description,
								   RelationGetDescr(rel), &isnull);
		item = palloc(sizeof(CommentText));
		item->attnum = form->objsubid;
		item->text = TextDatumGetCString(description);
		texts->comments = lappend(texts->comments, item);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static const char *
find_comment(const ColumnTexts *texts, AttrNumber attnum)
{
	ListCell   *lc;

	foreach(lc, texts->comments)
	{
		CommentText *item = lfirst(lc);

		if (item->attnum == attnum)
			return item->text;
	}
	return NULL;
}

static void
read_default(Image *image, ColumnTexts *texts, Form_pg_attribute att)
{
	const char *part = NameStr(att->attname);
	ListCell   *lc;

	if (!texts->defaults_read)
		read_defaults(texts);
	foreach(lc, texts->defaults)
	{
		DefaultText *item = lfirst(lc);
		char	   *text;

		if (item->attnum != att->attnum)
			continue;
		/* only a generation expression can name a column */
		if (att->attgenerated && texts->context == NIL)
			texts->context = deparse_context_for(texts->table, texts->relid);
		text = deparse_expression(stringToNode(item->bin),
								  att->attgenerated ? texts->context : NIL,
								  false, false);
		image_add(image, part, att->attgenerated ? "generated" : "default",
				  text);
		image_addf(image, part, "@default oid", "%u", item->oid);
	}
	/* virtual ones (PostgreSQL 18) have no stored value */
	if (att->attgenerated && att->attgenerated != ATTRIBUTE_GENERATED_STORED)
		image_add(image, part, "generated kind", "VIRTUAL");
}

static void
read_collation(Image *image, Form_pg_attribute att, Oid type_collation)
{
	if (!OidIsValid(att->attcollation) || att->attcollation == type_collation)
		return;
	image_add(image, NameStr(att->attname), "collation",
			  collation_name_at_home(att->attcollation));
	image_addf(image, NameStr(att->attname), "@collid", "%u",
			   att->attcollation);
}

const char *
storage_name(char storage)
{
	switch (storage)
	{
		case TYPSTORAGE_PLAIN:
			return "PLAIN";
		case TYPSTORAGE_EXTERNAL:
			return "EXTERNAL";
		case TYPSTORAGE_EXTENDED:
			return "EXTENDED";
		case TYPSTORAGE_MAIN:
			return "MAIN";
		default:
			elog(ERROR, "unexpected storage '%c'", storage);
			return NULL;
	}
}

/* Type, collation and storage; the latter two only where not the type's own. */
static void
read_type(Image *image, Form_pg_attribute att)
{
	const char *part = NameStr(att->attname);
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(att->atttypid));
	Form_pg_type type;
	char		type_storage;
	Oid			type_collation;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", att->atttypid);
	type = (Form_pg_type) GETSTRUCT(tuple);
	type_storage = type->typstorage;
	type_collation = type->typcollation;
	ReleaseSysCache(tuple);

	image_add(image, part, "type",
			  type_name_at_home(att->atttypid, att->atttypmod));
	image_addf(image, part, "@attnum", "%d", att->attnum);
	image_addf(image, part, "@typid", "%u", att->atttypid);
	image_addf(image, part, "@typmod", "%d", att->atttypmod);
	read_collation(image, att, type_collation);
	if (att->attstorage != type_storage)
		image_add(image, part, "storage", storage_name(att->attstorage));
	image_add(image, part, "@storage", storage_name(att->attstorage));
}

static void
read_identity(Image *image, Form_pg_attribute att)
{
	const char *part = NameStr(att->attname);
	Oid			sequence;

	image_add(image, part, "identity",
			  att->attidentity == ATTRIBUTE_IDENTITY_ALWAYS ? "ALWAYS" : "BY DEFAULT");
	/* the sequence has an image of its own; these serve to make it again */
	sequence = identity_sequence(att->attrelid, att->attnum);
	if (!OidIsValid(sequence))
		return;
	image_add(image, part, "@identity sequence", qualified_relation_name(sequence));
	image_add(image, part, "@identity options", sequence_options_sql(sequence));
}

/* What a column has beside its type and its expression. */
static void
read_settings(Image *image, HeapTuple tuple, TupleDesc desc, Oid owner)
{
	Form_pg_attribute att = (Form_pg_attribute) GETSTRUCT(tuple);
	const char *part = NameStr(att->attname);
	int			target = attribute_statistics_target(tuple, desc);
	Datum		value;
	bool		isnull;

	if (CompressionMethodIsValid(att->attcompression))
		image_add(image, part, "compression",
				  GetCompressionMethodName(att->attcompression));
	if (target >= 0)
		image_addf(image, part, "statistics", "%d", target);
	value = heap_getattr(tuple, Anum_pg_attribute_attoptions, desc, &isnull);
	options_read(image, part, "option ", value, isnull);
	value = heap_getattr(tuple, Anum_pg_attribute_attfdwoptions, desc, &isnull);
	options_read(image, part, "fdw option ", value, isnull);
	if (!att->attislocal)
		image_add(image, part, "islocal", "false");
	if (att->attinhcount > 0)
		image_addf(image, part, "inhcount", "%d", att->attinhcount);
	value = heap_getattr(tuple, Anum_pg_attribute_attacl, desc, &isnull);
	image_add_acl(image, part, value, isnull, OBJECT_COLUMN, owner);
	if (att->atthasmissing)
	{
		value = heap_getattr(tuple, Anum_pg_attribute_attmissingval, desc,
							 &isnull);
		if (!isnull)
			image_add(image, part, "@missing",
					  OidOutputFunctionCall(F_ARRAY_OUT, value));
	}
}

static void
read_column(Image *image, HeapTuple tuple, TupleDesc desc, Oid owner,
			ColumnTexts *texts, int position)
{
	Form_pg_attribute att = (Form_pg_attribute) GETSTRUCT(tuple);
	const char *part = NameStr(att->attname);
	const char *comment;

	read_type(image, att);
	image_addf(image, part, "@position", "%d", position);
	if (att->attnotnull)
		notnull_read(image, att, texts->table, texts->notnulls);
	if (att->atthasdef)
		read_default(image, texts, att);
	if (att->attidentity)
		read_identity(image, att);
	read_settings(image, tuple, desc, owner);
	comment = find_comment(texts, att->attnum);
	if (comment)
		image_add(image, part, "comment", comment);
}

static void
read_system_column(Image *image, HeapTuple tuple, TupleDesc desc, Oid owner)
{
	Form_pg_attribute att = (Form_pg_attribute) GETSTRUCT(tuple);
	bool		isnull;
	Datum		acl = heap_getattr(tuple, Anum_pg_attribute_attacl, desc, &isnull);
	Image		column = {0};
	const char *text;

	if (isnull)
		return;
	image_add_acl(&column, "", acl, isnull, OBJECT_COLUMN, owner);
	text = image_get(&column, "", "acl");
	if (text)
		image_add(image, "", psprintf(SYSTEM_ACL "%s", NameStr(att->attname)), text);
}

/*
 * pg_attribute is scanned rather than taken from the relcache: privileges,
 * options and, since 17, the statistics target are not in a tuple descriptor.
 */
void
columns_read(Image *image, Form_pg_class form)
{
	ColumnTexts texts = {
		.relid = form->oid,
		.notnulls = notnull_rows(form->oid),
		.table = NameStr(form->relname),
	};
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			position = 0;

	read_comments(&texts);
	rel = table_open(AttributeRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_attribute_attrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(form->oid));
	scan = systable_beginscan(rel, AttributeRelidNumIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_attribute att = (Form_pg_attribute) GETSTRUCT(tuple);

		if (att->attnum < 0)
			read_system_column(image, tuple, RelationGetDescr(rel),
							   loan_owner(form->oid, form->relowner));
		else if (!att->attisdropped)
			read_column(image, tuple, RelationGetDescr(rel),
						loan_owner(form->oid, form->relowner),
						&texts, ++position);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* ---- the columns of an image ---- */

static Column *
column_named(List *columns, const char *name)
{
	ListCell   *lc;

	foreach(lc, columns)
	{
		Column	   *column = lfirst(lc);

		if (strcmp(column->name, name) == 0)
			return column;
	}
	return NULL;
}

/*
 * The facets grouped by column.  They stand together, but for hints that were
 * added after the image was taken.
 */
List *
columns_of(const Image *image)
{
	List	   *columns = NIL;
	Column	   *column = NULL;
	ListCell   *lc;

	foreach(lc, image->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (facet->part[0] == '\0')
			continue;
		if (strcmp(facet->name, "type") == 0)
		{
			column = palloc0(sizeof(Column));
			column->name = facet->part;
			columns = lappend(columns, column);
		}
		else if (column == NULL || strcmp(column->name, facet->part) != 0)
			column = column_named(columns, facet->part);
		/* a part without a type is the remainder of a dropped column */
		if (column == NULL)
			continue;
		column->facets = lappend(column->facets, facet);
		if (strcmp(facet->name, "@attnum") == 0)
			column->attnum = atoi(facet->value);
	}
	return columns;
}

/* NULL for an absent facet, and for an absent column. */
const char *
column_get(const Column *column, const char *name)
{
	return column ? facet_value(column->facets, name) : NULL;
}

/* Such a column is renamed, retyped and dropped through its parent only. */
bool
column_is_inherited(const Column *column)
{
	return column_get(column, "inhcount") != NULL;
}

char *
column_type_sql(const Column *column)
{
	const char *collation = column_get(column, "collation");

	return psprintf("%s%s%s", column_get(column, "type"),
					collation ? " COLLATE " : "", collation ? collation : "");
}

/* GENERATED ... AS IDENTITY, with the sequence's name and options. */
char *
column_identity_sql(const Column *column)
{
	const char *sequence = column_get(column, "@identity sequence");
	const char *options = column_get(column, "@identity options");

	if (sequence == NULL)
		return psprintf("GENERATED %s AS IDENTITY",
						column_get(column, "identity"));
	return psprintf("GENERATED %s AS IDENTITY (SEQUENCE NAME %s %s)",
					column_get(column, "identity"), sequence, options);
}

/*
 * The column as ADD COLUMN wants it, with whatever gives existing rows a
 * value.
 */
char *
column_definition(const Column *column)
{
	StringInfoData buf;
	const char *value;
	char	   *options = options_list(column->facets, "fdw option", " ");

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s %s", quote_identifier(column->name),
					 column_get(column, "type"));
	if (options)
		appendStringInfo(&buf, " OPTIONS (%s)", options);
	if ((value = column_get(column, "collation")) != NULL)
		appendStringInfo(&buf, " COLLATE %s", value);
	if ((value = column_get(column, "generated")) != NULL)
		appendStringInfo(&buf, " GENERATED ALWAYS AS (%s) %s", value,
						 column_get(column, "generated kind") ? "VIRTUAL" : "STORED");
	else if ((value = column_get(column, "default")) != NULL)
		appendStringInfo(&buf, " DEFAULT %s", value);
	else if (column_get(column, "identity"))
		appendStringInfo(&buf, " %s", column_identity_sql(column));
	appendStringInfoString(&buf, column_notnull_sql(column));
	return buf.data;
}
