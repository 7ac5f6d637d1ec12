
# Copyright (c) 2026, the safemig authors

# Guards: a worker watches a migration that has run, and takes it back.  It is
# killed, loses its session, its server, its rights.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use SafemigSession ();
use SafemigTest;
use Test::More;
use Time::HiRes ();

if (bare())
{
	plan skip_all => 'says nothing without safemig';
}

my $server = start_server('guard', conf => "max_worker_processes = 16\n");
my $number = 0;
my $database;
my $before;

# A database with a migration that may be guarded, and a switch that says
# whether all is well.
sub guarded
{
	my ($call, %options) = @_;
	$database = new_database('guarded_' . ++$number);
	my $owner = $options{owner} // 'postgres';
	my ($status, undef, $err) = in_database($database, <<"SQL");
SET ROLE $owner;
CREATE TABLE public.orders (id int PRIMARY KEY, total int NOT NULL, note text);
INSERT INTO public.orders SELECT i, i, 'n' || i FROM generate_series(1, 100) i;
CREATE TABLE public.health (fine bool);
INSERT INTO public.health VALUES (true);
SQL
	is($status, 0, 'setup') or diag($err);
	$before = state_of($database);
	($status, undef, $err) = in_database($database, <<"SQL");
SET ROLE $owner;
ALTER TABLE public.orders DROP COLUMN note, ALTER total DROP NOT NULL;
$call;
SQL
	is($status, 0, 'guarded') or diag($err);
	return;
}

sub guard_value { return value($database, "SELECT $_[0] FROM safemig.guards ORDER BY id DESC LIMIT 1") }

