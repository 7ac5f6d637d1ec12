/*-------------------------------------------------------------------------
 *
 * view.c
 *	  Images of views, and what materialized views have in common with them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_rewrite.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/prs2lock.h"
#include "rewrite/rewriteSupport.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "image/classes.h"
#include "image/table.h"

/* ---- the query ---- */

static Query *
stored_query(Relation rel)
{
	for (int i = 0; rel->rd_rules && i < rel->rd_rules->numLocks; i++)
	{
		RewriteRule *rule = rel->rd_rules->rules[i];

		if (rule->event == CMD_SELECT)
			return linitial_node(Query, rule->actions);
	}
	elog(ERROR, "view \"%s\" has no query", RelationGetRelationName(rel));
	return NULL;				/* keep compiler quiet */
}

/* The list that the query is, if it is nothing but VALUES; or NULL. */
static RangeTblEntry *
values_of(const Query *query)
{
	RangeTblEntry *values = NULL;
	ListCell   *lc;

	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_VALUES && rte->inFromCl && values == NULL)
			values = rte;
		else if (rte->rtekind != RTE_RELATION || rte->inFromCl)
			return NULL;
	}
	return values;
}

/* Are there VALUES, the query itself or one of a UNION, under other names? */
static bool
renames_values(const Query *query, TupleDesc desc)
{
	RangeTblEntry *values = values_of(query);
	ListCell   *lc;
	int			column = 0;

	if (values == NULL && query->setOperations)
	{
		foreach(lc, query->rtable)
		{
			RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

			if (rte->rtekind == RTE_SUBQUERY && renames_values(rte->subquery, desc))
				return true;
		}
	}
	if (values == NULL)
		return false;
	foreach(lc, values->eref->colnames)
	{
		if (column < desc->natts &&
			strcmp(strVal(lfirst(lc)), NameStr(TupleDescAttr(desc, column)->attname)) != 0)
			return true;
		column++;
	}
	return false;
}

/*
 * VALUES in a view whose columns have names of their own is described as a
 * SELECT from them, which would be stored as a query in a query.  Here it is
 * described under the names that VALUES give; who creates the view says those
 * of the columns beside it.  NULL where the description will do.
 */
static char *
words_without_names(Relation rel)
{
	Query	   *query = stored_query(rel);
	RangeTblEntry *values;
	ListCell   *entry;
	ListCell   *name;

	if (!renames_values(query, RelationGetDescr(rel)))
		return NULL;
	query = copyObject(query);
	values = values_of(query);
	if (values)
	{
		forboth(entry, query->targetList, name, values->eref->colnames)
			lfirst_node(TargetEntry, entry)->resname = strVal(lfirst(name));
	}
	return pg_get_querydef(query, false);
}

static char *
described_query(Oid view)
{
	char	   *text = describe_object(F_PG_GET_VIEWDEF_OID, view);

	if (text == NULL)
		elog(ERROR, "view %u has no definition", view);
	return before_suffix(text, ";");
}

static void
read_tree(Image *image, Relation rel)
{
	HeapTuple	row = SearchSysCache2(RULERELNAME, ObjectIdGetDatum(RelationGetRelid(rel)),
									  CStringGetDatum(ViewSelectRuleName));
	bool		isnull;
	Datum		tree;

	if (!HeapTupleIsValid(row))
		elog(ERROR, "view \"%s\" has no rule", RelationGetRelationName(rel));
	tree = SysCacheGetAttr(RULERELNAME, row, Anum_pg_rewrite_ev_action, &isnull);
	image_add_tree(image, TextDatumGetCString(tree));
	ReleaseSysCache(row);
}

void
view_read_query(Image *image, Relation rel)
{
	char	   *words = words_without_names(rel);

	image_add(image, "", "query", described_query(RelationGetRelid(rel)));
	read_tree(image, rel);
	if (words)
		image_add(image, "", "@query", words);
}

/* " (a, b)", for what follows the view's name, or "" */
char *
view_columns_sql(const Image *image)
{
	StringInfoData buf;
	ListCell   *lc;

	if (image_get(image, "", "@query") == NULL)
		return "";
	initStringInfo(&buf);
	foreach(lc, image_parts(image))
		appendStringInfo(&buf, "%s%s", buf.len ? ", " : "",
						 quote_identifier(lfirst(lc)));
	return psprintf(" (%s)", buf.data);
}

const char *
view_query_sql(const Image *image)
{
	const char *words = image_get(image, "", "@query");

	return words ? words : image_get(image, "", "query");
}

/* For who stores it again under the names that the columns have. */
char *
view_words(Oid view)
{
	Relation	rel = relation_open(view, AccessShareLock);
	char	   *words = words_without_names(rel);

	if (words == NULL)
		words = described_query(view);
	relation_close(rel, AccessShareLock);
	return spell_exactly(words);
}

/* ---- views that read each other ---- */

#define CIRCLE "@circle"

typedef struct CircleSearch
{
	Oid			sought;
	List	   *seen;			/* views */
} CircleSearch;

static bool reads_sought(Node *node, CircleSearch *search);

