/*-------------------------------------------------------------------------
 *
 * table_column_alter.c
 *	  From the columns a table has to the columns it shall have.
 *
 * Columns of one relation are matched by attribute number, else by name.  A
 * column that is missing is revived from its dropped slot where its values
 * were kept; a revived column comes back bare and is then set like any other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "compat.h"
#include "table.h"

/*
 * A step that takes away: it runs before those that give, and names columns as
 * have does where want has them no more.
 */
static void
begin_dropping(TableChange *change, bool *saved)
{
	*saved = change->steps->dropping;
	change->steps->dropping = true;
}

static void
end_dropping(TableChange *change, bool saved)
{
	change->steps->dropping = saved;
}

/* ---- which column is which ---- */

/* An expression that PostgreSQL has not replaced since, whatever it reads. */
static bool
same_expression(const TableChange *change, const Column *have,
				const Column *want, const char *facet)
{
	const char *a = column_get(have, facet);
	const char *b = column_get(want, facet);

	if (texts_equal(a, b))
		return true;
	return a && b && change->same_relation &&
		texts_equal(column_get(have, "@default oid"),
					 column_get(want, "@default oid"));
}

/*
 * Before 17 a generation expression cannot be changed: such a column is
 * dropped and added, which computes its values anew.
 */
static bool
can_become(const TableChange *change, const Column *have, const Column *want)
{
	return generated_can_change() ||
		column_get(have, "generated") == NULL ||
		column_get(want, "generated") == NULL ||
		column_is_inherited(want) ||
		same_expression(change, have, want, "generated");
}

static void
match_columns(TableChange *change)
{
	ListCell   *lc;

	foreach(lc, change->want_columns)
	{
		Column	   *want = lfirst(lc);
		ListCell   *lc2;

		foreach(lc2, change->have_columns)
		{
			Column	   *have = lfirst(lc2);

			if (have->match != NULL ||
				(change->same_relation ? have->attnum != want->attnum :
				 strcmp(have->name, want->name) != 0) ||
				!can_become(change, have, want))
				continue;
			have->match = want;
			want->match = have;
			break;
		}
	}
}

/* A live column of have that bears this name, or NULL. */
static const Column *
have_named(const TableChange *change, const char *name)
{
	ListCell   *lc;

	foreach(lc, change->have_columns)
	{
		const Column *column = lfirst(lc);

		if (strcmp(column->name, name) == 0)
			return column;
	}
	return NULL;
}

/* ---- dropping and renaming ---- */

static bool
wanted_by_a_rename(const TableChange *change, const char *name)
{
	ListCell   *lc;

	foreach(lc, change->want_columns)
	{
		const Column *column = lfirst(lc);

		if (strcmp(column->name, name) == 0)
			return column->match != NULL;
	}
	return false;
}

/*
 * In reverse order, since a generated column can only refer to columns that
 * were there before it.  A column in the way of a rename goes before that.
 */
static void
drop_columns(TableChange *change)
{
	bool		saved;

	begin_dropping(change, &saved);
	for (int i = list_length(change->have_columns) - 1; i >= 0; i--)
	{
		const Column *column = list_nth(change->have_columns, i);

		if (column->match || column_is_inherited(column))
			continue;
		step_add(change->steps,
				 wanted_by_a_rename(change, column->name) ? ORDER_OBSTACLE : RANK_COLUMN,
				 RUN_CATALOG, ACCESS_EXCLUSIVE, "catalog",
				 "ALTER TABLE %s DROP COLUMN %s", change->name,
				 quote_identifier(column->name));
	}
	end_dropping(change, saved);
}

static void
rename_column(TableChange *change, const char *from, const char *to)
{
	step_add(change->steps, ORDER_INNER_RENAME, RUN_CATALOG, ACCESS_EXCLUSIVE,
			 "catalog", "ALTER TABLE %s RENAME COLUMN %s TO %s",
			 change->name, quote_identifier(from), quote_identifier(to));
}

/*
 * Columns that change names among themselves go by way of a name that nobody
 * else has.
 */
