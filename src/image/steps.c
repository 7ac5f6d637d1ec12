/*-------------------------------------------------------------------------
 *
 * steps.c
 *	  The statements of a reverse: adding, ordering, storing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "safemig.h"

void
steps_init(Steps *steps)
{
	memset(steps, 0, sizeof(Steps));
}

Step *
step_add(Steps *steps, int order, StepMode mode, const char *lock_mode,
		 const char *cost, const char *fmt,...)
{
	Step	   *step = palloc0(sizeof(Step));
	const Image *image = steps->image;
	StringInfoData buf;

	initStringInfo(&buf);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, fmt);
		needed = appendStringInfoVA(&buf, fmt, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&buf, needed);
	}
	step->order = steps->dropping ? -order : order;
	step->seq = image->seq;
	step->mode = mode;
	step->role = image->owner ? pstrdup(image->owner) : NULL;
	step->object = image_address_key(image);
	step->lock_mode = lock_mode ? pstrdup(lock_mode) : NULL;
	step->cost = pstrdup(cost);
	step->sql = spell_exactly(buf.data);
	step->index = list_length(steps->list);
	steps->list = lappend(steps->list, step);
	return step;
}

/* Only the first reason is kept: it is the one that a reader can act on. */
void
steps_irreversible(Steps *steps, const char *fmt,...)
{
	StringInfoData buf;

	if (steps->irreversible)
		return;
	initStringInfo(&buf);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, fmt);
		needed = appendStringInfoVA(&buf, fmt, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&buf, needed);
	}
	steps->irreversible = buf.data;
}

static int
step_cmp(const ListCell *a, const ListCell *b)
{
	const Step *x = lfirst(a);
	const Step *y = lfirst(b);

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	if (x->seq != y->seq)
		return x->seq < y->seq ? -1 : 1;
	return x->index < y->index ? -1 : (x->index > y->index ? 1 : 0);
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* Whether next could be a further subcommand of the statement of step. */
static bool
can_join(const Step *step, const Step *next)
{
	return step->clause > 0 && step->clause == next->clause &&
		strncmp(step->sql, next->sql, step->clause) == 0 &&
		step->order == next->order && step->seq == next->seq &&
		step->mode == next->mode && same_text(step->role, next->role) &&
		same_text(step->object, next->object) &&
		same_text(step->lock_mode, next->lock_mode) &&
		same_text(step->cost, next->cost) &&
		step->note == NULL && next->note == NULL;
}

/*
 * Neighbours that only set something of columns of one table become one
 * statement: the table is then described once, not once for each column.
 */
static List *
join_clauses(List *steps)
{
	List	   *joined = NIL;
	Step	   *open = NULL;
	StringInfoData buf;
	ListCell   *lc;

	foreach(lc, steps)
	{
		Step	   *step = lfirst(lc);

		if (open && can_join(open, step))
		{
			if (buf.data == NULL)
			{
				initStringInfo(&buf);
				appendStringInfoString(&buf, open->sql);
			}
			appendStringInfo(&buf, ", %s", step->sql + step->clause);
			continue;
		}
		if (open && buf.data)
			open->sql = buf.data;
		buf.data = NULL;
		open = step;
		joined = lappend(joined, step);
	}
	if (open && buf.data)
		open->sql = buf.data;
	return joined;
}

void
steps_sort(Steps *steps)
{
	list_sort(steps->list, step_cmp);
	steps->list = join_clauses(steps->list);
}

/*
 * In the history a reverse is a text array with seven elements a step; what
 * is absent is the empty string.
 */
#define STEP_FIELDS 7

static const char *
text_or_empty(const char *text)
{
	return text ? text : "";
}

ArrayType *
steps_to_array(const Steps *steps)
{
	const char **texts = palloc(sizeof(char *) * STEP_FIELDS * (list_length(steps->list) + 1));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, steps->list)
	{
		Step	   *step = lfirst(lc);

		texts[n++] = psprintf("%c", (char) step->mode);
		texts[n++] = text_or_empty(step->role);
		texts[n++] = step->object;
		texts[n++] = text_or_empty(step->lock_mode);
		texts[n++] = step->cost;
		texts[n++] = text_or_empty(step->note);
		texts[n++] = step->sql;
	}
	return text_array_from(texts, n);
}

static char *
nonempty(Datum datum)
{
	char	   *value = TextDatumGetCString(datum);

	return value[0] ? value : NULL;
}

List *
steps_from_array(ArrayType *array)
{
	Datum	   *elems;
	int			nelems;
	List	   *list = NIL;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT,
					  &elems, NULL, &nelems);
	for (int i = 0; i + STEP_FIELDS <= nelems; i += STEP_FIELDS)
	{
		Step	   *step = palloc0(sizeof(Step));

		step->mode = (StepMode) TextDatumGetCString(elems[i])[0];
		step->role = nonempty(elems[i + 1]);
		step->object = TextDatumGetCString(elems[i + 2]);
		step->lock_mode = nonempty(elems[i + 3]);
		step->cost = TextDatumGetCString(elems[i + 4]);
		step->note = nonempty(elems[i + 5]);
		step->sql = TextDatumGetCString(elems[i + 6]);
		step->index = list_length(list);
		list = lappend(list, step);
	}
	return list;
}
