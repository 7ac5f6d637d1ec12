
# Copyright (c) 2026, the safemig authors

# Expressions that PostgreSQL, given its own description of them, reads as
# other ones: IN with a list, on a column of type varchar or char, BETWEEN
# beside AND, VALUES in a view that names its columns.  pg_regress cannot show it: the proof is a comparison of dumps and
# catalogs.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigTest;
use Test::More;

start_server('wording');

my $everything = q{
	CREATE DOMAIN d AS varchar(15) CHECK (VALUE IN ('a', 'b'));
	CREATE TABLE t (s varchar(10), c char(3), b bit(3), ch "char", v d, n int PRIMARY KEY, m numeric);
	INSERT INTO t VALUES ('a', 'x', '101', 'q', 'a', 1, 1.5);
	ALTER TABLE t ADD CONSTRAINT c1 CHECK (s IN ('a', 'b''c', 'it"s', 'x]::y', E'\\\\')),
		ADD CONSTRAINT c2 CHECK (c IN ('x', 'y')), ADD CONSTRAINT c3 CHECK (v NOT IN ('q', 'r') OR n IN (1, 2, 3)),
		ADD CONSTRAINT c4 CHECK (m IN (1, 1.5) AND n IN (1, 2.5)), ADD CONSTRAINT c5 CHECK (b IN (B'101', B'11')),
		ADD CONSTRAINT c6 CHECK (s::text = ANY (ARRAY['a'::varchar, 'b']::text[])),
		ADD CONSTRAINT c7 CHECK (s::varchar(3) IN ('a'::varchar(3), 'b'::varchar(3)));
	CREATE INDEX i ON t (n) WHERE s IN ('a', 'b');
	CREATE INDEX e ON t ((s IN ('a', 'b')));
	CREATE VIEW w AS SELECT n FROM t WHERE s IN ('a', 'b') AND c IN ('x', 'y');
	CREATE MATERIALIZED VIEW mw AS SELECT n FROM t WHERE s IN ('a', 'b');
	CREATE POLICY p ON t USING (s IN ('a', 'b'));
	CREATE RULE r AS ON UPDATE TO t WHERE old.s IN ('a', 'b') DO ALSO NOTHING;
	CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
	CREATE TRIGGER tr BEFORE UPDATE ON t FOR EACH ROW WHEN (old.s IN ('a', 'b')) EXECUTE FUNCTION f();
	CREATE STATISTICS st ON (s IN ('a', 'b')), n FROM t;
	ALTER TABLE t ADD COLUMN g boolean GENERATED ALWAYS AS (s IN ('a', 'b')) STORED;
	ALTER TABLE t ADD COLUMN df boolean DEFAULT ('a'::varchar IN ('a', 'b'));
	CREATE FUNCTION atomic(varchar) RETURNS boolean LANGUAGE sql BEGIN ATOMIC SELECT $1 IN ('a', 'b'); END;
};

