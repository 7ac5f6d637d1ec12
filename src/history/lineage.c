/*-------------------------------------------------------------------------
 *
 * lineage.c
 *	  safemig_history: who changed a relation, when, by which migration.
 *
 * The history is read backwards from the present.  A relation is followed by
 * its identity, not by its OID, since it has another one after a restore or
 * after it was dropped and made again; where a command gave it its name, the
 * walk goes on under the name before.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "history/history.h"

PG_FUNCTION_INFO_V1(safemig_history);

/* A row of change_log that concerns the relation, with its migration. */
typedef struct Event
{
	int64		seq;
	int64		migration;
	char	   *tag;
	char		action;
	char	   *type;
	bool		relation;		/* the relation itself, not what lives in it */
	char	   *identity_before;	/* may be NULL */
	char	   *identity_after; /* may be NULL */
	Image	   *before;
	Image	   *after;
	char	   *role;
	char	   *label;			/* may be NULL */
	char	   *kind;
	char	   *state;
	Datum		started;
} Event;

/* ---- what changed, in words ---- */

static void
say(StringInfo buf, const char *fmt,...) pg_attribute_printf(2, 3);

static void
say(StringInfo buf, const char *fmt,...)
{
	va_list		args;
	int			needed;

	if (buf->len)
		appendStringInfoString(buf, ", ");
	for (;;)
	{
		va_start(args, fmt);
		needed = appendStringInfoVA(buf, fmt, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(buf, needed);
	}
}

static bool
has_column(const Image *image, const char *part)
{
	return image_get(image, part, "type") != NULL;
}

/* The column of image that has the attribute number which other's part has. */
static const char *
same_attribute(const Image *image, const Image *other, const char *part)
{
	const char *attnum = image_get(other, part, "@attnum");
	ListCell   *lc;

	foreach(lc, image->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (attnum && strcmp(facet->name, "@attnum") == 0 &&
			strcmp(facet->value, attnum) == 0)
			return facet->part;
	}
	return NULL;
}

static void
describe_columns(StringInfo buf, const Image *before, const Image *after)
{
	ListCell   *lc;

	foreach(lc, before->facets)
	{
		Facet	   *facet = lfirst(lc);
		const char *now;

		if (facet->part[0] == '\0' || strcmp(facet->name, "type") != 0 ||
			has_column(after, facet->part))
			continue;
		now = same_attribute(after, before, facet->part);
		if (now)
			say(buf, "column %s renamed to %s", facet->part, now);
		else
			say(buf, "column %s dropped", facet->part);
	}
	foreach(lc, after->facets)
	{
		Facet	   *facet = lfirst(lc);

		if (facet->part[0] && strcmp(facet->name, "type") == 0 &&
			!has_column(before, facet->part) &&
			same_attribute(before, after, facet->part) == NULL)
			say(buf, "column %s added", facet->part);
	}
}

typedef struct Description
{
	const Event *event;
	bool		renamed;
	StringInfoData buf;
} Description;

static void
describe_facet(void *arg, const char *part, const char *name,
			   const char *a, const char *b)
{
	Description *description = arg;
	const Event *event = description->event;

	if (part[0] == '\0')
	{
		/* told by its identities */
		if (strcmp(name, "name") != 0 && strcmp(name, "schema") != 0)
			say(&description->buf, "%s", name);
	}
	/* a name that was the default follows from the table's no more */
	else if (description->renamed && strcmp(name, "notnull name") == 0)
		return;
	else if (has_column(event->before, part) && has_column(event->after, part))
		say(&description->buf, "column %s %s", part, name);
}

/* NULL: nothing that anybody did to it. */
static char *
describe(const Event *event, const char *identity)
{
	Description description = {event};
	StringInfo	buf = &description.buf;
	bool		renamed = event->identity_before && event->identity_after &&
		strcmp(event->identity_before, event->identity_after) != 0;

	if (event->action == 'r' && !(event->relation && renamed))
		return NULL;
	if (event->identity_before == NULL)
		return pstrdup("created");
	if (event->identity_after == NULL)
		return pstrdup("dropped");
	initStringInfo(buf);
	description.renamed = renamed;
	if (renamed)
	{
		if (strcmp(event->identity_after, identity) == 0 || !event->relation)
			say(buf, "renamed from %s", event->identity_before);
		else
			say(buf, "renamed to %s", event->identity_after);
	}
	if (event->before && event->after)
	{
		describe_columns(buf, event->before, event->after);
		image_compare(event->before, event->after, describe_facet, &description);
	}
	if (buf->len == 0)
		say(buf, "contents");
	return buf->data;
}

/* ---- reading ---- */

static Event *
event_from_tuple(HeapTuple tuple, TupleDesc desc)
{
	Event	   *event = palloc0(sizeof(Event));
	bool		isnull;

	event->seq = DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
	event->migration = DatumGetInt64(SPI_getbinval(tuple, desc, 2, &isnull));
	event->tag = SPI_getvalue(tuple, desc, 3);
	event->action = SPI_getvalue(tuple, desc, 4)[0];
	event->type = SPI_getvalue(tuple, desc, 5);
	event->relation = DatumGetObjectId(SPI_getbinval(tuple, desc, 6, &isnull)) == RelationRelationId;
	event->identity_before = SPI_getvalue(tuple, desc, 7);
	event->identity_after = SPI_getvalue(tuple, desc, 8);
	history_read_images(tuple, 9, &event->before, &event->after);
	event->role = SPI_getvalue(tuple, desc, 12);
	event->label = SPI_getvalue(tuple, desc, 13);
	event->kind = SPI_getvalue(tuple, desc, 14);
	event->state = SPI_getvalue(tuple, desc, 15);
	event->started = SPI_getbinval(tuple, desc, 16, &isnull);
	return event;
}

/*
 * What is recorded of the relation under this name before a command, newest
 * first.  A baseline looks at everything and changes nothing.
 */
static List *
read_events(const char *identity, int64 before_seq)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			types[2] = {TEXTOID, INT8OID};
	Datum		args[2] = {CStringGetTextDatum(identity), Int64GetDatum(before_seq)};
	List	   *events = NIL;

	SPI_connect();
	if (SPI_execute_with_args("SELECT c.command, c.migration, l.tag, c.action, c.type, c.classid,"
							  " c.identity_before, c.identity_after, c.before, c.after, c.server,"
							  " m.session_role, m.label, m.kind, m.state, l.started_at"
							  " FROM safemig.change_log c"
							  " JOIN safemig.command_log l ON l.seq OPERATOR(pg_catalog.=) c.command"
							  " JOIN safemig.migration_log m ON m.id OPERATOR(pg_catalog.=) c.migration"
							  " WHERE c.command OPERATOR(pg_catalog.<) $2"
							  " AND m.kind OPERATOR(pg_catalog.<>) 'baseline'"
							  " AND ((c.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass"
							  " AND (c.identity_before OPERATOR(pg_catalog.=) $1"
							  " OR c.identity_after OPERATOR(pg_catalog.=) $1))"
							  " OR (c.parent OPERATOR(pg_catalog.=) $1"
							  " AND c.type OPERATOR(pg_catalog.<>) 'domain constraint'))"
							  " ORDER BY c.command DESC, c.ord",
							  2, types, args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read change_log");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		events = lappend(events, event_from_tuple(SPI_tuptable->vals[i],
												  SPI_tuptable->tupdesc));
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return events;
}

