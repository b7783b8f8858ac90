// SPDX-License-Identifier: Apache-2.0

package autobus

import (
	"strings"
	"time"
)

// Event is a CloudEvents 1.0 event. Data is the payload byte for byte as it was published.
type Event struct {
	ID      string    // unique per source; absent = the bus fills in a UUIDv7
	Source  string    // absent = "/" + the principal's name
	Type    string    // "orders.order.placed.v1": the spec, the Kafka topic and ce_type alike
	Subject string    // optional
	Time    time.Time // when it happened, with its offset; zero = the gateway's clock

	ContentType string      // datacontenttype; empty means application/json
	DataSchema  string      // dataschema, optional
	Extensions  []Extension // further attributes, among them partitionkey, in the order in which they came
	Data        []byte      // nil = an event without data: of a compacted type, that its key is no more

	// Key is the partition key. The bus sets it: from the field the spec names, else from the extension
	// partitionkey. nil means no key, which is not the same as an empty one.
	Key []byte

	// Unspecified marks an event that somebody wrote to Kafka without CloudEvents headers. Its ID is then
	// "topic:partition:offset".
	Unspecified bool
}

// Extension is one CloudEvents extension attribute. The value is the canonical string of its CloudEvents type:
// booleans "true" or "false", integers in decimal.
type Extension struct {
	Name  string // [a-z0-9]{1,20}
	Value string
}

// Names of extensions that the bus itself understands.
const (
	ExtPartitionKey  = "partitionkey"  // the partition key where the spec names no field
	ExtCorrelationID = "correlationid" // names a whole business flow
	ExtCausationID   = "causationid"   // id of the event that caused this one; of a reply, of the request
	ExtExpiryTime    = "expirytime"    // RFC 3339: work on the event that has not begun by then is not begun
	ExtReplyTo       = "replyto"       // of a request: the Address for its replies
	ExtTo            = "to"            // of a reply: the request's replyto
	ExtError         = "error"         // of a reply that is an error: the name of its message, or ErrorProblem
	ExtResponder     = "responder"     // of a reply: the subscription whose worker it is of
	ExtDeliverAt     = "deliverat"     // RFC 3339: to be published then; whoever reads the event does not see it
	ExtTraceParent   = "traceparent"   // W3C trace context; kept as sent, a record header of its own name
	ExtTraceState    = "tracestate"    // goes with ExtTraceParent
)

// ErrorProblem is the ExtError of a reply that no spec has to declare: the responder could not answer. Its data is a
// problem (RFC 9457) in JSON.
const ErrorProblem = "problem"

// ReplySuffix is what the type of a reply has behind the type of the request.
const ReplySuffix = ".reply"

// RequestType is the type that a type of replies answers.
func RequestType(reply string) (name string, ok bool) { return strings.CutSuffix(reply, ReplySuffix) }

// ReplyTo is the address for the replies to a request; empty for every other event.
func (e *Event) ReplyTo() Address {
	to, _ := e.Ext(ExtReplyTo)
	return Address(to)
}

// Expiry is the time of ExtExpiryTime; zero when there is none, or none that can be read.
func (e *Event) Expiry() (t time.Time) {
	if s, ok := e.Ext(ExtExpiryTime); ok {
		t, _ = time.Parse(time.RFC3339Nano, s)
	}
	return t
}

// ExpiryGrace is how much later than its expirytime an event still counts as in time: clocks differ.
const ExpiryGrace = 500 * time.Millisecond

// Expired reports whether the event's expirytime is over at a time, by more than ExpiryGrace.
func (e *Event) Expired(now time.Time) bool {
	t := e.Expiry()
	return !t.IsZero() && now.After(t.Add(ExpiryGrace))
}

// Ext returns the value of an extension and whether the event has it.
func (e *Event) Ext(name string) (string, bool) {
	for i := range e.Extensions {
		if e.Extensions[i].Name == name {
			return e.Extensions[i].Value, true
		}
	}
	return "", false
}

// SetExt adds an extension or replaces its value.
func (e *Event) SetExt(name, value string) {
	for i := range e.Extensions {
		if e.Extensions[i].Name == name {
			e.Extensions[i].Value = value
			return
		}
	}
	e.Extensions = append(e.Extensions, Extension{Name: name, Value: value})
}

// IsJSON reports whether the content type says that Data is JSON: absent, application/json, or anything/…+json.
func (e *Event) IsJSON() bool { return IsJSON(e.ContentType) }

// Size is what counts against MaxEventBytes: data, key and attributes, in bytes.
func (e *Event) Size() int {
	n := len(e.Data) + len(e.Key) + len(e.ID) + len(e.Source) + len(e.Type) + len(e.Subject) + len(e.ContentType) +
		len(e.DataSchema)
	for i := range e.Extensions {
		n += len(e.Extensions[i].Name) + len(e.Extensions[i].Value)
	}
	return n
}

// IsJSON reports whether a content type says JSON: none at all, application/json, text/json or any …+json, whatever
// parameters follow.
func IsJSON(contentType string) bool {
	ct, _, _ := strings.Cut(contentType, ";")
	ct = strings.ToLower(strings.TrimSpace(ct))
	return ct == "" || ct == "application/json" || ct == "text/json" || strings.HasSuffix(ct, "+json")
}

// ValidExtension reports whether name can name an extension attribute: 1 to MaxExtensionName of [a-z0-9].
func ValidExtension(name string) bool {
	if name == "" || len(name) > MaxExtensionName {
		return false
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
