/*-------------------------------------------------------------------------
 *
 * capture.h
 *	  What the files of capture/ share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_CAPTURE_H
#define SAFEMIG_CAPTURE_H

#include "portability/instr_time.h"
#include "tcop/cmdtag.h"
#include "utils/hsearch.h"

#include "safemig.h"

/*
 * A command between its start and its end.  Lives in a context of its own
 * under TopMemoryContext, since a CONCURRENTLY command commits in between.
 */
struct QueryDesc;

typedef struct Command
{
	struct Command *outer;
	MemoryContext context;
	int			nest_level;		/* transaction nest level at the start */
	Node	   *parsetree;		/* NULL for an act of our own */
	const char *tag;
	bool		concurrent;		/* commits in the middle of itself */
	bool		restates;		/* changes names or types by which other
								 * objects are described: what changes beside
								 * the roots changes back with them */
	bool		retypes;		/* changes types of columns */
	bool		spares_contents;	/* what lives in its roots stays as it is */
	bool		moves_sequence; /* may change the position of its root */
	bool		unfinished;		/* recorded as far as it is committed */
	bool		data_only;		/* recorded although no image changes */
	int64		migration;		/* 0 until something is written */
	int64		seq;
	TimestampTz started;
	instr_time	start;
	char	   *search_path;
	List	   *before;			/* of Image* */
	HTAB	   *images;			/* ObjectAddress → Image* of before */
	List	   *roots;			/* of ObjectAddress*: looked into again at the end */
	int			looked_at;		/* so many of them have their images */
	int			altered;		/* so many are what the statement is about, not
								 * what loses a part by it */
	List	   *referring;		/* of ObjectAddress*: looked at, nothing more */
	List	   *type_changes;	/* of TypeChange* */
	List	   *going;			/* of ObjectAddress*: columns that it takes away */
	List	   *created;		/* of ObjectAddress*, by the access hook */
	List	   *dropped;		/* of LostData*: likewise, what holds data */
	List	   *rewrote;		/* of char*: relations rewritten ... */
	List	   *rewritten;		/* ... and their OIDs */
	bool		replaces_parts; /* DROP c, ADD c: another column, by that name */
	char	   *unproved;		/* a copy that may not be exact, or NULL */
	char	   *failed;			/* why it could not be captured, or NULL */
	char	   *stays;			/* what a rollback leaves as it is, or NULL */
	List	   *values;			/* kept ids to finish after the command */
	List	   *early;			/* of EarlyCopy*: copied before the lock */
	List	   *histories;		/* of char*: of frameworks, that it drops */
	struct Observed *observed;	/* what it takes, or NULL */
} Command;

/* A column whose type the command changes, by the name the user gave. */
typedef struct TypeChange
{
	char	   *column;
	Oid			type;
	int32		typmod;
	bool		using_expression;
} TypeChange;

/* A relation or column that PostgreSQL deleted. */
typedef struct LostData
{
	ObjectAddress address;
	char	   *description;
	bool		from_vault;
} LostData;

/* ---- capture.c: the stack of commands ---- */
extern void capture_init(void);
extern Command *command_top(void);
extern Command *command_push(Node *parsetree, const char *tag);
extern void command_pop(Command *command);
extern void command_stack_abort(int nest_level);
extern void command_stack_commit(void);
extern bool command_is_making(Oid relid);
extern Image *command_add_before(Command *command, const ObjectAddress *address);
extern void command_add_root(Command *command, const ObjectAddress *address);
extern void command_add_referring(Command *command, const ObjectAddress *address);
extern void command_look(Command *command);
extern void command_note_rewrite(Command *command, Oid relid);
extern Image *command_find_before(Command *command, const ObjectAddress *address);
extern void command_identify(Command *command);	/* migration and seq */
extern void capture_divert_drops(List **sink, MemoryContext context);

/* ---- observed.c: what a command takes ---- */
extern void observed_begins(Command *command);
/* what safemig had to do before it is done */
extern void observed_runs(Command *command);
extern void observed_rewrites(Command *command, Oid relid);
/* it commits in the middle of itself */
extern void observed_commits(Command *command);
extern void observed_ends(Command *command);
/* NULL where nobody looked */
extern const struct Facts *observed_facts(Command *command, double ms);

/* ---- waits.c: how long the session has waited for locks ---- */
/* to be called soon after there may have been one */
extern void waits_look(void);
extern double waits_ms(void);

/* ---- event_trigger.c: where PostgreSQL enters ---- */
extern bool capture_is_silent(Node *parsetree);
extern bool in_restore_session(void);
extern bool repack_is_at_work(Node *parsetree);
extern void capture_command_starts(Node *parsetree, CommandTag tag);
extern void capture_command_ends(Node *parsetree);

/* ---- utility.c: ... and where it does so with no event trigger ---- */
extern void utility_init(void);

/* ---- outside.c: commands that do what no transaction takes back ---- */
extern bool is_outside_command(Node *stmt);
extern void outside_command_starts(Node *stmt, CommandTag tag);
extern void outside_command_ends(Node *stmt, CommandTag tag);

/* ---- replace.c: an object that has to be made anew, and what hangs on it ---- */
extern void replace_dependants(const Image *have, const Image *want, Steps *steps);

/* ---- framework.c: migrations that a framework runs ---- */
extern void framework_init(void);
extern void framework_statement_starts(const struct QueryDesc *query);
extern void framework_command_ends(Node *parsetree);
extern bool framework_writes_rows(void);
extern bool framework_writes_history(List *range_table);
extern void framework_rows_copied(const CopyStmt *stmt);

