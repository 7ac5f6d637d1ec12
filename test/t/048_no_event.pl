
# Copyright (c) 2026, the safemig authors

# Commands that PostgreSQL tells no event trigger of, in sessions that have the
# library: on event triggers and roles, REASSIGN OWNED,
# CLUSTER, EXPLAIN ANALYZE of what makes a table.  pg_regress cannot show
# it: the proof is a comparison of dumps and catalogs.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigTest;
use Test::More;

start_server('no_event', conf => "session_preload_libraries = 'safemig'");

$SafemigTest::other_catalogs = 1;

my $trigger = q(
	CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
	CREATE EVENT TRIGGER "Mine" ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'DROP TABLE') EXECUTE FUNCTION f();
	COMMENT ON EVENT TRIGGER "Mine" IS 'is it?';
	CREATE EVENT TRIGGER off ON sql_drop EXECUTE FUNCTION f(); ALTER EVENT TRIGGER off DISABLE;
);

round_trips(
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
		name => 'RESTART of an identity',
		setup => 'CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY, b int GENERATED BY DEFAULT AS IDENTITY, c text); INSERT INTO t (c) VALUES (1), (2)',
		migration => 'ALTER TABLE t ALTER a RESTART; ALTER TABLE t ALTER b SET INCREMENT BY 3 SET START WITH 100 RESTART',
	},
	{
		name => 'a position that a default moves, of a sequence that no column owns',
		setup => q(CREATE SEQUENCE s; CREATE TABLE t (a int DEFAULT nextval('s'), b int); INSERT INTO t (b) VALUES (1)),
		migration => 'BEGIN; INSERT INTO t (b) VALUES (2), (3); ALTER TABLE t ADD c int; COMMIT',
	});

done_testing();
