/*-------------------------------------------------------------------------
 *
 * viewcolumns.c
 *	  Gives a view a query with fewer columns, in place.
 *
 * CREATE OR REPLACE VIEW adds columns and never takes one away, since
 * something may use it.  Its reverse has to.  So here it is proved that
 * nothing does, the last columns are removed from the catalogs without a
 * trace, as if they had never been, and the query is replaced in the same
 * step: in between the view would be broken.  What hangs on the other columns
 * stays as it is.
 *
 * What uses a column depends on it, by pg_depend, unless it stores whole rows
 * of the view.  A stored query may also list a column without using it: it
 * has all columns of what it joins, and of a function that returns rows of the
 * view.  A view with such a query is stored anew, from the words that it has
 * when the column is dropped but still leaves a gap, as in a table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_rewrite.h"
#include "commands/tablecmds.h"
#include "commands/view.h"
#include "fmgr.h"
#include "nodes/nodeFuncs.h"
#include "nodes/readfuncs.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteSupport.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "compat.h"
#include "keep/column.h"
#include "keep/vault.h"

PG_FUNCTION_INFO_V1(safemig_replace_view);

/* as many as an error about conflicts lists elsewhere */
#define MAX_USERS_SHOWN 20

/* Who uses one of the columns behind the first keep ones? */
typedef struct Search
{
	Oid			view;
	Oid			rowtype;
	int			keep;
	List	   *users;			/* of ObjectAddress* */
	List	   *views;			/* OIDs of those that list one, no more */
} Search;

/* A view that is stored anew, in words. */
typedef struct Words
{
	Oid			view;
	char	   *query;
} Words;

static void
add_user(Search *search, const ObjectAddress *user)
{
	ObjectAddress *copy;
	ListCell   *lc;

	foreach(lc, search->users)
	{
		ObjectAddress *known = lfirst(lc);

		if (memcmp(known, user, sizeof(ObjectAddress)) == 0)
			return;
	}
	copy = palloc(sizeof(ObjectAddress));
	*copy = *user;
	search->users = lappend(search->users, copy);
}

/* ---- by pg_depend ---- */

static void
find_by_dependency(Search *search)
{
	ListCell   *lc;

	foreach(lc, dependencies_on(RelationRelationId, search->view))
	{
		Form_pg_depend depend = lfirst(lc);
		ObjectAddress user;

		/* the column's own default goes with it */
		if (depend->refobjsubid <= search->keep ||
			(depend->classid == AttrDefaultRelationId &&
			 depend->deptype == DEPENDENCY_AUTO))
			continue;
		ObjectAddressSubSet(user, depend->classid, depend->objid, depend->objsubid);
		add_user(search, &user);
	}
}

/* ---- in stored queries ---- */

static bool
join_lists_column(const RangeTblEntry *join, List *rtable, const Search *search)
{
	ListCell   *lc;

	foreach(lc, join->joinaliasvars)
	{
		Var		   *var = lfirst(lc);
		RangeTblEntry *rte;

		/* merged columns are used by the join itself */
		if (var == NULL || !IsA(var, Var))
			continue;
		rte = rt_fetch(var->varno, rtable);
		if (rte->rtekind == RTE_RELATION && rte->relid == search->view &&
			var->varattno > search->keep)
			return true;
	}
	return false;
}

static bool
function_lists_column(const RangeTblEntry *rte, const Search *search)
{
	ListCell   *lc;

	foreach(lc, rte->functions)
	{
		RangeTblFunction *function = lfirst_node(RangeTblFunction, lc);

		if (getBaseType(exprType(function->funcexpr)) == search->rowtype &&
			function->funccolcount > search->keep)
			return true;
	}
	return false;
}

/* True if the query was stored while the columns were there, and lists them. */
static bool
lists_column_walker(Node *node, Search *search)
{
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, lists_column_walker, search);
	foreach(lc, ((Query *) node)->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_JOIN &&
			join_lists_column(rte, ((Query *) node)->rtable, search))
			return true;
		if (rte->rtekind == RTE_FUNCTION && function_lists_column(rte, search))
			return true;
	}
	return query_tree_walker((Query *) node, lists_column_walker, search, 0);
}

