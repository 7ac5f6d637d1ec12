/*-------------------------------------------------------------------------
 *
 * table_column_set.c
 *	  What a column that is there shall have: default, expression, identity,
 *	  storage, statistics.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "compat.h"
#include "table.h"

/* ---- what gives a column its values ---- */

/*
 * A setting of one column that evaluates nothing and touches no row: those of
 * several columns may go into one statement.
 */
static void
set_of_column(TableChange *change, const Column *want, const char *lock_mode,
			  const char *what)
{
	char	   *table = psprintf("ALTER TABLE ONLY %s ", change->name);
	Step	   *step = step_add(change->steps, RANK_DEFAULT, RUN_CATALOG,
								lock_mode, "catalog", "%sALTER COLUMN %s %s",
								table, quote_identifier(want->name), what);

	step->clause = strlen(table);
}

static void
alter_default(TableChange *change, const Column *have, const Column *want,
			  bool retyped)
{
	const char *text = column_get(want, "default");
	bool		saved;

	if (text && (retyped || !column_same_expression(change, have, want, "default")))
		set_of_column(change, want, ACCESS_EXCLUSIVE,
					  psprintf("SET DEFAULT %s", text));
	else if (text == NULL && column_get(have, "default") && !retyped)
	{
		change_begin_dropping(change, &saved);
		set_of_column(change, want, ACCESS_EXCLUSIVE, "DROP DEFAULT");
		change_end_dropping(change, saved);
	}
}

/*
 * A stored expression is put back as a catalog change: rows written before it
 * was taken away still hold its values, compute_column or fill_column computes the others.
 * A virtual one has no values in the rows.
 */
static void
alter_generated(TableChange *change, const Column *have, const Column *want)
{
	const char *name = quote_identifier(want->name);
	const char *text = column_get(want, "generated");
	const char *kept = column_get(want, "@kept");
	bool		virtual = column_get(want, "generated kind") != NULL;
	bool		saved;

	if (column_same_expression(change, have, want, "generated"))
		return;
	if (text == NULL)
	{
		if (column_is_inherited(have))
			return;
		change_begin_dropping(change, &saved);
		if (column_get(have, "generated kind"))
			step_add(change->steps, RANK_DEFAULT, RUN_CATALOG, ACCESS_EXCLUSIVE,
					 "catalog", "SELECT safemig.unset_generated(%s, %s)",
					 quote_literal_cstr(change->name),
					 quote_literal_cstr(want->name));
		else
			step_add(change->steps, RANK_DEFAULT, RUN_CATALOG, ACCESS_EXCLUSIVE,
					 "catalog", "ALTER TABLE %s ALTER COLUMN %s DROP EXPRESSION",
					 change->name, name);
		change_end_dropping(change, saved);
		return;
	}
	if (column_get(have, "generated"))
	{
		step_add(change->steps, RANK_DEFAULT, RUN_OWNER, ACCESS_EXCLUSIVE,
				 virtual ? "catalog" : "rewrite",
				 "ALTER TABLE %s ALTER COLUMN %s SET EXPRESSION AS (%s)",
				 change->name, name, text);
		return;
	}
	if (kept && !virtual)
		column_fill(change, kept, text);
	else if (!virtual)
		step_add(change->steps, RANK_DEFAULT, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "scan", "SELECT safemig.compute_column(%s, %s, %s)",
				 quote_literal_cstr(change->name), quote_literal_cstr(want->name),
				 quote_literal_cstr(text));
	step_add(change->steps, RANK_DEFAULT, RUN_CATALOG, ACCESS_EXCLUSIVE,
			 "catalog", "SELECT safemig.set_generated(%s, %s, %s%s)",
			 quote_literal_cstr(change->name), quote_literal_cstr(want->name),
			 quote_literal_cstr(text), virtual ? ", virtual => true" : "");
}

/*
 * DROP IDENTITY goes with what is taken away: it frees the sequence's name.
 */
