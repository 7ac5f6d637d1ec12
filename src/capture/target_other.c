/*-------------------------------------------------------------------------
 *
 * target_other.c
 *	  What commands concern that are not about relations, types, functions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_event_trigger.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_language.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_subscription.h"
#include "catalog/pg_transform.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "commands/event_trigger.h"
#include "commands/proclang.h"
#include "commands/subscriptioncmds.h"
#include "foreign/foreign.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "parser/parse_oper.h"
#include "parser/parse_type.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "capture/target.h"
#include "compat.h"

/* ---- operators ---- */

/* Those that name the operator, and are untied when it goes. */
void
target_add_linked_operators(Command *command, Oid operator)
{
	target_add_root(command, OperatorRelationId, get_commutator(operator));
	target_add_root(command, OperatorRelationId, get_negator(operator));
}

static void
add_operator(Command *command, DefElem *option, Oid left, Oid right)
{
	target_add_root(command, OperatorRelationId,
					LookupOperName(NULL, defGetQualifiedName(option), left,
								   right, true, -1));
}

/* A type that is not there cannot be the argument of an operator that is. */
static Oid
option_type(DefElem *option)
{
	return LookupTypeNameOid(NULL, defGetTypeName(option), true);
}

/*
 * CREATE OPERATOR makes a shell whole, and ties the operators to itself that
 * it names.
 */
static void
targets_create_operator(Command *command, DefineStmt *stmt)
{
	Oid			left = InvalidOid;
	Oid			right = InvalidOid;
	ListCell   *lc;

	foreach(lc, stmt->definition)
	{
		DefElem    *option = lfirst_node(DefElem, lc);

		if (option->arg == NULL)
			continue;
		if (strcmp(option->defname, "leftarg") == 0)
			left = option_type(option);
		else if (strcmp(option->defname, "rightarg") == 0)
			right = option_type(option);
	}
	target_add_root(command, OperatorRelationId,
					LookupOperName(NULL, stmt->defnames, left, right, true, -1));
	foreach(lc, stmt->definition)
	{
		DefElem    *option = lfirst_node(DefElem, lc);

		if (option->arg == NULL)
			continue;
		if (strcmp(option->defname, "commutator") == 0)
			add_operator(command, option, right, left);
		else if (strcmp(option->defname, "negator") == 0)
			add_operator(command, option, left, right);
	}
}

/* The family that gets the class's members, if it is there already. */
static void
targets_create_opclass(Command *command, CreateOpClassStmt *stmt)
{
	List	   *name = stmt->opfamilyname ? stmt->opfamilyname : stmt->opclassname;

	target_add_named(command, OBJECT_OPFAMILY,
					 (Node *) lcons(makeString(stmt->amname), list_copy(name)),
					 AccessShareLock);
}

/* ---- aggregates ---- */

/* The one that CREATE OR REPLACE would replace. */
static void
targets_create_aggregate(Command *command, DefineStmt *stmt)
{
	ObjectWithArgs *name = makeNode(ObjectWithArgs);
	ListCell   *lc;

	if (!stmt->replace || stmt->oldstyle)
		return;
	name->objname = stmt->defnames;
	foreach(lc, linitial_node(List, stmt->args))
	{
		FunctionParameter *parameter = lfirst_node(FunctionParameter, lc);

		if (!OidIsValid(LookupTypeNameOid(NULL, parameter->argType, true)))
			return;
		name->objargs = lappend(name->objargs, parameter->argType);
	}
	target_add_root(command, ProcedureRelationId,
					LookupFuncWithArgs(OBJECT_AGGREGATE, name, true));
}

/* ---- types ---- */

/* The shell that CREATE TYPE fills. */
static void
target_shell(Command *command, List *name)
{
	Oid			oid = LookupTypeNameOid(NULL, makeTypeNameFromNameList(name), true);

	if (OidIsValid(oid) && !get_typisdefined(oid))
		target_add_root(command, TypeRelationId, oid);
}

static bool
targets_define(Command *command, DefineStmt *stmt)
{
	if (stmt->kind == OBJECT_OPERATOR)
		targets_create_operator(command, stmt);
	else if (stmt->kind == OBJECT_TYPE)
		target_shell(command, stmt->defnames);
	else if (stmt->kind == OBJECT_AGGREGATE)
		targets_create_aggregate(command, stmt);
	return true;
}

/* ---- the rest ---- */

