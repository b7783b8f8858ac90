// SPDX-License-Identifier: Apache-2.0

package ipc

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	"github.com/autobus-io/autobus"
)

// onceKept is how many answers are kept in memory.
const onceKept = 10_000

// Once keeps the answers of a handler, so that a request that comes again, because a responder died or an answer was
// slow, is answered as before and not done again:
//
//	once := &ipc.Once{Load: db.loadAnswer, Save: db.saveAnswer}
//	err := ipc.Serve(ctx, bus, "booking", once.Do(book))
//
// Load and Save keep an answer under the request's source and id, where all workers of the subscription find it: in
// the service's own database. Without both, the last 10,000 are kept in memory, which helps as long as the process
// lives and is the only one. Between the end of the handler and Save a process may die, and then the work is done
// again; a handler that writes to the same database closes that gap by saving in its own transaction (Answered).
//
// A caller that died while it waited for the answer gets it when it asks again under the same id, see autobus.WithID.
//
// Answers and errors that the spec declares are kept, others are not. A request that comes again while the first is
// worked on, in this process, waits for it. The zero value is ready.
type Once struct {
	Load func(ctx context.Context, key string) (answer []byte, found bool, err error)
	Save func(ctx context.Context, key string, answer []byte) error

	mu      sync.Mutex
	running map[string]chan struct{}
	kept    map[string][]byte
	order   []string
}

// stored is the form of a kept answer.
type stored struct {
	Error       string `json:"error,omitempty"` // name
	ContentType string `json:"content_type,omitempty"`
	Data        []byte `json:"data,omitempty"`
}

// Key is under which the answer to a request is kept.
func Key(r *Request) string { return r.Source + " " + r.ID }

// Answered gives the form in which an answer is kept, for handlers that save it in a transaction of their own. err is
// nil or an *Error; any other is not to be kept.
func Answered(result any, err error) ([]byte, error) {
	var s stored
	declared, isDeclared := errors.AsType[*Error](err)
	switch {
	case isDeclared:
		s.Error, result = declared.Name, declared.Data
	case err != nil:
		return nil, err
	}
	raw, isRaw := result.(Raw)
	if !isRaw {
		e, err := autobus.NewEvent("answer", result)
		if err != nil {
			return nil, err
		}
		raw.Data = e.Data
	}
	s.ContentType, s.Data = raw.ContentType, raw.Data
	return json.Marshal(s)
}

// answer is the reverse of Answered.
func (s stored) answer() (any, error) {
	var result any = Raw{ContentType: s.ContentType, Data: s.Data}
	if s.Error != "" {
		return nil, &Error{Name: s.Error, Data: result}
	}
	return result, nil
}

// Do makes a handler that does each request once.
func (o *Once) Do(handle HandleFunc) HandleFunc {
	return func(ctx context.Context, r *Request) (any, error) {
		key := Key(r)
		for {
			busy := o.enter(key)
			if busy == nil {
				break
			}
			select {
			case <-busy:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		defer o.leave(key)
		b, found, err := o.load(ctx, key)
		if err != nil {
			return nil, autobus.RetryAfter(0, err)
		}
		if found {
			var s stored
			if err := json.Unmarshal(b, &s); err != nil {
				return nil, err
			}
			return s.answer()
		}
		result, err := handle(ctx, r)
		b, bad := Answered(result, err)
		if bad != nil {
			return result, err
		}
		if bad = o.save(context.WithoutCancel(ctx), key, b); bad != nil {
			return nil, autobus.RetryAfter(0, bad) // it comes again, and may be done again: nobody would know of it
		}
		return result, err
	}
}

// enter takes a key, or gives what ends when whoever has it is done.
func (o *Once) enter(key string) (busy chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if busy = o.running[key]; busy != nil {
		return busy
	}
	if o.running == nil {
		o.running = map[string]chan struct{}{}
	}
	o.running[key] = make(chan struct{})
	return nil
}

func (o *Once) leave(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.running[key])
	delete(o.running, key)
}

func (o *Once) load(ctx context.Context, key string) ([]byte, bool, error) {
	if o.Load != nil {
		return o.Load(ctx, key)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	b, found := o.kept[key]
	return b, found, nil
}

func (o *Once) save(ctx context.Context, key string, answer []byte) error {
	if o.Save != nil {
		return o.Save(ctx, key, answer)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.kept == nil {
		o.kept = map[string][]byte{}
	}
	if len(o.order) >= onceKept {
		delete(o.kept, o.order[0])
		o.order = o.order[1:]
	}
	o.kept[key] = answer
	o.order = append(o.order, key)
	return nil
}
