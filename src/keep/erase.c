/*-------------------------------------------------------------------------
 *
 * erase.c
 *	  Rows of one person out of what is kept: safemig_erase, and the texts of
 *	  commands that may name him: safemig_erase_text.
 *
 * What is kept is proved by number and checksum when it is put back, so both
 * are counted anew.  The condition is whatever an administrator writes, who
 * need not be a superuser: it is evaluated as the role that owns the vault,
 * which can do nothing else.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "history/history.h"
#include "keep/rows.h"
#include "rollback/rollback.h"

PG_FUNCTION_INFO_V1(safemig_erase);
PG_FUNCTION_INFO_V1(safemig_erase_text);

static void
check_may_erase(void)
{
	if (!is_administrator(GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to erase what is kept"),
				 errhint("GRANT EXECUTE ON FUNCTION safemig_administer() allows it.")));
}

static bool
is_column(const Kept *kept)
{
	return strcmp(kept->kind, "column") == 0 || strcmp(kept->kind, "values") == 0;
}

/* Without a key the values are known by their places alone. */
static void
check_has_rows(const Kept *kept)
{
	if (is_column(kept) && kept->vault_name && kept_detail(kept, "kept at"))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("values of column \"%s\" of %s %s were kept without a key",
						kept->part, kept->object_type, kept->identity),
				 errdetail("Which row each of them belongs to is known only as long as all of them are there."),
				 errhint("SELECT safemig_prune_kept(%lld); takes them as a whole.", (long long) kept->id)));
	if (!is_column(kept) && strcmp(kept->kind, "relation") != 0 &&
		strcmp(kept->kind, "rows") != 0 && strcmp(kept->kind, "writes") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s %s is kept without rows", kept->object_type, kept->identity)));
}

/* ROW EXCLUSIVE, as DELETE takes it.  NULL: it is not there. */
static Relation
open_kept(const Kept *kept)
{
	Oid			namespace = kept->vault_schema ?
	get_namespace_oid(kept->vault_schema, true) : InvalidOid;
	Oid			relid = OidIsValid(namespace) && vault_is_schema(namespace) ?
	get_relname_relid(kept->vault_name, namespace) : InvalidOid;

	if (strcmp(kept->state, "kept") != 0 || !OidIsValid(relid))
		return NULL;
	return table_open(relid, RowExclusiveLock);
}

static const char *
name_of(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
									  RelationGetRelationName(rel));
}

/* In parentheses it ends with no other clause, and without it opens none. */
static void
check_condition(const char *condition)
{
	const char *forms[] = {"SELECT WHERE (%s\n)", "SELECT WHERE %s\n"};

	for (size_t i = 0; i < lengthof(forms); i++)
	{
		StringInfoData sql;
		List	   *parsed;

		initStringInfo(&sql);
		appendStringInfo(&sql, forms[i], condition);
		parsed = raw_parser(sql.data, RAW_PARSE_DEFAULT);
		if (list_length(parsed) != 1)
			ereport(ERROR,
					(errcode(ERRCODE_SYNTAX_ERROR),
					 errmsg("a condition is wanted, and no statement")));
	}
}

/* The column that says, under a name of ours, which row it is; or NULL. */
static const char *
key_column(const Kept *kept, const char *name)
{
	for (int i = 1;; i++)
	{
		const char *key = kept_detail(kept, psprintf("key %d", i));

		if (key == NULL)
			return NULL;
		if (strcmp(key, name) == 0)
			return psprintf("safemig_key_%d", i);
	}
}

/*
 * What was written is kept as it was, with the key as it is: of a row that was
 * changed only what changed.  So a condition on the key is one on both.
 */
static char *
rows_by_key(Relation rel, const Kept *kept)
{
	TupleDesc	desc = RelationGetDescr(rel);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ctid AS safemig_place");
	for (int i = 0; i < desc->natts; i++)
	{
		const char *name = NameStr(TupleDescAttr(desc, i)->attname);
		const char *key = key_column(kept, name);

		if (TupleDescAttr(desc, i)->attisdropped)
			continue;
		if (key)
			appendStringInfo(&sql, ", %s AS %s", key, quote_identifier(name));
		else
			appendStringInfo(&sql, ", %s", quote_identifier(name));
	}
	appendStringInfo(&sql, " FROM %s", name_of(rel));
	return sql.data;
}

