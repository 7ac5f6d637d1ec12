/*-------------------------------------------------------------------------
 *
 * sequence.c
 *	  The position of a sequence, kept before a command changes or drops it.
 *
 * Putting it back must be undone with the transaction that does it, which
 * setval() alone is not: a rehearsal would leave its traces.  So the sequence
 * gets new storage first, as ALTER SEQUENCE RESTART gives it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "keep/vault.h"

PG_FUNCTION_INFO_V1(safemig_restore_position);

int64
sequence_keep_position(Oid seqid, int64 migration, int64 command)
{
	static const char *const columns[] = {"last_value", "is_called", "log_cnt"};
	MemoryContext context = CurrentMemoryContext;
	ObjectAddress address;
	Frame		frame;
	Kept	   *kept;
	char	   *query;

	own_work_begin();
	frame_become_owner(&frame);
	ObjectAddressSet(address, RelationRelationId, seqid);
	kept = kept_start(&address, "position", migration, command);
	query = psprintf("SELECT last_value, is_called, log_cnt FROM %s",
					 quote_qualified_identifier(get_namespace_name(get_rel_namespace(seqid)),
												get_rel_name(seqid)));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute(query, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read sequence %u", seqid);
	for (size_t i = 0; i < lengthof(columns); i++)
	{
		char	   *value = SPI_getvalue(SPI_tuptable->vals[0],
										 SPI_tuptable->tupdesc, i + 1);
		MemoryContext old = MemoryContextSwitchTo(context);

		kept_add_detail(kept, columns[i], value);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	kept->rows = 1;
	kept->id = history_add_kept(kept);
	frame_unpin(&frame);
	own_work_end();
	return kept->id;
}

static Oid
find_sequence(const Kept *kept)
{
	RangeVar   *name = makeRangeVarFromNameList(name_list_from_text(kept->identity));
	Oid			relid = RangeVarGetRelid(name, ShareRowExclusiveLock, true);

	if (!OidIsValid(relid) || get_rel_relkind(relid) != RELKIND_SEQUENCE)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("cannot restore the position of sequence %s: it does not exist",
						kept->identity)));
	return relid;
}

/* safemig.restore_position(kept bigint) */
Datum
safemig_restore_position(PG_FUNCTION_ARGS)
{
	ObjectAddress address;
	const char *called;
	int64		last_value;
	Frame		frame;
	Kept	   *kept;
	Oid			relid;

	check_is_extension_owner();
	kept = kept_to_restore(PG_GETARG_INT64(0), "position");
	last_value = DatumGetInt64(DirectFunctionCall1(int8in,
												   CStringGetDatum(kept_need_detail(kept, "last_value"))));
	called = kept_need_detail(kept, "is_called");

	own_work_begin();
	frame_become_owner(&frame);
	relid = find_sequence(kept);
	ObjectAddressSet(address, RelationRelationId, relid);
	capture_internal_begin("RESTORE POSITION", list_make1(&address));
	capture_internal_moves_sequence();
	ResetSequence(relid);
	CommandCounterIncrement();
	(void) DirectFunctionCall3(setval3_oid, ObjectIdGetDatum(relid),
							   Int64GetDatum(last_value),
							   BoolGetDatum(strcmp(called, "t") == 0));
	history_set_kept_state(kept->id, "restored");
	capture_internal_end();
	frame_unpin(&frame);
	own_work_end();
	PG_RETURN_VOID();
}