static void
rename_columns(TableChange *change)
{
	ListCell   *lc;
	bool		saved;

	begin_dropping(change, &saved);
	for (int round = 0; round < 2; round++)
	{
		foreach(lc, change->want_columns)
		{
			const Column *want = lfirst(lc);
			const Column *have = want->match;
			const Column *in_the_way;
			char	   *detour;

			if (have == NULL || strcmp(have->name, want->name) == 0 ||
				column_is_inherited(have))
				continue;
			in_the_way = have_named(change, want->name);
			detour = psprintf("safemig_column_%d", want->attnum);
			if (in_the_way == NULL || in_the_way->match == NULL)
				detour = NULL;
			if (round == 0 && detour)
				rename_column(change, have->name, detour);
			else if (round == 1)
				rename_column(change, detour ? detour : have->name, want->name);
		}
	}
	end_dropping(change, saved);
}

/* ---- the column itself: its slot, its type ---- */

/*
 * Without kept values the column is added as its description says, which
 * gives existing rows its default.
 */
static void
add_column(TableChange *change, const Column *column)
{
	bool		has_expression = column_get(column, "default") ||
		column_get(column, "generated") || column_get(column, "identity");
	Step	   *step;

	step = step_add(change->steps,
					has_expression ? RANK_DEFAULT : RANK_COLUMN,
					RUN_OWNER, ACCESS_EXCLUSIVE,
					has_expression ? "rewrite" : "catalog",
					"ALTER TABLE %s ADD COLUMN %s", change->name,
					column_definition(column));
	step->note = pstrdup("no values of this column were kept: it is added at the end, with its default");
}

/*
 * fill_column gives rows written while the column was dropped its default,
 * which may need functions and sequences that come back first.
 */
static void
fill_column(TableChange *change, const char *kept, const char *expression)
{
	/* behind the revival of all columns: one may be another's key */
	step_add(change->steps, expression ? RANK_DEFAULT : RANK_COLUMN + 1,
			 RUN_CATALOG, ACCESS_EXCLUSIVE, "scan",
			 "SELECT safemig.fill_column(%s, %s)", kept,
			 expression ? quote_literal_cstr(expression) : "NULL");
}

static void
revive_column(TableChange *change, const Column *column, const char *kept)
{
	step_add(change->steps, RANK_COLUMN, RUN_CATALOG, ACCESS_EXCLUSIVE,
			 "catalog", "SELECT safemig.revive_column(%s)", kept);
	if (column_get(column, "generated") == NULL)
		fill_column(change, kept, column_get(column, "default"));
}

/*
 * What a column that has just been added by add_column has.  A revived one is
 * described by no column at all.
 */
static const Column *
column_as_added(const Column *want)
{
	static const char *const given[] = {
		"type", "collation", "default", "@default oid",
		"generated", "generated kind", "identity", "islocal", "inhcount",
		"@storage", "@attnum", NULL
	};
	Column	   *added = palloc0(sizeof(Column));
	ListCell   *lc;

	*added = *want;
	added->facets = NIL;
	foreach(lc, want->facets)
	{
		Facet	   *facet = lfirst(lc);
		bool		keep = strncmp(facet->name, "fdw option ", 11) == 0 ||
			column_notnull_gives(want, facet->name);

		for (int i = 0; given[i]; i++)
			keep |= strcmp(facet->name, given[i]) == 0;
		if (keep)
			added->facets = lappend(added->facets, facet);
	}
	return added;
}

/* Whether the type or the collation is another one, not merely renamed. */
static bool
type_differs(const TableChange *change, const Column *have,
			 const Column *want)
{
	bool		type = !texts_equal(column_get(have, "type"),
									 column_get(want, "type"));
	bool		collation = !texts_equal(column_get(have, "collation"),
										  column_get(want, "collation"));

	if (change->same_relation)
	{
		if (texts_equal(column_get(have, "@typid"), column_get(want, "@typid")) &&
			texts_equal(column_get(have, "@typmod"), column_get(want, "@typmod")))
			type = false;
		if (texts_equal(column_get(have, "@collid"), column_get(want, "@collid")))
			collation = false;
	}
	return type || collation;
}

