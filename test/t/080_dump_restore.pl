
# Copyright (c) 2026, the safemig authors

# A database with history and vault is dumped and restored elsewhere: the
# restore is not taken for a migration, and the old migrations can be rolled
# back there.  pg_regress cannot show it: it takes two databases and pg_dump.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use SafemigTest;
use Test::More;

if (bare())
{
	plan skip_all => 'says nothing without safemig';
}

my $server = start_server('dump_restore');

my $setup = <<'SQL';
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('sad', 'ok');
CREATE TABLE app.orders (id serial PRIMARY KEY, gone int, customer text NOT NULL, m app.mood DEFAULT 'ok', total numeric CHECK (total > 0), tail int);
ALTER TABLE app.orders DROP COLUMN gone;
CREATE TABLE app.items (id int PRIMARY KEY, order_id int REFERENCES app.orders, what text);
CREATE VIEW app.v AS SELECT id, customer FROM app.orders;
INSERT INTO app.orders (customer, total) SELECT 'c' || i, i * 1.25 FROM generate_series(1, 20) i;
INSERT INTO app.items SELECT i, i, 'w' FROM generate_series(1, 20) i;
GRANT SELECT ON app.orders TO bob;
SQL

my @chain = (
	[ 'drop items' => 'DROP TABLE app.items' ],
	[ 'lose precision' => 'ALTER TABLE app.orders ALTER total TYPE int' ],
	[ 'drop tail' => 'ALTER TABLE app.orders DROP COLUMN tail' ],
	[ 'rename' => 'ALTER TABLE app.orders RENAME TO sales' ],
	[ 'drop the rest' => 'DROP TABLE app.sales CASCADE; DROP TYPE app.mood' ],
);

my $source = new_database('source');
is((in_database($source, $setup))[0], 0, 'the source');
my $mark = value($source, 'SELECT safemig_mark()');
my @states = (state_of($source));
my @rows = (rows_of($source));
foreach my $migration (@chain)
{
	my ($status, $out, $err) = in_database($source, "SET safemig.label = '$migration->[0]'; $migration->[1]");
	ok(!$status, $migration->[0]) or diag($err);
	push @states, state_of($source);
	push @rows, rows_of($source);
}
my $history = 'SELECT id, kind, label, state FROM safemig.migrations ORDER BY id';
my $recorded = value($source, $history);

my @connection = ('-h', $server->host, '-p', $server->port);
my $tempdir = PostgreSQL::Test::Utils::tempdir();

my %restores = (
	'pg_dump -Fc' => sub {
		command_ok([ 'pg_dump', @connection, '-Fc', '-f', "$tempdir/c", $source ], 'pg_dump -Fc');
		command_ok([ 'pg_restore', @connection, '--exit-on-error', '-d', $_[0], "$tempdir/c" ], 'pg_restore');
	},
	'pg_dump -Fc, pg_restore -1' => sub {
		command_ok([ 'pg_restore', @connection, '-1', '-d', $_[0], "$tempdir/c" ], 'pg_restore -1');
	},
	'pg_dump plain' => sub {
		command_ok([ 'pg_dump', @connection, '-f', "$tempdir/p", $source ], 'pg_dump');
		command_ok([ 'psql', '-XqAt', @connection, '-v', 'ON_ERROR_STOP=1', '-f', "$tempdir/p", $_[0] ], 'psql');
	},
	'pg_dump -Fd -j 2' => sub {
		command_ok([ 'pg_dump', @connection, '-Fd', '-j', '2', '-f', "$tempdir/d", $source ], 'pg_dump -Fd');
		command_ok([ 'pg_restore', @connection, '--exit-on-error', '-j', '2', '-d', $_[0], "$tempdir/d" ], 'pg_restore -j');
	},
	'CREATE DATABASE ... TEMPLATE' => undef,
);

my $n = 0;
foreach my $how (sort keys %restores)
{
	subtest $how => sub {
		my $copy = 'copy_' . ++$n;
		new_database($copy, defined $restores{$how} ? 'template0' : $source);
		$restores{$how}->($copy) if defined $restores{$how};
		is(value($copy, $history), $recorded, 'the same history, and no migration more');
		is(state_of($copy), $states[-1], 'the same database');
		foreach my $i (reverse 0 .. $#chain)
		{
			my ($status, $out, $err) = in_database($copy, "SELECT safemig_rollback('$chain[$i][0]')");
			ok(!$status, "rollback of $chain[$i][0]") or diag($err);

			# A column that was dropped before the dump has no slot after it:
			# it comes back as the last one.
			my ($want, $have) = map { without_order($_) } $states[$i], state_of($copy);
			is(SafemigOracle::difference($want, $have), '', 'the state before it');
			is(rows_of($copy), $rows[$i], 'and its rows');
		}
		my ($status, $out, $err) = in_database($copy, q(SET safemig.label = 'new'; CREATE TABLE app.fresh (a int); DROP TABLE app.items));
		ok(!$status, 'a migration of its own') or diag($err);
		($status, $out, $err) = in_database($copy, q(SELECT safemig_rollback('new')));
		ok(!$status, 'and its rollback') or diag($err);
	};
}

# In one transaction, all of them, in the restored database.
subtest 'the whole chain at once' => sub {
	my $copy = new_database('at_once', 'template0');
	command_ok([ 'pg_restore', @connection, '--exit-on-error', '-d', $copy, "$tempdir/c" ], 'pg_restore');
	my ($status, $out, $err) = in_database($copy, "SELECT safemig_rollback_to($mark)");
	ok(!$status, 'rollback_to') or diag($err);
	is(SafemigOracle::difference(map { without_order($_) } $states[0], state_of($copy)), '', 'the state of old');
};

# Leaves out where a column stands, and the dump with its order; the rows are
# told by the names of their columns.
sub without_order
{
	my ($state) = @_;
	my @lines = map { s/^(column \S+) \d+ /$1 /r } split /\n/, $state =~ s/^-- pg_dump\n.*//msr;
	return join "\n", sort(@lines), '';
}

sub rows_of
{
	my ($database) = @_;
	my $rows = value($database, <<'SQL');
SELECT format('SELECT %L, to_jsonb(t) FROM %s t', c.oid::regclass, c.oid::regclass)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND nspname !~ '^(pg_|safemig|information_schema)'
\gexec
SQL
	return join "\n", sort split /\n/, $rows // '';
}

done_testing();
