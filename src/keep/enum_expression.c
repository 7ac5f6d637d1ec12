/*-------------------------------------------------------------------------
 *
 * enum_expression.c
 *	  Stored expressions that contain an enum label as a constant.
 *
 * Whatever has such a constant depends on its type, so pg_depend knows where
 * to look; only the bounds of partitions are not there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_index.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "nodes/readfuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "keep/enum_use.h"
#include "keep/vault.h"

/* ---- in one expression ---- */

static bool
label_walker(Node *node, LabelSearch *search)
{
	if (node == NULL)
		return false;
	if (IsA(node, Const))
	{
		Const	   *constant = (Const *) node;

		return !constant->constisnull &&
			value_has_label(search, constant->consttype, constant->constvalue);
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, label_walker, search, 0);
	if (IsA(node, PartitionBoundSpec))
	{
		PartitionBoundSpec *bound = (PartitionBoundSpec *) node;

		return label_walker((Node *) bound->listdatums, search) ||
			label_walker((Node *) bound->lowerdatums, search) ||
			label_walker((Node *) bound->upperdatums, search);
	}
	if (IsA(node, PartitionRangeDatum))
		return label_walker(((PartitionRangeDatum *) node)->value, search);
	return expression_tree_walker(node, label_walker, search);
}

/* Most have no constant of these types at all: look before reading. */
static bool
expression_has_label(LabelSearch *search, const char *expression)
{
	ListCell   *lc;

	foreach(lc, search->types)
	{
		char	   *constant = psprintf(":consttype %u ", lfirst_oid(lc));

		if (strstr(expression, constant))
			return label_walker(stringToNode(expression), search);
	}
	return false;
}

/* All the expressions in a row of whatever catalog. */
static bool
row_has_expression(LabelSearch *search, Relation catalog, HeapTuple tuple)
{
	TupleDesc	desc = RelationGetDescr(catalog);

	for (int i = 0; i < desc->natts; i++)
	{
		Datum		value;
		bool		isnull;

		if (TupleDescAttr(desc, i)->atttypid != PG_NODE_TREEOID)
			continue;
		value = heap_getattr(tuple, i + 1, desc, &isnull);
		if (!isnull && expression_has_label(search, TextDatumGetCString(value)))
			return true;
	}
	return false;
}

/* ---- of the objects that depend on the types ---- */

static void
add_dependant(Form_pg_depend form, List **result)
{
	ObjectAddress *address;
	ListCell   *lc;

	foreach(lc, *result)
	{
		address = lfirst(lc);
		if (address->classId == form->classid && address->objectId == form->objid)
			return;
	}
	address = palloc(sizeof(ObjectAddress));
	ObjectAddressSet(*address, form->classid, form->objid);
	*result = lappend(*result, address);
}

/* The row of a catalog whose key column holds that OID. */
static bool
catalog_has_expression(LabelSearch *search, Oid catalogid, Oid indexid,
					   AttrNumber key, Oid value)
{
	Relation	catalog = table_open(catalogid, AccessShareLock);
	ScanKeyData skey;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&skey, key, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(value));
	scan = systable_beginscan(catalog, indexid, OidIsValid(indexid), NULL, 1, &skey);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = row_has_expression(search, catalog, tuple);
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return found;
}

/* An index and a partitioned table keep theirs beside pg_class. */
static bool
object_has_expression(LabelSearch *search, const ObjectAddress *address)
{
	if (address->classId == RelationRelationId)
		return catalog_has_expression(search, IndexRelationId, IndexRelidIndexId,
									  Anum_pg_index_indexrelid, address->objectId) ||
			catalog_has_expression(search, PartitionedRelationId, PartitionedRelidIndexId,
								   Anum_pg_partitioned_table_partrelid, address->objectId);
	return catalog_has_expression(search, address->classId,
								  is_objectclass_supported(address->classId) ?
								  get_object_oid_index(address->classId) : InvalidOid,
								  1, address->objectId);
}

static void
find_in_bounds(LabelSearch *search)
{
	Relation	catalog = table_open(RelationRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
		ObjectAddress address;

		if (!form->relispartition || !row_has_expression(search, catalog, tuple))
			continue;
		ObjectAddressSet(address, RelationRelationId, form->oid);
		search->uses = lappend(search->uses,
							   psprintf("bound of %s",
										getObjectDescription(&address, false)));
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
}

void
find_in_expressions(LabelSearch *search)
{
	List	   *dependants = NIL;
	ListCell   *lc;

	foreach(lc, search->types)
		each_type_dependant(lfirst_oid(lc), add_dependant, &dependants);
	foreach(lc, dependants)
	{
		ObjectAddress *address = lfirst(lc);

		if (object_has_expression(search, address))
			search->uses = lappend(search->uses,
								   getObjectDescription(address, false));
	}
	find_in_bounds(search);
}
