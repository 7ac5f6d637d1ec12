/*-------------------------------------------------------------------------
 *
 * registry.c
 *	  The one list of object classes.  What is not in it is recorded as
 *	  irreversible, by name.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "image/classes.h"

static const ImageClass *const classes[] = {
	&image_class_table,
	&image_class_foreign_table,
	&image_class_constraint,
	&image_class_index,
	&image_class_sequence,
	&image_class_schema,
	&image_class_view,
	&image_class_materialized_view,
	&image_class_function,
	&image_class_procedure,
	&image_class_type,
	&image_class_domain_constraint,
	&image_class_trigger,
	&image_class_rule,
	&image_class_policy,
	&image_class_statistics,
	&image_class_collation,
	&image_class_cast,
	&image_class_default_acl,
	&image_class_publication,
	&image_class_extension,
	&image_class_aggregate,
	&image_class_operator,
	&image_class_operator_class,
	&image_class_operator_family,
	&image_class_conversion,
	&image_class_language,
	&image_class_transform,
	&image_class_access_method,
	&image_class_text_search_parser,
	&image_class_text_search_template,
	&image_class_text_search_dictionary,
	&image_class_text_search_configuration,
	&image_class_foreign_data_wrapper,
	&image_class_foreign_server,
	&image_class_user_mapping,
	&image_class_event_trigger,
	&image_class_role,
	&image_class_subscription,
	&image_class_large_object,
	&image_class_database,
	&image_class_tablespace,
};

const ImageClass *
registry_find(const char *type)
{
	for (size_t i = 0; i < lengthof(classes); i++)
	{
		if (strcmp(classes[i]->type, type) == 0)
			return classes[i];
	}
	return NULL;
}

const char *
registry_identity(const char *key)
{
	size_t		longest = 0;

	for (size_t i = 0; i < lengthof(classes); i++)
	{
		size_t		length = strlen(classes[i]->type);

		if (strncmp(key, classes[i]->type, length) == 0 &&
			key[length] == ' ' && length > longest)
			longest = length;
	}
	return longest ? key + longest + 1 : key;
}
