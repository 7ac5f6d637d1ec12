/*-------------------------------------------------------------------------
 *
 * convert.h
 *	  A value of a changed column, back in its old type.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_CONVERT_H
#define SAFEMIG_CONVERT_H

#include "storage/itemptr.h"

#include "keep/column.h"

typedef struct Conversion Conversion;

typedef struct ConvertedRow
{
	ItemPointer place;
	Datum		now;			/* of the present type */
	bool		now_isnull;
	bool		has_kept;
	bool		untouched;		/* as the conversion wrote it, for sure */
	bool		computable;		/* the kept value, cast, is what it was given */
	Datum		kept;			/* of the old type */
	bool		kept_isnull;
	Datum		result;			/* of the old type */
	bool		result_isnull;
	bool		is_kept;		/* result is the kept value */
	bool		misfit;			/* the value has no place in the old type */
} ConvertedRow;

extern Conversion *conversion_make(Oid old_type, int32 old_typmod,
								   Oid new_type, int32 new_typmod);
/* fills results; the number of misfits */
extern int64 convert_rows(Conversion *conversion, ConvertedRow *rows, int nrows);

#endif							/* SAFEMIG_CONVERT_H */
