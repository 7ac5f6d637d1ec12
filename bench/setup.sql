--
-- What is measured, and with what: called by bench/run with :scale.
--
-- Every sample is one statement in a transaction of its own, timed alone and
-- then rolled back, so that each round finds what the first one found.  The
-- two sides of a ratio are measured in turn, and medians are compared: a busy
-- machine makes both sides slower.
--
\set QUIET on
SET client_min_messages = warning;
CREATE EXTENSION safemig;
ALTER DATABASE postgres SET safemig.enabled = off;
ALTER DATABASE postgres SET safemig.notices = off;
ALTER DATABASE postgres SET client_min_messages = warning;
CREATE SCHEMA bench;

-- n is the size, where that is what is measured
CREATE TABLE bench.sample (what text NOT NULL, side text NOT NULL, ms float8 NOT NULL, n bigint NOT NULL DEFAULT 0);
CREATE VIEW bench.median AS
SELECT what, side, n, percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) AS ms FROM bench.sample GROUP BY what, side, n;

CREATE PROCEDURE bench.record(what text, side text, since timestamptz)
LANGUAGE sql AS
$$ INSERT INTO bench.sample
	SELECT what, side, extract(epoch FROM clock_timestamp() - since) * 1000 $$;

-- prepare, not timed; then statement, timed; then as if it had not been.
CREATE PROCEDURE bench.once(what text, side text, captured bool, prepare text[], statement text, n bigint DEFAULT 0)
LANGUAGE plpgsql AS
$$
DECLARE
	one text;
	since timestamptz;
	ms float8;
BEGIN
	PERFORM set_config('safemig.enabled', captured::text, false);
	FOREACH one IN ARRAY prepare LOOP
		EXECUTE one;
	END LOOP;
	since := clock_timestamp();
	EXECUTE statement;
	ms := extract(epoch FROM clock_timestamp() - since) * 1000;
	ROLLBACK;
	INSERT INTO bench.sample VALUES (what, side, ms, n);
	COMMIT;
END
$$;

-- What audit triggers do: the old row, or the new key, written away.
CREATE TABLE bench.audited (at timestamptz, relation regclass, before jsonb);
CREATE FUNCTION bench.audit() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
	INSERT INTO bench.audited VALUES (now(), tg_relid,
		CASE tg_op WHEN 'INSERT' THEN jsonb_build_object('id', new.id) ELSE to_jsonb(old) END);
	RETURN NULL;
END
$$;

-- A statement that writes rows: alone; captured and taken back; with a copy
-- made by hand before it, and that put back; under an audit trigger.
CREATE PROCEDURE bench.written(what text, statement text, backup text, restore text, event text)
LANGUAGE plpgsql AS
$$
DECLARE
	ended text := statement || '; COMMENT ON SCHEMA bench IS ''written''';
BEGIN
	CALL bench.once(what, 'bare', false, '{}', ended);
	CALL bench.once(what, 'captured', true, '{}', ended);
	CALL bench.once(what, 'rollback', true, ARRAY[ended], 'SELECT safemig_rollback(safemig_last())');
	CALL bench.once(what, 'trigger', false,
		ARRAY[format('CREATE TRIGGER audited AFTER %s FOR EACH ROW EXECUTE FUNCTION bench.audit()', event)], ended);
	CALL bench.once(what, 'by hand', false, '{}', backup || ended);
	CALL bench.once(what, 'back by hand', false, ARRAY[backup || ended], restore);
END
$$;

-- Bytes of address space that this server process has got beyond those that
-- it had: shared memory is in both, whatever was touched of it.
CREATE FUNCTION bench.memory(field text) RETURNS float8 LANGUAGE sql VOLATILE AS
$$ SELECT 1024 * substring(pg_read_file('/proc/self/status', 0, 10000) FROM field || ':\s+(\d+)')::float8 $$;

-- Milliseconds that this server process has been on a processor.
CREATE FUNCTION bench.spent() RETURNS float8 LANGUAGE sql VOLATILE AS
$$ SELECT split_part(pg_read_file('/proc/self/schedstat', 0, 1000), ' ', 1)::float8 / 1e6 $$;

-- n statements, each committed, by processor time; %L in the statement is its number.
CREATE PROCEDURE bench.series(what text, side text, captured bool, n int, statement text)
LANGUAGE plpgsql AS
$$
DECLARE
	since float8 := bench.spent();
BEGIN
	PERFORM set_config('safemig.enabled', captured::text, false);
	FOR i IN 1..n LOOP
		EXECUTE format(statement, i);
		COMMIT;
	END LOOP;
	INSERT INTO bench.sample VALUES (what, side, (bench.spent() - since) / n);
	PERFORM set_config('safemig.enabled', 'off', false);
	COMMIT;
END
$$;

-- A migration as frameworks write them; each statement committed, or all at once.
CREATE PROCEDURE bench.chain(what text, side text, captured bool, each bool)
LANGUAGE plpgsql AS
$$
DECLARE
	since timestamptz;
	one text;
