/*-------------------------------------------------------------------------
 *
 * function.c
 *	  Images of functions and procedures.
 *
 * Each clause of CREATE FUNCTION is a facet, always written out, so that
 * CREATE OR REPLACE sets every one of them.  A body in SQL-standard form is
 * shown with $1 for its arguments: with their names it would contain the
 * function's own, which qualifies them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_transform.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/proclang.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "capture/capture.h"
#include "image/classes.h"

/* ---- rank: a function may need a view or a column, and these a function ---- */

static int	rank_of_references(Oid classid, Oid objid, List **seen);

static bool
is_view(Oid relid)
{
	char		relkind = get_rel_relkind(relid);

	return relkind == RELKIND_VIEW || relkind == RELKIND_MATVIEW;
}

static int
rank_of_reference(Form_pg_depend depend, List **seen)
{
	if (depend->refobjid < FirstNormalObjectId)
		return RANK_FUNCTION;
	switch (depend->refclassid)
	{
		case RelationRelationId:
			if (is_view(depend->refobjid))
				return RANK_VIEW;
			return depend->refobjsubid != 0 ? RANK_COLUMN_FUNCTION : RANK_FUNCTION;
		case TypeRelationId:
			{
				Oid			element = get_element_type(depend->refobjid);
				Oid			relid = get_typ_typrelid(OidIsValid(element) ?
													 element : depend->refobjid);

				return OidIsValid(relid) && is_view(relid) ? RANK_VIEW : RANK_FUNCTION;
			}
		case ProcedureRelationId:
			return rank_of_references(ProcedureRelationId, depend->refobjid, seen);
		default:
			return RANK_FUNCTION;
	}
}

/* After the last of what its stored body, its arguments and result need. */
static int
rank_of_references(Oid classid, Oid objid, List **seen)
{
	int			rank = RANK_FUNCTION;
	ListCell   *lc;

	if (list_member_oid(*seen, objid))
		return rank;
	*seen = lappend_oid(*seen, objid);
	foreach(lc, dependencies_of(classid, objid))
	{
		int			needed = rank_of_reference(lfirst(lc), seen);

		rank = Max(rank, needed);
	}
	return rank;
}

/* Built in, or a base type, which is there as a shell before all functions. */
static bool
is_there_first(Oid typid)
{
	char		typtype = get_typtype(typid);

	return typid < FirstNormalObjectId ||
		((typtype == TYPTYPE_BASE || typtype == TYPTYPE_PSEUDO) &&
		 !OidIsValid(get_element_type(typid)));
}

/*
 * A function in C over such types can be made before everything else, and may
 * have to be: access methods, foreign-data wrappers and base types, which
 * tables have, are made of such.
 */
static bool
needs_nothing(Form_pg_proc form)
{
	if ((form->prolang != ClanguageId && form->prolang != INTERNALlanguageId) ||
		!is_there_first(form->prorettype))
		return false;
	for (int i = 0; i < form->pronargs; i++)
	{
		if (!is_there_first(form->proargtypes.values[i]))
			return false;
	}
	return true;
}

bool
function_needs_nothing(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	result = needs_nothing((Form_pg_proc) GETSTRUCT(tuple));
	ReleaseSysCache(tuple);
	return result;
}

/* ---- reading ---- */

/* Elements that flatten_set_variable_args quoted are quoted anew, as literals. */
static char *
setting_value(const char *name, const char *value)
{
	StringInfoData buf;
	List	   *elements;
	ListCell   *lc;

	if (!(GetConfigOptionFlags(name, true) & GUC_LIST_QUOTE))
		return quote_literal_cstr(value);
	if (!SplitGUCList(pstrdup(value), ',', &elements))
		elog(ERROR, "invalid list syntax in setting \"%s\"", name);
	if (elements == NIL)
		return pstrdup("''");
	initStringInfo(&buf);
	foreach(lc, elements)
		appendStringInfo(&buf, "%s%s", buf.len ? ", " : "",
						 quote_literal_cstr(lfirst(lc)));
	return buf.data;
}

/*
 * role and session_authorization can be set by nobody who is somebody else for
 * the moment, as whoever runs a step is: a hint then has all settings as they
 * are stored.
 */
