/*-------------------------------------------------------------------------
 *
 * observe.h
 *	  What the files that run a script to look at it share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_OBSERVE_H
#define SAFEMIG_OBSERVE_H

#include "utils/hsearch.h"

#include "advise/advise.h"

/* A relation as it was before the statement that is being run. */
typedef struct Seen
{
	Oid			relid;			/* the key */
	Oid			filenode;
	Oid			table;			/* of an index */
	int64		scans;
	LOCKMODE	held;
	bool		old;			/* was there before the script */
	char		relkind;
	char	   *name;			/* NULL of what is not told of */
} Seen;

typedef struct Observation
{
	Assessment *a;
	HTAB	   *seen;
	Statement  *running;
	int64		last_command;	/* of the history, before it */
} Observation;

/* ---- observe_locks.c: relations, their files and locks, before and after ---- */
extern void look_at_relations(HTAB *seen, MemoryContext context, bool old);
extern void note_held(HTAB *seen);
extern void tell_locks(Observation *observation);
extern void tell_cost(Observation *observation);

/* ---- observe_rows.c: what the statement would meet ---- */
extern void count_refused(Statement *statement);
extern void who_names_it(Observation *observation, Statement *statement);

/* ---- observe_record.c: what safemig records of it ---- */
extern int64 last_command(void);
extern void tell_recorded(Observation *observation, Statement *statement);

#endif							/* SAFEMIG_OBSERVE_H */
