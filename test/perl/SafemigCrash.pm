
# Copyright (c) 2026, the safemig authors

=pod

=head1 NAME

SafemigCrash - acts that are broken off, and the proof that nothing is half done

=head1 SYNOPSIS

  my $crash = SafemigCrash->new(database => 'shop', chain => \@acts);
  $crash->learn;
  $crash->fault($act, point => 'rollback.locked', action => 'kill', pass => 1);
  $crash->finish($act);

=head1 DESCRIPTION

An act is a hash:

  name   what it is about
  parts  statements or transactions, each done or not done as a whole
  from   name of the state before; of the state after it is the key "to"
  after  what the application does then, not broken off
  undo   what takes parts back that were done
  proof  of an act that does not add the same to the history each time: a
         condition that holds when it is done
  loose  PostgreSQL itself commits in the middle of its parts

A chain of acts ends in the state in which it begins, so that it can be gone
through again and again in the same database.  learn() goes through it once
without a fault: the states and the points that each act passes are from there.

fault() breaks an act off at a point (src/point.h), after some time, or by
what "arm" does to its process, until "disarm" ends it, and "prepare" to the
server, until "settle" does, and proves: the database is as it was before one of the parts or after it, by
pg_dump and catalogs; the history has what it had, to the last row, or what a
whole part adds to it; whatever is said to be kept is in the vault.  Parts that
were done are then taken back as the abandoned migration that they are.

What does not hold is counted: "between", a state that is neither; "lost", a
history or vault that is not what the state says.

=cut

package SafemigCrash;

use strict;
use warnings;

use POSIX          ();
use PostgreSQL::Test::Utils;
use SafemigOracle  ();
use SafemigSession ();
use SafemigTest;
use Test::More;
use Time::HiRes ();

# Actions after which the server has to come back.
my %deadly = map { $_ => 1 } qw(kill stop shot);

# All that safemig has written: its history and its vault.
my $record_query = <<'SQL';
SELECT format('%s %s', c.oid::regclass, md5(query_to_xml(format('SELECT t::text FROM ONLY %s t ORDER BY 1', c.oid::regclass), false, false, '')::text))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE nspname LIKE 'safemig%' AND relkind IN ('r', 'm', 'p')
	AND relname NOT IN ('step_log', 'frameworks', 'incarnation')
ORDER BY 1;
SELECT format('type %s', t.oid::regtype) FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace
WHERE nspname LIKE 'safemig%' AND typtype <> 'c' AND typelem = 0 ORDER BY 1;
SELECT nspname FROM pg_namespace WHERE nspname LIKE 'safemig%' ORDER BY 1
SQL

# How far an act has come, as the history tells it.
my $progress_query = <<'SQL';
SELECT (SELECT count(*) FROM safemig.command_log), (SELECT count(*) FROM safemig.migration_log),
	(SELECT count(*) FROM safemig.kept_log WHERE state = 'kept'),
	(SELECT count(*) FROM safemig.migrations WHERE kind IN ('migration', 'snapshot') AND state = 'applied')
SQL

our $nothing_kept = q[NOT EXISTS (SELECT FROM pg_namespace WHERE nspname LIKE 'safemig\_vault\_%') AND NOT EXISTS (SELECT FROM safemig.kept_log WHERE state = 'kept' AND vault_name IS NOT NULL)];
our $newest_rollback = q[(SELECT max(id) FROM safemig.migrations WHERE kind = 'rollback' AND state = 'applied')];

sub setup { return slurp_file(__FILE__ =~ s/SafemigCrash[.]pm\z/crash_setup.sql/r) }

# Something of everything, back and forth.
sub one_transaction
{
	my $migration = slurp_file(__FILE__ =~ s/SafemigCrash[.]pm\z/crash_migration.sql/r);
	return (
		{ name => 'migration', from => 'before', to => 'after', parts => [$migration] },
		{ name => 'rehearsal', from => 'after', to => 'after', parts => ['SELECT count(*) FROM safemig_rehearse(safemig_mark())'] },
		{ name => 'rollback', from => 'after', to => 'before', parts => [q[SELECT safemig_rollback('all')]] },
		{ name => 'redo', from => 'before', to => 'after', parts => ["SELECT safemig_redo($newest_rollback)"] },
		{ name => 'rollback of the redo', from => 'after', to => 'before', parts => [q[SELECT safemig_rollback('all')]] },
		{ name => 'prune', from => 'before', to => 'before', proof => $nothing_kept, parts => [q[SELECT safemig_prune_older('0')]] });
}

