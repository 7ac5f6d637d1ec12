/*-------------------------------------------------------------------------
 *
 * constraint.c
 *	  Constraints that come and go, of tables and of domains.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "advise/advise.h"
#include "compat.h"

/* ---- the words of a constraint ---- */

/* Without CONSTRAINT name, if it has one. */
static char *
definition_text(Assessment *a, const Constraint *constraint)
{
	char	   *text = clause_text(a->now->sql, constraint->location);
	char	   *name;

	if (text == NULL || pg_strncasecmp(text, "CONSTRAINT", 10) != 0)
		return text;
	text += 10;
	while (isspace((unsigned char) *text))
		text++;
	name = text;
	if (*name == '"')
	{
		for (text++; *text && !(text[0] == '"' && text[1] != '"'); text++)
			if (text[0] == '"')
				text++;
		if (*text)
			text++;
	}
	else
		while (*text && !isspace((unsigned char) *text))
			text++;
	while (isspace((unsigned char) *text))
		text++;
	return text;
}

static char *
keys_text(List *keys)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, keys)
		appendStringInfo(&buf, "%s%s", buf.len ? "_" : "", strVal(lfirst(lc)));
	return buf.data;
}

static char *
column_list(List *keys)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, keys)
		appendStringInfo(&buf, "%s%s", buf.len ? ", " : "(", quote_identifier(strVal(lfirst(lc))));
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

/* Its name, or about what PostgreSQL would give it. */
static char *
name_of(const Target *target, const Constraint *constraint)
{
	const char *table = OidIsValid(target->relid) ? get_rel_name(target->relid) : target->name;

	if (constraint->conname)
		return constraint->conname;
	switch (constraint->contype)
	{
		case CONSTR_PRIMARY:
			return psprintf("%s_pkey", table);
		case CONSTR_UNIQUE:
			return psprintf("%s_%s_key", table, keys_text(constraint->keys));
		case CONSTR_FOREIGN:
			return psprintf("%s_%s_fkey", table, keys_text(constraint->fk_attrs));
		case CONSTR_EXCLUSION:
			return psprintf("%s_excl", table);
		default:
			return psprintf("%s_check", table);
	}
}

static Finding *
fire_constraint(Assessment *a, RuleId id, const Target *target, const Constraint *constraint)
{
	char	   *name = name_of(target, constraint);
	Finding    *finding = fire_part(a, id, target, "constraint", name);

	set_safer(finding, rules[id].safer, target, name, definition_text(a, constraint));
	return finding;
}

static char *
part_name(const Target *target, const char *part)
{
	return psprintf("%s.%s", target->name, quote_identifier(part));
}

/* ---- foreign keys ---- */

/* Is there an index whose first columns are these, in any order? */
static bool
has_index_on(const Target *target, List *columns)
{
	StringInfoData names;
	ListCell   *lc;

	initStringInfo(&names);
	foreach(lc, columns)
	{
		AttrNumber	attnum = get_attnum(target->relid, strVal(lfirst(lc)));

		if (attnum == InvalidAttrNumber)
			return false;
		appendStringInfo(&names, "%s%d", names.len ? "," : "", attnum);
	}
	return facts_number(psprintf("SELECT count(*) FROM pg_index WHERE indrelid = $1 AND indisvalid"
								 " AND indpred IS NULL AND indnkeyatts >= $2"
								 " AND (indkey::int2[])[0:$2 - 1] @> '{%s}'::int2[]", names.data),
						target->relid, list_length(columns)) > 0;
}

