// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"context"
	"errors"
)

// Position is how far a partition was written.
type Position struct {
	TopicID string // of the topic that the offset belongs to, in hex
	Next    int64  // the first offset that was not written
}

// Chunk is what is written in one transaction. Every record from the old positions to the new ones is a row, a bad row,
// or a record that holds no event.
type Chunk struct {
	Begin map[TP]Position // positions that did not exist before
	From  map[TP]int64    // the positions from which the rows go on
	To    map[TP]int64    // where they end, of the same partitions
	Rows  []Row           // in the order of each partition; those with Bad are set aside
}

// Written is what became of a chunk.
type Written struct {
	Rows int
	Bad  []Row
}

// Target is a database in which one sink writes. Its methods are called by one goroutine at a time. After an error that
// is none of those below, what happened is not known: the caller closes the target, opens it again and believes the
// positions that it finds.
type Target interface {
	// Open takes the sink for this process, ErrBusy while another has it, and tells its positions.
	Open(context.Context, *Plan) (map[TP]Position, error)
	// Write does all of a chunk, or nothing. A row at fault is set aside with its reason, in the same transaction;
	// TooManyBad when that would be too many; ErrBusy when another process took the sink.
	Write(context.Context, *Chunk) (Written, error)
	// Close lets the sink go.
	Close() error
}

// ErrBusy says that another process has the sink.
var ErrBusy = errors.New("another process has the sink")
