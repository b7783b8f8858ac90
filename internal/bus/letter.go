// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// DeadLetter is an event that a subscription gave up. Public: the API answers with it.
type DeadLetter struct {
	Number      int64           `json:"number"` // names it among those of its subscription; the older the lower
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Key         string          `json:"key,omitempty"`
	Topic       string          `json:"topic"` // where the event stands, with its partition and offset
	Partition   int32           `json:"partition"`
	Offset      int64           `json:"offset"`
	Reason      string          `json:"reason"`
	Fingerprint string          `json:"fingerprint"` // equal for reasons that differ in numbers and names alone
	Attempts    int             `json:"attempts"`
	First       time.Time       `json:"first,omitzero"` // delivery by the instance that gave it up
	Last        time.Time       `json:"last"`           // when it was given up
	Omitted     string          `json:"omitted,omitempty"`
	Redriven    *int64          `json:"redriven,omitempty"` // number of the letter that its event was redriven from
	Edited      *int64          `json:"edited,omitempty"`   // number of the letter whose place it took
	Fate        string          `json:"fate,omitempty"`     // what became of it since: redriven, dropped or edited
	Event       json.RawMessage `json:"event,omitempty"`    // where it was asked for

	event autobus.Event
	place int // which of topic, partition and offset were told, as bits
	size  int
}

// What a letter can tell of where its event stands.
const (
	toldTopic = 1 << iota
	toldPartition
	toldOffset

	wholePlace = toldTopic | toldPartition | toldOffset
)

// source is the partition of its event.
func (l *DeadLetter) source() kafka.TP { return kafka.TP{Topic: l.Topic, Partition: l.Partition} }

// life is the letter that its event lived from when it was given up, as in copyID: 0 = it came from its source.
func (l *DeadLetter) life() int64 {
	if l.Redriven == nil {
		return 0
	}
	return *l.Redriven + 1
}

// Headers by which others say why a record is among the dead: Spring for Apache Kafka's DeadLetterPublishingRecoverer,
// and Kafka Connect's sink connectors.
const (
	springPrefix  = "kafka_dlt-"
	connectPrefix = "__connect.errors."
)

// readLetter understands a record of the dead letters, whoever wrote it. What is not told stays empty, and stands where
// the letter itself does.
func readLetter(cluster string, rec *kafka.Record) DeadLetter {
	l := DeadLetter{Number: rec.Offset, Topic: rec.Topic, Partition: rec.Partition, Offset: rec.Offset,
		Last: rec.Time.UTC(), size: rec.Size()}
	for _, h := range rec.Headers {
		value := strings.ToValidUTF8(string(h.Value), "\uFFFD")
		switch name := h.Key; {
		case strings.HasPrefix(name, lettersPrefix):
			l.own(name[len(lettersPrefix):], value)
		case strings.HasPrefix(name, springPrefix):
			l.spring(name[len(springPrefix):], value, h.Value)
		case strings.HasPrefix(name, connectPrefix):
			l.connect(name[len(connectPrefix):], value)
		}
	}
	place := *rec
	place.TP, place.Offset = kafka.TP{Topic: l.Topic, Partition: l.Partition}, l.Offset
	l.event = decode(cluster, "", &place)
	l.event.Type = cmp.Or(l.event.Type, l.Topic)
	l.ID, l.Source, l.Type = l.event.ID, l.event.Source, l.event.Type
	l.Key = strings.ToValidUTF8(string(rec.Key), "\uFFFD")
	l.Fingerprint = fingerprint(l.Reason)
	return l
}

// own takes what the bus wrote.
func (l *DeadLetter) own(name, value string) {
	switch name {
	case "reason":
		l.Reason = value
	case "attempts":
		l.Attempts = int(max(0, number32(value)))
	case "topic":
		l.inTopic(value)
	case "partition":
		l.inPartition(whole(value))
	case "offset":
		l.atOffset(whole(value))
	case "redriven":
		if n := whole(value); n >= 0 {
			l.Redriven = &n
		}
	case "edited":
		n := number64(value)
		l.Edited = &n
	case "first":
		l.First, _ = time.Parse(time.RFC3339Nano, value)
	case "last":
		if t, err := time.Parse(time.RFC3339Nano, value); err == nil {
			l.Last = t
		}
	case "omitted":
		l.Omitted = value
	}
}

// spring takes what Spring wrote: numbers are big-endian.
func (l *DeadLetter) spring(name, value string, raw []byte) {
	switch {
	case name == "exception-message":
		l.Reason = value
	case name == "exception-fqcn" && l.Reason == "":
		l.Reason = value
	case name == "original-topic":
		l.inTopic(value)
	case name == "original-partition" && len(raw) == 4:
		l.inPartition(int64(int32(binary.BigEndian.Uint32(raw))))
	case name == "original-offset" && len(raw) == 8:
		l.atOffset(int64(binary.BigEndian.Uint64(raw)))
	}
}

func (l *DeadLetter) connect(name, value string) {
	switch name {
	case "exception.message":
		l.Reason = value
	case "topic":
		l.inTopic(value)
	case "partition":
		l.inPartition(whole(value))
	case "offset":
		l.atOffset(whole(value))
	}
}

// unburied is the record of a letter's event as it stood in its source, but for its time. What a letter has besides is
// left away, by whomever it was written.
func (l *DeadLetter) unburied(rec *kafka.Record) kafka.Record {
	out := kafka.Record{TP: l.source(), Offset: l.Offset, Time: rec.Time, Key: rec.Key, Value: rec.Value}
	for _, h := range rec.Headers {
		if !strings.HasPrefix(h.Key, lettersPrefix) && !strings.HasPrefix(h.Key, springPrefix) &&
			!strings.HasPrefix(h.Key, connectPrefix) {
			out.Headers = append(out.Headers, h)
		}
	}
	return out
}

// A place counts only if it can be one: what lies in the topic may have been written by anybody.

func (l *DeadLetter) inTopic(name string) { l.Topic, l.place = name, l.place|toldTopic }

func (l *DeadLetter) inPartition(n int64) {
	if n >= 0 && n <= math.MaxInt32 {
		l.Partition, l.place = int32(n), l.place|toldPartition
	}
}

func (l *DeadLetter) atOffset(n int64) {
	if n >= 0 {
		l.Offset, l.place = n, l.place|toldOffset
	}
}

// whole reads a number from 0 on; -1 = it is none.
func whole(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

func number32(s string) int32 {
	n, _ := strconv.ParseInt(s, 10, 32)
	return int32(n)
}

func number64(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// varying is what differs between reasons of one kind: quoted text, hexadecimal ids, numbers. At most so much of a
// reason counts: what comes behind is a stack.
var varying = regexp.MustCompile(`"[^"]*"|'[^']*'|\b[0-9a-fA-F]{8,}(-[0-9a-fA-F]{4,})*\b|[0-9]+`)

const fingerprinted = 200 // bytes

// fingerprint is the same for reasons that differ in what varies alone. Jobs are stored with it, so it must stay what
// it is: else they would choose other letters than they did.
func fingerprint(reason string) string {
	first, _, _ := strings.Cut(reason, "\n")
	first = varying.ReplaceAllString(first, "#")
	h := fnv.New64a()
	_, _ = h.Write([]byte(first[:min(len(first), fingerprinted)]))
	return fmt.Sprintf("%016x", h.Sum64())
}
