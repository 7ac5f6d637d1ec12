#!/usr/bin/perl

# Copyright (c) 2026, the safemig authors

=pod

=head1 NAME

run.pl - proves safemig on SQL scripts, statement by statement

=head1 SYNOPSIS

  run.pl [options] FILE|FOLDER ...

=head1 DESCRIPTION

Gives each script to psql, statement by statement, in a database of its own
with safemig.  After each statement, or at the end of the transaction that it
is in, whatever was recorded is rolled back and the state compared with the
one before, then redone and compared with the one after.  At the end of the
script everything is rolled back to the start.

The states are taken down by queries over every catalog, by name and with
dependencies, and by a hash of the rows of each table; every twentieth also by
pg_dump.  Temporary objects are left out, so is the vault, and what follows from
SELECT, INSERT and other statements outside of transactions with DDL.

Each recorded statement or transaction ends as one of

  exact     rolled back and redone, equal each time
  declared  safemig says that it is irreversible, and why, when it happens
  refused   the rollback was refused
  silent    the rollback claims success and the state is not the old one
  unseen    the catalogs changed and nothing was recorded
  redo      rolled back exactly, but the redo failed or differs
  broken    the statement fails with safemig in a way of safemig's own
  crash     the server went down, or did not answer

Exit status 0 only if there is nothing but exact and declared.

=head1 OPTIONS

  --setup FILE   run first, in the template of all databases; may be repeated
  --alone LIST   files that are run without it, separated by commas
  --skip LIST    files to leave out
  --role ROLE    who runs the scripts, and takes back what they did: no superuser
  --owns WHAT    schema: he owns what the setup made, the schema public, and may
                 make others (the default); tables: he owns what the setup made,
                 and may make things in the schema, which stays a superuser's
  --dump-every N default 20
  --at-end       compare at the end of each script alone, for a server that is
                 built to check itself and takes its time; "exact" then says of
                 a statement that its rollback and redo proved themselves
  --part K/N     every Nth file, beginning with the Kth
  --host, --port, --user, --bindir, --database PREFIX
  --out FILE     a line for each statement that is not exact, tab-separated
  --table FILE   counts per file, tab-separated

=cut

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use Getopt::Long   ();
use Pod::Usage     ();
use SafemigOracle  ();
use SafemigOwner   ();
use SafemigSession ();
use SafemigSplit   ();
use Time::HiRes    ();

my %option = (database => 'fidelity', user => 'postgres', 'dump-every' => 20, owns => 'schema');
Getopt::Long::GetOptions(\%option, 'setup=s@', 'alone=s', 'skip=s', 'role=s',
	'owns=s', 'dump-every=i', 'at-end', 'part=s', 'host=s', 'port=i', 'user=s', 'bindir=s',
	'database=s', 'out=s', 'table=s', 'help')
  or Pod::Usage::pod2usage(2);
Pod::Usage::pod2usage(-verbose => 2) if $option{help};
Pod::Usage::pod2usage(2) unless @ARGV && $option{owns} =~ /^(?:schema|tables)\z/;

my @classes = qw(exact declared refused silent unseen redo broken crash);
my %alone = map { $_ => 1 } split /,/, $option{alone} // '';
my %skip = map { $_ => 1 } split /,/, $option{skip} // '';
my ($bare, $made) = map { "$option{database}_$_" } qw(bare made);
my %total;
my $out = open_file($option{out});
my $table = open_file($option{table});

