// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"encoding/json"
	"strings"

	"github.com/autobus-io/autobus"
)

// Type is what a spec says of one event type. It is immutable.
type Type struct {
	Name          string            // orders.order.placed.v1
	Version       string            // of the spec, MAJOR.MINOR.PATCH; MAJOR is the N of vN
	Title         string            // info.title
	Description   string            // info.description
	Owner         string            // x-owner
	Kind          string            // event, command or query
	Lifecycle     string            // draft, active, deprecated or retired
	File          string            // the file that declares it
	Line          int               // of its address in File
	KeyPointer    string            // JSON pointer to the partition key within the data, "" = none
	Unordered     bool              // x-unordered: events of a key need no order
	Partitions    int32             // 0 = the spec is silent
	PartitionsAt  Place             // where the spec says so, else where the type is declared
	Replicas      int               // 0 = the spec is silent
	Configs       map[string]string // topic settings as Kafka wants them; never nil
	MaxEventBytes int               // data + key + attributes
	BestEffort    bool              // x-durability: best-effort
	Partitioner   string            // murmur2 or sarama
	OpenWriters   bool              // x-writers: open
	ContentType   string            // of data that nobody looks at, such as application/octet-stream; "" = JSON
	Schema        json.RawMessage   // JSON Schema draft-07 of JSON data; refers to nothing outside itself
	Compatibility CompatLevel       // x-compatibility, FULL_TRANSITIVE where the spec is silent
	Examples      []json.RawMessage // data that Check accepts
	Replies       []*Reply          // what may be answered, in the order of the file; nil = it is no request

	schema       *schema
	program      *program // the schema compiled
	identity     *identity
	looseFormats bool
}

// Place is a line of a spec repository's file.
type Place struct {
	File string
	Line int
}

// Check reports whether data is readable JSON (CheckJSON), valid, and free of undeclared fields. The error lists at
// most 20 faults in the order of their pointers. Data of a ContentType is not looked at.
func (t *Type) Check(data []byte) *autobus.Error {
	if t.ContentType != "" {
		return nil
	}
	if t.program != nil {
		if _, valid := t.program.walk(data); valid {
			return nil
		}
	}
	return t.judge(data)
}

// CheckKey is Check and Key in one pass over the data, if it is valid; the errors are theirs.
func (t *Type) CheckKey(data []byte) (key []byte, keyErr, err *autobus.Error) {
	if t.ContentType != "" {
		return nil, nil, nil
	}
	if t.program == nil {
		key, keyErr = t.Key(data)
		return key, keyErr, t.judge(data)
	}
	raw, valid := t.program.walk(data)
	if raw != nil && t.KeyPointer != "" {
		key, keyErr = t.keyOf(raw)
	} else {
		key, keyErr = t.Key(data)
	}
	if !valid {
		err = t.judge(data)
	}
	return key, keyErr, err
}

// judge takes the long way: it decodes the data, asks the validator, and explains what that finds.
func (t *Type) judge(data []byte) *autobus.Error {
	if err := CheckJSON(data); err != nil {
		return err
	}
	if t.schema == nil {
		return nil
	}
	faults := t.schema.faults(decode(data))
	if len(faults) == 0 {
		return nil
	}
	more := ""
	if n := len(faults) - 1; n > 0 {
		more = ", and more"
	}
	err := autobus.NewError(autobus.ReasonDataInvalid, "the data does not match %s: %s%s", t.Name,
		strings.TrimSpace(faults[0].Pointer+" "+sentence(faults[0])), more)
	err.Faults = faults
	return err
}
