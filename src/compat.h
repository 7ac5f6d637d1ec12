/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  Every difference between the PostgreSQL versions that safemig is built
 *	  for, as functions with the newest signature.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_COMPAT_H
#define SAFEMIG_COMPAT_H

#include "access/htup_details.h"
#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_default_acl.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_largeobject_metadata.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_publication.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_tablespace.h"
#include "catalog/pg_type.h"
#include "commands/alter.h"
#include "commands/cluster.h"
#include "commands/defrem.h"
#include "executor/executor.h"
#include "nodes/parsenodes.h"
#include "parser/parse_relation.h"
#include "parser/parse_type.h"
#include "pgstat.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/smgr.h"
#include "utils/acl.h"
#include "utils/backend_status.h"
#include "utils/lsyscache.h"
#include "utils/guc.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"
#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#endif

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 190000
#error "safemig supports PostgreSQL 15 to 18"
#endif

/* Does the statement itself name the relation, or is it a child of one that it names? */
static inline bool
rte_is_named(const RangeTblEntry *entry)
{
#if PG_VERSION_NUM < 160000
	return entry->requiredPerms != 0;
#else
	return entry->perminfoindex != 0;
#endif
}

#if PG_VERSION_NUM < 160000

/* afbfc02983 (16): one function for all catalogs */
static inline AclResult
object_aclcheck(Oid classid, Oid objectid, Oid roleid, AclMode mode)
{
	switch (classid)
	{
		case NamespaceRelationId:
			return pg_namespace_aclcheck(objectid, roleid, mode);
		case ProcedureRelationId:
			return pg_proc_aclcheck(objectid, roleid, mode);
		case TypeRelationId:
			return pg_type_aclcheck(objectid, roleid, mode);
		case TableSpaceRelationId:
			return pg_tablespace_aclcheck(objectid, roleid, mode);
		default:
			elog(ERROR, "unexpected catalog %u", classid);
			return ACLCHECK_NO_PRIV;
	}
}

static inline bool
object_ownercheck(Oid classid, Oid objectid, Oid roleid)
{
	switch (classid)
	{
		case RelationRelationId:
			return pg_class_ownercheck(objectid, roleid);
		case ProcedureRelationId:
			return pg_proc_ownercheck(objectid, roleid);
		case NamespaceRelationId:
			return pg_namespace_ownercheck(objectid, roleid);
		case TypeRelationId:
			return pg_type_ownercheck(objectid, roleid);
		default:
			elog(ERROR, "unexpected catalog %u", classid);
			return false;
	}
}
#endif

/* 4f622503d6 (17): pg_attribute.attstattarget is null for the default */
static inline int
attribute_statistics_target(HeapTuple tuple, TupleDesc desc)
{
#if PG_VERSION_NUM >= 170000
	bool		isnull;
	Datum		target = heap_getattr(tuple, Anum_pg_attribute_attstattarget,
									  desc, &isnull);

	return isnull ? -1 : DatumGetInt16(target);
#else
	return ((Form_pg_attribute) GETSTRUCT(tuple))->attstattarget;
#endif
}

#ifndef ATTRIBUTE_GENERATED_VIRTUAL /* 83ea6c5402 (18) */
#define ATTRIBUTE_GENERATED_VIRTUAL 'v'
#endif

/* 5d06e99a3c (17): ALTER COLUMN ... SET EXPRESSION */
static inline bool
generated_can_change(void)
{
	return PG_VERSION_NUM >= 170000;
}

static inline bool
alters_expression(AlterTableType subtype)
{
#if PG_VERSION_NUM >= 170000
	return subtype == AT_SetExpression;
#else
	return false;
#endif
}

/* 699586315704 (17): partitions take identity from the partitioned table */
static inline bool
partitions_inherit_identity(void)
{
	return PG_VERSION_NUM >= 170000;
}

/* e5bc9454e5 (17): what a type brings along is in an extension with the type */
static inline bool
dependent_types_are_members(void)
{
	return PG_VERSION_NUM >= 170000;
}

#ifndef CONSTRAINT_NOTNULL		/* e5da0fe3c2 (17) */
#define CONSTRAINT_NOTNULL 'n'
#endif

/* 14e87ffa5c (18): NOT NULL of a table's column has a row in pg_constraint */
static inline bool
not_null_is_constraint(void)
{
	return PG_VERSION_NUM >= 180000;
}

