// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"math"
	"strconv"
	"strings"

	"github.com/autobus-io/autobus"
)

// topic reads the Kafka binding of the channel.
func (d *reader) topic() {
	d.t.MaxEventBytes = autobus.MaxEventBytes
	d.t.Configs = map[string]string{}
	kafka := d.walk(d.channel, "bindings", "kafka")
	if topic := kafka.node.str("topic"); topic != "" && topic != d.t.Name {
		d.report(kafka.child("topic"), "Leave it away.", "the topic's name is the type's, not %s", shorten(topic, maxValue))
	}
	partitions := kafka.child("partitions")
	d.t.Partitions, d.t.PartitionsAt = int32(d.number(partitions, 1, 10_000)), Place{d.t.File, d.t.Line}
	if partitions.node != nil {
		d.t.PartitionsAt = Place{partitions.file, d.line(partitions)}
	}
	d.t.Replicas = d.number(kafka.child("replicas"), 1, 100)
	settings := kafka.child("topicConfiguration")
	if settings.node == nil {
		return
	}
	for _, k := range settings.node.keys {
		at := settings.child(k.name)
		value, ok := setting(at.node)
		if !ok {
			d.report(at, "Write a word, a number, true, false, or a list of words.", "%s cannot be a topic's setting", k.name)
			continue
		}
		d.t.Configs[k.name] = value
		if k.name == "max.message.bytes" {
			n := d.number(at, 2*autobus.RecordOverhead, math.MaxInt32)
			d.t.MaxEventBytes = min(n-autobus.RecordOverhead, autobus.MaxEventBytes)
		}
	}
}

// number reads an integer within bounds, 0 when there is none.
func (r *parser) number(p place, lowest, highest int) int {
	if p.node == nil {
		return 0
	}
	n, err := strconv.Atoi(p.node.text)
	if err != nil || n < lowest || n > highest {
		r.report(p, "Choose another number.", "%s must be an integer from %d to %d", p.path[len(p.path)-1], lowest, highest)
		return 0
	}
	return n
}

// setting writes a topic's setting as Kafka wants it: a list joined by commas.
func setting(n *node) (string, bool) {
	switch {
	case n.form == str:
		return n.value, true
	case n.form == literal && n.text != "null":
		return n.text, true
	case n.form == list:
		words := make([]string, len(n.values))
		for i, v := range n.values {
			word, ok := setting(v)
			if !ok || v.form == list {
				return "", false
			}
			words[i] = word
		}
		return strings.Join(words, ","), true
	}
	return "", false
}
