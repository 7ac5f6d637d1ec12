/*-------------------------------------------------------------------------
 *
 * operator_class.c
 *	  Images of operator classes and operator families.
 *
 * Operators and support functions are members of a family; those that came
 * with an operator class belong to the class, the others are loose: they were
 * added by ALTER OPERATOR FAMILY and can be taken away by it.  A member is a
 * part of the image, called by what ALTER OPERATOR FAMILY ... DROP calls it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_am.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "image/classes.h"

/* ---- members ---- */

/* The operator class that the member belongs to, or InvalidOid: a loose one. */
Oid
operator_class_of_member(Oid catalog, Oid member)
{
	ListCell   *lc;

	foreach(lc, dependencies_of(catalog, member))
	{
		Form_pg_depend depend = lfirst(lc);

		if (depend->refclassid == OperatorClassRelationId)
			return depend->refobjid;
	}
	return InvalidOid;
}

static void
add_member(Image *image, const char *part, const char *type, Oid left,
		   Oid right, const char *definition)
{
	image_add(image,
			  psprintf("%s (%s, %s)", part, format_type_be_qualified(left),
					   format_type_be_qualified(right)),
			  type, definition);
}

static void
add_operator(Image *image, Form_pg_amop form)
{
	const char *order = form->amoppurpose == AMOP_ORDER ?
		psprintf(" FOR ORDER BY %s",
				 before_suffix(object_identity(OperatorFamilyRelationId,
											   form->amopsortfamily),
							   " USING btree")) : "";

	add_member(image, psprintf("OPERATOR %d", form->amopstrategy), "member",
			   form->amoplefttype, form->amoprighttype,
			   psprintf("OPERATOR %d %s(%s, %s)%s", form->amopstrategy,
						operator_in_schema(form->amopopr),
						format_type_be_qualified(form->amoplefttype),
						format_type_be_qualified(form->amoprighttype), order));
}

static void
add_function(Image *image, Form_pg_amproc form)
{
	add_member(image, psprintf("FUNCTION %d", form->amprocnum), "member",
			   form->amproclefttype, form->amprocrighttype,
			   psprintf("FUNCTION %d (%s, %s) %s", form->amprocnum,
						format_type_be_qualified(form->amproclefttype),
						format_type_be_qualified(form->amprocrighttype),
						object_identity(ProcedureRelationId, form->amproc)));
}

/* The family's members that belong to the class, or to none. */
static void
read_members(Image *image, Oid family, Oid class)
{
	CatCList   *list = SearchSysCacheList1(AMOPSTRATEGY, ObjectIdGetDatum(family));

	for (int i = 0; i < list->n_members; i++)
	{
		Form_pg_amop form = (Form_pg_amop) GETSTRUCT(&list->members[i]->tuple);

		if (operator_class_of_member(AccessMethodOperatorRelationId, form->oid) == class)
			add_operator(image, form);
	}
	ReleaseCatCacheList(list);
	list = SearchSysCacheList1(AMPROCNUM, ObjectIdGetDatum(family));
	for (int i = 0; i < list->n_members; i++)
	{
		Form_pg_amproc form = (Form_pg_amproc) GETSTRUCT(&list->members[i]->tuple);

		if (operator_class_of_member(AccessMethodProcedureRelationId, form->oid) == class)
			add_function(image, form);
	}
	ReleaseCatCacheList(list);
}

static char *
reference(const Image *image, const char *keyword)
{
	return psprintf("%s %s USING %s", keyword, image_qualified_name(image),
					image_get(image, "", "method"));
}

/* ---- operator classes ---- */

static bool
class_read(Image *image)
{
	HeapTuple	row = SearchSysCache1(CLAOID,
									  ObjectIdGetDatum(image->address.objectId));
	Form_pg_opclass form;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_opclass) GETSTRUCT(row);
	image->schema = get_namespace_name(form->opcnamespace);
	image->name = pstrdup(NameStr(form->opcname));
	image_add_owner(image, form->opcowner);
	image_add(image, "", "method", quote_identifier(get_am_name(form->opcmethod)));
	image_add(image, "", "family",
			  before_suffix(object_identity(OperatorFamilyRelationId,
											form->opcfamily),
							psprintf(" USING %s",
									 quote_identifier(get_am_name(form->opcmethod)))));
	image_add(image, "", "type", format_type_be_qualified(form->opcintype));
	if (form->opcdefault)
		image_add(image, "", "default", "DEFAULT ");
	if (OidIsValid(form->opckeytype))
		image_add(image, "", "storage", format_type_be_qualified(form->opckeytype));
	read_members(image, form->opcfamily, form->oid);
	ReleaseSysCache(row);
	return true;
}

