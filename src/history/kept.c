/*-------------------------------------------------------------------------
 *
 * kept.c
 *	  What is kept, and where: safemig.kept_log.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "history/history.h"
#include "point.h"

const char *
kept_detail(const Kept *kept, const char *name)
{
	for (int i = 0; i + 1 < list_length(kept->details); i += 2)
	{
		if (strcmp(list_nth(kept->details, i), name) == 0)
			return list_nth(kept->details, i + 1);
	}
	return NULL;
}

/* A detail that is there already gets the new value. */
void
kept_add_detail(Kept *kept, const char *name, const char *value)
{
	for (int i = 0; i + 1 < list_length(kept->details); i += 2)
	{
		if (strcmp(list_nth(kept->details, i), name) == 0)
		{
			lfirst(list_nth_cell(kept->details, i + 1)) = pstrdup(value);
			return;
		}
	}
	kept->details = lappend(kept->details, pstrdup(name));
	kept->details = lappend(kept->details, pstrdup(value));
}

static Datum
text_list_to_array(List *list)
{
	ArrayBuildState *state = NULL;
	ListCell   *lc;

	if (list == NIL)
		return PointerGetDatum(construct_empty_array(TEXTOID));
	foreach(lc, list)
		state = accumArrayResult(state, CStringGetTextDatum(lfirst(lc)), false,
								 TEXTOID, CurrentMemoryContext);
	return makeArrayResult(state, CurrentMemoryContext);
}

static Datum
text_or_null(const char *value, bool *isnull)
{
	*isnull = value == NULL;
	return value ? CStringGetTextDatum(value) : (Datum) 0;
}

int64
history_add_kept(Kept *kept)
{
	Datum		values[14];
	bool		nulls[14] = {false};

	if (kept->id == 0)
		kept->id = history_nextval("kept_id");
	values[0] = Int64GetDatum(kept->id);
	values[1] = Int64GetDatum(kept->migration);
	values[2] = Int64GetDatum(kept->command);
	values[3] = CStringGetTextDatum(kept->kind);
	values[4] = CStringGetTextDatum(kept->object_type);
	values[5] = CStringGetTextDatum(kept->identity);
	values[6] = CStringGetTextDatum(kept->part ? kept->part : "");
	values[7] = text_or_null(kept->vault_schema, &nulls[7]);
	values[8] = text_or_null(kept->vault_name, &nulls[8]);
	values[9] = Int64GetDatum(kept->rows);
	values[10] = Int64GetDatum(kept->bytes);
	values[11] = text_or_null(kept->checksum, &nulls[11]);
	values[12] = CStringGetTextDatum(kept->state ? kept->state : "kept");
	values[13] = text_list_to_array(kept->details);
	history_insert("kept_log", values, nulls, lengthof(values));
	SAFEMIG_POINT("history.kept");
	CommandCounterIncrement();
	return kept->id;
}

static char *
column_text(HeapTuple tuple, int column)
{
	return SPI_getvalue(tuple, SPI_tuptable->tupdesc, column);
}

static List *
details_from_array(Datum array)
{
	Datum	   *elems;
	int			nelems;
	List	   *list = NIL;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false,
					  TYPALIGN_INT, &elems, NULL, &nelems);
	for (int i = 0; i < nelems; i++)
		list = lappend(list, TextDatumGetCString(elems[i]));
	return list;
}

static void
report_pruned(const Kept *kept)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			type = INT8OID;
	Datum		arg = Int64GetDatum(kept->id);
	char	   *detail = NULL;

	SPI_connect();
	if (SPI_execute_with_args("SELECT pg_catalog.format('\"%s\" pruned what migration %s kept%s.',"
							  " role, migration, ': ' OPERATOR(pg_catalog.||) reason)"
							  " FROM safemig.prune_log WHERE kept OPERATOR(pg_catalog.=) $1",
							  1, &type, &arg, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read prune_log");
	if (SPI_processed > 0)
		detail = MemoryContextStrdup(context, column_text(SPI_tuptable->vals[0], 1));
	SPI_finish();
	ereport(ERROR,
			(errcode(ERRCODE_SAFEMIG_PRUNED),
			 errmsg("the data kept of %s %s was pruned",
					kept->object_type, kept->identity),
			 detail ? errdetail_internal("%s", detail) : 0,
			 errhint("SELECT * FROM safemig.pruned WHERE id = %lld; says when. SELECT safemig_recovery_target(%lld); says how far to recover a backup.",
					 (long long) kept->id, (long long) kept->migration)));
}

/* Found and still kept, or an error that says what became of it. */
Kept *
history_get_kept(int64 id)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext old;
	Oid			type = INT8OID;
	Datum		arg = Int64GetDatum(id);
	Kept	   *kept;
	HeapTuple	tuple;
	bool		isnull;
	Datum		details;

	SPI_connect();
	if (SPI_execute_with_args("SELECT id, migration, command, kind, object_type, identity, part,"
							  " vault_schema, vault_name, rows, bytes, checksum, state, details"
							  " FROM safemig.kept_log WHERE id OPERATOR(pg_catalog.=) $1",
							  1, &type, &arg, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read kept_log");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_PRUNED),
				 errmsg("kept data %lld is not there", (long long) id)));
	old = MemoryContextSwitchTo(context);
	tuple = SPI_tuptable->vals[0];
	kept = palloc0(sizeof(Kept));
	kept->id = id;
	kept->migration = strtoll(column_text(tuple, 2), NULL, 10);
	kept->command = strtoll(column_text(tuple, 3), NULL, 10);
	kept->kind = column_text(tuple, 4);
	kept->object_type = column_text(tuple, 5);
	kept->identity = column_text(tuple, 6);
	kept->part = column_text(tuple, 7);
	kept->vault_schema = column_text(tuple, 8);
	kept->vault_name = column_text(tuple, 9);
	kept->rows = strtoll(column_text(tuple, 10), NULL, 10);
	kept->bytes = strtoll(column_text(tuple, 11), NULL, 10);
	kept->checksum = column_text(tuple, 12);
	kept->state = column_text(tuple, 13);
	details = SPI_getbinval(tuple, SPI_tuptable->tupdesc, 14, &isnull);
	if (!isnull)
		kept->details = details_from_array(details);
	MemoryContextSwitchTo(old);
	SPI_finish();

	if (strcmp(kept->state, "pruned") == 0)
		report_pruned(kept);
	return kept;
}

