/*-------------------------------------------------------------------------
 *
 * large_object.c
 *	  Images of large objects: whose they are and who may do what with them.
 *
 * What is in them is rows of pg_largeobject, and kept like the rows of a table
 * (keep/large_object.c).  So is that they come and go: the functions that do
 * it are no commands.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_largeobject_metadata.h"
#include "utils/snapmgr.h"

#include "image/classes.h"

static void
read_row(Image *image, HeapTuple row)
{
	Form_pg_largeobject_metadata form = (Form_pg_largeobject_metadata) GETSTRUCT(row);
	Datum		acl;
	bool		isnull;

	image_add_owner(image, form->lomowner);
	acl = catalog_value(LargeObjectMetadataRelationId, row,
						Anum_pg_largeobject_metadata_lomacl, &isnull);
	image_add_acl(image, "", acl, isnull, OBJECT_LARGEOBJECT, form->lomowner);
}

static bool
large_object_read(Image *image)
{
	HeapTuple	row = catalog_row(LargeObjectMetadataRelationId,
								  Anum_pg_largeobject_metadata_oid,
								  image->address.objectId);

	if (!HeapTupleIsValid(row))
		return false;
	read_row(image, row);
	return true;
}

/*
 * Of one that this transaction has unlinked: row is what there was of it in
 * pg_largeobject_metadata, command the one that deleted that.
 */
Image *
large_object_image_before(HeapTuple row, CommandId command)
{
	Oid			oid = ((Form_pg_largeobject_metadata) GETSTRUCT(row))->oid;
	Image	   *image = palloc0(sizeof(Image));
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());

	image->class = &image_class_large_object;
	ObjectAddressSet(image->address, LargeObjectRelationId, oid);
	image->type = pstrdup(image->class->type);
	image->identity = psprintf("%u", oid);
	image->names_sql = psprintf("ARRAY['%u']::text[]", oid);
	image->args_sql = pstrdup("ARRAY[]::text[]");
	image->rank = image->class->rank;
	read_row(image, row);
	snapshot->curcid = command;
	image_read_marks(image, snapshot);
	UnregisterSnapshot(snapshot);
	return image;
}

static void
large_object_drop(const Image *image, Steps *steps)
{
	step_add(steps, RANK_TABLE, RUN_CATALOG, NULL, "catalog",
			 "SELECT pg_catalog.lo_unlink(%s)", image->identity);
}

/* Without create: undo_large_objects makes them, with what was in them. */
const ImageClass image_class_large_object = {
	.catalog = LargeObjectRelationId,
	.type = "large object",
	.keyword = "LARGE OBJECT",
	.rank = RANK_TABLE,
	.read = large_object_read,
	.drop = large_object_drop,
};
