/*-------------------------------------------------------------------------
 *
 * guard.h
 *	  Guards: migrations that are watched after they have run.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_GUARD_H
#define SAFEMIG_GUARD_H

#include "datatype/timestamp.h"
#include "fmgr.h"

/* How a guard came to its end, or is still there. */
#define GUARD_WATCHING		"watching"
#define GUARD_ALARM			"alarm" /* the rollback was refused, and is tried again */
#define GUARD_PASSED		"passed"
#define GUARD_CONFIRMED		"confirmed"
#define GUARD_ROLLED_BACK	"rolled_back"
#define GUARD_FAILED		"failed"	/* the rollback was refused for the last time */
#define GUARD_REMOVED		"removed"
#define GUARD_OVER			"over"	/* the migration does not stand any more */

/* As a condition on that column. */
#define GUARD_WATCHES(column) \
	" " column " OPERATOR(pg_catalog.=) ANY (ARRAY['" GUARD_WATCHING "', '" GUARD_ALARM "'])"

/* A row of safemig.guard_log. */
typedef struct Guard
{
	int64		id;
	int64		migration;
	char	   *state;
	char	   *session_role;	/* as whom its worker connects */
	char	   *role;			/* as whom it acts */
	char	   *check_query;	/* or NULL */
	char	   *search_path;	/* for it */
	int64		every;			/* microseconds */
	int			failures;		/* in a row */
	bool		confirm;
	bool		confirmed;
	char	   *on_conflict;
	TimestampTz deadline;
	TimestampTz checked_at;		/* 0: not yet */
	int			failed;			/* checks in a row */
	int			tries;			/* refused rollbacks */
	char	   *problem;		/* of the last check or rollback, or NULL */
} Guard;

/* How an evaluation of a query ended. */
typedef struct Verdict
{
	bool		holds;
	char	   *problem;		/* why not */
} Verdict;

/* ---- guard_log.c: safemig.guard_log; for the owner's frame ---- */
extern int64 guard_insert(const Guard *guard, int64 within, const char *reason);
extern Guard *guard_get(int64 id, bool for_update); /* NULL: it is not there */
extern Guard *guard_of_migration(int64 migration);	/* that still watches */
extern List *guards_watching(void); /* of Guard* */
extern bool guard_is_over(const Guard *guard);
extern void guard_note_check(const Guard *guard, const Verdict *verdict);
extern void guard_note_refusal(const Guard *guard, const char *problem);
extern void guard_confirm(const Guard *guard, const char *reason);
extern void guard_end(const Guard *guard, const char *state, int64 rollback,
					  const char *problem);
extern void guard_notify(const Guard *guard, const char *event, int64 rollback);

/* ---- guard_query.c ---- */
extern Verdict query_verdict(const char *query);	/* raises its errors */

/* ---- guard_start.c: its worker, and who starts it ---- */
extern void guard_init(void);
extern void guard_start(const Guard *guard);
extern bool guard_hold(int64 id);	/* false: another worker has it */
extern bool guard_is_attended(int64 id);

/* What a worker is given to start with. */
typedef struct GuardOrder
{
	int64		guard;
	int64		migration;
	Oid			database;
	Oid			tablespace;
	Oid			session_role;
	TransactionId xid;			/* that wrote the guard */
} GuardOrder;

#endif							/* SAFEMIG_GUARD_H */
