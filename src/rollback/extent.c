/*-------------------------------------------------------------------------
 *
 * extent.c
 *	  How much a step has to do with: rows, and bytes.
 *
 * Of what is kept as a copy that was counted when it was kept.  Of a table it
 * is what its size of now and its statistics give; where there are none it is
 * not known, and nothing is made up.
 *
 * A plan names things as they will be called when the step is run.  So what is
 * not found by its name is looked for in the vault, and by the OID that the
 * plan's images have.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/relation.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "compat.h"
#include "rollback/rollback.h"

/* What is not known of a part is not known of the whole. */
static void
add(Extent *extent, int64 rows, int64 bytes)
{
	extent->rows = extent->rows < 0 || rows < 0 ? -1 : extent->rows + rows;
	extent->bytes = extent->bytes < 0 || bytes < 0 ? -1 : extent->bytes + bytes;
}

/* ---- of relations ---- */

static int64
rows_in(Form_pg_class form, BlockNumber blocks)
{
	if (blocks == 0)
		return 0;
	if (form->reltuples < 0 || form->relpages <= 0)
		return -1;
	return (int64) rint((double) form->reltuples / form->relpages * blocks);
}

/* Without its lock: as it was when it was last looked at. */
static void
add_by_statistics(Extent *extent, Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_class) GETSTRUCT(tuple);
	if (form->reltuples < 0)
		add(extent, -1, -1);
	else
		add(extent, (int64) rint(form->reltuples), (int64) form->relpages * BLCKSZ);
	ReleaseSysCache(tuple);
}

static void
add_relation(Extent *extent, Oid relid)
{
	char		relkind = get_rel_relkind(relid);
	Relation	rel;
	BlockNumber blocks;

	if (relkind == RELKIND_FOREIGN_TABLE)
		add(extent, -1, -1);
	if (!RELKIND_HAS_TABLE_AM(relkind))
		return;
	rel = relation_open_now(relid);
	if (rel == NULL)
	{
		add_by_statistics(extent, relid);
		return;
	}
	blocks = RelationGetNumberOfBlocks(rel);
	add(extent, rows_in(rel->rd_rel, blocks), (int64) blocks * BLCKSZ);
	relation_close(rel, AccessShareLock);
}

/* With what is below it. */
static void
add_tree(Extent *extent, Oid relid)
{
	ListCell   *lc;

	if (!has_subclass(relid))
	{
		add_relation(extent, relid);
		return;
	}
	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
		add_relation(extent, lfirst_oid(lc));
}

/* ---- which relation ---- */

static Oid
relation_in_vault(const char *schema, const char *name)
{
	Oid			namespace = schema ? get_namespace_oid(schema, true) : InvalidOid;

	return OidIsValid(namespace) && name ? get_relname_relid(name, namespace) : InvalidOid;
}

static Oid
relation_of_image(const Image *image)
{
	if (image->kept != 0)
	{
		List	   *found;
		Oid			type = INT8OID;
		Datum		arg = Int64GetDatum(image->kept);

		found = history_kept_where("k.id OPERATOR(pg_catalog.=) $1"
								   " AND k.kind OPERATOR(pg_catalog.=) 'relation'"
								   " AND k.state OPERATOR(pg_catalog.=) 'kept'",
								   1, &type, &arg, NULL);
		if (found != NIL)
			return relation_in_vault(((Kept *) linitial(found))->vault_schema,
									 ((Kept *) linitial(found))->vault_name);
	}
	return !image->elsewhere && get_rel_relkind(image->address.objectId) != '\0' ?
		image->address.objectId : InvalidOid;
}

typedef struct TableEntry
{
	char		identity[NAMEDATALEN * 8];	/* a longer one is cut */
	const Image *image;
} TableEntry;

