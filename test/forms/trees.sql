-- Trees of partitions and of tables that inherit, with keys between them.

CREATE SCHEMA trees;
SET search_path = trees;

-- what is referred to: partitions of partitions, a default that has its own
CREATE TABLE goal (id int, part int, note text, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
CREATE TABLE goal_1 PARTITION OF goal FOR VALUES IN (1);
CREATE TABLE goal_rest PARTITION OF goal DEFAULT PARTITION BY LIST (part);
CREATE TABLE goal_rest_2 PARTITION OF goal_rest FOR VALUES IN (2);
CREATE TABLE goal_rest_rest PARTITION OF goal_rest DEFAULT;
CREATE TABLE goal_3 (id int NOT NULL, part int NOT NULL, note text, PRIMARY KEY (id, part));
CREATE TABLE goal_4 (id int NOT NULL, part int NOT NULL, note text, CHECK (part = 4));
INSERT INTO goal SELECT i, i % 3, 'n' FROM generate_series(1, 30) i;

-- what refers to it, a partition of that with the same key, one with another
CREATE TABLE shot (id int, part int, goal int, CONSTRAINT of_goal FOREIGN KEY (goal, part) REFERENCES goal ON DELETE CASCADE)
	PARTITION BY LIST (part);
CREATE TABLE shot_1 PARTITION OF shot FOR VALUES IN (1);
CREATE TABLE shot_2 (id int, part int, goal int, FOREIGN KEY (goal, part) REFERENCES goal ON DELETE CASCADE);
CREATE TABLE shot_3 (id int, part int, goal int, FOREIGN KEY (goal, part) REFERENCES goal);
CREATE TABLE shot_4 (id int, part int, goal int);
CREATE TABLE apart (id int, part int, goal int) PARTITION BY LIST (part);
CREATE TABLE apart_1 PARTITION OF apart FOR VALUES IN (1);
ALTER TABLE apart_1 ADD FOREIGN KEY (goal, part) REFERENCES goal;
CREATE TABLE own (id int, part int, up int, PRIMARY KEY (id, part),
	CONSTRAINT of_own FOREIGN KEY (up, part) REFERENCES own) PARTITION BY LIST (part);
CREATE TABLE own_1 PARTITION OF own FOR VALUES IN (1);
CREATE TABLE own_2 (id int NOT NULL, part int NOT NULL, up int, PRIMARY KEY (id, part));

-- indexes that are not whole yet
CREATE TABLE shelf (a int, b int) PARTITION BY RANGE (a);
CREATE TABLE shelf_1 PARTITION OF shelf FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (a);
CREATE TABLE shelf_11 PARTITION OF shelf_1 FOR VALUES FROM (0) TO (50);
CREATE INDEX shelf_b ON ONLY shelf (b);
CREATE INDEX shelf_1_b ON ONLY shelf_1 (b);
CREATE INDEX shelf_11_b ON shelf_11 (b);
ALTER INDEX shelf_b ATTACH PARTITION shelf_1_b;
CREATE TABLE bare (a int, b int) PARTITION BY RANGE (a);
CREATE TABLE bare_1 PARTITION OF bare FOR VALUES FROM (0) TO (100);

-- tables that inherit
CREATE TABLE top (id int PRIMARY KEY, a int CONSTRAINT passed_on CHECK (a > 0), b int,
	CONSTRAINT kept_here CHECK (b > 0) NO INHERIT, CONSTRAINT once UNIQUE (b));
CREATE TABLE middle () INHERITS (top);
CREATE TABLE bottom () INHERITS (middle);
CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER fired BEFORE UPDATE ON top FOR EACH ROW EXECUTE FUNCTION fires();
CREATE TRIGGER fired AFTER UPDATE ON shelf FOR EACH ROW EXECUTE FUNCTION fires();
CREATE TYPE shape AS (x int, y text);
CREATE TABLE shapes OF shape;
CREATE TABLE shapes_below () INHERITS (shapes);
CREATE TABLE holds (s shape CONSTRAINT looks_in CHECK ((s).x > 0));

-- what goes along from elsewhere
CREATE SCHEMA elsewhere;
CREATE VIEW seen AS SELECT id FROM top;
CREATE VIEW elsewhere.seen_there AS SELECT id FROM seen;
CREATE TABLE elsewhere.parted (a int) PARTITION BY LIST (a);
CREATE TABLE parted_here PARTITION OF elsewhere.parted FOR VALUES IN (1);
CREATE TABLE guarded (a int);
CREATE POLICY asks ON guarded USING (a IN (SELECT id FROM seen));
CREATE ROLE safemig_trees;
CREATE TABLE owned (a int);
ALTER TABLE owned OWNER TO safemig_trees;
CREATE POLICY named ON guarded TO safemig_trees USING (true);
ANALYZE;
RESET search_path;

-- form: an index that is a table, which is refused
ALTER INDEX trees.goal ATTACH PARTITION trees.goal_3;
-- form: a key to partitions
CREATE TABLE trees.fresh (goal int, part int, FOREIGN KEY (goal, part) REFERENCES trees.goal);
-- form: a key to partitions, added
ALTER TABLE trees.shot_4 ADD FOREIGN KEY (goal, part) REFERENCES trees.goal;
-- form: a key that a partition has already
ALTER TABLE trees.apart ADD FOREIGN KEY (goal, part) REFERENCES trees.goal;
-- form: a key of partitions to partitions goes
ALTER TABLE trees.shot DROP CONSTRAINT of_goal;
-- form: a key of partitions is deferred
ALTER TABLE trees.shot ALTER CONSTRAINT of_goal DEFERRABLE;
-- form: a partition without the key
ALTER TABLE trees.shot ATTACH PARTITION trees.shot_4 FOR VALUES IN (4);
-- form: a partition with the same key
ALTER TABLE trees.shot ATTACH PARTITION trees.shot_2 FOR VALUES IN (2);
-- form: a partition with another key
ALTER TABLE trees.shot ATTACH PARTITION trees.shot_3 FOR VALUES IN (3);
-- form: a partition of what is referred to
ALTER TABLE trees.goal ATTACH PARTITION trees.goal_3 FOR VALUES IN (3);
-- form: a partition whose CHECK says its bound
ALTER TABLE trees.goal ATTACH PARTITION trees.goal_4 FOR VALUES IN (4);
-- form: a new partition of what is referred to
CREATE TABLE trees.goal_5 PARTITION OF trees.goal FOR VALUES IN (5);
-- form: a new partition that refers
CREATE TABLE trees.shot_5 PARTITION OF trees.shot FOR VALUES IN (5);
-- form: a partition that refers to its own tree
ALTER TABLE trees.own ATTACH PARTITION trees.own_2 FOR VALUES IN (2);
-- form: a partition leaves that is referred to
ALTER TABLE trees.goal DETACH PARTITION trees.goal_1;
-- form: a partition leaves that refers
ALTER TABLE trees.shot DETACH PARTITION trees.shot_1;
-- form: a partition leaves its own tree
ALTER TABLE trees.own DETACH PARTITION trees.own_1;
-- form: the last partition of an index
ALTER INDEX trees.shelf_1_b ATTACH PARTITION trees.shelf_11_b;
-- form: an index of partitions goes
DROP INDEX trees.shelf_b;
-- form: a key of the partitioned table alone
ALTER TABLE ONLY trees.bare ADD PRIMARY KEY (a);
-- form: a unique key of partitions
ALTER TABLE trees.bare ADD UNIQUE (a);
-- form: owner of a partitioned table
ALTER TABLE trees.goal OWNER TO safemig_trees;
-- form: row security of a partitioned table
ALTER TABLE trees.goal ENABLE ROW LEVEL SECURITY;
-- form: replica identity of a partitioned table
ALTER TABLE trees.goal REPLICA IDENTITY FULL;
-- form: row security of a parent
ALTER TABLE trees.top ENABLE ROW LEVEL SECURITY;
-- form: fillfactor of a parent
ALTER TABLE trees.top SET (fillfactor = 80);
-- form: identity of a parent
ALTER TABLE trees.top ALTER a SET NOT NULL;
-- form: an index on a parent
CREATE INDEX ON trees.top (a);
-- form: a key of a parent
ALTER TABLE trees.top ADD UNIQUE (a);
-- form: a foreign key of a parent
ALTER TABLE trees.top ADD FOREIGN KEY (b) REFERENCES trees.top;
-- form: a constraint that is passed on goes
ALTER TABLE trees.top DROP CONSTRAINT passed_on;
-- form: a constraint that is passed on goes from ONLY
ALTER TABLE ONLY trees.top DROP CONSTRAINT passed_on;
-- form: a constraint of a parent alone goes
ALTER TABLE trees.top DROP CONSTRAINT kept_here;
-- form: a key of a parent goes
ALTER TABLE trees.top DROP CONSTRAINT once;
-- form: a constraint that is passed on is renamed
ALTER TABLE trees.top RENAME CONSTRAINT passed_on TO renamed;
-- form: a constraint of a parent alone is renamed
ALTER TABLE trees.top RENAME CONSTRAINT kept_here TO renamed;
-- form: a trigger of a parent is renamed
ALTER TRIGGER fired ON trees.top RENAME TO renamed;
-- form: a trigger of partitions is renamed
ALTER TRIGGER fired ON trees.shelf RENAME TO renamed;
-- form: a trigger of partitions goes
DROP TRIGGER fired ON trees.shelf;
-- form: an index by ALTER TABLE
ALTER TABLE trees.shelf_11_b RENAME TO renamed;
-- form: a table by ALTER INDEX
ALTER INDEX trees.guarded RENAME TO renamed;
-- form: an attribute
ALTER TYPE trees.shape ADD ATTRIBUTE z int CASCADE;
-- form: an attribute that is looked into
ALTER TYPE trees.shape DROP ATTRIBUTE x CASCADE;
-- form: the name of an attribute
ALTER TYPE trees.shape RENAME ATTRIBUTE y TO z CASCADE;
-- form: a table with a policy that asks views over it
DROP TABLE trees.top CASCADE;
-- form: a view with a policy that asks it
DROP VIEW trees.seen CASCADE;
-- form: a schema with what is over it elsewhere
DROP SCHEMA trees CASCADE;
-- form: what a role owns
DROP OWNED BY safemig_trees;
-- form: rows of what partitions refer to
TRUNCATE trees.goal_1 CASCADE;
-- form: a view and what it reads
LOCK TABLE elsewhere.seen_there;
-- form: a parent
LOCK TABLE trees.top IN SHARE MODE;
-- form: statistics of partitions
ANALYZE trees.goal;
-- form: a temporary table that inherits
CREATE TEMPORARY TABLE short () INHERITS (trees.top);
-- form: a comment on a constraint
COMMENT ON CONSTRAINT passed_on ON trees.top IS 'x';
-- form: a column that is there
ALTER TABLE trees.top ADD COLUMN IF NOT EXISTS a serial;