static char *
orphan_query(const Target *target, const Target *other, const Constraint *constraint)
{
	StringInfoData query;
	StringInfoData match;
	StringInfoData given;
	List	   *keys = constraint->pk_attrs;
	ListCell   *lc;
	ListCell   *key;

	if (keys == NIL && OidIsValid(other->relid))
	{
		char	   *text = facts_text("SELECT string_agg(a.attname, ',' ORDER BY k.n)"
									  " FROM pg_constraint c, unnest(c.conkey) WITH ORDINALITY k (attnum, n)"
									  " JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = k.attnum"
									  " WHERE c.conrelid = $1 AND c.contype = 'p' AND $2 = 0", other->relid, 0);
		char	   *rest = text;
		char	   *name;

		while (rest && (name = strsep(&rest, ",")) != NULL)
			keys = lappend(keys, makeString(name));
	}
	if (list_length(keys) != list_length(constraint->fk_attrs))
		return NULL;
	initStringInfo(&query);
	initStringInfo(&match);
	initStringInfo(&given);
	forboth(lc, constraint->fk_attrs, key, keys)
	{
		appendStringInfo(&match, "%sr.%s = t.%s", match.len ? " AND " : "",
						 quote_identifier(strVal(lfirst(key))), quote_identifier(strVal(lfirst(lc))));
		appendStringInfo(&given, "%st.%s IS NOT NULL", given.len ? " AND " : "",
						 quote_identifier(strVal(lfirst(lc))));
	}
	appendStringInfo(&query, "SELECT * FROM %s t WHERE %s AND NOT EXISTS (SELECT FROM %s r WHERE %s)",
					 target->name, given.data, other->name, match.data);
	return query.data;
}

static void
add_foreign_key(Assessment *a, const Target *target, const Constraint *constraint)
{
	Target	   *other = target_of(a, constraint->pktable);
	Finding    *finding;

	takes_for_new_key(a, target, other, constraint);
	if (!target->made && !has_index_on(target, constraint->fk_attrs))
	{
		finding = fire_part(a, RULE_FK_MISSING_INDEX, target, "constraint", name_of(target, constraint));
		finding->safer = psprintf("CREATE INDEX CONCURRENTLY ON %s %s;", target->name,
								  column_list(constraint->fk_attrs));
	}
	if (constraint->skip_validation)
	{
		a->not_valid = lappend(a->not_valid, part_name(target, name_of(target, constraint)));
		return;
	}
	finding = fire_constraint(a, RULE_ADD_FK, target, constraint);
	if (OidIsValid(target->relid) && OidIsValid(other->relid))
		finding->query = orphan_query(target, other, constraint);
	fire(a, RULE_ADD_FK, other)->safer = NULL;
}

/* ---- keys ---- */

static char *
duplicate_query(const Target *target, List *keys)
{
	char	   *list = column_list(keys);
	char	   *columns = pnstrdup(list + 1, strlen(list) - 2);
	StringInfoData given;
	ListCell   *lc;

	initStringInfo(&given);
	foreach(lc, keys)
		appendStringInfo(&given, "%s%s IS NOT NULL", given.len ? " AND " : "",
						 quote_identifier(strVal(lfirst(lc))));
	return psprintf("SELECT %s, count(*) FROM %s WHERE %s GROUP BY %s HAVING count(*) > 1",
					columns, target->name, given.data, columns);
}

/* Columns of that index that may hold NULL, the first of them; or NULL. */
static char *
nullable_in_index(const Target *target, const char *index)
{
	return facts_text(psprintf("SELECT a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
							   " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)"
							   " WHERE i.indrelid = $1 AND $2 = 0 AND c.relname = %s AND NOT a.attnotnull"
							   " ORDER BY a.attnum",
							   quote_literal_cstr(index)), target->relid, 0);
}

static void
add_key_of_index(Assessment *a, const Target *target, const Constraint *constraint)
{
	char	   *column;

	if (constraint->contype != CONSTR_PRIMARY || target->made)
		return;
	column = nullable_in_index(target, constraint->indexname);
	if (column && !facts_not_null_is_checked(target->relid, column))
		(void) fire_part(a, RULE_PK_NULLABLE, target, "column", column);
}

static void
add_key(Assessment *a, const Target *target, const Constraint *constraint)
{
	RuleId		id = constraint->contype == CONSTR_PRIMARY ? RULE_ADD_PRIMARY_KEY : RULE_ADD_UNIQUE;
	Finding    *finding;

	if (constraint->indexname)
	{
		add_key_of_index(a, target, constraint);
		return;
	}
	finding = fire_part(a, id, target, "constraint", name_of(target, constraint));
	set_safer(finding, rules[id].safer, target, name_of(target, constraint),
			  column_list(constraint->keys));
	if (OidIsValid(target->relid))
		finding->query = duplicate_query(target, constraint->keys);
}

/* ---- constraints of tables ---- */

/* CHECK (c IS NOT NULL): its column, or NULL. */
static const char *
column_checked(const Constraint *constraint)
{
	NullTest   *test = (NullTest *) constraint->raw_expr;

	if (test == NULL || !IsA(test, NullTest) || test->nulltesttype != IS_NOT_NULL ||
		!IsA(test->arg, ColumnRef))
		return NULL;
	return strVal(llast(((ColumnRef *) test->arg)->fields));
}

