/*-------------------------------------------------------------------------
 *
 * freeze.c
 *	  Kept rows whose types go, and come back.
 *
 * The types of an extension go with it and cannot be moved to the vault.  A
 * table in the vault that has a column of one is frozen: such columns are
 * turned into text, after a proof that every value can be read back from it
 * byte by byte, and the indexes, keys and statistics on them are taken away.
 * Types in the vault that are made from one are taken away too.  How all this
 * is made again stands in the details of what was kept; it is thawed before
 * it leaves the vault, when the types are there again by name (thaw.c).
 *
 * Rows are frozen too where their types stay, but PostgreSQL would not let
 * them be changed, or a domain be restricted, because of the rows.
 *
 * A tree of inheritance or partitions is frozen and thawed as a whole, with
 * its topmost table: that is the one that is put back first.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/typecmds.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "history/history.h"
#include "keep/column.h"
#include "keep/frozen.h"
#include "point.h"

/* One relation in the vault that loses something. */
typedef struct Frozen
{
	Oid			relid;
	Oid			root;			/* the topmost table of its tree */
	Bitmapset  *columns;		/* attnums, whose types go */
	bool		done;
} Frozen;

/* What goes for good: types with all that contain them, operator classes. */
typedef struct Going
{
	List	   *types;
	List	   *opclasses;
	List	   *methods;		/* of access */
	List	   *later;			/* types in the vault that are still needed outside */
	bool		stays;			/* the types do, only rows are to be without them */
} Going;

static void
refuse(Oid typid, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("type %s is needed by data that safemig keeps",
					format_type_be(typid)),
			 errdetail_internal("%s", detail),
			 errhint("SELECT * FROM safemig.kept WHERE state = 'kept'; shows it. Roll those migrations back first.")));
}

static char *
describe_relation(Oid relid)
{
	ObjectAddress address;

	ObjectAddressSet(address, RelationRelationId, relid);
	return getObjectDescription(&address, false);
}

/* ---- what is in the vault ---- */

static Frozen *
frozen_of(List **all, Oid relid)
{
	Frozen	   *frozen;
	ListCell   *lc;

	foreach(lc, *all)
	{
		frozen = lfirst(lc);
		if (frozen->relid == relid)
			return frozen;
	}
	frozen = palloc0(sizeof(Frozen));
	frozen->relid = relid;
	frozen->root = topmost_relation(relid);
	*all = lappend(*all, frozen);
	return frozen;
}

bool
is_vaulted_table(Oid relid)
{
	char		relkind = get_rel_relkind(relid);

	return (relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE) &&
		vault_is_schema(get_rel_namespace(relid));
}

/* Tables in the vault with an index by one of the operator classes. */
static void
add_tables_by_opclass(List **all, Oid opclass)
{
	ListCell   *lc;

	foreach(lc, dependencies_on(OperatorClassRelationId, opclass))
	{
		Form_pg_depend form = lfirst(lc);
		char		relkind = form->classid == RelationRelationId ?
		get_rel_relkind(form->objid) : '\0';
		Oid			relid;

		if (relkind != RELKIND_INDEX && relkind != RELKIND_PARTITIONED_INDEX)
			continue;
		relid = IndexGetRelation(form->objid, true);
		if (OidIsValid(relid) && is_vaulted_table(relid))
			(void) frozen_of(all, relid);
	}
}

/*
 * Does the column decide which partition a row is in?  Partitions are cut off
 * before they are kept alone; then a CHECK is the bound.
 */
static bool
decides_bound(Oid relid, AttrNumber attnum)
{
	Relation	rel = relation_open(relid, NoLock);
	TupleConstr *constr = RelationGetDescr(rel)->constr;
	Bitmapset  *column = bms_make_singleton(attnum - FirstLowInvalidHeapAttributeNumber);
	bool		in_expression;
	bool		decides = has_partition_attrs(rel, column, &in_expression);

	for (int i = 0; constr && i < constr->num_check; i++)
	{
		Bitmapset  *used = NULL;

		pull_varattnos(stringToNode(constr->check[i].ccbin), 1, &used);
		decides |= bms_overlap(column, used);
	}
	relation_close(rel, NoLock);
	return decides;
}

