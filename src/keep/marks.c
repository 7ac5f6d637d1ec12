/*-------------------------------------------------------------------------
 *
 * marks.c
 *	  Marks in the catalogs that a rollback has to set and no statement can.
 *
 * Leaving a parent table makes inherited columns and constraints local ones,
 * and inheriting again leaves them so; the triggers of a foreign key that is
 * made anew are enabled, under names that nobody could have known; NOT NULL is
 * dropped from a partitioned table only together with all partitions'.  Each
 * function changes the flags of one object, under the lock that PostgreSQL
 * takes for such a change, and is recorded like a command.  What concerns
 * indexes is in index.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_trigger.h"
#include "commands/defrem.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "compat.h"
#include "keep/column.h"

PG_FUNCTION_INFO_V1(safemig_set_column_local);
PG_FUNCTION_INFO_V1(safemig_drop_not_null);
PG_FUNCTION_INFO_V1(safemig_set_constraint_local);
PG_FUNCTION_INFO_V1(safemig_set_constraint_parents);
PG_FUNCTION_INFO_V1(safemig_set_constraint_no_inherit);
PG_FUNCTION_INFO_V1(safemig_set_constraint_triggers);
PG_FUNCTION_INFO_V1(safemig_name_constraint_copy);
PG_FUNCTION_INFO_V1(safemig_name_constraint_part);

static Oid
lock_relation(text *name, LOCKMODE lockmode)
{
	RangeVar   *relation = makeRangeVarFromNameList(textToQualifiedNameList(name));

	return RangeVarGetRelid(relation, lockmode, false);
}

/* What happens in between is recorded as one command on that object. */
static void
begin_mark(ObjectAddress *address, Oid classid, Oid objid)
{
	ObjectAddressSet(*address, classid, objid);
	capture_internal_begin("ALTER TABLE", list_make1(address));
}

/* Changes the row of pg_attribute, and nothing else. */
static void
change_column(text *table, char *column, void (*set) (Form_pg_attribute form, bool value),
			  bool value)
{
	Oid			relid = lock_relation(table, AccessExclusiveLock);
	ObjectAddress address;
	Relation	rel;
	HeapTuple	tuple;

	begin_mark(&address, RelationRelationId, relid);
	rel = table_open(AttributeRelationId, RowExclusiveLock);
	tuple = SearchSysCacheCopyAttName(relid, column);
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist",
						column, get_rel_name(relid))));
	set((Form_pg_attribute) GETSTRUCT(tuple), value);
	CatalogTupleUpdate(rel, &tuple->t_self, tuple);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
	capture_internal_end();
}

static void
set_column_islocal(Form_pg_attribute form, bool value)
{
	form->attislocal = value;
}

static void
set_notnull(Form_pg_attribute form, bool value)
{
	form->attnotnull = value;
}

Datum
safemig_set_column_local(PG_FUNCTION_ARGS)
{
	check_own_call("set_column_local");
	change_column(PG_GETARG_TEXT_PP(0), text_to_cstring(PG_GETARG_TEXT_PP(1)),
				  set_column_islocal, PG_GETARG_BOOL(2));
	PG_RETURN_VOID();
}

Datum
safemig_drop_not_null(PG_FUNCTION_ARGS)
{
	check_own_call("drop_not_null");
	change_column(PG_GETARG_TEXT_PP(0), text_to_cstring(PG_GETARG_TEXT_PP(1)),
				  set_notnull, false);
	PG_RETURN_VOID();
}

/* ---- constraints ---- */

static Oid
constraint_by_name(Oid relid, text *name)
{
	return get_relation_constraint_oid(relid, text_to_cstring(name), false);
}

/* Writes one flag or number, which set puts into the row. */
static void
change_constraint(Oid relid, Oid constraint,
				  void (*set) (Form_pg_constraint form, int value), int value)
{
	ObjectAddress address;
	Relation	rel;
	HeapTuple	tuple;

	begin_mark(&address, ConstraintRelationId, constraint);
	rel = table_open(ConstraintRelationId, RowExclusiveLock);
	tuple = SearchSysCacheCopy1(CONSTROID, ObjectIdGetDatum(constraint));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for constraint %u", constraint);
	set((Form_pg_constraint) GETSTRUCT(tuple), value);
	CatalogTupleUpdate(rel, &tuple->t_self, tuple);
	table_close(rel, RowExclusiveLock);
	CacheInvalidateRelcacheByRelid(relid);
	CommandCounterIncrement();
	capture_internal_end();
}

