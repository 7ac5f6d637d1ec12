
# Copyright (c) 2026, the safemig authors

# What an installation does to an extension in the course of the years: it is
# upgraded, dropped, restored into, found without its library, used through a
# pooler and in prepared transactions, and its tables are written anew.
# pg_regress cannot show it: it takes sessions that end, dumps and programs.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use SafemigSession;
use SafemigTest;
use Test::More;

plan skip_all => 'says nothing without safemig' if bare();

my $server = start_server('standing', conf => "max_prepared_transactions = 10\n");
my @connection = ('-h', $server->host, '-p', $server->port);
my $tempdir = PostgreSQL::Test::Utils::tempdir();
my $sharedir = $server->config_data('--sharedir') . '/extension';

sub case
{
	my ($name, $code) = @_;
	return if $ENV{SAFEMIG_CASE} && $name !~ /$ENV{SAFEMIG_CASE}/;
	return subtest $name => sub { eval { $code->(); 1 } or fail($@) };
}

sub runs
{
	my ($database, $sql, $what, %options) = @_;
	my ($status, $out, $err) = in_database($database, "\\set VERBOSITY verbose\n$sql", %options);
	ok(!$status, $what) or diag($err);
	return wantarray ? ($out, $err) : $out;
}

sub fails
{
	my ($database, $sql, $pattern, $what) = @_;
	my ($status, $out, $err) = in_database($database, "\\set VERBOSITY verbose\n$sql");
	return like($err, $pattern, $what);
}

sub same_state
{
	my ($database, $expected, $what) = @_;
	return is(SafemigOracle::difference($expected, state_of($database)), '', $what);
}

# Where a program may stand that is no user's.
sub program
{
	my ($name) = @_;
	foreach my $path ("$server->{safemig_bindir}/$name", map { "$_/$name" } split(/:/, $ENV{PATH}), '/usr/sbin')
	{
		return $path if -x $path && !-d $path;
	}
	return undef;
}

my $tables = <<'SQL';
CREATE TABLE orders (id int PRIMARY KEY, what text, tail int);
CREATE TABLE items (id int PRIMARY KEY, o int REFERENCES orders, w text);
CREATE TABLE nokey (a int, b text);
INSERT INTO orders SELECT i, 'x' || i, i FROM generate_series(1, 10) i;
INSERT INTO items SELECT i, i, 'x' || i FROM generate_series(1, 10) i;
INSERT INTO nokey SELECT i, 'x' || i FROM generate_series(1, 10) i;
SQL
my $keeps = <<'SQL';
SET safemig.label = 'drop items'; DROP TABLE items;
SET safemig.label = 'drop tail'; ALTER TABLE orders DROP COLUMN tail;
SET safemig.label = 'drop nokey'; DROP TABLE nokey;
SQL

# ---- DROP EXTENSION ----

my $vaults = q(SELECT string_agg(format('%s of %s', nspname, nspowner::regrole), ', ' ORDER BY nspname) FROM pg_namespace WHERE nspname ~ '^safemig');

case 'DROP EXTENSION' => sub {
	my $database = new_database('dropped');
	runs($database, $tables . $keeps, 'a database with kept data');
	my $before = value($database, $vaults);
	fails($database, 'DROP EXTENSION safemig CASCADE', qr/ERROR:  2BP01: extension "safemig" keeps data of 3 dropped or changed objects.*HINT:.*allow_drop/s, 'is refused while data is kept');
	fails($database, 'SET safemig.enabled = off; DROP EXTENSION safemig', qr/ERROR:  2BP01: extension "safemig" keeps/, 'whether it records or not');
	fails($database, 'DROP SCHEMA safemig CASCADE', qr/ERROR:  2BP01: cannot drop schema safemig because extension safemig requires it/, 'nor does its schema go alone');
	is(value($database, $vaults), $before, 'nothing has changed');

	my ($out, $err) = runs($database, 'SET safemig.allow_drop = on; DROP EXTENSION safemig', 'is allowed on purpose');
	like($err, qr/NOTICE:  00000: 3 schemas with data that safemig keeps stay, as ordinary ones\nDETAIL:  safemig_vault_\d+, safemig_vault_\d+, safemig_vault_\d+\n/, 'the schemas are named');
	my @schemas = $err =~ /(safemig_vault_\d+)/g;
	is(value($database, "SELECT (SELECT count(*) FROM $schemas[0].items), (SELECT count(*) FROM $schemas[2].nokey)"), '10|10', 'they have all rows');
	unlike(value($database, $vaults), qr/of safemig_vault/, 'and are ordinary ones');

	runs($database, 'CREATE EXTENSION safemig', 'it is made again');
	my $state = state_of($database);
	runs($database, 'CREATE TABLE fresh (a int)', 'migrations begin anew');
	foreach my $n (1 .. 6)
	{
		runs($database, "SET safemig.notices = off; SET safemig.label = 'n$n'; CREATE TABLE items (id int); CREATE TABLE nokey (id int); INSERT INTO items VALUES ($n); DROP TABLE items; DROP TABLE nokey", "migration $n, whose vault may have an old one's name");
		runs($database, "SET safemig.notices = off; SELECT safemig_rollback('n$n')", 'and its rollback');
	}
	runs($database, 'DROP TABLE fresh; SELECT safemig_rollback_to(0)', 'all of them');
	same_state($database, $state, 'the state before them');
	runs($database, "DROP SCHEMA $schemas[0] CASCADE", 'an old schema can be dropped');
	is(value($database, "SELECT count(*) FROM $schemas[2].nokey"), '10', 'the others are untouched');
};

