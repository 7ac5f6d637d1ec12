/*-------------------------------------------------------------------------
 *
 * validate.c
 *	  Checks of a table's rows against what the table says of them.
 *
 * They evaluate what the table's owner wrote, so they run as the owner.  But
 * the owner may lack USAGE on the table's schema (a table that was made for
 * somebody else), with which PostgreSQL would not let a statement name it.
 * So the name is resolved as the extension's owner, and the rest goes by OID.
 * A foreign key is checked by queries, which name both tables: for these USAGE
 * is lent, to the owner of the other table too, as whom some of them run.
 *
 * A foreign key of a partitioned table cannot be added NOT VALID before 18.
 * But CREATE TABLE adds it without a look at rows, which it need not have yet;
 * so does this, and then has each partition's rows looked at.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "commands/event_trigger.h"
#include "commands/tablecmds.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "keep/column.h"

PG_FUNCTION_INFO_V1(safemig_validate_constraint);
PG_FUNCTION_INFO_V1(safemig_add_partitioned_foreign_key);
PG_FUNCTION_INFO_V1(safemig_set_not_null);

/* The table that a foreign key refers to; InvalidOid if it is none. */
static Oid
referenced_table(Oid relid, const char *constraint)
{
	Oid			oid = constraint ? get_relation_constraint_oid(relid, constraint, true) : InvalidOid;
	HeapTuple	tuple;
	Oid			referenced;

	if (!OidIsValid(oid))
		return InvalidOid;
	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(oid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for constraint %u", oid);
	referenced = ((Form_pg_constraint) GETSTRUCT(tuple))->confrelid;
	ReleaseSysCache(tuple);
	return referenced;
}

/* One ALTER TABLE subcommand, by OID, as the table's owner. */
static void
alter_as_owner(Oid relid, AlterTableCmd *cmd, bool recurse)
{
	AlterTableStmt *stmt = makeNode(AlterTableStmt);
	Oid			owner = relation_owner(relid);
	Oid			other = referenced_table(relid, cmd->name);
	Frame		frame;

	cmd->behavior = DROP_RESTRICT;
	stmt->cmds = list_make1(cmd);
	stmt->objtype = OBJECT_TABLE;
	frame_become(&frame, owner);
	if (OidIsValid(other))
		frame_lend_for_reference(&frame, owner, relid, other);
	frame_lend_for_alter(&frame, owner, relid, stmt->cmds, recurse);
	/* in a rollback that a DDL command calls, PostgreSQL collects this too */
	EventTriggerAlterTableStart((Node *) stmt);
	AlterTableInternal(relid, stmt->cmds, recurse);
	EventTriggerAlterTableEnd();
	CommandCounterIncrement();
	frame_unpin(&frame);
}

static ObjectAddress *
relation_address(Oid relid)
{
	ObjectAddress *address = palloc(sizeof(ObjectAddress));

	ObjectAddressSet(*address, RelationRelationId, relid);
	return address;
}

/* Recorded as one command on the table and, if it recurses, those below it. */
static void
alter_recorded(Oid relid, AlterTableCmd *cmd, bool recurse, LOCKMODE lockmode)
{
	List	   *relids = recurse ? find_all_inheritors(relid, lockmode, NULL) :
	list_make1_oid(relid);
	List	   *addresses = NIL;
	ListCell   *lc;

	foreach(lc, relids)
		addresses = lappend(addresses, relation_address(lfirst_oid(lc)));
	capture_internal_begin("ALTER TABLE", addresses);
	alter_as_owner(relid, cmd, recurse);
	capture_internal_end();
}

static Oid
lock_table(text *name, LOCKMODE lockmode)
{
	return RangeVarGetRelid(makeRangeVarFromNameList(textToQualifiedNameList(name)),
							lockmode, false);
}

/* safemig.validate_constraint(relation text, constraint_name text) */
Datum
safemig_validate_constraint(PG_FUNCTION_ARGS)
{
	AlterTableCmd *cmd = makeNode(AlterTableCmd);
	Oid			relid;

	check_own_call("validate_constraint");
	relid = lock_table(PG_GETARG_TEXT_PP(0), ShareUpdateExclusiveLock);
	cmd->subtype = AT_ValidateConstraint;
	cmd->name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	alter_recorded(relid, cmd, true, ShareUpdateExclusiveLock);
	PG_RETURN_VOID();
}

/* ---- foreign keys of partitioned tables ---- */

/* The statement that adds it, as CREATE TABLE would have it. */
static AlterTableStmt *
parse_foreign_key(const char *sql)
{
	AlterTableStmt *stmt = (AlterTableStmt *) parse_statement(sql);
	AlterTableCmd *cmd = IsA(stmt, AlterTableStmt) ? linitial_node(AlterTableCmd, stmt->cmds) : NULL;
	Constraint *constraint = NULL;

	if (cmd && list_length(stmt->cmds) == 1 && cmd->subtype == AT_AddConstraint)
		constraint = castNode(Constraint, cmd->def);
	if (constraint == NULL || constraint->contype != CONSTR_FOREIGN)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("\"%s\" does not add a foreign key", sql)));
	constraint->skip_validation = true;
	constraint->initially_valid = true;
	return stmt;
}

