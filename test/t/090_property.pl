
# Copyright (c) 2026, the safemig authors

# Random sequences of migrations over a schema that has something of
# everything, each rolled back and redone.  pg_regress cannot show it: nobody
# has thought of these statements, and the proof is a comparison of dumps and
# catalogs.
#
# SAFEMIG_SEED=n begins with sequence n, SAFEMIG_SEQUENCES=n runs so many.  A
# sequence that fails is printed as the shortest list of migrations that still
# fails in the same way; SAFEMIG_MINIMISE=0 prints it as it came.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use JSON::PP ();
use SafemigOracle ();
use SafemigRandom ();
use SafemigSession ();
use SafemigTest;
use Test::More;

my $first = $ENV{SAFEMIG_SEED} // 1;
my $sequences = $ENV{SAFEMIG_SEQUENCES} // 10;
my $minimise = $ENV{SAFEMIG_MINIMISE} // 1;
my %count = map { $_ => 0 } 'not redone', 'not let', 'checked',
  qw(statements errors exact nothing declared conflict writes);

# Statements that put each sequence where it is now.
my $positions_query = <<'SQL';
SELECT format('SELECT setval(%L, %s, %L);', c.oid::regclass, (xpath('/row/last_value/text()', x))[1], (xpath('/row/is_called/text()', x))[1])
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace,
	query_to_xml(format('SELECT last_value, is_called FROM %s', c.oid::regclass), true, true, '') AS x
WHERE nspname !~ '^(pg_|safemig|information_schema)' AND relkind = 'S' ORDER BY 1;
SQL

# What the dump and the catalog query are too slow or too coarse for: every
# row, the state of each sequence, comments.
my $rows_query = <<'SQL';
SELECT format('%s %s %s', CASE relkind WHEN 'm' THEN 'derived' ELSE 'rows' END, c.oid::regclass, regexp_replace((xpath('/*', query_to_xml(format('SELECT count(*) AS n, md5(string_agg(whole_row::text, chr(10) ORDER BY whole_row::text)) AS h FROM %s %s AS whole_row', CASE WHEN relkind = 'r' THEN 'ONLY' ELSE '' END, c.oid::regclass), true, true, '')))[1]::text, '\s+', ' ', 'g'))
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname !~ '^(pg_|safemig|information_schema)' AND (relkind = 'r' OR relkind = 'm' AND relispopulated) ORDER BY 1;
SELECT format('sequence %s %s', c.oid::regclass, regexp_replace((xpath('/*', query_to_xml(format('SELECT last_value, is_called FROM %s', c.oid::regclass), true, true, '')))[1]::text, '\s+', ' ', 'g'))
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname !~ '^(pg_|safemig|information_schema)' AND relkind = 'S' ORDER BY 1;
SELECT format('comment %s %s: %s', o.type, o.identity, description)
FROM pg_description, pg_identify_object(classoid, objoid, objsubid) o
WHERE (objoid >= 16384 OR classoid = 'pg_namespace'::regclass) AND o.identity !~ 'safemig' ORDER BY 1;
SELECT format('privileges by default %s %s %s %s', defaclrole::regrole, defaclnamespace::regnamespace, defaclobjtype, defaclacl)
FROM pg_default_acl ORDER BY 1;
SQL

start_server('property',
	conf => "fsync = off\nautovacuum = off\nmax_locks_per_transaction = 512\nsession_preload_libraries = 'safemig'");
new_database('property_template');
prepare_template();

my $start;
my $failures = 0;
foreach my $seed ($first .. $first + $sequences - 1)
{
	my $result = sequence($seed);
	ok(!$result->{failure}, "sequence $seed") and next;
	$failures++;
	my $plan = $result->{plan};
	$plan = minimise($seed, $result) if $minimise;
	diag("$result->{failure}: $result->{detail}\n" . plan_text($plan));
}
diag(join ', ', map { "$count{$_} $_" } sort keys %count);
diag("$failures of $sequences sequences failed");
done_testing();

sub prepare_template
{
	open my $file, '<', "$FindBin::RealBin/../perl/random.sql" or die $!;
	my $schema = join '', <$file>;
	close $file;
	my ($status, $out, $err) = in_database('property_template',
		"SET client_min_messages = error; SET safemig.enabled = off;\n$schema");
	die $err if $status;
	return;
}

