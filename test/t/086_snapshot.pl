
# Copyright (c) 2026, the safemig authors

# Snapshots of rows: whatever was written since, the rollback gives the dump
# that there was when the snapshot was taken, and the redo the one after.
# pg_regress cannot show it: the oracle is pg_dump.

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

my $server = start_server('snapshot');
my @connection = ('-h', $server->host, '-p', $server->port);
my $tempdir = PostgreSQL::Test::Utils::tempdir();
my $number = 0;

# Every index agrees with its table, where amcheck is there to say so.
my $check_indexes = <<'SQL';
SELECT bt_index_check(c.oid, heapallindexed => true) FROM pg_class c
JOIN pg_am a ON a.oid = relam AND amname = 'btree'
JOIN pg_namespace n ON n.oid = relnamespace AND nspname !~ '^(pg_|information)'
WHERE relkind = 'i' AND EXISTS (SELECT FROM pg_extension WHERE extname = 'amcheck');
SQL

# name; setup; tables of the snapshot; since: what is written after it
my @cases = (
	{
		name => 'foreign keys both ways, in a circle, and to itself',
		setup => <<'SQL',
CREATE TABLE a (id int PRIMARY KEY, b int, email text UNIQUE);
CREATE TABLE b (id int PRIMARY KEY, a int NOT NULL REFERENCES a ON DELETE CASCADE, up int REFERENCES b ON DELETE RESTRICT);
ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b ON DELETE SET NULL;
CREATE TABLE outside (id int PRIMARY KEY, a int REFERENCES a ON DELETE CASCADE);
INSERT INTO a SELECT i, NULL, 'e' || i FROM generate_series(1, 10) i;
INSERT INTO b SELECT i, i, nullif(i - 1, 0) FROM generate_series(1, 10) i;
UPDATE a SET b = 11 - id;
INSERT INTO outside SELECT i, i FROM generate_series(1, 3) i;
SQL
		tables => [qw(a b)],
		since => <<'SQL',
UPDATE a SET b = NULL;
DELETE FROM b;
DELETE FROM a WHERE id > 3;
INSERT INTO a VALUES (50, NULL, 'e5'), (6, NULL, 'e4');
UPDATE a SET email = 'e' || 6 + id WHERE id < 3;
INSERT INTO b VALUES (1, 50, NULL), (2, 6, 1);
SQL
	},
	{
		name => 'triggers, rules and policies stay out of it',
		setup => <<'SQL',
CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text, g text GENERATED ALWAYS AS (upper(v)) STORED, d int DEFAULT 7);
CREATE TABLE log (v text);
INSERT INTO t (v) SELECT 'v' || i FROM generate_series(1, 10) i;
ALTER TABLE t OWNER TO alice;
ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SQL
		tables => [qw(t)],
		more => <<'SQL',
CREATE TRIGGER no BEFORE INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION no();
CREATE TRIGGER no_statement AFTER INSERT OR UPDATE OR DELETE ON t EXECUTE FUNCTION no();
ALTER TABLE t ENABLE ALWAYS TRIGGER no;
CREATE RULE r AS ON DELETE TO t DO ALSO INSERT INTO log VALUES (old.v);
CREATE POLICY p ON t USING (id > 5);
SQL
		since => <<'SQL',
SET session_replication_role = replica;
ALTER TABLE t DISABLE TRIGGER ALL;
UPDATE t SET v = 'x', d = NULL WHERE id < 4;
ALTER TABLE t DISABLE RULE r;
DELETE FROM t WHERE id > 6;
INSERT INTO t (id, v) OVERRIDING SYSTEM VALUE VALUES (99, 'new');
SQL
		quiet => 1,
	},
	{
		name => 'values of all kinds',
		setup => <<'SQL',
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE pair AS (x int, y text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE frange AS RANGE (subtype = float8);
CREATE TABLE t (id int PRIMARY KEY, m mood, ms mood[], p pair, pp pair[], d positive, r frange, mr fmultirange, ir int4range,
	n numeric, f float8, b bytea, j jsonb, js json, x xml, ts timestamptz, iv interval, big text, c char(5), bits bit varying, rc regclass, "Mixed ""Name" text, inet inet, tsv tsvector, name name, ints int[], oidv oidvector);
INSERT INTO t SELECT i, 'ok', '{sad,NULL}', ROW(i, E'a"\\b'::text)::pair, ARRAY[ROW(1, NULL)::pair, NULL], i, '[1.5,2)', '{[1,2)}', '[1,3)',
	1.50, '-0', '\xdeadbeef', '{"a": 1}', '{"b":   2}', '<a/>', '2020-01-01 12:00+09', '1 mon 2 days', repeat('long' || i, 5000), 'ab', B'1010', 'pg_class', 'q', '::1', 'a b', 'n', '{1,NULL}', '1 2' FROM generate_series(1, 5) i;
INSERT INTO t (id) VALUES (6);
SQL
		tables => [qw(t)],
		since => <<'SQL',
UPDATE t SET n = 1.5 WHERE id = 1;
UPDATE t SET f = 0 WHERE id = 2;
UPDATE t SET js = '{"b": 2}', big = 'short' WHERE id = 3;
UPDATE t SET p = NULL, m = 'sad' WHERE id = 4;
DELETE FROM t WHERE id IN (5, 6);
SQL
	},
	{
		name => 'without a key, and without a column',
		setup => <<'SQL',
CREATE TABLE t (a int, b text);
INSERT INTO t VALUES (1, 'x'), (1, 'x'), (1, 'x'), (NULL, NULL), (NULL, NULL);
CREATE TABLE none ();
INSERT INTO none SELECT FROM generate_series(1, 4);
CREATE TABLE gone (a int, b int, c int);
INSERT INTO gone VALUES (1, 2, 3);
ALTER TABLE gone DROP COLUMN b, ADD COLUMN d int DEFAULT 4;
CREATE TABLE empty (a int PRIMARY KEY);
SQL
		tables => [qw(t none gone empty t)],
		since => <<'SQL',
DELETE FROM t WHERE ctid IN ('(0,1)', '(0,4)');
INSERT INTO t VALUES (2, 'y'), (2, 'y');
INSERT INTO none SELECT FROM generate_series(1, 2);
TRUNCATE gone;
INSERT INTO empty VALUES (1);
SQL
	},
	{
		name => 'trees of partitions and of inheritance',
		setup => <<'SQL',
CREATE TABLE p (id int, k text, v text, PRIMARY KEY (id, k)) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20) PARTITION BY LIST (k);
CREATE TABLE p2a PARTITION OF p2 FOR VALUES IN ('a');
CREATE TABLE p2d (v text, k text NOT NULL, id int NOT NULL);
ALTER TABLE p2 ATTACH PARTITION p2d DEFAULT;
CREATE TABLE ref (id int, k text, FOREIGN KEY (id, k) REFERENCES p);
CREATE TABLE base (a int);
CREATE TABLE child (b int) INHERITS (base);
INSERT INTO p SELECT i, CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END, 'v' || i FROM generate_series(0, 19) i;
INSERT INTO ref SELECT id, k FROM p WHERE id > 14;
INSERT INTO base VALUES (1);
INSERT INTO child VALUES (2, 2);
SQL
		tables => [qw(p base ref)],
		since => <<'SQL',
DELETE FROM ref;
UPDATE p SET id = id + 10 WHERE id < 5 AND k = 'a' AND id + 10 NOT IN (SELECT id FROM p WHERE k = 'a');
UPDATE p SET k = 'c' WHERE id = 13;
DELETE FROM p WHERE id > 16;
DELETE FROM base;
INSERT INTO child VALUES (3, 3);
SQL
	},
	{
		name => 'indexes of all kinds, collisions on the way',
		setup => <<'SQL',
CREATE FUNCTION low(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT lower($1)';
CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE DEFERRABLE INITIALLY DEFERRED, v text, r int4range, EXCLUDE USING gist (r WITH &&), CHECK (id > 0));
CREATE UNIQUE INDEX ON t (low(v)) WHERE id < 100;
CREATE INDEX ON t USING brin (id);
CREATE INDEX ON t USING hash (v);
CREATE INDEX ON t USING gin (to_tsvector('simple', v));
INSERT INTO t SELECT i, i, 'V' || i, int4range(i * 10, i * 10 + 5) FROM generate_series(1, 50) i;
ALTER TABLE t ADD CHECK (id <> 3) NOT VALID;
SQL
		tables => [qw(t)],
		since => <<'SQL',
UPDATE t SET u = 51 - u WHERE id NOT IN (3, 48);
UPDATE t SET v = 'w' || id WHERE id <> 3;
UPDATE t SET v = 'V' || (51 - id) WHERE id <> 3 AND id <> 48;
UPDATE t SET r = int4range(1000 + id * 10, 1003 + id * 10) WHERE id <> 3;
UPDATE t SET r = int4range((51 - id) * 10, (51 - id) * 10 + 5) WHERE id NOT IN (3, 48);
DELETE FROM t WHERE id IN (3, 10);
INSERT INTO t VALUES (60, 60, 'V3', '[30,31)');
SQL
	},
	{
		name => 'where the owner may not go',
		setup => <<'SQL',
CREATE SCHEMA closed;
CREATE TABLE closed.parent (id int PRIMARY KEY);
CREATE TABLE closed.t (id int PRIMARY KEY REFERENCES closed.parent, v text);
INSERT INTO closed.parent SELECT generate_series(1, 5);
INSERT INTO closed.t SELECT i, 'v' FROM generate_series(1, 5) i;
ALTER TABLE closed.t OWNER TO alice;
SQL
		tables => [qw(closed.t)],
		since => 'DELETE FROM closed.t WHERE id > 2; UPDATE closed.t SET v = NULL',
	},
	{
		name => 'a key that is not valid',
		setup => <<'SQL',
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE t (id int);
INSERT INTO parent VALUES (1);
INSERT INTO t VALUES (1), (2);
ALTER TABLE t ADD FOREIGN KEY (id) REFERENCES parent NOT VALID;
SQL
		tables => [qw(parent t)],
		since => 'DELETE FROM t WHERE id = 1; DELETE FROM parent; INSERT INTO parent VALUES (3); INSERT INTO t VALUES (3)',
	},
);

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

