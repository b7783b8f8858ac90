// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
)

const (
	keysPerStream = 5
	window        = 64 // events of a stream in flight
	badEvery      = 50 // each so many events one that has to be refused
)

// load is many streams that publish to one type until stopped, through as many connections as it takes. Like a good
// client a stream sends again what has no certain outcome, under the same ids and in the old order, before it goes on.
type load struct {
	typ     string
	reads   []string // what the judge reads; nil = the type
	history *bustest.History
	streams []*stream
	keys    int       // of each stream
	began   time.Time // each event says how long after that it was made

	mu      sync.Mutex
	answers []answered // in the order in which they came
}

// stream is one sender. Its parts of a connection run side by side: one writes events, one reads results.
type stream struct {
	load  *load
	name  string
	query string        // of the publish request
	pace  time.Duration // between two new events; 0 = as fast as answers come

	mu       sync.Mutex
	next     int     // number of the next new event
	again    []*item // to be sent again, in the order of their first attempt
	inFlight []*item // sent on this connection and not answered, in order
	acked    atomic.Int64
	stalls   stallWatch
}

// item is an event under way.
type item struct {
	event   autobus.Event
	key     string
	bad     bool
	number  int
	sent    time.Time // at the latest attempt
	attempt *bustest.Attempt
}

// stallWatch keeps the longest time between two answers.
type stallWatch struct {
	last    time.Time
	longest time.Duration
}

func (w *stallWatch) tick(now time.Time) {
	if !w.last.IsZero() {
		w.longest = max(w.longest, now.Sub(w.last))
	}
	w.last = now
}

func newLoad(typ string, streams int, query func(i int) string, pace time.Duration) *load {
	l := &load{typ: typ, history: bustest.NewHistory(), keys: keysPerStream, began: time.Now()}
	for i := range streams {
		l.streams = append(l.streams, &stream{load: l, name: fmt.Sprintf("s%d", i), query: query(i), pace: pace})
	}
	return l
}

// run sends through one connection per stream until ctx ends or the other side is gone, and returns when all
// connections are closed. When ctx ends, what is in flight is waited for.
func (l *load) run(ctx context.Context, t *testing.T, url, token string) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	var all sync.WaitGroup
	for _, s := range l.streams {
		all.Go(func() { s.connect(ctx, t, &http.Client{Transport: transport}, url, token) })
	}
	all.Wait()
}

// sent returns how many events are sent and not answered right now.
func (l *load) sent() (n int) {
	for _, s := range l.streams {
		s.mu.Lock()
		n += len(s.inFlight)
		s.mu.Unlock()
	}
	return n
}

// unanswered returns how many events lost their connection before they were answered and wait to be sent again.
func (l *load) unanswered() (n int) {
	for _, s := range l.streams {
		s.mu.Lock()
		n += len(s.again)
		s.mu.Unlock()
	}
	return n
}

func (l *load) acked() (n int64) {
	for _, s := range l.streams {
		n += s.acked.Load()
	}
	return n
}

// connect is one connection of a stream.
func (s *stream) connect(ctx context.Context, t *testing.T, client *http.Client, url, token string) {
	body, out := io.Pipe()
	// The request does not end with ctx: at its end the body does, and the last answers still come.
	reqCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	req, err := http.NewRequestWithContext(reqCtx, http.MethodPost, url+"/v1/events"+s.query, body)
	if err != nil {
		t.Error(err)
		return
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	room := make(chan struct{}, window) // one place per event in flight
	closed := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		err := s.write(ctx, out, room, closed)
		out.CloseWithError(err) // nil = the end of the body
	})
	resp, err := client.Do(req)
	if err == nil {
		s.read(t, resp, room)
		_ = resp.Body.Close() // its fate is known by now
	}
	close(closed)
	_ = body.Close() // so that a write in progress ends
	writing.Wait()
	s.lost()
}

