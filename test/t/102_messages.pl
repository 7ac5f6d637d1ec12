
# Copyright (c) 2026, the safemig authors

# Messages in Japanese: po/ja.po has every message of the source, and a server
# that speaks Japanese gives them.  pg_regress runs with messages in English,
# and knows no catalogs.

use strict;
use warnings;
use utf8;

use Encode qw(decode);
use File::Temp qw(tempdir);
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigTest;
use Test::More;

my $pg_config = $ENV{PG_CONFIG} // 'pg_config';

sub has
{
	return !grep { system("command -v $_ >/dev/null 2>&1") } @_;
}

sub output_of
{
	my ($command) = @_;
	my $output = `$command 2>&1`;
	return ($? == 0, $output);
}

# The messages of a catalog, without header and obsolete ones.
sub messages
{
	my ($file) = @_;
	my (undef, $text) = output_of("msgcat --no-wrap --no-location $file");
	return { map { $_ => 1 } $text =~ /^msgid "(.+)"$/mg };
}

# ---- the catalog ----

SKIP:
{
	skip 'gettext is not installed', 4 unless has(qw(msgcat msgcmp msgfmt xgettext));
	my ($done, $output) = output_of("make -s PG_CONFIG='$pg_config' MAKELEVEL=0 init-po");
	ok($done && -s 'po/safemig.pot', 'the messages of the source') or diag($output);
	# neither missing, untranslated nor fuzzy
	($done, $output) = output_of('msgcmp po/ja.po po/safemig.pot');
	ok($done, 'po/ja.po has all of them') or diag($output);
	my $used = messages('po/safemig.pot');
	my @idle = grep { !$used->{$_} } sort keys %{ messages('po/ja.po') };
	is("@idle", '', 'and no others');
	($done, $output) = output_of('msgfmt -c -o /dev/null po/ja.po');
	ok($done, 'each takes the same arguments') or diag($output);
	unlink 'po/safemig.pot';
}

# ---- the server ----

# Where the locale is: '' if the system has it, a folder in which it was made,
# or undef.
sub locale_folder
{
	return '' if `locale -a 2>/dev/null` =~ /^ja_JP\.utf-?8$/mi;
	my $folder = tempdir(CLEANUP => 1);
	system("localedef -i ja_JP -f UTF-8 $folder/ja_JP.UTF-8 >/dev/null 2>&1");
	return -d "$folder/ja_JP.UTF-8" ? $folder : undef;
}

sub said
{
	my (undef, undef, $error) = in_database(@_);
	return utf8::is_utf8($error) ? $error : decode('UTF-8', $error);
}

my $folder = locale_folder();
my $catalog = `'$pg_config' --localedir`;
chomp $catalog;
my ($version) = `'$pg_config' --version` =~ /(\d+)/;
$catalog .= "/ja/LC_MESSAGES/safemig-$version.mo";

SKIP:
{
	skip 'the system has no locale ja_JP.UTF-8, nor what to make it of', 4 unless defined $folder;
	skip "safemig was built without gettext, or the server was", 4 unless -e $catalog;
	local $ENV{LOCPATH} = $folder if $folder ne '';
	start_server('messages', conf => "lc_messages = 'ja_JP.UTF-8'\n");
	my $database = new_database('messages');
	my $error = said($database, 'SELECT safemig_rollback(42)');
	like($error, qr/マイグレーション42は存在しません/, 'an error');
	$error = said($database, "CREATE TABLE t (a int); SELECT safemig_rollback(1); SELECT safemig_rollback(1)");
	like($error, qr/マイグレーション1をロールバックします: 1ステップ、/, 'a notice');
	like($error, qr/マイグレーション1 はすでに2でロールバックされています/, 'an error that is put together');
	like($error, qr/SELECT safemig_redo\(1\); で再適用できます。/, 'and its hint');
}

done_testing();
