
# Copyright (c) 2026, the safemig authors

# Standbys and subscribers: the history and what is kept are there on a
# physical standby, and a rollback is not run there but after its promotion;
# tables leave their publications when they are dropped and return with them.
# pg_regress cannot show it: it takes several servers.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SafemigTest;
use Test::More;

plan skip_all => 'says nothing without safemig' if bare();

my $primary = start_server('primary', conf => <<'CONF');
wal_level = logical
max_wal_senders = 10
max_replication_slots = 10
session_preload_libraries = safemig
wal_retrieve_retry_interval = 100ms
CONF

# ---- a physical standby ----

my $setup = <<'SQL';
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE orders (id serial PRIMARY KEY, customer text NOT NULL, m mood DEFAULT 'ok', total numeric CHECK (total > 0), tail int);
CREATE TABLE items (id int PRIMARY KEY, order_id int REFERENCES orders, what text);
CREATE INDEX ON items (lower(what));
CREATE VIEW v AS SELECT id, customer FROM orders;
INSERT INTO orders (customer, total, tail) SELECT 'c' || i, i * 1.25, i FROM generate_series(1, 20) i;
INSERT INTO items SELECT i, i, 'w' FROM generate_series(1, 20) i;
GRANT SELECT ON orders TO bob;
SQL

my @chain = (
	[ 'drop items' => 'DROP TABLE items' ],
	[ 'lose precision' => 'ALTER TABLE orders ALTER total TYPE int' ],
	[ 'drop tail' => 'ALTER TABLE orders DROP COLUMN tail' ],
	[ 'write' => q(UPDATE orders SET customer = 'x' WHERE id < 5; DELETE FROM orders WHERE id > 15) ],
	[ 'drop the rest' => 'DROP TABLE orders CASCADE; DROP TYPE mood' ],
);

sub migrate
{
	my ($database, @migrations) = @_;
	foreach my $migration (@migrations)
	{
		my ($status, $out, $err) = in_database($database, "SET safemig.label = '$migration->[0]'; $migration->[1]");
		ok(!$status, $migration->[0]) or diag($err);
	}
	return;
}