/* e5da0fe3c2 (17): so has that of a domain */
static inline bool
domain_not_null_is_constraint(void)
{
	return PG_VERSION_NUM >= 170000;
}

/*
 * What VACUUM FULL does to a table: rows keep their order and what they bear,
 * dropped columns lose what they have in them.  18 takes the relation, and
 * closes it.
 */
static inline void
rewrite_without_dropped(Oid relid)
{
	ClusterParams params = {0};

#if PG_VERSION_NUM >= 180000
	cluster_rel(table_open(relid, AccessExclusiveLock), InvalidOid, &params);
#else
	cluster_rel(relid, InvalidOid, &params);
#endif
}

/* d435f15fff (17): the catalog is named instead of being open */
static inline void
change_object_owner(Oid classid, Oid objectid, Oid owner)
{
#if PG_VERSION_NUM >= 170000
	AlterObjectOwner_internal(classid, objectid, owner);
#else
	Relation	catalog = table_open(classid == LargeObjectRelationId ?
									 LargeObjectMetadataRelationId : classid,
									 RowExclusiveLock);

	AlterObjectOwner_internal(catalog, objectid, owner);
	table_close(catalog, RowExclusiveLock);
#endif
}

/* 5983a4cffc (18): offsets of attributes are cached in compact ones */
static inline void
forget_attribute_offsets(TupleDesc desc)
{
	for (int i = 0; i < desc->natts; i++)
	{
#if PG_VERSION_NUM >= 180000
		populate_compact_attribute(desc, i);
#else
		TupleDescAttr(desc, i)->attcacheoff = -1;
#endif
	}
}

/* ca87c415e2 (18): NOT ENFORCED */
static inline bool
constraint_is_enforced(const Constraint *constraint)
{
#if PG_VERSION_NUM >= 180000
	return (constraint->contype != CONSTR_CHECK && constraint->contype != CONSTR_FOREIGN) ||
		constraint->is_enforced;
#else
	return true;
#endif
}

/* 18: ADD CONSTRAINT locks all tables that inherit, whatever the constraint */
static inline bool
constraint_locks_all_below(void)
{
	return PG_VERSION_NUM >= 180000;
}

/* 83ea6c5402 (18): GENERATED ... VIRTUAL */
static inline bool
constraint_is_virtual(const Constraint *constraint)
{
#if PG_VERSION_NUM >= 180000
	return constraint->generated_kind == ATTRIBUTE_GENERATED_VIRTUAL;
#else
	return false;
#endif
}

/* ca87c415e2 (18): a made-up constraint has to say that it is enforced */
static inline void
constraint_set_enforced(Constraint *constraint)
{
#if PG_VERSION_NUM >= 180000
	constraint->is_enforced = true;
#endif
}

/* 858e776c84 (16): soft errors */
static inline List *
qualified_name_list(const char *name)
{
#if PG_VERSION_NUM >= 160000
	return stringToQualifiedNameList(name, NULL);
#else
	return stringToQualifiedNameList(name);
#endif
}

/* 858e776c84 (16): soft errors.  False if there is no such type. */
static inline bool
type_from_string(const char *name, Oid *type, int32 *typmod)
{
#if PG_VERSION_NUM >= 160000
	ErrorSaveContext context = {T_ErrorSaveContext};

	return parseTypeString(name, type, typmod, (Node *) &context);
#else
	parseTypeString(name, type, typmod, true);
	return OidIsValid(*type);
#endif
}

/*
 * An executor state for updating one column of one relation.
 * a61b1f7482 (16): RTEPermissionInfo; 1fc2e9fbc0 (18): unpruned relations.
 */
static inline EState *
estate_for_update(Relation rel, AttrNumber attnum)
{
	EState	   *estate = CreateExecutorState();
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	Bitmapset  *updated = bms_make_singleton(attnum - FirstLowInvalidHeapAttributeNumber);

	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(rel);
	rte->relkind = rel->rd_rel->relkind;
	rte->rellockmode = AccessShareLock;
#if PG_VERSION_NUM >= 160000
	{
		List	   *infos = NIL;

		addRTEPermissionInfo(&infos, rte)->updatedCols = updated;
#if PG_VERSION_NUM >= 180000
		ExecInitRangeTable(estate, list_make1(rte), infos, bms_make_singleton(1));
#else
		ExecInitRangeTable(estate, list_make1(rte), infos);
#endif
	}
#else
	rte->updatedCols = updated;
	ExecInitRangeTable(estate, list_make1(rte));
#endif
	return estate;
}

