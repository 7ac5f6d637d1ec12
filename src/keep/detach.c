/*-------------------------------------------------------------------------
 *
 * detach.c
 *	  A child whose parent stays is cut off before it goes into the vault:
 *	  else its rows would still be read through the parent.
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
#include "catalog/dependency.h"
#include "catalog/heap.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/varlena.h"

#include "compat.h"
#include "keep/vault.h"

PG_FUNCTION_INFO_V1(safemig_detach_partition);
PG_FUNCTION_INFO_V1(safemig_set_detach_pending);

/*
 * The bound of a hash partition names its parent by OID, and a domain has
 * checks of its own.
 */
static bool
user_function_checker(Oid function, void *context)
{
	return function >= FirstUnpinnedObjectId ||
		function == F_SATISFIES_HASH_PARTITION;
}

static bool
user_code_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, CoerceToDomain) ||
		check_functions_in_node(node, user_function_checker, NULL))
		return true;
	return expression_tree_walker(node, user_code_walker, context);
}

/*
 * With its bound as a CHECK, true by construction, the partition can be
 * attached again without a scan.  Not if that would run code of a user's, and
 * not for a partitioned table, all of whose partitions would need it too.
 */
void
keep_bound(Oid relid, List *quals, Kept *kept)
{
	Constraint *check;
	Relation	rel;

	if (quals == NIL || get_rel_relkind(relid) != RELKIND_RELATION ||
		user_code_walker((Node *) quals, NULL))
		return;
	check = makeNode(Constraint);
	check->contype = CONSTR_CHECK;
	check->conname = pstrdup(SAFEMIG_BOUND_CHECK);
	check->location = -1;
	check->cooked_expr = nodeToString(make_ands_explicit(quals));
	check->initially_valid = true;
	check->skip_validation = true;
	constraint_set_enforced(check);
	rel = relation_open(relid, NoLock);
	(void) AddRelationNewConstraints(rel, NIL, list_make1(check),
									 false, true, true, NULL);
	relation_close(rel, NoLock);
	kept_add_detail(kept, "bound check", check->conname);
	CommandCounterIncrement();
}

/* Is the child being detached concurrently, by a command that got stuck? */
static bool
detach_is_pending(Oid child, Oid parent)
{
	Relation	catalog = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		result = false;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(child));
	scan = systable_beginscan(catalog, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_inherits form = (Form_pg_inherits) GETSTRUCT(tuple);

		if (form->inhparent == parent)
			result = form->inhdetachpending;
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return result;
}

/* Returns what all its rows satisfy. */
static List *
detach_partition(Oid relid, Oid parent)
{
	PartitionCmd *cmd = makeNode(PartitionCmd);
	Relation	rel = relation_open(relid, NoLock);
	List	   *quals = copyObject(RelationGetPartitionQual(rel));

	relation_close(rel, NoLock);
	cmd->name = relation_name(relid);
	relation_alter(parent,
				   detach_is_pending(relid, parent) ?
				   AT_DetachPartitionFinalize : AT_DetachPartition,
				   NULL, (Node *) cmd);
	return quals;
}

/* Parents, in the order of the columns they gave. */
static List *
parents_of(Oid relid)
{
	Relation	catalog = table_open(InheritsRelationId, AccessShareLock);
	List	   *parents = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		parents = lappend_oid(parents, ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent);
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return parents;
}

/*
 * Returns what the rows of a partition that was cut off satisfy.
 */
List *
detach_from_parents(Oid relid, Kept *kept)
{
	bool		partition = get_rel_relispartition(relid);
	List	   *bound = NIL;
	ListCell   *lc;

	foreach(lc, parents_of(relid))
	{
		Oid			parent = lfirst_oid(lc);

		if (vault_is_schema(get_rel_namespace(parent)))
			continue;
		kept_add_detail(kept, "detached from",
						quote_qualified_identifier(get_namespace_name(get_rel_namespace(parent)),
												   get_rel_name(parent)));
		if (partition)
			bound = detach_partition(relid, parent);
		else
			relation_alter(relid, AT_DropInherit, NULL,
						   (Node *) relation_name(parent));
	}
	return bound;
}

/* ---- triggers that PostgreSQL leaves on what it detaches ---- */

/*
 * Those that it took over from its parent and keeps: the ones of constraint
 * triggers with FROM, which DETACH mistakes for a foreign key's.
 */
