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
 * The type is that of the first element that shows one.
 *
 * Likewise n BETWEEN 1 AND 5 AND m > 0 is an AND in an AND, and described as
 * one, which the parser would make a single one of.  A cast of the inner one to
 * what it is keeps them apart:
 *
 *		(((n >= 1) AND (n <= 5))::boolean AND (m > 0))
 *
 * Where the elements of an array have different lengths of their type, nothing
 * keeps the wording; that is no reason to refuse a rollback.
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

/* ARRAY[...], taken apart. */
typedef struct ArrayText
{
	List	   *elements;		/* of char* */
	char	   *type;			/* of the elements, if one of them shows it */
	const char *end;			/* behind the bracket */
} ArrayText;

static void
add_element(ArrayText *array, const char *begin, const char *end, const char *cast)
{
	char	   *type;

	if (begin == end)
		return;					/* there is none */
	type = type_of_element(begin, end, cast);
	if (array->type == NULL)
		array->type = type;
	else if (type == NULL || strcmp(array->type, type) != 0)
		array->type = without_length(array->type);
	array->elements = lappend(array->elements, pnstrdup(begin, end - begin));
}

/* p is behind "ARRAY[", somewhere in text. */
static void
read_array(const char *p, const char *text, ArrayText *array)
{
	const char *element = p;
	const char *cast = NULL;
	int			depth = 1;

	memset(array, 0, sizeof(ArrayText));
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
			add_element(array, element, p, cast);
			element = p + 1 + strspn(p + 1, " ");
			cast = NULL;
		}
		if (*p == '(' || *p == '[')
			depth++;
		else if ((*p == ')' || *p == ']') && --depth == 0)
			break;
		p = skip_one(p, text);
	}
	array->end = *p ? p + 1 : p;
}

static bool
is_array(const char *p, const char *text)
{
	return strncmp(p, "ARRAY[", 6) == 0 && (p == text || !is_word(p[-1]));
}

/* What follows an array, in parentheses or not, is at *behind: is it a cast? */
static bool
is_cast(const char *p, const char *text, const char **behind)
{
	if (**behind == ')' && p > text && p[-1] == '(')
		(*behind)++;
	return (*behind)[0] == ':' && (*behind)[1] == ':';
}

/* ---- AND in AND, OR in OR ---- */

/* p is at a parenthesis; behind the one that closes it. */
static const char *
behind_group(const char *p, const char *text)
{
	int			depth = 0;

	while (*p)
	{
		if (*p == '(' || *p == ')')
			depth += *p == '(' ? 1 : -1;
		if (depth == 0)
			return p + 1;
		p = skip_one(p, text);
	}
	return p;
}

static const char *
operator_at(const char *p)
{
	return strncmp(p, " AND ", 5) == 0 ? " AND " :
		strncmp(p, " OR ", 4) == 0 ? " OR " : NULL;
}

/* Is that what holds the group at p together? */
static bool
is_joined_by(const char *p, const char *text, const char *joint)
{
	int			depth = 0;

	for (; *p; p = skip_one(p, text))
	{
		if (*p == '(' || *p == ')')
			depth += *p == '(' ? 1 : -1;
		if (depth == 0)
			return false;
		if (depth == 1 && strncmp(p, joint, strlen(joint)) == 0)
			return true;
	}
	return false;
}

/* Where "((a AND b) AND c)" at p needs a cast, or NULL. */
static const char *
inner_joint(const char *p, const char *text)
{
	const char *behind;
	const char *joint;

	if (p[0] != '(' || p[1] != '(')
		return NULL;
	behind = behind_group(p + 1, text);
	joint = operator_at(behind);
	return joint && is_joined_by(p + 1, text, joint) ? behind : NULL;
}

/* ---- the whole ---- */

typedef struct Insertion
{
	const char *place;
	char	   *text;
} Insertion;

static List *
add_insertion(List *insertions, const char *place, char *text)
{
	Insertion  *insertion = palloc(sizeof(Insertion));

	insertion->place = place;
	insertion->text = text;
	return lappend(insertions, insertion);
}

static int
compare_places(const ListCell *a, const ListCell *b)
{
	const char *x = ((Insertion *) lfirst(a))->place;
	const char *y = ((Insertion *) lfirst(b))->place;

	return x < y ? -1 : (x > y ? 1 : 0);
}

