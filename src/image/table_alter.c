/*-------------------------------------------------------------------------
 *
 * table_alter.c
 *	  From the table there is to the table there shall be: what belongs to
 *	  the table as a whole.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/tablespace.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "classes.h"
#include "compat.h"
#include "keep/vault.h"
#include "table.h"

static const char *
have_get(const TableChange *change, const char *name)
{
	return image_get(change->have, "", name);
}

static const char *
want_get(const TableChange *change, const char *name)
{
	return image_get(change->want, "", name);
}

static bool
differs(const TableChange *change, const char *name)
{
	return facet_differs(change->have, change->want, "", name);
}

/*
 * Two references to another object: by OID where both images are of one
 * incarnation, since the other may have been renamed, else by name.
 */
static bool
reference_differs(const TableChange *change, const char *name)
{
	const char *hint = psprintf("@%s", name);

	if (!differs(change, name))
		return false;
	return !change->same_relation || have_get(change, hint) == NULL ||
		differs(change, hint);
}

/* What no ALTER TABLE changes. */
static bool
needs_remaking(const TableChange *change)
{
	if (change->same_relation)
		return differs(change, "server");
	return differs(change, "server") || differs(change, "partition key");
}

/* ---- where and how it is stored ---- */

static void
alter_persistence(TableChange *change)
{
	const char *persistence = want_get(change, "persistence");

	if (!differs(change, "persistence"))
		return;
	step_add(change->steps, RANK_TABLE, RUN_INDEX, ACCESS_EXCLUSIVE, "rewrite",
			 "SELECT safemig.set_persistence(%s, %s)",
			 quote_literal_cstr(change->name),
			 value_is(persistence, "UNLOGGED") ? "true" : "false");
}

static void
alter_placement(TableChange *change)
{
	const char *method = want_get(change, "access method");
	const char *tablespace = want_get(change, "tablespace");
	bool		has_rows = !value_is(want_get(change, "@relkind"), "p");

	/* a partitioned table may have none, or since 17 one for new partitions */
	if (differs(change, "access method"))
		step_add(change->steps, RANK_TABLE, RUN_INDEX, ACCESS_EXCLUSIVE,
				 has_rows ? "rewrite" : "catalog",
				 "ALTER TABLE %s SET ACCESS METHOD %s",
				 change->name, method ? method : "DEFAULT");
	if (!differs(change, "tablespace"))
		return;
	/* no tablespace of its own means the database's */
	if (tablespace == NULL)
		tablespace = quote_identifier(get_tablespace_name(MyDatabaseTableSpace));
	step_add(change->steps, RANK_TABLE, RUN_CATALOG, ACCESS_EXCLUSIVE,
			 has_rows ? "rewrite" : "catalog",
			 "ALTER TABLE %s SET TABLESPACE %s", change->name, tablespace);
}

static void
alter_options(TableChange *change)
{
	List	   *have = image_own_facets(change->have);
	List	   *want = image_own_facets(change->want);
	char	   *text;

	if ((text = options_to_reset(have, want, "option")) != NULL)
		step_add(change->steps, RANK_TABLE, RUN_CATALOG,
				 SHARE_UPDATE_EXCLUSIVE, "catalog",
				 "ALTER TABLE %s RESET (%s)", change->name, text);
	if ((text = options_to_set(have, want, "option")) != NULL)
		step_add(change->steps, RANK_TABLE, RUN_CATALOG,
				 SHARE_UPDATE_EXCLUSIVE, "catalog",
				 "ALTER TABLE %s SET (%s)", change->name, text);
	if ((text = options_generic_change(have, want, "fdw option")) != NULL)
		step_add(change->steps, RANK_TABLE, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "ALTER FOREIGN TABLE %s OPTIONS (%s)",
				 change->name, text);
}

/* ---- what it belongs to ---- */