static HeapTuple
object_row(Relation catalog, const ObjectAddress *object)
{
	HeapTuple	tuple = get_catalog_object_by_oid(catalog,
												  get_object_attnum_oid(object->classId),
												  object->objectId);

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "could not find object %u in \"%s\"", object->objectId,
			 RelationGetRelationName(catalog));
	return heap_copytuple(tuple);
}

/* Looks into every expression in the object's row of its catalog. */
static bool
object_lists_column(const ObjectAddress *object, Search *search)
{
	Relation	catalog = table_open(object->classId, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(catalog);
	HeapTuple	tuple = object_row(catalog, object);
	bool		found = false;

	for (int i = 0; i < desc->natts && !found; i++)
	{
		Datum		value;
		bool		isnull;

		if (TupleDescAttr(desc, i)->atttypid != PG_NODE_TREEOID)
			continue;
		value = heap_getattr(tuple, i + 1, desc, &isnull);
		if (!isnull)
			found = lists_column_walker(stringToNode(TextDatumGetCString(value)),
										search);
	}
	table_close(catalog, AccessShareLock);
	return found;
}

/* The view whose query the rule is, or InvalidOid. */
static Oid
rule_view(const ObjectAddress *rule)
{
	Relation	catalog = table_open(RewriteRelationId, AccessShareLock);
	HeapTuple	tuple = object_row(catalog, rule);
	Form_pg_rewrite form = (Form_pg_rewrite) GETSTRUCT(tuple);

	table_close(catalog, AccessShareLock);
	return strcmp(NameStr(form->rulename), ViewSelectRuleName) == 0 ?
		form->ev_class : InvalidOid;
}

static void
find_in_queries(Search *search)
{
	ListCell   *lc;

	foreach(lc, find_dependents(search->view))
	{
		ObjectAddress *object = lfirst(lc);
		Oid			view = InvalidOid;

		if ((object->classId != RewriteRelationId &&
			 object->classId != ProcedureRelationId &&
			 object->classId != PolicyRelationId) ||
			!object_lists_column(object, search))
			continue;
		if (object->classId == RewriteRelationId)
			view = rule_view(object);
		if (OidIsValid(view))
			search->views = lappend_oid(search->views, view);
		else
			add_user(search, object);
	}
}

/* ---- in stored rows ---- */

static void
find_in_tables(Search *search)
{
	ListCell   *lc;

	foreach(lc, type_columns(type_containers(list_make1_oid(search->rowtype))))
	{
		ObjectAddress *column = lfirst(lc);

		if (RELKIND_HAS_STORAGE(get_rel_relkind(column->objectId)))
			add_user(search, column);
	}
}

static void
check_unused(Search *search)
{
	StringInfoData detail;
	ListCell   *lc;

	find_by_dependency(search);
	find_in_queries(search);
	find_in_tables(search);
	if (search->users == NIL)
		return;
	initStringInfo(&detail);
	foreach(lc, search->users)
	{
		if (foreach_current_index(lc) == MAX_USERS_SHOWN)
		{
			appendStringInfo(&detail, "\nand %d more",
							 list_length(search->users) - MAX_USERS_SHOWN);
			break;
		}
		if (detail.len > 0)
			appendStringInfoChar(&detail, '\n');
		appendStringInfoString(&detail, getObjectDescription(lfirst(lc), false));
	}
	ereport(ERROR,
			(errcode(ERRCODE_SAFEMIG_CONFLICT),
			 errmsg("cannot remove column \"%s\" of view \"%s\": it is in use",
					get_attname(search->view, search->keep + 1, false),
					get_rel_name(search->view)),
			 errdetail_internal("%s", detail.data),
			 errhint("Take these back first, or drop them and create them again after the rollback.")));
}

/* ---- removing ---- */

/* As in a table: the column leaves a gap. */
static void
drop_column(Oid view, AttrNumber attnum)
{
	ObjectAddress address;

	ObjectAddressSubSet(address, RelationRelationId, view, attnum);
	performDeletion(&address, DROP_RESTRICT,
					PERFORM_DELETION_INTERNAL | PERFORM_DELETION_QUIETLY);
	CommandCounterIncrement();
}

static void
remove_gap(Oid view, AttrNumber attnum)
{
	Relation	catalog = table_open(AttributeRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(view),
										Int16GetDatum(attnum));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for attribute %d of relation %u",
			 attnum, view);
	CatalogTupleDelete(catalog, &tuple->t_self);
	ReleaseSysCache(tuple);
	table_close(catalog, RowExclusiveLock);
}

