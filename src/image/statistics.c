/*-------------------------------------------------------------------------
 *
 * statistics.c
 *	  Images of extended statistics objects.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_statistic_ext.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "compat.h"
#include "image/classes.h"

static bool
statistics_read(Image *image)
{
	HeapTuple	row = SearchSysCache1(STATEXTOID,
									  ObjectIdGetDatum(image->address.objectId));
	Form_pg_statistic_ext form;
	char	   *text;
	int			target;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_statistic_ext) GETSTRUCT(row);
	image->schema = get_namespace_name(form->stxnamespace);
	image->name = pstrdup(NameStr(form->stxname));
	image_set_parent(image, RelationRelationId, form->stxrelid);
	image_add_owner(image, form->stxowner);

	text = pg_get_statisticsobjdef_string(image->address.objectId);
	text = before_suffix(text, psprintf(" FROM %s",
										qualified_relation_name(form->stxrelid)));
	image_add(image, "", "definition",
			  after_prefix(text, psprintf("CREATE STATISTICS %s",
										  image_qualified_name(image))));
	target = statistics_object_target(row);
	if (target >= 0)
		image_addf(image, "", "target", "%d", target);
	ReleaseSysCache(row);
	return true;
}

static void
statistics_set_target(const Image *image, Steps *steps)
{
	const char *target = image_get(image, "", "target");

	step_add(steps, RANK_STATISTICS, RUN_CATALOG, NULL, "catalog",
			 "ALTER STATISTICS %s SET STATISTICS %s",
			 image_qualified_name(image), target ? target : "-1");
}

static void
statistics_create(const Image *image, Steps *steps)
{
	step_add(steps, RANK_STATISTICS, RUN_CATALOG, "SHARE UPDATE EXCLUSIVE",
			 "catalog", "CREATE STATISTICS %s%s FROM %s",
			 image_qualified_name(image), image_get(image, "", "definition"),
			 image_parent_name(image));
	if (image_get(image, "", "target"))
		statistics_set_target(image, steps);
}

static void
statistics_drop(const Image *image, Steps *steps)
{
	step_add(steps, RANK_STATISTICS, RUN_CATALOG, "SHARE UPDATE EXCLUSIVE",
			 "catalog", "DROP STATISTICS %s", image_qualified_name(image));
}

static bool
statistics_alter(const Image *have, const Image *want, Steps *steps)
{
	if (facet_differs(have, want, "", "definition"))
		return false;
	statistics_set_target(want, steps);
	return true;
}

const ImageClass image_class_statistics = {
	.catalog = StatisticExtRelationId,
	.type = "statistics object",
	.keyword = "STATISTICS",
	.rank = RANK_STATISTICS,
	.read = statistics_read,
	.create = statistics_create,
	.drop = statistics_drop,
	.alter = statistics_alter,
};
