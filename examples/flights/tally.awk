# SPDX-License-Identifier: Apache-2.0
# The table of flights, cancellations and minutes of departure delay per carrier, from the CSV file itself. It shares
# nothing with the programs of the other tables, so that a mistake of theirs cannot be here too.
#
#   LC_ALL=C awk -f tally.awk flights-2000.csv

BEGIN { FS = ","; line = "%-8s%10s%11s%11s\n" }

{ sub(/\r$/, "") }

# A quoted field could hold a comma. The data set has none; rather stop than count wrong.
/"/ { printf "line %d has a quote, which this script cannot read\n", NR >"/dev/stderr"; exit failed = 1 }

NR == 1 {
  for (i = 1; i <= NF; i++) column[$i] = i
  width = NF
  if (!("carrier" in column && "dep_time" in column && "dep_delay" in column)) {
    print "line 1 does not name carrier, dep_time and dep_delay" >"/dev/stderr"
    exit failed = 1
  }
  next
}

NF != width { printf "line %d has %d fields, not %d\n", NR, NF, width >"/dev/stderr"; exit failed = 1 }

{
  carrier = $column["carrier"]
  flights[carrier]++
  if ($column["dep_time"] == "NA") cancelled[carrier]++
  else delay[carrier] += $column["dep_delay"]
}

END {
  if (failed) exit 1
  printf line, "carrier", "flights", "cancelled", "dep_delay"
  sorted = "sort"
  for (c in flights) {
    printf line, c, flights[c], cancelled[c] + 0, delay[c] + 0 | sorted
    all += flights[c]; none += cancelled[c]; minutes += delay[c]
  }
  close(sorted)
  printf line, "all", all + 0, none + 0, minutes + 0
}