/* As the owner of the vault. */
static int64
delete_rows(Relation rel, const Kept *kept, const char *condition)
{
	StringInfoData sql;
	int64		deleted;
	Frame		frame;

	check_condition(condition);
	initStringInfo(&sql);
	appendStringInfo(&sql, "DELETE FROM %s WHERE (%s\n)", name_of(rel), condition);
	if (strcmp(kept->kind, "writes") == 0)
		appendStringInfo(&sql, " OR ctid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT safemig_place FROM (%s) AS kept WHERE (%s\n)))",
						 rows_by_key(rel, kept), condition);
	frame_become(&frame, vault_role());
	SPI_connect();
	if (SPI_execute(sql.data, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not erase rows");
	deleted = (int64) SPI_processed;
	SPI_finish();
	frame_unpin(&frame);
	CommandCounterIncrement();
	return deleted;
}

static void
write_log(int64 migration, int64 kept, int64 rows, const char *reason)
{
	Datum		values[6];
	bool		nulls[6] = {false};

	values[0] = Int64GetDatum(migration);
	values[1] = Int64GetDatum(kept);
	nulls[1] = kept == 0;
	values[2] = Int64GetDatum(rows);
	values[3] = CStringGetTextDatum(GetUserNameFromId(GetOuterUserId(), false));
	nulls[4] = reason == NULL;
	values[4] = reason ? CStringGetTextDatum(reason) : (Datum) 0;
	values[5] = TimestampTzGetDatum(GetCurrentTimestamp());
	history_insert("erase_log", values, nulls, lengthof(values));
}

static int64
erase(Kept *kept, const char *condition, const char *reason)
{
	Relation	rel = open_kept(kept);
	int64		rows;

	if (rel == NULL)
		return 0;
	rows = delete_rows(rel, kept, condition);
	if (rows > 0)
	{
		if (is_column(kept))
			copy_reprove(kept, rel);
		else if (strcmp(kept->kind, "relation") != 0)
			rows_reprove(kept, rel);
		history_update_kept(kept);
		write_log(kept->migration, kept->id, rows, reason);
	}
	table_close(rel, NoLock);
	return rows;
}

Datum
safemig_erase(PG_FUNCTION_ARGS)
{
	char	   *reason = text_argument(fcinfo, 2);
	char	   *condition;
	Migration  *migration;
	Kept	   *kept;
	Frame		frame;
	int64		rows;

	check_not_null(fcinfo, 0, "kept");
	check_not_null(fcinfo, 1, "condition");
	check_can_write("safemig_erase()");
	check_may_erase();
	condition = text_argument(fcinfo, 1);
	frame_become_owner(&frame);
	own_work_begin();
	rollback_lock();
	kept = history_get_kept(PG_GETARG_INT64(0));
	migration = resolve_id(kept->migration);
	if (migration_is_open(migration))
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("migration %lld is still open", (long long) migration->id)));
	check_has_rows(kept);
	rows = erase(kept, condition, reason);
	own_work_end();
	frame_unpin(&frame);
	PG_RETURN_INT64(rows);
}

/* ---- texts ---- */

static int64
remove_texts(const char *command, int64 migration)
{
	Oid			type = INT8OID;
	Datum		arg = Int64GetDatum(migration);
	int64		removed;

	SPI_connect();
	if (SPI_execute_with_args(command, 1, &type, &arg, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not remove texts");
	removed = (int64) SPI_processed;
	SPI_finish();
	return removed;
}

Datum
safemig_erase_text(PG_FUNCTION_ARGS)
{
	char	   *reason = text_argument(fcinfo, 1);
	Migration  *migration;
	Frame		frame;
	int64		removed;

	check_not_null(fcinfo, 0, "id");
	check_can_write("safemig_erase_text()");
	check_may_erase();
	migration = resolve_id(PG_GETARG_INT64(0));
	frame_become_owner(&frame);
	own_work_begin();
	removed = remove_texts("UPDATE safemig.command_log SET query = NULL"
						   " WHERE migration OPERATOR(pg_catalog.=) $1 AND query IS NOT NULL",
						   migration->id);
	removed += remove_texts("UPDATE safemig.failure_log SET query = NULL, message = NULL"
							" WHERE migration OPERATOR(pg_catalog.=) $1 AND (query IS NOT NULL OR message IS NOT NULL)",
							migration->id);
	if (removed > 0)
		write_log(migration->id, 0, removed, reason);
	own_work_end();
	frame_unpin(&frame);
	PG_RETURN_INT64(removed);
}
