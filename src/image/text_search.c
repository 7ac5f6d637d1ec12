/*-------------------------------------------------------------------------
 *
 * text_search.c
 *	  Images of text search parsers, templates, dictionaries and
 *	  configurations.
 *
 * Parsers and templates have no owner: only a superuser makes or drops one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_ts_config.h"
#include "catalog/pg_ts_config_map.h"
#include "catalog/pg_ts_dict.h"
#include "catalog/pg_ts_parser.h"
#include "catalog/pg_ts_template.h"
#include "commands/defrem.h"
#include "nodes/parsenodes.h"
#include "tsearch/ts_cache.h"
#include "tsearch/ts_public.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "image/classes.h"

static void
add_function(Image *image, const char *name, Oid function)
{
	if (OidIsValid(function))
		image_add(image, "", name, function_name_sql(function));
}

/* "CREATE <keyword> name (parameter = value, ...)" */
static void
define(const Image *image, StepMode mode, const char *const *parameters,
	   size_t nparameters, Steps *steps)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (size_t i = 0; i < nparameters; i++)
	{
		const char *value = image_get(image, "", parameters[i]);

		if (value)
			appendStringInfo(&buf, "%s%s = %s", buf.len ? ", " : "",
							 parameters[i], value);
	}
	step_add(steps, RANK_FUNCTION, mode, NULL, "catalog", "CREATE %s (%s)",
			 image_reference(image), buf.data);
}

static void
drop(const Image *image, StepMode mode, Steps *steps)
{
	step_add(steps, RANK_FUNCTION, mode, "ACCESS EXCLUSIVE", "catalog",
			 "DROP %s", image_reference(image));
}

static void
superuser_drop(const Image *image, Steps *steps)
{
	drop(image, RUN_SUPERUSER, steps);
}

static void
plain_drop(const Image *image, Steps *steps)
{
	drop(image, RUN_CATALOG, steps);
}

/* ---- parsers ---- */

static const char *const parser_parameters[] = {
	"start", "gettoken", "end", "headline", "lextypes"
};

static bool
parser_read(Image *image)
{
	HeapTuple	row = SearchSysCache1(TSPARSEROID,
									  ObjectIdGetDatum(image->address.objectId));
	Form_pg_ts_parser form;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_ts_parser) GETSTRUCT(row);
	image->schema = get_namespace_name(form->prsnamespace);
	image->name = pstrdup(NameStr(form->prsname));
	add_function(image, "start", form->prsstart);
	add_function(image, "gettoken", form->prstoken);
	add_function(image, "end", form->prsend);
	add_function(image, "headline", form->prsheadline);
	add_function(image, "lextypes", form->prslextype);
	ReleaseSysCache(row);
	return true;
}

static void
parser_create(const Image *image, Steps *steps)
{
	define(image, RUN_SUPERUSER, parser_parameters, lengthof(parser_parameters),
		   steps);
}

const ImageClass image_class_text_search_parser = {
	.catalog = TSParserRelationId,
	.type = "text search parser",
	.keyword = "TEXT SEARCH PARSER",
	.rank = RANK_FUNCTION,
	.read = parser_read,
	.create = parser_create,
	.drop = superuser_drop,
};

/* ---- templates ---- */

static const char *const template_parameters[] = {"init", "lexize"};

static bool
template_read(Image *image)
{
	HeapTuple	row = SearchSysCache1(TSTEMPLATEOID,
									  ObjectIdGetDatum(image->address.objectId));
	Form_pg_ts_template form;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_ts_template) GETSTRUCT(row);
	image->schema = get_namespace_name(form->tmplnamespace);
	image->name = pstrdup(NameStr(form->tmplname));
	add_function(image, "init", form->tmplinit);
	add_function(image, "lexize", form->tmpllexize);
	ReleaseSysCache(row);
	return true;
}

static void
template_create(const Image *image, Steps *steps)
{
	define(image, RUN_SUPERUSER, template_parameters,
		   lengthof(template_parameters), steps);
}

