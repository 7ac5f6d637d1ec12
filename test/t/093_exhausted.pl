
# Copyright (c) 2026, the safemig authors

# What safemig does when the disk is full, or memory, or the table of locks: it
# fails as any command does, nothing has changed, and the session goes on.
# pg_regress cannot show it.  The disk is one that the server is made to believe
# in, by functions that are loaded before the C library's; memory is what one
# backend is allowed.  Full is the disk of the data: without WAL PostgreSQL does
# not go on, which 092_crash.pl is about.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use SafemigCrash;
use SafemigTest;
use Test::More;

plan skip_all => 'says nothing without safemig' if bare();

# How much files of tables may still grow; no such file: without end.
my $dir = PostgreSQL::Test::Utils::tempdir();
append_to_file("$dir/full.c", <<"C");
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_full(int fd, off_t end)
{
	char name[64], path[1024];
	struct stat st;
	long left = 0;
	ssize_t len;
	FILE *file;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	len = readlink(name, path, sizeof(path) - 1);
	if (len < 0)
		return 0;
	path[len] = '\\0';
	if (strstr(path, "/base/") == NULL || fstat(fd, &st) != 0 || end <= st.st_size)
		return 0;
	file = fopen("$dir/left", "r+");
	if (file == NULL)
		return 0;
	if (fscanf(file, "%ld", &left) != 1)
		left = 0;
	left -= end - st.st_size;
	if (left >= 0)
	{
		rewind(file);
		fprintf(file, "%ld          ", left);
	}
	fclose(file);
	if (left < 0)
		errno = ENOSPC;
	return left < 0;
}

static size_t total(const struct iovec *iov, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

#define NEXT(type, name) type (*next)() = (type (*)()) dlsym(RTLD_NEXT, name)

ssize_t pwrite(int fd, const void *buf, size_t len, off_t at)
{
	NEXT(ssize_t, "pwrite");
	return is_full(fd, at + len) ? -1 : next(fd, buf, len, at);
}
ssize_t pwrite64(int fd, const void *buf, size_t len, off_t at)
{
	NEXT(ssize_t, "pwrite64");
	return is_full(fd, at + len) ? -1 : next(fd, buf, len, at);
}
ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t at)
{
	NEXT(ssize_t, "pwritev");
	return is_full(fd, at + total(iov, n)) ? -1 : next(fd, iov, n, at);
}
ssize_t pwritev64(int fd, const struct iovec *iov, int n, off_t at)
{
	NEXT(ssize_t, "pwritev64");
	return is_full(fd, at + total(iov, n)) ? -1 : next(fd, iov, n, at);
}
int posix_fallocate(int fd, off_t at, off_t len)
{
	NEXT(int, "posix_fallocate");
	return is_full(fd, at + len) ? ENOSPC : next(fd, at, len);
}
int posix_fallocate64(int fd, off_t at, off_t len)
{
	NEXT(int, "posix_fallocate64");
	return is_full(fd, at + len) ? ENOSPC : next(fd, at, len);
}
C
plan skip_all => 'no compiler'
  if system("cc -w -shared -fPIC -o $dir/full.so $dir/full.c -ldl 2>$dir/cc.log") != 0;

my $node;
{
	local $ENV{LD_PRELOAD} = "$dir/full.so";
	$node = start_server('exhausted', conf => "session_preload_libraries = 'safemig'\nlog_statement = 'none'\n");
}

sub left_on_disk
{
	my ($bytes) = @_;
	unlink "$dir/left";
	append_to_file("$dir/left", "$bytes          ") if defined $bytes;
	return;
}

my $database = new_database('exhausted');
must($database, SafemigCrash::setup());
my @acts = grep { $_->{name} ne 'prune' } SafemigCrash::one_transaction();
my $crash = SafemigCrash->new(database => $database, chain => \@acts);

# What each takes of disk, the first time.
my %takes;
my $enough = 1_000_000_000;
left_on_disk($enough);
$crash->{learnt} = sub
{
	my ($act) = @_;
	my ($left) = slurp_file("$dir/left") =~ /(\d+)/;
	$takes{ $act->{name} } = $enough - $left;
	left_on_disk($enough);
};
$crash->learn;
left_on_disk();
cmp_ok($takes{$_}, '>', 0, "$_ takes disk space") foreach map { $_->{name} } @acts;

my $limits = `prlimit --version 2>/dev/null` ? 1 : 0;
diag('no prlimit: memory is not tried') unless $limits;

foreach my $act (@acts)
{
	my $done = 0;
	foreach my $part (0 .. 3)
	{
		my $bytes = int $takes{ $act->{name} } * $part / 4 / 8192;
		last if $done;
		$done = $crash->fault($act, action => 'disk', bytes => $bytes * 8192, error => qr/^53100|refused|could not extend/,
			arm => sub { left_on_disk($bytes * 8192) }, disarm => sub { left_on_disk() });
	}
	# without memory PostgreSQL may fail to read its time zones, or while it deals
	# with an error, which ends the session
	foreach my $kb ($limits ? (128, 512, 1024, 2048, 4096) : ())
	{
		last if $done;
		$done = $crash->fault($act, action => 'memory', kb => $kb, error => qr/^53200|out of memory|^22023: invalid value for parameter "TimeZone"/, may_end => 1,
			arm => sub
			{
				my ($pid) = @_;
				my ($size) = slurp_file("/proc/$pid/status") =~ /^VmSize:\s+(\d+)/m;
				system('prlimit', "--pid=$pid", '--as=' . ($size + $kb) * 1024 . ':') == 0 or die 'prlimit';
			},
			disarm => sub { system('prlimit', "--pid=$_[0]", '--as=unlimited:') });
	}
	$crash->finish($act) unless $done;
}

# ---- locks ----

my $tables = 400;
must($database, join "\n", 'SET safemig.enabled = off;', 'CREATE SCHEMA many;',
	map { "CREATE TABLE many.t$_ (id int PRIMARY KEY, note text); INSERT INTO many.t$_ VALUES ($_, 'n');" } 1 .. $tables);
my $drop = { name => 'drop of many', from => 'many', to => 'none', parts => [q[DROP SCHEMA many CASCADE]] };
my $back = { name => 'rollback of it', from => 'none', to => 'many', parts => ['SELECT safemig_rollback_last()'] };
my $locks = SafemigCrash->new(database => $database, chain => [ $drop, $back ]);

sub restart_with
{
	my ($setting) = @_;
	$node->append_conf('postgresql.conf', $setting);
	$locks->forget_sessions;
	$node->restart;
	return;
}

$locks->learn;
foreach my $act ($drop, $back)
{
	my $done = $locks->fault($act, action => 'locks', error => qr/out of shared memory/, arm => sub { },
		prepare => sub { restart_with("max_connections = 8\nmax_locks_per_transaction = 10\n") },
		settle => sub { restart_with("max_connections = 20\nmax_locks_per_transaction = 1000\n") });
	ok(!$done, "$act->{name}: there were too few locks");
	$locks->finish($act);
}

done_testing();