sub new
{
	my ($class, %options) = @_;
	return bless {
		states => {},
		done => {},
		lost => 0,
		between => 0,
		hits => {},
		%options
	}, $class;
}

# ---- the server ----

# A process that comes anew when the server restarts by itself: a session that
# was killed is gone a moment before the server knows of it.
my $checkpointer = q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer');

sub _answers
{
	my ($old) = @_;
	my ($status, $pid) = SafemigOracle::psql(connection_to('postgres'), $checkpointer);
	return !$status && $pid =~ /^(\d+)$/m && $1 != $old;
}

# After a kill of a backend the server comes back by itself; after one of the
# server it is started, as soon as what is left of the old one has gone.
sub _wait_for_server
{
	my ($action, $old) = @_;
	foreach (1 .. 600)
	{
		return if _answers($old);
		if ($action eq 'stop')
		{
			# a start that came too early has found it again
			server()->{_pid} = undef;
			server()->start(fail_ok => 1);
		}
		Time::HiRes::sleep(0.05);
	}
	BAIL_OUT('the server does not come back');
}

sub _session
{
	my ($self, $first) = @_;
	return SafemigSession->new(connection_to($self->{database}),
		"SET client_min_messages = error;\n" . ($first // ''));
}

# ---- what is there ----

# By a session that stays, which costs a tenth of a new one.
sub _ask
{
	my ($self, $sql) = @_;
	my $error;
	foreach (1 .. 3)
	{
		$self->{observer} //= SafemigSession->new({ %{ connection_to($self->{database}) },
				dbname => "dbname='$self->{database}' application_name=observer" },
			'SET client_min_messages = error');
		(my $text, $error) = $self->{observer}->run($sql);
		return $text =~ s/\n\z//r unless defined $error;
		# it went with the server
		$self->{observer} = undef;
	}
	die "$sql: $error";
}

# Before the server is restarted.
sub forget_sessions { $_[0]{observer} = undef; return }

sub _record { return $_[0]->_ask($record_query) }

# The state without the dump.
sub _quick_state
{
	my ($self) = @_;
	return $self->_ask(join ";\n", SafemigOracle::catalog_query(), SafemigOracle::rows_query());
}

sub _state
{
	my ($self, $quick) = @_;
	return $quick ? $self->_quick_state : state_of($self->{database});
}

# ---- how it goes ----

sub _points
{
	my ($session) = @_;
	my ($text) = $session->run('SHOW safemig.points');
	return { $text =~ /^([a-z_.]+) (\d+)$/mg };
}

# Both forms of a state; a full one contains what pg_dump says.
sub _note_state
{
	my ($self, $name) = @_;
	my %now = (full => $self->_state, quick => $self->_quick_state);
	my $known = $self->{states}{$name};
	is(SafemigOracle::difference($known->{full}, $now{full}), '', "state $name again")
	  if $known;
	$self->{states}{$name} //= \%now;
	return \%now;
}

# Once through the chain.
sub learn
{
	my ($self) = @_;
	$self->_note_state($self->{chain}[0]{from});
	foreach my $act (@{ $self->{chain} })
	{
		my $session = $self->_session(q(SET safemig.point = 'none nothing'));
		$act->{seconds} = 0;
		my @positions = $self->_position_now;
		foreach my $part (@{ $act->{parts} })
		{
			$act->{seconds} -= Time::HiRes::time();
			my (undef, $error) = $session->run($part);
			$act->{seconds} += Time::HiRes::time();
			die "$act->{name}: $part\n$error" if defined $error;
			push @positions, $self->_position_now;
		}
		$act->{points} = _points($session);
		$session->close;
		# the setting itself is a transaction
		$act->{points}{$_}-- foreach grep { /^commit/ } keys %{ $act->{points} };
		$act->{positions} = \@positions;
		$self->{learnt}->($act) if $self->{learnt};
		$self->_after($act);
		$self->_note_state($act->{to});
	}
	return;
}

