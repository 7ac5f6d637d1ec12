/*-------------------------------------------------------------------------
 *
 * writes.h
 *	  What the files about rows that a migration wrote share.
 *
 * For each row that came to be different there is one row in the copy: what
 * was done to it, how it can be known again, and what it held before.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_WRITES_H
#define SAFEMIG_WRITES_H

#include "keep/rows.h"

#define WRITES_KIND	"writes"

/* ---- versions.c: what became of the rows of a table ---- */

/* A version that was made, or gone, by that command of the transaction. */
typedef struct SeenVersion
{
	ItemPointerData tid;
	bool		gone;
	CommandId	command;
} SeenVersion;

/* Of one relation, in order. */
typedef struct Seen
{
	Oid			relid;
	Size		nversions;
	Size		space;
	SeenVersion *versions;
} Seen;

typedef struct Versions
{
	Seen	   *seen;			/* what was found, or NULL */
	struct Tuplestorestate *store;
	TupleDesc	desc;
	int64		inserted;
	int64		updated;
	int64		deleted;
} Versions;

extern Versions *versions_find(Relation rel, CommandId since, List *seen,
							   bool note);
extern Versions *versions_of_all(Relation rel);
extern Versions *versions_begin(void);
/* NULL: it was not there before, or is not there any more */
extern void versions_put(Versions *versions, ItemPointer before, ItemPointer after);
extern bool versions_next(Versions *versions, TupleTableSlot *slot,
						  ItemPointer before, ItemPointer after);
extern void versions_again(Versions *versions);
extern void versions_fetch(Relation rel, ItemPointer tid, TupleTableSlot *slot);
extern void versions_close(Versions *versions);

/* ---- writes.c: keeping ---- */

/* What was done to a row. */
#define ROW_INSERTED	'i'
#define ROW_UPDATED		'u'
#define ROW_DELETED		'd'

/* The columns of the copy: these, then the key, then the row as it was. */
typedef enum WrittenColumn
{
	WRITTEN_ACTION = 1,
	WRITTEN_FIRST,				/* hash of what is to be found: of the changed */
	WRITTEN_SECOND,				/* columns, or of the whole row (insertions, and
								 * all rows of a table without a key) */
	WRITTEN_CHANGED,			/* a bit for each column; NULL: all */
	WRITTEN_FIXED = WRITTEN_CHANGED
} WrittenColumn;

typedef struct WritesShape
{
	int			nkeys;			/* 0: rows are known by all that they hold */
	StoredColumn *keys;
	RowShape	row;
	bool	   *passing;		/* of these columns: goes with the migration */
	bool		moves_keys;		/* while keeping: the key of a row changed */
	TupleDesc	row_desc;		/* of the row as stored, to hash it */
} WritesShape;

/* the key, if the table has one: rows are matched by it */
extern int	relation_key(Relation rel, StoredColumn **keys);

extern bool writes_may_be_too_wide(Relation rel);
extern Kept *writes_keep(Relation rel, Versions *versions,
						 const Bitmapset *passing, int64 migration, int64 command);
extern void writes_shape_of_copy(Relation rel, Relation copy, const Kept *kept,
								 WritesShape *shape);
extern bool writes_is_changed(bytea *changed, int column);
extern bytea *writes_no_columns(const WritesShape *shape);
extern RowHash writes_hash(const WritesShape *shape, bytea *changed,
						   const Datum *values, const bool *nulls);

/* ---- match.c: the rows of now that the copy is about ---- */

/* Pairs of places: of a row of the copy, and of the row of the table, or NULL. */
extern struct Tuplestorestate *writes_match(Relation rel, Relation copy,
											WritesShape *shape, const Kept *kept);
extern TupleDesc match_descriptor(void);

/* ---- undo.c ---- */

/* Why a row cannot be taken back. */
typedef enum UndoProblem
{
	UNDO_CHANGED,				/* inserted or updated, and changed since */
	UNDO_GONE,					/* updated, and no longer there */
	UNDO_UNFIT,					/* would break a CHECK, NOT NULL or bound */
	UNDO_TAKEN					/* deleted or moved, and the place in a unique
								 * index is taken */
} UndoProblem;

#define UNDO_PROBLEMS (UNDO_TAKEN + 1)

/* Rows that are in the way in one table. */
typedef struct UndoConflicts
{
	int64		count[UNDO_PROBLEMS];
	List	   *rows;			/* of char*: the first of those that are there, by
								 * key, as SQL */
	char	   *key;			/* its columns */
} UndoConflicts;

/* no more of them are told */
#define UNDO_ROWS_TOLD 20

extern int64 writes_undo(Relation rel, const Kept *kept);

/* ---- net.c: rows that a rollback meets more than once ---- */
typedef struct NetWrites NetWrites;

typedef struct NetTable
{
	Oid			relid;
	char	   *type;			/* as it was called where it was written */
	char	   *identity;
	Bitmapset  *columns;		/* that it had when the rollback began */
	bool		unsettled;		/* a step that is about it could not be run */
	UndoConflicts conflicts;	/* of all parts */
} NetTable;

/* A row that is in the way, in all parts that wrote it. */
typedef struct NetChain
{
	int64		kept;			/* where it was found to be so: that copy, */
	ItemPointerData copied;		/* and its row */
	UndoProblem problem;
	bool		overwritten;	/* or else it is left alone */
	bool		inserted;		/* it was not there before all of them */
	bool		reduced;		/* columns that came back were put back */
	int			counted;		/* in that attempt */
} NetChain;

/* Rows that a table cannot have when it is what it was. */
typedef struct Misfit
{
	int64		rows;
	char	   *table;
	char	   *message;
	char	   *detail;
	char	   *hint;
	char	   *command;		/* to be pasted, or NULL */
} Misfit;

extern void net_add_misfits(NetWrites *net, List *misfits);
extern List *net_misfits(const NetWrites *net);
extern NetWrites *net_begin(List *parts);
extern NetTable *net_table(NetWrites *net, Relation rel, const Kept *kept);
extern List *net_tables(const NetWrites *net);
extern void net_unsettle(NetWrites *net, Oid relid);
extern bool net_any_is_unsettled(const NetWrites *net);
extern bool net_is_unsettled(const NetWrites *net, Oid relid);
extern bool net_is_doubtful(const NetWrites *net, Oid relid);
extern NetChain *net_chain(const NetWrites *net, const Kept *kept, ItemPointer copied);
extern NetChain *net_note(NetWrites *net, const Kept *kept, const WritesShape *shape,
						  TupleTableSlot *row, UndoProblem problem, bool overwritten);
extern void net_link(NetWrites *net, const Kept *kept, const WritesShape *shape);
/* false: it has been counted already */
extern bool net_count(const NetWrites *net, NetChain *chain);
extern void net_do_again(NetWrites *net);
extern bool net_is_to_be_done_again(NetWrites *net);

#endif							/* SAFEMIG_WRITES_H */
