/*-------------------------------------------------------------------------
 *
 * enum_use.h
 *	  Looking for uses of an enum label.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_ENUM_USE_H
#define SAFEMIG_ENUM_USE_H

#include "nodes/pg_list.h"
#include "utils/relcache.h"

typedef struct LabelSearch
{
	Oid			enumtype;
	Oid			label;
	const char *name;			/* the label's */
	List	   *types;			/* the enum, and all that contain it */
	List	   *uses;			/* of char*: where, and how to see it */
	bool		for_redo;		/* a table that a rollback kept holds it ... */
	bool		frozen;			/* ... none could now */
} LabelSearch;

/* ---- enum_use.c: in rows ---- */
extern bool value_has_label(LabelSearch *search, Oid typid, Datum value);
extern void find_in_tables(LabelSearch *search);
extern void find_in_kept(LabelSearch *search);

/* ---- enum_expression.c: in stored expressions ---- */
extern void find_in_expressions(LabelSearch *search);

/* ---- enum_leftover.c: in what a removal would leave behind ---- */
extern void forget_statistics(LabelSearch *search);
extern void clean_indexes(LabelSearch *search);

#endif							/* SAFEMIG_ENUM_USE_H */
