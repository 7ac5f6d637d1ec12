/*-------------------------------------------------------------------------
 *
 * needs.c
 *	  What came back needs nothing that stays in the vault.
 *
 * A kept object that moves back takes its dependencies with it: a column, an
 * attribute or a domain of a type, a partition key that calls a function, which
 * a later migration dropped and which is in the vault now.  It is described by
 * the names that those have out of the vault (keep/home.c), since things come
 * back one by one; so at the end they have to be there too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/dependency.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"

#include "capture/capture.h"
#include "keep/vault.h"
#include "rollback/rollback.h"

/* By the name of the schema that its migration has in the vault. */
static int64
migration_of_vault(Oid namespace)
{
	return strtoll(get_namespace_name(namespace) + strlen(SAFEMIG_VAULT_PREFIX), NULL, 10);
}

static char *
needed_in_words(const ObjectAddress *needed)
{
	Kept	   *kept = NULL;

	if (needed->classId == TypeRelationId)
		kept = kept_of_type(needed->objectId);
	if (kept)
		return psprintf("%s %s", kept->object_type, kept->identity);
	return getObjectDescription(needed, false);
}

static void
refuse(const Image *image, const ObjectAddress *needed)
{
	int64		migration = migration_of_vault(address_namespace(needed));

	ereport(ERROR,
			(errcode(ERRCODE_SAFEMIG_LATER),
			 errmsg("%s needs %s, which migration %lld dropped",
					image_address_key(image), needed_in_words(needed), (long long) migration),
			 errdetail("Nothing has been changed."),
			 errhint("SELECT safemig_rollback(%lld); first, or safemig_rollback_to(...), which takes the later ones back too.",
					 (long long) migration)));
}

/* What PostgreSQL keeps apart and is part of the object all the same. */
static bool
is_part(const Form_pg_depend form)
{
	if (form->deptype != DEPENDENCY_INTERNAL && form->deptype != DEPENDENCY_AUTO)
		return false;
	return form->classid == RewriteRelationId || form->classid == AttrDefaultRelationId ||
		form->classid == ConstraintRelationId ||
		(form->classid == RelationRelationId &&
		 (get_rel_relkind(form->objid) == RELKIND_INDEX ||
		  get_rel_relkind(form->objid) == RELKIND_PARTITIONED_INDEX));
}

static List *
parts_of(const ObjectAddress *address)
{
	List	   *parts = NIL;
	ListCell   *lc;

	foreach(lc, dependencies_on(address->classId, address->objectId))
	{
		Form_pg_depend form = lfirst(lc);
		ObjectAddress *part;

		if (!is_part(form))
			continue;
		part = palloc(sizeof(ObjectAddress));
		ObjectAddressSet(*part, form->classid, form->objid);
		parts = lappend(parts, part);
	}
	return parts;
}

static void
check_needs_of(const Image *image, const ObjectAddress *address)
{
	ListCell   *lc;

	foreach(lc, address_needs(address))
	{
		if (address_in_vault(lfirst(lc)))
			refuse(image, lfirst(lc));
	}
}

/* Of an object that is there again. */
void
check_needs_are_back(const Image *image)
{
	ObjectAddress address;
	ObjectAddress attributes;
	ListCell   *lc;

	if (!address_find(image, &address) || address_in_vault(&address))
		return;
	check_needs_of(image, &address);
	if (address.classId == TypeRelationId)
	{
		ObjectAddressSet(attributes, RelationRelationId, get_typ_typrelid(address.objectId));
		check_needs_of(image, &attributes);
	}
	foreach(lc, parts_of(&address))
		check_needs_of(image, lfirst(lc));
}
