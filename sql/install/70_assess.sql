/*
 * Risk before a migration runs.
 */
CREATE FUNCTION pg_catalog.safemig_assess(script text, observe boolean DEFAULT false, hold_budget interval DEFAULT '5s')
RETURNS TABLE(statement int, command text, rule text, severity text, object text, lock_mode text, cost text, undo text, undo_lock_mode text, undo_cost text, kept text, why text, safer text, sql text, outcome text, observed_lock_mode text, observed_cost text, query text, refused_rows bigint, rows bigint, bytes bigint, kept_bytes bigint, ms_estimate double precision, estimate_source text) LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'safemig_assess';
COMMENT ON FUNCTION pg_catalog.safemig_assess(text, boolean, interval) IS
'What a script will lock, cost and lose, before it is run: for each statement a row for each rule of safemig.rules that it meets and each object that it meets it with, then a row with rule NULL for each further relation that it locks, or one for a statement that meets none. lock_mode is spelt as pg_locks would say it in words, NULL where none is taken that keeps anybody from writing or changing it; cost is catalog, scan, index or rewrite; undo, undo_lock_mode and undo_cost say the same of the way back, kept what safemig keeps for it. safer is a form that can be pasted, with ... where something has to be filled in. query shows the rows that the statement would refuse, or the statements that name what goes. rows, bytes and kept_bytes are those of the relation by its statistics; ms_estimate is in milliseconds; estimate_source says where it comes from: measured, from what such commands and the steps of rollbacks took in this database; assumed, from what is usual, where fewer than three were measured. The script is parsed, not run: it takes no lock that anybody would have to wait for. With observe it is also run, with the caller''s rights, in a subtransaction that is undone: outcome (done; failed with the error; not tried with the reason; not reached; ended), observed_lock_mode, observed_cost and refused_rows are what was seen then; it takes the locks of the script and gives them back when it ends, after hold_budget at the latest (1 ms to 24 days). What no transaction takes back (sequence positions, files, other servers) stays. Errors: 22004 script is null; 22023 a budget out of range; 42601 the script cannot be parsed.';

CREATE FUNCTION safemig.rules()
RETURNS TABLE(name text, severity text, lock_mode text, cost text, undo text, undo_lock_mode text, undo_cost text, description text, safer text, source text) LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'safemig_rules';
COMMENT ON FUNCTION safemig.rules() IS
'The rules of safemig_assess and safemig.policy, as safemig.rules shows them.';
GRANT EXECUTE ON FUNCTION safemig.rules() TO PUBLIC;

CREATE VIEW safemig.rules AS SELECT * FROM safemig.rules();
GRANT SELECT ON safemig.rules TO PUBLIC;
COMMENT ON VIEW safemig.rules IS
'The rules that safemig_assess and safemig.policy know.';
COMMENT ON COLUMN safemig.rules.name IS 'As rule in safemig_assess and safemig.policies.';
COMMENT ON COLUMN safemig.rules.severity IS 'critical: data is lost; high: an outage or a failure; medium; low: advice.';
COMMENT ON COLUMN safemig.rules.lock_mode IS 'The lock that it is about, on a relation of the statement; NULL: it is not about one.';
COMMENT ON COLUMN safemig.rules.cost IS 'catalog, scan, index or rewrite, if nothing that is there makes it cheaper.';
COMMENT ON COLUMN safemig.rules.undo IS 'What a rollback can do: exact, kept (exact, from what safemig keeps), not needed, irreversible.';
COMMENT ON COLUMN safemig.rules.undo_lock_mode IS 'The lock that a rollback takes.';
COMMENT ON COLUMN safemig.rules.undo_cost IS 'Its cost.';
COMMENT ON COLUMN safemig.rules.description IS 'Why it matters.';
COMMENT ON COLUMN safemig.rules.safer IS 'Template of the safer form; safemig_assess fills it in.';
COMMENT ON COLUMN safemig.rules.source IS 'What it rests on: measured (locks and files, in PostgreSQL), practice, or safemig''s own knowledge.';

/*
 * Exceptions from safemig.policy.
 */
CREATE FUNCTION safemig.is_rule(name text) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS 'SELECT EXISTS (SELECT FROM safemig.rules() r WHERE r.name OPERATOR(pg_catalog.=) $1)';
COMMENT ON FUNCTION safemig.is_rule(text) IS
'Is there a rule of that name in safemig.rules?';

CREATE TABLE safemig.policies (
	rule		text CONSTRAINT policies_rule CHECK (safemig.is_rule(rule)),	-- NULL: any
	role		text,			-- NULL: any
	schema_name	text,			-- NULL: any
	below		bigint CHECK (below > 0),	-- NULL: any size
	action		text NOT NULL CHECK (action IN ('off', 'warn', 'block')),
	reason		text NOT NULL
);
CREATE UNIQUE INDEX policies_key ON safemig.policies
	(COALESCE(rule, ''), COALESCE(role, ''), COALESCE(schema_name, ''), COALESCE(below, 0));
ALTER TABLE safemig.policies REPLICA IDENTITY FULL;
GRANT SELECT ON safemig.policies TO PUBLIC;
COMMENT ON TABLE safemig.policies IS
'Exceptions from safemig.policy, both ways; the owner of the extension writes them. Of the rows that fit the most particular one decides: one that names the rule, then one that names the role, then the schema, then the smallest size.';
COMMENT ON COLUMN safemig.policies.rule IS 'The rule that it is about; NULL: any.';
COMMENT ON COLUMN safemig.policies.role IS 'Who runs the command: this role, or a member; NULL: anybody.';
COMMENT ON COLUMN safemig.policies.schema_name IS 'Schema of the object; NULL: any.';
COMMENT ON COLUMN safemig.policies.below IS 'Only for relations of fewer bytes; NULL: any.';
COMMENT ON COLUMN safemig.policies.action IS 'off, warn or block.';
COMMENT ON COLUMN safemig.policies.reason IS 'Why.';
SELECT pg_catalog.pg_extension_config_dump('safemig.policies', '');
