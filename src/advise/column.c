/*-------------------------------------------------------------------------
 *
 * column.c
 *	  New columns, and columns that get another type.
 *
 * Whether PostgreSQL writes the table anew is decided as PostgreSQL decides it:
 * by the volatility of the default, by the coercion from type to type.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/heap.h"
#include "catalog/namespace.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "catalog/partition.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "parser/parse_type.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "advise/advise.h"
#include "compat.h"

/* ---- types ---- */

typedef struct ColumnType
{
	Oid			oid;			/* InvalidOid: not there yet */
	int32		typmod;
} ColumnType;

static ColumnType
type_named(const TypeName *name)
{
	ColumnType	result = {InvalidOid, -1};
	Type		tuple = LookupTypeName(NULL, name, &result.typmod, true);

	if (tuple == NULL)
		return result;
	result.oid = typeTypeId(tuple);
	ReleaseSysCache(tuple);
	return result;
}

/* smallserial, serial4 ...: no type, but an integer with a sequence. */
static bool
is_serial(const TypeName *name)
{
	static const char *const serials[] = {"smallserial", "serial2", "serial", "serial4",
	"bigserial", "serial8"};

	if (list_length(name->names) != 1 || name->pct_type)
		return false;
	for (size_t i = 0; i < lengthof(serials); i++)
	{
		if (strcmp(strVal(linitial(name->names)), serials[i]) == 0)
			return true;
	}
	return false;
}

static bool
is_small_serial(const TypeName *name)
{
	return is_serial(name) && strstr(strVal(linitial(name->names)), "big") == NULL &&
		strcmp(strVal(linitial(name->names)), "serial8") != 0;
}

static char *
type_text(const TypeName *name)
{
	ColumnType	type = type_named(name);

	return OidIsValid(type.oid) ? format_type_with_typemod(type.oid, type.typmod) :
		TypeNameToString(name);
}

void
assess_column_types(Assessment *a, const Target *target, ColumnDef *column, bool key)
{
	ColumnType	type;
	RuleId		id;
	char	   *clause = NULL;

	if (column->typeName == NULL)
		return;
	type = type_named(column->typeName);
	if (is_serial(column->typeName))
		(void) fire_part(a, RULE_SERIAL_TYPE, target, "column", column->colname);
	if (key && (type.oid == INT4OID || type.oid == INT2OID || is_small_serial(column->typeName)))
		(void) fire_part(a, RULE_INT_KEY, target, "column", column->colname);
	switch (type.oid)
	{
		case JSONOID:
			id = RULE_JSON_TYPE;
			break;
		case VARCHAROID:
			if (type.typmod < 0)
				return;
			clause = psprintf("%d", type.typmod - VARHDRSZ);
			id = RULE_VARCHAR_TYPE;
			break;
		case BPCHAROID:
			id = RULE_CHAR_TYPE;
			break;
		case TIMESTAMPOID:
			id = RULE_TIMESTAMP_TYPE;
			break;
		case MONEYOID:
			id = RULE_MONEY_TYPE;
			break;
		default:
			return;
	}
	set_safer(fire_part(a, id, target, "column", column->colname),
			  rules[id].safer, target, column->colname, clause);
}

/* ---- new columns ---- */

typedef struct Cooking
{
	Node	   *raw;
	Node	   *cooked;
} Cooking;

static bool
cook(void *arg)
{
	Cooking    *cooking = arg;
	ParseState *pstate = make_parsestate(NULL);

	cooking->cooked = transformExpr(pstate, copyObject(cooking->raw), EXPR_KIND_COLUMN_DEFAULT);
	assign_expr_collations(pstate, cooking->cooked);
	free_parsestate(pstate);
	return true;
}

static bool
is_volatile_default(Node *raw)
{
	Cooking		cooking = {raw, NULL};

	if (attempt(cook, &cooking) != NULL || cooking.cooked == NULL)
		return false;
	return contain_volatile_functions((Node *) expression_planner((Expr *) cooking.cooked));
}

static char *
default_text(Assessment *a, const Constraint *constraint)
{
	return clause_text(a->now->sql, exprLocation(constraint->raw_expr));
}

