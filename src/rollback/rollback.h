/*-------------------------------------------------------------------------
 *
 * rollback.h
 *	  What the files of rollback/ share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_ROLLBACK_H
#define SAFEMIG_ROLLBACK_H

#include "utils/hsearch.h"

#include "history/history.h"

/* What a rollback would do: the commands to take back, newest first. */
typedef struct RollbackPlan
{
	List	   *migrations;		/* of Migration*, newest first */
	List	   *records;		/* of int64*: whose commands these are */
	List	   *commands;		/* of RecordedCommand* */
	bool		keep_rows;		/* on_conflict = keep: rows stay as they are */
	int			steps;
	const char *strongest_lock; /* NULL: none that anybody would notice */
	const char *strongest_object;
} RollbackPlan;

/* The state that the history says an object is in. */
typedef struct ObjectState
{
	char		key[NAMEDATALEN * 8];	/* type and identity, cut */
	Image	   *image;			/* some image of that address */
	bool		present;
} ObjectState;

typedef struct Conflict
{
	int			sqlstate;
	char	   *object;
	char	   *problem;
	int64		rows;			/* -1: not counted */
	char	   *hint;			/* may be NULL */
} Conflict;

/* ---- state.c: what the history says ---- */
extern List *states_before(List *commands);	/* of ObjectState*, once undone */
extern List *states_after(List *commands);	/* as the last command left it */
extern bool address_find(const Image *image, ObjectAddress *address);
extern Image *image_now(const Image *recorded);	/* NULL: not there */

/* ---- plan.c ---- */
extern RollbackPlan *plan_build(List *migrations);
extern char *plan_hash(RollbackPlan *plan);

/* ---- check.c ---- */
extern void plan_lock(RollbackPlan *plan);
extern List *plan_check(RollbackPlan *plan);	/* of Conflict* */
extern void plan_check_rights(RollbackPlan *plan);
extern void conflicts_raise(RollbackPlan *plan, List *conflicts);

/* ---- rollback.c ---- */
extern int64 rollback_one(int64 id, char *reason);

/* ---- apply.c ---- */
extern void plan_apply(RollbackPlan *plan);

/* ---- verify.c ---- */
/* what lives in the tables of the plan now */
extern HTAB *plan_contents(RollbackPlan *plan);
/* objects found equal, or ERROR */
extern int	plan_verify(RollbackPlan *plan, HTAB *contents_before);

#endif							/* SAFEMIG_ROLLBACK_H */
