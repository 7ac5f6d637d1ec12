-- The schema that test/t/090_property.pl begins with: something of everything,
-- with rows.  The column "note" is what the application writes; few templates
-- of SafemigRandom do.

CREATE SCHEMA app AUTHORIZATION alice;
CREATE SCHEMA "Odd ""Schema""";
GRANT USAGE ON SCHEMA app TO bob;
GRANT CREATE, USAGE ON SCHEMA "Odd ""Schema""" TO alice;
SET ROLE alice;
CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'ha''ppy');
CREATE TYPE app.pair AS (a int, b text);
CREATE TYPE app.span AS RANGE (subtype = float8);
CREATE DOMAIN app.positive AS int DEFAULT 7 CONSTRAINT above CHECK (VALUE > 0);
CREATE DOMAIN app.short AS varchar(20) NOT NULL DEFAULT 'sh';
CREATE DOMAIN app.mooded AS app.mood CHECK (VALUE <> 'sad');
CREATE SEQUENCE app.free START 5 INCREMENT 3 MAXVALUE 10000 CYCLE;
SELECT nextval('app.free'), nextval('app.free');
CREATE FUNCTION app.add(a int, b int DEFAULT 2) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a + b';
CREATE FUNCTION app.fires() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN coalesce(new, old); END';
CREATE FUNCTION app.brief(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT length($1) < 100';

CREATE TABLE app.customer (
	id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name text NOT NULL,
	email varchar(50) UNIQUE,
	m app.mood DEFAULT 'ok',
	age app.positive,
	nick app.short DEFAULT 'nn',
	total numeric(10,2) DEFAULT 0.00,
	note text,
	CONSTRAINT young CHECK (age < 200),
	CONSTRAINT "brief name" CHECK (app.brief(name)));
CREATE INDEX customer_lower ON app.customer (lower(name));
CREATE INDEX customer_part ON app.customer (total) WHERE total > 5;
CREATE TABLE app.orders (
	id bigserial PRIMARY KEY,
	customer_id int NOT NULL REFERENCES app.customer ON DELETE CASCADE,
	qty int DEFAULT app.add(1) CHECK (qty >= 0),
	price numeric(8,2),
	amount numeric GENERATED ALWAYS AS (qty * price) STORED,
	p app.pair,
	tags text[] DEFAULT '{}',
	placed timestamptz DEFAULT '2024-01-01 00:00+00',
	note text,
	UNIQUE (customer_id, qty));
CREATE TABLE app.item (
	order_id bigint,
	line int,
	sku char(8),
	j jsonb,
	r int4range,
	s app.span,
	note text,
	PRIMARY KEY (order_id, line),
	CONSTRAINT item_order FOREIGN KEY (order_id) REFERENCES app.orders (id) ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED,
	CONSTRAINT item_apart EXCLUDE USING gist (r WITH &&));
CREATE INDEX item_j ON app.item USING gin (j);
ALTER TABLE app.customer ADD COLUMN last_order bigint CONSTRAINT customer_last REFERENCES app.orders ON DELETE SET NULL;
CREATE TABLE app.parent (
	id int PRIMARY KEY,
	v text DEFAULT 'pv',
	n int CONSTRAINT above_nought CHECK (n > 0),
	note text);
CREATE TABLE app.child (extra date) INHERITS (app.parent);
ALTER TABLE app.child ALTER v SET DEFAULT 'cv';
CREATE TABLE app.nokey (a int, b text, c float8, mm app.mooded, note text);
ALTER TABLE app.nokey ALTER b SET STORAGE EXTERNAL, ALTER a SET STATISTICS 55;
ALTER TABLE app.nokey SET (fillfactor = 70);
CREATE UNLOGGED TABLE app.unlogged (x int, note text);
CREATE TABLE app.event (
	id bigint NOT NULL,
	at date NOT NULL,
	kind text DEFAULT 'k',
	customer_id int REFERENCES app.customer,
	note text,
	PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE app.event_2023 PARTITION OF app.event FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE app.event_2024 PARTITION OF app.event FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY HASH (id);
CREATE TABLE app.event_2024_0 PARTITION OF app.event_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE app.event_2024_1 (note text, kind text, id bigint NOT NULL, gone int, at date NOT NULL, customer_id int);
ALTER TABLE app.event_2024_1 DROP COLUMN gone;
ALTER TABLE app.event_2024 ATTACH PARTITION app.event_2024_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE app.event_rest PARTITION OF app.event DEFAULT;
CREATE INDEX event_kind ON app.event (kind);
CREATE TABLE app.visit (
	event_id bigint,
	event_at date,
	note text,
	CONSTRAINT visit_event FOREIGN KEY (event_id, event_at) REFERENCES app.event);

CREATE VIEW app.customers AS SELECT id, name, m, total FROM app.customer WHERE total >= 0;
CREATE VIEW app.joined WITH (security_barrier) AS
	SELECT c.name, o.qty, o.amount FROM app.customers c JOIN app.orders o ON o.customer_id = c.id;
CREATE VIEW "Odd ""Schema""".everything AS SELECT * FROM app.nokey;
CREATE MATERIALIZED VIEW app.counts AS SELECT customer_id, count(*) AS n, sum(price) AS s FROM app.orders GROUP BY 1;
CREATE UNIQUE INDEX counts_key ON app.counts (customer_id);
CREATE MATERIALIZED VIEW app.names AS SELECT name, count(*) AS n FROM app.joined GROUP BY 1;
CREATE TRIGGER renamed BEFORE UPDATE OF name ON app.customer FOR EACH ROW
	WHEN (old.name IS DISTINCT FROM new.name) EXECUTE FUNCTION app.fires();
CREATE TRIGGER ordered AFTER INSERT ON app.orders FOR EACH ROW EXECUTE FUNCTION app.fires('x', 'y');
CREATE TRIGGER happened AFTER INSERT ON app.event FOR EACH ROW EXECUTE FUNCTION app.fires();
CREATE RULE deleted AS ON DELETE TO app.nokey DO ALSO NOTHING;
CREATE RULE updated AS ON UPDATE TO app.customers DO INSTEAD UPDATE app.customer SET name = new.name WHERE id = old.id;
ALTER TABLE app.parent ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON app.parent FOR SELECT TO bob USING (n > 1);
CREATE STATISTICS app.priced ON qty, price FROM app.orders;
CREATE FUNCTION app.ordered() RETURNS int LANGUAGE sql STABLE BEGIN ATOMIC SELECT count(*)::int FROM app.orders; END;
GRANT SELECT, INSERT ON app.customer TO bob WITH GRANT OPTION;
GRANT UPDATE (name, email) ON app.customer TO bob;
GRANT SELECT ON app.customers TO PUBLIC;
REVOKE EXECUTE ON FUNCTION app.add(int, int) FROM PUBLIC;
GRANT USAGE ON SEQUENCE app.free TO bob;
COMMENT ON TABLE app.customer IS 'it''s customers';
COMMENT ON COLUMN app.customer.email IS 'mail';
COMMENT ON CONSTRAINT young ON app.customer IS 'not too old';
COMMENT ON INDEX app.customer_lower IS 'for searching';
COMMENT ON VIEW app.customers IS 'the good ones';
COMMENT ON COLUMN app.customers.name IS 'their name';
COMMENT ON TYPE app.mood IS 'how they are';
COMMENT ON DOMAIN app.positive IS 'above nought';
COMMENT ON CONSTRAINT above ON DOMAIN app.positive IS 'really';
COMMENT ON TRIGGER renamed ON app.customer IS 'fires';

INSERT INTO app.customer (name, email, m, age, nick, total, note)
SELECT 'n' || i, CASE WHEN i % 7 > 0 THEN 'e' || i END, (enum_range(NULL::app.mood))[i % 3 + 1], i, 'k' || i, i * 1.5, 'note'
FROM generate_series(1, 20) i;
INSERT INTO app.orders (customer_id, qty, price, p, tags, note)
SELECT i % 20 + 1, i, i * 2.5, ROW(i, 'p' || i)::app.pair, ARRAY['a', 'b' || i], 'note' FROM generate_series(1, 30) i;
UPDATE app.customer SET last_order = id WHERE id < 5;
INSERT INTO app.item
SELECT i % 30 + 1, i, 's' || i, jsonb_build_object('a', i), int4range(i * 10, i * 10 + 5), app.span(i, i + 0.5), 'note'
FROM generate_series(1, 40) i;
INSERT INTO app.parent SELECT i, 'v' || i, i, 'note' FROM generate_series(1, 5) i;
INSERT INTO app.child SELECT i + 100, 'c' || i, i, 'note', date '2024-01-01' + i FROM generate_series(1, 5) i;
INSERT INTO app.nokey SELECT i, repeat('b', i), i / 3.0, 'ok', 'note' FROM generate_series(1, 6) i;
INSERT INTO app.nokey SELECT 1, 'twice', 2, NULL, 'note' FROM generate_series(1, 3);
INSERT INTO app.unlogged VALUES (1, 'note'), (NULL, 'note');
INSERT INTO app.event SELECT i, date '2023-06-01' + i * 30, 'k' || i % 3, i % 20 + 1, 'note' FROM generate_series(1, 30) i;
INSERT INTO app.visit SELECT id, at, 'note' FROM app.event WHERE id % 4 = 0;
RESET ROLE;

CREATE TABLE public.pub (
	id serial PRIMARY KEY,
	"Mixed Col" text,
	u uuid DEFAULT '00000000-0000-0000-0000-000000000000',
	x xml,
	b bytea,
	ip inet,
	note text);
INSERT INTO public.pub ("Mixed Col", u, x, b, ip, note)
SELECT 'M' || i, ('00000000-0000-0000-0000-00000000000' || i)::uuid, '<a>1</a>', '\xdead', '10.0.0.1', 'note' FROM generate_series(1, 5) i;
CREATE TABLE "Odd ""Schema"""."Odd ""T"" 'x' $1" (id int PRIMARY KEY, "select" text COLLATE "C", "%s" app.mood, note text);
INSERT INTO "Odd ""Schema"""."Odd ""T"" 'x' $1" VALUES (1, 'a', 'ok', 'note'), (2, 'b', NULL, 'note');
CREATE FUNCTION public.two(x int) RETURNS TABLE (a int, b text) LANGUAGE sql STABLE AS 'SELECT 1, $$a$$::text';
CREATE PROCEDURE public.increment(INOUT x int) LANGUAGE plpgsql AS 'BEGIN x := x + 1; END';
CREATE PUBLICATION told FOR TABLE app.customer, app.parent WHERE (n > 2);
ALTER DEFAULT PRIVILEGES FOR ROLE alice IN SCHEMA app GRANT SELECT ON TABLES TO bob;
REFRESH MATERIALIZED VIEW app.counts;
REFRESH MATERIALIZED VIEW app.names;
ANALYZE;
