
# Copyright (c) 2026, the safemig authors

# The rules of safemig_assess, all of them, both ways: a script that meets the
# rule, and one nearby that does not.  Each script is also observed, and
# whatever lock is stated has to be the lock that PostgreSQL took.  pg_regress
# has no table of cases, no second session and nothing preloaded.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigSession;
use SafemigTest;
use Test::More;

if (bare())
{
	plan skip_all => 'says nothing without safemig';
}

my @preloaded = ();
start_server('rules', conf => "wal_level = logical\nallow_in_place_tablespaces = on\n");
my $has_statements = value('postgres',
	q(SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_stat_statements'));
if ($has_statements)
{
	server()->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_stat_statements'\n");
	server()->restart;
}
my $database = new_database('rules');
my $version = value($database, q(SELECT current_setting('server_version_num')::int / 10000));

must($database, <<'SQL');
CREATE SCHEMA app;
SET search_path = app;
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN plain AS int;
CREATE TABLE customers (id int PRIMARY KEY, name varchar(20), email text,
	code varchar(20) CHECK (code <> ''), balance int, since timestamp, m mood, p positive,
	k int NOT NULL, big bigint, amount numeric(8,2), score int DEFAULT 1,
	checked int CHECK (checked IS NOT NULL), label text COLLATE "POSIX");
CREATE INDEX customers_label ON customers (label);
INSERT INTO customers SELECT i, 'n' || i, 'e' || i, 'c' || i, i, now(), 'sad', i, i, i, i, i, i, i
	FROM generate_series(1, 500) i;
CREATE TABLE orders (id bigint PRIMARY KEY, customer int CONSTRAINT of_customer REFERENCES customers,
	note text, who int, flag boolean);
INSERT INTO orders SELECT i, i % 500 + 1, 'note', i % 500 + 1, true FROM generate_series(1, 1000) i;
CREATE INDEX orders_customer ON orders (customer);
CREATE VIEW notes AS SELECT id, note FROM orders;
CREATE VIEW more_notes AS SELECT * FROM notes;
CREATE MATERIALIZED VIEW totals AS SELECT customer, count(*) FROM orders GROUP BY 1;
CREATE UNIQUE INDEX totals_customer ON totals (customer);
CREATE TABLE lonely (id int, a int, b int, c int, d int, txt text, j text);
INSERT INTO lonely SELECT i, i, i, i, i, 't', '{}' FROM generate_series(1, 500) i;
CREATE UNIQUE INDEX lonely_id ON lonely (id);
CREATE INDEX lonely_ab ON lonely (a, b);
ALTER TABLE lonely ADD CONSTRAINT lonely_c CHECK (c > 0) NOT VALID;
CREATE TABLE parent (id int, what text);
CREATE TABLE child () INHERITS (parent);
CREATE TABLE events (id int, what text) PARTITION BY RANGE (id);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (100);
CREATE TABLE events_rest PARTITION OF events DEFAULT;
INSERT INTO events SELECT i, 'x' FROM generate_series(1, 50) i;
CREATE TABLE events_2 (id int NOT NULL CHECK (id >= 100 AND id < 200), what text);
CREATE TABLE events_3 (id int, what text);
CREATE TABLE logs (id int, what text) PARTITION BY RANGE (id);
CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (0) TO (100);
CREATE TABLE logs_2 (id int NOT NULL CHECK (id >= 100 AND id < 200), what text);
CREATE SEQUENCE numbers;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION same(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
CREATE TRIGGER touched BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch();
CREATE POLICY own ON orders USING (true);
CREATE PUBLICATION news FOR TABLE lonely;
CREATE TABLE broken (a int);
CREATE INDEX broken_a ON broken (a);
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken_a'::regclass;
CREATE TABLE drifted (a int);
SET safemig.enabled = off;
ALTER TABLE drifted ADD COLUMN unseen int;
RESET safemig.enabled;
CREATE TABLE unread (a int, b int);
CREATE TABLE never_read (a int);
CREATE UNLOGGED TABLE fleeting (a int);
CREATE TABLE elsewhere (a int);
CREATE TABLE busy (a int);
CREATE TABLESPACE other_disk LOCATION '';
CREATE ACCESS METHOD heap_too TYPE TABLE HANDLER heap_tableam_handler;
ANALYZE;
SELECT count(*) FROM lonely;
SELECT pg_stat_force_next_flush();
SQL
must($database, 'CREATE EXTENSION pg_stat_statements; SELECT note FROM app.orders LIMIT 1')
  if $has_statements;

# Somebody else: with a transaction that reads, and with an open migration.
my $reader = SafemigSession->new(connection_to($database), 'BEGIN; SELECT * FROM app.busy');
my $migrator = SafemigSession->new(connection_to($database),
	q(SELECT safemig_begin('theirs'); ALTER TABLE app.elsewhere ADD COLUMN b int));

my $closed = q(SELECT set_config('safemig.change_window',
	to_char(clock_timestamp() AT TIME ZONE current_setting('log_timezone') + '12 hours', 'HH24:MI-')
	|| to_char(clock_timestamp() AT TIME ZONE current_setting('log_timezone') + '12 hours 1 minute', 'HH24:MI'), false));
my $long_name = 'a' x 64;

# rule, a script that meets it, one that does not, settings for both, for one
my @cases = (
	[ 'drop-database', 'DROP DATABASE elsewhere', 'DROP TABLE unread' ],
	[ 'drop-schema-cascade', 'DROP SCHEMA app CASCADE', 'DROP SCHEMA app' ],
	[ 'drop-table', 'DROP TABLE orders CASCADE', 'CREATE TABLE made (a int); DROP TABLE made' ],
	[ 'drop-table', 'DROP TABLE events_1', 'ALTER TABLE unread RENAME TO gone' ],
	[ 'drop-table', 'DROP TABLE child', 'DROP VIEW more_notes' ],
	[ 'drop-table', 'DROP TABLE logs', 'DROP VIEW more_notes' ],
	[ 'drop-cascade', 'DROP VIEW notes CASCADE', 'DROP VIEW more_notes' ],
	[ 'drop-cascade', 'DROP TABLE customers CASCADE', 'DROP TABLE unread CASCADE' ],
	[ 'drop-cascade', 'DROP TABLE parent CASCADE', 'DROP TABLE child CASCADE' ],
	[ 'drop-column', 'ALTER TABLE orders DROP COLUMN flag', 'ALTER TABLE orders ADD COLUMN c int; ALTER TABLE orders DROP COLUMN c' ],
	[ 'drop-column', 'ALTER TABLE orders DROP COLUMN customer CASCADE', 'ALTER TABLE orders RENAME COLUMN flag TO f' ],
	[ 'truncate', 'TRUNCATE lonely', 'CREATE TABLE made (a int); TRUNCATE made' ],
	[ 'truncate-cascade', 'TRUNCATE customers CASCADE', 'TRUNCATE lonely CASCADE' ],
	[ 'delete-without-where', 'DELETE FROM orders', 'DELETE FROM orders WHERE id = 1' ],
	[ 'update-without-where', q(UPDATE orders SET note = 'x'), q(UPDATE orders SET note = 'x' WHERE id = 1) ],
	[ 'drop-view', 'DROP VIEW more_notes', 'CREATE VIEW made AS SELECT 1; DROP VIEW made' ],
	[ 'drop-function', 'DROP FUNCTION same(int)', 'DROP VIEW more_notes' ],
	[ 'drop-type', 'DROP TYPE mood CASCADE', 'DROP DOMAIN plain' ],
	[ 'drop-domain', 'DROP DOMAIN positive CASCADE', 'DROP VIEW more_notes' ],
	[ 'drop-matview', 'DROP MATERIALIZED VIEW totals', 'DROP VIEW more_notes' ],
	[ 'drop-sequence', 'DROP SEQUENCE numbers', 'CREATE SEQUENCE made; DROP SEQUENCE made' ],
	[ 'alter-sequence-restart', 'ALTER SEQUENCE numbers RESTART', 'ALTER SEQUENCE numbers INCREMENT 2' ],
	[ 'drop-extension', 'DROP EXTENSION amcheck', 'DROP VIEW more_notes' ],
	[ 'extension-upgrade', 'ALTER EXTENSION amcheck UPDATE', 'DROP VIEW more_notes' ],
	[ 'rename-table', 'ALTER TABLE orders RENAME TO old_orders', 'ALTER INDEX orders_customer RENAME TO other' ],
	[ 'rename-column', 'ALTER TABLE orders RENAME COLUMN flag TO f', 'ALTER TABLE orders RENAME CONSTRAINT of_customer TO f' ],
	[ 'rename-column', 'ALTER TABLE parent RENAME COLUMN what TO f', 'ALTER TABLE orders RENAME TO f' ],
	[ 'rename-schema', 'ALTER SCHEMA app RENAME TO app2', 'CREATE SCHEMA app2' ],
	[ 'rename-enum-value', q(ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'), q(ALTER TYPE mood ADD VALUE 'calm') ],
	[ 'set-schema', 'ALTER TABLE orders SET SCHEMA public', 'ALTER TABLE orders RENAME TO other' ],
	[ 'type-change-rewrite', 'ALTER TABLE customers ALTER balance TYPE bigint', 'ALTER TABLE customers ALTER name TYPE text' ],
	[ 'type-change-rewrite', 'ALTER TABLE customers ALTER id TYPE bigint', 'ALTER TABLE customers ALTER amount TYPE numeric(10,2)' ],
	[ 'type-change-rewrite', 'ALTER TABLE customers ALTER m TYPE text', 'ALTER TABLE customers ALTER amount TYPE numeric' ],
	[ 'type-narrow', 'ALTER TABLE customers ALTER name TYPE varchar(10)', 'ALTER TABLE customers ALTER name TYPE varchar(40)' ],
	[ 'type-narrow', 'ALTER TABLE customers ALTER email TYPE varchar(100)', 'ALTER TABLE customers ALTER balance TYPE bigint' ],
	[ 'type-narrow', 'ALTER TABLE customers ALTER big TYPE int', 'ALTER TABLE customers ALTER name TYPE text' ],
	[ 'type-widen-with-check', 'ALTER TABLE customers ALTER code TYPE varchar(40)', 'ALTER TABLE customers ALTER name TYPE varchar(40)' ],
	[ 'timestamp-timestamptz', 'ALTER TABLE customers ALTER since TYPE timestamptz', 'ALTER TABLE customers ALTER since TYPE timestamp(6)' ],
	[ 'timestamp-timestamptz', q(SET timezone = 'UTC'; ALTER TABLE customers ALTER since TYPE timestamptz), 'ALTER TABLE customers ALTER name TYPE text' ],
	[ 'type-change-blocked', 'ALTER TABLE orders ALTER note TYPE varchar(100)', 'ALTER TABLE customers ALTER email TYPE varchar(100)' ],
	[ 'collation-change', 'ALTER TABLE customers ALTER label TYPE text COLLATE "C"', 'ALTER TABLE customers ALTER name TYPE text' ],
	[ 'add-column-volatile-default', 'ALTER TABLE customers ADD c float DEFAULT random()', 'ALTER TABLE customers ADD c timestamptz DEFAULT now()' ],
	[ 'add-column-serial', 'ALTER TABLE customers ADD c serial', 'ALTER TABLE customers ADD c int DEFAULT 1' ],
	[ 'add-column-identity', 'ALTER TABLE customers ADD c int GENERATED ALWAYS AS IDENTITY', 'ALTER TABLE customers ADD c int' ],
	[ 'add-column-stored-generated', 'ALTER TABLE customers ADD c int GENERATED ALWAYS AS (id + 1) STORED',
		$version >= 18 ? 'ALTER TABLE customers ADD c int GENERATED ALWAYS AS (id + 1)' : 'ALTER TABLE customers ADD c int' ],
	[ 'add-column-constrained-domain', 'ALTER TABLE customers ADD c positive', 'ALTER TABLE customers ADD c plain' ],
	[ 'add-column-not-null-no-default', 'ALTER TABLE unread ADD c int NOT NULL', 'ALTER TABLE unread ADD c int NOT NULL DEFAULT 0' ],
	[ 'add-column-inline-check', 'ALTER TABLE customers ADD c int CHECK (c > 0)', 'ALTER TABLE customers ADD c int' ],
	[ 'add-column-inline-fk', 'ALTER TABLE orders ADD c int REFERENCES customers', 'ALTER TABLE orders ADD c int' ],
	[ 'add-column-inline-fk', 'ALTER TABLE orders ADD c int DEFAULT 1 REFERENCES customers', 'ALTER TABLE orders ADD c int' ],
	[ 'add-column-unique', 'ALTER TABLE customers ADD c int UNIQUE', 'ALTER TABLE customers ADD c int' ],
	[ 'json-type', 'CREATE TABLE made (a json)', 'CREATE TABLE made (a jsonb)' ],
	[ 'serial-type', 'CREATE TABLE made (a bigserial)', 'CREATE TABLE made (a bigint GENERATED ALWAYS AS IDENTITY)' ],
	[ 'int-primary-key', 'CREATE TABLE made (a int PRIMARY KEY)', 'CREATE TABLE made (a bigint PRIMARY KEY, b int)' ],
	[ 'varchar-type', 'CREATE TABLE made (a varchar(3))', 'CREATE TABLE made (a varchar, b text)' ],
	[ 'char-type', 'CREATE TABLE made (a char(3))', 'CREATE TABLE made (a text)' ],
	[ 'timestamp-type', 'CREATE TABLE made (a timestamp)', 'CREATE TABLE made (a timestamptz)' ],
	[ 'money-type', 'CREATE TABLE made (a money)', 'CREATE TABLE made (a numeric)' ],
	[ 'enum-created', q(CREATE TYPE made AS ENUM ('a')), 'CREATE TYPE made AS (a int)' ],
	[ 'set-not-null', 'ALTER TABLE customers ALTER balance SET NOT NULL', 'ALTER TABLE customers ALTER checked SET NOT NULL' ],
	[ 'set-not-null', 'ALTER TABLE parent ALTER id SET NOT NULL', 'ALTER TABLE customers ADD CONSTRAINT c CHECK (balance IS NOT NULL) NOT VALID; ALTER TABLE customers VALIDATE CONSTRAINT c; ALTER TABLE customers ALTER balance SET NOT NULL' ],
	[ 'drop-not-null', 'ALTER TABLE customers ALTER k DROP NOT NULL', 'ALTER TABLE customers ALTER k SET NOT NULL' ],
	[ 'set-default', 'ALTER TABLE customers ALTER score SET DEFAULT 3', 'ALTER TABLE customers ALTER score DROP DEFAULT' ],
	[ 'drop-default', 'ALTER TABLE customers ALTER score DROP DEFAULT', 'ALTER TABLE customers ALTER score SET DEFAULT 3' ],
	[ 'add-check', 'ALTER TABLE customers ADD CHECK (balance > 0)', 'ALTER TABLE customers ADD CHECK (balance > 0) NOT VALID' ],
	[ 'add-foreign-key', 'ALTER TABLE orders ADD FOREIGN KEY (who) REFERENCES customers', 'ALTER TABLE orders ADD FOREIGN KEY (who) REFERENCES customers NOT VALID' ],
	[ 'fk-missing-index', 'ALTER TABLE orders ADD FOREIGN KEY (who) REFERENCES customers', 'ALTER TABLE orders ADD FOREIGN KEY (customer) REFERENCES customers' ],
	[ 'add-unique', 'ALTER TABLE customers ADD UNIQUE (name)', 'ALTER TABLE lonely ADD UNIQUE USING INDEX lonely_id' ],
	[ 'add-primary-key', 'ALTER TABLE lonely ADD PRIMARY KEY (id)', 'ALTER TABLE lonely ADD PRIMARY KEY USING INDEX lonely_id' ],
	[ 'pk-using-nullable-index', 'ALTER TABLE lonely ADD PRIMARY KEY USING INDEX lonely_id', 'ALTER TABLE lonely ADD UNIQUE USING INDEX lonely_id' ],
	[ 'add-exclusion', 'ALTER TABLE customers ADD EXCLUDE USING btree (k WITH =)', 'ALTER TABLE customers ADD UNIQUE (k)' ],
	[ 'drop-constraint', 'ALTER TABLE customers DROP CONSTRAINT customers_code_check', 'ALTER TABLE lonely VALIDATE CONSTRAINT lonely_c' ],
	[ 'drop-constraint', 'ALTER TABLE orders DROP CONSTRAINT of_customer', 'ALTER TABLE orders RENAME CONSTRAINT of_customer TO x' ],
	[ 'drop-constraint', 'ALTER TABLE customers DROP CONSTRAINT customers_pkey CASCADE', 'DROP VIEW more_notes' ],
	$version < 18 ? () :
	[ 'not-enforced', 'ALTER TABLE customers ADD CHECK (balance > 0) NOT ENFORCED', 'ALTER TABLE customers ADD CHECK (balance > 0)' ],
	[ 'not-valid-validated-in-transaction', 'BEGIN; ALTER TABLE customers ADD CONSTRAINT c CHECK (balance > 0) NOT VALID; ALTER TABLE customers VALIDATE CONSTRAINT c; COMMIT',
		'ALTER TABLE customers ADD CONSTRAINT c CHECK (balance > 0) NOT VALID; ALTER TABLE customers VALIDATE CONSTRAINT c' ],
	[ 'domain-constraint', 'ALTER DOMAIN positive ADD CHECK (VALUE < 100000)', 'ALTER DOMAIN positive ADD CHECK (VALUE < 100000) NOT VALID' ],
	[ 'domain-constraint', 'ALTER DOMAIN positive SET NOT NULL', 'ALTER DOMAIN plain SET NOT NULL' ],
	[ 'index-not-concurrent', 'CREATE INDEX ON orders (who)', 'CREATE INDEX CONCURRENTLY ON orders (who)' ],
	[ 'index-not-concurrent', 'CREATE INDEX ON orders (who)', 'CREATE TABLE made (a int); CREATE INDEX ON made (a)' ],
	[ 'index-on-partitioned', 'CREATE INDEX ON events (what)', 'CREATE INDEX ON ONLY events (what)' ],
	[ 'drop-index', 'DROP INDEX orders_customer', 'DROP INDEX CONCURRENTLY orders_customer' ],
	[ 'concurrently-in-transaction', 'BEGIN; CREATE INDEX CONCURRENTLY ON orders (who); COMMIT', 'CREATE INDEX CONCURRENTLY ON orders (who)' ],
	[ 'invalid-index', 'CREATE INDEX CONCURRENTLY ON broken (a)', 'CREATE INDEX CONCURRENTLY ON orders (who)' ],
	[ 'reindex', 'REINDEX TABLE orders', 'REINDEX TABLE CONCURRENTLY orders' ],
	[ 'reindex', 'REINDEX INDEX orders_customer', 'REINDEX INDEX CONCURRENTLY orders_customer' ],
	[ 'redundant-index', 'CREATE INDEX ON lonely (a)', 'CREATE INDEX ON lonely (b)' ],
	[ 'too-wide-index', 'CREATE INDEX ON lonely (a, b, c, d)', 'CREATE INDEX ON lonely (a, b, c)' ],
	[ 'cluster', 'CLUSTER orders USING orders_customer', 'ALTER TABLE orders CLUSTER ON orders_customer' ],
	[ 'vacuum-full', 'VACUUM FULL orders', 'VACUUM orders' ],
	[ 'set-tablespace', 'ALTER TABLE orders SET TABLESPACE other_disk', 'ALTER TABLE orders SET TABLESPACE pg_default' ],
	[ 'set-logged', 'ALTER TABLE fleeting SET LOGGED', 'ALTER TABLE orders SET LOGGED' ],
	[ 'set-unlogged', 'ALTER TABLE orders SET UNLOGGED', 'ALTER TABLE orders SET LOGGED' ],
	[ 'set-access-method', 'ALTER TABLE orders SET ACCESS METHOD heap_too', 'ALTER TABLE orders SET ACCESS METHOD heap' ],
	[ 'storage-params', 'ALTER TABLE orders SET (fillfactor = 80)', 'ALTER TABLE orders ALTER note SET STATISTICS 10' ],
	[ 'set-storage', 'ALTER TABLE orders ALTER note SET STORAGE EXTERNAL', 'ALTER TABLE orders ALTER note SET STATISTICS 10' ],
	[ 'set-compression', 'ALTER TABLE orders ALTER note SET COMPRESSION pglz', 'ALTER TABLE orders ALTER note SET STORAGE EXTERNAL' ],
	[ 'replica-identity', 'ALTER TABLE orders REPLICA IDENTITY FULL', 'ALTER TABLE orders CLUSTER ON orders_customer' ],
	[ 'publication-change', 'ALTER PUBLICATION news ADD TABLE orders', q(ALTER PUBLICATION news SET (publish = 'insert')) ],
	[ 'create-trigger', 'CREATE TRIGGER t AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION touch()', 'ALTER TRIGGER touched ON orders RENAME TO t' ],
	[ 'create-trigger', 'CREATE TRIGGER t AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION touch()', 'CREATE TABLE made (a int); CREATE TRIGGER t AFTER INSERT ON made FOR EACH ROW EXECUTE FUNCTION touch()' ],
	[ 'drop-trigger', 'DROP TRIGGER touched ON orders', 'ALTER TRIGGER touched ON orders RENAME TO t' ],
	[ 'disable-trigger', 'ALTER TABLE orders DISABLE TRIGGER touched', 'ALTER TABLE orders ENABLE TRIGGER touched' ],
	[ 'disable-trigger', 'ALTER TABLE orders DISABLE TRIGGER ALL', 'ALTER TABLE orders ENABLE TRIGGER ALL' ],
	[ 'create-rule', 'CREATE RULE r AS ON DELETE TO orders DO ALSO NOTIFY gone', 'CREATE TRIGGER t AFTER DELETE ON orders FOR EACH ROW EXECUTE FUNCTION touch()' ],
	[ 'rls-enable', 'ALTER TABLE orders ENABLE ROW LEVEL SECURITY', 'ALTER TABLE orders DISABLE ROW LEVEL SECURITY' ],
	[ 'rls-disable', 'ALTER TABLE orders DISABLE ROW LEVEL SECURITY', 'ALTER TABLE orders ENABLE ROW LEVEL SECURITY' ],
	[ 'rls-force', 'ALTER TABLE orders FORCE ROW LEVEL SECURITY', 'ALTER TABLE orders ENABLE ROW LEVEL SECURITY' ],
	[ 'policy-add', 'CREATE POLICY p ON orders USING (false)', 'ALTER POLICY own ON orders USING (false)' ],
	[ 'policy-alter', 'ALTER POLICY own ON orders USING (false)', 'ALTER POLICY own ON orders RENAME TO p' ],
	[ 'policy-drop', 'DROP POLICY own ON orders', 'ALTER POLICY own ON orders RENAME TO p' ],
	[ 'grant', 'GRANT SELECT ON orders TO PUBLIC', 'REVOKE SELECT ON orders FROM PUBLIC' ],
	[ 'revoke', 'REVOKE SELECT ON orders FROM PUBLIC', 'GRANT SELECT ON orders TO PUBLIC' ],
	[ 'owner-change', 'ALTER TABLE orders OWNER TO alice', 'GRANT SELECT ON orders TO alice' ],
	[ 'attach-partition', 'ALTER TABLE events ATTACH PARTITION events_3 FOR VALUES FROM (100) TO (200)', 'CREATE TABLE made (LIKE logs); ALTER TABLE logs ATTACH PARTITION made FOR VALUES FROM (100) TO (200)' ],
	[ 'attach-partition', 'ALTER TABLE events ATTACH PARTITION events_2 FOR VALUES FROM (100) TO (200)', 'ALTER TABLE events DETACH PARTITION events_1' ],
	[ 'attach-partition', 'ALTER TABLE logs ATTACH PARTITION logs_2 FOR VALUES FROM (100) TO (200)', 'ALTER TABLE logs DETACH PARTITION logs_1' ],
	[ 'create-partition-with-default', 'CREATE TABLE made PARTITION OF events FOR VALUES FROM (300) TO (400)', 'CREATE TABLE made PARTITION OF logs FOR VALUES FROM (300) TO (400)' ],
	[ 'detach-partition', 'ALTER TABLE events DETACH PARTITION events_1', 'ALTER TABLE logs DETACH PARTITION logs_1 CONCURRENTLY' ],
	[ 'detach-partition', 'ALTER TABLE logs DETACH PARTITION logs_1', 'ALTER TABLE logs ATTACH PARTITION logs_2 FOR VALUES FROM (100) TO (200)' ],
	[ 'enum-add-value', q(ALTER TYPE mood ADD VALUE 'calm'), q(ALTER TYPE mood RENAME VALUE 'sad' TO 'blue') ],
	[ 'matview-refresh', 'REFRESH MATERIALIZED VIEW totals', 'CREATE MATERIALIZED VIEW made AS SELECT 1; REFRESH MATERIALIZED VIEW made' ],
	[ 'matview-refresh', 'REFRESH MATERIALIZED VIEW CONCURRENTLY totals', 'ALTER MATERIALIZED VIEW totals CLUSTER ON totals_customer' ],
	[ 'view-replace', 'CREATE OR REPLACE VIEW more_notes AS SELECT id, note FROM notes WHERE id > 0', 'CREATE OR REPLACE VIEW made AS SELECT 1' ],
	[ 'function-change', 'ALTER FUNCTION same(int) VOLATILE', 'ALTER FUNCTION same(int) COST 10' ],
	[ 'function-change', q(CREATE OR REPLACE FUNCTION same(int) RETURNS int LANGUAGE sql AS 'SELECT 2'), q(CREATE OR REPLACE FUNCTION same(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 2') ],
	[ 'function-change', q(CREATE FUNCTION made() RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT 2'), q(CREATE FUNCTION made() RETURNS int SECURITY DEFINER SET search_path = pg_catalog LANGUAGE sql AS 'SELECT 2') ],
	[ 'comment', q(COMMENT ON COLUMN orders.note IS 'x'), q(COMMENT ON SCHEMA app IS 'x') ],
	[ 'create-statistics', 'CREATE STATISTICS s ON who, note FROM orders', 'ALTER TABLE orders ALTER note SET STATISTICS 10' ],
	[ 'no-lock-timeout', 'DROP VIEW more_notes', q(SET lock_timeout = '2s'; DROP VIEW more_notes) ],
	[ 'lock-timeout-zero', 'SET lock_timeout = 0', q(SET lock_timeout = '2s') ],
	[ 'lock-timeout-long', q(SET lock_timeout = '5min'), q(SET lock_timeout = '2s') ],
	[ 'no-statement-timeout', 'CREATE INDEX ON orders (who)', q(SET statement_timeout = '1h'; CREATE INDEX ON orders (who)), 'SET statement_timeout = 0' ],
	[ 'no-idle-timeout', 'BEGIN; DROP VIEW more_notes; COMMIT', 'DROP VIEW more_notes' ],
	[ 'statement-after-exclusive-lock', 'BEGIN; DROP VIEW more_notes; CREATE INDEX ON orders (who); COMMIT', 'DROP VIEW more_notes; CREATE INDEX ON orders (who)' ],
	[ 'wide-lock-window', 'BEGIN; LOCK TABLE orders; LOCK TABLE lonely; LOCK TABLE customers; COMMIT', 'BEGIN; LOCK TABLE orders; LOCK TABLE lonely; COMMIT; BEGIN; LOCK TABLE customers; COMMIT' ],
	[ 'mergeable-alters', 'ALTER TABLE orders ADD a int; ALTER TABLE orders ADD b int', 'ALTER TABLE orders ADD a int; ALTER TABLE lonely ADD e int' ],
	[ 'long-running-transaction', 'ALTER TABLE busy ADD b int', 'ALTER TABLE unread ADD c int' ],
	[ 'unclosed-transaction', 'BEGIN; DROP VIEW more_notes', 'BEGIN; DROP VIEW more_notes; COMMIT' ],
	[ 'too-many-objects', 'DROP VIEW more_notes; DROP VIEW notes; DROP TABLE unread', 'DROP VIEW more_notes', 'SET safemig.max_objects = 2' ],
	[ 'destructive-without-expand', 'DROP TABLE lonely', 'DROP TABLE never_read' ],
	[ 'destructive-without-expand', 'ALTER TABLE orders DROP COLUMN note CASCADE', 'ALTER TABLE orders DROP COLUMN flag' ],
	[ 'outside-window', 'DROP VIEW more_notes', 'CREATE TABLE made (a int)', $closed ],
	[ 'create-table-as', 'CREATE TABLE made AS SELECT * FROM orders', 'CREATE TABLE made (a int)' ],
	[ 'create-table-like', 'CREATE TABLE made (LIKE orders)', 'CREATE TABLE made (LIKE orders INCLUDING ALL)' ],
	[ 'create-table-inherits', 'CREATE TABLE made () INHERITS (orders)', 'CREATE TABLE made PARTITION OF logs FOR VALUES FROM (300) TO (400)' ],
	[ 'dynamic-sql', q(DO 'BEGIN EXECUTE ''DROP VIEW more_notes''; END'), 'DROP VIEW more_notes' ],
	[ 'executes-c-function', q(CREATE FUNCTION made() RETURNS int LANGUAGE c AS 'nowhere'), q(CREATE FUNCTION made() RETURNS int LANGUAGE sql AS 'SELECT 1') ],
	[ 'not-idempotent', 'CREATE TABLE made (a int)', 'CREATE TABLE IF NOT EXISTS made (a int)' ],
	[ 'unqualified-name', 'CREATE TABLE made (a int)', 'CREATE TABLE app.made (a int)' ],
	[ 'quoted-name', 'CREATE TABLE "Made" (a int)', 'CREATE TABLE made (a int)' ],
	[ 'name-too-long', "CREATE TABLE $long_name (a int)", 'CREATE TABLE made (a int)' ],
	[ 'irreversible', 'CREATE DATABASE made', 'CREATE TABLE made (a int)' ],
	!$has_statements ? () :
	[ 'named-by-statements', 'ALTER TABLE orders DROP COLUMN note CASCADE', 'ALTER TABLE orders DROP COLUMN flag' ],
	[ 'drift', 'ALTER TABLE drifted ADD b int', 'ALTER TABLE unread ADD c int' ],
	[ 'open-migration', 'ALTER TABLE elsewhere ADD c int', 'ALTER TABLE unread ADD c int' ],
	# locks alone, of what no rule is about
	[ undef, 'ALTER TABLE orders ALTER note SET STATISTICS 10' ],
	[ undef, 'ALTER TABLE customers ADD CONSTRAINT c CHECK (balance > 0) NOT VALID' ],
	[ undef, 'ALTER TABLE orders ADD FOREIGN KEY (customer) REFERENCES customers NOT VALID' ],
	[ undef, 'CREATE TABLE made (a int REFERENCES customers)' ],
	[ undef, 'ALTER TABLE child NO INHERIT parent' ],
	[ undef, 'ALTER TABLE lonely VALIDATE CONSTRAINT lonely_c' ],
	[ undef, 'LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE' ],
	[ undef, 'INSERT INTO lonely (id) VALUES (0)' ],);

# What runs outside of transactions alone, what PostgreSQL refuses, and objects
# that are no relations have no lock that could be observed.
my %unobservable = map { $_ => 1 } qw(vacuum-full drop-schema-cascade type-change-blocked);

my @columns = qw(n way rule object lock_mode observed cost observed_cost kept outcome undo_lock undo_cost);

sub question
{
	my ($n, $way, $script, $settings) = @_;
	return ($settings ? "$settings;\n" : '')
	  . "SELECT $n, '$way', rule, object, lock_mode, observed_lock_mode, cost, observed_cost, kept, outcome, undo_lock_mode, undo_cost"
	  . " FROM safemig_assess(\$script\$$script\$script\$, observe => true);\nRESET ALL;\nSET search_path = app;\n";
}

sub ask_all
{
	my $sql = "SET search_path = app;\nSET client_min_messages = error;\n";
	foreach my $n (0 .. $#cases)
	{
		my ($rule, $fires, $quiet, $settings) = @{ $cases[$n] };
		$sql .= question($n, 'fires', $fires, $settings);
		$sql .= question($n, 'quiet', $quiet, $settings) if defined $quiet;
	}
	my @rows;
	foreach my $line (split /\n/, must($database, $sql))
	{
		my @fields = split /\|/, $line, -1;
		next if @fields != @columns;
		my %row;
		@row{@columns} = @fields;
		push @rows, \%row;
	}
	return @rows;
}

my @rows = ask_all();

sub rules_met
{
	my ($n, $way) = @_;
	return map { $_->{rule} } grep { $_->{n} == $n && $_->{way} eq $way } @rows;
}

foreach my $n (0 .. $#cases)
{
	my ($rule, $fires, $quiet) = @{ $cases[$n] };
	next if !defined $rule;
	my @met = rules_met($n, 'fires');
	ok((grep { $_ eq $rule } @met), "$rule: $fires") or diag("met: @met");
	ok(!(grep { $_ eq $rule } rules_met($n, 'quiet')), "not $rule: $quiet");
}

# ---- what is stated is what is seen ----

sub is_relation { return $_[0] =~ /(?:^| of )(?:table|view|materialized view|index|sequence) \S+\./ }

my %seen;
foreach my $row (@rows)
{
	next if $row->{outcome} ne 'done' || !is_relation($row->{object});
	my $script = $cases[ $row->{n} ][ $row->{way} eq 'fires' ? 1 : 2 ];
	# what an earlier statement holds is not seen again, and code is not read
	next if $script =~ /^DO / || ($row->{observed} eq '' && $script =~ /;/);
	is($row->{observed}, $row->{lock_mode}, "lock on $row->{object}: $script")
	  if $row->{observed} ne $row->{lock_mode};
	$seen{ $row->{rule} }{ $row->{lock_mode} } = 1 if $row->{lock_mode} eq $row->{observed};
	is($row->{observed_cost}, $row->{cost}, "cost for $row->{object}: $script")
	  if $row->{cost} ne '' && $row->{observed_cost} ne '' && $row->{kept} eq '' && $row->{observed_cost} ne $row->{cost};
}

my %has_case = map { ($_->[0] // '') => 1 } @cases;
foreach my $line (split /\n/, value($database, q(SELECT name || '|' || coalesce(lock_mode, '') FROM safemig.rules)))
{
	my ($name, $lock) = split /\|/, $line, -1;
	next if $name eq 'not-enforced' && $version < 18;
	next if $name eq 'named-by-statements' && !$has_statements;
	ok($has_case{$name}, "$name has a case");
	ok($seen{$name}{$lock}, "$name: $lock was observed") if $lock ne '' && !$unobservable{$name};
}

# ---- what is stated of the way back is what the plan has ----

# Those whose statement is about one object, which is a relation.
my @undone = qw(drop-table drop-view drop-matview drop-sequence rename-table rename-column set-schema
  type-change-rewrite type-narrow type-widen-with-check timestamp-timestamptz collation-change
  add-column-volatile-default add-column-serial add-column-identity add-column-stored-generated
  add-column-constrained-domain add-column-inline-check add-column-inline-fk add-column-unique
  set-not-null drop-not-null set-default drop-default add-check add-foreign-key add-unique
  add-primary-key pk-using-nullable-index add-exclusion drop-constraint domain-constraint
  index-not-concurrent index-on-partitioned drop-index cluster set-tablespace set-logged set-unlogged
  storage-params set-storage set-compression replica-identity publication-change create-trigger
  drop-trigger disable-trigger create-rule rls-enable rls-force policy-add policy-alter
  policy-drop owner-change attach-partition detach-partition matview-refresh
  view-replace comment create-statistics alter-sequence-restart enum-add-value);
my %is_undone = map { $_ => 1 } @undone;
my $strongest = "(SELECT coalesce(max(array_position(ARRAY['ROW SHARE', 'ROW EXCLUSIVE', 'SHARE UPDATE EXCLUSIVE',"
  . " 'SHARE', 'SHARE ROW EXCLUSIVE', 'EXCLUSIVE', 'ACCESS EXCLUSIVE'], lock_mode)), 0)";

sub plans
{
	my $sql = "SET search_path = app;\nSET client_min_messages = error;\n";
	foreach my $n (0 .. $#cases)
	{
		my ($rule, $fires) = @{ $cases[$n] };
		next if !defined $rule || !$is_undone{$rule} || $fires =~ /CASCADE$|;/;
		$sql .= "BEGIN;\nSET LOCAL safemig.label = 'undone $n';\n$fires;\n"
		  . "SELECT $n, '$rule', (ARRAY['', 'ROW SHARE', 'ROW EXCLUSIVE', 'SHARE UPDATE EXCLUSIVE', 'SHARE', 'SHARE ROW EXCLUSIVE', 'EXCLUSIVE', 'ACCESS EXCLUSIVE'])[1 + $strongest"
		  . " FROM safemig_plan(m.id))], (SELECT (ARRAY['catalog', 'scan', 'index', 'rewrite'])[max(array_position(ARRAY['catalog', 'scan', 'index', 'rewrite'], cost))] FROM safemig_plan(m.id))"
		  . " FROM safemig.migrations m WHERE m.label = 'undone $n';\nROLLBACK;\n";
	}
	return map { [ split /\|/, $_, -1 ] } split /\n/, must($database, $sql);
}

$reader->close;
$migrator->close;
foreach my $plan (plans())
{
	my ($n, $rule, $lock, $cost) = @$plan;
	my ($row) = grep { $_->{n} == $n && $_->{rule} eq $rule && $_->{way} eq 'fires' } @rows;
	is("$row->{undo_lock}, $row->{undo_cost}", "$lock, $cost", "the way back of $cases[$n][1]");
}

done_testing();