/* Does the column, or the one that it is in a table of the same tree? */
static bool
decides_bound_in_tree(Oid relid, AttrNumber attnum)
{
	char	   *name = get_attname(relid, attnum, false);
	Oid			root = topmost_relation(relid);
	ListCell   *lc;

	LockRelationOid(root, AccessExclusiveLock);
	foreach(lc, find_all_inheritors(root, AccessExclusiveLock, NULL))
	{
		AttrNumber	there = get_attnum(lfirst_oid(lc), name);

		if (there != InvalidAttrNumber && decides_bound(lfirst_oid(lc), there))
			return true;
	}
	return false;
}

static List *
find_frozen(const Going *going)
{
	List	   *all = NIL;
	ListCell   *lc;

	foreach(lc, type_columns(going->types))
	{
		ObjectAddress *column = lfirst(lc);
		Frozen	   *frozen;

		if (!is_vaulted_table(column->objectId) ||
			(going->stays &&
			 decides_bound_in_tree(column->objectId, column->objectSubId)))
			continue;
		frozen = frozen_of(&all, column->objectId);
		frozen->columns = bms_add_member(frozen->columns, column->objectSubId);
	}
	foreach(lc, going->opclasses)
		add_tables_by_opclass(&all, lfirst_oid(lc));
	foreach(lc, all)
		LockRelationOid(((Frozen *) lfirst(lc))->relid, AccessExclusiveLock);
	return all;
}

/* The tree's kept row; what has none is not ours to change. */
static Kept *
need_kept_of_root(const Frozen *frozen)
{
	Kept	   *kept = kept_of_relation(frozen->root);

	if (kept == NULL)
		elog(ERROR, "relation %u is in the vault, but was not kept there",
			 frozen->root);
	return kept;
}

/* ---- notes, numbered, in the details of what is kept ---- */

int
begin_note(Kept *kept, const char *what)
{
	int			n = count_notes(kept, what) + 1;

	kept_add_detail(kept, what, psprintf("%d", n));
	return n;
}

void
set_note(Kept *kept, const char *what, int n, const char *name, const char *value)
{
	if (value)
		kept_add_detail(kept, psprintf("%s %d%s", what, n, name), value);
}

/* Statements that make the object of the image again, where it is now. */
static void
note_steps(Kept *kept, Steps *steps, Oid typid)
{
	ListCell   *lc;

	if (steps->irreversible)
		refuse(typid, psprintf("It could not be put back: %s.", steps->irreversible));
	steps_sort(steps);
	foreach(lc, steps->list)
		set_note(kept, "thaw", begin_note(kept, "thaw"), "",
				 ((Step *) lfirst(lc))->sql);
}

static void
add_creation(Steps *steps, Oid classid, Oid objid)
{
	ObjectAddress address;
	Image	   *image;

	ObjectAddressSet(address, classid, objid);
	image = image_take(&address);
	if (image == NULL || image->class == NULL)
		elog(ERROR, "object %u of catalog %u cannot be described", objid, classid);
	compare_to_steps(NULL, image, steps);
}

/* ---- what hangs on the columns ---- */

static bool
index_is_concerned(Oid indexid, const Frozen *frozen, const Going *going)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(indexid));
	Form_pg_index form;
	oidvector  *opclasses;
	bool		result = false;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u", indexid);
	form = (Form_pg_index) GETSTRUCT(tuple);
	opclasses = (oidvector *) DatumGetPointer(SysCacheGetAttr(INDEXRELID, tuple,
															  Anum_pg_index_indclass,
															  &isnull));
	for (int i = 0; i < form->indnatts; i++)
		result |= form->indkey.values[i] > 0 &&
			bms_is_member(form->indkey.values[i], frozen->columns);
	for (int i = 0; i < form->indnkeyatts; i++)
		result |= list_member_oid(going->opclasses, opclasses->values[i]);
	ReleaseSysCache(tuple);
	return result;
}

