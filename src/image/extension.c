/*-------------------------------------------------------------------------
 *
 * extension.c
 *	  Images of extensions.
 *
 * What is in an extension comes and goes with it.  Its script runs as the
 * extension's owner, who is whoever runs CREATE EXTENSION.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "image/classes.h"

static bool
extension_read(Image *image)
{
	HeapTuple	tuple = catalog_row(ExtensionRelationId, Anum_pg_extension_oid,
									image->address.objectId);
	Form_pg_extension form;
	Datum		version;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_extension) GETSTRUCT(tuple);
	image->schema = get_namespace_name(form->extnamespace);
	image->name = pstrdup(NameStr(form->extname));
	image_belongs_to(image, form->extowner);
	version = catalog_value(ExtensionRelationId, tuple,
							Anum_pg_extension_extversion, &isnull);
	if (isnull)
		elog(ERROR, "extension %u has no version", image->address.objectId);
	image_add(image, "", "version", TextDatumGetCString(version));
	return true;
}

/* ---- steps ---- */

/* As the extension's owner; where that is ours too, without its restrictions. */
static void
run_as_owner(Step *step, const Image *image)
{
	const char *ours = GetUserNameFromId(extension_owner(), false);

	step->mode = image->owner == NULL || strcmp(image->owner, ours) == 0 ?
		RUN_SUPERUSER : RUN_OWNER;
}

static void
extension_create(const Image *image, Steps *steps)
{
	Step	   *step;

	step = step_add(steps, RANK_EXTENSION, RUN_OWNER, NULL, "catalog",
					"CREATE EXTENSION %s SCHEMA %s VERSION %s",
					quote_identifier(image->name),
					quote_identifier(image->schema),
					quote_literal_cstr(image_get(image, "", "version")));
	run_as_owner(step, image);
}

static void
extension_drop(const Image *image, Steps *steps)
{
	step_add(steps, RANK_EXTENSION, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
			 "DROP EXTENSION %s", quote_identifier(image->name));
}

/* Do the installed scripts lead from one version to the other? */
static bool
has_update_path(const char *extension, const char *from, const char *to)
{
	static const char query[] =
		"SELECT 1 FROM pg_catalog.pg_extension_update_paths($1::pg_catalog.name)"
		" WHERE source OPERATOR(pg_catalog.=) $2"
		" AND target OPERATOR(pg_catalog.=) $3 AND path IS NOT NULL";
	Oid			types[3] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		values[3] = {CStringGetTextDatum(extension),
	CStringGetTextDatum(from), CStringGetTextDatum(to)};
	bool		found;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(query, 3, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the update paths of extension \"%s\"", extension);
	found = SPI_processed > 0;
	SPI_finish();
	return found;
}

static bool
extension_alter(const Image *have, const Image *want, Steps *steps)
{
	const char *from = image_get(have, "", "version");
	const char *to = image_get(want, "", "version");
	Step	   *step;

	if (!has_update_path(want->name, from, to))
	{
		steps_irreversible(steps, "no installed script updates extension %s from version %s to %s",
						   want->identity, from, to);
		return true;
	}
	step = step_add(steps, RANK_EXTENSION, RUN_OWNER, "ACCESS EXCLUSIVE",
					"catalog", "ALTER EXTENSION %s UPDATE TO %s",
					quote_identifier(want->name), quote_literal_cstr(to));
	run_as_owner(step, want);
	return true;
}

const ImageClass image_class_extension = {
	.catalog = ExtensionRelationId,
	.type = "extension",
	.keyword = "EXTENSION",
	.rank = RANK_EXTENSION,
	.read = extension_read,
	.create = extension_create,
	.drop = extension_drop,
	.alter = extension_alter,
};