static void
set_islocal(Form_pg_constraint form, int value)
{
	form->conislocal = value;
}

static void
set_inhcount(Form_pg_constraint form, int value)
{
	form->coninhcount = value;
}

static void
set_noinherit(Form_pg_constraint form, int value)
{
	form->connoinherit = value;
}

Datum
safemig_set_constraint_local(PG_FUNCTION_ARGS)
{
	Oid			relid;

	check_own_call("set_constraint_local");
	relid = lock_relation(PG_GETARG_TEXT_PP(0), AccessExclusiveLock);
	change_constraint(relid, constraint_by_name(relid, PG_GETARG_TEXT_PP(1)),
					  set_islocal, PG_GETARG_BOOL(2));
	PG_RETURN_VOID();
}

Datum
safemig_set_constraint_parents(PG_FUNCTION_ARGS)
{
	Oid			relid;

	check_own_call("set_constraint_parents");
	relid = lock_relation(PG_GETARG_TEXT_PP(0), AccessExclusiveLock);
	change_constraint(relid, constraint_by_name(relid, PG_GETARG_TEXT_PP(1)),
					  set_inhcount, PG_GETARG_INT32(2));
	PG_RETURN_VOID();
}

Datum
safemig_set_constraint_no_inherit(PG_FUNCTION_ARGS)
{
	Oid			relid;

	check_own_call("set_constraint_no_inherit");
	relid = lock_relation(PG_GETARG_TEXT_PP(0), AccessExclusiveLock);
	change_constraint(relid, constraint_by_name(relid, PG_GETARG_TEXT_PP(1)),
					  set_noinherit, PG_GETARG_BOOL(2));
	PG_RETURN_VOID();
}

/* Is it the original, or a copy of a copy of it? */
static bool
comes_from(Oid constraint, Oid original)
{
	while (OidIsValid(constraint) && constraint != original)
	{
		HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for constraint %u", constraint);
		constraint = ((Form_pg_constraint) GETSTRUCT(tuple))->conparentid;
		ReleaseSysCache(tuple);
	}
	return OidIsValid(constraint);
}

/* The copy of a foreign key, on the same table, that refers to a partition. */
static Oid
find_copy(Oid relid, Oid original, Oid referenced)
{
	Relation	rel = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			found = InvalidOid;

	ScanKeyInit(&key, Anum_pg_constraint_conrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, ConstraintRelidTypidNameIndexId, true, NULL,
							  1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);

		if (form->confrelid == referenced && comes_from(form->oid, original))
			found = form->oid;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (!OidIsValid(found))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("constraint \"%s\" of table \"%s\" does not refer to \"%s\"",
						get_constraint_name(original), get_rel_name(relid),
						get_rel_name(referenced))));
	return found;
}

/* Another copy that has the name gets one of its own later. */
static void
name_constraint(Oid relid, Oid constraint, const char *name)
{
	Oid			other = get_relation_constraint_oid(relid, name, true);
	ObjectAddress addresses[2];

	if (other == constraint)
		return;
	ObjectAddressSet(addresses[0], ConstraintRelationId, constraint);
	ObjectAddressSet(addresses[1], ConstraintRelationId, other);
	capture_internal_begin("ALTER TABLE",
						   OidIsValid(other) ? list_make2(&addresses[0], &addresses[1]) :
						   list_make1(&addresses[0]));
	if (OidIsValid(other))
	{
		RenameConstraintById(other,
							 ChooseConstraintName(name, NULL, "copy",
												  get_rel_namespace(relid), NIL));
		CommandCounterIncrement();
	}
	RenameConstraintById(constraint, name);
	CacheInvalidateRelcacheByRelid(relid);
	CommandCounterIncrement();
	capture_internal_end();
}

Datum
safemig_name_constraint_copy(PG_FUNCTION_ARGS)
{
	Oid			relid;

	check_own_call("name_constraint_copy");
	relid = lock_relation(PG_GETARG_TEXT_PP(0), AccessExclusiveLock);
	name_constraint(relid,
					find_copy(relid, constraint_by_name(relid, PG_GETARG_TEXT_PP(1)),
							  lock_relation(PG_GETARG_TEXT_PP(2), AccessShareLock)),
					text_to_cstring(PG_GETARG_TEXT_PP(3)));
	PG_RETURN_VOID();
}

