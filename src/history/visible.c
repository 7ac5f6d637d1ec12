/*-------------------------------------------------------------------------
 *
 * visible.c
 *	  Who may see a row of the history: what the views of 30_views.sql ask.
 *
 * Whoever administers sees all of it, a role what it did, and an owner what
 * was done to his objects.  The functions run as whoever reads the view.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/regproc.h"

#include "compat.h"
#include "history/history.h"

PG_FUNCTION_INFO_V1(safemig_administers);
PG_FUNCTION_INFO_V1(safemig_acts_as);
PG_FUNCTION_INFO_V1(safemig_owns_change);

/* safemig.administers() */
Datum
safemig_administers(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(is_administrator(GetUserId()));
}

static bool
acts_as(Oid user, const char *role)
{
	Oid			oid = role ? get_role_oid(role, true) : InvalidOid;

	return OidIsValid(oid) && has_privs_of_role(user, oid);
}

/* safemig.acts_as(role text): false too if there is no such role any more */
Datum
safemig_acts_as(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(acts_as(GetUserId(), text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

/* What has no owner of its own belongs to who owns the relation it lives in. */
static bool
owns_parent(Oid user, const Image *image)
{
	Oid			relid;

	if (image->parent_identity == NULL || image->parent_type == NULL ||
		strcmp(image->type, "domain constraint") == 0 ||
		strcmp(image->parent_type, "table constraint") == 0)
		return false;
	relid = RangeVarGetRelid(makeRangeVarFromNameList(qualified_name_list(image->parent_identity)),
							 NoLock, true);
	return OidIsValid(relid) &&
		object_ownercheck(RelationRelationId, relid, user);
}

static bool
owns(Oid user, const Image *image)
{
	if (image == NULL)
		return false;
	if (image->owner)
		return acts_as(user, image->owner);
	return acts_as(user, image_get(image, "", "@owner")) ||
		owns_parent(user, image);
}

/* safemig.owns_change(before text[], after text[]) */
Datum
safemig_owns_change(PG_FUNCTION_ARGS)
{
	ArrayType  *before = PG_ARGISNULL(0) ? NULL : PG_GETARG_ARRAYTYPE_P(0);
	ArrayType  *after = PG_ARGISNULL(1) ? NULL : PG_GETARG_ARRAYTYPE_P(1);
	Oid			user = GetUserId();
	Frame		frame;
	bool		result;

	/* names mean the same to everybody */
	frame_become_owner(&frame);
	result = (before && owns(user, image_from_array(before, NULL))) ||
		(after && owns(user, image_from_array(after, before)));
	frame_unpin(&frame);
	PG_RETURN_BOOL(result);
}
