/*-------------------------------------------------------------------------
 *
 * requery.c
 *	  Stored queries that would not survive the revival of a column.
 *
 * A query that was stored while the column was dropped has a hole where the
 * column's name would be, in the list of names of every use of the table or
 * of a function that returns its rows.  It goes on working, but as soon as
 * the column is there, PostgreSQL prints the hole: the definition cannot be
 * read again, or means something else, and a dump cannot be restored.  So
 * such queries are put into words before the revival and stored anew from
 * those words after it.
 *
 * The words must name columns, not count them.  Lists of column aliases count:
 * in a view they are left out, which is the same query, for what they rename
 * is renamed back by the output names.  Where that cannot be done (an aliased
 * join, a function's rows, a rule or a function body with such a list) the
 * revival is refused.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_type.h"
#include "commands/view.h"
#include "executor/spi.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "rewrite/rewriteDefine.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "capture/capture.h"
#include "compat.h"
#include "keep/column.h"

typedef struct StaleQuery
{
	ObjectAddress address;		/* a rule, a policy or a function */
	Oid			view;			/* whose query it is, or InvalidOid */
	Oid			relid;			/* the table that gets a column back */
	char	   *sql;
	List	   *uses;			/* of ObjectAddress*, sorted */
} StaleQuery;

/* What is looked for in a query tree, and what was found. */
typedef struct Search
{
	Oid			relid;
	Oid			rowtype;
	AttrNumber	attnum;
	bool		found;
	bool		counts_columns; /* found with a list of column aliases */
	bool		beyond_words;	/* ... of a kind that cannot be left out */
} Search;

/* ---- looking into a query ---- */

static bool
is_hole(const RangeTblEntry *rte, int position)
{
	return position < list_length(rte->eref->colnames) &&
		strVal(list_nth(rte->eref->colnames, position))[0] == '\0';
}

/* Does the function return rows of the table, with a hole in the names? */
static bool
function_has_hole(const RangeTblEntry *rte, const Search *search)
{
	int			offset = 0;
	ListCell   *lc;

	foreach(lc, rte->functions)
	{
		RangeTblFunction *function = lfirst_node(RangeTblFunction, lc);

		if (getBaseType(exprType(function->funcexpr)) == search->rowtype &&
			is_hole(rte, offset + search->attnum - 1))
			return true;
		offset += function->funccolcount;
	}
	return false;
}

/*
 * Leaves out the list of column aliases of a table's use in this copy of the
 * tree.
 */
static void
search_entry(RangeTblEntry *rte, Search *search)
{
	bool		has_list = rte->alias && rte->alias->colnames != NIL;

	if (rte->rtekind == RTE_RELATION && rte->relid == search->relid &&
		is_hole(rte, search->attnum - 1))
	{
		search->found = true;
		if (has_list)
		{
			search->counts_columns = true;
			rte->alias->colnames = NIL;
		}
	}
	else if (rte->rtekind == RTE_FUNCTION && function_has_hole(rte, search))
		search->found = search->beyond_words = true;
}

static bool
search_walker(Node *node, Search *search)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		search_entry((RangeTblEntry *) node, search);
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, search_walker, search,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, search_walker, search);
}

static bool
has_aliased_join_walker(Node *node, bool *found)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		*found |= rte->rtekind == RTE_JOIN && rte->alias && rte->alias->colnames;
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, has_aliased_join_walker, found,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, has_aliased_join_walker, found);
}

/* True if the tree has a hole; sets what is known about it. */
static bool
search_tree(Node *tree, Search *search)
{
	bool		aliased_join = false;

	search->found = search->counts_columns = search->beyond_words = false;
	search_walker(tree, search);
	if (search->found)
		has_aliased_join_walker(tree, &aliased_join);
	search->beyond_words |= aliased_join;
	return search->found;
}

static void
refuse(const ObjectAddress *address, Oid relid)
{
	ereport(ERROR,
			(errcode(ERRCODE_SAFEMIG_CONFLICT),
			 errmsg("a column of table \"%s\" cannot be brought back because of %s",
					get_rel_name(relid), getObjectDescription(address, false)),
			 errdetail("It was defined while the column was dropped, and refers to columns by their position."),
			 errhint("Drop it, and create it again after the rollback.")));
}

