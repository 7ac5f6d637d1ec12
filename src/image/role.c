/*-------------------------------------------------------------------------
 *
 * role.c
 *	  Images of roles: their attributes, their members, their settings.
 *
 * Roles are the cluster's; what was done to one is in the history of the
 * database in which it was done.  A password stands there as PostgreSQL stores
 * it, so what the history has of roles nobody but a superuser can read.
 *
 * A membership is a part of the image of the role that is granted; the part is
 * called as REVOKE names it, the facet says it as GRANT does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_db_role_setting.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "image/classes.h"

#define MEMBER "member"
#define SETTINGS "settings in"

/* ---- reading ---- */

static void
add_attribute(Image *image, const char *name, bool value)
{
	image_add(image, "", psprintf("can %s", name),
			  value ? name : psprintf("NO%s", name));
}

static void
read_attributes(Image *image, HeapTuple row)
{
	Form_pg_authid form = (Form_pg_authid) GETSTRUCT(row);
	bool		isnull;
	Datum		value;

	add_attribute(image, "SUPERUSER", form->rolsuper);
	add_attribute(image, "INHERIT", form->rolinherit);
	add_attribute(image, "CREATEROLE", form->rolcreaterole);
	add_attribute(image, "CREATEDB", form->rolcreatedb);
	add_attribute(image, "LOGIN", form->rolcanlogin);
	add_attribute(image, "REPLICATION", form->rolreplication);
	add_attribute(image, "BYPASSRLS", form->rolbypassrls);
	image_addf(image, "", "limit", "CONNECTION LIMIT %d", form->rolconnlimit);
	value = SysCacheGetAttr(AUTHOID, row, Anum_pg_authid_rolpassword, &isnull);
	image_addf(image, "", "password", "PASSWORD %s",
			   isnull ? "NULL" : quote_literal_cstr(TextDatumGetCString(value)));
	value = SysCacheGetAttr(AUTHOID, row, Anum_pg_authid_rolvaliduntil, &isnull);
	if (!isnull)
		image_addf(image, "", "valid until", "VALID UNTIL %s",
				   quote_literal_cstr(DatumGetCString(DirectFunctionCall1(timestamptz_out, value))));
}

/* The grantor may be gone, before 16. */
static void
read_member(Image *image, Form_pg_auth_members form)
{
	const char *member = quote_identifier(GetUserNameFromId(form->member, false));
	char	   *grantor = GetUserNameFromId(form->grantor, true);
	char	   *by = grantor ? psprintf(" GRANTED BY %s", quote_identifier(grantor)) : "";

	image_addf(image, psprintf("%s%s", member, by), MEMBER, "%s%s%s", member,
			   membership_options(form), by);
}

