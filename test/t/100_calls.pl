
# Copyright (c) 2026, the safemig authors

# Random arguments, good and bad, for every function of the extension.
# pg_regress cannot show it: nobody has thought of these calls.
#
# A call succeeds, or is refused with an SQLSTATE that says why: never with an
# internal error, and never by ending the session or the server.  What only the
# extension itself may call is called by a superuser, and taken back.
#
# SAFEMIG_SEED=n begins with call n, SAFEMIG_CALLS=n makes so many;
# SAFEMIG_TABLE=file gets the table of doc/reliability.md.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use SafemigOracle ();
use SafemigSession ();
use SafemigTest;
use Test::More;

plan skip_all => 'there is nothing to call without safemig' if bare();

my $calls = $ENV{SAFEMIG_CALLS} // 300;
my $seed = $ENV{SAFEMIG_SEED} // 1;
my %count = (succeeded => 0, refused => 0);
my %states;
my @wrong;

start_server('calls', conf => "fsync = off\nsession_preload_libraries = 'safemig'\nmax_worker_processes = 12");
must('postgres', 'CREATE ROLE keeper LOGIN');
must('postgres', 'CREATE ROLE stranger LOGIN');
my $database = new_database('calls');
must($database, 'GRANT EXECUTE ON FUNCTION safemig_administer() TO keeper');

# Who calls.  Each may be killed, and comes again; what only the extension may
# call is left to the superuser.
my %session;
my %functions = (superuser => functions('safemig_last()'));
$functions{$_} = functions('safemig_last()', $_) foreach qw(keeper stranger);

