
# Copyright (c) 2026, the safemig authors

# Migration frameworks themselves, as far as they are installed: what they
# have run is rolled back, and they run it again.  "make frameworks" has all.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use FrameworkClients;
use PostgreSQL::Test::Utils;
use SafemigTest;
use Test::More;

if (bare())
{
	plan skip_all => 'says nothing without safemig';
}

# Java knows no Unix sockets
start_server('clients', conf => "listen_addresses = '127.0.0.1'\ndatestyle = ISO");
my $place = PostgreSQL::Test::Utils::tempdir();
prove_client($_, place => $place, node_modules => $ENV{SAFEMIG_NODE_MODULES})
  foreach clients(grep { $_ ne 'all' } split ' ', $ENV{SAFEMIG_FRAMEWORKS} // 'alembic');
done_testing();
