// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/internal/bus"
)

// replayFlags is one replay command as it was typed.
type replayFlags struct {
	mover
	from, to, key, cancel string
	keyed                 bool
}

func (a *app) newReplayCommand() *cobra.Command {
	r := &replayFlags{mover: mover{operator: operator{app: a}}}
	cmd := &cobra.Command{
		Use:   "replay NAME --from TIME --to TIME",
		Short: "Give a subscription a slice of its past once more",
		Long: "Give a subscription once more what was published from one time until another, beside what it does: where\n" +
			"it stands does not change, and no other subscription gets anything. The order of each key holds. It goes on\n" +
			"by itself, over restarts too; autobus subscription describe NAME shows how far it is.\n\n" +
			"Shows how much it is and asks first. Who did it, and why, is kept for ever.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable, exitConfirm),
		Example: "  autobus replay shipping --from 2026-01-31T14:00:00Z --to 2026-01-31T15:00:00Z\n" +
			"  autobus replay shipping --from -2h --to -1h --key order-42 --yes --reason 'INC-7'\n" +
			"  autobus replay shipping --cancel 311",
		Args:              named("subscription", "autobus replay shipping --from -2h --to -1h", cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeSubscription,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.keyed = cmd.Flags().Changed("key")
			return r.run(cmd, args[0])
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.from, "from", "", "the first moment: -2h, or a time")
	f.StringVar(&r.to, "to", "", "the moment at which it ends: -1h, or a time")
	f.StringVar(&r.key, "key", "", "only events of this key")
	f.StringVar(&r.cancel, "cancel", "", "end the replay of this id where it is")
	r.flags(cmd)
	return cmd
}

func (r *replayFlags) run(cmd *cobra.Command, name string) error {
	if r.cancel != "" {
		if r.from+r.to != "" || r.keyed {
			return usage("--cancel stands alone").WithHint("Leave --from, --to and --key away.")
		}
		return r.do(cmd.Context(), name, "replay", map[string]any{"cancel": r.cancel}, "Cancel replay "+r.cancel,
			func([]byte) error { return nil }, func([]byte) { r.app.note("Cancelled.") })
	}
	from, err := moment("--from", r.from)
	if err != nil {
		return err
	}
	to, err := moment("--to", r.to)
	if err != nil {
		return err
	}
	body := map[string]any{"from": from, "to": to}
	if r.keyed {
		body["key"] = r.key
	}
	return r.do(cmd.Context(), name, "replay", body, "Replay it", r.showReplay, func(doc []byte) {
		var got bus.Replayed
		if err := json.Unmarshal(doc, &got); err == nil {
			r.app.note("Replay %s goes on; autobus subscription describe %s shows how far it is.", got.ID, name)
		}
	})
}

// moment reads a time that is past.
func moment(flag, s string) (time.Time, error) {
	start, err := resetPlace(flag, s)
	if err == nil && start.Time.IsZero() {
		err = usage("%s %q is no time", flag, s).WithHint("Give an age such as -1h, or a time such as 2026-01-31T15:04:05Z.")
	}
	return start.Time, err
}

func (r *replayFlags) showReplay(doc []byte) error {
	var got bus.Replayed
	if err := json.Unmarshal(doc, &got); err != nil {
		return unreadable("the preview", err)
	}
	var rows [][]string
	for _, p := range got.Partitions {
		rows = append(rows, []string{p.Type, fmt.Sprint(p.Partition), fmt.Sprint(p.Now), fmt.Sprint(p.New), p.Slice,
			signed("+", p.Replayed)})
	}
	rows = append(rows, []string{"total", "", "", "", "", signed("+", got.Replayed)})
	r.app.table([]string{"type", "partition", "now", "new", "offsets", "replayed"}, rows)
	if r.keyed {
		r.app.note("Of these, the events of key %q.", r.key)
	}
	return nil
}