# Each as a CHECK, the predicate of an index, and in a view.
my @expressions = map { s/^\s+//r } grep { /\S/ } split /\n/, <<'EXPRESSIONS';
n BETWEEN 1 AND 5 AND m > 0
m > 0 AND n BETWEEN 1 AND 5
n NOT BETWEEN 1 AND 5 OR m > 0
n BETWEEN SYMMETRIC 5 AND m AND s > ' AND ('
n BETWEEN 1 AND 2 AND m BETWEEN 1 AND 2 AND s BETWEEN 'a' AND 'b' OR n = 9
(n, m) = (1, 2) AND s > 'a'
(n, m) <> (1, 2) OR s > ') OR ('
(n, m) IS DISTINCT FROM (1, 2)
n IN (m, 3) OR s IS NULL
n NOT IN (m, 3) AND s IS NULL
NOT (n BETWEEN 1 AND 5) AND NOT (n = 1 OR m = 2)
(n = 1 AND m = 2) AND (n = 3 AND m = 4)
(n BETWEEN 1 AND 2) = (m BETWEEN 1 AND 2)
CASE WHEN n IN (m, 2) OR m IS NULL THEN true WHEN n BETWEEN 1 AND 2 AND m = 1 THEN false END
s IN ('a', 'b') AND (n BETWEEN 1 AND 3 AND s NOT IN (v, 'c'))
EXPRESSIONS
my $number = 0;
my $expressions = 'CREATE TABLE t (n int, m int, s varchar(10), v varchar(5)); INSERT INTO t (v) VALUES (NULL);'
  . join '', map { $number++; <<"SQL" } @expressions;
	CREATE INDEX i$number ON t (n) WHERE $_;
	CREATE VIEW v$number AS SELECT count(*) FILTER (WHERE $_) FROM t JOIN (SELECT 1) x ON $_ WHERE $_ HAVING bool_and($_);
	ALTER TABLE t ADD CONSTRAINT c$number CHECK ($_) NOT VALID;
SQL

round_trips(map { +{ %$_, reworded => 1 } }
	{ name => 'the table dropped', setup => $everything, migration => 'DROP TABLE t CASCADE' },
	{ name => 'the column dropped', setup => $everything, migration => 'ALTER TABLE t DROP COLUMN s CASCADE' },
	{ name => 'the domain dropped', setup => $everything, migration => 'DROP DOMAIN d CASCADE' },
	{
		name => 'everything by itself',
		setup => $everything,
		migration => q{ALTER TABLE t DROP CONSTRAINT c1, DROP CONSTRAINT c2, DROP CONSTRAINT c3, DROP CONSTRAINT c4, DROP CONSTRAINT c5, DROP CONSTRAINT c6, DROP CONSTRAINT c7;
			DROP POLICY p ON t; DROP RULE r ON t; DROP VIEW w; DROP MATERIALIZED VIEW mw; DROP INDEX i; DROP INDEX e; DROP TRIGGER tr ON t; DROP STATISTICS st;
			ALTER TABLE t ALTER g DROP EXPRESSION, ALTER df DROP DEFAULT; ALTER DOMAIN d DROP CONSTRAINT d_check; DROP FUNCTION atomic},
	},
	{
		name => 'another type',
		setup => $everything,
		migration => q{DROP VIEW w; DROP MATERIALIZED VIEW mw; DROP RULE r ON t; DROP POLICY p ON t; DROP TRIGGER tr ON t; ALTER TABLE t DROP COLUMN g; ALTER TABLE t ALTER c TYPE text, ALTER s TYPE text},
	},
	{ name => 'the schema dropped', setup => "CREATE SCHEMA x; SET search_path = x; $everything", migration => 'DROP SCHEMA x CASCADE' },
	{
		name => 'a column that a view needs, altered',
		setup => $everything,
		migration => q{CREATE OR REPLACE VIEW w AS SELECT n, c FROM t WHERE c IN ('z', 'y'); ALTER POLICY p ON t USING (s IN ('c', 'd')); ALTER DOMAIN d DROP CONSTRAINT d_check; ALTER DOMAIN d ADD CHECK (VALUE IN ('a', 'c'))},
	},
	{ name => 'AND in AND: the table dropped', setup => $expressions, migration => 'DROP TABLE t CASCADE' },
	{
		name => 'AND in AND: each by itself',
		setup => $expressions,
		migration => join '', map { "DROP INDEX i$_; DROP VIEW v$_; ALTER TABLE t DROP CONSTRAINT c$_;" } 1 .. $number,
	},
	{
		name => 'VALUES under other names',
		setup => q{CREATE VIEW v1 (x) AS VALUES (1, 2); CREATE VIEW v2 ("a b", b) AS VALUES (1, 'x'), (2, 'y') ORDER BY 1 LIMIT 5;
			CREATE VIEW v3 (a) WITH (security_barrier) AS SELECT 1 UNION ALL VALUES (2) UNION ALL (VALUES (7) ORDER BY column1);
			CREATE MATERIALIZED VIEW m (p, q) WITH (fillfactor = 50) AS VALUES (1, 2); CREATE VIEW v4 AS SELECT * FROM v1, (VALUES (1)) AS v (y);
			CREATE MATERIALIZED VIEW m2 (p) AS SELECT 4 UNION VALUES (3); CREATE VIEW v5 (z) AS VALUES (1); CREATE VIEW v6 (z) AS VALUES (1)},
		migration => q{CREATE OR REPLACE VIEW v5 (z, column2) AS VALUES (1, 2); ALTER VIEW v6 RENAME COLUMN z TO column1; DROP VIEW v1 CASCADE; DROP VIEW v2, v3;
			DROP MATERIALIZED VIEW m, m2; CREATE VIEW v7 (a, b) AS VALUES (1, 2); CREATE MATERIALIZED VIEW m3 (a) AS VALUES (1)},
	},
	{
		# an array that was cast elsewhere is the same; this is another CHECK
		name => 'a CHECK with a list, changed since in casts and parentheses',
		setup => 'CREATE TABLE t (s varchar(10), n int)',
		migration => q{ALTER TABLE t ADD CONSTRAINT k CHECK ((n::bigint + 1) * 2 > 5 AND s IN ('a', 'b'))},
		after => q{SET safemig.enabled = off; ALTER TABLE t DROP CONSTRAINT k, ADD CONSTRAINT k CHECK (n::smallint + 1 * 2 > 5 AND s IN ('a', 'b'))},
		refused => qr/without safemig having seen it/,
	},
	{
		name => 'a list of columns: refused by nobody',
		setup => q{CREATE TABLE t (s varchar(10), a varchar(5), b varchar(7), CHECK (s IN (a, b)), CHECK (s IN (a, 'x')), CHECK (a IN ('p', b) OR b = 'q')); INSERT INTO t VALUES ('x', 'x', 'q')},
		migration => 'DROP TABLE t',
		probe => q{SELECT 1},
		once => 1,
	},
	{
		# the cast that keeps the wording would be one more
		name => 'elements of several lengths: refused by nobody',
		setup => q{CREATE TABLE t (s varchar(10), CHECK (s IN (s, 'a')), CHECK (s::varchar(3) IN ('a'::varchar(3), 'b'))); INSERT INTO t VALUES ('a')},
		migration => 'DROP TABLE t',
		probe => q{SELECT 1},
		once => 1,
	});

done_testing();
