// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// feed is an answer that goes on: one object after the other, as lines or as server-sent events. Deliveries come on the
// bus's goroutine, heartbeats on another.
type feed struct {
	*sender
	cancel context.CancelCauseFunc
	sse    bool

	mu     sync.Mutex
	begun  bool
	failed error
	last   time.Time // when something was sent
	buf    []byte

	notes notes
}

// notes are objects from those who must not wait for the reader, to be written before anything else.
type notes struct {
	mu      sync.Mutex
	pending []byte
	left    chan struct{} // holds a token when there is something
}

func newFeed(w http.ResponseWriter, e *Edge, sse bool, cancel context.CancelCauseFunc) *feed {
	return &feed{sender: newSender(w, e.progress, cancel), cancel: cancel, sse: sse, last: time.Now(),
		notes: notes{left: make(chan struct{}, 1)}}
}

// write lets f write, unless writing has failed before. Failing ends the subscription.
func (f *feed) write(send func() error) {
	f.mu.Lock()
	f.locked(send)
	f.mu.Unlock()
	f.writeNotes()
}

// writeNotes writes what was noted, unless somebody else writes now: then that one does, afterwards.
func (f *feed) writeNotes() {
	for f.notes.any() && f.mu.TryLock() {
		f.locked(func() error { return nil })
		f.mu.Unlock()
	}
}

func (f *feed) locked(send func() error) {
	noted := f.notes.take() // it came before; nobody reads it once writing has failed
	if f.failed == nil {
		f.failed = f.flush(noted)
	}
	if f.failed == nil {
		f.failed = send()
	}
	if f.failed != nil {
		f.cancel(f.failed)
	}
	f.last = time.Now()
}

func (f *feed) begin() error {
	if f.begun {
		return nil
	}
	f.begun = true
	media := mediaNDJSON
	if f.sse {
		media = mediaSSE
	}
	f.w.Header().Set("Content-Type", media)
	f.w.Header().Set("Cache-Control", "no-store")
	f.w.WriteHeader(http.StatusOK)
	return f.send(nil)
}

// open begins an object, which is one line of JSON; shut ends it.
func (f *feed) open(dst []byte) []byte {
	if f.sse {
		return append(dst, "data: "...)
	}
	return dst
}

func (f *feed) shut(dst []byte) []byte {
	if f.sse {
		return append(dst, "\n\n"...)
	}
	return append(dst, '\n')
}

// note leaves an object to be written as soon as the reader takes it. It does not wait.
func (f *feed) note(object []byte) {
	f.notes.mu.Lock()
	f.notes.pending = f.shut(append(f.open(f.notes.pending), object...))
	f.notes.mu.Unlock()
	select {
	case f.notes.left <- struct{}{}:
	default:
	}
}

func (n *notes) any() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.pending) > 0
}

func (n *notes) take() []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.pending
	n.pending = nil
	return p
}

func (f *feed) flush(noted []byte) error {
	if len(noted) == 0 {
		return nil
	}
	if err := f.begin(); err != nil {
		return err
	}
	return f.send(noted)
}

// beat sends notes, and a heartbeat after each silence, the first of which also sends the headers when the bus takes
// its time.
func (f *feed) beat(ctx context.Context, every time.Duration) {
	timer := time.NewTimer(every)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.notes.left:
			f.writeNotes()
			continue
		case <-timer.C:
		}
		silent := time.Duration(0)
		// While somebody else writes, or waits to, it is not silent.
		if f.mu.TryLock() {
			if silent = time.Since(f.last); silent >= every {
				f.locked(f.heartbeat)
				silent = 0
			}
			f.mu.Unlock()
			f.writeNotes()
		}
		timer.Reset(every - silent)
	}
}

func (f *feed) heartbeat() error {
	if err := f.begin(); err != nil {
		return err
	}
	if f.sse {
		return f.send([]byte(": heartbeat\n\n"))
	}
	line := append([]byte(`{"heartbeat":"`), time.Now().UTC().Format(time.RFC3339Nano)...)
	return f.send(append(line, "\"}\n"...))
}

// end tells the last word, if there is one to tell and somebody to hear it: the object that begins with head. Nobody
// else writes any more.
func (f *feed) end(r *http.Request, word *autobus.Error, head string) {
	if !f.begun && word != nil {
		edge.WriteProblem(f.w, r, word)
		return
	}
	f.write(func() error {
		if word == nil {
			return nil
		}
		edge.LogCause(r, word)
		object := edge.AppendProblem(append(f.open(nil), head...), word, edge.RequestID(r.Context()))
		return f.send(f.shut(append(object, '}')))
	})
}