/* StoreAttrDefault lost add_column_mode in 18 */
static inline Oid
store_attribute_default(Relation rel, AttrNumber attnum, Node *expression)
{
#if PG_VERSION_NUM >= 180000
	return StoreAttrDefault(rel, attnum, expression, true);
#else
	return StoreAttrDefault(rel, attnum, expression, true, false);
#endif
}

/* 4f622503d6 (17): pg_attribute.attstattarget is null for the default */
static inline void
reset_statistics_target(Datum *values, bool *nulls, bool *replaces)
{
	int			i = Anum_pg_attribute_attstattarget - 1;

	replaces[i] = true;
#if PG_VERSION_NUM >= 170000
	nulls[i] = true;
#else
	values[i] = Int32GetDatum(-1);
#endif
}

/* 90189eefc1 (17): attinhcount and attndims are int2 */
static inline Datum
small_attribute_datum(int value)
{
#if PG_VERSION_NUM >= 170000
	return Int16GetDatum((int16) value);
#else
	return Int32GetDatum(value);
#endif
}

/* b0a55e4329 (16): a file node is a file number */
static inline void
relation_set_new_storage(Relation relation)
{
#if PG_VERSION_NUM >= 160000
	RelationSetNewRelfilenumber(relation, relation->rd_rel->relpersistence);
#else
	RelationSetNewRelfilenode(relation, relation->rd_rel->relpersistence);
#endif
}

/* 012460ee93 (17): pg_statistic_ext.stxstattarget is null for the default */
static inline int
statistics_object_target(HeapTuple tuple)
{
#if PG_VERSION_NUM >= 170000
	bool		isnull;
	Datum		target = SysCacheGetAttr(STATEXTOID, tuple,
										 Anum_pg_statistic_ext_stxstattarget,
										 &isnull);

	return isnull ? -1 : DatumGetInt16(target);
#else
	return ((Form_pg_statistic_ext) GETSTRUCT(tuple))->stxstattarget;
#endif
}

/* 6fbd7b93c6 (16): t_id is id */
static inline Oid
table_status_oid(const PgStat_TableStatus *status)
{
#if PG_VERSION_NUM >= 160000
	return status->id;
#else
	return status->t_id;
#endif
}

/* f21848de20 (17): REINDEX fires events */
static inline bool
reindex_fires_events(void)
{
	return PG_VERSION_NUM >= 170000;
}

#ifndef COLLPROVIDER_BUILTIN	/* 2d819a08a1 (17) */
#define COLLPROVIDER_BUILTIN 'b'
#endif

#ifndef DEFACLOBJ_LARGEOBJECT	/* 0d6c477664 (18) */
#define DEFACLOBJ_LARGEOBJECT 'L'
#endif

#ifndef ACL_MAINTAIN			/* ecb0fd3372 (17) */
#define ACL_MAINTAIN ACL_NO_RIGHTS
#endif

/* f696c0cd5f (17): colliculocale is colllocale */
static inline AttrNumber
collation_locale_column(void)
{
#if PG_VERSION_NUM >= 170000
	return Anum_pg_collation_colllocale;
#else
	return Anum_pg_collation_colliculocale;
#endif
}

/* 30a53b7929 (16): tailoring rules of ICU collations */
static inline AttrNumber
collation_rules_column(void)
{
#if PG_VERSION_NUM >= 160000
	return Anum_pg_collation_collicurules;
#else
	return InvalidAttrNumber;
#endif
}

/* 7054186c4e (18): generated columns; NULL where there is no such option */
static inline const char *
publication_generated_columns(Form_pg_publication form)
{
#if PG_VERSION_NUM >= 180000
	return form->pubgencols == PUBLISH_GENCOLS_STORED ? "stored" : "none";
#else
	return NULL;
#endif
}

/* c44ec2d76b (17): or a stronger one */
#if PG_VERSION_NUM < 170000
#define LockHeldByMe(tag, mode, orstronger) LockHeldByMe(tag, mode)
#endif

/* 27f5c712b2 (16): the number of partitions below */
static inline ObjectAddress
define_index_unbuilt(Oid relid, IndexStmt *stmt)
{
	return DefineIndex(relid, stmt, InvalidOid, InvalidOid, InvalidOid,
#if PG_VERSION_NUM >= 160000
					   -1,
#endif
					   false, true, true, true, true);
}

