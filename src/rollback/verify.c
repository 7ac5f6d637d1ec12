/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  The proof: every object that the plan concerned is imaged again and
 *	  compared with the state recorded before its migration.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "rollback/rollback.h"

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

int
plan_verify(RollbackPlan *plan)
{
	StringInfoData detail;
	ListCell   *lc;
	int			objects = 0;
	Frame		frame;

	/* pinned anew, to see what the last step did */
	frame_pin(&frame);
	initStringInfo(&detail);
	foreach(lc, states_before(plan->commands))
	{
		ObjectState *state = lfirst(lc);
		char	   *key = image_address_key(state->image);
		Mismatch	mismatch = {&detail, key};
		Image	   *now;

		if (state->image->class == NULL)
			continue;
		now = image_now(state->image);
		if (state->present && now == NULL)
			describe(&mismatch, "", "object", "present", NULL);
		else if (!state->present && now != NULL)
			describe(&mismatch, "", "object", NULL, "present");
		else if (state->present)
			image_compare(state->image, now, describe, &mismatch);
		objects++;
	}
	frame_unpin(&frame);
	if (detail.len > 0)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("the rollback did not lead to the recorded state"),
				 errdetail_internal("%s", detail.data),
				 errhint("Nothing has been changed. This is a fault of safemig: please report it with the statements of the migration.")));
	return objects;
}
