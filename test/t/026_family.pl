
# Copyright (c) 2026, the safemig authors

# What a table can be besides a plain one (typed, foreign, unlogged, of
# another access method, in another tablespace), and what can be set on it.
# pg_regress cannot show it: the proof is that pg_dump and the catalogs are the
# same before and after.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigTest;
use Test::More;

start_server('family', conf => "allow_in_place_tablespaces = on\nmax_prepared_transactions = 5");
value('postgres', q(CREATE TABLESPACE room LOCATION ''));

# Two tables of a type and what hangs on them; the type has a dropped
# attribute, so that numbers and positions differ.
my $typed = <<'SQL';
CREATE TYPE ty AS (a int, gone int, b text, c numeric);
ALTER TYPE ty DROP ATTRIBUTE gone;
CREATE TABLE t1 OF ty (a PRIMARY KEY, b WITH OPTIONS DEFAULT 'x' NOT NULL);
CREATE TABLE t2 OF ty (a PRIMARY KEY);
CREATE INDEX t2_c ON t2 (c);
INSERT INTO t1 SELECT i, 'v' || i, i * 1.5 FROM generate_series(1, 9) i;
INSERT INTO t2 SELECT i, 'w' || i, i * 2.5 FROM generate_series(1, 9) i;
SQL

my $foreign = <<'SQL';
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE ft (a int OPTIONS (force_not_null 'false'), b text OPTIONS (force_null 'true') DEFAULT 'x', c int NOT NULL) SERVER files OPTIONS (filename '/dev/null', format 'csv', null 'nil');
ALTER FOREIGN TABLE ft ADD CHECK (c > 0), ALTER a SET STATISTICS 7;
COMMENT ON FOREIGN TABLE ft IS 'foreign'; COMMENT ON COLUMN ft.a IS 'its a'; GRANT SELECT (b) ON ft TO alice;
SQL

my $refreshed = q(DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET session_preload_libraries = safemig', current_database()); END $$;
	CREATE TABLE t (id int PRIMARY KEY, k int); INSERT INTO t SELECT i, 1 FROM generate_series(1, 3) i; CREATE SCHEMA s;
	CREATE MATERIALIZED VIEW m AS SELECT * FROM t; CREATE UNIQUE INDEX ON m (id); CREATE MATERIALIZED VIEW m2 AS SELECT k, count(*) FROM m GROUP BY 1;
	CREATE MATERIALIZED VIEW s.m3 AS SELECT * FROM m2;);

