/*-------------------------------------------------------------------------
 *
 * store.c
 *	  An image as the history keeps it, and back.
 *
 * A text array of triples: part, name, value.  What the struct holds beside
 * the facets is stored as hints, whose names start with '@'.
 *
 * Most commands change little of an object, so the image after one is written
 * against the image before it: what is the same in both stands as a reference
 * to a run of the other's triples.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "safemig.h"

/* A reference: the number of the first triple, and how many. */
#define AS_BEFORE "@as before"

/* So far ahead the next common triple is looked for. */
#define LOOK_AHEAD 64

typedef struct Triple
{
	const char *part;
	const char *name;
	const char *value;
} Triple;

typedef struct Triples
{
	Triple	   *at;
	int			n;
} Triples;

/*
 * Like construct_array, without a copy of each element: a wide table's image
 * has tens of thousands.
 */
ArrayType *
text_array_from(const char *const *texts, int n)
{
	Size		size = ARR_OVERHEAD_NONULLS(1);
	ArrayType  *array;
	char	   *at;

	if (n == 0)
		return construct_empty_array(TEXTOID);
	for (int i = 0; i < n; i++)
		size += INTALIGN(VARHDRSZ + strlen(texts[i]));
	array = palloc0(size);
	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = TEXTOID;
	ARR_DIMS(array)[0] = n;
	ARR_LBOUND(array)[0] = 1;
	at = (char *) array + ARR_OVERHEAD_NONULLS(1);
	for (int i = 0; i < n; i++)
	{
		Size		len = strlen(texts[i]);

		SET_VARSIZE(at, VARHDRSZ + len);
		memcpy(VARDATA(at), texts[i], len);
		at += INTALIGN(VARHDRSZ + len);
	}
	return array;
}

/* ---- out ---- */

static void
add_triple(Triples *triples, const char *part, const char *name,
		   const char *value)
{
	Triple	   *triple = &triples->at[triples->n++];

	triple->part = part;
	triple->name = name;
	triple->value = value;
}

static Triples
triples_of(const Image *image)
{
	const struct
	{
		const char *name;
		const char *value;
	}			fields[] = {
		{"@type", image->type},
		{"@identity", image->identity},
		{"@schema", image->schema},
		{"@name", image->name},
		{"@parent type", image->parent_type},
		{"@parent", image->parent_identity},
		{"@names", image->names_sql},
		{"@args", image->args_sql},
		{"@address", psprintf("%u %u", image->address.classId, image->address.objectId)},
		{"@rank", psprintf("%d", image->rank)},
		{"@seq", image->seq ? psprintf("%d", image->seq) : NULL},
		{"@kept", image->kept ? psprintf(INT64_FORMAT, image->kept) : NULL},
	};
	Triples		triples;
	ListCell   *lc;

	triples.at = palloc(sizeof(Triple) * (lengthof(fields) + list_length(image->facets)));
	triples.n = 0;
	for (size_t i = 0; i < lengthof(fields); i++)
	{
		if (fields[i].value)
			add_triple(&triples, "", fields[i].name, fields[i].value);
	}
	foreach(lc, image->facets)
	{
		Facet	   *facet = lfirst(lc);

		add_triple(&triples, facet->part, facet->name, facet->value);
	}
	return triples;
}

static bool
same_triple(const Triple *a, const Triple *b)
{
	return strcmp(a->value, b->value) == 0 && strcmp(a->name, b->name) == 0 &&
		strcmp(a->part, b->part) == 0;
}

/* Where a triple stands in base, looked for from a place on, or -1. */
static int
find_triple(const Triples *base, int from, const Triple *triple)
{
	int			end = Min(base->n, from + LOOK_AHEAD);

	for (int i = from; i < end; i++)
	{
		if (same_triple(&base->at[i], triple))
			return i;
	}
	return -1;
}