static void
read_members(Image *image)
{
	Relation	rel = table_open(AuthMemRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_auth_members_roleid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(image->address.objectId));
	scan = systable_beginscan(rel, AuthMemRoleMemIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		read_member(image, (Form_pg_auth_members) GETSTRUCT(tuple));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* In this or that database, or, under no name, in all of them. */
static void
read_settings(Image *image)
{
	Relation	rel = table_open(DbRoleSettingRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_db_role_setting form = (Form_pg_db_role_setting) GETSTRUCT(tuple);
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_db_role_setting_setconfig,
										 RelationGetDescr(rel), &isnull);
		char	   *database = OidIsValid(form->setdatabase) ?
		get_database_name(form->setdatabase) : "";

		if (form->setrole == image->address.objectId && !isnull && database)
			image_add(image, database, SETTINGS,
					  OidOutputFunctionCall(F_ARRAY_OUT, value));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static bool
role_read(Image *image)
{
	HeapTuple	row = SearchSysCache1(AUTHOID, ObjectIdGetDatum(image->address.objectId));

	if (!HeapTupleIsValid(row))
		return false;
	image->name = pstrdup(NameStr(((Form_pg_authid) GETSTRUCT(row))->rolname));
	image_belongs_to(image, BOOTSTRAP_SUPERUSERID);
	read_attributes(image, row);
	ReleaseSysCache(row);
	read_members(image);
	read_settings(image);
	image_read_shared_comment(image);
	return true;
}

char *
role_settings(Oid role, Oid database)
{
	Relation	rel = table_open(DbRoleSettingRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *settings = NULL;

	ScanKeyInit(&key[0], Anum_pg_db_role_setting_setdatabase, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(database));
	ScanKeyInit(&key[1], Anum_pg_db_role_setting_setrole, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(role));
	scan = systable_beginscan(rel, DbRoleSettingDatidRolidIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_db_role_setting_setconfig,
										 RelationGetDescr(rel), &isnull);

		if (!isnull)
			settings = OidOutputFunctionCall(F_ARRAY_OUT, value);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return settings;
}

/* ---- steps ---- */

static bool
is_attribute(const Facet *facet)
{
	return facet->name[0] != '@' && !facet_is_common(facet->name) &&
		strcmp(facet->name, MEMBER) != 0 && strcmp(facet->name, SETTINGS) != 0;
}

/* Those of want that have has not; have may be NULL. */
static char *
attributes(const Image *have, const Image *want)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, want->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (!is_attribute(facet) || (have && !facet_differs(have, want, "", facet->name)))
			continue;
		appendStringInfo(&buf, " %s", facet->value);
	}
	return buf.data;
}

static void
add_step(Steps *steps, int rank, char *sql)
{
	step_add(steps, rank, RUN_SUPERUSER, NULL, "catalog", "%s", sql);
}

static void
settings_step(const Image *image, const char *database, const char *settings,
			  Steps *steps)
{
	add_step(steps, RANK_ROLE + 1,
			 psprintf("SELECT safemig.set_role_settings(%s, %s, %s)",
					  quote_literal_cstr(image->name), quote_literal_cstr(database),
					  settings ? quote_literal_cstr(settings) : "NULL"));
}

/* Before a role that is a member goes. */
static void
revoke_from(const Image *image, const char *member, Steps *steps)
{
	bool		dropping = steps->dropping;

	steps->dropping = true;
	add_step(steps, RANK_ROLE + 1,
			 psprintf("REVOKE %s FROM %s", quote_identifier(image->name), member));
	steps->dropping = dropping;
}

/* Members and settings that have has not, or has otherwise; it may be NULL. */
static void
add_parts(const Image *have, const Image *want, Steps *steps)
{
	const char *role = quote_identifier(want->name);
	ListCell   *lc;

	foreach(lc, want->facets)
	{
		Facet	   *facet = lfirst(lc);
		const char *now = have ? image_get(have, facet->part, facet->name) : NULL;

		if (now && strcmp(now, facet->value) == 0)
			continue;
		if (strcmp(facet->name, MEMBER) == 0)
		{
			if (now)
				revoke_from(want, facet->part, steps);
			add_step(steps, RANK_ROLE + 1, psprintf("GRANT %s TO %s", role, facet->value));
		}
		else if (strcmp(facet->name, SETTINGS) == 0)
			settings_step(want, facet->part, facet->value, steps);
	}
}

static void
remove_parts(const Image *have, const Image *want, Steps *steps)
{
	ListCell   *lc;

	foreach(lc, have->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (image_get(want, facet->part, facet->name))
			continue;
		if (strcmp(facet->name, MEMBER) == 0)
			revoke_from(want, facet->part, steps);
		else if (strcmp(facet->name, SETTINGS) == 0)
			settings_step(want, facet->part, NULL, steps);
	}
}

static void
role_create(const Image *image, Steps *steps)
{
	add_step(steps, RANK_ROLE, psprintf("CREATE ROLE %s%s", quote_identifier(image->name),
										attributes(NULL, image)));
	add_parts(NULL, image, steps);
}

static void
role_drop(const Image *image, Steps *steps)
{
	add_step(steps, RANK_ROLE, psprintf("DROP ROLE %s", quote_identifier(image->name)));
}

static bool
role_alter(const Image *have, const Image *want, Steps *steps)
{
	char	   *changed = attributes(have, want);

	if (changed[0])
		add_step(steps, RANK_ROLE, psprintf("ALTER ROLE %s%s", quote_identifier(want->name),
											changed));
	/* for ever, which ALTER ROLE can say, is not the same as never said */
	if (image_get(have, "", "valid until") && image_get(want, "", "valid until") == NULL)
		add_step(steps, RANK_ROLE,
				 psprintf("SELECT safemig.unset_valid_until(%s)", quote_literal_cstr(want->name)));
	remove_parts(have, want, steps);
	add_parts(have, want, steps);
	return true;
}

const ImageClass image_class_role = {
	.catalog = AuthIdRelationId,
	.type = "role",
	.keyword = "ROLE",
	.rank = RANK_ROLE,
	.read = role_read,
	.create = role_create,
	.drop = role_drop,
	.alter = role_alter,
};
