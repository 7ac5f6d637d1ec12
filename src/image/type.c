/*-------------------------------------------------------------------------
 *
 * type.c
 *	  Images of types: what all kinds have in common, and the choice of the
 *	  kind.
 *
 * Enum, composite, domain and range types are never dropped under capture
 * but moved to the vault, so their reverse begins with the same type, under
 * the same OID.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "capture/capture.h"
#include "image/classes.h"

static const TypeKind *const kinds[] = {
	&type_kind_enum,
	&type_kind_composite,
	&type_kind_domain,
	&type_kind_range,
	&type_kind_shell,
	&type_kind_base,
};

static const TypeKind *
kind_of(const Image *image)
{
	const char *kind = image_get(image, "", "kind");

	for (size_t i = 0; kind && i < lengthof(kinds); i++)
	{
		if (strcmp(kinds[i]->kind, kind) == 0)
			return kinds[i];
	}
	return NULL;
}

/* What hangs on something else has nothing of its own but what can be set on it. */
static const char *
kind_name(Form_pg_type form)
{
	if (!form->typisdefined)
		return "shell";
	if (type_is_dependent(form->oid))
		return "dependent";
	switch (form->typtype)
	{
		case TYPTYPE_ENUM:
			return "enum";
		case TYPTYPE_COMPOSITE:
			return "composite";
		case TYPTYPE_DOMAIN:
			return "domain";
		case TYPTYPE_RANGE:
			return "range";
		case TYPTYPE_BASE:
			return "base";
		default:
			return "pseudo";
	}
}

bool
type_image_is_dependent(const Image *image)
{
	const char *kind = image_get(image, "", "kind");

	return image->address.classId == TypeRelationId && kind &&
		strcmp(kind, "dependent") == 0;
}

static bool
type_read(Image *image)
{
	HeapTuple	row = SearchSysCache1(TYPEOID,
									  ObjectIdGetDatum(image->address.objectId));
	Form_pg_type form;
	const TypeKind *kind;
	Datum		acl;
	bool		isnull;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_type) GETSTRUCT(row);
	image->schema = get_namespace_name(form->typnamespace);
	image->name = pstrdup(NameStr(form->typname));
	image_add(image, "", "kind", kind_name(form));
	image_add_owner(image, form->typowner);
	acl = SysCacheGetAttr(TYPEOID, row, Anum_pg_type_typacl, &isnull);
	image_add_acl(image, "", acl, isnull, OBJECT_TYPE, form->typowner);
	kind = kind_of(image);
	if (kind)
		kind->read(image, row);
	if (type_needs_table(image->address.objectId))
		image->rank = RANK_TABLE;
	ReleaseSysCache(row);
	return true;
}

static void
type_create(const Image *image, Steps *steps)
{
	const TypeKind *kind = kind_of(image);

	if (type_image_is_dependent(image))
		return;					/* it is there with what it hangs on */
	if (image->kept)
	{
		step_add(steps, image->rank == RANK_TABLE ? RANK_TABLE : RANK_TYPE,
				 RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
				 "SELECT safemig.restore_type(" INT64_FORMAT ")", image->kept);
		return;
	}
	if (kind == NULL)
	{
		steps_irreversible(steps, "the %s type %s cannot be made from its description",
						   image_get(image, "", "kind"), image->identity);
		return;
	}
	kind->create(image, steps);
}

static void
type_drop(const Image *image, Steps *steps)
{
	const char *kind = image_get(image, "", "kind");

	if (type_image_is_dependent(image))
		return;
	step_add(steps, RANK_TYPE, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
			 "DROP %s %s", strcmp(kind, "domain") == 0 ? "DOMAIN" : "TYPE",
			 image->identity);
}

static bool
type_alter(const Image *have, const Image *want, Steps *steps)
{
	const TypeKind *kind = kind_of(want);

	if (facet_differs(have, want, "", "kind"))
		return shell_alter(have, want, steps);
	if (kind == NULL)
	{
		steps_irreversible(steps, "changes of the %s type %s have no reverse",
						   image_get(want, "", "kind"), want->identity);
		return true;
	}
	return kind->alter(have, want, steps);
}

const ImageClass image_class_type = {
	.catalog = TypeRelationId,
	.type = "type",
	.keyword = "TYPE",
	.rank = RANK_TYPE,
	.read = type_read,
	.create = type_create,
	.drop = type_drop,
	.alter = type_alter,
};
