// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"encoding/json"
	"strconv"

	"github.com/autobus-io/autobus/internal/kafka"
)

// route is what a control record says of where a type's events go. A change of it is a move, and needs a new epoch.
type route struct {
	Topic      string `json:"topic"`
	Partitions int32  `json:"partitions"`
	Hash       string `json:"hash"`
}

// regressions demands that what only grows did: ends of partitions, epochs of routes, and the epochs by which the
// records of a partition were written. An event written by an older epoch behind one of a newer one is a write that
// was accepted after its route had moved.
func (c *checker) regressions(h *History) {
	last := map[kafka.TP]int64{}
	for _, ends := range h.ends {
		for tp, end := range ends {
			if end < last[tp] {
				c.fault(Regressed, "", "%s/%d ended at %d, later at %d", tp.Topic, tp.Partition, last[tp], end)
			}
			last[tp] = max(last[tp], end)
		}
	}
	for tp, end := range last {
		if e := c.ends[tp]; e < end && c.sent[tp.Topic] {
			c.fault(Regressed, "", "%s/%d ended at %d, the log that was read ends at %d", tp.Topic, tp.Partition, end, e)
		}
	}
	epochs := c.routes(h.control)
	highest := map[kafka.TP]int64{}
	for _, r := range c.order { // by offset within each read; what a later read adds stands behind
		if r.epoch == "" || !c.sent[r.tp.Topic] {
			continue
		}
		epoch, err := strconv.ParseInt(r.epoch, 10, 64)
		switch known := epochs[r.tp.Topic]; {
		case err != nil:
			c.fault(Regressed, r.id, "its epoch at %s is %q", r.place, r.epoch)
		case known != nil && !known[epoch]:
			c.fault(Regressed, r.id, "it was written at %s by the epoch %d, which no route of the type had", r.place, epoch)
		case epoch < highest[r.tp]:
			c.fault(Regressed, r.id, "it was written at %s by the epoch %d, behind one of %d", r.place, epoch, highest[r.tp])
		default:
			highest[r.tp] = epoch
		}
	}
}

// routes reads the routes in the control log, those whose writer won, and gives the epochs of each topic.
func (c *checker) routes(log []kafka.Record) map[string]map[int64]bool {
	type current struct {
		route
		epoch, offset int64
	}
	epochs := map[string]map[int64]bool{}
	now := map[string]*current{} // by type
	for _, r := range log {
		var s struct {
			Kind, Name string
			Prev       int64
			Value      *struct {
				route
				Epoch int64 `json:"epoch"`
			}
		}
		if json.Unmarshal(r.Value, &s) != nil || s.Kind != "route" {
			continue
		}
		was := now[s.Name]
		if was != nil && was.offset != s.Prev {
			continue // it lost: another record had been there first
		}
		if was == nil {
			was = &current{}
			now[s.Name] = was
		}
		was.offset = r.Offset
		if s.Value == nil {
			continue
		}
		switch moved := was.epoch > 0 && was.route != s.Value.route; {
		case s.Value.Epoch < was.epoch:
			c.fault(Regressed, "", "the route of %s had the epoch %d, at %d of the control log it has %d", s.Name, was.epoch,
				r.Offset, s.Value.Epoch)
		case moved && s.Value.Epoch == was.epoch:
			c.fault(Regressed, "", "the route of %s moved at %d of the control log and kept its epoch %d", s.Name, r.Offset,
				was.epoch)
		}
		was.route, was.epoch = s.Value.route, max(was.epoch, s.Value.Epoch)
		if epochs[s.Value.Topic] == nil {
			epochs[s.Value.Topic] = map[int64]bool{}
		}
		epochs[s.Value.Topic][s.Value.Epoch] = true
	}
	return epochs
}
