
# Copyright (c) 2026, the safemig authors

# Attacks by a role that is no superuser: code of its own in everything that a
# superuser's migration and rollback may touch, and whatever it can try against
# safemig itself.  Each trap is first seen to catch the superuser who does the
# like of a rollback by hand, so that it is known to bite.  pg_regress cannot
# show it: most of this takes sessions of two users.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigSession;
use SafemigTest;
use Test::More;

plan skip_all => 'says nothing without safemig' if bare();

start_server('attacks', conf => "session_preload_libraries = 'safemig'");
must('postgres', <<'SQL');
CREATE ROLE mallory LOGIN;
CREATE ROLE victor LOGIN;
SQL

# What mallory's code does wherever it runs: it notes as whom, if not as
# mallory, and in the session of somebody else it tries to become him, and to
# leave something behind that runs once he is himself again.
new_database('attack_template');
must('attack_template', <<'SQL');
SET safemig.enabled = off;
CREATE TABLE public.loot (who text, what text);
GRANT SELECT, INSERT ON public.loot TO PUBLIC;
GRANT CREATE ON SCHEMA public TO mallory;
GRANT EXECUTE ON FUNCTION safemig_administer() TO victor;
CREATE SCHEMA mal AUTHORIZATION mallory;
SET ROLE mallory;
GRANT USAGE ON SCHEMA mal TO victor;
CREATE FUNCTION mal.note(what text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF current_user <> 'mallory' THEN INSERT INTO public.loot VALUES (current_user, what); END IF;
	RETURN 1;
END $$;
CREATE FUNCTION mal.note_later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM mal.note('deferred trigger'); RETURN NULL; END $$;
CREATE TABLE mal.deferred (a int);
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON mal.deferred DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION mal.note_later();
GRANT ALL ON mal.deferred TO PUBLIC;
CREATE FUNCTION mal.hit(what text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	trick text;
BEGIN
	IF session_user = 'mallory' THEN RETURN mal.note(what); END IF;
	FOREACH trick IN ARRAY ARRAY['RESET ROLE', 'SET SESSION AUTHORIZATION DEFAULT', 'SET ROLE NONE', 'SET search_path = mal, pg_catalog',
		'DECLARE left_behind CURSOR WITH HOLD FOR SELECT mal.note(''cursor'')', 'PREPARE left_behind AS SELECT mal.note(''prepared'')',
		'CREATE TEMP TABLE left_behind (a int DEFAULT mal.note(''temporary''))', 'LISTEN left_behind', 'INSERT INTO mal.deferred VALUES (1)'] LOOP
		BEGIN EXECUTE trick; EXCEPTION WHEN OTHERS THEN NULL; END;
	END LOOP;
	RETURN mal.note(what);
END $$;
CREATE FUNCTION mal.calm(what text) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN mal.hit(what); END $$;
CREATE FUNCTION mal.calm(what int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM mal.hit('on a column'); RETURN what; END $$;
CREATE TABLE mal.t (id int PRIMARY KEY, a int, b text);
INSERT INTO mal.t SELECT i, i, 'b' || i FROM generate_series(1, 20) i;
SQL

sub session
{
	my ($database, $user) = @_;
	my %who = defined $user ? (user => $user) : ();
	return SafemigSession->new({ %{ connection_to($database) }, %who }, "SET safemig.notices = off;\nSET client_min_messages = error");
}

sub run_in
{
	my ($session, $sql) = @_;
	my ($output, $error) = $session->run($sql);
	die "$sql\n$error" if defined $error;
	chomp $output;
	return $output;
}

# What its code left in somebody's session, and where else it ran.
my $left_behind = <<'SQL';
SELECT coalesce(string_agg(what, ', '), 'nothing') FROM (
	SELECT 'cursor ' || name FROM pg_cursors WHERE name = 'left_behind' UNION ALL SELECT 'statement ' || name FROM pg_prepared_statements
	UNION ALL SELECT 'channel ' || c FROM pg_listening_channels() c UNION ALL SELECT 'temporary ' || relname FROM pg_class WHERE relname = 'left_behind'
	UNION ALL SELECT 'path ' || current_setting('search_path') WHERE current_setting('search_path') ~ 'mal'
	UNION ALL SELECT 'user ' || current_user WHERE current_user <> session_user) AS left_over (what);
SQL
my $loot = q(SELECT coalesce(string_agg(DISTINCT who || ': ' || what, ', '), 'nothing') FROM public.loot);

# ---- code in what is rolled back ----
#
# setup      by mallory
# naive      the like of it, done by hand, which the trap catches; in a
#            transaction that is given up
# migration  by the superuser
# between    by mallory, after it
# by         who runs it, if not the superuser
# before     by the superuser
# caller     who calls the rollback, if not the superuser
# settings   of the caller's session
# maintenance  what autovacuum and its elders do is done, too
my $triggers = q(CREATE FUNCTION mal.fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM mal.hit($$trigger$$); RETURN coalesce(new, old); END';
	CREATE TRIGGER b BEFORE INSERT OR UPDATE OR DELETE ON mal.t FOR EACH ROW EXECUTE FUNCTION mal.fire();
	CREATE TRIGGER a AFTER INSERT OR UPDATE OR DELETE ON mal.t FOR EACH ROW EXECUTE FUNCTION mal.fire();
	CREATE TRIGGER s AFTER INSERT OR UPDATE OR DELETE ON mal.t EXECUTE FUNCTION mal.fire(); ALTER TABLE mal.t ENABLE ALWAYS TRIGGER a;
	CREATE TRIGGER w BEFORE UPDATE ON mal.t FOR EACH ROW WHEN (mal.calm(old.id) > 0) EXECUTE FUNCTION mal.fire();
	CREATE RULE r AS ON UPDATE TO mal.t DO ALSO SELECT mal.hit('rule'));
my @traps = (
	{
		name => 'a default',
		setup => q(ALTER TABLE mal.t ALTER a SET DEFAULT mal.hit('default')),
		naive => q(ALTER TABLE mal.t ADD c int DEFAULT mal.hit('default')),
		migration => 'ALTER TABLE mal.t DROP COLUMN a; ALTER TABLE mal.t ALTER b TYPE varchar(5)',
		between => q(INSERT INTO mal.t VALUES (100, 'new'); UPDATE mal.t SET b = b WHERE id < 5),
	},
	{
		name => 'a CHECK',
		setup => q(CREATE FUNCTION mal.same(int, int) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM mal.hit($$operator$$); RETURN true; END';
			CREATE OPERATOR mal.==== (LEFTARG = int, RIGHTARG = int, FUNCTION = mal.same);
			ALTER TABLE mal.t ADD CONSTRAINT c1 CHECK (mal.calm('check') > 0), ADD CONSTRAINT c2 CHECK (id OPERATOR(mal.====) a)),
		naive => q(ALTER TABLE mal.t ADD CHECK (mal.calm('check') > 0)),
		migration => 'ALTER TABLE mal.t DROP CONSTRAINT c1; ALTER TABLE mal.t DROP CONSTRAINT c2; ALTER TABLE mal.t DROP COLUMN b; DROP TABLE mal.t',
	},
	{
		name => 'a generated column',
		setup => q(ALTER TABLE mal.t ADD g int GENERATED ALWAYS AS (mal.calm(id)) STORED),
		naive => q(ALTER TABLE mal.t ADD h int GENERATED ALWAYS AS (mal.calm(id)) STORED),
		migration => 'ALTER TABLE mal.t DROP COLUMN b; ALTER TABLE mal.t DROP COLUMN g',
		between => q(UPDATE mal.t SET a = 7 WHERE id < 5),
	},
	{
		name => 'an expression of an index, whose function is another by then',
		setup => q(CREATE INDEX i ON mal.t (mal.calm(id)); CREATE INDEX p ON mal.t (id) WHERE mal.calm(a) > 0; CREATE STATISTICS mal.s ON (mal.calm(id)), a FROM mal.t),
		naive => 'ALTER TABLE mal.t OWNER TO CURRENT_USER; ANALYZE mal.t',
		migration => 'DROP TABLE mal.t',
		between => q(CREATE OR REPLACE FUNCTION mal.calm(what int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM mal.hit('replaced'); RETURN what; END $$),
		maintenance => 1,
	},
	{
		name => 'triggers and rules, a column filled',
		setup => $triggers,
		naive => 'UPDATE mal.t SET a = a',
		migration => 'ALTER TABLE mal.t DROP COLUMN b; ALTER TABLE mal.t ALTER a TYPE text',
		between => 'UPDATE mal.t SET a = 0 WHERE id < 5',
	},
	{
		name => 'triggers and rules, rows of a snapshot put back',
		setup => $triggers,
		naive => 'DELETE FROM mal.t WHERE id = 1; INSERT INTO mal.t VALUES (1); UPDATE mal.t SET a = a',
		migration => q(SELECT safemig_snapshot('case', 'mal.t')),
		between => 'UPDATE mal.t SET a = 0 WHERE id < 5; DELETE FROM mal.t WHERE id > 15; INSERT INTO mal.t VALUES (100, 1)',
	},
	{
		name => 'casts to and from text, and between types',
		setup => q(CREATE TYPE mal.pair AS (x int, y int); CREATE TYPE mal.mood AS ENUM ('ok', 'bad');
			CREATE FUNCTION mal.told(mal.pair) RETURNS text LANGUAGE plpgsql AS 'BEGIN PERFORM mal.hit($$cast$$); RETURN $1.x; END';
			CREATE FUNCTION mal.read(text) RETURNS mal.pair LANGUAGE plpgsql AS 'BEGIN PERFORM mal.hit($$cast$$); RETURN ROW(1, 2); END';
			CREATE FUNCTION mal.told(mal.mood) RETURNS text LANGUAGE plpgsql AS 'BEGIN PERFORM mal.hit($$cast$$); RETURN $$ok$$; END';
			CREATE CAST (mal.pair AS text) WITH FUNCTION mal.told(mal.pair) AS IMPLICIT; CREATE CAST (text AS mal.pair) WITH FUNCTION mal.read(text) AS IMPLICIT;
			CREATE CAST (mal.mood AS text) WITH FUNCTION mal.told(mal.mood) AS IMPLICIT;
			ALTER TABLE mal.t ADD p mal.pair, ADD q mal.pair[], ADD m mal.mood; UPDATE mal.t SET p = ROW(id, 1), q = ARRAY[ROW(id, 2)::mal.pair], m = 'bad'),
		naive => 'SELECT p::text, m::text FROM mal.t',
		migration => 'ALTER TABLE mal.t DROP COLUMN p; ALTER TABLE mal.t DROP COLUMN q; DROP TYPE mal.mood CASCADE; DROP TABLE mal.t; DROP TYPE mal.pair CASCADE',
	},
	{
		name => 'a cast that takes a type back',
		setup => q(CREATE TYPE mal.one AS (x int); CREATE TYPE mal.other AS (x int);
			CREATE FUNCTION mal.turn(mal.one) RETURNS mal.other LANGUAGE plpgsql AS 'BEGIN PERFORM mal.hit($$cast$$); RETURN ROW($1.x); END';
			CREATE FUNCTION mal.turn(mal.other) RETURNS mal.one LANGUAGE plpgsql AS 'BEGIN PERFORM mal.hit($$cast$$); RETURN ROW($1.x); END';
			CREATE CAST (mal.one AS mal.other) WITH FUNCTION mal.turn(mal.one) AS IMPLICIT; CREATE CAST (mal.other AS mal.one) WITH FUNCTION mal.turn(mal.other) AS IMPLICIT;
			ALTER TABLE mal.t ADD p mal.one; UPDATE mal.t SET p = ROW(id)),
		naive => 'ALTER TABLE mal.t ALTER p TYPE mal.other',
		by => 'mallory',
		migration => 'ALTER TABLE mal.t ALTER p TYPE mal.other',
		between => 'UPDATE mal.t SET p = ROW(7) WHERE id = 1; INSERT INTO mal.t (id, p) VALUES (100, ROW(7))',
	},
	{
		name => 'names in public that hide those of PostgreSQL',
		setup => q(CREATE FUNCTION public.eq(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN PERFORM mal.hit($$=$$); RETURN $1::text = $2::text; END';
			CREATE FUNCTION public.eq(text, text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN PERFORM mal.hit($$=$$); RETURN $1 OPERATOR(pg_catalog.=) $2; END';
			CREATE OPERATOR public.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = public.eq); CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.eq);
			CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE plpgsql AS 'BEGIN PERFORM mal.hit($$now$$); RETURN NULL; END';
			CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM mal.hit($$lower$$); RETURN $$x$$; END';
			CREATE FUNCTION public.count(bigint) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN PERFORM mal.hit($$count$$); RETURN 1; END';
			CREATE VIEW public.pg_class AS SELECT mal.hit('view pg_class') AS oid; GRANT SELECT ON public.pg_class TO PUBLIC),
		settings => 'SET search_path = public, pg_catalog',
		naive => q(SELECT lower('A'::varchar), now(), 1::bigint = 1::bigint FROM pg_class),
		before => q(CREATE TABLE victim (id bigint PRIMARY KEY, a varchar, b numeric DEFAULT 1, c text DEFAULT pg_catalog.lower('X'), CHECK (a OPERATOR(pg_catalog.<>) 'x'));
			CREATE INDEX victim_lower ON victim (pg_catalog.lower(a::text)); INSERT INTO victim VALUES (1, 'a', 1.5), (2, 'b', 2.5);
			CREATE VIEW seen AS SELECT pg_catalog.lower(a::text) AS a FROM victim WHERE id OPERATOR(pg_catalog.=) 1::bigint),
		migration => q(UPDATE victim SET b = 7 WHERE a OPERATOR(pg_catalog.=) 'a'; ALTER TABLE victim ALTER b TYPE int; ALTER TABLE victim DROP COLUMN a CASCADE; DROP TABLE victim),
	},
	{
		name => 'names in pg_temp of the session that rolls back',
		setup => 'ALTER TABLE mal.t ALTER a SET DEFAULT 5',
		caller => 'mallory',
		settings => q(CREATE TEMP VIEW pg_class AS SELECT mal.hit('pg_temp') AS oid, 'x'::name AS relname; CREATE TEMP VIEW pg_attribute AS SELECT mal.hit('pg_temp') AS attrelid;
			CREATE TEMP TABLE t (trap int DEFAULT mal.hit('pg_temp')); CREATE TEMP VIEW migration_log AS SELECT mal.hit('pg_temp') AS id;
			CREATE DOMAIN pg_temp.int4 AS pg_catalog.int4 CHECK (mal.calm('pg_temp') > 0);
			GRANT ALL ON pg_class, pg_attribute, t, migration_log TO PUBLIC),
		naive => 'SELECT public.how_many()',
		before => q(CREATE FUNCTION public.how_many() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(oid) FROM pg_class'),
		migration => 'ALTER TABLE mal.t DROP COLUMN b, ALTER a TYPE bigint; ALTER TABLE mal.t DROP COLUMN a; DROP TABLE mal.t',
	},
	{
		name => 'a policy, met by who administers and is no superuser',
		setup => q(CREATE POLICY p ON mal.t USING (mal.hit('policy') > 0) WITH CHECK (mal.hit('policy') > 0); ALTER TABLE mal.t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; GRANT ALL ON mal.t TO victor),
		caller => 'victor',
		naive => 'SELECT * FROM mal.t',
		migration => 'ALTER TABLE mal.t DROP COLUMN b; ALTER TABLE mal.t ALTER a TYPE text; DROP POLICY p ON mal.t',
		between => 'UPDATE mal.t SET a = 0 WHERE id < 5',
	},
	{
		name => 'views and the defaults of functions',
		setup => q(CREATE DOMAIN mal.d AS int CHECK (mal.calm('domain in a view') > 0);
			CREATE VIEW mal.v AS SELECT mal.hit('view') AS a, '{1}'::mal.d[] AS d, id FROM mal.t; CREATE MATERIALIZED VIEW mal.m AS SELECT mal.hit('materialized view') AS a, '{1}'::mal.d[] AS d;
			CREATE FUNCTION mal.f(a mal.d[] DEFAULT '{1}') RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT cardinality('{1}'::mal.d[]); END;
			GRANT SELECT ON mal.v, mal.m TO PUBLIC),
		naive => q(SELECT * FROM mal.v; CREATE FUNCTION mal.g(a mal.d[] DEFAULT '{1}') RETURNS int LANGUAGE sql AS 'SELECT 1'),
		migration => 'DROP VIEW mal.v; DROP MATERIALIZED VIEW mal.m; DROP FUNCTION mal.f; ALTER TABLE mal.t DROP COLUMN b; DROP TABLE mal.t CASCADE',
	},
	{
		name => 'a domain',
		setup => q(CREATE DOMAIN mal.d AS int DEFAULT mal.hit('default of a domain') CONSTRAINT c CHECK (mal.calm(VALUE) > 0); ALTER TABLE mal.t ADD d mal.d, ADD e mal.d[]; UPDATE mal.t SET d = id, e = ARRAY[id]),
		naive => 'SELECT 7::mal.d',
		migration => 'ALTER DOMAIN mal.d DROP CONSTRAINT c; ALTER DOMAIN mal.d DROP DEFAULT; ALTER TABLE mal.t DROP COLUMN d; ALTER TABLE mal.t DROP COLUMN e; DROP DOMAIN mal.d',
		between => 'INSERT INTO mal.t VALUES (100)',
	},
	{
		name => 'the key of a partitioned table',
		setup => q(CREATE FUNCTION mal.kept(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM mal.hit($$partition key$$); RETURN 1; END';
			CREATE TABLE mal.p (id int, b text) PARTITION BY LIST ((mal.kept(id))); CREATE TABLE mal.p1 PARTITION OF mal.p FOR VALUES IN (1); INSERT INTO mal.p VALUES (1, 'b'), (2, 'b')),
		naive => 'ALTER TABLE mal.p DETACH PARTITION mal.p1; ALTER TABLE mal.p ATTACH PARTITION mal.p1 FOR VALUES IN (1)',
		migration => 'ALTER TABLE mal.p DETACH PARTITION mal.p1; ALTER TABLE mal.p DROP COLUMN b; DROP TABLE mal.p, mal.p1',
	},
);

my $number = 0;

sub trap_case
{
	my ($case) = @_;
	my $database = new_database('attack_' . ++$number, 'attack_template');
	my $mallory = session($database, 'mallory');
	my $superuser = session($database);
	my $caller = defined $case->{caller} ? session($database, $case->{caller}) : $superuser;
	run_in($superuser, "SET safemig.label = 'before'; $case->{before}; RESET safemig.label") if $case->{before};
	run_in($mallory, "SET safemig.label = 'setup'; $case->{setup}; RESET safemig.label");
	run_in($caller, $case->{settings}) if $case->{settings};

	my $naive = session($database, $case->{caller});
	run_in($naive, $case->{settings}) if $case->{settings};
	my $caught = caught_by_hand($naive, $case->{naive});
	isnt($caught, 'nothing', "done by hand it is caught: $caught");
	$naive->close;

	my $migrator = ($case->{by} // '') eq 'mallory' ? $mallory : $superuser;
	run_in($migrator, "SET safemig.label = 'case';\n$case->{migration};\nRESET safemig.label");
	run_in($mallory, $case->{between}) if $case->{between};
	maintain($superuser) if $case->{maintenance};
	my $id = value($database, q(SELECT max(id) FROM safemig.migrations WHERE label = 'case'));
	foreach my $call ("SELECT safemig_check($id)", "SELECT safemig_plan($id)", "SELECT safemig_rehearse($id)", q(SELECT safemig_rollback('case')),
		'SELECT safemig_redo(safemig_last())', q(SELECT safemig_rollback('case')))
	{
		my ($output, $error) = $caller->run($call);
		is($error, undef, $call);
	}
	maintain($superuser) if $case->{maintenance};
	is(value($database, $loot), 'nothing', 'none of its code ran as anybody else');
	is(run_in($caller, $left_behind), 'nothing', 'and it left nothing behind') unless $case->{settings};
	$_->close foreach $mallory, $superuser, $caller;
	return;
}

# What is caught up to the end of a transaction that is then given up.
sub caught_by_hand
{
	my ($session, $sql) = @_;
	run_in($session, "BEGIN; $sql; SET CONSTRAINTS ALL IMMEDIATE");
	my $caught = run_in($session, $loot);
	run_in($session, 'ROLLBACK');
	return $caught;
}

# As autovacuum and its elders do, on all that is kept.
sub maintain
{
	my ($superuser) = @_;
	run_in($superuser, 'ANALYZE');
	run_in($superuser, 'VACUUM FULL');
	run_in($superuser, 'REINDEX DATABASE ' . run_in($superuser, 'SELECT current_database()'));
	return;
}

foreach my $case (@traps)
{
	next if $ENV{SAFEMIG_CASE} && $case->{name} !~ /$ENV{SAFEMIG_CASE}/;
	subtest $case->{name} => sub { eval { trap_case($case); 1 } or fail($@) };
}

# ---- what a stranger tries ----

sub one_case
{
	my ($name, $code) = @_;
	return if $ENV{SAFEMIG_CASE} && $name !~ /$ENV{SAFEMIG_CASE}/;
	subtest $name => sub {
		my $database = new_database('attack_' . ++$number, 'attack_template');
		my ($mallory, $superuser) = (session($database, 'mallory'), session($database));
		eval { $code->($database, $mallory, $superuser); 1 } or fail($@);
		$_->close foreach $mallory, $superuser;
	};
	return;
}

# Fails; and not because it is no SQL: $able may, in a transaction that is
# given up.
sub denied
{
	my ($session, $able, $sql, $why) = @_;
	my ($output, $error) = $session->run($sql);
	like($error, $why // qr/^42501/, "denied: $sql");
	return unless defined $able;
	run_in($able, 'BEGIN; SET LOCAL safemig.enabled = off; SET LOCAL safemig.allow_drop = on');
	(undef, $error) = $able->run($sql);
	is($error, undef, 'though it can be done');
	run_in($able, 'ROLLBACK');
	return;
}

# What a superuser's migration keeps, under the most careless of default
# privileges.
sub keep_secrets
{
	my ($database) = @_;
	must($database, <<'SQL');
SET safemig.notices = off;
SET client_min_messages = error;
CREATE TABLE public.card (id int PRIMARY KEY, number text, pin numeric);
CREATE TABLE public.gone (id int PRIMARY KEY, number text);
CREATE TABLE public.shot (id int PRIMARY KEY, number text);
INSERT INTO card SELECT i, 'secret ' || i, i * 1.5 FROM generate_series(1, 100) i;
INSERT INTO gone SELECT id, number FROM card;
INSERT INTO shot SELECT id, number FROM card;
SELECT lo_from_bytea(4711, 'secret');
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO PUBLIC;
SET safemig.label = 'secrets';
BEGIN;
UPDATE card SET number = 'changed' WHERE id < 50;
DELETE FROM card WHERE id > 90;
ALTER TABLE card ALTER pin TYPE int;
ALTER TABLE card DROP COLUMN number;
DROP TABLE gone;
SELECT lo_unlink(4711);
COMMIT;
RESET safemig.label;
SELECT safemig_snapshot('secret rows', 'shot');
ANALYZE;
SQL
	return;
}

my @views = map { "safemig.$_" } qw(migrations commands changes command_facts migration_facts kept pruned failures notes ledger certificates progress);

one_case('reads what is kept' => sub {
	my ($database, $mallory, $superuser) = @_;
	keep_secrets($database);
	run_in($superuser, 'CREATE SCHEMA by_hand; CREATE TABLE by_hand.copy AS TABLE public.shot');
	is(run_in($mallory, 'SELECT count(*) FROM by_hand.copy'), 100, 'a copy made by hand can be read');

	my @kept = split /\n/, run_in($superuser, q(SELECT oid::regclass FROM pg_class WHERE relnamespace::regnamespace::text ~ '^safemig_vault' AND relkind IN ('r', 'p', 'm', 'v')));
	cmp_ok(scalar @kept, '>=', 5, "kept: @kept");
	foreach my $table (@kept)
	{
		denied($mallory, undef, $_)
		  foreach "SELECT * FROM $table", "COPY $table TO STDOUT", "DELETE FROM $table", "TRUNCATE $table", "DO 'BEGIN LOCK TABLE $table IN ACCESS SHARE MODE; END'",
		  "CREATE TABLE mal.child () INHERITS ($table)", "CREATE TABLE mal.alike (LIKE $table)", "ALTER TABLE $table OWNER TO mallory", "COMMENT ON TABLE $table IS 'mine'",
		  "DROP TABLE $table", "GRANT SELECT ON $table TO mallory";
	}
	is(run_in($superuser, q(SELECT count(*) > 0 FROM pg_stats WHERE schemaname ~ '^safemig_vault')), 't', 'there are statistics on it');
	is(run_in($mallory, q(SELECT count(*) FROM pg_stats WHERE schemaname ~ '^safemig' AND tablename <> 'frameworks')), 0, 'which it does not see');
	is(run_in($superuser, <<'SQL'), '', 'no privilege on anything of it');
SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace::regnamespace::text ~ '^safemig_vault' AND c.relkind IN ('r', 'p', 'm', 'v')
	AND (has_table_privilege('mallory', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') OR has_any_column_privilege('mallory', c.oid, 'SELECT, UPDATE'))
UNION ALL SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace::regnamespace::text ~ '^safemig_vault' AND CASE WHEN c.relkind = 'S' THEN has_sequence_privilege('mallory', c.oid, 'SELECT, UPDATE, USAGE') END
UNION ALL SELECT n.nspname FROM pg_namespace n WHERE nspname ~ '^safemig_vault' AND has_schema_privilege('mallory', n.oid, 'USAGE, CREATE')
UNION ALL SELECT m.oid::text FROM pg_largeobject_metadata m WHERE lomacl IS NOT NULL OR lomowner = 'mallory'::regrole
SQL
	my $secrets = value($database, q(SELECT id FROM safemig.migrations WHERE label = 'secrets'));
	my $rows = value($database, q(SELECT id FROM safemig.migrations WHERE label = 'secret rows'));
	foreach my $id ($secrets, $rows)
	{
		denied($mallory, undef, "SELECT $_")
		  foreach map({ "safemig_$_($id)" } qw(plan plan_hash diff script check verify rehearse rollback prune)),
		  'safemig_rollback_to(' . ($id - 1) . ')', "safemig_keep($id, 'infinity')", "safemig_note($id, 'approver', 'mallory')";
	}
	denied($mallory, undef, "SELECT $_")
	  foreach q(safemig_rollback('secrets')), q(safemig_history('public.card')), q(safemig_prune_older('0')), q(safemig_snapshot('mine', 'public.shot')), q(safemig_baseline('mine'));
	unlike(run_in($mallory, "SELECT string_agg(v::text, ',') FROM $_ v"), qr/secret|card/, "$_ is silent about it") foreach @views;
	run_in($superuser, "SELECT safemig_rollback($secrets)");
	denied($mallory, undef, 'SELECT number FROM public.card');
});

one_case('forges, deletes and disables' => sub {
	my ($database, $mallory, $superuser) = @_;
	keep_secrets($database);
	my $history = q(SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM (SELECT m::text FROM safemig.migration_log m UNION ALL SELECT c::text FROM safemig.command_log c
		UNION ALL SELECT c::text FROM safemig.change_log c UNION ALL SELECT k::text FROM safemig.kept_log k) t);
	my $before = run_in($superuser, $history);
	denied($mallory, $superuser, $_)
	  foreach q(INSERT INTO safemig.writer_log SELECT * FROM safemig.writer_log WHERE false), q(UPDATE safemig.migration_log SET session_role = 'mallory'),
	  'DELETE FROM safemig.command_log', 'TRUNCATE safemig.kept_log', q(SELECT nextval('safemig.migration_id')),
	  'CREATE TABLE safemig.mine (a int)', 'CREATE VIEW safemig.mine AS SELECT 1', 'CREATE FUNCTION safemig.mine() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$',
	  'ALTER TABLE safemig.migration_log ADD COLUMN mine int', q(COMMENT ON TABLE safemig.migration_log IS 'mine'), 'GRANT ALL ON safemig.migration_log TO mallory',
	  'CREATE RULE mine AS ON INSERT TO safemig.migration_log DO ALSO SELECT 1', 'ALTER SCHEMA safemig RENAME TO mine',
	  'GRANT EXECUTE ON FUNCTION safemig_administer() TO mallory', 'ALTER FUNCTION safemig_administer() SECURITY DEFINER',
	  'ALTER EVENT TRIGGER "!safemig_start" DISABLE', 'ALTER EVENT TRIGGER "!safemig_end" RENAME TO mine',
	  'SET safemig.enabled = off', q(SET safemig.on_capture_failure = 'warn'), 'SET safemig.allow_drop = on', q(SET safemig.max_kept_bytes = '1GB'), q(SET safemig.retention = '1 day'), 'SET session_replication_role = replica',
	  'SET ROLE safemig_vault', 'GRANT safemig_vault TO mallory', 'REASSIGN OWNED BY safemig_vault TO mallory';
	denied($mallory, undef, $_, qr/^(?:42501|2BP01)/)
	  foreach q(SELECT setval('safemig.migration_id', 1)), 'DROP EVENT TRIGGER "!safemig_start"', 'DROP EXTENSION safemig CASCADE', 'DROP SCHEMA safemig CASCADE', 'DROP TABLE safemig.migration_log CASCADE', 'DROP OWNED BY safemig_vault CASCADE',
	  'ALTER ROLE safemig_vault LOGIN', "ALTER DATABASE $database SET safemig.enabled = off", 'CREATE EVENT TRIGGER mine ON ddl_command_start EXECUTE FUNCTION safemig.on_event()', 'ALTER EXTENSION safemig UPDATE';
	my ($vault) = split /\n/, run_in($superuser, q(SELECT nspname FROM pg_namespace WHERE nspname ~ '^safemig_vault'));
	denied($mallory, undef, $_, qr/^(?:42501|2BP01)/)
	  foreach "DROP SCHEMA $vault CASCADE", "ALTER SCHEMA $vault RENAME TO mine", "ALTER SCHEMA $vault OWNER TO mallory", "CREATE TABLE $vault.mine (a int)";
	foreach my $setting ('safemig.enabled = off', 'session_replication_role = replica')
	{
		$mallory->run("ALTER ROLE mallory SET $setting");
		is(run_in(session($database, 'mallory'), q(SELECT current_setting('safemig.enabled'), current_setting('session_replication_role'))), 'on|origin', "nor as a setting of its role: $setting");
	}
	is(run_in($superuser, q(SELECT string_agg(DISTINCT evtenabled::text, '') FROM pg_event_trigger WHERE evtname ~ '^!safemig')), 'A', 'the event triggers are enabled');
	is(run_in($superuser, $history), $before, 'the history is as it was');

	# nor does it get into what somebody else is doing
	my $id = run_in($superuser, q(SELECT safemig_begin('open')));
	denied($mallory, undef, "SELECT safemig_attach($id)");
	my (undef, $error) = $mallory->run('SELECT safemig_end()');
	like($error, qr/^SM002/, 'nothing to end');
	run_in($mallory, q(SET safemig.label = 'open'; CREATE TABLE mal.forged (a int); RESET safemig.label));
	is(run_in($superuser, 'SELECT safemig_end()'), $id, 'ended by who began it');
	is(value($database, "SELECT count(*) FROM safemig.command_log WHERE migration = $id"), 0, 'and nothing is in it');
});

one_case('calls what is internal' => sub {
	my ($database, $mallory, $superuser) = @_;
	# each checks for itself, or says what is no secret
	my %public = map { $_ => 1 } qw(administers acts_as owns_change value_fits restored_value progress_entries drift on_event unseen_rows framework_gaps rules is_rule lock_strength);
	my @functions = split /\n/, run_in($superuser, <<'SQL');
SELECT proname || '|' || (SELECT coalesce(string_agg(CASE WHEN provariadic <> 0 AND o = pronargs THEN 'VARIADIC ' ELSE '' END || quote_literal(CASE WHEN typcategory = 'A' THEN '{}' WHEN typname = 'bool' THEN 'f' WHEN typname = 'oid' THEN '1259' WHEN typcategory IN ('N', 'U') THEN '0' ELSE 'x' END) || '::' || format_type(t, NULL), ', ' ORDER BY o), '') FROM unnest(proargtypes) WITH ORDINALITY u (t, o) JOIN pg_type y ON y.oid = t)
FROM pg_proc WHERE pronamespace = 'safemig'::regnamespace AND prokind = 'f'
SQL
	cmp_ok(scalar @functions, '>', 50, 'functions');
	my @broken;
	foreach my $function (@functions)
	{
		my ($name, $arguments) = split /\|/, $function, 2;
		next if $public{$name};
		denied($mallory, undef, "SELECT safemig.$name($arguments)");
		my (undef, $error) = $superuser->run("BEGIN; SET LOCAL safemig.enabled = off; SELECT safemig.$name($arguments)");
		run_in($superuser, 'ROLLBACK');
		push @broken, "$name: $error" if defined $error && $error =~ /^(?:crash|timeout|XX)/;
	}
	is("@broken", '', 'none breaks the server when a superuser calls it');
	denied($mallory, undef, 'SELECT safemig.on_event()', qr/^(?:39P03|0A000|55000)/);
	denied($mallory, undef, q(SELECT safemig.restored_value('mal.t'::regclass, '(0,1)', 0, 1)), qr/^55000/);
	denied($mallory, undef, 'SELECT * FROM safemig.drift()');
});

one_case('stands in the way of others' => sub {
	my ($database, $mallory, $superuser) = @_;
	run_in($superuser, 'CREATE TABLE public.work (id int PRIMARY KEY, a int)');
	denied($mallory, $superuser, "DO 'BEGIN LOCK TABLE safemig.$_; END'") foreach qw(migration_log incarnation command_log kept_log migrations kept);
	my $open = session($database);
	my $abandoned = run_in($open, q(SELECT safemig_begin('abandoned')));
	run_in($open, 'ALTER TABLE public.work ADD abandoned int');
	$open->close;
	# by hand, whoever knows the key of an advisory lock can take it
	run_in($mallory, 'SELECT pg_advisory_lock(1, 7)');
	is(run_in($superuser, 'SELECT pg_try_advisory_lock(1, 7)'), 'f', 'an advisory lock can be held by anybody');
	run_in($mallory, 'SELECT pg_advisory_lock(1397116231, i) FROM generate_series(1, 100) i');
	run_in($mallory, 'SELECT pg_advisory_lock((1397116231::bigint << 32) + i) FROM generate_series(1, 100) i');
	run_in($mallory, 'BEGIN; ALTER TABLE mal.t ADD mine int');
	run_in($mallory, "SELECT count(*) FROM $_") foreach @views;
	run_in($mallory, 'LOCK TABLE safemig.migrations, safemig.commands IN ACCESS SHARE MODE');

	run_in($superuser, 'SET lock_timeout = 5000; SET safemig.lock_timeout = 1000');
	is(value($database, "SELECT state FROM safemig.migrations WHERE id = $abandoned"), 'abandoned', 'what is abandoned is known to be');
	run_in($superuser, "SELECT safemig_rollback($abandoned)");
	my $id = run_in($superuser, q(SELECT safemig_begin('work')));
	run_in($superuser, 'ALTER TABLE public.work DROP COLUMN a');
	run_in($superuser, 'CREATE INDEX ON public.work (id)');
	is(value($database, "SELECT state FROM safemig.migrations WHERE id = $id"), 'open', 'what is open is known to be');
	is(run_in($superuser, 'SELECT safemig_current()'), $id, 'to its session too');
	run_in($superuser, 'SELECT safemig_end()');
	is(value($database, "SELECT commands FROM safemig.migrations WHERE id = $id"), 2, 'and has all commands');
	run_in($superuser, "SELECT safemig_rollback($id)");
	run_in($superuser, 'DROP TABLE public.work');
	run_in($superuser, 'SELECT safemig_prune(safemig_last())');
	run_in($mallory, 'COMMIT');

	# it calls its schemas as the vault calls its own
	run_in($superuser, "GRANT CREATE ON DATABASE $database TO mallory");
	my $next = 1 + run_in($superuser, 'SELECT last_value FROM safemig.migration_id');
	run_in($mallory, join ';', 'BEGIN', map({ "CREATE SCHEMA safemig_vault_$_" } $next .. $next + 9), 'COMMIT');
	run_in($superuser, 'CREATE TABLE public.work (id int PRIMARY KEY); INSERT INTO public.work VALUES (1)');
	run_in($superuser, q(SET safemig.label = 'vault'; DROP TABLE public.work; RESET safemig.label));
	is(run_in($superuser, q(SELECT n.nspowner::regrole FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relname = 'work')), 'safemig_vault', 'what is kept is in no schema of its');
	run_in($superuser, q(SELECT safemig_rollback('vault')));
	is(run_in($superuser, 'SELECT id FROM public.work'), 1, 'and comes back');
});

one_case('fills the vault' => sub {
	my ($database, $mallory, $superuser) = @_;
	run_in($mallory, "CREATE TABLE mal.$_ (id int PRIMARY KEY, a text); INSERT INTO mal.$_ SELECT i, repeat('x', 500) FROM generate_series(1, 2000) i; ANALYZE mal.$_") foreach qw(big more);
	run_in($superuser, q(CREATE TABLE public.work (id int PRIMARY KEY, a text); INSERT INTO public.work VALUES (1, 'a')));
	run_in($mallory, q(SET safemig.label = 'filled'; ALTER TABLE mal.big DROP COLUMN a; RESET safemig.label));
	my $id = value($database, q(SELECT id FROM safemig.migrations WHERE label = 'filled'));
	cmp_ok(value($database, "SELECT kept_bytes FROM safemig.migrations WHERE id = $id"), '>', 500000, 'without a limit it is kept');
	run_in($superuser, "ALTER DATABASE $database SET safemig.max_kept_bytes = '100kB'");
	my ($limited, $other) = (session($database, 'mallory'), session($database));
	denied($limited, undef, 'ALTER TABLE mal.more DROP COLUMN a', qr/^53400/);
	denied($limited, undef, $_) foreach q(SET safemig.max_kept_bytes = '1GB'), q(SET safemig.on_limit = 'irreversible');
	run_in($other, q(SET safemig.label = 'other'; ALTER TABLE public.work DROP COLUMN a; RESET safemig.label));
	run_in($other, q(SELECT safemig_rollback('other')));
	is(run_in($other, 'SELECT a FROM public.work'), 'a', 'the others have room of their own');
	run_in($mallory, "SELECT safemig_keep($id, 'infinity')");
	denied($other, undef, "SELECT safemig_prune($id)", qr/^SM002/);
	run_in($other, "SELECT safemig_keep($id, NULL)");
	cmp_ok(run_in($other, "SELECT safemig_prune($id)"), '>', 500000, 'who administers takes the pin away, and gets the room back');
});

one_case('restores what it dropped and did not own' => sub {
	my ($database, $mallory, $superuser) = @_;
	must($database, <<'SQL');
SET safemig.enabled = off;
CREATE SCHEMA his AUTHORIZATION mallory;
SET ROLE mallory;
GRANT ALL ON SCHEMA his, mal TO alice;
CREATE TYPE mal.mood AS ENUM ('ok');
CREATE TABLE mal.parent (id int PRIMARY KEY);
GRANT ALL ON mal.parent TO alice;
SET ROLE alice;
CREATE TABLE his.secret (id int PRIMARY KEY, number text);
CREATE TABLE mal.secret (id int PRIMARY KEY, number text);
CREATE TABLE mal.moody (id int PRIMARY KEY, m mal.mood, r int REFERENCES mal.parent);
CREATE VIEW mal.over AS SELECT id FROM mal.parent;
INSERT INTO his.secret VALUES (1, 'secret');
INSERT INTO mal.secret VALUES (1, 'secret');
INSERT INTO mal.moody VALUES (1, 'ok');
SQL
	my @hers = qw(his.secret mal.secret mal.moody mal.over);
	# by hand, what it makes again is its own
	run_in($mallory, 'BEGIN; DROP TABLE mal.secret; CREATE TABLE mal.secret (id int PRIMARY KEY, number text)');
	is(run_in($mallory, 'SELECT count(*) FROM mal.secret'), 0, 'what it dropped and made again it can read');
	run_in($mallory, 'ROLLBACK');
	my %dropped = (
		schema => 'DROP SCHEMA his CASCADE',
		table => 'DROP TABLE mal.secret',
		type => 'DROP TYPE mal.mood CASCADE',
		cascade => 'DROP TABLE mal.parent CASCADE',
		owned => 'DROP OWNED BY mallory CASCADE');
	foreach my $what (sort keys %dropped)
	{
		run_in($mallory, "SET safemig.label = '$what'; $dropped{$what}; RESET safemig.label");
		my $id = value($database, "SELECT max(id) FROM safemig.migrations WHERE label = '$what'");
		denied($mallory, undef, "SELECT safemig_$_($id)") foreach qw(rollback plan script diff rehearse check prune);
		my @queries = split /\n/, run_in($mallory, "SELECT query FROM safemig.kept WHERE migration = $id AND query IS NOT NULL AND identity IN ('his.secret', 'mal.secret', 'mal.moody')");
		denied($mallory, undef, $_) foreach @queries;
		run_in($superuser, "SELECT safemig_rollback($id)");
		denied($mallory, undef, "SELECT * FROM $_") foreach @hers;
	}
	is(run_in($superuser, q(SELECT DISTINCT relowner::regrole FROM pg_class WHERE oid = ANY ('{his.secret, mal.secret, mal.moody, mal.over}'::regclass[]))), 'alice', q(they are alice's));
	is(run_in($superuser, 'SELECT number FROM his.secret NATURAL JOIN mal.secret JOIN mal.moody USING (id)'), 'secret', 'with their rows');
});

one_case('gives back what it was given, with something in it' => sub {
	my ($database, $mallory, $superuser) = @_;
	foreach my $n (1 .. 2)
	{
		run_in($superuser, "CREATE TABLE public.given_$n (id int); INSERT INTO public.given_$n SELECT generate_series(1, 100);
			CREATE FUNCTION public.given_$n() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'");
		run_in($superuser, "SET safemig.label = 'table $n'; ALTER TABLE public.given_$n OWNER TO mallory; SET safemig.label = 'function $n'; ALTER FUNCTION public.given_$n() OWNER TO mallory; RESET safemig.label");
	}
	my $plant = sub {
		my ($session, $n) = @_;
		run_in($session, "CREATE INDEX planted_$n ON public.given_$n (mal.calm(id))");
		run_in($session, "CREATE OR REPLACE FUNCTION public.given_$n() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN mal.hit(\$\$definer\$\$); END'");
	};
	$plant->($mallory, 1);
	is(caught_by_hand($superuser, 'ALTER TABLE public.given_1 OWNER TO CURRENT_USER; ANALYZE public.given_1'), 'postgres: on a column', 'taken back by hand it is caught');
	# in the dress of a dump that is restored, which is not recorded
	my $pretender = session($database, 'mallory');
	run_in($pretender, q(SET client_min_messages = warning; SET check_function_bodies = off; SET xmloption = content; SET row_security = off; SELECT set_config('search_path', '', false)));
	$plant->($pretender, 2);
	denied($superuser, undef, "SELECT safemig_rollback('$_')", qr/^SM00[36]/) foreach 'table 1', 'function 1', 'table 2', 'function 2';
	run_in($superuser, 'ANALYZE');
	is(value($database, q(SELECT DISTINCT proowner::regrole FROM pg_proc WHERE proname ~ '^given')), 'mallory', 'nor will it');
	is(value($database, $loot), 'nothing', 'none of its code ran as anybody else');
});

one_case('takes the name of what is gone' => sub {
	my ($database, $mallory, $superuser) = @_;
	my $view = 'CREATE VIEW public.shelf AS SELECT public.price(n) FROM public.goods';
	run_in($superuser, "CREATE FUNCTION public.price(int) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TABLE public.goods (id int PRIMARY KEY, n int); INSERT INTO public.goods VALUES (1, 1); $view");
	run_in($superuser, q(SET safemig.label = 'gone'; BEGIN; DROP FUNCTION public.price(int) CASCADE; DROP TABLE public.goods; COMMIT; RESET safemig.label));
	run_in($mallory, q(CREATE FUNCTION public.price(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN mal.hit($$price$$); END';
		CREATE TABLE public.goods (id int PRIMARY KEY, n int DEFAULT mal.hit('goods'))));
	like(caught_by_hand($superuser, "$view; INSERT INTO public.goods VALUES (1); SELECT * FROM public.shelf"), qr/postgres: goods, postgres: price/, 'made again by hand it is caught');
	denied($superuser, undef, q(SELECT safemig_rollback('gone')), qr/^SM00[36]/);
	is(value($database, $loot), 'nothing', 'none of its code ran as anybody else');
});

one_case('gets back what was taken from it' => sub {
	my ($database, $mallory, $superuser) = @_;
	must($database, "SET safemig.enabled = off; CREATE ROLE admins SUPERUSER; GRANT admins TO mallory; ALTER ROLE mallory CREATEROLE; CREATE TABLE public.t (a int); ALTER TABLE public.t OWNER TO mallory; ALTER DATABASE $database OWNER TO mallory");
	my %taken = (
		membership => 'REVOKE admins FROM mallory',
		attribute => 'ALTER ROLE mallory NOCREATEROLE',
		owner => 'ALTER TABLE public.t OWNER TO CURRENT_USER',
		database => "ALTER DATABASE $database OWNER TO CURRENT_USER",
		privilege => 'REVOKE CREATE ON SCHEMA public FROM mallory');
	run_in($superuser, "SET safemig.label = '$_'; $taken{$_}; RESET safemig.label") foreach sort keys %taken;
	denied($mallory, undef, "SELECT safemig_rollback('$_')") foreach sort keys %taken;
	run_in($superuser, "SELECT safemig_rollback('$_')") foreach sort keys %taken;
	must($database, 'SET safemig.enabled = off; DROP ROLE admins; ALTER ROLE mallory NOCREATEROLE');
});

# One of them ends each kind of quoting and of comment that there is.
sub awkward_names
{
	my ($sql) = @_;
	return ("x'; $sql; --", "x\"; $sql; --", "x\n$sql; --", "x\r$sql; --", "x\n\\! echo", "\$\$; $sql; --", "*/ $sql; /*", ":'x'", "\$safemig\$; $sql; --", "x\\'; $sql; --", '%s%n%1$s');
}

sub literal { return "U&'" . join('', map { sprintf '\\%04x', ord } split //, shift) . "'" }
sub identifier { return '"' . (shift =~ s/"/""/gr) . '"' }

one_case('SQL in labels, names and comments' => sub {
	my ($database, $mallory, $superuser) = @_;
	my @names = awkward_names('ALTER ROLE mallory SUPERUSER');
	my $mighty = q(SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory');
	my $label = literal($names[0]);
	run_in($superuser, "BEGIN; DO \$do\$ BEGIN EXECUTE format('COMMENT ON TABLE mal.t IS ''%s''', $label); END \$do\$");
	is(run_in($superuser, $mighty), 't', 'put into a statement by hand it does what it says');
	run_in($superuser, 'ROLLBACK');
	foreach my $n (1 .. @names)
	{
		my $name = $names[ $n - 1 ];
		my ($q, $l, $table) = (identifier($name), literal($name), 'mal.' . identifier("$name t"));
		my ($check, $index, $function, $trigger) = map { identifier("$name $_") } qw(check index function trigger);
		run_in($mallory, "CREATE TYPE mal.$q AS ENUM ($l);
			CREATE TABLE $table (id int PRIMARY KEY, $q mal.$q DEFAULT $l, a text DEFAULT $l, CONSTRAINT $check CHECK (a <> '' AND id > 0));
			INSERT INTO $table VALUES (1, $l, $l); CREATE INDEX $index ON $table (a) WHERE a <> $l;
			CREATE FUNCTION mal.$function() RETURNS trigger LANGUAGE plpgsql AS \$f\$ BEGIN RETURN new; END \$f\$;
			CREATE TRIGGER $trigger BEFORE INSERT ON $table FOR EACH ROW EXECUTE FUNCTION mal.$function(\$a\$$n\$a\$)");
		run_in($mallory, "SELECT set_config('safemig.label', $l, false), set_config('safemig.reason', $l, false)");
		run_in($mallory, "BEGIN; COMMENT ON COLUMN $table.$q IS $l; COMMENT ON TABLE $table IS $l; UPDATE $table SET a = a || $l; ALTER TABLE $table RENAME COLUMN a TO b; ALTER TABLE $table DROP COLUMN $q; DROP TABLE $table; COMMIT");
		run_in($mallory, 'RESET safemig.label; RESET safemig.reason');
		my $id = value($database, 'SELECT max(id) FROM safemig.migrations');
		run_in($mallory, "SELECT safemig_note($id, $l, $l)");
		run_in($superuser, "SELECT safemig_$_($id)") foreach qw(plan diff check verify rehearse);
		my ($status, undef, $messages) = in_database($database, value($database, "SELECT safemig_script($id)"));
		is($status, 0, "the script, name $n") or diag($messages);
		my $record = value($database, 'SELECT max(id) FROM safemig.migrations');
		run_in($superuser, "SELECT safemig_certificate($record), safemig_recovery_target($id)");
		run_in($superuser, "SELECT safemig_redo($record)");
		run_in($superuser, "SELECT safemig_rollback($id)");
		run_in($mallory, "SELECT set_config('safemig.label', $l, false)");
		run_in($mallory, "ALTER TABLE $table ADD again int; RESET safemig.label");
		run_in($superuser, "SELECT safemig_rollback($l)");
	}
	is(run_in($superuser, $mighty), 'f', 'none of them did it here');

	# what a function of its says is part of a hint, which is to be pasted
	run_in($mallory, <<'SQL');
CREATE FUNCTION mal.speak(int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF session_user <> 'mallory' THEN RAISE EXCEPTION 'stop' USING HINT = E'x\rALTER ROLE mallory SUPERUSER; --'; END IF;
	RETURN true;
END $$;
CREATE TABLE mal.talks (id int PRIMARY KEY, CONSTRAINT talks CHECK (mal.speak(id)));
INSERT INTO mal.talks VALUES (1);
SET safemig.label = 'talks';
ALTER TABLE mal.talks DROP CONSTRAINT talks;
RESET safemig.label;
SQL
	my $id = value($database, q(SELECT id FROM safemig.migrations WHERE label = 'talks'));
	my $hints = run_in($superuser, "SELECT string_agg(hint, E'\\n;\\n') FROM safemig_check($id) WHERE severity = 'error'");
	like($hints, qr/ALTER ROLE/, 'what it says is in the hint');
	in_database($database, "$hints\n;");
	is(run_in($superuser, $mighty), 'f', 'and does nothing when that is pasted');
});

one_case('makes the role of the vault beforehand' => sub {
	my ($database, $mallory, $superuser) = @_;
	my $fresh = new_database('attack_fresh', 'template0');
	my %rights = ('GRANT safemig_vault TO mallory' => 'REVOKE safemig_vault FROM mallory', 'ALTER ROLE safemig_vault LOGIN' => 'ALTER ROLE safemig_vault NOLOGIN');
	foreach my $right (sort keys %rights)
	{
		must($database, "SET safemig.enabled = off; $right");
		my ($status, undef, $error) = in_database($fresh, 'CREATE EXTENSION safemig');
		like($error, qr/somebody can be role safemig_vault/, "refused after $right");
		is(run_in($superuser, q(SELECT status FROM safemig_doctor() WHERE item = 'vault role')), 'error', 'and told by the doctor of another database');
		must($database, "SET safemig.enabled = off; $rights{$right}");
	}
	must($fresh, 'CREATE EXTENSION safemig');
});

one_case('an ordinary role without any right on safemig' => sub {
	my ($database, $mallory, $superuser) = @_;
	must($database, 'SET safemig.enabled = off; REVOKE ALL ON SCHEMA safemig FROM PUBLIC; REVOKE ALL ON ALL TABLES IN SCHEMA safemig FROM PUBLIC; REVOKE ALL ON ALL FUNCTIONS IN SCHEMA safemig FROM PUBLIC');
	denied($mallory, $superuser, 'SELECT count(*) FROM safemig.migrations');
	run_in($mallory, q(SET safemig.label = 'ordinary'; BEGIN; UPDATE mal.t SET a = 0; ALTER TABLE mal.t DROP COLUMN b; ALTER TABLE mal.t ALTER a TYPE text; CREATE INDEX ON mal.t (a); DROP TABLE mal.t; COMMIT; RESET safemig.label));
	is(run_in($superuser, q(SELECT count(*) FROM safemig.commands c JOIN safemig.migrations m ON m.id = c.migration WHERE m.label = 'ordinary' AND c.tag <> 'DATA')), 4, 'its commands are recorded');
	run_in($mallory, q(SELECT safemig_rollback('ordinary')));
	is(run_in($mallory, 'SELECT count(*), sum(a) FROM mal.t WHERE b IS NOT NULL'), '20|210', 'and taken back by it');
});

done_testing();
