/*-------------------------------------------------------------------------
 *
 * rollback.h
 *	  What the files of rollback/ share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_ROLLBACK_H
#define SAFEMIG_ROLLBACK_H

#include "fmgr.h"
#include "utils/hsearch.h"

#include "history/history.h"
#include "progress.h"

/* What became of a step of a rehearsal. */
#define REHEARSED	"done"

typedef struct StepOutcome
{
	int			number;			/* in the plan; 0: found necessary on the way */
	const char *statement;
	char	   *outcome;		/* NULL: not reached */
	int64		rows;			/* put back */
	double		ms;
} StepOutcome;

typedef struct Rehearsal
{
	int			budget;			/* milliseconds that locks may be held */
	List	   *outcomes;		/* of StepOutcome* */
	StepOutcome *running;
	TimestampTz since;			/* when that began */
	int64		rows_before;
	MemoryContext context;		/* of what outlives its subtransaction */
	List	   *conflicts;		/* of Conflict*: all that it met, if it was refused */
	ErrorData  *error;			/* that ended it, or NULL */
	bool		spent;			/* the budget was */
	bool		quiet;			/* no word about locks */
	List	   *measures;		/* of Measure*: what it took */
} Rehearsal;

/* What a rollback would do: the commands to take back, newest first. */
typedef struct RollbackPlan
{
	List	   *migrations;		/* of Migration*, newest first */
	List	   *records;		/* of int64*: whose commands these are */
	List	   *commands;		/* of RecordedCommand* */
	HTAB	   *tables;			/* of these by name, once asked for */
	const char **changed;		/* identities, sorted, once asked for */
	int			nchanged;
	ConflictPolicy on_conflict;
	List	   *conflicts;		/* of Conflict*: constraints that rows break */
	bool		doomed;			/* some step could not be run */
	List	   *postponed;		/* of struct Postponed*: validations */
	int			steps;
	const char *strongest_lock; /* NULL: none that anybody would notice */
	const char *strongest_object;
	Rehearsal  *rehearsal;		/* NULL: this is no rehearsal */
	List	   *measures;		/* of Measure*: what its steps took */
	ProgressCommand progress_command;
	TimestampTz since;			/* it was begun */
	Progress   *progress;		/* while it is worked on, or NULL */
} RollbackPlan;

/* A rollback that has begun: what is done from now on is recorded as its. */
typedef struct RollbackRun
{
	RollbackPlan *plan;
	HTAB	   *contents;		/* of the plan's tables, when it began */
	List	   *parts;			/* of Kept*: what its commands wrote */
	List	   *named;			/* rows of frameworks' histories under its names */
	bool		stamped;		/* see stamp_values() in run.c */
	int64		record;
} RollbackRun;

/* What the calls leave to the caller's choice. */
typedef struct RollbackOptions
{
	ConflictPolicy on_conflict;
	char	   *plan_hash;		/* NULL: any */
	char	   *reason;
	Rehearsal  *rehearsal;		/* NULL: in earnest */
} RollbackOptions;

/* A table, and the rows of it that a step is about. */
typedef struct KeptTable
{
	Kept	   *kept;
	Oid			relid;
} KeptTable;

/* ---- kepttables.c ---- */
extern List *kept_tables_argument(ArrayType *array, const char *kind);

/* ---- writes.c ---- */
extern void undo_table(const KeptTable *table);
/* of the step that has just looked: unless all are being collected */
extern void writes_refuse(void);

/* The state that the history says an object is in. */
typedef struct ObjectState
{
	char		key[NAMEDATALEN * 8];	/* type and identity, cut */
	Image	   *image;			/* some image of that address */
	bool		present;
} ObjectState;

typedef struct Conflict
{
	int			sqlstate;
	char	   *object;
	char	   *problem;
	int64		rows;			/* -1: not counted */
	char	   *hint;			/* may be NULL */
	char	   *command;		/* to be pasted; NULL: the hint is for people */
	bool		of_policy;		/* on_conflict says what is to become of it */
	bool		of_step;		/* PostgreSQL's own error, in a step */
	/* what is said if it is the only one; may be NULL */
	char	   *message;
	char	   *detail;
} Conflict;

/* ---- state.c: what the history says ---- */
extern List *states_before(List *commands);	/* of ObjectState*, once undone */
extern List *states_after(List *commands);	/* as the last command left it */
extern bool state_is_to_go(const ObjectState *state, List *before);
extern bool address_find(const Image *image, ObjectAddress *address);
extern Image *image_now(const Image *recorded);	/* NULL: not there */

/* ---- leaving.c ---- */
typedef struct Leaving
{
	char	   *table;			/* goes */
	char	   *parent;			/* stays */
	int64		rows;			/* that were written since */
} Leaving;

extern List *plan_leaving(RollbackPlan *plan, bool one);	/* of Leaving* */
extern void plan_warn_of_leaving(RollbackPlan *plan);

/* ---- reworded.c ---- */
/* what another major version recorded, in the words of this one; why not, or NULL */
extern const Image *image_reworded(const Image *recorded, const Image *now, char **why);

