
# Copyright (c) 2026, the safemig authors

# Every class of object that is not a table: dropped, changed, made.  All have
# names that need quoting, and definitions that quote.  pg_regress cannot show
# it: the proof is that pg_dump writes the same before and after, and that what
# it wrote can be restored.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigTest;
use Test::More;

start_server('classes', conf => 'wal_level = logical');

my $setup = <<'SQL';
CREATE SCHEMA "sch ""x"" 'y' 日本";
SET search_path = "sch ""x"" 'y' 日本";
CREATE TABLE "t '""表" (id int primary key, "c ""1"" ON public.t" text, "名前" text default 'x', amount numeric, ts timestamptz);
CREATE TABLE other (id int primary key, tid int, who text);
GRANT USAGE ON SCHEMA "sch ""x"" 'y' 日本" TO bob; GRANT SELECT ON "t '""表" TO bob;
CREATE TYPE "enum '表" AS ENUM ('a''b', 'ラベル', E'back\\slash', 'z');
CREATE TYPE "comp ""'" AS ("a ""q""" int, "b '" text COLLATE "C", c "enum '表"[]);
COMMENT ON TYPE "comp ""'" IS 'it''s';
COMMENT ON COLUMN "comp ""'"."b '" IS 'col''s';
CREATE DOMAIN "dom ""'" AS varchar(20) COLLATE "C" DEFAULT 'd''x' NOT NULL CONSTRAINT "chk '""" CHECK (length(VALUE) > 0) CHECK (VALUE <> 'it''s');
ALTER DOMAIN "dom ""'" ADD CONSTRAINT nv CHECK (VALUE <> 'nv') NOT VALID;
CREATE TYPE "rng '" AS RANGE (SUBTYPE = text, COLLATION = "C");
CREATE COLLATION "coll '""" (PROVIDER = icu, LOCALE = 'de-u-co-phonebk', DETERMINISTIC = false);
CREATE COLLATION collc (PROVIDER = libc, LC_COLLATE = 'C', LC_CTYPE = 'C.UTF-8');
CREATE FUNCTION "f ""'"("a ""q""" int, "b'" text DEFAULT 'it''s $function$', VARIADIC v int[] DEFAULT '{1,2}', OUT x int, OUT "y '" text)
 LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE COST 12.5 SET search_path = "a ""b'", pg_catalog, '' SET work_mem = '1MB' SET "my.x" = 'it''s' AS $$BEGIN x := 1; "y '" := '$function$ \ '''; END$$;
