
# Copyright (c) 2026, the safemig authors

# What the documents print, run: every block of SQL or shell, in order, in one
# session for each document, and compared with the output that is shown below
# it.  pg_regress knows no Markdown.
#
# A block of SQL or shell that a block "text" follows has to print that; "…"
# stands for anything in a line, and alone in a line for any lines.  Without
# one, it has to run without an error.  Comments that do not show say more:
#
#   <!-- setup: NAME -->        test/docs/NAME.sql runs here
#   <!-- not run: REASON -->    the next block is not run, or what it shows is
#                               not compared

use strict;
use warnings;
use utf8;

use Encode qw(decode encode);
use File::Temp qw(tempdir);
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigTest;
use Test::More;

my @documents = qw(README doc/tutorial doc/operations doc/reference doc/frameworks);
my %japanese = (
	'README' => 'README.ja.md',
	'doc/operations' => 'doc/ja/operations.md');
my %runs = map { $_ => 1 } qw(sql sh);

sub content
{
	my ($file) = @_;
	open my $handle, '<:encoding(UTF-8)', $file or die "$file: $!";
	local $/ = undef;
	return scalar <$handle>;
}

# The blocks of a document, in order: language, text, line, and what the
# comments before them say.
sub blocks
{
	my ($file) = @_;
	my (@blocks, $block, %said);
	my $line = 0;
	foreach (split /\n/, content($file), -1)
	{
		$line++;
		if ($block)
		{
			if (/^\s*```\s*$/) { push @blocks, $block; $block = undef; next }
			s/^$block->{indent}//;
			$block->{text} .= "$_\n";
		}
		elsif (/^( *)```(\S*)/)
		{
			$block = {%said, language => $2, text => '', line => $line, indent => $1};
			%said = ();
		}
		elsif (/^\s*<!-- (setup|not run): (\S.*?) -->\s*$/) { $said{$1} = $2 }
	}
	die "$file: a block without an end" if $block;
	return @blocks;
}

# What psql has to do for a block, its output marked with the number.
sub script_of
{
	my ($number, $block) = @_;
	my $script = '';
	$script .= "\\! echo '=== setup $number'\n" . content("test/docs/$block->{setup}.sql") . "\n"
	  if $block->{setup};
	return $script if $block->{'not run'} || !$runs{ $block->{language} };
	$script .= "\\! echo '=== block $number'\n";
	if ($block->{language} eq 'sh')
	{
		my $file = tempdir(CLEANUP => 1) . '/block.sh';
		open my $handle, '>:encoding(UTF-8)', $file or die $!;
		print $handle $block->{text};
		close $handle;
		return "$script\\! sh -e $file\n";
	}
	return "$script$block->{text}";
}

# Runs a script in a new database "shop", as the documents call theirs, in a
# folder of its own; returns the output by "setup N" and "block N".
sub run_in_shop
{
	my ($script) = @_;
	must('postgres', 'DROP DATABASE IF EXISTS shop WITH (FORCE)');
	must('postgres', 'DROP ROLE IF EXISTS exporter');
	must('postgres', 'CREATE DATABASE shop');
	my $folder = tempdir(CLEANUP => 1);
	open my $handle, '>:encoding(UTF-8)', "$folder/script.sql" or die $!;
	print $handle "\\cd $folder\n$script\n\\! echo '=== end'\n";
	close $handle;
	my $output = do
	{
		local $ENV{PGHOST} = server()->host;
		local $ENV{PGPORT} = server()->port;
		local $ENV{PGDATABASE} = 'shop';
		local $ENV{PGCLIENTENCODING} = 'UTF8';
		local $ENV{PAGER} = 'cat';
		decode('UTF-8', scalar `psql -X -q -d shop <$folder/script.sql 2>&1`);
	};
	my ($first, %printed) = split /^=== (.*)\n/m, $output;
	return \%printed;
}

# Whether what was printed is what is shown.
sub agrees
{
	my ($shown, $printed) = @_;
	s/[ \t]+$//mg, s/\n+\z/\n/ foreach $shown, $printed;
	my $pattern = quotemeta $shown;
	$pattern =~ s/^\\…\\?\n/(?:.*\\n)*?/mg;
	$pattern =~ s/\\…/.*/g;
	return $printed =~ /\A$pattern\z/;
}

# One document: what runs, runs, and prints what is shown.
sub check_document
{
	my ($file) = @_;
	my @blocks = blocks($file);
	my $printed = run_in_shop(join '', map { script_of($_, $blocks[$_]) } 0 .. $#blocks);
	ok(exists $printed->{end}, "$file: psql came to the end");
	my $unrun = 0;
	foreach my $number (0 .. $#blocks)
	{
		my $block = $blocks[$number];
		my $name = "$file, line $block->{line}";
		my $before = $number ? $blocks[ $number - 1 ] : {};
		if (my $setup = $printed->{"setup $number"})
		{
			unlike(encode('UTF-8', $setup), qr/^(?:ERROR|FATAL)/m, "$name: what was set up");
		}
		if ($block->{'not run'})
		{
			$unrun++;
			note(encode('UTF-8', "$name: not run: $block->{'not run'}"));
		}
		elsif ($runs{ $block->{language} })
		{
			my $next = $blocks[ $number + 1 ] // {};
			next if ($next->{language} // '') eq 'text' && !$next->{'not run'};
			unlike(encode('UTF-8', $printed->{"block $number"} // 'ERROR: nothing'), qr/^(?:\w+: )?(?:ERROR|FATAL)|: not found/m, "$name: runs");
		}
		elsif ($block->{language} eq 'text')
		{
			my $actual = $printed->{ 'block ' . ($number - 1) };
			ok(defined $actual && agrees($block->{text}, $actual), "$name: prints what is shown")
			  or diag(encode('UTF-8', $actual // 'nothing that was run stands before it'));
		}
		else { fail("$name: nobody knows how to run a block '$block->{language}'") }
	}
	cmp_ok($unrun, '<=', 1 + @blocks / 5, "$file: few blocks are not run ($unrun of " . @blocks . ')');
	return;
}

# What has to be the same in both languages: the code in blocks, without
# comments and texts, and the set of all code in lines.
sub code_of
{
	my ($file) = @_;
	my (%inline, $in_block);
	foreach (split /\n/, content($file))
	{
		if (/^\s*```/) { $in_block = !$in_block; next }
		next if $in_block;
		$inline{$_} = 1 foreach grep { !/[^\x00-\x7F…]/ } /`([^`]+)`/g;
	}
	my @blocks = map { $_->{text} } blocks($file);
	s/(?:--|#) .*$//mg, s/'[^']*[^\x00-\x7F…][^']*'/'…'/g, s/[ \t]+/ /g, s/ $//mg foreach @blocks;
	return (join("---\n", @blocks), \%inline);
}

sub check_japanese
{
	my ($english, $japanese) = @_;
	my ($blocks, $inline) = code_of($english);
	my ($blocks_ja, $inline_ja) = code_of($japanese);
	ok(agrees($blocks_ja, $blocks), "$japanese: the blocks are those of $english")
	  or diag(encode('UTF-8', "$blocks_ja\n=== and not\n$blocks"));
	my @missing = grep { !$inline_ja->{$_} } sort keys %$inline;
	my @more = grep { !$inline->{$_} } sort keys %$inline_ja;
	is(encode('UTF-8', "@missing"), '', "$japanese: all code of $english");
	is(encode('UTF-8', "@more"), '', "$japanese: no code that $english does not have");
	my ($sections, $sections_ja) = map { scalar(() = content($_) =~ /^#+ /mg) } $english, $japanese;
	is($sections_ja, $sections, "$japanese: as many sections as $english");
	return;
}

# Figures that are quoted stand in the table that "make bench" writes, where
# some rows mean what the one before them is about.
sub check_figures
{
	my ($file) = @_;
	my $measured = content('doc/performance.md');
	my ($base, %figure) = ('');
	while ($measured =~ /^\| (.+?) \| .*? \| (.+?) \|$/mg)
	{
		my ($what, $value) = ($1, $2);
		my $follows = $what =~ /^(?:the same|rollback of it|pg_restore)\b/;
		$base = $what unless $follows;
		$figure{ $follows ? "$base: $what" : $what } = $value;
	}
	my ($quoted) = content($file) =~ /<!-- figures -->\n(.*?)<!-- end -->/s;
	my @rows = ($quoted // '') =~ /^\|.*\| (.+?) <!-- (.+?) --> \|$/mg;
	ok(@rows, "$file: quotes figures");
	while (my ($shown, $what) = splice @rows, 0, 2)
	{
		is(encode('UTF-8', $shown), encode('UTF-8', $figure{$what} // 'not measured'), encode('UTF-8', "$file: $what"));
	}
	return;
}

# The test itself can fail.
ok(agrees("a … c\n…\nz\n", "a b c \nd\n\nz\n\n"), 'what is shown with an ellipsis agrees');
ok(!agrees("a … c\n", "a b d\n"), 'what is printed otherwise does not');
ok(!agrees("a\n", "a\nb\n"), 'nor does more');

start_server('docs', conf => "datestyle = 'ISO, YMD'\ntimezone = 'UTC'\n");
foreach my $document (@documents)
{
	check_document("$document.md");
	next unless $japanese{$document};
	check_document($japanese{$document});
	check_japanese("$document.md", $japanese{$document});
}
check_figures($_) foreach 'README.md', 'README.ja.md';
done_testing();