/* The relations that come back, by name. */
static HTAB *
tables_of_plan(RollbackPlan *plan)
{
	HASHCTL		ctl = {.keysize = NAMEDATALEN * 8,.entrysize = sizeof(TableEntry),
	.hcxt = GetMemoryChunkContext(plan)};
	ListCell   *lc;
	ListCell   *inner;

	if (plan->tables)
		return plan->tables;
	plan->tables = hash_create("safemig tables of a plan", 64, &ctl,
							   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	foreach(lc, plan->commands)
	{
		foreach(inner, ((RecordedCommand *) lfirst(lc))->changes)
		{
			const Image *image = ((Change *) lfirst(inner))->before;
			TableEntry *entry;
			bool		found;

			if (image == NULL || image->address.classId != RelationRelationId)
				continue;
			entry = hash_search(plan->tables, image->identity, HASH_ENTER, &found);
			if (!found || !OidIsValid(relation_of_image(entry->image)))
				entry->image = image;
		}
	}
	return plan->tables;
}

static Oid
find_table(RollbackPlan *plan, const RangeVar *name)
{
	Oid			relid = RangeVarGetRelid(name, NoLock, true);
	const TableEntry *entry;

	if (OidIsValid(relid) || name->schemaname == NULL)
		return relid;
	entry = hash_search(tables_of_plan(plan),
						quote_qualified_identifier(name->schemaname, name->relname),
						HASH_FIND, NULL);
	return entry ? relation_of_image(entry->image) : InvalidOid;
}

/* ---- of what is kept ---- */

/* One row of kept_log: kind, identity, rows, bytes, vault_schema, vault_name. */
static void
add_kept(Extent *extent, RollbackPlan *plan, HeapTuple tuple, TupleDesc desc)
{
	char	   *kind = SPI_getvalue(tuple, desc, 1);
	char	   *rows = SPI_getvalue(tuple, desc, 3);
	char	   *bytes = SPI_getvalue(tuple, desc, 4);
	Oid			vaulted = relation_in_vault(SPI_getvalue(tuple, desc, 5),
											SPI_getvalue(tuple, desc, 6));

	if (strcmp(kind, "relation") == 0)
	{
		if (OidIsValid(vaulted))
			add_relation(extent, vaulted);
		else
			add(extent, -1, -1);
		return;
	}
	add(extent, strtoll(rows, NULL, 10), strtoll(bytes, NULL, 10));
	/* the values of a column are brought together with the table's rows */
	if (strcmp(kind, "column") == 0 || strcmp(kind, "values") == 0 || strcmp(kind, "cast") == 0)
	{
		Extent		table = {0, 0};
		List	   *name = qualified_name_list(SPI_getvalue(tuple, desc, 2));
		Oid			relid = find_table(plan, makeRangeVarFromNameList(name));

		if (OidIsValid(relid))
			add_relation(&table, relid);
		add(extent, 0, table.bytes);
	}
}

/* list: one or several, with commas between them. */
static void
add_all_kept(Extent *extent, RollbackPlan *plan, const char *list)
{
	Oid			type = TEXTOID;
	Datum		arg = CStringGetTextDatum(list);

	SPI_connect();
	if (SPI_execute_with_args("SELECT k.kind, k.identity, k.rows, k.bytes, k.vault_schema, k.vault_name"
							  " FROM safemig.kept_log k"
							  " WHERE k.id OPERATOR(pg_catalog.=) ANY (pg_catalog.string_to_array($1, ',')::pg_catalog.int8[])",
							  1, &type, &arg, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kept_log");
	for (uint64 i = 0; i < SPI_processed; i++)
		add_kept(extent, plan, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	SPI_finish();
}

/* ---- of statements ---- */

static void
add_table(Extent *extent, RollbackPlan *plan, const RangeVar *name, bool tree)
{
	Oid			relid = find_table(plan, name);

	if (OidIsValid(relid) && get_rel_relkind(relid) == RELKIND_INDEX)
		relid = IndexGetRelation(relid, true);
	if (!OidIsValid(relid))
		add(extent, -1, -1);
	else if (tree)
		add_tree(extent, relid);
	else
		add_relation(extent, relid);
}

static void
add_of_alter(Extent *extent, RollbackPlan *plan, const AlterTableStmt *stmt)
{
	ListCell   *lc;

	add_table(extent, plan, stmt->relation, stmt->relation->inh);
	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_AddConstraint && ((Constraint *) cmd->def)->pktable)
			add_table(extent, plan, ((Constraint *) cmd->def)->pktable, true);
	}
}

static void
add_of_drop(Extent *extent, RollbackPlan *plan, const DropStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->objects)
		add_table(extent, plan, makeRangeVarFromNameList(lfirst(lc)), false);
}

/* ---- of calls of our own ---- */

/* The text of the n-th argument; NULL if it is no constant. */
static char *
constant_argument(const FuncCall *call, int n)
{
	A_Const    *argument = list_length(call->args) > n ? list_nth(call->args, n) : NULL;

	if (argument == NULL || !IsA(argument, A_Const) || argument->isnull)
		return NULL;
	switch (nodeTag(&argument->val))
	{
		case T_Integer:
			return psprintf("%d", intVal(&argument->val));
		case T_Float:
			return argument->val.fval.fval;
		case T_String:
			return strVal(&argument->val);
		default:
			return NULL;
	}
}

static bool
is_one_of(const char *name, const char *const *names)
{
	for (; *names; names++)
	{
		if (strcmp(name, *names) == 0)
			return true;
	}
	return false;
}

static bool add_of_statement(Extent *extent, RollbackPlan *plan, const Step *step,
							 const char *sql);

static bool
add_of_call(Extent *extent, RollbackPlan *plan, const Step *step, const FuncCall *call)
{
	static const char *const of_kept[] = {
		"fill_column", "restore_column_type", "restore_relation", "restore_rows",
		"undo_large_objects", "undo_writes", NULL
	};
	static const char *const of_table[] = {
		"compute_column", "revert_column_type", "set_index_valid", "set_not_null", "set_persistence",
		"validate_constraint", NULL
	};
	const char *name = strVal(llast(call->funcname));
	char	   *argument = constant_argument(call, 0);

	if (argument == NULL)
		return false;
	if (is_one_of(name, of_kept))
	{
		if (argument[0] == '{')
			argument = pnstrdup(argument + 1, strlen(argument) - 2);
		add_all_kept(extent, plan, argument);
		return true;
	}
	if (strcmp(step->cost, "catalog") == 0)
		return false;
	if (strcmp(name, "add_partitioned_foreign_key") == 0)
		return add_of_statement(extent, plan, step, argument);
	if (!is_one_of(name, of_table))
		return false;
	add_table(extent, plan, makeRangeVarFromNameList(qualified_name_list(argument)), true);
	return true;
}

/* false: it is not about rows, or it cannot be told which. */
static bool
add_of_statement(Extent *extent, RollbackPlan *plan, const Step *step, const char *sql)
{
	Node	   *parsed = parse_statement(sql);
	FuncCall   *call = parsed_own_call(parsed);
	bool		catalog = strcmp(step->cost, "catalog") == 0;

	if (call)
		return add_of_call(extent, plan, step, call);
	if (IsA(parsed, DropStmt) &&
		(((DropStmt *) parsed)->removeType == OBJECT_TABLE ||
		 ((DropStmt *) parsed)->removeType == OBJECT_MATVIEW))
		add_of_drop(extent, plan, (DropStmt *) parsed);
	else if (catalog)
		return false;
	else if (IsA(parsed, AlterTableStmt))
		add_of_alter(extent, plan, (AlterTableStmt *) parsed);
	else if (IsA(parsed, IndexStmt))
		add_table(extent, plan, ((IndexStmt *) parsed)->relation, ((IndexStmt *) parsed)->relation->inh);
	else if (IsA(parsed, UpdateStmt))
		add_table(extent, plan, ((UpdateStmt *) parsed)->relation, false);
	else if (IsA(parsed, RefreshMatViewStmt))
		add_table(extent, plan, ((RefreshMatViewStmt *) parsed)->relation, false);
	else
		return false;
	return true;
}

/* Both -1 where nothing is known, or there is nothing to know. */
Extent
step_extent(RollbackPlan *plan, const Step *step)
{
	Extent		extent = {0, 0};

	if (!add_of_statement(&extent, plan, step, step->sql))
		extent.rows = extent.bytes = -1;
	return extent;
}

/* An identity that is no name, as that of a constraint, names nothing. */
static Oid
relation_of_identity(const char *identity)
{
	List	   *parts;

	if (!SplitIdentifierString(pstrdup(identity), '.', &parts))
		return InvalidOid;
	return RangeVarGetRelid(makeRangeVarFromNameList(qualified_name_list(identity)),
							NoLock, true);
}

typedef struct ChangeEntry
{
	char		key[NAMEDATALEN * 8];	/* a longer one is cut */
	const Change *change;
} ChangeEntry;

/* A command's changes by the object, for step_relation(). */
HTAB *
changes_by_object(const RecordedCommand *command)
{
	HASHCTL		ctl = {.keysize = NAMEDATALEN * 8,.entrysize = sizeof(ChangeEntry),
	.hcxt = CurrentMemoryContext};
	HTAB	   *changes = hash_create("safemig changes", 64, &ctl,
									  HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	ListCell   *lc;

	foreach(lc, command->changes)
	{
		const Change *change = lfirst(lc);
		bool		found;
		ChangeEntry *entry = hash_search(changes,
										 image_address_key(change->before ? change->before : change->after),
										 HASH_ENTER, &found);

		if (!found)
			entry->change = change;
	}
	return changes;
}

/* The table or view that a step is about, for whoever looks on; InvalidOid: none. */
Oid
step_relation(HTAB *changes, const Step *step)
{
	const ChangeEntry *entry = hash_search(changes, step->object, HASH_FIND, NULL);
	const Image *image;
	const char *identity;

	if (entry == NULL)
		return InvalidOid;
	image = entry->change->before ? entry->change->before : entry->change->after;
	if (image->address.classId == RelationRelationId && !image->elsewhere &&
		get_rel_relkind(image->address.objectId) != '\0')
		return image->address.objectId;
	identity = image->address.classId == RelationRelationId && image->parent_identity == NULL ?
		image->identity : image->parent_identity;
	return identity && strcmp(image->type, "domain constraint") != 0 ?
		relation_of_identity(identity) : InvalidOid;
}
