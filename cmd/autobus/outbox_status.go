// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/internal/relay"
)

// outboxStatus is the JSON form of an outbox's status.
type outboxStatus struct {
	Pending int64         `json:"pending"` // counted up to a million
	Lag     string        `json:"lag"`
	Held    int64         `json:"held"`
	Refused int64         `json:"refused"`
	Worker  *outboxWorker `json:"worker,omitempty"`
	Failed  []outboxGroup `json:"failed"`
}

type outboxWorker struct {
	PID     int32      `json:"pid"`
	Address string     `json:"address,omitempty"`
	Since   *time.Time `json:"since,omitempty"`
}

type outboxGroup struct {
	Type    string `json:"type"`
	Reason  string `json:"reason"`
	Refused bool   `json:"refused"`
	Rows    int64  `json:"rows"`
}

func (a *app) newOutboxStatusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what waits in the table, what was refused, and whether a relay is at work",
		Long: "Show what waits in the table, what was refused, and whether a relay is at work. It asks the database,\n" +
			"not the relay.\n\n" + exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example: "  autobus outbox status --dsn postgres://relay@localhost/shop\n" +
			"  autobus outbox status --config outbox.yaml -o json | jq .pending",
		Args: cobra.NoArgs,
	}
	o := a.outboxFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, table, done, err := o.open(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		st, err := table.Status(ctx)
		if err != nil {
			return err
		}
		if a.output != "table" {
			return a.emitValue(statusOf(&st))
		}
		a.printOutbox(&st)
		return nil
	}
	return cmd
}

func statusOf(st *relay.Status) outboxStatus {
	out := outboxStatus{Pending: st.Pending, Lag: st.Lag.Round(time.Millisecond).String(), Held: st.Held,
		Refused: st.Refused, Failed: []outboxGroup{}}
	if w := st.Worker; w != nil {
		out.Worker = &outboxWorker{PID: w.PID, Address: w.Address, Since: w.Since}
	}
	for _, g := range st.Groups {
		out.Failed = append(out.Failed, outboxGroup{g.Type, string(g.Reason), g.Refused, g.Rows})
	}
	return out
}

func (a *app) printOutbox(st *relay.Status) {
	worker := "none is at work; start one: autobus outbox run"
	if w := st.Worker; w != nil {
		worker = fmt.Sprintf("session %d of the database", w.PID)
		if w.Address != "" {
			worker += " from " + w.Address
		}
		if w.Since != nil {
			worker += ", since " + w.Since.Format(time.RFC3339)
		}
	}
	pending := fmt.Sprint(st.Pending)
	if st.Held > 0 {
		pending += fmt.Sprintf(", %d of them held behind a refused row of their key", st.Held)
	}
	a.table([]string{"field", "value"}, [][]string{
		{"relay", worker}, {"pending", pending}, {"lag", st.Lag.Round(time.Millisecond).String()},
		{"refused", fmt.Sprint(st.Refused)},
	})
	if len(st.Groups) == 0 {
		return
	}
	var rows [][]string
	for _, g := range st.Groups {
		next := "tried again by itself"
		if g.Refused {
			next = "set aside: autobus outbox refused"
		}
		rows = append(rows, []string{fmt.Sprint(g.Rows), g.Type, string(g.Reason), next})
	}
	fmt.Fprintln(a.out)
	a.table([]string{"rows", "type", "reason", "next"}, rows)
}
