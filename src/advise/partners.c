/*-------------------------------------------------------------------------
 *
 * partners.c
 *	  The other tables that foreign keys have locked.
 *
 * A key has triggers on both sides, and on each partition of either.  Where a
 * partition comes along with a key of its own that becomes part of the one of
 * the whole, its triggers on the referenced side are dropped.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "advise/advise.h"

void
takes_tree(Assessment *a, Oid relid, LOCKMODE mode)
{
	takes(a, target_of_relation(relid), mode);
	takes_relations(a, facts_below(relid), mode);
}

/* What inherits otherwise has no part in keys. */
static void
takes_with_partitions(Assessment *a, Oid relid, LOCKMODE mode)
{
	if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
		takes_tree(a, relid, mode);
	else
		takes(a, target_of_relation(relid), mode);
}

/* ---- what a key refers to ---- */

/* Tables that keys of relid refer to, itself among them. */
static List *
referenced_by(Oid relid)
{
	return facts_oids("SELECT DISTINCT confrelid FROM pg_constraint WHERE contype = 'f'"
					  " AND conrelid = $1 AND $2 = 0 ORDER BY 1", relid, 0);
}

/* Tables whose keys refer to relid, itself among them; not their partitions. */
static List *
referring_to(Oid relid)
{
	return facts_oids("SELECT DISTINCT k.conrelid FROM pg_constraint k WHERE k.contype = 'f'"
					  " AND k.confrelid = $1 AND $2 = 0 AND NOT EXISTS (SELECT FROM pg_constraint up"
					  " WHERE up.oid = k.conparentid AND up.confrelid = $1) ORDER BY 1", relid, 0);
}

/* The names of a key's columns, quoted, with commas between them. */
#define COLUMNS_OF(key) \
	"(SELECT string_agg(quote_ident(a.attname), ',' ORDER BY c.n)" \
	" FROM unnest(" key ".conkey) WITH ORDINALITY c (attnum, n)" \
	" JOIN pg_attribute a ON a.attrelid = " key ".conrelid AND a.attnum = c.attnum)"

/* Has the table a key of its own that is the same, so that it becomes a part? */
static bool
has_same_key(Oid relid, Oid referenced, const Constraint *key, const char *columns)
{
	return facts_number(psprintf("SELECT count(*) FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid = $1"
								 " AND k.confrelid = %u AND k.conparentid = 0 AND k.convalidated AND $2 = 0"
								 " AND k.confupdtype = '%c' AND k.confdeltype = '%c' AND k.confmatchtype = '%c'"
								 " AND k.condeferrable = %s AND k.condeferred = %s AND " COLUMNS_OF("k") " = %s",
								 referenced, key->fk_upd_action, key->fk_del_action, key->fk_matchtype,
								 key->deferrable ? "true" : "false", key->initdeferred ? "true" : "false",
								 quote_literal_cstr(columns)), relid, 0) > 0;
}

/* Likewise a partition, as a key that its parent-to-be has to that table? */
static bool
key_is_merged(Oid parent, Oid child, Oid referenced)
{
	return facts_number(psprintf("SELECT count(*) FROM pg_constraint p JOIN pg_constraint k"
								 " ON k.confrelid = p.confrelid AND k.confkey = p.confkey AND k.contype = 'f'"
								 " AND k.confupdtype = p.confupdtype AND k.confdeltype = p.confdeltype"
								 " AND k.confmatchtype = p.confmatchtype AND k.condeferrable = p.condeferrable"
								 " AND k.condeferred = p.condeferred AND k.convalidated AND k.conparentid = 0"
								 " AND " COLUMNS_OF("k") " = " COLUMNS_OF("p")
								 " WHERE p.conrelid = $1 AND p.contype = 'f' AND $2 = 0"
								 " AND k.conrelid = %u AND p.confrelid = %u", child, referenced), parent, 0) > 0;
}

/* ---- keys that come and go ---- */

/* A key to that table goes. */
void
takes_for_lost_key(Assessment *a, Oid referenced)
{
	takes_with_partitions(a, referenced, AccessExclusiveLock);
}

/* A key of target to the other table is made. */
void
takes_for_new_key(Assessment *a, const Target *target, const Target *other,
				  const Constraint *key)
{
	StringInfoData names;
	ListCell   *lc;
	List	   *below;
	LOCKMODE	mode = ShareRowExclusiveLock;

	if (other->made)
	{
		takes(a, other, mode);
		return;
	}
	initStringInfo(&names);
	foreach(lc, key->fk_attrs)
		appendStringInfo(&names, "%s%s", names.len ? "," : "", quote_identifier(strVal(lfirst(lc))));
	below = target->made || target->relkind != RELKIND_PARTITIONED_TABLE ? NIL :
		facts_below(target->relid);
	foreach(lc, below)
	{
		if (!has_same_key(lfirst_oid(lc), other->relid, key, names.data))
			continue;
		takes(a, target_of_relation(lfirst_oid(lc)), AccessExclusiveLock);
		mode = AccessExclusiveLock;
	}
	takes_with_partitions(a, other->relid, mode);
}

/* A partition is made, or attached (child). */
void
takes_for_new_partition(Assessment *a, Oid parent, Oid child)
{
	ListCell   *lc;

	foreach(lc, referenced_by(parent))
	{
		Oid			referenced = lfirst_oid(lc);
		bool		merged = OidIsValid(child) && key_is_merged(parent, child, referenced);

		takes_with_partitions(a, referenced, merged ? AccessExclusiveLock : ShareRowExclusiveLock);
	}
	takes_relations(a, referring_to(parent), ShareRowExclusiveLock);
}

/* It is a table of its own again. */
void
takes_for_lost_partition(Assessment *a, Oid parent, Oid child)
{
	ListCell   *lc;

	foreach(lc, referenced_by(parent))
		takes_with_partitions(a, lfirst_oid(lc), ShareRowExclusiveLock);
	takes_relations(a, referring_to(child), AccessExclusiveLock);
}
