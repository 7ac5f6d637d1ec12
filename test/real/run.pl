#!/usr/bin/perl

# Copyright (c) 2026, the safemig authors

=pod

=head1 NAME

run.pl - proves safemig on the migrations of a real project

=head1 SYNOPSIS

  run.pl [options] FOLDER

=head1 DESCRIPTION

Takes any folder of ordered SQL files and applies them one by one, as their
framework would, to a database with safemig.  After each: the state before and
after is taken down (see SafemigOracle), the migration is rolled back and the
state compared with the one before, then redone and compared with the one
after.  At the end the whole chain is rolled back in one call to the database
it began with.  A twin database without safemig says which files PostgreSQL
itself accepts.

Each migration ends as one of

  exact     rolled back and redone, equal each time
  nothing   it changed nothing, so there is nothing to roll back
  declared  safemig says that it is irreversible, and why; or that rows which
            it inserted stay, and they are all that differs
  refused   the rollback was refused although nothing stood in its way
  silent    the rollback claims success, or the change was not recorded, and
            the state is not the old one
  broken    PostgreSQL accepts the file, with safemig it fails
  redo      rolled back exactly, but the redo failed or differs
  failed    PostgreSQL itself does not accept the file

Exit status 0 only if there is nothing but exact, nothing, declared, failed.

=head1 OPTIONS

  --layout L     flat (*.sql), up (DIR/up.sql), suffix (*.up.sql) or prisma
                 (DIR/migration.sql); default: whichever fits
  --setup SQL    before the chain, in both databases
  --rows N       put N rows into each table after each migration, where that
                 can be done; taken out again if a migration cannot bear them
  --limit N      the first N files only
  --quick        no proof after each file, only the whole chain
  --again        apply again by running the file, instead of by safemig_redo;
                 rows are then not compared
  --database D   prefix of the databases made, default real
  --host, --port, --user, --bindir
  --out FILE     a line for each migration, tab-separated
  --diffs DIR    where to write what differs
  --keep         leave the databases in place

=cut

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use File::Path     ();
use Getopt::Long   ();
use Pod::Usage     ();
use SafemigOracle  ();
use Time::HiRes    ();

my %option = (database => 'real', user => 'postgres', rows => 0);
Getopt::Long::GetOptions(\%option, 'layout=s', 'setup=s', 'rows=i', 'limit=i',
	'quick', 'again', 'database=s', 'host=s', 'port=i', 'user=s', 'bindir=s',
	'out=s', 'diffs=s', 'keep', 'help')
  or Pod::Usage::pod2usage(2);
Pod::Usage::pod2usage(-verbose => 2) if $option{help};
my $folder = shift @ARGV // Pod::Usage::pod2usage(2);

# Without safemig and without made-up rows; without safemig, with rows; the
# one to be proved.
my ($clean, $rowed, $trial, $subject) =
  map { "$option{database}_$_" } qw(clean rowed trial subject);

my @results;
my $out = open_out();
my @files = migrations($folder);
@files = @files[ 0 .. $option{limit} - 1 ]
  if $option{limit} && $option{limit} < @files;
die "no migrations found in $folder\n" unless @files;
printf "%d migrations in %s\n", scalar @files, $folder;

prepare();
my $empty = state_of($subject);
my $mark = one_value('SELECT coalesce(safemig_mark(), 0)');
my @done;
foreach my $file (@files)
{
	run_file($file);
}
chain();
report();

# ---- the folder ----

# [name, path] of each migration, in the order of names.
sub migrations
{
	my ($dir) = @_;
	my %found = (
		up => [ glob "\Q$dir\E/*/up.sql" ],
		prisma => [ glob "\Q$dir\E/*/migration.sql" ],
		suffix => [ glob "\Q$dir\E/*.up.sql" ],
		flat => [ grep { !/[._]down\.sql$/ } glob "\Q$dir\E/*.sql" ]);
	my $layout = $option{layout}
	  // (grep { @{ $found{$_} } } qw(prisma up suffix flat))[0] // 'flat';
	die "unknown layout $layout\n" unless $found{$layout};
	return map {
		my $path = $_;
		my $name = $path =~ s{/(?:up|migration)\.sql$}{}r;
		$name =~ s{.*/}{};
		$name =~ s{(?:\.up)?\.sql$}{};
		[ $name, $path ]
	} sort @{ $found{$layout} };
}

# ---- databases ----

sub conn
{
	my ($database) = @_;
	return SafemigOracle::connection(
		(map { $_ => $option{$_} } grep { defined $option{$_} }
			  qw(host port user bindir)),
		dbname => $database);
}

