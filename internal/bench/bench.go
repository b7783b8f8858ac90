// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// Modes of a case.
const (
	Direct   = "direct"  // a Kafka client alone
	Publish  = "publish" // publish, against direct
	Consume  = "consume" // read and ack a backlog, against a consumer group that commits
	EndToEnd = "e2e"     // from the publish to the delivery, against produce and read
)

// Transports by which events reach the gateway.
const (
	Frames = "frames" // binary frames of a WebSocket, which the callers of a connection share
	NDJSON = "ndjson" // a POST per batch, a line per event
	Single = "json"   // a POST per event
)

// Case is one combination of what can be varied.
type Case struct {
	Mode        string  `json:"mode"`
	Transport   string  `json:"transport,omitempty"`
	Value       string  `json:"value"`
	Size        int     `json:"size"` // of an event's data, in bytes
	Batch       int     `json:"batch"`
	Callers     int     `json:"callers"`
	Connections int     `json:"connections,omitempty"` // of the bus's side, shared by the callers
	Clients     int     `json:"clients"`               // of direct's side
	Partitions  int     `json:"partitions"`
	Rate        float64 `json:"rate,omitempty"`   // events per second; 0 = as fast as answers come
	Events      int     `json:"events,omitempty"` // backlog of consume
	Window      int     `json:"window,omitempty"` // unsettled events of a connection in consume and e2e
}

// Plan says how long to measure.
type Plan struct {
	WarmUp time.Duration
	Round  time.Duration
	Rounds int
	Stall  time.Duration // how long nothing may come in consume before a round is given up; 0 = 30 s
}

func (p Plan) patience() time.Duration { return cmp.Or(p.Stall, settleTime) }

// Target is where the work goes.
type Target struct {
	Kafka kafka.Config
	Processes

	// Of the bus. Dial opens one connection of its own.
	Dial  func(ctx context.Context) (bus autobus.Bus, hangUp func(), err error)
	URL   string
	Token string
}

// rig is what the rounds of one case stand on.
type rig struct {
	Case
	Target
	plan   Plan
	log    *kafka.Log
	name   string // of this run, unique
	typ    string // the bus's type and topic
	direct string // direct's topic
	ends   int64  // records of both topics before
	acked  int64  // events that were acknowledged in both
	values []payload
	closes []func()
}

// work does a case's rounds: a side at a time.
type work struct {
	direct, bus func(ctx context.Context) (*measured, error)
}

// measured is what a side did and the processor time around it.
type measured struct {
	sample
	before, after usage
}

// settleTime bounds what happens around rounds: topics, connections, groups.
const settleTime = 30 * time.Second

// Run measures one case; each round is told as soon as it is over. What it made on the cluster is deleted at the end.
func Run(ctx context.Context, log *kafka.Log, c Case, p Plan, t Target, told func(n int, r Round)) (
	row *Row, err error) {
	r := &rig{Case: c, Target: t, plan: p, log: log, name: runName(), typ: TypeName(c.Value, c.Partitions),
		values: pool(c.Value, c.Size)}
	defer func() {
		if closing := r.close(context.WithoutCancel(ctx)); err == nil {
			err = closing
		}
	}()
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	if err := r.warmUp(ctx); err != nil {
		return nil, fmt.Errorf("warm-up: %w", err)
	}
	w, err := r.work(ctx)
	if err != nil {
		return nil, err
	}
	row = &Row{Case: c, OneProcess: t.shared()}
	for n := range p.Rounds {
		var round Round
		m, err := w.direct(ctx)
		if err != nil {
			return row, fmt.Errorf("round %d, direct: %w", n+1, err)
		}
		round.Direct = result(&m.sample, m.before, m.after, t.Processes, false)
		if w.bus != nil {
			if m, err = w.bus(ctx); err != nil {
				return row, fmt.Errorf("round %d, bus: %w", n+1, err)
			}
			round.Bus = result(&m.sample, m.before, m.after, t.Processes, true)
		}
		row.Rounds = append(row.Rounds, round)
		told(n+1, round)
	}
	row.summarize()
	row.Written, err = r.count(ctx)
	return row, err
}

func (r *rig) work(ctx context.Context) (work, error) {
	switch r.Mode {
	case Consume:
		return r.consume(ctx)
	case EndToEnd:
		return r.endToEnd(ctx)
	default:
		return r.publish(ctx)
	}
}

func runName() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return "bench-" + hex.EncodeToString(b[:])
}

// defers notes what to close; the last one first.
func (r *rig) defers(f func()) { r.closes = append(r.closes, f) }

// prepare makes direct's topic like the bus's.
func (r *rig) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	r.direct = r.name
	cluster, err := r.log.Describe(ctx)
	if err != nil {
		return err
	}
	like := kafka.Topic{Replicas: min(3, len(cluster.Brokers))}
	if r.Mode != Direct {
		topics, err := r.log.Topics(ctx, r.typ)
		if err != nil {
			return err
		}
		topic, ok := topics[r.typ]
		if !ok {
			return autobus.NewError(autobus.ReasonTypeUnknown, "there is no topic %s", r.typ)
		}
		like = topic
	}
	want := kafka.NewTopic{Name: r.direct, Partitions: int32(r.Partitions), Replicas: like.Replicas,
		Configs: map[string]string{"retention.ms": "3600000", "min.insync.replicas": strconv.Itoa(max(1, like.MinISR()))}}
	if _, err := r.log.CreateTopic(ctx, want); err != nil {
		return err
	}
	r.ends, err = r.end(ctx)
	return err
}

// end sums the ends of both topics.
func (r *rig) end(ctx context.Context) (total int64, err error) {
	topics := []string{r.direct}
	if r.Mode != Direct {
		topics = append(topics, r.typ)
	}
	ends, err := r.log.Ends(ctx, topics...)
	for _, at := range ends {
		total += at
	}
	return total, err
}

// count compares what was acknowledged with what is there.
func (r *rig) count(ctx context.Context) (Written, error) {
	end, err := r.end(ctx)
	if err != nil {
		return Written{}, err
	}
	w := Written{Acknowledged: r.acked, InTopics: end - r.ends}
	if w.Acknowledged != w.InTopics {
		return w, autobus.NewError(autobus.ReasonInternal, "%d events were acknowledged and the topics have %d: these "+
			"figures cannot be trusted", w.Acknowledged, w.InTopics).
			WithHint("Does somebody else write to %s? Else the bench or the bus has a fault.", r.typ)
	}
	return w, nil
}

func (r *rig) close(ctx context.Context) error {
	r.closeTo(0)
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	return r.log.DeleteTopics(ctx, r.direct)
}

// closeTo closes all but the first n things, the last one first.
func (r *rig) closeTo(n int) {
	for i := len(r.closes) - 1; i >= n; i-- {
		r.closes[i]()
	}
	r.closes = r.closes[:n]
}

// around measures what f does. f may begin the clock of the processor anew, by mark.
func (r *rig) around(f func(mark func() error) (*sample, error)) (*measured, error) {
	m := &measured{}
	var err error
	mark := func() (err error) {
		m.before, err = r.usage()
		return err
	}
	if err = mark(); err != nil {
		return nil, err
	}
	s, err := f(mark)
	if err != nil {
		return nil, err
	}
	m.sample = *s
	m.after, err = r.usage()
	return m, err
}