make_templates();
foreach my $file (files(@ARGV))
{
	my $count = script($file);
	write_row(name_of($file), $count);
	$total{$_} += $count->{$_} foreach 'seconds', @classes;
	print_counts(name_of($file), $count);
}
print_counts('in all', \%total);
exit((grep { $total{$_} } @classes[ 2 .. $#classes ]) ? 1 : 0);

# ---- files ----

sub open_file
{
	my ($name) = @_;
	return unless defined $name;
	open my $file, '>', $name or die "$name: $!";
	$file->autoflush(1);
	return $file;
}

sub name_of { return $_[0] =~ s{.*/}{}r =~ s/\.sql\z//r }

sub files
{
	my @files = map { -d ? sort glob "\Q$_\E/*.sql" : $_ } @_;
	@files = grep { !$skip{ name_of($_) } } @files;
	my ($k, $n) = split m{/}, $option{part} // '1/1';
	return @files[ grep { $_ % $n == $k - 1 } 0 .. $#files ];
}

sub read_file
{
	my ($name) = @_;
	open my $file, '<', $name or die "$name: $!";
	local $/;
	return scalar <$file>;
}

# ---- databases ----

sub conn
{
	my ($database, $user) = @_;
	return SafemigOracle::connection(
		(map { $_ => $option{$_} } grep { defined $option{$_} } qw(host port user bindir)),
		($user ? (user => $user) : ()),
		dbname => $database);
}

# A server that went down is waited for.
sub must
{
	my ($database, $sql) = @_;
	foreach my $try (1 .. 60)
	{
		my ($status, $output, $err) = SafemigOracle::psql(conn($database), $sql, timeout => 600);
		return $output unless $status;
		die "in $database: $sql\n$err"
		  unless $try < 60 && $err =~ /not yet accepting|starting up|in recovery mode|connection to server/;
		sleep 1;
	}
	return;
}

sub session
{
	my ($database, $first, $user) = @_;
	return SafemigSession->new(conn($database, $user), $first);
}

# One with the extension alone, one with what the setup makes in addition.
sub make_templates
{
	make_role() if $option{role};
	foreach my $database ($bare, $made)
	{
		must('postgres', "DROP DATABASE IF EXISTS $database WITH (FORCE)");
		must('postgres', "CREATE DATABASE $database TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
		set_up($database);
		must($database, 'CREATE EXTENSION safemig');
	}
	run_setup() if $option{setup};
	give_to_role($_) foreach $option{role} ? ($bare, $made) : ();
	return;
}

# Settings of a database do not come with its template.  The library is loaded
# when a session begins, as on a server that wants everything recorded.
sub set_up
{
	my ($database) = @_;
	must('postgres', "ALTER DATABASE $database SET $_")
	  foreach q(lc_messages = 'C'), q(lc_monetary = 'C'), q(lc_numeric = 'C'), q(lc_time = 'C'),
	  q(bytea_output = 'hex'), q(timezone_abbreviations = 'Default'), q(session_preload_libraries = 'safemig');
	return;
}

sub make_role
{
	must('postgres', "SELECT 'CREATE ROLE $option{role} LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '$option{role}') \\gexec");
	return;
}

sub give_to_role
{
	my ($database) = @_;
	must($database, SafemigOwner::give_away_sql($option{role}));
	must($database, "SET safemig.enabled = off;\n" . ($option{owns} eq 'schema'
			? "ALTER SCHEMA public OWNER TO $option{role}"
			: "GRANT CREATE, USAGE ON SCHEMA public TO $option{role}"));
	return;
}

sub run_setup
{
	my $session = session($made, 'SET safemig.enabled = off');
	foreach my $file (@{ $option{setup} })
	{
		$session->run($_) foreach SafemigSplit::pieces(read_file($file));
	}
	$session->close;
	return;
}

# Roles and tablespaces are the cluster's: the next script begins without them.
sub clean_up
{
	my ($run) = @_;
	$run->{$_}->close foreach qw(script operator observer);
	must('postgres', "DROP DATABASE IF EXISTS $run->{database} WITH (FORCE)");
	my ($status, $roles) = SafemigOracle::psql(conn('postgres'),
		q(SELECT quote_ident(rolname) FROM pg_roles WHERE oid >= 16384 AND rolname NOT LIKE 'safemig%' AND rolname <> current_user)
		  . ($option{role} ? " AND rolname <> '$option{role}'" : ''));
	SafemigOracle::psql(conn('postgres'), "DROP ROLE $_") foreach split /\n/, $roles;
	return;
}

# ---- one script ----

sub script
{
	my ($file) = @_;
	my $name = name_of($file);
	my $run = {
		name => $name,
		database => "$option{database}_run",
		count => { map { $_ => 0 } @classes },
		texts => [],
		expected => expected_of($file),
		commanders => {},
		said => '',
	};
	my $template = $option{setup} && !$alone{$name} ? $made : $bare;
	must('postgres', "DROP DATABASE IF EXISTS $run->{database} WITH (FORCE)");
	must('postgres', "CREATE DATABASE $run->{database} TEMPLATE $template");
	set_up($run->{database});
	must('postgres', "GRANT CREATE ON DATABASE $run->{database} TO $option{role}")
	  if $option{role} && $option{owns} eq 'schema';
	open_sessions($run);
	$run->{start} = whole_state($run);
	$run->{before} = state_of($run);
	$run->{mark} = $run->{last} = answer($run, 'SELECT coalesce(safemig_mark(), 0)');
	my $started = Time::HiRes::time();
	eval
	{
		foreach my $piece (SafemigSplit::pieces(read_file($file)))
		{
			last if quits($run, $piece);
			piece($run, $piece);
		}
		everything_back($run);
		1;
	} or note_result($run, 'crash', $@);
	$run->{count}{seconds} = Time::HiRes::time() - $started;
	clean_up($run);
	return $run->{count};
}

# Only the session knows whether a condition holds.
sub quits
{
	my ($run, $piece) = @_;
	return unless $piece =~ s/^\s*\\q(?:uit)?\s*$/\\echo quits/m;
	my ($output) = $run->{script}->run($piece);
	return $output =~ /^quits$/m;
}

sub open_sessions
{
	my ($run) = @_;
	$run->{script} = session($run->{database},
		"SET statement_timeout = '100s'",
		$option{role});
	($run->{pid}) = $run->{script}->run('SELECT pg_backend_pid()');
	$run->{operator} = session($run->{database},
		"SET client_min_messages = warning;\nSET statement_timeout = '100s'",
		$option{role});
	# what an index calls is evaluated for whoever reads the table; a prepared
	# transaction may hold its lock for as long as it likes
	$run->{observer} = session($run->{database}, join(";\n", 'SET jit = off', "SET lock_timeout = '2s'",
			'SET default_transaction_read_only = on', prepared(catalogs => SafemigOracle::catalog_query()),
			prepared(others => SafemigOracle::other_catalogs_query())));
	return;
}

# To plan one of these takes half as long as to run it.
sub prepared
{
	my ($name, $query) = @_;
	return $query =~ s/^(?=WITH )/PREPARE $name AS\n/mr =~ s/;\s*\z//r;
}

sub answer
{
	my ($run, $sql) = @_;
	my ($output, $error) = $run->{observer}->run($sql);
	die "$sql: $error\n" if defined $error;
	chomp $output;
	return $output;
}

sub without_comments { return $_[0] =~ s{--[^\n]*|/\*.*?\*/}{}gsr }

# Does the statement do more than read and write rows?
sub is_command
{
	my ($text) = @_;
	my $bare = without_comments($text);
	return $bare !~ /^\s*(?:\\|(?:select|insert|update|delete|merge|values|table|with|copy|show|set|reset|explain|analyze|vacuum|begin|start|commit|end|rollback|abort|savepoint|release|declare|fetch|move|close|prepare|execute|deallocate|listen|notify|unlisten|lock|checkpoint|discard|load|do|call)\b)/i
	  || $bare =~ /\binto\b.*\bfrom\b|\\gexec/is && $bare =~ /^\s*select/i;
}

# Does it call a function of the script's that may run commands?
sub calls_command
{
	my ($run, $text) = @_;
	my $names = join '|', map { quotemeta } sort keys %{ $run->{commanders} };
	return $names ne '' && $text =~ /\b(?:$names)\s*\(/i;
}

sub note_commander
{
	my ($run, $text) = @_;
	$run->{commanders}{lc $1} = 1
	  if $text =~ /\bcreate\s+(?:or\s+replace\s+)?function\s+(?:\w+\.)?(\w+).*\b(?:execute|create|alter|drop|truncate)\b/is;
	return;
}

# Before what may change the catalogs the state must be known.
sub piece
{
	my ($run, $text) = @_;
	$run->{opens} = $1 eq 'off' if $text =~ /^\s*\\set\s+AUTOCOMMIT\s+(on|off)\b/m;
	my $opens = $text =~ /^(?:\s|--[^\n]*\n)*(?:begin|start\s+transaction|commit\s+prepared|do|call)\b/i
	  || $text =~ /\\gexec|\\;/ || $run->{opens};
	my $command = is_command($text) || calls_command($run, $text)
	  || without_comments($text) =~ /\b(?:create|alter|drop|truncate)\b/i;
	note_commander($run, $text);
	$run->{before} = state_of($run)
	  if !@{ $run->{texts} } && !$run->{before} && ($command || $opens);
	my ($output, $error) = $run->{script}->run($text);
	die "$error\n" if defined $error && $error =~ /^(?:crash|timeout)/;
	($run->{pid}) = $run->{script}->run('SELECT pg_backend_pid()') if $text =~ /^\s*\\c(?:onnect)?\b/m;
	push @{ $run->{texts} }, $text;
	$run->{said} .= $output;
	$run->{changes} ||= $command && !defined $error;
	is_broken($run, $text, $error) if defined $error;
	return if in_transaction($run);
	settle($run);
	return;
}

sub in_transaction
{
	my ($run) = @_;
	my ($state) = $run->{observer}->run(
		"SELECT state FROM pg_stat_activity WHERE pid = " . ($run->{pid} =~ /(\d+)/)[0]);
	return $state =~ /in transaction/;
}

sub is_broken
{
	my ($run, $text, $error) = @_;
	note_result($run, 'broken', "$error\n$text")
	  if $error =~ /safemig|SM0\d\d/ && $error !~ /^SM0/ || $error =~ /^SM00[348]/
	  || $error =~ /^XX\d{3}: (.*)/ && index($run->{expected}, $1) < 0;
	return;
}

# An internal error is PostgreSQL's own if its regression tests expect it.
sub expected_of
{
	my ($file) = @_;
	my $answers = $file =~ s{/sql/+([^/]*)\.sql\z}{/expected/$1}r;
	return join '', map { read_file($_) } glob "\Q$answers\E*.out";
}

# Nothing is open: proves what was recorded.
sub settle
{
	my ($run) = @_;
	my ($changes, $said, @texts) = ($run->{changes}, $run->{said}, @{ $run->{texts} });
	$run->{texts} = [];
	$run->{said} = '';
	$run->{changes} = 0;
	my @ids = split /\n/, answer($run,
		"SELECT id FROM safemig.migration_log WHERE id > $run->{last} ORDER BY id");
	if (@ids)
	{
		prove($run, $said, join('', @texts), @ids);
		$run->{last} = answer($run, 'SELECT max(id) FROM safemig.migration_log');
	}
	elsif ($changes)
	{
		my $after = state_of($run);
		note_result($run, 'unseen', join('', @texts), difference($run->{before}{catalog}, $after->{catalog}))
		  if $after->{catalog} ne $run->{before}{catalog};
		$run->{before} = $after;
	}
	else
	{
		# rows may have been written
		$run->{before} = undef;
	}
	return;
}

sub prove
{
	my ($run, $said, $text, @ids) = @_;
	my $dumps = !$option{'at-end'} && ++$run->{proved} % $option{'dump-every'} == 0;
	my $after = state_of($run);
	my $before = $run->{before} // return note_result($run, 'unseen', "state before not known: $text");
	# the dump of before is that of the state to which the rollback led
	my $call = @ids == 1 ? "safemig_rollback($ids[0])" : "safemig_rollback_to($run->{last})";
	$after->{dump} = SafemigOracle::dump_text(conn($run->{database})) if $dumps;
	my ($id, $error) = call($run, "SELECT $call");
	if (defined $error)
	{
		my $now = state_of($run);
		return note_result($run, 'silent', "refused, but changed: $error\n$text", compared($after, $now))
		  if compared($after, $now);
		$run->{before} = $now;
		return not_rolled_back($run, $said, $text, $error);
	}
	my $back = state_of($run);
	# what REFRESH derives is not kept, see doc/reference.md
	my @compared = map { derived_left_out($text, $_) } $before, $back;
	if (my $difference = compared(@compared))
	{
		note_result($run, 'silent', $text, $difference);
		(undef, $error) = call($run, "SELECT safemig_redo($id)");
		$run->{before} = state_of($run);
		return;
	}
	return $run->{before} = $after if !defined $id;
	(undef, $error) = call($run, "SELECT safemig_redo($id)");
	my $redone = state_of($run);
	$redone->{dump} = SafemigOracle::dump_text(conn($run->{database})) if $dumps;
	$run->{before} = $redone;
	return not_redone($run, $text, $error) if defined $error;
	my $difference = compared($after, $redone);
	return note_result($run, 'redo', $text, $difference) if $difference;
	note_result($run, 'exact');
	return;
}

# What cannot be taken back has to have been said to be so when it happened.
sub not_rolled_back
{
	my ($run, $said, $text, $error) = @_;
	return note_result($run, 'refused', "$error\n$text") unless $error =~ /^SM004/;
	return note_result($run, 'silent', "said too late: $error\n$text") unless $said =~ /irreversible/;
	note_result($run, 'declared', $error, undef, $text);
	return;
}

# A rollback may be irreversible itself; it has said so.
sub not_redone
{
	my ($run, $text, $error) = @_;
	note_result($run, $error =~ /^SM004/ ? 'exact' : 'redo', "$error\n$text");
	return;
}

sub call
{
	my ($run, $sql) = @_;
	my ($output, $error) = $run->{operator}->run($sql);
	die "$error\n" if defined $error && $error =~ /^(?:crash|timeout)/;
	return (undef, $error) if defined $error;
	return ($output =~ /(\d+)\s*\z/);
}

# The session of the script has gone by then, and what it had for itself.
# Where rows written since stand in the way it is tried again without them.
sub everything_back
{
	my ($run) = @_;
	$run->{script}->run('ROLLBACK');
	settle($run) if @{ $run->{texts} };
	my ($declared) = answer($run, "SELECT coalesce(max(m.id), 0) FROM safemig.migrations m WHERE why_not IS NOT NULL AND state <> 'rolled_back' AND kind IN ('migration', 'redo')");
	end_script($run);
	$run->{count}{whole} = $declared ? 'declared' : 'exact';
	my (undef, $error) = call($run, "SELECT safemig_rollback_to($run->{mark})");
	if (defined $error && !$declared && $error =~ /^SM003/)
	{
		note_line($run, 'whole conflict', $error);
		$run->{count}{whole} = 'conflict';
		(undef, $error) = call($run, "SELECT safemig_rollback_to($run->{mark}, on_conflict => 'restore')");
	}
	if (defined $error)
	{
		$run->{count}{whole} = 'refused' unless $declared;
		note_line($run, 'whole refused', $error) unless $declared;
		return;
	}
	my $difference = difference($run->{start}{catalog}, whole_state($run)->{catalog});
	return unless $difference;
	$run->{count}{whole} = 'differs';
	note_line($run, 'whole differs', $difference);
	return;
}

sub end_script
{
	my ($run) = @_;
	$run->{script}->close;
	my ($pid) = $run->{pid} =~ /(\d+)/;
	answer($run, "SELECT pg_sleep(0.01), pg_stat_clear_snapshot()")
	  while answer($run, "SELECT count(*) FROM pg_stat_activity WHERE pid = $pid");
	return;
}

# ---- states ----

sub state_of
{
	my ($run) = @_;
	return $option{'at-end'} ? { catalog => '', rows => '' } : whole_state($run);
}

sub whole_state
{
	my ($run) = @_;
	my ($catalog, $error) = $run->{observer}->run(
		"SET search_path = '';\nEXECUTE catalogs;\nEXECUTE others");
	die "the catalogs cannot be read: $error\n" if defined $error;
	return {
		catalog => join('', map { "$_\n" } lasting(split /\n/, $catalog)),
		rows => rows_of($run)
	};
}

# What queries that end in \gexec give, errors among it; psql would end at the
# first of them.
sub generated
{
	my ($run, $queries) = @_;
	my $output = '';
	foreach my $query (split /^\\gexec\n/m, $queries)
	{
		my ($statements) = $run->{observer}->run($query);
		my ($lines) = $run->{observer}->run($statements);
		$output .= $lines;
	}
	return $output;
}

# The rows of a table that is as it was are not read again.
sub rows_of
{
	my ($run) = @_;
	my %known = %{ $run->{rows_known} // {} };
	my $versions = generated($run, SafemigOracle::versions_query());
	my %version = map { /^(.*)\|([^|]*)\z/ ? ($1 => $2) : () } split /\n/, $versions;
	my @same = grep { $known{$_} && $known{$_}[0] eq $version{$_} } keys %version;
	my $rows = generated($run, SafemigOracle::rows_query_without(@same));
	my @lines = split /\n/, $rows;
	$run->{rows_known} = { map { $_ => $known{$_} } @same };
	foreach (@lines)
	{
		my ($name) = /^(.*)\|-?\d*\|-?\d*\z/ or next;
		$run->{rows_known}{$name} = [ $version{$name}, $_ ] if exists $version{$name};
	}
	# of a table whose policy or index fails for who looks nothing more can be told
	return join('', map { "$_\n" } sort @lines, map { $known{$_}[1] } @same);
}

# Without what is temporary, or goes with it, and without the vault.
sub lasting
{
	my @lines = grep { !/\bsafemig_vault_\d/ } @_;
	my $temporary = qr/\bpg_(?:toast_)?temp\b|\bpg_temp_\d/;
	my %gone = map { /^depend (.*?) -> .*$temporary/ ? ($1 => 1) : () } @lines;
	my @needed = map { /^depend (.*?) -> (.*) \w+$/ ? [ $1, $2 ] : () } @lines;
	while (my @more = grep { !$gone{ $_->[0] } && $gone{ $_->[1] } } @needed)
	{
		$gone{ $_->[0] } = 1 foreach @more;
	}
	my $needs = join '|', map { quotemeta } sort keys %gone;
	return grep { !/$temporary/ && !($needs && /^(?:depend |base |.* -> )?(?:$needs)(?:\s|$)/) } @lines;
}

sub derived_left_out
{
	my ($text, $state) = @_;
	return $state unless $text =~ /\brefresh\s+materialized\s+view\b/i;
	return { %$state, rows => $state->{rows} =~ s/^derived .*\n//mgr };
}

sub difference { return SafemigOracle::difference(@_) }

sub compared
{
	my ($expected, $actual) = @_;
	($expected, $actual) = readable($expected, $actual)
	  if grep { $_->{rows} =~ /^ERROR:  55P03/m } $expected, $actual;
	foreach my $part (qw(catalog rows dump))
	{
		next unless defined $expected->{$part} && defined $actual->{$part};
		return difference($expected->{$part}, $actual->{$part})
		  if $expected->{$part} ne $actual->{$part};
	}
	return '';
}

# ---- results ----

# Without the rows of tables that a prepared transaction kept locked in one of
# two states; that they are there, the catalogs say.
sub readable
{
	my @states = @_;
	my (@rows, @readable);
	push @rows, { $_->{rows} =~ /^(.*)\|(-?\d*\|-?\d*)$/mg } foreach @states;
	my @both = grep { exists $rows[1]{$_} } sort keys %{ $rows[0] };
	foreach my $n (0, 1)
	{
		push @readable, { %{ $states[$n] }, rows => join('', map { "$_|$rows[$n]{$_}\n" } @both) };
	}
	return @readable;
}

sub note_result
{
	my ($run, $class, $text, $difference, $statement) = @_;
	$run->{count}{$class}++;
	note_line($run, $class, join("\n", grep { defined } $text, $difference, $statement))
	  unless $class eq 'exact' && !defined $text;
	return;
}

sub note_line
{
	my ($run, $class, $text) = @_;
	return unless $out;
	print $out join("\t", $class, $run->{name}, substr($text, 0, 6000) =~ s/\\/\\\\/gr =~ s/\t/ /gr =~ s/\n/\\n/gr), "\n";
	return;
}

sub print_counts
{
	my ($name, $count) = @_;
	printf "%-24s %s %s %.0f s\n", $name,
	  join(', ', map { ($count->{$_} // 0) . " $_" } grep { $count->{$_} || $_ eq 'exact' } @classes),
	  $count->{whole} && $name ne 'in all' ? "; whole: $count->{whole}" : '', $count->{seconds} // 0;
	STDOUT->flush;
	return;
}

sub write_row
{
	my ($name, $count) = @_;
	print $table join("\t", $name, (map { $_ // 0 } @{$count}{@classes}), $count->{whole} // 'crash'), "\n"
	  if $table;
	return;
}
