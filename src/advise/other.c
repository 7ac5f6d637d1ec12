/*-------------------------------------------------------------------------
 *
 * other.c
 *	  Everything that is neither ALTER TABLE nor made nor dropped:
 *	  rights, triggers, rules, policies, views, functions, enums, rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "advise/advise.h"
#include "compat.h"

/* ---- rights ---- */

static void
assess_grant(Assessment *a, GrantStmt *stmt)
{
	const char *to = NULL;
	ListCell   *lc;
	Finding    *finding;

	foreach(lc, stmt->grantees)
	{
		RoleSpec   *role = lfirst_node(RoleSpec, lc);

		if (role->roletype == ROLESPEC_PUBLIC)
			to = "PUBLIC";
	}
	if (stmt->targtype == ACL_TARGET_OBJECT &&
		(stmt->objtype == OBJECT_TABLE || stmt->objtype == OBJECT_SEQUENCE))
	{
		foreach(lc, stmt->objects)
		{
			finding = fire(a, stmt->is_grant ? RULE_GRANT : RULE_REVOKE,
						   target_of(a, lfirst_node(RangeVar, lc)));
			if (stmt->is_grant && to == NULL)
				finding->why = "Who may more.";
		}
		return;
	}
	finding = fire_named(a, stmt->is_grant ? RULE_GRANT : RULE_REVOKE, "privileges");
	if (stmt->is_grant && to == NULL)
		finding->why = "Who may more.";
}

static void
assess_owner(Assessment *a, AlterOwnerStmt *stmt)
{
	const char *type = "object";

	switch (stmt->objectType)
	{
		case OBJECT_FUNCTION:
		case OBJECT_PROCEDURE:
			(void) fire_named(a, RULE_OWNER,
							  psprintf("function %s", joined_name(castNode(ObjectWithArgs, stmt->object)->objname)));
			return;
		case OBJECT_SCHEMA:
			type = "schema";
			break;
		case OBJECT_DATABASE:
			type = "database";
			break;
		default:
			break;
	}
	if (IsA(stmt->object, String))
		(void) fire_named(a, RULE_OWNER, psprintf("%s %s", type, quote_identifier(strVal(stmt->object))));
	else if (IsA(stmt->object, List))
		(void) fire_named(a, RULE_OWNER, psprintf("%s %s", type, joined_name((List *) stmt->object)));
}

/* ---- triggers, rules, policies ---- */

static void
assess_trigger(Assessment *a, CreateTrigStmt *stmt)
{
	Target	   *target = target_of(a, stmt->relation);

	takes(a, target, ShareRowExclusiveLock);
	if (!target->made)
		takes_relations(a, facts_below(target->relid), ShareRowExclusiveLock);
	if (stmt->constrrel)
		takes(a, target_of(a, stmt->constrrel), AccessShareLock);
	(void) fire_part(a, RULE_CREATE_TRIGGER, target, "trigger", stmt->trigname);
}

static void
assess_rule(Assessment *a, RuleStmt *stmt)
{
	Target	   *target = target_of(a, stmt->relation);

	takes(a, target, AccessExclusiveLock);
	(void) fire_part(a, RULE_CREATE_RULE, target, "rule", stmt->rulename);
}

static void
assess_policy(Assessment *a, RuleId id, RangeVar *table, const char *name)
{
	Target	   *target = target_of(a, table);

	takes(a, target, AccessExclusiveLock);
	(void) fire_part(a, id, target, "policy", name);
}

/* ---- views and functions ---- */

static void
assess_view(Assessment *a, ViewStmt *stmt)
{
	Target	   *target = target_of(a, stmt->view);

	if (!stmt->replace || !OidIsValid(target->relid))
	{
		(void) target_made(a, stmt->view);
		return;
	}
	takes(a, target, AccessExclusiveLock);
	(void) fire(a, RULE_VIEW_REPLACE, target);
}

static const char *
option_text(List *options, const char *name)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, name) == 0)
			return IsA(option->arg, String) ? strVal(option->arg) :
				IsA(option->arg, Boolean) && boolVal(option->arg) ? "true" : "false";
	}
	return NULL;
}

static bool
has_option(List *options, const char *name)
{
	return option_text(options, name) != NULL;
}

static bool
sets_search_path(List *options)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, "set") == 0 && IsA(option->arg, VariableSetStmt) &&
			strcmp(((VariableSetStmt *) option->arg)->name, "search_path") == 0)
			return true;
	}
	return false;
}