round_trips(
	# ---- tables of a type ----
	{
		name => 'typed: ADD ATTRIBUTE CASCADE',
		setup => $typed,
		migration => 'ALTER TYPE ty ADD ATTRIBUTE d int CASCADE; UPDATE t1 SET d = 1 WHERE false',
	},
	{
		name => 'typed: DROP ATTRIBUTE CASCADE',
		setup => $typed,
		migration => 'ALTER TYPE ty DROP ATTRIBUTE c CASCADE',
	},
	{
		name => 'typed: DROP ATTRIBUTE in the middle CASCADE',
		setup => $typed,
		migration => 'ALTER TYPE ty DROP ATTRIBUTE b CASCADE',
	},
	{
		name => 'typed: ALTER ATTRIBUTE TYPE CASCADE',
		setup => $typed,
		migration => 'ALTER TYPE ty ALTER ATTRIBUTE c TYPE int CASCADE',
	},
	{
		name => 'typed: RENAME ATTRIBUTE CASCADE',
		setup => $typed,
		migration => 'ALTER TYPE ty RENAME ATTRIBUTE b TO bb CASCADE',
	},
	{
		name => 'typed: all three at once',
		setup => $typed,
		migration => 'ALTER TYPE ty ADD ATTRIBUTE d text CASCADE, DROP ATTRIBUTE b CASCADE, ALTER ATTRIBUTE c TYPE int CASCADE',
	},
	{
		name => 'typed: DROP TYPE CASCADE',
		setup => $typed,
		migration => 'DROP TYPE ty CASCADE',
	},
	{
		name => 'typed: DROP TABLE, then DROP TYPE',
		setup => $typed,
		migration => 'DROP TABLE t1, t2; DROP TYPE ty',
	},
	{
		name => 'typed: OF and NOT OF',
		setup => $typed . 'CREATE TABLE t3 (a int, b text, c numeric); INSERT INTO t3 VALUES (1);',
		migration => 'ALTER TABLE t3 OF ty; ALTER TABLE t1 NOT OF',
	},
	{
		name => 'typed: the type renamed and moved',
		setup => $typed . 'CREATE SCHEMA away;',
		migration => 'ALTER TYPE ty RENAME TO tz; ALTER TYPE tz SET SCHEMA away',
	},
	{
		name => 'typed: made by the migration',
		setup => 'CREATE TYPE ty AS (a int, b text)',
		migration => 'CREATE TABLE t OF ty (a PRIMARY KEY, b DEFAULT 5); INSERT INTO t VALUES (1, 2)',
	},

	# ---- row types in functions ----
	{
		name => 'row type: moved and renamed while functions take and return it',
		setup => q(CREATE SCHEMA away; CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x');
			CREATE FUNCTION takes(t) RETURNS int LANGUAGE sql AS 'SELECT $1.a'; CREATE FUNCTION gives() RETURNS SETOF t LANGUAGE sql AS 'SELECT 1, $$x$$::text';
			CREATE FUNCTION many(t[]) RETURNS t[] LANGUAGE sql AS 'SELECT $1'; CREATE VIEW v AS SELECT takes(t) FROM t),
		migration => 'ALTER TABLE t SET SCHEMA away; ALTER TABLE away.t RENAME TO u',
	},
	{
		name => 'row type: moved and renamed, the functions changed too',
		setup => q(CREATE SCHEMA away; CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x');
			CREATE FUNCTION takes(t) RETURNS int LANGUAGE sql AS 'SELECT $1.a'; CREATE FUNCTION gives() RETURNS SETOF t LANGUAGE sql AS 'SELECT 1, $$x$$::text'),
		migration => 'ALTER TABLE t SET SCHEMA away; ALTER TABLE away.t RENAME TO u; ALTER FUNCTION takes(away.u) RENAME TO took; ALTER FUNCTION gives() STABLE',
	},
	{
		name => 'row type: moved and renamed, the functions dropped',
		setup => q(CREATE SCHEMA away; CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x');
			CREATE FUNCTION takes(t) RETURNS int LANGUAGE sql AS 'SELECT $1.a'; CREATE FUNCTION gives() RETURNS SETOF t LANGUAGE sql AS 'SELECT 1, $$x$$::text'),
		migration => 'ALTER TABLE t SET SCHEMA away; ALTER TABLE away.t RENAME TO u; DROP FUNCTION takes(away.u); DROP TABLE away.u CASCADE',
	},

	# ---- materialized views ----
	{
		name => 'matview: dropped with stale rows',
		setup => q(CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE MATERIALIZED VIEW m AS SELECT * FROM t; INSERT INTO t VALUES (2); CREATE UNIQUE INDEX ON m (a)),
		migration => 'DROP MATERIALIZED VIEW m',
		after => 'INSERT INTO t VALUES (3)', same => 'INSERT INTO t VALUES (3)',
		once => 1,
	},
	{
		name => 'matview: refreshed that was not populated',
		setup => q(CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE MATERIALIZED VIEW m AS SELECT * FROM t WITH NO DATA),
		migration => 'REFRESH MATERIALIZED VIEW m',
	},
	{
		name => 'matview: refreshed after rows that it reads were written',
		setup => $refreshed,
		migration => 'UPDATE t SET k = 5; REFRESH MATERIALIZED VIEW CONCURRENTLY m; REFRESH MATERIALIZED VIEW m2; DELETE FROM t WHERE id = 1; REFRESH MATERIALIZED VIEW m; REFRESH MATERIALIZED VIEW m2',
	},
	{
		name => 'matview: refreshed in one transaction, before and after other commands',
		setup => $refreshed,
		migration => 'BEGIN; REFRESH MATERIALIZED VIEW m2; UPDATE t SET k = 5; REFRESH MATERIALIZED VIEW m; REFRESH MATERIALIZED VIEW m2; ALTER TABLE t ADD z int; DELETE FROM t WHERE id = 2; REFRESH MATERIALIZED VIEW m; REFRESH MATERIALIZED VIEW m2; REFRESH MATERIALIZED VIEW s.m3; COMMIT',
	},
	{
		name => 'matview: renamed between two refreshes',
		setup => $refreshed,
		migration => 'UPDATE t SET k = 5; REFRESH MATERIALIZED VIEW m; ALTER SCHEMA s RENAME TO ss; ALTER MATERIALIZED VIEW m RENAME TO mm; REFRESH MATERIALIZED VIEW mm; REFRESH MATERIALIZED VIEW m2; REFRESH MATERIALIZED VIEW ss.m3; ALTER MATERIALIZED VIEW mm RENAME TO m',
	},
	{
		name => 'matview: one that reads another, emptied and filled',
		setup => $refreshed . 'REFRESH MATERIALIZED VIEW m2 WITH NO DATA',
		migration => 'REFRESH MATERIALIZED VIEW m2; UPDATE t SET k = 5; REFRESH MATERIALIZED VIEW m; CREATE MATERIALIZED VIEW more AS SELECT * FROM m2; REFRESH MATERIALIZED VIEW m2; UPDATE t SET k = 6; REFRESH MATERIALIZED VIEW more; REFRESH MATERIALIZED VIEW m WITH NO DATA',
	},
	{
		name => 'matview: filled for a while, for one that reads it',
		setup => $refreshed . 'REFRESH MATERIALIZED VIEW m WITH NO DATA',
		migration => 'REFRESH MATERIALIZED VIEW m; REFRESH MATERIALIZED VIEW m2; DELETE FROM t WHERE id = 2; REFRESH MATERIALIZED VIEW m; REFRESH MATERIALIZED VIEW m2 WITH NO DATA',
	},
	{
		name => 'matview: emptied',
		setup => q(CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE MATERIALIZED VIEW m AS SELECT * FROM t),
		migration => 'REFRESH MATERIALIZED VIEW m WITH NO DATA',
	},

	# ---- foreign tables ----
	{
		name => 'foreign: made',
		setup => 'CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;',
		migration => ($foreign =~ s/CREATE EXTENSION.*\nCREATE SERVER.*\n//r),
	},
	{
		name => 'foreign: dropped',
		setup => $foreign . 'CREATE VIEW v AS SELECT * FROM ft;',
		migration => 'DROP FOREIGN TABLE ft CASCADE',
	},
	{
		name => 'foreign: altered',
		setup => $foreign,
		migration => q(ALTER FOREIGN TABLE ft OPTIONS (SET filename '/dev/zero', DROP null, ADD delimiter ';'), ALTER a OPTIONS (DROP force_not_null), ALTER b OPTIONS (SET force_null 'false'), ALTER c OPTIONS (ADD force_null 'true'),
			ADD d int DEFAULT 4, ALTER b TYPE varchar(9), ALTER b DROP DEFAULT, ALTER c DROP NOT NULL, ALTER a SET STATISTICS -1, DROP CONSTRAINT ft_c_check),
	},
	{
		name => 'foreign: a column dropped',
		setup => $foreign,
		migration => 'ALTER FOREIGN TABLE ft DROP COLUMN b; ALTER FOREIGN TABLE ft DROP COLUMN c',
	},
	{
		name => 'foreign: a column of a tree with foreign members dropped',
		setup => $foreign . q(CREATE TABLE pt (a int, b text, c int) PARTITION BY RANGE (a); CREATE FOREIGN TABLE fp PARTITION OF pt FOR VALUES FROM (1) TO (5) SERVER files OPTIONS (filename '/dev/null');
			CREATE TABLE lp PARTITION OF pt FOR VALUES FROM (5) TO (10); INSERT INTO pt VALUES (6, 'b', 7); ALTER FOREIGN TABLE fp ALTER b SET DEFAULT 'foreign', ALTER b OPTIONS (ADD force_null 'true');
			CREATE TABLE p (a int, b text NOT NULL, c int); INSERT INTO p VALUES (1, 'x', 2); CREATE FOREIGN TABLE fc (b text) INHERITS (p) SERVER files OPTIONS (filename '/dev/null');),
		migration => 'ALTER TABLE pt DROP COLUMN b; ALTER TABLE p DROP COLUMN b',
	},
	{
		name => 'foreign: values lost in a tree with a foreign member',
		setup => $foreign . q(CREATE TABLE pt (a int, b text, c numeric) PARTITION BY RANGE (a); CREATE FOREIGN TABLE fp PARTITION OF pt FOR VALUES FROM (1) TO (5) SERVER files OPTIONS (filename '/dev/null');
			CREATE TABLE lp PARTITION OF pt FOR VALUES FROM (5) TO (10); INSERT INTO pt VALUES (6, 'b', 7.5);),
		migration => 'ALTER TABLE pt ALTER c TYPE int',
		refused => qr/irreversible.*foreign table public\.fp/s,
	},
	{
		name => 'foreign: renamed, moved',
		setup => $foreign . 'CREATE SCHEMA away;',
		migration => 'ALTER FOREIGN TABLE ft RENAME a TO aa; ALTER FOREIGN TABLE ft RENAME TO gt; ALTER FOREIGN TABLE gt SET SCHEMA away; ALTER FOREIGN TABLE away.gt OWNER TO alice',
		},
	{
		name => 'foreign: a partition and a child',
		setup => $foreign . q(CREATE TABLE pt (a int, b text) PARTITION BY RANGE (a); CREATE FOREIGN TABLE fp PARTITION OF pt FOR VALUES FROM (1) TO (5) SERVER files OPTIONS (filename '/dev/null');
			CREATE TABLE p (a int, b text); CREATE FOREIGN TABLE fc () INHERITS (p) SERVER files OPTIONS (filename '/dev/null');),
		migration => 'DROP FOREIGN TABLE fp; ALTER FOREIGN TABLE fc NO INHERIT p; DROP TABLE p',
	},
	{
		name => 'foreign: the whole schema',
		setup => "CREATE SCHEMA s; SET search_path = s; $foreign",
		migration => 'DROP FOREIGN TABLE s.ft',
	},
	{
		name => 'foreign: the server dropped',
		setup => $foreign,
		migration => 'DROP SERVER files CASCADE',
	},
	{
		name => 'foreign: the extension dropped',
		setup => $foreign,
		migration => 'DROP EXTENSION file_fdw CASCADE',
	},
	{
		name => 'foreign: a trigger on one',
		setup => $foreign . q(CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER tr BEFORE INSERT ON ft FOR EACH ROW EXECUTE FUNCTION tf(); ALTER FOREIGN TABLE ft DISABLE TRIGGER tr;),
		migration => 'DROP FOREIGN TABLE ft',
	},
	{
		name => 'foreign: postgres_fdw, import',
		setup => q(CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname 'nowhere', use_remote_estimate 'true');
			CREATE FOREIGN TABLE ft (a int OPTIONS (column_name 'A b'), b text) SERVER far OPTIONS (schema_name 's', table_name 'x"y''z');),
		migration => q(ALTER FOREIGN TABLE ft OPTIONS (SET schema_name 'other', ADD fetch_size '5'), ALTER a OPTIONS (SET column_name 'c'); ALTER FOREIGN TABLE ft DROP COLUMN a),
	},

	# ---- how it is stored ----
	{
		name => 'stored: SET LOGGED, UNLOGGED',
		setup => 'CREATE TABLE l (a serial PRIMARY KEY, b text); CREATE UNLOGGED TABLE u (a int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, b text); INSERT INTO l (b) VALUES (1), (2); INSERT INTO u (b) VALUES (1)',
		migration => 'ALTER TABLE l SET UNLOGGED; ALTER TABLE u SET LOGGED',
	},
	{
		name => 'stored: unlogged dropped, made',
		setup => 'CREATE UNLOGGED TABLE u (a int PRIMARY KEY, b text); INSERT INTO u VALUES (1)',
		migration => 'DROP TABLE u; CREATE UNLOGGED TABLE w (a int)',
	},
	{
		name => 'stored: another access method',
		setup => 'CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler; CREATE TABLE h (a int PRIMARY KEY, b text); CREATE TABLE h2 (a int PRIMARY KEY, b text) USING heap2; INSERT INTO h VALUES (1); INSERT INTO h2 VALUES (2); CREATE MATERIALIZED VIEW m2 USING heap2 AS SELECT 1 a; CREATE MATERIALIZED VIEW m AS SELECT 1 a',
		migration => 'ALTER TABLE h SET ACCESS METHOD heap2; ALTER TABLE h2 SET ACCESS METHOD heap; ALTER MATERIALIZED VIEW m SET ACCESS METHOD heap2; DROP MATERIALIZED VIEW m2',
	},
	{
		name => 'stored: dropped of another access method, made',
		setup => 'CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler; CREATE TABLE h2 (a int PRIMARY KEY, b text) USING heap2; INSERT INTO h2 VALUES (2);',
		migration => 'DROP TABLE h2; CREATE TABLE h3 (a int) USING heap2',
	},
	{
		name => 'stored: the access method dropped with its table',
		setup => 'CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler; CREATE TABLE h2 (a int PRIMARY KEY, b text) USING heap2; INSERT INTO h2 VALUES (2);',
		migration => 'DROP ACCESS METHOD heap2 CASCADE',
	},
	{
		name => 'stored: the access method dropped after its tables, and a materialized view',
		setup => q(CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler; CREATE TABLE h2 (a int PRIMARY KEY, b text, c int) USING heap2; CREATE INDEX ON h2 (b);
			INSERT INTO h2 SELECT i, 'b' || i, i FROM generate_series(1, 9) i; CREATE MATERIALIZED VIEW m2 USING heap2 AS SELECT a, b FROM h2; CREATE TABLE p (a int) PARTITION BY LIST (a); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1) USING heap2; INSERT INTO p VALUES (1)),
		migration => 'ALTER TABLE h2 DROP COLUMN c; DROP MATERIALIZED VIEW m2; DROP TABLE h2, p; DROP ACCESS METHOD heap2',
	},
	{
		name => 'stored: tablespaces',
		setup => q(CREATE TABLE t (a int PRIMARY KEY, b text); CREATE INDEX tb ON t (b); CREATE TABLE o (a int PRIMARY KEY, b text) TABLESPACE room; CREATE INDEX ob ON o (b) TABLESPACE room; INSERT INTO t VALUES (1, 'x'); INSERT INTO o VALUES (1, 'y');
			CREATE TABLE pt (a int) PARTITION BY LIST (a) TABLESPACE room; CREATE TABLE p1 PARTITION OF pt FOR VALUES IN (1); CREATE MATERIALIZED VIEW m AS SELECT 1 a),
		migration => 'ALTER TABLE t SET TABLESPACE room; ALTER INDEX tb SET TABLESPACE room; ALTER TABLE o SET TABLESPACE pg_default; ALTER INDEX ob SET TABLESPACE pg_default; ALTER TABLE pt SET TABLESPACE pg_default; ALTER MATERIALIZED VIEW m SET TABLESPACE room',
	},
	{
		name => 'stored: tablespaces, dropped',
		setup => q(CREATE TABLE o (a int PRIMARY KEY USING INDEX TABLESPACE room, b text) TABLESPACE room; CREATE INDEX ob ON o (b) TABLESPACE room; CREATE INDEX oe ON o (lower(b)) TABLESPACE room; INSERT INTO o VALUES (1, 'y');
			CREATE TABLE pt (a int PRIMARY KEY USING INDEX TABLESPACE room) PARTITION BY LIST (a) TABLESPACE room; CREATE TABLE p1 PARTITION OF pt FOR VALUES IN (1)),
		migration => 'DROP TABLE o, pt; CREATE TABLE n (a int) TABLESPACE room',
	},
	{
		name => 'stored: parameters',
		setup => 'CREATE TABLE t (a int, b text) WITH (fillfactor = 70, autovacuum_enabled = off, toast.autovacuum_enabled = off); CREATE TABLE n (a int, b text); INSERT INTO t VALUES (1)',
		migration => 'ALTER TABLE t SET (fillfactor = 80, parallel_workers = 2, toast.vacuum_truncate = off); ALTER TABLE t RESET (autovacuum_enabled, toast.autovacuum_enabled); ALTER TABLE n SET (toast.autovacuum_vacuum_cost_delay = 3, user_catalog_table = true)',
	},
	{
		name => 'stored: parameters, dropped',
		setup => 'CREATE TABLE t (a int, b text) WITH (fillfactor = 70, autovacuum_enabled = off, toast.autovacuum_enabled = off); INSERT INTO t VALUES (1)',
		migration => 'DROP TABLE t',
	},
	{
		name => 'stored: columns',
		setup => q(CREATE TABLE t (a int, b text COMPRESSION pglz, c text STORAGE EXTERNAL, d jsonb); ALTER TABLE t ALTER a SET STATISTICS 33, ALTER c SET (n_distinct = 5), ALTER c SET (n_distinct_inherited = -0.5); INSERT INTO t VALUES (1, 'b', 'c', '{}')) =~ s/ STORAGE EXTERNAL//r . '; ALTER TABLE t ALTER c SET STORAGE EXTERNAL',
		migration => 'ALTER TABLE t ALTER a SET STATISTICS 0, ALTER b SET COMPRESSION default, ALTER b SET STORAGE MAIN, ALTER c SET STORAGE PLAIN, ALTER d SET COMPRESSION pglz, ALTER c RESET (n_distinct), ALTER d SET (n_distinct = 7), ALTER d SET STATISTICS 9',
	},
	{
		name => 'stored: columns, dropped one by one and whole',
		setup => q(CREATE TABLE t (k int PRIMARY KEY, a int, b text COMPRESSION pglz, c text, d jsonb); ALTER TABLE t ALTER a SET STATISTICS 33, ALTER c SET (n_distinct = 5), ALTER c SET STORAGE EXTERNAL; INSERT INTO t VALUES (1, 1, 'b', 'c', '{}')),
		migration => 'ALTER TABLE t DROP b; ALTER TABLE t DROP c; ALTER TABLE t ALTER a TYPE bigint; DROP TABLE t',
	},
	{
		name => 'stored: replica identity of every kind',
		setup => join('', map { "CREATE TABLE $_ (a int PRIMARY KEY, b int NOT NULL); CREATE UNIQUE INDEX ${_}_b ON $_ (b);" } qw(d n f i x)) . 'ALTER TABLE n REPLICA IDENTITY NOTHING; ALTER TABLE f REPLICA IDENTITY FULL; ALTER TABLE i REPLICA IDENTITY USING INDEX i_b; ALTER TABLE x REPLICA IDENTITY USING INDEX x_b',
		migration => 'ALTER TABLE d REPLICA IDENTITY FULL; ALTER TABLE n REPLICA IDENTITY USING INDEX n_b; ALTER TABLE f REPLICA IDENTITY NOTHING; ALTER TABLE i REPLICA IDENTITY DEFAULT; ALTER TABLE x REPLICA IDENTITY USING INDEX x_pkey',
	},
	{
		name => 'stored: replica identity whose index is dropped',
		setup => 'CREATE TABLE i (a int PRIMARY KEY, b int NOT NULL); CREATE UNIQUE INDEX i_b ON i (b); ALTER TABLE i REPLICA IDENTITY USING INDEX i_b; CREATE TABLE j (a int CONSTRAINT jk PRIMARY KEY); ALTER TABLE j REPLICA IDENTITY USING INDEX jk',
		migration => 'DROP INDEX i_b; ALTER TABLE j DROP CONSTRAINT jk',
	},
	{
		name => 'stored: replica identity without its index, dropped',
		setup => 'CREATE TABLE i (a int PRIMARY KEY, b int NOT NULL); CREATE UNIQUE INDEX i_b ON i (b); ALTER TABLE i REPLICA IDENTITY USING INDEX i_b; DROP INDEX i_b',
		migration => 'DROP TABLE i',
	},
	{
		name => 'stored: CLUSTER ON',
		setup => 'CREATE TABLE c (a int PRIMARY KEY, b int); CREATE INDEX c_b ON c (b); CREATE TABLE d (a int PRIMARY KEY); ALTER TABLE d CLUSTER ON d_pkey; CREATE TABLE e (a int); CREATE INDEX ee ON e ((a + 1)); ALTER TABLE e CLUSTER ON ee; INSERT INTO c VALUES (1, 2)',
		migration => 'ALTER TABLE c CLUSTER ON c_b; ALTER TABLE d SET WITHOUT CLUSTER; DROP INDEX ee',
	},
	{
		name => 'stored: CLUSTER ON, dropped; clustered',
		setup => 'CREATE TABLE c (a int PRIMARY KEY, b int); CREATE INDEX c_b ON c (b); ALTER TABLE c CLUSTER ON c_b; CREATE TABLE e (a int); CREATE INDEX ee ON e ((a + 1)); ALTER TABLE e CLUSTER ON ee',
		migration => 'DROP TABLE c; CLUSTER e USING ee; DROP TABLE e',
	},
	{
		name => 'inherited from several: columns merged',
		setup => q(CREATE TABLE p1 (a int, m text DEFAULT 'one', x int NOT NULL); CREATE TABLE p2 (m text DEFAULT 'two', b int, x int); CREATE TABLE c (m text DEFAULT 'own', own int) INHERITS (p1, p2); CREATE TABLE g (a int, m text DEFAULT 'g') INHERITS (c, p1); INSERT INTO c VALUES (1, 'm', 2, 3, 4); INSERT INTO g VALUES (5, 'n', 6, 7, 8)),
		migration => 'ALTER TABLE p1 DROP COLUMN m; ALTER TABLE p2 DROP COLUMN m; ALTER TABLE p1 ADD COLUMN own int; ALTER TABLE g NO INHERIT p1; ALTER TABLE c NO INHERIT p2;' .
			# what a parent says holds for its children, since 18
			(value('postgres', 'SHOW server_version_num') < 180000 ? 'ALTER TABLE c ALTER x DROP NOT NULL' : ''),
	},
	{
		name => 'partition with other numbers and defaults of its own, detached, dropped, filled',
		setup => q(CREATE TABLE pt (id int, v text DEFAULT 'root', w int DEFAULT 1) PARTITION BY RANGE (id);
			CREATE TABLE p1 (w int DEFAULT 11, junk int, v text DEFAULT 'one', id int); ALTER TABLE p1 DROP junk; ALTER TABLE pt ATTACH PARTITION p1 FOR VALUES FROM (1) TO (10);
			CREATE TABLE p2 (v text DEFAULT 'two', w int, id int); ALTER TABLE pt ATTACH PARTITION p2 FOR VALUES FROM (10) TO (20);
			INSERT INTO pt VALUES (1, 'a', 1), (11, 'b', 2)),
		migration => 'ALTER TABLE pt DROP COLUMN w; ALTER TABLE pt DROP COLUMN v',
		after => 'INSERT INTO pt VALUES (2), (12)',
		same => 'INSERT INTO pt VALUES (2), (12)',
	},
	{
		name => 'concurrently: DETACH that fails half-way',
		setup => q(CREATE TABLE pt (id int PRIMARY KEY, v text DEFAULT 'x') PARTITION BY RANGE (id);
			CREATE TABLE high PARTITION OF pt FOR VALUES FROM (100) TO (200); CREATE TABLE low PARTITION OF pt FOR VALUES FROM (1) TO (100);
			CREATE INDEX pt_v ON pt (v); INSERT INTO pt VALUES (5), (105);
			BEGIN; SELECT FROM pt; PREPARE TRANSACTION 'reader_detach'),
		migration => "SET statement_timeout = 500;\n\\unset ON_ERROR_STOP\nALTER TABLE pt DETACH PARTITION high CONCURRENTLY;\n\\set ON_ERROR_STOP 1\nROLLBACK PREPARED 'reader_detach'",
	},
	{
		name => 'concurrently: DETACH that fails half-way and is finished',
		setup => q(CREATE TABLE pt (id int PRIMARY KEY, v text DEFAULT 'x') PARTITION BY RANGE (id);
			CREATE TABLE high PARTITION OF pt FOR VALUES FROM (100) TO (200); CREATE TABLE low PARTITION OF pt FOR VALUES FROM (1) TO (100);
			CREATE INDEX pt_v ON pt (v); INSERT INTO pt VALUES (5), (105);
			BEGIN; SELECT FROM pt; PREPARE TRANSACTION 'reader_final'),
		migration => "SET statement_timeout = 500;\n\\unset ON_ERROR_STOP\nALTER TABLE pt DETACH PARTITION high CONCURRENTLY;\n\\set ON_ERROR_STOP 1\nROLLBACK PREPARED 'reader_final'; ALTER TABLE pt DETACH PARTITION high FINALIZE",
	},
	{
		name => 'concurrently: DROP INDEX that fails half-way',
		setup => q(CREATE TABLE t (id int PRIMARY KEY, v text DEFAULT 'x'); CREATE INDEX t_v ON t (v); INSERT INTO t VALUES (1); BEGIN; SELECT FROM t; PREPARE TRANSACTION 'reader_drop'),
		migration => "SET statement_timeout = 500;\n\\unset ON_ERROR_STOP\nDROP INDEX CONCURRENTLY t_v;\n\\set ON_ERROR_STOP 1\nROLLBACK PREPARED 'reader_drop'",
	},
	{
		name => 'event triggers: dropped with their function',
		setup => q(CREATE FUNCTION ef() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER et ON ddl_command_end EXECUTE FUNCTION ef()),
		migration => 'DROP FUNCTION ef() CASCADE',
	},
);

