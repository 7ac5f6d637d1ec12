/* A provider of security labels that takes any: there is none among the tools. */
#include "postgres.h"

#include "commands/seclabel.h"
#include "fmgr.h"

PG_MODULE_MAGIC;

extern void _PG_init(void);

static void
any_label(const ObjectAddress *object, const char *label)
{
}

void
_PG_init(void)
{
	register_label_provider("any", any_label);
}