static bool
is_definer(List *options)
{
	const char *security = option_text(options, "security");

	return security && strcmp(security, "true") == 0;
}

static void
assess_function(Assessment *a, CreateFunctionStmt *stmt)
{
	char	   *name = joined_name(stmt->funcname);
	Oid			replaced = stmt->replace ? replaced_function(stmt) : InvalidOid;
	const char *volatility = option_text(stmt->options, "volatility");
	Finding    *finding;
	char		wanted = volatility == NULL ? PROVOLATILE_VOLATILE :
		volatility[0] == 'i' ? PROVOLATILE_IMMUTABLE :
		volatility[0] == 's' ? PROVOLATILE_STABLE : PROVOLATILE_VOLATILE;

	if (option_text(stmt->options, "language") &&
		strcmp(option_text(stmt->options, "language"), "c") == 0)
		(void) fire_named(a, RULE_C_FUNCTION, psprintf("function %s", name));
	if (is_definer(stmt->options) && !sets_search_path(stmt->options))
	{
		finding = fire_named(a, RULE_FUNCTION_CHANGE, psprintf("function %s", name));
		finding->why = "SECURITY DEFINER without a search_path of its own: it runs what its caller puts there.";
		finding->safer = psprintf("ALTER FUNCTION %s SET search_path = pg_catalog, pg_temp;", name);
	}
	else if (OidIsValid(replaced) && func_volatile(replaced) != wanted)
	{
		finding = fire_named(a, RULE_FUNCTION_CHANGE, psprintf("function %s", name));
		finding->why = "Its volatility becomes another: an index over it may be wrong from then on.";
		finding->safer = psprintf("SELECT indexrelid::regclass FROM pg_index WHERE pg_get_indexdef(indexrelid) LIKE '%%%s(%%';",
								  strVal(llast(stmt->funcname)));
	}
}

static void
assess_alter_function(Assessment *a, AlterFunctionStmt *stmt)
{
	char	   *name = joined_name(stmt->func->objname);

	if (!has_option(stmt->actions, "volatility") && !has_option(stmt->actions, "security") &&
		!sets_search_path(stmt->actions))
		return;
	fire_named(a, RULE_FUNCTION_CHANGE, psprintf("function %s", name))->safer =
		psprintf("ALTER FUNCTION %s SET search_path = pg_catalog, pg_temp;", name);
}

/* ---- enums, sequences, publications, comments, statistics ---- */

static void
assess_enum(Assessment *a, AlterEnumStmt *stmt)
{
	(void) fire_named(a, stmt->oldVal ? RULE_RENAME_ENUM_VALUE : RULE_ENUM_ADD_VALUE,
					  psprintf("type %s", joined_name(stmt->typeName)));
}

static void
assess_sequence(Assessment *a, AlterSeqStmt *stmt)
{
	Target	   *target = target_of(a, stmt->sequence);
	ListCell   *lc;

	takes(a, target, ShareRowExclusiveLock);
	foreach(lc, stmt->options)
	{
		if (strcmp(lfirst_node(DefElem, lc)->defname, "restart") == 0)
			fire(a, RULE_SEQUENCE_RESTART, target)->kept = pstrdup("the position");
	}
}

static void
assess_published(Assessment *a, List *objects, bool changes)
{
	ListCell   *lc;

	foreach(lc, objects)
	{
		PublicationObjSpec *spec = lfirst_node(PublicationObjSpec, lc);
		Target	   *target;

		if (spec->pubtable == NULL)
			continue;
		target = target_of(a, spec->pubtable->relation);
		takes(a, target, ShareUpdateExclusiveLock);
		if (!target->made && spec->pubtable->relation->inh &&
			target->relkind != RELKIND_PARTITIONED_TABLE)
			takes_relations(a, facts_below(target->relid), ShareUpdateExclusiveLock);
		if (!changes)
			continue;
		fire(a, RULE_PUBLICATION, target)->safer = pstrdup("-- on each subscriber:\nALTER SUBSCRIPTION ... REFRESH PUBLICATION;");
	}
}

static void
assess_publication(Assessment *a, AlterPublicationStmt *stmt)
{
	assess_published(a, stmt->pubobjects, true);
	/* what it had up to now may go */
	if (stmt->action == AP_SetObjects)
		takes_relations(a, facts_oids(psprintf("SELECT r.prrelid FROM pg_publication p"
											   " JOIN pg_publication_rel r ON r.prpubid = p.oid"
											   " WHERE p.pubname = %s AND $1 = 0::oid AND $2 = 0 ORDER BY 1",
											   quote_literal_cstr(stmt->pubname)), InvalidOid, 0),
						ShareUpdateExclusiveLock);
}

