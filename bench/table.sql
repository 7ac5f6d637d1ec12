--
-- The table of budgets of doc/performance.md.
--
WITH median AS (
	SELECT what, side, ms FROM bench.median WHERE n = 0
), ratio(ord, what, budget, figure) AS (
	SELECT 1, 'capture of one command on a table of ten columns, processor time', '≤ 0.3 ms',
		(SELECT format('%s ms', round((c.ms - b.ms)::numeric, 2)) FROM median c, median b
		WHERE (c.what, c.side, b.what, b.side) = ('command', 'captured', 'command', 'bare'))
	UNION ALL SELECT CASE c.what WHEN 'dependants' THEN 2 ELSE 2.5 END,
		format('the same, for each further index or constraint of the table, which the command %s change',
			CASE c.what WHEN 'dependants' THEN 'may' ELSE 'cannot' END), '≤ 10 µs',
		format('%s µs', round(((c.ms - b.ms - d.ms + e.ms) * 10)::numeric, 1))
	FROM median c, median b, median d, median e
	WHERE c.what IN ('dependants', 'spared dependants') AND (c.side, b.side, b.what) = ('captured', 'bare', c.what)
		AND (d.what, d.side, e.what, e.side) = ('command', 'captured', 'command', 'bare')
	UNION ALL SELECT v.ord, v.what, v.budget,
		(SELECT CASE WHEN v.below IS NULL THEN format('%s ms', round(a.ms::numeric, 1))
			ELSE round((a.ms / b.ms)::numeric, 2)::text END
		FROM median a LEFT JOIN median b ON b.what = v.name AND b.side = v.below
		WHERE a.what = v.name AND a.side = v.above)
	FROM (VALUES
		(3, 'a migration of 17 statements, each committed, captured / bare', '≤ 1.10', 'chain, committed', 'captured', 'bare'),
		(4, 'the same in one transaction', '≤ 1.5', 'chain, one transaction', 'captured', 'bare'),
		(5, 'DROP TABLE kept, ' || :'big' || ' rows / 10,000 rows', '≤ 1.5', 'drop table', 'big', 'small'),
		(6, 'rollback of it, ' || :'big' || ' rows', '≤ 50 ms', 'drop table, back', 'big', NULL),
		(7, 'pg_restore of the table / that rollback', '≥ 1000 at 10 million rows', 'drop table, back', 'pg_restore', 'big'),
		(8, 'DROP COLUMN kept / CREATE TABLE AS SELECT key, column', '≤ 1.0', 'drop column', 'kept', 'copy'),
		(9, 'rollback of it / UPDATE … FROM a copy by hand, one row in 1,000 changed since', '≤ 0.1', 'drop column, back', 'rollback', 'by hand'),
		(10, 'ALTER COLUMN TYPE … USING kept / bare, ten columns', '≤ 1.3', 'type', 'kept', 'bare'),
		(11, 'the same, two columns', '≤ 1.7', 'type, narrow', 'kept', 'bare'),
		(12, 'ALTER COLUMN TYPE … USING kept / CREATE TABLE AS SELECT key, column, and the bare one', '–', 'type', 'kept', 'by hand'),
		(13, 'lossless ALTER COLUMN TYPE captured / bare', '≤ 1.05', 'type, lossless', 'kept', 'bare'),
		(14, 'UPDATE of ' || :'big' || ' rows captured / bare', '≤ 1.5', 'update', 'captured', 'bare'),
		(15, 'the same / an audit trigger in PL/pgSQL', '≤ 0.8', 'update', 'captured', 'trigger'),
		(16, 'the same / CREATE TABLE AS SELECT key, column, and the bare UPDATE', '–', 'update', 'captured', 'by hand'),
		(17, 'rollback of it / the bare UPDATE', '≤ 1.0', 'update', 'rollback', 'bare'),
		(18, 'the same / UPDATE … FROM the copy by hand', '–', 'update', 'rollback', 'back by hand'),
		(19, 'DELETE of ' || :'big' || ' rows captured / bare', '–', 'delete', 'captured', 'bare'),
		(20, 'the same / an audit trigger in PL/pgSQL', '–', 'delete', 'captured', 'trigger'),
		(21, 'the same / CREATE TABLE AS SELECT *, and the bare DELETE', '–', 'delete', 'captured', 'by hand'),
		(22, 'rollback of it / INSERT … SELECT from the copy by hand', '–', 'delete', 'rollback', 'back by hand'),
		(23, 'COPY of ' || :'big' || ' rows into a table that is there, captured / bare', '–', 'copy', 'captured', 'bare'),
		(24, 'the same / an audit trigger in PL/pgSQL', '–', 'copy', 'captured', 'trigger'),
		(25, 'rollback of it / DELETE of the new keys by hand', '–', 'copy', 'rollback', 'back by hand'),
		(27, 'plan of a migration among ' || :'migrations' || ' / among few', '≤ 1.5', 'plan', 'long', 'short'),
		(27.5, 'DROP COLUMN kept, ' || :'rows' || ' rows: the longest that a reader of the table waits', '≤ 50 ms', 'wait', 'drop column', NULL),
		(28, 'DROP SCHEMA of ' || :'tables' || ' tables, captured / bare', '≤ 1.6', 'drop schema', 'captured', 'bare'),
		(29, 'rollback of it / bare DROP SCHEMA', '–', 'drop schema', 'rollback', 'bare')
	) v(ord, what, budget, name, above, below)
	UNION ALL SELECT 27.2, 'history of one command, with its indexes', '–',
		(SELECT format('%s bytes', round(ms)) FROM median WHERE what = 'history')
	UNION ALL SELECT 26, 'memory that a session needs more to write 5,000,000 rows, captured; to take them back (in brackets: a tenth of them)', 'flat',
		(SELECT format('%s MB (%s MB); %s MB (%s MB)', round(f.ms / 1048576), round(fs.ms / 1048576), round(b.ms / 1048576), round(bs.ms / 1048576))
		FROM median f, median fs, median b, median bs
		WHERE (f.what, f.side, b.what, b.side) = ('memory, captured', '5000000', 'memory, back', '5000000')
		AND (fs.what, fs.side, bs.what, bs.side) = ('memory, captured', '500000', 'memory, back', '500000'))
)
SELECT format('| %s | %s | %s |', what, budget, COALESCE(figure, 'not measured'))
FROM ratio ORDER BY ord;
