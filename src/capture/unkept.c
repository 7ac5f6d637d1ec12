/*-------------------------------------------------------------------------
 *
 * unkept.c
 *	  Rows that a migration writes and that are not kept.
 *
 * Before a transaction of a migration commits, its own statistics counters
 * tell which tables it wrote, also before its first DDL.  Rows updated,
 * deleted or truncated away are lost to a rollback, so the migration is
 * recorded as irreversible, by table, and the user is told; rows inserted are
 * recorded, and stay when the rest is taken back.
 *
 * What a rollback writes itself is taken off again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pgstat_internal.h"

#include "capture/capture.h"
#include "compat.h"
#include "history/history.h"

typedef struct Written
{
	Oid			relid;
	int64		inserted;
	int64		updated;
	int64		deleted;
	bool		truncated;
} Written;

/* By the rollbacks of this transaction; in TopTransactionContext. */
static HTAB *own = NULL;

static void
add_counts(Written *to, const PgStat_TableXactStatus *counts, int sign)
{
	to->inserted += sign * (counts->tuples_inserted + counts->inserted_pre_truncdrop);
	to->updated += sign * (counts->tuples_updated + counts->updated_pre_truncdrop);
	to->deleted += sign * (counts->tuples_deleted + counts->deleted_pre_truncdrop);
	to->truncated = to->truncated || counts->truncdropped;
}

static const PgStat_TableXactStatus *
first_counts(void)
{
	return pgstat_get_xact_stack_level(GetCurrentTransactionNestLevel())->first;
}

