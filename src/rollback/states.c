/*-------------------------------------------------------------------------
 *
 * states.c
 *	  The state that a run of commands found, and the one that it left,
 *	  object by object; and the object that is there now.
 *
 * An object is known by its type and identity, not by its OID: after a
 * rollback, a restore or an upgrade the same object has another OID.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/policy.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "rewrite/rewriteSupport.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "compat.h"
#include "history/framework.h"
#include "rollback/rollback.h"

/* ---- what the history says ---- */

typedef struct StateMap
{
	HTAB	   *table;
	List	   *order;			/* of ObjectState*, as first met */
} StateMap;

typedef struct StateEntry
{
	char		key[NAMEDATALEN * 8];
	ObjectState *state;
} StateEntry;

static void
map_init(StateMap *map)
{
	HASHCTL		ctl = {.keysize = NAMEDATALEN * 8,
		.entrysize = sizeof(StateEntry),.hcxt = CurrentMemoryContext
	};

	map->table = hash_create("safemig states", 256, &ctl,
							 HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	map->order = NIL;
}

static void
map_set(StateMap *map, Image *image, bool present)
{
	char	   *key = image_address_key(image);
	StateEntry *entry;
	bool		found;

	entry = hash_search(map->table, key, HASH_ENTER, &found);
	if (!found)
	{
		entry->state = palloc0(sizeof(ObjectState));
		strlcpy(entry->state->key, key, sizeof(entry->state->key));
		map->order = lappend(map->order, entry->state);
	}
	entry->state->image = image;
	entry->state->present = present;
}

/*
 * What a framework keeps its history in may have got further columns since, by
 * a newer version of it: that is no migration, and stays as it is now.
 */
static Image *
image_of_change(const Change *change, Image *recorded)
{
	ObjectAddress address;
	FrameworkTable table = FRAMEWORK_NOTHING;
	Image	   *now = NULL;

	if (change->action == 'w' && recorded->address.classId == RelationRelationId &&
		address_find(recorded, &address))
	{
		(void) framework_of(address.objectId, &table);
		if (table != FRAMEWORK_NOTHING)
			now = image_take(&address);
	}
	return now ? now : recorded;
}

/* Names that a command gave up, then names that it took: a swap works. */
static void
map_command(StateMap *map, RecordedCommand *command, bool after)
{
	ListCell   *lc;

	foreach(lc, command->changes)
	{
		Change	   *change = lfirst(lc);
		Image	   *gone = after ? change->before : change->after;

		if (gone)
			map_set(map, gone, false);
	}
	foreach(lc, command->changes)
	{
		Change	   *change = lfirst(lc);
		Image	   *there = after ? change->after : change->before;

		if (there)
			map_set(map, image_of_change(change, there), true);
	}
}

List *
states_before(List *commands)
{
	StateMap	map;
	ListCell   *lc;

	map_init(&map);
	foreach(lc, commands)
		map_command(&map, lfirst(lc), false);
	return map.order;
}

List *
states_after(List *commands)
{
	StateMap	map;

	map_init(&map);
	for (int i = list_length(commands) - 1; i >= 0; i--)
		map_command(&map, list_nth(commands, i), true);
	return map.order;
}

/* Is the object one that the plan takes away? */
bool
state_is_to_go(const ObjectState *state, List *before)
{
	ListCell   *lc;

	if (!state->present)
		return false;
	foreach(lc, before)
	{
		const ObjectState *once = lfirst(lc);

		if (once->present && strcmp(once->key, state->key) == 0)
			return false;
	}
	return true;
}

/* ---- what is there ---- */

static Oid
parent_relation(const Image *image)
{
	List	   *names;

	if (image->parent_identity == NULL)
		return InvalidOid;
	names = qualified_name_list(image->parent_identity);
	return RangeVarGetRelid(makeRangeVarFromNameList(names), NoLock, true);
}

/* An array type is none that has an image, and gives its name up at any time. */
static Oid
named_type(const char *schema, const char *name)
{
	Oid			namespace = get_namespace_oid(schema, true);
	Oid			typid;

	if (!OidIsValid(namespace))
		return InvalidOid;
	typid = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
							CStringGetDatum(name), ObjectIdGetDatum(namespace));
	if (OidIsValid(typid) && OidIsValid(get_element_type(typid)) &&
		get_array_type(get_element_type(typid)) == typid)
		return InvalidOid;
	return typid;
}

