
# Copyright (c) 2026, the safemig authors

# Renames and moves, names of any kind, any search_path, another encoding.
# pg_regress cannot show it: the proof is that pg_dump writes the same before
# and after, and that what it wrote can be restored.

use strict;
use warnings;
use utf8;
use Encode qw(encode);
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigTest;
use Test::More;

start_server('names');

my $shop = <<'SQL';
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('sad', 'ok');
CREATE TABLE app.orders (id serial PRIMARY KEY, customer text NOT NULL, m app.mood DEFAULT 'ok', total numeric CONSTRAINT positive CHECK (total > 0));
CREATE TABLE app.items (id int PRIMARY KEY, order_id int REFERENCES app.orders, what text);
CREATE INDEX by_customer ON app.orders (lower(customer)) WHERE total > 1;
CREATE FUNCTION app.tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER tr BEFORE UPDATE OF customer ON app.orders FOR EACH ROW EXECUTE FUNCTION app.tf();
CREATE POLICY po ON app.orders USING (customer <> '');
CREATE RULE ru AS ON DELETE TO app.orders WHERE OLD.customer = 'x' DO INSTEAD NOTHING;
CREATE VIEW app.v AS SELECT id, customer FROM app.orders;
CREATE STATISTICS app.st ON id, customer FROM app.orders;
COMMENT ON TABLE app.orders IS 'o'; COMMENT ON COLUMN app.orders.customer IS 'c';
GRANT SELECT (customer), UPDATE (total) ON app.orders TO bob;
INSERT INTO app.orders (customer, total) SELECT 'c' || i, i FROM generate_series(1, 20) i;
INSERT INTO app.items SELECT i, i, 'w' FROM generate_series(1, 20) i;
SQL

round_trips(
	map {
		{
			name => "rename $_->[0]",
			setup => $shop,
			migration => $_->[1]
		}
	} (
		[ 'a table', 'ALTER TABLE app.orders RENAME TO sales' ],
		[ 'a column', 'ALTER TABLE app.orders RENAME customer TO client' ],
		[ 'a constraint', 'ALTER TABLE app.orders RENAME CONSTRAINT positive TO above; ALTER TABLE app.orders RENAME CONSTRAINT orders_pkey TO pk' ],
		[ 'an index', 'ALTER INDEX app.by_customer RENAME TO by_client; ALTER INDEX app.orders_pkey RENAME TO pk' ],
		[ 'a schema', 'ALTER SCHEMA app RENAME TO shop' ],
		[ 'everything else', q(ALTER TRIGGER tr ON app.orders RENAME TO tr2; ALTER POLICY po ON app.orders RENAME TO po2; ALTER RULE ru ON app.orders RENAME TO ru2;
			ALTER VIEW app.v RENAME TO v2; ALTER VIEW app.v2 RENAME COLUMN customer TO c2; ALTER SEQUENCE app.orders_id_seq RENAME TO seq2; ALTER TYPE app.mood RENAME TO mood2;
			ALTER FUNCTION app.tf() RENAME TO tf2; ALTER STATISTICS app.st RENAME TO st2) ],
		[ 'swap two tables', 'ALTER TABLE app.orders RENAME TO tmp; ALTER TABLE app.items RENAME TO orders; ALTER TABLE app.tmp RENAME TO items' ],
		[ 'swap two columns', 'ALTER TABLE app.orders RENAME id TO tmp; ALTER TABLE app.orders RENAME total TO id; ALTER TABLE app.orders RENAME tmp TO total' ],
		[ 'and change more', q(ALTER TABLE app.orders RENAME TO sales; ALTER TABLE app.sales RENAME customer TO client; ALTER SCHEMA app RENAME TO shop;
			ALTER TABLE shop.sales ADD extra int DEFAULT 1, ALTER client DROP NOT NULL, ALTER total TYPE int USING total::int, DROP m;
			ALTER TABLE shop.sales RENAME CONSTRAINT positive TO above; ALTER TABLE shop.sales DROP CONSTRAINT above; DROP INDEX shop.by_customer; DROP VIEW shop.v;
			ALTER TABLE shop.sales RENAME TO again; ALTER TABLE shop.again SET SCHEMA public; DROP TABLE shop.items; DROP SCHEMA shop CASCADE) ],
		[ 'then drop, under the new name', 'ALTER TABLE app.orders RENAME TO sales; DROP TABLE app.sales CASCADE' ],
		[ 'then drop a column, under the new name', 'ALTER TABLE app.orders RENAME customer TO client; ALTER TABLE app.orders DROP COLUMN client CASCADE' ],
		[ 'and make a new one of the old name', 'ALTER TABLE app.orders RENAME TO sales; CREATE TABLE app.orders (x int); ALTER TABLE app.sales RENAME customer TO c2; ALTER TABLE app.sales ADD customer date' ],
		[ 'away and back', 'ALTER TABLE app.orders RENAME TO sales; ALTER TABLE app.sales ADD x int; ALTER TABLE app.sales RENAME TO orders' ],
		[ 'move to another schema', 'ALTER TABLE app.orders SET SCHEMA public; ALTER TYPE app.mood SET SCHEMA public; ALTER FUNCTION app.tf() SET SCHEMA public; ALTER VIEW app.v SET SCHEMA public' ],
		[ 'types that arrays, functions and queries name', q(CREATE VIEW app.labels AS SELECT '{ok}'::app.mood[] AS all_of; ALTER TABLE app.items ADD moods app.mood[] DEFAULT '{sad}'; CREATE FUNCTION app.of(app.mood[]) RETURNS app.mood LANGUAGE sql AS 'SELECT $1[1]';
			ALTER TYPE app.mood SET SCHEMA public; ALTER TYPE mood RENAME TO feeling; ALTER TYPE feeling RENAME VALUE 'sad' TO 'low'; ALTER TABLE app.items ADD x int; COMMENT ON VIEW app.labels IS 'l'; COMMENT ON FUNCTION app.of(feeling[]) IS 'f') ],
		[ 'give to other owners', 'ALTER TABLE app.orders OWNER TO alice; ALTER SCHEMA app OWNER TO bob; ALTER VIEW app.v OWNER TO carol; ALTER TYPE app.mood OWNER TO alice; ALTER FUNCTION app.tf() OWNER TO bob' ],
		[ 'privileges', 'GRANT ALL ON ALL TABLES IN SCHEMA app TO carol; REVOKE SELECT (customer) ON app.orders FROM bob; GRANT USAGE ON SCHEMA app TO PUBLIC; GRANT EXECUTE ON FUNCTION app.tf() TO bob WITH GRANT OPTION; REVOKE EXECUTE ON FUNCTION app.tf() FROM PUBLIC; GRANT USAGE ON TYPE app.mood TO carol' ],
		[ 'comments', q(COMMENT ON TABLE app.orders IS NULL; COMMENT ON COLUMN app.orders.customer IS 'it''s'; COMMENT ON CONSTRAINT positive ON app.orders IS 'new'; COMMENT ON TYPE app.mood IS 'x'; COMMENT ON SCHEMA app IS 'y'; COMMENT ON INDEX app.by_customer IS 'z') ]));