/* sign -1 before our own work, +1 after it: the difference is ours. */
static void
count_own(int sign)
{
	const PgStat_TableXactStatus *counts;

	if (own == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(Written),
		.hcxt = TopTransactionContext};

		own = hash_create("safemig own rows", 16, &ctl,
						  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	for (counts = first_counts(); counts; counts = counts->next)
	{
		Oid			relid = table_status_oid(counts->parent);
		bool		found;
		Written    *written = hash_search(own, &relid, HASH_ENTER, &found);

		if (!found)
		{
			memset(written, 0, sizeof(Written));
			written->relid = relid;
		}
		add_counts(written, counts, sign);
	}
}

void
unkept_own_begin(void)
{
	count_own(-1);
}

void
unkept_own_end(void)
{
	count_own(1);
}

void
unkept_forget(void)
{
	own = NULL;
}

/* ---- at commit ---- */

/*
 * What a table in the vault was called that the migration wrote and dropped
 * after that; NULL: it is none, but a copy of ours.
 */
static char *
name_before_vault(Oid relid)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		args[2];
	char	   *name = NULL;

	args[0] = CStringGetTextDatum(get_namespace_name(get_rel_namespace(relid)));
	args[1] = CStringGetTextDatum(get_rel_name(relid));
	SPI_connect();
	if (SPI_execute_with_args("SELECT identity FROM safemig.kept_log"
							  " WHERE kind OPERATOR(pg_catalog.=) 'relation'"
							  " AND object_type OPERATOR(pg_catalog.=) 'table'"
							  " AND vault_schema OPERATOR(pg_catalog.=) $1"
							  " AND vault_name OPERATOR(pg_catalog.=) $2",
							  2, types, args, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read kept_log");
	if (SPI_processed > 0)
		name = MemoryContextStrdup(context, SPI_getvalue(SPI_tuptable->vals[0],
														 SPI_tuptable->tupdesc, 1));
	SPI_finish();
	return name;
}

/* The table's name if its rows are somebody's, else NULL. */
static char *
table_of_interest(Oid relid)
{
	Oid			namespace = get_rel_namespace(relid);

	if (relid < FirstNormalObjectId || !OidIsValid(namespace) ||
		get_rel_relkind(relid) != RELKIND_RELATION ||
		isAnyTempNamespace(namespace) ||
		namespace == get_namespace_oid(SAFEMIG_SCHEMA, true))
		return NULL;
	if (vault_is_schema(namespace))
		return name_before_vault(relid);
	return quote_qualified_identifier(get_namespace_name(namespace),
									  get_rel_name(relid));
}

/* Rows of a table that the migration made go and come with the table. */
static bool
made_by_migration(int64 migration, Oid relid)
{
	Oid			types[2] = {INT8OID, OIDOID};
	Datum		args[2] = {Int64GetDatum(migration), ObjectIdGetDatum(relid)};
	bool		made;

	SPI_connect();
	if (SPI_execute_with_args("SELECT FROM safemig.change_log"
							  " WHERE migration OPERATOR(pg_catalog.=) $1"
							  " AND action OPERATOR(pg_catalog.=) 'c'"
							  " AND objid OPERATOR(pg_catalog.=) $2"
							  " AND type OPERATOR(pg_catalog.=) 'table' LIMIT 1",
							  2, types, args, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read change_log");
	made = SPI_processed > 0;
	SPI_finish();
	return made;
}

static void
append_count(StringInfo buf, int64 count, const char *what)
{
	if (count > 0)
		appendStringInfo(buf, "%s" INT64_FORMAT " %s", buf->len ? ", " : "",
						 count, what);
}

static char *
describe_counts(const Written *written)
{
	StringInfoData buf;

	initStringInfo(&buf);
	append_count(&buf, written->inserted, "inserted");
	append_count(&buf, written->updated, "updated");
	append_count(&buf, written->deleted, "deleted");
	if (written->truncated)
		appendStringInfo(&buf, "%struncated", buf.len ? ", " : "");
	return buf.data;
}

static bool
is_lossy(const Written *written)
{
	return written->updated > 0 || written->deleted > 0 || written->truncated;
}

static void
record(int64 migration, const Written *written, const char *table)
{
	RecordedCommand command = {0};
	char	   *counts = describe_counts(written);

	command.seq = history_next_command();
	command.migration = migration;
	command.tag = "DATA";
	command.unkept = psprintf("%s: %s", table, counts);
	if (is_lossy(written))
		command.irreversible = psprintf("the rows that it wrote in %s were not kept (%s)",
										table, counts);
	history_write_command(&command, NULL,
						  GetConfigOption("search_path", false, false),
						  GetCurrentTimestamp(), 0, NIL);
	if (command.irreversible == NULL)
		return;
	if (safemig_require_reversible)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_IRREVERSIBLE),
				 errmsg("migration " INT64_FORMAT " is irreversible: %s",
						migration, command.irreversible)));
	ereport(WARNING,
			(errcode(ERRCODE_SAFEMIG_IRREVERSIBLE),
			 errmsg("the migration is irreversible: %s", command.irreversible),
			 errhint("safemig_rollback(..., on_conflict => 'keep') takes back the rest and leaves these rows as they are.")));
}

/*
 * Called before a transaction commits that has written a migration, or that
 * stands under a label or in an explicit migration without having written
 * anything yet (0).
 */
void
unkept_record(int64 migration)
{
	const PgStat_TableXactStatus *counts;
	List	   *all = NIL;
	ListCell   *lc;
	Frame		frame;

	for (counts = first_counts(); counts; counts = counts->next)
	{
		Written    *written = palloc0(sizeof(Written));
		Oid			relid = table_status_oid(counts->parent);
		Written    *ours = own ? hash_search(own, &relid, HASH_FIND, NULL) : NULL;

		written->relid = relid;
		add_counts(written, counts, 1);
		if (ours)
		{
			written->inserted -= ours->inserted;
			written->updated -= ours->updated;
			written->deleted -= ours->deleted;
		}
		if (written->inserted > 0 || is_lossy(written))
			all = lappend(all, written);
	}
	/* the library may be loaded, and a label set, where the extension is not */
	if (all == NIL || !safemig_enabled ||
		!OidIsValid(get_extension_oid("safemig", true)))
		return;
	frame_become_owner(&frame);
	own_work_begin();
	foreach(lc, all)
	{
		Written    *written = lfirst(lc);
		char	   *table = table_of_interest(written->relid);

		if (table == NULL)
			continue;
		if (migration == 0)
			migration = history_current_migration();
		if (!made_by_migration(migration, written->relid))
			record(migration, written, table);
	}
	own_work_end();
	frame_unpin(&frame);
}