/*
 * The columns of a table OF a type follow the type's attributes, but only a
 * command of the user's makes them do so with values that are lost by it.
 * Here each is changed by itself while they are not tied; OF proves that they
 * fit again.
 */
static void
alter_of_type(TableChange *change)
{
	const char *old = have_get(change, "of type");
	const char *new = want_get(change, "of type");
	bool		reshaped = columns_reshaped(change);
	bool		saved = change->steps->dropping;

	if (!reference_differs(change, "of type") && !reshaped)
		return;
	change->steps->dropping = true;
	if (old && (reshaped || new == NULL))
		step_add(change->steps, RANK_LET_GO, RUN_CATALOG,
				 ACCESS_EXCLUSIVE, "catalog", "ALTER TABLE %s NOT OF",
				 change->name);
	change->steps->dropping = saved;
	if (new)
		step_add(change->steps, RANK_TABLE_AFTER, RUN_CATALOG,
				 ACCESS_EXCLUSIVE, "catalog", "ALTER TABLE %s OF %s",
				 change->name, new);
}

/*
 * The first parent on which have and want differ.  INHERIT adds at the end,
 * so what stands behind it has to go and come again.
 */
static int
first_other_parent(const TableChange *change)
{
	int			n = 1;

	while (have_get(change, psprintf("inherits %d", n)) &&
		   want_get(change, psprintf("inherits %d", n)) &&
		   !reference_differs(change, psprintf("inherits %d", n)))
		n++;
	return n;
}

/* INHERIT wants the parents' CHECKs on the child, hence its late rank. */
static void
alter_inherits(TableChange *change)
{
	bool		saved = change->steps->dropping;
	int			first = first_other_parent(change);
	int			last = first;
	const char *parent;

	while (have_get(change, psprintf("inherits %d", last)))
		last++;
	/* one that comes back from the vault is not there before it is */
	change->steps->dropping = change->want->kept == 0;
	while (--last >= first)
		step_add(change->steps, RANK_TABLE_AFTER, RUN_CATALOG,
				 ACCESS_EXCLUSIVE, "catalog", "ALTER TABLE %s NO INHERIT %s",
				 change->name,
				 have_get(change, psprintf("inherits %d", last)));
	change->steps->dropping = saved;

	for (int i = first; (parent = want_get(change, psprintf("inherits %d", i))) != NULL; i++)
		step_add(change->steps, RANK_TABLE_AFTER, RUN_CATALOG,
				 ACCESS_EXCLUSIVE, "catalog", "ALTER TABLE %s INHERIT %s",
				 change->name, parent);
}

static void
give_to(TableChange *change, const char *role)
{
	step_add(change->steps, RANK_TABLE_AFTER, RUN_CATALOG, ACCESS_EXCLUSIVE,
			 "catalog", "ALTER TABLE %s OWNER TO %s", change->name,
			 quote_identifier(role));
}

static void
pass_over_indexes(TableChange *change, bool pass)
{
	const char *name;

	for (int i = 1; (name = want_get(change, psprintf("@without index %d", i))) != NULL; i++)
		step_add(change->steps, RANK_TABLE_AFTER, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "SELECT safemig.set_index_live(%s, %s)",
				 quote_literal_cstr(name), pass ? "false" : "true");
}

/*
 * Attaching evaluates what the partitioned table's owner wrote, and wants one
 * owner of both: for that time the partition is that role's.
 */
static void
attach_partition(TableChange *change, const char *parent)
{
	const char *role = want_get(change, "@partition of owner");
	bool		lend = role && !texts_equal(role, change->want->owner);
	Step	   *step;

	if (lend)
		give_to(change, role);
	pass_over_indexes(change, true);
	step = step_add(change->steps, RANK_TABLE_AFTER, RUN_OWNER,
					ACCESS_EXCLUSIVE, "scan",
					"ALTER TABLE %s ATTACH PARTITION %s %s", parent,
					change->name, want_get(change, "bound"));
	if (role)
		step->role = pstrdup(role);
	pass_over_indexes(change, false);
	if (lend)
		give_to(change, change->want->owner);
}