static void
add_user_mapping(Command *command, RoleSpec *user, const char *server_name)
{
	ForeignServer *server = GetForeignServerByName(server_name, true);
	Oid			role = user->roletype == ROLESPEC_PUBLIC ? InvalidOid :
		get_rolespec_oid(user, true);

	if (server == NULL ||
		(user->roletype != ROLESPEC_PUBLIC && !OidIsValid(role)))
		return;
	target_add_root(command, UserMappingRelationId,
					GetSysCacheOid2(USERMAPPINGUSERSERVER,
									Anum_pg_user_mapping_oid,
									ObjectIdGetDatum(role),
									ObjectIdGetDatum(server->serverid)));
}

static void
targets_create_transform(Command *command, CreateTransformStmt *stmt)
{
	Oid			type = LookupTypeNameOid(NULL, stmt->type_name, true);
	Oid			language = get_language_oid(stmt->lang, true);

	if (stmt->replace && OidIsValid(type) && OidIsValid(language))
		target_add_root(command, TransformRelationId,
						get_transform_oid(type, language, true));
}

static bool
targets_foreign(Command *command, Node *parsetree)
{
	switch (nodeTag(parsetree))
	{
		case T_AlterFdwStmt:
			target_add_root(command, ForeignDataWrapperRelationId,
							get_foreign_data_wrapper_oid(((AlterFdwStmt *) parsetree)->fdwname, true));
			return true;
		case T_AlterForeignServerStmt:
			target_add_root(command, ForeignServerRelationId,
							get_foreign_server_oid(((AlterForeignServerStmt *) parsetree)->servername, true));
			return true;
		case T_AlterUserMappingStmt:
			add_user_mapping(command, ((AlterUserMappingStmt *) parsetree)->user,
							 ((AlterUserMappingStmt *) parsetree)->servername);
			return true;
		case T_DropUserMappingStmt:
			add_user_mapping(command, ((DropUserMappingStmt *) parsetree)->user,
							 ((DropUserMappingStmt *) parsetree)->servername);
			return true;
		default:
			return false;
	}
}

/* True if the command is one of those known here. */
bool
targets_other(Command *command, Node *parsetree)
{
	switch (nodeTag(parsetree))
	{
		case T_DefineStmt:
			return targets_define(command, (DefineStmt *) parsetree);
		case T_CreateRangeStmt:
			target_shell(command, ((CreateRangeStmt *) parsetree)->typeName);
			return true;
		case T_AlterOperatorStmt:
			target_add_named(command, OBJECT_OPERATOR,
							 (Node *) ((AlterOperatorStmt *) parsetree)->opername,
							 AccessShareLock);
			return true;
		case T_AlterOpFamilyStmt:
			{
				AlterOpFamilyStmt *stmt = (AlterOpFamilyStmt *) parsetree;

				target_add_named(command, OBJECT_OPFAMILY,
								 (Node *) lcons(makeString(stmt->amname),
												list_copy(stmt->opfamilyname)),
								 AccessShareLock);
				return true;
			}
		case T_CreateOpClassStmt:
			targets_create_opclass(command, (CreateOpClassStmt *) parsetree);
			return true;
		case T_AlterTSDictionaryStmt:
			target_add_named(command, OBJECT_TSDICTIONARY,
							 (Node *) ((AlterTSDictionaryStmt *) parsetree)->dictname,
							 AccessShareLock);
			return true;
		case T_AlterTSConfigurationStmt:
			target_add_named(command, OBJECT_TSCONFIGURATION,
							 (Node *) ((AlterTSConfigurationStmt *) parsetree)->cfgname,
							 AccessShareLock);
			return true;
		case T_CreatePLangStmt:
			if (((CreatePLangStmt *) parsetree)->replace)
				target_add_root(command, LanguageRelationId,
								get_language_oid(((CreatePLangStmt *) parsetree)->plname, true));
			return true;
		case T_CreateTransformStmt:
			targets_create_transform(command, (CreateTransformStmt *) parsetree);
			return true;
		case T_AlterEventTrigStmt:
			target_add_root(command, EventTriggerRelationId,
							get_event_trigger_oid(((AlterEventTrigStmt *) parsetree)->trigname, true));
			return true;
		case T_ClusterStmt:
			target_cluster(command, (ClusterStmt *) parsetree);
			return true;
		case T_ReassignOwnedStmt:
			target_reassign_owned(command, (ReassignOwnedStmt *) parsetree);
			return true;
		case T_DropSubscriptionStmt:
			target_add_root(command, SubscriptionRelationId,
							get_subscription_oid(((DropSubscriptionStmt *) parsetree)->subname, true));
			return true;
		case T_AlterSubscriptionStmt:
			target_add_root(command, SubscriptionRelationId,
							get_subscription_oid(((AlterSubscriptionStmt *) parsetree)->subname, true));
			return true;
		default:
			return targets_foreign(command, parsetree);
	}
}