/* ---- histories.c: rows by which frameworks know migrations ---- */
extern List *plan_named_rows(const RollbackPlan *plan);
extern void named_rows_check(List *named, List **conflicts);
extern void plan_check_rows_newer(const RollbackPlan *plan, List **conflicts);
extern char *migration_row_is_missing(const Migration *migration);

/* ---- certificate.c: what the proof of a rollback found ---- */
typedef struct Verified
{
	char	   *object;
	char	   *fingerprint;	/* of its description; NULL: it is not there */
} Verified;

extern char *text_fingerprint(StringInfo text);
extern char *image_fingerprint(const Image *image);
extern Verified *verified_object(const ObjectState *state, const Image *now);
extern void certificate_write(int64 record, List *verified, TimestampTz since);

/* ---- needs.c ---- */
extern void check_needs_are_back(const Image *image);

/* ---- plan.c ---- */
extern RollbackPlan *plan_build(List *migrations);
extern char *plan_hash(RollbackPlan *plan);

/* ---- extent.c ---- */
typedef struct Extent
{
	int64		rows;			/* -1: not known */
	int64		bytes;
} Extent;

extern Extent step_extent(RollbackPlan *plan, const Step *step);
extern HTAB *changes_by_object(const RecordedCommand *command);
extern Oid	step_relation(HTAB *changes, const Step *step);

/* ---- estimate.c: how long steps took, and may take ---- */
typedef struct Measure Measure;
typedef struct Rate Rate;

extern Measure *measure_begin(RollbackPlan *plan, const Step *step);
extern void measure_end(RollbackPlan *plan, Measure *measure);
extern void measures_write(List *measures);
extern List *rates_read(void);	/* of Rate* */
/* milliseconds, or -1: nothing is known */
extern double step_estimate(List *rates, const Step *step, const Extent *extent);
extern bool step_estimate_is_founded(List *rates, const Step *step);
extern double step_estimate_assumed(const char *cost, int64 bytes);

/* ---- lock.c ---- */
/* one rollback, or prune, at a time */
extern void rollback_lock(void);
extern void plan_lock(RollbackPlan *plan);
/* who holds what is in its way now; of Conflict* */
extern List *plan_lock_holders(RollbackPlan *plan);
/* OIDs of what it locks, in that order */
extern List *plan_locked(RollbackPlan *plan);
/* names of the tables and views that it locks, in that order */
extern List *plan_locked_names(RollbackPlan *plan);

/* ---- prune.c ---- */
/* Whoever pins a migration wants it undone, or redone, by what its rollback
 * or its redo keeps, too. */
#define PINS(id) \
	" FROM safemig.pin_log p JOIN safemig.migration_log x ON x.id OPERATOR(pg_catalog.=) p.migration" \
	" WHERE p.until OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()" \
	" AND (x.id OPERATOR(pg_catalog.=) " id " OR x.effective OPERATOR(pg_catalog.=) " id \
	" OR x.rolled_back_by OPERATOR(pg_catalog.=) " id ")"

/* what these records (of int64*) keep, in the owner's frame; bytes */
extern int64 prune_records(Migration *migration, List *records, const char *reason);

/* ---- expire.c: what has expired, marked and then pruned ---- */
typedef struct Expiry
{
	int			marked;			/* records that are marked now */
	int			pruned;			/* records */
	int64		bytes;
} Expiry;

/* by safemig.retention; no more records than limit, if that is not 0 */
extern Expiry expire(int limit, const char *reason);

/* ---- rights.c ---- */
extern void plan_check_rights(RollbackPlan *plan);
/* for what does not run their steps */
extern void commands_check_rights(List *commands);

/* ---- check.c ---- */
extern List *plan_check(RollbackPlan *plan);	/* of Conflict* */
/* is more than rows concerned? */
extern bool plan_changes(RollbackPlan *plan, const char *identity);

/* ---- conflict.c ---- */
extern Conflict *add_conflict(List **conflicts, int sqlstate, const char *object,
							  char *problem, const char *hint);
/* plan: not needed if all are about rows */
extern void conflicts_raise(const RollbackPlan *plan, List *conflicts);

/* ---- writes.c ---- */
extern void writes_warn(void);
extern List *writes_conflicts(void);	/* of Conflict* */
extern List *misfit_conflicts(void);	/* of Conflict* */

/* ---- run.c: one rollback, from its locks to its record ---- */
extern RollbackRun *run_open(List *migrations, RollbackOptions *options,
							 const char *kind);
extern List *migration_ids(List *migrations);
extern int64 run_close(RollbackRun *run);	/* proves; the record's id */
extern int64 take_back(List *migrations, RollbackOptions *options,
					   const char *kind);

