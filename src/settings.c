/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  The settings safemig.*; doc/reference.md gives each default's reason.
 *
 * Whatever weakens the protection is for superusers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "utils/datetime.h"
#include "utils/guc.h"

#include "advise/advise.h"
#include "compat.h"
#include "point.h"
#include "safemig.h"

bool		safemig_enabled = true;
char	   *safemig_label = NULL;
char	   *safemig_reason = NULL;
char	   *safemig_notes = NULL;
int			safemig_on_capture_failure = CAPTURE_FAILURE_ERROR;
bool		safemig_require_reversible = false;
bool		safemig_allow_drop = false;
bool		safemig_notices = true;
bool		safemig_report_at_end = false;
bool		safemig_keep_undone = true;
int			safemig_lock_timeout = 5000;
double		safemig_max_kept_bytes = -1;
int			safemig_on_limit = ON_LIMIT_REFUSE;
int			safemig_on_published = ON_PUBLISHED_KEEP;
char	   *safemig_retention = NULL;
char	   *safemig_retention_grace = NULL;
int			safemig_retention_every = 3600;
char	   *safemig_discard = NULL;
int			safemig_notify = NOTIFY_ROLLBACKS;
int			safemig_capture_data = CAPTURE_DATA_DDL;
int			safemig_guard_retries = 10;
int			safemig_guard_timeout = 10000;

static const struct config_enum_entry capture_failure_options[] = {
	{"error", CAPTURE_FAILURE_ERROR, false},
	{"warn", CAPTURE_FAILURE_WARN, false},
	{NULL, 0, false}
};

static const struct config_enum_entry on_limit_options[] = {
	{"refuse", ON_LIMIT_REFUSE, false},
	{"irreversible", ON_LIMIT_IRREVERSIBLE, false},
	{NULL, 0, false}
};

static const struct config_enum_entry on_published_options[] = {
	{"keep", ON_PUBLISHED_KEEP, false},
	{"refuse", ON_PUBLISHED_REFUSE, false},
	{NULL, 0, false}
};

static const struct config_enum_entry capture_data_options[] = {
	{"ddl", CAPTURE_DATA_DDL, false},
	{"explicit", CAPTURE_DATA_EXPLICIT, false},
	{"transaction", CAPTURE_DATA_TRANSACTION, false},
	{NULL, 0, false}
};

static const struct config_enum_entry notify_options[] = {
	{"none", NOTIFY_NONE, false},
	{"rollbacks", NOTIFY_ROLLBACKS, false},
	{"all", NOTIFY_ALL, false},
	{NULL, 0, false}
};

/* What an interval may look like; without any error of its own. */
static bool
is_interval(const char *value)
{
	char		buffer[256];
	char	   *fields[MAXDATEFIELDS];
	int			types[MAXDATEFIELDS];
	int			nfields;
	int			type;
	struct pg_itm_in interval;

	return ParseDateTime(value, buffer, sizeof(buffer), fields, types,
						 MAXDATEFIELDS, &nfields) == 0 &&
		DecodeInterval(fields, types, nfields, INTERVAL_FULL_RANGE, &type, &interval) == 0 &&
		type == DTK_DELTA;
}

static bool
check_retention(char **value, void **extra, GucSource source)
{
	if (strcmp(*value, "never") == 0 || is_interval(*value))
		return true;
	GUC_check_errdetail("It is \"never\" or an interval.");
	return false;
}

static bool
check_retention_grace(char **value, void **extra, GucSource source)
{
	if (is_interval(*value))
		return true;
	GUC_check_errdetail("It is an interval.");
	return false;
}

/* Is nothing kept of what is destroyed: by a rollback, or on purpose? */
bool
is_discarding(void)
{
	if (safemig_state.record_id)
		return !safemig_keep_undone;
	return safemig_discard && safemig_discard[0];
}

/* Why it is not, in words; on purpose. */
char *
discard_reason(void)
{
	return psprintf("safemig.discard: %s", safemig_discard);
}

