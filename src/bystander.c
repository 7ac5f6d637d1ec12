/*-------------------------------------------------------------------------
 *
 * bystander.c
 *	  Event triggers of others, while a rollback runs its statements.
 *
 * A step runs as the extension's owner or as the owner of an object, under
 * pinned settings.  An event trigger of the user's must see neither: with the
 * rights of a superuser it would be the caller's way to them (by his
 * search_path, say), and with a search_path that is not the session's it would
 * not find its tables.  So its function runs as it would if the caller had
 * issued the statement himself: as him, under the settings that he called the
 * rollback with.  SECURITY DEFINER and SET of the function go before.
 *
 * PostgreSQL's function manager lets a hook do so around the call.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "compat.h"
#include "safemig.h"

/* A call that runs as the caller of the rollback; calls nest. */
typedef struct Call
{
	struct Call *outer;
	Oid			function;
	Oid			userid;			/* InvalidOid: SECURITY DEFINER, let alone */
	int			sec_context;
	int			guc_level;		/* 0: the function manager has one */
} Call;

static Call *calls = NULL;
static needs_fmgr_hook_type next_needs_fmgr_hook = NULL;
static fmgr_hook_type next_fmgr_hook = NULL;

static bool
is_bystander(Oid function)
{
	HeapTuple	tuple;
	Form_pg_proc form;
	bool		result;

	if (safemig_state.caller == NULL)
		return false;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_proc) GETSTRUCT(tuple);
	result = form->prorettype == EVENT_TRIGGEROID &&
		form->pronamespace != get_namespace_oid(SAFEMIG_SCHEMA, false);
	ReleaseSysCache(tuple);
	return result;
}

static bool
needs_hook(Oid function)
{
	return (next_needs_fmgr_hook && next_needs_fmgr_hook(function)) ||
		is_bystander(function);
}

/* Does the function itself set it?  config is its proconfig, or NULL. */
static bool
is_set_by_function(ArrayType *config, const char *name)
{
	Datum	   *elems;
	int			n;
	size_t		len = strlen(name);

	if (config == NULL)
		return false;
	deconstruct_array(config, TEXTOID, -1, false, TYPALIGN_INT, &elems, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *setting = TextDatumGetCString(elems[i]);

		if (pg_strncasecmp(setting, name, len) == 0 && setting[len] == '=')
			return true;
	}
	return false;
}

static void
call_begin(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Call	   *call = MemoryContextAllocZero(TopTransactionContext, sizeof(Call));
	ArrayType  *config;
	Datum		datum;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	datum = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proconfig, &isnull);
	config = isnull ? NULL : DatumGetArrayTypePCopy(datum);
	call->function = function;
	if (!((Form_pg_proc) GETSTRUCT(tuple))->prosecdef)
	{
		GetUserIdAndSecContext(&call->userid, &call->sec_context);
		SetUserIdAndSecContext(safemig_state.caller->userid,
							   safemig_state.caller->sec_context);
	}
	ReleaseSysCache(tuple);
	if (config == NULL)
		call->guc_level = NewGUCNestLevel();
	for (int i = 0; pinned_setting(i); i++)
	{
		const char *value = safemig_state.caller->settings[i];

		if (value && !is_set_by_function(config, pinned_setting(i)))
			(void) set_config_option(pinned_setting(i), value, PGC_USERSET,
									 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	}
	call->outer = calls;
	calls = call;
}

/* After an error the abort brings user and settings back. */
static void
call_end(bool failed)
{
	Call	   *call = calls;

	calls = call->outer;
	if (failed)
		return;
	if (call->guc_level > 0)
		AtEOXact_GUC(false, call->guc_level);
	if (OidIsValid(call->userid))
		SetUserIdAndSecContext(call->userid, call->sec_context);
	pfree(call);
}

static void
on_call(FmgrHookEventType event, FmgrInfo *flinfo, Datum *private)
{
	if (next_fmgr_hook)
		next_fmgr_hook(event, flinfo, private);
	if (event == FHET_START)
	{
		if (is_bystander(flinfo->fn_oid))
			call_begin(flinfo->fn_oid);
	}
	else if (calls && calls->function == flinfo->fn_oid)
		call_end(event == FHET_ABORT);
}

void
bystander_init(void)
{
	next_needs_fmgr_hook = needs_fmgr_hook;
	needs_fmgr_hook = needs_hook;
	next_fmgr_hook = fmgr_hook;
	fmgr_hook = on_call;
}

/* Nothing is under way any more, however it ended. */
void
bystander_forget(void)
{
	calls = NULL;
}
