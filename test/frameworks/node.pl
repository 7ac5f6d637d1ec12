# Knex, TypeORM, Sequelize, umzug, node-pg-migrate, db-migrate, Kysely, Drizzle,
# MikroORM, graphile-migrate, postgrator, dbmate, Prisma 6.

package FrameworkClients::Node;

use strict;
use warnings;
use FrameworkClients;

sub has
{
	my (@packages) = @_;
	return sub {
		my ($run) = @_;
		return $run->{node_modules} && !grep { !-e "$run->{node_modules}/$_" } @packages;
	};
}

sub version_of
{
	my ($package) = @_;
	return sub {
		my ($run) = @_;
		return ('node', '-p', "require('$run->{node_modules}/$package/package.json').version");
	};
}

sub quoted { return join ', ', map { '`' . $_ . '`' } @_ }

# A program that knows "up" and, if it has no status of its own, "pending".
sub program
{
	my ($name, $text) = @_;
	return sub { node_program($_[0], $name, $text); write_file($_[0], 'migrations/.keep', '') if $name !~ /prisma|drizzle/; };
}

sub pending_by
{
	my ($pattern, @command) = @_;
	return sub { (command_output($_[0], @command))[1] =~ /$pattern/mg };
}

my $client = 'const client = { host: process.env.PGHOST, port: +process.env.PGPORT, database: process.env.PGDATABASE, user: process.env.PGUSER };';

sub drizzle_files
{
	my ($run, $n) = @_;
	write_file($run, "migrations/000${_}_m.sql", join("\n--> statement-breakpoint\n", map { "$_;" } migration_sql($_))) foreach 1 .. $n;
	write_file($run, 'migrations/meta/_journal.json', '{"version":"7","dialect":"postgresql","entries":['
		  . join(',', map { '{"idx":' . ($_ - 1) . ',"version":"7","when":170000000000' . $_ . ',"tag":"000' . $_ . '_m","breakpoints":true}' } 1 .. $n) . ']}');
	return;
}

