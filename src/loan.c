/*-------------------------------------------------------------------------
 *
 * loan.c
 *	  Rights on schemas, lent to an owner for one statement.
 *
 * Who owns a table may lack USAGE of its schema, or of the schema of a
 * function that its CHECK calls: somebody else made it and gave it to him.  A
 * statement of a rollback that has to run as him could then not even name what
 * it is about.  So he is lent, within the transaction and for that statement,
 * USAGE of the schemas that the statement itself names, and nothing else; it
 * could only be written because those names meant something before.
 *
 * Nobody else sees a loan: it is taken back before the transaction ends.  And
 * code of his that runs inside the statement cannot make it last: while it is
 * out, no command starts but the one that it is for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_namespace.h"
#include "utils/acl.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "safemig.h"

typedef struct Loan
{
	Oid			namespace;
	struct varlena *acl;		/* as it was; NULL: the default */
} Loan;

/* Writes a schema's ACL; what it was comes back as a copy, or NULL. */
static struct varlena *
exchange_schema_acl(Oid namespace, struct varlena *acl)
{
	Relation	rel = table_open(NamespaceRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(NAMESPACEOID, ObjectIdGetDatum(namespace));
	Datum		values[Natts_pg_namespace] = {0};
	bool		nulls[Natts_pg_namespace] = {false};
	bool		replaces[Natts_pg_namespace] = {false};
	struct varlena *before = NULL;
	HeapTuple	changed;
	Datum		old;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for schema %u", namespace);
	old = heap_getattr(tuple, Anum_pg_namespace_nspacl, RelationGetDescr(rel), &isnull);
	if (!isnull)
		before = (struct varlena *) DatumGetAclPCopy(old);
	values[Anum_pg_namespace_nspacl - 1] = PointerGetDatum(acl);
	nulls[Anum_pg_namespace_nspacl - 1] = acl == NULL;
	replaces[Anum_pg_namespace_nspacl - 1] = true;
	changed = heap_modify_tuple(tuple, RelationGetDescr(rel), values, nulls, replaces);
	CatalogTupleUpdate(rel, &changed->t_self, changed);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
	return before;
}

/* The schema's ACL with these rights for the role; a copy. */
static Acl *
acl_with(Oid namespace, Oid role, AclMode rights)
{
	AclItem		item = {.ai_grantee = role};
	HeapTuple	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(namespace));
	Datum		old;
	Acl		   *acl;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for schema %u", namespace);
	item.ai_grantor = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ACLITEM_SET_PRIVS_GOPTIONS(item, rights, ACL_NO_RIGHTS);
	old = SysCacheGetAttr(NAMESPACEOID, tuple, Anum_pg_namespace_nspacl, &isnull);
	acl = isnull ? acldefault(OBJECT_SCHEMA, item.ai_grantor) : DatumGetAclPCopy(old);
	ReleaseSysCache(tuple);
	return aclupdate(acl, &item, ACL_MODECHG_ADD, item.ai_grantor, DROP_CASCADE);
}

static bool
has_rights(Oid namespace, Oid role, AclMode rights)
{
	return ((rights & ACL_USAGE) == 0 ||
			object_aclcheck(NamespaceRelationId, namespace, role, ACL_USAGE) == ACLCHECK_OK) &&
		((rights & ACL_CREATE) == 0 ||
		 object_aclcheck(NamespaceRelationId, namespace, role, ACL_CREATE) == ACLCHECK_OK);
}

/* Until the frame is left. */
static void
lend(Frame *frame, Oid namespace, Oid role, AclMode rights)
{
	Loan	   *loan;

	if (has_rights(namespace, role, rights))
		return;
	loan = palloc(sizeof(Loan));
	loan->namespace = namespace;
	loan->acl = exchange_schema_acl(namespace,
									(struct varlena *) acl_with(namespace, role, rights));
	if (frame->loans == NIL)
	{
		frame->lent = safemig_state.lent;
		frame->lent_commands = safemig_state.lent_commands;
		state_save();
		safemig_state.lent = true;
		safemig_state.lent_commands = 0;
	}
	frame->loans = lcons(loan, frame->loans);
}

void
frame_lend_usage(Frame *frame, Oid role, Oid namespace)
{
	lend(frame, namespace, role, ACL_USAGE);
}

void
frame_become_for(Frame *frame, Oid role, Node *parsed, Oid create_in,
				 int commands)
{
	ListCell   *lc;

	frame_become(frame, role);
	if (OidIsValid(create_in))
		lend(frame, create_in, role, ACL_CREATE | ACL_USAGE);
	foreach(lc, schemas_named(parsed))
		lend(frame, lfirst_oid(lc), role, ACL_USAGE);
	if (frame->loans != NIL)
		safemig_state.lent_commands = commands;
}

/* By whoever frame_unpin() has made us again. */
void
loans_take_back(Frame *frame)
{
	ListCell   *lc;

	foreach(lc, frame->loans)
	{
		Loan	   *loan = lfirst(lc);

		(void) exchange_schema_acl(loan->namespace, loan->acl);
	}
	frame->loans = NIL;
	safemig_state.lent = frame->lent;
	safemig_state.lent_commands = frame->lent_commands;
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
