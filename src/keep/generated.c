/*-------------------------------------------------------------------------
 *
 * generated.c
 *	  Makes a plain column a generated one, or the reverse, without a rewrite.
 *
 * PostgreSQL can take a generation expression away, if it is not a virtual
 * one, but not put one on a column that exists.  The values are there already:
 * kept in place, or computed here or by fill.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/heap.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "commands/tablecmds.h"
#include "nodes/parsenodes.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "compat.h"
#include "keep/column.h"
#include "keep/rowwriter.h"

PG_FUNCTION_INFO_V1(set_generated);
PG_FUNCTION_INFO_V1(unset_generated);
PG_FUNCTION_INFO_V1(compute_column);

static Node *
parse_expression(const char *expression)
{
	RawStmt    *raw = linitial_node(RawStmt, raw_parser(spell_exactly(expression),
														 RAW_PARSE_PLPGSQL_EXPR));
	SelectStmt *select = castNode(SelectStmt, raw->stmt);

	if (list_length(select->targetList) != 1 || select->fromClause ||
		select->whereClause || select->op != SETOP_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("\"%s\" is not an expression", expression)));
	return linitial_node(ResTarget, select->targetList)->val;
}

/*
 * A default (generated '\0') or generation expression of a column, ready to
 * be stored or run.
 */
Node *
cook_column_expression(Relation rel, AttrNumber attnum, const char *expression,
					   char generated)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	ParseState *pstate = make_parsestate(NULL);
	ParseNamespaceItem *nsitem;
	Node	   *parsed = parse_expression(expression);
	Frame		frame;
	Node	   *cooked;

	pstate->p_sourcetext = expression;
	nsitem = addRangeTableEntryForRelation(pstate, rel, AccessShareLock, NULL,
										   false, true);
	addNSItemToQuery(pstate, nsitem, true, true, true);
	/* parsing converts literals, which runs the CHECKs of domains in them */
	frame_become_for(&frame, rel->rd_rel->relowner, parsed, InvalidOid, 0);
	cooked = cookDefault(pstate, parsed, att->atttypid,
						 att->atttypmod, NameStr(att->attname), generated);
	frame_unpin(&frame);
	free_parsestate(pstate);
	return cooked;
}

static void
mark_generated(Relation rel, AttrNumber attnum, char generated)
{
	Relation	catalog = table_open(AttributeRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy2(ATTNUM,
											ObjectIdGetDatum(RelationGetRelid(rel)),
											Int16GetDatum(attnum));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for attribute %d of relation %u",
			 attnum, RelationGetRelid(rel));
	((Form_pg_attribute) GETSTRUCT(tuple))->attgenerated = generated;
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	table_close(catalog, RowExclusiveLock);
	CommandCounterIncrement();
}

/*
 * A generation expression belongs to its column; what remains is a plain
 * column with the values that were computed.  safemig.set_generated() makes
 * it generated again.
 */
void
generated_forget(Oid relid, AttrNumber attnum, Oid attrdef)
{
	Relation	catalog = table_open(AttributeRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy2(ATTNUM, ObjectIdGetDatum(relid),
											Int16GetDatum(attnum));
	Form_pg_attribute form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for attribute %d of relation %u",
			 attnum, relid);
	form = (Form_pg_attribute) GETSTRUCT(tuple);
	if (form->attgenerated != '\0')
	{
		form->attgenerated = '\0';
		CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
		/* else the deletion of the expression would ask for the column's */
		(void) deleteDependencyRecordsFor(AttrDefaultRelationId, attrdef, false);
		CommandCounterIncrement();
	}
	heap_freetuple(tuple);
	table_close(catalog, RowExclusiveLock);
}

/* The table and the column that the first two arguments name. */
static Relation
open_table(FunctionCallInfo fcinfo, AttrNumber *attnum)
{
	char	   *column = text_to_cstring(PG_GETARG_TEXT_PP(1));
	RangeVar   *name = makeRangeVarFromNameList(textToQualifiedNameList(PG_GETARG_TEXT_PP(0)));
	Relation	rel = relation_openrv(name, AccessExclusiveLock);

	CheckTableNotInUse(rel, "change a column of");
	*attnum = get_attnum(RelationGetRelid(rel), column);
	if (*attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist",
						column, RelationGetRelationName(rel))));
	return rel;
}

