// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"time"

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
	Hint      string   `json:"hint"`
	Error     *problem `json:"error"`

	Scheduled *autobus.Scheduled `json:"scheduled"`
}

// receipts prints outcomes as they come and counts them for the exit status.
type receipts struct {
	app    *app
	typ    string      // of results that do not say it, because their event was not readable
	input  *inputLines // where the events come from; nil when they are no lines
	single bool        // one event needs no sum

	begun                     bool
	written, refused, unknown int64
	first                     *exitError      // what the first failure says
	hinted                    map[string]bool // types whose hint was printed
}

func (r *receipts) total() int64 { return r.written + r.refused + r.unknown }

// take handles one result. A line that holds nothing but an error is the end of the stream.
func (r *receipts) take(raw []byte) error {
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
	where := fmt.Sprintf("event %d", res.Index)
	line := r.input.of(res.Index)
	if line.number > 0 {
		where = fmt.Sprintf("line %d", line.number)
	}
	res.Type = cmp.Or(res.Type, line.typ, r.typ, "-")
	if err := r.print(raw, &res); err != nil {
		return err
	}
	r.hint(&res)
	if res.Error != nil {
		failed := res.Error.exit()
		failed.err.Detail = where + ": " + failed.err.Detail
		if r.app.output == "table" {
			r.app.report(failed.err, failed.requestID)
		}
		if r.first == nil {
			r.first = failed
		}
	}
	return nil
}

// hint passes on what the bus says beside an outcome, such as that a type looks misspelt. Once is enough for a type.
func (r *receipts) hint(res *result) {
	if res.Hint == "" || r.hinted[res.Type] {
		return
	}
	if r.hinted == nil {
		r.hinted = map[string]bool{}
	}
	r.hinted[res.Type] = true
	r.app.note("%s", res.Hint)
}

// print writes an outcome at once: what is written at the end would hide a stream's progress. Under -o json all of
// them are one document.
func (r *receipts) print(raw []byte, res *result) error {
	if r.app.output == "ndjson" {
		return r.app.emit(raw)
	}
	begun := r.begun
	r.begun = true
	if r.app.output == "json" {
		var b bytes.Buffer
		b.WriteString(",\n    ")
		if !begun {
			b.Reset()
			b.WriteString(resultsBegin + "\n    ")
		}
		if err := json.Indent(&b, raw, "    ", "  "); err != nil {
			return fmt.Errorf("the answer is not JSON: %w", err)
		}
		_, err := r.app.out.Write(b.Bytes())
		return err
	}
	if !begun {
		fmt.Fprintf(r.app.out, "%-9s %-36s %9s %10s  %s\n", "STATUS", "TYPE", "PARTITION", "OFFSET", "ID")
	}
	partition, offset := "-", "-"
	if res.Partition != nil {
		partition = fmt.Sprint(*res.Partition)
	}
	if res.Offset != nil {
		offset = fmt.Sprint(*res.Offset)
	}
	tail := cmp.Or(res.ID, "-")
	if s := res.Scheduled; s != nil {
		tail += fmt.Sprintf("  (at %s, schedule %s)", s.At.Format(time.RFC3339), s.ID)
	}
	if res.Duplicate {
		tail += "  (duplicate: written before)"
	}
	status := r.app.paint(r.app.out, statusColor(res.Status), fmt.Sprintf("%-9s", res.Status))
	_, err := fmt.Fprintf(r.app.out, "%s %-36s %9s %10s  %s\n", status, printable(res.Type), partition, offset, tail)
	return err
}

const resultsBegin = "{\n  \"results\": ["

// close ends what print began. An exchange that failed before its first result has nothing to show.
func (r *receipts) close(failed bool) {
	switch {
	case r.app.output != "json":
	case r.begun:
		fmt.Fprint(r.app.out, "\n  ]\n}\n")
	case !failed:
		fmt.Fprint(r.app.out, resultsBegin+"]\n}\n")
	}
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

func (r *receipts) sum() string {
	return fmt.Sprintf("%d written, %d refused, %d unknown", r.written, r.refused, r.unknown)
}

func (r *receipts) summary() {
	if !r.single && r.total() > 0 {
		r.app.note("%s", r.sum())
	}
}

// end gives the exit status: refused weighs more than unknown, since sending again will not mend it. In the table
// every failure has been told below its row; programs get one problem with the sum and the first of them.
func (r *receipts) end() error {
	if r.refused+r.unknown == 0 {
		r.summary()
		return nil
	}
	out := &exitError{code: exitUnreachable}
	if r.refused > 0 {
		out.code = exitFailed
	}
	if r.app.output == "table" || r.first == nil {
		r.summary()
		return out
	}
	out.err, out.requestID = r.first.err, r.first.requestID
	out.err.Detail = r.sum() + "; " + out.err.Detail
	return out
}
