/*-------------------------------------------------------------------------
 *
 * loan.c
 *	  Rights, lent to an owner for one statement.
 *
 * Who owns a table may lack USAGE of its schema, or of the schema of a
 * function that its CHECK calls: somebody else made it and gave it to him.  A
 * statement of a rollback that has to run as him could then not even name what
 * it is about.  So he is lent, within the transaction and for that statement,
 * USAGE of the schemas that the statement itself names.  A table's partitions
 * and children may belong to somebody else, and ALTER TABLE changes them too:
 * these are lent as well, where the statement is of that kind; so is EXECUTE
 * of the functions that the statement calls, of those that a trigger, or a
 * partition's triggers, call, or a CHECK that is validated, USAGE of the types
 * in its expressions, CREATE in an index's tablespace, and to an owner the
 * rights that he took from himself on his own table, where a foreign key refers
 * to it or the statement writes it, and on his own function, where it is
 * replaced.  Nothing else is; the statement could only be written because all
 * this was once there.
 *
 * Nobody else sees a loan: it is taken back before the transaction ends.  And
 * code of his that runs inside the statement cannot make it last: while it is
 * out, no command starts but the one that it is for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_tablespace.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/tablespace.h"
#include "parser/parse_func.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "safemig.h"

/* The ACL of an object, or the owner of a relation. */
typedef struct Loan
{
	Oid			classid;
	Oid			objid;
	struct varlena *acl;		/* as it was; NULL: the default */
	bool		of_owner;		/* of a relation: not its ACL */
	Oid			owner;			/* as he was */
} Loan;

/* ---- what is changed for a while ---- */

/* Writes an object's ACL; what it was comes back as a copy, or NULL. */
static struct varlena *
exchange_acl(Oid classid, Oid objid, struct varlena *acl)
{
	Relation	rel = table_open(classid, RowExclusiveLock);
	AttrNumber	attnum = get_object_attnum_acl(classid);
	int			natts = RelationGetDescr(rel)->natts;
	HeapTuple	tuple = SearchSysCacheCopy1(get_object_catcache_oid(classid),
											ObjectIdGetDatum(objid));
	Datum	   *values = palloc0(natts * sizeof(Datum));
	bool	   *nulls = palloc0(natts * sizeof(bool));
	bool	   *replaces = palloc0(natts * sizeof(bool));
	struct varlena *before = NULL;
	HeapTuple	changed;
	Datum		old;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for object %u of catalog %u", objid, classid);
	old = heap_getattr(tuple, attnum, RelationGetDescr(rel), &isnull);
	if (!isnull)
		before = (struct varlena *) DatumGetAclPCopy(old);
	values[attnum - 1] = PointerGetDatum(acl);
	nulls[attnum - 1] = acl == NULL;
	replaces[attnum - 1] = true;
	changed = heap_modify_tuple(tuple, RelationGetDescr(rel), values, nulls, replaces);
	CatalogTupleUpdate(rel, &changed->t_self, changed);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
	return before;
}

/* The object's ACL with these rights for the role; a copy. */
static Acl *
acl_with(Oid classid, Oid objid, Oid role, AclMode rights)
{
	int			cache = get_object_catcache_oid(classid);
	AclItem		item = {.ai_grantee = role};
	HeapTuple	tuple = SearchSysCache1(cache, ObjectIdGetDatum(objid));
	Datum		old;
	Acl		   *acl;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for object %u of catalog %u", objid, classid);
	item.ai_grantor = DatumGetObjectId(SysCacheGetAttr(cache, tuple,
													   get_object_attnum_owner(classid), &isnull));
	ACLITEM_SET_PRIVS_GOPTIONS(item, rights, ACL_NO_RIGHTS);
	old = SysCacheGetAttr(cache, tuple, get_object_attnum_acl(classid), &isnull);
	acl = isnull ? acldefault(classid == NamespaceRelationId ? OBJECT_SCHEMA :
							  classid == RelationRelationId ? OBJECT_TABLE :
							  classid == TypeRelationId ? OBJECT_TYPE :
							  classid == TableSpaceRelationId ? OBJECT_TABLESPACE : OBJECT_FUNCTION,
							  item.ai_grantor) : DatumGetAclPCopy(old);
	ReleaseSysCache(tuple);
	return aclupdate(acl, &item, ACL_MODECHG_ADD, item.ai_grantor, DROP_CASCADE);
}

/* One of its pg_class rows; it may be gone. */
static void
set_owner(Oid relid, Oid owner)
{
	Relation	rel = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(relid));

	if (HeapTupleIsValid(tuple) &&
		((Form_pg_class) GETSTRUCT(tuple))->relowner != owner)
	{
		((Form_pg_class) GETSTRUCT(tuple))->relowner = owner;
		CatalogTupleUpdate(rel, &tuple->t_self, tuple);
	}
	table_close(rel, RowExclusiveLock);
}