/* CHECK (...) without what may come behind the parentheses. */
static char *
check_expression(const char *text)
{
	const char *open = strchr(text, '(');
	char	   *inner = open ? clause_text(open + 1, 0) : NULL;

	return inner ? psprintf("(%s)", inner) : NULL;
}

static void
add_check(Assessment *a, const Target *target, const Constraint *constraint)
{
	Finding    *finding;
	char	   *text;
	const char *column = column_checked(constraint);

	if (constraint->skip_validation)
	{
		a->not_valid = lappend(a->not_valid, part_name(target, name_of(target, constraint)));
		if (column)
			a->checks = lappend(a->checks,
								list_make2(part_name(target, name_of(target, constraint)),
										   part_name(target, column)));
		return;
	}
	if (column)
		a->checked = lappend(a->checked, part_name(target, column));
	finding = fire_constraint(a, RULE_ADD_CHECK, target, constraint);
	text = definition_text(a, constraint);
	if (OidIsValid(target->relid) && text && pg_strncasecmp(text, "CHECK", 5) == 0 &&
		check_expression(text))
		finding->query = psprintf("SELECT * FROM %s WHERE NOT %s", target->name,
								  check_expression(text));
}

void
assess_constraint(Assessment *a, const Target *target, Constraint *constraint)
{
	if (!constraint_is_enforced(constraint))
	{
		if (constraint->contype == CONSTR_FOREIGN)
			takes_for_new_key(a, target, target_of(a, constraint->pktable), constraint);
		(void) fire_part(a, RULE_NOT_ENFORCED, target, "constraint", name_of(target, constraint));
		return;
	}
	switch (constraint->contype)
	{
		case CONSTR_CHECK:
			add_check(a, target, constraint);
			break;
		case CONSTR_FOREIGN:
			add_foreign_key(a, target, constraint);
			break;
		case CONSTR_PRIMARY:
		case CONSTR_UNIQUE:
			add_key(a, target, constraint);
			break;
		case CONSTR_NOTNULL:
			if (!constraint->skip_validation && constraint->keys != NIL)
				assess_set_not_null(a, target, strVal(linitial(constraint->keys)));
			break;
		case CONSTR_EXCLUSION:
			(void) fire_part(a, RULE_ADD_EXCLUSION, target, "constraint", name_of(target, constraint));
			break;
		default:
			break;
	}
}

void
assess_set_not_null(Assessment *a, const Target *target, const char *column)
{
	Finding    *finding;

	if (!target->made &&
		facts_number("SELECT count(*) FROM pg_attribute WHERE attrelid = $1 AND attnum = $2 AND attnotnull",
					 target->relid, get_attnum(target->relid, column)) > 0)
		return;
	if (list_has_name(a->checked, part_name(target, column)) ||
		(!target->made && facts_not_null_is_checked(target->relid, column)))
		return;
	finding = fire_part(a, RULE_SET_NOT_NULL, target, "column", column);
	if (OidIsValid(target->relid) &&
		!list_has_name(a->made_columns, part_name(target, column)))
		finding->query = psprintf("SELECT * FROM %s WHERE %s IS NULL", target->name,
								  quote_identifier(column));
}

static Oid
referenced_by_constraint(const Target *target, const char *name, const char *condition)
{
	return (Oid) Max(facts_number(psprintf("SELECT confrelid FROM pg_constraint WHERE conrelid = $1"
										   " AND conname = %s AND contype = 'f' AND $2 = 0 AND %s",
										   quote_literal_cstr(name), condition), target->relid, 0), 0);
}

void
assess_validate(Assessment *a, const Target *target, const char *name)
{
	char	   *full = part_name(target, name);
	ListCell   *lc;

	if (list_has_name(a->not_valid, full) && a->in_transaction)
		(void) fire_part(a, RULE_VALIDATE_SAME_TX, target, "constraint", name);
	foreach(lc, a->checks)
	{
		List	   *check = lfirst(lc);

		if (strcmp(linitial(check), full) == 0)
			a->checked = lappend(a->checked, lsecond(check));
	}
	if (!target->made)
	{
		Oid			other = referenced_by_constraint(target, name, "NOT convalidated");

		if (OidIsValid(other))
			takes(a, target_of_relation(other), RowShareLock);
	}
}

