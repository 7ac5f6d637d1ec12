/*-------------------------------------------------------------------------
 *
 * vault.c
 *	  The vault: its schemas, and what stands in the way of leaving it.
 *
 * The vault is a number of schemas safemig_vault_<migration>, owned by a role
 * that nobody can be.  Names cannot collide in one of them, because it takes
 * in what one command removed from one schema.  Which command and which
 * schema stands in its comment, which a dump takes along.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/alter.h"
#include "commands/comment.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "history/history.h"
#include "keep/vault.h"

#define MAX_SCHEMAS_NAMED 50

/* ---- vault schemas ---- */

static char *
vault_schema_name(int64 migration, int n)
{
	if (n == 1)
		return psprintf(SAFEMIG_VAULT_PREFIX INT64_FORMAT, migration);
	return psprintf(SAFEMIG_VAULT_PREFIX INT64_FORMAT "_%d", migration, n);
}

/*
 * A vault schema is known by its owner: anybody may give a schema such a
 * name, but nobody can give it to that role.
 */
bool
vault_is_schema(Oid namespace)
{
	HeapTuple	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(namespace));
	Form_pg_namespace form;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_namespace) GETSTRUCT(tuple);
	result = strncmp(NameStr(form->nspname), SAFEMIG_VAULT_PREFIX,
					 strlen(SAFEMIG_VAULT_PREFIX)) == 0 &&
		form->nspowner == get_role_oid(SAFEMIG_VAULT_ROLE, true);
	ReleaseSysCache(tuple);
	return result;
}

/* A vault schema must never become a member of the user's extension. */
static Oid
create_vault_schema(const char *name, const char *comment)
{
	bool		save_creating = creating_extension;
	volatile Oid namespace = InvalidOid;

	creating_extension = false;
	PG_TRY();
	{
		namespace = NamespaceCreate(name, vault_role(), false);
		CommandCounterIncrement();
		CreateComments(namespace, NamespaceRelationId, 0, comment);
		CommandCounterIncrement();
	}
	PG_FINALLY();
	{
		creating_extension = save_creating;
	}
	PG_END_TRY();
	return namespace;
}

static char *
whose_schema(int64 migration, int64 command)
{
	return psprintf("kept by safemig: migration " INT64_FORMAT
					", command " INT64_FORMAT ", from schema ",
					migration, command);
}

/* The schema that something was in; it was dropped when it became empty. */
void
vault_schema_again(const Kept *kept)
{
	if (!OidIsValid(get_namespace_oid(kept->vault_schema, true)))
		(void) create_vault_schema(kept->vault_schema,
								   psprintf("%s%s", whose_schema(kept->migration, kept->command),
											kept_need_detail(kept, "schema")));
}

/*
 * The schemas of one migration are numbered without gaps while it is being
 * written, and those of the current command are the last: so the one wanted
 * is found by looking backwards from the end.
 */
Oid
vault_schema_for(int64 migration, int64 command, Oid source_namespace)
{
	char	   *source = get_namespace_name(source_namespace);
	char	   *whose = whose_schema(migration, command);
	char	   *comment;
	Oid			namespace;
	int			last = 0;

	if (source == NULL)
		elog(ERROR, "cache lookup failed for namespace %u", source_namespace);
	comment = psprintf("%s%s", whose, source);

	while (OidIsValid(get_namespace_oid(vault_schema_name(migration, last + 1), true)))
		last++;
	for (int n = last; n > 0; n--)
	{
		char	   *found;

		namespace = get_namespace_oid(vault_schema_name(migration, n), false);
		/* somebody else's schema of that name */
		if (!vault_is_schema(namespace))
			continue;
		found = GetComment(namespace, NamespaceRelationId, 0);
		if (found && strcmp(found, comment) == 0)
			return namespace;
		if (found == NULL || strncmp(found, whose, strlen(whose)) != 0)
			break;
	}
	return create_vault_schema(vault_schema_name(migration, last + 1), comment);
}

