/*-------------------------------------------------------------------------
 *
 * image.c
 *	  Taking an image of one object.
 *
 * image_take fills what every class has in common (address, identity,
 * comment); the class's read fills the rest.  The caller has pinned the
 * settings (frame_pin) and holds a lock that keeps the object from changing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_description.h"
#include "catalog/pg_seclabel.h"
#include "catalog/pg_shdescription.h"
#include "catalog/pg_shseclabel.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "capture/capture.h"
#include "compat.h"
#include "image/classes.h"

void
image_add(Image *image, const char *part, const char *name, const char *value)
{
	Facet	   *facet = palloc(sizeof(Facet));

	facet->part = pstrdup(part);
	facet->name = pstrdup(name);
	facet->value = pstrdup(value);
	image->facets = lappend(image->facets, facet);
}

void
image_addf(Image *image, const char *part, const char *name,
		   const char *fmt,...)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, fmt);
		needed = appendStringInfoVA(&buf, fmt, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&buf, needed);
	}
	image_add(image, part, name, buf.data);
	pfree(buf.data);
}

char *
image_qualified_name(const Image *image)
{
	if (image->schema)
		return quote_qualified_identifier(image->schema, image->name);
	return pstrdup(quote_identifier(image->name));
}

char *
image_parent_name(const Image *image)
{
	return pstrdup(image->parent_identity);
}

/*
 * Objects that live in a table (constraints, triggers, rules, policies) have
 * identities that read "c on public.t"; everything else's identity is what
 * SQL calls it.  A sequence, too, has a parent when a column owns it, but
 * stands in a schema of its own.
 */
char *
image_reference(const Image *image)
{
	if (image->class->reference)
		return image->class->reference(image);
	if (image->parent_identity && image->schema == NULL)
		return psprintf("%s %s ON %s%s", image->class->keyword,
						quote_identifier(image->name),
						strcmp(image->type, "domain constraint") == 0 ? "DOMAIN " : "",
						image->parent_identity);
	return psprintf("%s %s", image->class->keyword, image->identity);
}

char *
image_address_key(const Image *image)
{
	return psprintf("%s %s", image->type, image->identity);
}

void
image_add_owner(Image *image, Oid owner)
{
	image->owner = GetUserNameFromId(owner, true);
	if (image->owner)
		image_add(image, "", "owner", image->owner);
}

void
image_belongs_to(Image *image, Oid owner)
{
	image->owner = GetUserNameFromId(owner, true);
	if (image->owner)
		image_add(image, "", "@belongs to", image->owner);
}

/*
 * An ACL equal to the default is the same as none: pg_dump does not tell them
 * apart.  Otherwise the items are kept in their order, which pg_dump shows.
 */
void
image_add_acl(Image *image, const char *part, Datum acl, bool isnull,
			  ObjectType objtype, Oid owner)
{
	Acl		   *items;
	Oid			outfunc;
	bool		varlena;

	if (part[0] == '\0' &&
		loan_acl(image->address.classId, image->address.objectId, &acl))
		isnull = DatumGetPointer(acl) == NULL;
	if (isnull)
		return;
	items = DatumGetAclPCopy(acl);
	if (objtype != OBJECT_COLUMN && aclequal(items, acldefault(objtype, owner)))
		return;
	if (objtype == OBJECT_COLUMN && ACL_NUM(items) == 0)
		return;
	getTypeOutputInfo(ACLITEMARRAYOID, &outfunc, &varlena);
	image_add(image, part, "acl",
			  OidOutputFunctionCall(outfunc, PointerGetDatum(items)));
}

/* Options as they stand in WITH (...), in the catalog's order. */
void
image_add_options(Image *image, const char *part, const char *name,
				  Datum options, bool isnull)
{
	Datum	   *elems;
	int			nelems;
	StringInfoData buf;

	if (isnull)
		return;
	deconstruct_array(DatumGetArrayTypeP(options), TEXTOID, -1, false,
					  TYPALIGN_INT, &elems, NULL, &nelems);
	initStringInfo(&buf);
	for (int i = 0; i < nelems; i++)
	{
		char	   *option = TextDatumGetCString(elems[i]);
		char	   *separator = strchr(option, '=');

		if (separator)
			*separator = '\0';
		/* an attribute's version is the table's own business (FACTS: attver) */
		if (strcmp(option, "pg_attver") == 0)
			continue;
		appendStringInfo(&buf, "%s%s", buf.len ? ", " : "",
						 quote_identifier(option));
		if (separator)
			appendStringInfo(&buf, "=%s", quote_literal_cstr(separator + 1));
	}
	if (buf.len > 0)
		image_add(image, part, name, buf.data);
}