/* A constraint of a domain, whose identity its own names as parent. */
static Oid
domain_constraint(const Image *image)
{
	List	   *names = qualified_name_list(image->parent_identity);
	Oid			domain;

	if (list_length(names) != 2)
		return InvalidOid;
	domain = named_type(strVal(linitial(names)), strVal(lsecond(names)));
	return OidIsValid(domain) ?
		get_domain_constraint_oid(domain, image->name, true) : InvalidOid;
}

/* pg_get_object_address knows no operator that has one argument only. */
static char *
lookup_query(const Image *image)
{
	if (strcmp(image->type, "operator") == 0)
		return psprintf("SELECT 'pg_catalog.pg_operator'::pg_catalog.regclass::pg_catalog.oid,"
						" o::pg_catalog.oid FROM pg_catalog.to_regoperator(%s) AS o"
						" WHERE o IS NOT NULL",
						quote_literal_cstr(image->identity));
	return psprintf("SELECT classid, objid FROM pg_catalog.pg_get_object_address(%s, %s, %s)",
					quote_literal_cstr(image->type), image->names_sql,
					image->args_sql);
}

typedef struct Lookup
{
	const Image *image;
	ObjectAddress *address;
	bool		found;
} Lookup;

static bool
look_up(void *arg)
{
	Lookup	   *lookup = arg;
	bool		isnull;

	SPI_connect();
	if (SPI_execute(lookup_query(lookup->image), true, 1) == SPI_OK_SELECT &&
		SPI_processed == 1)
	{
		TupleDesc	desc = SPI_tuptable->tupdesc;
		HeapTuple	row = SPI_tuptable->vals[0];

		ObjectAddressSet(*lookup->address,
						 DatumGetObjectId(SPI_getbinval(row, desc, 1, &isnull)),
						 DatumGetObjectId(SPI_getbinval(row, desc, 2, &isnull)));
		lookup->found = true;
	}
	SPI_finish();
	return true;
}

/*
 * Classes that have no lookup of their own are asked for by
 * pg_get_object_address, which raises an error when there is none.
 */
static bool
find_by_names(const Image *image, ObjectAddress *address)
{
	Lookup		lookup = {image, address};
	ErrorData  *error = attempt(look_up, &lookup);

	/* only "there is none" is an answer */
	if (error &&
		ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION &&
		error->sqlerrcode != ERRCODE_INVALID_SCHEMA_NAME &&
		error->sqlerrcode != ERRCODE_UNDEFINED_DATABASE)
		ReThrowError(error);
	return lookup.found;
}

bool
address_find(const Image *image, ObjectAddress *address)
{
	Oid			catalog = image->address.classId;
	Oid			oid = InvalidOid;

	if (catalog == RelationRelationId)
	{
		Oid			namespace = get_namespace_oid(image->schema, true);

		if (OidIsValid(namespace))
			oid = get_relname_relid(image->name, namespace);
	}
	else if (catalog == NamespaceRelationId)
		oid = get_namespace_oid(image->name, true);
	else if (catalog == LargeObjectRelationId)
	{
		oid = strtoul(image->identity, NULL, 10);
		if (!LargeObjectExists(oid))
			return false;
	}
	else if (catalog == TypeRelationId)
		oid = named_type(image->schema, image->name);
	else if (catalog == ConstraintRelationId &&
			 strcmp(image->type, "domain constraint") == 0)
		oid = domain_constraint(image);
	else if (catalog == ConstraintRelationId || catalog == TriggerRelationId ||
			 catalog == RewriteRelationId || catalog == PolicyRelationId)
	{
		Oid			relid = parent_relation(image);

		if (!OidIsValid(relid))
			return false;
		if (catalog == ConstraintRelationId)
			oid = get_relation_constraint_oid(relid, image->name, true);
		else if (catalog == TriggerRelationId)
			oid = get_trigger_oid(relid, image->name, true);
		else if (catalog == RewriteRelationId)
			oid = get_rewrite_oid(relid, image->name, true);
		else
			oid = get_relation_policy_oid(relid, image->name, true);
	}
	else
		return find_by_names(image, address);
	ObjectAddressSet(*address, catalog, oid);
	return OidIsValid(oid);
}

Image *
image_now(const Image *recorded)
{
	ObjectAddress address;

	return address_find(recorded, &address) ? image_take(&address) : NULL;
}
