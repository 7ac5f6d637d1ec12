/*-------------------------------------------------------------------------
 *
 * strip.c
 *	  What a relation loses on its way into the vault.
 *
 * Two things must be impossible there.  Nobody may make code of his own run
 * on kept rows: ANALYZE, VACUUM FULL or REINDEX evaluate index expressions as
 * the owner of the table, which in the vault is one role for the rows of all.
 * And nothing that is dropped later may take the relation along: so whatever
 * depends on something else than column types and collations goes.  All of it
 * stands in the images taken before and is made again from there, except for
 * what strip_undo() puts back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_index.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_publication_rel.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "commands/tablecmds.h"
#include "nodes/makefuncs.h"
#include "rewrite/prs2lock.h"
#include "rewrite/rewriteSupport.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "keep/column.h"
#include "keep/vault.h"

/* ---- a single ALTER TABLE action, as PostgreSQL itself runs it ---- */

RangeVar *
relation_name(Oid relid)
{
	return makeRangeVar(get_namespace_name(get_rel_namespace(relid)),
						get_rel_name(relid), -1);
}

/*
 * AlterTable() fires no event triggers, but collects what it does for the
 * command that runs; that command did not ask for it.
 */
void
relation_alter_all(Oid relid, List *cmds, bool recurse)
{
	AlterTableStmt *stmt = makeNode(AlterTableStmt);
	AlterTableUtilityContext context = {.relid = relid, .queryString = ""};
	LOCKMODE	lockmode;

	stmt->relation = relation_name(relid);
	stmt->relation->inh = recurse;
	stmt->cmds = cmds;
	stmt->objtype = OBJECT_TABLE;
	lockmode = AlterTableGetLockLevel(stmt->cmds);
	LockRelationOid(relid, lockmode);

	EventTriggerInhibitCommandCollection();
	PG_TRY();
	{
		AlterTable(stmt, lockmode, &context);
	}
	PG_FINALLY();
	{
		EventTriggerUndoInhibitCommandCollection();
	}
	PG_END_TRY();
	CommandCounterIncrement();
}

void
relation_alter(Oid relid, AlterTableType subtype, const char *name, Node *def)
{
	AlterTableCmd *cmd = makeNode(AlterTableCmd);

	cmd->subtype = subtype;
	cmd->name = name ? pstrdup(name) : NULL;
	cmd->def = def;
	cmd->behavior = DROP_RESTRICT;
	relation_alter_all(relid, list_make1(cmd), false);
}

/* ---- deleting what hangs on the relation, catalog by catalog ---- */

static void
delete_object(Oid classid, Oid objid)
{
	ObjectAddress address;

	ObjectAddressSet(address, classid, objid);
	performDeletion(&address, DROP_RESTRICT,
					PERFORM_DELETION_INTERNAL | PERFORM_DELETION_QUIETLY);
	CommandCounterIncrement();
}

/*
 * Clones in partitions depend on their original and go with it: the parent
 * is in the vault too, or it has been cut off before.
 */
static bool
trigger_goes(HeapTuple tuple)
{
	Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);

	return !form->tgisinternal && !OidIsValid(form->tgparentid);
}

/* Keys stay; they are looked at again with their indexes. */
static bool
constraint_goes(HeapTuple tuple)
{
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);

	return form->contype == CONSTRAINT_CHECK ||
		(form->contype == CONSTRAINT_FOREIGN && !OidIsValid(form->conparentid));
}

/* The rule that makes a view a view is matview.c's. */
static bool
rule_goes(HeapTuple tuple)
{
	Form_pg_rewrite form = (Form_pg_rewrite) GETSTRUCT(tuple);

	return strcmp(NameStr(form->rulename), ViewSelectRuleName) != 0;
}

static bool
statistics_goes(HeapTuple tuple)
{
	return !heap_attisnull(tuple, Anum_pg_statistic_ext_stxexprs, NULL);
}

static bool
everything_goes(HeapTuple tuple)
{
	return true;
}

static const struct
{
	Oid			catalog;
	Oid			index;			/* by relation */
	AttrNumber	oid;
	AttrNumber	relation;
	bool		(*goes) (HeapTuple tuple);
}			stripped[] = {
	{TriggerRelationId, TriggerRelidNameIndexId,
	Anum_pg_trigger_oid, Anum_pg_trigger_tgrelid, trigger_goes},
	{RewriteRelationId, RewriteRelRulenameIndexId,
	Anum_pg_rewrite_oid, Anum_pg_rewrite_ev_class, rule_goes},
	{PolicyRelationId, PolicyPolrelidPolnameIndexId,
	Anum_pg_policy_oid, Anum_pg_policy_polrelid, everything_goes},
	{PublicationRelRelationId, PublicationRelPrrelidPrpubidIndexId,
	Anum_pg_publication_rel_oid, Anum_pg_publication_rel_prrelid, everything_goes},
	{ConstraintRelationId, ConstraintRelidTypidNameIndexId,
	Anum_pg_constraint_oid, Anum_pg_constraint_conrelid, constraint_goes},
	{StatisticExtRelationId, StatisticExtRelidIndexId,
	Anum_pg_statistic_ext_oid, Anum_pg_statistic_ext_stxrelid, statistics_goes}
};