/* ---- what depends on the table ---- */

static void
add_dependents(List **addresses, const ObjectAddress *referenced)
{
	ListCell   *dependant;

	foreach(dependant, dependencies_on(referenced->classId, referenced->objectId))
	{
		Form_pg_depend depend = lfirst(dependant);
		ObjectAddress *address;
		ListCell   *lc;
		bool		known = false;

		foreach(lc, *addresses)
		{
			address = lfirst(lc);
			known |= address->classId == depend->classid &&
				address->objectId == depend->objid;
		}
		if (known)
			continue;
		address = palloc(sizeof(ObjectAddress));
		ObjectAddressSet(*address, depend->classid, depend->objid);
		*addresses = lappend(*addresses, address);
	}
}

/*
 * The table, and all that depends on it or on its row type at whatever
 * remove: a view may use a function of the row type only.
 */
List *
find_dependents(Oid relid)
{
	ObjectAddress *address = palloc(sizeof(ObjectAddress));
	List	   *addresses = NIL;

	ObjectAddressSet(*address, RelationRelationId, relid);
	addresses = list_make1(address);
	/* the row type depends on the table, so it comes by itself */
	for (int i = 0; i < list_length(addresses); i++)
		add_dependents(&addresses, list_nth(addresses, i));
	return addresses;
}

/* ---- into words ---- */

static int
compare_addresses(const ListCell *a, const ListCell *b)
{
	return memcmp(lfirst(a), lfirst(b), sizeof(ObjectAddress));
}

/* What the query uses, as PostgreSQL has it: columns one by one. */
static List *
find_uses(const ObjectAddress *address)
{
	List	   *uses = address_needs(address);

	list_sort(uses, compare_addresses);
	return uses;
}

static bool
same_uses(List *a, List *b)
{
	ListCell   *one,
			   *other;

	if (list_length(a) != list_length(b))
		return false;
	forboth(one, a, other, b)
	{
		if (compare_addresses(one, other) != 0)
			return false;
	}
	return true;
}

static StaleQuery *
make_stale(const ObjectAddress *address, const Search *search, Oid view,
		   char *sql)
{
	StaleQuery *stale = palloc0(sizeof(StaleQuery));

	stale->address = *address;
	stale->view = view;
	stale->relid = search->relid;
	stale->sql = sql;
	stale->uses = find_uses(address);
	return stale;
}

/* A row of a catalog that has no syscache by OID. */
static HeapTuple
catalog_row(Relation catalog, Oid index, AttrNumber oid_attnum, Oid oid)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, oid_attnum, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(oid));
	scan = systable_beginscan(catalog, index, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "could not find object %u in \"%s\"", oid,
			 RelationGetRelationName(catalog));
	tuple = heap_copytuple(tuple);
	systable_endscan(scan);
	return tuple;
}

static Node *
tree_in_row(HeapTuple tuple, Relation catalog, AttrNumber attnum)
{
	bool		isnull;
	Datum		tree = heap_getattr(tuple, attnum, RelationGetDescr(catalog),
									&isnull);

	return isnull ? NULL : stringToNode(TextDatumGetCString(tree));
}

/*
 * A view's query under the names that the view's columns have now; they may
 * have been renamed since.
 */
static char *
view_in_words(Oid view, Query *query)
{
	Relation	rel = relation_open(view, AccessExclusiveLock);
	AttrNumber	attnum = 0;
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);

		if (!entry->resjunk)
			entry->resname = pstrdup(NameStr(TupleDescAttr(RelationGetDescr(rel),
														   attnum++)->attname));
	}
	relation_close(rel, NoLock);
	return pg_get_querydef(query, false);
}

