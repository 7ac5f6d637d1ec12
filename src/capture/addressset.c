/*-------------------------------------------------------------------------
 *
 * addressset.c
 *	  Sets of object addresses: a schema may have ten thousand tables.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "capture/capture.h"

HTAB *
address_set(void)
{
	HASHCTL		ctl = {.keysize = sizeof(ObjectAddress),
	.entrysize = sizeof(ObjectAddress),.hcxt = CurrentMemoryContext};

	return hash_create("safemig addresses", 64, &ctl,
					   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void
address_set_add(HTAB *set, const ObjectAddress *address)
{
	(void) hash_search(set, address, HASH_ENTER, NULL);
}

bool
address_set_has(HTAB *set, const ObjectAddress *address)
{
	return hash_search(set, address, HASH_FIND, NULL) != NULL;
}
