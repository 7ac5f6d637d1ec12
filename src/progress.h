/*-------------------------------------------------------------------------
 *
 * progress.h
 *	  What others see of long work: the view safemig.progress.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_PROGRESS_H
#define SAFEMIG_PROGRESS_H

#include "executor/tuptable.h"
#include "utils/relcache.h"
#include "utils/timestamp.h"

typedef enum ProgressCommand
{
	PROGRESS_KEEPING = 1,
	PROGRESS_ROLLBACK,
	PROGRESS_REDO,
	PROGRESS_REHEARSAL,
	PROGRESS_CHECK
} ProgressCommand;

typedef enum ProgressPhase
{
	PROGRESS_LOCKING = 1,		/* counted in relations */
	PROGRESS_CHECKING,
	PROGRESS_STEPS,				/* in steps */
	PROGRESS_PROVING,
	PROGRESS_LOOKING,			/* in blocks of the relation, as the next ones */
	PROGRESS_COPYING,
	PROGRESS_READING,
	PROGRESS_PROVING_ROWS,
	PROGRESS_COPYING_WRITTEN,	/* in rows, as the next ones */
	PROGRESS_TAKING_AWAY,
	PROGRESS_PUTTING_BACK,
	PROGRESS_MATCHING
} ProgressPhase;

#define PROGRESS_VALUES 6

/* Kept by whoever does the work: what is shown may have been taken away. */
typedef struct Progress
{
	bool		off;			/* a command of PostgreSQL's shows its own */
	bool		inner;			/* something was shown before ... */
	int64		outer[PROGRESS_VALUES]; /* ... and is again afterwards */
	int64		values[PROGRESS_VALUES];
	BlockNumber block;
	int64		rows;
} Progress;

/* rows, or blocks that are passed over, between two reports */
#define PROGRESS_ROWS 1024

extern void progress_begin_command(Progress *progress, ProgressCommand command,
								   TimestampTz since, ProgressPhase phase);
extern void progress_phase(Progress *progress, ProgressPhase phase);
extern void progress_begin(Progress *progress, ProgressPhase phase, Relation rel,
						   int64 total);
extern void progress_begin_scan(Progress *progress, ProgressPhase phase, Relation rel);
extern void progress_step(Progress *progress, int number, int steps, Oid relid);
extern void progress_lock(Progress *progress, int number, int total, Oid relid);
extern void progress_at(Progress *progress, int64 done);
extern void progress_end(Progress *progress);

static inline void
progress_row(Progress *progress, const TupleTableSlot *slot)
{
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(&slot->tts_tid);

	if (block == progress->block)
		return;
	progress->block = block;
	progress_at(progress, block);
}

static inline void
progress_count(Progress *progress)
{
	if (++progress->rows % PROGRESS_ROWS == 0)
		progress_at(progress, progress->rows);
}

#endif							/* SAFEMIG_PROGRESS_H */