/* The part that a partition has of the partitioned table's foreign key. */
static Oid
find_part(Oid relid, Oid parent)
{
	Relation	rel = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			part = InvalidOid;

	ScanKeyInit(&key, Anum_pg_constraint_conrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, ConstraintRelidTypidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (((Form_pg_constraint) GETSTRUCT(tuple))->conparentid == parent)
			part = ((Form_pg_constraint) GETSTRUCT(tuple))->oid;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return part;
}

Datum
safemig_name_constraint_part(PG_FUNCTION_ARGS)
{
	Oid			relid;
	Oid			parent;
	Oid			part;

	check_own_call("name_constraint_part");
	relid = lock_relation(PG_GETARG_TEXT_PP(0), AccessExclusiveLock);
	parent = lock_relation(PG_GETARG_TEXT_PP(1), AccessShareLock);
	part = find_part(relid, constraint_by_name(parent, PG_GETARG_TEXT_PP(2)));
	if (!OidIsValid(part))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("\"%s\" has no part of constraint \"%s\"", get_rel_name(relid),
						text_to_cstring(PG_GETARG_TEXT_PP(2)))));
	name_constraint(relid, part, text_to_cstring(PG_GETARG_TEXT_PP(3)));
	PG_RETURN_VOID();
}

/* ---- the triggers of a constraint ---- */

/* The state that the list has for the trigger's function; else enabled. */
static char
trigger_state(const char *states, Oid function)
{
	char	   *name = get_func_name(function);
	size_t		len = strlen(name);
	const char *at = states;

	while (*at)
	{
		if (strncmp(at, name, len) == 0 && at[len] == ' ' && at[len + 1])
			return at[len + 1];
		at = strchr(at, ',');
		if (at == NULL)
			break;
		at += strspn(at, ", ");
	}
	return TRIGGER_FIRES_ON_ORIGIN;
}

/*
 * Whether a partition's trigger depends on the partitioned table's.  It
 * belongs to it in either case.
 */
static void
tie_trigger(Form_pg_trigger trigger, bool tied)
{
	ObjectAddress address;
	ObjectAddress referenced;

	deleteDependencyRecordsForClass(TriggerRelationId, trigger->oid,
									TriggerRelationId, DEPENDENCY_PARTITION_PRI);
	deleteDependencyRecordsForClass(TriggerRelationId, trigger->oid,
									RelationRelationId, DEPENDENCY_PARTITION_SEC);
	if (!tied || !OidIsValid(trigger->tgparentid))
		return;
	ObjectAddressSet(address, TriggerRelationId, trigger->oid);
	ObjectAddressSet(referenced, TriggerRelationId, trigger->tgparentid);
	recordDependencyOn(&address, &referenced, DEPENDENCY_PARTITION_PRI);
	ObjectAddressSet(referenced, RelationRelationId, trigger->tgrelid);
	recordDependencyOn(&address, &referenced, DEPENDENCY_PARTITION_SEC);
}

static void
change_triggers(Oid constraint, const char *states, bool tied)
{
	Relation	rel = table_open(TriggerRelationId, RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_tgconstraint, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(constraint));
	scan = systable_beginscan(rel, TriggerConstraintIndexId, true, NULL, 1,
							  &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		HeapTuple	copy = heap_copytuple(tuple);
		Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT(copy);
		char		state = trigger_state(states, trigger->tgfoid);

		if (trigger->tgenabled != state)
		{
			trigger->tgenabled = state;
			CatalogTupleUpdate(rel, &copy->t_self, copy);
			CacheInvalidateRelcacheByRelid(trigger->tgrelid);
		}
		tie_trigger(trigger, tied);
		heap_freetuple(copy);
	}
	systable_endscan(scan);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
}

/* Both tables of a foreign key have triggers of it. */
static void
lock_referenced(Oid constraint)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	Oid			relid;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for constraint %u", constraint);
	relid = ((Form_pg_constraint) GETSTRUCT(tuple))->confrelid;
	ReleaseSysCache(tuple);
	if (OidIsValid(relid))
		LockRelationOid(relid, ShareRowExclusiveLock);
}

Datum
safemig_set_constraint_triggers(PG_FUNCTION_ARGS)
{
	Oid			relid;
	Oid			constraint;
	ObjectAddress address;

	check_own_call("set_constraint_triggers");
	relid = lock_relation(PG_GETARG_TEXT_PP(0), ShareRowExclusiveLock);
	constraint = constraint_by_name(relid, PG_GETARG_TEXT_PP(1));
	lock_referenced(constraint);
	begin_mark(&address, ConstraintRelationId, constraint);
	change_triggers(constraint, text_to_cstring(PG_GETARG_TEXT_PP(2)),
					PG_GETARG_BOOL(3));
	capture_internal_end();
	PG_RETURN_VOID();
}