// write sends events until ctx ends or the connection is closed.
func (s *stream) write(ctx context.Context, out io.Writer, room chan struct{}, closed <-chan struct{}) error {
	var tick <-chan time.Time
	if s.pace > 0 {
		ticker := time.NewTicker(s.pace)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		if tick != nil {
			select {
			case <-tick:
			case <-ctx.Done():
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-closed:
			return io.ErrClosedPipe
		case room <- struct{}{}:
		}
		it, ok := s.take()
		if !ok { // something has to be sent again first, and waits for the answers in flight
			<-room
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		if _, err := out.Write(line(it)); err != nil {
			return err
		}
	}
}

// take gives the next event to send and notes the attempt. What has to be sent again goes first, one by one, each after
// the answer to the one before: so the bus need not hold back its successors.
func (s *stream) take() (*item, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var it *item
	if len(s.again) > 0 {
		if len(s.inFlight) > 0 {
			return nil, false
		}
		it = s.again[0]
		s.again = s.again[1:]
	} else {
		n := s.next
		s.next++
		it = &item{number: n, key: fmt.Sprintf("%s-%d", s.name, n%s.load.keys), bad: n%badEvery == badEvery-1}
		data := fmt.Sprintf(`{"order":%q,"n":%d,"extra":%d,"note":"as many bytes as an event has where little is said"}`,
			it.key, n, time.Since(s.load.began))
		if it.bad {
			data = fmt.Sprintf(`{"order":%q,"n":"not a number"}`, it.key)
		}
		it.event = autobus.Event{ID: fmt.Sprintf("%s-%d", s.name, n), Source: "/faults", Type: s.load.typ,
			Data: []byte(data)}
	}
	it.attempt, it.sent = s.load.history.Begin(s.name, it.event, it.key), time.Now()
	s.inFlight = append(s.inFlight, it)
	return it, true
}

func line(it *item) []byte {
	later := ""
	if at, ok := it.event.Ext(autobus.ExtDeliverAt); ok {
		later = fmt.Sprintf(`"deliverat":%q,`, at)
	}
	return fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":%q,"type":%q,%s"data":%s}`+"\n", it.event.ID,
		it.event.Source, it.event.Type, later, it.event.Data)
}

// result is a line of the answer.
type result struct {
	ID        string `json:"id"`
	Status    string `json:"status"`
	Duplicate bool   `json:"duplicate"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Error     *struct {
		Reason    autobus.Reason `json:"reason"`
		Detail    string         `json:"detail"`
		Retriable bool           `json:"retriable"`
	} `json:"error"`
}

// read takes the answers, which come in the order of the events.
func (s *stream) read(t *testing.T, resp *http.Response, room <-chan struct{}) {
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // to be shown
		say := t.Errorf
		if bytes.Contains(text, []byte(`"reason":"shutting_down"`)) { // it came as the gateway went
			say = t.Logf
		}
		say("%s: %s: %s", s.name, resp.Status, text)
		return
	}
	in := bufio.NewScanner(resp.Body)
	for in.Scan() {
		var r result
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			text := in.Text()
			if in.Scan() { // the last line of a connection may be cut, no other
				t.Errorf("%s: the answer %q is no result", s.name, text)
			}
			return
		}
		if r.ID == "" && r.Error != nil {
			t.Logf("%s: the stream ends: %s %s", s.name, r.Error.Reason, r.Error.Detail)
			return
		}
		s.answer(t, r)
		<-room
	}
}

func (s *stream) answer(t *testing.T, r result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stalls.tick(time.Now())
	if len(s.inFlight) == 0 || s.inFlight[0].event.ID != r.ID {
		t.Errorf("%s: an answer for %s, which is not the next", s.name, r.ID)
		return
	}
	it := s.inFlight[0]
	s.inFlight = s.inFlight[1:]
	rc := autobus.Receipt{Partition: r.Partition, Offset: r.Offset, Duplicate: r.Duplicate}
	switch r.Status {
	case "written":
		rc.Status = autobus.Written
		s.acked.Add(1)
		if it.bad {
			t.Errorf("the bad event %s was written", r.ID)
		}
	case "refused":
		rc.Status = autobus.Refused
		switch {
		case r.Error == nil:
			t.Errorf("%s is refused without an error", r.ID)
		case it.bad && r.Error.Reason == autobus.ReasonDataInvalid:
		case r.Error.Retriable:
			s.again = append(s.again, it)
		default:
			t.Errorf("%s is refused: %s %s", r.ID, r.Error.Reason, r.Error.Detail)
		}
	case "unknown":
		rc.Status = autobus.Unknown
		s.again = append(s.again, it)
	default:
		t.Errorf("%s has the status %q", r.ID, r.Status)
	}
	it.attempt.End(rc)
	if !it.bad {
		s.load.note(answered{sent: it.sent, at: time.Now(), partition: r.Partition, status: rc.Status})
	}
}

// lost notes that the connection is gone: what was in flight has no outcome and is to be sent again.
func (s *stream) lost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.again = append(s.again, s.inFlight...)
	s.inFlight = nil
	slices.SortFunc(s.again, func(a, b *item) int { return a.number - b.number })
	s.stalls.last = time.Time{}
}

// judge reads the log twice, as two readers, and fails the test for each broken promise.
func (l *load) judge(t *testing.T, k *bustest.Kafka) bustest.Report {
	t.Helper()
	log := k.Open(t)
	reads := l.reads
	if reads == nil {
		reads = []string{l.typ}
	}
	for range 2 {
		l.history.Read(bustest.ReadAll(t, log, reads...))
	}
	l.history.Control(bustest.ReadAll(t, log, "_autobus.control"))
	r := l.history.Check()
	for i, f := range r.Faults {
		if i == 20 {
			t.Errorf("and %d more", len(r.Faults)-i)
			break
		}
		t.Error(f)
	}
	t.Logf("%d attempts written, %d refused, %d without an outcome of which at least %d are in the log; %d records, %d "+
		"of them further copies", r.Written, r.Refused, r.Unknown, r.Landed, r.Records, r.Copies)
	return r
}