/* The next object of one catalog that has to go. */
static Oid
find_next(Oid relid, size_t which)
{
	Relation	catalog = table_open(stripped[which].catalog, AccessShareLock);
	Oid			result = InvalidOid;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, stripped[which].relation, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, stripped[which].index, true, NULL, 1, &key);
	while (!OidIsValid(result) && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;

		if (stripped[which].goes(tuple))
			result = DatumGetObjectId(heap_getattr(tuple, stripped[which].oid,
												   RelationGetDescr(catalog),
												   &isnull));
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return result;
}

/* One at a time, since deleting one may delete others. */
static void
strip_catalog(Oid relid, size_t which)
{
	Oid			objid;

	while (OidIsValid(objid = find_next(relid, which)))
		delete_object(stripped[which].catalog, objid);
}

/* ---- indexes ---- */

/*
 * An operator class from an extension, for a type that is not, would be a tie
 * of its own: DROP EXTENSION would want the index.  For a type that is, the
 * column is the tie already.
 */
static bool
opclass_is_tie(Oid opclass)
{
	HeapTuple	tuple;
	bool		result;

	if (opclass < FirstUnpinnedObjectId)
		return false;
	tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator class %u", opclass);
	result = ((Form_pg_opclass) GETSTRUCT(tuple))->opcintype < FirstUnpinnedObjectId;
	ReleaseSysCache(tuple);
	return result;
}

static bool
index_goes(Oid indexid)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(indexid));
	Form_pg_index form;
	oidvector  *opclasses;
	bool		result;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u", indexid);
	form = (Form_pg_index) GETSTRUCT(tuple);
	result = !heap_attisnull(tuple, Anum_pg_index_indexprs, NULL) ||
		!heap_attisnull(tuple, Anum_pg_index_indpred, NULL);
	opclasses = (oidvector *) DatumGetPointer(SysCacheGetAttr(INDEXRELID, tuple,
															  Anum_pg_index_indclass,
															  &isnull));
	for (int i = 0; !result && i < form->indnkeyatts; i++)
		result = opclass_is_tie(opclasses->values[i]);
	ReleaseSysCache(tuple);
	return result && !get_rel_relispartition(indexid);
}

static void
strip_indexes(Oid relid)
{
	Relation	rel = relation_open(relid, NoLock);
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;

	relation_close(rel, NoLock);
	foreach(lc, indexes)
	{
		Oid			indexid = lfirst_oid(lc);
		Oid			constraint;

		/* gone with the index of the parent */
		if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(indexid)))
			continue;
		if (!index_goes(indexid))
		{
			(void) deleteDependencyRecordsForClass(RelationRelationId, indexid,
												   ExtensionRelationId,
												   DEPENDENCY_AUTO_EXTENSION);
			continue;
		}
		constraint = get_index_constraint(indexid);
		if (OidIsValid(constraint))
			delete_object(ConstraintRelationId, constraint);
		else
			delete_object(RelationRelationId, indexid);
	}
}

/* ---- defaults and generation expressions ---- */

static void
strip_defaults(Oid relid)
{
	Relation	rel = relation_open(relid, NoLock);
	int			natts = RelationGetNumberOfAttributes(rel);
	Bitmapset  *with_default = NULL;
	int			attnum = -1;

	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (!att->attisdropped && att->atthasdef)
			with_default = bms_add_member(with_default, att->attnum);
	}
	relation_close(rel, NoLock);
	while ((attnum = bms_next_member(with_default, attnum)) >= 0)
	{
		Oid			attrdef = GetAttrDefaultOid(relid, attnum);

		if (!OidIsValid(attrdef))
			elog(ERROR, "could not find the default of attribute %d of relation %u",
				 attnum, relid);
		generated_forget(relid, attnum, attrdef);
		delete_object(AttrDefaultRelationId, attrdef);
	}
}

/* ---- privileges ---- */

/* The default list, whatever the object has now. */
void
strip_acl(Oid classid, Oid objid, AttrNumber attnum)
{
	ObjectAddress address;

	ObjectAddressSubSet(address, classid, objid, attnum);
	acl_store(&address, NULL);
}

/*
 * A row type has an image only as its table has one, so its privileges are
 * taken down here.
 */
