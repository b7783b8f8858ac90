// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bench"
)

// benchReport is a bench for programs: -o json.
type benchReport struct {
	Autobus string           `json:"autobus"`
	Go      string           `json:"go"`
	CPUs    int              `json:"cpus"`
	Began   time.Time        `json:"began"`
	Brokers []string         `json:"brokers,omitempty"` // absent = the embedded one
	WarmUp  autobus.Duration `json:"warm_up"`
	Round   autobus.Duration `json:"round"`
	Rows    []*bench.Row     `json:"rows"`
}

// told shows a round while the next one runs.
func (b *benchFlags) told(n int, r bench.Round) {
	line := fmt.Sprintf("round %d: direct %s events/s", n, rateText(r.Direct.PerSecond))
	if b.mode != bench.Direct {
		line += fmt.Sprintf(", %s %s events/s", b.mode, rateText(r.Bus.PerSecond))
	}
	b.app.note("%s", line)
}

// printRow prints one case as soon as it is measured; under json all come at the end, as one document.
func (b *benchFlags) printRow(row *bench.Row) error {
	switch b.app.output {
	case "json":
		return nil
	case "ndjson":
		return b.app.emitValue(row)
	}
	if _, err := fmt.Fprintln(b.app.out, caseLine(row.Case)); err != nil {
		return err
	}
	header := []string{"round", "side", "events/s", "p50 ms", "p99 ms", "client", "gateway", "broker", "CPU s/M"}
	if row.OneProcess {
		header[7] = "gateway+broker"
	}
	var rows [][]string
	for i, r := range row.Rounds {
		rows = append(rows, append([]string{strconv.Itoa(i + 1), bench.Direct}, resultCells(r.Direct)...))
		if b.mode != bench.Direct {
			rows = append(rows, append([]string{strconv.Itoa(i + 1), b.mode}, resultCells(r.Bus)...))
		}
	}
	rows = append(rows, append([]string{"all", bench.Direct}, summaryCells(row.Direct)...))
	if b.mode != bench.Direct {
		rows = append(rows, append([]string{"all", b.mode}, summaryCells(row.Bus)...))
	}
	b.app.table(header, rows)
	_, err := fmt.Fprintln(b.app.out, ratioLine(row))
	return err
}

func (b *benchFlags) printReport(r *benchReport) error {
	switch {
	case b.app.output == "json":
		return b.app.emitValue(r)
	case b.app.output != "table" || len(r.Rows) < 2 || b.mode == bench.Direct:
		return nil
	}
	var rows [][]string
	for _, row := range r.Rows {
		rows = append(rows, []string{strconv.Itoa(row.Size), strconv.Itoa(row.Batch), strconv.Itoa(row.Connections),
			strconv.Itoa(row.Partitions), spreadOf(&row.Direct.PerSecond, rateText), spreadOf(&row.Bus.PerSecond, rateText),
			spreadOf(&row.Ratio.Slower, two), spreadOf(row.Ratio.CPU, two), spreadOf(&row.Ratio.AddedP99, two)})
	}
	b.app.table([]string{"size", "batch", "connections", "partitions", "direct events/s", "events/s", "slower",
		"CPU ratio", "added p99 ms"}, rows)
	return nil
}

func resultCells(r bench.Result) []string {
	known := func(v *float64) string {
		if v == nil {
			return "-"
		}
		return two(*v)
	}
	return []string{rateText(r.PerSecond), measuredTime(r.P50), measuredTime(r.P99), two(r.CPU.Client),
		known(r.CPU.Gateway), known(r.CPU.Broker), known(r.CPU.Total)}
}

func summaryCells(s bench.Summary) []string {
	return []string{spreadOf(&s.PerSecond, rateText), spreadOf(&s.P50, measuredTime), spreadOf(&s.P99, measuredTime),
		spreadOf(&s.Client, two), spreadOf(s.Gateway, two), spreadOf(s.Broker, two), spreadOf(s.Total, two)}
}

func ratioLine(row *bench.Row) string {
	if row.Mode == bench.Direct {
		return fmt.Sprintf("%d events written, all in the topic.", row.Written.InTopics)
	}
	s := "min/median/max against direct: "
	if row.Rate == 0 {
		s += spreadOf(&row.Ratio.Slower, two) + " x slower, "
	}
	s += spreadOf(row.Ratio.CPU, two) + " x the CPU"
	if row.Mode != bench.Consume {
		s += fmt.Sprintf(", p50 %s ms and p99 %s ms more", spreadOf(&row.Ratio.AddedP50, two),
			spreadOf(&row.Ratio.AddedP99, two))
	}
	return s
}

func spreadOf(s *bench.Spread, form func(float64) string) string {
	if s == nil || form(s.Max) == "-" {
		return "-"
	}
	return form(s.Min) + "/" + form(s.Median) + "/" + form(s.Max)
}

// measuredTime leaves out what takes no time because nothing is called: direct's part of consume.
func measuredTime(v float64) string {
	if v == 0 {
		return "-"
	}
	return two(v)
}

func two(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }

// rateText writes a throughput: what is beyond three digits is noise.
func rateText(v float64) string {
	switch {
	case v >= 1e6:
		return strconv.FormatFloat(v/1e6, 'f', 2, 64) + "M"
	case v >= 1e4:
		return strconv.FormatFloat(v/1e3, 'f', 0, 64) + "k"
	case v >= 1e3:
		return strconv.FormatFloat(v/1e3, 'f', 1, 64) + "k"
	default:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
}
