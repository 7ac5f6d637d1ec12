
# Copyright (c) 2026, the safemig authors

# Large objects: the functions that make, write and unlink them fire no event.
# pg_regress cannot show it: the proof is a comparison of dumps, which have
# their contents.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigTest;
use Test::More;

start_server('large', conf => "session_preload_libraries = 'safemig'");

$SafemigTest::other_catalogs = 1;

# 1 of three pages, 2 of five with everything on it, 3 empty, 4 alice's
my $setup = q(
	SELECT lo_from_bytea(1, convert_to(repeat('one', 2000), 'UTF8')), lo_from_bytea(2, convert_to(repeat('2', 9000), 'UTF8')), lo_create(3), lo_from_bytea(4, 'four');
	COMMENT ON LARGE OBJECT 2 IS 'it''s two'; GRANT SELECT ON LARGE OBJECT 2 TO PUBLIC; GRANT UPDATE ON LARGE OBJECT 2 TO alice WITH GRANT OPTION; ALTER LARGE OBJECT 2 OWNER TO bob;
	ALTER LARGE OBJECT 4 OWNER TO alice; GRANT SELECT, UPDATE ON LARGE OBJECT 4 TO bob;
	CREATE TABLE t (id int PRIMARY KEY, lo oid); INSERT INTO t VALUES (1, 1), (2, 2), (3, 3);
);

# A line for each: what is in it.
my $contents = q(SELECT string_agg(l.oid || ':' || coalesce((SELECT md5(string_agg(pageno || encode(data, 'hex'), ' ' ORDER BY pageno)) FROM pg_largeobject WHERE loid = l.oid), ''), ' ' ORDER BY l.oid) FROM pg_largeobject_metadata l);

