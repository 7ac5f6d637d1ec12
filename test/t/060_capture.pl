
# Copyright (c) 2026, the safemig authors

# What reaches the history, however the DDL arrives.  pg_regress cannot show
# it: it takes several sessions, the extended protocol, and pg_dump.

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

my $server = start_server('capture');

my $table = q(CREATE TABLE t (id int PRIMARY KEY, a int, b text); INSERT INTO t SELECT i, i, 'b' FROM generate_series(1, 9) i;
			  CREATE TABLE u (id int REFERENCES t););

round_trips(
	{
		name => 'a schema with elements',
		setup => $table,
		migration => 'CREATE SCHEMA app AUTHORIZATION alice CREATE TABLE x (id serial PRIMARY KEY) CREATE INDEX xi ON x (id) CREATE VIEW v AS SELECT * FROM x GRANT SELECT ON v TO bob CREATE SEQUENCE sq',
	},
	{
		name => 'functions that run DDL, in functions',
		setup => $table . q(
			CREATE FUNCTION inner_ddl(n text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE format('ALTER TABLE t ADD COLUMN %I int DEFAULT 1', n); EXECUTE 'DROP TABLE IF EXISTS u'; END $$;
			CREATE FUNCTION outer_ddl() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM inner_ddl('x'); PERFORM inner_ddl('y'); CREATE TABLE made AS SELECT 1 AS a FROM inner_ddl('z'); END $$;
			CREATE PROCEDURE proc_ddl() LANGUAGE plpgsql AS $$ BEGIN ALTER TABLE t DROP COLUMN b; END $$),
		migration => 'SELECT outer_ddl(); CALL proc_ddl()',
	},
	{
		name => 'a DO block with exceptions caught',
		setup => $table,
		migration => q(
			DO $$ BEGIN
				ALTER TABLE t DROP COLUMN a;
				BEGIN
					ALTER TABLE t DROP COLUMN b; CREATE TABLE lost (a int); RAISE EXCEPTION 'back';
				EXCEPTION WHEN OTHERS THEN NULL;
				END;
				BEGIN DROP TABLE missing; EXCEPTION WHEN undefined_table THEN CREATE TABLE kept (a int); END;
			END $$),
	},
	{
		name => 'savepoints rolled back and released',
		setup => $table,
		migration => q(BEGIN; ALTER TABLE t ADD x int; SAVEPOINT s1; DROP TABLE t CASCADE; CREATE TABLE t (other int); ROLLBACK TO s1; ALTER TABLE t DROP COLUMN a;
					   SAVEPOINT s2; DROP TABLE u; SAVEPOINT s3; CREATE TABLE u (z int); ROLLBACK TO s3; RELEASE s2; COMMIT),
	},
	{
		name => 'a savepoint before the first DDL rolled back',
		setup => $table,
		migration => q(BEGIN; SAVEPOINT s; DROP TABLE u; ROLLBACK TO s; ALTER TABLE t ADD x int; COMMIT),
	},
	{
		name => 'statements that fail between those that do not',
		setup => $table,
		migration => q(
\set ON_ERROR_STOP off
ALTER TABLE t DROP COLUMN missing;
ALTER TABLE t ADD x int;
DROP TABLE t;
CREATE TABLE t (a int);
ALTER TABLE t ADD CONSTRAINT bad CHECK (id > 5);
ALTER TABLE t DROP COLUMN b, ADD CONSTRAINT bad CHECK (id > 5);
CREATE TABLE half AS SELECT 1 / (id - 5) AS a FROM t;
DROP TABLE u, missing;
\set ON_ERROR_STOP on
ALTER TABLE t DROP COLUMN a),
	},
	{
		name => 'several objects in one statement',
		setup => $table . 'CREATE VIEW v1 AS SELECT 1 AS a; CREATE VIEW v2 AS SELECT 2 AS a; CREATE SEQUENCE s1; CREATE SEQUENCE s2; CREATE FUNCTION f1() RETURNS int LANGUAGE sql AS \'SELECT 1\'; CREATE FUNCTION f2() RETURNS int LANGUAGE sql AS \'SELECT 1\'; CREATE INDEX i1 ON t (a); CREATE INDEX i2 ON t (b)',
		migration => 'DROP VIEW v1, v2; DROP SEQUENCE s1, s2; DROP FUNCTION f1, f2; DROP INDEX i1, i2; DROP TABLE t, u; GRANT SELECT ON ALL TABLES IN SCHEMA public TO bob',
	},
	{
		name => 'several statements in one query message',
		setup => $table,
		migration => q(ALTER TABLE t ADD x int\; DROP TABLE u\; ALTER TABLE t DROP COLUMN b;),
	},
	{
		name => 'prepared statements run twice by a function',
		setup => $table . q(CREATE FUNCTION again(x text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN CREATE TABLE p (a int); INSERT INTO p VALUES (1); DROP TABLE p; END $$),
		migration => q(SELECT again('1'); SELECT again('2'); PREPARE q AS SELECT again($1); EXECUTE q('3'); EXECUTE q('4'); DROP TABLE u),
	},
	{
		name => 'session_replication_role = replica',
		setup => $table,
		migration => 'SET session_replication_role = replica; ALTER TABLE t DROP COLUMN b; DROP TABLE u',
	},
	{
		name => 'temporary objects leave no trace',
		setup => $table,
		migration => q(CREATE TEMP TABLE tmp (a int) ON COMMIT DROP; CREATE TEMP TABLE tmp2 AS SELECT * FROM t; ALTER TABLE tmp2 ADD x int; DROP TABLE tmp2; ALTER TABLE t ADD y int; CREATE TEMP VIEW tv AS SELECT * FROM t),
	},
	{
		name => 'functions, domains and casts of temporary types go with these',
		setup => 'CREATE TABLE t (id int)',
		migration => q(CREATE TEMP TABLE tt (a int); CREATE FUNCTION f(tt) RETURNS int LANGUAGE sql AS 'SELECT $1.a'; CREATE FUNCTION g() RETURNS SETOF tt LANGUAGE sql AS 'SELECT * FROM tt';
			CREATE DOMAIN dt AS tt[]; CREATE CAST (tt AS int) WITH FUNCTION f(tt); COMMENT ON FUNCTION f(tt) IS 'f'; DROP FUNCTION g(); ALTER TABLE t ADD y int),
	},
	{
		name => 'an extension, made and dropped',
		setup => $table,
		migration => 'CREATE EXTENSION IF NOT EXISTS plpgsql; ALTER TABLE t ADD x int; CREATE EXTENSION hstore; ALTER TABLE t ADD h hstore',
	},
	{
		name => 'IF NOT EXISTS and IF EXISTS that do nothing',
		setup => $table,
		migration => 'CREATE TABLE IF NOT EXISTS t (z int); DROP TABLE IF EXISTS missing; CREATE INDEX IF NOT EXISTS t_pkey ON t (a); ALTER TABLE IF EXISTS missing ADD x int; DROP SCHEMA IF EXISTS missing CASCADE; CREATE SCHEMA IF NOT EXISTS public; ALTER TABLE t ADD x int',
	},
	{
		name => 'run by another role, rolled back by another',
		setup => $table . 'ALTER TABLE t OWNER TO alice; ALTER TABLE u OWNER TO alice',
		migration => 'SET ROLE alice; ALTER TABLE t DROP COLUMN b; DROP TABLE u; CREATE TABLE made (a int); CREATE VIEW av AS SELECT * FROM t',
	},
	{
		name => 'run and rolled back by the owner, in a schema of somebody else',
		setup => $table . 'ALTER TABLE t OWNER TO alice; ALTER TABLE u OWNER TO alice; CREATE INDEX ti ON t (a)',
		migration => q(SET ROLE alice; ALTER TABLE t DROP COLUMN a, ADD x int DEFAULT 3 CHECK (x > 0); DROP TABLE u; CREATE VIEW av AS SELECT * FROM t),
		rollback => q(SET ROLE alice; SELECT safemig_rollback('case')),
	},
	{
		name => 'rows written by CTEs, ON CONFLICT, MERGE, COPY and cascades',
		setup => $table . q(CREATE TABLE child (id int PRIMARY KEY, t_id int REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE); INSERT INTO child SELECT i, i FROM generate_series(1, 9) i),
		migration => q(
			ALTER TABLE t ADD x int;
			WITH d AS (DELETE FROM t WHERE id = 1 RETURNING *) INSERT INTO t SELECT id + 100, a, b FROM d;
			INSERT INTO t VALUES (2, 22, 'conflict'), (50, 5, 'new') ON CONFLICT (id) DO UPDATE SET a = EXCLUDED.a;
			MERGE INTO t USING (VALUES (3), (60)) v (id) ON t.id = v.id WHEN MATCHED THEN UPDATE SET b = 'merged' WHEN NOT MATCHED THEN INSERT (id) VALUES (v.id);
			UPDATE t SET id = 200 WHERE id = 4;
COPY t (id, b) FROM stdin;
70	copied
71	copied
\.
			TRUNCATE u),
	},
);

# Explicit migrations, over several transactions.
my $before;

sub fresh
{
	my ($name) = @_;
	my $database = new_database($name);
	in_database($database, $table);
	$before = state_of($database);
	return $database;
}

sub is_old
{
	my ($database, $what) = @_;
	is(SafemigOracle::difference($before, state_of($database)), '', $what);
	return;
}

sub runs
{
	my ($database, $sql, $what) = @_;
	my ($status, $out, $err) = in_database($database, $sql);
	ok(!$status, $what) or diag($err);
	return $out;
}

subtest 'an explicit migration over several transactions' => sub {
	my $database = fresh('explicit');
	my $out = runs($database, q(SELECT safemig_begin('big one', reason => 'why');
		ALTER TABLE t DROP COLUMN b; BEGIN; DROP TABLE u; COMMIT; BEGIN; DROP TABLE t; ROLLBACK; SELECT safemig_current(); SELECT safemig_end();), 'begin, work, end');
	my ($begin, $current, $end) = split /\n/, $out;
	is($current, $begin, 'safemig_current is what begin gave');
	is($end, $begin, 'so is what end gives');
	is(value($database, q(SELECT kind, label, state, reason FROM safemig.migrations WHERE label = 'big one')), 'migration|big one|applied|why', 'recorded as one');
	runs($database, q(SELECT safemig_rollback('big one')), 'rollback');
	is_old($database, 'the state is the old one');
	is(value($database, q(SELECT state FROM safemig.migrations WHERE label = 'big one' AND kind = 'migration')), 'rolled_back', 'and says so');
};

subtest 'an explicit migration aborted' => sub {
	my $database = fresh('aborted');
	runs($database, q(SELECT safemig_begin('wrong'); ALTER TABLE t DROP COLUMN a; DROP TABLE u; CREATE TABLE n (a int); SELECT safemig_abort();), 'begin, work, abort');
	is_old($database, 'the state is the old one');
	like(value($database, q(SELECT state FROM safemig.migrations WHERE label = 'wrong' AND kind = 'migration')), qr{^(abandoned|rolled_back)$}, 'and says so');
};

subtest 'end is legal after an error' => sub {
	my $database = fresh('after_error');
	runs($database, q(
\set ON_ERROR_STOP off
SELECT safemig_begin('err');
ALTER TABLE t DROP COLUMN a;
ALTER TABLE t DROP COLUMN missing;
SELECT safemig_end();
\set ON_ERROR_STOP on
CREATE TABLE not_in_it (a int)), 'begin, an error, end');
	runs($database, q(DROP TABLE not_in_it; SELECT safemig_rollback('err')), 'rollback of it alone');
	is_old($database, 'the state is the old one');
};

subtest 'the session of an open migration goes away' => sub {
	my $database = fresh('gone_away');
	runs($database, q(SELECT safemig_begin('left'); ALTER TABLE t DROP COLUMN a), 'begin and leave');
	runs($database, q(SELECT safemig_rollback('left')), 'rollback from another session');
	is_old($database, 'the state is the old one');
};

subtest 'safemig_run' => sub {
	my $database = fresh('run');
	runs($database, q(SELECT safemig_run('script', 'ALTER TABLE t DROP COLUMN a; DROP TABLE u')), 'run');
	isnt(state_of($database), $before, 'it did something');
	runs($database, q(SELECT safemig_rollback('script')), 'rollback');
	is_old($database, 'the state is the old one');
	my ($status) = in_database($database, q(SELECT safemig_run('bad', 'DROP TABLE u; SELECT 1/0')));
	ok($status, 'a script that fails');
	is_old($database, 'leaves nothing');
	is(value($database, q(SELECT count(*) FROM safemig.migrations WHERE label = 'bad' AND state = 'applied')), 0, 'and no migration');
};

subtest 'what fails or is undone leaves no migration' => sub {
	my $database = fresh('failures');
	my $mark = value($database, 'SELECT count(*) FROM safemig.migrations');
	in_database($database, 'ALTER TABLE t DROP COLUMN missing');
	in_database($database, 'BEGIN; DROP TABLE t CASCADE; ROLLBACK');
	in_database($database, 'DROP TABLE t');
	in_database($database, 'BEGIN; SAVEPOINT s; DROP TABLE u; ROLLBACK TO s; COMMIT');
	is(value($database, 'SELECT count(*) FROM safemig.migrations'), $mark, 'no migration more');
	is(value($database, q(SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'safemig\_vault\_%')), 0, 'no vault schema');
	is_old($database, 'the state is the old one');
};

subtest 'implicit migrations: one for each transaction' => sub {
	my $database = fresh('implicit');
	my $mark = value($database, 'SELECT coalesce(safemig_mark(), 0)');
	runs($database, 'ALTER TABLE t ADD x int; BEGIN; ALTER TABLE t ADD y int; DROP TABLE u; COMMIT; ALTER TABLE t DROP COLUMN a', 'three transactions');
	is(value($database, "SELECT count(*) FROM safemig.migrations WHERE id > $mark"), 3, 'three migrations');
	runs($database, 'SELECT safemig_rollback(safemig_mark())', 'the newest back');
	runs($database, "SELECT safemig_rollback_to($mark)", 'back to the mark');
	is_old($database, 'the state is the old one');
	is(value($database, "SELECT safemig_rollback_to($mark) IS NULL"), 't', 'nothing more to do');
};

subtest 'rollback_last and a chain' => sub {
	my $database = fresh('chain');
	runs($database, "SET safemig.label = 'c$_'; ALTER TABLE t ADD x$_ int DEFAULT $_;", "c$_") foreach 1 .. 4;
	runs($database, 'SELECT safemig_rollback_last()', 'the last one');
	runs($database, 'SELECT safemig_rollback_last(n => 3)', 'three more');
	is_old($database, 'the state is the old one');
};

# The extended protocol, with and without a named statement.
foreach my $mode ('extended', 'prepared')
{
	subtest "pgbench -M $mode" => sub {
		my $database = fresh($mode);
		my $file = PostgreSQL::Test::Utils::tempdir() . "/$mode.sql";
		append_to_file($file, "SET safemig.label = 'case';\nALTER TABLE t DROP COLUMN b;\nDROP TABLE u;\nCREATE TABLE made (a int);\nALTER TABLE t ADD COLUMN z int DEFAULT 4;\nSET safemig.label = '';\n");
		command_ok([ 'pgbench', '-n', '-M', $mode, '-t', '1', '-f', $file,
			'-h', $server->host, '-p', $server->port, $database ], 'pgbench');
		runs($database, q(SELECT safemig_rollback('case')), 'rollback');
		is_old($database, 'the state is the old one');
	};
}

done_testing();
