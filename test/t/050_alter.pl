
# Copyright (c) 2026, the safemig authors

# Tables altered, types of columns changed, views and functions replaced.
# pg_regress cannot show it: the proof is that pg_dump writes the same before
# and after, and that what it wrote can be restored.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigTest;
use Test::More;

start_server('alter');

my $orders = <<'SQL';
CREATE TABLE customers (id int PRIMARY KEY, name text);
INSERT INTO customers SELECT i, 'n' || i FROM generate_series(1, 30) i;
CREATE TABLE orders (
	id int PRIMARY KEY,
	customer int REFERENCES customers,
	amount numeric(10,4) NOT NULL DEFAULT 1.5 CHECK (amount >= 0),
	code varchar(20) DEFAULT 'none' UNIQUE,
	placed timestamptz,
	note text);
CREATE INDEX by_amount ON orders (amount DESC) WHERE code <> 'x';
CREATE INDEX by_code ON orders (lower(code));
COMMENT ON COLUMN orders.amount IS 'sum'; COMMENT ON INDEX by_amount IS 'i';
GRANT SELECT (amount) ON orders TO bob;
ALTER TABLE orders ALTER amount SET STATISTICS 123;
INSERT INTO orders SELECT i, i, i * 1.2345, 'code ' || i, timestamptz '2024-01-01 00:00:00.123456+00' + i * interval '1 hour', NULLIF('n' || i, 'n7')
FROM generate_series(1, 30) i;
SQL

my @changes = (
	[ 'lossy: numeric to int', 'ALTER TABLE orders ALTER amount TYPE int' ],
	[ 'lossy: text cut', 'ALTER TABLE orders ALTER note TYPE varchar(2) USING left(note, 2)' ],
	[ 'lossy: timestamp to date', 'ALTER TABLE orders ALTER placed TYPE date' ],
	[ 'lossy: USING a constant', q(ALTER TABLE orders ALTER note TYPE int USING 5) ],
	[ 'lossy: to boolean', 'ALTER TABLE orders ALTER note TYPE boolean USING note IS NOT NULL' ],
	[ 'lossless: int to bigint', 'ALTER TABLE customers ALTER id TYPE bigint; ALTER TABLE orders ALTER customer TYPE bigint' ],
	[ 'lossless: varchar grows, then text', 'ALTER TABLE orders ALTER code TYPE varchar(50); ALTER TABLE orders ALTER code TYPE text' ],
	[ 'lossless: numeric grows', 'ALTER TABLE orders ALTER amount TYPE numeric(20,4)' ],
	[ 'the key', 'ALTER TABLE orders ALTER id TYPE text USING id::text' ],
	[ 'collation', 'ALTER TABLE orders ALTER note TYPE text COLLATE "POSIX"' ],
	[ 'to enum', q(CREATE TYPE yes AS ENUM ('y'); ALTER TABLE orders ALTER note DROP DEFAULT, ALTER note TYPE yes USING 'y') ],
	[ 'twice in one migration', 'ALTER TABLE orders ALTER amount TYPE int; ALTER TABLE orders ALTER amount TYPE text USING (amount * 2)::text' ],
);
round_trips(
	map {
		{
			name => "type change, $_->[0]",
			setup => $orders,
			migration => $_->[1]
		}
	} @changes);

