-- The id of a refund is the number of its order. It was an INT once.
CREATE TABLE IF NOT EXISTS refunds (
	id         INTEGER PRIMARY KEY CHECK (id <= 2147483647),
	order_id   TEXT NOT NULL UNIQUE,
	country    TEXT NOT NULL,
	amount     TEXT NOT NULL,
	status     TEXT NOT NULL, -- created, then refunded or rejected
	payment_id TEXT,
	reason     TEXT
);
