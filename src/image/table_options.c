/*-------------------------------------------------------------------------
 *
 * table_options.c
 *	  Storage parameters and foreign-data options, one facet each.
 *
 * An option's facet is named by a prefix and its own name ("option
 * fillfactor", "fdw option column_name"), so that a difference says which
 * option it is, and only that one is set or reset.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "table.h"

/*
 * Adds the facets for an array of "name=value", as reloptions, attoptions and
 * attfdwoptions hold it.  lead comes before the option's name: "option ",
 * "option toast.", "fdw option ".
 */
void
options_read(Image *image, const char *part, const char *lead,
			 Datum options, bool isnull)
{
	Datum	   *elems;
	int			nelems;

	if (isnull)
		return;
	deconstruct_array(DatumGetArrayTypeP(options), TEXTOID, -1, false,
					  TYPALIGN_INT, &elems, NULL, &nelems);
	for (int i = 0; i < nelems; i++)
	{
		char	   *option = TextDatumGetCString(elems[i]);
		char	   *separator = strchr(option, '=');

		if (separator)
			*separator = '\0';
		/* the attribute's version is kept by PostgreSQL itself */
		if (strcmp(option, "pg_attver") == 0)
			continue;
		image_add(image, part, psprintf("%s%s", lead, option),
				  quote_literal_cstr(separator ? separator + 1 : ""));
	}
}

const char *
facet_value(List *facets, const char *name)
{
	ListCell   *lc;

	foreach(lc, facets)
	{
		Facet	   *facet = lfirst(lc);

		if (strcmp(facet->name, name) == 0)
			return facet->value;
	}
	return NULL;
}

/* The facets of the object itself, without those of its columns. */
List *
image_own_facets(const Image *image)
{
	List	   *own = NIL;
	ListCell   *lc;

	foreach(lc, image->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (facet->part[0] == '\0')
			own = lappend(own, facet);
	}
	return own;
}

/* The option's own name if the facet is one of that prefix, else NULL. */
static const char *
option_name(const Facet *facet, const char *prefix)
{
	size_t		len = strlen(prefix);

	if (strncmp(facet->name, prefix, len) != 0 || facet->name[len] != ' ')
		return NULL;
	return facet->name + len + 1;
}

static bool
is_toast_option(const char *name)
{
	return strncmp(name, "toast.", 6) == 0;
}

/* "toast.autovacuum_enabled" is a name in a namespace: two identifiers. */
static char *
quote_option(const char *name)
{
	if (is_toast_option(name))
		return psprintf("toast.%s", quote_identifier(name + 6));
	return pstrdup(quote_identifier(name));
}

static void
append_item(StringInfo buf, const char *item)
{
	if (buf->len > 0)
		appendStringInfoString(buf, ", ");
	appendStringInfoString(buf, item);
}

/*
 * All options, as they stand in WITH (name=value) or, with a blank as the
 * separator, in OPTIONS (name value); NULL if there are none.
 */
char *
options_list(List *facets, const char *prefix, const char *separator)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, facets)
	{
		Facet	   *facet = lfirst(lc);
		const char *name = option_name(facet, prefix);

		if (name)
			append_item(&buf, psprintf("%s%s%s", quote_option(name),
									   separator, facet->value));
	}
	return buf.len > 0 ? buf.data : NULL;
}

/* Where in the list an option of that name and value is, or -1. */
static int
option_position(List *facets, const Facet *option)
{
	ListCell   *lc;

	foreach(lc, facets)
	{
		Facet	   *facet = lfirst(lc);

		if (strcmp(facet->name, option->name) == 0)
			return strcmp(facet->value, option->value) == 0 ?
				foreach_current_index(lc) : -1;
	}
	return -1;
}

/*
 * SET moves what it sets behind all other options, and pg_dump shows their
 * order.  So from the first one on that is not as it was, all are set.
 */
static bool
stays_in_place(List *have, List *want, const char *prefix, const Facet *option)
{
	bool		toast = is_toast_option(option_name(option, prefix));
	int			last = -1;
	ListCell   *lc;

	foreach(lc, want)
	{
		Facet	   *facet = lfirst(lc);
		const char *name = option_name(facet, prefix);
		int			position;

		if (name == NULL || is_toast_option(name) != toast)
			continue;
		position = option_position(have, facet);
		if (position <= last)
			return false;
		if (facet == option)
			return true;
		last = position;
	}
	return false;
}

/* What SET (...) has to say to get from have to want, or NULL. */
char *
options_to_set(List *have, List *want, const char *prefix)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, want)
	{
		Facet	   *facet = lfirst(lc);
		const char *name = option_name(facet, prefix);

		if (name && !stays_in_place(have, want, prefix, facet))
			append_item(&buf, psprintf("%s=%s", quote_option(name), facet->value));
	}
	return buf.len > 0 ? buf.data : NULL;
}

/* What RESET (...) has to say, or NULL. */
char *
options_to_reset(List *have, List *want, const char *prefix)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, have)
	{
		Facet	   *facet = lfirst(lc);
		const char *name = option_name(facet, prefix);

		if (name && facet_value(want, facet->name) == NULL)
			append_item(&buf, quote_option(name));
	}
	return buf.len > 0 ? buf.data : NULL;
}

/*
 * Whether SET where it stands and ADD at the end give want's order, which
 * pg_dump shows.
 */
static bool
changes_keep_order(List *have, List *want, const char *prefix)
{
	int			last = -1;
	bool		added = false;
	ListCell   *lc;

	foreach(lc, want)
	{
		Facet	   *facet = lfirst(lc);
		int			position = -1;
		ListCell   *other;

		if (option_name(facet, prefix) == NULL)
			continue;
		foreach(other, have)
		{
			if (strcmp(((Facet *) lfirst(other))->name, facet->name) == 0)
				position = foreach_current_index(other);
		}
		if (position < 0)
			added = true;
		else if (added || position < last)
			return false;
		else
			last = position;
	}
	return true;
}

/* What OPTIONS (...) of a foreign object has to say, or NULL. */
char *
options_generic_change(List *have, List *want, const char *prefix)
{
	bool		in_order = changes_keep_order(have, want, prefix);
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, have)
	{
		Facet	   *facet = lfirst(lc);
		const char *name = option_name(facet, prefix);

		if (name && (!in_order || facet_value(want, facet->name) == NULL))
			append_item(&buf, psprintf("DROP %s", quote_identifier(name)));
	}
	foreach(lc, want)
	{
		Facet	   *facet = lfirst(lc);
		const char *name = option_name(facet, prefix);
		const char *old;

		if (name == NULL)
			continue;
		old = in_order ? facet_value(have, facet->name) : NULL;
		if (!texts_equal(old, facet->value))
			append_item(&buf, psprintf("%s %s %s", old ? "SET" : "ADD",
									   quote_identifier(name), facet->value));
	}
	return buf.len > 0 ? buf.data : NULL;
}
