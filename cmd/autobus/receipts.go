// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/autobus-io/autobus"
)

// result is the outcome of one event as the bus tells it.
type result struct {
	Index     int      `json:"index"`
	ID        string   `json:"id"`
	Type      string   `json:"type"`
	Status    string   `json:"status"`
	Duplicate bool     `json:"duplicate"`
	Partition *int32   `json:"partition"`
	Offset    *int64   `json:"offset"`
	Error     *problem `json:"error"`
}

// receipts prints outcomes as they come and counts them for the exit status.
type receipts struct {
	app          *app
	typ          string // of results that do not say it, because their event was not readable
	quietSummary bool   // one event needs no sum

	header                    bool
	written, refused, unknown int64
}

func (r *receipts) total() int64 { return r.written + r.refused + r.unknown }

// take handles one result; printed says that its JSON is on stdout already. A line that holds nothing but an error is
// the end of the stream.
func (r *receipts) take(raw []byte, printed bool) error {
	var res result
	if err := json.Unmarshal(raw, &res); err != nil {
		return autobus.NewError(autobus.ReasonServerUnreachable, "a line of the answer cannot be read: %s", err)
	}
	switch res.Status {
	case "written":
		r.written++
	case "refused":
		r.refused++
	case "unknown":
		r.unknown++
	default:
		if res.Error != nil {
			return res.Error.exit()
		}
		return autobus.NewError(autobus.ReasonServerUnreachable, "a line of the answer has no status: %.200s", raw)
	}
	switch {
	case printed:
		return nil
	case r.app.output != "table":
		return r.app.emit(raw)
	}
	return r.row(&res)
}

// row prints at once: a table that is drawn at the end would hide a stream's progress.
func (r *receipts) row(res *result) error {
	if !r.header {
		r.header = true
		fmt.Fprintf(r.app.out, "%-9s %-36s %9s %10s  %s\n", "STATUS", "TYPE", "PARTITION", "OFFSET", "ID")
	}
	partition, offset := "-", "-"
	if res.Partition != nil {
		partition = fmt.Sprint(*res.Partition)
	}
	if res.Offset != nil {
		offset = fmt.Sprint(*res.Offset)
	}
	typ, tail := cmp.Or(res.Type, r.typ, "-"), cmp.Or(res.ID, "-")
	status := r.app.paint(r.app.out, statusColor(res.Status), fmt.Sprintf("%-9s", res.Status))
	if res.Duplicate {
		tail += "  (duplicate: written before)"
	}
	if _, err := fmt.Fprintf(r.app.out, "%s %-36s %9s %10s  %s\n", status, typ, partition, offset, tail); err != nil {
		return err
	}
	if res.Error != nil {
		e := res.Error.err()
		e.Detail = fmt.Sprintf("event %d: %s", res.Index, e.Detail)
		r.app.report(e, res.Error.RequestID)
	}
	return nil
}

func statusColor(status string) string {
	switch status {
	case "written":
		return green
	case "refused":
		return red
	default:
		return yellow
	}
}

func (r *receipts) summary() {
	if !r.quietSummary && r.total() > 0 {
		r.app.note("%d written, %d refused, %d unknown", r.written, r.refused, r.unknown)
	}
}

// end gives the exit status: refused weighs more than unknown, since sending again will not mend it.
func (r *receipts) end() error {
	r.summary()
	switch {
	case r.refused > 0:
		return &exitError{code: exitFailed}
	case r.unknown > 0:
		return &exitError{code: exitUnreachable}
	default:
		return nil
	}
}
