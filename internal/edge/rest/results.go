// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"net/http"
	"strconv"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// writeResults writes the results of a publish that is not a stream.
func writeResults(w http.ResponseWriter, p *edge.Parcel, receipts []autobus.Receipt) {
	body := append(make([]byte, 0, 64+192*len(receipts)), `{"results":`...)
	body = p.AppendResults(body, receipts)
	status, after := verdict(receipts)
	edge.SetRetryAfter(w.Header(), after)
	writeJSON(w, status, append(body, '}'))
}

// writeJSON answers with a whole body.
func writeJSON(w http.ResponseWriter, status int, body []byte) {
	body = append(body, '\n')
	w.Header().Set("Content-Type", mediaJSON)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// A client that left does not read its answer; there is nobody to tell.
	_, _ = w.Write(body) //nolint:gosec // JSON, sent as such with nosniff
}

// verdict is the one status of many results: 200 all written, 202 all of them scheduled, 504 all unknown, all refused:
// their common status, else 422; anything mixed 207. With 429 and 503 goes the longest time that one of them asks to
// wait.
func verdict(receipts []autobus.Receipt) (status int, after time.Duration) {
	var count [autobus.Unknown + 1]int
	scheduled := 0
	for _, rc := range receipts {
		count[rc.Status]++
		if rc.Scheduled != nil {
			scheduled++
		}
		if rc.Status != autobus.Refused {
			continue
		}
		after = max(after, edge.RetryAfter(rc.Err))
		if s := edge.Status(rc.Err); status == 0 || s == status {
			status = s
		} else {
			status = http.StatusUnprocessableEntity
		}
	}
	switch len(receipts) {
	case count[autobus.Written]:
		switch scheduled {
		case 0:
			return http.StatusOK, 0
		case len(receipts):
			return http.StatusAccepted, 0
		}
	case count[autobus.Unknown]:
		return http.StatusGatewayTimeout, 0
	case count[autobus.Refused]:
		if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
			after = 0
		}
		return status, after
	}
	return http.StatusMultiStatus, 0
}
