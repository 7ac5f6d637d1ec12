/*-------------------------------------------------------------------------
 *
 * order.c
 *	  In which order dropped tables and types come back.
 *
 * PostgreSQL's deletion order, reversed, is an order of dependency of all
 * that it deletes by itself.  But a table that is named in the command may
 * come after what it needs when only its column hung on that: the column went
 * before, alone.  Here it is the table that comes back, with the column.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"

#include "capture/capture.h"
#include "keep/column.h"
#include "keep/vault.h"

typedef struct Order
{
	Command    *command;
	HTAB	   *going;			/* tables and types of the closure ... */
	HTAB	   *placed;			/* ... that have their place */
	List	   *images;			/* of Image*, as they are to come back */
} Order;

static bool
is_ordered(const ObjectAddress *address)
{
	return address->objectSubId == 0 &&
		(address->classId == TypeRelationId ||
		 address->classId == RelationRelationId);
}

static void place_object(Order *order, const ObjectAddress *address);

static void
place_relation(Order *order, Oid relid)
{
	ObjectAddress address;

	ObjectAddressSet(address, RelationRelationId, relid);
	place_object(order, &address);
}

/* An array goes with its element, a row type with its relation. */
static void
place_type(Order *order, Oid typid)
{
	ObjectAddress address;
	ListCell   *lc;

	if (OidIsValid(type_row_relation(typid)))
	{
		place_relation(order, type_row_relation(typid));
		return;
	}
	ObjectAddressSet(address, TypeRelationId, typid);
	if (address_set_has(order->going, &address))
		place_object(order, &address);
	else
	{
		foreach(lc, type_parts(typid))
			place_type(order, lfirst_oid(lc));
	}
}

static bool
has_columns(Oid relid)
{
	char		relkind = get_rel_relkind(relid);

	return relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE ||
		relkind == RELKIND_FOREIGN_TABLE;
}

/* What it needs, then itself. */
static void
place_object(Order *order, const ObjectAddress *address)
{
	List	   *types = NIL;
	Image	   *image;
	ListCell   *lc;

	if (!address_set_has(order->going, address) ||
		address_set_has(order->placed, address))
		return;
	address_set_add(order->placed, address);
	if (address->classId == TypeRelationId)
		types = type_parts(address->objectId);
	else if (has_columns(address->objectId))
	{
		foreach(lc, relation_parents(address->objectId))
			place_relation(order, lfirst_oid(lc));
		types = relation_types(address->objectId);
	}
	foreach(lc, types)
		place_type(order, lfirst_oid(lc));
	image = command_find_before(order->command, address);
	if (image && image->seq > 0)
		order->images = lappend(order->images, image);
}

static int
int_cmp(const ListCell *a, const ListCell *b)
{
	return lfirst_int(a) - lfirst_int(b);
}

/* Deals the places that tables and types have out among them anew. */
void
order_tables_and_types(Command *command, Closure *closure)
{
	Order		order = {command, address_set(), address_set(), NIL};
	List	   *places = NIL;
	ListCell   *lc;
	ListCell   *place;

	foreach(lc, closure->deleted)
	{
		if (is_ordered(lfirst(lc)))
			address_set_add(order.going, lfirst(lc));
	}
	for (int i = list_length(closure->deleted) - 1; i >= 0; i--)
	{
		if (is_ordered(list_nth(closure->deleted, i)))
			place_object(&order, list_nth(closure->deleted, i));
	}
	foreach(lc, order.images)
		places = lappend_int(places, ((Image *) lfirst(lc))->seq);
	list_sort(places, int_cmp);
	forboth(lc, order.images, place, places)
		((Image *) lfirst(lc))->seq = lfirst_int(place);
}
