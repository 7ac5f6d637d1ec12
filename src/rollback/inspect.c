/*-------------------------------------------------------------------------
 *
 * inspect.c
 *	  safemig_check: everything that is in the way of a rollback now.
 *
 * What the catalogs and the history tell is read without a lock.  If nothing
 * of that is in the way, the rollback is rehearsed, since only that knows what
 * rows do to it: but only where no lock has to be waited for, and for a second
 * at most.  So in a database at rest the answer is that of the rollback.
 *
 * Every hint can be pasted: what is not SQL is a comment.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/tablespace.h"
#include "common/relpath.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "rollback/rollback.h"

PG_FUNCTION_INFO_V1(safemig_check);

/* Milliseconds for which others may have to wait for an answer. */
#define CHECK_BUDGET	1000

static void
put_row(ReturnSetInfo *result, const char *severity, const char *object,
		const char *problem, int64 rows, const char *hint)
{
	Datum		values[5];
	bool		nulls[5] = {false, false, false, rows < 0, hint == NULL || hint[0] == '\0'};

	values[0] = CStringGetTextDatum(severity);
	values[1] = CStringGetTextDatum(object);
	values[2] = CStringGetTextDatum(problem);
	values[3] = Int64GetDatum(rows);
	values[4] = nulls[4] ? (Datum) 0 : CStringGetTextDatum(hint);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* What is only for people becomes a comment, which either line break ends. */
static char *
pasteable(const char *command, const char *words)
{
	StringInfoData buf;

	initStringInfo(&buf);
	if (command)
		appendStringInfoString(&buf, command);
	if (words == NULL || words[0] == '\0')
		return buf.data;
	appendStringInfoString(&buf, command ? " -- " : "-- ");
	for (; *words; words++)
	{
		appendStringInfoChar(&buf, *words);
		if (*words == '\n' || *words == '\r')
			appendStringInfoString(&buf, "-- ");
	}
	return buf.data;
}

static char *
hint_of(const Conflict *conflict)
{
	if (conflict->of_policy)
		return pasteable(conflict->command,
						 "safemig_rollback(..., on_conflict => 'keep') leaves these rows as they are, 'restore' overwrites them.");
	return conflict->command ? conflict->command : pasteable(NULL, conflict->hint);
}

static void
put_conflicts(ReturnSetInfo *result, const char *severity, List *conflicts)
{
	ListCell   *lc;

	foreach(lc, conflicts)
	{
		const Conflict *conflict = lfirst(lc);

		put_row(result, severity, conflict->object, conflict->problem, conflict->rows,
				hint_of(conflict));
	}
}

/* ---- rights ---- */

/* Who may look need not be somebody who may run all of it. */
static bool
put_missing_rights(ReturnSetInfo *result, RollbackPlan *plan)
{
	bool		missing = false;
	ListCell   *lc;
	ListCell   *inner;

	if (is_administrator(GetUserId()))
		return false;
	foreach(lc, plan->commands)
	{
		foreach(inner, ((RecordedCommand *) lfirst(lc))->steps)
		{
			Step	   *step = lfirst(inner);

			if (step->mode != RUN_SUPERUSER)
				continue;
			put_row(result, "error", step->object,
					"can be restored by a superuser, or who administers safemig, only", -1,
					psprintf("GRANT EXECUTE ON FUNCTION safemig_administer() TO %s;",
							 quote_identifier(GetUserNameFromId(GetUserId(), false))));
			missing = true;
		}
	}
	return missing;
}

/* ---- others whom it concerns ---- */

/* What a query found: object, problem, hint. */
static void
put_found(ReturnSetInfo *result)
{
	for (uint64 i = 0; i < SPI_processed; i++)
		put_row(result, "info",
				SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1),
				SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2), -1,
				SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 3));
}

