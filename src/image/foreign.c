/*-------------------------------------------------------------------------
 *
 * foreign.c
 *	  Images of foreign-data wrappers, servers and user mappings.
 *
 * An option is a facet of its own.  The options of user mappings hold
 * passwords: what the history stores of them nobody but its owner can read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "image/classes.h"
#include "image/table.h"

#define OPTION "option"

static void
read_options(Image *image, int cache, HeapTuple row, AttrNumber column)
{
	bool		isnull;
	Datum		options = SysCacheGetAttr(cache, row, column, &isnull);

	options_read(image, "", OPTION " ", options, isnull);
}

/* " OPTIONS (...)" for CREATE */
static char *
options_clause(const Image *image)
{
	char	   *list = options_list(image_own_facets(image), OPTION, " ");

	return list ? psprintf(" OPTIONS (%s)", list) : pstrdup("");
}

/* " OPTIONS (ADD ..., SET ..., DROP ...)" for ALTER */
static char *
options_change(const Image *have, const Image *want)
{
	char	   *change = options_generic_change(image_own_facets(have),
												image_own_facets(want), OPTION);

	return change ? psprintf(" OPTIONS (%s)", change) : pstrdup("");
}

static void
drop(const Image *image, int rank, StepMode mode, Steps *steps)
{
	step_add(steps, rank, mode, "ACCESS EXCLUSIVE", "catalog", "DROP %s",
			 image_reference(image));
}

/* ---- foreign-data wrappers ---- */

static bool
wrapper_read(Image *image)
{
	HeapTuple	row = SearchSysCache1(FOREIGNDATAWRAPPEROID,
									  ObjectIdGetDatum(image->address.objectId));
	Form_pg_foreign_data_wrapper form;
	Datum		acl;
	bool		isnull;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_foreign_data_wrapper) GETSTRUCT(row);
	image->name = pstrdup(NameStr(form->fdwname));
	image_add_owner(image, form->fdwowner);
	if (OidIsValid(form->fdwhandler))
		image_add(image, "", "handler", function_name_sql(form->fdwhandler));
	if (OidIsValid(form->fdwvalidator))
		image_add(image, "", "validator", function_name_sql(form->fdwvalidator));
	read_options(image, FOREIGNDATAWRAPPEROID, row,
				 Anum_pg_foreign_data_wrapper_fdwoptions);
	acl = SysCacheGetAttr(FOREIGNDATAWRAPPEROID, row,
						  Anum_pg_foreign_data_wrapper_fdwacl, &isnull);
	image_add_acl(image, "", acl, isnull, OBJECT_FDW, form->fdwowner);
	ReleaseSysCache(row);
	return true;
}

static void
alter_wrapper(const Image *image, Steps *steps, const char *changes)
{
	step_add(steps, RANK_FOREIGN_WRAPPER, RUN_SUPERUSER, NULL, "catalog",
			 "ALTER FOREIGN DATA WRAPPER %s%s", image_qualified_name(image), changes);
}

/* After the options: it may have come after them, and not take them. */
static void
set_validator(const Image *image, Steps *steps)
{
	const char *validator = image_get(image, "", "validator");

	if (validator)
		alter_wrapper(image, steps, psprintf(" VALIDATOR %s", validator));
}

static char *
handler_clause(const Image *image, const char *otherwise)
{
	const char *handler = image_get(image, "", "handler");

	return handler ? psprintf(" HANDLER %s", handler) : pstrdup(otherwise);
}

static void
wrapper_create(const Image *image, Steps *steps)
{
	const char *options = options_clause(image);
	const char *validator = options[0] ? NULL : image_get(image, "", "validator");

	step_add(steps, RANK_FOREIGN_WRAPPER, RUN_SUPERUSER, NULL, "catalog",
			 "CREATE FOREIGN DATA WRAPPER %s%s%s%s%s", image_qualified_name(image),
			 handler_clause(image, ""), validator ? " VALIDATOR " : "",
			 validator ? validator : "", options);
	if (options[0])
		set_validator(image, steps);
}

static void
wrapper_drop(const Image *image, Steps *steps)
{
	drop(image, RANK_FOREIGN_WRAPPER, RUN_SUPERUSER, steps);
}

static bool
wrapper_alter(const Image *have, const Image *want, Steps *steps)
{
	const char *change = options_change(have, want);
	StringInfoData changes;

	initStringInfo(&changes);
	if (facet_differs(have, want, "", "handler"))
		appendStringInfoString(&changes, handler_clause(want, " NO HANDLER"));
	if (change[0] || facet_differs(have, want, "", "validator"))
		appendStringInfo(&changes, " NO VALIDATOR%s", change);
	if (changes.len)
		alter_wrapper(want, steps, changes.data);
	if (change[0] || facet_differs(have, want, "", "validator"))
		set_validator(want, steps);
	return true;
}

const ImageClass image_class_foreign_data_wrapper = {
	.catalog = ForeignDataWrapperRelationId,
	.type = "foreign-data wrapper",
	.keyword = "FOREIGN DATA WRAPPER",
	.rank = RANK_FOREIGN_WRAPPER,
	.read = wrapper_read,
	.create = wrapper_create,
	.drop = wrapper_drop,
	.alter = wrapper_alter,
};

/* ---- servers ---- */

