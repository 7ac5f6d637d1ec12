/*-------------------------------------------------------------------------
 *
 * misfit.c
 *	  The query that shows the rows which a returning constraint refuses, and
 *	  how many they are.
 *
 * A step has failed: there are duplicates where a unique key comes back, NULLs
 * under a NOT NULL, rows without parents under a foreign key.  PostgreSQL names
 * one of them, and whoever has to mend it wants all.  The query is made from
 * the step's statement alone, since nothing can be looked up any more.
 *
 * Such a step changes no row: without it, others can still be tried.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_constraint.h"
#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "rollback/rollback.h"

/* ---- pieces ---- */

static char *
table_name(const RangeVar *relation)
{
	return quote_qualified_identifier(relation->schemaname, relation->relname);
}

/* "a, b", or with what stands before and after each, and between them. */
static char *
each_name(List *names, const char *before, const char *after, const char *between)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, names)
		appendStringInfo(&buf, "%s%s%s%s", buf.len ? between : "", before,
						 quote_identifier(strVal(lfirst(lc))), after);
	return buf.data;
}

static char *
names_of(List *names)
{
	return each_name(names, "", "", ", ");
}

/*
 * The text in parentheses behind a word, as it stands in the statement; quotes
 * may hold parentheses.
 */
static char *
in_parentheses(const char *sql, const char *word)
{
	const char *start = strstr(sql, word);
	int			depth = 0;
	char		quote = '\0';

	if (start == NULL)
		return NULL;
	start += strlen(word);
	for (const char *at = start; *at; at++)
	{
		if (quote)
		{
			if (*at == quote)
				quote = '\0';
		}
		else if (*at == '\'' || *at == '"')
			quote = *at;
		else if (*at == '(')
			depth++;
		else if (*at == ')' && --depth == 0)
			return pnstrdup(start, at + 1 - start);
	}
	return NULL;
}

/* One for people, and one that counts. */
typedef struct MisfitQuery
{
	char	   *show;
	char	   *count;
	bool		plain;			/* it runs nothing of the users' */
} MisfitQuery;

/* Rows that are shown one by one: what comes after SELECT *. */
static MisfitQuery *
rows_query(char *from)
{
	MisfitQuery *query = palloc0(sizeof(MisfitQuery));

	query->show = psprintf("SELECT * %s;", from);
	query->count = psprintf("SELECT pg_catalog.count(*) %s", from);
	return query;
}

/* ---- one kind each ---- */

static MisfitQuery *
duplicates(const RangeVar *relation, List *names, bool nulls_are_equal)
{
	MisfitQuery *query;
	char	   *columns = names_of(names);
	char	   *from;

	if (names == NIL)
		return NULL;
	query = palloc0(sizeof(MisfitQuery));
	from = psprintf("FROM %s%s%s GROUP BY %s HAVING count(*) > 1",
					table_name(relation),
					nulls_are_equal ? "" : " WHERE ",
					nulls_are_equal ? "" : each_name(names, "", " IS NOT NULL", " AND "),
					columns);
	query->show = psprintf("SELECT %s, count(*) %s;", columns, from);
	query->count = psprintf("SELECT pg_catalog.sum(d.n)::pg_catalog.int8 FROM (SELECT count(*) AS n %s) d",
							from);
	return query;
}

static MisfitQuery *
nulls(const RangeVar *relation, List *names)
{
	return rows_query(psprintf("FROM %s WHERE %s", table_name(relation),
							   each_name(names, "", " IS NULL", " OR ")));
}

/* Such as "=" compares them without any search_path. */
static bool
are_built_in(const RangeVar *relation, List *names)
{
	Oid			relid = RangeVarGetRelid(relation, NoLock, true);
	ListCell   *lc;

	if (!OidIsValid(relid))
		return false;
	foreach(lc, names)
	{
		AttrNumber	attnum = get_attnum(relid, strVal(lfirst(lc)));

		if (attnum == InvalidAttrNumber || get_atttype(relid, attnum) >= FirstGenbkiObjectId)
			return false;
	}
	return true;
}

static MisfitQuery *
orphans(const RangeVar *relation, const Constraint *constraint)
{
	MisfitQuery *query;
	StringInfoData same;
	ListCell   *fk;
	ListCell   *pk;

	if (list_length(constraint->fk_attrs) != list_length(constraint->pk_attrs))
		return NULL;
	initStringInfo(&same);
	forboth(fk, constraint->fk_attrs, pk, constraint->pk_attrs)
		appendStringInfo(&same, "%sp.%s = c.%s", same.len ? " AND " : "",
						 quote_identifier(strVal(lfirst(pk))),
						 quote_identifier(strVal(lfirst(fk))));
	query = rows_query(psprintf("FROM %s c WHERE %s AND NOT EXISTS (SELECT FROM %s p WHERE %s)",
								table_name(relation),
								each_name(constraint->fk_attrs, "c.", " IS NOT NULL", " AND "),
								table_name(constraint->pktable), same.data));
	query->plain = are_built_in(relation, constraint->fk_attrs) &&
		are_built_in(constraint->pktable, constraint->pk_attrs);
	if (!query->plain)
		query->count = NULL;
	return query;
}

