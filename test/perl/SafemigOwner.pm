
# Copyright (c) 2026, the safemig authors

=pod

=head1 NAME

SafemigOwner - puts what is in a database into the hands of a role

=head1 DESCRIPTION

A superuser who owns his tables never meets a missing right.  give_away_sql()
is for psql, run by a superuser: what belongs to him in the database, and to no
extension, is the role's from then on.  What is tied to something else has its
owner, functions in C stay.

=cut

package SafemigOwner;

use strict;
use warnings;

sub give_away_sql
{
	my ($role) = @_;
	return <<"SQL";
SET client_min_messages = error;
SET safemig.enabled = off;
SET session_replication_role = replica;
SELECT format('ALTER %s %s OWNER TO $role;', kind, name)
FROM (
	SELECT 'SCHEMA', oid::regnamespace::text, oid, 'pg_namespace'::regclass, nspowner FROM pg_namespace
	UNION ALL SELECT CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
		WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END,
		oid::regclass::text, oid, 'pg_class'::regclass, relowner
	FROM pg_class c WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
	  AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype IN ('a', 'i') AND refclassid = 'pg_class'::regclass)
	UNION ALL SELECT CASE WHEN prokind = 'a' THEN 'AGGREGATE' ELSE 'ROUTINE' END, oid::regprocedure::text, oid, 'pg_proc'::regclass, proowner
	FROM pg_proc WHERE prolang <> (SELECT oid FROM pg_language WHERE lanname = 'c')
	UNION ALL SELECT 'TYPE', oid::regtype::text, oid, 'pg_type'::regclass, typowner
	FROM pg_type t WHERE (typtype IN ('d', 'e', 'r')
		OR typtype = 'c' AND EXISTS (SELECT FROM pg_class WHERE oid = typrelid AND relkind = 'c'))
) AS things (kind, name, oid, class, owner)
WHERE oid >= 16384 AND owner = (SELECT oid FROM pg_roles WHERE rolname = current_user)
  AND name !~ '^safemig'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = class AND d.objid = things.oid AND deptype IN ('e', 'x', 'i'))
ORDER BY name
\\gexec
SQL
}

1;
