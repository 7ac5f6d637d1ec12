/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  The proof: every object that the plan concerned is imaged again and
 *	  compared with the state recorded before its migration; and nothing else
 *	  has come into being in its tables, or gone from them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_largeobject.h"
#include "utils/syscache.h"

#include "capture/capture.h"
#include "keep/column.h"
#include "keep/vault.h"
#include "rollback/rollback.h"

/* ---- what lives in the tables of the plan ---- */

typedef struct KeyEntry
{
	char		key[NAMEDATALEN * 8];
} KeyEntry;

static HTAB *
key_set(void)
{
	HASHCTL		ctl = {.keysize = sizeof(KeyEntry),.entrysize = sizeof(KeyEntry),
	.hcxt = CurrentMemoryContext};

	return hash_create("safemig keys", 256, &ctl,
					   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

static void
add_key(HTAB *set, const char *key)
{
	(void) hash_search(set, key, HASH_ENTER, NULL);
}

static bool
has_key(HTAB *set, const char *key)
{
	return hash_search(set, key, HASH_FIND, NULL) != NULL;
}

/* Type and identity; NULL for what has none of its own, or is gone. */
static char *
key_of(const ObjectAddress *address)
{
	ObjectAddress owner;
	char	   *identity;

	if (!object_owner_address(address, &owner))
		return NULL;
	identity = getObjectIdentity(&owner, true);
	return identity ? psprintf("%s %s", getObjectTypeDescription(&owner, false),
							   identity) : NULL;
}

/*
 * A foreign key to a partitioned table has one for each of its partitions: they
 * come and go with those, whatever command that is.
 */
static bool
is_derived(const ObjectAddress *address)
{
	HeapTuple	tuple;
	bool		derived;

	if (address->classId != ConstraintRelationId)
		return false;
	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(address->objectId));
	if (!HeapTupleIsValid(tuple))
		return false;
	derived = ((Form_pg_constraint) GETSTRUCT(tuple))->contype == CONSTRAINT_FOREIGN &&
		OidIsValid(((Form_pg_constraint) GETSTRUCT(tuple))->conparentid);
	ReleaseSysCache(tuple);
	return derived;
}

/* Calls what for everything that lives in the relations of these states. */
static void
walk_contents(List *states, void (*what) (void *arg, const char *key), void *arg)
{
	ListCell   *lc;
	ListCell   *inner;

	foreach(lc, states)
	{
		ObjectState *state = lfirst(lc);
		ObjectAddress address;

		if (!state->present ||
			state->image->address.classId != RelationRelationId ||
			!address_find(state->image, &address))
			continue;
		foreach(inner, object_contents(&address))
		{
			char	   *key = is_derived(lfirst(inner)) ? NULL : key_of(lfirst(inner));

			if (key)
				what(arg, key);
		}
	}
}

static void
collect(void *arg, const char *key)
{
	add_key(arg, key);
}

HTAB *
plan_contents(RollbackPlan *plan)
{
	HTAB	   *set = key_set();

	walk_contents(states_after(plan->commands), collect, set);
	return set;
}

typedef struct Intruders
{
	HTAB	   *expected;
	HTAB	   *before;			/* there when the rollback began */
	StringInfo	detail;
} Intruders;

static void
report_intruder(void *arg, const char *key)
{
	Intruders  *intruders = arg;

	if (!has_key(intruders->expected, key) && !has_key(intruders->before, key))
		appendStringInfo(intruders->detail, "%s%s is there, expected absent",
						 intruders->detail->len ? "\n" : "", key);
}

/* ---- the comparison ---- */

typedef struct Mismatch
{
	StringInfo	detail;
	const char *object;
} Mismatch;

static void
describe(void *arg, const char *part, const char *name,
		 const char *expected, const char *actual)
{
	Mismatch   *mismatch = arg;

	appendStringInfo(mismatch->detail, "%s%s: %s%s%s is %s, expected %s",
					 mismatch->detail->len ? "\n" : "", mismatch->object,
					 part, part[0] ? " " : "", name,
					 actual ? actual : "absent",
					 expected ? expected : "absent");
}

/* The key of a column, as table and name. */
static char *
column_key(const char *object, const char *column)
{
	return psprintf("%s %s", column, object);
}

/* Columns that could only be added as the last ones, as a NOTICE has said. */
static HTAB *
moved_columns(RollbackPlan *plan)
{
	HTAB	   *moved = key_set();
	ListCell   *lc,
			   *inner,
			   *part;

	foreach(lc, plan->commands)
	{
		foreach(inner, ((RecordedCommand *) lfirst(lc))->changes)
		{
			Change	   *change = lfirst(inner);

			foreach(part, change->before ? change->before->facets : NIL)
			{
				Facet	   *facet = lfirst(part);
				Kept	   *kept;

				if (strcmp(facet->name, "@kept") != 0)
					continue;
				kept = history_get_kept(strtoll(facet->value, NULL, 10));
				if (kept_detail(kept, "revived") &&
					kept_number(kept, "revived") != kept_number(kept, "attnum"))
					add_key(moved, column_key(image_address_key(change->before),
											  facet->part));
			}
		}
	}
	return moved;
}

/*
 * The columns of a table stand in the order that SELECT * shows; it has no
 * facet, since others may have come in between.  Images have them in order.
 */
static bool
compare_order(Mismatch *mismatch, const Image *expected, const Image *now,
			  HTAB *moved)
{
	ListCell   *lc;
	int			last = 0;
	bool		same = true;

	foreach(lc, expected->facets)
	{
		Facet	   *facet = lfirst(lc);
		const char *position;

		if (strcmp(facet->name, "@position") != 0)
			continue;
		position = image_get(now, facet->part, "@position");
		if (position == NULL ||
			(moved && has_key(moved, column_key(mismatch->object, facet->part))))
			continue;
		if (atoi(position) < last)
		{
			same = false;
			/* the first look only asks whether there is anything to tell */
			if (moved)
				describe(mismatch, facet->part, "place", "as before", "another");
		}
		last = atoi(position);
	}
	return same;
}

static void
compare_state(RollbackPlan *plan, ObjectState *state, Image *now, StringInfo detail)
{
	char	   *key = image_address_key(state->image);
	Mismatch	mismatch = {detail, key};

	/* a range's constructor, or a row's type, that goes with it is no loss */
	if (state->present && now == NULL &&
		(image_get(state->image, "", "@along") || type_image_is_dependent(state->image)))
		return;
	/* unlinked by somebody else: of its pages the step has told */
	if (state->present && now == NULL && state->image->address.classId == LargeObjectRelationId &&
		!plan_changes(plan, state->image->identity))
		return;
	if (state->present && now == NULL)
		describe(&mismatch, "", "object", "present", NULL);
	else if (!state->present && now != NULL && image_get(now, "", "@original"))
		return;					/* came with a partition that is back */
	else if (!state->present && now != NULL)
		describe(&mismatch, "", "object", NULL, "present");
	else if (state->present)
	{
		char	   *why;

		image_compare_meaning(image_reworded(state->image, now, &why), now, describe,
							  &mismatch);
		if (why)
			describe(&mismatch, "", "wording", "comparable", why);
		if (!compare_order(&mismatch, state->image, now, NULL))
			(void) compare_order(&mismatch, state->image, now, moved_columns(plan));
	}
}

/* Then what has the name now is another state's. */
static bool
is_of_another_kind(const Image *now, const Image *recorded)
{
	return strcmp(now->type, recorded->type) != 0 ||
		type_image_is_dependent(now) != type_image_is_dependent(recorded);
}

/* Returns what was found, of Verified*. */
List *
plan_verify(RollbackPlan *plan, HTAB *contents_before)
{
	List	   *states;
	List	   *verified = NIL;
	Intruders	intruders;
	StringInfoData detail;
	ListCell   *lc;
	Frame		frame;

	/* pinned anew, to see what the last step did */
	frame_pin(&frame);
	initStringInfo(&detail);
	states = states_before(plan->commands);
	intruders.expected = key_set();
	intruders.before = contents_before;
	intruders.detail = &detail;
	foreach(lc, states)
	{
		ObjectState *state = lfirst(lc);
		Image	   *now;

		if (state->present)
			add_key(intruders.expected, state->key);
		if (state->image->class == NULL)
			continue;
		now = image_now(state->image);
		if (!state->present && now && is_of_another_kind(now, state->image))
			now = NULL;
		compare_state(plan, state, now, &detail);
		if (state->present)
			check_needs_are_back(state->image);
		verified = lappend(verified, verified_object(state, now));
	}
	walk_contents(states, report_intruder, &intruders);
	frame_unpin(&frame);
	if (detail.len > 0)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("the rollback did not lead to the recorded state"),
				 errdetail_internal("%s", detail.data),
				 errhint("Nothing has been changed. This is a fault of safemig: please report it with the statements of the migration.")));
	return verified;
}
