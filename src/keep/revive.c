/*-------------------------------------------------------------------------
 *
 * revive.c
 *	  Brings a dropped column back in place.
 *
 * PostgreSQL leaves a dropped column's row in pg_attribute and its values in
 * the rows.  Made live again, the column stands where it stood, and the
 * values of all rows that were not written since are there at once; fill.c
 * does the others.
 *
 * A column of an inheritance tree comes back everywhere or nowhere in place:
 * a child that has no slot for it, such as a partition made meanwhile, could
 * not be given one.  Then, and where the type was altered or the database was
 * reloaded from a dump, the column is added at the end.
 *
 * What else a column has (NOT NULL, default, identity, privileges, comment)
 * is put back by later steps.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "catalog/toasting.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "compat.h"
#include "keep/column.h"
#include "keep/vault.h"
#include "point.h"

PG_FUNCTION_INFO_V1(revive_column);

/* One relation of the tree. */
typedef struct Member
{
	Oid			relid;
	Kept	   *kept;			/* NULL: it had none, or kept its own: a child
								 * that defines the column too only inherits
								 * it no more */
	AttrNumber	live;			/* where a column of that name is now, or 0 */
	bool		rewrite;		/* what the rows have in its place is of a type
								 * that is gone */
} Member;

typedef struct Tree
{
	List	   *roots;			/* of Oid: where ADD COLUMN would start */
	List	   *members;		/* of Member*, locked */
} Tree;

/* ---- the tree ---- */

static Member *
find_member(const Tree *tree, Oid relid)
{
	ListCell   *lc;

	foreach(lc, tree->members)
	{
		Member	   *member = lfirst(lc);

		if (member->relid == relid)
			return member;
	}
	return NULL;
}

/* Climbs to the ancestors that lost the column too. */
static void
find_roots(Oid relid, List *lost, List **roots)
{
	bool		is_root = true;
	ListCell   *lc;

	foreach(lc, relation_parents(relid))
	{
		if (list_member_oid(lost, lfirst_oid(lc)))
		{
			is_root = false;
			find_roots(lfirst_oid(lc), lost, roots);
		}
	}
	if (is_root)
		*roots = list_append_unique_oid(*roots, relid);
}

static void
add_members(Tree *tree, Oid root, List *family, List *family_relids)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(root, AccessExclusiveLock, NULL))
	{
		Oid			relid = lfirst_oid(lc);
		Member	   *member;
		ListCell   *one,
				   *oid;

		if (find_member(tree, relid))
			continue;
		member = palloc0(sizeof(Member));
		member->relid = relid;
		forboth(one, family, oid, family_relids)
		{
			if (lfirst_oid(oid) == relid)
				member->kept = lfirst(one);
		}
		tree->members = lappend(tree->members, member);
	}
}

static Tree *
find_tree(const Kept *kept, Oid relid)
{
	Tree	   *tree = palloc0(sizeof(Tree));
	List	   *family = kept_family(kept);
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, family)
		relids = lappend_oid(relids, kept_relation(lfirst(lc), AccessExclusiveLock));
	find_roots(relid, relids, &tree->roots);
	foreach(lc, tree->roots)
		add_members(tree, lfirst_oid(lc), family, relids);
	foreach(lc, tree->members)
	{
		Member	   *member = lfirst(lc);
		AttrNumber	attnum = get_attnum(member->relid, kept->part);

		member->live = attnum > 0 ? attnum : InvalidAttrNumber;
	}
	return tree;
}

/* ---- can it be? ---- */

/*
 * The bytes in the rows are of a type that went, with its extension say; one
 * of the same name is there now.  They must never be read by that: a rewrite
 * of the table while the column is dropped leaves none.  But rows that are
 * known by their places alone would not be known any more.
 */
static const char *
why_not_rewritten(Member *member, Oid typid)
{
	const Kept *kept = member->kept;

	if (typid == (Oid) kept_number(kept, "type") ||
		(kept->vault_name && kept_detail(kept, "keyless") &&
		 kept_detail(kept, "content") == NULL))
		return psprintf("type %s is not what it was", kept_detail(kept, "type_name"));
	member->rewrite = true;
	return NULL;
}

