/*-------------------------------------------------------------------------
 *
 * record.c
 *	  The end of a command: what it has changed is found and written down with
 *	  the reverse.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "tcop/tcopprot.h"
#include "utils/lsyscache.h"

#include "advise/advise.h"
#include "capture/capture.h"
#include "history/history.h"
#include "point.h"

/* ---- checks ---- */

/* The relation itself, or the very column that was lost; not another one. */
static bool
was_created(Command *command, const ObjectAddress *lost)
{
	ListCell   *lc;

	foreach(lc, command->created)
	{
		ObjectAddress *address = lfirst(lc);

		if (address->classId == RelationRelationId && address->objectId == lost->objectId &&
			(address->objectSubId == 0 || address->objectSubId == lost->objectSubId))
			return true;
	}
	return false;
}

static bool
was_kept(Command *command, const LostData *lost)
{
	Image	   *image = command_find_before(command, &lost->address);
	ListCell   *lc;

	if (image == NULL)
		return false;
	if (image->kept != 0)
		return true;
	if (lost->address.objectSubId == 0)
		return false;
	foreach(lc, image->facets)
	{
		Facet	   *facet = lfirst(lc);
		const char *attnum = image_get(image, facet->part, "@attnum");

		if (strcmp(facet->name, "@kept") == 0 && attnum &&
			atoi(attnum) == lost->address.objectSubId)
			return true;
	}
	return false;
}

/* Why, where it was on purpose and not for a rollback. */
static const char *
lost_on_purpose(void)
{
	if (safemig_state.record_id || !is_discarding())
		return "";
	return psprintf(" (%s)", discard_reason());
}

/*
 * Rows or values that PostgreSQL deleted without their having been kept:
 * somebody else added to what the command takes along, between the look at
 * it and the command itself.
 */
static void
check_nothing_lost(Command *command, Steps *steps)
{
	ListCell   *lc;

	foreach(lc, command->dropped)
	{
		LostData   *lost = lfirst(lc);

		if (lost->from_vault)
			ereport(ERROR,
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("%s would be dropped, with rows that safemig keeps",
							lost->description),
					 errhint("SELECT * FROM safemig.kept WHERE state = 'kept'; shows what needs what is to be dropped. Roll those migrations back, or prune them, first.")));
		if (was_created(command, &lost->address) ||
			was_kept(command, lost))
			continue;
		if (command->concurrent ||
			is_discarding() ||
			(command->parsetree && IsA(command->parsetree, DropStmt) &&
			 ((DropStmt *) command->parsetree)->removeType == OBJECT_EXTENSION))
			steps_irreversible(steps, "the rows of %s were not kept%s",
							   lost->description, lost_on_purpose());
		else
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("%s appeared while it was being determined what the command drops",
							lost->description),
					 errdetail("Its rows have not been kept."),
					 errhint("Try the command again.")));
	}
}

/* Its text may contain a password: it is not stored. */
static bool
command_holds_secrets(const char *tag)
{
	return strstr(tag, "USER MAPPING") != NULL ||
		strstr(tag, "SUBSCRIPTION") != NULL || strstr(tag, "SERVER") != NULL ||
		strstr(tag, " ROLE") != NULL;
}

/* Is there a literal right behind the word, as in PASSWORD 'x'? */
static bool
literal_follows(const char *text, const char *word)
{
	size_t		len = strlen(word);

	for (; *text; text++)
	{
		const char *after = text + len;

		if (pg_strncasecmp(text, word, len) != 0)
			continue;
		while (isspace((unsigned char) *after) || *after == '"')
			after++;
		if (*after != '\0' && strchr("'$=", *after))
			return true;
		/* E'x', U&'x' */
		if ((after[0] == 'E' || after[0] == 'e') && after[1] == '\'')
			return true;
		if ((after[0] == 'U' || after[0] == 'u') && after[1] == '&')
			return true;
	}
	return false;
}

/*
 * The text that a client sent may hold more than the command: what else is in
 * a string of several, or in a DO block.  NULL if it is not to be stored.
 */
const char *
command_text(const char *tag, const char *text)
{
	if (text == NULL || command_holds_secrets(tag) ||
		literal_follows(text, "password") || literal_follows(text, "connection"))
		return NULL;
	return text;
}

static void
report_irreversible(const Command *command, const char *reason)
{
	if (safemig_require_reversible)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_IRREVERSIBLE),
				 errmsg("%s is irreversible: %s", command->tag, reason),
				 errhint("SET safemig.require_reversible = off to run it all the same.")));
	/* not to keep what a rollback takes away was asked for */
	if (safemig_state.record_id && !safemig_keep_undone)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_SAFEMIG_IRREVERSIBLE),
			 errmsg("%s is irreversible: %s", command->tag, reason)));
}

