/*-------------------------------------------------------------------------
 *
 * column.h
 *	  What the files about kept column values share.
 *
 * A copy of a column is a narrow table: the columns of the row's key (or, for
 * a table without one, the row's ordinal in the order of the scan, and a hash
 * of what the row holds in other columns), then the value.  It hangs on nothing that a user can drop: a value of a built-in
 * type is stored as such, any other as text or bytes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_COLUMN_H
#define SAFEMIG_COLUMN_H

#include "access/attnum.h"
#include "access/heapam.h"
#include "access/tableam.h"
#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "nodes/execnodes.h"
#include "utils/portal.h"
#include "utils/relcache.h"

#include "safemig.h"

/* PostgreSQL's own key in attoptions for the version of an attribute */
#define ATTRIBUTE_VERSION_KEY	"pg_attver"

typedef enum StoredForm
{
	STORED_TYPED = 't',			/* as the type it has */
	STORED_TEXT = 'x',			/* by the type's output function */
	STORED_BINARY = 'b'			/* by the type's send function */
} StoredForm;

typedef struct StoredColumn
{
	AttrNumber	attnum;			/* in the table */
	char	   *name;
	Oid			typid;			/* in the table, a domain's base type */
	int32		typmod;
	StoredForm	form;
	bool		unproved;		/* the stored form may not give the value back */
	bool		composite;
	bool		composites;		/* an array of such */
	int16		typlen;
	bool		typbyval;
	char		typalign;
	Oid			ioparam;
	FmgrInfo	output;			/* output or send; unset if typed */
	FmgrInfo	input;			/* input or receive; unset if typed */
	FmgrInfo	equal;			/* set if composite or composites */
} StoredColumn;

/* How the rows of a copy look: keys, what became of the value, the value. */
typedef struct CopyShape
{
	int			nkeys;			/* 0: keyless, the copy has an ordinal */
	StoredColumn keys[INDEX_MAX_KEYS];
	bool		has_content;	/* keyless: a hash of the other columns, too */
	struct Writers *writers;	/* ... if they were written by one of these */
	bool		by_content;		/* rows are to be matched by that */
	bool		holds_values;	/* what nobody wrote since has its value still */
	int			ncontent;
	StoredColumn *content;
	int			nsiblings;		/* dropped together, and back already: known by
								 * their values, too */
	StoredColumn *siblings;
	char	  **sibling_copies;
	StoredColumn value;
	bool		has_converted;	/* also what a conversion made of the value */
	StoredColumn converted;
} CopyShape;

typedef struct CopyProof
{
	int64		rows;
	int64		values;			/* that are not NULL */
	uint64		checksum;		/* of whole rows, whatever their order */
	uint64		value_checksum; /* of the values alone */
} CopyProof;

/* ---- stored.c: one value, in and out ---- */
extern void stored_column_init(StoredColumn *column, Oid typid, int32 typmod);
extern void stored_column_set_form(StoredColumn *column, StoredForm form);
extern Oid	stored_column_type(const StoredColumn *column);
extern Datum stored_from_value(StoredColumn *column, Datum value);
extern Datum stored_to_value(StoredColumn *column, Datum stored);
extern bool stored_gives_back(StoredColumn *column, Datum value, Datum stored);
extern bool values_equal(StoredColumn *column, Datum a, Datum b);
extern uint64 stored_hash(Form_pg_attribute att, Datum value, bool isnull,
						  uint64 seed);
extern void proof_add_row(CopyProof *proof, TupleDesc desc,
						  const Datum *values, const bool *nulls);
extern void proof_add_value(CopyProof *proof, Form_pg_attribute att,
							Datum stored, bool isnull);

/* ---- typeprint.c ---- */
extern char *type_fingerprint(Oid typid);

/* ---- copy.c: the table that holds the values ---- */
#define COPY_BATCH_ROWS	1000
#define COPY_BATCH_BYTES	(256 * 1024)

/* Rows on their way into a copy. */
typedef struct CopyWriter
{
	Relation	copy;
	BulkInsertState bulk;
	CommandId	cid;
	MemoryContext context;		/* of one batch */
	TupleTableSlot *slots[COPY_BATCH_ROWS];
	int			nslots;
	Size		bytes;
} CopyWriter;

extern Oid	copy_create(const char *name, Oid namespace, TupleDesc desc);
extern void copy_drop(Oid relid);
extern void copy_writer_open(CopyWriter *writer, Oid relid);
extern void copy_writer_put(CopyWriter *writer, Datum *values, bool *nulls);
extern void copy_writer_close(CopyWriter *writer);
extern bool copy_store_column(StoredColumn *column, TupleTableSlot *slot,
							  Datum *stored, bool *isnull);
extern void copy_change_form(StoredColumn *unfit);
extern bool column_has_no_value(Relation rel, AttrNumber attnum, int64 *rows);
extern Oid	copy_make(Relation rel, CopyShape *shape, const char *name,
					  Oid namespace, CopyProof *proof);
extern Oid	copy_make_with_converted(Relation rel, CopyShape *shape,
									 const Kept *kept, CopyProof *proof);
