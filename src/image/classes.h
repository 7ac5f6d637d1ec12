/*-------------------------------------------------------------------------
 *
 * classes.h
 *	  The object classes, one record per file, and what their files share.
 *
 * registry.c lists the records; nothing else names them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_CLASSES_H
#define SAFEMIG_CLASSES_H

#include "access/htup.h"
#include "safemig.h"

/* ---- the records ---- */
extern const ImageClass image_class_table;
extern const ImageClass image_class_foreign_table;
extern const ImageClass image_class_constraint;
extern const ImageClass image_class_index;
extern const ImageClass image_class_sequence;
extern const ImageClass image_class_schema;
extern const ImageClass image_class_view;
extern const ImageClass image_class_materialized_view;
extern const ImageClass image_class_function;
extern const ImageClass image_class_procedure;
extern const ImageClass image_class_trigger;
extern const ImageClass image_class_rule;
extern const ImageClass image_class_policy;
extern const ImageClass image_class_statistics;
extern const ImageClass image_class_type;
extern const ImageClass image_class_domain_constraint;
extern const ImageClass image_class_collation;
extern const ImageClass image_class_cast;
extern const ImageClass image_class_default_acl;
extern const ImageClass image_class_publication;
extern const ImageClass image_class_extension;
extern const ImageClass image_class_aggregate;
extern const ImageClass image_class_operator;
extern const ImageClass image_class_operator_class;
extern const ImageClass image_class_operator_family;
extern const ImageClass image_class_conversion;
extern const ImageClass image_class_language;
extern const ImageClass image_class_transform;
extern const ImageClass image_class_access_method;
extern const ImageClass image_class_event_trigger;
extern const ImageClass image_class_role;
extern const ImageClass image_class_subscription;
extern const ImageClass image_class_large_object;
extern const ImageClass image_class_database;
extern const ImageClass image_class_tablespace;
extern const ImageClass image_class_text_search_parser;
extern const ImageClass image_class_text_search_template;
extern const ImageClass image_class_text_search_dictionary;
extern const ImageClass image_class_text_search_configuration;
extern const ImageClass image_class_foreign_data_wrapper;
extern const ImageClass image_class_foreign_server;
extern const ImageClass image_class_user_mapping;

/* ---- image.c ---- */
extern void image_read_shared_comment(Image *image);

/* ---- role.c ---- */
/* settings of a role (or 0: of everybody) in a database (or 0: in all), or NULL */
extern char *role_settings(Oid role, Oid database);

/* ---- describe.c ---- */

/* Renames sort before everything else of a reverse; see rename_steps */
#define RANK_RENAME 1000

/*
 * A table OF a type lets go of it before the type, or the table, is given other
 * columns, and both have their names by then.  So does a partition of being
 * detached.
 */
#define RANK_LET_GO 998
#define RANK_RENAME_ATTRIBUTE 996

/* REFRESH, VALIDATE: after owner and privileges, which they run under */
#define RANK_AFTER_COMMON (RANK_COMMON + 1)

/* how pg_get_..._def(oid) describes it; NULL if it says nothing */
extern char *describe_object(Oid function, Oid object);
/* a hint: which stored tree a query, a definition or a body describes */
#define TREE		"@tree"
extern void image_add_tree(Image *image, const char *tree);
/* what follows prefix in text, which has to begin so */
extern const char *after_prefix(const char *text, const char *prefix);
/* text without suffix, which it has to end with */
extern char *before_suffix(const char *text, const char *suffix);
extern char *qualified_relation_name(Oid relid);
extern char *object_identity(Oid classid, Oid objid);
/* as definitions of other objects name them: schema.f, OPERATOR(schema.+) */
extern char *function_name_sql(Oid function);
extern char *operator_name_sql(Oid operator);
/* schema.+ */
extern char *operator_in_schema(Oid operator);
extern Oid	type_owner(Oid typid);

/* a copy of the catalog's row, or NULL */
extern HeapTuple catalog_row(Oid catalog, AttrNumber oid_column, Oid object);
extern Datum catalog_value(Oid catalog, HeapTuple row, AttrNumber column,
						   bool *isnull);

extern void image_set_parent(Image *image, Oid classid, Oid objid);
extern void image_add_part_comment(Image *image, const char *part,
								   Oid classid, Oid objid, int subid);

/* names of the parts that have a facet "position", by position */
extern List *image_parts(const Image *image);
/* parts of a relation or composite type that the other image names otherwise */
extern bool rename_parts(const Image *have, const Image *want, Steps *steps,
						 const char *keyword, int order);
extern const char *part_now(const Image *have, const Image *want,
							const char *part);

/* PLAIN and so on */
extern const char *storage_name(char storage);

/* the privileges on the system column that is named behind it */
#define SYSTEM_ACL "acl of "

/* facets that compare.c sets itself, whatever the class */
/* the name of a type's array type, where it is not the one that it would get */
#define ARRAY_TYPE	"array type"
extern void array_type_read(Image *image);
extern bool facet_is_common(const char *name);
/* is it in C, and can be made before everything else? (function.c) */
extern bool function_needs_nothing(Oid function);

extern bool image_has_other_table(const Image *a, const Image *b);

/* own facets differ that are not in the NULL-terminated list names */
extern bool image_differs_beyond(const Image *have, const Image *want,
								 const char *const *names);

/* WITH (...) of image_add_options: what to SET and what to RESET */
extern void options_steps(const Image *have, const Image *want,
						  const char *facet, Steps *steps, int order,
						  const char *lock_mode);

/* ALTER ... DEPENDS ON EXTENSION */
extern void image_add_extension_dependencies(Image *image);
extern void extension_dependency_steps(const Image *have, const Image *want,
									   Steps *steps, int order);

/* ---- view.c: what views and materialized views share ---- */
extern void view_read_query(Image *image, Relation rel);
extern char *view_columns_sql(const Image *image);
extern const char *view_query_sql(const Image *image);
/* false if have's columns are not the first of want's, renamed at most */
extern bool view_columns_extend(const Image *have, const Image *want);

/* ---- type.c's handlers, by the facet "kind" ---- */
typedef struct TypeKind
{
	const char *kind;
	void		(*read) (Image *image, HeapTuple row);
	void		(*create) (const Image *image, Steps *steps);
	bool		(*alter) (const Image *have, const Image *want, Steps *steps);
} TypeKind;

extern const TypeKind type_kind_enum;
extern const TypeKind type_kind_composite;
extern const TypeKind type_kind_domain;
extern const TypeKind type_kind_range;
/* base_type.c: false if the type has to be made anew */
extern bool shell_alter(const Image *have, const Image *want, Steps *steps);
extern const TypeKind type_kind_shell;
extern const TypeKind type_kind_base;

#endif							/* SAFEMIG_CLASSES_H */
