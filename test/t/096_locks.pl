
# Copyright (c) 2026, the safemig authors

# The lock that safemig_assess states for every form of every command
# (test/forms/forms.sql) is the one that is taken when it runs.  pg_regress
# would need every form to be written down again.

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
start_server('locks', conf => "wal_level = logical\nallow_in_place_tablespaces = on\n");
my $database = new_database('locks');
# what it makes of other extensions may not be there: these forms fail, and say nothing
in_database($database, "SET safemig.enabled = off; SET client_min_messages = error;\n\\set ON_ERROR_STOP off\n"
	  . read_file("$folder/setup.sql") . "\nANALYZE;");

my @forms = forms();
my $sql = "SET client_min_messages = error;\n\\set ON_ERROR_STOP off\n";
foreach my $n (0 .. $#forms)
{
	$sql .= "SELECT $n, statement, object, lock_mode, observed_lock_mode, outcome"
	  . " FROM safemig_assess(\$form\$$forms[$n]{sql}\$form\$, observe => true, hold_budget => '30s');\n";
}
my (undef, $answer) = in_database($database, $sql);
my $compared = 0;
foreach my $line (split /\n/, $answer)
{
	my ($n, $statement, $object, $stated, $observed, $outcome) = split /\|/, $line, -1;
	next if ($outcome // '') ne 'done';
	# what an earlier statement holds is not seen again
	next if $observed eq '' && $statement > 1;
	$compared++;
	is($observed, $stated, "$object: $forms[$n]{name}") if $observed ne $stated;
}
cmp_ok($compared, '>', 500, 'locks that are stated are those that were taken');
done_testing();

sub read_file
{
	my ($name) = @_;
	open my $file, '<', $name or die "$name: $!";
	local $/ = undef;
	return scalar <$file>;
}

sub forms
{
	my @found;
	foreach my $line (split /^/, read_file("$folder/forms.sql"))
	{
		if ($line =~ /^-- form:? (.*)/) { push @found, { name => $1, sql => '' } }
		elsif (@found) { $found[-1]{sql} .= $line }
	}
	return @found;
}
