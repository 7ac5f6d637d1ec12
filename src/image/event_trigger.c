/*-------------------------------------------------------------------------
 *
 * event_trigger.c
 *	  Images of event triggers, but for safemig's own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_event_trigger.h"
#include "catalog/pg_proc.h"
#include "commands/trigger.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "image/classes.h"

static const char *
enabled_clause(char enabled)
{
	return enabled == TRIGGER_DISABLED ? "DISABLE" :
		enabled == TRIGGER_FIRES_ALWAYS ? "ENABLE ALWAYS" :
		enabled == TRIGGER_FIRES_ON_REPLICA ? "ENABLE REPLICA" : NULL;
}

/* 'ALTER TABLE', 'DROP TABLE' */
static char *
tag_list(Datum tags)
{
	Datum	   *elems;
	int			n;
	StringInfoData buf;

	deconstruct_array(DatumGetArrayTypeP(tags), TEXTOID, -1, false, TYPALIGN_INT,
					  &elems, NULL, &n);
	initStringInfo(&buf);
	for (int i = 0; i < n; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "",
						 quote_literal_cstr(TextDatumGetCString(elems[i])));
	return buf.data;
}

static bool
event_trigger_read(Image *image)
{
	HeapTuple	row = SearchSysCache1(EVENTTRIGGEROID,
									  ObjectIdGetDatum(image->address.objectId));
	Form_pg_event_trigger form;
	Datum		tags;
	bool		isnull;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_event_trigger) GETSTRUCT(row);
	image->name = pstrdup(NameStr(form->evtname));
	image_add_owner(image, form->evtowner);
	image_add(image, "", "event", NameStr(form->evtevent));
	image_add(image, "", "function", object_identity(ProcedureRelationId, form->evtfoid));
	if (enabled_clause(form->evtenabled))
		image_add(image, "", "enabled", enabled_clause(form->evtenabled));
	tags = SysCacheGetAttr(EVENTTRIGGEROID, row, Anum_pg_event_trigger_evttags, &isnull);
	if (!isnull)
		image_add(image, "", "tags", tag_list(tags));
	ReleaseSysCache(row);
	return true;
}

static void
enable(const Image *image, Steps *steps)
{
	const char *enabled = image_get(image, "", "enabled");

	step_add(steps, RANK_EVENT_TRIGGER, RUN_SUPERUSER, NULL, "catalog",
			 "ALTER EVENT TRIGGER %s %s", image_qualified_name(image),
			 enabled ? enabled : "ENABLE");
}

static void
event_trigger_create(const Image *image, Steps *steps)
{
	const char *tags = image_get(image, "", "tags");

	step_add(steps, RANK_EVENT_TRIGGER, RUN_SUPERUSER, NULL, "catalog",
			 "CREATE EVENT TRIGGER %s ON %s%s%s%s EXECUTE FUNCTION %s",
			 image_qualified_name(image), image_get(image, "", "event"),
			 tags ? " WHEN TAG IN (" : "", tags ? tags : "", tags ? ")" : "",
			 image_get(image, "", "function"));
	if (image_get(image, "", "enabled"))
		enable(image, steps);
}

static void
event_trigger_drop(const Image *image, Steps *steps)
{
	step_add(steps, RANK_EVENT_TRIGGER, RUN_SUPERUSER, NULL, "catalog",
			 "DROP EVENT TRIGGER %s", image_qualified_name(image));
}

static bool
event_trigger_alter(const Image *have, const Image *want, Steps *steps)
{
	static const char *const in_place[] = {"enabled", NULL};

	/* by its function's name, which may be another by now */
	if (have->address.objectId != want->address.objectId &&
		image_differs_beyond(have, want, in_place))
		return false;
	if (facet_differs(have, want, "", "enabled"))
		enable(want, steps);
	return true;
}

const ImageClass image_class_event_trigger = {
	.catalog = EventTriggerRelationId,
	.type = "event trigger",
	.keyword = "EVENT TRIGGER",
	.rank = RANK_EVENT_TRIGGER,
	.read = event_trigger_read,
	.create = event_trigger_create,
	.drop = event_trigger_drop,
	.alter = event_trigger_alter,
};