static List *
left_triggers(Oid relid)
{
	Relation	rel = table_open(TriggerRelationId, AccessShareLock);
	List	   *triggers = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);

		if (OidIsValid(form->tgparentid) && OidIsValid(form->tgconstrrelid) &&
			!form->tgisinternal)
			triggers = lappend_oid(triggers, form->oid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return triggers;
}

bool
detach_leaves_triggers(Oid relid)
{
	return left_triggers(relid) != NIL;
}

/* Those of partitions below it go with them. */
static void
drop_left_triggers(Oid relid)
{
	ListCell   *lc;

	foreach(lc, left_triggers(relid))
	{
		ObjectAddress address;

		ObjectAddressSet(address, TriggerRelationId, lfirst_oid(lc));
		deleteDependencyRecordsForClass(TriggerRelationId, lfirst_oid(lc),
										TriggerRelationId, DEPENDENCY_PARTITION_PRI);
		deleteDependencyRecordsForClass(TriggerRelationId, lfirst_oid(lc),
										RelationRelationId, DEPENDENCY_PARTITION_SEC);
		CommandCounterIncrement();
		performDeletion(&address, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	}
	CommandCounterIncrement();
}

static Oid
lock_by_name(text *name)
{
	return RangeVarGetRelid(makeRangeVarFromNameList(textToQualifiedNameList(name)),
							AccessExclusiveLock, false);
}

/* safemig.detach_partition(parent text, relation text): with these triggers */
Datum
safemig_detach_partition(PG_FUNCTION_ARGS)
{
	Oid			parent;
	Oid			relid;
	List	   *addresses = NIL;
	ListCell   *lc;

	check_is_extension_owner();
	parent = lock_by_name(PG_GETARG_TEXT_PP(0));
	relid = lock_by_name(PG_GETARG_TEXT_PP(1));
	foreach(lc, lcons_oid(parent, find_all_inheritors(relid, AccessExclusiveLock, NULL)))
	{
		ObjectAddress *address = palloc(sizeof(ObjectAddress));

		ObjectAddressSet(*address, RelationRelationId, lfirst_oid(lc));
		addresses = lappend(addresses, address);
	}
	capture_internal_begin("DETACH PARTITION", addresses);
	(void) detach_partition(relid, parent);
	CommandCounterIncrement();
	drop_left_triggers(relid);
	capture_internal_end();
	PG_RETURN_VOID();
}

/* ---- DETACH ... CONCURRENTLY, half done ---- */

/*
 * Rows that belong into the partition may have gone to a default partition
 * that was made meanwhile.
 */
static void
check_no_default_partition(Oid parent, Oid child)
{
	Oid			other = get_default_partition_oid(parent);

	if (OidIsValid(other) && other != child)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("table \"%s\" cannot be a partition of \"%s\" again",
						get_rel_name(child), get_rel_name(parent)),
				 errdetail("The default partition \"%s\" was made since it began to be detached.",
						   get_rel_name(other))));
}

static void
store_pending(Oid child, Oid parent, bool pending)
{
	Relation	catalog = table_open(InheritsRelationId, RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(child));
	scan = systable_beginscan(catalog, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (((Form_pg_inherits) GETSTRUCT(tuple))->inhparent != parent)
			continue;
		tuple = heap_copytuple(tuple);
		((Form_pg_inherits) GETSTRUCT(tuple))->inhdetachpending = pending;
		CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	}
	systable_endscan(scan);
	table_close(catalog, RowExclusiveLock);
	CacheInvalidateRelcacheByRelid(parent);
	CacheInvalidateRelcacheByRelid(child);
	CommandCounterIncrement();
}

/*
 * safemig.set_detach_pending(relation text, pending boolean): the state between
 * the two transactions of DETACH PARTITION CONCURRENTLY, or not any more
 */
Datum
safemig_set_detach_pending(PG_FUNCTION_ARGS)
{
	RangeVar   *name = makeRangeVarFromNameList(textToQualifiedNameList(PG_GETARG_TEXT_PP(0)));
	bool		pending = PG_GETARG_BOOL(1);
	ObjectAddress address;
	Oid			relid;
	Oid			parent;

	check_is_extension_owner();
	relid = RangeVarGetRelid(name, AccessExclusiveLock, false);
	if (!get_rel_relispartition(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a partition", name->relname)));
	parent = get_partition_parent(relid, true);
	LockRelationOid(parent, AccessExclusiveLock);
	check_no_default_partition(parent, relid);
	ObjectAddressSet(address, RelationRelationId, relid);
	capture_internal_begin("DETACH PARTITION", list_make1(&address));
	store_pending(relid, parent, pending);
	capture_internal_end();
	PG_RETURN_VOID();
}
