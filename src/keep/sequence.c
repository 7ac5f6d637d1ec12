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

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_sequence.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "capture/written.h"
#include "compat.h"
#include "keep/column.h"
#include "keep/vault.h"
#include "progress.h"

PG_FUNCTION_INFO_V1(safemig_restore_position);
PG_FUNCTION_INFO_V1(safemig_restore_sequence);

static int64
read_position(Oid seqid, bool *called)
{
	int64		last;
	bool		isnull;

	SPI_connect();
	if (SPI_execute(psprintf("SELECT last_value, is_called FROM %s",
							 quote_qualified_identifier(get_namespace_name(get_rel_namespace(seqid)),
														get_rel_name(seqid))),
					false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read sequence %u", seqid);
	last = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	*called = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	SPI_finish();
	return last;
}

static int64
read_increment(Oid seqid)
{
	HeapTuple	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(seqid));
	int64		increment;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for sequence %u", seqid);
	increment = ((Form_pg_sequence) GETSTRUCT(tuple))->seqincrement;
	ReleaseSysCache(tuple);
	return increment;
}

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

/* As sequence_keep_position, and never called for what the user may not see. */
void
sequence_read_position(Oid seqid, SequencePosition *position)
{
	Relation	rel = relation_open(seqid, AccessShareLock);
	Buffer		buffer = ReadBuffer(rel, 0);
	Page		page;
	HeapTupleData tuple;
	ItemId		item;
	Form_pg_sequence_data data;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	item = PageGetItemId(page, FirstOffsetNumber);
	tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
	data = (Form_pg_sequence_data) GETSTRUCT(&tuple);
	position->last_value = data->last_value;
	position->log_cnt = data->log_cnt;
	position->is_called = data->is_called;
	UnlockReleaseBuffer(buffer);
	relation_close(rel, AccessShareLock);
}

/* ---- numbers that a session took in advance ---- */

typedef struct LastNumber
{
	Oid			seqid;
	int64		value;
} LastNumber;

static bool
read_last_number(void *arg)
{
	LastNumber *last = arg;

	last->value = DatumGetInt64(DirectFunctionCall1(currval_oid, ObjectIdGetDatum(last->seqid)));
	return true;
}

/*
 * Of a sequence with a cache, may somebody have numbers left that he can give
 * to rows without moving it?  Not if setval() moved it: nextval() logs more
 * numbers than it takes.
 */
bool
sequence_has_numbers_out(Oid seqid)
{
	HeapTuple	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(seqid));
	LastNumber	last = {seqid, 0};
	SequencePosition position;
	ErrorData  *error;
	Frame		frame;
	int64		cache;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for sequence %u", seqid);
	cache = ((Form_pg_sequence) GETSTRUCT(tuple))->seqcache;
	ReleaseSysCache(tuple);
	if (cache == 1)
		return false;
	frame_become_owner(&frame);
	error = attempt(read_last_number, &last);
	frame_unpin(&frame);
	sequence_read_position(seqid, &position);
	return error != NULL || last.value != position.last_value || position.log_cnt != 0;
}

Kept *
sequence_keep_noted(Oid seqid, Oid relid, const SequencePosition *position,
					int64 migration, int64 command)
{
	ObjectAddress address;
	Kept	   *kept;

	ObjectAddressSet(address, RelationRelationId, seqid);
	kept = kept_start(&address, "position", migration, command);
	kept_add_detail(kept, "last_value", psprintf(INT64_FORMAT, position->last_value));
	kept_add_detail(kept, "is_called", position->is_called ? "t" : "f");
	kept_add_detail(kept, "log_cnt", psprintf(INT64_FORMAT, position->log_cnt));
	if (OidIsValid(relid))
		kept_add_detail(kept, "used by",
						quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
												   get_rel_name(relid)));
	kept->rows = 1;
	kept->id = history_add_kept(kept);
	sequence_note_after(kept->id, seqid);
	return kept;
}

/* Where the command that moved it left it: from there on it was used. */
void
sequence_note_after(int64 id, Oid seqid)
{
	Kept	   *kept = history_get_kept(id);
	bool		called;
	int64		last = read_position(seqid, &called);

	kept_add_detail(kept, "after", psprintf(INT64_FORMAT " %c", last, called ? 't' : 'f'));
	history_update_kept(kept);
}

/* A position that is to be put back, and the one from which. */
typedef struct Return
{
	Oid			seqid;
	int64		last_value;
	bool		called;
	int64		now;
	bool		now_called;
} Return;

/*
 * A sequence that was used since the command is never put back below, or with
 * a negative increment above, a value that has been given out.
 */
static void
not_below_use(const Kept *kept, Return *to)
{
	const char *after = kept_detail(kept, "after");
	int64		increment;

	if (after == NULL ||
		strcmp(after, psprintf(INT64_FORMAT " %c", to->now, to->now_called ? 't' : 'f')) == 0)
		return;
	increment = read_increment(to->seqid);
	if (increment > 0 ? to->now > to->last_value : to->now < to->last_value)
	{
		to->last_value = to->now;
		to->called = true;
	}
}

/* The column that the sequence belongs to, in that relation or a child. */
static AttrNumber
owning_column(Oid seqid, Oid relid, Oid child)
{
	Oid			owner;
	int32		attnum;

	if (!sequenceIsOwned(seqid, DEPENDENCY_INTERNAL, &owner, &attnum) &&
		!sequenceIsOwned(seqid, DEPENDENCY_AUTO, &owner, &attnum))
		return InvalidAttrNumber;
	return owner == relid ?
		get_attnum(child, get_attname(relid, attnum, false)) : InvalidAttrNumber;
}