static bool
statistics_are_concerned(Oid statid, const Frozen *frozen)
{
	HeapTuple	tuple = SearchSysCache1(STATEXTOID, ObjectIdGetDatum(statid));
	Form_pg_statistic_ext form;
	bool		result = false;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for statistics object %u", statid);
	form = (Form_pg_statistic_ext) GETSTRUCT(tuple);
	for (int i = 0; i < form->stxkeys.dim1; i++)
		result |= bms_is_member(form->stxkeys.values[i], frozen->columns);
	ReleaseSysCache(tuple);
	return result;
}

static void
add_going_object(List **objects, Oid classid, Oid objid)
{
	ObjectAddress *address = palloc(sizeof(ObjectAddress));

	ObjectAddressSet(*address, classid, objid);
	*objects = lappend(*objects, address);
}

/* Adds the indexes (or their constraints) and statistics that have to go. */
static void
find_hangers(const Frozen *frozen, const Going *going, Steps *steps, List **objects)
{
	Relation	rel = relation_open(frozen->relid, NoLock);
	List	   *indexes = RelationGetIndexList(rel);
	List	   *statistics = RelationGetStatExtList(rel);
	ListCell   *lc;

	relation_close(rel, NoLock);
	foreach(lc, indexes)
	{
		Oid			indexid = lfirst_oid(lc);
		Oid			constraint = get_index_constraint(indexid);

		if (!index_is_concerned(indexid, frozen, going))
			continue;
		if (OidIsValid(constraint))
			add_creation(steps, ConstraintRelationId, constraint);
		add_creation(steps, RelationRelationId, indexid);
		/* that of a partition goes with the partitioned table's */
		if (get_rel_relispartition(indexid))
			continue;
		if (OidIsValid(constraint))
			add_going_object(objects, ConstraintRelationId, constraint);
		else
			add_going_object(objects, RelationRelationId, indexid);
	}
	foreach(lc, statistics)
	{
		if (!statistics_are_concerned(lfirst_oid(lc), frozen))
			continue;
		add_creation(steps, StatisticExtRelationId, lfirst_oid(lc));
		add_going_object(objects, StatisticExtRelationId, lfirst_oid(lc));
	}
}

/* A column that partitions are made by keeps its type. */
static void
refuse_bounds(const Frozen *frozen, Oid typid)
{
	int			attnum = -1;

	while ((attnum = bms_next_member(frozen->columns, attnum)) >= 0)
	{
		if (decides_bound(frozen->relid, attnum))
			refuse(typid, psprintf("It decides which partition the rows of %s are in.",
								   describe_relation(frozen->relid)));
	}
}

/* ---- freezing ---- */

static bool
column_is_inherited(Oid relid, AttrNumber attnum)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
										Int16GetDatum(attnum));
	bool		inherited;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for attribute %d of relation %u",
			 attnum, relid);
	inherited = ((Form_pg_attribute) GETSTRUCT(tuple))->attinhcount > 0;
	ReleaseSysCache(tuple);
	return inherited;
}

/* Where the type is to be found when the column is thawed. */
static void
note_type(Kept *kept, int n, Oid typid, int32 typmod)
{
	Kept	   *needed = kept_of_type(typid);
	Oid			element = get_element_type(typid);
	Oid			extension = getExtensionOfObject(TypeRelationId,
												 OidIsValid(element) ? element : typid);

	set_note(kept, "frozen", n, ".type", type_name_at_home(typid, typmod));
	if (OidIsValid(extension))
		set_note(kept, "frozen", n, ".extension", get_extension_name(extension));
	if (needed == NULL)
		return;
	set_note(kept, "frozen", n, ".kept", psprintf(INT64_FORMAT, needed->id));
	set_note(kept, "frozen", n, ".kept type", format_type_with_typemod(typid, -1));
}