static char *
names_to_sql(List *names)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "ARRAY[");
	foreach(lc, names)
		appendStringInfo(&buf, "%s%s", lc == list_head(names) ? "" : ", ",
						 quote_literal_cstr(lfirst(lc)));
	appendStringInfoString(&buf, "]::text[]");
	return buf.data;
}

/* The scan of a catalog whose first two keys are an object's OID and catalog. */
static SysScanDesc
scan_marks(Relation rel, Oid index, const ObjectAddress *address, ScanKey key,
		   Snapshot snapshot)
{
	ScanKeyInit(&key[0], 1, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(address->objectId));
	ScanKeyInit(&key[1], 2, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(address->classId));
	return systable_beginscan(rel, index, true, snapshot, 2, key);
}

static void
read_comment(Image *image, Snapshot snapshot)
{
	Relation	rel = table_open(DescriptionRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan = scan_marks(rel, DescriptionObjIndexId, &image->address,
								  key, snapshot);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		comment = heap_getattr(tuple, Anum_pg_description_description,
										   RelationGetDescr(rel), &isnull);

		if (((FormData_pg_description *) GETSTRUCT(tuple))->objsubid == 0)
			image_add(image, "", "comment", TextDatumGetCString(comment));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* The security labels of an object of the cluster. */
static void
read_shared_labels(Image *image)
{
	Relation	rel = table_open(SharedSecLabelRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan = scan_marks(rel, SharedSecLabelObjectIndexId, &image->address,
								  key, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		provider = heap_getattr(tuple, Anum_pg_shseclabel_provider,
											RelationGetDescr(rel), &isnull);
		Datum		label = heap_getattr(tuple, Anum_pg_shseclabel_label,
										 RelationGetDescr(rel), &isnull);

		image_add(image, "", psprintf("label %s", TextDatumGetCString(provider)),
				  TextDatumGetCString(label));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* Its security labels, and those of its columns. */
static void
read_labels(Image *image, Snapshot snapshot)
{
	Relation	rel = table_open(SecLabelRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan = scan_marks(rel, SecLabelObjectIndexId, &image->address,
								  key, snapshot);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		int			column = ((FormData_pg_seclabel *) GETSTRUCT(tuple))->objsubid;
		bool		isnull;
		Datum		provider = heap_getattr(tuple, Anum_pg_seclabel_provider,
											RelationGetDescr(rel), &isnull);
		Datum		label = heap_getattr(tuple, Anum_pg_seclabel_label,
										 RelationGetDescr(rel), &isnull);

		image_add(image, column ? get_attname(image->address.objectId, column, false) : "",
				  psprintf("label %s", TextDatumGetCString(provider)),
				  TextDatumGetCString(label));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* Comment and labels as the snapshot shows them; NULL: as they are now. */
void
image_read_marks(Image *image, Snapshot snapshot)
{
	read_comment(image, snapshot);
	if (IsSharedRelation(image->address.classId))
		read_shared_labels(image);
	else
		read_labels(image, snapshot);
}

/* Of a role, database or tablespace. */
void
image_read_shared_comment(Image *image)
{
	Relation	rel = table_open(SharedDescriptionRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan = scan_marks(rel, SharedDescriptionObjIndexId, &image->address,
								  key, NULL);
	HeapTuple	tuple;
	bool		isnull;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Datum		comment = heap_getattr(tuple, Anum_pg_shdescription_description,
										   RelationGetDescr(rel), &isnull);

		image_add(image, "", "comment", TextDatumGetCString(comment));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* ---- the whole ---- */

static Size
packed_size(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

static char *
pack(char **space, const char *text)
{
	Size		size = packed_size(text);
	char	   *packed = *space;

	if (text == NULL)
		return NULL;
	memcpy(packed, text, size);
	*space += size;
	return packed;
}

/* A copy of the image in two pieces of memory: it is kept, and never changed. */
static Image *
pack_image(const Image *image)
{
	const char *const texts[] = {
		image->type, image->identity, image->schema, image->name,
		image->parent_type, image->parent_identity, image->owner,
		image->names_sql, image->args_sql,
	};
	int			nfacets = list_length(image->facets);
	Size		size = sizeof(Image) + nfacets * sizeof(Facet);
	Image	   *packed;
	Facet	   *facets;
	char	   *space;

	for (size_t i = 0; i < lengthof(texts); i++)
		size += packed_size(texts[i]);
	for (int i = 0; i < nfacets; i++)
	{
		const Facet *facet = list_nth(image->facets, i);

		size += packed_size(facet->part) + packed_size(facet->name) +
			packed_size(facet->value);
	}
	packed = palloc(size);
	facets = (Facet *) (packed + 1);
	space = (char *) (facets + nfacets);
	*packed = *image;
	packed->type = pack(&space, image->type);
	packed->identity = pack(&space, image->identity);
	packed->schema = pack(&space, image->schema);
	packed->name = pack(&space, image->name);
	packed->parent_type = pack(&space, image->parent_type);
	packed->parent_identity = pack(&space, image->parent_identity);
	packed->owner = pack(&space, image->owner);
	packed->names_sql = pack(&space, image->names_sql);
	packed->args_sql = pack(&space, image->args_sql);
	packed->facets = list_copy(image->facets);
	for (int i = 0; i < nfacets; i++)
	{
		const Facet *facet = list_nth(image->facets, i);

		facets[i].part = pack(&space, facet->part);
		facets[i].name = pack(&space, facet->name);
		facets[i].value = pack(&space, facet->value);
		lfirst(list_nth_cell(packed->facets, i)) = &facets[i];
	}
	packed->index = NULL;
	return packed;
}

/* That of an array, a multirange, a row follows from what they hang on. */
static bool
is_member_by_itself(const ObjectAddress *address)
{
	return !dependent_types_are_members() ||
		address->classId != TypeRelationId || !type_is_dependent(address->objectId);
}

static Image *
read_image(const ObjectAddress *address)
{
	Image	   *image = palloc0(sizeof(Image));
	List	   *names = NIL;
	List	   *args = NIL;
	Oid			extension;

	ObjectAddressSet(image->address, address->classId, address->objectId);
	image->identity = getObjectIdentityParts(&image->address, &names, &args,
											 true);
	if (image->identity == NULL)
		return NULL;
	image->type = getObjectTypeDescription(&image->address, true);
	if (image->type == NULL)
		return NULL;
	image->names_sql = names_to_sql(names);
	image->args_sql = names_to_sql(args);
	image->class = registry_find(image->type);
	extension = getExtensionOfObject(address->classId, address->objectId);
	if (OidIsValid(extension))
		image_addf(image, "", "@extension", "%u", extension);
	if (image->class == NULL)
		return image;
	image->rank = image->class->rank;
	if (!image->class->read(image))
		return NULL;
	if (OidIsValid(extension) && is_member_by_itself(address))
		image_add(image, "", "extension",
				  quote_identifier(get_extension_name(extension)));
	else if (OidIsValid(image->parent.objectId))
	{
		extension = getExtensionOfObject(image->parent.classId,
										 image->parent.objectId);
		if (OidIsValid(extension))
			image_addf(image, "", "@parent extension", "%u", extension);
	}
	array_type_read(image);
	image_read_marks(image, NULL);
	return image;
}

/*
 * The image of an object, or NULL if there is none at that address.  A class
 * that the registry does not know gives an image without facets, whose class
 * is NULL: whoever compares it says so.
 *
 * What reading leaves behind is many times what comes of it, and a command may
 * concern thousands of objects.
 */
Image *
image_take(const ObjectAddress *address)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext,
												  "safemig image",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	Image	   *image = read_image(address);

	MemoryContextSwitchTo(old);
	if (image)
		image = pack_image(image);
	MemoryContextDelete(scratch);
	return image;
}
