
# Copyright (c) 2026, the safemig authors

# What doc/frameworks.md says of wrapping a migration oneself, as it is printed
# there: with each client that is installed, DDL is recorded under that label.
# And tools that compare a whole database, with the settings that it names.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use IPC::Run ();
use PostgreSQL::Test::Utils;
use SafemigTest;
use Test::More;

if (bare())
{
	plan skip_all => 'says nothing without safemig';
}

start_server('wrapping', conf => "listen_addresses = '127.0.0.1'");
my $place = PostgreSQL::Test::Utils::tempdir();
my $page = PostgreSQL::Test::Utils::slurp_file("$FindBin::RealBin/../../doc/frameworks.md");
my $number = 0;
my $modules = $ENV{SAFEMIG_NODE_MODULES} // '';
local $ENV{PGHOST} = server()->host;
local $ENV{PGPORT} = server()->port;
local $ENV{PATH} = server()->config_data('--bindir') . ":$ENV{PATH}";
my $user = value('postgres', 'SELECT current_user');
local $ENV{PGUSER} = $user;
my %at = (host => server()->host, port => server()->port);

sub is_there { return system("$_[0] >/dev/null 2>&1") == 0 }

# The program is made of what the page prints, and runs in a database of its own.
sub wraps
{
	my ($name, $needs, $printed, $make) = @_;
	subtest $name => sub {
		plan skip_all => "not installed: $needs" unless is_there($needs);
		like($page, qr/\Q$printed\E/, 'the page says so');
		my $database = new_database('wrapped_' . ++$number);
		my ($command, $content, $file) = $make->($printed, $database);
		chdir $place;
		PostgreSQL::Test::Utils::append_to_file("$place/$file", $content) if defined $file;
		local $ENV{PGDATABASE} = $database;
		my $done = IPC::Run::run([ 'sh', '-c', $command ], '>', \my $out, '2>', \my $err);
		ok($done, 'it runs') or diag("$command\n$out$err");
		like(value($database, q(SELECT string_agg(label || ' ' || state, ', ') FROM safemig.migrations)),
			qr/^deploy[ -]42 applied$/, 'one migration of that name');
	};
	return;
}

my $ddl = 'CREATE TABLE t (a int); ALTER TABLE t ADD b int';

wraps('psql', 'psql --version', q(psql -c "SELECT safemig_begin('deploy 42')" -f migration.sql -c "SELECT safemig_end()"),
	sub { return ($_[0], $ddl, 'migration.sql') });
wraps('PGOPTIONS', 'psql --version', q(PGOPTIONS="-c safemig.label=deploy-42"),
	sub { return qq($_[0] psql -c "$ddl") });
wraps('a URL', 'psql --version', '?options=-c%20safemig.label%3Ddeploy-42',
	sub { return qq(psql -c "$ddl" 'postgresql:///$_[1]$_[0]') });
wraps('Alembic', q(/usr/bin/python3 -c 'import alembic, psycopg2'), q(connection.execute(text("SET safemig.label = 'deploy 42'"))),
	sub {
		my ($printed, $database) = @_;
		return ('/usr/bin/python3 -W ignore alembic_env.py', <<"PY", 'alembic_env.py');
from sqlalchemy import create_engine, text
with create_engine("postgresql+psycopg2://$user\@/$database").begin() as connection:
    $printed
    connection.execute(text("$ddl"))
PY
	});
wraps('Django', q(/usr/bin/python3 -c 'import django, psycopg2'), q(DATABASES["default"]["OPTIONS"] = {"options": "-c safemig.label=deploy-42"}),
	sub {
		my ($printed, $database) = @_;
		return ('/usr/bin/python3 django_settings.py', <<"PY", 'django_settings.py');
import django
from django.conf import settings
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "$database", "USER": "$user"}}
$printed
settings.configure(DATABASES=DATABASES)
django.setup()
from django.db import connection
connection.cursor().execute("$ddl")
PY
	});
wraps('ActiveRecord', q(/usr/bin/ruby -e 'require "active_record"; require "pg"'), 'variables: { "safemig.label": "deploy-42" }',
	sub {
		my ($printed, $database) = @_;
		return ('/usr/bin/ruby -W0 record.rb', <<"RUBY", 'record.rb');
require "active_record"
ActiveRecord::Base.establish_connection(adapter: "postgresql", database: "$database", $printed)
ActiveRecord::Base.connection.execute("$ddl")
RUBY
	});
wraps('Knex', "test -d '$modules/knex'", q(pool: { afterCreate: (c, done) => c.query("SET safemig.label = 'deploy 42'", done) }),
	sub {
		my ($printed, $database) = @_;
		return ('node knex.js', <<"JS", 'knex.js');
const knex = require('$modules/knex')({ client: 'pg', connection: { host: '$at{host}', port: $at{port}, user: '$user', database: '$database' }, $printed });
knex.raw('$ddl').then(() => knex.destroy());
JS
	});
wraps('node-postgres, which Drizzle, Kysely and node-pg-migrate use', "test -d '$modules/pg'", 'new Pool({ options: "-c safemig.label=deploy-42" })',
	sub {
		my ($printed, $database) = @_;
		return ('node pool.js', <<"JS", 'pool.js');
const { Pool } = require('$modules/pg');
const pool = $printed;
pool.query('$ddl').then(() => pool.end());
JS
	});

subtest 'what Alembic compares' => sub {
	plan skip_all => 'not installed' unless is_there(q(/usr/bin/python3 -c 'import alembic, psycopg2'));
	my $database = new_database('compared');
	in_database($database, 'CREATE TABLE t (a int); CREATE TABLE gone (a int); DROP TABLE gone');
	PostgreSQL::Test::Utils::append_to_file("$place/compare.py", <<"PY");
from sqlalchemy import create_engine, MetaData
from alembic.migration import MigrationContext
from alembic.autogenerate import compare_metadata

def include_name(name, type_, parent_names):
    return type_ != "schema" or not (name or "").startswith("safemig")

for opts in {}, {"include_schemas": True, "include_name": include_name}:
    with create_engine("postgresql+psycopg2://$user\@/$database").connect() as connection:
        context = MigrationContext.configure(connection, opts=opts)
        print(*(change[1].name for change in compare_metadata(context, MetaData())))
PY
	my $out = `/usr/bin/python3 -W ignore '$place/compare.py' 2>&1`;
	is($out, "t\nt\n", 'nothing of safemig, by default and with include_name');
};

subtest 'a tool that drops what it does not know' => sub {
	my $database = new_database('dropped');
	in_database($database, 'CREATE TABLE gone (a int); INSERT INTO gone VALUES (1); DROP TABLE gone');
	my $vault = value($database, q(SELECT string_agg(nspname, ',') FROM pg_namespace WHERE nspname LIKE 'safemig_vault_%'));
	like($vault, qr/^safemig_vault_\d+$/, 'there is a vault');
	my ($status, $out, $err) = in_database($database, "DROP SCHEMA $vault CASCADE");
	ok($status, 'it does not go') or diag($out);
	like($err, qr/safemig/, 'and why is said');
	is(value($database, 'SELECT safemig_rollback(safemig_mark()) > 0; SELECT a FROM gone'), "t\n1", 'the rows come back');
};

done_testing();