/* Notes what the column is, and returns what makes it text. */
static AlterTableCmd *
freeze_column(const Frozen *frozen, AttrNumber attnum, Kept *kept)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(frozen->relid),
										Int16GetDatum(attnum));
	FormData_pg_attribute att;
	int			n = begin_note(kept, "frozen");

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for attribute %d of relation %u",
			 attnum, frozen->relid);
	memcpy(&att, GETSTRUCT(tuple), ATTRIBUTE_FIXED_PART_SIZE);
	ReleaseSysCache(tuple);
	if (!column_is_proved(frozen->relid, NameStr(att.attname),
								  att.atttypid, false))
		refuse(att.atttypid, psprintf("The values of column \"%s\" of %s cannot be kept as text.",
									  NameStr(att.attname),
									  describe_relation(frozen->relid)));
	set_note(kept, "frozen", n, ".schema",
			 get_namespace_name(get_rel_namespace(frozen->relid)));
	set_note(kept, "frozen", n, ".relation", get_rel_name(frozen->relid));
	set_note(kept, "frozen", n, ".column", NameStr(att.attname));
	note_type(kept, n, att.atttypid, att.atttypmod);
	set_note(kept, "frozen", n, ".dimensions", psprintf("%d", att.attndims));
	if (OidIsValid(att.attcollation) &&
		att.attcollation != get_typcollation(att.atttypid))
		set_note(kept, "frozen", n, ".collation", collation_name_at_home(att.attcollation));
	return type_change(frozen->relid, attnum, TEXTOID, -1, InvalidOid, 0);
}

/* A column of a table's row type is text before that table's columns are. */
static void
freeze_relation(Frozen *frozen, List *all)
{
	Kept	   *kept;
	List	   *cmds = NIL;
	int			attnum = -1;
	ListCell   *lc;

	if (frozen->done)
		return;
	frozen->done = true;
	foreach(lc, type_columns(type_containers(list_make1_oid(get_rel_type_id(frozen->relid)))))
	{
		ObjectAddress *column = lfirst(lc);

		if (is_vaulted_table(column->objectId))
			freeze_relation(frozen_of(&all, column->objectId), all);
	}
	kept = need_kept_of_root(frozen);
	while ((attnum = bms_next_member(frozen->columns, attnum)) >= 0)
	{
		/* goes with the parent's, which has to have one */
		if (!column_is_inherited(frozen->relid, attnum))
			cmds = lappend(cmds, freeze_column(frozen, attnum, kept));
	}
	history_update_kept(kept);
	if (cmds != NIL)
	{
		SAFEMIG_POINT("freeze.proved");
		change_table(frozen->relid, cmds, true);
		SAFEMIG_POINT("freeze.changed");
		note_storage(frozen->root);
	}
}

/* Indexes and statistics of one tree: noted together, then taken away. */
static void
strip_tree(Oid root, List *all, const Going *going)
{
	Frozen	   *first = NULL;
	List	   *objects = NIL;
	ListCell   *lc;
	Steps		steps;
	Kept	   *kept;

	steps_init(&steps);
	foreach(lc, all)
	{
		Frozen	   *frozen = lfirst(lc);

		if (frozen->root != root)
			continue;
		if (first == NULL)
			first = frozen;
		if (going->types)
			refuse_bounds(frozen, linitial_oid(going->types));
		find_hangers(frozen, going, &steps, &objects);
	}
	kept = need_kept_of_root(first);
	note_steps(kept, &steps, going->types ? linitial_oid(going->types) : InvalidOid);
	history_update_kept(kept);
	foreach(lc, objects)
	{
		performDeletion(lfirst(lc), DROP_RESTRICT,
						PERFORM_DELETION_INTERNAL | PERFORM_DELETION_QUIETLY);
		CommandCounterIncrement();
	}
}

/*
 * A type in the vault that is made from what goes is made again; so are those
 * that are made from it.
 */