static int64
integer_value(Datum value, Oid type)
{
	return type == INT2OID ? DatumGetInt16(value) :
		type == INT4OID ? DatumGetInt32(value) : DatumGetInt64(value);
}

/*
 * Is a value in use that the sequence gave, or may have given, after from?
 * What lies beyond its position now came from elsewhere.
 */
static bool
is_used_beyond(const Return *to, Oid relid, Oid child)
{
	AttrNumber	attnum = owning_column(to->seqid, relid, child);
	bool		rising = read_increment(to->seqid) > 0;
	int64		from = to->last_value;
	Relation	rel;
	TupleTableSlot *slot;
	Snapshot	snapshot;
	TableScanDesc scan;
	Progress	progress;
	Oid			type;
	bool		used = false;

	if (attnum <= 0 || get_rel_relkind(child) != RELKIND_RELATION)
		return false;
	type = getBaseType(get_atttype(child, attnum));
	if (type != INT2OID && type != INT4OID && type != INT8OID)
		return true;			/* cannot be told */
	rel = table_open(child, AccessExclusiveLock);
	slot = table_slot_create(rel, NULL);
	scan = plain_scan_begin(rel, &snapshot);
	progress_begin_scan(&progress, PROGRESS_READING, rel);
	while (!used && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		Datum		value = slot_getattr(slot, attnum, &isnull);
		int64		number = isnull ? from : integer_value(value, type);

		CHECK_FOR_INTERRUPTS();
		progress_row(&progress, slot);
		used = rising ? number > from && number <= to->now : number < from && number >= to->now;
		if (!isnull && !to->called && number == from)
			used = true;
	}
	progress_end(&progress);
	plain_scan_end(scan, snapshot);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
	return used;
}

/*
 * Others may have used the sequence while the migration did: their rows tell.
 * If there is one, the sequence stays where it is.
 */
static void
not_below_rows(const Kept *kept, Return *to)
{
	const char *table = kept_detail(kept, "used by");
	Oid			relid;
	ListCell   *lc;

	if (table == NULL)
		return;
	relid = RangeVarGetRelid(makeRangeVarFromNameList(qualified_name_list(table)),
							 AccessExclusiveLock, true);
	if (!OidIsValid(relid))
		return;
	foreach(lc, find_all_inheritors(relid, AccessExclusiveLock, NULL))
	{
		/* one that the migration made goes with its rows */
		if (!data_made_by_migration(kept->migration, lfirst_oid(lc)) &&
			is_used_beyond(to, relid, lfirst_oid(lc)))
		{
			to->last_value = to->now;
			to->called = to->now_called;
			return;
		}
	}
}

static Oid
find_sequence(const Kept *kept)
{
	RangeVar   *name = makeRangeVarFromNameList(qualified_name_list(kept->identity));
	Oid			relid = RangeVarGetRelid(name, ShareRowExclusiveLock, true);

	if (!OidIsValid(relid) || get_rel_relkind(relid) != RELKIND_SEQUENCE)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("cannot restore the position of sequence %s: it does not exist",
						kept->identity)));
	return relid;
}

/*
 * Where bounds come back which the sequence is out of now, PostgreSQL takes
 * them together with the position alone.
 */
static void
set_options(const Return *to, const char *options)
{
	SPI_connect();
	if (SPI_execute(psprintf("ALTER SEQUENCE %s %s RESTART WITH " INT64_FORMAT,
							 quote_qualified_identifier(get_namespace_name(get_rel_namespace(to->seqid)),
														get_rel_name(to->seqid)),
							 options, to->last_value),
					false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not alter sequence %u", to->seqid);
	SPI_finish();
	CommandCounterIncrement();
}

/* options: NULL for those that it has */
static void
restore_sequence(int64 id, const char *options)
{
	ObjectAddress address;
	Return		to;
	Frame		frame;
	Kept	   *kept;

	check_is_extension_owner();
	kept = kept_to_restore(id, "position");
	to.last_value = DatumGetInt64(DirectFunctionCall1(int8in,
													  CStringGetDatum(kept_need_detail(kept, "last_value"))));
	to.called = strcmp(kept_need_detail(kept, "is_called"), "t") == 0;

	own_work_begin();
	frame_become_owner(&frame);
	to.seqid = find_sequence(kept);
	to.now = read_position(to.seqid, &to.now_called);
	ObjectAddressSet(address, RelationRelationId, to.seqid);
	capture_internal_begin("RESTORE POSITION", list_make1(&address));
	capture_internal_moves_sequence();
	if (options)
		set_options(&to, options);
	not_below_use(kept, &to);
	not_below_rows(kept, &to);
	ResetSequence(to.seqid);
	CommandCounterIncrement();
	(void) DirectFunctionCall3(setval3_oid, ObjectIdGetDatum(to.seqid),
							   Int64GetDatum(to.last_value),
							   BoolGetDatum(to.called));
	history_set_kept_state(kept->id, "restored");
	capture_internal_end();
	frame_unpin(&frame);
	own_work_end();
}

/* safemig.restore_position(kept bigint) */
Datum
safemig_restore_position(PG_FUNCTION_ARGS)
{
	restore_sequence(PG_GETARG_INT64(0), NULL);
	PG_RETURN_VOID();
}

/* safemig.restore_sequence(kept bigint, options text) */
Datum
safemig_restore_sequence(PG_FUNCTION_ARGS)
{
	restore_sequence(PG_GETARG_INT64(0), text_to_cstring(PG_GETARG_TEXT_PP(1)));
	PG_RETURN_VOID();
}
