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
	step->sql = buf.data;
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

void
steps_sort(Steps *steps)
{
	list_sort(steps->list, step_cmp);
}

/*
 * In the history a reverse is a text array with seven elements a step; what
 * is absent is the empty string.
 */
#define STEP_FIELDS 7

static void
push(ArrayBuildState **state, const char *value)
{
	*state = accumArrayResult(*state, CStringGetTextDatum(value ? value : ""),
							  false, TEXTOID, CurrentMemoryContext);
}

ArrayType *
steps_to_array(const Steps *steps)
{
	ArrayBuildState *state = NULL;
	ListCell   *lc;

	if (steps->list == NIL)
		return construct_empty_array(TEXTOID);
	foreach(lc, steps->list)
	{
		Step	   *step = lfirst(lc);
		char		mode[2] = {(char) step->mode, '\0'};

		push(&state, mode);
		push(&state, step->role);
		push(&state, step->object);
		push(&state, step->lock_mode);
		push(&state, step->cost);
		push(&state, step->note);
		push(&state, step->sql);
	}
	return DatumGetArrayTypeP(makeArrayResult(state, CurrentMemoryContext));
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
