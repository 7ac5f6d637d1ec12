
# Copyright (c) 2026, the safemig authors

# Locks of every form of every command (test/forms/forms.sql), and of commands on
# trees with keys between them (test/forms/trees.sql).  What safemig_assess
# states is what is taken, and with safemig nothing is taken that the command
# does not take without it.  pg_regress would need every form to be written down
# again.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigSession ();
use SafemigTest;
use Test::More;
use Time::HiRes ();

if (bare())
{
	plan skip_all => 'says nothing without safemig';
}

my $folder = "$FindBin::RealBin/../forms";
my @modes = map { "${_}Lock" } qw(AccessShare RowShare RowExclusive ShareUpdateExclusive Share
  ShareRowExclusive Exclusive AccessExclusive);

my $databases = 0;
my $version;

start_server('locks', conf => "wal_level = logical\nallow_in_place_tablespaces = on\n");
($version) = value('postgres', 'SHOW server_version') =~ /^(\d+)/;
assessed(read_file("$folder/setup.sql"), 500, forms("$folder/forms.sql"));
assessed(setup_of("$folder/trees.sql"), 150, forms("$folder/trees.sql"));
nothing_more(read_file("$folder/setup.sql"), 150, forms("$folder/forms.sql"));
nothing_more(setup_of("$folder/trees.sql"), 50, forms("$folder/trees.sql"));
parents_first(setup_of("$folder/trees.sql"), 50, forms("$folder/trees.sql"));
done_testing();

# What it makes of other extensions may not be there: these forms fail, and say
# nothing.
sub database_with
{
	my ($setup) = @_;
	my $database = new_database('locks_' . ++$databases);
	in_database($database, "SET safemig.enabled = off; SET client_min_messages = error;\n\\set ON_ERROR_STOP off\n$setup\nANALYZE;");
	return $database;
}

