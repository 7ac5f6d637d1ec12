/*-------------------------------------------------------------------------
 *
 * restore.h
 *	  Sessions that restore a dump (restore.c).
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_CAPTURE_RESTORE_H
#define SAFEMIG_CAPTURE_RESTORE_H

#include "nodes/pg_list.h"

extern void restore_warn_of_keeping(List *dropped);
extern void restore_check_command(Node *parsetree);
extern void restore_check_rows(List *range_table);

#endif
