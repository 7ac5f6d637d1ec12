/*-------------------------------------------------------------------------
 *
 * target_grant.c
 *	  What GRANT, ALTER DEFAULT PRIVILEGES and DROP OWNED concern.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_shdepend.h"
#include "catalog/pg_subscription.h"
#include "catalog/pg_tablespace.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "utils/fmgroids.h"

#include "capture/target.h"
#include "compat.h"

/* Every object of the wanted kind in a schema, as GRANT … ON ALL … means it. */
static void
add_all_in_schema(Command *command, ObjectType type, Oid namespace)
{
	bool		routines = type == OBJECT_FUNCTION || type == OBJECT_PROCEDURE ||
	type == OBJECT_ROUTINE;
	Oid			catalog = routines ? ProcedureRelationId : RelationRelationId;
	AttrNumber	namespace_attnum = routines ? Anum_pg_proc_pronamespace :
	Anum_pg_class_relnamespace;
	Relation	rel = table_open(catalog, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, namespace_attnum, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(namespace));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (routines)
			target_add_root(command, catalog, ((Form_pg_proc) GETSTRUCT(tuple))->oid);
		else
		{
			Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
			bool		wanted = type == OBJECT_SEQUENCE ?
			form->relkind == RELKIND_SEQUENCE :
			strchr("rvmfp", form->relkind) != NULL;

			if (wanted)
				target_add_root(command, catalog, form->oid);
		}
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/*
 * Could the caller grant or revoke anything there at all?  PostgreSQL finds
 * that out without a lock.  Those who can get one here: a description that
 * somebody else changes meanwhile would be taken for what GRANT did.
 */
static bool
may_grant(ObjectType type, Node *object)
{
	ObjectAddress address;
	Oid			user = GetUserId();

	if (!target_find_unlocked(type, object, &address))
		return true;
	switch (address.classId)
	{
		case RelationRelationId:
			return pg_class_aclcheck(address.objectId, user,
									 ACL_GRANT_OPTION_FOR(ACL_ALL_RIGHTS_RELATION |
														  ACL_ALL_RIGHTS_SEQUENCE)) == ACLCHECK_OK ||
				pg_attribute_aclcheck_all(address.objectId, user,
										  ACL_GRANT_OPTION_FOR(ACL_ALL_RIGHTS_COLUMN),
										  ACLMASK_ANY) == ACLCHECK_OK;
		case ProcedureRelationId:
			return object_aclcheck(ProcedureRelationId, address.objectId, user,
								   ACL_GRANT_OPTION_FOR(ACL_EXECUTE)) == ACLCHECK_OK;
		case TypeRelationId:
			return object_aclcheck(TypeRelationId, address.objectId, user,
								   ACL_GRANT_OPTION_FOR(ACL_USAGE)) == ACLCHECK_OK;
		case NamespaceRelationId:
			return object_aclcheck(NamespaceRelationId, address.objectId, user,
								   ACL_GRANT_OPTION_FOR(ACL_ALL_RIGHTS_SCHEMA)) == ACLCHECK_OK;
		default:
			return true;
	}
}

void
target_grant(Command *command, GrantStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->objects)
	{
		Node	   *object = lfirst(lc);

		if (stmt->targtype == ACL_TARGET_ALL_IN_SCHEMA)
		{
			Oid			namespace = get_namespace_oid(strVal(object), true);

			if (OidIsValid(namespace))
				add_all_in_schema(command, stmt->objtype, namespace);
		}
		else if (!may_grant(stmt->objtype, object))
			continue;
		else if (IsA(object, RangeVar))
			target_add_relation(command, (RangeVar *) object, AccessShareLock, false);
		else
			target_add_named(command, stmt->objtype, object, AccessShareLock);
	}
}

/* There are few of these: all of them are looked at. */
void
target_default_privileges(Command *command)
{
	Relation	rel = table_open(DefaultAclRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		target_add_root(command, DefaultAclRelationId,
				 ((Form_pg_default_acl) GETSTRUCT(tuple))->oid);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* What of the cluster's REASSIGN OWNED and DROP OWNED change. */
static bool
is_of_cluster(const FormData_pg_shdepend *form)
{
	return form->dbid == InvalidOid &&
		(form->classid == DatabaseRelationId || form->classid == TableSpaceRelationId ||
		 form->classid == SubscriptionRelationId);
}

/* An object, and what is described with its owner's name. */
static void
add_described_with(Command *command, const ObjectAddress *address)
{
	ObjectAddress owner;
	ListCell   *lc;

	if (!object_owner_address(address, &owner) || address_is_temporary(&owner))
		return;
	command_add_referring(command, &owner);
	foreach(lc, object_contents(&owner))
		command_add_referring(command, lfirst(lc));
}

/*
 * What in this database, or of the cluster's, refers to the role in one of these
 * ways; described says that it only changes with the role's name.
 */
static void
add_tied_to(Command *command, Oid role, const SharedDependencyType *types, int n,
			bool described)
{
	Relation	rel = table_open(SharedDependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_shdepend_refclassid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(AuthIdRelationId));
	ScanKeyInit(&key[1], Anum_pg_shdepend_refobjid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(role));
	scan = systable_beginscan(rel, SharedDependReferenceIndexId, true,
							  NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_shdepend form = (Form_pg_shdepend) GETSTRUCT(tuple);

		if (form->dbid != MyDatabaseId && !is_of_cluster(form))
			continue;
		for (int i = 0; i < n; i++)
		{
			ObjectAddress address;

			ObjectAddressSet(address, form->classid, form->objid);
			if (form->deptype != (char) types[i])
				continue;
			if (described)
				add_described_with(command, &address);
			else
				target_add_root(command, form->classid, form->objid);
		}
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/*
 * DROP OWNED takes the role out of privileges and policies; those objects
 * stay, changed.  What it drops is found by the rehearsal.
 */
void
target_add_granted_to(Command *command, Oid role)
{
	static const SharedDependencyType types[] = {
		SHARED_DEPENDENCY_ACL, SHARED_DEPENDENCY_POLICY
	};

	add_tied_to(command, role, types, lengthof(types), false);
}

/* Owners, privileges and policies are described by names of roles. */
void
target_add_described_with_role(Command *command, Oid role)
{
	static const SharedDependencyType types[] = {
		SHARED_DEPENDENCY_OWNER, SHARED_DEPENDENCY_ACL, SHARED_DEPENDENCY_POLICY
	};

	add_tied_to(command, role, types, lengthof(types), true);
}

void
target_reassign_owned(Command *command, ReassignOwnedStmt *stmt)
{
	static const SharedDependencyType types[] = {SHARED_DEPENDENCY_OWNER};
	ListCell   *lc;

	foreach(lc, stmt->roles)
		add_tied_to(command, get_rolespec_oid(lfirst(lc), false), types,
					lengthof(types), false);
	command->restates = true;
}
