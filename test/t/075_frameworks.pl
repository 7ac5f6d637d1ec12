
# Copyright (c) 2026, the safemig authors

# What migration frameworks send, statement by statement, for those whose
# programs cannot be had here, and for what the others do in passing.  A script
# is a list of [session, SQL]; sessions are psql's, without the library until
# their first DDL command.

use strict;
use warnings;
use FindBin;
use IPC::Run ();
use lib "$FindBin::RealBin/../perl";
use SafemigSession;
use SafemigTest;
use Test::More;

if (bare())
{
	plan skip_all => 'says nothing without safemig';
}

start_server('frameworks');

my $n = 0;
my ($database, %sessions);

sub begins
{
	$database = new_database('fw' . ++$n);
	%sessions = ();
	return;
}

# In a session of that name; an error is expected where it is told.
sub runs
{
	my ($name, $sql, $error) = @_;
	$sessions{$name} //= SafemigSession->new(connection_to($database));
	my ($output, $problem) = $sessions{$name}->run($sql);
	if (defined $error) { like($problem // '', $error, "$name: $sql") }
	else { is($problem, undef, "$name: $sql") }
	return $output;
}

# What writes rows alone is seen only by a library that is there by then.
sub preloads
{
	return must($database, "ALTER DATABASE $database SET session_preload_libraries = safemig");
}

sub ends { %sessions = (); return }

# id, label, version, state of its migrations
sub known
{
	my ($expected, $what) = @_;
	my $now = value($database, q(SELECT string_agg(format('%s %s %s%s', label, framework, version, CASE WHEN reverted_by IS NOT NULL THEN ' reverted' END), ', ' ORDER BY id)
		FROM safemig.migrations WHERE kind = 'migration' AND state <> 'rolled_back'));
	return is($now, $expected, $what);
}

sub rolls_back
{
	my ($call, $history, $rows) = @_;
	my ($status, $out, $err) = in_database($database, "SELECT $call");
	is($status, 0, $call) or diag($err);
	return is(value($database, $history), $rows, "$call: its history");
}

# ---- frameworks, in the shape of their runs ----

my %history = (
	seaorm => 'CREATE TABLE IF NOT EXISTS seaql_migrations (version varchar NOT NULL PRIMARY KEY, applied_at bigint NOT NULL)',
	diesel => 'CREATE TABLE IF NOT EXISTS __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL, run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)',
	sqlx => 'CREATE TABLE IF NOT EXISTS _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on TIMESTAMPTZ NOT NULL DEFAULT now(), success BOOLEAN NOT NULL, checksum BYTEA NOT NULL, execution_time BIGINT NOT NULL)',
	goose => 'CREATE TABLE goose_db_version (id serial NOT NULL, version_id bigint NOT NULL, is_applied boolean NOT NULL, tstamp timestamp NULL DEFAULT now(), PRIMARY KEY (id))',
	'golang-migrate' => 'CREATE TABLE IF NOT EXISTS schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)',
	prisma => 'CREATE TABLE _prisma_migrations (id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT NULL, finished_at TIMESTAMPTZ, migration_name VARCHAR(255) NOT NULL, logs TEXT, rolled_back_at TIMESTAMPTZ, started_at TIMESTAMPTZ NOT NULL DEFAULT now(), applied_steps_count INTEGER NOT NULL DEFAULT 0)',
	django => 'CREATE TABLE django_migrations (id bigserial PRIMARY KEY, app varchar(255) NOT NULL, name varchar(255) NOT NULL, applied timestamptz NOT NULL)',
	knex => 'CREATE TABLE IF NOT EXISTS knex_migrations (id serial PRIMARY KEY, name varchar(255), batch int, migration_time timestamptz)',
	liquibase => 'CREATE TABLE databasechangelog (id VARCHAR(255) NOT NULL, author VARCHAR(255) NOT NULL, filename VARCHAR(255) NOT NULL, dateexecuted TIMESTAMP NOT NULL, orderexecuted INTEGER NOT NULL, exectype VARCHAR(10) NOT NULL, md5sum VARCHAR(35))',
	alembic => 'CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)',
	flyway => <<'SQL',
CREATE TABLE flyway_schema_history (installed_rank INT NOT NULL, version VARCHAR(50), description VARCHAR(200) NOT NULL, type VARCHAR(20) NOT NULL, script VARCHAR(1000) NOT NULL,
	checksum INTEGER, installed_by VARCHAR(100) NOT NULL, installed_on TIMESTAMP NOT NULL DEFAULT now(), execution_time INTEGER NOT NULL, success BOOLEAN NOT NULL);
ALTER TABLE flyway_schema_history ADD CONSTRAINT flyway_schema_history_pk PRIMARY KEY (installed_rank);
CREATE INDEX flyway_schema_history_s_idx ON flyway_schema_history (success)
SQL
);

subtest 'SeaORM' => sub {
	begins();
	foreach my $run (1, 2)
	{
		runs('up', $history{seaorm});
		runs('up', "BEGIN; CREATE TABLE t$run (id int); INSERT INTO t$run VALUES (1); INSERT INTO seaql_migrations VALUES ('m2024_$run', 170000000$run); COMMIT");
		ends();
	}
	known('m2024_1 seaorm m2024_1, m2024_2 seaorm m2024_2', 'two migrations');
	rolls_back(q(safemig_rollback('m2024_1')), 'SELECT version FROM seaql_migrations', 'm2024_2');
	rolls_back(q(safemig_redo((SELECT max(id) FROM safemig.migrations))), 'SELECT string_agg(version, $$ $$ ORDER BY version) FROM seaql_migrations', 'm2024_1 m2024_2');
	rolls_back('safemig_rollback_to(0)', 'SELECT count(*) FROM seaql_migrations', '0');
	is(value($database, q(SELECT to_regclass('t1') IS NULL AND to_regclass('t2') IS NULL)), 't', 'the tables have gone');
};

subtest 'Diesel, and its own way back' => sub {
	begins();
	runs('up', $history{diesel});
	runs('up', q(BEGIN; CREATE TABLE t1 (id int); INSERT INTO __diesel_schema_migrations (version) VALUES ('1'); COMMIT));
	runs('up', q(BEGIN; CREATE TABLE t2 (id int); INSERT INTO __diesel_schema_migrations (version) VALUES ('2'); COMMIT));
	ends();
	runs('revert', $history{diesel});
	runs('revert', q(BEGIN; DROP TABLE t2; DELETE FROM __diesel_schema_migrations WHERE version = '2'; COMMIT));
	ends();
	known('1 diesel 1, 2 diesel 2 reverted, revert of 2 diesel 2', 'the way back is a migration');
	my (undef, undef, $err) = in_database($database, q(SELECT safemig_rollback('2')));
	like($err, qr/was reverted by diesel itself, in migration \d+ "revert of 2"/, 'what was reverted is not rolled back');
	runs('up', q(BEGIN; CREATE TABLE t2 (id int, b int); INSERT INTO __diesel_schema_migrations (version) VALUES ('2'); COMMIT));
	rolls_back(q(safemig_rollback('2')), 'SELECT version FROM __diesel_schema_migrations', '1');
	rolls_back(q(safemig_rollback('revert of 2')), 'SELECT string_agg(version, $$ $$ ORDER BY version) FROM __diesel_schema_migrations', '1 2');
	known('1 diesel 1, 2 diesel 2', 'its reverting is taken back');
	rolls_back(q(safemig_rollback_to('1')), 'SELECT version FROM __diesel_schema_migrations', '1');
};

subtest 'sqlx, which writes the row again afterwards' => sub {
	begins();
	foreach my $run (1, 2)
	{
		runs('up', $history{sqlx});
		runs('up', "BEGIN; CREATE TABLE t$run (id int); INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES ($run, 'the first', true, '\\x00', -1); COMMIT");
		runs('up', "UPDATE _sqlx_migrations SET execution_time = 1000 WHERE version = $run");
	}
	known('1_the_first sqlx 1, 2_the_first sqlx 2', 'two migrations');
	rolls_back(q(safemig_rollback('1')), 'SELECT version, execution_time FROM _sqlx_migrations', '2|1000');
	rolls_back(q(safemig_rollback('2_the_first')), 'SELECT count(*) FROM _sqlx_migrations', '0');
};

subtest 'goose' => sub {
	begins();
	runs('up', "BEGIN; $history{goose}; INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, true); COMMIT");
	foreach my $run (1, 2)
	{
		runs('up', "BEGIN; CREATE TABLE t$run (id int); INSERT INTO goose_db_version (version_id, is_applied) VALUES ($run, true); COMMIT");
	}
	known('1 goose 1, 2 goose 2', 'two migrations, and none for version 0');
	my (undef, undef, $err) = in_database($database, q(SELECT safemig_rollback('1')));
	like($err, qr/migration 2 "2" is newer than migration 1 "1", and the order of migrations is binding for goose/, 'not the older one alone');
	rolls_back('safemig_rollback_to(0)', 'SELECT version_id FROM goose_db_version', '0');
	is(value($database, 'SELECT last_value FROM goose_db_version_id_seq'), 1, 'and the position of its sequence');
};

subtest 'golang-migrate, which truncates its history' => sub {
	begins();
	runs('up', $history{'golang-migrate'});
	foreach my $run (1, 2)
	{
		runs('up', "BEGIN; TRUNCATE schema_migrations; INSERT INTO schema_migrations VALUES ($run, true); COMMIT");
		runs('up', "CREATE TABLE t$run (id int); CREATE INDEX i$run ON t$run (id)");
		runs('up', "BEGIN; TRUNCATE schema_migrations; INSERT INTO schema_migrations VALUES ($run, false); COMMIT");
	}
	ends();
	known('1 golang-migrate 1, 2 golang-migrate 2', 'two migrations');
	rolls_back(q(safemig_rollback('2')), 'SELECT * FROM schema_migrations', '1|f');
	rolls_back(q(safemig_redo((SELECT max(id) FROM safemig.migrations))), 'SELECT * FROM schema_migrations', '2|f');
	runs('down', $history{'golang-migrate'});
	runs('down', 'BEGIN; TRUNCATE schema_migrations; INSERT INTO schema_migrations VALUES (1, true); COMMIT');
	runs('down', 'DROP TABLE t2');
	runs('down', 'BEGIN; TRUNCATE schema_migrations; INSERT INTO schema_migrations VALUES (1, false); COMMIT');
	known('1 golang-migrate 1, 2 golang-migrate 2 reverted, revert of 2 golang-migrate 2', 'its own way back');
	rolls_back('safemig_rollback_to(0)', 'SELECT count(*) FROM schema_migrations', '0');
};

subtest 'Flyway, which writes the row from another session' => sub {
	begins();
	runs('main', $history{flyway});
	foreach my $run (1, 2)
	{
		runs('migration', "BEGIN; CREATE TABLE t$run (id int); COMMIT");
		runs('main', "INSERT INTO flyway_schema_history VALUES ($run, '$run', 'd', 'SQL', 'V${run}__d.sql', 0, 'x', now(), 1, true)");
	}
	ends();
	# and from one that never loads the library
	runs('migration', 'BEGIN; CREATE TABLE t3 (id int); COMMIT');
	runs('plain', q(INSERT INTO flyway_schema_history VALUES (3, '3', 'd', 'SQL', 'V3__d.sql', 0, 'x', now(), 1, true)));
	known('V1__d.sql flyway 1, V2__d.sql flyway 2, V3__d.sql flyway 3', 'three migrations');
	is(value($database, 'SELECT * FROM safemig.framework_gaps()'), '', 'and no gap, though nobody has asked for the third yet');
	rolls_back(q(safemig_rollback('V3__d.sql')), 'SELECT max(installed_rank) FROM flyway_schema_history', '2');
	rolls_back(q(safemig_rollback('1')), 'SELECT max(installed_rank) FROM flyway_schema_history', '2');
	rolls_back('safemig_rollback_to(0)', 'SELECT count(*) FROM flyway_schema_history', '0');
};

subtest 'histories that do not agree' => sub {
	begins();
	must($database, "DROP EXTENSION safemig; $history{seaorm}; INSERT INTO seaql_migrations VALUES ('old', 1); CREATE EXTENSION safemig");
	runs('up', q(BEGIN; CREATE TABLE t (id int); INSERT INTO seaql_migrations VALUES ('a', 1); COMMIT));
	runs('up', q(BEGIN; CREATE TABLE u (id int); INSERT INTO seaql_migrations VALUES ('b', 1); COMMIT));
	ends();
	my $gaps = 'SELECT framework, history, label, migration, problem FROM safemig.framework_gaps() ORDER BY label';
	is(value($database, $gaps), '', 'they agree');
	runs('unseen', q(SET safemig.enabled = off; INSERT INTO seaql_migrations VALUES ('c', 1); DELETE FROM seaql_migrations WHERE version = 'a'));
	is(value($database, $gaps), "seaorm|public.seaql_migrations|a|1|its row is not there\nseaorm|public.seaql_migrations|c||nothing is recorded of it", 'they do not');
	is(value($database, q(SELECT status, detail FROM safemig_doctor() WHERE item = 'frameworks')), 'warning|2 migrations are otherwise in their histories, such as seaorm a: its row is not there', 'the doctor says so');
	is(value($database, q(SELECT severity, object, problem FROM safemig_check(1))), 'warning|public.seaql_migrations|has no row "a" any more: to seaorm the migration is pending', 'and so does the check of the one');
	is(value($database, q(SELECT count(*) FROM safemig_check(2))), 0, 'not of the other');
	rolls_back(q(safemig_rollback('a')), 'SELECT string_agg(version, $$ $$ ORDER BY version) FROM seaql_migrations', 'b c old');
	begins();
	runs('up', $history{'golang-migrate'});
	golang('up', $_, "CREATE TABLE t$_ (id int)", 'false') foreach 1, 2;
	is(value($database, $gaps), '', 'one row tells of the last one alone');
	runs('up', 'SET safemig.enabled = off; DELETE FROM schema_migrations');
	is(value($database, 'SELECT label, problem FROM safemig.framework_gaps()'), '2|its row is not there', 'which is missed');
	is(value($database, q(SELECT problem FROM safemig_check((SELECT max(id) FROM safemig.migrations)) WHERE severity = 'warning')), 'has no row "2" any more: to golang-migrate the migration is pending', 'by the check too');
};

subtest 'a row without a key that was changed unseen' => sub {
	begins();
	runs('up', $history{liquibase});
	runs('up', 'CREATE TABLE t (id int)');
	runs('up', q(INSERT INTO databasechangelog VALUES ('1', 'me', 'f', now(), 1, 'EXECUTED', '8:1')));
	ends();
	runs('unseen', q(SET safemig.enabled = off; UPDATE databasechangelog SET md5sum = NULL));
	my (undef, undef, $err) = in_database($database, q(SELECT safemig_rollback('1')));
	like($err, qr/public.databasechangelog would still have the row of "f::1::me"/, 'a rollback that would leave it is refused');
	is(value($database, q(SELECT severity, problem FROM safemig_check(1))), 'error|would still have the row of "f::1::me"', 'as the check says');
	rolls_back(q(safemig_rollback('1', on_conflict => 'keep')), 'SELECT count(*) FROM databasechangelog', '1');
	is(value($database, q(SELECT to_regclass('t'))), '', 'but where it is to be kept');
};

subtest 'a history that is moved' => sub {
	begins();
	runs('up', $history{django});
	runs('up', "BEGIN; CREATE TABLE t$_ (id int); INSERT INTO django_migrations (app, name, applied) VALUES ('x', '$_', now()); COMMIT") foreach 1, 2;
	ends();
	runs('move', 'CREATE SCHEMA other');
	runs('move', 'ALTER TABLE django_migrations SET SCHEMA other');
	ends();
	is(value($database, 'SELECT count(*) FROM safemig.framework_gaps()'), 0, 'the rows are found');
	runs('up', q(SET search_path = public, other; BEGIN; CREATE TABLE t3 (id int); INSERT INTO django_migrations (app, name, applied) VALUES ('x', '3', now()); COMMIT));
	my (undef, undef, $err) = in_database($database, q(SELECT safemig_rollback('x.2')));
	like($err, qr/migration 5 "x.3" is newer than migration 2 "x.2"/, 'and so is their order');
	runs('up', q(BEGIN; DROP TABLE t3; DELETE FROM django_migrations WHERE name = '3'; COMMIT));
	runs('up', q(BEGIN; DROP TABLE t2; DELETE FROM django_migrations WHERE name = '2'; COMMIT));
	ends();
	known('x.1 django 1, x.2 django 2 reverted,   ,   , x.3 django 3 reverted, revert of x.3 django 3, revert of x.2 django 2', 'what is reverted is known');
	rolls_back(q(safemig_rollback_to(2)), 'SELECT string_agg(name, $$ $$ ORDER BY id) FROM django_migrations', '1 2');
	rolls_back(q(safemig_rollback('x.2')), 'SELECT name FROM public.django_migrations', '1');
};

subtest 'two frameworks in one session, and a table of names that is copied' => sub {
	begins();
	runs('up', $history{seaorm});
	runs('up', $history{knex});
	runs('up', q(BEGIN; CREATE TABLE a (id int); INSERT INTO seaql_migrations VALUES ('a', 1); CREATE TABLE b (id int); INSERT INTO knex_migrations (name, batch, migration_time) VALUES ('b', 1, now()); COMMIT));
	known('a seaorm a, b knex b', 'each has its own');
	rolls_back(q(safemig_rollback('b')), 'SELECT count(*) FROM knex_migrations', '0');
	is(value($database, q(SELECT to_regclass('a'), to_regclass('b'))), 'a|', 'with its table');
	runs('up', q(CREATE TABLE loaded (id int)));
	runs('up', q(COPY seaql_migrations FROM PROGRAM 'printf "x\t1\ny\t1\n"'));
	runs('up', q(BEGIN; CREATE TABLE c (id int); INSERT INTO seaql_migrations VALUES ('c', 1); COMMIT));
	known('a seaorm a, y seaorm y, c seaorm c', 'what was loaded is none of the next one');
	rolls_back(q(safemig_rollback('c')), 'SELECT string_agg(version, $$ $$ ORDER BY version) FROM seaql_migrations', 'a x y');
	is(value($database, q(SELECT to_regclass('loaded'))), 'loaded', 'and stays');
};

subtest 'a row that may be about either of two sessions' => sub {
	begins();
	runs('main', $history{flyway});
	runs('migration', 'CREATE TABLE t1 (id int)');
	runs('dba', 'CREATE TABLE by_hand (id int)');
	runs('main', q(INSERT INTO flyway_schema_history VALUES (1, '1', 'd', 'SQL', 'V1__d.sql', 0, 'x', now(), 1, true)));
	runs('migration', 'CREATE TABLE t2 (id int)');
	runs('dba', 'CREATE TABLE more_by_hand (id int)');
	runs('plain', q(INSERT INTO flyway_schema_history VALUES (2, '2', 'd', 'SQL', 'V2__d.sql', 0, 'x', now(), 1, true)));
	foreach my $name ('V1__d.sql', 'V2__d.sql')
	{
		my (undef, undef, $err) = in_database($database, "SELECT safemig_rollback('$name')");
		like($err, qr/migration "$name" does not exist/, "$name names none");
	}
	is(value($database, q(SELECT count(to_regclass(t)) FROM unnest('{t1,t2,by_hand,more_by_hand}'::text[]) t)), 4, 'nobody else\'s table has gone');
	is(value($database, q(SELECT label, problem FROM safemig.framework_gaps() ORDER BY label)), "V1__d.sql|nothing is recorded of it\nV2__d.sql|nothing is recorded of it", 'and the doctor says so');
};

# ---- a history that is written otherwise than by one migration after the other ----

# One version's way through golang-migrate, or what of it there is before a failure.
sub golang
{
	my ($session, $version, $ddl, $last) = @_;
	runs($session, $history{'golang-migrate'});
	my $row = sub { 'BEGIN; TRUNCATE schema_migrations; ' . (defined $_[0] ? "INSERT INTO schema_migrations VALUES ($version, $_[0]); " : '') . 'COMMIT' };
	runs($session, $row->('true')) if defined $ddl;
	runs($session, $ddl) if defined $ddl;
	runs($session, $row->($last));
	return;
}

subtest 'golang-migrate, back to before the first' => sub {
	begins();
	golang('up', $_, "CREATE TABLE t$_ (id int)", 'false') foreach 1, 2;
	ends();
	golang('down', 1, 'DROP TABLE t2', 'false');
	golang('down', -1, 'DROP TABLE t1', undef);
	ends();
	known('1 golang-migrate 1 reverted, 2 golang-migrate 2 reverted, revert of 2 golang-migrate 2, revert of 1 golang-migrate 1', 'all are reverted');
	golang('up', 1, 'CREATE TABLE t1 (id int)', 'false');
	ends();
	rolls_back(q(safemig_rollback('1')), 'SELECT count(*) FROM schema_migrations', '0');
	is(value($database, q(SELECT to_regclass('t1'))), '', 'what was run again is taken back');
	rolls_back(q(safemig_rollback('revert of 1')), 'SELECT version FROM schema_migrations', '1');
};

subtest 'golang-migrate, forced after a failure' => sub {
	begins();
	golang('up', 1, 'CREATE TABLE t1 (id int)', 'false');
	runs('up', 'BEGIN; TRUNCATE schema_migrations; INSERT INTO schema_migrations VALUES (2, true); COMMIT');
	runs('up', 'DO $$ BEGIN CREATE TABLE t2 (id int); PERFORM 1 / 0; END $$', qr/division by zero/);
	ends();
	golang('force', 1, undef, 'false');
	ends();
	golang('up', 2, 'CREATE TABLE t2 (id int)', 'false');
	is(value($database, q(SELECT count(*) FROM safemig.migrations WHERE commands = 0)), 0, 'no empty migration');
	rolls_back(q(safemig_rollback('2')), 'SELECT * FROM schema_migrations', '1|f');
	is(value($database, q(SELECT to_regclass('t2'))), '', 'the second run is what was meant');
	rolls_back('safemig_rollback_to(0)', 'SELECT count(*) FROM schema_migrations', '0');
};

subtest 'Prisma: a failure is resolved, and it is run again' => sub {
	begins();
	preloads();
	runs('up', $history{prisma});
	my $run = sub {
		my ($id, $fails) = @_;
		runs('up', "INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ('$id', '', '1_a')");
		runs('up', 'CREATE TABLE a (id int)');
		runs('up', 'DO $$ BEGIN CREATE TABLE b (id int); PERFORM 1 / 0; END $$', qr/division by zero/) if $fails;
		runs('up', 'UPDATE _prisma_migrations SET ' . ($fails ? q(logs = 'division') : 'finished_at = now()') . " WHERE id = '$id'");
		ends();
	};
	$run->('x', 1);
	runs('resolve', q(UPDATE _prisma_migrations SET rolled_back_at = now() WHERE id = 'x'));
	ends();
	is(value($database, 'SELECT count(*) FROM safemig.migrations'), 1, 'to resolve it is part of what failed');
	runs('dba', 'SET safemig.label = by_hand; DROP TABLE a');
	ends();
	$run->('y');
	rolls_back(q(safemig_rollback('1_a')), 'SELECT id FROM _prisma_migrations', 'x');
	rolls_back(q(safemig_rollback('by_hand')), 'SELECT id FROM _prisma_migrations', 'x');
	rolls_back(q(safemig_rollback('1_a')), 'SELECT count(*) FROM _prisma_migrations', '0');
	is(value($database, q(SELECT to_regclass('a'))), '', 'what had failed is taken back too');
};

subtest 'repeatable migrations' => sub {
	begins();
	runs('main', $history{flyway});
	my @views = ('SELECT 1 AS a', 'SELECT 1 AS a, 2 AS b');
	foreach my $n (1, 2)
	{
		runs('migration', "CREATE OR REPLACE VIEW v AS $views[$n - 1]");
		runs('main', "INSERT INTO flyway_schema_history VALUES ($n, NULL, 'v', 'SQL', 'R__v.sql', $n, 'x', now(), 1, true)");
	}
	ends();
	known('R__v.sql flyway v, R__v.sql flyway v', 'Flyway: a row for each run');
	rolls_back('safemig_rollback_last(1, anyone => true)', 'SELECT installed_rank FROM flyway_schema_history', '1');
	is(value($database, q(SELECT pg_get_viewdef('v'))), ' SELECT 1 AS a;', 'the view is the first one');
	rolls_back(q(safemig_rollback('R__v.sql')), 'SELECT count(*) FROM flyway_schema_history', '0');
	begins();
	runs('up', $history{liquibase});
	runs('up', "CREATE VIEW v AS $views[0]");
	runs('up', q(INSERT INTO databasechangelog VALUES ('v', 'me', 'f', now(), 1, 'EXECUTED', '8:1')));
	runs('up', "CREATE OR REPLACE VIEW v AS $views[1]");
	runs('up', q(UPDATE databasechangelog SET exectype = 'RERAN', md5sum = '8:2' WHERE id = 'v'));
	runs('up', 'CREATE TABLE t (id int)');
	runs('up', q(INSERT INTO databasechangelog VALUES ('t', 'me', 'f', now(), 2, 'EXECUTED', '8:3')));
	ends();
	known('f::v::me liquibase v, f::v::me liquibase v, f::t::me liquibase t', 'Liquibase: one row, written again');
	rolls_back(q(safemig_rollback('t')), 'SELECT id, md5sum FROM databasechangelog', 'v|8:2');
	is(value($database, q(SELECT count(*) FROM information_schema.columns WHERE table_name = 'v')), 2, 'the next one leaves the view alone');
	rolls_back('safemig_rollback_last(1, anyone => true)', 'SELECT id, md5sum FROM databasechangelog', 'v|8:1');
	rolls_back(q(safemig_rollback('v')), 'SELECT count(*) FROM databasechangelog', '0');
};

subtest 'a statement about several rows' => sub {
	begins();
	preloads();
	runs('up', $history{liquibase});
	foreach my $n (1 .. 3)
	{
		runs('up', "CREATE TABLE t$n (id int)");
		runs('up', "INSERT INTO databasechangelog VALUES ('$n', 'me', 'f', now(), $n, 'EXECUTED', '8:$n')");
	}
	ends();
	runs('clear', 'UPDATE databasechangelog SET md5sum = NULL');
	ends();
	rolls_back(q(safemig_rollback('3')), q(SELECT string_agg(id || COALESCE(md5sum, ''), ' ' ORDER BY id) FROM databasechangelog), '1 2');
	rolls_back(q(safemig_rollback('1')), 'SELECT id FROM databasechangelog', '2');
	rolls_back(q(safemig_redo((SELECT max(id) FROM safemig.migrations))), q(SELECT string_agg(id || COALESCE(md5sum, ''), ' ' ORDER BY id) FROM databasechangelog), '1 2');
	runs('tag', q(UPDATE databasechangelog SET md5sum = '9:1' WHERE id = '1'));
	ends();
	rolls_back(q(safemig_rollback('1')), 'SELECT id FROM databasechangelog', '2');

	begins();
	preloads();
	runs('up', $history{seaorm});
	runs('up', "BEGIN; CREATE TABLE t$_ (id int); INSERT INTO seaql_migrations VALUES ('$_', 1); COMMIT") foreach 1 .. 3;
	ends();
	runs('down', q(BEGIN; DROP TABLE t2, t3; DELETE FROM seaql_migrations WHERE version > '1'; COMMIT));
	ends();
	known('1 seaorm 1, 2 seaorm 2 reverted, 3 seaorm 3 reverted, revert of 3 seaorm 3', 'all that are gone are reverted');
	runs('squash', q(WITH gone AS (DELETE FROM seaql_migrations) INSERT INTO seaql_migrations VALUES ('all', 1)));
	ends();
	known('1 seaorm 1 reverted, 2 seaorm 2 reverted, 3 seaorm 3 reverted, revert of 3 seaorm 3, all seaorm all', 'one that replaces others');
	rolls_back(q(safemig_rollback('all')), 'SELECT version FROM seaql_migrations', '1');
	rolls_back(q(safemig_rollback('1')), 'SELECT count(*) FROM seaql_migrations', '0');
};

subtest 'rows that get other names' => sub {
	begins();
	preloads();
	runs('up', $history{knex});
	runs('up', "BEGIN; CREATE TABLE t$_ (id int); INSERT INTO knex_migrations (name, batch, migration_time) VALUES ('$_.js', 1, now()); COMMIT") foreach 1, 2;
	ends();
	runs('rename', q(UPDATE knex_migrations SET name = replace(name, '.js', '.ts')));
	ends();
	known('1.ts knex 1.ts, 2.ts knex 2.ts', 'they are the same migrations');
	rolls_back(q(safemig_rollback('1.ts')), 'SELECT name FROM knex_migrations', '2.ts');
	is(value($database, q(SELECT to_regclass('t1'), to_regclass('t2'))), '|t2', 'with its table');
	rolls_back('safemig_rollback_to(0)', 'SELECT count(*) FROM knex_migrations', '0');
};

subtest 'a history that was dropped' => sub {
	begins();
	foreach my $run (1, 2)
	{
		runs('up', $history{django});
		runs('up', "BEGIN; CREATE TABLE t$_ (id int); INSERT INTO django_migrations (app, name, applied) VALUES ('x', '$_', now()); COMMIT") foreach 1, 2;
		ends();
		runs('fresh', 'DROP TABLE t1, t2, django_migrations') if $run == 1;
		ends();
	}
	known('x.1 django 1 reverted, x.2 django 2 reverted,   , x.1 django 1, x.2 django 2', 'those of before stand no more');
	my (undef, undef, $err) = in_database($database, q(SELECT safemig_rollback('x.1')));
	like($err, qr/migration 5 "x.2" is newer than migration 4 "x.1"/, 'the order is that of the new ones');
	rolls_back(q(safemig_rollback('x.2')), 'SELECT name FROM django_migrations', '1');
	rolls_back(q(safemig_rollback('x.1')), q(SELECT to_regclass('t1') IS NULL AND to_regclass('t2') IS NULL), 't');
};

subtest 'Alembic merges branches' => sub {
	begins();
	runs('up', $history{alembic});
	runs('up', q(BEGIN; CREATE TABLE a (id int); INSERT INTO alembic_version VALUES ('a'); CREATE TABLE b (id int); INSERT INTO alembic_version VALUES ('b'); COMMIT));
	runs('up', q(BEGIN; CREATE TABLE c (id int); DELETE FROM alembic_version WHERE version_num = 'a'; UPDATE alembic_version SET version_num = 'c' WHERE version_num = 'b'; COMMIT));
	ends();
	known('a alembic a, b alembic b, c alembic c', 'three migrations');
	rolls_back(q(safemig_rollback('c')), q(SELECT string_agg(version_num, ' ' ORDER BY version_num) FROM alembic_version), 'a b');
	rolls_back(q(safemig_redo((SELECT max(id) FROM safemig.migrations))), q(SELECT version_num FROM alembic_version), 'c');
	runs('down', q(BEGIN; DROP TABLE c; UPDATE alembic_version SET version_num = 'b' WHERE version_num = 'c'; INSERT INTO alembic_version VALUES ('a'); COMMIT));
	ends();
	known('a alembic a, b alembic b, c alembic c reverted, revert of c alembic c', 'and its own way back');
	rolls_back(q(safemig_rollback('revert of c')), q(SELECT version_num FROM alembic_version), 'c');
	# the other order is that of version 1.8
	runs('down', q(BEGIN; DROP TABLE c; INSERT INTO alembic_version VALUES ('b'); UPDATE alembic_version SET version_num = 'a' WHERE version_num = 'c'; COMMIT));
	ends();
	known('a alembic a, b alembic b, c alembic c reverted, revert of c alembic c', 'in the other order');
	is(value($database, 'SELECT count(*) FROM safemig.framework_gaps()'), 0, 'no row is missed');
	rolls_back(q(safemig_rollback('revert of c')), q(SELECT version_num FROM alembic_version), 'c');
	rolls_back('safemig_rollback_to(0)', 'SELECT count(*) FROM alembic_version', '0');
};

subtest 'a newer row of which nothing is recorded' => sub {
	begins();
	runs('up', $history{django});
	foreach my $n (1, 2)
	{
		runs('up', 'SET safemig.enabled = off') if $n == 2;
		runs('up', "BEGIN; CREATE TABLE t$n (id int); INSERT INTO django_migrations (app, name, applied) VALUES ('x', '$n', now()); COMMIT");
	}
	ends();
	runs('up', q(BEGIN; CREATE TABLE t3 (id int); INSERT INTO django_migrations (app, name, applied) VALUES ('z', '1', now()); COMMIT));
	ends();
	my (undef, undef, $err) = in_database($database, q(SELECT safemig_rollback_to(0)));
	like($err, qr/row "x.2" of public.django_migrations is newer than migration 1 "x.1", and the order of migrations is binding for django/, 'is in the way of those before it');
	rolls_back(q(safemig_rollback('z.1')), 'SELECT string_agg(name, $$ $$ ORDER BY id) FROM django_migrations', '1 2');
};

subtest 'what is restored names nothing' => sub {
	begins();
	runs('up', $history{django});
	runs('up', "BEGIN; CREATE TABLE t$_ (id int); INSERT INTO django_migrations (app, name, applied) VALUES ('x', '$_', now()); COMMIT") foreach 1, 2;
	ends();
	my $of = $database;
	foreach my $how ('', '--inserts')
	{
		$database = new_database('fw' . ++$n);
		must($database, 'DROP EXTENSION safemig');
		my ($from, $to) = map { connection_to($_) } $of, $database;
		my @of = map { ($_->{bindir}, '-h', $_->{host}, '-p', $_->{port}, '-d', $_->{dbname}) } $from, $to;
		my $dump = "$from->{bindir}/pg_dump";
		ok(IPC::Run::run([ $dump, @of[ 1 .. 6 ], split ' ', $how ], '|',
				[ "$to->{bindir}/psql", '-XqAt', '-v', 'ON_ERROR_STOP=1', @of[ 8 .. 13 ] ], '>', \my $out), "restored $how");
		known('x.1 django 1, x.2 django 2', 'the history is the other one\'s');
		rolls_back(q(safemig_rollback('x.2')), 'SELECT name FROM django_migrations', '1');
	}
};

# ---- in passing ----

subtest 'noise leaves nothing' => sub {
	begins();
	runs('x', $history{seaorm}) foreach 1 .. 2;
	runs('x', 'CREATE SCHEMA IF NOT EXISTS drizzle; CREATE TABLE IF NOT EXISTS drizzle.__drizzle_migrations (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at bigint)');
	runs('x', 'CREATE TABLE yoyo_lock (locked INT DEFAULT 1, ctime TIMESTAMP, pid INT NOT NULL, PRIMARY KEY (locked))');
	runs('x', 'CREATE TABLE yoyo_lock (locked int)', qr/already exists/);
	runs('x', 'BEGIN; CREATE TABLE yoyo_tmp_abc (id int); ROLLBACK');
	runs('x', 'DROP TABLE yoyo_lock');
	runs('x', 'SELECT * FROM seaql_migrations; SELECT pg_advisory_lock(72707369)');
	runs('x', 'TRUNCATE seaql_migrations');
	is(value($database, 'SELECT count(*) FROM safemig.migrations'), 0, 'no migration');
	is(value($database, 'SELECT count(*) FROM safemig.kept'), 0, 'nothing kept');
};

subtest 'a history that is older than the extension' => sub {
	begins();
	must($database, "DROP EXTENSION safemig; $history{seaorm}; INSERT INTO seaql_migrations VALUES ('old', 1); CREATE EXTENSION safemig");
	runs('up', q(BEGIN; CREATE TABLE t (id int); INSERT INTO seaql_migrations VALUES ('new', 1); COMMIT));
	known('new seaorm new', 'the new one');
	rolls_back('safemig_rollback_to(0)', 'SELECT version FROM seaql_migrations', 'old');
};

subtest 'who names his migration himself' => sub {
	begins();
	runs('up', $history{seaorm});
	runs('up', q(SET safemig.label = 'mine'; CREATE TABLE t (id int); INSERT INTO seaql_migrations VALUES ('a', 1); CREATE TABLE u (id int)));
	known('mine seaorm a', 'one migration');
	rolls_back(q(safemig_rollback('a')), 'SELECT count(*) FROM seaql_migrations', '0');
};

subtest 'psql reads the history and goes on by hand' => sub {
	begins();
	runs('up', $history{seaorm});
	ends();
	runs('psql', 'SELECT * FROM seaql_migrations; CREATE TABLE a (id int)');
	runs('psql', 'CREATE TABLE b (id int)');
	is(value($database, 'SELECT count(*), count(framework) FROM safemig.migrations'), '2|0', 'two migrations of no framework');
};

subtest 'a framework of one\'s own' => sub {
	begins();
	my $add = q(INSERT INTO safemig.frameworks (name, table_name, columns, label, version, row_written, transactions)
		VALUES ('mine', 'my_.*', '{step integer,what text?}', %s, 'step::text', 'with the migration', 'migration'));
	my (undef, undef, $err) = in_database($database, sprintf $add, q('no_such_column'));
	like($err, qr/column "no_such_column" does not exist/, 'an expression that is wrong is refused');
	must($database, sprintf $add, q('COALESCE(what, ''step '' || step)'));
	runs('up', 'CREATE TABLE my_steps (step int PRIMARY KEY)');
	runs('up', 'BEGIN; CREATE TABLE t (id int); INSERT INTO my_steps VALUES (1); COMMIT');
	known('step 1 mine 1', 'its migration');
	runs('up', 'ALTER TABLE my_steps ADD what text');
	runs('up', q(BEGIN; CREATE TABLE u (id int); INSERT INTO my_steps VALUES (2, 'second'); COMMIT));
	rolls_back(q(safemig_rollback('step 1')), 'SELECT * FROM my_steps', '2|second');
	rolls_back(q(safemig_redo((SELECT max(id) FROM safemig.migrations))), 'SELECT count(*) FROM my_steps', '2');
};

subtest 'a history that the framework holds locked' => sub {
	begins();
	runs('up', $history{seaorm});
	runs('up', q(BEGIN; CREATE TABLE t (id int); INSERT INTO seaql_migrations VALUES ('a', 1); COMMIT));
	runs('up', 'BEGIN; LOCK TABLE seaql_migrations IN EXCLUSIVE MODE');
	my (undef, undef, $err) = in_database($database, q(SET safemig.lock_timeout = '100ms'; SELECT safemig_rollback('a')));
	like($err, qr/ERROR: .*lock/, 'an error, not a wait');
	is(value($database, q(SELECT count(*) FROM t)), 0, 'nothing has changed');
	runs('up', 'COMMIT');
	rolls_back(q(safemig_rollback('a')), 'SELECT count(*) FROM seaql_migrations', '0');
};

subtest 'a history that somebody else has made' => sub {
	begins();
	runs('up', $history{seaorm});
	runs('up', q(BEGIN; CREATE TABLE t (id int); INSERT INTO seaql_migrations VALUES ('a', 1); COMMIT));
	ends();
	runs('admin', 'CREATE TABLE u (id int)');
	# it names, reverts and adds to migrations of its owner alone
	must($database, 'GRANT CREATE ON DATABASE ' . $database . ' TO alice');
	runs('alice', 'SET SESSION AUTHORIZATION alice; CREATE SCHEMA mine');
	runs('alice', $history{seaorm} =~ s/seaql/mine.seaql/r);
	runs('alice', q(INSERT INTO mine.seaql_migrations VALUES ('a', 1); UPDATE mine.seaql_migrations SET applied_at = 2; DELETE FROM mine.seaql_migrations));
	runs('alice', $_) foreach split /;\n/, $history{flyway} =~ s/flyway_schema_history(?!_)/mine.flyway_schema_history/gr;
	runs('alice', 'SET safemig.enabled = off', qr/permission denied/);
	runs('plain', q(SET SESSION AUTHORIZATION alice; INSERT INTO mine.flyway_schema_history VALUES (1, '1', 'd', 'SQL', 'V1__d.sql', 0, 'x', now(), 1, true)));
	is(value($database, q(SELECT string_agg(format('%s %s %s', role = 'alice', label, reverted_by), ', ' ORDER BY id) FROM safemig.migrations WHERE kind = 'migration')) =~ s/t [^,]*, |, t [^,]*//gr,
		'f a , f  ', 'those of others are as they were');
	runs('plain', 'ALTER TABLE mine.flyway_schema_history ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY');
	runs('plain', 'CREATE POLICY p ON mine.flyway_schema_history USING (1 / 0 > installed_rank)');
	rolls_back(q(safemig_rollback('a')), 'SELECT count(*) FROM seaql_migrations', '0');
};

subtest 'a TRUNCATE by itself is a migration' => sub {
	begins();
	must($database, 'CREATE TABLE t (id serial PRIMARY KEY, a int); INSERT INTO t (a) VALUES (1), (2); CREATE TABLE empty (id serial PRIMARY KEY)');
	must($database, q(SELECT setval('empty_id_seq', 7)));
	must($database, q(ALTER DATABASE ) . $database . q( SET session_preload_libraries = safemig));
	runs('psql', 'TRUNCATE t RESTART IDENTITY');
	runs('psql', 'TRUNCATE empty RESTART IDENTITY');
	rolls_back('safemig_rollback_last(2)', 'SELECT string_agg(id || $$ $$ || a, $$,$$ ORDER BY id) FROM t', '1 1,2 2');
	is(value($database, q(SELECT (SELECT last_value FROM t_id_seq), (SELECT last_value FROM empty_id_seq))), '2|7', 'the sequences too');
	runs('etl', q(SET safemig.capture_data = explicit; TRUNCATE t));
	is(value($database, q(SELECT count(*) FROM safemig.migrations WHERE kind = 'migration' AND state = 'applied')), 2, 'but not where only named ones are') or
	  diag(value($database, 'SELECT id, kind, state FROM safemig.migrations'));
};

ends();
done_testing();
