/*-------------------------------------------------------------------------
 *
 * table_notnull.c
 *	  NOT NULL of a table's columns.
 *
 * Since PostgreSQL 18 it is a constraint with a name, a validity and a way of
 * being inherited.  It stays a facet of its column all the same: what makes
 * and takes it away are statements on the column, keys and identity, and no
 * constraint of that kind has an image of its own.
 *
 * A name that PostgreSQL would choose by itself is only a hint, since it holds
 * the name of the table; so are the number of parents it comes from and
 * whatever else follows from what the column is.  Where there are no such
 * constraints all of these are missing, and SET NOT NULL is all there is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "commands/comment.h"
#include "commands/defrem.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "classes.h"
#include "compat.h"
#include "keep/column.h"
#include "table.h"

/* ---- reading ---- */

/* One row of pg_constraint. */
struct NotNullRow
{
	AttrNumber	attnum;
	char	   *name;
	char	   *comment;
	bool		valid;
	bool		no_inherit;
	bool		local;
	int			parents;
};

static NotNullRow *
read_row(HeapTuple tuple, TupleDesc desc)
{
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);
	NotNullRow *row = palloc(sizeof(NotNullRow));
	bool		isnull;
	Datum		key = heap_getattr(tuple, Anum_pg_constraint_conkey, desc, &isnull);
	Datum	   *columns;
	int			ncolumns;

	if (isnull)
		elog(ERROR, "constraint %u has no column", form->oid);
	deconstruct_array(DatumGetArrayTypeP(key), INT2OID, sizeof(int16), true,
					  TYPALIGN_SHORT, &columns, NULL, &ncolumns);
	row->attnum = DatumGetInt16(columns[0]);
	row->name = pstrdup(NameStr(form->conname));
	row->comment = GetComment(form->oid, ConstraintRelationId, 0);
	row->valid = form->convalidated;
	row->no_inherit = form->connoinherit;
	row->local = form->conislocal;
	row->parents = form->coninhcount;
	return row;
}

/* All NOT NULL constraints of a relation: a list of NotNullRow*. */
List *
notnull_rows(Oid relid)
{
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *rows = NIL;

	if (!not_null_is_constraint())
		return NIL;
	rel = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_constraint_conrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, ConstraintRelidTypidNameIndexId, true, NULL,
							  1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (((Form_pg_constraint) GETSTRUCT(tuple))->contype == CONSTRAINT_NOTNULL)
			rows = lappend(rows, read_row(tuple, RelationGetDescr(rel)));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return rows;
}

static const NotNullRow *
row_of_column(List *rows, AttrNumber attnum)
{
	ListCell   *lc;

	foreach(lc, rows)
	{
		const NotNullRow *row = lfirst(lc);

		if (row->attnum == attnum)
			return row;
	}
	return NULL;
}

/*
 * How many generations of parents the constraint comes from; *parents says how
 * many the nearest ones are, *namesake whether they call it the same.
 */
static int
generations(Oid relid, const char *column, const char *name, int *parents,
			bool *namesake)
{
	int			most = 0;
	ListCell   *lc;

	foreach(lc, relation_parents(relid))
	{
		Oid			parent = lfirst_oid(lc);
		const NotNullRow *row = row_of_column(notnull_rows(parent),
											  get_attnum(parent, column));
		int			grandparents = 0;
		bool		ignored;

		if (row == NULL || row->no_inherit)
			continue;
		*parents += 1;
		*namesake &= strcmp(row->name, name) == 0;
		most = Max(most, 1 + generations(parent, column, row->name,
										 &grandparents, &ignored));
	}
	return most;
}

/*
 * The number of parents follows from what they have, with one exception:
 * DROP COLUMN of a parent leaves that of a child that has the column by itself
 * as it was.
 */