case 'DROP OWNED of the owner of the extension' => sub {
	my $database = new_database('owned', 'template0');
	runs($database, "CREATE ROLE other SUPERUSER; SET ROLE other; CREATE EXTENSION safemig; RESET ROLE; $tables $keeps", 'somebody else made it');
	fails($database, 'DROP OWNED BY bob, other CASCADE', qr/ERROR:  2BP01: extension "safemig" keeps/, 'is refused while data is kept');
	my ($out, $err) = runs($database, 'SET safemig.allow_drop = on; DROP OWNED BY other CASCADE', 'is allowed on purpose');
	like($err, qr/NOTICE:  00000: 3 schemas with data/, 'the schemas are named');
	is(value($database, q(SELECT count(*) FROM pg_extension WHERE extname = 'safemig')), 0, 'it is gone');
	is(value($database, q(SELECT count(*) FROM pg_namespace WHERE nspname ~ '^safemig_vault')), 3, 'what it kept is not');
	runs('postgres', 'DROP DATABASE owned WITH (FORCE); DROP ROLE other', 'clean up');
};

# ---- a dump restored into the database that it is of ----

sub restored_into
{
	my ($name, $restore) = @_;
	my $database = new_database("live_$name");
	runs($database, $tables, 'a live database');
	my @states = (state_of($database));
	my $mark = value($database, 'SELECT safemig_mark()');
	runs($database, $keeps, 'with history and vault');
	push @states, state_of($database);
	command_ok([ 'pg_dump', @connection, '-Fc', '-f', "$tempdir/full", $database ], 'a dump of all');
	command_ok([ 'pg_dump', @connection, '-f', "$tempdir/plain", $database ], 'and as a script');
	command_ok([ 'pg_dump', @connection, '-Fc', '-N', 'safemig*', '--extension=plpgsql', '-f', "$tempdir/app", $database ], 'and one without safemig');
	runs($database, q(SET safemig.label = 'later'; CREATE TABLE later (a int, b text); INSERT INTO later SELECT i, 'b' FROM generate_series(1, 10) i; DROP TABLE later;
		CREATE TABLE more (a int)), 'it goes on');
	push @states, state_of($database);
	my $kept = value($database, 'SELECT id, label, state, kept_bytes FROM safemig.migrations ORDER BY id');
	my $output = $restore->($database);
	return ($database, $mark, $kept, $output, @states);
}

sub output_of
{
	my (@command) = @_;
	my ($stdout, $stderr) = run_command(\@command);
	return $stderr;
}

my $history = 'SELECT id, label, state, kept_bytes FROM safemig.migrations ORDER BY id';
my $vault_rows = q(SELECT format('SELECT %L, count(*) FROM %s', k.identity, substr(k.query, 15)) FROM safemig.kept k WHERE k.query IS NOT NULL AND k.state = 'kept' ORDER BY k.id \gexec);

# The dump has history and vault too; those that are there stay as they are.
my %over_it = (
	'pg_restore --clean --if-exists' => sub { output_of('pg_restore', @connection, '--clean', '--if-exists', '-d', $_[0], "$tempdir/full") },
	'pg_restore --clean -j 2' => sub { output_of('pg_restore', @connection, '--clean', '--if-exists', '-j', '2', '-d', $_[0], "$tempdir/full") },
	'pg_restore --data-only' => sub { output_of('pg_restore', @connection, '--data-only', '-d', $_[0], "$tempdir/full") },
	'pg_restore --schema-only' => sub { output_of('pg_restore', @connection, '--schema-only', '-d', $_[0], "$tempdir/full") },
	'psql < dump' => sub { output_of('psql', '-Xq', @connection, '-f', "$tempdir/plain", $_[0]) },
);
my $n = 0;
foreach my $how (sort keys %over_it)
{
	case "a dump over what is there: $how" => sub {
		my ($database, $mark, $kept, $output, @states) = restored_into('over_' . ++$n, sub {
			my ($database) = @_;
			# who has no library before his first DDL command
			must('postgres', "ALTER DATABASE $database SET session_preload_libraries = safemig");
			return $over_it{$how}->($database);
		});
		like($output, qr/holds data kept by safemig/, 'is told that data is kept')
		  unless $how =~ /schema-only/;
		is(value($database, $history), $kept, 'the history is what it was');
		my $rows = value($database, $vault_rows);
		is($rows, "public.items|10\npublic.orders|10\npublic.nokey|10\npublic.later|10", 'and the vault');
		runs($database, q(SET safemig.label = 'goes on'; CREATE TABLE new (a int); DROP TABLE new; SELECT safemig_rollback('goes on')), 'migrations go on');
		runs($database, 'DROP TABLE IF EXISTS items, nokey, more', 'what the dump had, by now');
		runs($database, qq(SELECT safemig_rollback('drop items')), 'a rollback');
		is(value($database, 'SELECT count(*), min(w) FROM items'), '10|x1', 'has the rows, each once');
	};
}

case 'a dump over what is there: all at once, or not at all' => sub {
	my ($database, $mark, $kept, $output, @states) = restored_into('once', sub {
		output_of('pg_restore', @connection, '-1', '--clean', '--if-exists', '-d', $_[0], "$tempdir/full") });
	like($output, qr/holds data kept by safemig|keeps data of/, 'is refused');
	same_state($database, $states[2], 'nothing has changed');
	is(value($database, $history), $kept, 'nor the history');
};

