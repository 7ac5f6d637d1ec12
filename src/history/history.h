/*-------------------------------------------------------------------------
 *
 * history.h
 *	  Writing and reading the history.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_HISTORY_H
#define SAFEMIG_HISTORY_H

#include "storage/lockdefs.h"

#include "safemig.h"

typedef struct Migration
{
	int64		id;
	char	   *kind;
	char	   *label;			/* may be NULL */
	char	   *state;
	char	   *session_role;
	char	   *framework;		/* may be NULL */
	char	   *version;		/* may be NULL */
	char	   *history;		/* table of its framework, or NULL */
	int64		rolled_back_by; /* 0: none */
	int64		effective;		/* the record whose commands are its present
								 * form: itself, or its last redo */
	List	   *rolls_back;		/* of int64* */
} Migration;

/* One row of change_log, or what is about to become one. */
typedef struct Change
{
	char		action;			/* c created, d dropped, a altered, r restated:
								 * changes and changes back with another; w
								 * written: its rows were; n noted: not
								 * changed at all */
	Image	   *before;
	Image	   *after;
	/* while it is being recorded */
	Image	   *vaulted;		/* what stands in the vault now */
	bool		covered;		/* made, dropped or kept together with its parent */
} Change;

/* What a command took, as far as it was seen. */
typedef struct Facts
{
	double		own_ms;			/* of its time, what safemig did */
	double		waited_ms;		/* for locks */
	List	   *locks;			/* of char*: relation, mode, ...; strongest first */
	int64		locked;			/* -1: not looked at */
	int64		wal_bytes;
	int64		own_wal_bytes;
	int64		written_bytes;	/* in files that it made */
	const char *cost;			/* catalog, scan, index, rewrite */
	int64		table_bytes;	/* of what it went through; -1: not known */
} Facts;

typedef struct RecordedCommand
{
	int64		seq;
	int64		migration;
	char	   *tag;
	char	   *irreversible;	/* NULL: it is reversible */
	char	   *unkept;			/* rows written and not kept, or NULL */
	List	   *steps;			/* of Step* */
	List	   *changes;		/* of Change* */
	bool		refreshes_later;	/* a materialized view, at the end of the plan */
	const Facts *facts;			/* to be written with it, or NULL */
} RecordedCommand;

/* ---- history.c: migrations ---- */
extern int64 history_current_migration(void);
extern int64 history_migration_under(const char *label);
extern int64 history_open_record(const char *kind, const char *label,
								 List *rolls_back, const char *reason);
extern int64 history_new_migration(const char *kind, const char *label,
								   const char *state, const char *reason);
extern int64 history_next_command(void);
extern Migration *history_get_migration(int64 id, bool missing_ok);
extern List *history_migrations(const char *where, int nargs, Oid *types, Datum *args);
extern char *history_incarnation(void);
extern char *history_session(void);
extern bool history_oids_hold(const char *incarnation);
extern void history_set_state(int64 id, const char *state);
extern bool history_forget_if_empty(int64 id);
extern void history_note_writer(int64 migration);
extern void history_note_writer_xid(int64 migration, int64 xid);
extern void history_refuse_drop_while_kept(void);

/* ---- baseline.c ---- */
extern List *baseline_images(void); /* of all objects, as they are now */

/* ---- note.c ---- */
extern void history_write_note(int64 migration, const char *key, const char *value);

/* ---- open.c ---- */
extern void open_lock_take(int64 id);
extern void open_lock_release(int64 id);
extern void open_lock_release_at_commit(int64 id);
extern void open_locks_restore(const List *ended, int64 open);
extern void open_locks_commit(void);
/* open, but no session holds it open any more */
extern bool migration_is_abandoned(int64 id);
/* in the hands of some session, this one too */
extern bool migration_is_open(const Migration *migration);
extern int64 open_migration_id(void);

/* ---- rows.c: inserting without SPI ---- */
extern Relation history_open(const char *table, LOCKMODE lockmode);
extern void history_insert(const char *table, Datum *values, bool *nulls, int natts);
extern int64 history_nextval(const char *sequence);

/* ---- measure.c: what things took on this server ---- */
extern void history_write_measure(TimestampTz since, const char *kind, const char *cost,
								  int64 rows, int64 bytes, double ms);
/* may older ones go now? */
extern bool history_forgets_measures(void);
extern void history_forget_measures(const char *kind, const char *cost);
/* ---- touched.c: what is said and counted when a transaction commits ---- */
extern void history_note_touched(const RecordedCommand *command);
extern void history_transaction_ends(bool commits);

/* ---- command.c: commands and changes, out and in ---- */
extern void history_read_images(HeapTuple tuple, int column, Image **before,
								Image **after);
extern void history_write_command(RecordedCommand *command, const char *query,
								  const char *search_path, TimestampTz started,
								  double ms, List *rewrote);
extern void history_add_table(RecordedCommand *command, Oid relid, char action,
							  const Kept *kept);
extern void history_forget_command(int64 seq);
extern List *history_changes(int64 seq);	/* of Change*, of one command */
extern List *history_commands(List *migrations);	/* of RecordedCommand*, newest first */

#endif							/* SAFEMIG_HISTORY_H */
