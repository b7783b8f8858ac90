# What every day brought every merchant, from the file of flights alone: merchant, day, orders placed, completed,
# cancelled, and the total of the completed ones. The years of the file are once each from first to last.
BEGIN { FS = "," }
NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
{
  day = sprintf("%s %%d-%02d-%02d", $at["carrier"], $at["month"], $at["day"])
  placed[day]++
  if ($at["dep_time"] == "NA") cancelled[day]++
  else { completed[day]++; total[day] += $at["distance"] }
}
END {
  for (day in placed)
    for (year = first; year <= last; year++)
      printf day " %d %d %d %d\n", year, placed[day], completed[day], cancelled[day], total[day]
}
