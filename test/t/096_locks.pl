
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
use SafemigTest;
use Test::More;

if (bare())
{
	plan skip_all => 'says nothing without safemig';
}

my $folder = "$FindBin::RealBin/../forms";
my @modes = map { "${_}Lock" } qw(AccessShare RowShare RowExclusive ShareUpdateExclusive Share
  ShareRowExclusive Exclusive AccessExclusive);

my $databases = 0;

start_server('locks', conf => "wal_level = logical\nallow_in_place_tablespaces = on\n");
assessed(read_file("$folder/setup.sql"), 500, forms("$folder/forms.sql"));
assessed(setup_of("$folder/trees.sql"), 150, forms("$folder/trees.sql"));
nothing_more(read_file("$folder/setup.sql"), 150, forms("$folder/forms.sql"));
nothing_more(setup_of("$folder/trees.sql"), 50, forms("$folder/trees.sql"));
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
