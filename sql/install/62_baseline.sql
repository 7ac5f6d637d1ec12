/*
 * The state of all objects, written down.
 */
CREATE FUNCTION pg_catalog.safemig_baseline(label text)
RETURNS bigint LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_baseline';
COMMENT ON FUNCTION pg_catalog.safemig_baseline(text) IS
'Records the present state of all objects that are not members of extensions, so that safemig_verify(id) lists what differs from it later: objects changed, gone, or new. Changes nothing and keeps no data; it is not rolled back, but safemig_rollback_to(id) takes back what came after it. The caller must administer safemig. Takes no locks; DDL of others at the same time can make it fail.';