sub _after
{
	my ($self, $act) = @_;
	must($self->{database}, "SET client_min_messages = error; $act->{after}") if $act->{after};
	return;
}

# Counts of the history, and the state without the dump.
sub _position_now
{
	my ($self) = @_;
	return { progress => [ split /\|/, $self->_ask($progress_query) ], quick => $self->_quick_state };
}

# Does it without a fault, and compares.
sub finish
{
	my ($self, $act, $quick) = @_;
	my $session = $self->_session;
	foreach my $part (@{ $act->{parts} })
	{
		my (undef, $error) = $session->run($part);
		ok(!defined $error, "$act->{name}, run again") or diag("$part\n$error");
	}
	$session->close;
	$self->_after($act);
	$self->_is_state($act->{to}, $quick ? 'quick' : 'full', $self->_state($quick), "$act->{name}: the state after");
	return;
}

# ---- a fault ----

# Runs the parts of an act until one fails; false: none did.
sub _run_until
{
	my ($self, $act, %fault) = @_;
	my $session = $self->_session;
	my ($error, $shooter);
	my ($pid) = ($session->run('SELECT pg_backend_pid()'))[0] =~ /(\d+)/;
	if ($fault{action} eq 'shot')
	{
		$shooter = _shoot($pid, $fault{delay});
	}
	elsif ($fault{arm})
	{
		$fault{arm}->($pid);
	}
	else
	{
		# this one's commit is passed too
		my $pass = $fault{pass} + ($fault{point} =~ /^commit/ ? 1 : 0);
		(undef, $error) = $session->run("SET safemig.point = '$fault{point} $fault{action} $pass'");
		die "safemig.point: $error" if defined $error;
	}
	foreach my $part (@{ $act->{parts} })
	{
		(undef, $error) = $session->run($part);
		last if defined $error;
	}
	$fault{disarm}->($pid) if $fault{disarm};
	if ($shooter)
	{
		(undef, $error) = $session->run('SELECT pg_sleep(60)') unless defined $error;
		waitpid $shooter, 0;
	}
	return ($session, $error);
}

sub _shoot
{
	my ($pid, $delay) = @_;
	my $child = fork // die "fork: $!";
	return $child if $child;
	Time::HiRes::sleep($delay);
	kill 'KILL', $pid;
	POSIX::_exit(0);
}

