/*-------------------------------------------------------------------------
 *
 * facts.c
 *	  What the catalogs say about the objects of a statement: sizes,
 *	  dependants, constraints, partitions.
 *
 * Read without a lock that anybody would wait for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_node.h"
#include "parser/parse_utilcmd.h"
#include "parser/scanner.h"
#include "partitioning/partbounds.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"

#include "advise/advise.h"
#include "keep/limit.h"

/* ---- queries of a relation, $1, and the number of a column, $2 ---- */

static void
ask(Frame *frame, const char *sql, Oid relid, int attnum)
{
	Oid			types[2] = {OIDOID, INT4OID};
	Datum		args[2] = {ObjectIdGetDatum(relid), Int32GetDatum(attnum)};

	frame_pin(frame);
	SPI_connect();
	if (SPI_execute_with_args(sql, 2, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not ask the catalogs: %s", sql);
}

static void
asked(Frame *frame)
{
	SPI_finish();
	frame_unpin(frame);
}

List *
facts_oids(const char *sql, Oid relid, int attnum)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext old;
	List	   *oids = NIL;
	Frame		frame;
	bool		isnull;

	ask(&frame, sql, relid, attnum);
	old = MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < SPI_processed; i++)
		oids = lappend_oid(oids, DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i],
																SPI_tuptable->tupdesc, 1, &isnull)));
	MemoryContextSwitchTo(old);
	asked(&frame);
	return oids;
}

/* The first value, or NULL. */
char *
facts_text(const char *sql, Oid relid, int attnum)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *text = NULL;
	Frame		frame;

	ask(&frame, sql, relid, attnum);
	if (SPI_processed > 0)
		text = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (text)
		text = MemoryContextStrdup(context, text);
	asked(&frame);
	return text;
}

/* Likewise, -1 for none. */
double
facts_number(const char *sql, Oid relid, int attnum)
{
	char	   *text = facts_text(sql, relid, attnum);

	return text ? strtod(text, NULL) : -1;
}

/* ---- sizes ---- */

/* With what is below it; -1: not known. */
void
facts_size(Oid relid, double *rows, double *bytes)
{
	*rows = facts_number("SELECT sum(CASE WHEN c.reltuples >= 0 THEN c.reltuples"
						 " WHEN pg_relation_size(c.oid) = 0 THEN 0 END)"
						 " FROM pg_class c WHERE c.relkind IN ('r', 'm')"
						 " AND (c.oid = $1 OR c.oid IN (SELECT relid FROM pg_partition_tree($1)))",
						 relid, 0);
	*bytes = facts_number("SELECT sum(pg_table_size(c.oid)) FROM pg_class c"
						  " WHERE c.relkind IN ('r', 'm', 'i')"
						  " AND (c.oid = $1 OR c.oid IN (SELECT relid FROM pg_partition_tree($1)))",
						  relid, 0);
}

/* Of a copy of one column, or of all (0); -1: not known. */
double
facts_kept_bytes(Oid relid, AttrNumber attnum)
{
	double		bytes = 0;
	List	   *all = lcons_oid(relid, facts_below(relid));
	ListCell   *lc;

	foreach(lc, all)
	{
		Relation	rel = relation_open_now(lfirst_oid(lc));

		if (rel == NULL)
			return -1;
		bytes += limit_size(rel, attnum, -1);
		relation_close(rel, AccessShareLock);
	}
	return bytes;
}

/* ---- dependants ---- */

/* Views that read it, or the column, and views over these. */
List *
facts_views_over(Oid relid, AttrNumber attnum)
{
	return facts_oids("WITH RECURSIVE v (oid) AS ("
					  "SELECT r.ev_class FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid"
					  " WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass"
					  " AND d.refobjid = $1 AND ($2 = 0 OR d.refobjsubid = $2) AND r.ev_class <> $1"
					  " UNION SELECT r.ev_class FROM v, pg_depend d JOIN pg_rewrite r ON r.oid = d.objid"
					  " WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass"
					  " AND d.refobjid = v.oid AND r.ev_class <> v.oid)"
					  " SELECT v.oid FROM v ORDER BY v.oid::regclass::text COLLATE \"C\"",
					  relid, attnum);
}