case 'a dump in the place of what is there' => sub {
	my ($database, $mark, $kept, $output, @states) = restored_into('instead', sub {
		local $ENV{PGOPTIONS} = '-c safemig.allow_drop=on';
		output_of('pg_restore', @connection, '--exit-on-error', '--clean', '--if-exists', '-d', $_[0], "$tempdir/full") });
	unlike($output, qr/error/i, 'with safemig.allow_drop it runs');
	is(value($database, $history), join("\n", grep { !/later|goes on/ } split /\n/, value($database, $history)), 'the history is that of the dump');
	is(value($database, q(SELECT count(*) FROM safemig.migrations WHERE label = 'later')), 0, 'which knew nothing of what came later');
	runs($database, 'DROP TABLE more', 'a table that the dump had not is untouched');
	runs($database, "SELECT safemig_rollback_to($mark)", 'what it knew is rolled back');
	is(value($database, 'SELECT (SELECT count(*) FROM items), (SELECT count(*) FROM nokey), (SELECT sum(tail) FROM orders)'), '10|10|55', 'with its rows');
};

case 'a dump without safemig' => sub {
	foreach my $what ([ 'all of it' ], [ 'one table', '-t', 'orders' ], [ 'two at once', '-j', '2' ])
	{
		my ($how, @options) = @$what;
		my ($database, $mark, $kept, $output, @states) = restored_into('app_' . ++$n, sub {
			output_of('pg_restore', @connection, '--exit-on-error', '--clean', '--if-exists', @options, '-d', $_[0], "$tempdir/app") });
		unlike($output, qr/error/i, "$how: runs");
		is(value($database, $history), $kept, 'it is no migration, and keeps nothing');
		runs($database, q(DROP TABLE more; SELECT safemig_rollback('drop nokey')), 'older ones are rolled back');
		is(value($database, 'SELECT count(*) FROM nokey'), 10, 'with their rows');
	}
};

case 'a dump restored by somebody who does not administer safemig' => sub {
	my $database = new_database('foreign_restore');
	runs($database, "SET ROLE alice; $tables", 'his tables');
	command_ok([ 'pg_dump', @connection, '-O', '-x', '-N', 'safemig*', '-f', "$tempdir/foreign", '--clean', '--if-exists', '-t', 'orders', '-t', 'items', $database ], 'his dump');
	must('postgres', 'ALTER ROLE alice LOGIN');
	my $output = output_of('psql', '-Xq', @connection, '-U', 'alice', '-v', 'ON_ERROR_STOP=1', '-f', "$tempdir/foreign", $database);
	unlike($output, qr/ERROR/, 'is restored');
	like($output, qr/WARNING:  this restore is recorded, and what it drops is kept\nDETAIL:  Role "alice" does not administer safemig.\nHINT:  SELECT safemig_prune/, 'what it costs is said');
	is(() = $output =~ /WARNING:  this restore/g, 1, 'once');
	isnt(value($database, 'SELECT sum(kept_bytes) FROM safemig.migrations'), 0, 'for it is kept');
	must($database, 'SELECT safemig_prune(id) FROM safemig.migrations WHERE kept_bytes > 0');
	must($database, 'GRANT EXECUTE ON FUNCTION safemig_administer() TO alice');
	my $before = value($database, 'SELECT count(*) FROM safemig.migrations');
	$output = output_of('psql', '-Xq', @connection, '-U', 'alice', '-v', 'ON_ERROR_STOP=1', '-f', "$tempdir/foreign", $database);
	unlike($output, qr/ERROR|WARNING/, 'who administers is told nothing');
	is(value($database, 'SELECT count(*) FROM safemig.migrations'), $before, 'for nothing is recorded');
	must('postgres', 'ALTER ROLE alice NOLOGIN');
};

# ---- without the library, and with one of another version ----

case 'the library is missing' => sub {
	my $database = new_database('missing');
	runs($database, $tables . $keeps, 'history and vault');
	my $state = state_of($database);
	my $missing = q(UPDATE pg_proc SET probin = '$libdir/safemig_not_there' WHERE probin = '$libdir/safemig');
	runs($database, $missing, 'the library goes');
	my $error = qr/ERROR:  58P01: could not access file "(?:\$libdir\/)?safemig_not_there": No such file or directory/;
	fails($database, 'CREATE TABLE new (a int)', $error, 'no DDL runs');
	fails($database, 'SELECT * FROM safemig_doctor()', $error, 'nor the doctor');
	is(runs($database, q(INSERT INTO orders VALUES (11, 'z'); UPDATE orders SET what = 'y' WHERE id = 11; DELETE FROM orders WHERE id = 11; SELECT count(*) FROM orders), 'queries and writes do'), 10, 'as ever');

	# what doc/operations.md says
	runs($database, q(SELECT format('ALTER EVENT TRIGGER %I DISABLE', evtname) FROM pg_event_trigger WHERE evtname LIKE '!safemig%' \gexec), 'the way out');
	runs($database, 'CREATE TABLE new (a int); ALTER TABLE orders ADD extra int; ALTER TABLE orders DROP extra; DROP TABLE new', 'DDL runs');
	runs($database, q(UPDATE pg_proc SET probin = '$libdir/safemig' WHERE probin = '$libdir/safemig_not_there'), 'it is back');
	like(value($database, q(SELECT status, detail, hint FROM safemig_doctor() WHERE item = 'event triggers')), qr/^error\|!safemig_drop is not ENABLE ALWAYS,.*\|ALTER EVENT TRIGGER "!safemig_drop" ENABLE ALWAYS; ALTER/, 'the doctor tells what is left to do');
	runs($database, q(SELECT format('ALTER EVENT TRIGGER %I ENABLE ALWAYS', evtname) FROM pg_event_trigger WHERE evtname LIKE '!safemig%' \gexec), 'and the way back');
	is(value($database, q(SELECT item, status FROM safemig_doctor() WHERE status = 'error')), '', 'all is in place');
	runs($database, q(SELECT safemig_rollback('drop nokey'); SELECT safemig_rollback('drop tail')), 'what was recorded before is rolled back');

	# preloaded: nobody comes in but by these doors
	must('postgres', "ALTER DATABASE $database SET session_preload_libraries = 'safemig_not_there'");
	fails($database, 'SELECT 1', qr/FATAL:  could not access file "safemig_not_there"/, 'preloaded, it locks everybody out');
	is(runs($database, 'SELECT 1', 'but for a superuser who says so', pgoptions => '-c session_preload_libraries='), 1, 'he is in');
	runs('postgres', "ALTER DATABASE $database RESET session_preload_libraries", 'or from another database');
	runs($database, 'SELECT 1', 'everybody is back');
};

