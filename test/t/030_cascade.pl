
# Copyright (c) 2026, the safemig authors

# What DROP ... CASCADE takes along, and what is dropped after the table that
# needs it.  pg_regress cannot show it: the proof is that pg_dump writes the
# same before and after, and that what it wrote can be restored.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigTest;
use Test::More;

start_server('cascade');

# 17 leaves the privileges of a multirange type to its range type.
my $on_multirange = value('postgres', 'SHOW server_version_num') < 170000 ?
  'REVOKE USAGE ON TYPE r_multirange FROM PUBLIC' : q(COMMENT ON TYPE r_multirange IS 'm');

my $types = <<'SQL';
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN zip AS text DEFAULT '00000' CHECK (VALUE ~ '^\d{5}$');
CREATE DOMAIN zip2 AS zip NOT NULL;
CREATE TYPE pair AS (x int, y text);
CREATE TYPE span AS RANGE (subtype = float8, multirange_type_name = spans);
COMMENT ON TYPE mood IS 'm'; COMMENT ON DOMAIN zip IS 'z';
GRANT USAGE ON TYPE mood TO bob; REVOKE USAGE ON TYPE zip FROM PUBLIC;
ALTER TYPE pair OWNER TO alice;
CREATE TABLE t (id int PRIMARY KEY, m mood NOT NULL DEFAULT 'ok', z zip, p pair, s span, ms mood[], tail text);
INSERT INTO t SELECT i, 'happy', '12345', ROW(i, 'y')::pair, span(i, i + 1), '{ok}', 'tail' FROM generate_series(1, 20) i;
CREATE INDEX ON t (m);
CREATE VIEW v AS SELECT id, m, z FROM t WHERE m > 'sad';
CREATE FUNCTION f(mood) RETURNS pair LANGUAGE sql AS 'SELECT ROW(1, $1::text)::pair';
SQL

round_trips(
	{
		name => 'rows of a view and of a foreign table in a table that went before them',
		setup => q(CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE far (a int, b text) SERVER s;
			CREATE VIEW v AS SELECT 1 AS a, 'x'::text AS b;
			CREATE TABLE uses (id int PRIMARY KEY, f far, v v, fs far[]);
			INSERT INTO uses VALUES (1, ROW(5, 'x'), ROW(6, 'y'), ARRAY[ROW(7, 'z')::far, NULL])),
		migration => [ 'DROP TABLE uses', 'DROP VIEW v; DROP SERVER s CASCADE' ],
	},
	{
		name => 'views that read each other, and one that reads itself',
		setup => q(CREATE TABLE t (a int, b text COLLATE "C"); CREATE VIEW v1 AS SELECT a, b FROM t; CREATE VIEW v2 AS SELECT * FROM v1;
			CREATE OR REPLACE VIEW v1 AS SELECT * FROM v2 WHERE a > 3; ALTER VIEW v1 ALTER b SET DEFAULT 'x'; COMMENT ON COLUMN v2.b IS 'b';
			CREATE VIEW self AS SELECT a FROM t; CREATE OR REPLACE VIEW self AS SELECT a FROM self;
			CREATE VIEW counted AS SELECT 1::bigint AS n; CREATE OR REPLACE VIEW counted AS SELECT count(*) AS n FROM counted;
			CREATE VIEW inner1 AS SELECT 1 AS n; CREATE VIEW inner2 WITH (check_option = local) AS SELECT n FROM inner1 WHERE n > 0;
			CREATE OR REPLACE VIEW inner1 AS WITH w AS (SELECT (SELECT max(n) FROM inner2) AS n) SELECT n FROM w),
		migration => 'DROP VIEW v1, self, counted, inner1 CASCADE',
		unrestorable => 1,
	},
	{
		name => 'views are made to read each other',
		setup => 'CREATE TABLE t (a int); CREATE VIEW v1 AS SELECT a FROM t; CREATE VIEW v2 AS SELECT * FROM v1',
		migration => 'CREATE OR REPLACE VIEW v1 AS SELECT a FROM v2; CREATE VIEW w1 AS SELECT a FROM t; CREATE VIEW w2 AS SELECT a FROM w1; CREATE OR REPLACE VIEW w1 AS SELECT a + 1 AS a FROM w2',
	},
	map {
		{
			name => "drop $_->[0], CASCADE",
			setup => $types,
			migration => $_->[1]
		}
	} (
		[ 'an enum that columns have', 'DROP TYPE mood CASCADE' ],
		[ 'a domain that columns have', 'DROP DOMAIN zip CASCADE' ],
		[ 'a composite type that columns have', 'DROP TYPE pair CASCADE' ],
		[ 'a range that columns have', 'DROP TYPE span CASCADE' ],
		[ 'all types', 'DROP TYPE mood, pair, span CASCADE; DROP DOMAIN zip CASCADE' ],
		[ 'a function', 'DROP FUNCTION f(mood)' ],
		[ 'a view', 'DROP VIEW v' ]));

