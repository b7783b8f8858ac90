// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"slices"
	"strings"

	"github.com/autobus-io/autobus"
)

// CheckEvent holds an event against the limits, its type and its key, and sets e.Key. t is nil where no spec declares
// the type; limit is how many bytes of data, key and attributes it may have. Everything that would make the brokers
// refuse a batch is refused here: in a batch there are other people's events too.
func CheckEvent(t *Type, e *autobus.Event, limit int) *autobus.Error {
	if err := e.Check(); err != nil {
		return err
	}
	if len(e.Data) > limit {
		return tooLarge(e, len(e.Data), limit)
	}
	if t != nil && tombstone(t, e) {
		return checkTombstone(e, limit)
	}
	if t != nil {
		if err := fits(t, e); err != nil {
			return err
		}
	}
	// The key comes before the rest of the data: whatever is wrong there, it is known whose order it concerns.
	keyErr, dataErr := checkData(t, e)
	if err := worse(keyErr, dataErr, e.Data); err != nil {
		return err
	}
	if e.Key == nil && t != nil && t.Compacted() {
		return autobus.NewError(autobus.ReasonKeyMissing, "%s keeps the last event of each key, and the event has none",
			t.Name).WithHint("Send partitionkey, or name a field as key in the spec.")
	}
	if e.Size() > limit {
		return tooLarge(e, e.Size(), limit)
	}
	return nil
}

// Compacted reports whether the log keeps the last event of each key of the type.
func (t *Type) Compacted() bool {
	return slices.Contains(strings.Split(t.Configs["cleanup.policy"], ","), "compact")
}

// tombstone reports whether an event says that its key is no more: in a compacted type, one without data, or whose data
// is null.
func tombstone(t *Type, e *autobus.Event) bool {
	return (e.Data == nil || len(e.Data) < 16 && string(bytes.TrimSpace(e.Data)) == "null") && t.Compacted()
}

// checkTombstone sets the key, which can come from partitionkey alone. There is no data that a schema could judge.
func checkTombstone(e *autobus.Event, limit int) *autobus.Error {
	key, given := e.Ext(autobus.ExtPartitionKey)
	if !given {
		return autobus.NewError(autobus.ReasonKeyMissing, "the event has no data, which ends its key, and names no key").
			WithHint("Send the key as partitionkey.")
	}
	e.Data, e.Key = nil, []byte(key)
	if e.Size() > limit {
		return tooLarge(e, e.Size(), limit)
	}
	return nil
}

// worse chooses what to refuse an event for. A key that is not there has a reason of its own, unless there is no object
// that could have it.
func worse(keyErr, dataErr *autobus.Error, data []byte) *autobus.Error {
	switch {
	case keyErr == nil:
		return dataErr
	case dataErr == nil:
		return keyErr
	case dataErr.Reason != autobus.ReasonDataInvalid || !bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")):
		return dataErr
	}
	for _, f := range dataErr.Faults {
		if !slices.ContainsFunc(keyErr.Faults, func(k autobus.Fault) bool { return k.Pointer == f.Pointer }) {
			keyErr.Faults = append(keyErr.Faults, f)
		}
	}
	return keyErr
}

// checkData checks the data and takes the key from it, in one pass if all is well.
func checkData(t *Type, e *autobus.Event) (keyErr, err *autobus.Error) {
	if t != nil {
		key, keyErr, err := t.CheckKey(e.Data)
		return setKey(t, e, key, keyErr), err
	}
	if e.Data != nil && e.IsJSON() {
		err = CheckJSON(e.Data)
	}
	return TakeKey(nil, e), err
}

// fits refuses what a schema cannot judge, and data of another content type than that of a type whose data is opaque.
func fits(t *Type, e *autobus.Event) *autobus.Error {
	switch {
	case t.ContentType != "" && !sameMedia(t.ContentType, e.ContentType):
		return autobus.NewError(autobus.ReasonContentType, "%s takes %s, not %q", t.Name, t.ContentType, e.ContentType).
			WithHint("Send content type %s.", t.ContentType)
	case t.ContentType == "" && !e.IsJSON():
		return autobus.NewError(autobus.ReasonContentType, "%s takes JSON, not %q", t.Name, e.ContentType)
	}
	if e.Data == nil {
		err := autobus.NewError(autobus.ReasonDataInvalid, "the event has no data")
		err.Faults = []autobus.Fault{{Rule: "required"}}
		return err
	}
	return nil
}

// sameMedia reports whether a content type is a media type, with whatever parameters.
func sameMedia(media, content string) bool {
	content, _, _ = strings.Cut(content, ";")
	return strings.EqualFold(strings.TrimSpace(content), media)
}

// TakeKey sets the partition key: from the field the spec names, else from the extension partitionkey, else none.
func TakeKey(t *Type, e *autobus.Event) *autobus.Error {
	if t == nil {
		return setKey(nil, e, nil, nil)
	}
	key, err := t.Key(e.Data)
	return setKey(t, e, key, err)
}

// setKey is TakeKey with what Type.Key said.
func setKey(t *Type, e *autobus.Event, key []byte, err *autobus.Error) *autobus.Error {
	given, has := e.Ext(autobus.ExtPartitionKey)
	if has {
		e.Key = []byte(given)
	}
	if t == nil || t.KeyPointer == "" {
		return nil // how long partitionkey may be was checked with the attributes
	}
	if err != nil {
		e.Key = nil
		return err
	}
	fault := []autobus.Fault{{Pointer: t.KeyPointer, Rule: "key"}}
	differs := has && !bytes.Equal(key, e.Key)
	e.Key = key
	if differs {
		err = autobus.NewError(autobus.ReasonKeyMismatch, "partitionkey is not what the field %s says", t.KeyPointer)
		err.Faults = fault
		return err
	}
	if len(key) > autobus.MaxKeyBytes {
		err = autobus.NewError(autobus.ReasonKeyTooLarge, "the key %s has %d bytes, at most %d", t.KeyPointer, len(key),
			autobus.MaxKeyBytes)
		err.Faults = fault
		return err
	}
	return nil
}

func tooLarge(e *autobus.Event, size, limit int) *autobus.Error {
	return autobus.NewError(autobus.ReasonEventTooLarge, "the event has %d bytes, %s takes at most %d", size, e.Type,
		limit)
}
