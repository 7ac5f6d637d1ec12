# Copyright (c) 2026, the safemig authors

# How long a command waited for a lock, which takes a second session, and what
# is said when a migration ends, which names it by its number.  Nothing is
# preloaded in the first database.

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

start_server('facts', conf => 'max_prepared_transactions = 5');
my $database = new_database('facts');
must($database, <<'SQL');
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, parent int);
CREATE TABLE tree (id int) PARTITION BY RANGE (id);
CREATE TABLE leaf PARTITION OF tree FOR VALUES FROM (0) TO (10);
SQL

my $holder = SafemigSession->new(connection_to($database), 'SET safemig.enabled = off');
my $observer = SafemigSession->new(connection_to($database));
my $migrating = SafemigSession->new(connection_to($database), 'SET safemig.notices = off');

sub run_in
{
	my ($session, $sql) = @_;
	my ($output, $error) = $session->run($sql);
	die "$sql\n$error" if defined $error;
	chomp $output;
	return $output;
}

# Half a second from when it is seen to wait.
sub run_held
{
	my ($hold, $sql) = @_;
	run_in($holder, "BEGIN; $hold");
	$migrating->begin($sql);
	foreach (1 .. 600)
	{
		last if run_in($observer, 'SELECT count(*) > 0 FROM pg_locks l JOIN pg_stat_activity a USING (pid)'
			. ' WHERE NOT l.granted AND a.datname = current_database()') eq 't';
		select undef, undef, undef, 0.1;
	}
	select undef, undef, undef, 0.5;
	run_in($holder, 'COMMIT');
	my (undef, $error) = $migrating->answer;
	die "$sql\n$error" if defined $error;
	return;
}

my $newest = <<'SQL';
SELECT tag, waited_ms >= 400 AS waited, waited_ms <= ms AND own_ms <= ms - waited_ms AS part_of_it
FROM safemig.command_facts ORDER BY command DESC LIMIT 1
SQL

# name; hold, in the other session; sql; told, as $newest tells it
my @waits = (
	{
		name => 'a table that somebody reads', hold => 'SELECT FROM child',
		sql => 'ALTER TABLE child ADD note text', told => 'ALTER TABLE|t|t',
	},
	{
		name => 'a table that a foreign key refers to', hold => 'LOCK parent IN ROW EXCLUSIVE MODE',
		sql => 'ALTER TABLE child ADD FOREIGN KEY (parent) REFERENCES parent', told => 'ALTER TABLE|t|t',
	},
	{
		name => 'a partition', hold => 'SELECT FROM leaf',
		sql => 'ALTER TABLE tree ADD note text', told => 'ALTER TABLE|t|t',
	},
	{
		name => 'a table that is dropped', hold => 'SELECT FROM child',
		sql => 'DROP TABLE child', told => 'DROP TABLE|t|t',
	},
	{
		name => 'transactions that an index waits for', hold => 'INSERT INTO parent VALUES (1)',
		sql => 'CREATE INDEX CONCURRENTLY parent_again ON parent (id)', told => 'CREATE INDEX|t|t',
	},
);

foreach my $case (@waits)
{
	run_held($case->{hold}, $case->{sql});
	is(run_in($observer, $newest), $case->{told}, "waits: $case->{name}");
}

# A wait is the command's that waited, not the next one's.
run_in($migrating, 'ALTER TABLE parent ADD note text');
is(run_in($observer, 'SELECT waited_ms FROM safemig.command_facts ORDER BY command DESC LIMIT 1'), '0',
	'waits: none where nobody is in the way');
run_held('SELECT FROM parent', 'BEGIN; LOCK parent; ALTER TABLE parent ADD more text; COMMIT');
is(run_in($observer, 'SELECT waited_ms FROM safemig.command_facts ORDER BY command DESC LIMIT 1'), '0',
	'waits: none where the statement before has waited');

# ---- what is said at the end ----

sub told_by
{
	my ($sql) = @_;
	my (undef, undef, $messages) = in_database($database, "SET safemig.notices = off; SET safemig.report_at_end = on; $sql");
	$messages =~ s/psql:[^ ]* //g;
	$messages =~ s/migration \d+/migration N/g;
	$messages =~ s/safemig_rollback\(\d+\)/safemig_rollback(N)/g;
	$messages =~ s/\d+ ms/N ms/g;
	$messages =~ s/Kept: [1-9]\d* (bytes|kB)/Kept: some/g;
	return $messages;
}

