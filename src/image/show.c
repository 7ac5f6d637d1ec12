/*-------------------------------------------------------------------------
 *
 * show.c
 *	  Images for the eye: safemig.image and safemig.image_sql.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_largeobject.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "safemig.h"

PG_FUNCTION_INFO_V1(safemig_image);
PG_FUNCTION_INFO_V1(safemig_image_sql);

static Image *
image_of_arguments(FunctionCallInfo fcinfo)
{
	ObjectAddress address;
	Frame		frame;
	Image	   *image;

	ObjectAddressSet(address, PG_GETARG_OID(0), PG_GETARG_OID(1));
	if (address.classId != LargeObjectRelationId &&
		!is_objectclass_supported(address.classId))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%u is not a catalog of objects", address.classId)));
	frame_pin(&frame);
	image = image_take(&address);
	frame_unpin(&frame);
	if (image == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("object %u of catalog %u does not exist",
						address.objectId, address.classId)));
	return image;
}

Datum
safemig_image(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Image	   *image = image_of_arguments(fcinfo);
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, image->facets)
	{
		Facet	   *facet = lfirst(lc);
		Datum		values[3] = {CStringGetTextDatum(facet->part),
			CStringGetTextDatum(facet->name), CStringGetTextDatum(facet->value)};
		bool		nulls[3] = {false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

Datum
safemig_image_sql(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Image	   *image = image_of_arguments(fcinfo);
	Steps		steps;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	steps_init(&steps);
	compare_to_steps(NULL, image, &steps);
	steps_sort(&steps);
	foreach(lc, steps.list)
	{
		Datum		value = CStringGetTextDatum(((Step *) lfirst(lc))->sql);
		bool		null = false;

		tuplestore_putvalues(result->setResult, result->setDesc, &value, &null);
	}
	return (Datum) 0;
}