sub sql
{
	my ($database, $sql, %options) = @_;
	my @result = SafemigOracle::psql(conn($database), $sql,
		timeout => 300,
		%options);
	wait_for_server() if $result[2] =~ /server closed the connection/;
	return @result;
}

# After a crash: one failure is enough.
sub wait_for_server
{
	foreach (1 .. 60)
	{
		my ($status) = SafemigOracle::psql(conn('postgres'), 'SELECT 1');
		return unless $status;
		sleep 1;
	}
	die "the server does not come back\n";
}

sub must
{
	my ($database, $sql, %options) = @_;
	my ($status, $output, $err) = sql($database, $sql, %options);
	die "in $database: $sql\n$err" if $status;
	return $output;
}

sub one_value { return must($subject, $_[0]) }

sub state_of { return SafemigOracle::oracle(conn($_[0])) }

sub create_database
{
	my ($name, $template) = @_;
	must('postgres', qq(DROP DATABASE IF EXISTS "$name" WITH (FORCE)),
		pgoptions => '-c client_min_messages=error');
	must('postgres', qq(CREATE DATABASE "$name" TEMPLATE "$template"));
	return;
}

sub prepare
{
	create_database($_, 'template0')
	  foreach $clean, ($option{rows} ? $rowed : ()), $subject;
	must($subject, 'CREATE EXTENSION safemig');
	return unless defined $option{setup};
	foreach my $database ($clean, ($option{rows} ? $rowed : ()), $subject)
	{
		must($database, $option{setup});
	}
	return;
}

# ---- one file ----

# As frameworks run it: in one transaction, unless PostgreSQL says that this
# cannot be.
sub apply
{
	my ($database, $path, $single, $label) = @_;
	my @arguments = ('-v', 'VERBOSITY=verbose', $single ? '-1' : ());
	my $options = '-c client_min_messages=warning';
	if (defined $label)
	{
		(my $quoted = $label) =~ s/([\\ ])/\\$1/g;
		$options .= " -c session_preload_libraries=safemig -c safemig.label=$quoted";
	}
	my ($status, $output, $err) = sql($database, undef,
		file => $path, arguments => \@arguments, pgoptions => $options);
	return ($status ? first_error($err) : undef, $err);
}

sub first_error
{
	my ($err) = @_;
	return 'SERVER CRASH' if $err =~ /server closed the connection/;
	return "$1: $2" if $err =~ /(?:ERROR|FATAL|PANIC):\s+([0-9A-Z]{5}): (.*)/;
	return substr($err =~ s/\s+/ /gr, 0, 200) || 'psql failed';
}

# Returns (single, error): whether the file runs in one transaction, and the
# error if it does not run at all.
sub apply_bare
{
	my ($path) = @_;
	my ($error) = apply($clean, $path, 1);
	return (1, undef) unless defined $error;
	return (1, $error)
	  unless $error =~ /25001|transaction block|55P04|unsafe use of new value/;
	($error) = apply($clean, $path, 0);
	return (0, $error);
}

sub run_file
{
	my ($file) = @_;
	my ($name, $path) = @$file;
	my ($single, $error) = apply_bare($path);
	if (defined $error)
	{
		# What it did before it failed is done in the other one too.
		apply($subject, $path, 0, "$name (failed)") unless $single;
		result($name, 'failed', $error);
		return;
	}
	rows_that_fit($path, $single) if $option{rows};

	my $before = $option{quick} ? undef : state_of($subject);
	my $start = Time::HiRes::time();
	my $messages;
	($error, $messages) = apply($subject, $path, $single, $name);
	my $ms = (Time::HiRes::time() - $start) * 1000;
	if (defined $error)
	{
		result($name, 'broken', $error);
		rebuild();
		return;
	}
	push @done, [ $name, $path, $single ];
	if ($option{quick})
	{
		result($name, 'exact', 'not proved singly');
		return;
	}
	my ($outcome, $why) = prove($name, $path, $single, $before);
	result($name, $outcome, $why, $ms);
	rebuild() if $outcome =~ /^(silent|redo)$/;
	return;
}

