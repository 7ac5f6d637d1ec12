/*-------------------------------------------------------------------------
 *
 * named.c
 *	  The schemas, functions, types and relations that a parse tree names.
 *
 * Of raw parse trees, since the question comes before names may be looked up.
 * Only names that the statement really uses count: what is an alias in a query
 * is none, nor is text, but for constants such as 'app.ids'::regclass, which
 * are looked up when they are read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_func.h"
#include "parser/parse_type.h"
#include "utils/catcache.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "compat.h"
#include "safemig.h"

static bool find_names(Node *node, void *context);

static void
add_schema(Names *named, const char *name)
{
	Oid			namespace = name ? get_namespace_oid(name, true) : InvalidOid;

	if (OidIsValid(namespace))
		named->schemas = list_append_unique_oid(named->schemas, namespace);
}

/* Of "schema.name" or "database.schema.name". */
static void
add_qualifier(Names *named, List *names)
{
	if (list_length(names) >= 2)
		add_schema(named, strVal(list_nth(names, list_length(names) - 2)));
}

/* Without a schema it is one of PostgreSQL's own, or temporary. */
static void
add_type(Names *named, List *name)
{
	Oid			namespace;
	Oid			type;

	if (list_length(name) < 2)
		return;
	namespace = get_namespace_oid(strVal(list_nth(name, list_length(name) - 2)), true);
	type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
						   CStringGetDatum(strVal(llast(name))),
						   ObjectIdGetDatum(namespace));
	if (OidIsValid(type))
		named->types = list_append_unique_oid(named->types, type);
}

static void
add_relation(Names *named, const RangeVar *relation)
{
	Oid			namespace = relation->schemaname ?
	get_namespace_oid(relation->schemaname, true) : InvalidOid;
	Oid			relid = OidIsValid(namespace) ?
	get_relname_relid(relation->relname, namespace) : InvalidOid;

	if (OidIsValid(relid))
		named->relations = list_append_unique_oid(named->relations, relid);
}

/*
 * Whichever of these the call means.  Without a schema it is one of
 * PostgreSQL's own.  Nobody need be allowed to look into the schema.
 */
static void
add_functions(Names *named, List *name)
{
	Oid			namespace;
	CatCList   *list;

	if (list_length(name) < 2)
		return;
	namespace = get_namespace_oid(strVal(list_nth(name, list_length(name) - 2)), true);
	list = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(strVal(llast(name))));
	for (int i = 0; i < list->n_members; i++)
	{
		Form_pg_proc form = (Form_pg_proc) GETSTRUCT(&list->members[i]->tuple);

		if (form->pronamespace == namespace)
			named->functions = list_append_unique_oid(named->functions, form->oid);
	}
	ReleaseSysCacheList(list);
}

/* A constant of a type like regclass: its name, without arguments. */
static void
add_name_in_text(Names *named, const char *text)
{
	char	   *name = pstrdup(text);
	char	   *arguments = strchr(name, '(');
	List	   *parts;

	if (arguments)
		*arguments = '\0';
	if (SplitIdentifierString(name, '.', &parts) && list_length(parts) == 2)
		add_schema(named, linitial(parts));
}

static bool
is_name_type(const TypeName *type)
{
	static const char *const types[] = {
		"regclass", "regproc", "regprocedure", "regoper", "regoperator",
		"regtype", "regconfig", "regdictionary", "regcollation"
	};

	for (size_t i = 0; i < lengthof(types); i++)
	{
		if (type->names != NIL &&
			strcmp(strVal(llast(type->names)), types[i]) == 0)
			return true;
	}
	return false;
}

static void
add_constant(Names *named, const TypeCast *cast)
{
	A_Const    *constant = (A_Const *) cast->arg;

	if (IsA(constant, A_Const) && !constant->isnull &&
		IsA(&constant->val, String) && is_name_type(cast->typeName))
		add_name_in_text(named, strVal(&constant->val));
}

/* ---- parts of commands, which PostgreSQL's walker does not know ---- */

static bool
find_in_constraint(Constraint *constraint, void *context)
{
	ListCell   *lc;

	foreach(lc, constraint->exclusions)
	{
		List	   *pair = lfirst(lc);

		add_qualifier(context, lsecond(pair));
		(void) find_names(linitial(pair), context);
	}
	return find_names(constraint->raw_expr, context) ||
		find_names(constraint->where_clause, context) ||
		find_names((Node *) constraint->pktable, context);
}

