/*-------------------------------------------------------------------------
 *
 * written.h
 *	  What the files about rows that a migration writes share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_WRITTEN_H
#define SAFEMIG_WRITTEN_H

#include "safemig.h"

struct Seen;

/* What a transaction did to the rows of a table. */
typedef struct Written
{
	Oid			relid;
	int64		inserted;
	int64		updated;
	int64		deleted;
	bool		truncated;		/* and the rows were not kept */
	CommandId	since;			/* earlier commands have been looked at */
	Oid			storage;		/* whose rows are kept, for TRUNCATE; or 0 */
	const char *elsewhere;		/* where no rows are kept from, or NULL */
} Written;

/* ---- written.c ---- */
extern List *written_since_look(void);	/* of Written* */
extern bool written_is_large_objects(Oid relid);
extern bool anything_written_since_look(void);
extern bool written_counts_differ(const Written *written);
extern void written_init(void);
extern void written_note_statement(void);
extern const char *written_statement(TimestampTz *start);
extern void written_subtransaction_ends(int level, bool aborted);
extern void written_forget_statement(void);
extern bool in_midst_of_statement(void);
extern void written_note_seen(struct Seen *seen);
extern void written_look(void);
extern void written_look_at(Oid relid);
extern void written_anew(Oid relid);
extern void written_truncation_kept(Oid relid, Oid storage);
extern bool written_is_truncation_kept(Oid relid, Oid storage);

/* ---- positions.c ---- */

/* A sequence, where it was before its table's rows were written. */
typedef struct NotedPosition
{
	Oid			seqid;
	Oid			relid;			/* the table that was written */
	SequencePosition position;
} NotedPosition;

extern void positions_init(void);
extern void positions_note(Oid relid);
extern void positions_look_again(void);
extern void positions_forget(void);
extern void positions_recorded(void);
extern bool positions_moved(void);
typedef void (*PositionStep) (void *arg, const NotedPosition *noted, const Kept *kept);
extern void positions_record(int64 migration, int64 command, PositionStep step, void *arg);

/* ---- data.c ---- */
struct Versions;
/* since: the first command that counts, or what else says which rows do */
typedef struct Versions *(*FindVersions) (struct RelationData *rel, uint32 since);
extern void data_record_rows(int64 migration, List *relids, FindVersions find, uint32 writer);
extern void data_record_versions(int64 migration, Oid relid, FindVersions find, uint32 which);
extern bool data_is_being_captured(void);
extern bool data_is_named(void);

/* ---- data_scope.c ---- */
extern char *data_table_name(Oid relid);
extern bool data_made_by_migration(int64 migration, Oid relid);
/* the reason that is found before the rows are looked at */
#define DATA_OVER_LIMIT "they are more than safemig.max_kept_bytes allows to keep"
extern const char *data_why_not_kept(int64 migration, Oid relid,
									 const Written *written);
extern const char *data_why_no_large_objects(int64 migration, const Written *written);

/* ---- unkept.c ---- */
extern void unkept_record(int64 migration, const Written *written,
						  const char *table, const char *reason);

#endif							/* SAFEMIG_WRITTEN_H */
