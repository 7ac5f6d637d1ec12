/*-------------------------------------------------------------------------
 *
 * page.c
 *	  A page with headings, facts, tables and code: in Markdown (as GitHub and
 *	  GitLab read it), or as one HTML file that needs nothing else.
 *
 * What is written comes from names, texts and notes that anybody may have
 * chosen.  Nothing of it is markup, none of it changes the direction of what
 * stands beside it, and a control character is shown by its number.  HTML is
 * pure ASCII, so that it says the same whatever encoding the client saves it
 * in.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "report/report.h"

struct Report
{
	bool		html;
	bool		in_facts;
	StringInfoData buf;
};

/* ---- characters ---- */

/* Marks, overrides and isolates of the direction of text; invisible ones. */
static bool
is_hidden(pg_wchar c)
{
	return (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0) ||
		c == 0x061c || (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 ||
		(c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

static bool
is_utf8(void)
{
	return GetDatabaseEncoding() == PG_UTF8;
}

/* The character, and where the next one begins. */
static pg_wchar
next_char(const char **at)
{
	const unsigned char *p = (const unsigned char *) *at;

	if (*p < 0x80 || !is_utf8())
	{
		*at += 1;
		/* a part of some character, none of which is one of ours */
		return *p < 0x80 ? *p : 0xfffd;
	}
	*at += pg_utf_mblen(p);
	return utf8_to_unicode(p);
}

static void
append_hidden(StringInfo buf, pg_wchar c)
{
	appendStringInfo(buf, "\\u%04x", c);
}

/* As UTF-8, whatever the database has; the same string, or a new one. */
static const char *
in_utf8(const char *text)
{
	char	   *copy;

	if (GetDatabaseEncoding() != PG_SQL_ASCII)
		return pg_server_to_any(text, strlen(text), PG_UTF8);
	if (pg_verify_mbstr(PG_UTF8, text, strlen(text), true))
		return text;
	copy = pstrdup(text);
	for (char *at = copy; *at; at++)
		*at = (unsigned char) *at < 0x80 ? *at : '?';
	return copy;
}

/* ---- HTML ---- */

static void
html_text(StringInfo buf, const char *text, const char *line_break)
{
	text = in_utf8(text);
	while (*text)
	{
		pg_wchar	c;

		if ((unsigned char) *text < 0x80)
			c = *text++;
		else
		{
			c = utf8_to_unicode((const unsigned char *) text);
			text += pg_utf_mblen((const unsigned char *) text);
		}
		if (is_hidden(c))
			append_hidden(buf, c);
		else if (c == '&' || c == '<' || c == '>' || c == '"' || c == '\'' || c >= 0x80)
			appendStringInfo(buf, "&#%u;", c);
		else if (c == '\n')
			appendStringInfoString(buf, line_break);
		else
			appendStringInfoChar(buf, (char) c);
	}
}

/* In a direction of its own. */
static void
html_value(StringInfo buf, const char *text, bool code)
{
	appendStringInfoString(buf, code ? "<code><bdi>" : "<bdi>");
	html_text(buf, text, code ? "\n" : "<br>\n");
	appendStringInfoString(buf, code ? "</bdi></code>" : "</bdi>");
}

/* ---- Markdown ---- */

static void
markdown_text(StringInfo buf, const char *text)
{
	while (*text)
	{
		const char *from = text;
		pg_wchar	c = next_char(&text);

		if (is_hidden(c))
			append_hidden(buf, c);
		else if (c == '\n')
			appendStringInfoString(buf, "<br>");
		else if (c == '&' || c == '<' || c == '>')
			appendStringInfoString(buf, c == '&' ? "&amp;" : c == '<' ? "&lt;" : "&gt;");
		else if (c < 0x80 && strchr("\\`*_[]|~$", (char) c))
			appendStringInfo(buf, "\\%c", (char) c);
		else
			appendBinaryStringInfo(buf, from, text - from);
	}
}

/* How many in a row there are at most. */
static int
longest_run(const char *text, char of)
{
	int			longest = 0;
	int			run = 0;

	for (; *text; text++)
	{
		run = *text == of ? run + 1 : 0;
		longest = Max(longest, run);
	}
	return longest;
}

static void
append_repeated(StringInfo buf, char c, int n)
{
	while (n-- > 0)
		appendStringInfoChar(buf, c);
}

/* One line, in as many backticks as it takes; a bar would end a cell. */
static void
markdown_code_line(StringInfo buf, const char *line)
{
	int			ticks = longest_run(line, '`') + 1;
	size_t		len = strlen(line);
	bool		pad = len > 0 && (line[0] == '`' || line[len - 1] == '`' ||
								  (line[0] == ' ' && line[len - 1] == ' '));

	if (len == 0)
		return;
	append_repeated(buf, '`', ticks);
	if (pad)
		appendStringInfoChar(buf, ' ');
	while (*line)
	{
		const char *from = line;
		pg_wchar	c = next_char(&line);

		if (is_hidden(c) || c == '\t')
			append_hidden(buf, c);
		else if (c == '|')
			appendStringInfoString(buf, "\\|");
		else
			appendBinaryStringInfo(buf, from, line - from);
	}
	if (pad)
		appendStringInfoChar(buf, ' ');
	append_repeated(buf, '`', ticks);
}

static void
markdown_code(StringInfo buf, const char *text)
{
	char	   *copy = pstrdup(text);
	char	   *line = copy;

	for (;;)
	{
		char	   *end = strchr(line, '\n');

		if (end)
			*end = '\0';
		markdown_code_line(buf, line);
		if (end == NULL)
			break;
		appendStringInfoString(buf, "<br>");
		line = end + 1;
	}
	pfree(copy);
}

static void
append_value(Report *page, const char *text, bool code)
{
	if (page->html)
		html_value(&page->buf, text, code);
	else if (code)
		markdown_code(&page->buf, text);
	else
		markdown_text(&page->buf, text);
}

/* ---- parts of a page ---- */

static const char *const style =
"body{font:16px/1.5 system-ui,sans-serif;color:#1f2328;background:#fff;max-width:72rem;margin:2rem auto;padding:0 1rem}\n"
"h1{font-size:1.7rem;border-bottom:1px solid #d1d9e0;padding-bottom:.3rem;overflow-wrap:anywhere}h2{font-size:1.25rem;margin-top:2rem}\n"
"dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.5rem}dt{color:#59636e}dd{margin:0;overflow-wrap:anywhere}\n"
".table{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem}\n"
"th,td{border:1px solid #d1d9e0;padding:.3rem .6rem;text-align:start;vertical-align:top;min-width:3rem}\n"
"th{background:#f6f8fa;white-space:nowrap}tr:nth-child(even) td{background:#fbfcfd}\n"
"code,pre{font:.85rem/1.45 ui-monospace,monospace}code{white-space:pre-wrap;overflow-wrap:anywhere}pre{background:#f6f8fa;padding:1rem;overflow-x:auto}\n"
"@media(prefers-color-scheme:dark){body{color:#d1d7e0;background:#0d1117}h1,th,td{border-color:#3d444d}dt{color:#9198a1}"
"th,pre{background:#151b23}tr:nth-child(even) td{background:#10151c}}\n"
"@media print{body{max-width:none;margin:0}.table{overflow:visible}pre{white-space:pre-wrap}}\n";

static void
end_facts(Report *page)
{
	if (!page->in_facts)
		return;
	appendStringInfoString(&page->buf, page->html ? "</dl>\n" : "\n");
	page->in_facts = false;
}

Report *
page_begin(bool html, const char *title)
{
	Report	   *page = palloc0(sizeof(Report));
	StringInfo	buf = &page->buf;

	page->html = html;
	initStringInfo(buf);
	if (!html)
	{
		appendStringInfoString(buf, "# ");
		markdown_text(buf, title);
		appendStringInfoString(buf, "\n\n");
		return page;
	}
	appendStringInfoString(buf, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
						   "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
						   "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
	html_text(buf, title, " ");
	appendStringInfo(buf, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<h1>", style);
	html_value(buf, title, false);
	appendStringInfoString(buf, "</h1>\n");
	return page;
}

void
page_heading(Report *page, const char *text)
{
	end_facts(page);
	appendStringInfo(&page->buf, page->html ? "<h2>" : "## ");
	append_value(page, text, false);
	appendStringInfoString(&page->buf, page->html ? "</h2>\n" : "\n\n");
}

void
page_text(Report *page, const char *text)
{
	end_facts(page);
	if (page->html)
		appendStringInfoString(&page->buf, "<p>");
	/* no list, heading or quotation begins here */
	else if (text[0] && strchr("#+-=>", text[0]))
		appendStringInfoChar(&page->buf, '\\');
	append_value(page, text, false);
	appendStringInfoString(&page->buf, page->html ? "</p>\n" : "\n\n");
}

void
page_fact(Report *page, const char *name, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	if (!page->in_facts && page->html)
		appendStringInfoString(&page->buf, "<dl>\n");
	page->in_facts = true;
	if (page->html)
		appendStringInfo(&page->buf, "<dt>%s</dt><dd>", name);
	else
		appendStringInfo(&page->buf, "- **%s:** ", name);
	append_value(page, value, false);
	appendStringInfoString(&page->buf, page->html ? "</dd>\n" : "\n");
}

static void
html_table(StringInfo buf, int ncolumns, const char *const *headings, const char *code, List *rows)
{
	ListCell   *lc;

	appendStringInfoString(buf, "<div class=\"table\"><table>\n<thead><tr>");
	for (int i = 0; i < ncolumns; i++)
		appendStringInfo(buf, "<th>%s</th>", headings[i]);
	appendStringInfoString(buf, "</tr></thead>\n<tbody>\n");
	foreach(lc, rows)
	{
		char	  **cells = lfirst(lc);

		appendStringInfoString(buf, "<tr>");
		for (int i = 0; i < ncolumns; i++)
		{
			appendStringInfoString(buf, "<td>");
			if (cells[i] && cells[i][0])
				html_value(buf, cells[i], code[i] == '1');
			appendStringInfoString(buf, "</td>");
		}
		appendStringInfoString(buf, "</tr>\n");
	}
	appendStringInfoString(buf, "</tbody></table></div>\n");
}

static void
markdown_table(StringInfo buf, int ncolumns, const char *const *headings, const char *code, List *rows)
{
	ListCell   *lc;

	for (int i = 0; i < ncolumns; i++)
		appendStringInfo(buf, "| %s ", headings[i]);
	appendStringInfoString(buf, "|\n");
	for (int i = 0; i < ncolumns; i++)
		appendStringInfoString(buf, "|---");
	appendStringInfoString(buf, "|\n");
	foreach(lc, rows)
	{
		char	  **cells = lfirst(lc);

		for (int i = 0; i < ncolumns; i++)
		{
			appendStringInfoString(buf, "| ");
			if (cells[i] && code[i] == '1')
				markdown_code(buf, cells[i]);
			else if (cells[i])
				markdown_text(buf, cells[i]);
			if (cells[i] && cells[i][0])
				appendStringInfoChar(buf, ' ');
		}
		appendStringInfoString(buf, "|\n");
	}
	appendStringInfoChar(buf, '\n');
}

void
page_table(Report *page, int ncolumns, const char *const *headings, const char *code, List *rows)
{
	end_facts(page);
	if (page->html)
		html_table(&page->buf, ncolumns, headings, code, rows);
	else
		markdown_table(&page->buf, ncolumns, headings, code, rows);
}

/* Lines as they are; nothing in them ends the block. */
void
page_code(Report *page, const char *text)
{
	StringInfo	buf = &page->buf;
	int			ticks = Max(3, longest_run(text, '`') + 1);

	end_facts(page);
	if (page->html)
	{
		appendStringInfoString(buf, "<pre><bdi>");
		html_text(buf, text, "\n");
		appendStringInfoString(buf, "</bdi></pre>\n");
		return;
	}
	append_repeated(buf, '`', ticks);
	appendStringInfoChar(buf, '\n');
	while (*text)
	{
		const char *from = text;
		pg_wchar	c = next_char(&text);

		if (is_hidden(c))
			append_hidden(buf, c);
		else
			appendBinaryStringInfo(buf, from, text - from);
	}
	appendStringInfoChar(buf, '\n');
	append_repeated(buf, '`', ticks);
	appendStringInfoString(buf, "\n\n");
}

char *
page_end(Report *page)
{
	end_facts(page);
	if (page->html)
		appendStringInfoString(&page->buf, "</body>\n</html>\n");
	return page->buf.data;
}
