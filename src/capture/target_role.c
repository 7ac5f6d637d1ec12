/*-------------------------------------------------------------------------
 *
 * target_role.c
 *	  What commands on roles concern.
 *
 * A membership is part of the image of the role that is granted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_authid.h"
#include "utils/acl.h"

#include "capture/target.h"
#include "compat.h"

static void
add_role(Command *command, RoleSpec *role)
{
	if (role)
		target_add_root(command, AuthIdRelationId, get_rolespec_oid(role, true));
}

static void
add_roles(Command *command, List *roles)
{
	ListCell   *lc;

	foreach(lc, roles)
		add_role(command, lfirst(lc));
}

/*
 * The roles that it is a member of, or that others have through its grant.
 * Where it only gets another name, that is all that changes in their images.
 */
static void
add_granted_roles(Command *command, Oid role, bool renamed)
{
	Relation	rel = table_open(AuthMemRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_auth_members form = (Form_pg_auth_members) GETSTRUCT(tuple);
		ObjectAddress address;

		if (form->member != role && form->grantor != role)
			continue;
		ObjectAddressSet(address, AuthIdRelationId, form->roleid);
		if (renamed)
			command_add_referring(command, &address);
		else
			command_add_root(command, &address);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* CREATE ROLE ... IN ROLE makes it a member of others. */
static void
add_options(Command *command, List *options)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, "addroleto") == 0)
			add_roles(command, castNode(List, option->arg));
	}
}

/* Whose names stand in their images: the grants, that is. */
static void
add_with_grants(Command *command, const char *name, bool renamed)
{
	Oid			role = get_role_oid(name, true);

	if (!OidIsValid(role))
		return;
	target_add_root(command, AuthIdRelationId, role);
	add_granted_roles(command, role, renamed);
}

bool
is_role_command(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_CreateRoleStmt:
		case T_AlterRoleStmt:
		case T_DropRoleStmt:
		case T_GrantRoleStmt:
			return true;
		case T_AlterRoleSetStmt:
			return ((AlterRoleSetStmt *) stmt)->role != NULL;
		case T_RenameStmt:
			return ((RenameStmt *) stmt)->renameType == OBJECT_ROLE;
		case T_CommentStmt:
			return ((CommentStmt *) stmt)->objtype == OBJECT_ROLE;
		case T_SecLabelStmt:
			return ((SecLabelStmt *) stmt)->objtype == OBJECT_ROLE;
		default:
			return false;
	}
}

/* True if the command is one of these. */
bool
targets_role(Command *command, Node *stmt)
{
	ListCell   *lc;

	if (!is_role_command(stmt))
		return false;
	switch (nodeTag(stmt))
	{
		case T_CreateRoleStmt:
			add_options(command, ((CreateRoleStmt *) stmt)->options);
			break;
		case T_AlterRoleStmt:
			add_role(command, ((AlterRoleStmt *) stmt)->role);
			break;
		case T_AlterRoleSetStmt:
			add_role(command, ((AlterRoleSetStmt *) stmt)->role);
			break;
		case T_DropRoleStmt:
			foreach(lc, ((DropRoleStmt *) stmt)->roles)
			{
				RoleSpec   *role = lfirst_node(RoleSpec, lc);

				if (role->roletype == ROLESPEC_CSTRING)
					add_with_grants(command, role->rolename, false);
			}
			break;
		case T_GrantRoleStmt:
			foreach(lc, ((GrantRoleStmt *) stmt)->granted_roles)
				add_with_grants(command, lfirst_node(AccessPriv, lc)->priv_name, false);
			break;
		case T_RenameStmt:
			command->restates = true;
			add_with_grants(command, ((RenameStmt *) stmt)->subname, true);
			if (OidIsValid(get_role_oid(((RenameStmt *) stmt)->subname, true)))
				target_add_described_with_role(command, get_role_oid(((RenameStmt *) stmt)->subname, true));
			break;
		case T_SecLabelStmt:
			add_with_grants(command, strVal(((SecLabelStmt *) stmt)->object), false);
			break;
		default:
			add_with_grants(command, strVal(((CommentStmt *) stmt)->object), false);
			break;
	}
	return true;
}
