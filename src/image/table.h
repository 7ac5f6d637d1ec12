/*-------------------------------------------------------------------------
 *
 * table.h
 *	  What the image classes of tables, and of what lives in them, share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_TABLE_H
#define SAFEMIG_TABLE_H

#include "safemig.h"

#include "access/attnum.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"

/*
 * Renames within a table (columns, constraints, indexes): after compare.c has
 * given the table its wanted name and schema, before anything else.  What
 * stands in the way of a wanted name goes just before.
 */
#define ORDER_INNER_RENAME	990
#define ORDER_OBSTACLE		991

#define ACCESS_EXCLUSIVE		"ACCESS EXCLUSIVE"
#define SHARE_UPDATE_EXCLUSIVE	"SHARE UPDATE EXCLUSIVE"
#define SHARE_ROW_EXCLUSIVE		"SHARE ROW EXCLUSIVE"

/* One column of a table's image: its facets in one place. */
typedef struct Column
{
	const char *name;
	int			attnum;
	List	   *facets;			/* of Facet* */
	const struct Column *match;	/* the same column in the other image */
} Column;

/* What the parts of a table's alter work on. */
typedef struct TableChange
{
	const Image *have;
	const Image *want;
	Steps	   *steps;
	char	   *name;			/* quoted, qualified, as want calls it */
	bool		same_relation;	/* same OID: what cannot change under one OID
								 * needs no setting */
	bool		reinherits;		/* leaves a parent and comes back to it */
	List	   *have_columns;	/* of Column* */
	List	   *want_columns;
} TableChange;

/* ---- table.c ---- */
extern bool image_same_object(const Image *a, const Image *b);
extern bool value_is(const char *value, const char *expected);
extern bool texts_equal(const char *a, const char *b);

/* ---- table_options.c ---- */
extern void options_read(Image *image, const char *part, const char *lead,
						 Datum options, bool isnull);
extern char *options_list(List *facets, const char *prefix,
						  const char *separator);
extern char *options_to_set(List *have, List *want, const char *prefix);
extern char *options_to_reset(List *have, List *want, const char *prefix);
extern char *options_generic_change(List *have, List *want,
									const char *prefix);
extern const char *facet_value(List *facets, const char *name);
extern List *image_own_facets(const Image *image);

/* ---- table_column.c ---- */
extern void columns_read(Image *image, Form_pg_class form);
extern List *columns_of(const Image *image);
extern const char *column_get(const Column *column, const char *name);
extern bool column_is_inherited(const Column *column);
extern char *column_type_sql(const Column *column);
extern char *column_definition(const Column *column);
extern char *column_identity_sql(const Column *column);

/* ---- table_column_set.c ---- */
extern void column_set(TableChange *change, const Column *have,
					   const Column *want, bool retyped);
extern void column_set_statistics(TableChange *change, const Column *want);

/* ---- table_notnull.c ---- */
typedef struct NotNullRow NotNullRow;

extern List *notnull_rows(Oid relid);
extern void notnull_read(Image *image, Form_pg_attribute att,
						 const char *table, List *rows);
extern char *column_notnull_sql(const Column *column);
extern bool column_notnull_gives(const Column *column, const char *facet);
extern bool notnull_is_set_later(const Image *want, const Facet *facet);
extern void notnull_alter(TableChange *change, const Column *have,
						  const Column *want);

/* ---- table_alter.c ---- */
extern bool table_alter(const Image *have, const Image *want, Steps *steps);

/* ---- table_column_alter.c ---- */
extern void change_begin_dropping(TableChange *change, bool *saved);
extern void change_end_dropping(TableChange *change, bool saved);
extern bool column_same_expression(const TableChange *change, const Column *have,
								   const Column *want, const char *facet);
extern void column_fill(TableChange *change, const char *kept,
						const char *expression);
extern void columns_alter(TableChange *change);
/* once they have been matched: are some others, or of other types? */
extern bool columns_reshaped(const TableChange *change);

/* ---- constraint_marks.c ---- */
extern void constraint_marks_read(Image *image, Form_pg_constraint form,
								  bool partitioned);
extern void constraint_marks_steps(const Image *have, const Image *want,
								   Steps *steps);

/* ---- sequence.c ---- */
extern Oid	identity_sequence(Oid relid, AttrNumber attnum);
extern char *sequence_options_sql(Oid seqid);

#endif							/* SAFEMIG_TABLE_H */
