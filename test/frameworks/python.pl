# Alembic, Django, yoyo.

package FrameworkClients::Python;

use strict;
use warnings;
use FrameworkClients;

my $python = '/usr/bin/python3';

sub alembic_config
{
	my ($run) = @_;
	write_file($run, 'alembic.ini', <<"INI");
[alembic]
script_location = migrations
sqlalchemy.url = postgresql+psycopg2://$run->{user}\@/$run->{database}?host=$run->{host}&port=$run->{port}
INI
	write_file($run, 'migrations/env.py', <<'PY');
from alembic import context
from sqlalchemy import engine_from_config, pool
engine = engine_from_config(context.config.get_section("alembic"), prefix="sqlalchemy.", poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
PY
	write_file($run, 'migrations/versions/.keep', '');
	return;
}

sub django_project
{
	my ($run) = @_;
	write_file($run, 'settings.py', <<"PY");
SECRET_KEY = "x"
INSTALLED_APPS = ["app"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "$run->{database}", "USER": "$run->{user}",
    "HOST": "$run->{host}", "PORT": "$run->{port}"}}
PY
	write_file($run, 'app/__init__.py', '');
	write_file($run, 'app/migrations/__init__.py', '');
	return;
}

# The first as models have it, with a foreign key, whose SQL is deferred.
sub django_operations
{
	my ($n) = @_;
	return <<'PY' if $n == 1;
        migrations.CreateModel("User", [("id", models.AutoField(primary_key=True)), ("name", models.TextField())], options={"db_table": "users"}),
        migrations.CreateModel("Post", [("id", models.AutoField(primary_key=True)),
            ("user", models.ForeignKey("app.User", null=True, on_delete=models.CASCADE)), ("body", models.TextField(null=True))], options={"db_table": "posts"}),
PY
	return join '', map { qq(        migrations.RunSQL("""$_"""),\n) } migration_sql($n);
}

return [
	{
		name => 'alembic',
		client => 'Alembic',
		needs => [ $python, '-c', 'import alembic, psycopg2' ],
		version => [ $python, '-m', 'alembic', '--version' ],
		history => ['alembic_version'],
		setup => \&alembic_config,
		write => sub {
			my ($run, $n) = @_;
			my $previous = $n > 1 ? '"a' . ($n - 1) . '"' : 'None';
			my $body = join '', map { qq(    op.execute("""$_""")\n) } migration_sql($n);
			write_file($run, "migrations/versions/a$n.py",
				qq(from alembic import op\nrevision = "a$n"\ndown_revision = $previous\ndef upgrade():\n$body\ndef downgrade():\n    pass\n));
		},
		up => sub { ($python, '-m', 'alembic', 'upgrade', 'head') },
		pending => sub {
			my ($run) = @_;
			my ($current) = (command_output($run, $python, '-m', 'alembic', 'current'))[1] =~ /^a(\d)/m;
			my @files = map { /a(\d)\.py$/ ? $1 : () } glob "$run->{dir}/migrations/versions/*.py";
			return grep { $_ > ($current // 0) } @files;
		},
	},
	{
		name => 'django',
		client => 'Django',
		needs => [ $python, '-c', 'import django, psycopg2' ],
		version => [ $python, '-m', 'django', '--version' ],
		history => ['django_migrations'],
		setup => \&django_project,
		write => sub {
			my ($run, $n) = @_;
			my $needs = $n > 1 ? '("app", "000' . ($n - 1) . '_m")' : '';
			write_file($run, "app/migrations/000${n}_m.py",
				"from django.db import migrations, models\nclass Migration(migrations.Migration):\n    dependencies = [$needs]\n    operations = [\n"
				  . django_operations($n) . "    ]\n");
		},
		up => sub { ($python, '-m', 'django', 'migrate', '--pythonpath=.', '--settings=settings') },
		pending => sub {
			my ($run) = @_;
			return (command_output($run, $python, '-m', 'django', 'showmigrations', '--pythonpath=.', '--settings=settings'))[1] =~ /\[ \] 000(\d)_m/g;
		},
	},
	{
		name => 'yoyo',
		needs => [ $python, '-c', 'import yoyo, psycopg2' ],
		version => [ 'dpkg-query', '-W', 'python3-yoyo' ],
		history => [ '_yoyo*', 'yoyo_lock' ],
		logs => ['_yoyo_log'],
		write => sub {
			my ($run, $n) = @_;
			write_file($run, "migrations/000$n.m.sql", ($n > 1 ? '-- depends: 000' . ($n - 1) . ".m\n" : '') . join(";\n", migration_sql($n)) . ";\n");
		},
		up => sub { my ($run) = @_; ($python, '-m', 'yoyo', 'apply', '--batch', '--no-config-file', '-d', yoyo_url($run), 'migrations') },
		pending => sub {
			my ($run) = @_;
			return (command_output($run, $python, '-m', 'yoyo', 'list', '--no-config-file', '-d', yoyo_url($run), 'migrations'))[1] =~ /^\s*U\s+000(\d)/mg;
		},
	},
];

sub yoyo_url
{
	my ($run) = @_;
	return "postgresql://$run->{user}\@/$run->{database}?host=$run->{host}&port=$run->{port}";
}