/* Its numbers have gaps once some of its schemas have become empty. */
List *
vault_schemas_of(int64 migration)
{
	Relation	catalog = table_open(NamespaceRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	char	   *first = vault_schema_name(migration, 1);
	List	   *schemas = NIL;
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_namespace form = (Form_pg_namespace) GETSTRUCT(tuple);
		char	   *rest = NameStr(form->nspname) + strlen(first);

		if (strncmp(NameStr(form->nspname), first, strlen(first)) == 0 &&
			(*rest == '\0' || *rest == '_') && vault_is_schema(form->oid))
			schemas = lappend_oid(schemas, form->oid);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return schemas;
}

/*
 * The extension goes, and what it keeps stays: as the bootstrap superuser's,
 * so that an extension made later does not take it for its own, and DROP OWNED
 * of whoever had the old one does not reach it.
 */
void
vault_give_up(void)
{
	Relation	catalog = table_open(NamespaceRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	StringInfoData names;
	HeapTuple	tuple;
	int			count = 0;

	initStringInfo(&names);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_namespace form = (Form_pg_namespace) GETSTRUCT(tuple);

		if (vault_is_schema(form->oid) && ++count <= MAX_SCHEMAS_NAMED)
			appendStringInfo(&names, "%s%s", count > 1 ? ", " : "",
							 quote_identifier(NameStr(form->nspname)));
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	if (count == 0)
		return;
	if (count > MAX_SCHEMAS_NAMED)
		appendStringInfo(&names, ", and %d more", count - MAX_SCHEMAS_NAMED);

	own_work_begin();
	shdepReassignOwned(list_make1_oid(vault_role()), BOOTSTRAP_SUPERUSERID);
	CommandCounterIncrement();
	own_work_end();
	ereport(NOTICE,
			(errmsg_plural("%d schema with data that safemig keeps stays, as an ordinary one",
						   "%d schemas with data that safemig keeps stay, as ordinary ones",
						   count, count),
			 errdetail_internal("%s", names.data),
			 errhint("The comment on each says what it is from.")));
}

/* The comment on a schema says whose it is. */
static void
rename_schema(Oid namespace, const char *name, int64 to)
{
	Relation	catalog = table_open(NamespaceRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(NAMESPACEOID, ObjectIdGetDatum(namespace));
	char	   *comment = GetComment(namespace, NamespaceRelationId, 0);
	char	   *rest = comment ? strchr(comment, ',') : NULL;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for namespace %u", namespace);
	namestrcpy(&((Form_pg_namespace) GETSTRUCT(tuple))->nspname, name);
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	table_close(catalog, RowExclusiveLock);
	if (rest)
		CreateComments(namespace, NamespaceRelationId, 0,
					   psprintf("kept by safemig: migration " INT64_FORMAT "%s", to, rest));
	CommandCounterIncrement();
}

void
vault_take_over(int64 from, int64 to)
{
	ListCell   *lc;
	int			last = 0;

	while (OidIsValid(get_namespace_oid(vault_schema_name(to, last + 1), true)))
		last++;
	foreach(lc, vault_schemas_of(from))
	{
		char	   *name = vault_schema_name(to, ++last);
		Oid			types[2] = {TEXTOID, TEXTOID};
		Datum		args[2] = {CStringGetTextDatum(get_namespace_name(lfirst_oid(lc))),
		CStringGetTextDatum(name)};

		rename_schema(lfirst_oid(lc), name, to);
		SPI_connect();
		if (SPI_execute_with_args("UPDATE safemig.kept_log SET vault_schema = $2"
								  " WHERE vault_schema OPERATOR(pg_catalog.=) $1",
								  2, types, args, NULL, false, 0) != SPI_OK_UPDATE)
			elog(ERROR, "could not update kept_log");
		SPI_finish();
	}
}

/* Of a class that has a schema and an owner; relations and types need more. */
void
object_move(Oid classid, Oid objid, Oid namespace, Oid owner)
{
	ObjectAddresses *moved = new_object_addresses();

	AlterObjectNamespace_oid(classid, objid, namespace, moved);
	free_object_addresses(moved);
	CommandCounterIncrement();
	change_object_owner(classid, objid, owner);
	CommandCounterIncrement();
}

/* Everything in a schema depends on it, so no dependant means empty. */
void
vault_drop_if_empty(Oid namespace)
{
	ObjectAddress address;

	CommandCounterIncrement();
	if (has_dependants(NamespaceRelationId, namespace) || !vault_is_schema(namespace))
		return;
	ObjectAddressSet(address, NamespaceRelationId, namespace);
	performDeletion(&address, DROP_RESTRICT,
					PERFORM_DELETION_INTERNAL | PERFORM_DELETION_QUIETLY);
	CommandCounterIncrement();
}

/* ---- rows of kept_log ---- */

void
check_is_extension_owner(void)
{
	if (!superuser() && GetUserId() != extension_owner())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied"),
				 errdetail("Only the steps of a rollback call this function."),
				 errhint("SELECT safemig_rollback(id);")));
}

bool
kept_same_incarnation(const Kept *kept)
{
	return history_oids_hold(kept_need_detail(kept, "incarnation"));
}

Kept *
kept_start(const ObjectAddress *address, const char *kind, int64 migration,
		   int64 command)
{
	Kept	   *kept = palloc0(sizeof(Kept));

	kept->migration = migration;
	kept->command = command;
	kept->kind = pstrdup(kind);
	kept->object_type = getObjectTypeDescription(address, false);
	kept->identity = getObjectIdentity(address, false);
	kept->part = pstrdup("");
	kept->rows = -1;
	kept->state = pstrdup("kept");
	kept_add_detail(kept, "incarnation", history_incarnation());
	kept_add_detail_oid(kept, "oid", address->objectId);
	return kept;
}

Kept *
kept_of_kind(int64 id, const char *kind)
{
	Kept	   *kept = history_get_kept(id);

	if (strcmp(kept->kind, kind) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("kept data %lld is of kind \"%s\", not \"%s\"",
						(long long) id, kept->kind, kind)));
	return kept;
}