static void
set_owner_of_indexes(Oid relid, Oid owner)
{
	Relation	rel = table_open(IndexRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_index_indrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, IndexIndrelidIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		set_owner(((Form_pg_index) GETSTRUCT(tuple))->indexrelid, owner);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* With what a rewrite may have made anew as the owner that there was. */
static void
set_owner_of_all(Oid relid, Oid owner)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			toast;

	if (!HeapTupleIsValid(tuple))
		return;
	toast = ((Form_pg_class) GETSTRUCT(tuple))->reltoastrelid;
	ReleaseSysCache(tuple);
	set_owner(relid, owner);
	set_owner_of_indexes(relid, owner);
	if (OidIsValid(toast))
	{
		set_owner(toast, owner);
		set_owner_of_indexes(toast, owner);
	}
	CommandCounterIncrement();
}

/* ---- lending ---- */

static bool
has_rights(Oid classid, Oid objid, Oid role, AclMode rights)
{
	/* object_aclcheck() is content with any of several */
	for (AclMode right = 1; right <= rights; right <<= 1)
	{
		if ((rights & right) &&
			(classid == RelationRelationId ? pg_class_aclcheck(objid, role, right) :
			 object_aclcheck(classid, objid, role, right)) != ACLCHECK_OK)
			return false;
	}
	return true;
}

/* Until the frame is left; images are read as if it were not there. */
static Loan *
begin_loan(Frame *frame, Oid classid, Oid objid)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Loan	   *loan = palloc0(sizeof(Loan));

	loan->classid = classid;
	loan->objid = objid;
	if (frame->loans == NIL)
	{
		frame->lent = safemig_state.lent;
		frame->lent_commands = safemig_state.lent_commands;
		frame->lent_before = safemig_state.loans;
		state_save();
		safemig_state.lent = true;
		safemig_state.lent_commands = 0;
	}
	frame->loans = lcons(loan, frame->loans);
	safemig_state.loans = lcons(loan, list_copy(safemig_state.loans));
	MemoryContextSwitchTo(old);
	return loan;
}

static void
lend(Frame *frame, Oid classid, Oid objid, Oid role, AclMode rights)
{
	Loan	   *loan;
	MemoryContext old;

	if (has_rights(classid, objid, role, rights))
		return;
	loan = begin_loan(frame, classid, objid);
	old = MemoryContextSwitchTo(TopTransactionContext);
	loan->acl = exchange_acl(classid, objid,
							 (struct varlena *) acl_with(classid, objid, role, rights));
	MemoryContextSwitchTo(old);
}

/*
 * For a foreign key between two tables to be looked at.  Keys are looked up in
 * the table that it refers to as that one's owner; he may have taken his own
 * rights from himself, and could give them to himself again.
 */
void
frame_lend_for_reference(Frame *frame, Oid role, Oid relid, Oid referenced)
{
	Oid			owner = relation_owner(referenced);

	lend(frame, NamespaceRelationId, get_rel_namespace(relid), role, ACL_USAGE);
	lend(frame, NamespaceRelationId, get_rel_namespace(referenced), role, ACL_USAGE);
	lend(frame, NamespaceRelationId, get_rel_namespace(referenced), owner, ACL_USAGE);
	lend(frame, RelationRelationId, referenced, owner, ACL_SELECT | ACL_UPDATE);
}

/* What a table refers to, as its partitions will. */
static void
lend_references(Frame *frame, Oid role, Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	List	   *referenced = NIL;
	ListCell   *lc;

	foreach(lc, RelationGetFKeyList(rel))
		referenced = list_append_unique_oid(referenced,
											lfirst_node(ForeignKeyCacheInfo, lc)->confrelid);
	table_close(rel, NoLock);
	foreach(lc, referenced)
		frame_lend_for_reference(frame, role, relid, lfirst_oid(lc));
}

static void
lend_children(Frame *frame, Oid role, Oid relid)
{
	ListCell   *lc;

	if (!has_subclass(relid))
		return;
	foreach(lc, find_all_inheritors(relid, AccessExclusiveLock, NULL))
	{
		Oid			owner = relation_owner(lfirst_oid(lc));
		Loan	   *loan;

		if (lfirst_oid(lc) == relid || has_privs_of_role(role, owner))
			continue;
		loan = begin_loan(frame, RelationRelationId, lfirst_oid(lc));
		loan->of_owner = true;
		loan->owner = owner;
		set_owner_of_all(lfirst_oid(lc), role);
	}
}

