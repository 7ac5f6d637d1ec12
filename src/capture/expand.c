/*-------------------------------------------------------------------------
 *
 * expand.c
 *	  Which objects live in an object, and which object shows a sub-object.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_publication.h"
#include "catalog/pg_publication_namespace.h"
#include "catalog/pg_publication_rel.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "catalog/toasting.h"
#include "commands/sequence.h"
#include "rewrite/rewriteSupport.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "capture/capture.h"
#include "compat.h"

static List *
add_address(List *list, Oid class_id, Oid object_id)
{
	ObjectAddress *address = palloc(sizeof(ObjectAddress));

	ObjectAddressSet(*address, class_id, object_id);
	return lappend(list, address);
}

/*
 * Rows of a catalog whose column attnum, an OID with an index on it, is key.
 * oid_attnum is the catalog's own OID column.
 */
static List *
add_referring(List *list, Oid catalog, Oid index, AttrNumber attnum, Oid key,
			  AttrNumber oid_attnum, bool (*wanted) (HeapTuple tuple))
{
	Relation	rel = table_open(catalog, AccessShareLock);
	ScanKeyData scan_key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&scan_key, attnum, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(key));
	scan = systable_beginscan(rel, index, true, NULL, 1, &scan_key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		oid = heap_getattr(tuple, oid_attnum,
									   RelationGetDescr(rel), &isnull);

		if (wanted == NULL || wanted(tuple))
			list = add_address(list, catalog, DatumGetObjectId(oid));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return list;
}

static bool
is_user_trigger(HeapTuple tuple)
{
	return !((Form_pg_trigger) GETSTRUCT(tuple))->tgisinternal;
}

/* NOT NULL is part of the image of the table, or the domain, that it is on. */
static bool
has_own_image(HeapTuple tuple)
{
	return ((Form_pg_constraint) GETSTRUCT(tuple))->contype != CONSTRAINT_NOTNULL;
}

static bool
is_user_rule(HeapTuple tuple)
{
	return strcmp(NameStr(((Form_pg_rewrite) GETSTRUCT(tuple))->rulename),
				  ViewSelectRuleName) != 0;
}

static List *
relation_contents(Oid relid)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);
	List	   *list = NIL;
	ListCell   *lc;

	if (rel == NULL)
		return NIL;
	if (rel->rd_rel->relkind == RELKIND_INDEX ||
		rel->rd_rel->relkind == RELKIND_PARTITIONED_INDEX ||
		rel->rd_rel->relkind == RELKIND_SEQUENCE)
	{
		relation_close(rel, AccessShareLock);
		return NIL;
	}
	foreach(lc, getOwnedSequences(relid))
		list = add_address(list, RelationRelationId, lfirst_oid(lc));
	list = add_referring(list, ConstraintRelationId,
						 ConstraintRelidTypidNameIndexId,
						 Anum_pg_constraint_conrelid, relid,
						 Anum_pg_constraint_oid, has_own_image);
	if (rel->rd_rel->relhasindex)
	{
		foreach(lc, RelationGetIndexList(rel))
			list = add_address(list, RelationRelationId, lfirst_oid(lc));
	}
	if (rel->rd_rel->relhastriggers)
		list = add_referring(list, TriggerRelationId,
							 TriggerRelidNameIndexId,
							 Anum_pg_trigger_tgrelid, relid,
							 Anum_pg_trigger_oid, is_user_trigger);
	if (rel->rd_rel->relhasrules)
		list = add_referring(list, RewriteRelationId, RewriteRelRulenameIndexId,
							 Anum_pg_rewrite_ev_class, relid,
							 Anum_pg_rewrite_oid, is_user_rule);
	list = add_referring(list, PolicyRelationId, PolicyPolrelidPolnameIndexId,
						 Anum_pg_policy_polrelid, relid,
						 Anum_pg_policy_oid, NULL);
	foreach(lc, RelationGetStatExtList(rel))
		list = add_address(list, StatisticExtRelationId, lfirst_oid(lc));
	relation_close(rel, AccessShareLock);
	return list;
}