/* What is kept, how much of it, and for how long. */
static void
define_keeping(void)
{
	DefineCustomRealVariable("safemig.max_kept_bytes",
							 "How much a migration may copy to keep it; what is moved does not count.",
							 "-1: as much as there is.",
							 &safemig_max_kept_bytes, -1, -1, 1e18,
							 PGC_SUSET, GUC_UNIT_BYTE, NULL, NULL, NULL);
	DefineCustomEnumVariable("safemig.on_limit",
							 "What happens to a command that would have more copied than safemig.max_kept_bytes.",
							 NULL, &safemig_on_limit,
							 ON_LIMIT_REFUSE, on_limit_options,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("safemig.on_published",
							 "What happens to a command of which something would be kept while a publication is FOR ALL TABLES.",
							 NULL, &safemig_on_published,
							 ON_PUBLISHED_KEEP, on_published_options,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("safemig.retention",
							   "How long what is kept is left before it expires.",
							   "An interval, or never.",
							   &safemig_retention, "never",
							   PGC_SUSET, 0, check_retention, NULL, NULL);
	DefineCustomStringVariable("safemig.retention_grace",
							   "How long what has expired is marked before it is pruned.",
							   "An interval.",
							   &safemig_retention_grace, "1 day",
							   PGC_SUSET, 0, check_retention_grace, NULL, NULL);
	DefineCustomIntVariable("safemig.retention_every",
							"How often a worker prunes what has expired, in every database.",
							"Where the server preloads the library; 0: never.",
							&safemig_retention_every, 3600, 0, INT_MAX / 1000,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomStringVariable("safemig.discard",
							   "Why what the commands of this session destroy is not to be kept.",
							   "Empty: it is kept.",
							   &safemig_discard, "",
							   PGC_USERSET, 0, NULL, NULL, NULL);
}

void
settings_define(void)
{
	DefineCustomBoolVariable("safemig.enabled",
							 "Records migrations.",
							 NULL, &safemig_enabled, true,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("safemig.label",
							   "Names the migration that the commands of this session belong to.",
							   "Consecutive transactions under the same label are one migration.",
							   &safemig_label, "",
							   PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("safemig.reason",
							   "Is recorded with each migration.",
							   NULL, &safemig_reason, "",
							   PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("safemig.notes",
							   "Is recorded as the note \"notes\" of each migration.",
							   NULL, &safemig_notes, "",
							   PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("safemig.on_capture_failure",
							 "What happens to a command that cannot be recorded.",
							 NULL, &safemig_on_capture_failure,
							 CAPTURE_FAILURE_ERROR, capture_failure_options,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("safemig.require_reversible",
							 "Refuses commands that have no exact reverse.",
							 NULL, &safemig_require_reversible, false,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("safemig.allow_drop",
							 "Allows DROP EXTENSION safemig while data is kept.",
							 NULL, &safemig_allow_drop, false,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("safemig.notices",
							 "Reports what a rollback does and what a DROP keeps.",
							 NULL, &safemig_notices, true,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("safemig.report_at_end",
							 "Says when a migration ends whether and how it can be taken back.",
							 NULL, &safemig_report_at_end, false,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("safemig.keep_undone",
							 "Keeps what a rollback takes away, so that it can be redone.",
							 NULL, &safemig_keep_undone, true,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("safemig.lock_timeout",
							"How long a rollback waits for a lock, each of three times.",
							NULL, &safemig_lock_timeout, 5000, 1, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	define_keeping();
	DefineCustomEnumVariable("safemig.notify",
							 "What is told to those that LISTEN to safemig.",
							 "Nothing, rollbacks and redos, or migrations too.",
							 &safemig_notify, NOTIFY_ROLLBACKS, notify_options,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("safemig.capture_data",
							 "Whose rows are kept when they are written.",
							 "Of transactions with DDL, of explicit and labelled migrations alone, or of all transactions.",
							 &safemig_capture_data, CAPTURE_DATA_DDL,
							 capture_data_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("safemig.guard_retries",
							"How often a guard tries again to roll back what was refused.",
							"It looks first whether that is still necessary.",
							&safemig_guard_retries, 10, 0, INT_MAX,
							PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("safemig.guard_timeout",
							"How long the query of a guard may take.",
							"One that takes longer has failed.",
							&safemig_guard_timeout, 10000, 1, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	points_define();
	policy_define();
	MarkGUCPrefixReserved("safemig");
}