/* Whoever drops tables may expect to get their space back. */
static void
report_kept(const Command *command)
{
	const char *first = NULL;
	int			tables = 0;
	ListCell   *lc;

	if (!safemig_notices || safemig_state.record_id)
		return;
	foreach(lc, command->before)
	{
		const Image *image = lfirst(lc);

		if (image->kept == 0 || image->address.classId != RelationRelationId ||
			strcmp(image->type, "sequence") == 0)
			continue;
		if (tables++ == 0)
			first = image_address_key(image);
	}
	if (tables == 0)
		return;
	ereport(NOTICE,
			(tables == 1 ? errmsg("%s is kept, with its rows", first) :
			 errmsg("%d tables are kept, with their rows", tables),
			 tables == 1 ? errhint("SELECT safemig_prune(%lld); frees its space for good.",
								   (long long) command->migration) :
			 errhint("SELECT safemig_prune(%lld); frees their space for good.",
					 (long long) command->migration)));
}

/* ---- the whole ---- */

static void
write_down(Command *command, List *changes, Steps *steps)
{
	RecordedCommand record = {0};
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, command->start);
	if (command->unfinished)
		history_forget_command(command->seq);
	command_identify(command);
	policy_note_overrides(command->migration);
	record.seq = command->seq;
	record.migration = command->migration;
	record.tag = pstrdup(command->tag);
	record.irreversible = steps->irreversible;
	record.unkept = command->stays;
	record.steps = steps->list;
	record.changes = changes;
	record.facts = observed_facts(command, INSTR_TIME_GET_MILLISEC(now));
	history_write_command(&record,
						  command_text(command->tag, debug_query_string),
						  command->search_path, command->started,
						  INSTR_TIME_GET_MILLISEC(now), command->rewrote);
}

static void
note_positions_after(Command *command)
{
	ListCell   *lc;

	foreach(lc, command->roots)
	{
		Image	   *image = command_find_before(command, lfirst(lc));

		if (image && image->kept && strcmp(image->type, "sequence") == 0 &&
			OidIsValid(get_rel_namespace(image->address.objectId)))
			sequence_note_after(image->kept, image->address.objectId);
	}
}

void
command_record(Command *command)
{
	MemoryContext old = MemoryContextSwitchTo(command->context);
	Frame		frame;
	Steps		steps;
	List	   *changes = NIL;
	ListCell   *lc;

	frame_become_owner(&frame);
	own_work_begin();
	steps_init(&steps);
	steps.around_replacement = replace_dependants;
	foreach(lc, command->values)
		column_keep_finish(*(int64 *) lfirst(lc));
	if (command->moves_sequence)
		note_positions_after(command);
	if (command->failed == NULL)
	{
		check_nothing_lost(command, &steps);
		if (command->unproved)
			steps_irreversible(&steps, "%s", command->unproved);
		changes = command_changes(command);
		SAFEMIG_POINT("record.compared");
	}
	if (command->failed)
	{
		steps_irreversible(&steps, "it could not be captured: %s", command->failed);
		write_down(command, NIL, &steps);
	}
	else if (command->seq == 0 && framework_owns_all(command, changes))
		;						/* not a migration */
	else if (changes != NIL || command->data_only || command->seq)
	{
		command_reverse(command, changes, &steps);
		SAFEMIG_POINT("record.reverse");
		write_down(command, changes, &steps);
		framework_histories_gone(command);
		framework_histories_renamed(changes);
		failures_write();
		SAFEMIG_POINT("record.written");
	}
	own_work_end();
	frame_unpin(&frame);
	MemoryContextSwitchTo(old);
	if (steps.irreversible)
		report_irreversible(command, steps.irreversible);
	else
		report_kept(command);
}

/*
 * Has a command that commits in the middle of itself done something by now
 * that a failure would leave behind?
 */
static bool
leaves_something(const Command *command)
{
	/* an index that is there will not be there in another way */
	if (IsA(command->parsetree, IndexStmt))
		return command->created != NIL && !command->unfinished;
	/* the other index goes by several names on its way */
	if (IsA(command->parsetree, ReindexStmt))
		return command->created != NIL;
	return true;
}

/*
 * Called before a commit.  CREATE INDEX CONCURRENTLY commits the index before
 * it builds it, DROP INDEX CONCURRENTLY and DETACH PARTITION CONCURRENTLY mark
 * what is to go, and wait: the command is on record from there on, since one
 * that fails then leaves that, and comes to no end event.
 */
void
command_record_unfinished(void)
{
	Command    *command = command_top();

	if (command && command->concurrent)
		observed_commits(command);
	if (command == NULL || !command->concurrent ||
		(command->seq != 0 && !command->unfinished) ||
		!leaves_something(command))
		return;
	/* what was done last is not visible to our own look at it yet */
	CommandCounterIncrement();
	command_record(command);
	SAFEMIG_POINT("record.unfinished");
	command->unfinished = command->seq != 0;
}