static bool
find_in_bound(PartitionBoundSpec *bound, void *context)
{
	ListCell   *lc;

	foreach(lc, list_concat_copy(bound->lowerdatums, bound->upperdatums))
	{
		/* MINVALUE and MAXVALUE may stand there */
		if (!IsA(lfirst(lc), PartitionRangeDatum))
			(void) find_names(lfirst(lc), context);
	}
	return find_names((Node *) bound->listdatums, context);
}

/* Only subcommands that hold a name or an expression; others hold all sorts. */
static bool
find_in_subcommand(AlterTableCmd *cmd, void *context)
{
	switch (cmd->subtype)
	{
		case AT_AddColumn:
		case AT_AlterColumnType:
		case AT_ColumnDefault:
		case AT_AddConstraint:
		case AT_AttachPartition:
			return find_names(cmd->def, context);
		default:
			return alters_expression(cmd->subtype) && find_names(cmd->def, context);
	}
}

static bool
find_in_function(CreateFunctionStmt *stmt, void *context)
{
	ListCell   *lc;

	add_qualifier(context, stmt->funcname);
	foreach(lc, stmt->parameters)
	{
		FunctionParameter *parameter = lfirst_node(FunctionParameter, lc);

		(void) find_names((Node *) parameter->argType, context);
		(void) find_names(parameter->defexpr, context);
	}
	return find_names((Node *) stmt->returnType, context) ||
		find_names(stmt->sql_body, context);
}

static bool
find_in_index(IndexStmt *stmt, void *context)
{
	return find_names((Node *) stmt->relation, context) ||
		find_names((Node *) stmt->indexParams, context) ||
		find_names(stmt->whereClause, context);
}

static bool
find_in_domain(CreateDomainStmt *stmt, void *context)
{
	add_qualifier(context, stmt->domainname);
	return find_names((Node *) stmt->typeName, context) ||
		find_names((Node *) stmt->collClause, context) ||
		find_names((Node *) stmt->constraints, context);
}

static bool
find_in_trigger(CreateTrigStmt *stmt, void *context)
{
	add_qualifier(context, stmt->funcname);
	return find_names((Node *) stmt->relation, context) ||
		find_names(stmt->whenClause, context) ||
		find_names((Node *) stmt->constrrel, context);
}

static bool
find_in_statistics(CreateStatsStmt *stmt, void *context)
{
	ListCell   *lc;

	add_qualifier(context, stmt->defnames);
	foreach(lc, stmt->exprs)
		(void) find_names(lfirst_node(StatsElem, lc)->expr, context);
	return find_names((Node *) stmt->relations, context);
}

static bool
find_in_command(Node *node, void *context)
{
	switch (nodeTag(node))
	{
		case T_AlterTableStmt:
			return find_names((Node *) ((AlterTableStmt *) node)->relation, context) ||
				find_names((Node *) ((AlterTableStmt *) node)->cmds, context);
		case T_ViewStmt:
			return find_names((Node *) ((ViewStmt *) node)->view, context) ||
				find_names(((ViewStmt *) node)->query, context);
		case T_CreateTableAsStmt:
			return find_names((Node *) ((CreateTableAsStmt *) node)->into, context) ||
				find_names(((CreateTableAsStmt *) node)->query, context);
		case T_CreateFunctionStmt:
			return find_in_function((CreateFunctionStmt *) node, context);
		case T_CreateDomainStmt:
			return find_in_domain((CreateDomainStmt *) node, context);
		case T_AlterDomainStmt:
			add_qualifier(context, ((AlterDomainStmt *) node)->typeName);
			return find_names(((AlterDomainStmt *) node)->def, context);
		case T_CreatePolicyStmt:
			return find_names((Node *) ((CreatePolicyStmt *) node)->table, context) ||
				find_names(((CreatePolicyStmt *) node)->qual, context) ||
				find_names(((CreatePolicyStmt *) node)->with_check, context);
		case T_AlterPolicyStmt:
			return find_names((Node *) ((AlterPolicyStmt *) node)->table, context) ||
				find_names(((AlterPolicyStmt *) node)->qual, context) ||
				find_names(((AlterPolicyStmt *) node)->with_check, context);
		case T_RuleStmt:
			return find_names((Node *) ((RuleStmt *) node)->relation, context) ||
				find_names(((RuleStmt *) node)->whereClause, context) ||
				find_names((Node *) ((RuleStmt *) node)->actions, context);
		case T_CreateTrigStmt:
			return find_in_trigger((CreateTrigStmt *) node, context);
		case T_CreateStatsStmt:
			return find_in_statistics((CreateStatsStmt *) node, context);
		case T_IndexStmt:
			return find_in_index((IndexStmt *) node, context);
		default:
			elog(ERROR, "unexpected command %d", (int) nodeTag(node));
	}
	return false;
}

