
# Copyright (c) 2026, the safemig authors

=pod

=head1 NAME

SafemigTest - round trips: a migration, its rollback, and the proof

=head1 SYNOPSIS

  use SafemigTest;

  start_server('columns');
  round_trips(
      {
          name => 'drop a column',
          setup => 'CREATE TABLE t (a int, b text)',
          migration => 'ALTER TABLE t DROP COLUMN b',
      });
  done_testing();

=head1 DESCRIPTION

A case is a hash:

  name        what it is about
  setup       the state before, made by earlier migrations
  migration   the migration, run under safemig.label = 'case'; or a list of
              strings, each run in a session of its own: one migration each
  after       what the application writes after the migration
  same        the same writes as the application of the old schema would do
              them; the state after the rollback must be the state of a twin
              database that has seen setup and this, and no migration
  roles       roles to make before, and to drop afterwards
  encoding    of the database, if not UTF8
  pgoptions   settings of the sessions that run migration and rollback
  rollback    how to roll back; default SELECT safemig_rollback('case'),
              for a list safemig_rollback_to what was before it
  refused     pattern that the error of the rollback must match: then nothing
              may have changed
  says        pattern that the messages of the rollback must match
  silent      pattern that they must not match
  probe       a query whose result the rollback must leave as it was just before;
              the state is then not compared, only the dump restored
  quiet       the migration changes nothing that can be seen
  once        no redo
  uncallable  an index calls what its table's owner may not call, nor amcheck
  reworded    PostgreSQL itself words expressions otherwise when it restores
  unrestorable  nor can the dump of the state before be restored

What is proved for each: the migration changes something, the rollback
succeeds, the state is the old one (pg_dump and catalogs, see SafemigOracle),
a dump taken then can be restored and is the same again, indexes agree with
their tables, and redoing gives the state after the migration.

With SAFEMIG_BARE=1 in the environment the cases run without safemig as far
as the migration: it says whether the cases themselves are sound.  With
SAFEMIG_OWNER=alice what the setup made belongs to that role, who is no
superuser, as most tables in production do.

=cut

package SafemigTest;

use strict;
use warnings;

use Exporter qw(import);
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SafemigOracle ();
use SafemigOwner ();
use SafemigSession ();
use Test::More;

our @EXPORT = qw(start_server round_trips round_trip new_database in_database
  state_of value must bare server connection_to);

# Set it to have states tell also of roles, and of what pg_dump tells already.
our $other_catalogs = 0;

my $node;
my $case_number = 0;
my $administration;
my $observer;

sub bare { return $ENV{SAFEMIG_BARE} }

sub server { return $node }

# From here on everything happens in another server.
sub use_server
{
	$node = shift;
	$administration = $observer = undef;
	return $node;
}

