/*-------------------------------------------------------------------------
 *
 * trigger.c
 *	  Images of triggers.
 *
 * Internal triggers (those of foreign keys) have no image: they come and go
 * with their constraint.  The copies on partitions of a partitioned table's
 * trigger have one for the sake of their enabled state, but are made and
 * dropped through the original.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "image/classes.h"

/* "BEFORE INSERT OR UPDATE OF a", in the order that ruleutils.c has */
static char *
trigger_events(Form_pg_trigger form)
{
	StringInfoData buf;
	const char *separator = " ";

	initStringInfo(&buf);
	appendStringInfoString(&buf,
						   TRIGGER_FOR_BEFORE(form->tgtype) ? "BEFORE" :
						   TRIGGER_FOR_INSTEAD(form->tgtype) ? "INSTEAD OF" :
						   "AFTER");
	if (TRIGGER_FOR_INSERT(form->tgtype))
	{
		appendStringInfo(&buf, "%sINSERT", separator);
		separator = " OR ";
	}
	if (TRIGGER_FOR_DELETE(form->tgtype))
	{
		appendStringInfo(&buf, "%sDELETE", separator);
		separator = " OR ";
	}
	if (TRIGGER_FOR_UPDATE(form->tgtype))
	{
		appendStringInfo(&buf, "%sUPDATE", separator);
		separator = " OR ";
		for (int i = 0; i < form->tgattr.dim1; i++)
			appendStringInfo(&buf, "%s%s", i == 0 ? " OF " : ", ",
							 quote_identifier(get_attname(form->tgrelid,
														  form->tgattr.values[i],
														  false)));
	}
	if (TRIGGER_FOR_TRUNCATE(form->tgtype))
		appendStringInfo(&buf, "%sTRUNCATE", separator);
	return buf.data;
}

/*
 * pg_get_triggerdef names the trigger and its table in the middle of the
 * text; the facets are what stands between and behind.
 */
static bool
trigger_read(Image *image)
{
	HeapTuple	row = catalog_row(TriggerRelationId, Anum_pg_trigger_oid,
								  image->address.objectId);
	Form_pg_trigger form;
	const char *kind;
	char	   *events;
	char	   *text;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_trigger) GETSTRUCT(row);
	if (form->tgisinternal)
		return false;
	image->name = pstrdup(NameStr(form->tgname));
	image_set_parent(image, RelationRelationId, form->tgrelid);

	kind = OidIsValid(form->tgconstraint) ? "CONSTRAINT TRIGGER" : "TRIGGER";
	events = trigger_events(form);
	text = describe_object(F_PG_GET_TRIGGERDEF_OID, image->address.objectId);
	if (text == NULL)
		return false;
	image_add(image, "", "kind", kind);
	image_add(image, "", "events", events);
	image_add(image, "", "definition",
			  after_prefix(text, psprintf("CREATE %s %s %s ON %s ", kind,
										  quote_identifier(image->name), events,
										  qualified_relation_name(form->tgrelid))));
	if (form->tgenabled != TRIGGER_FIRES_ON_ORIGIN)
		image_addf(image, "", "enabled", "%s",
				   form->tgenabled == TRIGGER_DISABLED ? "DISABLE" :
				   form->tgenabled == TRIGGER_FIRES_ALWAYS ? "ENABLE ALWAYS" :
				   "ENABLE REPLICA");
	if (OidIsValid(form->tgparentid))
		image_add(image, "", "inherited", "true");
	else if (OidIsValid(form->tgconstraint) &&
			 strcmp(get_constraint_name(form->tgconstraint), image->name) != 0)
		image_add(image, "", "@constraint", get_constraint_name(form->tgconstraint));
	image_add_extension_dependencies(image);
	return true;
}

/* Not recursively: the copies on partitions have images of their own. */
static void
trigger_enable(const Image *image, Steps *steps)
{
	const char *enabled = image_get(image, "", "enabled");

	step_add(steps, RANK_TRIGGER, RUN_CATALOG, "SHARE ROW EXCLUSIVE",
			 "catalog", "ALTER TABLE ONLY %s %s TRIGGER %s",
			 image_parent_name(image), enabled ? enabled : "ENABLE",
			 quote_identifier(image->name));
}

static void
trigger_define(const Image *image, Steps *steps, const char *create)
{
	step_add(steps, RANK_TRIGGER, RUN_CATALOG, "SHARE ROW EXCLUSIVE",
			 "catalog", "%s %s %s %s ON %s %s", create,
			 image_get(image, "", "kind"), quote_identifier(image->name),
			 image_get(image, "", "events"), image_parent_name(image),
			 image_get(image, "", "definition"));
}

/* Its constraint has the same name at first; each is renamed by itself. */
static void
name_constraint(const Image *image, Steps *steps)
{
	const char *name = image_get(image, "", "@constraint");

	if (name)
		step_add(steps, RANK_TRIGGER, RUN_CATALOG, "ACCESS EXCLUSIVE",
				 "catalog", "ALTER TABLE %s RENAME CONSTRAINT %s TO %s",
				 image_parent_name(image), quote_identifier(image->name),
				 quote_identifier(name));
}

static void
trigger_create(const Image *image, Steps *steps)
{
	if (image_get(image, "", "inherited") == NULL)
		trigger_define(image, steps, "CREATE");
	name_constraint(image, steps);
	if (image_get(image, "", "enabled"))
		trigger_enable(image, steps);
	extension_dependency_steps(NULL, image, steps, RANK_TRIGGER);
}

static void
trigger_drop(const Image *image, Steps *steps)
{
	if (image_get(image, "", "inherited") == NULL)
		step_add(steps, RANK_TRIGGER, RUN_CATALOG, "ACCESS EXCLUSIVE",
				 "catalog", "DROP TRIGGER %s ON %s",
				 quote_identifier(image->name), image_parent_name(image));
}

/*
 * Replacing a trigger enables it, and its copies on partitions with it.  A
 * constraint trigger cannot be replaced.
 */
static bool
trigger_alter(const Image *have, const Image *want, Steps *steps)
{
	static const char *const in_place[] = {"enabled", "depends on extension",
	NULL};
	bool		replaced;

	/* a copy changes when its original does */
	replaced = image_differs_beyond(have, want, in_place) &&
		image_get(want, "", "inherited") == NULL;
	if (replaced)
	{
		if (facet_differs(have, want, "", "kind") ||
			strcmp(image_get(want, "", "kind"), "TRIGGER") != 0)
			return false;
		trigger_define(want, steps, "CREATE OR REPLACE");
	}
	if (facet_differs(have, want, "", "enabled") ||
		(replaced && image_get(want, "", "enabled")))
		trigger_enable(want, steps);
	extension_dependency_steps(have, want, steps, RANK_TRIGGER);
	return true;
}

const ImageClass image_class_trigger = {
	.catalog = TriggerRelationId,
	.type = "trigger",
	.keyword = "TRIGGER",
	.rank = RANK_TRIGGER,
	.read = trigger_read,
	.create = trigger_create,
	.drop = trigger_drop,
	.alter = trigger_alter,
};
