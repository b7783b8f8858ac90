-- The orders service's own tables. Their indexes serve its own calls; the report has none here, because each one would
-- make every order slower.
CREATE TABLE orders (
  id        text PRIMARY KEY,
  merchant  text NOT NULL,
  day       date NOT NULL, -- at the merchant's
  total     integer NOT NULL,
  placed_at timestamptz NOT NULL
);
CREATE TABLE order_changes (
  order_id text NOT NULL REFERENCES orders,
  version  integer NOT NULL, -- 1 = placed; the newest one tells what the order is
  status   text NOT NULL,
  at       timestamptz NOT NULL,
  PRIMARY KEY (order_id, version)
);