round_trips(
	{
		name => 'type change, dependent index on an expression has to go first',
		setup => $orders,
		migration => q(DROP INDEX by_code; DROP INDEX by_amount; ALTER TABLE orders ALTER code DROP DEFAULT, ALTER code TYPE text[] USING ARRAY[code], ALTER note TYPE jsonb USING to_jsonb(note)),
	},
	{
		name => 'type change, lossy, later writes',
		setup => $orders,
		migration => 'ALTER TABLE orders ALTER amount TYPE int',
		after => q(INSERT INTO orders (id, amount, code) VALUES (100, 7, 'new'); UPDATE orders SET amount = 99 WHERE id = 3; UPDATE orders SET note = 'touched' WHERE id = 4; DELETE FROM orders WHERE id = 5),
		same => q(INSERT INTO orders (id, amount, code) VALUES (100, 7, 'new'); UPDATE orders SET amount = 99 WHERE id = 3; UPDATE orders SET note = 'touched' WHERE id = 4; DELETE FROM orders WHERE id = 5),
	},
	{
		name => 'type change, a later value does not fit back',
		setup => $orders,
		migration => 'ALTER TABLE orders ALTER note TYPE text, ALTER code TYPE text',
		after => q(INSERT INTO orders (id, code) VALUES (100, repeat('long', 20))),
		refused => qr/SM003.*code/s,
	},
	{
		name => 'type change of a column that other things hang on, dropped and made again',
		setup => $orders . q(CREATE VIEW v AS SELECT id, amount FROM orders; GRANT SELECT ON v TO bob; CREATE STATISTICS st ON amount, code FROM orders),
		migration => 'DROP VIEW v; ALTER TABLE orders ALTER amount TYPE bigint; CREATE VIEW v AS SELECT id, amount FROM orders',
	},
	{
		name => 'type change of generated, identity and inherited columns',
		setup => q(CREATE TABLE p (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int, g int GENERATED ALWAYS AS (a * 2) STORED, f float8); CREATE TABLE c (z int) INHERITS (p);
				   INSERT INTO p (a, f) SELECT i, i / 7.0 FROM generate_series(1, 9) i; INSERT INTO c (id, a, f, z) SELECT i, i, i / 7.0, i FROM generate_series(11, 19) i),
		migration => 'ALTER TABLE p ALTER id TYPE bigint; ALTER TABLE p ALTER f TYPE real; ALTER TABLE p ALTER g TYPE bigint',
	},
	{
		name => 'type change of a generated column, lossy',
		setup => q(CREATE TABLE t (id int PRIMARY KEY, a int, g numeric GENERATED ALWAYS AS (a / 3.0) STORED, tail text); CREATE INDEX ON t (g); CREATE TABLE kid (z int) INHERITS (t);
				   INSERT INTO t (id, a) SELECT i, i FROM generate_series(1, 9) i; INSERT INTO kid (id, a) SELECT i, i FROM generate_series(11, 19) i),
		migration => 'ALTER TABLE t ALTER g TYPE int',
		after => 'UPDATE t SET a = 100 WHERE id = 1; INSERT INTO kid (id, a) VALUES (20, 20)',
		same => 'UPDATE t SET a = 100 WHERE id = 1; INSERT INTO kid (id, a) VALUES (20, 20)',
	},
	{
		name => 'type change in a partitioned table',
		setup => q(CREATE TABLE pt (id int, k int, v numeric, PRIMARY KEY (id, k)) PARTITION BY LIST (k); CREATE TABLE pt1 PARTITION OF pt FOR VALUES IN (1); CREATE TABLE pt2 PARTITION OF pt DEFAULT;
				   INSERT INTO pt SELECT i, i % 3, i / 3.0 FROM generate_series(1, 30) i),
		migration => 'ALTER TABLE pt ALTER v TYPE int',
	},
	{
		name => 'type change without a key',
		setup => q(CREATE TABLE t (a numeric, b text); INSERT INTO t SELECT i / 3.0, 'b' FROM generate_series(1, 9) i),
		migration => 'ALTER TABLE t ALTER a TYPE int',
	},
	{
		name => 'an enum replaced by another, rows written since',
		setup => q(CREATE TYPE e AS ENUM ('a', 'b', 'c'); CREATE DOMAIN d AS e; CREATE TABLE t (id int PRIMARY KEY, x e DEFAULT 'c', y e[], z d); INSERT INTO t VALUES (1, 'c', '{a,c}', 'b'), (2, 'a', NULL, 'c')),
		migration => q(ALTER TYPE e RENAME TO e_old; CREATE TYPE e AS ENUM ('b', 'a');
			ALTER TABLE t ALTER x DROP DEFAULT, ALTER x TYPE e USING replace(x::text, 'c', 'a')::e,
				ALTER y TYPE e[] USING replace(y::text, 'c', 'a')::e[], ALTER z TYPE e USING replace(z::text, 'c', 'b')::e;
			DROP DOMAIN d; DROP TYPE e_old),
		after => q(INSERT INTO t VALUES (3, 'b', '{a,NULL}', 'a'); UPDATE t SET x = 'b' WHERE id = 2),
		same => q(INSERT INTO t VALUES (3, 'b', '{a,NULL}', 'a'); UPDATE t SET x = 'b' WHERE id = 2),
	},
	{
		name => 'an enum replaced by another, a label since that the old one had not',
		setup => q(CREATE TYPE e AS ENUM ('a', 'b'); CREATE TABLE t (id int PRIMARY KEY, x e); INSERT INTO t VALUES (1, 'a')),
		migration => q(CREATE TYPE f AS ENUM ('a', 'z'); ALTER TABLE t ALTER x TYPE f USING x::text::f),
		after => q(INSERT INTO t VALUES (2, 'z')),
		refused => qr/SM003: .*cannot go back to type public\.e: 1 row does not fit/,
	},
	{
		name => 'many subcommands in one ALTER TABLE',
		setup => $orders . 'CREATE TABLE other (id int PRIMARY KEY)',
		migration => q(ALTER TABLE orders
			DROP COLUMN note, ADD COLUMN note int DEFAULT 3, ADD COLUMN x text COLLATE "C" NOT NULL DEFAULT 'x' CHECK (x <> ''),
			ALTER COLUMN amount DROP DEFAULT, ALTER COLUMN amount DROP NOT NULL, ALTER COLUMN amount TYPE numeric(12,2),
			ALTER COLUMN code SET NOT NULL, ALTER COLUMN code SET DEFAULT 'other', ALTER COLUMN code SET STATISTICS 10, ALTER COLUMN code SET STORAGE EXTERNAL,
			DROP CONSTRAINT orders_customer_fkey, ADD CONSTRAINT new_fk FOREIGN KEY (customer) REFERENCES customers ON DELETE CASCADE NOT VALID,
			ADD CONSTRAINT code_long CHECK (length(code) > 2) NOT VALID, ADD CONSTRAINT twice UNIQUE (id, code), DROP CONSTRAINT orders_code_key,
			SET (fillfactor = 60), ENABLE ROW LEVEL SECURITY, REPLICA IDENTITY FULL, CLUSTER ON orders_pkey, OWNER TO alice),
	},
	{
		name => 'defaults, NOT NULL and identity come and go',
		setup => $orders,
		migration => q(ALTER TABLE orders ALTER id ADD GENERATED BY DEFAULT AS IDENTITY (START 1000); ALTER TABLE orders ALTER id SET GENERATED ALWAYS SET INCREMENT 5; ALTER TABLE orders ALTER id DROP IDENTITY;
			ALTER TABLE orders ALTER amount DROP DEFAULT, ALTER note SET DEFAULT now()::text, ALTER amount DROP NOT NULL, ALTER customer SET NOT NULL),
	},
	{
		name => 'settings of three hundred columns, their values, and the table itself',
		setup => q(DO $$ BEGIN EXECUTE (SELECT 'CREATE TABLE wide (id int PRIMARY KEY, ' || string_agg(format('c%s text COLLATE "C" DEFAULT %L', i, i), ', ') || ')' FROM generate_series(1, 300) i);
			EXECUTE (SELECT 'ALTER TABLE wide ' || string_agg(format('ALTER c%s SET STORAGE EXTERNAL, ALTER c%s SET STATISTICS %s', i, i, i), ', ') FROM generate_series(1, 300, 7) i); END $$;
			INSERT INTO wide VALUES (1)),
		migration => q(DO $$ BEGIN EXECUTE (SELECT 'ALTER TABLE wide ' || string_agg(format('ALTER c%s DROP DEFAULT', i), ', ') FROM generate_series(1, 300) i);
			EXECUTE (SELECT 'ALTER TABLE wide ' || string_agg(format('ALTER c%s SET STORAGE MAIN, ALTER c%s SET NOT NULL, ALTER c%s SET STATISTICS -1', i, i, i), ', ') FROM generate_series(1, 300, 5) i); END $$;
			COMMENT ON COLUMN wide.c17 IS 'x'; GRANT SELECT (c18) ON wide TO bob; ALTER TABLE wide ADD COLUMN more serial UNIQUE, ADD COLUMN plain int NOT NULL DEFAULT 1, DROP COLUMN c100; DROP TABLE wide),
	},
	{
		name => 'names that array types give up',
		setup => 'CREATE TYPE pair AS (a int); CREATE TABLE t (a int, p pair[]); CREATE DOMAIN d AS int; CREATE TABLE w (d d[])',
		migration => q(CREATE TYPE _pair AS ENUM ('x'); CREATE TABLE _t (a int); CREATE DOMAIN _d AS text; ALTER TABLE w RENAME TO _w),
	},
	{
		name => 'an identity loses its sequence',
		setup => 'CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY (START 7 INCREMENT 3), b int, g int GENERATED ALWAYS AS (b + 1) STORED); INSERT INTO t (b) SELECT 1 FROM generate_series(1, 5)',
		migration => 'ALTER TABLE t ALTER id DROP IDENTITY, ALTER g DROP EXPRESSION',
	},
	{
		name => 'a type changed under indexes, checks and statistics that cast the column',
		setup => q(CREATE TABLE t (id int PRIMARY KEY, a int, b boolean, CONSTRAINT ck CHECK (a::text <> 'x'), CONSTRAINT apart EXCLUDE (((a::text)) WITH =)) WITH (fillfactor = 90);
			CREATE INDEX i ON t ((a::text || 'x')); CREATE UNIQUE INDEX j ON t ((a::text), id); CREATE INDEX p ON t (id) WHERE a::text > 'a' AND ('-H') >= (b::text) COLLATE "C";
			CREATE STATISTICS st ON (a::text), b FROM t; COMMENT ON INDEX i IS 'the index'; COMMENT ON CONSTRAINT ck ON t IS 'the check'; ALTER TABLE t CLUSTER ON i; ALTER INDEX i ALTER COLUMN 1 SET STATISTICS 77;
			INSERT INTO t VALUES (1, 5, true), (2, NULL, false)),
		migration => 'ALTER TABLE t ALTER a TYPE text, ALTER b TYPE text',
		says => qr/ 0 later writes kept/,
	},
	{
		name => 'a type changed under them in a partitioned and in an inherited table',
		setup => q(CREATE TABLE p (id int, a int, CONSTRAINT ck CHECK (a::text <> 'x')) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2) PARTITION BY LIST (id); CREATE TABLE p22 PARTITION OF p2 FOR VALUES IN (2);
			CREATE INDEX ON p1 (id) WHERE a::text > 'b'; CREATE TABLE parent (id int, a int CHECK (a::text <> 'y')); CREATE TABLE child (b text) INHERITS (parent); CREATE INDEX ci ON child ((a::text || b));
			INSERT INTO p VALUES (1, 1), (2, 2); INSERT INTO child VALUES (1, 1, 'b')),
		migration => 'ALTER TABLE p ALTER a TYPE text; ALTER TABLE parent ALTER a TYPE text',
	},
	{
		name => 'a type changed under a check that a child has for its own as well',
		setup => q(CREATE TABLE parent (id int, b float); CREATE TABLE child () INHERITS (parent); ALTER TABLE child ADD CONSTRAINT merged CHECK (b > 1), ADD CONSTRAINT hers CHECK (b < 1000);
			ALTER TABLE parent ADD CONSTRAINT merged CHECK (b > 1), ADD CONSTRAINT alone CHECK (b > 0) NO INHERIT; INSERT INTO child VALUES (1, 2)),
		migration => 'ALTER TABLE parent ALTER b TYPE numeric',
	},
	{
		name => 'generated columns of a type that is not the expression\'s, and of one that cannot be compared',
		setup => q(CREATE TABLE t (id int PRIMARY KEY, qty int, price numeric, amount numeric GENERATED ALWAYS AS (qty * price) STORED,
			j json GENERATED ALWAYS AS (('[' || qty::text || ']')::json) STORED); INSERT INTO t VALUES (1, 2, 3.5), (2, NULL, 1)),
		migration => 'ALTER TABLE t ALTER amount TYPE text, ALTER j DROP EXPRESSION',
	},
	{
		name => 'a view gets columns and a check option',
		setup => 'CREATE TABLE t (a int, b text, c int); CREATE VIEW v AS SELECT NULL::int AS a; CREATE VIEW w WITH (security_barrier) AS SELECT a FROM t',
		migration => 'CREATE OR REPLACE VIEW v AS SELECT a, b FROM t WHERE a > 0 WITH CHECK OPTION; CREATE OR REPLACE VIEW w WITH (security_invoker) AS SELECT a, b, c FROM t WHERE a > 0 WITH LOCAL CHECK OPTION',
	},
	{
		name => 'a function dropped that an operator family can do without',
		setup => q(CREATE FUNCTION hx(int4, int8) RETURNS int8 LANGUAGE sql IMMUTABLE AS 'SELECT $2';
			CREATE OPERATOR CLASS ho FOR TYPE int4 USING hash AS OPERATOR 1 =, FUNCTION 1 hashint4(int4), FUNCTION 2 hx(int4, int8)),
		migration => 'DROP FUNCTION hx',
	},
	{
		name => 'sequences moved out of the bounds that they had, and in use',
		setup => q(CREATE SEQUENCE s MINVALUE 5 MAXVALUE 36 INCREMENT 4; SELECT nextval('s') FROM generate_series(1, 3);
			CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY (START -5 INCREMENT -1), b serial); INSERT INTO t VALUES (DEFAULT, DEFAULT)),
		migration => q(ALTER SEQUENCE s RESTART -24 START -24 INCREMENT -4 MINVALUE -36 MAXVALUE -5 CYCLE;
			ALTER TABLE t ALTER a SET START 7 SET INCREMENT 2 SET MINVALUE 7 SET MAXVALUE 99 RESTART; ALTER SEQUENCE t_b_seq MINVALUE -9 START -9 RESTART),
	},
	{
		name => 'a sequence used beyond the bounds that it had',
		setup => 'CREATE SEQUENCE s MAXVALUE 10; SELECT nextval(\'s\')',
		migration => 'ALTER SEQUENCE s MAXVALUE 1000',
		after => "SELECT nextval('s') FROM generate_series(1, 20)",
		refused => qr/out of bounds/,
	},
	{
		name => 'sequences altered',
		setup => 'CREATE SEQUENCE s; SELECT nextval(\'s\') FROM generate_series(1, 7); CREATE TABLE t (id serial, o int)',
		migration => q(ALTER SEQUENCE s INCREMENT 10 MAXVALUE 5000 CYCLE CACHE 4 RESTART 100; ALTER SEQUENCE s OWNED BY t.o; ALTER SEQUENCE t_id_seq OWNED BY NONE; CREATE SEQUENCE fresh; ALTER SEQUENCE s AS bigint),
	},
	{
		name => 'a sequence moved to a column of one name in another table, both tables renamed, one made anew',
		setup => 'CREATE TABLE a (id serial, b int); CREATE TABLE b (id int); INSERT INTO a DEFAULT VALUES',
		migration => q(ALTER SEQUENCE a_id_seq OWNED BY b.id; ALTER TABLE a RENAME TO c; ALTER TABLE b RENAME TO a; ALTER SEQUENCE a_id_seq OWNED BY c.id;
			DROP TABLE a; CREATE TABLE a (id int); ALTER SEQUENCE a_id_seq OWNED BY a.id),
	},
	{
		name => 'constraints validated, renamed, made deferrable, taken over from an index',
		setup => $orders . q(ALTER TABLE orders ADD CONSTRAINT nv CHECK (id > 0) NOT VALID; CREATE UNIQUE INDEX ready ON orders (note)),
		migration => q(ALTER TABLE orders VALIDATE CONSTRAINT nv; ALTER TABLE orders ALTER CONSTRAINT orders_customer_fkey DEFERRABLE INITIALLY DEFERRED; ALTER TABLE orders ADD CONSTRAINT taken UNIQUE USING INDEX ready),
	},
	{
		name => 'indexes made, dropped, altered, made concurrently',
		setup => $orders,
		migration => q(DROP INDEX by_amount; CREATE INDEX by_amount ON orders (note, amount); CREATE INDEX CONCURRENTLY con ON orders (placed); DROP INDEX CONCURRENTLY by_code; ALTER INDEX con SET (fillfactor = 50); CREATE UNIQUE INDEX CONCURRENTLY u ON orders (id, code)),
	},
	{
		name => 'a concurrent index that failed',
		setup => $orders . q(UPDATE orders SET note = 'same'),
		migration => q(CREATE INDEX ok ON orders (note);
\set ON_ERROR_STOP off
CREATE UNIQUE INDEX CONCURRENTLY broken ON orders (note);
\set ON_ERROR_STOP on
SELECT 1),
	},
	{
		name => 'a concurrent index that failed, dropped and made otherwise',
		setup => $orders . q(UPDATE orders SET note = 'same'),
		migration => q(
\set ON_ERROR_STOP off
CREATE UNIQUE INDEX CONCURRENTLY broken ON orders (note);
\set ON_ERROR_STOP on
DROP INDEX broken; CREATE INDEX CONCURRENTLY broken ON orders (note)),
	},
	{
		name => 'checked as an owner who has no right to the schema',
		setup => q(CREATE SCHEMA own; CREATE TABLE own.t (id int PRIMARY KEY, a int NOT NULL CONSTRAINT positive CHECK (a > 0), b int);
				   INSERT INTO own.t SELECT i, i, i FROM generate_series(1, 9) i; ALTER TABLE own.t OWNER TO alice),
		migration => q(ALTER TABLE own.t DROP CONSTRAINT positive, ALTER a DROP NOT NULL; ALTER TABLE own.t ADD CHECK (b < 100) NOT VALID; ALTER TABLE own.t OWNER TO bob; DROP TABLE own.t),
	},
	{
		name => 'storage options, persistence, flags',
		setup => $orders,
		migration => q(ALTER TABLE orders SET (fillfactor = 30, autovacuum_enabled = off, toast.autovacuum_enabled = off); ALTER TABLE orders RESET (fillfactor); ALTER TABLE orders ALTER note SET COMPRESSION pglz, ALTER note SET (n_distinct = 3);
			ALTER TABLE orders DISABLE TRIGGER ALL; ALTER TABLE orders FORCE ROW LEVEL SECURITY; CREATE TABLE u (a int); ALTER TABLE u SET UNLOGGED),
	},
	{
		name => 'inheritance and partitions joined and left',
		setup => q(CREATE TABLE p (a int, b text); CREATE TABLE c (a int, b text, z int); CREATE TABLE d (y int) INHERITS (p); INSERT INTO c VALUES (1, 'x', 2); INSERT INTO d VALUES (1, 'x', 3);
				   CREATE TABLE pt (a int, b text) PARTITION BY RANGE (a); CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM (0) TO (10); CREATE TABLE lone (a int, b text); INSERT INTO pt VALUES (3, 'p'); INSERT INTO lone VALUES (15, 'l'); CREATE INDEX ON pt (b)),
		migration => q(ALTER TABLE c INHERIT p; ALTER TABLE d NO INHERIT p; ALTER TABLE pt ATTACH PARTITION lone FOR VALUES FROM (10) TO (20); ALTER TABLE pt DETACH PARTITION pt1; CREATE TABLE pt3 PARTITION OF pt FOR VALUES FROM (20) TO (30)),
	},
	{
		name => 'triggers, rules and policies changed and switched',
		setup => $orders . q(CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER t1 BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION tf(); CREATE TRIGGER t2 AFTER UPDATE ON orders EXECUTE FUNCTION tf();
			CREATE POLICY p1 ON orders TO alice USING (id > 1) WITH CHECK (id > 2); CREATE RULE r1 AS ON DELETE TO orders DO INSTEAD NOTHING),
		migration => q(ALTER TABLE orders DISABLE TRIGGER t1, ENABLE ALWAYS TRIGGER t2; CREATE OR REPLACE TRIGGER t1 AFTER INSERT OR DELETE ON orders FOR EACH STATEMENT EXECUTE FUNCTION tf('arg'); ALTER POLICY p1 ON orders TO bob, PUBLIC USING (id > 100);
			ALTER TABLE orders DISABLE RULE r1; CREATE OR REPLACE RULE r1 AS ON DELETE TO orders WHERE OLD.id = 1 DO INSTEAD NOTHING; CREATE TRIGGER t3 BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION tf(); CREATE POLICY p2 ON orders FOR UPDATE USING (true); CREATE RULE r2 AS ON UPDATE TO orders DO ALSO NOTHING),
	},
	{
		name => 'views replaced, also with more columns, also through CASCADE',
		setup => $orders . q(CREATE VIEW v AS SELECT id, note FROM orders; CREATE VIEW w AS SELECT * FROM v; GRANT SELECT ON v TO bob; COMMENT ON VIEW v IS 'v'; ALTER VIEW v ALTER note SET DEFAULT 'dflt'; CREATE FUNCTION i() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER it INSTEAD OF INSERT ON v FOR EACH ROW EXECUTE FUNCTION i()),
		migration => q(CREATE OR REPLACE VIEW v AS SELECT id, upper(note) AS note, code, amount FROM orders WHERE id > 3; CREATE OR REPLACE VIEW w WITH (security_barrier) AS SELECT id, note, 1 AS one FROM v;
			ALTER VIEW w SET (check_option = local); ALTER VIEW w RESET (check_option); DROP VIEW v CASCADE; CREATE VIEW v AS SELECT 'quite'::text AS other),
	},
	{
		name => 'a materialized view refreshed, altered, made anew',
		setup => $orders . 'CREATE MATERIALIZED VIEW m AS SELECT code, count(*) FROM orders GROUP BY 1; CREATE UNIQUE INDEX mk ON m (code)',
		migration => q(ALTER MATERIALIZED VIEW m RENAME TO n; ALTER MATERIALIZED VIEW n SET (fillfactor = 50); DROP MATERIALIZED VIEW n; CREATE MATERIALIZED VIEW m AS SELECT 1 AS a WITH NO DATA),
	},
	{
		name => 'functions replaced, also with another return type, arguments, kind',
		setup => q(
			CREATE FUNCTION f(a int, b text DEFAULT 'x') RETURNS int LANGUAGE sql STABLE STRICT COST 7 PARALLEL SAFE SET search_path = public, pg_temp SET work_mem = '1MB' AS $$ SELECT 1 $$;
			CREATE FUNCTION g() RETURNS TABLE (x int, y text) LANGUAGE sql ROWS 5 SECURITY DEFINER AS $$ SELECT 1, 'a' $$;
			CREATE PROCEDURE p(INOUT x int) LANGUAGE plpgsql AS $$ BEGIN x := 2; END $$;
			CREATE FUNCTION va(VARIADIC xs text[]) RETURNS int LANGUAGE sql AS 'SELECT 1';
			CREATE VIEW uses AS SELECT f(1); GRANT EXECUTE ON FUNCTION f TO bob; REVOKE ALL ON FUNCTION g FROM PUBLIC; COMMENT ON FUNCTION f IS 'f'; ALTER FUNCTION g() OWNER TO alice),
		migration => q(
			CREATE OR REPLACE FUNCTION f(a int, b text DEFAULT 'x') RETURNS int LANGUAGE plpgsql VOLATILE AS $$ BEGIN RETURN 2; END $$;
			DROP FUNCTION f(int, text) CASCADE; CREATE FUNCTION f(a int, c text) RETURNS text LANGUAGE sql AS $$ SELECT 'z' $$;
			DROP FUNCTION g(); CREATE FUNCTION g() RETURNS SETOF int LANGUAGE sql AS $$ SELECT 1 $$;
			DROP PROCEDURE p; CREATE FUNCTION p(INOUT x int) LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION va RENAME TO vb;
			ALTER FUNCTION vb IMMUTABLE LEAKPROOF SET datestyle = 'ISO, DMY'; CREATE FUNCTION over(int) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE FUNCTION over(text) RETURNS int LANGUAGE sql AS 'SELECT 2'),
	},
	{
		name => 'a SQL-standard function body, and the table it reads',
		setup => $orders . 'CREATE FUNCTION f(x int) RETURNS numeric LANGUAGE sql RETURN (SELECT sum(amount) FROM orders WHERE id = x); CREATE VIEW v AS SELECT f(1) AS a',
		migration => 'CREATE OR REPLACE FUNCTION f(x int) RETURNS numeric LANGUAGE sql BEGIN ATOMIC SELECT 5::numeric; END; ALTER TABLE orders DROP COLUMN amount CASCADE; DROP VIEW v; DROP FUNCTION f',
	},
	{
		name => 'rows written by the migration',
		setup => $orders,
		migration => q(
			ALTER TABLE orders ADD COLUMN state text;
			UPDATE orders SET state = CASE WHEN amount > 10 THEN 'big' ELSE 'small' END;
			DELETE FROM orders WHERE id > 25;
			INSERT INTO customers VALUES (500, 'seed');
			ALTER TABLE orders ALTER state SET NOT NULL;
			UPDATE customers SET name = upper(name)),
	},
);