/* ---- rollback.c ---- */
extern char *text_argument(FunctionCallInfo fcinfo, int n);	/* NULL for NULL */
extern void check_can_write(const char *call);
extern void check_not_null(FunctionCallInfo fcinfo, int n, const char *name);
extern int64 rollback_one(int64 id, char *reason);
/* newest first; the id of the one record */
extern int64 rollback_migrations(List *migrations, RollbackOptions *options);
extern int64 redo_one(int64 id, char *reason);
/* several that were redone in one act have one record: all or none */
extern void check_shares_record(List *migrations);
/* NULL, or why its state does not allow it */
extern Conflict *migration_obstacle(const Migration *migration);
extern void check_still_as_planned(List *migrations);
/* their states allow it; the plan itself is not looked at */
extern void check_can_all_be_rolled_back(List *migrations);
extern Migration *resolve_id(int64 id);
extern List *migrations_newer_than(int64 seq);	/* of Migration*, newest first */
extern Migration *resolve_label(const char *label);

extern RollbackPlan *rollback_plan_for_script(int64 id);
extern RollbackRun *rollback_begin_script(int64 id, char *plan_hash);
extern int64 rollback_end_script(RollbackRun *run);	/* proves; the record's id */

/* ---- rehearse.c ---- */
/* milliseconds */
extern int	hold_budget_argument(FunctionCallInfo fcinfo, int n);	/* milliseconds */
/* what runs from here on is cancelled after so many milliseconds ... */
extern void hold_clock_start(int budget);
/* ... until here; was it? */
extern bool hold_clock_stop(void);
/* from here on locks are held: within the budget it ends itself */
extern void rehearsal_start_clock(Rehearsal *rehearsal);
extern void rehearsal_step_begin(Rehearsal *rehearsal, int number,
								 const char *statement);
extern void rehearsal_step_end(Rehearsal *rehearsal, bool conflict);
/* of budget and quiet, which are set; the plan's rights are checked */
extern void migrations_rehearse(List *migrations, Rehearsal *rehearsal);

/* ---- report.c: said when a migration ends, if asked for ---- */
extern void migration_report(int64 id);

/* ---- database.c ---- */
typedef struct DatabaseState DatabaseState;

/* every object, and the rows of these tables (of char*: identities) */
extern DatabaseState *database_now(List *tables);
/* in words; NULL: there is none */
extern char *database_differences(const DatabaseState *a, const DatabaseState *b);

/* ---- prove.c ---- */
typedef struct ProofItem
{
	const char *item;
	const char *outcome;
	const char *detail;			/* may be NULL */
} ProofItem;

extern List *script_prove(const char *script);	/* of ProofItem* */

/* ---- lapsed.c ---- */
/* may it be refused now although it ran once? */
extern bool step_may_have_lapsed(const Node *stmt);
/* what it was refused for, for the moment; to be put back */
extern List *lapsed_lift(const Node *stmt);
extern void lapsed_put_back(List *lifted);

/* ---- apply.c ---- */
/* runs it to its end; of Conflict*: all that it met */
extern List *plan_try(RollbackPlan *plan);
/* says nothing about the state: cancelled, out of memory */
extern bool plan_error_is_no_reason(const ErrorData *error);
extern void plan_run_step(const RecordedCommand *command, const Step *step);
/* what still differs from the state before the command, once its steps are run */
extern void plan_settle(RollbackPlan *plan, RecordedCommand *command);
extern void plan_warn_unkept(const RecordedCommand *command);

/* ---- misfit.c ---- */
/* shows the rows that made the step fail with such an error, or NULL */
extern char *misfit_query(const RecordedCommand *command, const Step *step,
						  int sqlstate);
extern int64 misfit_count(const RecordedCommand *command, const Step *step,
						  int sqlstate);
/* what the rows have to pass: OIDs of the tables, or NIL if it is another step */
extern List *misfit_tables(const Step *step);

/* the constraint that the step validates, or InvalidOid */
extern Oid	misfit_validated(const Step *step);

/* ---- drift.c ---- */
/* is it otherwise than its newest record says? */
extern bool object_has_drifted(const ObjectAddress *address);

/* ---- line.c ---- */
extern void line_check(RollbackPlan *plan, List **conflicts);

/* ---- refresh.c ---- */
extern void refreshes_postpone(RollbackPlan *plan);

/* ---- postpone.c ---- */
typedef struct Postponed
{
	const RecordedCommand *command;
	const Step *step;
	Oid			constraint;
	List	   *conflicts;		/* of Conflict*: what it met at its place */
} Postponed;

/* is the step, which failed with that error, to be tried at the end? */
extern bool validation_postpone(RollbackPlan *plan, const RecordedCommand *command,
								const Step *step, int sqlstate, List *conflicts);
extern bool validation_is_postponed(const RollbackPlan *plan, Oid constraint);
/* under the names that table and key have now; NULL: not needed any more */
extern Step *validation_now(const Postponed *postponed);

/* ---- scriptrun.c ---- */
extern bool step_stands_alone(const Step *step);

/* ---- verify.c ---- */
/* what lives in the tables of the plan now */
extern HTAB *plan_contents(RollbackPlan *plan);
/* objects found equal, or ERROR */
extern List *plan_verify(RollbackPlan *plan, HTAB *contents_before);

#endif							/* SAFEMIG_ROLLBACK_H */
