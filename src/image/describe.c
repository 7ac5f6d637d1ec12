/*-------------------------------------------------------------------------
 *
 * describe.c
 *	  What the class files share: reading catalogs, and the facets and steps
 *	  that several classes have.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "commands/comment.h"
#include "commands/extension.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "image/classes.h"

/* ---- text ---- */

/*
 * The functions that describe an object return NULL when it has gone, which
 * DirectFunctionCall would make an error of.
 */
char *
describe_object(Oid function, Oid object)
{
	LOCAL_FCINFO(fcinfo, 1);
	FmgrInfo	flinfo;
	Datum		result;

	fmgr_info(function, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = ObjectIdGetDatum(object);
	fcinfo->args[0].isnull = false;
	result = FunctionCallInvoke(fcinfo);
	return fcinfo->isnull ? NULL : TextDatumGetCString(result);
}

const char *
after_prefix(const char *text, const char *prefix)
{
	size_t		len = strlen(prefix);

	if (strncmp(text, prefix, len) != 0)
		elog(ERROR, "definition \"%s\" does not begin with \"%s\"",
			 text, prefix);
	return text + len;
}

char *
before_suffix(const char *text, const char *suffix)
{
	size_t		len = strlen(text);
	size_t		suffix_len = strlen(suffix);

	if (len < suffix_len || strcmp(text + len - suffix_len, suffix) != 0)
		elog(ERROR, "definition \"%s\" does not end with \"%s\"",
			 text, suffix);
	return pnstrdup(text, len - suffix_len);
}

char *
qualified_relation_name(Oid relid)
{
	char	   *name = get_rel_name(relid);

	if (name == NULL)
		elog(ERROR, "cache lookup failed for relation %u", relid);
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  name);
}

/* For most classes the identity is the name that SQL uses. */
char *
object_identity(Oid classid, Oid objid)
{
	ObjectAddress address;

	ObjectAddressSet(address, classid, objid);
	return getObjectIdentity(&address, false);
}

char *
function_name_sql(Oid function)
{
	char	   *name = get_func_name(function);

	if (name == NULL)
		elog(ERROR, "cache lookup failed for function %u", function);
	return quote_qualified_identifier(get_namespace_name(get_func_namespace(function)),
									  name);
}

char *
operator_in_schema(Oid operator)
{
	HeapTuple	row = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	char	   *name;

	if (!HeapTupleIsValid(row))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(row);
	name = psprintf("%s.%s",
					quote_identifier(get_namespace_name(form->oprnamespace)),
					NameStr(form->oprname));
	ReleaseSysCache(row);
	return name;
}

char *
operator_name_sql(Oid operator)
{
	return psprintf("OPERATOR(%s)", operator_in_schema(operator));
}

