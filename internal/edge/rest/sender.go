// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/autobus-io/autobus"
)

const (
	// writeChunk is small enough that a reader which takes anything at all gets through one within the time.
	writeChunk = 16 << 10
	// lastChance is how long a reader that was given up may take to read why.
	lastChance = 10 * time.Second
)

// sender writes a stream. A reader that makes no progress is given up in two steps: first the stream is cancelled with
// slow_consumer, which frees what feeds it; a while later writing fails. In between the last line can still be sent.
type sender struct {
	w        http.ResponseWriter
	rc       *http.ResponseController
	progress time.Duration
	slow     *time.Timer
}

func newSender(w http.ResponseWriter, progress time.Duration, cancel context.CancelCauseFunc) *sender {
	s := &sender{w: w, rc: http.NewResponseController(w), progress: progress}
	s.slow = time.AfterFunc(progress, func() {
		cancel(autobus.NewError(autobus.ReasonSlowConsumer, "nothing was read for %s", progress))
	})
	s.slow.Stop()
	return s
}

// send writes p, which may be empty, and everything that was written before.
func (s *sender) send(p []byte) error {
	// An idle stream may have no deadline: HTTP/2 resets a stream whose deadline passes, written to or not.
	defer func() {
		s.slow.Stop()
		_ = s.rc.SetWriteDeadline(time.Time{})
	}()
	for {
		s.slow.Reset(s.progress)
		// Writers without deadlines exist in tests only.
		_ = s.rc.SetWriteDeadline(time.Now().Add(s.progress + lastChance))
		n := min(len(p), writeChunk)
		if _, err := s.w.Write(p[:n]); err != nil { //nolint:gosec // JSON, sent as such with nosniff
			return err
		}
		if p = p[n:]; len(p) == 0 {
			return s.rc.Flush()
		}
	}
}
