/*-------------------------------------------------------------------------
 *
 * large_object.c
 *	  Large objects that a transaction made, unlinked or wrote, and their
 *	  making and unlinking by a rollback.
 *
 * The functions that do it fire no event, but their doing is rows: of
 * pg_largeobject_metadata, one for each large object, and of pg_largeobject,
 * one for each page.  So it is found the way the rows of tables are
 * (versions.c), and the pages are kept like rows of a table.
 *
 * A large object that comes or goes is a change of its own, with an image; one
 * that is written is one whose rows were.  Pages of one that the migration
 * made are not kept: they go with it, whatever is in them by then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_largeobject_metadata.h"
#include "catalog/pg_type.h"
#include "commands/comment.h"
#include "commands/seclabel.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/large_object.h"
#include "utils/acl.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "keep/large_object.h"
#include "keep/vault.h"

/* What is known of one. */
typedef struct Known
{
	Oid			oid;			/* the key */
	Image	   *before;			/* of one that was unlinked, or NULL */
	bool		made;			/* by this migration, now or earlier */
	bool		is_new;			/* made now */
	bool		written;
	bool		others;			/* whose pages are not kept */
} Known;

typedef struct Finding
{
	const LargeObjectLook *look;
	HTAB	   *known;			/* of Known */
	List	   *seen;			/* of Seen* */
} Finding;

static Known *
know(Finding *finding, Oid oid)
{
	bool		found;
	Known	   *known = hash_search(finding->known, &oid, HASH_ENTER, &found);

	if (!found)
	{
		memset(known, 0, sizeof(Known));
		known->oid = oid;
	}
	return known;
}

/* ---- what came and went ---- */

/* Those that earlier commands of the migration made. */
static void
recall_made(Finding *finding, int64 migration)
{
	Oid			type = INT8OID;
	Datum		arg = Int64GetDatum(migration);

	SPI_connect();
	if (SPI_execute_with_args("SELECT objid FROM safemig.change_log"
							  " WHERE migration OPERATOR(pg_catalog.=) $1"
							  " AND action OPERATOR(pg_catalog.=) 'c'"
							  " AND type OPERATOR(pg_catalog.=) 'large object'",
							  1, &type, &arg, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read change_log");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;

		know(finding, DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i],
													 SPI_tuptable->tupdesc, 1,
													 &isnull)))->made = true;
	}
	SPI_finish();
}

static HeapTuple
fetch_row(Relation rel, ItemPointer tid, TupleTableSlot *slot)
{
	if (!table_tuple_fetch_row_version(rel, tid, SnapshotAny, slot))
		elog(ERROR, "a row version of \"%s\" has vanished", RelationGetRelationName(rel));
	return ExecCopySlotHeapTuple(slot);
}

static Oid
oid_of_row(HeapTuple row)
{
	return ((Form_pg_largeobject_metadata) GETSTRUCT(row))->oid;
}

/* Its owner and privileges are changed by commands, which are recorded as such. */
static void
note_row(Finding *finding, Relation rel, TupleTableSlot *slot, ItemPointer before,
		 ItemPointer after)
{
	HeapTuple	row;

	if (ItemPointerIsValid(before) && ItemPointerIsValid(after))
		return;
	row = fetch_row(rel, ItemPointerIsValid(before) ? before : after, slot);
	if (ItemPointerIsValid(before))
		know(finding, oid_of_row(row))->before =
			large_object_image_before(row, HeapTupleHeaderGetCmax(row->t_data));
	else
		know(finding, oid_of_row(row))->made = know(finding, oid_of_row(row))->is_new = true;
}

static void
find_rows(Finding *finding)
{
	const LargeObjectLook *look = finding->look;
	Relation	rel = table_open(LargeObjectMetadataRelationId, AccessShareLock);
	Versions   *versions = versions_find(rel, look->since, look->seen, look->note);
	TupleTableSlot *pair = MakeSingleTupleTableSlot(versions->desc, &TTSOpsMinimalTuple);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	ItemPointerData before,
				after;

	versions_again(versions);
	while (versions_next(versions, pair, &before, &after))
		note_row(finding, rel, slot, &before, &after);
	if (versions->seen)
		finding->seen = lappend(finding->seen, versions->seen);
	ExecDropSingleTupleTableSlot(pair);
	ExecDropSingleTupleTableSlot(slot);
	versions_close(versions);
	table_close(rel, NoLock);
}

