
# Copyright (c) 2026, the safemig authors

# What has expired is pruned by a worker, in every database by what is set
# there; who listens hears of migrations; and what is marked and erased goes
# with a dump.  pg_regress has neither workers nor a second server.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SafemigSession ();
use SafemigTest;
use Test::More;
use Time::HiRes ();

if (bare())
{
	plan skip_all => 'says nothing without safemig';
}

my $server = start_server('retention', conf => <<'CONF');
shared_preload_libraries = 'safemig'
max_worker_processes = 16
max_prepared_transactions = 10
wal_level = replica
max_wal_senders = 5
safemig.retention_every = 1
CONF
my $number = 0;

# A database with three tables in the vault, and what it is to forget.
sub with_kept
{
	my (@settings) = @_;
	my $database = new_database('retention_' . ++$number);
	must($database, <<'SQL');
SET client_min_messages = warning;
CREATE TABLE public.a (id int PRIMARY KEY, name text);
CREATE TABLE public.b (id int PRIMARY KEY, name text);
CREATE TABLE public.c (id int PRIMARY KEY, name text);
INSERT INTO public.a SELECT i, 'n' || i FROM generate_series(1, 100) i;
SET safemig.label = 'a';
DROP TABLE public.a;
SET safemig.label = 'b';
DROP TABLE public.b;
SET safemig.label = 'c';
DROP TABLE public.c;
SQL
	in_database('postgres', "ALTER DATABASE $database SET safemig.$_") foreach @settings;
	return $database;
}

# The value once it is that, or after a while.
sub comes_to
{
	my ($database, $query, $expected, $name) = @_;
	my $until = Time::HiRes::time() + 60;
	my $now = '';
	while (Time::HiRes::time() < $until)
	{
		$now = value($database, $query);
		last if $now eq $expected;
		Time::HiRes::sleep(0.2);
	}
	return is($now, $expected, $name);
}

sub id_of { return "(SELECT id FROM safemig.migrations WHERE label = '$_[0]' AND kind = 'migration')" }

my $kept = q(SELECT string_agg(label, ' ' ORDER BY label) FROM safemig.migrations m WHERE kept_bytes > 0 OR EXISTS (SELECT FROM safemig.kept k WHERE k.migration = m.id AND k.state = 'kept'));

subtest 'a worker prunes by what is set for the database' => sub {
	my $never = with_kept();
	my $database = with_kept();
	must($database, 'SELECT safemig_keep(' . id_of('b') . q{, 'infinity')});
	in_database('postgres', "ALTER DATABASE $database SET safemig.retention_grace = '0'");
	in_database('postgres', "ALTER DATABASE $database SET safemig.retention = '0'");
	comes_to($database, $kept, 'b', 'what is pinned stays');
	is(value($database, q(SELECT DISTINCT reason FROM safemig.pruned)), 'safemig.retention', 'the reason is told');
	is(value($never, $kept), 'a b c', 'nothing goes where nothing expires');
	like(slurp_file($server->logfile), qr/LOG: +pruned what \d+ migrations kept/, 'and it is in the log');
};

subtest 'nothing goes before the time of grace is over' => sub {
	my $database = with_kept(q(retention = '0'));
	comes_to($database, 'SELECT count(*) FROM safemig.expiring', '3', 'they are marked');
	must($database, 'SELECT safemig_keep(' . id_of('a') . q{, 'infinity')});
	comes_to($database, 'SELECT count(*) FROM safemig.expiring', '2', 'what is pinned is not');
	is(value($database, $kept), 'a b c', 'all is there');
	in_database('postgres', "ALTER DATABASE $database SET safemig.retention = 'never'");
	comes_to($database, 'SELECT count(*) FROM safemig.expiring', '0', 'nothing is, when nothing expires any more');
	in_database('postgres', "ALTER DATABASE $database SET safemig.retention = '0'");
	in_database('postgres', "ALTER DATABASE $database SET safemig.retention_grace = '0'");
	comes_to($database, $kept, 'a', 'then they go');
};

subtest 'a guard is respected' => sub {
	my $database = with_kept();
	must($database, q(SELECT safemig_guard(id, 'SELECT true', within => '1 hour') FROM safemig.migrations WHERE label = 'c'));
	in_database('postgres', "ALTER DATABASE $database SET safemig.retention_grace = '0'");
	in_database('postgres', "ALTER DATABASE $database SET safemig.retention = '0'");
	comes_to($database, $kept, 'c', 'what a guard may need stays');
	must($database, 'SELECT safemig_unguard(' . id_of('c') . ')');
	comes_to($database, $kept, '', 'until it is over');
};

