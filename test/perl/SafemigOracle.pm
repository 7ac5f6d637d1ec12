
# Copyright (c) 2026, the safemig authors

=pod

=head1 NAME

SafemigOracle - says whether two states of a database are the same

=head1 DESCRIPTION

The proof of a rollback is that the database before the migration and the
database after the rollback cannot be told apart.  This module takes a
database down as text, twice over: as pg_dump sees it, and by a query for what
pg_dump leaves out (order of columns, validity of indexes and constraints,
enabled states, dependencies, order of privileges).  safemig's own schemas are
left out, nothing else is.

Two things are evened out because they carry no meaning: the random key of
\restrict lines, and the physical order of rows within one COPY.

It needs nothing of safemig, so that it can describe a database that has never
heard of it.

=cut

package SafemigOracle;

use strict;
use warnings;

use Exporter qw(import);
use File::Temp ();
use POSIX      ();

our @EXPORT_OK = qw(connection psql dump_text catalog_text oracle difference);

# A connection is a hash: bindir, host, port, user, dbname.
sub connection
{
	my (%options) = @_;
	return {
		bindir => $ENV{SAFEMIG_BINDIR},
		user => 'postgres',
		dbname => 'postgres',
		%options
	};
}

sub _program
{
	my ($conn, $name) = @_;
	return defined $conn->{bindir} ? "$conn->{bindir}/$name" : $name;
}

sub _arguments
{
	my ($conn) = @_;
	my @arguments;
	push @arguments, '-h', $conn->{host} if defined $conn->{host};
	push @arguments, '-p', $conn->{port} if defined $conn->{port};
	push @arguments, '-U', $conn->{user} if defined $conn->{user};
	return @arguments;
}

sub _file_with
{
	my ($text) = @_;
	my $file = File::Temp->new;
	binmode $file;
	print $file $text;
	close $file;
	return $file;
}

# Runs a program; returns exit status, standard output and standard error.
# Through files, which is much cheaper than pipes that are watched.
sub _run
{
	my ($input, @command) = @_;
	my ($in, @files) = map { _file_with($_) } $input, '', '';
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		open STDIN, '<', "$in" or POSIX::_exit(126);
		open STDOUT, '>', "$files[0]" or POSIX::_exit(126);
		open STDERR, '>', "$files[1]" or POSIX::_exit(126);
		exec @command or POSIX::_exit(127);
	}
	waitpid $pid, 0;
	my $status = $?;
	return ($status, map { _content("$_") } @files);
}

sub _content
{
	my ($name) = @_;
	open my $file, '<:raw', $name or die "$name: $!";
	local $/;
	return readline($file) // '';
}