static void
read_settings(Image *image, HeapTuple row)
{
	Datum	   *elems;
	int			nelems;
	StringInfoData buf;
	bool		isnull;
	bool		restricted = false;
	Datum		config = SysCacheGetAttr(PROCOID, row,
										 Anum_pg_proc_proconfig, &isnull);

	if (isnull)
		return;
	initStringInfo(&buf);
	deconstruct_array(DatumGetArrayTypeP(config), TEXTOID, -1, false,
					  TYPALIGN_INT, &elems, NULL, &nelems);
	for (int i = 0; i < nelems; i++)
	{
		char	   *item = TextDatumGetCString(elems[i]);
		char	   *value = strchr(item, '=');

		if (value == NULL)
			elog(ERROR, "malformed setting of function: \"%s\"", item);
		*value++ = '\0';
		restricted |= (GetConfigOptionFlags(item, true) & GUC_NOT_WHILE_SEC_REST) != 0;
		appendStringInfo(&buf, "%sSET %s TO %s", buf.len ? " " : "",
						 quote_identifier(item), setting_value(item, value));
	}
	image_add(image, "", "settings", buf.data);
	if (restricted)
		image_add(image, "", "@settings",
				  OidOutputFunctionCall(F_ARRAY_OUT, config));
}

static void
read_transforms(Image *image, HeapTuple row)
{
	StringInfoData buf;
	Oid		   *types;
	int			ntypes = get_func_trftypes(row, &types);

	if (ntypes == 0)
		return;
	initStringInfo(&buf);
	appendStringInfoString(&buf, "TRANSFORM ");
	for (int i = 0; i < ntypes; i++)
		appendStringInfo(&buf, "%sFOR TYPE %s", i > 0 ? ", " : "",
						 format_type_be_qualified(types[i]));
	image_add(image, "", "transform", buf.data);
}

static List *
add_transform(List *transforms, Oid typid, Oid language)
{
	Oid			transform = get_transform_oid(typid, language, true);

	return OidIsValid(transform) ? list_append_unique_oid(transforms, transform) : transforms;
}

/* Those for the types of its arguments and its result, whether it hangs on them or not. */
List *
function_possible_transforms(HeapTuple row)
{
	Form_pg_proc form = (Form_pg_proc) GETSTRUCT(row);
	List	   *transforms = add_transform(NIL, form->prorettype, form->prolang);
	Oid		   *types;
	char	  **names;
	char	   *modes;
	int			n = get_func_arg_info(row, &types, &names, &modes);

	for (int i = 0; i < n; i++)
		transforms = add_transform(transforms, types[i], form->prolang);
	return transforms;
}

/* Those it does hang on. */
List *
function_transforms(Oid function)
{
	ObjectAddress address;
	List	   *transforms = NIL;
	ListCell   *lc;

	ObjectAddressSet(address, ProcedureRelationId, function);
	foreach(lc, address_needs(&address))
	{
		ObjectAddress *needed = lfirst(lc);

		if (needed->classId == TransformRelationId)
			transforms = lappend_oid(transforms, needed->objectId);
	}
	return transforms;
}

static const char *
transform_type(Oid transform)
{
	HeapTuple	row = SearchSysCache1(TRFOID, ObjectIdGetDatum(transform));
	const char *type;

	if (!HeapTupleIsValid(row))
		elog(ERROR, "cache lookup failed for transform %u", transform);
	type = format_type_be_qualified(((Form_pg_transform) GETSTRUCT(row))->trftype);
	ReleaseSysCache(row);
	return type;
}

/* For the steps alone: a transform may come and go without the function. */
static void
read_dependencies_on_transforms(Image *image, HeapTuple row)
{
	List	   *transforms;
	const char **types;
	ListCell   *lc;

	if (function_possible_transforms(row) == NIL)
		return;
	transforms = function_transforms(image->address.objectId);
	types = palloc(sizeof(char *) * (list_length(transforms) + 1));
	foreach(lc, transforms)
		types[foreach_current_index(lc)] = transform_type(lfirst_oid(lc));
	image_add(image, "", "@transforms",
			  OidOutputFunctionCall(F_ARRAY_OUT,
									PointerGetDatum(text_array_from(types, list_length(transforms)))));
}