sub session
{
	my ($database, $first) = @_;
	return SafemigSession->new(
		connection_to($database),
		"SET client_min_messages = warning;\nSET statement_timeout = '60s';\n"
		  . ($first // ''));
}

# ---- a sequence ----

# Runs one and says how it ended: { plan, failure, detail }.  A plan is a list
# of migrations: { single, statements, writes, plain }; without one the
# migrations are made up as the seed says.  A plain one is not proved.
sub sequence
{
	my ($seed, $plan) = @_;
	my $run = {
		database => 'property_run',
		random => SafemigRandom->new($seed),
		plan => [],
		mark => 0,
	};
	new_database($run->{database}, 'property_template');
	my $failure = eval
	{
		$run->{state} = $run->{start} = $start //= state($run);
		my @migrations = $plan ? @$plan : map { made_up($run) } 1 .. 3 + int rand 4;
		foreach my $migration (@migrations)
		{
			push @{ $run->{plan} }, $migration;
			migration($run, $migration);
		}
		everything_back($run);
		undef;
	} // $@;
	leave($run);
	in_database('postgres', "DROP DATABASE IF EXISTS $_ WITH (FORCE)")
	  foreach "$run->{database}", "$run->{database}_twin";
	return { plan => $run->{plan} } if $failure eq '';
	die $failure unless ref $failure;
	return { plan => $run->{plan}, %$failure };
}

# One to six statements, in one transaction or each in its own; the
# application writes after some.
sub made_up
{
	return {
		single => rand() < 0.5 ? 1 : 0,
		size => 1 + int rand 6,
		writing => rand() < 0.25 ? 1 : 0,
	};
}

sub fails
{
	my ($failure, $detail) = @_;
	die { failure => $failure, detail => $detail };
}

sub migration
{
	my ($run, $migration) = @_;
	my $label = 'm' . ++$run->{number};
	my $before = $run->{state} //= state($run);
	make_twin($run) if $migration->{writing};
	my $said = migrate($run, $migration, $label);
	if ($migration->{plain})
	{
		writes($run, $migration) if $migration->{writing};
		$run->{state} = undef;
		return;
	}
	my $expected = $migration->{writing} ? writes($run, $migration) : $before;
	$run->{start} = undef if $migration->{writing};
	my $after = state($run);

	my $operator = $run->{operator} //= session($run->{database});
	my ($in_the_way) = in_the_way($operator, $label);
	my ($id, $error) = call($operator, "SELECT safemig_rollback('$label')");
	fails('safemig_check found ' . ($in_the_way || 'nothing') . ', and the rollback said ' . ($error // 'nothing'), '')
	  if defined $in_the_way && ($in_the_way ne '') != defined $error;
	if (defined $error)
	{
		fails("refused, but changed: $error",
			SafemigOracle::difference($after->{quick}, quick_state($run)))
		  if quick_state($run) ne $after->{quick};
		$run->{state} = $after;
		return stays($run, $label, $after) if is_not_let($error);
		return if conflicts($run, $error);
		return not_rolled_back($run, $label, $said, $error, $expected, $after);
	}
	my $back = state($run);
	same($run, 'silent', $expected, $back);
	$count{exact}++;
	(undef, $error) = call($operator, "SELECT safemig_redo($id)");
	return not_redone($run, $migration, $error, $back) if defined $error;
	same($run, 'redo is not the same', { quick => $after->{quick} }, { quick => quick_state($run) });
	$run->{state} = $after;
	return;
}

# What safemig_check says is in the way, if there is a migration and it could
# look to the end of it.
sub in_the_way
{
	my ($operator, $label) = @_;
	my ($output, $error) = $operator->run(<<"SQL");
SELECT coalesce(string_agg(object || ': ' || problem, '; ') FILTER (WHERE severity = 'error'), '') || CASE WHEN bool_or(problem ~ 'was not proved') THEN '?' ELSE '' END
FROM safemig_check((SELECT max(id) FROM safemig.migrations WHERE label = '$label' AND kind = 'migration'))
SQL
	return if defined $error;
	chomp $output;
	return if $output =~ /\?\z/;
	$count{checked}++;
	return $output;
}

# Where a publication lets nobody update or delete rows, we are not let either;
# nor is the owner of a materialized view who may not read what it reads.
sub is_not_let
{
	my ($error) = @_;
	return 0
	  unless $error =~ /^SM003: .*cannot (?:update|delete from) table .*replica identity/s
	  || $error =~ /^SM003: .*permission denied for .*Statement: REFRESH MATERIALIZED VIEW/s;
	$count{'not let'}++;
	return 1;
}

# A rollback may be one of those migrations that are irreversible.
sub not_redone
{
	my ($run, $migration, $error, $back) = @_;
	fails("redo refused: $error", '') unless $error =~ /^SM004/ || is_not_let($error);
	same($run, 'redo refused, but changed', $back, state($run));
	$count{'not redone'}++;
	$run->{state} = $back;
	return;
}

# Once the application has written, a rollback may be refused for its rows, and
# for nothing else.
sub conflicts
{
	my ($run, $error) = @_;
	return 0 unless $error =~ /^SM003/ && grep { $_->{writing} } @{ $run->{plan} };
	return 0
	  if $error =~ /without safemig|fault of safemig|name is taken|permission denied|must be/;
	$count{conflict}++;
	note("a conflict: $error\n" . plan_text($run->{plan}));
	$run->{start} = undef;
	return 1;
}

# Nothing was recorded and nothing changed; or what cannot be taken back was
# said to be so in time.
sub not_rolled_back
{
	my ($run, $label, $said, $error, $expected, $after) = @_;
	if ($error =~ /^SM001/)
	{
		same($run, 'changed, and not recorded', $expected, $after);
		$count{nothing}++;
		return;
	}
	fails("refused: $error", '') unless $error =~ /^SM004/;
	fails("said too late: $error", '') unless $said =~ /WARNING.*irreversible/s;
	$count{declared}++;
	return stays($run, $label, $after);
}

# What comes later can be taken back to this.
sub stays
{
	my ($run, $label, $after) = @_;
	($run->{mark}) = call($run->{operator},
		"SELECT max(id) FROM safemig.migrations WHERE label = '$label'");
	$run->{start} = $after;
	return;
}

# The calls print the id last.
sub call
{
	my ($session, $sql) = @_;
	my ($output, $error) = $session->run($sql);
	fails($error, '') if defined $error && $error =~ /^(crash|timeout)/;
	return (undef, $error) if defined $error;
	return ($output =~ /(\d+)\s*\z/);
}

# Back to the start, or to what could not be taken back.
sub everything_back
{
	my ($run) = @_;
	my $operator = $run->{operator} //= session($run->{database});
	my (undef, $error) = call($operator, "SELECT safemig_rollback_to($run->{mark})");
	return if defined $error && (is_not_let($error) || conflicts($run, $error));
	fails("all together refused: $error", '') if defined $error;
	same($run, 'all together silent', $run->{start}, state($run))
	  if $run->{start};
	return;
}

# ---- a migration ----

# Runs it in a session of its own; returns what was said on the way.
sub migrate
{
	my ($run, $migration, $label) = @_;
	my $session = session($run->{database},
		"\\set ON_ERROR_ROLLBACK on\nSET safemig.label = '$label';\n");
	my ($before) = $session->run($positions_query);
	$session->run('BEGIN') if $migration->{single};
	my ($said, @done) = ('');
	my @given = @{ $migration->{statements} // [] };
	my $tries = 4 * ($migration->{size} // 0);
	while ($migration->{statements} ? @given : @done < $migration->{size} && $tries--)
	{
		my $sql = shift @given // $run->{random}->statement(catalog($session));
		my ($positions) = writes_rows($sql) ? $session->run($positions_query) : ();
		my ($output, $error) = $session->run($sql);
		# what a statement that fails takes from a sequence, PostgreSQL keeps
		$session->run($positions) if defined $error && defined $positions;
		$count{statements}++;
		fails_if_internal($session, $error, $sql, $migration, \@done)
		  if defined $error;
		$count{errors}++ if defined $error;
		push @done, $sql unless defined $error;
		$said .= $output;
	}
	$migration->{statements} = \@done;
	my ($output, $error) = $session->run($migration->{single} ? 'COMMIT' : 'SELECT 1');
	# a constraint that looks only now
	if (defined $error && $error =~ /^23/)
	{
		$session->run($before);
		$count{errors}++;
	}
	else
	{
		fails("commit: $error", '') if defined $error;
	}
	$session->close;
	return $said . $output;
}

sub writes_rows { return $_[0] =~ /^(?:INSERT|UPDATE|DELETE|MERGE|TRUNCATE|WITH)/ }

# A statement may fail, but only as PostgreSQL alone would let it fail.
sub fails_if_internal
{
	my ($session, $error, $sql, $migration, $done) = @_;
	return unless $error =~ /^(?:XX|SM0|crash|timeout)|safemig/;
	if ($error =~ /^XX/)
	{
		$session->run('SET safemig.enabled = off');
		my (undef, $bare) = $session->run($sql);
		$session->run('SET safemig.enabled = on');
		return if defined $bare && $bare =~ /^XX/;
	}
	$migration->{statements} = [ @$done, $sql ];
	fails("a statement fails: $error", $sql);
}

sub catalog
{
	my ($session) = @_;
	my ($output, $error) = $session->run('SET search_path = public; '
		  . SafemigRandom::catalog_query());
	die "the generator's query: $error" if defined $error;
	return JSON::PP->new->decode($output);
}

# ---- the application ----

sub leave
{
	my ($run) = @_;
	delete($run->{$_})->close foreach grep { $run->{$_} } qw(operator observer);
	return;
}

# A copy of the database from before the migration, in which the application
# writes the same.
sub make_twin
{
	my ($run) = @_;
	leave($run);
	in_database('postgres', "DROP DATABASE IF EXISTS $run->{database}_twin WITH (FORCE)");
	new_database("$run->{database}_twin", $run->{database});
	return;
}

# Writes what both databases take; returns the state of the twin.
sub writes
{
	my ($run, $migration) = @_;
	my $subject = session($run->{database});
	my $twin = session("$run->{database}_twin");
	my $wrote = grep { writes_rows($_) } @{ $migration->{statements} };
	# what is written to another column of the same name goes with that
	my $replaced = grep { /DROP COLUMN note, ADD COLUMN note\b/ } @{ $migration->{statements} };
	my @tries = grep { !$replaced || !/\bnote\b/ }
	  @{ $migration->{writes} // [ possible_writes($wrote, $subject, $twin) ] };
	my @done;
	foreach my $sql (@tries)
	{
		my @positions = $sql =~ /^INSERT/ ? map { ($_->run($positions_query))[0] } $subject, $twin : ();
		$_->run('BEGIN') foreach $subject, $twin;
		my @said = map { [ $_->run("$sql;\nSET CONSTRAINTS ALL IMMEDIATE") ] } $subject, $twin;
		my $end = (grep { defined $_->[1] } @said) || rows_of($said[0]) ne rows_of($said[1])
		  ? 'ROLLBACK' : 'COMMIT';
		my @errors = map { ($_->run($end))[1] } $subject, $twin;
		if ($end eq 'ROLLBACK' || grep { defined } @errors)
		{
			# it may have taken numbers in one of them
			$subject->run($positions[0]), $twin->run($positions[1]) if @positions;
			next;
		}
		push @done, $sql;
		$count{writes}++;
	}
	$migration->{writes} = \@done;
	$_->close foreach $subject, $twin;
	my $copy = { database => "$run->{database}_twin" };
	my $state = state($copy);
	leave($copy);
	return $state;
}

# The rows that a write concerned.  A row that the migration took away, or
# made, is in one of the two databases alone.
sub rows_of
{
	my ($said) = @_;
	return join "\n", sort split /\n/, $said->[0];
}

# By key, to tables that have the same one in both.
sub possible_writes
{
	my ($wrote, @sessions) = @_;
	my ($now, $then) = map {
		+{ map { ($_->{name} => $_) } grep { $_->{kind} =~ /[rp]/ && $_->{key} } @{ $_->{relations} } }
	} map { catalog($_) } @sessions;
	my @writes;
	foreach my $table (grep { $then->{$_} } sort keys %$now)
	{
		my ($key, $other) = map { $_->{$table}{key} } $now, $then;
		my @columns = sort keys %$key;
		next if grep { $key->{$_} ne ($other->{$_} // '') } @columns;
		my $which = sprintf 'hashtext((%s)::text) %% 3 = 0',
		  join ' || ', map { "$_\::text" } @columns;
		my $returning = 'RETURNING ' . join ', ', @columns;
		push @writes, "UPDATE $table SET note = 'written' WHERE $which $returning";
		push @writes, "DELETE FROM $table WHERE " . ($which =~ s/% 3/% 5/r) . " $returning"
		  if rand() < 0.2;
		push @writes, "INSERT INTO $table ($columns[0], note) VALUES (7777, 'new')"
		  if @columns == 1 && $key->{ $columns[0] } =~ /int/
		  && same_defaults($wrote, $columns[0], map { $_->{$table}{defaults} } $now, $then);
	}
	return @writes;
}

# A new row has the same values in both if their columns have the same
# defaults, and none that is another each time, nor a next value if the
# migration may have taken some, nor that of a function that may be another now.
sub same_defaults
{
	my ($wrote, $key, $now, $then) = @_;
	foreach my $column (keys %$then)
	{
		return 0 if ($then->{$column} // '') =~ /random|now|app\.\w+\(/;
		return 0 if $wrote && ($then->{$column} // '') =~ /nextval|^[ad]$/;
		return 0 if exists $now->{$column}
		  && ($now->{$column} // '') ne ($then->{$column} // '');
	}
	return 1;
}

# ---- states ----

sub quick_state
{
	my ($run) = @_;
	# to plan the query takes as long as to run it
	$run->{observer} //= session($run->{database},
		SafemigOracle::catalog_query() =~ s/^WITH/PREPARE catalogs AS WITH/mr);
	my ($output, $error) = $run->{observer}->run("EXECUTE catalogs;\n$rows_query");
	fails("cannot be looked at: $error", '') if defined $error;
	return $output;
}

sub state
{
	my ($run) = @_;
	my $quick = quick_state($run);
	return {
		quick => $quick,
		dump => SafemigOracle::dump_text(connection_to($run->{database}))
	};
}

sub same
{
	my ($run, $failure, $expected, $state) = @_;
	foreach my $part (grep { exists $state->{$_} } qw(quick dump))
	{
		my @texts = map { without_derived($run, $_->{$part}) } $expected, $state;
		fails("$failure ($part)", SafemigOracle::difference(@texts))
		  if $texts[0] ne $texts[1];
	}
	return;
}

# What REFRESH replaced is not kept: a materialized view that was not up to
# date is so after a rollback.
sub without_derived
{
	my ($run, $text) = @_;
	return $text
	  unless grep { /^REFRESH MATERIALIZED/ } map { @{ $_->{statements} // [] } } @{ $run->{plan} };
	return $text =~ s/^derived .*\n//mgr;
}

# ---- the shortest that fails ----

# Leaves out migrations, then statements, as long as it fails in the same way.
sub minimise
{
	my ($seed, $result) = @_;
	my @plan = @{ $result->{plan} };
	my $kind = kind_of($result);
	foreach my $last ($#plan - 1, $#plan)
	{
		my @plain = ((map { +{ %$_, plain => 1 } } @plan[ 0 .. $last ]), @plan[ $last + 1 .. $#plan ]);
		@plan = @plain if still($seed, $kind, $result, \@plain);
	}
	foreach my $i (reverse 0 .. $#plan)
	{
		my @shorter = @plan;
		splice @shorter, $i, 1;
		@plan = @shorter if @shorter && still($seed, $kind, $result, \@shorter);
	}
	foreach my $i (reverse 0 .. $#plan)
	{
		foreach my $part (qw(writes statements))
		{
			foreach my $j (reverse 0 .. $#{ $plan[$i]{$part} // [] })
			{
				my %shorter = (%{ $plan[$i] }, $part => [ @{ $plan[$i]{$part} } ]);
				splice @{ $shorter{$part} }, $j, 1;
				my @tried = @plan;
				$tried[$i] = \%shorter;
				@plan = @tried if still($seed, $kind, $result, \@tried);
			}
		}
	}
	return \@plan;
}

# Runs a copy of the plan, since a run notes in it what succeeded.
sub still
{
	my ($seed, $kind, $result, $plan) = @_;
	my $again = sequence($seed, [ map { +{%$_} } @$plan ]);
	return 0 unless $again->{failure} && kind_of($again) eq $kind;
	$result->{$_} = $again->{$_} foreach qw(failure detail);
	return 1;
}

# A failure without the names in it.
sub kind_of
{
	my ($result) = @_;
	return substr($result->{failure} =~ s/"[^"]*"|\d+//gr, 0, 60);
}

sub plan_text
{
	my ($plan) = @_;
	my $number = 0;
	return join '', map {
		sprintf("-- migration %d%s\n", ++$number, $_->{single} ? ', in one transaction' : '')
		  . join('', map { "$_;\n" } @{ $_->{statements} // [] })
		  . join('', map { "-- then the application\n$_;\n" } @{ $_->{writes} // [] })
	} @$plan;
}
