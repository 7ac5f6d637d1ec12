/*-------------------------------------------------------------------------
 *
 * reworded.c
 *	  What another major version recorded, in the words of this one.
 *
 * Views, rules, CHECKs, defaults, and whatever else is stored as a tree, are
 * described by PostgreSQL, and hardly two versions word everything alike.  So
 * where a description that another version has recorded differs from the one
 * of now, an object is made from the recorded one, in a schema of its own, and
 * described; all that is undone at once.  What lives in a table is made on an
 * empty one with the same columns and the same owner.  If both are described
 * alike then, they are the same.
 *
 * Where no such object can be made, the words differ, which is told.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "compat.h"
#include "image/classes.h"
#include "image/table.h"
#include "rollback/rollback.h"

/* An object in the making. */
typedef struct Likeness
{
	const Image *recorded;
	const Image *now;
	char	   *schema;			/* where it is made */
	Oid			owner;			/* who makes it: never us, it may be evaluated */
	char	   *relation;		/* the likeness of its table, if it lives in one */
	Image	   *image;			/* of what was made */
} Likeness;

typedef struct Wording
{
	const char *type;
	void		(*make) (Likeness *like);
	const char *const facets[4];	/* that are worded */
} Wording;

/* ---- small things ---- */

static void
run_as_superuser(const char *sql)
{
	SPI_connect();
	if (SPI_execute(sql, false, 0) < 0)
		elog(ERROR, "could not run \"%s\"", sql);
	SPI_finish();
	CommandCounterIncrement();
}

static void
run_as_owner(const Likeness *like, const char *sql)
{
	run_statement(sql, like->owner);
	CommandCounterIncrement();
}

static char *
name_in_likeness(const Likeness *like, const char *name)
{
	return quote_qualified_identifier(like->schema, name);
}

/* The recorded image, as one of an object of that name in the schema. */
static Image *
moved_image(const Likeness *like)
{
	Image	   *image = palloc(sizeof(Image));
	const Image *recorded = like->recorded;
	const char *rest;

	*image = *recorded;
	image->index = NULL;
	image->kept = 0;
	image->server = 0;
	if (recorded->schema == NULL)
		return image;
	rest = recorded->identity + strlen(image_qualified_name(recorded));
	image->schema = like->schema;
	image->identity = psprintf("%s%s", image_qualified_name(image), rest);
	image->names_sql = psprintf("ARRAY[%s, %s]::text[]",
								quote_literal_cstr(like->schema),
								quote_literal_cstr(image->name));
	return image;
}

static void
take_image(Likeness *like, Oid catalog, Oid object)
{
	ObjectAddress address;
	Frame		frame;

	if (!OidIsValid(object))
		elog(ERROR, "what was made cannot be found");
	ObjectAddressSet(address, catalog, object);
	/* pinned anew, to see what has just been made */
	frame_become_owner(&frame);
	like->image = image_take(&address);
	frame_unpin(&frame);
}

static void
take_relation(Likeness *like, const char *name)
{
	take_image(like, RelationRelationId,
			   get_relname_relid(name, get_namespace_oid(like->schema, false)));
}

/* The first step says what it is, the others how it is marked. */
static const Step *
first_step(const Image *image)
{
	Steps		steps;

	steps_init(&steps);
	make_steps(image, &steps);
	if (steps.list == NIL)
		elog(ERROR, "%s comes with another object", image->identity);
	return linitial(steps.list);
}

/* ---- the table that it lives in ---- */

static void
make_relation(Likeness *like, const char *identity)
{
	Oid			relid = RangeVarGetRelid(makeRangeVarFromNameList(qualified_name_list(identity)),
										 AccessShareLock, false);

	like->relation = name_in_likeness(like, get_rel_name(relid));
	like->owner = relation_owner(relid);
	if (get_rel_relkind(relid) == RELKIND_VIEW)
		run_as_superuser(psprintf("CREATE VIEW %s AS SELECT * FROM %s",
								  like->relation, identity));
	else
		run_as_superuser(psprintf("CREATE TABLE %s (LIKE %s)", like->relation, identity));
	run_as_superuser(psprintf("ALTER TABLE %s OWNER TO %s", like->relation,
							  quote_identifier(GetUserNameFromId(like->owner, false))));
}

static Oid
made_relation(const Likeness *like)
{
	return RangeVarGetRelid(makeRangeVarFromNameList(qualified_name_list(like->relation)),
							NoLock, false);
}

/* The recorded image, as one of an object that lives in the likeness. */
static Image *
image_in_relation(Likeness *like)
{
	Image	   *image;

	make_relation(like, like->recorded->parent_identity);
	image = moved_image(like);
	image->parent_identity = like->relation;
	return image;
}

/* ---- what stands alone ---- */

