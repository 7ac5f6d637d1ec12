/*-------------------------------------------------------------------------
 *
 * limit.c
 *	  safemig.max_kept_bytes: how much a migration may copy; and
 *	  safemig.on_published: whether it may keep what others then receive.
 *
 * What is moved to the vault takes no space that it did not take before, and
 * does not count.  Before rows are copied, their size is estimated, so that
 * nothing is copied in vain; an estimate may be wrong, so it refuses only what
 * is twice too large, and the copy itself is measured afterwards.  What a
 * rollback keeps for its redo is not limited: nobody is to be left with a
 * migration that cannot be taken back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_publication.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "optimizer/plancat.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "history/history.h"
#include "keep/limit.h"

/* what a row costs beside its values, and a key with a hash of its own */
#define ROW_OVERHEAD (MAXALIGN(SizeofHeapTupleHeader) + sizeof(ItemIdData))
#define KEY_OVERHEAD 16

static bool
is_limited(void)
{
	return safemig_max_kept_bytes >= 0 && safemig_state.record_id == 0;
}

/* Bytes that the migration has copied so far. */
static double
copied_bytes(int64 migration)
{
	Oid			type = INT8OID;
	Datum		arg = Int64GetDatum(migration);
	double		bytes;
	bool		isnull;

	SPI_connect();
	if (SPI_execute_with_args("SELECT COALESCE(pg_catalog.sum(bytes), 0)::double precision"
							  " FROM safemig.kept_log WHERE migration OPERATOR(pg_catalog.=) $1"
							  " AND state OPERATOR(pg_catalog.=) 'kept'"
							  " AND kind OPERATOR(pg_catalog.<>) ALL (ARRAY['relation', 'type', 'collation', 'support'])",
							  1, &type, &arg, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read kept_log");
	bytes = DatumGetFloat8(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return bytes;
}

/* ---- estimates ---- */

static double
column_width(Oid relid, Form_pg_attribute att)
{
	int32		width = get_attavgwidth(relid, att->attnum);

	return width > 0 ? width : get_typavgwidth(att->atttypid, att->atttypmod);
}

/* The width of one column, or of all (attnum 0). */
static double
row_width(Relation rel, AttrNumber attnum)
{
	double		width = ROW_OVERHEAD;

	if (attnum != 0)
		width += KEY_OVERHEAD;
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (!att->attisdropped && (attnum == 0 || att->attnum == attnum))
			width += column_width(RelationGetRelid(rel), att);
	}
	return width;
}

double
limit_size(Relation rel, AttrNumber attnum, double rows)
{
	BlockNumber pages;
	double		tuples;
	double		allvisible;

	if (!RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
		return 0;
	if (rows < 0)
	{
		estimate_rel_size(rel, NULL, &pages, &tuples, &allvisible);
		rows = tuples;
	}
	return rows * row_width(rel, attnum);
}

double
limit_estimate(Relation rel, AttrNumber attnum, double rows)
{
	/* without a limit nobody asks */
	return is_limited() ? limit_size(rel, attnum, rows) : 0;
}

/* ---- publications ---- */

/* FOR ALL TABLES has those of the vault too. */
void
limit_check_published(const char *what)
{
	List	   *publications;

	if (safemig_on_published == ON_PUBLISHED_KEEP || safemig_state.record_id != 0)
		return;
	publications = GetAllTablesPublications();
	if (publications == NIL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("what is to be kept of %s would be published by publication \"%s\"",
					what, get_publication_name(linitial_oid(publications), false)),
			 errdetail("It is FOR ALL TABLES, those of the vault included."),
			 errhint("Publish schemas or tables by name, or set safemig.on_published to \"keep\".")));
}

/* ---- the limit ---- */

static void
refuse(int64 migration, double copied, double more, bool estimated, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("what is to be kept of %s is more than safemig.max_kept_bytes allows", what),
			 estimated ?
			 errdetail("Migration %lld keeps %.0f bytes in copies, and this is estimated to be %.0f more, of %.0f.",
					   (long long) migration, copied, more, safemig_max_kept_bytes) :
			 errdetail("Migration %lld keeps %.0f bytes in copies, and this is %.0f more, of %.0f.",
					   (long long) migration, copied, more, safemig_max_kept_bytes),
			 errhint("Raise safemig.max_kept_bytes, or set safemig.on_limit to \"irreversible\" to go on without keeping it.")));
}

/*
 * Is this too much to be copied?  true: it is not to be kept, and the command
 * is irreversible; with on_limit = refuse an error.
 */
bool
limit_forbids(int64 migration, double estimate, const char *what)
{
	double		copied;

	limit_check_published(what);
	if (!is_limited())
		return false;
	copied = copied_bytes(migration);
	if (safemig_on_limit == ON_LIMIT_IRREVERSIBLE)
		return copied + estimate > safemig_max_kept_bytes;
	if (copied + estimate / 2 > safemig_max_kept_bytes)
		refuse(migration, copied, estimate, true, what);
	return false;
}

/* After it was copied, and before it is written down. */
void
limit_check(const Kept *kept)
{
	double		copied;

	if (!is_limited() || safemig_on_limit != ON_LIMIT_REFUSE)
		return;
	copied = copied_bytes(kept->migration);
	if (copied + kept->bytes > safemig_max_kept_bytes)
		refuse(kept->migration, copied, kept->bytes, false,
			   psprintf("%s %s", kept->object_type, kept->identity));
}
