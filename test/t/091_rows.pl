
# Copyright (c) 2026, the safemig authors

# Random migrations that write rows, random writes of an application after
# them, and a model that says which rows a rollback has to leave: by policy,
# row by row, from nothing but what the tables held before the migration, after
# it, and at last.  pg_regress cannot show it: nobody has thought of these
# statements.
#
# SAFEMIG_SEED=n begins with case n, SAFEMIG_CASES=n runs so many; "make soak"
# runs two thousand.  A case that fails is printed as a script.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigSession ();
use SafemigTest;
use Test::More;

plan skip_all => 'says nothing without safemig' if bare();

my $first = $ENV{SAFEMIG_SEED} // 1;
my $cases = $ENV{SAFEMIG_CASES} // 25;
my %count = map { $_ => 0 } qw(exact refused keep restore checked writes statements touched);

# Columns that a migration may write, drop or convert, by table; key first.
my %tables = (
	item => { key => ['id'], columns => [qw(a b c d e j m arr)] },
	booking => { key => [qw(room day)], columns => [qw(guest price)] },
	log => { key => ['id'], columns => ['what'] },
);

start_server('rows', conf => "session_preload_libraries = 'safemig'");
new_database('rows_template');
must('rows_template', <<'SQL');
SET safemig.enabled = off;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE item (
	id int PRIMARY KEY, a int, b text COLLATE "C", c numeric(10,2), d timestamptz, e float8, j jsonb, m mood, arr text[]);
INSERT INTO item SELECT i, i, 'b' || i, i * 1.37, timestamptz '2024-01-01 00:00:00.123456+00' + i * interval '1 day',
	i / 7.0, jsonb_build_object('i', i), (ARRAY['sad', 'ok', NULL])[1 + i % 3]::mood, ARRAY['x', NULL, i::text]
