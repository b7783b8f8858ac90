// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/ipc"
)

// How long a request waits for its replies. Who does not wait on the connection may give it more: replies are kept for
// 15 minutes.
const (
	requestTimeout    = 5 * time.Second
	maxRequestTimeout = 60 * time.Second
	asyncTimeout      = 5 * time.Minute
	maxAsyncTimeout   = 10 * time.Minute
	maxReplies        = 1000
)

// request are the parameters of a request.
type request struct {
	timeout time.Duration
	replies int // 0 = none is wanted, ipc.All
	async   bool
}

func requestOptions(r *http.Request) (o request, err *autobus.Error) {
	q, err := edge.Query(r, "timeout", "replies")
	if err != nil {
		return o, err
	}
	o.async = prefersAsync(r.Header)
	if o.replies, err = wantedReplies(q); err != nil {
		return o, err
	}
	usual, most := requestTimeout, maxRequestTimeout
	if o.async {
		usual, most = asyncTimeout, maxAsyncTimeout
	}
	s, err := edge.Single(q, "timeout")
	if err != nil {
		return o, err
	}
	if o.timeout = usual; q.Has("timeout") {
		d, bad := time.ParseDuration(s)
		if bad != nil || d <= 0 || d > most {
			return o, autobus.NewError(autobus.ReasonRequestInvalid, "timeout %q is not a duration above 0 and up to %s",
				edge.Clip(s), most).WithHint("Send it as 5s or 500ms; with Prefer: respond-async it may be up to %s.",
				maxAsyncTimeout)
		}
		o.timeout = d
	}
	return o, nil
}

func wantedReplies(q url.Values) (int, *autobus.Error) {
	s, err := edge.Single(q, "replies")
	if err != nil || !q.Has("replies") {
		return 1, err
	}
	if s == "all" {
		return ipc.All, nil
	}
	n, bad := strconv.Atoi(s)
	if bad != nil || n < 0 || n > maxReplies {
		return 0, autobus.NewError(autobus.ReasonRequestInvalid, "replies %q is neither all nor a number up to %d",
			edge.Clip(s), maxReplies).WithHint("0 waits for none, 1 is usual.")
	}
	return n, nil
}

// prefersAsync reads Prefer (RFC 7240); preferences that nobody knows are ignored, as it asks.
func prefersAsync(h http.Header) bool {
	for _, field := range h.Values("Prefer") {
		for part := range strings.SplitSeq(field, ",") {
			name, _, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(name), "respond-async") {
				return true
			}
		}
	}
	return false
}