case 'a library of another version' => sub {
	my $database = new_database('versions');
	is(value($database, q(SELECT status FROM safemig_doctor() WHERE item = 'version')), 'ok', 'as installed');
	runs($database, q(SET safemig.enabled = off; UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'safemig'), 'an extension that was not updated');
	like(value($database, q(SELECT status, detail, hint FROM safemig_doctor() WHERE item = 'version')),
		qr/^warning\|the extension is of version 0\.9, and the library of version [\d.]+\|ALTER EXTENSION safemig UPDATE;$/, 'the doctor knows');
	runs($database, 'CREATE TABLE t (a int)', 'where the history is the same, it goes on');
	runs($database, 'SET safemig.enabled = off; ALTER TABLE safemig.migration_log ADD other int', 'where it is not');
	fails($database, 'CREATE TABLE u (a int)', qr/ERROR:  SM008: table safemig\.migration_log has \d+ columns, and the library wants \d+\nDETAIL:  The library and the extension are of different versions\.\nHINT:  ALTER EXTENSION safemig UPDATE;/, 'a command fails and says why');
	runs($database, q(SELECT count(*) FROM safemig.migrations; INSERT INTO t VALUES (1)), 'reading and writing goes on');
	runs($database, 'SET safemig.enabled = off; ALTER TABLE safemig.migration_log DROP other', 'a column less');
	fails($database, 'CREATE TABLE u (a int)', qr/ERROR:  SM008: /, 'likewise');
};

# Everything that belongs to the extension, as it is written in the catalogs.
my $members = <<'SQL';
SET search_path = '';
WITH member AS (
	SELECT classid, objid FROM pg_depend WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass
		AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'safemig')
), rel AS (SELECT c.* FROM pg_class c JOIN member ON classid = 'pg_class'::regclass AND objid = c.oid)
SELECT line FROM (
	SELECT format('member %s: %s', pg_describe_object(classid, objid, 0), obj_description(objid, classid::regclass::name)) AS line FROM member
	UNION ALL SELECT format('function %s %s %s', p.oid::regprocedure, p.proacl, CASE WHEN prokind = 'a' THEN '' ELSE pg_get_functiondef(p.oid) END)
		FROM pg_proc p JOIN member ON classid = 'pg_proc'::regclass AND objid = p.oid
	UNION ALL SELECT format('relation %s %s %s %s %s %s %s', oid::regclass, relkind, relpersistence, relreplident, relacl, reloptions, CASE WHEN relkind = 'v' THEN pg_get_viewdef(oid) END) FROM rel
	UNION ALL SELECT format('column %s.%s %s %s %s %s %s %s', attrelid::regclass, attname, rank() OVER (PARTITION BY attrelid ORDER BY attnum), format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid), attacl, col_description(attrelid, attnum))
		FROM pg_attribute JOIN rel ON rel.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attnum > 0 AND NOT attisdropped
	UNION ALL SELECT format('index %s %s', indexrelid::regclass, pg_get_indexdef(indexrelid)) FROM pg_index JOIN rel ON rel.oid = indrelid
	UNION ALL SELECT format('constraint %s %s', conname, pg_get_constraintdef(c.oid)) FROM pg_constraint c JOIN rel ON rel.oid = conrelid
	UNION ALL SELECT format('trigger %s %s', tgenabled, pg_get_triggerdef(t.oid)) FROM pg_trigger t JOIN rel ON rel.oid = tgrelid
	UNION ALL SELECT format('event trigger %s %s %s %s', evtname, evtevent, evtenabled, evtfoid::regprocedure) FROM pg_event_trigger JOIN member ON classid = 'pg_event_trigger'::regclass AND objid = pg_event_trigger.oid
	UNION ALL SELECT format('schema %s %s', nspname, nspacl) FROM pg_namespace JOIN member ON classid = 'pg_namespace'::regclass AND objid = pg_namespace.oid
	UNION ALL SELECT format('cast %s %s %s', castsource::regtype, casttarget::regtype, castfunc::regproc) FROM pg_cast JOIN member ON classid = 'pg_cast'::regclass AND objid = pg_cast.oid
	UNION ALL SELECT format('type %s %s', format_type(t.oid, NULL), typacl) FROM pg_type t JOIN member ON classid = 'pg_type'::regclass AND objid = t.oid
	UNION ALL SELECT format('initial privileges of %s %s', pg_describe_object(i.classoid, i.objoid, i.objsubid), initprivs) FROM pg_init_privs i JOIN member ON classid = classoid AND objid = objoid
	UNION ALL SELECT format('dumped %s %s', c::regclass, cond) FROM pg_extension, unnest(extconfig, extcondition) AS u(c, cond) WHERE extname = 'safemig'
	UNION ALL SELECT format('extension %s', extversion) FROM pg_extension WHERE extname = 'safemig'
	UNION ALL SELECT format('framework %s', to_jsonb(f)) FROM safemig.frameworks f
) AS x ORDER BY line COLLATE "C"
SQL

# What CREATE EXTENSION and ALTER EXTENSION UPDATE from that version end at.
sub updated_from
{
	my ($from) = @_;
	my $database = new_database('from_' . ($from =~ tr/./_/r), 'template0');
	runs($database, "CREATE EXTENSION safemig VERSION '$from'", "version $from");
	runs($database, "$tables DROP TABLE nokey", 'a migration under it') if $from !~ /^0/;
	runs($database, 'ALTER EXTENSION safemig UPDATE', 'updated');
	return value($database, $members);
}

