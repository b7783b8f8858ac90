// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"net/http"
	"time"
)

// answerTime is how long a client may take to read an answer that is not a stream; streams set deadlines of their own.
const answerTime = 60 * time.Second

// response remembers the status for metrics and panics.
type response struct {
	http.ResponseWriter
	status int
}

func (w *response) WriteHeader(status int) {
	if status == http.StatusSwitchingProtocols {
		w.status = status // the last word of HTTP; whoever takes the connection over sets its own deadlines
	}
	if w.status == 0 && status >= 200 {
		w.status = status
		// Without a deadline a client that never reads would hold the request for ever. Writers without deadlines
		// exist in tests only.
		_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(answerTime))
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach flush, full duplex and deadlines.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// verdict is what the mux answers to a request that matches no route: only status and Allow count.
type verdict struct {
	header http.Header
	status int
}

func (v *verdict) Header() http.Header         { return v.header }
func (v *verdict) Write(p []byte) (int, error) { return len(p), nil }
func (v *verdict) WriteHeader(status int)      { v.status = status }