GRANT EXECUTE ON FUNCTION "f ""'"(int, text, int[]) TO bob WITH GRANT OPTION;
CREATE FUNCTION sqlf(x int, y text) RETURNS TABLE(id int, n text) LANGUAGE sql ROWS 7 BEGIN ATOMIC SELECT o.id, o.who FROM other o WHERE o.id = sqlf.x AND o.who = y; SELECT 1 AS one, 'a'::text AS t; END;
CREATE FUNCTION retf(a int, b int DEFAULT 3) RETURNS int IMMUTABLE STRICT LEAKPROOF RETURN a + b;
CREATE FUNCTION trg() RETURNS trigger LANGUAGE plpgsql AS 'begin return new; end';
CREATE FUNCTION cfun(internal) RETURNS internal LANGUAGE internal AS 'numeric_send';
CREATE PROCEDURE "proc '"(INOUT a int, b text DEFAULT NULL) LANGUAGE plpgsql SET search_path FROM CURRENT AS 'begin a := 2; commit; end';
CREATE VIEW "v ""'" ("col ""1""", "列", total) WITH (security_barrier, check_option=local) AS SELECT id, "名前", amount FROM "t '""表" WHERE ts > '2020-01-01 00:00:00+09';
ALTER VIEW "v ""'" ALTER COLUMN "列" SET DEFAULT 'def''ault';
COMMENT ON VIEW "v ""'" IS 'view''s';
COMMENT ON COLUMN "v ""'"."列" IS 'col''s';
GRANT SELECT ON "v ""'" TO bob; GRANT SELECT ("列"), INSERT (total) ON "v ""'" TO "rôle ""q""", bob WITH GRANT OPTION;
ALTER VIEW "v ""'" OWNER TO bob;
CREATE RECURSIVE VIEW rv (n) AS VALUES (1) UNION ALL SELECT n+1 FROM rv WHERE n < 5;
CREATE MATERIALIZED VIEW "mv '" WITH (fillfactor=70, toast.autovacuum_enabled=false) AS SELECT id, "名前" AS "n ""'" FROM "t '""表" ;
ALTER MATERIALIZED VIEW "mv '" ALTER COLUMN "n ""'" SET STORAGE EXTERNAL; ALTER MATERIALIZED VIEW "mv '" ALTER COLUMN "n ""'" SET STATISTICS 77; ALTER MATERIALIZED VIEW "mv '" ALTER COLUMN "n ""'" SET COMPRESSION pglz;
ALTER MATERIALIZED VIEW "mv '" ALTER COLUMN id SET (n_distinct=-0.5);
CREATE MATERIALIZED VIEW mvempty AS SELECT 1 AS one WITH NO DATA;
CREATE TRIGGER "trg ""'" BEFORE INSERT OR UPDATE OF "c ""1"" ON public.t", "名前" ON "t '""表" FOR EACH ROW WHEN (new."名前" IS DISTINCT FROM 'it''s') EXECUTE FUNCTION trg('a''b', 'テスト');
ALTER TABLE "t '""表" ENABLE ALWAYS TRIGGER "trg ""'";
CREATE CONSTRAINT TRIGGER ctrg AFTER DELETE ON "t '""表" FROM other DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION trg();
ALTER TABLE "t '""表" DISABLE TRIGGER ctrg;
CREATE TRIGGER strg AFTER UPDATE ON "t '""表" REFERENCING OLD TABLE AS "o ""'" NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION trg();
CREATE TRIGGER ttrg AFTER INSERT OR TRUNCATE ON "t '""表" EXECUTE FUNCTION trg();
CREATE TRIGGER itrg INSTEAD OF INSERT ON "v ""'" FOR EACH ROW EXECUTE FUNCTION trg();
COMMENT ON TRIGGER "trg ""'" ON "t '""表" IS 'tg''s';
CREATE RULE "rule ""'" AS ON UPDATE TO "t '""表" WHERE old.id > 3 DO INSTEAD (INSERT INTO other VALUES (new.id, 2, 'x;'); DELETE FROM other WHERE id = old.id);
ALTER TABLE "t '""表" DISABLE RULE "rule ""'";
CREATE RULE vr AS ON DELETE TO rv DO INSTEAD NOTHING;
COMMENT ON RULE "rule ""'" ON "t '""表" IS 'r''s';
CREATE POLICY "pol ""'" ON "t '""表" AS RESTRICTIVE FOR UPDATE TO bob, "rôle ""q""" USING (EXISTS (SELECT 1 FROM other o WHERE o.tid = "t '""表".id)) WITH CHECK (id > 0 AND "名前" = 'it''s');
CREATE POLICY p2 ON "t '""表" FOR INSERT WITH CHECK (true);
COMMENT ON POLICY p2 ON "t '""表" IS 'p''s';
CREATE STATISTICS "stat ""'" (mcv, ndistinct) ON id, "c ""1"" ON public.t", (lower("名前")) FROM "t '""表";
ALTER STATISTICS "stat ""'" SET STATISTICS 55;
COMMENT ON STATISTICS "stat ""'" IS 's''s';
CREATE STATISTICS s2 ON (id * 2) FROM "t '""表";
CREATE FUNCTION tocomp(int) RETURNS "comp ""'" LANGUAGE plpgsql AS 'begin return null; end';
CREATE CAST (int AS "comp ""'") WITH FUNCTION tocomp(int) AS ASSIGNMENT;
CREATE CAST (text AS "comp ""'") WITH INOUT;
COMMENT ON CAST (text AS "comp ""'") IS 'c''s';
ALTER DEFAULT PRIVILEGES FOR ROLE bob IN SCHEMA "sch ""x"" 'y' 日本" GRANT SELECT, INSERT ON TABLES TO "rôle ""q""" WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES FOR ROLE bob IN SCHEMA "sch ""x"" 'y' 日本" GRANT UPDATE ON TABLES TO "rôle ""q""", PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE bob REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE "rôle ""q""" REVOKE ALL ON TYPES FROM PUBLIC, "rôle ""q""";
CREATE PUBLICATION "pub ""'" FOR TABLE "t '""表" (id, "名前") WHERE (id > 3 AND "名前" <> 'it''s'), other WITH (publish = 'insert, truncate', publish_via_partition_root);
CREATE PUBLICATION puball FOR ALL TABLES WITH (publish = '');
CREATE PUBLICATION pubs FOR TABLES IN SCHEMA "sch ""x"" 'y' 日本", TABLE other;
COMMENT ON PUBLICATION pubs IS 'p''s';
ALTER PUBLICATION pubs OWNER TO postgres;
CREATE FUNCTION depf() RETURNS int LANGUAGE sql AS 'select 1';
CREATE SCHEMA "empty ""'"; COMMENT ON SCHEMA "empty ""'" IS 's'''; GRANT USAGE ON SCHEMA "empty ""'" TO bob WITH GRANT OPTION; ALTER SCHEMA "empty ""'" OWNER TO "rôle ""q""";
CREATE TABLE part (id int, v text) PARTITION BY RANGE (id); CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE TRIGGER ptrg AFTER INSERT ON part FOR EACH ROW EXECUTE FUNCTION trg();
ALTER TABLE part1 DISABLE TRIGGER ptrg; ALTER TABLE "t '""表" ENABLE REPLICA TRIGGER strg;
CREATE TYPE "comp2 ""'" AS ("a ""q""" int, "b '" text COLLATE "C", c "enum '表"[]);
COMMENT ON COLUMN "comp2 ""'"."b '" IS 'col''s'; GRANT USAGE ON TYPE "comp2 ""'" TO bob; ALTER TYPE "comp2 ""'" OWNER TO bob;
CREATE TYPE "enum2" AS ENUM ('a''b', 'ラベル', E'back\\slash', 'z'); REVOKE ALL ON TYPE enum2 FROM PUBLIC;
CREATE TYPE empty_enum AS ENUM ();
CREATE DOMAIN "dom2 ""'" AS varchar(20)[] NOT NULL;
CREATE COLLATION "abcdefghijklmnopqrstuvwxyz'bcdefghijklmnopqrstuvwxyzabcdefghijk" (LOCALE='C');
CREATE FUNCTION "あいうえおかきくけこさしすせそたちつてと''x"(p1 int) RETURNS int LANGUAGE sql AS 'select 1';
SQL

