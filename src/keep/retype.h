/*-------------------------------------------------------------------------
 *
 * retype.h
 *	  Columns on their way back to an old type.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_RETYPE_H
#define SAFEMIG_RETYPE_H

#include "executor/tuptable.h"
#include "utils/tuplestore.h"

#include "keep/column.h"

/* The values of one relation in the order of its rows. */
typedef struct RestoredRows
{
	Oid			relid;
	Tuplestorestate *store;
	TupleDesc	desc;			/* place, value */
	TupleTableSlot *slot;
	int64		restored;		/* rows that get their kept value */
	int64		later;			/* rows whose own value is cast */
	int64		unkept;			/* ... of which none was kept */
	int64		found;			/* kept values of these rows; not NULL, if rows are
								 * known by a key */
} RestoredRows;

typedef struct Retyped
{
	const char *name;
	Oid			typid;			/* the old type */
	int32		typmod;
	const char *type;			/* ... as SQL */
	const char *collation;		/* ... or NULL for the type's own */
	List	   *kept;			/* of Kept*, by relation; NIL: nothing was kept */
	List	   *relations;		/* of RestoredRows* */
	int64		misfits;
	char	   *misfit_query;
} Retyped;

/* What safemig.restored_value() answers with. */
struct RestoredValues
{
	List	   *columns;		/* of Retyped* */
};

/* ---- values.c ---- */
extern void retyped_find_values(Retyped *column, Relation rel, const Kept *kept);

/* ---- retype.c ---- */
extern void retyped_refill(const Kept *kept);

/* ---- rebuilt.c ---- */
/* parsed: what ALTER TABLE states anew when the type of a column changes */
extern List *rebuilt_with_type(Oid root);

#endif							/* SAFEMIG_RETYPE_H */
