// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"time"

	"github.com/autobus-io/autobus"
)

// tailedLines takes events out of what tail and consume wrote, so that a pipe from them to publish copies them.
type tailedLines struct {
	keyed func(name string) bool // whether the type's key is a field of its data
	known map[string]bool        // what keyed said
}

// event gives the event inside such a line, nothing for a heartbeat, and any other line as it is: the bus says what
// is wrong with it.
func (t *tailedLines) event(line []byte) []byte {
	var members map[string]json.RawMessage
	if json.Unmarshal(line, &members) != nil || members["specversion"] != nil {
		return line
	}
	if members["heartbeat"] != nil && len(members) == 1 {
		return nil
	}
	event, key := members["event"], members["key"]
	if event == nil || members["offset"] == nil {
		return line
	}
	rawType := members["type"]
	if rawType == nil { // consume's lines say it inside the event only
		rawType, _ = json.Marshal(namedType(event))
	}
	if key == nil || t.ownKey(rawType) {
		return event
	}
	return withKey(event, key)
}

// ownKey reports whether the bus takes the key of such events from their data. Then the event needs none beside it,
// and would not be the same with one.
func (t *tailedLines) ownKey(rawType json.RawMessage) bool {
	var name string
	if json.Unmarshal(rawType, &name) != nil || name == "" {
		return false
	}
	keyed, ok := t.known[name]
	if !ok {
		keyed = t.keyed(name)
		if t.known == nil {
			t.known = map[string]bool{}
		}
		t.known[name] = keyed
	}
	return keyed
}

// withKey gives the event the record's key where it names none itself: another program wrote it.
func withKey(event, key json.RawMessage) json.RawMessage {
	var members map[string]json.RawMessage
	rest, isObject := bytes.CutPrefix(event, []byte("{"))
	if json.Unmarshal(event, &members) != nil || !isObject || len(members) == 0 ||
		members[autobus.ExtPartitionKey] != nil {
		return event
	}
	out := append([]byte(`{"`+autobus.ExtPartitionKey+`":`), key...)
	return append(append(out, ','), rest...)
}

// keyed asks whether a type's key is a field of its data. A type that the bus does not know has none.
func (c *api) keyed(ctx context.Context, name string, timeout time.Duration) bool {
	doc, err := c.get(ctx, "/v1/types/"+url.PathEscape(name), timeout)
	var t typeInfo
	return err == nil && json.Unmarshal(doc, &t) == nil && t.Key != ""
}
