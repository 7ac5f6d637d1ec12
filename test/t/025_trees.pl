
# Copyright (c) 2026, the safemig authors

# Inheritance and partition trees: what is done to one relation reaches
# others, which have images of their own.  pg_regress cannot show it: the proof
# is that pg_dump and the catalogs are the same before and after, for every
# relation of the tree.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use SafemigTest;
use Test::More;

start_server('trees');

# Partitions below partitions, indexes and keys on every level, one partition
# whose columns stand in another order.
my $tree = <<'SQL';
CREATE TABLE kinds (kind text PRIMARY KEY);
INSERT INTO kinds VALUES ('a'), ('b'), ('c');
CREATE TABLE pt (
	id int NOT NULL, gone int, at date NOT NULL, kind text NOT NULL DEFAULT 'a' REFERENCES kinds,
	v text DEFAULT 'x', n int,
	PRIMARY KEY (id, at, kind), CONSTRAINT pt_n CHECK (n IS NULL OR n < 1000)) PARTITION BY RANGE (at);
ALTER TABLE pt DROP COLUMN gone;
CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE pt2 PARTITION OF pt FOR VALUES FROM ('2024-02-01') TO ('2024-03-01') PARTITION BY LIST (kind);
CREATE TABLE pt2a PARTITION OF pt2 (v DEFAULT 'leaf') FOR VALUES IN ('a', 'b');
CREATE TABLE pt2d PARTITION OF pt2 DEFAULT;
CREATE TABLE pt3 (n int, v text, lost text, kind text NOT NULL DEFAULT 'a', at date NOT NULL, id int NOT NULL, CONSTRAINT pt_n CHECK (n IS NULL OR n < 1000));
ALTER TABLE pt3 DROP COLUMN lost;
ALTER TABLE pt ATTACH PARTITION pt3 FOR VALUES FROM ('2024-03-01') TO ('2024-04-01');
CREATE INDEX pt_v ON pt (v);
CREATE INDEX leaf_only ON pt1 (n);
INSERT INTO pt (id, at, kind, n) SELECT i, date '2024-01-01' + i, (ARRAY['a', 'b', 'c'])[1 + i % 3], i FROM generate_series(1, 85) i;
UPDATE pt SET v = 'v' || id WHERE id % 2 = 0;
SQL

