// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
)

// job is an event in hand: received and not settled.
type job struct {
	delivery
	body   eventBody
	data   []byte
	state  jobState
	gone   bool // the lease was taken away: whatever comes of it does not count
	cancel context.CancelFunc
}

type jobState int

const (
	jobWaits   jobState = iota // for a command's place
	jobRuns                    // a command works on it
	jobSettles                 // its outcome is on its way
)

func (j *job) String() string { return fmt.Sprintf("%s %d/%d", j.body.Type, j.Partition, j.Offset) }

// consumer works on the events of a subscription. All of it belongs to the goroutine of run; others bring it news, the
// ends of commands and the answers to outcomes.
type consumer struct {
	app     *app
	flags   *consumeFlags
	reader  *reader
	ackWait time.Duration
	manual  bool

	jobs    map[string]*job // by lease
	queue   []*job          // that wait, in order
	working int             // commands that run
	ended   chan *commandEnd
	acks    acks

	settled  int // what -n counts
	outcomes map[autobus.OutcomeKind]int
	began    bool // there was a connection
	apart    bool // there is none, and it was told
	stopping bool // takes no more
	err      error
}

func newConsumer(c *consumeFlags, api *api, path string, ackWait time.Duration) *consumer {
	r := &reader{api: api, path: path, window: c.window, answer: c.app.timeout, news: make(chan news)}
	if c.n > 0 || c.exec != "" {
		r.want = make(chan int)
	}
	return &consumer{app: c.app, flags: c, reader: r, ackWait: ackWait, manual: c.ack == "manual",
		jobs: map[string]*job{}, ended: make(chan *commandEnd), outcomes: map[autobus.OutcomeKind]int{},
		acks: acks{api: api, path: path + "/acks", timeout: c.app.timeout, answers: make(chan ackAnswer)}}
}

// run works until ctx ends, -n events are settled, or it cannot go on. What is in hand then is finished and settled
// first. A stream stays open until then, because its leases end with it.
func (c *consumer) run(ctx context.Context) error {
	working := context.WithoutCancel(ctx)
	reading, leave := context.WithCancel(working)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer leave()
	wg.Go(func() { c.reader.run(reading) })
	var extend <-chan time.Time
	if c.flags.exec != "" {
		t := time.NewTicker(c.ackWait / 3)
		defer t.Stop()
		extend = t.C
	}
	interrupted := ctx.Done()
	for !c.finished() {
		want, room := c.wanted()
		select {
		case <-interrupted:
			interrupted = nil
			c.stop()
		case n := <-c.reader.news:
			c.hear(&n)
		case want <- room:
		case e := <-c.ended:
			c.commandEnded(e)
		case a := <-c.acks.answers:
			c.answered(&a)
		case <-c.acks.pause():
			c.acks.resume()
		case <-extend:
			c.extend()
		}
		c.begin(working)
		c.acks.send(working)
		if c.stopping && c.reader.want != nil {
			leave()
		}
	}
	if c.reader.want == nil && c.began {
		c.reader.goodbye(working)
	}
	if c.flags.exec != "" {
		c.app.note("%d acked, %d to come again, %d rejected", c.outcomes[autobus.Ack], c.outcomes[autobus.Retry],
			c.outcomes[autobus.Reject])
	}
	return c.err
}

// finished reports whether nothing is left to do.
func (c *consumer) finished() bool {
	if n := c.flags.n; n > 0 && c.settled >= n {
		c.stopping = true
	}
	return c.stopping && len(c.jobs) == 0 && c.acks.idle()
}

// stop takes no more events. What is in hand goes on.
func (c *consumer) stop() {
	if !c.stopping && len(c.jobs) > 0 && c.flags.exec != "" {
		c.app.note("Finishing what is in hand: %d. A second Ctrl-C does not wait for it.", len(c.jobs))
	}
	c.stopping = true
}

// fail ends the work with an error.
func (c *consumer) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.stopping = true
}

// wanted is how many events a reader that asks for them should fetch now.
func (c *consumer) wanted() (to chan<- int, n int) {
	n = autobus.DefaultEvents
	if w := c.flags.window; w > 0 {
		n = w - len(c.jobs)
	}
	if c.flags.n > 0 {
		n = min(n, c.flags.n-c.settled-len(c.jobs))
	}
	if c.stopping || n <= 0 {
		return nil, 0
	}
	return c.reader.want, n
}

func (c *consumer) hear(n *news) {
	switch {
	case n.connected:
		if c.began {
			c.app.note("Connected again.")
		}
		c.began, c.apart = true, false
	case n.broken != nil:
		c.broke(n.broken)
	case n.lost != nil:
		c.app.note("Retention deleted the events %d to %d of %s/%d before they were read. The partition stands until "+
			"somebody decides where to go on.", n.lost.From, n.lost.To-1, n.lost.Type, n.lost.Partition)
	}
	for _, line := range n.deliveries {
		if err := c.receive(line); err != nil {
			c.fail(err)
		}
	}
}

// broke handles the end of a connection. Whether what is in hand still counts, the answers to its outcomes tell.
func (c *consumer) broke(err error) {
	switch {
	case !retriable(err), !c.began:
		c.fail(err)
	case !c.stopping && !c.apart:
		c.apart = true
		e, _ := errors.AsType[*autobus.Error](err)
		c.app.note("%s. Connecting again.", e)
	}
}

// drop lets go of an event that was taken away.
func (c *consumer) drop(j *job) {
	switch {
	case j.gone, j.state == jobSettles: // what settles is answered by itself
	case j.state == jobWaits:
		delete(c.jobs, j.Lease)
		j.gone = true
	default:
		c.app.note("%s was taken away; its command is told to stop.", j)
		j.gone = true
		j.cancel()
	}
}

// receive takes an event in hand. One that comes after the end of taking is left: it comes again.
func (c *consumer) receive(line []byte) error {
	if c.stopping {
		return nil
	}
	j := &job{}
	err := json.Unmarshal(line, &j.delivery)
	if err != nil {
		return unreadable("a delivery", err)
	}
	if j.body, err = j.read(); err != nil {
		return err
	}
	if j.data, err = j.body.bytes(); err != nil {
		return err
	}
	if c.flags.exec != "" {
		c.jobs[j.Lease] = j
		c.queue = append(c.queue, j)
		return nil
	}
	var more []string
	if j.Attempt > 1 {
		more = append(more, fmt.Sprintf("attempt=%d", j.Attempt))
	}
	if c.manual {
		more = append(more, "lease="+j.Lease)
	}
	if err := c.app.printEvent(line, &j.placedEvent, more...); err != nil {
		return err
	}
	if c.manual {
		c.settled++
		return nil
	}
	c.jobs[j.Lease] = j
	c.settle(j, autobus.Ack, "")
	return nil
}

// settle tells the outcome of an event.
func (c *consumer) settle(j *job, kind autobus.OutcomeKind, reason string) {
	j.state = jobSettles
	c.acks.add(ack{Lease: j.Lease, Outcome: kind, Reason: reason})
}
