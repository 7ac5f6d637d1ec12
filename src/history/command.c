/*-------------------------------------------------------------------------
 *
 * command.c
 *	  Commands and their changes: into the history and out of it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "history/history.h"
#include "point.h"

/* of command_log: what it is, and what it took */
#define COMMAND_COLUMNS	12
#define FACT_COLUMNS	9

static Datum
text_array(List *list)
{
	ArrayBuildState *state = NULL;
	ListCell   *lc;

	foreach(lc, list)
		state = accumArrayResult(state, CStringGetTextDatum(lfirst(lc)), false,
								 TEXTOID, CurrentMemoryContext);
	return state ? makeArrayResult(state, CurrentMemoryContext) : (Datum) 0;
}

static Datum
optional(const char *value, bool *isnull)
{
	*isnull = value == NULL;
	return value ? CStringGetTextDatum(value) : (Datum) 0;
}

static void
write_change(RecordedCommand *command, Change *change, int ord,
			 const char *incarnation)
{
	Image	   *image = change->before ? change->before : change->after;
	char		action[2] = {change->action, '\0'};
	Datum		values[15];
	bool		nulls[15] = {false};

	values[0] = Int64GetDatum(command->seq);
	values[1] = Int32GetDatum(ord);
	values[2] = Int64GetDatum(command->migration);
	values[3] = CStringGetTextDatum(action);
	values[4] = CStringGetTextDatum(image->type);
	values[5] = optional(change->before ? change->before->identity : NULL, &nulls[5]);
	values[6] = optional(change->after ? change->after->identity : NULL, &nulls[6]);
	values[7] = optional(image->parent_identity, &nulls[7]);
	values[8] = ObjectIdGetDatum(image->address.classId);
	values[9] = ObjectIdGetDatum(image->address.objectId);
	values[10] = CStringGetTextDatum(incarnation);
	nulls[11] = change->before == NULL;
	if (change->before)
		values[11] = PointerGetDatum(image_to_array(change->before, NULL));
	nulls[12] = change->after == NULL;
	if (change->after)
		values[12] = PointerGetDatum(image_to_array(change->after, change->before));
	nulls[13] = change->before == NULL || change->before->kept == 0;
	values[13] = Int64GetDatum(nulls[13] ? 0 : change->before->kept);
	values[14] = Int32GetDatum(server_version());
	history_insert("change_log", values, nulls, lengthof(values));
}

static void
put_facts(const Facts *facts, Datum *values, bool *nulls)
{
	memset(nulls, facts == NULL, FACT_COLUMNS);
	if (facts == NULL)
		return;
	values[0] = Float8GetDatum(facts->own_ms);
	values[1] = Float8GetDatum(facts->waited_ms);
	values[2] = text_array(facts->locks);
	nulls[2] = facts->locks == NIL;
	values[3] = Int64GetDatum(facts->locked);
	nulls[3] = facts->locked < 0;
	values[4] = Int64GetDatum(facts->wal_bytes);
	values[5] = Int64GetDatum(facts->own_wal_bytes);
	values[6] = Int64GetDatum(facts->written_bytes);
	values[7] = CStringGetTextDatum(facts->cost);
	values[8] = Int64GetDatum(facts->table_bytes);
	nulls[8] = facts->table_bytes < 0;
}

void
history_write_command(RecordedCommand *command, const char *query,
					  const char *search_path, TimestampTz started, double ms,
					  List *rewrote)
{
	Steps		steps = {.list = command->steps};
	Datum		values[COMMAND_COLUMNS + FACT_COLUMNS];
	bool		nulls[COMMAND_COLUMNS + FACT_COLUMNS] = {false};
	char	   *incarnation = history_incarnation();
	ListCell   *lc;
	int			ord = 0;

	values[0] = Int64GetDatum(command->seq);
	values[1] = Int64GetDatum(command->migration);
	values[2] = CStringGetTextDatum(command->tag);
	values[3] = optional(query, &nulls[3]);
	values[4] = CStringGetTextDatum(GetUserNameFromId(GetOuterUserId(), false));
	values[5] = CStringGetTextDatum(search_path);
	values[6] = TimestampTzGetDatum(started);
	values[7] = Float8GetDatum(ms);
	values[8] = text_array(rewrote);
	nulls[8] = rewrote == NIL;
	values[9] = PointerGetDatum(steps_to_array(&steps));
	values[10] = optional(command->irreversible, &nulls[10]);
	values[11] = optional(command->unkept, &nulls[11]);
	put_facts(command->facts, values + COMMAND_COLUMNS, nulls + COMMAND_COLUMNS);
	history_insert("command_log", values, nulls, lengthof(values));
	SAFEMIG_POINT("history.command");
	foreach(lc, command->changes)
		write_change(command, lfirst(lc), ++ord, incarnation);
	history_note_touched(command);
	CommandCounterIncrement();
	SAFEMIG_POINT("history.changes");
}

