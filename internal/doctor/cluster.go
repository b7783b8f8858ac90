// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/registry"
)

// Target is a cluster to look at.
type Target struct {
	Log      *kafka.Log
	Embedded bool   // of a dev: one broker and one copy, which is as it should be
	Init     string // the command that prepares this very cluster
}

// Wanted is how many copies make a record safe: one broker may be gone and another die.
const Wanted = 3

// Report is what was found on a cluster.
type Report struct {
	Findings []Finding
	Peers    []Peer // the instances that are members of a subscription's group
}

// Peer is an instance and the address at which it says that others reach it.
type Peer struct{ Name, Address string }

// Cluster looks at a cluster that answers. Its error says that it answers no more.
func Cluster(ctx context.Context, t Target) (Report, error) {
	var out list
	about, err := t.Log.Describe(ctx)
	if err != nil {
		return Report{}, err
	}
	topics, err := t.Log.Topics(ctx)
	if err != nil {
		return Report{}, err
	}
	out.brokers(ctx, t, about, mostCopies(topics))
	settings := out.settings(ctx, t, about)
	out.clock(ctx, t)
	out.controlTopic(t, topics, len(about.Brokers))
	routes, peers := out.control(ctx, t, topics)
	out.stateTopic(t, topics, len(about.Brokers))
	out.types(t, topics, routes)
	out.deadLetters(t, topics)
	out.delayed(ctx, t, topics)
	out.waiting(t, topics)
	out.inSync(ctx, t, topics, routes, settings)
	out.disks(ctx, t)
	return Report{out, peers}, nil
}

// mostCopies is how many brokers there were at the least when topics were made.
func mostCopies(topics map[string]kafka.Topic) (most int) {
	for _, topic := range topics {
		most = max(most, topic.Replicas)
	}
	return most
}

// brokers looks at how many there are and whether each answers where it says.
func (l *list) brokers(ctx context.Context, t Target, about kafka.Cluster, copies int) {
	racks := map[string]bool{}
	for _, b := range about.Brokers {
		racks[b.Rack] = true
		where := fmt.Sprintf("broker %d", b.ID)
		if err := t.Log.Reach(ctx, b.ID); err != nil {
			l.add(Problem, CheckBrokers, where, fmt.Sprintf("the address it gives to clients, %s, does not answer: %v", b.Addr,
				err), "start it, open the way to that address, or mend its advertised.listeners")
			continue
		}
		l.ok(CheckBrokers, where, "answers at %s", b.Addr)
	}
	l.brokerCount(t, len(about.Brokers), len(racks), copies)
}

// brokerCount judges how many brokers there are, where topics have up to so many copies.
func (l *list) brokerCount(t Target, n, racks, copies int) {
	what := fmt.Sprintf("%d %s", n, plural(n, "broker"))
	switch {
	case t.Embedded:
		l.ok(CheckBrokers, "cluster", "%s in the process of the bus: one copy of everything", what)
	case n < copies: // in_sync says what cannot be written meanwhile
		l.add(Warning, CheckBrokers, "cluster", fmt.Sprintf("%s, and topics have %d copies: a broker is away", what, copies),
			"start the broker that is away; new topics wait for it, or have fewer copies")
	case n < Wanted:
		l.add(Problem, CheckBrokers, "cluster", what+fmt.Sprintf(", %d are needed for %d copies", Wanted, Wanted),
			"add brokers; until then only types with x-durability: best-effort can be published")
	case racks > 1:
		l.ok(CheckBrokers, "cluster", "%s in %d racks", what, racks)
	default:
		l.ok(CheckBrokers, "cluster", "%s", what)
	}
}

// control replays the control log and gives the routes that stand in it, by topic, and the instances there are.
func (l *list) control(ctx context.Context, t Target, topics map[string]kafka.Topic) (
	map[string]control.Route, []Peer,
) {
	if _, ok := topics[control.Topic]; !ok {
		return nil, nil // said already
	}
	quiet := slog.New(slog.DiscardHandler)
	ctl, err := control.Open(ctx, t.Log, quiet)
	if err != nil {
		e := autobus.AsError(err)
		l.add(Problem, CheckControl, control.Topic, detailOf(e, err), fixOf(e, t))
		return nil, nil
	}
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = ctl.Run(following) // a log that is cut meanwhile shows in the next look
	}()
	defer func() { stop(); <-done }()
	l.newer(ctl)
	routes := map[string]control.Route{}
	for _, r := range ctl.All(control.KindRoute) {
		if route, err := control.Decode[control.Route](r); err == nil {
			routes[route.Topic] = route
		}
	}
	reg := registry.New(registry.Config{Log: t.Log, Control: ctl, ClusterName: ctl.ClusterName(), Embedded: t.Embedded,
		Dev: t.Embedded, Logger: quiet})
	found, err := reg.Compare(ctx)
	if err != nil {
		l.skip(CheckDrift, "specs", "could not be held against the cluster: "+err.Error(),
			"let the bus describe all topics and their settings")
	} else {
		l.drift(found, reg.Snapshot().Len(), routes)
	}
	return routes, peersOf(ctx, t, ctl)
}

// peersOf finds instances by what their clients call themselves in Kafka. One that serves no subscription is in no
// group and cannot be found.
func peersOf(ctx context.Context, t Target, ctl *control.Log) (out []Peer) {
	var groups []string
	for _, r := range ctl.All(control.KindSubscription) {
		groups = append(groups, r.Name)
	}
	members, err := t.Log.Members(ctx, groups...)
	if err != nil {
		return nil // groups nobody can be asked about: in-sync and brokers say why
	}
	for _, m := range members {
		name, address, ours := kafka.ParseInstanceID(m.ClientID)
		if p := (Peer{name, address}); ours && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Peer) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Address, b.Address))
	})
	return out
}

// Twins finds instances that go by one name. An ack finds its way by the name of the instance that gave the lease, so
// half of them go to the wrong one. An instance that has just moved to another address is its own twin until Kafka has
// missed it.
func Twins(peers []Peer) (out []Finding) {
	at := map[string][]string{}
	for _, p := range peers {
		at[p.Name] = append(at[p.Name], p.Address)
	}
	for _, name := range sorted(at) {
		if addresses := at[name]; len(addresses) > 1 {
			out = append(out, Finding{Problem, CheckConfig, "instance " + name, "several instances have this name, at " +
				strings.Join(addresses, " and ") + ": acks go to the wrong one, and events come again",
				"give each instance an instance of its own in its configuration; look again after 15s where one has just moved"})
		}
	}
	return out
}

// newer names what stands in the control log and cannot be read here: instances of this version refuse it.
func (l *list) newer(ctl *control.Log) {
	records := ctl.Newer()
	for _, r := range records {
		l.add(Problem, CheckVersions, r.Kind+" "+r.Name, fmt.Sprintf(
			"its record, offset %d of the control log, has version %d; this build reads up to %d and refuses what it governs",
			r.Offset, r.Version, control.Version), "upgrade this instance; until then others of the newer version serve it")
	}
	if len(records) == 0 {
		l.ok(CheckVersions, control.Topic, "every record in force can be read by this build")
	}
}

func fixOf(e *autobus.Error, t Target) string {
	if e.Reason == autobus.ReasonClusterNotReady {
		return t.Init
	}
	return e.NextStep()
}

func detailOf(e *autobus.Error, err error) string {
	if e.Detail == "" || errors.Is(err, context.DeadlineExceeded) {
		return err.Error()
	}
	return e.Detail
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
