-- What hangs on the tables: one line each, "what|how many".
WITH relation AS (
    SELECT c.* FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
)
SELECT what || '|' || n FROM (
    SELECT 1, 'primary and unique keys', count(*)
    FROM pg_constraint k JOIN relation r ON r.oid = k.conrelid WHERE k.contype IN ('p', 'u')
    UNION ALL
    SELECT 2, 'foreign keys', count(*)
    FROM pg_constraint k JOIN relation r ON r.oid = k.conrelid WHERE k.contype = 'f'
    UNION ALL
    SELECT 3, 'checks, NOT NULL, defaults', (
        SELECT count(*) FROM pg_constraint k JOIN relation r ON r.oid = k.conrelid WHERE k.contype = 'c')
        + sum(a.attnotnull::int + a.atthasdef::int + (a.attidentity <> '')::int)
    FROM pg_attribute a JOIN relation r ON r.oid = a.attrelid
    WHERE r.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT 4, 'indexes', count(*) FROM relation WHERE relkind = 'i'
    UNION ALL
    SELECT 5, 'views', count(*) FROM relation WHERE relkind = 'v'
    UNION ALL
    SELECT 6, 'triggers', count(*)
    FROM pg_trigger t JOIN relation r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
    UNION ALL
    SELECT 7, 'comments', count(*)
    FROM pg_description d JOIN relation r ON r.oid = d.objoid AND d.classoid = 'pg_class'::regclass
    UNION ALL
    SELECT 8, 'privileges of others', (
        SELECT count(*) FROM relation r, aclexplode(r.relacl) x WHERE x.grantee <> r.relowner)
        + (SELECT count(*) FROM pg_attribute a JOIN relation r ON r.oid = a.attrelid, aclexplode(a.attacl) x
           WHERE x.grantee <> r.relowner)
    UNION ALL
    SELECT 9, 'later writes', (SELECT count(*) FROM orders WHERE id > 200000)
        + (SELECT count(*) FROM orders WHERE status = 'shipped')
        + (SELECT count(*) FROM customers WHERE id > 20000)
        + (SELECT (count(*) = 0)::int FROM order_items WHERE order_id = 44)
) AS t (place, what, n)
ORDER BY place;