/*
 * The values of a generated column are neither kept nor cast back, which might
 * not give what its expression says: they are computed while the expression
 * is not there.
 */
static void
change_generated_type(TableChange *change, const Column *want)
{
	const char *name = quote_identifier(want->name);
	const char *text = column_get(want, "generated");
	bool		saved;

	if (!column_is_inherited(want))
	{
		begin_dropping(change, &saved);
		step_add(change->steps, RANK_DEFAULT, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "ALTER TABLE %s ALTER COLUMN %s DROP EXPRESSION",
				 change->name, name);
		end_dropping(change, saved);
		step_add(change->steps, RANK_COLUMN_TYPE, RUN_OWNER, ACCESS_EXCLUSIVE,
				 "rewrite", "ALTER TABLE %s ALTER COLUMN %s TYPE %s USING (%s)",
				 change->name, name, column_type_sql(want), text);
	}
	step_add(change->steps, RANK_DEFAULT, RUN_CATALOG, ACCESS_EXCLUSIVE,
			 "catalog", "SELECT safemig.set_generated(%s, %s, %s)",
			 quote_literal_cstr(change->name), quote_literal_cstr(want->name),
			 quote_literal_cstr(text));
}

/*
 * A default hangs on the old type: it goes first and is set again later.  An
 * inherited column gets its type, and what was kept of it, with the parent's.
 */
static void
change_type(TableChange *change, const Column *have, const Column *want)
{
	const char *kept = column_get(want, "@kept");
	const char *name = quote_identifier(want->name);
	bool		foreign = value_is(image_get(change->want, "", "@relkind"), "f");
	bool		plain_cast = column_get(have, "generated") || foreign;

	if (!foreign && column_get(have, "generated") &&
		same_expression(change, have, want, "generated") &&
		column_get(want, "generated kind") == NULL)
	{
		change_generated_type(change, want);
		return;
	}
	/* before the type of any relation of the tree: that casts defaults, too */
	if (column_get(have, "default"))
		step_add(change->steps, RANK_COLUMN_TYPE - 1, RUN_CATALOG,
				 ACCESS_EXCLUSIVE, "catalog",
				 "ALTER TABLE ONLY %s ALTER COLUMN %s DROP DEFAULT",
				 change->name, name);
	if (column_is_inherited(want))
		return;
	if (kept && column_get(have, "generated kind") == NULL)
		step_add(change->steps, RANK_COLUMN_TYPE, RUN_CATALOG,
				 ACCESS_EXCLUSIVE, "rewrite",
				 "SELECT safemig.restore_column_type(%s)", kept);
	else if (plain_cast)
		step_add(change->steps, RANK_COLUMN_TYPE, RUN_OWNER,
				 ACCESS_EXCLUSIVE, "rewrite",
				 "ALTER TABLE %s ALTER COLUMN %s TYPE %s",
				 change->name, name, column_type_sql(want));
	else
	{
		const char *collation = column_get(want, "collation");

		/* a value written since that does not fit is an error, never rounded */
		step_add(change->steps, RANK_COLUMN_TYPE, RUN_CATALOG,
				 ACCESS_EXCLUSIVE, "rewrite",
				 "SELECT safemig.revert_column_type(%s, %s, %s, %s)",
				 quote_literal_cstr(change->name),
				 quote_literal_cstr(want->name),
				 quote_literal_cstr(column_get(want, "type")),
				 collation ? quote_literal_cstr(collation) : "NULL");
	}
}

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

	if (text && (retyped || !same_expression(change, have, want, "default")))
		set_of_column(change, want, ACCESS_EXCLUSIVE,
					  psprintf("SET DEFAULT %s", text));
	else if (text == NULL && column_get(have, "default") && !retyped)
	{
		begin_dropping(change, &saved);
		set_of_column(change, want, ACCESS_EXCLUSIVE, "DROP DEFAULT");
		end_dropping(change, saved);
	}
}

