// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
)

// A schedule's id says what has to be known to cancel it, so that nothing has to be looked up and nobody has to keep an
// index: the event's type, when it is due, which event it is, and whose it is. What it says is checked by sums that go
// over the cluster's id too. They are no secret, for none is needed: an id that somebody made up cancels nothing.
//
//	orders.order.placed.v1~AZ2cVhQ...   type ~ base64url of: due (6 bytes), tag (9), owner (4), sum (4)
type scheduleID struct {
	text    string
	cluster string
	typ     string
	due     time.Time
	body    [scheduleBytes]byte
}

const (
	scheduleDue   = 6 // Unix milliseconds
	scheduleTag   = scheduleDue + 9
	scheduleOwner = scheduleTag + 4
	scheduleBytes = scheduleOwner + 4

	scheduleMark = "~"
)

// newScheduleID names the schedule of an event: the same one whenever that event is scheduled for the same time.
func newScheduleID(cluster, who string, e *autobus.Event, at time.Time) string {
	var b [scheduleBytes]byte
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(at.UnixMilli()))
	copy(b[:scheduleDue], ms[2:])
	copy(b[scheduleDue:scheduleTag], digest("event", who, e.Source, e.ID))
	copy(b[scheduleTag:scheduleOwner], ownerOf(cluster, e.Type, who, b[:scheduleTag]))
	copy(b[scheduleOwner:], digest("sum", cluster, e.Type, string(b[:scheduleOwner])))
	return e.Type + scheduleMark + base64.RawURLEncoding.EncodeToString(b[:])
}

// parseScheduleID reads an id; ok is false for what was never one in this cluster.
func parseScheduleID(cluster, text string) (id scheduleID, ok bool) {
	typ, body, found := strings.Cut(text, scheduleMark)
	raw, err := base64.RawURLEncoding.DecodeString(body)
	if !found || err != nil || len(raw) != scheduleBytes {
		return id, false
	}
	sum := digest("sum", cluster, typ, string(raw[:scheduleOwner]))
	if !bytes.HasPrefix(sum, raw[scheduleOwner:]) {
		return id, false
	}
	var ms [8]byte
	copy(ms[2:], raw[:scheduleDue])
	id = scheduleID{text: text, cluster: cluster, typ: typ,
		due: time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:]))).UTC()}
	copy(id.body[:], raw)
	return id, true
}

// of reports whether who scheduled it.
func (id scheduleID) of(who string) bool {
	return bytes.HasPrefix(ownerOf(id.cluster, id.typ, who, id.body[:scheduleTag]), id.body[scheduleTag:scheduleOwner])
}

func ownerOf(cluster, typ, who string, named []byte) []byte {
	return digest("owner", cluster, typ, who, string(named))
}

func digest(parts ...string) []byte {
	h := sha256.New()
	for _, p := range parts {
		_, _ = h.Write(frame(nil, p))
	}
	return h.Sum(nil)
}
