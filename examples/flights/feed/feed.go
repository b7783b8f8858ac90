// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
)

// feed publishes one file.
type feed struct {
	server, token string
	connections   int
	log           io.Writer     // what was refused, and why
	pause         time.Duration // before the first repetition; 0 = the default

	count counts
}

// counts is the summary of a run.
type counts struct {
	mu                   sync.Mutex
	began                time.Time
	departed, cancelled  int // rows that were read
	written, duplicates  int // duplicates are written, too: by an earlier run
	refused, repetitions int
}

func (c *counts) add(f func(*counts)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c)
}

func (c *counts) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	rows, took := c.departed+c.cancelled, time.Since(c.began)
	return fmt.Sprintf("%d rows in %.1f s, %.0f a second: %d departed, %d cancelled; "+
		"%d written (%d of them were there already), %d refused, %d sent again",
		rows, took.Seconds(), float64(rows)/took.Seconds(), c.departed, c.cancelled, c.written, c.duplicates, c.refused,
		c.repetitions)
}

// maxShown is how many refusals are shown; the rest is counted.
const maxShown = 20

// refused notes that the bus does not take an event, whenever it comes.
func (f *feed) refused(it item, why *problem) {
	f.count.add(func(c *counts) {
		c.refused++
		if c.refused <= maxShown {
			fmt.Fprintf(f.log, "line %d, event %s: %s\n", it.row, it.id, why.err())
		}
	})
}

// errRefused ends a run in which the bus did not take an event, whose reason was printed when it came.
var errRefused = errors.New("the bus refused rows")

// run publishes the rows of a file and returns nil when each of them is written.
func (f *feed) run(ctx context.Context, file string) error {
	f.count.add(func(c *counts) { c.began = time.Now() })
	in, err := openRows(file)
	if err != nil {
		return err
	}
	defer in.close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	client := &http.Client{Transport: &http.Transport{WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10}}
	defer client.CloseIdleConnections()

	lanes := make([]chan item, f.connections)
	var running sync.WaitGroup
	for i := range lanes {
		lanes[i] = make(chan item, 128)
		l := &lane{feed: f, client: client, in: lanes[i]}
		running.Go(func() {
			if err := l.run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	err = f.read(ctx, in, lanes)
	for _, l := range lanes {
		close(l)
	}
	if err != nil {
		cancel(err)
	}
	running.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if f.count.refused > 0 {
		return errRefused
	}
	return nil
}

// read hands each row to the lane of its key, so that the rows of one key keep their order.
func (f *feed) read(ctx context.Context, in *rows, lanes []chan item) error {
	m := newMaker(in.columns)
	for {
		fields, line, err := in.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		e, key, err := m.event(fields)
		if err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
		f.count.add(func(c *counts) {
			if e.Type == departed {
				c.departed++
			} else {
				c.cancelled++
			}
		})
		it := item{id: e.ID, row: line, line: append(autobus.AppendEvent(nil, &e), '\n')}
		h := fnv.New32a()
		_, _ = h.Write([]byte(key))
		select {
		case lanes[h.Sum32()%uint32(len(lanes))] <- it:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
