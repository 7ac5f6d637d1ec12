/*-------------------------------------------------------------------------
 *
 * framework.h
 *	  Migration frameworks and the tables in which they keep their history.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_FRAMEWORK_H
#define SAFEMIG_FRAMEWORK_H

#include "executor/tuptable.h"
#include "utils/relcache.h"

#include "history/history.h"

/* What a table is to a framework. */
typedef enum FrameworkTable
{
	FRAMEWORK_NOTHING,
	FRAMEWORK_HISTORY,			/* a row for each migration, or one for all */
	FRAMEWORK_PART,				/* more rows about a migration */
	FRAMEWORK_HELPER			/* its lock and the like: of no migration */
} FrameworkTable;

/* When the row of a migration is written. */
typedef enum RowWritten
{
	ROW_WITH,					/* in its transaction, behind its commands */
	ROW_AFTER,					/* in a transaction of its own */
	ROW_BEFORE,
	ROW_ELSEWHERE				/* by another session, when it has committed */
} RowWritten;

typedef struct FrameworkColumn
{
	char	   *name;
	List	   *types;			/* of char*, as format_type spells them */
	bool		optional;
} FrameworkColumn;

/* A row of safemig.frameworks. */
typedef struct Framework
{
	char	   *name;
	char	   *table_name;		/* regular expression, or NULL */
	List	   *columns;		/* of FrameworkColumn* */
	char	   *beside;			/* table without which it is another, or NULL */
	char	   *label;			/* SQL expressions */
	char	   *version;
	char	   *applied;
	RowWritten	row_written;
	bool		by_statement;	/* each in a transaction of its own */
	bool		linear;			/* the order of migrations is binding ... */
	List	   *linear_by;		/* ... within these columns (of char*) */
	List	   *parts;			/* regular expressions */
	List	   *helpers;
	char	   *schema_name;	/* that it makes for itself, or NULL */
	bool		one_row;		/* names the last migration alone */
	bool		seeded;
} Framework;

/* What a row of a history table says. */
typedef struct HistoryRow
{
	char	   *label;
	char	   *version;		/* may be NULL */
	bool		applied;
	char	   *history;		/* the table, by its whole name */
	char	   *line;			/* of which it is, or NULL */
} HistoryRow;

/* A row that is there. */
typedef struct FoundRow
{
	HistoryRow	row;
	TransactionId xmin;			/* that wrote it */
	ItemPointerData tid;
} FoundRow;

/* ---- definition.c ---- */
extern List *frameworks_known(void);
extern uint64 frameworks_version(void);

/* ---- framework.c ---- */
extern const Framework *framework_of(Oid relid, FrameworkTable *table);
extern const Framework *framework_of_schema(const char *name);
extern Form_pg_attribute framework_attribute(TupleDesc desc, const char *name);
extern char *framework_next_name(const char **names);
extern void framework_check_names(const Framework *framework);
extern char *history_name(Oid relid);
extern Oid	history_relid(const char *name);
extern List *framework_tables(void);	/* history tables: their OIDs */

/* ---- history_row.c ---- */
extern HistoryRow *framework_read_row(const Framework *framework, Relation rel,
									  TupleTableSlot *slot);
extern List *framework_read_rows(const Framework *framework, Relation rel);
extern void framework_check_expressions(const Framework *framework);

/* ---- naming.c: migrations and their rows in migration_log ---- */
/* the framework is a guess until there is one */
#define MIGRATION_WITHOUT_A_ROW \
	" m.kind OPERATOR(pg_catalog.=) 'migration'" \
	" AND m.state OPERATOR(pg_catalog.=) 'applied'" \
	" AND m.effective OPERATOR(pg_catalog.=) m.id" \
	" AND m.label IS NULL AND m.version IS NULL" \
	" AND (m.history IS NULL OR m.framework OPERATOR(pg_catalog.=) $1)"
extern List *migration_ids_of(const char *query, int nargs, Oid *types, Datum *args);
/* several become the first of them; 0: there was none */
extern int64 migrations_merge(List *ids);
/* what is not known of it yet */
extern void migration_name(int64 id, const Framework *framework, const char *label,
						   const HistoryRow *row, const char *previous);
extern void migration_forget_name(int64 id);
extern void migration_rename(int64 id, const HistoryRow *row);
extern void migrations_of_history_move(const char *from, const char *to);
extern void migration_mark_reverted(int64 id, int64 by);
extern void migrations_mark_reverted(List *ids, int64 by);

/* ---- adopt.c: rows that were written unseen ---- */
extern void frameworks_adopt(void);
extern bool framework_row_is_recorded(const Framework *framework, const HistoryRow *row);
extern List *framework_rows_to_adopt(const Framework *framework, Oid relid);

/* ---- gaps.c ---- */
extern bool framework_row_is_missing(const Framework *framework, Relation rel, int64 migration);

#endif							/* SAFEMIG_FRAMEWORK_H */
