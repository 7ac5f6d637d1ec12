/*-------------------------------------------------------------------------
 *
 * facets.h
 *	  Finding a facet of an image.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_FACETS_H
#define SAFEMIG_FACETS_H

#include "safemig.h"

/* the place of a facet in the image's list, or -1 */
extern int	image_find(const Image *image, const char *part, const char *name);

#endif							/* SAFEMIG_FACETS_H */