/*
 * A stored expression is put back as a catalog change: rows written before it
 * was taken away still hold its values, fill_column has computed the others.
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

	if (same_expression(change, have, want, "generated"))
		return;
	if (text == NULL)
	{
		if (column_is_inherited(have))
			return;
		begin_dropping(change, &saved);
		if (column_get(have, "generated kind"))
			step_add(change->steps, RANK_DEFAULT, RUN_CATALOG, ACCESS_EXCLUSIVE,
					 "catalog", "SELECT safemig.unset_generated(%s, %s)",
					 quote_literal_cstr(change->name),
					 quote_literal_cstr(want->name));
		else
			step_add(change->steps, RANK_DEFAULT, RUN_CATALOG, ACCESS_EXCLUSIVE,
					 "catalog", "ALTER TABLE %s ALTER COLUMN %s DROP EXPRESSION",
					 change->name, name);
		end_dropping(change, saved);
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
		fill_column(change, kept, text);
	else if (!virtual)
		step_add(change->steps, RANK_DEFAULT, RUN_OWNER, ACCESS_EXCLUSIVE,
				 "scan", "UPDATE ONLY %s SET %s = (%s) WHERE %s IS DISTINCT FROM (%s)",
				 change->name, name, text, name, text);
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

	if (texts_equal(old, new))
		return;
	if (partitions_inherit_identity() &&
		image_get(change->want, "", "partition of"))
		return;
	if (new == NULL)
	{
		begin_dropping(change, &saved);
		step_add(change->steps, RANK_DEFAULT, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "ALTER TABLE %s ALTER COLUMN %s DROP IDENTITY",
				 change->name, name);
		end_dropping(change, saved);
	}
	else if (old == NULL)
		step_add(change->steps, RANK_DEFAULT, RUN_CATALOG, ACCESS_EXCLUSIVE,
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
	const char *target = column_get(want, "statistics");
	char	   *text;

	if (!texts_equal(column_get(have, "statistics"), target))
		set_of_column(change, want, SHARE_UPDATE_EXCLUSIVE,
					  psprintf("SET STATISTICS %s", target ? target : "-1"));
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

/* ---- one column, all columns ---- */

/* Not even a hint differs: most columns of most changes. */
static bool
columns_alike(const Column *a, const Column *b)
{
	ListCell   *cell_a;
	ListCell   *cell_b;

	if (list_length(a->facets) != list_length(b->facets))
		return false;
	forboth(cell_a, a->facets, cell_b, b->facets)
	{
		const Facet *x = lfirst(cell_a);
		const Facet *y = lfirst(cell_b);

		if (strcmp(x->name, y->name) != 0 || strcmp(x->value, y->value) != 0)
			return false;
	}
	return true;
}

static void
alter_column(TableChange *change, const Column *want)
{
	const Column *have = want->match;
	const char *kept = column_get(want, "@kept");
	bool		retyped = false;

	if (have && !change->reinherits && columns_alike(have, want))
		return;
	if (have)
	{
		retyped = type_differs(change, have, want);
		if (retyped)
			change_type(change, have, want);
	}
	else if (kept)
		revive_column(change, want, kept);
	else
	{
		/* one that the parent has comes with the parent's */
		if (!column_is_inherited(want))
			add_column(change, want);
		have = column_as_added(want);
	}
	/* identity wants NOT NULL there before it, and no default */
	notnull_alter(change, have, want);
	alter_default(change, have, want, retyped);
	alter_generated(change, have, want);
	alter_identity(change, have, want);
	alter_storage(change, have, want, retyped);
	alter_planning(change, have, want);
	alter_islocal(change, have, want);
}

void
columns_alter(TableChange *change)
{
	ListCell   *lc;

	match_columns(change);
	drop_columns(change);
	rename_columns(change);
	foreach(lc, change->want_columns)
		alter_column(change, lfirst(lc));
}

bool
columns_reshaped(const TableChange *change)
{
	ListCell   *lc;

	if (list_length(change->have_columns) != list_length(change->want_columns))
		return true;
	foreach(lc, change->want_columns)
	{
		const Column *want = lfirst(lc);

		if (want->match == NULL || !texts_equal(want->name, want->match->name) ||
			type_differs(change, want->match, want))
			return true;
	}
	return false;
}