static MisfitQuery *
of_constraint(const RangeVar *relation, const Constraint *constraint,
			  const char *sql, int sqlstate)
{
	char	   *check;

	switch (constraint->contype)
	{
		case CONSTR_UNIQUE:
			return duplicates(relation, constraint->keys, constraint->nulls_not_distinct);
		case CONSTR_PRIMARY:
			return sqlstate == ERRCODE_NOT_NULL_VIOLATION ?
				nulls(relation, constraint->keys) :
				duplicates(relation, constraint->keys, false);
		case CONSTR_NOTNULL:
			return nulls(relation, constraint->keys);
		case CONSTR_FOREIGN:
			return orphans(relation, constraint);
		case CONSTR_CHECK:
			check = in_parentheses(sql, " CHECK ");
			return check ? rows_query(psprintf("FROM %s WHERE NOT %s",
											   table_name(relation), check)) : NULL;
		default:
			return NULL;
	}
}

static MisfitQuery *
of_alter_table(const AlterTableStmt *stmt, const char *sql, int sqlstate)
{
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_AddConstraint)
			return of_constraint(stmt->relation, (Constraint *) cmd->def, sql, sqlstate);
		if (cmd->subtype == AT_SetNotNull && sqlstate == ERRCODE_NOT_NULL_VIOLATION)
			return nulls(stmt->relation, list_make1(makeString(cmd->name)));
	}
	return NULL;
}

static MisfitQuery *
of_index(const IndexStmt *stmt)
{
	List	   *names = NIL;
	ListCell   *lc;

	/* its condition could not be told */
	if (stmt->whereClause)
		return NULL;
	foreach(lc, stmt->indexParams)
	{
		IndexElem  *element = lfirst_node(IndexElem, lc);

		if (element->name == NULL)
			return NULL;
		names = lappend(names, makeString(element->name));
	}
	return duplicates(stmt->relation, names, stmt->nulls_not_distinct);
}

/* ---- steps that are calls of our own ---- */

/* The n-th argument, a constant text, of SELECT safemig.function(...). */
static const char *
argument_of_call(Node *parsed, const char *function, int n)
{
	FuncCall   *call = parsed_own_call(parsed);
	A_Const    *argument;

	if (call == NULL || strcmp(strVal(llast(call->funcname)), function) != 0 ||
		list_length(call->args) <= n)
		return NULL;
	argument = list_nth(call->args, n);
	return IsA(argument, A_Const) && IsA(&argument->val, String) ?
		strVal(&argument->val) : NULL;
}

static RangeVar *
relation_of_call(Node *parsed, const char *function)
{
	const char *name = argument_of_call(parsed, function, 0);

	return name ? makeRangeVarFromNameList(qualified_name_list(name)) : NULL;
}

/* The step of the same command that has added the constraint, not valid yet. */
static MisfitQuery *
of_validation(const RangeVar *relation, const char *name, List *steps, int sqlstate)
{
	ListCell   *lc;

	foreach(lc, steps)
	{
		const Step *step = lfirst(lc);
		AlterTableStmt *stmt = (AlterTableStmt *) parse_statement(step->sql);
		AlterTableCmd *cmd;

		if (!IsA(stmt, AlterTableStmt))
			continue;
		cmd = linitial(stmt->cmds);
		if (cmd->subtype == AT_AddConstraint && ((Constraint *) cmd->def)->conname &&
			strcmp(((Constraint *) cmd->def)->conname, name) == 0 &&
			strcmp(table_name(stmt->relation), table_name(relation)) == 0)
			return of_constraint(relation, (Constraint *) cmd->def, step->sql, sqlstate);
	}
	return NULL;
}

static MisfitQuery *
of_call(Node *parsed, List *steps, int sqlstate)
{
	RangeVar   *relation = relation_of_call(parsed, "validate_constraint");
	const char *name;

	if (relation)
	{
		name = argument_of_call(parsed, "validate_constraint", 1);
		return name ? of_validation(relation, name, steps, sqlstate) : NULL;
	}
	relation = relation_of_call(parsed, "set_not_null");
	name = argument_of_call(parsed, "set_not_null", 1);
	return relation && name ?
		nulls(relation, list_make1(makeString(pstrdup(name)))) : NULL;
}