static List *
find_insertions(const char *sql)
{
	List	   *insertions = NIL;
	const char *p = sql;

	while (*p)
	{
		const char *behind = inner_joint(p, sql);

		if (behind)
			insertions = add_insertion(insertions, behind, "::boolean");
		if (is_array(p, sql))
		{
			ArrayText	array;

			read_array(p + 6, sql, &array);
			if (is_cast(p, sql, &array.end) && array.type)
				insertions = add_insertion(insertions, array.end,
										   psprintf("::%s[]", array.type));
			p += 6;
		}
		else
			p = skip_one(p, sql);
	}
	/* what is inside of another begins later and ends earlier */
	list_sort(insertions, compare_places);
	return insertions;
}

char *
spell_exactly(const char *sql)
{
	const char *p = sql;
	ListCell   *lc;
	StringInfoData buf;

	if (strstr(sql, "ARRAY[") == NULL && strstr(sql, "((") == NULL)
		return pstrdup(sql);
	initStringInfo(&buf);
	foreach(lc, find_insertions(sql))
	{
		Insertion  *insertion = lfirst(lc);

		appendBinaryStringInfo(&buf, p, insertion->place - p);
		appendStringInfoString(&buf, insertion->text);
		p = insertion->place;
	}
	appendStringInfoString(&buf, p);
	return buf.data;
}

/* ---- two wordings of one expression ---- */

/* x of (x)::type, where that is a type without a length: no value changes. */
static char *
without_relabel(char *element)
{
	char	   *end = NULL;
	int			depth = 0;

	if (element[0] != '(')
		return element;
	for (const char *p = element; *p && end == NULL; p = skip_one(p, element))
	{
		depth += *p == '(' ? 1 : *p == ')' ? -1 : 0;
		if (depth == 0)
			end = unconstify(char *, p);
	}
	if (end == NULL || end[1] != ':' || end[2] != ':' ||
		!is_type_name(end + 3) || strchr(end + 3, '('))
		return element;
	return pnstrdup(element + 1, end - element - 1);
}

/* "text" of "::text[]" at p, or NULL; *end is behind it. */
static char *
array_type(const char *p, const char **end)
{
	const char *brackets = strstr(p, "[]");
	char	   *type;

	if (brackets == NULL)
		return NULL;
	type = pnstrdup(p + 2, brackets - p - 2);
	*end = brackets + 2;
	return is_type_name(type) ? type : NULL;
}

/*
 * The wording with every cast of an array given to its elements, as the parser
 * does.
 */
static char *
with_casts_inside(const char *text)
{
	StringInfoData buf;
	const char *p = text;

	initStringInfo(&buf);
	while (*p)
	{
		ArrayText	array;
		const char *end;
		char	   *type = NULL;
		ListCell   *lc;

		if (!is_array(p, text))
		{
			end = skip_one(p, text);
			appendBinaryStringInfo(&buf, p, end - p);
			p = end;
			continue;
		}
		read_array(p + 6, text, &array);
		end = array.end;
		if (is_cast(p, text, &end) && (type = array_type(end, &end)) != NULL)
		{
			/* the parentheses are the cast's */
			if (buf.len > 0 && buf.data[buf.len - 1] == '(' && *array.end == ')')
				buf.data[--buf.len] = '\0';
			array.end = end;
		}
		appendStringInfoString(&buf, "ARRAY[");
		foreach(lc, array.elements)
		{
			char	   *element = with_casts_inside(type ? without_relabel(lfirst(lc)) :
													lfirst(lc));

			if (foreach_current_index(lc) > 0)
				appendStringInfoString(&buf, ", ");
			if (type)
				appendStringInfo(&buf, "(%s)::%s", element, type);
			else
				appendStringInfoString(&buf, element);
		}
		appendStringInfoChar(&buf, ']');
		p = array.end;
	}
	return buf.data;
}

/*
 * An outer join without a condition, as a NATURAL one without common columns
 * is, is shown with one, and has it when that is read again.
 */
static char *
with_true_joins(const char *text)
{
	static const char join[] = " ON (true)";
	StringInfoData buf;
	const char *p = text;
	const char *found;

	initStringInfo(&buf);
	while ((found = strstr(p, join)) != NULL)
	{
		appendBinaryStringInfo(&buf, p, found - p);
		appendStringInfoString(&buf, " ON TRUE");
		p = found + strlen(join);
	}
	appendStringInfoString(&buf, p);
	return buf.data;
}

/*
 * Do two descriptions differ in nothing but where an array is cast, or in a
 * join on true?  Nothing else is the same here: parentheses and casts elsewhere
 * have a meaning.
 */
bool
spelled_alike(const char *a, const char *b)
{
	a = with_true_joins(a);
	b = with_true_joins(b);
	return strcmp(a, b) == 0 ||
		(strstr(a, "ARRAY[") && strstr(b, "ARRAY[") &&
		 strcmp(with_casts_inside(a), with_casts_inside(b)) == 0);
}