# ---- every property on every kind of table ----

# How a table %1$s with columns a, b, c is made, in schema s; how rows get in.
my %kinds = (
	plain => 'CREATE TABLE s.%1$s (a int NOT NULL, b text, c int)',
	unlogged => 'CREATE UNLOGGED TABLE s.%1$s (a int NOT NULL, b text, c int)',
	typed => 'CREATE TABLE s.%1$s OF s.row_type (a WITH OPTIONS NOT NULL)',
	child => 'CREATE TABLE s.of_%1$s (c int, a int NOT NULL); CREATE TABLE s.%1$s (b text) INHERITS (s.of_%1$s)',
	leaf => q(CREATE TABLE s.of_%1$s (junk int, a int NOT NULL, b text, c int) PARTITION BY RANGE (a); ALTER TABLE s.of_%1$s DROP junk;
		CREATE TABLE s.%1$s (c int, b text, a int NOT NULL); ALTER TABLE s.of_%1$s ATTACH PARTITION s.%1$s FOR VALUES FROM (0) TO (100)),
	tree => q(CREATE TABLE s.%1$s (a int NOT NULL, b text, c int) PARTITION BY RANGE (a);
		CREATE TABLE s.in_%1$s PARTITION OF s.%1$s FOR VALUES FROM (0) TO (100)),
	foreign => q(CREATE FOREIGN TABLE s.%1$s (a int NOT NULL, b text, c int) SERVER files OPTIONS (filename '/dev/null')),
	foreign_leaf => q(CREATE TABLE s.of_%1$s (a int NOT NULL, b text, c int) PARTITION BY RANGE (a);
		CREATE FOREIGN TABLE s.%1$s PARTITION OF s.of_%1$s FOR VALUES FROM (0) TO (100) SERVER files OPTIONS (filename '/dev/null')),
);

