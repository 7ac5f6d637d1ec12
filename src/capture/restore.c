/*-------------------------------------------------------------------------
 *
 * restore.c
 *	  Sessions that restore a dump.
 *
 * What they make is not a migration, and is not recorded.  Loaded into the
 * database that it came from, a dump has the history and the vault too: those
 * that are there are the newer ones, and nothing of the dump may drop them,
 * or add its rows to theirs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/bufmgr.h"
#include "storage/proc.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "capture/capture.h"
#include "capture/restore.h"

/*
 * A session that restores a dump is known by the settings that pg_dump's own
 * preamble makes, all of them together.
 */
static bool
has_preamble(void)
{
	static const char *const preamble[][2] = {
		{"search_path", ""},
		{"check_function_bodies", "off"},
		{"row_security", "off"},
		{"client_min_messages", "warning"},
		{"xmloption", "content"},
	};

	for (size_t i = 0; i < lengthof(preamble); i++)
	{
		const char *now = GetConfigOption(preamble[i][0], false, false);

		if (strcmp(now, preamble[i][1]) != 0)
			return false;
	}
	return true;
}

/*
 * Only who administers safemig can load a history; anybody else could set the
 * same to change unseen what a superuser is going to roll back.
 */
bool
in_restore_session(void)
{
	return has_preamble() && OidIsValid(get_extension_oid("safemig", true)) &&
		is_administrator(MyProc->roleId);
}

/* So somebody else's restore is recorded, and what it drops is kept: once. */
void
restore_warn_of_keeping(List *dropped)
{
	static bool warned = false;
	bool		rows = false;
	ListCell   *lc;

	if (warned || !has_preamble() || is_administrator(MyProc->roleId))
		return;
	foreach(lc, dropped)
	{
		const ObjectAddress *address = lfirst(lc);

		rows = rows || (address->classId == RelationRelationId && address->objectSubId == 0 &&
						strchr("rmp", get_rel_relkind(address->objectId)) != NULL);
	}
	if (!rows)
		return;
	warned = true;
	ereport(WARNING,
			(errmsg("this restore is recorded, and what it drops is kept"),
			 errdetail("Role \"%s\" does not administer safemig.",
					   GetUserNameFromId(MyProc->roleId, false)),
			 errhint("SELECT safemig_prune(id) FROM safemig.migrations WHERE kept_bytes > 0; frees what is kept. "
					 "The restore of a role with EXECUTE on safemig_administer() is not recorded.")));
}

/* ---- the vault of the database that is restored into ---- */

/*
 * Does the history know of what is in there?  In a database that is being
 * restored it does too, as soon as the history is back: as of another life.
 */
static bool
is_in_use(Oid namespace, bool in_this_life)
{
	Oid			types[2] = {TEXTOID, BOOLOID};
	Datum		args[2];
	Frame		frame;
	bool		result;

	if (!OidIsValid(namespace) || !vault_is_schema(namespace))
		return false;
	args[0] = CStringGetTextDatum(get_namespace_name(namespace));
	args[1] = BoolGetDatum(in_this_life);
	frame_become_owner(&frame);
	own_work_begin();
	SPI_connect();
	if (SPI_execute_with_args("SELECT FROM safemig.kept_log k JOIN safemig.migration_log m ON m.id OPERATOR(pg_catalog.=) k.migration"
							  " WHERE k.vault_schema OPERATOR(pg_catalog.=) $1 AND k.state OPERATOR(pg_catalog.=) 'kept'"
							  " AND (NOT $2 OR EXISTS (SELECT FROM safemig.incarnation i"
							  "  WHERE i.marker OPERATOR(pg_catalog.=) pg_catalog.split_part(m.incarnation, '/', 1)))",
							  2, types, args, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read kept_log");
	result = SPI_processed > 0;
	SPI_finish();
	own_work_end();
	frame_unpin(&frame);
	return result;
}

static void
check_spared(Oid namespace, bool in_this_life)
{
	if (is_in_use(namespace, in_this_life))
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("schema \"%s\" holds data kept by safemig",
						get_namespace_name(namespace)),
				 errdetail("A dump is being restored into the database in which it is kept."),
				 errhint("Restore into an empty database, or leave the schemas safemig* out. "
						 "With safemig.allow_drop = on, and --clean, the history and what is kept are replaced by those of the dump.")));
}

/* The schema of a name that has one. */
static Oid
schema_of_name(List *name)
{
	if (list_length(name) < 2)
		return InvalidOid;
	return get_namespace_oid(strVal(list_nth(name, list_length(name) - 2)), true);
}

static Oid
schema_of_dropped(ObjectType type, Node *object)
{
	if (type == OBJECT_SCHEMA)
		return get_namespace_oid(strVal(object), true);
	switch (nodeTag(object))
	{
		case T_List:
			return schema_of_name((List *) object);
		case T_TypeName:
			return schema_of_name(((TypeName *) object)->names);
		case T_ObjectWithArgs:
			return schema_of_name(((ObjectWithArgs *) object)->objname);
		default:
			return InvalidOid;
	}
}

static bool
takes_away(const AlterTableStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_DropConstraint || cmd->subtype == AT_DetachPartition ||
			(cmd->subtype == AT_ColumnDefault && cmd->def == NULL))
			return true;
	}
	return false;
}

/*
 * What --clean begins with.  What it would make anew afterwards is there, as
 * PostgreSQL says.
 */
void
restore_check_command(Node *parsetree)
{
	AlterTableStmt *alter = (AlterTableStmt *) parsetree;
	DropStmt   *drop = (DropStmt *) parsetree;
	ListCell   *lc;

	if (safemig_allow_drop || safemig_state.own_depth > 0 || !in_restore_session())
		return;
	if (IsA(parsetree, AlterTableStmt) && takes_away(alter) && alter->relation->schemaname)
		check_spared(get_namespace_oid(alter->relation->schemaname, true), false);
	if (!IsA(parsetree, DropStmt))
		return;
	foreach(lc, drop->objects)
		check_spared(schema_of_dropped(drop->removeType, lfirst(lc)), false);
}

static bool
is_copy(void)
{
	PlannedStmt *stmt;

	if (ActivePortal == NULL || list_length(ActivePortal->stmts) != 1)
		return false;
	stmt = linitial_node(PlannedStmt, ActivePortal->stmts);
	return stmt->commandType == CMD_UTILITY && IsA(stmt->utilityStmt, CopyStmt);
}

static bool
has_blocks(Oid relid)
{
	Relation	rel = relation_open(relid, NoLock);
	bool		result = RELKIND_HAS_STORAGE(rel->rd_rel->relkind) &&
		RelationGetNumberOfBlocks(rel) > 0;

	relation_close(rel, NoLock);
	return result;
}

/*
 * Rows of a dump.  Those of a table come by one COPY, or by one INSERT after
 * the other; so where it has some already, and was not kept in this life of
 * the database, only the former says that they are there twice.
 */
void
restore_check_rows(List *range_table)
{
	ListCell   *lc;

	if (safemig_allow_drop || safemig_state.own_depth > 0)
		return;
	foreach(lc, range_table)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_RELATION && rte->rellockmode >= RowExclusiveLock &&
			vault_is_schema(get_rel_namespace(rte->relid)) &&
			in_restore_session())
			check_spared(get_rel_namespace(rte->relid),
						 !(is_copy() && has_blocks(rte->relid)));
	}
}
