/*-------------------------------------------------------------------------
 *
 * lockorder.c
 *	  In which order several relations are locked.
 *
 * As those come to them who read and write, so that none of them can end in a
 * deadlock with a command or a rollback: a view and then what it is made of, a
 * parent and then its children, a table and then the sequence of its column.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "catalog/pg_class.h"
#include "utils/lsyscache.h"

#include "keep/column.h"
#include "safemig.h"

#define RANK_OF_VIEWS		(-1)
#define RANK_OF_SEQUENCES	INT_MAX

/* The longest way up to a table without parents. */
static int
depth_of(Oid relid)
{
	int			depth = 0;
	ListCell   *lc;

	foreach(lc, relation_parents(relid))
		depth = Max(depth, 1 + depth_of(lfirst_oid(lc)));
	return depth;
}

int
lock_rank(Oid relid)
{
	switch (get_rel_relkind(relid))
	{
		case RELKIND_VIEW:
			return RANK_OF_VIEWS;
		case RELKIND_SEQUENCE:
			return RANK_OF_SEQUENCES;
		default:
			return depth_of(relid);
	}
}

/* For sorting: by rank, then by OID; of views the newer ones are made of others. */
int
lock_order(int rank_x, Oid x, int rank_y, Oid y)
{
	int			by_oid = x < y ? -1 : (x > y ? 1 : 0);

	if (rank_x != rank_y)
		return rank_x < rank_y ? -1 : 1;
	return rank_x == RANK_OF_VIEWS ? -by_oid : by_oid;
}
