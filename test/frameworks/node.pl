# Knex, TypeORM, Sequelize, umzug, node-pg-migrate, db-migrate, Kysely, Drizzle,
# MikroORM, graphile-migrate, postgrator, dbmate, Prisma 6.

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
		history => ['SequelizeMeta'],
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

sub dbmate
{
	my ($run) = @_;
	my ($binary) = glob "$run->{node_modules}/\@dbmate/linux-x64/bin/dbmate";
	return ($binary, '-d', 'migrations', '-u', "postgres://$run->{user}\@/$run->{database}?host=$run->{host}&port=$run->{port}&sslmode=disable");
}