static void
add_text(Image *image, HeapTuple row, AttrNumber column, const char *name)
{
	bool		isnull;
	Datum		value = SysCacheGetAttr(FOREIGNSERVEROID, row, column, &isnull);

	if (!isnull)
		image_add(image, "", name, quote_literal_cstr(TextDatumGetCString(value)));
}

static bool
server_read(Image *image)
{
	HeapTuple	row = SearchSysCache1(FOREIGNSERVEROID,
									  ObjectIdGetDatum(image->address.objectId));
	Form_pg_foreign_server form;
	Datum		acl;
	bool		isnull;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_foreign_server) GETSTRUCT(row);
	image->name = pstrdup(NameStr(form->srvname));
	image_add_owner(image, form->srvowner);
	image_add(image, "", "wrapper",
			  quote_identifier(GetForeignDataWrapper(form->srvfdw)->fdwname));
	add_text(image, row, Anum_pg_foreign_server_srvtype, "type");
	add_text(image, row, Anum_pg_foreign_server_srvversion, "version");
	read_options(image, FOREIGNSERVEROID, row, Anum_pg_foreign_server_srvoptions);
	acl = SysCacheGetAttr(FOREIGNSERVEROID, row, Anum_pg_foreign_server_srvacl,
						  &isnull);
	image_add_acl(image, "", acl, isnull, OBJECT_FOREIGN_SERVER, form->srvowner);
	ReleaseSysCache(row);
	return true;
}

static void
server_create(const Image *image, Steps *steps)
{
	const char *type = image_get(image, "", "type");
	const char *version = image_get(image, "", "version");

	step_add(steps, RANK_FOREIGN_SERVER, RUN_CATALOG, NULL, "catalog",
			 "CREATE SERVER %s%s%s%s%s FOREIGN DATA WRAPPER %s%s",
			 image_qualified_name(image), type ? " TYPE " : "", type ? type : "",
			 version ? " VERSION " : "", version ? version : "",
			 image_get(image, "", "wrapper"), options_clause(image));
}

static void
server_drop(const Image *image, Steps *steps)
{
	drop(image, RANK_FOREIGN_SERVER, RUN_CATALOG, steps);
}

static bool
server_alter(const Image *have, const Image *want, Steps *steps)
{
	const char *version = image_get(want, "", "version");

	if (facet_differs(have, want, "", "type") ||
		facet_differs(have, want, "", "wrapper"))
		return false;
	step_add(steps, RANK_FOREIGN_SERVER, RUN_CATALOG, NULL, "catalog",
			 "ALTER SERVER %s%s%s%s", image_qualified_name(want),
			 facet_differs(have, want, "", "version") ? " VERSION " : "",
			 !facet_differs(have, want, "", "version") ? "" :
			 version ? version : "NULL", options_change(have, want));
	return true;
}

const ImageClass image_class_foreign_server = {
	.catalog = ForeignServerRelationId,
	.type = "server",
	.keyword = "SERVER",
	.rank = RANK_FOREIGN_SERVER,
	.read = server_read,
	.create = server_create,
	.drop = server_drop,
	.alter = server_alter,
};

/* ---- user mappings ---- */

static bool
mapping_read(Image *image)
{
	HeapTuple	row = SearchSysCache1(USERMAPPINGOID,
									  ObjectIdGetDatum(image->address.objectId));
	Form_pg_user_mapping form;
	ForeignServer *server;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_user_mapping) GETSTRUCT(row);
	server = GetForeignServer(form->umserver);
	image_belongs_to(image, server->owner);
	image_add(image, "", "user", OidIsValid(form->umuser) ?
			  quote_identifier(GetUserNameFromId(form->umuser, false)) : "PUBLIC");
	image_add(image, "", "server", quote_identifier(server->servername));
	read_options(image, USERMAPPINGOID, row, Anum_pg_user_mapping_umoptions);
	ReleaseSysCache(row);
	return true;
}

static char *
mapping_reference(const Image *image)
{
	return psprintf("USER MAPPING FOR %s SERVER %s", image_get(image, "", "user"),
					image_get(image, "", "server"));
}

static void
mapping_create(const Image *image, Steps *steps)
{
	step_add(steps, RANK_USER_MAPPING, RUN_CATALOG, NULL, "catalog",
			 "CREATE %s%s", image_reference(image), options_clause(image));
}

static void
mapping_drop(const Image *image, Steps *steps)
{
	drop(image, RANK_USER_MAPPING, RUN_CATALOG, steps);
}

static bool
mapping_alter(const Image *have, const Image *want, Steps *steps)
{
	char	   *change = options_change(have, want);

	if (facet_differs(have, want, "", "user") ||
		facet_differs(have, want, "", "server"))
		return false;
	if (change[0])
		step_add(steps, RANK_USER_MAPPING, RUN_CATALOG, NULL, "catalog",
				 "ALTER %s%s", image_reference(want), change);
	return true;
}

const ImageClass image_class_user_mapping = {
	.catalog = UserMappingRelationId,
	.type = "user mapping",
	.keyword = "USER MAPPING",
	.rank = RANK_USER_MAPPING,
	.read = mapping_read,
	.create = mapping_create,
	.drop = mapping_drop,
	.alter = mapping_alter,
	.reference = mapping_reference,
};