round_trips(
	{ name => 'made', setup => $setup, migration => q(SELECT lo_create(11), lo_from_bytea(12, 'twelve'); SELECT lo_creat(-1)) },
	{ name => 'unlinked, with owner, privileges and comment', setup => $setup, migration => 'SELECT lo_unlink(1), lo_unlink(2), lo_unlink(3)' },
	{ name => 'written', setup => $setup, migration => q(SELECT lo_put(1, 2047, 'ab'), lo_put(1, 100000, 'far'), lo_put(3, 0, 'filled')) },
	{ name => 'truncated', setup => $setup, migration => 'BEGIN; SELECT lo_truncate(lo_open(1, 131072), 2050), lo_truncate(lo_open(2, 131072), 0); COMMIT' },
	{ name => 'written through a descriptor', setup => $setup, migration => q(BEGIN; SELECT lowrite(lo_open(1, 131072), 'bytes'); SELECT lo_lseek(lo_open(2, 131072), 5, 0); SELECT lowrite(1, 'more'); COMMIT) },
	{ name => 'imported', setup => $setup, migration => q(SELECT lo_import('/etc/passwd', 77)) },
	{ name => 'made anew under the same number', setup => $setup, migration => q(BEGIN; SELECT lo_unlink(2); SELECT lo_from_bytea(2, 'again'); SELECT lo_put(2, 3000, 'x'); COMMIT) },
	{ name => 'made and unlinked', setup => $setup, migration => q(BEGIN; SELECT lo_from_bytea(13, 'x'); SELECT lo_unlink(13); CREATE TABLE u (); COMMIT) },
	{
		name => 'moved into a column, as such migrations do',
		setup => $setup . 'INSERT INTO t SELECT i, lo_from_bytea(1000 + i, int4send(i)) FROM generate_series(100, 300) i',
		migration => 'BEGIN; ALTER TABLE t ADD data bytea; UPDATE t SET data = lo_get(lo); SELECT lo_unlink(lo) FROM t; ALTER TABLE t DROP lo; COMMIT',
	},
	{
		name => 'between commands',
		setup => $setup,
		migration => q(BEGIN; SELECT lo_put(1, 0, 'a'); ALTER TABLE t ADD a int; SELECT lo_put(1, 1, 'b'), lo_from_bytea(14, 'c'); COMMENT ON LARGE OBJECT 14 IS 'new'; SELECT lo_put(14, 1, 'd');
			ALTER LARGE OBJECT 14 OWNER TO carol; SELECT lo_unlink(14), lo_put(1, 2, 'e'); GRANT SELECT ON LARGE OBJECT 1 TO alice; SELECT lo_unlink(1); COMMIT),
	},
	{
		name => 'between commands, each committed',
		setup => $setup,
		migration => q(SELECT lo_put(1, 0, 'a'); ALTER LARGE OBJECT 1 OWNER TO carol; SELECT lo_put(1, 1, 'b'); SELECT lo_unlink(1); SELECT lo_from_bytea(1, 'z'); COMMENT ON LARGE OBJECT 1 IS 'z'; SELECT lo_unlink(3)),
	},
	{
		name => 'in savepoints',
		setup => $setup,
		migration => q(BEGIN; SAVEPOINT a; SELECT lo_unlink(1), lo_put(2, 0, 'lost'), lo_create(15); ROLLBACK TO a; SELECT lo_put(2, 4000, 'kept'); SAVEPOINT b; SELECT lo_unlink(3), lo_from_bytea(16, 'x'); RELEASE b; CREATE TABLE u (a int); SAVEPOINT c; SELECT lo_unlink(16); ROLLBACK TO c; COMMIT),
	},
	{
		name => 'in a function that runs commands',
		setup => $setup . q(CREATE FUNCTION f(n int) RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM lo_put(1, n, ''f''); EXECUTE format(''CREATE TABLE f%s ()'', n); PERFORM lo_create(100 + n); RETURN n; END'),
		migration => 'SELECT f(g) FROM generate_series(1, 3) g; UPDATE t SET id = f(id + 20) - 10',
	},
	{
		name => 'by a query that makes a table',
		setup => $setup,
		migration => q(CREATE TABLE u AS SELECT lo_from_bytea(200 + g, 'u') AS lo, lo_unlink(g) FROM generate_series(1, 3) g; CREATE MATERIALIZED VIEW m AS SELECT lo_create(210)),
	},
	{
		name => 'unlinked by a trigger, as the module lo does',
		setup => $setup . q(CREATE EXTENSION lo; CREATE TRIGGER clean BEFORE UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION lo_manage(lo)),
		migration => 'DELETE FROM t WHERE id = 2; UPDATE t SET lo = 3 WHERE id = 1',
	},
	{
		name => 'before the library is loaded',
		setup => $setup,
		pgoptions => '-c session_preload_libraries=',
		migration => q(BEGIN; SELECT lo_unlink(2), lo_put(1, 7, 'seven'), lo_create(17); CREATE TABLE u (a int); COMMIT),
	},
	{ name => 'DROP OWNED', setup => $setup, migration => 'DROP OWNED BY alice, bob' },
	{ name => 'REASSIGN OWNED', setup => $setup, migration => 'REASSIGN OWNED BY alice, bob TO carol' },
	{
		name => 'one that was made is gone again',
		setup => $setup,
		migration => q(SELECT lo_from_bytea(18, 'x')),
		after => 'SELECT lo_unlink(18)',
		same => 'SELECT',
		quiet => 1,
		once => 1,
	},
	{
		name => 'one that was made was written since',
		setup => $setup,
		migration => q(SELECT lo_from_bytea(18, 'x')),
		after => q(SELECT lo_put(18, 5000, 'mine')),
		same => 'SELECT',
	},
	{
		name => 'other pages were written since',
		setup => $setup,
		migration => q(SELECT lo_put(2, 0, 'page 0')),
		after => q(SELECT lo_put(2, 4100, 'page 2'), lo_from_bytea(19, 'y')),
		same => q(SELECT lo_put(2, 4100, 'page 2'), lo_from_bytea(19, 'y')),
	},
	{
		name => 'the same page was written since',
		setup => $setup,
		migration => q(SELECT lo_put(2, 0, 'page 0')),
		after => q(SELECT lo_put(2, 100, 'mine')),
		refused => qr/1 row that the migration wrote was changed since/,
	},
	{
		name => 'the same page was written since, and what was there before wins',
		setup => $setup,
		migration => q(SELECT lo_put(2, 0, 'page 0')),
		after => q(SELECT lo_put(2, 100, 'mine')),
		rollback => q(SELECT safemig_rollback('case', on_conflict => 'restore')),
		same => 'SELECT',
	},
	{
		name => 'one that was written is gone',
		setup => $setup,
		migration => q(SELECT lo_put(2, 0, 'page 0')),
		after => 'SELECT lo_unlink(2)',
		refused => qr/1 row that it changed is no longer there/,
	},
	{
		name => 'one that was written is gone, and stays so',
		setup => $setup,
		migration => q(SELECT lo_put(2, 0, 'page 0')),
		after => 'SELECT lo_unlink(2)',
		rollback => q(SELECT safemig_rollback('case', on_conflict => 'keep')),
		same => 'SELECT lo_unlink(2)',
	},
	{
		name => 'a number is taken again',
		setup => $setup,
		migration => 'SELECT lo_unlink(2)',
		after => q(SELECT lo_from_bytea(2, 'theirs')),
		refused => qr/large object 2.*has to come back, but the name is taken/s,
	},
	{
		name => 'an owner is gone',
		roles => ['gone'],
		setup => $setup . 'ALTER LARGE OBJECT 3 OWNER TO gone',
		migration => 'SELECT lo_unlink(3)',
		after => 'DROP ROLE gone',
		refused => qr/its owner, role "gone", does not exist/,
	},
	{
		name => 'a rollback in a session that has one open',
		setup => $setup,
		migration => q(SELECT lo_put(1, 0, 'page 0')),
		rollback => q(BEGIN; SELECT FROM (SELECT lo_open(1, 131072)) AS o; SELECT safemig_rollback('case'); COMMIT),
	});

unless (bare() || $ENV{SAFEMIG_CASE})
{
	subtest 'owners take back what is theirs' => sub {
		my $database = new_database('owners');
		in_database($database, $setup);
		my $before = value($database, $contents);
		my ($status, $out, $err) = in_database($database, q(SET ROLE alice; SET safemig.label = 'a'; SELECT lo_put(4, 0, 'F'), lo_from_bytea(21, 'hers')));
		ok(!$status, 'written') or diag($err);
		($status, $out, $err) = in_database($database, q(SET ROLE bob; SELECT safemig_rollback('a')));
		like($err, qr/must be owner of large object/, 'by nobody else');
		($status, $out, $err) = in_database($database, q(SET ROLE alice; SELECT safemig_rollback('a')));
		ok(!$status, 'by herself') or diag($err);
		is(value($database, $contents), $before, 'what is in them is as before');

		($status, $out, $err) = in_database($database, q(SET ROLE bob; SET safemig.label = 'b'; SELECT lo_put(4, 0, 'B'), lo_put(2, 0, 'B')));
		like($err, qr/WARNING.*the rows that it wrote in large objects were not kept \(1 updated; they belong to somebody else\)/, 'of others they are not kept, as is said');
		($status, $out, $err) = in_database($database, q(SET ROLE bob; SELECT safemig_rollback('b', on_conflict => 'keep')));
		ok(!$status, 'his own is taken back') or diag($err);
		is(value($database, 'SELECT lo_get(4)'), '\x426f7572', 'that of others stays');
		is(value($database, 'SELECT get_byte(lo_get(2), 0)'), ord('2'), 'his own does not');
		my $readable = value($database, q(SET ROLE alice; SELECT count(*) FROM pg_class WHERE relnamespace::regnamespace::text ~ '^safemig_vault' AND has_table_privilege(oid, 'SELECT')));
		is($readable, '0', 'nobody reads what is kept');
	};

	subtest 'DROP OWNED, without a label' => sub {
		my $database = new_database('unnamed');
		in_database($database, $setup);
		my $before = value($database, $contents);
		in_database($database, 'DROP OWNED BY alice');
		isnt(value($database, $contents), $before, 'takes one');
		my ($status, $out, $err) = in_database($database, 'SELECT safemig_rollback(safemig_mark())');
		ok(!$status, 'is taken back') or diag($err);
		is(value($database, $contents), $before, 'with it');
	};

	subtest 'others wait' => sub {
		my $database = new_database('waiting');
		in_database($database, $setup);
		in_database($database, q(SET safemig.label = 'm'; SELECT lo_put(1, 0, 'm')));
		my $writer = SafemigSession->new(connection_to($database), 'BEGIN');
		$writer->run(q(SELECT lo_put(1, 5000, 'w')));
		my ($status, $out, $err) = in_database($database, q(SET safemig.lock_timeout = '100ms'; SELECT safemig_rollback('m')));
		like($err, qr/could not lock large objects against writing.*holds RowExclusiveLock on pg_largeobject/s, 'a rollback for who writes, and says so');
		$writer->run('COMMIT');
		$writer->close;
		($status, $out, $err) = in_database($database, q(SELECT safemig_rollback('m')));
		ok(!$status, 'not for ever') or diag($err);
	};

	subtest 'not kept if so told' => sub {
		my $database = new_database('untold');
		in_database($database, $setup);
		my (undef, undef, $err) = in_database($database, q(SET safemig.capture_data = explicit; BEGIN; CREATE TABLE u (); SELECT lo_put(1, 0, 'x'); COMMIT));
		like($err, qr/WARNING.*the rows that it wrote in large objects were not kept \(1 updated; safemig.capture_data is explicit\)/, 'by the setting');
		(undef, undef, $err) = in_database($database, q(SET safemig.label = 'undone'; SELECT lo_put(1, 0, 'y'); SET safemig.keep_undone = off; SELECT safemig_rollback('undone'); SELECT safemig_redo(safemig_last())));
		like($err, qr/irreversible.*what was in large objects was not kept/s, 'what a rollback takes away');
	};

	subtest 'no drift' => sub {
		my $database = new_database('nodrift');
		in_database($database, $setup);
		in_database($database, q(SET safemig.label = 'm'; SELECT lo_put(1, 0, 'x'), lo_from_bytea(31, 'x')));
		in_database($database, q(SELECT lo_unlink(31)));
		is(value($database, 'SELECT * FROM safemig.drift()'), '', 'when the application unlinks one');
		in_database($database, q(SET safemig.enabled = off; ALTER LARGE OBJECT 1 OWNER TO carol));
		is(value($database, 'SELECT object, facet, actual FROM safemig.drift()'), 'large object 1|owner|carol', 'but when its owner changes unseen');
	};
}

done_testing();
