-- When its upstream is told again of an order's wish to be canceled, and how often it gave no answer to that.
ALTER TABLE orders ADD COLUMN cancel_due INTEGER;
ALTER TABLE orders ADD COLUMN cancel_tries INTEGER NOT NULL DEFAULT 0;
