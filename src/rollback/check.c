/*-------------------------------------------------------------------------
 *
 * check.c
 *	  Everything that stands in the way of a plan.
 *
 * A rollback takes all its locks first, in one order, then looks, then acts:
 * what was seen stays so.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

#include "compat.h"
#include "rollback/rollback.h"

#define LOCK_TRIES 3

static Conflict *
add_conflict(List **conflicts, int sqlstate, const char *object,
			 char *problem, const char *hint)
{
	Conflict   *conflict = palloc0(sizeof(Conflict));

	conflict->sqlstate = sqlstate;
	conflict->object = pstrdup(object);
	conflict->problem = problem;
	conflict->rows = -1;
	conflict->hint = hint ? pstrdup(hint) : NULL;
	*conflicts = lappend(*conflicts, conflict);
	return conflict;
}

/* ---- locks ---- */

static int
compare_oids(const ListCell *a, const ListCell *b)
{
	Oid			x = lfirst_oid(a);
	Oid			y = lfirst_oid(b);

	return x < y ? -1 : (x > y ? 1 : 0);
}

/* The relations that the plan's statements are about, and those they live in. */
static List *
plan_relations(RollbackPlan *plan)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, states_after(plan->commands))
	{
		ObjectState *state = lfirst(lc);
		const char *identity = state->image->address.classId == RelationRelationId ?
		state->image->identity : state->image->parent_identity;
		Oid			relid;
		char		relkind;

		if (identity == NULL || strcmp(state->image->type, "domain constraint") == 0)
			continue;
		relid = RangeVarGetRelid(makeRangeVarFromNameList(qualified_name_list(identity)),
								 NoLock, true);
		relkind = OidIsValid(relid) ? get_rel_relkind(relid) : '\0';
		if (relkind != '\0' && relkind != RELKIND_INDEX &&
			relkind != RELKIND_PARTITIONED_INDEX)
			relids = list_append_unique_oid(relids, relid);
	}
	list_sort(relids, compare_oids);
	return relids;
}

static void
lock_all(List *relids, LOCKMODE mode)
{
	ListCell   *lc;

	foreach(lc, relids)
		LockRelationOid(lfirst_oid(lc), mode);
}

/* One try, under lock_timeout; false if somebody else holds a lock. */
static bool
try_lock_all(List *relids, LOCKMODE mode)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool locked = true;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		int			level = NewGUCNestLevel();
		char		timeout[16];

		snprintf(timeout, sizeof(timeout), "%d", safemig_lock_timeout);
		(void) set_config_option("lock_timeout", timeout, PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
		lock_all(relids, mode);
		AtEOXact_GUC(false, level);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		int			sqlstate = geterrcode();

		MemoryContextSwitchTo(context);
		RollbackAndReleaseCurrentSubTransaction();
		CurrentResourceOwner = owner;
		if (sqlstate != ERRCODE_LOCK_NOT_AVAILABLE)
			PG_RE_THROW();
		FlushErrorState();
		locked = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return locked;
}