/* Why the slot cannot be made live again, or NULL. */
static const char *
why_not_in_slot(Member *member)
{
	const Kept *kept = member->kept;
	HeapTuple	tuple;
	FormData_pg_attribute att;
	Oid			typid = InvalidOid;
	int16		typlen;
	bool		typbyval;
	char		typalign;

	if (kept == NULL && member->live != InvalidAttrNumber)
		return NULL;
	if (kept == NULL)
		return psprintf("relation %s never had it",
						quote_identifier(get_rel_name(member->relid)));
	if (!kept_is_same_relation(kept, member->relid))
		return psprintf("%s %s is not the one that had it",
						kept->object_type, kept->identity);
	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(member->relid),
							Int16GetDatum((int16) kept_number(kept, "attnum")));
	if (!HeapTupleIsValid(tuple))
		return "its place is gone";
	memcpy(&att, GETSTRUCT(tuple), ATTRIBUTE_FIXED_PART_SIZE);
	ReleaseSysCache(tuple);
	if (!att.attisdropped)
		return "its place is taken";
	if (kept_type(kept, &typid) == NULL)
		return psprintf("type %s does not exist", kept_detail(kept, "type_name"));
	if (typid != (Oid) kept_number(kept, "type") ||
		strcmp(type_fingerprint(typid), kept_detail(kept, "type_image")) != 0)
	{
		const char *reason = why_not_rewritten(member, typid);

		if (reason)
			return reason;
	}
	if (kept_number(kept, "collation") != 0 && !OidIsValid(kept_collation(kept, typid)))
		return psprintf("collation %s does not exist",
						kept_detail(kept, "collation_name"));
	get_typlenbyvalalign(typid, &typlen, &typbyval, &typalign);
	if (!member->rewrite && (typlen != att.attlen || typalign != att.attalign))
		return "its place has another layout";
	return NULL;
}

static bool
has_type_of(const Member *member, const Kept *kept)
{
	Oid			typid,
				now,
				collation;
	int32		typmod;

	if (kept_type(kept, &typid) == NULL)
		return false;
	get_atttypetypmodcoll(member->relid, member->live, &now, &typmod, &collation);
	return now == typid && typmod == (int32) kept_number(kept, "typmod");
}

/*
 * A column of that name is in the way, unless a child has it by itself.
 */
static void
check_name_free(const Tree *tree, const Kept *kept)
{
	ListCell   *lc;

	foreach(lc, tree->members)
	{
		Member	   *member = lfirst(lc);

		if (member->live != InvalidAttrNumber &&
			(member->kept || !has_type_of(member, kept)))
			ereport(ERROR,
					(errcode(ERRCODE_SAFEMIG_CONFLICT),
					 errmsg("column \"%s\" of table \"%s\" cannot be brought back: the name is taken",
							kept->part, get_rel_name(member->relid)),
					 errhint("Rename the column that has it now.")));
	}
}

/* Did the call for another relation of the tree do it all? */
static bool
already_revived(const Member *self)
{
	return self->live != InvalidAttrNumber &&
		self->live == (AttrNumber) kept_number(self->kept, "revived");
}

/* ---- the surgery ---- */

/* Options on record, with the version that the slot has now. */
static Datum
merge_options(const Kept *kept, HeapTuple tuple, bool *isnull)
{
	const char *recorded = kept_detail(kept, "options");
	Datum		now = SysCacheGetAttr(ATTNUM, tuple, Anum_pg_attribute_attoptions,
									  isnull);
	List	   *options = NIL;
	ListCell   *lc;
	Datum		result;

	if (recorded)
		options = untransformRelOptions(OidInputFunctionCall(F_ARRAY_IN,
															 pstrdup(recorded),
															 TEXTOID, -1));
	if (!*isnull)
	{
		foreach(lc, untransformRelOptions(now))
			if (strcmp(lfirst_node(DefElem, lc)->defname, ATTRIBUTE_VERSION_KEY) == 0)
				options = lappend(options, lfirst(lc));
	}
	result = transformRelOptions((Datum) 0, options, NULL, NULL, false, false);
	*isnull = result == (Datum) 0;
	return result;
}

/*
 * The value that rows older than the column show.  After a rewrite no row is
 * older than the slot.
 */