case 'updates' => sub {
	my $fresh = new_database('fresh', 'template0');
	must($fresh, 'CREATE EXTENSION safemig');
	my $expected = value($fresh, $members);
	my $version = value($fresh, q(SELECT extversion FROM pg_extension WHERE extname = 'safemig'));
	cmp_ok(scalar(split /\n/, $expected), '>', 200, 'the catalogs tell of all that belongs to it');

	# those that were released: every version that there is a way from
	foreach my $from (split /\n/, value($fresh, "SELECT source FROM pg_extension_update_paths('safemig') WHERE target = '$version' AND path IS NOT NULL ORDER BY source"))
	{
		is(SafemigOracle::difference($expected, updated_from($from)), '', "updated from $from, it is as if it were fresh");
	}

	# and that this would be seen: a version that lacks something, with an update
	# that brings it, and one that forgets a part of it
  SKIP:
	{
		skip 'the installation is not ours to write to', 1 unless -w $sharedir;
		my $script = slurp_file("$sharedir/safemig--$version.sql");
		my ($function) = $script =~ /(CREATE FUNCTION pg_catalog\.safemig_recovery_target\(.*?;\nCOMMENT ON FUNCTION.*?;\n)/s;
		my $older = "$script\nDROP FUNCTION pg_catalog.safemig_recovery_target(bigint);\nALTER EVENT TRIGGER \"!safemig_drop\" ENABLE;\n";
		my $update = "$function\nALTER EVENT TRIGGER \"!safemig_drop\" ENABLE ALWAYS;\n";
		my @files = map { "$sharedir/safemig--$_.sql" } '0.8', "0.8--$version", '0.9', "0.9--$version";
		append_to_file($files[0], $older);
		append_to_file($files[1], $function =~ s/COMMENT ON.*//sr);
		append_to_file($files[2], $older);
		append_to_file($files[3], $update);
		is(SafemigOracle::difference($expected, updated_from('0.9')), '', 'one that brings all is seen to do so');
		like(SafemigOracle::difference($expected, updated_from('0.8')), qr/event trigger (?:"!safemig_drop"|!safemig_drop).*safemig_recovery_target/s, 'and one that does not');
		unlink @files;
	}
};

# ---- poolers, prepared transactions, DISCARD ----

# Transactions of several clients on the same sessions, as a pooler deals them out.
case 'a pooler that gives a session for a transaction' => sub {
	my $database = new_database('pooled');
	runs($database, $tables, 'tables');
	my $state = state_of($database);
	my $mark = value($database, 'SELECT safemig_mark()');
	my @pool = map { SafemigSession->new(connection_to($database)) } 1, 2;
	my $turn = 0;
	my $transaction = sub {
		my ($sql) = @_;
		my ($output, $error) = $pool[ $turn++ % 2 ]->run("BEGIN;\n$sql;\nCOMMIT");
		is($error, undef, $sql);
		return $output;
	};
	foreach my $part ('ALTER TABLE orders DROP COLUMN tail', 'UPDATE nokey SET b = b || a', 'DROP TABLE items', q(INSERT INTO orders VALUES (20, 'x')))
	{
		$transaction->("SET LOCAL safemig.label = 'deploy 7'; $part");
		$transaction->('CREATE TABLE IF NOT EXISTS other_client (a int)') if $turn == 3;
		$transaction->('SELECT count(*) FROM nokey');
		$transaction->('SELECT count(*) FROM nokey') if $turn == 5;
	}
	is(value($database, q(SELECT string_agg(DISTINCT c.tag, ', ') FROM safemig.commands c JOIN safemig.migrations m ON m.id = c.migration WHERE m.label = 'deploy 7')),
		'ALTER TABLE, DATA, DROP TABLE', 'what one client said is his');
	is(value($database, q(SELECT count(*) FROM safemig.migrations m JOIN safemig.commands c ON m.id = c.migration WHERE c.query ~ 'other_client' AND m.label IS NULL)), '1', 'and what another did is not');
	runs($database, "SELECT safemig_rollback_to($mark)", 'taken back');
	same_state($database, $state, 'the state before');

	# a rollback is one transaction as well
	$transaction->(q(SET LOCAL safemig.label = 'deploy 8'; DROP TABLE items));
	$transaction->(q(SELECT safemig_rollback('deploy 8')));
	$_->close foreach @pool;
	same_state($database, $state, 'the state before');
};

case 'pgbouncer' => sub {
	my $pgbouncer = program('pgbouncer');
	plan skip_all => 'pgbouncer is not installed' unless $pgbouncer;
	my $database = new_database('bouncer');
	runs($database, $tables, 'tables');
	my $state = state_of($database);
	my $user = getpwuid $>;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	append_to_file("$tempdir/pgbouncer.ini", <<"INI");
[databases]
* = host=@{[ $server->host ]} port=@{[ $server->port ]} user=$user
[pgbouncer]
listen_addr =
unix_socket_dir = $tempdir
listen_port = $port
auth_type = any
pool_mode = transaction
default_pool_size = 2
logfile = $tempdir/pgbouncer.log
ignore_startup_parameters = extra_float_digits,options
INI
	my $pid = fork;
	if ($pid == 0)
	{
		open STDOUT, '>', "$tempdir/pgbouncer.out";
		open STDERR, '>&', \*STDOUT;
		exec $pgbouncer, "$tempdir/pgbouncer.ini";
		exit 127;
	}
	my $through = { %{ connection_to($database) }, host => $tempdir, port => $port };
	foreach (1 .. 50)
	{
		last if -S "$tempdir/.s.PGSQL.$port";
		select undef, undef, undef, 0.1;
	}
	my @clients = map { SafemigSession->new($through) } 1 .. 3;
	foreach my $n (1 .. 6)
	{
		foreach my $client (0 .. 2)
		{
			my (undef, $error) = $clients[$client]->run("BEGIN; SET LOCAL safemig.label = 'client $client'; ALTER TABLE orders ADD c${client}_$n int DEFAULT $n; COMMIT");
			is($error, undef, "client $client, transaction $n");
		}
	}
	is(value($database, q(SELECT string_agg(DISTINCT m.label, ', ' ORDER BY m.label) FROM safemig.migrations m WHERE label IS NOT NULL)), 'client 0, client 1, client 2', 'the labels are theirs');
	is(value($database, q(SELECT count(*) FROM safemig.migrations m JOIN safemig.commands c ON c.migration = m.id WHERE label IS NOT NULL AND c.query !~ ('ADD c' || right(label, 1) || '_'))), 0, 'and what they stand for');
	my (undef, $error) = $clients[0]->run('SELECT safemig_rollback_last(n => 18)');
	is($error, undef, 'taken back through it');
	$_->close foreach @clients;
	kill INT => $pid;
	waitpid $pid, 0;
	same_state($database, $state, 'the state before');
};

case 'prepared transactions' => sub {
	my $database = new_database('prepared');
	runs($database, $tables, 'tables');
	my $state = state_of($database);
	my $migration = q(SET LOCAL safemig.label = 'prepared'; ALTER TABLE orders DROP COLUMN tail; UPDATE orders SET what = 'y' WHERE id < 4; DROP TABLE items; ALTER TABLE nokey ALTER b TYPE char(1) USING left(b, 1));
	runs($database, "BEGIN; $migration; PREPARE TRANSACTION 'p'", 'a migration is prepared');
	is(value($database, q(SELECT count(*) FROM safemig.migrations WHERE label = 'prepared')), 0, 'nothing of it is seen');
	runs($database, q(ROLLBACK PREPARED 'p'), 'and given up');
	same_state($database, $state, 'the state is what it was');
	is(value($database, q(SELECT count(*) FROM pg_namespace WHERE nspname ~ 'safemig_vault')), 0, 'and the vault is empty');

	runs($database, "BEGIN; $migration; PREPARE TRANSACTION 'p'", 'prepared again');
	runs($database, q(COMMIT PREPARED 'p'), 'and committed by another session');
	my $after = state_of($database);
	is(value($database, q(SELECT state, restorable FROM safemig.migrations WHERE label = 'prepared')), 'applied|t', 'it is recorded');
	runs($database, q(BEGIN; SELECT safemig_rollback('prepared'); PREPARE TRANSACTION 'r'), 'its rollback is prepared');
	fails($database, q(SET safemig.lock_timeout = 10; SELECT safemig_rollback('prepared')), qr/ERROR:  SM009: /, 'nobody comes between');
	like(value($database, q(SELECT severity, problem, hint FROM safemig_check((SELECT id FROM safemig.migrations WHERE label = 'prepared')))), qr/^error\|.*prepared transaction/m, 'the check names it');
	runs($database, q(ROLLBACK PREPARED 'r'), 'given up');
	same_state($database, $after, 'the migration stands');
	runs($database, q(BEGIN; SELECT safemig_rollback('prepared'); PREPARE TRANSACTION 'r'), 'prepared again');
	runs($database, q(COMMIT PREPARED 'r'), 'and committed');
	same_state($database, $state, 'the state before');
	runs($database, q(BEGIN; SELECT safemig_redo(id) FROM safemig.migrations WHERE label = 'prepared' AND kind = 'migration'; PREPARE TRANSACTION 'r'; COMMIT PREPARED 'r'), 'the redo likewise');
	same_state($database, $after, 'the state after');

	# what has to be asked on the same session goes on
	my $session = SafemigSession->new(connection_to($database));
	my ($output, $error) = $session->run(q(SELECT safemig_begin('explicit'); BEGIN; CREATE TABLE e (a int); PREPARE TRANSACTION 'e'));
	if (defined $error)
	{
		like($error, qr/^55000: cannot PREPARE/, 'an explicit migration cannot be prepared');
		$session->run('ROLLBACK');
	}
	else
	{
		is(($session->run(q(COMMIT PREPARED 'e')))[1], undef, 'a part of an explicit migration is prepared');
	}
	is(($session->run(q(CREATE TABLE e2 (a int); SELECT safemig_end())))[1], undef, 'it goes on to its end');
	is(($session->run(q(SELECT safemig_rollback('explicit'))))[1], undef, 'and back');
	$session->close;
	same_state($database, $after, 'the state before it');
};

case 'DISCARD ALL' => sub {
	my $database = new_database('discard');
	runs($database, $tables, 'tables');
	my $state = state_of($database);
	my $session = SafemigSession->new(connection_to($database));
	my $run = sub { my ($sql) = @_; my ($output, $error) = $session->run($sql); is($error, undef, $sql); return $output };
	$run->(q(SELECT safemig_begin('explicit')));
	$run->('ALTER TABLE orders DROP COLUMN tail');
	$run->('DISCARD ALL');
	$run->('CREATE TABLE after (a int)');
	is(value($database, q(SELECT state FROM safemig.migrations WHERE label = 'explicit')), 'abandoned', 'the open migration is given up');
	is(value($database, q(SELECT count(*) FROM safemig.commands c JOIN safemig.migrations m ON m.id = c.migration WHERE m.label = 'explicit')), 1, 'what comes later is not its own');
	$run->(q(SET safemig.label = 'one'));
	$run->('DROP TABLE items');
	$run->('DISCARD ALL');
	$run->('DROP TABLE nokey');
	is(value($database, q(SELECT string_agg(coalesce(label, '-'), ' ' ORDER BY id) FROM safemig.migrations WHERE kind = 'migration' AND id > 3)), 'explicit - one -', 'nor that of a label');
	$run->('DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES');
	$run->(q(SELECT safemig_rollback_last(3)));
	$run->(q(SELECT safemig_rollback('explicit')));
	same_state($database, $state, 'all is taken back');
	$run->('DISCARD ALL');
	$run->('SELECT safemig_redo(rolled_back_by) FROM safemig.migrations WHERE label = \'explicit\' AND kind = \'migration\'');
	$run->(q(SELECT safemig_rollback('explicit')));
	$session->close;
	same_state($database, $state, 'and once more');
};

# ---- tables that are written anew, and what is stored in them ----

my @kinds = (
	[ 'dropped table' => 'DROP TABLE t1' ],
	[ 'dropped columns' => 'ALTER TABLE t2 DROP COLUMN b, DROP COLUMN wide' ],
	[ 'converted column' => 'DROP INDEX t3_expr; ALTER TABLE t3 ALTER b TYPE int USING length(b)' ],
	[ 'added column' => 'ALTER TABLE t9 ADD extra int DEFAULT 7, ADD other text; UPDATE t9 SET other = b' ],
	[ 'truncated' => 'TRUNCATE t4' ],
	[ 'written' => q(BEGIN; UPDATE t5 SET b = b || '!', id = id + 1000 WHERE id % 3 = 0; DELETE FROM t5 WHERE id % 5 = 0; INSERT INTO t5 SELECT i, 'new', repeat('n', 3000) FROM generate_series(5000, 5100) i; COMMIT) ],
	[ 'detached' => 'ALTER TABLE p DETACH PARTITION p1; ALTER TABLE p1 ADD own int' ],
	[ 'attached' => 'ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (100) TO (200)' ],
	[ 'indexes' => 'DROP INDEX t6_b, t6_expr; ALTER TABLE t6 DROP CONSTRAINT t6_pkey' ],
	[ 'partition tree' => 'DROP TABLE q' ],
	[ 'column of a tree' => 'ALTER TABLE q2 DROP COLUMN v' ],
	[ 'attribute' => 'ALTER TYPE pair DROP ATTRIBUTE b' ],
	[ 'enum' => q(ALTER TYPE mood ADD VALUE 'new') ],
	[ 'materialized view' => 'DROP MATERIALIZED VIEW mv' ],
	[ 'schema' => 'DROP SCHEMA s CASCADE' ],
);
my $stored = join '', (map { <<"SQL" } 't1', 't2', 't3', 't4', 't5', 't6', 't9'), <<'SQL';
CREATE TABLE $_ (id int PRIMARY KEY, b text, wide text);
CREATE INDEX ${_}_b ON $_ (b);
CREATE INDEX ${_}_expr ON $_ (lower(b)) WHERE id > 3;
INSERT INTO $_ SELECT i, 'b' || i, repeat('w' || i, 1000) FROM generate_series(1, 100) i;
SQL
CREATE TABLE p (k int, v text) PARTITION BY RANGE (k);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);
CREATE TABLE p2 (k int, v text);
INSERT INTO p SELECT i, 'v' FROM generate_series(1, 99) i;
INSERT INTO p2 SELECT i, 'v' FROM generate_series(100, 199) i;
CREATE INDEX ON p (v);
CREATE TABLE q (k int PRIMARY KEY, v text) PARTITION BY RANGE (k);
CREATE TABLE q_1 PARTITION OF q FOR VALUES FROM (0) TO (100);
INSERT INTO q SELECT i, 'v' FROM generate_series(1, 99) i;
CREATE TABLE q2 (k int PRIMARY KEY, v text, w text) PARTITION BY RANGE (k);
CREATE TABLE q2_1 PARTITION OF q2 FOR VALUES FROM (0) TO (100);
INSERT INTO q2 SELECT i, 'v' || i, 'w' FROM generate_series(1, 99) i;
CREATE TYPE pair AS (a int, b text, c int);
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE t7 (id int PRIMARY KEY, p pair, m mood);
INSERT INTO t7 SELECT i, ROW(i, 'b' || i, i)::pair, 'ok' FROM generate_series(1, 50) i;
CREATE MATERIALIZED VIEW mv AS SELECT m, count(*) FROM t7 GROUP BY m;
CREATE UNIQUE INDEX ON mv (m);
CREATE SCHEMA s;
CREATE TABLE s.t8 (id serial PRIMARY KEY, r int REFERENCES t7);
INSERT INTO s.t8 (r) SELECT i FROM generate_series(1, 50) i;
SQL

sub stored_as_it_should
{
	my ($database, $what) = @_;
	# every row of pg_depend and pg_shdepend means something that is there
	is(value($database, <<'SQL'), '', "$what: nothing hangs on what is not there");
SELECT format('SELECT %L, %I, %s FROM pg_depend d WHERE %s <> 0 AND %s = %L::regclass AND NOT EXISTS (SELECT FROM %s x WHERE x.oid = d.%s)',
	side, class, oid_column, oid_column, class, c.oid::regclass, c.oid::regclass, oid_column)
FROM pg_class c, (VALUES ('dependant', 'classid', 'objid'), ('referenced', 'refclassid', 'refobjid')) AS v(side, class, oid_column)
WHERE c.oid < 16384 AND relkind = 'r' AND relnamespace = 'pg_catalog'::regnamespace
	AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'oid')
\gexec
SELECT 'owner', classid::regclass, objid FROM pg_shdepend d WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
	AND refclassid = 'pg_authid'::regclass AND NOT EXISTS (SELECT FROM pg_authid a WHERE a.oid = refobjid);
SELECT 'column', objid, objsubid FROM pg_depend WHERE classid = 'pg_class'::regclass AND objsubid > 0
	AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = objid AND attnum = objsubid AND NOT attisdropped);