/* ---- pages ---- */

/* Could whoever wrote it take it back? */
static bool
is_somebody_elses(const Known *known)
{
	ObjectAddress address;
	Image	   *image = known->before;
	Oid			owner;

	ObjectAddressSet(address, LargeObjectRelationId, known->oid);
	if (image == NULL)
		image = image_take(&address);
	owner = image && image->owner ? get_role_oid(image->owner, true) : InvalidOid;
	return !is_administrator(GetOuterUserId()) &&
		!(OidIsValid(owner) && has_privs_of_role(GetOuterUserId(), owner));
}

static bool
page_is_kept(Finding *finding, Oid oid, bool deleted)
{
	Known	   *known = know(finding, oid);

	if (known->made && !deleted)
		return false;
	if (!known->written)
		known->others = !finding->look->whoever && is_somebody_elses(known);
	known->written = true;
	return !known->others;
}

static Oid
large_object_of_page(Relation rel, ItemPointer tid, TupleTableSlot *slot)
{
	bool		isnull;

	if (!table_tuple_fetch_row_version(rel, tid, SnapshotAny, slot))
		elog(ERROR, "a row version of \"%s\" has vanished", RelationGetRelationName(rel));
	return DatumGetObjectId(slot_getattr(slot, Anum_pg_largeobject_loid, &isnull));
}

/* The pages that are to be kept, of those that became others. */
static Versions *
choose_pages(Finding *finding, Relation rel, Versions *all)
{
	Versions   *chosen = versions_begin();
	TupleTableSlot *pair = MakeSingleTupleTableSlot(all->desc, &TTSOpsMinimalTuple);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	ItemPointerData before,
				after;

	versions_again(all);
	while (versions_next(all, pair, &before, &after))
	{
		bool		was = ItemPointerIsValid(&before);
		bool		is = ItemPointerIsValid(&after);

		CHECK_FOR_INTERRUPTS();
		if (page_is_kept(finding, large_object_of_page(rel, was ? &before : &after, slot),
						 !is))
			versions_put(chosen, was ? &before : NULL, is ? &after : NULL);
	}
	ExecDropSingleTupleTableSlot(pair);
	ExecDropSingleTupleTableSlot(slot);
	return chosen;
}

static Kept *
keep_pages(Finding *finding, const RecordedCommand *command)
{
	const LargeObjectLook *look = finding->look;
	Relation	rel = table_open(LargeObjectRelationId, AccessShareLock);
	Versions   *versions = versions_find(rel, look->since, look->seen, look->note);
	Versions   *chosen = choose_pages(finding, rel, versions);
	Kept	   *kept = writes_keep(rel, chosen, NULL, command->migration, command->seq);

	if (versions->seen)
		finding->seen = lappend(finding->seen, versions->seen);
	versions_close(chosen);
	versions_close(versions);
	table_close(rel, NoLock);
	return kept;
}

/* ---- as changes of a command ---- */

static int
compare_known(const ListCell *a, const ListCell *b)
{
	Oid			x = ((Known *) lfirst(a))->oid;
	Oid			y = ((Known *) lfirst(b))->oid;

	return x < y ? -1 : x > y ? 1 : 0;
}

static Image *
image_of(Oid oid)
{
	ObjectAddress address;

	ObjectAddressSet(address, LargeObjectRelationId, oid);
	return image_take(&address);
}

