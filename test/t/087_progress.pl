
# Copyright (c) 2026, the safemig authors

# What others see of work that has not ended: safemig.progress.  pg_regress has
# one session.  Each case is held up where it is to be looked at: by a function
# of the user's that waits for a lock, or by a table that somebody else reads.
# Nothing is preloaded.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigSession;
use SafemigTest;
use Test::More;

if (bare())
{
	plan skip_all => 'says nothing without safemig';
}

start_server('progress');
my $database = new_database('progress');
must($database, <<'SQL');
ALTER ROLE alice LOGIN;
CREATE ROLE monitor IN ROLE pg_read_all_stats;
CREATE FUNCTION held(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN $1; END $$;
CREATE DOMAIN held_int AS int CHECK (held(VALUE) IS NOT NULL);
CREATE TYPE pair AS (a held_int, b int);
ALTER DOMAIN held_int OWNER TO alice;
SET SESSION AUTHORIZATION alice;
CREATE TABLE orders (id int PRIMARY KEY, note text, two pair);
INSERT INTO orders SELECT i, 'note', ROW(i, i)::pair FROM generate_series(1, 2000) i;
CREATE INDEX orders_held ON orders (held(id));
ALTER TABLE orders ADD CONSTRAINT held CHECK (held(id) = id);
SQL

my $alice = SafemigSession->new({ %{ connection_to($database) }, user => 'alice' },
	'SET safemig.notices = off; SET safemig.lock_timeout = 60000');
my $holder = SafemigSession->new(connection_to($database), 'SET safemig.enabled = off');
my $observer = SafemigSession->new(connection_to($database));

sub run_in
{
	my ($session, $sql) = @_;
	my ($output, $error) = $session->run($sql);
	die "$sql\n$error" if defined $error;
	chomp $output;
	return $output;
}

# What is shown once the session waits for what holds it up.
sub shown_when_held
{
	my ($role) = @_;
	foreach (1 .. 600)
	{
		last if run_in($observer, <<'SQL') eq 't';
SELECT count(*) > 0 FROM pg_stat_activity a JOIN pg_locks l USING (pid)
WHERE datname = current_database() AND usename = 'alice' AND NOT l.granted
SQL
		select undef, undef, undef, 0.1;
	}
	return run_in($observer, <<"SQL");
SET ROLE $role;
SELECT command, phase, object, done <= total, step BETWEEN 1 AND steps, since <= clock_timestamp() FROM safemig.progress;
RESET ROLE
SQL
}

my $newest = q{(SELECT max(id) FROM safemig.migrations WHERE kind = 'migration')};
my $hold_function = 'SELECT pg_advisory_lock(7)';
my $let_function = 'SELECT pg_advisory_unlock(7)';
my $hold_table = 'BEGIN; SELECT count(*) FROM orders';

# name; before, in alice's session; hold and let, in the other one; held: what
# alice then begins; shown to her
my @cases = (
	{
		name => 'a rollback that waits for a lock',
		before => 'ALTER TABLE orders DROP COLUMN note',
		hold => $hold_table, let => 'COMMIT',
		held => "SELECT safemig_rollback($newest)",
		shown => 'rollback|taking locks|public.orders|t||t',
	},
	{
		name => 'a redo that waits for a lock',
		hold => $hold_table, let => 'COMMIT',
		held => "SELECT safemig_redo($newest)",
		shown => 'redo|taking locks|public.orders|t||t',
	},
	{
		name => 'a step of a rollback',
		before => 'ALTER TABLE orders DROP CONSTRAINT held',
		hold => $hold_function, let => $let_function,
		held => "SELECT safemig_rollback($newest)",
		shown => 'rollback|running steps|public.orders|t|t|t',
	},
	{
		name => 'a rehearsal',
		before => 'ALTER TABLE orders DROP CONSTRAINT held',
		hold => $hold_function, let => $let_function,
		held => "SELECT count(*) FROM safemig_rehearse($newest, '10 min')",
		shown => 'rehearsal|running steps|public.orders|t|t|t',
	},
	{
		name => 'an index that is built by a rollback',
		before => 'DROP INDEX orders_held',
		hold => $hold_function, let => $let_function,
		held => "SELECT safemig_rollback($newest)",
		shown => 'rollback|building an index|public.orders|t||t',
		# it is PostgreSQL that shows it, and hides the rest too
		hidden => 'rollback|building an index||||',
	},
	{
		name => 'values with a domain inside, which are read anew',
		before => 'ALTER DOMAIN held_int DROP CONSTRAINT held_int_check',
		hold => $hold_function, let => $let_function,
		held => "SELECT safemig_rollback($newest)",
		shown => 'rollback|reading rows|public.orders|t|t|t',
	},
	{
		name => 'values that are kept',
		hold => $hold_function, let => $let_function,
		held => 'ALTER TABLE orders DROP COLUMN two',
		shown => 'keeping|copying rows|public.orders|t||t',
	},
	{
		name => 'a redo that keeps values, in one of its steps',
		before => "SELECT safemig_rollback($newest)",
		hold => $hold_function, let => $let_function,
		held => "SELECT safemig_redo($newest)",
		shown => 'redo|copying rows|public.orders|t|t|t',
	},
);

foreach my $case (@cases)
{
	run_in($alice, $case->{before}) if $case->{before};
	run_in($holder, $case->{hold});
	$alice->begin($case->{held});
	is(shown_when_held('alice'), $case->{shown}, $case->{name});
	my $hidden = $case->{hidden} // $case->{shown} =~ s/public\.orders//r;
	is(shown_when_held('bob'), $hidden, "$case->{name}: no names for others");
	is(shown_when_held('monitor'), $case->{shown}, "$case->{name}: but for who reads all statistics");
	run_in($holder, $case->{let});
	my (undef, $error) = $alice->answer;
	is($error, undef, "$case->{name}: comes to its end");
	is(run_in($observer, 'SELECT count(*) FROM safemig.progress'), 0, 'and nothing is shown any more');
}

# one that is cancelled
run_in($alice, "SELECT safemig_rollback($newest)");
run_in($holder, $hold_function);
$alice->begin('BEGIN; ALTER TABLE orders DROP COLUMN two');
isnt(shown_when_held('alice'), '', 'held up once more');
run_in($observer, q(SELECT pg_cancel_backend(pid) FROM safemig.progress));
my (undef, $error) = $alice->answer;
like($error, qr/canceling statement/, 'cancelled');
is(run_in($observer, 'SELECT count(*) FROM safemig.progress'), 0, 'nothing is shown in a failed transaction');

done_testing();
