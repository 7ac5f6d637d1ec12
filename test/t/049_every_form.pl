
# Copyright (c) 2026, the safemig authors

# Every command tag that event triggers fire for, every form of it, and every
# subcommand of ALTER TABLE (test/forms/forms.sql): run, rolled back, redone
# and rolled back, each time compared.  What there is to cover is read from the
# headers of the server, so that a newer PostgreSQL shows what is missing.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigOracle  ();
use SafemigSession ();
use SafemigTest;
use Test::More;

my $folder = "$FindBin::RealBin/../forms";
my $node = start_server('forms',
	conf => "session_preload_libraries = 'safemig, " . label_provider() . "'\nmax_locks_per_transaction = 512\nautovacuum = off");
my $database = new_database('forms');
make_tablespace();
must('postgres', 'CREATE DATABASE neighbour');
new_database('forms_remote');
must('forms_remote', 'CREATE TABLE imported (a int PRIMARY KEY, b text)');
must($database, "SET safemig.enabled = off; SET client_min_messages = warning;\n" . read_file("$folder/setup.sql"));

# Tags that no command bears (LOGIN is an event), and subcommands that no
# statement has: the parser makes the first two of these, and only a server that
# crashed leaves the third.
my @never = ('ALTER ACCESS METHOD', 'ALTER CAST', 'ALTER CONSTRAINT', 'ALTER TRANSFORM', 'CREATE CONSTRAINT', 'CREATE ROUTINE', 'DROP CONSTRAINT', 'LOGIN');
my @inner = qw(AT_CookedColumnDefault AT_CheckNotNull AT_DetachPartitionFinalize);

my $version = value('postgres', "SELECT current_setting('server_version_num')::int / 10000");
my (%tags, %subcommands, %types);
my $observer = session('SET safemig.enabled = off');
my $operator = session('');
my $dump = dump_text();
my $state = catalog_text();
foreach my $form (forms())
{
	next if $form->{since} > $version;
	next if defined $ENV{SAFEMIG_CASE} && $form->{name} !~ /$ENV{SAFEMIG_CASE}/;
	subtest $form->{name} => sub { proved($form) };
}
$_->close foreach $observer, $operator;
unless (bare() || defined $ENV{SAFEMIG_CASE})
{
	every_tag();
	every_subcommand();
	every_type();
}
done_testing();

# ---- the server ----

# There is none among PostgreSQL's programs: it is made of label.c.
sub label_provider
{
	my $include = `pg_config --includedir-server`;
	chomp $include;
	my $library = "$FindBin::RealBin/../../tmp_check/label.so";
	system('cc', '-fPIC', '-shared', '-w', "-I$include", '-o', $library, "$FindBin::RealBin/../forms/label.c") == 0
	  or die 'cannot compile label.c';
	return $library;
}

sub make_tablespace
{
	my $path = "$FindBin::RealBin/../../tmp_check/forms_tablespace";
	mkdir $path or die "$path: $!";
	must('postgres', "CREATE TABLESPACE elsewhere LOCATION '$path'");
	return;
}

sub read_file
{
	my ($name) = @_;
	open my $file, '<', $name or die "$name: $!";
	local $/;
	return scalar <$file>;
}

sub session
{
	my ($first) = @_;
	return SafemigSession->new(connection_to($database), "SET client_min_messages = warning;\n$first");
}

sub dump_text { return SafemigOracle::dump_text(connection_to($database)) }

sub catalog_text
{
	my ($output, $error) = $observer->run(join ";\n", SafemigOracle::catalog_query(),
		SafemigOracle::other_catalogs_query(), SafemigOracle::rows_query());
	die $error if defined $error;
	return $output;
}

# ---- a form ----

# { name, label, since, given, same, declared, sql }
sub forms
{
	my @forms;
	foreach my $line (split /\n/, read_file("$folder/forms.sql"))
	{
		if ($line =~ /^-- form: (.*)/) { push @forms, { name => $1, label => 'form ' . @forms, since => 0, sql => '' } }
		elsif ($line =~ /^-- given: (.*)/) { $forms[-1]{given} = $1 }
		elsif ($line =~ /^-- since: (\d+)/) { $forms[-1]{since} = $1 }
		elsif ($line =~ /^-- (same|declared)$/) { $forms[-1]{$1} = 1 }
		elsif ($line !~ /^--|^$/) { $forms[-1]{sql} .= "$line\n" }
	}
	return @forms;
}

sub given
{
	my ($form) = @_;
	return unless $form->{given};
	my ($status, $out, $err) = in_database($database, "SET safemig.enabled = off; SET client_min_messages = warning; $form->{given}");
	ok(!$status, 'given') or diag($err);
	($state, $dump) = (catalog_text(), dump_text());
	return;
}