extern void copy_prove(const Kept *kept);
extern char *copy_name(const Kept *kept);
extern char *copy_ordinal_name(const char *value_name);
extern char *copy_content_name(const CopyShape *shape);
extern int	copy_fixed_columns(const CopyShape *shape);
extern char *copy_spare_name(const CopyShape *shape, const char *name);
extern TableScanDesc plain_scan_begin(Relation rel, Snapshot *snapshot);
extern void plain_scan_end(TableScanDesc scan, Snapshot snapshot);

/* ---- column.c ---- */
extern void kept_set_detailf(Kept *kept, const char *name, const char *fmt,...) pg_attribute_printf(3, 4);
extern void kept_set_conversion_settings(const Kept *kept);
extern void reset_scan_start(Relation rel);

/* ---- recall.c: a kept column as it is on record ---- */
extern void check_own_call(const char *function);
extern int64 kept_number(const Kept *kept, const char *name);
extern Oid	kept_relation(const Kept *kept, LOCKMODE lockmode);
extern bool kept_is_same_relation(const Kept *kept, Oid relid);
extern AttrNumber kept_live_column(const Kept *kept, Relation rel);
extern bool kept_keys(const Kept *kept, Relation rel, CopyShape *shape);
extern void kept_shape(const Kept *kept, Relation rel, AttrNumber attnum,
					   CopyShape *shape);
extern char *kept_type(const Kept *kept, Oid *typid);
extern Oid	kept_collation(const Kept *kept, Oid typid);
extern List *kept_family(const Kept *kept);
extern List *relation_parents(Oid relid);
extern char *collation_name(Oid collation);

/* ---- place.c: rows without a key ---- */

/* By what a row is known that was not written since a rewrite. */
typedef struct Stamp
{
	bool		valid;
	TransactionId xid;
	CommandId	command;
} Stamp;

extern Stamp stamp_read(const Kept *kept);
extern bool stamp_is(const Stamp *stamp, TransactionId xmin, CommandId cmin);
extern bool stamp_is_on(const Stamp *stamp, TupleTableSlot *slot);

typedef struct StampedRows
{
	int64		stamped;
	int64		rows;
	bool		appended;		/* those without a stamp come after the others */
} StampedRows;

extern bool place_rows_bear_stamp(Relation rel, const Kept *kept, StampedRows *places);
extern bool place_rows_as_copied(Relation rel, TupleDesc desc, const Kept *kept,
								 AttrNumber attnum, int64 *more);

extern char *place_snapshot(bool with_own);
extern Datum place_recall_snapshot(const char *text);
extern bool place_row_is_seen(Datum snapshot, TransactionId xmin);

/* ---- content.c: rows without a key that have left their places ---- */
extern void content_choose(Kept *kept, Relation rel, AttrNumber attnum,
						   const Together *together, CopyShape *shape);
extern void content_complete(Kept *kept, Relation rel, CopyShape *shape);
extern void content_add_details(Kept *kept, const CopyShape *shape);
extern bool content_recall(const Kept *kept, Relation rel, CopyShape *shape);
extern Datum content_of_row(CopyShape *shape, TupleTableSlot *slot);
extern bool content_is_known(const Kept *kept, Relation rel, CopyShape *shape);

/* Who may have written a row that is still the row that was copied. */
typedef struct Writers
{
	Datum		snapshot;		/* whoever was done when it was copied, or did
								 * copy it */
	Datum		before;			/* whoever was done */
	Stamp		stamp;			/* the conversion */
	int			nxids;			/* and these, in order */
	TransactionId *xids;
} Writers;

extern Writers *content_writers(const Kept *kept, Oid relid);
extern bool content_is_untouched(const Writers *writers, TupleTableSlot *slot);
extern bool content_may_match(const Writers *writers, TupleTableSlot *slot);

/* ---- follow.c: through rewrites ---- */
extern void column_keep_recount(Relation rel, int64 kept);

/* ---- present.c: the rows of now, joined to a copy ---- */
typedef struct Present
{
	Portal		portal;
	struct Tuplestorestate *store;
	int64		valued;			/* rows whose value is not NULL, if only_null */
} Present;

extern Present present_open(Relation rel, AttrNumber attnum, const Kept *kept,
							CopyShape *shape, bool only_null);
extern void present_close(Present *present);

/* ---- astray.c: kept values without a row, rows without a kept value ---- */
extern void astray_note(const Kept *kept, Relation rel, const CopyShape *shape,
						int64 values, int64 rows);

/* ---- requery.c: stored queries that a revival would break ---- */
extern List *stale_queries_take(Oid relid, AttrNumber attnum);
extern void stale_queries_remake(List *queries);
/* of ObjectAddress*: the relation, and all that depends on it at whatever
 * remove */
extern List *find_dependents(Oid relid);

/* ---- generated.c ---- */
extern void generated_forget(Oid relid, AttrNumber attnum, Oid attrdef);
extern Node *cook_column_expression(Relation rel, AttrNumber attnum,
									const char *expression, char generated);

#endif							/* SAFEMIG_COLUMN_H */
