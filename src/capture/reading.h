/*-------------------------------------------------------------------------
 *
 * reading.h
 *	  What a statement that wrote a history table says about migrations.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_READING_H
#define SAFEMIG_READING_H

#include "storage/itemptr.h"

#include "history/framework.h"

typedef enum Meaning
{
	MEANS_NOTHING,
	MEANS_BEGUN,				/* its migration is about to run */
	MEANS_MORE,					/* said of one that is known */
	MEANS_REVERTED,
	MEANS_DONE
} Meaning;

/* Of one row. */
typedef struct Reading
{
	Meaning		meaning;
	HistoryRow *row;			/* of the migration that it is about */
	char	   *previous;		/* what the row said before */
	List	   *about;			/* of int64*: known migrations that it is about */
	int64		begun;			/* by another session: that one is done, or 0 */
	bool		renamed;		/* what it is about has another name now */
	bool		was_unseen;		/* nobody saw the row come */
	ItemPointerData before;		/* its versions, invalid: it was not there ... */
	ItemPointerData after;		/* ... or is not there any more */
} Reading;

/* ---- reading.c ---- */
extern List *read_statement(const Framework *framework, Oid relid);
extern List *unfinished_here(const Framework *framework);
extern List *unfinished_elsewhere(const Framework *framework);
extern int64 standing(const Framework *framework, const HistoryRow *row);
extern List *standing_in(const char *history);
extern bool reading_is_back(const Framework *framework, const HistoryRow *row);

/* ---- assign.c ---- */
extern void framework_act(const Framework *framework, Oid relid, const Reading *reading,
						  List *readings);
extern Reading readings_meaning(List *readings);
extern void framework_forget_begun_that_is_gone(void);

/* ---- framework.c ---- */
extern bool framework_is_wanted(void);
extern void framework_note_at_work(const Framework *framework);

/* ---- histories.c ---- */
extern void framework_history_written(Oid relid);

#endif							/* SAFEMIG_READING_H */
