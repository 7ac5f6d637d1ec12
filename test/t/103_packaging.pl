
# Copyright (c) 2026, the safemig authors

# Versions: one of them everywhere, and each released one leads to the present
# one by ALTER EXTENSION UPDATE with the same catalogs as a new installation.
#
# What is compared is what pg_dump says of the members of the extension when it
# prepares for pg_upgrade, since it leaves them out otherwise.  Versions come
# from files of the installation, which only "make check" has for itself.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use File::Basename qw(basename);
use File::Copy qw(copy);
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use SafemigOracle ();
use SafemigTest;
use Test::More;

sub content
{
	my ($file) = @_;
	open my $handle, '<', $file or die "$file: $!";
	local $/ = undef;
	return scalar <$handle>;
}

sub write_file
{
	my ($file, @text) = @_;
	open my $handle, '>', $file or die "$file: $!";
	print $handle @text;
	close $handle;
	return $file;
}

# ---- one version ----

my ($version) = content('safemig.control') =~ /^default_version = '(.+)'$/m;
my $meta = decode_json(content('META.json'));
ok($meta->{$_}, "META.json has $_")
  foreach qw(name version abstract maintainer license provides meta-spec);
is($meta->{name}, 'safemig', 'its name');
is($meta->{version}, "$version.0", 'its version is that of the control file');
is($meta->{provides}{safemig}{version}, "$version.0", 'and so is that of the extension');
ok(-e $meta->{provides}{safemig}{$_}, "its $_ is there") foreach qw(file docfile);
like(content('debian/changelog'), qr/\Asafemig \(\Q$version\E\.0-\d+\)/, 'Debian has it too');
like(content('CHANGELOG.md'), qr/^## \Q$version\E\b/m, 'and so has the changelog');

# ---- each way leads to the same ----

my $extensions = `'@{[ $ENV{PG_CONFIG} // 'pg_config' ]}' --sharedir`;
chomp $extensions;
$extensions .= '/extension';
my @installed;

# Makes a version, or a way to one, known to the server.
sub install
{
	my ($file, $as) = @_;
	$as //= basename($file);
	return if -e "$extensions/$as";
	copy($file, "$extensions/$as") or die "$as: $!";
	push @installed, "$extensions/$as";
	return;
}

END { unlink @installed }

# The members of the extension as text, without OIDs, in the order of names.
sub members
{
	my ($database) = @_;
	my ($out, $err) = run_command([ 'pg_dump', '-h', server()->host, '-p', server()->port, '--binary-upgrade',
			'--exclude-table-data=safemig.incarnation', $database ]);
	die "pg_dump: $err" if $err =~ /error/;
	$out =~ s/^--\n(?=-- (?:Name|Data for Name):)/\0/mg;
	my @parts = grep { /^-- (?:Data for )?Name/ } split /\0/, $out;
	foreach (@parts)
	{
		s/^-- For binary upgrade, (?!make sure|handle extension|set typ).*\n(?:SELECT pg_catalog\.binary_upgrade_.*\n)+//mg;
		s/^SELECT pg_catalog\.binary_upgrade_(?:set|create).*\n(?:.*,\n)*//mg;
		s/^SET relfrozenxid = .*\n//mg;
		s/^\\(?:un)?restrict .*\n//mg;
		s/(?<![\w.])\d{5,}(?![\w.])/OID/g;
	}
	my $config = value($database, "SELECT c::regclass, w FROM pg_extension, unnest(extconfig, extcondition) AS u(c, w) WHERE extname = 'safemig' ORDER BY 1");
	return join "--\n", $config, sort @parts;
}

sub by_update
{
	my ($name, $from, $to) = @_;
	my $database = new_database($name, 'template0');
	must($database, "CREATE EXTENSION safemig VERSION '$from'; ALTER EXTENSION safemig UPDATE TO '$to'");
	return members($database);
}

sub anew
{
	my ($name, $what) = @_;
	my $database = new_database($name, 'template0');
	must($database, "CREATE EXTENSION safemig VERSION '$what'");
	return members($database);
}

my @released = map { /safemig--(.+)\.sql$/ } glob 'test/released/safemig--*.sql';

SKIP:
{
	skip 'the installation is not for this test alone', 6 + @released
	  unless $ENV{SAFEMIG_CHECK} && -w $extensions;
	start_server('packaging');
	my $fresh = anew('fresh', $version);
	cmp_ok(scalar(() = $fresh =~ /^CREATE (?:FUNCTION|TABLE|VIEW)/mg), '>', 100, 'the members are looked at');
	like($fresh, qr/^COMMENT ON FUNCTION pg_catalog\.safemig_rollback/m, 'with comments');
	my $twice = anew('twice', $version);
	ok($twice eq $fresh, 'two new installations are equal')
	  or diag(SafemigOracle::difference($fresh, $twice));

	foreach my $base (@released)
	{
		install("test/released/safemig--$base.sql");
		my $updated = by_update("from_$base", $base, $version);
		ok($updated eq $fresh, "from $base to $version")
		  or diag(SafemigOracle::difference($fresh, $updated));
	}

	# That the comparison can tell, on versions that are nobody's: the present
	# one with a function more.
	my $more = "CREATE FUNCTION safemig.more(i int) RETURNS int LANGUAGE sql AS 'SELECT i';\n"
	  . "COMMENT ON FUNCTION safemig.more(int) IS 'more';\n"
	  . "REVOKE ALL ON FUNCTION safemig.more(int) FROM PUBLIC;\n";
	my $script = content("$extensions/safemig--$version.sql");
	my $tmp = PostgreSQL::Test::Utils::tempdir();
	install(write_file("$tmp/a", $script . $more), 'safemig--test.sql');
	install(write_file("$tmp/b", $more), "safemig--$version--test.sql");
	my $expected = anew('more', 'test');
	ok($expected ne $fresh, 'a function more is seen');
	my $updated = by_update('to_more', $version, 'test');
	ok($updated eq $expected, 'an update that is right leads to the same')
	  or diag(SafemigOracle::difference($expected, $updated));
	unlink pop @installed;
	install(write_file("$tmp/c", $more =~ s/^COMMENT.*\n//mr), "safemig--$version--test.sql");
	ok(by_update('to_less', $version, 'test') ne $expected, 'one that forgets a comment does not');
}

done_testing();