/*
 * What lives in an object and is described by an image of its own.  A table's
 * columns are part of the table's image; so are a view's and a type's.
 */
List *
object_contents(const ObjectAddress *address)
{
	if (address->classId == RelationRelationId)
		return relation_contents(address->objectId);
	if (address->classId == TypeRelationId &&
		get_typtype(address->objectId) == TYPTYPE_DOMAIN)
		return add_referring(NIL, ConstraintRelationId, ConstraintTypidIndexId,
							 Anum_pg_constraint_contypid, address->objectId,
							 Anum_pg_constraint_oid, has_own_image);
	return NIL;
}

/* ---- sub-objects ---- */

/* One OID column of the catalog row with that OID; InvalidOid if gone. */
static Oid
row_reference(Oid catalog, Oid oid_index, AttrNumber oid_attnum, Oid oid,
			  AttrNumber wanted)
{
	Relation	rel = table_open(catalog, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			result = InvalidOid;

	ScanKeyInit(&key, oid_attnum, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(oid));
	scan = systable_beginscan(rel, oid_index, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;

		result = DatumGetObjectId(heap_getattr(tuple, wanted,
											   RelationGetDescr(rel), &isnull));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

/* The relation that a part of one, or an index, stands in; else InvalidOid. */
Oid
relation_of_part(const ObjectAddress *address)
{
	static const struct
	{
		Oid			catalog;
		Oid			oid_index;
		AttrNumber	oid;
		AttrNumber	relation;
	}			parts[] = {
		{AttrDefaultRelationId, AttrDefaultOidIndexId, Anum_pg_attrdef_oid, Anum_pg_attrdef_adrelid},
		{ConstraintRelationId, ConstraintOidIndexId, Anum_pg_constraint_oid, Anum_pg_constraint_conrelid},
		{PolicyRelationId, PolicyOidIndexId, Anum_pg_policy_oid, Anum_pg_policy_polrelid},
		{RewriteRelationId, RewriteOidIndexId, Anum_pg_rewrite_oid, Anum_pg_rewrite_ev_class},
		{TriggerRelationId, TriggerOidIndexId, Anum_pg_trigger_oid, Anum_pg_trigger_tgrelid},
	};

	if (address->classId == RelationRelationId)
		return IndexGetRelation(address->objectId, true);
	for (size_t i = 0; i < lengthof(parts); i++)
	{
		if (parts[i].catalog == address->classId)
			return row_reference(parts[i].catalog, parts[i].oid_index, parts[i].oid,
								 address->objectId, parts[i].relation);
	}
	return InvalidOid;
}

/* The row type of a relation, an array type or a multirange is no object of its own. */
bool
type_is_dependent(Oid typid)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(typid));
	Form_pg_type form;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return true;
	form = (Form_pg_type) GETSTRUCT(tuple);
	result = (form->typtype == TYPTYPE_COMPOSITE &&
			  get_rel_relkind(form->typrelid) != RELKIND_COMPOSITE_TYPE) ||
		form->typtype == TYPTYPE_MULTIRANGE ||
		(OidIsValid(form->typelem) && form->typsubscript == F_ARRAY_SUBSCRIPT_HANDLER);
	ReleaseSysCache(tuple);
	return result;
}

static bool
relation_owner_address(const ObjectAddress *address, ObjectAddress *owner)
{
	char		relkind = get_rel_relkind(address->objectId);

	switch (relkind)
	{
		case '\0':
		case RELKIND_TOASTVALUE:
			return false;
		case RELKIND_COMPOSITE_TYPE:
			ObjectAddressSet(*owner, TypeRelationId,
							 get_rel_type_id(address->objectId));
			return true;
		case RELKIND_INDEX:
		case RELKIND_PARTITIONED_INDEX:
			if (get_rel_namespace(address->objectId) == PG_TOAST_NAMESPACE)
				return false;
			break;
		default:
			break;
	}
	ObjectAddressSet(*owner, RelationRelationId, address->objectId);
	return true;
}

/* Is there such a row, and does it satisfy the test? */
static bool
row_satisfies(Oid catalog, Oid oid_index, AttrNumber oid_attnum, Oid oid,
			  bool (*test) (HeapTuple tuple))
{
	Relation	rel = table_open(catalog, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		result;

	ScanKeyInit(&key, oid_attnum, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(oid));
	scan = systable_beginscan(rel, oid_index, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	result = HeapTupleIsValid(tuple) && test(tuple);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

/* A view's query is part of the view; other rules stand for themselves. */
static bool
rule_owner_address(const ObjectAddress *address, ObjectAddress *owner)
{
	Oid			relid = row_reference(RewriteRelationId, RewriteOidIndexId,
									  Anum_pg_rewrite_oid, address->objectId,
									  Anum_pg_rewrite_ev_class);

	if (!OidIsValid(relid))
		return false;
	if (row_satisfies(RewriteRelationId, RewriteOidIndexId,
					  Anum_pg_rewrite_oid, address->objectId, is_user_rule))
		ObjectAddressSet(*owner, RewriteRelationId, address->objectId);
	else
		ObjectAddressSet(*owner, RelationRelationId, relid);
	return true;
}

static bool
constraint_owner_address(const ObjectAddress *address, ObjectAddress *owner)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(address->objectId));
	Form_pg_constraint form;

	ObjectAddressSet(*owner, ConstraintRelationId, address->objectId);
	if (!HeapTupleIsValid(tuple))
		return true;
	form = (Form_pg_constraint) GETSTRUCT(tuple);
	if (!has_own_image(tuple))
	{
		if (OidIsValid(form->conrelid))
			ObjectAddressSet(*owner, RelationRelationId, form->conrelid);
		else
			ObjectAddressSet(*owner, TypeRelationId, form->contypid);
	}
	ReleaseSysCache(tuple);
	return true;
}

bool
object_owner_address(const ObjectAddress *address, ObjectAddress *owner)
{
	Oid			oid = InvalidOid;
	Oid			catalog = RelationRelationId;

	switch (address->classId)
	{
		case RelationRelationId:
			return relation_owner_address(address, owner);
		case TypeRelationId:
			if (type_is_dependent(address->objectId))
				return false;
			break;
		case AttrDefaultRelationId:
			oid = row_reference(AttrDefaultRelationId, AttrDefaultOidIndexId,
								Anum_pg_attrdef_oid, address->objectId,
								Anum_pg_attrdef_adrelid);
			ObjectAddressSet(*owner, catalog, oid);
			return OidIsValid(oid);
		case ConstraintRelationId:
			return constraint_owner_address(address, owner);
		case RewriteRelationId:
			return rule_owner_address(address, owner);
		case TriggerRelationId:
			if (!row_satisfies(TriggerRelationId, TriggerOidIndexId,
							   Anum_pg_trigger_oid, address->objectId,
							   is_user_trigger))
				return false;
			break;
		case PublicationRelRelationId:
			oid = row_reference(PublicationRelRelationId,
								PublicationRelObjectIndexId,
								Anum_pg_publication_rel_oid, address->objectId,
								Anum_pg_publication_rel_prpubid);
			ObjectAddressSet(*owner, PublicationRelationId, oid);
			return OidIsValid(oid);
		case PublicationNamespaceRelationId:
			oid = row_reference(PublicationNamespaceRelationId,
								PublicationNamespaceObjectIndexId,
								Anum_pg_publication_namespace_oid,
								address->objectId,
								Anum_pg_publication_namespace_pnpubid);
			ObjectAddressSet(*owner, PublicationRelationId, oid);
			return OidIsValid(oid);
		case AccessMethodOperatorRelationId:
		case AccessMethodProcedureRelationId:
			/* members of an operator family are part of the family's image */
			oid = row_reference(address->classId,
								address->classId == AccessMethodOperatorRelationId ?
								AccessMethodOperatorOidIndexId :
								AccessMethodProcedureOidIndexId,
								address->classId == AccessMethodOperatorRelationId ?
								Anum_pg_amop_oid : Anum_pg_amproc_oid,
								address->objectId,
								address->classId == AccessMethodOperatorRelationId ?
								Anum_pg_amop_amopfamily :
								Anum_pg_amproc_amprocfamily);
			ObjectAddressSet(*owner, OperatorFamilyRelationId, oid);
			return OidIsValid(oid);
		default:
			break;
	}
	ObjectAddressSet(*owner, address->classId, address->objectId);
	return true;
}

/* ---- where an object is ---- */

/* The namespace of the object, or of the relation that it lives in. */
Oid
address_namespace(const ObjectAddress *address)
{
	ObjectAddress at = *address;

	at.objectSubId = 0;
	switch (at.classId)
	{
		case RelationRelationId:
			return get_rel_namespace(at.objectId);
		case ConstraintRelationId:
			{
				HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(at.objectId));
				Form_pg_constraint form;
				Oid			relid;
				Oid			typid;

				if (!HeapTupleIsValid(tuple))
					return InvalidOid;
				form = (Form_pg_constraint) GETSTRUCT(tuple);
				relid = form->conrelid;
				typid = form->contypid;
				ReleaseSysCache(tuple);
				if (OidIsValid(relid))
					return get_rel_namespace(relid);
				ObjectAddressSet(at, TypeRelationId, typid);
				return get_object_namespace(&at);
			}
		case TriggerRelationId:
			return get_rel_namespace(row_reference(TriggerRelationId, TriggerOidIndexId,
												   Anum_pg_trigger_oid, at.objectId,
												   Anum_pg_trigger_tgrelid));
		case PolicyRelationId:
			return get_rel_namespace(row_reference(PolicyRelationId, PolicyOidIndexId,
												   Anum_pg_policy_oid, at.objectId,
												   Anum_pg_policy_polrelid));
		case RewriteRelationId:
			return get_rel_namespace(row_reference(RewriteRelationId, RewriteOidIndexId,
												   Anum_pg_rewrite_oid, at.objectId,
												   Anum_pg_rewrite_ev_class));
		default:
			if (!is_objectclass_supported(at.classId))
				return InvalidOid;
			if (get_object_attnum_namespace(at.classId) == InvalidAttrNumber)
				return at.classId == NamespaceRelationId ? at.objectId : InvalidOid;
			if (!SearchSysCacheExists1(get_object_catcache_oid(at.classId),
									   ObjectIdGetDatum(at.objectId)))
				return InvalidOid;
			return get_object_namespace(&at);
	}
}

bool
address_in_vault(const ObjectAddress *address)
{
	Oid			namespace = address_namespace(address);

	return OidIsValid(namespace) && vault_is_schema(namespace);
}

static bool
is_in_temporary_schema(const ObjectAddress *address)
{
	Oid			namespace = address_namespace(address);

	return OidIsValid(namespace) && isAnyTempNamespace(namespace);
}

static bool
needs_temporary_object(const ObjectAddress *address)
{
	ListCell   *lc;

	foreach(lc, address_needs(address))
	{
		const ObjectAddress *needed = lfirst(lc);

		if ((needed->classId == RelationRelationId || needed->classId == TypeRelationId) &&
			is_in_temporary_schema(needed))
			return true;
	}
	return false;
}

/*
 * A function of a temporary table's row type, a domain over it, and the like,
 * stand in an ordinary schema, and go with the table at the end of the session.
 */
bool
address_is_temporary(const ObjectAddress *address)
{
	if (is_in_temporary_schema(address))
		return true;
	switch (address->classId)
	{
		case CastRelationId:
		case OperatorRelationId:
		case ProcedureRelationId:
		case TypeRelationId:
			return needs_temporary_object(address);
		default:
			return false;
	}
}
