/*-------------------------------------------------------------------------
 *
 * version.c
 *	  What another major version of PostgreSQL recorded, as this one has it.
 *
 * Since 17 there is MAINTAIN.  pg_dump makes no mention of it for what an older
 * server has, and so, wherever privileges are not the default ones, leaves it
 * to the owner, who has it by default; whoever else had all that there was gets
 * what he had.  The images are read so that they say what became of it.
 *
 * Since 16 a membership in a role has options, and a grantor that counts: what
 * an older server has comes without one, so that whoever restores it, the
 * bootstrap superuser, is the grantor.
 *
 * NOT NULL is a constraint since 17 (of domains) or 18 (of columns), and what an
 * older server has gets the name that PostgreSQL would choose.
 *
 * How definitions are worded cannot be told without the objects that they
 * name, see rollback/reworded.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/syscache.h"

#include "compat.h"
#include "image/classes.h"

int
server_version(void)
{
	static int	version = 0;

	if (version == 0)
		version = atoi(GetConfigOption("server_version_num", false, false));
	return version;
}

/* ecb0fd3372 (17) */
static bool
has_maintain(int version)
{
	return version / 10000 >= 17;
}

/* ---- lists of privileges ---- */

/* Is p at this name, quoted or not?  Then what is behind it, else NULL. */
static const char *
behind_name(const char *p, const char *name)
{
	bool		quoted = *p == '"';

	if (quoted)
		p++;
	for (; *name; name++)
	{
		if (*p != *name)
			return NULL;
		p += quoted && *p == '"' ? 2 : 1;
	}
	if (!quoted)
		return p;
	return *p == '"' ? p + 1 : NULL;
}

/* Of "owner=privileges/owner" where the slash is, else NULL. */
static const char *
owner_item(const char *item, const char *owner)
{
	const char *p = behind_name(item, owner);
	const char *slash = p && *p == '=' ? strchr(p, '/') : NULL;
	const char *end = slash ? behind_name(slash + 1, owner) : NULL;

	return end && *end == '\0' ? slash : NULL;
}

/* For an aclitem, the way that a name is certainly read. */
static char *
quoted_role(const char *role)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '"');
	for (const char *p = role; *p; p++)
	{
		if (*p == '"')
			appendStringInfoChar(&buf, '"');
		appendStringInfoChar(&buf, *p);
	}
	appendStringInfoChar(&buf, '"');
	return buf.data;
}

static bool
is_plain(const char *role)
{
	for (const char *p = role; *p; p++)
	{
		if (*p != '_' && (IS_HIGHBIT_SET(*p) || !isalnum((unsigned char) *p)))
			return false;
	}
	return role[0] != '\0';
}

/* The list with MAINTAIN for the owner, whose item then comes first. */
static char *
with_maintain(const char *acl, const char *owner)
{
	Datum	   *elems;
	int			nelems;
	List	   *others = NIL;
	const char *name = is_plain(owner) ? owner : quoted_role(owner);
	char	   *first = psprintf("%s=m/%s", name, name);
	ArrayBuildState *state;
	ListCell   *lc;

	deconstruct_array(DatumGetArrayTypeP(OidInputFunctionCall(F_ARRAY_IN, pstrdup(acl), TEXTOID, -1)),
					  TEXTOID, -1, false, TYPALIGN_INT, &elems, NULL, &nelems);
	for (int i = 0; i < nelems; i++)
	{
		char	   *item = TextDatumGetCString(elems[i]);
		const char *slash = owner_item(item, owner);

		if (slash)
			first = psprintf("%sm%s", pnstrdup(item, slash - item), slash);
		else
			others = lappend(others, item);
	}
	state = accumArrayResult(NULL, CStringGetTextDatum(first), false, TEXTOID,
							 CurrentMemoryContext);
	foreach(lc, others)
		state = accumArrayResult(state, CStringGetTextDatum(lfirst(lc)), false,
								 TEXTOID, CurrentMemoryContext);
	return OidOutputFunctionCall(F_ARRAY_OUT, makeArrayResult(state, CurrentMemoryContext));
}

static void
add_maintain_to_relation(Image *image)
{
	ListCell   *lc;

	foreach(lc, image->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (facet->part[0] == '\0' && strcmp(facet->name, "acl") == 0)
			facet->value = with_maintain(facet->value, image->owner);
	}
}

