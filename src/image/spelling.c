/*-------------------------------------------------------------------------
 *
 * spelling.c
 *	  A description of PostgreSQL's, so that it is read as it was meant.
 *
 * CHECK (s IN ('a', 'b')) on a varchar is described as
 *
 *		((s)::text = ANY ((ARRAY['a'::character varying, ...])::text[]))
 *
 * but the parser applies a cast of ARRAY[...] to each element, which makes
 * another expression of it, equal in value and not in wording.  A cast to the
 * array's own type in between is parsed to nothing, and keeps it away:
 *
 *		(ARRAY['a'::character varying, ...])::character varying[]::text[]
 *
 * The type is that of the first element that shows one.  Where the elements
 * have different lengths of it, none keeps the wording; that is no reason to
 * refuse a rollback.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "image/classes.h"

static bool
is_word(char c)
{
	return isalnum((unsigned char) c) || c == '_' || c == '$' || IS_HIGHBIT_SET(c);
}

/* Behind '...' or "...", whose quotes are doubled inside. */
static const char *
skip_quotes(const char *p, bool escapes)
{
	char		quote = *p++;

	for (; *p; p++)
	{
		if (escapes && *p == '\\' && p[1])
			p++;
		else if (*p == quote && *++p != quote)
			return p;
	}
	return p;
}

/* Behind $tag$...$tag$, or NULL if that is none. */
static const char *
skip_dollars(const char *p)
{
	const char *end = p + 1;
	const char *closing;
	char	   *tag;

	while (is_word(*end) && *end != '$')
		end++;
	if (*end != '$')
		return NULL;
	tag = pnstrdup(p, end + 1 - p);
	closing = strstr(end + 1, tag);
	return closing ? closing + strlen(tag) : NULL;
}

/* Behind whatever begins here and is to be taken as one. */
static const char *
skip_one(const char *p, const char *begin)
{
	const char *behind;

	if (*p == '"')
		return skip_quotes(p, false);
	if (*p == '\'')
		return skip_quotes(p, p > begin && (p[-1] == 'E' || p[-1] == 'e') &&
						   (p - 1 == begin || !is_word(p[-2])));
	if (*p == '$' && (p == begin || !is_word(p[-1])) &&
		(behind = skip_dollars(p)) != NULL)
		return behind;
	return p + 1;
}

/* "character varying(10)", and nothing that could be more than a type. */
static bool
is_type_name(const char *text)
{
	int			depth = 0;

	if (strstr(text, " COLLATE ") || text[0] == '\0')
		return false;
	for (const char *p = text; *p; p++)
	{
		if (*p == '"')
			p = skip_quotes(p, false) - 1;
		else if (*p == '(' || *p == ')')
			depth += *p == '(' ? 1 : -1;
		else if (!is_word(*p) && strchr(" .[]", *p) == NULL &&
				 !(*p == ',' && depth > 0))
			return false;
		if (depth < 0)
			return false;
	}
	return true;
}

static char *
type_of_number(const char *text)
{
	size_t		digits = strspn(text, "0123456789");

	if (digits == 0)
		return NULL;
	if (text[digits] == '\0')
		return digits < 10 ? "integer" : NULL;
	return text[digits] == '.' && strspn(text + digits + 1, "0123456789") ==
		strlen(text + digits + 1) ? "numeric" : NULL;
}

/* "timestamp(3) without time zone" without a length that others do not have. */
static char *
without_length(char *type)
{
	char	   *open = strchr(type, '(');
	char	   *close = open ? strchr(open, ')') : NULL;

	if (close)
		memmove(open, close + 1, strlen(close + 1) + 1);
	/* these would have a length of one */
	if (strcmp(type, "character") == 0)
		return "bpchar";
	if (strcmp(type, "bit") == 0)
		return "pg_catalog.\"bit\"";
	return type;
}

