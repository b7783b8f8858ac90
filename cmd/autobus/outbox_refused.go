// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/internal/relay"
)

// refusedRow is the JSON form of a row that was set aside.
type refusedRow struct {
	Seq     int64     `json:"seq"`
	ID      string    `json:"id"`
	Type    string    `json:"type"`
	Key     *string   `json:"key"`
	Reason  string    `json:"reason"`
	Detail  string    `json:"detail"`
	Refused time.Time `json:"refused"`
	Held    int64     `json:"held"`
}

// pickFlags select refused rows.
type pickFlags struct {
	reason, typ string
	all         bool
}

func (f *pickFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.reason, "reason", "", "only those refused for this reason")
	cmd.Flags().StringVar(&f.typ, "type", "", "only those of this type")
}

// pick reads the numbers on the command line. Where the choice is not to be all by accident, that has to be said.
func (f *pickFlags) pick(args []string, careful bool) (p relay.Pick, err error) {
	p = relay.Pick{Reason: f.reason, Type: f.typ}
	for _, arg := range args {
		n, err := strconv.ParseInt(arg, 10, 64)
		if err != nil {
			return p, usage("%q is no number of a row", arg).
				WithHint("autobus outbox refused shows them, in the column seq.")
		}
		p.Seqs = append(p.Seqs, n)
	}
	if careful && len(args) == 0 && f.reason == "" && f.typ == "" && !f.all {
		return p, usage("no rows are named").WithHint("Give numbers of rows, --reason, --type, or --all.")
	}
	return p, nil
}

func (a *app) newOutboxRefusedCommand() *cobra.Command {
	var f pickFlags
	limit := 100
	cmd := &cobra.Command{
		Use:   "refused [SEQ...]",
		Short: "List the rows that the bus refused for good, the oldest first",
		Long: "List the rows that the bus refused for good, the oldest first: why, and how many rows of their type and\n" +
			"key wait behind each. Mend the row by SQL or what refuses it, then retry; or drop it.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example: "  autobus outbox refused --config outbox.yaml\n  autobus outbox refused --reason data_invalid -o ndjson",
	}
	o := a.outboxFlags(cmd)
	f.add(cmd)
	cmd.Flags().IntVar(&limit, "limit", limit, "how many at most; 0 = all")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := f.pick(args, false)
		if err != nil {
			return err
		}
		if p.Limit = limit; limit < 0 {
			return usage("--limit is %d", limit).WithHint("Give a number from 0 on.")
		}
		ctx, table, done, err := o.open(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		_, err = a.printRefused(ctx, table, p)
		return err
	}
	return cmd
}

// printRefused lists what is picked and gives the numbers of the rows.
func (a *app) printRefused(ctx context.Context, table *relay.Table, p relay.Pick) (seqs []int64, err error) {
	all, err := table.Refused(ctx, p)
	if err != nil {
		return nil, err
	}
	docs := []refusedRow{}
	var rows [][]string
	for _, r := range all {
		doc := refusedRow{r.Seq, r.ID, r.Type, r.Key, string(r.Reason), r.Detail, r.Refused, r.Held}
		key := ""
		if r.Key != nil {
			key = *r.Key
		}
		if a.output == "ndjson" {
			if err := a.emitValue(doc); err != nil {
				return nil, err
			}
		}
		seqs = append(seqs, r.Seq)
		docs = append(docs, doc)
		rows = append(rows, []string{fmt.Sprint(r.Seq), r.Type, key, fmt.Sprint(r.Held), string(r.Reason), oneLine(r.Detail)})
	}
	switch {
	case a.output == "json":
		err = a.emitValue(docs)
	case a.output == "table" && len(all) > 0:
		a.table([]string{"seq", "type", "key", "held", "reason", "detail"}, rows)
	case a.output == "table":
		a.note("There are no such rows.")
	}
	return seqs, err
}

func (a *app) newOutboxRetryCommand() *cobra.Command {
	return a.newOutboxChange("retry", "Let the relay try refused rows again, in their old places",
		"Retry them", (*relay.Table).Retry)
}

func (a *app) newOutboxDropCommand() *cobra.Command {
	return a.newOutboxChange("drop", "Delete refused rows: their events never reach the bus",
		"Delete them", (*relay.Table).Drop)
}

// newOutboxChange makes a command that changes refused rows, after a preview.
func (a *app) newOutboxChange(
	verb, short, question string, do func(*relay.Table, context.Context, relay.Pick) (int64, error),
) *cobra.Command {
	var f pickFlags
	op := operator{app: a}
	cmd := &cobra.Command{
		Use:   verb + " [SEQ...]",
		Short: short,
		Long: short + ". They are listed first.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable, exitConfirm),
		Example: fmt.Sprintf("  autobus outbox %[1]s 1042 --config outbox.yaml\n"+
			"  autobus outbox %[1]s --reason data_invalid --yes", verb),
	}
	o := a.outboxFlags(cmd)
	f.add(cmd)
	cmd.Flags().BoolVar(&f.all, "all", false, "all that were refused")
	op.yesFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := f.pick(args, true)
		if err != nil {
			return err
		}
		ctx, table, done, err := o.open(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		seqs, err := a.printRefused(ctx, table, p)
		if err != nil || len(seqs) == 0 {
			return err
		}
		if err := op.confirm(question); err != nil {
			return err
		}
		// Time to think is not time to work.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.timeout)
		defer cancel()
		changed, err := do(table, ctx, relay.Pick{Seqs: seqs}) // those that were listed, and none that came since
		if err == nil {
			a.note("%d %s.", changed, plural(int(changed), "row"))
		}
		return err
	}
	return cmd
}