# A property, and the kinds that cannot have it.
my @properties = (
	[ bare => 'COMMENT ON COLUMN s.%1$s.b IS $$it$$' ],
	[ owned => 'ALTER TABLE s.%1$s OWNER TO alice; GRANT SELECT (b), UPDATE (c) ON s.%1$s TO bob WITH GRANT OPTION; GRANT INSERT ON s.%1$s TO carol' ],
	[ published => 'CREATE PUBLICATION p_%1$s FOR TABLE s.%1$s (a, b) WHERE (a > 0) WITH (publish = $$insert$$, publish_via_partition_root)', qr/foreign|unlogged/ ],
	[ policy => 'ALTER TABLE s.%1$s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY p ON s.%1$s AS RESTRICTIVE FOR UPDATE TO bob USING (a > 0) WITH CHECK (b <> $$x$$)', qr/foreign/ ],
	[ rule => 'CREATE RULE r AS ON DELETE TO s.%1$s WHERE OLD.a > 5 DO ALSO INSERT INTO s.keys VALUES (OLD.a); ALTER TABLE s.%1$s DISABLE RULE r', qr/foreign|tree/ ],
	[ disabled => 'CREATE TRIGGER t AFTER INSERT ON s.%1$s FOR EACH ROW EXECUTE FUNCTION s.tf(); ALTER TABLE s.%1$s DISABLE TRIGGER t' ],
	[ replica => 'CREATE TRIGGER t AFTER UPDATE OF b ON s.%1$s FOR EACH ROW WHEN (NEW.a > 3) EXECUTE FUNCTION s.tf($$x$$); ALTER TABLE s.%1$s ENABLE REPLICA TRIGGER t' ],
	[ always => 'CREATE TRIGGER t AFTER DELETE ON s.%1$s FOR EACH STATEMENT EXECUTE FUNCTION s.tf(); ALTER TABLE s.%1$s ENABLE ALWAYS TRIGGER t' ],
	[ not_valid => 'ALTER TABLE s.%1$s ADD CONSTRAINT k CHECK (c > 100) NOT VALID' ],
	[ refers => 'ALTER TABLE s.%1$s ADD CONSTRAINT k FOREIGN KEY (c) REFERENCES s.keys ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED', qr/foreign|unlogged/ ],
	[ refers_not_valid => 'ALTER TABLE s.%1$s ADD CONSTRAINT k FOREIGN KEY (c) REFERENCES s.keys NOT VALID', qr/foreign|unlogged|tree/ ],
	[ referred => 'ALTER TABLE s.%1$s ADD CONSTRAINT k_%1$s UNIQUE (a) DEFERRABLE; ALTER TABLE s.%1$s ADD PRIMARY KEY (a) ; CREATE TABLE s.to_%1$s (a int REFERENCES s.%1$s (a)); INSERT INTO s.to_%1$s VALUES (1)', qr/foreign|unlogged/ ],
	[ statistics => 'CREATE STATISTICS s.st_%1$s ON (a + 1), b, c FROM s.%1$s; ALTER TABLE s.%1$s ALTER b SET STATISTICS 5, ALTER c SET (n_distinct = 3)' ],
	[ identity => 'CREATE UNIQUE INDEX i_%1$s ON s.%1$s (a); ALTER TABLE s.%1$s REPLICA IDENTITY USING INDEX i_%1$s', qr/foreign/ ],
	[ clustered => 'CREATE INDEX i_%1$s ON s.%1$s (c); ALTER TABLE s.%1$s CLUSTER ON i_%1$s', qr/foreign|tree/ ],
	[ expression => 'CREATE INDEX i_%1$s ON s.%1$s (lower(b), (a + c)) INCLUDE (c) WHERE a > 1; ALTER INDEX s.i_%1$s ALTER COLUMN 2 SET STATISTICS 9', qr/foreign/ ],
	[ stored => 'ALTER TABLE s.%1$s SET (fillfactor = 60, toast.autovacuum_enabled = off), ALTER b SET STORAGE EXTERNAL, ALTER b SET COMPRESSION pglz', qr/foreign|tree/ ],
	[ placed => 'ALTER TABLE s.%1$s SET TABLESPACE room; CREATE INDEX i_%1$s ON s.%1$s (b) TABLESPACE room', qr/foreign/ ],
	[ method => 'ALTER TABLE s.%1$s SET ACCESS METHOD heap2', qr/foreign|tree/ ],
	[ defaults => 'CREATE SEQUENCE s.q_%1$s OWNED BY s.%1$s.c; ALTER TABLE s.%1$s ALTER c SET DEFAULT nextval($$s.q_%1$s$$), ALTER b SET DEFAULT s.f()' ],
	[ seen => 'CREATE VIEW s.v_%1$s AS SELECT x, x.b FROM s.%1$s x; CREATE FUNCTION s.g_%1$s(s.%1$s) RETURNS SETOF s.%1$s LANGUAGE sql AS $$SELECT $1$$; CREATE MATERIALIZED VIEW s.m_%1$s AS SELECT a FROM s.%1$s' ],
	[ exclusive => 'ALTER TABLE s.%1$s ADD CONSTRAINT x_%1$s EXCLUDE (b WITH =) WHERE (c < 0) DEFERRABLE', qr/foreign|tree/ ],
);

