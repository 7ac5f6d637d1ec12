/*-------------------------------------------------------------------------
 *
 * target.h
 *	  What the files that find a command's targets share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_TARGET_H
#define SAFEMIG_TARGET_H

#include "capture/capture.h"

/* ---- target_name.c: names, resolved and locked as the command will ---- */
extern void target_add_root(Command *command, Oid class_id, Oid object_id);
extern Oid target_resolve_relation(RangeVar *relation, LOCKMODE lockmode,
				bool owned);
extern void target_add_relation(Command *command, RangeVar *relation,
				LOCKMODE lockmode, bool owned);
extern void target_add_tree(Command *command, Oid relid, LOCKMODE lockmode,
				bool recurse);
extern void target_add_with_partitions(Command *command, RangeVar *relation,
				LOCKMODE lockmode);
extern bool target_find_unlocked(ObjectType type, Node *object,
								 ObjectAddress *address);
extern void target_add_owned(Command *command, ObjectType type, Node *object,
							 LOCKMODE lockmode);
extern void target_add_named(Command *command, ObjectType type, Node *object,
				LOCKMODE lockmode);
extern Oid target_add_type(Command *command, List *name);
extern void target_add_referring(Command *command, Oid class_id,
				Oid object_id);

/* ---- target_role.c ---- */
extern bool is_role_command(Node *stmt);
extern bool targets_role(Command *command, Node *stmt);

/* ---- target_cluster.c ---- */
extern bool is_cluster_command(Node *stmt);
extern bool targets_cluster(Command *command, Node *stmt);

/* ---- target_maintain.c ---- */
extern bool reindex_is_concurrent(const ReindexStmt *stmt);
extern bool reindex_is_looked_at(const ReindexStmt *stmt);
extern void target_reindex(Command *command, ReindexStmt *stmt);
extern bool cluster_is_of_partitions(const ClusterStmt *stmt);
extern void target_cluster(Command *command, ClusterStmt *stmt);

/* ---- subcommand.c: what each subcommand of ALTER TABLE reaches and spares ---- */
extern LOCKMODE subcommand_locks_below(const AlterTableCmd *cmd, Oid relid, LOCKMODE lockmode);
extern bool subcommand_spares_contents(AlterTableCmd *cmd, bool alone);
extern bool constraint_is_inherited(Oid relid, const char *name);

/* ---- target_table.c ---- */
extern void target_move_all(Command *command, AlterTableMoveAllStmt *stmt);
extern void target_alter_table(Command *command, AlterTableStmt *stmt);
extern void target_add_referring_to_relation(Command *command, Oid relid);
extern void target_composite(Command *command, Oid typid, LOCKMODE lockmode);

/* ---- target_rename.c ---- */
extern bool renames_below(const RenameStmt *stmt, Oid relid);
extern void target_rename(Command *command, RenameStmt *stmt);
extern void target_named(Command *command, RangeVar *relation,
				ObjectType type, Node *object);

/* ---- target_grant.c ---- */
extern void target_grant(Command *command, GrantStmt *stmt);
extern void target_default_privileges(Command *command);
extern void target_add_granted_to(Command *command, Oid role);
extern void target_add_described_with_role(Command *command, Oid role);
extern void target_reassign_owned(Command *command, ReassignOwnedStmt *stmt);

/* ---- target_other.c ---- */
extern bool targets_other(Command *command, Node *parsetree);

#endif							/* SAFEMIG_TARGET_H */
