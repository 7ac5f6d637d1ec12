/*
 * Flags in the catalogs that a rollback sets where no statement can.  Called by
 * the steps of a plan, as the extension's owner.
 */
CREATE FUNCTION safemig.set_column_local(relation text, column_name text, local boolean)
RETURNS void STRICT LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_set_column_local';
REVOKE EXECUTE ON FUNCTION safemig.set_column_local(text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION safemig.set_column_local(text, text, boolean) IS
'Says whether an inherited column of a table is also defined in the table itself. relation is a quoted, qualified name, column_name a plain one. Takes ACCESS EXCLUSIVE on the table. Errors: 42P01, 42703.';

CREATE FUNCTION safemig.set_constraint_local(relation text, constraint_name text, local boolean)
RETURNS void STRICT LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_set_constraint_local';
REVOKE EXECUTE ON FUNCTION safemig.set_constraint_local(text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION safemig.set_constraint_local(text, text, boolean) IS
'Says whether an inherited constraint of a table is also defined in the table itself. relation is a quoted, qualified name, constraint_name a plain one. Takes ACCESS EXCLUSIVE on the table. Errors: 42P01, 42704.';

CREATE FUNCTION safemig.set_index_valid(index text, valid boolean)
RETURNS void STRICT LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_set_index_valid';
REVOKE EXECUTE ON FUNCTION safemig.set_index_valid(text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION safemig.set_index_valid(text, boolean) IS
'Marks an index as one that queries may use, or not: an index that a failed CREATE INDEX CONCURRENTLY had left invalid comes back as such. index is a quoted, qualified name. Takes ACCESS EXCLUSIVE on the table and the index. Errors: 42P01, 42809.';