# Rolls back and redoes; returns the outcome and the reason.
sub prove
{
	my ($name, $path, $single, $before) = @_;
	my $after = state_of($subject);
	my $label = $name =~ s/'/''/gr;
	my $recorded = one_value("SELECT restorable, coalesce(why_not, '') FROM safemig.migrations WHERE label = '$label' AND state = 'applied' AND kind = 'migration'");
	if ($recorded eq '')
	{
		return ('nothing', '') if $after eq $before;
		return ('silent', 'changed, and nothing recorded'
			  . differs($name, 'unrecorded', $before, $after));
	}

	my ($status, $output, $err) = sql($subject, "SELECT safemig_rollback('$label')",
		arguments => [ '-v', 'VERBOSITY=verbose' ]);
	my $state = state_of($subject);
	if ($status)
	{
		my $error = first_error($err);
		$error .= detail($err);
		return ('silent', "refused ($error) but changed"
			  . differs($name, 'refused', $after, $state))
		  if $state ne $after;
		return ('refused', $error) if $error !~ /^SM004/;
		return ('refused', "said too late: $error") if $recorded =~ /^t/;
		return ('declared', $error);
	}
	my @redone = $state eq $before || rows_said_to_stay($err, $before, $state)
	  ? prove_redo($name, $path, $single, $output, $after)
	  : ('silent', differs($name, 'rollback', $before, $state));
	return @redone if $state eq $before || $redone[0] ne 'exact';
	return ('declared', $err =~ /WARNING: +(?:\w{5}: )?(.*)/);
}

# Inserted rows that safemig does not take back are no silence if it names them
# and nothing else differs.
sub rows_said_to_stay
{
	my ($err, $before, $state) = @_;
	return $err =~ /WARNING:.* stays as it is/
	  && without_rows($before) eq without_rows($state);
}

# psql's DETAIL, cut to what fits into a table.
sub detail
{
	my ($err) = @_;
	return '' unless $err =~ /DETAIL:\s+(.*)/;
	return ' | ' . substr($1, 0, 300);
}

sub prove_redo
{
	my ($name, $path, $single, $id, $after) = @_;
	if ($option{again})
	{
		my ($error) = apply($subject, $path, $single, $name);
		return ('redo', $error) if defined $error;
		my ($want, $have) =
		  map { without_rows($_) } $after, state_of($subject);
		return ('redo', differs($name, 'again', $want, $have))
		  if $want ne $have;
		return ('exact', '');
	}
	my ($status, $output, $err) = sql($subject, "SELECT safemig_redo($id)",
		arguments => [ '-v', 'VERBOSITY=verbose' ]);
	return ('redo', first_error($err) . detail($err)) if $status;
	my $state = state_of($subject);
	return ('redo', differs($name, 'redo', $after, $state))
	  if $state ne $after;
	return ('exact', '');
}

# A file run twice writes other times, identifiers and sequence positions.
sub without_rows
{
	my ($state) = @_;
	my ($inside, @lines);
	foreach (split /\n/, $state)
	{
		$inside = 0 if $_ eq '\\.';
		push @lines, $_
		  unless $inside || /^sequence \S+ last=/ || /pg_catalog\.setval/;
		$inside = 1 if /^COPY .* FROM stdin;$/;
	}
	return join("\n", @lines) . "\n";
}

