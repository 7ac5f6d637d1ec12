
# Copyright (c) 2026, the safemig authors

# Extensions and collations come and go while rows that need their types are
# kept.  pg_regress cannot show it: the proof is that pg_dump writes the same
# before and after, and that what it wrote can be restored.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigTest;
use Test::More;

start_server('extensions');

foreach my $extension (qw(citext cube hstore pg_trgm btree_gist uuid-ossp))
{
	plan skip_all => "no $extension"
	  unless value('postgres',
		qq(SELECT count(*) FROM pg_available_extensions WHERE name = '$extension'));
}

my $types = <<'SQL';
CREATE DOMAIN email AS citext NOT NULL CHECK (VALUE ~ '@');
COMMENT ON DOMAIN email IS 'it''s';
CREATE TYPE pair AS (a citext, "b ""q""" int);
CREATE DOMAIN pairs AS pair[];
SQL
my $tables = <<'SQL';
CREATE TABLE users (id int PRIMARY KEY, "na me" citext NOT NULL UNIQUE, mail email, tags citext[] DEFAULT '{}',
 grid citext[][], h hstore, p pair, ps pairs, note text, u uuid DEFAULT uuid_generate_v4(), c citext COLLATE "C", CHECK ("na me" <> 'no'));
ALTER TABLE users ALTER "na me" SET STORAGE EXTERNAL, ALTER "na me" SET STATISTICS 77, ALTER h SET (n_distinct = 5);
ALTER TABLE users ALTER h SET COMPRESSION pglz;
CREATE INDEX users_h ON users USING gin (h);
CREATE INDEX users_note ON users USING gin (note gin_trgm_ops);
CREATE INDEX users_multi ON users (id, "na me" DESC) INCLUDE (mail) WITH (fillfactor = 70);
COMMENT ON INDEX users_multi IS 'i''s';
CREATE INDEX users_lower ON users (lower("na me")) WHERE mail IS NOT NULL;
CREATE STATISTICS users_st (ndistinct) ON "na me", id FROM users;
ALTER STATISTICS users_st SET STATISTICS 55;
ALTER TABLE users REPLICA IDENTITY USING INDEX "users_na me_key";
ALTER TABLE users CLUSTER ON users_multi;
CREATE TABLE country (code citext PRIMARY KEY, x int);
CREATE TABLE city (id int PRIMARY KEY, country citext REFERENCES country ON DELETE CASCADE, room int, during tsrange, EXCLUDE USING gist (room WITH =, during WITH &&));
CREATE TABLE part (id int, name citext, UNIQUE (id, name)) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE TABLE part2 (name citext, id int, UNIQUE (id, name)); ALTER TABLE part ATTACH PARTITION part2 FOR VALUES FROM (10) TO (20);
CREATE INDEX part_name ON part (name);
CREATE TABLE up (a citext); CREATE TABLE down (b hstore, l citext) INHERITS (up);
CREATE TABLE holds (u users, us users[]);
CREATE MATERIALIZED VIEW mv AS SELECT id, "na me" FROM users;
CREATE INDEX mv_n ON mv ("na me");
CREATE VIEW v AS SELECT "na me" || mail AS both FROM users;
SQL
my $rows = <<'SQL';
INSERT INTO users (id, "na me", mail, tags, grid, h, p, ps, note, u, c)
 SELECT i, 'Na' || i, 'a@B' || i, ARRAY['X' || i, 'y,"', NULL]::citext[], ARRAY[['A'], [NULL]]::citext[], 'a=>1,"B "=>NULL',
  ('Pa' || i, i)::pair, ARRAY[('q', 1)::pair, NULL], 'note ' || i, ('00000000-0000-0000-0000-00000000000' || i)::uuid, 'C' FROM generate_series(1, 5) i;
INSERT INTO users (id, "na me", mail, c) VALUES (6, 'Six', '6@6', repeat('Long', 100000));
INSERT INTO country VALUES ('de', 1), ('FR', 2);
INSERT INTO city VALUES (1, 'DE', 3, '[2020-01-01,2020-01-02)');
INSERT INTO part SELECT i, 'N' || i FROM generate_series(0, 19) i;
INSERT INTO down VALUES ('A', 'k=>V', 'L'); INSERT INTO up VALUES ('u');
INSERT INTO holds SELECT w, ARRAY[w] FROM users w;
REFRESH MATERIALIZED VIEW mv;
SQL
my $extensions =
  'CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION pg_trgm; CREATE EXTENSION btree_gist; CREATE EXTENSION "uuid-ossp";';
