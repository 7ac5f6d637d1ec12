/*-------------------------------------------------------------------------
 *
 * unkept.c
 *	  Rows that a migration writes and that are not kept.
 *
 * Rows updated, deleted or truncated away without having been kept are lost to
 * a rollback, so the migration is recorded as irreversible, by table, and the
 * user is told; rows inserted are recorded, and stay when the rest is taken
 * back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/guc.h"
#include "utils/timestamp.h"

#include "capture/written.h"
#include "history/history.h"

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
	if (written->elsewhere)
		appendStringInfo(&buf, "%s%s", buf.len ? ", " : "", written->elsewhere);
	return buf.data;
}

static bool
is_lossy(const Written *written)
{
	return written->updated > 0 || written->deleted > 0 || written->truncated ||
		written->elsewhere != NULL;
}

void
unkept_record(int64 migration, const Written *written, const char *table,
			  const char *reason)
{
	RecordedCommand command = {0};
	char	   *counts = describe_counts(written);

	command.seq = history_next_command();
	command.migration = migration;
	command.tag = "DATA";
	command.unkept = psprintf("%s: %s", table, counts);
	if (is_lossy(written))
		command.irreversible = psprintf("the rows that it wrote in %s were not kept (%s%s%s)",
										table, counts, reason ? "; " : "",
										reason ? reason : "");
	history_write_command(&command, NULL,
						  GetConfigOption("search_path", false, false),
						  GetCurrentTimestamp(), 0, NIL);
	if (command.irreversible == NULL)
		return;
	if (safemig_require_reversible)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_IRREVERSIBLE),
				 errmsg("migration %lld is irreversible: %s",
						(long long) migration, command.irreversible)));
	ereport(WARNING,
			(errcode(ERRCODE_SAFEMIG_IRREVERSIBLE),
			 errmsg("the migration is irreversible: %s", command.irreversible),
			 errhint("safemig_rollback(..., on_conflict => 'keep') takes back the rest and leaves these rows as they are.")));
}
