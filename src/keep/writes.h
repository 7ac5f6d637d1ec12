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

extern Kept *writes_keep(Relation rel, Versions *versions,
						 const Bitmapset *passing, int64 migration, int64 command);
extern void writes_shape_of_copy(Relation rel, Relation copy, const Kept *kept,
								 WritesShape *shape);
extern bool writes_is_changed(bytea *changed, int column);
extern RowHash writes_hash(const WritesShape *shape, bytea *changed,
						   const Datum *values, const bool *nulls);

/* ---- match.c: the rows of now that the copy is about ---- */

/* Pairs of places: of a row of the copy, and of the row of the table, or NULL. */
extern struct Tuplestorestate *writes_match(Relation rel, Relation copy,
											WritesShape *shape, const Kept *kept);
extern TupleDesc match_descriptor(void);

/* ---- net.c: what other commands of the same migration did to a row ---- */
typedef struct OtherWrites OtherWrites;

/* NULL for a table without a key */
extern OtherWrites *other_writes_open(const Kept *kept, const WritesShape *shape);
/* inserted before, by the migration itself? */
extern bool other_writes_inserted(OtherWrites *others, TupleTableSlot *kept);
/* deleted later, by the migration itself? */
extern bool other_writes_deleted(OtherWrites *others, TupleTableSlot *kept);

/* ---- undo.c ---- */

/* Rows that could not be put back. */
typedef struct UndoConflicts
{
	int64		changed;		/* inserted or updated, and changed since */
	int64		gone;			/* updated, and no longer there */
	int64		unfit;			/* would break a CHECK, NOT NULL or bound */
	int64		taken;			/* deleted or moved, and the place in a unique
								 * index is taken */
	List	   *rows;			/* of char*: the first of those that are there, by
								 * key, as SQL */
	char	   *key;			/* its columns */
} UndoConflicts;

/* no more of them are told */
#define UNDO_ROWS_TOLD 20

extern int64 writes_undo(Relation rel, const Kept *kept, UndoConflicts *conflicts);

#endif							/* SAFEMIG_WRITES_H */