# The state that the guard is in once the condition holds, or after a while.
sub comes_to
{
	my ($state, $what, $seconds) = @_;
	my $until = Time::HiRes::time() + ($seconds // 20);
	my $now;
	while (Time::HiRes::time() < $until)
	{
		$now = guard_value('state') // '';
		last if $now eq $state;
		Time::HiRes::sleep(0.05);
	}
	is($now, $state, $what // "comes to $state")
	  or diag(value($database, 'SELECT * FROM safemig.guards'));
	return $now eq $state;
}

sub attended
{
	my $until = Time::HiRes::time() + 20;
	while (Time::HiRes::time() < $until)
	{
		return 1 if guard_value('attended') eq 't';
		Time::HiRes::sleep(0.05);
	}
	return 0;
}

sub worker { return value($database, q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'safemig guard' AND datname = current_database())) }

# The check is about what has to be as well after the rollback.
sub is_back
{
	is(guard_value('rollback'), value($database, q(SELECT max(id) FROM safemig.migrations WHERE kind = 'rollback')), 'it names the rollback');
	in_database($database, 'SET safemig.enabled = off; UPDATE public.health SET fine = true');
	is(SafemigOracle::difference($before, state_of($database)), '', 'the state is that of before');
	return;
}

sub refuses
{
	my ($call, $pattern, $name) = @_;
	my ($status, undef, $err) = in_database($database, $call, arguments => [ '-v', 'VERBOSITY=verbose' ]);
	ok($status, "$name: refused");
	like($err, $pattern, "$name: says so");
	return;
}

my $fine = q('SELECT fine FROM public.health');
my $often = q(every => '200 ms');

subtest 'a check that fails takes the migration back' => sub {
	guarded("SELECT safemig_guard(safemig_last(), $fine, $often, within => '1 minute', failures => 3, reason => 'as always')");
	ok(attended(), 'a worker watches');
	in_database($database, 'UPDATE public.health SET fine = false');
	comes_to('rolled_back');
	like(guard_value('end_reason'), qr/3 checks in a row failed, the last: the query yields false/, 'the reason');
	like(value($database, q(SELECT reason FROM safemig.migrations WHERE kind = 'rollback')), qr/guard: 3 checks/, 'is that of the rollback');
	is(guard_value('reason'), 'as always', 'that of the call');
	is_back();
};

subtest 'failures that are not in a row do not count' => sub {
	guarded("SELECT safemig_guard(safemig_last(), 'SELECT coalesce((SELECT checks % 2 = 0 FROM safemig.guards), true)', $often, within => '2 s', failures => 2)");
	comes_to('passed');
	cmp_ok(guard_value('checks'), '>=', 5, 'it looked');
	is(guard_value('attended'), '', 'nobody watches any more');
	is(value($database, q(SELECT count(*) FROM safemig.migrations WHERE kind = 'rollback')), '0', 'nothing was taken back');
	is(worker(), '', 'the worker has gone');
};

my %failing = (
	'an error' => [ q(SELECT 1 / (CASE WHEN fine THEN 1 ELSE 0 END) = 1 FROM public.health), qr/22012: division by zero/ ],
	'null' => [ q(SELECT CASE WHEN fine THEN true END FROM public.health), qr/null/ ],
	'no row' => [ q(SELECT true FROM public.health WHERE fine), qr/no row/ ],
	'several rows' => [ q(SELECT true FROM public.health, generate_series(1, CASE WHEN fine THEN 1 ELSE 2 END)), qr/more than one row/ ],
	'time' => [ q(SELECT pg_sleep(CASE WHEN fine THEN 0 ELSE 60 END) IS NOT NULL FROM public.health), qr/57014.*timeout/ ],
	'a write' => [ q(SELECT public.may_write(fine) FROM public.health), qr/25006: cannot execute .* in a read-only transaction/ ],
	'a table that is gone' => [ q(SELECT fine FROM public.health WHERE public.counts()), qr/42P01/ ],
);
foreach my $what (sort keys %failing)
{
	my ($query, $reason) = @{ $failing{$what} };
	subtest "$what is a failure" => sub {
		guarded(<<"SQL");
CREATE TABLE public.other (id int);
CREATE FUNCTION public.counts() RETURNS bool LANGUAGE plpgsql AS \$f\$ BEGIN RETURN (SELECT count(*) >= 0 FROM public.other); END \$f\$;
CREATE FUNCTION public.may_write(fine bool) RETURNS bool LANGUAGE plpgsql AS \$f\$ BEGIN IF NOT fine THEN INSERT INTO public.other VALUES (1); END IF; RETURN true; END \$f\$;
SELECT safemig_guard((SELECT min(m.id) FROM safemig.migrations m JOIN safemig.commands c ON c.migration = m.id WHERE c.query ~ 'DROP COLUMN'), \$q\$$query\$q\$, $often, within => '1 minute', failures => 2)
SQL
		in_database('postgres', "ALTER DATABASE $database SET safemig.guard_timeout = '300 ms'");
		if ($what eq 'time')
		{
			# the setting counts from its next session on
			ok(attended(), 'a worker watches');
			in_database($database, 'SELECT pg_terminate_backend(' . worker() . ')');
		}
		ok(attended(), 'a worker watches');
		in_database($database, $what eq 'a table that is gone' ? 'DROP TABLE public.other' : 'UPDATE public.health SET fine = false');
		comes_to('rolled_back');
		like(guard_value('end_reason'), $reason, 'the reason');
		is(value($database, 'SELECT count(note) FROM public.orders'), '100', 'the rows are back');
	};
}

subtest 'confirmed in time' => sub {
	guarded("SELECT safemig_guard(safemig_last(), within => '3 s', $often, confirm => true)");
	refuses('SELECT safemig_guard((SELECT migration FROM safemig.guards), confirm => true)', qr/SM002: +migration \d+ is guarded already/, 'twice');
	is((in_database($database, 'SELECT safemig_confirm((SELECT migration FROM safemig.guards))'))[0], 0, 'confirmed');
	is(guard_value('state'), 'confirmed', 'at once');
	refuses('SELECT safemig_confirm((SELECT migration FROM safemig.guards))', qr/SM002: +migration \d+ is not guarded/, 'confirmed twice');
	refuses('SELECT safemig_unguard((SELECT migration FROM safemig.guards))', qr/SM002: +migration \d+ is not guarded/, 'removed then');
};

subtest 'confirmed, and watched on' => sub {
	guarded("SELECT safemig_guard(safemig_last(), $fine, within => '3 s', $often, failures => 2, confirm => true)");
	is((in_database($database, 'SELECT safemig_confirm((SELECT migration FROM safemig.guards))'))[0], 0, 'confirmed');
	is(guard_value('state'), 'watching', 'it goes on');
	refuses('SELECT safemig_confirm((SELECT migration FROM safemig.guards))', qr/SM002: +migration \d+ has been confirmed already/, 'twice');
	in_database($database, 'UPDATE public.health SET fine = false');
	comes_to('rolled_back');
	is_back();
};

subtest 'not confirmed' => sub {
	guarded("SELECT safemig_guard(safemig_last(), within => '1 s', $often, confirm => true)");
	comes_to('rolled_back');
	like(guard_value('end_reason'), qr/nobody confirmed it in time/, 'the reason');
	is_back();
};

subtest 'removed' => sub {
	guarded("SELECT safemig_guard(safemig_last(), $fine, within => '1 minute', $often, failures => 2)");
	refuses('SELECT safemig_confirm((SELECT migration FROM safemig.guards))', qr/SM002: +migration \d+ does not wait to be confirmed/, 'confirm');
	is((in_database($database, q(SELECT safemig_unguard((SELECT migration FROM safemig.guards), 'no need')))) [0], 0, 'removed');
	is(guard_value('state'), 'removed', 'the state');
	is(guard_value('end_reason'), 'no need', 'the reason');
	in_database($database, 'UPDATE public.health SET fine = false');
	Time::HiRes::sleep(1);
	is(value($database, q(SELECT count(*) FROM safemig.migrations WHERE kind = 'rollback')), '0', 'nothing was taken back');
	is(worker(), '', 'the worker has gone');
};

subtest 'rolled back by hand' => sub {
	guarded("SELECT safemig_guard(safemig_last(), $fine, within => '1 minute', $often, failures => 2)");
	is((in_database($database, 'SELECT safemig_rollback((SELECT migration FROM safemig.guards))'))[0], 0, 'rolled back');
	comes_to('over');
};

subtest 'a transaction that is rolled back has no guard' => sub {
	guarded("BEGIN; SELECT safemig_guard(safemig_last(), $fine, within => '1 minute', $often, failures => 2); SELECT pg_sleep(1); ROLLBACK");
	is(value($database, 'SELECT count(*) FROM safemig.guards'), '0', 'none');
	Time::HiRes::sleep(0.5);
	is(worker(), '', 'no worker');
};

subtest 'in the transaction of the migration' => sub {
	guarded("BEGIN; ALTER TABLE public.orders ADD COLUMN late int; SELECT safemig_guard(safemig_last(), $fine, within => '1 minute', $often, failures => 2); COMMIT; UPDATE public.health SET fine = false");
	comes_to('rolled_back');
	is(value($database, q(SELECT count(*) FROM pg_attribute WHERE attrelid = 'public.orders'::regclass AND attname = 'late')), '0', 'gone');
};

subtest 'what cannot be guarded' => sub {
	guarded('SELECT 1');
	my $last = '(SELECT max(id) FROM safemig.migrations)';
	refuses("SELECT safemig_guard($last)", qr/22023: +there is nothing to watch/, 'nothing');
	refuses("SELECT safemig_guard($last, 'SELECT false')", qr/22023: +the check does not hold now: the query yields false/, 'false');
	refuses("SELECT safemig_guard($last, 'SELECT NULL::bool')", qr/22023: .*null/, 'null');
	refuses("SELECT safemig_guard($last, 'SELECT 1')", qr/42804: +the query does not yield one boolean column/, 'an integer');
	refuses("SELECT safemig_guard($last, '$_')", qr/22023: +what is to be checked is not one SELECT/, "not a SELECT: $_")
	  foreach 'SELECT true; SELECT true', 'DELETE FROM public.health RETURNING true', 'COMMIT', 'SELECT true INTO t', '';
	refuses("SELECT safemig_guard($last, 'SELECT true, true')", qr/42804/, 'two columns');
	refuses("SELECT safemig_guard($last, 'SELECT true WHERE false')", qr/22023: .*no row/, 'no row');
	refuses("SELECT safemig_guard($last, 'SELECT 1 / 0 = 1')", qr/22012/, 'an error');
	refuses("SELECT safemig_guard($last, 'WITH d AS (DELETE FROM public.health RETURNING 1) SELECT true')", qr/0A000|25006/, 'a write');
	refuses("SELECT safemig_guard($last, 'SELECT true', every => '1 month')", qr/22023: .*not in months/, 'a month');
	refuses("SELECT safemig_guard($last, 'SELECT true', every => '0')", qr/22023: .*at least 100 milliseconds/, 'no time');
	refuses("SELECT safemig_guard($last, 'SELECT true', within => '1 minute')", qr/22023: +5 checks take longer than the guard lasts/, 'too short');
	refuses("SELECT safemig_guard($last, 'SELECT true', failures => 0)", qr/22023: +"failures" must be greater than zero/, 'no failures');
	refuses("SELECT safemig_guard($last, 'SELECT true', on_conflict => 'ignore')", qr/22023: +unrecognized conflict policy/, 'policy');
	refuses("SELECT safemig_guard(4711, 'SELECT true')", qr/SM001/, 'unknown');
	refuses("SELECT safemig_guard(NULL, 'SELECT true')", qr/22004/, 'null');
	my $id = value($database, "SELECT $last");
	refuses("SET ROLE alice; SELECT safemig_guard($id, 'SELECT true')", qr/42501: +must be owner of/, 'somebody else');
	refuses("SELECT safemig_rollback($last); SELECT safemig_guard($last - 1, 'SELECT true')", qr/SM002/, 'rolled back');
	refuses("SELECT safemig_begin('open'); CREATE TABLE public.o (id int); SELECT safemig_guard(safemig_last(), 'SELECT true')", qr/SM002: .*still open/, 'open');
	is(value($database, 'SELECT count(*) FROM safemig.guards'), '0', 'nothing is guarded');
};

subtest 'what a guard may need is not pruned' => sub {
	guarded("SELECT safemig_guard(safemig_last(), $fine, within => '1 minute', $often, failures => 2)");
	refuses('SELECT safemig_prune((SELECT migration FROM safemig.guards))', qr/SM002: +what migration \d+ keeps may not be pruned yet/, 'one');
	is(value($database, q(SET client_min_messages = warning; SELECT safemig_prune_older('0'))), '0', 'nor all that are old');
	in_database($database, 'SELECT safemig_unguard((SELECT migration FROM safemig.guards))');
	cmp_ok(value($database, q(SET client_min_messages = warning; SELECT safemig_prune_older('0'))), '>', 0, 'then it is');
};

subtest 'nor what a redo of it keeps' => sub {
	guarded("SELECT safemig_rollback(safemig_last()); SELECT safemig_redo(safemig_last()); SELECT safemig_guard(max(id), $fine, within => '1 minute', $often, failures => 2) FROM safemig.migrations WHERE kind = 'migration' AND state = 'applied'");
	refuses(q(SELECT safemig_prune(max(id)) FROM safemig.migrations WHERE kind = 'redo'), qr/SM002: +what migration \d+ keeps may not be pruned yet/, 'by its id');
	in_database($database, 'UPDATE public.health SET fine = false');
	comes_to('rolled_back');
	is_back();
};

subtest 'a rollback that is refused is an alarm, and is tried again' => sub {
	my $listener;
	guarded("SELECT safemig_guard(safemig_last(), $fine, within => '1 minute', $often, failures => 2)");
	$listener = SafemigSession->new(connection_to($database), 'LISTEN safemig');
	in_database($database, 'INSERT INTO public.orders VALUES (101, NULL); UPDATE public.health SET fine = false');
	comes_to('alarm');
	like(guard_value('problem'), qr/SM003/, 'the reason');
	like(value($database, q(SELECT status || ' ' || detail FROM safemig_doctor() WHERE item = 'guards')), qr/^error .*could not roll back/, 'the doctor says so');
	my ($heard) = $listener->run('SELECT 1');
	like($heard, qr/notification "safemig" with payload "\{"event": "guard alarm", "migration": \d+, "problem": "SM003/, 'who listens hears it');
	in_database($database, 'DELETE FROM public.orders WHERE id = 101');
	comes_to('rolled_back');
	($heard) = $listener->run('SELECT 1');
	like($heard, qr/"guard rolled_back", "migration": \d+, "rollback": \d+/, 'and the end');
	is_back();
};

subtest 'a rollback that is refused, and all is well again' => sub {
	guarded("SELECT safemig_guard(safemig_last(), $fine, within => '4 s', $often, failures => 2)");
	in_database($database, 'INSERT INTO public.orders VALUES (101, NULL); UPDATE public.health SET fine = false');
	comes_to('alarm');
	in_database($database, 'UPDATE public.health SET fine = true');
	comes_to('passed');
};

subtest 'a rollback that is refused for good' => sub {
	guarded("SELECT safemig_guard(safemig_last(), $fine, within => '1 minute', $often, failures => 2)");
	in_database('postgres', "ALTER DATABASE $database SET safemig.guard_retries = 1");
	ok(attended(), 'a worker watches');
	in_database($database, 'SELECT pg_terminate_backend(' . worker() . '); INSERT INTO public.orders VALUES (101, NULL); UPDATE public.health SET fine = false');
	comes_to('failed');
	is(guard_value('tries'), '2', 'tried twice');
};

subtest 'as who made it, with the rights of then' => sub {
	guarded("SELECT safemig_guard(safemig_last(), 'SELECT current_user = ''alice'' AND fine FROM public.health', within => '1 minute', $often, failures => 2)", owner => 'alice');
	ok(attended(), 'a worker watches');
	in_database($database, 'SELECT pg_sleep(0.5)');
	is(guard_value('failed'), '0', 'the query runs as that role');
	in_database($database, 'SET safemig.enabled = off; ALTER TABLE public.orders OWNER TO bob; UPDATE public.health SET fine = false');
	comes_to('alarm');
	like(guard_value('problem'), qr/42501/, 'he may not do it any more');
	in_database($database, 'SET safemig.enabled = off; ALTER TABLE public.orders OWNER TO alice');
	comes_to('rolled_back');
	is(value($database, q(SELECT count(note) FROM public.orders)), '100', 'the rows are back');
};

subtest 'a query gets no rights that its role does not have' => sub {
	guarded(q{SELECT safemig_guard(safemig_last(), 'SELECT current_setting(''is_superuser'') = ''off''', within => '1 minute', every => '200 ms', failures => 2)}, owner => 'alice');
	ok(attended(), 'a worker watches');
	in_database($database, 'SELECT pg_sleep(0.5)');
	is(guard_value('failed'), '0', 'it is no superuser');
};

subtest 'its session has gone, and it is terminated' => sub {
	guarded("SELECT safemig_guard(safemig_last(), $fine, within => '1 minute', $often, failures => 2)");
	ok(attended(), 'a worker watches');
	my $pid = worker();
	in_database($database, "SELECT pg_terminate_backend($pid); UPDATE public.health SET fine = false");
	comes_to('rolled_back', 'it comes again');
	is_back();
};

subtest 'kill -9 of the worker' => sub {
	guarded("SELECT safemig_guard(safemig_last(), $fine, within => '1 minute', $often, failures => 2)");
	ok(attended(), 'a worker watches');
	in_database($database, 'UPDATE public.health SET fine = false');
	kill 9, worker();
	Time::HiRes::sleep(1);
	server_is_back();
	comes_to('rolled_back', 'it comes again');
	is_back();
};

sub server_is_back
{
	$server->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';
	use_server_again();
	return;
}

# The sessions that the tests keep have gone with it.
sub use_server_again { return SafemigTest::use_server($server) }

subtest 'a restart without preloading' => sub {
	guarded("SELECT safemig_guard(safemig_last(), $fine, within => '1 minute', $often, failures => 2)");
	ok(attended(), 'a worker watches');
	$server->restart;
	use_server_again();
	in_database($database, 'UPDATE public.health SET fine = false');
	is(guard_value('attended'), 'f', 'nobody watches');
	like(value($database, q(SELECT status || ' ' || detail || ' ' || hint FROM safemig_doctor() WHERE item = 'guards')), qr/^error 1 have no worker .*attend_guards/, 'the doctor says so');
	is(value($database, 'SELECT safemig.attend_guards()'), '1', 'told to');
	comes_to('rolled_back');
	is_back();
};

subtest 'a copy of the database is not guarded' => sub {
	guarded("SELECT safemig_guard(safemig_last(), $fine, within => '1 minute', $often, failures => 2)");
	ok(attended(), 'a worker watches');
	$server->stop;
	$server->append_conf('postgresql.conf', "shared_preload_libraries = 'safemig'\n");
	$server->start;
	use_server_again();
	ok(attended(), 'with preloading it is there after a restart');
	in_database($database, 'UPDATE public.health SET fine = false');
	comes_to('rolled_back');
	is_back();
	$database = new_database('copied', $database);
	in_database($database, q(UPDATE safemig.guard_log SET state = 'watching'));
	is(value($database, 'SELECT safemig.attend_guards()'), '0', 'a copy is nobody\'s to watch');
};

subtest 'kill -9 of the server' => sub {
	guarded("SELECT safemig_guard(safemig_last(), $fine, within => '1 minute', $often, failures => 2)");
	ok(attended(), 'a worker watches');
	in_database($database, 'UPDATE public.health SET fine = false');
	my @left = split /\n/, value($database, 'SELECT pid FROM pg_stat_activity');
	use_server_again();
	$server->kill9;
	# what the postmaster left behind goes first
	Time::HiRes::sleep(0.1) while grep { kill 0, $_ } @left;
	$server->start;
	comes_to('rolled_back');
	is_back();
};

subtest 'a database that is dropped by force' => sub {
	guarded("SELECT safemig_guard(safemig_last(), $fine, within => '1 minute', $often, failures => 2)");
	ok(attended(), 'a worker watches');
	is((in_database('postgres', qq(DROP DATABASE "$database" WITH (FORCE))))[0], 0, 'dropped');
	my $offset = -s $server->logfile;
	Time::HiRes::sleep(7);
	unlike(slurp_file($server->logfile, $offset), qr/FATAL/, 'no worker tries to get in');
};

# The worker has read the guard, and notes what it saw after it was ended.
subtest 'ended while the worker looks' => sub {
	guarded(qq(SELECT safemig_guard(safemig_last(), \$q\$SELECT pg_sleep(1)::text = ''\$q\$, within => '1 minute', $often, failures => 2)));
	my $until = Time::HiRes::time() + 20;
	my $looks = q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'safemig guard' AND wait_event = 'PgSleep' AND datname = current_database());
	Time::HiRes::sleep(0.02) while !value($database, $looks) && Time::HiRes::time() < $until;
	is(value($database, $looks), '1', 'it looks');
	is((in_database($database, 'SELECT safemig_unguard((SELECT migration FROM safemig.guards))'))[0], 0, 'ended');
	Time::HiRes::sleep(0.05) while worker() ne '' && Time::HiRes::time() < $until;
	is(worker(), '', 'the worker goes');
	is(guard_value('state'), 'removed', 'and the guard stays ended');
};

