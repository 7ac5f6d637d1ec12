/*-------------------------------------------------------------------------
 *
 * stored.c
 *	  How one value is kept: in which form, and the proof that it comes back.
 *
 * A copy must not depend on anything that a user can drop or alter, so only
 * built-in types are stored as themselves.  Any other value is stored as what
 * its output function says under the pinned settings, and the proof that this
 * is the value is made at once: read back, it must be the same bytes.  Where
 * text does not do (types that print less than they hold), the binary form is
 * tried the same way.
 *
 * A domain's values are read by its base type's functions: they were checked
 * when they were stored, and a domain's CHECK may run anybody's code.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "catalog/catalog.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "keep/column.h"

#define NULL_HASH	UINT64CONST(0x5afe3190c0ffee01)

/*
 * The values of these are OIDs in disguise: they mean something else, or
 * nothing, in a restored database, and pg_upgrade refuses tables that have
 * them.  By name they survive both.
 */
static bool
names_an_object(Oid typid)
{
	Oid			element = get_element_type(typid);

	switch (OidIsValid(element) ? element : typid)
	{
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCLASSOID:
		case REGCOLLATIONOID:
		case REGTYPEOID:
		case REGROLEOID:
		case REGNAMESPACEOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case ACLITEMOID:
			return true;
		default:
			return false;
	}
}

static bool
is_built_in(Oid typid)
{
	char		typtype = get_typtype(typid);

	return IsPinnedObject(TypeRelationId, typid) &&
		(typtype == TYPTYPE_BASE || typtype == TYPTYPE_RANGE ||
		 typtype == TYPTYPE_MULTIRANGE) && !names_an_object(typid);
}

/* Chooses the form; text for what cannot be stored as it is. */
void
stored_column_init(StoredColumn *column, Oid typid, int32 typmod)
{
	column->unproved = false;
	column->typid = getBaseTypeAndTypmod(typid, &typmod);
	column->typmod = typmod;
	column->composite = type_is_rowtype(column->typid);
	column->composites = OidIsValid(get_element_type(column->typid)) &&
		type_is_rowtype(get_element_type(column->typid));
	get_typlenbyvalalign(column->typid, &column->typlen, &column->typbyval,
						 &column->typalign);
	if (column->composite || column->composites)
		fmgr_info(F_RECORD_IMAGE_EQ, &column->equal);
	stored_column_set_form(column, is_built_in(column->typid) ? STORED_TYPED :
						   STORED_TEXT);
}

void
stored_column_set_form(StoredColumn *column, StoredForm form)
{
	Oid			output,
				input;
	bool		varlena;

	column->form = form;
	if (form == STORED_TYPED)
		return;
	if (form == STORED_TEXT)
	{
		getTypeOutputInfo(column->typid, &output, &varlena);
		getTypeInputInfo(column->typid, &input, &column->ioparam);
	}
	else
	{
		getTypeBinaryOutputInfo(column->typid, &output, &varlena);
		getTypeBinaryInputInfo(column->typid, &input, &column->ioparam);
	}
	fmgr_info(output, &column->output);
	fmgr_info(input, &column->input);
}

/* The type of the copy's column. */
Oid
stored_column_type(const StoredColumn *column)
{
	switch (column->form)
	{
		case STORED_TEXT:
			return TEXTOID;
		case STORED_BINARY:
			return BYTEAOID;
		default:
			return column->typid;
	}
}

Datum
stored_from_value(StoredColumn *column, Datum value)
{
	switch (column->form)
	{
		case STORED_TEXT:
			return CStringGetTextDatum(OutputFunctionCall(&column->output, value));
		case STORED_BINARY:
			return PointerGetDatum(SendFunctionCall(&column->output, value));
		default:
			/* the copy must not point into the toast table of the original */
			if (column->typlen == -1 &&
				VARATT_IS_EXTERNAL(DatumGetPointer(value)))
				return PointerGetDatum(detoast_external_attr((struct varlena *)
															 DatumGetPointer(value)));
			return value;
	}
}