# What lives in a table is left alone where a command only adds to it.  Here it
# changes what is there, as it may.
round_trips(
	{
		name => 'a constraint that is merged with the child\'s',
		setup => 'CREATE TABLE parent (a int); CREATE TABLE child () INHERITS (parent); CREATE TABLE grandchild () INHERITS (child); ALTER TABLE child ADD CONSTRAINT ck CHECK (a > 0); ALTER TABLE ONLY parent ADD CONSTRAINT only_here CHECK (a > 1) NO INHERIT',
		migration => 'ALTER TABLE parent ADD CONSTRAINT ck CHECK (a > 0)',
	},
	{
		name => 'a constraint that is merged with the partition\'s',
		setup => 'CREATE TABLE pt (a int, b int) PARTITION BY LIST (a); CREATE TABLE p1 PARTITION OF pt FOR VALUES IN (1); ALTER TABLE p1 ADD CONSTRAINT ck CHECK (b > 0); INSERT INTO pt VALUES (1, 1)',
		migration => 'ALTER TABLE pt ADD CONSTRAINT ck CHECK (b > 0)',
	},
	{
		name => 'a constraint added to a child that the parent has, and to a column',
		setup => 'CREATE TABLE other (id int PRIMARY KEY); CREATE TABLE parent (a int CONSTRAINT ck CHECK (a > 0)); CREATE TABLE child (b int) INHERITS (parent); CREATE TABLE alone (a int CHECK (a < 9), b int)',
		migration => 'ALTER TABLE child ADD CONSTRAINT ck CHECK (a > 0); ALTER TABLE child ADD UNIQUE (b); ALTER TABLE alone ADD FOREIGN KEY (a) REFERENCES other, ADD PRIMARY KEY (a), ADD CHECK (b > 1)',
	},
	{
		name => 'an index that takes those of partitions',
		setup => 'CREATE TABLE pt (a int, b int) PARTITION BY LIST (a); CREATE TABLE p1 PARTITION OF pt FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF pt FOR VALUES IN (2) PARTITION BY LIST (b); CREATE TABLE p22 PARTITION OF p2 FOR VALUES IN (2); CREATE INDEX hers ON p1 (b); CREATE INDEX below ON p22 (b); COMMENT ON INDEX hers IS \'hers\'; ALTER TABLE p1 ADD CONSTRAINT her_key UNIQUE (a, b)',
		migration => 'CREATE INDEX all_b ON pt (b); ALTER TABLE pt ADD CONSTRAINT all_key UNIQUE (a, b)',
	},
	{
		name => 'an index that becomes a constraint\'s',
		setup => 'CREATE TABLE t (a int NOT NULL, b int); CREATE UNIQUE INDEX ready ON t (a); CREATE UNIQUE INDEX same ON t (b); COMMENT ON INDEX ready IS \'ready\'',
		migration => 'ALTER TABLE t ADD CONSTRAINT pk PRIMARY KEY USING INDEX ready; ALTER TABLE t ADD CONSTRAINT same UNIQUE USING INDEX same',
	},
	{
		name => 'a trigger and a rule replaced, in a partitioned table too',
		setup => q(CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TABLE t (a int); CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tf(); CREATE RULE r AS ON INSERT TO t DO NOTHING;
			CREATE TABLE pt (a int) PARTITION BY LIST (a); CREATE TABLE p1 PARTITION OF pt FOR VALUES IN (1); CREATE TRIGGER tr AFTER INSERT ON pt FOR EACH ROW EXECUTE FUNCTION tf(); CREATE TRIGGER own AFTER INSERT ON p1 FOR EACH ROW EXECUTE FUNCTION tf()),
		migration => 'CREATE OR REPLACE TRIGGER tr AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION tf(); CREATE OR REPLACE RULE r AS ON INSERT TO t DO ALSO NOTHING; CREATE OR REPLACE TRIGGER tr AFTER DELETE ON pt FOR EACH ROW EXECUTE FUNCTION tf(); CREATE OR REPLACE TRIGGER own AFTER DELETE ON p1 FOR EACH ROW EXECUTE FUNCTION tf()',
	},
	{
		name => 'storage and compression of a column with indexes and statistics',
		setup => 'CREATE TABLE t (a text PRIMARY KEY, b text); CREATE INDEX i ON t (b, lower(a)); CREATE STATISTICS st ON a, b FROM t',
		migration => 'ALTER TABLE t ALTER a SET STORAGE EXTERNAL, ALTER b SET STORAGE PLAIN; ALTER TABLE t ALTER b SET COMPRESSION pglz; ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY',
	},
);

