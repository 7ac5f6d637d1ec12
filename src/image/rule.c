/*-------------------------------------------------------------------------
 *
 * rule.c
 *	  Images of rules.  The rule that makes a view is part of the view.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_rewrite.h"
#include "rewrite/rewriteDefine.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"

#include "image/classes.h"

static const char *
rule_event(char type)
{
	switch (type - '0')
	{
		case CMD_UPDATE:
			return "UPDATE";
		case CMD_INSERT:
			return "INSERT";
		case CMD_DELETE:
			return "DELETE";
		default:
			elog(ERROR, "unexpected event of rule: %c", type);
			return NULL;		/* keep compiler quiet */
	}
}

static bool
rule_read(Image *image)
{
	HeapTuple	row = catalog_row(RewriteRelationId, Anum_pg_rewrite_oid,
								  image->address.objectId);
	Form_pg_rewrite form;
	const char *event;
	char	   *described;
	bool		isnull;
	Datum		qual,
				action;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_rewrite) GETSTRUCT(row);
	if (form->ev_type - '0' == CMD_SELECT)
		return false;
	image->name = pstrdup(NameStr(form->rulename));
	image_set_parent(image, RelationRelationId, form->ev_class);

	event = rule_event(form->ev_type);
	described = describe_object(F_PG_GET_RULEDEF_OID, image->address.objectId);
	if (described == NULL)
		return false;
	described = before_suffix(described, ";");
	image_add(image, "", "event", event);
	image_add(image, "", "definition",
			  after_prefix(described, psprintf("CREATE RULE %s AS\n    ON %s TO %s",
										  quote_identifier(image->name), event,
										  qualified_relation_name(form->ev_class))));
	qual = catalog_value(RewriteRelationId, row, Anum_pg_rewrite_ev_qual, &isnull);
	action = catalog_value(RewriteRelationId, row, Anum_pg_rewrite_ev_action, &isnull);
	image_add_tree(image, psprintf("%s %s", TextDatumGetCString(qual), TextDatumGetCString(action)));
	if (form->ev_enabled != RULE_FIRES_ON_ORIGIN)
		image_addf(image, "", "enabled", "%s",
				   form->ev_enabled == RULE_DISABLED ? "DISABLE" :
				   form->ev_enabled == RULE_FIRES_ALWAYS ? "ENABLE ALWAYS" :
				   "ENABLE REPLICA");
	return true;
}

static void
rule_enable(const Image *image, Steps *steps)
{
	const char *enabled = image_get(image, "", "enabled");

	step_add(steps, RANK_RULE, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
			 "ALTER TABLE %s %s RULE %s", image_parent_name(image),
			 enabled ? enabled : "ENABLE", quote_identifier(image->name));
}

static void
rule_define(const Image *image, Steps *steps, const char *create)
{
	step_add(steps, RANK_RULE, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
			 "%s RULE %s AS ON %s TO %s%s", create,
			 quote_identifier(image->name), image_get(image, "", "event"),
			 image_parent_name(image), image_get(image, "", "definition"));
}

static void
rule_create(const Image *image, Steps *steps)
{
	rule_define(image, steps, "CREATE");
	if (image_get(image, "", "enabled"))
		rule_enable(image, steps);
}

static void
rule_drop(const Image *image, Steps *steps)
{
	step_add(steps, RANK_RULE, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
			 "DROP RULE %s ON %s", quote_identifier(image->name),
			 image_parent_name(image));
}

static bool
rule_alter(const Image *have, const Image *want, Steps *steps)
{
	static const char *const in_place[] = {"enabled", NULL};

	if (image_differs_beyond(have, want, in_place))
		rule_define(want, steps, "CREATE OR REPLACE");
	if (facet_differs(have, want, "", "enabled"))
		rule_enable(want, steps);
	return true;
}

const ImageClass image_class_rule = {
	.catalog = RewriteRelationId,
	.type = "rule",
	.keyword = "RULE",
	.rank = RANK_RULE,
	.read = rule_read,
	.create = rule_create,
	.drop = rule_drop,
	.alter = rule_alter,
};