static void
assess_member(Assessment *a, AlterExtensionContentsStmt *stmt)
{
	if (IsA(stmt->object, List) &&
		(stmt->objtype == OBJECT_TABLE || stmt->objtype == OBJECT_VIEW ||
		 stmt->objtype == OBJECT_MATVIEW || stmt->objtype == OBJECT_SEQUENCE ||
		 stmt->objtype == OBJECT_FOREIGN_TABLE))
		takes(a, target_of(a, makeRangeVarFromNameList((List *) stmt->object)),
			  ShareUpdateExclusiveLock);
}

static void
assess_comment(Assessment *a, CommentStmt *stmt)
{
	List	   *names = IsA(stmt->object, List) ? (List *) stmt->object : NIL;
	Target	   *target;

	switch (stmt->objtype)
	{
		case OBJECT_TABLE:
		case OBJECT_VIEW:
		case OBJECT_MATVIEW:
		case OBJECT_FOREIGN_TABLE:
		case OBJECT_INDEX:
		case OBJECT_SEQUENCE:
			break;
		case OBJECT_COLUMN:
			names = list_truncate(list_copy(names), list_length(names) - 1);
			break;
		default:
			return;
	}
	target = target_of(a, makeRangeVarFromNameList(names));
	takes(a, target, ShareUpdateExclusiveLock);
	if (stmt->objtype == OBJECT_TABLE || stmt->objtype == OBJECT_COLUMN)
		(void) fire(a, RULE_COMMENT, target);
}

static void
assess_statistics(Assessment *a, CreateStatsStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->relations)
	{
		Target	   *target;

		if (!IsA(lfirst(lc), RangeVar))
			continue;
		target = target_of(a, lfirst(lc));
		takes(a, target, ShareUpdateExclusiveLock);
		(void) fire(a, RULE_CREATE_STATISTICS, target);
	}
}

static void
assess_upgrade(Assessment *a, const char *name)
{
	Finding    *finding = fire_named(a, RULE_EXTENSION_UPGRADE,
									 psprintf("extension %s", quote_identifier(name)));

	finding->safer = psprintf("SELECT * FROM pg_extension_update_paths(%s) WHERE path IS NOT NULL;",
							  quote_literal_cstr(name));
}

static void
assess_lock(Assessment *a, LockStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->relations)
	{
		RangeVar   *name = lfirst_node(RangeVar, lc);
		Target	   *target = target_of(a, name);

		takes(a, target, stmt->mode);
		if (target->made)
			continue;
		if (target->relkind == RELKIND_VIEW)
			takes_relations(a, facts_read_by(target->relid), stmt->mode);
		else if (name->inh)
			takes_relations(a, facts_below(target->relid), stmt->mode);
	}
}

/* ---- rows ---- */

/* The size of what a query reads: that of its largest table. */
static void
reads_all(Assessment *a, Finding *finding, Node *query)
{
	SelectStmt *select = (SelectStmt *) query;
	ListCell   *lc;

	if (!IsA(query, SelectStmt))
		return;
	foreach(lc, select->fromClause)
	{
		Target	   *source;
		double		rows;
		double		bytes;

		if (!IsA(lfirst(lc), RangeVar))
			continue;
		source = target_of(a, lfirst(lc));
		if (source->made)
			continue;
		facts_size(source->relid, &rows, &bytes);
		if (bytes <= finding->bytes)
			continue;
		finding->rows = rows;
		finding->bytes = bytes;
	}
}

static void
assess_create_as(Assessment *a, CreateTableAsStmt *stmt)
{
	Target	   *target;

	if (stmt->into->rel->relpersistence == RELPERSISTENCE_TEMP)
		return;
	target = target_made(a, stmt->into->rel);
	if (stmt->objtype == OBJECT_TABLE)
		reads_all(a, fire(a, RULE_CREATE_TABLE_AS, target), stmt->query);
}

static void
assess_write(Assessment *a, RangeVar *relation, Node *where, RuleId id)
{
	Target	   *target = target_of(a, relation);
	Finding    *finding;

	takes(a, target, RowExclusiveLock);
	if (where)
		return;
	finding = fire(a, id, target);
	if (target->made)
		return;
	finding->kept = pstrdup("the old rows, copied");
	finding->kept_bytes = facts_kept_bytes(target->relid, 0);
}

/* ---- dispatch ---- */