# Runs SQL through psql and stops at the first error.  Returns exit status,
# standard output and standard error.
sub psql
{
	my ($conn, $sql, %options) = @_;
	my @command = (
		_program($conn, 'psql'), '-XAtq', _arguments($conn),
		'-v', 'ON_ERROR_STOP=1', '-d', $conn->{dbname},
		@{ $options{arguments} // [] });
	push @command, '-f', '-' unless defined $options{file};
	push @command, '-f', $options{file} if defined $options{file};

	local $ENV{PGOPTIONS} = join ' ', grep { defined }
	  $ENV{PGOPTIONS}, '-c statement_timeout=' . ($options{timeout} // 60) . 's',
	  $options{pgoptions};
	local $ENV{PGCLIENTENCODING} = $options{encoding}
	  // $ENV{PGCLIENTENCODING};
	delete $ENV{PGCLIENTENCODING} unless defined $ENV{PGCLIENTENCODING};
	my ($status, $out, $err) = _run($sql // '', @command);
	chomp $out;
	return ($status, $out, $err);
}

# The rows of one COPY block have no order that means anything: they are
# sorted.
sub _sort_rows
{
	my ($text) = @_;
	my (@lines, @rows, $inside);
	foreach my $line (split /\n/, $text)
	{
		next if $line =~ /^\\(un)?restrict /;
		if ($inside && $line eq '\\.')
		{
			push @lines, sort(@rows), $line;
			@rows = ();
			$inside = 0;
		}
		elsif ($inside)
		{
			push @rows, $line;
		}
		else
		{
			push @lines, $line;
			$inside = 1 if $line =~ /^COPY .* FROM stdin;$/;
		}
	}
	return join("\n", @lines, @rows) . "\n";
}

# The whole database but for safemig's own schemas, as pg_dump writes it.
# Sets $$raw, when given, to the untouched text, fit for being restored.
# Further arguments are pg_dump's.
sub dump_text
{
	my ($conn, $raw, @further) = @_;
	my ($status, $out, $err) = _run('',
		_program($conn, 'pg_dump'), _arguments($conn), '-N', 'safemig*', @further,
		'-d', $conn->{dbname});
	return "pg_dump failed: $err" if $status;
	$$raw = $out if defined $raw;
	return _sort_rows($out);
}

# What pg_dump leaves out, one line per fact.  Objects are named, never
# numbered, since a rollback may give an object a new OID.
my $catalog_query = <<'SQL';
SET search_path = '';
SET quote_all_identifiers = off;
WITH ns AS (
	SELECT oid, nspname FROM pg_namespace
	WHERE nspname !~ '^(pg_|safemig)' AND nspname <> 'information_schema'
), rel AS (
	SELECT c.*, c.oid::regclass AS name
	FROM pg_class c JOIN ns ON ns.oid = c.relnamespace
), own_rel AS (
	SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
	WHERE nspname ~ '^(safemig|pg_toast$)'
), own AS MATERIALIZED (
	-- to ask for the identity of each of them would take longer than all else
	SELECT 'pg_class'::regclass::oid AS classid, oid AS objid FROM own_rel
	UNION ALL
	SELECT 'pg_type'::regclass, t.oid FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace WHERE nspname ~ '^safemig'
	UNION ALL
	SELECT 'pg_proc'::regclass, p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname ~ '^safemig'
	UNION ALL
	SELECT 'pg_constraint'::regclass, con.oid FROM pg_constraint con JOIN own_rel ON own_rel.oid = conrelid
	UNION ALL
	SELECT 'pg_attrdef'::regclass, d.oid FROM pg_attrdef d JOIN own_rel ON own_rel.oid = adrelid
	UNION ALL
	SELECT 'pg_rewrite'::regclass, r.oid FROM pg_rewrite r JOIN own_rel ON own_rel.oid = ev_class
	UNION ALL
	SELECT 'pg_trigger'::regclass, t.oid FROM pg_trigger t JOIN own_rel ON own_rel.oid = tgrelid
), lines(line) AS (
	SELECT format('schema %I owner=%s acl=%s', n.nspname,
				  pg_get_userbyid(n.nspowner),
				  coalesce(n.nspacl, acldefault('n', n.nspowner)))
	FROM pg_namespace n JOIN ns USING (oid)

	UNION ALL
	SELECT format('relation %s kind=%s persistence=%s owner=%s am=%s tablespace=%s options=%s toast=%s replica=%s rls=%s,%s partition=%s populated=%s acl=%s',
				  name, relkind, relpersistence, pg_get_userbyid(relowner),
				  (SELECT amname FROM pg_am a WHERE a.oid = relam),
				  (SELECT spcname FROM pg_tablespace t WHERE t.oid = reltablespace),
				  reloptions,
				  (SELECT t.reloptions FROM pg_class t WHERE t.oid = rel.reltoastrelid),
				  relreplident, relrowsecurity, relforcerowsecurity,
				  pg_get_expr(relpartbound, oid), relispopulated,
				  coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r'::"char" END, relowner)))
	FROM rel WHERE relkind NOT IN ('i', 'I', 't')

	UNION ALL
	SELECT format('column %s %s %I type=%s collation=%s notnull=%s default=%s identity=%s generated=%s storage=%s compression=%s stats=%s dims=%s local=%s,%s options=%s acl=%s',
				  rel.name, row_number() OVER (PARTITION BY attrelid ORDER BY attnum),
				  attname, format_type(atttypid, atttypmod),
				  (SELECT coll.collname FROM pg_collation coll WHERE coll.oid = attcollation),
				  attnotnull,
				  (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef d WHERE d.adrelid = attrelid AND d.adnum = attnum),
				  attidentity, attgenerated, attstorage, attcompression,
				  nullif(attstattarget, -1),
				  CASE WHEN relkind IN ('r', 'p', 'f') THEN attndims END,
				  attislocal, attinhcount,
				  (SELECT array_agg(o) FROM unnest(attoptions) o WHERE o !~ '^pg_attver='),
				  nullif(attacl::text, '{}'))
	FROM pg_attribute JOIN rel ON rel.oid = attrelid
	WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p', 'v', 'm', 'f', 'c')

	UNION ALL
	SELECT format('index %s valid=%s ready=%s live=%s clustered=%s replica=%s immediate=%s primary=%s persistence=%s tablespace=%s options=%s stats=%s %s',
				  rel.name, indisvalid, indisready, indislive, indisclustered,
				  indisreplident, indimmediate, indisprimary, relpersistence,
				  (SELECT spcname FROM pg_tablespace t WHERE t.oid = reltablespace),
				  reloptions,
				  (SELECT array_agg(nullif(attstattarget, -1) ORDER BY attnum) FROM pg_attribute WHERE attrelid = rel.oid),
				  pg_get_indexdef(indexrelid))
	FROM pg_index JOIN rel ON rel.oid = indexrelid

	UNION ALL
	SELECT format('constraint %I on %s type=%s validated=%s deferrable=%s,%s local=%s,%s noinherit=%s parent=%s %s',
				  conname, CASE WHEN contypid <> 0 THEN contypid::regtype::text ELSE conrelid::regclass::text END,
				  contype, convalidated, condeferrable, condeferred,
				  conislocal, coninhcount, connoinherit,
				  (SELECT p.conname FROM pg_constraint p WHERE p.oid = con.conparentid),
				  pg_get_constraintdef(con.oid))
	FROM pg_constraint con JOIN ns ON ns.oid = connamespace

	UNION ALL
	SELECT DISTINCT format('trigger %s on %s enabled=%s constraint=%s function=%s %s',
				  CASE WHEN tgisinternal THEN regexp_replace(tgname, '\d+$', '') ELSE quote_ident(tgname) END,
				  rel.name, tgenabled,
				  (SELECT conname FROM pg_constraint con WHERE con.oid = tgconstraint),
				  tgfoid::regprocedure,
				  CASE WHEN NOT tgisinternal THEN pg_get_triggerdef(t.oid) END)
	FROM pg_trigger t JOIN rel ON rel.oid = tgrelid

	UNION ALL
	SELECT format('rule %I on %s enabled=%s %s', rulename, rel.name, ev_enabled,
				  pg_get_ruledef(r.oid))
	FROM pg_rewrite r JOIN rel ON rel.oid = ev_class

	UNION ALL
	SELECT format('policy %I on %s permissive=%s command=%s roles=%s using=%s check=%s',
				  polname, rel.name, polpermissive, polcmd, polroles::regrole[],
				  pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
	FROM pg_policy p JOIN rel ON rel.oid = polrelid

	UNION ALL
	SELECT format('function %s owner=%s acl=%s %s', p.oid::regprocedure,
				  pg_get_userbyid(proowner),
				  coalesce(proacl, acldefault('f', proowner)),
				  CASE WHEN prokind <> 'a' THEN pg_get_functiondef(p.oid) END)
	FROM pg_proc p JOIN ns ON ns.oid = pronamespace

	UNION ALL
	SELECT format('type %s kind=%s,%s owner=%s notnull=%s default=%s array=%s acl=%s labels=%s',
				  t.oid::regtype, typtype, typcategory, pg_get_userbyid(typowner), typnotnull,
				  coalesce(pg_get_expr(typdefaultbin, 0), typdefault), (SELECT a.typname FROM pg_type a WHERE a.oid = t.typarray),
				  coalesce(typacl, acldefault('T', typowner)),
				  (SELECT array_agg(enumlabel ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid))
	FROM pg_type t JOIN ns ON ns.oid = typnamespace

	UNION ALL
	SELECT format('statistics %I.%I target=%s %s', ns.nspname, stxname,
				  nullif(stxstattarget, -1), pg_get_statisticsobjdef(s.oid))
	FROM pg_statistic_ext s JOIN ns ON ns.oid = stxnamespace

	UNION ALL
	SELECT format('sequence %s last=%s', rel.name,
				  pg_sequence_last_value(rel.oid))
	FROM rel WHERE relkind = 'S'

	UNION ALL
	SELECT format('inherits %s from %s %s detaching=%s', rel.name, inhparent::regclass,
				  row_number() OVER (PARTITION BY inhrelid ORDER BY inhseqno), inhdetachpending)
	FROM pg_inherits JOIN rel ON rel.oid = inhrelid

	UNION ALL
	SELECT DISTINCT regexp_replace(
				format('depend %s %s -> %s %s %s', o.type, o.identity, r.type, r.identity, deptype),
				'(RI_ConstraintTrigger_[ac]|(Unique|PK)_ConstraintTrigger)_\d+', '\1', 'g')
	FROM (SELECT * FROM pg_depend d
		  WHERE objid >= 16384
			AND (classid, objid) NOT IN (SELECT classid, objid FROM own)
		  OFFSET 0) d,
		 pg_identify_object(classid, objid, objsubid) o,
		 pg_identify_object(refclassid, refobjid, refobjsubid) r
	WHERE coalesce(o.identity, '') !~ '^[("]*(safemig|pg_toast)|\m(on|for|of) "?safemig'
	  AND coalesce(r.identity, '') !~ '^(safemig$|pg_toast\.)'

	UNION ALL
	SELECT DISTINCT format('depend %s %s -> %s %s', o.type, o.identity, pg_get_userbyid(refobjid), deptype)
	FROM pg_shdepend, pg_identify_object(classid, objid, objsubid) o
	WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
	  AND refclassid = 'pg_authid'::regclass
	  AND coalesce(o.identity, '') !~ '^[("]*(safemig|pg_toast)|\m(on|for) "?safemig|^for role safemig'

	UNION ALL
	SELECT format('DANGLING column %s.%I: no type %s', attrelid::regclass, attname, atttypid)
	FROM pg_attribute WHERE NOT attisdropped
	  AND NOT EXISTS (SELECT FROM pg_type t WHERE t.oid = atttypid)

	UNION ALL
	SELECT format('DANGLING constraint %s: no table', conname)
	FROM pg_constraint WHERE conrelid <> 0
	  AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = conrelid)
)
SELECT replace(line, chr(10), ' ⏎ ') FROM lines ORDER BY line COLLATE "C";
SQL

# For whoever has a session of its own to run it in.
sub catalog_query { return $catalog_query }

# What the query above leaves to pg_dump, for whoever cannot run that as often:
# the catalogs that are not about relations.  What belongs to an extension goes
# by what it is as well.
my $other_catalogs_query = <<'SQL';
WITH ns AS (
	SELECT oid, nspname FROM pg_namespace
	WHERE nspname !~ '^(pg_|safemig)' AND nspname <> 'information_schema'
), lines(line) AS (
	SELECT format('comment %s %s: %s', o.type, o.identity, description)
	FROM pg_description, pg_identify_object(classoid, objoid, objsubid) o
	WHERE (objoid >= 16384 OR classoid IN ('pg_namespace'::regclass, 'pg_largeobject'::regclass)) AND o.identity !~ 'safemig'

	UNION ALL
	SELECT format('role %s %s', rolname, to_jsonb(r) - '{oid,rolname}'::text[])
	FROM pg_authid r WHERE rolname !~ '^pg_'

	UNION ALL
	SELECT format('member of %s: %s by %s %s', roleid::regrole, member::regrole, grantor::regrole,
				  to_jsonb(m) - '{oid,roleid,member,grantor}'::text[])
	FROM pg_auth_members m

	UNION ALL
	SELECT format('settings of %s in %s: %s', setrole::regrole, datname, setconfig)
	FROM pg_db_role_setting LEFT JOIN pg_database d ON d.oid = setdatabase WHERE setrole <> 0

	UNION ALL
	SELECT format('settings of all%s: %s', CASE WHEN datname = current_database() THEN ' here' ELSE ' in ' || datname END, setconfig)
	FROM pg_db_role_setting LEFT JOIN pg_database d ON d.oid = setdatabase WHERE setrole = 0

	UNION ALL
	SELECT format('%s %s: %s', CASE WHEN datname = current_database() THEN 'this' ELSE 'database ' || datname END, pg_get_userbyid(datdba),
				  concat_ws(' ', coalesce(datacl, acldefault('d', datdba)), datconnlimit, datistemplate, datallowconn, shobj_description(oid, 'pg_database')))
	FROM pg_database WHERE datname = current_database() OR datname ~ '^neighbour'

	UNION ALL
	SELECT format('tablespace %s %s: %s %s %s', spcname, pg_get_userbyid(spcowner), coalesce(spcacl, acldefault('t', spcowner)), spcoptions, shobj_description(oid, 'pg_tablespace'))
	FROM pg_tablespace WHERE spcname !~ '^pg_'

	UNION ALL
	SELECT format('%s label of %s: %s', provider, coalesce(rolname, nullif(datname, current_database()), spcname, subname, 'this database'), label)
	FROM pg_shseclabel s
		LEFT JOIN pg_authid r ON classoid = 'pg_authid'::regclass AND r.oid = objoid
		LEFT JOIN pg_database d ON classoid = 'pg_database'::regclass AND d.oid = objoid
		LEFT JOIN pg_tablespace t ON classoid = 'pg_tablespace'::regclass AND t.oid = objoid
		LEFT JOIN pg_subscription u ON classoid = 'pg_subscription'::regclass AND u.oid = objoid

	UNION ALL
	SELECT format('comment on role %s: %s', objoid::regrole, description)
	FROM pg_shdescription WHERE classoid = 'pg_authid'::regclass

	UNION ALL
	SELECT format('large object %s owner=%s acl=%s', oid, pg_get_userbyid(lomowner), coalesce(lomacl, acldefault('L', lomowner)))
	FROM pg_largeobject_metadata

	UNION ALL
	SELECT format('subscription %s owner=%s %s', subname, pg_get_userbyid(subowner), to_jsonb(s) - '{oid,subdbid,subname,subowner}'::text[])
	FROM pg_subscription s WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())

	UNION ALL
	SELECT format('security label %s %s %s: %s', o.type, o.identity, provider, label)
	FROM pg_seclabel, pg_identify_object(classoid, objoid, objsubid) o

	UNION ALL
	SELECT format('privileges by default %s %s %s %s', pg_get_userbyid(defaclrole),
				  CASE WHEN defaclnamespace <> 0 THEN defaclnamespace::regnamespace END, defaclobjtype, defaclacl)
	FROM pg_default_acl

	UNION ALL
	SELECT format('operator %s owner=%s merges=%s hashes=%s result=%s commutator=%s negator=%s %s %s %s',
				  o.oid::regoperator, pg_get_userbyid(oprowner), oprcanmerge, oprcanhash,
				  oprresult::regtype, oprcom::regoperator, oprnegate::regoperator, oprcode, oprrest, oprjoin)
	FROM pg_operator o JOIN ns ON ns.oid = oprnamespace

	UNION ALL
	SELECT format('%s %s owner=%s', i.type, i.identity, pg_get_userbyid(opfowner))
	FROM pg_opfamily f JOIN ns ON ns.oid = opfnamespace, pg_identify_object('pg_opfamily'::regclass, f.oid, 0) i

	UNION ALL
	SELECT format('%s %s owner=%s default=%s type=%s key=%s family=%s', i.type, i.identity, pg_get_userbyid(opcowner),
				  opcdefault, opcintype::regtype, opckeytype::regtype,
				  (pg_identify_object('pg_opfamily'::regclass, opcfamily, 0)).identity)
	FROM pg_opclass c JOIN ns ON ns.oid = opcnamespace, pg_identify_object('pg_opclass'::regclass, c.oid, 0) i

	UNION ALL
	SELECT format('%s %s %s purpose=%s sort=%s', i.type, i.identity, amopopr::regoperator, amoppurpose,
				  CASE WHEN amopsortfamily <> 0 THEN (pg_identify_object('pg_opfamily'::regclass, amopsortfamily, 0)).identity END)
	FROM pg_amop a, pg_identify_object('pg_amop'::regclass, a.oid, 0) i WHERE a.oid >= 16384

	UNION ALL
	SELECT format('%s %s %s', i.type, i.identity, amproc::regprocedure)
	FROM pg_amproc a, pg_identify_object('pg_amproc'::regclass, a.oid, 0) i WHERE a.oid >= 16384

	UNION ALL
	SELECT format('cast %s -> %s function=%s context=%s method=%s', castsource::regtype, casttarget::regtype,
				  castfunc::regprocedure, castcontext, castmethod)
	FROM pg_cast WHERE oid >= 16384 AND castsource::regtype::text !~ '^safemig'

	UNION ALL
	SELECT format('conversion %I.%I owner=%s %s -> %s %s default=%s', ns.nspname, conname, pg_get_userbyid(conowner),
				  pg_encoding_to_char(conforencoding), pg_encoding_to_char(contoencoding), conproc, condefault)
	FROM pg_conversion JOIN ns ON ns.oid = connamespace

	UNION ALL
	SELECT format('collation %s owner=%s %s', i.identity, pg_get_userbyid(collowner),
				  to_jsonb(c) - '{oid,collnamespace,collowner}'::text[])
	FROM pg_collation c JOIN ns ON ns.oid = collnamespace, pg_identify_object('pg_collation'::regclass, c.oid, 0) i

	UNION ALL
	SELECT format('parser %I.%I %s %s %s %s %s', ns.nspname, prsname, prsstart, prstoken, prsend, prsheadline, prslextype)
	FROM pg_ts_parser JOIN ns ON ns.oid = prsnamespace

	UNION ALL
	SELECT format('template %I.%I %s %s', ns.nspname, tmplname, tmplinit, tmpllexize)
	FROM pg_ts_template JOIN ns ON ns.oid = tmplnamespace

	UNION ALL
	SELECT format('dictionary %I.%I owner=%s template=%s %s', ns.nspname, dictname, pg_get_userbyid(dictowner),
				  (pg_identify_object('pg_ts_template'::regclass, dicttemplate, 0)).identity, dictinitoption)
	FROM pg_ts_dict JOIN ns ON ns.oid = dictnamespace

	UNION ALL
	SELECT format('configuration %s owner=%s parser=%s mappings=%s', c.oid::regconfig, pg_get_userbyid(cfgowner),
				  (pg_identify_object('pg_ts_parser'::regclass, cfgparser, 0)).identity,
				  (SELECT string_agg(format('%s:%s:%s', maptokentype, mapseqno, mapdict::regdictionary), ' ' ORDER BY maptokentype, mapseqno)
				   FROM pg_ts_config_map WHERE mapcfg = c.oid))
	FROM pg_ts_config c JOIN ns ON ns.oid = cfgnamespace

	UNION ALL
	SELECT format('foreign-data wrapper %I owner=%s %s %s options=%s acl=%s', fdwname, pg_get_userbyid(fdwowner),
				  fdwhandler::regproc, fdwvalidator::regproc, fdwoptions, coalesce(fdwacl, acldefault('F', fdwowner)))
	FROM pg_foreign_data_wrapper

	UNION ALL
	SELECT format('server %I wrapper=%s owner=%s type=%s version=%s options=%s acl=%s', srvname,
				  (SELECT fdwname FROM pg_foreign_data_wrapper w WHERE w.oid = srvfdw), pg_get_userbyid(srvowner),
				  srvtype, srvversion, srvoptions, coalesce(srvacl, acldefault('S', srvowner)))
	FROM pg_foreign_server

	UNION ALL
	SELECT format('user mapping %s on %s options=%s', CASE WHEN umuser <> 0 THEN pg_get_userbyid(umuser) END,
				  (SELECT srvname FROM pg_foreign_server s WHERE s.oid = umserver), umoptions)
	FROM pg_user_mapping

	UNION ALL
	SELECT format('foreign table %s server=%s options=%s', ftrelid::regclass,
				  (SELECT srvname FROM pg_foreign_server s WHERE s.oid = ftserver), ftoptions)
	FROM pg_foreign_table

	UNION ALL
	SELECT format('column options %s.%I %s', attrelid::regclass, attname, attfdwoptions)
	FROM pg_attribute WHERE attfdwoptions IS NOT NULL AND NOT attisdropped

	UNION ALL
	SELECT format('publication %I owner=%s %s relations=%s schemas=%s', pubname, pg_get_userbyid(pubowner),
				  to_jsonb(p) - '{oid,pubname,pubowner}'::text[],
				  (SELECT string_agg(format('%s (%s) %s', prrelid::regclass, prattrs, pg_get_expr(prqual, prrelid)), '; ' ORDER BY prrelid::regclass::text)
				   FROM pg_publication_rel WHERE prpubid = p.oid),
				  (SELECT string_agg(pnnspid::regnamespace::text, ' ' ORDER BY pnnspid::regnamespace::text)
				   FROM pg_publication_namespace WHERE pnpubid = p.oid))
	FROM pg_publication p

	UNION ALL
	SELECT format('event trigger %I owner=%s on %s %s enabled=%s tags=%s', evtname, pg_get_userbyid(evtowner), evtevent,
				  evtfoid::regprocedure, evtenabled, evttags)
	FROM pg_event_trigger WHERE evtname !~ '^!safemig'

	UNION ALL
	SELECT format('extension %I owner=%s schema=%s version=%s tables=%s', extname, pg_get_userbyid(extowner),
				  extnamespace::regnamespace, extversion,
				  (SELECT array_agg(t::regclass::text || ' ' || c ORDER BY t::regclass::text) FROM unnest(extconfig, extcondition) x(t, c)))
	FROM pg_extension WHERE extname <> 'safemig'

	UNION ALL
	SELECT format('language %I owner=%s trusted=%s %s %s %s acl=%s', lanname, pg_get_userbyid(lanowner), lanpltrusted,
				  lanplcallfoid::regproc, laninline::regproc, lanvalidator::regproc, coalesce(lanacl, acldefault('l', lanowner)))
	FROM pg_language

	UNION ALL
	SELECT format('access method %I %s %s', amname, amhandler, amtype) FROM pg_am

	UNION ALL
	SELECT format('transform %s %s from=%s to=%s', trftype::regtype, (SELECT lanname FROM pg_language l WHERE l.oid = trflang),
				  trffromsql, trftosql)
	FROM pg_transform

	UNION ALL
	SELECT format('range %s of=%s collation=%s class=%s canonical=%s difference=%s', rngtypid::regtype, rngsubtype::regtype,
				  CASE WHEN rngcollation <> 0 THEN rngcollation::regcollation END,
				  (pg_identify_object('pg_opclass'::regclass, rngsubopc, 0)).identity, rngcanonical, rngsubdiff)
	FROM pg_range WHERE rngtypid >= 16384 AND rngtypid::regtype::text !~ '^safemig'

	UNION ALL
	SELECT format('base type %s length=%s value=%s align=%s storage=%s delimiter=%s preferred=%s base=%s,%s dims=%s collation=%s %s %s %s %s %s %s %s %s',
				  t.oid::regtype, typlen, typbyval, typalign, typstorage, typdelim, typispreferred, typbasetype::regtype, typtypmod,
				  typndims, CASE WHEN typcollation <> 0 THEN typcollation::regcollation END,
				  typinput, typoutput, typreceive, typsend, typmodin, typmodout, typanalyze, typsubscript)
	FROM pg_type t JOIN ns ON ns.oid = typnamespace WHERE typtype IN ('b', 'd', 'p') OR typtype = 'r'

	UNION ALL
	SELECT format('aggregate %s %s', aggfnoid::regprocedure,
				  to_jsonb(a) - '{aggfnoid,aggsortop,aggtranstype,aggmtranstype}'::text[]
				  || jsonb_build_object('s', aggsortop::regoperator, 't', aggtranstype::regtype, 'm', aggmtranstype::regtype))
	FROM pg_aggregate a WHERE aggfnoid >= 16384

	UNION ALL
	SELECT format('large object %s owner=%s acl=%s %s', l.oid, pg_get_userbyid(lomowner), coalesce(lomacl, acldefault('L', lomowner)),
				  (SELECT md5(string_agg(pageno || ':' || encode(data, 'hex'), ' ' ORDER BY pageno)) FROM pg_largeobject WHERE loid = l.oid))
	FROM pg_largeobject_metadata l
)
SELECT replace(line, chr(10), ' ⏎ ') FROM lines ORDER BY line COLLATE "C";
SQL

sub other_catalogs_query { return $other_catalogs_query }

# Every row of every table, as a sum of hashes, and the state of each sequence.
# Under the path that most functions of an index are written for: a plan may
# look into one.
my $rows_query = <<'SQL';
SET search_path = public;
SELECT format('SELECT %L, count(*), sum(hashtextextended(t::text, 0)) FROM %s %3$I.%4$I AS t;', CASE relkind WHEN 'm' THEN 'derived ' ELSE '' END || format('%I.%I', nspname, relname),
			  CASE WHEN relkind = 'r' THEN 'ONLY' ELSE '' END, nspname, relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname !~ '^(pg_|safemig|information_schema)' AND (relkind = 'r' OR relkind = 'm' AND relispopulated)
ORDER BY nspname, relname COLLATE "C"
\gexec
SELECT format('SELECT %L, last_value, is_called FROM %2$I.%3$I;', format('%I.%I', nspname, relname), nspname, relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname !~ '^(pg_|safemig|information_schema)' AND relkind = 'S'
ORDER BY nspname, relname COLLATE "C"
\gexec
SQL

# To be given to psql.
sub rows_query { return $rows_query }

# A line for each of these tables: its name, and what stays the same as long as
# its rows do.  Versions of rows are cheaper to look at than their values.  Of
# what its name alone does not say how it is shown (types of the database's own)
# it is never the same.
my $versions_query = <<'SQL';
SELECT format('SELECT %L, %L || count(*) || '' '' || coalesce(sum(hash_record_extended(row(ctid, xmin, xmax), 0)), 0) FROM ONLY %3$I.%4$I;',
			  format('%I.%I', nspname, relname),
			  concat_ws(' ', c.oid, relfilenode, a.columns, CASE WHEN own THEN clock_timestamp() END, ''),
			  nspname, relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace,
	 LATERAL (SELECT coalesce(bool_or(atttypid >= 16384 AND NOT attisdropped), false),
					 md5(string_agg(concat_ws(' ', attnum, attname, atttypid, atttypmod, attcollation, attisdropped, attmissingval::text), ',' ORDER BY attnum))
			  FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0) AS a(own, columns)
WHERE nspname !~ '^(pg_|safemig|information_schema)' AND relkind = 'r'
ORDER BY nspname, relname COLLATE "C"
\gexec
SQL

sub versions_query { return $versions_query }

# What rows_query says, but for these plain tables (names as it gives them).
sub rows_query_without
{
	my @names = @_;
	my $list = join ', ', map { "'" . s/'/''/gr . "'" } @names;
	return @names ? $rows_query =~ s/\(relkind = 'r' OR/((relkind = 'r' AND format('%I.%I', nspname, relname) NOT IN ($list)) OR/r : $rows_query;
}

sub catalog_text
{
	my ($conn) = @_;
	my ($status, $out, $err) =
	  psql($conn, $catalog_query, encoding => 'UTF8');
	return "catalog query failed: $err" if $status;
	return "$out\n";
}

# Both descriptions in one text.  The catalog comes first: it names a
# difference in one line.  Whoever has its text need not have it read.
sub oracle
{
	my ($conn, $raw, $catalog) = @_;
	return "-- catalog\n"
	  . ($catalog // catalog_text($conn))
	  . "-- pg_dump\n"
	  . dump_text($conn, $raw);
}

# The part of it that dump_text() gave.
sub dump_in { return $_[0] =~ s/\A.*?^-- pg_dump\n//smr }

# '' if equal, else the first lines of a unified diff.
sub difference
{
	my ($expected, $actual, $limit) = @_;
	return '' if $expected eq $actual;
	my @files = map { _file_with($_) } $expected, $actual;
	my (undef, $out) = _run('',
		'diff', '-U0', '-L', 'expected', '-L', 'actual', "$files[0]", "$files[1]");
	my @lines = grep { !/^@@/ } split /\n/, $out;
	my $all = @lines;
	$limit //= 30;
	@lines = (@lines[ 0 .. $limit - 1 ], '... ' . ($all - $limit) . ' more lines')
	  if $all > $limit;
	return join("\n", map { length > 400 ? substr($_, 0, 400) . '...' : $_ } @lines) . "\n";
}

1;