static void
make_view(Likeness *like)
{
	const Image *recorded = like->recorded;
	char	   *name = name_in_likeness(like, recorded->name);
	ListCell   *lc;

	/* from the words that pg_dump took, too */
	run_as_owner(like, psprintf("CREATE VIEW %s AS %s", name,
								image_get(recorded, "", "query")));
	foreach(lc, recorded->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (strcmp(facet->name, "default") == 0)
			run_as_owner(like, psprintf("ALTER VIEW %s ALTER COLUMN %s SET DEFAULT %s", name,
										quote_identifier(facet->part), facet->value));
	}
	take_relation(like, recorded->name);
}

static void
make_function(Likeness *like)
{
	Image	   *image = moved_image(like);
	ObjectAddress address;

	run_as_owner(like, first_step(image)->sql);
	if (address_find(image, &address))
		take_image(like, ProcedureRelationId, address.objectId);
}

static Oid
make_domain(Likeness *like, const char *name, const char *base, const char *collation)
{
	run_as_owner(like, psprintf("CREATE DOMAIN %s AS %s%s%s",
								name_in_likeness(like, name), base,
								collation ? " COLLATE " : "", collation ? collation : ""));
	return GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(name),
						   ObjectIdGetDatum(get_namespace_oid(like->schema, false)));
}

static void
make_type(Likeness *like)
{
	const Image *recorded = like->recorded;
	Oid			domain;

	if (!value_is(image_get(recorded, "", "kind"), "domain"))
		return;
	domain = make_domain(like, recorded->name, image_get(recorded, "", "base"),
						 image_get(recorded, "", "collation"));
	if (image_get(recorded, "", "default"))
		run_as_owner(like, psprintf("ALTER DOMAIN %s SET DEFAULT %s",
									name_in_likeness(like, recorded->name),
									image_get(recorded, "", "default")));
	take_image(like, TypeRelationId, domain);
}

/* A CHECK of a domain: on one over the same type. */
static void
make_domain_constraint(Likeness *like)
{
	const Image *recorded = like->recorded;
	ObjectAddress parent;
	Image	   *domain;
	const char *name;
	Oid			made;

	ObjectAddressSet(parent, like->now->parent.classId, like->now->parent.objectId);
	domain = image_take(&parent);
	name = domain->name;
	like->owner = type_owner(parent.objectId);
	made = make_domain(like, name, image_get(domain, "", "base"),
					   image_get(domain, "", "collation"));
	run_as_owner(like, psprintf("ALTER DOMAIN %s ADD CONSTRAINT %s %s NOT VALID",
								name_in_likeness(like, name),
								quote_identifier(recorded->name),
								image_get(recorded, "", "definition")));
	take_image(like, ConstraintRelationId,
			   get_domain_constraint_oid(made, recorded->name, false));
}

/* ---- what lives in a table ---- */

static void
make_constraint(Likeness *like)
{
	Image	   *image = image_in_relation(like);
	bool		check = value_is(image_get(image, "", "type"), "CHECK");

	run_as_owner(like, psprintf("ALTER TABLE %s ADD CONSTRAINT %s %s%s", like->relation,
								quote_identifier(image->name),
								image_get(image, "", "definition"),
								check ? " NOT VALID" : ""));
	take_image(like, ConstraintRelationId,
			   get_relation_constraint_oid(made_relation(like), image->name, false));
}

static void
make_index(Likeness *like)
{
	const Image *recorded = like->recorded;

	make_relation(like, image_get(recorded, "", "@table"));
	run_as_owner(like, psprintf("CREATE %sINDEX %s ON %s %s",
								image_get(recorded, "", "unique") ? "UNIQUE " : "",
								quote_identifier(recorded->name), like->relation,
								image_get(recorded, "", "definition")));
	take_relation(like, recorded->name);
}

static void
make_trigger(Likeness *like)
{
	Image	   *image = image_in_relation(like);

	run_as_owner(like, psprintf("CREATE %s %s %s ON %s %s", image_get(image, "", "kind"),
								quote_identifier(image->name),
								image_get(image, "", "events"), like->relation,
								image_get(image, "", "definition")));
	take_image(like, TriggerRelationId,
			   get_trigger_oid(made_relation(like), image->name, false));
}

/* Rules, policies, statistics. */
static void
make_part(Likeness *like)
{
	Image	   *image = image_in_relation(like);
	ObjectAddress address;

	run_as_owner(like, first_step(image)->sql);
	if (address_find(image, &address))
		take_image(like, address.classId, address.objectId);
}

/* A default, or what a column is generated from, of a table's likeness. */
static void
make_expression(Likeness *like, const char *part)
{
	const char *expression = image_get(like->recorded, part, "default");
	ListCell   *lc;

	if (expression)
	{
		run_as_owner(like, psprintf("ALTER TABLE %s ALTER COLUMN %s SET DEFAULT %s",
									like->relation, quote_identifier(part), expression));
		return;
	}
	foreach(lc, columns_of(like->recorded))
	{
		Column	   *column = lfirst(lc);

		if (strcmp(column->name, part) != 0)
			continue;
		run_as_superuser(psprintf("ALTER TABLE %s DROP COLUMN %s", like->relation,
								  quote_identifier(part)));
		run_as_owner(like, psprintf("ALTER TABLE %s ADD COLUMN %s %s GENERATED ALWAYS AS (%s) %s",
									like->relation, quote_identifier(part),
									column_type_sql(column),
									image_get(like->recorded, part, "generated"),
									image_get(like->recorded, part, "generated kind") ?
									"VIRTUAL" : "STORED"));
	}
}