/* 19d8e2308b (16): indexes that only summarize */
static inline List *
insert_index_tuples(ResultRelInfo *target, TupleTableSlot *slot, EState *estate)
{
	return ExecInsertIndexTuples(target, slot, estate, false, false, NULL, NIL
#if PG_VERSION_NUM >= 160000
								 ,false
#endif
		);
}

#if PG_VERSION_NUM < 170000		/* exported by 17 */
static inline Oid
get_rel_relam(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			result = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		result = ((Form_pg_class) GETSTRUCT(tuple))->relam;
		ReleaseSysCache(tuple);
	}
	return result;
}
#endif

/* a61b1f7482 (16): permissions in a list of their own */
#if PG_VERSION_NUM >= 160000
#define CHECK_PERMS_PARAMETERS List *range_table, List *perms, bool report
#define CHECK_PERMS_ARGUMENTS range_table, perms, report
#else
#define CHECK_PERMS_PARAMETERS List *range_table, bool report
#define CHECK_PERMS_ARGUMENTS range_table, report
#endif

/* the row in place of another; true if indexes need it, in_all if all do */
static inline bool
update_row(Relation rel, ItemPointer tid, TupleTableSlot *slot,
		   Snapshot snapshot, bool *in_all)
{
#if PG_VERSION_NUM >= 160000	/* 19d8e2308b (16) */
	TU_UpdateIndexes update;

	simple_table_tuple_update(rel, tid, slot, snapshot, &update);
	*in_all = update == TU_All;
	return update != TU_None;
#else
	bool		update;

	simple_table_tuple_update(rel, tid, slot, snapshot, &update);
	*in_all = true;
	return update;
#endif
}

static inline List *
update_index_tuples(ResultRelInfo *target, TupleTableSlot *slot, EState *estate,
					bool in_all)
{
	return ExecInsertIndexTuples(target, slot, estate, false, false, NULL, NIL
#if PG_VERSION_NUM >= 160000
								 ,!in_all
#endif
		);
}

/* false: one of these indexes has such a row already */
static inline bool
index_places_are_free(ResultRelInfo *target, TupleTableSlot *slot, EState *estate,
					  ItemPointer taken_by, List *indexes)
{
#if PG_VERSION_NUM >= 180000	/* (18) the row itself is no conflict */
	ItemPointerData none;

	ItemPointerSetInvalid(&none);
	return ExecCheckIndexConstraints(target, slot, estate, taken_by, &none, indexes);
#else
	return ExecCheckIndexConstraints(target, slot, estate, taken_by, indexes);
#endif
}

static inline IndexScanDesc
begin_index_scan(Relation rel, Relation index, Snapshot snapshot, int nkeys)
{
#if PG_VERSION_NUM >= 180000	/* 0fbceae841 (18) */
	return index_beginscan(rel, index, snapshot, NULL, nkeys, 0);
#else
	return index_beginscan(rel, index, snapshot, nkeys, 0);
#endif
}

/* Did the relation get its storage in this transaction? */
static inline bool
storage_is_fresh(Relation rel)
{
#if PG_VERSION_NUM >= 160000	/* b0a55e4329 (16) */
	return rel->rd_createSubid != InvalidSubTransactionId ||
		rel->rd_firstRelfilelocatorSubid != InvalidSubTransactionId;
#else
	return rel->rd_createSubid != InvalidSubTransactionId ||
		rel->rd_firstRelfilenodeSubid != InvalidSubTransactionId;
#endif
}

#if PG_VERSION_NUM >= 180000	/* 3eea7a0c97 (18) */
#define EXECUTOR_RUN_PARAMETERS QueryDesc *query, ScanDirection direction, uint64 count
#define EXECUTOR_RUN_ARGUMENTS query, direction, count
#else
#define EXECUTOR_RUN_PARAMETERS QueryDesc *query, ScanDirection direction, uint64 count, bool once
#define EXECUTOR_RUN_ARGUMENTS query, direction, count, once
#endif

static inline bool
check_is_enforced(const ConstrCheck *check)
{
#if PG_VERSION_NUM >= 180000	/* ca87c415e2 (18) */
	return check->ccenforced;
#else
	return true;
#endif
}

