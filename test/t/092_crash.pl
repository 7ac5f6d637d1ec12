
# Copyright (c) 2026, the safemig authors

# Nothing is half done: whatever is broken off, by an error, a cancel, the end
# of the session, kill -9 of the backend or of the server, leaves the database
# as it was before or as it is after, with a history that says so.
#
# Every point of src/point.h is made to fail, and at random moments backends
# are shot.  "make crash KILLS=1000" is the long run; SAFEMIG_KILLS is the
# number of kills, SAFEMIG_SEED what chance begins with.

use strict;
use warnings;
use FindBin;
use List::Util ();
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use SafemigCrash;
use SafemigTest;
use Test::More;
use Time::HiRes ();

plan skip_all => 'says nothing without safemig' if bare();

my $seed = $ENV{SAFEMIG_SEED} || time;
my $kills = $ENV{SAFEMIG_KILLS} // 6;
srand $seed;
note("seed $seed, $kills kills");

my $node = start_server('crash', conf => <<'CONF');
session_preload_libraries = 'safemig'
max_prepared_transactions = 5
log_statement = 'none'
CONF

# What is installed for use has no points.
{
	delete local $ENV{MAKEFLAGS};
	my $make = "make --no-print-directory -n -B PG_CONFIG=" . $node->config_data('--bindir') . '/pg_config src/state.o';
	unlike(qx($make), qr/SAFEMIG_POINTS/, 'no points where nobody asks for them');
	like(qx($make POINTS=1), qr/-DSAFEMIG_POINTS/, 'points where somebody does');
}

my ($status, $all) = in_database('safemig_template', 'SHOW safemig.points');
plan skip_all => 'built without points (make POINTS=1)' if $status;
my @points = $all =~ /^([a-z_.]+) \d+$/mg;

# ---- what is done ----

my $newest_rollback = $SafemigCrash::newest_rollback;
my $prune = 'SELECT safemig_prune(id) FROM safemig.migrations m WHERE EXISTS (SELECT FROM safemig.kept k WHERE k.migration = m.id AND k.state = \'kept\') ORDER BY id';
my $take_back = 'SELECT safemig_rollback_to(0)';

