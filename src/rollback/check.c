/*-------------------------------------------------------------------------
 *
 * check.c
 *	  Everything that stands in the way of a plan.
 *
 * The locks are held: what is seen stays so.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "rollback/rollback.h"

/* What is left when there is no way back. */
static char *
recovery_command(int64 migration)
{
	return psprintf("SELECT safemig_recovery_target(" INT64_FORMAT ");", migration);
}

static char *
recovery_hint(int64 migration)
{
	return psprintf(said("%s gives the settings of a point-in-time recovery that ends before it."),
					recovery_command(migration));
}

static char *
verify_command(const RollbackPlan *plan)
{
	return psprintf("SELECT * FROM safemig_verify(" INT64_FORMAT ");",
					((Migration *) linitial(plan->migrations))->id);
}

static void
check_irreversible(RollbackPlan *plan, List **conflicts)
{
	ListCell   *lc;

	foreach(lc, plan->commands)
	{
		RecordedCommand *command = lfirst(lc);

		if (command->irreversible && !(command->unkept && plan->on_conflict == CONFLICT_KEEP))
			add_conflict(conflicts, ERRCODE_SAFEMIG_IRREVERSIBLE, command->tag,
						 psprintf(said("is irreversible: %s"), command->irreversible),
						 recovery_hint(command->migration))->command =
				recovery_command(command->migration);
	}
}

/* Of what more than rows is concerned. */
static void
collect_changed(RollbackPlan *plan)
{
	int			size = 0;
	ListCell   *lc;
	ListCell   *inner;

	foreach(lc, plan->commands)
		size += 2 * list_length(((RecordedCommand *) lfirst(lc))->changes);
	plan->changed = MemoryContextAlloc(GetMemoryChunkContext(plan), sizeof(char *) * Max(1, size));
	foreach(lc, plan->commands)
	{
		foreach(inner, ((RecordedCommand *) lfirst(lc))->changes)
		{
			const Change *change = lfirst(inner);

			if (change->action == 'w')
				continue;
			if (change->before)
				plan->changed[plan->nchanged++] = change->before->identity;
			if (change->after)
				plan->changed[plan->nchanged++] = change->after->identity;
		}
	}
	qsort(plan->changed, plan->nchanged, sizeof(char *), pg_qsort_strcmp);
}

/* Is more than the object's rows concerned? */
bool
plan_changes(RollbackPlan *plan, const char *identity)
{
	if (plan->changed == NULL)
		collect_changed(plan);
	return bsearch(&identity, plan->changed, plan->nchanged, sizeof(char *),
				   pg_qsort_strcmp) != NULL;
}

/*
 * The identities that the plan concerns: those of which only rows were written,
 * or the others.
 */
