/*-------------------------------------------------------------------------
 *
 * discard.c
 *	  Taking kept data out of the vault for good.
 *
 * What is kept for one migration may be needed by what is kept for another: a
 * table in the vault has a column of a type that was dropped later.  Nothing
 * is discarded that something else in the vault still needs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/dependency.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "history/history.h"
#include "keep/vault.h"
#include "point.h"

/* ---- where it is ---- */

/* A composite type goes with the relation that it is made of. */
static void
type_address(Oid typid, ObjectAddress *address)
{
	Oid			relid = get_typ_typrelid(typid);

	if (OidIsValid(relid) && get_rel_relkind(relid) != RELKIND_COMPOSITE_TYPE)
		ObjectAddressSet(*address, RelationRelationId, relid);
	else
		ObjectAddressSet(*address, TypeRelationId, typid);
}

/* A type that is frozen, or what somebody removed, is not there. */
static bool
find_kept(const Kept *kept, ObjectAddress *address)
{
	Oid			namespace = get_namespace_oid(kept->vault_schema, true);
	Oid			oid;

	if (!OidIsValid(namespace) || !vault_is_schema(namespace))
		return false;
	if (strcmp(kept->kind, "type") == 0)
	{
		oid = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
							  CStringGetDatum(kept->vault_name),
							  ObjectIdGetDatum(namespace));
		if (OidIsValid(oid))
			type_address(oid, address);
	}
	else if (strcmp(kept->kind, "collation") == 0)
	{
		oid = get_collation_oid(list_make2(makeString(kept->vault_schema),
										   makeString(kept->vault_name)), true);
		ObjectAddressSet(*address, CollationRelationId, oid);
	}
	else if (strcmp(kept->kind, "support") == 0)
		return support_find(kept, address);
	else
	{
		oid = get_relname_relid(kept->vault_name, namespace);
		ObjectAddressSet(*address, RelationRelationId, oid);
	}
	return OidIsValid(oid);
}

bool
vault_holds(const Kept *kept)
{
	ObjectAddress address;

	return kept->vault_schema && kept->vault_name && find_kept(kept, &address);
}

/* ---- what needs it ---- */

static void
refuse_needed(const Kept *kept, const Kept *by, const char *how)
{
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("%s %s, which migration %lld keeps, is still needed",
					kept->object_type, kept->identity, (long long) kept->migration),
			 errdetail("%s %s, which migration %lld keeps, %s.",
					   by->object_type, by->identity, (long long) by->migration, how),
			 errhint("SELECT safemig_prune(%lld); first.", (long long) by->migration)));
}

static bool
goes_too(List *all, int64 id)
{
	ListCell   *lc;

	foreach(lc, all)
	{
		if (((Kept *) lfirst(lc))->id == id)
			return true;
	}
	return false;
}

/* What is kept in a relation of the vault; its partitions go with it. */
static Kept *
kept_in(Oid relid)
{
	const char *kinds[] = {"relation", "type"};
	Kept	   *kept = NULL;

	if (!vault_is_schema(get_rel_namespace(relid)))
		return NULL;
	for (size_t i = 0; i < lengthof(kinds) && kept == NULL; i++)
		kept = history_kept_in_vault(kinds[i],
									 get_namespace_name(get_rel_namespace(relid)),
									 get_rel_name(relid));
	return kept;
}

static void
check_columns(const Kept *kept, Oid typid, List *all)
{
	List	   *containers = type_containers(list_make1_oid(typid));
	List	   *columns = type_columns(containers);
	ListCell   *lc;

	foreach(lc, columns)
	{
		ObjectAddress *column = lfirst(lc);
		Kept	   *other = kept_in(column->objectId);

		if (other && !goes_too(all, other->id))
			refuse_needed(kept, other, "has values of it");
	}
	foreach(lc, containers)
	{
		Kept	   *other = kept_of_type(lfirst_oid(lc));

		if (other && !goes_too(all, other->id))
			refuse_needed(kept, other, "has values of it");
	}
	foreach(lc, type_tables(typid))
	{
		Kept	   *other = kept_in(lfirst_oid(lc));

		if (other && !goes_too(all, other->id))
			refuse_needed(kept, other, "has values of it");
	}
}