subtest 'it waits for a rollback, and does not keep one waiting' => sub {
	my $database = with_kept();
	my $session = SafemigSession->new(connection_to($database));
	$session->run(q(BEGIN));
	$session->run(q(SELECT safemig_rollback('c')));
	in_database('postgres', "ALTER DATABASE $database SET safemig.retention_grace = '0'");
	in_database('postgres', "ALTER DATABASE $database SET safemig.lock_timeout = '100 ms'");
	in_database('postgres', "ALTER DATABASE $database SET safemig.retention = '0'");
	Time::HiRes::sleep(3);
	is(value($database, $kept), 'a b c', 'while it runs nothing goes');
	$session->run('COMMIT');
	$session->close;
	comes_to($database, $kept, '', 'then the rest does');
	is(value($database, q(SELECT count(*) FROM pg_class WHERE relname = 'c' AND relnamespace = 'public'::regnamespace)), '1', 'what came back is there');
};

subtest 'another interval, and none' => sub {
	my $database = with_kept(q(retention_grace = '0'), q(retention = '0'));
	comes_to($database, $kept, '', 'it works');
	$server->append_conf('postgresql.conf', 'safemig.retention_every = 0');
	$server->reload;
	Time::HiRes::sleep(2);
	$database = with_kept(q(retention_grace = '0'), q(retention = '0'));
	Time::HiRes::sleep(3);
	is(value($database, $kept), 'a b c', 'nothing is done');
	like(value($database, q(SELECT safemig_prune_expired('by hand'))), qr/^[1-9]/, 'but by a call');
	is(value('postgres', q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'safemig retention')), '1', 'the launcher sleeps');
	must('postgres', q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'safemig retention'));
	$server->append_conf('postgresql.conf', 'safemig.retention_every = 1');
	$server->restart;
	$database = with_kept(q(retention_grace = '0'), q(retention = '0'));
	comes_to($database, $kept, '', 'and it goes on after a restart');
};

# What a session that listens is told by that migration.
sub hears
{
	my ($database, $sql, %options) = @_;
	my ($status, $out, $err) = in_database($database, "LISTEN safemig; $sql", %options);
	is($status, 0, 'it runs') or diag($err);
	return join "\n", grep { /Asynchronous/ } split /\n/, $out;
}