static void
set_column_count(Oid view, int count)
{
	Relation	catalog = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(view));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", view);
	((Form_pg_class) GETSTRUCT(tuple))->relnatts = count;
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	heap_freetuple(tuple);
	table_close(catalog, RowExclusiveLock);
	CommandCounterIncrement();
}

/* As those of the view, which the query itself may not say. */
static void
name_columns(Oid view, Query *query)
{
	AttrNumber	attnum = 1;
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);
		char	   *name = entry->resjunk ? NULL : get_attname(view, attnum++, true);

		if (name)
			entry->resname = name;
	}
}

/* As the view's owner: parsing runs the CHECKs of domains inside literals. */
static void
store_query(Oid view, const char *text)
{
	List	   *parsed = raw_parser(text, RAW_PARSE_DEFAULT);
	Frame		frame;
	Query	   *query;

	if (list_length(parsed) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("a view has one query")));
	frame_become_for(&frame, relation_owner(view), linitial(parsed), InvalidOid, 0);
	query = parse_analyze_fixedparams(linitial_node(RawStmt, parsed), text,
									  NULL, 0, NULL);
	frame_unpin(&frame);
	if (query->commandType != CMD_SELECT || query->utilityStmt != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("a view's query must be a SELECT")));
	name_columns(view, query);
	StoreViewQuery(view, query, true);
	CommandCounterIncrement();
}

static List *
put_into_words(List *views)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, views)
	{
		Words	   *words = palloc(sizeof(Words));

		words->view = lfirst_oid(lc);
		LockRelationOid(words->view, AccessExclusiveLock);
		words->query = view_words(words->view);
		result = lappend(result, words);
	}
	return result;
}

/* Nothing is in its place in between. */
static void
replace_view(Search *search, int columns, const char *query)
{
	List	   *words;
	ListCell   *lc;

	for (int attnum = columns; attnum > search->keep; attnum--)
		drop_column(search->view, attnum);
	words = put_into_words(search->views);
	for (int attnum = columns; attnum > search->keep; attnum--)
		remove_gap(search->view, attnum);
	set_column_count(search->view, search->keep);
	store_query(search->view, query);
	foreach(lc, words)
	{
		Words	   *other = lfirst(lc);

		store_query(other->view, other->query);
	}
}

static Oid
find_view(text *name, int *columns)
{
	RangeVar   *relation = makeRangeVarFromNameList(textToQualifiedNameList(name));
	Relation	rel = table_openrv(relation, AccessExclusiveLock);
	Oid			view = RelationGetRelid(rel);

	if (rel->rd_rel->relkind != RELKIND_VIEW)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a view", RelationGetRelationName(rel))));
	CheckTableNotInUse(rel, "safemig.replace_view");
	*columns = RelationGetNumberOfAttributes(rel);
	table_close(rel, NoLock);
	return view;
}

/* safemig.replace_view(view_name text, keep int, query text) */
Datum
safemig_replace_view(PG_FUNCTION_ARGS)
{
	Search		search = {.keep = PG_GETARG_INT32(1)};
	char	   *query = text_to_cstring(PG_GETARG_TEXT_PP(2));
	ObjectAddress address;
	Frame		frame;
	int			columns;

	check_own_call("replace_view");
	frame_become_owner(&frame);
	search.view = find_view(PG_GETARG_TEXT_PP(0), &columns);
	search.rowtype = get_rel_type_id(search.view);
	if (search.keep < 0 || search.keep > columns)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("view \"%s\" has %d columns, not %d to keep",
						get_rel_name(search.view), columns, search.keep)));
	if (search.keep < columns)
		check_unused(&search);
	ObjectAddressSet(address, RelationRelationId, search.view);
	capture_internal_begin("CREATE VIEW", list_make1(&address));
	replace_view(&search, columns, query);
	capture_internal_end();
	frame_unpin(&frame);
	PG_RETURN_VOID();
}