# The part after which the act was broken off; undef: none.
sub _position_of
{
	my ($self, $act, $before, $quick) = @_;
	return $self->_ask("SELECT $act->{proof}") eq 't' ? 1 : undef if $act->{proof};
	my @progress = split /\|/, $self->_ask($progress_query);
	foreach my $k (reverse 0 .. $#{ $act->{positions} })
	{
		my $position = $act->{positions}[$k];
		my $first = $act->{positions}[0]{progress};
		# ids go on from one time to the next, differences do not
		next if grep { $progress[$_] - $before->[$_] != $position->{progress}[$_] - $first->[$_] } 0 .. $#progress;
		return $k if $position->{quick} eq $quick;
	}
	return undef;
}

# A transaction that was prepared when the server went is still there.
sub _settle_prepared
{
	my ($self) = @_;
	my $prepared = $self->_ask('SELECT gid FROM pg_prepared_xacts WHERE database = current_database()');
	return unless $prepared;
	my $how = $self->{prepared_how}++ % 2 ? 'COMMIT' : 'ROLLBACK';
	must($self->{database}, "$how PREPARED '$prepared'");
	return;
}

# True if the act is done all the same.
sub fault
{
	my ($self, $act, %fault) = @_;
	my $name = join ' ', $act->{name}, map { $_ . '=' . $fault{$_} } grep { !ref $fault{$_} } sort keys %fault;
	my $record = $self->_record;
	my $before = [ split /\|/, $self->_ask($progress_query) ];
	my $old = $deadly{ $fault{action} } ? $self->_ask($checkpointer) : 0;
	$fault{prepare}->() if $fault{prepare};
	my ($session, $error) = $self->_run_until($act, %fault);
	my $fired = defined $error;

	$self->{done}{ $fault{action} }++;
	if ($deadly{ $fault{action} })
	{
		$session->close;
		_wait_for_server($fault{action}, $fired ? $old : 0);
		$self->{hits}{ $fault{point} }++ if $fired && $fault{point};
		fail("$name: nobody was killed") unless $fired;
	}
	else
	{
		# what has begun is rolled back, and the session goes on
		my (undef, $dead) = $session->run('ROLLBACK');
		$self->_goes_on($session, $name) unless $fault{action} eq 'terminate' || $fault{may_end};
		$session->close;
		$fault{settle}->() if $fault{settle};
		like($error, $fault{error}, "$name: the error") if $fired && $fault{error};
	}
	$self->_settle_prepared;
	return $self->_prove($act, $name, $record, $before, !$deadly{ $fault{action} } || $fault{quick});
}

sub _goes_on
{
	my ($self, $session, $name) = @_;
	my ($out, $error) = $session->run('SET safemig.point = \'\'; CREATE TEMPORARY TABLE goes_on (); DROP TABLE goes_on; SELECT 1');
	ok(!defined $error && $out =~ /^1$/m, "$name: the session goes on") or diag($error // $out);
	return;
}

# Where did it end, and is that what the history says?
sub _prove
{
	my ($self, $act, $name, $record, $before, $quick) = @_;
	my $form = $quick ? 'quick' : 'full';
	my $state = $self->_state($quick);

	if ($self->_record eq $record)
	{
		$self->_is_state($act->{from}, $form, $state, "$name: the state before");
		$self->_keeps_its_word($name, $quick);
		return 0;
	}
	my $k = $self->_position_of($act, $before, $quick ? $state : $self->_quick_state);
	if (defined $k && $k == @{ $act->{parts} })
	{
		$self->_keeps_its_word($name, $quick);
		$self->_after($act);
		$self->_is_state($act->{to}, $form, $self->_state($quick), "$name: the state after");
		return 1;
	}
	if ($act->{undo} && (defined $k || $act->{loose}))
	{
		$self->_take_back($act, $name);
		return 0;
	}
	$self->{between}++;
	fail("$name: neither before nor after");
	diag(SafemigOracle::difference($self->{states}{ $act->{$_} }{$form}, $state)) foreach qw(from to);
	diag('history: ', SafemigOracle::difference($record, $self->_record));
	return undef;
}

sub _is_state
{
	my ($self, $which, $form, $state, $name) = @_;
	my $difference = SafemigOracle::difference($self->{states}{$which}{$form}, $state);
	is($difference, '', $name) or $self->{between}++;
	return;
}

# What was done of a migration that has no end.
sub _take_back
{
	my ($self, $act, $name) = @_;
	$self->_keeps_its_word($name);
	my ($status, $out, $err) = in_database($self->{database}, "SET client_min_messages = error; $act->{undo}");
	ok(!$status, "$name: what was done is taken back") or diag($err);
	$self->_is_state($act->{from}, 'full', $self->_state, "$name: and the state is the one before");
	return;
}

# Doctor finds nothing, but what has been abandoned.
sub _keeps_its_word
{
	my ($self, $name, $quick) = @_;
	my $found = $quick ? '' : $self->_ask(<<'SQL');
SELECT item, detail FROM safemig_doctor()
WHERE CASE item WHEN 'irreversible migrations' THEN false
	WHEN 'abandoned migrations' THEN detail <> (SELECT count(*)::text FROM safemig.migration_log WHERE state = 'open')
	ELSE status <> 'ok' END
SQL
	my $missing = $self->_ask(<<'SQL');
SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname LIKE 'safemig\_vault\_%' AND relkind IN ('r', 'p', 'm') AND NOT relispartition
	AND NOT EXISTS (SELECT FROM safemig.kept_log k WHERE k.state = 'kept' AND k.vault_schema = nspname AND k.vault_name = relname)
SQL
	my $wrong = join "\n", grep { length } $found, $missing;
	is($wrong, '', "$name: the history tells the truth") or $self->{lost}++;
	return;
}

1;