/* Labels of a switch over AlterTableType: subcommands that not all versions have. */
#if PG_VERSION_NUM < 160000
#define VERSION_SUBCOMMANDS \
	case AT_AddColumnRecurse: \
	case AT_DropColumnRecurse: \
	case AT_AddConstraintRecurse: \
	case AT_ValidateConstraintRecurse: \
	case AT_DropConstraintRecurse: \
	case AT_CheckNotNull:
#elif PG_VERSION_NUM < 170000
#define VERSION_SUBCOMMANDS \
	case AT_CheckNotNull:
#elif PG_VERSION_NUM < 180000
#define VERSION_SUBCOMMANDS \
	case AT_SetExpression: \
	case AT_CheckNotNull:
#else
#define VERSION_SUBCOMMANDS \
	case AT_SetExpression:
#endif

/* e83d1b0c40 (17): nobody's fire in what is undone anyway */
static inline void
event_triggers_off(void)
{
#if PG_VERSION_NUM >= 170000
	(void) set_config_option("event_triggers", "off", PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
#endif
}

/* " WITH ..." of GRANT role TO member */
static inline char *
membership_options(Form_pg_auth_members form)
{
#if PG_VERSION_NUM >= 160000	/* e3ce2de09d, 3d14e171e9 (16) */
	return psprintf(" WITH ADMIN %s, INHERIT %s, SET %s",
					form->admin_option ? "TRUE" : "FALSE",
					form->inherit_option ? "TRUE" : "FALSE",
					form->set_option ? "TRUE" : "FALSE");
#else
	return pstrdup(form->admin_option ? " WITH ADMIN OPTION" : "");
#endif
}

/* 8a674faa26 (16): by index, from 1 on, under another name */
static inline LocalPgBackendStatus *
backend_status_by_index(int index)
{
#if PG_VERSION_NUM >= 160000
	return pgstat_get_local_beentry_by_index(index);
#else
	return pgstat_fetch_stat_local_beentry(index);
#endif
}

/* 46a0cd4cef (16): counts of its own */
static inline int64
table_status_scans(const PgStat_TableStatus *status)
{
#if PG_VERSION_NUM >= 160000
	return status->counts.numscans;
#else
	return status->t_counts.t_numscans;
#endif
}

/* b0a55e4329 (16): a file is located by another type of another name */
#if PG_VERSION_NUM >= 160000
typedef RelFileLocator FileLocator;
#else
typedef RelFileNode FileLocator;
#endif

/* 024c521117 (17): no backend is known by its process number */
static inline SMgrRelation
open_file(FileLocator locator)
{
#if PG_VERSION_NUM >= 170000
	return smgropen(locator, INVALID_PROC_NUMBER);
#else
	return smgropen(locator, InvalidBackendId);
#endif
}

/* c4b3d45d5c (16): lists of another type.  The partition is to be locked. */
static inline PROCLOCK *
next_lock_of_mine(int partition, PROCLOCK *after)
{
#if PG_VERSION_NUM >= 160000
	dlist_head *list = &MyProc->myProcLocks[partition];

	if (after == NULL)
		return dlist_is_empty(list) ? NULL : dlist_head_element(PROCLOCK, procLink, list);
	return dlist_has_next(list, &after->procLink) ?
		dlist_container(PROCLOCK, procLink, dlist_next_node(list, &after->procLink)) : NULL;
#else
	SHM_QUEUE  *list = &MyProc->myProcLocks[partition];

	return (PROCLOCK *) SHMQueueNext(list, after ? &after->procLink : list,
									 offsetof(PROCLOCK, procLink));
#endif
}

/* c4d5cb71d2 (18): more than sixteen, in groups */
static inline int
fast_path_slots(void)
{
#if PG_VERSION_NUM >= 180000
	return FastPathLockSlotsPerBackend();
#else
	return FP_LOCK_SLOTS_PER_BACKEND;
#endif
}

/* A bit for each of the three weakest modes. */
static inline int
fast_path_modes(int slot)
{
#if PG_VERSION_NUM >= 180000
	return (int) (MyProc->fpLockBits[slot / FP_LOCK_SLOTS_PER_GROUP] >>
				  (3 * (slot % FP_LOCK_SLOTS_PER_GROUP))) & 7;
#else
	return (int) (MyProc->fpLockBits >> (3 * slot)) & 7;
#endif
}

#endif							/* SAFEMIG_COMPAT_H */