# The description of a constraint has the parameters of its index.
round_trips(
	{
		name => 'an index of a key altered after the table was made',
		setup => 'CREATE TABLE other (id int)',
		migration => [
			'CREATE TABLE keyed (id int PRIMARY KEY, u int UNIQUE)',
			'ALTER INDEX keyed_pkey SET (fillfactor = 60)',
			'ALTER INDEX keyed_u_key SET (fillfactor = 70); ALTER INDEX keyed_u_key RESET (fillfactor)'
		],
	},
	{
		name => 'DROP EXPRESSION where rules and triggers wait for updates',
		setup => q(CREATE TABLE log (w text); CREATE TABLE t (a int PRIMARY KEY, u int, g int GENERATED ALWAYS AS (a * 2) STORED); INSERT INTO t VALUES (1, 0), (2, 0);
			CREATE TABLE r (a int, g text GENERATED ALWAYS AS (chr(65 + a % 26) || 'x') STORED, CHECK (length(g) > 1)); INSERT INTO r SELECT i FROM generate_series(1, 300) i; CREATE INDEX ON r (g);
			CREATE RULE ru AS ON UPDATE TO r DO INSTEAD NOTHING;
			CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.u := 7; INSERT INTO public.log VALUES (TG_OP); RETURN NEW; END';
			CREATE TRIGGER tr BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION tf()),
		migration => 'ALTER TABLE t ALTER g DROP EXPRESSION; ALTER TABLE r ALTER g DROP EXPRESSION',
		after => q(INSERT INTO t VALUES (9, 0); INSERT INTO r (a) SELECT i FROM generate_series(301, 600) i),
		same => q(INSERT INTO t VALUES (9, 0); INSERT INTO r (a) SELECT i FROM generate_series(301, 600) i),
		once => 1,
	},
	{
		name => 'DROP EXPRESSION of a foreign table',
		setup => q(CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw; CREATE FOREIGN TABLE ft (a int, c int GENERATED ALWAYS AS (a + 1) STORED) SERVER files OPTIONS (filename '/dev/null')),
		migration => 'ALTER FOREIGN TABLE ft ALTER c DROP EXPRESSION',
	},
	{
		name => 'DROP EXPRESSION of foreign and other partitions',
		setup => q(CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw; CREATE TABLE p (a int, c int GENERATED ALWAYS AS (a + 1) STORED) PARTITION BY LIST (a); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
			CREATE FOREIGN TABLE p2 PARTITION OF p FOR VALUES IN (2) SERVER files OPTIONS (filename '/dev/null'); INSERT INTO p VALUES (1)),
		migration => 'ALTER TABLE p ALTER c DROP EXPRESSION',
		after => 'INSERT INTO p VALUES (1)', same => 'INSERT INTO p VALUES (1)',
		once => 1,
	},
);

done_testing();
