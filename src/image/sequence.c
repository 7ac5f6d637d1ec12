/*-------------------------------------------------------------------------
 *
 * sequence.c
 *	  Images of sequences.
 *
 * A sequence's position is not in its image: it is kept data.  A sequence that
 * a column owns lives in that column's table and follows it (owner, schema);
 * one that makes a column's identity comes and goes with the identity.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_sequence.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "classes.h"
#include "compat.h"
#include "table.h"

static const char *const option_facets[] = {
	"type", "start", "increment", "min", "max", "cache", "cycle"
};

/*
 * The sequence behind an identity column.  Looked up here since PostgreSQL's
 * own lookup raises an error for a partition, which has none (17).
 */
Oid
identity_sequence(Oid relid, AttrNumber attnum)
{
	ListCell   *lc;

	foreach(lc, dependencies_on(RelationRelationId, relid))
	{
		Form_pg_depend form = lfirst(lc);

		if (form->refobjsubid == attnum && form->objsubid == 0 &&
			form->classid == RelationRelationId &&
			form->deptype == DEPENDENCY_INTERNAL &&
			get_rel_relkind(form->objid) == RELKIND_SEQUENCE)
			return form->objid;
	}
	return InvalidOid;
}

static Form_pg_sequence
sequence_form(Oid seqid)
{
	HeapTuple	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(seqid));
	Form_pg_sequence form = palloc(sizeof(FormData_pg_sequence));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for sequence %u", seqid);
	memcpy(form, GETSTRUCT(tuple), sizeof(FormData_pg_sequence));
	ReleaseSysCache(tuple);
	return form;
}

/* Everything but the type, which for an identity is the column's. */
char *
sequence_options_sql(Oid seqid)
{
	Form_pg_sequence form = sequence_form(seqid);

	return psprintf("START WITH " INT64_FORMAT " INCREMENT BY " INT64_FORMAT
					" MINVALUE " INT64_FORMAT " MAXVALUE " INT64_FORMAT
					" CACHE " INT64_FORMAT " %s",
					form->seqstart, form->seqincrement, form->seqmin,
					form->seqmax, form->seqcache,
					form->seqcycle ? "CYCLE" : "NO CYCLE");
}

/* ---- reading ---- */

static void
read_owning_column(Image *image)
{
	Oid			seqid = image->address.objectId;
	Oid			relid;
	int32		attnum;
	bool		identity = sequenceIsOwned(seqid, DEPENDENCY_INTERNAL,
										   &relid, &attnum);

	if (!identity && !sequenceIsOwned(seqid, DEPENDENCY_AUTO, &relid, &attnum))
		return;
	image_set_parent(image, RelationRelationId, relid);
	image_add(image, "", "owned by",
			  quote_identifier(get_attname(relid, attnum, false)));
	image_add(image, "", "@owned", identity ? "internal" : "auto");
	image_addf(image, "", "@owned by", "%u %d", relid, attnum);
}

static void
read_numbers(Image *image)
{
	Form_pg_sequence form = sequence_form(image->address.objectId);

	image_add(image, "", "type", format_type_be(form->seqtypid));
	image_addf(image, "", "start", INT64_FORMAT, form->seqstart);
	image_addf(image, "", "increment", INT64_FORMAT, form->seqincrement);
	image_addf(image, "", "min", INT64_FORMAT, form->seqmin);
	image_addf(image, "", "max", INT64_FORMAT, form->seqmax);
	image_addf(image, "", "cache", INT64_FORMAT, form->seqcache);
	if (form->seqcycle)
		image_add(image, "", "cycle", "true");
}

static bool
sequence_read(Image *image)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(image->address.objectId));
	Form_pg_class form;
	Datum		acl;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_class) GETSTRUCT(tuple);
	image->schema = get_namespace_name(form->relnamespace);
	image->name = pstrdup(NameStr(form->relname));
	image_add_owner(image, form->relowner);
	if (form->relpersistence != RELPERSISTENCE_PERMANENT)
		image_add(image, "", "persistence",
				  form->relpersistence == RELPERSISTENCE_UNLOGGED ? "UNLOGGED" : "TEMPORARY");
	read_numbers(image);
	read_owning_column(image);
	acl = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relacl, &isnull);
	image_add_acl(image, "", acl, isnull, OBJECT_SEQUENCE, form->relowner);
	ReleaseSysCache(tuple);
	return true;
}

/* ---- making and changing ---- */

static bool
is_identity(const Image *image)
{
	return value_is(image_get(image, "", "@owned"), "internal");
}

/* All options, spelt out, so that none depends on another's default. */
static char *
options_sql(const Image *image)
{
	return psprintf("AS %s START WITH %s INCREMENT BY %s MINVALUE %s MAXVALUE %s CACHE %s %s",
					image_get(image, "", "type"),
					image_get(image, "", "start"),
					image_get(image, "", "increment"),
					image_get(image, "", "min"),
					image_get(image, "", "max"),
					image_get(image, "", "cache"),
					image_get(image, "", "cycle") ? "CYCLE" : "NO CYCLE");
}

static void
restore_position(const Image *image, int rank, Steps *steps)
{
	if (image->kept != 0)
		step_add(steps, rank, RUN_CATALOG, SHARE_ROW_EXCLUSIVE, "catalog",
				 "SELECT safemig.restore_position(" INT64_FORMAT ")",
				 image->kept);
}

/*
 * Sequence and table must have one owner, and a table that is made anew gets
 * its own with the common facets, so the tie is made right after those.  The
 * sequence has its owner at once: defaults are evaluated as him.
 */