my $hint = "HINT:  SELECT safemig_rollback(N);\n";
my $unknown = 'How long it may take is not known yet.';
my @ends = (
	{
		name => 'a statement', sql => 'CREATE TABLE one (id int);',
		told => "NOTICE:  migration N can be taken back: 1 step, strongest lock ACCESS EXCLUSIVE on public.one\n"
			. "DETAIL:  Kept: 0 bytes. $unknown\n$hint",
	},
	{
		name => 'a transaction, once', sql => 'BEGIN; ALTER TABLE one ADD a int; DROP TABLE one; COMMIT;',
		told => "NOTICE:  migration N can be taken back: 2 steps, strongest lock ACCESS EXCLUSIVE on public.one\n"
			. "DETAIL:  Kept: 0 bytes. $unknown\n$hint",
	},
	{
		name => 'an explicit migration, when it ends',
		sql => q{SELECT safemig_begin('e'); CREATE TABLE two (id int); INSERT INTO two VALUES (1); DROP TABLE two; SELECT safemig_end();},
		told => "NOTICE:  migration N \"e\" can be taken back: 2 steps, strongest lock ACCESS EXCLUSIVE on public.two\n"
			. "DETAIL:  Kept: some. $unknown\n$hint",
	},
	{
		name => 'one that cannot be taken back',
		sql => q{LOAD 'safemig'; SET safemig.label = 'c'; CREATE DATABASE facts_other;},
		told => "WARNING:  CREATE DATABASE is irreversible: database facts_other is changed outside of transactions\n"
			. "NOTICE:  migration N \"c\" cannot be taken back: CREATE DATABASE is irreversible: database facts_other is changed outside of transactions\n"
			. "DETAIL:  Kept: 0 bytes.\n",
	},
	{
		name => 'a script', sql => q{SELECT safemig_run('s', 'CREATE TABLE three (id int)');},
		told => "NOTICE:  migration N \"s\" can be taken back: 1 step, strongest lock ACCESS EXCLUSIVE on public.three\n"
			. "DETAIL:  Kept: 0 bytes. $unknown\n$hint",
	},
	{
		name => 'a prepared transaction',
		sql => q{BEGIN; CREATE TABLE four (id int); PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p';},
		told => "NOTICE:  migration N can be taken back: 1 step, strongest lock ACCESS EXCLUSIVE on public.four\n"
			. "DETAIL:  Kept: 0 bytes. $unknown\n$hint",
	},
	{ name => 'none, of what is rolled back', sql => 'BEGIN; CREATE TABLE five (id int); ROLLBACK;', told => '' },
	{ name => 'none, of what is temporary', sql => 'CREATE TEMP TABLE six (id int);', told => '' },
	{ name => 'none, of rows alone', sql => 'INSERT INTO parent VALUES (7);', told => '' },
	{ name => 'none, of a rollback', sql => q{SELECT safemig_rollback('s');}, told => '' },
	{
		name => 'how long, once that is known',
		sql => 'CREATE TABLE seven (id int);',
		told => "NOTICE:  migration N can be taken back: 1 step, strongest lock ACCESS EXCLUSIVE on public.seven\n"
			. "DETAIL:  Kept: 0 bytes. It may take N ms.\n$hint",
	},
	{
		name => 'none, where it is not asked for',
		sql => 'SET safemig.report_at_end = off; DROP TABLE seven;', told => '',
	},
);
foreach my $case (@ends)
{
	is(told_by($case->{sql}), $case->{told}, "the end: $case->{name}");
}

# Facts are part of the history that a dump has, those of a prepared transaction too.
is(value($database, q{SELECT cost, strongest_lock IS NULL, locked, wal_bytes > 0 FROM safemig.command_facts f
	WHERE migration = (SELECT migration FROM safemig.changes WHERE object = 'public.four')}),
	'catalog||t|0|t' =~ s/\|\|/|/r, 'a prepared transaction has its facts');

# ---- a script that is run to look at it, and held up ----

run_in($holder, 'BEGIN; SELECT FROM parent');
my $pid = run_in($holder, 'SELECT pg_backend_pid()');
my $outcome = "SELECT DISTINCT outcome FROM safemig_assess('ALTER TABLE parent ADD held int', true, '300 ms')";
is(run_in($migrating, $outcome),
	"ended: locks had been held, or waited for, for 300 ms, in its way: public.parent by process $pid",
	'assess: who is in the way of what the budget ended');
like(run_in($migrating, "SET lock_timeout = '100 ms'; $outcome; RESET lock_timeout"),
	qr/^failed: 55P03 .*, in its way: public[.]parent by process $pid$/m, 'assess: or a lock timeout');
run_in($holder, 'COMMIT');
is(run_in($migrating, $outcome), 'done', 'assess: nobody');

$_->close foreach $migrating, $holder, $observer;
done_testing();