static StaleQuery *
take_rule(const ObjectAddress *address, Search *search)
{
	Relation	catalog = table_open(RewriteRelationId, AccessShareLock);
	HeapTuple	tuple = catalog_row(catalog, RewriteOidIndexId,
									Anum_pg_rewrite_oid, address->objectId);
	Form_pg_rewrite rule = (Form_pg_rewrite) GETSTRUCT(tuple);
	List	   *actions = (List *) tree_in_row(tuple, catalog,
											   Anum_pg_rewrite_ev_action);
	bool		is_view = rule->ev_type == '1';
	StaleQuery *stale = NULL;

	if (search_tree((Node *) actions, search))
	{
		if (search->beyond_words || (search->counts_columns && !is_view))
			refuse(address, search->relid);
		if (is_view)
			stale = make_stale(address, search, rule->ev_class,
							   view_in_words(rule->ev_class,
											 linitial_node(Query, actions)));
		else
			stale = make_stale(address, search, InvalidOid,
							   TextDatumGetCString(OidFunctionCall1(F_PG_GET_RULEDEF_OID,
																	ObjectIdGetDatum(address->objectId))));
	}
	table_close(catalog, AccessShareLock);
	return stale;
}

static char *
policy_expression(HeapTuple tuple, Relation catalog, AttrNumber attnum,
				  const char *clause)
{
	bool		isnull;
	Datum		tree = heap_getattr(tuple, attnum, RelationGetDescr(catalog),
									&isnull);
	Datum		relid = ObjectIdGetDatum(((Form_pg_policy) GETSTRUCT(tuple))->polrelid);

	if (isnull)
		return "";
	return psprintf(" %s (%s)", clause,
					TextDatumGetCString(OidFunctionCall2(F_PG_GET_EXPR_PG_NODE_TREE_OID,
														 tree, relid)));
}

static StaleQuery *
take_policy(const ObjectAddress *address, Search *search)
{
	Relation	catalog = table_open(PolicyRelationId, AccessShareLock);
	HeapTuple	tuple = catalog_row(catalog, PolicyOidIndexId,
									Anum_pg_policy_oid, address->objectId);
	Form_pg_policy policy = (Form_pg_policy) GETSTRUCT(tuple);
	List	   *trees = list_make2(tree_in_row(tuple, catalog, Anum_pg_policy_polqual),
								   tree_in_row(tuple, catalog, Anum_pg_policy_polwithcheck));
	StaleQuery *stale = NULL;

	if (search_tree((Node *) trees, search))
	{
		char	   *table = quote_qualified_identifier(get_namespace_name(get_rel_namespace(policy->polrelid)),
													   get_rel_name(policy->polrelid));

		if (search->beyond_words || search->counts_columns)
			refuse(address, search->relid);
		stale = make_stale(address, search, InvalidOid,
						   psprintf("ALTER POLICY %s ON %s%s%s",
									quote_identifier(NameStr(policy->polname)),
									table,
									policy_expression(tuple, catalog,
													  Anum_pg_policy_polqual,
													  "USING"),
									policy_expression(tuple, catalog,
													  Anum_pg_policy_polwithcheck,
													  "WITH CHECK")));
	}
	table_close(catalog, AccessShareLock);
	return stale;
}

static StaleQuery *
take_function(const ObjectAddress *address, Search *search)
{
	Relation	catalog = table_open(ProcedureRelationId, AccessShareLock);
	HeapTuple	tuple = catalog_row(catalog, ProcedureOidIndexId,
									Anum_pg_proc_oid, address->objectId);
	Node	   *body = tree_in_row(tuple, catalog, Anum_pg_proc_prosqlbody);
	StaleQuery *stale = NULL;

	if (body && search_tree(body, search))
	{
		if (search->beyond_words || search->counts_columns)
			refuse(address, search->relid);
		stale = make_stale(address, search, InvalidOid,
						   TextDatumGetCString(OidFunctionCall1(F_PG_GET_FUNCTIONDEF,
																ObjectIdGetDatum(address->objectId))));
	}
	table_close(catalog, AccessShareLock);
	return stale;
}

