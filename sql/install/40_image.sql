/*
 * Images for the eye.
 */
CREATE FUNCTION safemig.image(classid oid, objid oid,
							  OUT part text, OUT name text, OUT value text)
RETURNS SETOF record STRICT LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_image';
REVOKE EXECUTE ON FUNCTION safemig.image(oid, oid) FROM PUBLIC;
COMMENT ON FUNCTION safemig.image(oid, oid) IS
'The canonical description of an object as safemig sees it now: one row per facet. part is '''' for the object itself or the name of a column. Facets whose name starts with @ are hints that are never compared. Takes no lock.';

CREATE FUNCTION safemig.image_sql(classid oid, objid oid)
RETURNS SETOF text STRICT LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'safemig_image_sql';
REVOKE EXECUTE ON FUNCTION safemig.image_sql(oid, oid) FROM PUBLIC;
COMMENT ON FUNCTION safemig.image_sql(oid, oid) IS
'The statements that would make the object anew from its image. Takes no lock.';