return [
	{
		name => 'knex',
		client => 'Knex',
		needs => has(qw(knex pg)),
		version => version_of('knex'),
		history => [ 'knex_migrations', 'knex_migrations_lock', 'knex_migrations_lock_index_seq' ],
		setup => program('knexfile.js', "$client\nmodule.exports = { client: 'pg', connection: client, migrations: { directory: './migrations', loadExtensions: ['.js'] } };"),
		write => sub {
			my ($run, $n) = @_;
			write_file($run, "migrations/000${n}_m.js", 'exports.up = async k => { for (const s of [' . quoted(migration_sql($n)) . "]) await k.raw(s); };\nexports.down = async k => {};\n");
		},
		up => sub { ('node', 'node_modules/knex/bin/cli.js', 'migrate:latest') },
		pending => sub {
			my $output = (command_output($_[0], 'node', 'node_modules/knex/bin/cli.js', 'migrate:list'))[1];
			$output =~ s/.*(?:Pending|No Pending)//s or return;
			return $output =~ /000(\d)_m\.js/g;
		},
	},
	{
		name => 'typeorm',
		client => 'TypeORM',
		needs => has(qw(typeorm pg)),
		version => version_of('typeorm'),
		history => ['migrations'],
		setup => program('source.js', "const { DataSource } = require('typeorm');\nmodule.exports = { source: new DataSource({ type: 'postgres', host: process.env.PGHOST, port: +process.env.PGPORT, database: process.env.PGDATABASE, username: process.env.PGUSER, migrations: ['migrations/*.js'], migrationsTableName: 'migrations' }) };"),
		write => sub {
			my ($run, $n) = @_;
			write_file($run, "migrations/170000000000$n-m.js", "module.exports = { M170000000000$n: class { name = 'M170000000000$n'; async up(q) { for (const s of [" . quoted(migration_sql($n)) . "]) await q.query(s); } async down(q) {} } };\n");
		},
		up => sub { ('node', 'node_modules/typeorm/cli.js', '-d', 'source.js', 'migration:run') },
		pending => pending_by('^\[ \].*M170000000000(\d)', 'node', 'node_modules/typeorm/cli.js', '-d', 'source.js', 'migration:show'),
	},
	{
		name => 'sequelize',
		client => 'Sequelize CLI',
		needs => has(qw(sequelize sequelize-cli pg)),
		version => version_of('sequelize'),
		history => ['"SequelizeMeta"'],
		preload => 1,
		setup => program('config/config.js', 'module.exports = { development: { dialect: "postgres", host: process.env.PGHOST, port: +process.env.PGPORT, database: process.env.PGDATABASE, username: process.env.PGUSER, logging: false } };'),
		write => sub {
			my ($run, $n) = @_;
			write_file($run, "migrations/000${n}-m.js", 'module.exports = { up: async q => { for (const s of [' . quoted(migration_sql($n)) . "]) await q.sequelize.query(s); }, down: async q => {} };\n");
		},
		up => sub { ('node', 'node_modules/sequelize-cli/lib/sequelize', 'db:migrate') },
		pending => pending_by('^down 000(\d)', 'node', 'node_modules/sequelize-cli/lib/sequelize', 'db:migrate:status'),
	},
	{
		name => 'node-pg-migrate',
		needs => has(qw(node-pg-migrate pg)),
		version => version_of('node-pg-migrate'),
		history => ['pgmigrations'],
		setup => program('run.mjs', <<'JS'),
import { runner } from 'node-pg-migrate';
const done = await runner({ databaseUrl: { host: process.env.PGHOST, port: +process.env.PGPORT, database: process.env.PGDATABASE, user: process.env.PGUSER },
	dir: 'migrations', ignorePattern: '\\..*', migrationsTable: 'pgmigrations', direction: 'up', dryRun: process.argv[2] === 'pending', log: () => {} });
if (process.argv[2] === 'pending') for (const m of done) console.log('pending ' + m.name);
JS
		write => sub {
			my ($run, $n) = @_;
			write_file($run, "migrations/170000000000${n}_m.cjs", 'exports.up = p => { for (const s of [' . quoted(migration_sql($n)) . "]) p.sql(s); };\nexports.down = false;\n");
		},
		up => sub { ('node', 'run.mjs', 'up') },
		pending => pending_by('^pending 170000000000(\d)', 'node', 'run.mjs', 'pending'),
	},
	{
		name => 'kysely',
		client => 'Kysely',
		needs => has(qw(kysely pg)),
		version => version_of('kysely'),
		history => [ 'kysely_migration', 'kysely_migration_lock' ],
		setup => program('run.mjs', <<"JS"),
import { Kysely, Migrator, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import fs from 'node:fs';
$client
const db = new Kysely({ dialect: new PostgresDialect({ pool: new pg.Pool(client) }) });
const migrator = new Migrator({ db, provider: { async getMigrations() {
	return Object.fromEntries(fs.readdirSync('migrations').filter(f => f.endsWith('.sql')).sort().map(f =>
		[f, { async up(db) { for (const s of fs.readFileSync('migrations/' + f, 'utf8').split('\\n')) if (s) await sql.raw(s).execute(db); } }]));
} } });
if (process.argv[2] === 'up') { const { error } = await migrator.migrateToLatest(); if (error) { console.error(error); process.exitCode = 1; } }
else for (const m of await migrator.getMigrations()) if (!m.executedAt) console.log('pending ' + m.name);
await db.destroy();
JS
		write => sub { my ($run, $n) = @_; write_file($run, "migrations/000$n.sql", join("\n", migration_sql($n))) },
		up => sub { ('node', 'run.mjs', 'up') },
		pending => pending_by('^pending 000(\d)', 'node', 'run.mjs', 'pending'),
	},
	{
		name => 'drizzle',
		client => 'Drizzle',
		needs => has(qw(drizzle-orm pg)),
		version => version_of('drizzle-orm'),
		schemas => ['drizzle'],
		setup => program('run.mjs', <<"JS"),
import { drizzle } from 'drizzle-orm/node-postgres';
import { migrate } from 'drizzle-orm/node-postgres/migrator';
import pg from 'pg';
import fs from 'node:fs';
$client
const pool = new pg.Pool(client);
if (process.argv[2] === 'up') { try { await migrate(drizzle(pool), { migrationsFolder: 'migrations' }); } catch (e) { console.error(e); process.exitCode = 1; } }
else {
	const last = (await pool.query('SELECT max(created_at) AS n FROM drizzle.__drizzle_migrations')).rows[0].n;
	for (const e of JSON.parse(fs.readFileSync('migrations/meta/_journal.json')).entries) if (e.when > (last ?? 0)) console.log('pending ' + e.tag);
}
await pool.end();
JS
		write => \&drizzle_files,
		up => sub { ('node', 'run.mjs', 'up') },
		pending => pending_by('^pending 000(\d)', 'node', 'run.mjs', 'pending'),
	},
	{
		name => 'umzug',
		needs => has(qw(umzug sequelize pg)),
		version => version_of('umzug'),
		history => ['umzug_meta'],
		setup => program('run.js', <<'JS'),
const { Umzug, SequelizeStorage } = require('umzug');
const { Sequelize } = require('sequelize');
const sequelize = new Sequelize({ dialect: 'postgres', host: process.env.PGHOST, port: +process.env.PGPORT, database: process.env.PGDATABASE, username: process.env.PGUSER, logging: false });
const umzug = new Umzug({ migrations: { glob: 'migrations/*.js' }, context: sequelize, storage: new SequelizeStorage({ sequelize, tableName: 'umzug_meta' }), logger: undefined });
(async () => {
	if (process.argv[2] === 'up') await umzug.up();
	else for (const m of await umzug.pending()) console.log('pending ' + m.name);
	await sequelize.close();
})().catch(e => { console.error(e); process.exitCode = 1; return sequelize.close(); });
JS
		write => sub {
			my ($run, $n) = @_;
			write_file($run, "migrations/000${n}_m.js", 'exports.up = async ({ context }) => { await context.query(`' . join('; ', migration_sql($n)) . "`); };\n");
		},
		up => sub { ('node', 'run.js', 'up') },
		pending => pending_by('^pending 000(\d)', 'node', 'run.js', 'pending'),
	},
	{
		name => 'db-migrate',
		needs => has(qw(db-migrate db-migrate-pg)),
		version => version_of('db-migrate'),
		history => ['migrations'],
		setup => sub {
			my ($run) = @_;
			program('none.js', '')->($run);
			write_file($run, 'database.json', qq({"dev": {"driver": "pg", "host": "$run->{host}", "port": $run->{port}, "database": "$run->{database}", "user": "$run->{user}"}}));
		},
		write => sub {
			my ($run, $n) = @_;
			write_file($run, "migrations/2024010100000$n-m.js", 'exports.up = async db => { for (const s of [' . quoted(migration_sql($n)) . "]) await db.runSql(s); };\nexports.down = async db => {};\nexports._meta = { version: 1 };\n");
		},
		up => sub { ('node', 'node_modules/db-migrate/bin/db-migrate', 'up') },
		pending => sub {
			my ($run) = @_;
			my ($ok, $output) = command_output($run, 'psql', '-XAtc', q(SELECT name FROM migrations));
			my %ran = map { /2024010100000(\d)/ ? ($1 => 1) : () } split /\n/, $output;
			return grep { !$ran{$_} } map { /2024010100000(\d)/ } glob "$run->{dir}/migrations/*.js";
		},
	},
	{
		name => 'mikro-orm',
		client => 'MikroORM',
		needs => has(qw(@mikro-orm/core @mikro-orm/postgresql @mikro-orm/migrations)),
		version => version_of('@mikro-orm/core'),
		history => ['mikro_orm_migrations'],
		setup => program('run.js', <<'JS'),
const { MikroORM, EntitySchema } = require('@mikro-orm/postgresql');
const { Migrator } = require('@mikro-orm/migrations');
const None = new EntitySchema({ name: 'None', properties: { id: { type: 'number', primary: true } } });
(async () => {
	const orm = await MikroORM.init({ host: process.env.PGHOST, port: +process.env.PGPORT, dbName: process.env.PGDATABASE, user: process.env.PGUSER,
		entities: [None], extensions: [Migrator], migrations: { path: 'migrations', glob: '*.js', snapshot: false }, ensureDatabase: false, discovery: { warnWhenNoEntities: false } });
	try {
		if (process.argv[2] === 'up') await orm.getMigrator().up();
		else for (const m of await orm.getMigrator().getPendingMigrations()) console.log('pending ' + m.name);
	} catch (e) { console.error(e); process.exitCode = 1; }
	await orm.close();
})();
JS
		write => sub {
			my ($run, $n) = @_;
			write_file($run, "migrations/Migration2024010100000$n.js", "const { Migration } = require('\@mikro-orm/migrations');\nexports.Migration2024010100000$n = class extends Migration { async up() { for (const s of ["
				  . quoted(migration_sql($n)) . "]) this.addSql(s); } async down() {} };\n");
		},
		up => sub { ('node', 'run.js', 'up') },
		pending => pending_by('^pending Migration2024010100000(\d)', 'node', 'run.js', 'pending'),
	},
	{
		name => 'postgrator',
		needs => has(qw(postgrator pg)),
		version => version_of('postgrator'),
		history => ['schemaversion'],
		setup => program('run.mjs', <<"JS"),
import Postgrator from 'postgrator';
import pg from 'pg';
$client
const db = new pg.Client(client);
await db.connect();
const postgrator = new Postgrator({ migrationPattern: 'migrations/*.sql', driver: 'pg', database: client.database, schemaTable: 'schemaversion', execQuery: q => db.query(q) });
try {
	if (process.argv[2] === 'up') await postgrator.migrate();
	else {
		const now = await postgrator.getDatabaseVersion();
		for (const m of await postgrator.getMigrations()) if (m.action === 'do' && m.version > now) console.log('pending ' + m.version);
	}
} catch (e) { console.error(e); process.exitCode = 1; }
await db.end();
JS
		write => sub { my ($run, $n) = @_; write_file($run, "migrations/00$n.do.m$n.sql", join('', map { "$_;\n" } migration_sql($n))) },
		up => sub { ('node', 'run.mjs', 'up') },
		pending => pending_by('^pending (\d)', 'node', 'run.mjs', 'pending'),
	},
	{
		name => 'graphile-migrate',
		needs => has(qw(graphile-migrate)),
		version => version_of('graphile-migrate'),
		schemas => ['graphile_migrate'],
		setup => sub {
			program('run.js', <<'JS')->($_[0]);
const { migrate, status } = require('graphile-migrate');
const url = `postgres://${process.env.PGUSER}@${encodeURIComponent(process.env.PGHOST)}:${process.env.PGPORT}/${process.env.PGDATABASE}`;
const settings = { connectionString: url, rootConnectionString: url.replace(/[^/]*$/, 'template1'), shadowConnectionString: url.replace(/[^/]*$/, 'shadow'), migrationsFolder: 'migrations' };
(async () => {
	if (process.argv[2] === 'up') await migrate(settings);
	else console.log('remaining ' + (await status(settings)).remainingMigrations.join(' '));
})().catch(e => { console.error(e); process.exitCode = 1; });
JS
			write_file($_[0], 'migrations/current.sql', '');
		},
		write => sub {
			my ($run, $n) = @_;
			require Digest::SHA;
			my $previous = '-';
			foreach my $m (1 .. $n)
			{
				my $body = join('', map { "$_;\n" } migration_sql($m));
				$body =~ s/\s+\z//;
				my $hash = 'sha1:' . Digest::SHA::sha1_hex(($m > 1 ? "$previous\n" : '') . "$body\n");
				write_file($run, sprintf('migrations/committed/%06d.sql', $m), "--! Previous: $previous\n--! Hash: $hash\n\n$body\n");
				$previous = $hash;
			}
		},
		up => sub { ('node', 'run.js', 'up') },
		pending => sub { (command_output($_[0], 'node', 'run.js', 'status'))[1] =~ /00000(\d)\.sql/g },
	},
	{
		name => 'prisma',
		client => 'Prisma 6',
		needs => has(qw(prisma @prisma/adapter-pg)),
		version => version_of('prisma'),
		history => ['_prisma_migrations'],
		preload => 1,
		setup => sub {
			my ($run) = @_;
			node_program($run, 'prisma.config.ts', <<'TS');
import { PrismaPg } from '@prisma/adapter-pg';
export default {
	experimental: { adapter: true },
	engine: 'js',
	schema: './schema.prisma',
	migrations: { path: './migrations' },
	async adapter() { return new PrismaPg({ host: process.env.PGHOST, port: +process.env.PGPORT!, database: process.env.PGDATABASE, user: process.env.PGUSER }); },
};
TS
			write_file($run, 'schema.prisma', qq(datasource db {\n  provider = "postgresql"\n  url = "postgresql://x"\n}\n));
			write_file($run, 'stub', '');
			write_file($run, 'migrations/migration_lock.toml', qq(provider = "postgresql"\n));
		},
		write => sub { my ($run, $n) = @_; write_file($run, "migrations/2024010100000${n}_m/migration.sql", join('', map { "$_;\n" } migration_sql($n))) },
		up => sub { prisma($_[0], 'deploy') },
		pending => sub {
			my ($run) = @_;
			my $output = (command_output($run, prisma($run, 'status')))[1];
			return $output =~ /not yet been applied/ ? $output =~ /^2024010100000(\d)_m/mg : ();
		},
	},
	{
		name => 'liquibase',
		client => 'Liquibase',
		needs => sub { has('liquibase')->($_[0]) && system('command -v java >/dev/null') == 0 },
		version => version_of('liquibase'),
		history => [ 'databasechangelog', 'databasechangeloglock' ],
		setup => program('none.js', ''),
		write => sub {
			my ($run, $n) = @_;
			write_file($run, 'changelog.sql', "--liquibase formatted sql\n" . join '', map { "--changeset x:m$_\n" . join('', map { "$_;\n" } migration_sql($_)) } 1 .. $n);
		},
		up => sub { liquibase($_[0], 'update') },
		pending => sub { my ($run) = @_; (command_output($run, liquibase($run, 'status', '--verbose')))[1] =~ /::m(\d)::x/g },
	},
	{
		name => 'dbmate',
		needs => has(qw(dbmate @dbmate/linux-x64)),
		version => version_of('dbmate'),
		history => ['schema_migrations'],
		setup => program('none.js', ''),
		write => sub {
			my ($run, $n) = @_;
			write_file($run, "migrations/2024010100000${n}_m.sql", "-- migrate:up\n" . join('', map { "$_;\n" } migration_sql($n)) . "-- migrate:down\n");
		},
		up => sub { my ($run) = @_; (dbmate($run), '--no-dump-schema', 'migrate') },
		pending => sub { my ($run) = @_; (command_output($run, dbmate($run), 'status'))[1] =~ /^\[ \] 2024010100000(\d)/mg },
	},
];

sub prisma
{
	my ($run, $command) = @_;
	return ('env', "PRISMA_QUERY_ENGINE_LIBRARY=$run->{dir}/stub", "PRISMA_SCHEMA_ENGINE_BINARY=$run->{dir}/stub",
		'node', 'node_modules/prisma/build/index.js', 'migrate', $command);
}

sub liquibase
{
	my ($run, @command) = @_;
	my $home = "$run->{node_modules}/liquibase/dist/liquibase";
	$home = "$run->{node_modules}/liquibase/lib/liquibase" unless -d $home;
	return ('java', '-cp', "$home/internal/lib/*:$home/lib/*:$home/*", 'liquibase.integration.commandline.LiquibaseCommandLine',
		'--changelog-file=changelog.sql', "--username=$run->{user}", '--password=x',
		"--url=jdbc:postgresql://127.0.0.1:$run->{port}/$run->{database}", @command);
}

sub dbmate
{
	my ($run) = @_;
	my ($binary) = glob "$run->{node_modules}/\@dbmate/linux-x64/bin/dbmate";
	return ($binary, '-d', 'migrations', '-u', "postgres://$run->{user}\@/$run->{database}?host=$run->{host}&port=$run->{port}&sslmode=disable");
}