/* Its own OLD and NEW, which each stored query has, are in no FROM. */
static bool
is_read(const RangeTblEntry *rte)
{
	return rte->rtekind == RTE_RELATION && rte->inFromCl &&
		get_rel_relkind(rte->relid) == RELKIND_VIEW;
}

static bool
view_reads_sought(Oid view, CircleSearch *search)
{
	Relation	rel;
	bool		found;

	if (view == search->sought)
		return true;
	if (list_member_oid(search->seen, view))
		return false;
	search->seen = lappend_oid(search->seen, view);
	rel = relation_open(view, AccessShareLock);
	found = reads_sought((Node *) stored_query(rel), search);
	relation_close(rel, AccessShareLock);
	return found;
}

static bool
reads_sought(Node *node, CircleSearch *search)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
		return is_read((RangeTblEntry *) node) &&
			view_reads_sought(((RangeTblEntry *) node)->relid, search);
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, reads_sought, search,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, reads_sought, search);
}

/*
 * CREATE OR REPLACE can make views that read each other, which is an error
 * only when they are used.  No order makes them again: they come without
 * their queries first.
 */
static bool
is_in_circle(Relation rel)
{
	CircleSearch search = {RelationGetRelid(rel), NIL};

	return reads_sought((Node *) stored_query(rel), &search);
}

/* The columns that the view has, and no rows. */
static char *
columns_without_query(const Image *image)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, image_parts(image))
	{
		const char *collation = image_get(image, lfirst(lc), "collation");

		appendStringInfo(&buf, "%sNULL::%s%s%s AS %s", buf.len ? ", " : "",
						 image_get(image, lfirst(lc), "type"),
						 collation ? " COLLATE " : "", collation ? collation : "",
						 quote_identifier(lfirst(lc)));
	}
	return psprintf("SELECT %s", buf.data);
}

/* ---- columns ---- */

static void
read_default(Image *image, Relation rel, Form_pg_attribute att)
{
	TupleConstr *constr = RelationGetDescr(rel)->constr;

	for (int i = 0; constr && i < constr->num_defval; i++)
	{
		if (constr->defval[i].adnum == att->attnum)
			image_add(image, NameStr(att->attname), "default",
					  deparse_expression(stringToNode(constr->defval[i].adbin),
										 NIL, false, false));
	}
}

static void
read_columns(Image *image, Relation rel, Oid owner)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const char *name = NameStr(att->attname);
		HeapTuple	row;
		Datum		acl;
		bool		isnull;

		image_addf(image, name, "position", "%d", att->attnum);
		image_addf(image, name, "@attnum", "%d", att->attnum);
		image_add(image, name, "type",
				  format_type_with_typemod(att->atttypid, att->atttypmod));
		if (att->attcollation != get_typcollation(att->atttypid))
			image_add(image, name, "collation",
					  generate_collation_name(att->attcollation));
		read_default(image, rel, att);

		row = SearchSysCache2(ATTNUM, ObjectIdGetDatum(att->attrelid),
							  Int16GetDatum(att->attnum));
		if (!HeapTupleIsValid(row))
			elog(ERROR, "cache lookup failed for attribute %d of relation %u",
				 att->attnum, att->attrelid);
		acl = SysCacheGetAttr(ATTNUM, row, Anum_pg_attribute_attacl, &isnull);
		image_add_acl(image, name, acl, isnull, OBJECT_COLUMN, owner);
		ReleaseSysCache(row);
		image_add_part_comment(image, name, RelationRelationId,
							   att->attrelid, att->attnum);
	}
}

static bool
view_read(Image *image)
{
	HeapTuple	row = SearchSysCache1(RELOID,
									  ObjectIdGetDatum(image->address.objectId));
	Form_pg_class form;
	Relation	rel;
	Datum		value;
	bool		isnull;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_class) GETSTRUCT(row);
	image->schema = get_namespace_name(form->relnamespace);
	image->name = pstrdup(NameStr(form->relname));
	image_add_owner(image, form->relowner);
	value = SysCacheGetAttr(RELOID, row, Anum_pg_class_reloptions, &isnull);
	image_add_options(image, "", "options", value, isnull);
	value = SysCacheGetAttr(RELOID, row, Anum_pg_class_relacl, &isnull);
	image_add_acl(image, "", value, isnull, OBJECT_TABLE, form->relowner);

	rel = relation_open(image->address.objectId, AccessShareLock);
	read_columns(image, rel, form->relowner);
	view_read_query(image, rel);
	if (is_in_circle(rel))
		image_add(image, "", CIRCLE, "true");
	relation_close(rel, AccessShareLock);
	ReleaseSysCache(row);
	return true;
}

/* ---- steps ---- */

#define RANK_EMPTY_VIEW (RANK_VIEW - 1)

static void
define_without_query(const Image *image, int rank, Steps *steps, const char *create)
{
	step_add(steps, rank, RUN_CATALOG, ACCESS_EXCLUSIVE, "catalog",
			 "%s VIEW %s AS %s", create, image_qualified_name(image),
			 columns_without_query(image));
}

