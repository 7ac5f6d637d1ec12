-- A database "shop" with migrations up to 42, which does what the documents
-- take back, and what their queries ask for.
\c postgres
DROP DATABASE shop WITH (FORCE);
CREATE DATABASE shop;
\c shop
SET client_min_messages = warning;
CREATE EXTENSION safemig;
SELECT setval('safemig.migration_id', 38) AS id \gset
SET safemig.label = '20240110_orders';
CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text, total numeric(12,2));
SET safemig.label = 'more';
CREATE TABLE customers (id int PRIMARY KEY, name text);
SET safemig.label = '0041_customers';
CREATE INDEX ON customers (name);
SET safemig.label = '';
INSERT INTO orders (note, total) SELECT 'order ' || i, i / 3.0 FROM generate_series(1, 1000) AS i;
SET safemig.label = '20240115_add_users';
ALTER TABLE orders DROP COLUMN note;
CREATE TABLE users (id int PRIMARY KEY);
SET safemig.label = '';
CREATE VIEW app_health AS SELECT true AS ok;
CREATE TABLE request_log (at timestamptz, status int, ms float8);
RESET client_min_messages;
