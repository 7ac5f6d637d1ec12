/*-------------------------------------------------------------------------
 *
 * security.c
 *	  Who runs what, and under which settings.
 *
 * A frame is a GUC nest level with everything pinned that could change how
 * an object is described or how a statement is read, and, where asked, another
 * user.  It is left by frame_unpin, or by the abort of the (sub)transaction,
 * which resets both.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_proc.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "safemig.h"

static const struct
{
	const char *name;
	const char *value;
}			pinned[] = {
	{"search_path", "pg_catalog, pg_temp"},
	{"DateStyle", "ISO, YMD"},
	{"IntervalStyle", "postgres"},
	{"TimeZone", "UTC"},
	{"extra_float_digits", "3"},
	{"bytea_output", "hex"},
	{"quote_all_identifiers", "off"},
	{"standard_conforming_strings", "on"},
	{"lc_monetary", "C"},
	{"xmloption", "content"},
	{"row_security", "off"},
	{"check_function_bodies", "off"},
	{"transform_null_equals", "off"},
	{"array_nulls", "on"},
	{"default_tablespace", ""},
	{"default_table_access_method", "heap"},
	{"synchronize_seqscans", "off"},
};

/* Their names, by number; NULL after the last. */
const char *
pinned_setting(int number)
{
	return number < (int) lengthof(pinned) ? pinned[number].name : NULL;
}

/* Who calls, and under which settings, as long as the transaction lives. */
Caller *
caller_now(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Caller	   *caller = palloc0(offsetof(Caller, settings) +
								 lengthof(pinned) * sizeof(char *));

	GetUserIdAndSecContext(&caller->userid, &caller->sec_context);
	for (size_t i = 0; i < lengthof(pinned); i++)
	{
		const char *value = GetConfigOption(pinned[i].name, true, false);

		caller->settings[i] = value ? pstrdup(value) : NULL;
	}
	MemoryContextSwitchTo(old);
	return caller;
}

void
frame_pin(Frame *frame)
{
	GetUserIdAndSecContext(&frame->userid, &frame->sec_context);
	frame->guc_level = NewGUCNestLevel();
	frame->loans = NIL;

	/*
	 * Much of what describes an object (pg_get_viewdef) reads the catalogs
	 * with the active snapshot, and that of a command that has just ended does
	 * not see what it did.  CONCURRENTLY commands come here without one.
	 */
	PushCopiedSnapshot(GetTransactionSnapshot());
	UpdateActiveSnapshotCommandId();
	for (size_t i = 0; i < lengthof(pinned); i++)
	{
		const char *now = GetConfigOption(pinned[i].name, false, false);

		/* most are so already; setting one costs more than looking */
		if (now == NULL || strcmp(now, pinned[i].value) != 0)
			(void) set_config_option(pinned[i].name, pinned[i].value,
									 PGC_USERSET, PGC_S_SESSION,
									 GUC_ACTION_SAVE, true, 0, false);
	}
}

/* For statements that the session sends itself: a script. */
void
pin_until_commit(void)
{
	for (size_t i = 0; i < lengthof(pinned); i++)
		(void) set_config_option(pinned[i].name, pinned[i].value,
								 PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
}

void
frame_become_owner(Frame *frame)
{
	frame_pin(frame);
	SetUserIdAndSecContext(extension_owner(),
						   frame->sec_context | SECURITY_LOCAL_USERID_CHANGE);
}

/*
 * For code that belongs to role: nothing that outlives the statement.  What
 * role owns it sees whole, although FORCE ROW LEVEL SECURITY would hide rows:
 * a step is about every row.
 */
void
frame_become(Frame *frame, Oid role)
{
	frame_pin(frame);
	SetUserIdAndSecContext(role,
						   frame->sec_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS);
}

void
frame_unpin(Frame *frame)
{
	PopActiveSnapshot();
	AtEOXact_GUC(false, frame->guc_level);
	SetUserIdAndSecContext(frame->userid, frame->sec_context);
	if (frame->loans != NIL)
		loans_take_back(frame);
}

Oid
extension_owner(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			owner = InvalidOid;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("safemig"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		owner = ((Form_pg_extension) GETSTRUCT(tuple))->extowner;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (!OidIsValid(owner))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"%s\" does not exist", "safemig")));
	return owner;
}

Oid
vault_role(void)
{
	Oid			role = get_role_oid(SAFEMIG_VAULT_ROLE, true);

	if (!OidIsValid(role))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\" does not exist", SAFEMIG_VAULT_ROLE),
				 errdetail("safemig keeps dropped tables under this role, which nobody can be."),
				 errhint("CREATE ROLE %s NOLOGIN;", SAFEMIG_VAULT_ROLE)));
	return role;
}

/*
 * Administering is a right that is granted like any other: EXECUTE on the
 * function safemig_administer().
 */
bool
is_administrator(Oid role)
{
	List	   *name = list_make2(makeString("pg_catalog"),
								  makeString("safemig_administer"));
	Oid			function;

	if (superuser_arg(role) || has_privs_of_role(role, extension_owner()))
		return true;
	function = LookupFuncName(name, 0, NULL, true);
	return OidIsValid(function) &&
		object_aclcheck(ProcedureRelationId, function, role,
						ACL_EXECUTE) == ACLCHECK_OK;
}