/* BEGIN ATOMIC ... END, or RETURN expression */
static char *
sql_body(Node *node)
{
	StringInfoData buf;
	ListCell   *lc;

	if (!IsA(node, List))
		return pg_get_querydef(castNode(Query, node), false);
	initStringInfo(&buf);
	appendStringInfoString(&buf, "BEGIN ATOMIC\n");
	foreach(lc, linitial_node(List, castNode(List, node)))
		appendStringInfo(&buf, "%s;\n",
						 pg_get_querydef(lfirst_node(Query, lc), false));
	appendStringInfoString(&buf, "END");
	return buf.data;
}

static char *
source_body(HeapTuple row)
{
	StringInfoData buf;
	bool		isnull;
	Datum		value;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "AS ");
	value = SysCacheGetAttr(PROCOID, row, Anum_pg_proc_probin, &isnull);
	if (!isnull)
		appendStringInfo(&buf, "%s, ",
						 quote_literal_cstr(TextDatumGetCString(value)));
	value = SysCacheGetAttr(PROCOID, row, Anum_pg_proc_prosrc, &isnull);
	if (isnull)
		elog(ERROR, "function has no source");
	appendStringInfoString(&buf,
						   quote_literal_cstr(TextDatumGetCString(value)));
	return buf.data;
}

static void
read_body(Image *image, HeapTuple row)
{
	bool		isnull;
	Datum		body = SysCacheGetAttr(PROCOID, row, Anum_pg_proc_prosqlbody,
									   &isnull);

	image_add(image, "", "body",
			  isnull ? source_body(row) :
			  sql_body(stringToNode(TextDatumGetCString(body))));
	if (!isnull)
		image_add_tree(image, TextDatumGetCString(body));
}

static void
read_attributes(Image *image, Form_pg_proc form)
{
	/* neither is a clause of CREATE PROCEDURE */
	if (form->prokind != PROKIND_PROCEDURE)
	{
		if (form->prokind == PROKIND_WINDOW)
			image_add(image, "", "window", "WINDOW");
		image_addf(image, "", "volatility", "%s",
				   form->provolatile == PROVOLATILE_IMMUTABLE ? "IMMUTABLE" :
				   form->provolatile == PROVOLATILE_STABLE ? "STABLE" :
				   "VOLATILE");
		image_addf(image, "", "parallel", "%s",
				   form->proparallel == PROPARALLEL_SAFE ? "PARALLEL SAFE" :
				   form->proparallel == PROPARALLEL_RESTRICTED ?
				   "PARALLEL RESTRICTED" : "PARALLEL UNSAFE");
		image_addf(image, "", "null input", "%s",
				   form->proisstrict ? "STRICT" : "CALLED ON NULL INPUT");
		image_addf(image, "", "leakproof", "%s",
				   form->proleakproof ? "LEAKPROOF" : "NOT LEAKPROOF");
		image_addf(image, "", "cost", "COST %g", form->procost);
		if (form->prorows > 0)
			image_addf(image, "", "rows", "ROWS %g", form->prorows);
		if (OidIsValid(form->prosupport))
			image_addf(image, "", "support", "SUPPORT %s",
					   quote_qualified_identifier(get_namespace_name(get_func_namespace(form->prosupport)),
												  get_func_name(form->prosupport)));
	}
	image_addf(image, "", "security", "%s",
			   form->prosecdef ? "SECURITY DEFINER" : "SECURITY INVOKER");
}

/* C, internal and untrusted languages, and what bypasses security barriers */
static bool
needs_superuser(Form_pg_proc form)
{
	HeapTuple	row = SearchSysCache1(LANGOID, ObjectIdGetDatum(form->prolang));
	bool		trusted;

	if (!HeapTupleIsValid(row))
		elog(ERROR, "cache lookup failed for language %u", form->prolang);
	trusted = ((Form_pg_language) GETSTRUCT(row))->lanpltrusted;
	ReleaseSysCache(row);
	return !trusted || form->proleakproof || OidIsValid(form->prosupport);
}

