# The public face as a contract: pgTAP, test/pgtap/*.sql.
#
# pg_regress compares output; this asks the catalogs, so that a signature that
# changes is named.  Each assertion of pgTAP is reported as a test of this file.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @files = sort glob 'test/pgtap/*.sql';

my $sharedir = `pg_config --sharedir`;
chomp $sharedir;
my $missing =
    !-f "$sharedir/extension/pgtap.control"  ? 'extension pgtap'
  : system('pg_prove --version >/dev/null 2>&1') != 0 ? 'pg_prove'
  :                                            undef;

if ($missing)
{
	# "make check" installs both: there, doing without would hide a failure.
	BAIL_OUT("$missing is missing") if $ENV{SAFEMIG_CHECK};
	plan skip_all => "$missing is not installed";
}

my $node = PostgreSQL::Test::Cluster->new('pgtap');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION pgtap; CREATE EXTENSION safemig');

foreach my $file (@files)
{
	my ($stdout, $stderr);
	my $done = IPC::Run::run(
		[
			'pg_prove', '--verbose', '--nocolor',
			'--host', $node->host, '--port', $node->port,
			'--dbname', 'postgres', $file
		],
		'>', \$stdout, '2>', \$stderr);

	while ($stdout =~ /^(not )?ok \d+(?: - (.*))?$/mg)
	{
		ok(!$1, "$file: " . ($2 // ''));
	}
	ok($done, "$file: as planned")
	  or diag(join("\n", grep { /^#|ERROR|FATAL/ } split /\n/, $stdout . $stderr));
}

$node->stop;

done_testing();