/* NULL: nothing that is to be taken back happened to it. */
static Change *
change_of(const Known *known, const Kept *kept)
{
	Change	   *change = palloc0(sizeof(Change));

	if (known->before == NULL && !known->is_new &&
		(!known->written || known->others || kept == NULL))
		return NULL;
	change->before = known->is_new || known->before ? known->before : image_of(known->oid);
	change->after = known->before && !known->is_new ? NULL : image_of(known->oid);
	if (known->before)
		change->action = change->after ? 'a' : 'd';
	else
		change->action = known->is_new ? 'c' : 'w';
	if (change->before && known->written && kept)
		change->before->kept = kept->id;
	return change;
}

static List *
all_known(Finding *finding)
{
	HASH_SEQ_STATUS status;
	Known	   *known;
	List	   *list = NIL;

	hash_seq_init(&status, finding->known);
	while ((known = hash_seq_search(&status)) != NULL)
		list = lappend(list, known);
	list_sort(list, compare_known);
	return list;
}

static Finding
finding_begin(const LargeObjectLook *look)
{
	HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(Known),
	.hcxt = CurrentMemoryContext};
	Finding		finding = {look, NULL, NIL};

	finding.known = hash_create("safemig large objects", 64, &ctl,
								HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return finding;
}

/*
 * Adds to the command what became of large objects, with the step that takes it
 * back; returns how many are others', whose pages are not kept.  What was noted
 * as seen is added to seen.
 */
int
large_objects_keep(RecordedCommand *command, const LargeObjectLook *look, List **seen)
{
	Finding		finding = finding_begin(look);
	Kept	   *kept;
	const Image *last = NULL;
	int			others = 0;
	int			found = 0;
	ListCell   *lc;

	recall_made(&finding, command->migration);
	find_rows(&finding);
	kept = keep_pages(&finding, command);
	foreach(lc, all_known(&finding))
	{
		const Known *known = lfirst(lc);
		Change	   *change = change_of(known, kept);

		others += known->others;
		if (change == NULL)
			continue;
		command->changes = lappend(command->changes, change);
		last = change->before ? change->before : change->after;
		found++;
	}
	if (found > 0)
	{
		Steps		steps;
		Step	   *step;

		steps_init(&steps);
		steps.image = last;
		step = step_add(&steps, RANK_COMMON, RUN_CATALOG, "SHARE ROW EXCLUSIVE", "scan",
						"SELECT safemig.undo_large_objects(" INT64_FORMAT ")", command->seq);
		step->object = psprintf("%d large object%s", found, found == 1 ? "" : "s");
		step->note = pstrdup("made, unlinked or written");
		command->steps = list_concat(command->steps, steps.list);
	}
	*seen = list_concat(*seen, finding.seen);
	return others;
}

/* ---- making and unlinking ---- */

static void
make_marks(const Image *image, const ObjectAddress *address)
{
	ListCell   *lc;

	foreach(lc, image->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (strcmp(facet->name, "comment") == 0)
			CreateComments(address->objectId, address->classId, 0, facet->value);
		else if (strncmp(facet->name, "label ", strlen("label ")) == 0)
			SetSecurityLabel(address, facet->name + strlen("label "), facet->value);
	}
}

/* Without its pages. */
void
large_object_make(const Image *image)
{
	const char *acl = image_get(image, "", "acl");
	Oid			owner = image->owner ? get_role_oid(image->owner, true) : InvalidOid;
	ObjectAddress address;

	if (!OidIsValid(owner))
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("cannot restore large object %s: its owner, role \"%s\", does not exist",
						image->identity, image->owner ? image->owner : "")));
	ObjectAddressSet(address, LargeObjectRelationId, large_object_oid(image));
	inv_create(address.objectId);
	change_object_owner(LargeObjectRelationId, address.objectId, owner);
	CommandCounterIncrement();
	acl_store(&address, acl ? acl_from_text(acl) : NULL);
	make_marks(image, &address);
	CommandCounterIncrement();
}

void
large_object_unlink(Oid oid)
{
	ObjectAddress address;

	ObjectAddressSet(address, LargeObjectRelationId, oid);
	performDeletion(&address, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	CommandCounterIncrement();
}

Oid
large_object_oid(const Image *image)
{
	return (Oid) strtoul(image->identity, NULL, 10);
}