static void
put_replication(ReturnSetInfo *result, RollbackPlan *plan)
{
	ListCell   *lc;

	foreach(lc, plan_locked(plan))
	{
		Oid			type = OIDOID;
		Datum		arg = ObjectIdGetDatum(lfirst_oid(lc));

		SPI_connect();
		if (SPI_execute_with_args("SELECT $1::pg_catalog.regclass::pg_catalog.text, 'is published by ' || pg_catalog.string_agg(pg_catalog.quote_ident(x.pubname), ', ' ORDER BY x.pubname),"
								  " 'SELECT * FROM pg_publication_tables WHERE pubname = ANY (' || pg_catalog.quote_literal(pg_catalog.array_agg(x.pubname)) || '); -- What the rollback does to columns has to be done on the subscribers too.'"
								  " FROM pg_catalog.pg_publication p CROSS JOIN LATERAL"
								  "  (SELECT p.pubname FROM pg_catalog.pg_get_publication_tables(p.pubname) t WHERE t.relid OPERATOR(pg_catalog.=) $1) x"
								  " HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 0"
								  " UNION ALL SELECT $1::pg_catalog.regclass::pg_catalog.text, 'is filled by subscription ' || pg_catalog.quote_ident(s.subname),"
								  " 'ALTER SUBSCRIPTION ' || pg_catalog.quote_ident(s.subname) || ' DISABLE; -- It waits until the rollback is done.'"
								  " FROM pg_catalog.pg_subscription_rel r JOIN pg_catalog.pg_subscription s ON s.oid OPERATOR(pg_catalog.=) r.srsubid"
								  " WHERE r.srrelid OPERATOR(pg_catalog.=) $1",
								  1, &type, &arg, NULL, true, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not read pg_publication");
		put_found(result);
		SPI_finish();
	}
}

/* The record of the rollback, and what it keeps for a redo. */
static void
put_all_tables_publications(ReturnSetInfo *result)
{
	SPI_connect();
	if (SPI_execute("SELECT 'publication ' || pg_catalog.quote_ident(p.pubname),"
					" 'publishes all tables: the history, and what the rollback keeps for a redo, with them',"
					" 'SET safemig.keep_undone = off; -- Or publish schemas or tables by name.'"
					" FROM pg_catalog.pg_publication p WHERE p.puballtables"
					" ORDER BY p.pubname", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read pg_publication");
	put_found(result);
	SPI_finish();
}

/* Of any database: WAL is the server's. */
static void
put_slots(ReturnSetInfo *result)
{
	SPI_connect();
	if (SPI_execute("SELECT 'replication slot ' || pg_catalog.quote_ident(s.slot_name),"
					" CASE WHEN s.active THEN 'decodes what the rollback writes to this database'"
					"  ELSE 'is not in use, and keeps the WAL of the rollback' END,"
					" pg_catalog.format('SELECT * FROM pg_replication_slots WHERE slot_name = %L;', s.slot_name)"
					" FROM pg_catalog.pg_replication_slots s"
					" WHERE NOT s.active OR s.database OPERATOR(pg_catalog.=) pg_catalog.current_database()"
					" ORDER BY s.slot_name", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read pg_replication_slots");
	put_found(result);
	SPI_finish();
}

static bool
put_lock_holders(ReturnSetInfo *result, RollbackPlan *plan)
{
	List	   *holders;
	ListCell   *lc;
	Frame		frame;

	frame_become_owner(&frame);
	holders = plan_lock_holders(plan);
	put_replication(result, plan);
	put_all_tables_publications(result);
	put_slots(result);
	frame_unpin(&frame);
	foreach(lc, holders)
	{
		const Conflict *holder = lfirst(lc);
		bool		prepared = strstr(holder->problem, "prepared transaction") != NULL;

		/* nothing but a person ends a prepared one */
		put_row(result, prepared ? "error" : "warning", holder->object, holder->problem,
				-1, hint_of(holder));
	}
	return holders != NIL;
}

/* ---- space ---- */

/* What somebody watching disks would not notice is not told. */
#define SPACE_TOLD	(INT64CONST(16) << 20)

/* Bytes that the step writes at most, or -1. */
static int64
space_of_step(RollbackPlan *plan, const Step *step)
{
	Extent		extent;

	if (strcmp(step->cost, "catalog") == 0)
		return 0;
	/* what only reads */
	if (strncmp(step->sql, "SELECT safemig.validate_constraint(", 35) == 0 ||
		strncmp(step->sql, "SELECT safemig.set_not_null(", 28) == 0)
		return 0;
	extent = step_extent(plan, step);
	/* rows that are written over are copied first, for a redo */
	if (strncmp(step->sql, "SELECT safemig.undo_writes(", 27) == 0 ||
		strncmp(step->sql, "SELECT safemig.restore_rows(", 28) == 0)
		return extent.bytes < 0 ? -1 : 2 * extent.bytes;
	return extent.bytes;
}

/* Bytes that the plan writes at most; how many steps are not in them. */
static int64
space_of_plan(RollbackPlan *plan, int *unknown)
{
	int64		space = 0;
	ListCell   *lc;
	ListCell   *inner;

	foreach(lc, plan->commands)
	{
		foreach(inner, ((RecordedCommand *) lfirst(lc))->steps)
		{
			int64		of_step = space_of_step(plan, lfirst(inner));

			space += Max(of_step, 0);
			*unknown += of_step < 0;
		}
	}
	return space;
}

static char *
pretty(int64 bytes)
{
	return text_to_cstring(DatumGetTextPP(DirectFunctionCall1(pg_size_pretty,
															  Int64GetDatum(bytes))));
}

/* What is free where the directory is, or -1; and on which device that is. */
static int64
free_bytes(const char *directory, dev_t *device)
{
	struct statvfs filesystem;
	struct stat status;

	if (stat(directory, &status) != 0 || statvfs(directory, &filesystem) != 0)
		return -1;
	*device = status.st_dev;
	return (int64) filesystem.f_bavail * filesystem.f_frsize;
}

static List *
tablespaces_of(RollbackPlan *plan)
{
	List	   *tablespaces = NIL;
	ListCell   *lc;

	foreach(lc, plan_locked(plan))
	{
		Oid			tablespace = get_rel_tablespace(lfirst_oid(lc));

		tablespaces = list_append_unique_oid(tablespaces,
											 OidIsValid(tablespace) ? tablespace : MyDatabaseTableSpace);
	}
	return tablespaces;
}

static void
put_lack(ReturnSetInfo *result, const char *object, int64 free, int64 needed)
{
	put_row(result, "warning", object,
			psprintf("has %s left, and the rollback needs up to %s there",
					 pretty(free), pretty(needed)), -1,
			pasteable(NULL, "A rollback that meets a full disk fails and changes nothing; one that meets a full pg_wal takes the server down."));
}

/* WAL is as much again, and may be on the same disk. */
static bool
put_lack_of_space(ReturnSetInfo *result, RollbackPlan *plan, int64 space)
{
	dev_t		wal_device = 0;
	int64		wal = free_bytes("pg_wal", &wal_device);
	bool		told = false;
	bool		wal_told = false;
	ListCell   *lc;

	foreach(lc, tablespaces_of(plan))
	{
		dev_t		device = 0;
		int64		free = free_bytes(GetDatabasePath(MyDatabaseId, lfirst_oid(lc)), &device);
		bool		with_wal = wal >= 0 && device == wal_device;
		int64		needed = with_wal ? 2 * space : space;

		if (free < 0 || free >= needed)
			continue;
		put_lack(result, psprintf("the disk of tablespace %s%s",
								  quote_identifier(get_tablespace_name(lfirst_oid(lc))),
								  with_wal ? " and of pg_wal" : ""), free, needed);
		told = true;
		wal_told |= with_wal;
	}
	if (wal < 0 || wal >= space || wal_told)
		return told;
	put_lack(result, "the disk of pg_wal", wal, space);
	return true;
}

/* Is there too little? */
static bool
put_space(ReturnSetInfo *result, RollbackPlan *plan)
{
	int64		migration = ((Migration *) linitial(plan->migrations))->id;
	int64		space;
	bool		lacking;
	int			unknown = 0;
	Frame		frame;

	frame_become_owner(&frame);
	space = space_of_plan(plan, &unknown);
	lacking = space > 0 && put_lack_of_space(result, plan, space);
	frame_unpin(&frame);
	if (space < SPACE_TOLD)
		return lacking;
	put_row(result, "info", psprintf("migration " INT64_FORMAT, migration),
			psprintf("needs up to %s of disk%s, and about as much in WAL", pretty(space),
					 unknown > 0 ? ", without what cannot be told" : ""), -1,
			psprintf("SELECT step, cost, rows, statement FROM safemig_plan(" INT64_FORMAT ") WHERE cost <> 'catalog';",
					 migration));
	return lacking;
}

/* ---- rows ---- */

static void
put_leaving(ReturnSetInfo *result, RollbackPlan *plan)
{
	List	   *all;
	ListCell   *lc;
	Frame		frame;

	frame_become_owner(&frame);
	all = plan_leaving(plan, false);
	frame_unpin(&frame);
	foreach(lc, all)
	{
		const Leaving *leaving = lfirst(lc);

		put_row(result, "warning", leaving->table,
				psprintf("goes with rows that were written since, out of %s", leaving->parent),
				leaving->rows,
				psprintf("SELECT * FROM %s; -- safemig_redo brings them back.", leaving->table));
	}
}

static void
put_rehearsed(ReturnSetInfo *result, Migration *migration)
{
	Rehearsal	rehearsal = {.budget = CHECK_BUDGET,.quiet = true};
	const char *object = psprintf("migration " INT64_FORMAT, migration->id);
	int			level = NewGUCNestLevel();

	/* never wait, so that nobody waits behind it */
	(void) set_config_option("safemig.lock_timeout", "1", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	migrations_rehearse(list_make1(migration), &rehearsal);
	AtEOXact_GUC(false, level);
	if (rehearsal.conflicts != NIL)
		put_conflicts(result, "error", rehearsal.conflicts);
	else if (rehearsal.spent)
		put_row(result, "warning", object, "was not proved to the end: that takes more than a second", -1,
				psprintf("SELECT * FROM safemig_rehearse(" INT64_FORMAT ", '1 min');", migration->id));
	else if (rehearsal.error && rehearsal.error->sqlerrcode == ERRCODE_SAFEMIG_LOCK)
		put_row(result, "warning", object, rehearsal.error->message, -1,
				pasteable(NULL, "What rows do to it was not looked at: that takes the locks of the rollback."));
	else if (rehearsal.error)
		put_row(result, "error", object,
				rehearsal.error->detail ? psprintf("%s\n%s", rehearsal.error->message, rehearsal.error->detail) :
				rehearsal.error->message, -1, pasteable(NULL, rehearsal.error->hint));
}

Datum
safemig_check(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Migration  *migration;
	Conflict   *obstacle;
	RollbackPlan *plan;
	List	   *conflicts;
	bool		lacking;
	bool		missing;
	bool		in_use;
	char	   *missing_row;
	Frame		frame;

	check_not_null(fcinfo, 0, "id");
	migration = resolve_id(PG_GETARG_INT64(0));
	frame_become_owner(&frame);
	plan = plan_build(list_make1(migration));
	frame_unpin(&frame);
	commands_check_rights(plan->commands);
	InitMaterializedSRF(fcinfo, 0);

	frame_become_owner(&frame);
	obstacle = migration_obstacle(migration);
	conflicts = obstacle ? list_make1(obstacle) : plan_check(plan);
	missing_row = obstacle ? NULL : migration_row_is_missing(migration);
	frame_unpin(&frame);
	put_conflicts(result, "error", conflicts);
	if (obstacle)
		return (Datum) 0;
	if (missing_row)
		put_row(result, "warning", migration->history, missing_row, -1,
				psprintf("SELECT label, version, state FROM safemig.migrations WHERE framework = %s;",
						 quote_literal_cstr(migration->framework)));
	lacking = put_space(result, plan);
	missing = put_missing_rights(result, plan);
	/* the locks of others are told in any case */
	in_use = put_lock_holders(result, plan);
	if (RecoveryInProgress())
		put_row(result, "error", psprintf("migration " INT64_FORMAT, migration->id),
				"cannot be rolled back here: the server is a standby", -1,
				"SELECT pg_promote(); -- or roll it back on the primary");
	if (missing || conflicts != NIL || RecoveryInProgress())
		return (Datum) 0;
	put_leaving(result, plan);
	if (in_use)
		put_row(result, "warning", psprintf("migration " INT64_FORMAT, migration->id),
				"was not proved: its tables are in use", -1,
				psprintf("SELECT * FROM safemig_rehearse(" INT64_FORMAT "); -- waits for them",
						 migration->id));
	else if (lacking)
		put_row(result, "warning", psprintf("migration " INT64_FORMAT, migration->id),
				"was not proved: that writes as much as the rollback, and there is too little space",
				-1, NULL);
	else
		put_rehearsed(result, migration);
	return (Datum) 0;
}
