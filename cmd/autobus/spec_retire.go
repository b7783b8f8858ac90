// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
)

// specRetire is the command that ends a type.
type specRetire struct {
	*app
	dir     string
	offline bool
}

// typeReader is somebody who still reads a type.
type typeReader struct {
	Subscription string `json:"subscription"`
	Owner        string `json:"owner"`
	Where        string `json:"where"`  // the service's file, or the bus
	Undone       int64  `json:"undone"` // events that it has not done; 0 = none, or not known
}

func (a *app) newSpecRetireCommand() *cobra.Command {
	r := &specRetire{app: a}
	cmd := &cobra.Command{
		Use:   "retire TYPE",
		Short: "End a type, once nobody reads it",
		Long: "Write x-lifecycle: retired into the file of a type. It is refused while a service declares that it\n" +
			"receives the type, or the bus has a subscription that names it, or one by a pattern with events of it that\n" +
			"are not done; who it is, is told. Under -o json: {\"readers\": [{\"subscription\", \"owner\", \"where\",\n" +
			"\"undone\"}]}.\n\n" + exitCodes(exitOK, exitFailed, exitUsage, exitFound, exitUnreachable),
		Example: "  autobus spec retire orders.order.placed.v1",
		Args:    named("type", "autobus spec retire orders.order.placed.v1", cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return r.run(cmd.Context(), args[0]) },
	}
	specsFlag(cmd, &r.dir)
	cmd.Flags().BoolVar(&r.offline, "offline", false, "do not ask the bus, only the files")
	return cmd
}

func (r *specRetire) run(ctx context.Context, name string) error {
	dir := specsFolder(r.dir)
	snapshot, t, err := knownType(dir, name)
	if err != nil {
		return err
	}
	readers := []typeReader{}
	for _, s := range snapshot.Subscriptions() {
		if slices.Contains(s.Policy.Types, name) {
			readers = append(readers, typeReader{s.Name, s.Policy.Owner, fmt.Sprintf("%s:%d", s.File, s.Line), 0})
		}
	}
	if !r.offline {
		live, err := r.live(ctx, name)
		if err != nil {
			return err
		}
		readers = append(readers, live...)
	}
	if len(readers) == 0 {
		return r.setLifecycle(dir, t, "retired", nil)
	}
	if r.output == "table" {
		var rows [][]string
		for _, reader := range readers {
			rows = append(rows, []string{reader.Subscription, reader.Owner, reader.Where, fmt.Sprint(reader.Undone)})
		}
		r.table([]string{"subscription", "owner", "where", "not done"}, rows)
	} else if err := r.emitValue(map[string]any{"readers": readers}); err != nil {
		return err
	}
	r.note("%s is not retired: it is still read. Take it out of the services' files, let them finish, delete their "+
		"subscriptions.", name)
	return &exitError{code: exitFound}
}

// live asks the bus who reads a type.
func (r *specRetire) live(ctx context.Context, name string) ([]typeReader, error) {
	doc, err := r.getDoc(ctx, "/v1/subscriptions")
	if err != nil {
		return nil, err
	}
	var answer struct{ Subscriptions []json.RawMessage }
	if err := json.Unmarshal(doc, &answer); err != nil {
		return nil, unreadable("the answer", err)
	}
	var readers []typeReader
	for _, raw := range answer.Subscriptions {
		s, err := readSubscription(raw)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(s.Types, func(pattern string) bool { return autobus.MatchType(pattern, name) }) {
			continue
		}
		undone, err := r.undone(ctx, s.Name, name)
		if err != nil {
			return nil, err
		}
		if undone > 0 || slices.Contains(s.Types, name) {
			readers = append(readers, typeReader{s.Name, s.Owner, "the bus", undone})
		}
	}
	return readers, nil
}

// undone is how many events of a type a subscription has not done.
func (r *specRetire) undone(ctx context.Context, subscription, name string) (int64, error) {
	_, lag, err := r.getLag(ctx, subscription)
	if err != nil {
		return 0, err
	}
	var n int64
	for _, p := range lag.Partitions {
		if p.Type == name {
			n += p.Undone
		}
	}
	return n, nil
}
