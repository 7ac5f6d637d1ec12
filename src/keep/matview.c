/*-------------------------------------------------------------------------
 *
 * matview.c
 *	  A materialized view in the vault is a plain table.
 *
 * It has rows worth keeping, but its query hangs on everything the query
 * names: so the rule that holds the query goes, and the view is called a
 * table as long as it is there, which is how pg_dump writes it too.  Storage,
 * indexes and OID stay.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_rewrite.h"
#include "commands/matview.h"
#include "commands/view.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "rewrite/prs2lock.h"
#include "rewrite/rewriteSupport.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "keep/vault.h"

void
matview_describe(Relation rel, Kept *kept)
{
	kept_add_detail(kept, "definition", view_words(RelationGetRelid(rel)));
	kept_add_detail(kept, "populated", RelationIsPopulated(rel) ? "t" : "f");
}

/* What VACUUM would set right later for the rule is set right now. */
static void
set_relation_kind(Oid relid, char relkind)
{
	Relation	catalog = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	form = (Form_pg_class) GETSTRUCT(tuple);
	form->relkind = relkind;
	form->relhasrules = false;
	form->relispopulated = true;
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	heap_freetuple(tuple);
	table_close(catalog, RowExclusiveLock);
	CommandCounterIncrement();
}

void
matview_to_table(Oid relid)
{
	ObjectAddress rule;

	ObjectAddressSet(rule, RewriteRelationId,
					 get_rewrite_oid(relid, ViewSelectRuleName, false));
	/* the rule is an internal part of the view, and would ask for its end */
	(void) deleteDependencyRecordsFor(RewriteRelationId, rule.objectId, false);
	CommandCounterIncrement();
	performDeletion(&rule, DROP_RESTRICT,
					PERFORM_DELETION_INTERNAL | PERFORM_DELETION_QUIETLY);
	CommandCounterIncrement();
	set_relation_kind(relid, RELKIND_RELATION);
}

/*
 * Everything the query names is there again by now; else the parser says what
 * is missing.  As the owner, since parsing runs the CHECKs of domains inside
 * literals.
 */
void
matview_from_table(Oid relid, const Kept *kept)
{
	const char *definition = kept_need_detail(kept, "definition");
	List	   *parsed = raw_parser(definition, RAW_PARSE_DEFAULT);
	Frame		frame;
	Query	   *query;

	set_relation_kind(relid, RELKIND_MATVIEW);
	frame_become_for(&frame, relation_owner(relid), linitial(parsed), InvalidOid, 0);
	query = parse_analyze_fixedparams(linitial_node(RawStmt, parsed), definition,
									  NULL, 0, NULL);
	frame_unpin(&frame);
	StoreViewQuery(relid, query, false);
	CommandCounterIncrement();
	if (strcmp(kept_need_detail(kept, "populated"), "t") != 0)
	{
		Relation	rel = table_open(relid, NoLock);

		SetMatViewPopulatedState(rel, false);
		table_close(rel, NoLock);
		CommandCounterIncrement();
	}
}