subtest 'who listens is told' => sub {
	my $database = with_kept();
	is(hears($database, q(SET client_min_messages = warning; CREATE TABLE public.t (id int))), '', 'of migrations only on request');
	in_database('postgres', "ALTER DATABASE $database SET safemig.notify = 'all'");
	like(hears($database, q(SET safemig.label = 'x "y"'; CREATE TABLE public.u (id int))), qr/"safemig" with payload "\{"event" : "migration", "migration" : \d+, "label" : "x \\"y\\"", "role" : "postgres", "rolls_back" : null/, 'of a migration');
	is(hears($database, q(BEGIN; CREATE TABLE public.v (id int); ROLLBACK)), '', 'of none that is rolled back');
	is(hears($database, q(BEGIN; SAVEPOINT s; CREATE TABLE public.v (id int); ROLLBACK TO s; COMMIT)), '', 'nor of one in a savepoint');
	is(hears($database, q(SELECT 1; CREATE TEMP TABLE w (id int))), '', 'nor of temporary tables');
	is(hears($database, q(SELECT count(*) FROM safemig_rehearse(safemig_mark()))), '', 'nor of a rehearsal');
	in_database('postgres', "ALTER DATABASE $database SET safemig.notify = 'rollbacks'");
	like(hears($database, q(SET client_min_messages = warning; SELECT safemig_rollback('x "y"', reason => 'slow'))), qr/"event" : "rollback", "migration" : \d+,.*"rolls_back" : \[\d+\], "reason" : "slow"/, 'of a rollback');
	like(hears($database, q(SET client_min_messages = warning; SELECT safemig_redo(max(id)) FROM safemig.migrations WHERE kind = 'rollback')), qr/"event" : "redo"/, 'of a redo');
	is(hears($database, q(CREATE TABLE public.w (id int))), '', 'not of a migration then');
	in_database('postgres', "ALTER DATABASE $database SET safemig.notify = 'none'");
	is(hears($database, q(SET client_min_messages = warning; SELECT safemig_rollback(max(id)) FROM safemig.migrations WHERE kind = 'migration')), '', 'of nothing at all');
	# a transaction that has notified cannot be prepared
	in_database('postgres', "ALTER DATABASE $database SET safemig.notify = 'all'");
	must($database, q(BEGIN; CREATE TABLE public.prepared (id int); PREPARE TRANSACTION 'x'));
	must($database, q(COMMIT PREPARED 'x'));
	is(value($database, q(SELECT count(*) FROM safemig.impact WHERE object = 'public.prepared')), '1', 'a prepared transaction has its counters');
	is(scalar(() = hears($database, q(CREATE INDEX CONCURRENTLY ON public.u (id); REINDEX TABLE CONCURRENTLY public.u)) =~ /"event"/g), 2, 'a command in several transactions is told of once');
	# long texts and many migrations fit into a payload
	my $long = "\x{3042}" x 2000;
	utf8::encode($long);
	like(hears($database, "SET safemig.label = '$long'; SET safemig.reason = '$long'; CREATE TABLE public.long (id int)"), qr/"event" : "migration"/, 'a long label');
	like(hears($database, q(SET client_min_messages = error; SELECT safemig_rollback_to(0))), qr/"event" : "rollback"/, 'many at once');
};

subtest 'a transaction that ends with the extension' => sub {
	my $database = new_database('retention_' . ++$number);
	in_database('postgres', "ALTER DATABASE $database SET safemig.notify = 'all'");
	is(hears($database, q(BEGIN; CREATE TABLE public.t (id int); DROP EXTENSION safemig; COMMIT)), '', 'says nothing');
	must($database, 'CREATE EXTENSION safemig');
	like(hears($database, q(BEGIN; CREATE TABLE public.u (id int); DROP EXTENSION safemig; CREATE EXTENSION safemig; CREATE TABLE public.v (id int); COMMIT)), qr/\A[^\n]*"migration" : 1,[^\n]*\z/, 'nor of what was before a new one');
	is(value($database, 'SELECT string_agg(object, $$ $$) FROM safemig.impact'), 'public.v', 'and counts nothing of it');
};

subtest 'a dump has what is marked and what was erased' => sub {
	$server->append_conf('postgresql.conf', 'safemig.retention_every = 0');
	$server->reload;
	my $database = with_kept(q(retention = '0'));
	must($database, 'SELECT safemig_prune_expired()');
	must($database, q(SELECT safemig_erase(id, 'id < 11', 'on request') FROM safemig.kept WHERE identity = 'public.a'));
	must($database, q(SELECT safemig_erase_text(id) FROM safemig.migrations WHERE label = 'b'));
	my $tables = join ' UNION ALL ', map { "SELECT '$_', x::text FROM safemig.$_ x" } qw(expiring erased);
	my $before = value($database, "$tables ORDER BY 1, 2");
	isnt($before, '', 'there are some');
	my $dump = $server->basedir . '/retention.dump';
	$server->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $database ], 'dumped');
	$server->safe_psql('postgres', 'CREATE DATABASE retention_copy TEMPLATE template0');
	$server->command_ok([ 'pg_restore', '-d', 'retention_copy', $dump ], 'restored');
	is(value('retention_copy', "$tables ORDER BY 1, 2"), $before, 'they are there again');
	must('retention_copy', q(SELECT safemig_rollback('a')));
	is(value('retention_copy', q(SELECT count(*), min(id) FROM public.a)), '90|11', 'without those that were erased');
	is(value('retention_copy', q(SELECT count(*) FROM safemig.impact WHERE label = 'a' AND kind = 'migration')), '0', 'counters stay with the server');
};

subtest 'on a standby one may look' => sub {
	my $database = with_kept();
	must($database, 'CREATE TABLE public.d (id int PRIMARY KEY); ALTER TABLE public.d ADD COLUMN a int');
	$server->backup('copy');
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($server, 'copy', has_streaming => 1);
	$standby->start;
	$server->wait_for_catchup($standby, 'replay');
	my ($status, $out, $err) = $standby->psql($database, q(SELECT safemig_report(max(id)) FROM safemig.migrations));
	is($status, 0, 'a report') or diag($err);
	like($out, qr/^# Migration .*What it changed.*How it would be taken back now.*Timeline/s, 'has its parts');
	($status, $out, $err) = $standby->psql($database, q(SELECT migrations FROM safemig.stats WHERE day IS NULL; SELECT count(*) > 0 FROM safemig.impact));
	is($out, "8\nt", 'numbers');
	foreach my $call (q(safemig_prune_expired()), q(safemig_prune_kept(1)), q(safemig_erase(1, 'true')), q(safemig_erase_text(1)))
	{
		($status, $out, $err) = $standby->psql($database, "SELECT $call");
		like($err, qr/cannot (?:execute|be executed)|read-only|recovery|standby/i, "$call is refused");
	}
	$standby->stop;
};

done_testing();