static void
class_create(const Image *image, Steps *steps)
{
	const char *storage = image_get(image, "", "storage");
	const char *is_default = image_get(image, "", "default");
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, image->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (strcmp(facet->name, "member") == 0)
			appendStringInfo(&buf, "%s%s", buf.len ? ", " : "", facet->value);
	}
	/* something has to stand there: the type itself says nothing new */
	if (storage || buf.len == 0)
		appendStringInfo(&buf, "%sSTORAGE %s", buf.len ? ", " : "",
						 storage ? storage : image_get(image, "", "type"));
	step_add(steps, RANK_FUNCTION, RUN_SUPERUSER, NULL, "catalog",
			 "CREATE OPERATOR CLASS %s %sFOR TYPE %s USING %s FAMILY %s AS %s",
			 image_qualified_name(image), is_default ? is_default : "",
			 image_get(image, "", "type"), image_get(image, "", "method"),
			 image_get(image, "", "family"), buf.data);
}

static void
class_drop(const Image *image, Steps *steps)
{
	step_add(steps, RANK_FUNCTION, RUN_SUPERUSER, "ACCESS EXCLUSIVE", "catalog",
			 "DROP %s", image_reference(image));
}

static char *
class_reference(const Image *image)
{
	return reference(image, "OPERATOR CLASS");
}

const ImageClass image_class_operator_class = {
	.catalog = OperatorClassRelationId,
	.type = "operator class",
	.keyword = "OPERATOR CLASS",
	.rank = RANK_FUNCTION,
	.read = class_read,
	.create = class_create,
	.drop = class_drop,
	.reference = class_reference,
};

/* ---- operator families ---- */

static bool
family_read(Image *image)
{
	HeapTuple	row = SearchSysCache1(OPFAMILYOID,
									  ObjectIdGetDatum(image->address.objectId));
	Form_pg_opfamily form;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_opfamily) GETSTRUCT(row);
	image->schema = get_namespace_name(form->opfnamespace);
	image->name = pstrdup(NameStr(form->opfname));
	image_add_owner(image, form->opfowner);
	image_add(image, "", "method", quote_identifier(get_am_name(form->opfmethod)));
	read_members(image, form->oid, InvalidOid);
	ReleaseSysCache(row);
	return true;
}

/*
 * "OPERATOR 1 (int4, int8)" is what DROP takes; ADD takes the definition.
 * Behind all functions: a family does without some of its members, so that one
 * may be dropped with the function that it was, and the family stays.
 */
static void
change_member(const Image *image, const Facet *facet, bool add, Steps *steps)
{
	if (strcmp(facet->name, "member") == 0)
		step_add(steps, add ? RANK_FUNCTION + 1 : RANK_FUNCTION,
				 RUN_SUPERUSER, "ACCESS EXCLUSIVE", "catalog",
				 "ALTER %s %s %s", image_reference(image),
				 add ? "ADD" : "DROP", add ? facet->value : facet->part);
}

static void
family_create(const Image *image, Steps *steps)
{
	ListCell   *lc;

	step_add(steps, RANK_FUNCTION, RUN_SUPERUSER, NULL, "catalog", "CREATE %s",
			 image_reference(image));
	foreach(lc, image->facets)
		change_member(image, lfirst(lc), true, steps);
}

static void
family_drop(const Image *image, Steps *steps)
{
	step_add(steps, RANK_FUNCTION, RUN_SUPERUSER, "ACCESS EXCLUSIVE", "catalog",
			 "DROP %s", image_reference(image));
}

static bool
family_alter(const Image *have, const Image *want, Steps *steps)
{
	ListCell   *lc;

	if (facet_differs(have, want, "", "method"))
		return false;
	foreach(lc, have->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (facet_differs(have, want, facet->part, facet->name))
			change_member(want, facet, false, steps);
	}
	foreach(lc, want->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (facet_differs(have, want, facet->part, facet->name))
			change_member(want, facet, true, steps);
	}
	return true;
}

static char *
family_reference(const Image *image)
{
	return reference(image, "OPERATOR FAMILY");
}

const ImageClass image_class_operator_family = {
	.catalog = OperatorFamilyRelationId,
	.type = "operator family",
	.keyword = "OPERATOR FAMILY",
	.rank = RANK_FUNCTION,
	.read = family_read,
	.create = family_create,
	.drop = family_drop,
	.alter = family_alter,
	.reference = family_reference,
};
