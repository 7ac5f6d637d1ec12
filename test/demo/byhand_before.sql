-- The backup that runbooks ask for before a migration.
CREATE TABLE coupons_backup AS SELECT * FROM coupons;
CREATE TABLE orders_backup AS SELECT * FROM orders;