void
history_set_kept_state(int64 id, const char *state)
{
	Oid			types[2] = {INT8OID, TEXTOID};
	Datum		args[2] = {Int64GetDatum(id), CStringGetTextDatum(state)};

	SPI_connect();
	if (SPI_execute_with_args("UPDATE safemig.kept_log SET state = $2"
							  " WHERE id OPERATOR(pg_catalog.=) $1",
							  2, types, args, NULL, false, 0) != SPI_OK_UPDATE ||
		SPI_processed != 1)
		elog(ERROR, "could not update kept_log");
	SPI_finish();
}

/*
 * A copy may be made over when the command that it is for has run, or turn out
 * not to be needed: then it has no name any more.
 */
void
history_update_kept(const Kept *kept)
{
	Oid			types[6] = {INT8OID, INT8OID, TEXTOID, TEXTARRAYOID, BOOLOID, INT8OID};
	Datum		args[6];
	char		nulls[6] = {' ', ' ', ' ', ' ', ' ', ' '};
	bool		isnull;

	args[0] = Int64GetDatum(kept->id);
	args[1] = Int64GetDatum(kept->bytes);
	args[2] = text_or_null(kept->checksum, &isnull);
	args[3] = text_list_to_array(kept->details);
	args[4] = BoolGetDatum(kept->vault_name == NULL);
	args[5] = Int64GetDatum(kept->rows);
	if (isnull)
		nulls[2] = 'n';
	SPI_connect();
	if (SPI_execute_with_args("UPDATE safemig.kept_log SET bytes = $2,"
							  " checksum = $3, details = $4, rows = $6,"
							  " vault_schema = CASE WHEN $5 THEN NULL ELSE vault_schema END,"
							  " vault_name = CASE WHEN $5 THEN NULL ELSE vault_name END"
							  " WHERE id OPERATOR(pg_catalog.=) $1",
							  6, types, args, nulls, false, 0) != SPI_OK_UPDATE ||
		SPI_processed != 1)
		elog(ERROR, "could not update kept_log");
	SPI_finish();
}

/*
 * Of Kept*: the rows k of which the condition is true, in the order in which they
 * were kept.
 */
List *
history_kept_where(const char *where, int nargs, Oid *types, Datum *args,
				   const char *nulls)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *found = NIL;
	int64	   *ids;
	uint64		nids;

	SPI_connect();
	if (SPI_execute_with_args(psprintf("SELECT k.id FROM safemig.kept_log k WHERE %s ORDER BY k.id",
									   where),
							  nargs, types, args, nulls, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read kept_log");
	nids = SPI_processed;
	ids = MemoryContextAlloc(context, (nids + 1) * sizeof(int64));
	for (uint64 i = 0; i < nids; i++)
		ids[i] = strtoll(column_text(SPI_tuptable->vals[i], 1), NULL, 10);
	SPI_finish();
	for (uint64 i = 0; i < nids; i++)
		found = lappend(found, history_get_kept(ids[i]));
	return found;
}

/* What one command kept of this kind and part (NULL: any), and is still kept. */
List *
history_find_kept(int64 migration, int64 command, const char *kind,
				  const char *part)
{
	Oid			types[4] = {INT8OID, INT8OID, TEXTOID, TEXTOID};
	Datum		args[4] = {Int64GetDatum(migration), Int64GetDatum(command),
	CStringGetTextDatum(kind), (Datum) 0};
	char		nulls[4] = {' ', ' ', ' ', part ? ' ' : 'n'};

	if (part)
		args[3] = CStringGetTextDatum(part);
	return history_kept_where("k.migration OPERATOR(pg_catalog.=) $1"
							  " AND k.command OPERATOR(pg_catalog.=) $2"
							  " AND k.kind OPERATOR(pg_catalog.=) $3"
							  " AND ($4 IS NULL OR k.part OPERATOR(pg_catalog.=) $4)"
							  " AND k.state OPERATOR(pg_catalog.<>) 'pruned'",
							  4, types, args, nulls);
}

Kept *
history_kept_in_vault(const char *kind, const char *schema, const char *name)
{
	Oid			types[3] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		args[3] = {CStringGetTextDatum(kind), CStringGetTextDatum(schema),
	CStringGetTextDatum(name)};
	List	   *found = history_kept_where("k.kind OPERATOR(pg_catalog.=) $1"
										   " AND k.vault_schema OPERATOR(pg_catalog.=) $2"
										   " AND k.vault_name OPERATOR(pg_catalog.=) $3"
										   " AND k.state OPERATOR(pg_catalog.=) 'kept'",
										   3, types, args, NULL);

	return found ? linitial(found) : NULL;
}