/* What a view reads, through other views, and what inherits from that. */
List *
facts_read_by(Oid view)
{
	return facts_oids("WITH RECURSIVE v (oid) AS (SELECT $1 UNION"
					  " SELECT n.oid FROM v, LATERAL (SELECT d.refobjid FROM pg_rewrite r JOIN pg_depend d"
					  " ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass"
					  " JOIN pg_class c ON c.oid = v.oid AND c.relkind = 'v' WHERE r.ev_class = v.oid AND r.rulename = '_RETURN'"
					  " UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = v.oid) n (oid))"
					  " SELECT oid FROM v JOIN pg_class c USING (oid) WHERE oid <> $1 AND $2 = 0"
					  " AND c.relkind IN ('r', 'p', 'v') ORDER BY c.oid::regclass::text COLLATE \"C\"", view, 0);
}

/* Tables with policies that ask it, or a view over it. */
List *
facts_policies_over(Oid relid)
{
	return facts_oids("WITH RECURSIVE v (oid) AS (SELECT $1 UNION"
					  " SELECT r.ev_class FROM v, pg_depend d JOIN pg_rewrite r ON r.oid = d.objid"
					  " WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass"
					  " AND d.refobjid = v.oid)"
					  " SELECT DISTINCT p.polrelid FROM v, pg_depend d JOIN pg_policy p ON p.oid = d.objid"
					  " WHERE d.classid = 'pg_policy'::regclass AND d.refclassid = 'pg_class'::regclass"
					  " AND d.refobjid = v.oid AND p.polrelid <> $1 AND $2 = 0 ORDER BY 1", relid, 0);
}

/* Tables whose constraints look into the attribute of a composite type. */
List *
facts_checks_elsewhere(Oid relid, AttrNumber attnum)
{
	return facts_oids("SELECT DISTINCT c.conrelid FROM pg_depend d JOIN pg_constraint c ON c.oid = d.objid"
					  " WHERE d.classid = 'pg_constraint'::regclass AND d.refclassid = 'pg_class'::regclass"
					  " AND d.refobjid = $1 AND d.refobjsubid = $2 AND c.contype <> 'f'"
					  " AND c.conrelid NOT IN (0, $1) ORDER BY 1", relid, attnum);
}

/* Partitions and tables that inherit, at any depth. */
List *
facts_below(Oid relid)
{
	return facts_oids("WITH RECURSIVE b (oid) AS (SELECT inhrelid FROM pg_inherits WHERE inhparent = $1"
					  " UNION SELECT i.inhrelid FROM b JOIN pg_inherits i ON i.inhparent = b.oid)"
					  " SELECT b.oid FROM b JOIN pg_class c USING (oid) WHERE c.relkind IN ('r', 'p', 'f') AND $2 = 0"
					  " ORDER BY b.oid::regclass::text COLLATE \"C\"", relid, 0);
}

/* Those right below it. */
List *
facts_children(Oid relid)
{
	return facts_oids("SELECT i.inhrelid FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
					  " WHERE i.inhparent = $1 AND c.relkind IN ('r', 'p', 'f') AND $2 = 0"
					  " ORDER BY i.inhrelid::regclass::text COLLATE \"C\"", relid, 0);
}

/* Tables OF a composite type. */
List *
facts_typed_tables(Oid relid)
{
	return facts_oids("SELECT c.oid FROM pg_class c JOIN pg_type t ON t.oid = c.reloftype"
					  " WHERE t.typrelid = $1 AND $2 = 0 ORDER BY 1", relid, 0);
}

Oid
facts_default_partition(Oid relid)
{
	List	   *oids = facts_oids("SELECT partdefid FROM pg_partitioned_table"
								  " WHERE partrelid = $1 AND partdefid <> 0 AND $2 = 0", relid, 0);

	return oids == NIL ? InvalidOid : linitial_oid(oids);
}

/* Tables that its foreign keys (those of the column, if one is given) refer to. */
List *
facts_referenced_by(Oid relid, AttrNumber attnum)
{
	return facts_oids("SELECT DISTINCT confrelid FROM pg_constraint WHERE contype = 'f'"
					  " AND conrelid = $1 AND confrelid <> $1 AND ($2 = 0 OR $2 = ANY (conkey))"
					  " ORDER BY 1", relid, attnum);
}

/* Tables whose foreign keys refer to it. */
List *
facts_referring_to(Oid relid, AttrNumber attnum)
{
	return facts_oids("SELECT DISTINCT conrelid FROM pg_constraint WHERE contype = 'f'"
					  " AND confrelid = $1 AND conrelid <> $1 AND ($2 = 0 OR $2 = ANY (confkey))"
					  " ORDER BY 1", relid, attnum);
}

