
# Copyright (c) 2026, the safemig authors

# pg_upgrade: the history, the vault and the slots of dropped columns go over
# into a cluster with other OIDs, and old migrations can be rolled back there.
# Unless SAFEMIG_OLD_INSTALLATION says where an older version is (its bin/ and
# lib/), as "make check-upgrade" does, it is to the same version, which
# pg_upgrade allows: what it does to catalogs and files is the same.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SafemigTest;
use Test::More;

if (bare())
{
	plan skip_all => 'says nothing without safemig';
}

my $new = PostgreSQL::Test::Cluster->new('new');
my $bindir = $new->config_data('--bindir');
plan skip_all => 'no pg_upgrade in this installation'
  unless -x "$bindir/pg_upgrade";
my $old = start_server('old', install_path => $ENV{SAFEMIG_OLD_INSTALLATION});
my ($old_version, $new_version) = map { $_->config_data('--version') =~ /(\d+)/ ? $1 : 0 } $old, $new;
note("from $old_version to $new_version");

my $setup = <<'SQL';
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE app.pair AS (a int, b text);
CREATE DOMAIN app.code AS text CHECK (VALUE ~ '^[a-z]+[0-9]*$');
CREATE FUNCTION app.next_code() RETURNS text LANGUAGE sql AS $$ SELECT 'n' $$;
CREATE TABLE app.orders (id serial PRIMARY KEY, gone int, customer text NOT NULL,
	m app.mood DEFAULT 'ok', total numeric(10,2) CHECK (total > 0), flag bool DEFAULT true,
	p app.pair, c app.code DEFAULT app.next_code(), at timestamptz, tail int);
ALTER TABLE app.orders DROP COLUMN gone;
CREATE TABLE app.items (id int PRIMARY KEY, order_id int REFERENCES app.orders, what text);
CREATE INDEX ON app.items (lower(what));
CREATE VIEW app.v AS SELECT id, customer, m FROM app.orders;
CREATE MATERIALIZED VIEW app.mv AS SELECT m, count(*) FROM app.orders GROUP BY m;
CREATE TABLE app.parts (k int, v text) PARTITION BY RANGE (k);
CREATE TABLE app.parts_1 PARTITION OF app.parts FOR VALUES FROM (0) TO (100);
CREATE SEQUENCE app.loose START 5;
INSERT INTO app.orders (customer, m, total, flag, p, at) SELECT 'c' || i,
	(ARRAY['sad', 'ok', 'happy']::app.mood[])[1 + i % 3], i * 1.25, i % 2 = 0, ROW(i, 'x' || i)::app.pair,
	'2026-01-01 UTC'::timestamptz + i * interval '1 hour' FROM generate_series(1, 30) i;
INSERT INTO app.items SELECT i, i, 'W' || i FROM generate_series(1, 20) i;
INSERT INTO app.parts SELECT i, 'v' || i FROM generate_series(1, 50) i;
REFRESH MATERIALIZED VIEW app.mv;
SELECT nextval('app.loose'), nextval('app.loose');
GRANT SELECT ON app.orders TO bob;
SQL

my @chain = (
	[ 'drop items' => 'DROP TABLE app.items' ],
	[ 'lose precision' => 'ALTER TABLE app.orders ALTER total TYPE int' ],
	[ 'drop a flag' => 'ALTER TABLE app.orders DROP COLUMN flag' ],
	[ 'drop a label' => 'ALTER TABLE app.orders DROP COLUMN m CASCADE' ],
	[ 'drop a pair' => 'ALTER TABLE app.orders DROP COLUMN p, DROP COLUMN c, DROP COLUMN at' ],
	[ 'drop partitioned' => 'DROP TABLE app.parts; DROP SEQUENCE app.loose' ],
	[ 'rename' => 'ALTER TABLE app.orders RENAME TO sales; ALTER FUNCTION app.next_code RENAME TO other_code' ],
	[ 'drop types' => 'DROP TYPE app.mood; DROP TYPE app.pair; DROP DOMAIN app.code; DROP FUNCTION app.other_code' ],
	[ 'drop the rest' => 'DROP SCHEMA app CASCADE' ],
);

my $database = new_database('shop');
is((in_database($database, $setup))[0], 0, 'the database of old');
my $mark = value($database, 'SELECT safemig_mark()');
my @states = (state_of($database));

# Another version describes the same otherwise: so the state before each
# migration goes over too.
sub preserve { new_database("state_$_[0]", $database) if $old_version != $new_version; return }
preserve(0);
foreach my $migration (@chain)
{
	my ($status, $out, $err) = in_database($database, "SET safemig.label = '$migration->[0]'; $migration->[1]");
	ok(!$status, $migration->[0]) or diag($err);
	push @states, state_of($database);
	preserve($#states);
}
my $history = 'SELECT id, kind, label, state FROM safemig.migrations ORDER BY id';
my $recorded = value($database, $history);

# One database for going back step by step, one for going back at once.
new_database('shop_at_once', $database);

# 18 has checksums unless told, and pg_upgrade wants both to have them
$new->init(extra => [ '--encoding=UTF8', '--locale=C', $old_version < 18 && $new_version >= 18 ? '--no-data-checksums' : () ]);
$new->append_conf('postgresql.conf', "autovacuum = off\nmax_locks_per_transaction = 256\ntimezone = 'Asia/Tokyo'\ndatestyle = 'SQL, DMY'\n");
$old->stop;
chdir PostgreSQL::Test::Utils::tempdir();
command_ok(
	[
		'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir,
		'-b', $old->config_data('--bindir'), '-B', $bindir, '-s', $new->host, '-p', $old->port, '-P', $new->port
	],
	'pg_upgrade');
$new->start;
SafemigTest::use_server($new);
@states = map { state_of("state_$_") } 0 .. $#states if $old_version != $new_version;

is(value($database, $history), $recorded, 'the same history, and no migration more');
is(SafemigOracle::difference($states[-1], state_of($database)), '', 'the same database');
foreach my $i (reverse 0 .. $#chain)
{
	my ($status, $out, $err) = in_database($database, "SELECT safemig_rollback('$chain[$i][0]')");
	ok(!$status, "rollback of $chain[$i][0]") or diag($err);
	is(SafemigOracle::difference($states[$i], state_of($database)), '', "the state before $chain[$i][0]");
}
my ($status, $out, $err) = in_database($database, q(SET safemig.label = 'new'; ALTER TABLE app.orders DROP COLUMN customer CASCADE; DROP TABLE app.items));
ok(!$status, 'a migration of its own') or diag($err);
($status, $out, $err) = in_database($database, q(SELECT safemig_rollback('new')));
ok(!$status, 'and its rollback') or diag($err);
is(SafemigOracle::difference($states[0], state_of($database)), '', 'the state before it');

($status, $out, $err) = in_database('shop_at_once', "SELECT safemig_rollback_to($mark)");
ok(!$status, 'the whole chain at once') or diag($err);
is(SafemigOracle::difference($states[0], state_of('shop_at_once')), '', 'the state of old');

done_testing();
