/*-------------------------------------------------------------------------
 *
 * aggregate.c
 *	  Images of aggregates: plain, ordered-set, hypothetical-set, moving.
 *
 * Each parameter of CREATE AGGREGATE is a facet that bears its name.  CREATE
 * OR REPLACE leaves what it does not mention at its default, so it sets every
 * one of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "image/classes.h"

/* In the order in which CREATE AGGREGATE shows them. */
static const char *const parameters[] = {
	"sfunc", "stype", "sspace", "finalfunc", "finalfunc_extra",
	"finalfunc_modify", "combinefunc", "serialfunc", "deserialfunc",
	"initcond", "msfunc", "minvfunc", "mstype", "msspace", "mfinalfunc",
	"mfinalfunc_extra", "mfinalfunc_modify", "minitcond", "sortop",
	"parallel", "hypothetical"
};

static void
add_function(Image *image, const char *name, Oid function)
{
	if (OidIsValid(function))
		image_add(image, "", name, function_name_sql(function));
}

static void
add_space(Image *image, const char *name, int32 space)
{
	if (space != 0)
		image_addf(image, "", name, "%d", space);
}

static void
add_modify(Image *image, const char *name, char modify)
{
	image_add(image, "", name,
			  modify == AGGMODIFY_READ_ONLY ? "READ_ONLY" :
			  modify == AGGMODIFY_SHAREABLE ? "SHAREABLE" : "READ_WRITE");
}

static void
add_initial_value(Image *image, HeapTuple row, AttrNumber column,
				  const char *name)
{
	bool		isnull;
	Datum		value = SysCacheGetAttr(AGGFNOID, row, column, &isnull);

	if (!isnull)
		image_add(image, "", name, quote_literal_cstr(TextDatumGetCString(value)));
}

static void
read_moving(Image *image, HeapTuple row, Form_pg_aggregate form)
{
	if (!OidIsValid(form->aggmtransfn))
		return;
	add_function(image, "msfunc", form->aggmtransfn);
	add_function(image, "minvfunc", form->aggminvtransfn);
	image_add(image, "", "mstype", format_type_be_qualified(form->aggmtranstype));
	add_space(image, "msspace", form->aggmtransspace);
	add_function(image, "mfinalfunc", form->aggmfinalfn);
	if (form->aggmfinalextra)
		image_add(image, "", "mfinalfunc_extra", "true");
	add_modify(image, "mfinalfunc_modify", form->aggmfinalmodify);
	add_initial_value(image, row, Anum_pg_aggregate_aggminitval, "minitcond");
}

static void
read_aggregate(Image *image, HeapTuple row)
{
	Form_pg_aggregate form = (Form_pg_aggregate) GETSTRUCT(row);

	add_function(image, "sfunc", form->aggtransfn);
	image_add(image, "", "stype", format_type_be_qualified(form->aggtranstype));
	add_space(image, "sspace", form->aggtransspace);
	add_function(image, "finalfunc", form->aggfinalfn);
	if (form->aggfinalextra)
		image_add(image, "", "finalfunc_extra", "true");
	add_modify(image, "finalfunc_modify", form->aggfinalmodify);
	add_function(image, "combinefunc", form->aggcombinefn);
	add_function(image, "serialfunc", form->aggserialfn);
	add_function(image, "deserialfunc", form->aggdeserialfn);
	add_initial_value(image, row, Anum_pg_aggregate_agginitval, "initcond");
	read_moving(image, row, form);
	if (OidIsValid(form->aggsortop))
		image_add(image, "", "sortop", operator_name_sql(form->aggsortop));
	if (form->aggkind == AGGKIND_HYPOTHETICAL)
		image_add(image, "", "hypothetical", "true");
}

static bool
aggregate_read(Image *image)
{
	Oid			oid = image->address.objectId;
	HeapTuple	function = SearchSysCache1(PROCOID, ObjectIdGetDatum(oid));
	HeapTuple	row = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(oid));
	Form_pg_proc form;
	Datum		acl;
	bool		isnull;

	if (!HeapTupleIsValid(function) || !HeapTupleIsValid(row))
		return false;
	form = (Form_pg_proc) GETSTRUCT(function);
	image->schema = get_namespace_name(form->pronamespace);
	image->name = pstrdup(NameStr(form->proname));
	image_add_owner(image, form->proowner);
	image_add(image, "", "arguments",
			  describe_object(F_PG_GET_FUNCTION_ARGUMENTS, oid));
	image_add(image, "", "parallel",
			  form->proparallel == PROPARALLEL_SAFE ? "SAFE" :
			  form->proparallel == PROPARALLEL_RESTRICTED ? "RESTRICTED" :
			  "UNSAFE");
	image_add(image, "", "@result", format_type_be_qualified(form->prorettype));
	/* the working state of C code: only a superuser may pass it around */
	if (((Form_pg_aggregate) GETSTRUCT(row))->aggtranstype == INTERNALOID ||
		((Form_pg_aggregate) GETSTRUCT(row))->aggmtranstype == INTERNALOID)
		image_add(image, "", "@superuser", "true");
	read_aggregate(image, row);
	acl = SysCacheGetAttr(PROCOID, function, Anum_pg_proc_proacl, &isnull);
	image_add_acl(image, "", acl, isnull, OBJECT_FUNCTION, form->proowner);
	ReleaseSysCache(row);
	ReleaseSysCache(function);
	return true;
}

static void
aggregate_define(const Image *image, Steps *steps, const char *create)
{
	const char *arguments = image_get(image, "", "arguments");
	StringInfoData buf;

	initStringInfo(&buf);
	for (size_t i = 0; i < lengthof(parameters); i++)
	{
		const char *value = image_get(image, "", parameters[i]);

		if (value)
			appendStringInfo(&buf, "%s%s = %s", buf.len ? ", " : "",
							 parameters[i], value);
	}
	step_add(steps, RANK_FUNCTION,
			 image_get(image, "", "@superuser") ? RUN_SUPERUSER : RUN_CATALOG,
			 NULL, "catalog", "%s AGGREGATE %s(%s) (%s)", create,
			 image_qualified_name(image), arguments[0] ? arguments : "*",
			 buf.data);
}

static void
aggregate_create(const Image *image, Steps *steps)
{
	aggregate_define(image, steps, "CREATE");
}

/* One without arguments is called by a star. */
static char *
aggregate_reference(const Image *image)
{
	size_t		len = strlen(image->identity);

	if (len > 2 && strcmp(image->identity + len - 2, "()") == 0)
		return psprintf("AGGREGATE %s(*)", pnstrdup(image->identity, len - 2));
	return psprintf("AGGREGATE %s", image->identity);
}

static void
aggregate_drop(const Image *image, Steps *steps)
{
	step_add(steps, RANK_FUNCTION, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
			 "DROP %s", image_reference(image));
}

static bool
aggregate_alter(const Image *have, const Image *want, Steps *steps)
{
	if (facet_differs(have, want, "", "arguments") ||
		facet_differs(have, want, "", "@result") ||
		facet_differs(have, want, "", "hypothetical"))
		return false;
	aggregate_define(want, steps, "CREATE OR REPLACE");
	return true;
}

const ImageClass image_class_aggregate = {
	.catalog = ProcedureRelationId,
	.type = "aggregate",
	.keyword = "AGGREGATE",
	.rank = RANK_FUNCTION,
	.read = aggregate_read,
	.create = aggregate_create,
	.drop = aggregate_drop,
	.alter = aggregate_alter,
	.reference = aggregate_reference,
};