/* Likewise, and those that refer to these. */
List *
facts_all_referring_to(Oid relid)
{
	return facts_oids("WITH RECURSIVE r (oid) AS (SELECT conrelid FROM pg_constraint WHERE contype = 'f'"
					  " AND confrelid = $1 UNION SELECT c.conrelid FROM r JOIN pg_constraint c"
					  " ON c.contype = 'f' AND c.confrelid = r.oid)"
					  " SELECT oid FROM r WHERE oid <> $1 AND $2 = 0 ORDER BY 1", relid, 0);
}

/* ---- constraints ---- */

/* Do its validated constraints say so?  Then SET NOT NULL reads nothing. */
bool
facts_not_null_is_checked(Oid relid, const char *column)
{
	AttrNumber	attnum = get_attnum(relid, column);
	Relation	rel = relation_open_now(relid);
	NullTest   *test = makeNode(NullTest);
	Form_pg_attribute att;
	bool		result;

	if (rel == NULL || attnum <= 0)
	{
		if (rel)
			relation_close(rel, AccessShareLock);
		return false;
	}
	att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	test->arg = (Expr *) makeVar(1, attnum, att->atttypid, att->atttypmod,
								 att->attcollation, 0);
	test->nulltesttype = IS_NOT_NULL;
	test->location = -1;
	result = PartConstraintImpliedByRelConstraint(rel, list_make1(test));
	relation_close(rel, AccessShareLock);
	return result;
}

bool
facts_has_check(Oid relid, AttrNumber attnum)
{
	return facts_number("SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND conrelid = $1"
						" AND $2 = ANY (conkey)", relid, attnum) > 0;
}

/* ---- bounds of partitions ---- */

typedef struct BoundQuestion
{
	Oid			parent;
	Oid			relid;
	PartitionBoundSpec *bound;
	bool		as_default;
	bool		implied;
} BoundQuestion;

/* As ATExecAttachPartition() and QueuePartitionConstraintValidation() do. */
static bool
bound_asked(void *arg)
{
	BoundQuestion *question = arg;
	Relation	parent = relation_open_now(question->parent);
	Relation	rel = relation_open_now(question->relid);
	List	   *quals;

	if (parent == NULL || rel == NULL ||
		parent->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return false;
	question->bound = transformPartitionBound(make_parsestate(NULL), parent,
											  copyObject(question->bound));
	quals = get_qual_from_partbound(parent, question->bound);
	if (question->as_default)
		quals = get_proposed_default_constraint(quals);
	else
		quals = list_concat_copy(quals, RelationGetPartitionQual(parent));
	quals = (List *) eval_const_expressions(NULL, (Node *) quals);
	quals = list_make1(make_ands_explicit(quals));
	quals = (List *) canonicalize_qual((Expr *) linitial(quals), true);
	quals = make_ands_implicit((Expr *) quals);
	quals = map_partition_varattnos(quals, 1, rel, parent);
	question->implied = PartConstraintImpliedByRelConstraint(rel, quals);
	relation_close(rel, AccessShareLock);
	relation_close(parent, AccessShareLock);
	return true;
}

/*
 * Do validated constraints say what the bound would, or, of the default
 * partition, the contrary?  Then no row is read.
 */
bool
facts_bound_is_implied(Oid parent, Oid relid, PartitionBoundSpec *bound, bool as_default)
{
	BoundQuestion question = {parent, relid, bound, as_default, false};

	return bound != NULL && attempt(bound_asked, &question) == NULL && question.implied;
}

/* ---- text of a statement ---- */

/* From there to the end of the clause: a comma outside of parentheses. */
char *
clause_text(const char *sql, int from)
{
	core_yyscan_t scanner;
	core_yy_extra_type extra;
	core_YYSTYPE value;
	YYLTYPE		location;
	int			depth = 0;
	int			end = -1;
	int			token;

	if (sql == NULL || from < 0 || from > (int) strlen(sql))
		return NULL;
	scanner = scanner_init(sql + from, &extra, &ScanKeywords, ScanKeywordTokens);
	while ((token = core_yylex(&value, &location, scanner)) != 0)
	{
		if (token == '(' || token == '[')
			depth++;
		else if (token == ')' || token == ']')
			depth--;
		if (depth < 0 || (depth == 0 && (token == ',' || token == ';')))
		{
			end = location;
			break;
		}
	}
	scanner_finish(scanner);
	if (end < 0)
		end = strlen(sql + from);
	while (end > 0 && isspace((unsigned char) sql[from + end - 1]))
		end--;
	return pnstrdup(sql + from, end);
}
