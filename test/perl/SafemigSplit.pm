
# Copyright (c) 2026, the safemig authors

=pod

=head1 NAME

SafemigSplit - a psql script, cut into what psql takes as one

=head1 SYNOPSIS

  my @pieces = SafemigSplit::pieces($text);

=head1 DESCRIPTION

A piece is a statement with its semicolon or the \g that sends it, with the
data of COPY ... FROM stdin; a line that is a psql command; or everything from
\if to its \endif.  Given to psql one by one they do what the whole file does.
A variable that \set made, and that stands alone with a semicolon, is replaced
by the statements in it.

=cut

package SafemigSplit;

use strict;
use warnings;

sub pieces
{
	my ($text) = @_;
	my $self = { pieces => [], piece => '', depth => 0, atomic => 0, ifs => 0 };
	pos($text) = 0;
	_step($self, \$text) while pos($text) < length $text;
	_end($self);
	my %set;
	return map { _expanded(\%set, $_) } grep { /\S/ } @{ $self->{pieces} };
}

sub _expanded
{
	my ($set, $piece) = @_;
	if (my ($name, $quoted) = $piece =~ /^\s*\\set\s+(\w+)\s+'((?:[^'\\]|'')*)'\s*$/)
	{
		$set->{$name} = $quoted =~ s/''/'/gr;
	}
	return $piece unless $piece =~ /^((?:\s|--[^\n]*\n)*):(\w+)\s*;\s*$/ && $set->{$2};
	my ($comments, $value) = ($1, $set->{$2});
	return pieces("$comments$value;\n");
}

# Comments and nothing else do not begin a statement.
sub _is_begun
{
	my ($self) = @_;
	my $bare = $self->{piece} =~ s{--[^\n]*|/\*.*?\*/}{}gsr;
	return $bare =~ /\S/;
}

sub _end
{
	my ($self) = @_;
	push @{ $self->{pieces} }, $self->{piece};
	$self->{$_} = 0 foreach qw(depth atomic);
	$self->{piece} = '';
	return;
}

# Takes what stands at the position as one: a quoted thing, a word, a mark.
sub _step
{
	my ($self, $text) = @_;
	if ($$text =~ /\G(?:\s+|--[^\n]*)/gc
		|| $$text =~ m{\G(/\*(?:[^*/]++|(?<!/)\*(?!/)|/(?!\*)|\*(?!/)|(?1))*+\*/)}gc
		|| $$text =~ /\G[eE]'(?:[^'\\]|\\.|'')*'/gcs
		|| $$text =~ /\G'(?:[^']|'')*'/gcs
		|| $$text =~ /\G"(?:[^"]|"")*"/gcs
		|| $$text =~ /\G(\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?\$).*?\1/gcs)
	{
		$self->{piece} .= $&;
	}
	elsif ($$text =~ /\G\\;/gc)
	{
		$self->{piece} .= $&;
	}
	elsif ($$text =~ /\G\\([^\n]*)(?:\n|\z)/gc)
	{
		_command($self, $1, $&, $text);
	}
	elsif ($$text =~ /\G[A-Za-z_\x80-\xff][\w\$\x80-\xff]*/gc)
	{
		$self->{piece} .= $&;
		_word($self, lc $&);
	}
	elsif ($$text =~ /\G;/gc)
	{
		$self->{piece} .= $&;
		return if $self->{depth} > 0 || $self->{atomic} > 0;
		_data($self, $text);
		_end($self) unless $self->{ifs};
	}
	elsif ($$text =~ /\G./gcs)
	{
		$self->{piece} .= $&;
		$self->{depth} += { '(' => 1, ')' => -1 }->{$&} // 0;
	}
	return;
}

# BEGIN ATOMIC ... END, with CASE ... END inside.
sub _word
{
	my ($self, $word) = @_;
	return unless $self->{piece} =~ /\bcreate\b.*\b(?:function|procedure)\b/is;
	if ($word eq 'atomic' && $self->{piece} =~ /\bbegin\s+atomic\z/i)
	{
		$self->{atomic} = 1;
	}
	elsif ($self->{atomic})
	{
		$self->{atomic} += { case => 1, end => -1 }->{$word} // 0;
	}
	return;
}

sub _command
{
	my ($self, $command, $line, $text) = @_;
	my $begun = _is_begun($self);
	$self->{piece} .= $line;
	$self->{piece} .= $& if $command =~ /^copy\b.*\bfrom\s+p?std(?:in|out)\b/i && $$text =~ /\G.*?^\\\.(?:\n|\z)/gcms;
	$self->{ifs} += $command =~ /^if\b/ ? 1 : $command =~ /^endif\b/ ? -1 : 0;
	return if $self->{ifs};
	_end($self) if !$begun || $command =~ /^(?:g|gx|gset|gexec|gdesc|crosstabview|watch|r|reset|endif)\b/;
	return;
}

sub _data
{
	my ($self, $text) = @_;
	my $bare = $self->{piece} =~ s{'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/}{}gsr;
	foreach (split /;/, $bare)
	{
		next unless /\A\s*copy\b.*\bfrom\s+std(?:in|out)\b/is;
		$self->{piece} .= _has_data($text) && $$text =~ /\G[^\n]*\n.*?^\\\.(?:\n|\z)/gcms ? $& : "\n\\.\n";
	}
	return;
}

# One that fails at once has none, but psql looks for its end: what comes next
# is commands, and the end that of another one's data.
sub _has_data
{
	my ($text) = @_;
	my ($data) = substr($$text, pos $$text) =~ /\A[^\n]*\n(.*?)^\\\.(?:\n|\z)/ms or return 0;
	return $data !~ /^(?:alter|begin|commit|copy|create|delete|drop|insert|rollback|select|set|truncate|update)\b[^\n]*;\s*$/im;
}

1;
