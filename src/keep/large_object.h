/*-------------------------------------------------------------------------
 *
 * large_object.h
 *	  Large objects that a migration, or a rollback, made, unlinked or wrote.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_LARGE_OBJECT_H
#define SAFEMIG_LARGE_OBJECT_H

#include "history/history.h"
#include "keep/writes.h"

/* What of the transaction's doing counts; see versions.c. */
typedef struct LargeObjectLook
{
	CommandId	since;
	List	   *seen;
	bool		note;
	bool		whoever;		/* also what belongs to somebody else */
} LargeObjectLook;

extern int	large_objects_keep(RecordedCommand *command, const LargeObjectLook *look,
							   List **seen);
extern void large_object_make(const Image *image);
extern void large_object_unlink(Oid oid);
extern Oid	large_object_oid(const Image *image);

#endif							/* SAFEMIG_LARGE_OBJECT_H */