/* ---- the walk ---- */

static Datum
optional_text(const char *value, bool *isnull)
{
	*isnull = value == NULL;
	return value ? CStringGetTextDatum(value) : (Datum) 0;
}

static void
put_event(ReturnSetInfo *result, Event *event, const char *what)
{
	const char *identity = event->identity_before ? event->identity_before :
		event->identity_after;
	Datum		values[10];
	bool		nulls[10] = {false};

	values[0] = Int64GetDatum(event->migration);
	values[1] = CStringGetTextDatum(event->tag);
	values[2] = CStringGetTextDatum(psprintf("%s %s", event->type, identity));
	values[3] = CStringGetTextDatum(what);
	values[4] = CStringGetTextDatum(event->role);
	values[5] = optional_text(event->label, &nulls[5]);
	values[6] = CStringGetTextDatum(event->kind);
	values[7] = CStringGetTextDatum(event->state);
	values[8] = Int64GetDatum(event->seq);
	values[9] = event->started;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static bool
is_itself(const Event *event, const char *identity)
{
	return event->relation &&
		((event->identity_before && strcmp(event->identity_before, identity) == 0) ||
		 (event->identity_after && strcmp(event->identity_after, identity) == 0));
}

/* Was the relation made or dropped by this command?  Then so was all in it. */
static bool
comes_or_goes(List *events, int64 seq, const char *identity)
{
	ListCell   *lc;

	foreach(lc, events)
	{
		Event	   *event = lfirst(lc);

		if (event->seq == seq && is_itself(event, identity) &&
			(event->identity_before == NULL || event->identity_after == NULL))
			return true;
	}
	return false;
}

/*
 * Puts out what was done under this name.  Returns the name before it and the
 * command that changed it, or NULL if it always had this one.
 */
static char *
walk(ReturnSetInfo *result, const char *identity, int64 *before_seq)
{
	List	   *events = read_events(identity, *before_seq);
	int64		whole = 0;		/* the command that made or dropped it */
	int64		seq = 0;
	char	   *name_before = NULL;
	ListCell   *lc;

	foreach(lc, events)
	{
		Event	   *event = lfirst(lc);
		char	   *what = describe(event, identity);

		if (name_before && event->seq != *before_seq)
			break;
		if (event->seq != seq && comes_or_goes(events, event->seq, identity))
			whole = event->seq;
		seq = event->seq;
		if (event->relation && event->identity_before && event->identity_after &&
			strcmp(event->identity_after, identity) == 0 &&
			strcmp(event->identity_before, identity) != 0)
		{
			name_before = event->identity_before;
			*before_seq = event->seq;
		}
		if (what && (is_itself(event, identity) || event->seq != whole))
			put_event(result, event, what);
	}
	return name_before;
}

static void
check_may_look(Oid relid)
{
	char	   *name = get_rel_name(relid);

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (!object_ownercheck(RelationRelationId, relid, GetUserId()) &&
		!is_administrator(GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER,
					   get_relkind_objtype(get_rel_relkind(relid)), name);
}

Datum
safemig_history(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			relid = PG_GETARG_OID(0);
	int64		before_seq = PG_INT64_MAX;
	ObjectAddress address;
	Frame		frame;
	char	   *identity;

	check_may_look(relid);
	InitMaterializedSRF(fcinfo, 0);
	frame_become_owner(&frame);
	ObjectAddressSet(address, RelationRelationId, relid);
	identity = getObjectIdentity(&address, false);
	while (identity)
		identity = walk(result, identity, &before_seq);
	frame_unpin(&frame);
	return (Datum) 0;
}
