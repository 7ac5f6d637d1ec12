/*-------------------------------------------------------------------------
 *
 * vault.h
 *	  What the files of keep/ that move things in and out of the vault share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_VAULT_H
#define SAFEMIG_VAULT_H

#include "catalog/dependency.h"
#include "catalog/pg_depend.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"

#include "safemig.h"

/* ---- vault.c ---- */
/* for SQL functions that only a rollback's steps are meant to call */
extern void check_is_extension_owner(void);
/* kept_log row of that kind whose data is still there to be restored */
extern Kept *kept_of_kind(int64 id, const char *kind);
extern Kept *kept_to_restore(int64 id, const char *kind);
extern Kept *kept_start(const ObjectAddress *address, const char *kind,
						int64 migration, int64 command);
extern void kept_add_detail_oid(Kept *kept, const char *name, Oid value);
extern Oid	kept_detail_oid(const Kept *kept, const char *name);
extern const char *kept_need_detail(const Kept *kept, const char *name);
/* may the OIDs in the details be believed? */
extern bool kept_same_incarnation(const Kept *kept);
/* where a kept object goes back to; ERROR SM003 if that is not there */
extern Oid	restore_namespace(const Kept *kept, const char *schema);
extern Oid	restore_owner(const Kept *kept, const char *role);
extern void report_name_taken(const Kept *kept, const char *what,
							  const char *name, Oid namespace);
extern void check_relation_name_free(const Kept *kept, const char *name, Oid namespace);
extern void check_type_name_free(const Kept *kept, const char *name, Oid namespace);
/* gives the array type another name if its own is taken in namespace */
extern void make_array_name_free(Oid typid, Oid namespace);
extern void vault_schema_again(const Kept *kept);
extern void vault_drop_if_empty(Oid namespace);
extern void object_move(Oid classid, Oid objid, Oid namespace, Oid owner);
extern List *vault_schemas_of(int64 migration);
/* what one migration has kept is another's from now on */
extern void vault_take_over(int64 from, int64 to);

/* ---- strip.c ---- */
extern void strip_relation(Oid relid, Kept *kept);
extern void strip_undo(Oid relid, const Kept *kept);
extern void strip_acl(Oid classid, Oid objid, AttrNumber attnum);
extern RangeVar *relation_name(Oid relid);
extern void relation_alter(Oid relid, AlterTableType subtype, const char *name,
						   Node *def);
extern void relation_alter_all(Oid relid, List *cmds, bool recurse);

/* ---- thaw.c: what freeze.c did to what is kept, undone ---- */
extern void vault_thaw_relation(Oid relid, Kept *kept);
extern void vault_thaw_type(Kept *kept);

/* ---- detach.c ---- */
extern List *detach_from_parents(Oid relid, Kept *kept);
extern bool detach_leaves_triggers(Oid relid);
extern void keep_bound(Oid relid, List *quals, Kept *kept);

/* ---- matview.c ---- */
extern void matview_describe(Relation rel, Kept *kept);
extern void matview_to_table(Oid relid);
extern void matview_from_table(Oid relid, const Kept *kept);

/* ---- support.c ---- */
/* where it is in the vault; false if it is not there */
extern bool support_find(const Kept *kept, ObjectAddress *address);

/* ---- type.c ---- */
extern char *get_type_name(Oid typid);
extern Oid	get_type_namespace(Oid typid);

/* ---- parts.c ---- */
extern List *relation_types(Oid relid);
extern List *type_parts(Oid typid);
/* the table (or view) whose rows the type is of, or InvalidOid */
extern Oid	type_row_relation(Oid typid);

/* ---- home.c ---- */
/* what a type in the vault, an array's element too, was kept as; or NULL */
extern Kept *kept_of_type(Oid typid);

/* ---- range.c ---- */
/* does ANALYZE of such a column call a function that its owner may replace? */
extern bool type_analyze_runs_user_code(Oid typid);
extern Oid	get_type_owner(Oid typid);
extern void range_keep(Oid typid, Oid vault, Kept *kept);
extern void range_restore(Oid typid, Oid owner, const Kept *kept);

/* ---- uses.c ---- */
/* calls visit for each row of pg_depend that refers to the type */
typedef void (*TypeDependant) (Form_pg_depend form, List **result);
extern void each_type_dependant(Oid typid, TypeDependant visit, List **result);
/* typids, and every type that has a value of one of them inside */
extern List *type_containers(List *typids);
/* columns (ObjectAddress *) declared to be of one of these types */
extern List *type_columns(List *typids);

/* ---- function.c ---- */
/* locked */
extern Oid	function_of_signature(text *signature);
extern Oid	type_named(const char *name);

/* ---- acl.c ---- */
/* writes the list as it is; NULL: the default */
extern void acl_store(const ObjectAddress *address, Acl *acl);
extern Acl *acl_from_text(const char *text);

#endif							/* SAFEMIG_VAULT_H */