sub list_of { return join ', ', map { "'$_'" } @_ }

foreach my $case (@cases)
{
	next if defined $ENV{SAFEMIG_CASE} && $case->{name} !~ /$ENV{SAFEMIG_CASE}/;
	subtest $case->{name} => sub {
		my $database = new_database('snapshot_' . ++$number);
		my $dump = "$tempdir/$database";
		my $quiet = 'SET safemig.enabled = off;';
		succeeds('setup', in_database($database, $case->{setup} . ($case->{more} // '')));
		my $before = state_of($database);
		my $id = value($database, "SELECT safemig_snapshot('snap', " . list_of(@{ $case->{tables} }) . ')');

		# what the switches of the case do to triggers is not to be recorded
		succeeds('the writes', in_database($database, "$quiet $case->{since}"));
		succeeds('switches back', in_database($database,
			"$quiet ALTER TABLE t ENABLE TRIGGER ALL; ALTER TABLE t ENABLE ALWAYS TRIGGER no; ALTER TABLE t ENABLE RULE r"))
		  if $case->{quiet};
		my $after = state_of($database);
		isnt($after, $before, 'something was written');

		succeeds('rollback', in_database($database, "SELECT safemig_rollback('snap')"));
		is(state_of($database), $before, 'the rows of the snapshot');
		succeeds('the indexes', in_database($database, $check_indexes));
		succeeds('redo', in_database($database, "SELECT safemig_redo($id)"));
		is(state_of($database), $after, 'the rows after it');
		succeeds('the indexes', in_database($database, $check_indexes));

		my $copy = new_database("${database}_copy", 'template0');
		command_ok([ 'pg_dump', @connection, '-Fc', '-f', $dump, $database ], 'pg_dump');
		command_ok([ 'pg_restore', @connection, '--exit-on-error', '-d', $copy, $dump ], 'pg_restore');
		my $script = value($database, "SELECT safemig_script($id)");
		succeeds('the script', in_database($database, $script));
		is(state_of($database), $before, 'the rows of the snapshot');
		succeeds('rollback in a restored database', in_database($copy, "SELECT safemig_rollback($id)"));
		is(rows_of($copy), rows_of($database), 'the rows of the snapshot');
	};
}

sub rows_of
{
	my ($database) = @_;
	my $rows = value($database, <<'SQL');
SELECT format('SELECT %L, t::text FROM ONLY %s t', c.oid::regclass, c.oid::regclass)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND nspname !~ '^(pg_|safemig|information_schema)'
\gexec
SQL
	return join "\n", sort split /\n/, $rows // '';
}

subtest 'what it refuses' => sub {
	my $database = new_database('refusals');
	succeeds('setup', in_database($database, <<'SQL'));
CREATE TABLE p (id int PRIMARY KEY);
CREATE TABLE c (id int REFERENCES p ON DELETE CASCADE);
CREATE TABLE h (id int) PARTITION BY LIST (id);
CREATE TABLE h1 PARTITION OF h FOR VALUES IN (1);
CREATE TYPE pair AS (x int, y int);
CREATE TABLE rows (p pair);
CREATE TABLE later (id int);
CREATE TABLE published (id int);
CREATE PUBLICATION pub FOR TABLE published;
CREATE VIEW v AS SELECT 1;
CREATE MATERIALIZED VIEW m AS SELECT 1;
INSERT INTO p VALUES (1); INSERT INTO rows VALUES ('(1,2)');
SQL
	my $snapshot = sub { return value($database, 'SELECT safemig_snapshot(' . list_of('s', @_) . ')') };
	my $not_back = sub {
		my ($what, $pattern, $id) = @_;
		my $state = state_of($database);
		refused($what, $pattern, in_database($database, "SELECT safemig_rollback($id)"));
		is(state_of($database), $state, 'nothing has happened');
	};

	my $id = $snapshot->('p');
	succeeds('a row that others refer to', in_database($database, 'INSERT INTO p VALUES (2); INSERT INTO c VALUES (2)'));
	$not_back->('it does not cascade', qr/would break foreign key "c_id_fkey"/, $id);
	succeeds('without it', in_database($database, 'DELETE FROM c'));
	succeeds('it goes', in_database($database, "SELECT safemig_rollback($id)"));
	is(value($database, 'SELECT count(*) FROM p'), 1, 'the row is gone');

	$id = $snapshot->('c');
	succeeds('its parent goes', in_database($database, 'DELETE FROM p'));
	succeeds('nothing to put back', in_database($database, "SELECT safemig_rollback($id)"));

	$id = $snapshot->('h');
	succeeds('a partition more', in_database($database, 'CREATE TABLE h2 PARTITION OF h FOR VALUES IN (2); INSERT INTO h VALUES (2)'));
	$not_back->('rows where there was no table', qr/table "h2" was added to public\.h|later migration/, $id);

	$id = $snapshot->('published');
	succeeds('a row more', in_database($database, 'INSERT INTO published VALUES (1)'));
	$not_back->('what subscribers could not follow', qr/does not have a replica identity/, $id);

	$id = $snapshot->('rows');
	succeeds('the type changes', in_database($database, 'SET safemig.enabled = off; ALTER TYPE pair DROP ATTRIBUTE y, ADD ATTRIBUTE y text; UPDATE rows SET p = NULL'));
	$not_back->('another type', qr/is not the one whose values were kept/, $id);

	$id = $snapshot->('later');
	succeeds('a later migration', in_database($database, 'ALTER TABLE later ADD a int'));
	$not_back->('a later migration', qr/later migration/, $id);
	succeeds('both', in_database($database, "SELECT safemig_rollback(safemig_mark()), safemig_rollback($id)"));

	$id = $snapshot->('later');
	succeeds('somebody meddles', in_database($database, "SET safemig.enabled = off; INSERT INTO safemig_vault_$id.rows_" . value($database, "SELECT id FROM safemig.kept WHERE migration = $id") . ' VALUES (5)'));
	$not_back->('a copy that is not what it was', qr/are not what was kept/, $id);

	refused('no table', qr/at least one table/, in_database($database, q(SELECT safemig_snapshot('s', VARIADIC '{}'))));
	refused('NULL', qr/must not be null/, in_database($database, q(SELECT safemig_snapshot('s', NULL))));
	refused('no label', qr/must not be empty/, in_database($database, q(SELECT safemig_snapshot('', 'p'))));
	refused($_, qr/cannot keep the rows/, in_database($database, "CREATE TEMP TABLE tt (); SELECT safemig_snapshot('s', '$_')"))
	  foreach qw(v m tt pg_class safemig.migration_log);
	refused('not his', qr/must be owner of table p/, in_database($database, q(SET ROLE bob; SELECT safemig_snapshot('s', 'p'))));
	refused('not by hand', qr/is a step of a rollback/, in_database($database, q(SELECT safemig.restore_rows('{1}'))));

	succeeds('nothing is kept', in_database($database, "SELECT safemig_snapshot('off', 'p'); INSERT INTO p VALUES (7); SET safemig.keep_undone = off; SELECT safemig_rollback('off')"));
	refused('so it cannot be redone', qr/irreversible/, in_database($database, q(SELECT safemig_redo(max(id)) FROM safemig.migrations)));
};

done_testing();