sub assessed
{
	my ($setup, $least, @forms) = @_;
	my $sql = "SET client_min_messages = error;\n\\set ON_ERROR_STOP off\n";
	foreach my $n (0 .. $#forms)
	{
		$sql .= "SELECT $n, statement, object, lock_mode, observed_lock_mode, outcome"
		  . " FROM safemig_assess(\$form\$$forms[$n]{sql}\$form\$, observe => true, hold_budget => '30s');\n";
	}
	my (undef, $answer) = in_database(database_with($setup), $sql);
	my $compared = 0;
	foreach my $line (split /\n/, $answer)
	{
		my ($n, $statement, $object, $stated, $observed, $outcome) = split /\|/, $line, -1;
		next if ($outcome // '') ne 'done';
		# what an earlier statement holds is not seen again, nor locks on schemas
		next if $observed eq '' && ($statement > 1 || $object =~ /^schema/);
		# what is above an index that gets whole is given back at once since 18
		next if $observed eq '' && $version >= 18 && $forms[$n]{sql} =~ /^ALTER INDEX \S+ ATTACH/;
		$compared++;
		is($observed, $stated, "$object: $forms[$n]{name}") if $observed ne $stated;
	}
	cmp_ok($compared, '>', $least, 'locks that are stated are those that were taken');
	return;
}

# The strongest on each relation that was there before, but what goes into the
# vault, which is locked as a table that moves is.
sub nothing_more
{
	my ($setup, $least, @forms) = @_;
	my $modes = join ', ', map { "'$_'" } @modes;
	my $sql = <<"SQL";
SET client_min_messages = error;
\\set ON_ERROR_STOP off
CREATE TEMPORARY TABLE known AS SELECT c.oid, c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm', 'v', 'f', 'i', 'I') AND n.nspname !~ '^safemig|^pg_';
SQL
	foreach my $n (0 .. $#forms)
	{
		next if $forms[$n]{sql} =~ /CONCURRENTLY|VACUUM|\\|^BEGIN|DATABASE|SUBSCRIPTION|ALTER SYSTEM/im;
		foreach my $way (qw(on off))
		{
			$sql .= "BEGIN; SET LOCAL safemig.enabled = $way;\n$forms[$n]{sql}\n"
			  . "SELECT $n, '$way', k.name, max(array_position(ARRAY[$modes], l.mode)) FROM pg_locks l JOIN known k ON k.oid = l.relation"
			  . " LEFT JOIN pg_class c ON c.oid = k.oid WHERE l.pid = pg_backend_pid() AND coalesce(c.relnamespace::regnamespace::text, '') !~ '^safemig_vault'"
			  . " GROUP BY k.name;\nROLLBACK;\n";
		}
	}
	my (undef, $answer) = in_database(database_with($setup), $sql);
	my %taken;
	foreach my $line (split /\n/, $answer)
	{
		$taken{$1}{$3}{$2} = $4 if $line =~ /^(\d+)\|(on|off)\|(.*)\|(\d)\z/;
	}
	foreach my $n (sort { $a <=> $b } keys %taken)
	{
		foreach my $relation (sort keys %{ $taken{$n} })
		{
			my ($with, $without) = map { $taken{$n}{$relation}{$_} // 0 } qw(on off);
			# reading makes nobody wait but ACCESS EXCLUSIVE
			next if $with <= $without || $with == 1;
			fail("$relation: $forms[$n]{name}");
			diag("$modes[$with - 1] with safemig, " . ($without ? $modes[$without - 1] : 'none') . ' without');
		}
	}
	cmp_ok(scalar keys %taken, '>=', $least, 'locks are those that the command takes');
	return;
}

# Whoever writes locks a parent before its children.  While somebody writes to a
# parent, a command that wants to lock the tree, its rollback and its redo must
# not hold one of the children already: that would be a deadlock.
sub parents_first
{
	my ($setup, $least, @forms) = @_;
	my $database = database_with($setup);
	my ($writer, $observer, $operator) = map { SafemigSession->new(connection_to($database),
		"SET client_min_messages = error;\nSET lock_timeout = '2s';\nSET safemig.label = 'form'") } 1 .. 3;
	my $pid = value_of($operator, 'SELECT pg_backend_pid()');
	my $early = sub { return held_too_early($writer, $observer, $operator, $pid, @_) };
	my @parents = split /\n/, value_of($writer, q(SELECT DISTINCT inhparent::regclass FROM pg_inherits i JOIN pg_class c ON c.oid = inhparent WHERE relkind IN ('r', 'p') ORDER BY 1));
	my ($compared, $undone) = (0, 0);
	foreach my $form (@forms)
	{
		next if $form->{sql} =~ /CONCURRENTLY|VACUUM|^BEGIN|DATABASE/im;
		my $mark = value_of($operator, 'SELECT coalesce(max(id), 0) FROM safemig.migrations');
		# PostgreSQL itself locks some of what goes as it comes
		my @orderly = grep { !$early->($_, "SET LOCAL safemig.enabled = off;\n$form->{sql}") } @parents;
		my @early = map { $early->($_, $form->{sql}) } @orderly;
		is("@early", '', $form->{name}) if @early;
		$compared++;
		my (undef, $error) = $operator->run($form->{sql});
		my $undo = "SELECT safemig_rollback_to($mark)";
		if (value_of($operator, 'SELECT coalesce(max(id), 0) FROM safemig.migrations') > $mark)
		{
			@early = map { $early->($_, $undo) } @parents;
			is("@early", '', "$form->{name}, taken back") if @early;
			my $rollback;
			($rollback, $error) = $operator->run($undo);
			is($error, undef, "$form->{name} is taken back") if defined $error;
			if (my ($id) = ($rollback // '') =~ /(\d+)/)
			{
				$undone++;
				@early = map { $early->($_, "SELECT safemig_redo($id)") } @parents;
				is("@early", '', "$form->{name}, done again") if @early;
			}
		}
	}
	$_->close foreach $writer, $observer, $operator;
	cmp_ok($compared, '>=', $least, 'parents are locked before their children');
	cmp_ok($undone, '>=', $least - 10, '... also by rollbacks');
	return;
}

sub value_of
{
	my ($session, $sql) = @_;
	my ($answer, $error) = $session->run($sql);
	die "$sql: $error" if defined $error;
	return $answer =~ s/\s+\z//r;
}

# "child before parent", if it is so.
sub held_too_early
{
	my ($writer, $observer, $operator, $pid, $parent, $sql) = @_;
	my (undef, $gone) = $writer->run("BEGIN; LOCK TABLE ONLY $parent IN ROW EXCLUSIVE MODE");
	if (defined $gone)
	{
		$writer->run('ROLLBACK');
		return ();
	}
	$operator->run('BEGIN');
	$operator->begin("$sql;\nSELECT 'all done'");
	my $held = '';
	foreach (1 .. 100)
	{
		my $seen = value_of($observer, <<"SQL");
WITH RECURSIVE below AS (SELECT inhrelid FROM pg_inherits WHERE inhparent = '$parent'::regclass
	UNION SELECT i.inhrelid FROM pg_inherits i JOIN below b ON i.inhparent = b.inhrelid)
SELECT a.query LIKE '%all done%' AND a.state <> 'active', EXISTS (SELECT FROM pg_locks WHERE pid = $pid AND NOT granted AND relation = '$parent'::regclass),
	(SELECT string_agg(DISTINCT l.relation::regclass::text, ',') FROM pg_locks l JOIN below ON l.relation = inhrelid
	WHERE l.pid = $pid AND l.granted AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))
FROM pg_stat_activity a WHERE pid = $pid
SQL
		my ($done, $waits, $children) = split /\|/, $seen, -1;
		$held = "$children before $parent" if $waits eq 't' && $children ne '';
		last if $waits eq 't' || $done eq 't';
		Time::HiRes::sleep(0.005);
	}
	value_of($writer, "SELECT pg_cancel_backend($pid); ROLLBACK");
	$operator->answer;
	$operator->run('ROLLBACK');
	return $held eq '' ? () : $held;
}

sub read_file
{
	my ($name) = @_;
	open my $file, '<', $name or die "$name: $!";
	local $/ = undef;
	return scalar <$file>;
}

sub setup_of { return read_file($_[0]) =~ s/^-- form: .*//msr }

sub forms
{
	my ($name) = @_;
	my @found;
	foreach my $line (split /^/, read_file($name))
	{
		if ($line =~ /^-- form:? (.*)/) { push @found, { name => $1, sql => '' } }
		elsif (@found) { $found[-1]{sql} .= $line }
	}
	return @found;
}
