
# Copyright (c) 2026, the safemig authors

# Tables dropped, with everything that can be on them.  pg_regress cannot show
# it: the proof is that pg_dump writes the same before and after, and that
# what it wrote can be restored.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigTest;
use Test::More;

start_server('tables');

my $shop = <<'SQL';
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, email text UNIQUE);
CREATE TABLE orders (
	id serial PRIMARY KEY,
	customer int NOT NULL REFERENCES customers ON DELETE CASCADE,
	parent int REFERENCES orders,
	total numeric DEFAULT 0 CHECK (total >= 0),
	state text DEFAULT 'new');
CREATE TABLE items (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	order_id int REFERENCES orders ON UPDATE CASCADE ON DELETE SET NULL,
	what text, n int);
CREATE INDEX ON items (order_id);
INSERT INTO customers SELECT i, 'n' || i, i || '@x' FROM generate_series(1, 20) i;
INSERT INTO orders (customer, parent, total) SELECT 1 + i % 20, NULLIF(i / 2, 0), i FROM generate_series(1, 40) i;
INSERT INTO items (order_id, what, n) SELECT 1 + i % 40, 'w' || i, i FROM generate_series(1, 90) i;
SQL

# named in one command, b is deleted after a, but its columns before
my $holders = <<'SQL';
CREATE TABLE a (id int PRIMARY KEY, v text);
CREATE TYPE c AS (x a);
CREATE DOMAIN d AS a;
CREATE TABLE b (id int PRIMARY KEY, x a, xs a[], y c, zs c[]);
CREATE TABLE p1 (id int, x a);
CREATE TABLE p (id int, x a) PARTITION BY RANGE (id);
ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (1) TO (3);
CREATE TABLE q (x d, xs d[]);
INSERT INTO a VALUES (1, 'x'), (2, NULL);
INSERT INTO b SELECT id, a, ARRAY[a, NULL], ROW(a.*::a)::c, ARRAY[ROW(a.*::a)::c] FROM a;
INSERT INTO p SELECT id, a FROM a WHERE id < 3;
INSERT INTO q SELECT a, ARRAY[a::d] FROM a;
SQL

