/*-------------------------------------------------------------------------
 *
 * convert.c
 *	  Values of a changed column, cast back to the old type.
 *
 * "Forth" is from the old type to the new, "back" the other way.  A cast may
 * raise an error for a value; rows are done in batches, each in a
 * subtransaction, and only the rows of a batch that fails one by one.
 *
 * The caller has become the owner of the table: casts are user code.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "compat.h"
#include "keep/convert.h"

PG_FUNCTION_INFO_V1(value_fits);

struct Conversion
{
	Oid			old_type;
	int32		old_typmod;
	Oid			new_type;
	int32		new_typmod;
	StoredColumn new_column;	/* for comparing images */
	FmgrInfo   *equal;			/* the new type's equality, or NULL */
	Oid			collation;
	MemoryContext context;
	EState	   *estate;
	ExprState  *forth;			/* NULL: there is no such cast */
	ExprState  *back;
};

static CaseTestExpr *
make_value(Oid type, int32 typmod)
{
	CaseTestExpr *value = makeNode(CaseTestExpr);

	value->typeId = type;
	value->typeMod = typmod;
	value->collation = get_typcollation(type);
	return value;
}

static bool
is_of_enum(Oid type)
{
	Oid			element = get_base_element_type(type);

	return type_is_enum(getBaseType(OidIsValid(element) ? element : type));
}

/* There is no cast between enums: a label stands for the same one. */
static Expr *
make_enum_cast(Oid from, int32 from_typmod, Oid to)
{
	CoerceViaIO *cast = makeNode(CoerceViaIO);

	cast->arg = (Expr *) make_value(from, from_typmod);
	cast->resulttype = to;
	cast->coerceformat = COERCE_EXPLICIT_CAST;
	cast->location = -1;
	return (Expr *) cast;
}

/*
 * A cast as an expression over a value that is given when it is run.  Where
 * several casts are possible, the one that an assignment would use: it is an
 * error there if text is too long.
 */
static Expr *
make_cast(Oid from, int32 from_typmod, Oid to, int32 to_typmod)
{
	static const CoercionContext contexts[] = {COERCION_ASSIGNMENT, COERCION_EXPLICIT};

	for (size_t i = 0; i < lengthof(contexts); i++)
	{
		CaseTestExpr *value = make_value(from, from_typmod);
		Node	   *cast;

		cast = coerce_to_target_type(NULL, (Node *) value, from, to, to_typmod,
									 contexts[i], COERCE_IMPLICIT_CAST, -1);
		if (cast)
		{
			assign_expr_collations(NULL, cast);
			return (Expr *) cast;
		}
	}
	if (is_of_enum(from) && is_of_enum(to))
		return make_enum_cast(from, from_typmod, to);
	return NULL;
}

/* Also after an error: a function's state may be left in the middle. */
static void
prepare_casts(Conversion *conversion)
{
	MemoryContext old = MemoryContextSwitchTo(conversion->context);
	Expr	   *forth = make_cast(conversion->old_type, conversion->old_typmod,
								  conversion->new_type, conversion->new_typmod);
	Expr	   *back = make_cast(conversion->new_type, conversion->new_typmod,
								 conversion->old_type, conversion->old_typmod);

	conversion->estate = CreateExecutorState();
	conversion->forth = forth ? ExecPrepareExpr(forth, conversion->estate) : NULL;
	conversion->back = back ? ExecPrepareExpr(back, conversion->estate) : NULL;
	MemoryContextSwitchTo(old);
}

Conversion *
conversion_make(Oid old_type, int32 old_typmod, Oid new_type, int32 new_typmod)
{
	Conversion *conversion = palloc0(sizeof(Conversion));
	TypeCacheEntry *entry = lookup_type_cache(new_type, TYPECACHE_EQ_OPR_FINFO);

	conversion->old_type = old_type;
	conversion->old_typmod = old_typmod;
	conversion->new_type = new_type;
	conversion->new_typmod = new_typmod;
	stored_column_init(&conversion->new_column, new_type, new_typmod);
	if (OidIsValid(entry->eq_opr_finfo.fn_oid))
		conversion->equal = &entry->eq_opr_finfo;
	conversion->collation = get_typcollation(new_type);
	conversion->context = CurrentMemoryContext;
	prepare_casts(conversion);
	return conversion;
}

static Datum
run_cast(Conversion *conversion, ExprState *cast, Datum value, bool *isnull)
{
	ExprContext *econtext = GetPerTupleExprContext(conversion->estate);

	econtext->caseValue_datum = value;
	econtext->caseValue_isNull = false;
	return ExecEvalExpr(cast, econtext, isnull);
}