/* The words of a constraint as they stand, with its name if it has one. */
static char *
constraint_text(Assessment *a, const Constraint *constraint)
{
	return clause_text(a->now->sql, constraint->location);
}

static void
new_column_constraint(Assessment *a, const Target *target, ColumnDef *column,
					  Constraint *constraint, bool has_default)
{
	const char *type = type_text(column->typeName);
	Finding    *finding;
	Target	   *other;

	switch (constraint->contype)
	{
		case CONSTR_CHECK:
			/* a column that is the same in all rows is not looked at, but the table is read */
			finding = fire_part(a, RULE_ADD_INLINE_CHECK, target, "column", column->colname);
			set_safer(finding, rules[RULE_ADD_INLINE_CHECK].safer, target, column->colname,
					  constraint_text(a, constraint));
			break;
		case CONSTR_FOREIGN:
			other = target_of(a, constraint->pktable);
			takes(a, other, ShareRowExclusiveLock);
			finding = fire_part(a, RULE_ADD_INLINE_FK, target, "column", column->colname);
			set_safer(finding, rules[RULE_ADD_INLINE_FK].safer, target, column->colname,
					  constraint_text(a, constraint));
			if (has_default)
				finding->cost = "scan";
			finding = fire(a, RULE_ADD_INLINE_FK, other);
			finding->safer = NULL;
			if (has_default)
				finding->cost = "scan";
			break;
		case CONSTR_PRIMARY:
		case CONSTR_UNIQUE:
			finding = fire_part(a, RULE_ADD_COLUMN_UNIQUE, target, "column", column->colname);
			set_safer(finding, rules[RULE_ADD_COLUMN_UNIQUE].safer, target, column->colname, type);
			break;
		case CONSTR_IDENTITY:
			(void) fire_part(a, RULE_ADD_IDENTITY, target, "column", column->colname);
			break;
		case CONSTR_GENERATED:
			if (constraint_is_virtual(constraint))
				break;
			finding = fire_part(a, RULE_ADD_STORED_GENERATED, target, "column", column->colname);
			set_safer(finding, rules[RULE_ADD_STORED_GENERATED].safer, target, column->colname, type);
			break;
		case CONSTR_DEFAULT:
			if (!is_volatile_default(constraint->raw_expr))
				break;
			finding = fire_part(a, RULE_ADD_VOLATILE_DEFAULT, target, "column", column->colname);
			set_safer(finding,
					  "ALTER TABLE {object} ADD COLUMN {part} {type};", target, column->colname, type);
			finding->safer = psprintf("%s\nALTER TABLE %s ALTER COLUMN %s SET DEFAULT %s;\n-- then in batches: UPDATE %s SET %s = DEFAULT WHERE %s IS NULL ...",
									  finding->safer, target->name, quote_identifier(column->colname),
									  default_text(a, constraint) ? default_text(a, constraint) : "...",
									  target->name, quote_identifier(column->colname),
									  quote_identifier(column->colname));
			break;
		default:
			break;
	}
}

static bool
has_constraint(const ColumnDef *column, ConstrType contype)
{
	ListCell   *lc;

	foreach(lc, column->constraints)
	{
		Constraint *constraint = lfirst(lc);

		if (IsA(constraint, Constraint) && constraint->contype == contype)
			return true;
	}
	return false;
}