/* A table whose rows, not whose definition, the command is about. */
void
history_add_table(RecordedCommand *command, Oid relid, char action, const Kept *kept)
{
	Change	   *change = palloc0(sizeof(Change));
	ObjectAddress address;

	ObjectAddressSet(address, RelationRelationId, relid);
	change->action = action;
	change->before = image_take(&address);
	change->after = image_take(&address);
	if (kept)
		change->before->kept = kept->id;
	command->changes = lappend(command->changes, change);
}

static void
delete_rows(const char *query, int64 seq)
{
	Oid			type = INT8OID;
	Datum		arg = Int64GetDatum(seq);

	if (SPI_execute_with_args(query, 1, &type, &arg, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not remove command " INT64_FORMAT, seq);
}

/* Of a command that is about to be written again, with its final state. */
void
history_forget_command(int64 seq)
{
	SPI_connect();
	delete_rows("DELETE FROM safemig.change_log WHERE command OPERATOR(pg_catalog.=) $1", seq);
	delete_rows("DELETE FROM safemig.command_log WHERE seq OPERATOR(pg_catalog.=) $1", seq);
	SPI_finish();
}

/* ---- reading ---- */

static ArrayType *
array_or_null(HeapTuple tuple, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, SPI_tuptable->tupdesc, column, &isnull);

	return isnull ? NULL : DatumGetArrayTypePCopy(value);
}

/*
 * The images of a row of change_log, whose columns before, after and server
 * stand, in that order, from column on.
 */
void
history_read_images(HeapTuple tuple, int column, Image **before, Image **after)
{
	ArrayType  *first = array_or_null(tuple, column);
	ArrayType  *second = array_or_null(tuple, column + 1);

	int			version;
	bool		isnull;

	*before = first ? image_from_array(first, NULL) : NULL;
	*after = second ? image_from_array(second, first) : NULL;
	version = DatumGetInt32(SPI_getbinval(tuple, SPI_tuptable->tupdesc, column + 2, &isnull));
	if (*before)
		image_from_version(*before, version);
	if (*after)
		image_from_version(*after, version);
}

/* OIDs in the images say nothing in a database that was loaded from a dump. */
static void
mark_elsewhere(Change *change)
{
	if (change->before)
		change->before->elsewhere = true;
	if (change->after)
		change->after->elsewhere = true;
}

List *
history_changes(int64 seq)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			type = INT8OID;
	Datum		arg = Int64GetDatum(seq);
	List	   *list = NIL;
	bool		elsewhere = false;

	SPI_connect();
	if (SPI_execute_with_args("SELECT action, before, after, server, incarnation FROM safemig.change_log"
							  " WHERE command OPERATOR(pg_catalog.=) $1 ORDER BY ord",
							  1, &type, &arg, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read change_log");
	/* those of one command were written together */
	if (SPI_processed > 0)
		elsewhere = !history_oids_hold(SPI_getvalue(SPI_tuptable->vals[0],
													SPI_tuptable->tupdesc, 5));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		MemoryContext old = MemoryContextSwitchTo(context);
		Change	   *change = palloc0(sizeof(Change));

		change->action = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 1)[0];
		history_read_images(tuple, 2, &change->before, &change->after);
		if (elsewhere)
			mark_elsewhere(change);
		list = lappend(list, change);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return list;
}

/* All commands of these migrations (a list of int64*), newest first. */
List *
history_commands(List *migrations)
{
	MemoryContext context = CurrentMemoryContext;
	Datum	   *elems = palloc(sizeof(Datum) * Max(1, list_length(migrations)));
	Oid			type = INT8ARRAYOID;
	Datum		arg;
	List	   *list = NIL;
	ListCell   *lc;
	int			n = 0;

	foreach(lc, migrations)
		elems[n++] = Int64GetDatum(*(int64 *) lfirst(lc));
	arg = PointerGetDatum(construct_array(elems, n, INT8OID, sizeof(int64),
										  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	SPI_connect();
	if (SPI_execute_with_args("SELECT seq, migration, tag, irreversible, reverse, unkept"
							  " FROM safemig.command_log"
							  " WHERE migration OPERATOR(pg_catalog.=) ANY ($1)"
							  " ORDER BY seq DESC",
							  1, &type, &arg, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read command_log");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		MemoryContext old = MemoryContextSwitchTo(context);
		RecordedCommand *command = palloc0(sizeof(RecordedCommand));
		bool		isnull;

		command->seq = DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
		command->migration = DatumGetInt64(SPI_getbinval(tuple, desc, 2, &isnull));
		command->tag = SPI_getvalue(tuple, desc, 3);
		command->irreversible = SPI_getvalue(tuple, desc, 4);
		command->steps = steps_from_array(DatumGetArrayTypePCopy(SPI_getbinval(tuple, desc, 5, &isnull)));
		command->unkept = SPI_getvalue(tuple, desc, 6);
		list = lappend(list, command);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	foreach(lc, list)
	{
		RecordedCommand *command = lfirst(lc);

		command->changes = history_changes(command->seq);
	}
	return list;
}