my $in_schema = <<'SQL';
CREATE SCHEMA app;
CREATE EXTENSION citext SCHEMA app;
CREATE DOMAIN app.email AS app.citext;
CREATE TABLE app.t (id int PRIMARY KEY, a app.citext UNIQUE, e app.email);
CREATE TABLE outside (id int PRIMARY KEY, a app.citext, t app.t, last int);
INSERT INTO app.t SELECT i, 'A' || i, 'E' || i FROM generate_series(1, 5) i;
INSERT INTO outside SELECT id, a, t, 1 FROM app.t;
SQL

my $collated = <<'SQL';
CREATE COLLATION "c q" (PROVIDER = icu, LOCALE = 'de-u-co-phonebk', DETERMINISTIC = false);
COMMENT ON COLLATION "c q" IS 'it''s';
CREATE DOMAIN d AS text COLLATE "c q" CHECK (VALUE <> 'no');
CREATE TYPE ty AS (a text COLLATE "c q", b int);
CREATE TYPE r AS RANGE (SUBTYPE = text, COLLATION = "c q");
CREATE TABLE t (id int PRIMARY KEY, a text COLLATE "c q" DEFAULT 'x' UNIQUE, x d, y ty, z r, last int);
CREATE INDEX t_a ON t (id, a DESC);
CREATE TABLE t2 (y text, CHECK (y < 'b' COLLATE "c q"));
CREATE INDEX t2_y ON t2 (y COLLATE "c q");
CREATE INDEX t2_lower ON t2 (lower(y COLLATE "c q"));
CREATE VIEW v AS SELECT id FROM t ORDER BY a;
DROP VIEW v;
SQL
my $collated_rows = <<'SQL';
INSERT INTO t SELECT i, 'A' || i, 'x' || i, ROW('y', i)::ty, '[a,b)', i FROM generate_series(1, 9) i;
INSERT INTO t2 VALUES ('a'), (NULL);
SQL

