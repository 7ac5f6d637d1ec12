/*-------------------------------------------------------------------------
 *
 * rights.c
 *	  Who may take a migration back.
 *
 * Rights are checked once, against every object as recorded and as it is now.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"

#include "compat.h"
#include "rollback/rollback.h"

static bool
may_act_as(Oid user, const char *role)
{
	Oid			oid = get_role_oid(role, true);

	return OidIsValid(oid) && has_privs_of_role(user, oid);
}

static void
check_owns(Oid user, const Image *image)
{
	if (image && image->owner && !may_act_as(user, image->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of %s %s", image->type, image->identity),
				 errdetail("A migration may be looked into and rolled back by who owns every object that it concerns."),
				 errhint("GRANT EXECUTE ON FUNCTION safemig_administer() to the role, or let the owner do it.")));
}

static Oid
named_type(const char *identity)
{
	List	   *names = qualified_name_list(identity);
	Oid			namespace;

	if (list_length(names) != 2)
		return InvalidOid;
	namespace = get_namespace_oid(strVal(linitial(names)), true);
	return OidIsValid(namespace) ?
		GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
						CStringGetDatum(strVal(lsecond(names))),
						ObjectIdGetDatum(namespace)) : InvalidOid;
}

/* What has no owner of its own belongs to who owns what it lives in. */
static void
check_owns_parent(Oid user, const Image *image)
{
	Oid			relid;

	/* an index that belongs to a constraint is looked at with that */
	if (image->owner || image->parent_identity == NULL ||
		image->parent_type == NULL ||
		strcmp(image->parent_type, "table constraint") == 0)
		return;
	if (strcmp(image->type, "domain constraint") == 0)
	{
		Oid			domain = named_type(image->parent_identity);

		if (OidIsValid(domain) && !object_ownercheck(TypeRelationId, domain, user))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("must be owner of type %s", image->parent_identity)));
		return;
	}
	relid = RangeVarGetRelid(makeRangeVarFromNameList(qualified_name_list(image->parent_identity)),
							 NoLock, true);
	if (OidIsValid(relid) && !object_ownercheck(RelationRelationId, relid, user))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of %s", image->parent_identity)));
}

/* Keys of objects; longer ones are cut, as those of the states are. */
static HTAB *
key_set(void)
{
	HASHCTL		ctl = {.keysize = NAMEDATALEN * 8,
		.entrysize = NAMEDATALEN * 8,.hcxt = CurrentMemoryContext
	};

	return hash_create("safemig keys", 64, &ctl,
					   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

/* Is the object a member of one of these extensions, or in such a member? */
static bool
comes_with_extension(const Image *image, List *extensions, HTAB *members)
{
	const char *extension = image_get(image, "", "extension");
	ListCell   *lc;

	if (image->parent_identity && image->parent_type &&
		hash_search(members, psprintf("%s %s", image->parent_type, image->parent_identity),
					HASH_FIND, NULL))
		return true;
	foreach(lc, extensions)
	{
		if (extension && strcmp(extension, lfirst(lc)) == 0)
			return true;
	}
	return false;
}

/*
 * Adds what the caller has to own of what a command changed.  The members of
 * an extension that the command made, changed or dropped belong to whomever
 * its script made their owner; who owns the extension may do all that to it.
 * The functions that come with a range type belong to nobody but the type.
 */
static void
add_to_own(HTAB *to_own, const RecordedCommand *command)
{
	HTAB	   *members = key_set();
	List	   *extensions = NIL;
	bool		found = true;
	ListCell   *lc;

	foreach(lc, command->changes)
	{
		Change	   *change = lfirst(lc);
		Image	   *image = change->before ? change->before : change->after;

		if (strcmp(image->type, "extension") == 0)
			extensions = lappend(extensions, image->identity);
	}
	/* what lives in a member may stand before it */
	while (extensions && found)
	{
		found = false;
		foreach(lc, command->changes)
		{
			Change	   *change = lfirst(lc);
			Image	   *image = change->before ? change->before : change->after;
			bool		known;

			if (!comes_with_extension(image, extensions, members))
				continue;
			(void) hash_search(members, image_address_key(image), HASH_ENTER, &known);
			found |= !known;
		}
	}
	foreach(lc, command->changes)
	{
		Change	   *change = lfirst(lc);
		Image	   *images[] = {change->before, change->after};

		for (size_t i = 0; i < lengthof(images); i++)
		{
			if (images[i] && image_get(images[i], "", "@along") == NULL &&
				!hash_search(members, image_address_key(images[i]), HASH_FIND, NULL))
				(void) hash_search(to_own, image_address_key(images[i]), HASH_ENTER, NULL);
		}
	}
	hash_destroy(members);
}

/* Objects as recorded, and as they are now. */
static void
check_owns_all(Oid user, List *states, HTAB *to_own)
{
	ListCell   *lc;

	foreach(lc, states)
	{
		ObjectState *state = lfirst(lc);

		if (!hash_search(to_own, image_address_key(state->image), HASH_FIND, NULL))
			continue;
		if (state->present)
			check_owns(user, state->image);
		check_owns_parent(user, state->image);
		check_owns(user, image_now(state->image));
	}
}

void
commands_check_rights(List *commands)
{
	Oid			user = GetUserId();
	Frame		frame;
	HTAB	   *to_own;
	ListCell   *lc;

	if (is_administrator(user))
		return;
	/* who owns a table need not see its schema */
	frame_become_owner(&frame);
	to_own = key_set();
	foreach(lc, commands)
		add_to_own(to_own, lfirst(lc));
	/* what it was in between, under a rollback say, gives nobody a right */
	check_owns_all(user, states_before(commands), to_own);
	check_owns_all(user, states_after(commands), to_own);
	frame_unpin(&frame);
}

void
plan_check_rights(RollbackPlan *plan)
{
	ListCell   *lc;
	ListCell   *inner;

	commands_check_rights(plan->commands);
	if (is_administrator(GetUserId()))
		return;
	foreach(lc, plan->commands)
	{
		RecordedCommand *command = lfirst(lc);

		foreach(inner, command->steps)
		{
			Step	   *step = lfirst(inner);

			if (step->mode == RUN_SUPERUSER)
				ereport(ERROR,
						(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						 errmsg("permission denied to restore %s", step->object),
						 errdetail("Only a superuser can make such an object.")));
		}
	}
}