my $family = q(
	CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
	CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler;
	CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO alice; CREATE TYPE s.row_type AS (a int, b text, c int); CREATE TABLE s.keys (id int PRIMARY KEY); INSERT INTO s.keys VALUES (1), (2);
	CREATE FUNCTION s.tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE FUNCTION s.f() RETURNS text LANGUAGE sql AS 'SELECT $$f$$';
	CREATE PUBLICATION whole_schema FOR TABLES IN SCHEMA s;
);
my @members;
foreach my $kind (sort keys %kinds)
{
	foreach my $property (@properties)
	{
		my ($name, $sql, $not) = @$property;
		my $table = "${kind}_$name";

		next if defined $not && $kind =~ $not;
		$family .= sprintf("$kinds{$kind};\n", $table);
		$family .= "INSERT INTO s.$table (a, b, c) VALUES (1, 'one', 1), (2, 'two', 2);\n"
		  unless $kind =~ /foreign/;
		$family .= sprintf("$sql;\n", $table);
		push @members, $table;
	}
}

# One command for each, in an order that has nothing to do with how they hang
# together.
my $each = sub {
	my ($command, $wanted) = @_;
	return join ";\n", map { sprintf($command, $_, /^foreign/ ? 'FOREIGN TABLE' : 'TABLE') }
	  grep { $_ =~ $wanted } reverse sort @members;
};

