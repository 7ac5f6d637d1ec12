/*-------------------------------------------------------------------------
 *
 * version.c
 *	  What another major version of PostgreSQL recorded, as this one has it.
 *
 * Only what pg_dump and pg_upgrade translate as well: whoever had every
 * privilege that there was keeps having every one.  How definitions are worded
 * cannot be translated without the objects that they name, see
 * rollback/reworded.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "compat.h"
#include "image/classes.h"

/* Every privilege on a table, by the letters of an aclitem and in words. */
typedef struct AllPrivileges
{
	int			since;			/* major version */
	const char *letters;
	const char *grantable;
	const char *words;
} AllPrivileges;

/* ecb0fd3372 (17): MAINTAIN */
static const AllPrivileges all_privileges[] = {
	{15, "arwdDxt", "a*r*w*d*D*x*t*",
	"SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER"},
	{17, "arwdDxtm", "a*r*w*d*D*x*t*m*",
	"SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER, MAINTAIN"},
};

/* server_version_num, of what is running */
int
server_version(void)
{
	static int	version = 0;

	if (version == 0)
		version = atoi(GetConfigOption("server_version_num", false, false));
	return version;
}

static const AllPrivileges *
privileges_of(int version)
{
	const AllPrivileges *found = &all_privileges[0];

	for (size_t i = 0; i < lengthof(all_privileges); i++)
	{
		if (version / 10000 >= all_privileges[i].since)
			found = &all_privileges[i];
	}
	return found;
}

/* What follows p if that is text and then a slash, else NULL. */
static const char *
behind_whole(const char *p, const char *text)
{
	size_t		len = strlen(text);

	return strncmp(p, text, len) == 0 && p[len] == '/' ? p + len : NULL;
}

/*
 * An array of aclitems as text.  Only what stands outside of the names of roles
 * is looked at; these are quoted if there is anything but letters in them, with
 * the quotes escaped for the array.
 */
static char *
translate_items(const char *text, const AllPrivileges *from, const AllPrivileges *to)
{
	StringInfoData buf;
	const char *p = text;
	bool		in_name = false;

	initStringInfo(&buf);
	while (*p)
	{
		const char *behind;

		if (*p == '\\' && p[1])
		{
			if (p[1] == '"')
				in_name = !in_name;
			appendBinaryStringInfo(&buf, p, 2);
			p += 2;
			continue;
		}
		appendStringInfoChar(&buf, *p);
		if (*p++ != '=' || in_name)
			continue;
		if ((behind = behind_whole(p, from->letters)) != NULL)
			appendStringInfoString(&buf, to->letters);
		else if ((behind = behind_whole(p, from->grantable)) != NULL)
			appendStringInfoString(&buf, to->grantable);
		if (behind)
			p = behind;
	}
	return buf.data;
}

static void
translate_facet(const Image *image, Facet *facet, const AllPrivileges *from,
				const AllPrivileges *to)
{
	if (image->class->catalog == RelationRelationId && facet->part[0] == '\0' &&
		strcmp(facet->name, "acl") == 0)
		facet->value = translate_items(facet->value, from, to);
	else if (image->class == &image_class_default_acl &&
			 strcmp(facet->value, from->words) == 0)
		facet->value = pstrdup(to->words);
}

/* version: server_version_num of who took the image */
void
image_from_version(Image *image, int version)
{
	const AllPrivileges *from = privileges_of(version);
	const AllPrivileges *to = privileges_of(server_version());
	ListCell   *lc;

	if (version / 10000 == server_version() / 10000)
		return;
	image->server = version;
	if (from == to || image->class == NULL)
		return;
	foreach(lc, image->facets)
		translate_facet(image, lfirst(lc), from, to);
}

/* The string that an argument of a call is, or NULL. */
static const char *
string_argument(const FuncCall *call, int n)
{
	A_Const    *constant = list_nth(call->args, n);

	return IsA(constant, A_Const) && !constant->isnull && IsA(&constant->val, String) ?
		strVal(&constant->val) : NULL;
}

/*
 * A step of set_acl() sets the privileges that an image had: its last argument,
 * of the whole object.
 */
void
step_from_version(Step *step, int version)
{
	const AllPrivileges *from = privileges_of(version);
	const AllPrivileges *to = privileges_of(server_version());
	FuncCall   *call;
	const ImageClass *class;
	const char *type;
	const char *part;
	const char *items;
	char	   *end;
	char	   *begin;

	if (from == to || strncmp(step->sql, "SELECT safemig.set_acl(", 23) != 0)
		return;
	call = parsed_own_call(parse_statement(step->sql));
	if (call == NULL || list_length(call->args) != 5 ||
		(type = string_argument(call, 0)) == NULL ||
		(part = string_argument(call, 3)) == NULL || part[0] != '\0' ||
		(items = string_argument(call, 4)) == NULL)
		return;
	class = registry_find(type);
	if (class == NULL || class->catalog != RelationRelationId)
		return;
	end = psprintf("%s)", quote_literal_cstr(items));
	begin = step->sql + strlen(step->sql) - strlen(end);
	if (begin < step->sql || strcmp(begin, end) != 0)
		elog(ERROR, "unexpected step: %s", step->sql);
	step->sql = psprintf("%s%s)", pnstrdup(step->sql, begin - step->sql),
						 quote_literal_cstr(translate_items(items, from, to)));
}
