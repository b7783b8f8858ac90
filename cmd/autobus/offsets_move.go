// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/edge"
)

// moves is what the help of all commands that move a subscription says.
const moves = "Shows what it means for each partition and asks first. Workers stay connected: what they have of a\n" +
	"partition that moves is taken from them, and within a second they go on at the new place. What is parked\n" +
	"before it is skipped. Other subscriptions do not notice. Who did it, and why, is kept for ever.\n\n"

// mover is a command that changes where a subscription stands.
type mover struct {
	operator
	dry bool
}

func (m *mover) flags(cmd *cobra.Command) {
	m.yesFlag(cmd)
	m.reasonFlag(cmd)
	cmd.Flags().BoolVar(&m.dry, "dry-run", false, "only show what it would do")
}

// resetPlace reads where to.
func resetPlace(flag, s string) (autobus.Start, error) {
	if s == "" {
		return autobus.Start{}, usage("no %s", flag).WithHint("Say where: %s earliest, latest, -1h or a time.", flag)
	}
	start, err := edge.ParseFrom(s, time.Now())
	if err != nil {
		return start, usage("%s %q is no place", flag, s).WithHint("%s", err.Hint)
	}
	return start, nil
}

// do previews a verb by show, asks, and does it. done says what was done.
func (m *mover) do(ctx context.Context, name, verb string, body map[string]any, question string,
	show func(doc []byte) error, done func(doc []byte)) error {
	path, err := subscriptionPath(name)
	if err != nil {
		return err
	}
	c, err := m.app.api()
	if err != nil {
		return err
	}
	defer c.close()
	send := func(dry bool) ([]byte, error) {
		body["dry_run"], body["reason"] = dry, m.reason
		doc, _, err := c.sendJSON(ctx, http.MethodPost, path+"/"+verb, body, m.app.timeout)
		return doc, err
	}
	doc, err := send(true)
	if err != nil {
		return err
	}
	table := m.app.output == "table"
	switch {
	case table:
		err = show(doc)
	case m.dry || !m.yes:
		err = m.app.emit(doc)
	}
	if err != nil || m.dry {
		return err
	}
	if err := m.confirm(question); err != nil {
		return err
	}
	if doc, err = send(false); err != nil {
		return err
	}
	if !table {
		return m.app.emit(doc)
	}
	done(doc)
	return nil
}

func (m *mover) seek(ctx context.Context, name string, to autobus.Start) error {
	return m.do(ctx, name, "seek", map[string]any{"to": to}, "Move "+name, m.showMove,
		func([]byte) { m.app.note("Moved %s.", name) })
}

// showMove prints what a move means.
func (m *mover) showMove(doc []byte) error {
	var move bus.Move
	if err := json.Unmarshal(doc, &move); err != nil {
		return unreadable("the preview", err)
	}
	var rows [][]string
	for _, p := range move.Partitions {
		rows = append(rows, []string{p.Type, fmt.Sprint(p.Partition), fmt.Sprint(p.Now), fmt.Sprint(p.New),
			signed("+", p.Replayed), signed("-", p.Skipped), fmt.Sprint(p.Parked)})
	}
	rows = append(rows, []string{"total", "", "", "", signed("+", move.Replayed), signed("-", move.Skipped),
		fmt.Sprint(move.Parked)})
	m.app.table([]string{"type", "partition", "now", "new", "replayed", "skipped", "of them parked"}, rows)
	return nil
}

func signed(sign string, n int64) string {
	if n == 0 {
		return "0"
	}
	return sign + fmt.Sprint(n)
}

func (a *app) newOffsetsSkipCommand() *cobra.Command {
	return a.newEventCommand("skip", "Skip one event of a subscription, so that what waits behind it goes on",
		"Skip one event: the subscription is done with it without work, and what waits behind it goes on, within a\n"+
			"second. It may be anywhere: not yet read, waiting for its next attempt, parked, held, or with a worker, which\n"+
			"is told to stop. autobus why NAME shows the oldest event that is not done.", "Skip it", "Skipped.")
}

func (a *app) newOffsetsRetryCommand() *cobra.Command {
	return a.newEventCommand("retry", "Try an event once more that is held",
		"Try an event once more that has no attempts left and is held, as --on-exhausted hold has it. When it fails\n"+
			"again it is held again.", "Try it again", "It is tried again.")
}

func (a *app) newEventCommand(verb, short, long, question, done string) *cobra.Command {
	m := &mover{operator: operator{app: a}}
	example := "autobus offsets " + verb + " shipping orders.order.placed.v1/3/1042"
	cmd := &cobra.Command{
		Use:   verb + " NAME TYPE/PARTITION/OFFSET",
		Short: short,
		Long: long + "\n\nShows the event and asks first. Who did it, and why, is kept for ever.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable, exitConfirm),
		Example:           "  " + example + "\n  " + example + " --yes --reason 'INC-7'",
		Args:              named("subscription", example, cobra.ExactArgs(2)),
		ValidArgsFunction: a.completeSubscription,
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := eventPlace(args[1])
			if err != nil {
				return err
			}
			return m.do(cmd.Context(), args[0], verb, body, question, m.showEvent, func([]byte) { a.note("%s", done) })
		},
	}
	m.flags(cmd)
	return cmd
}

// eventPlace reads TYPE/PARTITION/OFFSET.
func eventPlace(s string) (map[string]any, error) {
	parts := strings.Split(s, "/")
	if len(parts) == 3 {
		partition, err := strconv.ParseInt(parts[1], 10, 32)
		offset, bad := strconv.ParseInt(parts[2], 10, 64)
		if parts[0] != "" && err == nil && bad == nil && partition >= 0 && offset >= 0 {
			return map[string]any{"type": parts[0], "partition": partition, "offset": offset}, nil
		}
	}
	return nil, usage("%q is no place of an event", s).
		WithHint("Write TYPE/PARTITION/OFFSET, as autobus why and tail show it.")
}

func (m *mover) showEvent(doc []byte) error {
	var o bus.Operated
	if err := json.Unmarshal(doc, &o); err != nil {
		return unreadable("the preview", err)
	}
	e := o.Event
	state := e.State
	if e.Parked {
		state += ", parked"
	}
	var rows [][]string
	for _, row := range [][2]string{{"event", fmt.Sprintf("%s/%d/%d", e.Type, e.Partition, e.Offset)}, {"id", e.ID},
		{"key", e.Key}, {"state", state}, {"last error", oneLine(e.LastError)}} {
		if row[1] != "" {
			rows = append(rows, []string{row[0], row[1]})
		}
	}
	m.app.table([]string{"field", "value"}, rows)
	return nil
}
