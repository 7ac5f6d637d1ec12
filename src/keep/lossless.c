/*-------------------------------------------------------------------------
 *
 * lossless.c
 *	  Type changes after which casting back gives the very same values.
 *
 * For these nothing is kept.  A pair stands here only if the conversion is
 * the cast, the cast never rounds, and the cast back yields the same bytes
 * whatever the settings; everything else is copied.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/lsyscache.h"

#include "keep/column.h"

/* Changes that hold for any modifier of either type. */
static const struct
{
	Oid			from;
	Oid			to;
}			exact[] = {
	{INT2OID, INT4OID},
	{INT2OID, INT8OID},
	{INT4OID, INT8OID},
	{INT2OID, FLOAT4OID},		/* 24 bits of mantissa */
	{INT2OID, FLOAT8OID},
	{INT4OID, FLOAT8OID},		/* 53 bits */
	{FLOAT4OID, FLOAT8OID},
	{OIDOID, INT8OID},
};

/* The modifier of numeric(precision, scale); below it there is no limit. */
#define NUMERIC_IS_LIMITED(typmod)	((typmod) >= (int32) VARHDRSZ)
#define NUMERIC_PRECISION(typmod)	((((typmod) - VARHDRSZ) >> 16) & 0xffff)
#define NUMERIC_SCALE(typmod)		(((((typmod) - VARHDRSZ) & 0x7ff) ^ 1024) - 1024)

/* A scale below zero rounds whole numbers. */
static bool
integer_to_numeric(Oid from, int32 to_typmod)
{
	if (from != INT2OID && from != INT4OID && from != INT8OID)
		return false;
	return !NUMERIC_IS_LIMITED(to_typmod) || NUMERIC_SCALE(to_typmod) >= 0;
}

/* Another scale changes the zeros that a value shows. */
static bool
numeric_grows(int32 from_typmod, int32 to_typmod)
{
	if (!NUMERIC_IS_LIMITED(to_typmod))
		return true;
	return NUMERIC_IS_LIMITED(from_typmod) &&
		NUMERIC_SCALE(from_typmod) == NUMERIC_SCALE(to_typmod) &&
		NUMERIC_PRECISION(from_typmod) <= NUMERIC_PRECISION(to_typmod);
}

/* The modifier is a length or a precision, and -1 is no limit. */
static bool
limit_grows(int32 from_typmod, int32 to_typmod)
{
	return to_typmod < 0 || (from_typmod >= 0 && from_typmod <= to_typmod);
}

static bool
same_type_grows(Oid type, int32 from_typmod, int32 to_typmod)
{
	if (from_typmod == to_typmod)
		return true;
	switch (type)
	{
		case NUMERICOID:
			return numeric_grows(from_typmod, to_typmod);
		case VARCHAROID:
		case VARBITOID:
		case TIMEOID:
		case TIMETZOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return limit_grows(from_typmod, to_typmod);
		default:
			return false;
	}
}

/*
 * Does a value have one text, whatever the settings, that is read as that very
 * value?  One that is too long for the new type is an error.
 */
static bool
has_one_text(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case UUIDOID:
			return true;
		default:
			return false;
	}
}

/*
 * To be asked only of a type change without USING.
 */
bool
type_change_is_lossless(Oid from, int32 from_typmod, Oid to, int32 to_typmod)
{
	Oid			from_element = get_element_type(from);
	Oid			to_element = get_element_type(to);

	/* an array is converted element by element */
	if (OidIsValid(from_element) && OidIsValid(to_element))
		return type_change_is_lossless(from_element, from_typmod,
									   to_element, to_typmod);
	if (from == to)
		return same_type_grows(from, from_typmod, to_typmod);
	for (size_t i = 0; i < lengthof(exact); i++)
	{
		if (exact[i].from == from && exact[i].to == to)
			return true;
	}
	if (to == NUMERICOID)
		return integer_to_numeric(from, to_typmod);
	if (from == VARCHAROID && to == TEXTOID)
		return true;
	if (to == TEXTOID || to == VARCHAROID)
		return has_one_text(from) || (from == TEXTOID && to_typmod < 0);
	/* midnight, whatever the time zone */
	if (from == DATEOID && to == TIMESTAMPOID)
		return to_typmod < 0;
	return false;
}
