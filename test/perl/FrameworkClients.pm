
# Copyright (c) 2026, the safemig authors

=pod

=head1 NAME

FrameworkClients - migration frameworks, driven as their users do

=head1 SYNOPSIS

  prove_client($client, node_modules => DIR) foreach clients();

=head1 DESCRIPTION

Three migrations go up, one by one, with rows of an application in between.
safemig takes the third back, then all: each time the dump is that of before,
and the framework shows them as pending.  Then the framework runs them again,
all at once, and the third is taken back once more.  At last a fourth one fails
in the middle.

What is different from one framework to another stands in test/frameworks/*.pl,
a hash for each:

  name        as in safemig.frameworks
  client      what is run, for the table
  needs       command whose success says that it is there
  version     command that prints the version
  history     tables that the framework makes for itself, as pg_dump takes them
  logs        those of them in which it only ever writes more
  schemas     schemas that it makes for itself
  setup       sub(run): files that do not change
  write       sub(run, n): the files of migration n
  up          sub(run): the command that brings the database up to date
  pending     sub(run): the numbers of the migrations that the framework's own
              status shows as not applied
  preload     true where a migration may begin with rows, in a transaction of
              their own: only a library that is there by then sees these
  undivided   true where a run of several writes down one, the last

A run has dir, database, host, port and node_modules.

=cut

package FrameworkClients;

use strict;
use warnings;

use Cwd ();
use Exporter qw(import);
use File::Path qw(make_path);
use IPC::Run ();
use SafemigOracle ();
use SafemigTest;
use Test::More;

our @EXPORT = qw(clients prove_client write_file command_output migration_sql node_program);

my $here = Cwd::abs_path(__FILE__ =~ s{perl/[^/]*$}{frameworks}r);

# Those whose files are there; names: only these.
sub clients
{
	my (@names) = @_;
	my @all;
	foreach my $file (sort glob "$here/*.pl")
	{
		my $list = do $file;
		die "$file: " . ($@ || $!) unless ref $list;
		push @all, @$list;
	}
	return @all unless @names;
	my %wanted = map { $_ => 1 } @names;
	return grep { $wanted{ $_->{name} } } @all;
}

# ---- for the clients ----

# SQL of the statements of a migration; the fourth fails at its second.
sub migration_sql
{
	my ($n) = @_;
	return @{
		[
			[],
			[
				'CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL)',
				'CREATE TABLE posts (id serial PRIMARY KEY, user_id int REFERENCES users (id), body text)'
			],
			[
				'ALTER TABLE users ADD age int',
				'CREATE INDEX posts_user ON posts (user_id)',
				q(CREATE TYPE mood AS ENUM ('sad', 'ok')),
				q(ALTER TABLE posts ADD m mood DEFAULT 'ok')
			],
			[ 'UPDATE users SET age = 40 + id', 'ALTER TABLE users ALTER age TYPE bigint' ],
			[ 'ALTER TABLE users ADD broken int', 'SELECT 1 / 0' ]
		]->[$n]
	};
}

sub write_file
{
	my ($run, $name, $text) = @_;
	my $path = "$run->{dir}/$name";
	make_path($path =~ s{/[^/]*$}{}r);
	open my $file, '>', $path or die "$path: $!";
	print $file $text;
	close $file or die "$path: $!";
	return $path;
}

sub command_output
{
	my ($run, @command) = @_;
	my $output = '';
	my $directory = Cwd::getcwd();
	chdir $run->{dir} or die "$run->{dir}: $!";
	my $ok = eval { IPC::Run::run(\@command, '<', \undef, '>&', \$output, IPC::Run::timeout(120)) };
	$output .= $@ if $@;
	chdir $directory;
	return ($ok ? 1 : 0, $output);
}

# For a script that stands beside node_modules.
sub node_program
{
	my ($run, $name, $text) = @_;
	symlink $run->{node_modules}, "$run->{dir}/node_modules" unless -e "$run->{dir}/node_modules";
	return write_file($run, $name, $text);
}

# ---- the proof ----

# The state, or that without what the framework makes for itself.
sub dump_of
{
	my ($run, $without_history) = @_;
	my $client = $run->{client};
	my @always = map { "--exclude-table=$_" } @{ $client->{logs} // [] };
	my @without = (
		(map { ("--exclude-table=$_", "--exclude-table=${_}_id_seq") } @{ $client->{history} // [] }),
		(map { "--exclude-schema=$_" } @{ $client->{schemas} // [] }));
	return SafemigOracle::dump_text(connection_to($run->{database}), undef, @always, $without_history ? @without : ());
}

sub sql
{
	my ($run, $sql) = @_;
	my ($status, $out, $err) = in_database($run->{database}, $sql);
	diag("$sql\n$err") if $status;
	return $status ? undef : $out;
}

sub goes_up
{
	my ($run, $what, $fails) = @_;
	my ($ok, $output) = command_output($run, $run->{client}{up}->($run));
	ok($fails ? !$ok : $ok, $what) or diag($output);
	return;
}

sub pending_are
{
	my ($run, $expected, $what) = @_;
	my @pending = sort $run->{client}{pending}->($run);
	return is("@pending", $expected, $what);
}

# Its migrations as safemig knows them, the newest last.
sub recorded
{
	my ($run) = @_;
	return split /\n/, sql($run, <<"SQL") // '';
SELECT id || '|' || COALESCE(label, '') || '|' || COALESCE(framework, '')
FROM safemig.migrations WHERE kind = 'migration' AND state = 'applied' ORDER BY id
SQL
}

sub labels_are
{
	my ($run, $numbers, $what) = @_;
	my @labels = map { (split /\|/, $_, -1)[1] } recorded($run);
	my @frameworks = map { (split /\|/, $_, -1)[2] } recorded($run);
	my $name = $run->{client}{name};
	my $ok = is(scalar @labels, scalar @$numbers, "$what: as many migrations as it ran") &&
	  is(scalar(grep { $_ ne $name } @frameworks), 0, "$what: all are known to be $name\'s");
	$ok &&= !grep { $_ eq '' } @labels;
	ok($ok, "$what: each has a name") or diag(join "\n", recorded($run),
		sql($run, 'SELECT seq, migration, tag, query FROM safemig.commands ORDER BY seq') // '');
	return @labels;
}

sub taken_back
{
	my ($run, $call, $expected, $without_history, $what) = @_;
	my $ok = defined sql($run, "SELECT $call");
	ok($ok, "$what: $call");
	my $now = dump_of($run, $without_history);
	my $same = ok($now eq $expected, "$what: the dump is that of before")
	  or diag(SafemigOracle::difference($expected, $now));
	return $same && $ok;
}

# Of a table for doc/frameworks.md.
sub note_result
{
	my ($run, %result) = @_;
	return unless $ENV{SAFEMIG_FRAMEWORK_TABLE};
	open my $file, '>>', $ENV{SAFEMIG_FRAMEWORK_TABLE} or die $!;
	my $transactions = sql($run, "SELECT CASE transactions WHEN 'run' THEN 'one transaction' ELSE 'a transaction for each ' || transactions END || ', row ' || row_written FROM safemig.frameworks WHERE name = '$run->{client}{name}'");
	print $file join("\t", $run->{client}{client} // $run->{client}{name}, $run->{version}, $transactions,
		map { $_ ? 'yes' : 'no' } @result{qw(recognised rolled_back status again failed)}), "\n";
	close $file or die $!;
	return;
}

my %rows_between = (
	1 => q(INSERT INTO users (name) VALUES ('a'), ('b'); INSERT INTO posts (user_id, body) VALUES (1, 'x')),
	2 => q(INSERT INTO users (name, age) VALUES ('c', 3)),
);

sub prove_client
{
	my ($client, %options) = @_;
	my $name = $client->{client} // $client->{name};
	my $run = { client => $client, %options };
	my $server = server();
	subtest $name => sub {
		my $needs = $client->{needs};
		if (ref $needs eq 'CODE' ? !$needs->($run) : !(command_output({ dir => '/' }, @$needs))[0])
		{
			plan skip_all => "$name is not installed";
		}
		$run->{dir} = "$options{place}/$client->{name}";
		make_path($run->{dir});
		$run->{host} = $server->host;
		$run->{port} = $server->port;
		$run->{user} = getpwuid $>;
		$run->{database} = new_database("fw_$client->{name}" =~ tr/-/_/r);
		local $ENV{PGHOST} = $run->{host};
		local $ENV{PGPORT} = $run->{port};
		local $ENV{PGUSER} = $run->{user};
		local $ENV{PGDATABASE} = $run->{database};
		local $ENV{HOME} = $run->{dir};
		$run->{version} = (command_output($run, ref $client->{version} eq 'CODE' ? $client->{version}->($run) : @{ $client->{version} }))[1];
		$run->{version} = $run->{version} =~ /(\d+(?:\.\d+)+[~\w]*)/ ? $1 : '';
		prove($run);
		done_testing();
	};
	return;
}

sub prove
{
	my ($run) = @_;
	my $client = $run->{client};
	my $builder = Test::More->builder;
	my %result;
	sql($run, qq(ALTER DATABASE "$run->{database}" SET session_preload_libraries = safemig)) if $client->{preload};
	my $bare = dump_of($run, 1);

	$client->{setup}->($run) if $client->{setup};
	my $before;
	foreach my $n (1 .. 3)
	{
		$before = dump_of($run);
		$client->{write}->($run, $n);
		goes_up($run, "migration $n goes up");
		sql($run, $rows_between{$n}) if $rows_between{$n};
	}
	my $after = dump_of($run, 1);
	my @labels = labels_are($run, [ 1 .. 3 ], 'three runs');
	$result{recognised} = @labels == 3 && $builder->is_passing;

	my $third = $labels[-1] // '';
	taken_back($run, "safemig_rollback(\$\$$third\$\$)", $before, 0, 'the third by its name');
	is(sql($run, q(SELECT string_agg(name || COALESCE(age::text, '-'), ',' ORDER BY id) FROM users)), 'a-,b-,c3', '... with its rows');
	pending_are($run, '3', '... and its own status shows it as pending');
	goes_up($run, '... and it runs again');
	is(dump_of($run, 1), $after, '... to the same end');
	ok(defined sql($run, "SELECT safemig_rollback(\$\$$third\$\$)"), 'rolled back once more');

	$result{rolled_back} = taken_back($run, 'safemig_rollback_to(0)', $bare, 1, 'all are rolled back');
	$result{status} = pending_are($run, '1 2 3', 'its own status shows all as pending');

	goes_up($run, 'all run again, in one run');
	my @again = labels_are($run, $client->{undivided} ? [3] : [ 1 .. 3 ], 'one run');
	is("@again", $client->{undivided} ? $third : "@labels", 'under the same names');
	$result{again} = pending_are($run, '', 'none is pending');
	ok(defined sql($run, "SELECT safemig_rollback(\$\$$third\$\$)"), 'the newest alone is rolled back');
	pending_are($run, $client->{undivided} ? '1 2 3' : '3', 'and pending');
	goes_up($run, 'and run again');

	# one that fails
	my $good = dump_of($run, 1);
	$client->{write}->($run, 4);
	goes_up($run, 'a fourth one fails', 1);
	ok(defined sql($run, "SELECT safemig_rollback_to(\$\$$third\$\$)"), 'what it left is taken back');
	$result{failed} = is(dump_of($run, 1), $good, 'to the state before it');
	note_result($run, %result);
	return;
}

1;
