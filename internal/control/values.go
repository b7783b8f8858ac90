// SPDX-License-Identifier: Apache-2.0

package control

import (
	"time"

	"github.com/autobus-io/autobus"
)

// Kinds of records.
const (
	KindCluster  = "cluster"  // ClusterValue; the log's first record
	KindSpec     = "spec"     // SpecFile; the name is its SHA-256 in hex
	KindManifest = "manifest" // Manifest; the name is ManifestName
	KindRoute    = "route"    // Route; the name is the type
	KindToken    = "token"    // Token; the name is its id

	KindSubscription = "subscription" // Subscription; the name is its own
	KindSecret       = "secret"       // Secret; the name says what for
	KindJob          = "job"          // Job; the name is its id

	KindSchema         = "schema"          // Schema; the name is its id in decimal
	KindSubject        = "subject"         // Subject; the name is its own
	KindSchemaSettings = "schema-settings" // SchemaSettings; the name is SettingsName
)

// ClusterValue names the cluster for good.
type ClusterValue struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// SpecFile is one file of a spec repository.
type SpecFile struct {
	Path    string `json:"path"`
	Content string `json:"content"`
}

// ManifestName is the one name of kind manifest.
const ManifestName = "specs"

// Manifest lists the files in force. Writing it is the swap from one bundle to the next.
type Manifest struct {
	Files []ManifestFile `json:"files"`
}

// ManifestFile points at a spec record.
type ManifestFile struct {
	Path string `json:"path"`
	Hash string `json:"hash"`
}

// Orders of a route.
const (
	OrderKey  = "key"
	OrderNone = "none"
)

// Route says where the events of a type go. Its partition count and hash are pinned: events keep their place by key
// whatever the cluster's metadata says.
type Route struct {
	Type          string `json:"type"`
	Cluster       string `json:"cluster"`
	Topic         string `json:"topic"`
	Partitions    int32  `json:"partitions"`
	Hash          string `json:"hash"`  // murmur2 or sarama
	Order         string `json:"order"` // key or none
	Epoch         int64  `json:"epoch"` // grows with every move; stands in each record
	MaxEventBytes int    `json:"max_event_bytes"`
	BestEffort    bool   `json:"best_effort,omitempty"`
	Unspecified   bool   `json:"unspecified,omitempty"` // made by the first publish in dev, without a spec
}

// Token is an access token. The token itself is never stored.
type Token struct {
	ID        string          `json:"id"`
	Principal string          `json:"principal"`
	Hash      string          `json:"hash"` // SHA-256 of the secret, hex
	Grants    []autobus.Grant `json:"grants"`
	Created   time.Time       `json:"created"`
}

// SecretReplies is the name of the secret that signs the addresses of inboxes.
const SecretReplies = "replies"

// Secret is what the instances of a cluster know and nobody else may.
type Secret struct {
	Key []byte `json:"key"`
}

// Subscription is a durable consumer group. Its Kafka group has the same name.
type Subscription struct {
	Policy autobus.Policy `json:"policy"`

	// Positions are the first offsets by topic and partition, resolved when the subscription was made. A partition that
	// is not named began later and is read from 0.
	Positions map[string]map[int32]int64 `json:"positions"`

	// TopicIDs are those of the topics whose positions these are, in hex: in a topic that was deleted and made again the
	// same offset is another place.
	TopicIDs map[string]string `json:"topic_ids,omitempty"`

	// SeekEpoch grows with every move of the positions; what was committed under another one does not count.
	SeekEpoch uint32    `json:"seek_epoch"`
	Created   time.Time `json:"created"`

	// The rest is surgery, see surgery.go, which also says what version a record has.
	Epochs  map[string]map[int32]uint32 `json:"epochs,omitempty"` // seek epochs of partitions that were moved alone
	Paused  *Pause                      `json:"paused,omitempty"`
	Skips   []Place                     `json:"skips,omitempty"`
	Replays []Replay                    `json:"replays,omitempty"`
}

// Schema is a schema under its id. Ids are given to one schema for good: the record of an id is never replaced, so that
// writing it is what reserves the id.
type Schema struct {
	ID         int32             `json:"id"`
	Type       string            `json:"type"` // JSON or AVRO
	Text       string            `json:"text"`
	References []SchemaReference `json:"references,omitempty"`
}

// SchemaReference says where the schema stands that another one names.
type SchemaReference struct {
	Name    string `json:"name"`
	Subject string `json:"subject"`
	Version int32  `json:"version"`
}

// Subject is a name under which versions of a schema are kept, and what holds for the next one.
type Subject struct {
	Versions []SubjectVersion `json:"versions,omitempty"` // in the order of their numbers
	SchemaSettings
}

// SubjectVersion points at a schema.
type SubjectVersion struct {
	Version int32  `json:"version"`
	ID      int32  `json:"id"`
	Deleted bool   `json:"deleted,omitempty"` // hidden, but still there
	Spec    string `json:"spec,omitempty"`    // version of the spec that it comes from; empty = a client registered it
}

// SettingsName is the one name of kind schema-settings.
const SettingsName = "all"

// SchemaSettings are those of one subject, or of all that have none of their own. Empty = not set.
type SchemaSettings struct {
	Compatibility string `json:"compatibility,omitempty"` // BACKWARD, ...
	Policy        string `json:"policy,omitempty"`        // STRICT or LENIENT
	Mode          string `json:"mode,omitempty"`          // READWRITE, READONLY or IMPORT
}