/* Does the kept value, cast, give exactly what the row has? */
static bool
kept_is_behind(Conversion *conversion, const ConvertedRow *row)
{
	bool		isnull;
	Datum		forth;

	if (row->kept_isnull || row->now_isnull)
		return row->kept_isnull && row->now_isnull;
	if (conversion->forth == NULL)
		return false;
	forth = run_cast(conversion, conversion->forth, row->kept, &isnull);
	return !isnull && values_equal(&conversion->new_column, forth, row->now);
}

static void
take_kept(ConvertedRow *row)
{
	row->result = row->kept;
	row->result_isnull = row->kept_isnull;
	row->is_kept = true;
}

/* The present value cast back, if that keeps all of it. */
static void
take_now(Conversion *conversion, ConvertedRow *row)
{
	bool		isnull;
	Datum		again;

	if (row->now_isnull)
	{
		row->result_isnull = true;
		return;
	}
	if (conversion->back == NULL)
	{
		row->misfit = true;
		return;
	}
	row->result = run_cast(conversion, conversion->back, row->now,
						   &row->result_isnull);
	if (row->result_isnull || conversion->forth == NULL)
		return;
	again = run_cast(conversion, conversion->forth, row->result, &isnull);
	if (isnull)
		row->misfit = true;
	else if (conversion->equal)
		row->misfit = !DatumGetBool(FunctionCall2Coll(conversion->equal,
													  conversion->collation,
													  again, row->now));
	else
		row->misfit = !values_equal(&conversion->new_column, again, row->now);
}

static void
convert_row(Conversion *conversion, ConvertedRow *row, bool compare)
{
	row->misfit = row->is_kept = row->result_isnull = false;
	row->result = (Datum) 0;
	if (row->has_kept &&
		(row->untouched ||
		 (row->computable && compare && kept_is_behind(conversion, row))))
		take_kept(row);
	else
		take_now(conversion, row);
}

/* Errors that speak about a value; any other is the caller's. */
static bool
is_about_value(int sqlstate)
{
	int			category = ERRCODE_TO_CATEGORY(sqlstate);

	return category == ERRCODE_DATA_EXCEPTION ||
		category == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ||
		category == ERRCODE_PLPGSQL_ERROR;
}

typedef struct Batch
{
	Conversion *conversion;
	ConvertedRow *rows;
	int			nrows;
	bool		compare;
} Batch;

static bool
convert_all(void *arg)
{
	Batch	   *batch = arg;

	for (int i = 0; i < batch->nrows; i++)
		convert_row(batch->conversion, &batch->rows[i], batch->compare);
	return true;
}

/* False if a cast raised an error for one of the rows. */
static bool
convert_batch(Conversion *conversion, ConvertedRow *rows, int nrows, bool compare)
{
	Batch		batch = {conversion, rows, nrows, compare};
	ErrorData  *error = attempt(convert_all, &batch);

	if (error == NULL)
		return true;
	if (!is_about_value(error->sqlerrcode))
		ReThrowError(error);
	FreeErrorData(error);
	prepare_casts(conversion);
	return false;
}

int64
convert_rows(Conversion *conversion, ConvertedRow *rows, int nrows)
{
	int64		misfits = 0;

	if (!convert_batch(conversion, rows, nrows, true))
	{
		for (int i = 0; i < nrows; i++)
		{
			/* the error may have been the kept value's, cast forth */
			if (!convert_batch(conversion, &rows[i], 1, true) &&
				!convert_batch(conversion, &rows[i], 1, false))
			{
				rows[i].misfit = true;
				rows[i].result_isnull = true;
			}
		}
	}
	for (int i = 0; i < nrows; i++)
		misfits += rows[i].misfit;
	return misfits;
}

/*
 * safemig.value_fits(value anyelement, type_name text) returns boolean: could
 * the value be cast to the type, and back, without a loss?  Runs as whoever
 * asks.
 */
Datum
value_fits(PG_FUNCTION_ARGS)
{
	Conversion *conversion = fcinfo->flinfo->fn_extra;
	ConvertedRow row;

	if (conversion == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
		char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(1));
		Oid			type;
		int32		typmod;

		if (!type_from_string(name, &type, &typmod))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("type \"%s\" does not exist", name)));
		conversion = conversion_make(type, typmod,
									 get_fn_expr_argtype(fcinfo->flinfo, 0), -1);
		fcinfo->flinfo->fn_extra = conversion;
		MemoryContextSwitchTo(old);
	}
	memset(&row, 0, sizeof(row));
	row.now = PG_GETARG_DATUM(0);
	PG_RETURN_BOOL(convert_rows(conversion, &row, 1) == 0);
}