Kept *
kept_to_restore(int64 id, const char *kind)
{
	Kept	   *kept = kept_of_kind(id, kind);

	if (strcmp(kept->state, "kept") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("%s %s is not in the vault any more",
						kept->object_type, kept->identity),
				 errdetail("Kept data %lld is in state \"%s\".",
						   (long long) id, kept->state)));
	return kept;
}

void
kept_add_detail_oid(Kept *kept, const char *name, Oid value)
{
	kept_add_detail(kept, name, psprintf("%u", value));
}

const char *
kept_need_detail(const Kept *kept, const char *name)
{
	const char *value = kept_detail(kept, name);

	if (value == NULL)
		elog(ERROR, "kept data " INT64_FORMAT " has no detail \"%s\"",
			 kept->id, name);
	return value;
}

Oid
kept_detail_oid(const Kept *kept, const char *name)
{
	const char *value = kept_detail(kept, name);

	return value ? atooid(value) : InvalidOid;
}

/* ---- what stands in the way of a restore ---- */

void
report_name_taken(const Kept *kept, const char *what, const char *name, Oid namespace)
{
	ereport(ERROR,
			(errcode(ERRCODE_SAFEMIG_CONFLICT),
			 errmsg("cannot restore %s %s: %s %s already exists",
					kept->object_type, kept->identity, what,
					quote_qualified_identifier(get_namespace_name(namespace), name)),
			 errhint("Rename it, then roll back again.")));
}

Oid
restore_namespace(const Kept *kept, const char *schema)
{
	Oid			namespace = get_namespace_oid(schema, true);

	if (OidIsValid(namespace))
	{
		LockDatabaseObject(NamespaceRelationId, namespace, 0, AccessShareLock);
		if (!SearchSysCacheExists1(NAMESPACEOID, ObjectIdGetDatum(namespace)))
			namespace = InvalidOid;
	}
	if (!OidIsValid(namespace))
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("cannot restore %s %s: schema \"%s\" does not exist",
						kept->object_type, kept->identity, schema),
				 errhint("CREATE SCHEMA %s;", quote_identifier(schema))));
	return namespace;
}

Oid
restore_owner(const Kept *kept, const char *role)
{
	Oid			owner = get_role_oid(role, true);

	if (!OidIsValid(owner))
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("cannot restore %s %s: its owner, role \"%s\", does not exist",
						kept->object_type, kept->identity, role),
				 errhint("CREATE ROLE %s;", quote_identifier(role))));
	return owner;
}

void
check_relation_name_free(const Kept *kept, const char *name, Oid namespace)
{
	if (OidIsValid(get_relname_relid(name, namespace)))
		report_name_taken(kept, "relation", name, namespace);
}

/* An array type made by PostgreSQL gives way, as it does for CREATE TABLE. */
void
check_type_name_free(const Kept *kept, const char *name, Oid namespace)
{
	Oid			taken = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
										CStringGetDatum(name),
										ObjectIdGetDatum(namespace));

	if (OidIsValid(taken) && !moveArrayTypeName(taken, name, namespace))
		report_name_taken(kept, "type", name, namespace);
}

/*
 * The name of the array type is PostgreSQL's own choice, so a name that is
 * taken is no conflict: another one is chosen.
 */
void
make_array_name_free(Oid typid, Oid namespace)
{
	Oid			arrayid = get_array_type(typid);
	HeapTuple	tuple;
	Form_pg_type form;
	char	   *element;
	char	   *name;
	Oid			from;

	if (!OidIsValid(arrayid))
		return;
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(arrayid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", arrayid);
	form = (Form_pg_type) GETSTRUCT(tuple);
	name = pstrdup(NameStr(form->typname));
	from = form->typnamespace;
	ReleaseSysCache(tuple);
	if (!SearchSysCacheExists2(TYPENAMENSP, CStringGetDatum(name),
							   ObjectIdGetDatum(namespace)))
		return;

	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(typid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", typid);
	element = pstrdup(NameStr(((Form_pg_type) GETSTRUCT(tuple))->typname));
	ReleaseSysCache(tuple);
	/* it has to be free on both sides of the move */
	do
	{
		name = makeArrayTypeName(element, namespace);
		element = name;
	} while (SearchSysCacheExists2(TYPENAMENSP, CStringGetDatum(name),
								   ObjectIdGetDatum(from)));
	RenameTypeInternal(arrayid, name, from);
	CommandCounterIncrement();
}
