/*-------------------------------------------------------------------------
 *
 * facets.c
 *	  Finding a facet of an image by part and name.
 *
 * A table of a thousand columns has some ten thousand facets, and whoever
 * compares two of its images asks for each of them.  So an image of more than
 * a few has an index, made when first asked and carried on when facets were
 * added since.  It belongs to one list of facets: a copy of the struct that is
 * given another list makes an index of its own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "image/facets.h"

/* Fewer are looked through as fast. */
#define FEW_FACETS 12

typedef struct FacetIndex
{
	const List *list;			/* the one that is indexed ... */
	int			indexed;		/* ... so far */
	uint32		mask;			/* slots, a power of two, less one */
	int		   *slots;			/* place in the list plus one, 0: free */
} FacetIndex;

static bool
is_facet(const Facet *facet, const char *part, const char *name)
{
	return strcmp(facet->name, name) == 0 && strcmp(facet->part, part) == 0;
}

static uint32
facet_hash(const char *part, const char *name)
{
	return hash_combine(hash_bytes((const unsigned char *) name, strlen(name)),
						hash_bytes((const unsigned char *) part, strlen(part)));
}

/* The slot that has this facet, or the free one where it belongs. */
static int *
find_slot(const FacetIndex *index, const char *part, const char *name)
{
	uint32		at = facet_hash(part, name) & index->mask;

	while (index->slots[at] &&
		   !is_facet(list_nth(index->list, index->slots[at] - 1), part, name))
		at = (at + 1) & index->mask;
	return &index->slots[at];
}

/* Of several of one name the first counts. */
static void
index_rest(FacetIndex *index)
{
	for (; index->indexed < list_length(index->list); index->indexed++)
	{
		const Facet *facet = list_nth(index->list, index->indexed);
		int		   *slot = find_slot(index, facet->part, facet->name);

		if (*slot == 0)
			*slot = index->indexed + 1;
	}
}

static FacetIndex *
new_index(List *list)
{
	MemoryContext context = GetMemoryChunkContext(list);
	FacetIndex *index = MemoryContextAlloc(context, sizeof(FacetIndex));
	uint32		nslots = pg_nextpower2_32(list_length(list)) * 4;

	index->list = list;
	index->indexed = 0;
	index->mask = nslots - 1;
	index->slots = MemoryContextAllocZero(context, nslots * sizeof(int));
	return index;
}

/* The place of a facet in the image's list, or -1. */
int
image_find(const Image *image, const char *part, const char *name)
{
	FacetIndex *index = image->index;
	int			n = list_length(image->facets);

	if (n <= FEW_FACETS)
	{
		for (int i = 0; i < n; i++)
		{
			if (is_facet(list_nth(image->facets, i), part, name))
				return i;
		}
		return -1;
	}
	/* half full is full: beyond that the slots are looked through one by one */
	if (index == NULL || index->list != image->facets || index->indexed > n ||
		(uint32) n > index->mask / 2)
	{
		if (index && index->list == image->facets)
			pfree(index->slots);
		index = new_index(image->facets);
		unconstify(Image *, image)->index = index;
	}
	index_rest(index);
	return *find_slot(index, part, name) - 1;
}

const char *
image_get(const Image *image, const char *part, const char *name)
{
	int			place = image_find(image, part, name);

	return place < 0 ? NULL : ((Facet *) list_nth(image->facets, place))->value;
}
