-- What ALTER COLUMN id TYPE bigint would be elsewhere.
CREATE TABLE wide (
	id         INTEGER PRIMARY KEY,
	order_id   TEXT NOT NULL UNIQUE,
	country    TEXT NOT NULL,
	amount     TEXT NOT NULL,
	status     TEXT NOT NULL,
	payment_id TEXT,
	reason     TEXT
);
INSERT INTO wide SELECT id, order_id, country, amount, status, payment_id, reason FROM refunds;
DROP TABLE refunds;
ALTER TABLE wide RENAME TO refunds;