static void
tie_to_column(const Image *image, Steps *steps)
{
	const char *column = image_get(image, "", "owned by");
	char	   *name = image_qualified_name(image);

	if (column == NULL)
	{
		step_add(steps, RANK_SEQUENCE, RUN_CATALOG, SHARE_ROW_EXCLUSIVE,
				 "catalog", "ALTER SEQUENCE %s OWNED BY NONE", name);
		return;
	}
	step_add(steps, RANK_SEQUENCE, RUN_CATALOG, ACCESS_EXCLUSIVE, "catalog",
			 "ALTER SEQUENCE %s OWNER TO %s", name,
			 quote_identifier(image->owner));
	step_add(steps, RANK_COMMON + 1, RUN_CATALOG, SHARE_ROW_EXCLUSIVE,
			 "catalog", "ALTER SEQUENCE %s OWNED BY %s.%s", name,
			 image_parent_name(image), column);
}

static void
sequence_create(const Image *image, Steps *steps)
{
	const char *persistence = image_get(image, "", "persistence");

	if (is_identity(image))
	{
		restore_position(image, RANK_IDENTITY + 1, steps);
		return;
	}
	step_add(steps, RANK_SEQUENCE, RUN_CATALOG, NULL, "catalog",
			 "CREATE %s%sSEQUENCE %s %s", persistence ? persistence : "",
			 persistence ? " " : "", image_qualified_name(image),
			 options_sql(image));
	restore_position(image, RANK_SEQUENCE, steps);
	if (image_get(image, "", "owned by"))
		tie_to_column(image, steps);
}

/* An owned sequence may be gone by then, with the column that owned it. */
static void
sequence_drop(const Image *image, Steps *steps)
{
	if (is_identity(image))
		return;
	step_add(steps, RANK_SEQUENCE, RUN_CATALOG, ACCESS_EXCLUSIVE, "catalog",
			 "DROP SEQUENCE %s%s",
			 image_get(image, "", "owned by") ? "IF EXISTS " : "",
			 image_qualified_name(image));
}

/* The identity that is to come brings a sequence of the same name. */
static void
make_way_for_identity(const char *name, Steps *steps)
{
	bool		saved = steps->dropping;

	steps->dropping = true;
	step_add(steps, RANK_SEQUENCE, RUN_CATALOG, ACCESS_EXCLUSIVE, "catalog",
			 "DROP SEQUENCE IF EXISTS %s", name);
	steps->dropping = saved;
}

static int64
number_of(const Image *image, const char *facet)
{
	return strtoll(image_get(image, "", facet), NULL, 10);
}

/* May the position, which is within those of have, be out of want's bounds? */
static bool
may_be_out_of_bounds(const Image *have, const Image *want)
{
	return number_of(have, "min") < number_of(want, "min") ||
		number_of(have, "max") > number_of(want, "max");
}

static void
set_numbers(const Image *have, const Image *want, Steps *steps)
{
	if (want->kept != 0 && may_be_out_of_bounds(have, want))
	{
		step_add(steps, RANK_SEQUENCE, RUN_CATALOG, SHARE_ROW_EXCLUSIVE,
				 "catalog", "SELECT safemig.restore_sequence(" INT64_FORMAT ", %s)",
				 want->kept, quote_literal_cstr(options_sql(want)));
		return;
	}
	step_add(steps, RANK_SEQUENCE, RUN_CATALOG, SHARE_ROW_EXCLUSIVE, "catalog",
			 "ALTER SEQUENCE %s %s", image_qualified_name(want),
			 options_sql(want));
	restore_position(want, RANK_SEQUENCE, steps);
}

/*
 * Being an identity's or not is the table's affair: there the old sequence
 * goes with the identity, and the other one is made.
 */
static bool
sequence_alter(const Image *have, const Image *want, Steps *steps)
{
	char	   *name = image_qualified_name(want);
	const char *persistence = image_get(want, "", "persistence");
	bool		numbers = false;

	if (is_identity(have) != is_identity(want))
	{
		if (is_identity(want))
			make_way_for_identity(name, steps);
		sequence_create(want, steps);
		return true;
	}
	for (size_t i = 0; i < lengthof(option_facets); i++)
		numbers |= facet_differs(have, want, "", option_facets[i]);
	if (numbers)
		set_numbers(have, want, steps);
	/* before the table's, which leaves its sequences as they are then */
	if (facet_differs(have, want, "", "persistence"))
		step_add(steps, RANK_SEQUENCE, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "rewrite", "ALTER SEQUENCE %s SET %s", name,
				 persistence ? persistence : "LOGGED");
	if ((facet_differs(have, want, "", "owned by") || image_has_other_table(have, want)) &&
		!is_identity(want) &&
		!(image_same_object(have, want) &&
		  !facet_differs(have, want, "", "@owned by")))
		tie_to_column(want, steps);
	return true;
}

/* A sequence that is owned before and after moves with its table. */
static bool
sequence_rename(const Image *have, const Image *want, Steps *steps)
{
	if (image_get(have, "", "owned by") == NULL ||
		image_get(want, "", "owned by") == NULL)
		return false;
	if (strcmp(have->name, want->name) != 0)
		step_add(steps, ORDER_INNER_RENAME, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "ALTER SEQUENCE %s RENAME TO %s",
				 quote_qualified_identifier(want->schema, have->name),
				 quote_identifier(want->name));
	return true;
}

const ImageClass image_class_sequence = {
	.catalog = RelationRelationId,
	.type = "sequence",
	.keyword = "SEQUENCE",
	.rank = RANK_SEQUENCE,
	.read = sequence_read,
	.create = sequence_create,
	.drop = sequence_drop,
	.alter = sequence_alter,
	.rename = sequence_rename,
};