Datum
stored_to_value(StoredColumn *column, Datum stored)
{
	StringInfoData buffer;
	struct varlena *bytes;

	switch (column->form)
	{
		case STORED_TEXT:
			return InputFunctionCall(&column->input, TextDatumGetCString(stored),
									 column->ioparam, -1);
		case STORED_BINARY:
			bytes = PG_DETOAST_DATUM_PACKED(stored);
			initStringInfo(&buffer);
			appendBinaryStringInfo(&buffer, VARDATA_ANY(bytes),
								   VARSIZE_ANY_EXHDR(bytes));
			return ReceiveFunctionCall(&column->input, &buffer,
									   column->ioparam, -1);
		default:
			return stored;
	}
}

/* Arrays of row values: of one shape, and equal as row values are. */
static bool
row_arrays_equal(StoredColumn *column, ArrayType *a, ArrayType *b)
{
	Datum	   *left;
	Datum	   *right;
	bool	   *left_nulls;
	bool	   *right_nulls;
	int			nleft;
	int			nright;

	if (ARR_NDIM(a) != ARR_NDIM(b) || ARR_ELEMTYPE(a) != ARR_ELEMTYPE(b) ||
		memcmp(ARR_DIMS(a), ARR_DIMS(b), ARR_NDIM(a) * sizeof(int)) != 0 ||
		memcmp(ARR_LBOUND(a), ARR_LBOUND(b), ARR_NDIM(a) * sizeof(int)) != 0)
		return false;
	deconstruct_array(a, ARR_ELEMTYPE(a), -1, false, TYPALIGN_DOUBLE,
					  &left, &left_nulls, &nleft);
	deconstruct_array(b, ARR_ELEMTYPE(b), -1, false, TYPALIGN_DOUBLE,
					  &right, &right_nulls, &nright);
	for (int i = 0; i < nleft; i++)
	{
		if (left_nulls[i] != right_nulls[i])
			return false;
		if (!left_nulls[i] &&
			!DatumGetBool(FunctionCall2(&column->equal, left[i], right[i])))
			return false;
	}
	return nleft == nright;
}

/* The same bytes, however they are compressed or toasted. */
bool
values_equal(StoredColumn *column, Datum a, Datum b)
{
	if (column->composite)
	{
		/* the header of a row value differs with the version of its type */
		return DatumGetBool(FunctionCall2(&column->equal, a, b));
	}
	if (column->composites)
		return row_arrays_equal(column, DatumGetArrayTypeP(a), DatumGetArrayTypeP(b));
	return datum_image_eq(a, b, column->typbyval, column->typlen);
}

bool
stored_gives_back(StoredColumn *column, Datum value, Datum stored)
{
	return column->form == STORED_TYPED ||
		values_equal(column, value, stored_to_value(column, stored));
}

uint64
stored_hash(Form_pg_attribute att, Datum value, bool isnull, uint64 seed)
{
	if (isnull)
		return hash_combine64(seed, NULL_HASH);
	if (att->attbyval)
	{
		Datum		bytes = 0;

		store_att_byval(&bytes, value, att->attlen);
		return hash_bytes_extended((unsigned char *) &bytes, att->attlen, seed);
	}
	if (att->attlen == -1)
	{
		struct varlena *plain = PG_DETOAST_DATUM_PACKED(value);
		uint64		result = hash_bytes_extended((unsigned char *) VARDATA_ANY(plain),
												 VARSIZE_ANY_EXHDR(plain), seed);

		if ((Pointer) plain != DatumGetPointer(value))
			pfree(plain);
		return result;
	}
	return hash_bytes_extended((unsigned char *) DatumGetPointer(value),
							   att->attlen, seed);
}

void
proof_add_value(CopyProof *proof, Form_pg_attribute att, Datum stored,
				bool isnull)
{
	if (isnull)
		return;
	proof->values++;
	proof->value_checksum += stored_hash(att, stored, false, 0);
}

/*
 * Adds a row of the copy, whose last column is the value.  Sums, since a row
 * that is there twice would vanish from an exclusive or.
 */
void
proof_add_row(CopyProof *proof, TupleDesc desc, const Datum *values,
			  const bool *nulls)
{
	int			last = desc->natts - 1;
	uint64		value_hash = stored_hash(TupleDescAttr(desc, last), values[last],
										nulls[last], 0);
	uint64		hash = value_hash;

	for (int i = 0; i < last; i++)
		hash = stored_hash(TupleDescAttr(desc, i), values[i], nulls[i], hash);
	proof->rows++;
	proof->checksum += hash;
	if (!nulls[last])
	{
		proof->values++;
		proof->value_checksum += value_hash;
	}
}
