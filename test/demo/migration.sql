-- The migration that does harm: one statement a line, each its own transaction.
DROP VIEW revenue;
DROP TABLE coupons CASCADE;
ALTER TABLE orders DROP COLUMN note;
ALTER TABLE orders ALTER COLUMN amount TYPE integer;
ALTER TABLE customers RENAME COLUMN phone TO contact;
ALTER TABLE products RENAME TO articles;
