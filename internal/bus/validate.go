// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"bytes"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/spec"
)

// validate holds an event against the limits, its spec and its key, and sets e.Key. Everything that would make the
// brokers refuse a batch is refused here: in a batch there are other people's events too.
func validate(r *route, t *spec.Type, e *autobus.Event, mode autobus.Mode) *autobus.Error {
	if err := e.Check(); err != nil {
		return err
	}
	if limit := r.maxEvent(); len(e.Data) > limit {
		return tooLarge(e, len(e.Data), limit)
	}
	if err := checkData(t, e); err != nil {
		if t != nil && mode == autobus.Ordered {
			e.Key, _ = t.Key(e.Data) // a failure stops its key, if it has one
		}
		return err
	}
	key, err := keyOf(t, e)
	if err != nil {
		return err
	}
	e.Key = key
	if limit := r.maxEvent(); e.Size() > limit {
		return tooLarge(e, e.Size(), limit)
	}
	return nil
}

func checkData(t *spec.Type, e *autobus.Event) *autobus.Error {
	if t == nil {
		if e.Data != nil && e.IsJSON() {
			return spec.CheckJSON(e.Data)
		}
		return nil
	}
	if !e.IsJSON() {
		return autobus.NewError(autobus.ReasonContentType, "%s takes JSON, not %q", e.Type, e.ContentType)
	}
	if e.Data == nil {
		err := autobus.NewError(autobus.ReasonDataInvalid, "the event has no data")
		err.Faults = []autobus.Fault{{Rule: "required"}}
		return err
	}
	return t.Check(e.Data)
}

// keyOf takes the partition key from the field the spec names, else from the extension partitionkey. nil = no key.
func keyOf(t *spec.Type, e *autobus.Event) ([]byte, *autobus.Error) {
	var key []byte
	given, has := e.Ext(autobus.ExtPartitionKey)
	if t != nil {
		var err *autobus.Error
		if key, err = t.Key(e.Data); err != nil {
			return nil, err
		}
	}
	switch {
	case key == nil && has:
		key = []byte(given)
	case has && !bytes.Equal(key, []byte(given)):
		return nil, autobus.NewError(autobus.ReasonKeyMismatch, "partitionkey is %q, the field %s says %q", given,
			t.KeyPointer, key)
	}
	if len(key) > autobus.MaxKeyBytes {
		return nil, autobus.NewError(autobus.ReasonKeyTooLarge, "the key has %d bytes, at most %d", len(key),
			autobus.MaxKeyBytes)
	}
	return key, nil
}

func tooLarge(e *autobus.Event, size, limit int) *autobus.Error {
	return autobus.NewError(autobus.ReasonEventTooLarge, "the event has %d bytes, %s takes at most %d", size, e.Type,
		limit)
}
