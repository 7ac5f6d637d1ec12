/*-------------------------------------------------------------------------
 *
 * default_acl.c
 *	  Images of default privileges.
 *
 * There is a row for one role, kind of object and schema (or none) as long as
 * the privileges are not the built-in ones; PostgreSQL keeps their list
 * sorted, so each grantee is a part.  The row appears and goes by GRANT and
 * REVOKE, which start from the built-in privileges or lead back to them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_default_acl.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "image/classes.h"

/* Facets of a grantee: what he has, what he may grant, what is built in. */
#define PRIVILEGES	"privileges"
#define GRANTABLE	"privileges with grant option"
#define BUILT_IN	"@built-in privileges"

static const struct
{
	char		code;			/* defaclobjtype */
	ObjectType	type;
	const char *keyword;
}			kinds[] = {
	{DEFACLOBJ_RELATION, OBJECT_TABLE, "TABLES"},
	{DEFACLOBJ_SEQUENCE, OBJECT_SEQUENCE, "SEQUENCES"},
	{DEFACLOBJ_FUNCTION, OBJECT_FUNCTION, "FUNCTIONS"},
	{DEFACLOBJ_TYPE, OBJECT_TYPE, "TYPES"},
	{DEFACLOBJ_NAMESPACE, OBJECT_SCHEMA, "SCHEMAS"},
	{DEFACLOBJ_LARGEOBJECT, OBJECT_LARGEOBJECT, "LARGE OBJECTS"},
};

static const struct
{
	AclMode		privilege;
	const char *name;
}			privilege_names[] = {
	{ACL_SELECT, "SELECT"},
	{ACL_INSERT, "INSERT"},
	{ACL_UPDATE, "UPDATE"},
	{ACL_DELETE, "DELETE"},
	{ACL_TRUNCATE, "TRUNCATE"},
	{ACL_REFERENCES, "REFERENCES"},
	{ACL_TRIGGER, "TRIGGER"},
	{ACL_MAINTAIN, "MAINTAIN"},
	{ACL_EXECUTE, "EXECUTE"},
	{ACL_USAGE, "USAGE"},
	{ACL_CREATE, "CREATE"},
};

/* ---- reading ---- */

static void
add_privileges(Image *image, const char *grantee, const char *facet,
			   AclMode privileges)
{
	StringInfoData buf;

	if (privileges == ACL_NO_RIGHTS)
		return;
	initStringInfo(&buf);
	for (size_t i = 0; i < lengthof(privilege_names); i++)
	{
		if ((privileges & privilege_names[i].privilege) == 0)
			continue;
		privileges &= ~privilege_names[i].privilege;
		appendStringInfo(&buf, "%s%s", buf.len ? ", " : "",
						 privilege_names[i].name);
	}
	if (privileges != ACL_NO_RIGHTS)
		elog(ERROR, "unexpected privileges in default acl %s", image->identity);
	image_add(image, grantee, facet, buf.data);
}

static const char *
grantee_name(Oid grantee)
{
	return grantee == ACL_ID_PUBLIC ? "PUBLIC" :
		quote_identifier(GetUserNameFromId(grantee, false));
}

/* What the list grants without the right to grant it goes under that facet. */
static void
read_acl(Image *image, const char *facet, Acl *acl)
{
	int16		length;
	bool		by_value;
	char		align;
	Datum	   *items;
	int			nitems;

	get_typlenbyvalalign(ACLITEMOID, &length, &by_value, &align);
	deconstruct_array(acl, ACLITEMOID, length, by_value, align, &items, NULL,
					  &nitems);
	for (int i = 0; i < nitems; i++)
	{
		AclItem    *item = DatumGetAclItemP(items[i]);
		const char *grantee = grantee_name(item->ai_grantee);
		AclMode		grantable = ACLITEM_GET_GOPTIONS(*item);

		add_privileges(image, grantee, facet,
					   ACLITEM_GET_PRIVS(*item) & ~grantable);
		add_privileges(image, grantee, GRANTABLE, grantable);
	}
}

static size_t
kind_of(char code)
{
	for (size_t i = 0; i < lengthof(kinds); i++)
	{
		if (kinds[i].code == code)
			return i;
	}
	elog(ERROR, "unexpected kind of default privileges '%c'", code);
	return 0;					/* keep compiler quiet */
}

