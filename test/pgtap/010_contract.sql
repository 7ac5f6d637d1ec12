-- The calls and views that others write into their tools.  A test that fails
-- here means that somebody's script breaks.
BEGIN;
SELECT plan(90);

-- The calls: name, arguments with names and types, result.  An argument in
-- brackets has a default.
CREATE TEMPORARY VIEW face AS
SELECT p.proname::text AS name,
       (SELECT coalesce(string_agg(CASE WHEN i > p.pronargs - p.pronargdefaults
                                   THEN format('[%s %s]', p.proargnames[i], format_type(t, NULL))
                                   ELSE format('%s %s', p.proargnames[i], format_type(t, NULL)) END,
                                   ', ' ORDER BY i), '')
        FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a(t, i)) AS arguments,
       CASE WHEN NOT coalesce(p.proargmodes && '{o,t}', false) THEN pg_get_function_result(p.oid)
            ELSE (SELECT format('TABLE(%s)', string_agg(format('%s %s', p.proargnames[i], format_type(t, NULL)),
                                                        ', ' ORDER BY i))
                  FROM unnest(p.proallargtypes) WITH ORDINALITY AS a(t, i)
                  WHERE p.proargmodes[i] IN ('o', 't')) END AS result
FROM pg_proc p
WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname ~ '^safemig_';

CREATE FUNCTION pg_temp.is_call(name text, arguments text, result text) RETURNS text
LANGUAGE sql AS $$
    SELECT ok(EXISTS (SELECT FROM face f WHERE f.name = $1 AND f.arguments = $2 AND f.result = $3),
              format('%s(%s) returns %s', $1, $2, $3))
        || coalesce((SELECT E'\n' || diag('there is: ' || string_agg(
                                format('%s(%s) returns %s', f.name, f.arguments, f.result), '; '))
                     FROM face f
                     WHERE f.name = $1
                       AND NOT EXISTS (SELECT FROM face f
                                       WHERE f.name = $1 AND f.arguments = $2 AND f.result = $3)), '');
$$;

SELECT pg_temp.is_call('safemig_begin', 'label text, [reason text]', 'bigint');
SELECT pg_temp.is_call('safemig_end', '', 'bigint');
SELECT pg_temp.is_call('safemig_abort', '', 'bigint');
SELECT pg_temp.is_call('safemig_attach', 'id bigint', 'void');
SELECT pg_temp.is_call('safemig_run', 'label text, script text, [reason text]', 'bigint');
SELECT pg_temp.is_call('safemig_current', '', 'bigint');
SELECT pg_temp.is_call('safemig_last', '', 'bigint');
SELECT pg_temp.is_call('safemig_mark', '', 'bigint');

SELECT pg_temp.is_call('safemig_note', 'id bigint, key text, value text', 'void');
SELECT pg_temp.is_call('safemig_baseline', 'label text', 'bigint');
SELECT pg_temp.is_call('safemig_snapshot', 'label text, tables regclass[]', 'bigint');

SELECT pg_temp.is_call('safemig_history', 'object regclass',
    'TABLE(migration bigint, tag text, object_name text, what text, role text, label text, kind text, state text, seq bigint, started_at timestamp with time zone)');
SELECT pg_temp.is_call('safemig_plan', 'id bigint',
    'TABLE(step integer, object text, lock_mode text, cost text, rows bigint, note text, statement text, ms_estimate double precision)');
SELECT pg_temp.is_call('safemig_script', 'id bigint', 'text');
SELECT pg_temp.is_call('safemig_diff', 'id bigint',
    'TABLE(object text, facet text, before text, after text)');
SELECT pg_temp.is_call('safemig_verify', 'id bigint',
    'TABLE(object text, facet text, expected text, actual text)');

SELECT pg_temp.is_call('safemig_guard', 'id bigint, [check_query text], [every interval], [within interval], [failures integer], [confirm boolean], [on_conflict text], [reason text]', 'void');
SELECT pg_temp.is_call('safemig_unguard', 'id bigint, [reason text]', 'void');
SELECT pg_temp.is_call('safemig_confirm', 'id bigint, [reason text]', 'void');
SELECT pg_temp.is_call('safemig_expect', 'query text, [message text]', 'void');
SELECT pg_temp.is_call('safemig_drill', '[n integer], [hold_budget interval]',
    'TABLE(migration bigint, label text, outcome text, steps integer, rows bigint, ms double precision)');

SELECT pg_temp.is_call('safemig_check', 'id bigint',
    'TABLE(severity text, object text, problem text, rows bigint, hint text)');
SELECT pg_temp.is_call('safemig_rehearse', 'id bigint, [hold_budget interval]',
    'TABLE(step integer, outcome text, rows bigint, statement text, ms double precision)');
SELECT pg_temp.is_call('safemig_certificate', 'id bigint', 'text');
SELECT pg_temp.is_call('safemig_recovery_target', 'id bigint', 'text');
SELECT pg_temp.is_call('safemig_assess', 'script text, [observe boolean], [hold_budget interval]',
    'TABLE(statement integer, command text, rule text, severity text, object text, lock_mode text, cost text, undo text, undo_lock_mode text, undo_cost text, kept text, why text, safer text, sql text, outcome text, observed_lock_mode text, observed_cost text, query text, refused_rows bigint, rows bigint, bytes bigint, kept_bytes bigint, ms_estimate double precision, estimate_source text)');
