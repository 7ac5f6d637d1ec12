-- Copyright (c) 2026, the safemig authors

-- What 092_crash.pl and 093_exhausted.pl migrate.

SET safemig.enabled = off;
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN app.code AS text CHECK (VALUE ~ '^[a-z]+[0-9]*$');
CREATE EXTENSION IF NOT EXISTS citext SCHEMA app;
CREATE FUNCTION app.double(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE TABLE app.customers (id serial PRIMARY KEY, name text NOT NULL, m app.mood DEFAULT 'ok', points int DEFAULT 0);
CREATE TABLE app.orders (id int PRIMARY KEY, customer int REFERENCES app.customers, total numeric(10,2) CHECK (total > 0),
	note text, flag bool DEFAULT true, c app.code DEFAULT 'n');
CREATE TABLE app.items (id int PRIMARY KEY, order_id int REFERENCES app.orders ON DELETE CASCADE, what text);
CREATE INDEX ON app.items (lower(what));
CREATE INDEX ON app.items (app.double(order_id));
CREATE TABLE app.tagged (id int PRIMARY KEY, tag app.citext, m app.mood);
CREATE INDEX ON app.tagged (tag);
CREATE TABLE app.parts (k int, v text) PARTITION BY RANGE (k);
CREATE TABLE app.parts_1 PARTITION OF app.parts FOR VALUES FROM (0) TO (100);
CREATE TABLE app.parts_2 PARTITION OF app.parts FOR VALUES FROM (100) TO (200);
CREATE TABLE app.wide (id int PRIMARY KEY, filler text);
CREATE TABLE app.log (at int, line text);
CREATE TABLE app.schema_migrations (filename text);
CREATE TABLE app._yoyo_migration (migration_hash varchar PRIMARY KEY, migration_id varchar, applied_at_utc timestamp);
CREATE SEQUENCE app.loose START 5;
CREATE VIEW app.v AS SELECT o.id, c.name, o.note FROM app.orders o JOIN app.customers c ON c.id = o.customer;
CREATE MATERIALIZED VIEW app.mv AS SELECT m, count(*) FROM app.customers GROUP BY m;
INSERT INTO app.customers (name, m, points) SELECT 'c' || i, (ARRAY['sad', 'ok', 'happy']::app.mood[])[1 + i % 3], i FROM generate_series(1, 30) i;
INSERT INTO app.orders SELECT i, 1 + i % 30, i * 1.25, 'note ' || i, i % 2 = 0, 'c' || i FROM generate_series(1, 60) i;
INSERT INTO app.items SELECT i, 1 + i % 60, 'W' || i FROM generate_series(1, 90) i;
INSERT INTO app.tagged SELECT i, 'Tag' || i, 'sad' FROM generate_series(1, 20) i;
INSERT INTO app.parts SELECT i, 'v' || i FROM generate_series(1, 150) i;
INSERT INTO app.wide SELECT i, repeat('filler', 100) FROM generate_series(1, 1000) i;
INSERT INTO app.log SELECT i, 'l' || i FROM generate_series(1, 50) i;
REFRESH MATERIALIZED VIEW app.mv;
SELECT lo_from_bytea(4711, 'large');
GRANT SELECT ON app.orders TO bob;
