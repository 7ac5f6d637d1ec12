/*-------------------------------------------------------------------------
 *
 * method.c
 *	  Kept tables whose access method goes.
 *
 * A table cannot be without its access method: those in the vault are
 * rewritten as heaps before it is dropped, and written by it again before they
 * leave the vault.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "commands/defrem.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "history/history.h"
#include "keep/frozen.h"

static List *
vaulted_tables_of(Oid method)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, dependencies_on(AccessMethodRelationId, method))
	{
		Form_pg_depend form = lfirst(lc);

		if (form->classid == RelationRelationId && is_vaulted_table(form->objid))
			relids = lappend_oid(relids, form->objid);
	}
	return relids;
}

static void
set_method(Oid relid, const char *method)
{
	AlterTableCmd *cmd = makeNode(AlterTableCmd);

	cmd->subtype = AT_SetAccessMethod;
	cmd->name = pstrdup(method);
	change_table(relid, list_make1(cmd), false);
	note_storage(relid);
}

/* Before access methods are dropped, when all is in the vault that goes there. */
void
leave_methods(List *methods)
{
	ListCell   *method;
	ListCell   *lc;

	foreach(method, methods)
	{
		foreach(lc, vaulted_tables_of(lfirst_oid(method)))
		{
			Oid			relid = lfirst_oid(lc);
			Kept	   *kept = kept_of_relation(topmost_relation(relid));
			int			n;

			if (kept == NULL)
				elog(ERROR, "relation %u is in the vault, but was not kept there", relid);
			LockRelationOid(relid, AccessExclusiveLock);
			n = begin_note(kept, "method");
			set_note(kept, "method", n, ".schema", get_namespace_name(get_rel_namespace(relid)));
			set_note(kept, "method", n, ".relation", get_rel_name(relid));
			set_note(kept, "method", n, ".name", get_am_name(lfirst_oid(method)));
			history_update_kept(kept);
			set_method(relid, "heap");
		}
	}
}

/* Before the table, or the tree below it, leaves the vault. */
void
return_to_methods(Kept *kept)
{
	for (int n = count_notes(kept, "method"); n > 0; n--)
	{
		const char *method = get_note(kept, "method", n, ".name");
		const char *relation = get_note(kept, "method", n, ".relation");
		Oid			relid = get_relname_relid(relation,
											  get_namespace_oid(get_note(kept, "method", n, ".schema"), false));

		if (!OidIsValid(relid))
			elog(ERROR, "relation \"%s\" is not in the vault", relation);
		if (!OidIsValid(get_am_oid(method, true)))
			ereport(ERROR,
					(errcode(ERRCODE_SAFEMIG_CONFLICT),
					 errmsg("cannot restore %s %s: access method \"%s\" does not exist",
							kept->object_type, kept->identity, method)));
		set_method(relid, method);
	}
}
