/*
 * The rows of tables, kept as they are.
 */
CREATE FUNCTION pg_catalog.safemig_snapshot(label text, VARIADIC tables regclass[])
RETURNS bigint LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_snapshot';
COMMENT ON FUNCTION pg_catalog.safemig_snapshot(text, regclass[]) IS
'Copies the rows of these tables, and of what inherits from them or is a partition of them, as they are now, under one snapshot of the database. safemig_rollback(id) makes them hold exactly these rows again: what was inserted since goes, what was changed or deleted comes back, all tables in one set; what that replaces is kept, so that safemig_redo(id) brings it back. Takes ACCESS SHARE on the tables: others go on writing. The caller must own the tables, or administer safemig. Errors: SM008 a value that cannot be copied exactly.';

CREATE FUNCTION safemig.restore_rows(kept bigint[], VARIADIC trees text[] DEFAULT '{}')
	RETURNS void LANGUAGE C STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_restore_rows';
REVOKE EXECUTE ON FUNCTION safemig.restore_rows(bigint[], text[]) FROM PUBLIC;
COMMENT ON FUNCTION safemig.restore_rows(bigint[], text[]) IS
	'makes tables hold exactly the rows that were kept, proved by number and checksum; SM003 if a foreign key would be broken, or if one of trees has got a partition or child since';

CREATE FUNCTION safemig.undo_writes(kept bigint[])
	RETURNS void LANGUAGE C STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_undo_writes';
REVOKE EXECUTE ON FUNCTION safemig.undo_writes(bigint[]) FROM PUBLIC;
COMMENT ON FUNCTION safemig.undo_writes(bigint[]) IS
	'takes back what a migration did to the rows of tables; what was written since stays, and is a conflict (SM003) where it is in the same columns';

CREATE FUNCTION safemig.undo_large_objects(command bigint)
	RETURNS void LANGUAGE C STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'safemig_undo_large_objects';
REVOKE EXECUTE ON FUNCTION safemig.undo_large_objects(bigint) FROM PUBLIC;
COMMENT ON FUNCTION safemig.undo_large_objects(bigint) IS
	'takes back what a migration did to large objects: those that it made go, those that it unlinked come back with what was in them, pages that it wrote hold again what they held; a page that was written since is a conflict (SM003)';