static void
view_define(const Image *image, Steps *steps, const char *create)
{
	const char *options = image_get(image, "", "options");

	step_add(steps, RANK_VIEW, RUN_CATALOG, ACCESS_EXCLUSIVE, "catalog",
			 "%s VIEW %s%s%s AS %s", create, image_qualified_name(image),
			 view_columns_sql(image),
			 options ? psprintf(" WITH (%s)", options) : "",
			 view_query_sql(image));
}

/* Behind all views: a default may call a function that reads one. */
static void
set_default(const Image *image, const char *part, const char *value,
			Steps *steps)
{
	step_add(steps, RANK_VIEW_INDEX, RUN_CATALOG, ACCESS_EXCLUSIVE,
			 "catalog", "ALTER VIEW %s ALTER COLUMN %s %s%s",
			 image_qualified_name(image), quote_identifier(part),
			 value ? "SET DEFAULT " : "DROP DEFAULT", value ? value : "");
}

static void
view_create(const Image *image, Steps *steps)
{
	ListCell   *lc;

	if (image_get(image, "", CIRCLE))
	{
		define_without_query(image, RANK_EMPTY_VIEW, steps, "CREATE");
		view_define(image, steps, "CREATE OR REPLACE");
	}
	else
		view_define(image, steps, "CREATE");
	foreach(lc, image->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (strcmp(facet->name, "default") == 0)
			set_default(image, facet->part, facet->value, steps);
	}
}

static void
view_drop(const Image *image, Steps *steps)
{
	bool		circle = image_get(image, "", CIRCLE) != NULL;

	if (circle)
		define_without_query(image, RANK_VIEW_INDEX, steps, "CREATE OR REPLACE");
	step_add(steps, circle ? RANK_EMPTY_VIEW : RANK_VIEW, RUN_CATALOG,
			 ACCESS_EXCLUSIVE, "catalog", "DROP VIEW %s", image_qualified_name(image));
}

static bool
same_facet(const Image *have, const char *now, const Image *want,
		   const char *then, const char *name)
{
	const char *a = image_get(have, now, name);
	const char *b = image_get(want, then, name);

	return a && b ? strcmp(a, b) == 0 : a == b;
}

bool
view_columns_extend(const Image *have, const Image *want)
{
	List	   *now = image_parts(have);
	List	   *then = image_parts(want);
	ListCell   *a;
	ListCell   *b;

	forboth(a, now, b, then)
	{
		if (!same_facet(have, lfirst(a), want, lfirst(b), "type") ||
			!same_facet(have, lfirst(a), want, lfirst(b), "collation"))
			return false;
	}
	return true;
}

static void
set_options(const Image *have, const Image *want, Steps *steps)
{
	options_steps(have, want, "options", steps, RANK_VIEW, ACCESS_EXCLUSIVE);
}

/*
 * CREATE OR REPLACE VIEW adds columns but takes none away, since something
 * may use them.  Its reverse has to: safemig.replace_view does, after looking
 * that nothing uses them.  Meanwhile the view has no options that differ: a
 * check option needs a query that it fits.
 */
static void
remove_columns(const Image *have, const Image *want, int columns, Steps *steps)
{
	bool		other_options = facet_differs(have, want, "", "options");
	Image		plain = *want;

	plain.facets = NIL;
	plain.index = NULL;
	if (other_options)
		set_options(have, &plain, steps);
	step_add(steps, RANK_VIEW, RUN_CATALOG, ACCESS_EXCLUSIVE, "catalog",
			 "SELECT safemig.replace_view(%s, %d, %s)",
			 quote_literal_cstr(image_qualified_name(want)), columns,
			 quote_literal_cstr(view_query_sql(want)));
	if (other_options)
		set_options(&plain, want, steps);
}

/* CREATE OR REPLACE sets the options too. */
static void
replace_query(const Image *have, const Image *want, Steps *steps)
{
	int			columns = list_length(image_parts(want));

	if (list_length(image_parts(have)) > columns)
		remove_columns(have, want, columns, steps);
	else
		view_define(want, steps, "CREATE OR REPLACE");
}

static bool
view_alter(const Image *have, const Image *want, Steps *steps)
{
	List	   *parts = image_parts(want);
	ListCell   *lc;

	if (!view_columns_extend(have, want))
		return false;
	rename_parts(have, want, steps, "COLUMN", RANK_RENAME);
	if (facet_differs(have, want, "", "query") ||
		list_length(image_parts(have)) != list_length(parts))
		replace_query(have, want, steps);
	else
		set_options(have, want, steps);
	foreach(lc, parts)
	{
		const char *part = lfirst(lc);
		const char *now = part_now(have, want, part);

		if (!same_facet(have, now ? now : part, want, part, "default"))
			set_default(want, part, image_get(want, part, "default"), steps);
	}
	return true;
}

const ImageClass image_class_view = {
	.catalog = RelationRelationId,
	.type = "view",
	.keyword = "VIEW",
	.rank = RANK_VIEW,
	.read = view_read,
	.create = view_create,
	.drop = view_drop,
	.alter = view_alter,
};