/* Who else has a lock there that this mode conflicts with, in words. */
static char *
lock_holders(List *relids, LOCKMODE mode)
{
	Oid			types[2] = {OIDARRAYOID, BOOLOID};
	Datum		args[2];
	Datum	   *elems = palloc(sizeof(Datum) * Max(1, list_length(relids)));
	MemoryContext context = CurrentMemoryContext;
	char	   *holders = NULL;
	ListCell   *lc;
	int			n = 0;

	foreach(lc, relids)
		elems[n++] = ObjectIdGetDatum(lfirst_oid(lc));
	args[0] = PointerGetDatum(construct_array(elems, n, OIDOID, sizeof(Oid),
											  true, TYPALIGN_INT));
	args[1] = BoolGetDatum(mode == AccessExclusiveLock);
	SPI_connect();
	if (SPI_execute_with_args("SELECT pg_catalog.string_agg(pg_catalog.format('Process %s holds %s on %s.',"
							  " l.pid, l.mode, l.relation::pg_catalog.regclass), ' ' ORDER BY l.relation, l.pid)"
							  " FROM pg_catalog.pg_locks l WHERE l.locktype OPERATOR(pg_catalog.=) 'relation'"
							  " AND l.granted AND l.relation OPERATOR(pg_catalog.=) ANY ($1)"
							  " AND l.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()"
							  " AND l.database OPERATOR(pg_catalog.=) (SELECT d.oid FROM pg_catalog.pg_database d"
							  " WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())"
							  " AND ($2 OR l.mode OPERATOR(pg_catalog.<>) ALL"
							  " (ARRAY['AccessShareLock', 'RowShareLock', 'RowExclusiveLock']))",
							  2, types, args, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read pg_locks");
	if (SPI_processed == 1)
	{
		char	   *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

		holders = value ? MemoryContextStrdup(context, value) : NULL;
	}
	SPI_finish();
	return holders;
}

static void
lock_within_tries(List *relids, LOCKMODE mode, const char *what)
{
	char	   *holders;
	int			tries = 0;

	while (!try_lock_all(relids, mode))
	{
		if (++tries < LOCK_TRIES)
			continue;
		holders = lock_holders(relids, mode);
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_LOCK),
				 errmsg("could not lock %s within %d tries of %d ms", what,
						LOCK_TRIES, safemig_lock_timeout),
				 errdetail_internal("%s%s", holders ? holders : "",
									holders ? " Nothing has been changed." : "Nothing has been changed."),
				 errhint("SELECT pid, query FROM pg_stat_activity WHERE state <> 'idle'; or raise safemig.lock_timeout.")));
	}
}

void
plan_lock(RollbackPlan *plan)
{
	Oid			own = get_relname_relid("incarnation",
										get_namespace_oid(SAFEMIG_SCHEMA, false));

	/* one rollback at a time; readers of the history are not in the way */
	lock_within_tries(list_make1_oid(own), ShareUpdateExclusiveLock,
					  "out other rollbacks");
	lock_within_tries(plan_relations(plan), AccessExclusiveLock,
					  "the tables of the rollback");
}

/* ---- rights ---- */

static bool
may_act_as(Oid user, const char *role)
{
	Oid			oid = get_role_oid(role, true);

	return OidIsValid(oid) && has_privs_of_role(user, oid);
}

static void
check_owns(Oid user, const Image *image)
{
	if (image && image->owner && !may_act_as(user, image->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of %s %s", image->type, image->identity),
				 errdetail("A migration may be looked into and rolled back by who owns every object that it concerns."),
				 errhint("GRANT EXECUTE ON FUNCTION safemig_administer() to the role, or let the owner do it.")));
}

static Oid
named_type(const char *identity)
{
	List	   *names = qualified_name_list(identity);
	Oid			namespace;

	if (list_length(names) != 2)
		return InvalidOid;
	namespace = get_namespace_oid(strVal(linitial(names)), true);
	return OidIsValid(namespace) ?
		GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
						CStringGetDatum(strVal(lsecond(names))),
						ObjectIdGetDatum(namespace)) : InvalidOid;
}

/* What has no owner of its own belongs to who owns what it lives in. */
static void
check_owns_parent(Oid user, const Image *image)
{
	Oid			relid;

	/* an index that belongs to a constraint is looked at with that */
	if (image->owner || image->parent_identity == NULL ||
		image->parent_type == NULL ||
		strcmp(image->parent_type, "table constraint") == 0)
		return;
	if (strcmp(image->type, "domain constraint") == 0)
	{
		Oid			domain = named_type(image->parent_identity);

		if (OidIsValid(domain) && !object_ownercheck(TypeRelationId, domain, user))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("must be owner of type %s", image->parent_identity)));
		return;
	}
	relid = RangeVarGetRelid(makeRangeVarFromNameList(qualified_name_list(image->parent_identity)),
							 NoLock, true);
	if (OidIsValid(relid) && !object_ownercheck(RelationRelationId, relid, user))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of %s", image->parent_identity)));
}