static void
read_inheritance(Image *image, Form_pg_attribute att, const NotNullRow *row)
{
	const char *part = NameStr(att->attname);
	bool		namesake = true;
	int			parents = 0;
	int			level = generations(att->attrelid, part, row->name, &parents,
									&namesake);

	if (row->parents != parents)
		image_addf(image, part, "notnull inhcount", "%d", row->parents);
	if (row->parents == 0)
		return;
	image_addf(image, part, "@notnull inhcount", "%d", row->parents);
	if (row->local || !namesake || parents == 0)
		image_addf(image, part, "@notnull level", "%d", level);
}

void
notnull_read(Image *image, Form_pg_attribute att, const char *table, List *rows)
{
	const char *part = NameStr(att->attname);
	const NotNullRow *row = row_of_column(rows, att->attnum);

	image_add(image, part, "notnull", "true");
	if (row == NULL)
		return;
	image_add(image, part, "@notnull name", row->name);
	if (strcmp(row->name, makeObjectName(table, part, "not_null")) != 0)
		image_add(image, part, "notnull name", quote_identifier(row->name));
	if (!row->valid)
		image_add(image, part, "notnull valid", "false");
	if (row->no_inherit)
		image_add(image, part, "notnull no inherit", "true");
	if (row->comment)
		image_add(image, part, "notnull comment", row->comment);
	if (row->local != att->attislocal)
		image_add(image, part, "notnull islocal", row->local ? "true" : "false");
	if (row->parents > 0 || att->attinhcount > 0)
		read_inheritance(image, att, row);
}

/* ---- a column's facets, put together again ---- */

typedef struct NotNull
{
	bool		there;
	const char *name;			/* NULL: has none, or none is known */
	const char *comment;
	bool		valid;
	bool		no_inherit;
	bool		inherited;
	bool		local;
	const char *level;			/* if it has to be made before the parents' */
	const char *parents;		/* NULL: has none */
	bool		astray;			/* that is not how many parents have it */
} NotNull;

static NotNull
notnull_of(const Column *column)
{
	const char *local = column_get(column, "notnull islocal");
	NotNull		result = {
		.there = column_get(column, "notnull") != NULL,
		.name = column_get(column, "@notnull name"),
		.comment = column_get(column, "notnull comment"),
		.valid = column_get(column, "notnull valid") == NULL,
		.no_inherit = column_get(column, "notnull no inherit") != NULL,
		.inherited = column_get(column, "@notnull inhcount") != NULL,
		.local = local ? strcmp(local, "true") == 0 : column_get(column, "islocal") == NULL,
		.level = column_get(column, "@notnull level"),
		.parents = column_get(column, "@notnull inhcount"),
		.astray = column_get(column, "notnull inhcount") != NULL,
	};

	return result;
}

/* As ADD COLUMN has it: what cannot be said there is set later. */
char *
column_notnull_sql(const Column *column)
{
	NotNull		notnull = notnull_of(column);

	if (!notnull.there || !notnull.valid)
		return "";
	if (notnull.name == NULL)
		return " NOT NULL";
	return psprintf(" CONSTRAINT %s NOT NULL%s", quote_identifier(notnull.name),
					notnull.no_inherit ? " NO INHERIT" : "");
}

/* No statement that makes the constraint gives it that. */
static bool
is_set_afterwards(const char *facet)
{
	return strcmp(facet, "notnull comment") == 0 ||
		strcmp(facet, "notnull inhcount") == 0;
}

/* Facets that column_notnull_sql gives a column. */
bool
column_notnull_gives(const Column *column, const char *facet)
{
	return column_get(column, "notnull valid") == NULL &&
		(strncmp(facet, "notnull", 7) == 0 || strncmp(facet, "@notnull", 8) == 0) &&
		!is_set_afterwards(facet);
}

/*
 * Whether CREATE TABLE leaves this to what follows.  Partitions are made like
 * their parent, NOT NULL constraints with it.
 */