round_trips(
	{
		name => 'a plain table',
		setup => q(CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'), (2, NULL)),
		migration => 'DROP TABLE t',
	},
	{
		name => 'a table without columns, a table without rows',
		setup => 'CREATE TABLE nothing (); CREATE TABLE none (a int)',
		migration => 'DROP TABLE nothing; DROP TABLE none',
	},
	{
		name => 'DROP TABLE IF EXISTS, one there and one not',
		setup => 'CREATE TABLE t (a int); INSERT INTO t VALUES (1)',
		migration => 'DROP TABLE IF EXISTS missing, t, other.missing',
	},
	{
		name => 'a table and those that hold its rows, in one command',
		setup => $holders,
		migration => 'DROP TABLE a, b, p, q CASCADE',
	},
	{
		name => 'a schema where a type needs a table, and a table the type',
		setup => "CREATE SCHEMA s; SET search_path = s; $holders",
		migration => 'DROP SCHEMA s CASCADE',
	},
	{
		name => 'a created table goes away',
		setup => 'SELECT 1',
		migration => $shop,
	},
	{
		name => 'CREATE TABLE AS, SELECT INTO, LIKE INCLUDING ALL, materialized view',
		setup => $shop,
		migration => q(
			CREATE TABLE c1 AS SELECT * FROM orders;
			SELECT * INTO c2 FROM items;
			CREATE TABLE c3 (LIKE orders INCLUDING ALL);
			CREATE MATERIALIZED VIEW c4 AS SELECT count(*) FROM items;
			INSERT INTO c3 SELECT * FROM orders),
	},
	{
		name => 'a table referenced by others, CASCADE',
		setup => $shop,
		migration => 'DROP TABLE orders CASCADE',
	},
	{
		name => 'the middle one, the application writes to both ends',
		setup => $shop,
		migration => 'DROP TABLE orders CASCADE',
		after => q(INSERT INTO customers VALUES (100, 'new', 'new@x'); UPDATE customers SET name = 'other' WHERE id = 3;
				   INSERT INTO items (order_id, what) VALUES (5, 'later'); DELETE FROM items WHERE id = 7),
		same => q(INSERT INTO customers VALUES (100, 'new', 'new@x'); UPDATE customers SET name = 'other' WHERE id = 3;
				  INSERT INTO items (order_id, what) VALUES (5, 'later'); DELETE FROM items WHERE id = 7),
	},
	{
		name => 'a row written since breaks a foreign key',
		setup => $shop,
		migration => 'DROP TABLE orders CASCADE',
		after => q(INSERT INTO items (order_id, what) VALUES (12345, 'nowhere')),
		refused => qr/SM003.*items_order_id_fkey/s,
	},
	{
		name => 'several at once, referencing each other both ways',
		setup => $shop . q(ALTER TABLE customers ADD favourite bigint REFERENCES items; UPDATE customers SET favourite = id),
		migration => 'DROP TABLE orders, items, customers',
	},
	{
		name => 'one after the other',
		setup => $shop,
		migration => 'DROP TABLE items; DROP TABLE orders; DROP TABLE customers',
	},
	{
		name => 'each in a transaction of its own, one label',
		setup => $shop,
		migration => [ 'DROP TABLE items', 'DROP TABLE orders', 'DROP TABLE customers' ],
	},
	{
		name => 'views and functions over it, CASCADE, in order of dependency',
		setup => $shop . q(
			CREATE VIEW big AS SELECT * FROM orders WHERE total > 10 WITH CASCADED CHECK OPTION;
			CREATE VIEW bigger WITH (security_barrier) AS SELECT b.*, c.name FROM big b JOIN customers c ON c.id = b.customer WHERE b.total > 20;
			CREATE MATERIALIZED VIEW sums WITH (fillfactor = 80) AS SELECT customer, sum(total) FROM bigger GROUP BY 1;
			CREATE UNIQUE INDEX sums_key ON sums (customer);
			CREATE VIEW of_sums AS SELECT * FROM sums;
			CREATE FUNCTION latest(c int) RETURNS orders LANGUAGE sql STABLE AS 'SELECT * FROM orders WHERE customer = c ORDER BY id DESC LIMIT 1';
			CREATE FUNCTION total_of(o orders) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT o.total';
			CREATE FUNCTION atomic_sum() RETURNS numeric LANGUAGE sql STABLE BEGIN ATOMIC SELECT sum(total) FROM orders; END;
			CREATE VIEW uses_function AS SELECT total_of(o) FROM orders o;
			CREATE FUNCTION all_orders() RETURNS SETOF orders LANGUAGE sql AS 'SELECT * FROM orders';
			CREATE VIEW over_function AS SELECT id FROM all_orders();
			CREATE TABLE archive (id int PRIMARY KEY, o orders, os orders[]);
			INSERT INTO archive SELECT id, orders, ARRAY[orders] FROM orders;
			ALTER VIEW big OWNER TO alice;
			COMMENT ON VIEW bigger IS 'big ones';
			GRANT SELECT ON orders TO alice; GRANT SELECT ON bigger, sums TO bob WITH GRANT OPTION;
			GRANT SELECT (customer) ON of_sums TO carol),
		migration => 'DROP TABLE orders CASCADE',
	},
	{
		name => 'a materialized view that was never filled, and one with all on it',
		setup => $shop . q(
			CREATE MATERIALIZED VIEW empty_one AS SELECT id FROM orders WITH NO DATA;
			CREATE MATERIALIZED VIEW m AS SELECT id, total FROM orders;
			CREATE UNIQUE INDEX ON m (id); CREATE INDEX ON m (total) WHERE total > 3; CLUSTER m USING m_id_idx;
			CREATE STATISTICS m_s ON id, total FROM m; ALTER MATERIALIZED VIEW m ALTER total SET STATISTICS 7;
			COMMENT ON MATERIALIZED VIEW m IS 'sum'; GRANT SELECT ON orders TO alice; ALTER MATERIALIZED VIEW m OWNER TO alice; GRANT SELECT ON m TO bob),
		migration => 'DROP MATERIALIZED VIEW m; DROP MATERIALIZED VIEW empty_one',
	},
	{
		name => 'triggers, rules, policies, in every state',
		setup => $shop . q(
			CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN COALESCE(NEW, OLD); END';
			CREATE TRIGGER a BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION tf();
			CREATE TRIGGER b AFTER UPDATE OF total, state ON orders FOR EACH ROW WHEN (OLD.total IS DISTINCT FROM NEW.total) EXECUTE FUNCTION tf('x', 'y''z');
			CREATE TRIGGER c AFTER DELETE ON orders REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION tf();
			CREATE TRIGGER d BEFORE TRUNCATE ON orders EXECUTE FUNCTION tf();
			CREATE CONSTRAINT TRIGGER e AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tf();
			ALTER TABLE orders DISABLE TRIGGER a, ENABLE ALWAYS TRIGGER b, ENABLE REPLICA TRIGGER c;
			COMMENT ON TRIGGER b ON orders IS 'b''s comment';
			CREATE RULE r1 AS ON INSERT TO orders WHERE NEW.total < 0 DO INSTEAD NOTHING;
			CREATE RULE r2 AS ON UPDATE TO orders DO ALSO UPDATE items SET n = n WHERE order_id = NEW.id;
			ALTER TABLE orders DISABLE RULE r2; COMMENT ON RULE r1 ON orders IS 'no';
			CREATE POLICY p1 ON orders AS RESTRICTIVE FOR SELECT TO alice, bob USING (total > 1);
			CREATE POLICY p2 ON orders FOR INSERT WITH CHECK (customer IN (SELECT id FROM customers));
			COMMENT ON POLICY p1 ON orders IS 'mine';
			ALTER TABLE orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY),
		migration => 'DROP TABLE orders CASCADE',
	},
	{
		name => 'all triggers disabled, foreign key triggers too',
		setup => $shop . 'ALTER TABLE orders DISABLE TRIGGER ALL; ALTER TABLE customers DISABLE TRIGGER ALL',
		migration => 'DROP TABLE orders CASCADE',
	},
	{
		name => 'indexes and constraints of all kinds',
		setup => q(
			CREATE TABLE t (id int, a int, b text COLLATE "C", c int4range, d jsonb, e int[],
				CONSTRAINT t_key PRIMARY KEY (id) INCLUDE (a) WITH (fillfactor = 70),
				CONSTRAINT t_u UNIQUE NULLS NOT DISTINCT (a, b) DEFERRABLE INITIALLY DEFERRED,
				CONSTRAINT t_x EXCLUDE USING gist (c WITH &&) WHERE (a > 0),
				CONSTRAINT t_c CHECK (a < 1000) NO INHERIT,
				CHECK (b <> '' AND length(b) < 50));
			INSERT INTO t SELECT i, i, 'b' || i, int4range(i * 10, i * 10 + 5), '{"k": 1}', ARRAY[i] FROM generate_series(1, 30) i;
			ALTER TABLE t ADD CONSTRAINT later CHECK (a > 5) NOT VALID;
			CREATE INDEX plain ON t (a DESC NULLS LAST, b text_pattern_ops);
			CREATE INDEX expr ON t ((a + 1), lower(b));
			CREATE INDEX partial ON t (a) WHERE b LIKE 'b1%';
			CREATE UNIQUE INDEX uniq ON t (a, id) INCLUDE (b);
			CREATE INDEX gin_d ON t USING gin (d jsonb_path_ops) WITH (fastupdate = off);
			CREATE INDEX brin_a ON t USING brin (a) WITH (pages_per_range = 4);
			CREATE INDEX hash_b ON t USING hash (b);
			CREATE INDEX spg ON t USING spgist (b);
			ALTER INDEX expr ALTER COLUMN 1 SET STATISTICS 222;
			COMMENT ON INDEX expr IS 'e'; COMMENT ON CONSTRAINT t_x ON t IS 'x';
			CREATE STATISTICS st1 (dependencies) ON a, b FROM t;
			CREATE STATISTICS st2 ON (a % 7), (lower(b)) FROM t;
			ALTER STATISTICS st1 SET STATISTICS 55; COMMENT ON STATISTICS st2 IS 's';
			CLUSTER t USING uniq;
			ALTER TABLE t REPLICA IDENTITY FULL),
		migration => 'DROP TABLE t',
	},
	{
		name => 'replica identity by index, storage options, unlogged, owner',
		setup => q(
			CREATE UNLOGGED TABLE t (id int NOT NULL, b text COMPRESSION pglz, c text) WITH (fillfactor = 55, autovacuum_enabled = false, toast.autovacuum_vacuum_threshold = 99);
			CREATE UNIQUE INDEX ri ON t (id);
			ALTER TABLE t REPLICA IDENTITY USING INDEX ri, CLUSTER ON ri, ALTER b SET STORAGE MAIN, ALTER c SET STATISTICS 42, ALTER c SET (n_distinct = 5);
			ALTER TABLE t OWNER TO alice; INSERT INTO t VALUES (1, 'b', 'c')),
		migration => 'DROP TABLE t',
	},
	{
		name => 'privileges of several roles, with grant options, in their order',
		setup => $shop . q(
			ALTER TABLE orders OWNER TO alice;
			GRANT ALL ON orders TO bob WITH GRANT OPTION;
			SET ROLE bob; GRANT SELECT, INSERT ON orders TO carol; RESET ROLE;
			GRANT SELECT ON orders TO PUBLIC;
			REVOKE TRUNCATE ON orders FROM alice;
			GRANT UPDATE (total), SELECT (state) ON orders TO carol WITH GRANT OPTION;
			GRANT USAGE ON SEQUENCE orders_id_seq TO carol;
			COMMENT ON TABLE orders IS E'line\nline ''2'''; COMMENT ON COLUMN orders.total IS 'sum'),
		migration => 'DROP TABLE orders CASCADE',
	},
	{
		name => 'default privileges do not leak into what comes back',
		setup => $shop,
		migration => q(ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC; DROP TABLE orders CASCADE; CREATE TABLE orders (x int)),
	},
	{
		name => 'owned and unowned sequences keep their positions',
		setup => q(
			CREATE SEQUENCE free START 5 INCREMENT 5 MINVALUE -10 MAXVALUE 1000 CYCLE CACHE 3;
			CREATE TABLE t (id int DEFAULT nextval('free'), n serial, o int);
			CREATE SEQUENCE owned OWNED BY t.o; ALTER SEQUENCE owned AS bigint;
			INSERT INTO t (o) SELECT nextval('owned') FROM generate_series(1, 11);
			GRANT USAGE ON SEQUENCE owned TO bob; COMMENT ON SEQUENCE owned IS 'seq'),
		migration => 'DROP TABLE t; DROP SEQUENCE free',
	},
	{
		name => 'a sequence with the defaults that use it',
		setup => q(CREATE SEQUENCE s; CREATE TABLE t (id int DEFAULT nextval('s'), b int); INSERT INTO t (b) SELECT 1 FROM generate_series(1, 5)),
		migration => 'DROP SEQUENCE s CASCADE',
	},
	{
		name => 'inheritance: a parent with its children, a child alone',
		setup => q(
			CREATE TABLE p1 (a int, CHECK (a > 0)); CREATE TABLE p2 (b int);
			CREATE TABLE child (c int) INHERITS (p2, p1); CREATE TABLE grand (d int) INHERITS (child);
			INSERT INTO child VALUES (1, 2, 3); INSERT INTO grand VALUES (1, 2, 3, 4); CREATE TABLE lone (e int) INHERITS (p2)),
		migration => 'DROP TABLE p1 CASCADE; DROP TABLE lone',
	},
	{
		name => 'a partitioned table with its partitions',
		setup => q(
			CREATE TABLE pt (id int, at date NOT NULL, v text, PRIMARY KEY (id, at, v)) PARTITION BY RANGE (at);
			CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
			CREATE TABLE pt2 PARTITION OF pt FOR VALUES FROM ('2024-02-01') TO ('2024-03-01') PARTITION BY LIST (v);
			CREATE TABLE pt2a PARTITION OF pt2 FOR VALUES IN ('a', 'b'); CREATE TABLE pt2d PARTITION OF pt2 DEFAULT;
			CREATE INDEX pt_v ON pt (v); INSERT INTO pt SELECT i, date '2024-01-01' + i, 'a' FROM generate_series(1, 50) i),
		migration => 'DROP TABLE pt',
	},
	{
		name => 'one partition',
		setup => q(
			CREATE TABLE pt (id int, at date NOT NULL, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
			CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
			CREATE TABLE pt2 PARTITION OF pt FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
			CREATE INDEX pt_v ON pt (v); INSERT INTO pt SELECT i, date '2024-01-01' + i, 'a' FROM generate_series(1, 50) i),
		migration => 'DROP TABLE pt1',
	},
	{
		name => 'a typed table and its type',
		setup => q(CREATE TYPE tt AS (a int, b text); CREATE TABLE t OF tt (PRIMARY KEY (a), b WITH OPTIONS DEFAULT 'x'); INSERT INTO t VALUES (1, 'y')),
		migration => 'DROP TABLE t; DROP TYPE tt',
	},
	{
		name => 'publications lose the table and get it back',
		setup => $shop . q(SET client_min_messages = error; CREATE PUBLICATION p FOR TABLE orders (id, total) WHERE (total > 1), customers),
		migration => 'DROP TABLE orders CASCADE',
	},
	{
		name => 'the same name dropped and made again, several times',
		setup => $shop,
		migration => q(
			DROP TABLE items;
			CREATE TABLE items (a int); INSERT INTO items VALUES (1); DROP TABLE items;
			CREATE TABLE items (b text PRIMARY KEY); INSERT INTO items VALUES ('x'); DROP TABLE items;
			CREATE TABLE items (id serial PRIMARY KEY, order_id int REFERENCES orders); INSERT INTO items (order_id) VALUES (3)),
	},
	{
		name => 'planner statistics and storage of a dropped table come back',
		setup => $shop . 'ANALYZE orders',
		migration => 'DROP TABLE orders CASCADE',
	},
	{
		name => 'TRUNCATE in a migration',
		setup => $shop,
		migration => 'ALTER TABLE items ADD COLUMN z int; TRUNCATE items RESTART IDENTITY',
	},
);

# Moved, not copied: the same relation, with its statistics.
subtest 'a dropped table comes back as itself' => sub {
	my $database = new_database('itself');
	my $fingerprint = q(SELECT 't'::regclass::oid, pg_relation_filenode('t'), (SELECT count(*) FROM pg_stats WHERE tablename = 't'), (SELECT reltuples FROM pg_class WHERE oid = 't'::regclass));
	in_database($database, 'CREATE TABLE t (id int PRIMARY KEY, b text); INSERT INTO t SELECT i, i FROM generate_series(1, 1000) i; ANALYZE t');
	my $before = value($database, $fingerprint);
	like($before, qr/^\d+\|\d+\|2\|1000$/, 'the table before');
  SKIP: {
		skip 'needs safemig', 2 if bare();
		is((in_database($database, q(SET safemig.label = 'case'; DROP TABLE t)))[0], 0, 'dropped');
		in_database($database, q(SELECT safemig_rollback('case')));
		is(value($database, $fingerprint), $before, 'the table after');
	}
};

done_testing();