sub proved
{
	my ($form) = @_;
	given($form);
	my ($tag) = $form->{name} =~ /^([A-Z ]+[A-Z])(?: |$)/;
	my ($status, $out, $err) = in_database($database, "SET client_min_messages = warning; SET safemig.label = '$form->{label}';\n$form->{sql}");
	ok(!$status, 'runs') or do { diag($err); return };
	my $after = catalog_text();
	ok($after ne $state, 'changes something') unless $form->{same};
	return if bare();
	noted($form, $tag);
	return if $form->{same} && !is_recorded($form);
	my ($output, $error) = $operator->run("SELECT safemig_rollback('$form->{label}')");
	if ($form->{declared})
	{
		like($error, qr/^SM004/, 'is declared irreversible');
		($state, $dump) = (catalog_text(), dump_text());
		return;
	}
	ok(!defined $error, 'is rolled back') or do
	{
		diag($error);
		($state, $dump) = (catalog_text(), dump_text());
		return;
	};
	my ($id) = $output =~ /(\d+)\s*$/;
	my $dumped = dump_text();
	equal($state, catalog_text(), 'to what was before');
	equal($dump, $dumped, 'so says pg_dump');
	(undef, $error) = $operator->run("SELECT safemig_redo($id)");
	ok(!defined $error, 'is redone') or diag($error);
	equal($after, catalog_text(), 'to what was after');
	(undef, $error) = $operator->run("SELECT safemig_rollback('$form->{label}')");
	ok(!defined $error, 'is rolled back again') or diag($error);
	equal($state, catalog_text(), 'to what was before');
	($state, $dump) = (catalog_text(), $dumped);
	return;
}

sub is_recorded
{
	my ($form) = @_;
	my ($output) = $observer->run("SELECT 1 FROM safemig.migrations WHERE label = '$form->{label}'");
	return $output ne '';
}

sub equal
{
	my ($expected, $actual, $what) = @_;
	my $difference = SafemigOracle::difference($expected, $actual);
	ok($difference eq '', $what) or diag($difference);
	return;
}

# What the history says about the form.
sub noted
{
	my ($form, $tag) = @_;
	my ($recorded) = $observer->run(q(SELECT string_agg(DISTINCT tag, ';') FROM safemig.command_log WHERE migration = (SELECT max(migration) FROM safemig.command_log)));
	chomp $recorded;
	ok((grep { $_ eq $tag } split /;/, $recorded), "is recorded as $tag") or diag($recorded)
	  unless $form->{same};
	$tags{$tag}++;
	$subcommands{$_}++ foreach $form->{name} =~ /\b(AT_\w+)/g;
	my ($types) = $observer->run(q(SELECT DISTINCT type FROM safemig.change_log WHERE migration = (SELECT max(migration) FROM safemig.command_log)));
	$types{$_}++ foreach split /\n/, $types;
	return;
}

# ---- is everything covered? ----

sub header
{
	my ($name) = @_;
	my $include = `pg_config --includedir-server`;
	chomp $include;
	return read_file("$include/$name");
}

sub every_tag
{
	my @tags = header('tcop/cmdtaglist.h') =~ /^PG_CMDTAG\(\w+, "([^"]+)", true/mg;
	cmp_ok(scalar @tags, '>', 100, 'the tags are found');
	my %known = map { $_ => 1 } keys %tags, @never;
	is(join(', ', grep { !$known{$_} } @tags), '', 'every tag has a form');
	return;
}

sub every_subcommand
{
	my ($list) = header('nodes/parsenodes.h') =~ /typedef enum AlterTableType\s*\{(.*?)\}/s;
	my %known = map { $_ => 1 } keys %subcommands, @inner;
	my @missing;
	foreach my $line (split /\n/, $list)
	{
		my ($name, $comment) = $line =~ m{^\s*(AT_\w+),?\s*(.*)} or next;
		next if $comment =~ /internal to/ || $known{$name};
		push @missing, $name;
	}
	is(join(', ', @missing), '', 'every subcommand of ALTER TABLE has a form');
	return;
}

# doc/reference.md says of each what it is recorded as, which a form has shown,
# or why not.
sub every_type
{
	my ($list) = header('nodes/parsenodes.h') =~ /typedef enum ObjectType\s*\{(.*?)\}/s;
	my %said = map { $_->[0] => $_ }
	  map { [ /^\| `(OBJECT_\w+)` \| (.*?) ?\| (.*?) ?\|$/ ] }
	  grep { /^\| `OBJECT_/ } split /\n/, read_file("$FindBin::RealBin/../../doc/reference.md");
	my @missing;
	foreach my $type ($list =~ /(OBJECT_\w+)/g)
	{
		my (undef, $recorded, $reason) = @{ $said{$type} // [] };
		next if $recorded ? $types{$recorded} : $reason;
		push @missing, $type;
	}
	is(join(', ', @missing), '', 'every type of object is recorded, or it is said why not');
	return;
}
