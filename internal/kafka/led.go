// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

const (
	// ledTimeout is how long a question waits for other leaders: brokers miss a dead one after 9 s, and then elect.
	ledTimeout = 15 * time.Second
	ledAgain   = 500 * time.Millisecond // metadata are asked for anew by then
)

// untilLed repeats a question to the leaders of partitions while one of them cannot be reached or does not lead (yet):
// for seconds after a broker's end, before others take over. The client gives up at once. When no broker answers at
// all nothing is repeated.
func untilLed(ctx context.Context, ask func() (kadm.ListedOffsets, error)) (kadm.ListedOffsets, error) {
	limit := time.After(ledTimeout)
	for {
		offsets, err := ask()
		if !leaderless(offsets, err) {
			return offsets, err
		}
		select {
		case <-limit:
			return offsets, err
		case <-ctx.Done():
			return offsets, err
		case <-time.After(ledAgain):
		}
	}
}

// leaderless reports whether an answer lacks what only a leader says, which cannot be reached now.
func leaderless(offsets kadm.ListedOffsets, err error) bool {
	if shards, ok := errors.AsType[*kadm.ShardErrors](err); ok {
		for _, s := range shards.Errs {
			if noDial(s.Err) {
				return true
			}
		}
	}
	missing := false
	offsets.Each(func(o kadm.ListedOffset) {
		missing = missing || errors.Is(o.Err, kerr.NotLeaderForPartition) || errors.Is(o.Err, kerr.OffsetNotAvailable)
	})
	return missing
}

// noDial reports whether a broker could not be reached at all.
func noDial(err error) bool {
	dial, ok := errors.AsType[*net.OpError](err)
	return ok && dial.Op == "dial"
}