# Names that break careless quoting.
my %hostile = (
	'quotes and semicolons' => q(a"b'c;--$$\\),
	'SQL' => q(x"; DROP TABLE canary; --),
	'63 bytes' => 'n' x 63,
	'Japanese of 63 bytes' => '表' x 21,
	'keywords and case' => 'Select',
	'blanks and dots' => ' a . b ',
	'brackets and percent' => '%s%I[]{},(%n)',
	'dropped' => '........pg.dropped.2........',
);

sub quoted
{
	my ($name) = @_;
	$name =~ s/"/""/g;
	return qq("$name");
}

# A name of its own for each object, as long as the one given.
sub variant
{
	my ($name, $letter) = @_;
	return quoted($letter . substr($name, 1)) if $name =~ /^[\x00-\x7f]*$/;
	return quoted(substr($name, 0, length($name) - 1) . $letter);
}

sub hostile_case
{
	my ($what, $name, $encoding) = @_;
	my ($schema, $table, $column, $other, $view, $type, $index) =
	  (quoted($name), map { variant($name, $_) } qw(T C O V Y I));
	my $literal = $name =~ s/'/''/gr;
	my $setup = <<"SQL";
CREATE TABLE canary (a int);
CREATE SCHEMA $schema;
CREATE TYPE $schema.$type AS ENUM ('$literal', 'b');
CREATE TABLE $schema.$table (id serial PRIMARY KEY, $column text DEFAULT '$literal' CONSTRAINT $other CHECK ($column <> 'no'), e $schema.$type DEFAULT '$literal', tail int);
CREATE INDEX $index ON $schema.$table (lower($column));
CREATE VIEW $schema.$view AS SELECT $column FROM $schema.$table;
CREATE TABLE $schema.$other (id int REFERENCES $schema.$table, $column $schema.$type);
COMMENT ON COLUMN $schema.$table.$column IS '$literal';
GRANT SELECT ($column) ON $schema.$table TO bob;
INSERT INTO $schema.$table (tail) SELECT i FROM generate_series(1, 5) i;
INSERT INTO $schema.$other VALUES (1, 'b');
SQL
	my @migrations = (
		"ALTER TABLE $schema.$table DROP COLUMN $column CASCADE; ALTER TABLE $schema.$table RENAME tail TO $column",
		"DROP TABLE $schema.$table CASCADE; DROP TYPE $schema.$type CASCADE",
		"ALTER TABLE $schema.$table RENAME TO moved; ALTER TABLE $schema.moved ALTER e DROP DEFAULT, ALTER e TYPE text; DROP SCHEMA $schema CASCADE");
	my $n = 0;
	return map {
		{
			name => encode('UTF-8', "hostile names: $what, " . ++$n),
			setup => encode('UTF-8', ($encoding ? "SET client_encoding = 'UTF8';\n" : '') . $setup),
			migration => encode('UTF-8', ($encoding ? "SET client_encoding = 'UTF8';\n" : '') . $_),
			encoding => $encoding
		}
	} @migrations;
}

round_trips(hostile_case($_, $hostile{$_})) foreach sort keys %hostile;
round_trips(hostile_case('Japanese in EUC_JP', '注文「表」', 'EUC_JP'));

# Whatever search_path a client has; the evil ones hold look-alikes of what an
# unqualified name would find.
my $evil = <<'SQL';
CREATE SCHEMA evil;
CREATE TABLE evil.orders (trap int);
CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''trapped''; END';
CREATE FUNCTION evil.bad(int, int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''trapped''; END';
CREATE OPERATOR evil.= (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.bad);
CREATE OPERATOR evil.> (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.bad);
CREATE VIEW evil.pg_class AS SELECT 1 AS oid;
CREATE TYPE evil.text AS ENUM ('trap');
CREATE TYPE evil.int4 AS ENUM ('trap');
SQL
my $everything = q(
	ALTER TABLE app.orders DROP COLUMN customer CASCADE;
	ALTER TABLE app.orders ADD COLUMN x pg_catalog.int4 DEFAULT 3;
	ALTER TABLE app.orders ALTER COLUMN total TYPE pg_catalog.int4;
	ALTER TABLE app.items RENAME TO things;
	DROP TABLE app.orders CASCADE;
	DROP TYPE app.mood CASCADE);
round_trips(
	map {
		{
			name => "search_path = $_",
			setup => "$shop$evil",
			migration => $everything,
			pgoptions => "-c search_path=" . s/ /\\ /gr
		}
	} ("''", 'evil,pg_catalog,app', 'app', 'evil', 'missing,"$user"', 'pg_temp', 'safemig'));

round_trips(
	{
		name => 'the name of a dropped object taken by one of another kind',
		setup => q(CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE VIEW v AS SELECT 1 AS a; CREATE SEQUENCE s; CREATE TABLE i (a int); CREATE INDEX x ON i (a); CREATE TYPE c AS (a int); CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE DOMAIN d AS int),
		migration => q(DROP TABLE t; CREATE VIEW t AS SELECT 2 AS b; DROP VIEW v; CREATE TABLE v (b int); INSERT INTO v VALUES (5); DROP SEQUENCE s; CREATE TABLE s (a int); DROP INDEX x; CREATE MATERIALIZED VIEW x AS SELECT 1 AS q; DROP TYPE c; CREATE TABLE c (z int);
			DROP FUNCTION f(int); CREATE PROCEDURE f(int) LANGUAGE sql AS 'SELECT 1'; DROP DOMAIN d; CREATE TYPE d AS ENUM ('e')),
	},
	{
		name => 'a name that a table, a view and a sequence had in turn',
		setup => 'SELECT 1',
		migration => q(CREATE TABLE r (a int); INSERT INTO r VALUES (1); DROP TABLE r; CREATE SEQUENCE r; DROP SEQUENCE r; CREATE VIEW r AS SELECT 1 AS one),
	},
	{
		name => 'a role with a hostile name',
		roles => [ q("ow'n;er ""x") ],
		setup => $shop . q(ALTER TABLE app.orders OWNER TO "ow'n;er ""x"; GRANT SELECT ON app.items TO "ow'n;er ""x" WITH GRANT OPTION; ALTER POLICY po ON app.orders TO "ow'n;er ""x"; GRANT UPDATE (what) ON app.items TO "ow'n;er ""x"),
		migration => 'DROP TABLE app.orders CASCADE; DROP TABLE app.items',
	},
	{
		name => 'names found through search_path',
		setup => $shop,
		migration => q(SET search_path = app, public; ALTER TABLE orders DROP customer CASCADE; DROP TABLE items; CREATE TABLE items (id int); CREATE INDEX ON orders (m); SET search_path = public; CREATE TABLE items (id int)),
	},
	{
		name => 'settings that change how values are written',
		setup => q(CREATE TABLE t (id int PRIMARY KEY, f float8, d date, ts timestamptz, i interval, b bytea, m money, x xml, tail int);
				   INSERT INTO t SELECT n, n / 3.0, date '2024-12-01' + n, timestamptz '2024-01-02 03:04:05.678+09', '1 day 02:03', '\xdeadbeef', 3.5, '<a/>', n FROM generate_series(1, 9) n),
		migration => q(SET datestyle = 'German'; SET intervalstyle = sql_standard; SET extra_float_digits = -10; SET bytea_output = escape; SET timezone = 'America/New_York';
			ALTER TABLE t DROP f, DROP d, DROP ts, DROP i, DROP b, DROP m, DROP x; ALTER TABLE t ADD at timestamptz DEFAULT '02.01.2024 00:00', ADD e interval DEFAULT '1 2:03:04'),
		pgoptions => '-c quote_all_identifiers=on -c xmloption=document',
	},
);

done_testing();