subtest 'what is expected of a migration' => sub {
	guarded('SELECT 1');
	my $mark = value($database, 'SELECT safemig_mark()');
	refuses(q(BEGIN; ALTER TABLE public.orders ADD COLUMN b int; SELECT safemig_expect('SELECT count(b) = 100 FROM public.orders', 'b is empty'); COMMIT), qr/SM011: +b is empty.*DETAIL: +the query yields false/s, 'false');
	refuses(q(SELECT safemig_expect('SELECT NULL::bool')), qr/SM011: +what is expected of the migration does not hold/, 'null');
	refuses(q(SELECT safemig_expect('SELECT 1')), qr/42804/, 'an integer');
	refuses(q(SELECT safemig_expect(NULL)), qr/22004/, 'no query');
	refuses(q(SELECT safemig_expect('DELETE FROM public.orders RETURNING true')), qr/22023/, 'no SELECT');
	refuses(q(SELECT safemig_expect('WITH d AS (DELETE FROM public.orders RETURNING 1) SELECT true')), qr/0A000|25006/, 'a write');
	is((in_database($database, q(BEGIN; UPDATE public.orders SET total = 1; SELECT safemig_expect('SELECT bool_and(total = 1) FROM public.orders'); INSERT INTO public.orders VALUES (102, 1); COMMIT)))[0], 0, 'true, and one may write again');
	is(value($database, 'SELECT count(*) FROM public.orders'), '101', 'written');
	is(value($database, 'SELECT safemig_mark()'), $mark, 'nothing that failed is there');
};

done_testing();
