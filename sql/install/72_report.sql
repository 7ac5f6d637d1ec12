/*
 * All of it, on one page.
 */
CREATE FUNCTION pg_catalog.safemig_report(id bigint, format text DEFAULT 'markdown')
RETURNS text LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_report';
COMMENT ON FUNCTION pg_catalog.safemig_report(bigint, text) IS
'A report about a migration, rollback, redo, snapshot or baseline, for a ticket or a postmortem: who ran it and when, notes, risk, what it changed with before and after, its commands, what was kept, how it would be taken back now with locks, a timeline, and the certificate. format is markdown, or html: one page that needs nothing else, in ASCII. Names and texts are escaped; characters that are not seen, or that turn the direction of text, are shown as \uXXXX. It has what the caller may see: to be called by whoever sees the migration in safemig.migrations, while the plan is for who may roll it back. A table of it has 500 rows at most. Takes the locks of safemig_plan. Errors: SM001; 22023 another format; 22004 null.';
