-- What happened before there was an outbox, as events. It is run after the service writes its own: an order that both
-- tell of has the same version in both, so it does not matter that some come twice, or late.
INSERT INTO autobus_outbox (type, key, time, data)
  SELECT 'orders.order.' || status || '.v1', id, at,
    CASE status WHEN 'placed'
      THEN json_build_object('order_id', id, 'version', version, 'merchant', merchant, 'day', day, 'total', total,
        'placed_at', placed_at)
      ELSE json_build_object('order_id', id, 'version', version, 'at', at)
    END
  FROM orders JOIN order_changes ON order_id = id ORDER BY id, version;