/* ---- the walk ---- */

/* Never true: all names are wanted. */
static bool
find_names(Node *node, void *context)
{
	Names	   *named = context;

	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_RangeVar:
			add_schema(named, ((RangeVar *) node)->schemaname);
			add_relation(named, (RangeVar *) node);
			return false;
		case T_FuncCall:
			add_qualifier(named, ((FuncCall *) node)->funcname);
			add_functions(named, ((FuncCall *) node)->funcname);
			break;
		case T_TypeName:
			add_qualifier(named, ((TypeName *) node)->names);
			add_type(named, ((TypeName *) node)->names);
			break;
		case T_A_Expr:
			add_qualifier(named, ((A_Expr *) node)->name);
			break;
		case T_SubLink:
			add_qualifier(named, ((SubLink *) node)->operName);
			break;
		case T_SortBy:
			add_qualifier(named, ((SortBy *) node)->useOp);
			break;
		case T_CollateClause:
			add_qualifier(named, ((CollateClause *) node)->collname);
			break;
		case T_RangeTableSample:
			add_qualifier(named, ((RangeTableSample *) node)->method);
			break;
		case T_TypeCast:
			add_constant(named, (TypeCast *) node);
			break;
		case T_IndexElem:
			add_qualifier(named, ((IndexElem *) node)->opclass);
			add_qualifier(named, ((IndexElem *) node)->collation);
			break;
		case T_ColumnDef:
			(void) find_names((Node *) ((ColumnDef *) node)->constraints, context);
			break;
		case T_Constraint:
			return find_in_constraint((Constraint *) node, context);
		case T_AlterTableCmd:
			return find_in_subcommand((AlterTableCmd *) node, context);
		case T_PartitionCmd:
			return find_names((Node *) ((PartitionCmd *) node)->name, context) ||
				find_names((Node *) ((PartitionCmd *) node)->bound, context);
		case T_PartitionBoundSpec:
			return find_in_bound((PartitionBoundSpec *) node, context);
		case T_ReturnStmt:
			return find_names(((ReturnStmt *) node)->returnval, context);
		case T_RawStmt:
			return find_names(((RawStmt *) node)->stmt, context);
		case T_AlterTableStmt:
		case T_ViewStmt:
		case T_CreateTableAsStmt:
		case T_CreateFunctionStmt:
		case T_CreateDomainStmt:
		case T_AlterDomainStmt:
		case T_CreatePolicyStmt:
		case T_AlterPolicyStmt:
		case T_RuleStmt:
		case T_CreateTrigStmt:
		case T_CreateStatsStmt:
		case T_IndexStmt:
			return find_in_command(node, context);
		case T_NotifyStmt:
			return false;		/* a rule's action */
		default:
			break;
	}
	return raw_expression_tree_walker(node, find_names, context);
}

void
names_in(Node *parsed, Names *named)
{
	MemSet(named, 0, sizeof(Names));
	(void) find_names(parsed, named);
}

/* The function that CREATE OR REPLACE would replace, or InvalidOid. */
Oid
replaced_function(const CreateFunctionStmt *stmt)
{
	ObjectWithArgs *name = makeNode(ObjectWithArgs);
	ListCell   *lc;

	if (!stmt->replace)
		return InvalidOid;
	name->objname = stmt->funcname;
	foreach(lc, stmt->parameters)
	{
		FunctionParameter *parameter = lfirst_node(FunctionParameter, lc);
		Type		type;

		if (parameter->mode == FUNC_PARAM_TABLE ||
			parameter->mode == FUNC_PARAM_OUT)
			continue;
		/* a type that is not there cannot be in a function that is */
		type = LookupTypeName(NULL, parameter->argType, NULL, true);
		if (type == NULL)
			return InvalidOid;
		ReleaseSysCache(type);
		name->objargs = lappend(name->objargs, parameter->argType);
	}
	return LookupFuncWithArgs(stmt->is_procedure ? OBJECT_PROCEDURE : OBJECT_FUNCTION,
							  name, true);
}
