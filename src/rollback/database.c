/*-------------------------------------------------------------------------
 *
 * database.c
 *	  The state of the whole database: every object, and the rows of the tables
 *	  that matter.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "capture/capture.h"
#include "compat.h"
#include "keep/rows.h"
#include "rollback/rollback.h"

#define DIFFERENCES_TOLD	20

typedef struct TableRows
{
	char	   *identity;
	RowsProof	rows;
} TableRows;

struct DatabaseState
{
	List	   *images;
	HTAB	   *by_key;
	List	   *tables;			/* of TableRows* */
};

typedef struct ImageEntry
{
	char		key[NAMEDATALEN * 8];
	Image	   *image;
} ImageEntry;

static void
index_images(DatabaseState *state)
{
	HASHCTL		ctl = {.keysize = NAMEDATALEN * 8,.entrysize = sizeof(ImageEntry),
	.hcxt = CurrentMemoryContext};
	ListCell   *lc;

	state->by_key = hash_create("safemig images", 1024, &ctl,
								HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	foreach(lc, state->images)
	{
		ImageEntry *entry = hash_search(state->by_key, image_address_key(lfirst(lc)),
										HASH_ENTER, NULL);

		entry->image = lfirst(lc);
	}
}

/*
 * All rows of a table, as SELECT * shows them.  What a type of the user's
 * stores may be numbers of catalog rows that another run makes anew: its text
 * counts.
 */
static void
prove_rows(Relation rel, RowsProof *proof)
{
	TupleDesc	desc = RelationGetDescr(rel);
	TupleDesc	text_desc = CreateTemplateTupleDesc(1);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "safemig proof",
												  ALLOCSET_DEFAULT_SIZES);
	Snapshot	snapshot;
	TableScanDesc scan = plain_scan_begin(rel, &snapshot);

	TupleDescInitEntry(text_desc, 1, "value", TEXTOID, -1, 0);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		RowHash		hash = row_hash_begin();

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < desc->natts; i++)
		{
			Form_pg_attribute att = TupleDescAttr(desc, i);
			bool		isnull;
			Datum		value;

			if (att->attisdropped)
				continue;
			value = slot_getattr(slot, i + 1, &isnull);
			if (!isnull && att->atttypid >= FirstNormalObjectId)
			{
				Oid			output;
				bool		varlena;

				getTypeOutputInfo(att->atttypid, &output, &varlena);
				value = CStringGetTextDatum(OidOutputFunctionCall(output, value));
				att = TupleDescAttr(text_desc, 0);
			}
			row_hash_add(&hash, att, value, isnull);
		}
		rows_proof_add(proof, hash);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	plain_scan_end(scan, snapshot);
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextDelete(context);
}

DatabaseState *
database_now(List *tables)
{
	DatabaseState *state = palloc0(sizeof(DatabaseState));
	Frame		frame;
	ListCell   *lc;

	frame_become_owner(&frame);
	own_work_begin();
	state->images = baseline_images();
	index_images(state);
	foreach(lc, tables)
	{
		Oid			relid = RangeVarGetRelid(makeRangeVarFromNameList(qualified_name_list(lfirst(lc))),
											 NoLock, true);
		char		relkind = OidIsValid(relid) ? get_rel_relkind(relid) : '\0';
		TableRows  *table;
		Relation	rel;

		if (relkind != RELKIND_RELATION && relkind != RELKIND_MATVIEW)
			continue;
		table = palloc0(sizeof(TableRows));
		table->identity = lfirst(lc);
		rel = table_open(relid, AccessShareLock);
		prove_rows(rel, &table->rows);
		table_close(rel, NoLock);
		state->tables = lappend(state->tables, table);
	}
	own_work_end();
	frame_unpin(&frame);
	return state;
}

typedef struct Differences
{
	StringInfo	told;
	int			number;
	const char *object;
} Differences;

static void
tell(Differences *differences, const char *object, const char *what)
{
	if (differences->number++ < DIFFERENCES_TOLD)
		appendStringInfo(differences->told, "%s%s: %s",
						 differences->told->len ? "\n" : "", object, what);
}

static void
tell_facet(void *arg, const char *part, const char *name, const char *a, const char *b)
{
	Differences *differences = arg;

	tell(differences, differences->object, psprintf("%s%s%s", part, part[0] ? " " : "", name));
}

static TableRows *
rows_of(const DatabaseState *state, const char *identity)
{
	ListCell   *lc;

	foreach(lc, state->tables)
	{
		TableRows  *table = lfirst(lc);

		if (strcmp(table->identity, identity) == 0)
			return table;
	}
	return NULL;
}

char *
database_differences(const DatabaseState *a, const DatabaseState *b)
{
	StringInfoData told;
	Differences differences = {&told};
	ListCell   *lc;

	initStringInfo(&told);
	foreach(lc, a->images)
	{
		const char *key = image_address_key(lfirst(lc));
		ImageEntry *entry = hash_search(b->by_key, key, HASH_FIND, NULL);

		differences.object = key;
		if (entry == NULL)
			tell(&differences, key, "is gone");
		else
			image_compare_meaning(lfirst(lc), entry->image, tell_facet, &differences);
	}
	foreach(lc, b->images)
	{
		const char *key = image_address_key(lfirst(lc));

		if (hash_search(a->by_key, key, HASH_FIND, NULL) == NULL)
			tell(&differences, key, "is new");
	}
	foreach(lc, a->tables)
	{
		TableRows  *table = lfirst(lc);
		TableRows  *other = rows_of(b, table->identity);

		if (other && (other->rows.rows != table->rows.rows ||
					  other->rows.sum.first != table->rows.sum.first ||
					  other->rows.sum.second != table->rows.sum.second))
			tell(&differences, table->identity, "rows");
	}
	if (differences.number > DIFFERENCES_TOLD)
		appendStringInfo(&told, "\n... and %d more", differences.number - DIFFERENCES_TOLD);
	return told.len ? told.data : NULL;
}
