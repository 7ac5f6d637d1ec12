/*-------------------------------------------------------------------------
 *
 * database.c
 *	  Images of databases and tablespaces: all that can be changed of them
 *	  within a transaction.
 *
 * They are the cluster's; what was done to one is in the history of the
 * database in which it was done.  What settings everybody has in all databases
 * is in the image of the database of that history, since there is no object
 * that it is of.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_database.h"
#include "catalog/pg_tablespace.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "compat.h"
#include "image/classes.h"

#define SETTINGS "settings"
#define SETTINGS_OF_ALL "settings in all databases"

/* ---- databases ---- */

static bool
database_read(Image *image)
{
	Oid			oid = image->address.objectId;
	HeapTuple	row = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(oid));
	Form_pg_database form;
	Datum		acl;
	bool		isnull;
	char	   *settings;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_database) GETSTRUCT(row);
	image->name = pstrdup(NameStr(form->datname));
	image_add_owner(image, form->datdba);
	image_addf(image, "", "limit", "CONNECTION_LIMIT %d", form->datconnlimit);
	image_addf(image, "", "template", "IS_TEMPLATE %s", form->datistemplate ? "true" : "false");
	image_addf(image, "", "connections", "ALLOW_CONNECTIONS %s", form->datallowconn ? "true" : "false");
	acl = SysCacheGetAttr(DATABASEOID, row, Anum_pg_database_datacl, &isnull);
	image_add_acl(image, "", acl, isnull, OBJECT_DATABASE, form->datdba);
	ReleaseSysCache(row);
	settings = role_settings(InvalidOid, oid);
	if (settings)
		image_add(image, "", SETTINGS, settings);
	settings = oid == MyDatabaseId ? role_settings(InvalidOid, InvalidOid) : NULL;
	if (settings)
		image_add(image, "", SETTINGS_OF_ALL, settings);
	image_read_shared_comment(image);
	return true;
}

static void
settings_step(const Image *have, const Image *want, const char *facet,
			  const char *database, Steps *steps)
{
	const char *settings = image_get(want, "", facet);

	if (facet_differs(have, want, "", facet))
		step_add(steps, RANK_SCHEMA, RUN_SUPERUSER, NULL, "catalog",
				 "SELECT safemig.set_role_settings('', %s, %s)",
				 quote_literal_cstr(database),
				 settings ? quote_literal_cstr(settings) : "NULL");
}

static bool
database_alter(const Image *have, const Image *want, Steps *steps)
{
	static const char *const options[] = {"limit", "template", "connections"};

	for (size_t i = 0; i < lengthof(options); i++)
	{
		if (facet_differs(have, want, "", options[i]))
			step_add(steps, RANK_SCHEMA, RUN_SUPERUSER, NULL, "catalog",
					 "ALTER DATABASE %s WITH %s", want->identity,
					 image_get(want, "", options[i]));
	}
	settings_step(have, want, SETTINGS, want->name, steps);
	settings_step(have, want, SETTINGS_OF_ALL, "", steps);
	return true;
}

/* ---- tablespaces ---- */

static bool
tablespace_read(Image *image)
{
	HeapTuple	row = SearchSysCache1(TABLESPACEOID,
									  ObjectIdGetDatum(image->address.objectId));
	Form_pg_tablespace form;
	Datum		value;
	bool		isnull;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_tablespace) GETSTRUCT(row);
	image->name = pstrdup(NameStr(form->spcname));
	image_add_owner(image, form->spcowner);
	value = SysCacheGetAttr(TABLESPACEOID, row, Anum_pg_tablespace_spcoptions, &isnull);
	image_add_options(image, "", "options", value, isnull);
	value = SysCacheGetAttr(TABLESPACEOID, row, Anum_pg_tablespace_spcacl, &isnull);
	image_add_acl(image, "", value, isnull, OBJECT_TABLESPACE, form->spcowner);
	ReleaseSysCache(row);
	image_read_shared_comment(image);
	return true;
}

static bool
tablespace_alter(const Image *have, const Image *want, Steps *steps)
{
	options_steps(have, want, "options", steps, RANK_SCHEMA, NULL);
	return true;
}

/* Both come and go outside of transactions: see capture/outside.c. */
static void
goes_outside_of_transactions(const Image *image, Steps *steps)
{
	steps_irreversible(steps, "%s %s cannot be dropped within a transaction",
					   image->type, image->identity);
}

const ImageClass image_class_database = {
	.catalog = DatabaseRelationId,
	.type = "database",
	.keyword = "DATABASE",
	.rank = RANK_SCHEMA,
	.read = database_read,
	.drop = goes_outside_of_transactions,
	.alter = database_alter,
};

const ImageClass image_class_tablespace = {
	.catalog = TableSpaceRelationId,
	.type = "tablespace",
	.keyword = "TABLESPACE",
	.rank = RANK_SCHEMA,
	.read = tablespace_read,
	.drop = goes_outside_of_transactions,
	.alter = tablespace_alter,
};