const ImageClass image_class_text_search_template = {
	.catalog = TSTemplateRelationId,
	.type = "text search template",
	.keyword = "TEXT SEARCH TEMPLATE",
	.rank = RANK_FUNCTION,
	.read = template_read,
	.create = template_create,
	.drop = superuser_drop,
};

/* ---- dictionaries ---- */

static bool
dictionary_read(Image *image)
{
	HeapTuple	row = SearchSysCache1(TSDICTOID,
									  ObjectIdGetDatum(image->address.objectId));
	Form_pg_ts_dict form;
	Datum		options;
	bool		isnull;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_ts_dict) GETSTRUCT(row);
	image->schema = get_namespace_name(form->dictnamespace);
	image->name = pstrdup(NameStr(form->dictname));
	image_add_owner(image, form->dictowner);
	image_add(image, "", "template",
			  object_identity(TSTemplateRelationId, form->dicttemplate));
	/* already in the form of SQL: name = 'value', ... */
	options = SysCacheGetAttr(TSDICTOID, row, Anum_pg_ts_dict_dictinitoption,
							  &isnull);
	if (!isnull)
		image_add(image, "", "options", TextDatumGetCString(options));
	ReleaseSysCache(row);
	return true;
}

static void
dictionary_create(const Image *image, Steps *steps)
{
	const char *options = image_get(image, "", "options");

	step_add(steps, RANK_FUNCTION, RUN_CATALOG, NULL, "catalog",
			 "CREATE %s (template = %s%s%s)", image_reference(image),
			 image_get(image, "", "template"), options ? ", " : "",
			 options ? options : "");
}

/* The names of the options; named without a value, an option is taken away. */
static char *
option_names(const char *options)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, deserialize_deflist(CStringGetTextDatum(options)))
		appendStringInfo(&buf, "%s%s", buf.len ? ", " : "",
						 quote_identifier(((DefElem *) lfirst(lc))->defname));
	return buf.data;
}

/*
 * What is set goes to the end of the list, and pg_dump shows their order: so
 * all are taken away, then all set.
 */
static bool
dictionary_alter(const Image *have, const Image *want, Steps *steps)
{
	const char *now = image_get(have, "", "options");
	const char *then = image_get(want, "", "options");

	if (facet_differs(have, want, "", "template"))
		return false;
	step_add(steps, RANK_FUNCTION, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
			 "ALTER %s (%s%s%s)", image_reference(want),
			 now ? option_names(now) : "", now && then ? ", " : "",
			 then ? then : "");
	return true;
}

const ImageClass image_class_text_search_dictionary = {
	.catalog = TSDictionaryRelationId,
	.type = "text search dictionary",
	.keyword = "TEXT SEARCH DICTIONARY",
	.rank = RANK_FUNCTION,
	.read = dictionary_read,
	.create = dictionary_create,
	.drop = plain_drop,
	.alter = dictionary_alter,
};

/* ---- configurations ---- */

/* What the parser calls its tokens. */
static char *
token_name(List *tokens, int32 id)
{
	ListCell   *lc;

	foreach(lc, tokens)
	{
		LexDescr   *token = lfirst(lc);

		if (token->lexid == id)
			return token->alias;
	}
	return NULL;
}

static List *
parser_tokens(Oid parser)
{
	TSParserCacheEntry *entry = lookup_ts_parser_cache(parser);
	LexDescr   *descriptions;
	List	   *tokens = NIL;

	if (!OidIsValid(entry->lextypeOid))
		return NIL;
	descriptions = (LexDescr *) DatumGetPointer(OidFunctionCall1(entry->lextypeOid, (Datum) 0));
	for (LexDescr *token = descriptions; token && token->lexid; token++)
		tokens = lappend(tokens, token);
	return tokens;
}

