-- Years of orders that the service took before anybody thought of reports: the flights of the file, once for each year
-- from :first to :last. As load does, a flight is an order of its carrier, a mile costs a dollar, and one without
-- dep_time was cancelled. psql reads it with the file as its standard input.
CREATE TEMP TABLE flights (
  n integer GENERATED ALWAYS AS IDENTITY, year int, month int, day int, dep_time int, sched_dep_time int, dep_delay int,
  arr_time int, sched_arr_time int, arr_delay int, carrier text, flight int, tailnum text, origin text, dest text,
  air_time int, distance int, hour int, minute int, time_hour timestamptz
);
\copy flights (year, month, day, dep_time, sched_dep_time, dep_delay, arr_time, sched_arr_time, arr_delay, carrier, flight, tailnum, origin, dest, air_time, distance, hour, minute, time_hour) FROM PSTDIN WITH (FORMAT csv, HEADER, NULL 'NA')

INSERT INTO orders (id, merchant, day, total, placed_at)
  SELECT y || '-' || lpad(n::text, 4, '0'), carrier, make_date(y, month, day), distance,
    time_hour + (y - year) * interval '1 year'
  FROM flights, generate_series(:first, :last) y;

INSERT INTO order_changes (order_id, version, status, at)
  SELECT id, 1, 'placed', placed_at FROM orders
  UNION ALL
  SELECT y || '-' || lpad(n::text, 4, '0'), 2, CASE WHEN dep_time IS NULL THEN 'cancelled' ELSE 'completed' END,
    time_hour + (y - year) * interval '1 year' + interval '1 hour'
  FROM flights, generate_series(:first, :last) y;

ANALYZE;