/* Keys of objects; longer ones are cut, as those of the states are. */
static HTAB *
key_set(void)
{
	HASHCTL		ctl = {.keysize = NAMEDATALEN * 8,
		.entrysize = NAMEDATALEN * 8,.hcxt = CurrentMemoryContext
	};

	return hash_create("safemig keys", 64, &ctl,
					   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

/* Is the object a member of one of these extensions, or in such a member? */
static bool
comes_with_extension(const Image *image, List *extensions, HTAB *members)
{
	const char *extension = image_get(image, "", "extension");
	ListCell   *lc;

	if (image->parent_identity && image->parent_type &&
		hash_search(members, psprintf("%s %s", image->parent_type, image->parent_identity),
					HASH_FIND, NULL))
		return true;
	foreach(lc, extensions)
	{
		if (extension && strcmp(extension, lfirst(lc)) == 0)
			return true;
	}
	return false;
}

/*
 * Adds what the caller has to own of what a command changed.  The members of
 * an extension that the command made, changed or dropped belong to whomever
 * its script made their owner; who owns the extension may do all that to it.
 */
static void
add_to_own(HTAB *to_own, const RecordedCommand *command)
{
	HTAB	   *members = key_set();
	List	   *extensions = NIL;
	bool		found = true;
	ListCell   *lc;

	foreach(lc, command->changes)
	{
		Change	   *change = lfirst(lc);
		Image	   *image = change->before ? change->before : change->after;

		if (strcmp(image->type, "extension") == 0)
			extensions = lappend(extensions, image->identity);
	}
	/* what lives in a member may stand before it */
	while (extensions && found)
	{
		found = false;
		foreach(lc, command->changes)
		{
			Change	   *change = lfirst(lc);
			Image	   *image = change->before ? change->before : change->after;
			bool		known;

			if (!comes_with_extension(image, extensions, members))
				continue;
			(void) hash_search(members, image_address_key(image), HASH_ENTER, &known);
			found |= !known;
		}
	}
	foreach(lc, command->changes)
	{
		Change	   *change = lfirst(lc);
		Image	   *images[] = {change->before, change->after};

		for (size_t i = 0; i < lengthof(images); i++)
		{
			if (images[i] &&
				!hash_search(members, image_address_key(images[i]), HASH_FIND, NULL))
				(void) hash_search(to_own, image_address_key(images[i]), HASH_ENTER, NULL);
		}
	}
	hash_destroy(members);
}

/* Objects as recorded, and as they are now. */
static void
check_owns_all(Oid user, List *states, HTAB *to_own)
{
	ListCell   *lc;

	foreach(lc, states)
	{
		ObjectState *state = lfirst(lc);

		if (!hash_search(to_own, image_address_key(state->image), HASH_FIND, NULL))
			continue;
		if (state->present)
			check_owns(user, state->image);
		check_owns_parent(user, state->image);
		check_owns(user, image_now(state->image));
	}
}

void
plan_check_rights(RollbackPlan *plan)
{
	Oid			user = GetUserId();
	Frame		frame;
	HTAB	   *to_own;
	ListCell   *lc;
	ListCell   *inner;

	if (is_administrator(user))
		return;
	/* who owns a table need not see its schema */
	frame_become_owner(&frame);
	to_own = key_set();
	foreach(lc, plan->commands)
		add_to_own(to_own, lfirst(lc));
	/* what it was in between, under a rollback say, gives nobody a right */
	check_owns_all(user, states_before(plan->commands), to_own);
	check_owns_all(user, states_after(plan->commands), to_own);
	frame_unpin(&frame);
	foreach(lc, plan->commands)
	{
		RecordedCommand *command = lfirst(lc);

		foreach(inner, command->steps)
		{
			Step	   *step = lfirst(inner);

			if (step->mode == RUN_SUPERUSER)
				ereport(ERROR,
						(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						 errmsg("permission denied to restore %s", step->object),
						 errdetail("Only a superuser can make such an object.")));
		}
	}
}

/* ---- conflicts ---- */

static void
check_irreversible(RollbackPlan *plan, List **conflicts)
{
	ListCell   *lc;

	foreach(lc, plan->commands)
	{
		RecordedCommand *command = lfirst(lc);

		if (command->irreversible && !(command->unkept && plan->keep_rows))
			add_conflict(conflicts, ERRCODE_SAFEMIG_IRREVERSIBLE, command->tag,
						 psprintf("is irreversible: %s", command->irreversible),
						 NULL);
	}
}

/* All identities that the plan concerns, with those of what they live in. */
static Datum
plan_identities(RollbackPlan *plan)
{
	ArrayBuildState *state = NULL;
	ListCell   *lc;

	foreach(lc, states_after(plan->commands))
	{
		Image	   *image = ((ObjectState *) lfirst(lc))->image;

		/* dependants that were only described anew are not touched */
		state = accumArrayResult(state, CStringGetTextDatum(image->identity),
								 false, TEXTOID, CurrentMemoryContext);
	}
	return state ? makeArrayResult(state, CurrentMemoryContext) :
		PointerGetDatum(construct_empty_array(TEXTOID));
}

static Datum
plan_record_ids(RollbackPlan *plan)
{
	Datum	   *elems = palloc(sizeof(Datum) * Max(1, list_length(plan->records)));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, plan->records)
		elems[n++] = Int64GetDatum(*(int64 *) lfirst(lc));
	return PointerGetDatum(construct_array(elems, n, INT8OID, sizeof(int64),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * Applied migrations, not among these, with a later command on one of the
 * objects, or on something that lives in one.
 */
static void
check_later(RollbackPlan *plan, List **conflicts)
{
	Oid			types[3] = {INT8ARRAYOID, TEXTARRAYOID, INT8OID};
	Datum		args[3];
	MemoryContext context = CurrentMemoryContext;

	if (plan->commands == NIL)
		return;
	args[0] = plan_record_ids(plan);
	args[1] = plan_identities(plan);
	args[2] = Int64GetDatum(((RecordedCommand *) llast(plan->commands))->seq);
	SPI_connect();
	if (SPI_execute_with_args("SELECT m.id, m.label, pg_catalog.min(c.identity) FROM ("
							  " SELECT c.migration, COALESCE(c.identity_before, c.identity_after) AS identity"
							  " FROM safemig.change_log c"
							  " WHERE c.command OPERATOR(pg_catalog.>) $3"
							  " AND (c.identity_before OPERATOR(pg_catalog.=) ANY ($2)"
							  " OR c.identity_after OPERATOR(pg_catalog.=) ANY ($2)"
							  " OR c.parent OPERATOR(pg_catalog.=) ANY ($2))) c"
							  " JOIN safemig.migration_log m ON m.effective OPERATOR(pg_catalog.=) c.migration"
							  " WHERE m.state OPERATOR(pg_catalog.=) ANY (ARRAY['applied', 'abandoned', 'open'])"
							  " AND m.kind OPERATOR(pg_catalog.=) 'migration'"
							  " AND c.migration OPERATOR(pg_catalog.<>) ALL ($1)"
							  " GROUP BY m.id, m.label ORDER BY m.id",
							  3, types, args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read change_log");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		char	   *id = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 1);
		char	   *label = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 2);
		MemoryContext old = MemoryContextSwitchTo(context);

		add_conflict(conflicts, ERRCODE_SAFEMIG_LATER,
					 SPI_getvalue(tuple, SPI_tuptable->tupdesc, 3),
					 label ? psprintf("was changed by the later migration %s \"%s\"", id, label) :
					 psprintf("was changed by the later migration %s", id),
					 "SELECT safemig_rollback_to(...) takes the later ones back too.");
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
}

typedef struct DriftReport
{
	List	  **conflicts;
	const char *object;
} DriftReport;

static void
report_drift(void *arg, const char *part, const char *name,
			 const char *a, const char *b)
{
	DriftReport *report = arg;

	add_conflict(report->conflicts, ERRCODE_SAFEMIG_CONFLICT, report->object,
				 psprintf("%s%s%s is %s, but was recorded as %s",
						  part, part[0] ? " " : "", name,
						  b ? b : "absent", a ? a : "absent"),
				 "It was changed without safemig having seen it.");
}

/* Is the name that has to be free again taken by something else? */
static bool
name_is_taken(const Image *image)
{
	ObjectAddress address;

	return address_find(image, &address);
}

static void
check_states(RollbackPlan *plan, List **conflicts)
{
	ListCell   *lc;

	foreach(lc, states_after(plan->commands))
	{
		ObjectState *state = lfirst(lc);
		char	   *key = image_address_key(state->image);
		Image	   *now;

		if (state->image->class == NULL)
			continue;
		if (!state->present)
		{
			if (name_is_taken(state->image))
				add_conflict(conflicts, ERRCODE_SAFEMIG_CONFLICT, key,
							 pstrdup("has to come back, but the name is taken"),
							 "Rename or drop what has the name now.");
			continue;
		}
		now = image_now(state->image);
		if (now == NULL || strcmp(now->type, state->image->type) != 0)
			add_conflict(conflicts, ERRCODE_SAFEMIG_CONFLICT, key,
						 pstrdup("is no longer there"),
						 "It was dropped or renamed without safemig having seen it.");
		else
		{
			DriftReport report = {conflicts, key};

			image_compare(state->image, now, report_drift, &report);
		}
	}
}

/* The kept data must be there before the first step. */
static void
check_kept_of(Change *change, List **conflicts)
{
	ListCell   *lc;
	List	   *ids = NIL;

	if (change->before == NULL)
		return;
	if (change->before->kept)
		ids = lappend(ids, &change->before->kept);
	foreach(lc, change->before->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (strcmp(facet->name, "@kept") == 0)
		{
			int64	   *id = palloc(sizeof(int64));

			*id = strtoll(facet->value, NULL, 10);
			ids = lappend(ids, id);
		}
	}
	foreach(lc, ids)
	{
		Kept	   *kept = history_get_kept(*(int64 *) lfirst(lc));

		if (kept->vault_schema && kept->vault_name &&
			strcmp(kept->kind, "type") != 0 &&
			(!OidIsValid(get_namespace_oid(kept->vault_schema, true)) ||
			 !OidIsValid(get_relname_relid(kept->vault_name,
										   get_namespace_oid(kept->vault_schema, true)))))
			add_conflict(conflicts, ERRCODE_SAFEMIG_PRUNED, kept->identity,
						 psprintf("its kept data %s is not there",
								  quote_qualified_identifier(kept->vault_schema, kept->vault_name)),
						 NULL);
	}
}

List *
plan_check(RollbackPlan *plan)
{
	List	   *conflicts = NIL;
	ListCell   *lc;
	ListCell   *inner;

	check_irreversible(plan, &conflicts);
	check_later(plan, &conflicts);
	if (conflicts == NIL)
		check_states(plan, &conflicts);
	foreach(lc, plan->commands)
	{
		foreach(inner, ((RecordedCommand *) lfirst(lc))->changes)
			check_kept_of(lfirst(inner), &conflicts);
	}
	return conflicts;
}

/* One ERROR with a line for each conflict, twenty at most. */
void
conflicts_raise(RollbackPlan *plan, List *conflicts)
{
	Migration  *migration = linitial(plan->migrations);
	Conflict   *first = linitial(conflicts);
	StringInfoData detail;
	ListCell   *lc;
	int			shown = 0;

	initStringInfo(&detail);
	foreach(lc, conflicts)
	{
		Conflict   *conflict = lfirst(lc);

		if (++shown > 20)
		{
			appendStringInfo(&detail, "\n... and %d more",
							 list_length(conflicts) - 20);
			break;
		}
		appendStringInfo(&detail, "%s%s %s", detail.len ? "\n" : "",
						 conflict->object, conflict->problem);
	}
	ereport(ERROR,
			(errcode(first->sqlstate),
			 first->sqlstate == ERRCODE_SAFEMIG_IRREVERSIBLE ?
			 errmsg("migration " INT64_FORMAT " cannot be rolled back: it is irreversible", migration->id) :
			 errmsg("migration " INT64_FORMAT " cannot be rolled back exactly", migration->id),
			 errdetail_internal("%s", detail.data),
			 first->hint ? errhint("%s", first->hint) : 0));
}