sub differs
{
	my ($name, $what, $expected, $actual) = @_;
	my $difference = SafemigOracle::difference($expected, $actual, 200);
	if (defined $option{diffs})
	{
		File::Path::make_path($option{diffs});
		open my $file, '>', "$option{diffs}/$name.$what" or die $!;
		print $file $difference;
		close $file;
	}
	my ($first) = grep { /^[-+](?![-+][-+ ])/ } split /\n/, $difference;
	my $count = () = $difference =~ /^[-+](?![-+][-+ ])/mg;
	return " $what differs in $count lines: " . substr($first // '', 0, 200);
}

# The chain so far, applied anew: what comes next begins in a sound state.
sub rebuild
{
	create_database($subject, 'template0');
	must($subject, 'CREATE EXTENSION safemig');
	must($subject, $option{setup}) if defined $option{setup};
	$mark = one_value('SELECT coalesce(safemig_mark(), 0)');
	foreach my $file (@done)
	{
		my ($name, $path, $single) = @$file;
		my ($error) = apply($subject, $path, $single, $name);
		print "  rebuilding: $name: $error\n" if defined $error;
	}
	return;
}

# ---- rows ----

# A few rows for each table, made from the catalogs; a table that takes none
# is left as it is.  The same in each database.
sub insert_rows
{
	my ($database) = @_;
	local $/;
	open my $script, '<', "$FindBin::RealBin/rows.sql" or die $!;
	my $text = <$script>;
	close $script;
	sql($database, "SET safemig_test.rows = $option{rows};\n$text",
		pgoptions => '-c client_min_messages=error');
	return;
}

# Rows are put in only if the file can bear them; if it cannot bear those of
# earlier rounds, everything but what migrations wrote is taken out.
sub rows_that_fit
{
	my ($path, $single) = @_;
	create_database($trial, $rowed);
	insert_rows($trial);
	my ($error) = apply($trial, $path, $single);
	if (!defined $error)
	{
		insert_rows($_) foreach $rowed, $subject;
		($error) = apply($rowed, $path, $single);
	}
	else
	{
		($error) = apply($rowed, $path, $single);
	}
	return unless defined $error;
	create_database($rowed, $clean);
	restore_seeds();
	return;
}

# The subject before this file gets the rows that the migrations alone would
# have left.  $clean is one file further, so they come from a fresh chain.
sub restore_seeds
{
	create_database($trial, 'template0');
	must($trial, $option{setup}) if defined $option{setup};
	apply($trial, $_->[1], $_->[2]) foreach @done;
	my $truncate = <<'SQL';
SELECT format('TRUNCATE %s CASCADE', string_agg(c.oid::regclass::text, ', '))
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND nspname !~ '^(pg_|safemig|information_schema)'
HAVING count(*) > 0
\gexec
SQL
	my $replica = '-c safemig.enabled=off -c session_replication_role=replica -c client_min_messages=error';
	must($subject, $truncate, pgoptions => $replica);
	my $dump = '';
	my $conn = conn($trial);
	my @command = (
		defined $conn->{bindir} ? "$conn->{bindir}/pg_dump" : 'pg_dump',
		(map { defined $conn->{ $_->[1] } ? ($_->[0], $conn->{ $_->[1] }) : () }
			[ '-h', 'host' ], [ '-p', 'port' ], [ '-U', 'user' ]),
		'--data-only', '-d', $trial);
	IPC::Run::run(\@command, '>', \$dump) or die "pg_dump of $trial failed\n";
	must($subject, $dump, pgoptions => $replica);
	return;
}

# ---- the whole chain ----

sub chain
{
	my $all = state_of($subject);
	my ($status, $output, $err) = sql($subject, "SELECT safemig_rollback_to($mark)",
		arguments => [ '-v', 'VERBOSITY=verbose' ]);
	my $state = state_of($subject);
	if ($status)
	{
		my $error = first_error($err) . detail($err);
		print "whole chain: not rolled back in one call: $error\n";
		print "whole chain: REFUSED BUT CHANGED\n" if $state ne $all;
		chain_in_steps();
		return;
	}
	my $outcome = $state eq $empty ? 'exact' : 'silent';
	print "whole chain: rolled back in one call: $outcome"
	  . ($outcome eq 'exact' ? '' : differs('chain', 'chain', $empty, $state))
	  . "\n";
	push @results, [ 'whole chain', $outcome, '' ];
	return;
}

# As far as it goes, newest first.
sub chain_in_steps
{
	my $steps = 0;
	while (1)
	{
		my ($status, $output, $err) = sql($subject,
			'SELECT safemig_rollback_last(anyone => true)',
			arguments => [ '-v', 'VERBOSITY=verbose' ]);
		if ($status || $output eq '')
		{
			print "whole chain: $steps rolled back one by one, then: "
			  . ($status ? first_error($err) . detail($err) : 'nothing left') . "\n";
			last;
		}
		$steps++;
	}
	my $left = one_value(q(SELECT label FROM safemig.migrations WHERE state = 'applied' AND kind = 'migration' ORDER BY id DESC LIMIT 1));
	my $outcome = $left ne '' ? 'declared' : state_of($subject) eq $empty ? 'exact' : 'silent';
	$outcome = 'refused'
	  if $left ne ''
	  && !grep { $_->[0] eq $left && $_->[1] eq 'declared' } @results;
	print "whole chain: stopped at $left\n" if $left ne '';
	push @results, [ 'whole chain', $outcome, "$steps steps, $left" ];
	return;
}

# ---- output ----

sub open_out
{
	return unless defined $option{out};
	open my $file, '>', $option{out} or die "$option{out}: $!\n";
	$file->autoflush(1);
	return $file;
}

sub result
{
	my ($name, $outcome, $why, $ms) = @_;
	push @results, [ $name, $outcome, $why // '' ];
	print $out join("\t", $name, $outcome, $why // '',
		defined $ms ? sprintf('%.0f', $ms) : ''), "\n"
	  if $out;
	printf "%-8s %s %s\n", $outcome, $name, $why // ''
	  if $outcome !~ /^(exact|nothing)$/;
	return;
}

sub report
{
	my %count;
	$count{ $_->[1] }++ foreach @results;
	print "\n";
	printf "%-9s %4d\n", $_, $count{$_} // 0
	  foreach qw(exact nothing declared refused silent broken redo failed);
	if (!$option{keep})
	{
		sql('postgres', qq(DROP DATABASE IF EXISTS "$_" WITH (FORCE)),
			pgoptions => '-c client_min_messages=error')
		  foreach $clean, $rowed, $trial, $subject;
	}
	exit((grep { $count{$_} } qw(refused silent broken redo)) ? 1 : 0);
}