# One server for a test file, with a template that has the extension, and the
# roles that most cases use.  %options: conf, extra lines of postgresql.conf;
# install_path, of another installation.
sub start_server
{
	my ($name, %options) = @_;
	$node = PostgreSQL::Test::Cluster->new($name,
		$options{install_path} ? (install_path => $options{install_path}) : ());
	$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
	$node->append_conf('postgresql.conf', <<"CONF");
autovacuum = off
jit = off
restart_after_crash = on
max_locks_per_transaction = 256
shared_buffers = 32MB
work_mem = 64kB
timezone = 'Asia/Tokyo'
datestyle = 'SQL, DMY'
@{[ $options{conf} // '' ]}
CONF
	$node->start;
	my $roles = join '', map { "CREATE ROLE $_;\n" } qw(alice bob carol);
	must('postgres', $roles);
	must('postgres', 'CREATE DATABASE safemig_template TEMPLATE template0');
	must('safemig_template', _preparation());
	return $node;
}

# amcheck, where it is installed, lets every case look into its indexes.
sub _preparation
{
	my $sql = "GRANT CREATE ON SCHEMA public TO alice, bob;\n";
	$sql .= "CREATE EXTENSION amcheck SCHEMA pg_catalog;\n"
	  if $node->safe_psql('postgres',
		q(SELECT 1 FROM pg_available_extensions WHERE name = 'amcheck'));
	$sql .= "CREATE EXTENSION safemig;\n" unless bare();
	return $sql;
}

sub connection_to
{
	my ($database) = @_;
	# asks a program, each time
	$node->{safemig_bindir} //= $node->config_data('--bindir');
	return SafemigOracle::connection(
		bindir => $node->{safemig_bindir},
		host => $node->host,
		port => $node->port,
		user => undef,
		dbname => $database);
}

# Runs SQL; returns status, output, messages.  If the server went down, waits
# until it is back, so that one crash is one failure.
sub in_database
{
	my ($database, $sql, %options) = @_;
	my @result = SafemigOracle::psql(connection_to($database), $sql, %options);
	if ($result[2] =~ /server closed the connection|in recovery mode|terminating connection because of crash/)
	{
		$result[0] ||= 1;
		diag("SERVER CRASH while running:\n$sql");
		foreach (1 .. 60)
		{
			my ($status) =
			  SafemigOracle::psql(connection_to('postgres'), 'SELECT 1');
			last unless $status;
			sleep 1;
		}
	}
	return @result;
}

sub must
{
	my ($database, $sql) = @_;
	my ($status, $out, $err) = in_database($database, $sql);
	die "in $database: $sql\n$err" if $status;
	return $out;
}

# What has to succeed, and needs no database: databases and roles come and go
# in one session, which costs a tenth of a new one.
sub administer
{
	my ($sql) = @_;
	$administration //= SafemigSession->new(connection_to('postgres'));
	my ($output, $error) = $administration->run($sql);
	return unless defined $error;
	die "$sql\n$error" unless $error =~ /^(?:crash|timeout):/;
	$administration = undef;
	must('postgres', $sql);
	return;
}

# The output of a query that has to succeed.
sub value
{
	my ($database, $sql) = @_;
	my ($status, $out, $err) = in_database($database, $sql);
	diag($err) if $status;
	return $status ? undef : $out;
}

# The catalogs, asked in a session that stays while it is the same database.
sub _catalog_of
{
	my ($database) = @_;
	_observe_no_more($observer->{database})
	  if $observer && $observer->{database} ne $database;
	$observer //= {
		database => $database,
		session => SafemigSession->new(
			{ %{ connection_to($database) }, dbname => "dbname='$database' application_name=observer" },
			'\encoding UTF8')
	};
	my ($output, $error) = $observer->{session}->run(join ";\n",
		SafemigOracle::catalog_query(),
		$other_catalogs ? SafemigOracle::other_catalogs_query() : ());
	return $output unless defined $error;
	$observer = undef;
	return "catalog query failed: $error" unless $error =~ /^(?:crash|timeout):/;
	return undef;
}

# PostgreSQL copies and drops a database only when nobody is in it.
sub _observe_no_more
{
	my ($database) = @_;
	$observer = undef if $observer && $observer->{database} eq $database;
	return;
}

# The state once every session has gone, with its temporary objects.
sub state_of
{
	my ($database, $raw) = @_;
	administer(<<"SQL");
DO \$\$ BEGIN
	FOR i IN 1 .. 1000 LOOP
		EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = '$database' AND backend_type = 'client backend' AND application_name <> 'observer');
		PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
	END LOOP;
END \$\$;
SQL
	my $catalog = _catalog_of($database);
	return SafemigOracle::oracle(connection_to($database), $raw, $catalog);
}