SELECT 'referenced column', refobjid, refobjsubid FROM pg_depend WHERE refclassid = 'pg_class'::regclass AND refobjsubid > 0
	AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = refobjid AND attnum = refobjsubid AND NOT attisdropped);
SELECT 'marked as rewritten', oid::regclass FROM pg_class WHERE relrewrite <> 0;
SQL
	return unless value($database, q(SELECT 1 FROM pg_extension WHERE extname = 'amcheck'));
	is(value($database, <<'SQL'), '', "$what: the tables are sound");
SELECT format('SELECT %L, * FROM verify_heapam(%L, check_toast => true)', c.oid::regclass, c.oid::regclass)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind IN ('r', 'm') AND relpersistence = 'p' AND (nspname !~ '^pg_' OR c.oid IN ('pg_attribute'::regclass, 'pg_class'::regclass, 'pg_type'::regclass))
\gexec
SQL
	is(value($database, <<'SQL'), '', "$what: the indexes agree with them");
SELECT format('SELECT %L WHERE bt_index_check(%L::regclass, true) IS NULL', c.oid::regclass, c.oid::regclass)
FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = relam JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE amname = 'btree' AND relkind = 'i' AND indisvalid AND c.relpersistence = 'p' AND (nspname !~ '^pg_' OR indrelid IN ('pg_attribute'::regclass, 'pg_class'::regclass, 'pg_depend'::regclass))
\gexec
SQL
	return;
}

