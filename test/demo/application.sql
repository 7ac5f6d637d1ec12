-- What the application writes afterwards, in both schemas: seven things.
INSERT INTO orders (customer_id, coupon, amount, status, placed_at) VALUES
    (17, NULL, 120, 'paid', '2024-02-01 09:00:00+00'),
    (18, 'SPRING7', 75, 'paid', '2024-02-01 09:05:00+00');
UPDATE orders SET status = 'shipped' WHERE id IN (10, 20, 30);
DELETE FROM order_items WHERE order_id = 44;
INSERT INTO customers (name, email) VALUES ('A later customer', 'later@example.com');