SELECT pg_temp.is_call('safemig_prove', 'script text', 'TABLE(item text, outcome text, detail text)');
SELECT pg_temp.is_call('safemig_is_reversible', 'script text, [description text]', 'text');
SELECT pg_temp.is_call('safemig_rolls_back_ok', 'id bigint, [description text]', 'text');
SELECT pg_temp.is_call('safemig_rolls_back_ok', 'label text, [description text]', 'text');

SELECT pg_temp.is_call('safemig_rollback',
    'id bigint, [on_conflict text], [plan_hash text], [reason text]', 'bigint');
SELECT pg_temp.is_call('safemig_rollback',
    'label text, [on_conflict text], [plan_hash text], [reason text]', 'bigint');
SELECT pg_temp.is_call('safemig_rollback_to',
    'id bigint, [on_conflict text], [plan_hash text], [reason text]', 'bigint');
SELECT pg_temp.is_call('safemig_rollback_to',
    'label text, [on_conflict text], [plan_hash text], [reason text]', 'bigint');
SELECT pg_temp.is_call('safemig_rollback_last',
    '[n integer], [framework text], [anyone boolean], [on_conflict text], [plan_hash text], [reason text]', 'bigint');

SELECT pg_temp.is_call('safemig_doctor', '', 'TABLE(item text, status text, detail text, hint text)');
SELECT pg_temp.is_call('safemig_prune', 'id bigint, [reason text]', 'bigint');
SELECT pg_temp.is_call('safemig_prune_kept', 'kept bigint, [reason text]', 'bigint');
SELECT pg_temp.is_call('safemig_erase', 'kept bigint, condition text, [reason text]', 'bigint');
SELECT pg_temp.is_call('safemig_erase_text', 'id bigint, [reason text]', 'bigint');
SELECT pg_temp.is_call('safemig_report', 'id bigint, [format text]', 'text');
SELECT pg_temp.is_call('safemig_prune_older', 'older_than interval, [reason text]', 'bigint');
SELECT pg_temp.is_call('safemig_prune_expired', '[reason text]', 'bigint');
SELECT pg_temp.is_call('safemig_keep', 'id bigint, until timestamp with time zone, [reason text]', 'void');

-- A driver that sends an id as a text literal means the id.
SELECT is((SELECT count(*)::int FROM face WHERE name = 'safemig_rollback'), 2,
          'safemig_rollback has no third form for a literal to be ambiguous with');

-- Every call is found without a search_path, and says what it is for.
SELECT is_empty($$SELECT p.oid::regprocedure FROM pg_proc p
                  WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname ~ '^safemig_'
                    AND obj_description(p.oid, 'pg_proc') IS NULL$$,
                'every call has a comment');

-- Nothing runs with its definer's rights on the caller's search_path.
SELECT is_empty($$SELECT p.oid::regprocedure FROM pg_proc p
                  JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                                  AND d.deptype = 'e'
                  JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'safemig'
                  WHERE p.prosecdef
                    AND NOT coalesce(p.proconfig::text LIKE '%search_path=%', false)$$,
                'no security definer function without a pinned search_path');

-- The views, and the columns that are promised
SELECT has_schema('safemig');
SELECT has_view('safemig', v, 'view safemig.' || v)
FROM unnest(ARRAY['migrations', 'commands', 'changes', 'kept', 'pruned', 'failures', 'notes',
                  'ledger', 'certificates', 'progress', 'guards', 'drills', 'rules', 'command_facts', 'migration_facts',
                  'expiring', 'erased', 'stats', 'impact']) AS v;

SELECT set_eq($$SELECT attname::text FROM pg_attribute WHERE attrelid = 'safemig.policies'::regclass AND attnum > 0$$,
              ARRAY['rule', 'role', 'schema_name', 'below', 'action', 'reason'], 'columns of policies');

SELECT has_column('safemig', 'migrations', c, 'migrations.' || c)
FROM unnest(ARRAY['id', 'kind', 'label', 'framework', 'version', 'state', 'restorable',
                  'why_not', 'role', 'client', 'application', 'reason', 'started_at',
                  'finished_at', 'commands', 'kept_bytes', 'rolled_back_by',
                  'rolls_back', 'kept_until']) AS c;

-- Nobody but the library writes the history.
SELECT is_empty($$SELECT c.oid::regclass, a.grantee::regrole, a.privilege_type
                  FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS a
                  WHERE c.relnamespace = 'safemig'::regnamespace AND c.relkind = 'r'
                    AND a.grantee <> c.relowner AND a.privilege_type <> 'SELECT'$$,
                'no role but the owner may write a table of safemig');

-- The library writes them without looking at conditions and expressions of an
-- index, those two by SPI.
SELECT is_empty($$SELECT i.indexrelid::regclass
                  FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
                  WHERE c.relnamespace = 'safemig'::regnamespace
                    AND c.relname NOT IN ('guard_log', 'policies')
                    AND (i.indpred IS NOT NULL OR i.indexprs IS NOT NULL OR i.indisexclusion OR NOT i.indimmediate)$$,
                'tables of the history have plain indexes');

SELECT isnt_superuser('safemig_vault');
SELECT * FROM finish();
ROLLBACK;
