// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"encoding/json"
	"net/http"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// acks serves POST /v1/subscriptions/{name}/acks: outcomes of deliveries, each judged by itself.
func (e *Edge) acks(w http.ResponseWriter, r *http.Request) {
	items, bad := readAcks(w, r)
	if bad != nil {
		edge.WriteProblem(w, r, bad)
		return
	}
	settled, bad := edge.Settle(r.Context(), e.bus, r.PathValue("name"), items)
	if bad != nil {
		edge.WriteProblem(w, r, bad)
		return
	}
	status := http.StatusOK
	body := append(make([]byte, 0, 64+128*len(settled)), `{"results":[`...)
	for i := range settled {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(edge.AppendSettled(append(body, '{'), r, &settled[i]), '}')
		if settled[i].Err != nil {
			status = http.StatusMultiStatus
		}
	}
	writeJSON(w, status, append(body, "]}"...))
}

func readAcks(w http.ResponseWriter, r *http.Request) ([]json.RawMessage, *autobus.Error) {
	if _, err := edge.Query(r); err != nil {
		return nil, err
	}
	media, err := mediaType(r.Header)
	if err != nil {
		return nil, err
	}
	if media != "" && media != mediaJSON {
		return nil, autobus.NewError(autobus.ReasonMediaType, "the content type %q is not one of this path's",
			edge.Clip(media)).WithHint("Send %s.", mediaJSON)
	}
	body, err := edge.ReadBody(w, r, autobus.MaxBatchBytes, autobus.ReasonBatchTooLarge)
	if err != nil {
		return nil, err
	}
	var in struct {
		Results []json.RawMessage `json:"results"`
	}
	if bad := autobus.StrictJSON(body, &in); bad != nil {
		return nil, autobus.NewError(autobus.ReasonBodyUnreadable, "the body cannot be read: %s", edge.JSONFault(bad)).
			WithHint(`Send {"results": [{"lease": "...", "outcome": "ack"}]}.`)
	}
	if in.Results == nil {
		return nil, autobus.NewError(autobus.ReasonRequestInvalid, "the body has no results").
			WithHint(`Send {"results": [{"lease": "...", "outcome": "ack"}]}.`)
	}
	return in.Results, nil
}