my @words = ('', 'label', 'a', 'refuse', 'keep', 'restore', 'ddl', 'x y', '%s%n%d', q('; DROP TABLE t; --), '"', '\\', "\n",
	"\x{1}", 'public', 'public.t', 't', 'v', 'a_check', 't_pkey', 'no such thing', 'pg_class', 'pg_catalog.pg_class', 'safemig.migration_log',
	'int', 'text[]', 'public.mood', 'sad', 'alice', 'stranger', 'superuser', 'table', 'markdown', 'html', '1', '-1', '99999999999999999999',
	"\xc3\xa9\xe8\xa1\xa8", 'x' x 100, 'x' x 9000, 'NULL', 'off', 'warn', 'block', 'flyway', '{}', '{a,b}', '=r/postgres', '{postgres=arwdDxt/postgres}');
my @scripts = ('SELECT true', 'SELECT false', 'SELECT NULL::bool', 'SELECT 1', 'SELECT true FROM t', 'SELECT 1/0', 'SELECT', ';;', 'COMMIT', 'BEGIN; ROLLBACK',
	'DROP TABLE t', 'ALTER TABLE t ADD COLUMN more int', 'ALTER TABLE no_table ADD COLUMN more int', 'CREATE INDEX CONCURRENTLY ON t (b)',
	'ALTER TABLE t ALTER a TYPE text; DROP VIEW v', 'DELETE FROM t', 'UPDATE t SET b = 1', 'TRUNCATE t', 'VACUUM t', 'SELECT safemig_rollback(1)',
	'DO $$ BEGIN RAISE EXCEPTION $a$no$a$; END $$', 'CREATE VIEW w AS SELECT * FROM t', 'DROP SCHEMA public CASCADE', 'SET ROLE alice', 'CREATE TABLE (');
my @numbers = (0, 1, 2, 3, 5, 8, 20, -1, -9, 999_999, 2_147_483_647, -2_147_483_648);
my %pool = (
	bigint => [ @numbers, '9223372036854775807', '(-9223372036854775808)' ],
	integer => [ 0 .. 4, -1, 100, 2_147_483_647, '(-2147483648)' ],
	smallint => [ 0, 1, -1, 32_767 ],
	boolean => [qw(true false)],
	text => [ map { literal($_) } @words, @scripts ],
	interval => [ map { "interval '$_'" } '0', '1 second', '-1 day', '10 milliseconds', '1 hour', '170000000 years', '-170000000 years', '1 month' ],
	'timestamp with time zone' => [ 'now()', "'infinity'", "'-infinity'", "'2000-01-01'", "'294276-12-31'", "now() + interval '1 hour'" ],
	regclass => [ "'t'::regclass", "'v'::regclass", "'t_pkey'::regclass", "'pg_class'::regclass", '0::regclass', '4000000000::oid::regclass' ],
	oid => [ '0', "'t'::regclass::oid", "'pg_class'::regclass::oid", '4294967295' ],
	tid => [ "'(0,1)'", "'(0,0)'", "'(4294967295,65535)'" ],
	anyelement => [ '1', "'x'::text", 'NULL::numeric', "'{1,2}'::int[]", 'now()', 'ROW(1)' ]);

srand $seed;
foreach my $number ($seed .. $seed + $calls - 1)
{
	srand $number;
	furnish() if $number % 100 == 1 || $number == $seed;
	one_call($number);
}
$_->close foreach values %session;

ok(!@wrong, 'every call succeeds, or is refused with its reason') or diag(join "\n", @wrong);
cmp_ok($count{succeeded}, '>', 0, 'some succeed');
cmp_ok($count{refused}, '>', 0, 'others are refused');
is(scalar(grep { /was terminated by signal|TRAP:|PANIC:/ } split /\n/, slurp_file(server()->logfile)), 0, 'the server lives');
must($database, 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()');
my $state = state_of($database);
must($database, "SET safemig.label = 'at last';\nCREATE TABLE at_last (a int);\nDROP TABLE IF EXISTS t CASCADE;\nSELECT safemig_rollback('at last')");
is(SafemigOracle::difference($state, state_of($database)), '', 'and still takes back what is asked for');
diag(join ', ', map { "$count{$_} $_" } sort keys %count);
diag(join ', ', map { "$_ $states{$_}" } sort { $states{$b} <=> $states{$a} } keys %states);
write_table();
done_testing();

sub literal
{
	my ($text) = @_;
	my $quoted = $text =~ s/'/''/gr;
	return $quoted =~ s/\\/\\\\/g ? "E'$quoted'" : "'$quoted'";
}

# What the extension has, or lets this role call: name, types of arguments, how
# many have no default, whether the last is VARIADIC, for whom it is.
sub functions
{
	my ($but, $role) = @_;
	my $mine = defined $role ? "has_function_privilege('$role', p.oid, 'EXECUTE')" : 'true';
	my $rows = must($database, <<"SQL");
SELECT p.oid::regprocedure::text, p.oid::regproc::text,
	(SELECT string_agg(format_type(t, NULL), ';' ORDER BY n) FROM unnest(proargtypes) WITH ORDINALITY a (t, n)),
	pronargs - pronargdefaults, provariadic <> 0, has_function_privilege('stranger', p.oid, 'EXECUTE')
FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND deptype = 'e'
JOIN pg_extension e ON e.oid = refobjid AND d.refclassid = 'pg_extension'::regclass AND extname = 'safemig'
WHERE prorettype NOT IN ('event_trigger'::regtype, 'trigger'::regtype) AND $mine ORDER BY 1
SQL
	return [ map { { signature => $_->[0], name => $_->[1], types => [ split /;/, $_->[2] ], needed => $_->[3],
				variadic => $_->[4] eq 't', open => $_->[5] eq 't' } }
		map { [ split /\|/, $_ ] } grep { !/^\Q$but\E/ } split /\n/, $rows ];
}

# Something to call them about: migrations of two roles, applied, taken back.
sub furnish
{
	my ($status, $out, $err) = in_database($database, <<'SQL');
SET client_min_messages = error;
-- a call may have taken back, or run, whatever there was
CREATE SCHEMA IF NOT EXISTS public;
GRANT CREATE ON SCHEMA public TO keeper;
CREATE SCHEMA IF NOT EXISTS strangers AUTHORIZATION stranger;
DROP TABLE IF EXISTS t CASCADE;
DROP TYPE IF EXISTS mood CASCADE;
SET safemig.label = 'label';
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE t (a int PRIMARY KEY CONSTRAINT a_check CHECK (a > 0), b int, c text, m mood DEFAULT 'ok');
INSERT INTO t SELECT i, i, 'c' || i FROM generate_series(1, 20) i;
CREATE VIEW v AS SELECT a, b FROM t;
SET safemig.label = 'a';
ALTER TABLE t DROP COLUMN c;
SELECT safemig_rollback(safemig_last());
ALTER TABLE t ALTER b SET NOT NULL;
SET ROLE stranger;
SET safemig.label = 'x y';
CREATE TABLE IF NOT EXISTS strangers.s (a int);
ALTER TABLE strangers.s ADD COLUMN IF NOT EXISTS b int;
SQL
	push @wrong, "there is nothing to call about: $err" if $status;
	return;
}

sub argument
{
	my ($type) = @_;
	return 'NULL' if rand() < 0.1;
	if ($type =~ /^(.*)\[\]$/)
	{
		my $element = $1;
		return "'{}'" if rand() < 0.1;
		return 'ARRAY[' . join(', ', map { argument($element) } 0 .. rand 3) . "]::$type";
	}
	# those that exist, more often than not
	return '(SELECT id FROM safemig.migrations ORDER BY random() LIMIT 1)' if $type eq 'bigint' && rand() < 0.6;
	my $values = $pool{$type} // [];
	return @$values ? $values->[ rand @$values ] . ($type eq 'anyelement' ? '' : "::$type") : "NULL::$type";
}

sub one_call
{
	my ($number) = @_;
	my $who = (qw(superuser keeper stranger))[ rand 3 ];
	my $function = $functions{$who}[ rand @{ $functions{$who} } ];
	my @types = @{ $function->{types} };
	$#types = $function->{needed} + int(rand(@types - $function->{needed} + 1)) - 1
	  if @types > $function->{needed};
	my @arguments = map { argument($_) } @types;
	$arguments[-1] = "VARIADIC $arguments[-1]" if $function->{variadic} && @arguments == @{ $function->{types} };
	my $call = "SELECT * FROM $function->{name}(" . join(', ', @arguments) . ')';
	# as the only statement of its transaction, or among others; what only
	# the extension may call is not for keeps
	my $kept = $function->{open} && rand() < 0.5;
	my $text = $kept ? $call : rand() < 0.5 ? "BEGIN; $call; ROLLBACK" : "BEGIN; CREATE TABLE own_$number (a int); SAVEPOINT s; $call; ROLLBACK";
	$session{$who} //= SafemigSession->new(connection_to($database),
		"SET client_min_messages = error;\nSET statement_timeout = '20s';\nSET safemig.lock_timeout = '200ms'"
		  . ($who eq 'superuser' ? '' : ";\nSET ROLE $who"));
	my ($output, $error) = $session{$who}->run($text);
	$session{$who}->run('ROLLBACK; RESET safemig.label; ' . ($who eq 'superuser' ? 'RESET ROLE' : "SET ROLE $who"))
	  unless defined $error && $error =~ /^(?:crash|timeout)/;
	if (!defined $error)
	{
		$count{succeeded}++;
		return;
	}
	my ($state) = $error =~ /^([0-9A-Z]{5}): \S/;
	$count{refused}++;
	$states{ $state // 'none' }++;
	return if defined $state && $state !~ /^XX/;
	push @wrong, "call $number, $who: $text: $error";
	return unless $error =~ /^(?:crash|timeout)/;
	# everybody begins again, once the server is back
	%session = ();
	in_database($database, 'SELECT 1');
	return;
}

sub write_table
{
	return unless $ENV{SAFEMIG_TABLE};
	my @rows = (
		[ 'PostgreSQL', value($database, "SELECT split_part(current_setting('server_version'), ' ', 1)") ],
		[ 'functions', scalar @{ $functions{superuser} } ],
		[ 'of them for anybody', scalar @{ $functions{stranger} } ],
		[ 'calls', $calls ],
		[ 'that succeeded', $count{succeeded} ],
		[ 'that were refused', $count{refused} ],
		[ 'with as many SQLSTATEs', scalar keys %states ],
		[ 'internal errors, lost sessions, crashes', scalar @wrong ],
		[ 'seed', $seed ]);
	append_to_file($ENV{SAFEMIG_TABLE}, join '', "| what | how many |\n|---|---|\n", map { "| $_->[0] | $_->[1] |\n" } @rows);
	return;
}
