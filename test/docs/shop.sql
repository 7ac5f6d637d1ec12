-- The tables that the README does harm to.
CREATE TABLE coupons (code text PRIMARY KEY, percent int NOT NULL);
CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, coupon text REFERENCES coupons, note text, amount numeric(12,2) NOT NULL);
CREATE VIEW coupon_use AS SELECT code, count(*) FROM coupons JOIN orders ON coupon = code GROUP BY code;
INSERT INTO coupons SELECT 'SPRING' || i, i FROM generate_series(1, 50) AS i;
INSERT INTO orders (coupon, note, amount)
SELECT 'SPRING' || 1 + i % 50, 'order ' || i, i * 7919 % 1000000 / 100.0 FROM generate_series(1, 1000) AS i;
