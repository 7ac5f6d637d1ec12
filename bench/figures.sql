--
-- The other tables of doc/performance.md, and what its plots are drawn from:
-- called by bench/run, which says :figure.
--
SELECT :'figure' = 'sizes' AS sizes, :'figure' = 'objects' AS objects, :'figure' = 'kinds' AS kinds,
	:'figure' = 'waits' AS waits, :'figure' = 'plot' AS plot \gset
\if :sizes
SELECT format('| %s of %s rows | %s | %s | %s | %s | %s |', what, to_char(n, 'FM999,999,999'),
	round(max(ms) FILTER (WHERE side = 'bare')::numeric, 1), round(max(ms) FILTER (WHERE side = 'captured')::numeric, 1),
	round(max(ms) FILTER (WHERE side = 'by hand')::numeric, 1), round(max(ms) FILTER (WHERE side = 'rollback')::numeric, 1),
	round(max(ms) FILTER (WHERE side = 'back by hand')::numeric, 1))
FROM bench.median WHERE n > 0 AND what IN ('DROP TABLE', 'DROP COLUMN', 'ALTER COLUMN TYPE', 'UPDATE') GROUP BY what, n ORDER BY what, n;
\elif :objects
SELECT format('| %s: %s | %s | %s | %s |', what, to_char(n, 'FM999,999'),
	round(max(ms) FILTER (WHERE side = 'bare')::numeric, 1), round(max(ms) FILTER (WHERE side = 'captured')::numeric, 1),
	round(max(ms) FILTER (WHERE side = 'rollback')::numeric, 1))
FROM bench.median WHERE n > 0 AND what IN ('DROP SCHEMA', 'ADD COLUMN to partitions') GROUP BY what, n ORDER BY what DESC, n;
\elif :kinds
SELECT format('| `%s` | %s | %s |', side,
	round(max(ms) FILTER (WHERE n = 1)::numeric, 2), round(max(ms) FILTER (WHERE n = 2)::numeric, 2))
FROM bench.median WHERE what = 'kind' GROUP BY side ORDER BY max(ms) FILTER (WHERE n = 2) - max(ms) FILTER (WHERE n = 1) DESC;
\elif :waits
SELECT format('| %s | %s |', side, round(ms::numeric, 1)) FROM bench.median WHERE what = 'wait' ORDER BY side;
\elif :plot
SELECT concat_ws('|', what, side, n, ms) FROM bench.median WHERE n > 0 ORDER BY what, side, n;
\endif
