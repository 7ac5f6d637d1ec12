/*-------------------------------------------------------------------------
 *
 * advise.h
 *	  What the files of advise/ share.
 *
 * A statement is looked at before it runs: which locks it will take, and
 * which rules it meets.  rules.c is the one list of rules; what a rule means
 * for one object is a finding.  policy.c asks the same of a command that is
 * about to run.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_ADVISE_H
#define SAFEMIG_ADVISE_H

#include "nodes/parsenodes.h"
#include "storage/lockdefs.h"
#include "utils/guc.h"

#include "safemig.h"

#define ERRCODE_SAFEMIG_POLICY			MAKE_SQLSTATE('S','M','0','1','0')

/* From least to most. */
typedef enum Severity
{
	SEVERITY_LOW,
	SEVERITY_MEDIUM,
	SEVERITY_HIGH,
	SEVERITY_CRITICAL
} Severity;

/* ---- rules.c ---- */
typedef struct Rule
{
	const char *name;
	Severity	severity;
	const char *lock;			/* that it is about, or NULL */
	const char *cost;			/* catalog, scan, index, rewrite */
	const char *undo;			/* exact, kept, not needed, irreversible ... */
	const char *undo_lock;
	const char *undo_cost;
	const char *why;
	const char *safer;			/* a template, see safer_form(); may be NULL */
	bool		of_new;			/* also of what the script itself makes */
} Rule;

typedef enum RuleId
{
#define RULE(id, ...) id,
#include "advise/rules.h"
#undef RULE
	RULE_COUNT
} RuleId;

extern const Rule rules[RULE_COUNT];
extern const Rule *rule_find(const char *name);
extern const char *severity_name(Severity severity);

/* ---- made.c: what a statement names ---- */
typedef struct Target
{
	Oid			relid;			/* InvalidOid: not there yet */
	char		relkind;
	char	   *name;			/* qualified and quoted */
	bool		made;			/* by the script, or not there: no rows, no risk */
} Target;

/* A lock that the statement takes on a relation that was there before. */
typedef struct TakenLock
{
	const Target *target;
	LOCKMODE	mode;
} TakenLock;

/* A rule met, or (rule NULL) an object locked beside. */
typedef struct Finding
{
	int			statement;		/* number, from 1 */
	const Rule *rule;
	const Target *target;		/* may be NULL */
	char	   *object;
	const char *part;			/* what in the target it is about, or NULL */
	const char *lock;
	const char *cost;
	const char *undo;
	const char *undo_lock;
	const char *undo_cost;
	char	   *kept;			/* what safemig keeps of it, or NULL */
	const char *why;
	char	   *safer;
	char	   *query;			/* shows the rows that would be refused, or NULL */
	double		rows;			/* -1: not known, or not about rows */
	double		bytes;
	double		kept_bytes;
	double		ms;
	const char *ms_source;		/* measured, assumed, or NULL */
	/* observed; NULL: not */
	const char *observed_lock;
	const char *observed_cost;
	double		refused;		/* rows that it would refuse, or -1 */
} Finding;

typedef struct Statement
{
	int			number;
	char	   *sql;			/* NULL where the text is not known */
	Node	   *node;
	const char *tag;
	List	   *locks;			/* of TakenLock* */
	List	   *findings;		/* of Finding* */
	char	   *outcome;		/* of observation, or NULL */
} Statement;

typedef struct Assessment
{
	bool		of_policy;		/* one command, about to run */
	List	   *statements;		/* of Statement* */
	Statement  *now;
	List	   *made;			/* of char*: qualified names */
	List	   *renamed;		/* of Target*: was there, under another name */
	List	   *made_columns;	/* of char*: table.column, by the script */
	List	   *checked;		/* of char*: table.column, validated not null */
	List	   *checks;			/* of List*: constraint, and the column that it
								 * says is not null */
	List	   *not_valid;		/* of char*: table.constraint, this transaction */
	/* the shape of the transaction */
	bool		in_transaction;
	List	   *exclusive;		/* of Oid: held so that nobody writes */
	List	   *changed;		/* of char*: objects that the script changes */
	List	   *altered;		/* of Oid: tables, each named by an ALTER TABLE */
	bool		wide;			/* it has been said that they are many */
	bool		no_lock_timeout;	/* likewise that they are not set */
	bool		no_statement_timeout;
	bool		no_idle_timeout;
	bool		outside_window;
	bool		many;
	int			made_before;	/* objects, by commands that have run */
	List	   *compared;		/* of Oid: with their newest record */
	List	   *rates;			/* what steps took here */
} Assessment;

/* ---- assess.c ---- */
extern List *statements_of(const char *script);	/* of Statement* */
extern void assess_statement(Assessment *a, Statement *statement);
extern Finding *add_finding(Assessment *a, Statement *statement, const Target *target);
extern Finding *fire(Assessment *a, RuleId id, const Target *target);
/* of a column or something else within the target */
extern Finding *fire_part(Assessment *a, RuleId id, const Target *target,
						  const char *type, const char *part);
/* of what is no relation */
extern Finding *fire_named(Assessment *a, RuleId id, const char *object);
extern void takes(Assessment *a, const Target *target, LOCKMODE mode);
extern void set_safer(Finding *finding, const char *template, const Target *target,
					  const char *part, const char *clause);
