// SPDX-License-Identifier: Apache-2.0

package autobus

import "time"

// Limits that hold everywhere. A spec may set a smaller event size for its type, never a larger one.
const (
	MaxEventBytes      = 1_000_000 // data + key + attributes of one event
	MaxKeyBytes        = 1 << 10   // partition key
	MaxAttributeBytes  = 4 << 10   // value of one CloudEvents attribute
	MaxExtensions      = 64        // extension attributes of one event
	MaxExtensionName   = 20        // bytes of an extension's name (CloudEvents asks for at most 20)
	MaxIDBytes         = 128       // event id, printable
	MaxBatchEvents     = 1000      // events of one batch
	MaxBatchBytes      = 8 << 20   // bytes of one batch
	MaxDepth           = 64        // nesting of JSON data
	MaxNumberBytes     = 64        // length of a JSON number
	MaxTypeBytes       = 180       // length of a type
	RecordOverhead     = 1 << 10   // room a Kafka record takes beside Event.Size: headers' names, varints, batch header
	InternalTopicExtra = 128 << 10 // what retry, dlq, park and delay topics allow beyond MaxEventBytes
)

// MaxDelay is how far in the future an event may be scheduled.
const MaxDelay = 180 * 24 * time.Hour