my @chains = (
	[ 'one transaction' => SafemigCrash::one_transaction() ],
	[ 'over several transactions' =>
		{ name => 'explicit migration', from => 'before', to => 'after', undo => $take_back, parts => [
			q[SELECT safemig_begin('long')],
			'ALTER TABLE app.orders DROP COLUMN flag',
			'UPDATE app.customers SET points = -1',
			'BEGIN; CREATE TABLE app.fresh (id int); INSERT INTO app.fresh VALUES (1); DROP TABLE app.items; COMMIT',
			'DROP INDEX app.tagged_tag_idx',
			'SELECT safemig_end()' ] },
		{ name => 'rollback of it', from => 'after', to => 'before', parts => [q[SELECT safemig_rollback('long')]] },
		{ name => 'script', from => 'before', to => 'scripted', parts => [
			q[SELECT safemig_run('script', 'CREATE TABLE app.made (a int); ALTER TABLE app.items ALTER COLUMN id TYPE text')] ] },
		{ name => 'its rollback', from => 'scripted', to => 'before', parts => [q[SELECT safemig_rollback('script')]] },
		{ name => 'prepared', from => 'before', to => 'prepared', parts => [
			q[BEGIN; SET LOCAL safemig.label = 'two phases'; DROP TABLE app.items; UPDATE app.customers SET points = 3; PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'] ] },
		{ name => 'rollback of what was prepared', from => 'prepared', to => 'before', parts => [q[SELECT safemig_rollback('two phases')]] },
		{ name => 'prune one by one', from => 'before', to => 'before', proof => $SafemigCrash::nothing_kept, parts => [$prune] },
	],
	[ 'concurrently' =>
		{ name => 'concurrently', from => 'before', to => 'after', undo => $take_back, loose => 1, parts => [
			q[SET safemig.label = 'conc'],
			'CREATE INDEX CONCURRENTLY by_note ON app.orders (note)',
			'DROP INDEX CONCURRENTLY app.tagged_tag_idx',
			'ALTER TABLE app.parts DETACH PARTITION app.parts_2 CONCURRENTLY',
			'REINDEX INDEX CONCURRENTLY app.items_lower_idx' ] },
		{ name => 'rollback of it', from => 'after', to => 'before', parts => [q[SELECT safemig_rollback('conc')]] },
	],
	[ 'rows and histories' =>
		{ name => 'snapshot', from => 'before', to => 'written', parts => [q[SELECT safemig_snapshot('snap', 'app.customers', 'app.log')]],
			after => q[UPDATE app.customers SET points = 9 WHERE id > 10; DELETE FROM app.log WHERE at > 20; INSERT INTO app.log VALUES (99, 'later')] },
		{ name => 'rollback to the snapshot', from => 'written', to => 'before', parts => [q[SELECT safemig_rollback('snap')]] },
		{ name => 'redo of that', from => 'before', to => 'written', parts => ["SELECT safemig_redo($newest_rollback)"] },
		{ name => 'once more to the snapshot', from => 'written', to => 'before', parts => [q[SELECT safemig_rollback('snap')]] },
		{ name => 'framework', from => 'before', to => 'framework', parts => [
			q[BEGIN; ALTER TABLE app.orders DROP COLUMN flag; INSERT INTO app.schema_migrations VALUES ('0001_flag.rb'); COMMIT] ] },
		{ name => 'rollback of a framework\'s', from => 'framework', to => 'before', parts => [q[SELECT safemig_rollback('0001_flag.rb')]] },
		{ name => 'migration whose row comes later', from => 'before', to => 'two', undo => $take_back, parts => [
			'DROP TABLE app.items', 'DROP TABLE app.log' ],
			after => q[INSERT INTO app._yoyo_migration VALUES ('h', '0001.two', '2026-01-01')] },
		{ name => 'adoption and rollback', from => 'two', to => 'before', parts => [q[SELECT safemig_rollback('0001.two')]] },
	],
	[ 'outside of transactions' =>
		{ name => 'outside', from => 'before', to => 'before', undo => 'DROP DATABASE IF EXISTS outside', parts => [ 'CREATE DATABASE outside', 'DROP DATABASE outside' ] },
	]);

# ---- faults ----

my @crashes;
foreach my $chain (@chains)
{
	my ($name, @acts) = @$chain;
	my $database = new_database($name =~ s/\W/_/gr);
	must($database, SafemigCrash::setup());
	push @crashes, SafemigCrash->new(name => $name, database => $database, chain => \@acts);
	$crashes[-1]->learn;
}

# Acts that pass a point.
my %passed_by;
foreach my $crash (@crashes)
{
	foreach my $act (@{ $crash->{chain} })
	{
		push @{ $passed_by{$_} }, [ $crash, $act ] foreach grep { $act->{points}{$_} > 0 } @points;
	}
}
is(join(' ', grep { !$passed_by{$_} } @points), '', 'every point is passed by something that is done here');

sub any { return $_[ int rand @_ ] }

# The short run takes what is quickly done.
my $long = $kills > 100;
foreach my $acts ($long ? () : values %passed_by)
{
	@$acts = (sort { $a->[1]{seconds} <=> $b->[1]{seconds} } @$acts)[0];
}

# [crash, act, fault]: an act that passes the point, and at which of its passes.
sub at_point
{
	my ($point, $action) = @_;
	my ($crash, $act) = @{ any(@{ $passed_by{$point} }) };
	return [ $crash, $act, { point => $point, action => $action, pass => 1 + int rand $act->{points}{$point} } ];
}

sub act_called
{
	my ($name) = @_;
	foreach my $crash (@crashes)
	{
		foreach my $act (@{ $crash->{chain} })
		{
			return ($crash, $act) if $act->{name} eq $name;
		}
	}
	die "no act is called $name";
}

# Each point once fails, or is where somebody ends it.  What is done outside of
# transactions is not taken back by an error, which is told as a warning.
my @actions = qw(error cancel terminate timeout);
my @faults = map { at_point($points[$_], $actions[ ($_ + $seed) % @actions ]) }
  grep { $points[$_] !~ /^(?:commit|outside)\.done$/ } 0 .. $#points;

# What was found so: the session after a rehearsal that somebody ended, and an
# index that was exchanged when it was broken off.
push @faults, map { [ act_called('rehearsal'), { point => 'step.done', action => $_, pass => 2 } ] } @actions;
my ($concurrent, $several) = act_called('concurrently');
push @faults, map { [ $concurrent, $several, { point => 'record.unfinished', action => 'error', pass => $_ } ] } 1 .. $several->{points}{'record.unfinished'};

# Of the kills one in ten is at any moment, and one in four of the server.
my @queue;
foreach my $i (1 .. $kills)
{
	if ($i % 10 == 0)
	{
		my $crash = any(@crashes);
		my $act = any(@{ $crash->{chain} });
		push @faults, [ $crash, $act, { action => 'shot', delay => sprintf '%.4f', rand $act->{seconds} } ];
		next;
	}
	@queue = List::Util::shuffle(@points) unless @queue;
	push @faults, at_point(pop @queue, $i % 4 == 1 ? 'stop' : 'kill');
}

CRASH: foreach my $crash (@crashes)
{
	my @mine = grep { $_->[0] == $crash } @faults;
	while (@mine)
	{
		foreach my $act (@{ $crash->{chain} })
		{
			my @now = grep { $_->[1] == $act } @mine;
			splice @now, 8;
			my $done = 0;
			my $quick = !grep { $_->[2]{action} =~ /^(?:kill|stop|shot)$/ } @now;
			while (!$done && @now)
			{
				my $one = shift @now;
				@mine = grep { $_ != $one } @mine;
				$done = $crash->fault($act, %{ $one->[2] });
				# nothing more can be said of this database
				next CRASH unless defined $done;
			}
			$crash->finish($act, $quick) unless $done;
		}
	}
}

# ---- what came of it ----

# None died but those that were killed, and nobody forgot to give something back.
my $log = slurp_file($node->logfile);
my $killed = List::Util::sum(map { ($_->{done}{kill} // 0) + ($_->{done}{shot} // 0) } @crashes);
my $died = () = $log =~ /was terminated by signal 9/g;
is($died, $killed, 'as many died as were killed');
unlike($log, qr/was terminated by signal [^9]|TRAP:|PANIC:|WARNING: .*(?:leak: |was not closed|still active)/, 'nothing else went wrong');

sub total
{
	my ($what) = @_;
	return List::Util::sum0(map { $_->{$what} } @crashes);
}

sub done { my ($action) = @_; return List::Util::sum0(map { $_->{done}{$action} // 0 } @crashes) }

my %hits;
foreach my $crash (@crashes)
{
	$hits{$_} += $crash->{hits}{$_} foreach keys %{ $crash->{hits} };
}
my $least = List::Util::min(map { $hits{$_} // 0 } @points);
my $deaths = done('kill') + done('shot') + done('stop');
note(sprintf '%d kills, %d lost, %d between; every point at least %d times; seed %s', $deaths, total('lost'), total('between'), $least, $seed);
if ($ENV{SAFEMIG_TABLE})
{
	my ($version) = value('postgres', 'SHOW server_version') =~ /^(\S+)/;
	my @columns = (
		PostgreSQL => $version,
		'points' => scalar @points,
		'kills of a backend at a point' => done('kill'),
		'at a random moment' => done('shot'),
		'of the server' => done('stop'),
		'kills at each point, at least' => $least,
		'errors, cancels, terminations and timeouts' => List::Util::sum0(map { done($_) } @actions),
		'states in between' => total('between'),
		'histories or kept data that were not what they should be' => total('lost'),
		'seed' => $seed);
	append_to_file($ENV{SAFEMIG_TABLE}, join '', "| what | how many |\n|---|---|\n",
		List::Util::pairmap { "| $a | $b |\n" } @columns);
}

done_testing();
