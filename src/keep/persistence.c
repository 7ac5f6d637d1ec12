/*-------------------------------------------------------------------------
 *
 * persistence.c
 *	  SET LOGGED and SET UNLOGGED of a table alone.
 *
 * PostgreSQL gives the sequences that the table owns the same persistence.
 * Those may have had another one, which no command of the migration changed:
 * they keep what they have.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

#include "compat.h"
#include "keep/column.h"

PG_FUNCTION_INFO_V1(safemig_set_persistence);

static char *
qualified_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

static void
alter(const char *keyword, Oid relid, bool unlogged)
{
	char	   *sql = psprintf("ALTER %s %s SET %s", keyword,
							   qualified_name(relid),
							   unlogged ? "UNLOGGED" : "LOGGED");

	if (SPI_execute(sql, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not run \"%s\"", sql);
}

static void
set_persistence(Oid relid, bool unlogged)
{
	List	   *sequences = getOwnedSequences(relid);
	List	   *others = NIL;
	List	   *followed = column_keep_follow(relid, NULL);
	ListCell   *lc;

	foreach(lc, sequences)
	{
		if ((get_rel_persistence(lfirst_oid(lc)) == RELPERSISTENCE_UNLOGGED) != unlogged)
			others = lappend_oid(others, lfirst_oid(lc));
	}
	SPI_connect();
	alter("TABLE", relid, unlogged);
	foreach(lc, others)
		alter("SEQUENCE", lfirst_oid(lc), !unlogged);
	SPI_finish();
	/* the table was rewritten */
	foreach(lc, followed)
		column_keep_finish(*(int64 *) lfirst(lc));
}

/* safemig.set_persistence(relation text, unlogged boolean) */
Datum
safemig_set_persistence(PG_FUNCTION_ARGS)
{
	RangeVar   *name = makeRangeVarFromNameList(textToQualifiedNameList(PG_GETARG_TEXT_PP(0)));
	ObjectAddress address;
	Oid			relid;

	check_own_call("set_persistence");
	relid = RangeVarGetRelid(name, AccessExclusiveLock, false);
	ObjectAddressSet(address, RelationRelationId, relid);
	capture_internal_begin("ALTER TABLE", list_make1(&address));
	set_persistence(relid, PG_GETARG_BOOL(1));
	capture_internal_end();
	PG_RETURN_VOID();
}