static void
add_foreign_key(Oid relid, AlterTableStmt *stmt, const char *sql)
{
	PlannedStmt *wrapper = makeNode(PlannedStmt);
	AlterTableUtilityContext context = {0};

	wrapper->commandType = CMD_UTILITY;
	wrapper->utilityStmt = (Node *) stmt;
	context.pstmt = wrapper;
	context.queryString = sql;
	context.relid = relid;
	EventTriggerAlterTableStart((Node *) stmt);
	EventTriggerAlterTableRelid(relid);
	AlterTable(stmt, ShareRowExclusiveLock, &context);
	EventTriggerAlterTableEnd();
	CommandCounterIncrement();
}

/* The foreign key's copies on partitions that hold rows. */
static List *
constraints_with_rows(Oid constraint)
{
	Relation	rel = table_open(ConstraintRelationId, AccessShareLock);
	List	   *found = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_constraint_conparentid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(constraint));
	scan = systable_beginscan(rel, ConstraintParentIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);

		if (get_rel_relkind(form->conrelid) == RELKIND_RELATION)
			found = lappend_oid(found, form->oid);
		else
			found = list_concat_unique_oid(found, constraints_with_rows(form->oid));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* As of now unproved; then proved. */
static void
validate_rows(Oid constraint)
{
	Relation	rel = table_open(ConstraintRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(CONSTROID, ObjectIdGetDatum(constraint));
	Form_pg_constraint form;
	AlterTableCmd *cmd = makeNode(AlterTableCmd);

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for constraint %u", constraint);
	form = (Form_pg_constraint) GETSTRUCT(tuple);
	form->convalidated = false;
	CatalogTupleUpdate(rel, &tuple->t_self, tuple);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
	cmd->subtype = AT_ValidateConstraint;
	cmd->name = pstrdup(NameStr(form->conname));
	alter_as_owner(form->conrelid, cmd, false);
}

/* safemig.add_partitioned_foreign_key(statement text) */
Datum
safemig_add_partitioned_foreign_key(PG_FUNCTION_ARGS)
{
	char	   *sql = text_to_cstring(PG_GETARG_TEXT_PP(0));
	AlterTableStmt *stmt;
	AlterTableCmd *cmd;
	char	   *name;
	List	   *addresses = NIL;
	Oid			relid;
	ListCell   *lc;

	check_own_call("add_partitioned_foreign_key");
	stmt = parse_foreign_key(sql);
	cmd = linitial_node(AlterTableCmd, stmt->cmds);
	name = castNode(Constraint, cmd->def)->conname;
	relid = RangeVarGetRelid(stmt->relation, ShareRowExclusiveLock, false);
	foreach(lc, find_all_inheritors(relid, ShareRowExclusiveLock, NULL))
		addresses = lappend(addresses, relation_address(lfirst_oid(lc)));
	capture_internal_begin("ALTER TABLE", addresses);
	add_foreign_key(relid, stmt, sql);
	foreach(lc, constraints_with_rows(get_relation_constraint_oid(relid, name, false)))
		validate_rows(lfirst_oid(lc));
	capture_internal_end();
	PG_RETURN_VOID();
}

/* safemig.set_not_null(relation text, column_name text, this_only boolean) */
Datum
safemig_set_not_null(PG_FUNCTION_ARGS)
{
	AlterTableCmd *cmd = makeNode(AlterTableCmd);
	Oid			relid;

	check_own_call("set_not_null");
	relid = lock_table(PG_GETARG_TEXT_PP(0), AccessExclusiveLock);
	cmd->subtype = AT_SetNotNull;
	cmd->name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	alter_recorded(relid, cmd, !PG_GETARG_BOOL(2), AccessExclusiveLock);
	PG_RETURN_VOID();
}