subtest 'a physical standby' => sub {
	my $database = new_database('shop');
	is((in_database($database, $setup))[0], 0, 'the primary');
	$primary->backup('base');
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($primary, 'base', has_streaming => 1);
	$standby->start;

	my $mark = value($database, 'SELECT safemig_mark()');
	my @states = (state_of($database));
	foreach my $migration (@chain)
	{
		migrate($database, $migration);
		push @states, state_of($database);
	}
	my %looks = (
		'the migrations' => 'SELECT id, label, state, restorable, kept_bytes FROM safemig.migrations ORDER BY id',
		'what is kept' => q(SELECT format('SELECT %L, count(*) FROM %s', identity, substr(query, 15)) FROM safemig.kept WHERE query IS NOT NULL ORDER BY id \gexec),
		'a difference' => q(SELECT * FROM safemig_diff((SELECT id FROM safemig.migrations WHERE label = 'drop tail'))),
		'a plan' => q(SELECT step, object, lock_mode, cost, statement FROM safemig_plan((SELECT max(id) FROM safemig.migrations))),
		'a script' => q(SELECT safemig_script((SELECT max(id) FROM safemig.migrations))),
		'the state' => q(SELECT * FROM safemig_verify((SELECT max(id) FROM safemig.migrations))),
		'the history of a table' => q(SELECT migration, tag, what FROM safemig_history(to_regclass('pg_class'))),
		'the ledger' => 'SELECT * FROM safemig.ledger',
		'drift' => 'SELECT * FROM safemig.drift()',
		'the doctor' => 'SELECT item, status, detail FROM safemig_doctor()',
		'a plan\'s hash' => 'SELECT safemig_plan_hash((SELECT max(id) FROM safemig.migrations))',
		'what is in the way' => 'SELECT severity, object, problem FROM safemig_check((SELECT max(id) FROM safemig.migrations))',
	);
	my %differs = (
		# what only a primary can do
		'what is in the way' => "error|migration 11|cannot be rolled back here: the server is a standby",
	);
	my %seen = map { $_ => (in_database($database, $looks{$_}))[1] } keys %looks;
	$primary->wait_for_catchup($standby);

	SafemigTest::use_server($standby);
	foreach my $look (sort keys %looks)
	{
		my ($status, $out, $err) = in_database($database, $looks{$look});
		ok(!$status, "$look can be read") or diag($err);
		is($out, join("\n", grep { defined && length } $differs{$look}, $seen{$look}), '... and is that of the primary');
	}
	foreach my $call (q(safemig_rollback('drop the rest')), 'safemig_rollback_last()', "safemig_rollback_to($mark)",
		'safemig_rehearse((SELECT max(id) FROM safemig.migrations))', q(safemig_begin('x')),
		q(safemig_prune((SELECT max(id) FROM safemig.migrations))), q(safemig_baseline('b')), q(safemig_note(1, 'k', 'v')))
	{
		my ($status, $out, $err) = in_database($database, "\\set VERBOSITY verbose\nSELECT * FROM $call");
		like($err, qr/ERROR:  25006: cannot execute (safemig_\w+\(\) during recovery|(nextval\(\)|INSERT) in a read-only transaction)$/m, "refused: $call");
	}

	my ($status, $out, $err) = in_database($database, 'CREATE TABLE forbidden ()');
	like($err, qr/ERROR:  cannot execute CREATE TABLE in a read-only transaction/, 'and so is DDL, as PostgreSQL refuses it');

	$standby->promote;
	$primary->stop('fast');
	foreach my $i (reverse 1 .. $#chain)
	{
		my ($status, $out, $err) = in_database($database, "SELECT safemig_rollback('$chain[$i][0]')");
		ok(!$status, "rollback of $chain[$i][0]") or diag($err);
		is(SafemigOracle::difference($states[$i], state_of($database)), '', 'the state before it');
	}
	($status, $out, $err) = in_database($database, "SELECT safemig_rollback_to($mark)");
	ok(!$status, 'and of the first') or diag($err);
	is(SafemigOracle::difference($states[0], state_of($database)), '', 'the state of old');
	$standby->stop('fast');
	$primary->start;
	SafemigTest::use_server($primary);
};

# ---- logical replication ----

my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$subscriber->append_conf('postgresql.conf', "autovacuum = off\nwal_retrieve_retry_interval = 100ms\n");
$subscriber->start;

sub subscribes
{
	my ($database, $publications, $options) = @_;
	$subscriber->safe_psql($database, "CREATE SUBSCRIPTION $database CONNECTION 'host="
		  . $primary->host . ' port=' . $primary->port . " dbname=$database' PUBLICATION $publications " . ($options // ''));
	$subscriber->wait_for_subscription_sync($primary, $database, $database);
	return;
}

# Tables are whole there if they hold the same rows as here.
sub agrees
{
	my ($database, $what, @tables) = @_;
	$primary->wait_for_catchup($database);
	foreach my $table (@tables)
	{
		my $query = "SELECT * FROM $table ORDER BY id";
		is($subscriber->safe_psql($database, $query), value($database, $query), "$what: $table is the same there");
	}
	return;
}

my $tables = <<'SQL';
CREATE SCHEMA s;
CREATE TABLE a (id int PRIMARY KEY, v text);
CREATE TABLE s.b (id int PRIMARY KEY, v text);
CREATE TABLE c (id int PRIMARY KEY, v text);
SQL
my $rows = join '', map { "INSERT INTO $_ SELECT i, 'v' || i FROM generate_series(1, 10) i;" } qw(a s.b c);

subtest 'FOR TABLE and FOR TABLES IN SCHEMA' => sub {
	my $database = new_database('published');
	is((in_database($database, "$tables $rows CREATE PUBLICATION named FOR TABLE a (id, v) WHERE (id > 0), c; CREATE PUBLICATION whole FOR TABLES IN SCHEMA s"))[0], 0, 'the publisher');
	$subscriber->safe_psql('postgres', "CREATE DATABASE $database");
	$subscriber->safe_psql($database, $tables);
	subscribes($database, 'named, whole');
	agrees($database, 'at first', qw(a s.b c));

	my $members = q(SELECT string_agg(format('%s %I.%I', pubname, schemaname, tablename), ', ' ORDER BY pubname, schemaname, tablename) FROM pg_publication_tables);
	my $before = state_of($database);
	migrate($database, [ drop => 'DROP TABLE a; DROP TABLE s.b' ]);
	is(value($database, $members), 'named public.c', 'dropped tables leave their publications, and the vault is in none');
	is(value($database, q(SELECT status FROM safemig_doctor() WHERE item = 'publications')), 'ok', 'as the doctor says');
	must($database, q(INSERT INTO c VALUES (11, 'later')));
	agrees($database, 'meanwhile', 'c');
	is($subscriber->safe_psql($database, 'SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM s.b)'), '10|10', 'what was dropped stays there');
	must($database, 'DELETE FROM c WHERE id = 11');

	# one that has noticed, and then follows again
	$subscriber->safe_psql($database, "ALTER SUBSCRIPTION $database REFRESH PUBLICATION");
	like((in_database($database, q(SELECT safemig_rollback('drop'))))[2], qr/verified/, 'the rollback');
	is(SafemigOracle::difference($before, state_of($database)), '', 'the state before it');
	is(value($database, $members), 'named public.a, named public.c, whole s.b', 'they return');
	$subscriber->safe_psql($database, "ALTER SUBSCRIPTION $database REFRESH PUBLICATION WITH (copy_data = false)");
	$subscriber->wait_for_subscription_sync($primary, $database, $database);
	must($database, q(INSERT INTO a VALUES (12, 'again'); UPDATE s.b SET v = 'again' WHERE id = 3; DELETE FROM a WHERE id = 1));
	agrees($database, 'after REFRESH PUBLICATION', qw(a s.b c));

	# columns and rows: what a rollback writes is replicated like anything
	migrate($database, [ write => q(BEGIN; UPDATE a SET v = 'x' WHERE id < 6; DELETE FROM s.b WHERE id > 6; INSERT INTO c VALUES (13, 'x'); COMMIT) ],
		[ column => 'ALTER TABLE c DROP COLUMN v' ]);
	must($database, 'UPDATE c SET id = 14 WHERE id = 2');
	must($database, 'UPDATE c SET id = 2 WHERE id = 14');
	agrees($database, 'after writes', qw(a s.b));
	like((in_database($database, q(SELECT safemig_rollback('column'); SELECT safemig_rollback('write'))))[2], qr/verified/, 'taken back');
	agrees($database, 'after their rollback', qw(a s.b c));
};

# Before 19 nothing can be left out of such a publication.
subtest 'FOR ALL TABLES' => sub {
	my $database = new_database('everything');
	must($database, 'DROP EXTENSION safemig');
	is((in_database($database, "$tables $rows CREATE PUBLICATION everything FOR ALL TABLES"))[0], 0, 'the publisher');
	$subscriber->safe_psql('postgres', "CREATE DATABASE $database");
	$subscriber->safe_psql($database, $tables);
	subscribes($database, 'everything');
	my ($status, $out, $err) = in_database($database, 'CREATE EXTENSION safemig');
	like($err, qr/WARNING:  the tables of safemig are published by everything.*\n.*\nHINT:  CREATE EXTENSION safemig on the subscribers/, 'who makes the extension is told');
	$subscriber->safe_psql($database, 'CREATE EXTENSION safemig');

	is(value($database, q(SELECT status, detail FROM safemig_doctor() WHERE item = 'publications')),
		'warning|everything publishes all tables, the history and kept rows with them', 'so does the doctor');
	my @states = (state_of($database));
	my @migrations = (
		[ write => q(BEGIN; UPDATE a SET v = 'x' WHERE id < 6; DELETE FROM s.b WHERE id > 6; INSERT INTO c VALUES (13, 'x'); COMMIT) ],
		[ convert => 'ALTER TABLE s.b ALTER id TYPE bigint, ALTER v TYPE char(2)' ],
		[ column => 'ALTER TABLE c DROP COLUMN v' ],
		[ drop => 'DROP TABLE a' ]);
	foreach my $migration (@migrations)
	{
		migrate($database, $migration);
		push @states, state_of($database);
	}
	must($database, 'INSERT INTO c VALUES (20)');
	like(value($database, q(SELECT severity, object, problem FROM safemig_check((SELECT max(id) FROM safemig.migrations)))),
		qr/^info\|publication everything\|publishes all tables: the history/m, 'and the check');
	agrees($database, 'with all that is kept', 's.b');
	is($subscriber->safe_psql($database, 'SELECT max(id) FROM c'), 20, '... and c goes on');
	must($database, 'DELETE FROM c WHERE id = 20');
	foreach my $i (reverse 0 .. $#migrations)
	{
		($status, $out, $err) = in_database($database, "SELECT safemig_rollback('$migrations[$i][0]')");
		ok(!$status, "rolled back: $migrations[$i][0]") or diag($err);
		is(SafemigOracle::difference($states[$i], state_of($database)), '', 'the state before it');
	}
	agrees($database, 'rolled back', qw(a s.b c));
	foreach my $i (0 .. $#migrations)
	{
		($status, $out, $err) = in_database($database, "SELECT safemig_redo(id) FROM safemig.migrations WHERE label = '$migrations[$i][0]' AND kind = 'migration'");
		ok(!$status, "redone: $migrations[$i][0]") or diag($err);
	}
	is(SafemigOracle::difference($states[-1], state_of($database)), '', 'the state after all');
	is((in_database($database, 'SELECT safemig_rollback_to(0)'))[0], 0, 'all at once');
	agrees($database, 'at last', qw(a s.b c));

	is(value($database, q(SELECT string_agg(c.oid::regclass::text, ', ') FROM pg_class c WHERE relnamespace = 'safemig'::regnamespace AND relkind = 'r'
		AND relreplident = 'd' AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary))), '', 'PostgreSQL lets rows of each table of the history be updated');

	# on purpose not
	foreach my $sql ('DROP TABLE a', 'ALTER TABLE c DROP COLUMN v', 'ALTER TABLE c ALTER v TYPE char(2)', 'TRUNCATE a', q(BEGIN; SET LOCAL safemig.label = 'r'; UPDATE a SET v = 'y'; COMMIT))
	{
		($status, $out, $err) = in_database($database, "SET safemig.on_published = refuse; $sql");
		like($err, qr/ERROR:  what is to be kept of .* would be published by publication "everything"/, "refused: $sql");
	}
	is(SafemigOracle::difference($states[0], state_of($database)), '', 'which changes nothing');
	($status, $out, $err) = in_database($database, q(SET safemig.on_published = refuse; SET safemig.label = 'index'; CREATE INDEX ON a (v); SELECT safemig_rollback('index')));
	ok(!$status, 'what keeps nothing runs, and is taken back') or diag($err);
};

done_testing();
