/*-------------------------------------------------------------------------
 *
 * large_object.c
 *	  Images of large objects: whose they are and who may do what with them.
 *
 * What is in them is not kept: the functions that write it, make and unlink
 * them are no commands, and where they are seen the migration is declared
 * irreversible.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_largeobject_metadata.h"

#include "image/classes.h"

static bool
large_object_read(Image *image)
{
	HeapTuple	row = catalog_row(LargeObjectMetadataRelationId,
								  Anum_pg_largeobject_metadata_oid,
								  image->address.objectId);
	Form_pg_largeobject_metadata form;
	Datum		acl;
	bool		isnull;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_largeobject_metadata) GETSTRUCT(row);
	image_add_owner(image, form->lomowner);
	acl = catalog_value(LargeObjectMetadataRelationId, row,
						Anum_pg_largeobject_metadata_lomacl, &isnull);
	image_add_acl(image, "", acl, isnull, OBJECT_LARGEOBJECT, form->lomowner);
	return true;
}

static void
large_object_drop(const Image *image, Steps *steps)
{
	step_add(steps, RANK_TABLE, RUN_CATALOG, NULL, "catalog",
			 "SELECT pg_catalog.lo_unlink(%s)", image->identity);
}

/* Without create: there is nothing to fill it with. */
const ImageClass image_class_large_object = {
	.catalog = LargeObjectRelationId,
	.type = "large object",
	.keyword = "LARGE OBJECT",
	.rank = RANK_TABLE,
	.read = large_object_read,
	.drop = large_object_drop,
};
