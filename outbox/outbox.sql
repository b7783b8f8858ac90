-- An outbox of autobus, form 1: events that wait to be relayed into the bus. The service inserts; the relay does the
-- rest. A service fills in type, key and data, and whatever else of the event it wants to say.
CREATE TABLE autobus_outbox (
  seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- rows of one type and key are relayed in this order
  id           text NOT NULL UNIQUE DEFAULT gen_random_uuid()::text, -- the event's id
  type         text NOT NULL, -- such as orders.order.placed.v1
  key          text,          -- the partition key: what has to stay in order. NULL = none
  data         json,          -- the event's data, byte for byte as it was inserted
  data_bytes   bytea,         -- the data in place of that, where content_type says that it is not JSON
  content_type text,          -- NULL = application/json
  source       text,          -- NULL = the bus fills in who the relay is
  subject      text,
  time         timestamptz,   -- when it happened; NULL = created_at
  attributes   json,          -- an object of further attributes, such as {"correlationid": "c-1"}
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- What follows is the relay's.
  sent_at      timestamptz,   -- when the bus had written it
  refused_at   timestamptz,   -- when the bus refused it for good
  reason       text,          -- why it was refused, or why it waits
  detail       text,
  CHECK (id <> ''),
  CHECK (data IS NULL OR data_bytes IS NULL),
  CHECK (json_typeof(attributes) = 'object')
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

CREATE INDEX autobus_outbox_pending ON autobus_outbox (seq) WHERE sent_at IS NULL AND refused_at IS NULL;
CREATE INDEX autobus_outbox_refused ON autobus_outbox (type, key, seq) WHERE refused_at IS NOT NULL;

-- Wakes the relay. It holds a lock while it sleeps; while it is awake it looks by itself, and commits are spared the
-- notification, for which they would wait for each other. It does not fall asleep while a transaction is open that was
-- spared. Without the trigger rows wait for the relay's next look, at most a second later.
CREATE FUNCTION autobus_outbox_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT pg_try_advisory_xact_lock_shared(8031453547755208704 + TG_RELID::bigint) THEN
    PERFORM pg_notify('autobus_outbox', '');
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER autobus_outbox_notify AFTER INSERT ON autobus_outbox
  FOR EACH STATEMENT EXECUTE FUNCTION autobus_outbox_notify();