/* A part for each kind of token: its dictionaries in their order. */
static void
read_mappings(Image *image, Oid config, Oid parser)
{
	List	   *tokens = parser_tokens(parser);
	Relation	rel = table_open(TSConfigMapRelationId, AccessShareLock);
	Relation	index = index_open(TSConfigMapIndexId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	StringInfoData buf;
	int32		current = 0;

	initStringInfo(&buf);
	ScanKeyInit(&key, Anum_pg_ts_config_map_mapcfg, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(config));
	scan = systable_beginscan_ordered(rel, index, NULL, 1, &key);
	for (;;)
	{
		Form_pg_ts_config_map form;

		tuple = systable_getnext_ordered(scan, ForwardScanDirection);
		form = HeapTupleIsValid(tuple) ?
			(Form_pg_ts_config_map) GETSTRUCT(tuple) : NULL;
		if (buf.len && (form == NULL || form->maptokentype != current))
		{
			char	   *name = token_name(tokens, current);

			if (name)
				image_add(image, name, "mapping", buf.data);
			resetStringInfo(&buf);
		}
		if (form == NULL)
			break;
		current = form->maptokentype;
		appendStringInfo(&buf, "%s%s", buf.len ? ", " : "",
						 object_identity(TSDictionaryRelationId, form->mapdict));
	}
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
}

static bool
configuration_read(Image *image)
{
	HeapTuple	row = SearchSysCache1(TSCONFIGOID,
									  ObjectIdGetDatum(image->address.objectId));
	Form_pg_ts_config form;

	if (!HeapTupleIsValid(row))
		return false;
	form = (Form_pg_ts_config) GETSTRUCT(row);
	image->schema = get_namespace_name(form->cfgnamespace);
	image->name = pstrdup(NameStr(form->cfgname));
	image_add_owner(image, form->cfgowner);
	image_add(image, "", "parser",
			  object_identity(TSParserRelationId, form->cfgparser));
	read_mappings(image, form->oid, form->cfgparser);
	ReleaseSysCache(row);
	return true;
}

static void
mapping_step(const Image *image, const Facet *facet, const char *action,
			 Steps *steps)
{
	bool		drop = strcmp(action, "DROP") == 0;

	step_add(steps, RANK_FUNCTION, RUN_CATALOG, "ACCESS EXCLUSIVE", "catalog",
			 "ALTER %s %s MAPPING FOR %s%s%s", image_reference(image), action,
			 quote_identifier(facet->part), drop ? "" : " WITH ",
			 drop ? "" : facet->value);
}

static void
configuration_create(const Image *image, Steps *steps)
{
	ListCell   *lc;

	step_add(steps, RANK_FUNCTION, RUN_CATALOG, NULL, "catalog",
			 "CREATE %s (parser = %s)", image_reference(image),
			 image_get(image, "", "parser"));
	foreach(lc, image->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (strcmp(facet->name, "mapping") == 0)
			mapping_step(image, facet, "ADD", steps);
	}
}

static bool
configuration_alter(const Image *have, const Image *want, Steps *steps)
{
	ListCell   *lc;

	if (facet_differs(have, want, "", "parser"))
		return false;
	foreach(lc, have->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (strcmp(facet->name, "mapping") == 0 &&
			image_get(want, facet->part, "mapping") == NULL)
			mapping_step(want, facet, "DROP", steps);
	}
	foreach(lc, want->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (strcmp(facet->name, "mapping") == 0 &&
			facet_differs(have, want, facet->part, "mapping"))
			mapping_step(want, facet,
						 image_get(have, facet->part, "mapping") ? "ALTER" : "ADD",
						 steps);
	}
	return true;
}

const ImageClass image_class_text_search_configuration = {
	.catalog = TSConfigRelationId,
	.type = "text search configuration",
	.keyword = "TEXT SEARCH CONFIGURATION",
	.rank = RANK_FUNCTION,
	.read = configuration_read,
	.create = configuration_create,
	.drop = plain_drop,
	.alter = configuration_alter,
};