/* A partition gets a copy of each trigger for rows. */
static void
lend_trigger_functions(Frame *frame, Oid role, Oid relid)
{
	Relation	rel = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *functions = NIL;
	ListCell   *lc;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);

		if (!form->tgisinternal)
			functions = list_append_unique_oid(functions, form->tgfoid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	foreach(lc, functions)
		lend(frame, ProcedureRelationId, lfirst_oid(lc), role, ACL_EXECUTE);
}

/* The functions that an object depends on. */
static List *
functions_of(Oid classid, Oid objid)
{
	List	   *functions = NIL;
	ListCell   *lc;

	foreach(lc, dependencies_of(classid, objid))
	{
		Form_pg_depend form = lfirst(lc);

		if (form->refclassid == ProcedureRelationId)
			functions = list_append_unique_oid(functions, form->refobjid);
	}
	return functions;
}

static void
lend_all(Frame *frame, Oid role, List *functions)
{
	ListCell   *lc;

	foreach(lc, functions)
		lend(frame, ProcedureRelationId, lfirst_oid(lc), role, ACL_EXECUTE);
}

static void
lend_functions_of_check(Frame *frame, Oid role, Oid relid, const char *name)
{
	lend_all(frame, role,
			 functions_of(ConstraintRelationId, get_relation_constraint_oid(relid, name, true)));
}

/*
 * What is evaluated when rows of a table are written: its indexes, CHECKs and
 * generated columns may call what their owner may not call any more.
 */
void
frame_lend_for_rows(Frame *frame, Oid role, Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	TupleDesc	desc = RelationGetDescr(rel);
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
		lend_all(frame, role, functions_of(RelationRelationId, lfirst_oid(lc)));
	for (int i = 0; desc->constr && i < desc->constr->num_check; i++)
		lend_functions_of_check(frame, role, relid, desc->constr->check[i].ccname);
	for (int i = 0; i < desc->natts; i++)
	{
		if (TupleDescAttr(desc, i)->attgenerated)
			lend_all(frame, role,
					 functions_of(AttrDefaultRelationId, GetAttrDefaultOid(relid, i + 1)));
	}
}

/*
 * VALIDATE CONSTRAINT does not ask who owns the children.  What is attached
 * belongs to the role already, but its own partitions may not: their rows are
 * looked at.
 */
void
frame_lend_for_alter(Frame *frame, Oid role, Oid relid, List *cmds, bool recurse)
{
	ListCell   *lc;

	foreach(lc, cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		switch (cmd->subtype)
		{
			case AT_ColumnDefault:
			case AT_AddConstraint:
			case AT_AddColumn:
			case AT_AlterColumnType:
			case AT_SetNotNull:
			case AT_DropNotNull:
				if (recurse)
					lend_children(frame, role, relid);
				break;
			case AT_ValidateConstraint:
				lend_functions_of_check(frame, role, relid, cmd->name);
				break;
			case AT_AttachPartition:
				lend_trigger_functions(frame, role, relid);
				lend_references(frame, role, relid);
				lend_children(frame, role,
							  RangeVarGetRelid(castNode(PartitionCmd, cmd->def)->name,
											   NoLock, false));
				break;
			default:
				break;
		}
	}
}

/*
 * Whoever stores an expression needs USAGE of every type in it: PostgreSQL
 * looks at that since its minor releases of November 2026.  Beside those that
 * stand there, an expression may hold the types of the columns that it reads
 * or is stored in, of what it calls, and what those are made of.
 */
static void
lend_type(Frame *frame, Oid role, Oid type)
{
	Oid			element;

	if (!OidIsValid(type))
		return;
	type = type_is_multirange(type) ? get_multirange_range(type) : type;
	element = get_element_type(type);
	if (OidIsValid(element))
		type = element;			/* an array has no rights of its own */
	if (type < FirstNormalObjectId || get_typtype(type) == TYPTYPE_PSEUDO)
		return;
	lend(frame, TypeRelationId, type, role, ACL_USAGE);
	if (get_typtype(type) == TYPTYPE_DOMAIN)
		lend_type(frame, role, getBaseType(type));
	else if (type_is_range(type))
		lend_type(frame, role, get_range_subtype(type));
}

static void
lend_types_of_columns(Frame *frame, Oid role, Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	int			natts = HeapTupleIsValid(tuple) ?
	((Form_pg_class) GETSTRUCT(tuple))->relnatts : 0;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	for (AttrNumber attnum = 1; attnum <= natts; attnum++)
		lend_type(frame, role, get_atttype(relid, attnum));
}

static void
lend_types_of_call(Frame *frame, Oid role, Oid function)
{
	Oid		   *arguments;
	int			n;

	lend_type(frame, role, get_func_signature(function, &arguments, &n));
	for (int i = 0; i < n; i++)
		lend_type(frame, role, arguments[i]);
}