BEGIN
	PERFORM set_config('safemig.enabled', 'off', false);
	CREATE SCHEMA m;
	SET LOCAL search_path = m;
	CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL, mail text);
	CREATE TABLE orders (id bigint PRIMARY KEY, customer bigint, total numeric(10,2), placed date, note varchar(20));
	INSERT INTO customers SELECT i, 'c' || i FROM generate_series(1, 5000) i;
	INSERT INTO orders SELECT i, i % 5000 + 1, i, current_date, i FROM generate_series(1, 20000) i;
	COMMIT;
	PERFORM set_config('safemig.enabled', captured::text, false);
	since := clock_timestamp();
	FOREACH one IN ARRAY ARRAY[
		'CREATE TABLE m.addresses (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer bigint NOT NULL, city text)',
		'ALTER TABLE m.addresses ADD CONSTRAINT addresses_customer FOREIGN KEY (customer) REFERENCES m.customers',
		'CREATE INDEX addresses_city ON m.addresses (city)',
		'ALTER TABLE m.customers ADD COLUMN active bool NOT NULL DEFAULT true',
		'ALTER TABLE m.customers ADD COLUMN phone text',
		'ALTER TABLE m.customers RENAME COLUMN mail TO email',
		'CREATE INDEX customers_email ON m.customers (email)',
		'ALTER TABLE m.orders ADD CONSTRAINT orders_customer FOREIGN KEY (customer) REFERENCES m.customers',
		'CREATE INDEX orders_customer ON m.orders (customer)',
		'ALTER TABLE m.orders ALTER COLUMN note TYPE varchar(200)',
		'ALTER TABLE m.orders ADD CONSTRAINT orders_total CHECK (total >= 0)',
		'ALTER TABLE m.orders ALTER COLUMN total SET NOT NULL',
		'ALTER TABLE m.orders ALTER COLUMN placed SET DEFAULT current_date',
		'CREATE VIEW m.open_orders AS SELECT o.id, c.name FROM m.orders o JOIN m.customers c ON c.id = o.customer',
		'COMMENT ON TABLE m.orders IS ''what was bought''',
		'CREATE FUNCTION m.total(bigint) RETURNS numeric LANGUAGE sql AS ''SELECT sum(total) FROM m.orders WHERE customer = $1''',
		'ALTER TABLE m.customers DROP COLUMN phone']
	LOOP
		EXECUTE one;
		IF each THEN
			COMMIT;
		END IF;
	END LOOP;
	COMMIT;
	CALL bench.record(what, side, since);
	PERFORM set_config('safemig.enabled', 'off', false);
	DROP SCHEMA m CASCADE;
	COMMIT;
END
$$;

-- ten columns, as most tables have
CREATE TABLE bench.ten (id bigint PRIMARY KEY, c2 int NOT NULL DEFAULT 0, c3 text,
	c4 timestamptz DEFAULT now(), c5 numeric(10,2), c6 varchar(40), c7 bool NOT NULL,
	c8 date, c9 jsonb, c10 text);
CREATE TABLE bench.dependants (LIKE bench.ten INCLUDING ALL);
DO $$
BEGIN
	FOR i IN 1..50 LOOP
		EXECUTE format('CREATE INDEX i%s ON bench.dependants (c2, c5)', i);
		EXECUTE format('ALTER TABLE bench.dependants ADD CONSTRAINT k%s CHECK (c2 >= -%1$s)', i);
	END LOOP;
END
$$;

-- rows
CREATE TABLE bench.small (id bigint PRIMARY KEY, v int, t text);
INSERT INTO bench.small SELECT i, i, md5(i::text) FROM generate_series(1, 10000) i;
CREATE TABLE bench.big (id bigint PRIMARY KEY, v int, t text);
INSERT INTO bench.big SELECT i, i, md5(i::text) FROM generate_series(1, :scale * 1000000) i;
CREATE TABLE bench.filled (id bigint PRIMARY KEY, v int, t text);
INSERT INTO bench.filled SELECT -i, i, md5(i::text) FROM generate_series(1, 10000) i;
COPY bench.big TO :'file';
CREATE TABLE bench.rows (id bigint PRIMARY KEY, v int NOT NULL, t text, w text, n numeric, d date,
	e text, f int, g timestamptz, h text);
INSERT INTO bench.rows SELECT i, i, md5(i::text), repeat('w', 60), i, current_date,
	md5((-i)::text), i, now(), 'h' FROM generate_series(1, :scale * 200000) i;
CREATE TABLE bench.narrow (id bigint PRIMARY KEY, v int NOT NULL);
INSERT INTO bench.narrow SELECT i, i FROM generate_series(1, :scale * 200000) i;

-- a schema of many tables
CREATE PROCEDURE bench.make_schema(name text, tables bigint) LANGUAGE plpgsql AS
$$
BEGIN
	EXECUTE format('CREATE SCHEMA %I', name);
	FOR i IN 1..tables LOOP
		EXECUTE format('CREATE TABLE %I.t%s (id bigint PRIMARY KEY, v int NOT NULL DEFAULT 0, t text)', name, i);
		IF i % 100 = 0 THEN
			COMMIT;
		END IF;
	END LOOP;
END
$$;
SELECT format('CALL bench.make_schema(''many'', %s)', current_setting('bench.tables')) \gexec
VACUUM ANALYZE;
CHECKPOINT;
