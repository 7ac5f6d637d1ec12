/*-------------------------------------------------------------------------
 *
 * home.c
 *	  What a type in the vault is called when it is out of it.
 *
 * Things come back one after the other, and what comes first may be made of
 * what is still in the vault: a column of the row type of another table.  It
 * is described by the name that it is going to have, so that its description
 * does not depend on the order.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "keep/vault.h"

/* The vault's type that this one is, or is made of without a name of its own. */
static Oid
type_that_moved(Oid typid)
{
	Oid			element = get_element_type(typid);

	if (OidIsValid(element))
		typid = element;
	if (get_typtype(typid) == TYPTYPE_MULTIRANGE)
		typid = get_multirange_range(typid);
	return typid;
}

/* What a type in the vault, or that of an array or multirange, was kept as. */
Kept *
kept_of_type(Oid typid)
{
	Oid			moved = type_that_moved(typid);
	Oid			namespace = get_type_namespace(moved);
	Oid			relid = get_typ_typrelid(moved);
	bool		is_row = OidIsValid(relid) &&
		get_rel_relkind(relid) != RELKIND_COMPOSITE_TYPE;
	Frame		frame;
	Kept	   *kept;

	if (!vault_is_schema(namespace))
		return NULL;
	frame_become_owner(&frame);
	kept = history_kept_in_vault(is_row ? "relation" : "type",
								 get_namespace_name(namespace),
								 get_type_name(moved));
	frame_unpin(&frame);
	return kept;
}

/* The name as format_type() gives it when the type is out of the vault. */
char *
type_name_at_home(Oid typid, int32 typmod)
{
	Kept	   *kept = kept_of_type(typid);
	Oid			element = get_element_type(typid);

	if (kept == NULL)
		return format_type_with_typemod(typid, typmod);
	return psprintf("%s%s",
					quote_qualified_identifier(kept_need_detail(kept, "schema"),
											   get_type_name(OidIsValid(element) ? element : typid)),
					OidIsValid(element) ? "[]" : "");
}
