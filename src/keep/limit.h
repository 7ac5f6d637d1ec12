/*-------------------------------------------------------------------------
 *
 * limit.h
 *	  How much a migration may copy.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_LIMIT_H
#define SAFEMIG_LIMIT_H

#include "utils/rel.h"

#include "safemig.h"

/* bytes of a copy of one column, or of all (0), of so many rows, or of all (-1) */
extern double limit_estimate(Relation rel, AttrNumber attnum, double rows);
extern void limit_check_published(const char *what);
/* likewise, whether there is a limit or not */
extern double limit_size(Relation rel, AttrNumber attnum, double rows);
extern bool limit_forbids(int64 migration, double estimate, const char *what);
extern void limit_check(const Kept *kept);

#endif							/* SAFEMIG_LIMIT_H */
