
# Copyright (c) 2026, the safemig authors

# Another major version's records, on one server: the history is made to say
# that another one wrote it, in other words of the same meaning.  What really
# comes of pg_upgrade is for 083_upgrade.pl.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigTest;
use Test::More;

plan skip_all => 'says nothing without safemig' if bare();
start_server('reworded');

my $setup = <<'SQL';
CREATE SCHEMA w;
CREATE TABLE w.t (id int PRIMARY KEY, a text DEFAULT lower('X'), b text GENERATED ALWAYS AS (lower(a)) STORED,
	CONSTRAINT known CHECK (lower(a) <> 'no'));
INSERT INTO w.t SELECT i, 'a' || i FROM generate_series(1, 5) i;
CREATE TABLE w.parts (v text) PARTITION BY LIST (lower(v));
CREATE INDEX t_expr ON w.t (lower(a)) WHERE lower(a) > 'a';
CREATE STATISTICS w.st ON lower(a), id FROM w.t;
CREATE VIEW w.v AS SELECT id, lower(a) AS l FROM w.t;
CREATE VIEW w.filled AS SELECT id, a FROM w.t;
ALTER VIEW w.filled ALTER COLUMN a SET DEFAULT lower('q');
CREATE MATERIALIZED VIEW w.m AS SELECT lower(a) AS l, count(*) FROM w.t GROUP BY lower(a);
CREATE RULE keep AS ON DELETE TO w.t WHERE lower(old.a) = 'x' DO INSTEAD NOTHING;
CREATE POLICY mine ON w.t USING (lower(a) = CURRENT_USER) WITH CHECK (lower(a) > '');
CREATE FUNCTION w.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TRIGGER tr BEFORE UPDATE ON w.t FOR EACH ROW WHEN (lower(old.a) > lower(new.a)) EXECUTE FUNCTION w.f();
CREATE TRIGGER instead INSTEAD OF UPDATE ON w.filled FOR EACH ROW EXECUTE FUNCTION w.f();
CREATE FUNCTION w.body(y text DEFAULT lower('Y')) RETURNS text BEGIN ATOMIC SELECT lower(y); END;
CREATE DOMAIN w.dom AS text DEFAULT lower('d') CONSTRAINT small CHECK (lower(VALUE) = VALUE);
SET ROLE alice;
CREATE TABLE public.hers (a text, CHECK (lower(a) > ''));
CREATE VIEW public.her_view AS SELECT lower(a) AS l FROM public.hers;
RESET ROLE;
SQL

my $changes = <<'SQL';
CREATE OR REPLACE VIEW w.v AS SELECT id, upper(a) AS l FROM w.t;
DROP VIEW w.filled; DROP MATERIALIZED VIEW w.m; DROP RULE keep ON w.t; DROP TRIGGER tr ON w.t;
ALTER POLICY mine ON w.t USING (true);
DROP FUNCTION w.body; DROP STATISTICS w.st; DROP INDEX w.t_expr;
ALTER TABLE w.t DROP CONSTRAINT known, ALTER a SET DEFAULT 'y', DROP COLUMN b;
ALTER DOMAIN w.dom DROP CONSTRAINT small; ALTER DOMAIN w.dom DROP DEFAULT;
DROP TABLE w.parts; DROP VIEW public.her_view; DROP TABLE public.hers;
SQL

# Whatever was recorded by now comes from elsewhere, with $words for "lower".
sub recorded_elsewhere
{
	my ($database, $words) = @_;
	my $reworded = sub {
		my ($column) = @_;
		return "$column = (SELECT array_agg(regexp_replace(x, '(^|[ (])lower\\(', '\\1$words(', 'g') ORDER BY n) FROM unnest($column) WITH ORDINALITY u(x, n))";
	};
	must($database, sprintf 'UPDATE safemig.change_log SET server = 140000, %s, %s', map { $reworded->($_) } qw(before after));
	must($database, sprintf 'UPDATE safemig.command_log SET %s', $reworded->('reverse'));
	return;
}

# Privileges are another matter: all of what is here is the owners'.
my $database = new_database('same');
must($database, $setup);
recorded_elsewhere($database, 'pg_catalog.lower');
is(value($database, 'SELECT * FROM safemig.drift()'), '', 'nothing has drifted');
my $before = state_of($database);
must($database, "SET safemig.label = 'changes'; $changes");
recorded_elsewhere($database, 'pg_catalog.lower');
my $between = state_of($database);
is(value($database, q(SELECT * FROM safemig_check((SELECT max(id) FROM safemig.migrations)))), '', 'nothing is in the way');
is(value($database, 'SELECT * FROM safemig_verify((SELECT max(id) FROM safemig.migrations))'), '', 'verified');
is(state_of($database), $between, 'looking leaves nothing behind');
my ($status, $out, $err) = in_database($database, q(SELECT safemig_rollback('changes')));
ok(!$status, 'rollback') or diag($err);
is(SafemigOracle::difference($before, state_of($database)), '', 'the state before');
($status, $out, $err) = in_database($database, 'SELECT safemig_redo((SELECT max(id) FROM safemig.migrations))');
ok(!$status, 'redo') or diag($err);
is(SafemigOracle::difference($between, state_of($database)), '', 'the state after');

# Another meaning is told.
new_database('other');
must('other', $setup);
recorded_elsewhere('other', 'upper');
my $drift = value('other', q(SELECT object FROM safemig.drift() GROUP BY 1 ORDER BY object COLLATE "C"));
is($drift, <<'OBJECTS' =~ s/\n\z//r, 'everything has drifted');
domain constraint small on w.dom
function w.body(pg_catalog.text)
index w.t_expr
materialized view w.m
policy mine on w.t
rule keep on w.t
statistics object w.st
table constraint hers_a_check on public.hers
table constraint known on w.t
table w.parts
table w.t
trigger tr on w.t
type w.dom
view public.her_view
view w.filled
view w.v
OBJECTS

# Where it cannot be told the words count.
($status, $out, $err) = in_database($database, <<'SQL');
CREATE TABLE w.whole (a text);
CREATE FUNCTION w.of_row(w.whole) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';
SET safemig.label = 'whole';
ALTER TABLE w.whole ADD CONSTRAINT whole CHECK (w.of_row(whole) OR lower(a) > '');
SQL
recorded_elsewhere($database, 'pg_catalog.lower');
($status, $out, $err) = in_database($database, q(SELECT safemig_rollback('whole')));
like($err, qr/was recorded as .*PostgreSQL 14 recorded it, and .* could not be found out: function w\.of_row/s, 'refused, with the reason');

done_testing();
