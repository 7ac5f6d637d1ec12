/*-------------------------------------------------------------------------
 *
 * data.h
 *	  What the files about the rows that a migration writes share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_DATA_H
#define SAFEMIG_DATA_H

#include "capture/capture.h"
#include "capture/written.h"
#include "history/history.h"
#include "keep/writes.h"

/* ---- data.c ---- */
extern bool data_is_on(void);
extern int64 data_migration_of_rows(void);
extern void data_note_writer(int64 migration);
extern void data_record_since_look(void);

/* ---- data_command.c: rows that were written, as one command ---- */
extern RecordedCommand *data_begin_command(const char *tag, int64 migration);
/* NULL, or why they are not kept; ids: of what is */
extern const char *data_keep_table(RecordedCommand *command, Oid relid, FindVersions find,
								   uint32 since, StringInfo ids);
extern void data_add_steps(RecordedCommand *command, StringInfo ids);
extern void data_end_command(RecordedCommand *command, const char *text,
							 TimestampTz start);

/* ---- data_truncate.c ---- */
extern void data_end_truncation(int64 migration);

#endif							/* SAFEMIG_DATA_H */
