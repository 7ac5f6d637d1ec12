/*-------------------------------------------------------------------------
 *
 * refresh.c
 *	  Materialized views that a migration refreshed, filled when it is back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "image/classes.h"
#include "rollback/rollback.h"

static Change *
find_change(const RecordedCommand *command, const char *key)
{
	ListCell   *lc;

	foreach(lc, command->changes)
	{
		Change	   *change = lfirst(lc);
		Image	   *image = change->before ? change->before : change->after;

		if (strcmp(image_address_key(image), key) == 0)
			return change;
	}
	return NULL;
}

static bool
is_about_views(const Change *change)
{
	return change->before && change->after &&
		change->before->class == &image_class_materialized_view &&
		change->after->class == &image_class_materialized_view;
}

/* Filled or emptied, and nothing else. */
static bool
is_but_refreshed(const Change *change)
{
	static const char *const by_refresh[] = {"populated", NULL};

	return is_about_views(change) &&
		strcmp(change->after->identity, change->before->identity) == 0 &&
		!image_differs_beyond(change->after, change->before, by_refresh);
}

/*
 * What the view is called when all commands are taken back; NULL: one of those
 * that come after this one in the plan made it.
 */
static const char *
name_in_the_end(RollbackPlan *plan, int command, const char *key)
{
	const char *identity = key + strlen(image_class_materialized_view.type) + 1;

	for (int i = command + 1; i < list_length(plan->commands); i++)
	{
		RecordedCommand *older = list_nth(plan->commands, i);
		ListCell   *lc;

		foreach(lc, older->changes)
		{
			Change	   *change = lfirst(lc);
			const Image *image = change->after ? change->after : change->before;

			if (strcmp(image_address_key(image), key) != 0)
				continue;
			if (!is_about_views(change))
				return NULL;
			identity = change->before->identity;
			key = image_address_key(change->before);
			break;
		}
	}
	return identity;
}

#define REFRESH	"REFRESH MATERIALIZED VIEW "
#define EMPTY	" WITH NO DATA"

/* The step as it is in the end, when the view is called by that name. */
static Step *
step_in_the_end(const Step *step, const char *identity)
{
	Step	   *later = palloc(sizeof(Step));
	int			length = strlen(step->sql) - strlen(EMPTY);
	bool		empties = length > 0 && strcmp(step->sql + length, EMPTY) == 0;

	*later = *step;
	later->object = psprintf("%s %s", image_class_materialized_view.type, identity);
	if (strcmp(later->object, step->object) != 0)
		later->sql = psprintf(REFRESH "%s%s", identity, empties ? EMPTY : "");
	return later;
}

/* The step that fills what this one empties; NULL: it empties nothing. */
static Step *
filling_instead(const Step *step)
{
	int			length = strlen(step->sql) - strlen(EMPTY);
	Step	   *fill;

	if (length < 0 || strcmp(step->sql + length, EMPTY) != 0)
		return NULL;
	fill = palloc(sizeof(Step));
	*fill = *step;
	fill->sql = pnstrdup(step->sql, length);
	fill->cost = "rewrite";
	return fill;
}

static bool
is_about_others(List *steps, const Step *one)
{
	ListCell   *lc;

	foreach(lc, steps)
	{
		if (strcmp(((Step *) lfirst(lc))->object, one->object) != 0)
			return true;
	}
	return false;
}

static bool
is_about_it(List *steps, const Step *one)
{
	ListCell   *lc;

	foreach(lc, steps)
	{
		if (strcmp(((Step *) lfirst(lc))->object, one->object) == 0)
			return true;
	}
	return false;
}

/*
 * The steps, oldest first, in the order in which they are run.  One may read
 * another, so they are filled as the migrations did it, also those that are
 * empty in the end; these are emptied then.
 */
static List *
order_refreshes(List *refreshes)
{
	List	   *fills = NIL;
	List	   *empties = NIL;
	List	   *known = NIL;
	ListCell   *lc;

	foreach(lc, refreshes)
	{
		Step	   *step = lfirst(lc);
		Step	   *fill = filling_instead(step);
		String	   *object = makeString(step->object);

		if (fill == NULL)
			fills = lappend(fills, step);
		else if (is_about_others(refreshes, step))
			fills = lappend(fills, fill);
		/* its oldest step makes it what it was */
		if (fill && !list_member(known, object))
			empties = lappend(empties, step);
		known = lappend(known, object);
	}
	return list_concat(fills, empties);
}

/*
 * A materialized view is filled with what its query gives, by rights and from
 * tables as they were before the migrations: so when all of them are back.  One
 * that an earlier command made is filled in between.
 */
void
refreshes_postpone(RollbackPlan *plan)
{
	RecordedCommand *last = plan->commands ? llast(plan->commands) : NULL;
	List	   *refreshes = NIL;
	List	   *empty = NIL;		/* now, and not before */

	for (int i = 0; i < list_length(plan->commands); i++)
	{
		RecordedCommand *command = list_nth(plan->commands, i);
		List	   *kept = NIL;
		ListCell   *lc;

		foreach(lc, command->steps)
		{
			Step	   *step = lfirst(lc);
			Change	   *change = NULL;
			const char *identity = NULL;

			if (strncmp(step->sql, REFRESH, strlen(REFRESH)) == 0)
			{
				change = find_change(command, step->object);
				if (change == NULL ||
					(change->before && (command != last || is_but_refreshed(change))))
					identity = name_in_the_end(plan, i, step->object);
			}
			if (identity == NULL)
			{
				kept = lappend(kept, step);
				continue;
			}
			command->refreshes_later = true;
			step = step_in_the_end(step, identity);
			if (change && filling_instead(step) == NULL && !is_about_it(refreshes, step))
				empty = lcons(step, empty);
			refreshes = lcons(step, refreshes);
		}
		command->steps = kept;
	}
	if (refreshes == NIL)
		return;
	/* what reads them could not be filled before */
	if (is_about_others(refreshes, linitial(refreshes)))
		last->steps = list_concat(last->steps, empty);
	last->steps = list_concat(last->steps, order_refreshes(refreshes));
}