void
assess_drop_constraint(Assessment *a, const Target *target, const char *name, bool cascade)
{
	Oid			other;
	Finding    *finding;

	finding = fire_part(a, RULE_DROP_CONSTRAINT, target, "constraint", name);
	if (target->made)
		return;
	other = referenced_by_constraint(target, name, "true");
	if (OidIsValid(other))
		finding->undo_lock = "SHARE ROW EXCLUSIVE";
	if (OidIsValid(other) && other != target->relid)
	{
		takes_for_lost_key(a, other);
		fire(a, RULE_DROP_CONSTRAINT, target_of_relation(other))->undo_lock = "SHARE ROW EXCLUSIVE";
	}
	if (facts_number(psprintf("SELECT count(*) FROM pg_constraint WHERE conrelid = $1 AND $2 = 0"
							  " AND conname = %s AND contype IN ('p', 'u', 'x')",
							  quote_literal_cstr(name)), target->relid, 0) > 0)
		finding->undo_cost = "index";
	if (cascade)
	{
		List	   *partners = facts_oids(psprintf("SELECT DISTINCT f.conrelid FROM pg_constraint k"
												   " JOIN pg_constraint f ON f.conindid = k.conindid AND f.contype = 'f'"
												   " WHERE k.conrelid = $1 AND $2 = 0 AND k.conname = %s"
												   " AND k.contype IN ('p', 'u') AND f.conrelid <> $1 ORDER BY 1",
												   quote_literal_cstr(name)), target->relid, 0);
		ListCell   *lc;

		takes_relations(a, partners, AccessExclusiveLock);
		foreach(lc, partners)
			fire(a, RULE_DROP_CASCADE, target_of_relation(lfirst_oid(lc)))->undo = "exact";
	}
}

/* ---- constraints of domains ---- */

/* Tables with a column of it, or of an array or a domain over it. */
static List *
tables_with(Oid domain)
{
	return facts_oids("WITH RECURSIVE t (oid) AS (SELECT $1 UNION"
					  " SELECT p.oid FROM t JOIN pg_type p ON p.typbasetype = t.oid OR (p.typelem = t.oid AND p.typsubscript = 'array_subscript_handler'::regproc))"
					  " SELECT DISTINCT c.oid FROM t JOIN pg_attribute a ON a.atttypid = t.oid AND NOT a.attisdropped"
					  " JOIN pg_class c ON c.oid = a.attrelid WHERE c.relkind IN ('r', 'm', 'p') AND $2 = 0 ORDER BY 1",
					  domain, 0);
}

void
assess_domain(Assessment *a, AlterDomainStmt *stmt)
{
	TypeName   *name = makeTypeNameFromNameList(stmt->typeName);
	Type		tuple = LookupTypeName(NULL, name, NULL, true);
	char	   *domain = joined_name(stmt->typeName);
	Constraint *constraint = (Constraint *) stmt->def;
	const char *part = NULL;
	Finding    *finding;
	List	   *tables;
	ListCell   *lc;

	if (tuple == NULL)
		return;
	tables = tables_with(typeTypeId(tuple));
	ReleaseSysCache(tuple);
	if (stmt->subtype == 'C')
		part = constraint->conname ? constraint->conname :
			psprintf("%s_check", strVal(llast(stmt->typeName)));
	if ((stmt->subtype != 'C' || constraint->skip_validation) &&
		stmt->subtype != 'O' && stmt->subtype != 'V')
		return;
	takes_relations(a, tables, ShareLock);
	if (stmt->subtype == 'V')
		return;
	foreach(lc, tables)
	{
		Target	   *table = target_of_relation(lfirst_oid(lc));

		finding = fire(a, RULE_DOMAIN_CONSTRAINT, table);
		if (part == NULL)
			finding->safer = NULL;
		else
			finding->safer = psprintf("ALTER DOMAIN %s ADD CONSTRAINT %s %s NOT VALID;\n-- in another transaction:\nALTER DOMAIN %s VALIDATE CONSTRAINT %s;",
									  domain, quote_identifier(part),
									  definition_text(a, constraint) ? definition_text(a, constraint) : "CHECK (...)",
									  domain, quote_identifier(part));
	}
}