Oid
type_owner(Oid typid)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(typid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", typid);
	owner = ((Form_pg_type) GETSTRUCT(tuple))->typowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* ---- catalogs ---- */

HeapTuple
catalog_row(Oid catalog, AttrNumber oid_column, Oid object)
{
	Relation	rel = table_open(catalog, AccessShareLock);
	HeapTuple	row = get_catalog_object_by_oid(rel, oid_column, object);

	/* from a syscache it is not ours; from a scan it may well be */
	if (HeapTupleIsValid(row))
		row = heap_copytuple(row);
	table_close(rel, AccessShareLock);
	return row;
}

Datum
catalog_value(Oid catalog, HeapTuple row, AttrNumber column, bool *isnull)
{
	Relation	rel = table_open(catalog, AccessShareLock);
	Datum		value = heap_getattr(row, column, RelationGetDescr(rel), isnull);

	table_close(rel, AccessShareLock);
	return value;
}

void
image_add_tree(Image *image, const char *tree)
{
	image_addf(image, "", TREE, UINT64_FORMAT,
			   hash_bytes_extended((const unsigned char *) tree, strlen(tree), 0));
}

void
image_set_parent(Image *image, Oid classid, Oid objid)
{
	ObjectAddressSet(image->parent, classid, objid);
	image->parent_type = getObjectTypeDescription(&image->parent, false);
	image->parent_identity = getObjectIdentity(&image->parent, false);
}

void
image_add_part_comment(Image *image, const char *part, Oid classid,
					   Oid objid, int subid)
{
	char	   *comment = GetComment(objid, classid, subid);

	if (comment)
		image_add(image, part, "comment", comment);
}

/* ---- parts ---- */

static int
part_cmp(const ListCell *a, const ListCell *b)
{
	const Facet *x = lfirst(a);
	const Facet *y = lfirst(b);

	return pg_strtoint32(x->value) - pg_strtoint32(y->value);
}

List *
image_parts(const Image *image)
{
	List	   *facets = NIL;
	List	   *parts = NIL;
	ListCell   *lc;

	foreach(lc, image->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (facet->part[0] && strcmp(facet->name, "position") == 0)
			facets = lappend(facets, facet);
	}
	list_sort(facets, part_cmp);
	foreach(lc, facets)
		parts = lappend(parts, ((Facet *) lfirst(lc))->part);
	return parts;
}

static const char *
part_with_attnum(const Image *image, const char *attnum)
{
	ListCell   *lc;

	foreach(lc, image->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (strcmp(facet->name, "@attnum") == 0 &&
			strcmp(facet->value, attnum) == 0)
			return facet->part;
	}
	return NULL;
}

static void
rename_part(const Image *want, Steps *steps, const char *keyword, int order,
			const char *from, const char *to)
{
	step_add(steps, order, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
			 "ALTER %s RENAME %s %s TO %s", image_reference(want), keyword,
			 quote_identifier(from), quote_identifier(to));
}

/*
 * The part that want's part is in have: the one with the same attribute
 * number, if both still are the same object.
 */
const char *
part_now(const Image *have, const Image *want, const char *part)
{
	const char *attnum = image_get(want, part, "@attnum");

	if (attnum == NULL || have->address.objectId != want->address.objectId)
		return image_get(have, part, "position") ? part : NULL;
	return part_with_attnum(have, attnum);
}

/*
 * Names may have been exchanged, so a name that is still taken is reached
 * through one that nobody has.  Returns whether anything was renamed.
 */
bool
rename_parts(const Image *have, const Image *want, Steps *steps,
			 const char *keyword, int order)
{
	bool		dropping = steps->dropping;
	List	   *waiting = NIL;
	ListCell   *lc;
	bool		renamed = false;

	steps->dropping = true;		/* with the renames of objects */
	foreach(lc, image_parts(want))
	{
		const char *part = lfirst(lc);
		const char *now = part_now(have, want, part);

		if (now == NULL || strcmp(now, part) == 0)
			continue;
		renamed = true;
		if (image_get(have, part, "position"))
		{
			const char *between = psprintf("safemig_part_%s",
										   image_get(want, part, "@attnum"));

			rename_part(want, steps, keyword, order, now, between);
			waiting = lappend(waiting, list_make2((void *) between,
												  (void *) part));
		}
		else
			rename_part(want, steps, keyword, order, now, part);
	}
	foreach(lc, waiting)
	{
		List	   *pair = lfirst(lc);

		rename_part(want, steps, keyword, order, linitial(pair), lsecond(pair));
	}
	steps->dropping = dropping;
	return renamed;
}

/* ---- differences ---- */

typedef struct Beyond
{
	const char *const *names;
	bool		differs;
} Beyond;

static void
note_beyond(void *arg, const char *part, const char *name, const char *a,
			const char *b)
{
	Beyond	   *beyond = arg;

	if (facet_is_common(name) || strcmp(name, "schema") == 0 || strcmp(name, "name") == 0)
		return;
	for (int i = 0; beyond->names[i]; i++)
	{
		if (strcmp(beyond->names[i], name) == 0)
			return;
	}
	beyond->differs = true;
}

bool
image_differs_beyond(const Image *have, const Image *want,
					 const char *const *names)
{
	Beyond		beyond = {names, false};

	image_compare(have, want, note_beyond, &beyond);
	return beyond.differs;
}

/* ---- options ---- */

/* The end of a quoted or plain word: an identifier or a literal. */
static const char *
word_end(const char *at)
{
	char		quote = *at == '"' ? '"' : '\'';
	bool		escapes = *at == 'E' && at[1] == '\'';

	if (escapes)
		at++;
	if (*at != quote)
		return at + strcspn(at, "=,");
	for (at++; *at; at++)
	{
		if (escapes && *at == '\\')
			at++;
		else if (*at == quote && at[1] == quote)
			at++;
		else if (*at == quote)
			return at + 1;
	}
	elog(ERROR, "unterminated quote in stored options");
	return NULL;				/* keep compiler quiet */
}

/* The names of "a='1', b='2'", in SQL spelling. */
static List *
option_names(const char *options)
{
	List	   *names = NIL;
	const char *at = options;

	while (at && *at)
	{
		const char *end = word_end(at);

		names = lappend(names, makeString(pnstrdup(at, end - at)));
		if (*end == '=')
			end = word_end(end + 1);
		at = *end ? end + strlen(", ") : end;
	}
	return names;
}

/*
 * A facet "toast options" belongs to the toast table, whose options are set
 * with a prefix.
 */
void
options_steps(const Image *have, const Image *want, const char *facet,
			  Steps *steps, int order, const char *lock_mode)
{
	const char *now = image_get(have, "", facet);
	const char *then = image_get(want, "", facet);
	List	   *gone = list_difference(option_names(now), option_names(then));
	StringInfoData buf;
	ListCell   *lc;

	if (!facet_differs(have, want, "", facet))
		return;
	if (gone != NIL)
	{
		initStringInfo(&buf);
		foreach(lc, gone)
			appendStringInfo(&buf, "%s%s", buf.len ? ", " : "",
							 strVal(lfirst(lc)));
		step_add(steps, order, RUN_CATALOG, lock_mode, "catalog",
				 "ALTER %s RESET (%s)", image_reference(want), buf.data);
	}
	if (then)
		step_add(steps, order, RUN_CATALOG, lock_mode, "catalog",
				 "ALTER %s SET (%s)", image_reference(want), then);
}

/* ---- dependence on extensions ---- */

#define DEPENDS "depends on extension"

void
image_add_extension_dependencies(Image *image)
{
	ListCell   *lc;

	foreach(lc, dependencies_of(image->address.classId, image->address.objectId))
	{
		Form_pg_depend depend = lfirst(lc);
		char	   *name;

		if (depend->refclassid != ExtensionRelationId ||
			depend->deptype != DEPENDENCY_AUTO_EXTENSION)
			continue;
		name = get_extension_name(depend->refobjid);
		if (name && image_get(image, name, DEPENDS) == NULL)
			image_add(image, name, DEPENDS, "true");
	}
}

static void
depends_steps(const Image *from, const Image *without, const Image *want,
			  Steps *steps, int order, const char *no)
{
	ListCell   *lc;

	foreach(lc, from->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (strcmp(facet->name, DEPENDS) != 0 ||
			(without && image_get(without, facet->part, DEPENDS)))
			continue;
		step_add(steps, order, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
				 "ALTER %s %sDEPENDS ON EXTENSION %s", image_reference(want),
				 no, quote_identifier(facet->part));
	}
}

/* have is NULL for an object just made */
void
extension_dependency_steps(const Image *have, const Image *want, Steps *steps,
						   int order)
{
	if (have)
		depends_steps(have, want, want, steps, order, "NO ");
	depends_steps(want, have, want, steps, order, "");
}