sub checked_by_programs
{
	my ($database, $what) = @_;
	my $program = program('pg_amcheck');
  SKIP:
	{
		skip 'pg_amcheck is not installed', 1 unless $program;
		my ($stdout, $stderr) = run_command([ $program, @connection, '--heapallindexed', '--no-strict-names', '-j', '2', $database ]);
		is("$stdout$stderr", '', "$what: pg_amcheck finds nothing");
	}
	$program = program('pg_catcheck');
  SKIP:
	{
		skip 'pg_catcheck is not installed', 1 unless $program;
		my ($stdout, $stderr) = run_command([ $program, @connection, '--select-from-relations', $database ]);
		like("$stdout$stderr", qr/done \(0 inconsistencies, 0 warnings, 0 errors\)/, "$what: pg_catcheck finds nothing");
	}
	return;
}

case 'what is stored after every kind of rollback' => sub {
	my $database = new_database('stored');
	runs($database, $stored, 'tables');
	my @states = (state_of($database));
	foreach my $kind (@kinds)
	{
		runs($database, "SET safemig.notices = off; SET safemig.label = '$kind->[0]'; $kind->[1]", $kind->[0], pgoptions => '-c client_min_messages=warning -c session_preload_libraries=safemig');
		push @states, $kind == $kinds[-1] ? state_of($database) : undef;
	}
	stored_as_it_should($database, 'with all that is kept');
	foreach my $kind (reverse @kinds)
	{
		runs($database, "SELECT safemig_rollback('$kind->[0]')", "$kind->[0]: back");
	}
	stored_as_it_should($database, 'all back');
	same_state($database, $states[0], 'the state before');
	checked_by_programs($database, 'after all');

	# columns that were revived are stored as any: rewritten, they hold the same
	my @rewrites = ([ 'VACUUM FULL' => sub { runs($database, 'VACUUM FULL', 'VACUUM FULL') } ],
		[ 'CLUSTER' => sub { runs($database, 'CLUSTER t2 USING t2_pkey; CLUSTER t3 USING t3_pkey; CLUSTER t5 USING t5_pkey; ALTER TABLE t2 SET WITHOUT CLUSTER; ALTER TABLE t3 SET WITHOUT CLUSTER; ALTER TABLE t5 SET WITHOUT CLUSTER;', 'CLUSTER',
				pgoptions => '-c safemig.enabled=off') } ],
		[ 'pg_repack' => sub {
				my $repack = program('pg_repack');
				my $there = value($database, q(SELECT 1 FROM pg_available_extensions WHERE name = 'pg_repack'));
				return diag('pg_repack is not installed') unless $repack && $there;
				runs($database, 'SET safemig.enabled = off; CREATE EXTENSION pg_repack', 'pg_repack');
				command_ok([ $repack, @connection, '--no-order', '-t', 't2', '-t', 't3', '-t', 't5', '-t', 't7', $database ], 'repacks');
				is(value($database, q(SELECT count(*) FROM safemig.commands WHERE query ~ 'repack' OR tag ~ 'TRIGGER')), 0, 'which is no migration, and keeps nothing');
				runs($database, 'SET safemig.enabled = off; DROP EXTENSION pg_repack', 'and goes');
		} ]);
	foreach my $rewrite (@rewrites)
	{
		$rewrite->[1]->();
		same_state($database, $states[0], "$rewrite->[0]: the same rows");
	}
	stored_as_it_should($database, 'rewritten');

	# redone, rewritten while things are away, and back once more
	foreach my $kind (@kinds)
	{
		runs($database, "SELECT safemig_redo(id) FROM safemig.migrations WHERE label = '$kind->[0]' AND kind = 'migration'", "$kind->[0]: redone");
	}
	same_state($database, $states[-1], 'the state after');
	$rewrites[0][1]->();
	stored_as_it_should($database, 'rewritten meanwhile');
	foreach my $kind (reverse @kinds)
	{
		runs($database, "SELECT safemig_rollback('$kind->[0]')", "$kind->[0]: back again");
	}
	same_state($database, $states[0], 'the state before, once more');
	stored_as_it_should($database, 'at last');
	checked_by_programs($database, 'at last');
};

done_testing();