static void
begin_change(Relation rel, const char *tag)
{
	ObjectAddress *address = palloc(sizeof(ObjectAddress));

	ObjectAddressSet(*address, RelationRelationId, RelationGetRelid(rel));
	capture_internal_begin(tag, list_make1(address));
}

/*
 * safemig.set_generated(table_name text, column_name text, expression text,
 * virtual boolean): GENERATED ALWAYS AS (expression) STORED, the values being
 * there, or VIRTUAL, where none are needed.
 */
Datum
set_generated(PG_FUNCTION_ARGS)
{
	char	   *expression = text_to_cstring(PG_GETARG_TEXT_PP(2));
	char		generated = PG_GETARG_BOOL(3) ? ATTRIBUTE_GENERATED_VIRTUAL : ATTRIBUTE_GENERATED_STORED;
	Relation	rel;
	AttrNumber	attnum;
	Node	   *cooked;
	Frame		frame,
				owner_frame;

	check_own_call("set_generated");
	frame_become_owner(&frame);
	rel = open_table(fcinfo, &attnum);
	begin_change(rel, "SET GENERATED");
	/* looking for what is not immutable may fold calls: the owner's code */
	frame_become(&owner_frame, rel->rd_rel->relowner);
	cooked = cook_column_expression(rel, attnum, expression, generated);
	frame_unpin(&owner_frame);
	RemoveAttrDefault(RelationGetRelid(rel), attnum, DROP_RESTRICT, false, true);
	CommandCounterIncrement();
	mark_generated(rel, attnum, generated);
	(void) store_attribute_default(rel, attnum, cooked);
	CommandCounterIncrement();
	capture_internal_end();
	relation_close(rel, NoLock);
	frame_unpin(&frame);
	PG_RETURN_VOID();
}

/*
 * safemig.compute_column(table_name text, column_name text, expression text):
 * the values of a column that is about to be generated.
 */
Datum
compute_column(PG_FUNCTION_ARGS)
{
	Relation	rel;
	AttrNumber	attnum;
	RowWriter	writer;
	Frame		frame,
				owner_frame;

	check_own_call("compute_column");
	frame_become_owner(&frame);
	rel = open_table(fcinfo, &attnum);
	if (RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
	{
		char	   *expression = text_to_cstring(PG_GETARG_TEXT_PP(2));

		frame_become_for(&owner_frame, rel->rd_rel->relowner, parse_expression(expression), InvalidOid, 0);
		frame_lend_for_rows(&owner_frame, rel->rd_rel->relowner, rel);
		writer_begin(&writer, rel, attnum);
		writer.text = expression;
		writer.generated = ATTRIBUTE_GENERATED_STORED;
		(void) writer_compute_all(&writer);
		writer_end(&writer);
		frame_unpin(&owner_frame);
	}
	relation_close(rel, NoLock);
	frame_unpin(&frame);
	PG_RETURN_VOID();
}

/* safemig.unset_generated(table_name text, column_name text): a plain column */
Datum
unset_generated(PG_FUNCTION_ARGS)
{
	Relation	rel;
	AttrNumber	attnum;
	Oid			attrdef;
	Frame		frame;

	check_own_call("unset_generated");
	frame_become_owner(&frame);
	rel = open_table(fcinfo, &attnum);
	begin_change(rel, "UNSET GENERATED");
	attrdef = GetAttrDefaultOid(RelationGetRelid(rel), attnum);
	if (OidIsValid(attrdef))
	{
		generated_forget(RelationGetRelid(rel), attnum, attrdef);
		RemoveAttrDefault(RelationGetRelid(rel), attnum, DROP_RESTRICT, false, true);
		CommandCounterIncrement();
	}
	capture_internal_end();
	relation_close(rel, NoLock);
	frame_unpin(&frame);
	PG_RETURN_VOID();
}
