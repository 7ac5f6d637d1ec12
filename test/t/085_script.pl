
# Copyright (c) 2026, the safemig authors

# The file that safemig_script makes: run by psql it does what safemig_rollback
# does, on the database it was made in, and on a copy if told so.  pg_regress
# cannot show it: it takes psql with a file, two databases and pg_dump.

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

my $server = start_server('script');
my @connection = ('-h', $server->host, '-p', $server->port);
my $tempdir = PostgreSQL::Test::Utils::tempdir();
my $number = 0;

# name, setup, migration; unlike: what the file must not say in plain SQL;
# like: what it must say
my @cases = (
	{
		name => 'a bit of everything',
		setup => <<'SQL',
CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO alice;
CREATE TYPE app.mood AS ENUM ('sad', 'ok');
CREATE TABLE app.customers (id int PRIMARY KEY, name text NOT NULL, m app.mood DEFAULT 'ok');
CREATE TABLE app.orders (id serial PRIMARY KEY, customer int NOT NULL REFERENCES app.customers, total numeric CHECK (total > 0), tail int DEFAULT 7);
CREATE INDEX orders_total ON app.orders (total);
CREATE VIEW app.v AS SELECT customer, sum(total) FROM app.orders GROUP BY 1;
CREATE FUNCTION app.f(a int) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN $1 || E'\n:a'; END $$;
CREATE TRIGGER tr BEFORE UPDATE ON app.orders FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
INSERT INTO app.customers SELECT i, 'c' || i FROM generate_series(1, 20) i;
INSERT INTO app.orders (customer, total, tail) SELECT i, i * 1.25, i FROM generate_series(1, 20) i;
GRANT SELECT ON app.orders TO bob;
COMMENT ON COLUMN app.orders.total IS E'a:b \\ c\nd';
ALTER TABLE app.orders OWNER TO alice;
SQL
		migration => <<'SQL',
DROP TABLE app.customers CASCADE;
DROP VIEW app.v;
ALTER TABLE app.orders ALTER total TYPE int;
ALTER TABLE app.orders DROP COLUMN tail;
DROP FUNCTION app.f(int);
DROP TRIGGER tr ON app.orders;
COMMENT ON COLUMN app.orders.total IS 'x';
CREATE TABLE app.new (a int);
REVOKE SELECT ON app.orders FROM bob;
SQL
		like => [ qr/^SELECT safemig\.script_run\(\d+, \$safemig\$CREATE (OR REPLACE )?VIEW /m,
			qr/^SELECT safemig\.script_run\(\d+, \$safemig\$SELECT safemig\.restore_relation\(/m,
			qr/^DROP TABLE app\.new;$/m, qr/^SET LOCAL lock_timeout = 5000;$/m ],
	},
	{
		name => 'names that mean something to psql',
		setup => <<'SQL',
CREATE SCHEMA "a:b";
CREATE TABLE "a:b"."t:safemig_copy" ("x:y" int DEFAULT 1, "\! ls" text DEFAULT E'\\q', c interval DEFAULT '1 day 12:30:00');
CREATE INDEX "i
-- \q" ON "a:b"."t:safemig_copy" ("x:y");
SQL
		migration => <<'SQL',
ALTER TABLE "a:b"."t:safemig_copy" ALTER "x:y" SET DEFAULT 2, ALTER "\! ls" DROP DEFAULT, ALTER c DROP DEFAULT;
DROP INDEX "a:b"."i
-- \q";
ALTER SCHEMA "a:b" RENAME TO c;
SQL
		label => "line\n\\! touch $tempdir/touched\nDROP SCHEMA c CASCADE; --",
	},
);

sub run_script
{
	my ($database, $file, @arguments) = @_;
	return in_database($database, undef, file => $file, arguments => \@arguments);
}

sub script_of
{
	my ($database, $id) = @_;
	my $file = "$tempdir/" . ++$number . '.sql';
	my $text = value($database, "SELECT safemig_script($id)");
	append_to_file($file, "$text\n");
	return ($file, $text);
}

sub copy_of
{
	my ($database) = @_;
	my $copy = new_database("${database}_copy", 'template0');
	command_ok([ 'pg_dump', @connection, '-f', "$tempdir/$copy", $database ], 'pg_dump');
	command_ok([ 'psql', '-XqAt', @connection, '-v', 'ON_ERROR_STOP=1', '-f', "$tempdir/$copy", $copy ], 'psql');
	return $copy;
}

sub succeeds
{
	my ($what, $status, $out, $err) = @_;
	ok(!$status, $what) or diag($err);
	return;
}

sub refused
{
	my ($what, $pattern, $status, $out, $err) = @_;
	ok($status, $what);
	like($err, $pattern, 'for the right reason');
	return;
}

foreach my $case (@cases)
{
	next if defined $ENV{SAFEMIG_CASE} && $case->{name} !~ /$ENV{SAFEMIG_CASE}/;
	subtest $case->{name} => sub {
		my $database = new_database("script_$number");
		succeeds('setup', in_database($database, $case->{setup}));
		my $before = state_of($database);
		my $label = ($case->{label} // 'the case') =~ s/'/''/gr;
		succeeds('the migration', in_database($database, "SET safemig.label = '$label'; $case->{migration}"));
		my $after = state_of($database);
		my $id = value($database, 'SELECT safemig_mark()');
		my ($file, $text) = script_of($database, $id);
		like($text, $_, 'the file says it') foreach @{ $case->{like} // [] };

		my $copy = copy_of($database);
		refused('on a copy, not told so', qr/made for another database/, run_script($copy, $file));
		is(state_of($copy), $after, 'nothing has happened');
		refused('the original taken for a copy', qr/this is not a copy/,
			run_script($database, $file, '-v', 'safemig_copy=on'));
		is(state_of($database), $after, 'nothing has happened');

		succeeds('on a copy', run_script($copy, $file, '-v', 'safemig_copy=on'));
		is(state_of($copy), $before, 'the state before the migration');
		succeeds('on the original', run_script($database, $file));
		is(state_of($database), $before, 'the state before the migration');
		is(value($database, "SELECT state, rolled_back_by FROM safemig.migrations WHERE id = $id"),
			'rolled_back|' . ($id + 1), 'recorded as the rollback');
		is(value($database, 'SELECT count(*) FROM safemig.migrations WHERE id > ' . $id), 1, 'and nothing else');
		refused('a second time', qr/rolled back already/, run_script($database, $file));

		succeeds('redo', in_database($database, "SELECT safemig_redo($id)"));
		is(state_of($database), $after, 'the state after the migration');
		succeeds('and back', in_database($database, "SELECT safemig_rollback($id)"));
		is(state_of($database), $before, 'the state before the migration');
		ok(!-e "$tempdir/touched", 'a label is no command');
	};
}

subtest 'what it refuses' => sub {
	my $database = new_database('refusals');
	succeeds('setup', in_database($database, <<'SQL'));
CREATE TABLE t (id int PRIMARY KEY, v numeric DEFAULT 1);
ALTER TABLE t OWNER TO alice;
INSERT INTO t VALUES (1, 1.5);
SET safemig.label = 'lossy';
ALTER TABLE t ALTER v TYPE int;
SQL
	my $id = value($database, 'SELECT safemig_mark()');
	my $state = state_of($database);
	my ($file, $text) = script_of($database, $id);
	my $changed = sub {
		my ($what, $pattern, $new, @options) = @_;
		isnt($new, $text, "$what: it is another script");
		refused($what, $pattern, in_database($database, $new, @options));
		is(state_of($database), $state, 'nothing has happened');
	};

	$changed->('a step left out', qr/step \d+ is out of order/,
		$text =~ s/^SELECT safemig\.script_run\(.*?\$safemig\$\);\n//msr);
	$changed->('all steps left out', qr/step \d+ has not been run/,
		$text =~ s/^SELECT safemig\.script_run\(.*?\$safemig\$\);\n//msgr);
	$changed->('a step changed', qr/not step \d+ of the plan/,
		$text =~ s/(script_run\(\d+, \$safemig\$)/$1DROP TABLE t; /r);
	$changed->('a step twice', qr/out of order/,
		$text =~ s/^(SELECT safemig\.script_run\(.*?\$safemig\$\);\n)/$1$1/msr);
	$changed->('no end', qr/has not come to its end/,
		$text =~ s/^SELECT safemig\.script_end.*\n//mr);
	$changed->('no transaction', qr/can only be used in transaction blocks/,
		$text =~ s/^BEGIN;\n//mr);
	$changed->('something more', qr/did not lead to the recorded state/,
		$text =~ s/^(SELECT safemig\.script_end)/ALTER TABLE public.t ADD extra int;\n$1/mr);
	$changed->('a rollback within', qr/under way in this transaction already/,
		$text =~ s/^(SELECT safemig\.script_end)/SELECT safemig_rollback($id);\n$1/mr);
	$changed->('an owner who is no superuser', qr/permission denied for function script_begin/,
		"SET SESSION AUTHORIZATION alice;\n$text");
	refused('a step by itself', qr/no script of a rollback is under way/,
		in_database($database, q(SELECT safemig.script_run(1, 'DROP TABLE t'))));

	like(value($database, "SET SESSION AUTHORIZATION alice; SELECT safemig_script($id)"),
		qr/script_end/, 'the owner of all may read it');
	refused('somebody else', qr/must be owner of table public\.t/,
		in_database($database, "SET ROLE bob; SELECT safemig_script($id)"));
	refused('no such migration', qr/does not exist/, in_database($database, 'SELECT safemig_script(0)'));

	succeeds('another state', in_database($database, "COMMENT ON TABLE t IS 'new'"));
	refused('a stale script', qr/plan is stale|later migration/, run_script($database, $file));
	refused('no script of what cannot be', qr/later migration/, in_database($database, "SELECT safemig_script($id)"));
};

done_testing();
