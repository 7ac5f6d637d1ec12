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
void
change_begin_dropping(TableChange *change, bool *saved)
{
	*saved = change->steps->dropping;
	change->steps->dropping = true;
}

void
change_end_dropping(TableChange *change, bool saved)
{
	change->steps->dropping = saved;
}

/* ---- which column is which ---- */

/* An expression that PostgreSQL has not replaced since, whatever it reads. */
bool
column_same_expression(const TableChange *change, const Column *have,
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
		column_same_expression(change, have, want, "generated");
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
 * Its values are copied, for a redo.
 */
static void
drop_columns(TableChange *change)
{
	bool		saved;

	change_begin_dropping(change, &saved);
	for (int i = list_length(change->have_columns) - 1; i >= 0; i--)
	{
		const Column *column = list_nth(change->have_columns, i);

		if (column->match || column_is_inherited(column))
			continue;
		step_add(change->steps,
				 wanted_by_a_rename(change, column->name) ? ORDER_OBSTACLE : RANK_COLUMN,
				 RUN_CATALOG, ACCESS_EXCLUSIVE,
				 column_get(column, "generated") ? "catalog" : "scan",
				 "ALTER TABLE %s DROP COLUMN %s", change->name,
				 quote_identifier(column->name));
	}
	change_end_dropping(change, saved);
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

	change_begin_dropping(change, &saved);
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
	change_end_dropping(change, saved);
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
void
column_fill(TableChange *change, const char *kept, const char *expression)
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
		column_fill(change, kept, column_get(column, "default"));
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
		change_begin_dropping(change, &saved);
		step_add(change->steps, RANK_DEFAULT, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "ALTER TABLE %s ALTER COLUMN %s DROP EXPRESSION",
				 change->name, name);
		change_end_dropping(change, saved);
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
		column_same_expression(change, have, want, "generated") &&
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
	column_set(change, have, want, retyped);
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
	foreach(lc, change->want_columns)
		column_set_statistics(change, lfirst(lc));
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
