-- The extension itself: where it lives, what it brings, and that it goes
-- without a trace.  The other tests use the extension created here.

-- any search_path will do
SET search_path = '';
CREATE EXTENSION safemig;
RESET search_path;

SELECT e.extname, n.nspname AS schema, e.extrelocatable,
       e.extversion = d.default_version AS is_default_version,
       pg_catalog.obj_description(e.oid, 'pg_extension') AS description
FROM pg_catalog.pg_extension e
JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
JOIN pg_catalog.pg_available_extensions d ON d.name = e.extname
WHERE e.extname = 'safemig';

-- It listens to all four events, also under session_replication_role = replica.
SELECT t.evtevent::text COLLATE "C" AS event, t.evtenabled AS enabled, count(*)
FROM pg_catalog.pg_event_trigger t
JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_event_trigger'::pg_catalog.regclass
                           AND d.objid = t.oid AND d.deptype = 'e'
JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
WHERE e.extname = 'safemig'
GROUP BY 1, 2
ORDER BY 1, 2;

-- The role that kept tables belong to is nobody's and can do nothing.
SELECT rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication,
       (SELECT count(*) FROM pg_catalog.pg_auth_members m
        WHERE m.roleid = r.oid OR m.member = r.oid) AS memberships
FROM pg_catalog.pg_roles r
WHERE r.rolname = 'safemig_vault';

-- Every function of the public face is documented.
SELECT p.oid::pg_catalog.regprocedure AS undocumented
FROM pg_catalog.pg_proc p
WHERE p.proname ~ '^safemig_' AND p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace
  AND pg_catalog.obj_description(p.oid, 'pg_proc') IS NULL
ORDER BY 1;

-- Nothing is kept yet, so nothing stands against dropping it.
DROP EXTENSION safemig;
SELECT count(*) AS left_behind FROM (
    SELECT 1 FROM pg_catalog.pg_proc WHERE proname ~ '^safemig_'
    UNION ALL
    SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname ~ '^safemig'
    UNION ALL
    SELECT 1 FROM pg_catalog.pg_event_trigger WHERE evtname ~ '^!safemig'
) AS t;

CREATE EXTENSION safemig;
SELECT count(*) AS migrations FROM safemig.migrations;