static void
strip_rowtype_acl(Oid typid, Kept *kept)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(typid));
	Datum		acl;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", typid);
	acl = SysCacheGetAttr(TYPEOID, tuple, Anum_pg_type_typacl, &isnull);
	if (!isnull)
	{
		Oid			output;
		bool		varlena;

		getTypeOutputInfo(ACLITEMARRAYOID, &output, &varlena);
		kept_add_detail(kept, "row type acl", OidOutputFunctionCall(output, acl));
	}
	ReleaseSysCache(tuple);
	if (!isnull)
		strip_acl(TypeRelationId, typid, 0);
}

static void
strip_acls(Oid relid, Kept *kept)
{
	Relation	rel = relation_open(relid, NoLock);
	int			natts = RelationGetNumberOfAttributes(rel);
	Oid			rowtype = rel->rd_rel->reltype;
	ListCell   *lc;

	relation_close(rel, NoLock);
	strip_acl(RelationRelationId, relid, 0);
	for (AttrNumber attnum = FirstLowInvalidHeapAttributeNumber + 1; attnum <= natts; attnum++)
	{
		if (attnum != InvalidAttrNumber && SearchSysCacheExists2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(attnum)))
			strip_acl(RelationRelationId, relid, attnum);
	}
	foreach(lc, getOwnedSequences(relid))
		strip_acl(RelationRelationId, lfirst_oid(lc), 0);
	strip_rowtype_acl(rowtype, kept);
}

/* ---- the rest ---- */

/*
 * ALTER TYPE ... CASCADE would reach a table OF the type.  It is in the table's
 * image, which ties it again.
 */
static void
strip_of_type(Oid relid)
{
	Relation	rel = relation_open(relid, NoLock);
	Oid			typid = rel->rd_rel->reloftype;

	relation_close(rel, NoLock);
	if (!OidIsValid(typid))
		return;
	relation_alter(relid, AT_DropOf, NULL, NULL);
}

static int
statistics_target(Oid relid, AttrNumber attnum)
{
	Relation	catalog = table_open(AttributeRelationId, AccessShareLock);
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
										Int16GetDatum(attnum));
	int			target;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for attribute %d of relation %u",
			 attnum, relid);
	target = attribute_statistics_target(tuple, RelationGetDescr(catalog));
	ReleaseSysCache(tuple);
	table_close(catalog, AccessShareLock);
	return target;
}

/*
 * ANALYZE calls the subtype_diff function of a range type, which belongs to
 * whoever owns the type.  A column with target 0 is not analyzed.
 */
static void
stop_analyzing_ranges(Oid relid, Kept *kept)
{
	Relation	rel = relation_open(relid, NoLock);
	TupleDesc	desc = CreateTupleDescCopy(RelationGetDescr(rel));

	relation_close(rel, NoLock);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped || !type_analyze_runs_user_code(att->atttypid))
			continue;
		kept_add_detail(kept, psprintf("statistics target %s", NameStr(att->attname)),
						psprintf("%d", statistics_target(relid, att->attnum)));
		relation_alter(relid, AT_SetStatistics, NameStr(att->attname),
					   (Node *) makeInteger(0));
	}
}

/*
 * Parents first, since a partition that is cut off has keys and indexes of
 * its own from then on; the bound last, which is a CHECK itself.
 */
void
strip_relation(Oid relid, Kept *kept)
{
	List	   *bound = detach_from_parents(relid, kept);

	for (size_t which = 0; which < lengthof(stripped); which++)
		strip_catalog(relid, which);
	strip_of_type(relid);
	strip_indexes(relid);
	strip_defaults(relid);
	stop_analyzing_ranges(relid, kept);
	strip_acls(relid, kept);
	keep_bound(relid, bound, kept);
	(void) deleteDependencyRecordsForClass(RelationRelationId, relid,
										   ExtensionRelationId,
										   DEPENDENCY_AUTO_EXTENSION);
	CommandCounterIncrement();
}

/* What no image has, put back when the relation is in its place again. */
void
strip_undo(Oid relid, const Kept *kept)
{
	static const char target[] = "statistics target ";
	const char *acl = kept_detail(kept, "row type acl");
	ListCell   *lc;

	if (acl)
	{
		ObjectAddress address;

		ObjectAddressSet(address, TypeRelationId, get_rel_type_id(relid));
		acl_store(&address, acl_from_text(acl));
	}
	for (lc = list_head(kept->details); lc; lc = lnext(kept->details, lnext(kept->details, lc)))
	{
		const char *name = lfirst(lc);

		if (strncmp(name, target, strlen(target)) == 0)
			relation_alter(relid, AT_SetStatistics, name + strlen(target),
						   (Node *) makeInteger(atoi(lfirst(lnext(kept->details, lc)))));
	}
}