/* Those in a schema only add to the others, and do not know the owner. */
static void
add_maintain_to_defaults(Image *image)
{
	ListCell   *lc;
	const char *owner = quote_identifier(image->owner);
	bool		found = false;

	foreach(lc, image->facets)
	{
		Facet	   *facet = lfirst(lc);
		bool		privileges = strcmp(facet->name, "privileges") == 0;

		if (strcmp(facet->part, owner) != 0 ||
			!(privileges || strcmp(facet->name, "@built-in privileges") == 0))
			continue;
		facet->value = psprintf("%s, MAINTAIN", facet->value);
		found = found || privileges;
	}
	if (!found)
		image_add(image, owner, "privileges", "MAINTAIN");
}

/* ---- memberships ---- */

/* e3ce2de09d, 3d14e171e9 (16) */
static bool
has_membership_options(int version)
{
	return version / 10000 >= 16;
}

static bool
inherits_by_default(const char *role)
{
	HeapTuple	tuple = SearchSysCache1(AUTHNAME, CStringGetDatum(role));
	bool		inherits = true;

	if (HeapTupleIsValid(tuple))
	{
		inherits = ((Form_pg_authid) GETSTRUCT(tuple))->rolinherit;
		ReleaseSysCache(tuple);
	}
	return inherits;
}

/* The identifier, quoted or not, that the text begins with. */
static char *
first_identifier(const char *text)
{
	const char *p = text;

	if (*p == '"')
	{
		for (p++; *p && (*p != '"' || p[1] == '"'); p++)
			p += *p == '"';
		return pnstrdup(text, p + 1 - text);
	}
	return pnstrdup(text, strcspn(text, " "));
}

static char *
without_quotes(const char *identifier)
{
	char	   *name = pstrdup(identifier);
	char	   *to = name;

	if (*identifier != '"')
		return name;
	for (const char *p = identifier + 1; *p && (*p != '"' || p[1] == '"'); p++)
	{
		*to++ = *p;
		p += *p == '"';
	}
	*to = '\0';
	return name;
}

static void
add_membership_options(Image *image)
{
	const char *grantor = quote_identifier(GetUserNameFromId(BOOTSTRAP_SUPERUSERID, false));
	ListCell   *lc;

	foreach(lc, image->facets)
	{
		Facet	   *facet = lfirst(lc);
		char	   *member;
		bool		admin;

		if (strcmp(facet->name, "member") != 0)
			continue;
		member = first_identifier(facet->value);
		admin = strncmp(facet->value + strlen(member), " WITH ADMIN OPTION", 18) == 0;
		facet->part = psprintf("%s GRANTED BY %s", member, grantor);
		facet->value = psprintf("%s WITH ADMIN %s, INHERIT %s, SET TRUE GRANTED BY %s",
								member, admin ? "TRUE" : "FALSE",
								inherits_by_default(without_quotes(member)) ? "TRUE" : "FALSE",
								grantor);
	}
	image->index = NULL;
}

/* ---- NOT NULL ---- */

/* 14e87ffa5c (18); e5da0fe3c2 (17) */
static bool
names_not_null(const Image *image, int version)
{
	return version / 10000 >= (image->class->catalog == TypeRelationId ? 17 : 18);
}

/* An inherited column's has the name that the parent's has. */
static void
name_not_null(Image *image)
{
	List	   *facets = list_copy(image->facets);
	ListCell   *lc;

	foreach(lc, facets)
	{
		Facet	   *facet = lfirst(lc);

		if (strcmp(facet->name, "notnull") == 0 &&
			image_get(image, facet->part, "inhcount") == NULL)
			image_add(image, facet->part, "@notnull name",
					  makeObjectName(image->name, facet->part[0] ? facet->part : NULL,
									 "not_null"));
	}
}

/* ---- the whole ---- */

/* version: server_version_num of who took the image */
void
image_from_version(Image *image, int version)
{
	const char *objects;

	if (version / 10000 == server_version() / 10000)
		return;
	image->server = version;
	if (image->class && !names_not_null(image, version) &&
		names_not_null(image, server_version()))
		name_not_null(image);
	if (image->class == &image_class_role && !has_membership_options(version) &&
		has_membership_options(server_version()))
		add_membership_options(image);
	if (has_maintain(version) || !has_maintain(server_version()) ||
		image->class == NULL || image->owner == NULL)
		return;
	objects = image_get(image, "", "@objects");
	if (image->class->catalog == RelationRelationId &&
		strcmp(image->type, "sequence") != 0)
		add_maintain_to_relation(image);
	else if (image->class == &image_class_default_acl && objects &&
			 strcmp(objects, "TABLES") == 0 &&
			 image_get(image, "", "@in schema") == NULL)
		add_maintain_to_defaults(image);
}