sub new_database
{
	my ($name, $template, $options) = @_;
	$template //= 'safemig_template';
	_observe_no_more($template);
	administer(qq(CREATE DATABASE "$name" TEMPLATE "$template" STRATEGY file_copy )
		  . ($options // ''));
	return $name;
}

sub _drop_database
{
	foreach my $database (@_)
	{
		_observe_no_more($database);
		administer(qq(DROP DATABASE IF EXISTS "$database" WITH (FORCE)));
	}
	return;
}

# A database for the case.  Other encodings cannot be copied from the
# template, so they are made ready anew.
sub _case_database
{
	my ($case) = @_;
	my $name = sprintf('case_%03d', ++$case_number);
	return new_database($name) unless $case->{encoding};
	new_database($name, 'template0',
		"ENCODING '$case->{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'");
	must($name, _preparation());
	return $name;
}

sub round_trips
{
	my (@cases) = @_;
	my $only = $ENV{SAFEMIG_CASE};
	foreach my $case (@cases)
	{
		next if defined $only && $case->{name} !~ /$only/;
		subtest $case->{name} => sub { round_trip($case) };
	}
	return;
}

sub round_trip
{
	my ($case) = @_;
	administer("CREATE ROLE $_") foreach @{ $case->{roles} // [] };
	my $database = _case_database($case);
	my @databases = ($database, "${database}_twin", "${database}_restored");
	_case_in($case, $database);
	_drop_database(@databases);
	administer("DROP ROLE IF EXISTS $_")
	  foreach @{ $case->{roles} // [] };
	return;
}

# The steps of one case, given up at the first that fails.
sub _case_in
{
	my ($case, $database) = @_;
	_succeeds($database, "SET client_min_messages = error;\n$case->{setup}",
		'setup')
	  or return;
	_give_away($database) if $ENV{SAFEMIG_OWNER};
	my $before = state_of($database);
	my $expected = _expected($case, $database, $before) // return;

	_migrate($case, $database) or return;
	!defined $case->{after}
	  or _succeeds($database, $case->{after}, 'the application writes')
	  or return;
	my $changed = state_of($database);
	ok($changed ne $before, 'the migration changes something')
	  unless $case->{quiet};
	return if bare();

	my $probed = $case->{probe} && value($database, $case->{probe});
	my $id = _roll_back($case, $database);
	my $dump;
	my $state = state_of($database, \$dump);
	if ($case->{refused})
	{
		_same($changed, $state, 'a refused rollback changes nothing');
		return;
	}
	return unless defined $id;
	if ($case->{probe})
	{
		is(value($database, $case->{probe}), $probed, "unchanged: $case->{probe}");
		_restores($database, $state, $dump, @$case{qw(encoding reworded)});
		return;
	}
	_same($expected, $state, q(the state is the old one)) or return;
	_indexes_agree($database) unless $case->{uncallable};
	_restores($database, $state, $dump, @$case{qw(encoding reworded)})
	  unless $case->{unrestorable} || !($ENV{SAFEMIG_WHOLE} || $case_number % 2);
	_redoes($case, $database, $id, $expected, $changed)
	  unless $case->{once};
	return;
}

sub _give_away
{
	my ($database) = @_;
	must($database, SafemigOwner::give_away_sql($ENV{SAFEMIG_OWNER}));
	return;
}

sub _succeeds
{
	my ($database, $sql, $what, %options) = @_;
	my ($status, $out, $err) = in_database($database, $sql, %options);
	ok(!$status, $what) or diag("$err");
	return !$status;
}

sub _same
{
	my ($expected, $actual, $what) = @_;
	my $difference = SafemigOracle::difference($expected, $actual);
	ok($difference eq '', $what) or diag($difference);
	return $difference eq '';
}

# The state to come back to: that before the migration, or that of a twin in
# which the application wrote while there was no migration.
sub _expected
{
	my ($case, $database, $before) = @_;
	return $before unless defined $case->{same};
	my $twin = new_database("${database}_twin", $database,
		$case->{encoding} ? "ENCODING '$case->{encoding}'" : '');
	_succeeds($twin, $case->{same}, 'the same writes without migration')
	  or return;
	return state_of($twin);
}

sub _migrate
{
	my ($case, $database) = @_;
	$case->{mark} = value($database, 'SELECT coalesce(safemig_mark(), 0)')
	  if ref $case->{migration} && !bare();
	my @parts =
	  ref $case->{migration} ? @{ $case->{migration} } : $case->{migration};
	my $label = bare() ? '' : "SET safemig.label = 'case';\n";
	foreach my $part (@parts)
	{
		_succeeds($database,
			"SET client_min_messages = warning;\n$label$part",
			'the migration', pgoptions => $case->{pgoptions})
		  or return 0;
	}
	return 1;
}

# Sessions of one label are migrations of their own.
sub _rollback_call
{
	my ($case) = @_;
	return $case->{rollback} if defined $case->{rollback};
	return "SELECT safemig_rollback_to($case->{mark})" if ref $case->{migration};
	return q(SELECT safemig_rollback('case'));
}

# Returns the id of the rollback, or nothing if it was refused.
sub _roll_back
{
	my ($case, $database) = @_;
	my $sql = "\\set VERBOSITY verbose\n" . _rollback_call($case);
	my ($status, $out, $err) =
	  in_database($database, $sql, pgoptions => $case->{pgoptions});
	if ($case->{refused})
	{
		ok($status, 'the rollback is refused') or return;
		like($err, $case->{refused}, 'for the right reason');
		return;
	}
	ok(!$status, 'the rollback') or do
	{
		diag($err);
		diag(_recorded($database));
		return;
	};
	like($err, $case->{says}, 'the rollback says it') if $case->{says};
	unlike($err, $case->{silent}, 'the rollback is silent about it')
	  if $case->{silent};
	return ($out =~ /(\d+)\s*$/) ? $1 : undef;
}

# What the history has of the case, for the eyes of whoever reads a failure.
sub _recorded
{
	my ($database) = @_;
	my ($status, $out, $err) = in_database($database, <<'SQL');
SELECT format('recorded: %s%s%s', tag, ' IRREVERSIBLE: ' || irreversible,
	(SELECT string_agg(E'\n  ' || reverse[i + 6], '' ORDER BY i) FROM generate_series(array_lower(reverse, 1), array_upper(reverse, 1), 7) i))
FROM safemig.command_log c JOIN safemig.migration_log m ON m.id = c.migration
WHERE m.label = 'case' ORDER BY seq
SQL
	return $status ? $err : substr($out, 0, 3000);
}

sub _indexes_agree
{
	my ($database) = @_;
	my ($status, $out, $err) = in_database($database, <<'SQL');
SELECT format('SELECT bt_index_check(%L::regclass, true)', c.oid::regclass)
FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = relam
WHERE amname = 'btree' AND relkind = 'i' AND indisvalid AND relpersistence = 'p'
  AND c.relnamespace <> 'pg_catalog'::regnamespace
  AND EXISTS (SELECT FROM pg_extension WHERE extname = 'amcheck')
\gexec
SQL
	ok(!$status, 'indexes agree with their tables') or diag($err);
	return;
}

# The dump afterwards can be restored.  Where it is line by line the dump that
# was taken before, this says nothing more about the rollback, only that the
# case is sound: it is done for half of those.
sub _restores
{
	my ($database, $state, $dump, $encoding, $reworded) = @_;
	my $copy = new_database("${database}_restored", 'template0',
		"ENCODING '"
		  . ($encoding // 'UTF8')
		  . "' LC_COLLATE 'C' LC_CTYPE 'C'");
	my $original = SafemigOracle::dump_in($state);
	_succeeds($copy, $dump, 'the dump is restored') or return;
	return if $reworded;
	_same($original, SafemigOracle::dump_text(connection_to($copy)),
		'the restored database dumps the same');
	return;
}

# Redo, and then undo the redone once more.
sub _redoes
{
	my ($case, $database, $id, $expected, $changed) = @_;
	_succeeds($database, "SELECT safemig_redo($id)", 'redo',
		pgoptions => $case->{pgoptions})
	  or return;
	_same($changed, state_of($database), 'redo gives the state after')
	  or return;
	_succeeds($database, _rollback_call($case),
		'rolled back again', pgoptions => $case->{pgoptions})
	  or return;
	_same($expected, state_of($database), 'and the state is the old one');
	return;
}

1;