round_trips(
	{
		name => 'pairs: DROP TABLE, one by one',
		setup => $family,
		migration => $each->('DROP %2$s s.%1$s CASCADE', qr/./),
	},
	{
		name => 'pairs: DROP TABLE, all at once',
		setup => $family,
		migration => 'DROP TABLE ' . join(', ', map { "s.$_" } grep { !/^foreign/ } @members) . ' CASCADE',
	},
	{
		name => 'pairs: DROP SCHEMA',
		setup => $family,
		migration => 'DROP SCHEMA s CASCADE',
	},
	{
		name => 'pairs: DROP TYPE, its tables',
		setup => $family,
		migration => 'DROP TYPE s.row_type CASCADE',
	},
	{
		name => 'pairs: columns of the type',
		setup => $family,
		migration => 'ALTER TYPE s.row_type ADD ATTRIBUTE d int CASCADE, ALTER ATTRIBUTE c TYPE bigint CASCADE; ALTER TYPE s.row_type RENAME ATTRIBUTE b TO bb CASCADE',
	},
	{
		name => 'pairs: DROP OWNED',
		setup => $family . $each->('ALTER %2$s s.%1$s OWNER TO alice', qr/./) . ";\n" . $each->('ALTER TABLE s.in_%1$s OWNER TO alice', qr/^tree/),
		migration => 'DROP OWNED BY alice CASCADE',
	},
	{
		name => 'pairs: a column dropped',
		setup => $family,
		migration => join(";\n",
			$each->('ALTER %2$s s.%1$s DROP COLUMN b CASCADE', qr/^(?!.*leaf|typed)/),
			$each->('ALTER TABLE s.of_%1$s DROP COLUMN b CASCADE', qr/leaf/)),
	},
	{
		name => 'pairs: a column of another type',
		setup => $family,
		migration => join(";\n",
			$each->('ALTER %2$s s.%1$s ALTER COLUMN c TYPE bigint', qr/^(?!.*leaf|typed|child|tree_owned)/),
			$each->('ALTER TABLE s.of_%1$s ALTER COLUMN c TYPE bigint', qr/leaf|child/)),
	},
	{
		name => 'pairs: renamed and moved',
		setup => $family . 'CREATE SCHEMA away;',
		migration => $each->('ALTER %2$s s.%1$s RENAME TO y_%1$s; ALTER %2$s s.y_%1$s SET SCHEMA away', qr/./),
	},
	{
		name => 'pairs: detached, let go',
		setup => $family,
		migration => join(";\n",
			$each->('ALTER TABLE s.of_%1$s DETACH PARTITION s.%1$s', qr/leaf/),
			$each->('ALTER TABLE s.%1$s NO INHERIT s.of_%1$s', qr/^child/),
			$each->('ALTER TABLE s.%1$s NOT OF', qr/^typed/),
			$each->('ALTER TABLE s.%1$s SET LOGGED', qr/^unlogged/)),
	},
);

done_testing();