extern const char *lock_in_words(LOCKMODE mode);
extern LOCKMODE lock_from_words(const char *words);

/* ---- made.c ---- */
extern Target *target_of(Assessment *a, const RangeVar *name);
extern Target *target_of_relation(Oid relid);
extern Target *target_made(Assessment *a, const RangeVar *name);
extern void target_renamed(Assessment *a, const Target *target, const char *schema,
						   const char *name);
extern bool list_has_name(List *names, const char *name);
extern List *list_delete_name(List *names, const char *name);
extern char *joined_name(List *names);

/* ---- facts.c: what the catalogs say ---- */
extern List *facts_oids(const char *sql, Oid relid, int attnum);
extern char *facts_text(const char *sql, Oid relid, int attnum);
extern double facts_number(const char *sql, Oid relid, int attnum);
extern void facts_size(Oid relid, double *rows, double *bytes);
extern double facts_kept_bytes(Oid relid, AttrNumber attnum);
extern List *facts_views_over(Oid relid, AttrNumber attnum);
extern List *facts_read_by(Oid view);
extern List *facts_policies_over(Oid relid);
extern List *facts_checks_elsewhere(Oid relid, AttrNumber attnum);
extern List *facts_below(Oid relid);
extern List *facts_children(Oid relid);
extern List *facts_typed_tables(Oid relid);
extern Oid	facts_default_partition(Oid relid);
extern List *facts_referenced_by(Oid relid, AttrNumber attnum);
extern List *facts_referring_to(Oid relid, AttrNumber attnum);
extern List *facts_all_referring_to(Oid relid);
extern bool facts_not_null_is_checked(Oid relid, const char *column);
extern bool facts_bound_is_implied(Oid parent, Oid relid, PartitionBoundSpec *bound,
								   bool as_default);
extern bool facts_has_check(Oid relid, AttrNumber attnum);
extern char *clause_text(const char *sql, int from);

/* ---- shape.c ---- */
extern bool is_concurrently(Node *node);
extern char *lock_holders(const TakenLock *lock);

/* ---- altertable.c, column.c, constraint.c, make.c, drop.c, other.c, shape.c ---- */
extern void takes_relations(Assessment *a, List *relids, LOCKMODE mode);

/* ---- partners.c: tables on the other side of foreign keys ---- */
extern void takes_tree(Assessment *a, Oid relid, LOCKMODE mode);
extern void takes_for_new_key(Assessment *a, const Target *target, const Target *other,
							  const Constraint *key);
extern void takes_for_lost_key(Assessment *a, Oid referenced);
extern void takes_for_new_partition(Assessment *a, Oid parent, Oid child);
extern void takes_for_lost_partition(Assessment *a, Oid parent, Oid child);
extern void assess_alter_table(Assessment *a, AlterTableStmt *stmt);
extern void assess_new_column(Assessment *a, const Target *target, ColumnDef *column);
extern void assess_column_types(Assessment *a, const Target *target, ColumnDef *column,
								bool key);
extern void assess_type_change(Assessment *a, const Target *target, AlterTableCmd *cmd);
extern void assess_set_not_null(Assessment *a, const Target *target, const char *column);
extern void assess_constraint(Assessment *a, const Target *target, Constraint *constraint);
extern void assess_drop_constraint(Assessment *a, const Target *target, const char *name,
								   bool cascade);
extern void assess_validate(Assessment *a, const Target *target, const char *name);
extern void assess_domain(Assessment *a, AlterDomainStmt *stmt);
extern void assess_create_table(Assessment *a, CreateStmt *stmt);
extern void assess_index(Assessment *a, IndexStmt *stmt);
extern void assess_drop(Assessment *a, DropStmt *stmt);
extern void assess_drop_column(Assessment *a, const Target *target, const char *column,
							   bool cascade);
extern void assess_truncate(Assessment *a, TruncateStmt *stmt);
extern void assess_drop_owned(Assessment *a, DropOwnedStmt *stmt);
extern bool assess_other(Assessment *a, Node *node);

/* ---- rename.c ---- */
extern void assess_rename(Assessment *a, RenameStmt *stmt);
extern void assess_set_schema(Assessment *a, AlterObjectSchemaStmt *stmt);
extern bool assess_maintenance(Assessment *a, Node *node);
extern void shape_begin(Assessment *a, Node *node);
extern void shape_end(Assessment *a, Node *node);
extern void shape_of_script(Assessment *a);
extern void shape_of_command(Assessment *a);
/* what the transaction's commands before this one have done to its shape */
extern void shape_recall(Assessment *a);
extern void shape_remember(const Assessment *a);

/* ---- observe.c ---- */
extern void observe_script(Assessment *a, int budget);

/* ---- window.c ---- */
extern char *safemig_change_window;
extern int	safemig_max_objects;
extern bool window_check(char **value, void **extra, GucSource source);
/* is now within safemig.change_window? */
extern bool window_is_open(void);

/* ---- policy.c ---- */
extern void policy_define(void);
extern bool policy_is_on(void);
extern void policy_check(Node *parsetree);
extern void policy_note_overrides(int64 migration);

/* ---- writes.c ---- */
struct QueryDesc;
extern void policy_check_writes(const struct QueryDesc *query, int eflags);

#endif							/* SAFEMIG_ADVISE_H */
