/*-------------------------------------------------------------------------
 *
 * safemig.c
 *	  Module entry.
 *
 * Nothing has to be preloaded: the first DDL command of a session calls an
 * event trigger, which loads the library.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "capture/capture.h"
#include "guard/guard.h"
#include "safemig.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	pg_bindtextdomain(TEXTDOMAIN);
	settings_define();
	state_init();
	capture_init();
	bystander_init();
	guard_init();
	retention_init();
}
