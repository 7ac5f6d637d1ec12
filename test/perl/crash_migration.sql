-- Copyright (c) 2026, the safemig authors

-- One transaction that gives safemig something of everything to keep.

BEGIN;
SET LOCAL safemig.label = 'all';
UPDATE app.customers SET points = points + 100 WHERE id % 2 = 0;
DELETE FROM app.items WHERE id > 80;
INSERT INTO app.customers VALUES (31, 'new'), (32, 'newer');
SELECT lo_put(4711, 0, 'LARGE');
ALTER TABLE app.orders ADD COLUMN extra int DEFAULT 7;
UPDATE app.orders SET extra = id WHERE id < 10;
ALTER TABLE app.orders DROP COLUMN note CASCADE, ALTER COLUMN total TYPE int;
ALTER TABLE app.wide DROP COLUMN filler;
DROP TABLE app.items;
DROP TABLE app.parts;
DROP MATERIALIZED VIEW app.mv;
DROP TABLE app.tagged;
DROP EXTENSION citext;
ALTER TABLE app.customers DROP COLUMN m;
DROP TYPE app.mood;
DROP SEQUENCE app.loose;
DROP FUNCTION app.double;
TRUNCATE app.log;
CREATE TABLE app.fresh (id int PRIMARY KEY, c app.code);
INSERT INTO app.fresh SELECT i, 'f' || i FROM generate_series(1, 20) i;
CREATE INDEX ON app.fresh (c);
ALTER TABLE app.orders RENAME TO sales;
COMMIT;