my $schema = q("sch ""x"" 'y' 日本");
my @changes = (
	[ 'schema dropped', <<'SQL' ],
DROP SCHEMA "empty ""'";
SQL
	[ 'schema renamed, given away', <<'SQL' ],
ALTER SCHEMA "empty ""'" RENAME TO e2;
ALTER SCHEMA e2 OWNER TO bob;
REVOKE ALL ON SCHEMA e2 FROM bob;
COMMENT ON SCHEMA e2 IS NULL;
SQL
	[ 'view dropped', <<'SQL' ],
DROP VIEW "v ""'";
SQL
	[ 'view with a rule dropped', <<'SQL' ],
DROP VIEW rv;
SQL
	[ 'view and its columns changed', <<'SQL' ],
ALTER VIEW "v ""'" RENAME COLUMN "列" TO x;
ALTER VIEW "v ""'" RENAME TO vv;
ALTER VIEW vv SET (check_option=cascaded);
ALTER VIEW vv RESET (security_barrier);
ALTER VIEW vv ALTER x DROP DEFAULT;
ALTER VIEW vv ALTER total SET DEFAULT 5;
COMMENT ON COLUMN vv.x IS NULL;
REVOKE ALL ON vv FROM bob;
SQL
	[ 'view with one column more', <<'SQL' ],
CREATE OR REPLACE VIEW "v ""'" AS SELECT id AS "col ""1""", "名前" AS "列", amount AS total, ts AS more FROM "t '""表";
SQL
	[ 'view with one column more, others on it', <<'SQL' ],
CREATE VIEW vnew AS SELECT * FROM "v ""'";
CREATE VIEW vnew2 AS SELECT * FROM vnew;
CREATE OR REPLACE VIEW vnew AS SELECT *, 1 AS one FROM "v ""'";
SQL
	[ 'view moved', <<'SQL' ],
ALTER VIEW "v ""'" SET SCHEMA public;
ALTER VIEW public."v ""'" OWNER TO postgres;
SQL
	[ 'materialized view dropped', <<'SQL' ],
DROP MATERIALIZED VIEW "mv '";
SQL
	[ 'materialized view without rows dropped', <<'SQL' ],
DROP MATERIALIZED VIEW mvempty;
SQL
	[ 'materialized view and its columns changed', <<'SQL' ],
ALTER MATERIALIZED VIEW "mv '" RENAME TO m2;
ALTER MATERIALIZED VIEW m2 RENAME COLUMN id TO id2;
ALTER MATERIALIZED VIEW m2 SET (fillfactor=50);
ALTER MATERIALIZED VIEW m2 RESET (toast.autovacuum_enabled);
ALTER MATERIALIZED VIEW m2 ALTER id2 SET STATISTICS 3;
ALTER MATERIALIZED VIEW m2 ALTER id2 RESET (n_distinct);
CREATE UNIQUE INDEX ON m2 (id2);
SQL
	[ 'materialized view filled', <<'SQL' ],
REFRESH MATERIALIZED VIEW mvempty;
SQL
	[ 'materialized view emptied', <<'SQL' ],
REFRESH MATERIALIZED VIEW "mv '" WITH NO DATA;
SQL
	[ 'functions dropped', <<'SQL' ],
DROP FUNCTION "f ""'"(int,text,int[]);
DROP FUNCTION sqlf, retf, cfun, depf;
DROP PROCEDURE "proc '";
SQL
	[ 'functions changed', <<'SQL' ],
ALTER FUNCTION "f ""'"(int,text,int[]) SET search_path = '';
ALTER FUNCTION retf RENAME TO retf2;
ALTER FUNCTION retf2(int,int) NOT LEAKPROOF VOLATILE;
ALTER FUNCTION sqlf SET SCHEMA public;
ALTER FUNCTION public.sqlf(int,text) RENAME TO s2;
REVOKE EXECUTE ON FUNCTION cfun FROM public;
SQL
	[ 'trigger function dropped with its triggers', <<'SQL' ],
DROP FUNCTION trg() CASCADE;
SQL
	[ 'triggers dropped', <<'SQL' ],
DROP TRIGGER "trg ""'" ON "t '""表";
DROP TRIGGER ctrg ON "t '""表";
DROP TRIGGER ptrg ON part;
DROP TRIGGER itrg ON "v ""'";
SQL
	[ 'triggers changed', <<'SQL' ],
ALTER TRIGGER "trg ""'" ON "t '""表" RENAME TO tt;
ALTER TABLE "t '""表" DISABLE TRIGGER tt;
ALTER TABLE "t '""表" ENABLE REPLICA TRIGGER ctrg;
ALTER TABLE part DISABLE TRIGGER ptrg;
CREATE OR REPLACE TRIGGER strg BEFORE DELETE ON "t '""表" FOR EACH ROW EXECUTE FUNCTION trg();
SQL
	[ 'trigger enabled on one partition', <<'SQL' ],
ALTER TABLE part1 ENABLE ALWAYS TRIGGER ptrg;
SQL
	[ 'rules dropped', <<'SQL' ],
DROP RULE "rule ""'" ON "t '""表";
DROP RULE vr ON rv;
SQL
	[ 'rules changed', <<'SQL' ],
ALTER RULE "rule ""'" ON "t '""表" RENAME TO rr;
ALTER TABLE "t '""表" ENABLE ALWAYS RULE rr;
CREATE OR REPLACE RULE rr AS ON UPDATE TO "t '""表" DO ALSO NOTHING;
SQL
	[ 'policies dropped', <<'SQL' ],
DROP POLICY "pol ""'" ON "t '""表";
DROP POLICY p2 ON "t '""表";
SQL
	[ 'policies changed', <<'SQL' ],
ALTER POLICY "pol ""'" ON "t '""表" RENAME TO pp;
ALTER POLICY pp ON "t '""表" TO PUBLIC USING (true);
ALTER POLICY p2 ON "t '""表" WITH CHECK (id > 4);
SQL
	[ 'table renamed under all that', <<'SQL' ],
ALTER TABLE "t '""表" RENAME TO tnew;
ALTER TABLE tnew RENAME COLUMN "名前" TO nn;
SQL
	[ 'statistics dropped', <<'SQL' ],
DROP STATISTICS "stat ""'", s2;
SQL
	[ 'statistics changed', <<'SQL' ],
ALTER STATISTICS "stat ""'" RENAME TO st2;
ALTER STATISTICS st2 SET STATISTICS -1;
ALTER STATISTICS s2 SET SCHEMA public;
ALTER STATISTICS public.s2 OWNER TO bob;
SQL
	[ 'types dropped', <<'SQL' ],
DROP TYPE "comp2 ""'";
DROP TYPE enum2;
DROP DOMAIN "dom2 ""'";
DROP DOMAIN "dom ""'";
DROP TYPE empty_enum;
DROP TYPE "rng '";
SQL
	[ 'enum dropped out of composites', <<'SQL' ],
DROP TYPE "enum '表" CASCADE;
SQL
	[ 'composite dropped with functions and casts', <<'SQL' ],
DROP TYPE "comp ""'" CASCADE;
SQL
	[ 'domain changed', <<'SQL' ],
ALTER DOMAIN "dom ""'" DROP NOT NULL;
ALTER DOMAIN "dom ""'" DROP DEFAULT;
ALTER DOMAIN "dom ""'" DROP CONSTRAINT "chk '""";
ALTER DOMAIN "dom ""'" VALIDATE CONSTRAINT nv;
ALTER DOMAIN "dom ""'" RENAME CONSTRAINT nv TO n2;
ALTER DOMAIN "dom ""'" RENAME TO d3;
ALTER DOMAIN d3 SET SCHEMA public;
SQL
	[ 'composite changed', <<'SQL' ],
ALTER TYPE "comp2 ""'" RENAME TO c3;
ALTER TYPE c3 ADD ATTRIBUTE d int;
ALTER TYPE c3 ALTER ATTRIBUTE "b '" TYPE varchar(3);
ALTER TYPE c3 RENAME ATTRIBUTE c TO cc;
ALTER TYPE c3 OWNER TO postgres;
COMMENT ON COLUMN c3."b '" IS 'neu';
REVOKE ALL ON TYPE c3 FROM bob;
SQL
	[ 'enum changed', <<'SQL' ],
ALTER TYPE enum2 ADD VALUE '''' BEFORE 'z';
ALTER TYPE enum2 RENAME VALUE 'z' TO 'zz';
ALTER TYPE enum2 SET SCHEMA public;
SQL
	[ 'range changed', <<'SQL' ],
ALTER TYPE "rng '" RENAME TO r2;
ALTER TYPE r2 OWNER TO bob;
SQL
	[ 'constructors of a range altered', <<'SQL' ],
ALTER FUNCTION "rng '"(text, text) SET work_mem = '5MB' COST 7;
ALTER FUNCTION "rng '"(text, text) PARALLEL UNSAFE LEAKPROOF RESET ALL;
SQL
	[ 'collations dropped', <<'SQL' ],
DROP COLLATION "coll '""", collc;
SQL
	[ 'collations changed', <<'SQL' ],
ALTER COLLATION "coll '""" RENAME TO c9;
ALTER COLLATION c9 OWNER TO bob;
ALTER COLLATION collc SET SCHEMA public;
SQL
	[ 'casts dropped', <<'SQL' ],
DROP CAST (int AS "comp ""'");
DROP CAST (text AS "comp ""'");
SQL
	[ 'default privileges', <<'SQL' ],
ALTER DEFAULT PRIVILEGES FOR ROLE bob IN SCHEMA "sch ""x"" 'y' 日本" REVOKE ALL ON TABLES FROM "rôle ""q""", PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE bob GRANT EXECUTE ON FUNCTIONS TO PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE "rôle ""q""" GRANT USAGE ON TYPES TO bob WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO bob;
ALTER DEFAULT PRIVILEGES FOR ROLE bob GRANT USAGE ON SCHEMAS TO PUBLIC;
SQL
	[ 'publications dropped', <<'SQL' ],
DROP PUBLICATION "pub ""'";
DROP PUBLICATION puball, pubs;
SQL
	[ 'publication changed', <<'SQL' ],
ALTER PUBLICATION "pub ""'" DROP TABLE other;
ALTER PUBLICATION "pub ""'" SET (publish='delete', publish_via_partition_root=false);
ALTER PUBLICATION "pub ""'" RENAME TO p3;
ALTER PUBLICATION p3 OWNER TO bob;
ALTER PUBLICATION p3 SET TABLE "t '""表" (id);
ALTER PUBLICATION pubs ADD TABLES IN SCHEMA public;
ALTER PUBLICATION pubs DROP TABLE other;
SQL
	[ 'published table dropped', <<'SQL' ],
DROP TABLE other CASCADE;
SQL
	[ 'table dropped', <<'SQL' ],
DROP TABLE "t '""表" CASCADE;
SQL
	[ 'schema dropped with everything', <<'SQL' ],
DROP SCHEMA "sch ""x"" 'y' 日本" CASCADE;
SQL
	[ 'view, materialized view, index made', <<'SQL' ],
CREATE VIEW dv AS SELECT retf(1) AS a;
CREATE MATERIALIZED VIEW dm AS SELECT a FROM dv;
CREATE INDEX ON dm(a);
SQL
	[ 'function made anew with another result', <<'SQL' ],
CREATE FUNCTION r1(a int) RETURNS int LANGUAGE sql AS 'select 1';
CREATE VIEW rv1 AS SELECT r1(2) AS x;
DROP VIEW rv1;
DROP FUNCTION r1;
CREATE FUNCTION r1(a int) RETURNS text LANGUAGE sql AS 'select ''x''';
CREATE VIEW rv1 AS SELECT r1(2) AS x;
SQL
	[ 'views and functions by turns, made', <<'SQL' ],
CREATE FUNCTION vf() RETURNS SETOF rv LANGUAGE sql AS 'select * from rv';
CREATE VIEW vv AS SELECT * FROM vf();
CREATE FUNCTION vf2() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM vv;
END;
CREATE VIEW vv3 AS SELECT vf2();
CREATE TABLE dflt (a bigint DEFAULT vf2());
SQL
	[ 'views and functions by turns, dropped', <<'SQL' ],
CREATE FUNCTION vf() RETURNS SETOF rv LANGUAGE sql AS 'select * from rv';
CREATE VIEW vv AS SELECT * FROM vf();
CREATE FUNCTION vf2() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM vv;
END;
CREATE VIEW vv3 AS SELECT vf2() AS z;
DROP VIEW rv CASCADE;
SQL
	[ 'policy that reads its own table', <<'SQL' ],
CREATE POLICY self ON other USING (EXISTS (SELECT 1 FROM other o2 WHERE o2.tid = other.id));
CREATE POLICY all_of_it ON other FOR INSERT WITH CHECK (tid = (SELECT max(tid) FROM other));
ALTER TABLE other RENAME TO other2;
ALTER TABLE other2 RENAME tid TO "t i d";
SQL
	[ 'function with a query renamed', <<'SQL' ],
ALTER FUNCTION sqlf RENAME TO "sql ""f";
ALTER TABLE other RENAME who TO "wh'o";
SQL
	[ 'trigger of a partitioned table replaced', <<'SQL' ],
CREATE OR REPLACE TRIGGER ptrg AFTER UPDATE ON part FOR EACH ROW WHEN (old.id > 1) EXECUTE FUNCTION trg();
ALTER TABLE part1 DISABLE TRIGGER ptrg;
ALTER TRIGGER ptrg ON part RENAME TO ptrg2;
SQL
	[ 'partition made and detached, trigger dropped', <<'SQL' ],
CREATE TABLE part2 PARTITION OF part FOR VALUES FROM (10) TO (20);
ALTER TABLE part DETACH PARTITION part1;
DROP TRIGGER ptrg ON part;
SQL
	[ 'domain in use changed', <<'SQL' ],
ALTER DOMAIN "dom ""'" ADD CONSTRAINT c5 CHECK (VALUE <> 'q');
ALTER DOMAIN "dom ""'" SET DEFAULT 'zz';
CREATE TABLE usedom (a "dom ""'");
ALTER DOMAIN "dom ""'" DROP CONSTRAINT nv;
SQL
	[ 'comments', <<'SQL' ],
COMMENT ON FUNCTION retf IS 'new';
COMMENT ON TYPE "comp ""'" IS NULL;
COMMENT ON TRIGGER strg ON "t '""表" IS 'x';
COMMENT ON CAST (text AS "comp ""'") IS NULL;
COMMENT ON PUBLICATION pubs IS 'zz';
COMMENT ON DOMAIN "dom ""'" IS 'd';
COMMENT ON CONSTRAINT nv ON DOMAIN "dom ""'" IS 'c';
COMMENT ON COLLATION collc IS 'c';
COMMENT ON STATISTICS s2 IS 's';
COMMENT ON MATERIALIZED VIEW mvempty IS 'm';
COMMENT ON PROCEDURE "proc '" IS 'p';
COMMENT ON POLICY p2 ON "t '""表" IS NULL;
COMMENT ON RULE "rule ""'" ON "t '""表" IS 'rr';
COMMENT ON SCHEMA "empty ""'" IS 'q';
SQL
	[ 'privileges', <<'SQL' ],
GRANT ALL ON ALL FUNCTIONS IN SCHEMA "sch ""x"" 'y' 日本" TO bob;
REVOKE ALL ON ALL TABLES IN SCHEMA "sch ""x"" 'y' 日本" FROM bob;
GRANT USAGE ON TYPE enum2 TO bob;
GRANT SELECT (id) ON other TO PUBLIC;
GRANT EXECUTE ON PROCEDURE "proc '" TO bob;
SQL
	[ 'view replaced, rule on it', <<'SQL' ],
ALTER TABLE other ADD COLUMN n int;
CREATE OR REPLACE VIEW rv AS SELECT 5 AS n;
ALTER VIEW rv RENAME n TO m;
CREATE RULE r9 AS ON INSERT TO rv DO INSTEAD INSERT INTO other (id) VALUES (new.m) RETURNING id;
SQL
	[ 'materialized view on another', <<'SQL' ],
CREATE MATERIALIZED VIEW mx AS SELECT * FROM "mv '";
DROP MATERIALIZED VIEW "mv '" CASCADE;
SQL
	[ 'publications of inheriting tables', <<'SQL' ],
CREATE PUBLICATION px FOR TABLE part;
CREATE TABLE inhp (a int PRIMARY KEY);
CREATE TABLE inhc () INHERITS (inhp);
CREATE PUBLICATION py FOR TABLE ONLY inhp WHERE (a > 3);
ALTER PUBLICATION py ADD TABLE inhc (a);
ALTER PUBLICATION px SET TABLE ONLY inhp;
ALTER TABLE inhp RENAME TO inhp2;
SQL
	[ 'everything of a role dropped', <<'SQL' ],
DROP OWNED BY bob;
SQL
	[ 'function loses names and defaults of arguments that it was given', <<'SQL' ],
CREATE OR REPLACE FUNCTION retf(a int DEFAULT 1, b int DEFAULT 3) RETURNS int IMMUTABLE STRICT LEAKPROOF RETURN a + b;
CREATE OR REPLACE FUNCTION tocomp(given int DEFAULT 5) RETURNS "comp ""'" LANGUAGE plpgsql AS 'begin return null; end';
CREATE VIEW counts_on_it AS SELECT retf() AS a, tocomp() AS b;
SQL
	[ 'functions that set a role', <<'SQL' ],
CREATE FUNCTION as_bob(int) RETURNS name LANGUAGE sql SET work_mem TO '1MB' SET role TO bob SET search_path TO public, "a b" AS 'select current_user';
CREATE PROCEDURE pbob() LANGUAGE sql SET session_authorization TO bob AS 'select 1';
ALTER FUNCTION sqlf SET role TO bob;
SQL
	[ 'enum labels before the first, exchanged', <<'SQL' ],
ALTER TYPE enum2 ADD VALUE 'b' BEFORE 'a''b';
ALTER TYPE enum2 ADD VALUE 'a' BEFORE 'b';
ALTER TYPE enum2 RENAME VALUE 'b' TO 'tmp';
ALTER TYPE enum2 RENAME VALUE 'z' TO 'b';
ALTER TYPE enum2 RENAME VALUE 'tmp' TO 'z';
SQL
	[ 'attributes dropped from a type that nothing holds', <<'SQL' ],
CREATE FUNCTION takes("comp2 ""'") RETURNS "comp2 ""'"[] LANGUAGE plpgsql AS 'begin end';
ALTER TYPE "comp2 ""'" DROP ATTRIBUTE "b '";
ALTER TYPE "comp2 ""'" DROP ATTRIBUTE c;
ALTER TYPE "comp2 ""'" ADD ATTRIBUTE n int;
SQL
);

