# ActiveRecord, Sequel, Sqitch, sql-migrate, Laravel, Mojo::Pg.

package FrameworkClients::Others;

use strict;
use warnings;
use FrameworkClients;

my @php = ('php', '-d', 'include_path=/usr/share/php');

sub quoted { return map { s/'/\\'/gr } @_ }

# Laravel's migrator without Laravel.
my $laravel = <<'PHP';
<?php
foreach (['Illuminate/Database', 'Illuminate/Filesystem', 'Illuminate/Events', 'Illuminate/Container', 'Illuminate/Support', 'Illuminate/Console'] as $part)
	if (file_exists("/usr/share/php/$part/autoload.php")) require_once "/usr/share/php/$part/autoload.php";
use Illuminate\Container\Container;
use Illuminate\Database\Capsule\Manager;
use Illuminate\Database\Migrations\DatabaseMigrationRepository;
use Illuminate\Database\Migrations\Migrator;
use Illuminate\Filesystem\Filesystem;
use Illuminate\Support\Facades\Facade;
$container = new Container;
$manager = new Manager($container);
$manager->addConnection(['driver' => 'pgsql', 'host' => getenv('PGHOST'), 'port' => getenv('PGPORT'),
	'database' => getenv('PGDATABASE'), 'username' => getenv('PGUSER'), 'charset' => 'utf8', 'schema' => 'public']);
$manager->setAsGlobal();
$container->instance('db', $manager->getDatabaseManager());
$container->bind('db.schema', function () use ($manager) { return $manager->getConnection()->getSchemaBuilder(); });
Facade::setFacadeApplication($container);
$repository = new DatabaseMigrationRepository($manager->getDatabaseManager(), 'migrations');
if (!$repository->repositoryExists()) $repository->createRepository();
$migrator = new Migrator($repository, $manager->getDatabaseManager(), new Filesystem);
if ($argv[1] == 'up')
	$migrator->run([__DIR__ . '/migrations']);
else
	foreach ($migrator->getMigrationFiles([__DIR__ . '/migrations']) as $name => $file)
		if (!in_array($name, $repository->getRan())) echo "pending $name\n";
PHP

my $mojo = <<'PERL';
use Mojo::Pg;
my $pg = Mojo::Pg->new("postgresql:///$ENV{PGDATABASE}");
my $migrations = $pg->migrations->name('probe')->from_file('migrations.sql');
if ($ARGV[0] eq 'up') { $migrations->migrate }
else { print "active ", $migrations->active, " latest ", $migrations->latest, "\n" }
PERL

my $active_record = <<'RUBY';
require 'active_record'
ActiveRecord::Base.establish_connection(adapter: 'postgresql', host: ENV['PGHOST'], port: ENV['PGPORT'], database: ENV['PGDATABASE'], username: ENV['PGUSER'])
ActiveRecord::Migration.verbose = false
context = ActiveRecord::MigrationContext.new('migrations', ActiveRecord::SchemaMigration)
if ARGV[0] == 'up' then context.migrate
else context.migrations_status.each { |status, version, name| puts "#{status} #{version}" } end
RUBY

my $sequel = <<'RUBY';
require 'sequel'
Sequel.extension :migration
DB = Sequel.connect(adapter: 'postgres', host: ENV['PGHOST'], port: ENV['PGPORT'], database: ENV['PGDATABASE'], user: ENV['PGUSER'])
if ARGV[0] == 'up' then Sequel::Migrator.run(DB, 'migrations')
else
  done = DB.table_exists?(:schema_migrations) ? DB[:schema_migrations].select_map(:filename) : []
  Dir['migrations/*.rb'].each { |f| puts "pending #{File.basename(f)}" unless done.include?(File.basename(f)) }
end
RUBY

