/*-------------------------------------------------------------------------
 *
 * rename.c
 *	  Other names, and other schemas.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "advise/advise.h"
#include "capture/target.h"

static void
rename_relation(Assessment *a, RenameStmt *stmt)
{
	Target	   *target = target_of(a, stmt->relation);
	Finding    *finding;

	if (target->relkind == RELKIND_INDEX || target->relkind == RELKIND_PARTITIONED_INDEX)
	{
		takes(a, target, stmt->renameType == OBJECT_INDEX ?
			  ShareUpdateExclusiveLock : AccessExclusiveLock);
		return;
	}
	takes(a, target, AccessExclusiveLock);
	finding = fire(a, RULE_RENAME_TABLE, target);
	set_safer(finding, rules[RULE_RENAME_TABLE].safer, target, NULL, quote_identifier(stmt->newname));
	target_renamed(a, target, NULL, stmt->newname);
}

static void
rename_column(Assessment *a, RenameStmt *stmt)
{
	Target	   *target = target_of(a, stmt->relation);
	Finding    *finding;

	takes(a, target, AccessExclusiveLock);
	if (!target->made && stmt->relation->inh)
		takes_relations(a, facts_below(target->relid), AccessExclusiveLock);
	finding = fire_part(a, RULE_RENAME_COLUMN, target, "column", stmt->subname);
	set_safer(finding, rules[RULE_RENAME_COLUMN].safer, target, stmt->subname,
			  quote_identifier(stmt->newname));
}

/* A constraint, a trigger, a rule, a policy, an attribute of a type. */
static void
rename_within(Assessment *a, RenameStmt *stmt)
{
	Target	   *target = target_of(a, stmt->relation);
	ListCell   *lc;

	takes(a, target, AccessExclusiveLock);
	if (target->made)
		return;
	if (stmt->renameType == OBJECT_ATTRIBUTE)
	{
		foreach(lc, facts_typed_tables(target->relid))
			takes_tree(a, lfirst_oid(lc), AccessExclusiveLock);
	}
	else if (renames_below(stmt, target->relid))
		takes_relations(a, facts_below(target->relid), AccessExclusiveLock);
}

void
assess_rename(Assessment *a, RenameStmt *stmt)
{
	switch (stmt->renameType)
	{
		case OBJECT_TABLE:
		case OBJECT_VIEW:
		case OBJECT_MATVIEW:
		case OBJECT_FOREIGN_TABLE:
		case OBJECT_INDEX:
		case OBJECT_SEQUENCE:
			rename_relation(a, stmt);
			break;
		case OBJECT_COLUMN:
			rename_column(a, stmt);
			break;
		case OBJECT_SCHEMA:
			(void) fire_named(a, RULE_RENAME_SCHEMA,
							  psprintf("schema %s", quote_identifier(stmt->subname)));
			break;
		default:
			if (stmt->relation)
				rename_within(a, stmt);
	}
}

void
assess_set_schema(Assessment *a, AlterObjectSchemaStmt *stmt)
{
	Target	   *target;
	Finding    *finding;

	if (stmt->relation == NULL)
		return;
	target = target_of(a, stmt->relation);
	takes(a, target, AccessExclusiveLock);
	finding = fire(a, RULE_SET_SCHEMA, target);
	if (OidIsValid(target->relid))
		set_safer(finding, rules[RULE_SET_SCHEMA].safer, target, NULL,
				  quote_qualified_identifier(stmt->newschema, get_rel_name(target->relid)));
	if (OidIsValid(target->relid))
		target_renamed(a, target, stmt->newschema, NULL);
}
