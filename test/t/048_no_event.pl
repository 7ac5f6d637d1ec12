
# Copyright (c) 2026, the safemig authors

# Commands that PostgreSQL tells no event trigger of, in sessions that have the
# library: on event triggers, roles, databases and tablespaces, REASSIGN OWNED,
# CLUSTER, EXPLAIN ANALYZE of what makes a table; and what shows where nobody
# was told of a command; and event triggers of others that run commands.
# pg_regress cannot show it: the proof is a comparison of dumps and catalogs.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigTest;
use Test::More;

start_server('no_event', conf => "session_preload_libraries = 'safemig'\nmax_prepared_transactions = 5");

$SafemigTest::other_catalogs = 1;

# what the cases are about beside their own database
must('postgres', q(CREATE DATABASE neighbour; SET allow_in_place_tablespaces = on; CREATE TABLESPACE nook LOCATION ''));

my $trigger = q(
	CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
	CREATE EVENT TRIGGER "Mine" ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'DROP TABLE') EXECUTE FUNCTION f();
	COMMENT ON EVENT TRIGGER "Mine" IS 'is it?';
	CREATE EVENT TRIGGER off ON sql_drop EXECUTE FUNCTION f(); ALTER EVENT TRIGGER off DISABLE;
);

# u could not be built, and could be now; e cannot any more, here
my $invalid = q(CREATE TABLE t (a int, b int, CONSTRAINT k UNIQUE (a)); INSERT INTO t SELECT g, g FROM generate_series(1, 100) g; INSERT INTO t VALUES (101, 1);
	CREATE FUNCTION f(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END'; CREATE INDEX e ON t (f(b)); COMMENT ON INDEX e IS 'e') . qq(;
\\set ON_ERROR_STOP off
CREATE UNIQUE INDEX CONCURRENTLY u ON t (b);
\\set ON_ERROR_STOP on
) . q(DELETE FROM t WHERE a = 101; CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN IF current_database() ~ ''restored'' THEN RETURN $1; END IF; RAISE EXCEPTION ''no''; END'; CREATE MATERIALIZED VIEW m AS SELECT 1 AS a; CREATE UNIQUE INDEX mi ON m (a));

my $granted = q(CREATE FUNCTION ag() RETURNS event_trigger LANGUAGE plpgsql AS $f$DECLARE r record; BEGIN FOR r IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE command_tag = 'CREATE TABLE' AND object_type = 'table' LOOP
	EXECUTE 'GRANT SELECT ON ' || r.object_identity || ' TO bob'; EXECUTE 'COMMENT ON TABLE ' || r.object_identity || ' IS ''mine'''; EXECUTE 'ALTER TABLE ' || r.object_identity || ' ADD COLUMN made_at timestamptz'; END LOOP; END$f$;
	CREATE EVENT TRIGGER "00 grant" ON ddl_command_end EXECUTE FUNCTION ag(););

round_trips(
	{
		name => 'an event trigger of others changes what a command made',
		setup => $granted . 'CREATE TABLE before (a int)',
		migration => 'CREATE TABLE n (a int PRIMARY KEY); CREATE SCHEMA s CREATE TABLE t (b int); DROP TABLE before',
	},
	{
		name => 'or makes something when one drops',
		setup => q(CREATE TABLE e1 (a int); CREATE TABLE e2 (a int, b int); CREATE FUNCTION ad() RETURNS event_trigger LANGUAGE plpgsql AS $f$BEGIN IF EXISTS (SELECT FROM pg_event_trigger_dropped_objects() WHERE object_name = 'e1' AND object_type = 'table') THEN CREATE TABLE public.aside (x int); END IF; END$f$;
			CREATE EVENT TRIGGER "0 drop" ON sql_drop EXECUTE FUNCTION ad()),
		migration => 'DROP TABLE e1; ALTER TABLE e2 DROP COLUMN a',
		once => 1,
	},
	{
		name => 'or drops another column',
		setup => q(CREATE TABLE t (a int, b int, c int); INSERT INTO t VALUES (1, 2, 3); CREATE FUNCTION an() RETURNS event_trigger LANGUAGE plpgsql AS $f$BEGIN IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'public.t'::regclass AND attname = 'b') AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'public.t'::regclass AND attname = 'a') THEN ALTER TABLE public.t DROP COLUMN b; END IF; END$f$;
			CREATE EVENT TRIGGER an ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION an()),
		migration => 'ALTER TABLE t DROP COLUMN a',
		once => 1,
	},
	{
		name => 'a role gets another name, and then what is its changes',
		roles => [ 'r_k' ],
		setup => q(CREATE SCHEMA s AUTHORIZATION r_k; CREATE TABLE s.t (a int PRIMARY KEY, b text UNIQUE); ALTER TABLE s.t OWNER TO r_k; INSERT INTO s.t VALUES (1, 'x');
			CREATE TABLE g (a int, o name); CREATE POLICY p ON g TO r_k USING (true); GRANT SELECT, UPDATE (a) ON g TO r_k WITH GRANT OPTION; CREATE VIEW v AS SELECT a FROM g; ALTER VIEW v OWNER TO r_k;
			ALTER DEFAULT PRIVILEGES FOR ROLE r_k GRANT SELECT ON TABLES TO PUBLIC; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; GRANT EXECUTE ON FUNCTION f() TO r_k),
		migration => q(ALTER TABLE g ADD COLUMN c int; ALTER ROLE r_k RENAME TO "r K"; DROP VIEW v; DROP TABLE s.t; ALTER TABLE g DROP COLUMN o; REVOKE ALL ON g FROM "r K";
			ALTER DEFAULT PRIVILEGES FOR ROLE "r K" REVOKE SELECT ON TABLES FROM PUBLIC; ALTER FUNCTION f() STRICT; ALTER SCHEMA s OWNER TO CURRENT_USER),
	},
	{
		name => 'an event trigger made',
		setup => q(CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'),
		migration => q(CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f(); COMMENT ON EVENT TRIGGER e IS 'x'; ALTER EVENT TRIGGER e ENABLE REPLICA),
	},
	{ name => 'event triggers dropped', setup => $trigger, migration => 'DROP EVENT TRIGGER "Mine"; DROP EVENT TRIGGER off' },
	{ name => 'event triggers that go with their function', setup => $trigger, migration => 'DROP FUNCTION f CASCADE' },
	{
		name => 'event triggers altered',
		setup => $trigger . 'CREATE ROLE boss SUPERUSER',
		migration => q(ALTER EVENT TRIGGER "Mine" RENAME TO ours; ALTER EVENT TRIGGER ours ENABLE ALWAYS; ALTER EVENT TRIGGER off ENABLE;
			ALTER EVENT TRIGGER off OWNER TO boss; COMMENT ON EVENT TRIGGER ours IS NULL),
		roles => [],
	},
	{
		name => 'one that is called as if it were ours',
		setup => q(CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER safemig_mine ON sql_drop EXECUTE FUNCTION f()),
		migration => 'ALTER EVENT TRIGGER safemig_mine DISABLE',
	},
	{
		name => 'their function gets another name',
		setup => $trigger,
		migration => 'ALTER FUNCTION f RENAME TO g; CREATE SCHEMA s; ALTER FUNCTION g SET SCHEMA s',
	},
	{
		name => 'EXPLAIN ANALYZE that makes tables',
		setup => 'CREATE TABLE t (a int); INSERT INTO t VALUES (1)',
		migration => 'EXPLAIN (ANALYZE) CREATE TABLE u AS SELECT * FROM t; EXPLAIN ANALYZE CREATE MATERIALIZED VIEW m AS SELECT * FROM t; EXPLAIN CREATE TABLE v AS SELECT 1',
	},
	{
		name => 'roles made',
		setup => 'CREATE TABLE t (a int)',
		migration => q(CREATE ROLE "r A" LOGIN PASSWORD 'x' CONNECTION LIMIT 3 VALID UNTIL '2030-01-01'; CREATE USER r_b IN ROLE "r A" ROLE bob ADMIN alice;
			COMMENT ON ROLE "r A" IS 'it''s'; ALTER ROLE "r A" SET work_mem = '1MB'; ALTER ROLE "r A" IN DATABASE postgres SET search_path = a, "B c";
			GRANT "r A" TO carol WITH ADMIN OPTION; ALTER TABLE t OWNER TO "r A"; GRANT SELECT ON t TO r_b),
	},
	{
		name => 'roles changed',
		setup => q(CREATE ROLE r_c LOGIN PASSWORD 'x'; GRANT r_c TO alice WITH ADMIN OPTION; GRANT bob TO r_c; ALTER ROLE r_c SET work_mem = '1MB'; COMMENT ON ROLE r_c IS 'c'),
		migration => q(ALTER ROLE r_c NOLOGIN PASSWORD NULL CREATEDB NOINHERIT VALID UNTIL 'infinity'; ALTER ROLE r_c RENAME TO "r D"; ALTER ROLE "r D" RESET ALL; ALTER ROLE "r D" SET datestyle = 'ISO';
			REVOKE ADMIN OPTION FOR "r D" FROM alice; REVOKE bob FROM "r D"; ALTER GROUP "r D" ADD USER carol; COMMENT ON ROLE "r D" IS NULL),
	},
	{
		name => 'roles dropped with what is theirs',
		setup => q(CREATE ROLE r_e; CREATE ROLE r_f IN ROLE r_e; GRANT r_f TO alice; CREATE TABLE t (a int); INSERT INTO t VALUES (1); ALTER TABLE t OWNER TO r_e; CREATE TABLE u (a int); GRANT SELECT ON u TO r_f;
			ALTER ROLE r_e SET work_mem = '2MB'; COMMENT ON ROLE r_f IS 'f'),
		migration => 'REASSIGN OWNED BY r_e TO bob; DROP OWNED BY r_e, r_f; DROP ROLE r_e, r_f',
		# the restored copy has things of these roles
		once => 1,
	},
	{
		name => 'REASSIGN OWNED',
		setup => q(CREATE TABLE t (id serial PRIMARY KEY, a int); CREATE VIEW v AS SELECT * FROM t; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
			CREATE TYPE e AS ENUM ('x'); CREATE SCHEMA s; CREATE TABLE s.p (a int) PARTITION BY LIST (a); CREATE TABLE s.p1 PARTITION OF s.p DEFAULT;
			GRANT SELECT ON t TO carol;
			ALTER TABLE t OWNER TO alice; ALTER VIEW v OWNER TO alice; ALTER FUNCTION f OWNER TO alice; ALTER TYPE e OWNER TO alice; ALTER SCHEMA s OWNER TO alice;
			ALTER TABLE s.p OWNER TO alice; ALTER TABLE s.p1 OWNER TO bob),
		migration => 'REASSIGN OWNED BY alice TO carol',
	},
	{
		name => 'REASSIGN OWNED, then everything dropped',
		setup => q(CREATE TABLE t (id serial PRIMARY KEY, a int); INSERT INTO t (a) VALUES (1); ALTER TABLE t OWNER TO alice),
		migration => 'REASSIGN OWNED BY alice TO carol; DROP OWNED BY carol',
	},
	{
		name => 'CLUSTER marks an index',
		setup => 'CREATE TABLE t (a int PRIMARY KEY, b int); CREATE INDEX i ON t (b); INSERT INTO t VALUES (1, 3), (2, 2), (3, 1); CLUSTER t USING t_pkey',
		migration => 'CLUSTER t USING i',
	},
	{
		name => 'CLUSTER marks the indexes of partitions, in transactions of their own',
		setup => 'CREATE TABLE p (a int) PARTITION BY LIST (a); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2) PARTITION BY LIST (a);
			CREATE TABLE p22 PARTITION OF p2 FOR VALUES IN (2); CREATE INDEX i ON p (a); INSERT INTO p VALUES (1), (2)',
		migration => 'CLUSTER p USING i',
		uncallable => 1,
	},
	{ name => 'REINDEX of an invalid index', setup => $invalid, migration => 'REINDEX INDEX u', uncallable => 1 },
	{ name => 'REINDEX of a table with one', migration => 'REINDEX TABLE t', setup => "$invalid; DROP INDEX e", uncallable => 1, once => 1 },
	{ name => 'REINDEX CONCURRENTLY of an invalid index', setup => $invalid, migration => 'REINDEX INDEX CONCURRENTLY u', uncallable => 1 },
	{ name => 'REINDEX CONCURRENTLY of valid ones', setup => $invalid, migration => 'ALTER TABLE t ADD c int; REINDEX INDEX CONCURRENTLY k; REINDEX TABLE CONCURRENTLY m; REINDEX (TABLESPACE nook) INDEX k; CREATE INDEX i ON t (a)', uncallable => 1 },
	{
		name => 'REINDEX CONCURRENTLY that fails',
		setup => $invalid,
		migration => "\\unset ON_ERROR_STOP\nREINDEX INDEX CONCURRENTLY e;\nREINDEX TABLE CONCURRENTLY t;\n\\set ON_ERROR_STOP 1\nSELECT 1",
		uncallable => 1,
		once => 1,
	},
	{
		name => 'REINDEX CONCURRENTLY that is cancelled while it waits',
		setup => $invalid . q(; BEGIN; SELECT * FROM t LIMIT 0; PREPARE TRANSACTION 'reader'),
		migration => "SET statement_timeout = 700;\n\\unset ON_ERROR_STOP\nREINDEX INDEX CONCURRENTLY k;\n\\set ON_ERROR_STOP 1\nROLLBACK PREPARED 'reader'",
		uncallable => 1,
		once => 1,
	},
	{
		name => 'RESTART of an identity',
		setup => 'CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY, b int GENERATED BY DEFAULT AS IDENTITY, c text); INSERT INTO t (c) VALUES (1), (2)',
		migration => 'ALTER TABLE t ALTER a RESTART; ALTER TABLE t ALTER b SET INCREMENT BY 3 SET START WITH 100 RESTART',
	},
	{
		name => 'positions moved by rows of a table that the migration made',
		setup => 'CREATE TABLE t (id serial PRIMARY KEY, a int); INSERT INTO t (a) VALUES (1), (2)',
		migration => q(CREATE TABLE n (id int PRIMARY KEY DEFAULT nextval('t_id_seq'), a int); INSERT INTO n (a) VALUES (3);
			ALTER SEQUENCE t_id_seq OWNED BY n.id; DROP TABLE t; ALTER TABLE n RENAME TO t; INSERT INTO t (a) VALUES (4)),
	},
	{
		name => 'positions moved by rows of a partition that the migration made',
		setup => 'CREATE TABLE p (id int GENERATED ALWAYS AS IDENTITY, k int) PARTITION BY LIST (k); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); INSERT INTO p (k) VALUES (1)',
		migration => 'CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2); INSERT INTO p (k) VALUES (2)',
	},
	{
		name => 'positions moved without a row',
		setup => 'CREATE TABLE t (id serial PRIMARY KEY, a int UNIQUE); INSERT INTO t (a) VALUES (1); CREATE TABLE u (id serial); INSERT INTO u DEFAULT VALUES; DELETE FROM u',
		migration => 'INSERT INTO t (a) VALUES (1) ON CONFLICT DO NOTHING; TRUNCATE u RESTART IDENTITY',
	},
	{
		name => 'sequences that fill the columns of an ALTER TABLE',
		setup => q(CREATE SEQUENCE s; CREATE SEQUENCE "S 2" START 7; CREATE TABLE t (id int); INSERT INTO t VALUES (1), (2), (3)),
		migration => q(ALTER TABLE t ADD COLUMN n int DEFAULT nextval('s'), ADD COLUMN m bigint NOT NULL DEFAULT nextval('public."S 2"'::regclass) + 5; ALTER TABLE t ALTER id TYPE bigint USING nextval('s')),
	},
	{
		name => 'a position moved for a table that went with a savepoint',
		setup => 'CREATE SEQUENCE s; CREATE TABLE t (id serial, a int)',
		migration => q(BEGIN; SAVEPOINT a; CREATE TABLE n (id int DEFAULT nextval('s')); INSERT INTO n DEFAULT VALUES; ROLLBACK TO a; INSERT INTO t (a) VALUES (7); COMMIT),
	},
	{
		name => 'a position that a default moves, of a sequence that no column owns',
		setup => q(CREATE SEQUENCE s; CREATE TABLE t (a int DEFAULT nextval('s'), b int); INSERT INTO t (b) VALUES (1)),
		migration => 'BEGIN; INSERT INTO t (b) VALUES (2), (3); ALTER TABLE t ADD c int; COMMIT',
	},
	{
		name => 'a database altered',
		setup => q(ALTER DATABASE neighbour SET work_mem = '1MB'; COMMENT ON DATABASE neighbour IS 'it''s one'; GRANT CREATE ON DATABASE neighbour TO alice),
		migration => q(ALTER DATABASE neighbour OWNER TO bob; ALTER DATABASE neighbour CONNECTION LIMIT 3 IS_TEMPLATE true; ALTER DATABASE neighbour ALLOW_CONNECTIONS false;
			ALTER DATABASE neighbour SET search_path = a, "B c"; ALTER DATABASE neighbour RESET work_mem; COMMENT ON DATABASE neighbour IS NULL;
			GRANT CONNECT, TEMPORARY ON DATABASE neighbour TO carol WITH GRANT OPTION; REVOKE ALL ON DATABASE neighbour FROM PUBLIC, alice; ALTER DATABASE neighbour RENAME TO "neighbour 2"),
	},
	{
		name => 'this database altered',
		setup => q(ALTER DATABASE :"DBNAME" SET work_mem = '1MB'; ALTER ROLE ALL SET lock_timeout = '1h'),
		migration => q(ALTER DATABASE :"DBNAME" OWNER TO bob; ALTER DATABASE :"DBNAME" RESET ALL; ALTER ROLE ALL IN DATABASE :"DBNAME" SET datestyle = 'ISO'; GRANT CREATE ON DATABASE :"DBNAME" TO alice;
			COMMENT ON DATABASE :"DBNAME" IS 'x'; ALTER ROLE ALL RESET lock_timeout; ALTER ROLE ALL SET temp_file_limit = '1GB'),
		once => 1,
	},
	{
		name => 'a tablespace altered',
		setup => q(ALTER TABLESPACE nook SET (seq_page_cost = 2, random_page_cost = 5); COMMENT ON TABLESPACE nook IS 'n'; CREATE TABLE t (a int) TABLESPACE nook),
		migration => q(ALTER TABLESPACE nook OWNER TO alice; ALTER TABLESPACE nook RESET (seq_page_cost); ALTER TABLESPACE nook SET (random_page_cost = 6, effective_io_concurrency = 0);
			GRANT CREATE ON TABLESPACE nook TO bob; COMMENT ON TABLESPACE nook IS 'm'; ALTER TABLESPACE nook RENAME TO "Nook 2"),
	},
	{
		name => 'a role that owns and may use what is the cluster\'s',
		setup => 'ALTER DATABASE neighbour OWNER TO alice; ALTER TABLESPACE nook OWNER TO alice; GRANT CREATE ON DATABASE neighbour TO bob; GRANT CREATE ON TABLESPACE nook TO bob',
		migration => 'REASSIGN OWNED BY alice TO carol; DROP OWNED BY bob',
	});

unless (bare() || $ENV{SAFEMIG_CASE})
{
	subtest 'what no transaction takes back' => sub {
		my $database = new_database('outside');
		my %commands = (
			'CREATE DATABASE made' => 'database made',
			'ALTER DATABASE made SET TABLESPACE nook' => 'database made',
			'DROP DATABASE made' => 'database made',
			q(SET allow_in_place_tablespaces = on; CREATE TABLESPACE "made 2" LOCATION '') => 'tablespace "made 2"',
			'DROP TABLESPACE "made 2"' => 'tablespace "made 2"',
			q(ALTER SYSTEM SET work_mem = '5MB') => q(the server's configuration file));
		foreach my $command ('CREATE DATABASE made', 'ALTER DATABASE made SET TABLESPACE nook', 'DROP DATABASE made',
			q(SET allow_in_place_tablespaces = on; CREATE TABLESPACE "made 2" LOCATION ''), 'DROP TABLESPACE "made 2"', q(ALTER SYSTEM SET work_mem = '5MB'))
		{
			my $what = $commands{$command};
			my ($status, $out, $err) = in_database($database, "SET safemig.require_reversible = on; $command");
			ok($status, "$command is refused where everything has to be reversible");
			like($err, qr/is irreversible: \Q$what\E is changed outside of transactions/, 'with the reason');
			($status, $out, $err) = in_database($database, $command);
			ok(!$status, 'runs otherwise') or diag($err);
			like($err, qr/WARNING.*is irreversible: \Q$what\E is changed outside of transactions/, 'and is said to be irreversible');
			is(value($database, 'SELECT unkept FROM safemig.commands ORDER BY seq DESC LIMIT 1'), $what, 'it is in the history');
		}
		is(value($database, 'SELECT count(*) FROM safemig.commands'), '6', 'each once');
		is(value('postgres', q(SELECT count(*) FROM pg_database WHERE datname = 'made')), '0', 'and was done');
		in_database($database, 'CREATE TABLE t (a int)');
		my ($status, $out, $err) = in_database($database, 'SELECT safemig_rollback_to(0)');
		like($err, qr/irreversible/, 'a rollback across them is refused');
		($status, $out, $err) = in_database($database, q(SELECT safemig_rollback_to(0, on_conflict => 'keep')));
		ok(!$status, 'but not if they are to stay') or diag($err);
		like($err, qr/what migration \d+ did stays as it is: tablespace "made 2"/, 'as is said');
		is(value($database, q(SELECT to_regclass('t') IS NULL)), 't', 'the rest is taken back');
		($status, $out, $err) = in_database($database, 'BEGIN; CREATE DATABASE made; COMMIT');
		like($err, qr/cannot run inside a transaction block/, 'what PostgreSQL refuses it refuses');
		($status, $out, $err) = in_database($database, 'CREATE DATABASE neighbour');
		unlike($err, qr/irreversible/, 'what fails is not declared');
		in_database('postgres', 'ALTER SYSTEM RESET ALL');
	};

	subtest 'a subscription that gets another owner' => sub {
		my $database = new_database('subscribed');
		my $owner = q(SELECT subowner::regrole FROM pg_subscription WHERE subname = 's');
		in_database($database, q(CREATE ROLE other_boss SUPERUSER; CREATE SUBSCRIPTION s CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE); ALTER SUBSCRIPTION s OWNER TO other_boss));
		in_database($database, q(SET safemig.label = 'm'; REASSIGN OWNED BY other_boss TO CURRENT_USER));
		isnt(value($database, $owner), 'other_boss', 'is reassigned');
		my ($status, $out, $err) = in_database($database, q(SELECT safemig_rollback('m')));
		ok(!$status, 'is taken back') or diag($err);
		is(value($database, $owner), 'other_boss', 'has its owner back');
		in_database($database, 'DROP SUBSCRIPTION s');
	};

	subtest 'unseen: nobody was told' => sub {
		my $database = new_database('unseen');
		my $rows = q(SELECT object || ': ' || coalesce(expected, '-') || ' -> ' || coalesce(actual, '-') FROM safemig.drift() ORDER BY 1);
		in_database($database, q(CREATE TABLE t (a int); CREATE TABLE u (a int); CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1; CREATE ROLE seen; ALTER DATABASE neighbour CONNECTION LIMIT 9));
		is(value($database, $rows), '', 'no drift yet');

		my @names = map { "\"!safemig_$_\"" } qw(start drop rewrite end);
		in_database($database, join '; ', map { "ALTER EVENT TRIGGER $_ DISABLE" } @names);
		in_database($database, 'ALTER TABLE t ALTER a TYPE bigint; DROP TABLE u; ALTER ROLE seen CREATEDB; ALTER DATABASE neighbour CONNECTION LIMIT 8');
		in_database($database, join '; ', map { "ALTER EVENT TRIGGER $_ ENABLE ALWAYS" } @names);
		is(value($database, $rows), join("\n", 'database neighbour: CONNECTION_LIMIT 9 -> CONNECTION_LIMIT 8', 'role seen: NOCREATEDB -> CREATEDB',
			'table public.t: integer -> bigint', 'table public.u: present -> -'), 'event triggers disabled');

		in_database($database, 'SET session_replication_role = replica; ALTER FUNCTION f() STABLE');
		unlike(value($database, $rows), qr/function/, 'those of a replication role are seen');
		in_database($database, 'SET safemig.enabled = off; ALTER FUNCTION f() IMMUTABLE');
		like(value($database, $rows), qr/function public.f\(\): .*STABLE.* -> .*IMMUTABLE/s, 'capture switched off');
	};

	subtest 'numbers that a session holds' => sub {
		my $database = new_database('cached');
		my ($status, $out, $err) = in_database($database, q(CREATE SEQUENCE s CACHE 5; CREATE TABLE q (id int PRIMARY KEY DEFAULT nextval('s')); CREATE TABLE t (k int); INSERT INTO t VALUES (1), (2), (3);
			SET safemig.label = 'cached'; ALTER TABLE t ADD n int DEFAULT nextval('s'); RESET safemig.label; INSERT INTO q DEFAULT VALUES; SELECT safemig_rollback('cached')));
		ok(!$status, 'taken back') or diag($err);
		($status, $out, $err) = in_database($database, q(INSERT INTO q (id) SELECT nextval('s') FROM generate_series(1, 9)));
		ok(!$status, 'the sequence gives none that is in use') or diag($err);
		my $session = SafemigSession->new(connection_to($database));
		$session->run(q(CREATE TABLE r (id serial PRIMARY KEY); ALTER SEQUENCE r_id_seq CACHE 5));
		$session->run(q(BEGIN; SET LOCAL safemig.label = 'rows'; CREATE TABLE o (); INSERT INTO r DEFAULT VALUES; COMMIT));
		is(value($database, q(SELECT safemig_rollback('rows') > 0)), 't', 'rows taken back');
		in_database($database, 'INSERT INTO r DEFAULT VALUES');
		$session->run('INSERT INTO r DEFAULT VALUES');
		$session->close;
		in_database($database, 'INSERT INTO r SELECT FROM generate_series(1, 9)');
		is(value($database, 'SELECT count(*) FROM r'), 11, 'numbers held since the rows that went are given once');
	};

	subtest 'unseen: the library is missing' => sub {
		my $database = new_database('missing');
		# other tests need the file itself
		my $library = q(UPDATE pg_proc SET probin = '$libdir/%s' WHERE probin ~ '/(safemig|absent)$');
		my %without = (pgoptions => '-c session_preload_libraries=');
		in_database($database, q(CREATE TABLE t (a int); CREATE ROLE unseen; ALTER DATABASE neighbour CONNECTION LIMIT 9));
		in_database($database, sprintf($library, 'absent'));
		my ($status, $out, $err) = in_database($database, 'ALTER TABLE t ADD b int', %without);
		like($err, qr/could not access file/, 'DDL does not run unseen');
		($status, $out, $err) = in_database($database, join('; ', map { "ALTER EVENT TRIGGER \"!safemig_$_\" DISABLE" } qw(start drop rewrite end)), %without);
		ok(!$status, 'the way out is open') or diag($err);
		($status, $out, $err) = in_database($database, 'ALTER TABLE t ADD b int; ALTER ROLE unseen LOGIN; ALTER DATABASE neighbour CONNECTION LIMIT 8', %without);
		ok(!$status, 'and then it does') or diag($err);
		in_database($database, sprintf($library, 'safemig'), %without);
		in_database($database, join('; ', map { "ALTER EVENT TRIGGER \"!safemig_$_\" ENABLE ALWAYS" } qw(start drop rewrite end)));
		is(value($database, q(SELECT string_agg(DISTINCT object, ', ' ORDER BY object) FROM safemig.drift())), 'database neighbour, role unseen, table public.t', 'what it did shows');
		like(value($database, q(SELECT status || detail FROM safemig_doctor() WHERE item = 'drift')), qr/^warning/, 'safemig_doctor() says so');
		like((in_database($database, q(SELECT detail FROM safemig_doctor() WHERE item = 'preloading'), %without))[1], qr/databases.*are not seen before it/, 'and what is not seen without the library');
	};
}

done_testing();