void
assess_new_column(Assessment *a, const Target *target, ColumnDef *column)
{
	ColumnType	type = type_named(column->typeName);
	bool		has_default = has_constraint(column, CONSTR_DEFAULT) ||
		has_constraint(column, CONSTR_IDENTITY) ||
		has_constraint(column, CONSTR_GENERATED) || is_serial(column->typeName);
	Finding    *finding;
	ListCell   *lc;

	a->made_columns = lappend(a->made_columns,
							  psprintf("%s.%s", target->name, quote_identifier(column->colname)));
	assess_column_types(a, target, column, has_constraint(column, CONSTR_PRIMARY));
	if (is_serial(column->typeName))
		(void) fire_part(a, RULE_ADD_SERIAL, target, "column", column->colname);
	if (OidIsValid(type.oid) && get_typtype(type.oid) == TYPTYPE_DOMAIN &&
		DomainHasConstraints(type.oid))
	{
		Oid			base = getBaseTypeAndTypmod(type.oid, &type.typmod);

		finding = fire_part(a, RULE_ADD_CONSTRAINED_DOMAIN, target, "column", column->colname);
		set_safer(finding, rules[RULE_ADD_CONSTRAINED_DOMAIN].safer, target, column->colname,
				  format_type_with_typemod(base, type.typmod));
	}
	foreach(lc, column->constraints)
		new_column_constraint(a, target, column, lfirst_node(Constraint, lc), has_default);
	if (!has_default && (has_constraint(column, CONSTR_NOTNULL) || has_constraint(column, CONSTR_PRIMARY)))
	{
		finding = fire_part(a, RULE_ADD_NOT_NULL, target, "column", column->colname);
		set_safer(finding, rules[RULE_ADD_NOT_NULL].safer, target, column->colname,
				  type_text(column->typeName));
	}
	if (a->now->findings == NIL && !target->made)
		takes(a, target, AccessExclusiveLock);
}

/* ---- another type ---- */

/* Does PostgreSQL have to write it anew?  See ATColumnChangeRequiresRewrite(). */
static bool
needs_rewrite(Node *expr)
{
	while (expr)
	{
		if (IsA(expr, Var))
			return false;
		if (IsA(expr, RelabelType))
			expr = (Node *) ((RelabelType *) expr)->arg;
		else if (IsA(expr, CoerceToDomain))
		{
			CoerceToDomain *coercion = (CoerceToDomain *) expr;

			if (DomainHasConstraints(coercion->resulttype))
				return true;
			expr = (Node *) coercion->arg;
		}
		else if (IsA(expr, FuncExpr))
		{
			FuncExpr   *call = (FuncExpr *) expr;

			/* between the two kinds of timestamp */
			if (call->funcid != F_TIMESTAMP_TIMESTAMPTZ && call->funcid != F_TIMESTAMPTZ_TIMESTAMP)
				return true;
			if (TimestampTimestampTzRequiresRewrite())
				return true;
			expr = (Node *) linitial(call->args);
		}
		else
			return true;
	}
	return false;
}

typedef struct TypeComparison
{
	Form_pg_attribute att;
	ColumnType	to;
	bool		has_using;
	bool		rewrite;
} TypeComparison;

static bool
compare_types(void *arg)
{
	TypeComparison *comparison = arg;
	Form_pg_attribute att = comparison->att;
	Node	   *expr = (Node *) makeVar(1, att->attnum, att->atttypid, att->atttypmod,
										att->attcollation, 0);

	expr = coerce_to_target_type(NULL, expr, att->atttypid, comparison->to.oid,
								 comparison->to.typmod, COERCION_ASSIGNMENT,
								 COERCE_IMPLICIT_CAST, -1);
	/* planning drops length coercions that do nothing */
	comparison->rewrite = expr == NULL ||
		needs_rewrite((Node *) expression_planner((Expr *) expr));
	return true;
}

static bool
is_timestamp_pair(Oid from, Oid to)
{
	return (from == TIMESTAMPOID && to == TIMESTAMPTZOID) ||
		(from == TIMESTAMPTZOID && to == TIMESTAMPOID);
}

/* Does the new one hold less? */
static bool
is_narrower(Form_pg_attribute att, ColumnType to, bool lossless)
{
	Oid			from = att->atttypid;

	if (lossless || to.typmod < 0)
		return (from == INT8OID && (to.oid == INT4OID || to.oid == INT2OID)) ||
			(from == INT4OID && to.oid == INT2OID) ||
			(from == FLOAT8OID && to.oid == FLOAT4OID);
	if (from == to.oid)
		return true;
	return (from == TEXTOID || from == VARCHAROID) &&
		(to.oid == VARCHAROID || to.oid == BPCHAROID);
}

