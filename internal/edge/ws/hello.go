// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"encoding/json"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// limits are what a client has to keep to.
type limits struct {
	FrameBytes      int `json:"frame_bytes"`
	BatchEvents     int `json:"batch_events"`
	EventBytes      int `json:"event_bytes"`
	PublishFrames   int `json:"publish_frames"` // in flight; more wait
	PublishBytes    int `json:"publish_bytes"`  // in flight; more wait
	Streams         int `json:"streams"`
	Subscriptions   int `json:"subscriptions"`
	WindowEvents    int `json:"window_events"`
	WindowBytes     int `json:"window_bytes"`
	ResultsPerFrame int `json:"ack_results"`
}

// hello is the first frame of every connection.
func hello(version, instance string) []byte {
	frame := struct {
		Op       string `json:"op"`
		Server   string `json:"server"`
		Instance string `json:"instance"`
		Limits   limits `json:"limits"`

		Features []string `json:"features"` // that gateways before did not have
	}{Op: "hello", Server: "autobus/" + version, Instance: instance, Features: []string{"tail_cursors"}, Limits: limits{
		FrameBytes: maxFrame, BatchEvents: autobus.MaxBatchEvents, EventBytes: autobus.MaxEventBytes,
		PublishFrames: maxPublishes, PublishBytes: maxPublishBytes, Streams: maxStreams,
		Subscriptions: maxSubscriptions,
		WindowEvents:  autobus.MaxWindowEvents, WindowBytes: autobus.MaxWindowBytes,
		ResultsPerFrame: edge.MaxSettlements,
	}}
	// Nothing of it cannot be encoded.
	b, _ := json.Marshal(frame)
	return b
}
