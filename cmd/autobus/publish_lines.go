// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"sync"
)

// inputLine is where an event came from, and the type its line names: the bus does not say it of an event that it
// could not read.
type inputLine struct {
	number int
	typ    string
}

// inputLines remembers the lines that were sent and not answered. There are no more of them than are under way, since
// the bus answers in order and holds up who is too fast.
type inputLines struct {
	mu    sync.Mutex
	first int // index of the first event in sent
	sent  []inputLine
}

func (l *inputLines) add(line inputLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, line)
}

// of gives the line of an event and forgets those before it.
func (l *inputLines) of(index int) inputLine {
	if l == nil {
		return inputLine{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := index - l.first; i >= 0 && i < len(l.sent) {
		l.first, l.sent = index, l.sent[i:]
		return l.sent[0]
	}
	return inputLine{}
}

// namedType finds the member type of a structured event, also where what follows cannot be read.
func namedType(line []byte) string {
	d := json.NewDecoder(bytes.NewReader(line))
	if begin, err := d.Token(); err != nil || begin != json.Delim('{') {
		return ""
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return ""
		}
		if name == "type" {
			var typ string
			_ = d.Decode(&typ) // one that is no string is as good as none
			return typ
		}
		var other json.RawMessage
		if d.Decode(&other) != nil {
			return ""
		}
	}
	return ""
}