bool
notnull_is_set_later(const Image *want, const Facet *facet)
{
	if (image_get(want, "", "partition of"))
		return !not_null_is_constraint() || is_set_afterwards(facet->name);
	return is_set_afterwards(facet->name) ||
		image_get(want, facet->part, "notnull valid") != NULL;
}

/* ---- changing it where it has no name ---- */

/*
 * Where a partitioned table has it all its partitions do, so setting it is
 * recursive, and comes behind the filling of their columns.  Dropping it is
 * not: a partition may have had it before.
 */
static void
alter_nameless(TableChange *change, const Column *want, bool old, bool new)
{
	const char *name = quote_identifier(want->name);
	bool		partitioned = image_get(change->want, "", "partition key") != NULL;
	bool		partition = image_get(change->want, "", "partition of") != NULL;
	bool		this_only = !partitioned && !not_null_is_constraint();

	if (new && !old)
		step_add(change->steps, this_only ? RANK_DEFAULT : RANK_DEFAULT + 1,
				 RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "scan", "SELECT safemig.set_not_null(%s, %s, %s)",
				 quote_literal_cstr(change->name),
				 quote_literal_cstr(want->name), this_only ? "true" : "false");
	else if (old && !new && partitioned && !not_null_is_constraint())
		step_add(change->steps, RANK_DEFAULT, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "SELECT safemig.drop_not_null(%s, %s)",
				 quote_literal_cstr(change->name), quote_literal_cstr(want->name));
	else if (old && !new)
		step_add(change->steps, partition ? RANK_DEFAULT + 2 : RANK_DEFAULT,
				 RUN_CATALOG, ACCESS_EXCLUSIVE, "catalog",
				 "ALTER TABLE %s%s ALTER COLUMN %s DROP NOT NULL",
				 this_only ? "ONLY " : "", change->name, name);
}

/* ---- changing it where it is a constraint ---- */

/* Ranks are few: deeper trees than this are put right in a second round. */
static int
level_rank(const NotNull *notnull)
{
	return notnull->level ? Min(atoi(notnull->level), 4) : 0;
}

static void
validate(TableChange *change, const NotNull *new, int rank)
{
	step_add(change->steps, rank, RUN_CATALOG, SHARE_UPDATE_EXCLUSIVE, "scan",
			 "SELECT safemig.validate_constraint(%s, %s)",
			 quote_literal_cstr(change->name), quote_literal_cstr(new->name));
}

/*
 * One that merely comes with the parent's does so by itself.  Any other is
 * made before it, deepest first, and the parent's then joins it.  All of them
 * come behind the filling of columns, the children's too: a parent's constraint
 * is theirs at once.
 */
static void
add_constraint(TableChange *change, const Column *want, const NotNull *new)
{
	if (new->inherited && new->level == NULL)
		return;
	step_add(change->steps, RANK_NOT_NULL - level_rank(new), RUN_CATALOG,
			 ACCESS_EXCLUSIVE, "catalog",
			 "ALTER TABLE %s ADD CONSTRAINT %s NOT NULL %s%s NOT VALID",
			 change->name, quote_identifier(new->name),
			 quote_identifier(want->name),
			 new->no_inherit ? " NO INHERIT" : "");
	if (new->valid)
		validate(change, new, RANK_NOT_NULL - level_rank(new));
}

/* The parent's takes the children's along, unless they have it themselves. */
static void
drop_constraint(TableChange *change, const Column *want, const NotNull *old)
{
	if (old->inherited && !old->local)
		return;
	step_add(change->steps, RANK_DEFAULT + level_rank(old), RUN_CATALOG,
			 ACCESS_EXCLUSIVE, "catalog",
			 "ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL", change->name,
			 quote_identifier(want->name));
}

