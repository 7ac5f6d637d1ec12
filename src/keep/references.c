/*-------------------------------------------------------------------------
 *
 * references.c
 *	  Foreign keys from and to tables whose rows are put back.
 *
 * Rows are put back without any trigger, several tables in turn, so that
 * nothing cascades and no order among the tables is needed.  When all are
 * done every foreign key that one of them has part in is checked as a whole:
 * that is what the triggers would have seen at the end.  A key that is NOT
 * VALID may have been broken before: it must not be more so than it was.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "keep/writes.h"

typedef struct Reference
{
	Oid			oid;
	char	   *name;
	Oid			from;
	Oid			to;
	bool		validated;
	bool		trusted;		/* its operators belong to superusers */
	char	   *query;			/* counts the rows that break it */
	int64		broken;			/* so many do */
} Reference;

/*
 * One row for each key: those of partitions stand for that of the partitioned
 * table.  The query says what RI_Initial_Check looks for; columns of the
 * referenced table are p's.  A key with PERIOD (PostgreSQL 18) wants the rows
 * that its other columns find to cover the range together.
 */
static const char *const references_query =
"WITH RECURSIVE up AS ("
" SELECT c.oid, c.conparentid FROM pg_catalog.pg_constraint c"
" WHERE c.contype = 'f' AND (c.conrelid = ANY ($1) OR c.confrelid = ANY ($1))"
" UNION SELECT c.oid, c.conparentid FROM up"
" JOIN pg_catalog.pg_constraint c ON c.oid = up.conparentid),"
" keys AS (SELECT c.*,"
" COALESCE((pg_catalog.to_jsonb(c) ->> 'conperiod')::pg_catalog.bool, false) AS period"
" FROM up JOIN pg_catalog.pg_constraint c USING (oid)"
" WHERE c.conparentid = 0"
" AND COALESCE((pg_catalog.to_jsonb(c) ->> 'conenforced')::pg_catalog.bool, true)),"
" columns AS (SELECT k.oid, u.n, k.period AND u.n = pg_catalog.cardinality(k.conkey) AS range,"
" pg_catalog.format('f.%I', fa.attname) AS f,"
" pg_catalog.format('p.%I', pa.attname) AS p,"
" pg_catalog.format('p.%I OPERATOR(%I.%s) f.%I%s', pa.attname, opn.nspname, op.oprname, fa.attname,"
" CASE WHEN pa.attcollation <> 0 AND pa.attcollation <> fa.attcollation THEN"
" (SELECT pg_catalog.format(' COLLATE %I.%I', n.nspname, l.collname)"
" FROM pg_catalog.pg_collation l JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace"
" WHERE l.oid = pa.attcollation) END) AS same,"
" (SELECT a.rolsuper FROM pg_catalog.pg_proc q JOIN pg_catalog.pg_roles a ON a.oid = q.proowner"
" WHERE q.oid = op.oprcode) AS trusted"
" FROM keys k CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(k.conkey),"
" pg_catalog.unnest(k.confkey), pg_catalog.unnest(k.conpfeqop))"
" WITH ORDINALITY AS u (fkey, pkey, opno, n)"
" JOIN pg_catalog.pg_attribute fa ON fa.attrelid = k.conrelid AND fa.attnum = u.fkey"
" JOIN pg_catalog.pg_attribute pa ON pa.attrelid = k.confrelid AND pa.attnum = u.pkey"
" JOIN pg_catalog.pg_operator op ON op.oid = u.opno"
" JOIN pg_catalog.pg_namespace opn ON opn.oid = op.oprnamespace),"
" parts AS (SELECT oid, pg_catalog.bool_and(trusted) AS trusted,"
" pg_catalog.string_agg(f || ' IS NOT NULL', ' AND ' ORDER BY n) AS whole,"
" pg_catalog.string_agg(f || ' IS NOT NULL', ' OR ' ORDER BY n) AS any_part,"
" pg_catalog.string_agg(same, ' AND ' ORDER BY n) FILTER (WHERE NOT range) AS same,"
" pg_catalog.min(f) FILTER (WHERE range) AS f_range,"
" pg_catalog.min(p) FILTER (WHERE range) AS p_range"
" FROM columns GROUP BY oid)"
" SELECT k.oid, k.conname, k.conrelid, k.confrelid, k.convalidated, s.trusted,"
" pg_catalog.format('SELECT pg_catalog.count(*) FROM %s WHERE (%s) AND NOT ((%s) AND %s)', t.f,"
" CASE WHEN k.confmatchtype = 'f' THEN s.any_part ELSE s.whole END, s.whole,"
" CASE WHEN k.period THEN"
" pg_catalog.format('COALESCE(%s OPERATOR(pg_catalog.<@) (SELECT pg_catalog.range_agg(%s) FROM %s WHERE %s), false)',"
" s.f_range, s.p_range, t.p, s.same)"
" ELSE pg_catalog.format('EXISTS (SELECT FROM %s WHERE %s)', t.p, s.same) END)"
" FROM keys k JOIN parts s USING (oid)"
" CROSS JOIN LATERAL (SELECT"
" pg_catalog.min(pg_catalog.format('%s%I.%I AS f', o.scope, n.nspname, r.relname)) FILTER (WHERE r.oid = k.conrelid) AS f,"
" pg_catalog.min(pg_catalog.format('%s%I.%I AS p', o.scope, n.nspname, r.relname)) FILTER (WHERE r.oid = k.confrelid) AS p"
" FROM pg_catalog.pg_class r JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace"
" CROSS JOIN LATERAL (SELECT CASE WHEN r.relkind = 'p' THEN '' ELSE 'ONLY ' END) AS o (scope)"
" WHERE r.oid = ANY (ARRAY[k.conrelid, k.confrelid])) AS t"
" ORDER BY k.oid";

