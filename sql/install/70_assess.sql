/*
 * Risk before a migration runs.
 */
CREATE FUNCTION pg_catalog.safemig_assess(script text, observe boolean DEFAULT false, hold_budget interval DEFAULT '5s')
RETURNS TABLE(statement int, command text, rule text, severity text, object text, lock_mode text, cost text, undo text, undo_lock_mode text, undo_cost text, kept text, why text, safer text, sql text, outcome text, observed_lock_mode text, observed_cost text, query text, refused_rows bigint, rows bigint, bytes bigint, kept_bytes bigint, ms_estimate double precision) LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_assess';

CREATE FUNCTION safemig.rules()
RETURNS TABLE(name text, severity text, lock_mode text, cost text, undo text, undo_lock_mode text, undo_cost text, description text, safer text, source text) LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'safemig_rules';
COMMENT ON FUNCTION safemig.rules() IS
'The rules of safemig_assess and safemig.policy, as safemig.rules shows them.';
GRANT EXECUTE ON FUNCTION safemig.rules() TO PUBLIC;

CREATE VIEW safemig.rules AS SELECT * FROM safemig.rules();
GRANT SELECT ON safemig.rules TO PUBLIC;
