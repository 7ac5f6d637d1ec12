
# Copyright (c) 2026, the safemig authors

# Tables whose parts belong to different roles, and owners who lack rights that
# whoever ran the migration had.  pg_regress cannot show it: the proof is a
# comparison of dumps and catalogs.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigTest;
use Test::More;

start_server('owners');
in_database('postgres', "SET allow_in_place_tablespaces = on;\nCREATE TABLESPACE room LOCATION ''");

# A superuser's child and partition of a table that is alice's.
my $tree = q(
	CREATE TABLE parent (id int PRIMARY KEY, n int, t text DEFAULT 'x');
	ALTER TABLE parent OWNER TO alice;
	CREATE TABLE child (more text) INHERITS (parent);
	CREATE INDEX child_n ON child ((n + 1));
	INSERT INTO child SELECT i, i, repeat('t', i), 'more' FROM generate_series(1, 20) i;
	CREATE TABLE parted (id int, n int, t text) PARTITION BY LIST (id);
	ALTER TABLE parted OWNER TO alice;
	CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
	CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN (2);
	ALTER TABLE parted_2 OWNER TO bob;
	INSERT INTO parted VALUES (1, 1, 'a'), (2, 2, 'b');
);

round_trips(
	{
		name => 'a CHECK dropped from a tree of several owners',
		setup => $tree . 'ALTER TABLE parent ADD CONSTRAINT sound CHECK (n IS NULL OR n > 0); ALTER TABLE parted ADD CONSTRAINT sound CHECK (t <> $$none$$)',
		migration => 'ALTER TABLE parent DROP CONSTRAINT sound; ALTER TABLE parted DROP CONSTRAINT sound',
	},
	{
		name => 'a CHECK added to a tree of several owners',
		setup => $tree,
		migration => 'ALTER TABLE parent ADD CONSTRAINT sound CHECK (n > 0); ALTER TABLE parted ADD CONSTRAINT sound CHECK (n > 0)',
	},
	{
		name => 'a column dropped from a tree of several owners',
		setup => $tree,
		migration => 'ALTER TABLE parent DROP COLUMN t; ALTER TABLE parted DROP COLUMN t',
		after => q(INSERT INTO child VALUES (21, 21, 'later'); INSERT INTO parted VALUES (1, 7)),
		same => q(INSERT INTO child (id, n, more) VALUES (21, 21, 'later'); INSERT INTO parted VALUES (1, 7)),
		once => 1,
	},
	{
		name => 'a column added to a tree of several owners',
		setup => $tree,
		migration => q(ALTER TABLE parent ADD COLUMN c text DEFAULT 'a' || 'b'; ALTER TABLE parted ADD COLUMN c numeric DEFAULT 1.5)
	},
	{
		name => 'a type changed in a tree of several owners',
		setup => $tree,
		migration => 'ALTER TABLE parent ALTER n TYPE bigint, ALTER t TYPE varchar(5) USING left(t, 5); ALTER TABLE parted ALTER n TYPE text USING n || $$!$$, ALTER t TYPE varchar(3)',
	},
	{
		name => 'a default changed in a tree of several owners',
		setup => $tree,
		migration => q(ALTER TABLE parent ALTER t SET DEFAULT 'y'; ALTER TABLE parted ALTER n SET DEFAULT 5),
	},
	{
		name => 'a partition of another owner dropped and detached',
		setup => $tree,
		migration => 'DROP TABLE parted_1; ALTER TABLE parted DETACH PARTITION parted_2; DROP TABLE child',
	},
	{
		name => 'the owner may not call what the trigger of his partition calls',
		setup => $tree . q(
			CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
			CREATE TRIGGER t BEFORE INSERT ON parted FOR EACH ROW EXECUTE FUNCTION f();
			REVOKE ALL ON FUNCTION f FROM PUBLIC),
		migration => 'DROP TABLE parted_1; ALTER TABLE parted DETACH PARTITION parted_2',
	},
	{
		name => 'one column comes and another goes, of rows without a key that are not ours',
		setup => q(CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'), (1, 'x'), (NULL, 'y'), (2, NULL); ALTER TABLE t OWNER TO alice),
		migration => q(ALTER TABLE t DROP COLUMN b, ADD COLUMN c timestamptz DEFAULT clock_timestamp()),
	},
	{
		name => 'a partition dropped, some of whose own partitions are another\'s',
		setup => $tree . q(
			CREATE TABLE other (id int, n int, PRIMARY KEY (id, n)); INSERT INTO other VALUES (3, 3);
			DROP TABLE parted_1, parted_2;
			ALTER TABLE parted ADD FOREIGN KEY (id, n) REFERENCES other;
			CREATE TABLE parted_3 PARTITION OF parted FOR VALUES IN (3) PARTITION BY HASH (n);
			CREATE TABLE parted_3a PARTITION OF parted_3 FOR VALUES WITH (MODULUS 1, REMAINDER 0);
			ALTER TABLE parted_3 OWNER TO alice; ALTER TABLE parted_3a OWNER TO bob;
			GRANT SELECT, REFERENCES ON other TO alice, bob;
			INSERT INTO parted VALUES (3, 3, 'c')),
		migration => 'DROP TABLE parted_3',
	},
	{
		name => 'a serial column in a tree of several owners',
		setup => $tree,
		migration => [ 'ALTER TABLE parted ADD COLUMN s serial', 'ALTER TABLE parted ALTER s DROP NOT NULL' ],
	},
	{
		name => 'a serial key of alice\'s dropped',
		setup => q(CREATE TABLE t (id serial PRIMARY KEY, b text); INSERT INTO t (b) VALUES ('x'), ('y'); ALTER TABLE t OWNER TO alice),
		migration => 'ALTER TABLE t DROP COLUMN id; ALTER TABLE t ADD COLUMN id int',
	},
	{
		name => 'a materialized view emptied after its owner has lost his rights',
		setup => q(CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2); CREATE VIEW v AS SELECT a FROM t;
			CREATE MATERIALIZED VIEW m AS SELECT * FROM v; ALTER TABLE t OWNER TO alice; ALTER VIEW v OWNER TO alice; ALTER MATERIALIZED VIEW m OWNER TO alice),
		migration => 'BEGIN; ALTER VIEW v OWNER TO bob; REFRESH MATERIALIZED VIEW m WITH NO DATA; COMMIT',
		once => 1,
	},
	{
		name => 'a range whose multirange is another\'s',
		setup => q(CREATE TYPE span AS RANGE (subtype = int4); CREATE TABLE t (a int, s span); INSERT INTO t VALUES (1, '[1,1]');
			ALTER TYPE span OWNER TO alice),
		migration => 'DROP TYPE span CASCADE',
	},
	{
		name => 'an index in a tablespace that the owner of the table may not use',
		setup => q(CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'X'); ALTER TABLE t OWNER TO alice;
			CREATE INDEX t_lower ON t (lower(b)) TABLESPACE room),
		migration => 'DROP TABLE t',
	},
	{
		name => 'a trigger dropped whose function the owner may not call',
		setup => q(CREATE TABLE t (a int); ALTER TABLE t OWNER TO alice;
			CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'; REVOKE ALL ON FUNCTION f FROM PUBLIC;
			CREATE TRIGGER tr BEFORE UPDATE ON t FOR EACH ROW WHEN (old.a > 1) EXECUTE FUNCTION f()),
		migration => 'DROP TRIGGER tr ON t',
	},
	{
		name => 'expressions of types that the owner may not use',
		setup => q(CREATE TYPE mood AS ENUM ('ok', 'bad'); CREATE DOMAIN moods AS mood[] DEFAULT ARRAY['ok'::mood];
			CREATE DOMAIN few AS int CHECK (VALUE < 10); CREATE TYPE moody AS RANGE (subtype = mood);
			CREATE FUNCTION feel(mood) RETURNS mood IMMUTABLE LANGUAGE sql AS 'SELECT $1';
			CREATE TABLE t (id int PRIMARY KEY, m mood DEFAULT 'ok', a moods DEFAULT ARRAY['bad'::mood], f few DEFAULT 3,
				r moody DEFAULT moody('ok', 'bad'), g int GENERATED ALWAYS AS (CASE WHEN m = 'ok' THEN 1 ELSE 2 END) STORED,
				CHECK (m <> 'bad' OR f > 0), CHECK (lower(r) < 'bad'));
			CREATE INDEX t_feel ON t (feel(m)) WHERE m > 'ok';
			CREATE STATISTICS t_stat ON (feel(m)), (f + 1) FROM t;
			CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
			CREATE TRIGGER tr BEFORE UPDATE ON t FOR EACH ROW WHEN (old.m = 'bad') EXECUTE FUNCTION f();
			CREATE POLICY p ON t USING (m = 'ok') WITH CHECK (f < 9);
			CREATE RULE rl AS ON UPDATE TO t WHERE old.m = 'bad' DO NOTHING;
			CREATE VIEW v AS SELECT id, feel(m) AS m FROM t WHERE r @> 'ok'::mood; CREATE MATERIALIZED VIEW mv AS SELECT m, f FROM t;
			INSERT INTO t VALUES (1, 'ok'), (2, 'bad');
			ALTER TABLE t OWNER TO alice; ALTER VIEW v OWNER TO alice; ALTER MATERIALIZED VIEW mv OWNER TO alice;
			REVOKE ALL ON TYPE mood, moods, few, moody FROM PUBLIC),
		migration => 'DROP TABLE t CASCADE',
	},
	{
		name => 'a column of a type that the owner may not use',
		setup => q(CREATE TYPE mood AS ENUM ('ok', 'bad'); CREATE TABLE t (id int PRIMARY KEY, m mood DEFAULT 'ok' NOT NULL, g text);
			INSERT INTO t VALUES (1, 'ok'), (2, 'bad'); ALTER TABLE t OWNER TO alice; REVOKE ALL ON TYPE mood FROM PUBLIC),
		migration => 'ALTER TABLE t ALTER m DROP DEFAULT; ALTER TABLE t ALTER m TYPE text; ALTER TABLE t DROP COLUMN m; ALTER TABLE t ADD n mood DEFAULT $$bad$$',
	},
	{
		name => 'a partition whose parent refers to a table that its owner may not read any more',
		setup => q(CREATE SCHEMA s; CREATE TABLE s.referred (id int PRIMARY KEY); INSERT INTO s.referred VALUES (1), (2);
			CREATE TABLE referring (id int, ref int REFERENCES s.referred) PARTITION BY LIST (id); CREATE TABLE one PARTITION OF referring FOR VALUES IN (1);
			INSERT INTO referring VALUES (1, 2); ALTER TABLE s.referred OWNER TO alice; ALTER TABLE referring OWNER TO bob; ALTER TABLE one OWNER TO bob;
			REVOKE ALL ON s.referred FROM alice),
		migration => 'DROP TABLE one',
	},
	{
		name => 'a generated column of an owner who took his own rights away',
		setup => q(CREATE TABLE t (id int PRIMARY KEY, a int, g int GENERATED ALWAYS AS (a + 1) STORED, h int GENERATED ALWAYS AS (a + 2) STORED);
			INSERT INTO t VALUES (1, 1), (2, 2); ALTER TABLE t OWNER TO alice; REVOKE ALL ON t FROM alice),
		migration => 'ALTER TABLE t DROP COLUMN g, ALTER h DROP EXPRESSION',
	},
	{
		name => 'functions of an owner who took EXECUTE from himself',
		setup => q(CREATE FUNCTION f(a int, b text DEFAULT 'x', OUT c int) LANGUAGE plpgsql AS 'BEGIN c := a; END'; CREATE PROCEDURE p(INOUT x int) LANGUAGE sql AS 'SELECT 1';
			ALTER FUNCTION f OWNER TO alice; ALTER PROCEDURE p OWNER TO alice; REVOKE ALL ON FUNCTION f FROM alice, PUBLIC; GRANT EXECUTE ON PROCEDURE p TO bob; REVOKE ALL ON PROCEDURE p FROM alice, PUBLIC),
		migration => q(CREATE OR REPLACE FUNCTION f(a int, b text DEFAULT 'y', OUT c int) LANGUAGE plpgsql AS 'BEGIN c := 2; END'; CREATE OR REPLACE PROCEDURE p(INOUT x int) LANGUAGE sql AS 'SELECT 2'),
	},
	{
		name => 'code of the owner does not use what it is lent',
		setup => $tree . q(
			CREATE FUNCTION steal(int) RETURNS boolean LANGUAGE plpgsql AS
				'BEGIN EXECUTE $$CREATE TRIGGER evil BEFORE INSERT ON public.child EXECUTE FUNCTION suppress_redundant_updates_trigger()$$; RETURN true; EXCEPTION WHEN OTHERS THEN RETURN true; END';
			ALTER FUNCTION steal OWNER TO alice;
			CREATE DOMAIN sly AS int CHECK (steal(VALUE)); ALTER DOMAIN sly OWNER TO alice;
			ALTER TABLE parent ADD CONSTRAINT sound CHECK (n <> ALL ('{0}'::sly[]));
			DROP TRIGGER evil ON child),
		migration => 'ALTER TABLE parent DROP CONSTRAINT sound',
		once => 1,
	});

done_testing();