static int64
count_broken(const Reference *reference)
{
	Frame		frame;
	int64		broken;
	bool		isnull;

	/* a user's operator runs as the owner of the table that refers */
	if (!reference->trusted)
		frame_become(&frame, relation_owner(reference->from));
	/* a transaction's own snapshot may not know the rows that stay */
	PushActiveSnapshot(GetLatestSnapshot());
	SPI_connect();
	if (SPI_execute(reference->query, true, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not check foreign key \"%s\"", reference->name);
	broken = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
										 SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	PopActiveSnapshot();
	if (!reference->trusted)
		frame_unpin(&frame);
	return broken;
}

static Datum
oid_array(List *oids)
{
	Datum	   *elems = palloc(sizeof(Datum) * Max(1, list_length(oids)));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, oids)
		elems[n++] = ObjectIdGetDatum(lfirst_oid(lc));
	return PointerGetDatum(construct_array(elems, n, OIDOID, sizeof(Oid), true,
										   TYPALIGN_INT));
}

/* The keys from and to these tables, with how often each is broken now. */
List *
references_find(List *relids)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			type = OIDARRAYOID;
	Datum		arg = oid_array(relids);
	List	   *references = NIL;
	ListCell   *lc;

	SPI_connect();
	if (SPI_execute_with_args(references_query, 1, &type, &arg, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the foreign keys");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		MemoryContext old = MemoryContextSwitchTo(context);
		Reference  *reference = palloc0(sizeof(Reference));
		bool		isnull;

		reference->oid = DatumGetObjectId(SPI_getbinval(tuple, desc, 1, &isnull));
		reference->name = SPI_getvalue(tuple, desc, 2);
		reference->from = DatumGetObjectId(SPI_getbinval(tuple, desc, 3, &isnull));
		reference->to = DatumGetObjectId(SPI_getbinval(tuple, desc, 4, &isnull));
		reference->validated = DatumGetBool(SPI_getbinval(tuple, desc, 5, &isnull));
		reference->trusted = DatumGetBool(SPI_getbinval(tuple, desc, 6, &isnull));
		reference->query = SPI_getvalue(tuple, desc, 7);
		references = lappend(references, reference);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	foreach(lc, references)
	{
		Reference  *reference = lfirst(lc);

		if (!reference->validated)
			reference->broken = count_broken(reference);
	}
	return references;
}

static Misfit *
describe_broken(const Reference *reference, int64 rows)
{
	Misfit	   *misfit = palloc0(sizeof(Misfit));

	misfit->rows = rows;
	misfit->table = quote_qualified_identifier(get_namespace_name(get_rel_namespace(reference->from)),
											   get_rel_name(reference->from));
	misfit->message = psprintf(said("the kept rows would break foreign key \"%s\" of table \"%s\""),
							   reference->name, get_rel_name(reference->from));
	misfit->detail = psprintf(said("%lld of its rows would refer to rows that \"%s\" does not have."),
							  (long long) rows, get_rel_name(reference->to));
	misfit->hint = pstrdup(said("Take both tables into one snapshot; or change or delete these rows first."));
	return misfit;
}

void
references_check(List *references)
{
	ListCell   *lc;

	foreach(lc, references)
	{
		Reference  *reference = lfirst(lc);
		int64		rows = count_broken(reference) - reference->broken;
		Misfit	   *misfit;

		if (rows <= 0)
			continue;
		misfit = describe_broken(reference, rows);
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg_internal("%s", misfit->message),
				 errdetail_internal("%s", misfit->detail),
				 errhint("%s", misfit->hint)));
	}
}

/*
 * What a migration wrote may have been in order only when it was through, as
 * with deferred constraints: so what is broken on the way is looked at again
 * when the rollback is.
 */
void
references_note_broken(List *references)
{
	MemoryContext old;
	ListCell   *lc;

	foreach(lc, references)
	{
		Reference  *reference = lfirst(lc);
		Reference  *noted;

		if (count_broken(reference) <= reference->broken)
			continue;
		state_save();
		old = MemoryContextSwitchTo(TopTransactionContext);
		noted = palloc(sizeof(Reference));
		*noted = *reference;
		safemig_state.broken_references = lappend(list_copy(safemig_state.broken_references), noted);
		MemoryContextSwitchTo(old);
	}
}

/*
 * A foreign key that was made anew since has been validated, and one that the
 * migration made is gone.  Rows that could not stay what they were may be the
 * reason, where the rollback went on after a conflict.
 */
void
references_add_broken(void)
{
	List	   *relids = NIL;
	List	   *now;
	ListCell   *lc;
	ListCell   *inner;

	foreach(lc, safemig_state.broken_references)
		relids = list_append_unique_oid(relids, ((Reference *) lfirst(lc))->from);
	now = relids ? references_find(relids) : NIL;
	foreach(lc, now)
	{
		Reference  *reference = lfirst(lc);
		bool		doubtful = net_is_doubtful(safemig_state.net, reference->from) ||
			net_is_doubtful(safemig_state.net, reference->to);

		foreach(inner, safemig_state.broken_references)
		{
			const Reference *noted = lfirst(inner);
			int64		rows;

			if (noted->oid != reference->oid)
				continue;
			rows = count_broken(reference) - noted->broken;
			if (rows > 0 && !doubtful)
				net_add_misfits(safemig_state.net, list_make1(describe_broken(reference, rows)));
			break;
		}
	}
}