static void
lend_types(Frame *frame, Oid role, const Names *named)
{
	ListCell   *lc;

	foreach(lc, named->types)
		lend_type(frame, role, lfirst_oid(lc));
	foreach(lc, named->relations)
		lend_types_of_columns(frame, role, lfirst_oid(lc));
	foreach(lc, named->functions)
		lend_types_of_call(frame, role, lfirst_oid(lc));
}

static void
lend_for_statement(Frame *frame, Oid role, AlterTableStmt *stmt)
{
	Oid			relid = RangeVarGetRelid(stmt->relation, NoLock, true);

	if (OidIsValid(relid) && stmt->objtype == OBJECT_TABLE)
		frame_lend_for_alter(frame, role, relid, stmt->cmds, stmt->relation->inh);
}

/* Who writes a function may call it: its language's validator wants that. */
static void
lend_replaced_function(Frame *frame, Oid role, CreateFunctionStmt *stmt)
{
	Oid			function = replaced_function(stmt);

	if (OidIsValid(function))
		lend(frame, ProcedureRelationId, function, role, ACL_EXECUTE);
}

void
frame_become_for(Frame *frame, Oid role, Node *parsed, Oid create_in,
				 int commands)
{
	Names		named;
	ListCell   *lc;

	frame_become(frame, role);
	names_in(parsed, &named);
	if (OidIsValid(create_in))
		lend(frame, NamespaceRelationId, create_in, role, ACL_CREATE | ACL_USAGE);
	foreach(lc, named.schemas)
		lend(frame, NamespaceRelationId, lfirst_oid(lc), role, ACL_USAGE);
	foreach(lc, named.functions)
		lend(frame, ProcedureRelationId, lfirst_oid(lc), role, ACL_EXECUTE);
	lend_types(frame, role, &named);
	if (parsed && IsA(parsed, List))
		parsed = linitial((List *) parsed);
	if (parsed && IsA(parsed, IndexStmt) && ((IndexStmt *) parsed)->tableSpace)
		lend(frame, TableSpaceRelationId,
			 get_tablespace_oid(((IndexStmt *) parsed)->tableSpace, false), role,
			 ACL_CREATE);
	if (parsed && IsA(parsed, CreateTrigStmt))
		lend(frame, ProcedureRelationId,
			 LookupFuncName(((CreateTrigStmt *) parsed)->funcname, 0, NULL, false),
			 role, ACL_EXECUTE);
	if (parsed && IsA(parsed, CreateFunctionStmt))
		lend_replaced_function(frame, role, (CreateFunctionStmt *) parsed);
	if (parsed && IsA(parsed, AlterTableStmt))
		lend_for_statement(frame, role, (AlterTableStmt *) parsed);
	if (parsed && IsA(parsed, UpdateStmt))
		lend(frame, RelationRelationId,
			 RangeVarGetRelid(((UpdateStmt *) parsed)->relation, NoLock, false), role,
			 ACL_SELECT | ACL_UPDATE);
	if (frame->loans != NIL)
		safemig_state.lent_commands = commands;
}

/* By whoever frame_unpin() has made us again. */
void
loans_take_back(Frame *frame)
{
	ListCell   *lc;

	if (frame->loans == NIL)
		return;
	foreach(lc, frame->loans)
	{
		Loan	   *loan = lfirst(lc);

		if (loan->of_owner)
			set_owner_of_all(loan->objid, loan->owner);
		else
			(void) exchange_acl(loan->classid, loan->objid, loan->acl);
	}
	frame->loans = NIL;
	safemig_state.lent = frame->lent;
	safemig_state.lent_commands = frame->lent_commands;
	safemig_state.loans = frame->lent_before;
}

/* ---- while a loan is out ---- */

/* Whose a relation is, if it shows the owner that it is lent to. */
Oid
loan_owner(Oid relid, Oid owner)
{
	ListCell   *lc;

	foreach(lc, safemig_state.loans)
	{
		Loan	   *loan = lfirst(lc);

		if (loan->of_owner && loan->objid == relid)
			owner = loan->owner;
	}
	return owner;
}

/* The ACL as it is without loans, NULL for the default; false if none is out. */
bool
loan_acl(Oid classid, Oid objid, Datum *acl)
{
	bool		found = false;
	ListCell   *lc;

	foreach(lc, safemig_state.loans)
	{
		Loan	   *loan = lfirst(lc);

		if (!loan->of_owner && loan->classid == classid && loan->objid == objid)
		{
			*acl = PointerGetDatum(loan->acl);
			found = true;
		}
	}
	return found;
}

/* Called where a command starts, whoever issues it and whether it is captured. */
void
check_no_loan_is_used(void)
{
	if (!safemig_state.lent)
		return;
	if (safemig_state.lent_commands <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("code that a step of a rollback runs cannot run commands of its own")));
	state_save();
	safemig_state.lent_commands--;
}
