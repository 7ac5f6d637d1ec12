/*-------------------------------------------------------------------------
 *
 * positions.c
 *	  What statements write without leaving a version behind.
 *
 * Rows are found afterwards, but not where a sequence was, nor that a foreign
 * table was written at all.  So when a statement of a migration is about to
 * write into a table, be it COPY, the positions of the sequences that its
 * columns own, or take their defaults from, are noted, and foreign tables;
 * PostgreSQL asks a hook for the permissions of every such statement.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "capture/capture.h"
#include "capture/restore.h"
#include "capture/written.h"
#include "compat.h"

/*
 * A position that was noted holds also if the savepoint is rolled back: what
 * was taken from a sequence stays taken.  Not so if the sequence got its
 * storage in this transaction; such are in safemig_state, and so is how many
 * of these have been recorded, since that may be rolled back.
 */
static List *lasting = NIL;

static ExecutorCheckPerms_hook_type next_check_perms_hook = NULL;

static bool
is_among(List *positions, Oid seqid)
{
	ListCell   *lc;

	foreach(lc, positions)
	{
		if (((NotedPosition *) lfirst(lc))->seqid == seqid)
			return true;
	}
	return false;
}

/* Those that are still to be recorded; of a sequence the first one counts. */
static List *
noted_positions(void)
{
	return list_concat(list_copy_tail(lasting, safemig_state.positions_recorded),
					   safemig_state.positions);
}

static bool
is_noted(Oid seqid)
{
	return is_among(noted_positions(), seqid);
}

static bool
is_fresh(Oid seqid)
{
	Relation	sequence = relation_open(seqid, AccessShareLock);
	bool		fresh = storage_is_fresh(sequence);

	relation_close(sequence, NoLock);
	return fresh;
}

/* Sequences that an expression needs, such as the one of nextval('s'). */
static List *
add_sequences_of(List *sequences, Oid attrdef)
{
	ListCell   *lc;

	foreach(lc, dependencies_of(AttrDefaultRelationId, attrdef))
	{
		Form_pg_depend form = lfirst(lc);

		if (form->refclassid == RelationRelationId &&
			get_rel_relkind(form->refobjid) == RELKIND_SEQUENCE)
			sequences = list_append_unique_oid(sequences, form->refobjid);
	}
	return sequences;
}

/* Its own, and those that its defaults take values from. */
static List *
sequences_of(Oid relid)
{
	List	   *sequences = getOwnedSequences(relid);
	Relation	rel = table_open(AttrDefaultRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_attrdef_adrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, AttrDefaultIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		sequences = add_sequences_of(sequences,
									 ((Form_pg_attrdef) GETSTRUCT(tuple))->oid);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return sequences;
}

static void
note_position(Oid seqid, Oid relid)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	NotedPosition *noted = palloc0(sizeof(NotedPosition));

	noted->seqid = seqid;
	noted->relid = relid;
	sequence_read_position(noted->seqid, &noted->position);
	if (is_fresh(noted->seqid))
	{
		state_save();
		/* a list of its own: an outer level may get the old one back */
		safemig_state.positions = lappend(list_copy(safemig_state.positions), noted);
	}
	else
		lasting = lappend(lasting, noted);
	MemoryContextSwitchTo(old);
}

/* Once for each table, until a command may have changed its defaults. */
void
positions_note(Oid relid)
{
	MemoryContext old;
	ListCell   *lc;

	if (list_member_oid(safemig_state.positions_of, relid))
		return;
	foreach(lc, sequences_of(relid))
	{
		if (!is_noted(lfirst_oid(lc)))
			note_position(lfirst_oid(lc), relid);
	}
	old = MemoryContextSwitchTo(TopTransactionContext);
	state_save();
	safemig_state.positions_of = lappend_oid(list_copy(safemig_state.positions_of), relid);
	MemoryContextSwitchTo(old);
}

void
positions_look_again(void)
{
	state_save();
	safemig_state.positions_of = NIL;
}

static void
note_foreign(Oid relid)
{
	MemoryContext old;

	if (list_member_oid(safemig_state.foreign_written, relid))
		return;
	old = MemoryContextSwitchTo(TopTransactionContext);
	state_save();
	safemig_state.foreign_written = lappend_oid(list_copy(safemig_state.foreign_written),
												relid);
	MemoryContextSwitchTo(old);
}