static Datum
plan_identities(RollbackPlan *plan, bool rows_only)
{
	ArrayBuildState *state = NULL;
	ListCell   *lc;

	foreach(lc, states_after(plan->commands))
	{
		Image	   *image = ((ObjectState *) lfirst(lc))->image;

		if (plan_changes(plan, image->identity) == rows_only)
			continue;

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
 * What was redone comes late, but stands where it stood: migrations that are
 * older than those to be redone are no later ones.  0 if nothing is redone.
 */
static int64
first_to_be_redone(RollbackPlan *plan)
{
	int64		first = 0;
	ListCell   *lc;
	ListCell   *inner;

	foreach(lc, plan->migrations)
	{
		foreach(inner, ((Migration *) lfirst(lc))->rolls_back)
		{
			int64		id = *(int64 *) lfirst(inner);

			first = first == 0 ? id : Min(first, id);
		}
	}
	return first;
}

/*
 * Applied migrations, not among these, with a later command on one of the
 * objects, or on something that lives in one.  Where both only wrote rows of a
 * table, the rows themselves tell whether one is in the way of the other, unless
 * the later one changed the keys by which they are known.
 */
static void
check_later(RollbackPlan *plan, List **conflicts)
{
	Oid			types[5] = {INT8ARRAYOID, TEXTARRAYOID, INT8OID, TEXTARRAYOID, INT8OID};
	Datum		args[5];
	MemoryContext context = CurrentMemoryContext;

	if (plan->commands == NIL)
		return;
	args[0] = plan_record_ids(plan);
	args[1] = plan_identities(plan, false);
	args[2] = Int64GetDatum(((RecordedCommand *) llast(plan->commands))->seq);
	args[3] = plan_identities(plan, true);
	args[4] = Int64GetDatum(first_to_be_redone(plan));
	SPI_connect();
	if (SPI_execute_with_args("SELECT m.id, m.label, pg_catalog.min(c.identity) FROM ("
							  " SELECT c.migration, COALESCE(c.identity_before, c.identity_after) AS identity"
							  " FROM safemig.change_log c"
							  " WHERE c.command OPERATOR(pg_catalog.>) $3"
							  " AND (c.identity_before OPERATOR(pg_catalog.=) ANY ($2)"
							  " OR c.identity_after OPERATOR(pg_catalog.=) ANY ($2)"
							  " OR c.parent OPERATOR(pg_catalog.=) ANY ($2)"
							  " OR (c.action OPERATOR(pg_catalog.<>) 'w'"
							  "  OR EXISTS (SELECT FROM safemig.kept_log k"
							  "   WHERE k.id OPERATOR(pg_catalog.=) c.kept"
							  "   AND k.details OPERATOR(pg_catalog.@>) ARRAY['moves keys']))"
							  " AND (c.identity_before OPERATOR(pg_catalog.=) ANY ($4)"
							  " OR c.identity_after OPERATOR(pg_catalog.=) ANY ($4)"
							  " OR c.parent OPERATOR(pg_catalog.=) ANY ($4)))) c"
							  " JOIN safemig.migration_log m ON m.effective OPERATOR(pg_catalog.=) c.migration"
							  " WHERE m.state OPERATOR(pg_catalog.=) ANY (ARRAY['applied', 'abandoned', 'open'])"
							  " AND m.kind OPERATOR(pg_catalog.=) 'migration'"
							  " AND c.migration OPERATOR(pg_catalog.<>) ALL ($1)"
							  " AND m.id OPERATOR(pg_catalog.>=) $5"
							  " GROUP BY m.id, m.label ORDER BY m.id",
							  5, types, args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read change_log");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		char	   *id = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 1);
		char	   *label = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 2);
		MemoryContext old = MemoryContextSwitchTo(context);

		add_conflict(conflicts, ERRCODE_SAFEMIG_LATER,
					 SPI_getvalue(tuple, SPI_tuptable->tupdesc, 3),
					 label ? psprintf(said("was changed by the later migration %s \"%s\""), id, label) :
					 psprintf(said("was changed by the later migration %s"), id),
					 said("SELECT safemig_rollback_to(...) takes the later ones back too."))->command =
			psprintf("SELECT safemig_rollback(%s);", id);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
}

typedef struct DriftReport
{
	List	  **conflicts;
	const char *object;
	char	   *command;
	const char *hint;
} DriftReport;

#define UNSEEN	"It was changed without safemig having seen it."

/* Its words may be all that differs, where another version recorded it. */
static const char *
drift_hint(const Image *recorded, const char *why)
{
	if (why == NULL)
		return UNSEEN;
	return psprintf("PostgreSQL %d recorded it, and this version may only word it otherwise; that could not be found out: %s",
					recorded->server / 10000, why);
}

static void
report_drift(void *arg, const char *part, const char *name,
			 const char *a, const char *b)
{
	DriftReport *report = arg;

	add_conflict(report->conflicts, ERRCODE_SAFEMIG_CONFLICT, report->object,
				 psprintf(said("%s%s%s is %s, but was recorded as %s"),
						  part, part[0] ? " " : "", name,
						  b ? b : said("absent"), a ? a : said("absent")),
				 report->hint)->command = report->command;
}

/* A table's row type is the table, a composite type's relation is the type. */
static ObjectAddress
what_has_image(ObjectAddress address)
{
	Oid			relid = address.classId == TypeRelationId ?
		get_typ_typrelid(address.objectId) : address.objectId;

	if (!OidIsValid(relid) ||
		(address.classId != TypeRelationId && address.classId != RelationRelationId))
		return address;
	if (get_rel_relkind(relid) == RELKIND_COMPOSITE_TYPE)
		ObjectAddressSet(address, TypeRelationId, get_rel_type_id(relid));
	else
		ObjectAddressSet(address, RelationRelationId, relid);
	return address;
}

/* A view that took the name of a table goes before the table comes back. */
static bool
is_of_states(List *states, ObjectAddress address)
{
	ObjectAddress holder = what_has_image(address);
	Image	   *image = image_take(&holder);
	char	   *key = image ? image_address_key(image) : NULL;
	ListCell   *lc;

	foreach(lc, key ? states : NIL)
	{
		ObjectState *state = lfirst(lc);

		if (state->present && strcmp(image_address_key(state->image), key) == 0)
			return true;
	}
	return false;
}

/* Is the name that has to be free again taken by something else? */
static void
check_name(const Image *image, const char *key, List *states, List **conflicts)
{
	ObjectAddress address;
	Conflict   *conflict;

	if (!address_find(image, &address) || is_of_states(states, address))
		return;
	conflict = add_conflict(conflicts, ERRCODE_SAFEMIG_CONFLICT, key,
							pstrdup(said("has to come back, but the name is taken")),
							said("Rename or drop what has the name now."));
	if (address.classId == RelationRelationId &&
		get_rel_relkind(address.objectId) != RELKIND_COMPOSITE_TYPE)
		conflict->command = psprintf("ALTER TABLE %s RENAME TO %s;", image->identity,
									 quote_identifier(makeObjectName(get_rel_name(address.objectId),
																	 NULL, "later")));
}

/*
 * Large objects come and go like rows.  One that the plan would only write, or
 * unlink, may be gone: of pages that are missing the step itself tells.
 */
static bool
may_be_gone(RollbackPlan *plan, const Image *image)
{
	ListCell   *lc;
	ListCell   *inner;

	if (image->address.classId != LargeObjectRelationId)
		return false;
	foreach(lc, plan->commands)
	{
		foreach(inner, ((RecordedCommand *) lfirst(lc))->changes)
		{
			Change	   *change = lfirst(inner);

			if (change->before && change->action != 'w' && change->after &&
				strcmp(change->before->identity, image->identity) == 0)
				return false;
		}
	}
	return true;
}

static void
check_states(RollbackPlan *plan, List **conflicts)
{
	List	   *states = states_after(plan->commands);
	ListCell   *lc;

	foreach(lc, states)
	{
		ObjectState *state = lfirst(lc);
		char	   *key = image_address_key(state->image);
		Image	   *now;

		if (state->image->class == NULL)
			continue;
		if (!state->present)
		{
			check_name(state->image, key, states, conflicts);
			continue;
		}
		now = image_now(state->image);
		/* a key's part for a partition went with that, whatever took it */
		if (now == NULL && (image_get(state->image, "", "@original") ||
							may_be_gone(plan, state->image)))
			continue;
		/* an array's type, or a row's, went with what it hangs on */
		if (now == NULL && type_image_is_dependent(state->image))
			continue;
		if (now == NULL || strcmp(now->type, state->image->type) != 0)
			add_conflict(conflicts, ERRCODE_SAFEMIG_CONFLICT, key,
						 pstrdup(said("is no longer there")),
						 said("It was dropped or renamed without safemig having seen it."))->command =
				verify_command(plan);
		else
		{
			char	   *why;
			const Image *recorded = image_reworded(state->image, now, &why);
			DriftReport report = {conflicts, key, verify_command(plan), drift_hint(recorded, why)};

			image_compare_meaning(recorded, now, report_drift, &report);
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
			strcmp(kept->kind, "collation") != 0 &&
			strcmp(kept->kind, "support") != 0 &&
			(!OidIsValid(get_namespace_oid(kept->vault_schema, true)) ||
			 !OidIsValid(get_relname_relid(kept->vault_name,
										   get_namespace_oid(kept->vault_schema, true)))))
			add_conflict(conflicts, ERRCODE_SAFEMIG_PRUNED, kept->identity,
						 psprintf(said("its kept data %s is not there"),
								  quote_qualified_identifier(kept->vault_schema, kept->vault_name)),
						 recovery_hint(kept->migration))->command =
				recovery_command(kept->migration);
	}
}

List *
plan_check(RollbackPlan *plan)
{
	List	   *conflicts = NIL;
	ListCell   *lc;
	ListCell   *inner;

	check_irreversible(plan, &conflicts);
	line_check(plan, &conflicts);
	if (conflicts == NIL)
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