round_trips(
	map {
		{
			name => $_->[0],
			setup => $setup,
			migration => "SET search_path = $schema;\n$_->[1]",
			roles => ['"rôle ""q"""'],
		}
	} @changes);

# What belongs to an extension comes and goes with it.
SKIP:
{
	skip 'no pg_trgm', 1
	  unless value('postgres',
		q(SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'));
	my $extension = <<'SQL';
CREATE SCHEMA app;
CREATE EXTENSION pg_trgm SCHEMA app;
CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'select 1';
CREATE TABLE app.t (a text);
CREATE INDEX ON app.t USING gin (a app.gin_trgm_ops);
SQL
	round_trips(
		map {
			{
				name => "extension $_->[0]",
				setup => $extension,
				migration => $_->[1]
			}
		} (
			[ 'dropped with what depends on it', 'DROP EXTENSION pg_trgm CASCADE' ],
			[ 'moved', q(ALTER EXTENSION pg_trgm SET SCHEMA public; COMMENT ON EXTENSION pg_trgm IS 'moved') ],
			[ 'dropped with its schema', 'DROP SCHEMA app CASCADE' ],
			[ 'depended on', 'ALTER FUNCTION app.f() DEPENDS ON EXTENSION pg_trgm' ],
		));
}

done_testing();