static bool
default_acl_read(Image *image)
{
	HeapTuple	tuple = catalog_row(DefaultAclRelationId, Anum_pg_default_acl_oid,
									image->address.objectId);
	Form_pg_default_acl form;
	size_t		kind;
	Datum		acl;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_default_acl) GETSTRUCT(tuple);
	kind = kind_of(form->defaclobjtype);
	image_belongs_to(image, form->defaclrole);
	image_add(image, "", "@objects", kinds[kind].keyword);
	if (OidIsValid(form->defaclnamespace))
		image_add(image, "", "@in schema",
				  quote_identifier(get_namespace_name(form->defaclnamespace)));
	else
		read_acl(image, BUILT_IN, acldefault(kinds[kind].type, form->defaclrole));
	acl = catalog_value(DefaultAclRelationId, tuple,
						Anum_pg_default_acl_defaclacl, &isnull);
	if (!isnull)
		read_acl(image, PRIVILEGES, DatumGetAclPCopy(acl));
	return true;
}

/* ---- steps ---- */

/* What an image says about its grantees under facet: its own or the built-in. */
typedef struct Grants
{
	const Image *image;
	const char *facet;
} Grants;

static const char *
plain_grants(const Grants *grants, const char *grantee)
{
	return image_get(grants->image, grantee, grants->facet);
}

/* Built-in privileges come without the right to grant them. */
static const char *
grantable_grants(const Grants *grants, const char *grantee)
{
	return strcmp(grants->facet, BUILT_IN) == 0 ? NULL :
		image_get(grants->image, grantee, GRANTABLE);
}

static bool
same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool
grantee_differs(const Grants *a, const Grants *b, const char *grantee)
{
	return !same_text(plain_grants(a, grantee), plain_grants(b, grantee)) ||
		!same_text(grantable_grants(a, grantee), grantable_grants(b, grantee));
}

static List *
grantees(const Grants *grants)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, grants->image->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (plain_grants(grants, facet->part) ||
			grantable_grants(grants, facet->part))
			result = list_append_unique(result, makeString(facet->part));
	}
	return result;
}

/* verb is GRANT ... ON or REVOKE ALL ON; image says where */
static void
change(const Image *image, Steps *steps, const char *verb,
	   const char *preposition, const char *grantee, const char *option)
{
	const char *schema = image_get(image, "", "@in schema");

	step_add(steps, RANK_DEFAULT_ACL, RUN_CATALOG, NULL, "catalog",
			 "ALTER DEFAULT PRIVILEGES FOR ROLE %s%s%s %s ON %s %s %s%s",
			 quote_identifier(image->owner), schema ? " IN SCHEMA " : "",
			 schema ? schema : "", verb, image_get(image, "", "@objects"),
			 preposition, grantee, option);
}

/*
 * Whoever has others than he shall have loses all and is granted what he
 * shall have.
 */
static void
change_grants(const Grants *have, const Grants *want, Steps *steps)
{
	ListCell   *lc;

	foreach(lc, grantees(have))
	{
		const char *grantee = strVal(lfirst(lc));

		if (grantee_differs(have, want, grantee))
			change(want->image, steps, "REVOKE ALL", "FROM", grantee, "");
	}
	foreach(lc, grantees(want))
	{
		const char *grantee = strVal(lfirst(lc));
		const char *plain = plain_grants(want, grantee);
		const char *grantable = grantable_grants(want, grantee);

		if (!grantee_differs(have, want, grantee))
			continue;
		if (plain)
			change(want->image, steps, psprintf("GRANT %s", plain), "TO",
				   grantee, "");
		if (grantable)
			change(want->image, steps, psprintf("GRANT %s", grantable), "TO",
				   grantee, " WITH GRANT OPTION");
	}
}

static void
default_acl_create(const Image *image, Steps *steps)
{
	Grants		have = {image, BUILT_IN};
	Grants		want = {image, PRIVILEGES};

	change_grants(&have, &want, steps);
}

static void
default_acl_drop(const Image *image, Steps *steps)
{
	Grants		have = {image, PRIVILEGES};
	Grants		want = {image, BUILT_IN};

	change_grants(&have, &want, steps);
}

static bool
default_acl_alter(const Image *have, const Image *want, Steps *steps)
{
	Grants		now = {have, PRIVILEGES};
	Grants		then = {want, PRIVILEGES};

	change_grants(&now, &then, steps);
	return true;
}

const ImageClass image_class_default_acl = {
	.catalog = DefaultAclRelationId,
	.type = "default acl",
	.keyword = "DEFAULT PRIVILEGES",
	.rank = RANK_DEFAULT_ACL,
	.read = default_acl_read,
	.create = default_acl_create,
	.drop = default_acl_drop,
	.alter = default_acl_alter,
};