static void
note_written_into(List *range_table)
{
	ListCell   *lc;

	foreach(lc, range_table)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind != RTE_RELATION || rte->rellockmode < RowExclusiveLock)
			continue;
		written_note_statement();
		if (rte->relkind == RELKIND_FOREIGN_TABLE)
			note_foreign(rte->relid);
		else if ((rte->relkind == RELKIND_RELATION ||
				  rte->relkind == RELKIND_PARTITIONED_TABLE) &&
				 get_rel_persistence(rte->relid) != RELPERSISTENCE_TEMP)
			positions_note(rte->relid);
	}
}

/*
 * A statement that is a transaction of its own, by a client that has not said
 * that it writes a migration, is none: what an application does all day.
 */
static bool
stands_alone(List *range_table)
{
	PlannedStmt *stmt;

	if (safemig_state.written_id != 0 || safemig_state.explicit_id != 0 ||
		(safemig_label && safemig_label[0]) ||
		safemig_state.begun_id != 0 || framework_writes_rows() ||
		framework_writes_history(range_table) ||
		safemig_capture_data == CAPTURE_DATA_TRANSACTION || IsTransactionBlock() ||
		ActivePortal == NULL || list_length(ActivePortal->stmts) != 1)
		return false;
	stmt = linitial_node(PlannedStmt, ActivePortal->stmts);
	/* else it comes from a function, which may do more */
	return stmt->commandType != CMD_UTILITY && stmt->rtable == range_table;
}

static bool
on_check_perms(CHECK_PERMS_PARAMETERS)
{
	restore_check_rows(range_table);
	if (data_is_being_captured() && !stands_alone(range_table))
		note_written_into(range_table);
	return next_check_perms_hook == NULL || next_check_perms_hook(CHECK_PERMS_ARGUMENTS);
}

void
positions_init(void)
{
	next_check_perms_hook = ExecutorCheckPerms_hook;
	ExecutorCheckPerms_hook = on_check_perms;
}

static bool
has_moved(const NotedPosition *noted)
{
	SequencePosition now;

	if (!OidIsValid(get_rel_namespace(noted->seqid)) ||
		get_rel_relkind(noted->seqid) != RELKIND_SEQUENCE ||
		address_in_vault(&(ObjectAddress) {RelationRelationId, noted->seqid, 0}))
		return false;
	sequence_read_position(noted->seqid, &now);
	return (now.last_value != noted->position.last_value ||
			now.is_called != noted->position.is_called) &&
		!sequence_has_numbers_out(noted->seqid);
}

/* Also where no row was written in the end: what was taken stays taken. */
bool
positions_moved(void)
{
	ListCell   *lc;

	foreach(lc, noted_positions())
	{
		if (has_moved(lfirst(lc)))
			return true;
	}
	return false;
}

static Oid
table_that_owns(Oid seqid)
{
	Oid			relid;
	int32		attnum;

	if (sequenceIsOwned(seqid, DEPENDENCY_AUTO, &relid, &attnum) ||
		sequenceIsOwned(seqid, DEPENDENCY_INTERNAL, &relid, &attnum))
		return relid;
	return InvalidOid;
}

/*
 * The table whose rows will tell whether others used the sequence meanwhile.
 * Those of one that the migration made go with it; one that went with a
 * savepoint has none.
 */
static Oid
used_by(int64 migration, const NotedPosition *noted)
{
	Oid			candidates[] = {noted->relid, table_that_owns(noted->seqid)};

	for (size_t i = 0; i < lengthof(candidates); i++)
	{
		if (OidIsValid(candidates[i]) &&
			OidIsValid(get_rel_namespace(candidates[i])) &&
			!data_made_by_migration(migration, candidates[i]))
			return candidates[i];
	}
	return InvalidOid;
}

/*
 * Keeps what was noted of sequences that have moved; calls step for each.
 * Those that the migration made go and come as they are.
 */
void
positions_record(int64 migration, int64 command, PositionStep step, void *arg)
{
	List	   *seen = NIL;
	ListCell   *lc;

	foreach(lc, noted_positions())
	{
		NotedPosition *noted = lfirst(lc);

		if (list_member_oid(seen, noted->seqid))
			continue;
		seen = lappend_oid(seen, noted->seqid);
		if (has_moved(noted) && !data_made_by_migration(migration, noted->seqid))
			step(arg, noted,
				 sequence_keep_noted(noted->seqid, used_by(migration, noted),
									 &noted->position, migration, command));
	}
	positions_recorded();
}

/* What was noted is recorded, or need not be. */
void
positions_recorded(void)
{
	state_save();
	safemig_state.positions = NIL;
	safemig_state.positions_of = NIL;
	safemig_state.positions_recorded = list_length(lasting);
}

/* At the end of the transaction, with whose memory it goes. */
void
positions_forget(void)
{
	lasting = NIL;
}
