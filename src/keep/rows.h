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
extern RowHash row_hash(TupleDesc desc, const Datum *values, const bool *nulls);
extern void rows_proof_add(RowsProof *proof, RowHash hash);
extern char *rows_checksum(const RowsProof *proof);

/* ---- putback.c ---- */
/* the table holds the rows of the copy again; counts what it took for it */
extern void rows_put_back(Relation rel, const Kept *kept, int64 *inserted,
						  int64 *deleted);

/* ---- references.c: foreign keys that these tables have part in ---- */
extern List *references_find(List *relids);
extern void references_check(List *references);

#endif							/* SAFEMIG_ROWS_H */