return [
	{
		name => 'activerecord',
		client => 'ActiveRecord',
		needs => [ 'ruby', '-e', q(require 'active_record'; require 'pg') ],
		version => [ 'ruby', '-e', q(require 'active_record'; puts ActiveRecord.version) ],
		history => [ 'schema_migrations', 'ar_internal_metadata' ],
		setup => sub { write_file($_[0], 'run.rb', $active_record); write_file($_[0], 'migrations/.keep', '') },
		write => sub {
			my ($run, $n) = @_;
			write_file($run, "migrations/2024010100000${n}_m$n.rb", "class M$n < ActiveRecord::Migration[6.1]\n  def up\n"
				  . join('', map { "    execute %q{$_}\n" } migration_sql($n)) . "  end\nend\n");
		},
		up => sub { ('ruby', 'run.rb', 'up') },
		pending => sub { (command_output($_[0], 'ruby', 'run.rb', 'status'))[1] =~ /^down 2024010100000(\d)/mg },
	},
	{
		name => 'sequel',
		client => 'Sequel',
		needs => [ 'ruby', '-e', q(require 'sequel'; require 'pg') ],
		version => [ 'ruby', '-e', q(require 'sequel'; puts Sequel.version) ],
		history => ['schema_migrations'],
		setup => sub { write_file($_[0], 'run.rb', $sequel); write_file($_[0], 'migrations/.keep', '') },
		write => sub {
			my ($run, $n) = @_;
			write_file($run, "migrations/2024010100000${n}_m$n.rb", "Sequel.migration do\n  up do\n"
				  . join('', map { "    run %q{$_}\n" } migration_sql($n)) . "  end\nend\n");
		},
		up => sub { ('ruby', 'run.rb', 'up') },
		pending => sub { (command_output($_[0], 'ruby', 'run.rb', 'status'))[1] =~ /^pending 2024010100000(\d)/mg },
	},
	{
		name => 'sqitch',
		client => 'Sqitch',
		needs => [ 'sqitch', '--version' ],
		version => [ 'sqitch', '--version' ],
		schemas => ['sqitch'],
		setup => sub {
			my ($run) = @_;
			write_file($run, 'sqitch.conf', "[core]\n\tengine = pg\n[user]\n\tname = x\n\temail = x\@x\n");
			write_file($run, 'sqitch.plan', "%syntax-version=1.0.0\n%project=probe\n\n");
		},
		write => sub {
			my ($run, $n) = @_;
			write_file($run, "deploy/m$n.sql", 'BEGIN; ' . join("; ", migration_sql($n)) . "; COMMIT;\n");
			write_file($run, 'sqitch.plan', "%syntax-version=1.0.0\n%project=probe\n\n"
				  . join('', map { "m$_" . ($_ > 1 ? ' [m' . ($_ - 1) . ']' : '') . " 2024-01-0${_}T00:00:00Z x <x\@x> # $_\n" } 1 .. $n));
		},
		up => sub { my ($run) = @_; ('sqitch', 'deploy', "db:pg:$run->{database}") },
		pending => sub {
			my ($run) = @_;
			my $output = (command_output($run, 'sqitch', 'status', "db:pg:$run->{database}"))[1];
			return $output =~ /No changes deployed/ ? map { /m(\d)\.sql/ } glob "$run->{dir}/deploy/*.sql" : $output =~ /^\s+\* m(\d)/mg;
		},
	},
	{
		name => 'sql-migrate',
		needs => [ 'sh', '-c', 'command -v sql-migrate' ],
		version => [ 'dpkg-query', '-W', 'sql-migrate' ],
		history => ['gorp_migrations'],
		setup => sub {
			my ($run) = @_;
			write_file($run, 'dbconfig.yml', "development:\n  dialect: postgres\n  dir: migrations\n  datasource: host=$run->{host} port=$run->{port} dbname=$run->{database} user=$run->{user} sslmode=disable\n");
		},
		write => sub {
			my ($run, $n) = @_;
			write_file($run, "migrations/000${n}_m.sql", "-- +migrate Up\n" . join('', map { "$_;\n" } migration_sql($n)) . "-- +migrate Down\n");
		},
		up => sub { ('sql-migrate', 'up') },
		pending => sub { (command_output($_[0], 'sql-migrate', 'status'))[1] =~ /000(\d)_m\.sql\s*\|\s*no/g },
	},
	{
		name => 'laravel',
		client => 'Laravel (illuminate/database)',
		needs => [ 'test', '-e', '/usr/share/php/Illuminate/Database/autoload.php' ],
		version => [ 'dpkg-query', '-W', 'php-illuminate-database' ],
		history => ['migrations'],
		setup => sub { write_file($_[0], 'run.php', $laravel); write_file($_[0], 'migrations/.keep', '') },
		write => sub {
			my ($run, $n) = @_;
			write_file($run, "migrations/2024_01_01_00000${n}_m$n.php", "<?php\nclass M$n extends Illuminate\\Database\\Migrations\\Migration {\n\tpublic function up() {\n"
				  . join('', map { "\t\tIlluminate\\Database\\Capsule\\Manager::connection()->statement('$_');\n" } quoted(migration_sql($n))) . "\t}\n}\n");
		},
		up => sub { (@php, 'run.php', 'up') },
		pending => sub { (command_output($_[0], @php, 'run.php', 'status'))[1] =~ /^pending 2024_01_01_00000(\d)/mg },
	},
	{
		name => 'mojo-pg',
		client => 'Mojo::Pg',
		needs => [ '/usr/bin/perl', '-MMojo::Pg', '-e', '1' ],
		version => [ '/usr/bin/perl', '-MMojo::Pg', '-e', 'print "$Mojo::Pg::VERSION.0"' ],
		history => ['mojo_migrations'],
		undivided => 1,
		setup => sub { write_file($_[0], 'run.perl', $mojo) },
		write => sub {
			my ($run, $n) = @_;
			write_file($run, 'migrations.sql', join '', map { "-- $_ up\n" . join('', map { "$_;\n" } migration_sql($_)) . "-- $_ down\nSELECT 1;\n" } 1 .. $n);
		},
		up => sub { ('/usr/bin/perl', 'run.perl', 'up') },
		pending => sub {
			my ($active, $latest) = (command_output($_[0], '/usr/bin/perl', 'run.perl', 'status'))[1] =~ /active (\d+) latest (\d+)/;
			return $active + 1 .. $latest;
		},
	},
];