static Datum
missing_value(const Kept *kept, Relation rel, Oid typid, bool *isnull)
{
	const char *text = kept_detail(kept, "missing");
	Oid			input,
				ioparam;
	int16		typlen;
	bool		typbyval;
	char		typalign;
	Frame		frame;
	Datum		value;

	*isnull = text == NULL ||
		rel->rd_rel->relfilenode != (Oid) kept_number(kept, "relfilenode");
	if (*isnull)
		return (Datum) 0;
	getTypeInputInfo(getBaseType(typid), &input, &ioparam);
	frame_become(&frame, rel->rd_rel->relowner);
	value = OidInputFunctionCall(input, pstrdup(text), ioparam, -1);
	frame_unpin(&frame);
	get_typlenbyvalalign(typid, &typlen, &typbyval, &typalign);
	return PointerGetDatum(construct_array(&value, 1, typid, typlen, typbyval,
										   typalign));
}

/* Parents that have, or are about to have, the column: of this tree or not. */
static int
count_parents(const Tree *tree, Oid relid, const char *column)
{
	int			count = 0;
	ListCell   *lc;

	foreach(lc, relation_parents(relid))
		count += find_member(tree, lfirst_oid(lc)) != NULL ||
			get_attnum(lfirst_oid(lc), column) > 0;
	return count;
}

static void
record_dependencies(Oid relid, AttrNumber attnum, Oid typid, Oid collation)
{
	ObjectAddress column,
				referenced;

	ObjectAddressSubSet(column, RelationRelationId, relid, attnum);
	ObjectAddressSet(referenced, TypeRelationId, typid);
	recordDependencyOn(&column, &referenced, DEPENDENCY_NORMAL);
	if (OidIsValid(collation) && collation != DEFAULT_COLLATION_OID)
	{
		ObjectAddressSet(referenced, CollationRelationId, collation);
		recordDependencyOn(&column, &referenced, DEPENDENCY_NORMAL);
	}
}

