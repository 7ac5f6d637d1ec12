
# Copyright (c) 2026, the safemig authors

# Object classes beyond tables and what stands in schemas with them:
# aggregates, operators and their classes and families, conversions,
# languages, transforms, access methods, text search, foreign data.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigTest;
use Test::More;

start_server('more_classes');

# What is made, and what is done to it: each class is created, changed in
# every way it can be, and dropped, each a migration of its own.
my %classes = (
	'aggregate' => {
		before => 'CREATE FUNCTION add(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT $1 + $2 $$; CREATE FUNCTION take(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT $1 - $2 $$; CREATE FUNCTION fin(int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT $1 $$',
		create => q(CREATE AGGREGATE total(int) (SFUNC = add, STYPE = int, FINALFUNC = fin, INITCOND = '0', COMBINEFUNC = add, MSFUNC = add, MINVFUNC = take, MSTYPE = int, MINITCOND = '0', SORTOP = <, PARALLEL = SAFE);
			CREATE AGGREGATE how_many(*) (SFUNC = int8inc, STYPE = int8, INITCOND = '0');
			CREATE AGGREGATE "old ""style" (BASETYPE = int, SFUNC = add, STYPE = int);
			CREATE AGGREGATE median(VARIADIC "any" ORDER BY VARIADIC "any") (SFUNC = ordered_set_transition_multi, STYPE = internal, FINALFUNC = rank_final, FINALFUNC_EXTRA, HYPOTHETICAL);
			CREATE AGGREGATE share(float8 ORDER BY anyelement) (SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = percentile_disc_final, FINALFUNC_EXTRA, FINALFUNC_MODIFY = SHAREABLE);
			COMMENT ON AGGREGATE how_many(*) IS 'stars'; GRANT EXECUTE ON FUNCTION total(int) TO bob; REVOKE EXECUTE ON FUNCTION how_many() FROM PUBLIC),
		alter => [
			q(CREATE OR REPLACE AGGREGATE total(int) (SFUNC = add, STYPE = int, INITCOND = '7')),
			'ALTER AGGREGATE total(int) RENAME TO sum_of; ALTER AGGREGATE how_many(*) OWNER TO alice; ALTER AGGREGATE share(float8 ORDER BY anyelement) SET SCHEMA other; COMMENT ON AGGREGATE how_many(*) IS NULL',
		],
		drop => 'DROP AGGREGATE total(int); DROP AGGREGATE how_many(*), "old ""style"(int); DROP AGGREGATE median(VARIADIC "any" ORDER BY VARIADIC "any"); DROP AGGREGATE share(float8 ORDER BY anyelement)',
		cascade => 'DROP FUNCTION add(int, int) CASCADE',
	},
	'operator' => {
		before => q(CREATE FUNCTION near(point, int) RETURNS bool LANGUAGE sql IMMUTABLE AS $$ SELECT true $$; CREATE FUNCTION near(int, point) RETURNS bool LANGUAGE sql IMMUTABLE AS $$ SELECT true $$; CREATE FUNCTION far(point, int) RETURNS bool LANGUAGE sql IMMUTABLE AS $$ SELECT false $$; CREATE FUNCTION neg(point) RETURNS point LANGUAGE sql IMMUTABLE AS $$ SELECT $1 $$; CREATE FUNCTION same(int, int) RETURNS bool LANGUAGE sql IMMUTABLE AS $$ SELECT true $$),
		create => q(CREATE OPERATOR <~> (FUNCTION = near, LEFTARG = point, RIGHTARG = int, COMMUTATOR = <~>, NEGATOR = <!~>, RESTRICT = contsel, JOIN = contjoinsel);
			CREATE OPERATOR <~> (FUNCTION = near, LEFTARG = int, RIGHTARG = point, COMMUTATOR = <~>);
			CREATE OPERATOR <!~> (FUNCTION = far, LEFTARG = point, RIGHTARG = int, NEGATOR = <~>);
			CREATE OPERATOR ~~~ (FUNCTION = neg, RIGHTARG = point);
			CREATE OPERATOR === (FUNCTION = same, LEFTARG = int, RIGHTARG = int, COMMUTATOR = ===, HASHES, MERGES, RESTRICT = eqsel, JOIN = eqjoinsel);
			COMMENT ON OPERATOR ~~~ (NONE, point) IS 'prefix'),
		alter => [
			'ALTER OPERATOR <~> (point, int) SET (RESTRICT = NONE, JOIN = NONE); ALTER OPERATOR ~~~ (NONE, point) OWNER TO alice',
			'ALTER OPERATOR <!~> (point, int) SET SCHEMA other',
		],
		drop => 'DROP OPERATOR <!~> (point, int); DROP OPERATOR ~~~ (NONE, point), === (int, int)',
		cascade => 'DROP FUNCTION near(point, int), same(int, int) CASCADE',
	},
	'an operator whose commutator is not there' => {
		before => q(CREATE FUNCTION near(point, int) RETURNS bool LANGUAGE sql IMMUTABLE AS $$ SELECT true $$; CREATE FUNCTION near(int, point) RETURNS bool LANGUAGE sql IMMUTABLE AS $$ SELECT true $$),
		create => 'CREATE OPERATOR <~> (FUNCTION = near, LEFTARG = point, RIGHTARG = int, COMMUTATOR = <~>)',
		alter => [ 'CREATE OPERATOR <~> (FUNCTION = near, LEFTARG = int, RIGHTARG = point, COMMUTATOR = <~>)' ],
	},
	'operator classes and families' => {
		before => q(CREATE FUNCTION cmp(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT btint4cmp($1, $2) $$),
		create => q(CREATE OPERATOR CLASS my_ops FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 cmp(int, int);
			CREATE OPERATOR FAMILY "fam ""x" USING btree; CREATE OPERATOR CLASS "in fam" FOR TYPE int8 USING btree FAMILY "fam ""x" AS OPERATOR 1 <, FUNCTION 1 btint8cmp(int8, int8);
			CREATE OPERATOR FAMILY points USING gist; CREATE OPERATOR CLASS point_ops2 FOR TYPE point USING gist FAMILY points AS OPERATOR 15 <-> (point, point) FOR ORDER BY pg_catalog.float_ops, STORAGE box;
			ALTER OPERATOR FAMILY "fam ""x" USING btree ADD OPERATOR 1 < (int8, int4), FUNCTION 1 (int8, int4) btint84cmp(int8, int4)),
		alter => [
			'ALTER OPERATOR FAMILY "fam ""x" USING btree ADD OPERATOR 2 <= (int8, int4), OPERATOR 3 = (int8, int4)',
			'ALTER OPERATOR FAMILY "fam ""x" USING btree DROP OPERATOR 1 (int8, int4), FUNCTION 1 (int8, int4)',
			'ALTER OPERATOR CLASS my_ops USING btree RENAME TO your_ops; ALTER OPERATOR CLASS "in fam" USING btree OWNER TO alice; ALTER OPERATOR FAMILY points USING gist SET SCHEMA other; COMMENT ON OPERATOR FAMILY my_ops USING btree IS $$c$$',
		],
		drop => 'DROP OPERATOR CLASS my_ops USING btree; DROP OPERATOR FAMILY "fam ""x" USING btree CASCADE; DROP OPERATOR FAMILY points USING gist CASCADE',
		cascade => 'DROP FUNCTION cmp(int, int) CASCADE',
	},
	'conversion' => {
		create => q(CREATE CONVERSION c1 FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8; CREATE DEFAULT CONVERSION "c ""2" FOR 'UTF8' TO 'LATIN1' FROM utf8_to_iso8859_1; COMMENT ON CONVERSION c1 IS 'c'),
		alter => [ q(COMMENT ON CONVERSION c1 IS 'other'), 'ALTER CONVERSION c1 RENAME TO c3; ALTER CONVERSION "c ""2" SET SCHEMA other; ALTER CONVERSION c3 OWNER TO alice' ],
		drop => 'DROP CONVERSION c1, "c ""2"',
	},
	'language and transform' => {
		before => q(CREATE FUNCTION h() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler'; CREATE FUNCTION i(internal) RETURNS void LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_inline_handler'; CREATE FUNCTION v(oid) RETURNS void LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_validator'; CREATE FUNCTION from_int(internal) RETURNS internal LANGUAGE internal IMMUTABLE AS 'int4out'; CREATE FUNCTION to_int(internal) RETURNS int LANGUAGE internal IMMUTABLE AS 'int4in'),
		create => q(CREATE TRUSTED LANGUAGE speak HANDLER h INLINE i VALIDATOR v; CREATE LANGUAGE "mumble " HANDLER h; CREATE FUNCTION said() RETURNS int LANGUAGE speak AS 'begin return 1; end'; GRANT USAGE ON LANGUAGE speak TO bob; COMMENT ON LANGUAGE speak IS 'hm';
			CREATE TRANSFORM FOR int LANGUAGE speak (FROM SQL WITH FUNCTION from_int(internal), TO SQL WITH FUNCTION to_int(internal)); COMMENT ON TRANSFORM FOR int LANGUAGE speak IS 'tr'),
		alter => [
			'CREATE OR REPLACE TRANSFORM FOR int LANGUAGE speak (FROM SQL WITH FUNCTION from_int(internal)); CREATE OR REPLACE TRUSTED LANGUAGE speak HANDLER h',
			'ALTER LANGUAGE speak RENAME TO talk; ALTER LANGUAGE talk OWNER TO alice; REVOKE USAGE ON LANGUAGE talk FROM PUBLIC',
		],
		cascade2 => 'DROP FUNCTION h() CASCADE',
		drop => 'DROP TRANSFORM FOR int LANGUAGE speak; DROP FUNCTION said(); DROP LANGUAGE speak; DROP LANGUAGE "mumble "',
		cascade => 'DROP LANGUAGE speak CASCADE',
	},
	'access method' => {
		create => q(CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler; CREATE ACCESS METHOD "b ""tree" TYPE INDEX HANDLER bthandler; COMMENT ON ACCESS METHOD heap2 IS 'two'),
		alter => [ 'COMMENT ON ACCESS METHOD heap2 IS NULL' ],
		drop => 'DROP ACCESS METHOD heap2; DROP ACCESS METHOD "b ""tree"',
	},
	'text search' => {
		create => q(CREATE TEXT SEARCH PARSER p1 (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype, HEADLINE = prsd_headline);
			CREATE TEXT SEARCH TEMPLATE t1 (INIT = dsimple_init, LEXIZE = dsimple_lexize);
			CREATE TEXT SEARCH DICTIONARY d1 (TEMPLATE = t1, STOPWORDS = english, ACCEPT = false); CREATE TEXT SEARCH DICTIONARY "d ""2" (TEMPLATE = snowball, Language = 'english', StopWords = 'english');
			CREATE TEXT SEARCH CONFIGURATION c1 (PARSER = p1); ALTER TEXT SEARCH CONFIGURATION c1 ADD MAPPING FOR asciiword, word WITH d1, "d ""2"; CREATE TEXT SEARCH CONFIGURATION c2 (COPY = pg_catalog.english);
			COMMENT ON TEXT SEARCH CONFIGURATION c1 IS 'c'; COMMENT ON TEXT SEARCH PARSER p1 IS 'p'),
		alter => [
			'ALTER TEXT SEARCH DICTIONARY d1 (ACCEPT = true); ALTER TEXT SEARCH DICTIONARY "d ""2" (StopWords)',
			'ALTER TEXT SEARCH CONFIGURATION c1 ALTER MAPPING FOR asciiword WITH simple, d1; ALTER TEXT SEARCH CONFIGURATION c1 ADD MAPPING FOR int WITH d1; ALTER TEXT SEARCH CONFIGURATION c1 DROP MAPPING FOR word; ALTER TEXT SEARCH CONFIGURATION c2 ALTER MAPPING REPLACE english_stem WITH simple',
			'ALTER TEXT SEARCH CONFIGURATION c1 RENAME TO c3; ALTER TEXT SEARCH DICTIONARY d1 SET SCHEMA other; ALTER TEXT SEARCH DICTIONARY "d ""2" OWNER TO alice; ALTER TEXT SEARCH PARSER p1 RENAME TO p2; ALTER TEXT SEARCH TEMPLATE t1 SET SCHEMA other',
		],
		drop => 'DROP TEXT SEARCH CONFIGURATION c1, c2; DROP TEXT SEARCH DICTIONARY d1, "d ""2"; DROP TEXT SEARCH TEMPLATE t1; DROP TEXT SEARCH PARSER p1',
		cascade => 'DROP TEXT SEARCH TEMPLATE t1 CASCADE; DROP TEXT SEARCH PARSER p1 CASCADE',
	},
	'foreign data' => {
		create => q(CREATE FOREIGN DATA WRAPPER w OPTIONS (a '1', b '2', c '3'); CREATE FOREIGN DATA WRAPPER "w ""2" VALIDATOR postgresql_fdw_validator;
			CREATE SERVER s TYPE 'oracle' VERSION '8i' FOREIGN DATA WRAPPER w OPTIONS (host 'h''x', "Port " '1', dbname 'd'); CREATE SERVER "s ""2" FOREIGN DATA WRAPPER w;
			CREATE USER MAPPING FOR alice SERVER s OPTIONS (user 'u', password 'geheim'); CREATE USER MAPPING FOR PUBLIC SERVER s; CREATE USER MAPPING FOR bob SERVER "s ""2";
			CREATE FOREIGN TABLE ft (a int OPTIONS (x '1'), b text NOT NULL) SERVER s OPTIONS (t 'x');
			GRANT USAGE ON FOREIGN DATA WRAPPER w TO bob; GRANT USAGE ON FOREIGN SERVER s TO alice WITH GRANT OPTION; COMMENT ON SERVER s IS 's'; COMMENT ON FOREIGN DATA WRAPPER w IS 'w'),
		alter => [
			q(ALTER FOREIGN DATA WRAPPER w OPTIONS (DROP a, SET b '4', ADD d '5'); ALTER SERVER s VERSION '9' OPTIONS (DROP host, ADD host 'z'); ALTER USER MAPPING FOR alice SERVER s OPTIONS (SET password 'neu', DROP user)),
			q(ALTER FOREIGN DATA WRAPPER "w ""2" NO VALIDATOR; ALTER SERVER s RENAME TO t; ALTER FOREIGN DATA WRAPPER w RENAME TO v; REVOKE USAGE ON FOREIGN SERVER t FROM alice; DROP USER MAPPING FOR PUBLIC SERVER t),
			'ALTER SERVER "s ""2" OWNER TO postgres; ALTER FOREIGN TABLE ft OPTIONS (DROP t); DROP USER MAPPING FOR bob SERVER "s ""2"',
		],
		drop => 'DROP FOREIGN TABLE ft; DROP USER MAPPING FOR alice SERVER s; DROP USER MAPPING FOR PUBLIC SERVER s; DROP USER MAPPING FOR bob SERVER "s ""2"; DROP SERVER s, "s ""2"; DROP FOREIGN DATA WRAPPER w; DROP FOREIGN DATA WRAPPER "w ""2"',
		cascade => 'DROP FOREIGN DATA WRAPPER w CASCADE',
	},
);

foreach my $class (sort keys %classes)
{
	my %of = %{ $classes{$class} };
	my $before = 'CREATE SCHEMA other; GRANT CREATE ON SCHEMA public, other TO alice; ' . ($of{before} // '');
	round_trips({ name => "$class: create", setup => $before, migration => $of{create} });
	my $n = 0;
	foreach my $change (@{ $of{alter} // [] })
	{
		round_trips({ name => "$class: change " . ++$n, setup => "$before; $of{create}", migration => $change });
	}
	foreach my $way (grep { $of{$_} } qw(drop cascade cascade2))
	{
		round_trips({ name => "$class: $way", setup => "$before; $of{create}", migration => $of{$way} });
	}
	round_trips({
		name => "$class: create, change and drop in one migration",
		setup => $before,
		migration => join('; ', "CREATE TABLE mark (a int); $of{create}", @{ $of{alter} // [] }[0], $of{drop}),
	}) if $of{drop};
}

# What CREATE would not make as it is there.
round_trips(
	{
		name => 'options that the validator does not take, and an owner who is no superuser any more',
		roles => ['formerly'],
		setup => q(ALTER ROLE formerly SUPERUSER; CREATE FOREIGN DATA WRAPPER w OPTIONS (a '1'); ALTER FOREIGN DATA WRAPPER w OWNER TO formerly;
			CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (b '2'); CREATE USER MAPPING FOR alice SERVER s OPTIONS (c '3');
			CREATE FOREIGN TABLE ft (a int OPTIONS (d '4')) SERVER s OPTIONS (e '5');
			ALTER FOREIGN DATA WRAPPER w VALIDATOR postgresql_fdw_validator; ALTER ROLE formerly NOSUPERUSER),
		migration => 'DROP FOREIGN DATA WRAPPER w CASCADE',
		unrestorable => 1,
	},
	{
		name => 'options that the validator does not take are changed',
		setup => q(CREATE FOREIGN DATA WRAPPER w OPTIONS (a '1'); CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (b '2');
			ALTER FOREIGN DATA WRAPPER w VALIDATOR postgresql_fdw_validator),
		migration => 'ALTER FOREIGN DATA WRAPPER w NO VALIDATOR OPTIONS (DROP a); ALTER SERVER s OPTIONS (DROP b)',
		unrestorable => 1,
	},
	{
		name => 'the owner of a server does not get past the validator by a rollback',
		setup => q(CREATE FOREIGN DATA WRAPPER w; GRANT USAGE ON FOREIGN DATA WRAPPER w TO alice; CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (evil '1'); ALTER SERVER s OWNER TO alice;
			ALTER FOREIGN DATA WRAPPER w VALIDATOR postgresql_fdw_validator),
		migration => 'ALTER SERVER s OPTIONS (DROP evil)',
		rollback => q(SET ROLE alice; SELECT safemig_rollback('case')),
		refused => qr/SM003.*invalid option "evil"/s,
	},
	{
		name => 'a procedure that is older than a transform for its argument, and one that is newer',
		setup => q(CREATE SCHEMA app; CREATE PROCEDURE app.early(int) LANGUAGE sql AS 'SELECT 1';
			CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION prsd_lextype(internal), TO SQL WITH FUNCTION int4recv(internal));
			CREATE PROCEDURE app.late(int) LANGUAGE sql AS 'SELECT 1'),
		migration => 'DROP SCHEMA app CASCADE; DROP TRANSFORM FOR int LANGUAGE sql',
	},
	{
		name => 'an operator goes to another schema, then its commutator away',
		setup => q(CREATE SCHEMA s; CREATE TYPE s.c AS (r int); CREATE FUNCTION s.lt(s.c, s.c) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT ($1).r < ($2).r'; CREATE FUNCTION s.gt(s.c, s.c) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT ($1).r > ($2).r';
			CREATE OPERATOR s.<<< (LEFTARG = s.c, RIGHTARG = s.c, FUNCTION = s.lt, COMMUTATOR = OPERATOR(s.>>>)); CREATE OPERATOR s.>>> (LEFTARG = s.c, RIGHTARG = s.c, FUNCTION = s.gt, COMMUTATOR = OPERATOR(s.<<<))),
		migration => 'ALTER OPERATOR s.<<< (s.c, s.c) SET SCHEMA public; DROP OPERATOR s.>>> (s.c, s.c)',
	},
	{
		name => 'an operator class gets another name, then an exclusion that it makes goes',
		setup => q(CREATE OPERATOR CLASS oc FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(int, int);
			CREATE TABLE ex (a int, b int, EXCLUDE USING btree (a oc WITH =)); INSERT INTO ex VALUES (1, 2), (2, 2)),
		migration => 'ALTER OPERATOR CLASS oc USING btree RENAME TO oc2; ALTER TABLE ex DROP COLUMN a',
	},
);

done_testing();
