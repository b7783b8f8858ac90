// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"context"
	"net/http"
	"sync"
)

// tally counts the requests in progress, also those that took over their connection.
type tally struct {
	handler http.Handler

	mu   sync.Mutex
	n    int
	none chan struct{} // closed when n falls to 0; nil = nobody waits
}

func (t *tally) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	t.n++
	t.mu.Unlock()
	defer t.done()
	t.handler.ServeHTTP(w, r)
}

func (t *tally) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n--; t.n == 0 && t.none != nil {
		close(t.none)
		t.none = nil
	}
}

// wait returns when there is no request in progress, or why ctx ended before.
func (t *tally) wait(ctx context.Context) error {
	t.mu.Lock()
	if t.n == 0 {
		t.mu.Unlock()
		return nil
	}
	if t.none == nil {
		t.none = make(chan struct{})
	}
	none := t.none
	t.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