/* ---- histories.c: the tables of frameworks ---- */
extern bool framework_drops_helpers(Node *parsetree);
extern bool framework_owns_all(const Command *command, List *changes);
extern void framework_histories_renamed(List *changes);
extern void framework_histories_go(Command *command, List *addresses);
extern void framework_histories_gone(const Command *command);
extern void framework_table_emptied(Oid relid);
extern void framework_transaction_ends(void);

/* ---- failure.c: commands that fail ---- */
extern void failure_init(void);
extern void failures_write(void);
extern void failures_commit(void);
extern void failures_abort(void);

/* ---- data.c: rows that a migration writes ---- */
/* what this transaction's migration, if there is one, wrote since the last look */
extern void data_record_pending(void);
/* does what is written now belong to a migration? */
extern bool data_is_of_migration(void);
/* likewise, before a command that is about to be recorded in it */
extern void data_record_for_command(void);
/* what is written from now on belongs to another one */
extern void data_explicit_begins(void);
extern void data_explicit_ends(void);
extern void data_follow_label(void);
extern void data_before_command(Command *command, List *dropped);
extern void data_keep_truncated(Oid relid);

/* ---- data_scope.c ---- */
extern Bitmapset *columns_of_migration(int64 migration, Oid relid);

/* ---- changes.c: after images, comparison ---- */
extern List *command_changes(Command *command);	/* of Change* */

/* ---- reverse.c ---- */
extern bool position_may_differ(const Command *command, const Image *before,
								const Image *after);
extern void command_reverse(Command *command, List *changes, Steps *steps);

/* ---- record.c: the end of a command, writing ---- */
extern void command_record(Command *command);
extern void command_record_unfinished(void);
extern const char *command_text(const char *tag, const char *text);

/* ---- expand.c: what lives in an object ---- */
extern List *object_contents(const ObjectAddress *address);
/* the row type of a table, an array type, a multirange */
extern bool type_is_dependent(Oid typid);
/* the object whose image shows a sub-object: a default's table; false if the
 * address is an internal part of something else */
extern Oid relation_of_part(const ObjectAddress *address);
extern bool object_owner_address(const ObjectAddress *address,
								 ObjectAddress *owner);

/* the relation or type that this is the type of (image/array_type.c) */
extern void type_object(Oid typid, ObjectAddress *object);
extern bool address_in_vault(const ObjectAddress *address);
extern Oid	address_namespace(const ObjectAddress *address);
extern bool address_is_temporary(const ObjectAddress *address);

/* ---- early.c: copies made while others still read ---- */
extern void early_keep(Command *command, Node *parsetree);
extern int64 early_take(Command *command, Oid relid, AttrNumber attnum);
extern void early_check(Command *command);

/* ---- addressset.c ---- */
static inline bool
same_address(const ObjectAddress *a, const ObjectAddress *b)
{
	return a->classId == b->classId && a->objectId == b->objectId;
}

extern HTAB *address_set(void);
extern void address_set_add(HTAB *set, const ObjectAddress *address);
extern bool address_set_has(HTAB *set, const ObjectAddress *address);

/* ---- target.c: parse tree → addresses, locked ---- */
extern void targets_resolve(Command *command, Node *parsetree);
extern void target_add_linked_operators(Command *command, Oid operator);

/* ---- closure.c: what a drop takes along ---- */
typedef struct Closure
{
	List	   *deleted;		/* of ObjectAddress*, in deletion order */
	List	   *columns;		/* of ObjectAddress* with objectSubId: columns of
								 * tables that stay */
	List	   *named;			/* of ObjectAddress*: what the statement names */
	List	   *notices;		/* what PostgreSQL said: pairs of message, detail */
} Closure;

extern bool statement_drops(Node *parsetree);
extern List *closure_rehearse(Node *parsetree);
extern Closure *closure_of(Node *parsetree);
/* what dropping one object with CASCADE would delete, in deletion order */
extern List *dependants_of(const ObjectAddress *address);
extern void closure_report(Closure *closure);

/* ---- order.c ---- */
extern void order_tables_and_types(Command *command, Closure *closure);

/* ---- support.c: what partition keys need ---- */
extern bool support_dependant(const ObjectAddress *depender, ObjectAddress *dependant);
extern void support_add_needed(Closure *closure, HTAB *moved);
extern void support_check(Closure *closure, HTAB *moved);

/* ---- untie.c ---- */
extern void untie_vault(Node *parsetree, List *named);

/* ---- keeping.c: what of a closure is kept, and how ---- */
extern void keep_dropped(Command *command, Closure *closure, Node *parsetree);
extern void keep_moved_positions(Command *command);

/* ---- moving.c ---- */
extern bool is_movable(const ObjectAddress *address);
extern bool is_part_of(Command *command, const ObjectAddress *address,
					   HTAB *moved);
extern void move_closure(Command *command, Closure *closure, Node *parsetree,
						 HTAB *moved);
extern void delete_rest(Command *command, Closure *closure, Node *parsetree,
						HTAB *moved, List *later);

/* ---- copying.c ---- */
extern void columns_go(Command *command, List *columns);
extern Together columns_changed_together(Command *command, Oid relid);
extern void keep_columns(Command *command, Closure *closure);
extern void keep_changed_values(Command *command);

/* giveway.c */
extern void give_way(Command *command, Node *parsetree);

#endif							/* SAFEMIG_CAPTURE_H */
