
# Copyright (c) 2026, the safemig authors

=pod

=head1 NAME

SafemigSession - a psql that stays open

=head1 SYNOPSIS

  my $session = SafemigSession->new($conn, 'SET safemig.label = ...');
  my ($output, $error) = $session->run('SELECT 1');

=head1 DESCRIPTION

For tests that run thousands of short statements, and for what only a session
that has lived for a while can show.  run() returns what the statement printed
and its error, "SQLSTATE: message" with what follows it, or undef.  A server
that goes away, or does not answer for two minutes, is an error of its own:
"crash: ..." and "timeout: ...".  begin() does not wait for the answer, which
answer() returns: for what others see of a statement that has not ended.

=cut

package SafemigSession;

use strict;
use warnings;

use IPC::Open3 ();

sub new
{
	my ($class, $conn, $first) = @_;
	my @command = (
		defined $conn->{bindir} ? "$conn->{bindir}/psql" : 'psql', '-XAtq',
		(map { defined $conn->{ $_->[1] } ? ($_->[0], $conn->{ $_->[1] }) : () }
			[ '-h', 'host' ], [ '-p', 'port' ], [ '-U', 'user' ]),
		'-d', $conn->{dbname});
	# no handle for standard error: it comes with the output, between its lines
	my $pid = IPC::Open3::open3(my $in, my $out, undef, 'stdbuf', '-oL', @command);
	$in->autoflush(1);
	my $self = bless { in => $in, out => $out, pid => $pid, count => 0 }, $class;
	my (undef, $error) = $self->run("\\set VERBOSITY verbose\n" . ($first // ''));
	die "cannot begin a session: $error" if defined $error;
	return $self;
}

sub run
{
	my ($self, $sql) = @_;
	$self->begin($sql);
	return $self->answer;
}

sub begin
{
	my ($self, $sql) = @_;
	my $mark = '-- answered ' . ++$self->{count} . ' --';
	local $SIG{PIPE} = 'IGNORE';
	# an unfinished statement is ended; not after the data of COPY, where psql
	# would take the semicolon for something else
	my $end = $sql =~ /^\\\.\s*\z/m ? '' : ";\n";
	print { $self->{in} } "$sql\n$end\\echo $mark\n";
	$self->{sql} = $sql;
	$self->{mark} = $mark;
	return;
}

sub answer
{
	my ($self) = @_;
	my ($sql, $mark) = @$self{qw(sql mark)};
	my ($output, $answered) = ('', 0);
	my $in_time = eval
	{
		local $SIG{ALRM} = sub { die "timeout\n" };
		alarm 120;
		while (defined(my $line = readline $self->{out}))
		{
			# what was said last need not have ended its line
			$answered = $line =~ s/\Q$mark\E\n\z//;
			$output .= $line;
			last if $answered;
		}
		alarm 0;
		1;
	};
	alarm 0;
	return ($output, "timeout: $sql") unless $in_time;
	return ($output, "crash: $sql\n$output")
	  if $output =~ /server closed the connection|connection to server was lost|terminating connection because of crash/
	  || !$answered;
	return ($output, undef) unless $output =~ /^(?:ERROR|FATAL|PANIC):  (.*)/ms;
	return ($output, $1 =~ s/^(?:LOCATION|LINE \d+|STATEMENT|\s*\^).*\n?//mgr);
}

sub close
{
	my ($self) = @_;
	return unless $self->{pid};
	CORE::close $self->{in};
	waitpid $self->{pid}, 0;
	$self->{pid} = undef;
	return;
}

sub DESTROY { local $?; $_[0]->close; return }

1;