/* A half done DETACH ... CONCURRENTLY is a mark on what ties the two. */
static void
mark_pending(TableChange *change, bool pending)
{
	bool		saved = change->steps->dropping;

	/* nothing else can be done to the table while it bears the mark */
	change->steps->dropping = !pending;
	step_add(change->steps, pending ? RANK_AFTER_COMMON : RANK_LET_GO,
			 RUN_CATALOG, ACCESS_EXCLUSIVE, "catalog",
			 "SELECT safemig.set_detach_pending(%s, %s)",
			 quote_literal_cstr(change->name), pending ? "true" : "false");
	change->steps->dropping = saved;
}

static void
alter_partition(TableChange *change)
{
	const char *old = have_get(change, "partition of");
	const char *new = want_get(change, "partition of");
	bool		pending = have_get(change, "detach pending") != NULL;
	bool		wanted_pending = want_get(change, "detach pending") != NULL;
	bool		saved = change->steps->dropping;

	if (!reference_differs(change, "partition of") && !differs(change, "bound"))
	{
		if (pending != wanted_pending)
			mark_pending(change, wanted_pending);
		return;
	}
	change->steps->dropping = true;
	if (old && detach_leaves_triggers(change->have->address.objectId))
		step_add(change->steps, RANK_TABLE_AFTER, RUN_CATALOG,
				 ACCESS_EXCLUSIVE, "catalog",
				 "SELECT safemig.detach_partition(%s, %s)",
				 quote_literal_cstr(old), quote_literal_cstr(change->name));
	else if (old)
		step_add(change->steps, RANK_TABLE_AFTER, RUN_CATALOG,
				 ACCESS_EXCLUSIVE, "catalog",
				 "ALTER TABLE %s DETACH PARTITION %s%s", old, change->name,
				 pending ? " FINALIZE" : "");
	change->steps->dropping = saved;
	if (new)
		attach_partition(change, new);
	if (new && wanted_pending)
		mark_pending(change, true);
}

/* ---- who sees what of it ---- */

static void
alter_protection(TableChange *change)
{
	const char *identity = want_get(change, "replica identity");

	if (differs(change, "row security"))
		step_add(change->steps, RANK_POLICY, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "ALTER TABLE %s %s ROW LEVEL SECURITY",
				 change->name,
				 want_get(change, "row security") ? "ENABLE" : "DISABLE");
	if (differs(change, "force row security"))
		step_add(change->steps, RANK_POLICY, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "ALTER TABLE %s %s ROW LEVEL SECURITY",
				 change->name,
				 want_get(change, "force row security") ? "FORCE" : "NO FORCE");
	/* an index that identifies rows says so itself */
	if (differs(change, "replica identity") && !value_is(identity, "INDEX"))
		step_add(change->steps, RANK_TABLE_AFTER, RUN_CATALOG,
				 ACCESS_EXCLUSIVE, "catalog",
				 "ALTER TABLE %s REPLICA IDENTITY %s", change->name,
				 identity ? identity : "DEFAULT");
}

bool
table_alter(const Image *have, const Image *want, Steps *steps)
{
	TableChange change = {
		.have = have,
		.want = want,
		.steps = steps,
		.name = image_qualified_name(want),
		.same_relation = image_same_object(have, want),
		.have_columns = columns_of(have),
		.want_columns = columns_of(want),
	};

	if (needs_remaking(&change))
		return false;
	change.reinherits =
		have_get(&change, psprintf("inherits %d", first_other_parent(&change))) != NULL;
	columns_alter(&change);
	alter_persistence(&change);
	alter_placement(&change);
	alter_options(&change);
	alter_of_type(&change);
	alter_inherits(&change);
	alter_partition(&change);
	alter_protection(&change);
	return true;
}