round_trips(
	{
		name => 'a stored function body that names a column that goes',
		setup => q(CREATE TABLE t (id int PRIMARY KEY, a int, b int); INSERT INTO t VALUES (1, 2, 3); CREATE FUNCTION fb() RETURNS bigint BEGIN ATOMIC SELECT sum(a) FROM t; END;
			CREATE FUNCTION fc(x int) RETURNS bigint RETURN fb() + x; CREATE TABLE d (x bigint DEFAULT fc(1)); CREATE VIEW v AS SELECT fc(2)),
		migration => 'ALTER TABLE t DROP COLUMN a CASCADE',
	},
	{
		name => 'temporary things that hang on what goes',
		setup => q(CREATE SCHEMA s; CREATE TYPE s.e AS ENUM ('x'); CREATE TABLE s.a (x int, e s.e); INSERT INTO s.a VALUES (1, 'x')),
		migration => q(CREATE TEMP VIEW tv AS SELECT * FROM s.a; CREATE TEMP VIEW tr AS SELECT 's.a'::regclass::text; CREATE TEMP TABLE te (y s.e DEFAULT 'x', z int); CREATE TEMP TABLE ti () INHERITS (s.a); DROP SCHEMA s CASCADE),
	},
	{
		name => 'an enum dropped, rows written since',
		setup => $types,
		migration => 'DROP TYPE mood CASCADE',
		after => q(UPDATE t SET tail = 'new' WHERE id < 5; DELETE FROM t WHERE id = 6),
		same => q(UPDATE t SET tail = 'new' WHERE id < 5; DELETE FROM t WHERE id = 6),
	},
	{
		name => 'first the table, then its types',
		setup => $types,
		migration => 'DROP TABLE t CASCADE; DROP FUNCTION f(mood); DROP TYPE mood, pair, span; DROP DOMAIN zip2, zip',
	},
	{
		name => 'first the table, later in other sessions its types',
		setup => $types,
		migration => [ 'DROP TABLE t CASCADE', 'DROP FUNCTION f(mood); DROP TYPE mood', 'DROP TYPE pair, span; DROP DOMAIN zip CASCADE' ],
	},
	{
		name => 'first the table, then its type, which is made again otherwise',
		setup => $types,
		migration => q(DROP TABLE t CASCADE; DROP TYPE mood CASCADE; CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE TABLE t (m mood); INSERT INTO t VALUES ('bad')),
	},
	{
		name => 'first the table, then the functions, sequences and schema it used',
		setup => q(
			CREATE SCHEMA lib; CREATE SCHEMA app;
			CREATE FUNCTION lib.ok(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 0';
			CREATE FUNCTION lib.norm(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)';
			CREATE FUNCTION lib.now2() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT now()';
			CREATE FUNCTION lib.tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
			CREATE SEQUENCE lib.seq;
			CREATE TABLE app.t (id int DEFAULT nextval('lib.seq') CHECK (lib.ok(id)), b text, at timestamptz DEFAULT lib.now2(), g text GENERATED ALWAYS AS (lib.norm(b)) STORED, CONSTRAINT x EXCLUDE (lib.norm(b) WITH =));
			CREATE INDEX e ON app.t (lib.norm(b)) WHERE lib.ok(id);
			CREATE TRIGGER tr BEFORE INSERT ON app.t FOR EACH ROW EXECUTE FUNCTION lib.tf();
			CREATE POLICY po ON app.t USING (lib.ok(id));
			CREATE STATISTICS app.st ON lib.norm(b), id FROM app.t;
			INSERT INTO app.t (b, at) SELECT 'B' || i, timestamptz '2024-01-01 00:00+00' FROM generate_series(1, 10) i),
		migration => 'DROP TABLE app.t; DROP FUNCTION lib.ok, lib.norm, lib.now2, lib.tf; DROP SEQUENCE lib.seq; DROP SCHEMA lib; DROP SCHEMA app',
	},
	{
		name => 'a function with everything that uses it, CASCADE',
		setup => q(
			CREATE FUNCTION ok(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 0';
			CREATE FUNCTION d() RETURNS int LANGUAGE sql AS 'SELECT 5';
			CREATE TABLE t (id int PRIMARY KEY, a int DEFAULT d() CHECK (ok(a)), g bool GENERATED ALWAYS AS (ok(a)) STORED, z int);
			CREATE INDEX e ON t (ok(a)); CREATE VIEW v AS SELECT ok(a) FROM t; CREATE DOMAIN dom AS int CHECK (ok(VALUE));
			INSERT INTO t (id, z) SELECT i, i FROM generate_series(1, 9) i),
		migration => 'DROP FUNCTION ok(int) CASCADE; DROP FUNCTION d() CASCADE',
	},
	{
		name => 'a schema, CASCADE',
		setup => $types . q(
			CREATE SCHEMA app AUTHORIZATION alice; GRANT USAGE ON SCHEMA app TO bob WITH GRANT OPTION; COMMENT ON SCHEMA app IS 'the app';
			CREATE TYPE app.color AS ENUM ('r', 'g'); CREATE DOMAIN app.pos AS int CHECK (VALUE > 0);
			CREATE TABLE app.a (id serial PRIMARY KEY, c app.color DEFAULT 'r', p app.pos, o text);
			CREATE TABLE app.b (id int REFERENCES app.a, m public.mood, t public.t);
			CREATE TABLE outside (id int PRIMARY KEY, a int REFERENCES app.a, c app.color, n int);
			CREATE FUNCTION app.tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
			CREATE TRIGGER tr BEFORE INSERT ON app.a FOR EACH ROW EXECUTE FUNCTION app.tf();
			CREATE PROCEDURE app.proc(INOUT x int, y text DEFAULT 'q') LANGUAGE plpgsql AS 'BEGIN x := 1; END';
			CREATE VIEW app.v AS SELECT * FROM app.a; CREATE VIEW outer_v AS SELECT * FROM app.v; CREATE MATERIALIZED VIEW app.m AS SELECT count(*) FROM app.b;
			CREATE SEQUENCE app.lonely; ALTER TABLE outside ADD d int DEFAULT nextval('app.lonely');
			INSERT INTO app.a (p) SELECT i FROM generate_series(1, 5) i; INSERT INTO app.b VALUES (2, 'ok', NULL); INSERT INTO outside VALUES (1, 3, 'g', 4);
			ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO carol),
		migration => 'DROP SCHEMA app CASCADE',
	},
	{
		name => 'a schema dropped and made again with the same names',
		setup => q(CREATE SCHEMA app; CREATE TABLE app.t (id int PRIMARY KEY); INSERT INTO app.t VALUES (1); CREATE VIEW app.v AS SELECT * FROM app.t),
		migration => q(DROP SCHEMA app CASCADE; CREATE SCHEMA app; CREATE TABLE app.t (other text); INSERT INTO app.t VALUES ('x'); CREATE VIEW app.v AS SELECT 1 AS one;
					   DROP SCHEMA app CASCADE; CREATE SCHEMA app AUTHORIZATION bob CREATE TABLE t (third int) CREATE VIEW v AS SELECT third FROM t),
	},
	{
		name => 'schema public itself, as reset commands do',
		setup => q(CREATE TABLE t (id serial PRIMARY KEY); INSERT INTO t DEFAULT VALUES; CREATE VIEW v AS SELECT * FROM t),
		migration => 'DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE t (other int)',
	},
	{
		name => 'same table name in two schemas, dropped by one command',
		setup => q(CREATE SCHEMA s1; CREATE SCHEMA s2; CREATE TABLE s1.t (id int PRIMARY KEY, a int); CREATE TABLE s2.t (id int PRIMARY KEY REFERENCES s1.t); INSERT INTO s1.t VALUES (1, 2); INSERT INTO s2.t VALUES (1)),
		migration => 'DROP TABLE s1.t, s2.t',
	},
	{
		name => 'first the table, then its owner',
		roles => ['owner_f', 'reader_f'],
		setup => q(GRANT CREATE ON SCHEMA public TO owner_f; CREATE TABLE t (id int PRIMARY KEY, b text); ALTER TABLE t OWNER TO owner_f;
				   GRANT SELECT ON t TO reader_f; GRANT UPDATE (b) ON t TO reader_f; CREATE POLICY p ON t TO reader_f USING (true); INSERT INTO t VALUES (1, 'x')),
		migration => 'DROP TABLE t; REVOKE CREATE ON SCHEMA public FROM owner_f; DROP ROLE reader_f; DROP ROLE owner_f',
		# the copy that the dump made has them too
		once => 1,
	},
	{
		name => 'first the table, then its owner, whose name is taken at the rollback',
		roles => ['owner_h'],
		setup => q(CREATE TABLE t (id int PRIMARY KEY, b text); ALTER TABLE t OWNER TO owner_h; INSERT INTO t VALUES (1, 'x')),
		migration => 'DROP TABLE t; DROP ROLE owner_h',
		after => 'CREATE ROLE owner_h',
		refused => qr/SM003.*role owner_h has to come back, but the name is taken/s,
	},
	{
		name => 'a table, whose owner was dropped unseen and is made again before the rollback',
		roles => ['owner_i', 'reader_i'],
		setup => q(CREATE TABLE t (id int PRIMARY KEY, b text); ALTER TABLE t OWNER TO owner_i;
				   GRANT SELECT ON t TO reader_i; GRANT UPDATE (b) ON t TO reader_i; CREATE POLICY p ON t TO reader_i USING (true); INSERT INTO t VALUES (1, 'x')),
		migration => 'DROP TABLE t',
		after => 'SET safemig.enabled = off; DROP ROLE reader_i; DROP ROLE owner_i',
		rollback => q(CREATE ROLE owner_i; CREATE ROLE reader_i; SELECT safemig_rollback('case')),
		once => 1,
	},
	{
		name => 'a table, whose owner was dropped unseen and is missing at the rollback',
		roles => ['owner_g'],
		setup => q(CREATE TABLE t (id int PRIMARY KEY, b text); ALTER TABLE t OWNER TO owner_g; INSERT INTO t VALUES (1, 'x')),
		migration => 'DROP TABLE t',
		after => 'SET safemig.enabled = off; DROP ROLE owner_g',
		refused => qr/SM003.*owner_g/s,
	},
	{
		name => 'DROP OWNED',
		setup => $types . q(CREATE TABLE mine (id int); ALTER TABLE mine OWNER TO bob; INSERT INTO mine VALUES (3); GRANT SELECT ON t TO bob; CREATE TABLE uses (p pair)),
		migration => 'DROP OWNED BY bob CASCADE',
	},
	{
		name => 'a column whose type is dropped in a later statement',
		setup => $types,
		migration => 'ALTER TABLE t DROP COLUMN m CASCADE, DROP COLUMN ms; DROP FUNCTION f(mood); DROP TYPE mood',
	},
	{
		name => 'a constraint, an index, a trigger, a policy, a rule, a statistics object',
		setup => $types . q(
			ALTER TABLE t ADD CONSTRAINT c CHECK (id > 0), ADD UNIQUE (z, id); CREATE TABLE r (id int REFERENCES t);
			CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
			CREATE TRIGGER tr AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION tf(); ALTER TABLE t ENABLE ALWAYS TRIGGER tr;
			CREATE POLICY po ON t TO bob USING (id > 3); CREATE RULE ru AS ON DELETE TO t DO NOTHING; CREATE STATISTICS st ON id, z FROM t; INSERT INTO r VALUES (1)),
		migration => 'ALTER TABLE t DROP CONSTRAINT c; DROP INDEX t_m_idx; ALTER TABLE t DROP CONSTRAINT t_pkey CASCADE; DROP TRIGGER tr ON t; DROP POLICY po ON t; DROP RULE ru ON t; DROP STATISTICS st',
	},
	{
		name => 'domain constraints and defaults',
		setup => $types,
		migration => q(ALTER DOMAIN zip DROP CONSTRAINT zip_check; ALTER DOMAIN zip DROP DEFAULT; ALTER DOMAIN zip2 DROP NOT NULL; ALTER DOMAIN zip ADD CONSTRAINT new CHECK (VALUE <> 'x') NOT VALID; ALTER DOMAIN zip SET DEFAULT 'y'),
	},
	{
		name => 'domain constraints of values inside of arrays, rows and ranges',
		setup => q(CREATE DOMAIN mail AS text NOT NULL CHECK (VALUE ~ '@'); CREATE DOMAIN mail2 AS mail; CREATE DOMAIN small AS int CHECK (VALUE < 100); CREATE TYPE smalls AS RANGE (subtype = small);
			CREATE TABLE users (id int PRIMARY KEY, mails mail[], m mail2); CREATE TABLE groups (u users, us users[], s smalls);
			INSERT INTO users VALUES (1, '{a@b,c@d}', 'x@y'); INSERT INTO groups SELECT u, ARRAY[u], '[1,4]' FROM users u;
			ALTER DOMAIN mail OWNER TO alice; ALTER TABLE users OWNER TO bob),
		migration => [ 'ALTER DOMAIN mail DROP CONSTRAINT mail_check', 'ALTER DOMAIN mail DROP NOT NULL', 'ALTER DOMAIN small DROP CONSTRAINT small_check' ],
	},
	{
		name => 'domain constraints of values inside of arrays that do not fit any more',
		setup => q(CREATE DOMAIN mail AS text CHECK (VALUE ~ '@'); CREATE TABLE users (id int PRIMARY KEY, mails mail[]); INSERT INTO users VALUES (1, '{a@b}')),
		migration => 'ALTER DOMAIN mail DROP CONSTRAINT mail_check',
		after => q(INSERT INTO users VALUES (2, '{a@b,c}')),
		refused => qr/SM003.*mail_check/s,
	},
	{
		name => 'types and tables change after what held their rows is dropped',
		setup => q(CREATE TYPE comp AS (a int, b text); REVOKE USAGE ON TYPE comp FROM PUBLIC; CREATE TABLE t1 (id int PRIMARY KEY, c comp, cs comp[]); INSERT INTO t1 VALUES (1, '(1,x)', '{"(2,y)"}'); CREATE INDEX ON t1 (c);
			CREATE DOMAIN dom AS int; CREATE TABLE t2 (id int PRIMARY KEY, d dom UNIQUE); INSERT INTO t2 VALUES (1, -1), (2, NULL);
			CREATE DOMAIN doms AS int; CREATE TABLE t3 (id int PRIMARY KEY, d doms[]); INSERT INTO t3 VALUES (1, '{-1}');
			CREATE TABLE p (d dom, c comp) PARTITION BY LIST (d); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); INSERT INTO p VALUES (1, '(1,b)');
			CREATE TABLE x (i int, j text); INSERT INTO x VALUES (1, 'b'); CREATE TABLE xc (z int) INHERITS (x);
			CREATE TABLE u (id int PRIMARY KEY, r x, c xc); INSERT INTO u VALUES (1, '(1,b)', '(1,b,2)');
			CREATE TYPE tt AS (a int, b text); CREATE TABLE ot OF tt; INSERT INTO ot VALUES (1, 'x'); CREATE TABLE uo (o ot); INSERT INTO uo VALUES ('(1,x)')),
		migration => [ 'DROP TABLE t1, t2, t3, p, u, uo',
			'ALTER TYPE comp ALTER ATTRIBUTE a TYPE bigint; ALTER TYPE comp ALTER ATTRIBUTE b TYPE varchar',
			'ALTER DOMAIN dom ADD CONSTRAINT pos CHECK (VALUE > 0); ALTER DOMAIN dom SET NOT NULL; ALTER DOMAIN doms ADD CONSTRAINT pos CHECK (VALUE > 0)', 'CREATE DOMAIN late AS int; CREATE TABLE t4 (l late); INSERT INTO t4 VALUES (1); ALTER DOMAIN late ADD CONSTRAINT pos CHECK (VALUE > 0) NOT VALID; DROP TABLE t4; ALTER DOMAIN late VALIDATE CONSTRAINT pos',
			'ALTER TABLE x ALTER i TYPE numeric USING i + 0.5; ALTER TABLE x ADD COLUMN k int DEFAULT 5; ALTER TABLE x SET UNLOGGED',
			'ALTER TYPE tt ALTER ATTRIBUTE a TYPE bigint CASCADE' ],
	},
	{
		name => 'types and tables that held rows are made and changed',
		setup => 'CREATE TABLE x (i int, j text)',
		migration => [ 'CREATE TYPE comp AS (a int, b text); CREATE DOMAIN dom AS int', 'ALTER TABLE x ALTER i TYPE numeric; ALTER TYPE comp ALTER ATTRIBUTE a TYPE bigint; ALTER DOMAIN dom SET NOT NULL',
			q(CREATE TABLE t (c comp, r x, d dom[]); INSERT INTO t VALUES ('(1,x)', '(1.5,y)', '{1}')) ],
	},
	{
		name => 'a base type is filled, and a domain made of it',
		setup => 'CREATE TYPE mine; CREATE FUNCTION mine_in(cstring) RETURNS mine LANGUAGE internal IMMUTABLE STRICT AS $$textin$$; CREATE FUNCTION mine_out(mine) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS $$textout$$',
		migration => [ 'CREATE TYPE mine (INPUT = mine_in, OUTPUT = mine_out, LIKE = text)', q(CREATE DOMAIN dm AS mine; CREATE TABLE tm (m mine, d dm, ds dm[]); INSERT INTO tm VALUES ('x', 'y', '{z}')) ],
	},
	{
		name => 'what is set on the types of rows, arrays and multiranges',
		setup => q(CREATE TYPE r AS RANGE (SUBTYPE = int4); CREATE TABLE t (i int); CREATE TYPE e AS ENUM ('a'); CREATE VIEW v AS SELECT 1 AS a;
			COMMENT ON TYPE v IS 'v';) . $on_multirange,
		migration => [ q(COMMENT ON TYPE t IS 'rt'; COMMENT ON TYPE _e IS '_e'; GRANT USAGE ON TYPE v TO bob; REVOKE USAGE ON TYPE t FROM PUBLIC), 'DROP TABLE t; DROP TYPE e, r; DROP VIEW v' ],
	},
	{
		name => 'the same, made and dropped',
		setup => 'CREATE TABLE other ()',
		migration => [ q(CREATE TYPE r AS RANGE (SUBTYPE = int4); CREATE TABLE t (i int)), qq(COMMENT ON TYPE t IS 'rt'; $on_multirange), 'DROP TYPE r; DROP TABLE t; ALTER TABLE other ADD a int' ],
	},
	{
		name => 'a schema with a base type, and tables that have it',
		setup => q(CREATE SCHEMA s; CREATE TYPE s.mine; CREATE FUNCTION s.mine_in(cstring) RETURNS s.mine LANGUAGE internal IMMUTABLE STRICT AS 'textin'; CREATE FUNCTION s.mine_out(s.mine) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
			CREATE TYPE s.mine (INPUT = s.mine_in, OUTPUT = s.mine_out, LIKE = text); CREATE DOMAIN s.dm AS s.mine; CREATE TYPE s.comp AS (a s.mine, b int);
			CREATE TABLE s.t (id int PRIMARY KEY, m s.mine DEFAULT 'x', d s.dm, c s.comp, ms s.mine[]); INSERT INTO s.t VALUES (1, 'one', 'two', '(three,3)', '{four}');
			CREATE FUNCTION s.f(s.t) RETURNS s.mine LANGUAGE sql AS 'SELECT $1.m'; CREATE TABLE stays (id int PRIMARY KEY, m s.mine); INSERT INTO stays VALUES (1, 'five')),
		migration => 'DROP SCHEMA s CASCADE',
	},
	{
		name => 'an attribute that goes with its type, while the vault has a domain of it',
		setup => q(CREATE DOMAIN d AS int CHECK (VALUE > 0); CREATE TYPE c AS (x d, y text); CREATE DOMAIN dc AS c CHECK ((VALUE).x < 9); CREATE TYPE cc AS (a c, b int)),
		migration => [ 'DROP DOMAIN dc; DROP TYPE cc', 'ALTER TYPE c RENAME TO other', 'DROP DOMAIN d CASCADE' ],
	},
	{
		name => 'composite attributes',
		setup => q(CREATE TYPE pair AS (x int, y text); CREATE TYPE free AS (a int, b text, c date); COMMENT ON COLUMN free.b IS 'bb'),
		migration => q(ALTER TYPE free DROP ATTRIBUTE b, ADD ATTRIBUTE d numeric(5,2), ALTER ATTRIBUTE a TYPE bigint; ALTER TYPE free RENAME ATTRIBUTE c TO cc),
	},
	{
		name => 'an enum gets values and a new name for one',
		setup => $types,
		migration => q(ALTER TYPE mood ADD VALUE 'elated'; ALTER TYPE mood ADD VALUE 'meh' BEFORE 'ok'; ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'),
		once => 1,
	},
	{
		name => 'an enum value in use',
		setup => $types,
		migration => q(ALTER TYPE mood ADD VALUE 'elated'),
		after => q(UPDATE t SET m = 'elated' WHERE id = 3),
		refused => qr/SM003.*elated/s,
	},
);

# PostgreSQL checks a foreign key by a query that names both tables.
round_trips(
	{
		name => 'a foreign key to a table whose owner has no right left on it',
		setup => q(CREATE TABLE referred (id int PRIMARY KEY); INSERT INTO referred SELECT generate_series(1, 9); ALTER TABLE referred OWNER TO alice;
				   CREATE TABLE refers (id int, r int REFERENCES referred); INSERT INTO refers SELECT i, i FROM generate_series(1, 9) i; ALTER TABLE refers OWNER TO bob),
		migration => 'REVOKE ALL ON referred FROM alice; DROP TABLE refers',
	},
	{
		name => 'rows of an owner who may not call what his index, CHECK and generated column call',
		setup => q(CREATE FUNCTION brief(text) RETURNS text IMMUTABLE LANGUAGE sql RETURN left($1, 2); REVOKE EXECUTE ON FUNCTION brief FROM PUBLIC;
				   CREATE DOMAIN d AS int; CREATE TABLE rows_of (id int PRIMARY KEY, t text, p d, g text GENERATED ALWAYS AS (brief(t)) STORED, CHECK (brief(t) <> 'zz'));
				   CREATE INDEX ON rows_of (brief(t)); INSERT INTO rows_of SELECT i, 'text' || i, i FROM generate_series(1, 9) i; ALTER TABLE rows_of OWNER TO alice),
		uncallable => 1,
		migration => q(BEGIN; UPDATE rows_of SET t = 'other' WHERE id < 4; DELETE FROM rows_of WHERE id = 5; INSERT INTO rows_of VALUES (50, 'new', 1); DROP DOMAIN d CASCADE; UPDATE rows_of SET t = t || 'x'; COMMIT),
	},
	{
		name => 'foreign key of an owner who lacks USAGE on both schemas',
		setup => <<'SQL',
CREATE SCHEMA s;
CREATE SCHEMA r;
CREATE TABLE r.referred (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE r.low PARTITION OF r.referred FOR VALUES FROM (0) TO (5);
CREATE TABLE r.high PARTITION OF r.referred FOR VALUES FROM (5) TO (50);
CREATE TABLE s.referring (id int, ref int REFERENCES r.referred, note text);
INSERT INTO r.referred SELECT generate_series(1, 9);
INSERT INTO s.referring SELECT i, i FROM generate_series(1, 9) i;
ALTER TABLE r.referred OWNER TO bob;
ALTER TABLE s.referring OWNER TO alice;
GRANT SELECT ON r.referred TO alice;
SQL
		migration => 'ALTER TABLE s.referring DROP COLUMN ref',
	});

# The one in the middle is kept, what hangs on it has to go before.
round_trips(
	{
		name => 'a view on a materialized view on a view on the column',
		setup => q(CREATE TABLE t (id int PRIMARY KEY, name text, total int); INSERT INTO t VALUES (1, 'x', 2);
			CREATE VIEW v1 AS SELECT id, name, total FROM t WHERE total > 0;
			CREATE MATERIALIZED VIEW m AS SELECT name, count(*) AS n FROM v1 GROUP BY 1; CREATE VIEW v2 AS SELECT * FROM m;
			CREATE VIEW v0 AS SELECT name, id FROM t GROUP BY id; CREATE MATERIALIZED VIEW m0 AS SELECT name FROM v0; CREATE VIEW v3 AS SELECT * FROM m0),
		migration => 'ALTER TABLE t DROP COLUMN total CASCADE; ALTER TABLE t DROP CONSTRAINT t_pkey CASCADE',
	},
	{
		name => 'views that go with a column, and a rewrite of the table by the same command',
		setup => q(CREATE TABLE t (id int PRIMARY KEY, name text, total int); INSERT INTO t VALUES (1, 'x', 2);
			CREATE VIEW v1 AS SELECT id, name, total FROM t;
			CREATE MATERIALIZED VIEW m AS SELECT name, count(*) AS n FROM v1 GROUP BY 1),
		migration => 'ALTER TABLE t DROP COLUMN total CASCADE, ADD COLUMN new varchar(5)',
	});

# PostgreSQL words a view by the columns that its tables have now: z would be
# ambiguous.  Nobody has changed the view.
my $ambiguous = 'CREATE TABLE a (x int, y int); CREATE TABLE b (x int, z int); CREATE TABLE c (z int, q int);';
my $joins = 'CREATE VIEW v AS SELECT x, y, z, q FROM (a JOIN b USING (x)) JOIN c USING (z);
	CREATE TABLE sums (q int, n int);
	CREATE RULE r AS ON INSERT TO c DO ALSO INSERT INTO sums SELECT q, count(*) FROM (a JOIN b USING (x)) JOIN c USING (z) GROUP BY q;
	CREATE FUNCTION f() RETURNS bigint BEGIN ATOMIC SELECT count(q) FROM (a JOIN b USING (x)) JOIN c USING (z); END;';
round_trips(
	{
		name => 'what is worded otherwise since',
		setup => "$ambiguous $joins",
		migration => 'ALTER VIEW v OWNER TO alice; ALTER FUNCTION f() OWNER TO alice; ALTER TABLE c DISABLE RULE r',
		after => 'ALTER TABLE a ADD COLUMN z int',
		same => 'ALTER TABLE a ADD COLUMN z int',
		reworded => 1,
	},
	{
		name => 'what was worded otherwise for a while',
		setup => $ambiguous,
		migration => [ $joins, 'ALTER TABLE a ADD COLUMN z int', 'ALTER VIEW v OWNER TO alice' ],
		reworded => 1,
		# where z comes back under the view, no words tell it
		once => 1,
	});

# A role with privileges on a system column can be dropped once the table is.
{
	my $database = new_database('system_column');
	in_database($database, q(CREATE ROLE gone; CREATE TABLE t (a int); GRANT SELECT (tableoid) ON t TO gone, bob; SET safemig.label = 'm'; DROP TABLE t; RESET safemig.label));
	my ($status, $out, $err) = in_database($database, 'DROP ROLE gone');
	ok(!$status, 'nothing in the vault holds a role') or diag($err);
}
round_trips(
	{
		name => 'a table with privileges on system columns',
		setup => 'CREATE TABLE t (a int PRIMARY KEY, b text); INSERT INTO t VALUES (1); GRANT SELECT (tableoid, xmin), UPDATE (b) ON t TO bob;
			CREATE TABLE p (a int) PARTITION BY RANGE (a); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (1) TO (9); GRANT SELECT (ctid) ON p1 TO bob',
		migration => 'DROP TABLE t, p1',
	});

# What an index calls is called by the owner of its table, never by who rolls back.
round_trips(
	{
		name => 'a partitioned index attached that only its owner may build',
		roles => ['owns_tree'],
		setup => q(GRANT CREATE ON SCHEMA public TO owns_tree; SET ROLE owns_tree;
			CREATE FUNCTION who(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$BEGIN IF current_user <> 'owns_tree' THEN RAISE 'called by %', current_user; END IF; RETURN $1; END$$;
			CREATE TABLE t (a int) PARTITION BY RANGE (a); CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (1) TO (100) PARTITION BY RANGE (a);
			CREATE TABLE t2 PARTITION OF t1 FOR VALUES FROM (1) TO (50); INSERT INTO t VALUES (1); CREATE INDEX ON t1 ((who(a) + who(0))) WHERE who(a + 10) > who(10)),
		migration => 'CREATE INDEX i ON t ((who(a) + who(0))) WHERE who(a + 10) > who(10)',
		uncallable => 1,
		unrestorable => 1,
	},
	{
		name => 'a tree dropped from below with indexes that only its owner may build',
		roles => ['owns_tree'],
		setup => q(GRANT CREATE ON SCHEMA public TO owns_tree; SET ROLE owns_tree;
			CREATE FUNCTION who(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$BEGIN IF current_user <> 'owns_tree' THEN RAISE 'called by %', current_user; END IF; RETURN $1; END$$;
			CREATE TABLE t (a int) PARTITION BY RANGE (a); CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (1) TO (100) PARTITION BY RANGE (a);
			CREATE TABLE t2 PARTITION OF t1 FOR VALUES FROM (1) TO (50); INSERT INTO t VALUES (1); CREATE INDEX i ON t ((who(a) + who(0))) WHERE who(a + 10) > who(10)),
		migration => 'DROP TABLE t2; DROP TABLE t1; DROP INDEX i',
		uncallable => 1,
		unrestorable => 1,
	});

done_testing();
