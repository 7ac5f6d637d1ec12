/*
 * Notes, and the history of one relation.
 */
CREATE FUNCTION pg_catalog.safemig_note(id bigint, key text, value text)
RETURNS void LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_note';
COMMENT ON FUNCTION pg_catalog.safemig_note(bigint, text, text) IS
'Notes a value under a key about a migration: approver, ticket, commit, cause. A key that is noted already gets the new value, with who noted it and when; a value of NULL takes the note away. The caller must be the role that ran the migration, or a member of it, or administer safemig. Errors: SM001.';

CREATE FUNCTION pg_catalog.safemig_history(object regclass)
RETURNS TABLE(migration bigint, tag text, object_name text, what text, role text, label text, kind text, state text, seq bigint, started_at timestamptz) LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_history';
COMMENT ON FUNCTION pg_catalog.safemig_history(regclass) IS
'What was done to a relation and to what lives in it, newest command first, by which migration, rollback or redo, and by whom. Follows it through renames, and under one name through drops and re-creations. what is created, dropped, renamed from or to, or the facets that changed; no values are shown. role is the session user. The caller must own the relation, or administer safemig. Takes no locks.';
