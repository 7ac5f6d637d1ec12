/*-------------------------------------------------------------------------
 *
 * data_truncate.c
 *	  TRUNCATE leaves no versions behind: its rows are kept before it runs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "capture/data.h"
#include "point.h"

/* ---- TRUNCATE ---- */

static Versions *
all_rows(Relation rel, CommandId since)
{
	return versions_of_all(rel);
}

static Oid
relation_storage(Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	Oid			storage = rel->rd_rel->relfilenode;

	table_close(rel, NoLock);
	return storage;
}

/* One statement truncates several tables; they are one command. */
typedef struct Truncation
{
	RecordedCommand command;
	StringInfoData ids;
	const char *text;			/* NULL if that is not known */
	TimestampTz start;
} Truncation;

/* The one under way, as a copy that an outer level does not share; or a new one. */
static Truncation *
open_truncation(int64 migration)
{
	Truncation *before = safemig_state.truncation;
	Truncation *truncation = palloc0(sizeof(Truncation));

	initStringInfo(&truncation->ids);
	if (before)
	{
		truncation->command = before->command;
		truncation->command.changes = list_copy(before->command.changes);
		appendStringInfoString(&truncation->ids, before->ids.data);
		truncation->text = before->text;
		truncation->start = before->start;
	}
	else
	{
		truncation->command = *data_begin_command("TRUNCATE", migration);
		truncation->text = debug_query_string ? pstrdup(debug_query_string) : NULL;
		truncation->start = GetCurrentStatementStartTimestamp();
	}
	state_save();
	safemig_state.truncation = truncation;
	return truncation;
}

/* NULL, or why not. */
static const char *
keep_truncated(int64 migration, Oid relid)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Truncation *truncation = open_truncation(migration);
	const char *reason;

	positions_note(relid);
	reason = data_keep_table(&truncation->command, relid, all_rows, 0,
										&truncation->ids);
	if (reason == NULL)
		written_truncation_kept(relid, relation_storage(relid));
	MemoryContextSwitchTo(old);
	return reason;
}

/* The migration may have become part of another one since. */
void
data_end_truncation(int64 migration)
{
	Truncation *truncation = safemig_state.truncation;

	if (truncation == NULL)
		return;
	state_save();
	safemig_state.truncation = NULL;
	truncation->command.migration = migration;
	data_add_steps(&truncation->command, &truncation->ids);
	data_end_command(&truncation->command, truncation->text, truncation->start);
}

static bool
rows_were_written(void)
{
	ListCell   *lc;

	foreach(lc, written_since_look())
	{
		Written    *written = lfirst(lc);

		if (written_counts_differ(written) && data_table_name(written->relid))
			return true;
	}
	return false;
}

/*
 * What is not kept for another reason than its size is found when the rows are
 * looked for, and not there.
 */
static void
truncate_table(int64 migration, Oid relid)
{
	Written		all = {.relid = relid};
	const char *reason = data_why_not_kept(migration, relid, &all);

	if (reason == NULL && is_discarding())
		reason = discard_reason();
	else if (reason == NULL)
		reason = keep_truncated(migration, relid);
	else if (strcmp(reason, DATA_OVER_LIMIT) != 0)
		return;
	if (reason)
	{
		all.truncated = true;
		unkept_record(migration, &all, data_table_name(relid), reason);
		written_truncation_kept(relid, relation_storage(relid));
	}
}

/*
 * Called for each table before it is truncated, but before it is locked.  It is
 * no row's change but the table's: like DDL it is a migration by itself.
 */
void
data_keep_truncated(Oid relid)
{
	Frame		frame;
	int64		migration;

	if ((safemig_state.written_id == 0 && !data_is_named() &&
		 safemig_capture_data == CAPTURE_DATA_EXPLICIT) || !data_is_on() ||
		data_table_name(relid) == NULL ||
		pg_class_aclcheck(relid, GetUserId(), ACL_TRUNCATE) != ACLCHECK_OK)
		return;
	LockRelationOid(relid, AccessExclusiveLock);
	/* PostgreSQL asks twice for what the statement names */
	if (written_is_truncation_kept(relid, relation_storage(relid)))
		return;
	own_work_begin();
	frame_become_owner(&frame);
	migration = data_migration_of_rows();
	if (rows_were_written())
		data_record_since_look();
	SAFEMIG_POINT("truncate.begins");
	if (!data_made_by_migration(migration, relid))
		truncate_table(migration, relid);
	SAFEMIG_POINT("truncate.kept");
	framework_table_emptied(relid);
	frame_unpin(&frame);
	own_work_end();
}
