/*-------------------------------------------------------------------------
 *
 * report.h
 *	  A report as a page: what it says, and in which language.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SAFEMIG_REPORT_H
#define SAFEMIG_REPORT_H

#include "nodes/pg_list.h"

typedef struct Report Report;

/* ---- page.c: the same page in Markdown, and in HTML ---- */
extern Report *page_begin(bool html, const char *title);
extern void page_heading(Report *page, const char *text);
extern void page_text(Report *page, const char *text);
/* names and values, which may be NULL: then the line is left out */
extern void page_fact(Report *page, const char *name, const char *value);
/* rows: of char**, each with a cell for each heading, which may be NULL; code:
 * for each column '1' if it holds names, numbers or statements of SQL */
extern void page_table(Report *page, int ncolumns, const char *const *headings,
					   const char *code, List *rows);
extern void page_code(Report *page, const char *text);
extern char *page_end(Report *page);

#endif							/* SAFEMIG_REPORT_H */
