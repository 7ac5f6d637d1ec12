/*-------------------------------------------------------------------------
 *
 * target_name.c
 *	  Names in a parse tree, resolved and locked as the command itself will.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/dependency.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_operator.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "utils/lsyscache.h"

#include "capture/target.h"
#include "compat.h"

void
target_add_root(Command *command, Oid class_id, Oid object_id)
{
	ObjectAddress address;

	if (!OidIsValid(object_id))
		return;
	ObjectAddressSet(address, class_id, object_id);
	if (!address_is_temporary(&address))
		command_add_root(command, &address);
}

/* As core: nobody makes others wait for a table that is not theirs. */
static void
check_owns_before_locking(const RangeVar *relation, Oid relid, Oid oldrelid,
						  void *arg)
{
	if (OidIsValid(relid) && relid != oldrelid &&
		!object_ownercheck(RelationRelationId, relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER,
					   get_relkind_objtype(get_rel_relkind(relid)),
					   relation->relname);
}

/* A relation that the command will lock in that mode; owned if asked. */
Oid
target_resolve_relation(RangeVar *relation, LOCKMODE lockmode, bool owned)
{
	Oid			relid = RangeVarGetRelidExtended(relation, lockmode, RVR_MISSING_OK,
												 owned ? check_owns_before_locking : NULL,
												 NULL);

	waits_look();
	return relid;
}

void
target_add_relation(Command *command, RangeVar *relation, LOCKMODE lockmode,
			 bool owned)
{
	if (relation)
		target_add_root(command, RelationRelationId,
				 target_resolve_relation(relation, lockmode, owned));
}

/* The relation and everything that inherits from it, as ALTER TABLE recurses. */
void
target_add_tree(Command *command, Oid relid, LOCKMODE lockmode, bool recurse)
{
	ListCell   *lc;

	if (!OidIsValid(relid))
		return;
	if (!recurse)
	{
		target_add_root(command, RelationRelationId, relid);
		return;
	}
	foreach(lc, find_all_inheritors(relid, lockmode, NULL))
		target_add_root(command, RelationRelationId, lfirst_oid(lc));
}

/* A trigger of a partitioned table has copies on the partitions. */
void
target_add_with_partitions(Command *command, RangeVar *relation, LOCKMODE lockmode)
{
	Oid			relid = target_resolve_relation(relation, lockmode, false);

	target_add_tree(command, relid, lockmode,
			 get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE);
}

/* ---- before any lock ---- */

/* The relation that is named, or that the named part lives in. */
static Oid
find_relation_unlocked(ObjectType type, Node *object)
{
	List	   *names = NIL;

	if (IsA(object, RangeVar))
		return RangeVarGetRelid((RangeVar *) object, NoLock, true);
	if (IsA(object, List))
		names = list_copy((List *) object);
	if (type == OBJECT_COLUMN || type == OBJECT_TABCONSTRAINT ||
		type == OBJECT_TRIGGER || type == OBJECT_RULE || type == OBJECT_POLICY)
		names = list_truncate(names, list_length(names) - 1);
	if (names == NIL || list_length(names) > 3)
		return InvalidOid;
	return RangeVarGetRelid(makeRangeVarFromNameList(names), NoLock, true);
}

static Oid
find_type_unlocked(Node *object)
{
	TypeName   *name = IsA(object, List) ? makeTypeNameFromNameList((List *) object) :
	castNode(TypeName, object);
	Type		type = LookupTypeName(NULL, name, NULL, true);
	Oid			oid;

	if (type == NULL)
		return InvalidOid;
	oid = typeTypeId(type);
	ReleaseSysCache(type);
	return oid;
}

/*
 * What a name means just now; for what lives in a table, the table.  False if
 * it means nothing, or is of a class that strangers cannot lock anyhow.
 */
bool
target_find_unlocked(ObjectType type, Node *object, ObjectAddress *address)
{
	switch (type)
	{
		case OBJECT_TABLE:
		case OBJECT_VIEW:
		case OBJECT_MATVIEW:
		case OBJECT_SEQUENCE:
		case OBJECT_INDEX:
		case OBJECT_FOREIGN_TABLE:
		case OBJECT_COLUMN:
		case OBJECT_TABCONSTRAINT:
		case OBJECT_TRIGGER:
		case OBJECT_RULE:
		case OBJECT_POLICY:
			ObjectAddressSet(*address, RelationRelationId,
							 find_relation_unlocked(type, object));
			break;
		case OBJECT_FUNCTION:
		case OBJECT_PROCEDURE:
		case OBJECT_ROUTINE:
		case OBJECT_AGGREGATE:
			ObjectAddressSet(*address, ProcedureRelationId,
							 LookupFuncWithArgs(type, castNode(ObjectWithArgs, object), true));
			break;
		case OBJECT_TYPE:
		case OBJECT_DOMAIN:
			ObjectAddressSet(*address, TypeRelationId, find_type_unlocked(object));
			break;
		case OBJECT_SCHEMA:
			ObjectAddressSet(*address, NamespaceRelationId,
							 get_namespace_oid(strVal(object), true));
			break;
		default:
			return false;
	}
	return OidIsValid(address->objectId);
}

/*
 * As target_add_named(), for commands of the owner: a stranger, whom
 * PostgreSQL is about to refuse, neither takes nor waits for a lock here.
 */
void
target_add_owned(Command *command, ObjectType type, Node *object, LOCKMODE lockmode)
{
	ObjectAddress address;

	if (!target_find_unlocked(type, object, &address) ||
		object_ownercheck(address.classId, address.objectId, GetUserId()))
		target_add_named(command, type, object, lockmode);
}

/* Any object that SQL names in COMMENT ON, ALTER … OWNER TO and the like. */
void
target_add_named(Command *command, ObjectType type, Node *object, LOCKMODE lockmode)
{
	ObjectAddress address;
	ObjectAddress owner;
	Relation	relation = NULL;

	/* the grammar has a type's name as a bare list in some commands */
	if ((type == OBJECT_TYPE || type == OBJECT_DOMAIN) && IsA(object, List))
		object = (Node *) makeTypeNameFromNameList((List *) object);
	address = get_object_address(type, object, &relation, lockmode, true);
	if (relation)
		relation_close(relation, NoLock);
	if (!OidIsValid(address.objectId))
		return;
	if (object_owner_address(&address, &owner))
		target_add_root(command, owner.classId, owner.objectId);
	/* the row type of a table, say, which only a command that names it changes */
	else if (address.classId == TypeRelationId)
		target_add_root(command, TypeRelationId, address.objectId);
}

/* A type by its name; InvalidOid if there is none. */
Oid
target_add_type(Command *command, List *name)
{
	Type		type = LookupTypeName(NULL, makeTypeNameFromNameList(name),
									  NULL, true);
	Oid			oid;

	if (type == NULL)
		return InvalidOid;
	oid = typeTypeId(type);
	target_add_root(command, TypeRelationId, oid);
	ReleaseSysCache(type);
	return oid;
}

/* A key or an exclusion is described with what its index is made of. */
static void
add_constraint_of(Command *command, const ObjectAddress *index)
{
	Oid			constraint = index->classId == RelationRelationId ?
	get_index_constraint(index->objectId) : InvalidOid;
	ObjectAddress address;

	if (!OidIsValid(constraint))
		return;
	ObjectAddressSet(address, ConstraintRelationId, constraint);
	command_add_referring(command, &address);
}

/* Commutator and negator name each other, of which pg_depend does not know. */
static void
add_operators_of(Command *command, Oid operator)
{
	Oid			others[2] = {get_commutator(operator), get_negator(operator)};
	ObjectAddress address;

	for (size_t i = 0; i < lengthof(others); i++)
	{
		ObjectAddressSet(address, OperatorRelationId, others[i]);
		if (OidIsValid(others[i]) && others[i] != operator)
			command_add_referring(command, &address);
	}
}

/*
 * What is described with the help of the object's name: views over a table,
 * constraints that refer to it.  Their descriptions change with the name and
 * change back with it; they are looked at so that nobody takes that for drift.
 */
void
target_add_referring(Command *command, Oid class_id, Oid object_id)
{
	ListCell   *lc;

	foreach(lc, dependencies_on(class_id, object_id))
	{
		Form_pg_depend form = lfirst(lc);
		ObjectAddress address;
		ObjectAddress owner;

		ObjectAddressSet(address, form->classid, form->objid);
		if (!object_owner_address(&address, &owner) || address_is_temporary(&owner))
			continue;
		command_add_referring(command, &owner);
		add_constraint_of(command, &owner);
	}
	if (class_id == OperatorRelationId)
		add_operators_of(command, object_id);
	/* a type's array is called after it */
	if (class_id == TypeRelationId && OidIsValid(get_array_type(object_id)))
		target_add_referring(command, TypeRelationId, get_array_type(object_id));
}