static void
rename_constraint(TableChange *change, const NotNull *old, const NotNull *new)
{
	bool		saved = change->steps->dropping;

	if (old->inherited || strcmp(old->name, new->name) == 0)
		return;
	change->steps->dropping = true;
	step_add(change->steps, ORDER_INNER_RENAME, RUN_CATALOG, ACCESS_EXCLUSIVE,
			 "catalog", "ALTER TABLE %s RENAME CONSTRAINT %s TO %s",
			 change->name, quote_identifier(old->name),
			 quote_identifier(new->name));
	change->steps->dropping = saved;
}

static void
change_validity(TableChange *change, const NotNull *new)
{
	if (new->valid)
		validate(change, new, RANK_NOT_NULL);
	else
		step_add(change->steps, RANK_DEFAULT, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog",
				 "SELECT safemig.set_constraint_valid('table constraint', ARRAY[%s, %s, %s]::text[], '{}'::text[], false)",
				 quote_literal_cstr(change->want->schema),
				 quote_literal_cstr(change->want->name),
				 quote_literal_cstr(new->name));
}

static void
change_constraint(TableChange *change, const NotNull *old, const NotNull *new)
{
	rename_constraint(change, old, new);
	if (old->no_inherit != new->no_inherit)
		step_add(change->steps, RANK_DEFAULT, RUN_CATALOG, ACCESS_EXCLUSIVE,
				 "catalog", "ALTER TABLE %s ALTER CONSTRAINT %s %s",
				 change->name, quote_identifier(new->name),
				 new->no_inherit ? "NO INHERIT" : "INHERIT");
	if (old->valid != new->valid)
		change_validity(change, new);
}

/* Made or left alone, a constraint is local that shall come from a parent. */
static void
change_local(TableChange *change, const NotNull *old, const NotNull *new)
{
	bool		made = !old->there && (!new->inherited || new->level);
	bool		local = old->there ? old->local : made;

	if (change->reinherits && new->inherited)
		local = true;
	/* a partition's follows ATTACH and DETACH */
	if (local == new->local ||
		!texts_equal(image_get(change->have, "", "partition of"),
					 image_get(change->want, "", "partition of")))
		return;
	step_add(change->steps, RANK_TABLE_AFTER + 1, RUN_CATALOG, ACCESS_EXCLUSIVE,
			 "catalog", "SELECT safemig.set_constraint_local(%s, %s, %s)",
			 quote_literal_cstr(change->name), quote_literal_cstr(new->name),
			 new->local ? "true" : "false");
}

/* Once the parents have it again, or no more. */
static void
change_parents(TableChange *change, const NotNull *old, const NotNull *new)
{
	if (!new->astray && !(old->there && old->astray))
		return;
	if (old->there && old->astray && new->astray &&
		texts_equal(old->parents, new->parents))
		return;
	step_add(change->steps, RANK_TABLE_AFTER + 1, RUN_CATALOG, ACCESS_EXCLUSIVE,
			 "catalog", "SELECT safemig.set_constraint_parents(%s, %s, %s)",
			 quote_literal_cstr(change->name), quote_literal_cstr(new->name),
			 new->parents ? new->parents : "0");
}

void
notnull_alter(TableChange *change, const Column *have, const Column *want)
{
	NotNull		old = notnull_of(have);
	NotNull		new = notnull_of(want);
	const char *old_comment = old.there ? old.comment : NULL;

	if (old.there && !new.there && old.name)
		drop_constraint(change, want, &old);
	else if (new.name == NULL || (old.there && old.name == NULL))
		alter_nameless(change, want, old.there, new.there);
	else
	{
		if (old.there)
			change_constraint(change, &old, &new);
		else
			add_constraint(change, want, &new);
		change_local(change, &old, &new);
		change_parents(change, &old, &new);
		if (!texts_equal(old_comment, new.comment))
			step_add(change->steps, RANK_COMMON, RUN_CATALOG,
					 SHARE_UPDATE_EXCLUSIVE, "catalog",
					 "COMMENT ON CONSTRAINT %s ON %s IS %s",
					 quote_identifier(new.name), change->name,
					 new.comment ? quote_literal_cstr(new.comment) : "NULL");
	}
}
