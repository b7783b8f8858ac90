# Makes the events of the orders of a file of flights, a CloudEvent a line, for when there is no orders service. They
# have no time, so the bus takes them as of now: only their version tells which of an order's events is newer.
BEGIN { FS = "," }
NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
{
  id = sprintf("%d-%04d", $at["year"], NR - 1)
  when = $at["time_hour"]
  event("placed", 1, sprintf("\"merchant\":\"%s\",\"day\":\"%d-%02d-%02d\",\"total\":%d,\"placed_at\":\"%s\"",
    $at["carrier"], $at["year"], $at["month"], $at["day"], $at["distance"], when))
  event($at["dep_time"] == "NA" ? "cancelled" : "completed", 2, "\"at\":\"" when "\"")
}

function event(what, version, rest) {
  printf "{\"specversion\":\"1.0\",\"id\":\"%s-%d\",\"source\":\"/examples/order-report\"," \
    "\"type\":\"orders.order.%s.v1\",\"data\":{\"order_id\":\"%s\",\"version\":%d,%s}}\n", \
    id, version, what, id, version, rest
}
