// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"context"
	"slices"
	"sync"

	"github.com/autobus-io/autobus/internal/kafka"
)

// intake reads ahead while the database writes. Pages that wait are written together, so a database that is slow, or
// has much to catch up on, gets large transactions, and one that is fast fresh rows.
type intake struct {
	plan   *Plan
	reader *kafka.Reader
	ctx    context.Context //nolint:containedctx // ends the goroutine of run, which outlives no session
	cancel context.CancelFunc
	ended  sync.WaitGroup
	pages  chan page
}

// readAhead is how many pages wait at most: of 1000 events or some megabytes each.
const readAhead = 8

// page is what one poll gave, as rows; the error comes after them.
type page struct {
	rows []Row
	size int
	to   map[TP]int64
	err  error
}

func newIntake(log *kafka.Log, plan *Plan, from map[TP]int64) (*intake, error) {
	reader, err := log.Read(from)
	if err != nil {
		return nil, err
	}
	in := &intake{plan: plan, reader: reader, pages: make(chan page, readAhead)}
	in.ctx, in.cancel = context.WithCancel(context.Background())
	in.ended.Add(1)
	return in, nil
}

func (in *intake) run() {
	defer in.ended.Done()
	for {
		p := in.poll()
		select {
		case in.pages <- p:
		case <-in.ctx.Done():
			return
		}
		if p.err != nil {
			return
		}
	}
}

func (in *intake) poll() page {
	records, err := in.reader.Poll(in.ctx)
	p := page{err: err, to: map[TP]int64{}, rows: make([]Row, 0, len(records))}
	for i := range records {
		row, err := in.plan.Row(&records[i])
		if err != nil {
			p.err = err
			return p
		}
		p.rows = append(p.rows, row)
		p.size += row.Size
		p.to[records[i].TP] = records[i].Offset + 1
	}
	return p
}

// gather makes a chunk of a page and of what waits behind it, up to the limits of the file. The error is what comes
// after the chunk's rows.
func (in *intake) gather(p page, next map[TP]int64) (*Chunk, error) {
	c := &Chunk{From: map[TP]int64{}, To: map[TP]int64{}}
	var pages [][]Row
	rows, size := 0, 0
	for more := true; more; {
		pages = append(pages, p.rows)
		rows += len(p.rows)
		size += p.size
		for tp, to := range p.to {
			c.From[tp], c.To[tp] = next[tp], to
		}
		if p.err != nil || rows >= in.plan.File.Rows || size >= in.plan.File.Bytes {
			break
		}
		select {
		case p = <-in.pages:
		default:
			more = false
		}
	}
	c.Rows = slices.Concat(pages...)
	return c, p.err
}

func (in *intake) close() {
	in.cancel()
	in.ended.Wait()
	in.reader.Close()
}