FROM generate_series(1, 30) i;
UPDATE item SET b = repeat(md5(id::text), 200) WHERE id % 10 = 0;
CREATE TABLE booking (room text COLLATE "C", day date, guest text COLLATE "C", price numeric(10,2), PRIMARY KEY (room, day)) PARTITION BY LIST (room);
CREATE TABLE booking_a PARTITION OF booking FOR VALUES IN ('a');
CREATE TABLE booking_b (price numeric(10,2), junk int, guest text COLLATE "C", day date NOT NULL, room text COLLATE "C" NOT NULL);
ALTER TABLE booking_b DROP COLUMN junk;
ALTER TABLE booking ATTACH PARTITION booking_b DEFAULT;
INSERT INTO booking SELECT r, date '2024-05-01' + i, 'g' || i, i * 10.25 FROM unnest(ARRAY['a', 'b']) r, generate_series(1, 8) i;
CREATE TABLE log (id bigserial PRIMARY KEY, what text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO log (what) VALUES (TG_OP || ' ' || coalesce(NEW.id, OLD.id)); RETURN NULL; END $$;
CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON item FOR EACH ROW EXECUTE FUNCTION note();
SQL

# ---- a case ----

sub run
{
	my ($case, $seed) = @_;
	srand($seed);
	$case->{database} = new_database('rows_case', 'rows_template');
	$case->{$_} = SafemigSession->new(connection_to($case->{database}), 'SET client_min_messages = warning')
	  foreach qw(migrator application operator);
	my $before = contents($case);
	$case->{label} = 'm';
	migrate($case);
	my $after = contents($case);
	application_writes($case, $before, $after);
	my $last = contents($case);
	my $changes = $case->{changes};
	my ($expected, $conflicts) = modelled($before, $after, $last, $changes, 'refuse');
	my ($id, $error) = checked_and_rolled_back($case);
	if ($conflicts)
	{
		die "not refused, though $conflicts rows are in the way\n" unless defined $error;
		die "refused for another reason: $error\n" unless $error =~ /^SM003: rows of|^SM003: .*were written again/;
		differs('a refusal has changed something', $last, contents($case));
		$count{refused}++;
		my $policy = rand() < 0.5 ? 'keep' : 'restore';
		($expected) = modelled($before, $after, $last, $changes, $policy);
		($id, $error) = call($case, "SELECT safemig_rollback('m', on_conflict => '$policy')");
		$count{$policy}++;
		$case->{policy} = ", on_conflict => '$policy'";
	}
	die "refused: $error\n" if defined $error;
	differs('rolled back', $expected, contents($case));
	$count{exact}++ unless $conflicts;
	return if $id == 0;
	(undef, $error) = call($case, "SELECT safemig_redo($id)");
	die "redo refused: $error\n" if defined $error;
	differs('redone', $last, contents($case));
	(undef, $error) = checked_and_rolled_back($case);
	(undef, $error) = call($case, "SELECT safemig_rollback('m'$case->{policy})") if defined $error && $case->{policy};
	die "refused after the redo: $error\n" if defined $error;
	differs('rolled back again', $expected, contents($case));
	return;
}

# safemig_check finds an error if and only if the rollback is refused.
sub checked_and_rolled_back
{
	my ($case) = @_;
	my ($in_the_way) = call($case, q(SELECT count(*) FROM safemig_check((SELECT max(id) FROM safemig.migrations WHERE label = 'm' AND kind = 'migration')) WHERE severity = 'error'));
	my ($id, $error) = call($case, q(SELECT safemig_rollback('m')));
	die 'safemig_check found ' . ($in_the_way // 'nothing') . ' in the way, and the rollback said ' . ($error // 'nothing') . "\n"
	  unless (defined $in_the_way && $in_the_way > 0) == defined $error;
	$count{checked}++;
	return ($id, $error);
}

sub leave
{
	my ($case) = @_;
	delete @$case{qw(migrator application operator)};
	must('postgres', "DROP DATABASE IF EXISTS $case->{database} WITH (FORCE)");
	return;
}

# { table => { key => { column => value } } }
sub contents
{
	my ($case, $session) = @_;
	$session = $case->{ $session // 'operator' };
	my %contents;
	foreach my $table (sort keys %tables)
	{
		my ($output, $error) = $session->run(
			"SELECT string_agg(quote_ident(attname), ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = '$table'::regclass AND attnum > 0 AND NOT attisdropped");
		die $error if defined $error;
		chomp(my $columns = $output);
		($output, $error) = $session->run("COPY (SELECT $columns FROM $table) TO stdout");
		die $error if defined $error;
		my @names = split /,/, $columns;
		$contents{$table} = {};
		foreach my $line (split /\n/, $output)
		{
			my %row;
			@row{@names} = split /\t/, $line, -1;
			$contents{$table}{ join ' ', @row{ @{ $tables{$table}{key} } } } = \%row;
		}
	}
	return \%contents;
}

# The id that the call gives, 0 for a migration that there is none of.
sub call
{
	my ($case, $sql) = @_;
	push @{ $case->{script} }, "$sql;";
	my ($output, $error) = $case->{operator}->run($sql);
	return (0, undef) if defined $error && $error =~ /^SM001/;
	return (undef, $error) if defined $error;
	return ($output =~ /(\d+)\s*\z/);
}

sub differs
{
	my ($what, $expected, $actual) = @_;
	my @lines;
	foreach my $table (sort keys %tables)
	{
		my %keys = map { $_ => 1 } keys %{ $expected->{$table} }, keys %{ $actual->{$table} };
		foreach my $key (sort keys %keys)
		{
			my ($want, $have) = map { described($_->{$table}{$key}) } $expected, $actual;
			push @lines, "$table $key: $have, expected $want" if $want ne $have;
		}
	}
	die "$what:\n" . join("\n", map { substr $_, 0, 600 } @lines[ 0 .. ($#lines < 9 ? $#lines : 9) ]) . "\n" if @lines;
	return;
}

sub described
{
	my ($row) = @_;
	return 'no row' unless $row;
	return join ' ', map { "$_=$row->{$_}" } sort keys %$row;
}

# ---- the model ----

# What a rollback leaves, and how many rows are in its way.
sub modelled
{
	my ($before, $after, $last, $changes, $policy) = @_;
	my (%result, $conflicts);
	foreach my $table (keys %tables)
	{
		my ($b, $a, $l) = map { $_->{$table} } $before, $after, $last;
		my $of_table = { added => {}, dropped => {}, converted => {}, %{ $changes->{$table} // {} } };
		my %keys = map { $_ => 1 } keys %$b, keys %$a, keys %$l;
		$result{$table} = {};
		foreach my $key (keys %keys)
		{
			my ($row, $conflict) = row_left($b->{$key}, $a->{$key}, $l->{$key}, { %$of_table, values => values_when_dropped($of_table, $key) }, $policy);
			$conflicts += $conflict;
			$result{$table}{$key} = $row if $row;
		}
	}
	return (\%result, $conflicts);
}

# One row: from before, after and last to the one that is to be there.
sub row_left
{
	my ($before, $after, $last, $changes, $policy) = @_;
	if ($after && !$before)
	{
		return (undef, 0) unless $last;
		return (undef, 0) if same_columns($after, $last, grep { !$changes->{added}{$_} } keys %$after);
		return ($policy eq 'restore' ? undef : old_form($last, undef, undef, $changes), 1);
	}
	if ($before && !$after)
	{
		return ($before, 0) unless $last;
		# the values of a dropped column are known by the key, which is taken; if
		# the row was deleted before that, it had none
		my %values = map { $_ => defined $changes->{values}{$_} ? $before->{$_} : undef } keys %{ $changes->{values} };
		return ($policy eq 'restore' ? $before : old_form($last, undef, undef, { %$changes, values => \%values }), 1);
	}
	return (old_form($last, undef, undef, $changes), 0) unless $before;
	my @changed = grep { !$changes->{dropped}{$_} && converted($changes, $_, $before->{$_}) ne $after->{$_} } keys %$before;
	return (undef, @changed ? 1 : 0) unless $last;
	my $row = old_form($last, $before, $after, $changes, $policy);
	return ($row, 0) unless @changed;
	my $conflict = same_columns($after, $last, @changed) ? 0 : 1;
	my $restored = !$conflict || $policy eq 'restore';
	# a row that is left as it is keeps all that the migration wrote in it
	$row->{$_} = $restored ? $before->{$_} : $changes->{converted}{$_} ? back($last->{$_}) : $last->{$_}
	  foreach @changed;
	return ($row, $conflict);
}

sub same_columns
{
	my ($one, $other, @columns) = @_;
	$one->{$_} eq $other->{$_} or return 0 foreach @columns;
	return 1;
}

# What a row with that key had in columns when they were dropped.
sub values_when_dropped
{
	my ($changes, $key) = @_;
	my $dropped = $changes->{dropped};
	return { map { $_ => ($dropped->{$_}{$key} // {})->{$_} } keys %$dropped };
}

# A row as it is now, in the columns that the table had.  Where it is not the
# row of before, a dropped column has what was there under the same key.
sub old_form
{
	my ($last, $before, $after, $changes, $policy) = @_;
	my %row = map { $_ => $last->{$_} } grep { !$changes->{added}{$_} } keys %$last;
	foreach my $column (keys %{ $changes->{dropped} })
	{
		$row{$column} = $before ? $before->{$column} : $changes->{values}{$column} // '\N';
	}
	foreach my $column (keys %{ $changes->{converted} })
	{
		# as it was, unless somebody wrote it since
		my $kept = $after && ($after->{$column} eq $last->{$column} || $policy eq 'restore');
		$row{$column} = $kept ? $before->{$column} : back($last->{$column});
	}
	return \%row;
}

# numeric(10,2) to int, and back
sub converted
{
	my ($changes, $column, $value) = @_;
	return $value unless $changes->{converted}{$column} && $value ne '\N';
	my ($sign, $whole, $cents) = $value =~ /^(-?)(\d+)\.(\d\d)$/ or die "not numeric(10,2): $value";
	$whole++ if $cents >= 50;
	return $whole == 0 ? '0' : "$sign$whole";
}

sub back
{
	my ($value) = @_;
	return $value eq '\N' ? $value : "$value.00";
}

# ---- what a migration does ----

sub one_of { return $_[ int rand @_ ] }

my $fresh = 1000;

sub value_for
{
	my ($column) = @_;
	return 'NULL' if rand() < 0.15;
	return int(rand 1000) - 500 if $column eq 'a';
	return sprintf '%d.%02d', int(rand 2000) - 1000, int rand 100 if $column =~ /^(?:c|price)$/;
	return "'" . one_of('new', "it''s", '', 'x' x (1 + int rand 30), 'ünï') . int(rand 5) . "'" if $column =~ /^(?:b|guest|what)$/;
	return "timestamptz '2025-03-0" . (1 + int rand 9) . ' 0' . int(rand 10) . ":00:00.000001+00'" if $column eq 'd';
	return one_of("'NaN'::float8", "'-Infinity'::float8", '0.1::float8 + 0.2', '1e-300', '-0.0::float8') if $column eq 'e';
	return "'{\"k\": [" . int(rand 9) . ", null]}'::jsonb" if $column eq 'j';
	return "'" . one_of(qw(sad ok happy)) . "'::mood" if $column eq 'm';
	return one_of("'[2:3]={a,b}'::text[]", "'{}'::text[]", "ARRAY['" . int(rand 9) . "', NULL]") if $column eq 'arr';
	return int rand 100;
}

sub where
{
	my ($table) = @_;
	my $n = 2 + int rand 5;
	my $m = int rand $n;
	return one_of('true', "id % $n = $m", 'id = ' . (1 + int rand 30)) if $table eq 'item';
	return one_of('true', "room = 'a'", "day = date '2024-05-0" . (1 + int rand 8) . "'", "extract(day FROM day) % $n = $m");
}

# Only what the migration has not dropped.
sub columns_of
{
	my ($case, $table) = @_;
	my $changes = $case->{changes}{$table} // {};
	return grep { !$changes->{dropped}{$_} } @{ $tables{$table}{columns} }, keys %{ $changes->{added} // {} };
}

sub new_key
{
	my ($table) = @_;
	$fresh++;
	return $fresh if $table eq 'item';
	return "'" . one_of('a', 'b', 'z') . "', date '2030-01-01' + $fresh";
}

sub insert_values
{
	my ($case, $table, @keys) = @_;
	my @columns = grep { rand() < 0.6 } columns_of($case, $table);
	my $names = join ', ', @{ $tables{$table}{key} }, @columns;
	return "($names) VALUES " . join ', ', map { '(' . join(', ', $_, map { value_for($_) } @columns) . ')' } @keys;
}

my %migration_statements = (
	update => sub {
		my ($case, $table) = @_;
		my @columns = grep { rand() < 0.3 } columns_of($case, $table);
		@columns = one_of(columns_of($case, $table)) unless @columns;
		return "UPDATE $table SET " . join(', ', map { "$_ = " . value_for($_) } @columns) . ' WHERE ' . where($table);
	},
	touch => sub { my ($case, $table) = @_; my $column = one_of(columns_of($case, $table)); return "UPDATE $table SET $column = $column WHERE " . where($table) },
	delete => sub { my ($case, $table) = @_; return "DELETE FROM $table WHERE " . where($table) },
	insert => sub { my ($case, $table) = @_; return "INSERT INTO $table " . insert_values($case, $table, map { new_key($table) } 1 .. 1 + int rand 3) },
	upsert => sub {
		my ($case, $table) = @_;
		my $column = one_of(columns_of($case, $table));
		# a row that is deleted and inserted again is neither changed nor new
		return 'SELECT 1' if $case->{deleted}{$table};
		my $key = $table eq 'item' ? 1 + int rand 40 : "'a', date '2024-05-0" . (1 + int rand 9) . "'";
		my $names = join ', ', @{ $tables{$table}{key} };
		return "INSERT INTO $table ($names, $column) VALUES ($key, " . value_for($column) . ") ON CONFLICT ($names) DO "
		  . one_of('NOTHING', "UPDATE SET $column = excluded.$column");
	},
	merge => sub {
		my ($case, $table) = @_;
		return "SELECT 1" unless $table eq 'item';
		my $column = one_of(columns_of($case, $table));
		return "MERGE INTO item USING (VALUES (" . (1 + int rand 30) . '), (' . new_key('item') . ")) v(n) ON id = n WHEN MATCHED THEN "
		  . one_of('DELETE', "UPDATE SET $column = " . value_for($column)) . " WHEN NOT MATCHED THEN INSERT (id) VALUES (n)";
	},
	cte => sub {
		my ($case, $table) = @_;
		return "SELECT 1" unless $table eq 'item';
		my $by = $fresh += 100;
		my $where = where($table);
		return "WITH gone AS (DELETE FROM item WHERE $where AND id <= 30 RETURNING *) INSERT INTO item SELECT (jsonb_populate_record(gone, jsonb_build_object('id', id + $by))).* FROM gone";
	},
	copy => sub {
		my ($case, $table) = @_;
		return "SELECT 1" unless $table eq 'item';
		return "COPY item (id, m) FROM stdin;\n" . join('', map { new_key('item') . "\t" . one_of('ok', '\N') . "\n" } 1 .. 2) . "\\.\n";
	},
	truncate => sub { my ($case, $table) = @_; return rand() < 0.3 ? "TRUNCATE $table" : 'SELECT 1' },
	add => sub {
		my ($case, $table) = @_;
		my $column = 'n' . ++$fresh;
		$case->{changes}{$table}{added}{$column} = 1;
		return "ALTER TABLE $table ADD COLUMN $column int" . one_of('', ' DEFAULT 7', ' NOT NULL DEFAULT 5');
	},
	drop => sub {
		my ($case, $table) = @_;
		my $changes = $case->{changes}{$table} // {};
		my @left = grep { !$changes->{added}{$_} && !$changes->{converted}{$_} } columns_of($case, $table);
		return 'SELECT 1' unless @left > 2;
		my $column = one_of(@left);
		$case->{changes}{$table}{dropped}{$column} = contents($case, 'migrator')->{$table};
		return "ALTER TABLE $table DROP COLUMN $column";
	},
	convert => sub {
		my ($case, $table) = @_;
		my $column = $table eq 'item' ? 'c' : 'price';
		my $changes = $case->{changes}{$table} // {};
		return 'SELECT 1' if $changes->{dropped}{$column} || $changes->{converted}{$column} || $case->{wrote}{$table};
		$case->{changes}{$table}{converted}{$column} = 1;
		return "ALTER TABLE $table ALTER COLUMN $column TYPE int";
	},
	index => sub { my ($case, $table) = @_; return "CREATE INDEX ON $table (" . one_of(columns_of($case, $table)) . ')' },
);
my @writing = qw(update update update touch delete insert insert upsert merge cte copy truncate);
my @defining = qw(add drop convert index);

sub migrate
{
	my ($case) = @_;
	my $session = $case->{migrator};
	must_run($case, $session, "SET safemig.label = 'm'");
	must_run($case, $session, 'BEGIN');
	must_run($case, $session, 'CREATE TABLE marker ()') if rand() < 0.5;
	foreach (1 .. 2 + int rand 6)
	{
		my $kind = rand() < 0.75 ? one_of(@writing) : one_of(@defining);
		my $table = rand() < 0.65 ? 'item' : 'booking';
		my $saved = { %{ $case->{changes}{$table} // {} } };
		my $sql = $migration_statements{$kind}->($case, $table);
		$case->{deleted}{$table} = 1 if $sql =~ /DELETE|TRUNCATE/;
		$case->{wrote}{$table} = 1 if $sql =~ /^(?:UPDATE|INSERT|MERGE|WITH|COPY|DELETE|TRUNCATE)/;
		must_run($case, $session, 'SAVEPOINT s');
		push @{ $case->{script} }, $sql . ($sql =~ /\\\.\n\z/ ? '' : ';');
		my ($output, $error) = $session->run($sql);
		$count{statements}++;
		if (defined $error)
		{
			die "a statement fails: $error\n" if $error =~ /^(?:XX|SM|crash|timeout)|safemig/;
			must_run($case, $session, 'ROLLBACK TO s');
			# as a failing ALTER TABLE did not happen
			$case->{changes}{$table} = undef_changes($case->{changes}{$table}, $sql);
		}
	}
	must_run($case, $session, 'COMMIT');
	return;
}

sub undef_changes
{
	my ($changes, $sql) = @_;
	return $changes unless $changes && $sql =~ /^ALTER TABLE \S+ (ADD|DROP|ALTER) COLUMN (\S+)/;
	my $kind = { ADD => 'added', DROP => 'dropped', ALTER => 'converted' }->{$1};
	delete $changes->{$kind}{$2};
	return $changes;
}

sub must_run
{
	my ($case, $session, $sql) = @_;
	push @{ $case->{script} }, "$sql;";
	my (undef, $error) = $session->run($sql);
	die "$sql: $error\n" if defined $error;
	return;
}

# ---- what an application does ----

# Half of its writes are about rows that the migration touched.
sub application_writes
{
	my ($case, $before, $after) = @_;
	foreach (1 .. int rand 7)
	{
		my $table = rand() < 0.65 ? 'item' : 'booking';
		my ($b, $a) = ($before->{$table}, $after->{$table});
		my %all = (%$b, %$a);
		my @touched = grep { described($b->{$_}) ne described($a->{$_}) } sort keys %all;
		my $touched = @touched && rand() < 0.5;
		my @keys = $touched ? @touched : sort keys %all;
		next unless @keys;
		my $key = one_of(@keys);
		my $sql = application_statement($case, $table, $key);
		push @{ $case->{script} }, "-- the application\n$sql;";
		my (undef, $error) = $case->{application}->run($sql);
		die "the application fails: $error\n" if defined $error && $error !~ /^2350[25]/;
		$count{writes}++;
		$count{touched}++ if $touched;
	}
	return;
}

sub application_statement
{
	my ($case, $table, $key) = @_;
	my @parts = split / /, $key;
	my $literal = $table eq 'item' ? $key : "'$parts[0]', date '" . iso_day($parts[1]) . "'";
	my $names = join ', ', @{ $tables{$table}{key} };
	my $column = one_of(columns_of($case, $table));
	my $value = $case->{changes}{$table}{converted}{$column} ? int(rand 50) : value_for($column);
	return "UPDATE $table SET $column = $value WHERE ($names) = ($literal)" if rand() < 0.5;
	return "DELETE FROM $table WHERE ($names) = ($literal)" if rand() < 0.4;
	return "INSERT INTO $table ($names, $column) VALUES ($literal, $value)" if rand() < 0.5;
	return "INSERT INTO $table ($names, $column) VALUES (" . new_key($table) . ", $value)";
}

# the servers of the tests write days first
sub iso_day
{
	my ($day) = @_;
	return $day =~ m{^(\d\d)/(\d\d)/(\d{4})$} ? "$3-$2-$1" : $day;
}

# ---- all of them ----

foreach my $seed ($first .. $first + $cases - 1)
{
	my $case = { script => [] };
	my $failure = eval { run($case, $seed); undef } // $@;
	leave($case);
	ok(!$failure, "case $seed") or diag("$failure\n" . join "\n", @{ $case->{script} });
}
diag(join ', ', map { "$count{$_} $_" } sort keys %count);
done_testing();
