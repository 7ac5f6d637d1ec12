
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

my $shop = <<'SQL';
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

my @shop_chain = (
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

# Minor releases of 15 to 17 mark columns by an option that pg_dump leaves out.
# One that does not know of it, as that of 18.6, makes statements of it that its
# own server refuses: then no database can be upgraded unless the marks go.  What
# has them in its values would not come back in its place without.
must('postgres', 'CREATE TABLE marked (a int)');
my ($dump) = run_command([ "$bindir/pg_dump", '-s', '-h', $old->host, '-p', $old->port, 'postgres' ]);
must('postgres', 'DROP TABLE marked');
my $marked = $dump =~ /pg_attver/;
if ($marked)
{
	note('without the marks of columns, which pg_upgrade stumbles over');
	$shop =~ s/p app\.pair/p text/;
	$shop =~ s/ROW\(i, 'x' \|\| i\)::app\.pair/'x' || i/;
}

# What PostgreSQL describes, hardly two versions in the same words; and what
# further privileges a newer version has.
my $words = <<'SQL';
CREATE SCHEMA w;
GRANT USAGE, CREATE ON SCHEMA w TO alice;
CREATE TABLE w.t (id int PRIMARY KEY, a text DEFAULT lower('X'), b text, n numeric, d date DEFAULT CURRENT_DATE,
	twice numeric GENERATED ALWAYS AS (n * 2) STORED, tags text[],
	CONSTRAINT known CHECK (b IN ('x', 'y', 'z') AND n BETWEEN 0 AND 100000),
	CONSTRAINT cut CHECK (substring(a FROM 1 FOR 2) <> 'no' OR trim(both from a) IS NOT NULL));
INSERT INTO w.t (id, a, b, n, d, tags) SELECT i, 'a' || i, (ARRAY['x', 'y', 'z'])[1 + i % 3], i, date '2026-01-01', ARRAY['t' || i] FROM generate_series(1, 20) i;
CREATE TABLE w.log (id int, what text, at timestamptz DEFAULT now());
CREATE TABLE w.parts (k int, v text, at date) PARTITION BY RANGE (lower(v), EXTRACT(year FROM at));
CREATE TABLE w.part_1 PARTITION OF w.parts FOR VALUES FROM ('a', 2000) TO ('n', 2030);
CREATE INDEX part_expr ON w.parts (upper(v)) WHERE k > 3 AND v IS NOT NULL;
CREATE INDEX t_expr ON w.t ((a || '!'), EXTRACT(month FROM d)) WHERE b IN ('x', 'y');
CREATE STATISTICS w.st ON (n + 1), lower(a) FROM w.t;
CREATE VIEW w.one AS SELECT id, a, twice FROM w.t WHERE n > 3;
CREATE VIEW w.two AS SELECT o.id, l.what, count(*) AS c FROM w.one o LEFT JOIN w.log l USING (id) GROUP BY o.id, l.what HAVING count(*) > 0;
CREATE VIEW w.three AS WITH RECURSIVE r(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM r WHERE i < 3)
	SELECT r.i, (SELECT max(t.n) FROM w.t WHERE t.id > r.i) AS m FROM r ORDER BY r.i DESC;
CREATE VIEW w.filled AS SELECT id, a FROM w.t;
ALTER VIEW w.filled ALTER COLUMN a SET DEFAULT upper('q');
CREATE MATERIALIZED VIEW w.m AS SELECT b, sum(n) AS s FROM w.t GROUP BY b;
CREATE INDEX m_b ON w.m (lower(b));
CREATE RULE keep AS ON DELETE TO w.t WHERE old.id < 5 DO INSTEAD INSERT INTO w.log (id, what) SELECT old.id, x.a FROM w.t x WHERE x.id = old.id;
CREATE RULE through AS ON INSERT TO w.one DO INSTEAD INSERT INTO w.t (id, a) VALUES (new.id, new.a) RETURNING id, a, twice;
ALTER TABLE w.t ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON w.t TO bob USING (a = CURRENT_USER OR EXISTS (SELECT FROM w.log l WHERE l.id = t.id)) WITH CHECK (n > 0);
CREATE FUNCTION w.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TRIGGER tr BEFORE UPDATE OF a, n ON w.t FOR EACH ROW WHEN (old.a IS DISTINCT FROM new.a AND new.n > 3) EXECUTE FUNCTION w.f();
CREATE TRIGGER instead INSTEAD OF UPDATE ON w.filled FOR EACH ROW EXECUTE FUNCTION w.f();
CREATE FUNCTION w.body(x int DEFAULT 1 + 2, y text DEFAULT lower('Y')) RETURNS TABLE (id int, a text)
	BEGIN ATOMIC SELECT t.id, t.a FROM w.t WHERE t.id > x; END;
CREATE DOMAIN w.dom AS text DEFAULT upper('d') CONSTRAINT starts CHECK (substring(VALUE FROM 1 FOR 1) IN ('D', 'E'));
CREATE TABLE w.uses (d w.dom);
CREATE TABLE w.mine (a int, b text);
ALTER TABLE w.mine OWNER TO alice;
CREATE VIEW w.hers AS SELECT a, b FROM w.mine;
ALTER VIEW w.hers OWNER TO alice;
GRANT ALL ON w.t TO alice;
GRANT ALL ON w.log TO bob WITH GRANT OPTION;
GRANT SELECT, UPDATE ON w.mine TO bob;
GRANT ALL ON w.mine TO carol;
GRANT SELECT (a), UPDATE (b) ON w.mine TO PUBLIC;
REVOKE TRIGGER ON w.log FROM postgres;
GRANT ALL ON w.one, w.m TO carol;
CREATE TABLE w.mixed (a int);
CREATE TABLE w.noones (a int);
GRANT SELECT ON w.noones TO bob;
REVOKE ALL ON w.noones FROM postgres;
GRANT SELECT, INSERT, UPDATE, DELETE ON w.mixed TO bob WITH GRANT OPTION;
GRANT TRUNCATE, REFERENCES, TRIGGER ON w.mixed TO bob;
ALTER DEFAULT PRIVILEGES IN SCHEMA w GRANT ALL ON TABLES TO bob;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO carol;
SQL

# pg_dump itself makes a query in a query of it, which its own description shows.
$words .= "CREATE VIEW names (x, y) AS VALUES (1, 'a'), (2, 'b');\n" if $old_version != $new_version;

my @words_chain = (
	[ 'other views' => 'CREATE OR REPLACE VIEW w.one AS SELECT id, a, twice FROM w.t WHERE n > 4; DROP VIEW w.two; CREATE OR REPLACE VIEW w.three AS SELECT 1 AS i, 2::numeric AS m' ],
	[ 'no filled' => 'DROP VIEW w.filled' ],
	[ 'no mv' => 'DROP MATERIALIZED VIEW w.m' ],
	[ 'checks' => 'ALTER TABLE w.t DROP CONSTRAINT known, DROP CONSTRAINT cut; ALTER TABLE w.t ADD CONSTRAINT cut CHECK (n > -1)' ],
	[ 'indexes' => 'DROP INDEX w.t_expr; DROP INDEX w.part_expr; DROP STATISTICS w.st' ],
	[ 'rules' => 'DROP RULE keep ON w.t; CREATE OR REPLACE RULE through AS ON INSERT TO w.one DO INSTEAD NOTHING' ],
	[ 'policies' => 'ALTER POLICY mine ON w.t USING (a > CURRENT_USER); DROP TRIGGER tr ON w.t' ],
	[ 'functions' => 'DROP FUNCTION w.body' ],
	[ 'defaults' => q(ALTER TABLE w.t ALTER a SET DEFAULT upper('y'), ALTER d DROP DEFAULT; ALTER TABLE w.log ALTER at DROP DEFAULT) ],
	[ 'domains' => q(ALTER DOMAIN w.dom DROP CONSTRAINT starts; ALTER DOMAIN w.dom SET DEFAULT lower('E')) ],
	[ 'generated' => 'DROP VIEW w.one CASCADE; ALTER TABLE w.t DROP COLUMN twice' ],
	[ 'retype' => 'ALTER TABLE w.log ALTER what TYPE varchar(100)' ],
	[ 'privileges' => 'REVOKE ALL ON w.t FROM alice; REVOKE ALL ON w.log FROM bob; REVOKE ALL ON w.mine FROM carol; GRANT SELECT ON w.mixed TO alice; ALTER DEFAULT PRIVILEGES IN SCHEMA w REVOKE ALL ON TABLES FROM bob' ],
	[ 'hers' => 'ALTER VIEW w.hers RENAME TO his; ALTER TABLE w.mine RENAME a TO z; DROP TABLE w.uses' ],
	[ 'partitions' => 'DROP TABLE w.parts' ],
	[ 'the rest' => 'DROP SCHEMA w CASCADE' ],
);

# Where a cast stands that PostgreSQL moves when it reads its own description
# (IN on a varchar) is not looked at: pg_upgrade moves it, safemig does not.

# Another version describes the same otherwise: so the state before each
# migration goes over too.
sub preserve
{
	my ($database, $number) = @_;
	new_database("${database}_$number", $database) if $old_version != $new_version;
	return;
}

my $history = 'SELECT id, kind, label, state FROM safemig.migrations ORDER BY id';

sub migrate
{
	my ($database, $setup, @chain) = @_;
	new_database($database);
	my ($failed, undef, $error) = in_database($database, $setup);
	ok(!$failed, "the database of old: $database") or diag($error);
	my %run = (database => $database, chain => \@chain, mark => value($database, 'SELECT safemig_mark()'));
	my @states = (state_of($database));
	preserve($database, 0);
	foreach my $migration (@chain)
	{
		my ($status, $out, $err) = in_database($database, "SET safemig.label = '$migration->[0]'; $migration->[1]");
		ok(!$status, $migration->[0]) or diag($err);
		push @states, state_of($database);
		preserve($database, $#states);
	}
	$run{states} = \@states;
	$run{recorded} = value($database, $history);

	# One database for going back step by step, one for going back at once.
	new_database("${database}_at_once", $database);
	return \%run;
}

# Roles are the cluster's, so that only one database can take them back.
my $members = q(SELECT string_agg(format('%s %s', member::regrole, admin_option), ', ' ORDER BY member::regrole::text) FROM pg_auth_members WHERE roleid = 'crew'::regrole);
new_database('roles');
must('roles', 'CREATE ROLE crew; GRANT crew TO alice WITH ADMIN OPTION; GRANT crew TO bob');
my $members_before = value('roles', $members);
must('roles', q(LOAD 'safemig'; SET safemig.label = 'members'; REVOKE crew FROM alice; GRANT crew TO carol; ALTER ROLE crew NOINHERIT));

my @runs = (migrate('shop', $shop, @shop_chain), migrate('words', $words, @words_chain));

if ($marked)
{
	must($_, <<'SQL') foreach split /\n/, value('postgres', 'SELECT datname FROM pg_database WHERE datallowconn');
UPDATE pg_attribute SET attoptions = nullif(ARRAY(SELECT o FROM unnest(attoptions) o WHERE o !~ '^pg_attver='), '{}')
WHERE EXISTS (SELECT FROM unnest(attoptions) o WHERE o ~ '^pg_attver=')
SQL
}

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

foreach my $run (@runs)
{
	my ($database, @chain) = ($run->{database}, @{ $run->{chain} });
	my @states = @{ $run->{states} };
	@states = map { state_of("${database}_$_") } 0 .. $#states if $old_version != $new_version;

	is(value($database, $history), $run->{recorded}, 'the same history, and no migration more');
	is(SafemigOracle::difference($states[-1], state_of($database)), '', 'the same database');
	is(value("${database}_0", 'SELECT * FROM safemig.drift()'), '', 'nothing has drifted')
	  if $old_version != $new_version;
	foreach my $i (reverse 0 .. $#chain)
	{
		my ($status, $out, $err) = in_database($database, "SELECT safemig_rollback('$chain[$i][0]')");
		ok(!$status, "rollback of $chain[$i][0]") or diag($err);
		is(SafemigOracle::difference($states[$i], state_of($database)), '', "the state before $chain[$i][0]");
	}
	is(value($database, 'SELECT * FROM safemig.drift()'), '', 'nothing has drifted');
	my ($status, $out, $err) = in_database("${database}_at_once", "SELECT safemig_rollback_to($run->{mark})");
	ok(!$status, 'the whole chain at once') or diag($err);
	is(SafemigOracle::difference($states[0], state_of("${database}_at_once")), '', 'the state of old');
}

my ($status, $out, $err) = in_database('roles', q(SELECT safemig_rollback('members')));
ok(!$status, 'rollback of memberships') or diag($err);
is(value('roles', $members), $members_before, 'who is a member');

($status, $out, $err) = in_database('shop', q(SET safemig.label = 'new'; ALTER TABLE app.orders DROP COLUMN customer CASCADE; DROP TABLE app.items));
ok(!$status, 'a migration of its own') or diag($err);
my $before = state_of('shop_at_once');
($status, $out, $err) = in_database('shop', q(SELECT safemig_rollback('new')));
ok(!$status, 'and its rollback') or diag($err);
is(SafemigOracle::difference($before, state_of('shop')), '', 'the state before it');

done_testing();
