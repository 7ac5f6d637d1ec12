/*-------------------------------------------------------------------------
 *
 * thaw.c
 *	  Frozen rows and types made again, before they leave the vault.
 *
 * What is to be done stands in the details of what was kept (freeze.c).  A
 * table is thawed with the tree below it; a type that it needs and that comes
 * back later is thawed where it is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/typecmds.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "history/history.h"
#include "keep/column.h"
#include "keep/frozen.h"
#include "point.h"

/* ---- what freeze.c also asks ---- */

/* The topmost table; where there are several, each has the whole below it. */
Oid
topmost_relation(Oid relid)
{
	List	   *parents = relation_parents(relid);

	return parents == NIL ? relid : topmost_relation(linitial_oid(parents));
}

Kept *
kept_of_relation(Oid relid)
{
	return history_kept_in_vault("relation",
								 get_namespace_name(get_rel_namespace(relid)),
								 get_rel_name(relid));
}

int
count_notes(const Kept *kept, const char *what)
{
	const char *count = kept_detail(kept, what);

	return count ? atoi(count) : 0;
}

/* ---- thawing ---- */

const char *
get_note(const Kept *kept, const char *what, int n, const char *name)
{
	return kept_detail(kept, psprintf("%s %d%s", what, n, name));
}

/* Nothing of these is the user's code: that was left behind on the way in. */
static void
run_thaw_statements(const Kept *kept)
{
	int			count = count_notes(kept, "thaw");
	Frame		frame;

	frame_become_owner(&frame);
	SPI_connect();
	for (int i = 1; i <= count; i++)
	{
		const char *sql = get_note(kept, "thaw", i, "");

		if (SPI_execute(sql, false, 0) < 0)
			elog(ERROR, "could not run \"%s\"", sql);
	}
	SPI_finish();
	frame_unpin(&frame);
	CommandCounterIncrement();
}

static void
report_not_thawed(const Kept *kept, const char *column, const char *type,
				  const char *problem, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_SAFEMIG_CONFLICT),
			 errmsg("cannot restore %s %s: type %s of column \"%s\" %s",
					kept->object_type, kept->identity, type, column, problem),
			 hint ? errhint("%s", hint) : 0));
}

/* A type that the column needs, made fit for it where it is. */
static void
thaw_needed(Kept *needed)
{
	Oid			relid;

	if (strcmp(needed->kind, "type") == 0)
	{
		vault_thaw_type(needed);
		return;
	}
	relid = get_relname_relid(needed->vault_name,
							  get_namespace_oid(needed->vault_schema, false));
	if (!OidIsValid(relid))
		elog(ERROR, "relation \"%s\" is not in the vault", needed->vault_name);
	relid = topmost_relation(relid);
	vault_thaw_relation(relid, kept_of_relation(relid));
}

/*
 * The type of a column, by the name it has now; it may still be in the vault.
 * Kept values are not handed to whatever has the name of an extension's type.
 */
static bool
find_type(const Kept *kept, int n, Oid *typid, int32 *typmod)
{
	const char *id = get_note(kept, "frozen", n, ".kept");
	const char *extension = get_note(kept, "frozen", n, ".extension");
	Kept	   *needed = id ? history_get_kept(strtoll(id, NULL, 10)) : NULL;
	Oid			element;
	Oid			owner;

	if (needed && strcmp(needed->state, "kept") == 0)
	{
		thaw_needed(needed);
		return type_from_string(get_note(kept, "frozen", n, ".kept type"), typid, typmod);
	}
	if (!type_from_string(get_note(kept, "frozen", n, ".type"), typid, typmod))
		return false;
	if (extension == NULL)
		return true;
	element = get_element_type(*typid);
	owner = getExtensionOfObject(TypeRelationId, OidIsValid(element) ? element : *typid);
	return OidIsValid(owner) && owner == get_extension_oid(extension, true);
}

