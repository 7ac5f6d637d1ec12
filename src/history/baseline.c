/*-------------------------------------------------------------------------
 *
 * baseline.c
 *	  safemig_baseline: the state of all objects, written down, so that drift
 *	  from it can be told.
 *
 * A baseline is one command that changes nothing: a row of change_log for
 * each object, with its image.  Members of extensions are left out, with what
 * lives in them: they are their extension's, which is an object itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "capture/capture.h"
#include "history/history.h"

PG_FUNCTION_INFO_V1(safemig_baseline);

/*
 * Catalogs whose rows are objects, an object before what lives in it; with a
 * condition where not every row is one.
 */
static const struct
{
	const char *name;
	const char *condition;
}			catalogs[] = {
	{"pg_namespace", NULL},
	{"pg_extension", NULL},
	{"pg_language", NULL},
	{"pg_am", NULL},
	{"pg_collation", NULL},
	{"pg_conversion", NULL},
	{"pg_type", NULL},
	{"pg_operator", NULL},
	{"pg_opfamily", NULL},
	{"pg_opclass", NULL},
	{"pg_proc", NULL},
	{"pg_cast", NULL},
	{"pg_transform", NULL},
	{"pg_class", "relkind OPERATOR(pg_catalog.<>) 't'"},
	{"pg_constraint", NULL},
	{"pg_statistic_ext", NULL},
	{"pg_rewrite", NULL},
	{"pg_policy", NULL},
	{"pg_trigger", "NOT tgisinternal"},
	{"pg_foreign_data_wrapper", NULL},
	{"pg_foreign_server", NULL},
	{"pg_ts_parser", NULL},
	{"pg_ts_template", NULL},
	{"pg_ts_dict", NULL},
	{"pg_ts_config", NULL},
	{"pg_publication", NULL},
	{"pg_default_acl", NULL},
	{"pg_event_trigger", NULL},
};

static List *
catalog_addresses(List *addresses, const char *name, const char *condition)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *query = psprintf("SELECT tableoid, oid FROM pg_catalog.%s WHERE %s ORDER BY oid",
								 name, condition ? condition : "true");

	SPI_connect();
	if (SPI_execute(query, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read %s", name);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		MemoryContext old = MemoryContextSwitchTo(context);
		ObjectAddress *address = palloc(sizeof(ObjectAddress));
		bool		isnull;

		ObjectAddressSet(*address,
						 DatumGetObjectId(SPI_getbinval(tuple, desc, 1, &isnull)),
						 DatumGetObjectId(SPI_getbinval(tuple, desc, 2, &isnull)));
		addresses = lappend(addresses, address);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return addresses;
}

/* Made by initdb; but schema public is what users make of it. */
static bool
is_built_in(const ObjectAddress *address)
{
	return address->objectId < FirstNormalObjectId &&
		!(address->classId == NamespaceRelationId &&
		  address->objectId == PG_PUBLIC_NAMESPACE);
}

/* The cast and the constructors of a range come and go with it. */
static bool
comes_along(const ObjectAddress *address)
{
	return (address->classId == ProcedureRelationId ||
			address->classId == CastRelationId) &&
		object_depends_by(address, DEPENDENCY_INTERNAL);
}

/* A member of an extension, or what lives in one. */
static bool
belongs_to_extension(const ObjectAddress *address)
{
	ObjectAddress table;

	if (object_depends_by(address, DEPENDENCY_EXTENSION))
		return true;
	/* that of a constraint lives in the constraint, and that in the table */
	if (address->classId != RelationRelationId ||
		(get_rel_relkind(address->objectId) != RELKIND_INDEX &&
		 get_rel_relkind(address->objectId) != RELKIND_PARTITIONED_INDEX))
		return false;
	ObjectAddressSet(table, RelationRelationId,
					 IndexGetRelation(address->objectId, true));
	return object_depends_by(&table, DEPENDENCY_EXTENSION);
}

/* Images of all objects of users, as they are now. */
List *
baseline_images(void)
{
	List	   *addresses = NIL;
	List	   *images = NIL;
	HTAB	   *known = address_set();
	ListCell   *lc;

	for (size_t i = 0; i < lengthof(catalogs); i++)
		addresses = catalog_addresses(addresses, catalogs[i].name,
									  catalogs[i].condition);
	foreach(lc, addresses)
	{
		ObjectAddress owner;
		Image	   *image;

		CHECK_FOR_INTERRUPTS();
		if (is_built_in(lfirst(lc)) ||
			!object_owner_address(lfirst(lc), &owner) ||
			address_set_has(known, &owner) || is_built_in(&owner) ||
			belongs_to_extension(&owner) ||
			address_is_temporary(&owner) || address_in_vault(&owner) ||
			comes_along(&owner))
			continue;
		address_set_add(known, &owner);
		image = image_take(&owner);
		if (image && image_get(image, "", "@parent extension") == NULL)
			images = lappend(images, image);
	}
	return images;
}

static void
write_baseline(int64 migration, List *images, TimestampTz started)
{
	RecordedCommand command = {.migration = migration,.tag = "BASELINE"};
	ListCell   *lc;

	foreach(lc, images)
	{
		Change	   *change = palloc0(sizeof(Change));

		change->action = 'n';
		change->after = lfirst(lc);
		command.changes = lappend(command.changes, change);
	}
	command.seq = history_next_command();
	history_write_command(&command, NULL,
						  GetConfigOption("search_path", false, false), started,
						  (GetCurrentTimestamp() - started) / 1000.0, NIL);
}

Datum
safemig_baseline(PG_FUNCTION_ARGS)
{
	TimestampTz started = GetCurrentTimestamp();
	char	   *label;
	Frame		frame;
	int64		id;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("label must not be null")));
	label = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (label[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the label of a baseline must not be empty")));
	if (!is_administrator(GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to record a baseline"),
				 errdetail("It describes the objects of everybody."),
				 errhint("GRANT EXECUTE ON FUNCTION safemig_administer() to the role.")));
	frame_become_owner(&frame);
	own_work_begin();
	id = history_new_migration("baseline", label, "applied", NULL);
	write_baseline(id, baseline_images(), started);
	history_set_state(id, "applied");
	own_work_end();
	frame_unpin(&frame);
	PG_RETURN_INT64(id);
}
