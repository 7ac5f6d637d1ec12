
# Copyright (c) 2026, the safemig authors

# When no exact way back exists, the rollback says why and changes nothing.
# pg_regress cannot show it: that nothing has changed is said by pg_dump.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigTest;
use Test::More;

if (bare())
{
	plan skip_all => 'says nothing without safemig';
}

my $case_of_rows = 0;

start_server('refused');

my $table = q(CREATE TABLE t (id int PRIMARY KEY, a int, b text); INSERT INTO t SELECT i, i, 'b' || i FROM generate_series(1, 9) i;);

round_trips(
	{
		name => 'a later migration on the same table',
		setup => $table,
		migration => 'ALTER TABLE t ADD COLUMN x int',
		after => q(SET safemig.label = 'later'; ALTER TABLE t ALTER COLUMN x SET DEFAULT 5),
		refused => qr/SM006|SM003/,
	},
	{
		name => 'a later migration that depends on what this one made',
		setup => $table,
		migration => 'CREATE TABLE made (id int PRIMARY KEY)',
		after => q(SET safemig.label = 'later'; CREATE VIEW over_made AS SELECT * FROM made),
		refused => qr/SM006|SM003/,
	},
	{
		name => 'a later migration that dropped what this one changed',
		setup => $table,
		migration => 'ALTER TABLE t ADD COLUMN x int',
		after => q(SET safemig.label = 'later'; DROP TABLE t),
		refused => qr/SM006|SM003/,
	},
	{
		name => 'a later migration that dropped the type of a column of what this one dropped',
		setup => q(CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TABLE q (m mood[]); INSERT INTO q VALUES ('{a}')),
		migration => 'DROP TABLE q',
		after => q(SET safemig.label = 'later'; DROP TYPE mood),
		refused => qr/SM006/,
	},
	{
		name => 'a later migration that dropped the type that a dropped domain is of',
		setup => q(CREATE TYPE mood AS ENUM ('a', 'b'); CREATE DOMAIN moods AS mood[]),
		migration => 'DROP DOMAIN moods',
		after => q(SET safemig.label = 'later'; DROP TYPE mood),
		refused => qr/SM006/,
	},
	{
		name => 'a later migration that dropped the type of an attribute',
		setup => q(CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TYPE pair AS (a int, m mood)),
		migration => 'DROP TYPE pair',
		after => q(SET safemig.label = 'later'; DROP TYPE mood),
		refused => qr/SM006/,
	},
	{
		name => 'a later migration that dropped the function of a partition key',
		setup => q(CREATE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1'; CREATE TABLE q (a int) PARTITION BY LIST ((f(a)))),
		migration => 'DROP TABLE q',
		after => q(SET safemig.label = 'later'; DROP FUNCTION f),
		refused => qr/SM006/,
	},
	{
		name => 'drift: changed while safemig looked away',
		setup => $table,
		migration => 'ALTER TABLE t ADD COLUMN x int',
		after => q(SET safemig.enabled = off; ALTER TABLE t ALTER COLUMN x TYPE text),
		refused => qr/SM003/,
	},
	{
		name => 'drift: gone while safemig looked away',
		setup => $table,
		migration => 'CREATE TABLE made (id int)',
		after => q(SET safemig.enabled = off; DROP TABLE made),
		quiet => 1,
		refused => qr/SM003/,
	},
	{
		name => 'a name taken, unseen',
		setup => $table,
		migration => 'DROP TABLE t',
		after => q(SET safemig.enabled = off; CREATE TABLE t (other int)),
		refused => qr/SM003/,
	},
	{
		name => 'a name taken by a later migration',
		setup => $table,
		migration => 'DROP TABLE t',
		after => q(SET safemig.label = 'later'; CREATE TABLE t (other int)),
		refused => qr/SM003|SM006/,
	},
	{
		name => 'a unique key that later rows break',
		setup => $table . 'ALTER TABLE t ADD UNIQUE (a)',
		migration => 'ALTER TABLE t DROP CONSTRAINT t_a_key',
		after => 'INSERT INTO t VALUES (100, 1), (101, 1)',
		refused => qr/SM003.*t_a_key/s,
	},
	{
		name => 'a CHECK that later rows break',
		setup => $table . 'ALTER TABLE t ADD CONSTRAINT pos CHECK (a > 0)',
		migration => 'ALTER TABLE t DROP CONSTRAINT pos',
		after => 'INSERT INTO t VALUES (100, -1)',
		refused => qr/SM003.*pos/s,
	},
	{
		name => 'NOT NULL that later rows break',
		setup => $table . 'ALTER TABLE t ALTER b SET NOT NULL',
		migration => 'ALTER TABLE t ALTER b DROP NOT NULL',
		after => 'INSERT INTO t VALUES (100, 1, NULL)',
		refused => qr/SM003.*\bb\b/s,
	},
	{
		name => 'a table made by the migration that others now reference',
		setup => $table,
		migration => 'CREATE TABLE made (id int PRIMARY KEY)',
		after => q(SET safemig.enabled = off; CREATE TABLE refers (id int REFERENCES made)),
		refused => qr/SM003/,
	},
	{
		name => 'a change that has no way back',
		setup => $table . 'CREATE TYPE r',
		migration => q(ALTER TABLE t ADD x int; CREATE TYPE r AS RANGE (subtype = int4)),
		refused => qr/SM004.*irreversible/s,
	},
	{
		name => 'a materialized view emptied, whose owner may not read its table',
		setup => $table . 'CREATE ROLE refused_reader; CREATE MATERIALIZED VIEW mv AS SELECT * FROM (SELECT id FROM t) s; ALTER MATERIALIZED VIEW mv OWNER TO refused_reader',
		migration => 'REFRESH MATERIALIZED VIEW mv WITH NO DATA',
		refused => qr/SM003.*permission denied for table t.*REFRESH MATERIALIZED VIEW public\.mv/s,
	},
	{
		name => 'a table emptied, then dropped with its schema',
		setup => 'CREATE SCHEMA s; CREATE TABLE s.t (a int); INSERT INTO s.t VALUES (1)',
		migration => 'BEGIN; TRUNCATE s.t; DROP SCHEMA s CASCADE; COMMIT',
		refused => qr/SM004.*irreversible.*s\.t were not kept/s,
	},
	{
		name => 'a column changed by the migration, and again since',
		setup => $table,
		migration => 'ALTER TABLE t ADD x int; UPDATE t SET b = b || \'!\'',
		after => q(UPDATE t SET b = 'mine' WHERE id = 2),
		refused => qr/SM003.*t were written again.*1 row that the migration wrote/s,
	},
	{
		name => 'a row changed by the migration, and deleted since',
		setup => $table,
		migration => 'ALTER TABLE t ADD x int; UPDATE t SET b = b || \'!\'',
		after => q(DELETE FROM t WHERE id = 2),
		refused => qr/SM003.*1 row that it changed is no longer there/s,
	},
	{
		name => 'a row moved to a key that the migration had inserted and deleted, and gone since',
		setup => $table,
		migration => q(BEGIN; INSERT INTO t (id) VALUES (50); ALTER TABLE t ADD x int; DELETE FROM t WHERE id = 50; UPDATE t SET id = 50 WHERE id = 2; ALTER TABLE t ADD y int; COMMIT),
		after => 'DELETE FROM t WHERE id = 50',
		refused => qr/SM003.*1 row that it changed is no longer there/s,
	},
	{
		name => 'a row deleted by the migration, whose key is taken since',
		setup => $table,
		migration => 'ALTER TABLE t ADD x int; DELETE FROM t WHERE id = 2',
		after => q(INSERT INTO t VALUES (2, 5, 'mine')),
		refused => qr/SM003.*1 row that it deleted/s,
	},
	{
		name => 'an inserted row that others refer to since',
		setup => $table . 'CREATE TABLE refers (id int REFERENCES t)',
		migration => q(ALTER TABLE t ADD x int; INSERT INTO t VALUES (77, 7, 'seed')),
		after => q(INSERT INTO refers VALUES (77)),
		refused => qr/SM003.*refers_id_fkey/s,
	},
	{
		name => 'a label that kept values of a dropped column have',
		setup => q(CREATE TYPE m AS ENUM ('a'); CREATE TABLE t (id int PRIMARY KEY, c m)),
		migration => q(ALTER TYPE m ADD VALUE 'x'),
		after => q(INSERT INTO t VALUES (1, 'x'), (2, 'a'); SET safemig.label = 'later'; ALTER TABLE t DROP COLUMN c),
		refused => qr/SM003.*"x".*column c/s,
	},
	{
		name => 'a label that rows of a table have which a later migration dropped',
		setup => q(CREATE TYPE m AS ENUM ('a')),
		migration => q(ALTER TYPE m ADD VALUE 'x'),
		after => q(CREATE TABLE n (c m); INSERT INTO n VALUES ('x'); SET safemig.label = 'later'; DROP TABLE n),
		refused => qr/SM003.*"x".*safemig_vault_\d+\.n/s,
	},
	{
		name => 'a label that rows of tables have which the migration made',
		setup => q(CREATE TYPE m AS ENUM ('a', 'b'); CREATE DOMAIN d AS m; CREATE TABLE o (c m); INSERT INTO o VALUES ('a')),
		migration => q(ALTER TYPE m ADD VALUE 'x' BEFORE 'b'; CREATE TABLE n (id int PRIMARY KEY, c m DEFAULT 'x' CHECK (c <> 'b'), a d[]); CREATE INDEX ON n (c); INSERT INTO n VALUES (1, 'x', '{a,x}'), (2, 'a', NULL); ALTER TABLE n ADD l m DEFAULT 'x'; CREATE TABLE heir (z int) INHERITS (n); INSERT INTO heir VALUES (3); CREATE MATERIALIZED VIEW mv AS SELECT * FROM n),
		once => 1,
	},
	{
		name => 'such a label, and the rows are not to be kept',
		setup => q(CREATE TYPE m AS ENUM ('a')),
		migration => q(ALTER TYPE m ADD VALUE 'x'; CREATE TABLE n (c m); INSERT INTO n VALUES ('x'); CREATE MATERIALIZED VIEW mv AS SELECT * FROM n),
		rollback => q(SET safemig.keep_undone = off; SELECT safemig_rollback('case')),
		once => 1,
	},
	{
		name => 'nothing to roll back',
		setup => $table,
		migration => 'SELECT 1',
		quiet => 1,
		refused => qr/SM001/,
	},
);

# A refusal shows its rows: the query of the hint, and how many it finds.
subtest 'the rows in the way' => sub {
	my $setup = q~
		CREATE TABLE p (x int, y text, PRIMARY KEY (x, y)); INSERT INTO p VALUES (1, 'a'), (2, 'b');
		CREATE TABLE q (id int PRIMARY KEY, n text NOT NULL, "u )'" text UNIQUE, x int, y text, FOREIGN KEY (x, y) REFERENCES p,
			CONSTRAINT c CHECK (n <> ')' AND id < 100));
		CREATE UNIQUE INDEX i ON q (x, n); CREATE INDEX e ON q (lower(n));
		INSERT INTO q VALUES (1, 'n', 'u', 1, 'a'), (2, 'm', 'v', 2, 'b');
		CREATE TABLE k (a int, b text); INSERT INTO k VALUES (1, 'x'), (2, 'y'), (2, 'y')~;
	foreach my $case (
		[ 'UNIQUE', q~ALTER TABLE q DROP CONSTRAINT "q_u )'_key"~, q(INSERT INTO q VALUES (3, 'o', 'u', 1, 'a'), (4, 'o', NULL, 2, 'b'), (5, 'z', NULL, 1, 'a'); ALTER TABLE q ALTER n SET STATISTICS 3), 1 ],
		[ 'an index', 'DROP INDEX i', q(INSERT INTO q VALUES (3, 'n', 'w', 1, 'a'), (4, 'm', 'x', 2, 'b')), 2 ],
		[ 'NOT NULL', 'ALTER TABLE q ALTER n DROP NOT NULL', q(INSERT INTO q VALUES (3, NULL, 'w', 1, 'a'), (4, NULL, 'x', 2, 'b'), (5, 'y', 'y', 1, 'a')), 2 ],
		[ 'CHECK', 'ALTER TABLE q DROP CONSTRAINT c', q~INSERT INTO q VALUES (3, ')', 'w', 1, 'a'), (200, 'q', 'x', 2, 'b'), (5, 'y', 'y', 1, 'a')~, 2 ],
		[ 'a foreign key', 'ALTER TABLE q DROP CONSTRAINT q_x_y_fkey', q(INSERT INTO q VALUES (3, 'o', 'w', 1, 'b'), (4, 'o', 'x', 2, NULL), (5, 'y', 'y', 1, 'a')), 1 ],
		[ 'a primary key', 'ALTER TABLE p DROP CONSTRAINT p_pkey CASCADE', q(INSERT INTO p VALUES (1, 'a'), (1, 'a'), (3, 'c')), 1 ],
		[ 'changed rows', 'BEGIN; CREATE TABLE z (); UPDATE q SET n = upper(n); COMMIT', q(UPDATE q SET n = 'mine' WHERE id = 2), 1 ],
		[ 'rows with a key of two columns', 'BEGIN; CREATE TABLE z (); DELETE FROM q; DELETE FROM p; COMMIT', q(INSERT INTO p VALUES (1, 'a')), 1 ],
		[ 'rows without a key', 'BEGIN; CREATE TABLE z (); UPDATE k SET b = upper(b); COMMIT', q(SELECT 1), undef ],
	  )
	{
		my ($name, $migration, $after, $rows) = @$case;
		my $database = new_database('rows_' . ++$case_of_rows);
		must($database, "SET client_min_messages = error; $setup");
		must($database, "SET client_min_messages = error; SET safemig.label = 'm'; $migration");
		must($database, "SET safemig.enabled = off; $after");
		my ($status, $out, $err) = in_database($database, q(SELECT safemig_rollback('m')));
		if (!defined $rows)
		{
			ok(!$status, "$name: nothing is in the way") or diag($err);
			next;
		}
		ok($status, "$name: refused");
		my ($query) = $err =~ /(SELECT [^;\n]*);/ or diag($err);
		is(value($database, "SELECT count(*) FROM ($query) AS q"), $rows, "$name: $query");
	}
	my $database = new_database('rows_of_both');
	must($database, "SET client_min_messages = error; $setup");
	must($database, q(SET safemig.label = 'm'; BEGIN; CREATE TABLE z (); UPDATE k SET b = upper(b); UPDATE q SET n = upper(n); DELETE FROM p WHERE x = 7; COMMIT));
	must($database, q(UPDATE k SET b = b || '!' WHERE a = 1; UPDATE q SET n = 'mine'));
	my ($status, $out, $err) = in_database($database, q(SELECT safemig_rollback('m')));
	like($err, qr/rows of 2 tables were written again/, 'all tables are told');
	like($err, qr/^(?:DETAIL:  )?public\.$_\b/m, $_) foreach 'k: 1 row', 'q: 2 rows that the migration wrote were changed since';
	is(() = $err =~ /SELECT \* FROM public\.\w WHERE/g, 1, 'with a query for those whose rows are there');
};

# One refusal tells all that there is to mend, and nothing that is only a
# consequence of going on.
subtest 'several things in the way' => sub {
	my $database = new_database('several');
	must($database, q(CREATE TABLE p (id int PRIMARY KEY, x int UNIQUE, c text, k int NOT NULL, CONSTRAINT pos CHECK (k > 0));
		CREATE TABLE q (id int PRIMARY KEY, a text, b text); CREATE TABLE ch (id int PRIMARY KEY, p int REFERENCES p);
		CREATE TABLE t (id int PRIMARY KEY, v int, y int UNIQUE);
		INSERT INTO p SELECT i, i, 'c', i FROM generate_series(1, 5) i; INSERT INTO q SELECT i, 'a', 'b' FROM generate_series(1, 5) i;
		INSERT INTO ch SELECT i, i FROM generate_series(1, 5) i; INSERT INTO t SELECT i, i, i FROM generate_series(1, 5) i));
	must($database, q(SET client_min_messages = error; LOAD 'safemig'; SET safemig.label = 'm'; BEGIN; UPDATE p SET c = 'm'; UPDATE q SET a = 'm'; UPDATE t SET y = -y;
		ALTER TABLE t DROP CONSTRAINT t_y_key; ALTER TABLE t ALTER v TYPE text;
		ALTER TABLE p DROP CONSTRAINT p_x_key; ALTER TABLE p DROP CONSTRAINT pos; ALTER TABLE p ALTER k DROP NOT NULL; ALTER TABLE ch DROP CONSTRAINT ch_p_fkey;
		UPDATE q SET b = 'm'; COMMIT));
	must($database, q(SET safemig.enabled = off; UPDATE p SET c = 'app' WHERE id = 1; UPDATE q SET b = 'app' WHERE id IN (1, 2); UPDATE q SET a = 'app' WHERE id IN (2, 3); DELETE FROM q WHERE id = 5;
		INSERT INTO p VALUES (10, 1, 'n', 1), (11, 1, 'n', NULL), (12, 12, 'n', -1); INSERT INTO ch VALUES (20, 99); UPDATE t SET v = 'xyz' WHERE id = 1; INSERT INTO t VALUES (9, '9', -1)));
	my $state = state_of($database);
	my %rows = ('public.q' => 3, 'public.p WHERE id' => 1, 'public.ch' => 1, 'public.p WHERE k IS NULL' => 1, 'public.p WHERE NOT' => 1, 'x, count' => 1, 'public.t' => 1);
	my ($status, $out, $err) = in_database($database, q(SELECT safemig_rollback('m')));
	ok($status, 'refused');
	is(state_of($database), $state, 'nothing has changed');
	like($err, qr/: 7 things are in the way/, 'all are counted');
	like($err, qr/public\.q: 3 rows that the migration wrote were changed since; 1 row that it changed is no longer there/, 'rows of several parts, each once');
	unlike($err, qr/t_y_key/, 'a key of a table whose type cannot go back is not judged');
	foreach my $query ($err =~ /(SELECT [^;\n]*);/g)
	{
		my ($name) = grep { index($query, $_) >= 0 } sort { length $b <=> length $a } keys %rows or next;
		is(value($database, "SELECT count(*) FROM ($query) AS q"), delete $rows{$name}, $query);
	}
	is(join(' ', sort keys %rows), '', 'each has its query');
	($status, $out, $err) = in_database($database, q(SELECT safemig_rollback('m', on_conflict => 'keep')));
	like($err, qr/: 5 things are in the way/, 'a policy does not help with constraints and types');
	must($database, q(DELETE FROM p WHERE id >= 10; DELETE FROM ch WHERE id = 20; DELETE FROM t WHERE id = 9; UPDATE t SET v = '1' WHERE id = 1));
	($status, $out, $err) = in_database($database, q(SELECT safemig_rollback('m')));
	like($err, qr/rows of 2 tables were written again/, 'the rest');
	($status, $out, $err) = in_database($database, q(SELECT safemig_rollback('m', on_conflict => 'keep')));
	ok(!$status, 'nothing is left') or diag($err);

	$database = new_database('consequence');
	must($database, q(CREATE TABLE p (id int PRIMARY KEY, code text UNIQUE); CREATE TABLE ch (id int PRIMARY KEY, p int REFERENCES p); INSERT INTO p VALUES (1, 'a')));
	must($database, q(LOAD 'safemig'; SET safemig.label = 'm'; BEGIN; ALTER TABLE ch ADD x int; DELETE FROM p; ALTER TABLE ch DROP CONSTRAINT ch_p_fkey; COMMIT));
	must($database, q(SET safemig.enabled = off; INSERT INTO p VALUES (50, 'a'); INSERT INTO ch VALUES (1, 50)));
	($status, $out, $err) = in_database($database, q(SELECT safemig_rollback('m')));
	like($err, qr/rows of table public\.p were written again.*1 row that it deleted or moved/s, 'a row that has the place of another one');
	unlike($err, qr/ch_p_fkey/, 'that others refer to it is not in the way');
};

# Errors that say what is wrong, with their SQLSTATEs.
subtest 'errors' => sub {
	my $database = new_database('errors');
	in_database($database, $table);
	in_database($database, q(SET safemig.label = 'one'; ALTER TABLE t ADD x int));
	in_database($database, q(SET safemig.label = 'same'; ALTER TABLE t ADD y int));
	in_database($database, q(CREATE TABLE z (a int); SET safemig.label = 'same'; ALTER TABLE t ADD w int));
	my $state = state_of($database);
	foreach my $case (
		[ 'SELECT safemig_rollback(987654)', 'SM001' ],
		[ q(SELECT safemig_rollback('no such')), 'SM001' ],
		[ q(SELECT safemig_rollback('same')), 'SM0' ],
		[ q(SELECT safemig_rollback('one')), 'SM006' ],
		[ 'SELECT safemig_end()', 'SM002' ],
		[ 'SELECT safemig_abort()', 'SM002' ],
		[ 'SELECT safemig_redo(safemig_mark())', 'SM002' ],
		[ q(SELECT safemig_begin('a'); SELECT safemig_begin('b')), 'SM002' ],
		# the end would call it applied again
		[ q(BEGIN; SELECT safemig_begin('own'); DROP TABLE z; SELECT safemig_rollback('own')), 'SM002' ],
	  )
	{
		my ($sql, $state) = @$case;
		my ($status, $out, $err) = in_database($database, "\\set VERBOSITY verbose\n$sql");
		ok($status, $sql);
		like($err, qr/ERROR:  $state/, "$sql: $state");
	}
	is(state_of($database), $state, 'nothing has changed');

	my $id = value($database, 'SELECT safemig_rollback(safemig_mark())');
	my ($status, $out, $err) = in_database($database, "\\set VERBOSITY verbose\nSELECT safemig_rollback($id)");
	like($err, qr/ERROR:  SM002.*safemig_redo/s, 'a rollback is taken back by redo');
};

# Who may not alter a table may not undo what was done to it.
subtest 'rights' => sub {
	my $database = new_database('rights');
	in_database($database, "$table ALTER TABLE t OWNER TO alice");
	in_database($database, q(SET ROLE alice; SET safemig.label = 'hers'; ALTER TABLE t DROP COLUMN b; CREATE TABLE extra (a int)));
	my $state = state_of($database);
	my ($status, $out, $err) = in_database($database, q(SET ROLE bob; SELECT safemig_rollback('hers')));
	ok($status, 'another role is refused');
	like($err, qr/permission|owner/, 'because of its rights');
	is(state_of($database), $state, 'nothing has changed');
	($status, $out, $err) = in_database($database, q(SET ROLE bob; SELECT count(*) FROM safemig.kept_log));
	($status, $out, $err) = in_database($database, q(SET ROLE bob; DELETE FROM safemig.command_log));
	ok($status, 'the history is written by nobody');
	($status, $out, $err) = in_database($database, q(SET ROLE alice; SELECT safemig_rollback('hers')));
	ok(!$status, 'the owner may') or diag($err);
};

# What cannot be reversed is said when it happens.
subtest 'said early' => sub {
	my $database = new_database('early');
	in_database($database, 'CREATE TYPE r; CREATE TYPE s');
	my ($status, $out, $err) = in_database($database, q(CREATE TYPE r AS RANGE (subtype = int4)));
	like($err, qr/WARNING.*irreversible/, 'a warning');
	is(value($database, 'SELECT restorable FROM safemig.migrations ORDER BY id DESC LIMIT 1'), 'f', 'recorded');
	($status, $out, $err) = in_database($database, "SET safemig.require_reversible = on; CREATE TYPE s AS RANGE (subtype = int4)");
	ok($status, 'refused with require_reversible');
	like($err, qr/irreversible/, 'and says so');
};

done_testing();