/*
 * The vault's role, as whom values are read, may lack USAGE of the type.  Until
 * it is given back nobody else sees it.
 */
static Acl *
lend_type(const ObjectAddress *type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type->objectId));
	bool		isnull;
	Datum		value;
	Acl		   *acl;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type->objectId);
	value = SysCacheGetAttr(TYPEOID, tuple, Anum_pg_type_typacl, &isnull);
	acl = isnull ? NULL : DatumGetAclPCopy(value);
	ReleaseSysCache(tuple);
	if (acl)
		acl_store(type, NULL);
	CommandCounterIncrement();
	return acl;
}

static void
give_back_type(const ObjectAddress *type, Acl *acl)
{
	if (acl)
		acl_store(type, acl);
	CommandCounterIncrement();
}

static void
thaw_column(const Kept *kept, int n)
{
	const char *column = get_note(kept, "frozen", n, ".column");
	const char *type = get_note(kept, "frozen", n, ".type");
	const char *collation = get_note(kept, "frozen", n, ".collation");
	Oid			relid = get_relname_relid(get_note(kept, "frozen", n, ".relation"),
										  get_namespace_oid(get_note(kept, "frozen", n, ".schema"), false));
	Oid			collation_oid = InvalidOid;
	ObjectAddress lent;
	Acl		   *acl;
	Oid			typid;
	int32		typmod;

	if (!OidIsValid(relid))
		elog(ERROR, "relation \"%s\" is not in the vault",
			 get_note(kept, "frozen", n, ".relation"));
	LockRelationOid(relid, AccessExclusiveLock);
	if (!find_type(kept, n, &typid, &typmod))
		report_not_thawed(kept, column, type, "does not exist",
						  "CREATE EXTENSION brings it back, where it was an extension's.");
	if (collation)
		collation_oid = get_collation_oid(qualified_name_list(collation), false);
	if (!column_is_proved(relid, column, typid, true))
		report_not_thawed(kept, column, type, "does not hold the kept values as it did", NULL);
	/* an array has its element's privileges */
	ObjectAddressSet(lent, TypeRelationId,
					 OidIsValid(get_element_type(typid)) ? get_element_type(typid) : typid);
	acl = lend_type(&lent);
	change_table(relid,
				 list_make1(type_change(relid, get_attnum(relid, column), typid, typmod,
										collation_oid,
										atoi(get_note(kept, "frozen", n, ".dimensions")))),
				 true);
	give_back_type(&lent, acl);
}

static void
clear_notes(Kept *kept)
{
	kept_add_detail(kept, "frozen", "0");
	kept_add_detail(kept, "thaw", "0");
	kept_add_detail(kept, "method", "0");
	history_update_kept(kept);
}

/* Before a table, or the tree below it, leaves the vault. */
void
vault_thaw_relation(Oid relid, Kept *kept)
{
	int			count = count_notes(kept, "frozen");

	if (count == 0 && count_notes(kept, "thaw") == 0 &&
		count_notes(kept, "method") == 0)
		return;
	own_work_begin();
	for (int i = count; i > 0; i--)
		thaw_column(kept, i);
	SAFEMIG_POINT("thaw.columns");
	return_to_methods(kept);
	if (count > 0)
		note_storage(relid);
	run_thaw_statements(kept);
	clear_notes(kept);
	own_work_end();
}

/* Before a type leaves the vault: it gets another OID. */
void
vault_thaw_type(Kept *kept)
{
	Oid			typid;

	if (count_notes(kept, "thaw") == 0)
		return;
	own_work_begin();
	vault_schema_again(kept);
	run_thaw_statements(kept);
	typid = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
							CStringGetDatum(kept->vault_name),
							ObjectIdGetDatum(get_namespace_oid(kept->vault_schema, false)));
	AlterTypeOwner_oid(typid, vault_role(), true);
	CommandCounterIncrement();
	kept_add_detail_oid(kept, "oid", typid);
	clear_notes(kept);
	own_work_end();
}