static Triples
against(const Triples *base, const Triples *whole)
{
	Triples		result;
	int			next = 0;

	result.at = palloc(sizeof(Triple) * Max(1, whole->n));
	result.n = 0;
	for (int i = 0; i < whole->n;)
	{
		int			from = find_triple(base, next, &whole->at[i]);
		int			count = 0;

		if (from < 0)
		{
			result.at[result.n++] = whole->at[i++];
			continue;
		}
		while (i < whole->n && from + count < base->n &&
			   same_triple(&base->at[from + count], &whole->at[i]))
		{
			count++;
			i++;
		}
		add_triple(&result, "", AS_BEFORE, psprintf("%d %d", from, count));
		next = from + count;
	}
	return result;
}

/* base may be NULL */
ArrayType *
image_to_array(const Image *image, const Image *base)
{
	Triples		triples = triples_of(image);
	const char **texts;
	int			n = 0;

	if (base)
	{
		Triples		other = triples_of(base);

		triples = against(&other, &triples);
	}
	texts = palloc(sizeof(char *) * 3 * triples.n);
	for (int i = 0; i < triples.n; i++)
	{
		texts[n++] = triples.at[i].part;
		texts[n++] = triples.at[i].name;
		texts[n++] = triples.at[i].value;
	}
	return text_array_from(texts, n);
}

/* ---- in ---- */

/* Puts a stored triple where it came from; false if it is a plain facet. */
static bool
restore_field(Image *image, const char *name, char *value)
{
	if (strcmp(name, "@type") == 0)
		image->type = value;
	else if (strcmp(name, "@identity") == 0)
		image->identity = value;
	else if (strcmp(name, "@schema") == 0)
		image->schema = value;
	else if (strcmp(name, "@name") == 0)
		image->name = value;
	else if (strcmp(name, "@parent type") == 0)
		image->parent_type = value;
	else if (strcmp(name, "@parent") == 0)
		image->parent_identity = value;
	else if (strcmp(name, "@names") == 0)
		image->names_sql = value;
	else if (strcmp(name, "@args") == 0)
		image->args_sql = value;
	else if (strcmp(name, "@address") == 0)
	{
		if (sscanf(value, "%u %u", &image->address.classId,
				   &image->address.objectId) != 2)
			elog(ERROR, "malformed address in stored image: %s", value);
	}
	else if (strcmp(name, "@rank") == 0)
		image->rank = atoi(value);
	else if (strcmp(name, "@seq") == 0)
		image->seq = atoi(value);
	else if (strcmp(name, "@kept") == 0)
		image->kept = strtoll(value, NULL, 10);
	else
		return false;
	return true;
}

static void
read_triples(Image *image, Datum *elems, int nelems, Datum *base, int nbase)
{
	for (int i = 0; i + 2 < nelems; i += 3)
	{
		char	   *part = TextDatumGetCString(elems[i]);
		char	   *name = TextDatumGetCString(elems[i + 1]);
		char	   *value = TextDatumGetCString(elems[i + 2]);
		int			from;
		int			count;

		if (part[0] == '\0' && strcmp(name, AS_BEFORE) == 0)
		{
			if (sscanf(value, "%d %d", &from, &count) != 2 || from < 0 ||
				count < 0 || from > nbase / 3 || count > nbase / 3 - from)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("malformed reference in stored image: %s", value)));
			read_triples(image, base + from * 3, count * 3, NULL, 0);
		}
		else if (part[0] != '\0' || !restore_field(image, name, value))
			image_add(image, part, name, value);
	}
}

/* base is the array of the image that it was written against, or NULL. */
Image *
image_from_array(ArrayType *array, ArrayType *base)
{
	Image	   *image = palloc0(sizeof(Image));
	Datum	   *elems;
	int			nelems;
	Datum	   *base_elems = NULL;
	int			nbase = 0;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT,
					  &elems, NULL, &nelems);
	if (base)
		deconstruct_array(base, TEXTOID, -1, false, TYPALIGN_INT,
						  &base_elems, NULL, &nbase);
	read_triples(image, elems, nelems, base_elems, nbase);
	if (image->type == NULL || image->identity == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("stored image has no address")));
	image->class = registry_find(image->type);
	image->owner = (char *) image_get(image, "", "owner");
	if (image->owner == NULL)
		image->owner = (char *) image_get(image, "", "@belongs to");
	return image;
}
