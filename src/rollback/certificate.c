/*-------------------------------------------------------------------------
 *
 * certificate.c
 *	  What the proof of a rollback found, stored with it: safemig_certificate.
 *
 * A fingerprint is the SHA-256 of an object's canonical description, by names
 * and without OIDs, so that the same object has the same one in any database.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "rollback/rollback.h"

PG_FUNCTION_INFO_V1(safemig_certificate);
PG_FUNCTION_INFO_V1(safemig_recovery_target);

/* ---- fingerprints ---- */

char *
text_fingerprint(StringInfo text)
{
	Datum		bytes = PointerGetDatum(cstring_to_text_with_len(text->data, text->len));
	bytea	   *hash = DatumGetByteaPP(DirectFunctionCall1(sha256_bytea, bytes));
	int			length = VARSIZE_ANY_EXHDR(hash);
	char	   *hex = palloc(length * 2 + 1);

	hex[hex_encode(VARDATA_ANY(hash), length, hex)] = '\0';
	return hex;
}

char *
image_fingerprint(const Image *image)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, image->facets)
	{
		const Facet *facet = lfirst(lc);

		if (facet->name[0] != '@')
			appendStringInfo(&buf, "%s\t%s\t%s\n", facet->part, facet->name, facet->value);
	}
	return text_fingerprint(&buf);
}

Verified *
verified_object(const ObjectState *state, const Image *now)
{
	Verified   *verified = palloc(sizeof(Verified));

	verified->object = image_address_key(now ? now : state->image);
	verified->fingerprint = now ? image_fingerprint(now) : NULL;
	return verified;
}

/* ---- writing ---- */

static const char *
policy_name(ConflictPolicy policy)
{
	switch (policy)
	{
		case CONFLICT_REFUSE:
			return "refuse";
		case CONFLICT_KEEP:
			return "keep";
		case CONFLICT_RESTORE:
			return "restore";
	}
	return NULL;
}

void
certificate_write(int64 record, List *verified, TimestampTz since)
{
	int			n = 0;
	Datum	   *objects = palloc(list_length(verified) * 2 * sizeof(Datum));
	bool	   *none = palloc0(list_length(verified) * 2 * sizeof(bool));
	int			dims[2] = {list_length(verified), 2};
	int			bounds[2] = {1, 1};
	Datum		values[8];
	bool		nulls[8] = {false};
	ListCell   *lc;

	foreach(lc, verified)
	{
		const Verified *one = lfirst(lc);

		objects[n++] = CStringGetTextDatum(one->object);
		none[n] = one->fingerprint == NULL;
		objects[n++] = one->fingerprint ? CStringGetTextDatum(one->fingerprint) : (Datum) 0;
	}
	values[0] = Int64GetDatum(record);
	values[1] = CStringGetTextDatum(policy_name(safemig_state.on_conflict));
	values[2] = Int64GetDatum(safemig_state.tables_restored);
	values[3] = Int64GetDatum(safemig_state.rows_restored);
	values[4] = Int64GetDatum(safemig_state.rows_later);
	values[5] = n == 0 ? PointerGetDatum(construct_empty_array(TEXTOID)) :
		PointerGetDatum(construct_md_array(objects, none, 2, dims, bounds, TEXTOID,
										   -1, false, TYPALIGN_INT));
	values[6] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[7] = Float8GetDatum((GetCurrentTimestamp() - since) / 1000.0);
	history_insert("certificate_log", values, nulls, lengthof(values));
}

/* ---- reading ---- */

/* The one text that the query gives for a migration that the caller may see. */
static char *
text_about(const char *query, int64 id)
{
	Oid			type = INT8OID;
	Datum		arg = Int64GetDatum(id);
	MemoryContext context = CurrentMemoryContext;
	char	   *result = NULL;

	SPI_connect();
	if (SPI_execute_with_args(query, 1, &type, &arg, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the history");
	if (SPI_processed > 0)
	{
		char	   *text = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

		result = text ? MemoryContextStrdup(context, text) : NULL;
	}
	SPI_finish();
	return result;
}

/* As the caller, to whom the views show what he may see. */
static char *
kind_of(int64 id)
{
	char	   *kind = text_about("SELECT m.kind FROM safemig.migrations m"
								  " WHERE m.id OPERATOR(pg_catalog.=) $1", id);

	if (kind == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_UNKNOWN),
				 errmsg("migration %lld does not exist, or is not yours to see", (long long) id),
				 errhint("SELECT id, label, state, started_at FROM safemig.migrations ORDER BY id DESC;")));
	return kind;
}

/* A redo is the rollback of a rollback, proved like any. */
static int64
record_of(int64 id)
{
	char	   *kind = kind_of(id);
	char	   *record;

	if (strcmp(kind, "rollback") == 0 || strcmp(kind, "redo") == 0)
		return id;
	record = text_about("SELECT m.rolled_back_by FROM safemig.migrations m"
						" WHERE m.id OPERATOR(pg_catalog.=) $1", id);
	if (record == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("migration %lld has not been rolled back", (long long) id),
				 errhint("safemig_certificate() takes the id of a rollback or a redo, or of a migration that is rolled back.")));
	return strtoll(record, NULL, 10);
}

Datum
safemig_certificate(PG_FUNCTION_ARGS)
{
	int64		record = record_of(PG_GETARG_INT64(0));
	char	   *text;
	Frame		frame;

	frame_become_owner(&frame);
	text = text_about("SELECT safemig.certificate_text($1)", record);
	frame_unpin(&frame);
	if (text == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("%s %lld has no certificate", kind_of(record), (long long) record),
				 errdetail("It was recorded before safemig wrote any.")));
	PG_RETURN_TEXT_P(cstring_to_text(text));
}

/* Where a point-in-time recovery stops that is to leave the migration out. */
Datum
safemig_recovery_target(PG_FUNCTION_ARGS)
{
	int64		id = PG_GETARG_INT64(0);
	char	   *incarnation;
	char	   *text = NULL;
	Frame		frame;

	(void) kind_of(id);
	frame_become_owner(&frame);
	incarnation = text_about("SELECT m.incarnation FROM safemig.migration_log m"
							 " WHERE m.id OPERATOR(pg_catalog.=) $1", id);
	/* another cluster, be it upgraded from that one, writes another log */
	if (strcmp(incarnation, history_incarnation()) == 0)
		text = text_about("SELECT safemig.recovery_target_text($1)", id);
	frame_unpin(&frame);
	if (text == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_WRONG_STATE),
				 errmsg("migration %lld was not run in this database", (long long) id),
				 errdetail("Its history came with a dump: the log of this server knows nothing of it.")));
	PG_RETURN_TEXT_P(cstring_to_text(text));
}