/* A frozen table notes in its details what it needs to be thawed. */
static void
check_frozen(const Kept *kept, List *all)
{
	Oid			type = TEXTOID;
	Datum		arg = CStringGetTextDatum(psprintf(INT64_FORMAT, kept->id));
	List	   *frozen = history_kept_where("k.state OPERATOR(pg_catalog.=) 'kept' AND EXISTS (SELECT FROM"
											" pg_catalog.generate_series(1, pg_catalog.cardinality(k.details) OPERATOR(pg_catalog.-) 1, 2) i"
											" WHERE k.details[i] OPERATOR(pg_catalog.~) '^frozen[0-9]+[.]kept$'"
											" AND k.details[i OPERATOR(pg_catalog.+) 1] OPERATOR(pg_catalog.=) $1)",
											1, &type, &arg, NULL);
	ListCell   *lc;

	foreach(lc, frozen)
	{
		if (!goes_too(all, ((Kept *) lfirst(lc))->id))
			refuse_needed(kept, lfirst(lc), "has values of it");
	}
}

/* What a partition key needs; the members of an operator class say nothing here. */
static void
check_support(const Kept *kept, const ObjectAddress *address, List *all)
{
	ListCell   *lc;

	foreach(lc, dependencies_on(address->classId, address->objectId))
	{
		Form_pg_depend form = lfirst(lc);
		Kept	   *other = form->classid == RelationRelationId ?
		kept_in(form->objid) : NULL;

		if (other && !goes_too(all, other->id))
			refuse_needed(kept, other, "is partitioned by it");
	}
}

static void
check_not_needed(const Kept *kept, const ObjectAddress *address, List *all)
{
	Oid			rowtype;

	if (is_support(address->classId))
		check_support(kept, address, all);
	else if (address->classId == TypeRelationId)
		check_columns(kept, address->objectId, all);
	else if (address->classId == RelationRelationId)
	{
		rowtype = get_rel_type_id(address->objectId);
		if (OidIsValid(rowtype))
			check_columns(kept, rowtype, all);
	}
}

/* ---- and away with it ---- */

/* Also those that only statistics objects of a table were in. */
static void
drop_empty_schemas(List *all)
{
	List	   *schemas = NIL;
	ListCell   *lc;

	foreach(lc, all)
		schemas = list_concat_unique_oid(schemas, vault_schemas_of(((Kept *) lfirst(lc))->migration));
	foreach(lc, schemas)
		vault_drop_if_empty(lfirst_oid(lc));
}

/*
 * Discards what these rows of kept_log hold, all or, with an error, nothing;
 * the caller marks the rows.  Takes ACCESS EXCLUSIVE on relations of the vault
 * alone, which nobody else may read.
 */
void
vault_discard(List *all)
{
	ObjectAddresses *objects = new_object_addresses();
	ListCell   *lc;

	foreach(lc, all)
	{
		Kept	   *kept = lfirst(lc);
		ObjectAddress address;

		check_frozen(kept, all);
		if (!find_kept(kept, &address))
			continue;
		check_not_needed(kept, &address, all);
		if (address.classId == RelationRelationId)
			LockRelationOid(address.objectId, AccessExclusiveLock);
		add_exact_object_address(&address, objects);
	}
	SAFEMIG_POINT("prune.checked");
	performMultipleDeletions(objects, DROP_RESTRICT,
							 PERFORM_DELETION_INTERNAL | PERFORM_DELETION_QUIETLY);
	free_object_addresses(objects);
	CommandCounterIncrement();
	SAFEMIG_POINT("prune.deleted");
	drop_empty_schemas(all);
}
