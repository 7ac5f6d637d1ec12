/*-------------------------------------------------------------------------
 *
 * made.c
 *	  What a statement of a script names: a relation that is there, or one that
 *	  the script itself makes.
 *
 * Nothing is locked, and nothing is an error: a name that is not there will be
 * PostgreSQL's error when the script runs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "advise/advise.h"

bool
list_has_name(List *names, const char *name)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), name) == 0)
			return true;
	}
	return false;
}

List *
list_delete_name(List *names, const char *name)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), name) == 0)
			return list_delete_cell(names, lc);
	}
	return names;
}

/* a.b, as it would be written */
char *
joined_name(List *names)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, names)
		appendStringInfo(&buf, "%s%s", buf.len ? "." : "",
						 quote_identifier(strVal(lfirst(lc))));
	return buf.data;
}

/* Where a relation of that name would be made; NULL: nowhere. */
static const char *
creation_schema(const RangeVar *name)
{
	List	   *path;

	if (name->schemaname)
		return name->schemaname;
	path = fetch_search_path(false);
	return path == NIL ? NULL : get_namespace_name(linitial_oid(path));
}

static Target *
new_target(Oid relid, char *name, bool made)
{
	Target	   *target = palloc0(sizeof(Target));

	target->relid = relid;
	target->name = name;
	target->made = made;
	target->relkind = OidIsValid(relid) ? get_rel_relkind(relid) : RELKIND_RELATION;
	return target;
}

Target *
target_of_relation(Oid relid)
{
	return new_target(relid,
					  quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
												 get_rel_name(relid)), false);
}

/* What the script makes, or calls so, in that schema; or NULL. */
static Target *
known_as(Assessment *a, const char *schema, const char *name)
{
	char	   *qualified = quote_qualified_identifier(schema, name);
	ListCell   *lc;

	if (list_has_name(a->made, qualified))
		return new_target(InvalidOid, qualified, true);
	foreach(lc, a->renamed)
	{
		Target	   *target = lfirst(lc);

		if (strcmp(target->name, qualified) == 0)
			return target;
	}
	return NULL;
}

static Target *
find_known(Assessment *a, const RangeVar *name)
{
	ListCell   *lc;

	if (name->schemaname)
		return known_as(a, name->schemaname, name->relname);
	foreach(lc, fetch_search_path(true))
	{
		char	   *schema = get_namespace_name(lfirst_oid(lc));
		Target	   *target = schema ? known_as(a, schema, name->relname) : NULL;

		if (target)
			return target;
	}
	return NULL;
}

/* Nobody else sees it yet. */
static bool
is_of_this_transaction(Oid relid)
{
	Relation	rel = relation_open_now(relid);
	bool		result;

	if (rel == NULL)
		return false;
	result = rel->rd_createSubid != InvalidSubTransactionId;
	relation_close(rel, AccessShareLock);
	return result;
}

Target *
target_of(Assessment *a, const RangeVar *name)
{
	Target	   *known = find_known(a, name);
	Oid			relid;

	if (known)
		return known;
	relid = RangeVarGetRelid(name, NoLock, true);
	if (OidIsValid(relid) && !is_of_this_transaction(relid))
		return target_of_relation(relid);
	return new_target(InvalidOid,
					  quote_qualified_identifier(name->schemaname, name->relname), true);
}

/* From here on the script has it. */
Target *
target_made(Assessment *a, const RangeVar *name)
{
	const char *schema = creation_schema(name);
	char	   *qualified = quote_qualified_identifier(schema, name->relname);

	if (!list_has_name(a->made, qualified))
		a->made = lappend(a->made, qualified);
	return new_target(InvalidOid, qualified, true);
}

/* What is there is called so from here on. */
void
target_renamed(Assessment *a, const Target *target, const char *schema, const char *name)
{
	Target	   *renamed;

	if (target->made && !list_has_name(a->made, target->name))
		return;
	renamed = palloc(sizeof(Target));
	*renamed = *target;
	if (schema == NULL && OidIsValid(target->relid))
		schema = get_namespace_name(get_rel_namespace(target->relid));
	renamed->name = quote_qualified_identifier(schema, name ? name : get_rel_name(target->relid));
	if (target->made)
		a->made = lappend(a->made, renamed->name);
	else
		a->renamed = lappend(a->renamed, renamed);
}