static char *
names_of(List *relids)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, relids)
		appendStringInfo(&buf, "%s%s", buf.len ? ", " : "",
						 target_of_relation(lfirst_oid(lc))->name);
	return buf.data;
}

static void
keeps_values(Finding *finding, const Target *target, Form_pg_attribute att)
{
	if (target->made)
		return;
	finding->kept = psprintf("values of column %s, copied", quote_identifier(NameStr(att->attname)));
	finding->kept_bytes = facts_kept_bytes(target->relid, att->attnum);
}

/* Foreign keys on either side are dropped and added again. */
static void
takes_key_partners(Assessment *a, const Target *target, AttrNumber attnum)
{
	takes_relations(a, facts_referenced_by(target->relid, attnum), AccessExclusiveLock);
	takes_relations(a, facts_referring_to(target->relid, attnum), AccessExclusiveLock);
}

static bool
has_index(Oid relid, AttrNumber attnum)
{
	return facts_number("SELECT count(*) FROM pg_index WHERE indrelid = $1 AND $2 = ANY (indkey)",
						relid, attnum) > 0;
}

void
assess_type_change(Assessment *a, const Target *target, AlterTableCmd *cmd)
{
	ColumnDef  *column = castNode(ColumnDef, cmd->def);
	HeapTuple	tuple;
	TypeComparison comparison = {0};
	FormData_pg_attribute att;
	List	   *views;
	bool		lossless;
	Finding    *finding;
	RuleId		id;
	const char *text = type_text(column->typeName);

	tuple = target->made ? NULL : SearchSysCacheAttName(target->relid, cmd->name);
	if (tuple == NULL)
		return;
	att = *(Form_pg_attribute) GETSTRUCT(tuple);
	ReleaseSysCache(tuple);
	comparison.att = &att;
	comparison.to = type_named(column->typeName);
	comparison.has_using = column->raw_default != NULL;
	comparison.rewrite = true;
	if (!comparison.has_using && OidIsValid(comparison.to.oid))
		(void) attempt(compare_types, &comparison);
	lossless = !comparison.has_using && OidIsValid(comparison.to.oid) &&
		type_change_is_lossless(att.atttypid, att.atttypmod, comparison.to.oid,
								comparison.to.typmod);
	takes_key_partners(a, target, att.attnum);

	views = facts_views_over(target->relid, att.attnum);
	if (views != NIL)
	{
		finding = fire_part(a, RULE_TYPE_CHANGE_BLOCKED, target, "column", cmd->name);
		set_safer(finding, rules[RULE_TYPE_CHANGE_BLOCKED].safer, target, cmd->name, names_of(views));
	}
	if (column->collClause || (att.atttypid == comparison.to.oid &&
							   att.atttypmod == comparison.to.typmod && OidIsValid(att.attcollation) &&
							   get_typcollation(comparison.to.oid) != att.attcollation))
	{
		finding = fire_part(a, RULE_COLLATION_CHANGE, target, "column", cmd->name);
		set_safer(finding, rules[RULE_COLLATION_CHANGE].safer, target, cmd->name,
				  clause_text(a->now->sql, column->typeName->location));
		if (!has_index(target->relid, att.attnum))
			finding->cost = "catalog";
		return;
	}
	if (is_timestamp_pair(att.atttypid, comparison.to.oid))
		id = RULE_TIMESTAMP_ZONE;
	else if (is_narrower(&att, comparison.to, lossless))
		id = RULE_TYPE_NARROW;
	else if (comparison.rewrite)
		id = RULE_TYPE_CHANGE_REWRITE;
	else if (facts_has_check(target->relid, att.attnum))
		id = RULE_TYPE_WIDEN_WITH_CHECK;
	else
		return;
	finding = fire_part(a, id, target, "column", cmd->name);
	set_safer(finding, rules[id].safer, target, cmd->name, text);
	if (!comparison.rewrite && id != RULE_TYPE_WIDEN_WITH_CHECK)
		finding->cost = facts_has_check(target->relid, att.attnum) ? "scan" : "catalog";
	if (lossless)
		finding->undo = "exact";
	else
		keeps_values(finding, target, &att);
}