/* What CREATE OR REPLACE cannot change: the modes, types and names of output. */
static void
read_output(Image *image, HeapTuple row)
{
	Oid		   *types;
	char	  **names;
	char	   *modes;
	int			nargs = get_func_arg_info(row, &types, &names, &modes);
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < nargs; i++)
	{
		char		mode = modes ? modes[i] : FUNC_PARAM_IN;

		appendStringInfo(&buf, "%c", mode);
		if (mode != FUNC_PARAM_IN && mode != FUNC_PARAM_VARIADIC)
			appendStringInfo(&buf, "(%s %s)",
							 quote_identifier(names && names[i] ? names[i] : ""),
							 format_type_be_qualified(types[i]));
	}
	image_add(image, "", "@output", buf.data);

	resetStringInfo(&buf);
	for (int i = 0; i < nargs; i++)
	{
		char		mode = modes ? modes[i] : FUNC_PARAM_IN;

		if (mode == FUNC_PARAM_IN || mode == FUNC_PARAM_VARIADIC)
			appendStringInfo(&buf, "%s,",
							 quote_identifier(names && names[i] ? names[i] : ""));
	}
	image_add(image, "", "@input names", buf.data);
}

static bool
function_read(Image *image)
{
	HeapTuple	row = SearchSysCache1(PROCOID,
									  ObjectIdGetDatum(image->address.objectId));
	Form_pg_proc form;
	List	   *seen = NIL;
	char	   *result;
	Datum		acl;
	bool		isnull;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_proc) GETSTRUCT(row);
	image->schema = get_namespace_name(form->pronamespace);
	image->name = pstrdup(NameStr(form->proname));
	image->rank = needs_nothing(form) ? RANK_HANDLER :
		rank_of_references(ProcedureRelationId, form->oid, &seen);
	image_add_owner(image, form->proowner);
	if (object_depends_by(&image->address, DEPENDENCY_INTERNAL))
		image_add(image, "", "@along", "true");

	image_addf(image, "", "arguments", "(%s)",
			   describe_object(F_PG_GET_FUNCTION_ARGUMENTS, form->oid));
	result = describe_object(F_PG_GET_FUNCTION_RESULT, form->oid);
	if (result)
		image_addf(image, "", "result", "RETURNS %s", result);
	image_addf(image, "", "language", "LANGUAGE %s",
			   quote_identifier(get_language_name(form->prolang, false)));
	read_transforms(image, row);
	read_dependencies_on_transforms(image, row);
	read_attributes(image, form);
	read_settings(image, row);
	read_body(image, row);
	read_output(image, row);
	image_addf(image, "", "@defaults", "%d", form->pronargdefaults);
	if (needs_superuser(form))
		image_add(image, "", "@superuser", "true");
	acl = SysCacheGetAttr(PROCOID, row, Anum_pg_proc_proacl, &isnull);
	image_add_acl(image, "", acl, isnull, OBJECT_FUNCTION, form->proowner);
	ReleaseSysCache(row);
	image_add_extension_dependencies(image);
	return true;
}

/* ---- steps ---- */

/* What ALTER FUNCTION can change, and what is added to it by ALTER ... DEPENDS. */
static const char *const altered[] = {"volatility", "parallel", "null input",
	"leakproof", "security", "cost", "rows", "settings", "depends on extension",
NULL};

/* Those that no statement of a step can set; the statement left them out. */
static void
set_restricted_settings(const Image *image, Steps *steps)
{
	const char *settings = image_get(image, "", "@settings");

	if (settings)
		step_add(steps, image->rank, RUN_CATALOG, NULL, "catalog",
				 "SELECT safemig.set_function_settings(%s, %s)",
				 quote_literal_cstr(image->identity),
				 quote_literal_cstr(settings));
}

static const char *
clause_of(const Image *image, const char *facet)
{
	return strcmp(facet, "settings") == 0 && image_get(image, "", "@settings") ?
		NULL : image_get(image, "", facet);
}

static void
function_define(const Image *image, Steps *steps, const char *create)
{
	static const char *const clauses[] = {"result", "language", "transform",
		"window", "volatility", "parallel", "null input", "leakproof", "cost",
	"rows", "support", "security", "settings", "body"};
	StringInfoData buf;

	initStringInfo(&buf);
	for (size_t i = 0; i < lengthof(clauses); i++)
	{
		const char *clause = clause_of(image, clauses[i]);

		if (clause)
			appendStringInfo(&buf, " %s", clause);
	}
	step_add(steps, image->rank,
			 image_get(image, "", "@superuser") ? RUN_SUPERUSER : RUN_CATALOG,
			 NULL, "catalog", "%s %s %s%s%s", create, image->class->keyword,
			 image_qualified_name(image), image_get(image, "", "arguments"),
			 buf.data);
	set_restricted_settings(image, steps);
}