static void
freeze_type(Oid typid, const List *later)
{
	char		typtype;
	ObjectAddress address;
	Image	   *image;
	Steps		steps;
	Kept	   *kept;
	ListCell   *lc;

	if (list_member_oid(later, typid) ||
		!SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(typid)) ||
		!vault_is_schema(get_type_namespace(typid)))
		return;
	foreach(lc, type_containers(list_make1_oid(typid)))
	{
		if (lfirst_oid(lc) != typid)
			freeze_type(lfirst_oid(lc), later);
	}
	typtype = get_typtype(typid);
	if (typtype == TYPTYPE_RANGE)
		refuse(typid, "A range type cannot be put back without its subtype.");
	if (typtype != TYPTYPE_DOMAIN &&
		(typtype != TYPTYPE_COMPOSITE ||
		 get_rel_relkind(get_typ_typrelid(typid)) != RELKIND_COMPOSITE_TYPE))
		return;
	kept = history_kept_in_vault("type", get_namespace_name(get_type_namespace(typid)),
								 get_type_name(typid));
	if (kept == NULL)
		elog(ERROR, "type %u is in the vault, but was not kept there", typid);
	ObjectAddressSet(address, TypeRelationId, typid);
	image = image_take(&address);
	steps_init(&steps);
	compare_to_steps(NULL, image, &steps);
	note_steps(kept, &steps, typid);
	history_update_kept(kept);
	performDeletion(&address, DROP_RESTRICT,
					PERFORM_DELETION_INTERNAL | PERFORM_DELETION_QUIETLY);
	CommandCounterIncrement();
}

static void
freeze_types(const Going *going)
{
	ListCell   *lc;

	foreach(lc, going->types)
		freeze_type(lfirst_oid(lc), going->later);
}

static void
freeze_all(const Going *going)
{
	List	   *all = find_frozen(going);
	List	   *roots = NIL;
	ListCell   *lc;

	foreach(lc, all)
		roots = list_append_unique_oid(roots, ((Frozen *) lfirst(lc))->root);
	foreach(lc, roots)
		strip_tree(lfirst_oid(lc), all, going);
	foreach(lc, all)
		freeze_relation(lfirst(lc), all);
	if (!going->stays)
		freeze_types(going);
	leave_methods(going->methods);
}

/* Nothing that is made meanwhile becomes a member of an extension. */
static void
freeze_outside_of_extensions(void (*what) (const Going *going), const Going *going)
{
	bool		save_creating = creating_extension;

	creating_extension = false;
	PG_TRY();
	{
		what(going);
	}
	PG_FINALLY();
	{
		creating_extension = save_creating;
	}
	PG_END_TRY();
}

static void
freeze(void (*what) (const Going *going), const Going *going)
{
	Frame		frame;

	own_work_begin();
	frame_become_owner(&frame);
	freeze_outside_of_extensions(what, going);
	frame_unpin(&frame);
	own_work_end();
}

/*
 * To be called before types, operator classes and access methods go, which
 * cannot be moved to the vault, when all is in the vault that the command takes
 * there.  The types in later are left for vault_freeze_type().
 */
void
vault_freeze(List *types, List *opclasses, List *methods, List *later)
{
	Going		going = {types ? type_containers(types) : NIL, opclasses, methods, later, false};

	if (types != NIL || opclasses != NIL || methods != NIL)
		freeze(freeze_all, &going);
}

/* Of a type in the vault, when nothing outside of it has it any more. */
void
vault_freeze_type(Oid typid)
{
	Going		going = {list_make1_oid(typid)};

	freeze(freeze_types, &going);
}

/* To be called before types change in a way that stored values forbid. */
void
vault_freeze_rows(List *types)
{
	Going		going = {type_containers(types), NIL, NIL, NIL, true};
	ListCell   *lc;

	foreach(lc, type_columns(going.types))
	{
		if (is_vaulted_table(((ObjectAddress *) lfirst(lc))->objectId))
		{
			freeze(freeze_all, &going);
			return;
		}
	}
}
