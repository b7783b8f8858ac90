// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/spec"
)

// past is every version of every type that was ever in force, read from the control log when a push has to be judged:
// what a version wrote may still be in the topic, and who was built by it may still read.
type past struct {
	mu       sync.Mutex
	read     int64          // offset of the last manifest that was read
	last     *spec.Snapshot // of that manifest, or the last before it that could be read; nil = there was none
	versions []superseded   // the oldest first
}

// superseded are the types that a manifest changed or took away, as they were before.
type superseded struct {
	types *spec.Snapshot
	until time.Time
}

// history gives what was in force, the oldest first and what is now last; until tells when a version of those before
// was replaced.
func (r *Registry) history(ctx context.Context) (snapshots []*spec.Snapshot, until map[*spec.Type]time.Time,
	err error) {
	p := &r.past
	p.mu.Lock()
	defer p.mu.Unlock()
	records, err := r.cfg.Control.History(ctx, control.KindManifest, control.ManifestName, p.read)
	if err != nil {
		return nil, nil, err
	}
	for _, rec := range records {
		p.read = rec.Offset
		next := spec.Empty()
		if !rec.Removed() {
			f, err := r.load(rec)
			if err != nil { // what cannot be read cannot be compared with; the log told of it when it came
				continue
			}
			next = f.snapshot
		}
		p.follow(next, rec.Time)
	}
	until = map[*spec.Type]time.Time{}
	for _, v := range p.versions {
		snapshots = append(snapshots, v.types)
		for _, t := range v.types.Types() {
			until[t] = v.until
		}
	}
	if p.last != nil {
		snapshots = append(snapshots, p.last)
	}
	return snapshots, until, nil
}

func (p *past) follow(next *spec.Snapshot, at time.Time) {
	if p.last != nil {
		changed := p.last.Only(func(t *spec.Type) bool {
			n, ok := next.Type(t.Name)
			return !ok || !spec.SameData(t, n)
		})
		if changed.Len() > 0 {
			p.versions = append(p.versions, superseded{changed, at})
		}
	}
	p.last = next
}

// rollTime is how long Kafka may take to close a file of a topic that does not say; only whole files are deleted.
const rollTime = 7 * 24 * time.Hour

// emptied reports whether events that were written before a time are certainly gone from a topic.
func emptied(topic kafka.Topic, written, now time.Time) bool {
	retention, told := topic.Millis("retention.ms")
	if !told || retention < 0 || strings.Contains(topic.Configs["cleanup.policy"], "compact") {
		return false
	}
	roll, told := topic.Millis("segment.ms")
	if !told {
		roll = rollTime
	}
	return now.Sub(written) > retention+roll
}
