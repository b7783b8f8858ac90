// SPDX-License-Identifier: Apache-2.0

package delay

import (
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
)

// held is a record that a shelf holds.
type held struct {
	Entry
	raw      *kafka.Record
	readable bool      // by this build
	at       time.Time // when it is to be acted on
	tries    int
}

// queue is a heap of what is held, the next to be acted on first.
type queue []*held

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(*held)) } //nolint:forcetypeassert // see due
func (q *queue) Pop() any {
	n := len(*q) - 1
	h := (*q)[n]
	(*q)[n] = nil
	*q = (*q)[:n]
	return h
}