# One key is an expression, the other one has an operator class of its own.
my $by_function = q(
	CREATE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
	CREATE FUNCTION f(text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN length($1); END';
	GRANT EXECUTE ON FUNCTION f(int) TO bob; COMMENT ON FUNCTION f(int) IS 'key'; ALTER FUNCTION f(int) OWNER TO alice;
	CREATE TABLE p (a int DEFAULT f(7), b int CHECK (f(b) > 0)) PARTITION BY RANGE (f(a), b);
	CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (1, 1) TO (10, 10) PARTITION BY LIST (f('x'::text || a));
	CREATE TABLE p11 PARTITION OF p1 FOR VALUES IN (2);
	CREATE TABLE pd PARTITION OF p DEFAULT; INSERT INTO p VALUES (3, 4), (DEFAULT, 9), (1000, 1);
	CREATE INDEX ON p (b);
	CREATE FUNCTION cmp(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT btint4cmp($1, $2)';
	CREATE OPERATOR CLASS co FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 cmp(int, int);
	ALTER OPERATOR FAMILY co USING btree OWNER TO alice;
	CREATE TABLE q (a int) PARTITION BY RANGE (a co); CREATE TABLE q1 PARTITION OF q FOR VALUES FROM (1) TO (5); INSERT INTO q VALUES (2);
	CREATE INDEX ON q1 (a co);
);

my $family = <<'SQL';
CREATE TABLE parent (id int PRIMARY KEY, a text DEFAULT 'p', CHECK (id > 0));
CREATE TABLE child (b int) INHERITS (parent);
CREATE TABLE grand (c int, a text DEFAULT 'g') INHERITS (child);
CREATE INDEX child_a ON child (a);
INSERT INTO parent VALUES (1, 'one'); INSERT INTO child VALUES (2, 'two', 22); INSERT INTO grand VALUES (3, 'three', 33, 333);
SQL

round_trips(
	{
		name => 'a partition attached that gets a constraint trigger with FROM',
		setup => q(CREATE TABLE other (a int); CREATE TABLE p (a int) PARTITION BY RANGE (a); CREATE TABLE p1 (a int) PARTITION BY RANGE (a);
			CREATE TABLE p11 PARTITION OF p1 FOR VALUES FROM (1) TO (5); INSERT INTO p11 VALUES (1);
			CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
			CREATE CONSTRAINT TRIGGER watch AFTER INSERT ON p FROM other DEFERRABLE FOR EACH ROW EXECUTE FUNCTION f();
			CREATE TRIGGER plain AFTER INSERT ON p FOR EACH ROW EXECUTE FUNCTION f()),
		migration => 'ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (1) TO (10)',
	},
	{
		name => 'a foreign key dropped while a row of the transaction broke it',
		setup => 'CREATE TABLE one (id int PRIMARY KEY); INSERT INTO one VALUES (1); CREATE TABLE many (id int REFERENCES one DEFERRABLE INITIALLY DEFERRED); INSERT INTO many VALUES (1)',
		migration => 'BEGIN; INSERT INTO many VALUES (2); DROP TABLE one CASCADE; COMMIT',
	},
	# ---- dropping ----
	{
		name => 'a whole partitioned table with partitions below partitions',
		setup => $tree,
		migration => 'DROP TABLE pt',
	},
	{
		name => 'one leaf',
		setup => $tree,
		migration => 'DROP TABLE pt1',
	},
	{
		name => 'a leaf of a lower level, a leaf with other positions',
		setup => $tree,
		migration => 'DROP TABLE pt2a; DROP TABLE pt3',
	},
	{
		name => 'a partition that is partitioned itself',
		setup => $tree,
		migration => 'DROP TABLE pt2',
	},
	{
		name => 'a leaf first, then the whole',
		setup => $tree,
		migration => 'DROP TABLE pt2a; DROP TABLE pt',
	},
	{
		name => 'a partitioned table that others refer to, CASCADE',
		setup => $tree . q(
			CREATE TABLE refers (id int, at date, kind text, FOREIGN KEY (id, at, kind) REFERENCES pt);
			INSERT INTO refers SELECT id, at, kind FROM pt WHERE id < 40;
			CREATE VIEW seen AS SELECT id, v FROM pt),
		migration => 'DROP TABLE pt CASCADE',
	},
	{
		name => 'a table that a partitioned one refers to, CASCADE',
		setup => q(
			CREATE TABLE plain (id int PRIMARY KEY);
			CREATE TABLE refers (id int CONSTRAINT k REFERENCES plain) PARTITION BY RANGE (id);
			CREATE TABLE refers_1 PARTITION OF refers FOR VALUES FROM (1) TO (10) PARTITION BY RANGE (id);
			CREATE TABLE refers_1_1 PARTITION OF refers_1 FOR VALUES FROM (1) TO (5);
			CREATE TABLE refers_2 PARTITION OF refers DEFAULT;
			INSERT INTO plain VALUES (1), (20);
			INSERT INTO refers VALUES (1), (20)),
		migration => 'DROP TABLE plain CASCADE',
	},
	{
		name => 'a tree that others refer to, whose partitions were not made in order',
		setup => q(
			CREATE TABLE pt (id int PRIMARY KEY) PARTITION BY RANGE (id);
			CREATE TABLE rest PARTITION OF pt DEFAULT; CREATE TABLE high PARTITION OF pt FOR VALUES FROM (100) TO (200); CREATE TABLE low PARTITION OF pt FOR VALUES FROM (1) TO (100);
			CREATE TABLE r (a int REFERENCES pt, b int REFERENCES pt ON DELETE CASCADE);
			CREATE TABLE lowest PARTITION OF pt FOR VALUES FROM (-100) TO (1);
			INSERT INTO pt VALUES (-5), (5), (105), (1005); INSERT INTO r VALUES (-5, 5), (105, 1005)),
		migration => 'DROP TABLE pt CASCADE',
	},
	{
		name => 'triggers, policies and privileges on a tree',
		setup => $tree . q(
			CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
			CREATE TRIGGER all_levels AFTER INSERT ON pt FOR EACH ROW EXECUTE FUNCTION tf();
			CREATE TRIGGER one_level BEFORE INSERT ON pt1 FOR EACH ROW EXECUTE FUNCTION tf();
			ALTER TABLE pt ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON pt USING (id > 0);
			GRANT SELECT ON pt TO alice; GRANT SELECT ON pt2a TO bob; COMMENT ON TABLE pt2 IS 'two';
			ALTER TABLE pt2d OWNER TO carol),
		migration => 'DROP TABLE pt',
	},

	# ---- attaching and detaching ----
	# Not LIKE pt: as of 18 that takes over the names of NOT NULL constraints,
	# and pg_dump then writes a dump that gives other names.
	{
		name => 'ATTACH a table',
		setup => $tree . q(
			CREATE TABLE other (id int NOT NULL, at date NOT NULL, kind text NOT NULL DEFAULT 'a', v text DEFAULT 'x', n int);
			INSERT INTO other SELECT i, '2024-05-05', 'b', 'o', i FROM generate_series(1, 9) i;
			ALTER TABLE other ADD CONSTRAINT pt_n CHECK (n IS NULL OR n < 1000)),
		migration => q(ALTER TABLE pt ATTACH PARTITION other FOR VALUES FROM ('2024-05-01') TO ('2024-06-01')),
	},
	{
		name => 'ATTACH a table with an index and a key that fit',
		setup => $tree . q(
			CREATE TABLE other (id int NOT NULL, at date NOT NULL, kind text NOT NULL DEFAULT 'a', v text DEFAULT 'x', n int, CONSTRAINT its_key PRIMARY KEY (id, at, kind), CONSTRAINT pt_n CHECK (n IS NULL OR n < 1000));
			CREATE INDEX its_v ON other (v);
			INSERT INTO other SELECT i, '2024-05-05', 'b', 'o', i FROM generate_series(1, 9) i),
		migration => q(ALTER TABLE pt ATTACH PARTITION other FOR VALUES FROM ('2024-05-01') TO ('2024-06-01')),
	},
	{
		name => 'ATTACH a partitioned table',
		setup => $tree . q(
			CREATE TABLE other (id int NOT NULL, at date NOT NULL, kind text NOT NULL DEFAULT 'a', v text DEFAULT 'x', n int, CONSTRAINT pt_n CHECK (n IS NULL OR n < 1000)) PARTITION BY LIST (kind);
			CREATE TABLE other1 PARTITION OF other FOR VALUES IN ('a'); CREATE TABLE other2 PARTITION OF other DEFAULT;
			INSERT INTO other SELECT i, '2024-05-05', 'b', 'o', i FROM generate_series(1, 9) i),
		migration => q(ALTER TABLE pt ATTACH PARTITION other FOR VALUES FROM ('2024-05-01') TO ('2024-06-01')),
	},
	{
		name => 'DETACH a leaf',
		setup => $tree,
		migration => 'ALTER TABLE pt DETACH PARTITION pt1',
	},
	{
		name => 'DETACH a partitioned partition',
		setup => $tree,
		migration => 'ALTER TABLE pt DETACH PARTITION pt2',
	},
	{
		name => 'DETACH and drop',
		setup => $tree,
		migration => 'ALTER TABLE pt DETACH PARTITION pt2; DROP TABLE pt2',
	},
	{
		name => 'DETACH, change, ATTACH again elsewhere',
		setup => $tree,
		migration => q(ALTER TABLE pt DETACH PARTITION pt3; ALTER TABLE pt3 RENAME TO pt4; UPDATE pt4 SET v = 'moved' WHERE false; ALTER TABLE pt ATTACH PARTITION pt4 FOR VALUES FROM ('2024-03-01') TO ('2025-01-01')),
	},
	{
		name => 'CREATE TABLE PARTITION OF, a leaf and a whole branch',
		setup => $tree,
		migration => q(
			CREATE TABLE new1 PARTITION OF pt FOR VALUES FROM ('2024-06-01') TO ('2024-07-01');
			CREATE TABLE new2 PARTITION OF pt FOR VALUES FROM ('2024-07-01') TO ('2024-08-01') PARTITION BY HASH (id);
			CREATE TABLE new2a PARTITION OF new2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
			CREATE TABLE new2b PARTITION OF new2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
			INSERT INTO pt (id, at, kind) SELECT i, '2024-07-05', 'a' FROM generate_series(1, 20) i),
	},
	{
		name => 'a new partitioned table, made and filled',
		setup => 'SELECT 1',
		migration => $tree,
	},

	# ---- columns ----
	{
		name => 'ADD COLUMN, plain, with default, generated',
		setup => $tree,
		migration => q(ALTER TABLE pt ADD COLUMN z int, ADD COLUMN y text NOT NULL DEFAULT 'why', ADD COLUMN w int GENERATED ALWAYS AS (n * 2) STORED),
	},
	{
		name => 'DROP COLUMN with indexes on it',
		setup => $tree,
		migration => 'ALTER TABLE pt DROP COLUMN v',
	},
	{
		name => 'DROP COLUMN with a CHECK and an index of one partition',
		setup => $tree,
		migration => 'ALTER TABLE pt DROP COLUMN n CASCADE',
	},
	{
		name => 'DROP COLUMN, and rows written since on every level',
		setup => $tree,
		migration => 'ALTER TABLE pt DROP COLUMN n CASCADE',
		after => q(INSERT INTO pt (id, at, kind, v) VALUES (500, '2024-01-05', 'a', 1), (501, '2024-02-05', 'a', 1), (502, '2024-03-05', 'c', 1); UPDATE pt SET v = v || 1 WHERE id < 30; DELETE FROM pt WHERE id = 60),
		same => q(INSERT INTO pt (id, at, kind, v) VALUES (500, '2024-01-05', 'a', 1), (501, '2024-02-05', 'a', 1), (502, '2024-03-05', 'c', 1); UPDATE pt SET v = v || 1 WHERE id < 30; DELETE FROM pt WHERE id = 60),
		once => 1,
	},
	{
		name => 'a column renamed on all levels',
		setup => $tree,
		migration => 'ALTER TABLE pt RENAME COLUMN v TO renamed',
	},
	{
		name => 'type change without loss',
		setup => $tree,
		migration => 'ALTER TABLE pt ALTER COLUMN n TYPE bigint',
	},
	{
		name => 'type change with loss, with a CHECK and indexes on it',
		setup => $tree,
		migration => 'ALTER TABLE pt ALTER COLUMN v TYPE int USING length(v), ALTER COLUMN v DROP DEFAULT',
	},
	{
		name => 'type change of a column under a CHECK and a partial index of one partition',
		setup => $tree . 'CREATE INDEX partly ON pt1 (id) WHERE n > 5;',
		migration => 'ALTER TABLE pt ALTER COLUMN n TYPE smallint',
	},
	{
		name => 'default and NOT NULL, all levels and one alone',
		setup => $tree,
		migration => q(ALTER TABLE pt ALTER COLUMN v SET DEFAULT 'y'; ALTER TABLE ONLY pt ALTER COLUMN n SET DEFAULT 3; ALTER TABLE pt2a ALTER COLUMN v DROP DEFAULT; UPDATE pt SET n = 1 WHERE n IS NULL; ALTER TABLE pt ALTER COLUMN n SET NOT NULL),
	},

	# ---- constraints and indexes ----
	{
		name => 'ADD a CHECK, a UNIQUE, a foreign key',
		setup => $tree . 'CREATE TABLE ids (id int PRIMARY KEY); INSERT INTO ids SELECT generate_series(1, 100);',
		migration => q(ALTER TABLE pt ADD CONSTRAINT more CHECK (id < 10000), ADD CONSTRAINT uq UNIQUE (n, at, kind), ADD CONSTRAINT fk FOREIGN KEY (id) REFERENCES ids),
	},
	{
		name => 'DROP a CHECK, the key, a foreign key',
		setup => $tree,
		migration => q(ALTER TABLE pt DROP CONSTRAINT pt_n, DROP CONSTRAINT pt_pkey, DROP CONSTRAINT pt_kind_fkey),
	},
	{
		name => 'DROP the key that another tree refers to, CASCADE',
		setup => $tree . q(
			CREATE TABLE r (id int, at date, kind text, FOREIGN KEY (id, at, kind) REFERENCES pt) PARTITION BY LIST (kind);
			CREATE TABLE r1 PARTITION OF r FOR VALUES IN ('a'); CREATE TABLE r2 PARTITION OF r DEFAULT;
			INSERT INTO r SELECT id, at, kind FROM pt),
		migration => q(ALTER TABLE pt DROP CONSTRAINT pt_pkey CASCADE),
	},
	{
		name => 'CREATE INDEX on all levels',
		setup => $tree,
		migration => 'CREATE INDEX made ON pt (n, v); CREATE UNIQUE INDEX made_unique ON pt (n, at, kind)',
	},
	{
		name => 'CREATE INDEX ON ONLY, then attached piece by piece',
		setup => $tree,
		migration => q(CREATE INDEX made ON ONLY pt (n); CREATE INDEX made2 ON pt2 (n); CREATE INDEX made3 ON pt3 (n);
			ALTER INDEX made ATTACH PARTITION leaf_only; ALTER INDEX made ATTACH PARTITION made2; ALTER INDEX made ATTACH PARTITION made3),
	},
	{
		name => 'DROP INDEX of the whole tree',
		setup => $tree . 'ALTER INDEX pt1_v_idx RENAME TO first_v; ALTER INDEX pt3_v_idx SET (fillfactor = 70);',
		migration => 'DROP INDEX pt_v',
	},
	{
		name => 'an index with an expression and a predicate',
		setup => $tree . 'CREATE INDEX expr ON pt (lower(v)) WHERE n > 3;',
		migration => 'DROP TABLE pt',
	},

	# ---- names, owners ----
	{
		name => 'partitioned table, partition and index renamed and moved',
		setup => $tree . 'CREATE SCHEMA away;',
		migration => 'ALTER TABLE pt RENAME TO whole; ALTER TABLE pt2 SET SCHEMA away; ALTER TABLE pt1 RENAME TO first; ALTER INDEX pt_v RENAME TO whole_v',
	},
	{
		name => 'a schema with a tree in it, CASCADE',
		setup => "CREATE SCHEMA s; SET search_path = s; $tree",
		migration => 'DROP SCHEMA s CASCADE',
	},

	# ---- more on trees ----
	{
		name => 'a tree that refers to itself, with disabled triggers',
		setup => q(
			CREATE TABLE pt (id int PRIMARY KEY, up int REFERENCES pt) PARTITION BY RANGE (id);
			CREATE TABLE high PARTITION OF pt FOR VALUES FROM (100) TO (200); CREATE TABLE low PARTITION OF pt FOR VALUES FROM (1) TO (100);
			INSERT INTO pt VALUES (1, NULL), (2, 1), (101, 2), (102, 101); ALTER TABLE pt DISABLE TRIGGER ALL),
		migration => 'DROP TABLE pt',
	},
	{
		name => 'DETACH from a tree that others refer to',
		setup => q(
			CREATE TABLE pt (id int PRIMARY KEY) PARTITION BY RANGE (id);
			CREATE TABLE high PARTITION OF pt FOR VALUES FROM (100) TO (200); CREATE TABLE low PARTITION OF pt FOR VALUES FROM (1) TO (100);
			CREATE TABLE r (a int REFERENCES pt); INSERT INTO pt VALUES (5), (105); INSERT INTO r VALUES (5)),
		migration => 'ALTER TABLE pt DETACH PARTITION high',
	},
	{
		name => 'DETACH CONCURRENTLY',
		setup => q(
			CREATE TABLE pt (id int PRIMARY KEY, v text DEFAULT 'x') PARTITION BY RANGE (id);
			CREATE TABLE high PARTITION OF pt FOR VALUES FROM (100) TO (200); CREATE TABLE low PARTITION OF pt FOR VALUES FROM (1) TO (100);
			CREATE INDEX pt_v ON pt (v); INSERT INTO pt VALUES (5), (105)),
		migration => 'ALTER TABLE pt DETACH PARTITION high CONCURRENTLY',
	},
	{
		name => 'triggers of a tree enabled and disabled, then DETACH',
		setup => $tree . q(
			CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
			CREATE TRIGGER all_levels AFTER INSERT ON pt FOR EACH ROW EXECUTE FUNCTION tf();
			ALTER TABLE pt1 DISABLE TRIGGER all_levels),
		migration => 'ALTER TABLE pt2 ENABLE ALWAYS TRIGGER all_levels; ALTER TABLE ONLY pt DISABLE TRIGGER all_levels; ALTER TABLE pt DETACH PARTITION pt1',
	},
	{
		name => 'DETACH and DROP partitions of other owners',
		setup => $tree . 'ALTER TABLE pt2a OWNER TO alice; ALTER TABLE pt1 OWNER TO bob; GRANT SELECT ON pt1 TO alice; SET ROLE bob; GRANT INSERT ON pt1 TO carol; RESET ROLE; ALTER TABLE pt OWNER TO alice;',
		migration => 'ALTER TABLE pt DETACH PARTITION pt1; DROP TABLE pt2a',
	},
	{
		name => 'a default partition attached; hash partitions dropped',
		setup => q(
			CREATE TABLE l (a int, b text) PARTITION BY LIST (a); CREATE TABLE l1 PARTITION OF l FOR VALUES IN (1, NULL); CREATE TABLE ld (b text, a int);
			INSERT INTO ld VALUES ('x', 7); INSERT INTO l VALUES (1, 'y'), (NULL, 'z');
			CREATE TABLE h (a int, b text) PARTITION BY HASH (a, b); CREATE TABLE h0 PARTITION OF h FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE h1 PARTITION OF h FOR VALUES WITH (MODULUS 2, REMAINDER 1);
			INSERT INTO h SELECT i, i FROM generate_series(1, 20) i),
		migration => 'ALTER TABLE l ATTACH PARTITION ld DEFAULT; DROP TABLE l1; DROP TABLE h1',
	},
	{
		name => 'constraints of a tree renamed, made deferrable, validated',
		setup => $tree . 'ALTER TABLE pt ADD CONSTRAINT later CHECK (id > 0) NOT VALID;',
		migration => 'ALTER TABLE pt RENAME CONSTRAINT pt_n TO renamed; ALTER TABLE pt RENAME CONSTRAINT pt_pkey TO key; ALTER TABLE pt ALTER CONSTRAINT pt_kind_fkey DEFERRABLE INITIALLY DEFERRED; ALTER TABLE pt VALIDATE CONSTRAINT later',
	},
	{
		name => 'ADD a key that a partition has already',
		setup => q(
			CREATE TABLE pt (id int NOT NULL, v text) PARTITION BY RANGE (id);
			CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM (1) TO (100); CREATE TABLE pt2 PARTITION OF pt FOR VALUES FROM (100) TO (200);
			ALTER TABLE pt1 ADD CONSTRAINT own_key PRIMARY KEY (id); INSERT INTO pt VALUES (1, 'a'), (101, 'b')),
		migration => 'ALTER TABLE pt ADD CONSTRAINT whole_key PRIMARY KEY (id)',
	},
	{
		name => 'a key attached piece by piece',
		setup => q(
			CREATE TABLE pt (id int NOT NULL, v text) PARTITION BY RANGE (id);
			CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM (1) TO (100); CREATE TABLE pt2 PARTITION OF pt FOR VALUES FROM (100) TO (200);
			ALTER TABLE pt1 ADD CONSTRAINT own1 UNIQUE (id); ALTER TABLE pt2 ADD CONSTRAINT own2 UNIQUE (id);
			ALTER TABLE ONLY pt ADD CONSTRAINT whole UNIQUE (id); ALTER INDEX whole ATTACH PARTITION own1),
		migration => 'ALTER INDEX whole ATTACH PARTITION own2',
	},
	{
		name => 'replica identity, storage options and statistics of single partitions',
		setup => $tree . 'ALTER TABLE pt1 REPLICA IDENTITY FULL; ALTER TABLE pt2a SET (fillfactor = 60); ALTER TABLE pt2d ALTER v SET STATISTICS 33; CREATE STATISTICS st ON kind, v FROM pt;',
		migration => 'ALTER TABLE pt1 REPLICA IDENTITY DEFAULT; ALTER TABLE pt3 REPLICA IDENTITY USING INDEX pt3_pkey; ALTER TABLE pt2a RESET (fillfactor); DROP TABLE pt',
	},

	# ---- inheritance ----
	{
		name => 'the parent of a family, CASCADE',
		setup => $family,
		migration => 'DROP TABLE parent CASCADE',
	},
	{
		name => 'the one in the middle, CASCADE',
		setup => $family,
		migration => 'DROP TABLE child CASCADE',
	},
	{
		name => 'one parent of two, with children below',
		setup => q(
			CREATE TABLE p1 (a int, CHECK (a > 0)); CREATE TABLE p2 (b int);
			CREATE TABLE child (c int) INHERITS (p2, p1); CREATE TABLE grand (d int) INHERITS (child);
			INSERT INTO child VALUES (1, 2, 3); INSERT INTO grand VALUES (1, 2, 3, 4)),
		migration => 'DROP TABLE p1 CASCADE',
	},
	{
		name => 'parents and child named in one command, in whatever order',
		setup => q(
			CREATE TABLE p1 (a int, CHECK (a > 0)); CREATE TABLE p2 (b int DEFAULT 7);
			CREATE TABLE child (c int, b int DEFAULT 8) INHERITS (p2, p1); INSERT INTO child VALUES (1, 2, 3)),
		migration => 'DROP TABLE child, p1, p2',
	},
	{
		name => 'DROP COLUMN of the parent',
		setup => $family,
		migration => 'ALTER TABLE parent DROP COLUMN a',
	},
	{
		name => 'DROP COLUMN of the parent only',
		setup => $family,
		migration => 'ALTER TABLE ONLY parent DROP COLUMN a',
	},
	{
		name => 'ADD COLUMN to the parent, one that a child has already',
		setup => $family,
		migration => q(ALTER TABLE parent ADD COLUMN d int DEFAULT 5; ALTER TABLE parent ADD COLUMN b int),
	},
	{
		name => 'a column of a family renamed, retyped',
		setup => $family,
		migration => 'ALTER TABLE parent RENAME COLUMN a TO aa; ALTER TABLE parent ALTER COLUMN aa TYPE varchar(3) USING substr(aa, 1, 3)',
	},
	{
		name => 'NO INHERIT and INHERIT',
		setup => $family . 'CREATE TABLE late (id int NOT NULL, a text, CONSTRAINT parent_id_check CHECK (id > 0)); INSERT INTO late VALUES (9, $$l$$);',
		migration => 'ALTER TABLE child NO INHERIT parent; ALTER TABLE late INHERIT parent',
	},
	{
		name => 'a column with a CHECK goes that children have themselves',
		setup => q(CREATE TABLE one (a int, b int CONSTRAINT positive CHECK (b > 0));
			CREATE TABLE two (b int CONSTRAINT positive CHECK (b > 0));
			CREATE TABLE child (b int) INHERITS (one, two); CREATE TABLE other (b int CONSTRAINT positive CHECK (b > 0)) INHERITS (one);
			CREATE TABLE grandchild (b int) INHERITS (child); INSERT INTO grandchild VALUES (1, 2); INSERT INTO other VALUES (3, 4);),
		migration => 'ALTER TABLE one DROP COLUMN b; ALTER TABLE two DROP COLUMN b',
	},
	{
		name => 'a CHECK of a column that only a child still has goes, and its table',
		setup => q(CREATE TABLE one (a int, b int NOT NULL CONSTRAINT positive CHECK (b > 0)); CREATE TABLE child (b int) INHERITS (one); CREATE TABLE second (b int) INHERITS (one);
			INSERT INTO child VALUES (1, 2); INSERT INTO second VALUES (1, 2); ALTER TABLE one DROP COLUMN b;),
		migration => 'ALTER TABLE child DROP COLUMN b; DROP TABLE second',
	},
	{
		name => 'DROP CONSTRAINT of the parent only, DROP NOT NULL, a CHECK that is not passed on',
		setup => $family . 'ALTER TABLE parent ADD CONSTRAINT here CHECK (a <> $$q$$) NO INHERIT, ALTER a SET NOT NULL;',
		migration => 'ALTER TABLE ONLY parent DROP CONSTRAINT parent_id_check; ALTER TABLE parent ALTER a DROP NOT NULL; DROP TABLE parent CASCADE',
	},
	{
		name => 'a family of three parents and a common child, two of them dropped',
		setup => q(
			CREATE TABLE p1 (a int, CONSTRAINT pos CHECK (a > 0)); CREATE TABLE p2 (a int, b int, CONSTRAINT pos CHECK (a > 0)); CREATE TABLE p3 (c int DEFAULT 3);
			CREATE TABLE child (CONSTRAINT pos CHECK (a > 0)) INHERITS (p1, p2, p3); CREATE TABLE grand () INHERITS (child);
			INSERT INTO grand VALUES (1, 2, 3); INSERT INTO child VALUES (4, 5, 6); INSERT INTO p3 VALUES (9)),
		migration => 'ALTER TABLE p1 DROP CONSTRAINT pos; DROP TABLE p1, p3 CASCADE',
	},
	{
		name => 'a CHECK of a family dropped, another added',
		setup => $family,
		migration => 'ALTER TABLE parent DROP CONSTRAINT parent_id_check; ALTER TABLE parent ADD CONSTRAINT small CHECK (id < 100)',
	},

	# ---- what a partition key is made of ----
	{
		name => 'the function of a partition key dropped',
		setup => $by_function,
		migration => 'DROP FUNCTION f(int) CASCADE',
	},
	{
		name => 'a table dropped, and then what its partition key is made of',
		setup => $by_function,
		migration => 'DROP TABLE p; DROP FUNCTION f(int); DROP TABLE q; DROP OPERATOR CLASS co USING btree; DROP OPERATOR FAMILY co USING btree; DROP FUNCTION cmp',
	},
	{
		name => 'the operator class, and the family, of a partition key dropped',
		setup => $by_function,
		migration => 'DROP OPERATOR CLASS co USING btree CASCADE; DROP OPERATOR FAMILY co USING btree; DROP FUNCTION f(text) CASCADE; DROP FUNCTION cmp',
	},
	{
		name => 'the function of an operator class of a partition key dropped',
		setup => $by_function,
		migration => 'DROP FUNCTION cmp CASCADE; DROP OPERATOR FAMILY co USING btree; DROP FUNCTION f(int), f(text) CASCADE',
	},
	{
		name => 'a schema dropped with a partitioned table and the functions of its key',
		setup => "CREATE SCHEMA app; SET search_path = app; $by_function",
		migration => 'DROP SCHEMA app CASCADE',
	},
	{
		name => 'a schema dropped with the functions of a partition key, after the table',
		setup => "CREATE SCHEMA app; SET search_path = app; $by_function",
		migration => [ 'DROP TABLE app.p, app.q', 'DROP SCHEMA app CASCADE' ],
	},
	{
		name => 'a partitioned table made with the functions of its key',
		setup => 'CREATE TABLE other (a int)',
		migration => $by_function,
	},

	# ---- the triggers behind foreign keys ----
	{
		name => 'foreign keys with disabled triggers',
		setup => q(CREATE TABLE c (id int PRIMARY KEY); CREATE TABLE o (c int REFERENCES c); INSERT INTO c VALUES (1); INSERT INTO o VALUES (1);
			ALTER TABLE o DISABLE TRIGGER ALL; ALTER TABLE c DISABLE TRIGGER ALL),
		migration => 'DROP TABLE o',
	},
	{
		name => 'foreign keys with disabled triggers on one side',
		setup => q(CREATE TABLE c (id int PRIMARY KEY); CREATE TABLE o (c int REFERENCES c); INSERT INTO c VALUES (1); INSERT INTO o VALUES (1);
			ALTER TABLE o DISABLE TRIGGER ALL),
		migration => 'DROP TABLE c CASCADE',
	},
	{
		name => 'DISABLE TRIGGER ALL',
		setup => q(CREATE TABLE c (id int PRIMARY KEY); CREATE TABLE o (id int PRIMARY KEY, c int REFERENCES c, o int REFERENCES o)),
		migration => 'ALTER TABLE o DISABLE TRIGGER ALL; ALTER TABLE c DISABLE TRIGGER ALL',
	},
	{
		name => 'ENABLE TRIGGER ALL',
		setup => q(CREATE TABLE c (id int PRIMARY KEY); CREATE TABLE o (id int PRIMARY KEY, c int REFERENCES c, o int REFERENCES o); ALTER TABLE o DISABLE TRIGGER ALL; ALTER TABLE c DISABLE TRIGGER ALL),
		migration => 'ALTER TABLE o ENABLE TRIGGER ALL; ALTER TABLE c ENABLE TRIGGER ALL',
	},
	{
		name => 'one trigger of a foreign key, by its name',
		setup => q(CREATE TABLE c (id int PRIMARY KEY); CREATE TABLE o (id int PRIMARY KEY, c int REFERENCES c)),
		migration => q(DO $$ BEGIN EXECUTE (SELECT format('ALTER TABLE c DISABLE TRIGGER %I', tgname) FROM pg_trigger WHERE tgrelid = 'c'::regclass AND tgfoid = '"RI_FKey_noaction_del"'::regproc); END $$;
			DO $$ BEGIN EXECUTE (SELECT format('ALTER TABLE o ENABLE ALWAYS TRIGGER %I', tgname) FROM pg_trigger WHERE tgrelid = 'o'::regclass AND tgfoid = '"RI_FKey_check_ins"'::regproc); END $$),
	},
	{
		name => 'DISABLE TRIGGER ALL on a tree',
		setup => $tree . 'CREATE TABLE refers (id int, at date, kind text, FOREIGN KEY (id, at, kind) REFERENCES pt);',
		migration => 'ALTER TABLE pt DISABLE TRIGGER ALL; ALTER TABLE refers DISABLE TRIGGER ALL',
	},
	{
		name => 'a tree with disabled triggers, dropped',
		setup => $tree . 'CREATE TABLE refers (id int, at date, kind text, FOREIGN KEY (id, at, kind) REFERENCES pt); ALTER TABLE pt DISABLE TRIGGER ALL; ALTER TABLE refers DISABLE TRIGGER ALL',
		migration => 'DROP TABLE pt CASCADE',
	},
	{
		name => 'a deferrable UNIQUE and an EXCLUDE with disabled triggers',
		setup => q(CREATE TABLE t (a int UNIQUE DEFERRABLE INITIALLY DEFERRED, r int4range, EXCLUDE USING gist (r WITH &&) DEFERRABLE); ALTER TABLE t DISABLE TRIGGER ALL),
		migration => 'ALTER TABLE t DROP CONSTRAINT t_a_key; ALTER TABLE t DROP COLUMN r; ALTER TABLE t ENABLE TRIGGER ALL',
	},
);

round_trips(
	{
		name => 'a trigger renamed after its copy on a leaf was disabled',
		setup => "$tree
			CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
			CREATE TRIGGER fires AFTER INSERT ON pt FOR EACH ROW EXECUTE FUNCTION fires();",
		migration => 'ALTER TABLE pt2a DISABLE TRIGGER fires;
			ALTER TRIGGER fires ON pt RENAME TO fired',
	});

# The keys of others refer to each partition as well.
round_trips(
	map {
		{
			name => "a partition of a table that is referred to: $_->[0]",
			setup => "$tree
				CREATE TABLE refers (id int, at date, kind text, CONSTRAINT refers_pt FOREIGN KEY (id, at, kind) REFERENCES pt);
				INSERT INTO refers SELECT id, at, kind FROM pt WHERE n % 3 = 0;",
			migration => $_->[1],
			after => $_->[2],
			refused => $_->[3],
		}
	} [ 'made', q(CREATE TABLE pt9 PARTITION OF pt FOR VALUES FROM ('2030-01-01') TO ('2031-01-01')) ],
	[ 'made, with partitions of its own', q(
		CREATE TABLE pt9 PARTITION OF pt FOR VALUES FROM ('2030-01-01') TO ('2031-01-01') PARTITION BY HASH (id);
		CREATE TABLE pt9a PARTITION OF pt9 FOR VALUES WITH (MODULUS 1, REMAINDER 0);
		INSERT INTO pt VALUES (900, '2030-02-02', 'a')) ],
	[ 'made, and then referred to', q(CREATE TABLE pt9 PARTITION OF pt FOR VALUES FROM ('2030-01-01') TO ('2031-01-01')),
		q(INSERT INTO pt VALUES (900, '2030-02-02', 'a'); INSERT INTO refers VALUES (900, '2030-02-02', 'a')),
		qr/SM003.*violates foreign key/s ],
);

round_trips(
	{
		name => 'a typed table dropped with its type, while the vault needs the type',
		setup => q(CREATE TYPE pair AS (a int, b text); CREATE TABLE typed OF pair; INSERT INTO typed VALUES (1, 'x');
			CREATE TABLE has (p pair); INSERT INTO has VALUES (ROW(1, 'y')); DROP TABLE has),
		migration => 'DROP TYPE pair CASCADE',
	});

# Foreign keys to the whole tree go with a partition, and no row that refers
# to the partition stands in the way.
round_trips(
	map {
		{
			name => "a partition that rows refer to, dropped $_->[0]",
			setup => "$tree
				CREATE SCHEMA apart;
				CREATE TABLE apart.refers (id int, at date, kind text, CONSTRAINT refers_pt FOREIGN KEY (id, at, kind) REFERENCES pt);
				INSERT INTO apart.refers SELECT id, at, kind FROM pt WHERE n % 3 = 0;
				ALTER TABLE pt2 SET SCHEMA apart;",
			migration => $_->[1],
		}
	} [ 'CASCADE', 'DROP TABLE pt1 CASCADE' ],
	[ 'with partitions below it', 'DROP TABLE apart.pt2 CASCADE' ],
	[ 'with the table that refers', 'DROP TABLE pt1, apart.refers' ],
	[ 'with the schema of both', 'DROP SCHEMA apart CASCADE' ],
);

# The key to the new partition comes and goes with it, not with a command on
# the table that refers.
round_trips(
	{
		name => 'a new partition, and a change of the table that refers to the tree',
		setup => q(CREATE TABLE event (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
			CREATE TABLE event_old PARTITION OF event FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
			CREATE TABLE visit (id int, at date, FOREIGN KEY (id, at) REFERENCES event);
			INSERT INTO event VALUES (1, '2020-05-05'); INSERT INTO visit VALUES (1, '2020-05-05')),
		migration => q(CREATE TABLE event_new PARTITION OF event FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
			ALTER TABLE visit ADD COLUMN x interval),
	},
	{
		name => 'a range whose constructor is altered',
		setup => 'SELECT 1',
		migration => q(CREATE TYPE span AS RANGE (subtype = float8); ALTER FUNCTION span(float8, float8) SET work_mem TO '5MB'),
	},
	{
		name => 'a range whose constructors stand elsewhere, each by itself',
		setup => q(CREATE SCHEMA app; CREATE SCHEMA other; CREATE TYPE span AS RANGE (subtype = float8); ALTER TYPE span SET SCHEMA app;
			ALTER FUNCTION span_multirange(VARIADIC app.span[]) SET SCHEMA other; ALTER FUNCTION span(float8, float8) OWNER TO bob),
		migration => 'DROP SCHEMA app CASCADE',
	},
	{
		name => 'a partition without an index that the parent has ON ONLY',
		setup => q(CREATE TABLE event (id int NOT NULL, at int NOT NULL) PARTITION BY LIST (at);
			CREATE TABLE event_1 PARTITION OF event FOR VALUES IN (1) PARTITION BY RANGE (id);
			CREATE TABLE event_1a PARTITION OF event_1 FOR VALUES FROM (0) TO (10);
			CREATE TABLE event_2 PARTITION OF event FOR VALUES IN (2);
			CREATE INDEX own ON event_2 (id); CREATE INDEX own_a ON event_1a (id);
			INSERT INTO event VALUES (1, 1), (2, 2);
			CREATE INDEX par ON ONLY event (id); CREATE INDEX "Par 2" ON ONLY event (at);
			ALTER TABLE ONLY event ADD PRIMARY KEY (id, at)),
		migration => 'DROP TABLE event_1 CASCADE; ALTER TABLE event DETACH PARTITION event_2',
	},
	{
		name => 'views and keys of partitions whose column the parent renames',
		setup => q(CREATE TABLE event (id int, at int, PRIMARY KEY (id, at)) PARTITION BY LIST (at);
			CREATE TABLE event_1 PARTITION OF event FOR VALUES IN (1);
			CREATE TABLE event_2 PARTITION OF event FOR VALUES IN (2) PARTITION BY HASH (id);
			CREATE TABLE event_2a PARTITION OF event_2 FOR VALUES WITH (MODULUS 1, REMAINDER 0);
			CREATE VIEW ids AS SELECT id FROM event_2a;
			CREATE TABLE visit (event_id int, at int, FOREIGN KEY (event_id, at) REFERENCES event);
			INSERT INTO event VALUES (1, 1), (2, 2); INSERT INTO visit VALUES (1, 1)),
		migration => [ 'ALTER TABLE event RENAME COLUMN id TO number',
			'CREATE OR REPLACE VIEW ids AS SELECT number AS id, at FROM event_2a',
			'DROP TABLE event CASCADE' ],
	},
	{
		name => 'a partition that has partitions, with an index on an expression',
		setup => q(CREATE TABLE event (id int, n int) PARTITION BY LIST (id);
			CREATE TABLE event_1 PARTITION OF event FOR VALUES IN (1) PARTITION BY HASH (n);
			CREATE TABLE event_1a PARTITION OF event_1 FOR VALUES WITH (MODULUS 1, REMAINDER 0) PARTITION BY LIST (n);
			CREATE TABLE event_1a1 PARTITION OF event_1a DEFAULT;
			INSERT INTO event VALUES (1, 1); CREATE INDEX ON event ((n::text)) WHERE n > 0),
		migration => 'DROP TABLE event_1 CASCADE',
	},
	{
		name => 'a key from a date to a time with time zone',
		setup => q(SET TimeZone = 'Asia/Tokyo'; CREATE TABLE day (at date PRIMARY KEY); CREATE TABLE visit (at date REFERENCES day);
			INSERT INTO day VALUES ('2024-02-03'); INSERT INTO visit SELECT * FROM day),
		migration => q(SET TimeZone = 'Asia/Tokyo'; ALTER TABLE visit ALTER at TYPE timestamptz),
	},
	{
		name => 'the constraint of a trigger gets another name, the trigger goes',
		setup => q(CREATE TABLE t (a int); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
			CREATE CONSTRAINT TRIGGER one AFTER UPDATE ON t DEFERRABLE FOR EACH ROW EXECUTE FUNCTION f();
			CREATE CONSTRAINT TRIGGER two AFTER UPDATE ON t DEFERRABLE FOR EACH ROW EXECUTE FUNCTION f();
			ALTER TABLE t RENAME CONSTRAINT two TO three),
		migration => 'ALTER TABLE t RENAME CONSTRAINT one TO "Four"; DROP TRIGGER two ON t',
	},
	{
		name => 'NOT NULL that a partition had already',
		setup => q(CREATE TABLE p (a int, b int) PARTITION BY LIST (a);
			CREATE TABLE p1 (a int NOT NULL, b int NOT NULL) PARTITION BY LIST (b); CREATE TABLE p1a PARTITION OF p1 DEFAULT;
			ALTER TABLE p ATTACH PARTITION p1 FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2)),
		migration => 'ALTER TABLE p ALTER a SET NOT NULL; ALTER TABLE p ADD PRIMARY KEY (a, b)',
	},
	{
		name => 'a key of a renamed table, and a partition that it refers to is detached',
		setup => q(CREATE TABLE event (id int PRIMARY KEY) PARTITION BY LIST (id); CREATE TABLE event_1 PARTITION OF event FOR VALUES IN (1);
			CREATE TABLE event_2 PARTITION OF event FOR VALUES IN (2) PARTITION BY LIST (id); CREATE TABLE event_2a PARTITION OF event_2 DEFAULT;
			CREATE TABLE visit (id int REFERENCES event); ALTER TABLE visit RENAME TO "Visits"),
		migration => 'ALTER TABLE event DETACH PARTITION event_2',
	},
	{
		name => 'a key that a partition had before its parent',
		setup => q(CREATE TABLE p (i int) PARTITION BY HASH (i);
			CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE p1 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 1);
			ALTER TABLE p0 ADD PRIMARY KEY (i); ALTER TABLE p ADD PRIMARY KEY (i); INSERT INTO p SELECT generate_series(1, 9)),
		migration => 'ALTER TABLE p DROP CONSTRAINT p_pkey',
	},
	{
		name => 'foreign keys of partitions that have names of their own',
		setup => q(CREATE TABLE customer (id int PRIMARY KEY); INSERT INTO customer VALUES (1);
			CREATE TABLE p (i int, c int REFERENCES customer) PARTITION BY LIST (i); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1) PARTITION BY LIST (c);
			CREATE TABLE p1a PARTITION OF p1 DEFAULT; CREATE TABLE p2 PARTITION OF p DEFAULT; INSERT INTO p VALUES (1, 1), (2, 1);
			ALTER TABLE p1a RENAME CONSTRAINT p_c_fkey TO "Leaf"; ALTER TABLE p2 RENAME CONSTRAINT p_c_fkey TO other),
		migration => [ 'DROP TABLE p1', 'ALTER TABLE p DROP CONSTRAINT p_c_fkey', 'DROP TABLE p CASCADE' ],
	},
	{
		name => 'another type by USING that writes no row anew, of rows without a key',
		setup => q(CREATE TABLE t (a int); INSERT INTO t VALUES (1); ALTER TABLE t ADD b varchar(10) DEFAULT 'xxx';
			ALTER TABLE t ALTER b SET DEFAULT 'yyy'; INSERT INTO t VALUES (2)),
		migration => 'ALTER TABLE t ALTER b TYPE varchar(20) USING b::varchar(20)',
		after => q(UPDATE t SET b = 'later' WHERE a = 2),
		same => q(UPDATE t SET b = 'later' WHERE a = 2),
		once => 1,
	},
	{
		name => 'TRUNCATE where a publication lets no row be deleted',
		setup => q(CREATE TABLE told (id int PRIMARY KEY, n int); INSERT INTO told SELECT i, i FROM generate_series(1, 5) i;
			CREATE PUBLICATION told FOR TABLE told WHERE (n > 2) WITH (publish = 'insert, update, delete, truncate')),
		migration => 'ALTER TABLE told ADD x int; TRUNCATE told; ALTER TABLE told DROP x',
		once => 1,
	});

# ATTACH PARTITION makes an index of its own where the one that is there is not valid.
round_trips(
	{
		name => 'a tree whose indexes are not valid, dropped from below',
		setup => q(CREATE TABLE t (a int, b text) PARTITION BY RANGE (a);
			CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (1000) PARTITION BY RANGE (a);
			CREATE TABLE t_1_1 PARTITION OF t_1 FOR VALUES FROM (0) TO (500); INSERT INTO t VALUES (1, 'x');
			CREATE UNIQUE INDEX ON ONLY t_1 (a); CREATE UNIQUE INDEX ON ONLY t (a); ALTER INDEX t_a_idx ATTACH PARTITION t_1_a_idx),
		migration => 'DROP TABLE t_1_1; DROP TABLE t_1; DROP TABLE t',
	});

done_testing();