round_trips(
	{
		name => 'extensions and what uses them in one migration',
		setup => 'SELECT 1',
		migration => "BEGIN; $extensions $types $tables COMMIT;",
		after => $rows,
	},
	{
		name => 'extensions and what uses them in migrations of their own',
		setup => 'SELECT 1',
		migration => [ $extensions, $types, $tables ],
		after => $rows,
	},
	{
		name => 'tables, types, extensions dropped, as a down migration does',
		setup => "$extensions $types $tables $rows",
		migration => <<'SQL',
DROP TABLE holds; DROP TABLE users, country, city, part, up, down CASCADE;
DROP TYPE pair CASCADE;
DROP DOMAIN email;
DROP EXTENSION citext, hstore, pg_trgm, btree_gist, "uuid-ossp";
SQL
	},
	{
		name => 'the same, in migrations of their own',
		setup => "$extensions $types $tables $rows",
		migration => [
			'DROP TABLE holds; DROP TABLE users, country, city, part, up, down CASCADE;',
			'DROP TYPE pair CASCADE; DROP DOMAIN email;',
			'DROP EXTENSION citext, hstore;', 'DROP EXTENSION pg_trgm, btree_gist, "uuid-ossp";' ],
	},
	{
		name => 'an extension that comes back with another type OID, and rows of long ago',
		setup => 'CREATE EXTENSION citext; CREATE TABLE t (id int PRIMARY KEY, c citext); INSERT INTO t SELECT i, i FROM generate_series(1, 3) i',
		migration => [
			'DROP TABLE t', 'DROP EXTENSION citext', 'CREATE EXTENSION citext',
			'CREATE TABLE t2 (c citext)', 'DROP TABLE t2', 'DROP EXTENSION citext' ],
	},
	{
		name => 'values kept of a table without a key, while it is in the vault',
		setup => 'CREATE EXTENSION citext; CREATE TABLE t (v text, c citext); INSERT INTO t SELECT (i % 3)::text, i FROM generate_series(1, 9) i',
		migration => [
			'ALTER TABLE t ALTER v TYPE int USING length(v)',
			'DROP TABLE t', 'DROP EXTENSION citext' ],
	},
	{
		name => 'a schema with an extension and tables',
		setup => 'CREATE TABLE other (id int)',
		migration => $in_schema,
	},
	{
		name => 'kept values that undoing is told not to keep',
		setup => 'CREATE EXTENSION citext; CREATE TABLE t (id int PRIMARY KEY, c citext); INSERT INTO t VALUES (1, 1); DROP TABLE t; DROP EXTENSION citext;',
		migration => 'CREATE EXTENSION citext; CREATE TABLE t (c citext)',
		pgoptions => '-c safemig.keep_undone=off',
		once => 1,
	},
	{
		name => 'a trusted extension of a role that is no superuser',
		setup => q(DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO alice', current_database()); END $$),
		migration => q(SET ROLE alice; CREATE EXTENSION citext; CREATE TABLE alices (id int PRIMARY KEY, c citext UNIQUE); INSERT INTO alices VALUES (1, 'A')),
		rollback => q(SET ROLE alice; SELECT safemig_rollback('case')),
	},
	{
		name => 'the same extension, taken back by somebody else',
		setup => q(DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO alice', current_database()); END $$),
		migration => q(SET ROLE alice; CREATE EXTENSION citext),
		rollback => q(SET ROLE bob; SELECT safemig_rollback('case')),
		refused => qr/42501: must be owner of extension citext/,
	},
	{
		name => 'columns that go with their extension come back where they stood',
		setup => 'CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION cube;
			CREATE TABLE t (id int PRIMARY KEY, a citext NOT NULL DEFAULT \'x\' UNIQUE, b text, h hstore, e citext, c cube, last text);
			CREATE INDEX t_last ON t (last);
			CREATE TABLE par (id int PRIMARY KEY, a citext, last int) PARTITION BY RANGE (id);
			CREATE TABLE par1 PARTITION OF par FOR VALUES FROM (0) TO (10);
			CREATE TABLE par2 (last int, a citext, id int NOT NULL); ALTER TABLE par ATTACH PARTITION par2 FOR VALUES FROM (10) TO (20);
			CREATE VIEW v AS SELECT id, last FROM t;
			INSERT INTO t SELECT i, \'A\' || i, i, NULL, repeat(\'Long\', 10000 * i), cube(i), i FROM generate_series(1, 9) i;
			INSERT INTO par SELECT i, \'A\' || i, i FROM generate_series(0, 19) i',
		migration => 'DROP EXTENSION citext, hstore, cube CASCADE',
	},
	{
		name => 'a column of a table without a key, where its type goes for good',
		setup => q(CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE TABLE t (a citext, b int, h hstore, c text); INSERT INTO t VALUES ('A', 1, 'a=>1', 'c'), ('B', 2, 'b=>2', NULL), ('C', 2, 'c=>3', NULL), ('B', 2, 'b=>2', NULL)),
		migration => 'DROP EXTENSION citext, hstore CASCADE',
	},
	{
		name => 'and another one is computed from it',
		setup => q(CREATE EXTENSION hstore; CREATE TABLE t (h hstore, k int, g text GENERATED ALWAYS AS (h -> 'a') STORED, l text);
			INSERT INTO t VALUES ('a=>1', 1), ('a=>2', 2), ('b=>1', 2), ('a=>2', 2), (NULL, NULL)),
		migration => 'DROP EXTENSION hstore CASCADE; ALTER TABLE t ADD COLUMN h text',
		after => 'INSERT INTO t (k) VALUES (9)',
		same => 'INSERT INTO t (k) VALUES (9)',
	},
	{
		name => 'an extension goes to another schema, and then away',
		setup => q(CREATE EXTENSION hstore; CREATE SCHEMA x; CREATE DOMAIN dh AS hstore CHECK (VALUE ? 'a');
			CREATE TABLE t (h hstore, k int DEFAULT length('a=>1'::hstore::text), g text GENERATED ALWAYS AS (h -> 'a') STORED); INSERT INTO t VALUES ('a=>1', 1);
			CREATE INDEX ON t USING gist (h); CREATE INDEX ON t ((h -> 'b')) WHERE h ? 'b';
			CREATE VIEW v AS SELECT h -> 'a' AS a FROM t; CREATE FUNCTION f(hstore) RETURNS hstore[] LANGUAGE sql AS 'SELECT ARRAY[$1]'),
		migration => 'ALTER EXTENSION hstore SET SCHEMA x; ALTER TABLE t ADD COLUMN n x.hstore; DROP EXTENSION hstore CASCADE; ALTER TABLE t ADD COLUMN h text',
	},
	{
		name => 'a collation and what uses it, in one migration',
		setup => 'SELECT 1',
		migration => "BEGIN; $collated COMMIT;",
		after => $collated_rows,
	},
	{
		name => 'what uses a collation dropped, then the collation',
		setup => "$collated $collated_rows",
		migration => [ 'DROP TABLE t, t2; DROP TYPE ty; DROP DOMAIN d; DROP TYPE r',
			'DROP COLLATION "c q"', 'CREATE COLLATION "c q" FROM "C"', 'DROP COLLATION "c q"' ],
	},
	{
		name => 'a collation dropped from under columns, indexes, domains, types and views',
		setup => "$collated $collated_rows",
		migration => 'DROP COLLATION "c q" CASCADE',
	},
	{
		name => 'a schema with a collation that is used outside',
		setup => "CREATE SCHEMA s; SET search_path = s, public; $collated SET search_path = public, s; CREATE TABLE o (id int PRIMARY KEY, x text COLLATE \"c q\", y int); INSERT INTO o VALUES (1, 'x', 2)",
		migration => 'DROP SCHEMA s CASCADE',
	},
	{
		name => 'another collation has the name of the dropped one',
		setup => 'CREATE COLLATION c FROM "C"; CREATE TABLE t (a text COLLATE c)',
		migration => 'DROP TABLE t; DROP COLLATION c',
		after => 'SET safemig.enabled = off; CREATE COLLATION c FROM "POSIX"',
		refused => qr/collation public.c has to come back, but the name is taken/,
	},
	{
		name => 'a member of an extension, changed by its owner',
		setup => q(CREATE EXTENSION citext; ALTER FUNCTION citextin(cstring) OWNER TO bob),
		migration => q(SET ROLE bob; ALTER FUNCTION citextin(cstring) COST 7),
		rollback => q(SET ROLE alice; SELECT safemig_rollback('case')),
		refused => qr/42501: must be owner of function/,
	},
	{
		name => 'a kept table that is partitioned by an extension\'s type',
		setup => 'SELECT 1',
		migration => q(CREATE EXTENSION citext; CREATE TABLE t (c citext) PARTITION BY LIST (c); CREATE TABLE t1 PARTITION OF t FOR VALUES IN ('a')),
		refused => qr/SM003: .* operator class (public\.)?citext_ops .*is needed by data that safemig keeps/,
	},
	{
		name => 'columns and functions that stay outside lose a domain over the type',
		setup => q(CREATE EXTENSION citext; CREATE DOMAIN d AS citext CHECK (VALUE <> 'x'); CREATE DOMAIN dd AS d[]; CREATE TYPE c AS (a d, b int);
			CREATE TABLE t (id int PRIMARY KEY, v d UNIQUE, w dd, last int); INSERT INTO t VALUES (1, 'Q', '{A,b}', 3);
			CREATE TABLE o (v d, c c); INSERT INTO o VALUES ('O', '(p,1)'); CREATE FUNCTION f(d) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE VIEW v AS SELECT f(v) FROM t),
		migration => [ 'DROP TABLE o', 'DROP EXTENSION citext CASCADE' ],
	},
	{
		name => 'the same with the schema of a base type',
		setup => q(CREATE SCHEMA s; CREATE TYPE s.b; CREATE FUNCTION s.i(cstring) RETURNS s.b LANGUAGE internal IMMUTABLE STRICT AS 'int4in'; CREATE FUNCTION s.o(s.b) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
			CREATE TYPE s.b (INPUT = s.i, OUTPUT = s.o, LIKE = int4); CREATE DOMAIN d AS s.b; CREATE TABLE t (id int PRIMARY KEY, v d, last int); INSERT INTO t VALUES (1, '7', 3); CREATE FUNCTION f(d) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TABLE s.k (v d); INSERT INTO s.k VALUES ('8')),
		migration => 'DROP SCHEMA s CASCADE',
	},
	{
		name => 'somebody else\'s type of the same name',
		setup => q(CREATE EXTENSION citext; CREATE TABLE t (c citext); INSERT INTO t VALUES ('kept')),
		migration => 'DROP TABLE t',
		after => 'DROP EXTENSION citext; CREATE DOMAIN citext AS text',
		refused => qr/SM003: .* type public.citext of column "c" does not exist/,
	},
);

done_testing();