#define SET_ATTRIBUTE(field, value) \
	(values[Anum_pg_attribute_##field - 1] = (value), \
	 replaces[Anum_pg_attribute_##field - 1] = true)
#define SET_ATTRIBUTE_NULL(field) \
	(nulls[Anum_pg_attribute_##field - 1] = true, \
	 replaces[Anum_pg_attribute_##field - 1] = true)

static Oid
slot_type(const Kept *kept)
{
	Oid			typid;

	if (kept_type(kept, &typid) == NULL)
		elog(ERROR, "type %s does not exist", kept_detail(kept, "type_name"));
	return typid;
}

static void
revive_slot(const Tree *tree, Member *member)
{
	const Kept *kept = member->kept;
	AttrNumber	attnum = (AttrNumber) kept_number(kept, "attnum");
	bool		has_storage;
	Relation	rel = relation_open(member->relid, NoLock);
	Relation	catalog = table_open(AttributeRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy2(ATTNUM,
											ObjectIdGetDatum(member->relid),
											Int16GetDatum(attnum));
	Oid			typid = slot_type(kept);
	Oid			collation = kept_collation(kept, typid);
	int			parents = count_parents(tree, member->relid, kept->part);
	const char *compression = kept_detail(kept, "compression");
	char		storage = kept_detail(kept, "storage")[0];
	Datum		values[Natts_pg_attribute];
	bool		nulls[Natts_pg_attribute] = {false};
	bool		replaces[Natts_pg_attribute] = {false};
	NameData	name;
	int16		typlen;
	bool		typbyval;
	char		typalign;
	bool		isnull;
	Datum		value;

	CheckTableNotInUse(rel, "revive a column of");
	namestrcpy(&name, kept->part);
	SET_ATTRIBUTE(attname, NameGetDatum(&name));
	SET_ATTRIBUTE(attisdropped, BoolGetDatum(false));
	SET_ATTRIBUTE(atttypid, ObjectIdGetDatum(typid));
	SET_ATTRIBUTE(atttypmod, Int32GetDatum((int32) kept_number(kept, "typmod")));
	SET_ATTRIBUTE(attndims, small_attribute_datum((int) kept_number(kept, "ndims")));
	SET_ATTRIBUTE(attcollation, ObjectIdGetDatum(collation));
	/* pg_upgrade makes dummies of dropped columns: never trust these there */
	get_typlenbyvalalign(typid, &typlen, &typbyval, &typalign);
	SET_ATTRIBUTE(attbyval, BoolGetDatum(typbyval));
	SET_ATTRIBUTE(attlen, Int16GetDatum(typlen));
	SET_ATTRIBUTE(attalign, CharGetDatum(typalign));
	if (get_typstorage(typid) == TYPSTORAGE_PLAIN)
		storage = TYPSTORAGE_PLAIN;
	SET_ATTRIBUTE(attstorage, CharGetDatum(storage));
	SET_ATTRIBUTE(attcompression, CharGetDatum(compression ? compression[0] : '\0'));
	SET_ATTRIBUTE(attislocal, BoolGetDatum(parents == 0 || kept_number(kept, "islocal") != 0));
	SET_ATTRIBUTE(attinhcount, small_attribute_datum(parents));
	reset_statistics_target(values, nulls, replaces);
	/* DROP COLUMN leaves it as it was; its sequence is gone */
	SET_ATTRIBUTE(attidentity, CharGetDatum('\0'));
	SET_ATTRIBUTE_NULL(attacl);
	SET_ATTRIBUTE_NULL(attfdwoptions);
	value = merge_options(kept, tuple, &isnull);
	if (isnull)
		SET_ATTRIBUTE_NULL(attoptions);
	else
		SET_ATTRIBUTE(attoptions, value);
	value = missing_value(kept, rel, typid, &isnull);
	SET_ATTRIBUTE(atthasmissing, BoolGetDatum(!isnull));
	if (isnull)
		SET_ATTRIBUTE_NULL(attmissingval);
	else
		SET_ATTRIBUTE(attmissingval, value);

	tuple = heap_modify_tuple(tuple, RelationGetDescr(catalog), values, nulls,
							  replaces);
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	record_dependencies(member->relid, attnum, typid, collation);
	CacheInvalidateRelcache(rel);
	member->live = attnum;
	table_close(catalog, RowExclusiveLock);
	has_storage = RELKIND_HAS_STORAGE(rel->rd_rel->relkind);
	relation_close(rel, NoLock);

	/* a rewrite without the column may have left the table without one */
	CommandCounterIncrement();
	if (has_storage)
		AlterTableCreateToastTable(member->relid, (Datum) 0, AccessExclusiveLock);
}

/* A child's own column is the parent's again, too. */
static void
inherit_again(const Tree *tree, const Member *member)
{
	Relation	catalog = table_open(AttributeRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy2(ATTNUM,
											ObjectIdGetDatum(member->relid),
											Int16GetDatum(member->live));
	Form_pg_attribute att;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for attribute %d of relation %u",
			 member->live, member->relid);
	att = (Form_pg_attribute) GETSTRUCT(tuple);
	att->attinhcount = count_parents(tree, member->relid, NameStr(att->attname));
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	table_close(catalog, RowExclusiveLock);
}

/* The rows of other kept columns, where places tell them, are followed. */
static void
rewrite_member(const Member *member)
{
	List	   *followed = column_keep_follow(member->relid, NULL);
	ListCell   *lc;

	rewrite_without_dropped(member->relid);
	CommandCounterIncrement();
	foreach(lc, followed)
		column_keep_finish(*(int64 *) lfirst(lc));
}

static void
revive_in_place(Tree *tree)
{
	List	   *stale = NIL;
	ListCell   *lc;

	foreach(lc, tree->members)
	{
		Member	   *member = lfirst(lc);

		if (member->rewrite && RELKIND_HAS_STORAGE(get_rel_relkind(member->relid)))
			rewrite_member(member);
	}
	/* queries are read while the catalogs still say what they were made for */
	foreach(lc, tree->members)
	{
		Member	   *member = lfirst(lc);

		if (member->kept)
			stale = list_concat(stale,
								stale_queries_take(member->relid,
												   (AttrNumber) kept_number(member->kept, "attnum")));
	}
	foreach(lc, tree->members)
	{
		Member	   *member = lfirst(lc);

		if (member->kept)
			revive_slot(tree, member);
		else
			inherit_again(tree, member);
	}
	CommandCounterIncrement();
	stale_queries_remake(stale);
}

/* ---- the second best ---- */

/* A domain's checks are evaluated for NULL: anybody's code. */
static void
alter_as_needed(Oid relid, Oid typid, const char *sql)
{
	Frame		frame;

	if (DomainHasConstraints(typid))
		frame_become_for(&frame, relation_owner(relid), parse_statement(sql),
						 InvalidOid, 1);
	else
		frame_become_owner(&frame);
	if (SPI_execute(sql, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not run \"%s\"", sql);
	frame_unpin(&frame);
}

static void
add_at_end(Tree *tree, const Kept *kept, const char *reason)
{
	Oid			typid;
	char	   *type = kept_type(kept, &typid);
	const char *collation = kept_detail(kept, "collation_name");
	ListCell   *lc;

	if (type == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SAFEMIG_CONFLICT),
				 errmsg("column \"%s\" of %s %s cannot be brought back: type %s does not exist",
						kept->part, kept->object_type, kept->identity,
						kept_detail(kept, "type_name"))));
	foreach(lc, tree->roots)
	{
		Oid			relid = lfirst_oid(lc);
		char	   *table = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
													   get_rel_name(relid));
		const char *name = quote_identifier(kept->part);
		bool		type_has_default = get_typdefault(typid) != NULL;

		/* a row that shows a value counts as one that has its own: so NULL */
		alter_as_needed(relid, typid,
						psprintf("ALTER TABLE %s ADD COLUMN %s %s%s%s%s",
								 table, name, type, collation ? " COLLATE " : "",
								 collation ? collation : "",
								 type_has_default ? " DEFAULT NULL" : ""));
		if (type_has_default)
			alter_as_needed(relid, typid,
							psprintf("ALTER TABLE %s ALTER COLUMN %s DROP DEFAULT",
									 table, name));
	}
	foreach(lc, tree->members)
	{
		Member	   *member = lfirst(lc);

		member->live = get_attnum(member->relid, kept->part);
	}
	ereport(NOTICE,
			(errmsg("column \"%s\" of %s %s is back as the last column",
					kept->part, kept->object_type, kept->identity),
			 errdetail("It could not be brought back in its place: %s.", reason)));
}

/* So that the calls for the other members know that this one did it. */
static void
note_revived(const Tree *tree)
{
	ListCell   *lc;

	foreach(lc, tree->members)
	{
		Member	   *member = lfirst(lc);

		if (member->kept == NULL)
			continue;
		kept_add_detail(member->kept, "revived", psprintf("%d", member->live));
		history_update_kept(member->kept);
	}
}

static List *
member_addresses(const Tree *tree)
{
	List	   *addresses = NIL;
	ListCell   *lc;

	foreach(lc, tree->members)
	{
		ObjectAddress *address = palloc(sizeof(ObjectAddress));

		ObjectAddressSet(*address, RelationRelationId,
						 ((Member *) lfirst(lc))->relid);
		addresses = lappend(addresses, address);
	}
	return addresses;
}

/* Brings the column back; returns why not in place, or NULL. */
static const char *
revive_tree(Tree *tree, const Kept *kept)
{
	const char *reason = NULL;
	ListCell   *lc;

	foreach(lc, tree->members)
	{
		if (reason == NULL)
			reason = why_not_in_slot(lfirst(lc));
	}
	capture_internal_begin("REVIVE COLUMN", member_addresses(tree));
	if (reason)
		add_at_end(tree, kept, reason);
	else
		revive_in_place(tree);
	note_revived(tree);
	SAFEMIG_POINT("revive.done");
	capture_internal_end();
	return reason;
}

/*
 * safemig.revive_column(kept bigint) returns text: NULL, or why the column is
 * not back in its old place but at the end.
 */
Datum
revive_column(PG_FUNCTION_ARGS)
{
	Kept	   *kept;
	Oid			relid;
	Tree	   *tree;
	const char *reason = NULL;
	Frame		frame;

	check_own_call("revive_column");
	frame_become_owner(&frame);
	SPI_connect();
	kept = kept_of_kind(PG_GETARG_INT64(0), "column");
	relid = kept_relation(kept, AccessExclusiveLock);
	tree = find_tree(kept, relid);
	if (!already_revived(find_member(tree, relid)))
	{
		check_name_free(tree, kept);
		reason = revive_tree(tree, kept);
	}
	if (reason)
		reason = strcpy(SPI_palloc(strlen(reason) + 1), reason);
	SPI_finish();
	frame_unpin(&frame);
	if (reason)
		PG_RETURN_TEXT_P(cstring_to_text(reason));
	PG_RETURN_NULL();
}