static void
make_table(Likeness *like)
{
	const char *key = image_get(like->recorded, "", "partition key");
	ListCell   *lc;

	make_relation(like, like->now->identity);
	if (key)
	{
		run_as_superuser(psprintf("DROP TABLE %s", like->relation));
		run_as_owner(like, psprintf("CREATE TABLE %s (LIKE %s) PARTITION BY %s",
									like->relation, like->now->identity, key));
	}
	foreach(lc, like->recorded->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (facet->part[0] && (strcmp(facet->name, "default") == 0 ||
							   strcmp(facet->name, "generated") == 0) &&
			facet_differs(like->recorded, like->now, facet->part, facet->name))
			make_expression(like, facet->part);
	}
	take_image(like, RelationRelationId, made_relation(like));
}

static const Wording wordings[] = {
	{"view", make_view, {"query", "default"}},
	{"materialized view", make_view, {"query"}},
	{"function", make_function, {"arguments", "result", "body"}},
	{"procedure", make_function, {"arguments", "result", "body"}},
	{"type", make_type, {"default"}},
	{"domain constraint", make_domain_constraint, {"definition"}},
	{"table", make_table, {"default", "generated", "partition key"}},
	{"foreign table", make_table, {"default", "generated"}},
	{"table constraint", make_constraint, {"definition"}},
	{"index", make_index, {"definition"}},
	{"trigger", make_trigger, {"definition"}},
	{"rule", make_part, {"definition"}},
	{"policy", make_part, {"using", "with check"}},
	{"statistics object", make_part, {"definition"}},
};

/* ---- the whole ---- */

static const Wording *
wording_of(const Image *image)
{
	for (size_t i = 0; i < lengthof(wordings); i++)
	{
		if (strcmp(wordings[i].type, image->type) == 0)
			return &wordings[i];
	}
	return NULL;
}

static bool
is_worded(const Wording *wording, const char *name)
{
	for (size_t i = 0; i < lengthof(wording->facets) && wording->facets[i]; i++)
	{
		if (strcmp(wording->facets[i], name) == 0)
			return true;
	}
	return false;
}

typedef struct Difference
{
	const Wording *wording;
	bool		found;
} Difference;

static void
note_difference(void *arg, const char *part, const char *name, const char *a,
				const char *b)
{
	Difference *difference = arg;

	if (a && b && is_worded(difference->wording, name))
		difference->found = true;
}

/* Always undone. */
static bool
make_likeness(void *arg)
{
	Likeness   *like = arg;
	const Wording *wording = wording_of(like->recorded);
	Frame		frame;

	own_work_begin();
	frame_become_owner(&frame);
	event_triggers_off();
	/* nobody else sees it */
	run_as_superuser(psprintf("CREATE SCHEMA %s", quote_identifier(like->schema)));
	run_as_superuser(psprintf("GRANT ALL ON SCHEMA %s TO PUBLIC", quote_identifier(like->schema)));
	wording->make(like);
	frame_unpin(&frame);
	own_work_end();
	return false;
}

/*
 * The recorded image in the words of this version, to be compared with the one
 * of now.  *why is what kept them from being found, or NULL.
 */
const Image *
image_reworded(const Image *recorded, const Image *now, char **why)
{
	Likeness	like = {recorded, now};
	Difference	difference = {wording_of(recorded), false};
	ErrorData  *error;
	Image	   *result;
	ListCell   *lc;

	*why = NULL;
	if (recorded->server == 0 || now == NULL || difference.wording == NULL ||
		strcmp(recorded->type, now->type) != 0)
		return recorded;
	image_compare_meaning(recorded, now, note_difference, &difference);
	if (!difference.found)
		return recorded;
	like.schema = psprintf("safemig_words_%d", MyProcPid);
	like.owner = now->owner ? get_role_oid(now->owner, true) : InvalidOid;
	if (!OidIsValid(like.owner))
		like.owner = extension_owner();
	error = attempt(make_likeness, &like);
	if (error && plan_error_is_no_reason(error) && error->sqlerrcode != ERRCODE_INTERNAL_ERROR)
		ReThrowError(error);
	if (error)
		*why = error->message;
	if (like.image == NULL)
		return recorded;
	result = palloc(sizeof(Image));
	*result = *recorded;
	result->index = NULL;
	result->facets = NIL;
	foreach(lc, recorded->facets)
	{
		Facet	   *facet = lfirst(lc);
		const char *value = is_worded(difference.wording, facet->name) &&
			facet_differs(recorded, now, facet->part, facet->name) ?
			image_get(like.image, facet->part, facet->name) : NULL;

		image_add(result, facet->part, facet->name, value ? value : facet->value);
	}
	return result;
}