/* Names, rights, and what watches over a table. */
static bool
assess_names_and_rights(Assessment *a, Node *node)
{
	switch (nodeTag(node))
	{
		case T_RenameStmt:
			assess_rename(a, (RenameStmt *) node);
			break;
		case T_AlterObjectSchemaStmt:
			assess_set_schema(a, (AlterObjectSchemaStmt *) node);
			break;
		case T_GrantStmt:
			assess_grant(a, (GrantStmt *) node);
			break;
		case T_GrantRoleStmt:
			(void) fire_named(a, ((GrantRoleStmt *) node)->is_grant ? RULE_GRANT : RULE_REVOKE,
							  "membership in roles");
			break;
		case T_AlterOwnerStmt:
			assess_owner(a, (AlterOwnerStmt *) node);
			break;
		case T_CreateTrigStmt:
			assess_trigger(a, (CreateTrigStmt *) node);
			break;
		case T_RuleStmt:
			assess_rule(a, (RuleStmt *) node);
			break;
		case T_CreatePolicyStmt:
			assess_policy(a, RULE_POLICY_ADD, ((CreatePolicyStmt *) node)->table,
						  ((CreatePolicyStmt *) node)->policy_name);
			break;
		case T_AlterPolicyStmt:
			assess_policy(a, RULE_POLICY_ALTER, ((AlterPolicyStmt *) node)->table,
						  ((AlterPolicyStmt *) node)->policy_name);
			break;
		default:
			return false;
	}
	return true;
}

/* What is defined beside tables. */
static bool
assess_definitions(Assessment *a, Node *node)
{
	switch (nodeTag(node))
	{
		case T_ViewStmt:
			assess_view(a, (ViewStmt *) node);
			break;
		case T_CreateFunctionStmt:
			assess_function(a, (CreateFunctionStmt *) node);
			break;
		case T_AlterFunctionStmt:
			assess_alter_function(a, (AlterFunctionStmt *) node);
			break;
		case T_CreateEnumStmt:
			(void) fire_named(a, RULE_ENUM_CREATED,
							  psprintf("type %s", joined_name(((CreateEnumStmt *) node)->typeName)));
			break;
		case T_AlterEnumStmt:
			assess_enum(a, (AlterEnumStmt *) node);
			break;
		case T_AlterSeqStmt:
			assess_sequence(a, (AlterSeqStmt *) node);
			break;
		case T_CreateSeqStmt:
			(void) target_made(a, ((CreateSeqStmt *) node)->sequence);
			break;
		default:
			return false;
	}
	return true;
}

/* Publications, remarks, rows, code. */
static bool
assess_rest(Assessment *a, Node *node)
{
	switch (nodeTag(node))
	{
		case T_AlterPublicationStmt:
			assess_publication(a, (AlterPublicationStmt *) node);
			break;
		case T_CreatePublicationStmt:
			assess_published(a, ((CreatePublicationStmt *) node)->pubobjects, false);
			break;
		case T_AlterExtensionContentsStmt:
			assess_member(a, (AlterExtensionContentsStmt *) node);
			break;
		case T_CommentStmt:
			assess_comment(a, (CommentStmt *) node);
			break;
		case T_CreateStatsStmt:
			assess_statistics(a, (CreateStatsStmt *) node);
			break;
		case T_CreateTableAsStmt:
			assess_create_as(a, (CreateTableAsStmt *) node);
			break;
		case T_AlterExtensionStmt:
			assess_upgrade(a, ((AlterExtensionStmt *) node)->extname);
			break;
		case T_DeleteStmt:
			assess_write(a, ((DeleteStmt *) node)->relation, ((DeleteStmt *) node)->whereClause,
						 RULE_DELETE_WITHOUT_WHERE);
			break;
		case T_UpdateStmt:
			assess_write(a, ((UpdateStmt *) node)->relation, ((UpdateStmt *) node)->whereClause,
						 RULE_UPDATE_WITHOUT_WHERE);
			break;
		case T_InsertStmt:
			takes(a, target_of(a, ((InsertStmt *) node)->relation), RowExclusiveLock);
			break;
		case T_LockStmt:
			assess_lock(a, (LockStmt *) node);
			break;
		case T_DoStmt:
		case T_CallStmt:
		case T_ExecuteStmt:
			(void) fire_named(a, RULE_DYNAMIC_SQL, "code");
			break;
		default:
			return false;
	}
	return true;
}

bool
assess_other(Assessment *a, Node *node)
{
	return assess_names_and_rights(a, node) || assess_definitions(a, node) || assess_rest(a, node);
}
