/*-------------------------------------------------------------------------
 *
 * rows.h
 *	  What the files about kept rows share.
 *
 * A copy of a table's rows has the table's columns, but for generated ones,
 * each in a form that hangs on nothing that a user can drop (stored.c).
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_ROWS_H
#define SAFEMIG_ROWS_H

#include "utils/snapshot.h"

#include "keep/column.h"

#define ROWS_KIND	"rows"

/* How a row looks in the copy. */
typedef struct RowShape
{
	int			ncolumns;
	StoredColumn *columns;
} RowShape;

/* Names a row by what it holds. */
typedef struct RowHash
{
	uint64		first;
	uint64		second;
} RowHash;

/* Of all rows, whatever their order. */
typedef struct RowsProof
{
	int64		rows;
	RowHash		sum;
} RowsProof;

/* ---- rows.c: keeping, and proving ---- */
extern Kept *rows_keep(Relation rel, Snapshot snapshot, int64 migration,
					   int64 command);
/* the copy, opened; ERROR SM007 if it is not what was kept */
extern Relation rows_open_copy(const Kept *kept);
extern void rows_shape_of_copy(Relation rel, Relation copy, const Kept *kept,
							   RowShape *shape);
extern void rows_shape_of_table(Relation rel, RowShape *shape);
extern void rows_change_form(Relation rel, StoredColumn *unfit);
extern void rows_note_row_types(Kept *kept, const RowShape *shape);
extern StoredForm rows_form_in_copy(Form_pg_attribute att,
									const StoredColumn *column);
extern void rows_check_column(const Kept *kept, Form_pg_attribute att,
							  StoredColumn *column);
extern RowHash row_hash_begin(void);
extern void row_hash_add(RowHash *hash, Form_pg_attribute att, Datum value,
						 bool isnull);
extern RowHash row_hash(TupleDesc desc, const Datum *values, const bool *nulls);
extern void rows_proof_add(RowsProof *proof, RowHash hash);
extern char *rows_checksum(const RowsProof *proof);
extern void rows_reprove(Kept *kept, Relation copy);

/* ---- hashsort.c: in the order of what rows hold ---- */
typedef struct HashSort HashSort;

typedef struct HashSortRow
{
	int64		first;
	int64		second;
	ItemPointerData tid;
} HashSortRow;

extern HashSort *hash_sort_begin(void);
extern void hash_sort_put(HashSort *sort, RowHash hash, ItemPointer tid);
extern void hash_sort_perform(HashSort *sort);
extern bool hash_sort_next(HashSort *sort, HashSortRow *row);
extern int	hash_sort_compare(const HashSortRow *a, const HashSortRow *b);
extern void hash_sort_end(HashSort *sort);

/* ---- putback.c ---- */
/* the table holds the rows of the copy again; counts what it took for it */
extern void rows_put_back(Relation rel, const Kept *kept, int64 *inserted,
						  int64 *deleted);

/* ---- references.c: foreign keys that these tables have part in ---- */
extern List *references_find(List *relids);
extern void references_check(List *references);
extern void references_note_broken(List *references);
extern void references_add_broken(void);

#endif							/* SAFEMIG_ROWS_H */
