/*-------------------------------------------------------------------------
 *
 * rowwriter.h
 *	  Writes one column of a table, row by row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_ROWWRITER_H
#define SAFEMIG_ROWWRITER_H

#include "nodes/execnodes.h"

/* Writes one column of rows that are known by their place. */
typedef struct RowWriter
{
	Relation	rel;
	AttrNumber	attnum;
	EState	   *estate;
	ResultRelInfo *target;
	EPQState	epq;			/* unused: no trigger asks for it */
	TupleTableSlot *old;
	TupleTableSlot *new;
	const char *text;			/* expression for rows written since, or NULL */
	Datum		snapshot;		/* leave the rows that it saw alone, or 0 */
	bool		only_new;		/* leave the rows of the copy alone */
	char		generated;		/* pg_attribute.attgenerated */
	ExprState  *expression;		/* made for the first such row */
	MemoryContext context;		/* of one row */
} RowWriter;

/* frame: the table's owner, who has been lent what rows need */
extern void writer_begin(RowWriter *writer, Relation rel, AttrNumber attnum);
extern void writer_end(RowWriter *writer);
extern void writer_fetch(RowWriter *writer, ItemPointer place);
extern void writer_put(RowWriter *writer, Datum value, bool isnull);
extern Datum writer_evaluate(RowWriter *writer, bool *isnull);
extern int64 writer_compute_all(RowWriter *writer);

#endif							/* SAFEMIG_ROWWRITER_H */