static void
alter_identity(TableChange *change, const Column *have, const Column *want)
{
	const char *name = quote_identifier(want->name);
	const char *old = column_get(have, "identity");
	const char *new = column_get(want, "identity");
	bool		saved;

	if (partitions_inherit_identity())
	{
		/* ATTACH gives a partition that of the tree, DETACH takes it */
		if (image_get(change->want, "", "partition of"))
			return;
		if (image_get(change->have, "", "partition of"))
			old = NULL;
	}
	if (texts_equal(old, new))
		return;
	if (new == NULL)
	{
		change_begin_dropping(change, &saved);
		step_add(change->steps, RANK_DEFAULT, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "ALTER TABLE %s ALTER COLUMN %s DROP IDENTITY",
				 change->name, name);
		change_end_dropping(change, saved);
	}
	else if (old == NULL)
		step_add(change->steps, RANK_IDENTITY, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "ALTER TABLE %s ALTER COLUMN %s ADD %s",
				 change->name, name, column_identity_sql(want));
	else
		step_add(change->steps, RANK_DEFAULT, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "ALTER TABLE %s ALTER COLUMN %s SET GENERATED %s",
				 change->name, name, new);
}

/* ---- how a column is stored and planned for ---- */

static void
alter_storage(TableChange *change, const Column *have, const Column *want,
			  bool retyped)
{
	const char *old = retyped ? NULL : column_get(have, "storage");
	const char *method = column_get(want, "compression");

	if (!texts_equal(old, column_get(want, "storage")))
		set_of_column(change, want, ACCESS_EXCLUSIVE,
					  psprintf("SET STORAGE %s", column_get(want, "@storage")));
	old = retyped ? NULL : column_get(have, "compression");
	if (!texts_equal(old, method))
		set_of_column(change, want, ACCESS_EXCLUSIVE,
					  psprintf("SET COMPRESSION %s",
							   method ? quote_identifier(method) : "DEFAULT"));
}

static void
alter_planning(TableChange *change, const Column *have, const Column *want)
{
	const char *name = quote_identifier(want->name);
	List	   *old = have ? have->facets : NIL;
	char	   *text;

	if ((text = options_to_reset(old, want->facets, "option")) != NULL)
		step_add(change->steps, RANK_DEFAULT, RUN_CATALOG,
				 SHARE_UPDATE_EXCLUSIVE, "catalog",
				 "ALTER TABLE %s ALTER COLUMN %s RESET (%s)",
				 change->name, name, text);
	if ((text = options_to_set(old, want->facets, "option")) != NULL)
		step_add(change->steps, RANK_DEFAULT, RUN_CATALOG,
				 SHARE_UPDATE_EXCLUSIVE, "catalog",
				 "ALTER TABLE %s ALTER COLUMN %s SET (%s)",
				 change->name, name, text);
	if ((text = options_generic_change(old, want->facets, "fdw option")) != NULL)
		step_add(change->steps, RANK_DEFAULT, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "ALTER TABLE %s ALTER COLUMN %s OPTIONS (%s)",
				 change->name, name, text);
}

/*
 * Whether a column is also defined locally: leaving a parent makes it so, and
 * no SQL makes it otherwise again.
 */
static void
alter_islocal(TableChange *change, const Column *have, const Column *want)
{
	bool		local = column_get(want, "islocal") == NULL;
	bool		reinherited = !local && change->reinherits &&
		column_is_inherited(have);

	if (have == NULL || (!reinherited &&
						 texts_equal(column_get(have, "islocal"),
									  column_get(want, "islocal"))))
		return;
	/* a partition's columns follow ATTACH and DETACH */
	if (image_get(change->want, "", "partition of") ||
		image_get(change->have, "", "partition of"))
		return;
	step_add(change->steps, RANK_TABLE_AFTER + 1, RUN_CATALOG,
			 ACCESS_EXCLUSIVE, "catalog",
			 "SELECT safemig.set_column_local(%s, %s, %s)",
			 quote_literal_cstr(change->name), quote_literal_cstr(want->name),
			 local ? "true" : "false");
}

void
column_set(TableChange *change, const Column *have, const Column *want,
		   bool retyped)
{
	alter_default(change, have, want, retyped);
	alter_generated(change, have, want);
	alter_identity(change, have, want);
	alter_storage(change, have, want, retyped);
	alter_planning(change, have, want);
	alter_islocal(change, have, want);
}

/*
 * By itself, after all else: its lock is a weaker one, so that it cannot share
 * a statement with the rest, but those of all columns can.
 */
void
column_set_statistics(TableChange *change, const Column *want)
{
	const char *target = column_get(want, "statistics");

	if (!texts_equal(column_get(want->match, "statistics"), target))
		set_of_column(change, want, SHARE_UPDATE_EXCLUSIVE,
					  psprintf("SET STATISTICS %s", target ? target : "-1"));
}
