/*
 * Views that lose columns, which CREATE OR REPLACE VIEW refuses.  Called by
 * the steps of a plan, as the extension's owner.
 */
CREATE FUNCTION safemig.replace_view(view_name text, keep int, query text) RETURNS void
	LANGUAGE C STRICT VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'safemig_replace_view';
REVOKE EXECUTE ON FUNCTION safemig.replace_view(text, int, text) FROM PUBLIC;
COMMENT ON FUNCTION safemig.replace_view(text, int, text) IS
	'Gives a view another query, of which the first keep columns are those that the view has, and takes the other columns away after proving that nothing uses them. view_name is a quoted, qualified name. Takes ACCESS EXCLUSIVE on the view. Errors: SM003 if something does, 42P01, 42809.';
