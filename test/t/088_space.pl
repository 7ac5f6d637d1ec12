
# Copyright (c) 2026, the safemig authors

# What a rollback needs of disk against what is free there: safemig_check.
# pg_regress cannot show it: it takes a full disk, which the server is made to
# believe in by a statvfs() that is loaded before the C library's.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use SafemigTest;
use Test::More;

plan skip_all => 'says nothing without safemig' if bare();

# Free are the bytes that the file says.
my $dir = PostgreSQL::Test::Utils::tempdir();
append_to_file("$dir/full.c", <<"C");
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
static int answer(struct statvfs *fs)
{
	unsigned long bytes = 0;
	FILE *file = fopen("$dir/free", "r");
	if (file == NULL || fscanf(file, "%lu", &bytes) != 1)
		return -1;
	fclose(file);
	memset(fs, 0, sizeof(*fs));
	fs->f_frsize = 1;
	fs->f_bavail = bytes;
	return 0;
}
int statvfs(const char *path, struct statvfs *fs) { return answer(fs); }
int statvfs64(const char *path, struct statvfs64 *fs) { return answer((struct statvfs *) fs); }
C
plan skip_all => 'no compiler' if system("cc -shared -fPIC -o $dir/full.so $dir/full.c 2>$dir/cc.log") != 0;

{
	local $ENV{LD_PRELOAD} = "$dir/full.so";
	start_server('space');
}
my $database = new_database('space');
must($database, <<'SQL');
CREATE TABLE small (id int PRIMARY KEY, note text);
INSERT INTO small SELECT i, 'note' FROM generate_series(1, 10) i;
CREATE TABLE large (id int PRIMARY KEY, note text);
INSERT INTO large SELECT i, repeat('note', 100) FROM generate_series(1, 10000) i;
SET safemig.label = 'large';
ALTER TABLE large DROP COLUMN note;
SET safemig.label = 'catalog';
ALTER TABLE small RENAME TO little;
SQL

sub told
{
	my ($label, $free) = @_;
	unlink "$dir/free";
	append_to_file("$dir/free", $free) if defined $free;
	return value($database, <<"SQL");
SELECT severity, object, regexp_replace(problem, '[0-9]+ (kB|MB|bytes)', '…', 'g')
FROM safemig_check((SELECT id FROM safemig.migrations WHERE label = '$label'))
SQL
}

# the data directory and pg_wal are on one disk here
my $lack = 'warning|the disk of tablespace pg_default and of pg_wal|has … left, and the rollback needs up to … there';
like(told('large', 100_000), qr/\A\Q$lack\E\nwarning\|migration \d+\|was not proved: .* too little space\z/, 'less is free than it needs');
is(told('large', 10_000_000_000), '', 'enough is free');
is(told('large'), '', 'not told where it cannot be known');
is(told('catalog', 100_000), '', 'nor where nothing is written');

done_testing();