/* The type of an element, by its last cast; NULL if it does not show. */
static char *
type_of_element(const char *begin, const char *end, const char *cast)
{
	char	   *text;

	if (cast)
	{
		text = pnstrdup(cast, end - cast);
		return is_type_name(text) ? text : NULL;
	}
	text = pnstrdup(begin, end - begin);
	if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
		return "boolean";
	return type_of_number(text);
}

/*
 * p is behind "ARRAY[".  Returns the place behind the bracket that closes it,
 * and the type of the elements, if one of them shows it.
 */
static const char *
read_array(const char *p, const char *begin, char **type)
{
	const char *element = p;
	const char *cast = NULL;
	int			depth = 1;

	*type = NULL;
	while (*p)
	{
		if (depth == 1 && p[0] == ':' && p[1] == ':')
		{
			p += 2;
			cast = p;
			continue;
		}
		if (depth == 1 && (*p == ',' || *p == ']'))
		{
			char	   *other = type_of_element(element, p, cast);

			if (*type == NULL)
				*type = other;
			else if (other == NULL || strcmp(*type, other) != 0)
				*type = without_length(*type);
			element = p + 1 + strspn(p + 1, " ");
			cast = NULL;
		}
		if (*p == '(' || *p == '[')
			depth++;
		else if ((*p == ')' || *p == ']') && --depth == 0)
			return p + 1;
		p = skip_one(p, begin);
	}
	return p;
}

char *
spell_exactly(const char *sql)
{
	const char *begin = sql;
	const char *p = sql;
	StringInfoData buf;
	/* what is to be inserted, and where: outer ones come first and end last */
	List	   *places = NIL;
	List	   *types = NIL;

	if (strstr(sql, "ARRAY[") == NULL)
		return pstrdup(sql);
	while (*p)
	{
		char	   *type;
		const char *behind;

		if (strncmp(p, "ARRAY[", 6) != 0 || (p > begin && is_word(p[-1])))
		{
			p = skip_one(p, begin);
			continue;
		}
		behind = read_array(p + 6, begin, &type);
		if (*behind == ')' && p > begin && p[-1] == '(')
			behind++;
		if (type && behind[0] == ':' && behind[1] == ':')
		{
			places = lappend(places, (void *) behind);
			types = lappend(types, type);
		}
		p += 6;
	}

	initStringInfo(&buf);
	for (p = begin; *p; p++)
	{
		ListCell   *place;
		ListCell   *type;

		forboth(place, places, type, types)
		{
			if (lfirst(place) == p)
				appendStringInfo(&buf, "::%s[]", (char *) lfirst(type));
		}
		appendStringInfoChar(&buf, *p);
	}
	return buf.data;
}

/* Without parentheses, casts and white space: what is left of two wordings. */
static char *
bare_words(const char *text)
{
	StringInfoData buf;
	const char *p = text;

	initStringInfo(&buf);
	while (*p)
	{
		const char *next = skip_one(p, text);

		if (p[0] == ':' && p[1] == ':')
		{
			/* the name of a type, as far as it goes */
			for (p += 2; is_word(*p) || *p == '.' || *p == '"'; p = skip_one(p, text))
				continue;
			while (strncmp(p, " varying", 8) == 0 || strncmp(p, " precision", 10) == 0)
				p += p[1] == 'v' ? 8 : 10;
			if (*p == '(')
				p = strchr(p, ')') ? strchr(p, ')') + 1 : p;
			while (p[0] == '[' && p[1] == ']')
				p += 2;
			continue;
		}
		if (strchr("() \n", *p) == NULL)
			appendBinaryStringInfo(&buf, p, next - p);
		p = next;
	}
	return buf.data;
}

/* Two descriptions with an array in them that differ in casts alone. */
bool
spelled_alike(const char *a, const char *b)
{
	return strstr(a, "ARRAY[") && strstr(b, "ARRAY[") &&
		strcmp(bare_words(a), bare_words(b)) == 0;
}
