/*-------------------------------------------------------------------------
 *
 * frozen.h
 *	  What freezing kept rows and thawing them share.
 *
 * The notes stand in the details of what is kept, numbered: "frozen 1.type"
 * and the like for a column, "thaw 1" for a statement.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_FROZEN_H
#define SAFEMIG_FROZEN_H

#include "nodes/parsenodes.h"

#include "keep/vault.h"

/* ---- freeze.c ---- */
extern bool is_vaulted_table(Oid relid);
extern int	begin_note(Kept *kept, const char *what);
extern void set_note(Kept *kept, const char *what, int n, const char *name,
					 const char *value);

/* ---- thaw.c ---- */
extern int	count_notes(const Kept *kept, const char *what);
extern const char *get_note(const Kept *kept, const char *what, int n,
							const char *name);
extern Oid	topmost_relation(Oid relid);
extern Kept *kept_of_relation(Oid relid);

/* ---- astext.c: columns turned into text, and back ---- */
extern bool column_is_proved(Oid relid, const char *name, Oid typid, bool thaw);
extern AlterTableCmd *type_change(Oid relid, AttrNumber attnum, Oid typid,
								  int32 typmod, Oid collation, int ndims);
extern void change_table(Oid relid, List *cmds, bool recurse);
extern void note_storage(Oid root);

/* ---- method.c ---- */
extern void leave_methods(List *methods);
extern void return_to_methods(Kept *kept);

#endif							/* SAFEMIG_FROZEN_H */