/* The stored queries that have a hole where this column was. */
List *
stale_queries_take(Oid relid, AttrNumber attnum)
{
	Search		search = {.relid = relid,.rowtype = get_rel_type_id(relid),
	.attnum = attnum};
	List	   *queries = NIL;
	ListCell   *lc;

	foreach(lc, find_dependents(relid))
	{
		ObjectAddress *address = lfirst(lc);
		StaleQuery *stale = NULL;

		if (address->classId == RewriteRelationId)
			stale = take_rule(address, &search);
		else if (address->classId == PolicyRelationId)
			stale = take_policy(address, &search);
		else if (address->classId == ProcedureRelationId)
			stale = take_function(address, &search);
		if (stale)
			queries = lappend(queries, stale);
	}
	return queries;
}

/* ---- and back ---- */

/*
 * A view's rule alone is stored anew; options, defaults and privileges of the
 * view are not touched.
 */
static void
remake_view(const StaleQuery *stale)
{
	RawStmt    *raw = linitial_node(RawStmt, raw_parser(stale->sql, RAW_PARSE_DEFAULT));
	Frame		frame;
	Query	   *query;

	frame_become_for(&frame, relation_owner(stale->view), (Node *) raw, InvalidOid, 0);
	query = parse_analyze_fixedparams(raw, stale->sql, NULL, 0, NULL);
	frame_unpin(&frame);
	StoreViewQuery(stale->view, query, true);
}

static void
remake_rule(const StaleQuery *stale)
{
	RawStmt    *raw = linitial_node(RawStmt, raw_parser(stale->sql, RAW_PARSE_DEFAULT));
	RuleStmt   *rule = castNode(RuleStmt, raw->stmt);
	Frame		frame;

	rule->replace = true;
	frame_become_for(&frame, relation_owner(RangeVarGetRelid(rule->relation, NoLock, false)),
					 (Node *) rule, InvalidOid, 0);
	(void) DefineRule(rule, stale->sql);
	frame_unpin(&frame);
}

/* The owner of an object that has one; a policy runs as its table's. */
static Oid
owner_of(const ObjectAddress *address)
{
	AttrNumber	column = get_object_attnum_owner(address->classId);
	Relation	catalog;
	HeapTuple	tuple;
	bool		isnull;
	Oid			owner;

	if (column == InvalidAttrNumber)
		return vault_role();
	catalog = table_open(address->classId, AccessShareLock);
	tuple = get_catalog_object_by_oid(catalog,
									  get_object_attnum_oid(address->classId),
									  address->objectId);
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for object %u of catalog %u",
			 address->objectId, address->classId);
	owner = DatumGetObjectId(heap_getattr(tuple, column,
										  RelationGetDescr(catalog), &isnull));
	table_close(catalog, AccessShareLock);
	return owner;
}

static bool
taken_before(List *queries, const StaleQuery *stale)
{
	ListCell   *lc;

	foreach(lc, queries)
	{
		StaleQuery *other = lfirst(lc);

		if (other == stale)
			return false;
		if (other->address.classId == stale->address.classId &&
			other->address.objectId == stale->address.objectId)
			return true;
	}
	return false;
}

static void
remaking(void *arg)
{
	errcontext("making %s anew",
			   getObjectDescription(&((StaleQuery *) arg)->address, false));
}

/*
 * The proof that the words say the same: a name that went astray would make
 * the query use another column.
 */
static void
remake_query(StaleQuery *stale)
{
	ErrorContextCallback callback = {.callback = remaking,.arg = stale,
	.previous = error_context_stack};

	error_context_stack = &callback;
	if (OidIsValid(stale->view))
		remake_view(stale);
	else if (stale->address.classId == RewriteRelationId)
		remake_rule(stale);
	else
		run_statement(stale->sql, owner_of(&stale->address));
	error_context_stack = callback.previous;
	CommandCounterIncrement();
	if (!same_uses(stale->uses, find_uses(&stale->address)))
		refuse(&stale->address, stale->relid);
}

/* A query over two relations of a tree was taken twice; once will do. */
void
stale_queries_remake(List *queries)
{
	ListCell   *lc;

	foreach(lc, queries)
	{
		if (!taken_before(queries, lfirst(lc)))
			remake_query(lfirst(lc));
	}
}