static void
set_transforms(const Image *image, Steps *steps)
{
	const char *types = image_get(image, "", "@transforms");

	if (types)
		step_add(steps, Max(image->rank, RANK_FUNCTION) + 1, RUN_CATALOG, NULL, "catalog",
				 "SELECT safemig.set_function_transforms(%s, %s)",
				 quote_literal_cstr(image->identity), quote_literal_cstr(types));
}

static void
function_create(const Image *image, Steps *steps)
{
	function_define(image, steps, "CREATE");
	set_transforms(image, steps);
	extension_dependency_steps(NULL, image, steps, image->rank);
}

static void
function_drop(const Image *image, Steps *steps)
{
	step_add(steps, image->rank, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
			 "DROP %s", image_reference(image));
}

static int
number_of_defaults(const Image *image)
{
	return pg_strtoint32(image_get(image, "", "@defaults"));
}

/*
 * CREATE OR REPLACE can give an argument a name or a default, but not take
 * one away, since a later call may count on it.  The reverse of a command that
 * gave one has to: safemig.forget_function_arguments does.
 */
static void
replace(const Image *have, const Image *want, Steps *steps)
{
	if (facet_differs(have, want, "", "@input names") ||
		number_of_defaults(have) > number_of_defaults(want))
		step_add(steps, want->rank, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
				 "SELECT safemig.forget_function_arguments(%s, %d)",
				 quote_literal_cstr(want->identity),
				 number_of_defaults(want));
	function_define(want, steps, "CREATE OR REPLACE");
	set_transforms(want, steps);
}

/*
 * What ALTER FUNCTION can set is set by it.  CREATE OR REPLACE would do too,
 * but for functions that belong to a type, such as a range's constructors: it
 * takes away every dependency of the function, that on the type as well.
 */
static void
alter_attributes(const Image *have, const Image *want, Steps *steps)
{
	StringInfoData buf;

	initStringInfo(&buf);
	if (facet_differs(have, want, "", "settings"))
		set_restricted_settings(want, steps);
	for (int i = 0; altered[i]; i++)
	{
		if (strcmp(altered[i], "depends on extension") == 0 ||
			!facet_differs(have, want, "", altered[i]))
			continue;
		if (strcmp(altered[i], "settings") == 0 &&
			image_get(want, "", "@settings"))
			continue;
		if (strcmp(altered[i], "settings") == 0)
			appendStringInfoString(&buf, " RESET ALL");
		if (image_get(want, "", altered[i]))
			appendStringInfo(&buf, " %s", image_get(want, "", altered[i]));
	}
	if (buf.len > 0)
		step_add(steps, want->rank,
				 image_get(want, "", "@superuser") ? RUN_SUPERUSER : RUN_CATALOG,
				 NULL, "catalog", "ALTER %s%s", image_reference(want), buf.data);
}

static bool
function_alter(const Image *have, const Image *want, Steps *steps)
{
	if (facet_differs(have, want, "", "result") ||
		facet_differs(have, want, "", "window") ||
		facet_differs(have, want, "", "@output"))
		return false;
	if (image_differs_beyond(have, want, altered))
		replace(have, want, steps);
	else
		alter_attributes(have, want, steps);
	extension_dependency_steps(have, want, steps, want->rank);
	return true;
}

const ImageClass image_class_function = {
	.catalog = ProcedureRelationId,
	.type = "function",
	.keyword = "FUNCTION",
	.rank = RANK_FUNCTION,
	.read = function_read,
	.create = function_create,
	.drop = function_drop,
	.alter = function_alter,
};

/*
 * With modes: "p(integer, integer)" may also mean one with as many parameters
 * of which some are OUT.
 */
static char *
procedure_reference(const Image *image)
{
	StringInfoData buf;
	bool		quoted = false;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "PROCEDURE ");
	for (const char *p = image->identity; *p; p++)
	{
		if (*p == '"')
			quoted = !quoted;
		appendStringInfoChar(&buf, *p);
		if (!quoted && ((*p == '(' && p[1] != ')') || *p == ','))
			appendStringInfoString(&buf, "IN ");
	}
	return buf.data;
}

const ImageClass image_class_procedure = {
	.catalog = ProcedureRelationId,
	.type = "procedure",
	.keyword = "PROCEDURE",
	.rank = RANK_FUNCTION,
	.read = function_read,
	.create = function_create,
	.drop = function_drop,
	.alter = function_alter,
	.reference = procedure_reference,
};