static MisfitQuery *
find_query(const RecordedCommand *command, const Step *step, int sqlstate)
{
	Node	   *parsed;

	if (ERRCODE_TO_CATEGORY(sqlstate) != ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION)
		return NULL;
	parsed = parse_statement(step->sql);
	switch (nodeTag(parsed))
	{
		case T_AlterTableStmt:
			return of_alter_table((AlterTableStmt *) parsed, step->sql, sqlstate);
		case T_IndexStmt:
			return of_index((IndexStmt *) parsed);
		case T_SelectStmt:
			return of_call(parsed, command->steps, sqlstate);
		default:
			return NULL;
	}
}

/* The query, or NULL if there is none to tell. */
char *
misfit_query(const RecordedCommand *command, const Step *step, int sqlstate)
{
	MisfitQuery *query = find_query(command, step, sqlstate);

	return query ? query->show : NULL;
}

/* ---- before it is run: which tables are looked through ---- */

static List *
add_table(List *tables, const RangeVar *relation)
{
	Oid			relid = RangeVarGetRelid(relation, NoLock, true);

	return OidIsValid(relid) ? list_append_unique_oid(tables, relid) : tables;
}

static List *
tables_of_alter(const AlterTableStmt *stmt)
{
	List	   *tables = NIL;
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype != AT_AddConstraint && cmd->subtype != AT_SetNotNull)
			return NIL;
		if (cmd->subtype == AT_AddConstraint && ((Constraint *) cmd->def)->pktable)
			tables = add_table(tables, ((Constraint *) cmd->def)->pktable);
	}
	return add_table(tables, stmt->relation);
}

/* A foreign key's other table is not named: both must be sound. */
static List *
tables_of_validation(const RangeVar *relation)
{
	Oid			relid = RangeVarGetRelid(relation, NoLock, true);
	List	   *tables = NIL;
	Relation	constraints;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!OidIsValid(relid))
		return NIL;
	constraints = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(constraints, ConstraintRelidTypidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);

		if (!form->convalidated && OidIsValid(form->confrelid))
			tables = list_append_unique_oid(tables, form->confrelid);
	}
	systable_endscan(scan);
	table_close(constraints, AccessShareLock);
	return list_append_unique_oid(tables, relid);
}

List *
misfit_tables(const Step *step)
{
	Node	   *parsed = parse_statement(step->sql);
	RangeVar   *relation;

	switch (nodeTag(parsed))
	{
		case T_AlterTableStmt:
			return tables_of_alter((AlterTableStmt *) parsed);
		case T_IndexStmt:
			return ((IndexStmt *) parsed)->unique ?
				add_table(NIL, ((IndexStmt *) parsed)->relation) : NIL;
		case T_SelectStmt:
			relation = relation_of_call(parsed, "validate_constraint");
			if (relation)
				return tables_of_validation(relation);
			relation = relation_of_call(parsed, "set_not_null");
			return relation ? add_table(NIL, relation) : NIL;
		default:
			return NIL;
	}
}

Oid
misfit_validated(const Step *step)
{
	Node	   *parsed = parse_statement(step->sql);
	RangeVar   *relation = relation_of_call(parsed, "validate_constraint");
	const char *name = argument_of_call(parsed, "validate_constraint", 1);
	Oid			relid = relation ? RangeVarGetRelid(relation, NoLock, true) : InvalidOid;

	return OidIsValid(relid) && name ?
		get_relation_constraint_oid(relid, name, true) : InvalidOid;
}

/* ---- how many they are ---- */

typedef struct MisfitCount
{
	const MisfitQuery *query;
	Oid			owner;
	int64		rows;
} MisfitCount;

static bool
count_rows(void *arg)
{
	MisfitCount *count = arg;
	const MisfitQuery *query = count->query;
	Frame		frame;
	bool		isnull = true;
	Datum		rows = (Datum) 0;

	if (query->plain)
		frame_become_owner(&frame);
	else
		frame_become_for(&frame, count->owner, parse_statement(query->count), InvalidOid, 0);
	SPI_connect();
	if (SPI_execute(query->count, true, 1) == SPI_OK_SELECT && SPI_processed == 1)
		rows = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
		count->rows = DatumGetInt64(rows);
	SPI_finish();
	frame_unpin(&frame);
	return true;
}

/*
 * The rows that such a step refused, once it is undone; -1 where it cannot be
 * told: the owner may not be allowed to see all of them.
 */
int64
misfit_count(const RecordedCommand *command, const Step *step, int sqlstate)
{
	MisfitQuery *query = find_query(command, step, sqlstate);
	List	   *tables = misfit_tables(step);
	MisfitCount count = {query,.rows = -1};
	ErrorData  *error;

	if (query == NULL || query->count == NULL || tables == NIL)
		return -1;
	count.owner = relation_owner(llast_oid(tables));
	error = attempt(count_rows, &count);
	if (error && plan_error_is_no_reason(error))
		ReThrowError(error);
	return count.rows;
}
